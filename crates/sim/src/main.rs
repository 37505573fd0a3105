//! `whimbrel-sim --seeds N --first S`: runs histories and prints what went wrong. With
//! `--planted NAME` a rule is broken, and the first history that sees it ends the run; with
//! `--done FILE` a long run goes on where an earlier one was ended.

#[cfg(feature = "planted")]
mod planted;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use whimbrel_sim::coverage::Coverage;
use whimbrel_sim::done::Done;
use whimbrel_sim::options::Options;
use whimbrel_sim::oracle::Verdict;

const USAGE: &str = "use --seeds N --first S [--images] [--verbose] [--done FILE] [--planted NAME | --planted-list]";
/// Seeds of a share: what an end on the way costs.
const SHARE_SEEDS: u64 = 10_000;

/// What is asked for.
struct Call {
    seeds: u64,
    first: u64,
    verbose: bool,
    /// Every migration begins with an image.
    images: bool,
    planted: Option<String>,
    done: Option<PathBuf>,
}

fn main() -> ExitCode {
    let mut call =
        Call { seeds: 1_000, first: 1, verbose: false, images: false, planted: None, done: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seeds" => call.seeds = number(arguments.next()),
            "--first" => call.first = number(arguments.next()),
            "--verbose" => call.verbose = true,
            "--images" => call.images = true,
            "--done" => call.done = arguments.next().map(PathBuf::from),
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
        None => match run(&call) {
            Ok(code) => code,
            Err(error) => {
                eprintln!("the file of what is done: {error}");
                ExitCode::FAILURE
            }
        },
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
    fn add_share(&mut self, share: &Self) {
        self.steps += share.steps;
        self.failures += share.failures;
        self.coverage.add(&share.coverage);
    }

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

fn run(call: &Call) -> std::io::Result<ExitCode> {
    let done = Done::open(call.done.as_deref())?;
    let flags = if call.images { " --images" } else { "" };
    let mut sums = Sums { flags, ..Sums::default() };
    let (begun, mut told_now) = (Instant::now(), 0);
    let (mut first, end) = (call.first, call.first + call.seeds);
    while first < end {
        let seeds = SHARE_SEEDS.min(end - first);
        let name = format!("{first}+{seeds}{flags}");
        match done.before.get(&name).and_then(|words| noted(words)) {
            Some(before) => sums.add_share(&before),
            None => {
                let share = share(first, seeds, call, flags);
                if share.failures == 0 {
                    done.note(&name, &[share.steps.to_string(), share.coverage.written()]);
                }
                sums.add_share(&share);
                told_now += seeds;
            }
        }
        first += seeds;
    }
    let seconds = begun.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    let rate = told_now as f64 / seconds.max(0.001);
    println!("{}", sums.coverage);
    println!("{rate:.0} seeds/s, {} steps", sums.steps);
    println!("{} seeds, {} failures", call.seeds, sums.failures);
    Ok(if sums.failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What came of a share that an earlier call told to its end, without a failure.
fn noted(words: &[String]) -> Option<Sums> {
    let [steps, coverage] = words else { return None };
    let coverage = Coverage::read(coverage)?;
    Some(Sums { steps: steps.parse().ok()?, coverage, ..Sums::default() })
}

/// Tells so many histories on all cores.
fn share(first: u64, seeds: u64, call: &Call, flags: &'static str) -> Sums {
    let threads = match call.verbose {
        // What is told would be mixed.
        true => 1,
        false => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let next = AtomicU64::new(0);
    let sums = Mutex::new(Sums { flags, ..Sums::default() });
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let taken = next.fetch_add(1, Ordering::Relaxed);
                    if taken >= seeds {
                        break;
                    }
                    let verdict = history(first + taken, call);
                    sums.lock().unwrap_or_else(PoisonError::into_inner).add(&verdict);
                }
            });
        }
    });
    sums.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn history(seed: u64, call: &Call) -> Verdict {
    let given = |drawn| match call.images {
        true => Options { images: true, live: true, ..drawn },
        false => drawn,
    };
    whimbrel_sim::judge(seed, call.verbose, given)
}

fn number(text: Option<String>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or(1)
}
