//! What a source says stands at a path.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::identity::Identity;
use crate::metadata::Metadata;
use crate::path::RelPath;

/// One name of a listing, or the answer to a question for one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where.
    pub path: RelPath,
    /// What.
    pub node: Node,
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Node {
    /// A regular file.
    File(FileNode),
    /// A directory.
    Directory(DirectoryNode),
    /// A symbolic link, a socket, a device: not followed, counts as failed. Names what it is.
    Special(String),
}

/// A regular file as the source saw it at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileNode {
    /// Tells this state of its bytes from every other.
    pub identity: Identity,
    /// Being written: its bytes are not to be copied before its close (rule 3.5).
    pub open: bool,
    /// What travels with it.
    pub metadata: Metadata,
    /// Names exactly these bytes to the store that gave it (rule 3.1): for HDFS the block list.
    /// Opaque to everyone else; may be empty.
    pub pin: Bytes,
}

/// A directory as the source saw it at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryNode {
    /// Inode number, by which a root is known again (rule 1.5); local: mixed with the device.
    pub file_key: u64,
    /// No child at all; `None` if the listing did not say.
    pub empty: Option<bool>,
    /// What travels with its marker.
    pub metadata: Metadata,
}

/// One page of a directory, ascending by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Direct children in ascending byte order of their names.
    pub entries: Vec<Entry>,
    /// More follow after the last entry.
    pub more: bool,
}
