//! Mount points below the source's root, kept in the state: a file system that is gone when the
//! next run begins is told from one that was emptied.

use std::sync::mpsc::channel;

use whimbrel_core::path::RelPath;
use whimbrel_core::scope::Scope;
use whimbrel_ledger::Ledger;
use whimbrel_store::error::StoreError;
use whimbrel_store::source::MountMemory;

use crate::covered::covers_any;
use crate::error::EngineError;
use crate::ledger_thread::{LedgerDesk, Question};

/// The setting that holds them, as a list of lists of bytes: names need not be text.
const SETTING: &str = "mounts";

/// What earlier runs met, but for what a person says is gone for good.
///
/// # Errors
/// `Local`.
pub(crate) fn known(
    ledger: &mut Ledger,
    forgotten: &[RelPath],
) -> Result<Vec<RelPath>, EngineError> {
    let mut mounts = read(ledger)?;
    let before = mounts.len();
    mounts.retain(|mount| !forgotten.contains(mount));
    if mounts.len() < before {
        write(ledger, &mounts)?;
    }
    Ok(mounts)
}

/// Keeps what is in scope, and answers when it is durable. It is called where one may wait.
pub(crate) fn memory(desk: LedgerDesk, scope: Scope) -> MountMemory {
    Box::new(move |path| {
        if !covers_any(&scope, path) {
            return Ok(false);
        }
        let (sender, answer) = channel();
        let mount = path.clone();
        desk.ask(Question::Ask(Box::new(move |ledger| {
            let _ = sender.send(add(ledger, mount));
        })));
        let failed = match answer.recv() {
            Ok(Ok(())) => return Ok(true),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the run has ended".to_owned(),
        };
        Err(StoreError::Unavailable {
            message: format!("the mount point {path} is not kept in the state: {failed}"),
            remedy: "see what the state folder's disk says".to_owned(),
        })
    })
}

fn add(ledger: &mut Ledger, mount: RelPath) -> Result<(), EngineError> {
    let mut mounts = read(ledger)?;
    mounts.push(mount);
    mounts.sort_unstable();
    mounts.dedup();
    write(ledger, &mounts)
}

fn read(ledger: &Ledger) -> Result<Vec<RelPath>, EngineError> {
    let Some(text) = ledger.setting(SETTING)? else { return Ok(Vec::new()) };
    let paths: Vec<Vec<u8>> = serde_json::from_str(&text)
        .map_err(|error| EngineError::defect(format!("the setting {SETTING}: {error}")))?;
    Ok(paths.into_iter().map(RelPath::new).collect())
}

fn write(ledger: &mut Ledger, mounts: &[RelPath]) -> Result<(), EngineError> {
    let paths: Vec<&[u8]> = mounts.iter().map(RelPath::as_bytes).collect();
    let text = serde_json::to_string(&paths)
        .map_err(|error| EngineError::defect(format!("the setting {SETTING}: {error}")))?;
    Ok(ledger.set_setting(SETTING, &text)?)
}
