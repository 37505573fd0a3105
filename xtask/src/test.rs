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
/// Without it cargo leaves the conformance suite's tests out, and says nothing.
const SUITES: &str = "whimbrel-store/conformance";
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
    let all = ["--workspace", "--features", SUITES];
    run(cargo().arg("clippy").args(all).args(["--all-targets", "--", "-D", "warnings"]))?;
    look_dependencies_over()?;
    run(cargo().arg("test").args(all).arg("--no-fail-fast"))?;
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
    // Those of other platforms too, which a build does not fetch.
    run(cargo().args(["fetch", "--locked"]))?;
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use crate::process::workspace;

    /// Names of functions in the Rust files below a folder.
    fn functions(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                functions(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("text");
                let lines = text.lines().filter_map(|line| line.split_once("fn "));
                found
                    .extend(lines.filter_map(|(_, rest)| Some(rest.split_once('(')?.0.to_owned())));
            }
        }
    }

    /// Words in backticks that can only be names of tests.
    fn named(document: &str) -> BTreeSet<String> {
        let text = std::fs::read_to_string(workspace().join("docs").join(document)).expect("text");
        let words = text.split('`').skip(1).step_by(2);
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        words.filter(|it| it.contains('_') && it.bytes().all(word)).map(str::to_owned).collect()
    }

    #[test]
    fn documents_and_tests_name_each_other() {
        let mut existing = BTreeSet::new();
        functions(&workspace().join("crates"), &mut existing);
        let (rules, races) = (named("rules.md"), named("races.md"));
        let lost: Vec<_> = rules.union(&races).filter(|name| !existing.contains(*name)).collect();
        assert!(lost.is_empty(), "no such tests: {lost:?}");
        let numbered = existing.iter().filter(|name| name.starts_with("rule_"));
        let silent: Vec<_> = numbered.filter(|name| !rules.contains(*name)).collect();
        assert!(silent.is_empty(), "not in rules.md: {silent:?}");
    }
}
