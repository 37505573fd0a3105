//! Very much is removed at the source: a person is asked.

use std::error::Error;

use serde_json::{Value, json};

use super::Guard;
use super::stage::{
    FEW, LIMIT, Stage, Tree, asks, confirm, equal, fill, live, remove_few, standing, stop,
};
use crate::acceptance::ground::{FOLDER, Ground, Once, demand, result};

pub const GUARDS: &[Guard] = &[
    Guard { name: "mass-deletion", provoke: mass_deletion },
    Guard { name: "emptied-root", provoke: emptied_root },
    Guard { name: "mass-deletion-live", provoke: mass_deletion_live },
    Guard { name: "bound-of-count", provoke: bound_of_count },
    Guard { name: "bound-of-share", provoke: bound_of_share },
    Guard { name: "bound-of-an-hour", provoke: bound_of_an_hour },
    Guard { name: "mass-of-extras", provoke: mass_of_extras },
];

const ASIDE: &str = "/aside";

/// Renames directories of the root out of it, or back.
fn set_aside(ground: &Ground, names: &[&str], back: bool) -> Result<(), Box<dyn Error>> {
    let mut operations = vec![json!({"operation": "mkdirs", "path": ASIDE})];
    operations.extend(names.iter().map(|name| {
        let (here, there) = (format!("{FOLDER}/{name}"), format!("{ASIDE}/{name}"));
        let (path, to) = if back { (there, here) } else { (here, there) };
        json!({"operation": "rename_new", "path": path, "to": to})
    }));
    ground.hadoop()?.operations(&operations)?;
    Ok(())
}

/// Directories leave the root; it is asked each time, and what comes back costs nothing.
fn leave_and_come_back(ground: &Ground, names: &[&str]) -> Result<Value, Box<dyn Error>> {
    let mut measured = json!({"passed": true});
    let before = standing(ground)?;
    set_aside(ground, names, false)?;
    for _ in 0..2 {
        asks(ground, &[], &mut measured)?;
    }
    set_aside(ground, names, true)?;
    let (code, lines) = ground.once(&Once::default(), &[])?;
    let result = result(&lines);
    demand(&mut measured, code == 0, &format!("what came back is held: {code} {result}"));
    let copied = result["run_files_copied"] == json!(0);
    demand(&mut measured, copied, "what came back was copied again");
    demand(&mut measured, standing(ground)? == before, "what came back does not stand");
    Ok(measured)
}

fn mass_deletion(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    leave_and_come_back(stage.cluster()?, &["d"])
}

fn emptied_root(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    leave_and_come_back(stage.cluster()?, &["d", "kept"])
}

/// Copies go on meanwhile; it goes on once a person said so.
fn mass_deletion_live(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    let ground = stage.cluster()?;
    let mut measured = json!({"passed": true});
    let before = standing(ground)?;
    let mut migration = live(ground)?;
    let delete = json!({"operation": "delete", "path": format!("{FOLDER}/d"), "recursive": true});
    ground.hadoop()?.operations(&[delete])?;
    migration.wait_for("the guard", LIMIT, |_| {
        ground.status().is_ok_and(|status| status["guarded"].as_u64() > Some(0))
    })?;
    ground.hadoop()?.write(&format!("{FOLDER}/kept/new"), "new")?;
    let any = |tree: &Tree, name: &str| tree.keys().any(|path| path.starts_with(name));
    let stands = |name: &str| standing(ground).is_ok_and(|tree| any(&tree, name));
    migration.wait_for("other changes", LIMIT, |_| stands("kept/new"))?;
    let after = standing(ground)?;
    let all = before.iter().all(|(path, bytes)| after.get(path) == Some(bytes));
    demand(&mut measured, all, "something went before a person was asked");
    confirm(ground, &mut measured)?;
    // A tree of which something goes while it is read is read again.
    let gone = || standing(ground).is_ok_and(|tree| !any(&tree, "d"));
    migration.wait_for("the removals", LIMIT, |_| gone())?;
    demand(&mut measured, stands("kept/0"), "more went than what was confirmed");
    stop(migration, &mut measured)?;
    fill(ground)?;
    Ok(measured)
}

fn bound_of_count(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    let ground = stage.few()?;
    let mut measured = json!({"passed": true});
    let bound = ["--removals-max", "3"];
    remove_few(ground.local_source(), 0..8)?;
    asks(&ground, &bound, &mut measured)?;
    confirm(&ground, &mut measured)?;
    equal(&ground, &bound)?;
    let left = standing(&ground)?.len();
    demand(&mut measured, left == FEW - 8, &format!("{left} files after a person's word"));
    Ok(measured)
}

/// Eight of ten are within a bound of 90%, and beyond one of 70%.
fn bound_of_share(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    let mut measured = json!({"passed": true});
    let ground = stage.few()?;
    let bound = |share| ["--removals-max", "3", "--removals-share-max", share];
    remove_few(ground.local_source(), 0..8)?;
    asks(&ground, &bound("70%"), &mut measured)?;
    let other = stage.few()?;
    remove_few(other.local_source(), 0..8)?;
    equal(&other, &bound("90%"))?;
    let left = standing(&other)?.len();
    demand(&mut measured, left == FEW - 8, &format!("{left} files within the bound"));
    Ok(measured)
}

/// What earlier runs removed within the hour counts.
fn bound_of_an_hour(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    let mut measured = json!({"passed": true});
    let ground = stage.few()?;
    let bound = ["--removals-max", "3", "--removals-share-max", "10%"];
    remove_few(ground.local_source(), 0..2)?;
    equal(&ground, &bound)?;
    remove_few(ground.local_source(), 2..4)?;
    asks(&ground, &bound, &mut measured)?;
    Ok(measured)
}

/// With `--extras remove`, what others wrote is no less to a person than what Whimbrel did.
fn mass_of_extras(stage: &Stage) -> Result<Value, Box<dyn Error>> {
    let mut measured = json!({"passed": true});
    let ground = stage.few()?;
    for number in 0..2 * FEW {
        std::fs::write(ground.target_files().join(format!("d/extra-{number}")), "theirs")?;
    }
    let bound = ["--extras", "remove", "--removals-max", "3"];
    asks(&ground, &bound, &mut measured)?;
    confirm(&ground, &mut measured)?;
    equal(&ground, &bound)?;
    let left = standing(&ground)?.len();
    demand(&mut measured, left == FEW, &format!("{left} files after a person's word"));
    Ok(measured)
}
