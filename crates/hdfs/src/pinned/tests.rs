use proptest::prelude::*;

use super::*;

fn located(offset: u64, length: u64) -> proto::LocatedBlock {
    let id = proto::DatanodeId {
        ip: Bytes::from_static(b"10.0.0.1"),
        host: Bytes::from_static(b"one"),
        uuid: Bytes::from_static(b"uuid-1"),
        transfer_port: 9866,
        ..proto::DatanodeId::default()
    };
    proto::LocatedBlock {
        block: proto::ExtendedBlock {
            pool: Bytes::from_static(b"BP-1"),
            block_id: 7 + offset,
            generation_stamp: 1001,
            length: Some(length),
        },
        offset,
        datanodes: vec![proto::DatanodeInfo { id }],
        corrupt: false,
        unit_indices: None,
    }
}

fn list(blocks: Vec<proto::LocatedBlock>) -> proto::LocatedBlocks {
    let file_length = blocks.iter().filter_map(|block| block.block.length).sum();
    proto::LocatedBlocks { file_length, blocks, ..proto::LocatedBlocks::default() }
}

fn file(length: u64, list: proto::LocatedBlocks) -> Result<PinnedFile, Error> {
    PinnedFile::from_proto(42, length, list, false, &DatanodeTable::default())
}

#[test]
fn lists_with_holes_or_of_another_length_are_refused() {
    assert!(file(30, list(vec![located(0, 10), located(10, 20)])).is_ok());
    assert!(file(0, list(vec![])).is_ok());
    assert!(file(31, list(vec![located(0, 10), located(10, 20)])).is_err());
    assert!(file(30, list(vec![located(0, 10), located(11, 20)])).is_err());
    assert!(file(10, list(vec![located(5, 10)])).is_err());
    let endless = list(vec![located(0, 10)]);
    let mut endless = proto::LocatedBlocks { file_length: 0, ..endless };
    endless.blocks.push(located(10, u64::MAX));
    assert!(file(9, endless).is_err());
}

/// The NameNode tells the whole last block, with what the live file was appended since.
#[test]
fn a_file_in_a_snapshot_ends_where_it_ended() {
    let pinned = file(25, list(vec![located(0, 10), located(10, 20)])).unwrap();
    assert_eq!((pinned.length, pinned.blocks[1].length), (25, 15));
    assert_eq!(PinnedFile::from_bytes(&pinned.to_bytes()).unwrap(), pinned);
    assert!(file(10, list(vec![located(0, 10), located(10, 20)])).is_err());
}

#[test]
fn an_open_file_ends_before_the_block_that_is_being_written() {
    let mut open = list(vec![located(0, 10), located(10, 0)]);
    open.under_construction = true;
    open.file_length = 10;
    let pinned = file(15, open.clone()).unwrap();
    assert_eq!((pinned.length, pinned.blocks.len(), pinned.is_under_construction), (10, 1, true));
    // A block that is committed but not complete counts in neither length.
    open.blocks = vec![located(0, 10), located(10, 7), located(17, 9)];
    let pinned = file(26, open).unwrap();
    assert_eq!((pinned.length, pinned.blocks.len()), (10, 1));
}

#[test]
fn stored_lists_read_back_and_share_data_nodes() {
    let file = file(30, list(vec![located(0, 10), located(10, 20)])).unwrap();
    assert!(Arc::ptr_eq(&file.blocks[0].datanodes[0], &file.blocks[1].datanodes[0]));
    assert_eq!(PinnedFile::from_bytes(&file.to_bytes()).unwrap(), file);
    assert_eq!(file.blocks[0].datanodes[0].authority(false), "10.0.0.1:9866");
    assert_eq!(file.blocks[0].datanodes[0].authority(true), "one:9866");
    let coding = ErasureCoding {
        policy_id: 1,
        policy: "RS-6-3-1024k".to_owned(),
        codec: "rs".to_owned(),
        data_units: 6,
        parity_units: 3,
        cell_bytes: 1 << 20,
    };
    let striped = PinnedFile { erasure_coding: Some(coding), is_encrypted: true, ..file };
    assert_eq!(PinnedFile::from_bytes(&striped.to_bytes()).unwrap(), striped);
}

/// What was left out of an open file's list still named its pool, and blocks without bytes at its
/// end were there until it was stored.
#[test]
fn a_stored_list_of_an_open_file_reads_back() {
    for (file_length, blocks, kept) in [
        (0, vec![located(0, 10)], 0),
        (20, vec![located(0, 10), located(10, 0)], 1),
        (20, vec![located(0, 10), located(10, 0), located(10, 5)], 3),
    ] {
        let open = list(blocks);
        let open = proto::LocatedBlocks { under_construction: true, file_length, ..open };
        let pinned = file(file_length, open).unwrap();
        assert_eq!(pinned.blocks.len(), kept);
        assert_eq!(pinned.block_pool.is_empty(), kept == 0);
        assert_eq!(PinnedFile::from_bytes(&pinned.to_bytes()).unwrap(), pinned);
    }
}

#[test]
fn ranges_keep_the_blocks_that_they_touch() {
    let file = file(30, list(vec![located(0, 10), located(10, 10), located(20, 10)])).unwrap();
    let offsets = |range| -> Vec<u64> {
        file.within(&range).blocks.iter().map(|block| block.offset).collect()
    };
    assert_eq!(offsets(0..30), [0, 10, 20]);
    assert_eq!(offsets(9..11), [0, 10]);
    assert_eq!(offsets(10..20), [10]);
    assert_eq!(offsets(5..5), [0]);
}

#[test]
fn one_odd_list_does_not_spoil_a_page() {
    let table = DatanodeTable::default();
    let odd = proto::FileStatus {
        file_type: proto::file_type::FILE,
        length: 31,
        locations: Some(list(vec![located(0, 10)])),
        ..proto::FileStatus::default()
    };
    let status = crate::status::FileStatus::from_proto(odd, &table).unwrap();
    assert_eq!((status.length, status.pinned), (31, None));
}

#[test]
fn other_bytes_are_no_list() {
    assert!(PinnedFile::from_bytes(b"").is_err());
    assert!(PinnedFile::from_bytes(b"{\"file\": 1}").is_err());
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = PinnedFile::from_bytes(&bytes);
        if let Ok(status) = proto::FileStatus::decode(bytes.as_slice()) {
            let table = DatanodeTable::default();
            let _ = crate::status::FileStatus::from_proto(status, &table);
        }
    }
}
