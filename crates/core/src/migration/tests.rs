//! What no history tells, since it changes only who comes when: limits at their very edges. And
//! what the tests of the parts are told with.

use super::claim::{Claim, Step};
use super::*;
use crate::entry::FileNode;
use crate::failure::{FailureKind, Side};
use crate::identity::Identity;
use crate::input::Standing;
use crate::metadata::Metadata;
use crate::record::{AttemptKind, Pending, Reach, Row, Upload};

/// One without work, in its second 1.
pub(super) fn migration_of(config: Config) -> Migration {
    let mut migration = Migration::new(config, &Meta::default(), Vec::new(), Time(1_000));
    sent(&mut migration);
    // What it is given to work on was handed out.
    migration.works = 10;
    migration
}

/// What it asks for, if all that it changes becomes durable at once.
pub(super) fn sent(migration: &mut Migration) -> Vec<Effect> {
    let mut effects = Vec::new();
    while let Some(effect) = migration.poll() {
        if let Effect::Persist { batch, .. } = &effect {
            migration.outbox.persisted(*batch);
        }
        effects.push(effect);
    }
    effects
}

/// What it changes, with nothing else asked for being looked at.
pub(super) fn changed(migration: &mut Migration) -> Vec<Change> {
    let changes =
        |effect| if let Effect::Persist { changes, .. } = effect { changes } else { Vec::new() };
    sent(migration).into_iter().flat_map(changes).collect()
}

/// The paths that are made pending by these, and how far below.
pub(super) fn marked(changes: &[Change]) -> Vec<(RelPath, Reach)> {
    let marked = |change: &Change| {
        if let Change::Mark { path, reach, .. } = change {
            Some((path.clone(), *reach))
        } else {
            None
        }
    };
    changes.iter().filter_map(marked).collect()
}

pub(super) fn identity(length: u64) -> Identity {
    let (block_pool, file_id, modified_ms, blocks) = (1, 2, 3, 4);
    Identity::Hdfs { block_pool, file_id, length, modified_ms, blocks }
}

pub(super) fn node(length: u64) -> FileNode {
    let (metadata, pin) = (Metadata::default(), Bytes::new());
    FileNode { identity: identity(length), open: false, metadata, pin }
}

/// Of the file `a` of five bytes, written by attempt 3.
pub(super) fn row() -> Row {
    Row {
        path: RelPath::from("a"),
        identity: identity(5),
        length: 5,
        crc32c: Some(7),
        etag: Some("old".to_owned()),
        version: Some("1".to_owned()),
        attempt: Some(AttemptNumber(3)),
        as_of: TxId(9),
        epoch: Epoch(0),
        metadata: Metadata::default(),
        ledger_only: false,
    }
}

/// The object that the row speaks of, of the migration `ours`.
pub(super) fn standing() -> Standing {
    Standing {
        length: 5,
        etag: Some("old".to_owned()),
        version: Some("1".to_owned()),
        crc32c: Some(7),
        attempt: Some(AttemptNumber(3)),
        migration: Some("ours".to_owned()),
        metadata: None,
    }
}

/// A copy that was not heard of and cannot take effect any more.
pub(super) fn attempt(number: u64, at: &str, length: u64) -> Attempt {
    Attempt {
        number: AttemptNumber(number),
        path: RelPath::from(at),
        kind: AttemptKind::Copy,
        started: Time(0),
        doubtful_until: Some(Time(1)),
        identity: identity(length),
        upload: None,
    }
}

pub(super) fn upload() -> Upload {
    Upload { id: "u".to_owned(), part_bytes: 1, parts: Vec::new() }
}

pub(super) fn work(at: &str) -> Work {
    let pending = Pending {
        path: RelPath::from(at),
        reach: Reach::Path,
        lane: Lane::Live,
        first_txid: TxId(1),
        last_txid: TxId(2),
        first_seen: Time(0),
        last_seen: Time(0),
        mark: Mark(1),
        begun: None,
        cursor: None,
        tries: 0,
        not_before: Time(0),
        waiting: false,
        parked: None,
        let_go: None,
        gone_since: None,
    };
    Work {
        pending,
        row: None,
        marker: None,
        rows_below: false,
        file_above: None,
        found: None,
        found_below: false,
        attempts: Vec::new(),
        stale_commit_markers: Vec::new(),
        commit_markers: Vec::new(),
    }
}

pub(super) fn claim(at: &str) -> Claim {
    Claim::of_work(&work(at), Mark(1), Epoch(0))
}

/// How far the work on a path is that somebody works on.
pub(super) fn step<'a>(migration: &'a Migration, at: &str) -> Option<&'a Step> {
    migration.claims.held.get(&RelPath::from(at)).map(|claim| &claim.step)
}

pub(super) fn failure(side: Side, kind: FailureKind) -> Failure {
    Failure { side, kind, message: String::new(), remedy: String::new() }
}

/// One without work, which may claim a hundred paths.
fn migration() -> Migration {
    let config = Config { claims_max: 100, passes_max: 7, ..Config::default() };
    let mut migration = migration_of(config);
    migration.works = 0;
    migration
}

/// The lane that is asked for entries, and for how many of them.
fn asked(migration: &mut Migration) -> Option<(Lane, usize)> {
    migration.take_work();
    let asked = migration.poll();
    if let Some(Effect::Take { lane, limit, .. }) = asked {
        return Some((lane, limit));
    }
    assert_eq!(asked, None, "nothing else is asked for");
    None
}

#[test]
fn rule_3_4_every_lane_has_its_room() {
    let mut migration = migration();
    let mut rooms = |works: usize| {
        migration.works = works;
        [Lane::Live, Lane::Backlog, Lane::Metadata].map(|lane| migration.room(lane))
    };
    assert_eq!(rooms(0), [80, 7, 32]);
    assert_eq!(rooms(49), [31, 7, 32]);
    assert_eq!(rooms(50), [30, 7, 1], "half of the claims are metadata's at most");
    assert_eq!(rooms(80), [0, 7, 1], "a fifth is the backlog's");
    assert_eq!(rooms(95), [0, 5, 1]);
    assert_eq!(rooms(100), [0, 0, 0]);
}

#[test]
fn lanes_are_asked_in_turn() {
    let mut migration = migration();
    let mut lanes = Vec::new();
    for _ in 0..4 {
        lanes.extend(asked(&mut migration).map(|(lane, _)| lane));
        assert_eq!(asked(&mut migration), None, "one question at a time");
        migration.taking.clear();
        migration.drained = [false; 3];
    }
    assert_eq!(lanes, [Lane::Live, Lane::Backlog, Lane::Metadata, Lane::Live]);
    migration.drained = [false, true, false];
    assert_eq!(asked(&mut migration), Some((Lane::Metadata, 32)), "the backlog has none");
}

#[test]
fn nothing_is_asked_for_that_nobody_may_work_on() {
    let mut migration = migration();
    migration.works = 100;
    assert_eq!(asked(&mut migration), None, "all claims are in use");
    migration.works = 0;
    migration.stopping = true;
    assert_eq!(asked(&mut migration), None, "it stops");
    (migration.stopping, migration.paused) = (false, true);
    assert_eq!(asked(&mut migration), None, "it pauses");
    migration.paused = false;
    assert!(asked(&mut migration).is_some());
}

/// Marks that were given before entries are asked for are in what is handed out: its work covers
/// them.
#[test]
fn rule_1_6_what_is_handed_out_covers_what_was_marked_before() {
    let mut migration = migration();
    let marked = migration.mark(&RelPath::from("d/a"), Reach::Path, Lane::Live, TxId(1), TxId(1));
    sent(&mut migration);
    assert!(asked(&mut migration).is_some());
    migration.mark(&RelPath::from("d/b"), Reach::Path, Lane::Live, TxId(2), TxId(2));
    let handed_out = Work { pending: Pending { mark: Mark(0), ..work("d").pending }, ..work("d") };
    assert_eq!(migration.handed_out_up_to(&handed_out), marked, "not what came after that");
    let newer = Work { pending: Pending { mark: Mark(9), ..work("d").pending }, ..work("d") };
    assert_eq!(migration.handed_out_up_to(&newer), Mark(9), "its own came on the way");
}
