//! What people and programs see: results and JSON lines on standard output, everything else on
//! standard error. A reader that goes away is no error of ours; a disk that takes no answer any
//! more is one of this machine.

pub mod problem;
pub mod progress;
pub mod result;
pub mod view;

use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use serde::Serialize;
use serde_json::{Map, Value};
use whimbrel_core::path::RelPath;

use crate::exit::CommandError;

/// A line of standard output could not be written, and it was told.
static LOST: AtomicBool = AtomicBool::new(false);

/// Writes one JSON line with its type and time.
pub fn json_line(kind: &str, body: &impl Serialize) {
    let line = json_text(kind, &now(), body);
    standard_output(&line);
}

/// Writes a line on standard output.
pub fn standard_output(line: &str) {
    let mut output = std::io::stdout().lock();
    match writeln!(output, "{line}").and_then(|()| output.flush()) {
        Ok(()) => {}
        Err(gone) if gone.kind() == ErrorKind::BrokenPipe => {
            tracing::debug!(error = %gone, "nobody reads standard output any more");
        }
        Err(lost) => {
            tracing::error!(error = %lost, "standard output cannot be written");
            if !LOST.swap(true, Ordering::Relaxed) {
                error(&CommandError::local(
                    format!("standard output cannot be written: {lost}"),
                    "make room where it goes; whimbrel status NAME tells how a migration ended, \
                     other commands can be asked again",
                ));
            }
        }
    }
}

/// True if lines of standard output are lost that somebody may wait for.
pub fn is_lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// Writes a line on standard error.
pub fn standard_error(line: &str) {
    let mut output = std::io::stderr().lock();
    if let Err(error) = writeln!(output, "{line}") {
        tracing::debug!(%error, "nobody reads standard error any more");
    }
}

/// What went wrong, for people.
pub fn error(error: &CommandError) {
    standard_error(&format!("whimbrel: {}", error.message));
    what_to_do(error);
}

/// What to do about it, if anything can be done.
fn what_to_do(error: &CommandError) {
    if !error.remedy.is_empty() {
        standard_error(&format!("  what to do: {}", error.remedy));
    }
}

/// `path`, and `path_base64` beside it where it is not UTF-8.
pub fn path_fields(path: &RelPath) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("path".to_owned(), Value::from(path.to_string()));
    if path.as_text().is_none() {
        let encoded = base64::engine::general_purpose::STANDARD.encode(path.as_bytes());
        fields.insert("path_base64".to_owned(), Value::from(encoded));
    }
    fields
}

/// A path for a line that people read: control characters cannot move their cursor.
pub fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

/// The time, RFC 3339, with milliseconds.
pub fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

fn json_text(kind: &str, time: &str, body: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Line<'a, T> {
        r#type: &'a str,
        time: &'a str,
        #[serde(flatten)]
        body: &'a T,
    }
    let line = Line { r#type: kind, time, body };
    serde_json::to_string(&line).unwrap_or_else(|error| {
        tracing::error!(%error, "a JSON line could not be written");
        format!("{{\"type\":{kind:?},\"time\":{time:?}}}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_begin_with_type_and_time() {
        let body = path_fields(&"a\"b".into());
        assert_eq!(
            json_text("problem", "2026-11-21T19:00:00Z", &body),
            r#"{"type":"problem","time":"2026-11-21T19:00:00Z","path":"a\"b"}"#
        );
    }

    #[test]
    fn paths_that_are_not_utf8_stand_there_twice() {
        let fields = path_fields(&RelPath::new(&b"a\xff"[..]));
        assert_eq!(fields["path"], "a\u{fffd}");
        assert_eq!(fields["path_base64"], "Yf8=");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\n\u{1b}[2Jé"), "a\\n\\u{1b}[2Jé");
    }

    #[test]
    fn the_time_is_rfc_3339() {
        let text = now();
        assert!(text.parse::<jiff::Timestamp>().is_ok() && text.ends_with('Z'), "{text}");
    }
}
