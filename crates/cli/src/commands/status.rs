//! `whimbrel status [NAME]`.

use serde_json::{Map, Value, json};
use whimbrel_engine::{Request, SlowedDown, status_at_rest};

use crate::arguments::StatusArguments;
use crate::control;
use crate::cutover::fence_stands;
use crate::cutover::record::Record;
use crate::exit::CommandError;
use crate::output::progress::{
    allowed_bandwidth, delayed, flattened, lost, root_lost, slowed_down, target_lost,
    unknown_outcomes,
};
use crate::output::result::{bytes, grouped};
use crate::output::{self};
use crate::record::{self, Call, LastResult};
use crate::state::{self, StatePlace};

/// Shown where there are any, each with its name for people.
const COUNTS: [(&str, &str); 16] = [
    ("files_scanned", "scanned"),
    ("files_copied", "copied"),
    ("files_skipped", "unchanged"),
    ("files_relocated", "relocated"),
    ("files_removed", "removed"),
    ("pending_live", "pending, live"),
    ("pending_backlog", "pending, backlog"),
    ("pending_metadata", "pending, metadata"),
    ("guarded", "held by a guard"),
    ("failures", "failed"),
    ("files_open", "open"),
    ("extras", "extras"),
    ("out_of_scope", "out of scope"),
    ("metadata_ledger_only", "in the ledger"),
    ("changes_seen", "changes seen"),
    ("as_of_txid", "as of transaction"),
];

/// Shows where one migration stands, or all of them.
///
/// # Errors
/// No such migration, or a state folder that cannot be read.
pub async fn run(arguments: &StatusArguments, json: bool) -> Result<u8, CommandError> {
    let asked = match (&arguments.name, &arguments.state) {
        (Some(name), folder) => Some(state::existing(name, folder.as_deref())?),
        (None, Some(folder)) => Some(state::existing_folder(folder)?),
        (None, None) => None,
    };
    if let Some(place) = asked {
        let stand = stand(&place).await?;
        if json {
            output::json_line("result", &stand);
        } else {
            output::standard_output(&text(&stand));
        }
        return Ok(0);
    }
    let places = state::all()?;
    for place in &places {
        // One that cannot be read hides no other.
        let stand = stand(place).await.unwrap_or_else(|error| {
            Map::from_iter([
                ("name".to_owned(), Value::from(place.name.clone())),
                ("message".to_owned(), Value::from(error.message)),
            ])
        });
        if json {
            output::json_line("status", &stand);
        } else {
            output::standard_output(&text(&stand));
        }
    }
    if json {
        output::json_line("result", &json!({ "migrations": places.len() }));
    } else if places.is_empty() {
        output::standard_output("This user has no migrations yet; see whimbrel help migrate.");
    }
    Ok(0)
}

/// What a running migration says of itself, or how its last run ended.
async fn stand(place: &StatePlace) -> Result<Map<String, Value>, CommandError> {
    let mut stand = Map::new();
    stand.insert("name".into(), place.name.clone().into());
    stand.insert("state".into(), place.folder.to_string_lossy().into());
    if let Some(call) = Call::read(&place.folder)? {
        stand.insert("source".into(), call.source().to_string_lossy().into());
        stand.insert("target".into(), call.target().to_string_lossy().into());
    }
    if let Some(standing) = Record::read(&place.folder)?.fence() {
        stand.insert("fence".into(), standing.kind.name().into());
    }
    let running = control::ask(place, &Request::Status {}).await?;
    stand.insert("running".into(), running.is_some().into());
    if running.is_none() {
        record::refuse_what_lost_its_state(&place.folder)?;
    }
    let known = match running {
        Some(answer) => flattened(answer.get("progress").cloned().unwrap_or_default()),
        None => match record::read_result(&place.folder)? {
            LastResult::Told(result) => result,
            LastResult::None => flattened(status_at_rest(&place.folder)?),
            LastResult::Unreadable { message } => {
                stand.insert("message".into(), message.into());
                flattened(status_at_rest(&place.folder)?)
            }
        },
    };
    for (name, value) in known {
        stand.entry(name).or_insert(value);
    }
    Ok(stand)
}

/// When removals wait for a person; `None` if the last run did not say.
fn guard(stand: &Map<String, Value>) -> Option<String> {
    let (count, share) = (stand.get("removals_max")?, stand.get("removals_share_max_percent")?);
    Some(match (count.as_u64(), share.as_u64()) {
        (Some(count), Some(share)) => {
            let count = grouped(count);
            format!("asks when more than {count} objects and {share}% of all go within an hour")
        }
        (_, _) => "off".to_owned(),
    })
}

fn text(stand: &Map<String, Value>) -> String {
    let word = |name: &str| stand.get(name).and_then(Value::as_str);
    let running = stand.get("running").and_then(Value::as_bool).unwrap_or(false);
    let paused = stand.get("paused").and_then(Value::as_bool).unwrap_or(false);
    let state = match (running, word("outcome")) {
        (true, _) if paused => "paused".to_owned(),
        (true, _) => format!("running ({})", word("phase").unwrap_or_default()),
        (false, Some(outcome)) => format!("not running; the last run ended {outcome}"),
        (false, None) => "not running".to_owned(),
    };
    let mut lines = vec![format!("{}: {state}", word("name").unwrap_or_default())];
    if let (Some(source), Some(target)) = (word("source"), word("target")) {
        lines.push(format!("  {source} -> {target}"));
    }
    for (name, label) in COUNTS {
        if let Some(value @ 1..) = stand.get(name).and_then(Value::as_u64) {
            lines.push(format!("  {label:<18}{}", grouped(value)));
        }
    }
    let number = |name: &str| stand.get(name).and_then(Value::as_u64);
    let kept =
        delayed(number("removals_delayed").unwrap_or_default(), number("removals_delayed_next_ms"));
    lines.extend(kept.map(|text| format!("  {:<18}{text}", "delayed")));
    lines.extend(guard(stand).map(|text| format!("  {:<18}{text}", "guard")));
    for (name, label) in [("bytes_copied", "bytes copied"), ("bytes_per_second", "per second")] {
        if let Some(value @ 1..) = stand.get(name).and_then(Value::as_u64) {
            lines.push(format!("  {label:<18}{}", bytes(value)));
        }
    }
    if let Some(lag) = stand.get("lag_seconds").and_then(Value::as_f64) {
        lines.push(format!("  {:<18}{lag:.1} s", "lag"));
    }
    let seconds = |name: &str| stand.get(name).and_then(Value::as_f64);
    let waits = [
        lost("source", seconds("source_lost_seconds")),
        root_lost(seconds("source_root_lost_seconds")),
        target_lost(seconds("target_lost_seconds"), stand.get("target_full") == Some(&true.into())),
    ];
    lines.extend(waits.into_iter().flatten().map(|text| format!("  {text}")));
    let told = Value::Object(stand.clone());
    let allowed = allowed_bandwidth(&told).filter(|_| running);
    lines.extend(allowed.map(|text| format!("  {text}")));
    let slowed = stand.get("slowed").filter(|_| running).cloned();
    let slowed: Option<SlowedDown> = slowed.and_then(|told| serde_json::from_value(told).ok());
    let slowed = slowed.as_ref().and_then(slowed_down);
    lines.extend(slowed.map(|text| format!("  {text}")));
    let seconds_max = seconds("unknown_outcomes_seconds_max");
    let outcomes = stand.get("unknown_outcomes").and_then(Value::as_u64).unwrap_or_default();
    lines.extend(unknown_outcomes(outcomes, seconds_max).map(|text| format!("  {text}")));
    let name = word("name").unwrap_or_default();
    lines.extend(word("fence").map(|fence| format!("  {}", fence_stands(fence, name))));
    if let Some(message) = word("message") {
        lines.push(format!("  {}", output::printable(message)));
    }
    lines.join("\n")
}
