//! `cargo xtask test`: everything that decides whether a change may land, and the installation of
//! what that needs.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use whimbrel_testbed::{install_duckdb, install_hadoop, install_s3mock, install_versitygw};

use crate::process::{cargo, output, run, target};
use crate::{planted, scopes, sim};

/// Crates that would bring I/O, time, threads or chance into the core.
const FORBIDDEN_IN_CORE: [&str; 6] = ["tokio", "rusqlite", "hyper", "rand", "fastrand", "libc"];
/// Without it cargo leaves the conformance suite's tests out, and says nothing.
const SUITES: &str = "whimbrel-store/conformance";
/// Some of the planted bugs, found within a second each: the whole is a command of its own.
const PLANTED: [&str; 5] =
    ["StreamAfterScan", "CopyNotConfirmed", "EventBelieved", "MarkerNotLast", "PendingClaimed"];
/// Looks dependencies over.
const CARGO_DENY_VERSION: &str = "0.20.2";

/// What to test.
#[derive(Debug, Args)]
pub struct Test {
    /// Simulated histories.
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    seeds: u64,
}

/// Runs all checks and tests, cheapest first.
pub fn test(options: &Test) -> Result<(), Box<dyn Error>> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    laws_of_the_core()?;
    install_hadoop()?;
    install_versitygw()?;
    install_s3mock()?;
    install_duckdb()?;
    let all = ["--workspace", "--features", SUITES];
    run(cargo().arg("clippy").args(all).args(["--all-targets", "--", "-D", "warnings"]))?;
    look_dependencies_over()?;
    run(cargo().arg("test").args(all).arg("--no-fail-fast"))?;
    scopes::scopes(&scopes::Scopes { operations: 2, sweep: None, history: None })?;
    sim::sim(&sim::Sim { seeds: options.seeds, first: 1, images: false, verbose: false })?;
    let only = PLANTED.map(str::to_owned).to_vec();
    planted::planted(&planted::PlantedBugs { seeds_max: 100, only })
}

/// The core decides and does nothing else: its dependencies must not be able to.
fn laws_of_the_core() -> Result<(), Box<dyn Error>> {
    let mut tree = cargo();
    tree.args(["tree", "--package", "whimbrel-core", "--edges", "normal", "--prefix", "none"]);
    let listed = output(&mut tree)?;
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
    if let Some(forbidden) = FORBIDDEN_IN_CORE.iter().find(|it| names.contains(it)) {
        return Err(format!("whimbrel-core depends on {forbidden}").into());
    }
    no_planted_bugs()
}

/// The bugs that the simulator plants are for the simulator alone.
fn no_planted_bugs() -> Result<(), Box<dyn Error>> {
    let mut tree = cargo();
    tree.args(["tree", "--package", "whimbrel-cli", "--edges", "normal", "--prefix", "none"]);
    let features = output(tree.args(["--format", "{f}"]))?;
    if features.lines().any(|line| line.split(',').any(|feature| feature == "planted")) {
        return Err("the command is built with planted bugs".into());
    }
    Ok(())
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
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::{Path, PathBuf};

    use crate::process::workspace;

    /// Where a file stands that a document names, the first that fits.
    const PLACES: [&str; 3] = ["crates/core/src/migration", "crates", ""];
    /// Whatever has a name in a Rust file.
    const KINDS: [&str; 6] = ["fn ", "const ", "struct ", "enum ", "trait ", "pub "];

    /// What documents may name.
    #[derive(Default)]
    struct Existing {
        /// Names that each Rust file declares.
        files: BTreeMap<PathBuf, BTreeSet<String>>,
        tests: BTreeSet<String>,
    }

    impl Existing {
        fn read() -> Self {
            let mut existing = Self::default();
            existing.add_folder(&workspace().join("crates"));
            existing.add_folder(&workspace().join("xtask/src"));
            existing
        }

        fn add_folder(&mut self, folder: &Path) {
            for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    self.add_folder(&path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    self.add(path);
                }
            }
        }

        fn add(&mut self, path: PathBuf) {
            let text = std::fs::read_to_string(&path).expect("text");
            let code = text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
            let (mut names, mut of_a_test) = (BTreeSet::new(), false);
            for line in code {
                of_a_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
                for (kind, (_, rest)) in
                    KINDS.iter().filter_map(|kind| Some((kind, line.split_once(kind)?)))
                {
                    let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
                    let name = rest[..end.unwrap_or(rest.len())].to_owned();
                    if *kind == "fn " && std::mem::take(&mut of_a_test) {
                        self.tests.insert(name.clone());
                    }
                    names.insert(name);
                }
            }
            self.files.insert(path, names);
        }

        fn declares(&self, name: &str) -> bool {
            self.files.values().any(|names| names.contains(name))
        }

        /// What is not there of the words of a cell: files, names that the file before them
        /// declares, and names that stand alone.
        fn lacks(&self, cell: &str) -> Vec<String> {
            let (mut lost, mut file) = (Vec::new(), None);
            for word in words(cell) {
                let name = word.rsplit("::").next().unwrap_or(word);
                let there = if word.contains(['.', '/']) {
                    let mut places = PLACES.iter().map(|it| workspace().join(it).join(word));
                    file = places.find(|path| path.exists());
                    file.is_some()
                } else {
                    match &file {
                        Some(file) => self.files.get(file).is_some_and(|it| it.contains(name)),
                        None => self.declares(name),
                    }
                };
                if !there {
                    lost.push(word.to_owned());
                }
            }
            lost
        }

        /// What is wrong with the promises of a document: each row has a number, the promise, the
        /// code that keeps it, the oracle and the tests; rows of other tables begin with a name.
        fn wrong_promises(&self, document: &str) -> Vec<String> {
            let gaps = document.split_once("\n## Gaps").map_or("", |(_, gaps)| gaps);
            let named = |number: &str| {
                gaps.split(|letter: char| !letter.is_alphanumeric()).any(|word| word == number)
            };
            let (mut wrong, mut last) = (Vec::new(), 0);
            for line in document.lines().filter(|line| line.starts_with("| ")) {
                let cells: Vec<&str> = line.trim_matches(['|', ' ']).split(" | ").collect();
                let number = cells[0].strip_prefix('G').and_then(|it| it.parse::<u32>().ok());
                let (Some(number), [head, _, code, oracle, tests]) = (number, cells.as_slice())
                else {
                    wrong.extend(self.lacks(cells[0]));
                    continue;
                };
                last += 1;
                if number != last {
                    wrong.push(format!("{head} stands where G{last} belongs"));
                }
                wrong.extend([code, oracle].into_iter().flat_map(|cell| self.lacks(cell)));
                let no_test = words(tests).filter(|word| !self.tests.contains(*word));
                wrong.extend(no_test.map(str::to_owned));
                if words(code).next().is_none() {
                    wrong.push(format!("{head} names no code"));
                }
                let bare = [oracle, tests].into_iter().any(|cell| words(cell).next().is_none());
                if bare && !named(head) {
                    wrong.push(format!("{head} lacks an oracle or a test and is no gap"));
                }
            }
            if last == 0 {
                wrong.push("no promise stands there".to_owned());
            }
            wrong
        }
    }

    /// What stands in backticks.
    fn words(text: &str) -> impl Iterator<Item = &str> {
        text.split('`').skip(1).step_by(2)
    }

    fn document(name: &str) -> String {
        std::fs::read_to_string(workspace().join("docs").join(name)).expect("text")
    }

    /// Words in backticks that can only be names of tests.
    fn named(document: &str) -> BTreeSet<String> {
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let names = words(document).filter(|it| it.contains('_') && it.bytes().all(word));
        names.map(str::to_owned).collect()
    }

    #[test]
    fn documents_and_tests_name_each_other() {
        let existing = Existing::read();
        let (rules, races) = (named(&document("rules.md")), named(&document("races.md")));
        let lost: Vec<_> = rules.union(&races).filter(|it| !existing.tests.contains(*it)).collect();
        assert!(lost.is_empty(), "no such tests: {lost:?}");
        let numbered = existing.tests.iter().filter(|name| name.starts_with("rule_"));
        let silent: Vec<_> = numbered.filter(|name| !rules.contains(*name)).collect();
        assert!(silent.is_empty(), "not in rules.md: {silent:?}");
        let guarantees = document("guarantees.md");
        let mut wrong = existing.wrong_promises(&guarantees);
        wrong.extend(named(&guarantees).into_iter().filter(|it| !existing.declares(it)));
        let files = words(&guarantees).filter(|it| it.ends_with(".rs") || it.ends_with(".jsonl"));
        wrong.extend(files.flat_map(|it| existing.lacks(&format!("`{it}`"))));
        let wrong: BTreeSet<_> = wrong.into_iter().collect();
        assert!(wrong.is_empty(), "guarantees.md: {wrong:?}");
    }

    #[test]
    fn a_promise_that_names_what_is_not_there_is_told() {
        let existing = Existing::read();
        let test = "`a_promise_that_names_what_is_not_there_is_told`";
        let told = |code: &str, oracle: &str, tests: &str, gaps: &str| {
            let row = format!("| G1 | a promise of `anything` | {code} | {oracle} | {tests} |");
            existing.wrong_promises(&format!("{row}\n\n## Gaps\n{gaps}\n"))
        };
        let code = "`xtask/src/test.rs`: `wrong_promises`";
        assert_eq!(told(code, "`lacks`", test, ""), Vec::<String>::new());
        assert_eq!(told(code, "none", test, "- G1: why"), Vec::<String>::new());
        let wrong = "G1 lacks an oracle or a test and is no gap";
        assert_eq!(told(code, "none", test, "- G11: why"), [wrong]);
        assert_eq!(told("`xtask/src/gone.rs`", "`lacks`", test, ""), ["xtask/src/gone.rs"]);
        assert_eq!(told("`xtask/src/main.rs`: `lacks`", "`lacks`", test, ""), ["lacks"]);
        assert_eq!(told(code, "`no_oracle`", test, ""), ["no_oracle"]);
        assert_eq!(told(code, "`lacks`", "`wrong_promises`", ""), ["wrong_promises"]);
        let second = existing.wrong_promises(&format!("| G2 | it | {code} | `lacks` | {test} |"));
        assert_eq!(second, ["G2 stands where G1 belongs"]);
    }
}
