//! Directories of the source as they were last seen.

use rusqlite::{Connection, OptionalExtension, params};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::DirectoryRecord;

use crate::codec::{self, Kind};
use crate::error::{LedgerError, Result};
use crate::key::{Key, Names};
use crate::pending::NameRange;

/// Puts a record; true if none was known at its path.
pub(crate) fn put(sql: &Connection, names: Names, seen: &DirectoryRecord) -> Result<bool> {
    let Key { directory, name } = names.key(&seen.path);
    let record = codec::encode(Kind::Directory, seen)?;
    let values = params![directory.as_bytes(), name.as_ref(), record];
    let changed = sql
        .prepare_cached(
            "UPDATE directory_record SET record = ?3 WHERE directory = ?1 AND name = ?2",
        )?
        .execute(values)?;
    if changed == 0 {
        sql.prepare_cached(
            "INSERT INTO directory_record (directory, name, record) VALUES (?1, ?2, ?3)",
        )?
        .execute(values)?;
    }
    Ok(changed == 0)
}

/// Forgets the record of a path, and those below it; says how many.
pub(crate) fn drop(sql: &Connection, names: Names, path: &RelPath, below: bool) -> Result<usize> {
    let Key { directory, name } = names.key(path);
    let mut gone = sql
        .prepare_cached("DELETE FROM directory_record WHERE directory = ?1 AND name = ?2")?
        .execute(params![directory.as_bytes(), name.as_ref()])?;
    for span in names.below(path).into_iter().filter(|_| below) {
        gone += match &span.until {
            Some(until) => sql
                .prepare_cached(
                    "DELETE FROM directory_record WHERE directory >= ?1 AND directory < ?2",
                )?
                .execute(params![span.from, until])?,
            None => sql
                .prepare_cached("DELETE FROM directory_record WHERE directory >= ?1")?
                .execute(params![span.from])?,
        };
    }
    Ok(gone)
}

/// The record of a path.
pub(crate) fn get(
    sql: &Connection,
    names: Names,
    path: &RelPath,
) -> Result<Option<DirectoryRecord>> {
    let key = names.key(path);
    let record: Option<Vec<u8>> = sql
        .prepare_cached("SELECT record FROM directory_record WHERE directory = ?1 AND name = ?2")?
        .query_row(params![key.directory.as_bytes(), key.name.as_ref()], |row| row.get(0))
        .optional()?;
    record.map(|record| decode(names, &key, &record)).transpose()
}

/// Directories directly in a directory, ascending. The root lies in none.
pub(crate) fn children(
    sql: &Connection,
    names: Names,
    directory: &RelPath,
    range: &NameRange<'_>,
) -> Result<Vec<DirectoryRecord>> {
    let last = if range.last.is_some() { "AND name <= ?3" } else { "" };
    let mut statement = sql.prepare_cached(&format!(
        "SELECT directory, name, record FROM directory_record
         WHERE directory = ?1 AND name > ?2 {last} ORDER BY name"
    ))?;
    let name = range.after.unwrap_or_default();
    let rows = match range.last {
        Some(last) => statement.query(params![directory.as_bytes(), name, last])?,
        None => statement.query(params![directory.as_bytes(), name])?,
    };
    collect(names, rows)
}

/// All, by the bytes of their directories and names, after a key.
pub(crate) fn page(
    sql: &Connection,
    names: Names,
    after: Option<&Key>,
    limit: usize,
) -> Result<Vec<DirectoryRecord>> {
    let after_key = if after.is_some() { "WHERE (directory, name) > (?2, ?3)" } else { "" };
    let mut statement = sql.prepare_cached(&format!(
        "SELECT directory, name, record FROM directory_record {after_key}
         ORDER BY directory, name LIMIT ?1"
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = match after {
        Some(Key { directory, name }) => {
            statement.query(params![limit, directory.as_bytes(), name.as_ref()])?
        }
        None => statement.query(params![limit])?,
    };
    collect(names, rows)
}

fn collect(names: Names, mut rows: rusqlite::Rows<'_>) -> Result<Vec<DirectoryRecord>> {
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let key = Key {
            directory: RelPath::new(row.get::<_, Vec<u8>>(0)?),
            name: row.get::<_, Vec<u8>>(1)?.into(),
        };
        let record = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
        all.push(decode(names, &key, record)?);
    }
    Ok(all)
}

fn decode(names: Names, key: &Key, record: &[u8]) -> Result<DirectoryRecord> {
    let seen: DirectoryRecord = codec::decode(Kind::Directory, record)?;
    if names.key(&seen.path) == *key {
        return Ok(seen);
    }
    Err(LedgerError::damaged(format!("the record of directory {} stands elsewhere", seen.path)))
}
