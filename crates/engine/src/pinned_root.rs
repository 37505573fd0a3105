//! The pinned root (rule 1.5), asked for by whoever is no run.

use whimbrel_core::migration::lost_root;
use whimbrel_store::source::Source;

use crate::error::EngineError;

/// Refuses a source in whose root's place another directory stands than the pinned one: every path
/// would seem to be gone, or be another's.
///
/// # Errors
/// `Source`: in the words of a run that ends for that.
pub(crate) fn refuse_another_root(
    pinned: Option<u64>,
    source: &dyn Source,
) -> Result<(), EngineError> {
    let found = source.root_key();
    if pinned.is_none() || pinned == found {
        return Ok(());
    }
    let failure = lost_root(found, false);
    Err(EngineError::Source { message: failure.message, remedy: failure.remedy })
}
