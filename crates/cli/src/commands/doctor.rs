//! `whimbrel doctor SOURCE TARGET`.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use whimbrel_core::failure::Side;

use super::migrate::write_options;
use crate::arguments::DoctorArguments;
use crate::doctor::source::Wanted;
use crate::doctor::{Check, Finding, machine, source, target};
use crate::exit::{self, CommandError, Condition};
use crate::output::{self, printable};
use crate::request::Pair;
use crate::state;

/// Looks at everything that a migration needs.
///
/// # Errors
/// A call that cannot be. What is missing is part of the answer.
pub async fn run(arguments: DoctorArguments, json: bool) -> Result<u8, CommandError> {
    let connection = &arguments.connection;
    let pair = Pair::parse(&arguments.source, &arguments.target, connection)?;
    let (name, folder) = (arguments.state.name.as_deref(), arguments.state.state.as_deref());
    let place = state::place(&pair.source, &pair.target, name, folder)?;
    let mut tally = Tally { json, ..Tally::default() };
    if let Err(error) = pair.refuse_state_inside(&place.folder) {
        tally.add(&[Check::failed(Side::Local, "state folder", error)]);
    }
    tally.add(&machine::checks(&place.folder, &pair.source, arguments.live));
    let wanted = Wanted { live: arguments.live, snapshots: arguments.source_snapshots.is_some() };
    tally.add(&source::checks(&pair.source, connection, wanted, &place).await);
    let write = write_options(&arguments.write)?;
    tally.add(&target::checks(&pair.target, connection, write).await);
    Ok(tally.finish())
}

/// What was found so far.
#[derive(Default)]
struct Tally {
    json: bool,
    conditions: BTreeSet<Condition>,
    fine: u64,
    warnings: u64,
    problems: u64,
}

impl Tally {
    fn add(&mut self, checks: &[Check]) {
        for check in checks {
            match &check.finding {
                Finding::Fine(_) => self.fine += 1,
                Finding::Warning { .. } => self.warnings += 1,
                Finding::Problem { .. } => {
                    self.problems += 1;
                    self.conditions.insert(match check.side {
                        Side::Source => Condition::Source,
                        Side::Target => Condition::Target,
                        Side::Local => Condition::Local,
                    });
                }
            }
            if self.json {
                output::json_line("check", &fields(check));
            } else {
                output::standard_output(&text(check));
            }
        }
    }

    fn finish(self) -> u8 {
        let code = exit::code(&self.conditions);
        if self.json {
            output::json_line(
                "result",
                &json!({
                    "outcome": if self.problems == 0 { "ready" } else { "not_ready" },
                    "fine": self.fine,
                    "warnings": self.warnings,
                    "problems": self.problems,
                    "exit_code": code,
                }),
            );
            return code;
        }
        let verdict = if self.problems == 0 {
            "Ready: nothing stands in the way."
        } else {
            "Not ready: mend the problems first."
        };
        output::standard_output(&format!(
            "{verdict} {} fine, {} warnings, {} problems.",
            self.fine, self.warnings, self.problems
        ));
        code
    }
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Source => "source",
        Side::Target => "target",
        Side::Local => "local",
    }
}

fn fields(check: &Check) -> Map<String, Value> {
    let (outcome, message, remedy) = match &check.finding {
        Finding::Fine(message) => ("ok", message, ""),
        Finding::Warning { message, remedy } => ("warning", message, remedy.as_str()),
        Finding::Problem { message, remedy } => ("problem", message, remedy.as_str()),
    };
    Map::from_iter([
        ("check".to_owned(), Value::from(check.name.as_str())),
        ("side".to_owned(), side(check.side).into()),
        ("outcome".to_owned(), outcome.into()),
        ("message".to_owned(), message.as_str().into()),
        ("remedy".to_owned(), remedy.into()),
    ])
}

fn text(check: &Check) -> String {
    let head = |mark: &str, message: &str| {
        format!("{mark:<8} {:<6} {}: {}", side(check.side), check.name, printable(message))
    };
    let mended = |line: String, remedy: &str| {
        if remedy.is_empty() { line } else { format!("{line}\n         what to do: {remedy}") }
    };
    match &check.finding {
        Finding::Fine(message) => head("ok", message),
        Finding::Warning { message, remedy } => mended(head("warning", message), remedy),
        Finding::Problem { message, remedy } => mended(head("PROBLEM", message), remedy),
    }
}
