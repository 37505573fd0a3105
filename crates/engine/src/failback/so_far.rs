//! What was done until now, and what was not.

use std::collections::BTreeSet;

use whimbrel_core::commit_marker;
use whimbrel_core::path::RelPath;
use whimbrel_core::record::Change;

use super::act::{CONFLICT, Ended, Problem};
use super::pass::Pass;
use super::{Deed, FailbackSums, Tell, Told};

#[derive(Default)]
pub(super) struct SoFar {
    pub(super) sums: FailbackSums,
    /// Paths that something stands in the way of, which may go.
    pub(super) blocked: Vec<RelPath>,
    /// The directories (by their markers' paths) in which something was not done.
    undone: BTreeSet<RelPath>,
    /// Directories whose commit marker is gone at the target, and stays at the source.
    spoken_for: BTreeSet<RelPath>,
}

impl SoFar {
    /// Tells of a path at which something was not done.
    pub(super) fn left(&mut self, path: RelPath, problem: Problem, tell: Tell<'_>) {
        self.sums.failures += 1;
        self.sums.conflicts += u64::from(problem.kind == CONFLICT);
        self.undone.insert(path.split().0.marker());
        let Problem { kind, message, remedy } = problem;
        let path = by_its_own_name(path);
        tell(Told::Problem { path, kind, message, remedy });
    }

    /// Not all that a commit marker speaks for is at the source as it is at the target.
    pub(super) fn is_early(&self, commit_marker: &RelPath) -> bool {
        let Some(group) = commit_marker::group(commit_marker) else { return false };
        let begins = group.marker();
        let next = self.undone.range(&begins..).next();
        // Which removals wait for a person is not known by path.
        self.sums.guarded > 0
            || next.is_some_and(|next| next.as_bytes().starts_with(begins.as_bytes()))
    }

    /// A commit marker at the source says that the path is there.
    pub(super) fn is_spoken_for(&self, path: &RelPath) -> bool {
        !self.spoken_for.is_empty()
            && path.ancestors().any(|above| self.spoken_for.contains(&above))
    }

    pub(super) fn count(
        &mut self,
        pass: Pass,
        ended: Ended,
        all_gone: &mut BTreeSet<RelPath>,
        changes: &mut Vec<Change>,
        tell: Tell<'_>,
    ) {
        let Ended { path, deed, bytes, equal, changes: own, gone, blocked, problem } = ended;
        self.sums.files_equal += u64::from(equal);
        changes.extend(own);
        if gone {
            all_gone.insert(path.clone());
        }
        if blocked {
            self.blocked.push(path.clone());
        }
        if let Some(problem) = problem {
            if pass == Pass::Remove {
                self.spoken_for.extend(commit_marker::group(&path));
            }
            self.left(path.clone(), problem, tell);
        }
        let Some(deed) = deed else { return };
        let path = by_its_own_name(path);
        match deed {
            Deed::Carried => {
                self.sums.files_carried += 1;
                self.sums.bytes_carried += bytes;
            }
            Deed::Removed => self.sums.files_removed += 1,
            Deed::DirectoryMade => self.sums.directories_made += 1,
            Deed::DirectoryRemoved => self.sums.directories_removed += 1,
        }
        tell(Told::Done { path, deed });
    }
}

/// A directory is told by its own name, not by that of its marker.
fn by_its_own_name(path: RelPath) -> RelPath {
    path.parent().filter(|_| path.is_marker()).unwrap_or(path)
}
