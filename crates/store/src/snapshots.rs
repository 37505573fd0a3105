//! Snapshots of a source's root (rule 8.2). To make one writes to the source, so it is asked for
//! apart from everything else, and only by whoever was told to.

use whimbrel_core::path::RelPath;
use whimbrel_core::record::Reach;

use crate::source::Answer;

/// Makes, compares and removes snapshots of the root of a source.
pub trait Snapshots: Send + Sync {
    /// How the root is called, for people.
    fn root(&self) -> String;

    /// Makes a snapshot. An error says nothing about whether it is there now.
    fn make<'a>(&'a self, name: &'a str) -> Answer<'a, ()>;

    /// Removes a snapshot, if it is there.
    fn remove<'a>(&'a self, name: &'a str) -> Answer<'a, ()>;

    /// Where the tree is otherwise in the later snapshot: with both ends of what was renamed, and
    /// with all below what came, went or was renamed. `None` if that is more than `paths_max`.
    ///
    /// What it cannot tell: what was changed and changed back; how files grew that were open at the
    /// earlier one; times that were set; what was written anew in place with its length unchanged.
    fn difference<'a>(
        &'a self,
        earlier: &'a str,
        later: &'a str,
        paths_max: usize,
    ) -> Answer<'a, Option<Vec<(RelPath, Reach)>>>;

    /// Files that are open for writing now: those of which the next difference will not tell.
    fn open_files(&self) -> Answer<'_, Vec<RelPath>>;
}
