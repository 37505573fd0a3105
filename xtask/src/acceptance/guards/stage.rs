//! Where guards are provoked: a cluster and an S3 server for most of them, and small local trees.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use whimbrel_testbed::{CreateFiles, FileSizes};

use crate::acceptance::ground::{
    FINDINGS_KEPT, FOLDER, Ground, GroundPlan, Once, demand, kinds, result,
};
use crate::whimbrel::{Edition, Migration};

/// More than may go without a word, and nearly all that there is.
const FILES: u64 = 1_200;
/// Of which guards of single files take one each.
const KEPT: usize = 6;
/// Files of a small tree.
pub const FEW: usize = 10;
/// For whatever is waited for.
pub const LIMIT: Duration = Duration::from_secs(180);

/// Bytes by path.
pub type Tree = BTreeMap<PathBuf, Vec<u8>>;

/// What guards are provoked on.
pub struct Stage {
    edition: Edition,
    cluster: OnceCell<Ground>,
}

impl Stage {
    pub fn new(edition: &Edition) -> Self {
        Self { edition: edition.clone(), cluster: OnceCell::new() }
    }

    /// Two NameNodes and an S3 server, with a tree that has been migrated: many files in `d`, few in
    /// `kept`. Whoever uses it leaves both sides equal.
    pub fn cluster(&self) -> Result<&Ground, Box<dyn Error>> {
        if let Some(ground) = self.cluster.get() {
            return Ok(ground);
        }
        let ground =
            self.ground(&GroundPlan { high_availability: true, ..GroundPlan::default() })?;
        for number in 0..KEPT {
            ground.hadoop()?.write(&kept(number), "kept")?;
        }
        fill(&ground)?;
        Ok(self.cluster.get_or_init(|| ground))
    }

    /// Other systems, on which nothing stands.
    pub fn ground(&self, plan: &GroundPlan) -> Result<Ground, Box<dyn Error>> {
        Ground::start(&GroundPlan { edition: self.edition.clone(), ..plan.clone() })
    }

    /// A local tree of [`FEW`] files, and a local target to which they have been migrated.
    pub fn few(&self) -> Result<Ground, Box<dyn Error>> {
        let plan = GroundPlan { local_source: true, local_target: true, ..GroundPlan::default() };
        let ground = self.ground(&plan)?;
        write_few(ground.local_source())?;
        equal(&ground, &[])?;
        Ok(ground)
    }

    /// After all of it both sides of the cluster are equal, as the checker sees them.
    pub fn judge(&self, measured: &mut Value) -> Result<(), Box<dyn Error>> {
        let Some(ground) = self.cluster.get() else { return Ok(()) };
        let report = ground.compare()?;
        let kept: Vec<&Value> = report.findings.iter().take(FINDINGS_KEPT).collect();
        measured["findings"] = json!(kept);
        measured["checked"] = report.summary;
        demand(measured, report.equal, "the checker finds differences");
        Ok(())
    }
}

/// A file of the cluster for a guard of its own.
pub fn kept(number: usize) -> String {
    format!("{FOLDER}/kept/{number}")
}

/// Writes what [`FILES`] counts, and has it migrated.
pub fn fill(ground: &Ground) -> Result<(), Box<dyn Error>> {
    ground.hadoop()?.create_files(&CreateFiles {
        directory: format!("{FOLDER}/d"),
        count: FILES,
        directories: FILES / 100,
        sizes: FileSizes::Fixed(100),
        seed: 1,
    })?;
    equal(ground, &[])
}

/// Writes the files of a small tree.
pub fn write_few(root: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(root.join("d"))?;
    for number in 0..FEW {
        fs::write(root.join("d").join(number.to_string()), format!("the text of {number}"))?;
    }
    Ok(())
}

/// Removes files of a small tree.
pub fn remove_few(
    root: &Path,
    numbers: impl IntoIterator<Item = usize>,
) -> Result<(), Box<dyn Error>> {
    for number in numbers {
        fs::remove_file(root.join("d").join(number.to_string()))?;
    }
    Ok(())
}

/// What each start tries out on the target; of what was removed there versions stay.
const PROBE: &str = ".whimbrel-probe";

/// What stands on the target, as the disk below it has it.
pub fn standing(ground: &Ground) -> Result<Tree, Box<dyn Error>> {
    let mut tree = Tree::new();
    read(&ground.target_files(), Path::new(""), &mut tree)?;
    Ok(tree)
}

fn read(root: &Path, folder: &Path, tree: &mut Tree) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_name().as_encoded_bytes().starts_with(PROBE.as_bytes()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            read(root, &path, tree)?;
        } else {
            tree.insert(path, fs::read(entry.path())?);
        }
    }
    Ok(())
}

/// Migrates; fails unless both sides are equal then.
pub fn equal(ground: &Ground, more: &[&str]) -> Result<(), Box<dyn Error>> {
    let (code, lines) = ground.once(&Once::default(), more)?;
    let result = result(&lines);
    if code == 0 && result["outcome"] == json!("equal") {
        return Ok(());
    }
    let problems = lines.iter().filter(|line| line["type"] == "problem").take(FINDINGS_KEPT);
    let problems: Vec<&Value> = problems.collect();
    Err(format!("a migration ended with {code}: {result} {problems:?}").into())
}

/// Begins to migrate `--live`, and waits until it has gone through all and follows.
pub fn live(ground: &Ground) -> Result<Migration, Box<dyn Error>> {
    let mut migration = ground.migrate(&[])?;
    migration.wait_for("the scan", LIMIT, |seen| {
        seen.progress["scanned"] == json!(true) && seen.progress["lag_seconds"] == json!(0.0)
    })?;
    Ok(migration)
}

/// Ends it, and demands that it ended because it was told to.
pub fn stop(migration: Migration, measured: &mut Value) -> Result<(), Box<dyn Error>> {
    let (code, seen) = migration.stop()?;
    demand(measured, code == 143, &format!("a live run ended with {code}: {}", seen.result));
    Ok(())
}

/// A migration ends with that exit code and one of these problems, or its result says so, and what
/// stood still stands.
pub fn refuses(
    ground: &Ground,
    (once, more): (&Once, &[&str]),
    (code, kind): (i32, &str),
    measured: &mut Value,
) -> Result<(), Box<dyn Error>> {
    let before = standing(ground)?;
    let (ended, lines) = ground.once(once, more)?;
    let result = result(&lines);
    let kinds = kinds(&lines);
    let told = kinds.iter().any(|each| each == kind) || result["kind"] == json!(kind);
    let why = format!("exit code {ended} with {kinds:?}, not {code} with {kind:?}: {result}");
    demand(measured, ended == code && (told || kind.is_empty()), &why);
    demand(measured, standing(ground)? == before, "what stood on the target does not stand there");
    Ok(())
}

/// A migration leaves all as it is and asks; whom to ask is said.
pub fn asks(ground: &Ground, more: &[&str], measured: &mut Value) -> Result<(), Box<dyn Error>> {
    refuses(ground, (&Once::default(), more), (6, "guard"), measured)
}

/// A person's word.
pub fn confirm(ground: &Ground, measured: &mut Value) -> Result<(), Box<dyn Error>> {
    let (code, lines) = ground.answer("confirm", &[])?;
    demand(measured, code == 0, &format!("confirm ended with {code}: {lines:?}"));
    Ok(())
}
