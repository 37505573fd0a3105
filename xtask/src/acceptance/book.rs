//! What was measured: a line of JSON each, in a file that the project keeps.

use std::error::Error;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::process::{output, workspace};

/// One file of results.
#[derive(Debug)]
pub struct Book {
    path: PathBuf,
    lines: Vec<Value>,
    commit: String,
    sources: String,
}

/// What the command is built from. Documents, tests and the testbed may change between two runs of
/// a series.
const SOURCES: [&str; 5] =
    ["crates/*/src/*", "Cargo.lock", ":!crates/fuzz", ":!crates/sim", ":!crates/testbed"];

impl Book {
    /// Opens `docs/acceptance/NAME.jsonl`.
    pub fn open(name: &str) -> Result<Self, Box<dyn Error>> {
        Self::at(workspace().join(format!("docs/acceptance/{name}.jsonl")))
    }

    /// Opens that file.
    pub fn at(path: PathBuf) -> Result<Self, Box<dyn Error>> {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(format!("{}: {error}", path.display()).into()),
        };
        let lines = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let (commit, sources) = (commit()?, sources()?);
        Ok(Self { path, lines, commit, sources })
    }

    /// Everything that was measured, in order.
    pub fn lines(&self) -> &[Value] {
        &self.lines
    }

    /// Whether the command of these sources has passed the same call already.
    pub fn has_passed(&self, call: &Value) -> bool {
        self.lines.iter().any(|line| {
            line["sources"] == json!(self.sources)
                && line["call"] == *call
                && line["passed"] == json!(true)
        })
    }

    /// Appends what was measured, and prints it.
    pub fn add(&mut self, call: &Value, measured: &Value) -> Result<(), Box<dyn Error>> {
        println!("{}", self.append(call, measured)?);
        Ok(())
    }

    /// Appends what was measured; gives the line.
    pub fn append(&mut self, call: &Value, measured: &Value) -> Result<&Value, Box<dyn Error>> {
        let mut line = json!({"commit": self.commit, "sources": self.sources, "call": call});
        if let (Some(line), Some(measured)) = (line.as_object_mut(), measured.as_object()) {
            line.extend(measured.clone());
        }
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = File::options().create(true).append(true).open(&self.path)?;
        writeln!(file, "{line}")?;
        self.lines.push(line);
        self.lines.last().ok_or_else(|| "nothing was appended".into())
    }
}

/// The commit, and whether it is what was measured.
fn commit() -> Result<String, Box<dyn Error>> {
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?.trim().to_owned();
    let changed = !git(&["status", "--porcelain", "--", "crates"])?.is_empty();
    Ok(if changed { format!("{commit}-changed") } else { commit })
}

/// What was measured: a number for the sources as they are, which may be no commit.
fn sources() -> Result<String, Box<dyn Error>> {
    let mut hasher = DefaultHasher::new();
    let listed = git(&[&["ls-files", "-z", "--"], &SOURCES[..]].concat())?;
    for name in listed.split_terminator('\0') {
        let text = std::fs::read(workspace().join(name)).map_err(|e| format!("{name}: {e}"))?;
        (name, text).hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn git(arguments: &[&str]) -> Result<String, Box<dyn Error>> {
    let mut git = Command::new("git");
    output(git.current_dir(workspace()).args(arguments))
}

#[cfg(test)]
mod tests {
    use super::{SOURCES, git};

    /// The pattern met no file of a crate: results of an older core passed for those of this one.
    #[test]
    fn sources_are_those_of_the_crates() {
        let listed = git(&[&["ls-files", "--"], &SOURCES[..]].concat()).unwrap();
        let held = |name: &str| listed.lines().any(|line| line == name);
        assert!(held("crates/core/src/migration/mod.rs") && held("Cargo.lock"), "{listed}");
        assert!(!listed.contains("crates/sim/") && !listed.contains("/tests/"), "{listed}");
    }
}
