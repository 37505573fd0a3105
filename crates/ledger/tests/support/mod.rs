//! Values for the tests of the ledger.
#![allow(dead_code, reason = "each test program uses a part")]

pub mod model;

use whimbrel_core::identity::Identity;
use whimbrel_core::metadata::Metadata;
use whimbrel_core::number::{AttemptNumber, Epoch, Mark, Time, TxId};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{
    Attempt, AttemptKind, Change, DirectoryRecord, Found, Hint, Lane, Parked, Reach, Row,
};

/// A mark with one transaction, seen at ten times its number.
pub fn mark(path: &str, reach: Reach, lane: Lane, number: u64) -> Change {
    Change::Mark {
        path: path.into(),
        reach,
        lane,
        first_txid: TxId(number),
        last_txid: TxId(number),
        seen: Time(number * 10),
        mark: Mark(number),
    }
}

/// A live mark of a path alone.
pub fn live(path: &str, number: u64) -> Change {
    mark(path, Reach::Path, Lane::Live, number)
}

pub fn settle(path: &str, up_to: u64) -> Change {
    Change::Settle { path: path.into(), up_to: Mark(up_to), as_of: TxId(0) }
}

pub fn park(path: &str, up_to: u64, reason: Parked, retry_at: Option<u64>) -> Change {
    Change::Park {
        path: path.into(),
        up_to: Mark(up_to),
        reason,
        retry_at: retry_at.map(Time),
        message: format!("{path} is parked"),
    }
}

pub fn defer(path: &str, up_to: u64, not_before: u64, waiting: bool) -> Change {
    Change::Defer {
        path: path.into(),
        up_to: Mark(up_to),
        not_before: Time(not_before),
        tries: 3,
        waiting,
    }
}

pub fn advance(path: &str, begun: u64, cursor: &str) -> Change {
    Change::Advance {
        path: path.into(),
        begun: Mark(begun),
        cursor: Some(cursor.as_bytes().to_vec().into()),
    }
}

pub fn coarsen(path: &str, subtree: bool) -> Change {
    Change::Coarsen { path: path.into(), subtree }
}

pub fn hint(from: &str, to: &str, txid: u64) -> Hint {
    Hint { from: from.into(), to: to.into(), txid: TxId(txid) }
}

pub fn row(path: &str, file_id: u64) -> Row {
    Row {
        path: path.into(),
        identity: Identity::Hdfs {
            block_pool: 1,
            file_id,
            length: 5,
            modified_ms: 7,
            blocks: file_id * 3,
        },
        length: 5,
        crc32c: Some(0x1234_5678),
        etag: Some(format!("etag-{file_id}")),
        version: None,
        attempt: Some(AttemptNumber(file_id)),
        as_of: TxId(file_id),
        epoch: Epoch(1),
        metadata: Metadata { owner: "ann".into(), mode: 0o644, ..Metadata::default() },
        ledger_only: false,
    }
}

pub fn directory(path: &str, file_key: u64) -> DirectoryRecord {
    let metadata = Metadata { mode: 0o1777, ..Metadata::default() };
    DirectoryRecord { path: path.into(), file_key, metadata }
}

pub fn marker(directory: &str) -> Row {
    let path = RelPath::from(directory).marker();
    Row { path, identity: Identity::Marker, length: 0, ..row("", 0) }
}

pub fn found(path: &str) -> Found {
    Found {
        late: path.len().is_multiple_of(2),
        path: path.into(),
        length: 9,
        etag: None,
        version: None,
        crc32c: Some(1),
        metadata: None,
        migration: Some("another".into()),
    }
}

pub fn attempt(number: u64, path: &str) -> Attempt {
    Attempt {
        number: AttemptNumber(number),
        path: path.into(),
        kind: AttemptKind::Copy,
        started: Time(1),
        doubtful_until: None,
        identity: Identity::Unknown,
        upload: None,
    }
}
