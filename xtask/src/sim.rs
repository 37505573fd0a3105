//! `cargo xtask sim`: simulated histories.

use std::error::Error;

use clap::Args;

use crate::process::{cargo, run, target};

/// So many are too many for one sitting.
const LONG_SEEDS: u64 = 100_000;

/// Which histories.
#[derive(Debug, Args)]
pub struct Sim {
    /// How many. From 100,000 on what is done is noted in a file of the target folder: the next
    /// call goes on from there.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub seeds: u64,
    /// The first seed.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub first: u64,
    /// Every migration begins with an image of the source.
    #[arg(long)]
    pub images: bool,
    /// Print everything that happens.
    #[arg(long)]
    pub verbose: bool,
}

/// Runs them; fails if one fails.
pub fn sim(options: &Sim) -> Result<(), Box<dyn Error>> {
    let mut command = cargo();
    let profile = if options.seeds >= LONG_SEEDS { "sim-long" } else { "sim" };
    command.args(["run", "--quiet", "--profile", profile, "--package", "whimbrel-sim", "--"]);
    command.arg("--seeds").arg(options.seeds.to_string());
    command.arg("--first").arg(options.first.to_string());
    if options.seeds >= LONG_SEEDS {
        command.arg("--done").arg(target().join("sim.txt"));
    }
    if options.images {
        command.arg("--images");
    }
    if options.verbose {
        command.arg("--verbose");
    }
    run(&mut command)
}
