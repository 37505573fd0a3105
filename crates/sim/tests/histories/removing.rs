//! Section 5: removing.

use whimbrel_core::config::{Extras, RemovalGuard};
use whimbrel_core::effect::{Effect, Finish};
use whimbrel_core::input::Input;
use whimbrel_sim::options::Options;
use whimbrel_sim::world::target::{Carried, Object, Writer};
use whimbrel_sim::{Run, Way};

use crate::stage::*;

/// The directory was looked at and is absent; then it is made again, and its new file must not go
/// with a batch that rests on the old look.
#[test]
fn rule_5_1_directory_made_again_after_its_look() {
    let mut run = run();
    file(&mut run, "d/x", 5);
    until_settled(&mut run);
    delete(&mut run, "d");
    let look = held(&mut run, examines("d"));
    answered_late(&mut run, look, 1);
    let rows = held(&mut run, |effect| matches!(effect, Effect::Rows { .. }));
    file(&mut run, "d/x", 6);
    answered_late(&mut run, rows, 1);
    let removal =
        run.catch(|effect| matches!(effect, Effect::Remove { .. }) || copies("d/x")(effect));
    let removal = removal.expect("something is done about it");
    assert!(!removes("d/x")(&removal), "the batch reads its evidence after it claimed its keys");
    answered_late(&mut run, removal, 1);
    ends_equal(run);
}

/// A listing that lacks a file only nominates it: z is renamed to a behind the cursor.
#[test]
fn rule_5_2_rename_across_the_cursor() {
    let mut run = still(Options { page_entries: 1, live: false, ..Options::still() });
    file(&mut run, "d/m", 5);
    file(&mut run, "d/z", 6);
    let first = held(&mut run, lists("d"));
    answered_late(&mut run, first, 1);
    let second = held(&mut run, lists("d"));
    rename(&mut run, "d/z", "d/a");
    answered_late(&mut run, second, 1);
    assert_eq!(run.end(), Ok(Finish::Done));
    run.die();
    ends_equal(run);
}

/// With rows from an earlier scan, the renamed file's row is not removed on the page's word.
#[test]
fn rule_5_2_absence_is_read_again() {
    let mut run = still(Options { page_entries: 1, ..Options::still() });
    file(&mut run, "d/m", 5);
    file(&mut run, "d/z", 6);
    until_settled(&mut run);
    let poll = held(&mut run, |effect| matches!(effect, Effect::Poll { .. }));
    run.source().purge();
    rename(&mut run, "d/z", "aside");
    answered_late(&mut run, poll, 1);
    let page = held(&mut run, lists("d"));
    answered_late(&mut run, page, 100);
    rename(&mut run, "aside", "d/z");
    let removed = run.catch(removes("d/z"));
    assert!(removed.is_none(), "d/z stands at the source");
    assert_eq!(run.difference(), None);
}

/// An object that somebody else put on the target.
fn foreign() -> Object {
    let carried = Carried::mode(0o644);
    Object { content: 1 << 30, length: 3, writer: Writer::Foreign, carried }
}

/// Only what Whimbrel wrote is removed; other objects are extras.
#[test]
fn rule_5_3_extras_stay_unless_asked() {
    for extras in [Extras::Keep, Extras::Remove] {
        let mut run = still(Options { extras, ..Options::still() });
        file(&mut run, "d/a", 5);
        run.target().put(path("d/extra"), foreign());
        run.target().put(path("nowhere/extra"), foreign());
        assert_eq!(run.end(), Ok(Finish::Done));
        let kept = extras == Extras::Keep;
        assert_eq!(run.target().objects.contains_key(&path("d/extra")), kept);
        assert_eq!(run.target().objects.contains_key(&path("nowhere/extra")), kept);
    }
}

/// More extras than may be pending, in a directory of the source, in one that it does not have and
/// below one of its files: what is coarsened is found again.
#[test]
fn rule_5_3_coarsened_extras_go() {
    for live in [false, true] {
        let extras = Extras::Remove;
        let mut run = still(Options { pending_max: 3, extras, live, ..Options::still() });
        for name in ["d/a", "d/e/b", "f"] {
            file(&mut run, name, 5);
        }
        for number in 0..20 {
            for directory in ["d", "d/e", "d/no/where", "no", "no/where", "f", "f/e"] {
                let extra = path(&format!("{directory}/extra{number}"));
                run.target().put(extra, foreign());
            }
        }
        run.target().put(path("d"), foreign());
        ends_equal(run);
    }
}

/// An open file is not waited for: what a directory held at its place goes.
#[test]
fn rule_5_3_extras_below_an_open_file_go() {
    let mut run = still(Options { extras: Extras::Remove, ..Options::still() });
    run.target().put(path("f/e/extra"), foreign());
    assert!(run.source().create(&path("f")));
    assert_eq!(run.end(), Ok(Finish::Done));
    assert!(run.target().objects.is_empty());
}

/// Extras below a file that was copied before the scan came to it go, and the file's object stays.
#[test]
fn rule_5_3_file_stays_when_extras_below_it_go() {
    let mut run = still(Options { extras: Extras::Remove, ..Options::still() });
    run.target().put(path("f/extra"), foreign());
    let page = held(&mut run, lists(""));
    file(&mut run, "f", 5);
    until_equal(&mut run, "f");
    answered_late(&mut run, page, 1);
    let removed = run.catch(removes("f"));
    assert!(removed.is_none(), "the source has it");
    assert!(!run.target().objects.contains_key(&path("f/extra")));
    assert_eq!(run.difference(), None);
}

/// The last child goes: the directory's marker comes.
#[test]
fn rule_5_4_last_child_gone() {
    let mut run = run();
    file(&mut run, "d/a", 5);
    until_settled(&mut run);
    assert!(!run.target().objects.contains_key(&path("d").marker()));
    delete(&mut run, "d/a");
    until_settled(&mut run);
    assert!(run.target().objects.contains_key(&path("d").marker()));
    ends_equal(run);
}

/// A file becomes a directory and a directory a file.
#[test]
fn rule_5_5_file_and_directory_change_places() {
    let mut run = run();
    file(&mut run, "f", 5);
    file(&mut run, "d/x/y", 5);
    until_settled(&mut run);
    delete(&mut run, "f");
    file(&mut run, "f/inner", 6);
    delete(&mut run, "d");
    file(&mut run, "d", 7);
    let put = held(&mut run, copies("f/inner"));
    assert_eq!(target_content(&mut run, "f"), None, "the file's object goes before");
    answered_late(&mut run, put, 1);
    let put = held(&mut run, copies("d"));
    assert_eq!(target_content(&mut run, "d/x/y"), None, "what was below goes before");
    answered_late(&mut run, put, 1);
    ends_equal(run);
}

/// The removal of a file's object takes long, and the directory in its place has a file already.
#[test]
fn rule_5_5_child_waits_for_the_file_above() {
    let mut run = run();
    file(&mut run, "f", 5);
    until_settled(&mut run);
    delete(&mut run, "f");
    file(&mut run, "f/inner", 6);
    let removal = held(&mut run, removes("f"));
    let put = run.catch_while_holding(removal, 1_000, copies("f/inner"));
    assert!(put.is_none(), "no key below the object of a file");
    ends_equal(run);
}

/// Very many are in the directory before it goes: they come due again before what they wait for,
/// whose marks are newer.
#[test]
fn rule_5_5_file_that_very_many_wait_for_has_its_turn() {
    let mut run = still(Options { latency_max: 100, ..Options::still() });
    file(&mut run, "f", 5);
    until_settled(&mut run);
    delete(&mut run, "f");
    let removal = held(&mut run, removes("f"));
    for number in 0..60 {
        file(&mut run, &format!("f/{number}"), 5);
    }
    assert!(run.until_followed(), "it goes on");
    run.release(removal, Way::Fails);
    ends_equal(run);
}

/// Ten files in `d` that stand on the target, of which at most three may go at once, and half of all
/// within an hour: a live run goes on, another begins.
fn guarded(live: bool) -> Run {
    let removal_guard = RemovalGuard { count_max: Some(3), share_max_percent: Some(50) };
    let mut run = still(Options { removal_guard, live, ..Options::still() });
    for number in 0..10 {
        file(&mut run, &format!("d/{number}"), 5);
    }
    if live {
        until_settled(&mut run);
    } else {
        assert_eq!(run.end(), Ok(Finish::Done));
        run.die();
    }
    run
}

/// Mass deletion is held and asked about; copies go on; a word lets it happen.
#[test]
fn rule_5_6_guard_holds_removals_and_asks() {
    let mut run = guarded(true);
    delete(&mut run, "d");
    file(&mut run, "new", 5);
    until_equal(&mut run, "new");
    let held = run.until(|run| run.core().progress().pending.guarded > 0);
    assert!(held, "the removals are held");
    assert_eq!(run.target().objects.len(), 11);
    run.say(Input::Confirm);
    ends_equal(run);
}

/// Unasked, the run ends with the guard's question, and everything still stands; a run after it
/// asks again, whether it follows the stream or not.
#[test]
fn rule_5_6_guard_ends_the_run() {
    for live in [true, false] {
        let mut run = guarded(live);
        delete(&mut run, "d");
        for _ in 0..3 {
            assert!(matches!(run.end(), Ok(Finish::Guard(_))), "live: {live}");
            assert_eq!(run.target().objects.len(), 10, "live: {live}");
            run.die();
        }
    }
}

/// Files that go one by one are counted together before the first of them is removed.
#[test]
fn rule_5_6_guard_counts_before_anything_goes() {
    for live in [true, false] {
        let mut run = guarded(live);
        for number in 0..9 {
            delete(&mut run, &format!("d/{number}"));
        }
        assert!(matches!(run.end(), Ok(Finish::Guard(_))), "live: {live}");
        assert_eq!(run.target().objects.len(), 10, "live: {live}");
    }
}

/// What goes bit by bit in many runs is counted over all of them.
#[test]
fn rule_5_6_guard_remembers_earlier_runs() {
    let mut run = guarded(false);
    let mut held = false;
    for number in 0..10 {
        delete(&mut run, &format!("d/{number}"));
        held |= matches!(run.end(), Ok(Finish::Guard(_)));
        run.die();
    }
    assert!(held, "most of the tree is gone");
    let files = run.target().objects.keys().filter(|path| !path.is_marker()).count();
    assert!(files >= 4, "{files} are left");
}

/// New files beside what is held do not let it go.
#[test]
fn rule_5_6_guard_holds_on_when_files_come() {
    let mut run = guarded(true);
    delete(&mut run, "d");
    assert!(run.until(|run| run.core().progress().pending.guarded > 0));
    file(&mut run, "d/new", 6);
    file(&mut run, "d/3", 7);
    until_equal(&mut run, "d/new");
    until_equal(&mut run, "d/3");
    assert!(matches!(run.end(), Ok(Finish::Guard(_))));
    assert_eq!(run.target().objects.len(), 11);
}

/// What is held comes back: there is nothing to ask for any more.
#[test]
fn rule_5_6_guard_lets_go_of_what_comes_back() {
    let mut run = guarded(true);
    delete(&mut run, "d");
    assert!(run.until(|run| run.core().progress().pending.guarded > 0));
    for number in 0..10 {
        file(&mut run, &format!("d/{number}"), 5);
    }
    ends_equal(run);
}

/// A renamed directory is not lost, however much of the tree it is.
#[test]
fn rule_5_6_guard_does_not_count_what_was_renamed() {
    let mut run = guarded(true);
    rename(&mut run, "d", "e");
    ends_equal(run);
}

/// What comes back before it was removed was not lost, however often the guard let it go.
#[test]
fn rule_5_6_guard_counts_what_was_removed() {
    let mut run = guarded(true);
    for _ in 0..6 {
        for number in 0..3 {
            delete(&mut run, &format!("d/{number}"));
        }
        assert!(run.until(|run| run.core().progress().pending.let_go > 0), "they are let go");
        for number in 0..3 {
            file(&mut run, &format!("d/{number}"), 5);
        }
        until_settled(&mut run);
    }
    assert_eq!(counters(&run).files_removed, 0);
    delete(&mut run, "d/9");
    until_settled(&mut run);
    assert_eq!(target_content(&mut run, "d/9"), None, "nothing is held");
    assert_eq!(run.core().progress().pending.lost, 1);
    ends_equal(run);
}

/// What was confirmed does not count against what goes later.
#[test]
fn rule_5_6_guard_forgets_what_was_confirmed() {
    let mut run = guarded(true);
    for number in 0..8 {
        delete(&mut run, &format!("d/{number}"));
    }
    assert!(run.until(|run| run.core().progress().pending.guarded > 0));
    run.say(Input::Confirm);
    until_settled(&mut run);
    delete(&mut run, "d/8");
    ends_equal(run);
}

/// A word that was given while nothing ran counts in the next run.
#[test]
fn rule_5_6_guard_is_confirmed_between_runs() {
    for live in [true, false] {
        let mut run = guarded(live);
        delete(&mut run, "d");
        assert!(matches!(run.end(), Ok(Finish::Guard(_))), "live: {live}");
        run.confirm_between_runs();
        ends_equal(run);
    }
}

/// A bound that never asks is a word for what an earlier run holds, whether a scan sees it or not.
#[test]
fn rule_5_6_guard_that_never_asks_lets_go() {
    for live in [true, false] {
        let mut run = guarded(live);
        delete(&mut run, "d");
        assert!(matches!(run.end(), Ok(Finish::Guard(_))), "live: {live}");
        run.bound_removals(RemovalGuard { count_max: None, share_max_percent: Some(50) });
        run.die();
        ends_equal(run);
    }
}

/// Foreign objects that are to go are counted with the rest: the run asks, and goes on after a word.
#[test]
fn rule_5_6_guard_holds_extras() {
    for (live, between_runs) in [(false, false), (false, true), (true, false), (true, true)] {
        let removal_guard = RemovalGuard { count_max: Some(3), share_max_percent: Some(50) };
        let extras = Extras::Remove;
        let mut run = still(Options { removal_guard, live, extras, ..Options::still() });
        file(&mut run, "d/a", 5);
        for number in 0..10 {
            run.target().put(path(&format!("d/extra/{number}")), foreign());
        }
        assert!(matches!(run.end(), Ok(Finish::Guard(_))), "live: {live}");
        assert_eq!(run.target().objects.len(), 11, "live: {live}");
        if between_runs {
            run.confirm_between_runs();
        } else {
            run.die();
            run.say(Input::Confirm);
        }
        ends_equal(run);
    }
}
