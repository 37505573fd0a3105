//! What a migration remembers of its target, running or not.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Found, Row};
use whimbrel_engine::{REMEMBERED, Stand, State, stories_at_rest};

use crate::commands::migrate::{IN_USE_MAX, open_state};
use crate::exit::CommandError;
use crate::record;
use crate::request::{Coverage, Pair};
use crate::running::{Running, next_entry};
use crate::state::StatePlace;

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Whoever tells what a migration wrote.
pub struct Memory {
    /// `None`: no run wrote anything yet.
    place: Option<StatePlace>,
    /// The migration's id; `None`: it runs, and does not say.
    pub migration: Option<String>,
    /// What it knows of the target as a whole.
    pub stand: Stand,
}

/// What is remembered of one path.
#[derive(Clone, Debug, Default)]
pub struct Recalled {
    /// What the migration wrote there, or took over.
    pub row: Option<Row>,
    /// What it knows somebody else wrote there.
    pub found: Option<Found>,
    story: Value,
}

impl Memory {
    /// Of the migration of this place.
    ///
    /// # Errors
    /// A state that a run refuses too: it was lost, is another migration's, damaged or newer.
    pub async fn of(
        place: &StatePlace,
        pair: &Pair,
        coverage: &Coverage,
    ) -> Result<Self, CommandError> {
        record::refuse_what_lost_its_state(&place.folder)?;
        if !State::stands(&place.folder) {
            let (migration, stand) = (Some(String::new()), Stand::default());
            return Ok(Self { place: None, migration, stand });
        }
        let known = Some(place.clone());
        if let Some(running) = Running::at(place.clone()).await {
            let progress = running.progress().await.unwrap_or_default();
            let number = |name| progress.get(name).and_then(Value::as_u64).unwrap_or_default();
            let (rows, found) = (number("objects"), number("extras"));
            let stand = Stand { inventoried: true, rows, found, ..Stand::default() };
            return Ok(Self { place: known, migration: None, stand });
        }
        let state = open_state(place, pair, coverage).await?;
        let (migration, stand) = (Some(state.migration().to_owned()), state.stand()?);
        Ok(Self { place: known, migration, stand })
    }

    /// What is remembered of each path, in their order.
    ///
    /// # Errors
    /// The state cannot be read.
    pub async fn recall(&self, paths: &[RelPath]) -> Result<Vec<Recalled>, CommandError> {
        let Some(place) = &self.place else {
            return Ok(vec![Recalled::default(); paths.len()]);
        };
        Ok(stories(place, paths).await?.into_iter().map(Recalled::of).collect())
    }
}

impl Recalled {
    fn of(story: Value) -> Self {
        let told = story.get(REMEMBERED).cloned().unwrap_or_default();
        let part = |name: &str| told.get(name).cloned().unwrap_or_default();
        let found: Option<Found> = serde_json::from_value(part("found")).unwrap_or_default();
        let late = part("late").as_bool().unwrap_or_default();
        let found = found.map(|found| Found { late, ..found });
        Self { row: serde_json::from_value(part("row")).unwrap_or_default(), found, story }
    }

    /// The entry that looks at a path next, if it waits for its time.
    pub fn delayed_with(&self) -> Option<RelPath> {
        let entry = next_entry(&self.story)?;
        entry.get("removed_after_ms").filter(|after| !after.is_null())?;
        entry.get("path").and_then(Value::as_str).map(RelPath::from)
    }

    /// That entry waited for its time, and that is over.
    pub fn is_due(&self) -> bool {
        let entry = next_entry(&self.story);
        let after = entry.and_then(|entry| entry.get("removed_after_ms")?.as_u64());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        after.is_some_and(|after| u128::from(after) <= now.as_millis())
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_waits_for_its_time_is_due_once_that_is_over() {
        let recalled = |after: Option<u64>| {
            Recalled::of(json!({ "pending_above": { "path": "d", "removed_after_ms": after } }))
        };
        assert!(recalled(Some(1)).is_due() && !recalled(Some(u64::MAX)).is_due());
        assert!(!recalled(None).is_due() && recalled(None).delayed_with().is_none());
        assert_eq!(recalled(Some(u64::MAX)).delayed_with(), Some(RelPath::from("d")));
    }
}
