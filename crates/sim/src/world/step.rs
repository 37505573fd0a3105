//! What a client of the source can do.

use whimbrel_core::path::RelPath;

use super::source::Source;

/// One operation of the source's file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A directory in an existing one.
    MakeDirectory(RelPath),
    /// A file, made anew if there is one; it stays open.
    Create(RelPath),
    /// An open file gets so many bytes more and is closed.
    Close(RelPath, u64),
    /// A closed file is opened again.
    Append(RelPath),
    /// The last block of a closed file is cut off.
    Truncate(RelPath),
    /// A closed file is made anew with other bytes, as long and as old as it was.
    Rewrite(RelPath),
    /// Permission bits.
    ChangeMode(RelPath, u32),
    /// A whole access control list.
    SetAcl(RelPath, String),
    /// A file, or a directory with all below it, goes.
    Delete(RelPath),
    /// A file or a directory gets another path.
    Rename {
        /// The old path.
        from: RelPath,
        /// The new one.
        to: RelPath,
        /// A file or an empty directory there is replaced.
        overwrite: bool,
    },
}

impl Step {
    /// Does it. False: the tree does not allow it, and nothing was done.
    pub fn carry_out(&self, source: &mut Source) -> bool {
        match self {
            Self::MakeDirectory(path) => source.make_directory(path),
            Self::Create(path) => source.create(path),
            Self::Close(path, bytes) => source.close(path, *bytes),
            Self::Append(path) => source.append(path),
            Self::Truncate(path) => source.truncate(path),
            Self::Rewrite(path) => source.rewrite_same_size(path),
            Self::ChangeMode(path, mode) => source.change_mode(path, *mode),
            Self::SetAcl(path, acl) => source.set_acl(path, acl),
            Self::Delete(path) => source.delete(path),
            Self::Rename { from, to, overwrite } => source.rename(from, to, *overwrite),
        }
    }
}
