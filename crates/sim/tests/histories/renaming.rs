//! Section 6: renaming directories.

use whimbrel_core::effect::Effect;
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
