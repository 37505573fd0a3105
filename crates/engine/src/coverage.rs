//! What a run goes over: where that is not what the last run went over, the stream alone cannot say
//! what is left to do.

use whimbrel_core::config::Config;
use whimbrel_core::scope::Scope;
use whimbrel_ledger::{COVERAGE, Ledger};

use crate::error::EngineError;

/// Before the words for an image. Rules are written with their names in quotes and escaped, so that
/// this line break is in none.
const IMAGE: &str = "\n";

/// What this run goes over, in words, unless an earlier run began to scan just that. The words are
/// equal exactly if runs go over the same. `image`: what listings are told from; a scan that is not
/// done goes on from the same one alone, since the one before may have been wrong (rule 8.1).
///
/// # Errors
/// `Local`.
pub(crate) fn new(
    ledger: &Ledger,
    scope: &Scope,
    config: &Config,
    image: Option<String>,
    scanned: bool,
) -> Result<Option<String>, EngineError> {
    let Config { extras, metadata, directory_markers, .. } = config;
    let asked = format!("{:?} {extras:?} {metadata:?} {directory_markers:?}", scope.rules());
    let known = ledger.setting(COVERAGE)?.unwrap_or_default();
    let from_image = known.rfind(IMAGE).filter(|_| scanned);
    let known = known.get(..from_image.unwrap_or(known.len())).unwrap_or_default();
    let asked = match image {
        Some(image) => format!("{asked}{IMAGE}{image}"),
        None => asked,
    };
    Ok((known != asked).then_some(asked))
}
