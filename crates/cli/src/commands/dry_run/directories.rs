//! Directories of a target where they are real: each is an object of its own, which a run writes,
//! removes and counts, though no listing of files names it.

use std::collections::{BTreeMap, HashMap};

use whimbrel_core::path::RelPath;

use super::judge::{Judge, Verdict};
use super::memory::Recalled;
use crate::exit::CommandError;

/// What is done about directories beside what is told of their files.
#[derive(Debug, Default)]
pub struct Directories {
    /// Directories that were judged, and whether they come.
    seen: HashMap<RelPath, bool>,
}

/// What becomes of one directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Becomes {
    /// It is made.
    Comes,
    /// It goes with this entry, which the guard judges.
    Goes(RelPath),
    /// It waits for its time with this entry.
    Waits(RelPath),
}

impl Directories {
    /// What becomes of directories above these paths, each told once.
    ///
    /// # Errors
    /// The state cannot be asked.
    pub async fn of(
        &mut self,
        judge: &Judge,
        judged: &[(RelPath, Verdict)],
    ) -> Result<Vec<Becomes>, CommandError> {
        if !judge.has_real_directories() {
            return Ok(Vec::new());
        }
        let mut asked: BTreeMap<RelPath, Option<RelPath>> = BTreeMap::new();
        for (path, verdict) in judged {
            let (top, coming) = match verdict {
                Verdict::Copy(copy) if copy.new => (RelPath::root(), true),
                Verdict::MakeDirectory => (RelPath::root(), true),
                Verdict::Removes(removal) => match &removal.judged_with {
                    Some(top) => (top.clone(), false),
                    None => continue,
                },
                Verdict::Leaves(left) => match left.gone_with() {
                    Some(top) => (top.clone(), false),
                    None => continue,
                },
                _ => continue,
            };
            for directory in directories_above(path, &top) {
                if self.seen.insert(directory.clone(), coming) == Some(coming) {
                    break;
                }
                asked.insert(directory, Some(top.clone()).filter(|_| !coming));
            }
        }
        self.recalled(judge, asked).await
    }

    async fn recalled(
        &self,
        judge: &Judge,
        asked: BTreeMap<RelPath, Option<RelPath>>,
    ) -> Result<Vec<Becomes>, CommandError> {
        let markers = asked.keys().map(RelPath::marker);
        let paths: Vec<RelPath> = markers.chain(asked.keys().cloned()).collect();
        let mut rows = judge.memory.recall(&paths).await?;
        let entries = rows.split_off(asked.len());
        let all = asked.into_values().zip(rows.into_iter().zip(entries));
        let told = all.filter_map(|(top, (marker, entry))| becomes(judge, top, &marker, &entry));
        Ok(told.collect())
    }
}

fn becomes(
    judge: &Judge,
    goes_with: Option<RelPath>,
    marker: &Recalled,
    entry: &Recalled,
) -> Option<Becomes> {
    match (goes_with, marker.row.is_some()) {
        (None, false) => Some(Becomes::Comes),
        (Some(top), true) if judge.stays(entry) => {
            Some(Becomes::Waits(entry.delayed_with().unwrap_or(top)))
        }
        (Some(top), true) => Some(Becomes::Goes(top)),
        (None, true) | (Some(_), false) => None,
    }
}

/// Directories above a path, nearest first, of which a run knows by themselves: up to `top` and with
/// it, but for the root. A marker's own directory is what is told of it.
pub fn directories_above(path: &RelPath, top: &RelPath) -> impl Iterator<Item = RelPath> + use<> {
    let (top, own) = (top.clone(), path.is_marker());
    let above = path.ancestors().skip(usize::from(own));
    above.take_while(move |it| !it.is_root() && top.contains(it))
}
