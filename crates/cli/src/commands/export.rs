//! `whimbrel export NAME`.

use serde_json::{Value, json};
use whimbrel_engine::{ExportCursor, Request, export_at_rest};

use crate::arguments::{ExportArguments, ExportFormat};
use crate::control;
use crate::exit::CommandError;
use crate::output;
use crate::state;

/// Writes every record of the ledger on standard output, one JSON object per line. A running
/// migration is asked page by page; what it changes meanwhile may be in it or not.
///
/// # Errors
/// No such migration, or its state cannot be read.
pub async fn run(arguments: &ExportArguments, json: bool) -> Result<u8, CommandError> {
    let ExportFormat::Jsonl = arguments.format;
    let place = state::existing(&arguments.name, arguments.state.as_deref())?;
    let mut told = 0_u64;
    let mut cursor: Option<ExportCursor> = None;
    loop {
        let asked = Request::Export { after: cursor.clone() };
        let Some(mut answer) = control::ask(&place, &asked).await? else {
            export_at_rest(&place.folder, cursor, &mut |records| {
                told += tell(&records, json);
            })?;
            break;
        };
        let records = answer.get_mut("records").map(Value::take).unwrap_or_default();
        told += records.as_array().map_or(0, |records| tell(records, json));
        let next = answer.get_mut("next").map(Value::take).unwrap_or_default();
        cursor = serde_json::from_value(next).map_err(|error| {
            let message = format!("the migration answered what is not known here: {error}");
            CommandError::local(message, "ask with the version of Whimbrel that runs it")
        })?;
        if cursor.is_none() {
            break;
        }
    }
    if json {
        output::json_line("result", &json!({ "records": told }));
    }
    Ok(0)
}

/// How many were told.
fn tell(records: &[Value], json: bool) -> u64 {
    if json {
        for record in records {
            output::json_line("record", record);
        }
    } else if !records.is_empty() {
        let lines: Vec<String> = records.iter().map(Value::to_string).collect();
        output::standard_output(&lines.join("\n"));
    }
    records.len() as u64
}
