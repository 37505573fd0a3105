//! `cargo xtask fuzz`: the targets of `crates/fuzz` under libFuzzer, which is guided by coverage.
//!
//! The instrumentation is LLVM's and switched on by flags of the stable compiler. What is missing
//! beside a nightly one is the address sanitizer; there is no unsafe code that it would look at.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use crate::acceptance::book::Book;
use crate::process::{cargo, output, run, target, workspace};

/// The variable by which the engine knows its target.
const VARIABLE: &str = "WHIMBREL_FUZZ_TARGET";
/// Counters for every edge between blocks, and what is compared with what.
const FLAGS: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];
const INPUT_BYTES_MAX: u64 = 4096;
const INPUT_SECONDS_MAX: u64 = 20;
const MEMORY_MEBIBYTES_MAX: u64 = 2048;
/// Committed inputs are short ones.
const KEPT_BYTES_MAX: u64 = 128;
/// So many at a time.
const KEPT_MAX: usize = 24;

/// For how long, and what.
#[derive(Debug, Args)]
pub struct Fuzz {
    /// How long altogether; the targets share it.
    #[arg(long, value_name = "N", default_value_t = 60)]
    minutes: u64,
    /// Only this target, a folder of crates/fuzz/corpus; may be repeated.
    #[arg(long = "target", value_name = "T")]
    targets: Vec<String>,
    /// Adds to the committed corpora the fewest short inputs that reach what only the kept ones do.
    #[arg(long)]
    keep: bool,
}

/// Where a target's inputs are.
struct Folders {
    /// In the repository.
    committed: PathBuf,
    /// All that ever reached something new: it is gone on from.
    kept: PathBuf,
    /// What failed.
    findings: PathBuf,
}

/// Runs the targets one after the other; what a target did is appended to
/// `docs/acceptance/fuzz.jsonl`. Fails if one of them found something.
pub fn fuzz(options: &Fuzz) -> Result<(), Box<dyn Error>> {
    let targets = targets(options)?;
    let engine = engine()?;
    let mut book = Book::open("fuzz")?;
    let seconds = (options.minutes * 60 / targets.len() as u64).max(10);
    let mut failed = Vec::new();
    for name in &targets {
        let folders = Folders::of(name)?;
        if options.keep {
            keep(&engine, name, &folders)?;
            continue;
        }
        let measured = one(&engine, name, &folders, seconds)?;
        if measured["passed"] == json!(false) {
            failed.push(name.as_str());
        }
        book.add(&json!({"fuzz": name, "seconds": seconds}), &measured)?;
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("found something: {}", failed.join(", ")).into()),
    }
}

fn targets(options: &Fuzz) -> Result<Vec<String>, Box<dyn Error>> {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(workspace().join("crates/fuzz/corpus"))? {
        all.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    if let Some(unknown) = options.targets.iter().find(|name| !all.contains(*name)) {
        return Err(format!("no target {unknown}; there are {all:?}").into());
    }
    match options.targets.is_empty() {
        true => Ok(all.into_iter().collect()),
        false => Ok(options.targets.clone()),
    }
}

/// Builds it with the instrumentation, beside other builds.
fn engine() -> Result<PathBuf, Box<dyn Error>> {
    let told = output(Command::new("rustc").arg("-vV"))?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or("rustc does not say what it compiles for")?;
    let folder = target().join("fuzz");
    let mut build = cargo();
    build.env("RUSTFLAGS", FLAGS.join(" "));
    build.args(["build", "--package", "whimbrel-fuzz", "--features", "engine", "--bin", "fuzz"]);
    // With a target that is named, the flags are not those of build scripts too.
    build.args(["--profile", "fuzz", "--target", host, "--target-dir"]).arg(&folder);
    run(&mut build)?;
    Ok(folder.join(host).join("fuzz/fuzz"))
}

fn one(
    engine: &Path,
    name: &str,
    folders: &Folders,
    seconds: u64,
) -> Result<Value, Box<dyn Error>> {
    let before = files(&folders.findings)?;
    let log = target().join("fuzz").join(format!("{name}.log"));
    let mut command = Command::new(engine);
    command.env(VARIABLE, name).args([&folders.kept, &folders.committed]);
    command.arg(format!("-artifact_prefix={}/", folders.findings.display()));
    command.arg(format!("-max_total_time={seconds}")).arg("-print_final_stats=1");
    command.arg(format!("-max_len={INPUT_BYTES_MAX}"));
    command.arg(format!("-timeout={INPUT_SECONDS_MAX}"));
    command.arg(format!("-rss_limit_mb={MEMORY_MEBIBYTES_MAX}"));
    command.stdout(Stdio::null()).stderr(File::create(&log)?);
    eprintln!("\n== {name}: {seconds} s, {}", log.display());
    let begun = Instant::now();
    let status = command.status()?;
    let told = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let mut findings = Vec::new();
    for path in files(&folders.findings)?.difference(&before) {
        findings.push(json!({"file": path.file_name().map(|name| name.to_string_lossy()),
            "bytes_hexadecimal": hexadecimal(&fs::read(path)?)}));
    }
    Ok(json!({
        "elapsed_seconds": begun.elapsed().as_secs(),
        "executions": number_after(&told, "stat::number_of_executed_units:"),
        "features": number_after(&told, " ft: "),
        "inputs": files(&folders.kept)?.len(),
        "passed": status.success() && findings.is_empty(),
        "findings": findings,
    }))
}

/// libFuzzer chooses the fewest inputs that reach all that is reached; the shortest of them stay.
fn keep(engine: &Path, name: &str, folders: &Folders) -> Result<(), Box<dyn Error>> {
    let chosen = tempfile::tempdir()?;
    let before = files(&folders.committed)?;
    for path in &before {
        fs::copy(path, chosen.path().join(path.file_name().unwrap_or_default()))?;
    }
    let mut command = Command::new(engine);
    // Places that are reached, not how often: fewer inputs by far.
    command.env(VARIABLE, name).args(["-set_cover_merge=1", "-use_counters=0", "-use_cmp=0"]);
    command.arg(format!("-max_len={KEPT_BYTES_MAX}")).arg(chosen.path());
    run(command.arg(&folders.kept).stderr(Stdio::null()))?;
    let mut new = Vec::new();
    for path in files(chosen.path())? {
        let to = folders.committed.join(path.file_name().unwrap_or_default());
        if !before.contains(&to) {
            new.push((fs::metadata(&path)?.len(), path, to));
        }
    }
    new.sort();
    for (_, from, to) in new.iter().take(KEPT_MAX) {
        fs::copy(from, to)?;
    }
    Ok(())
}

impl Folders {
    fn of(name: &str) -> Result<Self, Box<dyn Error>> {
        let fuzz = target().join("fuzz");
        let folders = Self {
            committed: workspace().join("crates/fuzz/corpus").join(name),
            kept: fuzz.join("corpus").join(name),
            findings: fuzz.join("findings").join(name),
        };
        fs::create_dir_all(&folders.kept)?;
        fs::create_dir_all(&folders.findings)?;
        Ok(folders)
    }
}

fn files(folder: &Path) -> Result<BTreeSet<PathBuf>, Box<dyn Error>> {
    let paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    paths.collect::<Result<_, std::io::Error>>().map_err(Into::into)
}

/// The last number behind a word of the engine's report.
fn number_after(told: &str, word: &str) -> Option<u64> {
    let rest = told.rsplit_once(word)?.1.trim_start();
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_report_is_read() {
        let told = "#8 NEW cov: 1 ft: 30 corp: 2\n#9 DONE cov: 2 ft: 41 corp: 3/9b\n\
                    stat::number_of_executed_units: 464831\n";
        assert_eq!(number_after(told, " ft: "), Some(41));
        assert_eq!(number_after(told, "stat::number_of_executed_units:"), Some(464_831));
        assert_eq!(number_after(told, "stat::peak_rss_mb:"), None);
        assert_eq!(hexadecimal(&[0, 0x7f, 0xff]), "007fff");
    }
}
