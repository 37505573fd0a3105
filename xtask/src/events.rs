//! `cargo xtask events`: how fast the stream of changes is followed, with the edits of a real
//! NameNode. What was measured is appended to `docs/events.jsonl`; `docs/events.md` is written
//! from that.

mod cluster;
mod ground;
mod measure;
mod program;
mod report;

use std::error::Error;
use std::fs;

use clap::Args;
use serde_json::{Value, json};

use crate::acceptance::book::Book;
use crate::bench::machine;
use crate::process::{again_optimised, refuse_unknown, workspace};
use crate::whimbrel::{Edition, Whimbrel};
use ground::Ground;

/// What to measure, and for how long.
#[derive(Debug, Args)]
pub struct Events {
    /// Only this one; may be given several times.
    #[arg(long, value_name = "WORKLOAD")]
    only: Vec<String>,
    /// How long each stream goes on.
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    /// Changes that the NameNode is recorded with.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    operations: usize,
    /// This command, built elsewhere.
    #[arg(long, value_name = "FILE")]
    whimbrel: Option<std::path::PathBuf>,
}

type Measure = fn(&Ground, u64) -> Result<Value, Box<dyn Error>>;

/// What is measured, by its name.
const WORKLOADS: [(&str, Measure); 7] = [
    ("record", |ground, _| Ok(ground.recorded.clone())),
    ("decode", measure::decode),
    ("sustained", measure::sustained),
    ("at-once", measure::at_once),
    ("lag", measure::lag),
    ("cluster", cluster::cluster),
    ("cluster-large-answers", cluster::large_answers),
];

/// Measures, and fails where a goal was missed.
pub fn events(options: &Events) -> Result<(), Box<dyn Error>> {
    if again_optimised()? {
        return Ok(());
    }
    refuse_unknown(&options.only, WORKLOADS.iter().map(|(name, _)| *name))?;
    let mut book = Book::at(workspace().join("docs/events.jsonl"))?;
    let edition = Edition { release: true, whimbrel: options.whimbrel.clone() };
    let ground = Ground::start(Whimbrel::get(&edition)?, options.operations)?;
    let mut missed = Vec::new();
    for (name, measure) in WORKLOADS {
        if !options.only.is_empty() && !options.only.iter().any(|only| only == name) {
            continue;
        }
        eprintln!("\n== {name}");
        let mut found = measure(&ground, options.seconds)?;
        found["machine"] = machine();
        if found["passed"] == json!(false) {
            missed.push(name);
        }
        let (seconds, operations) = (options.seconds, options.operations);
        let call = json!({"workload": name, "seconds": seconds, "operations": operations});
        book.add(&call, &found)?;
        fs::write(workspace().join("docs/events.md"), report::text(book.lines()))?;
    }
    if missed.is_empty() { Ok(()) } else { Err(format!("missed: {}", missed.join(", ")).into()) }
}
