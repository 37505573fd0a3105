//! The result of a migration: the last JSON line, or the summary that people read.

use serde_json::{Map, Value};
use whimbrel_core::config::RemovalGuard;
use whimbrel_core::record::Counters;

use super::progress::delayed;
use crate::exit::CommandError;

/// One, and several.
const FILES: [&str; 2] = ["file", "files"];
const PATHS: [&str; 2] = ["path", "paths"];

/// How a migration ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// The target equals the source.
    Equal,
    /// It ran to the end, but some paths failed or are open.
    Incomplete,
    /// It came to nothing, or did not get to the end.
    #[default]
    Failed,
    /// Somebody stopped it; it resumes.
    Stopped,
}

impl Outcome {
    /// As it stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// What a migration's result says.
#[derive(Clone, Debug, Default)]
pub struct MigrationResult {
    /// How it ended.
    pub outcome: Outcome,
    /// Over all runs.
    pub total: Counters,
    /// Of this run.
    pub run: Counters,
    /// Pending entries that went from memory to the disk, over all runs.
    pub spilled: u64,
    /// Paths that failed and stay pending.
    pub failures: u64,
    /// Files that are open at the source.
    pub files_open: u64,
    /// Paths that a guard holds.
    pub guarded: u64,
    /// When removals wait for a person.
    pub guard: RemovalGuard,
    /// Paths gone at the source that stay until their time is over.
    pub removals_delayed: u64,
    /// When the first of them is, in milliseconds since the Unix epoch.
    pub removals_delayed_next_ms: Option<u64>,
    /// How long what is gone stays.
    pub removals_after_seconds: f64,
    /// Objects that the source does not have.
    pub extras: u64,
    /// Objects of earlier runs that the scope does not cover any more.
    pub out_of_scope: u64,
    /// Objects that carry older metadata than their files have; the ledger has the newer.
    pub metadata_ledger_only: u64,
    /// Writes of this run to a local target that could not set owner or group.
    pub run_owners_not_set: u64,
    /// Listings that this run asked the source for.
    pub run_source_listings: u64,
    /// Those that an image gave in their place.
    pub run_image_listings: u64,
    /// Those that migrations to other targets asked for.
    pub run_shared_listings: u64,
    /// Every change up to it is on the target, parked paths aside; `None` without a stream.
    pub as_of_txid: Option<u64>,
    /// How far the target is behind; 0 without a stream.
    pub lag_seconds: f64,
    /// All runs together.
    pub elapsed_seconds: f64,
    /// This run.
    pub run_elapsed_seconds: f64,
    /// The migration's name; empty where it never got one.
    pub name: String,
    /// What ended it, if it did not end by itself.
    pub error: Option<CommandError>,
    /// Where its signed report stands, if one was asked for and written.
    pub report: Option<String>,
    /// The exit code of the process.
    pub exit_code: u8,
}

impl MigrationResult {
    /// The result of a call that came to nothing.
    pub fn of_error(error: CommandError, exit_code: u8) -> Self {
        Self { error: Some(error), exit_code, ..Self::default() }
    }

    /// As it stands in JSON.
    pub fn fields(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        fields.insert("outcome".into(), self.outcome.name().into());
        add_counters(&mut fields, "", &self.total);
        add_counters(&mut fields, "run_", &self.run);
        fields.insert("spilled".into(), self.spilled.into());
        for prefix in ["", "run_"] {
            fields.insert(format!("{prefix}failures"), self.failures.into());
            fields.insert(format!("{prefix}files_open"), self.files_open.into());
            fields.insert(format!("{prefix}guarded"), self.guarded.into());
            fields.insert(format!("{prefix}extras"), self.extras.into());
        }
        fields.insert("removals_max".into(), self.guard.count_max.into());
        let share = self.guard.share_max_percent;
        fields.insert("removals_share_max_percent".into(), share.into());
        fields.insert("removals_delayed".into(), self.removals_delayed.into());
        fields.insert("removals_delayed_next_ms".into(), self.removals_delayed_next_ms.into());
        fields.insert("removals_after_seconds".into(), self.removals_after_seconds.into());
        fields.insert("out_of_scope".into(), self.out_of_scope.into());
        fields.insert("metadata_ledger_only".into(), self.metadata_ledger_only.into());
        fields.insert("run_owners_not_set".into(), self.run_owners_not_set.into());
        fields.insert("run_source_listings".into(), self.run_source_listings.into());
        fields.insert("run_image_listings".into(), self.run_image_listings.into());
        fields.insert("run_shared_listings".into(), self.run_shared_listings.into());
        fields.insert("as_of_txid".into(), self.as_of_txid.into());
        fields.insert("lag_seconds".into(), self.lag_seconds.into());
        fields.insert("elapsed_seconds".into(), self.elapsed_seconds.into());
        fields.insert("run_elapsed_seconds".into(), self.run_elapsed_seconds.into());
        fields.insert("exit_code".into(), self.exit_code.into());
        if !self.name.is_empty() {
            fields.insert("name".into(), self.name.as_str().into());
        }
        if let Some(report) = &self.report {
            fields.insert("report".into(), report.as_str().into());
        }
        if let Some(error) = &self.error {
            fields.insert("message".into(), error.message.as_str().into());
            fields.insert("remedy".into(), error.remedy.as_str().into());
        }
        fields
    }

    /// As people read it.
    pub fn text(&self) -> String {
        let mut lines = vec![self.verdict()];
        lines.extend(self.rows().iter().map(|(name, value)| format!("  {name:<18}{value}")));
        lines.extend(self.report.iter().map(|report| format!("  {:<18}{report}", "report")));
        lines.join("\n")
    }

    /// This run's counts, by name.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let run = &self.run;
        let mut rows = Vec::new();
        let mut row = |name, value: String| rows.push((name, value));
        let files = |number| count(number, FILES[0], FILES[1]);
        row("scanned", files(run.files_scanned));
        row("copied", format!("{}, {}", files(run.files_copied), bytes(run.bytes_copied)));
        for (name, number, [one, several]) in [
            ("unchanged", run.files_skipped, FILES),
            (
                "replaced",
                run.files_replaced,
                ["file that others had written", "files that others had written"],
            ),
            ("relocated", run.files_relocated, FILES),
            ("removed", run.files_removed, FILES),
            ("metadata renewed", run.metadata_updated, FILES),
            ("changes seen", run.changes_seen, ["", ""]),
            (
                "unverified",
                run.unverified,
                ["file taken over on equal length alone", "files taken over on equal length alone"],
            ),
            (
                "extras",
                self.extras,
                ["object that the source does not have", "objects that the source does not have"],
            ),
            (
                "out of scope",
                self.out_of_scope,
                ["object of an earlier run, which stays", "objects of earlier runs, which stay"],
            ),
            (
                "in the ledger",
                self.metadata_ledger_only,
                [
                    "file whose object keeps older metadata",
                    "files whose objects keep older metadata",
                ],
            ),
            (
                "owner not set",
                self.run_owners_not_set,
                ["file or directory", "files and directories"],
            ),
            (
                "open",
                self.files_open,
                ["file being written at the source", "files being written at the source"],
            ),
            ("held by a guard", self.guarded, PATHS),
            ("failed", self.failures, PATHS),
        ] {
            if number > 0 {
                row(name, count(number, one, several).trim_end().to_owned());
            }
        }
        if let Some(text) = delayed(self.removals_delayed, self.removals_delayed_next_ms) {
            row("delayed", text);
        }
        if let Some(txid) = self.as_of_txid {
            row("as of transaction", txid.to_string());
        }
        row("time", format!("{:.1} s", self.run_elapsed_seconds));
        rows
    }

    /// One sentence.
    pub fn verdict(&self) -> String {
        let kept = "; what is gone at the source stays until its time is over.";
        let verdict = match self.outcome {
            Outcome::Equal if self.as_of_txid.is_some() => "Equal: the target equals the source.",
            Outcome::Equal => "Equal: the target equals the source as it was listed.",
            Outcome::Incomplete => "Incomplete: it ran to the end, but not every path arrived.",
            Outcome::Failed => "Failed.",
            Outcome::Stopped => "Stopped: start the same call again to go on from here.",
        };
        match verdict.strip_suffix('.') {
            Some(said) if self.outcome == Outcome::Equal && self.removals_delayed > 0 => {
                format!("{said}{kept}")
            }
            Some(_) | None => verdict.to_owned(),
        }
    }
}

/// A number with its thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with what it counts: one, or several.
pub fn count(number: u64, one: &str, several: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { several })
}

/// Bytes with the unit that keeps the number short.
pub fn bytes(number: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let power = if number == 0 { 0 } else { number.ilog2() as usize / 10 };
    let unit = units.get(power).copied().unwrap_or("EiB");
    if power == 0 {
        return format!("{number} B");
    }
    format!("{:.1} {unit}", number as f64 / 1024_f64.powi(i32::try_from(power).unwrap_or(0)))
}

fn add_counters(fields: &mut Map<String, Value>, prefix: &str, counters: &Counters) {
    if let Ok(Value::Object(named)) = serde_json::to_value(counters) {
        for (name, value) in named {
            fields.insert(format!("{prefix}{name}"), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_always_has_what_scripts_rely_on() {
        let error = CommandError::usage("wrong", "right");
        let fields = MigrationResult::of_error(error, 2).fields();
        for name in [
            "outcome",
            "files_scanned",
            "files_copied",
            "bytes_copied",
            "files_replaced",
            "files_relocated",
            "files_removed",
            "files_skipped",
            "files_open",
            "extras",
            "failures",
            "changes_seen",
            "as_of_txid",
            "lag_seconds",
            "elapsed_seconds",
            "run_files_copied",
            "run_bytes_copied",
        ] {
            assert!(fields.contains_key(name), "{name}");
        }
        assert_eq!(fields["outcome"], "failed");
        assert!(fields["as_of_txid"].is_null());
    }

    #[test]
    fn numbers_for_people() {
        for (number, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (1234567, "1,234,567")]
        {
            assert_eq!(grouped(number), expected);
        }
        assert_eq!(
            (count(1, "file", "files"), count(0, "file", "files")),
            ("1 file".into(), "0 files".into())
        );
        for (number, expected) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (u64::MAX, "16.0 EiB")]
        {
            assert_eq!(bytes(number), expected);
        }
    }
}
