//! Files that are being written.

use std::time::Duration;

use serde_json::json;

use crate::gates::Moment;
use crate::stage::{
    Stage, append_open, close, create, create_large, delete, open, rename, truncate, write,
};

#[tokio::test(flavor = "multi_thread")]
async fn race_39_open_at_the_scan_and_closed_later() {
    let stage = Stage::shared("r39").await;
    stage.act(open("d/x", "r39", "half"));
    stage.act([create("d/y", "y")]);
    let mut run = stage.start().await;
    run.until(|now| now.files_open == 1).await;
    assert_eq!(stage.object("d/x").await, None);
    stage.act(write("r39", " and half"));
    stage.act([close("r39")]);
    let result = stage.equal(run).await;
    assert_eq!(result.progress.files_open, 0, "{result:#?}");
    assert_eq!(stage.object("d/x").await.unwrap(), b"half and half");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_39_closed_between_the_look_and_its_answer() {
    let stage = Stage::shared("r39b").await;
    stage.act(open("d/x", "r39b", "all"));
    let listed = stage.gate(Moment::Listed, "d");
    let run = stage.start().await;
    listed.reached().await;
    stage.act([close("r39b")]);
    listed.open();
    stage.equal(run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn race_40_abandoned_and_closed_by_lease_recovery() {
    let mut stage = Stage::alone("r40").await;
    stage.config.until_quiet_millis = None;
    let limits = |soft: u64, hard: u64| {
        let request = json!({
            "command": "lease_limits", "soft_milliseconds": soft, "hard_milliseconds": hard,
        });
        stage.hadoop.command(&request).unwrap();
    };
    stage.act(open("d/x", "r40", "left behind"));
    let mut run = stage.start().await;
    run.until(|now| now.files_open == 1).await;
    limits(100, 100);
    while stage.act([json!({"operation": "is_file_closed", "path": "d/x"})])[0]["done"] != true {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    limits(60_000, 1_200_000);
    stage.stands("d/x").await;
    stage.equal_at_rest(run).await;
    assert_eq!(stage.object("d/x").await.unwrap(), b"left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_41_long_lived_writer_waits_for_its_close() {
    let stage = Stage::shared("r41").await;
    stage.act([create("x", "closed")]);
    let mut run = stage.migrated().await;
    stage.act([append_open("x", "r41")]);
    run.until(|now| now.files_open == 1).await;
    for _ in 0..3 {
        stage.act(write("r41", ", more"));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(stage.object("x").await.unwrap(), b"closed", "what was last closed stays");
    stage.act([close("r41")]);
    stage.equal(run).await;
    assert_eq!(stage.object("x").await.unwrap(), b"closed, more, more, more");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_42_open_file_renamed_then_closed() {
    let stage = Stage::shared("r42").await;
    stage.act(open("d/x", "r42", "half"));
    let mut run = stage.start().await;
    run.until(|now| now.files_open == 1).await;
    stage.act([rename("d/x", "d/y")]);
    stage.act(write("r42", " more"));
    stage.act([close("r42")]);
    stage.equal(run).await;
    assert_eq!(stage.object("d/y").await.unwrap(), b"half more");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_42_file_of_a_renamed_directory_open_then_closed() {
    let stage = Stage::shared("r42b").await;
    stage.act(open("d/x", "r42b", "half"));
    let mut run = stage.start().await;
    run.until(|now| now.files_open == 1).await;
    stage.act([rename("d", "e")]);
    run.until(|now| now.files_open == 1 && now.run.changes_seen > 0).await;
    stage.act([close("r42b")]);
    stage.equal(run).await;
    assert_eq!(stage.object("e/x").await.unwrap(), b"half");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_43_open_file_deleted() {
    let stage = Stage::shared("r43").await;
    stage.act(open("x", "r43", "never closed"));
    stage.act([create("stays", "stays")]);
    let mut run = stage.start().await;
    run.until(|now| now.files_open == 1).await;
    stage.act([delete("x")]);
    let result = stage.equal(run).await;
    assert_eq!(result.progress.files_open, 0, "{result:#?}");
    assert_eq!(stage.object("x").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn race_43_file_opened_again_and_deleted() {
    let stage = Stage::shared("r43b").await;
    stage.act([create("x", "closed once"), create("stays", "stays")]);
    let mut run = stage.migrated().await;
    stage.act([append_open("x", "r43b")]);
    run.until(|now| now.files_open == 1).await;
    stage.act([delete("x")]);
    stage.equal(run).await;
    assert_eq!(stage.object("x").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn race_45_created_and_closed_without_a_byte() {
    let stage = Stage::shared("r45").await;
    stage.act([create("early", "")]);
    let run = stage.migrated().await;
    stage.act([create("late", ""), create("filled", ""), create("filled", "something")]);
    stage.act([create("emptied", "something"), create("emptied", "")]);
    let result = stage.equal(run).await;
    assert_eq!(stage.object("late").await.unwrap(), b"", "{result:#?}");
    assert_eq!(stage.object("emptied").await.unwrap(), b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_46_under_block_recovery_when_listed() {
    let stage = Stage::shared("r46").await;
    stage.act([create_large("d/x", 5_000, 1), create("d/y", "y")]);
    stage.act(open("d/z", "r46", "left behind"));
    let listing = stage.gate(Moment::Listing, "d");
    let run = stage.start().await;
    listing.reached().await;
    let done = stage.act([truncate("d/x", 4_000)])[0]["done"].clone();
    assert_eq!(done, false, "the last block has to be recovered");
    stage.act([json!({"operation": "recover_lease", "path": "d/z"})]);
    listing.open();
    stage.stands("d/z").await;
    stage.equal(run).await;
    assert_eq!(stage.object("d/x").await.unwrap().len(), 4_000);
}
