//! Races of a copy with changes of its file.

use serde_json::json;

use crate::gates::Moment;
use crate::stage::{
    Stage, append, append_open, close, create, create_large, delete, mkdirs, rename, truncate,
    write,
};

const MIB: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn race_25_appended_to_while_it_is_copied() {
    let stage = Stage::shared("r25").await;
    stage.act([create_large("x", 2 * MIB, 1)]);
    let reading = stage.gate(Moment::ReadInPart, "x");
    let mut run = stage.start().await;
    reading.reached().await;
    stage.act([append_open("x", "r25")]);
    stage.act(write("r25", "and more"));
    reading.open();
    run.until(|now| now.files_open == 1).await;
    stage.act([close("r25")]);
    stage.equal(run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn race_26_appended_to_and_closed_before_the_write_ends() {
    let stage = Stage::shared("r26").await;
    stage.act([create("x", "begin")]);
    let writing = stage.gate(Moment::Writing, "x");
    let run = stage.start().await;
    writing.reached().await;
    stage.act([append("x", " and end")]);
    writing.open();
    stage.equal(run).await;
    assert_eq!(stage.object("x").await.unwrap(), b"begin and end");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_27_truncated_while_it_is_copied() {
    let stage = Stage::shared("r27").await;
    stage.act([create_large("aligned", 3 * MIB, 1), create_large("unaligned", 3 * MIB, 2)]);
    let aligned = stage.gate(Moment::ReadInPart, "aligned");
    let unaligned = stage.gate(Moment::ReadInPart, "unaligned");
    let run = stage.start().await;
    aligned.reached().await;
    unaligned.reached().await;
    stage.act([truncate("aligned", MIB), truncate("unaligned", MIB + 100)]);
    aligned.open();
    unaligned.open();
    stage.equal(run).await;
    assert_eq!(stage.object("unaligned").await.unwrap().len() as u64, MIB + 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn race_28_truncated_and_appended_to_the_same_length() {
    let stage = Stage::shared("r28").await;
    stage.act([create_large("d/x", 5_000, 1), create_large("d/y", 5_000, 1)]);
    let status = |path: &str| {
        let path = stage.absolute(path);
        stage.hadoop.command(&json!({"command": "status", "path": path})).unwrap()
    };
    let modified = |path: &str| status(path)["mtime_milliseconds"].as_i64().unwrap();
    let (before_x, before_y) = (modified("d/x"), modified("d/y"));
    let change = |path: &str, before: i64| {
        stage.act([truncate(path, 4_000)]);
        while stage.act([json!({"operation": "is_file_closed", "path": path})])[0]["done"] != true {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let times = json!({
            "operation": "set_times", "path": path, "mtime_milliseconds": before,
        });
        stage.act([append(path, &"z".repeat(1_000)), times]);
    };
    let writing = stage.gate(Moment::Writing, "d/x");
    let mut run = stage.start().await;
    writing.reached().await;
    change("d/x", before_x);
    writing.open();
    run.at_rest().await;
    change("d/y", before_y);
    stage.equal(run).await;
    assert!(stage.object("d/x").await.unwrap().ends_with(b"zzz"));
    assert!(stage.object("d/y").await.unwrap().ends_with(b"zzz"));
}

#[tokio::test(flavor = "multi_thread")]
async fn race_29_overwritten_while_it_is_copied() {
    let stage = Stage::shared("r29").await;
    stage.act([create_large("x", 3 * MIB, 1)]);
    let reading = stage.gate(Moment::ReadInPart, "x");
    let run = stage.start().await;
    reading.reached().await;
    stage.act([create_large("x", 3 * MIB, 2)]);
    reading.open();
    let result = stage.equal(run).await;
    assert!(result.parked.is_empty(), "{result:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_30_deleted_while_it_is_read() {
    let stage = Stage::shared("r30").await;
    stage.act([create_large("x", 3 * MIB, 1), create("stays", "stays")]);
    let reading = stage.gate(Moment::ReadInPart, "x");
    let run = stage.start().await;
    reading.reached().await;
    stage.act([delete("x")]);
    reading.open();
    let result = stage.equal(run).await;
    assert_eq!(stage.object("x").await, None, "{result:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_31_deleted_after_it_was_read_before_it_is_written() {
    let stage = Stage::shared("r31").await;
    stage.act([create("d/x", "x"), create("stays", "stays")]);
    let writing = stage.gate(Moment::Writing, "d/x");
    let run = stage.start().await;
    writing.reached().await;
    stage.act([delete("d")]);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    writing.open();
    let result = stage.equal(run).await;
    assert_eq!(stage.object("d/x").await, None, "{result:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_32_file_renamed_while_it_is_copied() {
    let stage = Stage::shared("r32").await;
    stage.act([create_large("d/x", 3 * MIB, 1), create("y", "y")]);
    let reading = stage.gate(Moment::ReadInPart, "d/x");
    let writing = stage.gate(Moment::Writing, "y");
    let run = stage.start().await;
    reading.reached().await;
    writing.reached().await;
    stage.act([rename("d/x", "d/z"), rename("y", "w")]);
    reading.open();
    writing.open();
    stage.equal(run).await;
    assert_eq!(stage.object("d/x").await, None);
    assert_eq!(stage.object("y").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn race_33_ancestor_renamed_while_a_file_is_copied() {
    let stage = Stage::shared("r33").await;
    stage.act([create_large("a/b/x", 3 * MIB, 1), create("a/b/y", "y"), create("a/z", "z")]);
    let reading = stage.gate(Moment::ReadInPart, "a/b/x");
    let run = stage.start().await;
    reading.reached().await;
    stage.act([rename("a", "c")]);
    reading.open();
    stage.equal(run).await;
    assert_eq!(stage.object("a/b/x").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn race_34_metadata_alone_copies_no_bytes() {
    let stage = Stage::shared("r34").await;
    stage.act([create("d/x", "bytes"), create("d/y", "bytes"), create("d/z", "bytes")]);
    let run = stage.migrated().await;
    let before = run.control.progress().run.bytes_copied;
    let held = stage.hold_stream().await;
    stage.act([
        json!({"operation": "set_times", "path": "d/x", "mtime_milliseconds": 1_000_000}),
        json!({"operation": "set_permission", "path": "d/x", "mode": "0600"}),
        json!({"operation": "set_replication", "path": "d/z", "replication": 2}),
        json!({"operation": "set_acl", "path": "d/y",
               "acl": "user::rw-,user:alice:rw-,group::r--,mask::rw-,other::---"}),
        json!({"operation": "set_xattr", "path": "d/z", "name": "user.n", "text": "v"}),
        json!({"operation": "set_owner", "path": "d/y", "owner": "zoe", "group": "g"}),
    ]);
    held.open();
    let result = stage.equal(run).await;
    assert_eq!(before, 15, "{result:#?}");
    assert_eq!(result.progress.run.bytes_copied, before, "{result:#?}");
    assert_eq!(result.progress.run.metadata_updated, 2, "{result:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_35_concatenated() {
    let stage = Stage::shared("r35").await;
    stage.act([create_large("d/t", MIB, 1), create_large("d/a", MIB, 2)]);
    stage.act([create_large("d/b", 100, 3), create_large("e/u", MIB, 4)]);
    stage.act([create_large("e/v", 100, 5)]);
    let writing = stage.gate(Moment::Writing, "e/u");
    let mut run = stage.start().await;
    writing.reached().await;
    stage.act([json!({"operation": "concat", "path": "e/u", "sources": ["e/v"]})]);
    writing.open();
    run.at_rest().await;
    stage.act([json!({"operation": "concat", "path": "d/t", "sources": ["d/a", "d/b"]})]);
    stage.equal(run).await;
    assert_eq!(stage.object("d/a").await, None);
    assert_eq!(stage.object("d/t").await.unwrap().len() as u64, 2 * MIB + 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn race_36_rewritten_with_the_old_times() {
    let stage = Stage::shared("r36").await;
    stage.act([create_large("same", 5_000, 1), create_large("other", 5_000, 1)]);
    let run = stage.migrated().await;
    let before = run.control.progress().run.bytes_copied;
    stage.act([
        json!({"operation": "rewrite_same", "path": "same", "seed": 1}),
        json!({"operation": "rewrite_same", "path": "other", "seed": 2}),
    ]);
    let result = stage.equal(run).await;
    let copied = result.progress.run.bytes_copied - before;
    assert!(copied <= 5_000, "the same bytes were copied again: {result:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_37_changed_again_and_again_while_it_is_written() {
    let stage = Stage::shared("r37").await;
    stage.act([create("x", "first")]);
    let writing = stage.gate(Moment::Writing, "x");
    let run = stage.start().await;
    writing.reached().await;
    stage.act([create("x", "second"), create("x", "the third")]);
    let again = stage.gate(Moment::Written, "x");
    writing.open();
    again.reached().await;
    stage.act([create("x", "the last")]);
    again.open();
    stage.equal(run).await;
    assert_eq!(stage.object("x").await.unwrap(), b"the last");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_38_lost_write_lands_after_a_newer_one() {
    let stage = Stage::shared("r38").await;
    stage.act([create("x", "older"), mkdirs("d")]);
    let late = stage.gate(Moment::LateWrite, "x");
    let run = stage.start().await;
    late.reached().await;
    stage.act([create("x", "newer")]);
    stage.stands("x").await;
    assert_eq!(stage.object("x").await.unwrap(), b"newer");
    late.land().await;
    assert_eq!(stage.object("x").await.unwrap(), b"older", "it has to land to be mended");
    stage.equal(run).await;
    assert_eq!(stage.object("x").await.unwrap(), b"newer");
}

#[tokio::test(flavor = "multi_thread")]
async fn race_38_lost_write_lands_after_the_file_went() {
    let stage = Stage::shared("r38b").await;
    stage.act([create("d/x", "gone"), create("stays", "stays")]);
    let late = stage.gate(Moment::LateWrite, "d/x");
    let mut run = stage.start().await;
    late.reached().await;
    stage.act([delete("d")]);
    run.until(|now| now.scanned).await;
    late.land().await;
    assert_eq!(stage.object("d/x").await.unwrap(), b"gone");
    stage.equal(run).await;
    assert_eq!(stage.object("d/x").await, None);
}
