//! How the recorded stream is followed.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use whimbrel_testbed::{EditsServer, Rate};

use super::ground::{Follower, Ground};
use super::program::{ALL, PART};
use crate::bench::{peak_bytes, process_seconds, rounded};
use crate::process::{cargo, run, target};

/// What a full cluster writes, and its peak.
const FULL_CLUSTER: f64 = 21_388.0;
const PEAK: f64 = 110_000.0;
/// What the goals say.
const DECODED_PER_SECOND_MIN: f64 = 1_000_000.0;
const PEAK_BYTES_MAX: u64 = 512 << 20;
pub const LAG_SECONDS_MAX: f64 = 2.0;
/// All at once.
const AT_ONCE: f64 = 1e12;
/// A follower that is further behind its stream than this share of it did not keep up.
const KEPT_UP: f64 = 0.98;
/// The command is asked so often how far behind it is.
pub const SAMPLE_EVERY: Duration = Duration::from_millis(200);
/// How long it may take for what was left behind, as often as the stream itself.
const BEHIND_MAX: u32 = 4;

/// On one thread, from the bytes of the connection into the core.
pub fn decode(ground: &Ground, seconds: u64) -> Result<Value, Box<dyn Error>> {
    let mut build = cargo();
    build.args(["build", "--release", "--quiet", "--package", "whimbrel-store"]);
    run(build.args(["--example", "follow"]))?;
    let mut found = json!({"goal": "1,000,000 events a second on one core"});
    let mut passed = true;
    for (name, root) in [("all_in_scope", ALL), ("tenth_in_scope", PART)] {
        let server = ground.server()?;
        let mut follow = std::process::Command::new(target().join("release/examples/follow"));
        follow.arg(format!("hdfs://{}{root}", server.address())).arg(ground.hadoop.superuser());
        let mut child = follow.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut said = BufReader::new(child.stdout.take().ok_or("no output")?);
        said.read_line(&mut String::new())?;
        let events_max = DECODED_PER_SECOND_MIN as u64 * seconds;
        server.begin(Rate { events_per_second: AT_ONCE, events_max, shifts_paths: true });
        child.stdin.take().ok_or("no input")?.write_all(b"go\n")?;
        let mut text = String::new();
        said.read_to_string(&mut text)?;
        if !child.wait()?.success() {
            return Err("the follower failed".into());
        }
        let mut line: Value = serde_json::from_str(text.trim())?;
        let told = server.told();
        let number = |name: &str| line[name].as_f64().unwrap_or_default();
        let per_second = |seconds: f64| (told.events as f64 / seconds).round();
        let (decode, core) = (number("decode_seconds"), number("core_seconds"));
        line["events"] = json!(told.events);
        line["events_per_second"] = json!(per_second(decode + core));
        line["decoded_per_second"] = json!(per_second(decode));
        line["reconciled_per_second"] = json!(per_second(core));
        passed &= per_second(decode + core) >= DECODED_PER_SECOND_MIN;
        found[name] = line;
    }
    found["passed"] = json!(passed);
    Ok(found)
}

/// At the peak of a full cluster, everything in scope and every path a new one.
pub fn sustained(ground: &Ground, seconds: u64) -> Result<Value, Box<dyn Error>> {
    let mut found = follow(ground, ALL, Stream { rate: PEAK, seconds, shifts_paths: true })?;
    let kept_up = found["durable_per_second"].as_f64() >= Some(PEAK * KEPT_UP);
    let flat = found["peak_bytes"].as_u64() < Some(PEAK_BYTES_MAX);
    found["goal"] = json!("110,000 events a second, memory under 512 MiB");
    found["passed"] = json!(kept_up && flat);
    Ok(found)
}

/// As many events as `sustained` has, all of them there at once.
pub fn at_once(ground: &Ground, seconds: u64) -> Result<Value, Box<dyn Error>> {
    let stream = Stream { rate: PEAK, seconds, shifts_paths: true };
    let mut found = follow(ground, ALL, Stream { rate: AT_ONCE, ..stream })?;
    let flat = found["peak_bytes"].as_u64() < Some(PEAK_BYTES_MAX);
    found["goal"] = json!("memory under 512 MiB, as fast as it goes");
    found["passed"] = json!(flat);
    Ok(found)
}

/// At the rate of a full cluster, of which a small part is migrated.
pub fn lag(ground: &Ground, seconds: u64) -> Result<Value, Box<dyn Error>> {
    let stream = Stream { rate: FULL_CLUSTER, seconds, shifts_paths: false };
    let mut found = follow(ground, PART, stream)?;
    let late = |name: &str| found[name].as_f64().is_some_and(|lag| lag < LAG_SECONDS_MAX);
    let passed = late("lag_p99_seconds") && late("behind_p99_seconds");
    found["goal"] = json!("lag p99 under 2 s at 21,388 events a second");
    found["passed"] = json!(passed);
    Ok(found)
}

#[derive(Clone, Copy)]
struct Stream {
    rate: f64,
    seconds: u64,
    shifts_paths: bool,
}

/// What the command said of itself while it followed.
#[derive(Default)]
struct Samples {
    lags: Vec<f64>,
    pending_max: u64,
    last: Value,
}

impl Samples {
    fn take(&mut self, follower: &Follower) -> Result<(), Box<dyn Error>> {
        self.last = follower.status()?;
        self.lags.extend(self.last["lag_seconds"].as_f64());
        self.pending_max = self.pending_max.max(pending(&self.last));
        Ok(())
    }
}

/// Follows a stream until all of it is durable.
fn follow(ground: &Ground, root: &str, stream: Stream) -> Result<Value, Box<dyn Error>> {
    let server = ground.server()?;
    let mut follower = ground.follow(server.address(), root, &[])?;
    let process = follower.migration.id();
    let seen_before = count(&follower.status()?, "changes_seen");
    let worked = process_seconds(&process.to_string());
    let events_max = (stream.rate.min(PEAK) * stream.seconds as f64) as u64;
    let (rate, shifts_paths) = (stream.rate, stream.shifts_paths);
    server.begin(Rate { events_per_second: rate, events_max, shifts_paths });
    let begin = Instant::now();
    let planned = Duration::from_secs(stream.seconds);
    let mut samples = Samples::default();
    let mut behind_at_end = None;
    loop {
        // The core has what its next question lies behind, so it counts in what is said after it.
        let followed = server.followed();
        samples.take(&follower)?;
        if begin.elapsed() >= planned && behind_at_end.is_none() {
            behind_at_end = Some(server.written() - followed);
        }
        let durable = count(&samples.last, "changes_seen") - seen_before;
        let all = durable >= count(&samples.last, "changes_followed");
        if followed >= events_max && all || begin.elapsed() > planned * BEHIND_MAX {
            break;
        }
        if !follower.migration.is_running()? {
            return Err(format!("it ended: {}", follower.migration.seen().result).into());
        }
        std::thread::sleep(SAMPLE_EVERY);
    }
    let wall = begin.elapsed().as_secs_f64();
    let worked = process_seconds(&process.to_string()) - worked;
    let peak = peak_bytes(process);
    let mut found = told(&server, samples, wall);
    found["root"] = json!(root);
    found["wanted_per_second"] = json!((stream.rate < AT_ONCE).then_some(stream.rate));
    found["events_behind_at_end"] = json!(behind_at_end);
    found["processor_seconds"] = json!(rounded(worked));
    found["peak_bytes"] = json!(peak);
    follower.migration.stop()?;
    Ok(found)
}

fn told(server: &EditsServer, mut samples: Samples, wall: f64) -> Value {
    let mut told = server.told();
    let last = &samples.last;
    json!({
        "events": server.followed(),
        "events_in_scope": last["changes_followed"],
        "wall_seconds": rounded(wall),
        "durable_per_second": (server.followed() as f64 / wall).round(),
        "looks": told.replies,
        "lag_median_seconds": quantile(&mut samples.lags, 50),
        "lag_p99_seconds": quantile(&mut samples.lags, 99),
        "behind_median_seconds": quantile(&mut told.behind_seconds, 50),
        "behind_p99_seconds": quantile(&mut told.behind_seconds, 99),
        "pending_max": samples.pending_max,
        "pending_left": pending(last),
        "copied": last["files_copied"],
        "source_calls": last["source_calls"],
        "target_requests": last["target_requests"],
    })
}

fn pending(status: &Value) -> u64 {
    let lanes = ["pending_live", "pending_backlog", "pending_metadata"];
    lanes.iter().map(|lane| count(status, lane)).sum()
}

fn count(status: &Value, name: &str) -> u64 {
    status[name].as_u64().unwrap_or_default()
}

/// What so many percent are at most.
pub fn quantile(values: &mut [f64], percent: usize) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let at = values.len().saturating_mul(percent) / 100;
    values.get(at).or(values.last()).copied().map(rounded)
}
