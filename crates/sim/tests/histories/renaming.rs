//! Section 6: renaming directories.

use std::cell::RefCell;
use std::collections::BTreeSet;

use whimbrel_core::effect::Effect;
use whimbrel_sim::Way;
use whimbrel_sim::options::Options;

use crate::stage::*;

/// The ledger knows half of the directory when it is renamed: the other half comes too.
#[test]
fn rule_6_1_half_scanned_directory_renamed() {
    let mut run = still(Options { page_entries: 1, ..Options::still() });
    for name in ["d/a", "d/b", "d/c", "d/e"] {
        file(&mut run, name, 5);
    }
    until_equal(&mut run, "d/a");
    let listing = held(&mut run, lists("d"));
    rename(&mut run, "d", "moved");
    answered_late(&mut run, listing, 1);
    ends_equal(run);
}

/// A renamed directory is copied on the target, and none of its bytes are read again.
#[test]
fn rule_6_1_renamed_directory_is_not_read_again() {
    let mut run = run();
    for name in ["d/a", "d/b", "d/c"] {
        file(&mut run, name, 5);
    }
    until_settled(&mut run);
    let copied = run.ledger().expect("a ledger").meta().expect("meta").counters.files_copied;
    rename(&mut run, "d", "one");
    rename(&mut run, "one", "two");
    until_settled(&mut run);
    let counters = run.ledger().expect("a ledger").meta().expect("meta").counters;
    assert_eq!(counters.files_copied, copied);
    assert_eq!(counters.files_relocated, 3);
    ends_equal(run);
}

/// The source's end of the rename is worked on first: its objects wait for the other end.
#[test]
fn rule_6_2_removals_wait_for_the_destination() {
    let mut run = run();
    for name in ["d/a", "d/b", "d/c"] {
        file(&mut run, name, 5);
    }
    until_settled(&mut run);
    rename(&mut run, "d", "z");
    let listing = held(&mut run, lists("z"));
    let begun = run.now();
    assert!(run.until(|run| run.now().millis_since(begun) > 2_000));
    for name in ["d/a", "d/b", "d/c"] {
        assert!(target_content(&mut run, name).is_some(), "{name} still stands");
    }
    answered_late(&mut run, listing, 1);
    ends_equal(run);
}

/// While they wait, the source is not asked again and again whether they are gone.
#[test]
fn rule_6_2_waiting_removals_leave_the_source_alone() {
    let mut run = run();
    file(&mut run, "d/a", 5);
    until_settled(&mut run);
    rename(&mut run, "d", "z");
    let listing = held(&mut run, lists("z"));
    let looks = RefCell::new(BTreeSet::new());
    let counts = |effect: &Effect| {
        if let Effect::Examine { ticket, path: of, .. } = effect
            && *of == path("d")
        {
            looks.borrow_mut().insert(*ticket);
        }
        false
    };
    run.catch_while_holding(listing, 60_000, counts);
    let looks = looks.into_inner().len();
    assert!(looks <= 1, "it was looked at {looks} times");
    assert!(target_content(&mut run, "d/a").is_some(), "it waits");
    ends_equal(run);
}

/// Between the look and the copy on the target, another object takes the old key.
#[test]
fn rule_6_3_copy_names_what_it_copies() {
    let mut run = run();
    file(&mut run, "a", 5);
    until_settled(&mut run);
    rename(&mut run, "a", "b");
    let copy = held(&mut run, relocates("b"));
    let Effect::Relocate { from, .. } = &copy else { panic!("a copy on the target") };
    assert!(from.etag.is_some(), "it is named");
    let mut other = run.target().objects[&path("a")].clone();
    other.content += 1_000;
    run.target().put(path("a"), other);
    answered_late(&mut run, copy, 1);
    until_equal(&mut run, "b");
    ends_equal(run);
}

/// What is larger than a copy within the target may be is read again, without asking for one.
#[test]
fn rule_6_4_larger_than_a_copy_may_be() {
    let mut run = still(Options { copy_bytes_max: 49, ..Options::still() });
    file(&mut run, "d/large", 50);
    file(&mut run, "d/small", 49);
    until_settled(&mut run);
    rename(&mut run, "d", "e");
    until_settled(&mut run);
    let counters = counters(&run);
    assert_eq!((counters.files_copied, counters.files_relocated), (3, 1));
    ends_equal(run);
}

/// The target does not do it after all: the bytes are read.
#[test]
fn rule_6_4_refused_copy_is_read_instead() {
    let mut run = run();
    file(&mut run, "a", 5);
    until_settled(&mut run);
    rename(&mut run, "a", "b");
    let copy = held(&mut run, relocates("b"));
    run.release(copy, Way::Refuses);
    until_equal(&mut run, "b");
    assert_eq!(counters(&run).files_relocated, 0);
    ends_equal(run);
}

/// A copy that failed within a success has no known end: it lands over what was written since.
#[test]
fn rule_6_4_copy_without_a_known_end_lands_late() {
    let mut run = run();
    file(&mut run, "a", 5);
    until_settled(&mut run);
    rename(&mut run, "a", "b");
    let copy = held(&mut run, relocates("b"));
    run.release(copy, Way::Unheard(4_000));
    file(&mut run, "b", 6);
    until_equal(&mut run, "b");
    ends_equal(run);
}

/// What travels with the object is sent with its copy, not taken from the old key.
#[test]
fn rule_6_4_copy_carries_metadata_anew() {
    let mut run = run();
    file(&mut run, "a", 5);
    until_settled(&mut run);
    rename(&mut run, "a", "b");
    assert!(run.source().change_mode(&path("b"), 0o600));
    let copy = held(&mut run, relocates("b"));
    answered_late(&mut run, copy, 1);
    assert!(run.carries(&path("b"), 0o600), "at once");
    ends_equal(run);
}

/// The old key is written anew while a copy still reads from it: it is copied away first.
#[test]
fn rule_6_3_key_is_copied_away_before_it_is_overwritten() {
    let mut run = run();
    file(&mut run, "a", 5);
    until_settled(&mut run);
    rename(&mut run, "a", "b");
    let copy = held(&mut run, relocates("b"));
    file(&mut run, "a", 6);
    let put = run.catch_while_holding(copy, 1_000, copies("a"));
    assert!(put.is_none(), "b is still to be copied from there");
    until_settled(&mut run);
    let counters = counters(&run);
    assert_eq!((counters.files_copied, counters.files_relocated), (2, 1));
    ends_equal(run);
}

/// Two directories change places.
#[test]
fn rule_6_3_swap_of_directories() {
    let mut run = run();
    for name in ["x/a", "x/b", "y/a", "y/c"] {
        file(&mut run, name, 5);
    }
    until_settled(&mut run);
    rename(&mut run, "x", "aside");
    rename(&mut run, "y", "x");
    rename(&mut run, "aside", "y");
    ends_equal(run);
}

/// The process dies between the copy on the target and the old key's removal.
#[test]
fn rule_6_3_crash_between_copy_and_removal() {
    let mut run = run();
    file(&mut run, "d/a", 5);
    until_settled(&mut run);
    rename(&mut run, "d", "e");
    let removal = held(&mut run, removes("d/a"));
    assert!(run.ledger().expect("a ledger").row(&path("e/a")).expect("a row").is_some());
    drop(removal);
    run.die();
    ends_equal(run);
}
