//! The guard against mass deletion (rule 5.6). What is gone at the source is set aside first, for a
//! moment in a live run and until the scan is through in others, so that the guard sees how much
//! would go before any of it does. It lets all of it go, or holds it, and everything gone after
//! it, until a person confirms.

use super::claim::{Asked, Claim, Step};
use super::{Migration, Phase};
use crate::config::Extras;
use crate::effect::{Effect, Report, ReportKind};
use crate::failure::{Failure, FailureKind, Side};
use crate::input::Removals;
use crate::number::{Time, TxId};
use crate::path::RelPath;
use crate::planted::{Planted, planted};
use crate::record::{Change, Lane, Parked};

/// Nothing more was gone for so long: what is gone is probably complete.
const QUIET_MILLIS: u64 = 500;
/// A live change is not kept from the target for longer.
const WAIT_MAX_MILLIS: u64 = 2_000;
/// Unless so much is gone that the guard may have to hold it.
const WAIT_FOR_MANY_MAX_MILLIS: u64 = 10_000;
/// Without a stream: between the end of the scan, or the last that was gone, and the judgement.
const SCAN_QUIET_MILLIS: u64 = 2_000;

/// What the guard knows.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// What is gone and was not judged yet.
    round: Option<Round>,
    /// The ledger is counting; nothing is added to the round meanwhile.
    counting: bool,
    /// What was let go in this batch counts as behind until the ledger counts it as pending again.
    released: Option<(u64, Behind)>,
    /// Why removals are held.
    holding: Option<Failure>,
}

/// Removals that are judged together.
#[derive(Debug)]
struct Round {
    begun: Time,
    last: Time,
    not_before: Time,
    behind: Behind,
    example: RelPath,
}

/// Since when the target lacks what is about to be removed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behind {
    pub(super) first: TxId,
    pub(super) seen: Time,
}

impl Behind {
    fn join(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), seen: self.seen.min(other.seen) }
    }
}

impl Guard {
    /// Why removals are held.
    pub(super) fn held(&self) -> Option<Failure> {
        self.holding.clone()
    }

    /// What the target lacks because removals wait for their judgement.
    pub(super) fn behind(&self) -> Option<Behind> {
        let round = self.round.as_ref().map(|round| round.behind);
        let released = self.released.map(|(_, behind)| behind);
        match (round, released) {
            (Some(round), Some(released)) => Some(round.join(released)),
            (round, released) => round.or(released),
        }
    }
}

impl Migration {
    /// Sets aside what is gone until it was judged.
    pub(super) fn nominate(&mut self, path: RelPath, claim: Claim) {
        if self.guard.counting {
            self.again(path, claim, 50, false);
            return;
        }
        let behind = Behind { first: claim.first, seen: claim.seen };
        self.await_judgement(behind, &path);
        let message = "gone at the source; removed in a moment".to_owned();
        self.park(path, claim, Parked::Removal, None, message);
    }

    fn await_judgement(&mut self, behind: Behind, path: &RelPath) {
        let now = self.now;
        let round = self.guard.round.get_or_insert_with(|| Round {
            begun: now,
            last: now,
            not_before: now,
            behind,
            example: path.clone(),
        });
        round.last = now;
        round.behind = round.behind.join(behind);
    }

    /// True if one more may go without having been judged with others: a commit marker, for which
    /// its siblings wait.
    pub(super) fn lets_go_at_once(&self) -> bool {
        let goes_alone =
            |claim: &Claim| claim.let_go.is_none() && matches!(claim.step, Step::Removing { .. });
        let others = self.claims.held.values().filter(|claim| goes_alone(claim)).count() as u64;
        let went = self.summary.lost + others;
        let one = Removals { objects: 1, lost: 1, leaving: others, went };
        self.guard.holding.is_none() && !self.is_too_much(one)
    }

    /// A file came to the target where none stood.
    pub(super) fn note_arrival(&mut self) {
        if self.summary.lost > 0 {
            self.outbox.change(Change::Arrived);
        }
    }

    /// Judges what is gone, if its time has come.
    pub(super) fn consider_removals(&mut self) {
        if self.stopping || self.paused || self.guard.counting || !self.judgement_is_due() {
            return;
        }
        if let Some(failure) = self.guard.held() {
            self.hold_removals(failure);
            return;
        }
        self.guard.counting = true;
        let ticket = self.ask(Asked::Removals);
        self.outbox.send_after(Effect::CountRemovals { ticket, now: self.now });
    }

    /// Something is gone that was not judged yet.
    pub(super) fn awaits_judgement(&self) -> bool {
        self.guard.counting || self.guard.round.is_some() || self.summary.removals > 0
    }

    fn judgement_is_due(&self) -> bool {
        let Some(round) = &self.guard.round else { return false };
        let alone = !self.config.live && self.is_idle();
        alone || self.judged_from(round).is_some_and(|from| from <= self.now)
    }

    /// When a round is judged; `None`: not before the scan went on.
    fn judged_from(&self, round: &Round) -> Option<Time> {
        if self.config.live {
            let quiet = round.last.plus_millis(QUIET_MILLIS);
            return Some(round.begun.plus_millis(WAIT_MAX_MILLIS).min(quiet).max(round.not_before));
        }
        self.is_scanned_through().then(|| round.last.plus_millis(SCAN_QUIET_MILLIS))
    }

    fn is_scanned_through(&self) -> bool {
        self.passes.is_empty() && self.summary.lanes[Lane::Backlog as usize] == 0
    }

    pub(super) fn guard_deadline(&self) -> Option<Time> {
        let waits = self.guard.counting || self.stopping || self.paused;
        let round = self.guard.round.as_ref().filter(|_| !waits)?;
        self.judged_from(round)
    }

    /// The ledger counted what would go.
    pub(super) fn judge_removals(&mut self, removals: Removals) {
        self.guard.counting = false;
        let Some(round) = &self.guard.round else { return };
        let is_found = round.last.plus_millis(QUIET_MILLIS) > self.now;
        let grows = (is_found || !self.is_scanned_through())
            && round.begun.plus_millis(WAIT_FOR_MANY_MAX_MILLIS) > self.now;
        let quarter = Removals { lost: removals.lost.saturating_mul(4), ..removals };
        if self.config.live && grows && self.is_too_much(quarter) {
            if let Some(round) = &mut self.guard.round {
                round.not_before = self.now.plus_millis(QUIET_MILLIS);
            }
            return;
        }
        if self.is_too_much(removals) {
            let failure = self.too_much(removals);
            self.hold_removals(failure);
            return;
        }
        self.let_removals_go(Change::Release(Parked::Removal));
    }

    /// Both bounds would be passed.
    fn is_too_much(&self, removals: Removals) -> bool {
        let (lost, stood) = self.lost_of(removals);
        self.config.removal_guard.holds(lost, stood) && !planted(Planted::GuardAsleep)
    }

    /// How many objects went within the hour if these went too, and how many stood before.
    fn lost_of(&self, removals: Removals) -> (u64, u64) {
        let extras = match self.config.extras {
            Extras::Keep => 0,
            Extras::Remove => self.summary.found,
        };
        removals.lost_of(self.summary.rows + extras)
    }

    fn too_much(&self, removals: Removals) -> Failure {
        let (lost, stood) = self.lost_of(removals);
        let example = self.guard.round.as_ref().map(|round| round.example.to_string());
        let elsewhere = match removals.objects.saturating_sub(removals.lost) {
            0 => String::new(),
            // What was renamed and is at its new place by now is not lost with the old one.
            moved => format!(" ({moved} of them stand at another place, too)"),
        };
        held(format!(
            "{lost} of {stood} objects are gone at the source within an hour: the last {} stay on \
             the target{elsewhere}, and whatever goes from now on, {} among them",
            removals.objects,
            example.unwrap_or_default()
        ))
    }

    fn hold_removals(&mut self, failure: Failure) {
        self.guard.round = None;
        self.outbox.change(Change::HoldRemovals { message: failure.message.clone() });
        self.begin_to_hold(failure);
    }

    fn begin_to_hold(&mut self, failure: Failure) {
        if self.guard.holding.is_none() {
            let report = Report { path: None, kind: ReportKind::Guard, failure: failure.clone() };
            self.outbox.send(Effect::Report(report));
            self.guard.holding = Some(failure);
        }
    }

    fn let_removals_go(&mut self, change: Change) {
        self.outbox.change(change);
        if let Some(round) = self.guard.round.take() {
            let earlier = self.guard.released.map(|(_, behind)| behind);
            let behind = earlier.map_or(round.behind, |earlier| earlier.join(round.behind));
            self.guard.released = Some((self.outbox.gathering(), behind));
        }
    }

    /// A person means what is held, and what is gone by now.
    pub(super) fn confirm_guard(&mut self) {
        self.guard.holding = None;
        self.let_removals_go(Change::Confirmed);
    }

    /// The ledger told what is pending: what an earlier run left is judged, or stays held.
    pub(super) fn guard_persisted(&mut self, batch: u64) {
        if self.guard.released.is_some_and(|(by, _)| by <= batch) {
            self.guard.released = None;
        }
        let guarded = self.summary.guarded;
        if !self.fresh_summary && guarded > 0 && self.config.removal_guard.never_asks() {
            // That bound is a person's word for what an earlier run holds, too.
            self.confirm_guard();
        } else if !self.fresh_summary && guarded > 0 {
            self.begin_to_hold(held(format!(
                "removals are held since an earlier run: what is gone at the source at or below \
                 {guarded} paths stays on the target, and whatever goes from now on"
            )));
        }
        let settled = self.outbox.is_durable() && !self.guard.counting;
        if settled && self.summary.removals > 0 && self.guard.round.is_none() {
            let behind = Behind { first: TxId(0), seen: self.now };
            self.await_judgement(behind, &RelPath::root());
        }
        let nothing_held = guarded == 0 && self.summary.removals == 0;
        if settled && nothing_held && self.phase == Phase::Running && self.is_idle() {
            self.guard.holding = None;
        }
    }
}

fn held(message: String) -> Failure {
    Failure {
        side: Side::Source,
        kind: FailureKind::Refused,
        message,
        remedy: "look at the source; if it is meant, say `whimbrel confirm NAME` and, if the run \
                 has ended, start it again"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::claim::AfterRemoval;
    use super::super::tests::{changed, claim, migration_of, sent, work};
    use super::*;
    use crate::config::{Config, RemovalGuard};
    use crate::input::Work;
    use crate::record::{LetGo, Pending, PendingSummary, Reach};

    /// Ten objects or half of a hundred may go.
    fn config() -> Config {
        let removal_guard = RemovalGuard { count_max: Some(10), share_max_percent: Some(50) };
        Config { removal_guard, live: true, ..Config::default() }
    }

    fn migration_with(config: Config, rows: u64, lost: u64) -> Migration {
        let mut migration = migration_of(config);
        migration.summary = PendingSummary { rows, lost, ..PendingSummary::default() };
        migration
    }

    fn behind() -> Behind {
        Behind { first: TxId(1), seen: Time(0) }
    }

    #[test]
    fn rule_5_6_a_marker_goes_alone_as_long_as_not_too_many_do() {
        let goes = |lost: u64, others: &[Option<LetGo>]| {
            let mut migration = migration_with(config(), 11, lost);
            for (number, let_go) in others.iter().enumerate() {
                let path = RelPath::from(format!("{number}").as_str());
                let step = Step::Removing { then: AfterRemoval::Settle, keys: Vec::new() };
                migration.hold(path, Claim { let_go: *let_go, step, ..claim("a") });
            }
            migration.hold(RelPath::from("b"), claim("b"));
            migration.lets_go_at_once()
        };
        let (alone, judged) = (None, Some(LetGo::Guard));
        assert!(goes(9, &[]) && !goes(10, &[]), "of 21 that stood, eleven");
        assert!(goes(8, &[alone]) && !goes(9, &[alone]), "others that go alone count");
        assert!(goes(9, &[judged]), "others were counted by the guard");
        let mut holding = migration_with(config(), 12, 0);
        holding.begin_to_hold(held(String::new()));
        assert!(!holding.lets_go_at_once(), "whatever goes from now on waits");
    }

    #[test]
    fn rule_5_6_what_comes_makes_losses_good() {
        let noted = |lost: u64| {
            let mut migration = migration_with(config(), 12, lost);
            migration.note_arrival();
            changed(&mut migration)
        };
        assert_eq!(noted(1), [Change::Arrived]);
        assert_eq!(noted(2), [Change::Arrived]);
        assert_eq!(noted(0), [], "there is nothing to be made good");
    }

    #[test]
    fn rule_5_6_both_bounds_have_to_be_passed() {
        let too_much = |rows: u64, lost: u64| {
            let migration = migration_with(config(), rows, 0);
            migration.is_too_much(Removals { objects: lost, lost, ..Removals::default() })
        };
        assert!(!too_much(12, 10), "ten may always go");
        assert!(too_much(12, 11), "eleven of twelve");
        assert!(!too_much(22, 11), "half of all");
        assert!(too_much(21, 11), "more than half");
        let migration = migration_with(config(), 100, 0);
        let removals = Removals { objects: 12, lost: 6, leaving: 3, went: 4 };
        // 15 of the hundred go; four went before, and six of these are lost.
        assert_eq!(migration.lost_of(removals), (10, 95));
    }

    /// When what is gone since a time is judged.
    #[test]
    fn rule_5_6_a_round_is_judged_when_it_is_quiet_or_has_waited_long() {
        let mut migration = migration_with(config(), 100, 0);
        migration.await_judgement(behind(), &RelPath::from("a"));
        let judged = |migration: &mut Migration, now: u64| {
            migration.now = Time(now);
            migration.consider_removals();
            let effects = sent(migration);
            effects.iter().any(|effect| matches!(effect, Effect::CountRemovals { .. }))
        };
        assert_eq!(migration.guard_deadline(), Some(Time(1_500)));
        assert!(!judged(&mut migration, 1_499));
        migration.await_judgement(behind(), &RelPath::from("b"));
        assert_eq!(migration.guard_deadline(), Some(Time(1_999)), "quiet since then");
        for now in [1_900, 2_300, 2_700] {
            migration.now = Time(now);
            migration.await_judgement(behind(), &RelPath::from("c"));
        }
        assert_eq!(migration.guard_deadline(), Some(Time(3_000)), "not for longer");
        for hinder in [
            |migration: &mut Migration, it| migration.paused = it,
            |migration: &mut Migration, it| migration.stopping = it,
            |migration: &mut Migration, it| migration.guard.counting = it,
        ] {
            hinder(&mut migration, true);
            assert!(!judged(&mut migration, 3_000));
            assert_eq!(migration.guard_deadline(), None);
            hinder(&mut migration, false);
        }
        assert!(judged(&mut migration, 3_000));
        assert!(!judged(&mut migration, 9_000), "the ledger counts");
    }

    #[test]
    fn rule_5_6_a_run_does_not_end_before_what_is_gone_was_judged() {
        let awaits = |counting: bool, round: bool, removals: u64| {
            let mut migration = migration_with(config(), 100, 0);
            migration.guard.counting = counting;
            if round {
                migration.await_judgement(behind(), &RelPath::from("a"));
            }
            migration.summary.removals = removals;
            migration.awaits_judgement()
        };
        assert!(!awaits(false, false, 0));
        assert!(awaits(true, false, 0) && awaits(false, true, 0) && awaits(false, false, 1));
    }

    /// Without a stream nothing is judged before the scan went through everything.
    #[test]
    fn rule_5_6_what_is_gone_is_judged_after_the_scan() {
        let due = |backlog: u64, passes: bool| {
            let mut migration = migration_with(Config { live: false, ..config() }, 100, 0);
            migration.summary.lanes = [0, backlog, 0];
            if passes {
                let pending = Pending { reach: Reach::Directory, ..work("d").pending };
                migration.begin_pass(&Work { pending, ..work("d") });
            }
            migration.await_judgement(behind(), &RelPath::from("a"));
            migration.guard_deadline()
        };
        assert_eq!(due(0, false), Some(Time(3_000)), "two seconds after the last");
        assert_eq!((due(1, false), due(0, true)), (None, None));
    }

    /// Whether the guard waits for more, lets go, or holds, if so many of a hundred are gone.
    #[test]
    fn rule_5_6_what_may_become_too_much_is_waited_for() {
        let judged = |lost: u64, begun: u64, last: u64, backlog: u64| {
            let mut migration = migration_with(config(), 100, 0);
            migration.summary.lanes = [0, backlog, 0];
            migration.now = Time(begun);
            migration.await_judgement(behind(), &RelPath::from("a"));
            migration.now = Time(last);
            migration.await_judgement(behind(), &RelPath::from("b"));
            migration.now = Time(20_000);
            migration.judge_removals(Removals { objects: lost, lost, ..Removals::default() });
            let waits = migration.guard.round.is_some();
            let changes = changed(&mut migration);
            match changes.first() {
                None if waits => "waits",
                Some(Change::Release(Parked::Removal)) => "goes",
                Some(Change::HoldRemovals { .. }) => "held",
                _ => "something else",
            }
        };
        assert_eq!(judged(51, 19_000, 19_501, 0), "waits");
        assert_eq!(judged(21, 19_000, 19_501, 0), "waits", "four times as many would be too much");
        assert_eq!(judged(20, 19_000, 19_501, 0), "goes", "far from too much");
        assert_eq!(judged(51, 19_000, 19_500, 0), "held", "nothing more was gone for a while");
        assert_eq!(judged(50, 19_000, 19_500, 0), "goes");
        assert_eq!(judged(51, 19_000, 19_500, 1), "waits", "the scan may find more");
        assert_eq!(judged(51, 10_001, 10_001, 1), "waits");
        assert_eq!(judged(51, 10_000, 19_501, 1), "held", "ten seconds are enough");
    }

    /// What an earlier run left is judged, stays held, or goes by a person's word.
    #[test]
    fn rule_5_6_what_an_earlier_run_left_is_not_forgotten() {
        let begun = |config: Config, guarded: u64, removals: u64| {
            let mut migration = migration_with(config, 100, 0);
            (migration.summary.guarded, migration.summary.removals) = (guarded, removals);
            migration.guard_persisted(1);
            let holds = migration.guard.held().is_some();
            let confirmed = changed(&mut migration) == [Change::Confirmed];
            (holds, migration.guard.round.is_some(), confirmed)
        };
        assert_eq!(begun(config(), 0, 0), (false, false, false));
        assert_eq!(begun(config(), 1, 0), (true, false, false));
        assert_eq!(begun(config(), 0, 1), (false, true, false));
        let removal_guard = RemovalGuard { count_max: None, share_max_percent: Some(50) };
        let never = || Config { removal_guard, ..config() };
        assert_eq!(begun(never(), 0, 0), (false, false, false));
        assert_eq!(begun(never(), 1, 0), (false, false, true), "that is the word");
        let judges = |hinder: &dyn Fn(&mut Migration)| {
            let mut migration = migration_with(config(), 100, 0);
            (migration.summary.removals, migration.fresh_summary) = (1, true);
            hinder(&mut migration);
            migration.guard_persisted(1);
            migration.guard.round.is_some()
        };
        assert!(judges(&|_| {}));
        assert!(!judges(&|it| it.guard.counting = true), "the ledger counts them");
        assert!(!judges(&|it| it.outbox.change(Change::Arrived)), "more of them may be under way");
    }

    #[test]
    fn rule_5_6_the_guard_holds_no_more_once_nothing_is_held() {
        let holds = |changes: &dyn Fn(&mut Migration)| {
            let mut migration = migration_with(config(), 100, 0);
            migration.begin_to_hold(held(String::new()));
            sent(&mut migration);
            (migration.fresh_summary, migration.phase) = (true, Phase::Running);
            changes(&mut migration);
            migration.guard_persisted(1);
            migration.guard.held().is_some()
        };
        assert!(!holds(&|_| {}));
        assert!(holds(&|it| it.summary.guarded = 1) && holds(&|it| it.summary.removals = 1));
        assert!(holds(&|it| it.phase = Phase::Joining));
        assert!(holds(&|it| it.summary.lanes = [1, 0, 0]), "something gone may be among it");
        assert!(holds(&|it| it.outbox.change(Change::Arrived)));
    }

    /// What it lets go is behind until the ledger counts it as pending again.
    #[test]
    fn rule_10_1_what_was_let_go_is_behind_until_that_is_durable() {
        let mut migration = migration_with(config(), 100, 0);
        migration.await_judgement(behind(), &RelPath::from("a"));
        migration.judge_removals(Removals { objects: 1, lost: 1, ..Removals::default() });
        let batch = migration.outbox.gathering();
        migration.guard_persisted(batch - 1);
        assert!(migration.guard.behind().is_some());
        migration.guard_persisted(batch);
        assert!(migration.guard.behind().is_none());
    }

    #[test]
    fn rule_5_6_a_run_that_has_nothing_else_to_do_judges_at_once() {
        let judged = |live: bool, lanes: [u64; 3]| {
            let mut migration = migration_with(Config { live, ..config() }, 100, 0);
            (migration.fresh_summary, migration.summary.lanes) = (true, lanes);
            migration.await_judgement(behind(), &RelPath::from("a"));
            migration.judgement_is_due()
        };
        assert!(judged(false, [0; 3]));
        assert!(!judged(false, [1, 0, 0]) && !judged(true, [0; 3]));
    }
}
