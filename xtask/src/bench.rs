//! `cargo xtask bench`: Whimbrel beside its peers, in turn, on the same work. What was measured is
//! appended to `docs/benchmarks.jsonl`; the report is written from that.

mod calls;
mod figures;
mod generator;
mod ground;
mod judge;
mod live;
pub mod measure;
mod picture;
mod report;
mod round;
mod subject;
mod tools;
mod tree;
mod workload;

use std::error::Error;
use std::fs;

use clap::Args;
use serde_json::{Value, json};
use whimbrel_testbed::install_strace;

use crate::acceptance::book::Book;
use crate::process::{again_optimised, refuse_unknown, workspace};
use crate::whimbrel::{Edition, Whimbrel};
use ground::Ground;
use round::{Course, Measured};
use subject::Callable;
use tools::Tools;
use workload::{WORKLOADS, Workload};

pub use generator::{Generator, run as generate};
pub use measure::{peak_bytes, process_seconds, rounded};

/// What to measure, and how often.
#[derive(Debug, Args)]
pub struct Bench {
    /// Only this one; may be given several times.
    #[arg(long, value_name = "WORKLOAD")]
    only: Vec<String>,
    /// Rounds; in each, everybody has a turn.
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Few and short files, to try it out: the figures mean little.
    #[arg(long)]
    small: bool,
    /// Only write the report from what was measured before.
    #[arg(long)]
    report: bool,
    /// This command, built elsewhere.
    #[arg(long, value_name = "FILE")]
    whimbrel: Option<std::path::PathBuf>,
}

/// Measures what was not measured yet of these sources; fails when a run of Whimbrel's was not right.
pub fn bench(options: &Bench) -> Result<(), Box<dyn Error>> {
    if again_optimised()? {
        return Ok(());
    }
    refuse_unknown(&options.only, WORKLOADS.iter().map(|workload| workload.name))?;
    let mut book = Book::at(workspace().join("docs/benchmarks.jsonl"))?;
    let mut failed = Vec::new();
    if !options.report {
        let edition = Edition { release: true, whimbrel: options.whimbrel.clone() };
        let whimbrel = Whimbrel::get(&edition)?.binary().to_owned();
        let callable = Callable { whimbrel, tools: Tools::install()? };
        install_strace()?;
        let named = |workload: &&Workload| {
            options.only.is_empty() || options.only.iter().any(|name| name == workload.name)
        };
        for workload in WORKLOADS.iter().filter(named) {
            let small = options.small;
            let call = json!({"workload": workload.name, "small": small, "pairs": options.pairs});
            if book.has_passed(&call) {
                eprintln!("{}: measured before", workload.name);
                continue;
            }
            let measured = measure(workload, options, &callable)?;
            if measured["passed"] != json!(true) {
                failed.push(workload.name);
            }
            book.append(&call, &measured)?;
            write_report(&book)?;
        }
    }
    write_report(&book)?;
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", ")).into()) }
}

fn measure(
    workload: &Workload,
    options: &Bench,
    callable: &Callable,
) -> Result<Value, Box<dyn Error>> {
    eprintln!("\n== {}", workload.title);
    let shape = if options.small { workload.small_shape } else { workload.shape };
    let ground = Ground::start(workload, shape)?;
    let (files, bytes) = (ground.manifest.contents.len(), ground.manifest.bytes());
    let (small, measured) = (options.small, Measured::default());
    let mut course = Course { workload, callable, ground, small, measured };
    course.run(options.pairs)?;
    let mut measured = course.measured.json();
    measured["files"] = json!(files);
    measured["bytes"] = json!(bytes);
    measured["machine"] = machine();
    let versions = callable.tools.versions()?;
    measured["versions"] = versions.into_iter().collect();
    Ok(measured)
}

/// What it was measured on.
pub fn machine() -> Value {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse().ok());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.split(['-', '+']).next().unwrap_or_default().trim();
    json!({"cores": cores, "memory_gib": memory.unwrap_or(0_u64) >> 20, "kernel": kernel})
}

fn write_report(book: &Book) -> Result<(), Box<dyn Error>> {
    let chosen = report::chosen(book.lines());
    let folder = workspace().join("docs");
    fs::write(folder.join("benchmarks.md"), report::text(&chosen))?;
    fs::write(folder.join("benchmarks.svg"), picture::draw(&chosen))?;
    Ok(())
}
