//! Measures how fast the ledger takes marks and finished files, durably, in a folder.
//!
//! `cargo run --release -p whimbrel-ledger --example throughput -- FOLDER [COUNT]`: FOLDER is to
//! be empty and on the disk of interest.

mod made;

use std::path::PathBuf;
use std::time::Instant;

use made::{Spent, attempt, cpu_seconds, mark, path, row, spread};
use whimbrel_core::number::{AttemptNumber, Time, TxId};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Change, Lane};
use whimbrel_ledger::{Ledger, LedgerError, Options};

/// Directories: the hours of a year.
const DIRECTORIES: u64 = 365 * 24;

/// Neighbours by number are far from each other in the tree.
fn file(number: u64) -> RelPath {
    path(spread(number) % DIRECTORIES, number)
}

/// Applies changes made of numbers, and says how fast.
fn measure(
    ledger: &mut Ledger,
    what: &str,
    numbers: std::ops::Range<u64>,
    changes: impl Fn(u64) -> Vec<Change>,
) -> Result<(), LedgerError> {
    let count = numbers.end - numbers.start;
    let mut spent = Spent::default();
    made::apply(ledger, &mut spent, numbers, changes)?;
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    let (rate, rate_alone) = (count as f64 / spent.seconds, count as f64 / spent.processor_seconds);
    println!(
        "{what}: {rate:.0} a second, {rate_alone:.0} a second of processor time, \
         slowest batch {:.0} ms",
        spent.slowest_seconds * 1e3
    );
    Ok(())
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
        vec![mark(file(number % 50_000), number)]
    })?;
    measure(&mut ledger, "marks of paths that are all new", numbers.clone(), |number| {
        vec![mark(file(count + number), count + number)]
    })?;
    let some = 1..count / 10 + 1;
    measure(&mut ledger, "attempts opened", some.clone(), |number| {
        vec![attempt(file(number), number)]
    })?;
    measure(&mut ledger, "attempts closed, with a row each", some, |number| {
        vec![
            Change::AttemptClosed(AttemptNumber(number)),
            Change::PutRow(row(file(number), number)),
        ]
    })?;
    measure(&mut ledger, "rows written", numbers.clone(), |number| {
        vec![Change::PutRow(row(file(number), number))]
    })?;
    measure(&mut ledger, "rows written again", numbers.clone(), |number| {
        vec![Change::PutRow(row(file(number), number + 1))]
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
