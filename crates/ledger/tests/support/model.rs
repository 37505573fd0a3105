//! The ledger as plain maps, without a thought for speed: what the real one is compared with.

#![allow(clippy::wildcard_enum_match_arm, reason = "what the model lacks makes it panic")]

use std::collections::{BTreeMap, BTreeSet};

use whimbrel_core::commit_marker::is_commit_marker;
use whimbrel_core::identity::{Identity, Sameness};
use whimbrel_core::losses::Losses;
use whimbrel_core::number::{AttemptNumber, Mark, Time, TxId};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{
    Attempt, AttemptKind, Change, DirectoryRecord, Found, Hint, Lane, LetGo, Meta, Parked, Pending,
    PendingSummary, Reach, Row,
};

/// One pending entry.
#[derive(Clone, Debug)]
pub struct Entry {
    pub pending: Pending,
    pub message: Option<String>,
    grown: Mark,
    claimed: bool,
    /// Every mark with its reach.
    marks: Vec<(Mark, Reach)>,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub entries: BTreeMap<RelPath, Entry>,
    pub rows: BTreeMap<RelPath, Row>,
    pub found: BTreeMap<RelPath, Found>,
    pub directories: BTreeMap<RelPath, DirectoryRecord>,
    pub attempts: BTreeMap<AttemptNumber, Attempt>,
    pub hints: BTreeSet<Hint>,
    pub meta: Meta,
    now: Time,
    takes: [u64; 3],
}

fn reaches(above: &Pending, path: &RelPath) -> bool {
    let parent = path.parent();
    match above.reach {
        Reach::Path => false,
        Reach::Directory => parent.as_ref() == Some(&above.path),
        Reach::Subtree => above.path != *path && above.path.contains(path),
    }
}

impl Model {
    /// Claims end and what waited for the next start is due.
    pub fn restart(&mut self) {
        self.now = Time(0);
        self.takes = [0; 3];
        for entry in self.entries.values_mut() {
            entry.claimed = false;
            let delayed = entry.pending.parked == Some(Parked::Delayed);
            if entry.pending.not_before == Time(u64::MAX) && !delayed {
                entry.pending.not_before = Time(0);
            }
        }
    }

    pub fn take(&mut self, lane: Lane, limit: usize, now: Time) -> Vec<Pending> {
        self.now = self.now.max(now);
        let mut due: Vec<&mut Entry> = self
            .entries
            .values_mut()
            .filter(|entry| {
                let pending = &entry.pending;
                pending.lane == lane
                    && !entry.claimed
                    && matches!(pending.parked, None | Some(Parked::Failed))
                    && pending.not_before <= self.now
            })
            .collect();
        due.sort_by_key(|entry| (entry.pending.mark, entry.pending.path.split()));
        let takes = &mut self.takes[lane as usize];
        *takes += 1;
        match (lane, takes.is_multiple_of(4)) {
            (Lane::Backlog, false) => due.reverse(),
            (Lane::Backlog, true) | (Lane::Live | Lane::Metadata, false) => {}
            (Lane::Live | Lane::Metadata, true) => due.sort_by_key(|entry| entry.pending.waiting),
        }
        due.truncate(limit);
        due.into_iter()
            .map(|entry| {
                entry.claimed = true;
                entry.pending.clone()
            })
            .collect()
    }

    pub fn summary(&self) -> PendingSummary {
        let mut summary = PendingSummary {
            attempts: self.attempts.len() as u64,
            found: self.found.len() as u64,
            rows: self.rows.len() as u64,
            ledger_only: self.rows.values().filter(|row| row.ledger_only).count() as u64,
            ..PendingSummary::default()
        };
        summary.lost = self.meta.losses.last();
        for Entry { pending, .. } in self.entries.values() {
            summary.gone += u64::from(pending.gone_since.is_some());
            match pending.parked {
                None => {
                    summary.lanes[pending.lane as usize] += 1;
                    summary.coarsenable += u64::from(coarsens(pending));
                    summary.let_go += u64::from(pending.let_go == Some(LetGo::Guard));
                    let txid = summary.first_txid.unwrap_or(TxId(u64::MAX));
                    summary.first_txid = Some(txid.min(pending.first_txid));
                    let seen = summary.first_seen.unwrap_or(Time(u64::MAX));
                    summary.first_seen = Some(seen.min(pending.first_seen));
                }
                Some(Parked::Open) => summary.open += 1,
                Some(Parked::Failed) => summary.failed += 1,
                Some(Parked::Guard) => summary.guarded += 1,
                Some(Parked::Removal) => summary.removals += 1,
                Some(Parked::Foreign) => summary.foreign += 1,
                Some(Parked::Delayed) => {
                    summary.delayed += 1;
                    let next = summary.delayed_next.unwrap_or(pending.not_before);
                    summary.delayed_next = Some(next.min(pending.not_before));
                    continue;
                }
            }
            if pending.not_before > self.now && pending.not_before < Time(u64::MAX) {
                let due = summary.next_due.unwrap_or(pending.not_before);
                summary.next_due = Some(due.min(pending.not_before));
            }
        }
        summary.found = summary.found.saturating_sub(summary.foreign);
        summary
    }

    pub fn group_incomplete(&self, marker: &RelPath, group: &RelPath, up_to: TxId) -> bool {
        let of_marker = self.entries.values().map(|entry| &entry.pending);
        let of_marker = of_marker.filter(|it| it.path == *marker || reaches(it, marker));
        let up_to = of_marker.map(|pending| pending.last_txid).fold(up_to, TxId::max);
        let lost = self.attempts.values().any(|attempt| {
            let path = &attempt.path;
            let row = self.rows.get(path).filter(|_| attempt.doubtful_until.is_some());
            let other = row.is_some_and(|row| {
                attempt.kind == AttemptKind::Remove
                    || attempt.identity.compare(&row.identity) != Sameness::Same
            });
            other && group.contains(path) && !path.is_marker() && !is_commit_marker(path)
        });
        lost || self.entries.values().map(|entry| &entry.pending).any(|pending| {
            pending.first_txid <= up_to
                && pending.parked != Some(Parked::Open)
                && !pending.is_gone_for_a_time()
                && !is_commit_marker(&pending.path)
                && (group.contains(&pending.path) || reaches(pending, group))
        })
    }

    pub fn hints_wait(&self, path: &RelPath) -> bool {
        self.hints.iter().any(|hint| {
            (hint.from.contains(path) || path.contains(&hint.from))
                && self.entries.values().map(|entry| &entry.pending).any(|pending| {
                    pending.parked.is_none()
                        && !pending.waiting
                        && pending.path != *path
                        && !is_commit_marker(&pending.path)
                        && pending.first_txid <= hint.txid
                        && (hint.to.contains(&pending.path) || reaches(pending, &hint.to))
                })
        })
    }

    pub fn apply(&mut self, change: &Change) {
        match change.clone() {
            Change::Mark { path, reach, lane, first_txid, last_txid, seen, mark } => {
                let next = Mark(mark.0 + 1);
                self.meta.next_mark = self.meta.next_mark.max(next);
                self.mark(Pending {
                    path,
                    reach,
                    lane,
                    first_txid,
                    last_txid,
                    first_seen: seen,
                    last_seen: seen,
                    mark,
                    begun: None,
                    cursor: None,
                    tries: 0,
                    not_before: Time(0),
                    waiting: false,
                    parked: None,
                    let_go: None,
                    gone_since: None,
                });
            }
            Change::Coarsen { path, subtree } => self.coarsen(&path, subtree),
            Change::HintAdded(hint) => self.hint(hint),
            other => self.apply_to_entries(other),
        }
    }

    fn apply_to_entries(&mut self, change: Change) {
        match change {
            Change::Settle { path, up_to, as_of } => self.settle(&path, up_to, as_of),
            Change::Park { path, up_to, reason, retry_at, message } => {
                let Some(entry) = self.entries.get_mut(&path) else { return };
                entry.claimed = false;
                if entry.pending.mark <= up_to {
                    entry.pending.parked = Some(reason);
                    entry.pending.waiting = false;
                    entry.pending.not_before = match (reason, retry_at) {
                        (Parked::Failed, Some(time)) => time,
                        (Parked::Failed, None) => Time(u64::MAX),
                        (Parked::Delayed, Some(time)) => time,
                        _ => Time(0),
                    };
                    entry.message = Some(message);
                }
            }
            Change::Defer { path, up_to, not_before, tries, waiting } => {
                let Some(entry) = self.entries.get_mut(&path) else { return };
                entry.claimed = false;
                if entry.pending.mark <= up_to {
                    let pending = &mut entry.pending;
                    (pending.not_before, pending.tries) = (not_before, tries);
                    (pending.waiting, pending.parked) = (waiting, None);
                    entry.message = None;
                }
            }
            Change::Hasten(path) => {
                let Some(entry) = self.entries.get_mut(&path) else { return };
                entry.pending.lane = Lane::Live;
            }
            Change::Reconsider { below, up_to } => {
                for (path, entry) in &mut self.entries {
                    let idle = matches!(entry.pending.parked, Some(Parked::Open | Parked::Failed));
                    let under = *path != below && below.contains(path);
                    if idle && under && entry.pending.mark <= up_to && !entry.claimed {
                        entry.pending.parked = None;
                        entry.pending.not_before = Time(0);
                        entry.message = None;
                    }
                }
            }
            Change::Release(reason) => {
                self.unpark(&[reason], (reason == Parked::Removal).then_some(LetGo::Guard));
            }
            Change::Confirmed => {
                self.meta.losses = Losses::default();
                self.unpark(&[Parked::Guard, Parked::Removal], Some(LetGo::Person));
            }
            Change::HoldRemovals { message } => {
                for entry in self.entries.values_mut() {
                    if entry.pending.parked == Some(Parked::Removal) {
                        entry.pending.parked = Some(Parked::Guard);
                        entry.message = Some(message.clone());
                    }
                }
            }
            Change::Advance { path, begun, cursor } => {
                let Some(entry) = self.entries.get_mut(&path) else { return };
                if begun >= entry.grown {
                    (entry.pending.begun, entry.pending.cursor) = (Some(begun), cursor);
                }
            }
            other => self.apply_to_delays(other),
        }
    }

    fn apply_to_delays(&mut self, change: Change) {
        match change {
            Change::Gone { path, since, below } => {
                let Some(entry) = self.entries.get_mut(&path) else { return };
                if below && entry.pending.reach < Reach::Subtree {
                    let pending = &mut entry.pending;
                    (pending.reach, entry.grown) = (Reach::Subtree, pending.mark);
                    (pending.begun, pending.cursor) = (None, None);
                    entry.marks.push((entry.grown, Reach::Subtree));
                }
                let known = entry.pending.gone_since.into_iter();
                entry.pending.gone_since = known.chain([since]).min();
            }
            Change::Present { path, first_txid, seen } => {
                for (place, entry) in &mut self.entries {
                    if !place.contains(&path) {
                        continue;
                    }
                    let pending = &mut entry.pending;
                    if pending.parked == Some(Parked::Delayed) && pending.gone_since.is_some() {
                        (pending.parked, pending.not_before) = (None, Time(0));
                        (pending.first_txid, pending.first_seen) = (first_txid, seen);
                        entry.message = None;
                    }
                    pending.gone_since = None;
                }
            }
            Change::DelayRemovals { after_millis } => {
                let delayed = |entry: &&mut Entry| entry.pending.parked == Some(Parked::Delayed);
                for Entry { pending, .. } in self.entries.values_mut().filter(delayed) {
                    let since = pending.gone_since.unwrap_or(Time(0));
                    pending.not_before = Time(since.0.saturating_add(after_millis));
                }
            }
            Change::EndDelays { due_by, first_txid, seen } => {
                for entry in self.entries.values_mut() {
                    let pending = &mut entry.pending;
                    let due = due_by.is_none_or(|by| pending.not_before <= by);
                    if pending.parked == Some(Parked::Delayed) && due {
                        (pending.parked, pending.not_before) = (None, Time(0));
                        (pending.first_txid, pending.first_seen) = (first_txid, seen);
                        entry.message = None;
                        if due_by.is_none() {
                            pending.gone_since = Some(Time(0));
                        }
                    }
                }
            }
            other => self.apply_to_rest(other),
        }
    }

    fn apply_to_rest(&mut self, change: Change) {
        match change {
            Change::AttemptOpened(attempt) => {
                let next = AttemptNumber(attempt.number.0 + 1);
                self.meta.next_attempt = self.meta.next_attempt.max(next);
                self.attempts.insert(attempt.number, attempt);
            }
            Change::AttemptDoubtful { number, until } => {
                if let Some(attempt) = self.attempts.get_mut(&number) {
                    attempt.doubtful_until = Some(until);
                }
            }
            Change::UploadOpened { number, upload } => {
                if let Some(attempt) = self.attempts.get_mut(&number) {
                    attempt.upload = Some(upload);
                }
            }
            Change::PartDone { number, part } => {
                let attempt = self.attempts.get_mut(&number);
                if let Some(upload) = attempt.and_then(|attempt| attempt.upload.as_mut()) {
                    upload.parts.retain(|other| other.number != part.number);
                    upload.parts.push(part);
                    upload.parts.sort_by_key(|part| part.number);
                }
            }
            Change::AttemptClosed(number) => {
                self.attempts.remove(&number);
            }
            Change::PutDirectory(seen) => {
                self.directories.insert(seen.path.clone(), seen);
            }
            Change::DropDirectory { path, below } => {
                self.directories
                    .retain(|other, _| path != *other && !(below && path.contains(other)));
            }
            Change::PutRow(row) => {
                self.found.remove(&row.path);
                self.rows.insert(row.path.clone(), row);
            }
            Change::DropRow(path) => {
                self.found.remove(&path);
                self.rows.remove(&path);
            }
            Change::Arrived => self.meta.losses.make_good(),
            Change::Removed { path, loss, at } => self.removed(path, loss, at),
            Change::Distrust(path) => self.distrust(path),
            Change::HintDropped(hint) => {
                let known = |other: &Hint| {
                    other.from == hint.from && other.to == hint.to && other.txid <= hint.txid
                };
                self.hints.retain(|other| !known(other));
            }
            Change::FoundAdded(found) => {
                self.found.insert(found.path.clone(), found);
            }
            Change::Position { txid, digest } => {
                (self.meta.position, self.meta.digest) = (Some(txid), digest);
            }
            Change::Count(counters) => self.meta.counters.add(&counters),
            other => panic!("the model does not know {other:?}"),
        }
    }

    fn distrust(&mut self, path: RelPath) {
        let row = self.rows.entry(path.clone()).or_insert_with(|| Row {
            path,
            length: 0,
            attempt: None,
            as_of: TxId(0),
            epoch: self.meta.epoch,
            metadata: whimbrel_core::metadata::Metadata::default(),
            ..super::row("", 0)
        });
        row.identity = Identity::Unknown;
        (row.crc32c, row.etag, row.version) = (None, None, None);
    }

    fn unpark(&mut self, reasons: &[Parked], let_go: Option<LetGo>) {
        for entry in self.entries.values_mut() {
            if entry.pending.parked.is_some_and(|parked| reasons.contains(&parked)) {
                entry.pending.let_go = entry.pending.let_go.max(let_go);
                entry.pending.parked = None;
                entry.pending.not_before = Time(0);
                entry.message = None;
            }
        }
    }

    fn removed(&mut self, path: RelPath, loss: bool, at: Time) {
        let found = self.found.remove(&path);
        let row = self.rows.remove(&path);
        if found.is_none() && row.is_none() {
            return;
        }
        self.meta.counters.files_removed += u64::from(!path.is_marker());
        let key = row.and_then(|row| row.identity.file_key());
        let of_key = |row: &Row| key.is_some() && row.identity.file_key() == key;
        if loss && !self.rows.values().any(of_key) {
            self.meta.losses.add(at);
        }
    }

    fn mark(&mut self, new: Pending) {
        if let Some(entry) = self.entries.get_mut(&new.path) {
            entry.join(&new);
            return;
        }
        let above = new.path.ancestors().find(|path| {
            self.entries.get(path).is_some_and(|entry| {
                let above = &entry.pending;
                let whole = match above.reach {
                    Reach::Path => false,
                    Reach::Directory => {
                        new.reach == Reach::Path && new.path.parent().as_ref() == Some(path)
                    }
                    Reach::Subtree => true,
                };
                whole
                    && !entry.claimed
                    && above.parked.is_none()
                    && above.begun.is_none()
                    && !above.waiting
                    && above.not_before == Time(0)
                    && (above.lane != Lane::Metadata || new.lane == Lane::Metadata)
                    && !(new.lane == Lane::Live && is_commit_marker(&new.path))
            })
        });
        match above.and_then(|above| self.entries.get_mut(&above)) {
            Some(entry) => {
                entry.marks.push((new.mark, entry.pending.reach));
                entry.widen(&new);
            }
            None => {
                let grown = new.mark;
                let marks = vec![(grown, new.reach)];
                let entry = Entry { pending: new, message: None, grown, claimed: false, marks };
                self.entries.insert(entry.pending.path.clone(), entry);
            }
        }
    }

    fn settle(&mut self, path: &RelPath, up_to: Mark, as_of: TxId) {
        let Some(entry) = self.entries.get_mut(path) else { return };
        if entry.pending.mark <= up_to {
            self.entries.remove(path);
            return;
        }
        entry.claimed = false;
        let since = entry.marks.iter().filter(|(mark, _)| *mark > up_to);
        let left = since.map(|(_, reach)| *reach).max().unwrap_or(Reach::Path);
        if left < entry.pending.reach {
            entry.grown = entry.pending.mark;
            if left == Reach::Path {
                entry.pending.lane = Lane::Live;
            }
        }
        let pending = &mut entry.pending;
        pending.reach = left.min(pending.reach);
        (pending.begun, pending.cursor) = (None, None);
        pending.first_seen = pending.last_seen;
        if as_of.0 > 0 && pending.first_txid <= as_of {
            pending.first_txid = TxId(as_of.0 + 1);
        }
    }

    fn coarsen(&mut self, path: &RelPath, subtree: bool) {
        let own = self.entries.get(path);
        if own.is_some_and(|own| own.claimed || own.pending.parked.is_some()) {
            return;
        }
        let joining: Vec<RelPath> = self
            .entries
            .values()
            .filter(|entry| {
                let other = &entry.pending;
                let child = other.path.parent().as_ref() == Some(path);
                other.path != *path
                    && path.contains(&other.path)
                    && (subtree || child && other.reach == Reach::Path)
                    && other.parked.is_none()
                    && coarsens(other)
                    && !entry.claimed
            })
            .map(|entry| entry.pending.path.clone())
            .collect();
        for other in &joining {
            let Entry { mut pending, .. } = self.entries.remove(other).unwrap();
            pending.path = path.clone();
            pending.reach = if subtree { Reach::Subtree } else { Reach::Directory };
            (pending.begun, pending.cursor, pending.tries) = (None, None, 0);
            (pending.not_before, pending.waiting) = (Time(0), false);
            let grown = pending.mark;
            match self.entries.get_mut(path) {
                Some(own) => {
                    own.join(&pending);
                    (own.pending.begun, own.pending.cursor) = (None, None);
                }
                None => {
                    let marks = vec![(grown, pending.reach)];
                    let entry = Entry { pending, message: None, grown, claimed: false, marks };
                    self.entries.insert(path.clone(), entry);
                }
            }
        }
        if let (Some(own), false) = (self.entries.get_mut(path), joining.is_empty()) {
            own.pending.lane = own.pending.lane.max(Lane::Backlog);
            own.pending.let_go = None;
            own.grown = own.pending.mark;
        }
    }

    fn hint(&mut self, hint: Hint) {
        let mut hints = BTreeSet::new();
        for older in std::mem::take(&mut self.hints) {
            let moved = hint.from != hint.to && older.from != older.to;
            match hint.from.rebase(&older.to, &hint.to).filter(|_| moved) {
                Some(to) if to == older.from => {}
                Some(to) => {
                    let txid = older.txid.max(hint.txid);
                    hints.insert(Hint { from: older.from, to, txid });
                }
                None => {
                    hints.insert(older);
                }
            }
        }
        hints.insert(hint);
        // Of equal ends the newest counts.
        let newest: BTreeMap<(RelPath, RelPath), TxId> =
            hints.into_iter().map(|hint| ((hint.from, hint.to), hint.txid)).collect();
        self.hints = newest.into_iter().map(|((from, to), txid)| Hint { from, to, txid }).collect();
    }
}

impl Entry {
    fn widen(&mut self, new: &Pending) {
        let pending = &mut self.pending;
        pending.first_txid = pending.first_txid.min(new.first_txid);
        pending.last_txid = pending.last_txid.max(new.last_txid);
        pending.first_seen = pending.first_seen.min(new.first_seen);
        pending.last_seen = pending.last_seen.max(new.last_seen);
        pending.mark = pending.mark.max(new.mark);
    }

    fn join(&mut self, new: &Pending) {
        self.marks.push((new.mark, new.reach));
        if new.reach > self.pending.reach {
            self.pending.reach = new.reach;
            (self.pending.begun, self.pending.cursor) = (None, None);
            self.grown = new.mark.max(self.pending.mark);
        }
        if self.pending.parked == Some(Parked::Delayed) {
            self.pending.first_txid = new.first_txid;
            self.pending.first_seen = new.first_seen;
        }
        self.widen(new);
        let pending = &mut self.pending;
        pending.lane = pending.lane.min(new.lane);
        (pending.parked, pending.waiting) = (None, false);
        (pending.not_before, pending.tries) = (Time(0), 0);
        self.message = None;
    }
}

/// Of what is not parked.
fn coarsens(pending: &Pending) -> bool {
    let scan = pending.reach > Reach::Path
        && (pending.lane == Lane::Backlog || pending.first_txid == TxId(0));
    let sign = pending.lane == Lane::Live
        && pending.reach == Reach::Path
        && is_commit_marker(&pending.path);
    let gone = pending.gone_since.is_some();
    !pending.waiting && pending.let_go.is_none() && !gone && !scan && !sign
}
