//! `whimbrel migrate … --dry-run`: what a run would find to do, by names and lengths alone.

mod gone;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::mpsc;
use whimbrel_core::config::DirectoryMarkers;
use whimbrel_core::metadata::MetadataLevel;
use whimbrel_verify::{Content, Difference, DifferenceKind, Options, Sums};

use super::verify::{Comparing, Told, compare};
use crate::arguments::MigrateArguments;
use crate::exit::{self, CommandError, Condition};
use crate::open::{self, Absent};
use crate::output;
use crate::output::result::{MigrationResult, Outcome, bytes, count, grouped};
use crate::request::{Coverage, Pair};
use crate::state::StatePlace;
use gone::{Gone, Judge};

/// What would be done.
#[derive(Default)]
struct Plan {
    copies: u64,
    copy_bytes: u64,
    replacements: u64,
    gone: Gone,
}

/// Compares both sides and tells what a run would copy and remove; writes nothing anywhere. As long
/// as there is any of it the outcome is `incomplete` and the exit code that of a difference.
///
/// # Errors
/// A side that cannot be opened or listed; a state that a run refuses.
pub async fn run(
    (pair, coverage, place): (&Pair, &Coverage, &StatePlace),
    arguments: &MigrateArguments,
    json: bool,
) -> Result<u8, CommandError> {
    let judge = Judge::of(place, pair, coverage, arguments).await?;
    let connection = &arguments.connection;
    let source = open::source(&pair.source, connection, false).await?;
    let target = open::target_to_look_at(&pair.target, connection, Absent::Empty).await?;
    let options = Options {
        content: Content::Length,
        ignore_extras: false,
        metadata: MetadataLevel::None,
        directory_markers: DirectoryMarkers::Empty,
        parallel: super::verify::PARALLEL,
        patience: super::verify::PATIENCE,
        sample: None,
    };
    let mut plan = Plan::default();
    let comparing = Comparing::new(source, target, coverage.clone(), options, None)?;
    let (sender, only_on_target) = mpsc::unbounded_channel();
    let copies = &mut plan;
    let compared = compare(comparing, json, Arc::default(), move |told| {
        let Told::Difference(difference) = told else { return };
        copies.add(difference);
        if difference.kind == DifferenceKind::Extra {
            // Whoever counts them ends after this, or has failed, and that is told.
            let _ = sender.send(difference.path.clone());
        }
    });
    let (sums, gone) = tokio::try_join!(compared, judge.count(only_on_target))?;
    plan.gone = gone;
    Ok(plan.tell(&sums, json))
}

impl Plan {
    fn add(&mut self, difference: &Difference) {
        let replaces = match difference.kind {
            DifferenceKind::Missing => 0,
            DifferenceKind::Different => 1,
            DifferenceKind::Extra
            | DifferenceKind::MetadataDifferent
            | DifferenceKind::Unverifiable
            | DifferenceKind::Moving
            | DifferenceKind::Delayed => return,
        };
        if !difference.path.is_marker() {
            self.copies += 1;
            self.copy_bytes += difference.length;
            self.replacements += replaces;
        }
    }

    /// Answers the exit code.
    fn tell(&self, sums: &Sums, json: bool) -> u8 {
        let (outcome, conditions) = match self.copies + self.gone.files + self.gone.directories {
            0 => (Outcome::Equal, BTreeSet::new()),
            _ => (Outcome::Incomplete, BTreeSet::from([Condition::Incomplete])),
        };
        let mut result = MigrationResult {
            outcome,
            exit_code: exit::code(&conditions),
            removals_delayed: self.gone.delayed,
            extras: self.gone.extras,
            ..MigrationResult::default()
        };
        result.run.files_scanned = sums.files_compared;
        result.total.files_scanned = sums.files_compared;
        if json {
            let mut fields = result.fields();
            fields.insert("dry_run".into(), json!(true));
            fields.insert("would_copy_files".into(), json!(self.copies));
            fields.insert("would_copy_bytes".into(), json!(self.copy_bytes));
            fields.insert("would_replace_files".into(), json!(self.replacements));
            fields.insert("would_remove_files".into(), json!(self.gone.files));
            fields.insert("would_remove_directories".into(), json!(self.gone.directories));
            output::json_line("result", &fields);
        } else {
            output::standard_output(&self.text(sums));
        }
        result.exit_code
    }

    fn text(&self, sums: &Sums) -> String {
        let mut lines = vec![
            "Dry run: nothing was written.".to_owned(),
            format!("  scanned           {}", count(sums.files_compared, "file", "files")),
            format!(
                "  would copy        {}, {}, {} of them over others of another length",
                count(self.copies, "file", "files"),
                bytes(self.copy_bytes),
                grouped(self.replacements)
            ),
        ];
        let Gone { files, directories, delayed, extras } = self.gone;
        let mut removed = count(files, "file", "files");
        if directories > 0 {
            let directories = count(directories, "directory", "directories");
            removed = format!("{removed} and {directories}");
        }
        lines.push(format!("  would remove      {removed} that the source does not have"));
        if delayed > 0 {
            let delayed = count(delayed, "object", "objects");
            let told = "gone at the source until their time is over";
            lines.push(format!("  would keep        {delayed} {told}"));
        }
        let extras = count(extras, "object", "objects");
        lines.push(format!("  extras            {extras} that others wrote, which stay"));
        lines.push("Files of equal length are compared by their checksums in a real run.".into());
        lines.join("\n")
    }
}
