//! What holds for any bytes that stand where a record should, for the fuzz targets: each function
//! panics where it does not. Not part of what this crate offers.

use serde::Serialize;
use serde::de::DeserializeOwned;
use whimbrel_core::number::{AttemptNumber, Time};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Attempt, DirectoryRecord, Found, Hint, Part, Row};

use crate::codec::{self, Kind};
use crate::found;
use crate::pending::{Entry, Logged};
use crate::row;
use crate::state::Kept;
use crate::write_ahead_log;

/// The first byte says of which kind the body behind it is.
pub fn record(bytes: &[u8]) {
    let Some((kind, body)) = bytes.split_first() else { return };
    match kind % 11 {
        0 => check::<Kept>(Kind::State, body),
        1 => check::<(String, String)>(Kind::Setting, body),
        2 => check::<Entry>(Kind::Pending, body),
        3 => check::<(i64, Vec<Logged<Entry, RelPath>>)>(Kind::Log, body),
        4 => check::<Row>(Kind::Row, body),
        5 => check::<Attempt>(Kind::Attempt, body),
        6 => check::<(AttemptNumber, Part)>(Kind::Part, body),
        7 => check::<(i64, Hint)>(Kind::Hint, body),
        8 => check::<Found>(Kind::Found, body),
        10 => check::<(Entry, Time)>(Kind::PendingGone, body),
        _ => check::<DirectoryRecord>(Kind::Directory, body),
    }
    let _a_row = row::decode(body);
    let _an_object = found::decoded(body);
    let _a_log = write_ahead_log::lost(body);
}

/// As they stand, the bytes are damage unless their checksum holds. Under a checksum that holds
/// they are read without harm, and what is read is written as it is.
fn check<T: Serialize + DeserializeOwned>(kind: Kind, body: &[u8]) {
    let raw = codec::decode::<T>(kind, body);
    assert!(raw.is_err() || codec::is_of(kind, body));
    let record = codec::sealed(kind, body);
    let Ok(value) = codec::decode::<T>(kind, &record) else { return };
    let Ok(written) = codec::encode(kind, &value) else { return };
    let again = codec::decode::<T>(kind, &written).and_then(|value| codec::encode(kind, &value));
    assert!(again.is_ok_and(|again| again == written), "what is read is written as it was");
    flips::<T>(kind, &written);
}

/// Every turned bit is found, and so is every burst of damage up to the length of the checksum.
fn flips<T: Serialize + DeserializeOwned>(kind: Kind, written: &[u8]) {
    let mut damaged = written.to_vec();
    for bit in 0..written.len().min(256) * 8 {
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(codec::decode::<T>(kind, &damaged).is_err(), "bit {bit} of {}", written.len());
        damaged[bit / 8] ^= 1 << (bit % 8);
    }
    for at in 0..written.len().saturating_sub(4).min(256) {
        damaged[at..at + 4].fill(0);
        let changed = damaged != written;
        assert!(!changed || codec::decode::<T>(kind, &damaged).is_err(), "zeros at {at}");
        damaged[at..at + 4].copy_from_slice(&written[at..at + 4]);
    }
}
