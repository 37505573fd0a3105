//! When a run is over (rule 10.3).

use super::claim::{Claim, Step};
use super::{Migration, Phase};
use crate::effect::{Effect, Finish};
use crate::failure::Failure;
use crate::number::Time;
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
        self.claims.held.values().all(waits) && self.outbox.is_durable()
    }

    pub(super) fn quiet_deadline(&self) -> Option<Time> {
        let millis = self.config.until_quiet_millis?;
        Some(self.stream.last_change.plus_millis(millis)).filter(|at| *at > self.now)
    }
}
