//! Random histories, with a reopening at any place, against a simple model.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use support::model::Model;
use support::{attempt, directory, found, hint, row};
use whimbrel_core::entry::Page;
use whimbrel_core::input::Group;
use whimbrel_core::number::{AttemptNumber, Mark, Time, TxId};
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::record::{Change, Counters, Lane, Parked, Part, Reach, Row, Upload};
use whimbrel_ledger::{Ledger, Options};

const PATHS: &[&str] = &[
    "",
    "a",
    "a/",
    "a/x",
    "a/y",
    "a/b",
    "a/b/x",
    "a/b/c",
    "a/b/c/x",
    "a/b/_SUCCESS",
    "a-",
    "a-/x",
    "b",
    "b/x",
    "b/_SUCCESS",
    "_SUCCESS",
];

/// One thing done to the ledger.
#[derive(Clone, Debug)]
enum Act {
    Apply(Vec<Change>),
    Take(Lane, usize, Time),
    Reopen { clean: bool },
}

fn path() -> impl Strategy<Value = RelPath> {
    select(PATHS).prop_map(RelPath::from)
}

fn lane() -> impl Strategy<Value = Lane> {
    select(&[Lane::Live, Lane::Backlog, Lane::Metadata][..])
}

fn parked() -> impl Strategy<Value = Parked> {
    use Parked::{Delayed, Failed, Foreign, Guard, Open, Removal};
    select(&[Open, Failed, Guard, Removal, Foreign, Delayed][..])
}

fn mark() -> impl Strategy<Value = Change> {
    let reach = select(&[Reach::Path, Reach::Path, Reach::Directory, Reach::Subtree][..]);
    (path(), reach, lane(), 1..20_u64, 0..5_u64, 1..30_u64).prop_map(
        |(path, reach, lane, first, more, number)| Change::Mark {
            path,
            reach,
            lane,
            first_txid: TxId(first),
            last_txid: TxId(first + more),
            seen: Time(number * 3),
            mark: Mark(number),
        },
    )
}

fn to_pending() -> impl Strategy<Value = Change> {
    let up_to = || (1..30_u64).prop_map(Mark);
    prop_oneof![
        6 => mark(),
        2 => (path(), up_to(), 0..20_u64).prop_map(|(path, up_to, as_of)| Change::Settle {
            path, up_to, as_of: TxId(as_of) }),
        2 => (path(), up_to(), parked(), proptest::option::of(0..40_u64)).prop_map(
            |(path, up_to, reason, retry_at)| Change::Park {
                message: format!("{path}: {reason:?}"),
                path, up_to, reason, retry_at: retry_at.map(Time) }),
        2 => (path(), up_to(), 0..40_u64, 0..3_u32, any::<bool>()).prop_map(
            |(path, up_to, not_before, tries, waiting)| Change::Defer {
                path, up_to, not_before: Time(not_before), tries, waiting }),
        1 => parked().prop_map(Change::Release),
        1 => Just(Change::Confirmed),
        1 => Just(Change::HoldRemovals { message: "held".to_owned() }),
        1 => path().prop_map(Change::Hasten),
        3 => (path(), 0..40_u64, any::<bool>()).prop_map(
            |(path, since, below)| Change::Gone { path, since: Time(since), below }),
        1 => (path(), 1..20_u64, 1..90_u64).prop_map(|(path, first, seen)| Change::Present {
            path, first_txid: TxId(first), seen: Time(seen) }),
        1 => (0..20_u64).prop_map(|after_millis| Change::DelayRemovals { after_millis }),
        2 => (proptest::option::of(0..40_u64), 1..20_u64, 1..90_u64).prop_map(
            |(due_by, first, seen)| Change::EndDelays {
                due_by: due_by.map(Time), first_txid: TxId(first), seen: Time(seen) }),
        1 => (path(), up_to()).prop_map(|(below, up_to)| Change::Reconsider { below, up_to }),
        2 => (path(), up_to(), proptest::option::of("[a-z]")).prop_map(
            |(path, begun, cursor)| Change::Advance {
                path, begun, cursor: cursor.map(|cursor| cursor.into_bytes().into()) }),
        2 => (path(), any::<bool>()).prop_map(
            |(path, subtree)| Change::Coarsen { path, subtree }),
    ]
}

fn to_rest() -> impl Strategy<Value = Change> {
    let number = || 1..5_u64;
    let part = |number| Part { number, length: 1, crc32c: number, etag: "p".into() };
    let upload = Upload { id: "u".into(), part_bytes: 1, parts: Vec::new() };
    prop_oneof![
        (number(), select(PATHS)).prop_map(|(n, path)| Change::AttemptOpened(attempt(n, path))),
        number().prop_map(|n| Change::AttemptDoubtful { number: AttemptNumber(n), until: Time(n) }),
        number().prop_map(move |n| Change::UploadOpened {
            number: AttemptNumber(n),
            upload: upload.clone()
        }),
        (number(), 1..4_u32)
            .prop_map(move |(n, p)| Change::PartDone { number: AttemptNumber(n), part: part(p) }),
        number().prop_map(|n| Change::AttemptClosed(AttemptNumber(n))),
        (select(PATHS), number()).prop_map(|(path, key)| Change::PutRow(row(path, key))),
        (select(PATHS), number()).prop_map(|(path, key)| {
            Change::PutRow(Row { ledger_only: key.is_multiple_of(2), ..row(path, key) })
        }),
        path().prop_map(Change::DropRow),
        (select(PATHS), number())
            .prop_map(|(path, key)| Change::PutDirectory(directory(path, key))),
        (path(), any::<bool>()).prop_map(|(path, below)| Change::DropDirectory { path, below }),
        path().prop_map(Change::Distrust),
        (path(), any::<bool>(), 0..200_u64).prop_map(|(path, loss, n)| Change::Removed {
            path,
            loss,
            at: Time(n * 60_000)
        }),
        Just(Change::Arrived),
        select(PATHS).prop_map(|path| Change::FoundAdded(found(path))),
        (select(PATHS), select(PATHS), 1..20_u64)
            .prop_map(|(from, to, txid)| Change::HintAdded(hint(from, to, txid))),
        (select(PATHS), select(PATHS), 1..20_u64)
            .prop_map(|(from, to, txid)| Change::HintDropped(hint(from, to, txid))),
        (1..99_u64).prop_map(|txid| Change::Position { txid: TxId(txid), digest: txid * 7 }),
        (1..9_u64).prop_map(|n| Change::Count(Counters { files_copied: n, ..Default::default() })),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let changes = || vec(prop_oneof![2 => to_pending(), 1 => to_rest()], 1..8);
    prop_oneof![
        6 => changes().prop_map(Act::Apply),
        3 => (lane(), 0..6_usize, 0..40_u64)
            .prop_map(|(lane, limit, now)| Act::Take(lane, limit, Time(now))),
        1 => any::<bool>().prop_map(|clean| Act::Reopen { clean }),
    ]
}

fn same(ledger: &Ledger, model: &Model) {
    assert_eq!(ledger.summary().unwrap(), model.summary());
    assert_eq!(ledger.meta().unwrap(), model.meta);
    for path in PATHS.iter().map(|path| RelPath::from(*path)) {
        let entry = model.entries.get(&path);
        let story = ledger.story(&path).unwrap();
        assert_eq!(story.pending.as_ref(), entry.map(|entry| &entry.pending), "{path}");
        assert_eq!(story.message.as_ref(), entry.and_then(|entry| entry.message.as_ref()));
        assert_eq!(story.row.as_ref(), model.rows.get(&path));
        assert_eq!(story.found.as_ref(), model.found.get(&path));
        assert_eq!(story.directory.as_ref(), model.directories.get(&path));
        assert_eq!(ledger.hints_wait(&path).unwrap(), model.hints_wait(&path), "{path}");
        for txid in [3, 9, 15] {
            let marker = RelPath::from("none");
            let answer = ledger.group(&marker, &path, TxId(txid)).unwrap();
            let expected = model.group_incomplete(&marker, &path, TxId(txid));
            assert_eq!(answer != Group::Complete, expected, "{path} at {txid}");
        }
    }
    assert!(ledger.attempts().unwrap().iter().eq(model.attempts.values()));
    assert!(ledger.hints().unwrap().iter().eq(model.hints.iter()));
    let mut rows: Vec<_> = model.rows.values().cloned().collect();
    rows.sort_by_key(|row| row.path.split());
    assert_eq!(ledger.rows_after(None, 99).unwrap(), rows);
    let mut directories: Vec<_> = model.directories.values().cloned().collect();
    directories.sort_by_key(|record| record.path.split());
    assert_eq!(ledger.directories_after(None, 99).unwrap(), directories);
    let second = directories.get(1..).unwrap_or_default();
    let first = directories.first().map(|record| &record.path);
    assert_eq!(ledger.directories_after(first, 99).unwrap(), second);
    ledger.check().unwrap();
    let parked = ledger.parked(None, 99).unwrap();
    let told = |entry: &&support::model::Entry| {
        entry.pending.parked.is_some_and(|reason| reason != Parked::Delayed)
    };
    let count = model.entries.values().filter(told).count();
    assert_eq!(parked.len(), count);
    same_pages(ledger, model);
}

fn same_pages(ledger: &Ledger, model: &Model) {
    for directory in ["", "a", "a/b"].map(RelPath::from) {
        let page = Page { entries: Vec::new(), more: false };
        let join = ledger.join_page(&directory, Some(b"a"), &page, false).unwrap();
        let child =
            |path: &RelPath| path.parent().as_ref() == Some(&directory) && path.name() > &b"a"[..];
        let mut pending: Vec<_> = model.entries.keys().filter(|path| child(path)).collect();
        pending.sort_by_key(|path| path.name());
        assert!(join.pending.iter().eq(pending.iter().copied()), "{directory}");
        let delayed =
            |path: &&&RelPath| model.entries[**path].pending.parked == Some(Parked::Delayed);
        assert!(join.delayed.iter().eq(pending.iter().filter(delayed).copied()), "{directory}");
        assert!(join.rows.iter().eq(model.rows.values().filter(|row| child(&row.path))));
        assert!(join.found.iter().eq(model.found.values().filter(|found| child(&found.path))));
        let directories = model.directories.values().filter(|record| child(&record.path));
        assert!(join.directory_records.iter().eq(directories), "{directory}");
        let below: std::collections::BTreeSet<&[u8]> = model
            .rows
            .keys()
            .flat_map(|path| std::iter::once(path.clone()).chain(path.ancestors()))
            .filter(|path| {
                child(path) && model.rows.keys().any(|row| row != path && path.contains(row))
            })
            .map(|path| PATHS.iter().find(|known| path == RelPath::from(**known)).unwrap())
            .map(|known| known.rsplit('/').next().unwrap().as_bytes())
            .collect();
        assert!(join.directories.iter().map(AsRef::as_ref).eq(below), "{directory}");
    }
}

fn run(acts: Vec<Act>, hot_entries_max: usize) {
    let folder = tempfile::tempdir().unwrap();
    let options =
        Options { namespace: Some(Namespace::Tree), hot_entries_max, ..Options::default() };
    let open = || Ledger::open(folder.path(), options.clone()).unwrap();
    let mut ledger = open();
    let mut memory = Ledger::open_in_memory(Namespace::Tree).unwrap();
    let mut model = Model::default();
    let mut reopened = false;
    for act in acts {
        match act {
            Act::Apply(changes) => {
                let summary = ledger.apply(&[&changes]).unwrap();
                for change in &changes {
                    model.apply(change);
                }
                assert_eq!(summary, model.summary());
                if !reopened {
                    assert_eq!(memory.apply(&[&changes]).unwrap(), summary);
                }
            }
            Act::Take(lane, limit, now) => {
                let (work, summary) = ledger.take(lane, limit, now).unwrap();
                let expected = model.take(lane, limit, now);
                let taken: Vec<_> = work.iter().map(|work| work.pending.clone()).collect();
                assert_eq!(taken, expected);
                assert_eq!(summary, model.summary());
                if !reopened {
                    assert_eq!(memory.take(lane, limit, now).unwrap(), (work, summary));
                }
            }
            Act::Reopen { clean } => {
                if clean {
                    ledger.close().unwrap();
                } else {
                    drop(ledger);
                }
                ledger = open();
                model.restart();
                reopened = true;
            }
        }
        same(&ledger, &model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn histories_end_as_in_the_model(acts in vec(act(), 1..25), hot in 0..12_usize) {
        run(acts, hot);
    }
}
