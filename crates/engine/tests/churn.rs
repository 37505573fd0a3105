//! A local tree that changes all the time while it is migrated, through inotify.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "outside of the test functions too a failure ends the test"
)]

mod ground;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ground::recording::{Record, Recording};
use ground::{Ground, content, finished, tree};
use whimbrel_core::config::Config;
use whimbrel_engine::{Control, Outcome, run, story_at_rest};

/// Numbers that a seed decides.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn path(&mut self, ground: &Ground) -> PathBuf {
        let (outer, inner, file) = (self.roll(4), self.roll(4), self.roll(6));
        ground.source().join(format!("d{outer}/e{inner}/f{file}"))
    }

    fn directory(&mut self, ground: &Ground) -> PathBuf {
        let (outer, inner) = (self.roll(4), self.roll(4));
        match self.roll(3) {
            0 => ground.source().join(format!("d{outer}")),
            _ => ground.source().join(format!("d{outer}/e{inner}")),
        }
    }
}

/// One change; what cannot be done just now is left.
fn change(ground: &Ground, dice: &mut Dice) {
    let path = dice.path(ground);
    match dice.roll(12) {
        0..=4 => {
            let length = dice.roll(50_000);
            let _ = fs::create_dir_all(path.parent().unwrap());
            let _ = fs::write(&path, content(dice.roll(250), length));
        }
        5 => drop(fs::remove_file(path)),
        6 | 7 => drop(fs::rename(path, dice.path(ground))),
        8 | 9 => drop(fs::rename(dice.directory(ground), dice.directory(ground))),
        10 => drop(fs::remove_dir_all(dice.directory(ground))),
        _ => {
            let (one, other) = (dice.directory(ground), dice.directory(ground));
            let between = ground.source().join("between");
            if fs::rename(&one, &between).is_ok() {
                let _ = fs::rename(&other, &one);
                let _ = fs::create_dir_all(other.parent().unwrap());
                let _ = fs::rename(&between, &other);
                let _ = fs::remove_dir_all(&between);
            }
        }
    }
}

async fn churned(seed: u64) {
    let ground = Ground::new();
    let mut dice = Dice(seed);
    for _ in 0..150 {
        change(&ground, &mut dice);
    }
    let config = Config { live: true, until_quiet_millis: Some(1_500), ..Config::default() };
    let mut setup = ground.setup(config);
    let record = Record::default();
    setup.source = Arc::new(Recording { inner: setup.source, record: record.clone() });
    let (_control, orders) = Control::channel();
    let task = tokio::spawn(async move { run(setup, orders).await });
    for _ in 0..400 {
        change(&ground, &mut dice);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let result = finished(async { task.await.unwrap() }).await;
    assert_eq!(result.outcome(), Outcome::Equal, "seed {seed}: {:#?}", result.parked);
    assert!(result.progress.run.changes_seen > 100, "seed {seed}: {result:?}");
    let (source, target) = (tree(&ground.source()), tree(&ground.target()));
    let paths: BTreeSet<&String> = source.keys().chain(target.keys()).collect();
    let state = ground.root.path().join("state");
    let wrong: Vec<_> = paths
        .into_iter()
        .filter(|path| source.get(*path) != target.get(*path))
        .map(|path| {
            let story = story_at_rest(&state, &path.as_str().into()).unwrap();
            (path.clone(), source.get(path), target.get(path), story)
        })
        .collect();
    let record = record.lock().unwrap();
    for (path, ..) in &wrong {
        let top = path.split('/').next().unwrap();
        for line in record.iter().filter(|line| line.contains(top)) {
            eprintln!("{line}");
        }
    }
    assert!(wrong.is_empty(), "seed {seed}: {wrong:#?} after {:?}", result.progress);
}

#[tokio::test(flavor = "multi_thread")]
async fn tree_that_changes_all_the_time_ends_equal() {
    for seed in 1..=4 {
        churned(seed).await;
    }
}
