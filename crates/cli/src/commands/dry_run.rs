//! `whimbrel migrate … --dry-run`: what a run would find to do, by names and lengths alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;
use whimbrel_core::config::DirectoryMarkers;
use whimbrel_core::metadata::MetadataLevel;
use whimbrel_verify::{Content, DifferenceKind, Options};

use super::verify::{Comparing, Told, compare};
use crate::arguments::MigrateArguments;
use crate::exit::{self, CommandError, Condition};
use crate::open::{self, Absent};
use crate::output;
use crate::output::result::{MigrationResult, Outcome, bytes, grouped};
use crate::request::{Coverage, Pair};

/// What would be done.
#[derive(Default)]
struct Plan {
    copies: u64,
    copy_bytes: u64,
    replacements: u64,
}

/// Compares both sides and tells what a run would copy; writes nothing anywhere. As long as
/// something is to be copied the outcome is `incomplete` and the exit code that of a difference.
///
/// # Errors
/// A side that cannot be opened or listed.
pub async fn run(
    pair: &Pair,
    coverage: &Coverage,
    arguments: &MigrateArguments,
    json: bool,
) -> Result<u8, CommandError> {
    let connection = &arguments.connection;
    let source = open::source(&pair.source, connection, false).await?;
    let target = open::target_to_look_at(&pair.target, connection, Absent::Empty).await?;
    let options = Options {
        content: Content::Length,
        ignore_extras: true,
        metadata: MetadataLevel::None,
        directory_markers: DirectoryMarkers::Empty,
        parallel: super::verify::PARALLEL,
        patience: super::verify::PATIENCE,
        sample: None,
    };
    let mut plan = Plan::default();
    let comparing = Comparing::new(source, target, coverage.clone(), options, None)?;
    let sums = compare(comparing, json, Arc::default(), |told| {
        let Told::Difference(difference) = told else { return };
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
            plan.copies += 1;
            plan.copy_bytes += difference.length;
            plan.replacements += replaces;
        }
    })
    .await?;
    let (outcome, conditions) = match plan.copies {
        0 => (Outcome::Equal, BTreeSet::new()),
        _ => (Outcome::Incomplete, BTreeSet::from([Condition::Incomplete])),
    };
    let mut result = MigrationResult {
        outcome,
        exit_code: exit::code(&conditions),
        extras: sums.extra,
        ..MigrationResult::default()
    };
    result.run.files_scanned = sums.files_compared;
    result.total.files_scanned = sums.files_compared;
    if json {
        let mut fields = result.fields();
        fields.insert("dry_run".into(), json!(true));
        fields.insert("would_copy_files".into(), json!(plan.copies));
        fields.insert("would_copy_bytes".into(), json!(plan.copy_bytes));
        fields.insert("would_replace_files".into(), json!(plan.replacements));
        output::json_line("result", &fields);
    } else {
        output::standard_output(&format!(
            "Dry run: nothing was written.\n  scanned           {} files\n  would copy        {} \
             files, {}, {} of them over others of another length\n  extras            {} objects \
             that the source does not have\nFiles of equal length are compared by their checksums \
             in a real run.",
            grouped(sums.files_compared),
            grouped(plan.copies),
            bytes(plan.copy_bytes),
            grouped(plan.replacements),
            grouped(sums.extra)
        ));
    }
    Ok(result.exit_code)
}
