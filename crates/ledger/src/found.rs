//! Objects that stood under the target before this migration wrote there.

use rusqlite::{Connection, OptionalExtension, params};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::Found;

use crate::codec::{self, Kind};
use crate::error::{LedgerError, Result};
use crate::key::{Key, Names, Span};
use crate::pending::NameRange;

/// Puts an object; true if none was known at its path.
pub(crate) fn put(sql: &Connection, names: Names, found: &Found) -> Result<bool> {
    let new = !drop(sql, names, &found.path)?;
    let key = names.key(&found.path);
    sql.prepare_cached("INSERT INTO found (directory, name, record) VALUES (?1, ?2, ?3)")?
        .execute(params![key.directory.as_bytes(), key.name.as_ref(), encoded(found)?])?;
    Ok(new)
}

/// Forgets the object of a path; true if there was one.
pub(crate) fn drop(sql: &Connection, names: Names, path: &RelPath) -> Result<bool> {
    let key = names.key(path);
    let gone = sql
        .prepare_cached("DELETE FROM found WHERE directory = ?1 AND name = ?2")?
        .execute(params![key.directory.as_bytes(), key.name.as_ref()])?;
    Ok(gone > 0)
}

/// The object of a path.
pub(crate) fn get(sql: &Connection, names: Names, path: &RelPath) -> Result<Option<Found>> {
    let key = names.key(path);
    let record: Option<Vec<u8>> = sql
        .prepare_cached("SELECT record FROM found WHERE directory = ?1 AND name = ?2")?
        .query_row(params![key.directory.as_bytes(), key.name.as_ref()], |row| row.get(0))
        .optional()?;
    let found: Option<Found> = record.map(|record| decoded(&record)).transpose()?;
    match &found {
        Some(found) if found.path != *path => {
            Err(LedgerError::damaged(format!("what was found at {} stands elsewhere", found.path)))
        }
        _ => Ok(found),
    }
}

/// Objects directly in a directory, ascending.
pub(crate) fn children(
    sql: &Connection,
    names: Names,
    directory: &RelPath,
    range: &NameRange<'_>,
) -> Result<Vec<Found>> {
    let after = if range.after.is_some() { ">" } else { ">=" };
    let last = if range.last.is_some() { "AND name <= ?3" } else { "" };
    let mut statement = sql.prepare_cached(&format!(
        "SELECT name, record FROM found
         WHERE directory = ?1 AND name {after} ?2 {last} ORDER BY name"
    ))?;
    let name = range.after.unwrap_or_default();
    let mut rows = match range.last {
        Some(last) => statement.query(params![directory.as_bytes(), name, last])?,
        None => statement.query(params![directory.as_bytes(), name])?,
    };
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let name = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
        let record = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        let found = decoded(record)?;
        if found.path != names.child(directory, name) {
            let what = format!("what was found at {} stands elsewhere", found.path);
            return Err(LedgerError::damaged(what));
        }
        all.push(found);
    }
    Ok(all)
}

/// Those that came late are told from the others by the kind of their record.
fn encoded(found: &Found) -> Result<Vec<u8>> {
    codec::encode(if found.late { Kind::FoundLate } else { Kind::Found }, found)
}

/// The object of a record.
pub(crate) fn decoded(record: &[u8]) -> Result<Found> {
    match codec::decode(Kind::FoundLate, record) {
        Ok(found) => Ok(Found { late: true, ..found }),
        Err(_) => codec::decode(Kind::Found, record),
    }
}

/// True if an object stands strictly below a path.
pub(crate) fn any_below(sql: &Connection, names: Names, path: &RelPath) -> Result<bool> {
    Ok(!below(sql, names, path, None, 1)?.is_empty())
}

/// Objects strictly below a path, by the bytes of their directories and names, after one
/// of them.
pub(crate) fn below(
    sql: &Connection,
    names: Names,
    path: &RelPath,
    after: Option<&RelPath>,
    limit: usize,
) -> Result<Vec<Found>> {
    let after = after.map(|after| names.key(after));
    let mut objects = Vec::new();
    for span in names.below(path) {
        // One more, because the root's own key lies in its own directory.
        let left = limit.saturating_sub(objects.len()) + 1;
        let found = in_span(sql, &span, after.as_ref(), left)?.into_iter();
        objects.extend(found.filter(|found| found.path != *path).take(left - 1));
    }
    Ok(objects)
}

fn in_span(sql: &Connection, span: &Span, after: Option<&Key>, limit: usize) -> Result<Vec<Found>> {
    let after = after.filter(|after| after.directory.as_bytes() >= span.from.as_slice());
    // One lower bound that the index takes: else each page begins at the directory's first object.
    let from = match after {
        Some(_) => "(directory, name) > (?3, ?4)",
        None => "directory >= ?3 AND ?4 IS NULL",
    };
    let until = if span.until.is_some() { "directory < ?2" } else { "?2 IS NULL" };
    let mut statement = sql.prepare_cached(&format!(
        "SELECT record FROM found WHERE {from} AND {until} ORDER BY directory, name LIMIT ?1"
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (directory, name) = match after {
        Some(after) => (after.directory.as_bytes(), Some(after.name.as_ref())),
        None => (span.from.as_slice(), None),
    };
    let records = statement
        .query_map(params![limit, span.until, directory, name], |row| row.get::<_, Vec<u8>>(0))?;
    records.map(|record| decoded(&record?)).collect()
}
