//! Sections 10 and 11: what is claimed, and metadata.

use whimbrel_core::effect::Effect;
use whimbrel_core::number::TxId;
use whimbrel_sim::Way;
use whimbrel_sim::options::Options;

use crate::stage::*;

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
