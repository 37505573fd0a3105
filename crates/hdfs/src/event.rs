//! The edit stream: what changed, in the order in which it became durable.

use bytes::Bytes;
use prost::Message;

use crate::acl::{AclEntry, XAttr};
use crate::error::Error;
use crate::proto::inotify as proto;
use crate::proto::inotify::{event_type, inode_type, metadata_type};
use crate::rpc::namenodes::Epoch;
use crate::status::FileKind;

const ADDRESS: &str = "the edit stream";

/// A reply to [`Client::edits_from`](crate::Client::edits_from).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditsBatch {
    /// The transaction id that was asked for.
    pub asked_txid: u64,
    /// The first transaction that the server looked at; `None` if there was nothing to look at.
    pub first_txid: Option<u64>,
    /// The last transaction that it looked at: go on behind it. `None`: nothing new.
    pub last_txid: Option<u64>,
    /// The last transaction that is durable on the server; `None` while it does not know.
    pub sync_txid: Option<u64>,
    /// Transactions that have events, in ascending order. Many have none.
    pub batches: Vec<EventBatch>,
    /// The active NameNode that answered.
    pub epoch: Epoch,
}

/// The events of one transaction: one, but for a concatenation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventBatch {
    /// Transaction id.
    pub txid: u64,
    /// At least one event.
    pub events: Vec<Event>,
}

/// A change as the NameNode tells it. Paths are absolute; they are slices of the reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An empty file was opened for writing, or a directory or symbolic link was made. A file that
    /// it replaced gets no event of its own.
    Create(CreateEvent),
    /// A writer closed a file, or its lease was recovered.
    Close {
        /// The file.
        path: Bytes,
        /// Length in bytes; `None` after a concatenation.
        length: Option<u64>,
        /// Modification time, milliseconds since 1970.
        modified_millis: i64,
    },
    /// A file was opened again for writing at its end.
    Append {
        /// The file.
        path: Bytes,
        /// Writing begins a new block.
        new_block: bool,
    },
    /// A file or a whole tree was renamed. A destination that it replaced gets no event.
    Rename {
        /// What it was called.
        source: Bytes,
        /// Its full new path, also when it was moved into a directory.
        destination: Bytes,
        /// Milliseconds since 1970.
        time_millis: i64,
    },
    /// Something other than content changed.
    Metadata {
        /// File or directory.
        path: Bytes,
        /// What changed.
        change: MetadataChange,
    },
    /// A file or a whole tree was deleted.
    Unlink {
        /// What was deleted.
        path: Bytes,
        /// Milliseconds since 1970.
        time_millis: i64,
    },
    /// A file was cut. A cut within a block is followed by `Close` once the block is recovered.
    Truncate {
        /// The file.
        path: Bytes,
        /// New length in bytes.
        length: u64,
        /// Milliseconds since 1970.
        time_millis: i64,
    },
}

/// See [`Event::Create`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateEvent {
    /// What was made.
    pub kind: FileKind,
    /// Its path.
    pub path: Bytes,
    /// Creation time, milliseconds since 1970.
    pub created_millis: i64,
    /// Owner's name.
    pub owner: Bytes,
    /// Group's name.
    pub group: Bytes,
    /// The twelve low bits of the mode.
    pub permission: u16,
    /// Replicas wanted; 0 for a directory.
    pub replication: u32,
    /// The caller allowed it to replace something; it says nothing of whether it did.
    pub overwrite: bool,
    /// Where a symbolic link points.
    pub symlink_target: Option<Bytes>,
    /// Block size in bytes; 0 for a directory.
    pub block_size_bytes: u64,
    /// The file is erasure coded.
    pub is_erasure_coded: bool,
}

/// See [`Event::Metadata`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataChange {
    /// Times in milliseconds since 1970; `None` stays as it was. Reading a file changes its access
    /// time, and an overwhelming part of all events may be that.
    Times {
        /// Modification time.
        modified_millis: Option<i64>,
        /// Access time.
        accessed_millis: Option<i64>,
    },
    /// Replicas wanted.
    Replication(u32),
    /// Owner or group; `None` stays as it was.
    Owner {
        /// Owner's name.
        owner: Option<Bytes>,
        /// Group's name.
        group: Option<Bytes>,
    },
    /// The twelve low bits of the mode.
    Permission(u16),
    /// All ACL entries that it has now; none: they were removed.
    Acl(Vec<AclEntry>),
    /// Extended attributes set or removed. Erasure coding policies and encryption zones are
    /// attributes too.
    XAttrs {
        /// Those that were set or removed.
        xattrs: Vec<XAttr>,
        /// They were removed.
        removed: bool,
    },
}

impl EditsBatch {
    /// Edits between what was asked for and what the server still has are gone.
    #[must_use]
    pub fn has_gap(&self) -> bool {
        self.first_txid.is_some_and(|first| first != self.asked_txid)
    }

    /// What was asked for lies behind the end of the log: this is not the history that the caller
    /// followed (the cluster was re-formatted or rolled back). The server itself does not say so.
    #[must_use]
    pub fn is_beyond_end(&self) -> bool {
        self.sync_txid.is_some_and(|sync| self.asked_txid > sync.saturating_add(1))
    }

    pub(crate) fn from_proto(
        asked_txid: u64,
        list: proto::EventsList,
        epoch: Epoch,
    ) -> Result<Self, Error> {
        if !list.events_without_batch.is_empty() {
            let what = "a NameNode whose events carry no transaction id".to_owned();
            return Err(Error::Unsupported { what });
        }
        let mut batches = Vec::with_capacity(list.batches.len());
        for batch in list.batches {
            let txid = u64::try_from(batch.txid)
                .map_err(|_| Error::invalid_reply(ADDRESS, format!("txid {}", batch.txid)))?;
            let events = batch.events.into_iter().map(Event::from_proto).collect::<Result<_, _>>();
            batches.push(EventBatch { txid, events: events? });
        }
        Ok(Self {
            asked_txid,
            first_txid: u64::try_from(list.first_txid).ok(),
            last_txid: u64::try_from(list.last_txid).ok(),
            sync_txid: u64::try_from(list.sync_txid).ok(),
            batches,
            epoch,
        })
    }
}

impl Event {
    fn from_proto(event: proto::Event) -> Result<Self, Error> {
        let contents = event.contents;
        Ok(match event.event_type {
            event_type::CREATE => Self::Create(CreateEvent::from_proto(decode(contents)?)?),
            event_type::CLOSE => {
                let close: proto::SizeEvent = decode(contents)?;
                Self::Close {
                    path: close.path,
                    length: u64::try_from(close.length).ok(),
                    modified_millis: close.timestamp,
                }
            }
            event_type::APPEND => {
                let append: proto::AppendEvent = decode(contents)?;
                Self::Append { path: append.path, new_block: append.new_block.unwrap_or(false) }
            }
            event_type::RENAME => {
                let rename: proto::RenameEvent = decode(contents)?;
                let proto::RenameEvent { source, destination, timestamp } = rename;
                Self::Rename { source, destination, time_millis: timestamp }
            }
            event_type::METADATA => {
                let metadata: proto::MetadataEvent = decode(contents)?;
                let path = metadata.path.clone();
                Self::Metadata { path, change: MetadataChange::from_proto(metadata)? }
            }
            event_type::UNLINK => {
                let unlink: proto::UnlinkEvent = decode(contents)?;
                Self::Unlink { path: unlink.path, time_millis: unlink.timestamp }
            }
            event_type::TRUNCATE => {
                let truncate: proto::SizeEvent = decode(contents)?;
                let length = u64::try_from(truncate.length)
                    .map_err(|_| Error::invalid_reply(ADDRESS, "a negative length"))?;
                Self::Truncate { path: truncate.path, length, time_millis: truncate.timestamp }
            }
            // An event that is skipped is a change that is lost.
            other => return Err(Error::Unsupported { what: format!("event type {other}") }),
        })
    }
}

impl CreateEvent {
    fn from_proto(event: proto::CreateEvent) -> Result<Self, Error> {
        let kind = match event.inode_type {
            inode_type::FILE => FileKind::File,
            inode_type::DIRECTORY => FileKind::Directory,
            inode_type::SYMLINK => FileKind::Symlink,
            other => return Err(Error::Unsupported { what: format!("inode type {other}") }),
        };
        Ok(Self {
            kind,
            path: event.path,
            created_millis: event.ctime,
            owner: event.owner,
            group: event.group,
            permission: (event.permission.mode & 0o7777) as u16,
            replication: event.replication.and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
            overwrite: event.overwrite.unwrap_or(false),
            symlink_target: event.symlink_target.filter(|target| !target.is_empty()),
            block_size_bytes: event.block_size.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            is_erasure_coded: event.erasure_coded.unwrap_or(false),
        })
    }
}

impl MetadataChange {
    /// The server fills every field of every event, so only the type says which ones count.
    fn from_proto(event: proto::MetadataEvent) -> Result<Self, Error> {
        let time = |value: Option<i64>| value.filter(|&millis| millis != -1);
        let name = |value: Option<Bytes>| value.filter(|name| !name.is_empty());
        Ok(match event.metadata_type {
            metadata_type::TIMES => Self::Times {
                modified_millis: time(event.mtime),
                accessed_millis: time(event.atime),
            },
            metadata_type::REPLICATION => Self::Replication(
                event.replication.and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
            ),
            metadata_type::OWNER => {
                Self::Owner { owner: name(event.owner), group: name(event.group) }
            }
            metadata_type::PERMISSION => {
                let mode = event.permission.unwrap_or_default().mode;
                Self::Permission((mode & 0o7777) as u16)
            }
            metadata_type::ACL => {
                let entries = event.acl.into_iter().map(AclEntry::from_proto);
                Self::Acl(entries.collect::<Result<_, _>>()?)
            }
            metadata_type::XATTR => {
                let xattrs = event.xattrs.into_iter().map(XAttr::from_proto);
                Self::XAttrs {
                    xattrs: xattrs.collect::<Result<_, _>>()?,
                    removed: event.xattrs_removed.unwrap_or(false),
                }
            }
            other => return Err(Error::Unsupported { what: format!("metadata type {other}") }),
        })
    }
}

fn decode<M: Message + Default>(contents: Bytes) -> Result<M, Error> {
    M::decode(contents).map_err(|error| Error::invalid_reply(ADDRESS, error.to_string()))
}

#[cfg(test)]
mod tests;
