//! What each change does to what is pending.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use support::{advance, attempt, coarsen, defer, live, mark, park, settle};
use whimbrel_core::number::{Mark, Time, TxId};
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::record::{Attempt, Change, Lane, Parked, Pending, Reach};
use whimbrel_ledger::Ledger;

fn ledger(changes: &[Change]) -> Ledger {
    let mut ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
    ledger.apply(&[changes]).unwrap();
    ledger
}

fn entry(ledger: &Ledger, path: &str) -> Option<Pending> {
    ledger.pending_entry(&path.into()).unwrap()
}

fn take(ledger: &mut Ledger, lane: Lane, limit: usize, now: u64) -> Vec<String> {
    let (work, _) = ledger.take(lane, limit, Time(now)).unwrap();
    work.into_iter().map(|work| work.pending.path.to_string()).collect()
}

#[test]
fn a_mark_makes_pending_and_a_later_one_adds() {
    let mut ledger = ledger(&[
        Change::Mark {
            path: "a/x".into(),
            reach: Reach::Path,
            lane: Lane::Backlog,
            first_txid: TxId(5),
            last_txid: TxId(6),
            seen: Time(100),
            mark: Mark(1),
        },
        Change::Mark {
            path: "a/x".into(),
            reach: Reach::Directory,
            lane: Lane::Live,
            first_txid: TxId(4),
            last_txid: TxId(9),
            seen: Time(200),
            mark: Mark(2),
        },
    ]);
    let pending = entry(&ledger, "a/x").unwrap();
    assert_eq!((pending.reach, pending.lane), (Reach::Directory, Lane::Live));
    assert_eq!((pending.first_txid, pending.last_txid), (TxId(4), TxId(9)));
    assert_eq!((pending.first_seen, pending.last_seen), (Time(100), Time(200)));
    assert_eq!(pending.mark, Mark(2));
    let summary = ledger.summary().unwrap();
    assert_eq!(summary.lanes, [1, 0, 0]);
    assert_eq!((summary.first_txid, summary.first_seen), (Some(TxId(4)), Some(Time(100))));
    assert_eq!(ledger.meta().unwrap().next_mark, Mark(3));
    assert_eq!(take(&mut ledger, Lane::Live, 10, 0), ["a/x"]);
    assert_eq!(take(&mut ledger, Lane::Live, 10, 0), [""; 0]);
}

#[test]
fn settling_stops_at_a_newer_mark() {
    let mut ledger = ledger(&[live("x", 5)]);
    assert_eq!(take(&mut ledger, Lane::Live, 1, 0), ["x"]);
    ledger.apply(&[&[live("x", 7), advance("x", 5, "m")]]).unwrap();
    assert_eq!(take(&mut ledger, Lane::Live, 1, 0), [""; 0], "still claimed");
    ledger
        .apply(&[&[Change::Settle { path: "x".into(), up_to: Mark(5), as_of: TxId(6) }]])
        .unwrap();
    let left = entry(&ledger, "x").unwrap();
    assert_eq!((left.first_txid, left.last_txid), (TxId(7), TxId(7)));
    assert_eq!((left.first_seen, left.begun, left.cursor), (Time(70), None, None));
    assert_eq!(take(&mut ledger, Lane::Live, 1, 0), ["x"], "free again");
    ledger.apply(&[&[settle("x", 7)]]).unwrap();
    assert_eq!(entry(&ledger, "x"), None);
    assert_eq!(ledger.summary().unwrap().lanes, [0; 3]);
}

/// A directory that waits for a person hid that everything above it was looked at anew.
#[test]
fn a_story_tells_what_is_worked_on_before_what_is_set_aside() {
    let subtree = |path: &str, number| {
        let (first_txid, last_txid) = (TxId(number), TxId(number));
        let (reach, lane, seen, mark) = (Reach::Subtree, Lane::Live, Time(0), Mark(number));
        Change::Mark { path: path.into(), reach, lane, first_txid, last_txid, seen, mark }
    };
    let above = |ledger: &Ledger| {
        let above = ledger.story(&"a/b/x".into()).unwrap().pending_above;
        above.map(|entry| (entry.path.to_string(), entry.parked))
    };
    let mut ledger = ledger(&[subtree("a/b", 5), park("a/b", 5, Parked::Guard, None)]);
    assert_eq!(above(&ledger), Some(("a/b".to_owned(), Some(Parked::Guard))));
    ledger.apply(&[&[subtree("a", 6)]]).unwrap();
    assert_eq!(above(&ledger), Some(("a".to_owned(), None)));
    ledger.apply(&[&[park("a", 6, Parked::Removal, None)]]).unwrap();
    assert_eq!(above(&ledger), Some(("a".to_owned(), Some(Parked::Removal))));
}

#[test]
fn parking_stops_at_a_newer_mark_and_ends_with_one() {
    let mut ledger = ledger(&[live("x", 5), live("y", 6)]);
    take(&mut ledger, Lane::Live, 2, 0);
    let summary = ledger
        .apply(&[&[
            live("x", 7),
            park("x", 5, Parked::Open, None),
            park("y", 6, Parked::Open, None),
        ]])
        .unwrap();
    assert_eq!((summary.lanes, summary.open), ([1, 0, 0], 1));
    assert_eq!(summary.first_txid, Some(TxId(5)));
    assert_eq!(take(&mut ledger, Lane::Live, 2, 0), ["x"]);
    let parked = ledger.parked(None, 10).unwrap();
    assert_eq!(parked.len(), 1);
    assert_eq!((&parked[0].0.path, parked[0].1.as_str()), (&"y".into(), "y is parked"));
    assert_eq!(ledger.story(&"y".into()).unwrap().message.as_deref(), Some("y is parked"));
    let summary = ledger.apply(&[&[live("y", 8)]]).unwrap();
    assert_eq!((summary.lanes, summary.open), ([2, 0, 0], 0));
    assert_eq!(ledger.story(&"y".into()).unwrap().message, None);
    assert_eq!(take(&mut ledger, Lane::Live, 2, 0), ["y"]);
}

#[test]
fn what_failed_is_tried_again_when_its_time_comes() {
    let mut ledger = ledger(&[live("x", 1), live("y", 2), live("z", 3)]);
    take(&mut ledger, Lane::Live, 3, 0);
    let summary = ledger
        .apply(&[&[
            park("x", 1, Parked::Failed, Some(50)),
            park("y", 2, Parked::Failed, None),
            park("z", 3, Parked::Guard, None),
        ]])
        .unwrap();
    assert_eq!((summary.failed, summary.guarded, summary.next_due), (2, 1, Some(Time(50))));
    assert_eq!((summary.first_txid, summary.first_seen), (None, None));
    assert_eq!(take(&mut ledger, Lane::Live, 9, 49), [""; 0]);
    assert_eq!(take(&mut ledger, Lane::Live, 9, 50), ["x"]);
    ledger.apply(&[&[Change::Release(Parked::Guard)]]).unwrap();
    assert_eq!(take(&mut ledger, Lane::Live, 9, u64::MAX - 1), ["z"]);
    let summary = ledger.apply(&[&[Change::Release(Parked::Failed)]]).unwrap();
    assert_eq!((summary.failed, summary.lanes), (0, [3, 0, 0]));
    assert_eq!(take(&mut ledger, Lane::Live, 9, 60), ["y"], "x is claimed");
}

#[test]
fn a_deferred_entry_waits_unless_it_was_marked_again() {
    let mut ledger = ledger(&[live("x", 1), live("y", 2)]);
    take(&mut ledger, Lane::Live, 2, 0);
    let summary =
        ledger.apply(&[&[live("y", 3), defer("x", 1, 70, true), defer("y", 2, 90, true)]]).unwrap();
    assert_eq!(summary.next_due, Some(Time(70)));
    let deferred = entry(&ledger, "x").unwrap();
    assert_eq!((deferred.tries, deferred.not_before), (3, Time(70)));
    assert!(deferred.waiting);
    assert!(!entry(&ledger, "y").unwrap().waiting);
    assert_eq!(take(&mut ledger, Lane::Live, 2, 10), ["y"]);
    assert_eq!(take(&mut ledger, Lane::Live, 2, 70), ["x"]);
    let summary = ledger.apply(&[&[live("x", 4)]]).unwrap();
    assert_eq!(summary.next_due, None);
    let marked = entry(&ledger, "x").unwrap();
    assert_eq!((marked.tries, marked.not_before, marked.waiting), (0, Time(0), false));
}

#[test]
fn lanes_have_their_orders() {
    let mut ledger = ledger(&[
        mark("a", Reach::Path, Lane::Live, 3),
        mark("b", Reach::Path, Lane::Live, 1),
        mark("c", Reach::Path, Lane::Backlog, 4),
        mark("d", Reach::Path, Lane::Backlog, 2),
        mark("e", Reach::Path, Lane::Metadata, 6),
        mark("f", Reach::Path, Lane::Metadata, 5),
    ]);
    assert_eq!(take(&mut ledger, Lane::Live, 9, 0), ["b", "a"]);
    assert_eq!(take(&mut ledger, Lane::Backlog, 1, 0), ["c"]);
    assert_eq!(take(&mut ledger, Lane::Backlog, 9, 0), ["d"]);
    assert_eq!(take(&mut ledger, Lane::Metadata, 9, 0), ["f", "e"]);
}

#[test]
fn a_pass_keeps_its_cursor_only_while_the_reach_stays() {
    let directory = |number| mark("d", Reach::Directory, Lane::Backlog, number);
    let mut ledger = ledger(&[directory(1)]);
    take(&mut ledger, Lane::Backlog, 1, 0);
    ledger.apply(&[&[advance("d", 1, "m"), directory(2)]]).unwrap();
    let kept = entry(&ledger, "d").unwrap();
    assert_eq!((kept.begun, kept.cursor.as_deref()), (Some(Mark(1)), Some(&b"m"[..])));
    ledger.apply(&[&[mark("d", Reach::Path, Lane::Live, 3)]]).unwrap();
    assert_eq!(entry(&ledger, "d").unwrap().cursor.as_deref(), Some(&b"m"[..]));
    // A pass over children alone does not cover what reaches further: its progress is void.
    let subtree = mark("d", Reach::Subtree, Lane::Live, 4);
    ledger.apply(&[&[subtree, advance("d", 1, "p")]]).unwrap();
    let grown = entry(&ledger, "d").unwrap();
    assert_eq!((grown.reach, grown.begun, grown.cursor), (Reach::Subtree, None, None));
    ledger.apply(&[&[settle("d", 1), advance("d", 4, "c")]]).unwrap();
    assert_eq!(entry(&ledger, "d").unwrap().begun, Some(Mark(4)));
}

#[test]
fn marks_join_an_entry_above_until_its_pass_begins() {
    let mut ledger = ledger(&[
        mark("d", Reach::Subtree, Lane::Backlog, 1),
        mark("e", Reach::Directory, Lane::Backlog, 2),
        live("d/a/x", 3),
        live("e/x", 4),
        live("e/a/x", 5),
        mark("e/s", Reach::Subtree, Lane::Live, 6),
    ]);
    assert_eq!(entry(&ledger, "d/a/x"), None);
    assert_eq!(entry(&ledger, "e/x"), None);
    assert!(entry(&ledger, "e/a/x").is_some(), "children only");
    assert!(entry(&ledger, "e/s").is_some(), "children only, not what is below them");
    let above = entry(&ledger, "d").unwrap();
    assert_eq!((above.mark, above.last_txid, above.lane), (Mark(3), TxId(3), Lane::Backlog));
    assert_eq!(above.first_txid, TxId(1));
    take(&mut ledger, Lane::Backlog, 9, 0);
    ledger.apply(&[&[live("d/b", 7)]]).unwrap();
    assert!(entry(&ledger, "d/b").is_some(), "claimed");
    ledger.apply(&[&[advance("d", 3, "a"), defer("d", 3, 0, false), live("d/c", 8)]]).unwrap();
    assert!(entry(&ledger, "d/c").is_some(), "begun");
}

#[test]
fn a_change_of_content_does_not_join_one_of_metadata() {
    let ledger = ledger(&[
        mark("d", Reach::Subtree, Lane::Metadata, 1),
        live("d/x", 2),
        mark("d/y", Reach::Path, Lane::Metadata, 3),
    ]);
    assert!(entry(&ledger, "d/x").is_some());
    assert_eq!(entry(&ledger, "d/y"), None);
}

/// What it would join may wait for it: the simulator's seed 9313 never ended.
#[test]
fn a_commit_marker_joins_no_entry_above() {
    let ledger = ledger(&[
        mark("d", Reach::Subtree, Lane::Live, 1),
        mark("e", Reach::Subtree, Lane::Backlog, 2),
        live("d/_SUCCESS", 3),
        live("e/_SUCCESS", 4),
        live("d/x", 5),
    ]);
    assert!(entry(&ledger, "d/_SUCCESS").is_some());
    assert!(entry(&ledger, "e/_SUCCESS").is_some());
    assert_eq!(entry(&ledger, "d/x"), None);
}

#[test]
fn coarsening_collapses_what_is_free() {
    let mut ledger = ledger(&[
        live("d/claimed", 1),
        live("d/x", 3),
        mark("d/y", Reach::Path, Lane::Backlog, 2),
        live("d/parked", 4),
        mark("d/s", Reach::Subtree, Lane::Backlog, 5),
        live("d/t/z", 6),
        live("dd", 7),
    ]);
    assert_eq!(take(&mut ledger, Lane::Live, 1, 0), ["d/claimed"]);
    ledger.apply(&[&[park("d/parked", 4, Parked::Open, None), coarsen("d", false)]]).unwrap();
    let coarse = entry(&ledger, "d").unwrap();
    assert_eq!((coarse.reach, coarse.lane), (Reach::Directory, Lane::Backlog));
    assert_eq!((coarse.first_txid, coarse.last_txid, coarse.mark), (TxId(2), TxId(3), Mark(3)));
    for (path, there) in [
        ("d/claimed", true),
        ("d/x", false),
        ("d/y", false),
        ("d/parked", true),
        ("d/s", true),
        ("d/t/z", true),
        ("dd", true),
    ] {
        assert_eq!(entry(&ledger, path).is_some(), there, "{path}");
    }
    let summary = ledger.apply(&[&[coarsen("d", true)]]).unwrap();
    let coarse = entry(&ledger, "d").unwrap();
    assert_eq!((coarse.reach, coarse.mark), (Reach::Subtree, Mark(6)));
    assert!(entry(&ledger, "d/s").is_some(), "the scan came to it already");
    assert_eq!((summary.lanes, summary.open), ([2, 2, 0], 1), "d/claimed and dd; d and d/s");
    ledger.apply(&[&[coarsen("nothing/below", true)]]).unwrap();
    assert_eq!(entry(&ledger, "nothing/below"), None);
}

/// A change at a directory under a pass over all below it is no reason to go through all again.
#[test]
fn what_is_left_reaches_as_far_as_what_was_marked_since() {
    let subtree = |number| mark("d", Reach::Subtree, Lane::Backlog, number);
    let path = |number| mark("d", Reach::Path, Lane::Live, number);
    for (since, left) in [
        (vec![path(5)], Reach::Path),
        (vec![path(5), mark("d", Reach::Directory, Lane::Live, 6)], Reach::Directory),
        (vec![subtree(5), path(6)], Reach::Subtree),
    ] {
        let mut ledger = ledger(&[subtree(3)]);
        take(&mut ledger, Lane::Backlog, 1, 0);
        ledger.apply(&[&since]).unwrap();
        let settle = Change::Settle { path: "d".into(), up_to: Mark(4), as_of: TxId(0) };
        ledger.apply(&[&[settle]]).unwrap();
        assert_eq!(entry(&ledger, "d").map(|left| left.reach), Some(left), "{since:?}");
    }
}

/// What waits for others would only be met, and wait, again: more of it than may be pending kept a
/// run busy for ever.
#[test]
fn coarsening_leaves_what_waits() {
    let mut ledger = ledger(&[live("d/x", 3), live("d/y", 4), live("d/z", 5)]);
    take(&mut ledger, Lane::Live, 2, 0);
    ledger.apply(&[&[defer("d/x", 3, 0, true), defer("d/y", 4, 0, true)]]).unwrap();
    assert_eq!(ledger.densest(3).unwrap(), []);
    ledger.apply(&[&[coarsen("d", true)]]).unwrap();
    assert!(entry(&ledger, "d/x").is_some_and(|waits| waits.waiting));
    assert!(entry(&ledger, "d/y").is_some() && entry(&ledger, "d/z").is_none());
}

/// A pass would find nothing there that changed, and the attempt have its path marked again.
#[test]
fn coarsening_leaves_what_is_looked_at_for_an_attempt_that_is_over() {
    let doubtful = |number: u64, path: &str, until: u64| {
        let doubtful_until = Some(Time(until));
        Change::AttemptOpened(Attempt { doubtful_until, ..attempt(number, path) })
    };
    let mut ledger = ledger(&[live("d/over", 3), live("d/open", 4)]);
    ledger.apply(&[&[doubtful(1, "d/over", 100), doubtful(2, "d/open", 101)]]).unwrap();
    take(&mut ledger, Lane::Backlog, 1, 100);
    ledger.apply(&[&[coarsen("d", true)]]).unwrap();
    assert!(entry(&ledger, "d/over").is_some() && entry(&ledger, "d/open").is_none());
}

/// Commit markers that wait for directories of the scan hasten these. Joined into one above, they
/// would be met from there, hastened and joined again.
#[test]
fn coarsening_leaves_directories_of_the_scan_that_were_hastened() {
    let of_the_scan = |path: &str, number| Change::Mark {
        path: path.into(),
        reach: Reach::Subtree,
        lane: Lane::Backlog,
        first_txid: TxId(0),
        last_txid: TxId(number),
        seen: Time(number),
        mark: Mark(number),
    };
    let mut ledger = ledger(&[of_the_scan("d/x", 3), of_the_scan("d/y", 4), live("d/z", 5)]);
    let hastened = [Change::Hasten("d/x".into()), Change::Hasten("d/y".into())];
    let summary = ledger.apply(&[&hastened]).unwrap();
    assert_eq!((summary.lanes, summary.coarsenable), ([3, 0, 0], 1));
    assert_eq!(ledger.densest(2).unwrap(), []);
    ledger.apply(&[&[coarsen("d", true)]]).unwrap();
    assert!(entry(&ledger, "d/x").is_some() && entry(&ledger, "d/y").is_some());
    assert!(entry(&ledger, "d/z").is_none());
}

#[test]
fn coarsening_leaves_a_directory_whose_pass_is_under_way() {
    let mut ledger = ledger(&[mark("d", Reach::Directory, Lane::Backlog, 9)]);
    take(&mut ledger, Lane::Backlog, 1, 0);
    ledger.apply(&[&[live("d/x", 10), advance("d", 9, "z"), coarsen("d", false)]]).unwrap();
    assert!(entry(&ledger, "d/x").is_some(), "the pass has gone past it");
    // Given back, the pass starts anew.
    ledger.apply(&[&[defer("d", 9, 0, false), coarsen("d", false)]]).unwrap();
    assert_eq!(entry(&ledger, "d/x"), None);
    assert_eq!(entry(&ledger, "d").unwrap().begun, None);
}

#[test]
fn the_root_is_no_child_of_itself() {
    let mut ledger = ledger(&[mark("", Reach::Path, Lane::Live, 1), live("x", 2), live("a/y", 3)]);
    ledger.apply(&[&[coarsen("", true)]]).unwrap();
    let root = entry(&ledger, "").unwrap();
    assert_eq!((root.reach, root.mark, root.first_txid), (Reach::Subtree, Mark(3), TxId(1)));
    assert_eq!(ledger.summary().unwrap().lanes, [0, 1, 0]);
    assert_eq!(ledger.pending_entry(&RelPath::root()).unwrap(), Some(root));
}

/// What was marked with the last work that is done is done too.
#[test]
fn what_is_left_reaches_no_further_than_what_was_marked_since() {
    let left = |up_to: u64| {
        let ledger = ledger(&[
            mark("d", Reach::Subtree, Lane::Backlog, 1),
            mark("d", Reach::Directory, Lane::Backlog, 2),
            mark("d", Reach::Path, Lane::Backlog, 3),
            settle("d", up_to),
        ]);
        entry(&ledger, "d").map(|pending| (pending.reach, pending.lane))
    };
    assert_eq!(left(0), Some((Reach::Subtree, Lane::Backlog)));
    assert_eq!(left(1), Some((Reach::Directory, Lane::Backlog)));
    assert_eq!(left(2), Some((Reach::Path, Lane::Live)), "a path alone is no part of the scan");
    assert_eq!(left(3), None);
}

/// Whether it stands in memory or in the table, and whatever else stood there.
#[test]
fn a_mark_joins_what_reaches_it_from_the_table() {
    for bound in [9, 0] {
        let mut ledger = Ledger::open_in_memory(Namespace::Tree).unwrap();
        ledger.keep_in_memory(bound);
        ledger.apply(&[&[mark("d", Reach::Subtree, Lane::Live, 1), live("e/x", 2)]]).unwrap();
        ledger.apply(&[&[settle("e/x", 2)]]).unwrap();
        ledger.apply(&[&[live("d/y", 3)]]).unwrap();
        assert_eq!(entry(&ledger, "d/y"), None, "with {bound} in memory");
    }
}

#[test]
fn what_is_open_and_what_failed_is_reconsidered() {
    let mut ledger = ledger(&[
        live("d/failed", 1),
        park("d/failed", 1, Parked::Failed, None),
        live("d/open", 2),
        park("d/open", 2, Parked::Open, None),
        live("d0/open", 2),
        park("d0/open", 2, Parked::Open, None),
        live("d0/failed", 2),
        park("d0/failed", 2, Parked::Failed, None),
        Change::Reconsider { below: "d".into(), up_to: Mark(2) },
    ]);
    assert_eq!(take(&mut ledger, Lane::Live, 9, 0), ["d/failed", "d/open"]);
}

/// With one hand: what waits is older and due again each time, and a new change was never taken.
#[test]
fn rule_3_4_a_new_change_has_its_turn_while_older_ones_wait() {
    let mut ledger = ledger(&[live("w1", 1), live("w2", 2), live("new", 3)]);
    let taken = (1..=8).find(|now| {
        let taken = take(&mut ledger, Lane::Live, 1, *now);
        if taken == ["new"] {
            return true;
        }
        let mark = u64::from(taken == ["w2"]) + 1;
        ledger.apply(&[&[defer(&taken[0], mark, *now, true)]]).unwrap();
        false
    });
    assert!(taken.is_some(), "every fourth question is for what does not wait");
}

fn gone(path: &str, since: u64) -> Change {
    Change::Gone { path: path.into(), since: Time(since), below: false }
}

/// `x` and `y`, gone since 100 and 200, kept for 50.
fn delayed() -> Ledger {
    let mut ledger = ledger(&[live("x", 5), live("y", 6)]);
    take(&mut ledger, Lane::Live, 2, 0);
    let kept = [
        gone("x", 100),
        park("x", 5, Parked::Delayed, Some(150)),
        gone("y", 200),
        park("y", 6, Parked::Delayed, Some(250)),
    ];
    let summary = ledger.apply(&[&kept]).unwrap();
    assert_eq!((summary.delayed, summary.delayed_next), (2, Some(Time(150))));
    assert_eq!((summary.lanes, summary.first_txid, summary.next_due), ([0; 3], None, None));
    ledger
}

fn end_delays(due_by: Option<u64>) -> Change {
    let (first_txid, seen) = (TxId(30), Time(160));
    Change::EndDelays { due_by: due_by.map(Time), first_txid, seen }
}

#[test]
fn rule_5_7_what_is_kept_for_a_time_comes_back_when_that_is_over() {
    let mut ledger = delayed();
    assert_eq!(take(&mut ledger, Lane::Live, 9, 999), [""; 0], "nobody takes it by itself");
    assert_eq!(ledger.parked(None, 9).unwrap(), [], "it is no exception");
    let kept = |ledger: &Ledger, after: Option<&RelPath>| {
        let kept = ledger.delayed(after, 9).unwrap().into_iter();
        kept.map(|entry| entry.path.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(kept(&ledger, None), ["x", "y"]);
    assert_eq!(kept(&ledger, Some(&"x".into())), ["y"]);
    let summary = ledger.apply(&[&[end_delays(Some(149))]]).unwrap();
    assert_eq!(summary.delayed, 2);
    let summary = ledger.apply(&[&[end_delays(Some(150))]]).unwrap();
    assert_eq!((summary.delayed, summary.delayed_next), (1, Some(Time(250))));
    let since = (summary.first_txid, summary.first_seen);
    assert_eq!(since, (Some(TxId(30)), Some(Time(160))), "it is pending from then on");
    assert_eq!(entry(&ledger, "x").unwrap().gone_since, Some(Time(100)), "that is still known");
    assert_eq!(take(&mut ledger, Lane::Live, 9, 160), ["x"]);
}

/// Whatever marks it, and though the process dies, its time counts from the first look.
#[test]
fn rule_5_7_the_time_of_what_is_gone_outlives_marks_and_processes() {
    for hot_max in [100, 0] {
        let mut ledger = delayed();
        ledger.keep_in_memory(hot_max);
        ledger.apply(&[&[live("x", 20)]]).unwrap();
        let mut ledger = ledger.restart().unwrap();
        let marked = entry(&ledger, "x").unwrap();
        assert_eq!((marked.parked, marked.gone_since), (None, Some(Time(100))));
        let since = (marked.first_txid, marked.first_seen);
        assert_eq!(since, (TxId(20), Time(200)), "it was not behind before");
        let summary = ledger.apply(&[&[coarsen("", true)]]).unwrap();
        assert_eq!(summary.coarsenable, 0);
        assert_eq!(entry(&ledger, "x").unwrap().gone_since, Some(Time(100)), "it joins nothing");
        let scan = Change::ScanBegun { coverage: None };
        let below = mark("x", Reach::Subtree, Lane::Backlog, 21);
        let backlog = Change::Settle { path: "x".into(), up_to: Mark(0), as_of: TxId(0) };
        ledger.apply(&[&[below, scan]]).unwrap();
        assert_eq!(entry(&ledger, "x").unwrap().gone_since, Some(Time(100)), "nor a scan");
        ledger.apply(&[&[backlog]]).unwrap();
        ledger.apply(&[&[gone("x", 120)]]).unwrap();
        assert_eq!(entry(&ledger, "x").unwrap().gone_since, Some(Time(100)), "nor other work");
        let back = Change::Present { path: "x/y".into(), first_txid: TxId(1), seen: Time(1) };
        ledger.apply(&[&[back]]).unwrap();
        assert_eq!(entry(&ledger, "x").unwrap().gone_since, None, "it is there again");
        assert_eq!(entry(&ledger, "y").unwrap().gone_since, Some(Time(200)));
    }
}

#[test]
fn rule_5_7_another_delay_counts_from_the_same_moment() {
    let mut ledger = delayed();
    let next = |ledger: &mut Ledger, after_millis: u64| {
        ledger.apply(&[&[Change::DelayRemovals { after_millis }]]).unwrap().delayed_next
    };
    assert_eq!(next(&mut ledger, 1_000), Some(Time(1_100)));
    assert_eq!(next(&mut ledger, 0), Some(Time(100)));
    assert_eq!(next(&mut ledger, u64::MAX), Some(Time(u64::MAX)));
    let mut ledger = ledger.restart().unwrap();
    assert_eq!(ledger.summary().unwrap().delayed, 2, "the next start is nothing to it");
    assert_eq!(next(&mut ledger, 50), Some(Time(150)));
}

#[test]
fn rule_5_7_a_persons_word_ends_the_time_of_all_for_good() {
    let mut ledger = delayed();
    let summary = ledger.apply(&[&[end_delays(None)]]).unwrap();
    assert_eq!((summary.delayed, summary.lanes), (0, [2, 0, 0]));
    let mut ledger = ledger.restart().unwrap();
    assert_eq!(entry(&ledger, "y").unwrap().gone_since, Some(Time(0)));
    assert_eq!(take(&mut ledger, Lane::Live, 9, 0), ["x", "y"]);
}

#[test]
fn rule_5_7_nothing_waits_for_what_is_kept() {
    let mut ledger = delayed();
    ledger.apply(&[&[Change::HintAdded(support::hint("a", "", 40))]]).unwrap();
    assert!(!ledger.hints_wait(&"a".into()).unwrap());
    assert_eq!(ledger.prune_hints().unwrap(), 1, "of nothing that is pending is it of use");
    assert_eq!(ledger.densest(9).unwrap(), []);
}

/// Were it made again as a directory, it would have to be gone through.
#[test]
fn rule_5_7_what_is_gone_with_all_below_it_reaches_that() {
    let mut ledger = delayed();
    let whole = Change::Gone { path: "x".into(), since: Time(100), below: true };
    ledger.apply(&[&[whole, live("x", 9)]]).unwrap();
    assert_eq!(entry(&ledger, "x").unwrap().reach, Reach::Subtree);
    let settled = |up_to| Change::Settle { path: "x".into(), up_to: Mark(up_to), as_of: TxId(0) };
    ledger.apply(&[&[settled(5)]]).unwrap();
    assert_eq!(entry(&ledger, "x").unwrap().reach, Reach::Path, "that was done");
}

/// A look at what is below found something: it is no more known to be gone, and looked at again.
#[test]
fn rule_5_7_what_is_kept_is_looked_at_again_once_something_is_below_it() {
    let mut ledger = delayed();
    let present = |path: &str| {
        let (path, first_txid, seen) = (path.into(), TxId(30), Time(160));
        Change::Present { path, first_txid, seen }
    };
    let summary = ledger.apply(&[&[present("x/y/z")]]).unwrap();
    assert_eq!((summary.delayed, summary.gone, summary.lanes), (1, 1, [1, 0, 0]));
    let free = entry(&ledger, "x").unwrap();
    let since = (free.gone_since, free.first_txid, free.first_seen);
    assert_eq!(since, (None, TxId(30), Time(160)));
    assert_eq!(take(&mut ledger, Lane::Live, 9, 0), ["x"]);
}
