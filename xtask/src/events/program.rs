//! What is done to the NameNode while it is recorded: most of it beside the migrated directory, as
//! on a cluster that is not migrated as a whole.

use std::error::Error;

use fastrand::Rng;
use serde_json::{Value, json};
use whimbrel_testbed::{CYCLE, Hadoop};

/// The directory that holds everything.
pub const ALL: &str = "/record";
/// The directory of a small part.
pub const PART: &str = "/record/part";
/// Beside it.
const REST: &str = "/record/rest";
/// Percent of the operations that are in the small part.
const PART_PERCENT: u32 = 10;
const DIRECTORIES: u32 = 50;
/// Operations that the cluster is handed at once.
const OPERATIONS_AT_ONCE: usize = 500;
/// Fewer files than this are not renamed or removed any more.
const FILES_MIN: usize = 50;

/// A tree and who changes it.
struct Program {
    rng: Rng,
    sides: [Side; 2],
    named: u64,
}

struct Side {
    folder: &'static str,
    files: Vec<String>,
}

/// Makes so many changes, the same for the same seed.
pub fn run(hadoop: &Hadoop, operations: usize, seed: u64) -> Result<(), Box<dyn Error>> {
    let sides = [PART, REST].map(|folder| Side { folder, files: Vec::new() });
    let mut program = Program { rng: Rng::with_seed(seed), sides, named: 0 };
    // HDFS makes none for a rename.
    hadoop.operations(&program.directories())?;
    let mut left = operations;
    while left > 0 {
        let count = left.min(OPERATIONS_AT_ONCE);
        let some: Vec<Value> = (0..count).map(|_| program.operation()).collect();
        hadoop.operations(&some)?;
        left -= count;
    }
    Ok(())
}

impl Program {
    fn directories(&self) -> Vec<Value> {
        let made = self.sides.iter().flat_map(|side| {
            let path = |number| format!("{}/{CYCLE}/d{number:02}", side.folder);
            (0..DIRECTORIES).map(path)
        });
        made.map(|path| json!({"operation": "mkdirs", "path": path})).collect()
    }

    fn operation(&mut self) -> Value {
        let side = usize::from(self.rng.u32(0..100) >= PART_PERCENT);
        let kind = self.rng.u32(0..100);
        if self.sides[side].files.len() < FILES_MIN || kind < 30 {
            return self.create(side);
        }
        match kind {
            30..40 => self.of_file(side, "create", json!({"bytes": 0})),
            40..46 => self.of_file(side, "append", json!({"text": "more"})),
            46..58 => self.rename(side),
            58..68 => self.remove(side),
            68..72 => json!({"operation": "mkdirs", "path": self.name(side, 'e')}),
            72..86 => {
                let millis = 1_700_000_000_000 + self.rng.u64(0..1 << 36);
                self.of_file(side, "set_times", json!({"mtime_milliseconds": millis}))
            }
            86..94 => {
                let mode = if self.rng.bool() { "640" } else { "644" };
                self.of_file(side, "set_permission", json!({"mode": mode}))
            }
            94..98 => {
                let owner = format!("user{}", self.rng.u8(0..9));
                self.of_file(side, "set_owner", json!({"owner": owner}))
            }
            _ => self.of_file(side, "truncate", json!({"length": 0})),
        }
    }

    /// A file in eight has bytes.
    fn create(&mut self, side: usize) -> Value {
        let path = self.name(side, 'f');
        self.sides[side].files.push(path.clone());
        let text = if self.rng.u8(0..8) == 0 { "written" } else { "" };
        json!({"operation": "create", "path": path, "text": text})
    }

    /// One in ten leaves for the other side.
    fn rename(&mut self, side: usize) -> Value {
        let from = self.take(side);
        let other = if self.rng.u8(0..10) == 0 { 1 - side } else { side };
        let to = self.name(other, 'r');
        self.sides[other].files.push(to.clone());
        json!({"operation": "rename", "path": from, "to": to})
    }

    fn remove(&mut self, side: usize) -> Value {
        let path = self.take(side);
        json!({"operation": "delete", "path": path})
    }

    fn of_file(&mut self, side: usize, operation: &str, more: Value) -> Value {
        let files = &self.sides[side].files;
        let mut request = more;
        request["operation"] = json!(operation);
        request["path"] = json!(files[self.rng.usize(0..files.len())]);
        request
    }

    fn take(&mut self, side: usize) -> String {
        let files = &mut self.sides[side].files;
        files.swap_remove(self.rng.usize(0..files.len()))
    }

    fn name(&mut self, side: usize, kind: char) -> String {
        self.named += 1;
        let (directory, number) = (self.rng.u32(0..DIRECTORIES), self.named);
        format!("{}/{CYCLE}/d{directory:02}/{kind}{number:06}", self.sides[side].folder)
    }
}
