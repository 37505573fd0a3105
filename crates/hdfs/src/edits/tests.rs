use super::*;
use crate::event::EventBatch;

fn edits(asked: u64, txids: &[u64], last: u64, sync: u64) -> EditsBatch {
    EditsBatch {
        asked_txid: asked,
        first_txid: Some(asked),
        last_txid: Some(last),
        sync_txid: Some(sync),
        batches: txids.iter().map(|&txid| EventBatch { txid, events: vec![] }).collect(),
        epoch: 1,
    }
}

#[test]
fn the_widest_silence_is_probed_in_its_middle() {
    // asked, events, last, probed
    let cases: [(u64, &[u64], u64, Option<u64>); 7] = [
        (1, &[1, 2, 3], 3, None),
        (1, &[1, 3, 5], 5, None),
        (1, &[2, 20, 25], 25, Some(11)),
        (1, &[20, 25], 25, Some(10)),
        (1, &[2, 3], 99, Some(52)),
        (5, &[], 9, Some(7)),
        (5, &[], 5, None),
    ];
    for (asked, txids, last, expected) in cases {
        assert_eq!(edits(asked, txids, last, 100).widest_silence(), expected, "{asked} {txids:?}");
    }
}

#[test]
fn a_batch_ends_before_its_hole() {
    let mut batch = edits(5, &[6, 20], 30, 30);
    batch.end_before(13);
    assert_eq!((batch.batches.len(), batch.last_txid), (1, Some(12)));
    let mut batch = edits(5, &[20], 30, 30);
    batch.end_before(5);
    assert_eq!((batch.batches.len(), batch.last_txid), (0, None));
}

#[test]
fn only_what_came_after_the_end_was_seen_is_young() {
    let head = Head::default();
    assert!(!head.covers(1));
    head.learn(&edits(1, &[], 50, 100));
    assert!(!head.covers(51), "it was not the end");
    head.learn(&edits(51, &[], 100, 100));
    assert!(head.covers(101) && !head.covers(100));
    let mut idle = edits(101, &[], 0, 100);
    idle.last_txid = None;
    head.learn(&idle);
    assert!(head.covers(101));
    let mut gap = edits(101, &[], 300, 300);
    gap.first_txid = Some(200);
    head.learn(&gap);
    assert!(head.covers(101), "what lies behind a gap is not followed");
}
