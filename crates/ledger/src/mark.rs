//! How changes act on what is pending (rules 1.6 and 9.1).

use bytes::Bytes;
use rusqlite::Connection;
use whimbrel_core::number::{Mark, Time, TxId};
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::planted::{Planted, UNLISTED_TRIES, planted};
use whimbrel_core::record::{Attempt, Change, Lane, LetGo, Parked, Pending, Reach, Row};

use crate::directory_record;
use crate::error::Result;
use crate::key::Key;
use crate::pending::{Entry, NameRange};
use crate::state::State;

impl State {
    pub(crate) fn apply_to_pending(&mut self, sql: &Connection, change: &Change) -> Result<()> {
        match change {
            Change::Mark { path, reach, lane, first_txid, last_txid, seen, mark } => {
                let (reach, lane, mark) = (*reach, *lane, *mark);
                let fresh = fresh(path, reach, lane, mark, (*first_txid, *last_txid), *seen);
                self.saw(mark);
                self.mark(sql, fresh)
            }
            Change::Settle { path, up_to, as_of } => self.settle(sql, path, *up_to, *as_of),
            Change::Park { path, up_to, reason, retry_at, message } => {
                let whenever = planted(Planted::ParkedOverNewerMark);
                let up_to = if whenever { Mark(u64::MAX) } else { *up_to };
                self.give_back(sql, path, up_to, |entry| {
                    entry.set_aside(*reason, *retry_at, message);
                })
            }
            Change::Defer { path, up_to, not_before, tries, waiting } => {
                self.give_back(sql, path, *up_to, |entry| {
                    entry.pending.parked = None;
                    entry.pending.not_before = *not_before;
                    entry.pending.tries = *tries;
                    entry.pending.waiting = *waiting;
                    entry.message = None;
                })
            }
            Change::Hasten(path) => self.hasten(sql, path),
            Change::Reconsider { below, up_to } => self.reconsider(sql, below, *up_to),
            Change::Release(reason) => self.released(sql, *reason),
            Change::Gone { path, since, below } => self.found_gone(sql, path, *since, *below),
            Change::Present { path, first_txid, seen } => {
                self.found_present(sql, path, (*first_txid, *seen))
            }
            Change::DelayRemovals { after_millis } => self.delay_removals(sql, *after_millis),
            Change::EndDelays { due_by, first_txid, seen } => {
                self.end_delays(sql, *due_by, (*first_txid, *seen))
            }
            Change::Confirmed => self.confirmed(sql),
            Change::HoldRemovals { message } => self.hold_removals(sql, message),
            Change::Advance { path, begun, cursor } => self.advance(sql, path, *begun, cursor),
            Change::Revisit { first_txid, last_txid, seen, mark } => {
                self.revisit(sql, (*first_txid, *last_txid), *seen, *mark)
            }
            Change::Coarsen { path, subtree } => self.coarsen(sql, path, *subtree),
            Change::Arrived
            | Change::AttemptOpened(_)
            | Change::UploadOpened { .. }
            | Change::PartDone { .. }
            | Change::AttemptDoubtful { .. }
            | Change::AttemptClosed(_)
            | Change::PutRow(_)
            | Change::DropRow(_)
            | Change::Removed { .. }
            | Change::Distrust(_)
            | Change::PutDirectory(_)
            | Change::DropDirectory { .. }
            | Change::Position { .. }
            | Change::History { .. }
            | Change::RootPinned(_)
            | Change::HintAdded(_)
            | Change::HintDropped(_)
            | Change::FoundAdded(_)
            | Change::InventoryAt { .. }
            | Change::ScanBegun { .. }
            | Change::Scanned
            | Change::Count(_) => Ok(()),
        }
    }

    fn advance(
        &mut self,
        sql: &Connection,
        path: &RelPath,
        begun: Mark,
        cursor: &Option<Bytes>,
    ) -> Result<()> {
        let advance = |entry: &mut Entry| {
            if begun >= entry.reach_mark {
                entry.pending.begun = Some(begun);
                entry.pending.cursor.clone_from(cursor);
            }
        };
        self.pending.change(sql, &self.names.key(path), advance)?;
        if cursor.is_some() {
            self.worked_on.note(path, true);
        }
        Ok(())
    }

    fn revisit(
        &mut self,
        sql: &Connection,
        txids: (TxId, TxId),
        seen: Time,
        mark: Mark,
    ) -> Result<()> {
        self.saw(mark);
        for (path, below) in self.worked_on.directories() {
            let reach = if below { Reach::Subtree } else { Reach::Directory };
            self.mark(sql, fresh(&path, reach, Lane::Backlog, mark, txids, seen))?;
        }
        Ok(())
    }

    fn hasten(&mut self, sql: &Connection, path: &RelPath) -> Result<()> {
        let hasten = |entry: &mut Entry| entry.pending.lane = Lane::Live;
        self.pending.change(sql, &self.names.key(path), hasten).map(drop)
    }

    fn mark(&mut self, sql: &Connection, new: Pending) -> Result<()> {
        let key = self.names.key(&new.path);
        if self.pending.change(sql, &key, |entry| join(entry, &new))? {
            return Ok(());
        }
        let above = self.pending.absorber(sql, &new.path, new.reach, new.lane)?;
        if let Some(above) = above
            && self.pending.change(sql, &above, |entry| {
                entry.note(entry.pending.reach, new.mark);
                widen(&mut entry.pending, &new);
            })?
        {
            return Ok(());
        }
        self.pending.attach(Entry::fresh(new));
        Ok(())
    }

    fn settle(&mut self, sql: &Connection, path: &RelPath, up_to: Mark, as_of: TxId) -> Result<()> {
        let key = self.names.key(path);
        let entry = self.pending.detach(sql, &key)?;
        self.note_settled(sql, path, entry.as_ref().map(|entry| entry.pending.reach))?;
        if let Some(mut entry) = entry
            && entry.pending.mark > up_to
            && !planted(Planted::SettledWithoutMark)
        {
            // The pass came to its end; what was marked since needs one from the beginning.
            entry.keep_since(up_to);
            entry.pending.begun = None;
            entry.pending.cursor = None;
            entry.pending.first_seen = entry.pending.last_seen;
            if as_of > TxId(0) {
                entry.pending.first_txid = entry.pending.first_txid.max(as_of.next());
            }
            self.pending.attach(entry);
        }
        self.pending.release(&key);
        Ok(())
    }

    /// The directory of an object that came or went is kept.
    pub(crate) fn note_object(&mut self, change: &Change) {
        if let Change::PutRow(Row { path, .. })
        | Change::DropRow(path)
        | Change::Removed { path, .. } = change
        {
            self.note_beside(path);
        }
    }

    fn note_beside(&mut self, path: &RelPath) {
        if self.worked_on.is_kept() {
            self.worked_on.note(&path.parent().unwrap_or_default(), false);
        }
    }

    /// What is being gone through when a base is asked for: how far that came is not known of it.
    pub(crate) fn note_half_done(&mut self, sql: &Connection) -> Result<()> {
        let mut directories = Vec::new();
        let mut visit = |entry: &Entry| {
            if entry.pending.reach > Reach::Path {
                let below = entry.pending.reach == Reach::Subtree;
                directories.push((entry.pending.path.clone(), below));
            }
        };
        let root = RelPath::root();
        if let Some(entry) = self.pending.get(sql, &self.names.key(&root))? {
            visit(&entry);
        }
        self.pending.visit_below(sql, &root, &mut |_, entry| {
            visit(entry);
            Ok(true)
        })?;
        for (path, below) in directories {
            self.worked_on.note(&path, below);
        }
        Ok(())
    }

    /// A directory that was gone through counts with what it holds. Files, though they may have been
    /// marked with all below them, are listed with their directory.
    fn note_settled(
        &mut self,
        sql: &Connection,
        path: &RelPath,
        reach: Option<Reach>,
    ) -> Result<()> {
        if !self.worked_on.is_kept() {
            return Ok(());
        }
        self.note_beside(path);
        match reach {
            Some(Reach::Directory) => self.worked_on.note(path, false),
            Some(Reach::Subtree) => {
                if directory_record::get(sql, self.names, path)?.is_some() {
                    self.worked_on.note(path, true);
                }
            }
            Some(Reach::Path) | None => {}
        }
        Ok(())
    }

    /// What is parked as open or failed below a path is free, unless it was marked later.
    fn reconsider(&mut self, sql: &Connection, below: &RelPath, up_to: Mark) -> Result<()> {
        if !self.pending.any_idle() {
            return Ok(());
        }
        let mut idle = Vec::new();
        self.pending.visit_below(sql, below, &mut |key, entry| {
            let parked = matches!(entry.pending.parked, Some(Parked::Open | Parked::Failed));
            if parked && entry.pending.mark <= up_to && !self.pending.is_claimed(key) {
                idle.push(key.clone());
            }
            Ok(true)
        })?;
        idle.extend(self.idle_keys_within(sql, below, up_to)?);
        idle.iter().try_for_each(|key| self.free(sql, key, None))
    }

    /// Opaque keys do not lie below each other, but in a target whose directories are real they do.
    fn idle_keys_within(&self, sql: &Connection, key: &RelPath, up_to: Mark) -> Result<Vec<Key>> {
        if self.names.0 == Namespace::Tree || key.is_root() {
            return Ok(Vec::new());
        }
        let with = |byte: u8| [key.as_bytes(), &[byte]].concat();
        let (after, last) = (with(b'/'), with(b'/' + 1));
        let range = NameRange { after: Some(&after), last: Some(&last) };
        let mut idle = Vec::new();
        for path in self.pending.children(sql, &RelPath::root(), &range)? {
            let within = self.names.key(&path);
            let parked = self.pending.get(sql, &within)?.is_some_and(|entry| {
                let aside = matches!(entry.pending.parked, Some(Parked::Open | Parked::Failed));
                aside && entry.pending.mark <= up_to
            });
            if parked && path.as_bytes() != last && !self.pending.is_claimed(&within) {
                idle.push(within);
            }
        }
        Ok(idle)
    }

    fn released(&mut self, sql: &Connection, reason: Parked) -> Result<()> {
        let let_go = (reason == Parked::Removal).then_some(LetGo::Guard);
        self.unpark(sql, reason, let_go)
    }

    /// A person means what the guard holds, and what it has not looked at yet.
    fn confirmed(&mut self, sql: &Connection) -> Result<()> {
        self.unpark(sql, Parked::Removal, Some(LetGo::Person))?;
        self.unpark(sql, Parked::Guard, Some(LetGo::Person))
    }

    /// Everything that is parked for a reason is free.
    fn unpark(&mut self, sql: &Connection, reason: Parked, let_go: Option<LetGo>) -> Result<()> {
        let parked = self.pending.parked_for(sql, reason)?;
        parked.iter().try_for_each(|key| self.free(sql, key, let_go))
    }

    fn found_gone(
        &mut self,
        sql: &Connection,
        path: &RelPath,
        since: Time,
        below: bool,
    ) -> Result<()> {
        let gone = |entry: &mut Entry| {
            if below && entry.pending.reach < Reach::Subtree {
                let mark = entry.pending.mark;
                entry.note(Reach::Subtree, mark);
                (entry.pending.reach, entry.reach_mark) = (Reach::Subtree, mark);
                (entry.pending.begun, entry.pending.cursor) = (None, None);
            }
            let known = entry.pending.gone_since;
            entry.pending.gone_since = Some(known.map_or(since, |known| known.min(since)));
        };
        self.pending.change(sql, &self.names.key(path), gone).map(drop)
    }

    fn found_present(&mut self, sql: &Connection, path: &RelPath, now: (TxId, Time)) -> Result<()> {
        if !self.pending.any_gone() {
            return Ok(());
        }
        for place in [path.clone()].into_iter().chain(self.names.ancestors(path)) {
            let key = self.names.key(&place);
            let entry = self.pending.get(sql, &key)?;
            let Some(Entry { pending, .. }) = entry else { continue };
            if pending.gone_since.is_none() {
                continue;
            }
            if pending.parked == Some(Parked::Delayed) {
                self.end_delay(sql, &key, now)?;
            }
            self.pending.change(sql, &key, |entry| entry.pending.gone_since = None)?;
        }
        Ok(())
    }

    /// Nothing keeps it since this transaction and moment.
    fn end_delay(
        &mut self,
        sql: &Connection,
        key: &Key,
        (first_txid, seen): (TxId, Time),
    ) -> Result<()> {
        self.free(sql, key, None)?;
        let since = |entry: &mut Entry| {
            (entry.pending.first_txid, entry.pending.first_seen) = (first_txid, seen);
        };
        self.pending.change(sql, key, since).map(drop)
    }

    fn delay_removals(&mut self, sql: &Connection, after_millis: u64) -> Result<()> {
        if !self.pending.any_delayed() {
            return Ok(());
        }
        for key in self.pending.parked_for(sql, Parked::Delayed)? {
            let entry = self.pending.get(sql, &key)?;
            let Some(Entry { pending, .. }) = entry else { continue };
            let due = pending.gone_since.unwrap_or_default().plus_millis(after_millis);
            if due != pending.not_before {
                self.pending.change(sql, &key, |entry| entry.pending.not_before = due)?;
            }
        }
        Ok(())
    }

    fn end_delays(
        &mut self,
        sql: &Connection,
        due_by: Option<Time>,
        now: (TxId, Time),
    ) -> Result<()> {
        let keys = match due_by {
            Some(due_by) => self.pending.delayed_by(sql, due_by)?,
            None => self.pending.parked_for(sql, Parked::Delayed)?,
        };
        for key in keys {
            self.end_delay(sql, &key, now)?;
            if due_by.is_none() {
                let for_good = |entry: &mut Entry| entry.pending.gone_since = Some(Time(0));
                self.pending.change(sql, &key, for_good)?;
            }
        }
        Ok(())
    }

    fn hold_removals(&mut self, sql: &Connection, message: &str) -> Result<()> {
        for key in self.pending.parked_for(sql, Parked::Removal)? {
            self.pending.change(sql, &key, |entry| {
                entry.pending.parked = Some(Parked::Guard);
                entry.message = Some(message.to_owned());
            })?;
        }
        Ok(())
    }

    fn free(&mut self, sql: &Connection, key: &Key, let_go: Option<LetGo>) -> Result<()> {
        let freed = self.pending.change(sql, key, |entry| {
            entry.pending.parked = None;
            entry.pending.not_before = Time(0);
            entry.pending.let_go = entry.pending.let_go.max(let_go);
            entry.message = None;
        });
        freed.map(drop)
    }

    /// Ends a claim, and changes the entry unless it was marked after `up_to`.
    fn give_back(
        &mut self,
        sql: &Connection,
        path: &RelPath,
        up_to: Mark,
        change: impl FnOnce(&mut Entry),
    ) -> Result<()> {
        let key = self.names.key(path);
        let current = self.pending.get(sql, &key)?;
        if current.is_some_and(|entry| entry.pending.mark <= up_to) {
            self.pending.change(sql, &key, change)?;
        }
        self.pending.release(&key);
        Ok(())
    }

    /// May join others of its directory. Not to close an attempt whose time is over: a pass meets
    /// nothing there that changed, and the attempt would have its path marked again and again.
    pub(crate) fn coarsens(&self, entry: &Entry) -> bool {
        let now = self.pending.now();
        let over = |it: &Attempt| it.doubtful_until.is_some_and(|until| until <= now);
        entry.coarsens() && !self.attempts.on(&entry.pending.path).any(over)
    }

    /// An entry of the directory that is claimed or parked stays as it is, and so does everything
    /// below it then: its work may have gone past what would join it.
    fn coarsen(&mut self, sql: &Connection, path: &RelPath, subtree: bool) -> Result<()> {
        let own = self.names.key(path);
        let current = self.pending.get(sql, &own)?;
        if self.pending.is_claimed(&own)
            || current.is_some_and(|entry| entry.pending.parked.is_some())
        {
            return Ok(());
        }
        let mut joining = Vec::new();
        self.pending.visit_below(sql, path, &mut |key, entry| {
            let wanted = subtree || key.directory == *path && entry.pending.reach == Reach::Path;
            if wanted && self.coarsens(entry) && !self.pending.is_claimed(key) {
                joining.push(key.clone());
            }
            Ok(true)
        })?;
        let deep = subtree && !planted(Planted::CoarsenedTooFlat);
        let grown = if deep { Reach::Subtree } else { Reach::Directory };
        self.join_into(sql, path, grown, joining)
    }

    /// A scan begins anew, and comes to all that an earlier one, or a repair, did not come to: it
    /// would go through that twice.
    pub(crate) fn begin_scan(&mut self, sql: &Connection) -> Result<()> {
        let mut left = Vec::new();
        self.pending.visit_below(sql, &RelPath::root(), &mut |key, entry| {
            let Pending { reach, lane, parked, let_go, gone_since, .. } = &entry.pending;
            let free = parked.is_none() && let_go.is_none() && gone_since.is_none();
            let free = free && !self.pending.is_claimed(key);
            if free && *lane == Lane::Backlog && *reach > Reach::Path {
                left.push(key.clone());
            }
            Ok(true)
        })?;
        self.join_into(sql, &RelPath::root(), Reach::Subtree, left)
    }

    /// Makes one entry of the directory's own and those that join it.
    fn join_into(
        &mut self,
        sql: &Connection,
        path: &RelPath,
        grown: Reach,
        joining: Vec<Key>,
    ) -> Result<()> {
        let mut sum = self.pending.detach(sql, &self.names.key(path))?;
        let any = !joining.is_empty();
        for key in joining {
            let Some(entry) = self.pending.detach(sql, &key)? else {
                continue;
            };
            let mut joined = entry.pending;
            joined.path = path.clone();
            joined.reach = grown;
            match &mut sum {
                Some(sum) => join(sum, &joined),
                None => {
                    let fresh = Pending {
                        begun: None,
                        cursor: None,
                        tries: 0,
                        not_before: Time(0),
                        waiting: false,
                        parked: None,
                        let_go: None,
                        gone_since: None,
                        ..joined
                    };
                    sum = Some(Entry::fresh(fresh));
                }
            }
        }
        if let Some(mut sum) = sum {
            if any {
                sum.pending.begun = None;
                sum.pending.cursor = None;
                sum.pending.let_go = None;
                sum.pending.lane = sum.pending.lane.max(Lane::Backlog);
                sum.reach_mark = sum.pending.mark;
            }
            self.pending.attach(sum);
        }
        Ok(())
    }
}

/// An entry as a mark makes it.
fn fresh(
    path: &RelPath,
    reach: Reach,
    lane: Lane,
    mark: Mark,
    (first_txid, last_txid): (TxId, TxId),
    seen: Time,
) -> Pending {
    Pending {
        path: path.clone(),
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
    }
}

/// Adds a mark to an entry: whatever it waited for, it is free again.
fn join(entry: &mut Entry, new: &Pending) {
    entry.note(new.reach, new.mark);
    let pending = &mut entry.pending;
    if new.reach > pending.reach {
        pending.reach = new.reach;
        pending.begun = None;
        pending.cursor = None;
        entry.reach_mark = new.mark.max(pending.mark);
    }
    if pending.parked == Some(Parked::Delayed) {
        (pending.first_txid, pending.first_seen) = (new.first_txid, new.first_seen);
    }
    widen(pending, new);
    pending.lane = pending.lane.min(new.lane);
    pending.parked = None;
    pending.waiting = false;
    pending.not_before = Time(0);
    let kept = planted(Planted::ListingRemoves) && pending.tries >= UNLISTED_TRIES;
    pending.tries = if kept { pending.tries } else { 0 };
    entry.message = None;
}

/// Extends an entry over the transactions and times of a mark.
fn widen(pending: &mut Pending, new: &Pending) {
    pending.first_txid = pending.first_txid.min(new.first_txid);
    pending.last_txid = pending.last_txid.max(new.last_txid);
    pending.first_seen = pending.first_seen.min(new.first_seen);
    pending.last_seen = pending.last_seen.max(new.last_seen);
    pending.mark = pending.mark.max(new.mark);
}
