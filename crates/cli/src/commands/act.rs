//! `whimbrel pause`, `resume`, `stop`, `confirm` and `limit`: what is asked of a running
//! migration.

use serde_json::{Value, json};
use whimbrel_engine::{Request, confirm_at_rest, confirm_delayed_at_rest};

use crate::arguments::{ConfirmArguments, LimitArguments, NameArguments};
use crate::control;
use crate::exit::CommandError;
use crate::output;
use crate::output::progress::allowed_bandwidth;
use crate::record::refuse_what_lost_its_state;
use crate::state;
use crate::timetable::Bandwidth;
use crate::unit::Limit;

/// Passes an order on to the migration of that name; `done` says what it does then.
///
/// # Errors
/// It does not run, or refuses.
pub async fn order(
    arguments: &NameArguments,
    order: Request,
    done: &str,
    json: bool,
) -> Result<u8, CommandError> {
    let place = state::existing(&arguments.name, arguments.state.as_deref())?;
    let answer = control::order(&place, &order).await?;
    tell(&place.name, done, &answer, json);
    Ok(0)
}

/// Says that what the guard of the migration of that name holds is meant, or what it keeps for a
/// time; it need not run.
///
/// # Errors
/// No such migration, or its state cannot be changed.
pub async fn confirm(arguments: &ConfirmArguments, json: bool) -> Result<u8, CommandError> {
    let place = state::existing(&arguments.name, arguments.state.as_deref())?;
    let delayed = arguments.delayed;
    let at_rest = if delayed { confirm_delayed_at_rest } else { confirm_at_rest };
    let answer = match control::ask(&place, &Request::Confirm { delayed }).await? {
        Some(answer) => answer,
        None => {
            refuse_what_lost_its_state(&place.folder)?;
            json!({ "ok": true, "confirmed": at_rest(&place.folder)? })
        }
    };
    let done = if delayed { sent_off(&answer) } else { confirmed(&answer) };
    tell(&place.name, &done, &answer, json);
    Ok(0)
}

/// What becomes of what waited for its time.
fn sent_off(answer: &Value) -> String {
    match answer.get("confirmed").and_then(Value::as_u64) {
        None | Some(0) => "keeps nothing for a time".to_owned(),
        Some(count) => {
            let paths = if count == 1 { "one path".to_owned() } else { format!("{count} paths") };
            format!(
                "looks again at {paths} that it kept for a time, and removes what is gone; if it \
                 has ended, start it again"
            )
        }
    }
}

/// What becomes of what the guard held.
fn confirmed(answer: &Value) -> String {
    match answer.get("confirmed").and_then(Value::as_u64) {
        None | Some(0) => "holds nothing back".to_owned(),
        Some(1) => {
            "removes what it held at or below one path; if it has ended, start it again".to_owned()
        }
        Some(held) => format!(
            "removes what it held at or below {held} paths; if it has ended, start it again"
        ),
    }
}

/// Changes the limits of the migration of that name.
///
/// # Errors
/// It does not run, or refuses.
pub async fn limit(arguments: &LimitArguments, json: bool) -> Result<u8, CommandError> {
    let place = state::existing(&arguments.name, arguments.state.as_deref())?;
    let (bandwidth_bytes, bandwidth_timetable) = match &arguments.bandwidth {
        None => (None, None),
        Some(Bandwidth::Always(limit)) => (Some(plain(*limit, |r| r.bytes_per_second)), None),
        Some(Bandwidth::Weekly(timetable)) => (None, Some(timetable.clone())),
    };
    let order = Request::Limit {
        bandwidth_bytes,
        bandwidth_timetable,
        source_calls: arguments.namenode_calls.map(|limit| plain(limit, |r| r.calls_per_second)),
        target_requests: arguments
            .target_requests
            .map(|limit| plain(limit, |r| r.calls_per_second)),
    };
    let answer = control::order(&place, &order).await?;
    let done = match allowed_bandwidth(&answer) {
        Some(allowed) => format!("has new limits; {allowed}"),
        None => "has new limits".to_owned(),
    };
    tell(&place.name, &done, &answer, json);
    Ok(0)
}

/// The socket's 0 is no limit.
fn plain<T>(limit: Limit<T>, number: impl Fn(T) -> u64) -> u64 {
    match limit {
        Limit::Unlimited => 0,
        Limit::AtMost(rate) => number(rate),
    }
}

fn tell(name: &str, done: &str, answer: &Value, json: bool) {
    if json {
        output::json_line("result", answer);
    } else {
        output::standard_output(&format!("{name} {done}."));
    }
}
