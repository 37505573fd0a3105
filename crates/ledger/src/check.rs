//! Examines a database: its pages, and every record against its columns and counts.

use rusqlite::Connection;
use whimbrel_core::commit_marker;
use whimbrel_core::path::RelPath;

use crate::codec::{self, Kind};
use crate::directory_record;
use crate::error::{LedgerError, Result};
use crate::key::{Key, Names};
use crate::row;
use crate::state::{DIRECTORIES, Kept, number};

/// Records of directories read at a time.
const RECORDS_PAGE: usize = 2_000;

/// The size of the database.
pub(crate) fn bytes(sql: &Connection) -> Result<i64> {
    let pages: i64 = sql.pragma_query_value(None, "page_count", |row| row.get(0))?;
    let page: i64 = sql.pragma_query_value(None, "page_size", |row| row.get(0))?;
    Ok(pages.saturating_mul(page))
}

/// The pages alone.
pub(crate) fn quick(sql: &Connection) -> Result<()> {
    pages(sql, "quick_check")
}

/// Pages, indexes, and every record that is not read at each open anyway.
pub(crate) fn thorough(sql: &Connection, kept: &Kept) -> Result<()> {
    pages(sql, "integrity_check")?;
    let names = Names(kept.namespace);
    directories(sql, names)?;
    expect(kept.counts.rows, rows(sql, names)?, "rows")?;
    expect(kept.counts.found, found(sql, names)?, "found objects")?;
    let directories = directory_records(sql, names)?;
    expect(number(sql, DIRECTORIES)?, directories, "records of directories")?;
    expect(kept.counts.settings, settings(sql)?, "settings")
}

fn pages(sql: &Connection, pragma: &str) -> Result<()> {
    let answer: String = sql.pragma_query_value(None, pragma, |row| row.get(0))?;
    if answer == "ok" { Ok(()) } else { Err(LedgerError::damaged(answer)) }
}

fn expect(kept: u64, stored: u64, what: &str) -> Result<()> {
    if kept == stored {
        return Ok(());
    }
    Err(LedgerError::damaged(format!("there are {stored} {what}, not {kept}")))
}

fn directories(sql: &Connection, names: Names) -> Result<()> {
    let mut statement = sql.prepare_cached(
        "SELECT c.path, c.parent, p.path,
             EXISTS (SELECT 1 FROM object WHERE directory = c.id)
                 OR EXISTS (SELECT 1 FROM directory WHERE parent = c.id)
         FROM directory c LEFT JOIN directory p ON p.id = c.parent",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let path = RelPath::new(row.get::<_, Vec<u8>>(0)?);
        let has_parent = row.get::<_, Option<i64>>(1)?.is_some();
        let parent = row.get::<_, Option<Vec<u8>>>(2)?.map(RelPath::new);
        let expected = names.ancestors(&path).into_iter().next();
        if parent != expected || has_parent != expected.is_some() || !row.get::<_, bool>(3)? {
            return Err(LedgerError::damaged(format!("the directory {path}")));
        }
    }
    Ok(())
}

fn rows(sql: &Connection, names: Names) -> Result<u64> {
    let mut statement = sql.prepare_cached(
        "SELECT d.path, o.name, o.record, o.file_key, o.commit_marker, o.ledger_only
         FROM object o JOIN directory d ON d.id = o.directory",
    )?;
    let mut rows = statement.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let record = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
        let stands = row::decode(record)?;
        let file_key = row.get::<_, Option<i64>>(3)?.map(i64::cast_unsigned);
        if names.key(&stands.path) != key(row)?
            || file_key != stands.identity.file_key()
            || row.get::<_, bool>(4)? != commit_marker::is_commit_marker(&stands.path)
            || row.get::<_, bool>(5)? != stands.ledger_only
        {
            return Err(LedgerError::damaged(format!("the row of {}", stands.path)));
        }
        count += 1;
    }
    Ok(count)
}

fn found(sql: &Connection, names: Names) -> Result<u64> {
    let mut statement = sql.prepare_cached("SELECT directory, name, record FROM found")?;
    let mut rows = statement.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let record = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
        let found = crate::found::decoded(record)?;
        if names.key(&found.path) != key(row)? {
            return Err(LedgerError::damaged(format!("what was found at {}", found.path)));
        }
        count += 1;
    }
    Ok(count)
}

fn directory_records(sql: &Connection, names: Names) -> Result<u64> {
    let mut count = 0;
    let mut after: Option<Key> = None;
    loop {
        let page = directory_record::page(sql, names, after.as_ref(), RECORDS_PAGE)?;
        let Some(last) = page.last() else { return Ok(count) };
        after = Some(names.key(&last.path));
        count += page.len() as u64;
    }
}

fn settings(sql: &Connection) -> Result<u64> {
    let mut statement = sql.prepare_cached("SELECT key, record FROM setting")?;
    let mut rows = statement.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let record = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        let (key, _): (String, String) = codec::decode(Kind::Setting, record)?;
        if row.get::<_, String>(0)? != key {
            return Err(LedgerError::damaged(format!("the setting {key}")));
        }
        count += 1;
    }
    Ok(count)
}

fn key(row: &rusqlite::Row<'_>) -> Result<Key> {
    Ok(Key {
        directory: RelPath::new(row.get::<_, Vec<u8>>(0)?),
        name: row.get::<_, Vec<u8>>(1)?.into(),
    })
}
