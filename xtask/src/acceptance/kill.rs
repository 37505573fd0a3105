//! SIGKILL at random moments: nothing is lost, and only what was in flight is copied twice.

use std::error::Error;
use std::time::Duration;

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
    /// How often: half of them over a tree that stands still, half under churn.
    #[arg(long, value_name = "N", default_value_t = 50)]
    times: u64,
    /// Decides the files, the changes and the moments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Files at the start.
    #[arg(long, value_name = "N", default_value_t = 5000)]
    files: u64,
    /// How often they change in the second half.
    #[arg(long, value_name = "N", default_value_t = 100.0)]
    operations_per_second: f64,
    #[command(flatten)]
    edition: Edition,
}

/// Measures it; fails unless it held.
pub fn run(options: &Kill) -> Result<(), Box<dyn Error>> {
    let mut book = Book::open("kill")?;
    let call = json!({
        "seed": options.seed,
        "times": options.times,
        "files": options.files,
        "operations_per_second": options.operations_per_second,
        "release": options.edition.release,
    });
    if book.has_passed(&call) {
        eprintln!("it stands in the book already");
        return Ok(());
    }
    let measured = measure(options)?;
    book.add(&call, &measured)?;
    if measured["passed"] == json!(true) { Ok(()) } else { Err("it did not hold".into()) }
}

fn measure(options: &Kill) -> Result<Value, Box<dyn Error>> {
    let ground =
        Ground::start(&GroundPlan { edition: options.edition.clone(), ..GroundPlan::default() })?;
    let hadoop = ground.hadoop()?;
    let mut rng = Rng::with_seed(options.seed);
    hadoop.create_files(&CreateFiles {
        directory: FOLDER.to_owned(),
        count: options.files,
        directories: options.files.div_ceil(20),
        sizes: FileSizes::Fixed(FILE_BYTES),
        seed: options.seed,
    })?;

    let still = options.times / 2;
    // Slow enough that it takes all of the kills to get through.
    let life_seconds = (LIFE_MILLISECONDS.end / 2000).max(1);
    let bandwidth = options.files * FILE_BYTES / (still.max(1) * life_seconds);
    let bandwidth = format!("{}kB/s", (bandwidth / 1000).max(1));
    let transfers = TRANSFERS.to_string();
    let fixed = ["--transfers", transfers.as_str()];
    let slow: Vec<&str> = fixed.iter().copied().chain(["--bandwidth", &bandwidth]).collect();
    let before = hadoop.stats()?.blocks_read;
    let in_flight_when_still = kill(&ground, &slow, still, &mut rng)?;
    let quick: Vec<&str> = fixed.iter().copied().chain(["--until-quiet", "3s"]).collect();
    let (code, seen) = ground.migrate(&quick)?.finish(QUIET_LIMIT)?;
    let blocks_read = hadoop.stats()?.blocks_read - before;
    let report = ground.compare()?;
    let stood_still = ending(code, &seen, &report);
    let copied_twice = blocks_read.saturating_sub(options.files);

    hadoop.start_churn(&ChurnOptions {
        operations_per_second: options.operations_per_second,
        seconds: 24 * 3600,
        ..ChurnOptions::new(FOLDER, options.seed)
    })?;
    kill(&ground, &fixed, options.times - still, &mut rng)?;
    hadoop.stop_churn()?;
    let done = hadoop.wait_for_churn()?;
    let (code, seen) = ground.migrate(&quick)?.finish(QUIET_LIMIT)?;
    let mut measured = ending(code, &seen, &ground.compare()?);
    measured["operations"] = done.all["operations"].clone();
    measured["bandwidth_when_still"] = json!(bandwidth);
    measured["files_copied_twice_when_still"] = json!(copied_twice);
    measured["files_in_flight_when_still"] = json!(in_flight_when_still);
    demand(&mut measured, stood_still["passed"] == json!(true), "not equal before the churn");
    measured["when_still"] = stood_still;
    demand(
        &mut measured,
        copied_twice <= still * TRANSFERS,
        "more was copied twice than can have been in flight",
    );
    conclude(ground, &seen, measured["passed"] == json!(true));
    Ok(measured)
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
