//! `ClientNamenodeProtocol.proto`, `encryption.proto`, `HdfsServer.proto`: the calls.

use bytes::Bytes;
use prost::Message;

use super::inotify::EventsList;
use super::status::{AclEntry, AclStatus, ExtendedBlock, FileStatus, PipelineNode, Token, XAttr};

/// A request that names one path and nothing else.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PathRequest {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub path: Bytes,
}

/// A request without fields.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct EmptyRequest {}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FileInfoResponse {
    #[prost(message, optional, tag = "1")]
    pub status: Option<FileStatus>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct LocatedFileInfoRequest {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub path: Bytes,
    #[prost(bool, optional, tag = "2")]
    pub need_token: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ListingRequest {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub path: Bytes,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub start_after: Bytes,
    #[prost(bool, required, tag = "3")]
    pub need_location: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DirectoryListing {
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<FileStatus>,
    #[prost(uint32, required, tag = "2")]
    pub remaining: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ListingResponse {
    #[prost(message, optional, tag = "1")]
    pub listing: Option<DirectoryListing>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ContentSummary {
    #[prost(uint64, required, tag = "1")]
    pub length: u64,
    #[prost(uint64, required, tag = "2")]
    pub file_count: u64,
    #[prost(uint64, required, tag = "3")]
    pub directory_count: u64,
    #[prost(uint64, required, tag = "5")]
    pub space_consumed: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ContentSummaryResponse {
    #[prost(message, required, tag = "1")]
    pub summary: ContentSummary,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BoolResponse {
    #[prost(bool, required, tag = "1")]
    pub result: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AclStatusResponse {
    #[prost(message, required, tag = "1")]
    pub acl: AclStatus,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct XAttrsResponse {
    #[prost(message, repeated, tag = "1")]
    pub xattrs: Vec<XAttr>,
}

/// `GetCurrentEditLogTxidResponseProto` and `GetEditsFromTxidRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Txid {
    #[prost(int64, required, tag = "1")]
    pub txid: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct EditsResponse {
    #[prost(message, required, tag = "1")]
    pub events: EventsList,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ServerDefaults {
    #[prost(uint64, required, tag = "1")]
    pub block_size: u64,
    #[prost(uint32, required, tag = "2")]
    pub bytes_per_checksum: u32,
    #[prost(uint32, required, tag = "4")]
    pub replication: u32,
    #[prost(bool, optional, tag = "6")]
    pub encrypt_data_transfer: Option<bool>,
    #[prost(uint64, optional, tag = "7")]
    pub trash_interval: Option<u64>,
    #[prost(int32, optional, tag = "8")]
    pub checksum_type: Option<i32>,
    #[prost(string, optional, tag = "9")]
    pub key_provider_uri: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ServerDefaultsResponse {
    #[prost(message, required, tag = "1")]
    pub defaults: ServerDefaults,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FsStatsResponse {
    #[prost(uint64, required, tag = "1")]
    pub capacity: u64,
    #[prost(uint64, required, tag = "2")]
    pub used: u64,
    #[prost(uint64, required, tag = "3")]
    pub remaining: u64,
    #[prost(uint64, required, tag = "5")]
    pub corrupt_blocks: u64,
    #[prost(uint64, required, tag = "6")]
    pub missing_blocks: u64,
}

/// `HAServiceStateProto`.
pub(crate) mod ha_state {
    pub(crate) const INITIALIZING: i32 = 0;
    pub(crate) const ACTIVE: i32 = 1;
    pub(crate) const STANDBY: i32 = 2;
    pub(crate) const OBSERVER: i32 = 3;
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct HaServiceStateResponse {
    #[prost(int32, required, tag = "1")]
    pub state: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct EncryptionZone {
    #[prost(int64, required, tag = "1")]
    pub id: i64,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub path: Bytes,
    #[prost(string, required, tag = "5")]
    pub key_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct EncryptionZoneResponse {
    #[prost(message, optional, tag = "1")]
    pub zone: Option<EncryptionZone>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SnapshotRequest {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub root: Bytes,
    #[prost(string, required, tag = "2")]
    pub name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SnapshotResponse {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub path: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SnapshotDifferenceCursor {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub start_path: Bytes,
    #[prost(int32, required, tag = "2")]
    pub index: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct OpenFilesRequest {
    #[prost(int64, required, tag = "1")]
    pub after_id: i64,
    #[prost(int32, repeated, packed = "false", tag = "2")]
    pub types: Vec<i32>,
    #[prost(bytes = "bytes", required, tag = "3")]
    pub path: Bytes,
}

/// Every open file, whoever writes to it.
pub(crate) const ALL_OPEN_FILES: i32 = 1;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct OpenFile {
    #[prost(int64, required, tag = "1")]
    pub file_id: i64,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub path: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct OpenFilesResponse {
    #[prost(message, repeated, tag = "1")]
    pub files: Vec<OpenFile>,
    #[prost(bool, required, tag = "2")]
    pub more: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SnapshotDifferenceRequest {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub root: Bytes,
    #[prost(string, required, tag = "2")]
    pub from_snapshot: String,
    #[prost(string, required, tag = "3")]
    pub to_snapshot: String,
    #[prost(message, optional, tag = "4")]
    pub cursor: Option<SnapshotDifferenceCursor>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SnapshotDifferenceEntry {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub path: Bytes,
    #[prost(uint64, required, tag = "2")]
    pub directory_id: u64,
    #[prost(bool, required, tag = "3")]
    pub is_reference: bool,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub target_path: Option<Bytes>,
    #[prost(uint64, optional, tag = "5")]
    pub file_id: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SnapshotDifferenceListing {
    #[prost(message, repeated, tag = "1")]
    pub modified: Vec<SnapshotDifferenceEntry>,
    #[prost(message, repeated, tag = "2")]
    pub created: Vec<SnapshotDifferenceEntry>,
    #[prost(message, repeated, tag = "3")]
    pub deleted: Vec<SnapshotDifferenceEntry>,
    #[prost(message, optional, tag = "5")]
    pub cursor: Option<SnapshotDifferenceCursor>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SnapshotDifferenceResponse {
    #[prost(message, required, tag = "1")]
    pub listing: SnapshotDifferenceListing,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct StorageInfo {
    #[prost(uint32, required, tag = "1")]
    pub layout_version: u32,
    #[prost(uint32, required, tag = "2")]
    pub namespace_id: u32,
    #[prost(string, required, tag = "3")]
    pub cluster_id: String,
    #[prost(uint64, required, tag = "4")]
    pub creation_time: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct NamespaceInfo {
    #[prost(string, required, tag = "1")]
    pub build_version: String,
    #[prost(string, required, tag = "3")]
    pub block_pool: String,
    #[prost(message, required, tag = "4")]
    pub storage: StorageInfo,
    #[prost(string, required, tag = "5")]
    pub software_version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct VersionResponse {
    #[prost(message, required, tag = "1")]
    pub info: NamespaceInfo,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Permission {
    #[prost(uint32, required, tag = "1")]
    pub mode: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SetPermissionRequest {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub path: Bytes,
    #[prost(message, required, tag = "2")]
    pub permission: Permission,
}

/// `SafeModeActionProto`.
pub(crate) mod safe_mode {
    pub(crate) const LEAVE: i32 = 1;
    pub(crate) const ENTER: i32 = 2;
    pub(crate) const GET: i32 = 3;
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SafeModeRequest {
    #[prost(int32, required, tag = "1")]
    pub action: i32,
    #[prost(bool, optional, tag = "2")]
    pub checked: Option<bool>,
}

/// `CreateFlagProto`.
pub(crate) mod create_flag {
    pub(crate) const CREATE: u32 = 0x01;
    /// Not erasure coded, whatever the directory says.
    pub(crate) const SHOULD_REPLICATE: u32 = 0x80;
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CreateRequest {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub path: Bytes,
    #[prost(message, required, tag = "2")]
    pub masked: Permission,
    #[prost(string, required, tag = "3")]
    pub client_name: String,
    #[prost(uint32, required, tag = "4")]
    pub flags: u32,
    #[prost(bool, required, tag = "5")]
    pub create_parent: bool,
    #[prost(uint32, required, tag = "6")]
    pub replication: u32,
    #[prost(uint64, required, tag = "7")]
    pub block_size: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AddBlockRequest {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub path: Bytes,
    #[prost(string, required, tag = "2")]
    pub client_name: String,
    #[prost(message, optional, tag = "3")]
    pub previous: Option<ExtendedBlock>,
    #[prost(message, repeated, tag = "4")]
    pub excluded: Vec<PipelineNode>,
    #[prost(uint64, optional, tag = "5")]
    pub file_id: Option<u64>,
}

/// `LocatedBlockProto`, with what a writer needs of it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct NewBlock {
    #[prost(message, required, tag = "1")]
    pub block: ExtendedBlock,
    #[prost(message, repeated, tag = "3")]
    pub datanodes: Vec<PipelineNode>,
    #[prost(message, optional, tag = "5")]
    pub token: Option<Token>,
    #[prost(int32, repeated, packed = "false", tag = "7")]
    pub storage_types: Vec<i32>,
    #[prost(string, repeated, tag = "8")]
    pub storage_ids: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AddBlockResponse {
    #[prost(message, required, tag = "1")]
    pub block: NewBlock,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AbandonBlockRequest {
    #[prost(message, required, tag = "1")]
    pub block: ExtendedBlock,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub path: Bytes,
    #[prost(string, required, tag = "3")]
    pub client_name: String,
    #[prost(uint64, optional, tag = "4")]
    pub file_id: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CompleteRequest {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub path: Bytes,
    #[prost(string, required, tag = "2")]
    pub client_name: String,
    #[prost(message, optional, tag = "3")]
    pub last: Option<ExtendedBlock>,
    #[prost(uint64, optional, tag = "4")]
    pub file_id: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RenewLeaseRequest {
    #[prost(string, required, tag = "1")]
    pub client_name: String,
}

/// `Rename2RequestProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RenameRequest {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub from: Bytes,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub to: Bytes,
    #[prost(bool, required, tag = "3")]
    pub overwrite: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DeleteRequest {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub path: Bytes,
    #[prost(bool, required, tag = "2")]
    pub recursive: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct MakeDirectoryRequest {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub path: Bytes,
    #[prost(message, required, tag = "2")]
    pub masked: Permission,
    #[prost(bool, required, tag = "3")]
    pub create_parent: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SetOwnerRequest {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub path: Bytes,
    #[prost(string, optional, tag = "2")]
    pub owner: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub group: Option<String>,
}

/// A time of all ones stays as it is.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SetTimesRequest {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub path: Bytes,
    #[prost(uint64, required, tag = "2")]
    pub modified: u64,
    #[prost(uint64, required, tag = "3")]
    pub accessed: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SetAclRequest {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub path: Bytes,
    #[prost(message, repeated, tag = "2")]
    pub entries: Vec<AclEntry>,
}

/// `XAttrSetFlagProto`: make it, or replace what stands there.
pub(crate) const XATTR_CREATE_OR_REPLACE: u32 = 0x03;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SetXAttrRequest {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub path: Bytes,
    #[prost(message, optional, tag = "2")]
    pub xattr: Option<XAttr>,
    #[prost(uint32, optional, tag = "3")]
    pub flag: Option<u32>,
}
