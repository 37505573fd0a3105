//! Whether SOURCE's root is the directory that a migration pinned (rule 1.5), for calls that ask
//! before a run does.

use serde_json::Value;
use whimbrel_core::migration::lost_root;
use whimbrel_engine::{State, refuse_another_root_at_rest};
use whimbrel_store::source::Source;

use crate::commands::migrate::IN_USE_MAX;
use crate::exit::CommandError;
use crate::running::Running;
use crate::state::StatePlace;

/// Refuses a source in whose root's place another directory stands than the one that the migration
/// of this place, running or not, pinned. Without a migration there, any is taken.
///
/// # Errors
/// Another directory, or none, stands there; the state cannot be read.
pub async fn refuse_another_root(
    place: &StatePlace,
    source: &dyn Source,
) -> Result<(), CommandError> {
    if !State::stands(&place.folder)
        || refuse_another_root_at_rest(&place.folder, source, IN_USE_MAX).await?
    {
        return Ok(());
    }
    let Some(running) = Running::at(place.clone()).await else { return Ok(()) };
    let progress = running.progress().await.unwrap_or_default();
    let lost = progress.get("source_root_lost_seconds").and_then(Value::as_f64);
    match lost {
        Some(_) => Err(lost_root(source.root_key(), true).into()),
        None => Ok(()),
    }
}
