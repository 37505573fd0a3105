//! Paths, rows and changes to fill a ledger with, and how long it takes to apply them.

use std::ops::Range;
use std::time::Instant;

use whimbrel_core::identity::Identity;
use whimbrel_core::metadata::Metadata;
use whimbrel_core::number::{AttemptNumber, Epoch, Mark, Time, TxId};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Attempt, AttemptKind, Change, Lane, Reach, Row};
use whimbrel_ledger::{Ledger, LedgerError};

const BATCH: u64 = 2_000;

/// What it took to apply changes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// From start to end.
    pub seconds: f64,
    /// Worked by this thread.
    pub processor_seconds: f64,
    /// Of the slowest transaction.
    pub slowest_seconds: f64,
}

/// A file in the directory of a number.
pub fn path(directory: u64, number: u64) -> RelPath {
    let text = format!(
        "warehouse/events.db/clicks/day={:03}/hour={:02}/part-{number:010}-{:010x}.parquet",
        directory / 24,
        directory % 24,
        spread(number),
    );
    RelPath::from(text.as_str())
}

/// The same for the same number, and far from that of the next one.
pub fn spread(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24
}

/// Makes a path pending.
pub fn mark(path: RelPath, number: u64) -> Change {
    Change::Mark {
        path,
        reach: Reach::Path,
        lane: Lane::Live,
        first_txid: TxId(number),
        last_txid: TxId(number),
        seen: Time(number),
        mark: Mark(number),
    }
}

/// A finished copy.
pub fn row(path: RelPath, number: u64) -> Row {
    Row {
        path,
        identity: Identity::Hdfs {
            block_pool: 77,
            file_id: number,
            length: 200_000,
            modified_ms: 1_700_000_000_000,
            blocks: number * 31,
        },
        length: 200_000,
        crc32c: Some(12_345),
        etag: Some("\"9e107d9d372bb6826bd81d3542a419d6\"".to_owned()),
        version: None,
        attempt: Some(AttemptNumber(number)),
        as_of: TxId(number),
        epoch: Epoch(1),
        metadata: Metadata {
            owner: "hive".to_owned(),
            group: "hadoop".to_owned(),
            mode: 0o644,
            modified_ns: 1_700_000_000_000_000_000,
            ..Metadata::default()
        },
        ledger_only: false,
    }
}

/// A copy that begins.
pub fn attempt(path: RelPath, number: u64) -> Change {
    Change::AttemptOpened(Attempt {
        number: AttemptNumber(number),
        path,
        kind: AttemptKind::Copy,
        started: Time(number),
        doubtful_until: None,
        identity: Identity::Unknown,
        upload: None,
    })
}

/// Applies changes made of numbers, a batch for each transaction, and adds what that took.
pub fn apply(
    ledger: &mut Ledger,
    spent: &mut Spent,
    numbers: Range<u64>,
    changes: impl Fn(u64) -> Vec<Change>,
) -> Result<(), LedgerError> {
    let mut from = numbers.start;
    while from < numbers.end {
        let until = (from + BATCH).min(numbers.end);
        let batch: Vec<Change> = (from..until).flat_map(&changes).collect();
        let begin = Instant::now();
        let work_before = cpu_seconds();
        ledger.apply(&[&batch])?;
        spent.processor_seconds += cpu_seconds() - work_before;
        let seconds = begin.elapsed().as_secs_f64();
        spent.seconds += seconds;
        spent.slowest_seconds = spent.slowest_seconds.max(seconds);
        from = until;
    }
    Ok(())
}

/// Processor time that this thread has used: what counts on a machine that others use too.
pub fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|word| word.parse::<f64>().ok());
    nanoseconds.unwrap_or(0.0) / 1e9
}
