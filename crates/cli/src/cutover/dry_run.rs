//! What is missing until a cut-over, and how long it takes from now.

use std::time::Duration;

use serde_json::{Map, Value};
use whimbrel_engine::status_at_rest;

use super::record::Record;
use super::stand::Stand;
use super::{Reason, fence_stands};
use crate::arguments::CutoverArguments;
use crate::exit::{self, CommandError, Condition};
use crate::output;
use crate::output::problem::Problems;
use crate::output::progress::flattened;
use crate::output::result::grouped;
use crate::running::Running;
use crate::state::StatePlace;

/// Tells it; changes nothing.
///
/// # Errors
/// The state cannot be read.
pub async fn run(
    arguments: &CutoverArguments,
    place: &StatePlace,
    json: bool,
) -> Result<u8, CommandError> {
    let running = Running::at(place.clone()).await;
    let progress = match &running {
        Some(running) => running.progress().await.map(Value::Object),
        None => None,
    };
    let runs = progress.is_some();
    let known = match progress {
        Some(progress) => progress,
        None => status_at_rest(&place.folder)?,
    };
    let stand = Stand::new(flattened(known));
    let mut reasons = stand.set_aside();
    reasons.extend(stand.open_files());
    reasons.extend(stand.extras().filter(|_| !arguments.ignore_extras));
    let left = if runs { stand.waits_for() } else { Some("it does not run".to_owned()) };
    reasons.extend(left.map(|left| Reason {
        kind: "not_drained",
        message: format!("not everything is on the target: {left}"),
        remedy: "whimbrel cutover waits for it; start the migration with --live if it does not run",
    }));
    let record = Record::read(&place.folder)?;
    let comparison = record.comparison().map(|took| took.as_secs_f64());
    let seconds = stand.field("eta_seconds").as_f64().filter(|_| runs);
    let seconds = seconds
        .map(|seconds| seconds + arguments.quiet.as_secs_f64() + comparison.unwrap_or_default());
    let fence = record.fence().map(|standing| standing.kind.name());
    tell(place, &stand, &reasons, &Outlook { seconds, comparison, runs, fence }, json);
    let condition = (!reasons.is_empty()).then_some(Condition::Incomplete);
    Ok(exit::code(&condition.into_iter().collect()))
}

/// What lies before a cut-over.
struct Outlook {
    /// From the fence to the answer.
    seconds: Option<f64>,
    /// What the last comparison of everything took.
    comparison: Option<f64>,
    runs: bool,
    /// The fence of an earlier call.
    fence: Option<&'static str>,
}

fn tell(place: &StatePlace, stand: &Stand, reasons: &[Reason], outlook: &Outlook, json: bool) {
    let &Outlook { seconds, comparison, runs, fence } = outlook;
    let mut problems = Problems::new(json, &place.name);
    for reason in reasons {
        problems.note(reason.kind, &reason.failure());
    }
    if json {
        let mut fields = Map::new();
        let outcome = if reasons.is_empty() { "equal" } else { "incomplete" };
        fields.insert("outcome".into(), outcome.into());
        fields.insert("name".into(), place.name.clone().into());
        fields.insert("migration_running".into(), runs.into());
        fields.insert("fence_stands".into(), fence.is_some().into());
        for name in NEEDED {
            fields.insert(name.into(), stand.field(name));
        }
        fields.insert("comparison_seconds".into(), comparison.into());
        fields.insert("estimated_seconds".into(), seconds.into());
        fields.insert("reasons".into(), reasons.len().into());
        fields.insert("exit_code".into(), if reasons.is_empty() { 0 } else { 5 }.into());
        return output::json_line("result", &fields);
    }
    let verdict = match reasons.is_empty() {
        true => "Nothing is missing now.",
        false => "Not yet.",
    };
    let pending = ["pending_live", "pending_backlog", "pending_metadata"].map(|it| stand.field(it));
    let pending = pending.iter().filter_map(Value::as_u64).sum();
    let time = match (seconds, comparison) {
        (None, _) => "not known yet".to_owned(),
        (Some(seconds), Some(_)) => about(seconds),
        (Some(seconds), None) => format!("{}, and the comparison of everything", about(seconds)),
    };
    let fence = fence.map(|fence| format!("\n  {}", fence_stands(fence, &place.name)));
    let lag = stand.field("lag_seconds").as_f64();
    let lag = lag.map_or("not known".to_owned(), |lag| format!("{lag:.1} s"));
    let mut rows = vec![("pending", grouped(pending)), ("lag", lag)];
    if stand.delayed() > 0 {
        let count = grouped(stand.delayed());
        rows.push(("removals delayed", format!("{count}, which go while it is drained")));
    }
    rows.push(("time from the fence on", time));
    let rows = rows.iter().map(|(name, value)| format!("\n  {name:<24}{value}"));
    let rows: String = rows.chain(fence).collect();
    output::standard_output(&format!("{verdict}{rows}"));
}

fn about(seconds: f64) -> String {
    let whole = Duration::from_secs_f64(seconds.clamp(0.0, 1e9)).as_secs();
    format!("about {} min {} s", whole / 60, whole % 60)
}

/// What a dry run tells of the migration.
const NEEDED: [&str; 17] = [
    "pending_live",
    "pending_backlog",
    "pending_metadata",
    "files_open",
    "failures",
    "guarded",
    "removals_delayed",
    "extras",
    "unknown_outcomes",
    "as_of_txid",
    "lag_transactions",
    "lag_seconds",
    "eta_seconds",
    "bytes_per_second",
    "bytes_copied",
    "objects",
    "scanned",
];
