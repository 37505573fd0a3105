//! Following the stream: every event makes its path pending, none is ever carried out (rules 1.1,
//! 1.2, 1.8).

use std::collections::VecDeque;

use super::Migration;
use super::claim::Asked;
use crate::effect::{Effect, Ticket};
use crate::event::{Event, StreamReply};
use crate::failure::Side;
use crate::input::Streamed;
use crate::number::{Mark, Time, TxId};
use crate::path::{Namespace, RelPath};
use crate::planted::{Planted, planted};
use crate::record::{Change, Counters, Hint, Lane, Reach};

/// How far the stream was followed.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Everything up to here is marked; `None` before the scan's position was taken.
    pub(super) applied: Option<TxId>,
    /// Positions whose marks are on their way to the disk, with the batch that carries them.
    pub(super) unsaved: VecDeque<(u64, TxId)>,
    /// Everything up to here is marked durably.
    pub(super) saved: Option<TxId>,
    /// What the source had made durable at the last look.
    pub(super) synced: TxId,
    /// Since when a look is under way.
    pub(super) polling: Option<Time>,
    /// When the last look that reached the end was answered.
    pub(super) caught_up: Option<Time>,
    /// When that look was asked for.
    pub(super) end_asked: Option<Time>,
    /// When the one before it was asked for: everything before that moment is marked.
    pub(super) followed: Option<Time>,
    /// Nothing was worked on since the look that is under way was asked for.
    pub(super) still: bool,
    /// Nothing was worked on since the look that `caught_up` is of was asked for.
    pub(super) caught_up_still: bool,
    /// All is done, and the time of quiet is over.
    pub(super) quiet_wanted: bool,
    /// What the look that is under way is to decide.
    pub(super) quiet_asked: Option<Time>,
    /// No event told of a change since then, and what none tells of was looked for when the time
    /// was over.
    pub(super) quiet_since: Option<Time>,
    /// When the last change in scope was seen, or the run began.
    pub(super) last_change: Time,
    /// When the source made the newest change seen.
    pub(super) newest: Option<Time>,
}

/// A file just made is usually closed within this time: it is looked at then, or after it.
const CREATED_GRACE_MILLIS: u64 = 1_000;

impl Migration {
    /// The newest mark given.
    pub(super) fn last_mark(&self) -> Mark {
        self.marks
    }

    /// Everything up to here is marked.
    pub(super) fn applied(&self) -> TxId {
        self.stream.applied.unwrap_or_default()
    }

    /// The path under which work on an object is pending: a marker's is its directory.
    pub(super) fn pending_path(&self, path: &RelPath) -> RelPath {
        match self.config.namespace {
            Namespace::Tree if path.is_marker() => path.parent().unwrap_or_default(),
            Namespace::Tree | Namespace::Flat => path.clone(),
        }
    }

    /// Makes a path pending.
    pub(super) fn mark(
        &mut self,
        path: &RelPath,
        reach: Reach,
        lane: Lane,
        first_txid: TxId,
        last_txid: TxId,
    ) -> Mark {
        let mark = self.next_mark();
        self.outbox.change(Change::Mark {
            path: self.pending_path(path),
            reach,
            lane,
            first_txid,
            last_txid,
            seen: self.now,
            mark,
        });
        mark
    }

    /// A mark that was not given yet.
    pub(super) fn next_mark(&mut self) -> Mark {
        self.marks = self.marks.next();
        self.marks
    }

    /// Looks at the stream again if no look is under way.
    pub(super) fn poll_stream(&mut self) {
        let Some(after) = self.stream.applied else { return };
        if self.stream.polling.is_some() || self.gap_open || self.is_held_back(Side::Source) {
            return;
        }
        self.stream.polling = Some(self.now);
        self.stream.still = true;
        let decides = self.stream.quiet_wanted && self.is_quiet_at(self.now);
        let quiet_since = decides.then_some(self.stream.last_change);
        self.stream.quiet_asked = quiet_since;
        let ticket = self.ask(Asked::Poll);
        self.outbox.send_after(Effect::Poll { ticket, after, quiet_since });
    }

    pub(super) fn streamed(&mut self, ticket: Ticket, outcome: Streamed) {
        if self.tickets.remove(&ticket).is_none() {
            return;
        }
        let asked = self.stream.polling.take();
        match outcome {
            Streamed::Reply(reply) => self.follow(reply, asked),
            Streamed::Gap { remedy } => self.open_gap(remedy),
            Streamed::OtherHistory { name } => self.open_history(name),
            Streamed::Failed(failure) => self.side_failed(&failure),
        }
    }

    fn follow(&mut self, reply: StreamReply, asked: Option<Time>) {
        if reply.epoch < self.stream_epoch {
            return;
        }
        self.stream_epoch = reply.epoch;
        self.answered_by(Side::Source);
        let mut seen = 0;
        for batch in &reply.batches {
            let followed = self.stream.applied.is_some_and(|applied| batch.txid <= applied);
            if followed || (planted(Planted::StreamAfterScan) && !self.scanned) {
                continue;
            }
            for event in &batch.events {
                seen += 1;
                self.apply_event(event, batch.txid);
            }
        }
        if seen > 0 {
            self.stream.last_change = self.now;
            let counted = Counters { changes_seen: seen, ..Counters::default() };
            self.outbox.change(Change::Count(counted));
            self.changes_seen += seen;
        }
        self.stream.newest = reply.newest.or(self.stream.newest);
        self.stream.synced = reply.synced;
        if self.stream.applied.is_none_or(|applied| reply.applied > applied) {
            self.stream.applied = Some(reply.applied);
            let (txid, digest) = (reply.applied, reply.digest);
            let kept = if planted(Planted::PositionAhead) { reply.synced } else { txid };
            self.outbox.change(Change::Position { txid: kept, digest });
            self.stream.unsaved.push_back((self.outbox.gathering(), txid));
        }
        if reply.applied >= reply.synced {
            self.stream.caught_up = Some(self.now);
            if reply.applied >= reply.written {
                // A source that is slow to write shows what is no transaction yet. Whatever it
                // showed before one end was reached it has written when the next is asked for.
                self.stream.followed = std::mem::replace(&mut self.stream.end_asked, asked);
            }
            self.stream.caught_up_still = self.stream.still;
            self.stream.quiet_since = self.stream.quiet_asked.or(self.stream.quiet_since);
        }
        self.pass_barriers();
    }

    fn apply_event(&mut self, event: &Event, txid: TxId) {
        match event {
            Event::Created(path) | Event::Closed(path)
                if planted(Planted::EventTakenForCovered) && self.is_beyond_cursor(path) => {}
            Event::Created(path) | Event::Reopened(path) => {
                let mark = self.mark_live(path, Reach::Path, txid);
                self.outbox.change(Change::Defer {
                    path: path.clone(),
                    up_to: mark,
                    not_before: self.now.plus_millis(CREATED_GRACE_MILLIS),
                    tries: 0,
                    waiting: false,
                });
            }
            Event::Closed(path) | Event::Truncated(path) => {
                self.mark_live(path, Reach::Path, txid);
            }
            Event::DirectoryMade(path) => {
                // What stood below an older one of the name is gone.
                self.distrust_directory(path, true);
                self.mark_live(path, Reach::Path, txid);
            }
            Event::MetadataChanged(path) => {
                self.distrust_directory(path, false);
                self.mark(path, Reach::Path, Lane::Metadata, txid, txid);
            }
            Event::Removed(path) => {
                self.mark_live(path, Reach::Subtree, txid);
                self.mark_parent(path, txid, txid);
            }
            Event::Renamed { from, to } => {
                if let Some(from) = from {
                    self.mark_live(from, Reach::Subtree, txid);
                    self.mark_parent(from, txid, txid);
                }
                if let Some(to) = to {
                    self.distrust_directory(to, true);
                    let shallow = planted(Planted::RenameShallow);
                    let reach = if shallow { Reach::Path } else { Reach::Subtree };
                    self.mark_live(to, reach, txid);
                }
                if let (Some(from), Some(to)) = (from, to) {
                    self.file_keys_matter = true;
                    let (from, to) = (from.clone(), to.clone());
                    self.outbox.change(Change::HintAdded(Hint { from, to, txid }));
                }
            }
            Event::RootTouched if planted(Planted::RootMoveIgnored) => {}
            Event::RootTouched => {
                // What happened below a root that stood elsewhere was out of scope.
                self.touch(&RelPath::root(), true);
                self.mark_everything(txid, txid);
                self.look_at_root();
            }
        }
    }

    fn mark_live(&mut self, path: &RelPath, reach: Reach, txid: TxId) -> Mark {
        self.touch(path, reach == Reach::Subtree);
        self.mark(path, reach, Lane::Live, txid, txid)
    }

    /// The last child may have gone: the directory may need its marker (rule 5.4).
    pub(super) fn mark_parent(&mut self, path: &RelPath, first: TxId, last: TxId) {
        if let Some(parent) = self.parent_of(path)
            && !parent.is_root()
            && !planted(Planted::LastChildNotNoticed)
        {
            self.mark(&parent, Reach::Path, Lane::Live, first, last);
        }
    }
}
