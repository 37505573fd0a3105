//! `hdfs.proto`, `acl.proto`, `xattr.proto`: what a file is.

use bytes::Bytes;
use prost::Message;

/// `HdfsFileStatusProto.FileType`.
pub(crate) mod file_type {
    pub(crate) const DIRECTORY: i32 = 1;
    pub(crate) const FILE: i32 = 2;
    pub(crate) const SYMLINK: i32 = 3;
}

/// `HdfsFileStatusProto.Flags`.
pub(crate) mod flag {
    pub(crate) const HAS_ACL: u32 = 1;
    pub(crate) const HAS_CRYPT: u32 = 2;
    pub(crate) const HAS_ERASURE_CODING: u32 = 4;
    pub(crate) const SNAPSHOT_ENABLED: u32 = 8;
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ExtendedBlock {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub pool: Bytes,
    #[prost(uint64, required, tag = "2")]
    pub block_id: u64,
    #[prost(uint64, required, tag = "3")]
    pub generation_stamp: u64,
    #[prost(uint64, optional, tag = "4")]
    pub length: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Token {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub identifier: Bytes,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub password: Bytes,
    #[prost(string, required, tag = "3")]
    pub kind: String,
    #[prost(string, required, tag = "4")]
    pub service: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DatanodeId {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub ip: Bytes,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub host: Bytes,
    #[prost(bytes = "bytes", required, tag = "3")]
    pub uuid: Bytes,
    #[prost(uint32, required, tag = "4")]
    pub transfer_port: u32,
    #[prost(uint32, required, tag = "5")]
    pub info_port: u32,
    #[prost(uint32, required, tag = "6")]
    pub ipc_port: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DatanodeInfo {
    #[prost(message, required, tag = "1")]
    pub id: DatanodeId,
}

/// `DatanodeInfoProto`, with what has to be told again of a DataNode that the NameNode named.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PipelineNode {
    #[prost(message, required, tag = "1")]
    pub id: DatanodeId,
    /// Its place in the network.
    #[prost(string, optional, tag = "8")]
    pub location: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct LocatedBlock {
    #[prost(message, required, tag = "1")]
    pub block: ExtendedBlock,
    #[prost(uint64, required, tag = "2")]
    pub offset: u64,
    #[prost(message, repeated, tag = "3")]
    pub datanodes: Vec<DatanodeInfo>,
    #[prost(bool, required, tag = "4")]
    pub corrupt: bool,
    /// Which unit of the block group each DataNode holds (erasure coding only).
    #[prost(bytes = "bytes", optional, tag = "9")]
    pub unit_indices: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FileEncryptionInfo {
    #[prost(string, required, tag = "5")]
    pub key_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ErasureCodingSchemaOption {
    #[prost(string, required, tag = "1")]
    pub key: String,
    #[prost(string, required, tag = "2")]
    pub value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ErasureCodingSchema {
    #[prost(string, required, tag = "1")]
    pub codec: String,
    #[prost(uint32, required, tag = "2")]
    pub data_units: u32,
    #[prost(uint32, required, tag = "3")]
    pub parity_units: u32,
    #[prost(message, repeated, tag = "4")]
    pub options: Vec<ErasureCodingSchemaOption>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ErasureCodingPolicy {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub schema: Option<ErasureCodingSchema>,
    #[prost(uint32, optional, tag = "3")]
    pub cell_size: Option<u32>,
    #[prost(uint32, required, tag = "4")]
    pub id: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct LocatedBlocks {
    #[prost(uint64, required, tag = "1")]
    pub file_length: u64,
    #[prost(message, repeated, tag = "2")]
    pub blocks: Vec<LocatedBlock>,
    #[prost(bool, required, tag = "3")]
    pub under_construction: bool,
    #[prost(message, optional, tag = "4")]
    pub last_block: Option<LocatedBlock>,
    #[prost(bool, required, tag = "5")]
    pub last_block_complete: bool,
    #[prost(message, optional, tag = "6")]
    pub encryption: Option<FileEncryptionInfo>,
    #[prost(message, optional, tag = "7")]
    pub erasure_coding: Option<ErasureCodingPolicy>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FsPermission {
    #[prost(uint32, required, tag = "1")]
    pub mode: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FileStatus {
    #[prost(int32, required, tag = "1")]
    pub file_type: i32,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub name: Bytes,
    #[prost(uint64, required, tag = "3")]
    pub length: u64,
    #[prost(message, required, tag = "4")]
    pub permission: FsPermission,
    #[prost(bytes = "bytes", required, tag = "5")]
    pub owner: Bytes,
    #[prost(bytes = "bytes", required, tag = "6")]
    pub group: Bytes,
    #[prost(uint64, required, tag = "7")]
    pub modification_time: u64,
    #[prost(uint64, required, tag = "8")]
    pub access_time: u64,
    #[prost(bytes = "bytes", optional, tag = "9")]
    pub symlink: Option<Bytes>,
    #[prost(uint32, optional, tag = "10")]
    pub replication: Option<u32>,
    #[prost(uint64, optional, tag = "11")]
    pub block_size: Option<u64>,
    #[prost(message, optional, tag = "12")]
    pub locations: Option<LocatedBlocks>,
    #[prost(uint64, optional, tag = "13")]
    pub file_id: Option<u64>,
    #[prost(int32, optional, tag = "14")]
    pub children_count: Option<i32>,
    #[prost(message, optional, tag = "15")]
    pub encryption: Option<FileEncryptionInfo>,
    #[prost(uint32, optional, tag = "16")]
    pub storage_policy: Option<u32>,
    #[prost(message, optional, tag = "17")]
    pub erasure_coding: Option<ErasureCodingPolicy>,
    #[prost(uint32, optional, tag = "18")]
    pub flags: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AclEntry {
    #[prost(int32, required, tag = "1")]
    pub entry_type: i32,
    #[prost(int32, required, tag = "2")]
    pub scope: i32,
    #[prost(int32, required, tag = "3")]
    pub permissions: i32,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub name: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AclStatus {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub owner: Bytes,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub group: Bytes,
    #[prost(bool, required, tag = "3")]
    pub sticky: bool,
    #[prost(message, repeated, tag = "4")]
    pub entries: Vec<AclEntry>,
    #[prost(message, optional, tag = "5")]
    pub permission: Option<FsPermission>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct XAttr {
    #[prost(int32, required, tag = "1")]
    pub namespace: i32,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub name: Bytes,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub value: Option<Bytes>,
}
