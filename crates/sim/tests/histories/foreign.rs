//! Foreign writers on the target (rule 4.4).

use whimbrel_core::config::{Existing, Extras};
use whimbrel_core::effect::{Effect, Expected, Finish, ReportKind};
use whimbrel_core::number::AttemptNumber;
use whimbrel_core::record::Parked;
use whimbrel_sim::options::Options;
use whimbrel_sim::world::target::{Carried, Object, Writer};
use whimbrel_sim::{Run, Way};

use crate::stage::*;

const FOREIGN: u64 = 1 << 31;

fn minding() -> Options {
    Options { conditions: true, ..Options::still() }
}

/// Ends for a person's word, and the foreign object is as it was.
fn ends_held(run: &mut Run, at: &str) {
    let end = run.end();
    assert!(matches!(end, Ok(Finish::Guard(_))), "{end:?}");
    assert_eq!(target_content(run, at), Some(FOREIGN), "it stays");
    let parked = pending(run, at).and_then(|entry| entry.parked);
    assert_eq!(parked, Some(Parked::Foreign));
}

fn intrude(run: &mut Run, at: &str) {
    run.target().intrude(path(at), FOREIGN);
}

fn completes(effect: &Effect) -> bool {
    matches!(effect, Effect::Complete { .. })
}

/// Somebody writes over what we wrote; then the file changes at the source.
#[test]
fn rule_4_4_foreign_object_is_not_written_over() {
    let mut run = still(minding());
    file(&mut run, "a", 5);
    file(&mut run, "b", 5);
    until_settled(&mut run);
    intrude(&mut run, "a");
    file(&mut run, "a", 6);
    file(&mut run, "b", 6);
    until_equal(&mut run, "b");
    ends_held(&mut run, "a");
}

/// The same with the user metadata of ours, of the object that stood there or of another one.
#[test]
fn rule_4_4_imitated_object_is_foreign() {
    for (like, length) in [("a", 5), ("b", 5), ("a", 7)] {
        let mut run = still(minding());
        file(&mut run, "a", length);
        file(&mut run, "b", length);
        until_settled(&mut run);
        run.target().imitate(path("a"), &path(like), FOREIGN);
        file(&mut run, "a", 6);
        file(&mut run, "b", 6);
        until_equal(&mut run, "b");
        ends_held(&mut run, "a");
    }
}

/// Neither is it removed when its file goes.
#[test]
fn rule_4_4_imitated_object_is_not_removed() {
    let mut run = still(minding());
    file(&mut run, "a", 7);
    until_settled(&mut run);
    run.target().imitate(path("a"), &path("a"), FOREIGN);
    delete(&mut run, "a");
    assert_eq!(run.end(), Ok(Finish::Done));
    assert_eq!(target_content(&mut run, "a"), Some(FOREIGN));
}

/// Neither while a run compares the target with its state, with the number of a write of this run.
#[test]
fn rule_4_4_imitated_write_of_this_run_is_foreign() {
    let mut run = still(minding());
    file(&mut run, "a", 5);
    until_settled(&mut run);
    run.begin_again();
    let page = held(&mut run, |effect| matches!(effect, Effect::Inventory { again: true, .. }));
    file(&mut run, "b", 7);
    until_equal(&mut run, "b");
    run.target().imitate(path("c"), &path("b"), FOREIGN);
    answered_late(&mut run, page, 1);
    assert_eq!(run.end(), Ok(Finish::Done));
    assert_eq!(target_content(&mut run, "c"), Some(FOREIGN), "it stays");
}

/// Nor does it tell that the write of which it carries the number is over: that may land yet.
#[test]
fn rule_4_4_imitated_object_ends_no_doubt() {
    let mut run = still(minding());
    file(&mut run, "a", 5);
    let put = held(&mut run, copies("a"));
    let Effect::Copy(job) = &put else { panic!("a copy") };
    let number = job.attempt;
    run.release(put, Way::Unheard(4_000));
    run.die();
    let (writer, carried) = (Writer::Imitation(number), Carried::mode(0o644));
    run.target().disturbed.insert(path("a"));
    run.target().put(path("a"), Object { content: FOREIGN, length: 7, writer, carried });
    wait(&mut run, 3_000);
    let attempts = run.ledger().expect("a ledger").attempts().expect("they can be read");
    assert!(attempts.iter().any(|attempt| attempt.number == number), "{attempts:?}");
    ends_held(&mut run, "a");
}

/// A state that was restored from before the last writes knows neither them nor their numbers.
#[test]
fn rule_4_4_newer_write_than_the_ledger_knows_is_ours() {
    let mut run = still(minding());
    file(&mut run, "a", 5);
    let put = held(&mut run, copies("a"));
    let content = source_content(&mut run, "a").expect("closed");
    let writer = Writer::Ours(AttemptNumber(1_000));
    let carried = Carried::mode(0o644);
    run.target().put(path("a"), Object { content: content + 1, length: 5, writer, carried });
    answered_late(&mut run, put, 1);
    until_settled(&mut run);
    assert_eq!(target_content(&mut run, "a"), Some(content), "written over");
    ends_equal(run);
}

/// Somebody writes between the first look at the target and the first write.
#[test]
fn rule_4_4_foreign_object_came_before_the_first_write() {
    let mut run = still(minding());
    file(&mut run, "a", 5);
    let put = held(&mut run, copies("a"));
    intrude(&mut run, "a");
    answered_late(&mut run, put, 1);
    ends_held(&mut run, "a");
}

/// The same while a large file's parts are sent.
#[test]
fn rule_4_4_foreign_object_came_before_a_completion() {
    let mut run = still(Options { multipart_bytes: 1, ..minding() });
    file(&mut run, "a", 50);
    let completion = held(&mut run, completes);
    intrude(&mut run, "a");
    answered_late(&mut run, completion, 1);
    ends_held(&mut run, "a");
    assert!(run.target().uploads.is_empty(), "no upload is left (rule 4.3)");
}

/// The same at the new key of a file that is copied within the target.
#[test]
fn rule_4_4_foreign_object_came_before_a_relocation() {
    let mut run = still(minding());
    file(&mut run, "a", 5);
    until_settled(&mut run);
    rename(&mut run, "a", "b");
    let copy = held(&mut run, relocates("b"));
    intrude(&mut run, "b");
    answered_late(&mut run, copy, 1);
    ends_held(&mut run, "b");
    assert_eq!(target_content(&mut run, "a"), None, "the old key is ours");
}

/// New metadata is not given to somebody else's object either.
#[test]
fn rule_4_4_foreign_object_is_not_restamped() {
    let mut run = still(minding());
    file(&mut run, "a", 5);
    until_settled(&mut run);
    intrude(&mut run, "a");
    assert!(run.source().change_mode(&path("a"), 0o600));
    ends_held(&mut run, "a");
}

/// What somebody else put there has the source's bytes: it is adopted.
#[test]
fn rule_4_4_equal_foreign_object_is_adopted() {
    let mut run = still(minding());
    file(&mut run, "a", 5);
    let put = held(&mut run, copies("a"));
    let content = source_content(&mut run, "a").expect("closed");
    let (writer, carried) = (Writer::Foreign, Carried::mode(0));
    run.target().put(path("a"), Object { content, length: 5, writer, carried });
    answered_late(&mut run, put, 1);
    until_settled(&mut run);
    let counters = counters(&run);
    assert_eq!((counters.files_copied, counters.files_skipped), (0, 1));
    ends_equal(run);
}

/// A person said so.
#[test]
fn rule_4_4_foreign_object_is_replaced_when_told() {
    let mut run = still(Options { existing: Existing::Replace, ..minding() });
    file(&mut run, "a", 5);
    until_settled(&mut run);
    intrude(&mut run, "a");
    file(&mut run, "a", 6);
    until_equal(&mut run, "a");
    ends_equal(run);
}

/// The file goes, and somebody else's object at its key stays.
#[test]
fn rule_4_4_foreign_object_is_not_removed() {
    for at in ["a", "d/a"] {
        let mut run = still(minding());
        file(&mut run, at, 5);
        until_settled(&mut run);
        intrude(&mut run, at);
        delete(&mut run, if at == "a" { "a" } else { "d" });
        assert_eq!(run.end(), Ok(Finish::Done), "an extra does not keep it from being equal");
        assert_eq!(target_content(&mut run, at), Some(FOREIGN), "{at} stays");
        let row = run.ledger().expect("a ledger").row(&path(at)).expect("it can be read");
        assert_eq!(row, None, "nothing of ours is there");
    }
}

/// Somebody removes what we wrote: it is no conflict.
#[test]
fn rule_4_4_vanished_object_is_written_again() {
    let mut run = still(minding());
    file(&mut run, "a", 5);
    until_settled(&mut run);
    run.target().take_away(&path("a"));
    file(&mut run, "a", 6);
    until_equal(&mut run, "a");
    ends_equal(run);
}

/// Our own write takes effect unheard, after the key was looked at: the condition of the next one
/// fails, and it is taken in.
#[test]
fn rule_4_4_own_unheard_write_is_no_foreign_one() {
    let mut run = still(minding());
    file(&mut run, "a", 5);
    let put = held(&mut run, copies("a"));
    run.release(put, Way::Unheard(2_000));
    let again = held(&mut run, copies("a"));
    assert!(run.until(|run| run.stands(&path("a"))), "it lands");
    let Effect::Copy(job) = &again else { panic!("a copy") };
    assert_eq!(job.expected, Expected::Nothing);
    answered_late(&mut run, again, 1);
    until_settled(&mut run);
    assert_eq!(counters(&run).files_copied, 1);
    ends_equal(run);
}

/// A late write of ours finds a newer one in its place and does not land.
#[test]
fn rule_4_4_late_write_does_not_land_over_a_newer_one() {
    let mut run = still(minding());
    file(&mut run, "a", 5);
    let put = held(&mut run, copies("a"));
    run.release(put, Way::Unheard(3_000));
    file(&mut run, "a", 6);
    until_equal(&mut run, "a");
    let content = source_content(&mut run, "a").expect("closed");
    assert!(!run.until(|run| !run.holds(&path("a"), content)), "it stays");
    ends_equal(run);
}

/// A person moves the foreign object away; the next run copies the file.
#[test]
fn rule_4_4_held_key_is_looked_at_again_by_the_next_run() {
    let mut run = still(minding());
    file(&mut run, "a", 5);
    let put = held(&mut run, copies("a"));
    intrude(&mut run, "a");
    answered_late(&mut run, put, 1);
    ends_held(&mut run, "a");
    run.die();
    ends_held(&mut run, "a");
    run.target().take_away(&path("a"));
    run.die();
    until_equal(&mut run, "a");
    ends_equal(run);
}

/// Without conditions nothing of it is noticed, and the docs say so.
#[test]
fn rule_4_4_without_conditions_nothing_is_sent() {
    let mut run = run();
    file(&mut run, "a", 5);
    until_settled(&mut run);
    intrude(&mut run, "a");
    file(&mut run, "a", 6);
    let put = held(&mut run, copies("a"));
    let Effect::Copy(job) = &put else { panic!("a copy") };
    assert_eq!(job.expected, Expected::Anything);
    answered_late(&mut run, put, 1);
    ends_equal(run);
}

/// Between two runs somebody empties the target: the next run misses everything.
#[test]
fn rule_4_4_next_run_misses_what_was_removed() {
    for conditions in [true, false] {
        let mut run = still(Options { conditions, ..Options::still() });
        let files = ["a", "d/a", "d/b", "d/e/a", "d-e/a", "e", "f/a"];
        for at in files {
            file(&mut run, at, 5);
        }
        until_settled(&mut run);
        let standing: Vec<_> = run.target().objects.keys().cloned().collect();
        for at in standing {
            run.target().take_away(&at);
        }
        run.begin_again();
        assert_eq!(run.core().progress().as_of, None, "nothing is claimed before it was looked");
        assert_eq!(run.end(), Ok(Finish::Done));
        for at in files {
            let content = source_content(&mut run, at);
            assert_eq!(target_content(&mut run, at), content, "{at} is written again");
        }
    }
}

/// Between two runs one object goes and another one is written over.
#[test]
fn rule_4_4_next_run_meets_what_was_written_over() {
    let mut run = still(minding());
    for at in ["a", "b", "c/d"] {
        file(&mut run, at, 5);
    }
    until_settled(&mut run);
    intrude(&mut run, "a");
    run.target().take_away(&path("c/d"));
    run.begin_again();
    ends_held(&mut run, "a");
    let content = source_content(&mut run, "c/d");
    assert_eq!(target_content(&mut run, "c/d"), content, "what went is written again");
}

/// The state is older than the target: what was written since is known as ours, and goes if the
/// source does not have it.
#[test]
fn rule_4_4_next_run_knows_what_an_older_state_forgot() {
    let mut run = still(minding());
    file(&mut run, "a", 5);
    until_settled(&mut run);
    let next = run.ledger().expect("a ledger").meta().expect("it can be read").next_attempt.0;
    for number in next..next + 6 {
        let writer = Writer::Ours(AttemptNumber(number));
        let object = Object { content: number, length: 5, writer, carried: Carried::mode(0o644) };
        run.target().put(path(&format!("d/gone{number}")), object);
    }
    run.begin_again();
    ends_equal(run);
}

/// A foreign object that came between two runs is known as one more that the source does not have.
#[test]
fn rule_4_4_next_run_counts_what_came() {
    let mut run = still(minding());
    file(&mut run, "a", 5);
    until_settled(&mut run);
    intrude(&mut run, "d/foreign");
    run.begin_again();
    assert_eq!(run.end(), Ok(Finish::Done));
    assert_eq!(target_content(&mut run, "d/foreign"), Some(FOREIGN), "it stays");
    let found = run.ledger().expect("a ledger").summary().expect("it can be read").found;
    assert_eq!(found, 1);
}

/// Another migration wrote under the same target between two runs: nothing of that is removed or
/// written over, though extras are to go, until a person says so.
#[test]
fn rule_4_4_next_run_leaves_what_another_migration_wrote() {
    for (at, adopt) in [("a", false), ("d/inner", false), ("d/inner", true)] {
        let options = Options { extras: Extras::Remove, adopt, ..minding() };
        let mut run = still(options);
        file(&mut run, "a", 5);
        until_settled(&mut run);
        let writer = Writer::OtherMigration;
        let carried = Carried::mode(0o644);
        run.target().put(path(at), Object { content: 9, length: 7, writer, carried });
        run.begin_again();
        let end = run.end();
        if adopt {
            assert_eq!(end, Ok(Finish::Done));
            assert_eq!(target_content(&mut run, at), None, "it was taken over");
        } else {
            assert!(matches!(end, Ok(Finish::Guard(_))), "{end:?}");
            assert_eq!(target_content(&mut run, at), Some(9), "it stays");
        }
    }
}

/// The same where extras are kept and the bytes are those of the source: it is not taken over.
#[test]
fn rule_4_4_next_run_does_not_take_over_from_another_migration() {
    let mut run = still(minding());
    file(&mut run, "a", 5);
    file(&mut run, "b", 5);
    until_settled(&mut run);
    run.target().take_away(&path("a"));
    run.begin_again();
    let put = held(&mut run, copies("a"));
    let content = source_content(&mut run, "a").expect("the source has it");
    let (writer, carried) = (Writer::OtherMigration, Carried::mode(0o600));
    run.target().put(path("a"), Object { content, length: 5, writer, carried: carried.clone() });
    answered_late(&mut run, put, 1);
    let end = run.end();
    assert!(matches!(end, Ok(Finish::Guard(_))), "{end:?}");
    assert_eq!(run.target().objects[&path("a")].carried, carried, "it is as it was");
}

/// The end of a removal is not known, and the file is made again: what stands is the object that was
/// to go, and nobody else's.
#[test]
fn rule_4_4_own_object_is_known_after_a_removal_without_an_end() {
    let mut run = still(minding());
    file(&mut run, "a", 5);
    until_settled(&mut run);
    delete(&mut run, "a");
    let removal = held(&mut run, removes("a"));
    run.release(removal, Way::Unheard(4_000));
    file(&mut run, "a", 7);
    until_equal(&mut run, "a");
    assert_eq!(run.told(ReportKind::Foreign), 0);
    ends_equal(run);
}
