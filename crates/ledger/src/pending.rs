//! What is pending: a hot part in memory, made durable by a log of its changes, and a cold part
//! that stands in a table with indexes. An entry is in one of them only. Marks touch the hot part;
//! when that grows over its bound, entries move to the cold part in the order of their keys.

mod cold;
mod hot;

use std::collections::BTreeSet;

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use whimbrel_core::commit_marker::is_commit_marker;
use whimbrel_core::number::{Mark, Time, TxId};
use whimbrel_core::path::RelPath;
use whimbrel_core::planted::{Planted, planted};
use whimbrel_core::record::{Lane, LetGo, Parked, Pending, PendingSummary, Reach};

use crate::codec::{self, Kind};
use crate::error::{LedgerError, Result};
use crate::key::{Key, Names, Span};
use cold::Cold;
use hot::Hot;

/// The time of those that wait for the next start.
pub(crate) const NEXT_START: Time = Time(u64::MAX);

/// A pending entry as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub pending: Pending,
    /// The mark at which the reach last changed: a pass that began before it does not cover it.
    pub reach_mark: Mark,
    /// The newest mark of each reach, in the order of [`Reach`].
    pub marks: [Mark; 3],
    /// For people: why it is parked.
    pub message: Option<String>,
}

impl Entry {
    /// An entry that one mark makes.
    pub(crate) fn fresh(pending: Pending) -> Self {
        let reach_mark = pending.mark;
        let mut entry = Self { pending, reach_mark, marks: [Mark(0); 3], message: None };
        entry.note(entry.pending.reach, reach_mark);
        entry
    }

    /// A mark of a reach came to it.
    pub(crate) fn note(&mut self, reach: Reach, mark: Mark) {
        let newest = &mut self.marks[reach as usize];
        *newest = (*newest).max(mark);
    }

    /// Work that covers marks up to `up_to` is done: only what was marked since is left, and it
    /// reaches no further than these marks did. A path alone is no part of the scan any more.
    pub(crate) fn keep_since(&mut self, up_to: Mark) {
        let wider = [Reach::Subtree, Reach::Directory];
        let left = wider.into_iter().find(|reach| self.marks[*reach as usize] > up_to);
        let left = left.filter(|_| !planted(Planted::ReachForgotten));
        let left = left.unwrap_or(Reach::Path);
        if left < self.pending.reach {
            self.pending.reach = left;
            self.reach_mark = self.pending.mark;
            if left == Reach::Path {
                self.pending.lane = Lane::Live;
            }
        }
    }

    /// It waits for something other than a free hand, people are told why, and it may be until then.
    pub(crate) fn set_aside(&mut self, reason: Parked, until: Option<Time>, message: &str) {
        self.pending.parked = Some(reason);
        self.pending.waiting = false;
        self.pending.not_before = match reason {
            Parked::Failed => until.unwrap_or(NEXT_START),
            Parked::Delayed => until.unwrap_or_default(),
            Parked::Open | Parked::Guard | Parked::Removal | Parked::Foreign => Time(0),
        };
        self.message = Some(message.to_owned());
    }

    /// Handed out when its time has come.
    pub(crate) fn takeable(&self) -> bool {
        match self.pending.parked {
            None | Some(Parked::Failed) => true,
            Some(
                Parked::Open | Parked::Guard | Parked::Removal | Parked::Foreign | Parked::Delayed,
            ) => false,
        }
    }

    /// May join others of its directory. What waits for something else would only be met, and
    /// wait, again; so would what the guard has let go (rule 5.6), and commit markers; and so would
    /// a directory that a pass above it came to: the scan would begin anew each time. Of what is
    /// gone the time would be lost since when it is (rule 5.7).
    pub(crate) fn coarsens(&self) -> bool {
        coarsens(&self.pending)
    }

    /// As a record of the table.
    fn encoded(&self) -> Result<Vec<u8>> {
        match self.pending.gone_since {
            Some(since) => codec::encode(Kind::PendingGone, &(self, since)),
            None => codec::encode(Kind::Pending, self),
        }
    }

    /// Back from a record of the table.
    pub(crate) fn decoded(record: &[u8]) -> Result<Self> {
        if !codec::is_of(Kind::PendingGone, record) {
            return codec::decode(Kind::Pending, record);
        }
        let (entry, since): (Self, Time) = codec::decode(Kind::PendingGone, record)?;
        Ok(entry.gone(since))
    }

    fn gone(mut self, since: Time) -> Self {
        self.pending.gone_since = Some(since);
        self
    }

    /// Its removal waits for the guard, or was let go by it (rule 5.6).
    pub(crate) fn leaves(&self) -> bool {
        self.pending.parked == Some(Parked::Removal) || goes(&self.pending)
    }

    /// Waits for a free hand only: marks below it join it while no pass has begun.
    fn absorbs(&self) -> bool {
        let pending = &self.pending;
        pending.reach > Reach::Path
            && pending.parked.is_none()
            && pending.begun.is_none()
            && !pending.waiting
            && pending.not_before == Time(0)
    }
}

/// In which order free entries are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    OldestFirst,
    NewestFirst,
    /// The oldest first of those that do not wait for anything, then the others.
    WaitingLast,
}

/// What the log holds of one path. Written from what is borrowed.
#[derive(Serialize, Deserialize)]
pub(crate) enum Logged<E, P> {
    Put(E),
    Gone(P),
    /// Of what is gone at the source since that time.
    PutGone(E, Time),
}

impl<'a, P> Logged<&'a Entry, P> {
    fn of(entry: &'a Entry) -> Self {
        match entry.pending.gone_since {
            Some(since) => Self::PutGone(entry, since),
            None => Self::Put(entry),
        }
    }
}

/// All pending entries.
#[derive(Debug)]
pub(crate) struct PendingSet {
    names: Names,
    hot: Hot,
    cold: Cold,
    claimed: BTreeSet<Key>,
    /// Claims given back since the last commit, to be taken up again if it fails.
    released: Vec<Key>,
    dirty: BTreeSet<Key>,
    /// The latest time at which work was asked for.
    now: Time,
    counts: PendingSummary,
    /// Questions for work since the start, per lane.
    takes: [u64; 3],
    log_bytes: usize,
    log_records: i64,
    hot_max: usize,
}

/// Delays that end at a time: others are not to wait for as many as may be due.
const DELAYS_ENDED_MAX: usize = 2_000;
/// The log is written anew when it is longer than this and than twice what it has to hold.
const LOG_BYTES_MAX: usize = 32 << 20;
/// Bytes of one log record when the log is written anew.
const LOG_RECORD_BYTES: usize = 256 << 10;

impl PendingSet {
    /// Reads the log and counts the table. Those that wait for the next start are due from now on;
    /// that is part of the next transaction.
    pub(crate) fn load(sql: &Connection, names: Names, hot_max: usize) -> Result<Self> {
        let mut set = Self {
            names,
            hot: Hot::default(),
            cold: Cold::load(sql)?,
            claimed: BTreeSet::new(),
            released: Vec::new(),
            dirty: BTreeSet::new(),
            now: Time(0),
            counts: PendingSummary::default(),
            takes: [0; 3],
            log_bytes: 0,
            log_records: 0,
            hot_max,
        };
        set.cold.count(sql, &mut set.counts)?;
        set.replay(sql)?;
        Ok(set)
    }

    fn replay(&mut self, sql: &Connection) -> Result<()> {
        let mut statement =
            sql.prepare_cached("SELECT sequence, record FROM pending_log ORDER BY sequence")?;
        let mut records = statement.query([])?;
        while let Some(row) = records.next()? {
            let record = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            self.log_bytes += record.len();
            self.log_records += 1;
            let (sequence, all): (i64, Vec<Logged<Entry, RelPath>>) =
                codec::decode(Kind::Log, record)?;
            if sequence != self.log_records || row.get::<_, i64>(0)? != sequence {
                return Err(LedgerError::damaged("the log of what is pending has gaps"));
            }
            for logged in all {
                let entry = match logged {
                    Logged::Put(entry) => entry,
                    Logged::PutGone(entry, since) => entry.gone(since),
                    Logged::Gone(path) => {
                        self.forget(&self.names.key(&path));
                        continue;
                    }
                };
                let key = self.names.key(&entry.pending.path);
                self.forget(&key);
                self.place(key, entry);
            }
        }
        self.dirty.clear();
        Ok(())
    }

    /// A new start: what waited for it is due now. True if there was anything.
    pub(crate) fn start(&mut self, sql: &Connection) -> Result<bool> {
        let mut waiting = self.hot.until_next_start();
        waiting.extend(self.cold.until_next_start(sql)?);
        for key in &waiting {
            self.change(sql, key, |entry| entry.pending.not_before = Time(0))?;
        }
        Ok(!waiting.is_empty())
    }

    fn forget(&mut self, key: &Key) {
        if let Some(entry) = self.hot.remove(key) {
            uncount(&mut self.counts, &entry.pending);
        }
    }

    fn place(&mut self, key: Key, entry: Entry) {
        count(&mut self.counts, &entry.pending);
        let free = !self.claimed.contains(&key);
        self.hot.insert(key, entry, free, self.now);
    }

    /// The entry of a key.
    pub(crate) fn get(&self, sql: &Connection, key: &Key) -> Result<Option<Entry>> {
        match self.hot.get(key) {
            Some(entry) => Ok(Some(entry.clone())),
            None => self.cold.get(sql, key),
        }
    }

    /// Takes the entry out, to be changed and attached again or to be gone.
    pub(crate) fn detach(&mut self, sql: &Connection, key: &Key) -> Result<Option<Entry>> {
        let entry = match self.hot.remove(key) {
            Some(entry) => entry,
            None => match self.cold.remove(sql, key)? {
                Some(entry) => entry,
                None => return Ok(None),
            },
        };
        uncount(&mut self.counts, &entry.pending);
        self.dirty.insert(key.clone());
        Ok(Some(entry))
    }

    /// Changes an entry; false if there is none.
    pub(crate) fn change(
        &mut self,
        sql: &Connection,
        key: &Key,
        change: impl FnOnce(&mut Entry),
    ) -> Result<bool> {
        if self.hot.get(key).is_none()
            && let Some(entry) = self.cold.remove(sql, key)?
        {
            uncount(&mut self.counts, &entry.pending);
            self.place(key.clone(), entry);
        }
        let free = !self.claimed.contains(key);
        let counts = &mut self.counts;
        let changed = self.hot.change(key, free, self.now, |entry| {
            uncount(counts, &entry.pending);
            change(entry);
            count(counts, &entry.pending);
        });
        if changed {
            self.dirty.insert(key.clone());
        }
        Ok(changed)
    }

    /// Puts an entry in whose path has none.
    pub(crate) fn attach(&mut self, entry: Entry) {
        let key = self.names.key(&entry.pending.path);
        self.dirty.insert(key.clone());
        self.place(key, entry);
    }

    /// The latest time at which work was asked for.
    pub(crate) fn now(&self) -> Time {
        self.now
    }

    pub(crate) fn is_claimed(&self, key: &Key) -> bool {
        self.claimed.contains(key)
    }

    /// Ends a claim: the entry may be taken again.
    pub(crate) fn release(&mut self, key: &Key) {
        if self.claimed.remove(key) {
            self.released.push(key.clone());
            self.hot.free(key, self.now);
        }
    }

    /// Claims, for a state loaded anew after a failed transaction.
    pub(crate) fn claims(&mut self) -> (BTreeSet<Key>, Time) {
        let mut claimed = std::mem::take(&mut self.claimed);
        claimed.extend(self.released.drain(..));
        (claimed, self.now)
    }

    pub(crate) fn restore_claims(&mut self, (claimed, now): (BTreeSet<Key>, Time)) {
        self.now = now;
        self.hot.due(now, &claimed);
        for key in &claimed {
            self.hot.claim(key);
        }
        self.claimed = claimed;
    }

    /// The entry above a path that a mark on it joins: one that waits for a free hand and reaches
    /// it. A change of content does not join one of metadata alone, which goes last; a commit
    /// marker that comes to the target joins none: readers wait for it, its own entry is what has
    /// the backlog of its group hastened, and what is above it may wait for it (rule 7.1).
    pub(crate) fn absorber(
        &self,
        sql: &Connection,
        path: &RelPath,
        reach: Reach,
        lane: Lane,
    ) -> Result<Option<Key>> {
        if !self.hot.any_coarse() && !self.cold.any_coarse() {
            return Ok(None);
        }
        for (distance, ancestor) in self.names.ancestors(path).into_iter().enumerate() {
            let key = self.names.key(&ancestor);
            let held;
            let entry = match self.hot.coarse(&key) {
                Some(entry) => entry,
                None if self.cold.any_coarse() => match self.cold.get(sql, &key)? {
                    Some(entry) => {
                        held = entry;
                        &held
                    }
                    None => continue,
                },
                None => continue,
            };
            let reaches = match entry.pending.reach {
                Reach::Path => false,
                Reach::Directory => distance == 0 && reach == Reach::Path,
                Reach::Subtree => true,
            };
            let late = match entry.pending.lane {
                Lane::Live | Lane::Backlog => lane == Lane::Live && is_commit_marker(path),
                Lane::Metadata => lane != Lane::Metadata,
            };
            if reaches && !late && entry.absorbs() && !self.claimed.contains(&key) {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// Claims free entries of a lane that are due, the oldest mark first; of the backlog the newest
    /// first, which keeps it small. Every fourth time it is otherwise: of the backlog the oldest go
    /// first, which else would never have their turn under changes that do not stop, and of the
    /// others what does not wait for anything, which older ones that come due again and again would
    /// keep from it.
    pub(crate) fn take(
        &mut self,
        sql: &Connection,
        lane: Lane,
        limit: usize,
        now: Time,
    ) -> Result<Vec<Entry>> {
        self.now = self.now.max(now);
        self.hot.due(self.now, &self.claimed);
        let takes = &mut self.takes[lane as usize];
        *takes += 1;
        let order = match (lane, takes.is_multiple_of(4)) {
            (Lane::Backlog, false) => Order::NewestFirst,
            (Lane::Backlog, true) | (Lane::Live | Lane::Metadata, false) => Order::OldestFirst,
            (Lane::Live | Lane::Metadata, true) => Order::WaitingLast,
        };
        let mut found = self.hot.free_ones(lane, order, limit);
        found.extend(self.cold.due_ones(sql, (lane, order), limit, self.now, &self.claimed)?);
        found.sort_by(|(left, one), (right, other)| match order {
            Order::OldestFirst => left.cmp(right),
            Order::NewestFirst => right.cmp(left),
            Order::WaitingLast => (one.pending.waiting, left).cmp(&(other.pending.waiting, right)),
        });
        found.truncate(limit);
        for ((_, key), _) in &found {
            self.hot.claim(key);
            self.claimed.insert(key.clone());
        }
        Ok(found.into_iter().map(|(_, entry)| entry).collect())
    }

    /// Visits the entries strictly below a path in the order of their keys, hot ones first, until
    /// `visit` returns false; false if it did. What is gone and kept for a time is passed over: it
    /// may be very much, and nobody waits for it (rule 5.7).
    pub(crate) fn visit_below(
        &self,
        sql: &Connection,
        path: &RelPath,
        visit: &mut dyn FnMut(&Key, &Entry) -> Result<bool>,
    ) -> Result<bool> {
        for span in self.names.below(path) {
            let mut guarded = |key: &Key, entry: &Entry| {
                // The root's own key lies in its own directory.
                let passed = entry.pending.path == *path || is_delayed(&entry.pending);
                if passed { Ok(true) } else { visit(key, entry) }
            };
            if !self.hot.visit(&span, &mut guarded)?
                || !self.cold.visit(sql, &span, &mut guarded)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Paths of the entries directly in a directory, names after `after` up to `last`, ascending.
    pub(crate) fn children(
        &self,
        sql: &Connection,
        directory: &RelPath,
        range: &NameRange<'_>,
    ) -> Result<Vec<RelPath>> {
        let mut keys = self.hot.children(directory, range);
        keys.extend(self.cold.children(sql, directory, range)?);
        keys.sort();
        let paths = keys.into_iter().map(|key| self.names.child(directory, &key.name));
        Ok(paths.filter(|path| path != directory).collect())
    }

    /// Paths of the commit markers that are pending directly in a directory, ascending: all, or the
    /// first ones.
    pub(crate) fn commit_markers(
        &self,
        sql: &Connection,
        directory: &RelPath,
        limit: Option<usize>,
    ) -> Result<Vec<RelPath>> {
        let limit = limit.unwrap_or(usize::MAX);
        let mut keys = self.hot.commit_markers(directory, limit);
        keys.extend(self.cold.commit_markers(sql, directory, limit)?);
        keys.sort();
        keys.truncate(limit);
        Ok(keys.into_iter().map(|key| self.names.child(directory, &key.name)).collect())
    }

    /// Parked entries after a key, ascending; not those that wait for their time.
    pub(crate) fn parked(
        &self,
        sql: &Connection,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>> {
        self.told(sql, (after, limit), false)
    }

    /// Those that wait for their time, after a key, ascending.
    pub(crate) fn delayed(
        &self,
        sql: &Connection,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>> {
        self.told(sql, (after, limit), true)
    }

    fn told(
        &self,
        sql: &Connection,
        (after, limit): (Option<&Key>, usize),
        delayed: bool,
    ) -> Result<Vec<Entry>> {
        let mut found = self.hot.parked(after, limit, delayed);
        found.extend(self.cold.parked(sql, after, limit, delayed)?);
        found.sort_by_key(|entry| self.names.key(&entry.pending.path));
        found.truncate(limit);
        Ok(found)
    }

    /// Visits the entries whose removal waits for the guard, or was let go by it.
    pub(crate) fn visit_leaving(
        &self,
        sql: &Connection,
        visit: &mut dyn FnMut(&Entry) -> Result<()>,
    ) -> Result<()> {
        let mut let_go = 0;
        for entry in self.hot.entries().filter(|entry| entry.leaves()) {
            let_go += u64::from(goes(&entry.pending));
            visit(entry)?;
        }
        // Those of the table have no index: they are looked for only if there are any.
        self.cold.visit_leaving(sql, self.counts.let_go > let_go, visit)
    }

    /// True if anything is parked as open or failed.
    pub(crate) fn any_idle(&self) -> bool {
        self.counts.open + self.counts.failed > 0
    }

    /// Keys of the entries that are parked for a reason.
    pub(crate) fn parked_for(&self, sql: &Connection, reason: Parked) -> Result<Vec<Key>> {
        let here = self.hot.entries().filter(|entry| entry.pending.parked == Some(reason));
        let mut keys: Vec<Key> = here.map(|entry| self.names.key(&entry.pending.path)).collect();
        keys.extend(self.cold.parked_for(sql, reason)?);
        Ok(keys)
    }

    /// Keys of entries parked as delayed that are due by a time, those in memory first; some of
    /// them, if there are very many.
    pub(crate) fn delayed_by(&self, sql: &Connection, due_by: Time) -> Result<Vec<Key>> {
        let mut keys = self.hot.delayed_by(due_by, DELAYS_ENDED_MAX);
        let left = DELAYS_ENDED_MAX - keys.len();
        keys.extend(self.cold.delayed_by(sql, due_by, left)?);
        Ok(keys)
    }

    /// True if any entry is known to be gone since a time.
    pub(crate) fn any_gone(&self) -> bool {
        self.counts.gone > 0
    }

    /// True if any entry is parked as delayed.
    pub(crate) fn any_delayed(&self) -> bool {
        self.counts.delayed > 0
    }

    /// True if an entry that is neither parked nor waiting, other than `except`, was first pending
    /// at or before a transaction.
    pub(crate) fn active_since(
        &self,
        sql: &Connection,
        txid: TxId,
        except: &RelPath,
    ) -> Result<bool> {
        Ok(self.hot.active_since(txid, &self.names.key(except))
            || self.cold.active_since(sql, txid, &self.names.key(except))?)
    }

    /// What is pending now, without what is counted elsewhere.
    pub(crate) fn summary(&self, sql: &Connection) -> Result<PendingSummary> {
        let mut summary = self.counts;
        let cold = self.cold.least(sql, self.now)?;
        summary.first_txid = least(self.hot.first_txid(), cold.first_txid);
        summary.first_seen = least(self.hot.first_seen(), cold.first_seen);
        summary.next_due = least(self.hot.next_due(self.now), cold.next_due);
        summary.delayed_next = least(self.hot.delayed_next(), cold.delayed_next);
        Ok(summary)
    }

    /// Another bound of the hot part, from the next transaction on.
    pub(crate) fn keep_in_memory(&mut self, hot_max: usize) {
        self.hot_max = hot_max;
    }

    /// Writes what changed since the last commit; part of the caller's transaction. Says how many
    /// entries became cold.
    pub(crate) fn flush(&mut self, sql: &Connection) -> Result<u64> {
        let cooled = if self.hot.len() > self.hot_max { self.cool(sql)? } else { 0 };
        if self.dirty.is_empty() {
            return Ok(cooled);
        }
        let dirty = std::mem::take(&mut self.dirty);
        let logged: Vec<Logged<&Entry, RelPath>> = dirty
            .iter()
            .map(|key| match self.hot.get(key) {
                Some(entry) => Logged::of(entry),
                None => Logged::Gone(self.path(key)),
            })
            .collect();
        let record = codec::encode(Kind::Log, &(self.log_records + 1, &logged))?;
        self.append(sql, &record)?;
        if self.log_bytes > LOG_BYTES_MAX && self.log_bytes > 2 * self.hot.bytes() {
            self.rewrite_log(sql)?;
        }
        Ok(cooled)
    }

    /// Records in the table and in the log.
    pub(crate) fn stored(&self) -> (u64, u64) {
        (self.cold.stored(), self.log_records.unsigned_abs())
    }

    /// The transaction is durable.
    pub(crate) fn committed(&mut self) {
        self.released.clear();
    }

    fn path(&self, key: &Key) -> RelPath {
        if key.directory.is_root() && key.name.is_empty() {
            RelPath::root()
        } else {
            self.names.child(&key.directory, &key.name)
        }
    }

    /// Moves free entries to the table until a tenth of the bound is free again, a part at a time so
    /// that no transaction takes long: those of paths alone first. Says how many.
    fn cool(&mut self, sql: &Connection) -> Result<u64> {
        let before = self.hot.len();
        let mut excess = before - self.hot_max + self.hot_max / 10;
        for coarse in [false, true] {
            let victims = self.hot.keys(coarse, excess, &self.claimed);
            excess -= victims.len();
            for key in victims {
                if let Some(entry) = self.hot.remove(&key) {
                    self.cold.insert(sql, &key, &entry)?;
                    self.dirty.insert(key);
                }
            }
        }
        Ok((before - self.hot.len()) as u64)
    }

    fn rewrite_log(&mut self, sql: &Connection) -> Result<()> {
        sql.prepare_cached("DELETE FROM pending_log")?.execute([])?;
        self.log_bytes = 0;
        self.log_records = 0;
        self.dirty.clear();
        let mut records = Vec::new();
        let mut logged: Vec<Logged<&Entry, &RelPath>> = Vec::new();
        let mut bytes = 0;
        let mut left = self.hot.len();
        for entry in self.hot.entries() {
            bytes += hot::weight(entry);
            left -= 1;
            logged.push(Logged::of(entry));
            if bytes > LOG_RECORD_BYTES || left == 0 {
                let sequence = i64::try_from(records.len()).unwrap_or(i64::MAX) + 1;
                records.push(codec::encode(Kind::Log, &(sequence, &logged))?);
                logged.clear();
                bytes = 0;
            }
        }
        records.iter().try_for_each(|record| self.append(sql, record))
    }

    fn append(&mut self, sql: &Connection, record: &[u8]) -> Result<()> {
        self.log_records += 1;
        self.log_bytes += record.len();
        sql.prepare_cached("INSERT INTO pending_log (sequence, record) VALUES (?1, ?2)")?
            .execute(params![self.log_records, record])?;
        Ok(())
    }
}

/// Names after `after` up to and including `last`; `None` is no bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameRange<'a> {
    pub after: Option<&'a [u8]>,
    pub last: Option<&'a [u8]>,
}

impl NameRange<'_> {
    pub(crate) fn contains(&self, name: &[u8]) -> bool {
        self.after.is_none_or(|after| name > after) && self.last.is_none_or(|last| name <= last)
    }
}

/// The directories of a span, as a range of keys begins.
pub(crate) fn in_span(span: &Span, key: &Key) -> bool {
    let directory = key.directory.as_bytes();
    directory >= span.from.as_slice()
        && span.until.as_ref().is_none_or(|until| directory < until.as_slice())
}

fn least<T: Ord>(left: Option<T>, right: Option<T>) -> Option<T> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (left, right) => left.or(right),
    }
}

fn counter<'a>(counts: &'a mut PendingSummary, pending: &Pending) -> &'a mut u64 {
    match (pending.parked, pending.lane) {
        (Some(Parked::Open), _) => &mut counts.open,
        (Some(Parked::Failed), _) => &mut counts.failed,
        (Some(Parked::Guard), _) => &mut counts.guarded,
        (Some(Parked::Removal), _) => &mut counts.removals,
        (Some(Parked::Foreign), _) => &mut counts.foreign,
        (Some(Parked::Delayed), _) => &mut counts.delayed,
        (None, Lane::Live) => &mut counts.lanes[0],
        (None, Lane::Backlog) => &mut counts.lanes[1],
        (None, Lane::Metadata) => &mut counts.lanes[2],
    }
}

fn coarsens(pending: &Pending) -> bool {
    // One entry of each directory, in haste or not: joined it would be gone through from above again.
    let scan = pending.reach > Reach::Path
        && (pending.lane == Lane::Backlog || pending.first_txid == TxId(0));
    // It waits for its group, and would be met by each pass and wait again.
    let sign = pending.lane == Lane::Live
        && pending.reach == Reach::Path
        && is_commit_marker(&pending.path);
    let free = pending.parked.is_none() && !pending.waiting;
    free && pending.let_go.is_none() && pending.gone_since.is_none() && !scan && !sign
}

fn is_delayed(pending: &Pending) -> bool {
    pending.parked == Some(Parked::Delayed)
}

/// The guard let its removal go.
fn goes(pending: &Pending) -> bool {
    pending.parked.is_none() && pending.let_go == Some(LetGo::Guard)
}

fn count(counts: &mut PendingSummary, pending: &Pending) {
    *counter(counts, pending) += 1;
    counts.let_go += u64::from(goes(pending));
    counts.gone += u64::from(pending.gone_since.is_some());
    counts.coarsenable += u64::from(coarsens(pending));
}

fn uncount(counts: &mut PendingSummary, pending: &Pending) {
    let counter = counter(counts, pending);
    *counter = counter.saturating_sub(1);
    counts.let_go = counts.let_go.saturating_sub(u64::from(goes(pending)));
    counts.gone = counts.gone.saturating_sub(u64::from(pending.gone_since.is_some()));
    counts.coarsenable = counts.coarsenable.saturating_sub(u64::from(coarsens(pending)));
}

/// The key that a cold record belongs to has to be the one it stands under.
fn checked(names_key: Key, key: &Key) -> Result<()> {
    if names_key == *key {
        return Ok(());
    }
    Err(LedgerError::damaged("a pending entry stands under the key of another"))
}
