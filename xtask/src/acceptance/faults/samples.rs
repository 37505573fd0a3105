//! Samples of files with known faults: they find their share, and say what they may have missed.

use std::error::Error;

use serde_json::{Value, json};

use super::look::{Judgement, Look};
use super::plan::Fault;
use crate::acceptance::ground::{Ground, demand};

/// Percents, and how many seeds of each.
const SAMPLES: [(u32, u32); 2] = [(1, 6), (10, 3)];
const SAMPLE_FOR: &str = "10s";
/// How far from what is probable a count may be: chance goes beyond it once in 15,000 times.
const DEVIATIONS_MAX: f64 = 4.0;
/// Told with 95% confidence: of nine samples more than two may not be wrong (once in 120 times).
const WRONG_BOUNDS_MAX: u64 = 2;

/// Sums of all samples.
#[derive(Default)]
struct Sums {
    found: f64,
    expected: f64,
    variance: f64,
    wrong_bounds: u64,
}

/// Draws samples of a pair whose faults only reading finds.
pub fn measure(
    ground: &Ground,
    faults: &[&Fault],
    seed: u64,
    measured: &mut Value,
) -> Result<(), Box<dyn Error>> {
    let mut sums = Sums::default();
    let mut all = Vec::new();
    for (percent, times) in SAMPLES {
        for time in 0..times {
            let (share, key) = (format!("{percent}%"), format!("{seed}-{time}"));
            let more = ["--read", "--sample", &share, "--sample-seed", &key];
            all.push(one(&Look::at(ground, &more)?, faults, Some(percent), &mut sums, measured));
        }
    }
    let key = format!("{seed}-time");
    let more = ["--read", "--sample-for", SAMPLE_FOR, "--sample-seed", &key];
    all.push(one(&Look::at(ground, &more)?, faults, None, &mut sums, measured));
    let far = (sums.found - sums.expected).abs();
    let near = far <= DEVIATIONS_MAX * sums.variance.sqrt() + 1.0;
    demand(measured, near, "samples find another share than they promise");
    let true_bounds = sums.wrong_bounds <= WRONG_BOUNDS_MAX;
    demand(measured, true_bounds, "samples say too often that less differs than does");
    measured["samples"] = json!({
        "each": all,
        "found": sums.found,
        "expected": sums.expected,
        "wrong_bounds": sums.wrong_bounds,
    });
    Ok(())
}

/// Judges one; `percent` is what was asked for.
fn one(
    look: &Look,
    faults: &[&Fault],
    percent: Option<u32>,
    sums: &mut Sums,
    measured: &mut Value,
) -> Value {
    let judgement = Judgement::of(look, faults);
    let said = &look.result["sample"];
    let number = |name: &str| said[name].as_f64().unwrap_or(f64::NAN);
    let (listed, looked_at, apart) =
        (number("files_listed"), number("files_looked_at"), number("files_apart"));
    let drawn = (looked_at - apart) / (listed - apart);
    let share = percent.map_or(drawn, |percent| f64::from(percent) / 100.0);
    let (found, count) = (approximate(judgement.count()), approximate(faults.len() as u64));
    sums.found += found;
    sums.expected += count * share;
    sums.variance += count * share * (1.0 - share);

    demand(measured, judgement.is_true(), "a sample named what is not so");
    let outcome = match (judgement.count(), looked_at < listed) {
        (0, true) => look.says("no_difference_found", 0),
        (0, false) => look.says("equal", 0),
        (_, _) => look.says("different", 5),
    };
    demand(measured, outcome, "a sample ended otherwise than what it found");
    let deviation = (listed * share * (1.0 - share)).sqrt();
    let near = (looked_at - apart - listed * share).abs() <= DEVIATIONS_MAX * deviation + 1.0;
    demand(measured, near, "a sample looked at another share than was asked for");
    // Empty files are not asked for.
    let honest = approximate(look.objects_read) <= looked_at;
    demand(measured, honest, "a sample read more than it says");
    demand(measured, tells_chances(said, drawn), "a sample tells wrong chances");
    if let Some(bound) = said["missed_files_max"].as_u64() {
        sums.wrong_bounds += u64::from(approximate(bound) < count);
    }
    let mut one = look.measured();
    one["percent"] = json!(percent);
    one["sample"] = said.clone();
    one["found"] = json!(judgement.count());
    one
}

/// What it says of the chance to miss all of so many files, reckoned here once more.
fn tells_chances(said: &Value, drawn: f64) -> bool {
    let all = said["missed"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().all(|one| {
        let files = one["files"].as_f64().unwrap_or(f64::NAN);
        let told = one["miss_probability"].as_f64().unwrap_or(f64::NAN);
        (told - (1.0 - drawn).powf(files)).abs() < 1e-6
    })
}

#[allow(clippy::cast_precision_loss, reason = "counts of files are small")]
fn approximate(number: u64) -> f64 {
    number as f64
}
