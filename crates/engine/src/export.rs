//! Everything that the ledger keeps, one record after the other.

use std::ops::ControlFlow;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use whimbrel_core::identity::Identity;
use whimbrel_core::number::TxId;
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::record::{DirectoryRecord, Row};
use whimbrel_ledger::{Ledger, LedgerError};

use crate::at_rest::at_rest;
use crate::error::EngineError;
use crate::run::ParkedPath;
use crate::story::{hex, metadata, named, source};

/// Records told at a time.
const PAGE_RECORDS: usize = 1_000;

/// Where an export goes on: after the record of this kind and path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportCursor {
    /// Directories come first, then objects.
    objects: bool,
    /// The last path told.
    after_base64: Option<String>,
}

impl ExportCursor {
    fn begin() -> Self {
        Self { objects: false, after_base64: None }
    }

    fn after(&self) -> Option<RelPath> {
        let encoded = self.after_base64.as_ref()?;
        Some(RelPath::new(STANDARD.decode(encoded).ok()?))
    }

    /// After these paths; from directories to objects where no more follow.
    fn next(&self, told: usize, last: Option<&RelPath>) -> Option<Self> {
        match last {
            Some(last) if told == PAGE_RECORDS => Some(Self {
                objects: self.objects,
                after_base64: Some(STANDARD.encode(last.as_bytes())),
            }),
            Some(_) | None if self.objects => None,
            Some(_) | None => Some(Self { objects: true, after_base64: None }),
        }
    }
}

/// A page of records, and where to go on; `None` at the end.
pub(crate) fn page(
    ledger: &Ledger,
    cursor: Option<&ExportCursor>,
) -> Result<(Vec<Value>, Option<ExportCursor>), LedgerError> {
    let begin = ExportCursor::begin();
    let cursor = cursor.unwrap_or(&begin);
    let after = cursor.after();
    if cursor.objects {
        let rows = ledger.rows_after(after.as_ref(), PAGE_RECORDS)?;
        let next = cursor.next(rows.len(), rows.last().map(|row| &row.path));
        let namespace = ledger.namespace();
        return Ok((rows.iter().map(|row| object(row, namespace)).collect(), next));
    }
    let records = ledger.directories_after(after.as_ref(), PAGE_RECORDS)?;
    let next = cursor.next(records.len(), records.last().map(|record| &record.path));
    Ok((records.iter().map(directory).collect(), next))
}

/// Tells all records of a migration that does not run, page by page, until no more are wanted.
///
/// # Errors
/// `Local`: no state there, in use, or damaged.
pub fn export_at_rest(
    state: &Path,
    from: Option<ExportCursor>,
    tell: &mut dyn FnMut(Vec<Value>) -> ControlFlow<()>,
) -> Result<(), EngineError> {
    let ledger = at_rest(state)?;
    let mut cursor = from;
    loop {
        let (records, next) = page(&ledger, cursor.as_ref())?;
        if tell(records).is_break() || next.is_none() {
            ledger.close()?;
            return Ok(());
        }
        cursor = next;
    }
}

/// Tells all that is set aside in a migration that does not run, until no more is wanted.
///
/// # Errors
/// `Local`: no state there, in use, or damaged.
pub fn parked_at_rest(
    state: &Path,
    tell: &mut dyn FnMut(ParkedPath) -> ControlFlow<()>,
) -> Result<(), EngineError> {
    let ledger = at_rest(state)?;
    let mut after = None;
    loop {
        let page = ledger.parked(after.as_ref(), PAGE_RECORDS)?;
        let full = page.len() == PAGE_RECORDS;
        after = page.last().map(|(entry, _)| entry.path.clone());
        let named = page.into_iter().filter_map(|(entry, message)| {
            Some(ParkedPath { path: entry.path, reason: entry.parked?, message })
        });
        if named.map(&mut *tell).any(|told| told.is_break()) || !full {
            ledger.close()?;
            return Ok(());
        }
    }
}

fn directory(record: &DirectoryRecord) -> Value {
    let mut fields = named(&record.path);
    fields.insert("kind".to_owned(), json!("directory"));
    fields.insert("source".to_owned(), json!({ "file_key": record.file_key }));
    fields.insert("metadata".to_owned(), metadata(&record.metadata));
    Value::Object(fields)
}

fn object(row: &Row, namespace: Namespace) -> Value {
    let marker =
        row.identity == Identity::Marker || (namespace == Namespace::Tree && row.path.is_marker());
    let mut fields = named(&row.path);
    for (name, value) in [
        ("kind", json!(if marker { "marker" } else { "file" })),
        ("source", source(&row.identity)),
        ("length", json!(row.length)),
        ("crc32c", json!(row.crc32c.map(hex))),
        ("etag", json!(row.etag)),
        ("version", json!(row.version)),
        ("attempt", json!(row.attempt.map(|attempt| attempt.0))),
        ("as_of_txid", json!(Some(row.as_of.0).filter(|_| row.as_of > TxId(0)))),
        ("verified", json!(verified(row))),
        ("metadata_ledger_only", json!(row.ledger_only)),
        ("metadata", metadata(&row.metadata)),
    ] {
        fields.insert(name.to_owned(), value);
    }
    Value::Object(fields)
}

/// True: we wrote it, and its checksum is that of the bytes that were read. False: what stands
/// there is to be looked at. `None`: adopted, or no checksum is known.
fn verified(row: &Row) -> Option<bool> {
    match (&row.identity, row.attempt, row.crc32c) {
        (Identity::Unknown, _, _) => Some(false),
        (_, Some(_), Some(_)) => Some(true),
        (_, _, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_core::metadata::Metadata;
    use whimbrel_core::number::{AttemptNumber, Epoch};
    use whimbrel_core::record::Change;

    use super::*;

    fn put(path: String) -> Change {
        Change::PutRow(Row {
            path: RelPath::new(path.into_bytes()),
            identity: Identity::Marker,
            length: 0,
            crc32c: Some(0),
            etag: None,
            version: None,
            attempt: Some(AttemptNumber(1)),
            as_of: TxId(7),
            epoch: Epoch(0),
            metadata: Metadata::default(),
            ledger_only: false,
        })
    }

    /// Pages that end exactly where the records do, and the step from directories to objects.
    #[test]
    fn every_record_is_told_once() {
        for (directories, objects) in
            [(0, 0), (0, 1), (1, 0), (PAGE_RECORDS, PAGE_RECORDS), (3, 2 * PAGE_RECORDS + 1)]
        {
            let mut ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
            let kept = (0..directories).map(|number| {
                Change::PutDirectory(DirectoryRecord {
                    path: RelPath::new(format!("d{number}").into_bytes()),
                    file_key: number as u64,
                    metadata: Metadata { owner: "ann".into(), mode: 0o1755, ..Metadata::default() },
                })
            });
            let rows = (0..objects).map(|number| put(format!("d{}/f{number}", number % 7)));
            let changes: Vec<Change> = kept.chain(rows).collect();
            ledger.apply(&[&changes]).unwrap();
            ledger.check().unwrap();
            let mut told = Vec::new();
            let mut cursor = None;
            loop {
                let (records, next) = page(&ledger, cursor.as_ref()).unwrap();
                assert!(records.len() <= PAGE_RECORDS);
                told.extend(records);
                cursor = next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(told.len(), directories + objects);
            let paths: std::collections::BTreeSet<String> =
                told.iter().map(|record| record["path"].to_string()).collect();
            assert_eq!(paths.len(), told.len());
            if directories > 0 {
                assert_eq!(told[0]["kind"], "directory");
                assert_eq!(told[0]["metadata"]["mode"], "1755");
            }
        }
    }
}
