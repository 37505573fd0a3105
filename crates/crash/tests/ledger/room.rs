//! A disk without room, and one that does not answer for a while.

use std::path::Path;
use std::sync::Arc;

use whimbrel_core::failure::{FailureKind, Side};
use whimbrel_crash::{Call, Disk, Draw, Failure, Fate, Fault, Image, Remains, vfs};
use whimbrel_ledger::{Ledger, LedgerError};

use crate::workload::{Act, Known, Step, perform, record};
use crate::{Trouble, find, seeds, seeds_asked};

/// So many steps are taken while calls fail.
const STEPS: usize = 4;
const TRIES_MAX: usize = 20;

fn named(error: &LedgerError, failure: Failure) -> bool {
    let told = error.failure();
    told.side == Side::Local
        && match failure {
            // Of a file that cannot be made SQLite says no more.
            Failure::Full => matches!(told.kind, FailureKind::Full | FailureKind::Denied),
            Failure::Broken => {
                matches!(told.kind, FailureKind::Unavailable | FailureKind::Denied)
            }
        }
}

/// A ledger over a disk that fails.
struct Trial<'a> {
    folder: &'a Path,
    other: &'a Path,
    base: &'a Image,
    disk: Arc<Disk>,
    ledger: Option<Ledger>,
    known: Known,
    failure: Failure,
    draw: &'a mut Draw,
    /// Crashes after which the state was refused.
    damaged: usize,
}

impl Trial<'_> {
    /// Until it is done. What fails names why and leaves all as it was.
    fn insist(&mut self, act: &Act) -> Result<(), String> {
        let next = self.known.after(act);
        for _ in 0..TRIES_MAX {
            if self.ledger.is_none() && !matches!(act, Act::Open) {
                let opened = perform(&Act::Open, self.folder, &mut self.ledger);
                if opened.as_ref().is_err_and(|error| !named(error, self.failure)) {
                    return Err(format!("cannot be opened: {:?}", opened.unwrap_err()));
                }
                if opened.is_err() {
                    continue;
                }
                self.known = self.known.after(&Act::Open);
            }
            match perform(act, self.folder, &mut self.ledger) {
                Ok(()) => {
                    self.known = self.known.after(act);
                    return Ok(());
                }
                Err(LedgerError::Closed) => self.ledger = None,
                Err(error) if !named(&error, self.failure) => return Err(format!("{error:?}")),
                // Everything was durable before.
                Err(_) if matches!(act, Act::Close { .. }) => return Ok(()),
                Err(_) => self.failed(&next)?,
            }
        }
        Err(format!("cannot be done: {act:?}"))
    }

    /// As it was; and after a crash as it was, or as it was to be.
    fn failed(&mut self, next: &Known) -> Result<(), String> {
        if let Some(ledger) = &self.ledger {
            match self.known.difference(ledger) {
                Ok(None) | Err(LedgerError::Closed) => {}
                Ok(Some(difference)) => return Err(format!("after an error: {difference}")),
                Err(error) => return Err(format!("after an error: {error:?}")),
            }
        }
        self.crash(&[&self.known.clone(), next])
    }

    fn crash(&mut self, allowed: &[&Known]) -> Result<(), String> {
        let mut remains = Remains::new(self.base);
        self.disk.log().iter().for_each(|call| remains.add(call, self.draw));
        let image = remains.by_chance(self.draw);
        match find(&image, allowed, self.other) {
            Ok(_) => Ok(()),
            // What a disk dropped when it could not sync was believed to be there since.
            Err(Trouble::Damaged(_)) if self.disk.log().iter().any(is_failed_sync) => {
                self.damaged += 1;
                Ok(())
            }
            Err(trouble) => Err(format!("after a crash: {trouble}")),
        }
    }
}

/// How often the state was damaged after a crash; nothing if no call failed.
fn run(
    base: &Image,
    known: Known,
    steps: &[Step],
    fault: Fault,
    draw: &mut Draw,
) -> Result<Option<usize>, String> {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let disk = Arc::new(Disk::new(base));
    let _mount = vfs::Mount::new(folder.path(), disk.clone());
    disk.fail(Some(fault));
    let mut trial = Trial {
        folder: folder.path(),
        other: other.path(),
        base,
        disk,
        ledger: None,
        known,
        failure: fault.failure,
        draw,
        damaged: 0,
    };
    trial.insist(&Act::Open)?;
    for step in steps {
        trial.insist(&step.act)?;
    }
    let struck = trial.disk.struck() > 0;
    if struck {
        let known = trial.known.clone();
        if let Some(ledger) = &trial.ledger
            && let Some(difference) = known.difference(ledger).map_err(|e| format!("{e:?}"))?
        {
            return Err(difference);
        }
        trial.crash(&[&known])?;
    }
    Ok(struck.then_some(trial.damaged))
}

fn is_failed_sync(call: &Call) -> bool {
    matches!(call, Call::SyncFailed { .. })
}

fn at_every_call(failure: Failure) {
    for seed in seeds() {
        let recording = record(seed, 120);
        let mut draw = Draw::new(seed);
        let (mut runs, mut damaged) = (0, 0);
        let (starts, stride) = if seeds_asked().is_some() { (8, 1) } else { (4, 7) };
        for _ in 0..starts {
            let step = draw.below(recording.steps.len() - STEPS);
            let base = recording.left(step);
            let steps = &recording.steps[step + 1..][..STEPS];
            let steps: Vec<Step> =
                steps.iter().filter(|step| !matches!(step.act, Act::Open)).cloned().collect();
            let mut after = draw.below(stride);
            loop {
                let fault = Fault { after, calls: 1 + draw.below(6), failure };
                let known = recording.steps[step].known.after(&Act::Open);
                let struck = run(&base, known, &steps, fault, &mut draw)
                    .unwrap_or_else(|what| panic!("seed {seed}, step {step}, {fault:?}: {what}"));
                let Some(refused) = struck else { break };
                (runs, damaged) = (runs + 1, damaged + refused);
                after += 1 + draw.below(2 * stride - 1);
            }
        }
        println!("seed {seed}, {failure:?}: {runs} runs, {damaged} damaged");
        assert!(runs > 20 && damaged * 100 <= runs, "{runs} {damaged}");
    }
}

#[test]
fn a_full_disk_loses_nothing_at_any_write() {
    at_every_call(Failure::Full);
}

#[test]
fn a_disk_that_fails_loses_nothing_at_any_call() {
    at_every_call(Failure::Broken);
}

/// What can be read after it, from the system's memory, is not on the disk.
#[test]
fn what_a_failed_sync_dropped_is_written_at_the_next_start() {
    let recording = record(1, 40);
    let (base, known) = (recording.left(39), &recording.steps[39].known);
    let act = Act::Set("hdfs:///again".to_owned());
    let expected = known.after(&act);
    let mut failed = 0;
    for after in 0..40 {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let disk = Arc::new(Disk::new(&base));
        let _mount = vfs::Mount::new(folder.path(), disk.clone());
        // Long enough for the close after it to fail, too.
        disk.fail(Some(Fault { after, calls: 4, failure: Failure::Broken }));
        let mut ledger = None;
        failed += usize::from(perform(&Act::Open, folder.path(), &mut ledger).is_err());
        drop(ledger.take());
        disk.fail(None);
        perform(&Act::Open, folder.path(), &mut ledger).unwrap();
        perform(&act, folder.path(), &mut ledger).unwrap();
        for seed in 0..4 {
            let mut draw = Draw::new(seed);
            let mut remains = Remains::new(&base);
            disk.log().iter().for_each(|call| remains.add(call, &mut draw));
            find(&remains.image(|| Fate::Lost), &[&expected], other.path())
                .unwrap_or_else(|trouble| panic!("call {after}, seed {seed}: {trouble}"));
        }
    }
    assert!(failed > 0);
}
