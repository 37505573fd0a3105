//! Sections 10 and 11: what is claimed, and metadata.

use std::collections::BTreeSet;

use whimbrel_core::effect::{Effect, Finish, ReportKind};
use whimbrel_core::number::TxId;
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Parked, Pending};
use whimbrel_sim::options::Options;
use whimbrel_sim::{Run, Way};

use crate::stage::*;

/// No rights at one place of the target: its path is set aside, and the target is not lost for it.
#[test]
fn a_place_without_rights_is_set_aside_alone() {
    let mut run = still(Options { live: false, ..Options::still() });
    file(&mut run, "a", 5);
    file(&mut run, "b", 5);
    for _ in 0..4 {
        let copy = held(&mut run, copies("a"));
        run.release(copy, Way::Forbids);
    }
    assert_eq!(run.end(), Ok(Finish::Done));
    assert_eq!(pending(&run, "a").and_then(|entry| entry.parked), Some(Parked::Failed));
    assert!(target_content(&mut run, "b").is_some());
    let told: Vec<ReportKind> = run.reports().iter().map(|report| report.kind).collect();
    assert_eq!(told, [ReportKind::Failed]);
}

/// A change is applied, and its copy is under way: nothing from it on is claimed.
#[test]
fn rule_10_1_as_of_stays_behind_what_is_pending() {
    let mut run = run();
    file(&mut run, "a", 5);
    until_settled(&mut run);
    file(&mut run, "a", 6);
    let changed = run.source().txid;
    let put = held(&mut run, copies("a"));
    let claimed = run.core().progress().as_of;
    assert!(claimed.is_some_and(|claimed| claimed < changed), "{claimed:?} < {changed:?}");
    answered_late(&mut run, put, 1);
    until_settled(&mut run);
    assert!(run.until(|run| run.core().progress().as_of >= Some(changed)), "then it is claimed");
    ends_equal(run);
}

/// The source was restored: what was followed before says nothing about it.
#[test]
fn rule_10_1_nothing_is_claimed_of_another_history() {
    let mut run = run();
    file(&mut run, "a", 5);
    until_settled(&mut run);
    let kept = run.source().clone();
    file(&mut run, "b", 5);
    until_settled(&mut run);
    run.source().restore(&kept);
    let position = held(&mut run, |effect| matches!(effect, Effect::Position { .. }));
    assert_eq!(run.core().progress().as_of, None);
    answered_late(&mut run, position, 1);
    let listing = held(&mut run, lists(""));
    assert_eq!(run.core().progress().as_of, None, "nothing was looked at yet");
    answered_late(&mut run, listing, 1);
    ends_equal(run);
}

/// The stream was followed, but its marks are not durable yet.
#[test]
fn rule_10_1_as_of_waits_for_durable_marks() {
    let mut run = run();
    file(&mut run, "a", 5);
    until_settled(&mut run);
    file(&mut run, "a", 6);
    let changed = run.source().txid;
    let batch = held(&mut run, |effect| {
        matches!(effect, Effect::Persist { changes, .. } if changes.iter().any(|change| {
            matches!(change, whimbrel_core::record::Change::Position { txid, .. }
                if *txid >= changed)
        }))
    });
    assert!(run.core().progress().applied >= Some(changed));
    let claimed = run.core().progress().as_of;
    assert!(claimed < Some(changed), "{claimed:?} is claimed before anything is durable");
    answered_late(&mut run, batch, 1);
    ends_equal(run);
}

/// Nothing is claimed while the scan is under way.
#[test]
fn rule_10_1_nothing_is_claimed_in_the_scan() {
    let mut run = run();
    file(&mut run, "d/a", 5);
    let listing = held(&mut run, lists("d"));
    assert_eq!(run.core().progress().as_of, None::<TxId>);
    answered_late(&mut run, listing, 1);
    ends_equal(run);
}

/// A source that is slow to write shows what its log does not tell at the end of one look.
#[test]
fn rule_10_2_followed_is_what_was_there_an_end_before() {
    let mut run = run();
    file(&mut run, "a", 5);
    until_settled(&mut run);
    let first = held(&mut run, polls);
    let asked = run.now();
    answered_late(&mut run, first, 1);
    let second = held(&mut run, polls);
    let before = run.core().progress().followed;
    assert!(before < Some(asked), "{before:?} after the first look");
    answered_late(&mut run, second, 1);
    let third = held(&mut run, polls);
    let followed = run.core().progress().followed;
    assert!(followed > before && followed <= Some(asked), "{followed:?} after the second look");
    answered_late(&mut run, third, 1);
    let fourth = held(&mut run, polls);
    let followed = run.core().progress().followed;
    assert!(followed > Some(asked), "{followed:?} after the third look");
    answered_late(&mut run, fourth, 1);
    ends_equal(run);
}

/// As long as the target has what went at the source, the ledger says that it is worked on: also
/// while the guard judges it.
#[test]
fn rule_10_2_what_is_behind_is_told_as_worked_on() {
    let mut run = run();
    file(&mut run, "d/a", 5);
    file(&mut run, "d/b", 5);
    until_settled(&mut run);
    delete(&mut run, "d");
    let gone = path("d/a");
    let worked_on = |run: &Run| {
        let story = run.ledger().expect("a ledger").story(&gone).expect("it can be read");
        let active = |entry: &Pending| entry.parked.is_none_or(Parked::in_a_moment);
        let entries = [&story.pending, &story.pending_above];
        !story.attempts.is_empty() || entries.into_iter().flatten().any(active)
    };
    assert!(run.until(worked_on), "the removal is marked");
    let went = run.until(|run| {
        assert!(worked_on(run) || !run.stands(&gone), "it is behind, and nothing tells");
        !run.stands(&gone)
    });
    assert!(went, "it goes");
    ends_equal(run);
}

/// What is claimed of a transaction while the tree moves all the time is true of every path that
/// did not move since, and it keeps up.
#[test]
fn rule_10_2_claims_hold_while_the_tree_moves() {
    let mut run = run();
    for name in ["d/a", "d/b", "e/a", "e/b", "f"] {
        file(&mut run, name, 5);
    }
    until_settled(&mut run);
    let mut claimed = BTreeSet::new();
    for round in 0_usize..120 {
        let name = ["d/a", "d/b", "e/a", "e/b", "f"][round % 5];
        match round % 6 {
            0 | 3 => {
                run.source().rewrite_same_size(&path(name));
            }
            1 => {
                run.source().delete(&path(name));
            }
            2 => {
                run.source().rename(&path("d"), &path("g"), false);
            }
            4 => {
                run.source().rename(&path("g"), &path("d"), false);
            }
            _ => file(&mut run, name, 5),
        }
        let begun = run.now();
        assert!(run.until(|run| {
            assert_eq!(run.false_claim(), None);
            run.now().millis_since(begun) > 60
        }));
        claimed.extend(run.core().progress().as_of);
    }
    assert!(claimed.len() > 10, "it keeps up: {claimed:?}");
    until_settled(&mut run);
    assert_eq!(run.core().progress().as_of, Some(run.source().txid));
    ends_equal(run);
}

/// A source that does not answer is not a quiet one.
#[test]
fn rule_10_3_dead_source_is_not_quiet() {
    let mut run = run();
    file(&mut run, "a", 5);
    until_settled(&mut run);
    let poll = held(&mut run, |effect| matches!(effect, Effect::Poll { .. }));
    file(&mut run, "b", 5);
    run.answer_unavailable(poll);
    let begun = run.now();
    let mut lost = 0;
    while run.now().millis_since(begun) < 10_000 {
        let poll = held(&mut run, |effect| matches!(effect, Effect::Poll { .. }));
        run.answer_unavailable(poll);
        lost += 1;
    }
    assert!(lost > 1);
    ends_equal(run);
}

/// What no event tells of is looked for when the time is over: the look that decides is asked for
/// then, and what it tells begins the time anew.
#[test]
fn rule_10_3_what_decides_is_asked_for_when_the_time_is_over() {
    let mut run = still(Options { quiet_millis: 3_000, ..Options::still() });
    file(&mut run, "a", 5);
    let decides = |effect: &Effect| matches!(effect, Effect::Poll { quiet_since: Some(_), .. });
    for name in ["b", "c"] {
        let changed = run.now();
        let poll = held(&mut run, decides);
        assert!(run.now().millis_since(changed) >= 3_000, "{name}");
        file(&mut run, name, 5);
        run.release(poll, Way::Heard(1));
    }
    ends_equal(run);
}

/// A write without a known end keeps the run from ending.
#[test]
fn rule_10_3_waits_for_doubtful_attempts() {
    let mut run = run();
    file(&mut run, "a", 5);
    let put = held(&mut run, copies("a"));
    let sent = run.now();
    run.release(put, Way::Unheard(4_000));
    run.end().expect("an end");
    assert!(run.now().millis_since(sent) > 4_000, "it might have landed until then");
    assert_eq!(run.difference(), None);
}

/// A change of metadata alone moves no bytes.
#[test]
fn rule_11_1_metadata_alone() {
    let mut run = still(Options { multipart_bytes: 1, ..Options::still() });
    file(&mut run, "a", 50);
    until_settled(&mut run);
    assert!(run.source().change_mode(&path("a"), 0o600));
    let copy = held(&mut run, relocates("a"));
    answered_late(&mut run, copy, 1);
    until_settled(&mut run);
    let counters = run.ledger().expect("a ledger").meta().expect("meta").counters;
    assert_eq!((counters.files_copied, counters.metadata_updated), (1, 1));
    ends_equal(run);
}

/// Changes of metadata have their turn while other changes never stop.
#[test]
fn rule_11_1_metadata_comes_while_changes_go_on() {
    let mut run = still(Options { latency_max: 60, ..Options::still() });
    file(&mut run, "a", 50);
    until_settled(&mut run);
    let mut rounds = 0;
    while run.target().objects.get(&path("a")).is_none_or(|object| object.carried.mode != 0o600) {
        for number in 0..40 {
            file(&mut run, &format!("d/{number}"), 5);
        }
        wait(&mut run, 50);
        rounds += 1;
        if rounds == 5 {
            assert!(run.source().change_mode(&path("a"), 0o600));
        }
        assert!(rounds < 200, "it comes while changes go on");
    }
    ends_equal(run);
}

/// The mode changes between two tries of an upload: what was begun carries the old one, and it is
/// written anew without a byte being read again.
#[test]
fn rule_11_1_upload_begun_before_a_change_of_metadata() {
    let mut run = still(Options { multipart_bytes: 1, ..Options::still() });
    file(&mut run, "a", 50);
    let upload = held(&mut run, copies("a"));
    answered_late(&mut run, upload, 1_000);
    wait(&mut run, 100);
    run.die();
    assert!(run.source().change_mode(&path("a"), 0o600));
    let again = held(&mut run, copies("a"));
    assert!(matches!(&again, Effect::Copy(job) if job.resume.is_some()), "it is gone on with");
    answered_late(&mut run, again, 1);
    until_settled(&mut run);
    let counters = counters(&run);
    assert_eq!((counters.files_copied, counters.metadata_updated), (1, 1));
    ends_equal(run);
}

/// The paths of which it was told that the ledger alone has their newest metadata.
fn told_ledger_only(run: &Run) -> Vec<RelPath> {
    let of_kind = run.reports().iter().filter(|report| report.kind == ReportKind::LedgerOnly);
    of_kind.filter_map(|report| report.path.clone()).collect()
}

/// A file too large to be copied onto itself gets another mode, twice, and a restart between: that
/// is told once and counted, the ledger has the newest, and the bytes are equal all the same. The
/// copy of its next state carries everything.
#[test]
fn rule_11_1_ledger_alone_has_what_is_too_large_to_be_written_anew() {
    let mut run = still(Options { copy_bytes_max: 10, ..Options::still() });
    file(&mut run, "large", 11);
    file(&mut run, "small", 10);
    until_settled(&mut run);
    for (mode, restarts) in [(0o600, true), (0o640, false)] {
        assert!(run.source().change_mode(&path("large"), mode));
        assert!(run.source().change_mode(&path("small"), mode));
        until_settled(&mut run);
        let row = run.ledger().expect("a ledger").row(&path("large")).expect("it can be read");
        let row = row.expect("a row");
        assert_eq!((row.metadata.mode, row.ledger_only), (mode, true));
        assert_eq!(run.core().progress().pending.ledger_only, 1);
        if restarts {
            run.die();
        }
    }
    assert_eq!(told_ledger_only(&run), [path("large")], "told once");
    assert_eq!((counters(&run).files_copied, counters(&run).metadata_updated), (2, 2));
    assert!(run.difference().is_some_and(|difference| difference.contains("large has mode")));
    assert!(run.source().append(&path("large")) && run.source().close(&path("large"), 13));
    until_equal(&mut run, "large");
    until_settled(&mut run);
    assert_eq!(run.core().progress().pending.ledger_only, 0);
    ends_equal(run);
}

/// An upload that an earlier run began, of a file too large to be copied onto itself: what it
/// carries nobody remembers, and that is told.
#[test]
fn rule_11_1_large_upload_gone_on_with_is_told() {
    let options = Options { multipart_bytes: 1, copy_bytes_max: 10, ..Options::still() };
    let mut run = still(options);
    file(&mut run, "a", 50);
    let upload = held(&mut run, copies("a"));
    answered_late(&mut run, upload, 1_000);
    wait(&mut run, 100);
    run.die();
    assert!(run.source().change_mode(&path("a"), 0o600));
    let again = held(&mut run, copies("a"));
    assert!(matches!(&again, Effect::Copy(job) if job.resume.is_some()), "it is gone on with");
    answered_late(&mut run, again, 1);
    until_settled(&mut run);
    assert_eq!(told_ledger_only(&run), [path("a")]);
    assert_eq!(run.core().progress().pending.ledger_only, 1);
    assert_eq!(run.end(), Ok(Finish::Done));
}

/// An ACL that no object can hold: a digest stands there, and the ledger has the whole, also of
/// the one that differs from it near the end only.
#[test]
fn rule_11_2_ledger_keeps_what_no_object_holds() {
    let mut run = run();
    file(&mut run, "a", 5);
    let mut digests = BTreeSet::new();
    for last in ["user:one:r--", "user:two:rwx"] {
        let named = "user:somebody:rw-,".repeat(200) + last;
        let acl = format!("user::rw-,{named},group::r--,mask::rwx,other::r--");
        assert!(run.source().set_acl(&path("a"), &acl));
        until_settled(&mut run);
        let row = run.ledger().expect("a ledger").row(&path("a")).expect("it can be read");
        assert_eq!(row.and_then(|row| row.metadata.acl), Some(acl));
        let held = run.target().objects[&path("a")].carried.acl.clone().expect("something");
        assert!(held.len() < 100, "{held}");
        digests.insert(held);
    }
    assert_eq!(digests.len(), 2, "the object tells that it changed");
    assert_eq!(counters(&run).files_copied, 1, "no byte was read again");
    ends_equal(run);
}

fn kept_mode(run: &Run, at: &str) -> Option<u32> {
    let story = run.ledger().expect("a ledger").story(&path(at)).expect("it can be read");
    story.directory.map(|directory| directory.metadata.mode)
}

/// Directories without a marker: the ledger has their metadata from the listing, follows what the
/// stream tells of it, and keeps it over a rename and until they are gone. No request to the target
/// comes of it.
#[test]
fn rule_11_2_ledger_keeps_what_directories_carry() {
    let mut run = run();
    file(&mut run, "d/e/a", 5);
    file(&mut run, "d/b", 5);
    assert!(run.source().change_mode(&path("d/e"), 0o1777));
    until_settled(&mut run);
    assert_eq!((kept_mode(&run, "d"), kept_mode(&run, "d/e")), (Some(0o755), Some(0o1777)));
    assert!(run.source().change_mode(&path("d"), 0o700));
    until_settled(&mut run);
    assert_eq!(kept_mode(&run, "d"), Some(0o700));
    assert!(!run.stands(&path("d/")), "it needs no marker");
    rename(&mut run, "d", "f");
    until_settled(&mut run);
    assert_eq!((kept_mode(&run, "f"), kept_mode(&run, "f/e")), (Some(0o700), Some(0o1777)));
    assert_eq!((kept_mode(&run, "d"), kept_mode(&run, "d/e")), (None, None));
    delete(&mut run, "f/e");
    until_settled(&mut run);
    assert_eq!((kept_mode(&run, "f"), kept_mode(&run, "f/e")), (Some(0o700), None));
    let counters = counters(&run);
    assert_eq!((counters.files_copied, counters.markers_written), (2, 0));
    ends_equal(run);
}

/// Without a stream the next run finds what became of directories: another mode, gone, or a file
/// in their place, also where nothing of ours stood below.
#[test]
fn rule_11_2_listing_finds_what_became_of_directories() {
    let mut run = still(Options { live: false, ..Options::still() });
    file(&mut run, "kept/a", 5);
    for directory in ["gone", "file"] {
        assert!(run.source().make_directory(&path(directory)));
    }
    assert_eq!(run.end(), Ok(Finish::Done));
    assert_eq!(kept_mode(&run, "gone"), Some(0o755));
    assert!(run.source().change_mode(&path("kept"), 0o700));
    delete(&mut run, "gone");
    delete(&mut run, "file");
    file(&mut run, "file", 3);
    run.begin_again();
    assert_eq!(run.end(), Ok(Finish::Done));
    assert_eq!((kept_mode(&run, "kept"), kept_mode(&run, "gone")), (Some(0o700), None));
    assert_eq!(run.difference(), None);
}

/// A source that went away in the middle of a look at its stream left the lag at 0, and nothing was
/// said of it, for as long as its connection lasted.
#[test]
fn rule_10_1_lag_grows_while_the_stream_is_not_heard_of() {
    let mut run = run();
    file(&mut run, "a", 5);
    until_settled(&mut run);
    let poll = held(&mut run, polls);
    let asked = run.now();
    assert!(run.until(|run| run.core().progress().source_lost.is_some()), "it is noticed");
    let noticed = run.now().millis_since(asked);
    assert!((5_000..=10_000).contains(&noticed), "after {noticed} ms");
    let progress = run.core().progress();
    let behind = progress.behind_since.map(|since| run.now().millis_since(since));
    assert!(behind >= Some(noticed), "{behind:?} ms behind");
    answered_late(&mut run, poll, 1);
    assert!(run.until(|run| run.core().progress().source_lost.is_none()), "it is back");
    assert!(run.until(|run| run.core().progress().behind_since.is_none()), "it catches up");
    ends_equal(run);
}
