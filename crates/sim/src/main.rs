//! `whimbrel-sim --seeds N --first S`: runs histories and prints what went wrong. With
//! `--planted NAME` a rule is broken, and the first history that sees it ends the run.

#[cfg(feature = "planted")]
mod planted;

use std::process::ExitCode;

use whimbrel_sim::coverage::Coverage;

const USAGE: &str = "use --seeds N --first S [--verbose] [--planted NAME | --planted-list]";

/// What is asked for.
struct Call {
    seeds: u64,
    first: u64,
    verbose: bool,
    planted: Option<String>,
}

fn main() -> ExitCode {
    let mut call = Call { seeds: 1_000, first: 1, verbose: false, planted: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seeds" => call.seeds = number(arguments.next()),
            "--first" => call.first = number(arguments.next()),
            "--verbose" => call.verbose = true,
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

fn run(call: &Call) -> ExitCode {
    let (seeds, first) = (call.seeds, call.first);
    let begun = std::time::Instant::now();
    let mut failures = 0;
    let mut steps = 0;
    let mut coverage = Coverage::default();
    for seed in first..first + seeds {
        let verdict = whimbrel_sim::run(seed, call.verbose);
        steps += verdict.steps;
        coverage.add(&verdict.coverage);
        if let Some(problem) = verdict.problem {
            failures += 1;
            println!("seed {seed}: {problem}");
            println!("  cargo xtask sim --seeds 1 --first {seed} --verbose");
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    let rate = seeds as f64 / seconds.max(0.001);
    println!("{coverage}");
    println!("{rate:.0} seeds/s, {steps} steps");
    println!("{seeds} seeds, {failures} failures");
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn number(text: Option<String>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or(1)
}
