//! Which names of a directory a table has something below: one question to the table for each of
//! them, and none for names without.

use std::collections::BTreeSet;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};
use whimbrel_core::path::{Namespace, RelPath};

use crate::error::Result;
use crate::key::Names;
use crate::pending::NameRange;

/// Names in a directory below which a table has something, ascending.
pub(crate) fn directories(
    sql: &Connection,
    names: Names,
    table: &str,
    directory: &RelPath,
    range: &NameRange<'_>,
) -> Result<Vec<Bytes>> {
    if names.0 == Namespace::Flat {
        return Ok(Vec::new());
    }
    let mut next = sql.prepare_cached(&format!(
        "SELECT directory FROM {table} WHERE directory > ?1 ORDER BY directory LIMIT 1"
    ))?;
    let mut directory_after = |from: &[u8]| -> Result<Option<Vec<u8>>> {
        Ok(next.query_row([from], |row| row.get(0)).optional()?)
    };
    let prefix = names.child(directory, b"").as_bytes().to_vec();
    let with = |parts: &[&[u8]]| [prefix.as_slice(), &parts.concat()].concat();
    let mut children = BTreeSet::new();
    let mut from = with(&[range.after.unwrap_or_default()]);
    let end = range.last.map(|last| with(&[last, AFTER_SLASH]));
    while let Some(found) = directory_after(&from)? {
        if !found.starts_with(&prefix) || end.as_ref().is_some_and(|end| found >= *end) {
            break;
        }
        let name = first_component(&found[prefix.len()..]);
        // All below the child is passed over at once. Between the child itself and that come names
        // which go on with a byte that is less than a slash.
        let itself = found.len() == prefix.len() + name.len();
        from = if itself { found.clone() } else { with(&[name, AFTER_SLASH]) };
        if range.contains(name) {
            children.insert(Bytes::copy_from_slice(name));
        }
    }
    // For the same reason what lies below a name that begins the last one may come after it.
    let last = range.last.unwrap_or_default();
    for length in (1..last.len()).filter(|length| last[*length] < b'/') {
        let (name, below) = (&last[..length], with(&[&last[..length], b"/"]));
        let stands = directory_after(&below)?.is_some_and(|found| found.starts_with(&below));
        if stands && range.contains(name) {
            children.insert(Bytes::copy_from_slice(name));
        }
    }
    Ok(children.into_iter().collect())
}

/// The first component, with the slashes of empty ones before it (`RelPath::split`).
fn first_component(path: &[u8]) -> &[u8] {
    let begin = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
    let length = path[begin..].iter().position(|byte| *byte == b'/');
    &path[..length.map_or(path.len(), |length| begin + length)]
}

/// The byte after the slash.
const AFTER_SLASH: &[u8] = b"0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_components_belong_to_the_name_that_follows() {
        for (path, first) in
            [("a", "a"), ("a/b", "a"), ("/a/b", "/a"), ("//a", "//a"), ("a//b", "a"), ("//", "//")]
        {
            assert_eq!(first_component(path.as_bytes()), first.as_bytes(), "{path}");
        }
    }
}
