//! Section 7: commit markers.

use whimbrel_core::config::Extras;
use whimbrel_core::effect::{Effect, Removable};
use whimbrel_core::record::Lane;
use whimbrel_sim::Way;
use whimbrel_sim::options::Options;

use crate::stage::*;

fn job(run: &mut whimbrel_sim::Run) {
    for name in ["out/part-0", "out/part-1", "out/part-2", "out/_SUCCESS"] {
        file(run, name, 5);
    }
}

fn again(run: &mut whimbrel_sim::Run) {
    delete(run, "out/_SUCCESS");
    job(run);
}

/// What the sign speaks for is there.
fn files_stand(run: &mut whimbrel_sim::Run) {
    for name in ["out/part-0", "out/part-1", "out/part-2"] {
        assert_eq!(target_content(run, name), source_content(run, name));
    }
}

fn puts(effect: &Effect) -> Option<whimbrel_core::path::RelPath> {
    match effect {
        Effect::Copy(job) => Some(job.path.clone()),
        _ => None,
    }
}

/// The sign that a job succeeded comes after everything that it speaks for.
#[test]
fn rule_7_1_success_comes_last_in_the_scan() {
    let mut run = still(Options { page_entries: 1, ..Options::still() });
    job(&mut run);
    let put = held(&mut run, copies("out/_SUCCESS"));
    files_stand(&mut run);
    answered_late(&mut run, put, 1);
    ends_equal(run);
}

/// The job runs again: the old sign goes before the first of its new files comes.
#[test]
fn rule_7_1_stale_success_goes_first() {
    let mut run = run();
    job(&mut run);
    until_settled(&mut run);
    again(&mut run);
    assert!(run.until_followed());
    let first = held(&mut run, |effect| puts(effect).is_some());
    assert_eq!(target_content(&mut run, "out/_SUCCESS"), None, "before {:?}", puts(&first));
    answered_late(&mut run, first, 1);
    let put = held(&mut run, copies("out/_SUCCESS"));
    files_stand(&mut run);
    answered_late(&mut run, put, 1);
    ends_equal(run);
}

/// The job's directory is removed and made anew while a pass goes through it: its files are worked
/// on for themselves then, and the old sign still goes before them.
#[test]
fn rule_7_1_stale_success_of_a_directory_being_gone_through() {
    let mut run = run();
    job(&mut run);
    until_settled(&mut run);
    delete(&mut run, "out");
    job(&mut run);
    let list = held(&mut run, lists("out"));
    delete(&mut run, "out");
    file(&mut run, "out/part-0", 6);
    if let Some(put) = run.catch_while_holding(list, 2_000, |effect| puts(effect).is_some()) {
        assert_eq!(target_content(&mut run, "out/_SUCCESS"), None, "before {:?}", puts(&put));
        answered_late(&mut run, put, 1);
    }
    file(&mut run, "out/_SUCCESS", 1);
    ends_equal(run);
}

/// The sign speaks for what lies deeper too: it goes before that changes.
#[test]
fn rule_7_1_stale_success_goes_before_deeper_files() {
    let mut run = run();
    file(&mut run, "out/day/part-0", 5);
    file(&mut run, "out/_SUCCESS", 1);
    until_settled(&mut run);
    delete(&mut run, "out/_SUCCESS");
    let look = held(&mut run, examines("out/_SUCCESS"));
    file(&mut run, "out/day/part-0", 6);
    let put = run.catch_while_holding(look, 500, copies("out/day/part-0"));
    assert!(put.is_none(), "the old sign stands yet");
    file(&mut run, "out/_SUCCESS", 1);
    ends_equal(run);
}

/// A repair goes through a directory when the sign above it becomes stale: the listing shows new
/// files that the stream did not tell of yet, and the old sign goes before them.
#[test]
fn rule_7_1_stale_success_above_a_directory_being_gone_through() {
    let mut run = run();
    file(&mut run, "out/day/part-0", 5);
    file(&mut run, "out/_SUCCESS", 1);
    until_settled(&mut run);
    let poll = held(&mut run, |effect| matches!(effect, Effect::Poll { .. }));
    file(&mut run, "other", 4);
    run.source().purge();
    answered_late(&mut run, poll, 1);
    let list = held(&mut run, lists("out/day"));
    delete(&mut run, "out/_SUCCESS");
    let look = held(&mut run, examines("out/_SUCCESS"));
    let poll = held(&mut run, |effect| matches!(effect, Effect::Poll { .. }));
    file(&mut run, "out/day/part-0", 6);
    answered_late(&mut run, list, 1);
    let put = run.catch_while_holding(look, 500, copies("out/day/part-0"));
    assert!(put.is_none(), "the old sign stands yet");
    answered_late(&mut run, poll, 1);
    file(&mut run, "out/_SUCCESS", 1);
    ends_equal(run);
}

/// The new sign is read before the events of the new files are followed: it waits for them.
#[test]
fn rule_7_1_success_newer_than_the_stream() {
    let mut run = run();
    job(&mut run);
    until_settled(&mut run);
    let poll = held(&mut run, |effect| matches!(effect, Effect::Poll { .. }));
    delete(&mut run, "out/_SUCCESS");
    file(&mut run, "out/_SUCCESS", 1);
    answered_late(&mut run, poll, 1);
    let look = held(&mut run, examines("out/_SUCCESS"));
    let poll = held(&mut run, |effect| matches!(effect, Effect::Poll { .. }));
    again(&mut run);
    answered_late(&mut run, look, 1);
    let put = run.catch_while_holding(poll, 2_000, copies("out/_SUCCESS"));
    assert!(put.is_none(), "the sign would be visible before its files");
    ends_equal(run);
}

/// A neighbour that never stops changing does not keep the sign away for ever.
#[test]
fn rule_7_1_under_unbroken_churn() {
    let mut run = run();
    job(&mut run);
    let mut rounds = 0;
    let success = path("out/_SUCCESS");
    while !run.stands(&success) {
        file(&mut run, "out/churning", 5);
        let begun = run.now();
        assert!(run.until(|run| run.now().millis_since(begun) > 20));
        rounds += 1;
        assert!(rounds < 2_000, "the sign comes while the churn goes on");
    }
    assert!(rounds > 1);
    ends_equal(run);
}

/// The job ends while the scan lists what is above it: its directory is a part of the scan then,
/// and the sign does not wait until the scan comes to its turn.
#[test]
fn rule_7_1_success_has_its_directory_scanned_early() {
    let mut run = still(Options { page_entries: 100, ..Options::still() });
    let others: Vec<String> = (0..60).map(|number| format!("z{number}/file")).collect();
    for other in &others {
        file(&mut run, other, 5);
    }
    let list = held(&mut run, lists(""));
    job(&mut run);
    let sign = path("out/_SUCCESS");
    let asked = |effect: &Effect| matches!(effect, Effect::Group { path, .. } if *path == sign);
    let ask = run.catch_while_holding(list, 5_000, asked).expect("the sign is looked at");
    answered_late(&mut run, ask, 1);
    assert!(run.until(|run| run.stands(&sign)));
    files_stand(&mut run);
    let scanned = others.iter().filter(|other| run.stands(&path(other))).count();
    assert!(scanned < others.len() / 2, "{scanned} of {} came before it", others.len());
    ends_equal(run);
}

/// The job's directory waits for its turn in the scan when the sign comes: the sign is no part of
/// that, and has its directory hastened.
#[test]
fn rule_7_1_success_does_not_join_the_backlog() {
    let mut run = still(Options { page_entries: 100, ..Options::still() });
    let others: Vec<String> = (0..60).map(|number| format!("z{number}/file")).collect();
    for other in &others {
        file(&mut run, other, 5);
    }
    let list = held(&mut run, lists(""));
    file(&mut run, "out/part-0", 5);
    let poll = run.catch_while_holding(list, 5_000, polls).expect("the stream is followed");
    let waits = |run: &whimbrel_sim::Run| pending(run, "out").is_some_and(|it| it.begun.is_none());
    assert!(run.until(waits), "the directory is a part of the scan");
    job(&mut run);
    answered_late(&mut run, poll, 1);
    let sign = path("out/_SUCCESS");
    assert!(run.until(|run| run.stands(&sign)));
    files_stand(&mut run);
    let scanned = others.iter().filter(|other| run.stands(&path(other))).count();
    assert!(scanned < others.len() / 2, "{scanned} of {} came before it", others.len());
    ends_equal(run);
}

/// A look at a file shows what the job wrote anew before any event told of it: the old sign goes
/// first all the same.
#[test]
fn rule_7_1_stale_success_goes_before_what_a_look_shows_early() {
    let mut run = run();
    job(&mut run);
    until_settled(&mut run);
    run.source().rewrite_same_size(&path("out/part-0"));
    let look = held(&mut run, examines("out/part-0"));
    let poll = held(&mut run, polls);
    again(&mut run);
    answered_late(&mut run, look, 1);
    let put = run.catch_while_holding(poll, 5_000, copies("out/part-0"));
    if let Some(put) = put {
        assert_eq!(target_content(&mut run, "out/_SUCCESS"), None, "before {:?}", puts(&put));
        answered_late(&mut run, put, 1);
    }
    ends_equal(run);
}

/// The old sign comes to stand while a file of the new job is being handed out, joined with what
/// stood before.
#[test]
fn rule_7_1_success_arrives_while_work_is_handed_out() {
    let mut run = run();
    job(&mut run);
    let put = held(&mut run, copies("out/_SUCCESS"));
    again(&mut run);
    answered_late(&mut run, put, 1);
    let position = held(&mut run, |effect| matches!(effect, Effect::Position { .. }));
    assert!(run.until_followed());
    wait(&mut run, 500);
    let take = held(&mut run, |effect| matches!(effect, Effect::Take { lane: Lane::Live, .. }));
    answered_late(&mut run, take, 50);
    answered_late(&mut run, position, 1);
    let put = held(&mut run, copies("out/part-0"));
    assert_eq!(target_content(&mut run, "out/_SUCCESS"), None, "the old sign has gone");
    answered_late(&mut run, put, 1);
    ends_equal(run);
}

/// The directory is removed while its sign is on its way: what it speaks for goes after it, which
/// no row names yet.
#[test]
fn rule_7_1_success_on_its_way_is_removed_first() {
    let mut run = run();
    job(&mut run);
    let put = held(&mut run, copies("out/_SUCCESS"));
    files_stand(&mut run);
    delete(&mut run, "out");
    let removal = |effect: &Effect| matches!(effect, Effect::Remove { .. });
    let gone = run.catch_while_holding(put, 5_000, removal);
    assert!(gone.is_none(), "the sign may become visible yet: {gone:?}");
    ends_equal(run);
}

/// The directory is removed while a look at its sign takes long.
#[test]
fn rule_7_1_success_being_looked_at_is_removed_first() {
    let mut run = run();
    job(&mut run);
    until_settled(&mut run);
    delete(&mut run, "out/_SUCCESS");
    let look = held(&mut run, examines("out/_SUCCESS"));
    delete(&mut run, "out");
    let removal = |effect: &Effect| matches!(effect, Effect::Remove { .. });
    let gone = run.catch_while_holding(look, 5_000, removal);
    assert!(gone.is_none(), "the sign stands yet: {gone:?}");
    ends_equal(run);
}

/// The directory is removed: the sign goes before what it speaks for.
#[test]
fn rule_7_1_success_is_removed_first() {
    let mut run = run();
    job(&mut run);
    until_settled(&mut run);
    delete(&mut run, "out");
    let removal = held(&mut run, removes("out/part-0"));
    assert_eq!(target_content(&mut run, "out/_SUCCESS"), None);
    answered_late(&mut run, removal, 1);
    ends_equal(run);
}

/// A file that the sign speaks for is on its way to be written over by what came later, and was
/// joined with what stood before the sign: that waits. On real systems a listing had shown the files
/// of the next job, and the sign of the last one came to stand over them.
#[test]
fn rule_7_1_success_waits_for_what_is_written_over_its_files() {
    let mut run = run();
    job(&mut run);
    until_settled(&mut run);
    delete(&mut run, "out/_SUCCESS");
    until_settled(&mut run);
    file(&mut run, "out/_SUCCESS", 5);
    let look = held(&mut run, examines("out/_SUCCESS"));
    file(&mut run, "out/part-0", 6);
    let copy = run.catch_while_holding(look, 5_000, copies("out/part-0")).expect("it is copied");
    let early = run.catch_while_holding(copy, 3_000, copies("out/_SUCCESS"));
    assert!(early.is_none(), "one of its files is not as it says");
    ends_equal(run);
}

/// The sign was looked at before its file, and both went together meanwhile: the file was not there
/// to be copied, and no event told yet. On real systems the old sign came to stand alone.
#[test]
fn rule_7_1_success_does_not_come_when_its_files_went_with_it() {
    let mut run = run();
    file(&mut run, "out/older", 5);
    until_settled(&mut run);
    file(&mut run, "out/part-0", 5);
    let look = held(&mut run, examines("out/part-0"));
    file(&mut run, "out/_SUCCESS", 5);
    let asked = held(&mut run, |effect| matches!(effect, Effect::Group { .. }));
    let poll = held(&mut run, polls);
    delete(&mut run, "out");
    answered_late(&mut run, look, 1);
    answered_late(&mut run, asked, 1);
    let early = run.catch_while_holding(poll, 1_000, copies("out/_SUCCESS"));
    assert!(early.is_none(), "what it spoke for is not there");
    ends_equal(run);
}

/// The write of a sign is not heard of, and lands late: until it cannot any more, what it speaks for
/// stays.
#[test]
fn rule_7_1_files_stay_while_their_success_may_land_late() {
    let mut run = run();
    job(&mut run);
    let put = held(&mut run, copies("out/_SUCCESS"));
    let begun = run.now();
    run.release(put, Way::Unheard(4_900));
    delete(&mut run, "out");
    let removal = held(&mut run, removes("out/part-0"));
    assert!(run.now().millis_since(begun) > 4_900, "the sign has landed");
    assert_eq!(target_content(&mut run, "out/_SUCCESS"), None);
    answered_late(&mut run, removal, 1);
    ends_equal(run);
}

/// A removal without an answer lands late and takes the file that was made anew: the new sign
/// waits until it cannot land any more, and then for the repair.
#[test]
fn rule_7_1_success_waits_for_a_late_removal() {
    let mut run = run();
    job(&mut run);
    until_settled(&mut run);
    delete(&mut run, "out/part-0");
    let removal = held(&mut run, removes("out/part-0"));
    let begun = run.now();
    run.release(removal, Way::Unheard(4_900));
    again(&mut run);
    let put = held(&mut run, copies("out/_SUCCESS"));
    assert!(run.now().millis_since(begun) > 4_900, "the removal has landed");
    files_stand(&mut run);
    answered_late(&mut run, put, 1);
    ends_equal(run);
}

/// Another job's directory takes the place of one whose sign is pending: the sign that is seen there
/// is newer than what it was pending for, and speaks for files that came with it (the simulator's
/// seed 16310).
#[test]
fn rule_7_1_success_of_a_renamed_directory_waits_for_its_files() {
    let mut run = run();
    file(&mut run, "next/sub/part-0", 5);
    file(&mut run, "next/_SUCCESS", 5);
    file(&mut run, "out/older", 5);
    until_settled(&mut run);
    file(&mut run, "out/_SUCCESS", 6);
    let look = held(&mut run, examines("out/_SUCCESS"));
    rename(&mut run, "out", "aside");
    rename(&mut run, "next", "out");
    let list = held(&mut run, lists("out"));
    answered_late(&mut run, look, 1);
    let look = held(&mut run, examines("out/_SUCCESS"));
    answered_late(&mut run, list, 1);
    let files = held(&mut run, lists("out/sub"));
    answered_late(&mut run, look, 1);
    let early = run.catch_while_holding(files, 5_000, |effect| {
        copies("out/_SUCCESS")(effect) || relocates("out/_SUCCESS")(effect)
    });
    assert!(early.is_none(), "its files are not there yet");
    ends_equal(run);
}

/// Readers of a table's log take the versions one after the other.
#[test]
fn rule_7_1_log_versions_ascend() {
    let mut run = run();
    for version in 0..4 {
        file(&mut run, &format!("t/part-{version}"), 5);
        file(&mut run, &format!("t/_delta_log/{version}.json"), 5);
    }
    for version in ["t/_delta_log/0.json", "t/_delta_log/1.json", "t/_delta_log/2.json"] {
        let put = held(&mut run, copies(version));
        let in_log =
            |effect: &Effect| puts(effect).is_some_and(|it| path("t/_delta_log").contains(&it));
        let later = run.catch_while_holding(put, 3_000, in_log);
        assert!(later.is_none(), "before {version}: {:?}", later.as_ref().and_then(puts));
    }
    ends_equal(run);
}

/// With other rights a sign is the same sign: it is not taken away, however short (the simulator's
/// seed 7319: the next version of a log came meanwhile).
#[test]
fn rule_7_1_success_stays_with_other_rights() {
    let mut run = run();
    job(&mut run);
    until_settled(&mut run);
    run.source().change_mode(&path("out/_SUCCESS"), 0o600);
    let stamp = held(&mut run, relocates("out/_SUCCESS"));
    assert_eq!(target_content(&mut run, "out/_SUCCESS"), source_content(&mut run, "out/_SUCCESS"));
    answered_late(&mut run, stamp, 1);
    assert_eq!(counters(&run).files_removed, 0);
    ends_equal(run);
}

/// A version that is looked at may be about to go: the next one does not come meanwhile (the
/// simulator's seed 7657).
#[test]
fn rule_7_1_log_version_waits_for_one_that_is_looked_at() {
    let mut run = run();
    file(&mut run, "t/_delta_log/0.json", 5);
    until_settled(&mut run);
    run.source().change_mode(&path("t/_delta_log/0.json"), 0o600);
    let look = held(&mut run, examines("t/_delta_log/0.json"));
    file(&mut run, "t/_delta_log/1.json", 5);
    let early = run.catch_while_holding(look, 5_000, copies("t/_delta_log/1.json"));
    assert!(early.is_none(), "the version before it is about to go");
    ends_equal(run);
}

/// A table is dropped and made anew under the same names: a look shows one of its new files before
/// any event told of that, and the old log goes first.
#[test]
fn rule_7_1_stale_log_goes_before_the_new_table() {
    let mut run = run();
    let table = |run: &mut whimbrel_sim::Run, length| {
        file(run, "t/part-0", length);
        file(run, "t/_delta_log/0.json", length);
    };
    table(&mut run, 5);
    until_settled(&mut run);
    run.source().rewrite_same_size(&path("t/part-0"));
    let look = held(&mut run, examines("t/part-0"));
    let poll = held(&mut run, polls);
    delete(&mut run, "t");
    table(&mut run, 6);
    answered_late(&mut run, look, 1);
    if let Some(put) = run.catch_while_holding(poll, 5_000, copies("t/part-0")) {
        assert_eq!(target_content(&mut run, "t/_delta_log/0.json"), None, "before {put:?}");
        answered_late(&mut run, put, 1);
    }
    ends_equal(run);
}

/// Somebody wrote over a file of the job between two runs. A look shows that the source has it no
/// more before any event told of that: the sign goes before what stands there now (the simulator's
/// seed 22054).
#[test]
fn rule_7_1_stale_success_goes_before_an_extra_in_its_files_place() {
    let options = Options { extras: Extras::Remove, conditions: true, ..Options::still() };
    let mut run = still(Options { live: true, ..options });
    job(&mut run);
    until_settled(&mut run);
    run.target().intrude(path("out/part-0"), 1 << 31);
    run.begin_again();
    let look = held(&mut run, examines("out/part-0"));
    let poll = held(&mut run, polls);
    delete(&mut run, "out/_SUCCESS");
    delete(&mut run, "out/part-0");
    answered_late(&mut run, look, 1);
    let removal = run.catch_while_holding(poll, 5_000, removes("out/part-0"));
    if let Some(removal) = removal {
        assert_eq!(target_content(&mut run, "out/_SUCCESS"), None, "it goes first");
        answered_late(&mut run, removal, 1);
    }
    ends_equal(run);
}

/// Other rights are written twice, since the first time was not heard of and landed last: it is the
/// same version of the log, and is not taken away before the next one (the simulator's seed 15378).
#[test]
fn rule_7_1_log_version_stays_when_its_rights_land_late() {
    let mut run = run();
    file(&mut run, "t/_delta_log/0.json", 5);
    until_settled(&mut run);
    run.source().change_mode(&path("t/_delta_log/0.json"), 0o600);
    let stamp = held(&mut run, relocates("t/_delta_log/0.json"));
    run.release(stamp, Way::Unheard(4_900));
    let stamp = held(&mut run, relocates("t/_delta_log/0.json"));
    answered_late(&mut run, stamp, 1);
    file(&mut run, "t/_delta_log/1.json", 5);
    let removal = run.catch(removes("t/_delta_log/0.json"));
    assert!(removal.is_none(), "the next version stands");
    assert_eq!(run.difference(), None);
}

/// A removal of the old sign that was not heard of leaves it as it is, or not; that of the whole
/// directory meets it with something that was not expected, and takes nothing else before it.
#[test]
fn rule_7_1_files_stay_while_their_success_was_not_met_as_expected() {
    let mut run = still(Options { conditions: true, ..Options::still() });
    job(&mut run);
    file(&mut run, "other", 5);
    until_settled(&mut run);
    delete(&mut run, "out/_SUCCESS");
    let sign = held(&mut run, removes("out/_SUCCESS"));
    delete(&mut run, "out");
    let rows = held(&mut run, |effect| {
        matches!(effect, Effect::Rows { which: Removable::CommitMarkers, .. })
    });
    run.release(sign, Way::Unheard(4_000));
    let distrusted = |run: &whimbrel_sim::Run| {
        let row = run.ledger().and_then(|ledger| ledger.row(&path("out/_SUCCESS")).ok()?);
        row.is_some_and(|row| row.etag.is_none())
    };
    assert!(run.until(distrusted));
    let take = held(&mut run, |effect| matches!(effect, Effect::Take { .. }));
    answered_late(&mut run, rows, 1);
    answered_late(&mut run, take, 1);
    let files = held(&mut run, removes("out/part-0"));
    assert_eq!(target_content(&mut run, "out/_SUCCESS"), None, "before {files:?}");
    answered_late(&mut run, files, 1);
    ends_equal(run);
}

/// The source is restored to what was before the job ran again, while the new sign is on its way:
/// it stands beside the files that it speaks for until those of the restored source come.
#[test]
fn rule_7_1_late_success_of_another_history_stands_beside_its_files() {
    let mut run = run();
    file(&mut run, "out/part-0", 5);
    until_settled(&mut run);
    let kept = run.source().clone();
    file(&mut run, "out/part-0", 6);
    file(&mut run, "out/_SUCCESS", 1);
    let again = source_content(&mut run, "out/part-0");
    let sign = held(&mut run, copies("out/_SUCCESS"));
    run.release(sign, Way::Unheard(3_000));
    run.source().restore(&kept);
    assert!(run.until(|run| run.stands(&path("out/_SUCCESS"))));
    assert_eq!(target_content(&mut run, "out/part-0"), again);
    ends_equal(run);
}

/// After the source went back a sign is written under the numbers of the one that stands: it is
/// another one, and goes before what the older one spoke for is changed (the simulator's seed 35855).
#[test]
fn rule_7_1_success_of_another_history_is_stale_though_its_numbers_are_the_same() {
    let mut run = run();
    file(&mut run, "out/part-0", 5);
    until_settled(&mut run);
    let kept = run.source().clone();
    file(&mut run, "out/_SUCCESS", 1);
    until_settled(&mut run);
    run.source().restore(&kept);
    file(&mut run, "out/_SUCCESS", 1);
    let list = held(&mut run, lists("out"));
    file(&mut run, "out/part-0", 6);
    let copy = run.catch_while_holding(list, 10_000, copies("out/part-0"));
    assert_eq!(target_content(&mut run, "out/_SUCCESS"), None);
    answered_late(&mut run, copy.expect("the event tells of it"), 1);
    ends_equal(run);
}

/// What came of a sign's write that nobody heard of is looked at late: until then its files stay
/// (the simulator's seed 35466).
#[test]
fn rule_7_1_files_stay_until_somebody_looked_whether_their_success_landed() {
    let mut run = run();
    job(&mut run);
    let put = held(&mut run, copies("out/_SUCCESS"));
    run.release(put, Way::Unheard(4_900));
    delete(&mut run, "out");
    file(&mut run, "out/part-0/deep", 5);
    let look = held(&mut run, inspects("out/_SUCCESS"));
    let early = run.catch_while_holding(look, 20_000, removes("out/part-0"));
    assert!(early.is_none(), "the sign stands");
    ends_equal(run);
}

/// The same of a sign in parts, which could be gone on with: its job runs again, and the new sign
/// waits for another file (seed 157337).
#[test]
fn rule_7_1_files_stay_until_somebody_looked_whether_their_large_success_landed() {
    let mut run = still(Options { multipart_bytes: 8, ..Options::still() });
    file(&mut run, "out/part-0", 5);
    file(&mut run, "out/part-1", 5);
    file(&mut run, "out/_SUCCESS", 20);
    let completion = held(&mut run, |effect| matches!(effect, Effect::Complete { .. }));
    run.release(completion, Way::Unheard(10));
    delete(&mut run, "out/_SUCCESS");
    file(&mut run, "out/part-1", 7);
    file(&mut run, "out/_SUCCESS", 20);
    let copy = held(&mut run, copies("out/part-1"));
    delete(&mut run, "out/part-0");
    let gone = run.catch_while_holding(copy, 40_000, removes("out/part-0"));
    assert!(!run.stands(&path("out/_SUCCESS")), "the older sign went first");
    run.release(gone.expect("it goes at the source"), Way::Heard(1));
    ends_equal(run);
}

/// The source writes to the sign again before it removes a file (seed 307336).
#[test]
fn rule_7_1_success_that_is_written_to_goes_before_its_files() {
    let mut run = run();
    job(&mut run);
    until_settled(&mut run);
    let poll = held(&mut run, polls);
    file(&mut run, "out/part-0", 7);
    answered_late(&mut run, poll, 1);
    let look = held(&mut run, examines("out/part-0"));
    let poll = held(&mut run, polls);
    assert!(run.source().append(&path("out/_SUCCESS")), "it is opened again");
    delete(&mut run, "out/part-0");
    run.release(look, Way::Heard(1));
    let gone = run.catch_while_holding(poll, 20_000, removes("out/part-0"));
    assert!(!run.stands(&path("out/_SUCCESS")), "the sign went first");
    if let Some(gone) = gone {
        run.release(gone, Way::Heard(1));
    }
    assert!(run.source().close(&path("out/_SUCCESS"), 5), "it is closed again");
    ends_equal(run);
}
