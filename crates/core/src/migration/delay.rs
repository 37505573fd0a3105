//! What is gone at the source may stay on the target for a time (rule 5.7), so that it can still be
//! had. The time counts from the look that first found nothing there, and is kept with the entry:
//! whatever marks that again, and however often this process dies, it stays the same. Once it is
//! over the path is looked at again, and goes as anything else that is gone.

use super::Migration;
use super::claim::Claim;
use crate::number::Time;
use crate::path::RelPath;
use crate::planted::{Planted, planted};
use crate::record::{Change, Parked};

/// What is known of those whose time is over.
#[derive(Debug, Default)]
pub(super) struct Delays {
    /// They are free with this batch: before that they would be freed again.
    ending: Option<u64>,
}

impl Delays {
    pub(super) fn persisted(&mut self, batch: u64) {
        self.ending = self.ending.filter(|by| *by > batch);
    }
}

impl Migration {
    /// Times that an earlier run gave are those of this run's delay.
    pub(super) fn delay_as_asked(&mut self) {
        let after_millis = self.config.removals_after_millis;
        self.outbox.change(Change::DelayRemovals { after_millis });
    }

    /// Something is gone, and not for long enough.
    pub(super) fn stays_for_a_time(&self, claim: &Claim) -> bool {
        let cut_short = planted(Planted::DelayCutShort) && claim.gone_since.is_some();
        self.due(self.gone_since(claim)) > self.now && !cut_short
    }

    /// Sets aside what is gone until its time is over.
    pub(super) fn keep_for_a_time(&mut self, path: RelPath, mut claim: Claim) {
        let since = self.gone_since(&claim);
        claim.gone_since = Some(since);
        if !claim.dirty {
            // What is known of directories is of the source, not of what stays of them.
            self.forget_directories(&path);
        }
        let message = "gone at the source; it is removed once its time is over".to_owned();
        self.park(path, claim, Parked::Delayed, Some(self.due(since)), message);
    }

    /// The source has something at the path, and directories above it: if these go, their time
    /// begins anew. `was_gone`: it is known that nothing was there. What happened since the look may
    /// have taken them away again (`dirty`).
    pub(super) fn note_presence(&mut self, path: &RelPath, was_gone: bool, dirty: bool) {
        if !was_gone && (dirty || self.summary.gone == 0) {
            return;
        }
        for place in [path.clone()].into_iter().chain(path.ancestors()) {
            if let Some(claim) = self.claims.held.get_mut(&place) {
                claim.gone_since = None;
            }
            self.forget_gone_pass(&place);
        }
        let (path, first_txid, seen) = (self.pending_path(path), self.applied().next(), self.now);
        self.outbox.change(Change::Present { path, first_txid, seen });
    }

    /// A person has all of it go now.
    pub(super) fn confirm_delayed(&mut self) {
        self.free_delayed(None);
    }

    /// Has what is due looked at again. It was kept on purpose, so it is pending from now on: what
    /// was claimed of the target before stays true.
    pub(super) fn end_delays(&mut self) {
        if self.delays_go_on().is_some_and(|next| next <= self.now) {
            self.free_delayed(Some(self.now));
            self.delays.ending = Some(self.outbox.gathering());
        }
    }

    pub(super) fn delay_deadline(&self) -> Option<Time> {
        self.delays_go_on()
    }

    /// When the next one is due, while such may be looked at.
    fn delays_go_on(&self) -> Option<Time> {
        let waits = self.stopping || self.paused || self.root.lost.is_some();
        self.summary.delayed_next.filter(|_| !waits && self.delays.ending.is_none())
    }

    fn free_delayed(&mut self, due_by: Option<Time>) {
        let (first_txid, seen) = (self.applied().next(), self.now);
        self.outbox.change(Change::EndDelays { due_by, first_txid, seen });
    }

    fn gone_since(&self, claim: &Claim) -> Time {
        let known = claim.gone_since.filter(|_| !planted(Planted::DelayBegunAnew));
        known.unwrap_or(self.now)
    }

    fn due(&self, since: Time) -> Time {
        since.plus_millis(self.config.removals_after_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::super::claim::Step;
    use super::super::tests::{attempt, changed, claim, migration_of, node, row, step};
    use super::*;
    use crate::config::Config;
    use crate::entry::{DirectoryNode, Node};
    use crate::input::Examined;
    use crate::metadata::Metadata;
    use crate::number::TxId;
    use crate::record::{Attempt, AttemptKind, PendingSummary, Row};

    const AFTER: u64 = 10_000;

    fn migration() -> Migration {
        let mut migration =
            migration_of(Config { removals_after_millis: AFTER, ..Config::default() });
        migration.root.key = Some(7);
        migration
    }

    fn path(text: &str) -> RelPath {
        RelPath::from(text)
    }

    fn absent() -> Examined {
        Examined::Absent { root_key: Some(7) }
    }

    fn ours(at: &str) -> Claim {
        Claim { row: Some(Row { path: path(at), ..row() }), ..claim(at) }
    }

    /// When what a look at this time says is gone has its time over; `None`: it is not kept.
    fn kept(migration: &mut Migration, now: u64, claim: Claim, at: &str) -> Option<(u64, u64)> {
        migration.now = Time(now);
        migration.look_at(path(at), claim, absent());
        let changes = changed(migration);
        let since = changes.iter().find_map(|change| {
            if let Change::Gone { since, .. } = change { Some(*since) } else { None }
        });
        changes.iter().find_map(|change| {
            if let Change::Park { reason: Parked::Delayed, retry_at, .. } = change {
                Some((since.expect("a time").0, retry_at.expect("a time").0))
            } else {
                None
            }
        })
    }

    #[test]
    fn rule_5_7_what_is_gone_stays_until_its_time_is_over() {
        let mut new = migration();
        assert_eq!(kept(&mut new, 5_000, ours("a"), "a"), Some((5_000, 15_000)));
        let known = |since: u64| Claim { gone_since: Some(Time(since)), ..ours("a") };
        assert_eq!(kept(&mut migration(), 14_999, known(5_000), "a"), Some((5_000, 15_000)));
        let mut over = migration();
        assert_eq!(kept(&mut over, 15_000, known(5_000), "a"), None);
        assert!(matches!(step(&over, "a"), Some(Step::CheckingHints { absent: true })), "it goes");
        let mut without = migration();
        without.config.removals_after_millis = 0;
        assert_eq!(kept(&mut without, 5_000, ours("a"), "a"), None);
        let nothing = kept(&mut migration(), 5_000, claim("a"), "a");
        assert_eq!(nothing, None, "nothing of ours stands there");
        let mut far = migration();
        far.config.removals_after_millis = u64::MAX;
        assert_eq!(kept(&mut far, 5_000, ours("a"), "a"), Some((5_000, u64::MAX)));
    }

    /// What was removed was kept once more while an earlier removal had no answer yet.
    #[test]
    fn rule_5_7_a_removal_without_an_answer_keeps_nothing() {
        let after = |kind: AttemptKind| {
            let attempts = vec![Attempt { kind, ..attempt(4, "a", 5) }];
            kept(&mut migration(), 5_000, Claim { attempts, ..claim("a") }, "a")
        };
        assert_eq!(after(AttemptKind::Remove), None);
        assert_eq!(after(AttemptKind::Copy), Some((5_000, 15_000)), "it may come to stand");
    }

    #[test]
    fn rule_5_7_what_is_known_of_directories_goes_with_them_unless_something_happened_since() {
        let forgets = |dirty: bool| {
            let mut migration = migration();
            migration.keep_for_a_time(path("d"), Claim { dirty, ..claim("d") });
            let dropped = |change: &Change| matches!(change, Change::DropDirectory { .. });
            changed(&mut migration).iter().any(dropped)
        };
        assert!(forgets(false) && !forgets(true));
    }

    /// A clock that was set back keeps it for longer, and never for less.
    #[test]
    fn rule_5_7_a_clock_that_was_set_back_lets_nothing_go_early() {
        let claim = Claim { gone_since: Some(Time(90_000)), ..ours("a") };
        assert_eq!(kept(&mut migration(), 5_000, claim, "a"), Some((90_000, 100_000)));
    }

    #[test]
    fn rule_5_7_commit_markers_and_what_is_in_the_way_are_not_kept() {
        let mut marker = migration();
        assert_eq!(kept(&mut marker, 5_000, ours("_SUCCESS"), "_SUCCESS"), None);
        assert!(matches!(step(&marker, "_SUCCESS"), Some(Step::Removing { .. })));
        let (file_key, empty, metadata) = (9, None, Metadata::default());
        let directory = Node::Directory(DirectoryNode { file_key, empty, metadata });
        let mut in_the_way = migration();
        in_the_way.look_at(path("a"), ours("a"), Examined::Present(directory));
        assert!(matches!(step(&in_the_way, "a"), Some(Step::Removing { .. })));
        let mut below = migration();
        let claim = Claim { rows_below: true, ..claim("d") };
        below.look_at(path("d"), claim, Examined::Present(Node::File(node(5))));
        let judged =
            |change: &Change| matches!(change, Change::Park { reason: Parked::Removal, .. });
        assert!(changed(&mut below).iter().any(judged), "the guard looks at it");
    }

    /// If that goes, its time begins anew.
    #[test]
    fn rule_5_7_what_is_back_was_never_gone() {
        let told = |gone_since: Option<Time>, seen: Examined| {
            let mut migration = migration();
            let claim = Claim { gone_since, ..ours("a") };
            migration.look_at(path("a"), claim, seen);
            let back = |change: &Change| matches!(change, Change::Present { .. });
            changed(&mut migration).iter().any(back)
        };
        let file = || Examined::Present(Node::File(node(6)));
        assert!(told(Some(Time(5)), file()) && !told(None, file()));
        assert!(!told(Some(Time(5)), absent()));
    }

    /// A file has directories, whoever looked at these last.
    #[test]
    fn rule_5_7_what_is_above_something_that_is_back_is_back() {
        let mut migration = migration();
        for at in ["d", "d/e", "x"] {
            let gone_since = Some(Time(5));
            migration.hold(path(at), Claim { gone_since, ..claim(at) });
        }
        let seen = |migration: &mut Migration, dirty: bool| {
            migration.note_presence(&path("d/e/f"), false, dirty);
            let told = |change: &Change| matches!(change, Change::Present { .. });
            let told = changed(migration).iter().any(told);
            let gone = migration.claims.held.values().filter(|it| it.gone_since.is_some()).count();
            (told, gone)
        };
        assert_eq!(seen(&mut migration, false), (false, 3), "nothing is known to be gone");
        migration.summary.gone = 2;
        assert_eq!(seen(&mut migration, true), (false, 3), "that was before something happened");
        assert_eq!(seen(&mut migration, false), (true, 1));
    }

    fn waiting(next: u64) -> Migration {
        let mut migration = migration();
        let delayed_next = Some(Time(next));
        migration.summary =
            PendingSummary { delayed: 1, delayed_next, ..PendingSummary::default() };
        migration
    }

    fn ended(migration: &mut Migration) -> Option<Change> {
        migration.end_delays();
        let changes = changed(migration).into_iter();
        changes.clone().find(|change| matches!(change, Change::EndDelays { .. }))
    }

    #[test]
    fn rule_5_7_what_is_due_is_looked_at_again_once() {
        let mut migration = waiting(20_000);
        migration.stream.applied = Some(TxId(8));
        migration.now = Time(19_999);
        assert_eq!(ended(&mut migration), None);
        assert_eq!(migration.delay_deadline(), Some(Time(20_000)));
        for hinder in [
            |it: &mut Migration, yes: bool| it.paused = yes,
            |it: &mut Migration, yes: bool| it.stopping = yes,
            |it: &mut Migration, yes: bool| it.root.lost = yes.then_some(Time(0)),
        ] {
            migration.now = Time(20_000);
            hinder(&mut migration, true);
            assert_eq!((ended(&mut migration), migration.delay_deadline()), (None, None));
            hinder(&mut migration, false);
        }
        let (due_by, first_txid) = (Some(Time(20_000)), TxId(9));
        let free = Change::EndDelays { due_by, first_txid, seen: Time(20_000) };
        let batch = migration.outbox.gathering();
        assert_eq!(ended(&mut migration), Some(free), "pending from now on");
        assert_eq!((ended(&mut migration), migration.delay_deadline()), (None, None));
        migration.delays.persisted(batch - 1);
        assert_eq!(migration.delay_deadline(), None, "that was before it");
        migration.delays.persisted(batch);
        assert_eq!(migration.delay_deadline(), Some(Time(20_000)), "there may be more");
    }

    #[test]
    fn rule_5_7_a_person_has_all_go_now() {
        let mut migration = waiting(20_000);
        migration.confirm_delayed();
        let (due_by, first_txid) = (None, TxId(1));
        let all = Change::EndDelays { due_by, first_txid, seen: Time(1_000) };
        assert_eq!(changed(&mut migration), [all]);
    }
}
