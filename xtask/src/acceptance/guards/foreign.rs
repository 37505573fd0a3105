//! What somebody else wrote to the target stands, and is told, until a person says otherwise.

use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::Guard;
use super::stage::{LIMIT, Stage, equal, kept, live, refuses, standing, stop, write_few};
use crate::acceptance::ground::{Ground, GroundPlan, Once, demand, result};

pub const GUARDS: &[Guard] = &[
    Guard { name: "foreign-write", provoke: foreign_write },
    Guard { name: "foreign-write-and-removal", provoke: foreign_write_and_removal },
    Guard { name: "foreign-write-live", provoke: foreign_write_live },
    Guard { name: "foreign-write-after-adoption", provoke: foreign_write_after_adoption },
    Guard { name: "extras-stay", provoke: extras_stay },
    Guard { name: "another-migration", provoke: another_migration },
    Guard { name: "existing-refuse", provoke: existing_refuse },
];

const THEIRS: &str = "somebody else's";

/// Puts an object, by the SDK of AWS.
fn intrude(ground: &Ground, path: &str) -> Result<(), Box<dyn Error>> {
    let put = json!({"operation": "put", "path": path, "text": THEIRS});
    Ok(ground.checker()?.s3_operations(ground.target(), &[put])?)
}

fn remove(ground: &Ground, path: &str) -> Result<(), Box<dyn Error>> {
    let remove = json!({"operation": "remove", "path": path});
    Ok(ground.checker()?.s3_operations(ground.target(), &[remove])?)
}

fn stands(ground: &Ground, path: &str, text: &str) -> bool {
    fs::read(ground.target_files().join(path)).is_ok_and(|bytes| bytes == text.as_bytes())
}

/// Told by the next run, and again once the source changes; written over when a person says so.
fn foreign_write(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    let ground = stage.cluster()?;
    let mut measured = json!({"passed": true});
    intrude(ground, "kept/0")?;
    refuses(ground, (&Once::default(), &[]), (6, "foreign"), &mut measured)?;
    ground.hadoop()?.write(&kept(0), "changed")?;
    refuses(ground, (&Once::default(), &[]), (6, "foreign"), &mut measured)?;
    demand(&mut measured, stands(ground, "kept/0", THEIRS), "their object was written over");
    equal(ground, &["--existing", "replace"])?;
    demand(&mut measured, stands(ground, "kept/0", "changed"), "a person's word was not followed");
    Ok(measured)
}

/// Removed at the source: it is none of Whimbrel's to remove, and an extra from then on.
fn foreign_write_and_removal(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    let ground = stage.cluster()?;
    let mut measured = json!({"passed": true});
    intrude(ground, "kept/1")?;
    delete(ground, 1)?;
    extra_is_told(ground, "kept/1", &mut measured)?;
    goes_when_told(ground, "kept/1", &mut measured)?;
    Ok(measured)
}

fn goes_when_told(ground: &Ground, path: &str, measured: &mut Value) -> Result<(), Box<dyn Error>> {
    equal(ground, &["--extras", "remove"])?;
    demand(measured, !stands(ground, path, THEIRS), "a person's word was not followed");
    Ok(())
}

fn delete(ground: &Ground, number: usize) -> Result<(), Box<dyn Error>> {
    ground.hadoop()?.operations(&[json!({"operation": "delete", "path": kept(number)})])?;
    Ok(())
}

/// A run counts the one object that the source does not have, and leaves all as it is.
fn extra_is_told(ground: &Ground, path: &str, measured: &mut Value) -> Result<(), Box<dyn Error>> {
    let before = standing(ground)?;
    let (code, lines) = ground.once(&Once::default(), &[])?;
    let counted = &result(&lines)["run_extras"];
    let fits = code == 0 && *counted == json!(1);
    demand(measured, fits, &format!("exit code {code}, {counted} extras counted"));
    demand(measured, standing(ground)? == before, "an extra went, though nobody said so");
    demand(measured, stands(ground, path, THEIRS), "it is not what they wrote");
    Ok(())
}

/// It comes while a run follows, at a file that changes and at one that goes; the rest goes on.
fn foreign_write_live(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    let ground = stage.cluster()?;
    let mut measured = json!({"passed": true});
    let mut migration = live(ground)?;
    intrude(ground, "kept/2")?;
    intrude(ground, "kept/5")?;
    ground.hadoop()?.write(&kept(2), "changed")?;
    delete(ground, 5)?;
    migration.wait_for("word of it", LIMIT, |seen| {
        seen.problems.iter().any(|it| it["kind"] == "foreign" && it["path"] == "kept/2")
    })?;
    ground.hadoop()?.write(&kept(3), "changed")?;
    migration.wait_for("others", LIMIT, |_| stands(ground, "kept/3", "changed"))?;
    demand(&mut measured, stands(ground, "kept/2", THEIRS), "their object was written over");
    stop(migration, &mut measured)?;
    demand(&mut measured, stands(ground, "kept/2", THEIRS), "it was written over at the end");
    demand(&mut measured, stands(ground, "kept/5", THEIRS), "their object was removed");
    remove(ground, "kept/5")?;
    equal(ground, &["--existing", "replace"])?;
    Ok(measured)
}

/// What was equal before the first run is adopted: from then on it is guarded as well.
fn foreign_write_after_adoption(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    let ground = both(stage)?;
    let mut measured = json!({"passed": true});
    let (code, lines) = ground.once(&Once::default(), &[])?;
    let copied = &result(&lines)["files_copied"];
    demand(&mut measured, code == 0 && *copied == json!(0), "what was equal was not adopted");
    fs::write(ground.target_files().join("d/0"), THEIRS)?;
    fs::write(ground.local_source().join("d/0"), "changed")?;
    refuses(&ground, (&Once::default(), &[]), (6, "foreign"), &mut measured)?;
    demand(&mut measured, stands(&ground, "d/0", THEIRS), "their file was written over");
    equal(&ground, &["--existing", "replace"])?;
    demand(&mut measured, stands(&ground, "d/0", "changed"), "a person's word was not followed");
    Ok(measured)
}

/// The same small tree on both sides, which nobody has migrated.
fn both(stage: &Stage) -> Result<Ground, Box<dyn Error>> {
    let plan = GroundPlan { local_source: true, local_target: true, ..GroundPlan::default() };
    let ground = stage.ground(&plan)?;
    write_few(ground.local_source())?;
    write_few(Path::new(ground.target()))?;
    Ok(ground)
}

fn extras_stay(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    let ground = stage.cluster()?;
    let mut measured = json!({"passed": true});
    intrude(ground, "d/extra")?;
    extra_is_told(ground, "d/extra", &mut measured)?;
    goes_when_told(ground, "d/extra", &mut measured)?;
    Ok(measured)
}

/// Another state meets objects that it did not write.
fn another_migration(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    let ground = stage.cluster()?;
    let mut measured = json!({"passed": true});
    ground.hadoop()?.write(&kept(4), "changed")?;
    let other = Once { name: Some("another"), ..Once::default() };
    refuses(ground, (&other, &["--extras", "remove"]), (6, ""), &mut measured)?;
    equal(ground, &[])?;
    Ok(measured)
}

fn existing_refuse(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    let ground = both(stage)?;
    let mut measured = json!({"passed": true});
    fs::write(ground.target_files().join("d/0"), THEIRS)?;
    let refuse = ["--existing", "refuse"];
    refuses(&ground, (&Once::default(), &refuse), (6, ""), &mut measured)?;
    Ok(measured)
}
