use std::collections::BTreeSet;

use whimbrel_core::identity::Identity;
use whimbrel_core::metadata::Metadata;
use whimbrel_core::number::{Epoch, TxId};
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::record::{Change, Row};

use super::{KeyRange, Seen};
use crate::Ledger;

fn row(path: &str) -> Row {
    Row {
        path: path.into(),
        identity: Identity::Unknown,
        length: 3,
        crc32c: None,
        etag: Some("e".to_owned()),
        version: None,
        attempt: None,
        as_of: TxId(0),
        epoch: Epoch(0),
        metadata: Metadata::unknown(),
        ledger_only: false,
    }
}

fn seen(path: &RelPath) -> Seen {
    Seen { path: path.clone(), length: 3, etag: Some("e".to_owned()) }
}

const PATHS: [&str; 14] = [
    "a", "a!", "a!/x", "a-b", "a-b/c", "a.d/x", "ab", "b/", "b/a", "b/a-", "b/a/x", "b/a0", "b0",
    "c",
];

/// Whatever one thing is missing, and wherever pages begin and end: exactly that is told.
#[test]
fn one_missing_object_is_told_on_the_page_that_covers_it() {
    for namespace in [Namespace::Tree, Namespace::Flat] {
        let mut ledger = Ledger::open_in_memory(namespace).expect("a ledger");
        let rows: Vec<Change> = PATHS.iter().map(|path| Change::PutRow(row(path))).collect();
        ledger.apply(&[&rows]).expect("it is kept");
        let all: BTreeSet<RelPath> = PATHS.iter().map(|path| RelPath::from(*path)).collect();
        for missing in &all {
            for size in 1..=all.len() {
                let listed: Vec<Seen> =
                    all.iter().filter(|path| *path != missing).map(seen).collect();
                let (mut told, mut after) = (Vec::new(), None);
                for page in listed.chunks(size) {
                    let end = page.last().expect("not empty");
                    let more = listed.last() != Some(end);
                    let last = more.then(|| end.path.as_bytes().to_vec());
                    let range = KeyRange {
                        after: after.as_deref(),
                        last: last.as_deref(),
                        ..KeyRange::default()
                    };
                    let differs = ledger.recount(page, &range, true, 9, &|_| true).expect("told");
                    assert!(!differs.more);
                    told.extend(differs.doubtful);
                    after = last;
                }
                assert_eq!(told, std::slice::from_ref(missing), "{namespace:?}, {size} a page");
            }
        }
    }
}

#[test]
fn no_more_than_the_limit_is_told_of_an_emptied_target() {
    let mut ledger = Ledger::open_in_memory(Namespace::Tree).expect("a ledger");
    let rows: Vec<Change> = PATHS.iter().map(|path| Change::PutRow(row(path))).collect();
    ledger.apply(&[&rows]).expect("it is kept");
    let ask = |limit| ledger.recount(&[], &KeyRange::default(), true, limit, &|_| true);
    let some = ask(5).expect("told");
    assert_eq!((some.doubtful.len(), some.more), (5, true));
    let all = ask(PATHS.len()).expect("told");
    assert_eq!((all.doubtful.len(), all.more), (PATHS.len(), false));
}

/// Whatever the pages and the limit: each missing row is told once, though no row is dropped.
#[test]
fn more_than_the_limit_are_told_behind_those_before() {
    for namespace in [Namespace::Tree, Namespace::Flat] {
        let mut ledger = Ledger::open_in_memory(namespace).expect("a ledger");
        let rows: Vec<Change> = PATHS.iter().map(|path| Change::PutRow(row(path))).collect();
        ledger.apply(&[&rows]).expect("it is kept");
        let all: BTreeSet<RelPath> = PATHS.iter().map(|path| RelPath::from(*path)).collect();
        for border in &all {
            for limit in 1..4 {
                let mut told = Vec::new();
                let border = Some(border.as_bytes());
                for (after, last) in [(None, border), (border, None)] {
                    let mut behind: Option<RelPath> = None;
                    loop {
                        let range = KeyRange { after, last, behind: behind.as_ref() };
                        let differs = ledger.recount(&[], &range, true, limit, &|_| true);
                        let differs = differs.expect("told");
                        behind = differs.doubtful.last().cloned();
                        told.extend(differs.doubtful);
                        if !differs.more {
                            break;
                        }
                    }
                }
                told.sort();
                assert_eq!(
                    told,
                    Vec::from_iter(all.clone()),
                    "{namespace:?}, {limit} of {border:?}"
                );
            }
        }
    }
}

#[test]
fn what_is_changed_or_unknown_is_told() {
    let mut ledger = Ledger::open_in_memory(Namespace::Tree).expect("a ledger");
    let rows = ["a", "b", "c", "d/"].map(|path| Change::PutRow(row(path)));
    ledger.apply(&[&rows]).expect("it is kept");
    let listed = [
        seen(&"a".into()),
        Seen { etag: Some("other".to_owned()), ..seen(&"b".into()) },
        Seen { length: 4, etag: None, ..seen(&"c".into()) },
        seen(&"d/x".into()),
        seen(&"e/".into()),
    ];
    let ask = |markers| ledger.recount(&listed, &KeyRange::default(), markers, 9, &|_| true);
    let objects = ask(true).expect("told");
    assert_eq!(objects.doubtful, ["b", "c", "d/x", "d/"].map(RelPath::from));
    assert_eq!(objects.unknown_markers, [RelPath::from("e/")]);
    let directories = ask(false).expect("told");
    assert_eq!(directories.doubtful, ["b", "c", "d/x"].map(RelPath::from), "d/ holds something");
}
