//! What the ledger knows of one path, in a form for people and scripts.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use whimbrel_core::identity::Identity;
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Attempt, Found, Lane, Parked, Pending, Reach, Row};
use whimbrel_ledger::{Ledger, Options, Story};

use crate::error::EngineError;
use crate::state::State;

/// What the state of a migration that does not run knows of a path.
///
/// # Errors
/// `Local`: no state there, in use, or damaged.
pub fn story_at_rest(state: &Path, path: &RelPath) -> Result<Value, EngineError> {
    let ledger = at_rest(state)?;
    Ok(told(path, &ledger.story(path)?))
}

/// Where a migration stands that does not run: counters, what is pending, and its settings.
///
/// # Errors
/// `Local`: no state there, in use, or damaged.
pub fn status_at_rest(state: &Path) -> Result<Value, EngineError> {
    let ledger = at_rest(state)?;
    let (meta, summary) = (ledger.meta()?, ledger.summary()?);
    Ok(json!({
        "phase": "not running",
        "counters": meta.counters,
        "scanned": meta.scanned,
        "applied_txid": meta.position.map(|txid| txid.0),
        "pending_live": summary.lanes[0],
        "pending_backlog": summary.lanes[1],
        "pending_metadata": summary.lanes[2],
        "files_open": summary.open,
        "failures": summary.failed,
        "guarded": summary.guarded,
        "attempts": summary.attempts,
        "unknown_outcomes": summary.attempts,
        "extras": summary.found,
        "objects": summary.rows,
    }))
}

/// A setting of a migration that does not run.
///
/// # Errors
/// `Local`: no state there, in use, or damaged.
pub fn setting_at_rest(state: &Path, name: &str) -> Result<Option<String>, EngineError> {
    Ok(at_rest(state)?.setting(name)?)
}

fn at_rest(state: &Path) -> Result<Ledger, EngineError> {
    if !State::stands(state) {
        return Err(EngineError::local(
            format!("there is no migration in {}", state.display()),
            "check --name and --state; `whimbrel status` lists all",
        ));
    }
    Ok(Ledger::open(state, Options::default())?)
}

/// One path's story as JSON.
pub(crate) fn told(path: &RelPath, story: &Story) -> Value {
    let mut told = named(path);
    told.insert("object".to_owned(), json!(story.row.as_ref().map(row)));
    told.insert("marker".to_owned(), json!(story.marker.as_ref().map(row)));
    told.insert("pending".to_owned(), json!(story.pending.as_ref().map(pending)));
    told.insert("pending_above".to_owned(), json!(story.pending_above.as_ref().map(pending)));
    told.insert("message".to_owned(), json!(story.message));
    told.insert("found".to_owned(), json!(story.found.as_ref().map(found)));
    let attempts: Vec<Value> = story.attempts.iter().map(attempt).collect();
    told.insert("attempts".to_owned(), json!(attempts));
    Value::Object(told)
}

fn named(path: &RelPath) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("path".to_owned(), json!(path.to_string()));
    if path.as_text().is_none() {
        fields.insert("path_base64".to_owned(), json!(STANDARD.encode(path.as_bytes())));
    }
    fields
}

fn row(row: &Row) -> Value {
    json!({
        "length": row.length,
        "crc32c": row.crc32c.map(hex),
        "etag": row.etag,
        "version": row.version,
        "attempt": row.attempt.map(|attempt| attempt.0),
        "adopted": row.attempt.is_none(),
        "as_of_txid": row.as_of.0,
        "source": source(&row.identity),
    })
}

fn source(identity: &Identity) -> Value {
    match identity {
        Identity::Hdfs { file_id, length, modified_ms, .. } => {
            json!({ "file_id": file_id, "length": length, "modified_ms": modified_ms })
        }
        Identity::Local { device, inode, length, modified_ns, .. } => json!({
            "device": device, "inode": inode, "length": length, "modified_ns": modified_ns,
        }),
        Identity::Object { version, etag, length, crc32c } => json!({
            "version": version, "etag": etag, "length": length, "crc32c": crc32c.map(hex),
        }),
        Identity::Marker => json!("directory"),
        Identity::Unknown => json!("unknown"),
    }
}

fn pending(entry: &Pending) -> Value {
    let reach = match entry.reach {
        Reach::Path => "path",
        Reach::Directory => "directory",
        Reach::Subtree => "subtree",
    };
    let lane = match entry.lane {
        Lane::Live => "live",
        Lane::Backlog => "backlog",
        Lane::Metadata => "metadata",
    };
    let parked = entry.parked.map(|reason| match reason {
        Parked::Open => "open",
        Parked::Failed => "failed",
        Parked::Guard => "guard",
    });
    json!({
        "path": entry.path.to_string(),
        "reach": reach,
        "lane": lane,
        "first_txid": entry.first_txid.0,
        "last_txid": entry.last_txid.0,
        "tries": entry.tries,
        "parked": parked,
    })
}

fn found(found: &Found) -> Value {
    json!({
        "length": found.length,
        "etag": found.etag,
        "version": found.version,
        "crc32c": found.crc32c.map(hex),
        "migration": found.migration,
    })
}

fn attempt(attempt: &Attempt) -> Value {
    json!({
        "number": attempt.number.0,
        "started_ms": attempt.started.0,
        "doubtful_until_ms": attempt.doubtful_until.map(|time| time.0),
        "parts": attempt.upload.as_ref().map(|upload| upload.parts.len()),
    })
}

fn hex(crc32c: u32) -> String {
    format!("{crc32c:08x}")
}
