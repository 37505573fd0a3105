//! What the world does by itself: changes at the source, and the weather that was drawn.

use whimbrel_core::record::{Change, Parked};

use super::{Happening, RECENT_STEPS, Run};
use crate::program;
use crate::world::step::Step;

impl Run {
    pub(super) fn plan_weather(&mut self) {
        let horizon = self.options.operations * self.options.latency_max * 2 + 200;
        for ceilings in self.options.limits.clone() {
            let at = self.rng.u64(..horizon);
            self.at(at, Happening::Limit(ceilings));
        }
        for number in 1..=u64::from(self.options.confirmations) {
            self.at(horizon * number / 3, Happening::Confirm);
        }
        for _ in 0..self.options.intrusions {
            let at = self.rng.u64(..horizon);
            self.at(at, Happening::Intrude);
        }
        for _ in 0..self.options.crashes {
            let at = self.rng.u64(..horizon);
            self.at(at, Happening::Crash);
        }
        if self.options.live {
            for _ in 0..self.options.purges {
                let at = self.rng.u64(..horizon);
                self.at(at, Happening::Purge);
            }
            for _ in 0..self.options.root_moves {
                let at = self.rng.u64(..horizon);
                let back = at + self.rng.u64(1..5_000);
                self.at(at, Happening::MoveRoot(true));
                self.at(back, Happening::MoveRoot(false));
            }
            for _ in 0..self.options.restores {
                let at = self.rng.u64(..horizon);
                let back = at + self.rng.u64(1..self.options.restored_after_max);
                self.at(at, Happening::Keep);
                self.at(back, Happening::Restore);
            }
            for _ in 0..self.options.stops {
                let at = self.rng.u64(..horizon);
                self.at(at, Happening::Stop);
            }
            for _ in 0..self.options.late_purges {
                let at = self.rng.u64(horizon / 2..horizon);
                self.at(at, Happening::Purge);
            }
            if self.options.operations > 0 {
                self.at(1, Happening::Operate);
            }
        } else {
            self.operations_left = 0;
        }
    }

    /// A person confirms what is held while nothing runs.
    pub(super) fn confirm_at_rest(&mut self) {
        let confirmed = [Change::Confirmed];
        if let Some(Err(error)) = self.ledger.as_mut().map(|ledger| ledger.apply(&[&confirmed])) {
            self.problem = Some(format!("confirm: {error}"));
        }
    }

    /// Somebody else writes to the target, or removes something there. What comes before the first
    /// look at the target is another story.
    pub(super) fn intrude(&mut self) {
        let looked = self.ledger.as_ref().and_then(|ledger| ledger.meta().ok());
        if looked.is_none_or(|meta| !meta.inventory_done) {
            return;
        }
        program::intrude(&self.source, &mut self.target, &self.options, &mut self.rng);
    }

    /// A person removes foreign objects that are held. What is not known to the ledger stays known
    /// to us as disturbed.
    pub(super) fn clear_away(&mut self) {
        let parked = self.ledger.as_ref().and_then(|ledger| ledger.parked(None, 10_000).ok());
        for (entry, _) in parked.into_iter().flatten() {
            if entry.parked == Some(Parked::Foreign) {
                self.target.objects.remove(&entry.path);
                self.target.disturbed.remove(&entry.path);
            }
        }
    }

    pub(super) fn restore(&mut self) {
        let Some((older, done_since)) = self.kept.take().filter(|_| !self.source.root_away) else {
            return;
        };
        self.source.restore(&older);
        self.source.root_away = false;
        self.last_operation = self.now;
        if self.options.does_again {
            let again = self.rng.usize(..=done_since.len());
            for step in &done_since[..again] {
                step.carry_out(&mut self.source);
            }
        }
        program::settle(&mut self.source);
    }

    /// What happens right before it is told of by nobody. Now and then it takes back what was done:
    /// a job that failed leaves nothing behind.
    pub(super) fn purge(&mut self) {
        self.tally.interfered();
        for _ in 0..self.options.unheard {
            if self.rng.bool() {
                let steps = program::take_back(&mut self.source, &self.recent, &mut self.rng);
                self.note(steps);
            } else {
                self.do_something();
            }
        }
        if self.operations_left == 0 {
            program::settle(&mut self.source);
        }
        self.source.purge();
    }

    /// Now and then another root stands in its place, with a file of the same name; and now and then
    /// the first one is asked by its number, wherever it stands.
    pub(super) fn move_root(&mut self, away: bool) {
        if away && self.sequence.is_multiple_of(2) {
            self.source.found_by_number = self.sequence.is_multiple_of(4);
            self.source.replace_root();
            if let Some(path) = self.source.files().into_keys().next() {
                self.source.write_in_other_root(&path);
            }
        } else {
            self.source.move_root(away);
        }
    }

    pub(super) fn do_something(&mut self) {
        let steps = program::operate(&mut self.source, &self.options, &mut self.rng);
        self.note(steps);
    }

    fn note(&mut self, steps: Vec<Step>) {
        self.recent.extend(steps.iter().cloned());
        self.recent.drain(..self.recent.len().saturating_sub(RECENT_STEPS));
        if let Some((_, done_since)) = &mut self.kept {
            done_since.extend(steps);
        }
        self.last_operation = self.now;
    }

    pub(super) fn operate(&mut self) {
        self.do_something();
        self.operations_left -= 1;
        if self.operations_left > 0 {
            let millis = self.rng.u64(..self.options.latency_max * 3);
            self.at(millis, Happening::Operate);
        } else {
            program::settle(&mut self.source);
        }
    }
}
