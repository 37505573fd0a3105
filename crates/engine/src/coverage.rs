//! What a run goes over: where that is not what the last run went over, the stream alone cannot say
//! what is left to do.

use whimbrel_core::config::Config;
use whimbrel_core::scope::Scope;
use whimbrel_ledger::{COVERAGE, Ledger};

use crate::error::EngineError;

/// What this run goes over, in words, unless an earlier run began to scan just that. The words are
/// equal exactly if runs go over the same.
///
/// # Errors
/// `Local`.
pub(crate) fn new(
    ledger: &Ledger,
    scope: &Scope,
    config: &Config,
) -> Result<Option<String>, EngineError> {
    let Config { extras, metadata, directory_markers, .. } = config;
    let asked = format!("{:?} {extras:?} {metadata:?} {directory_markers:?}", scope.rules());
    let known = ledger.setting(COVERAGE)?;
    Ok((known.as_ref() != Some(&asked)).then_some(asked))
}
