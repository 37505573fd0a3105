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
            |claim: &&Claim| claim.let_go.is_none() && matches!(claim.step, Step::Removing { .. });
        let others = self.claims.held.values().filter(goes_alone).count() as u64;
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
        let bounds = self.config.removal_guard;
        let (lost, stood) = self.lost_of(removals);
        let beyond_count = bounds.count_max.is_some_and(|max| lost > max);
        let beyond_share = |percent: u64| lost.saturating_mul(100) > stood.saturating_mul(percent);
        let too_much = beyond_count && bounds.share_max_percent.is_some_and(beyond_share);
        too_much && !planted(Planted::GuardAsleep)
    }

    fn never_asks(&self) -> bool {
        let bounds = self.config.removal_guard;
        bounds.count_max.is_none() || bounds.share_max_percent.is_none()
    }

    /// How many objects went within the hour if these went too, and how many stood before.
    fn lost_of(&self, removals: Removals) -> (u64, u64) {
        let lost = removals.went + removals.lost;
        let extras = match self.config.extras {
            Extras::Keep => 0,
            Extras::Remove => self.summary.found,
        };
        let goes = removals.objects + removals.leaving;
        let stays = (self.summary.rows + extras).saturating_sub(goes);
        (lost, stays + lost)
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
        if !self.fresh_summary && guarded > 0 && self.never_asks() {
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
