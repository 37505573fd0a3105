//! Records as bytes: a CRC32C over the kind and the body, then the body in postcard's format.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{LedgerError, Result};

/// What a record is; part of its checksum, so that one kind is never taken for another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    State = 1,
    Setting = 2,
    Pending = 3,
    Log = 4,
    /// A row before it said whether the ledger alone has its newest metadata.
    FirstRow = 5,
    Attempt = 6,
    Part = 7,
    Hint = 8,
    Found = 9,
    Row = 10,
    Directory = 11,
    FoundLate = 12,
    /// A pending entry of what is gone at the source since a time.
    PendingGone = 13,
}

const SUM_BYTES: usize = 4;
/// As long as most records are at most.
const RECORD_BYTES: usize = 256;

/// The record of a value.
pub(crate) fn encode<T: Serialize>(kind: Kind, value: &T) -> Result<Vec<u8>> {
    let mut record = Vec::with_capacity(RECORD_BYTES);
    record.extend([0; SUM_BYTES]);
    let mut record = postcard::to_extend(value, record)
        .map_err(|error| LedgerError::Unfit { what: format!("{kind:?}: {error}") })?;
    let sum = checksum(kind, &record[SUM_BYTES..]);
    record[..SUM_BYTES].copy_from_slice(&sum.to_le_bytes());
    Ok(record)
}

/// Whether a record is of a kind, which its checksum tells.
pub(crate) fn is_of(kind: Kind, record: &[u8]) -> bool {
    record
        .split_first_chunk::<SUM_BYTES>()
        .is_some_and(|(sum, body)| u32::from_le_bytes(*sum) == checksum(kind, body))
}

/// The record whose body this is.
#[cfg(feature = "fuzzing")]
pub(crate) fn sealed(kind: Kind, body: &[u8]) -> Vec<u8> {
    [&checksum(kind, body).to_le_bytes(), body].concat()
}

/// The value of a record, if its checksum holds.
pub(crate) fn decode<T: DeserializeOwned>(kind: Kind, record: &[u8]) -> Result<T> {
    let Some((sum, body)) = record.split_first_chunk::<SUM_BYTES>() else {
        return Err(LedgerError::damaged(format!("a record of kind {kind:?} is cut short")));
    };
    if u32::from_le_bytes(*sum) != checksum(kind, body) {
        return Err(LedgerError::damaged(format!(
            "the checksum of a record of kind {kind:?} does not hold"
        )));
    }
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(LedgerError::damaged(format!("a record of kind {kind:?} is too long"))),
        Err(error) => {
            Err(LedgerError::damaged(format!("a record of kind {kind:?} cannot be read: {error}")))
        }
    }
}

fn checksum(kind: Kind, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&[kind as u8]), body)
}
