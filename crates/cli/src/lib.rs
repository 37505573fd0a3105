//! Asks: the command `whimbrel`. Arguments become a validated request, the request a call, its
//! answer text or JSON; each command has a file of its own.

mod arguments;
mod commands;
mod config;
mod control;
mod cutover;
mod delayed;
mod doctor;
mod exit;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod location;
mod log;
mod open;
mod open_files;
mod output;
mod pinned_root;
mod record;
mod report;
mod request;
mod running;
mod seal;
mod signal;
mod state;
mod timetable;
mod unit;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use futures_util::FutureExt;
use serde_json::json;

use arguments::{Cli, Command, ReportCommand};
use commands::act;
use config::ParseError;
use exit::{CommandError, Condition};
use output::result::MigrationResult;
use signal::interruptible;
use whimbrel_engine::Request;

/// Answers the call of this process; the code is the process's.
pub fn main() -> ExitCode {
    let code = answer(std::env::args_os().collect());
    ExitCode::from(if output::is_lost() { exit::code_without_answer(code) } else { code })
}

/// Reads the call, carries it out and answers.
fn answer(arguments: Vec<OsString>) -> u8 {
    let json = asks_for_json(&arguments);
    match config::parse(for_help(arguments)) {
        Ok(cli) => run(cli),
        Err(ParseError::Config(error)) => refuse(error, json),
        // A text that was asked for: help, version.
        Err(ParseError::Clap(error)) if !error.use_stderr() => {
            let text = error.render().to_string();
            match json {
                true => output::json_line("result", &json!({ "text": text.trim_end() })),
                false => output::standard_output(text.trim_end()),
            }
            0
        }
        Err(ParseError::Clap(error)) if json => {
            let rendered = error.render().to_string();
            let told = rendered.trim().trim_start_matches("error: ").to_owned();
            let error = CommandError::usage(told, "whimbrel help COMMAND shows what there is");
            refuse(error, json)
        }
        Err(ParseError::Clap(error)) => {
            output::standard_error(error.render().to_string().trim_end());
            exit::code(&BTreeSet::from([Condition::Usage]))
        }
    }
}

/// Runs a command to its end and says how it ended.
fn run(cli: Cli) -> u8 {
    if let Err(error) = log::start(&cli.output) {
        return refuse(error, cli.output.json);
    }
    let json = cli.output.json;
    if moves_files(&cli.command)
        && let Err(error) = open_files::raise()
    {
        return refuse(error, json);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let told = format!("the runtime cannot start: {error}");
            let remedy = "raise this user's limits of threads and open files (ulimit -a)";
            return refuse(CommandError::local(told, remedy), json);
        }
    };
    // What panics in there still ends with a result and exit code 1.
    let code = match runtime.block_on(AssertUnwindSafe(execute(cli)).catch_unwind()) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => refuse(error, json),
        Err(_) => refuse(defect(), json),
    };
    // Nothing that still waits for an answer keeps the process.
    runtime.shutdown_background();
    code
}

/// Works with many files at a time.
fn moves_files(command: &Command) -> bool {
    matches!(
        command,
        Command::Migrate(_) | Command::Verify(_) | Command::Cutover(_) | Command::Failback(_)
    )
}

async fn execute(cli: Cli) -> Result<u8, CommandError> {
    let json = cli.output.json;
    match cli.command {
        Command::Migrate(arguments) => commands::migrate::run(arguments, json).await,
        Command::Verify(arguments) => {
            interruptible(commands::verify::run(arguments, json), json).await
        }
        Command::Cutover(arguments) => commands::cutover::run(arguments, json).await,
        Command::Failback(arguments) => {
            interruptible(commands::failback::run(arguments, json), json).await
        }
        Command::Doctor(arguments) => {
            interruptible(commands::doctor::run(arguments, json), json).await
        }
        Command::Status(arguments) => commands::status::run(&arguments, json).await,
        Command::Path(arguments) => commands::path::run(&arguments, json).await,
        Command::Export(arguments) => commands::export::run(&arguments, json).await,
        Command::Report(ReportCommand::Check(arguments)) => commands::report::run(&arguments, json),
        Command::Limit(arguments) => act::limit(&arguments, json).await,
        Command::Pause(arguments) => {
            act::order(&arguments, Request::Pause {}, "takes no new work", json).await
        }
        Command::Resume(arguments) => {
            act::order(&arguments, Request::Resume {}, "goes on", json).await
        }
        Command::Stop(arguments) => {
            act::order(&arguments, Request::Stop {}, "is stopping", json).await
        }
        Command::Confirm(arguments) => act::confirm(&arguments, json).await,
        Command::Version => Ok(commands::version::run(json)),
        Command::Completions(arguments) => Ok(commands::completions::run(&arguments, json)),
    }
}

fn defect() -> CommandError {
    CommandError {
        condition: Condition::Defect,
        message: "a defect of Whimbrel ended it".to_owned(),
        remedy: "report it with the lines above; the state is kept, and the same call resumes"
            .to_owned(),
    }
}

/// Ends a call that came to nothing.
fn refuse(error: CommandError, json: bool) -> u8 {
    let code = exit::code(&BTreeSet::from([error.condition]));
    output::error(&error);
    if json {
        output::json_line("result", &MigrationResult::of_error(error, code).fields());
    }
    code
}

/// Whether JSON was asked for, as far as that can be seen in a call that cannot be read.
fn asks_for_json(arguments: &[OsString]) -> bool {
    arguments.iter().skip(1).take_while(|a| *a != "--").any(|a| a == "--json")
}

/// `help` takes the names of commands alone: `--json` would be one to it.
fn for_help(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let asked = arguments.iter().skip(1).find(|argument| *argument != "--json");
    if asked.is_some_and(|asked| asked == "help") {
        arguments.retain(|argument| argument != "--json");
    }
    arguments
}
