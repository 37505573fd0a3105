//! Local trees of millions of files.

use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use whimbrel_testbed::{NullSink, S3Server};

use super::forest::Forest;
use super::{Findings, command};
use crate::bench::measure::{Usage, own_seconds, peak_bytes};
use crate::process::run;
use crate::whimbrel::{Edition, Whimbrel};

pub const ABOUT_TREE: &str = "1,000 files in a directory, and a tenth of all in one more; one in \
    a hundred has a few bytes, the others are empty. The sink keeps no bytes, but the names of \
    all objects, in this chore's process. The second call begins with the state of the first and \
    finds nothing changed.";
pub const ABOUT_DIRECTORY: &str = "All files in one directory; else as the tree.";

const BUCKET: &str = "scale";

/// A tree with a large directory in it.
pub fn tree(files: u64) -> Result<Findings, Box<dyn Error>> {
    measure(files, files / 10)
}

/// One directory.
pub fn directory(files: u64) -> Result<Findings, Box<dyn Error>> {
    measure(files, files)
}

fn measure(files: u64, large: u64) -> Result<Findings, Box<dyn Error>> {
    let mut findings = Findings::of(files);
    let edition = Edition { release: true, whimbrel: None };
    let whimbrel = Whimbrel::get(&edition)?.binary().to_owned();
    let folder = tempfile::Builder::new().prefix("whimbrel-scale-").tempdir()?;
    eprintln!("making {files} files");
    let forest = Forest::make(folder.path().join("source"), files, large)?;
    run(&mut std::process::Command::new("sync"))?;
    let sink = NullSink::start()?;
    sink.create_bucket(BUCKET)?;
    let (state, log) = (folder.path().join("state"), folder.path().join("log"));
    let places = [(forest.root(), "SOURCE"), (&state, "STATE"), (&whimbrel, "whimbrel")];
    let mut call = |step: &str| -> Result<Usage, Box<dyn Error>> {
        let mut command = command(&whimbrel);
        command.arg("migrate").arg(forest.root()).arg(format!("s3://{BUCKET}/data"));
        command.args(["--name", "scale", "--json", "--state"]).arg(&state);
        command.envs(sink.endpoint().environment()).env("AWS_EC2_METADATA_DISABLED", "true");
        let before = own_seconds();
        let (usage, said) = findings.run(step, &mut command, &places, &log)?;
        judge(&said, &sink, files)?;
        findings.note(step, "files a second", files as f64 / usage.wall_seconds, "");
        let milliseconds = usage.processor_seconds * 1e3 / files as f64;
        findings.note(step, "processor time of a file", milliseconds, "ms");
        findings.note(step, "processor time of the sink", own_seconds() - before, "s");
        findings.goal_of_memory(step, &usage);
        Ok(usage)
    };
    call("first call")?;
    let state_bytes = size(&state)?;
    call("second call, nothing changed")?;
    let step = "state after the first call";
    findings.note(step, "size", state_bytes as f64 / f64::from(1 << 20), "MiB");
    findings.note(step, "size of a file's share", state_bytes as f64 / files as f64, "bytes");
    let sink_peak = peak_bytes(std::process::id());
    findings.note("the sink", "peak memory", super::mebibytes(sink_peak), "MiB");
    Ok(findings)
}

/// Fails unless it ended with both sides equal, and every file stands there.
fn judge(said: &str, sink: &NullSink, files: u64) -> Result<(), Box<dyn Error>> {
    let last = said.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok());
    let result = last.ok_or("it told no result")?;
    let stand = sink.files(BUCKET) as u64;
    if result["type"] != json!("result") || result["outcome"] != json!("equal") || stand != files {
        return Err(format!("{stand} of {files} files stand there: {result}").into());
    }
    Ok(())
}

/// Bytes of all files directly in a folder.
pub fn size(folder: &Path) -> Result<u64, Box<dyn Error>> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}
