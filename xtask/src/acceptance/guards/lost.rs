//! The source cannot be read, or is another: nothing is taken for removed.

use std::error::Error;
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use whimbrel_testbed::MemoryMount;

use super::Guard;
use super::stage::{FEW, LIMIT, Stage, equal, live, refuses, standing, stop, write_few};
use crate::acceptance::ground::{FOLDER, Ground, GroundPlan, Once, demand};
use crate::whimbrel::{Migration, Seen};

pub const GUARDS: &[Guard] = &[
    Guard { name: "hdfs-root-renamed", provoke: hdfs_root_renamed },
    Guard { name: "hdfs-root-renamed-live", provoke: hdfs_root_renamed_live },
    Guard { name: "hdfs-permission-lost", provoke: hdfs_permission_lost },
    Guard { name: "hdfs-safe-mode", provoke: hdfs_safe_mode },
    Guard { name: "hdfs-standby-answers", provoke: hdfs_standby_answers },
    Guard { name: "hdfs-name-node-down", provoke: hdfs_name_node_down },
    Guard { name: "local-root-renamed", provoke: local_root_renamed },
    Guard { name: "local-root-unmounted", provoke: local_root_unmounted },
    Guard { name: "local-mount-below-gone", provoke: local_mount_below_gone },
    Guard { name: "local-target-unmounted", provoke: local_target_unmounted },
];

const MOVED: &str = "/moved";
/// How long something is lost after that was noticed.
const LOST_FOR: Duration = Duration::from_secs(5);

fn rename(ground: &Ground, path: &str, to: &str) -> Result<(), Box<dyn Error>> {
    let rename = json!({"operation": "rename_new", "path": path, "to": to});
    ground.hadoop()?.operations(&[rename])?;
    Ok(())
}

fn set_mode(ground: &Ground, path: &str, mode: &str) -> Result<(), Box<dyn Error>> {
    let set = json!({"operation": "set_permission", "path": path, "mode": mode});
    ground.hadoop()?.operations(&[set])?;
    Ok(())
}

/// First nothing is there, then another directory without anything in it.
fn hdfs_root_renamed(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    let ground = stage.cluster()?;
    let mut measured = json!({"passed": true});
    rename(ground, FOLDER, MOVED)?;
    refuses(ground, (&Once::default(), &[]), (3, ""), &mut measured)?;
    ground.hadoop()?.operations(&[json!({"operation": "mkdirs", "path": FOLDER})])?;
    refuses(ground, (&Once::default(), &[]), (3, ""), &mut measured)?;
    ground.hadoop()?.operations(&[json!({"operation": "delete", "path": FOLDER})])?;
    rename(ground, MOVED, FOLDER)?;
    equal(ground, &[])?;
    Ok(measured)
}

/// A run that follows the root waits until it is back, and goes on.
fn hdfs_root_renamed_live(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    let ground = stage.cluster()?;
    let mut measured = json!({"passed": true});
    let before = standing(ground)?;
    let mut migration = live(ground)?;
    rename(ground, FOLDER, MOVED)?;
    let told =
        |kind: &'static str| move |seen: &Seen| seen.problems.iter().any(|it| it["kind"] == kind);
    migration.wait_for("word of the root", LIMIT, told("root_changed"))?;
    std::thread::sleep(LOST_FOR);
    demand(&mut measured, standing(ground)? == before, "something went with the root");
    rename(ground, MOVED, FOLDER)?;
    migration.wait_for("word of its return", LIMIT, told("root_back"))?;
    goes_on(ground, &mut migration, "back")?;
    stop(migration, &mut measured)?;
    Ok(measured)
}

/// A change arrives.
fn goes_on(ground: &Ground, migration: &mut Migration, name: &str) -> Result<(), Box<dyn Error>> {
    ground.hadoop()?.write(&format!("{FOLDER}/kept/{name}"), name)?;
    let path = ground.target_files().join("kept").join(name);
    migration.wait_for("a change", LIMIT, |_| path.exists())
}

/// A user who may not look into a directory, then not into the root.
fn hdfs_permission_lost(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    let ground = stage.cluster()?;
    let mut measured = json!({"passed": true});
    let stranger = Once { user: Some("stranger"), ..Once::default() };
    let below = format!("{FOLDER}/d");
    set_mode(ground, &below, "700")?;
    refuses(ground, (&stranger, &[]), (5, "denied"), &mut measured)?;
    set_mode(ground, &below, "755")?;
    set_mode(ground, FOLDER, "700")?;
    refuses(ground, (&stranger, &[]), (3, ""), &mut measured)?;
    set_mode(ground, FOLDER, "755")?;
    equal(ground, &[])?;
    Ok(measured)
}

/// It answers, and nothing may change.
fn hdfs_safe_mode(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    let ground = stage.cluster()?;
    let mut measured = json!({"passed": true});
    ground.hadoop()?.set_safe_mode(true)?;
    let ended =
        refuses(ground, (&Once::default(), &["--extras", "remove"]), (0, ""), &mut measured);
    ground.hadoop()?.set_safe_mode(false)?;
    ended.map(|()| measured)
}

/// Asked directly, by a migration that would take over all and remove what it does not find.
fn hdfs_standby_answers(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    let ground = stage.cluster()?;
    let mut measured = json!({"passed": true});
    let standby = ground.hadoop()?.name_nodes().pop().ok_or("there is no second NameNode")?;
    let source = Some(format!("hdfs://{standby}{FOLDER}"));
    let once = Once { source, name: Some("standby"), user: None };
    refuses(ground, (&once, &["--adopt", "--extras", "remove"]), (3, ""), &mut measured)?;
    Ok(measured)
}

/// The active one is killed: the other is a standby, until it is made active.
fn hdfs_name_node_down(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    let ground = stage.cluster()?;
    let mut measured = json!({"passed": true});
    let before = standing(ground)?;
    let mut migration = live(ground)?;
    ground.hadoop()?.kill_name_node()?;
    migration.wait_for("word of the loss", LIMIT, |seen| {
        seen.problems.iter().any(|problem| problem["kind"] == "source_lost")
    })?;
    std::thread::sleep(LOST_FOR);
    demand(&mut measured, standing(ground)? == before, "something went with the NameNode");
    ground.hadoop()?.fail_over()?;
    goes_on(ground, &mut migration, "failed-over")?;
    stop(migration, &mut measured)?;
    ground.hadoop()?.restart_name_node(0)?;
    Ok(measured)
}

fn local_root_renamed(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    let ground = stage.few()?;
    let mut measured = json!({"passed": true});
    let root = ground.local_source();
    let moved = root.with_extension("moved");
    fs::rename(root, &moved)?;
    refuses(&ground, (&Once::default(), &[]), (3, ""), &mut measured)?;
    fs::create_dir(root)?;
    refuses(&ground, (&Once::default(), &[]), (3, ""), &mut measured)?;
    fs::remove_dir(root)?;
    fs::rename(&moved, root)?;
    equal(&ground, &[])?;
    Ok(measured)
}

/// Nothing stands on either side.
fn bare(stage: &Stage) -> Result<Ground, Box<dyn Error>> {
    let plan = GroundPlan { local_source: true, local_target: true, ..GroundPlan::default() };
    stage.ground(&plan)
}

/// The folder below it is empty.
fn local_root_unmounted(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    let ground = bare(stage)?;
    let mut measured = json!({"passed": true});
    let mounted = MemoryMount::at(ground.local_source().to_owned())?;
    write_few(ground.local_source())?;
    equal(&ground, &[])?;
    drop(mounted);
    refuses(&ground, (&Once::default(), &[]), (3, ""), &mut measured)?;
    demand(&mut measured, standing(&ground)?.len() == FEW, "the target is not what it was");
    Ok(measured)
}

fn local_mount_below_gone(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    let ground = bare(stage)?;
    let mut measured = json!({"passed": true});
    let below = ground.local_source().join("below");
    let mounted = MemoryMount::at(below.clone())?;
    write_few(&below)?;
    write_few(ground.local_source())?;
    equal(&ground, &[])?;
    drop(mounted);
    refuses(&ground, (&Once::default(), &[]), (5, "conflict"), &mut measured)?;
    demand(&mut measured, standing(&ground)?.len() == 2 * FEW, "the target is not what it was");
    Ok(measured)
}

/// Nothing is written to the folder below it.
fn local_target_unmounted(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    let ground = bare(stage)?;
    let mut measured = json!({"passed": true});
    let mounted = MemoryMount::at(ground.target_files())?;
    write_few(ground.local_source())?;
    equal(&ground, &[])?;
    fs::write(ground.local_source().join("new"), "new")?;
    drop(mounted);
    refuses(&ground, (&Once::default(), &[]), (4, ""), &mut measured)?;
    demand(&mut measured, standing(&ground)?.is_empty(), "it was written below the mount");
    Ok(measured)
}
