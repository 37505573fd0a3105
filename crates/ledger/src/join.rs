//! What the ledger knows, joined with work and with listings.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use rusqlite::Connection;
use whimbrel_core::commit_marker::TABLE_FOLDERS;
use whimbrel_core::entry::{Node, Page};
use whimbrel_core::identity::Identity;
use whimbrel_core::input::{PageJoin, Work};
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::record::{Parked, Reach, Row};

use crate::child;
use crate::directory_record;
use crate::error::Result;
use crate::found;
use crate::pending::{Entry, NameRange};
use crate::state::State;

/// Answers that many entries of one batch share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    files_above: HashMap<RelPath, Option<RelPath>>,
    stale_commit_markers: HashMap<RelPath, Vec<RelPath>>,
    /// By directory.
    commit_markers: HashMap<RelPath, Option<Row>>,
}

impl State {
    /// One entry with what is known of its path.
    pub(crate) fn join_work(
        &self,
        sql: &Connection,
        entry: Entry,
        shared: &mut Shared,
    ) -> Result<Work> {
        let path = &entry.pending.path;
        let mut row = self.objects.get(sql, path)?;
        let marker_path = self.names.marker(path);
        let marker = match &marker_path {
            Some(marker) => self.objects.get(sql, marker)?,
            // The root and its marker share one path.
            None if path.is_root() => row.take_if(|row| row.identity == Identity::Marker),
            None => None,
        };
        let file_above = match self.names.ancestors(path).into_iter().next() {
            Some(parent) => self.objects.file_at_or_above(sql, &parent, &mut shared.files_above)?,
            None => None,
        };
        let found = match self.kept.counts.found {
            0 => None,
            _ => found::get(sql, self.names, path)?,
        };
        // What an entry does not reach is pending by itself, or was not made so.
        let found_below = entry.pending.reach > Reach::Path
            && self.kept.counts.found > 0
            && found::any_below(sql, self.names, path)?;
        let on_marker = marker_path.iter().flat_map(|marker| self.attempts.on(marker));
        let attempts = self.attempts.on(path).chain(on_marker).cloned().collect();
        let mut stale_commit_markers = self.stale_commit_markers(sql, path, shared)?;
        stale_commit_markers.retain(|other| other != path);
        let commit_markers = self.commit_markers_above(sql, path, shared)?;
        Ok(Work {
            rows_below: self.objects.any_below(sql, path)?,
            row,
            marker,
            file_above,
            found,
            found_below,
            attempts,
            stale_commit_markers,
            commit_markers,
            pending: entry.pending,
        })
    }

    /// Commit markers of ours that speak for the path and may have to go before it changes: in its
    /// directory and in those above.
    fn stale_commit_markers(
        &self,
        sql: &Connection,
        path: &RelPath,
        shared: &mut Shared,
    ) -> Result<Vec<RelPath>> {
        let mut stale = Vec::new();
        if self.names.0 == Namespace::Flat {
            return Ok(stale);
        }
        for directory in self.marker_directories(path) {
            if let Some(known) = shared.stale_commit_markers.get(&directory) {
                stale.extend(known.iter().cloned());
                continue;
            }
            let here = self.pending_commit_markers_in(sql, &directory)?;
            stale.extend(here.iter().cloned());
            shared.stale_commit_markers.insert(directory, here);
        }
        Ok(stale)
    }

    /// Where commit markers may stand that speak for a path: above it, and in the folders of tables
    /// whose root is above it. What is pending at one of these folders itself says nothing about it.
    fn marker_directories(&self, path: &RelPath) -> Vec<RelPath> {
        let all = path.ancestors().flat_map(|above| self.own_marker_directories(&above));
        all.filter(|directory| directory != path).collect()
    }

    /// Where commit markers may stand that speak for what is directly in a directory.
    fn own_marker_directories(&self, directory: &RelPath) -> Vec<RelPath> {
        let mut directories = vec![directory.clone()];
        if self.objects.any_table() {
            directories.extend(TABLE_FOLDERS.map(|name| self.names.child(directory, name)));
        }
        directories
    }

    /// The newest commit marker that stands in each directory above a path.
    fn commit_markers_above(
        &self,
        sql: &Connection,
        path: &RelPath,
        shared: &mut Shared,
    ) -> Result<Vec<Row>> {
        let mut standing = Vec::new();
        if self.names.0 == Namespace::Flat {
            return Ok(standing);
        }
        for directory in self.marker_directories(path) {
            if !shared.commit_markers.contains_key(&directory) {
                let newest = self.commit_marker_in(sql, &directory)?;
                shared.commit_markers.insert(directory.clone(), newest);
            }
            standing.extend(shared.commit_markers.get(&directory).cloned().flatten());
        }
        standing.retain(|row| row.path != *path);
        Ok(standing)
    }

    /// The last by name of those that stand directly in a directory.
    fn commit_marker_in(&self, sql: &Connection, directory: &RelPath) -> Result<Option<Row>> {
        match self.objects.last_commit_marker(sql, directory)? {
            Some(last) => self.objects.get(sql, &last),
            None => Ok(None),
        }
    }

    /// What speaks for the files of a directory that is gone through, and is not in the range of
    /// names of the page.
    fn commit_markers_of_pass(
        &self,
        sql: &Connection,
        directory: &RelPath,
        range: &NameRange<'_>,
    ) -> Result<Vec<Row>> {
        if self.names.0 == Namespace::Flat {
            return Ok(Vec::new());
        }
        let mut standing = self.commit_markers_above(sql, directory, &mut Shared::default())?;
        for own in self.own_marker_directories(directory) {
            let newest = self.commit_marker_in(sql, &own)?;
            let listed =
                |row: &Row| own == *directory && range.contains(&self.names.key(&row.path).name);
            standing.extend(newest.filter(|row| !listed(row)));
        }
        Ok(standing)
    }

    /// Those directly in a directory that are pending by themselves. What is pending above them may
    /// have taken them away too: for that the newest is looked at before anything changes.
    fn pending_commit_markers_in(
        &self,
        sql: &Connection,
        directory: &RelPath,
    ) -> Result<Vec<RelPath>> {
        let mut standing = Vec::new();
        for marker in self.pending.commit_markers(sql, directory, None)? {
            if self.objects.has(sql, &marker)? {
                standing.push(marker);
            }
        }
        Ok(standing)
    }

    /// Those that speak for the files of a directory that is gone through. Its own entry stays
    /// pending until that is done, and says nothing about the markers in it.
    fn stale_commit_markers_of_pass(
        &self,
        sql: &Connection,
        directory: &RelPath,
    ) -> Result<Vec<RelPath>> {
        if self.names.0 == Namespace::Flat {
            return Ok(Vec::new());
        }
        let mut stale = Vec::new();
        for own in self.own_marker_directories(directory) {
            stale.extend(self.pending_commit_markers_in(sql, &own)?);
        }
        stale.extend(self.stale_commit_markers(sql, directory, &mut Shared::default())?);
        Ok(stale)
    }

    /// What is known of the range of names that a page covers.
    pub(crate) fn join_page(
        &self,
        sql: &Connection,
        directory: &RelPath,
        after: Option<&[u8]>,
        page: &Page,
        by_file_key: bool,
    ) -> Result<PageJoin> {
        let last = match (page.more, page.entries.last()) {
            (false, _) => None,
            (true, Some(entry)) => Some(self.names.key(&entry.path).name),
            // Nothing was covered: the range ends where it begins.
            (true, None) => Some(Bytes::copy_from_slice(after.unwrap_or_default())),
        };
        let range = NameRange { after, last: last.as_deref() };
        let rows = self.objects.children(sql, directory, &range)?;
        let renamed = if by_file_key { self.renamed(sql, page, &rows)? } else { Vec::new() };
        let (found, found_directories) = match self.kept.counts.found {
            0 => (Vec::new(), Vec::new()),
            _ => (
                found::children(sql, self.names, directory, &range)?,
                child::directories(sql, self.names, "found", directory, &range)?,
            ),
        };
        let (directory_records, record_directories) = match self.directories.now {
            0 => (Vec::new(), Vec::new()),
            _ => (
                directory_record::children(sql, self.names, directory, &range)?,
                child::directories(sql, self.names, "directory_record", directory, &range)?,
            ),
        };
        let pending = self.pending.children(sql, directory, &range)?;
        Ok(PageJoin {
            delayed: self.delayed_of(sql, &pending)?,
            pending,
            directories: self.objects.child_directories(sql, directory, &range)?,
            directory_records,
            record_directories,
            own_record: directory_record::get(sql, self.names, directory)?.is_some(),
            attempts: self.attempts.children(directory, &range),
            found,
            found_directories,
            renamed,
            file_above: self.objects.file_at_or_above(sql, directory, &mut HashMap::new())?,
            stale_commit_markers: self.stale_commit_markers_of_pass(sql, directory)?,
            commit_markers: self.commit_markers_of_pass(sql, directory, &range)?,
            rows,
        })
    }

    /// Those of what is pending whose removal waits for its time.
    fn delayed_of(&self, sql: &Connection, pending: &[RelPath]) -> Result<Vec<RelPath>> {
        let mut delayed = Vec::new();
        for path in pending.iter().filter(|_| self.pending.any_delayed()) {
            let entry = self.pending.get(sql, &self.names.key(path))?;
            if entry.is_some_and(|entry| entry.pending.parked == Some(Parked::Delayed)) {
                delayed.push(path.clone());
            }
        }
        Ok(delayed)
    }

    /// Rows elsewhere of the listed files whose own path has no row with their file key.
    fn renamed(&self, sql: &Connection, page: &Page, rows: &[Row]) -> Result<Vec<Row>> {
        let known: BTreeMap<&RelPath, Option<u64>> =
            rows.iter().map(|row| (&row.path, row.identity.file_key())).collect();
        let mut renamed = Vec::new();
        for entry in &page.entries {
            let Node::File(file) = &entry.node else {
                continue;
            };
            let Some(file_key) = file.identity.file_key() else {
                continue;
            };
            if known.get(&entry.path) == Some(&Some(file_key)) {
                continue;
            }
            renamed.extend(self.objects.of_file_key(sql, file_key, &entry.path)?);
        }
        Ok(renamed)
    }
}
