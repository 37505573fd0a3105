//! `cargo xtask planted`: breaks each rule in turn and has the random histories find it.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;

use crate::process::{cargo, output, run, target, workspace};

/// Which bugs, and how long each is looked for.
#[derive(Debug, Args)]
pub struct PlantedBugs {
    /// Histories that may pass before a bug counts as not found.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub seeds_max: u64,
    /// These bugs alone; nothing is written then. Without it all of them, and docs/planted.md.
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
}

/// One bug, and what became of it.
struct Bug {
    name: String,
    rule: String,
    what: String,
    /// The first seed whose history saw it, and what that said.
    found: Option<(u64, String)>,
}

/// Looks for the bugs with the seeds from 1 on; fails if one is not found.
pub fn planted(options: &PlantedBugs) -> Result<(), Box<dyn Error>> {
    let mut build = cargo();
    build.args(["build", "--quiet", "--profile", "sim", "--package", "whimbrel-sim"]);
    run(build.args(["--features", "planted"]))?;
    let mut bugs = bugs()?;
    for name in &options.only {
        if !bugs.iter().any(|bug| bug.name == *name) {
            return Err(format!("{name} is no bug that can be planted").into());
        }
    }
    bugs.retain(|bug| options.only.is_empty() || options.only.contains(&bug.name));
    for bug in &mut bugs {
        bug.found = search(&bug.name, options.seeds_max)?;
        match &bug.found {
            Some((seed, said)) => println!("{:4} {}: seed {seed}: {said}", bug.rule, bug.name),
            None => println!("{:4} {}: NOT FOUND", bug.rule, bug.name),
        }
    }
    let found = bugs.iter().filter(|bug| bug.found.is_some()).count();
    if options.only.is_empty() {
        std::fs::write(workspace().join("docs/planted.md"), document(&bugs, found)?)?;
    }
    println!("{found} of {} found", bugs.len());
    if found == bugs.len() {
        return Ok(());
    }
    Err("what breaks a rule and is not found shows a hole in the random world or its oracles"
        .into())
}

fn simulator() -> PathBuf {
    target().join("sim/whimbrel-sim")
}

fn bugs() -> Result<Vec<Bug>, Box<dyn Error>> {
    let listed = output(Command::new(simulator()).arg("--planted-list"))?;
    let bug = |line: &str| {
        let mut fields = line.split('\t').map(str::to_owned);
        let (name, rule, what) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Bug { name, rule, what, found: None })
    };
    Ok(listed.lines().filter_map(bug).collect())
}

fn search(name: &str, seeds_max: u64) -> Result<Option<(u64, String)>, Box<dyn Error>> {
    let mut search = Command::new(simulator());
    search.args(["--planted", name, "--seeds", &seeds_max.to_string()]);
    let text = String::from_utf8(search.output()?.stdout)?;
    let last = text.lines().last().unwrap_or_default();
    let found = last.strip_prefix("found: ").and_then(|found| found.split_once('\t'));
    match found {
        Some((seed, said)) => Ok(Some((seed.parse()?, said.to_owned()))),
        None if last.starts_with("not found") => Ok(None),
        None => Err(format!("{name}: the simulator ended with {last:?}").into()),
    }
}

fn document(bugs: &[Bug], found: usize) -> Result<String, std::fmt::Error> {
    let mut text = String::from(
        "# Planted bugs\n\n\
         Written by `cargo xtask planted`, which breaks one rule at a time \
         (`crates/core/src/planted.rs`) and runs the random histories\n\
         from seed 1 on until one of them goes wrong. What that one said is cut after \
         100 characters.\n\n\
         | rule | bug | in place of what the rule asks for | seed | what it said |\n\
         |---|---|---|---|---|\n",
    );
    for Bug { name, rule, what, found } in bugs {
        let (seed, said) = match found {
            Some((seed, said)) => (seed.to_string(), said.as_str()),
            None => ("not found".to_owned(), ""),
        };
        let said: String = said.replace('|', "/").chars().take(100).collect();
        writeln!(text, "| {rule} | `{name}` | {what} | {seed} | {said} |")?;
    }
    writeln!(text, "\n{found} of {} found.", bugs.len())?;
    Ok(text)
}
