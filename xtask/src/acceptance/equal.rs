//! How soon a running migration has caught up with a source that stands still.

use std::error::Error;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ground::Ground;

/// How long a run may take to become quiet.
pub const QUIET_LIMIT: Duration = Duration::from_secs(1800);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Since the last change.
pub struct Equal {
    /// Until every path and content was there.
    pub data_seconds: f64,
    /// Until metadata was too.
    pub all_seconds: f64,
    /// How far the target was behind at the last change.
    pub lag_seconds: Value,
}

/// Asks the running migration again and again until it has done what was changed before this call,
/// of which the last transaction tells where the source `has_transactions`.
pub fn wait_until_equal(ground: &Ground, has_transactions: bool) -> Result<Equal, Box<dyn Error>> {
    let begin = Instant::now();
    let txid = if has_transactions { ground.source_txid()? } else { 0 };
    let mut lag_seconds = None;
    let mut data_seconds = None;
    loop {
        let seconds = begin.elapsed().as_secs_f64();
        let status = ground.status()?;
        let number = |name: &str| status[name].as_u64().unwrap_or_default();
        let lag_seconds = lag_seconds.get_or_insert_with(|| status["lag_seconds"].clone()).clone();
        let idle = ["pending_live", "pending_backlog", "claims", "copies", "passes"];
        let idle = idle.iter().all(|name| number(name) == 0);
        let scanned = status["scanned"] == json!(true);
        if scanned && idle && number("applied_txid") >= txid {
            let data_seconds = *data_seconds.get_or_insert(seconds);
            if number("pending_metadata") == 0 && status["lag_seconds"] == json!(0.0) {
                return Ok(Equal { data_seconds, all_seconds: seconds, lag_seconds });
            }
        }
        // The time of quiet counts from the last change, so a run that is late ends when it is equal.
        if status["running"] == json!(false) && status["outcome"] == json!("equal") {
            let all_seconds = begin.elapsed().as_secs_f64();
            let data_seconds = data_seconds.unwrap_or(all_seconds);
            return Ok(Equal { data_seconds, all_seconds, lag_seconds });
        }
        if begin.elapsed() > QUIET_LIMIT || status["running"] != json!(true) {
            return Err(format!("not equal after {seconds:.1} s: {status}").into());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
