//! How a NameNode is followed that works as fast as it can.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use super::ground::{Follower, Ground};
use super::measure::{LAG_SECONDS_MAX, SAMPLE_EVERY, quantile};
use super::program::PART;
use crate::bench::{peak_bytes, process_seconds, rounded};

/// Clients that change the NameNode at the same time.
const THREADS: u64 = 8;
/// Files by which the rate is found out.
const FILES_FIRST: u64 = 4_000;
/// Events in one answer, where that was raised.
const ANSWER_EVENTS: usize = 20_000;
const FILES_PER_DIRECTORY: u64 = 500;

/// What was done to the NameNode.
struct Load {
    files: u64,
    transactions: u64,
    seconds: f64,
    /// Worked by the process of the NameNode, which is that of its clients too.
    processor_seconds: f64,
}

/// With the answers that a NameNode gives by default.
pub fn cluster(ground: &Ground, seconds: u64) -> Result<Value, Box<dyn Error>> {
    at_full_rate(ground, seconds)
}

/// With answers as large as the operator's guide asks for.
pub fn large_answers(ground: &Ground, seconds: u64) -> Result<Value, Box<dyn Error>> {
    at_full_rate(&ground.with_answers_of(ANSWER_EVENTS)?, seconds)
}

/// The same load with nobody following, and followed: beside the migrated directory and inside it.
fn at_full_rate(ground: &Ground, seconds: u64) -> Result<Value, Box<dyn Error>> {
    let first = load(ground, "/record/rest/first", FILES_FIRST)?;
    let files = (first.files as f64 / first.seconds * seconds as f64) as u64;
    let alone = load(ground, "/record/rest/alone", files)?;
    let mut found = json!({"goal": "lag p99 under 2 s at the NameNode's own highest rate"});
    let mut passed = true;
    for (name, directory) in [("beside", "/record/rest/load"), ("inside", "/record/part/load")] {
        let follower = ground.follow(ground.namenode()?, PART, &[])?;
        let line = followed(ground, follower, directory, &alone)?;
        passed &= line["lag_p99_seconds"].as_f64() < Some(LAG_SECONDS_MAX);
        found[name] = line;
    }
    found["alone"] = described(&alone);
    found["passed"] = json!(passed);
    Ok(found)
}

fn followed(
    ground: &Ground,
    follower: Follower,
    directory: &str,
    alone: &Load,
) -> Result<Value, Box<dyn Error>> {
    let process = follower.migration.id();
    let worked = process_seconds(&process.to_string());
    let calls = ground.hadoop.stats()?.calls("getEditsFromTxid");
    let stop = AtomicBool::new(false);
    let (loaded, mut lags) = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| sample(&follower, &stop));
        let loaded = load(ground, directory, alone.files);
        stop.store(true, Ordering::Relaxed);
        (loaded, sampler.join().unwrap_or_default())
    });
    let loaded = loaded?;
    let calls = ground.hadoop.stats()?.calls("getEditsFromTxid") - calls;
    let more = loaded.processor_seconds - alone.processor_seconds;
    let mut line = described(&loaded);
    line["looks"] = json!(calls);
    line["lag_median_seconds"] = json!(quantile(&mut lags, 50));
    line["lag_p99_seconds"] = json!(quantile(&mut lags, 99));
    line["added_to_the_cluster_percent"] = json!(rounded(100.0 * more / alone.processor_seconds));
    line["processor_seconds"] = json!(rounded(process_seconds(&process.to_string()) - worked));
    line["peak_bytes"] = json!(peak_bytes(process));
    follower.migration.stop()?;
    Ok(line)
}

fn sample(follower: &Follower, stop: &AtomicBool) -> Vec<f64> {
    let mut lags = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let status = follower.status().unwrap_or_default();
        lags.extend(status["lag_seconds"].as_f64());
        std::thread::sleep(SAMPLE_EVERY);
    }
    lags
}

/// Makes empty files: each is created and closed.
fn load(ground: &Ground, directory: &str, files: u64) -> Result<Load, Box<dyn Error>> {
    let first = ground.newest_txid()?;
    let worked = ground.hadoop.processor_seconds();
    let begin = Instant::now();
    ground.hadoop.command(&json!({
        "command": "create_files", "directory": directory, "count": files, "bytes": 0,
        "directories": files.div_ceil(FILES_PER_DIRECTORY), "seed": 1, "threads": THREADS,
    }))?;
    Ok(Load {
        files,
        seconds: begin.elapsed().as_secs_f64(),
        processor_seconds: ground.hadoop.processor_seconds() - worked,
        transactions: ground.newest_txid()? - first,
    })
}

fn described(load: &Load) -> Value {
    let Load { files, transactions, seconds, processor_seconds } = load;
    json!({
        "files": files,
        "load_seconds": rounded(*seconds),
        // Two for each file: it is made, and closed.
        "events_per_second": (2.0 * *files as f64 / seconds).round(),
        "transactions_per_second": (*transactions as f64 / seconds).round(),
        "cluster_processor_seconds": rounded(*processor_seconds),
    })
}
