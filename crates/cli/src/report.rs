//! `--report DIR`: what a comparison or a migration proved, for people and programs, signed.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use whimbrel_core::path::RelPath;
use whimbrel_engine::{export_at_rest, parked_at_rest};
use whimbrel_report::{
    COMPARISON, Column, Draft, Facts, RECORD, ReportError, SigningKey, Way, is_free,
};
use whimbrel_verify::Method;

use crate::arguments::ScopeArguments;
use crate::commands::verify::{self, Told};
use crate::exit::{self, CommandError, Condition};
use crate::location::Location;
use crate::output::problem::set_aside;
use crate::output::{self, path_fields, printable};
use crate::request::Pair;
use crate::state;

/// A report that is being written. What cannot be written is told at its end: the work that it
/// tells of goes on.
pub struct SignedReport {
    draft: Draft,
    key: SigningKey,
    folder: PathBuf,
    started: String,
    lost: Option<ReportError>,
}

/// Refuses a folder that a report cannot be written into, and a key that cannot sign one, before
/// anything is done.
///
/// # Errors
/// Wrong use, or this machine.
pub fn refuse(folder: Option<&Path>, pair: &Pair) -> Result<(), CommandError> {
    let Some(folder) = folder else { return Ok(()) };
    pair.refuse_report_inside(folder)?;
    if !is_free(folder)? {
        return Err(ReportError::Taken(folder.to_owned()).into());
    }
    SigningKey::at(&state::report_key()?)?;
    Ok(())
}

/// Tells that there is no report; answers the exit code of what ended with `code`.
pub fn not_written(error: &CommandError, code: u8) -> u8 {
    output::error(error);
    match error.condition {
        Condition::Defect => exit::code(&BTreeSet::from([Condition::Defect])),
        Condition::Usage
        | Condition::Signal(_)
        | Condition::Guard
        | Condition::Local
        | Condition::Source
        | Condition::Target
        | Condition::Incomplete => exit::code_without_answer(code),
    }
}

/// What a comparison cannot see, in whole sentences.
pub fn limits_of_comparison(read: bool) -> Vec<String> {
    let checksums = "By checksum: the CRC32C that the source and the target keep of the same bytes \
         were compared, and nothing was read. Bytes that a disk altered below a kept checksum are \
         not seen; verify --read sees them.";
    let reading = "By reading: all bytes of at least one side were read and their CRC32C compared \
         with that of the other.";
    let both = "By reading: all bytes of both sides were read and their CRC32C compared.";
    let presence = "By presence: a directory's marker stands on the target; it has no bytes.";
    let moving = "Each path was compared as it stood at some moment between start and end; what \
         differed and moved meanwhile was looked at again.";
    let methods = if read { vec![both] } else { vec![checksums, reading] };
    methods.into_iter().chain([presence, moving]).map(str::to_owned).collect()
}

/// Says of what a report speaks: what was left out is not proven.
pub fn add_scope(facts: &mut Facts, scope: &ScopeArguments) {
    let flags = [("--include", &scope.include), ("--exclude", &scope.exclude)];
    let flags = flags
        .into_iter()
        .chain([("--map", &scope.map), ("--no-default-exclude", &scope.no_default_exclude)]);
    let said = flags.flat_map(|(flag, values)| values.iter().map(move |it| format!("{flag} {it}")));
    let all = scope.no_default_excludes.then(|| "--no-default-excludes".to_owned());
    let said: Vec<String> = said.chain(all).collect();
    let text = match said.is_empty() {
        true => "everything but the ready-made exclusions".to_owned(),
        false => said.join(" "),
    };
    facts.about.push(("scope".to_owned(), text));
    let fields = json!({
        "include": scope.include,
        "exclude": scope.exclude,
        "map": scope.map,
        "no_default_excludes": scope.no_default_excludes,
        "no_default_exclude": scope.no_default_exclude,
    });
    facts.fields.insert("scope".to_owned(), fields);
}

/// What the end of a migration cannot say, in whole sentences.
pub fn limits_of_migration() -> Vec<String> {
    let texts = [
        "Written with checksum: the CRC32C of the bytes as they were read went with the write, and \
         the target refuses what does not agree, or it was compared after the write.",
        "Adopted: an object that stood there already and was equal, or was taken as such with \
         --existing trust.",
        "The totals are those of the last run; report.json has those of all runs beside them.",
        "What others change on the target after it was written is not seen here; whimbrel verify \
         sees it.",
    ];
    texts.into_iter().map(str::to_owned).collect()
}

impl SignedReport {
    /// Begins the report of a comparison.
    ///
    /// # Errors
    /// No key, or the folder cannot be written.
    pub fn of_comparison(folder: &Path) -> Result<Self, CommandError> {
        Self::begin(folder, COMPARISON, output::now())
    }

    /// Writes what the ledger of a migration keeps that does not run any more.
    ///
    /// # Errors
    /// No key, a folder that cannot be written, or a state that cannot be read.
    pub fn of_migration(
        folder: &Path,
        state: &Path,
        started: String,
    ) -> Result<Self, CommandError> {
        let mut report = Self::begin(folder, RECORD, started)?;
        export_at_rest(state, None, &mut |records| {
            records.iter().try_for_each(|record| {
                let kind = record.get("kind").and_then(Value::as_str).unwrap_or_default();
                report.add(record, Way { kind, method: method_of(record) })
            })
        })?;
        parked_at_rest(state, &mut |parked| {
            let (kind, _) = set_aside(parked.reason);
            report.except(&parked.path, kind, &parked.message)
        })?;
        Ok(report)
    }

    fn begin(
        folder: &Path,
        columns: &'static [Column],
        started: String,
    ) -> Result<Self, CommandError> {
        let key = SigningKey::at(&state::report_key()?)?;
        let draft = Draft::begin(folder, columns)?;
        Ok(Self { draft, key, folder: folder.to_owned(), started, lost: None })
    }

    /// Adds what a comparison said of one path.
    pub fn compared(&mut self, told: &Told<'_>) {
        if self.lost.is_some() {
            return;
        }
        // Nothing but the first failure is told, at the end.
        let _ = match told {
            Told::Equal(equal) => {
                let (kind, method) = (kind_of(&equal.path), method_name(equal.method));
                let fields = json!({
                    "kind": kind, "length": equal.length, "result": "equal", "method": method,
                });
                self.add(&with_path(&equal.path, fields), Way { kind, method })
            }
            Told::Difference(difference) => {
                let (path, message) = (&difference.path, difference.message.as_str());
                let (kind, result) = (kind_of(path), verify::kind(difference.kind));
                let fields = json!({
                    "kind": kind, "length": difference.length, "result": result,
                    "message": message,
                });
                match self.add(&with_path(path, fields), Way { kind, method: result }) {
                    ControlFlow::Continue(()) => self.except(path, result, message),
                    lost @ ControlFlow::Break(()) => lost,
                }
            }
        };
    }

    /// Writes the rest and signs it; answers the folder.
    ///
    /// # Errors
    /// It could not be written, now or before.
    pub fn finish(self, facts: Facts, pair: &Pair) -> Result<String, CommandError> {
        if let Some(lost) = self.lost {
            return Err(lost.into());
        }
        let ended = output::now();
        let mut about = vec![
            ("source".to_owned(), pair.source.to_string()),
            ("target".to_owned(), pair.target.to_string()),
            ("started".to_owned(), self.started.clone()),
            ("ended".to_owned(), ended.clone()),
            ("Whimbrel".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ];
        about.extend(facts.about);
        let mut fields = facts.fields;
        add_location(&mut fields, "source", &pair.source);
        add_location(&mut fields, "target", &pair.target);
        fields.insert("started".to_owned(), self.started.into());
        fields.insert("ended".to_owned(), ended.into());
        fields.insert("whimbrel".to_owned(), env!("CARGO_PKG_VERSION").into());
        self.draft.finish(&Facts { about, fields, ..facts }, &self.key)?;
        Ok(printable(&self.folder.to_string_lossy()))
    }

    fn add(&mut self, record: &Value, way: Way<'_>) -> ControlFlow<()> {
        let added = self.draft.file(record, way);
        self.note(added)
    }

    fn except(&mut self, path: &RelPath, kind: &str, message: &str) -> ControlFlow<()> {
        let record = with_path(path, json!({ "kind": kind, "message": message }));
        let added = self.draft.exception(&record);
        self.note(added)
    }

    fn note(&mut self, added: Result<(), ReportError>) -> ControlFlow<()> {
        match added {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.lost = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}

/// The URL; beside it its bytes where it is not UTF-8. A location never holds a secret.
fn add_location(fields: &mut Map<String, Value>, name: &str, location: &Location) {
    let url = location.url();
    fields.insert(name.to_owned(), location.to_string().into());
    if url.to_str().is_none() {
        let encoded = STANDARD.encode(url.as_encoded_bytes());
        fields.insert(format!("{name}_base64"), encoded.into());
    }
}

fn with_path(path: &RelPath, fields: Value) -> Value {
    let mut record = path_fields(path);
    if let Value::Object(fields) = fields {
        record.extend(fields);
    }
    Value::Object(record)
}

fn kind_of(path: &RelPath) -> &'static str {
    if path.is_marker() { "marker" } else { "file" }
}

fn method_name(method: Method) -> &'static str {
    match method {
        Method::Checksum => "checksum",
        Method::Reading => "reading",
        Method::Presence => "presence",
        Method::Length => "length",
    }
}

/// How the ledger knows what stands on the target.
fn method_of(record: &Value) -> &'static str {
    let is_directory = record.get("kind").and_then(Value::as_str) == Some("directory");
    let verified = record.get("verified").and_then(Value::as_bool);
    match (verified, record.get("attempt").is_some_and(Value::is_u64)) {
        _ if is_directory => "kept_in_the_ledger",
        (Some(false), _) => "to_be_looked_at",
        (Some(true), _) => "written_with_checksum",
        (None, true) => "written_without_checksum",
        (None, false) => "adopted",
    }
}

impl From<ReportError> for CommandError {
    fn from(error: ReportError) -> Self {
        let told = error.to_string();
        match error {
            ReportError::Taken(_) => Self::usage(told, "name a new folder for each report"),
            ReportError::NoFolder(_) => Self::usage(told, "name the folder of a report"),
            ReportError::Key { .. } => Self::local(
                told,
                "chmod 600 a key that is yours; another one is made where none stands, and what \
                 the old one signed is still checked with its public key",
            ),
            ReportError::File { .. } | ReportError::Table { .. } | ReportError::NoRandomness => {
                let remedy = "make room and see to this user's rights there, then ask again";
                Self::local(format!("the report: {told}"), remedy)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_of_what_the_ledger_keeps() {
        for (record, expected) in [
            (json!({ "kind": "directory" }), "kept_in_the_ledger"),
            (json!({ "kind": "file", "verified": false, "attempt": 1 }), "to_be_looked_at"),
            (json!({ "kind": "file", "verified": true, "attempt": 1 }), "written_with_checksum"),
            (json!({ "kind": "file", "attempt": 1 }), "written_without_checksum"),
            (json!({ "kind": "file", "verified": null, "attempt": null }), "adopted"),
        ] {
            assert_eq!(method_of(&record), expected, "{record}");
        }
    }

    #[test]
    fn a_location_that_is_not_utf8_is_told_by_its_bytes_too() {
        use std::os::unix::ffi::OsStrExt;
        let location = Location::parse(std::ffi::OsStr::from_bytes(b"/a\xff")).unwrap();
        let mut fields = Map::new();
        add_location(&mut fields, "source", &location);
        assert_eq!(fields["source"], "file:///a\u{fffd}");
        assert_eq!(fields["source_base64"], "ZmlsZTovLy9h/w==");
    }
}
