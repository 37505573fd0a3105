//! Whether the source stood still while a file was read: the stream is followed up to a
//! transaction that was fetched after the last read (rule 3.2). One such transaction serves all
//! copies that wait for one.

use std::collections::VecDeque;

use super::Migration;
use super::claim::Asked;
use crate::effect::Effect;
use crate::failure::{Failure, Side};
use crate::number::{Epoch, Time, TxId};
use crate::path::RelPath;

/// Copies whose bytes are read and whose source is still to be told unmoved.
#[derive(Debug, Default)]
pub(super) struct Barriers {
    /// Nobody asked for a position since these were read.
    waiting: Vec<RelPath>,
    /// The position asked for, in this history, will serve these.
    asked: Option<(Epoch, Vec<RelPath>)>,
    /// These are good once the stream was followed so far.
    known: VecDeque<(TxId, Vec<RelPath>)>,
    /// Not before this time: positions are asked for in batches.
    not_before: Time,
}

/// Pause between two questions for the position.
const PAUSE_MILLIS: u64 = 50;

impl Migration {
    pub(super) fn wait_for_barrier(&mut self, path: RelPath) {
        self.barriers.waiting.push(path);
    }

    /// Asks for the position if copies wait for one.
    pub(super) fn ask_barrier(&mut self) {
        let barriers = &mut self.barriers;
        let idle = barriers.waiting.is_empty() || barriers.asked.is_some();
        if idle || self.now < barriers.not_before {
            return;
        }
        if self.is_held_back(Side::Source) {
            return;
        }
        let barriers = &mut self.barriers;
        barriers.not_before = self.now.plus_millis(PAUSE_MILLIS);
        barriers.asked = Some((self.epoch, std::mem::take(&mut barriers.waiting)));
        let ticket = self.ask(Asked::Barrier);
        self.outbox.send(Effect::Position { ticket, since: None });
    }

    pub(super) fn barrier_positioned(&mut self, outcome: Result<TxId, Failure>) {
        let Some((epoch, paths)) = self.barriers.asked.take() else { return };
        match outcome {
            Ok(_) if epoch != self.epoch => self.barriers.waiting.extend(paths),
            Ok(position) => {
                self.answered_by(Side::Source);
                self.barriers.known.push_back((position, paths));
                self.pass_barriers();
            }
            Err(failure) => {
                self.barriers.waiting.extend(paths);
                self.side_failed(&failure);
            }
        }
    }

    /// Another history: its transactions may never come to the positions of the old one.
    pub(super) fn forget_positions(&mut self) {
        self.followed_markers.clear();
        let known = std::mem::take(&mut self.barriers.known);
        self.barriers.waiting.extend(known.into_iter().flat_map(|(_, paths)| paths));
    }

    /// Tells copies whose transaction was reached. While a gap is open, nothing was followed.
    pub(super) fn pass_barriers(&mut self) {
        let Some(applied) = self.stream.applied.filter(|_| !self.gap_open) else { return };
        while self.barriers.known.front().is_some_and(|(position, _)| *position <= applied) {
            let Some((position, paths)) = self.barriers.known.pop_front() else { return };
            for path in paths {
                self.confirm_by_stream(path, position);
            }
        }
    }

    /// When the position may be asked for again, if copies wait for it.
    pub(super) fn barrier_deadline(&self) -> Option<Time> {
        let waits = !self.barriers.waiting.is_empty() && self.barriers.asked.is_none();
        waits.then_some(self.barriers.not_before)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{migration_of, sent};
    use super::*;
    use crate::config::Config;

    /// A position of the older history would be passed at once, or never.
    #[test]
    fn rule_1_7_a_position_of_another_history_serves_nobody() {
        let asked = |begins_anew: bool| {
            let mut migration = migration_of(Config { live: true, ..Config::default() });
            migration.wait_for_barrier(RelPath::from("a"));
            migration.ask_barrier();
            if begins_anew {
                migration.epoch = migration.epoch.next();
            }
            migration.barrier_positioned(Ok(TxId(7)));
            migration.now = migration.now.plus_millis(PAUSE_MILLIS);
            sent(&mut migration);
            migration.ask_barrier();
            sent(&mut migration).len()
        };
        assert_eq!(asked(false), 0, "the stream is followed up to there");
        assert_eq!(asked(true), 1, "another one is asked for");
    }
}
