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
    /// What the source had made durable by then is marked. Under changes that do not pause no look
    /// reaches the end, and still none is far behind.
    pub(super) heard_to: Option<Time>,
    /// Looks whose ends were not reached yet: what was durable, and when it was asked for.
    pub(super) ends_ahead: VecDeque<(TxId, Time)>,
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

impl Stream {
    /// Followed up to here by an earlier run.
    pub(super) fn after(position: Option<TxId>) -> Self {
        Self { applied: position, saved: position, ..Self::default() }
    }

    /// A look that was asked for then found so much durable: all that was before is marked once
    /// that is.
    fn heard(&mut self, synced: TxId, asked: Time) {
        self.remember_end(synced, asked);
        while let Some((end, asked)) = self.ends_ahead.front()
            && self.applied.is_some_and(|applied| applied >= *end)
        {
            self.heard_to = Some(*asked);
            self.ends_ahead.pop_front();
        }
    }

    /// The further behind, the further apart are those that are remembered.
    fn remember_end(&mut self, synced: TxId, asked: Time) {
        let first = self.ends_ahead.front().map(|(_, first)| *first);
        match (first, self.ends_ahead.back_mut()) {
            (Some(_), Some((last, at))) if *last == synced => *at = asked,
            (Some(first), Some((_, last)))
                if asked.millis_since(*last) < last.millis_since(first) / (ENDS_AHEAD_MAX / 2) => {}
            (_, _) => self.ends_ahead.push_back((synced, asked)),
        }
        if self.ends_ahead.len() as u64 > ENDS_AHEAD_MAX {
            let mut stays = false;
            self.ends_ahead.retain(|_| {
                stays = !stays;
                stays
            });
        }
    }
}

/// So many ends of looks are remembered; of more, every second one.
const ENDS_AHEAD_MAX: u64 = 1_024;
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
        self.stream.heard(reply.synced, asked.unwrap_or(self.now));
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

#[cfg(test)]
mod tests {
    use super::super::tests::{changed, marked, migration_of, node, sent};
    use super::super::{Phase, claim::Claim, tests};
    use super::*;
    use crate::config::Config;
    use crate::event::EventBatch;
    use crate::failure::FailureKind;
    use crate::number::Epoch;

    fn path(text: &str) -> RelPath {
        RelPath::from(text)
    }

    /// Under changes that do not pause the lag grew for as long as no look reached the end.
    #[test]
    fn rule_10_1_a_stream_that_never_ends_is_behind_by_as_much_as_it_is() {
        let mut stream = Stream::after(Some(TxId(7)));
        let mut told = |applied: u64, synced: u64, asked: u64| {
            stream.applied = Some(TxId(applied));
            stream.heard(TxId(synced), Time(asked));
            stream.heard_to.map(|at| at.0)
        };
        assert_eq!(told(7, 10, 100), None, "nothing is known of what was before");
        assert_eq!(told(9, 20, 200), None);
        assert_eq!(told(10, 20, 250), Some(100));
        assert_eq!(told(19, 30, 300), Some(100));
        assert_eq!(told(20, 40, 400), Some(250), "nothing had come since 200");
        assert_eq!(told(45, 45, 500), Some(500), "the end");
        for (synced, asked) in [(46, 510), (47, 520), (48, 530)] {
            assert_eq!(told(45, synced, asked), Some(500));
        }
        assert_eq!(told(47, 48, 540), Some(520));
        assert_eq!(told(48, 60, 550), Some(540), "each is remembered that is not far ahead");
        for number in 0..100_000 {
            told(45, 50 + number, 600 + 50 * number);
        }
        let late = told(50_050, 100_050, 5_000_600).expect("a time");
        let exact = 600 + 50 * 50_000;
        assert!((exact - 20_000..=exact).contains(&late), "{late}: less exactly, and no later");
        assert!(stream.ends_ahead.len() as u64 <= ENDS_AHEAD_MAX);
    }

    #[test]
    fn what_an_earlier_run_followed_is_durable() {
        let stream = Stream::after(Some(TxId(7)));
        assert_eq!((stream.applied, stream.saved), (Some(TxId(7)), Some(TxId(7))));
    }

    /// A live run that followed up to transaction 5.
    fn followed() -> Migration {
        let mut migration = migration_of(Config { live: true, ..Config::default() });
        migration.phase = Phase::Running;
        migration.stream.applied = Some(TxId(5));
        migration
    }

    /// Up to that transaction, of that history, with these events in it.
    fn reply(applied: u64, epoch: u64, events: Vec<Event>) -> StreamReply {
        let (txid, applied) = (TxId(applied), TxId(applied));
        let batches = vec![EventBatch { txid, events }];
        let (epoch, digest, newest) = (Epoch(epoch), 8, None);
        StreamReply { epoch, applied, synced: applied, written: applied, batches, digest, newest }
    }

    fn positions(changes: &[Change]) -> Vec<u64> {
        let positions = changes.iter().filter_map(|change| {
            if let Change::Position { txid, .. } = change { Some(txid.0) } else { None }
        });
        positions.collect()
    }

    #[test]
    fn rule_1_4_an_answer_of_an_older_epoch_is_none() {
        let marks = |epochs: [u64; 2]| {
            let mut migration = followed();
            migration.follow(reply(6, epochs[0], Vec::new()), None);
            migration.follow(reply(7, epochs[1], vec![Event::Closed(path("a"))]), None);
            marked(&changed(&mut migration)).len()
        };
        assert_eq!((marks([3, 3]), marks([3, 4]), marks([3, 2])), (1, 1, 0));
    }

    #[test]
    fn rule_1_1_what_was_followed_before_is_not_followed_again() {
        let mut migration = followed();
        let mut followed_to = |txid: u64| {
            migration.follow(reply(txid, 0, vec![Event::Closed(path("a"))]), None);
            let changes = changed(&mut migration);
            (marked(&changes).len(), positions(&changes), migration.changes_seen)
        };
        assert_eq!(followed_to(5), (0, vec![], 0));
        assert_eq!(followed_to(6), (1, vec![6], 1));
        assert_eq!(followed_to(6), (0, vec![], 1));
        assert_eq!(followed_to(8), (1, vec![8], 2));
    }

    #[test]
    fn changes_are_counted_as_they_are_seen() {
        let mut migration = followed();
        migration.stream.last_change = Time(7);
        migration.follow(reply(6, 0, Vec::new()), None);
        let counted = |changes: &[Change]| {
            let seen = changes.iter().map(|change| {
                if let Change::Count(counters) = change { counters.changes_seen } else { 0 }
            });
            seen.sum::<u64>()
        };
        assert_eq!(counted(&changed(&mut migration)), 0);
        assert_eq!(migration.stream.last_change, Time(7), "nothing happened");
        let events = vec![Event::Closed(path("a")), Event::Closed(path("b"))];
        migration.follow(reply(7, 0, events), None);
        assert_eq!(counted(&changed(&mut migration)), 2);
        assert_eq!(migration.stream.last_change, Time(1_000));
    }

    /// Whatever the source showed before one end was reached it has written when the next look is
    /// asked for.
    #[test]
    fn rule_10_2_followed_to_an_end_is_what_was_there_at_the_end_before() {
        let mut migration = followed();
        let mut followed_at = |asked: u64, synced: u64, written: u64| {
            let (synced, written) = (TxId(synced), TxId(written));
            let answer = StreamReply { synced, written, ..reply(6, 0, Vec::new()) };
            migration.follow(answer, Some(Time(asked)));
            (migration.stream.caught_up.is_some(), migration.stream.followed.map(|at| at.0))
        };
        assert_eq!(followed_at(100, 7, 6), (false, None), "more is to come");
        assert_eq!(followed_at(200, 6, 7), (true, None), "it shows what is no transaction yet");
        assert_eq!(followed_at(300, 6, 6), (true, None));
        assert_eq!(followed_at(400, 6, 6), (true, Some(300)));
        assert_eq!(followed_at(500, 5, 5), (true, Some(400)));
    }

    #[test]
    fn one_look_at_the_stream_is_under_way_and_none_while_that_is_for_nothing() {
        let polls = |hinder: &dyn Fn(&mut Migration)| {
            let mut migration = followed();
            hinder(&mut migration);
            migration.poll_stream();
            sent(&mut migration).iter().any(|effect| matches!(effect, Effect::Poll { .. }))
        };
        assert!(polls(&|_| {}));
        assert!(!polls(&|it| it.stream.applied = None) && !polls(&|it| it.gap_open = true));
        assert!(!polls(&|it| it.stream.polling = Some(Time(900))));
        let lost = tests::failure(Side::Source, FailureKind::Unavailable);
        assert!(!polls(&|it| it.side_failed(&lost)));
    }

    #[test]
    fn rule_10_3_a_look_decides_about_quiet_when_all_is_done_and_the_time_is_over() {
        let decides = |wanted: bool, now: u64| {
            let until_quiet_millis = Some(500);
            let mut migration = followed();
            migration.config.until_quiet_millis = until_quiet_millis;
            migration.stream.last_change = Time(1_000);
            migration.stream.quiet_wanted = wanted;
            migration.now = Time(now);
            migration.poll_stream();
            migration.stream.quiet_asked
        };
        assert_eq!(decides(true, 1_500), Some(Time(1_000)));
        assert_eq!((decides(true, 1_499), decides(false, 1_500)), (None, None));
    }

    #[test]
    fn rule_5_4_what_goes_has_its_directory_looked_at() {
        let marks = |event: Event| {
            let mut migration = followed();
            migration.apply_event(&event, TxId(6));
            let marks = marked(&changed(&mut migration)).into_iter();
            marks.map(|(path, reach)| (path.to_string(), reach)).collect::<Vec<_>>()
        };
        let (at, subtree) = (Reach::Path, Reach::Subtree);
        let of = |text: &str, reach| (text.to_owned(), reach);
        assert_eq!(marks(Event::Removed(path("d/a"))), [of("d/a", subtree), of("d", at)]);
        assert_eq!(marks(Event::Removed(path("a"))), [of("a", subtree)], "the root has no marker");
        assert_eq!(marks(Event::Closed(path("d/a"))), [of("d/a", at)]);
        let (from, to) = (Some(path("d/a")), Some(path("e/a")));
        let renamed = [of("d/a", subtree), of("d", at), of("e/a", subtree)];
        assert_eq!(marks(Event::Renamed { from, to }), renamed);
    }

    #[test]
    fn rule_1_6_an_event_reaches_the_work_that_it_concerns() {
        let dirty = |event: Event| {
            let mut migration = followed();
            for at in ["d", "d/a", "e"] {
                let claim = Claim { node: Some(node(5)), ..tests::claim(at) };
                migration.hold(path(at), claim);
            }
            migration.apply_event(&event, TxId(6));
            ["d", "d/a", "e"].map(|at| migration.claims.held[&path(at)].dirty)
        };
        assert_eq!(dirty(Event::Closed(path("d"))), [true, false, false]);
        assert_eq!(dirty(Event::Removed(path("d"))), [true, true, false]);
        assert_eq!(dirty(Event::RootTouched), [true, true, true]);
    }

    #[test]
    fn what_is_pending_of_a_marker_is_pending_of_its_directory() {
        let pending = |namespace: Namespace, at: &str| {
            let migration = migration_of(Config { namespace, ..Config::default() });
            migration.pending_path(&path(at))
        };
        assert_eq!(pending(Namespace::Tree, "d/"), path("d"));
        assert_eq!(pending(Namespace::Tree, "d"), path("d"));
        assert_eq!(pending(Namespace::Flat, "d/"), path("d/"), "that is a key");
    }
}
