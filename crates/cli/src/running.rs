//! A migration that runs while its target is compared (rule 10.2).

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use whimbrel_core::path::RelPath;
use whimbrel_engine::Request;
use whimbrel_verify::{Stand, Worker};

use crate::control;
use crate::state::StatePlace;

/// What is written at the source shows in reads a moment before its stream tells of it.
const STREAM_DELAY: Duration = Duration::from_secs(1);

/// Asks a running migration through its socket.
#[derive(Debug)]
pub struct Running {
    place: StatePlace,
}

impl Running {
    /// The migration of this place, if it runs.
    pub async fn at(place: StatePlace) -> Option<Self> {
        let running = Self { place };
        running.progress().await.map(|_| running)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.place.name
    }

    /// Where it stands; `None` once it has ended.
    pub async fn progress(&self) -> Option<Map<String, Value>> {
        let answer = control::ask(&self.place, &Request::Status {}).await.ok()??;
        answer.get("progress").and_then(Value::as_object).cloned()
    }

    /// Whether something is to be done about a path; `None` once the migration has ended.
    async fn is_pending(&self, path: &RelPath) -> Option<bool> {
        let encoded = STANDARD.encode(path.as_bytes());
        let asked = Request::Path { path: None, path_base64: Some(encoded) };
        let answer = control::ask(&self.place, &asked).await.ok()??;
        let story = answer.get("path")?;
        // What is set aside waits for people.
        let waits = |name: &str| {
            let entry = story.get(name).and_then(Value::as_object);
            entry.is_some_and(|entry| entry.get("parked").is_none_or(Value::is_null))
        };
        let attempts = story.get("attempts").and_then(Value::as_array);
        let writing = attempts.is_some_and(|attempts| !attempts.is_empty());
        Some(writing || waits("pending") || waits("pending_above"))
    }

    async fn stand_of(&self, path: &RelPath) -> Option<Stand> {
        // Asked in this order: what was followed by then is pending or done by the answers after it.
        let progress = self.progress().await?;
        let phase = progress.get("phase").and_then(Value::as_str);
        if !matches!(phase, Some("running" | "awaiting_outcomes")) {
            return Some(Stand::Moving);
        }
        // Work on a marker is pending at its directory.
        let directory = path.parent().filter(|_| path.is_marker());
        for path in [Some(path.clone()), directory].into_iter().flatten() {
            if self.is_pending(&path).await? {
                return Some(Stand::Moving);
            }
        }
        let known = progress.get("followed_ms").and_then(Value::as_u64).map(Duration::from_millis);
        let has_stream = progress.get("applied_txid").is_some_and(Value::is_u64);
        Some(Stand::Done(match known {
            Some(followed) => UNIX_EPOCH + followed.saturating_sub(STREAM_DELAY),
            None if has_stream => UNIX_EPOCH,
            // Without a stream nothing comes of what happens later.
            None => SystemTime::now(),
        }))
    }
}

impl Worker for Running {
    fn stand<'a>(&'a self, path: &'a RelPath) -> Pin<Box<dyn Future<Output = Stand> + Send + 'a>> {
        Box::pin(async { self.stand_of(path).await.unwrap_or(Stand::Ended) })
    }
}
