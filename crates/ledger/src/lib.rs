//! Remembers: the durable state of one migration, one record per object among it.
//!
//! # The state folder
//!
//! `state.db` (and `state.db-wal` while it is open) is a SQLite database; `lock` is held by the
//! process that works with it and names its id; `control.sock` belongs to the engine. The folder
//! is readable for its owner alone.
//!
//! # Durability
//!
//! Write-ahead log, `synchronous=FULL`, one connection, one writer. [`Ledger::apply`] returns when
//! its changes are on the disk: all of them or none, in order. Claims live in memory, so a restart
//! frees them. After an error the state on the disk is the one before the call, and so is the one
//! in memory.
//!
//! # Schema
//!
//! Every record is a CRC32C over its kind and body, then the body in postcard's format; it holds
//! its own key, and the columns beside it (from which the indexes are made) are compared with it
//! whenever it is read.
//!
//! | table | key | record |
//! |---|---|---|
//! | `state` | one row | namespace, how it was closed, `Meta`, counts of the other tables |
//! | `setting` | key | text |
//! | `directory` | id; unique path; parent | none: exists exactly while a row stands below it |
//! | `object` | directory id, name | `Row`; partial indexes by file key, on commit markers, ... |
//! | `directory_record` | directory path, name | `DirectoryRecord`: every directory of the source |
//! | `found` | directory path, name | `Found` |
//! | `pending_log` | sequence | what became of hot pending entries, one record per transaction |
//! | `pending` | directory path, name | cold pending entries; indexes by lane and mark, ... |
//! | `attempt`, `part` | attempt number (and part number) | `Attempt` without parts, `Part` |
//! | `hint` | id | `Hint` |
//!
//! **Pending entries** are hot (in memory, redone from `pending_log` at open) or cold (in
//! `pending`), never both. A batch of marks is one appended log record; an entry that is settled
//! before [`Options::hot_entries_max`] others came never touches an index. Beyond that bound free
//! ones move to `pending` in the order of their keys, and are counted under the setting `spilled`.
//! The log starts anew when it has grown long.
//!
//! **Where work was settled** since a base snapshot of the source was asked for (rule 8.2) stands in
//! settings `worked_on.*`: directories, written with the changes that they are of.
//!
//! # Faulty disks
//!
//! [`Options::vfs`] names a SQLite VFS that was registered with the library before, through which
//! all access to the database goes: `crates/crash` loses and tears unsynced writes there. Shared
//! memory is never asked of it (exclusive locking). The lock file is not part of it, and neither is
//! the look at a log's end for bits that turned (`write_ahead_log.rs`).

mod attempt;
mod check;
mod child;
mod codec;
mod directory_record;
mod error;
mod folder;
mod found;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod header;
mod hint;
mod join;
mod key;
mod mark;
mod number;
mod object;
mod pending;
mod question;
mod recount;
mod row;
mod schema;
mod setting;
mod state;
mod worked_on;
mod write_ahead_log;

use std::path::Path;

use rusqlite::Connection;
use whimbrel_core::entry::Page;
use whimbrel_core::input::{Group, PageJoin, Removals, Work};
use whimbrel_core::number::{Time, TxId};
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::record::{
    Attempt, Change, DirectoryRecord, Found, Lane, Meta, Pending, PendingSummary, Row,
};

pub use error::{LedgerError, Result};
use folder::Folder;
pub use folder::{DATABASE, LOCK};
pub use header::look;
pub use hint::HINTS_MAX;
use join::Shared;
pub use recount::{Differs, KeyRange, Seen};
pub use state::COVERAGE;
use state::{Kept, State};
pub use worked_on::SLOTS;

/// Databases up to this size are examined record by record at every open; larger ones page by
/// page, after an unclean close.
const CHEAP_CHECK_BYTES: i64 = 16 << 20;

/// How a ledger is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// How names of the source relate; stored at the first open and refused if it differs later.
    /// `None` takes the stored one (a tree's for a new state).
    pub namespace: Option<Namespace>,
    /// A registered SQLite VFS; `None` for the system's files.
    pub vfs: Option<String>,
    /// Pending entries kept in memory, about 500 bytes each.
    pub hot_entries_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { namespace: None, vfs: None, hot_entries_max: 100_000 }
    }
}

/// What is known of one path, for people.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Story {
    /// What stands at the path.
    pub row: Option<Row>,
    /// What stands at the path's marker.
    pub marker: Option<Row>,
    /// The directory at the path, as the source last had it.
    pub directory: Option<DirectoryRecord>,
    /// What is pending at exactly this path.
    pub pending: Option<Pending>,
    /// Why it is parked.
    pub message: Option<String>,
    /// The nearest entry above the path that will look at it too, one that is not set aside first.
    pub pending_above: Option<Pending>,
    /// A foreign object at the path.
    pub found: Option<Found>,
    /// Attempts on the path whose end is not known.
    pub attempts: Vec<Attempt>,
}

/// The durable state of one migration, used by this process alone. All calls block.
#[derive(Debug)]
pub struct Ledger {
    sql: Connection,
    state: State,
    hot_entries_max: usize,
    /// A failed transaction could not be undone in memory.
    broken: bool,
    _folder: Option<Folder>,
}

impl Ledger {
    /// Opens the state in a folder, and creates both where there are none. Takes the folder's
    /// lock, brings an older schema up to date, examines the database if that is cheap or the last
    /// close was unclean, and frees what waited for the next start.
    ///
    /// # Errors
    /// `InUse`, `Newer`, `Older`, `Foreign`, `Damaged`, `Namespace`, `Full`, `Denied`, `Io`, `Database`.
    pub fn open(directory: &Path, options: Options) -> Result<Self> {
        let folder = Folder::open(directory)?;
        let path = folder.database();
        if options.vfs.is_none() {
            write_ahead_log::look(&path)?;
        }
        let sql = schema::connect(&path, options.vfs.as_deref())?;
        Self::start(sql, &path.display().to_string(), options, Some(folder))
    }

    /// The same in memory, without a folder or a lock; gone when it is dropped.
    ///
    /// # Errors
    /// `Database`.
    pub fn open_in_memory(namespace: Namespace) -> Result<Self> {
        let options = Options { namespace: Some(namespace), ..Options::default() };
        Self::start(Connection::open_in_memory()?, "a state in memory", options, None)
    }

    /// What a crash of this process and a new start would leave: everything applied, no claims.
    ///
    /// # Errors
    /// As `open`.
    pub fn restart(self) -> Result<Self> {
        let options = Options { hot_entries_max: self.hot_entries_max, ..Options::default() };
        Self::go_on(self.sql, false, options, self._folder)
    }

    /// One in memory as it was when it was new. To make one takes longer: this one knows its
    /// statements.
    ///
    /// # Errors
    /// `Closed` for one that has a folder; `Database`.
    pub fn emptied(self) -> Result<Self> {
        if self._folder.is_some() || !self.sql.is_autocommit() {
            return Err(LedgerError::Closed);
        }
        schema::empty(&self.sql)?;
        let options = Options { namespace: Some(self.namespace()), ..Options::default() };
        Self::go_on(self.sql, true, options, None)
    }

    fn start(
        mut sql: Connection,
        what: &str,
        options: Options,
        folder: Option<Folder>,
    ) -> Result<Self> {
        let convert = |sql: &Connection, found| State::upgrade(sql, found, options.hot_entries_max);
        let new = schema::prepare(&mut sql, what, convert)?;
        Self::go_on(sql, new, options, folder)
    }

    fn go_on(sql: Connection, new: bool, options: Options, folder: Option<Folder>) -> Result<Self> {
        let asked = options.namespace;
        let kept = match Kept::read(&sql)? {
            Some(kept) => kept,
            // A crash may have come between the schema and this.
            None if new || is_empty(&sql)? => Kept::new(asked.unwrap_or(Namespace::Tree)),
            None => return Err(LedgerError::damaged("the record of the migration is gone")),
        };
        if let Some(asked) = asked
            && asked != kept.namespace
        {
            return Err(LedgerError::Namespace { stored: kept.namespace, asked });
        }
        if !new && check::bytes(&sql)? <= CHEAP_CHECK_BYTES {
            check::thorough(&sql, &kept)?;
        } else if !kept.clean {
            check::quick(&sql)?;
        }
        let open = Kept { clean: false, ..kept };
        open.write(&sql)?;
        let state = State::load(&sql, options.hot_entries_max)?;
        let mut ledger = Self {
            sql,
            state,
            hot_entries_max: options.hot_entries_max,
            broken: false,
            _folder: folder,
        };
        ledger.transaction(|state, sql| state.pending.start(sql).map(drop))?;
        Ok(ledger)
    }

    /// Closes in order: the next open does not have to examine a large database. Dropping loses
    /// nothing either.
    ///
    /// # Errors
    /// `Full`, `Denied`, `Database`; everything applied stays durable.
    pub fn close(mut self) -> Result<()> {
        self.transaction(|state, _| {
            state.kept.clean = true;
            Ok(())
        })?;
        self.sql.close().map_err(|(_, error)| error.into())
    }

    /// How names of the source relate.
    pub fn namespace(&self) -> Namespace {
        self.state.names.0
    }

    /// What is remembered once per migration. Its next mark and attempt are above every one that
    /// was ever applied.
    ///
    /// # Errors
    /// `Closed`.
    pub fn meta(&self) -> Result<Meta> {
        self.usable()?;
        Ok(self.state.kept.meta.clone())
    }

    /// Pending entries that went from memory to the disk's table since the migration began.
    ///
    /// # Errors
    /// `Closed`.
    pub fn spilled(&self) -> Result<u64> {
        self.usable()?;
        Ok(self.state.spilled)
    }

    /// Another bound than [`Options::hot_entries_max`] from the next change on.
    pub fn keep_in_memory(&mut self, hot_entries_max: usize) {
        self.hot_entries_max = hot_entries_max;
        self.state.pending.keep_in_memory(hot_entries_max);
    }

    /// A text that the migration keeps under a name.
    ///
    /// # Errors
    /// `Closed`, `Damaged`, `Database`.
    pub fn setting(&self, key: &str) -> Result<Option<String>> {
        self.usable()?;
        setting::get(&self.sql, key)
    }

    /// Keeps a text under a name; durable at return.
    ///
    /// # Errors
    /// `Closed`, `Full`, `Denied`, `Database`; then the older text stays.
    pub fn set_setting(&mut self, key: &str, value: &str) -> Result<()> {
        self.transaction(|state, sql| state.put_setting(sql, key, value))
    }

    /// Reads every page and every record and compares them with each other. Reads the whole
    /// database: about a minute for some ten million rows.
    ///
    /// # Errors
    /// `Damaged`, naming the first thing that does not hold; `Closed`, `Database`.
    pub fn check(&self) -> Result<()> {
        self.usable()?;
        check::thorough(&self.sql, &self.state.kept)
    }

    /// Carries batches out in order, in one transaction: durable at return, all or nothing.
    ///
    /// # Errors
    /// `Closed`, `Full`, `Denied`, `Damaged`, `Database`; then nothing of it was done.
    pub fn apply(&mut self, batches: &[&[Change]]) -> Result<PendingSummary> {
        self.transaction(|state, sql| {
            for change in batches.iter().copied().flatten() {
                state.note_object(change);
                state.apply(sql, change)?;
            }
            Ok(())
        })?;
        self.state.summary(&self.sql)
    }

    /// What is pending now.
    ///
    /// # Errors
    /// `Closed`, `Damaged`, `Database`.
    pub fn summary(&self) -> Result<PendingSummary> {
        self.usable()?;
        self.state.summary(&self.sql)
    }

    /// Hands out entries of a lane that are due by `now`, each joined with what is known of its
    /// path, and claims them: nobody gets them again until their path is settled, parked or
    /// deferred, or the ledger is opened anew. The backlog gives the newest mark first, which goes
    /// down before it goes on and keeps the frontier small; the other lanes the oldest.
    ///
    /// # Errors
    /// `Closed`, `Damaged`, `Database`; then nothing is claimed by it that was not before.
    pub fn take(
        &mut self,
        lane: Lane,
        limit: usize,
        now: Time,
    ) -> Result<(Vec<Work>, PendingSummary)> {
        self.usable()?;
        let entries = self.state.pending.take(&self.sql, lane, limit, now)?;
        let keys: Vec<_> =
            entries.iter().map(|entry| self.state.names.key(&entry.pending.path)).collect();
        let mut shared = Shared::default();
        let joined: Result<Vec<Work>> = entries
            .into_iter()
            .map(|entry| self.state.join_work(&self.sql, entry, &mut shared))
            .collect();
        match joined.and_then(|work| Ok((work, self.state.summary(&self.sql)?))) {
            Ok(taken) => Ok(taken),
            Err(error) => {
                for key in keys {
                    self.state.pending.release(&key);
                }
                Err(error)
            }
        }
    }

    /// What is known of the range of names that a page of a directory, listed after a name,
    /// covers.
    ///
    /// # Errors
    /// `Closed`, `Damaged`, `Database`.
    pub fn join_page(
        &self,
        directory: &RelPath,
        after: Option<&[u8]>,
        page: &Page,
        by_file_key: bool,
    ) -> Result<PageJoin> {
        self.usable()?;
        self.state.join_page(&self.sql, directory, after, page, by_file_key)
    }

    /// The newest row of a file key at another path than `not` (rule 6.1).
    ///
    /// # Errors
    /// `Closed`, `Damaged`, `Database`.
    pub fn row_of_file_key(&self, file_key: u64, not: &RelPath) -> Result<Option<Row>> {
        self.usable()?;
        self.state.objects.of_file_key(&self.sql, file_key, not)
    }

    /// Rows at and under a path: its own first, then by the bytes of their directories and names.
    /// Only commit markers, or only others. The order goes on after `after`.
    ///
    /// # Errors
    /// `Closed`, `Damaged`, `Database`.
    pub fn rows(
        &self,
        under: &RelPath,
        after: Option<&RelPath>,
        commit_markers: bool,
        strictly_below: bool,
        limit: usize,
    ) -> Result<Vec<Row>> {
        self.usable()?;
        self.page(under, after, Some(commit_markers), strictly_below, limit)
    }

    /// Foreign objects strictly below a path, by the bytes of their directories and names.
    /// The order goes on after `after`.
    ///
    /// # Errors
    /// `Closed`, `Damaged`, `Database`.
    pub fn found_below(
        &self,
        under: &RelPath,
        after: Option<&RelPath>,
        limit: usize,
    ) -> Result<Vec<Found>> {
        self.usable()?;
        found::below(&self.sql, self.state.names, under, after, limit)
    }

    /// All rows, in the order of [`Self::rows`].
    ///
    /// # Errors
    /// `Closed`, `Damaged`, `Database`.
    pub fn rows_after(&self, after: Option<&RelPath>, limit: usize) -> Result<Vec<Row>> {
        self.usable()?;
        self.page(&RelPath::root(), after, None, false, limit)
    }

    /// Compares a page of the target's listing, ascending by the bytes of its paths, with the rows
    /// of the range that it covers: of what belongs to it and has no attempt on its way, what does
    /// not agree. With `markers` every directory that has one must be listed; else it stands while
    /// something below it is listed. At most `limit` rows are missing: `KeyRange::behind` goes on.
    ///
    /// # Errors
    /// `Closed`, `Damaged`, `Database`.
    pub fn recount(
        &self,
        seen: &[Seen],
        range: &KeyRange<'_>,
        markers: bool,
        limit: usize,
        belongs: &dyn Fn(&RelPath) -> bool,
    ) -> Result<Differs> {
        self.usable()?;
        self.state.recount(&self.sql, seen, range, markers, limit, belongs)
    }

    /// Directories of the source as they were last seen, by the bytes of their directories and
    /// names, after a path.
    ///
    /// # Errors
    /// `Closed`, `Damaged`, `Database`.
    pub fn directories_after(
        &self,
        after: Option<&RelPath>,
        limit: usize,
    ) -> Result<Vec<DirectoryRecord>> {
        self.usable()?;
        let after = after.map(|after| self.state.names.key(after));
        directory_record::page(&self.sql, self.state.names, after.as_ref(), limit)
    }

    fn page(
        &self,
        under: &RelPath,
        after: Option<&RelPath>,
        commit_markers: Option<bool>,
        strictly_below: bool,
        limit: usize,
    ) -> Result<Vec<Row>> {
        let State { names, objects, .. } = &self.state;
        let mut rows = Vec::new();
        if after.is_none() && !strictly_below && limit > 0 {
            let own = objects.get(&self.sql, under)?;
            let is_marker = whimbrel_core::commit_marker::is_commit_marker(under);
            rows.extend(own.filter(|_| commit_markers.is_none_or(|wanted| wanted == is_marker)));
        }
        let after = after.filter(|after| *after != under).map(|after| names.key(after));
        for span in names.below(under) {
            let left = limit.saturating_sub(rows.len());
            // One more, because the root's own row lies in its own directory.
            let page = objects.page(&self.sql, &span, after.as_ref(), commit_markers, left + 1)?;
            rows.extend(page.into_iter().filter(|row| row.path != *under).take(left));
        }
        Ok(rows)
    }

    /// Rule 7.1: whether something of a commit marker's group that was first pending at or before
    /// a transaction is not yet on the target: an entry at or under the group, or one above that
    /// reaches it; commit markers and open files aside.
    ///
    /// # Errors
    /// `Closed`, `Damaged`, `Database`.
    pub fn group(&self, marker: &RelPath, group: &RelPath, up_to: TxId) -> Result<Group> {
        self.usable()?;
        self.state.group(&self.sql, marker, group, up_to)
    }

    /// Rule 6.2: a removal at a path has to wait, because something else that is neither parked
    /// nor waiting itself is pending since before a rename from there (or from above or below) at
    /// the rename's new path.
    ///
    /// # Errors
    /// `Closed`, `Damaged`, `Database`.
    pub fn hints_wait(&self, path: &RelPath) -> Result<bool> {
        self.usable()?;
        self.state.hints_wait(&self.sql, path)
    }

    /// Rule 5.6: what would go with the entries that are parked as `Removal`: all that stands at
    /// their paths and below and `counts`, foreign objects that `counts_found` among it; and what leaves, and what was lost within the hour before
    /// `now`. Reads every row of it.
    ///
    /// # Errors
    /// `Closed`, `Damaged`, `Database`.
    pub fn removals(
        &self,
        now: Time,
        counts: &dyn Fn(&Row) -> bool,
        counts_found: &dyn Fn(&RelPath) -> bool,
    ) -> Result<Removals> {
        self.usable()?;
        self.state.removals(&self.sql, now, counts, counts_found)
    }

    /// Drops hints that serve nobody any more; says how many. Durable at return.
    ///
    /// # Errors
    /// `Closed`, `Full`, `Denied`, `Damaged`, `Database`; then all stay.
    pub fn prune_hints(&mut self) -> Result<usize> {
        self.usable()?;
        let idle = self.state.idle_hints(&self.sql)?;
        if !idle.is_empty() {
            self.transaction(|state, sql| {
                idle.iter().try_for_each(|hint| state.hints.dropped(sql, hint))
            })?;
        }
        Ok(idle.len())
    }

    /// Rule 9.1: directories with the most entries that are free (false: their direct children),
    /// and subtrees (true) if these are not enough, such that coarsening all of them, in order,
    /// removes `excess` entries if any can.
    ///
    /// # Errors
    /// `Closed`, `Damaged`, `Database`.
    pub fn densest(&self, excess: u64) -> Result<Vec<(RelPath, bool)>> {
        self.usable()?;
        self.state.densest(&self.sql, excess)
    }

    /// All attempts without a known end, ascending.
    ///
    /// # Errors
    /// `Closed`.
    pub fn attempts(&self) -> Result<Vec<Attempt>> {
        self.usable()?;
        Ok(self.state.attempts.all().cloned().collect())
    }

    /// The row of a path.
    ///
    /// # Errors
    /// `Closed`, `Damaged`, `Database`.
    pub fn row(&self, path: &RelPath) -> Result<Option<Row>> {
        self.usable()?;
        self.state.objects.get(&self.sql, path)
    }

    /// What is pending at exactly this path.
    ///
    /// # Errors
    /// `Closed`, `Damaged`, `Database`.
    pub fn pending_entry(&self, path: &RelPath) -> Result<Option<Pending>> {
        self.usable()?;
        let entry = self.state.pending.get(&self.sql, &self.state.names.key(path))?;
        Ok(entry.map(|entry| entry.pending))
    }

    /// Parked entries with what happened, by the bytes of their directories and names, after
    /// `after`; not those whose removal waits for its time.
    ///
    /// # Errors
    /// `Closed`, `Damaged`, `Database`.
    pub fn parked(&self, after: Option<&RelPath>, limit: usize) -> Result<Vec<(Pending, String)>> {
        self.usable()?;
        let after = after.map(|after| self.state.names.key(after));
        let entries = self.state.pending.parked(&self.sql, after.as_ref(), limit)?;
        let told =
            entries.into_iter().map(|entry| (entry.pending, entry.message.unwrap_or_default()));
        Ok(told.collect())
    }

    /// Entries whose removal waits for its time, by the bytes of their directories and names, after
    /// `after` (rule 5.7).
    ///
    /// # Errors
    /// `Closed`, `Damaged`, `Database`.
    pub fn delayed(&self, after: Option<&RelPath>, limit: usize) -> Result<Vec<Pending>> {
        self.usable()?;
        let after = after.map(|after| self.state.names.key(after));
        let entries = self.state.pending.delayed(&self.sql, after.as_ref(), limit)?;
        Ok(entries.into_iter().map(|entry| entry.pending).collect())
    }

    /// Hints, in the order of their paths.
    ///
    /// # Errors
    /// `Closed`.
    pub fn hints(&self) -> Result<Vec<whimbrel_core::record::Hint>> {
        self.usable()?;
        Ok(self.state.hints.all().collect())
    }

    /// Everything that is known of one path.
    ///
    /// # Errors
    /// `Closed`, `Damaged`, `Database`.
    pub fn story(&self, path: &RelPath) -> Result<Story> {
        self.usable()?;
        let State { names, objects, pending, attempts, .. } = &self.state;
        let entry = pending.get(&self.sql, &names.key(path))?;
        let marker = match names.marker(path) {
            Some(marker) => objects.get(&self.sql, &marker)?,
            None => None,
        };
        Ok(Story {
            row: objects.get(&self.sql, path)?,
            marker,
            directory: directory_record::get(&self.sql, *names, path)?,
            message: entry.as_ref().and_then(|entry| entry.message.clone()),
            pending: entry.map(|entry| entry.pending),
            pending_above: self.state.reaching_from_above(&self.sql, path)?,
            found: found::get(&self.sql, *names, path)?,
            attempts: attempts.on(path).cloned().collect(),
        })
    }

    fn usable(&self) -> Result<()> {
        if self.broken { Err(LedgerError::Closed) } else { Ok(()) }
    }

    /// One transaction. If it fails, the state in memory is read anew, and only claims are kept.
    fn transaction(
        &mut self,
        work: impl FnOnce(&mut State, &Connection) -> Result<()>,
    ) -> Result<()> {
        self.usable()?;
        self.sql.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let done = work(&mut self.state, &self.sql)
            .and_then(|()| self.state.flush(&self.sql))
            .and_then(|()| {
                self.sql.prepare_cached("COMMIT")?.execute([])?;
                Ok(())
            });
        match done {
            Ok(()) => {
                self.state.pending.committed();
                Ok(())
            }
            Err(error) => {
                self.undo();
                Err(error)
            }
        }
    }

    fn undo(&mut self) {
        self.broken = true;
        // Some errors have rolled back already.
        if !self.sql.is_autocommit() && self.sql.execute_batch("ROLLBACK").is_err() {
            return;
        }
        let claims = self.state.pending.claims();
        if let Ok(mut state) = State::load(&self.sql, self.hot_entries_max) {
            state.pending.restore_claims(claims);
            self.state = state;
            self.broken = false;
        }
    }
}

fn is_empty(sql: &Connection) -> Result<bool> {
    let used: bool = sql.query_row(
        "SELECT EXISTS (SELECT 1 FROM object) OR EXISTS (SELECT 1 FROM pending_log)
             OR EXISTS (SELECT 1 FROM pending) OR EXISTS (SELECT 1 FROM setting)",
        [],
        |row| row.get(0),
    )?;
    Ok(!used)
}

#[cfg(test)]
mod alike_tests;
#[cfg(test)]
mod layout_tests;
#[cfg(test)]
mod tests;
