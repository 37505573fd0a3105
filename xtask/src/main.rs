//! The project's chores, one file each.

mod testbed;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

/// Everything that one does with the project besides building it.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Chore {
    /// Real systems to try things on: a Hadoop cluster and S3 servers.
    #[command(subcommand)]
    Testbed(testbed::Testbed),
}

fn main() -> ExitCode {
    let done: Result<(), Box<dyn Error>> = match Chore::parse() {
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
