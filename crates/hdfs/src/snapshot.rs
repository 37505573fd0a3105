//! Snapshots, which this crate writes; and the difference between two, page by page.
//!
//! What a difference does not name, measured on Hadoop 3.5.0 (`tests/cluster/listing.rs`): a file
//! that was made and removed between the two; one that was open at the earlier snapshot and grew;
//! modification and access times that were set; bytes that were cut off and written anew to the
//! same length; metadata that is as it was. It does name owner, mode, ACL, extended attributes and
//! replication that are otherwise, and what was renamed away and back.

use bytes::Bytes;

use crate::client::{Client, checked};
use crate::error::Error;
use crate::proto::namenode as proto;
use crate::rpc::namenodes::Answer;

/// One entry of a difference. Paths are relative to the snapshots' root, as they were in the
/// earlier snapshot; empty names the root itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotDifferenceEntry {
    /// The path.
    pub path: Bytes,
    /// Inode number of the directory that it lies in (of a modified directory: its own).
    pub directory_id: u64,
    /// Inode number of what was created or deleted: an id that is in both lists was renamed.
    pub file_id: Option<u64>,
    /// It was renamed: a created entry came from elsewhere, a deleted one lives on elsewhere.
    pub is_rename: bool,
    /// Where a renamed entry of the deleted list lives now, if inside the root.
    pub target_path: Option<Bytes>,
}

/// Where the next page of a difference begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotDifferenceCursor {
    start_path: Bytes,
    index: i32,
}

/// A page of the net difference between two snapshots. What was made and deleted between them is in
/// neither list; of a tree that was moved in only the top is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotDifferencePage {
    /// Files with other content or metadata, directories with other children or metadata.
    pub modified: Vec<SnapshotDifferenceEntry>,
    /// What is in the later snapshot only, or came by renaming.
    pub created: Vec<SnapshotDifferenceEntry>,
    /// What is in the earlier snapshot only, or went by renaming.
    pub deleted: Vec<SnapshotDifferenceEntry>,
    /// Where to go on; `None` at the end.
    pub next: Option<SnapshotDifferenceCursor>,
}

impl Client {
    /// Makes a snapshot of `root`: this writes to the cluster. Tried again over a lost connection
    /// it may say that there is one of that name.
    ///
    /// # Errors
    /// Those of the connection; [`Error::Denied`] for others than the owner and superusers;
    /// [`Error::Remote`] if snapshots of `root` are not allowed.
    pub async fn create_snapshot(&self, root: &[u8], name: &str) -> Result<(), Error> {
        self.change_snapshot("createSnapshot", root, name).await
    }

    /// Removes a snapshot of `root`: this writes to the cluster.
    ///
    /// # Errors
    /// Those of the connection; [`Error::Denied`]; [`Error::Remote`] if there is none of that name.
    pub async fn delete_snapshot(&self, root: &[u8], name: &str) -> Result<(), Error> {
        self.change_snapshot("deleteSnapshot", root, name).await
    }

    async fn change_snapshot(
        &self,
        method: &'static str,
        root: &[u8],
        name: &str,
    ) -> Result<(), Error> {
        let request = proto::SnapshotRequest { root: checked(root)?, name: name.to_owned() };
        let _: Answer<proto::SnapshotResponse> = self.call(method, &request).await?;
        Ok(())
    }

    /// Absolute paths of all files below a directory that are open for writing, as they are while
    /// it is asked: of those at an earlier snapshot no difference tells how they grew.
    ///
    /// # Errors
    /// Those of the connection; [`Error::Unsupported`] by NameNodes before 2.9; [`Error::Denied`]
    /// for others than superusers.
    pub async fn open_files(&self, directory: &[u8]) -> Result<Vec<Bytes>, Error> {
        let (mut after_id, mut open) = (0, Vec::new());
        loop {
            let types = vec![proto::ALL_OPEN_FILES];
            let request = proto::OpenFilesRequest { after_id, types, path: checked(directory)? };
            let answer: Answer<proto::OpenFilesResponse> =
                self.call("listOpenFiles", &request).await?;
            let page = answer.value;
            let last = page.files.last().map(|file| file.file_id);
            open.extend(page.files.into_iter().map(|file| file.path));
            match last {
                Some(last) if page.more && last > after_id => after_id = last,
                Some(_) | None => return Ok(open),
            }
        }
    }

    /// A page of the difference between two snapshots of `root`. Both must be snapshots: the
    /// present state has no name here.
    ///
    /// # Errors
    /// Those of the connection; [`Error::Unsupported`] by NameNodes before 3.1;
    /// [`Error::NotFound`], [`Error::Denied`]; [`Error::Remote`] if `root` has no such snapshots.
    pub async fn snapshot_difference(
        &self,
        root: &[u8],
        from_snapshot: &str,
        to_snapshot: &str,
        cursor: Option<&SnapshotDifferenceCursor>,
    ) -> Result<SnapshotDifferencePage, Error> {
        let start = SnapshotDifferenceCursor { start_path: Bytes::new(), index: -1 };
        let cursor = cursor.unwrap_or(&start);
        let request = proto::SnapshotDifferenceRequest {
            root: checked(root)?,
            from_snapshot: from_snapshot.to_owned(),
            to_snapshot: to_snapshot.to_owned(),
            cursor: Some(proto::SnapshotDifferenceCursor {
                start_path: cursor.start_path.clone(),
                index: cursor.index,
            }),
        };
        let answer: Answer<proto::SnapshotDifferenceResponse> =
            self.call("getSnapshotDiffReportListing", &request).await?;
        Ok(SnapshotDifferencePage::from_proto(answer.value.listing))
    }
}

impl SnapshotDifferencePage {
    pub(crate) fn from_proto(listing: proto::SnapshotDifferenceListing) -> Self {
        let entries = |list: Vec<proto::SnapshotDifferenceEntry>| {
            list.into_iter().map(SnapshotDifferenceEntry::from_proto).collect()
        };
        let next = listing.cursor.filter(|at| !(at.start_path.is_empty() && at.index == -1));
        Self {
            modified: entries(listing.modified),
            created: entries(listing.created),
            deleted: entries(listing.deleted),
            next: next
                .map(|at| SnapshotDifferenceCursor { start_path: at.start_path, index: at.index }),
        }
    }
}

impl SnapshotDifferenceEntry {
    fn from_proto(entry: proto::SnapshotDifferenceEntry) -> Self {
        Self {
            path: entry.path,
            directory_id: entry.directory_id,
            file_id: entry.file_id.filter(|id| *id != 0),
            is_rename: entry.is_reference,
            target_path: entry.target_path.filter(|path| !path.is_empty()),
        }
    }
}
