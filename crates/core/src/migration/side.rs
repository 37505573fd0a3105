//! What happens when something fails: lost sides are waited for, paths are tried again or set
//! aside, and nothing is dropped.

use super::Migration;
use super::claim::Claim;
use crate::effect::{Effect, Report, ReportKind};
use crate::failure::{Failure, FailureKind, Side};
use crate::number::{Time, TxId};
use crate::path::{Namespace, RelPath};
use crate::planted::{Planted, planted};
use crate::record::Parked;

/// How one side does.
#[derive(Debug, Default)]
pub(super) struct SideState {
    /// Since when it does not answer, and how it said so last.
    pub(super) lost: Option<(Time, Failure)>,
    /// When it answered last, in this run.
    heard: Option<Time>,
    /// Told to people.
    reported: bool,
    failures: u32,
    retry_at: Time,
    /// One piece of work finds out whether it is back.
    probing: bool,
    /// When people were last told that it is full.
    full_told: Option<Time>,
}

/// Tries of one path before it is set aside.
const TRIES_MAX: u32 = 4;
/// Keys that are remembered as hindered; of those beyond, the next run finds what became of them.
const HINDERED_MAX: usize = 10_000;
/// Without `live`: how long a side may stay full. It answers, so nobody need wait for it as for one
/// that is lost; somebody may be making room.
const FULL_PATIENCE_MILLIS: u64 = 60_000;
/// A side that is lost for so long is told of, if only one piece of work could find it out.
const LOST_TOLD_MILLIS: u64 = 3_000;
/// A path is tried again so long after the target asked for less.
const BUSY_MILLIS: u64 = 1_000;
/// The stream is looked at every few hundred milliseconds, and an answer takes seconds at most: one
/// that does not come for so long may never come.
const POLL_SILENCE_MILLIS: u64 = 8_000;
/// Small files may still fit where large ones do not: full is not told again for so long.
const FULL_TOLD_EVERY_MILLIS: u64 = 60_000;

impl SideState {
    fn is_full(&self) -> bool {
        self.lost.as_ref().is_some_and(|(_, failure)| failure.kind == FailureKind::Full)
    }

    /// When a run that does not wait for ever gives it up.
    fn given_up_at(&self, give_up_after_millis: u64) -> Option<Time> {
        let (since, _) = self.lost.as_ref()?;
        let millis = match self.is_full() {
            true => give_up_after_millis.min(FULL_PATIENCE_MILLIS),
            false => give_up_after_millis,
        };
        Some(since.plus_millis(millis))
    }

    /// Whether people are to be told now. What fails once may be an accident; full is full.
    fn is_worth_telling(&self, now: Time) -> bool {
        let told_long_ago = |at: Time| now.millis_since(at) >= FULL_TOLD_EVERY_MILLIS;
        match self.is_full() {
            true => self.full_told.is_none_or(told_long_ago),
            false => self.failures > 1 || self.told_by().is_some_and(|by| by <= now),
        }
    }

    /// When people are told of it at the latest, if it is lost and they were not told yet.
    fn told_by(&self) -> Option<Time> {
        let (since, _) = self.lost.as_ref().filter(|_| !self.reported && !self.is_full())?;
        Some(since.plus_millis(LOST_TOLD_MILLIS))
    }
}

impl Migration {
    /// Work on a path failed.
    pub(super) fn fail(&mut self, path: RelPath, mut claim: Claim, failure: Failure) {
        let given_up = planted(Planted::GivenUp) && claim.tries + 1 >= TRIES_MAX;
        if given_up || planted(Planted::FailureDropped) {
            self.settle(path, claim, TxId(0));
            return;
        }
        if failure.kind == FailureKind::Throttled && failure.side == Side::Target {
            // Its prefix is asked less by then (rule 9.2), and the others go on.
            self.again(path, claim, BUSY_MILLIS, false);
            return;
        }
        if concerns_side(&failure) {
            self.side_failed(&failure);
            claim.tries += u32::from(planted(Planted::GivenUp));
            let millis = self.side(failure.side).retry_at.millis_since(self.now).max(100);
            self.again(path, claim, millis, false);
            return;
        }
        match failure.kind {
            FailureKind::Moved => self.look_again(path, claim, self.now),
            FailureKind::Refused | FailureKind::Unsupported => self.set_aside(path, claim, failure),
            FailureKind::Denied
            | FailureKind::Forbidden
            | FailureKind::Missing
            | FailureKind::Conflict
            | FailureKind::Corrupt
            | FailureKind::Defect
            | FailureKind::Unavailable
            | FailureKind::Throttled
            | FailureKind::Full => {
                claim.tries += 1;
                if claim.tries >= TRIES_MAX {
                    self.set_aside(path, claim, failure);
                } else {
                    let millis = 250 << claim.tries;
                    self.again(path, claim, millis, false);
                }
            }
        }
    }

    /// Reports the failure and sets the path aside; a live run tries it again.
    pub(super) fn set_aside(&mut self, path: RelPath, claim: Claim, failure: Failure) {
        self.outbox.send(Effect::Report(Report {
            path: Some(path.clone()),
            kind: ReportKind::Failed,
            failure: failure.clone(),
        }));
        let opaque = self.config.namespace == Namespace::Flat;
        if opaque && failure.kind == FailureKind::Conflict && self.hindered.len() < HINDERED_MAX {
            self.hindered.insert(path.clone());
        }
        let permanent = matches!(failure.kind, FailureKind::Refused | FailureKind::Unsupported);
        let retry_at = (self.config.live && !permanent).then(|| self.now.plus_millis(60_000));
        let message = match failure.remedy.is_empty() {
            true => failure.message,
            false => format!("{}; {}", failure.message, failure.remedy),
        };
        self.park(path, claim, Parked::Failed, retry_at, message);
    }

    fn side(&mut self, side: Side) -> &mut SideState {
        match side {
            Side::Source => &mut self.source_side,
            Side::Target | Side::Local => &mut self.target_side,
        }
    }

    /// A side does not answer: nothing more is asked of it for a while.
    pub(super) fn side_failed(&mut self, failure: &Failure) {
        let now = self.now;
        let throttled = failure.kind == FailureKind::Throttled;
        let state = self.side(failure.side);
        if now >= state.retry_at || state.probing {
            state.probing = false;
            state.failures += 1;
            let millis = (100_u64 << state.failures.min(6)).min(5_000);
            state.retry_at = now.plus_millis(millis);
        }
        if throttled {
            return;
        }
        state.lost.get_or_insert_with(|| (now, failure.clone())).1 = failure.clone();
        self.tell_if_lost(failure.side);
    }

    fn tell_if_lost(&mut self, side: Side) {
        let now = self.now;
        let state = self.side(side);
        let Some((_, failure)) = state.lost.clone() else { return };
        if state.reported || !state.is_worth_telling(now) {
            return;
        }
        state.reported = true;
        state.full_told = state.is_full().then_some(now).or(state.full_told);
        let (path, kind) = (None, ReportKind::SideLost);
        self.outbox.send(Effect::Report(Report { path, kind, failure }));
    }

    /// Tells of sides that did not come back soon, and of a source that leaves a look at its stream
    /// without any answer: one that refuses is found out sooner.
    pub(super) fn notice_silence(&mut self) {
        let missed = |since: &Time| self.now.millis_since(*since) >= POLL_SILENCE_MILLIS;
        if let Some(since) = self.poll_unanswered_since().filter(missed)
            && self.source_side.lost.is_none()
        {
            let failure = Failure {
                side: Side::Source,
                kind: FailureKind::Unavailable,
                message: format!(
                    "the source has not answered for {} s",
                    POLL_SILENCE_MILLIS / 1000
                ),
                remedy: "look whether it runs and can be reached; nothing is lost as long as it \
                         keeps its history"
                    .to_owned(),
            };
            self.source_side.lost = Some((since, failure));
        }
        for side in [Side::Source, Side::Target] {
            self.tell_if_lost(side);
        }
    }

    /// Since when nothing was heard of the source, if a look at its stream is under way.
    fn poll_unanswered_since(&self) -> Option<Time> {
        let asked = self.stream.polling?;
        Some(self.source_side.heard.map_or(asked, |heard| heard.max(asked)))
    }

    /// A side answered. One that is full answers all the time: only a write shows that it has room.
    pub(super) fn answered_by(&mut self, side: Side) {
        self.side(side).heard = Some(self.now);
        if !self.side(side).is_full() {
            self.is_back(side);
        }
    }

    /// A side does again what it failed to do.
    pub(super) fn is_back(&mut self, side: Side) {
        let state = self.side(side);
        if state.lost.is_none() && state.failures == 0 {
            return;
        }
        let told = state.reported;
        let what = if state.is_full() { "has room again" } else { "answers again" };
        let lost = state.lost.take();
        let (heard, full_told) = (state.heard, state.full_told);
        *state = SideState { heard, full_told, ..SideState::default() };
        if let (true, Some((_, failure))) = (told, lost) {
            self.outbox.send(Effect::Report(Report {
                path: None,
                kind: ReportKind::SideBack,
                failure: Failure {
                    message: format!("{what} after: {}", failure.message),
                    remedy: String::new(),
                    ..failure
                },
            }));
        }
    }

    /// Nothing is to be asked of the side now.
    pub(super) fn is_held_back(&self, side: Side) -> bool {
        let state = match side {
            Side::Source => &self.source_side,
            Side::Target | Side::Local => &self.target_side,
        };
        self.now < state.retry_at
    }

    /// No path is to be asked for at the source now.
    pub(super) fn waits_for_source(&self) -> bool {
        self.root.lost.is_some() || self.is_held_back(Side::Source)
    }

    /// While a side is lost, one piece of work at a time finds out whether it is back.
    pub(super) fn probe_if_lost(&mut self) {
        let now = self.now;
        for state in [&mut self.source_side, &mut self.target_side] {
            if state.failures > 0 {
                let millis = (100_u64 << state.failures.min(6)).min(5_000);
                state.retry_at = now.plus_millis(millis);
                state.probing = true;
            }
        }
    }

    /// The side that stayed lost for longer than this run waits.
    pub(super) fn given_up(&self) -> Option<Failure> {
        if self.config.live {
            return None;
        }
        [&self.source_side, &self.target_side].into_iter().find_map(|state| {
            let at = state.given_up_at(self.config.give_up_after_millis)?;
            let (_, failure) = state.lost.as_ref()?;
            (self.now >= at).then(|| failure.clone())
        })
    }

    /// When a side is tried again, told of, or given up.
    pub(super) fn side_deadline(&self) -> Option<Time> {
        let sides = [&self.source_side, &self.target_side].into_iter();
        let tried = sides.clone().filter(|state| state.failures > 0).map(|state| {
            match state.given_up_at(self.config.give_up_after_millis) {
                Some(at) if self.now >= state.retry_at => at,
                Some(_) | None => state.retry_at,
            }
        });
        let told = sides.filter_map(SideState::told_by);
        let unanswered = self.poll_unanswered_since().filter(|_| self.source_side.lost.is_none());
        let missed = unanswered.map(|since| since.plus_millis(POLL_SILENCE_MILLIS));
        tried.chain(told).chain(missed).filter(|deadline| *deadline > self.now).min()
    }
}

/// The failure says something about the whole side, not about one path.
fn concerns_side(failure: &Failure) -> bool {
    match failure.kind {
        FailureKind::Unavailable | FailureKind::Throttled | FailureKind::Full => true,
        FailureKind::Denied | FailureKind::Missing => failure.side == Side::Target,
        FailureKind::Forbidden
        | FailureKind::Refused
        | FailureKind::Conflict
        | FailureKind::Corrupt
        | FailureKind::Moved
        | FailureKind::Unsupported
        | FailureKind::Defect => false,
    }
}
