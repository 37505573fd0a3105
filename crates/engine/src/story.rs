//! What the ledger knows of one path, in a form for people and scripts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use whimbrel_core::identity::Identity;
use whimbrel_core::metadata::Metadata;
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Attempt, DirectoryRecord, Found, Lane, Parked, Pending, Reach, Row};
use whimbrel_ledger::Story;

/// Where a story has the records themselves, which are not for people.
pub const REMEMBERED: &str = "remembered";

/// One path's story as JSON.
pub(crate) fn told(path: &RelPath, story: &Story) -> Value {
    let mut told = named(path);
    told.insert("object".to_owned(), json!(story.row.as_ref().map(row)));
    told.insert("marker".to_owned(), json!(story.marker.as_ref().map(row)));
    told.insert("directory".to_owned(), json!(story.directory.as_ref().map(directory)));
    told.insert("pending".to_owned(), json!(story.pending.as_ref().map(pending)));
    told.insert("pending_above".to_owned(), json!(story.pending_above.as_ref().map(pending)));
    told.insert("message".to_owned(), json!(story.message));
    told.insert("found".to_owned(), json!(story.found.as_ref().map(found)));
    let attempts: Vec<Value> = story.attempts.iter().map(attempt).collect();
    told.insert("attempts".to_owned(), json!(attempts));
    // As a whole, for whoever has to find out what a run would do.
    let (row, found) = (&story.row, &story.found);
    let late = found.as_ref().is_some_and(|found| found.late);
    told.insert(REMEMBERED.to_owned(), json!({ "row": row, "found": found, "late": late }));
    Value::Object(told)
}

pub(crate) fn named(path: &RelPath) -> Map<String, Value> {
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
        "metadata_ledger_only": row.ledger_only,
        "metadata": metadata(&row.metadata),
    })
}

pub(crate) fn source(identity: &Identity) -> Value {
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

fn directory(seen: &DirectoryRecord) -> Value {
    json!({ "file_key": seen.file_key, "metadata": metadata(&seen.metadata) })
}

/// As the source last had it; nothing of what is not known.
pub(crate) fn metadata(known: &Metadata) -> Value {
    if *known == Metadata::unknown() {
        return Value::Null;
    }
    let xattrs: Map<String, Value> = known
        .xattrs
        .iter()
        .map(|(name, value)| (name.clone(), json!(STANDARD.encode(value))))
        .collect();
    json!({
        "owner": known.owner,
        "group": known.group,
        "mode": format!("{:04o}", known.mode),
        "modified_ns": known.modified_ns,
        "acl": known.acl,
        "xattrs": xattrs,
    })
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
        Parked::Removal => "removal",
        Parked::Foreign => "foreign",
        Parked::Delayed => "delayed",
    });
    let delayed = entry.parked == Some(Parked::Delayed);
    json!({
        "path": entry.path.to_string(),
        "reach": reach,
        "lane": lane,
        "first_txid": entry.first_txid.0,
        "last_txid": entry.last_txid.0,
        "tries": entry.tries,
        "parked": parked,
        "gone_since_ms": entry.gone_since.map(|time| time.0),
        "removed_after_ms": delayed.then_some(entry.not_before.0),
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

pub(crate) fn hex(crc32c: u32) -> String {
    format!("{crc32c:08x}")
}
