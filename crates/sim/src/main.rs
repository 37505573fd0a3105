//! `whimbrel-sim --seeds N --first S`: runs histories and prints what went wrong.

use std::process::ExitCode;

use whimbrel_sim::coverage::Coverage;

fn main() -> ExitCode {
    let mut seeds = 1_000;
    let mut first = 1;
    let mut verbose = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seeds" => seeds = number(arguments.next()),
            "--first" => first = number(arguments.next()),
            "--verbose" => verbose = true,
            other => {
                eprintln!("{other} is not known; use --seeds N --first S [--verbose]");
                return ExitCode::from(2);
            }
        }
    }
    let begun = std::time::Instant::now();
    let mut failures = 0;
    let mut steps = 0;
    let mut coverage = Coverage::default();
    for seed in first..first + seeds {
        let verdict = whimbrel_sim::run(seed, verbose);
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
