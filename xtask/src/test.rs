//! `cargo xtask test`: everything that decides whether a change may land, and the installation of
//! what that needs.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use whimbrel_testbed::{install_hadoop, install_s3mock, install_versitygw};

use crate::process::{cargo, output, run, target};
use crate::sim;

/// Crates that would bring I/O, time, threads or chance into the core.
const FORBIDDEN_IN_CORE: [&str; 6] = ["tokio", "rusqlite", "hyper", "rand", "fastrand", "libc"];
/// Looks dependencies over.
const CARGO_DENY_VERSION: &str = "0.20.2";

/// What to test.
#[derive(Debug, Args)]
pub struct Test {
    /// Simulated histories.
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    seeds: u64,
}

/// Runs all checks and tests, cheapest first.
pub fn test(options: &Test) -> Result<(), Box<dyn Error>> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    laws_of_the_core()?;
    install_hadoop()?;
    install_versitygw()?;
    install_s3mock()?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    look_dependencies_over()?;
    run(cargo().args(["test", "--workspace", "--no-fail-fast"]))?;
    sim::sim(&sim::Sim { seeds: options.seeds, first: 1, verbose: false })
}

/// The core decides and does nothing else: its dependencies must not be able to.
fn laws_of_the_core() -> Result<(), Box<dyn Error>> {
    let mut tree = cargo();
    tree.args(["tree", "--package", "whimbrel-core", "--edges", "normal", "--prefix", "none"]);
    let listed = output(&mut tree)?;
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
    match FORBIDDEN_IN_CORE.iter().find(|forbidden| names.contains(forbidden)) {
        Some(forbidden) => Err(format!("whimbrel-core depends on {forbidden}").into()),
        None => Ok(()),
    }
}

/// Licences, bans and sources; the advisory database is not asked.
fn look_dependencies_over() -> Result<(), Box<dyn Error>> {
    let deny = cargo_deny()?;
    let mut check = std::process::Command::new(deny);
    check.current_dir(crate::process::workspace());
    run(check.args(["--offline", "check", "bans", "licenses", "sources"]))
}

/// Builds cargo-deny once, without optimisation: it runs for a second.
fn cargo_deny() -> Result<PathBuf, Box<dyn Error>> {
    let root = target().join("tools");
    let binary = root.join("bin/cargo-deny");
    if !binary.exists() {
        let mut install = cargo();
        install.args(["install", "cargo-deny", "--locked", "--debug", "--version"]);
        run(install.arg(CARGO_DENY_VERSION).arg("--root").arg(&root))?;
    }
    Ok(binary)
}
