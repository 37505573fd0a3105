//! Races of the stream itself: crashes, gaps, other NameNodes, floods.

use std::time::Duration;

use serde_json::json;

use whimbrel_engine::{Ending, Outcome};

use crate::gates::Moment;
use crate::stage::{
    EVENTS_MAX, Stage, append, close, create, create_large, delete, mkdirs, open, rename,
};

#[tokio::test(flavor = "multi_thread")]
async fn race_44_created_before_a_failover_and_closed_after_it() {
    let mut stage = Stage::available("r44").await;
    stage.config.until_quiet_millis = None;
    stage.act([create("y", "y")]);
    let mut run = stage.migrated().await;
    stage.act(open("d/x", "r44", "half"));
    run.until(|now| now.files_open == 1).await;
    stage.hadoop.fail_over().unwrap();
    stage.act([close("r44")]);
    stage.stands("d/x").await;
    stage.equal_at_rest(run).await;
    assert_eq!(stage.object("d/x").await.unwrap(), b"half");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_47_events_delivered_again_after_a_crash() {
    let stage = Stage::shared("r47").await;
    stage.act([create("d/x", "x"), create("d/y", "y"), create("d/z", "z")]);
    let run = stage.migrated().await;
    let polled = stage.gate(Moment::Polled, "");
    stage.act([rename("d/x", "d/w"), delete("d/y"), append("d/z", " and more")]);
    polled.reached().await;
    run.crash().await;
    drop(polled);
    stage.act([create("d/y", "y again"), rename("d/w", "d/v")]);
    let run = stage.start().await;
    let result = stage.equal(run).await;
    assert_eq!(result.progress.run.files_scanned, 0, "nothing is scanned again: {result:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_48_crash_between_the_write_and_its_record() {
    let stage = Stage::shared("r48").await;
    stage.act([create("d/x", "x"), create("d/gone", "gone")]);
    let written = [stage.gate(Moment::Written, "d/x"), stage.gate(Moment::Written, "d/gone")];
    let run = stage.start().await;
    for gate in &written {
        gate.reached().await;
    }
    run.crash().await;
    drop(written);
    assert_eq!(stage.object("d/x").await.unwrap(), b"x", "the write took effect");
    stage.act([delete("d/gone"), append("d/x", " and more")]);
    let run = stage.start().await;
    stage.equal(run).await;
    assert_eq!(stage.object("d/gone").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn race_49_gap_in_the_stream() {
    let stage = Stage::alone("r49").await;
    stage.act([create("a/x", "x"), create("a/y", "y"), create("b/z", "z"), create("w", "w")]);
    let run = stage.migrated().await;
    let copied = run.control.progress().run.files_copied;
    let held = stage.hold_stream().await;
    stage.act([rename("a", "c"), delete("b"), append("w", " more"), create("n/new", "new")]);
    stage.hadoop.purge_edits().unwrap();
    held.open();
    let result = stage.equal(run).await;
    assert_eq!(result.progress.run.gaps, 1, "{result:#?}");
    assert_eq!(result.progress.run.files_copied - copied, 2, "{result:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_50_failover_while_the_stream_is_asked() {
    let stage = Stage::available("r50").await;
    stage.act([create("d/x", "x"), create("y", "y")]);
    let run = stage.migrated().await;
    let polled = stage.gate(Moment::Polled, "");
    stage.act([append("d/x", " more")]);
    polled.reached().await;
    stage.hadoop.fail_over().unwrap();
    stage.act([append("d/x", " and more"), rename("y", "z")]);
    polled.open();
    let result = stage.equal(run).await;
    assert_eq!(result.progress.run.gaps, 0, "{result:#?}");
    assert_eq!(stage.object("d/x").await.unwrap(), b"x more and more");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_51_failover_while_it_is_scanned() {
    let stage = Stage::available("r51").await;
    stage.act(["a", "b", "c", "d", "e", "f"].map(|name| create(&format!("d/{name}"), name)));
    let listed = stage.gate(Moment::Listed, "d");
    let run = stage.start().await;
    listed.reached().await;
    stage.hadoop.fail_over().unwrap();
    stage.act([create("d/aa", "new"), delete("d/b"), create("d/g", "g")]);
    listed.open();
    stage.equal(run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn race_52_no_name_node_is_active_for_a_while() {
    let stage = Stage::available("r52").await;
    stage.act([create("d/x", "x")]);
    let run = stage.migrated().await;
    let held = stage.hold_stream().await;
    stage.act([append("d/x", " more")]);
    let killed = stage.hadoop.command(&json!({"command": "kill_name_node"})).unwrap();
    held.open();
    tokio::time::sleep(Duration::from_secs(2)).await;
    stage.hadoop.fail_over().unwrap();
    stage.act([create("d/y", "y")]);
    stage.equal(run).await;
    let index = usize::try_from(killed["index"].as_u64().unwrap()).unwrap();
    stage.hadoop.restart_name_node(index).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn race_53_more_events_than_one_answer_holds_and_answers_without_any() {
    let stage = Stage::shared("r53").await;
    stage.act([create("f", "f"), mkdirs("quota")]);
    let run = stage.migrated().await;
    let before = run.control.progress().run.changes_seen;
    let held = stage.hold_stream().await;
    for number in 0..EVENTS_MAX {
        let path = format!("d{}/x{number}", number % 3);
        stage.act([create(&path, "small"), append(&path, " and more")]);
    }
    stage.act([json!({"operation": "set_quota", "path": "quota", "names": 100})]);
    held.open();
    let result = stage.equal(run).await;
    let seen = result.progress.run.changes_seen - before;
    assert!(seen >= 3 * EVENTS_MAX as u64, "{result:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_54_restart_of_the_name_node_and_safe_mode() {
    let stage = Stage::alone("r54").await;
    stage.act([create("d/x", "x"), create("y", "y")]);
    let run = stage.migrated().await;
    let held = stage.hold_stream().await;
    stage.act([append("d/x", " more")]);
    stage.hadoop.restart_name_node(0).unwrap();
    stage.hadoop.set_safe_mode(true).unwrap();
    held.open();
    stage.stands("d/x").await;
    stage.hadoop.set_safe_mode(false).unwrap();
    stage.act([create("d/z", "z"), delete("y")]);
    let result = stage.equal(run).await;
    assert_eq!(result.progress.run.gaps, 0, "{result:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_55_flood_of_events_on_excluded_paths() {
    let stage = Stage::shared("r55").await;
    stage.act([create("d/x", "x"), mkdirs("d/_temporary")]);
    let run = stage.migrated().await;
    let before = run.control.progress().run.changes_seen;
    let held = stage.hold_stream().await;
    for number in 0..200 {
        stage.act([mkdirs(&format!("d/_temporary/{number}"))]);
    }
    stage.act([create("d/_temporary/y", "y"), create("d/z", "z")]);
    held.open();
    let result = stage.equal(run).await;
    let seen = result.progress.run.changes_seen - before;
    assert!((1..=3).contains(&seen), "{result:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_56_metadata_of_a_path_that_was_renamed_already() {
    let stage = Stage::shared("r56").await;
    stage.act([create("a/x", "x"), create("a/y", "y")]);
    let run = stage.migrated().await;
    let held = stage.hold_stream().await;
    let chmod = |path: &str| json!({"operation": "set_permission", "path": path, "mode": "0600"});
    stage.act([chmod("a/x"), rename("a/x", "a/z"), chmod("a/y"), rename("a", "b")]);
    held.open();
    stage.equal(run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn race_57_restored_from_a_snapshot() {
    let stage = Stage::shared("r57").await;
    stage.act([create("d/x", "x"), create("d/y", "y")]);
    stage.act([json!({"operation": "allow_snapshot", "path": "d"})]);
    let run = stage.migrated().await;
    stage.act([
        json!({"operation": "create_snapshot", "path": "d", "name": "s"}),
        delete("d/x"),
        append("d/y", " spoilt"),
        create("d/x", "x"),
        create("d/y", "y"),
        json!({"operation": "delete_snapshot", "path": "d", "name": "s"}),
    ]);
    stage.equal(run).await;
    assert_eq!(stage.object("d/y").await.unwrap(), b"y");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_58_another_cluster_in_the_old_place() {
    let other = Stage::available("r58").await;
    other.act([create("d/differs", "one")]);
    let hadoop = other.hadoop;
    drop(other);
    let mut stage = Stage::alone("r58").await;
    stage.act([create("d/differs", "two"), create("gone", "gone")]);
    let run = stage.migrated().await;
    stage.equal(run).await;
    stage.hadoop = hadoop;
    let result = stage.start().await.end().await;
    assert!(matches!(result.ending, Ending::Failed(_)), "{result:#?}");
    assert_eq!(stage.object("d/differs").await.unwrap(), b"two");
    assert_eq!(stage.object("gone").await.unwrap(), b"gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_59_more_pending_than_may_be_held() {
    let mut stage = Stage::shared("r59").await;
    stage.config.pending_max = 10;
    // One path is worked on at a time. That is held before anything else happens, so whatever order
    // the rest comes in, all of it is there to be coarsened.
    stage.claims_max = Some(1);
    stage.act([create("f", "f")]);
    let mut run = stage.migrated().await;
    let look = stage.gate(Moment::Looked, "f");
    stage.act([append("f", " and more")]);
    look.reached().await;
    let held = stage.hold_stream().await;
    for number in 0..60 {
        stage.act([create(&format!("d{}/e/x{number}", number % 4), "small")]);
    }
    stage.act([delete("d1"), rename("d2", "d5"), create("d1", "now a file")]);
    held.open();
    run.until(|progress| progress.run.coarsened > 0).await;
    look.open();
    stage.equal(run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn race_60_unusual_names() {
    let stage = Stage::shared("r60").await;
    const NAMES: [&str; 14] = [
        "per%20cent",
        "a+b",
        "two words",
        " space",
        "line\nfeed",
        "a b",
        "caf\u{e9}",
        "cafe\u{301}",
        "\u{1f426}",
        "back\\slash",
        "a&b=c?d#e",
        "quote'\"",
        "...",
        "<x>",
    ];
    for name in &NAMES[..7] {
        stage.act([create(&format!("d/{name}"), name), mkdirs(&format!("m{name}"))]);
    }
    stage.act([create_large("d/zero blocks", 0, 1)]);
    let run = stage.migrated().await;
    for name in &NAMES[7..] {
        stage.act([create(&format!("d/{name}"), name), mkdirs(&format!("m{name}"))]);
    }
    stage.act([rename("d/a+b", "d/%2B"), rename("mper%20cent", "m%25")]);
    let result = stage.equal(run).await;
    assert!(result.parked.is_empty(), "{result:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_60_name_that_the_target_cannot_hold() {
    let stage = Stage::shared("r60b").await;
    stage.act([create("d/tab\tulator", "x"), create("d/y", "y")]);
    let result = stage.start().await.end().await;
    assert_eq!(result.outcome(), Outcome::Incomplete, "{result:#?}");
    let parked: Vec<String> = result.parked.iter().map(|each| each.path.to_string()).collect();
    assert_eq!(parked, ["d/tab\tulator"], "{result:#?}");
    assert_eq!(stage.object("d/y").await.unwrap(), b"y");
}
