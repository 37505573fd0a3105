//! The project's chores, one file each.

mod process;
mod sim;
mod test;
mod testbed;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

/// Everything that one does with the project besides building it.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Chore {
    /// Everything that decides whether a change may land; installs what it needs.
    Test(test::Test),
    /// Simulated histories: the real core and ledger in a hostile world.
    Sim(sim::Sim),
    /// Real systems to try things on: a Hadoop cluster and S3 servers.
    #[command(subcommand)]
    Testbed(testbed::Testbed),
}

fn main() -> ExitCode {
    let done: Result<(), Box<dyn Error>> = match Chore::parse() {
        Chore::Test(options) => test::test(&options),
        Chore::Sim(options) => sim::sim(&options),
        Chore::Testbed(command) => testbed::run(&command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
