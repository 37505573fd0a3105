//! One page of a pass, joined with what the ledger knows of its range: each entry is met (rules 1.3,
//! 5.5, 11.2).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::Migration;
use super::claim::{Claim, Origin, Step};
use super::directory::is_of;
use crate::config::Extras;
use crate::entry::{DirectoryNode, Entry, FileNode, Node, Page};
use crate::input::PageJoin;
use crate::number::{Mark, Time, TxId};
use crate::path::RelPath;
use crate::planted::{Planted, UNLISTED_TRIES, planted};
use crate::record::{Attempt, Change, DirectoryRecord, Found, Lane, Reach, Row};

impl Migration {
    /// Merges a page with the ledger's range: differences and absences only nominate.
    pub(super) fn join_page(
        &mut self,
        directory: &RelPath,
        context: &PageContext,
        (page, join): (Page, PageJoin),
        touched: &BTreeSet<RelPath>,
        origin: Origin,
    ) {
        let (first, last) = (context.first, context.last);
        let mut listed: BTreeSet<RelPath> = BTreeSet::new();
        let mut listed_directories: BTreeSet<RelPath> = BTreeSet::new();
        let mut lookup = Lookup::new(join, self.config.extras);
        for entry in page.entries {
            listed.insert(entry.path.clone());
            let row = lookup.row(&entry.path);
            let Entry { path, node } = entry;
            if lookup.delayed.contains(&path) {
                // It is back (rule 5.7).
                self.mark(&path, Reach::Path, Lane::Live, first, last);
            }
            match node {
                Node::File(file) => {
                    let stale = touched.contains(&path);
                    self.meet_file(path, file, row, stale, context, &mut lookup, &origin);
                }
                Node::Directory(child) => {
                    let known = lookup.directory_records.get(&path);
                    if touched.contains(&path) {
                        self.doubt_directory(&path, &child, known, context);
                    } else {
                        self.keep_directory(&path, &child, known);
                    }
                    listed_directories.insert(path.clone());
                    let known = lookup.directories.contains(path.name());
                    let in_the_way = row.is_some() || lookup.extras.contains(&path);
                    self.meet_directory(&path, &child, in_the_way, known, context);
                }
                Node::Special(_) => {
                    // What stands below goes, or is gone through once it is a directory again.
                    let below = lookup.directories.contains(path.name());
                    let reach = if below { Reach::Subtree } else { Reach::Path };
                    self.mark(&path, reach, Lane::Live, first, last);
                }
            }
        }
        self.nominate_absent(directory, &listed, &lookup, context);
        for path in lookup.directory_records.keys() {
            let name = path.name();
            let nominated =
                lookup.directories.contains(name) || lookup.record_directories.contains(name);
            let known = nominated || lookup.delayed.contains(path);
            if !known && !listed_directories.contains(path) {
                self.mark(path, Reach::Subtree, Lane::Live, first, last);
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "one row of the merge; all of it is looked at")]
    fn meet_file(
        &mut self,
        path: RelPath,
        file: FileNode,
        row: Option<Row>,
        stale: bool,
        context: &PageContext,
        lookup: &mut Lookup,
        origin: &Origin,
    ) {
        let Origin::Page { directory, page } = origin else { return };
        self.count_on_page(directory, *page, |counted| counted.files_scanned += 1);
        let unchanged = row.as_ref().is_some_and(|row| self.is_unchanged(row, &file));
        if unchanged {
            self.count_on_page(directory, *page, |counted| counted.files_skipped += 1);
        }
        let name = path.name();
        if lookup.directories.contains(name)
            || lookup.extras_below.contains(name)
            || lookup.record_directories.contains(name)
        {
            // Whatever its own row says: what stands below it goes first (rule 5.5).
            self.mark(&path, Reach::Subtree, Lane::Live, context.first, context.last);
            return;
        }
        let over = lookup.attempts(&path).iter().any(|attempt| self.is_over(attempt));
        // No difference tells of what is written since it was seen open (rule 8.2).
        if unchanged && !over && !file.open {
            return;
        }
        let pending = lookup.pending.contains(&path);
        if stale && !pending {
            // Its own entry may have joined the directory's while it was worked on (rule 9.1).
            self.mark(&path, Reach::Path, Lane::Live, context.first, context.last);
        } else if pending && !file.open {
            // Its own entry may be of another history, whose transactions are none of this one's.
            self.mark(&path, Reach::Path, Lane::Live, context.first, context.last);
        }
        if stale || pending {
            return;
        }
        let marker = self.is_commit_marker(&path);
        let attempts = lookup.attempts(&path);
        let unheard = self.may_stand_unheard(&path, row.as_ref(), &attempts);
        let metadata = self.waits_as_metadata(&row, &file);
        if marker || file.open || self.is_busy(&path) || metadata || unheard || over {
            let lane = if metadata { Lane::Metadata } else { Lane::Live };
            let last = if marker { context.last.max(self.applied()) } else { context.last };
            self.mark(&path, Reach::Path, lane, context.first, last);
            return;
        }
        let renamed = lookup.renamed(&file);
        let claim = Claim {
            origin: origin.clone(),
            reach: Reach::Path,
            lane: context.lane,
            first: context.first,
            last: context.last,
            seen: context.seen,
            up_to: Mark(0),
            tries: 0,
            let_go: None,
            gone_since: None,
            epoch: self.epoch,
            dirty: false,
            row,
            marker: None,
            rows_below: false,
            file_above: None,
            found: lookup.found(&path),
            found_seen: false,
            found_below: false,
            attempts,
            commit_markers: Vec::new(),
            node: Some(file),
            renamed,
            step: Step::Begun,
        };
        self.page_job_begun(directory, *page);
        self.bring(path, claim);
    }

    /// A listing that may be older than what is known, or newer: the directory is looked at itself.
    fn doubt_directory(
        &mut self,
        path: &RelPath,
        child: &DirectoryNode,
        known: Option<&DirectoryRecord>,
        context: &PageContext,
    ) {
        if self.keeps_directories() && !known.is_some_and(|known| is_of(known, child)) {
            self.distrust_directory(path, false);
            self.mark(path, Reach::Path, Lane::Metadata, context.first, context.last);
        }
    }

    fn meet_directory(
        &mut self,
        path: &RelPath,
        child: &DirectoryNode,
        in_the_way: bool,
        known: bool,
        context: &PageContext,
    ) {
        if in_the_way {
            self.mark(path, Reach::Path, Lane::Live, context.first, context.last);
        }
        let descend = context.reach == Reach::Subtree || !known;
        if descend {
            self.mark(path, Reach::Subtree, context.lane_below(), context.first, context.last);
        } else if child.empty != Some(false) {
            self.mark(path, Reach::Path, context.lane, context.first, context.last);
        }
    }

    /// What the ledger knows and the page does not list is looked at (rules 1.3 and 5.2), and so are
    /// extras that are to go (rule 5.3).
    fn nominate_absent(
        &mut self,
        directory: &RelPath,
        listed: &BTreeSet<RelPath>,
        lookup: &Lookup,
        context: &PageContext,
    ) {
        let own_marker = directory.marker();
        for path in lookup.known_paths() {
            if listed.contains(&path) || path == own_marker || lookup.delayed.contains(&path) {
                continue;
            }
            let up_to = self.mark(&path, Reach::Path, Lane::Live, context.first, context.last);
            if planted(Planted::ListingRemoves) {
                let not_before = self.now.plus_millis(500);
                let (tries, waiting) = (UNLISTED_TRIES, false);
                self.outbox.change(Change::Defer { path, up_to, not_before, tries, waiting });
            }
        }
        for name in lookup.directories.union(&lookup.record_directories) {
            let path = directory.join(name);
            if !listed.contains(&path) && !lookup.delayed.contains(&path) {
                self.mark(&path, Reach::Subtree, Lane::Live, context.first, context.last);
            }
        }
        let lane = context.lane_below().min(Lane::Backlog);
        for path in lookup.extras.iter().filter(|path| **path != own_marker) {
            if !listed.contains(path) {
                self.mark(path, Reach::Path, lane, context.first, context.last);
            }
        }
        for name in &lookup.extras_below {
            let path = directory.join(name);
            if !listed.contains(&path) {
                self.mark(&path, Reach::Subtree, lane, context.first, context.last);
            }
        }
    }
}

/// What every entry of a page has in common.
pub(super) struct PageContext {
    first: TxId,
    last: TxId,
    seen: Time,
    lane: Lane,
    reach: Reach,
}

impl PageContext {
    /// What a pass says of each of its pages.
    pub(super) fn of(pass: &Claim) -> Self {
        let (first, last, seen) = (pass.first, pass.last, pass.seen);
        Self { first, last, seen, lane: pass.lane, reach: pass.reach }
    }

    /// A directory of the scan that a commit marker waits for was hastened alone: what lies below
    /// it stays with the scan until the marker meets it.
    fn lane_below(&self) -> Lane {
        if self.first == TxId(0) { self.lane.max(Lane::Backlog) } else { self.lane }
    }
}

/// What the ledger knows of a page's range, by path.
struct Lookup {
    rows: BTreeMap<RelPath, Row>,
    directories: BTreeSet<Bytes>,
    directory_records: BTreeMap<RelPath, DirectoryRecord>,
    /// Names below which records of directories are kept.
    record_directories: BTreeSet<Bytes>,
    pending: BTreeSet<RelPath>,
    /// Known to be gone, and kept for a time.
    delayed: BTreeSet<RelPath>,
    found: BTreeMap<RelPath, Found>,
    /// Where foreign objects stand that go if the source has nothing there.
    extras: BTreeSet<RelPath>,
    /// Names of directories below which such stand.
    extras_below: BTreeSet<Bytes>,
    attempts: Vec<Attempt>,
    renamed: Vec<Row>,
}

impl Lookup {
    fn new(join: PageJoin, extras: Extras) -> Self {
        let (extras, extras_below) = match extras {
            Extras::Keep => (BTreeSet::new(), BTreeSet::new()),
            Extras::Remove => (
                join.found.iter().map(|found| found.path.clone()).collect(),
                join.found_directories.into_iter().collect(),
            ),
        };
        Self {
            extras,
            extras_below,
            rows: join.rows.into_iter().map(|row| (row.path.clone(), row)).collect(),
            directories: join.directories.into_iter().collect(),
            record_directories: join.record_directories.into_iter().collect(),
            directory_records: join
                .directory_records
                .into_iter()
                .map(|record| (record.path.clone(), record))
                .collect(),
            pending: join.pending.into_iter().collect(),
            delayed: join.delayed.into_iter().collect(),
            found: join.found.into_iter().map(|found| (found.path.clone(), found)).collect(),
            attempts: join.attempts,
            renamed: join.renamed,
        }
    }

    fn row(&self, path: &RelPath) -> Option<Row> {
        self.rows.get(path).cloned()
    }

    fn found(&mut self, path: &RelPath) -> Option<Found> {
        self.found.remove(path)
    }

    fn attempts(&self, path: &RelPath) -> Vec<Attempt> {
        self.attempts.iter().filter(|attempt| attempt.path == *path).cloned().collect()
    }

    fn renamed(&self, file: &FileNode) -> Option<Row> {
        let key = file.identity.file_key()?;
        self.renamed.iter().find(|row| row.identity.file_key() == Some(key)).cloned()
    }

    fn known_paths(&self) -> Vec<RelPath> {
        let attempts = self.attempts.iter().map(|attempt| attempt.path.clone());
        let pending = self.pending.iter().cloned();
        let rows = self.rows.keys().filter(|_| !planted(Planted::LedgerNotJoined)).cloned();
        rows.chain(attempts).chain(pending).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a marker waits for is hastened alone.
    #[test]
    fn rule_7_1_below_a_hastened_directory_the_scan_goes_on() {
        let lane_below = |first: u64, lane: Lane| {
            let (first, last, seen) = (TxId(first), TxId(9), Time(0));
            PageContext { first, last, seen, lane, reach: Reach::Subtree }.lane_below()
        };
        assert_eq!(lane_below(0, Lane::Live), Lane::Backlog, "it is of the scan");
        assert_eq!(lane_below(0, Lane::Backlog), Lane::Backlog);
        assert_eq!(lane_below(1, Lane::Live), Lane::Live, "it is a change");
    }
}
