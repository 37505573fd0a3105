//! What became of each mutant, appended as it is found: the next call goes on from there.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::fs::{self, File};
use std::io::Write;

use serde_json::{Value, json};

use crate::process::target;

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// By what.
    Caught(String),
    /// It took too long there.
    Endless(String),
    Missed,
    /// By what is quick.
    Left,
    /// It cannot be built.
    Unviable,
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caught(by) => write!(formatter, "caught ({by})"),
            Self::Endless(by) => write!(formatter, "endless ({by})"),
            Self::Missed => write!(formatter, "MISSED"),
            Self::Left => write!(formatter, "left for later"),
            Self::Unviable => write!(formatter, "unviable"),
        }
    }
}

/// What the tests of each program were that was asked, by the program's name.
pub type Asked = BTreeMap<String, String>;

#[derive(Debug)]
pub struct Book {
    file: File,
    /// By the mutant's name and what its file was.
    known: BTreeMap<(String, String), Noted>,
    /// What cannot be built together with others.
    singles: BTreeSet<(String, String)>,
}

/// What is known of a mutant.
#[derive(Clone, Debug)]
pub struct Noted {
    pub verdict: Verdict,
    /// Who was asked, if nobody noticed it.
    pub asked: Asked,
}

impl Book {
    pub fn open() -> Result<Self, Box<dyn Error>> {
        let path = target().join("mutants/notes.jsonl");
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = File::options().create(true).append(true).read(true).open(&path)?;
        let (mut known, mut singles) = (BTreeMap::new(), BTreeSet::new());
        // A line that was cut off is looked at again.
        for line in fs::read_to_string(&path)?.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            let verdict = match line["verdict"].as_str() {
                Some("caught") => Verdict::Caught(text("by")),
                Some("endless") => Verdict::Endless(text("by")),
                Some("missed") => Verdict::Missed,
                Some("left") => Verdict::Left,
                Some("single") => {
                    singles.insert((text("mutant"), text("file")));
                    continue;
                }
                Some("unviable") => Verdict::Unviable,
                _ => continue,
            };
            let asked = serde_json::from_value(line["asked"].clone()).unwrap_or_default();
            let noted = Noted { verdict, asked };
            known.insert((text("mutant"), text("file")), noted);
        }
        Ok(Self { file, known, singles })
    }

    /// What became of it, as long as its file is the same.
    pub fn noted(&self, mutant: &str, file: &str) -> Option<&Noted> {
        self.known.get(&(mutant.to_owned(), file.to_owned()))
    }

    pub fn is_single(&self, mutant: &str, file: &str) -> bool {
        self.singles.contains(&(mutant.to_owned(), file.to_owned()))
    }

    pub fn add_single(&mut self, mutant: &str, file: &str) -> Result<(), Box<dyn Error>> {
        writeln!(self.file, "{}", json!({"mutant": mutant, "file": file, "verdict": "single"}))?;
        self.singles.insert((mutant.to_owned(), file.to_owned()));
        Ok(())
    }

    pub fn add(&mut self, mutant: &str, file: &str, noted: Noted) -> Result<(), Box<dyn Error>> {
        let Noted { verdict, asked } = &noted;
        let (name, by) = match verdict {
            Verdict::Caught(by) => ("caught", by.as_str()),
            Verdict::Endless(by) => ("endless", by.as_str()),
            Verdict::Missed => ("missed", ""),
            Verdict::Left => ("left", ""),
            Verdict::Unviable => ("unviable", ""),
        };
        let line = json!({"mutant": mutant, "file": file, "verdict": name, "by": by,
            "asked": asked});
        writeln!(self.file, "{line}")?;
        self.known.insert((mutant.to_owned(), file.to_owned()), noted);
        Ok(())
    }
}
