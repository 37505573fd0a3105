//! `whimbrel-sim --seeds N --first S`: runs histories and prints what went wrong. With
//! `--planted NAME` a rule is broken, and the first history that sees it ends the run.

#[cfg(feature = "planted")]
mod planted;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use whimbrel_sim::coverage::Coverage;
use whimbrel_sim::options::Options;
use whimbrel_sim::oracle::Verdict;

const USAGE: &str =
    "use --seeds N --first S [--images] [--verbose] [--planted NAME | --planted-list]";

/// What is asked for.
struct Call {
    seeds: u64,
    first: u64,
    verbose: bool,
    /// Every migration begins with an image.
    images: bool,
    planted: Option<String>,
}

fn main() -> ExitCode {
    let mut call = Call { seeds: 1_000, first: 1, verbose: false, images: false, planted: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seeds" => call.seeds = number(arguments.next()),
            "--first" => call.first = number(arguments.next()),
            "--verbose" => call.verbose = true,
            "--images" => call.images = true,
            "--planted" => call.planted = arguments.next(),
            #[cfg(feature = "planted")]
            "--planted-list" => return planted::list(),
            other => {
                eprintln!("{other} is not known; {USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    match call.planted.take() {
        #[cfg(feature = "planted")]
        Some(name) => planted::search(&name, &call),
        #[cfg(not(feature = "planted"))]
        Some(name) => {
            eprintln!("{name}: this build holds no bugs; build it with --features planted");
            ExitCode::from(2)
        }
        None => run(&call),
    }
}

/// What came of all histories.
#[derive(Default)]
struct Sums {
    /// Flags with which the same is told again.
    flags: &'static str,
    failures: u64,
    steps: u64,
    coverage: Coverage,
}

impl Sums {
    fn add(&mut self, verdict: &Verdict) {
        self.steps += verdict.steps;
        self.coverage.add(&verdict.coverage);
        if let Some(problem) = &verdict.problem {
            self.failures += 1;
            println!("seed {}: {problem}", verdict.seed);
            let (seed, flags) = (verdict.seed, self.flags);
            println!("  cargo xtask sim --seeds 1 --first {seed}{flags} --verbose");
        }
    }
}

fn run(call: &Call) -> ExitCode {
    let begun = std::time::Instant::now();
    let threads = match call.verbose {
        // What is told would be mixed.
        true => 1,
        false => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let flags = if call.images { " --images" } else { "" };
    let sums = Sums { flags, ..Sums::default() };
    let (seeds, next, sums) = (call.seeds, AtomicU64::new(0), Mutex::new(sums));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) = take_seed(&next, call) {
                    let verdict = history(seed, call);
                    sums.lock().unwrap_or_else(PoisonError::into_inner).add(&verdict);
                }
            });
        }
    });
    let Sums { failures, steps, coverage, .. } =
        sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    let seconds = begun.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    let rate = seeds as f64 / seconds.max(0.001);
    println!("{coverage}");
    println!("{rate:.0} seeds/s, {steps} steps");
    println!("{seeds} seeds, {failures} failures");
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn history(seed: u64, call: &Call) -> Verdict {
    let given = |drawn| match call.images {
        true => Options { images: true, live: true, ..drawn },
        false => drawn,
    };
    whimbrel_sim::run_with(seed, call.verbose, given)
}

fn take_seed(next: &AtomicU64, call: &Call) -> Option<u64> {
    let taken = next.fetch_add(1, Ordering::Relaxed);
    (taken < call.seeds).then(|| call.first + taken)
}

fn number(text: Option<String>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or(1)
}
