//! What keeps a source from being changed while it is cut over. To set a fence writes to the
//! source, so it is asked for apart from everything else, and only by whoever was told to.

use crate::source::Answer;

/// How a source is kept as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FenceKind {
    /// It takes no changes at all, of nothing that it holds.
    SafeMode,
    /// Nobody but a superuser gets into the root.
    Permissions,
}

/// Sets and undoes one fence around the root of a source. Each may be done again.
pub trait Fence: Send + Sync {
    /// Which one.
    fn kind(&self) -> FenceKind;

    /// The number of the directory that it is around; `None` where it holds for all of the source,
    /// whatever stands where.
    fn directory(&self) -> Option<u64>;

    /// How it is before the fence: what `undo` needs to know, in a word that people can read.
    fn before(&self) -> Answer<'_, String>;

    /// Sets it. An error says nothing about whether it stands now.
    fn set(&self) -> Answer<'_, ()>;

    /// Whether it stands now.
    fn stands(&self) -> Answer<'_, bool>;

    /// Has all be again as `before` was told; only asked for while it stands.
    fn undo<'a>(&'a self, before: &'a str) -> Answer<'a, ()>;
}
