//! Sets and undoes the fence of a cut-over. How the source was before is durable first, so that
//! whoever is killed at any moment leaves what undoes it.

use std::sync::Arc;
use std::time::Duration;

use whimbrel_core::failure::Side;
use whimbrel_store::error::StoreError;
use whimbrel_store::fence::{Fence, FenceKind};

use super::record::{Record, Standing, Step};
use crate::arguments::FenceArgument;
use crate::exit::{CommandError, Condition};

/// A request to set a fence that was given up, by a signal, may take effect so much later.
const LATE_MAX: Duration = Duration::from_millis(500);

/// The fence that is asked for, of those that the source has; `None` where it is only checked.
///
/// # Errors
/// The source has no such fence.
pub fn chosen(
    fences: &[Arc<dyn Fence>],
    asked: FenceArgument,
) -> Result<Option<Arc<dyn Fence>>, CommandError> {
    let kind = match asked {
        FenceArgument::Check => return Ok(None),
        FenceArgument::SafeMode => FenceKind::SafeMode,
        FenceArgument::Permissions => FenceKind::Permissions,
    };
    let found = fences.iter().find(|fence| fence.kind() == kind).cloned();
    found.map(Some).ok_or_else(|| {
        CommandError::usage(
            format!("--fence {}: this source has none", asked.name()),
            "directories of HDFS have fences; set the source read-only yourself, and leave \
             --fence out",
        )
    })
}

/// Refuses another fence than the one that an earlier call left.
///
/// # Errors
/// Wrong use.
pub fn refuse_another(
    record: &Record,
    name: &str,
    asked: FenceArgument,
) -> Result<(), CommandError> {
    match record.fence() {
        Some(standing) if standing.kind != asked => Err(CommandError::usage(
            format!("the fence {} of an earlier cut-over stands", standing.kind.name()),
            format!(
                "say --fence {} to go on behind it, or whimbrel cutover {name} --undo-fence",
                standing.kind.name()
            ),
        )),
        Some(_) | None => Ok(()),
    }
}

/// Refuses a fence around another directory than the one that an earlier call closed: how that one
/// was is no matter of this one.
///
/// # Errors
/// The source has another directory in its place.
pub fn refuse_another_directory(
    fence: &dyn Fence,
    record: &Record,
    name: &str,
) -> Result<(), CommandError> {
    let Some(standing) = record.fence() else { return Ok(()) };
    // What an older version wrote does not say which one it was.
    let (Some(closed), Some(found)) = (standing.directory, fence.directory()) else {
        return Ok(());
    };
    if closed == found {
        return Ok(());
    }
    let (kind, before) = (standing.kind.name(), &standing.before);
    Err(CommandError {
        condition: Condition::Source,
        message: format!(
            "another directory (number {found}) stands at the source than the one that the fence \
             {kind} is around (number {closed}): nothing was changed"
        ),
        remedy: format!(
            "rename that one back to the source, then whimbrel cutover {name} --undo-fence; if it \
             is to stay where it is, or is gone, give it the mode {before} yourself, and remove {}",
            record.path().display()
        ),
    })
}

/// Sets the fence.
///
/// # Errors
/// The record cannot be written, or the source refuses: the fence may stand then.
pub async fn set(
    fence: Option<&Arc<dyn Fence>>,
    kind: FenceArgument,
    record: &mut Record,
) -> Result<(), CommandError> {
    let Some(fence) = fence else { return record.step(Step::Fenced) };
    let standing = match record.fence() {
        // What an earlier call found is how it was: it may be fenced now.
        Some(standing) => standing.clone(),
        None => {
            let before = fence.before().await.map_err(of_source)?;
            Standing { kind, before, directory: fence.directory() }
        }
    };
    record.fencing(standing)?;
    fence.set().await.map_err(of_source)?;
    record.step(Step::Fenced)
}

/// Undoes the fence that the record tells of; `false` if there is none.
///
/// # Errors
/// The source refuses, or has another directory in its place; the record cannot be written.
pub async fn undo(
    fences: &[Arc<dyn Fence>],
    record: &mut Record,
    name: &str,
) -> Result<bool, CommandError> {
    let Some(standing) = record.fence().cloned() else { return Ok(false) };
    if let Some(fence) = chosen(fences, standing.kind)? {
        refuse_another_directory(fence.as_ref(), record, name)?;
        loop {
            fence.undo(&standing.before).await.map_err(of_source)?;
            tokio::time::sleep(LATE_MAX).await;
            if fence.before().await.map_err(of_source)? == standing.before {
                break;
            }
        }
    }
    record.undone()?;
    Ok(true)
}

/// What the source says of its fence.
pub fn of_source(error: StoreError) -> CommandError {
    error.into_failure(Side::Source).into()
}
