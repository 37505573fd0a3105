//! Beginning a run: the position is taken before the scan, and what an earlier run left is gone on
//! with (rule 1.1).

use super::claim::Asked;
use super::{Migration, Phase};
use crate::effect::{Effect, Report};
use crate::failure::{Failure, Side};
use crate::number::{Time, TxId};
use crate::path::RelPath;
use crate::planted::{Planted, planted};
use crate::record::{Attempt, Change, Lane, Parked, Reach};

impl Migration {
    /// Attempts of a process that is gone may still take effect (rule 4.1).
    pub(super) fn inherit(&mut self, attempts: Vec<Attempt>) {
        for attempt in attempts {
            if planted(Planted::LateWriteForgotten) {
                self.outbox.change(Change::AttemptClosed(attempt.number));
                continue;
            }
            let until = match attempt.doubtful_until {
                Some(until) => until,
                None => self.end_of_doubt(&attempt),
            };
            let number = attempt.number;
            self.outbox.change(Change::AttemptDoubtful { number, until });
            self.note_doubtful(&attempt);
            self.doubts.insert((until, number, attempt.path));
        }
        self.outbox.change(Change::Release(Parked::Failed));
        self.outbox.change(Change::Release(Parked::Foreign));
        self.delay_as_asked();
    }

    pub(super) fn root_seen(&mut self) {
        self.root.retry_at = None;
        if self.phase != Phase::Rooting {
            return;
        }
        self.phase = Phase::Joining;
        match (self.config.live, self.stream.applied) {
            (true, None) => self.ask_start_position(),
            (true, Some(_)) => self.resume_live(),
            (false, _) => self.begin_scan_as_listed(),
        }
    }

    pub(super) fn ask_start_position(&mut self) {
        let ticket = self.ask(Asked::Position);
        self.outbox.send_after(Effect::Position { ticket, since: None });
    }

    /// The position is durable before the first listing (rule 1.1).
    pub(super) fn start_positioned(&mut self, outcome: Result<TxId, Failure>) {
        match outcome {
            Ok(position) => {
                self.answered_by(Side::Source);
                self.stream.applied = Some(position);
                self.outbox.change(Change::Position { txid: position, digest: 0 });
                self.stream.unsaved.push_back((self.outbox.gathering(), position));
                self.begin_scan(position);
            }
            Err(failure) => {
                self.side_failed(&failure);
                self.position_retry_at = Some(self.now.plus_millis(1_000));
            }
        }
    }

    fn resume_live(&mut self) {
        if self.scan_begun && self.config.new_coverage.is_none() {
            self.file_keys_matter = true;
            self.run();
        } else {
            self.begin_scan(self.applied());
        }
    }

    /// Without a stream no listing of an earlier run says anything about now, not even one of a scan
    /// that it left unfinished: everything is listed again, and what did not change is not copied.
    fn begin_scan_as_listed(&mut self) {
        self.stream.applied = None;
        self.stream.saved = None;
        self.begin_scan(TxId(0));
    }

    fn begin_scan(&mut self, position: TxId) {
        let before = self.scan_begun;
        self.scan_begun = true;
        self.scanned = false;
        self.scan_marked_by = self.outbox.gathering();
        let coverage = self.config.new_coverage.take();
        self.outbox.change(Change::ScanBegun { coverage });
        if before {
            self.mark_everything(TxId(0), position);
        } else {
            let root = RelPath::root();
            self.mark(&root, Reach::Subtree, Lane::Backlog, TxId(0), position);
        }
        self.run();
    }

    /// Listings of the scan were wrong: none of it is believed, not those under way either.
    pub(super) fn list_again(&mut self, report: Report) {
        self.outbox.send(Effect::Report(report));
        if self.phase == Phase::Running {
            self.touch(&RelPath::root(), true);
            self.begin_scan(self.applied());
        }
    }

    fn run(&mut self) {
        self.phase = Phase::Running;
        self.stream.last_change = self.now;
    }

    /// Asks again what could not be told, and tells of a side that stays silent.
    pub(super) fn retry_start(&mut self) {
        self.notice_silence();
        if due(self.root.retry_at, self.now) {
            self.root.retry_at = None;
            self.look_at_root();
        }
        if due(self.position_retry_at, self.now) {
            self.position_retry_at = None;
            self.ask_start_position();
        }
    }
}

fn due(at: Option<Time>, now: Time) -> bool {
    at.is_some_and(|at| at <= now)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{changed, failure, marked, migration_of, sent};
    use super::*;
    use crate::config::Config;
    use crate::effect::ReportKind;
    use crate::failure::FailureKind;

    /// A live run that begins where an earlier one ended at transaction 5.
    fn resumed(scan_begun: bool, new_coverage: Option<&str>) -> Migration {
        let new_coverage = new_coverage.map(str::to_owned);
        let config = Config { live: true, new_coverage, ..Config::default() };
        let mut migration = migration_of(config);
        (migration.phase, migration.scan_begun) = (Phase::Rooting, scan_begun);
        migration.stream.applied = Some(TxId(5));
        migration.root_seen();
        migration
    }

    #[test]
    fn rule_1_1_a_scan_is_gone_on_with_if_it_was_begun_over_the_same() {
        let scans = |scan_begun: bool, new_coverage: Option<&str>| {
            let mut migration = resumed(scan_begun, new_coverage);
            let changes = changed(&mut migration);
            changes.iter().any(|change| matches!(change, Change::ScanBegun { .. }))
        };
        assert!(!scans(true, None));
        assert!(scans(false, None) && scans(true, Some("more")));
        let mut migration = resumed(true, None);
        sent(&mut migration);
        migration.root_seen();
        assert_eq!(changed(&mut migration), [], "a look at the root begins nothing anew");
    }

    #[test]
    fn rule_8_1_listings_that_were_wrong_are_done_anew_while_it_runs() {
        let listed = |phase: Phase| {
            let mut migration = migration_of(Config { live: true, ..Config::default() });
            migration.phase = phase;
            let failure = failure(Side::Source, FailureKind::Corrupt);
            migration.list_again(Report { path: None, kind: ReportKind::Image, failure });
            marked(&changed(&mut migration)).len()
        };
        assert_eq!((listed(Phase::Running), listed(Phase::Finished)), (1, 0));
    }

    #[test]
    fn what_could_not_be_told_is_asked_again_in_its_time() {
        let mut migration = migration_of(Config { live: true, ..Config::default() });
        migration.start_positioned(Err(failure(Side::Source, FailureKind::Unavailable)));
        sent(&mut migration);
        let mut asked = |now: u64| {
            migration.now = Time(now);
            migration.retry_start();
            let effects = sent(&mut migration);
            effects.iter().filter(|effect| matches!(effect, Effect::Position { .. })).count()
        };
        assert_eq!((asked(1_999), asked(2_000), asked(2_001)), (0, 1, 0));
    }
}
