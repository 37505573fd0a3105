//! A copy of the workspace in the target folder, where mutants are built.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::process::{cargo, output, target, workspace};

/// Whose tests are asked.
const PACKAGES: [&str; 4] = ["whimbrel-core", "whimbrel-ledger", "whimbrel-sim", "whimbrel-crash"];

#[derive(Debug)]
pub struct Tree {
    pub folder: PathBuf,
    build: PathBuf,
}

/// What a build said.
#[derive(Debug, Default)]
pub struct Built {
    /// Programs: their package, their target, and where they are.
    pub programs: Vec<(String, String, PathBuf)>,
    /// Where the compiler saw what is wrong: a file, and a range of its bytes.
    pub wrong: Vec<(String, Range<usize>)>,
    /// What it said of it.
    pub told: Vec<String>,
    pub well: bool,
}

impl Tree {
    /// Copies what is in the repository, but for some files, with its times: a build begins where
    /// the last one ended.
    pub fn copy(except: &BTreeSet<String>) -> Result<Self, Box<dyn Error>> {
        let folder = target().join("mutants");
        let tree = Self { folder: folder.join("tree"), build: folder.join("build") };
        let mut files = Command::new("git");
        files.current_dir(workspace());
        files.args(["ls-files", "--cached", "--others", "--exclude-standard"]);
        let listed = output(&mut files)?;
        let listed: BTreeSet<&str> =
            listed.lines().filter(|file| workspace().join(file).exists()).collect();
        tree.remove_others(&tree.folder, &listed)?;
        for file in listed.into_iter().filter(|file| !except.contains(*file)) {
            let (from, to) = (workspace().join(file), tree.folder.join(file));
            fs::create_dir_all(to.parent().ok_or("no folder")?)?;
            fs::copy(&from, &to)?;
            File::options()
                .write(true)
                .open(&to)?
                .set_modified(fs::metadata(&from)?.modified()?)?;
        }
        Ok(tree)
    }

    /// What was in the repository once.
    fn remove_others(&self, folder: &Path, listed: &BTreeSet<&str>) -> Result<(), Box<dyn Error>> {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry?.path();
            let name = path.strip_prefix(&self.folder)?.to_string_lossy().into_owned();
            if path.is_dir() {
                self.remove_others(&path, listed)?;
            } else if !listed.contains(name.as_str()) {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Writes a file, unless it is so already.
    pub fn write(&self, file: &str, text: &str) -> Result<(), Box<dyn Error>> {
        let path = self.folder.join(file);
        if !fs::read_to_string(&path).is_ok_and(|known| known == text) {
            fs::create_dir_all(path.parent().ok_or("no folder")?)?;
            fs::write(path, text)?;
        }
        Ok(())
    }

    /// Builds the product's part of it.
    pub fn check(&self) -> Result<Built, Box<dyn Error>> {
        self.cargo(&["build", "--package", "whimbrel-ledger"])
    }

    /// Whether the compiler takes the product's part of it.
    pub fn is_sound(&self) -> Result<bool, Box<dyn Error>> {
        Ok(self.cargo(&["check", "--package", "whimbrel-ledger"])?.well)
    }

    /// Builds the tests and the simulator.
    pub fn build(&self) -> Result<Built, Box<dyn Error>> {
        let mut arguments = vec!["test", "--no-run"];
        arguments.extend(PACKAGES.iter().flat_map(|package| ["--package", package]));
        let mut built = self.cargo(&arguments)?;
        if built.well {
            let simulator = self.cargo(&["build", "--package", "whimbrel-sim"])?;
            built.well = simulator.well;
            built.programs.push((
                "whimbrel-sim".to_owned(),
                "seeds".to_owned(),
                self.build.join("sim/whimbrel-sim"),
            ));
        }
        Ok(built)
    }

    fn cargo(&self, arguments: &[&str]) -> Result<Built, Box<dyn Error>> {
        let mut command = cargo();
        command.current_dir(&self.folder).args(arguments);
        command.args(["--quiet", "--offline", "--profile", "sim", "--message-format", "json"]);
        // What a mutant leaves unused is no mistake.
        command.env("CARGO_TARGET_DIR", &self.build).env("RUSTFLAGS", "--cap-lints=allow");
        let output = command.stderr(Stdio::inherit()).output()?;
        let mut built = Built { well: output.status.success(), ..Built::default() };
        for line in String::from_utf8(output.stdout)?.lines() {
            let message: Value = serde_json::from_str(line)?;
            built.add(&message);
        }
        Ok(built)
    }

    /// Where a package's tests run.
    pub fn folder_of(&self, package: &str) -> PathBuf {
        self.folder.join("crates").join(package.trim_start_matches("whimbrel-"))
    }
}

impl Built {
    fn add(&mut self, message: &Value) {
        if let Some(program) = message["executable"].as_str() {
            let package = message["package_id"].as_str().unwrap_or_default();
            let package = package.split('#').next().unwrap_or_default();
            let package = Path::new(package).file_name().unwrap_or_default().to_string_lossy();
            let name = message["target"]["name"].as_str().unwrap_or_default();
            self.programs.push((format!("whimbrel-{package}"), name.to_owned(), program.into()));
        }
        let told = &message["message"];
        if told["level"] != "error" {
            return;
        }
        self.told.push(told["rendered"].as_str().unwrap_or_default().to_owned());
        let mut places = BTreeSet::new();
        for span in told["spans"].as_array().into_iter().flatten() {
            let number = |name: &str| span[name].as_u64().and_then(|it| it.try_into().ok());
            let (Some(start), Some(end)) = (number("byte_start"), number("byte_end")) else {
                continue;
            };
            if span["is_primary"] == true {
                let file = span["file_name"].as_str().unwrap_or_default();
                places.insert((file.to_owned(), (start, end)));
            }
        }
        self.wrong.extend(places.into_iter().map(|(file, (start, end))| (file, start..end)));
    }
}
