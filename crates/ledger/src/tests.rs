use std::fmt::Write;

use rusqlite::params;
use whimbrel_core::identity::Identity;
use whimbrel_core::metadata::Metadata;
use whimbrel_core::number::{Epoch, Mark, TxId};
use whimbrel_core::record::{Hint, Reach};

use super::*;

fn mark(path: &str, number: u64) -> Change {
    Change::Mark {
        path: path.into(),
        reach: Reach::Path,
        lane: Lane::Live,
        first_txid: TxId(number),
        last_txid: TxId(number),
        seen: Time(number),
        mark: Mark(number),
    }
}

#[test]
fn a_full_disk_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(folder.path(), Options::default()).unwrap();
    ledger.apply(&[&[mark("held", 1), mark("x", 2)]]).unwrap();
    let (work, before) = ledger.take(Lane::Live, 1, Time(0)).unwrap();
    assert_eq!(work[0].pending.path, "held".into());
    let pages: i64 = ledger.sql.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    let limit = |ledger: &Ledger, pages: i64| {
        let pragma = format!("PRAGMA max_page_count = {pages}");
        ledger.sql.query_row(&pragma, [], |_| Ok(())).unwrap();
    };
    limit(&ledger, pages);
    let mut long = String::new();
    for number in 0..20_000 {
        write!(long, "{number}").unwrap();
    }
    let settle = Change::Settle { path: "held".into(), up_to: Mark(1), as_of: TxId(0) };
    let changes = [settle, mark("y", 3), mark(&long, 4)];
    let error = ledger.apply(&[&changes]).unwrap_err();
    assert!(matches!(error, LedgerError::Full { .. }), "{error:?}");
    assert!(error.remedy().contains("free space"));
    assert_eq!(ledger.summary().unwrap(), before);
    assert_eq!(ledger.pending_entry(&"y".into()).unwrap(), None);
    let (work, _) = ledger.take(Lane::Live, 9, Time(0)).unwrap();
    let taken: Vec<_> = work.iter().map(|work| work.pending.path.to_string()).collect();
    assert_eq!(taken, ["x"], "the claim of the failed batch still holds");
    limit(&ledger, pages + 1_000);
    let after = ledger.apply(&[&changes]).unwrap();
    assert_eq!(after.lanes, [3, 0, 0]);
    drop(ledger);
    let ledger = Ledger::open(folder.path(), Options::default()).unwrap();
    assert_eq!(ledger.summary().unwrap(), after);
    assert_eq!(ledger.pending_entry(&"held".into()).unwrap(), None);
}

#[test]
fn the_oldest_hints_give_way() {
    let mut ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
    let more = 20;
    let total = HINTS_MAX + more;
    let hints: Vec<Change> = (1..=total)
        .map(|number| {
            Change::HintAdded(Hint {
                from: format!("from/{number}").as_str().into(),
                to: format!("to/{number}").as_str().into(),
                txid: TxId(u64::try_from(number).unwrap()),
            })
        })
        .collect();
    ledger.apply(&[&hints]).unwrap();
    let left = ledger.hints().unwrap();
    assert_eq!(left.len(), HINTS_MAX);
    let oldest = left.iter().map(|hint| hint.txid.0).min().unwrap();
    assert_eq!(oldest, u64::try_from(more).unwrap() + 1);
}

#[test]
fn the_log_starts_anew_before_it_grows_without_bound() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(folder.path(), Options::default()).unwrap();
    let name = "n".repeat(40_000);
    for number in 1..1_000 {
        ledger.apply(&[&[mark(&name, number)]]).unwrap();
    }
    let bytes: i64 = ledger
        .sql
        .query_row("SELECT sum(length(record)) FROM pending_log", [], |row| row.get(0))
        .unwrap();
    assert!(bytes < 34 << 20, "{bytes}");
    drop(ledger);
    let ledger = Ledger::open(folder.path(), Options::default()).unwrap();
    let entry = ledger.pending_entry(&name.as_str().into()).unwrap().unwrap();
    assert_eq!((entry.mark, entry.first_txid), (Mark(999), TxId(1)));
}

#[test]
fn what_memory_does_not_hold_is_spilled_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { hot_entries_max: 20, ..Options::default() };
    let mut ledger = Ledger::open(folder.path(), options).unwrap();
    let name = |number| format!("{number:02}");
    let marks: Vec<Change> = (1..=25).map(|number| mark(&name(number), number)).collect();
    ledger.apply(&[&marks[..20]]).unwrap();
    assert_eq!(ledger.spilled().unwrap(), 0);
    ledger.apply(&[&marks[20..]]).unwrap();
    assert_eq!(ledger.spilled().unwrap(), 7, "five too many, and a tenth to be free again");
    let rows = |ledger: &Ledger| -> u64 {
        ledger.sql.query_row("SELECT count(*) FROM pending", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(rows(&ledger), 7);
    drop(ledger);

    let mut ledger = Ledger::open(folder.path(), Options::default()).unwrap();
    ledger.check().unwrap();
    assert_eq!(ledger.spilled().unwrap(), 7);
    ledger.keep_in_memory(5);
    ledger.apply(&[&[mark(&name(26), 26)]]).unwrap();
    assert_eq!((ledger.spilled().unwrap(), rows(&ledger)), (21, 21));
    let (work, _) = ledger.take(Lane::Live, 99, Time(0)).unwrap();
    let taken: Vec<String> = work.iter().map(|work| work.pending.path.to_string()).collect();
    assert_eq!(taken, (1..=26).map(name).collect::<Vec<_>>());
}

fn large_row() -> Row {
    Row {
        path: "large".into(),
        identity: Identity::Unknown,
        length: 6 << 30,
        crc32c: Some(7),
        etag: None,
        version: None,
        attempt: None,
        as_of: TxId(3),
        epoch: Epoch(1),
        metadata: Metadata { owner: "ann".into(), ..Metadata::default() },
        ledger_only: false,
    }
}

/// A state as version 1 left it, with one row.
fn first_state() -> Connection {
    let sql = schema::of_version(1);
    let mut kept = Kept::new(Namespace::Tree);
    kept.counts.rows = 1;
    kept.write(&sql).unwrap();
    sql.execute("INSERT INTO directory (id, path) VALUES (1, x'')", []).unwrap();
    sql.execute(
        "INSERT INTO object (directory, name, commit_marker, record) VALUES (1, ?1, 0, ?2)",
        params![b"large", row::first_record(large_row())],
    )
    .unwrap();
    sql
}

#[test]
fn rows_of_an_older_state_are_read_and_written_anew() {
    let options = Options { namespace: Some(Namespace::Tree), ..Options::default() };
    let mut ledger = Ledger::start(first_state(), "a test", options, None).unwrap();
    assert_eq!(ledger.row(&"large".into()).unwrap(), Some(large_row()));
    assert_eq!(ledger.summary().unwrap().ledger_only, 0);
    let newer = Row { ledger_only: true, ..large_row() };
    ledger.apply(&[&[Change::PutRow(newer.clone())]]).unwrap();
    ledger.check().unwrap();
    let ledger = ledger.restart().unwrap();
    assert_eq!(ledger.row(&"large".into()).unwrap(), Some(newer));
    let summary = ledger.summary().unwrap();
    assert_eq!((summary.rows, summary.ledger_only), (1, 1));
}

/// Records grew while version 1 was in use: such states were refused as damaged.
#[test]
fn an_older_state_is_upgraded_or_left_to_the_version_that_wrote_it() {
    use crate::codec::{self, Kind};

    let folder = tempfile::tempdir().unwrap();
    let open = || Ledger::open(folder.path(), Options::default());
    let sql = || Connection::open(folder.path().join(DATABASE)).unwrap();
    let older = || sql().execute_batch("PRAGMA user_version = 3").unwrap();
    let mut ledger = open().unwrap();
    for (pinned, kept) in [(16_385, Some(16_385)), (1 << 60, None)] {
        ledger.apply(&[&[mark("x", 1), Change::RootPinned(pinned)]]).unwrap();
        ledger.close().unwrap();
        older();
        ledger = open().unwrap();
        assert_eq!(ledger.meta().unwrap().root_key, kept, "{pinned}");
        assert!(ledger.pending_entry(&"x".into()).unwrap().is_some());
    }
    ledger.close().unwrap();
    let record = codec::encode(Kind::Log, &(1_i64, vec![(0_u8, "x", 1_u8)])).unwrap();
    sql().execute("UPDATE pending_log SET record = ?1 WHERE sequence = 1", [record]).unwrap();
    older();
    let error = open().unwrap_err();
    assert!(matches!(error, LedgerError::Older { found: 3, known: 4, .. }), "{error}");
    assert!(error.remedy().contains("--adopt"), "{error}");
    let version: i64 = sql().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 3, "left as it was");
}
