//! The part of what is pending that is in memory, with the orders in which it is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;
use whimbrel_core::commit_marker;
use whimbrel_core::number::{Mark, Time, TxId};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Lane, Pending, Reach};

use super::{Entry, NEXT_START, NameRange, Order, in_span, is_delayed};
use crate::error::Result;
use crate::key::{Key, Span};

/// Rough bytes of an entry besides its texts, in memory as in the log.
const ENTRY_BYTES: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Hot {
    entries: BTreeMap<Key, Entry>,
    /// Free and due, per lane and by whether they wait for something.
    free: [[BTreeSet<(Mark, Key)>; 2]; 3],
    /// Not due yet.
    timed: BTreeSet<(Time, Key)>,
    /// Parked as delayed.
    delayed: BTreeSet<(Time, Key)>,
    /// Not parked, by whether they wait for a rename's other end.
    txids: BTreeSet<(bool, TxId, Key)>,
    /// Not parked.
    seen: BTreeSet<(Time, Key)>,
    commit_markers: BTreeSet<Key>,
    /// Those that reach below their path: each mark asks whether one of them is above it.
    coarse: BTreeSet<Key>,
    bytes: usize,
}

/// Where an entry stands in the orders.
struct Places {
    /// Lane, whether it waits, and mark.
    free: Option<(usize, usize, Mark)>,
    timed: Option<Time>,
    delayed: Option<Time>,
    txid: Option<(bool, TxId)>,
    seen: Option<Time>,
}

impl Places {
    fn of(entry: &Entry, free: bool, now: Time) -> Self {
        let pending = &entry.pending;
        let takeable = entry.takeable();
        let due = pending.not_before <= now;
        let active = pending.parked.is_none();
        Self {
            free: (takeable && due && free).then(|| free_place(pending)),
            timed: (takeable && !due).then_some(pending.not_before),
            delayed: is_delayed(pending).then_some(pending.not_before),
            txid: active.then_some((pending.waiting, pending.first_txid)),
            seen: active.then_some(pending.first_seen),
        }
    }
}

/// Rough bytes of an entry.
pub(super) fn weight(entry: &Entry) -> usize {
    let cursor = entry.pending.cursor.as_ref().map_or(0, Bytes::len);
    let message = entry.message.as_ref().map_or(0, String::len);
    ENTRY_BYTES + entry.pending.path.as_bytes().len() + cursor + message
}

fn free_place(pending: &Pending) -> (usize, usize, Mark) {
    (lane_index(pending.lane), usize::from(pending.waiting), pending.mark)
}

fn lane_index(lane: Lane) -> usize {
    match lane {
        Lane::Live => 0,
        Lane::Backlog => 1,
        Lane::Metadata => 2,
    }
}

impl Hot {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn any_coarse(&self) -> bool {
        !self.coarse.is_empty()
    }

    /// The entry of a key, if it reaches below its path.
    pub(super) fn coarse(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(self.coarse.get(key)?)
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// The first keys that are not claimed, of entries that reach below their path or do not.
    pub(super) fn keys(&self, coarse: bool, limit: usize, claimed: &BTreeSet<Key>) -> Vec<Key> {
        self.entries
            .iter()
            .filter(|(key, entry)| is_coarse(entry) == coarse && !claimed.contains(*key))
            .map(|(key, _)| key.clone())
            .take(limit)
            .collect()
    }

    /// Puts an entry in; `free` if nobody holds it.
    pub(super) fn insert(&mut self, key: Key, entry: Entry, free: bool, now: Time) {
        let pending = &entry.pending;
        let places = Places::of(&entry, free, now);
        if let Some((lane, waits, mark)) = places.free {
            self.free[lane][waits].insert((mark, key.clone()));
        }
        if let Some(time) = places.timed {
            self.timed.insert((time, key.clone()));
        }
        if let Some(time) = places.delayed {
            self.delayed.insert((time, key.clone()));
        }
        if let Some((waiting, txid)) = places.txid {
            self.txids.insert((waiting, txid, key.clone()));
        }
        if let Some(time) = places.seen {
            self.seen.insert((time, key.clone()));
        }
        if commit_marker::is_commit_marker(&pending.path) {
            self.commit_markers.insert(key.clone());
        }
        if is_coarse(&entry) {
            self.coarse.insert(key.clone());
        }
        self.bytes += weight(&entry);
        self.entries.insert(key, entry);
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        let pending = &entry.pending;
        if entry.takeable() {
            let (lane, waits, mark) = free_place(pending);
            self.free[lane][waits].remove(&(mark, key.clone()));
            if pending.not_before > Time(0) {
                self.timed.remove(&(pending.not_before, key.clone()));
            }
        }
        if is_delayed(pending) {
            self.delayed.remove(&(pending.not_before, key.clone()));
        }
        if pending.parked.is_none() {
            self.txids.remove(&(pending.waiting, pending.first_txid, key.clone()));
            self.seen.remove(&(pending.first_seen, key.clone()));
        }
        if !self.commit_markers.is_empty() {
            self.commit_markers.remove(key);
        }
        if is_coarse(&entry) {
            self.coarse.remove(key);
        }
        self.bytes -= weight(&entry);
        Some(entry)
    }

    /// Changes an entry where it stands, and its place in the orders that the change touches.
    /// True if it is here.
    pub(super) fn change(
        &mut self,
        key: &Key,
        free: bool,
        now: Time,
        change: impl FnOnce(&mut Entry),
    ) -> bool {
        let Some(entry) = self.entries.get_mut(key) else {
            return false;
        };
        let before = Places::of(entry, free, now);
        let weight_before = weight(entry);
        let was_coarse = is_coarse(entry);
        change(entry);
        let after = Places::of(entry, free, now);
        if was_coarse && !is_coarse(entry) {
            self.coarse.remove(key);
        } else if !was_coarse && is_coarse(entry) {
            self.coarse.insert(key.clone());
        }
        self.bytes = self.bytes - weight_before + weight(entry);
        let place = |key: &Key| key.clone();
        if before.free != after.free {
            if let Some((lane, waits, mark)) = before.free {
                self.free[lane][waits].remove(&(mark, place(key)));
            }
            if let Some((lane, waits, mark)) = after.free {
                self.free[lane][waits].insert((mark, place(key)));
            }
        }
        if before.timed != after.timed {
            if let Some(time) = before.timed {
                self.timed.remove(&(time, place(key)));
            }
            if let Some(time) = after.timed {
                self.timed.insert((time, place(key)));
            }
        }
        if before.delayed != after.delayed {
            if let Some(time) = before.delayed {
                self.delayed.remove(&(time, place(key)));
            }
            if let Some(time) = after.delayed {
                self.delayed.insert((time, place(key)));
            }
        }
        if before.txid != after.txid {
            if let Some((waiting, txid)) = before.txid {
                self.txids.remove(&(waiting, txid, place(key)));
            }
            if let Some((waiting, txid)) = after.txid {
                self.txids.insert((waiting, txid, place(key)));
            }
        }
        if before.seen != after.seen {
            if let Some(time) = before.seen {
                self.seen.remove(&(time, place(key)));
            }
            if let Some(time) = after.seen {
                self.seen.insert((time, place(key)));
            }
        }
        true
    }

    /// Nobody holds it any more.
    pub(super) fn free(&mut self, key: &Key, now: Time) {
        if let Some(entry) = self.entries.get(key)
            && entry.takeable()
            && entry.pending.not_before <= now
        {
            let (lane, waits, mark) = free_place(&entry.pending);
            self.free[lane][waits].insert((mark, key.clone()));
        }
    }

    /// Somebody holds it.
    pub(super) fn claim(&mut self, key: &Key) {
        if let Some(entry) = self.entries.get(key) {
            let (lane, waits, mark) = free_place(&entry.pending);
            self.free[lane][waits].remove(&(mark, key.clone()));
        }
    }

    /// Those whose time has come by `now` are free.
    pub(super) fn due(&mut self, now: Time, claimed: &BTreeSet<Key>) {
        while let Some((time, key)) = self.timed.first()
            && *time <= now
        {
            let key = key.clone();
            self.timed.pop_first();
            if !claimed.contains(&key) {
                self.free(&key, now);
            }
        }
    }

    /// The first of the lane in this order, and others with them.
    pub(super) fn free_ones(
        &self,
        lane: Lane,
        order: Order,
        limit: usize,
    ) -> Vec<((Mark, Key), Entry)> {
        let entry = |place: &(Mark, Key)| {
            self.entries.get(&place.1).map(|entry| (place.clone(), entry.clone()))
        };
        let of = |free: &BTreeSet<(Mark, Key)>| -> Vec<((Mark, Key), Entry)> {
            match order {
                Order::NewestFirst => free.iter().rev().take(limit).filter_map(entry).collect(),
                Order::OldestFirst | Order::WaitingLast => {
                    free.iter().take(limit).filter_map(entry).collect()
                }
            }
        };
        let [at_once, waiting] = &self.free[lane_index(lane)];
        let mut found = of(at_once);
        found.extend(of(waiting));
        found
    }

    pub(super) fn until_next_start(&self) -> Vec<Key> {
        let waiting = self.timed.iter().rev().take_while(|(time, _)| *time == NEXT_START);
        waiting.map(|(_, key)| key.clone()).collect()
    }

    pub(super) fn visit(
        &self,
        span: &Span,
        visit: &mut dyn FnMut(&Key, &Entry) -> Result<bool>,
    ) -> Result<bool> {
        let from = Key { directory: RelPath::new(span.from.clone()), name: Bytes::new() };
        for (key, entry) in self.entries.range(from..) {
            if !in_span(span, key) {
                break;
            }
            if !visit(key, entry)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn children(&self, directory: &RelPath, range: &NameRange<'_>) -> Vec<Key> {
        let from = Key {
            directory: directory.clone(),
            name: Bytes::copy_from_slice(range.after.unwrap_or_default()),
        };
        self.entries
            .range(from..)
            .map(|(key, _)| key)
            .take_while(|key| {
                key.directory == *directory
                    && range.last.is_none_or(|last| key.name.as_ref() <= last)
            })
            .filter(|key| range.contains(&key.name))
            .cloned()
            .collect()
    }

    pub(super) fn commit_markers(&self, directory: &RelPath, limit: usize) -> Vec<Key> {
        let from = Key { directory: directory.clone(), name: Bytes::new() };
        let inside = self.commit_markers.range(from..);
        inside.take_while(|key| key.directory == *directory).take(limit).cloned().collect()
    }

    /// Parked ones after a key: those that wait for their time, or all others.
    pub(super) fn parked(&self, after: Option<&Key>, limit: usize, delayed: bool) -> Vec<Entry> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let entries = self.entries.range((from, Bound::Unbounded)).map(|(_, entry)| entry);
        let told = |entry: &&Entry| {
            entry.pending.parked.is_some() && is_delayed(&entry.pending) == delayed
        };
        entries.filter(told).take(limit).cloned().collect()
    }

    pub(super) fn delayed_by(&self, due_by: Time, limit: usize) -> Vec<Key> {
        let due = self.delayed.iter().take_while(|(time, _)| *time <= due_by);
        due.take(limit).map(|(_, key)| key.clone()).collect()
    }

    pub(super) fn delayed_next(&self) -> Option<Time> {
        self.delayed.first().map(|(time, _)| *time)
    }

    pub(super) fn active_since(&self, txid: TxId, except: &Key) -> bool {
        let active = self.txids.iter().take_while(|(waiting, ..)| !waiting);
        let mut since = active.take_while(|(_, first, _)| *first <= txid).map(|(_, _, key)| key);
        since.any(|key| key != except && !self.commit_markers.contains(key))
    }

    pub(super) fn first_txid(&self) -> Option<TxId> {
        let active = self.txids.first().map(|(_, txid, _)| *txid);
        let none = Key { directory: RelPath::root(), name: Bytes::new() };
        let waiting = self.txids.range((true, TxId(0), none)..).next().map(|(_, txid, _)| *txid);
        active.into_iter().chain(waiting).min()
    }

    pub(super) fn first_seen(&self) -> Option<Time> {
        self.seen.first().map(|(time, _)| *time)
    }

    pub(super) fn next_due(&self, now: Time) -> Option<Time> {
        let next = self.timed.first().map(|(time, _)| *time);
        next.filter(|time| *time > now && *time != NEXT_START)
    }
}

fn is_coarse(entry: &Entry) -> bool {
    entry.pending.reach > Reach::Path
}

#[cfg(test)]
mod tests {
    use whimbrel_core::record::{Parked, Pending};

    use super::*;

    fn entry(path: &str, reach: Reach) -> Entry {
        Entry::fresh(Pending {
            path: path.into(),
            reach,
            lane: Lane::Live,
            first_txid: TxId(1),
            last_txid: TxId(1),
            first_seen: Time(1),
            last_seen: Time(1),
            mark: Mark(1),
            begun: None,
            cursor: None,
            not_before: Time(0),
            tries: 0,
            waiting: false,
            parked: None,
            let_go: None,
            gone_since: None,
        })
    }

    fn key(name: &str) -> Key {
        Key { directory: RelPath::root(), name: Bytes::copy_from_slice(name.as_bytes()) }
    }

    /// The bound of the log is reckoned by it.
    #[test]
    fn what_stands_in_memory_is_weighed() {
        let mut hot = Hot::default();
        let mut large = entry("large", Reach::Path);
        large.pending.cursor = Some(Bytes::from_static(b"0123456789"));
        large.message = Some("m".repeat(100));
        assert_eq!(weight(&large), ENTRY_BYTES + 5 + 10 + 100);
        hot.insert(key("large"), large, true, Time(0));
        hot.insert(key("s"), entry("s", Reach::Path), true, Time(0));
        assert_eq!(hot.bytes(), (ENTRY_BYTES + 115) + (ENTRY_BYTES + 1));
        let changed = hot.change(&key("s"), true, Time(0), |entry| {
            entry.message = Some("twenty bytes of text".to_owned());
        });
        assert!(changed);
        assert_eq!(hot.bytes(), (ENTRY_BYTES + 115) + (ENTRY_BYTES + 21));
        assert!(hot.remove(&key("large")).is_some());
        assert_eq!((hot.len(), hot.bytes()), (1, ENTRY_BYTES + 21));
    }

    #[test]
    fn what_reaches_below_its_path_is_known_as_such() {
        let mut hot = Hot::default();
        hot.insert(key("d"), entry("d", Reach::Directory), true, Time(0));
        for name in ["a", "x", "z"] {
            hot.insert(key(name), entry(name, Reach::Path), true, Time(0));
        }
        assert!(hot.any_coarse());
        let claimed = BTreeSet::from([key("a")]);
        assert_eq!(hot.keys(false, 9, &claimed), [key("x"), key("z")]);
        assert_eq!(hot.keys(false, 1, &claimed), [key("x")]);
        assert_eq!(hot.keys(true, 9, &claimed), [key("d")]);
        hot.change(&key("d"), true, Time(0), |entry| entry.pending.reach = Reach::Path);
        assert!(!hot.any_coarse());
        hot.change(&key("x"), true, Time(0), |entry| entry.pending.reach = Reach::Subtree);
        assert!(hot.any_coarse());
        hot.remove(&key("x"));
        assert!(!hot.any_coarse());
    }

    #[test]
    fn the_next_time_is_no_start_and_not_now() {
        let mut hot = Hot::default();
        let mut waits_until = |name: &str, time: Time| {
            let mut entry = entry(name, Reach::Path);
            entry.pending.parked = Some(Parked::Failed);
            entry.pending.not_before = time;
            hot.insert(key(name), entry, true, Time(0));
            (hot.next_due(Time(5)), hot.until_next_start().len())
        };
        assert_eq!(waits_until("start", NEXT_START), (None, 1));
        assert_eq!(waits_until("late", Time(6)), (Some(Time(6)), 1));
        assert_eq!(waits_until("now", Time(5)), (None, 1));
    }
}
