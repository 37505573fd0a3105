//! Measures how fast the ledger takes marks and finished files, durably, in a folder.
//!
//! `cargo run --release -p whimbrel-ledger --example throughput -- FOLDER [COUNT]`: FOLDER is to
//! be empty and on the disk of interest.

use std::path::PathBuf;
use std::time::Instant;

use whimbrel_core::identity::Identity;
use whimbrel_core::metadata::Metadata;
use whimbrel_core::number::{AttemptNumber, Epoch, Mark, Time, TxId};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Attempt, AttemptKind, Change, Lane, Reach, Row};
use whimbrel_ledger::{Ledger, LedgerError, Options};

const BATCH: u64 = 2_000;

fn path(number: u64) -> RelPath {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24;
    let text = format!(
        "warehouse/events.db/clicks/day={:03}/hour={:02}/part-{number:010}-{spread:010x}.parquet",
        spread % 365,
        spread / 365 % 24,
    );
    RelPath::from(text.as_str())
}

fn mark(path: RelPath, number: u64) -> Change {
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

fn row(path: RelPath, number: u64) -> Row {
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

/// Applies changes made of numbers, a batch for each transaction, and says how fast.
fn measure(
    ledger: &mut Ledger,
    what: &str,
    numbers: std::ops::Range<u64>,
    changes: impl Fn(u64) -> Vec<Change>,
) -> Result<(), LedgerError> {
    let count = numbers.end - numbers.start;
    let mut spent = 0.0;
    let mut worked = 0.0;
    let mut slowest: f64 = 0.0;
    let mut from = numbers.start;
    while from < numbers.end {
        let until = (from + BATCH).min(numbers.end);
        let batch: Vec<Change> = (from..until).flat_map(&changes).collect();
        let begin = Instant::now();
        let work_before = cpu_seconds();
        ledger.apply(&[&batch])?;
        worked += cpu_seconds() - work_before;
        let seconds = begin.elapsed().as_secs_f64();
        spent += seconds;
        slowest = slowest.max(seconds);
        from = until;
    }
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    let (rate, rate_alone) = (count as f64 / spent, count as f64 / worked);
    println!(
        "{what}: {rate:.0} a second, {rate_alone:.0} a second of processor time, \
         slowest batch {:.0} ms",
        slowest * 1e3
    );
    Ok(())
}

/// Processor time that this thread has used: what counts on a machine that others use too.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|word| word.parse::<f64>().ok());
    nanoseconds.unwrap_or(0.0) / 1e9
}

fn attempt(number: u64) -> Change {
    Change::AttemptOpened(Attempt {
        number: AttemptNumber(number),
        path: path(number),
        kind: AttemptKind::Copy,
        started: Time(number),
        doubtful_until: None,
        identity: Identity::Unknown,
        upload: None,
    })
}

fn main() -> Result<(), LedgerError> {
    let mut arguments = std::env::args().skip(1);
    let Some(folder) = arguments.next().map(PathBuf::from) else {
        eprintln!("usage: throughput FOLDER [COUNT]");
        std::process::exit(2);
    };
    let count = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let mut ledger = Ledger::open(&folder, Options::default())?;
    let numbers = 1..count + 1;
    measure(&mut ledger, "marks of 50,000 paths again and again", numbers.clone(), |number| {
        vec![mark(path(number % 50_000), number)]
    })?;
    measure(&mut ledger, "marks of paths that are all new", numbers.clone(), |number| {
        vec![mark(path(count + number), count + number)]
    })?;
    let some = 1..count / 10 + 1;
    measure(&mut ledger, "attempts opened", some.clone(), |number| vec![attempt(number)])?;
    measure(&mut ledger, "attempts closed, with a row each", some, |number| {
        vec![
            Change::AttemptClosed(AttemptNumber(number)),
            Change::PutRow(row(path(number), number)),
        ]
    })?;
    measure(&mut ledger, "rows written", numbers.clone(), |number| {
        vec![Change::PutRow(row(path(number), number))]
    })?;
    measure(&mut ledger, "rows written again", numbers.clone(), |number| {
        vec![Change::PutRow(row(path(number), number + 1))]
    })?;
    let begin = Instant::now();
    let work_before = cpu_seconds();
    let mut taken = 0;
    loop {
        let (work, _) = ledger.take(Lane::Live, 512, Time(1))?;
        let settled: Vec<Change> = work
            .iter()
            .map(|work| Change::Settle {
                path: work.pending.path.clone(),
                up_to: work.pending.mark,
                as_of: TxId(0),
            })
            .collect();
        ledger.apply(&[&settled])?;
        taken += u32::try_from(work.len()).unwrap_or(u32::MAX);
        if work.is_empty() || taken > 200_000 {
            break;
        }
    }
    let rate = f64::from(taken) / begin.elapsed().as_secs_f64();
    let rate_alone = f64::from(taken) / (cpu_seconds() - work_before);
    println!(
        "taken, joined and settled, 512 at a time: {rate:.0} a second, {rate_alone:.0} a second \
         of processor time"
    );
    let begin = Instant::now();
    drop(ledger);
    let ledger = Ledger::open(&folder, Options::default())?;
    println!("opened again in {:.1} s: {:?}", begin.elapsed().as_secs_f64(), ledger.summary()?);
    ledger.close()
}
