//! `cargo xtask scopes`: every history of a small scope.

use std::error::Error;

use clap::Args;

use crate::process::{cargo, run, target};

/// Programs so long are too many for one sitting.
const LONG_OPERATIONS: usize = 3;

/// Which scope.
#[derive(Debug, Args)]
pub struct Scopes {
    /// Operations at the source. From 3 on what is done is noted in a file of the target folder:
    /// the next call goes on from there.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub operations: usize,
    /// One sweep only: `overtaken`, `wide` or `plain`.
    #[arg(long, value_name = "NAME")]
    pub sweep: Option<String>,
    /// One history only, told aloud, as a failure names it.
    #[arg(long, value_name = "TEXT")]
    pub history: Option<String>,
}

/// Tells them; fails if one fails.
pub fn scopes(options: &Scopes) -> Result<(), Box<dyn Error>> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--profile", "sim", "--package", "whimbrel-sim"]);
    command.args(["--bin", "whimbrel-scopes", "--"]);
    if let Some(history) = &options.history {
        return run(command.arg("--history").arg(history));
    }
    command.arg("--operations").arg(options.operations.to_string());
    if let Some(sweep) = &options.sweep {
        command.arg("--sweep").arg(sweep);
    }
    if options.operations >= LONG_OPERATIONS {
        let done = target().join(format!("scopes-{}.txt", options.operations));
        command.arg("--done").arg(done);
    }
    run(&mut command)
}
