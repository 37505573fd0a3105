//! Rule 8.2 on a real NameNode: a gap in the stream, and snapshots that tell what changed in it.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;
use whimbrel_engine::Repair;

use crate::stage::{Run, Stage, append, close, create, delete, mkdirs, open, rename, truncate};

const DIRECTORIES: u64 = 60;

/// Many directories with a file or more each, and one that is open.
async fn begun(name: &'static str, repair: Repair, allowed: bool) -> (Stage, Run) {
    let mut stage = Stage::alone(name).await;
    stage.config.until_quiet_millis = None;
    stage.repair = Some(repair);
    for number in 0..DIRECTORIES {
        stage.act([create(&format!("d{number}/x"), &format!("x{number}"))]);
    }
    stage.act([create("d2/y", "y"), create("d3/sub/z", "z"), create("d5/sub/w", "w")]);
    stage.act(open("d4/open", name, "half"));
    if allowed {
        stage.act([json!({"operation": "allow_snapshot", "path": ""})]);
    }
    let before = calls(&stage, "createSnapshot");
    let run = stage.migrated().await;
    for _ in 0..200 {
        if !allowed || calls(&stage, "createSnapshot") > before {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    // It is of use once the stream was followed beyond it.
    sleep(Duration::from_secs(3)).await;
    (stage, run)
}

fn calls(stage: &Stage, name: &str) -> u64 {
    stage.hadoop.stats().unwrap().calls(name)
}

/// Renames, a swap, removals, files that grow, and changes of metadata, of which nobody hears.
/// Answers how many listings it took to find them.
async fn gap(stage: &Stage, run: &mut Run) -> u64 {
    stage.act([create("d6/short", "made after the snapshot"), append("d7/x", " more")]);
    let mode = |mode: &str| json!({"operation": "set_permission", "path": "d8/x", "mode": mode});
    stage.act([mode("0600")]);
    stage.stands("d6/short").await;
    run.at_rest().await;
    let held = stage.hold_stream().await;
    stage.act([
        rename("d1", "moved"),
        rename("d2/x", "d2/x0"),
        rename("d2/y", "d2/x"),
        rename("d2/x0", "d2/y"),
        delete("d3"),
        create("d3/x", "made anew"),
        rename("d5/sub", "d9/sub"),
        append("d9/sub/w", " and more"),
        delete("d6/short"),
        mode("0644"),
        truncate("d10/x", 1),
        create("n/m/new", "new"),
        mkdirs("empty"),
        json!({"operation": "set_owner", "path": "d11/x", "owner": "alice"}),
        json!({"operation": "set_xattr", "path": "d12/x", "name": "user.a", "text": "v"}),
        rename("d13/x", &stage.outside("x")),
        create("d14/brief", "brief"),
        delete("d14/brief"),
    ]);
    stage.act(crate::stage::write(stage.name(), " and the rest"));
    stage.act([close(stage.name())]);
    stage.hadoop.purge_edits().unwrap();
    let before = calls(stage, "getListing");
    held.open();
    run.until(|now| now.run.gaps == 1).await;
    run.at_rest().await;
    calls(stage, "getListing") - before
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_8_2_gap_is_repaired_by_a_difference() {
    let (mut stage, mut run) = begun("r82", Repair::Only, true).await;
    let listings = gap(&stage, &mut run).await;
    println!("{listings} listings of {DIRECTORIES} directories and more");
    assert!(listings < DIRECTORIES / 2, "{listings} listings");
    stage.equal_at_rest(run).await;
    assert!(!stage.snapshots().await.is_empty(), "one is kept for the next run");
    stage.repair = None;
    let run = stage.migrated().await;
    for _ in 0..100 {
        if stage.snapshots().await.is_empty() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert!(stage.snapshots().await.is_empty(), "a run without them removes what is left");
    stage.equal_at_rest(run).await;
}

/// Opened again in one gap, and closed in the next: no event told of either, and no difference tells
/// of what was open at its begin.
#[tokio::test(flavor = "multi_thread")]
async fn rule_8_2_file_that_was_opened_in_a_gap_is_looked_at_again() {
    let (stage, mut run) = begun("r82o", Repair::Only, true).await;
    let again = "r82o again";
    let held = stage.hold_stream().await;
    stage.act([json!({"operation": "open", "path": "d20/x", "handle": again, "append": true})]);
    stage.act([rename("d1", "moved"), close(stage.name())]);
    stage.hadoop.purge_edits().unwrap();
    held.open();
    run.until(|now| now.run.gaps == 1).await;
    stage.stands("moved/x").await;
    // The snapshot that was made for it is of use once the stream was followed beyond it.
    sleep(Duration::from_secs(3)).await;
    let held = stage.hold_stream().await;
    stage.act(crate::stage::write(again, " and more"));
    stage.act([close(again), create("d21/y", "y")]);
    stage.hadoop.purge_edits().unwrap();
    held.open();
    run.until(|now| now.run.gaps == 2).await;
    stage.equal_at_rest(run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_8_2_everything_is_listed_where_snapshots_are_not_allowed() {
    let (stage, mut run) = begun("r82n", Repair::Only, false).await;
    let listings = gap(&stage, &mut run).await;
    assert!(listings >= DIRECTORIES, "{listings} listings");
    stage.equal_at_rest(run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_8_2_everything_is_listed_once_the_base_is_gone() {
    let (stage, mut run) = begun("r82g", Repair::Only, true).await;
    for name in stage.snapshots().await {
        stage.act([json!({"operation": "delete_snapshot", "path": "", "name": name})]);
    }
    let listings = gap(&stage, &mut run).await;
    assert!(listings >= DIRECTORIES, "{listings} listings");
    stage.equal_at_rest(run).await;
}

/// Of times alone no difference tells.
#[tokio::test(flavor = "multi_thread")]
async fn rule_8_2_what_no_difference_tells_is_found_by_listing_everything() {
    let (stage, mut run) = begun("r82f", Repair::First, true).await;
    let held = stage.hold_stream().await;
    stage.act([
        json!({"operation": "set_times", "path": "d1/x", "mtime_milliseconds": 1_234_000}),
        append("d2/x", " more"),
        close(stage.name()),
    ]);
    stage.hadoop.purge_edits().unwrap();
    held.open();
    run.until(|now| now.run.gaps == 1).await;
    stage.equal_at_rest(run).await;
}
