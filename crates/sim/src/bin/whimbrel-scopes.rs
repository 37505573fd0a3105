//! `whimbrel-scopes --operations N [--sweep NAME] [--done FILE]`, `whimbrel-scopes --history TEXT`:
//! every history of a small scope, or one of them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use whimbrel_sim::done::Done;
use whimbrel_sim::scope::History;
use whimbrel_sim::scope::explore::{Found, Scope, Share, Sweep, tell_aloud};

fn main() -> ExitCode {
    let mut operations = 2;
    let mut done = None;
    let mut only = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        match (argument.as_str(), value.parse()) {
            ("--operations", Ok(number)) => operations = number,
            ("--sweep", _) => only = Some(value),
            ("--done", _) => done = Some(PathBuf::from(value)),
            ("--history", _) => return aloud(&value),
            _ => {
                eprintln!("use --operations N [--sweep NAME] [--done FILE], or --history TEXT");
                return ExitCode::from(2);
            }
        }
    }
    match explore(operations, only.as_deref(), done.as_deref()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the file of what is done: {error}");
            ExitCode::FAILURE
        }
    }
}

fn aloud(text: &str) -> ExitCode {
    let history: History = match text.parse() {
        Ok(history) => history,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let problem = tell_aloud(&history);
    println!("{history}: {}", problem.as_deref().unwrap_or("nothing is wrong"));
    if problem.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How many histories went wrong.
fn explore(operations: usize, only: Option<&str>, done: Option<&Path>) -> std::io::Result<u64> {
    let done = Done::open(done)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let told = |words: &Vec<String>| words.first()?.parse::<u64>().ok();
    let mut histories: u64 = done.before.values().filter_map(told).sum();
    let mut failures = 0;
    let wanted = |sweep: &Sweep| only.is_none_or(|only| only == sweep.name);
    for sweep in Sweep::all(operations).into_iter().filter(wanted) {
        let (begun, name) = (Instant::now(), sweep.name);
        let scope = Scope::new(sweep);
        let (mut shares, mut found) = scope.begin();
        shares.retain(|share| !done.before.contains_key(&share.name));
        found.add(scope.tell_all(&shares, threads, &|share, found| note(&done, share, found)));
        tell(name, &found, begun);
        histories += found.histories;
        failures += found.failures;
    }
    println!("{histories} histories, {failures} failures");
    Ok(failures)
}

fn note(done: &Done, share: &Share, found: &Found) {
    if found.failures == 0 {
        done.note(&share.name, &[found.histories.to_string()]);
    }
}

fn tell(name: &str, found: &Found, begun: Instant) {
    for (history, problem) in &found.failed {
        println!("{history}: {problem}");
        println!("  cargo xtask scopes --history {history}");
    }
    println!(
        "{name}: {} programs, {} histories ({} more are equal to one of them), {} happenings, {:.0} s",
        found.programs.len(),
        found.histories,
        found.equal,
        found.happenings,
        begun.elapsed().as_secs_f64()
    );
}
