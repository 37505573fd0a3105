//! Rule 5.7: what is gone at the source may stay on the target for a time.

use whimbrel_core::config::{Extras, RemovalGuard};
use whimbrel_core::effect::Finish;
use whimbrel_core::input::Input;
use whimbrel_core::number::Time;
use whimbrel_core::record::Parked;
use whimbrel_sim::options::Options;
use whimbrel_sim::world::target::{Carried, Object, Writer};
use whimbrel_sim::{Run, Way};

use crate::stage::{
    counters, delete, ends_equal, file, held, path, pending, polls, removes, rename,
    source_content, still, target_content, until_equal, until_settled,
};

/// What is gone stays for a minute, longer than a run lasts.
const AFTER: u64 = 60_000;

fn options(live: bool) -> Options {
    Options { live, removals_after_millis: AFTER, ..Options::still() }
}

/// `d/a`, `d/b` and `c` stand on the target.
fn begun(options: Options) -> Run {
    let live = options.live;
    let mut run = still(options);
    for at in ["d/a", "d/b", "c"] {
        file(&mut run, at, 5);
    }
    if live {
        until_settled(&mut run);
    } else {
        assert_eq!(run.end(), Ok(Finish::Done));
        run.begin_again();
    }
    run
}

fn delayed(run: &Run) -> u64 {
    run.ledger().expect("a ledger").summary().expect("a summary").delayed
}

fn gone_since(run: &Run, at: &str) -> Option<Time> {
    pending(run, at).and_then(|entry| entry.gone_since)
}

/// The run ends well, and so does one after the time of everything is over.
fn ends_equal_in_time(mut run: Run) {
    assert_eq!(run.end(), Ok(Finish::Done));
    run.rest(AFTER);
    run.begin_again();
    ends_equal(run);
}

/// Nothing but that is missing: what is claimed is claimed, and nothing is behind.
#[test]
fn rule_5_7_what_is_gone_stays_for_a_time_and_is_neither_pending_nor_behind() {
    for live in [true, false] {
        let mut run = begun(options(live));
        delete(&mut run, "d/a");
        assert_eq!(run.end(), Ok(Finish::Done), "live: {live}");
        assert!(run.stands(&path("d/a")), "live: {live}");
        let progress = run.core().progress();
        assert_eq!((progress.pending.delayed, progress.pending.lanes), (1, [0; 3]));
        assert_eq!(progress.behind_since, None, "live: {live}");
        let newest = live.then_some(run.source().txid);
        assert_eq!(progress.as_of, newest);
        let due = progress.pending.delayed_next.expect("a time");
        assert_eq!(Some(due), gone_since(&run, "d/a").map(|since| since.plus_millis(AFTER)));
        ends_equal_in_time(run);
    }
}

/// In one run: nothing goes before its time, and nothing is claimed that was not.
#[test]
fn rule_5_7_what_is_due_goes_without_a_start_and_without_a_step_back() {
    let mut run = begun(Options { removals_after_millis: 700, ..options(true) });
    delete(&mut run, "d/a");
    let deleted = run.now();
    assert!(run.until(|run| delayed(run) == 1));
    let since = gone_since(&run, "d/a").expect("a time");
    until_settled(&mut run);
    let claimed = run.core().progress().as_of;
    let removal = held(&mut run, removes("d/a"));
    assert!(run.now().millis_since(deleted) >= 700);
    assert!(run.now() >= since.plus_millis(700));
    let progress = run.core().progress();
    assert_eq!(progress.as_of, claimed);
    let seen = progress.behind_since.expect("it is behind now");
    assert!(seen >= since.plus_millis(700), "and was not before");
    run.release(removal, Way::Heard(1));
    ends_equal(run);
}

/// Killed again and again, and listed anew each time, it counts from the first look.
#[test]
fn rule_5_7_the_time_counts_from_the_first_look_whatever_dies() {
    for live in [true, false] {
        let mut run = begun(options(live));
        delete(&mut run, "d");
        assert!(run.until(|run| delayed(run) == 1), "live: {live}");
        let since = gone_since(&run, "d").expect("a time");
        for _ in 0..3 {
            run.die();
            run.rest(AFTER / 4);
            file(&mut run, "c2", 5);
            until_equal(&mut run, "c2");
            assert!(run.stands(&path("d/a")) && run.stands(&path("d/b")), "live: {live}");
            assert_eq!(gone_since(&run, "d"), Some(since), "live: {live}");
            delete(&mut run, "c2");
        }
        run.die();
        run.rest(AFTER / 4);
        assert_eq!(run.end(), Ok(Finish::Done));
        assert!(!run.stands(&path("d/a")) && !run.stands(&path("d/b")), "live: {live}");
        ends_equal_in_time(run);
    }
}

/// What the source has again is copied at once; gone once more, its time begins anew.
#[test]
fn rule_5_7_what_comes_back_is_copied_and_its_time_begins_anew() {
    let mut run = begun(options(true));
    delete(&mut run, "d/a");
    assert!(run.until(|run| delayed(run) == 1));
    let since = gone_since(&run, "d/a");
    run.rest(AFTER / 2);
    file(&mut run, "d/a", 9);
    until_equal(&mut run, "d/a");
    until_settled(&mut run);
    assert_eq!((delayed(&run), pending(&run, "d/a")), (0, None));
    delete(&mut run, "d/a");
    assert!(run.until(|run| delayed(run) == 1));
    assert!(gone_since(&run, "d/a") > since);
    run.rest(AFTER / 2 + 1_000);
    assert_eq!(run.end(), Ok(Finish::Done));
    assert!(run.stands(&path("d/a")));
    ends_equal_in_time(run);
}

/// It is open at the source: that is told, and its time does not go on.
#[test]
fn rule_5_7_what_is_written_again_is_not_kept_but_open() {
    let mut run = begun(options(true));
    delete(&mut run, "d/a");
    assert!(run.until(|run| delayed(run) == 1));
    assert!(run.source().create(&path("d/a")));
    let open = |run: &Run| pending(run, "d/a").and_then(|it| it.parked) == Some(Parked::Open);
    assert!(run.until(open));
    assert_eq!((delayed(&run), gone_since(&run, "d/a")), (0, None));
    delete(&mut run, "d/a");
    assert!(run.until(|run| delayed(run) == 1));
    ends_equal_in_time(run);
}

/// When their time comes the guard counts them as anything else that is gone.
#[test]
fn rule_5_7_the_guard_judges_what_is_due() {
    for live in [true, false] {
        let removal_guard = RemovalGuard { count_max: Some(1), share_max_percent: Some(50) };
        let mut run = begun(Options { removal_guard, ..options(live) });
        delete(&mut run, "d");
        assert_eq!(run.end(), Ok(Finish::Done), "live: {live}: nothing is to be asked yet");
        run.rest(AFTER);
        run.begin_again();
        assert!(matches!(run.end(), Ok(Finish::Guard(_))), "live: {live}");
        assert!(run.stands(&path("d/a")) && run.stands(&path("d/b")));
        run.confirm_between_runs();
        ends_equal(run);
    }
}

/// A job that is done again: its marker comes though the files of the job before stay.
#[test]
fn rule_5_7_no_commit_marker_waits_for_what_is_kept() {
    let mut run = begun(options(true));
    file(&mut run, "d/_SUCCESS", 1);
    until_settled(&mut run);
    delete(&mut run, "d");
    file(&mut run, "d/z", 6);
    file(&mut run, "d/_SUCCESS", 1);
    until_equal(&mut run, "d/_SUCCESS");
    assert_eq!(target_content(&mut run, "d/z"), source_content(&mut run, "d/z"));
    assert!(run.stands(&path("d/a")) && run.stands(&path("d/b")));
    ends_equal_in_time(run);
}

/// A sign that the source took back is not left to anybody.
#[test]
fn rule_5_7_a_commit_marker_that_is_gone_is_not_kept() {
    let mut run = begun(options(true));
    file(&mut run, "d/_SUCCESS", 1);
    until_settled(&mut run);
    delete(&mut run, "d/_SUCCESS");
    delete(&mut run, "d/a");
    assert_eq!(run.end(), Ok(Finish::Done));
    assert!(!run.stands(&path("d/_SUCCESS")) && run.stands(&path("d/a")));
    run.begin_again();
    ends_equal_in_time(run);
}

/// The new place is made at once, by copies within the target; the old one stays.
#[test]
fn rule_5_7_what_is_renamed_stands_at_both_places_for_a_time() {
    let mut run = begun(options(true));
    let copied = counters(&run).files_copied;
    rename(&mut run, "d", "e");
    until_equal(&mut run, "e/a");
    until_equal(&mut run, "e/b");
    assert_eq!(run.end(), Ok(Finish::Done));
    assert!(run.stands(&path("d/a")) && run.stands(&path("d/b")));
    let counted = counters(&run);
    assert_eq!((counted.files_copied, counted.files_relocated), (copied, 2));
    run.begin_again();
    ends_equal_in_time(run);
}

/// A file where a directory comes, and a directory where a file comes.
#[test]
fn rule_5_7_what_is_in_the_way_is_not_kept() {
    let mut run = begun(options(true));
    delete(&mut run, "c");
    delete(&mut run, "d");
    assert!(run.until(|run| delayed(run) == 2));
    file(&mut run, "c/x", 5);
    file(&mut run, "d", 5);
    until_equal(&mut run, "c/x");
    until_equal(&mut run, "d");
    assert!(!run.stands(&path("c")) && !run.stands(&path("d/a")));
    ends_equal(run);
}

/// A person has it go, now or while nothing runs; a word that is durable is no word for one run.
#[test]
fn rule_5_7_a_person_has_what_is_kept_go_now() {
    for dies in [false, true] {
        let mut run = begun(options(true));
        delete(&mut run, "d");
        delete(&mut run, "c");
        assert!(run.until(|run| delayed(run) == 2));
        run.say(Input::ConfirmDelayed);
        if dies {
            assert!(run.until(|run| delayed(run) == 0));
            run.die();
        }
        ends_equal(run);
    }
}

/// Directories with very much to do join what is pending in them; what is kept joins nothing.
#[test]
fn rule_5_7_what_is_kept_is_not_coarsened() {
    let mut run = begun(Options { pending_max: 2, ..options(true) });
    delete(&mut run, "d/a");
    assert!(run.until(|run| delayed(run) == 1));
    let since = gone_since(&run, "d/a");
    for number in 0..9 {
        file(&mut run, &format!("d/{number}"), 5);
    }
    until_settled(&mut run);
    assert_eq!(gone_since(&run, "d/a"), since);
    assert!(counters(&run).coarsened > 0);
    ends_equal_in_time(run);
}

/// The time is that of the newest call, from the same first look.
#[test]
fn rule_5_7_another_delay_holds_for_what_is_kept_already() {
    let mut run = begun(options(true));
    delete(&mut run, "d/a");
    assert_eq!(run.end(), Ok(Finish::Done));
    run.delay_removals(2 * AFTER);
    run.rest(AFTER);
    run.begin_again();
    assert_eq!(run.end(), Ok(Finish::Done));
    assert!(run.stands(&path("d/a")), "longer");
    run.delay_removals(0);
    run.begin_again();
    ends_equal(run);
}

/// Foreign objects that are to go are kept as well.
#[test]
fn rule_5_7_extras_stay_for_a_time_too() {
    for live in [true, false] {
        let mut run = still(Options { extras: Extras::Remove, ..options(live) });
        file(&mut run, "d/a", 5);
        let (content, length, carried) = (7, 7, Carried::mode(0o644));
        let object = Object { content, length, writer: Writer::Foreign, carried };
        for at in ["d/extra", "x/extra"] {
            run.target().put(path(at), object.clone());
        }
        assert_eq!(run.end(), Ok(Finish::Done), "live: {live}");
        assert!(run.stands(&path("d/extra")) && run.stands(&path("x/extra")), "live: {live}");
        run.begin_again();
        ends_equal_in_time(run);
    }
}

/// A tree that came back was listed, and not looked at: it was there all the same.
#[test]
fn rule_5_7_a_tree_that_was_gone_through_again_was_back() {
    let mut run = begun(options(true));
    delete(&mut run, "d");
    assert!(run.until(|run| delayed(run) == 1));
    let since = gone_since(&run, "d").expect("a time");
    file(&mut run, "d/new", 6);
    until_equal(&mut run, "d/new");
    until_settled(&mut run);
    delete(&mut run, "d");
    assert!(run.until(|run| gone_since(run, "d").is_some()));
    assert!(gone_since(&run, "d") > Some(since));
    assert_eq!(run.end(), Ok(Finish::Done));
    assert!(run.stands(&path("d/new")) && run.stands(&path("d/a")));
    run.begin_again();
    ends_equal_in_time(run);
}

/// Nobody but its entry knows of what stood below a directory that was looked at alone.
#[test]
fn rule_5_7_what_stood_below_goes_though_the_directory_is_back() {
    let mut run = begun(options(true));
    let held_back = held(&mut run, polls);
    delete(&mut run, "d");
    let ledger = run.ledger().expect("a ledger");
    assert_eq!(ledger.summary().expect("a summary").delayed, 0);
    run.source().append(&path("c"));
    run.source().close(&path("c"), 1);
    run.release(held_back, Way::Heard(1));
    assert!(run.until(|run| delayed(run) == 1));
    assert!(run.source().make_directory(&path("d")));
    assert_eq!(run.end(), Ok(Finish::Done));
    assert!(run.stands(&path("d/a")) && run.stands(&path("d/")));
    run.begin_again();
    ends_equal_in_time(run);
}
