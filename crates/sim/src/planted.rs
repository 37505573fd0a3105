//! Histories of a core and a ledger in which one rule is broken.

use std::process::ExitCode;

use whimbrel_core::planted::{Planted, plant};
use whimbrel_sim::ENDLESS;

use crate::Call;

/// One line for each bug: its name, its rule, and what is done in its place.
pub(crate) fn list() -> ExitCode {
    for bug in Planted::ALL {
        println!("{}\t{}\t{}", bug.name(), bug.rule(), bug.what());
    }
    ExitCode::SUCCESS
}

/// Plants the bug and runs histories until one sees it: `found: SEED<tab>PROBLEM`.
pub(crate) fn search(name: &str, call: &Call) -> ExitCode {
    let Some(bug) = Planted::ALL.iter().find(|bug| bug.name() == name) else {
        eprintln!("{name} is no bug that can be planted; see --planted-list");
        return ExitCode::from(2);
    };
    plant(*bug);
    for seed in call.first..call.first + call.seeds {
        if let Some(problem) = problem(seed, call.verbose) {
            println!("found: {seed}\t{problem}");
            return ExitCode::SUCCESS;
        }
    }
    println!("not found in {} seeds from {} on", call.seeds, call.first);
    ExitCode::FAILURE
}

/// What is wrong with a history. A broken rule may be one that the code relies on. One that does
/// not end says nothing: that happens without a planted bug too, once in a while.
fn problem(seed: u64, verbose: bool) -> Option<String> {
    match std::panic::catch_unwind(|| whimbrel_sim::run(seed, verbose)) {
        Ok(verdict) => verdict.problem.filter(|problem| !problem.starts_with(ENDLESS)),
        Err(_) => Some("the core or the ledger panicked".to_owned()),
    }
}
