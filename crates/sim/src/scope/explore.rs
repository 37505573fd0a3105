//! All histories of a small scope, each once.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::operation::{Operation, Reach};
use super::{History, WORLDS, World};
use crate::run::{Left, Turn, play};

/// Failures that are kept to be told.
const FAILURES_MAX: usize = 20;

/// Histories that are told together: what they begin with, and what may be decided in them.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// Names it.
    pub name: &'static str,
    /// What the histories begin with.
    pub worlds: Vec<World>,
    /// What may be decided.
    pub left: Left,
}

impl Sweep {
    /// What belongs to programs of so many operations, cheapest first.
    pub fn all(operations: usize) -> Vec<Self> {
        let plain =
            Left { operations, reach: Reach::Plain, deaths: 1, overtaking: false, late: false };
        let overtaken = Left { deaths: 0, overtaking: true, ..plain };
        let wide = Left {
            operations: operations.saturating_sub(1),
            reach: Reach::Wide,
            deaths: 1,
            overtaking: true,
            late: true,
        };
        vec![
            Self { name: "overtaken", worlds: vec![World::One], left: overtaken },
            Self { name: "wide", worlds: WORLDS.to_vec(), left: wide },
            Self { name: "plain", worlds: vec![World::One], left: plain },
        ]
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Histories told.
    pub histories: u64,
    /// Ways that were not gone because an equal one was.
    pub equal: u64,
    /// Happenings of all histories.
    pub happenings: u64,
    /// What the source did in them.
    pub programs: BTreeSet<Vec<Operation>>,
    /// How many histories went wrong.
    pub failures: u64,
    /// Some of them, and what was wrong.
    pub failed: Vec<(History, String)>,
}

impl Found {
    /// Adds what was found elsewhere.
    pub fn add(&mut self, other: Self) {
        self.histories += other.histories;
        self.equal += other.equal;
        self.happenings += other.happenings;
        self.programs.extend(other.programs);
        self.failures += other.failures;
        self.failed.extend(other.failed);
        self.failed.truncate(FAILURES_MAX);
    }

    fn note(&mut self, history: &History, problem: Option<String>) {
        let Some(problem) = problem else { return };
        self.failures += 1;
        if self.failed.len() < FAILURES_MAX {
            self.failed.push((history.clone(), problem));
        }
    }
}

/// A part of a sweep: everything that begins with one decision in one world.
#[derive(Clone, Debug)]
pub struct Share {
    /// Names it.
    pub name: String,
    histories: Vec<History>,
}

/// A sweep under way.
#[derive(Debug)]
pub struct Scope {
    sweep: Sweep,
    /// What was left of worlds after a death: what follows is the same however it came to be.
    met: Mutex<HashSet<u64>>,
}

impl Scope {
    /// Nothing was told of it.
    pub fn new(sweep: Sweep) -> Self {
        Self { sweep, met: Mutex::new(HashSet::new()) }
    }

    /// Tells the histories in which nothing is decided. The others are its shares.
    pub fn begin(&self) -> (Vec<Share>, Found) {
        let mut found = Found::default();
        let mut shares: BTreeMap<String, Share> = BTreeMap::new();
        for world in &self.sweep.worlds {
            let calm = History::calm(*world);
            for turn in self.tell(&calm, &mut found) {
                let first = calm.and(&turn.decisions[..1]).to_string();
                let name = format!("{} {first}", self.sweep.name);
                let share = Share { name: name.clone(), histories: Vec::new() };
                let share = shares.entry(name).or_insert(share);
                share.histories.push(calm.and(&turn.decisions));
            }
        }
        (shares.into_values().collect(), found)
    }

    /// Tells all histories of the shares, on so many threads. Whoever asked hears of every share
    /// that is done. A share leaves to another what is equal: all of them together are complete.
    pub fn tell_all(
        &self,
        shares: &[Share],
        threads: usize,
        done: &(dyn Fn(&Share, &Found) + Sync),
    ) -> Found {
        let next = AtomicUsize::new(0);
        let all = Mutex::new(Found::default());
        let work = || {
            while let Some(share) = shares.get(next.fetch_add(1, Ordering::Relaxed)) {
                let found = self.tell_share(share);
                done(share, &found);
                if let Ok(mut all) = all.lock() {
                    all.add(found);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
        all.into_inner().unwrap_or_default()
    }

    fn tell_share(&self, share: &Share) -> Found {
        let mut found = Found::default();
        let mut ahead = share.histories.clone();
        while let Some(history) = ahead.pop() {
            let turns = self.tell(&history, &mut found);
            ahead.extend(turns.into_iter().map(|turn| history.and(&turn.decisions)));
        }
        found
    }

    /// Tells one history; how else it could have gone after its last decision.
    fn tell(&self, history: &History, found: &mut Found) -> Vec<Turn> {
        let program = history.program();
        let deaths = history.decisions.len() - program.len();
        let left = Left {
            operations: self.sweep.left.operations - program.len(),
            deaths: self.sweep.left.deaths - deaths,
            ..self.sweep.left
        };
        let played = play(history, left, false);
        found.histories += 1;
        found.happenings += played.happenings;
        found.programs.insert(program);
        found.note(history, played.problem);
        let ways = played.turns.len();
        let turns: Vec<Turn> = played.turns.into_iter().filter(|turn| self.is_new(turn)).collect();
        found.equal += (ways - turns.len()) as u64;
        turns
    }

    fn is_new(&self, turn: &Turn) -> bool {
        let Some(remains) = turn.remains else { return true };
        self.met.lock().is_ok_and(|mut met| met.insert(remains))
    }
}

/// Tells one history aloud. What is wrong with it; `None`: nothing.
pub fn tell_aloud(history: &History) -> Option<String> {
    play(history, Left::nothing(), true).problem
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(operations: usize, deaths: usize) -> Sweep {
        let left = Left { operations, deaths, ..Left::nothing() };
        Sweep { name: "test", worlds: vec![World::One], left }
    }

    #[test]
    fn every_way_can_be_told_again_and_none_is_told_twice() {
        let scope = Scope::new(sweep(2, 0));
        let (shares, calm) = scope.begin();
        assert_eq!((calm.histories, calm.failures), (1, 0), "{:?}", calm.failed);
        let all: Vec<History> = shares.into_iter().flat_map(|share| share.histories).collect();
        let distinct: BTreeSet<&History> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        for history in all.iter().step_by(all.len() / 20) {
            let again: History = history.to_string().parse().expect("a history");
            assert_eq!(&again, history);
            assert_eq!(play(&again, Left::nothing(), false).problem, None, "{again}");
        }
    }

    #[test]
    fn the_same_is_found_on_one_thread_and_on_two() {
        let found = [1, 2].map(|threads| {
            let scope = Scope::new(sweep(1, 1));
            let (mut shares, _) = scope.begin();
            shares.truncate(8);
            let found = scope.tell_all(&shares, threads, &|_, _| {});
            (found.histories, found.equal, found.happenings, found.failures)
        });
        assert_eq!(found[0], found[1]);
        assert!(found[0].0 > 20, "{found:?}");
        assert_eq!(found[0].3, 0);
    }

    #[test]
    fn what_a_history_does_not_come_to_is_told() {
        let history: History = "one,9000:die".parse().expect("a history");
        let problem = play(&history, Left::nothing(), false).problem;
        assert_eq!(problem.as_deref(), Some("9000:die was not come to"));
    }
}
