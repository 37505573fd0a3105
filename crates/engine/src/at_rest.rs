//! What is asked of a migration that does not run: its state is opened, read and closed.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Change, Found, Pending, Reach, Row};
use whimbrel_ledger::{Ledger, LedgerError, Options};
use whimbrel_store::source::Source;
use whimbrel_store::target::Object;

use crate::clock::Clock;
use crate::control::is_listening;
use crate::error::EngineError;
use crate::pinned_root::refuse_another_root;
use crate::state::{State, ledger_when_free, refuse_another_migration};
use crate::story::told;

/// Entries read at a time.
const KEPT_PAGE: usize = 10_000;

/// What the state of a migration that does not run knows of a path.
///
/// # Errors
/// `Local`: no state there, in use, or damaged.
pub fn story_at_rest(state: &Path, path: &RelPath) -> Result<Value, EngineError> {
    let ledger = at_rest(state)?;
    let story = told(path, &ledger.story(path)?);
    ledger.close()?;
    Ok(story)
}

/// The same of several paths, in their order; `None`: a run listens there, and can be asked. A state
/// that is held for a moment is waited for, `patience` at most.
///
/// # Errors
/// `Local`: no state there, in use for longer, or damaged.
pub async fn stories_at_rest(
    state: &Path,
    paths: &[RelPath],
    patience: Duration,
) -> Result<Option<Vec<Value>>, EngineError> {
    asked_at_rest(state, patience, |ledger| {
        let told = paths.iter().map(|path| Ok(told(path, &ledger.story(path)?)));
        told.collect()
    })
    .await
}

/// Refuses a source in whose root's place another directory stands than the one that the migration
/// in this state pinned. False: a run listens there, which looks by itself. A state that is held for
/// a moment is waited for, `patience` at most.
///
/// # Errors
/// `Source`: another directory stands there. `Local`: no state there, in use for longer, or damaged.
pub async fn refuse_another_root_at_rest(
    state: &Path,
    source: &dyn Source,
    patience: Duration,
) -> Result<bool, EngineError> {
    let pinned = asked_at_rest(state, patience, |ledger| Ok(ledger.meta()?.root_key)).await?;
    let Some(pinned) = pinned else { return Ok(false) };
    refuse_another_root(pinned, source).map(|()| true)
}

/// Where a migration stands that does not run: counters, what is pending, and its settings.
///
/// # Errors
/// `Local`: no state there, in use, or damaged.
pub fn status_at_rest(state: &Path) -> Result<Value, EngineError> {
    let ledger = at_rest(state)?;
    let status = status(&ledger)?;
    ledger.close()?;
    Ok(status)
}

fn status(ledger: &Ledger) -> Result<Value, EngineError> {
    let (meta, summary) = (ledger.meta()?, ledger.summary()?);
    Ok(json!({
        "phase": "not running",
        "counters": meta.counters,
        "spilled": ledger.spilled()?,
        "scanned": meta.scanned,
        "applied_txid": meta.position.map(|txid| txid.0),
        "pending_live": summary.lanes[0] + summary.removals,
        "pending_backlog": summary.lanes[1],
        "pending_metadata": summary.lanes[2],
        "files_open": summary.open,
        "failures": summary.failed,
        "guarded": summary.guarded + summary.foreign,
        "removals_delayed": summary.delayed,
        "removals_delayed_next_ms": summary.delayed_next.map(|time| time.0),
        "attempts": summary.attempts,
        "unknown_outcomes": summary.attempts,
        "extras": summary.found,
        "objects": summary.rows,
        "metadata_ledger_only": summary.ledger_only,
    }))
}

/// A setting of a migration that does not run.
///
/// # Errors
/// `Local`: no state there, in use, or damaged.
pub fn setting_at_rest(state: &Path, name: &str) -> Result<Option<String>, EngineError> {
    let ledger = at_rest(state)?;
    let setting = ledger.setting(name)?;
    ledger.close()?;
    Ok(setting)
}

/// A person means what the guard of a migration that does not run holds: it is removed by the next
/// run. Says how many paths that are; durable at return.
///
/// # Errors
/// `Local`: no state there, in use, damaged, or the disk is full.
pub fn confirm_at_rest(state: &Path) -> Result<u64, EngineError> {
    let mut ledger = at_rest(state)?;
    let held = ledger.summary()?.guarded;
    if held > 0 {
        ledger.apply(&[&[Change::Confirmed]])?;
    }
    ledger.close()?;
    Ok(held)
}

/// A person has what a migration that does not run keeps for a time go now: the next run removes it.
/// Says how many paths that are; durable at return.
///
/// # Errors
/// `Local`: no state there, in use, damaged, or the disk is full.
pub fn confirm_delayed_at_rest(state: &Path) -> Result<u64, EngineError> {
    let mut ledger = at_rest(state)?;
    let delayed = ledger.summary()?.delayed;
    if delayed > 0 {
        let first_txid = ledger.meta()?.position.unwrap_or_default().next();
        let seen = Clock::start().now();
        ledger.apply(&[&[Change::EndDelays { due_by: None, first_txid, seen }]])?;
    }
    ledger.close()?;
    Ok(delayed)
}

/// What is asked of a migration that does not run, all of it as of one moment.
#[derive(Clone, Debug)]
pub struct AtRest {
    /// As [`status_at_rest`] says it.
    pub status: Value,
    /// What is kept for a time.
    pub kept: Kept,
}

/// What is gone at the source and stays on the target for a time (rule 5.7), as the migration knows
/// it. Others' objects are not kept.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// Digests of paths and entity tags.
    tags: HashSet<u64>,
    /// Digests of paths, attempts, lengths and checksums.
    writes: HashSet<u64>,
}

impl Kept {
    fn read(ledger: &Ledger, extras_go: bool) -> Result<Self, LedgerError> {
        let mut kept = Self::default();
        let mut after: Option<RelPath> = None;
        loop {
            let page = ledger.delayed(after.as_ref(), KEPT_PAGE)?;
            let Some(last) = page.last() else { return Ok(kept) };
            after = Some(last.path.clone());
            for entry in page {
                kept.read_entry(ledger, &entry, extras_go)?;
            }
        }
    }

    fn read_entry(
        &mut self,
        ledger: &Ledger,
        entry: &Pending,
        extras_go: bool,
    ) -> Result<(), LedgerError> {
        let story = ledger.story(&entry.path)?;
        [story.row, story.marker].iter().flatten().for_each(|row| self.add(row));
        story.found.iter().filter(|_| extras_go).for_each(|found| self.add_found(found));
        if entry.reach == Reach::Subtree {
            self.read_below(ledger, &entry.path)?;
            if extras_go {
                self.read_found_below(ledger, &entry.path)?;
            }
        }
        Ok(())
    }

    fn read_below(&mut self, ledger: &Ledger, path: &RelPath) -> Result<(), LedgerError> {
        for commit_markers in [false, true] {
            let mut after: Option<RelPath> = None;
            loop {
                let rows = ledger.rows(path, after.as_ref(), commit_markers, true, KEPT_PAGE)?;
                let Some(last) = rows.last() else { break };
                after = Some(last.path.clone());
                rows.iter().for_each(|row| self.add(row));
            }
        }
        Ok(())
    }

    fn read_found_below(&mut self, ledger: &Ledger, path: &RelPath) -> Result<(), LedgerError> {
        let mut after: Option<RelPath> = None;
        loop {
            let page = ledger.found_below(path, after.as_ref(), KEPT_PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.path.clone());
            page.iter().for_each(|found| self.add_found(found));
        }
    }

    fn add(&mut self, row: &Row) {
        self.tags.insert(digest(&(&row.path, row.etag.as_deref())));
        let attempt = row.attempt.map(|attempt| attempt.0);
        if let (Some(attempt), Some(crc32c)) = (attempt, row.crc32c) {
            self.writes.insert(digest(&(&row.path, attempt, row.length, crc32c)));
        }
    }

    fn add_found(&mut self, found: &Found) {
        self.tags.insert(digest(&(&found.path, found.etag.as_deref())));
    }

    /// Whether what stands at a path is kept. Directories have no tag.
    pub fn keeps(&self, path: &RelPath, object: &Object) -> bool {
        self.tags.contains(&digest(&(path, object.etag.as_deref())))
    }

    /// Whether what stands at a path says of itself that it is what is kept there.
    pub fn may_keep(&self, path: &RelPath, object: &Object) -> bool {
        object.attempt.zip(object.crc32c).is_some_and(|(attempt, crc32c)| {
            self.writes.contains(&digest(&(path, attempt, object.length, crc32c)))
        })
    }
}

fn digest(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Where a migration stands that does not run, and what it keeps for a time; `None`: a run listens
/// there, and can be asked. A state that is held for a moment is waited for, `patience` at most.
/// `fixed` are names and values of settings that the migration began with, as far as it did;
/// `extras_go`: foreign objects may be among what is kept.
///
/// # Errors
/// `WrongUse`: it is the state of a migration with others. `Local`: no state there, in use for
/// longer, or damaged.
pub async fn read_at_rest(
    state: &Path,
    fixed: &[(String, String)],
    extras_go: bool,
    patience: Duration,
) -> Result<Option<AtRest>, EngineError> {
    asked_at_rest(state, patience, |ledger| {
        refuse_another_migration(ledger, state, fixed)?;
        Ok(AtRest { status: status(ledger)?, kept: Kept::read(ledger, extras_go)? })
    })
    .await
}

async fn asked_at_rest<T>(
    state: &Path,
    patience: Duration,
    ask: impl FnOnce(&Ledger) -> Result<T, EngineError>,
) -> Result<Option<T>, EngineError> {
    refuse_none(state)?;
    let ledger = match ledger_when_free(state, None, patience).await {
        Err(LedgerError::InUse { .. }) if is_listening(state).await => return Ok(None),
        outcome => outcome?,
    };
    let answer = ask(&ledger);
    // What is left open is examined as a whole when it is opened next.
    ledger.close()?;
    answer.map(Some)
}

pub(crate) fn at_rest(state: &Path) -> Result<Ledger, EngineError> {
    refuse_none(state)?;
    Ok(Ledger::open(state, Options::default())?)
}

fn refuse_none(state: &Path) -> Result<(), EngineError> {
    if State::stands(state) {
        return Ok(());
    }
    Err(EngineError::local(
        format!("there is no migration in {}", state.display()),
        "check its name and --state; `whimbrel status` lists all",
    ))
}
