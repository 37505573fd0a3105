//! The target's listing against the rows. Listings come in the order of whole keys, rows stand in
//! that of directory and name: the rows of a range of keys lie in the directories whose own path
//! is in it, and in those that begin the key after which it begins.

use std::collections::BTreeMap;

use bytes::Bytes;
use rusqlite::{Connection, params};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::Row;

use crate::error::Result;
use crate::found;
use crate::state::State;

/// An object as the target lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Where; a directory marker's path ends in `/`.
    pub path: RelPath,
    /// Bytes.
    pub length: u64,
    /// Entity tag, where listings have it.
    pub etag: Option<String>,
}

/// The paths that a page of a listing covers, by their bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyRange<'a> {
    /// Strictly after this one.
    pub after: Option<&'a [u8]>,
    /// Up to and including this one.
    pub last: Option<&'a [u8]>,
    /// Of rows, those alone that come behind this one's in their own order: the last one that was
    /// told of the range when there were more.
    pub behind: Option<&'a RelPath>,
}

impl KeyRange<'_> {
    fn contains(&self, path: &[u8]) -> bool {
        self.after.is_none_or(|after| path > after) && self.last.is_none_or(|last| path <= last)
    }

    /// No path that begins so is in the range.
    fn ends_before(&self, prefix: &[u8]) -> bool {
        self.last.is_some_and(|last| prefix > last && !last.starts_with(prefix))
    }
}

/// What does not agree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differs {
    /// Paths to be looked at.
    pub doubtful: Vec<RelPath>,
    /// Directory markers of which nothing is known.
    pub unknown_markers: Vec<RelPath>,
    /// The range holds more than the limit.
    pub more: bool,
}

/// Rows that are read at a time.
const ROWS_MAX: usize = 500;

impl State {
    pub(crate) fn recount(
        &self,
        sql: &Connection,
        seen: &[Seen],
        range: &KeyRange<'_>,
        markers: bool,
        limit: usize,
        belongs: &dyn Fn(&RelPath) -> bool,
    ) -> Result<Differs> {
        let mut differs = Differs::default();
        for object in seen.iter().filter(|object| belongs(&object.path)) {
            if self.is_on_its_way(&object.path) {
                continue;
            }
            match self.objects.get(sql, &object.path)? {
                Some(row) if agrees(&row, object) => {}
                Some(_) => differs.doubtful.push(object.path.clone()),
                None if self.is_known_foreign(sql, object)? => {}
                // A real directory that holds nothing is looked for by itself: a killed run may
                // have left it.
                None if object.path.is_marker() && !markers => {}
                None if object.path.is_marker() => {
                    differs.unknown_markers.push(object.path.clone());
                }
                None => differs.doubtful.push(object.path.clone()),
            }
        }
        let listed: BTreeMap<&[u8], ()> =
            seen.iter().map(|object| (object.path.as_bytes(), ())).collect();
        let stands = |row: &Row| {
            let path = row.path.as_bytes();
            let next = listed.range(path..).next().map(|(next, ())| *next);
            let real = !markers && row.path.is_marker();
            next.is_some_and(|next| next == path || real && next.starts_with(path))
        };
        let mut missing = Vec::new();
        self.visit_range(sql, range, &mut |row| {
            if !stands(&row) && belongs(&row.path) && !self.is_on_its_way(&row.path) {
                missing.push(row.path);
            }
            missing.len() <= limit
        })?;
        differs.more = missing.len() > limit;
        missing.truncate(limit);
        differs.doubtful.extend(missing);
        Ok(differs)
    }

    /// Its end will tell what stands there.
    fn is_on_its_way(&self, path: &RelPath) -> bool {
        self.attempts.on(path).any(|attempt| attempt.path == *path)
    }

    fn is_known_foreign(&self, sql: &Connection, object: &Seen) -> Result<bool> {
        let known = found::get(sql, self.names, &object.path)?;
        Ok(known.is_some_and(|found| {
            found.length == object.length && same_tag(&found.etag, &object.etag)
        }))
    }

    /// Rows of a range, by the bytes of their directories and names, until `visit` has enough.
    fn visit_range(
        &self,
        sql: &Connection,
        range: &KeyRange<'_>,
        visit: &mut dyn FnMut(Row) -> bool,
    ) -> Result<()> {
        let after = range.after.unwrap_or_default();
        let behind = range.behind.map(|path| self.names.key(path).directory);
        // Of those that begin it, others lie wholly before it.
        let reaches = |length: &usize| *length == 0 || after.get(*length) <= Some(&b'/');
        for length in (0..=after.len()).filter(reaches) {
            let directory = RelPath::new(after[..length].to_vec());
            if behind.as_ref().is_some_and(|behind| directory < *behind) {
                continue;
            }
            if !self.visit_directory(sql, &directory, range, visit)? {
                return Ok(());
            }
        }
        let mut from = after.to_vec();
        if let Some(behind) = behind.filter(|behind| behind.as_bytes() > after) {
            if !self.visit_directory(sql, &behind, range, visit)? {
                return Ok(());
            }
            from = behind.as_bytes().to_vec();
        }
        loop {
            let next = directories_after(sql, &from)?;
            for directory in &next {
                if range.ends_before(directory.as_bytes()) {
                    return Ok(());
                }
                if !self.visit_directory(sql, directory, range, visit)? {
                    return Ok(());
                }
            }
            let Some(last) = next.last() else { return Ok(()) };
            from = last.as_bytes().to_vec();
        }
    }

    /// False: `visit` has enough.
    fn visit_directory(
        &self,
        sql: &Connection,
        directory: &RelPath,
        range: &KeyRange<'_>,
        visit: &mut dyn FnMut(Row) -> bool,
    ) -> Result<bool> {
        let prefix = self.names.child(directory, b"").as_bytes().to_vec();
        if range.ends_before(&prefix) {
            return Ok(true);
        }
        let mut after: Option<Bytes> = match range.after {
            Some(after) if after.starts_with(&prefix) => {
                Some(Bytes::copy_from_slice(&after[prefix.len()..]))
            }
            Some(after) if after > prefix.as_slice() => return Ok(true),
            Some(_) | None => None,
        };
        let behind = range.behind.map(|path| self.names.key(path));
        after = after.max(behind.filter(|key| key.directory == *directory).map(|key| key.name));
        loop {
            let rows = self.objects.children_page(sql, directory, after.as_deref(), ROWS_MAX)?;
            for row in &rows {
                if !range.contains(row.path.as_bytes()) {
                    return Ok(true);
                }
                if !visit(row.clone()) {
                    return Ok(false);
                }
            }
            if rows.len() < ROWS_MAX {
                return Ok(true);
            }
            after = rows.last().map(|last| self.names.key(&last.path).name);
        }
    }
}

fn directories_after(sql: &Connection, after: &[u8]) -> Result<Vec<RelPath>> {
    let mut statement =
        sql.prepare_cached("SELECT path FROM directory WHERE path > ?1 ORDER BY path LIMIT ?2")?;
    let limit = i64::try_from(ROWS_MAX).unwrap_or(i64::MAX);
    let paths = statement.query_map(params![after, limit], |row| row.get::<_, Vec<u8>>(0))?;
    paths.map(|path| Ok(RelPath::new(path?))).collect()
}

fn agrees(row: &Row, object: &Seen) -> bool {
    // A directory's marker may be a real directory, of which a listing says nothing else.
    let length = row.length == object.length || object.path.is_marker() && object.etag.is_none();
    length && same_tag(&row.etag, &object.etag)
}

fn same_tag(known: &Option<String>, listed: &Option<String>) -> bool {
    match (known, listed) {
        (Some(known), Some(listed)) => known == listed,
        (None, _) | (_, None) => true,
    }
}

#[cfg(test)]
mod tests;
