use std::fmt::Write;
use std::os::unix::fs::FileExt;

use rusqlite::params;
use whimbrel_core::identity::Identity;
use whimbrel_core::metadata::Metadata;
use whimbrel_core::number::{Epoch, Mark, TxId};
use whimbrel_core::record::{Hint, Parked, Reach};

use super::*;
use crate::key::Names;
use crate::pending::{Entry, PendingSet};

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

pub(crate) fn large_row() -> Row {
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
    let back = "DROP INDEX pending_delayed; PRAGMA user_version = 3";
    let older = || sql().execute_batch(back).unwrap();
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
    assert!(matches!(error, LedgerError::Older { found: 3, known: 5, .. }), "{error}");
    assert!(error.remedy().contains("--adopt"), "{error}");
    let version: i64 = sql().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 3, "left as it was");
}

fn held(path: &str, parked: Option<Parked>) -> Pending {
    Pending {
        path: path.into(),
        reach: Reach::Path,
        lane: Lane::Live,
        first_txid: TxId(1),
        last_txid: TxId(1),
        first_seen: Time(1),
        last_seen: Time(1),
        mark: Mark(1),
        begun: None,
        cursor: None,
        tries: 0,
        not_before: Time(0),
        waiting: false,
        parked,
        let_go: None,
        gone_since: None,
    }
}

/// Its records are those of today as long as nothing is kept for a time.
#[test]
fn what_was_pending_in_an_older_state_is_as_it_was() {
    let sql = schema::of_version(4);
    let mut kept = Kept::new(Namespace::Tree);
    let mut pending = PendingSet::load(&sql, Names(Namespace::Tree), 0).unwrap();
    for path in ["a", "b"] {
        pending.attach(Entry::fresh(held(path, (path == "b").then_some(Parked::Guard))));
    }
    pending.flush(&sql).unwrap();
    (kept.counts.pending, kept.counts.pending_log) = pending.stored();
    assert_eq!(kept.counts.pending, 2, "they stand in the table");
    kept.write(&sql).unwrap();
    let options = Options { namespace: Some(Namespace::Tree), ..Options::default() };
    let mut ledger = Ledger::start(sql, "a test", options, None).unwrap();
    let summary = ledger.apply(&[&[Change::Release(Parked::Guard)]]).unwrap();
    assert_eq!((summary.lanes, summary.guarded), ([2, 0, 0], 0));
    ledger.check().unwrap();
}

#[test]
fn a_root_is_known_again_unless_its_number_meant_something_else_then() {
    let upgraded = |found: i64, pinned: u64| {
        let ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
        let mut kept = Kept::read(&ledger.sql).unwrap().unwrap();
        kept.meta.root_key = Some(pinned);
        kept.write(&ledger.sql).unwrap();
        State::upgrade(&ledger.sql, found, 20).unwrap();
        Kept::read(&ledger.sql).unwrap().unwrap().meta.root_key
    };
    let of_a_local_tree = 1 << 48;
    assert_eq!(upgraded(3, of_a_local_tree - 1), Some(of_a_local_tree - 1));
    assert_eq!(upgraded(3, of_a_local_tree), None);
    assert_eq!(upgraded(4, of_a_local_tree), Some(of_a_local_tree), "it means the same");
}

/// One that is too large for every record to be read when it is opened.
fn large(folder: &Path) -> Ledger {
    let mut ledger = Ledger::open(folder, Options::default()).unwrap();
    let found = Found {
        path: "large".into(),
        length: 0,
        etag: Some("x".repeat(17 << 20)),
        version: None,
        crc32c: None,
        metadata: None,
        migration: None,
        late: false,
    };
    ledger.apply(&[&[Change::FoundAdded(found)]]).unwrap();
    ledger
}

/// Breaks the chain of the pages that hold the record, which nobody reads.
fn break_large(folder: &Path) {
    let file = std::fs::File::options().write(true).open(folder.join(DATABASE)).unwrap();
    file.write_all_at(&u32::MAX.to_be_bytes(), 2_000 * 4_096).unwrap();
}

#[test]
fn a_large_state_is_examined_if_it_was_not_closed_in_order() {
    let opened = |in_order: bool| {
        let folder = tempfile::tempdir().unwrap();
        let ledger = large(folder.path());
        if in_order {
            ledger.close().unwrap();
        } else {
            drop(ledger);
        }
        break_large(folder.path());
        match Ledger::open(folder.path(), Options::default()) {
            Ok(ledger) => {
                let error = ledger.check().unwrap_err();
                assert!(matches!(error, LedgerError::Damaged { .. }), "{error}");
                drop(ledger);
                // Since then it is in use.
                let error = Ledger::open(folder.path(), Options::default()).unwrap_err();
                assert!(matches!(error, LedgerError::Damaged { .. }), "{error}");
                true
            }
            Err(error) => {
                assert!(matches!(error, LedgerError::Damaged { .. }), "{error}");
                false
            }
        }
    };
    assert_eq!((opened(true), opened(false)), (true, false));
}

/// What a crash between the first tables and the first record leaves holds nothing.
#[test]
fn a_state_without_its_record_is_new_or_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let lose_record = || {
        let sql = Connection::open(folder.path().join(DATABASE)).unwrap();
        sql.execute("DELETE FROM state", []).unwrap();
    };
    Ledger::open(folder.path(), Options::default()).unwrap().close().unwrap();
    lose_record();
    let mut ledger = Ledger::open(folder.path(), Options::default()).unwrap();
    ledger.set_setting("kept", "text").unwrap();
    ledger.close().unwrap();
    lose_record();
    let error = Ledger::open(folder.path(), Options::default()).unwrap_err();
    assert!(matches!(error, LedgerError::Damaged { .. }), "{error}");
    // Of a large one nothing else would tell.
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = large(folder.path());
    ledger.apply(&[&[Change::PutRow(large_row())]]).unwrap();
    ledger.close().unwrap();
    let sql = Connection::open(folder.path().join(DATABASE)).unwrap();
    sql.execute("DELETE FROM state", []).unwrap();
    drop(sql);
    let error = Ledger::open(folder.path(), Options::default()).unwrap_err();
    assert!(matches!(error, LedgerError::Damaged { .. }), "{error}");
}

#[test]
fn a_ledger_in_memory_is_as_new_once_it_was_emptied() {
    let mut ledger = Ledger::open_in_memory(Namespace::Flat).unwrap();
    ledger.apply(&[&[mark("x", 1)]]).unwrap();
    let ledger = ledger.emptied().unwrap();
    assert_eq!(ledger.namespace(), Namespace::Flat);
    assert_eq!(ledger.pending_entry(&"x".into()).unwrap(), None);
    ledger.sql.execute_batch("BEGIN").unwrap();
    assert!(matches!(ledger.emptied(), Err(LedgerError::Closed)), "in the middle of a batch");
    let folder = tempfile::tempdir().unwrap();
    let durable = Ledger::open(folder.path(), Options::default()).unwrap();
    assert!(matches!(durable.emptied(), Err(LedgerError::Closed)), "somebody may need it");
}

#[test]
fn a_ledger_that_starts_again_keeps_its_bound() {
    let ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
    let mut ledger = ledger.restart().unwrap();
    ledger.keep_in_memory(20);
    let mut ledger = ledger.restart().unwrap();
    let marks: Vec<Change> = (1..=25).map(|number| mark(&format!("{number}"), number)).collect();
    ledger.apply(&[&marks]).unwrap();
    assert_eq!(ledger.spilled().unwrap(), 7);
}

/// In records of a bounded length, and all that is pending in them.
#[test]
fn a_log_that_starts_anew_holds_all_that_is_pending() {
    let mut ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
    let name = |number: u64| format!("{number:03}{}", "n".repeat(4_000));
    let paths = 100;
    let mut number = 0;
    // As often as makes the log too long, and once more.
    for _ in 0..86 {
        let marks: Vec<Change> = (0..paths)
            .map(|path| {
                number += 1;
                mark(&name(path), number)
            })
            .collect();
        ledger.apply(&[&marks]).unwrap();
    }
    let (_, records) = ledger.state.pending.stored();
    assert!(records < 10, "{records} records: two when it was begun anew, and those since");
    let lengths: i64 = ledger
        .sql
        .query_row("SELECT max(length(record)) FROM pending_log WHERE sequence <= 2", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert!((200 << 10..280 << 10).contains(&lengths), "{lengths}");
    let mut ledger = ledger.restart().unwrap();
    assert_eq!(ledger.take(Lane::Live, 512, Time(0)).unwrap().0.len() as u64, paths);
}

/// Written anew it would be as long.
#[test]
fn a_log_of_what_is_pending_once_is_left_alone() {
    let mut ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
    for batch in 0..17 {
        let name = |number: u64| format!("{batch}.{number}.{}", "n".repeat(20_000));
        let marks: Vec<Change> = (1..=100).map(|number| mark(&name(number), number)).collect();
        ledger.apply(&[&marks]).unwrap();
    }
    assert_eq!(ledger.state.pending.stored(), (0, 17), "34 MB in one record for each batch");
}

/// Half of them in memory and half of them in the table.
#[test]
fn what_was_let_go_is_counted_wherever_it_stands() {
    let mut ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
    ledger.keep_in_memory(4);
    for number in 1..=6 {
        let (path, up_to) = (RelPath::from(format!("{number}").as_str()), Mark(number));
        let (reason, retry_at, message) = (Parked::Removal, None, String::new());
        let parked = Change::Park { path: path.clone(), up_to, reason, retry_at, message };
        let row = Row { path, ..large_row() };
        ledger
            .apply(&[&[mark(&format!("{number}"), number), parked, Change::PutRow(row)]])
            .unwrap();
    }
    let (in_table, _) = ledger.state.pending.stored();
    assert!(in_table > 0 && in_table < 6, "{in_table}");
    let removals = |ledger: &Ledger| ledger.removals(Time(0), &|_| true, &|_| true).unwrap();
    assert_eq!(removals(&ledger).objects, 6);
    ledger.apply(&[&[Change::Release(Parked::Removal)]]).unwrap();
    let (in_table, _) = ledger.state.pending.stored();
    assert!(in_table > 0 && in_table < 6, "{in_table}");
    assert_eq!(removals(&ledger).leaving, 6);
}

/// A part belongs to the attempt and has the number that its columns say.
#[test]
fn a_part_under_another_number_is_damage() {
    use whimbrel_core::number::AttemptNumber;
    use whimbrel_core::record::{AttemptKind, Part, Upload};

    let loaded = |columns: (i64, i64)| {
        let mut ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
        let part = |number: u32| Part { number, length: 1, crc32c: 2, etag: "e".into() };
        let upload = Upload { id: "u".into(), part_bytes: 1, parts: vec![part(1), part(2)] };
        let attempt = |number: u64| Attempt {
            number: AttemptNumber(number),
            path: "x".into(),
            kind: AttemptKind::Copy,
            started: Time(0),
            doubtful_until: None,
            identity: Identity::Unknown,
            upload: Some(upload.clone()),
        };
        ledger.apply(&[&[Change::AttemptOpened(attempt(7))]]).unwrap();
        let moved = "UPDATE part SET attempt = ?1, number = ?2 WHERE number = 2";
        ledger.sql.execute(moved, params![columns.0, columns.1]).unwrap();
        ledger.restart().is_ok()
    };
    assert!(loaded((7, 2)) && !loaded((7, 3)) && !loaded((8, 2)));
}

/// A parent, two files, a directory with a record, what was found, and a setting.
fn one_of_each() -> Ledger {
    let mut ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
    let row = |path: &str| Row { path: path.into(), ..large_row() };
    let keyed = Identity::Hdfs { block_pool: 1, file_id: 7, length: 5, modified_ms: 7, blocks: 3 };
    let found = Found {
        path: "theirs".into(),
        length: 0,
        etag: None,
        version: None,
        crc32c: None,
        metadata: None,
        migration: None,
        late: false,
    };
    let seen = DirectoryRecord { path: "a".into(), file_key: 3, metadata: Metadata::default() };
    ledger
        .apply(&[&[
            Change::PutRow(row("a/b/x")),
            Change::PutRow(Row { identity: keyed, ..row("c/y") }),
            Change::FoundAdded(found),
            Change::PutDirectory(seen),
        ]])
        .unwrap();
    ledger.set_setting("kept", "text").unwrap();
    ledger.check().unwrap();
    ledger
}

/// Each statement makes one thing wrong, and leaves the pages of the database sound.
#[test]
fn what_does_not_fit_together_is_damage() {
    let statements = [
        "DELETE FROM object WHERE name = x'78'",
        "UPDATE object SET name = x'7a' WHERE name = x'78'",
        "UPDATE object SET file_key = 9 WHERE name = x'78'",
        "UPDATE object SET file_key = NULL WHERE name = x'79'",
        "UPDATE object SET commit_marker = 1 WHERE name = x'78'",
        "UPDATE object SET ledger_only = 1 WHERE name = x'78'",
        "UPDATE directory SET parent = (SELECT id FROM directory WHERE path = x'63')
             WHERE path = x'612f62'",
        "UPDATE directory SET parent = NULL WHERE path = x'612f62'",
        "UPDATE directory SET parent = 99 WHERE path = x''",
        "INSERT INTO directory (path, parent)
             SELECT x'612f65', id FROM directory WHERE path = x'61'",
        "DELETE FROM found",
        "UPDATE found SET name = x'7a'",
        "DELETE FROM directory_record",
        "UPDATE directory_record SET name = x'7a'",
        "DELETE FROM setting WHERE key = 'kept'",
        "UPDATE setting SET key = 'other' WHERE key = 'kept'",
    ];
    for statement in statements {
        let ledger = one_of_each();
        let changed = ledger.sql.execute(statement, []).unwrap();
        assert_eq!(changed, 1, "{statement}");
        let checked = ledger.check();
        assert!(matches!(checked, Err(LedgerError::Damaged { .. })), "{statement}: {checked:?}");
    }
}

/// What stands in memory alone is compared with what is stored when it is loaded.
#[test]
fn a_log_with_gaps_is_damage() {
    let loaded = |statement: &str| {
        let mut ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
        for number in 1..=3 {
            ledger.apply(&[&[mark(&format!("{number}"), number)]]).unwrap();
        }
        ledger.sql.execute(statement, []).unwrap();
        ledger.restart().map(|ledger| ledger.summary().unwrap().lanes[0])
    };
    assert_eq!(loaded("UPDATE pending_log SET sequence = 3 WHERE sequence = 3").unwrap(), 3);
    for statement in [
        "DELETE FROM pending_log WHERE sequence = 1",
        "DELETE FROM pending_log WHERE sequence = 3",
        "UPDATE pending_log SET sequence = 7 WHERE sequence = 3",
    ] {
        let error = loaded(statement).unwrap_err();
        assert!(matches!(error, LedgerError::Damaged { .. }), "{statement}: {error}");
    }
}

#[test]
fn a_hint_that_is_gone_is_damage() {
    let loaded = |statement: &str| {
        let mut ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
        let hint = |from: &str| Hint { from: from.into(), to: "to".into(), txid: TxId(1) };
        ledger.apply(&[&["a", "b"].map(|from| Change::HintAdded(hint(from)))]).unwrap();
        ledger.sql.execute(statement, []).unwrap();
        ledger.restart().map(|ledger| ledger.hints().unwrap().len())
    };
    assert_eq!(loaded("UPDATE hint SET id = 2 WHERE id = 2").unwrap(), 2);
    let error = loaded("DELETE FROM hint WHERE id = 2").unwrap_err();
    assert!(matches!(error, LedgerError::Damaged { .. }), "{error}");
}

/// It is reckoned from what is stored.
#[test]
fn the_length_of_the_log_outlives_a_start() {
    let mut ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
    let name = |number: u64| format!("{number:03}{}", "n".repeat(4_000));
    let mut number = 0;
    for batch in 0..86 {
        let marks: Vec<Change> = (0..100)
            .map(|path| {
                number += 1;
                mark(&name(path), number)
            })
            .collect();
        ledger.apply(&[&marks]).unwrap();
        let (_, records) = ledger.state.pending.stored();
        if batch == 60 {
            assert_eq!(records, 61);
            ledger = ledger.restart().unwrap();
        }
    }
    let (_, records) = ledger.state.pending.stored();
    assert!(records < 10, "{records}");
}

/// Paths alone make room first, and nothing more than has to.
#[test]
fn what_reaches_below_its_path_stays_in_memory_longest() {
    let mut ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
    ledger.keep_in_memory(20);
    assert_eq!(ledger.setting("spilled").unwrap(), None);
    let coarse = (1..=10).map(|number| Change::Mark {
        path: format!("d{number:02}").as_str().into(),
        reach: Reach::Subtree,
        lane: Lane::Live,
        first_txid: TxId(number),
        last_txid: TxId(number),
        seen: Time(number),
        mark: Mark(number),
    });
    let paths = (11..=25).map(|number| mark(&format!("{number}"), number));
    let marks: Vec<Change> = coarse.chain(paths).collect();
    ledger.apply(&[&marks[..10]]).unwrap();
    assert_eq!(ledger.setting("spilled").unwrap(), None, "nothing was");
    ledger.apply(&[&marks[10..]]).unwrap();
    let reaches = |ledger: &Ledger| -> (u64, u64) {
        let statement = "SELECT count(*), coalesce(sum(reach > 0), 0) FROM pending";
        ledger.sql.query_row(statement, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    assert_eq!(reaches(&ledger), (7, 0));
    ledger.keep_in_memory(5);
    ledger.apply(&[&[mark("26", 26)]]).unwrap();
    assert_eq!(reaches(&ledger), (21, 5), "all paths, and what else has to");
}

#[test]
fn whatever_stands_at_a_distrusted_path_is_not_known() {
    let mut ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
    let row = Row {
        etag: Some("e".into()),
        version: Some("v".into()),
        attempt: Some(whimbrel_core::number::AttemptNumber(4)),
        ..large_row()
    };
    ledger.apply(&[&[Change::PutRow(row.clone()), Change::Distrust("large".into())]]).unwrap();
    let unknown = Row { crc32c: None, etag: None, version: None, ..row };
    assert_eq!(ledger.row(&"large".into()).unwrap(), Some(unknown));
}

#[test]
fn a_claim_that_ended_is_not_taken_up_again() {
    let mut ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
    ledger.apply(&[&[mark("x", 1)]]).unwrap();
    let taken = |ledger: &mut Ledger| ledger.take(Lane::Live, 9, Time(0)).unwrap().0.len();
    assert_eq!(taken(&mut ledger), 1);
    let deferred = Change::Defer {
        path: "x".into(),
        up_to: Mark(1),
        not_before: Time(0),
        tries: 0,
        waiting: false,
    };
    ledger.apply(&[&[deferred]]).unwrap();
    ledger.transaction(|_, _| Err(LedgerError::Closed)).unwrap_err();
    assert_eq!(taken(&mut ledger), 1);
    ledger.transaction(|_, _| Err(LedgerError::Closed)).unwrap_err();
    assert_eq!(taken(&mut ledger), 0, "it is held");
}

#[test]
fn a_ledger_whose_memory_is_not_what_is_stored_does_nothing_more() {
    let mut ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
    ledger.broken = true;
    assert!(matches!(ledger.meta(), Err(LedgerError::Closed)));
    assert!(matches!(ledger.apply(&[&[mark("x", 1)]]), Err(LedgerError::Closed)));
    assert!(matches!(ledger.check(), Err(LedgerError::Closed)));
}

#[test]
fn attempts_on_children_are_those_in_the_directory() {
    let mut ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
    let opened = |number: u64, path: &str| {
        Change::AttemptOpened(Attempt {
            number: whimbrel_core::number::AttemptNumber(number),
            path: path.into(),
            kind: whimbrel_core::record::AttemptKind::Copy,
            started: Time(0),
            doubtful_until: None,
            identity: Identity::Unknown,
            upload: None,
        })
    };
    ledger.apply(&[&[opened(1, "a/x"), opened(2, "a/y"), opened(3, "b/y")]]).unwrap();
    let page = whimbrel_core::entry::Page { entries: Vec::new(), more: false };
    let join = ledger.join_page(&"a".into(), Some(b"x"), &page, false).unwrap();
    let numbers: Vec<u64> = join.attempts.iter().map(|attempt| attempt.number.0).collect();
    assert_eq!(numbers, [2]);
}

/// Each column is an order in which entries are asked for.
#[test]
fn an_entry_of_the_table_whose_columns_say_something_else_is_damage() {
    let loaded = |columns: &str| {
        let mut ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
        ledger.keep_in_memory(0);
        ledger.apply(&[&[mark("a/bc", 1)]]).unwrap();
        let changed = ledger.sql.execute(&format!("UPDATE pending SET {columns}"), []).unwrap();
        assert_eq!(changed, 1, "{columns}");
        ledger.restart().map(drop)
    };
    loaded("commit_marker = 0").unwrap();
    for columns in [
        "name = x'6264'",
        "name = x'63'",
        "directory = x'7a'",
        "directory = x''",
        "reach = 1",
        "lane = 1",
        "first_txid = 2",
        "first_seen = 2",
        "mark = 2",
        "not_before = 2",
        "waiting = 1",
        "parked = 1",
    ] {
        let error = loaded(columns).unwrap_err();
        assert!(matches!(error, LedgerError::Damaged { .. }), "{columns}: {error}");
    }
}
