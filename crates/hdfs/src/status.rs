//! What the NameNode says of a path.

use bytes::Bytes;

use crate::error::Error;
use crate::pinned::{DatanodeTable, PinnedFile};
use crate::proto::status as proto;
use crate::proto::status::{file_type, flag};
use crate::rpc::namenodes::Epoch;

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileKind {
    /// A file, open or closed.
    File,
    /// A directory.
    Directory,
    /// A symbolic link (refused by Hadoop's releases unless switched on).
    Symlink,
}

/// A path as `getFileInfo` and `getListing` describe it.
///
/// Names, owners and groups are slices of the reply that they came in: copy what is kept for long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStatus {
    /// What it is.
    pub kind: FileKind,
    /// The last component in a listing of a directory; empty when the path itself was asked for.
    pub name: Bytes,
    /// The inode's number: kept over every rename, new for every new file.
    pub file_id: u64,
    /// Length in bytes; of an open file what its writer has flushed.
    pub length: u64,
    /// Modification time, milliseconds since 1970; of a directory when its children changed.
    pub modified_millis: u64,
    /// Access time, milliseconds since 1970, as exact as `dfs.namenode.accesstime.precision`.
    pub accessed_millis: u64,
    /// The twelve low bits of the mode; `0o1000` is the sticky bit.
    pub permission: u16,
    /// Owner's name.
    pub owner: Bytes,
    /// Group's name.
    pub group: Bytes,
    /// Block size in bytes; 0 for a directory.
    pub block_size_bytes: u64,
    /// Replicas wanted; 0 for a directory.
    pub replication: u32,
    /// Children of a directory; `None` for a file and where the server does not say.
    pub children_count: Option<u32>,
    /// It has ACL entries beyond its mode.
    pub has_acl: bool,
    /// It is in an encryption zone: what DataNodes keep is ciphertext.
    pub is_encrypted: bool,
    /// It is erasure coded (a directory: new files in it will be).
    pub is_erasure_coded: bool,
    /// Snapshots may be taken of this directory.
    pub is_snapshottable: bool,
    /// Where a symbolic link points.
    pub symlink_target: Option<Bytes>,
    /// The file's blocks, if they were asked for: identity, and what a reader needs. `None` too
    /// for a list that does not add up to the file's length.
    pub pinned: Option<PinnedFile>,
}

/// Some of a directory's children, in the order of their names' bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The children; for a path that is a file, the file itself under an empty name.
    pub entries: Vec<FileStatus>,
    /// How many follow: ask again, starting after the last name, until it is 0.
    pub remaining: u32,
    /// The active NameNode that answered.
    pub epoch: Epoch,
}

/// Totals of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentSummary {
    /// Bytes in files, one replica counted.
    pub length_bytes: u64,
    /// Files, symbolic links included.
    pub files: u64,
    /// Directories, the root of the tree included.
    pub directories: u64,
    /// Bytes on DataNodes, all replicas counted.
    pub space_bytes: u64,
}

impl FileStatus {
    pub(crate) fn from_proto(
        status: proto::FileStatus,
        datanodes: &DatanodeTable,
    ) -> Result<Self, Error> {
        let kind = match status.file_type {
            file_type::DIRECTORY => FileKind::Directory,
            file_type::FILE => FileKind::File,
            file_type::SYMLINK => FileKind::Symlink,
            other => {
                return Err(Error::invalid_reply("HdfsFileStatus", format!("file type {other}")));
            }
        };
        let flags = status.flags.unwrap_or(0);
        let has = |bit: u32| flags & bit != 0;
        let file_id = status.file_id.unwrap_or(0);
        let is_encrypted = has(flag::HAS_CRYPT) || status.encryption.is_some();
        let is_erasure_coded = has(flag::HAS_ERASURE_CODING) || status.erasure_coding.is_some();
        let pinned = status.locations.filter(|_| kind == FileKind::File).map(|blocks| {
            PinnedFile::from_proto(file_id, status.length, blocks, is_encrypted, datanodes)
        });
        Ok(Self {
            kind,
            name: status.name,
            file_id,
            length: status.length,
            modified_millis: status.modification_time,
            accessed_millis: status.access_time,
            permission: (status.permission.mode & 0o7777) as u16,
            owner: status.owner,
            group: status.group,
            block_size_bytes: status.block_size.unwrap_or(0),
            replication: status.replication.unwrap_or(0),
            children_count: status
                .children_count
                .filter(|_| kind == FileKind::Directory)
                .and_then(|count| u32::try_from(count).ok()),
            // Before Hadoop 3 the flag is the thirteenth bit of the permission.
            has_acl: has(flag::HAS_ACL) || status.permission.mode & (1 << 12) != 0,
            is_encrypted,
            is_erasure_coded,
            is_snapshottable: has(flag::SNAPSHOT_ENABLED),
            symlink_target: status.symlink.filter(|target| !target.is_empty()),
            // One file's odd list must not keep a whole directory from being read.
            pinned: pinned.and_then(Result::ok),
        })
    }
}
