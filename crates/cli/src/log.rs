//! The log file. Nothing secret gets here: secrets have types that do not print themselves.

use std::fs::OpenOptions;
use std::sync::Mutex;

use tracing_subscriber::filter::LevelFilter;

use crate::arguments::{LogFormat, LogLevel, OutputArguments};
use crate::exit::CommandError;

/// Begins to write the log, if one is asked for.
///
/// # Errors
/// The file cannot be written.
pub fn start(arguments: &OutputArguments) -> Result<(), CommandError> {
    let Some(path) = &arguments.log else { return Ok(()) };
    let file = OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
        CommandError::local(
            format!("the log {} cannot be written: {error}", path.display()),
            "say --log with a file in a folder that this user may write to",
        )
    })?;
    let level = match arguments.log_level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let log = tracing_subscriber::fmt().with_max_level(level).with_ansi(false);
    let log = log.with_writer(Mutex::new(file));
    let begun = match arguments.log_format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    begun.map_err(|error| CommandError {
        condition: crate::exit::Condition::Defect,
        message: format!("the log was begun twice: {error}"),
        remedy: "report it".to_owned(),
    })
}
