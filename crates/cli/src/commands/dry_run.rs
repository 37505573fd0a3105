//! `whimbrel migrate … --dry-run`: what a run would find to do, by names, lengths and what the
//! state knows.

mod above;
mod commit_markers;
mod directories;
mod judge;
mod memory;
mod plan;

use std::sync::Arc;

use whimbrel_core::config::Config;
use whimbrel_core::metadata::MetadataLevel;
use whimbrel_verify::{Content, Options};

use super::migrate;
use super::verify::{Comparing, compare};
use crate::arguments::MigrateArguments;
use crate::exit::CommandError;
use crate::open::{self, Absent};
use crate::pinned_root::refuse_another_root;
use crate::request::{Coverage, Pair};
use crate::state::StatePlace;
use above::Above;
use judge::{Judge, Met};
use memory::Memory;
use plan::Plan;

/// Paths judged at a time: nobody is kept from the state for long.
const PAGE_PATHS: usize = 1_000;

/// Compares both sides and tells what a run would do; writes nothing anywhere. As long as there is
/// anything to do the outcome is `incomplete`, and the exit code that of a difference, or of a
/// guard that would hold some of it.
///
/// # Errors
/// A side that cannot be opened or listed; a state that a run refuses.
pub async fn run(
    (pair, coverage, place): (&Pair, &Coverage, &StatePlace),
    arguments: &MigrateArguments,
    json: bool,
) -> Result<u8, CommandError> {
    let memory = Memory::of(place, pair, coverage).await?;
    let migration = memory.migration.clone().unwrap_or_default();
    let config = Config { migration, ..migrate::config(arguments) };
    let connection = &arguments.connection;
    let acl = arguments.write.metadata != MetadataLevel::None;
    let source = open::source(&pair.source, connection, acl).await?;
    let target = open::target_to_look_at(&pair.target, connection, Absent::Empty).await?;
    // Every file would seem gone, or another's.
    refuse_another_root(place, source.source.as_ref()).await?;
    let options = Options {
        content: Content::Length,
        ignore_extras: false,
        metadata: arguments.write.metadata,
        directory_markers: arguments.write.directory_markers,
        parallel: super::verify::PARALLEL,
        patience: super::verify::PATIENCE,
        sample: None,
    };
    let mut comparing = Comparing::new(source, target, coverage.clone(), options, None)?;
    comparing.tell_equal = true;
    let judge = judge(&comparing, config, memory);
    let (mut plan, mut page, mut broken) = (Plan::default(), Vec::new(), None);
    let sums = compare(comparing, json, Arc::default(), async |told| {
        page.push(Met::of(told));
        if page.len() >= PAGE_PATHS && broken.is_none() {
            broken = plan.take(&judge, std::mem::take(&mut page)).await.err();
        }
    })
    .await?;
    if let Some(error) = broken {
        return Err(error);
    }
    plan.take(&judge, page).await?;
    Ok(plan.foreseen(&judge).tell(&sums, json))
}

fn judge(comparing: &Comparing, config: Config, memory: Memory) -> Judge {
    let (source, target, keys) = comparing.sides();
    let above = Above::new(source.clone(), target.clone(), keys.clone());
    Judge { source, target, keys, config, memory, above }
}
