//! Rows, attempts, hints, found objects and the answers joined from them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use support::{
    advance, attempt, coarsen, defer, found, hint, live, mark, marker, park, row, settle,
};
use whimbrel_core::entry::{DirectoryNode, Entry, FileNode, Node, Page};
use whimbrel_core::identity::Identity;
use whimbrel_core::input::{Group, Removals, Work};
use whimbrel_core::metadata::Metadata;
use whimbrel_core::number::{AttemptNumber, Epoch, Mark, Time, TxId};
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::record::{
    Attempt, AttemptKind, Change, Counters, DirectoryRecord, Lane, LetGo, Parked, Part, Reach, Row,
    Upload,
};
use whimbrel_ledger::{COVERAGE, Ledger, Options};

fn ledger(changes: &[Change]) -> Ledger {
    let mut ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
    ledger.apply(&[changes]).unwrap();
    ledger
}

fn put(path: &str, file_id: u64) -> Change {
    Change::PutRow(row(path, file_id))
}

fn file(path: &str, file_id: u64) -> Entry {
    let identity = row(path, file_id).identity;
    let node =
        FileNode { identity, open: false, metadata: Metadata::default(), pin: Vec::new().into() };
    Entry { path: path.into(), node: Node::File(node) }
}

fn directory(path: &str) -> Entry {
    let node = DirectoryNode { file_key: 1, empty: None, metadata: Metadata::default() };
    Entry { path: path.into(), node: Node::Directory(node) }
}

fn texts<'a>(paths: impl IntoIterator<Item = &'a RelPath>) -> Vec<String> {
    paths.into_iter().map(ToString::to_string).collect()
}

fn rows(rows: &[Row]) -> Vec<String> {
    texts(rows.iter().map(|row| &row.path))
}

fn work(ledger: &mut Ledger, path: &str) -> Work {
    let (work, _) = ledger.take(Lane::Live, 512, Time(0)).unwrap();
    work.into_iter().find(|work| work.pending.path == path.into()).unwrap()
}

/// A directory may be gone, or a file stand in its place, and its own record be gone too: those
/// below it are told.
#[test]
fn names_with_records_below_are_told() {
    let record = |path: &str| {
        let (path, metadata) = (path.into(), Metadata::default());
        Change::PutDirectory(DirectoryRecord { path, file_key: 1, metadata })
    };
    let below = ["d/a/b/c", "d/a/c", "d/b", "d/cc", "d/a-/b", "d/f/a", "e/g/h"];
    let ledger = ledger(&below.map(record));
    let told = |names: &[&str], more, after: Option<&str>| {
        let entries = names.iter().map(|name| file(name, 1)).collect();
        let page = Page { entries, more };
        let after = after.map(str::as_bytes);
        ledger.join_page(&"d".into(), after, &page, false).unwrap().record_directories
    };
    assert_eq!(told(&["d/a", "d/b", "d/c"], false, None), ["a", "a-", "f"]);
    assert_eq!(told(&["d/a", "d/b"], true, None), ["a", "a-"]);
    assert_eq!(told(&["d/c", "d/e"], true, Some("a-")), [""; 0]);
    assert_eq!(told(&[], false, Some("a-")), ["f"]);
}

#[test]
fn work_comes_joined() {
    let mut ledger = ledger(&[
        put("a/b", 1),
        put("a/b/c/x", 2),
        Change::PutRow(marker("a/b/c")),
        Change::FoundAdded(found("a/b/c")),
        Change::AttemptOpened(attempt(7, "a/b/c/")),
        Change::AttemptOpened(attempt(8, "a/b/c")),
        Change::AttemptOpened(attempt(9, "a/b/cc")),
        put("a/b/_SUCCESS", 3),
        live("a/b/c", 1),
        live("a/b/_SUCCESS", 2),
        live("a/other", 3),
    ]);
    let (all, summary) = ledger.take(Lane::Live, 512, Time(0)).unwrap();
    assert_eq!((summary.attempts, summary.rows, summary.found), (3, 4, 1));
    let joined = all.iter().find(|work| work.pending.path == "a/b/c".into()).unwrap();
    assert_eq!(joined.row, None);
    assert_eq!(joined.marker, Some(marker("a/b/c")));
    assert!(joined.rows_below);
    assert_eq!(joined.file_above, Some("a/b".into()));
    assert_eq!(joined.found, Some(found("a/b/c")));
    let numbers: Vec<u64> = joined.attempts.iter().map(|attempt| attempt.number.0).collect();
    assert_eq!(numbers, [8, 7]);
    assert_eq!(texts(&joined.stale_commit_markers), ["a/b/_SUCCESS"]);
    let other = all.iter().find(|work| work.pending.path == "a/other".into()).unwrap();
    assert_eq!(other.file_above, None);
    assert!(other.stale_commit_markers.is_empty());
    let commit = all.iter().find(|work| work.pending.path == "a/b/_SUCCESS".into()).unwrap();
    assert!(commit.stale_commit_markers.is_empty());
    assert_eq!(commit.row, Some(row("a/b/_SUCCESS", 3)));
}

#[test]
fn a_marker_alone_is_nothing_below() {
    let mut ledger = ledger(&[Change::PutRow(marker("d")), live("d", 1)]);
    assert!(!work(&mut ledger, "d").rows_below);
    ledger.apply(&[&[settle("d", 1), put("d/x/y", 1), live("d", 2)]]).unwrap();
    assert!(work(&mut ledger, "d").rows_below);
    let gone = [settle("d", 2), Change::DropRow("d/x/y".into()), live("d", 3)];
    ledger.apply(&[&gone]).unwrap();
    assert!(!work(&mut ledger, "d").rows_below);
}

#[test]
fn a_page_is_joined_with_its_range() {
    let ledger = ledger(&[
        Change::PutRow(marker("d")),
        put("d/a", 1),
        put("d/b", 2),
        put("d/c", 3),
        put("d/z", 4),
        put("d/a/deep/x", 5),
        put("d/a-b/x", 6),
        put("d/x/y", 7),
        put("old/name", 8),
        put("older/name", 9),
        live("d/b", 1),
        live("d/new", 2),
        live("d/a/deep/y", 3),
        Change::AttemptOpened(attempt(1, "d/a")),
        Change::AttemptOpened(attempt(2, "d/c")),
        Change::FoundAdded(found("d/bb")),
        Change::FoundAdded(found("d/zz")),
    ]);
    let page = Page { entries: vec![directory("d/a"), file("d/c", 8)], more: true };
    let join = ledger.join_page(&"d".into(), None, &page, true).unwrap();
    assert_eq!(rows(&join.rows), ["d/", "d/a", "d/b", "d/c"]);
    assert_eq!(join.directories, ["a", "a-b"].map(bytes::Bytes::from));
    assert_eq!(texts(&join.pending), ["d/b"]);
    assert_eq!(texts(join.attempts.iter().map(|attempt| &attempt.path)), ["d/a", "d/c"]);
    assert_eq!(texts(join.found.iter().map(|found| &found.path)), ["d/bb"]);
    assert_eq!(rows(&join.renamed), ["old/name"]);
    assert_eq!(join.file_above, None);

    let rest = Page { entries: vec![file("d/x", 9)], more: false };
    let join = ledger.join_page(&"d".into(), Some(b"c"), &rest, false).unwrap();
    assert_eq!(rows(&join.rows), ["d/z"]);
    assert_eq!(join.directories, ["x"].map(bytes::Bytes::from));
    assert_eq!(texts(&join.pending), ["d/new"]);
    assert!(join.attempts.is_empty() && join.renamed.is_empty());
    assert_eq!(texts(join.found.iter().map(|found| &found.path)), ["d/zz"]);

    let nothing = Page { entries: Vec::new(), more: true };
    let join = ledger.join_page(&"d".into(), Some(b"a"), &nothing, true).unwrap();
    assert!(join.rows.is_empty() && join.directories.is_empty());
    let inside = ledger.join_page(&"d/a/deep".into(), None, &rest, false).unwrap();
    assert_eq!(inside.file_above, Some("d/a".into()));
}

#[test]
fn opaque_keys_are_all_children_of_the_root() {
    let mut ledger = Ledger::open_in_memory(Namespace::Flat).unwrap();
    let keys = [put("a", 1), put("a/", 2), put("a/b", 3), live("a", 1), live("a/b/c", 2)];
    ledger.apply(&[&keys]).unwrap();
    let page = Page { entries: vec![file("a", 1), file("a/b", 3)], more: true };
    let join = ledger.join_page(&RelPath::root(), None, &page, false).unwrap();
    assert_eq!(rows(&join.rows), ["a", "a/", "a/b"]);
    assert_eq!(texts(&join.pending), ["a"]);
    assert!(join.directories.is_empty());
    let joined = work(&mut ledger, "a");
    assert!(!joined.rows_below && joined.marker.is_none());
    assert_eq!(joined.file_above, None);
    let page = ledger.rows(&"a".into(), None, false, false, 9).unwrap();
    assert_eq!(rows(&page), ["a"]);
    let all = ledger.rows(&RelPath::root(), Some(&"a".into()), false, true, 9).unwrap();
    assert_eq!(rows(&all), ["a/", "a/b"]);
    ledger.apply(&[&[live("t/x", 3), live("t-/x", 4), coarsen("t", true)]]).unwrap();
    let incomplete = |group: &str, up_to| {
        let answer = ledger.group(&"t/_SUCCESS".into(), &group.into(), TxId(up_to)).unwrap();
        answer != Group::Complete
    };
    assert!(incomplete("t", 3) && !incomplete("t", 2) && !incomplete("u", 9));
    assert!(incomplete("", 1));
}

#[test]
fn rows_are_paged_in_one_order() {
    let ledger = ledger(&[
        put("", 9),
        put("t", 1),
        put("t/b", 2),
        put("t/_SUCCESS", 3),
        put("t/a/x", 4),
        put("t/a/_SUCCESS", 5),
        put("t-/x", 6),
        Change::PutRow(marker("t")),
        put("u", 7),
    ]);
    let page = |under: &str, after: Option<&str>, commit, strictly, limit| {
        let after = after.map(RelPath::from);
        let found = ledger.rows(&under.into(), after.as_ref(), commit, strictly, limit).unwrap();
        rows(&found)
    };
    assert_eq!(page("t", None, false, false, 9), ["t", "t/", "t/b", "t/a/x"]);
    assert_eq!(page("t", None, false, true, 9), ["t/", "t/b", "t/a/x"]);
    assert_eq!(page("t", None, true, false, 9), ["t/_SUCCESS", "t/a/_SUCCESS"]);
    assert_eq!(page("t/_SUCCESS", None, true, false, 9), ["t/_SUCCESS"]);
    for limit in 1..5 {
        let mut all: Vec<String> = Vec::new();
        loop {
            let next = page("t", all.last().map(String::as_str), false, false, limit);
            if next.is_empty() {
                break;
            }
            assert!(next.len() <= limit);
            all.extend(next);
        }
        assert_eq!(all, ["t", "t/", "t/b", "t/a/x"], "{limit} at a time");
    }
    assert_eq!(page("", None, false, true, 9).len(), 6);
    assert_eq!(page("", None, false, false, 9).len(), 7);
    let all = ledger.rows_after(None, 99).unwrap();
    assert_eq!(all.len(), 9);
    let rest = ledger.rows_after(Some(&all[3].path), 99).unwrap();
    assert_eq!(rows(&rest), rows(&all[4..]));
}

#[test]
fn rows_are_found_by_their_newest_file_key() {
    let mut ledger = ledger(&[
        Change::PutRow(Row { as_of: TxId(5), ..row("a", 1) }),
        Change::PutRow(Row { as_of: TxId(9), ..row("b", 1) }),
        Change::PutRow(Row { as_of: TxId(1), epoch: Epoch(2), ..row("c", 1) }),
    ]);
    let of = |ledger: &Ledger, not: &str| {
        let row = ledger.row_of_file_key(1, &not.into()).unwrap();
        row.map(|row| row.path.to_string())
    };
    assert_eq!(of(&ledger, "x").as_deref(), Some("c"));
    assert_eq!(of(&ledger, "c").as_deref(), Some("b"));
    ledger.apply(&[&[Change::Distrust("c".into()), Change::DropRow("b".into())]]).unwrap();
    assert_eq!(of(&ledger, "x").as_deref(), Some("a"));
    let distrusted = ledger.row(&"c".into()).unwrap().unwrap();
    assert_eq!((distrusted.identity, distrusted.etag), (Identity::Unknown, None));
    ledger.apply(&[&[Change::Distrust("new".into())]]).unwrap();
    assert_eq!(ledger.row(&"new".into()).unwrap().unwrap().identity, Identity::Unknown);
    assert_eq!(ledger.summary().unwrap().rows, 3);
}

#[test]
fn a_row_ends_what_was_found_at_its_path() {
    let mut ledger = ledger(&[
        Change::FoundAdded(found("a")),
        Change::FoundAdded(found("a")),
        Change::FoundAdded(found("b")),
        Change::FoundAdded(found("c")),
    ]);
    assert_eq!(ledger.summary().unwrap().found, 3);
    let summary = ledger.apply(&[&[put("a", 1), Change::DropRow("b".into())]]).unwrap();
    assert_eq!((summary.found, summary.rows), (1, 1));
    assert_eq!(ledger.story(&"a".into()).unwrap().found, None);
    assert_eq!(ledger.story(&"c".into()).unwrap().found, Some(found("c")));
}

#[test]
fn attempts_keep_their_uploads() {
    let number = AttemptNumber(4);
    let part = |number| Part { number, length: 8, crc32c: number, etag: format!("p{number}") };
    let upload = Upload { id: "u".into(), part_bytes: 8, parts: Vec::new() };
    let mut ledger = ledger(&[
        Change::AttemptOpened(attempt(4, "x")),
        Change::UploadOpened { number, upload: upload.clone() },
        Change::PartDone { number, part: part(3) },
        Change::PartDone { number, part: part(1) },
        Change::PartDone { number, part: part(3) },
        Change::AttemptDoubtful { number, until: Time(99) },
        Change::PartDone { number: AttemptNumber(5), part: part(1) },
    ]);
    let all = ledger.attempts().unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].doubtful_until, Some(Time(99)));
    assert_eq!(all[0].upload, Some(Upload { parts: vec![part(1), part(3)], ..upload }));
    assert_eq!(ledger.meta().unwrap().next_attempt, AttemptNumber(5));
    let summary = ledger.apply(&[&[Change::AttemptClosed(number)]]).unwrap();
    assert_eq!(summary.attempts, 0);
}

#[test]
fn what_is_kept_once_changes() {
    let counters = Counters { files_copied: 2, bytes_copied: 30, ..Counters::default() };
    let ledger = ledger(&[
        Change::History { epoch: Epoch(3), name: Some("pool".into()) },
        Change::Position { txid: TxId(7), digest: 8 },
        Change::RootPinned(11),
        Change::ScanBegun { coverage: Some("all".into()) },
        Change::InventoryAt { cursor: Some(vec![1].into()), done: false },
        Change::Count(counters),
        Change::Count(counters),
        Change::Scanned,
    ]);
    let meta = ledger.meta().unwrap();
    assert_eq!((meta.position, meta.digest), (Some(TxId(7)), 8));
    assert_eq!(ledger.setting(COVERAGE).unwrap().as_deref(), Some("all"));
    assert_eq!((meta.epoch, meta.history.as_deref()), (Epoch(3), Some("pool")));
    assert_eq!((meta.root_key, meta.scan_begun, meta.scanned), (Some(11), true, true));
    assert_eq!(meta.inventory_cursor.as_deref(), Some(&[1][..]));
    assert_eq!((meta.counters.files_copied, meta.counters.bytes_copied), (4, 60));
}

#[test]
fn another_history_has_no_position_yet() {
    let ledger = ledger(&[
        Change::Position { txid: TxId(7), digest: 8 },
        Change::History { epoch: Epoch(3), name: Some("pool".into()) },
    ]);
    let meta = ledger.meta().unwrap();
    assert_eq!((meta.position, meta.digest), (None, 0));
}

#[test]
fn hints_compose() {
    for (renames, expected) in [
        (vec![("a", "b", 1), ("b", "c", 2)], vec![("a", "c", 2), ("b", "c", 2)]),
        (vec![("a", "b/x", 1), ("b", "c", 2)], vec![("a", "c/x", 2), ("b", "c", 2)]),
        (vec![("a", "b", 1), ("b/x", "c", 2)], vec![("a", "b", 1), ("b/x", "c", 2)]),
        (vec![("a", "b", 1), ("b", "a", 2)], vec![("b", "a", 2)]),
        (
            vec![("x", "t", 1), ("y", "x", 2), ("t", "y", 3)],
            vec![("t", "y", 3), ("x", "y", 3), ("y", "x", 2)],
        ),
        (vec![("", "", 5), ("a", "b", 6), ("", "", 7)], vec![("", "", 7), ("a", "b", 6)]),
        (vec![("a", "b", 4), ("a", "b", 3)], vec![("a", "b", 4)]),
    ] {
        let changes: Vec<Change> = renames
            .iter()
            .map(|(from, to, txid)| Change::HintAdded(hint(from, to, *txid)))
            .collect();
        let ledger = ledger(&changes);
        let expected: Vec<_> =
            expected.into_iter().map(|(from, to, txid)| hint(from, to, txid)).collect();
        assert_eq!(ledger.hints().unwrap(), expected, "{renames:?}");
    }
}

#[test]
fn a_removal_waits_for_the_renamed_destination() {
    let rename = |changes: &[Change], hot_entries_max: usize| {
        let mut ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
        ledger.keep_in_memory(hot_entries_max);
        ledger.apply(&[&[Change::HintAdded(hint("a", "b", 5))], changes]).unwrap();
        ledger
    };
    let subtree = |path, txid| mark(path, Reach::Subtree, Lane::Live, txid);
    for (changes, asked, wait) in [
        (vec![subtree("b", 5)], "a", true),
        (vec![subtree("b", 5)], "a/x", true),
        (vec![subtree("b", 5)], "", true),
        (vec![subtree("b", 5)], "aa", false),
        (vec![subtree("b", 5)], "b", false),
        (vec![subtree("b", 6)], "a", false),
        (vec![live("b/x/y", 5)], "a", true),
        (vec![live("b/x/_SUCCESS", 5)], "a", false),
        (vec![live("b/x/_SUCCESS", 5), live("b/x/y", 5)], "a", true),
        (vec![subtree("", 3)], "a", true),
        (vec![mark("", Reach::Directory, Lane::Live, 3)], "a", true),
        (vec![mark("", Reach::Path, Lane::Live, 3)], "a", false),
        (vec![subtree("a", 5)], "a", false),
        (vec![subtree("b", 5), park("b", 5, Parked::Failed, None)], "a", false),
        (vec![subtree("b", 5), defer("b", 5, 0, true)], "a", false),
        (vec![subtree("b", 5), settle("b", 5)], "a", false),
        (vec![subtree("b", 5), Change::HintDropped(hint("a", "b", 4))], "a", true),
        (vec![subtree("b", 5), Change::HintDropped(hint("a", "b", 5))], "a", false),
    ] {
        for hot_entries_max in [9, 0] {
            let ledger = rename(&changes, hot_entries_max);
            let waits = ledger.hints_wait(&asked.into()).unwrap();
            assert_eq!(waits, wait, "{asked} with {changes:?}, {hot_entries_max} in memory");
        }
    }
    // A repair: everything that was pending before it may hold what is missed here.
    let repair = Change::HintAdded(hint("", "", 5));
    let mut ledger = ledger(&[repair, live("x", 4), live("y", 6)]);
    assert!(ledger.hints_wait(&"y".into()).unwrap());
    assert!(!ledger.hints_wait(&"x".into()).unwrap(), "it does not wait for itself");
    ledger.apply(&[&[settle("x", 4)]]).unwrap();
    assert!(!ledger.hints_wait(&"z".into()).unwrap());
}

#[test]
fn idle_hints_are_dropped() {
    let mut ledger = ledger(&[
        put("a/x", 1),
        put("c/x", 2),
        live("b/y", 3),
        live("d/y", 9),
        Change::HintAdded(hint("a", "b", 5)),
        Change::HintAdded(hint("c", "d", 5)),
        Change::HintAdded(hint("e", "b", 5)),
    ]);
    assert_eq!(ledger.prune_hints().unwrap(), 2);
    assert_eq!(ledger.hints().unwrap(), [hint("a", "b", 5)]);
    ledger.apply(&[&[settle("b/y", 3)]]).unwrap();
    assert_eq!(ledger.prune_hints().unwrap(), 1);
    assert_eq!(ledger.prune_hints().unwrap(), 0);
}

#[test]
fn a_group_is_incomplete_while_something_of_it_is_pending() {
    let subtree = |path, txid| mark(path, Reach::Subtree, Lane::Backlog, txid);
    let children = |path, txid| mark(path, Reach::Directory, Lane::Backlog, txid);
    let incomplete = |backlog: &[&str]| Group::Incomplete {
        backlog: backlog.iter().map(|path| (*path).into()).collect(),
    };
    let set_aside = |reason| Group::SetAside { reason, path: "t/x".into() };
    let gone = |path: &str| {
        let (path, since, below) = (path.into(), Time(1), false);
        Change::Gone { path, since, below }
    };
    for (changes, group) in [
        (vec![live("t/x", 5)], incomplete(&[])),
        (vec![live("t/x", 6)], Group::Complete),
        (vec![live("t/_SUCCESS", 5)], Group::Complete),
        (vec![live("t/sub/_SUCCESS", 5)], Group::Complete),
        (vec![live("t", 5)], incomplete(&[])),
        (vec![live("tt/x", 5)], Group::Complete),
        (vec![live("t/x", 5), park("t/x", 5, Parked::Open, None)], Group::Complete),
        (vec![live("t/x", 5), park("t/x", 5, Parked::Failed, None)], set_aside(Parked::Failed)),
        (vec![live("t/x", 5), park("t/x", 5, Parked::Guard, None)], set_aside(Parked::Guard)),
        (
            vec![live("t/x", 5), gone("t/x"), park("t/x", 5, Parked::Delayed, Some(9))],
            Group::Complete,
        ),
        (vec![live("t/x", 5), gone("t/x"), park("t/x", 5, Parked::Removal, None)], Group::Complete),
        (vec![live("t/x", 5), gone("t/x"), park("t/x", 5, Parked::Guard, None)], Group::Complete),
        (vec![live("t/x", 5), gone("t/x"), live("t/x", 5)], incomplete(&[])),
        (vec![live("t/x", 5), defer("t/x", 5, 0, true)], incomplete(&[])),
        (vec![subtree("", 5)], incomplete(&[""])),
        (vec![children("", 5)], incomplete(&[""])),
        (vec![subtree("t/d", 5), live("t/x", 5), subtree("t/e", 6)], incomplete(&["t/d"])),
        (vec![subtree("t/d", 5), Change::Hasten("t/d".into())], incomplete(&[])),
        (vec![subtree("t/d", 5), live("t/d", 5)], incomplete(&[])),
        (vec![subtree("w", 5)], Group::Complete),
        (vec![live("", 5)], Group::Complete),
        // Marked again after the closing transaction, but pending since before it.
        (vec![live("t/x", 5), live("t/x", 9)], incomplete(&[])),
        (vec![subtree("", 2), advance("", 2, "z"), settle("", 2)], Group::Complete),
    ] {
        let ledger = ledger(&changes);
        let answer = ledger.group(&"t/_SUCCESS".into(), &"t".into(), TxId(5)).unwrap();
        assert_eq!(answer, group, "{changes:?}");
    }
}

/// The sign may be looked at anew after its work was handed out: what is pending with its newest
/// change, or with that of something above it, belongs to it.
#[test]
fn a_group_reaches_up_to_the_newest_change_of_its_sign() {
    for (changes, incomplete) in [
        (vec![live("t/x", 6), live("t/_SUCCESS", 7)], true),
        (vec![live("t/x", 6), live("t/_SUCCESS", 5)], false),
        (vec![mark("t", Reach::Subtree, Lane::Backlog, 7)], true),
        (vec![live("t/x", 8), live("t/_SUCCESS", 7)], false),
    ] {
        let ledger = ledger(&changes);
        let answer = ledger.group(&"t/_SUCCESS".into(), &"t".into(), TxId(5)).unwrap();
        assert_eq!(answer != Group::Complete, incomplete, "{changes:?}");
    }
}

/// A write that is late may take away what the sign speaks for.
#[test]
fn a_group_is_incomplete_while_a_doubtful_write_may_spoil_it() {
    let doubtful = |kind, path: &str, file_id| Attempt {
        kind,
        identity: row(path, file_id).identity,
        doubtful_until: Some(Time(9)),
        ..attempt(1, path)
    };
    for (attempt, incomplete) in [
        (doubtful(AttemptKind::Remove, "t/x", 1), true),
        (doubtful(AttemptKind::Copy, "t/x", 2), true),
        // The same bytes again.
        (doubtful(AttemptKind::Copy, "t/x", 1), false),
        (doubtful(AttemptKind::Remove, "u/x", 1), false),
        (doubtful(AttemptKind::Remove, "t/_SUCCESS", 1), false),
        // Nothing stands there that could be lost.
        (doubtful(AttemptKind::Remove, "t/y", 1), false),
        (Attempt { doubtful_until: None, ..doubtful(AttemptKind::Remove, "t/x", 1) }, false),
    ] {
        let changes = ["t/x", "u/x", "t/_SUCCESS"].map(|path| put(path, 1));
        let mut ledger = ledger(&changes);
        ledger.apply(&[&[Change::AttemptOpened(attempt.clone())]]).unwrap();
        let answer = ledger.group(&"t/_SUCCESS".into(), &"t".into(), TxId(5)).unwrap();
        assert_eq!(answer != Group::Complete, incomplete, "{attempt:?}");
    }
}

/// Foreign objects are met page by page as rows are, whatever bytes names go on with, and below
/// entries that reach them.
#[test]
fn found_objects_are_known_below() {
    let paths = ["d/a/b/x", "d/a-b/x", "d/a.x", "d/a", "d/a/y", "d/b/c/x", "d/ab", "e/x", "d-/x"];
    let mut changes: Vec<Change> =
        paths.iter().map(|path| Change::FoundAdded(found(path))).collect();
    changes.extend([mark("d", Reach::Subtree, Lane::Live, 1), live("e", 2)]);
    let mut ledger = ledger(&changes);
    let directories = |directory: &str, after: Option<&[u8]>, last: Option<&str>| {
        let entries = last.map(|last| file(&format!("{directory}/{last}"), 1));
        let page = Page { more: last.is_some(), entries: entries.into_iter().collect() };
        let join = ledger.join_page(&directory.into(), after, &page, false).unwrap();
        let names = join.found_directories.iter();
        names.map(|name| String::from_utf8_lossy(name).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(directories("d", None, None), ["a", "a-b", "b"]);
    assert_eq!(directories("d", None, Some("a")), ["a"]);
    assert_eq!(directories("d", None, Some("a-a")), ["a"]);
    assert_eq!(directories("d", Some(b"a"), Some("az")), ["a-b"]);
    assert_eq!(directories("d", Some(b"a-b"), None), ["b"]);
    assert_eq!(directories("d/b", None, None), ["c"]);
    let root = ledger
        .join_page(&RelPath::root(), None, &Page { entries: Vec::new(), more: false }, false)
        .unwrap();
    assert_eq!(root.found_directories, ["d", "d-", "e"]);
    let mut after: Option<RelPath> = None;
    let mut below = Vec::new();
    while let Some(next) = ledger.found_below(&"d".into(), after.as_ref(), 1).unwrap().pop() {
        below.push(next.path.to_string());
        after = Some(next.path);
    }
    assert_eq!(below, ["d/a", "d/a.x", "d/ab", "d/a/y", "d/a-b/x", "d/a/b/x", "d/b/c/x"]);
    assert_eq!(ledger.found_below(&RelPath::root(), None, 99).unwrap().len(), paths.len());
    let (work, _) = ledger.take(Lane::Live, 9, Time(0)).unwrap();
    let reached: Vec<bool> = work.iter().map(|work| work.found_below).collect();
    assert_eq!(reached, [true, false]);
}

/// What waits for the guard is counted once, with all that stands below it; what was renamed is
/// not lost.
#[test]
fn removals_are_counted_with_what_stands_below() {
    let gone =
        |path: &str, txid| [live(path, txid), park(path, txid, Parked::Removal, None)].to_vec();
    let mut changes = vec![
        put("d/a", 1),
        put("d/e/b", 2),
        put("d/e/", 3),
        put("f", 4),
        put("kept/moved", 2),
        put("kept/g", 5),
        live("kept/g", 9),
        park("kept/g", 9, Parked::Failed, None),
    ];
    for (number, path) in ["d", "d/e", "d/e/b", "f", "never-there"].into_iter().enumerate() {
        changes.extend(gone(path, 20 + number as u64));
    }
    let mut ledger = ledger(&changes);
    let waiting = |objects, lost| Removals { objects, lost, ..Removals::default() };
    assert_eq!(ledger.removals(Time(0), &|_| true, &|_| true).unwrap(), waiting(4, 3));
    let below_d = |row: &Row| row.path.as_bytes().starts_with(b"d/");
    assert_eq!(ledger.removals(Time(0), &below_d, &|_| true).unwrap(), waiting(3, 2));
    let summary = ledger.apply(&[&[Change::HoldRemovals { message: "held".to_owned() }]]).unwrap();
    assert_eq!((summary.removals, summary.guarded, summary.failed), (0, 5, 1));
    assert_eq!(ledger.removals(Time(0), &|_| true, &|_| true).unwrap(), Removals::default());
    ledger.apply(&[&[Change::Confirmed]]).unwrap();
    assert_eq!(ledger.removals(Time(0), &|_| true, &|_| true).unwrap(), Removals::default());
    let (work, _) = ledger.take(Lane::Live, 9, Time(0)).unwrap();
    let released = work.iter().filter(|work| work.pending.let_go == Some(LetGo::Person)).count();
    assert_eq!(released, 5);
}

/// What the guard let go counts as going until it went, as lost for an hour then, and only if it
/// stood and stands nowhere else.
#[test]
fn what_was_let_go_is_counted_once() {
    for hot_entries_max in [0, 100] {
        let folder = tempfile::tempdir().unwrap();
        let namespace = Some(Namespace::Tree);
        let options = Options { namespace, hot_entries_max, ..Options::default() };
        let mut ledger = Ledger::open(folder.path(), options).unwrap();
        let gone = |path, txid| [live(path, txid), park(path, txid, Parked::Removal, None)];
        let stands = [("a", 1), ("b/x", 2), ("b/y", 3), ("c", 4), ("moved", 3)];
        ledger.apply(&[&stands.map(|(path, file_id)| put(path, file_id))]).unwrap();
        ledger.apply(&[&gone("a", 1), &gone("b", 2)]).unwrap();
        ledger.apply(&[&[Change::Release(Parked::Removal)]]).unwrap();
        ledger.apply(&[&gone("c", 3)]).unwrap();
        let counted = |ledger: &Ledger, now| ledger.removals(now, &|_| true, &|_| true).unwrap();
        let expected = Removals { objects: 1, lost: 1, leaving: 3, went: 2 };
        assert_eq!(counted(&ledger, Time(0)), expected, "{hot_entries_max}");

        let at = Time(600_000);
        let removed = |path: &str| Change::Removed { path: path.into(), loss: true, at };
        ledger.apply(&[&["a", "a", "b/x", "b/x", "b/y"].map(removed)]).unwrap();
        let summary = ledger.apply(&[&[settle("a", 1)]]).unwrap();
        assert_eq!((summary.lost, summary.let_go), (2, 1));
        assert_eq!(ledger.meta().unwrap().counters.files_removed, 3);
        let expected = Removals { objects: 1, lost: 1, leaving: 0, went: 2 };
        assert_eq!(counted(&ledger, at), expected, "{hot_entries_max}");
        assert_eq!(counted(&ledger, at.plus_millis(3_700_000)).went, 0);
        let summary = ledger.apply(&[&[Change::Arrived]]).unwrap();
        assert_eq!(summary.lost, 1);
    }
}

/// Objects for which a person decides are no extras.
#[test]
fn refused_objects_are_no_extras() {
    let mut ledger = ledger(&[Change::FoundAdded(found("a")), Change::FoundAdded(found("b"))]);
    let refused = [live("a", 1), park("a", 1, Parked::Foreign, None)];
    assert_eq!(ledger.apply(&[&refused]).unwrap().found, 1);
    assert_eq!(ledger.apply(&[&[Change::Release(Parked::Foreign)]]).unwrap().found, 2);
}

#[test]
fn the_densest_directories_come_first() {
    let mut changes = Vec::new();
    for number in 0..9 {
        changes.push(live(&format!("a/{number}"), number + 1));
    }
    for number in 0..4 {
        changes.push(live(&format!("b/c/{number}"), number + 20));
        changes.push(mark(&format!("b/d/{number}"), Reach::Subtree, Lane::Live, number + 30));
    }
    let mut ledger = ledger(&changes);
    let pairs = |list: &[(&str, bool)]| -> Vec<(RelPath, bool)> {
        list.iter().map(|(path, subtree)| (RelPath::from(*path), *subtree)).collect()
    };
    assert_eq!(ledger.densest(0).unwrap(), []);
    assert_eq!(ledger.densest(5).unwrap(), pairs(&[("a", false)]));
    assert_eq!(ledger.densest(9).unwrap(), pairs(&[("a", false), ("b/c", false)]));
    let more = ledger.densest(13).unwrap();
    assert_eq!(more, pairs(&[("a", false), ("b/c", false), ("b/d", true)]));
    for excess in 1..17 {
        let mut copy = Ledger::open_in_memory(Namespace::Tree).unwrap();
        copy.apply(&[&changes]).unwrap();
        let coarser: Vec<Change> = copy
            .densest(excess)
            .unwrap()
            .into_iter()
            .map(|(path, subtree)| Change::Coarsen { path, subtree })
            .collect();
        let summary = copy.apply(&[&coarser]).unwrap();
        assert!(summary.lanes[0] <= 17 - excess, "{excess}: {coarser:?} left {summary:?}");
    }
    // What is claimed or parked cannot go.
    ledger.take(Lane::Live, 8, Time(0)).unwrap();
    ledger.apply(&[&[park("a/8", 9, Parked::Guard, None)]]).unwrap();
    assert_eq!(ledger.densest(1).unwrap(), pairs(&[("b/c", false)]));
}

#[test]
fn settings_are_texts() {
    let mut ledger = ledger(&[]);
    assert_eq!(ledger.setting("source").unwrap(), None);
    ledger.set_setting("source", "one").unwrap();
    ledger.set_setting("source", "two").unwrap();
    assert_eq!(ledger.setting("source").unwrap().as_deref(), Some("two"));
}

#[test]
fn names_are_bytes() {
    let name = RelPath::new(vec![b'd', b'/', 0xff, 0x00, b'\'', b'\n']);
    let mark = Change::Mark {
        path: name.clone(),
        reach: Reach::Path,
        lane: Lane::Live,
        first_txid: TxId(1),
        last_txid: TxId(1),
        seen: Time(1),
        mark: Mark(1),
    };
    let stands = Row { path: name.clone(), ..row("", 1) };
    let mut ledger = ledger(&[mark, Change::PutRow(stands.clone())]);
    assert_eq!(ledger.row(&name).unwrap(), Some(stands.clone()));
    let (work, _) = ledger.take(Lane::Live, 1, Time(0)).unwrap();
    assert_eq!((&work[0].pending.path, &work[0].row), (&name, &Some(stands)));
}

#[test]
fn a_scan_that_begins_anew_takes_over_what_an_earlier_one_left() {
    let of_scan = |path: &str, mark| Change::Mark {
        path: path.into(),
        reach: Reach::Subtree,
        lane: Lane::Backlog,
        first_txid: TxId(mark),
        last_txid: TxId(mark),
        seen: Time(mark),
        mark: Mark(mark),
    };
    let advance = Change::Advance { path: "d".into(), begun: Mark(3), cursor: Some("x".into()) };
    let begun = Change::ScanBegun { coverage: None };
    let changes = [of_scan("d", 3), of_scan("e/f", 4), advance, live("d/a", 5), begun];
    let ledger = ledger(&changes);
    let of = |path: &str| ledger.pending_entry(&path.into()).unwrap();
    assert_eq!((of("d"), of("e/f")), (None, None));
    assert!(of("d/a").is_some(), "a file that waits for its turn is not listed for it");
    let root = of("").unwrap();
    assert_eq!((root.reach, root.lane), (Reach::Subtree, Lane::Backlog));
    assert_eq!((root.first_txid, root.first_seen, root.mark), (TxId(3), Time(3), Mark(4)));
    assert_eq!((root.begun, root.cursor), (None, None));
}

/// What lies below a name comes after names that go on with a byte less than a slash, and so after
/// the end of the page that has the name.
#[test]
fn rule_1_3_a_page_knows_of_directories_whose_name_begins_its_last_one() {
    let known = |rows: &[&str], after: Option<&[u8]>, last: &str| {
        let rows: Vec<Change> = rows.iter().zip(1..).map(|(at, number)| put(at, number)).collect();
        let page = Page { entries: vec![file(last, 99)], more: true };
        let join = ledger(&rows).join_page(&"d".into(), after, &page, false).unwrap();
        join.directories
    };
    assert_eq!(known(&["d/a/x"], None, "d/a!b"), ["a"]);
    assert_eq!(known(&["d/a/x"], None, "d/a!"), ["a"]);
    assert!(known(&["d/a0/x"], None, "d/a!b").is_empty(), "that is another name");
    assert!(known(&["d/a/x"], Some(b"a"), "d/a!b").is_empty(), "it was on an earlier page");
    assert_eq!(known(&["d/a/x", "d/a!/x"], None, "d/a!b"), ["a", "a!"]);
    assert!(known(&["d/a"], None, "d/a!b").is_empty(), "nothing stands below it");
}

/// The root and its marker share one path.
#[test]
fn what_stands_at_the_root_is_its_marker_or_a_file() {
    let taken = |row: Row| {
        let mut ledger = ledger(&[Change::PutRow(row), live("", 1)]);
        let (work, _) = ledger.take(Lane::Live, 1, Time(0)).unwrap();
        (work[0].row.is_some(), work[0].marker.is_some())
    };
    assert_eq!(taken(Row { path: RelPath::root(), ..marker("d") }), (false, true));
    assert_eq!(taken(row("", 1)), (true, false));
}

/// Nobody knows how far that came when the base was asked for.
#[test]
fn rule_8_2_what_is_being_gone_through_when_a_base_is_asked_for_is_kept() {
    let kept = |changes: &[Change]| {
        let mut ledger = ledger(changes);
        ledger.begin_worked_on(0).unwrap();
        ledger.worked_on(0)
    };
    let of = |at: &str, reach: Reach| mark(at, reach, Lane::Backlog, 1);
    assert_eq!(kept(&[of("d", Reach::Subtree)]), Some(1));
    assert_eq!(kept(&[of("d", Reach::Directory)]), Some(1));
    assert_eq!(kept(&[of("", Reach::Subtree)]), Some(1));
    assert_eq!(kept(&[of("d", Reach::Path)]), Some(0), "it is looked at once");
}

/// Its row lies in its own directory, and is none of those below it.
#[test]
fn rows_below_the_root_are_as_many_as_were_asked_for() {
    let ledger = ledger(&[put("", 1), put("a", 2), put("b", 3), put("c", 4)]);
    let paths = |strictly_below: bool, limit: usize| {
        let rows = ledger.rows(&RelPath::root(), None, false, strictly_below, limit).unwrap();
        rows.into_iter().map(|row| row.path.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(paths(true, 2), ["a", "b"]);
    assert_eq!(paths(false, 2), ["", "a"]);
    assert!(paths(false, 0).is_empty() && paths(true, 0).is_empty());
}
