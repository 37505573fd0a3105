//! A source that is written to again: users worked on the target, and what they changed goes back.
//! This writes to the source, so it is asked for apart from everything else, as fences are.

use whimbrel_core::entry::{FileNode, Node};
use whimbrel_core::metadata::Metadata;
use whimbrel_core::path::RelPath;

use crate::error::StoreError;
use crate::source::{Answer, ByteStream};

/// A file that goes back.
#[derive(Clone, Debug)]
pub struct Carried<'a> {
    /// Where to.
    pub path: &'a RelPath,
    /// Bytes that the target announces.
    pub length: u64,
    /// Their CRC32C, as the target keeps it.
    pub crc32c: Option<u32>,
    /// What belongs to it; without rights it gets those that new files get there, and owner and
    /// group of its directory.
    pub metadata: Metadata,
    /// What stands there until then, with its extended attributes.
    pub expected: Option<&'a FileNode>,
}

/// What became of a file that was to be written.
#[derive(Clone, Debug)]
pub enum Put {
    /// It stands there whole, and its bytes have this CRC32C.
    Done {
        /// Of all bytes.
        crc32c: u32,
    },
    /// The bytes were not those that were announced: the object was changed meanwhile.
    Changed,
    /// The bytes could not be read.
    Unread(StoreError),
}

/// Gives the bytes of a file, from the beginning at each call.
pub type Pour<'a> = &'a (dyn Fn() -> ByteStream + Send + Sync);

/// Writes to the source. Each write may be done again; what stands otherwise than expected right
/// before it takes effect ends it with `StoreError::Unexpected`.
pub trait Failback: Send + Sync {
    /// Says by name why a path can never be held here.
    fn admit(&self, path: &RelPath) -> Result<(), StoreError>;

    /// Says what would keep a change, or a new `file`, out of a directory that stands, as far as
    /// that can be told without a try.
    fn may_write<'a>(&'a self, directory: &'a RelPath, file: bool) -> Answer<'a, ()>;

    /// So many calls of the source's metadata service a change is taken for.
    fn calls_per_change(&self) -> u64;

    /// Removes what a killed process left of files that it was writing at these paths.
    fn sweep<'a>(&'a self, paths: &'a [RelPath]) -> Answer<'a, ()>;

    /// Writes a file whole under a name of its own, compares it with what was announced, and has it
    /// take its place in one step. Directories are made as needed.
    fn put<'a>(&'a self, file: &'a Carried<'a>, pour: Pour<'a>) -> Answer<'a, Put>;

    /// Makes a directory, with those above it.
    fn make_directory<'a>(
        &'a self,
        path: &'a RelPath,
        metadata: Option<&'a Metadata>,
    ) -> Answer<'a, ()>;

    /// Removes a file.
    fn remove<'a>(&'a self, path: &'a RelPath, expected: &'a FileNode) -> Answer<'a, ()>;

    /// Removes a directory that is empty; `false`: it is not. Fine if it is gone.
    fn remove_directory<'a>(&'a self, path: &'a RelPath) -> Answer<'a, bool>;
}

/// True if what stands is what was expected.
pub(crate) fn is_expected(expected: Option<&FileNode>, standing: Option<&Node>) -> bool {
    match (expected, standing) {
        (None, None) => true,
        (Some(expected), Some(Node::File(file))) => {
            !file.open && file.identity == expected.identity
        }
        (None | Some(_), _) => false,
    }
}

pub(crate) fn unexpected(path: &RelPath) -> StoreError {
    StoreError::Unexpected { message: format!("{path}: it was changed at the source meanwhile") }
}
