//! `whimbrel failback NAME`: what users changed on the target goes back to the source.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value, json};
use whimbrel_core::failure::Side;
use whimbrel_core::metadata::MetadataLevel;
use whimbrel_engine::{
    Deed, FailbackSetup, FailbackSums, FailbackTold, Limits, Rate, State, failback,
};
use whimbrel_store::error::StoreError;
use whimbrel_store::failback::Failback;
use whimbrel_store::local::{LocalTarget, OverTarget};

use super::migrate::{TARGET_DIRECTORY, open_state};
use crate::arguments::{ConnectionArguments, FailbackArguments};
use crate::cutover::record::{self, Record};
use crate::exit::{self, CommandError, Condition};
use crate::location::Location;
use crate::open::{self, Absent, OpenSource, OpenTarget};
use crate::output;
use crate::output::result::{bytes, count, grouped};
use crate::record::Call;
use crate::request::{Coverage, Pair};
use crate::state::{self, StatePlace};

/// Beside the migration's name: what a killed call leaves in a tree of this machine is then of the
/// ready-made exclusions, and never taken for the source's own.
const LEFT_OUT: &str = "._COPYING_";

/// Carries back what changed at the target.
///
/// # Errors
/// A call that cannot be; a migration that runs, a fence that stands; a side that does not answer.
pub async fn run(arguments: FailbackArguments, json: bool) -> Result<u8, CommandError> {
    let started = Instant::now();
    let place = state::existing(&arguments.name, arguments.state.as_deref())?;
    let call = Call::read(&place.folder)?.ok_or_else(|| {
        CommandError::usage(
            format!("the migration {} has never begun: nothing can go back", place.name),
            "start it with whimbrel migrate SOURCE TARGET",
        )
    })?;
    let connection = call.connection(&arguments.connection);
    let pair = Pair::parse(&call.source(), &call.target(), &connection)?;
    let coverage = Coverage::parse(&call.scope())?;
    let _cutover = record::take(&place.folder)?;
    refuse_behind_a_fence(&place)?;
    let state = open_state(&place, &pair, &coverage).await?;
    let setup = opened(&arguments, &call, &pair, coverage, connection, state).await?;
    announce(&place, &pair, &arguments, json);
    let dry_run = arguments.dry_run;
    let sums = failback(setup, &mut |told| tell(&told, dry_run, json)).await?;
    Ok(answer(&arguments, &sums, started, json))
}

fn refuse_behind_a_fence(place: &StatePlace) -> Result<(), CommandError> {
    let record = Record::read(&place.folder)?;
    let Some(fence) = record.fence() else { return Ok(()) };
    Err(CommandError::usage(
        format!(
            "the fence {} of a cut-over stands at the source: nothing is written behind it",
            fence.kind.name()
        ),
        format!(
            "whimbrel cutover {} --undo-fence lets the source be changed again; then say it again",
            place.name
        ),
    ))
}

async fn opened(
    arguments: &FailbackArguments,
    call: &Call,
    pair: &Pair,
    coverage: Coverage,
    connection: ConnectionArguments,
    state: State,
) -> Result<FailbackSetup, CommandError> {
    let metadata = call.metadata();
    let acl = metadata != MetadataLevel::None;
    let source = open::source(&pair.source, &connection, acl).await?;
    let target = open::target_to_look_at(&pair.target, &connection, Absent::Refused).await?;
    refuse_another_directory(&target, &state)?;
    let name = state.migration();
    let writer = writer(&pair.source, &source, name, arguments.dry_run).await?;
    let coverage = match source.single_file {
        Some(name) => coverage.of_single_file(name)?,
        None => coverage,
    };
    let rate = |limit: Option<u64>| Rate::new(limit.unwrap_or_default());
    Ok(FailbackSetup {
        state,
        source: source.source,
        writer,
        keys: coverage.keys(target.prefix())?,
        target: target.into_target(),
        scope: coverage.scope,
        metadata,
        conflicts: arguments.conflicts.policy(),
        guard: arguments.guard(),
        removals_confirmed: arguments.confirm_removals,
        dry_run: arguments.dry_run,
        limits: Arc::new(Limits {
            bandwidth_bytes: rate(arguments.bandwidth.map(|rate| rate.bytes_per_second)),
            source_calls: rate(arguments.namenode_calls.map(|rate| rate.calls_per_second)),
            target_requests: rate(arguments.target_requests.map(|rate| rate.calls_per_second)),
            ..Limits::default()
        }),
        transfers: arguments.transfers as usize,
    })
}

/// What is not mounted looks empty, and everything would go at the source.
fn refuse_another_directory(target: &OpenTarget, state: &State) -> Result<(), CommandError> {
    let (Some(local), Some(known)) = (target.local(), state.remembered(TARGET_DIRECTORY)?) else {
        return Ok(());
    };
    let failed = |error: StoreError| CommandError::from(error.into_failure(Side::Target));
    if local.root_name().map_err(failed)? == known {
        return Ok(());
    }
    Err(CommandError {
        condition: Condition::Target,
        message: "another directory stands at the target than the one that was migrated to"
            .to_owned(),
        remedy: "mount it again, or put it back".to_owned(),
    })
}

async fn writer(
    location: &Location,
    source: &OpenSource,
    migration: &str,
    dry_run: bool,
) -> Result<Arc<dyn Failback>, CommandError> {
    let failed = |error: StoreError| CommandError::from(error.into_failure(Side::Source));
    let refused = |why: &str| {
        Err(CommandError::usage(
            format!("{location} cannot be written to: {why}"),
            "migrate what is to go back by a migration of its own",
        ))
    };
    match (location, &source.hdfs) {
        (Location::Hdfs { .. }, Some(hdfs)) => {
            match hdfs.failback(migration).await.map_err(failed)? {
                Some(writer) => Ok(writer),
                None => refused("it is a snapshot"),
            }
        }
        (Location::Local { path }, _) => {
            let root = match (&source.single_file, path.parent()) {
                (Some(_), Some(folder)) => folder,
                (Some(_) | None, _) => path,
            };
            let name = format!("{migration}{LEFT_OUT}");
            // To open it for writing is to try out what can be written.
            let target = match dry_run {
                true => LocalTarget::look_at(root),
                false => LocalTarget::open(root, &name, &[]),
            };
            let target = target.map_err(failed)?;
            let source = source.source.clone();
            Ok(Arc::new(OverTarget::new(source, target, migration)))
        }
        (Location::Bucket { .. } | Location::Hdfs { .. }, _) => {
            refused("fail-back goes to HDFS and to file systems")
        }
    }
}

fn announce(place: &StatePlace, pair: &Pair, arguments: &FailbackArguments, json: bool) {
    let (source, target) = (pair.source.to_string(), pair.target.to_string());
    if json {
        let fields = json!({
            "name": place.name,
            "source": source,
            "target": target,
            "dry_run": arguments.dry_run,
        });
        return output::json_line("started", &fields);
    }
    output::standard_error(&format!("{}: {target} -> {source}", place.name));
}

fn tell(told: &FailbackTold, dry_run: bool, json: bool) {
    match told {
        FailbackTold::Done { path, deed } => {
            let (word, would) = words(*deed);
            if json {
                let mut fields = output::path_fields(path);
                fields.insert("change".to_owned(), word.into());
                return output::json_line("change", &fields);
            }
            if dry_run {
                output::standard_output(&format!(
                    "{would} {}",
                    output::printable(&path.to_string())
                ));
            }
        }
        FailbackTold::Problem { path, kind, message, remedy } => {
            if json {
                let mut fields = output::path_fields(path);
                fields.insert("kind".to_owned(), (*kind).into());
                fields.insert("message".to_owned(), message.clone().into());
                fields.insert("remedy".to_owned(), remedy.clone().into());
                return output::json_line("problem", &fields);
            }
            let named = if message.contains(&path.to_string()) {
                message.clone()
            } else {
                format!("{path}: {message}")
            };
            output::standard_error(&format!("{kind}: {}", output::printable(&named)));
            if !remedy.is_empty() {
                output::standard_error(&format!("  what to do: {remedy}"));
            }
        }
    }
}

/// For programs, and for people before it is done.
fn words(deed: Deed) -> (&'static str, &'static str) {
    match deed {
        Deed::Carried => ("carried", "would carry back"),
        Deed::Removed => ("removed", "would remove"),
        Deed::DirectoryMade => ("directory_made", "would make the directory"),
        Deed::DirectoryRemoved => ("directory_removed", "would remove the directory"),
    }
}

fn answer(arguments: &FailbackArguments, sums: &FailbackSums, started: Instant, json: bool) -> u8 {
    let mut conditions = BTreeSet::new();
    if sums.guarded > 0 {
        conditions.insert(Condition::Guard);
        let gone = ["object is gone at the target", "objects are gone at the target"];
        let what = count(sums.guarded, gone[0], gone[1]);
        let name = &arguments.name;
        output::error(&CommandError {
            condition: Condition::Guard,
            message: format!("{what}: nothing is removed at the source before you have looked"),
            remedy: format!("look at the target, then whimbrel failback {name} --confirm-removals"),
        });
    }
    if sums.failures > 0 {
        conditions.insert(Condition::Incomplete);
    }
    let code = exit::code(&conditions);
    let outcome = if conditions.is_empty() { "done" } else { "incomplete" };
    if json {
        let mut fields = Map::new();
        fields.insert("outcome".into(), outcome.into());
        fields.insert("name".into(), arguments.name.clone().into());
        fields.insert("dry_run".into(), arguments.dry_run.into());
        if let Ok(Value::Object(counts)) = serde_json::to_value(sums) {
            fields.extend(counts);
        }
        fields.insert("elapsed_seconds".into(), started.elapsed().as_secs_f64().into());
        fields.insert("exit_code".into(), code.into());
        output::json_line("result", &fields);
    } else {
        output::standard_output(&text(arguments.dry_run, sums, code));
    }
    code
}

fn text(dry_run: bool, sums: &FailbackSums, code: u8) -> String {
    let verdict = match (dry_run, code) {
        (true, _) => "Dry run: nothing was written.",
        (false, 0) => "Everything that changed at the target is back at the source.",
        (false, _) => "Not everything is back: see what was told above.",
    };
    let files = |number| count(number, "file", "files");
    let rows = [
        ("carried back", format!("{}, {}", files(sums.files_carried), bytes(sums.bytes_carried))),
        ("removed", files(sums.files_removed)),
        (
            "directories",
            format!(
                "{} made, {} removed",
                grouped(sums.directories_made),
                grouped(sums.directories_removed)
            ),
        ),
        ("equal already", files(sums.files_equal)),
        ("conflicts", grouped(sums.conflicts)),
        ("other problems", grouped(sums.failures - sums.conflicts)),
    ];
    let rows = rows.iter().map(|(name, value)| format!("\n  {name:<16}  {value}"));
    format!("{verdict}{}", rows.collect::<String>())
}
