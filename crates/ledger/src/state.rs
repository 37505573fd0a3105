//! What the ledger holds in memory of its database, and how a change acts on both.

use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};
use whimbrel_core::identity::Identity;
use whimbrel_core::losses::Losses;
use whimbrel_core::metadata::Metadata;
use whimbrel_core::number::{Mark, Time, TxId};
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::record::{Change, Counters, DirectoryRecord, Meta, PendingSummary, Row};

use crate::attempt::Attempts;
use crate::codec::{self, Kind};
use crate::directory_record;
use crate::error::{LedgerError, Result};
use crate::found;
use crate::hint::Hints;
use crate::key::Names;
use crate::object::Objects;
use crate::pending::PendingSet;
use crate::setting;
use crate::worked_on::WorkedOn;

/// The setting that counts what was moved from memory to the table of what is pending.
const SPILLED: &str = "spilled";
/// The setting that says in words what the last scan that was begun goes over.
pub const COVERAGE: &str = "coverage";
/// The setting that counts the records of directories: what vanished is missed.
pub(crate) const DIRECTORIES: &str = "directories";

/// A count that is kept as a setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeptCount {
    pub now: u64,
    written: u64,
}

/// Above every number that a NameNode gives to a file.
const HDFS_FILE_IDS: u64 = 1 << 48;

/// What is kept once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub namespace: Namespace,
    /// The last user closed it in order.
    pub clean: bool,
    pub meta: Meta,
    pub counts: Counts,
}

/// How many records each table holds: what vanished is missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub rows: u64,
    pub found: u64,
    pub settings: u64,
    pub pending: u64,
    pub pending_log: u64,
    pub attempts: u64,
    pub hints: u64,
}

impl Kept {
    pub(crate) fn new(namespace: Namespace) -> Self {
        Self { namespace, clean: true, meta: Meta::default(), counts: Counts::default() }
    }

    pub(crate) fn read(sql: &Connection) -> Result<Option<Self>> {
        let record: Option<Vec<u8>> =
            sql.query_row("SELECT record FROM state", [], |row| row.get(0)).optional()?;
        record.map(|record| codec::decode(Kind::State, &record)).transpose()
    }

    pub(crate) fn write(&self, sql: &Connection) -> Result<()> {
        sql.prepare_cached("INSERT OR REPLACE INTO state (id, record) VALUES (1, ?1)")?
            .execute([codec::encode(Kind::State, self)?])?;
        Ok(())
    }
}

/// Everything besides the connection.
#[derive(Debug)]
pub(crate) struct State {
    pub names: Names,
    pub kept: Kept,
    written: Kept,
    pub objects: Objects,
    pub pending: PendingSet,
    pub attempts: Attempts,
    pub hints: Hints,
    /// Pending entries that were moved to the table since the migration began.
    pub spilled: u64,
    /// Records of directories.
    pub directories: KeptCount,
    /// Where work was settled since base snapshots were asked for.
    pub worked_on: WorkedOn,
}

impl State {
    pub(crate) fn load(sql: &Connection, hot_max: usize) -> Result<Self> {
        let kept = Kept::read(sql)?
            .ok_or_else(|| LedgerError::damaged("the record of the migration is gone"))?;
        let names = Names(kept.namespace);
        let directories = number(sql, DIRECTORIES)?;
        let mut state = Self {
            names,
            written: kept.clone(),
            kept,
            objects: Objects::load(sql, names)?,
            pending: PendingSet::load(sql, names, hot_max)?,
            attempts: Attempts::load(sql, names)?,
            hints: Hints::load(sql, names)?,
            spilled: number(sql, SPILLED)?,
            directories: KeptCount { now: directories, written: directories },
            worked_on: WorkedOn::load(sql)?,
        };
        state.count();
        if state.kept.counts != state.written.counts {
            let what = "what is pending, the attempts or the hints are not complete";
            return Err(LedgerError::damaged(what));
        }
        Ok(state)
    }

    /// Brings the records of an older version up to date, as far as they can be read: else it is
    /// `Damaged`. Part of the caller's transaction.
    pub(crate) fn upgrade(sql: &Connection, found: i64, hot_max: usize) -> Result<()> {
        if Kept::read(sql)?.is_none() {
            return Ok(());
        }
        let mut state = Self::load(sql, hot_max)?;
        if found < 4 {
            // Local roots were known by device and inode alone; the numbers of HDFS are small.
            let meta = &mut state.kept.meta;
            meta.root_key = meta.root_key.filter(|key| *key < HDFS_FILE_IDS);
        }
        state.kept.write(sql)
    }

    /// Takes over the counts of what is in memory.
    fn count(&mut self) {
        let counts = &mut self.kept.counts;
        (counts.pending, counts.pending_log) = self.pending.stored();
        counts.attempts = self.attempts.count();
        counts.hints = self.hints.count();
    }

    pub(crate) fn summary(&self, sql: &Connection) -> Result<PendingSummary> {
        let mut summary = self.pending.summary(sql)?;
        summary.attempts = self.attempts.count();
        summary.rows = self.kept.counts.rows;
        summary.found = self.kept.counts.found.saturating_sub(summary.foreign);
        summary.lost = self.kept.meta.losses.last();
        summary.ledger_only = self.objects.ledger_only();
        Ok(summary)
    }

    /// Writes what is kept in memory until the end of a transaction.
    pub(crate) fn flush(&mut self, sql: &Connection) -> Result<()> {
        let spilled = self.pending.flush(sql)?;
        if spilled > 0 {
            self.spilled += spilled;
            self.put_setting(sql, SPILLED, &self.spilled.to_string())?;
        }
        if self.directories.now != self.directories.written {
            self.put_setting(sql, DIRECTORIES, &self.directories.now.to_string())?;
            self.directories.written = self.directories.now;
        }
        for (key, text) in self.worked_on.unwritten() {
            self.put_setting(sql, &key, &text)?;
        }
        self.count();
        if self.kept != self.written {
            self.kept.write(sql)?;
            self.written = self.kept.clone();
        }
        Ok(())
    }

    /// Keeps a text under a name, in the caller's transaction.
    pub(crate) fn put_setting(&mut self, sql: &Connection, key: &str, value: &str) -> Result<()> {
        let new = setting::put(sql, key, value)?;
        self.kept.counts.settings += u64::from(new);
        Ok(())
    }

    /// Carries out one change in the caller's transaction.
    pub(crate) fn apply(&mut self, sql: &Connection, change: &Change) -> Result<()> {
        let meta = &mut self.kept.meta;
        match change {
            Change::Mark { .. }
            | Change::Settle { .. }
            | Change::Park { .. }
            | Change::Hasten(_)
            | Change::Reconsider { .. }
            | Change::Defer { .. }
            | Change::Release(_)
            | Change::Gone { .. }
            | Change::Present { .. }
            | Change::DelayRemovals { .. }
            | Change::EndDelays { .. }
            | Change::Confirmed
            | Change::HoldRemovals { .. }
            | Change::Advance { .. }
            | Change::Coarsen { .. }
            | Change::Revisit { .. } => {
                if *change == Change::Confirmed {
                    meta.losses = Losses::default();
                }
                return self.apply_to_pending(sql, change);
            }
            Change::AttemptOpened(attempt) => {
                meta.next_attempt = meta.next_attempt.max(attempt.number.next());
                self.attempts.open(sql, attempt)?;
            }
            Change::UploadOpened { number, upload } => {
                self.attempts.upload_opened(sql, *number, upload)?;
            }
            Change::PartDone { number, part } => self.attempts.part_done(sql, *number, part)?,
            Change::AttemptDoubtful { number, until } => {
                self.attempts.doubtful(sql, *number, *until)?;
            }
            Change::AttemptClosed(number) => self.attempts.close(sql, *number)?,
            Change::PutRow(row) => self.put_row(sql, row)?,
            Change::DropRow(path) => drop(self.drop_row(sql, path)?),
            Change::Distrust(path) => self.distrust(sql, path)?,
            Change::PutDirectory(seen) => self.put_directory(sql, seen)?,
            Change::DropDirectory { path, below } => self.drop_directory(sql, path, *below)?,
            Change::Position { txid, digest } => {
                meta.position = Some(*txid);
                meta.digest = *digest;
            }
            Change::History { epoch, name } => {
                meta.epoch = *epoch;
                meta.history.clone_from(name);
                // It belongs to the older one, and a process that dies now takes another.
                (meta.position, meta.digest) = (None, 0);
            }
            Change::RootPinned(key) => meta.root_key = Some(*key),
            Change::HintAdded(hint) => self.hints.add(sql, hint)?,
            Change::HintDropped(hint) => self.hints.dropped(sql, hint)?,
            Change::FoundAdded(object) => {
                let new = found::put(sql, self.names, object)?;
                self.kept.counts.found += u64::from(new);
            }
            Change::InventoryAt { cursor, done } => {
                meta.inventory_cursor.clone_from(cursor);
                meta.inventory_done = *done;
            }
            Change::ScanBegun { coverage } => self.scan_begun(sql, coverage.as_deref())?,
            Change::Scanned => meta.scanned = true,
            Change::Arrived => meta.losses.make_good(),
            Change::Removed { path, loss, at } => self.removed(sql, path, *loss, *at)?,
            Change::Count(counters) => meta.counters.add(counters),
        }
        Ok(())
    }

    fn scan_begun(&mut self, sql: &Connection, coverage: Option<&str>) -> Result<()> {
        let meta = &mut self.kept.meta;
        (meta.scan_begun, meta.scanned) = (true, false);
        if let Some(words) = coverage {
            self.put_setting(sql, COVERAGE, words)?;
        }
        self.begin_scan(sql)
    }

    /// The next mark to give is above every mark that was given.
    pub(crate) fn saw(&mut self, mark: Mark) {
        let next = &mut self.kept.meta.next_mark;
        *next = (*next).max(Mark(mark.0.saturating_add(1)));
    }

    fn put_directory(&mut self, sql: &Connection, seen: &DirectoryRecord) -> Result<()> {
        let new = directory_record::put(sql, self.names, seen)?;
        self.directories.now += u64::from(new);
        Ok(())
    }

    fn drop_directory(&mut self, sql: &Connection, path: &RelPath, below: bool) -> Result<()> {
        if self.directories.now > 0 {
            let gone = directory_record::drop(sql, self.names, path, below)? as u64;
            self.directories.now = self.directories.now.saturating_sub(gone);
        }
        Ok(())
    }

    fn put_row(&mut self, sql: &Connection, row: &Row) -> Result<()> {
        let new = self.objects.put(sql, row)?;
        self.kept.counts.rows += u64::from(new);
        self.drop_found(sql, &row.path).map(drop)
    }

    /// True if anything was known to stand there.
    fn drop_row(&mut self, sql: &Connection, path: &RelPath) -> Result<bool> {
        let stood = self.objects.drop(sql, path)?;
        if stood {
            self.kept.counts.rows = self.kept.counts.rows.saturating_sub(1);
        }
        Ok(self.drop_found(sql, path)? || stood)
    }

    fn drop_found(&mut self, sql: &Connection, path: &RelPath) -> Result<bool> {
        let stood = self.kept.counts.found > 0 && found::drop(sql, self.names, path)?;
        self.kept.counts.found -= u64::from(stood);
        Ok(stood)
    }

    /// A key may be removed twice, while its directory goes: what stood is counted once.
    fn removed(&mut self, sql: &Connection, path: &RelPath, loss: bool, at: Time) -> Result<()> {
        let row = if loss { self.objects.get(sql, path)? } else { None };
        let elsewhere = match &row {
            Some(row) => self.objects.stands_elsewhere(sql, row)?,
            None => false,
        };
        if !self.drop_row(sql, path)? {
            return Ok(());
        }
        let files_removed = u64::from(!path.is_marker());
        self.kept.meta.counters.add(&Counters { files_removed, ..Counters::default() });
        if loss && !elsewhere {
            self.kept.meta.losses.add(at);
        }
        Ok(())
    }

    /// Whatever stands there may be ours, so a row stays or comes to stand for it: without one it
    /// could never be removed. Whose write it was is still known.
    fn distrust(&mut self, sql: &Connection, path: &RelPath) -> Result<()> {
        let row = match self.objects.get(sql, path)? {
            Some(row) => {
                Row { identity: Identity::Unknown, crc32c: None, etag: None, version: None, ..row }
            }
            None => Row {
                path: path.clone(),
                identity: Identity::Unknown,
                length: 0,
                crc32c: None,
                etag: None,
                version: None,
                attempt: None,
                as_of: TxId(0),
                epoch: self.kept.meta.epoch,
                metadata: Metadata::default(),
                ledger_only: false,
            },
        };
        let new = self.objects.put(sql, &row)?;
        self.kept.counts.rows += u64::from(new);
        Ok(())
    }
}

/// A number that is kept as a setting.
pub(crate) fn number(sql: &Connection, key: &str) -> Result<u64> {
    let Some(text) = setting::get(sql, key)? else { return Ok(0) };
    text.parse().map_err(|_| LedgerError::damaged(format!("the setting {key}")))
}
