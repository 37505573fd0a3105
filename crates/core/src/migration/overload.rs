//! Too much is pending: coarsen, never abort (rule 9.1). What is coarsened goes with the backlog, of
//! which every directory is one entry at most. That is not counted, and neither is what waits for
//! it: both come to their end only if they are left alone.

use super::Migration;
use super::claim::Asked;
use crate::effect::Effect;
use crate::path::RelPath;
use crate::record::{Change, Counters};

/// Pause between two rounds: what is claimed meanwhile cannot be coarsened, however often one asks.
const PAUSE_MILLIS: u64 = 100;
/// Pause after a round in which nothing was to be gained, unless more is pending since: all of it is
/// looked through for that.
const IDLE_PAUSE_MILLIS: u64 = 1_000;

impl Migration {
    pub(super) fn consider_overload(&mut self) {
        let pending = self.summary.coarsenable;
        let grown = pending > self.coarsen_in_vain.saturating_add(self.config.pending_max / 4);
        let idle = grown || self.now >= self.coarsen_not_before;
        if self.coarsening || !idle || pending <= self.config.pending_max {
            return;
        }
        self.coarsening = true;
        self.coarsen_in_vain = pending;
        let excess = pending - self.config.pending_max * 3 / 4;
        let ticket = self.ask(Asked::Densest);
        self.outbox.send_after(Effect::Densest { ticket, excess });
    }

    pub(super) fn coarsen(&mut self, directories: Vec<(RelPath, bool)>) {
        self.coarsening = false;
        let coarsened = directories.len() as u64;
        let pause_millis = if coarsened > 0 {
            self.coarsen_in_vain = u64::MAX;
            PAUSE_MILLIS
        } else {
            IDLE_PAUSE_MILLIS
        };
        self.coarsen_not_before = self.now.plus_millis(pause_millis);
        for (path, subtree) in directories {
            self.outbox.change(Change::Coarsen { path, subtree });
        }
        if coarsened > 0 {
            self.outbox.change(Change::Count(Counters { coarsened, ..Counters::default() }));
        }
    }
}
