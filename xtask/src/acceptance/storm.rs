//! Everything that goes wrong, at once and without a pause: the whole stack still ends equal.

mod weather;

use std::collections::BTreeMap;
use std::error::Error;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use fastrand::Rng;
use serde_json::{Value, json};
use whimbrel_testbed::{ChurnOptions, ChurnReport};

use super::book::Book;
use super::ground::{FOLDER, Ground, GroundPlan, conclude, demand, ending};
use crate::whimbrel::{Edition, Migration, Seen};

/// How long a run lives, in milliseconds: from before its first request to well into its work.
const LIFE_MILLISECONDS: std::ops::Range<u64> = 2_000..40_000;
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// After a run that ended by itself.
const PAUSE: Duration = Duration::from_secs(1);
const KILLS_PER_HOUR_MIN: u64 = 100;
/// In a slice of so many minutes everything has its turn several times.
const EVERYTHING_MINUTES: u64 = 5;
/// One DataNode may be lost.
const REPLICATION: u64 = 2;
/// A side that is out of reach ends a run that has not begun yet.
const UNREACHABLE_CODES: [i32; 2] = [3, 4];
const QUIET_LIMIT: Duration = Duration::from_secs(1800);

/// How long, and what is migrated meanwhile.
#[derive(Debug, Args)]
pub struct Storm {
    /// How long in all, in slices with systems of their own, each of which has to end equal.
    /// Slices that these sources have passed already are left out.
    #[arg(long, value_name = "N", default_value_t = 60)]
    minutes: u64,
    /// How long a slice is.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    slice_minutes: u64,
    /// Decides files, changes and weather of the first slice; the next take the next.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Files at the start of each slice, twenty to a directory.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    files: u64,
    /// How often they change.
    #[arg(long, value_name = "N", default_value_t = 20.0)]
    operations_per_second: f64,
    #[command(flatten)]
    edition: Edition,
}

/// A storm over systems of its own.
struct Slice {
    seed: u64,
    minutes: u64,
}

/// How runs ended.
#[derive(Default)]
struct Ends {
    kills: u64,
    /// By exit code.
    by_themselves: BTreeMap<i32, u64>,
    /// What no weather excuses.
    unexcused: Vec<Value>,
    problem_kinds: BTreeMap<String, u64>,
}

/// Measures every slice; fails if one did not hold.
pub fn run(options: &Storm) -> Result<(), Box<dyn Error>> {
    let mut book = Book::open("storm")?;
    let mut failed = Vec::new();
    for number in 0..options.minutes.div_ceil(options.slice_minutes) {
        let left = options.minutes - number * options.slice_minutes;
        let slice = Slice { seed: options.seed + number, minutes: options.slice_minutes.min(left) };
        let call = json!({
            "seed": slice.seed,
            "minutes": slice.minutes,
            "files": options.files,
            "operations_per_second": options.operations_per_second,
            "release": options.edition.release,
        });
        if book.has_passed(&call) {
            eprintln!("slice {} stands in the book already", slice.seed);
            continue;
        }
        let measured = measure(options, &slice)?;
        book.add(&call, &measured)?;
        if measured["passed"] != json!(true) {
            failed.push(slice.seed);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("slices that failed: {failed:?}").into()) }
}

fn measure(options: &Storm, slice: &Slice) -> Result<Value, Box<dyn Error>> {
    let ground = Ground::start(&GroundPlan {
        high_availability: true,
        lines: true,
        edition: options.edition.clone(),
        ..GroundPlan::default()
    })?;
    let hadoop = ground.hadoop()?;
    begin(&ground, options, slice)?;
    let mut rng = Rng::with_seed(slice.seed);
    let end = Instant::now() + Duration::from_secs(60 * slice.minutes);
    let lines = ground.lines()?;
    let (killed, shaken) = std::thread::scope(|scope| {
        for group in weather::groups(lines) {
            let rng = rng.fork();
            scope.spawn(move || weather::blow(&group, end, rng));
        }
        let shaking = rng.fork();
        let shaken = scope.spawn(move || weather::shake(hadoop, end, shaking));
        (kill(&ground, end, &mut rng), shaken.join())
    });
    lines.mend();
    let (mut ends, last) = killed?;
    let shaken = shaken.map_err(|_| "the thread that shakes the cluster panicked")??;
    hadoop.stop_churn()?;
    let churn = hadoop.wait_for_churn()?;
    ends.note_last(last)?;

    let quiet = Instant::now();
    let (code, seen) = ground.migrate(&["--until-quiet", "3s"])?.finish(QUIET_LIMIT)?;
    let seconds_to_equal = quiet.elapsed().as_secs_f64();
    let mut measured = ending(code, &seen, &ground.compare()?);
    measured["seconds_from_quiet_to_equal"] = json!(seconds_to_equal);
    measured["cluster"] = json!(shaken);
    measured["faults"] = lines.struck();
    note_churn(&mut measured, &churn);
    ends.note(&mut measured, slice);
    if slice.minutes >= EVERYTHING_MINUTES {
        for missing in weather::missing(&measured) {
            demand(&mut measured, false, &format!("{missing} never happened"));
        }
    }
    conclude(ground, &seen, measured["passed"] == json!(true));
    Ok(measured)
}

/// Writes the files and begins to change them.
fn begin(ground: &Ground, options: &Storm, slice: &Slice) -> Result<(), Box<dyn Error>> {
    let hadoop = ground.hadoop()?;
    hadoop.command(&json!({
        "command": "create_files", "directory": FOLDER, "count": options.files,
        "directories": options.files.div_ceil(20), "seed": slice.seed,
        "median_bytes": 20_000, "sigma": 1.3, "maximum_bytes": 8 << 20,
        "replication": REPLICATION,
    }))?;
    hadoop.start_churn(&ChurnOptions {
        operations_per_second: options.operations_per_second,
        seconds: 24 * 3600,
        replication: REPLICATION,
        ..ChurnOptions::new(FOLDER, slice.seed)
    })?;
    Ok(())
}

/// Starts and kills until the end; gives the run that lives then.
fn kill(ground: &Ground, end: Instant, rng: &mut Rng) -> Result<(Ends, Migration), Box<dyn Error>> {
    let mut ends = Ends::default();
    loop {
        let mut migration = ground.migrate(&[])?;
        let death = Instant::now() + Duration::from_millis(rng.u64(LIFE_MILLISECONDS));
        while migration.is_running()? && Instant::now() < death.min(end) {
            sleep(LOOK_EVERY);
        }
        if !migration.is_running()? {
            let (code, seen) = migration.finish(LOOK_EVERY)?;
            eprintln!("it ended by itself with {code}: {}", seen.result["message"]);
            ends.note_own(code, &seen);
            sleep(PAUSE);
        } else if Instant::now() < end {
            ends.note_kill(&migration.kill()?);
        } else {
            return Ok((ends, migration));
        }
    }
}

impl Ends {
    fn note_kill(&mut self, seen: &Seen) {
        self.kills += 1;
        self.note_problems(seen);
        eprintln!("killed {} times; copied {}", self.kills, seen.progress["files_copied"]);
    }

    /// The run that lived when the weather ended.
    fn note_last(&mut self, mut last: Migration) -> Result<(), Box<dyn Error>> {
        if last.is_running()? {
            self.note_kill(&last.kill()?);
        } else {
            let (code, seen) = last.finish(LOOK_EVERY)?;
            self.note_own(code, &seen);
        }
        Ok(())
    }

    fn note_own(&mut self, code: i32, seen: &Seen) {
        *self.by_themselves.entry(code).or_default() += 1;
        self.note_problems(seen);
        // Once it has begun, it waits for ever.
        if !UNREACHABLE_CODES.contains(&code) || !seen.progress.is_null() {
            self.unexcused.push(json!({"code": code, "result": seen.result}));
        }
    }

    fn note_problems(&mut self, seen: &Seen) {
        for kind in seen.problems.iter().filter_map(|problem| problem["kind"].as_str()) {
            *self.problem_kinds.entry(kind.to_owned()).or_default() += 1;
        }
    }

    fn note(&self, measured: &mut Value, slice: &Slice) {
        measured["kills"] = json!(self.kills);
        measured["ended_by_itself"] = json!(self.by_themselves);
        measured["problem_kinds"] = json!(self.problem_kinds);
        let enough = self.kills * 60 >= KILLS_PER_HOUR_MIN * slice.minutes;
        demand(measured, enough, "killed too seldom");
        if !self.unexcused.is_empty() {
            measured["unexcused_ends"] = json!(self.unexcused);
            demand(measured, false, "it ended by itself");
        }
    }
}

fn note_churn(measured: &mut Value, churn: &ChurnReport) {
    measured["operations"] = churn.all["operations"].clone();
    measured["operations_refused"] = json!(churn.failed);
}
