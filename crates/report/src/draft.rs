//! A report while it is written: tables of all files and of the exceptions, a summary for programs,
//! a page for people, and what proves that nobody altered them.
//!
//! The signature is over `SHA256SUMS`, which names every other file: `sha256sum` and `openssl` can
//! check it too.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use serde_json::{Map, Value, json};

use crate::error::ReportError;
use crate::key::{SigningKey, hex};
use crate::page;
use crate::schema::{Column, EXCEPTION};
use crate::table::{Format, Table};

pub(crate) const SUMS: &str = "SHA256SUMS";
pub(crate) const SIGNATURE: &str = "SHA256SUMS.sig";
pub(crate) const PUBLIC_KEY: &str = "public_key.pem";
const SUMMARY: &str = "report.json";
const PAGE: &str = "report.html";
/// What `SHA256SUMS` names, in its order.
pub(crate) const SUMMED: [&str; 7] = [
    "exceptions.jsonl",
    "exceptions.parquet",
    "files.jsonl",
    "files.parquet",
    PUBLIC_KEY,
    PAGE,
    SUMMARY,
];
/// The form of `report.json`.
const VERSION: u32 = 1;
/// Exceptions on the page; the tables have all.
const SHOWN_MAX: usize = 1_000;

/// True if a report can be written here: nothing is there, or an empty folder.
///
/// # Errors
/// The folder cannot be read, or neither be written nor made.
pub fn is_free(folder: &Path) -> Result<bool, ReportError> {
    let is_free = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => false,
        Err(error) => return Err(ReportError::file(folder)(error)),
    };
    if is_free {
        let stands = folder.ancestors().find(|above| above.is_dir()).unwrap_or(Path::new("."));
        // It has no name, and goes with its handle.
        tempfile::tempfile_in(stands).map_err(ReportError::file(folder))?;
    }
    Ok(is_free)
}

/// What kind of thing was proven how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way<'a> {
    /// What stands there: a file, a marker, a directory.
    pub kind: &'a str,
    /// How it is known to be right, or that it is not.
    pub method: &'a str,
}

/// What a report says beside its tables.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The heading of the page.
    pub title: String,
    /// One sentence.
    pub verdict: String,
    /// True if nothing is left to be done.
    pub good: bool,
    /// Names and values for people: what was compared, when, as of what.
    pub about: Vec<(String, String)>,
    /// Names and numbers for people.
    pub totals: Vec<(String, String)>,
    /// What the methods cannot see.
    pub limits: Vec<String>,
    /// For programs.
    pub fields: Map<String, Value>,
}

/// A report that is being written.
pub struct Draft {
    folder: Folder,
    files: Both,
    exceptions: Both,
    pub(crate) ways: BTreeMap<(String, String), Count>,
    pub(crate) shown: Vec<Value>,
    pub(crate) exceptions_count: u64,
}

/// How many there were of one way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub records: u64,
    pub bytes: u64,
}

impl Draft {
    /// Begins one in a folder, which is made.
    ///
    /// # Errors
    /// Something stands there, or it cannot be written.
    pub fn begin(folder: &Path, columns: &'static [Column]) -> Result<Self, ReportError> {
        if !is_free(folder)? {
            return Err(ReportError::Taken(folder.to_owned()));
        }
        fs::create_dir_all(folder).map_err(ReportError::file(folder))?;
        Ok(Self {
            files: Both::begin(folder, "files", columns)?,
            exceptions: Both::begin(folder, "exceptions", EXCEPTION)?,
            folder: Folder { path: folder.to_owned(), finished: false },
            ways: BTreeMap::new(),
            shown: Vec::new(),
            exceptions_count: 0,
        })
    }

    /// Adds one file, marker or directory.
    ///
    /// # Errors
    /// The folder takes no more.
    pub fn file(&mut self, record: &Value, way: Way<'_>) -> Result<(), ReportError> {
        let count = self.ways.entry((way.kind.to_owned(), way.method.to_owned())).or_default();
        count.records += 1;
        count.bytes += record.get("length").and_then(Value::as_u64).unwrap_or(0);
        self.files.add(record)
    }

    /// Adds what is not as it should be.
    ///
    /// # Errors
    /// The folder takes no more.
    pub fn exception(&mut self, record: &Value) -> Result<(), ReportError> {
        self.exceptions_count += 1;
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(record.clone());
        }
        self.exceptions.add(record)
    }

    /// Writes the rest and signs it. Without this the folder is no report.
    ///
    /// # Errors
    /// The folder takes no more.
    pub fn finish(self, facts: &Facts, key: &SigningKey) -> Result<(), ReportError> {
        let (summary, page) = (self.summary(facts), page::page(&self, facts, &key.public()));
        let mut unfinished = self.folder;
        let folder = unfinished.path.clone();
        let mut sums = self.files.finish()?;
        sums.append(&mut self.exceptions.finish()?);
        for (name, content) in [(SUMMARY, summary), (PAGE, page), (PUBLIC_KEY, key.public().pem())]
        {
            sums.insert(name.to_owned(), whole(&folder, name, content.as_bytes())?);
        }
        let lines: String = sums.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect();
        whole(&folder, SUMS, lines.as_bytes())?;
        whole(&folder, SIGNATURE, &key.sign(lines.as_bytes()))?;
        let entries = File::open(&folder).and_then(|entries| entries.sync_all());
        entries.map_err(ReportError::file(&folder))?;
        unfinished.finished = true;
        Ok(())
    }

    fn summary(&self, facts: &Facts) -> String {
        let methods: Vec<Value> = self
            .ways
            .iter()
            .map(|((kind, method), count)| {
                let (records, bytes) = (count.records, count.bytes);
                json!({ "kind": kind, "method": method, "records": records, "bytes": bytes })
            })
            .collect();
        let mut fields = facts.fields.clone();
        fields.insert("version".to_owned(), VERSION.into());
        fields.insert("verdict".to_owned(), facts.verdict.as_str().into());
        fields.insert("methods".to_owned(), methods.into());
        fields.insert("exceptions".to_owned(), self.exceptions_count.into());
        format!("{}\n", Value::Object(fields))
    }
}

/// Where a report is written. Unfinished, it goes again: the same call can be made once more.
struct Folder {
    path: PathBuf,
    finished: bool,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        for name in SUMMED.into_iter().chain([SUMS, SIGNATURE]) {
            // What was not written yet is not there.
            let _ = fs::remove_file(self.path.join(name));
        }
        let _ = fs::remove_dir(&self.path);
    }
}

/// The same records in two forms.
struct Both(Vec<(PathBuf, Table<Summed>)>);

impl Both {
    fn begin(folder: &Path, stem: &str, columns: &'static [Column]) -> Result<Self, ReportError> {
        let forms = [("jsonl", Format::JsonLines), ("parquet", Format::Parquet)];
        let tables = forms.into_iter().map(|(extension, format)| {
            let path = folder.join(format!("{stem}.{extension}"));
            match Table::begin(Summed::create(&path)?, format, columns) {
                Ok(table) => Ok((path, table)),
                Err(error) => Err(ReportError::Table { path, error }),
            }
        });
        Ok(Self(tables.collect::<Result<_, _>>()?))
    }

    fn add(&mut self, record: &Value) -> Result<(), ReportError> {
        for (path, table) in &mut self.0 {
            let told = |error| ReportError::Table { path: path.clone(), error };
            table.add(record).map_err(told)?;
        }
        Ok(())
    }

    fn finish(self) -> Result<BTreeMap<String, String>, ReportError> {
        let ended = self.0.into_iter().map(|(path, table)| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match table.finish() {
                Ok(summed) => Ok((name, summed.finish(&path)?)),
                Err(error) => Err(ReportError::Table { path, error }),
            }
        });
        ended.collect()
    }
}

/// A new file, and the sum of what was written to it.
struct Summed {
    file: BufWriter<File>,
    sum: Context,
}

impl Summed {
    fn create(path: &Path) -> Result<Self, ReportError> {
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let file = BufWriter::new(file.map_err(ReportError::file(path))?);
        Ok(Self { file, sum: Context::new(&SHA256) })
    }

    /// Durable at return.
    fn finish(mut self, path: &Path) -> Result<String, ReportError> {
        let durable = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        durable.map_err(ReportError::file(path))?;
        Ok(hex(self.sum.finish().as_ref()))
    }
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes a whole file; answers its sum.
fn whole(folder: &Path, name: &str, content: &[u8]) -> Result<String, ReportError> {
    let path = folder.join(name);
    let mut summed = Summed::create(&path)?;
    summed.write_all(content).map_err(ReportError::file(&path))?;
    summed.finish(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cut-over was told after the drain that its report had no place.
    #[test]
    fn a_folder_that_can_neither_be_written_nor_made_is_told_at_once() {
        for folder in ["/proc/self/reports/today", "/proc/self/reports"] {
            assert!(
                matches!(is_free(Path::new(folder)), Err(ReportError::File { .. })),
                "{folder}"
            );
        }
        let folder = tempfile::tempdir().unwrap();
        assert!(is_free(&folder.path().join("a/b")).unwrap());
        assert!(is_free(folder.path()).unwrap());
        assert!(!folder.path().join("a").exists());
    }
}
