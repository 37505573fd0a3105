//! A machine that loses power.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use whimbrel_crash::{Call, Draw, Image, Remains};

use crate::workload::{Act, Known, Recording, Step, perform, record};
use crate::{Found, find, find_on_files, seeds, seeds_asked};

/// What is known of crashes that were looked at.
struct Crashes {
    seed: u64,
    draw: Draw,
    /// Images and what had to be durable with them.
    seen: HashSet<u64>,
    told: usize,
    again: usize,
}

/// What has to be there after so many calls: what was durable, or what was being made so.
fn allowed(recording: &Recording, calls: usize) -> Vec<&Known> {
    let durable = recording.steps.partition_point(|step| step.end <= calls);
    let known = |number: usize| match number.checked_sub(1) {
        Some(before) => &recording.steps[before].known,
        None => &recording.before,
    };
    let last = (durable + 1).min(recording.steps.len());
    (durable..=last).map(known).collect()
}

impl Crashes {
    fn new(seed: u64) -> Self {
        Self { seed, draw: Draw::new(!seed), seen: HashSet::new(), told: 0, again: 0 }
    }

    /// A crash after so many calls, `count` images of it.
    fn crash(&mut self, remains: &Remains, recording: &Recording, calls: usize, count: usize) {
        let folder = tempfile::tempdir().unwrap();
        for image in remains.images(count, &mut self.draw) {
            self.look(&image, &allowed(recording, calls), &remaining(recording, calls), &folder)
                .unwrap_or_else(|what| panic!("seed {}, after call {calls}: {what}", self.seed));
        }
    }

    fn look(
        &mut self,
        image: &Image,
        allowed: &[&Known],
        later: &[Act],
        folder: &tempfile::TempDir,
    ) -> Result<(), String> {
        let mut hash = DefaultHasher::new();
        (image, later.len()).hash(&mut hash);
        if !self.seen.insert(hash.finish()) {
            return Ok(());
        }
        self.told += 1;
        let found = find(image, allowed, folder.path()).map_err(|trouble| trouble.to_string())?;
        if self.draw.once_in(16) {
            find_on_files(image, allowed).map_err(|trouble| format!("on files {trouble}"))?;
        }
        if self.draw.once_in(4) {
            let known = allowed[found.which].after(&Act::Open);
            self.go_on(image, known, found, later, folder.path())?;
        }
        Ok(())
    }

    /// The ledger is used after the crash, and the machine loses power once more, maybe before it
    /// was open.
    fn go_on(
        &mut self,
        image: &Image,
        known: Known,
        found: Found,
        later: &[Act],
        folder: &Path,
    ) -> Result<(), String> {
        self.again += 1;
        let mut steps =
            vec![Step { act: Act::Open, known: known.clone(), end: found.disk.calls() }];
        let mut ledger = Some(found.ledger);
        let goes = |act: &&Act| matches!(act, Act::Apply(_) | Act::Set(_));
        for act in later.iter().skip(found.which).filter(goes).take(2) {
            perform(act, folder, &mut ledger).map_err(|error| format!("goes on: {error}"))?;
            let known = steps[steps.len() - 1].known.after(act);
            if let Some(other) = known.difference(ledger.as_ref().unwrap()).unwrap() {
                return Err(format!("goes on with {other}"));
            }
            steps.push(Step { act: act.clone(), known, end: found.disk.calls() });
        }
        let log = found.disk.log();
        drop((ledger, found._mount));
        let again = Recording { base: image.clone(), before: known, log, steps };
        let calls = self.draw.below(again.log.len() + 1);
        let mut remains = Remains::new(&again.base);
        again.log[..calls].iter().for_each(|call| remains.add(call, &mut self.draw));
        let second = remains.by_chance(&mut self.draw);
        find(&second, &allowed(&again, calls), folder)
            .map(drop)
            .map_err(|what| format!("and again after {calls} more: {what}"))
    }
}

/// What is done from the first step on that was not durable.
fn remaining(recording: &Recording, calls: usize) -> Vec<Act> {
    let durable = recording.steps.partition_point(|step| step.end <= calls);
    recording.steps[durable..].iter().map(|step| step.act.clone()).collect()
}

fn tell(seed: u64, acts: usize, every: usize, count: usize) -> Crashes {
    let recording = record(seed, acts);
    let mut crashes = Crashes::new(seed);
    let mut remains = Remains::new(&recording.base);
    crashes.crash(&remains, &recording, 0, count);
    for (number, call) in recording.log.iter().enumerate() {
        remains.add(call, &mut crashes.draw);
        let rare = !matches!(call, Call::Write { .. });
        // What comes before a sync is what most can be lost of.
        let next = recording.log.get(number + 1);
        let before_sync = next.is_some_and(|next| matches!(next, Call::Sync { .. }));
        if rare || before_sync || crashes.draw.once_in(every) {
            crashes.crash(&remains, &recording, number + 1, count);
        }
    }
    crashes
}

#[test]
fn lost_power_takes_nothing_that_is_durable() {
    let asked = seeds_asked().is_some();
    for seed in seeds() {
        let (acts, every, count) = if asked { (150, 1, 8) } else { (80, 24, 5) };
        let crashes = tell(seed, acts, every, count);
        println!("seed {seed}: {} images, {} used on", crashes.told, crashes.again);
        assert!(crashes.told > 200 && crashes.again > 50, "{} {}", crashes.told, crashes.again);
    }
}

/// Everything from an empty folder on, call by call.
#[test]
fn lost_power_while_the_state_is_made() {
    for seed in seeds() {
        let crashes = tell(seed, 3, 1, 16);
        assert!(crashes.told > 100, "{}", crashes.told);
    }
}
