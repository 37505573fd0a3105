//! What leaves the core, in an order that makes every gap between two effects a safe place to
//! crash: an effect that rests on changes leaves only when these are durable.

use std::collections::VecDeque;

use crate::effect::Effect;
use crate::record::Change;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    ready: VecDeque<Effect>,
    changes: Vec<Change>,
    gated: Vec<Effect>,
    in_flight: VecDeque<(u64, Vec<Effect>)>,
    batches: u64,
}

impl Outbox {
    /// Adds a change to the batch that is being gathered.
    pub(super) fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Sends an effect that rests on nothing.
    pub(super) fn send(&mut self, effect: Effect) {
        self.ready.push_back(effect);
    }

    /// Sends an effect once every change made so far is durable.
    pub(super) fn send_after(&mut self, effect: Effect) {
        self.gated.push(effect);
    }

    /// The number of the batch that takes the next change.
    pub(super) fn gathering(&self) -> u64 {
        self.batches + 1
    }

    /// Closes the batch that is being gathered.
    pub(super) fn flush(&mut self) {
        let gated = std::mem::take(&mut self.gated);
        if self.changes.is_empty() {
            match self.in_flight.back_mut() {
                Some((_, waiting)) => waiting.extend(gated),
                None => self.ready.extend(gated),
            }
            return;
        }
        self.batches += 1;
        self.in_flight.push_back((self.batches, gated));
        let changes = std::mem::take(&mut self.changes);
        self.ready.push_back(Effect::Persist { batch: self.batches, changes });
    }

    /// Releases what waited for the batch.
    pub(super) fn persisted(&mut self, batch: u64) {
        while self.in_flight.front().is_some_and(|(number, _)| *number <= batch) {
            if let Some((_, gated)) = self.in_flight.pop_front() {
                self.ready.extend(gated);
            }
        }
    }

    /// The next effect.
    pub(super) fn next(&mut self) -> Option<Effect> {
        self.ready.pop_front()
    }

    /// Every change made so far is durable.
    pub(super) fn is_durable(&self) -> bool {
        self.changes.is_empty() && self.in_flight.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Counters;

    #[test]
    fn a_batch_has_the_number_that_was_told_while_it_was_gathered() {
        let mut outbox = Outbox::default();
        for _ in 0..3 {
            let told = outbox.gathering();
            outbox.change(Change::Count(Counters::default()));
            outbox.flush();
            let Some(Effect::Persist { batch, .. }) = outbox.next() else { panic!("a batch") };
            assert_eq!(batch, told);
        }
    }
}
