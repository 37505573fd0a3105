//! Which faults, in which files: all of it drawn from a seed, no file twice.

use std::error::Error;

use fastrand::Rng;
use serde_json::json;
use whimbrel_testbed::{CreateFiles, FileSizes};

use crate::acceptance::ground::{FOLDER, Ground};

/// The part of the source that stands still, below its folder.
pub const STILL: &str = "still";
/// The part that may be changed under way.
pub const MOVING: &str = "moving";
const FILES_PER_DIRECTORY: u64 = 20;
/// Of the removed objects, one of so many is the marker of an empty directory.
const MARKERS_OF_REMOVED: u64 = 10;

/// What somebody, or a disk, did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// One bit of an object is another one.
    Overwritten,
    /// An object went.
    Removed,
    /// An object came.
    Added,
    /// The end of an object went.
    Truncated,
    /// Two objects stand in each other's place, with all that belongs to them.
    Swapped,
    /// An object is what it was before its file changed.
    Older,
    /// An object's metadata is not its file's.
    Metadata,
    /// The file has other bytes, and the same length and time.
    Rewritten,
    /// A bit turned on the target's disk.
    FlippedOnTarget,
    /// A bit turned in a block of the source.
    FlippedAtSource,
}

impl Kind {
    /// All ten.
    pub const ALL: [Self; 10] = [
        Self::Overwritten,
        Self::Removed,
        Self::Added,
        Self::Truncated,
        Self::Swapped,
        Self::Older,
        Self::Metadata,
        Self::Rewritten,
        Self::FlippedOnTarget,
        Self::FlippedAtSource,
    ];

    /// As it is called in the results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Overwritten => "overwritten",
            Self::Removed => "removed",
            Self::Added => "added",
            Self::Truncated => "truncated",
            Self::Swapped => "swapped",
            Self::Older => "older_version",
            Self::Metadata => "metadata",
            Self::Rewritten => "rewritten_at_the_source",
            Self::FlippedOnTarget => "flipped_on_target",
            Self::FlippedAtSource => "flipped_at_source",
        }
    }

    /// What `verify` has to call it.
    pub fn told(self) -> &'static str {
        match self {
            Self::Overwritten
            | Self::Truncated
            | Self::Swapped
            | Self::Older
            | Self::Rewritten
            | Self::FlippedOnTarget => "different",
            Self::Removed => "missing",
            Self::Added => "extra",
            Self::Metadata => "metadata_different",
            Self::FlippedAtSource => "unverifiable",
        }
    }

    /// The checksum that the store keeps does not change with it.
    pub fn is_below(self) -> bool {
        matches!(self, Self::FlippedOnTarget | Self::FlippedAtSource)
    }

    /// The listings of both sides tell it.
    pub fn is_listed(self) -> bool {
        matches!(self, Self::Removed | Self::Added | Self::Truncated)
    }
}

/// One fault.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What was done.
    pub kind: Kind,
    /// To what, below the source's folder; of two that are swapped, both.
    pub paths: Vec<String>,
    /// Decides the rest: the byte, the length, the field.
    pub draw: u64,
}

/// The source as it is made.
#[derive(Clone, Copy, Debug)]
pub struct Tree {
    files: u64,
    directories: u64,
    empty: u64,
}

impl Tree {
    /// Writes it: files that stand still, empty directories, and a few files that will move.
    pub fn make(
        ground: &Ground,
        files: u64,
        faults: u64,
        seed: u64,
    ) -> Result<Self, Box<dyn Error>> {
        let hadoop = ground.hadoop()?;
        let directories = files.div_ceil(FILES_PER_DIRECTORY).max(2);
        let tree = Self { files, directories, empty: faults };
        for (folder, count) in [(STILL, files), (MOVING, (files / 20).max(100))] {
            hadoop.create_files(&CreateFiles {
                directory: format!("{FOLDER}/{folder}"),
                count,
                directories: count.div_ceil(FILES_PER_DIRECTORY).max(2),
                sizes: FileSizes::YARDSTICK,
                seed,
            })?;
        }
        let made: Vec<_> = (0..tree.empty)
            .map(|index| json!({"operation": "mkdirs", "path": format!("{FOLDER}/{}", tree.empty(index))}))
            .collect();
        hadoop.operations(&made)?;
        Ok(tree)
    }

    fn directory(&self, index: u64) -> String {
        format!("{STILL}/d{:05}", index % self.directories)
    }

    fn file(&self, index: u64) -> String {
        format!("{}/f{index:07}", self.directory(index))
    }

    fn empty(&self, index: u64) -> String {
        format!("{STILL}/empty/e{index:05}")
    }
}

/// Draws faults.
pub struct Draw {
    rng: Rng,
    tree: Tree,
    /// In the order in which they are taken.
    files: Vec<u64>,
    empty: Vec<u64>,
    added: u64,
}

impl Draw {
    /// From a seed.
    pub fn new(tree: Tree, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut shuffled = |count| {
            let mut all: Vec<u64> = (0..count).collect();
            rng.shuffle(&mut all);
            all
        };
        let (files, empty) = (shuffled(tree.files), shuffled(tree.empty));
        Self { rng, tree, files, empty, added: 0 }
    }

    /// So many, of all kinds alike, in any order.
    pub fn faults(&mut self, count: u64) -> Result<Vec<Fault>, Box<dyn Error>> {
        let mut faults = Vec::new();
        for index in 0..count {
            let kind = Kind::ALL[usize::try_from(index)? % Kind::ALL.len()];
            faults.push(self.fault(kind).ok_or("there are too few files for so many faults")?);
        }
        self.rng.shuffle(&mut faults);
        Ok(faults)
    }

    fn fault(&mut self, kind: Kind) -> Option<Fault> {
        let draw = self.rng.u64(..);
        let file = self.tree.file(self.files.pop()?);
        let paths = match kind {
            Kind::Swapped => vec![file, self.tree.file(self.files.pop()?)],
            Kind::Removed if draw.is_multiple_of(MARKERS_OF_REMOVED) => {
                vec![format!("{}/", self.tree.empty(self.empty.pop()?))]
            }
            Kind::Added => vec![self.added(draw)],
            Kind::Overwritten
            | Kind::Removed
            | Kind::Truncated
            | Kind::Older
            | Kind::Metadata
            | Kind::Rewritten
            | Kind::FlippedOnTarget
            | Kind::FlippedAtSource => vec![file],
        };
        Some(Fault { kind, paths, draw })
    }

    /// Beside files, in a directory that the source does not have, or as a marker of such a one.
    fn added(&mut self, draw: u64) -> String {
        self.added += 1;
        let number = self.added;
        match draw % 10 {
            0 => format!("{STILL}/added {number}/"),
            1..=3 => format!("{STILL}/added {number}/part-0"),
            _ => format!("{}/added {number}", self.tree.directory(draw)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_draws_the_same_and_no_file_twice() {
        let tree = Tree { files: 500, directories: 25, empty: 100 };
        let drawn = || {
            let mut draw = Draw::new(tree, 7);
            [draw.faults(100).unwrap(), draw.faults(100).unwrap()].concat()
        };
        let faults = drawn();
        for kind in Kind::ALL {
            assert_eq!(faults.iter().filter(|fault| fault.kind == kind).count(), 20, "{kind:?}");
        }
        let paths: Vec<String> = faults.iter().flat_map(|fault| fault.paths.clone()).collect();
        assert_eq!(paths.iter().collect::<BTreeSet<_>>().len(), paths.len());
        assert_eq!(paths, drawn().iter().flat_map(|it| it.paths.clone()).collect::<Vec<_>>());
        assert!(Draw::new(tree, 7).faults(1_000).is_err(), "too few files");
    }
}
