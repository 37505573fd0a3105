//! `cargo xtask scale`: what very many files, rows and inodes cost. What was found at full size is
//! appended to `docs/scale.jsonl`; `docs/scale.md` is written from that.

mod forest;
mod image;
mod report;
mod room;
mod rows;
mod tree;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::acceptance::book::Book;
use crate::bench::machine;
use crate::bench::measure::{Usage, own_seconds, rounded, run_within};
use crate::process::{again_optimised, cargo, refuse_unknown, run, workspace};

/// No step takes so long.
const LIMIT: Duration = Duration::from_secs(8 * 3600);
/// What everything has to stay below.
const PEAK_BYTES_MAX: u64 = 512 << 20;

/// What to measure, and how much of it.
#[derive(Debug, Args)]
pub struct Scale {
    /// Only this one; may be given several times.
    #[arg(long, value_name = "WORKLOAD")]
    only: Vec<String>,
    /// Less of everything, to try it out: the figures are printed, and not kept.
    #[arg(long, value_name = "PERCENT", default_value_t = 100,
        value_parser = clap::value_parser!(u64).range(1..=100))]
    share: u64,
    /// Only write the report from what was measured before.
    #[arg(long)]
    report: bool,
}

/// One thing that is large.
struct Workload {
    name: &'static str,
    title: &'static str,
    /// How it is measured.
    about: &'static str,
    /// How many there are of what it is about.
    size: u64,
    measure: fn(u64) -> Result<Findings, Box<dyn Error>>,
}

/// What was found, in the order in which it is told.
#[derive(Debug, Default)]
struct Findings {
    /// How many there were, where the disk had no room for all.
    size: u64,
    calls: Vec<String>,
    figures: Vec<Value>,
    goals: Vec<Value>,
}

const WORKLOADS: [Workload; 4] = [
    Workload {
        name: "tree",
        title: "A local tree of 10,000,000 files to a null sink",
        about: tree::ABOUT_TREE,
        size: 10_000_000,
        measure: tree::tree,
    },
    Workload {
        name: "directory",
        title: "One local directory with 10,000,000 files to a null sink",
        about: tree::ABOUT_DIRECTORY,
        size: 10_000_000,
        measure: tree::directory,
    },
    Workload {
        name: "rows",
        title: "The state with 100,000,000 rows",
        about: rows::ABOUT,
        size: 100_000_000,
        measure: rows::rows,
    },
    Workload {
        name: "image",
        title: "An fsimage of 43,000,000 inodes",
        about: image::ABOUT,
        size: 43_000_000,
        measure: image::image,
    },
];

/// Measures what was not measured yet of these sources; fails when something went wrong, and not
/// when a goal is missed, which is told.
pub fn scale(options: &Scale) -> Result<(), Box<dyn Error>> {
    if again_optimised()? {
        return Ok(());
    }
    refuse_unknown(&options.only, WORKLOADS.iter().map(|workload| workload.name))?;
    let mut book = Book::at(workspace().join("docs/scale.jsonl"))?;
    let named = |workload: &&Workload| {
        options.only.is_empty() || options.only.iter().any(|name| name == workload.name)
    };
    for workload in WORKLOADS.iter().filter(named).filter(|_| !options.report) {
        let call = json!({"workload": workload.name, "size": workload.size});
        if options.share == 100 && book.has_passed(&call) {
            eprintln!("{}: measured before", workload.name);
            continue;
        }
        eprintln!("\n== {}: {} %", workload.title, options.share);
        let size = workload.size * options.share / 100;
        let measured = (workload.measure)(size)?.json();
        print!("{}", report::section(workload, &measured));
        if options.share == 100 {
            book.append(&call, &measured)?;
            write_report(&book)?;
        }
    }
    if options.report { write_report(&book) } else { Ok(()) }
}

fn write_report(book: &Book) -> Result<(), Box<dyn Error>> {
    Ok(fs::write(workspace().join("docs/scale.md"), report::text(book.lines()))?)
}

impl Findings {
    fn of(size: u64) -> Self {
        Self { size, ..Self::default() }
    }

    /// Runs a command in which `places` stand for what differs between machines, and notes what it
    /// cost; `what` says when. Gives what it said, too.
    fn run(
        &mut self,
        what: &str,
        command: &mut Command,
        places: &[(&Path, &str)],
        log: &Path,
    ) -> Result<(Usage, String), Box<dyn Error>> {
        self.calls.push(shown(command, places));
        eprintln!("{what}: {}", self.calls.last().map(String::as_str).unwrap_or_default());
        let usage = run_within(LIMIT, command, log, &own_seconds)?;
        self.note(what, "seconds", usage.wall_seconds, "s");
        self.note(what, "processor time", usage.processor_seconds, "s");
        self.note(what, "the rest of the machine", usage.other_seconds, "s");
        self.note(what, "peak memory", mebibytes(usage.peak_bytes), "MiB");
        Ok((usage, fs::read_to_string(log)?))
    }

    fn note(&mut self, step: &str, what: &str, value: f64, unit: &str) {
        let value = rounded(value);
        self.figures.push(json!({"step": step, "what": what, "value": value, "unit": unit}));
    }

    fn goal(&mut self, what: &str, wanted: &str, found: String, met: bool) {
        self.goals.push(json!({"what": what, "wanted": wanted, "found": found, "met": met}));
    }

    /// Memory is flat: a bound whatever the size.
    fn goal_of_memory(&mut self, step: &str, usage: &Usage) {
        let found = format!("{:.0} MiB", mebibytes(usage.peak_bytes));
        let met = usage.peak_bytes < PEAK_BYTES_MAX;
        self.goal(&format!("{step}: peak memory"), "less than 512 MiB", found, met);
    }

    fn json(self) -> Value {
        json!({
            "passed": true,
            "size": self.size,
            "calls": self.calls,
            "figures": self.figures,
            "goals": self.goals,
            "machine": machine(),
        })
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The call as one can read it: without what differs from machine to machine.
fn shown(command: &Command, places: &[(&Path, &str)]) -> String {
    // The first two arguments are those of what ends the process with this one.
    let words = command.get_args().skip(2).map(|word| {
        let word = word.to_string_lossy().into_owned();
        places
            .iter()
            .fold(word, |word, (place, name)| word.replace(&*place.to_string_lossy(), name))
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A command that ends with this process.
fn command(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

/// Builds an example of a package; gives its program.
fn example(package: &str, name: &str) -> Result<std::path::PathBuf, Box<dyn Error>> {
    let mut build = cargo();
    build.args(["build", "--quiet", "--release", "--package", package, "--example", name]);
    run(&mut build)?;
    let program = crate::process::target().join("release/examples").join(name);
    Ok(std::path::absolute(program)?)
}

/// The lines `NAME NUMBER` that a program has said.
fn numbers(said: &str) -> impl Iterator<Item = (&str, f64)> {
    said.lines().filter_map(|line| {
        let (name, number) = line.split_once(' ')?;
        Some((name, number.parse().ok()?))
    })
}
