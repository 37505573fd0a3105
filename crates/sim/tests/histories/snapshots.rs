//! Rule 8.2: after a gap the source tells what changed since a snapshot of it.

use whimbrel_core::path::RelPath;
use whimbrel_sim::Run;
use whimbrel_sim::options::{Options, Snapshots};

use crate::stage::*;

/// Twelve directories with a file each, all on the target, and a base that was followed beyond.
fn settled(snapshots: Snapshots) -> Run {
    let mut run = still(Options { snapshots, quiet_millis: 20_000, ..Options::still() });
    for number in 0..12 {
        file(&mut run, &format!("d{number}/x"), 5);
    }
    until_settled(&mut run);
    wait(&mut run, 1_000);
    run
}

/// What is done is told of by nobody: the edits are gone.
fn unheard(run: &mut Run, what: impl FnOnce(&mut Run)) {
    let poll = held(run, polls);
    what(run);
    run.source().purge();
    answered_late(run, poll, 1);
    assert!(run.until(|run| counters(run).gaps > 0), "the gap is noticed");
}

fn scanned(run: &Run) -> u64 {
    counters(run).files_scanned
}

/// Of twelve directories one is listed: the one that was renamed.
#[test]
fn rule_8_2_only_what_differs_is_listed() {
    let mut run = settled(Snapshots::Only);
    let before = scanned(&run);
    unheard(&mut run, |run| {
        rename(run, "d1", "moved");
        delete(run, "d2/x");
        file(run, "d3/new", 7);
    });
    until_settled(&mut run);
    let listed = scanned(&run) - before;
    assert!(listed <= 3, "{listed} files were listed again");
    ends_equal(run);
}

/// The rest is listed too, since there are things of which no difference tells.
#[test]
fn rule_8_2_everything_is_listed_after_what_differs() {
    let mut run = settled(Snapshots::First);
    let before = scanned(&run);
    unheard(&mut run, |run| delete(run, "d2/x"));
    until_settled(&mut run);
    assert!(scanned(&run) - before >= 11, "all the others");
    ends_equal(run);
}

/// Made and copied since the base, and removed in the gap: the base and the end know neither.
#[test]
fn rule_8_2_what_came_and_went_since_the_base_goes() {
    let mut run = settled(Snapshots::Only);
    file(&mut run, "d4/short", 3);
    until_settled(&mut run);
    unheard(&mut run, |run| delete(run, "d4/short"));
    ends_equal(run);
}

/// A mode was changed since the base, copied, and changed back in the gap.
#[test]
fn rule_8_2_what_was_changed_back_is_changed_back() {
    let mut run = settled(Snapshots::Only);
    let mode = run.source().files()[&RelPath::from("d4/x")].map(|(_, _, mode)| mode);
    assert!(run.source().change_mode(&path("d4/x"), 0o600), "it stands");
    until_settled(&mut run);
    wait(&mut run, 1_000);
    unheard(&mut run, |run| {
        run.source().change_mode(&path("d4/x"), mode.expect("a closed file"));
    });
    ends_equal(run);
}

/// Open when the base was made, and closed in the gap: no difference tells that it grew.
#[test]
fn rule_8_2_file_that_was_open_is_looked_at_again() {
    let snapshots = Snapshots::Only;
    let mut run = still(Options { snapshots, quiet_millis: 20_000, ..Options::still() });
    file(&mut run, "d/a", 5);
    assert!(run.source().create(&path("d/open")), "it can be made");
    assert!(run.until(|run| run.core().progress().pending.open > 0), "it is set aside");
    wait(&mut run, 1_000);
    unheard(&mut run, |run| assert!(run.source().close(&path("d/open"), 9), "it can be closed"));
    ends_equal(run);
}

/// On the target already when it was seen open in a listing, at the begin of a base: none of what
/// is written to it until the gap is over is told either.
#[test]
fn rule_8_2_known_file_that_was_seen_open_is_looked_at_again() {
    let mut run = settled(Snapshots::Only);
    file(&mut run, "new/x", 5);
    until_settled(&mut run);
    unheard(&mut run, |run| assert!(run.source().append(&path("new/x")), "it is opened again"));
    wait(&mut run, 5_000);
    file(&mut run, "d1/y", 5);
    wait(&mut run, 5_000);
    let poll = held(&mut run, polls);
    assert!(run.source().close(&path("new/x"), 9), "it can be closed");
    run.source().purge();
    answered_late(&mut run, poll, 1);
    assert!(run.until(|run| counters(run).gaps > 1), "the second gap is noticed");
    ends_equal(run);
}

/// Seen in the gap, and changed back before its end: what was seen was acted on.
#[test]
fn rule_8_2_what_was_seen_in_the_gap_is_looked_at_again() {
    let mut run = settled(Snapshots::Only);
    let look = held(&mut run, polls);
    rename(&mut run, "d5/x", "d5/y");
    run.release(look, whimbrel_sim::Way::Heard(1));
    let look = held(&mut run, examines("d5/x"));
    let poll = held(&mut run, polls);
    answered_late(&mut run, look, 1);
    wait(&mut run, 1_000);
    rename(&mut run, "d5/y", "d5/x");
    run.source().purge();
    answered_late(&mut run, poll, 1);
    assert!(run.until(|run| counters(run).gaps > 0), "the gap is noticed");
    ends_equal(run);
}
