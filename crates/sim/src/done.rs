//! What earlier calls of this same program did, one share a line: a long run goes on from there.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hasher};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The last word of a line that did not break off.
const WHOLE: &str = "done";

/// Shares that are done, by name, with what came of each; and the file that they are noted in.
pub struct Done {
    program: String,
    file: Option<Mutex<File>>,
    /// What came of the shares that earlier calls did: words as they were noted.
    pub before: BTreeMap<String, Vec<String>>,
}

impl Done {
    /// Reads what was noted; without a path nothing was, and nothing will be.
    ///
    /// # Errors
    /// The file, or this program's own, cannot be read.
    pub fn open(path: Option<&Path>) -> std::io::Result<Self> {
        let mut done = Self { program: program()?, file: None, before: BTreeMap::new() };
        let Some(path) = path else { return Ok(done) };
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        for line in std::fs::read_to_string(path)?.lines() {
            done.take_over(line);
        }
        println!("{} shares were done before", done.before.len());
        done.file = Some(Mutex::new(file));
        Ok(done)
    }

    /// A line that broke off, or that another program wrote, says nothing.
    fn take_over(&mut self, line: &str) -> Option<()> {
        let words = line.strip_prefix(&self.program)?.strip_prefix('\t')?;
        let words = words.strip_suffix(WHOLE)?.strip_suffix('\t')?;
        let mut words = words.split('\t').map(str::to_owned);
        self.before.insert(words.next()?, words.collect());
        Some(())
    }

    /// Notes a share that went well: whoever comes back for one that failed wants to see it.
    pub fn note(&self, name: &str, words: &[String]) {
        let Some(file) = &self.file else { return };
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let (program, words) = (&self.program, words.join("\t"));
        if let Err(error) = writeln!(file, "{program}\t{name}\t{words}\t{WHOLE}") {
            eprintln!("{name} is done, and cannot be noted: {error}");
        }
    }
}

/// Names this program: another one may find something else.
fn program() -> std::io::Result<String> {
    let mut hasher = DefaultHasher::new();
    hasher.write(&std::fs::read(std::env::current_exe()?)?);
    Ok(format!("{:016x}", hasher.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_broke_off_or_is_of_another_program_counts_for_nothing() {
        let path = std::env::temp_dir().join(format!("done-{}", std::process::id()));
        let words = ["7".to_owned(), "0,1".to_owned()];
        Done::open(Some(&path)).unwrap().note("one", &words);
        let whole = std::fs::read_to_string(&path).unwrap();
        let broken = whole.trim_end().trim_end_matches('e').replace("one", "two");
        let other = whole.replace(&program().unwrap(), "0123456789abcdef").replace("one", "three");
        std::fs::write(&path, format!("{other}{broken}\n{whole}")).unwrap();
        let before = Done::open(Some(&path)).unwrap().before;
        std::fs::remove_file(&path).unwrap();
        assert_eq!(before, BTreeMap::from([("one".to_owned(), words.to_vec())]));
    }
}
