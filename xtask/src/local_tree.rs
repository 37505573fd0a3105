//! A tree on this machine, and changes to it of every kind that a local file system has.

mod model;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Result;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fastrand::Rng;
use whimbrel_testbed::FileSizes;

use model::Model;

/// What a tree is made of.
#[derive(Clone, Copy, Debug)]
pub struct TreePlan {
    /// Files at the start.
    pub files: u64,
    /// Directories that they are spread over.
    pub directories: u64,
    /// Decides contents and changes.
    pub seed: u64,
}

/// Changes that go on in a thread of their own until they are stopped.
#[derive(Debug)]
pub struct Changes {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<BTreeMap<&'static str, u64>>>,
}

/// A tree that can be changed.
#[derive(Debug)]
pub struct LocalTree {
    model: Model,
    /// Bytes written at the start.
    pub bytes: u64,
}

impl LocalTree {
    /// Writes the files below `root`.
    pub fn create(root: &Path, plan: TreePlan) -> Result<Self> {
        let rng = Rng::with_seed(plan.seed);
        let mut model = Model::new(root.to_owned(), rng);
        let bytes = model.fill(plan.files, plan.directories)?;
        Ok(Self { model, bytes })
    }

    /// Changes it from now on, evenly over time as far as the machine can.
    pub fn change(self, operations_per_second: f64) -> Changes {
        let stop = Arc::new(AtomicBool::new(false));
        let wanted = stop.clone();
        let mut model = self.model;
        let thread = std::thread::spawn(move || {
            let begin = Instant::now();
            let mut counts = BTreeMap::new();
            for number in 0_u32.. {
                let due = Duration::from_secs_f64(f64::from(number) / operations_per_second);
                std::thread::sleep(due.saturating_sub(begin.elapsed()));
                if wanted.load(Ordering::Relaxed) {
                    break;
                }
                *counts.entry(model.change()?).or_default() += 1;
            }
            Ok(counts)
        });
        Changes { stop, thread }
    }
}

impl Changes {
    /// Ends them; gives how many there were of each kind.
    pub fn stop(self) -> std::result::Result<BTreeMap<&'static str, u64>, Box<dyn Error>> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(counts) => Ok(counts?),
            Err(_) => Err("the thread that changes the tree has died".into()),
        }
    }
}

/// A length out of the distribution.
pub fn draw_bytes(sizes: FileSizes, rng: &mut Rng) -> u64 {
    match sizes {
        FileSizes::Fixed(bytes) => bytes,
        FileSizes::LogNormal { median_bytes, sigma, maximum_bytes } => {
            // Twelve uniform numbers make a normal one that is good enough for file sizes.
            let normal = (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
            let bytes = median_bytes as f64 * (sigma * normal).exp();
            (bytes as u64).min(maximum_bytes)
        }
    }
}
