//! How large and how fast the ledger is with very many rows, a line for each figure; what
//! `cargo xtask scale` calls.
//!
//! `cargo run --release -p whimbrel-ledger --example rows -- write FOLDER COUNT`: fills the ledger
//! of an empty folder with finished copies as a scan brings them, directory by directory, and ends
//! as a crash would. Then `... -- ask FOLDER COUNT`: opens it, and asks about paths all over it.

mod made;

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use made::{Spent, attempt, mark, path, row, spread};
use whimbrel_core::entry::{Entry, FileNode, Node, Page};
use whimbrel_core::number::{AttemptNumber, Time, TxId};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Change, Lane, Pending};
use whimbrel_ledger::{Ledger, LedgerError, Options};

/// As many as a page of a listing has at most.
const FILES_PER_DIRECTORY: u64 = 1_000;
/// So often everything is asked, each time elsewhere.
const QUESTIONS: u64 = 300;
/// Taken at once.
const TAKEN: usize = 512;

fn file(number: u64) -> RelPath {
    path(number / FILES_PER_DIRECTORY, number)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [what, folder, count] = words[..] else {
        return Err("usage: rows write|ask FOLDER COUNT".into());
    };
    let (folder, count) = (Path::new(folder), count.parse()?);
    match what {
        "write" => Ok(write(folder, count)?),
        "ask" => Ok(ask(folder, count)?),
        _ => Err("usage: rows write|ask FOLDER COUNT".into()),
    }
}

/// Tells in tenths how far it is: a rate that falls as the ledger grows is seen there.
#[allow(clippy::cast_precision_loss, reason = "for people")]
fn write(folder: &Path, count: u64) -> Result<(), LedgerError> {
    let mut ledger = Ledger::open(folder, Options::default())?;
    let (mut all, mut tenth) = (Spent::default(), Spent::default());
    for number in 1..=10 {
        let (mut from, end) = (count * (number - 1) / 10, count * number / 10);
        tenth = Spent { slowest_seconds: all.slowest_seconds, ..Spent::default() };
        let files = end - from;
        while from < end {
            let until = (from + FILES_PER_DIRECTORY).min(end);
            // An attempt is durable before its bytes leave.
            made::apply(&mut ledger, &mut tenth, from..until, |number| {
                vec![attempt(file(number), number + 1)]
            })?;
            made::apply(&mut ledger, &mut tenth, from..until, |number| {
                let row = row(file(number), number + 1);
                vec![Change::AttemptClosed(AttemptNumber(number + 1)), Change::PutRow(row)]
            })?;
            from = until;
        }
        eprintln!("{end} rows: {:.0} a second", files as f64 / tenth.seconds);
        all.seconds += tenth.seconds;
        all.processor_seconds += tenth.processor_seconds;
        all.slowest_seconds = tenth.slowest_seconds;
    }
    println!("written_a_second {:.0}", count as f64 / all.seconds);
    println!("written_a_processor_second {:.0}", count as f64 / all.processor_seconds);
    println!("last_tenth_a_second {:.0}", (count - count * 9 / 10) as f64 / tenth.seconds);
    println!("slowest_write_ms {:.1}", all.slowest_seconds * 1e3);
    Ok(())
}

fn ask(folder: &Path, count: u64) -> Result<(), LedgerError> {
    let opened = |name: &str| -> Result<Ledger, LedgerError> {
        let begin = Instant::now();
        let ledger = Ledger::open(folder, Options::default())?;
        println!("{name} {:.3}", begin.elapsed().as_secs_f64());
        Ok(ledger)
    };
    opened("open_after_a_crash_seconds")?.close()?;
    let mut ledger = opened("open_seconds")?;
    let anywhere = |number: u64| spread(number) % count;
    tell("look_up", |number| timed(|| ledger.row(&file(anywhere(number)))))?;
    tell("look_up_of_nothing", |number| {
        let path = path(anywhere(number) / FILES_PER_DIRECTORY, count + number);
        timed(|| ledger.row(&path))
    })?;
    tell("look_up_by_file_key", |number| {
        timed(|| ledger.row_of_file_key(anywhere(number), &RelPath::root()))
    })?;
    // A page as it was, and one of files that are all new: each is looked for by its file key.
    tell("page_join", |number| join(&ledger, anywhere(number), count, 0))?;
    tell("page_join_of_new_files", |number| join(&ledger, anywhere(number), count, count))?;
    change(&mut ledger, count + 1, anywhere)?;
    println!("pending_left {}", ledger.summary()?.lanes.iter().sum::<u64>());
    ledger.close()
}

/// Files all over the tree change: each is marked, then taken with others, copied and settled.
#[allow(clippy::cast_precision_loss, reason = "for people")]
fn change(
    ledger: &mut Ledger,
    first: u64,
    anywhere: impl Fn(u64) -> u64,
) -> Result<(), LedgerError> {
    let (mut marked, mut copied, mut files) = (Spent::default(), Spent::default(), 0);
    let marks = QUESTIONS * TAKEN as u64;
    made::apply(ledger, &mut marked, first..first + marks, |number| {
        vec![mark(file(anywhere(number)), number)]
    })?;
    println!("marks_anywhere_a_second {:.0}", marks as f64 / marked.seconds);
    tell("take", |_| {
        let begin = Instant::now();
        let (work, _) = ledger.take(Lane::Live, TAKEN, Time(first + marks))?;
        let seconds = begin.elapsed().as_secs_f64();
        files += work.len();
        // What is taken is claimed until it is settled: a run has no more of it than it can copy.
        made::apply(ledger, &mut copied, 0..work.len() as u64, |index| {
            let Some(work) = work.get(index as usize) else { return Vec::new() };
            let Pending { path, mark, .. } = &work.pending;
            let row = row(path.clone(), first + mark.0);
            let settled = Change::Settle { path: path.clone(), up_to: *mark, as_of: TxId(0) };
            vec![Change::PutRow(row), settled]
        })?;
        Ok(seconds)
    })?;
    println!("rows_anywhere_a_second {:.0}", files as f64 / copied.seconds);
    Ok(())
}

/// How long a question takes.
fn timed<T>(question: impl FnOnce() -> Result<T, LedgerError>) -> Result<f64, LedgerError> {
    let begin = Instant::now();
    question().map(|_| begin.elapsed().as_secs_f64())
}

/// What the ledger knows of the page in which a file stands; `other` is added to the numbers of its
/// files.
fn join(ledger: &Ledger, number: u64, count: u64, other: u64) -> Result<f64, LedgerError> {
    let begin = number - number % FILES_PER_DIRECTORY;
    let directory = file(begin).parent().unwrap_or_else(RelPath::root);
    let entries = (begin..(begin + FILES_PER_DIRECTORY).min(count)).map(|number| {
        let row = row(path(begin / FILES_PER_DIRECTORY, other + number), other + number + 1);
        let (identity, metadata) = (row.identity, row.metadata);
        let node = FileNode { identity, open: false, metadata, pin: Default::default() };
        Entry { path: row.path, node: Node::File(node) }
    });
    let page = Page { entries: entries.collect(), more: false };
    timed(|| ledger.join_page(&directory, None, &page, true))
}

/// Asks, and tells how long it took, in seconds.
fn tell(
    name: &str,
    mut question: impl FnMut(u64) -> Result<f64, LedgerError>,
) -> Result<(), LedgerError> {
    let mut all = Vec::new();
    for number in 0..QUESTIONS {
        all.push(question(number)? * 1e3);
    }
    all.sort_by(f64::total_cmp);
    for (which, at) in [("median", all.len() / 2), ("p99", all.len() * 99 / 100)] {
        println!("{name}_{which}_ms {:.3}", all.get(at).copied().unwrap_or_default());
    }
    Ok(())
}
