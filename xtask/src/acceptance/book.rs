//! What was measured: a line of JSON each, in a file that the project keeps.

use std::error::Error;
use std::fs::File;
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
}

impl Book {
    /// Opens `docs/acceptance/NAME.jsonl`.
    pub fn open(name: &str) -> Result<Self, Box<dyn Error>> {
        let path = workspace().join(format!("docs/acceptance/{name}.jsonl"));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(format!("{}: {error}", path.display()).into()),
        };
        let lines = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        Ok(Self { path, lines, commit: commit()? })
    }

    /// Whether this commit has passed the same call already.
    pub fn has_passed(&self, call: &Value) -> bool {
        self.lines.iter().any(|line| {
            line["commit"] == json!(self.commit)
                && line["call"] == *call
                && line["passed"] == json!(true)
        })
    }

    /// Appends what was measured.
    pub fn add(&mut self, call: &Value, measured: &Value) -> Result<(), Box<dyn Error>> {
        let mut line = json!({"commit": self.commit, "call": call});
        if let (Some(line), Some(measured)) = (line.as_object_mut(), measured.as_object()) {
            line.extend(measured.clone());
        }
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = File::options().create(true).append(true).open(&self.path)?;
        writeln!(file, "{line}")?;
        println!("{line}");
        self.lines.push(line);
        Ok(())
    }
}

/// What was measured: the sources as they are, which may be no commit.
fn commit() -> Result<String, Box<dyn Error>> {
    let mut describe = Command::new("git");
    describe.current_dir(workspace()).args(["rev-parse", "--short=12", "HEAD"]);
    let commit = output(&mut describe)?.trim().to_owned();
    let mut status = Command::new("git");
    status.current_dir(workspace()).args(["status", "--porcelain", "--", "crates"]);
    let changed = !output(&mut status)?.is_empty();
    Ok(if changed { format!("{commit}-changed") } else { commit })
}
