//! `whimbrel export NAME`.

use std::io::{BufWriter, ErrorKind, IsTerminal, Stdout, stdout};
use std::ops::ControlFlow;

use serde_json::{Value, json};
use whimbrel_engine::{ExportCursor, Request, export_at_rest};
use whimbrel_report::{Format, RECORD, Table, TableError};

use crate::arguments::{ExportArguments, ExportFormat};
use crate::control;
use crate::exit::{CommandError, Condition};
use crate::output;
use crate::record::refuse_what_lost_its_state;
use crate::state;

const ANOTHER_VERSION: &str = "ask with the version of Whimbrel that runs it";

/// Writes every record of the ledger on standard output. A running migration is asked page by page;
/// what it changes meanwhile may be in it or not.
///
/// # Errors
/// No such migration, its state cannot be read, or nothing takes the records.
pub async fn run(arguments: &ExportArguments, json: bool) -> Result<u8, CommandError> {
    let place = state::existing(&arguments.name, arguments.state.as_deref())?;
    let mut sink = Sink::begin(arguments.format, json)?;
    let mut cursor: Option<ExportCursor> = None;
    loop {
        let asked = Request::Export { after: cursor.clone() };
        let Some(mut answer) = control::ask(&place, &asked).await? else {
            refuse_what_lost_its_state(&place.folder)?;
            export_at_rest(&place.folder, cursor, &mut |records| sink.add(&records))?;
            break;
        };
        let records = answer.get_mut("records").map(Value::take).unwrap_or_default();
        let gone = records.as_array().is_some_and(|records| sink.add(records).is_break());
        let next = answer.get_mut("next").map(Value::take).unwrap_or_default();
        cursor = serde_json::from_value(next).map_err(|error| {
            let message = format!("the migration answered what is not known here: {error}");
            CommandError::local(message, ANOTHER_VERSION)
        })?;
        if gone || cursor.is_none() {
            break;
        }
    }
    sink.finish()
}

/// What takes the records.
enum Sink {
    /// Lines for programs, and how many there were.
    Lines(u64),
    /// A table, until it takes no more.
    Table(Result<Table<BufWriter<Stdout>>, TableError>),
}

impl Sink {
    fn begin(format: ExportFormat, json: bool) -> Result<Self, CommandError> {
        let format = match format {
            ExportFormat::Jsonl => Format::JsonLines,
            ExportFormat::Csv => Format::Csv,
            ExportFormat::Parquet => Format::Parquet,
        };
        match (json, format) {
            (true, Format::JsonLines) => return Ok(Self::Lines(0)),
            (true, Format::Csv | Format::Parquet) => {
                let told = "--json writes JSON lines, and --format asks for something else";
                return Err(CommandError::usage(told, "leave one of both out"));
            }
            (false, Format::Parquet) if stdout().is_terminal() => {
                let told = "Parquet is nothing for a terminal";
                return Err(CommandError::usage(told, "send it to a file: > NAME.parquet"));
            }
            (false, Format::JsonLines | Format::Csv | Format::Parquet) => {}
        }
        Ok(Self::Table(Table::begin(BufWriter::new(stdout()), format, RECORD)))
    }

    /// Breaks once nobody takes any more.
    fn add(&mut self, records: &[Value]) -> ControlFlow<()> {
        match self {
            Self::Lines(told) => {
                for record in records {
                    output::json_line("record", record);
                }
                *told += records.len() as u64;
            }
            Self::Table(state) => {
                let Ok(table) = state else { return ControlFlow::Break(()) };
                let added = records.iter().try_for_each(|record| table.add(record));
                if let Err(error) = added {
                    *state = Err(error);
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn finish(self) -> Result<u8, CommandError> {
        let ended = match self {
            Self::Lines(told) => {
                output::json_line("result", &json!({ "records": told }));
                return Ok(0);
            }
            Self::Table(table) => table.and_then(Table::finish),
        };
        match ended {
            Ok(_) => Ok(0),
            Err(TableError::Write(gone)) if gone.kind() == ErrorKind::BrokenPipe => {
                tracing::debug!(error = %gone, "nobody reads standard output any more");
                Ok(0)
            }
            Err(TableError::Write(lost)) => Err(CommandError::local(
                format!("standard output cannot be written: {lost}"),
                "make room where it goes, and ask again",
            )),
            Err(form @ TableError::Form { .. }) => {
                Err(CommandError::local(form.to_string(), ANOTHER_VERSION))
            }
            Err(defect @ TableError::Parquet(_)) => Err(CommandError {
                condition: Condition::Defect,
                message: format!("Parquet cannot be written: {defect}"),
                remedy: "report it; --format csv goes another way".to_owned(),
            }),
        }
    }
}
