//! What a run goes over: where that is not what the last run went over, the stream alone cannot say
//! what is left to do.

use whimbrel_core::config::Config;
use whimbrel_core::number::TxId;
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Change, Hint, Lane, Meta, Reach};
use whimbrel_core::scope::Scope;
use whimbrel_ledger::Ledger;

use crate::clock::Clock;
use crate::error::EngineError;

/// The setting that says what was gone over last.
const SETTING: &str = "coverage";

/// Makes everything pending if an earlier run began to scan with another scope, or for other things
/// than this one: what it left out was never listed, and no event will name it. What is kept of this
/// run's coverage is written after that, so that a run killed between begins once more.
///
/// # Errors
/// `Local`.
pub(crate) fn begun(
    ledger: &mut Ledger,
    meta: Meta,
    scope: &Scope,
    config: &Config,
) -> Result<Meta, EngineError> {
    let asked = coverage(scope, config);
    if ledger.setting(SETTING)?.as_ref() == Some(&asked) {
        return Ok(meta);
    }
    if meta.scan_begun {
        ledger.apply(&[&everything(&meta)])?;
    }
    ledger.set_setting(SETTING, &asked)?;
    Ok(ledger.meta()?)
}

/// In words that are equal exactly if runs go over the same.
fn coverage(scope: &Scope, config: &Config) -> String {
    let Config { extras, metadata, directory_markers, .. } = config;
    format!("{:?} {extras:?} {metadata:?} {directory_markers:?}", scope.rules())
}

/// A scan of everything, as after a gap: removals wait until all was listed (rule 6.2).
fn everything(meta: &Meta) -> Vec<Change> {
    let root = RelPath::root();
    let txid = meta.position.unwrap_or_default();
    vec![
        Change::ScanBegun,
        Change::DropDirectory { path: root.clone(), below: false },
        Change::Mark {
            path: root.clone(),
            reach: Reach::Subtree,
            lane: Lane::Backlog,
            first_txid: TxId(0),
            last_txid: txid,
            seen: Clock::start().now(),
            mark: meta.next_mark,
        },
        Change::HintAdded(Hint { from: root.clone(), to: root, txid }),
    ]
}
