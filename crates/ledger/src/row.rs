//! Rows as records: those of older states are read too, and written anew as they change.

use serde::Deserialize;
use whimbrel_core::identity::Identity;
use whimbrel_core::metadata::Metadata;
use whimbrel_core::number::{AttemptNumber, Epoch, TxId};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::Row;

use crate::codec::{self, Kind};
use crate::error::Result;

/// A row as states of schema version 1 hold it.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
struct FirstRow {
    path: RelPath,
    identity: Identity,
    length: u64,
    crc32c: Option<u32>,
    etag: Option<String>,
    version: Option<String>,
    attempt: Option<AttemptNumber>,
    as_of: TxId,
    epoch: Epoch,
    metadata: Metadata,
}

/// The row of a record.
pub(crate) fn decode(record: &[u8]) -> Result<Row> {
    if !codec::is_of(Kind::FirstRow, record) {
        return codec::decode(Kind::Row, record);
    }
    let row: FirstRow = codec::decode(Kind::FirstRow, record)?;
    Ok(Row {
        path: row.path,
        identity: row.identity,
        length: row.length,
        crc32c: row.crc32c,
        etag: row.etag,
        version: row.version,
        attempt: row.attempt,
        as_of: row.as_of,
        epoch: row.epoch,
        metadata: row.metadata,
        ledger_only: false,
    })
}

/// The record of a row in a state of schema version 1.
#[cfg(test)]
pub(crate) fn first_record(row: Row) -> Vec<u8> {
    let first = FirstRow {
        path: row.path,
        identity: row.identity,
        length: row.length,
        crc32c: row.crc32c,
        etag: row.etag,
        version: row.version,
        attempt: row.attempt,
        as_of: row.as_of,
        epoch: row.epoch,
        metadata: row.metadata,
    };
    codec::encode(Kind::FirstRow, &first).unwrap()
}
