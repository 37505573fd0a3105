//! Churn: the target has to be equal soon after it ends, and whole at every moment.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use whimbrel_testbed::{ChurnOptions, CreateFiles, FileSizes};

use super::book::Book;
use super::equal::{QUIET_LIMIT, wait_until_equal};
use super::ground::{FINDINGS_KEPT, FOLDER, Ground, GroundPlan, conclude, demand, ending};
use crate::local_tree::{Changes, LocalTree, TreePlan};
use crate::whimbrel::Edition;

/// How soon after the last change the target has to be equal, or a commit to be seen.
const SECONDS_MAX: f64 = 10.0;
/// With `--pending-max`, which overloads it on purpose: it is coarsened so often at least, and may
/// be late.
const COARSENED_MIN: u64 = 100;
/// Names that HDFS allows: spaces in all places, what URLs and XML write otherwise, characters in
/// their two forms, one beyond the first plane, and what other tools append.
const ODD_NAMES: [&str; 13] = [
    "a b",
    " before",
    "after ",
    "a+b",
    "100%",
    "a%20b",
    "a&b<c>\"d'",
    "a?b=c#d",
    "N\u{e9}C",
    "Ne\u{301}C",
    "\u{1f426}",
    "part-0 #1",
    "part-0#1",
];

/// Which churn.
#[derive(Debug, Args)]
pub struct Churn {
    /// Decides the files and the changes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One after the other; those that this commit has passed already are left out.
    #[arg(long, value_name = "A..B", value_parser = parse_seeds, conflicts_with = "seed")]
    seeds: Option<(u64, u64)>,
    /// Files at the start, twenty to a directory.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    files: u64,
    /// How long it changes.
    #[arg(long, value_name = "N", default_value_t = 180)]
    seconds: u64,
    /// How often.
    #[arg(long, value_name = "N", default_value_t = 300.0)]
    operations_per_second: f64,
    /// Passed on to the migration.
    #[arg(long, value_name = "N")]
    pending_max: Option<u64>,
    /// HTTPS under a private authority, through a proxy.
    #[arg(long)]
    tls: bool,
    /// A local source.
    #[arg(long)]
    local: bool,
    /// A local source and a local target.
    #[arg(long)]
    local_to_local: bool,
    /// Not optimised: sooner built, and too slow for what is measured here.
    #[arg(long)]
    debug: bool,
    /// This command, built elsewhere.
    #[arg(long, value_name = "FILE", conflicts_with = "debug")]
    whimbrel: Option<PathBuf>,
}

/// Who changes the source.
enum Changer {
    Hdfs,
    Local(Changes),
}

/// Runs every seed; fails if one failed.
pub fn run(options: &Churn) -> Result<(), Box<dyn Error>> {
    let (first, last) = options.seeds.unwrap_or((options.seed, options.seed));
    let mut book = Book::open("churn")?;
    let mut failed = Vec::new();
    for seed in first..=last {
        let call = call(options, seed);
        if options.seeds.is_some() && book.has_passed(&call) {
            eprintln!("seed {seed} stands in the book already");
            continue;
        }
        let measured = measure(options, seed)?;
        book.add(&call, &measured)?;
        if measured["passed"] != json!(true) {
            failed.push(seed);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("seeds that failed: {failed:?}").into()) }
}

/// What makes two runs the same.
fn call(options: &Churn, seed: u64) -> Value {
    let systems = match (options.local_to_local, options.local, options.tls) {
        (true, _, _) => "local to local",
        (_, true, true) => "local to S3 by TLS",
        (_, true, false) => "local to S3",
        (_, false, true) => "HDFS to S3 by TLS",
        (_, false, false) => "HDFS to S3",
    };
    json!({
        "systems": systems,
        "seed": seed,
        "files": options.files,
        "seconds": options.seconds,
        "operations_per_second": options.operations_per_second,
        "pending_max": options.pending_max,
        "release": options.whimbrel.is_none().then_some(!options.debug),
    })
}

fn measure(options: &Churn, seed: u64) -> Result<Value, Box<dyn Error>> {
    let local_source = options.local || options.local_to_local;
    let ground = Ground::start(&GroundPlan {
        local_source,
        local_target: options.local_to_local,
        tls: options.tls,
        edition: Edition { release: !options.debug, whimbrel: options.whimbrel.clone() },
        ..GroundPlan::default()
    })?;
    let begun = Instant::now();
    let changer = begin(&ground, options, seed)?;
    let poll = match changer {
        Changer::Hdfs => Some(ground.checker()?.poll_commits(ground.target())?),
        Changer::Local(_) => None,
    };
    let pending_max = options.pending_max.map(|number| number.to_string());
    let mut more = vec!["--until-quiet", "10s"];
    more.extend(pending_max.iter().flat_map(|number| ["--pending-max", number]));
    let mut migration = ground.migrate(&more)?;
    migration.wait_for("progress", Duration::from_secs(60), |seen| !seen.progress.is_null())?;

    let (operations, changing_seconds) = end(&ground, changer, options, begun)?;
    let equal = wait_until_equal(&ground, !local_source)?;
    let (code, seen) = migration.finish(QUIET_LIMIT)?;
    let commits = poll.map(|poll| poll.finish()).transpose()?;
    let report = ground.compare()?;

    let mut measured = ending(code, &seen, &report);
    measured["operations"] = json!(operations);
    measured["changing_seconds"] = json!(changing_seconds);
    measured["seconds_to_equal"] = json!(equal.data_seconds);
    measured["seconds_to_equal_with_metadata"] = json!(equal.all_seconds);
    measured["lag_seconds_at_the_end_of_changes"] = json!(equal.lag_seconds);
    let overloaded = options.pending_max.is_some();
    if overloaded {
        let coarsened = measured["coarsened"].as_u64().unwrap_or_default();
        demand(&mut measured, coarsened >= COARSENED_MIN, "coarsened too seldom");
        let spilled = measured["spilled"].as_u64().unwrap_or_default();
        demand(&mut measured, spilled > 0, "nothing was spilled to disk");
    } else {
        demand(&mut measured, equal.data_seconds <= SECONDS_MAX, "equal too late");
    }
    if let Some(commits) = commits {
        demand(&mut measured, commits.equal, "a commit stood before its files");
        let latest = commits.summary["latest_after_files_seconds"].as_f64();
        let latest = latest.unwrap_or(f64::INFINITY);
        demand(&mut measured, overloaded || latest <= SECONDS_MAX, "a commit came too late");
        measured["commits"] = commits.summary;
        measured["commits"]["findings"] = json!(commits.findings);
    }
    if !local_source {
        let listed = ground.read_back()?;
        measured["s3a_differences"] = json!(listed.findings.len());
        measured["s3a_listed"] = listed.summary;
        let kept: Vec<&Value> = listed.findings.iter().take(FINDINGS_KEPT).collect();
        measured["s3a_findings"] = json!(kept);
        demand(&mut measured, listed.equal, "S3A lists something else");
    }
    if options.tls {
        measured["tunnels"] = json!(ground.tunnels());
        demand(&mut measured, ground.tunnels() > 0, "nothing went through the proxy");
    }
    conclude(ground, &seen, measured["passed"] == json!(true));
    Ok(measured)
}

/// Writes the files and begins to change them.
fn begin(ground: &Ground, options: &Churn, seed: u64) -> Result<Changer, Box<dyn Error>> {
    let directories = options.files.div_ceil(20);
    if options.local || options.local_to_local {
        let plan = TreePlan { files: options.files, directories, seed };
        let tree = LocalTree::create(ground.local_source(), plan)?;
        return Ok(Changer::Local(tree.change(options.operations_per_second)));
    }
    let hadoop = ground.hadoop()?;
    hadoop.create_files(&CreateFiles {
        directory: FOLDER.to_owned(),
        count: options.files,
        directories,
        sizes: FileSizes::YARDSTICK,
        seed,
    })?;
    hadoop.start_churn(&ChurnOptions {
        operations_per_second: options.operations_per_second,
        seconds: options.seconds,
        ..ChurnOptions::new(FOLDER, seed)
    })?;
    Ok(Changer::Hdfs)
}

/// Waits for the end of the changes; gives their counts and how long they went on.
fn end(
    ground: &Ground,
    changer: Changer,
    options: &Churn,
    begun: Instant,
) -> Result<(BTreeMap<String, u64>, f64), Box<dyn Error>> {
    match changer {
        Changer::Hdfs => {
            let done = ground.hadoop()?.wait_for_churn()?;
            if done.failed > 0 {
                eprintln!("operations that HDFS refused: {}", done.all["failures"]);
            }
            ground.hadoop()?.operations(&odd_names())?;
            Ok((serde_json::from_value(done.all["operations"].clone())?, done.seconds))
        }
        Changer::Local(changes) => {
            std::thread::sleep(
                Duration::from_secs(options.seconds).saturating_sub(begun.elapsed()),
            );
            let counts = changes.stop()?;
            let counts = counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
            Ok((counts, begun.elapsed().as_secs_f64()))
        }
    }
}

/// Changes that leave names behind which clients of S3 get wrong.
fn odd_names() -> Vec<Value> {
    let folder = format!("{FOLDER}/odd names");
    let files = ODD_NAMES.iter().enumerate().map(|(number, name)| {
        let path = format!("{folder}/{name}");
        json!({"operation": "create", "path": path, "bytes": number, "seed": number})
    });
    let directories = ODD_NAMES
        .iter()
        .map(|name| json!({"operation": "mkdirs", "path": format!("{folder}/empty/{name}")}));
    files.chain(directories).collect()
}

fn parse_seeds(text: &str) -> Result<(u64, u64), String> {
    let told = || "seeds have the form 1..10, both ends included".to_owned();
    let (first, last) = text.split_once("..").ok_or_else(told)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| told());
    Ok((number(first)?, number(last)?))
}
