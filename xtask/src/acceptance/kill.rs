//! SIGKILL at random moments: nothing is lost, and only what was in flight is copied twice.

use std::error::Error;
use std::time::{Duration, Instant};

use clap::Args;
use fastrand::Rng;
use serde_json::{Value, json};
use whimbrel_testbed::{ChurnOptions, CreateFiles, FileSizes};

use super::book::Book;
use super::ground::{FOLDER, Ground, GroundPlan, conclude, demand, ending};
use crate::whimbrel::Edition;

/// One block each, so that a block read is a file copied.
const FILE_BYTES: u64 = 20_000;
/// Files in flight at a time.
const TRANSFERS: u64 = 16;
/// How long a run lives, in milliseconds: from before its first request to well into its work.
const LIFE_MILLISECONDS: std::ops::Range<u64> = 100..4_000;
const QUIET_LIMIT: Duration = Duration::from_secs(1800);

/// How often, and what is migrated meanwhile.
#[derive(Debug, Args)]
pub struct Kill {
    /// How often in all, in batches: every other over a tree that stands still, the rest under
    /// churn. Batches that this commit has passed already are left out.
    #[arg(long, value_name = "N", default_value_t = 50)]
    times: u64,
    /// How often in a batch; each run is killed soon and started again at once, and only the last
    /// of a batch has to come to its end.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    batch: u64,
    /// Decides the files, the changes and the moments of the first batch; the next take the next.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Files at the start of each batch.
    #[arg(long, value_name = "N", default_value_t = 5000)]
    files: u64,
    /// How often they change where they do.
    #[arg(long, value_name = "N", default_value_t = 100.0)]
    operations_per_second: f64,
    #[command(flatten)]
    edition: Edition,
}

/// Kills on a cluster of their own.
struct Batch {
    seed: u64,
    times: u64,
    under_churn: bool,
}

/// Measures every batch; fails if one did not hold.
pub fn run(options: &Kill) -> Result<(), Box<dyn Error>> {
    let mut book = Book::open("kill")?;
    let mut failed = Vec::new();
    for number in 0..options.times.div_ceil(options.batch) {
        let batch = Batch {
            seed: options.seed + number,
            times: options.batch.min(options.times - number * options.batch),
            under_churn: number % 2 == 1,
        };
        let call = json!({
            "seed": batch.seed,
            "times": batch.times,
            "under_churn": batch.under_churn,
            "files": options.files,
            "operations_per_second": options.operations_per_second,
            "release": options.edition.release,
        });
        if book.has_passed(&call) {
            eprintln!("batch {} stands in the book already", batch.seed);
            continue;
        }
        let measured = measure(options, &batch)?;
        book.add(&call, &measured)?;
        if measured["passed"] != json!(true) {
            failed.push(batch.seed);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("batches that failed: {failed:?}").into()) }
}

fn measure(options: &Kill, batch: &Batch) -> Result<Value, Box<dyn Error>> {
    let ground =
        Ground::start(&GroundPlan { edition: options.edition.clone(), ..GroundPlan::default() })?;
    let hadoop = ground.hadoop()?;
    let mut rng = Rng::with_seed(batch.seed);
    hadoop.create_files(&CreateFiles {
        directory: FOLDER.to_owned(),
        count: options.files,
        directories: options.files.div_ceil(20),
        sizes: FileSizes::Fixed(FILE_BYTES),
        seed: batch.seed,
    })?;
    let blocks_before = hadoop.stats()?.blocks_read;
    let bandwidth = bandwidth(options.files, batch.times);
    let transfers = TRANSFERS.to_string();
    let fixed = ["--transfers", transfers.as_str()];
    let slow: Vec<&str> = fixed.iter().copied().chain(["--bandwidth", &bandwidth]).collect();
    if batch.under_churn {
        hadoop.start_churn(&ChurnOptions {
            operations_per_second: options.operations_per_second,
            seconds: 24 * 3600,
            ..ChurnOptions::new(FOLDER, batch.seed)
        })?;
    }
    let in_flight = kill(&ground, &slow, batch.times, &mut rng)?;
    let operations = if batch.under_churn {
        hadoop.stop_churn()?;
        hadoop.wait_for_churn()?.all["operations"].clone()
    } else {
        Value::Null
    };

    let begin = Instant::now();
    let quick: Vec<&str> = fixed.iter().copied().chain(["--until-quiet", "3s"]).collect();
    let (code, seen) = ground.migrate(&quick)?.finish(QUIET_LIMIT)?;
    let seconds_to_equal = begin.elapsed().as_secs_f64();
    let blocks_read = hadoop.stats()?.blocks_read - blocks_before;
    let mut measured = ending(code, &seen, &ground.compare()?);
    measured["operations"] = operations;
    measured["bandwidth"] = json!(bandwidth);
    measured["seconds_from_last_kill_to_equal"] = json!(seconds_to_equal);
    measured["files_in_flight_when_killed"] = json!(in_flight);
    if !batch.under_churn {
        let copied_twice = blocks_read.saturating_sub(options.files);
        measured["files_copied_twice"] = json!(copied_twice);
        let held = copied_twice <= batch.times * TRANSFERS;
        demand(&mut measured, held, "more was copied twice than can have been in flight");
    }
    conclude(ground, &seen, measured["passed"] == json!(true));
    Ok(measured)
}

/// Slow enough that it takes all of the kills to get through.
fn bandwidth(files: u64, times: u64) -> String {
    let life_seconds = (LIFE_MILLISECONDS.end / 2000).max(1);
    let bytes_per_second = files * FILE_BYTES / (times.max(1) * life_seconds);
    format!("{}kB/s", (bytes_per_second / 1000).max(1))
}

/// Starts and kills; gives how many copies were under way at the last look before each.
fn kill(ground: &Ground, more: &[&str], times: u64, rng: &mut Rng) -> Result<u64, Box<dyn Error>> {
    let mut in_flight = 0;
    for time in 1..=times {
        let mut migration = ground.migrate(more)?;
        std::thread::sleep(Duration::from_millis(rng.u64(LIFE_MILLISECONDS)));
        if !migration.is_running()? {
            return Err(format!("it ended by itself: {}", migration.seen().result).into());
        }
        let seen = migration.kill()?;
        in_flight += seen.progress["copies"].as_u64().unwrap_or_default();
        eprintln!("killed {time} of {times}; copied {}", seen.progress["files_copied"]);
    }
    Ok(in_flight)
}
