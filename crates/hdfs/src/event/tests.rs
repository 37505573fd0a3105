use proptest::prelude::*;

use super::*;
use crate::proto::status as status_proto;

fn event(event_type: i32, contents: &impl Message) -> proto::Event {
    proto::Event { event_type, contents: Bytes::from(contents.encode_to_vec()) }
}

fn list(first_txid: i64, last_txid: i64, sync_txid: i64) -> proto::EventsList {
    proto::EventsList { first_txid, last_txid, sync_txid, ..proto::EventsList::default() }
}

#[test]
fn a_stream_says_where_it_stands() {
    // asked, (first, last, sync), gap, beyond
    let cases = [
        (5, (5, 9, 9), false, false),
        (5, (100, 120, 120), true, false),
        (5, (100, -1, 120), true, false),
        (10, (-1, -1, 9), false, false),
        (11, (-1, -1, 9), false, true),
        (11, (-1, -1, -1), false, false),
    ];
    for (asked, (first, last, sync), gap, beyond) in cases {
        let batch = EditsBatch::from_proto(asked, list(first, last, sync), 1).unwrap();
        let found = (batch.has_gap(), batch.is_beyond_end());
        assert_eq!(found, (gap, beyond), "{asked}: {first}, {last}, {sync}");
    }
}

#[test]
fn metadata_means_what_its_type_says() {
    let path = Bytes::from_static(b"/a");
    let full = proto::MetadataEvent {
        path,
        mtime: Some(-1),
        atime: Some(77),
        replication: Some(0),
        owner: Some(Bytes::new()),
        group: Some(Bytes::from_static(b"g")),
        permission: Some(status_proto::FsPermission { mode: 0o1777 }),
        ..proto::MetadataEvent::default()
    };
    let cases = [
        (
            metadata_type::TIMES,
            MetadataChange::Times { modified_millis: None, accessed_millis: Some(77) },
        ),
        (metadata_type::REPLICATION, MetadataChange::Replication(0)),
        (
            metadata_type::OWNER,
            MetadataChange::Owner { owner: None, group: Some(Bytes::from_static(b"g")) },
        ),
        (metadata_type::PERMISSION, MetadataChange::Permission(0o1777)),
        (metadata_type::ACL, MetadataChange::Acl(vec![])),
        (metadata_type::XATTR, MetadataChange::XAttrs { xattrs: vec![], removed: false }),
    ];
    for (metadata_type, expected) in cases {
        let message = proto::MetadataEvent { metadata_type, ..full.clone() };
        let Event::Metadata { change, .. } =
            Event::from_proto(event(event_type::METADATA, &message)).unwrap()
        else {
            panic!("not a metadata event")
        };
        assert_eq!(change, expected);
    }
}

#[test]
fn what_is_not_known_is_refused_and_never_skipped() {
    let size = proto::SizeEvent { path: Bytes::new(), length: -1, timestamp: 0 };
    let close = Event::from_proto(event(event_type::CLOSE, &size)).unwrap();
    assert!(matches!(close, Event::Close { length: None, .. }));
    assert!(Event::from_proto(event(event_type::TRUNCATE, &size)).is_err());
    let unknown = Event::from_proto(event(7, &size)).unwrap_err();
    assert!(matches!(unknown, Error::Unsupported { .. }));
    let mut old = list(1, 2, 3);
    old.events_without_batch.push(event(event_type::CLOSE, &size));
    assert!(EditsBatch::from_proto(1, old, 1).is_err());
    let mut negative = list(1, 2, 3);
    negative.batches.push(proto::EventBatch { txid: -5, events: vec![] });
    assert!(EditsBatch::from_proto(1, negative, 1).is_err());
}

proptest! {
    #[test]
    fn random_events_never_panic(
        event_type in -1..9_i32,
        contents in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = Event::from_proto(proto::Event { event_type, contents: Bytes::from(contents) });
    }

    #[test]
    fn random_lists_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(list) = proto::EventsList::decode(Bytes::from(bytes)) {
            let _ = EditsBatch::from_proto(1, list, 1);
        }
    }
}
