//! Every record as the current version writes it. A record that changes fails here: then the schema
//! takes a step (`schema.rs`), the older record is read or refused (`State::upgrade`), and the new
//! version's sums stand here. Changed sums under the same version would be states that look damaged.

use std::fmt::Write;

use bytes::Bytes;
use whimbrel_core::identity::Identity;
use whimbrel_core::losses::Losses;
use whimbrel_core::metadata::Metadata;
use whimbrel_core::number::{AttemptNumber, Epoch, Mark, Time, TxId};
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::record::{
    Attempt, AttemptKind, Counters, DirectoryRecord, Found, Hint, Lane, LetGo, Meta, Parked, Part,
    Pending, Reach, Row, Upload,
};

use crate::codec::{self, Kind};
use crate::pending::{Entry, Logged};
use crate::row;
use crate::schema::STEPS;
use crate::state::{Counts, Kept};

/// The version, then every record's kind, length and checksum.
const LAYOUT: &str = "\
version 5
State 46 79883df4
State 46 8a5fbb64
Setting 14 382ee23b
Pending 35 da0b595b
Pending 36 90dcf274
Pending 36 a1ad2644
Pending 36 f23f5a14
Pending 36 c34e8e24
Pending 36 551ba2b4
Pending 36 646a7684
Pending 35 da0b595b
Pending 35 a99b4ff4
Pending 35 3d2b7405
PendingGone 37 521a521f
Log 371 a019ca6a
Row 66 83220edc
Row 67 747d2951
Row 69 263592f1
Row 61 b51f86fb
Row 61 c1e6b30f
Attempt 24 c1aeff65
Attempt 24 a6200264
Attempt 24 0eb30567
Attempt 24 693df866
Part 10 632622aa
Hint 10 47bbbd10
Found 59 97a1b9c1
FoundLate 59 7b18fe3b
FirstRow 60 e8811fcb
Directory 45 ef46795b
";

fn identities() -> [Identity; 5] {
    [
        Identity::Hdfs { block_pool: 1, file_id: 2, length: 3, modified_ms: -4, blocks: 5 },
        Identity::Local {
            device: 1,
            inode: 2,
            length: 3,
            modified_ns: -4,
            changed_ns: 5,
            born_ns: 6,
        },
        Identity::Object {
            version: Some("v".to_owned()),
            etag: "e".to_owned(),
            length: 3,
            crc32c: Some(4),
        },
        Identity::Marker,
        Identity::Unknown,
    ]
}

fn metadata() -> Metadata {
    Metadata {
        owner: "owner".to_owned(),
        group: "group".to_owned(),
        mode: 0o1755,
        modified_ns: -7,
        acl: Some("user:a:rwx".to_owned()),
        xattrs: [("user.x".to_owned(), vec![1, 2])].into(),
    }
}

fn a_row(identity: Identity) -> Row {
    Row {
        path: "d/f".into(),
        identity,
        length: 1,
        crc32c: Some(2),
        etag: Some("e".to_owned()),
        version: Some("v".to_owned()),
        attempt: Some(AttemptNumber(3)),
        as_of: TxId(4),
        epoch: Epoch(5),
        metadata: metadata(),
        ledger_only: false,
    }
}

fn entry(reach: Reach, lane: Lane, parked: Option<Parked>) -> Entry {
    let pending = Pending {
        path: "d/f".into(),
        reach,
        lane,
        first_txid: TxId(1),
        last_txid: TxId(2),
        first_seen: Time(3),
        last_seen: Time(4),
        mark: Mark(5),
        begun: Some(Mark(6)),
        cursor: Some(Bytes::from_static(b"c")),
        tries: 7,
        not_before: Time(8),
        waiting: true,
        parked,
        let_go: Some(LetGo::Person),
        gone_since: None,
    };
    let marks = [Mark(9), Mark(10), Mark(11)];
    Entry { pending, reach_mark: Mark(12), marks, message: Some("why".to_owned()) }
}

fn entries() -> Vec<Entry> {
    let parked = [
        None,
        Some(Parked::Open),
        Some(Parked::Failed),
        Some(Parked::Guard),
        Some(Parked::Removal),
        Some(Parked::Foreign),
        Some(Parked::Delayed),
    ];
    let lanes = [(Reach::Path, Lane::Live), (Reach::Directory, Lane::Backlog)];
    let others = lanes.into_iter().chain([(Reach::Subtree, Lane::Metadata)]);
    let others = others.map(|(reach, lane)| entry(reach, lane, None));
    parked.map(|parked| entry(Reach::Path, Lane::Live, parked)).into_iter().chain(others).collect()
}

fn part() -> Part {
    Part { number: 1, length: 2, crc32c: 3, etag: "e".to_owned() }
}

fn attempt(kind: AttemptKind) -> Attempt {
    Attempt {
        number: AttemptNumber(1),
        path: "d/f".into(),
        kind,
        started: Time(2),
        doubtful_until: Some(Time(3)),
        identity: Identity::Unknown,
        upload: Some(Upload { id: "u".to_owned(), part_bytes: 4, parts: vec![part()] }),
    }
}

fn kept(namespace: Namespace) -> Kept {
    let counters = Counters {
        files_scanned: 1,
        files_copied: 2,
        bytes_copied: 3,
        files_replaced: 4,
        files_relocated: 5,
        files_removed: 6,
        files_skipped: 7,
        unverified: 8,
        metadata_updated: 9,
        markers_written: 10,
        changes_seen: 11,
        coarsened: 12,
        gaps: 13,
    };
    let mut losses = Losses::default();
    losses.add(Time(7 * 60_000));
    let meta = Meta {
        position: Some(TxId(1)),
        digest: 2,
        epoch: Epoch(3),
        history: Some("h".to_owned()),
        root_key: Some(4),
        next_mark: Mark(5),
        next_attempt: AttemptNumber(6),
        scan_begun: true,
        inventory_done: false,
        inventory_cursor: Some(Bytes::from_static(b"i")),
        scanned: true,
        counters,
        losses,
    };
    let counts = Counts {
        rows: 1,
        found: 2,
        settings: 3,
        pending: 4,
        pending_log: 5,
        attempts: 6,
        hints: 7,
    };
    Kept { namespace, clean: false, meta, counts }
}

fn found() -> Found {
    Found {
        path: "d/f".into(),
        length: 1,
        etag: Some("e".to_owned()),
        version: Some("v".to_owned()),
        crc32c: Some(2),
        metadata: Some(metadata()),
        migration: Some("m".to_owned()),
        late: false,
    }
}

fn records() -> Vec<(Kind, Vec<u8>)> {
    let encoded = |kind, record: crate::Result<Vec<u8>>| (kind, record.unwrap());
    let mut records = Vec::new();
    for namespace in [Namespace::Tree, Namespace::Flat] {
        records.push(encoded(Kind::State, codec::encode(Kind::State, &kept(namespace))));
    }
    records.push(encoded(Kind::Setting, codec::encode(Kind::Setting, &("key", "value"))));
    for entry in entries() {
        records.push(encoded(Kind::Pending, codec::encode(Kind::Pending, &entry)));
    }
    let gone = || (entry(Reach::Path, Lane::Live, Some(Parked::Delayed)), Time(13));
    records.push(encoded(Kind::PendingGone, codec::encode(Kind::PendingGone, &gone())));
    let (entry, since) = gone();
    let others = [Logged::Gone(RelPath::from("d/g")), Logged::PutGone(entry, since)];
    let log: Vec<Logged<Entry, RelPath>> =
        entries().into_iter().map(Logged::Put).chain(others).collect();
    records.push(encoded(Kind::Log, codec::encode(Kind::Log, &(1_i64, log))));
    for identity in identities() {
        records.push(encoded(Kind::Row, codec::encode(Kind::Row, &a_row(identity))));
    }
    for kind in [AttemptKind::Copy, AttemptKind::Relocate, AttemptKind::Marker, AttemptKind::Remove]
    {
        records.push(encoded(Kind::Attempt, codec::encode(Kind::Attempt, &attempt(kind))));
    }
    let numbered = (AttemptNumber(1), part());
    records.push(encoded(Kind::Part, codec::encode(Kind::Part, &numbered)));
    let hint = Hint { from: "a".into(), to: "b".into(), txid: TxId(1) };
    records.push(encoded(Kind::Hint, codec::encode(Kind::Hint, &(1_i64, hint))));
    records.push(encoded(Kind::Found, codec::encode(Kind::Found, &found())));
    let late = codec::encode(Kind::FoundLate, &Found { late: true, ..found() });
    records.push(encoded(Kind::FoundLate, late));
    records.push((Kind::FirstRow, row::first_record(a_row(Identity::Marker))));
    let directory = DirectoryRecord { path: "d".into(), file_key: 1, metadata: metadata() };
    records.push(encoded(Kind::Directory, codec::encode(Kind::Directory, &directory)));
    records
}

#[test]
fn a_record_that_changes_takes_another_schema_version() {
    let mut layout = format!("version {}\n", STEPS.len());
    for (kind, record) in records() {
        let sum = u32::from_le_bytes([record[0], record[1], record[2], record[3]]);
        writeln!(layout, "{kind:?} {} {sum:08x}", record.len()).unwrap();
    }
    assert_eq!(layout, LAYOUT, "see the top of this file before you change LAYOUT");
}

/// Records of the sums above are of every kind that there is.
#[test]
fn every_kind_of_record_is_held_to_its_version() {
    let kinds = records().into_iter().map(|(kind, _)| kind as u8);
    let kinds: std::collections::BTreeSet<u8> = kinds.collect();
    assert_eq!(kinds, (Kind::State as u8..=Kind::PendingGone as u8).collect());
}
