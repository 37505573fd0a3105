//! When a run is over (rule 10.3).

use super::claim::{Claim, Step};
use super::{Migration, Phase};
use crate::effect::{Effect, Finish};
use crate::failure::Failure;
use crate::number::{Time, TxId};
use crate::planted::{Planted, planted};
use crate::record::Change;

impl Migration {
    /// Ends the run if what it was to do is done.
    pub(super) fn consider_finish(&mut self) {
        if self.phase == Phase::Finished {
            return;
        }
        self.stream.quiet_wanted = false;
        if !self.claims.held.is_empty() || !self.passes.is_empty() {
            self.stream.still = false;
            self.stream.caught_up_still = false;
        }
        if let Some(failure) = self.given_up() {
            self.finish(Finish::GaveUp(failure));
            return;
        }
        if self.stopping {
            if self.in_flight_is_empty() {
                self.finish(Finish::Stopped);
            }
            return;
        }
        if self.phase != Phase::Running
            || !self.recount.is_done()
            || !self.is_idle()
            || self.awaits_judgement()
            || self.reconsider_markers()
        {
            return;
        }
        if !self.scanned {
            self.scanned = true;
            self.outbox.change(Change::Scanned);
            return;
        }
        if self.summary.attempts > 0 && !planted(Planted::AttemptsNotAwaited) {
            return;
        }
        self.stream.quiet_wanted = true;
        if !self.config.live || self.is_quiet() {
            match self.wanted_word() {
                Some(failure) => self.finish(Finish::Guard(failure)),
                None => self.finish(Finish::Done),
            }
        }
    }

    /// A source that never rests leaves no moment in which nothing is pending: its scan is over
    /// when nothing of it is.
    pub(super) fn consider_scanned(&mut self, batch: u64) {
        let of_scan = self.summary.first_txid == Some(TxId(0));
        let through = self.scan_begun && batch >= self.scan_marked_by && !of_scan;
        let runs = self.phase == Phase::Running && self.config.live && !self.gap_open;
        if !self.scanned && through && runs && self.recount.is_done() {
            self.scanned = true;
            self.outbox.change(Change::Scanned);
        }
    }

    /// What a person has to decide before it can go on.
    fn wanted_word(&self) -> Option<Failure> {
        let foreign = self.foreign.clone().filter(|_| self.summary.foreign > 0);
        foreign.or_else(|| self.guard.held().filter(|_| self.summary.guarded > 0))
    }

    pub(super) fn finish(&mut self, finish: Finish) {
        if self.phase != Phase::Finished {
            self.phase = Phase::Finished;
            self.outbox.send_after(Effect::Finish(finish));
        }
    }

    /// Nothing is pending, claimed or on its way, but a look at the stream.
    pub(super) fn is_idle(&self) -> bool {
        self.claims.held.is_empty()
            && self.passes.is_empty()
            && self.taking.is_empty()
            && !self.gap_open
            && self.root.is_settled()
            && self.outbox.is_durable()
            && self.fresh_summary
            && self.summary.lanes == [0; 3]
    }

    /// The source answers, is followed to its end, and no change in scope was seen for long
    /// enough; a dead source is not quiet. What the last work saw at the source may be younger
    /// than the stream's last answer: one end of a rename seen, the other not heard of. So the
    /// stream is asked once more after it; and when the time is over, for what no event tells of.
    fn is_quiet(&self) -> bool {
        let looked_for = self.stream.quiet_since == Some(self.stream.last_change);
        looked_for && self.stream.caught_up_still
    }

    /// By then no change in scope had been seen for as long as was asked for.
    pub(super) fn is_quiet_at(&self, at: Time) -> bool {
        let millis = self.config.until_quiet_millis;
        millis.is_some_and(|millis| at >= self.stream.last_change.plus_millis(millis))
    }

    /// No effect is waited for that could still write.
    fn in_flight_is_empty(&self) -> bool {
        let waits = |claim: &Claim| matches!(claim.step, Step::Queued | Step::AwaitingGroup { .. });
        self.claims.held.values().all(|claim| waits(claim)) && self.outbox.is_durable()
    }

    pub(super) fn quiet_deadline(&self) -> Option<Time> {
        let millis = self.config.until_quiet_millis?;
        Some(self.stream.last_change.plus_millis(millis)).filter(|at| *at > self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{changed, claim, failure, migration_of, sent};
    use super::*;
    use crate::config::Config;
    use crate::failure::{FailureKind, Side};
    use crate::path::RelPath;
    use crate::record::{Lane, PendingSummary};

    /// All that it was to do is done.
    fn idle(config: Config) -> Migration {
        let mut migration = migration_of(config);
        migration.phase = Phase::Running;
        migration.taking.clear();
        migration.fresh_summary = true;
        (migration.scanned, migration.gap_open) = (true, false);
        changed(&mut migration);
        migration
    }

    fn end(migration: &mut Migration) -> Option<Finish> {
        migration.consider_finish();
        sent(migration).into_iter().find_map(|effect| {
            if let Effect::Finish(finish) = effect { Some(finish) } else { None }
        })
    }

    #[test]
    fn rule_10_3_the_scan_of_a_source_that_never_rests_ends() {
        let summary = |first: u64| PendingSummary {
            lanes: [3, 0, 0],
            first_txid: Some(TxId(first)),
            ..PendingSummary::default()
        };
        let told = |first: u64, left: &dyn Fn(&mut Migration)| {
            let mut migration = idle(Config { live: true, ..Config::default() });
            (migration.scan_begun, migration.scanned) = (true, false);
            left(&mut migration);
            migration.persisted(4, summary(first));
            changed(&mut migration).contains(&Change::Scanned)
        };
        assert!(told(5, &|_| {}), "the rest came later");
        assert!(told(5, &|it| it.hold(RelPath::from("a"), claim("a"))));
        assert!(!told(0, &|_| {}), "something of the scan is pending");
        assert!(!told(5, &|it| it.scan_begun = false));
        assert!(!told(5, &|it| it.scan_marked_by = 5), "it is not pending yet");
        assert!(!told(5, &|it| it.gap_open = true));
        assert!(!told(5, &|it| it.phase = Phase::Joining));
        assert!(!told(5, &|it| it.config.live = false), "as listed: what stands is compared");
        assert!(!told(5, &|it| it.scanned = true), "once");
    }

    /// What would have a run go on that is done but for this.
    #[test]
    fn rule_10_3_a_run_ends_when_nothing_is_left() {
        let ends = |left: &dyn Fn(&mut Migration)| {
            let mut migration = idle(Config::default());
            left(&mut migration);
            end(&mut migration).is_some()
        };
        assert!(ends(&|_| {}));
        assert!(!ends(&|it| it.hold(RelPath::from("a"), claim("a"))));
        assert!(!ends(&|it| it.summary.attempts = 1));
        assert!(!ends(&|it| it.summary.removals = 1));
        assert!(!ends(&|it| it.gap_open = true));
        assert!(!ends(&|it| it.fresh_summary = false));
        assert!(!ends(&|it| it.phase = Phase::Joining));
        assert!(!ends(&|it| it.outbox.change(Change::Scanned)));
        assert!(!ends(&|it| it.root.lost = Some(Time(0))));
        assert!(!ends(&|it| it.root.retry_at = Some(Time(9_000))));
        for lane in [Lane::Live, Lane::Backlog, Lane::Metadata] {
            assert!(!ends(&|it| it.summary.lanes[lane as usize] = 1), "{lane:?}");
            assert!(!ends(&|it| assert!(it.taking.insert(lane))), "{lane:?}");
        }
        let mut unscanned = idle(Config::default());
        unscanned.scanned = false;
        unscanned.consider_finish();
        assert_eq!(changed(&mut unscanned), [Change::Scanned], "durable before it ends");
        assert_eq!(end(&mut unscanned), Some(Finish::Done));
    }

    /// That is what was asked for.
    #[test]
    fn rule_5_7_a_run_ends_though_something_is_kept_for_a_time() {
        let mut migration = idle(Config::default());
        let (delayed, delayed_next) = (3, Some(Time(9_000)));
        migration.summary = PendingSummary { delayed, delayed_next, ..PendingSummary::default() };
        assert_eq!(end(&mut migration), Some(Finish::Done));
    }

    #[test]
    fn a_run_that_waits_for_a_word_says_so() {
        let conflict = failure(Side::Target, FailureKind::Conflict);
        let ended = |foreign: Option<Failure>, summary: PendingSummary| {
            let mut migration = idle(Config::default());
            (migration.foreign, migration.summary) = (foreign, summary);
            end(&mut migration)
        };
        let foreign = PendingSummary { foreign: 1, ..PendingSummary::default() };
        let word = Some(Finish::Guard(conflict.clone()));
        assert_eq!(ended(Some(conflict.clone()), foreign), word);
        let none = PendingSummary::default();
        assert_eq!(ended(Some(conflict), none), Some(Finish::Done), "it went by itself");
        assert_eq!(ended(None, foreign), Some(Finish::Done), "of an earlier run");
    }

    #[test]
    fn a_run_that_stops_waits_for_what_could_still_write() {
        let stops = |begun: &dyn Fn(&mut Migration)| {
            let mut migration = idle(Config::default());
            migration.stopping = true;
            begun(&mut migration);
            end(&mut migration) == Some(Finish::Stopped)
        };
        let with = |step: fn() -> Step| {
            stops(&|it| it.hold(RelPath::from("a"), Claim { step: step(), ..claim("a") }))
        };
        assert!(
            stops(&|_| {}) && with(|| Step::Queued) && with(|| Step::AwaitingGroup { asks: 0 })
        );
        assert!(!with(|| Step::Examining));
        assert!(!stops(&|it| it.outbox.change(Change::Scanned)), "it is not durable yet");
    }

    #[test]
    fn rule_10_3_quiet_lasts_as_long_as_was_asked_for() {
        let until_quiet_millis = Some(500);
        let mut migration = idle(Config { live: true, until_quiet_millis, ..Config::default() });
        migration.stream.last_change = Time(1_000);
        let mut quiet = |now: u64| {
            migration.now = Time(now);
            (migration.is_quiet_at(Time(now)), migration.quiet_deadline())
        };
        assert_eq!(quiet(1_499), (false, Some(Time(1_500))));
        assert_eq!(quiet(1_500), (true, None));
        let until_quiet_millis = None;
        let forever = idle(Config { live: true, until_quiet_millis, ..Config::default() });
        assert_eq!((forever.is_quiet_at(Time(u64::MAX)), forever.quiet_deadline()), (false, None));
    }

    /// What the last work saw may be younger than the stream's last answer.
    #[test]
    fn rule_10_3_the_stream_is_asked_once_more_after_the_last_work() {
        let still = |works: bool| {
            let mut migration = idle(Config { live: true, ..Config::default() });
            (migration.stream.still, migration.stream.caught_up_still) = (true, true);
            if works {
                migration.hold(RelPath::from("a"), claim("a"));
            }
            migration.consider_finish();
            (migration.stream.still, migration.stream.caught_up_still)
        };
        assert_eq!((still(false), still(true)), ((true, true), (false, false)));
    }
}
