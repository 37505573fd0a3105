//! A migration that runs while its target is compared (rule 10.2).

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use whimbrel_core::path::RelPath;
use whimbrel_engine::{Request, is_listening};
use whimbrel_store::target::Object;
use whimbrel_verify::{Remains, Stand, Worker};

use crate::control;
use crate::delayed::extras_go;
use crate::exit::CommandError;
use crate::state::StatePlace;

/// What is written at the source shows in reads a moment before its stream tells of it.
pub const STREAM_DELAY: Duration = Duration::from_secs(1);

/// Asks a running migration through its socket.
#[derive(Debug)]
pub struct Running {
    place: StatePlace,
}

impl Running {
    /// The migration of this place, which may run or not: whoever asks it is told.
    pub fn of(place: StatePlace) -> Self {
        Self { place }
    }

    /// The migration of this place, if it runs.
    pub async fn at(place: StatePlace) -> Option<Self> {
        let running = Self::of(place);
        let runs = running.progress().await.is_some() || is_listening(&running.place.folder).await;
        runs.then_some(running)
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
        Some(is_worked_on(&self.story(path).await?))
    }

    /// Why an object stands at a path that the source does not have; `None` once the migration has
    /// ended.
    ///
    /// # Errors
    /// Its call cannot be read.
    pub async fn remains(
        &self,
        path: &RelPath,
        object: &Object,
    ) -> Result<Option<Remains>, CommandError> {
        // Work on a marker is pending at its directory.
        let place = path.parent().filter(|_| path.is_marker());
        let Some(story) = self.story(place.as_ref().unwrap_or(path)).await else {
            return Ok(None);
        };
        let record = if place.is_some() { "marker" } else { "object" };
        let extras_go = extras_go(&self.place)?;
        Ok(Some(remains(&story, record, object, extras_go)))
    }

    /// What it knows of a path; `None` once it has ended, or where it is too busy to say.
    pub async fn story(&self, path: &RelPath) -> Option<Value> {
        let encoded = STANDARD.encode(path.as_bytes());
        let asked = Request::Path { path: None, path_base64: Some(encoded) };
        control::ask(&self.place, &asked).await.ok()??.get("path").cloned()
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
        Box::pin(async {
            match self.stand_of(path).await {
                Some(stand) => stand,
                // Too busy to answer, or about to end: it may still work.
                None if is_listening(&self.place.folder).await => Stand::Moving,
                None => Stand::Ended,
            }
        })
    }
}

/// Whether a migration is still to do something about a path of which it tells this story. Of the
/// reasons for which an entry is set aside these wait for somebody else, or for long; a removal
/// that is still to be judged goes in a moment.
fn is_worked_on(story: &Value) -> bool {
    let waits = |name: &str| {
        let entry = story.get(name).and_then(Value::as_object);
        entry.is_some_and(|entry| {
            let parked = entry.get("parked").and_then(Value::as_str);
            !matches!(parked, Some("open" | "failed" | "guard" | "foreign" | "delayed"))
        })
    };
    let attempts = story.get("attempts").and_then(Value::as_array);
    let writing = attempts.is_some_and(|attempts| !attempts.is_empty());
    writing || waits("pending") || waits("pending_above")
}

/// The entry that looks next at a path of which a migration tells this story.
pub fn next_entry(story: &Value) -> Option<&Value> {
    let own = story.get("pending").filter(|own| !own.is_null());
    own.or_else(|| story.get("pending_above"))
}

/// The entry that looks next at a path waits for its time, and with it what the migration wrote
/// there (`record` of the story), and others' objects where they are to go.
fn remains(story: &Value, record: &str, object: &Object, extras_go: bool) -> Remains {
    let part = |name: &str| story.get(name).filter(|part| !part.is_null());
    let tagged = |name: &str| {
        let etag = object.etag.as_deref();
        part(name).is_some_and(|known| known.get("etag").and_then(Value::as_str) == etag)
    };
    let entry = part("pending").or_else(|| part("pending_above"));
    let parked = entry.and_then(|entry| entry.get("parked")).and_then(Value::as_str);
    if parked == Some("delayed") {
        if tagged(record) || extras_go && tagged("found") {
            return Remains::Delayed;
        }
        if part(record).is_some_and(|known| may_be_of(object, known)) {
            return Remains::DelayedIfWhole;
        }
    }
    if is_worked_on(story) { Remains::Moving } else { Remains::Extra }
}

/// The object says of itself that it is what was written.
fn may_be_of(object: &Object, known: &Value) -> bool {
    let number = |name: &str| known.get(name).and_then(Value::as_u64);
    let crc32c = object.crc32c.map(|crc32c| format!("{crc32c:08x}"));
    object.attempt.is_some()
        && object.attempt == number("attempt")
        && Some(object.length) == number("length")
        && crc32c.is_some()
        && crc32c.as_deref() == known.get("crc32c").and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Object, Remains, is_worked_on};

    #[test]
    fn rule_5_7_what_waits_for_its_time_is_told_by_what_looks_at_it_next() {
        let delayed = json!({ "parked": "delayed" });
        let tagged = |tag: &str| Object { etag: Some(tag.to_owned()), ..Object::default() };
        let remains = |story| super::remains(&story, "object", &tagged("1"), false);
        let (ours, others) = (json!({ "etag": "1" }), json!({ "etag": "2" }));
        let at = json!({ "object": ours, "pending": delayed, "pending_above": null });
        assert_eq!(remains(at), Remains::Delayed);
        let below = json!({ "object": ours, "pending": null, "pending_above": delayed });
        assert_eq!(remains(below), Remains::Delayed);
        for object in [json!(null), others.clone()] {
            let foreign = json!({ "object": object, "pending": null, "pending_above": delayed });
            assert_eq!(remains(foreign), Remains::Extra, "it stays on its own account");
        }
        let replaced = json!({ "object": others, "pending": delayed, "pending_above": null });
        assert_eq!(remains(replaced), Remains::Extra, "what was kept is not there any more");
        let back =
            json!({ "object": ours, "pending": { "parked": null }, "pending_above": delayed });
        assert_eq!(remains(back), Remains::Moving, "it is looked at by itself");
        let at_rest = json!({ "object": ours, "pending": null, "pending_above": null });
        assert_eq!(remains(at_rest), Remains::Extra);
        let scanned =
            json!({ "object": ours, "pending": null, "pending_above": { "parked": null } });
        assert_eq!(remains(scanned), Remains::Moving, "a scan is to come by");
        for entry in ["pending", "pending_above"] {
            let found = json!({ "object": null, "found": ours, entry: delayed });
            let found = |extras_go| super::remains(&found, "object", &tagged("1"), extras_go);
            assert_eq!((found(true), found(false)), (Remains::Delayed, Remains::Extra), "{entry}");
        }
        let marker = json!({ "marker": { "etag": null }, "pending": delayed });
        let marker = super::remains(&marker, "marker", &Object::default(), false);
        assert_eq!(marker, Remains::Delayed, "directories have no tag");
    }

    /// A backup by hard links gave each file of a local target another tag, and all were extra.
    #[test]
    fn rule_5_7_what_says_that_it_is_what_was_written_is_looked_at_as_a_whole() {
        let known = json!({ "etag": "1", "attempt": 7, "length": 3, "crc32c": "0000002a" });
        let story = json!({ "object": known, "pending": { "parked": "delayed" } });
        let etag = Some("2".to_owned());
        let written =
            Object { etag, attempt: Some(7), length: 3, crc32c: Some(42), ..Object::default() };
        let remains = |object: &Object| super::remains(&story, "object", object, false);
        assert_eq!(remains(&written), Remains::DelayedIfWhole);
        for other in [
            Object { attempt: Some(8), ..written.clone() },
            Object { attempt: None, ..written.clone() },
            Object { length: 4, ..written.clone() },
            Object { crc32c: Some(43), ..written.clone() },
            Object { crc32c: None, ..written.clone() },
        ] {
            assert_eq!(remains(&other), Remains::Extra, "{other:?}");
        }
    }

    /// What was set aside until the guard had judged it was told as extra.
    #[test]
    fn rule_10_2_removals_that_are_judged_in_a_moment_are_worked_on() {
        for place in ["pending", "pending_above"] {
            let story = |parked: Option<&str>| json!({ place: { "parked": parked } });
            assert!(is_worked_on(&story(None)) && is_worked_on(&story(Some("removal"))), "{place}");
            for parked in ["open", "failed", "guard", "foreign", "delayed"] {
                assert!(!is_worked_on(&story(Some(parked))), "{place}: {parked}");
            }
        }
        assert!(is_worked_on(&json!({ "attempts": [{ "number": 1 }] })));
        let nothing = json!({ "pending": null, "pending_above": null, "attempts": [] });
        assert!(!is_worked_on(&nothing));
    }
}
