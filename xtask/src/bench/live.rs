//! A live migration beside peers that look at everything again, and how it follows events.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fastrand::Rng;
use serde_json::{Value, json};
use whimbrel_testbed::{S3Endpoint, Sunk};

use super::figures::Spread;
use super::ground::{FOLDER, Ground};
use super::measure::{TICK_SECONDS, Usage, machine_seconds, peak_bytes, process_seconds, rounded};
use super::subject::{Callable, From, PREFIX};
use super::tree::Manifest;
use crate::whimbrel::{Edition, Migration, Whimbrel};

const NAME: &str = "bench";
/// How long it may take until it is equal.
const LIMIT: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const SAMPLE_EVERY: Duration = Duration::from_millis(200);

/// A `whimbrel migrate --live` that runs.
#[derive(Debug)]
pub struct Follower {
    whimbrel: Whimbrel,
    migration: Migration,
    state: String,
}

/// What had been worked at a moment.
struct Mark {
    at: Instant,
    own: f64,
    servers: f64,
    machine: f64,
}

impl Follower {
    /// Starts it on an empty state and waits until everything is there.
    pub fn start(
        callable: &Callable,
        ground: &Ground,
        endpoint: &S3Endpoint,
        bucket: &str,
    ) -> Result<Self, Box<dyn Error>> {
        let From::Hdfs(hadoop, _) = ground.from() else {
            return Err("only HDFS tells what happened".into());
        };
        let edition = Edition { whimbrel: Some(callable.whimbrel.clone()), ..Edition::default() };
        let configuration = hadoop.configuration_directory().display().to_string();
        let whimbrel = Whimbrel::get(&edition)?.with(endpoint.environment()).with([
            ("HADOOP_CONF_DIR", configuration),
            ("HADOOP_USER_NAME", hadoop.superuser().to_owned()),
        ]);
        let state = ground.folder.path().join("state").display().to_string();
        let source = format!("{}{FOLDER}", hadoop.url());
        let target = format!("s3://{bucket}/{}", PREFIX.trim_end_matches('/'));
        let arguments = [&source, &target, "--live", "--name", NAME, "--state", &state];
        let mut migration = whimbrel.migrate(&arguments.map(str::to_owned))?;
        migration.wait_for("its scan", LIMIT, |seen| seen.progress["scanned"] == json!(true))?;
        let follower = Self { whimbrel, migration, state };
        follower.wait_until_equal(0)?;
        Ok(follower)
    }

    /// As one can read it.
    pub fn shown() -> &'static str {
        "HADOOP_USER_NAME=hdfs whimbrel migrate hdfs://NAMENODE/data s3://BUCKET/data --live \
         --name bench --state WORK/state --json"
    }

    /// Waits until everything up to that transaction is on the target.
    pub fn wait_until_equal(&self, txid: u64) -> Result<(), Box<dyn Error>> {
        let begin = Instant::now();
        loop {
            let status = self.whimbrel.status(NAME, &self.state)?;
            let number = |name: &str| status[name].as_u64().unwrap_or_default();
            let idle = ["pending_live", "pending_backlog", "pending_metadata", "claims", "copies"];
            let idle = idle.iter().chain(&["passes"]).all(|name| number(name) == 0);
            if idle && status["scanned"] == json!(true) && number("applied_txid") >= txid {
                return Ok(());
            }
            if begin.elapsed() > LIMIT || status["running"] != json!(true) {
                return Err(format!("not equal after {:?}: {status}", begin.elapsed()).into());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Ends it in good order.
    pub fn stop(self) -> Result<(), Box<dyn Error>> {
        self.migration.stop().map(drop)
    }

    fn mark(&self, ground: &Ground) -> Result<Mark, Box<dyn Error>> {
        Ok(Mark {
            at: Instant::now(),
            own: process_seconds(&self.migration.id().to_string()),
            servers: ground.server_seconds(),
            machine: machine_seconds()?,
        })
    }

    /// What was worked since then.
    fn usage_since(&self, before: &Mark, ground: &Ground) -> Result<Usage, Box<dyn Error>> {
        let now = self.mark(ground)?;
        let servers = now.servers - before.servers;
        // A few changes cost less than what can be told apart.
        let own = (now.own - before.own).max(TICK_SECONDS);
        Ok(Usage {
            wall_seconds: (now.at - before.at).as_secs_f64(),
            processor_seconds: own,
            peak_bytes: peak_bytes(self.migration.id()),
            server_seconds: servers,
            other_seconds: (now.machine - before.machine - own - servers).max(0.0),
        })
    }

    /// Samples how far behind it is until it is told to stop.
    fn sample(&self, stop: &AtomicBool) -> Vec<f64> {
        let mut lags = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let status = self.whimbrel.status(NAME, &self.state).unwrap_or_default();
            lags.extend(status["lag_seconds"].as_f64());
            std::thread::sleep(SAMPLE_EVERY);
        }
        lags
    }
}

/// Writes other bytes of the same length into every n-th file on HDFS.
pub fn change_hdfs(ground: &mut Ground, first: usize, every: usize) -> Result<(), Box<dyn Error>> {
    let mut rng = Rng::with_seed(first as u64);
    let (mut operations, mut changed) = (Vec::new(), Vec::new());
    for (path, file) in ground.manifest.contents.iter().skip(first).step_by(every) {
        let mut content = vec![0; usize::try_from(file.bytes)?];
        rng.fill(&mut content);
        let sunk = Sunk { bytes: file.bytes, crc32c: crc32c::crc32c(&content) };
        operations.push(json!({
            "operation": "create", "path": format!("{FOLDER}/{path}"),
            "base64": STANDARD.encode(&content),
        }));
        changed.push((path.clone(), sunk));
    }
    ground.hadoop()?.operations(&operations)?;
    ground.manifest.contents.extend(changed);
    Ok(())
}

/// From the last of a few changes until all of them are on the target.
pub fn follow_changes(
    follower: &Follower,
    ground: &mut Ground,
    round: usize,
    every: usize,
) -> Result<Usage, Box<dyn Error>> {
    let before = follower.mark(ground)?;
    change_hdfs(ground, round, every)?;
    let changed = Instant::now();
    follower.wait_until_equal(newest(ground)?)?;
    // It works while the changes are made; the time counts from the last of them.
    let wall_seconds = changed.elapsed().as_secs_f64();
    Ok(Usage { wall_seconds, ..follower.usage_since(&before, ground)? })
}

/// Files made as fast as the cluster can, in the source or beside it, and followed.
pub fn follow_events(
    follower: &Follower,
    ground: &mut Ground,
    (inside, round): (bool, usize),
    files: u64,
) -> Result<Value, Box<dyn Error>> {
    let below = format!("new-{round}");
    let directory = if inside { format!("{FOLDER}/{below}") } else { format!("/else-{round}") };
    let list = ground.folder.path().join("manifest");
    let load = json!({
        "command": "create_files", "directory": directory, "count": files,
        "directories": (files / 50).max(2), "bytes": 1, "seed": round, "manifest": list,
    });
    let first = newest(ground)?;
    let before = follower.mark(ground)?;
    let stop = AtomicBool::new(false);
    let lags = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| follower.sample(&stop));
        let done = ground.hadoop().and_then(|hadoop| Ok(hadoop.command(&load)?));
        let load_seconds = before.at.elapsed().as_secs_f64();
        let last = done.and_then(|_| newest(ground));
        let equal = last.and_then(|last| follower.wait_until_equal(last).map(|()| last));
        stop.store(true, Ordering::Relaxed);
        let lags = sampler.join().unwrap_or_default();
        equal.map(|last| (lags, load_seconds, last))
    });
    let (mut lags, load_seconds, last) = lags?;
    let usage = follower.usage_since(&before, ground)?;
    if inside {
        let mut more = Manifest::default();
        more.read(&list, &format!("{below}/"))?;
        ground.manifest.contents.extend(more.contents);
    }
    lags.sort_by(f64::total_cmp);
    let late = lags.get(lags.len().saturating_mul(99) / 100).or(lags.last()).copied();
    let mut line = usage.json();
    line["transactions"] = json!(last - first);
    line["load_seconds"] = json!(rounded(load_seconds));
    line["behind_seconds"] = json!(rounded(usage.wall_seconds - load_seconds));
    line["lag_median_seconds"] = json!(Spread::of(lags).map(|lags| rounded(lags.median)));
    line["lag_p99_seconds"] = json!(late.map(rounded));
    Ok(line)
}

/// The cluster's newest transaction.
fn newest(ground: &Ground) -> Result<u64, Box<dyn Error>> {
    let answer = ground.hadoop()?.command(&json!({"command": "roll_edits"}))?;
    answer["txid"].as_u64().ok_or_else(|| "roll_edits gave no transaction".into())
}
