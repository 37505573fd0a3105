//! What only the target has: written by the migration and gone at the source since, which a run
//! removes or keeps for a time, or somebody else's.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;
use whimbrel_core::commit_marker::is_commit_marker;
use whimbrel_core::config::Extras;
use whimbrel_core::path::RelPath;
use whimbrel_engine::{State, stories_at_rest};

use crate::arguments::MigrateArguments;
use crate::commands::migrate::{IN_USE_MAX, open_state};
use crate::exit::CommandError;
use crate::record;
use crate::request::{Coverage, Pair};
use crate::running::{Running, next_entry};
use crate::state::StatePlace;

/// Paths asked about at a time: nobody is kept from the state for long.
const PAGE_PATHS: usize = 1_000;
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How many of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// Files that a run removes.
    pub files: u64,
    /// Directories that it removes.
    pub directories: u64,
    /// Objects that it keeps until their time is over.
    pub delayed: u64,
    /// Objects that were never the migration's.
    pub extras: u64,
}

/// What a run does about a path that only the target has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stays,
    Goes,
    Waits,
}

/// Who tells what the migration wrote, and what a run would do about it.
pub struct Judge {
    /// `None`: no run wrote anything yet; what others wrote, another state's run too, is theirs.
    place: Option<StatePlace>,
    extras: Extras,
    removals_after: Duration,
}

impl Judge {
    /// Of the migration of this place, as it is called now.
    ///
    /// # Errors
    /// A state that a run refuses too: it was lost, is another migration's, damaged or newer.
    pub async fn of(
        place: &StatePlace,
        pair: &Pair,
        coverage: &Coverage,
        arguments: &MigrateArguments,
    ) -> Result<Self, CommandError> {
        record::refuse_what_lost_its_state(&place.folder)?;
        let stands = State::stands(&place.folder);
        if stands && Running::at(place.clone()).await.is_none() {
            drop(open_state(place, pair, coverage).await?);
        }
        Ok(Self {
            place: stands.then(|| place.clone()),
            extras: arguments.policy.extras,
            removals_after: arguments.guard.removals_after,
        })
    }

    /// Counts all that comes.
    ///
    /// # Errors
    /// The state cannot be read.
    pub async fn count(&self, mut paths: UnboundedReceiver<RelPath>) -> Result<Gone, CommandError> {
        let mut gone = Gone::default();
        let mut page = Vec::with_capacity(PAGE_PATHS);
        while paths.recv_many(&mut page, PAGE_PATHS).await > 0 {
            for (path, fate) in page.iter().zip(self.fates(&page).await?) {
                match fate {
                    Fate::Stays => gone.extras += 1,
                    Fate::Waits => gone.delayed += 1,
                    Fate::Goes if path.is_marker() => gone.directories += 1,
                    Fate::Goes => gone.files += 1,
                }
            }
            page.clear();
        }
        Ok(gone)
    }

    async fn fates(&self, paths: &[RelPath]) -> Result<Vec<Fate>, CommandError> {
        let Some(place) = &self.place else {
            let extra = self.fate(&Value::Null, &Value::Null, false);
            return Ok(vec![extra; paths.len()]);
        };
        // Work on a marker is pending at its directory.
        let entries = paths
            .iter()
            .map(|path| path.parent().filter(|_| path.is_marker()).unwrap_or_else(|| path.clone()));
        let asked: Vec<RelPath> = paths.iter().cloned().chain(entries).collect();
        let told = stories(place, &asked).await?;
        let (objects, entries) = told.split_at(paths.len());
        let told = paths.iter().zip(objects.iter().zip(entries));
        Ok(told
            .map(|(path, (object, entry))| self.fate(object, entry, is_commit_marker(path)))
            .collect())
    }

    fn fate(&self, object: &Value, entry: &Value, commit_marker: bool) -> Fate {
        let is_ours = object.get("object").is_some_and(|row| !row.is_null());
        if !is_ours && self.extras == Extras::Keep {
            return Fate::Stays;
        }
        if self.removals_after.is_zero() || commit_marker || is_due(entry) {
            return Fate::Goes;
        }
        Fate::Waits
    }
}

/// What the migration knows of each path, running or not.
async fn stories(place: &StatePlace, paths: &[RelPath]) -> Result<Vec<Value>, CommandError> {
    let until = Instant::now() + IN_USE_MAX;
    loop {
        if let Some(told) = stories_at_rest(&place.folder, paths, IN_USE_MAX).await? {
            return Ok(told);
        }
        if let Some(told) = stories_of_running(place, paths).await {
            return Ok(told);
        }
        if Instant::now() >= until {
            return Err(CommandError::local(
                format!("the migration {} runs, and does not say what it wrote", place.name),
                "say it again when it is less busy",
            ));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// `None` if it has ended, or is too busy to say.
async fn stories_of_running(place: &StatePlace, paths: &[RelPath]) -> Option<Vec<Value>> {
    let running = Running::at(place.clone()).await?;
    let mut told = Vec::with_capacity(paths.len());
    for path in paths {
        told.push(running.story(path).await?);
    }
    Some(told)
}

/// The entry that looks at a path next waited for its time, and that is over.
fn is_due(story: &Value) -> bool {
    let removed_after = next_entry(story).and_then(|entry| entry.get("removed_after_ms")?.as_u64());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    removed_after.is_some_and(|after| u128::from(after) <= now.as_millis())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_kept_for_a_time_goes_once_that_is_over() {
        let judge = |after, extras| Judge { place: None, extras, removals_after: after };
        let (row, nothing) = (json!({ "object": {} }), Value::Null);
        let fate = |seconds, entry: &Value| {
            judge(Duration::from_secs(seconds), Extras::Keep).fate(&row, entry, false)
        };
        let until = |after: u64| json!({ "pending_above": { "removed_after_ms": after } });
        assert_eq!(fate(0, &nothing), Fate::Goes);
        assert_eq!(fate(60, &nothing), Fate::Waits);
        assert_eq!((fate(60, &until(u64::MAX)), fate(60, &until(1))), (Fate::Waits, Fate::Goes));
        let hour = judge(Duration::from_secs(3600), Extras::Keep);
        assert_eq!(hour.fate(&row, &nothing, true), Fate::Goes, "a commit marker never waits");
        assert_eq!(hour.fate(&nothing, &nothing, false), Fate::Stays, "it is another's");
        let removing = judge(Duration::ZERO, Extras::Remove);
        assert_eq!(removing.fate(&nothing, &nothing, false), Fate::Goes);
    }
}
