//! Sections 1, 8 and 9: the scan and the stream.

use std::cell::Cell;

use bytes::Bytes;
use whimbrel_core::budget::{Ceilings, Paced};
use whimbrel_core::effect::{Effect, Finish, Report, ReportKind};
use whimbrel_core::failure::{Failure, FailureKind, Side};
use whimbrel_core::input::Input;
use whimbrel_core::number::{Time, TxId};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::Parked;
use whimbrel_core::timetable::{LocalTime, Period, Timetable};
use whimbrel_sim::options::{BEGIN, Options};
use whimbrel_sim::{Run, Way};

use crate::stage::*;

/// The process dies between the position and the end of the scan; what happened meanwhile is in the
/// stream after that position.
#[test]
fn rule_1_1_position_is_durable_before_the_first_listing() {
    let mut run = run();
    file(&mut run, "d/a", 5);
    let listing = held(&mut run, lists("d"));
    let taken = run.ledger().expect("a ledger").meta().expect("it can be read").position;
    assert_eq!(taken, Some(run.source().txid));
    answered_late(&mut run, listing, 1);
    file(&mut run, "d/b", 5);
    run.die();
    ends_equal(run);
}

/// Without a stream everything is listed again after a run that was killed: once, whatever that run
/// had not come to.
#[test]
fn rule_1_1_scan_that_begins_again_lists_everything_once() {
    let mut run = still(Options { live: false, ..Options::still() });
    for number in 0..40 {
        file(&mut run, &format!("{}/{}/{number}", number % 5, number % 2), 5);
    }
    assert!(run.until(|run| counters(run).files_scanned > 4), "it scans");
    run.die();
    let before = counters(&run).files_scanned;
    assert!(before < 40, "it was over before it died");
    assert_eq!(run.end(), Ok(Finish::Done));
    assert_eq!(counters(&run).files_scanned, before + 40);
    assert_eq!(run.difference(), None);
}

/// The page was read before `n` was made; the event is handled first.
#[test]
fn rule_1_2_listing_older_than_a_handled_event() {
    let mut run = run();
    file(&mut run, "d/m", 5);
    let listing = held(&mut run, lists("d"));
    answered_late(&mut run, listing, 500);
    file(&mut run, "d/n", 7);
    assert!(run.until_followed());
    let listed = run.core().progress().passes;
    assert!(listed > 0, "the page is still on its way");
    ends_equal(run);
}

/// The page shows a file as it was; the event that removed it is handled first.
#[test]
fn rule_1_2_listing_older_than_a_handled_removal() {
    let mut run = run();
    file(&mut run, "d/m", 5);
    let listing = held(&mut run, lists("d"));
    answered_late(&mut run, listing, 500);
    delete(&mut run, "d/m");
    ends_equal(run);
}

/// A PUT of d/x has no known end, x is removed, what is pending is one directory; then the PUT
/// lands. Neither a listing nor a row knows x.
#[test]
fn rule_1_3_put_times_out_then_coarsened() {
    let mut run = still(Options { pending_max: 2, ..Options::still() });
    for name in ["d/a", "d/b", "d/c", "d/e"] {
        file(&mut run, name, 5);
    }
    until_settled(&mut run);
    file(&mut run, "d/x", 9);
    let put = held(&mut run, copies("d/x"));
    run.release(put, Way::Unheard(4_000));
    for name in ["d/a", "d/b", "d/c", "d/e", "d/x"] {
        delete(&mut run, name);
    }
    let landed = run.until(|run| run.stands(&path("d/x")));
    assert!(landed, "the late PUT lands");
    ends_equal(run);
}

/// The same, but the PUT has landed already: the pass over the directory meets it, and its object
/// does not stay until it would be looked at for its own sake.
#[test]
fn rule_1_3_what_landed_unheard_is_met_by_the_pass() {
    let mut run = still(Options { pending_max: 2, ..Options::still() });
    let names: Vec<String> = (0..20).map(|number| format!("d/{number}")).collect();
    for name in &names {
        file(&mut run, name, 5);
    }
    until_settled(&mut run);
    file(&mut run, "d/x", 9);
    let put = held(&mut run, copies("d/x"));
    let sent = run.now();
    run.release(put, Way::Unheard(0));
    let coarsened = counters(&run).coarsened;
    for name in &names {
        delete(&mut run, name);
    }
    delete(&mut run, "d/x");
    assert!(run.until(|run| !run.stands(&path("d/x"))), "it goes");
    assert!(run.now().millis_since(sent) < 4_000, "before the PUT's time is over");
    assert!(counters(&run).coarsened > coarsened, "the directory was pending, not the path");
    ends_equal(run);
}

/// The old NameNode goes on answering after a fail-over: to it nothing has happened for a long
/// time.
#[test]
fn rule_1_4_answers_of_the_old_name_node_count_for_nothing() {
    let mut run = run();
    file(&mut run, "a", 5);
    until_settled(&mut run);
    let old = run.source().clone();
    run.source().fail_over();
    assert!(run.until_followed(), "the new one is asked");
    let poll = held(&mut run, polls);
    file(&mut run, "b", 5);
    let begun = run.now();
    run.answered_by(&old, poll, 50);
    while run.now().millis_since(begun) < 5_000 {
        let poll = held(&mut run, polls);
        run.answered_by(&old, poll, 50);
    }
    ends_equal(run);
}

/// Every path says absent while the root stands elsewhere.
#[test]
fn rule_1_5_root_renamed() {
    let mut run = run();
    file(&mut run, "d/a", 5);
    file(&mut run, "d/b", 5);
    until_settled(&mut run);
    let stood = run.target().objects.len();
    run.source().move_root(true);
    assert!(run.until_followed());
    let begun = run.now();
    assert!(run.until(|run| run.now().millis_since(begun) > 20_000), "it waits");
    assert_eq!(run.target().objects.len(), stood, "nothing is removed");
    run.source().move_root(false);
    ends_equal(run);
}

/// What changed while the root stood elsewhere gave no event in scope.
#[test]
fn rule_1_5_changes_while_the_root_stood_elsewhere() {
    let mut run = run();
    file(&mut run, "d/a", 5);
    until_settled(&mut run);
    run.source().move_root(true);
    assert!(run.until_followed());
    delete(&mut run, "d/a");
    file(&mut run, "d/b", 6);
    run.source().move_root(false);
    ends_equal(run);
}

/// Another directory takes the root's place and is written into, under names of the first one too.
/// By number the first one goes on answering, and is written into out of sight. Nothing is
/// believed of either until the first one is back.
#[test]
fn rule_1_5_another_root_in_the_old_place() {
    for found_by_number in [false, true] {
        let mut run = run();
        run.source().found_by_number = found_by_number;
        file(&mut run, "d/a", 5);
        file(&mut run, "d/b", 5);
        until_settled(&mut run);
        let stood = run.target().objects.clone();
        let as_of = run.core().progress().as_of;
        run.source().replace_root();
        run.source().write_in_other_root(&path("d/a"));
        run.source().write_in_other_root(&path("new"));
        file(&mut run, "d/c", 5);
        delete(&mut run, "d/b");
        assert!(run.until(|run| run.core().progress().root_lost.is_some()), "it is noticed");
        let lost = run.now();
        let questions = run.steps();
        wait(&mut run, 60_000);
        assert!(run.steps() - questions < 60 * 50, "it waits without asking all the time");
        let progress = run.core().progress();
        assert_eq!(progress.root_lost, Some(lost), "it stays so");
        assert!(progress.as_of <= Some(as_of.map_or(TxId(0), TxId::next)), "{progress:?}");
        assert!(progress.behind_since.is_some_and(|since| since <= lost), "the lag grows");
        assert_eq!(run.finished(), None, "what waits is not quiet");
        assert_eq!(run.target().objects.len(), stood.len(), "nothing is removed or copied");
        assert_eq!((progress.copies, progress.claims), (0, 0), "a pass may wait, nothing else");
        run.source().move_root(false);
        ends_equal(run);
    }
}

/// What was asked for before the root went is asked for again, and not before it is back.
#[test]
fn rule_1_5_root_replaced_under_a_listing() {
    let mut run = run();
    run.source().found_by_number = true;
    file(&mut run, "d/a", 5);
    until_settled(&mut run);
    file(&mut run, "e/a", 5);
    assert!(run.until_followed());
    let listing = held(&mut run, lists("e"));
    answered_late(&mut run, listing, 4_000);
    run.source().replace_root();
    run.source().write_in_other_root(&path("e/a"));
    let stood = run.target().objects.len();
    wait(&mut run, 20_000);
    assert_eq!(run.target().objects.len(), stood, "nothing is copied");
    run.source().move_root(false);
    ends_equal(run);
}

/// A live run that waits for its root says so again and again, and says when it is back.
#[test]
fn rule_1_5_lost_root_is_told_now_and_then() {
    let mut run = run();
    file(&mut run, "a", 5);
    until_settled(&mut run);
    run.source().replace_root();
    wait(&mut run, 20 * 60_000);
    assert_eq!(run.told(ReportKind::RootChanged), 4, "once in five minutes");
    assert_eq!(run.told(ReportKind::RootBack), 0);
    run.source().move_root(false);
    assert!(run.until(|run| run.told(ReportKind::RootBack) == 1));
    assert_eq!(run.core().progress().root_lost, None);
    ends_equal(run);
}

/// Without a stream, and at the start of any run, another root ends it.
#[test]
fn rule_1_5_another_root_at_the_start() {
    for live in [false, true] {
        let mut run = still(Options { live, ..Options::still() });
        file(&mut run, "a", 5);
        assert!(run.until(|run| run.stands(&path("a"))));
        run.source().replace_root();
        run.die();
        assert!(!run.until(|_| false), "it ends");
        assert!(matches!(run.finished(), Some(Finish::GaveUp(failure))
            if failure.side == Side::Source && failure.kind == FailureKind::Missing));
        assert_eq!(run.target().objects.len(), 1, "what stood there stands");
    }
}

/// A look says "open"; the close is handled before its answer is.
#[test]
fn rule_1_6_stale_stat_parks() {
    let mut run = run();
    file(&mut run, "a", 5);
    until_settled(&mut run);
    assert!(run.source().append(&path("a")));
    assert!(run.until_followed());
    let look = held(&mut run, examines("a"));
    answered_late(&mut run, look, 300);
    assert!(run.source().close(&path("a"), 3));
    assert!(run.until_followed());
    until_equal(&mut run, "a");
    let parked = pending(&run, "a").and_then(|entry| entry.parked);
    assert_ne!(parked, Some(Parked::Open));
    ends_equal(run);
}

/// A look says that a directory holds something; before its answer comes, its last child goes.
#[test]
fn rule_1_6_directory_made_pending_under_its_look() {
    let mut run = run();
    file(&mut run, "d/a", 5);
    file(&mut run, "d/b", 5);
    until_settled(&mut run);
    delete(&mut run, "d/b");
    let look = held(&mut run, examines("d"));
    answered_late(&mut run, look, 300);
    delete(&mut run, "d/a");
    assert!(run.until_followed());
    ends_equal(run);
}

/// The directory goes while an upload below it is completed: its rows are removed before the new
/// one is there, and the file itself was never named.
#[test]
fn rule_1_6_completed_below_a_removed_directory() {
    let mut run = still(Options { multipart_bytes: 20, ..Options::still() });
    file(&mut run, "d/y", 5);
    until_settled(&mut run);
    file(&mut run, "d/x", 50);
    let completion = held(&mut run, |effect| matches!(effect, Effect::Complete { .. }));
    delete(&mut run, "d");
    assert!(run.until(|run| !run.stands(&path("d/y"))), "what was there goes");
    wait(&mut run, 500);
    answered_late(&mut run, completion, 1);
    ends_equal(run);
}

/// Numbers of files and blocks, lengths and times come again, for other bytes.
#[test]
fn rule_1_7_other_history() {
    let mut run = run();
    file(&mut run, "d/a", 5);
    until_settled(&mut run);
    let kept = run.source().clone();
    file(&mut run, "d/x", 7);
    until_settled(&mut run);
    let before = run.source().stat(&path("d/x"));
    run.source().restore(&kept);
    file(&mut run, "d/x", 7);
    let identity = |node: Option<whimbrel_core::entry::Node>| match node {
        Some(whimbrel_core::entry::Node::File(file)) => Some(file.identity),
        _ => None,
    };
    assert_eq!(identity(before), identity(run.source().stat(&path("d/x"))), "the trap is set");
    assert_ne!(source_content(&mut run, "d/x"), target_content(&mut run, "d/x"));
    ends_equal(run);
}

/// The process dies when it noted that there is another history and took no position of it yet. No
/// digest proves the older one, since it was taken after a gap, and the source went beyond it.
#[test]
fn rule_1_7_dies_before_it_has_a_position_of_the_other_history() {
    let mut run = run();
    file(&mut run, "a", 5);
    until_settled(&mut run);
    let kept = run.source().clone();
    file(&mut run, "b", 5);
    run.source().purge();
    assert!(run.until(|run| counters(run).gaps > 0), "the gap is noticed");
    until_settled(&mut run);
    run.source().restore(&kept);
    file(&mut run, "early", 5);
    for _ in 0..20 {
        file(&mut run, "c", 5);
    }
    let position = held(&mut run, |effect| matches!(effect, Effect::Position { .. }));
    let noted = |run: &Run| {
        let meta = run.ledger().and_then(|ledger| ledger.meta().ok());
        meta.is_some_and(|meta| meta.history.is_some())
    };
    assert!(run.until(noted), "it is durable");
    drop(position);
    run.die();
    assert_eq!(run.core().progress().as_of, None);
    let listing = held(&mut run, lists(""));
    assert_eq!(run.core().progress().as_of, None, "nothing was looked at yet");
    answered_late(&mut run, listing, 1);
    ends_equal(run);
}

/// A copy waits for a transaction that the restored source may never come to.
#[test]
fn rule_1_7_position_of_another_history() {
    let mut run = run();
    file(&mut run, "a", 5);
    until_settled(&mut run);
    let kept = run.source().clone();
    file(&mut run, "b", 5);
    let put = held(&mut run, copies("b"));
    let poll = held(&mut run, |effect| matches!(effect, Effect::Poll { .. }));
    for _ in 0..20 {
        file(&mut run, "c", 5);
    }
    answered_late(&mut run, put, 1);
    let position = held(&mut run, |effect| matches!(effect, Effect::Position { .. }));
    answered_late(&mut run, position, 1);
    let since = run.now();
    assert!(run.until(|run| run.now().millis_since(since) > 100));
    run.source().restore(&kept);
    answered_late(&mut run, poll, 1);
    ends_equal(run);
}

/// A path that changes all the time is looked at when there is time for it, not once for each
/// event.
#[test]
fn rule_1_8_many_events_of_one_path_are_one_look() {
    let mut run = run();
    file(&mut run, "a", 5);
    until_settled(&mut run);
    assert!(run.source().append(&path("a")));
    assert!(run.source().close(&path("a"), 1));
    let mut look = Some(held(&mut run, examines("a")));
    for _ in 0..50 {
        assert!(run.source().append(&path("a")));
        assert!(run.source().close(&path("a"), 1));
    }
    assert!(run.until_followed());
    let mut looks = 0;
    while let Some(effect) = look {
        looks += 1;
        answered_late(&mut run, effect, 1);
        look = run.catch(examines("a"));
    }
    assert!(looks <= 3, "{looks} looks for 102 events");
    ends_equal(run);
}

/// A new file is empty and open: what matters is its close.
#[test]
fn rule_1_8_new_file_is_looked_at_when_it_is_closed() {
    let mut run = run();
    file(&mut run, "b", 5);
    until_settled(&mut run);
    assert!(run.source().create(&path("a")));
    assert!(run.until_followed());
    let followed = run.now();
    wait(&mut run, 300);
    let entry = pending(&run, "a").expect("it is pending");
    assert_eq!(entry.parked, None, "nobody looked at it while it was open");
    assert!(run.source().close(&path("a"), 5));
    until_equal(&mut run, "a");
    assert!(run.now().millis_since(followed) < 600, "its close was waited for, not a time");
    ends_equal(run);
}

/// The edits between the last look and now are gone.
#[test]
fn rule_8_1_gap_reads_no_unchanged_file() {
    let mut run = run();
    for name in ["d/a", "d/b", "d/c"] {
        file(&mut run, name, 5);
    }
    until_settled(&mut run);
    let before = run.ledger().expect("a ledger").meta().expect("meta").counters.files_copied;
    let poll = held(&mut run, |effect| matches!(effect, Effect::Poll { .. }));
    delete(&mut run, "d/a");
    rename(&mut run, "d/b", "moved");
    file(&mut run, "n", 4);
    run.source().purge();
    answered_late(&mut run, poll, 1);
    until_settled(&mut run);
    let after = run.ledger().expect("a ledger").meta().expect("meta").counters;
    assert_eq!(after.gaps, 1);
    assert_eq!(
        after.files_copied - before,
        1,
        "only the new file is read; the renamed one is copied there"
    );
    ends_equal(run);
}

/// A listing of the scan hid a file, and the engine came to know that it was wrong.
#[test]
fn rule_8_1_everything_is_listed_again_once_a_listing_was_wrong() {
    let mut run = run();
    file(&mut run, "d/a", 5);
    let wrong = run.source().clone();
    file(&mut run, "d/b", 5);
    let listing = held(&mut run, lists("d"));
    run.answered_by(&wrong, listing, 1);
    until_settled(&mut run);
    assert!(!run.stands(&path("d/b")), "nobody knows of it");
    let failure = Failure {
        side: Side::Source,
        kind: FailureKind::Corrupt,
        message: "a listing was wrong".to_owned(),
        remedy: String::new(),
    };
    let report = Report { path: Some(path("d/x")), kind: ReportKind::Image, failure };
    run.say(Input::ListAgain(report));
    assert!(run.until(|run| run.stands(&path("d/b"))), "it is listed now");
    until_settled(&mut run);
    assert_eq!((run.told(ReportKind::Image), counters(&run).gaps), (1, 0));
    assert_eq!(counters(&run).files_copied, 2, "what stands is not read again");
    ends_equal(run);
}

/// More is pending than may be: it is coarsened, nothing is lost, nothing is aborted.
#[test]
fn rule_9_1_overload_coarsens() {
    let mut run = still(Options { pending_max: 8, ..Options::still() });
    file(&mut run, "d/first", 5);
    until_settled(&mut run);
    for number in 0..200 {
        file(&mut run, &format!("d/{number}"), 5);
    }
    assert!(run.until_followed());
    until_settled(&mut run);
    assert!(counters(&run).coarsened > 0, "it was coarsened");
    ends_equal(run);
}

/// More commit markers wait for their groups than may be pending: joined with their directories
/// they would be met by each pass, and wait again.
#[test]
fn rule_9_1_waiting_commit_markers_are_not_coarsened() {
    let mut run = still(Options { pending_max: 4, page_entries: 1, ..Options::still() });
    for number in 0..24 {
        file(&mut run, &format!("d/{number}/a"), 5);
        file(&mut run, &format!("d/{number}/_SUCCESS"), 5);
    }
    until_settled(&mut run);
    assert!(counters(&run).coarsened < 100, "{:?}", counters(&run));
    ends_equal(run);
}

/// More commit markers wait than may be worked on, and what they wait for was marked after all of
/// them: it has its turn all the same.
#[test]
fn rule_7_1_waiting_commit_markers_leave_room() {
    let mut run = still(Options { poll_batches_max: 1_000, ..Options::still() });
    file(&mut run, "first", 5);
    until_settled(&mut run);
    let poll = held(&mut run, polls);
    let groups: Vec<String> = (0..40).map(|number| format!("d/{number}")).collect();
    for group in &groups {
        file(&mut run, &format!("{group}/a"), 5);
        file(&mut run, &format!("{group}/_SUCCESS"), 5);
    }
    for group in &groups {
        assert!(run.source().change_mode(&path(&format!("{group}/a")), 0o600));
    }
    answered_late(&mut run, poll, 1);
    ends_equal(run);
}

/// Commit markers wait for removals of which the end is not known, and leave no room for anything
/// else. What is pending to find that end out is more than may be, and a pass would meet nothing
/// there that changed.
#[test]
fn rule_9_1_doubtful_attempts_are_not_coarsened() {
    let mut run = still(Options { pending_max: 2, ..Options::still() });
    let groups: Vec<String> = (0..20).map(|number| format!("d/{number}")).collect();
    let write = |run: &mut Run| {
        for group in &groups {
            file(run, &format!("{group}/a"), 5);
            file(run, &format!("{group}/_SUCCESS"), 5);
        }
    };
    for number in 0..60 {
        file(&mut run, &format!("other/{number}"), 5);
    }
    write(&mut run);
    until_settled(&mut run);
    for group in &groups {
        delete(&mut run, &format!("{group}/_SUCCESS"));
        delete(&mut run, &format!("{group}/a"));
    }
    let of_file = |effect: &Effect| {
        matches!(effect, Effect::Remove { items, .. }
            if items.iter().any(|item| item.path.name() == b"a".as_slice()))
    };
    for _ in &groups {
        let removal = held(&mut run, of_file);
        run.release(removal, Way::Unheard(1));
    }
    let begun = run.now();
    write(&mut run);
    assert!(run.until(|run| run.core().progress().doubts == 0), "their ends are found out");
    let took_millis = run.now().millis_since(begun);
    assert!(took_millis < 15_000, "after {took_millis} ms");
    ends_equal(run);
}

/// However much there is to do, no more is asked of both sides at a time than was allowed.
#[test]
fn rule_9_2_work_in_flight_stays_within_its_budget() {
    let mut run = run();
    for number in 0..120 {
        file(&mut run, &format!("d{}/{number}", number % 8), 5);
    }
    let most = Cell::new((0, 0));
    let settled = run.until(|run| {
        let progress = run.core().progress();
        let (copies, passes) = most.get();
        most.set((copies.max(progress.copies), passes.max(progress.passes)));
        progress.as_of.is_some() && progress.claims == 0
    });
    assert!(settled);
    assert_eq!(most.get(), (4, 3), "copies and directories at a time");
    ends_equal(run);
}

/// A prefix that is asked more than it can take is asked for less, the others are not; and when it
/// is quiet it is as fast again as before.
#[test]
fn rule_9_2_a_busy_prefix_is_asked_for_less_and_recovers() {
    let mut run = still(Options {
        target_capacity: Some(10),
        quiet_millis: 120_000,
        page_entries: 100,
        ..Options::still()
    });
    for number in 0..60 {
        file(&mut run, &format!("hot/{number}"), 5);
    }
    file(&mut run, "cool/1", 5);
    let prefix = |name: &'static str| Paced::Prefix(Bytes::from_static(name.as_bytes()));
    assert!(run.until(|run| run.pace(&prefix("hot")).is_some()));
    assert!(run.until(|run| {
        let others = [prefix("cool"), Paced::TargetRequests, Paced::SourceCalls];
        assert!(others.iter().all(|what| run.pace(what).is_none()), "nobody else is slower");
        run.pace(&prefix("hot")).is_some_and(|per_second| per_second <= 10)
    }));
    until_settled(&mut run);
    let settled = run.now();
    assert!(run.until(|run| run.pace(&prefix("hot")).is_none()), "it recovers");
    assert!(run.now().millis_since(settled) < 60_000);
    ends_equal(run);
}

/// What a person allows holds from the moment on, and so does what is allowed again.
#[test]
fn rule_9_2_limits_of_a_person_hold_from_now_on() {
    let ceilings = Ceilings { target_requests: Some(5), ..Ceilings::default() };
    let mut run = still(Options { ceilings, page_entries: 100, ..Options::still() });
    let time_of_ten = |run: &mut Run, name: &str| {
        let begun = run.now();
        for number in 0..10 {
            file(run, &format!("{name}/{number}"), 5);
        }
        until_settled(run);
        run.now().millis_since(begun)
    };
    let slow = time_of_ten(&mut run, "a");
    assert!((1_800..4_000).contains(&slow), "{slow} ms for 10 files at 5/s");
    run.limit(Ceilings::default());
    let free = time_of_ten(&mut run, "b");
    assert!(free < 1_000, "{free} ms for 10 files");
    run.limit(ceilings);
    assert!(time_of_ten(&mut run, "c") >= 1_800);
    ends_equal(run);
}

/// A timetable is followed although nothing else happens; it can be changed under way, and so can
/// the clock.
#[test]
fn rule_9_2_a_timetable_turns_by_itself() {
    // The history begins on a Thursday, 20 seconds before 00:17.
    let from_minute = 3 * 24 * 60 + 17;
    let minute = Period { from_minute, to_minute: from_minute + 1, bytes_per_second: Some(10) };
    let timetable = Timetable::new(vec![minute], Some(1_000)).ok();
    let mut run =
        still(Options { timetable: timetable.clone(), quiet_millis: 600_000, ..Options::still() });
    let at = |run: &mut Run, seconds: u64| {
        let then = BEGIN.plus_millis(seconds * 1_000);
        assert!(run.until(|run| run.now() >= then));
        run.pace(&Paced::Bandwidth)
    };
    assert_eq!(at(&mut run, 19), Some(1_000));
    assert_eq!(at(&mut run, 21), Some(10));
    let begun = run.now();
    for number in 0..10 {
        file(&mut run, &format!("a/{number}"), 5);
    }
    until_settled(&mut run);
    let took = run.now().millis_since(begun);
    assert!((4_500..7_000).contains(&took), "{took} ms for 50 bytes at 10/s");
    run.limit(Ceilings { bandwidth_bytes: Some(5), ..Ceilings::default() });
    assert_eq!(at(&mut run, 79), Some(10), "of bytes the timetable speaks");
    assert_eq!(at(&mut run, 81), Some(1_000));
    run.set_clock(LocalTime::new(-60_000, vec![(Time(BEGIN.0 + 100_000), 0)]));
    assert_eq!(at(&mut run, 85), Some(10), "a minute earlier once more");
    assert_eq!(at(&mut run, 101), Some(1_000));
    run.limit_by(None);
    run.limit(Ceilings::default());
    assert_eq!(at(&mut run, 102), None);
    run.limit_by(timetable);
    assert_eq!(at(&mut run, 103), Some(1_000));
    ends_equal(run);
}

/// More directories than may be pending, and changes that never stop: what the scan came to is not
/// taken back, or it would begin anew for ever.
#[test]
fn rule_9_1_scan_ends_under_overload() {
    let mut run =
        still(Options { pending_max: 4, page_entries: 100, latency_max: 60, ..Options::still() });
    let scanned: Vec<RelPath> = (0..60).map(|number| path(&format!("d{number}/file"))).collect();
    for at in &scanned {
        file(&mut run, &at.to_string(), 5);
    }
    let mut rounds = 0;
    while !scanned.iter().all(|at| run.stands(at)) {
        for number in 0..3 {
            file(&mut run, &format!("d{}/changing", (rounds * 3 + number) % 60), 5);
        }
        let begun = run.now();
        assert!(run.until(|run| run.now().millis_since(begun) > 50));
        rounds += 1;
        assert!(rounds < 1_000, "the scan ends while changes go on");
    }
    let counters = run.ledger().expect("a ledger").meta().expect("meta").counters;
    assert!(counters.coarsened > 0, "it was coarsened");
    ends_equal(run);
}

/// What a pass that ended early had begun comes to its end while a later pass goes through the same
/// directory: it says nothing of that one's pages (seed 434082).
#[test]
fn rule_1_3_pass_is_not_over_by_the_work_of_an_earlier_one() {
    let mut run = still(Options { page_entries: 1, ..Options::still() });
    for name in ["d/a", "d/b", "d/c"] {
        file(&mut run, name, 5);
    }
    let copy = held(&mut run, copies("d/b"));
    let list = held(&mut run, lists("d"));
    run.answer_unavailable(list);
    let again = held(&mut run, lists("d"));
    answered_late(&mut run, again, 1);
    let last = held(&mut run, lists("d"));
    run.say(Input::Stop);
    answered_late(&mut run, last, 1);
    wait(&mut run, 10);
    answered_late(&mut run, copy, 1);
    // It stops, and is begun again.
    ends_equal(run);
}
