//! What is read: a tree or a set of keys, its bytes, and the stream of its changes. Nothing here
//! writes.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream;
use whimbrel_core::entry::{FileNode, Node, Page};
use whimbrel_core::event::StreamReply;
use whimbrel_core::number::{Time, TxId};
use whimbrel_core::path::{Namespace, RelPath};

use crate::error::StoreError;

/// A boxed future, so that stores can stand behind `dyn`.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Bytes of a file in order, in pieces of the store's choosing.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, StoreError>> + Send>>;

/// Keeps a mount point durably; `false` if it is of no interest.
pub type MountMemory = Box<dyn Fn(&RelPath) -> Result<bool, StoreError> + Send + Sync>;

/// Where the files come from. Paths are relative to the root that it was opened for.
pub trait Source: Send + Sync {
    /// How names relate to each other.
    fn namespace(&self) -> Namespace;

    /// For people: the URL that it was opened for, without secrets.
    fn describe(&self) -> String;

    /// What the root is known by that it was opened at (rule 1.5); `None` where roots are names
    /// only. Everything that is asked for below the root is answered in this one: while another
    /// stands in its place, nothing of that one is told, and `stat` of the root tells which it is.
    fn root_key(&self) -> Option<u64>;

    /// The first page of a directory after the name `after`, ascending in byte order of names. A
    /// page covers every name in its range: none is left out. `None`: no directory stands there.
    /// A `Flat` source lists its keys under the root, names holding slashes; what it cannot name
    /// stands first as `Node::Special`, wherever its key belongs, and never last where more follow.
    fn list<'a>(
        &'a self,
        directory: &'a RelPath,
        after: Option<&'a [u8]>,
    ) -> Answer<'a, Option<Page>>;

    /// What stands at a path now, with the pinned file; `None`: nothing. Never answered from a
    /// cache. Never writes an access time. `StoreError::Missing` of a path below the root: the
    /// root that was opened does not stand there now.
    fn stat<'a>(&'a self, path: &'a RelPath) -> Answer<'a, Option<Node>>;

    /// Bytes of exactly the pinned file (rule 3.1), `range` within its length. Ends with
    /// `StoreError::Moved` if these bytes are gone or changed.
    fn read(&self, path: &RelPath, node: &FileNode, range: Range<u64>) -> ByteStream;

    /// The same of a file that may have grown since: bytes of the same file, not shorter than the
    /// pinned one. They need not be of one moment; what is read twice and is equal was there between
    /// the two reads (rule 3.4). Where a read is of pinned bytes anyway, it is that.
    fn read_beginning(&self, path: &RelPath, node: &FileNode, range: Range<u64>) -> ByteStream {
        self.read(path, node, range)
    }

    /// CRC32C of the pinned file's first `length` bytes (at most all) from checksums that the
    /// source keeps, reading no data; `None` where it keeps none of that kind.
    fn stored_checksum<'a>(
        &'a self,
        path: &'a RelPath,
        node: &'a FileNode,
        length: u64,
    ) -> Answer<'a, Option<u32>>;

    /// Extended attributes of a path (`--metadata full`).
    fn xattrs<'a>(
        &'a self,
        path: &'a RelPath,
    ) -> Answer<'a, std::collections::BTreeMap<String, Vec<u8>>>;

    /// How often it asked so far to come back later where its client does that by itself (rule 9.2).
    fn busy_answers(&self) -> u64 {
        0
    }

    /// From now on nothing is told of what lies below these mount points, or below others that are
    /// met and given to `memory`, while no file system is mounted there: asking ends with
    /// `StoreError::Conflict`. Only trees of this machine have mount points.
    fn keep_mounts(&self, _known: Vec<RelPath>, _memory: MountMemory) {}

    /// The stream of changes; an error that names the reason where there is none or no right to it.
    fn stream(&self) -> Answer<'_, Arc<dyn ChangeStream>>;
}

/// The stream of a source's changes, cut to the source root.
pub trait ChangeStream: Send + Sync {
    /// The newest transaction that the source has written. Everything up to it shows in reads that
    /// begin later (rule 1.1).
    fn position(&self) -> Answer<'_, TxId>;

    /// What names the history of the source from outside (cluster and block pool id).
    fn history(&self) -> Answer<'_, String>;

    /// What happened after `after`; waits for news at most as long as the store finds polite.
    /// Answers of an older epoch of the active NameNode never get here (rule 1.4).
    fn poll(&self, after: TxId) -> Answer<'_, Poll>;

    /// The same, to decide whether the source was quiet since `quiet_since`: the end is reached
    /// only once the source was gone through for what no event tells of, by a walk that began
    /// after the first question with that moment.
    fn poll_thoroughly(&self, after: TxId, _quiet_since: Time) -> Answer<'_, Poll> {
        self.poll(after)
    }

    /// Digest over the whole transaction `txid`, as `StreamReply::digest` had it (rule 1.7);
    /// `None` if it is gone from the log.
    fn digest(&self, txid: TxId) -> Answer<'_, Option<u64>>;

    /// Seconds of history that the source keeps after `position`, estimated; `None` if unknown.
    fn history_seconds(&self, position: TxId) -> Answer<'_, Option<u64>>;

    /// Who remembers what happened, and how more of it is kept.
    fn memory(&self) -> Memory;
}

/// Who remembers what happened at a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// The source does, whether somebody follows or not. Another name of the history is another
    /// source, or one that was restored.
    Source {
        /// What to do that it remembers for longer.
        remedy: &'static str,
    },
    /// Nobody does while nobody follows: every opened stream is a history of its own, and what
    /// files are known by holds across them.
    Follower {
        /// What to do that more is remembered while somebody follows.
        remedy: &'static str,
    },
}

/// One look at the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Poll {
    /// Events, or that nothing happened.
    Reply(StreamReply),
    /// Transactions after the asked-for one are gone (rule 8.1).
    Gap,
    /// The asked-for position lies beyond the log (rule 1.7).
    Beyond,
}
