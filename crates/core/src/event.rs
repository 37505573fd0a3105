//! What the source's stream says, already cut to the source root.

use serde::{Deserialize, Serialize};

use crate::number::{Epoch, Time, TxId};
use crate::path::RelPath;

/// One change at the source. It says that something happened to a path, never what stands there
/// now: the truth is a fresh read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A file was made, or made anew over another; it is empty and open.
    Created(RelPath),
    /// A file was opened again for appending.
    Reopened(RelPath),
    /// A file was closed: its bytes may have changed.
    Closed(RelPath),
    /// A file was cut.
    Truncated(RelPath),
    /// A directory was made.
    DirectoryMade(RelPath),
    /// A file or directory with all below it moved; an end outside the source root is `None`.
    Renamed {
        /// The old path.
        from: Option<RelPath>,
        /// The new path.
        to: Option<RelPath>,
    },
    /// A file or a directory with all below it went.
    Removed(RelPath),
    /// Times, owner, group, mode, ACL or extended attributes changed (access times never get here).
    MetadataChanged(RelPath),
    /// The source root or an ancestor of it was renamed or removed (rule 1.5).
    RootTouched,
}

/// The events of one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventBatch {
    /// The transaction.
    pub txid: TxId,
    /// In order.
    pub events: Vec<Event>,
}

/// The answer to one look at the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamReply {
    /// Which history and which active NameNode answered (rule 1.4).
    pub epoch: Epoch,
    /// Everything up to here is in this reply or was in earlier ones.
    pub applied: TxId,
    /// What the source has made durable so far; `applied == synced` means followed to the end.
    pub synced: TxId,
    /// What the source had written, durable or not, when the look before this one ended. Reads may
    /// have shown it.
    pub written: TxId,
    /// Transactions with events in scope, ascending; others are left out.
    pub batches: Vec<EventBatch>,
    /// Digest over the whole last transaction seen, in scope or not (rule 1.7).
    pub digest: u64,
    /// When the source made the newest transaction of this reply, where its events say so.
    pub newest: Option<Time>,
}
