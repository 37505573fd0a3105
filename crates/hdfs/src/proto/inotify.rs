//! `inotify.proto`: the events of the edit stream.

use bytes::Bytes;
use prost::Message;

use super::status::{AclEntry, FsPermission, XAttr};

/// `EventType`.
pub(crate) mod event_type {
    pub(crate) const CREATE: i32 = 0;
    pub(crate) const CLOSE: i32 = 1;
    pub(crate) const APPEND: i32 = 2;
    pub(crate) const RENAME: i32 = 3;
    pub(crate) const METADATA: i32 = 4;
    pub(crate) const UNLINK: i32 = 5;
    pub(crate) const TRUNCATE: i32 = 6;
}

/// `MetadataUpdateType`.
pub(crate) mod metadata_type {
    pub(crate) const TIMES: i32 = 0;
    pub(crate) const REPLICATION: i32 = 1;
    pub(crate) const OWNER: i32 = 2;
    pub(crate) const PERMISSION: i32 = 3;
    pub(crate) const ACL: i32 = 4;
    pub(crate) const XATTR: i32 = 5;
}

/// `INodeType`.
pub(crate) mod inode_type {
    pub(crate) const FILE: i32 = 0;
    pub(crate) const DIRECTORY: i32 = 1;
    pub(crate) const SYMLINK: i32 = 2;
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Event {
    #[prost(int32, required, tag = "1")]
    pub event_type: i32,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub contents: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct EventBatch {
    #[prost(int64, required, tag = "1")]
    pub txid: i64,
    #[prost(message, repeated, tag = "2")]
    pub events: Vec<Event>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct EventsList {
    /// Only servers before 2.7 fill this; their batches carry no transaction id.
    #[prost(message, repeated, tag = "1")]
    pub events_without_batch: Vec<Event>,
    #[prost(int64, required, tag = "2")]
    pub first_txid: i64,
    #[prost(int64, required, tag = "3")]
    pub last_txid: i64,
    #[prost(int64, required, tag = "4")]
    pub sync_txid: i64,
    #[prost(message, repeated, tag = "5")]
    pub batches: Vec<EventBatch>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CreateEvent {
    #[prost(int32, required, tag = "1")]
    pub inode_type: i32,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub path: Bytes,
    #[prost(int64, required, tag = "3")]
    pub ctime: i64,
    #[prost(bytes = "bytes", required, tag = "4")]
    pub owner: Bytes,
    #[prost(bytes = "bytes", required, tag = "5")]
    pub group: Bytes,
    #[prost(message, required, tag = "6")]
    pub permission: FsPermission,
    #[prost(int32, optional, tag = "7")]
    pub replication: Option<i32>,
    #[prost(bytes = "bytes", optional, tag = "8")]
    pub symlink_target: Option<Bytes>,
    #[prost(bool, optional, tag = "9")]
    pub overwrite: Option<bool>,
    #[prost(int64, optional, tag = "10")]
    pub block_size: Option<i64>,
    #[prost(bool, optional, tag = "11")]
    pub erasure_coded: Option<bool>,
}

/// `CloseEventProto` and `TruncateEventProto` have the same fields.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SizeEvent {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub path: Bytes,
    #[prost(int64, required, tag = "2")]
    pub length: i64,
    #[prost(int64, required, tag = "3")]
    pub timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AppendEvent {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub path: Bytes,
    #[prost(bool, optional, tag = "2")]
    pub new_block: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RenameEvent {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub source: Bytes,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub destination: Bytes,
    #[prost(int64, required, tag = "3")]
    pub timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct MetadataEvent {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub path: Bytes,
    #[prost(int32, required, tag = "2")]
    pub metadata_type: i32,
    #[prost(int64, optional, tag = "3")]
    pub mtime: Option<i64>,
    #[prost(int64, optional, tag = "4")]
    pub atime: Option<i64>,
    #[prost(int32, optional, tag = "5")]
    pub replication: Option<i32>,
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub owner: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "7")]
    pub group: Option<Bytes>,
    #[prost(message, optional, tag = "8")]
    pub permission: Option<FsPermission>,
    #[prost(message, repeated, tag = "9")]
    pub acl: Vec<AclEntry>,
    #[prost(message, repeated, tag = "10")]
    pub xattrs: Vec<XAttr>,
    #[prost(bool, optional, tag = "11")]
    pub xattrs_removed: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct UnlinkEvent {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub path: Bytes,
    #[prost(int64, required, tag = "2")]
    pub timestamp: i64,
}
