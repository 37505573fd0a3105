//! Too much is pending: coarsen, never abort (rule 9.1). What is coarsened goes with the backlog, of
//! which every directory is one entry at most. That is not counted, and neither is what waits for
//! it: both come to their end only if they are left alone.

use super::Migration;
use super::claim::Asked;
use crate::effect::Effect;
use crate::number::Time;
use crate::path::RelPath;
use crate::record::{Change, Counters};

/// Pause between two rounds: what is claimed meanwhile cannot be coarsened, however often one asks.
const PAUSE_MILLIS: u64 = 100;
/// Pause after a round in which nothing was to be gained, unless more is pending since: all of it is
/// looked through for that.
const IDLE_PAUSE_MILLIS: u64 = 1_000;

/// How coarsening stands.
#[derive(Debug)]
pub(super) struct Coarsening {
    /// The densest directories are asked for.
    asking: bool,
    not_before: Time,
    /// How long after a round none is begun.
    pause_millis: u64,
    /// How much was pending when a round gained nothing.
    in_vain: u64,
}

impl Default for Coarsening {
    fn default() -> Self {
        let (not_before, in_vain) = (Time(0), u64::MAX);
        Self { asking: false, not_before, pause_millis: PAUSE_MILLIS, in_vain }
    }
}

impl Migration {
    pub(super) fn consider_overload(&mut self) {
        let pending = self.summary.coarsenable;
        if pending <= self.config.pending_max {
            if self.now >= self.coarsening.not_before.plus_millis(self.coarsening.pause_millis) {
                self.coarsening.pause_millis = PAUSE_MILLIS;
            }
            return;
        }
        let grown = pending > self.coarsening.in_vain.saturating_add(self.config.pending_max / 4);
        let idle = grown || self.now >= self.coarsening.not_before;
        if self.coarsening.asking || !idle {
            return;
        }
        self.coarsening.asking = true;
        self.coarsening.in_vain = pending;
        let excess = pending - self.config.pending_max * 3 / 4;
        let ticket = self.ask(Asked::Densest);
        self.outbox.send_after(Effect::Densest { ticket, excess });
    }

    pub(super) fn coarsen(&mut self, directories: Vec<(RelPath, bool)>) {
        self.coarsening.asking = false;
        let coarsened = directories.len() as u64;
        let pause_millis = if coarsened > 0 {
            self.coarsening.in_vain = u64::MAX;
            // What is coarsened again and again, since going through it makes it as much as it was,
            // comes to its end in a longer pause. Any pause was long enough that was as long again
            // without need.
            let pause_millis = self.coarsening.pause_millis;
            self.coarsening.pause_millis = pause_millis.saturating_mul(2);
            pause_millis
        } else {
            IDLE_PAUSE_MILLIS
        };
        self.coarsening.not_before = self.now.plus_millis(pause_millis);
        for (path, subtree) in directories {
            self.outbox.change(Change::Coarsen { path, subtree });
        }
        if coarsened > 0 {
            self.outbox.change(Change::Count(Counters { coarsened, ..Counters::default() }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{changed, migration_of, sent};
    use super::*;
    use crate::config::Config;

    fn migration() -> Migration {
        migration_of(Config { pending_max: 100, ..Config::default() })
    }

    /// How much should go, if so many may be coarsened.
    fn asked(migration: &mut Migration, coarsenable: u64) -> Option<u64> {
        migration.summary.coarsenable = coarsenable;
        migration.consider_overload();
        sent(migration).into_iter().find_map(|effect| {
            if let Effect::Densest { excess, .. } = effect { Some(excess) } else { None }
        })
    }

    #[test]
    fn rule_9_1_what_is_beyond_the_bound_is_coarsened_to_three_quarters_of_it() {
        let mut migration = migration();
        assert_eq!(asked(&mut migration, 100), None);
        assert_eq!(asked(&mut migration, 101), Some(26));
        assert_eq!(asked(&mut migration, 1_000), None, "one question at a time");
    }

    #[test]
    fn rule_9_1_what_is_coarsened_again_and_again_has_ever_more_time_to_end() {
        let mut migration = migration();
        let mut round = |now: u64| {
            migration.now = Time(now);
            let asked = asked(&mut migration, 200).is_some();
            if asked {
                migration.coarsen(vec![(RelPath::root(), true)]);
            }
            asked
        };
        assert!(round(1_000));
        for now in [1_100, 1_300, 1_700] {
            assert!(!round(now - 1) && round(now), "{now}");
        }
        assert_eq!(asked(&mut migration, 100), None, "for a moment it is little");
        migration.now = Time(2_500);
        assert!(asked(&mut migration, 200).is_some());
        migration.coarsen(vec![(RelPath::root(), true)]);
        migration.now = Time(2_500 + 1_600 + 3_200);
        assert_eq!(asked(&mut migration, 100), None, "it was little for as long again");
        assert!(asked(&mut migration, 200).is_some());
        migration.coarsen(vec![(RelPath::root(), true)]);
        migration.now = migration.now.plus_millis(100);
        assert!(asked(&mut migration, 200).is_some());
    }

    #[test]
    fn rule_9_1_a_round_in_vain_is_not_begun_again_at_once() {
        let mut migration = migration();
        let directories = |number: usize| vec![(RelPath::from("d"), false); number];
        let at = |migration: &mut Migration, now: u64, coarsenable: u64| {
            migration.now = Time(now);
            asked(migration, coarsenable).is_some()
        };
        assert!(at(&mut migration, 1_000, 200));
        migration.coarsen(directories(2));
        let coarsened = Counters { coarsened: 2, ..Counters::default() };
        let change = || Change::Coarsen { path: RelPath::from("d"), subtree: false };
        assert_eq!(changed(&mut migration), [change(), change(), Change::Count(coarsened)]);
        assert!(!at(&mut migration, 1_099, 200) && at(&mut migration, 1_100, 200));
        migration.coarsen(directories(0));
        assert_eq!(changed(&mut migration), [], "nothing is counted");
        assert!(!at(&mut migration, 2_099, 225), "a second");
        assert!(at(&mut migration, 2_099, 226), "unless a quarter of the bound came since");
        migration.coarsen(directories(0));
        assert!(at(&mut migration, 3_099, 226));
    }
}
