//! The project's chores, one file each.

mod acceptance;
mod bench;
mod conformance;
mod demo;
mod events;
mod fuzz;
mod interrupt;
mod local_tree;
mod mutants;
mod planted;
mod process;
mod scale;
mod scopes;
mod sim;
mod test;
mod testbed;
mod whimbrel;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

/// Everything that one does with the project besides building it.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Chore {
    /// A live migration to look at: a source that keeps changing, a real S3 server, the verdict.
    Demo(demo::Demo),
    /// What a migration has to hold, measured on real systems.
    #[command(subcommand)]
    Acceptance(acceptance::Acceptance),
    /// Whimbrel beside its peers on the same work: docs/benchmarks.md; an hour for all of it.
    Bench(bench::Bench),
    /// Bare load on an S3 server, which the bench starts.
    #[command(hide = true)]
    BenchGenerator(bench::Generator),
    /// Millions of files, of rows and of inodes: docs/scale.md; hours, and tens of GB of disk.
    Scale(scale::Scale),
    /// How fast the stream of changes is followed, from a recorded NameNode: docs/events.md.
    Events(events::Events),
    /// Everything that decides whether a change may land; installs what it needs.
    Test(test::Test),
    /// What every store has to keep to, on all of them; builds Garage (20 minutes of CPU).
    Conformance,
    /// Every history of a few operations over few paths, with a death after every effect.
    Scopes(scopes::Scopes),
    /// Simulated histories: the real core and ledger in a hostile world.
    Sim(sim::Sim),
    /// Mutated bytes against everything that parses, guided by coverage; needs a C++ compiler.
    Fuzz(fuzz::Fuzz),
    /// Changes one thing at a time in what decides and what remembers; the tests have to notice.
    Mutants(mutants::Mutants),
    /// Breaks each rule in turn; the random histories have to see it.
    Planted(planted::PlantedBugs),
    /// Real systems to try things on: a Hadoop cluster and S3 servers.
    #[command(subcommand)]
    Testbed(testbed::Testbed),
}

fn main() -> ExitCode {
    let done: Result<(), Box<dyn Error>> = match Chore::parse() {
        Chore::Demo(options) => demo::demo(&options),
        Chore::Acceptance(command) => acceptance::run(&command),
        Chore::Bench(options) => bench::bench(&options),
        Chore::BenchGenerator(options) => bench::generate(&options),
        Chore::Scale(options) => scale::scale(&options),
        Chore::Events(options) => events::events(&options),
        Chore::Test(options) => test::test(&options),
        Chore::Conformance => conformance::conformance(),
        Chore::Scopes(options) => scopes::scopes(&options),
        Chore::Sim(options) => sim::sim(&options),
        Chore::Fuzz(options) => fuzz::fuzz(&options),
        Chore::Mutants(options) => mutants::mutants(&options),
        Chore::Planted(options) => planted::planted(&options),
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
