//! `datatransfer.proto`: what is said to a DataNode.

use bytes::Bytes;
use prost::Message;

use super::status::{DatanodeInfo, ErasureCodingPolicy, ExtendedBlock, PipelineNode, Token};

/// `Status`.
pub(crate) mod status {
    pub(crate) const SUCCESS: i32 = 0;
    pub(crate) const ERROR_ACCESS_TOKEN: i32 = 5;
    pub(crate) const CHECKSUM_OK: i32 = 6;
}

/// `ChecksumTypeProto`.
pub(crate) mod checksum_type {
    pub(crate) const NULL: i32 = 0;
    pub(crate) const CRC32: i32 = 1;
    pub(crate) const CRC32C: i32 = 2;
}

/// `BlockChecksumTypeProto.COMPOSITE_CRC`.
pub(crate) const BLOCK_CHECKSUM_COMPOSITE_CRC: i32 = 2;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BaseHeader {
    #[prost(message, required, tag = "1")]
    pub block: ExtendedBlock,
    #[prost(message, optional, tag = "2")]
    pub token: Option<Token>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ClientOperationHeader {
    #[prost(message, required, tag = "1")]
    pub base: BaseHeader,
    #[prost(string, required, tag = "2")]
    pub client_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CachingStrategy {
    #[prost(bool, optional, tag = "1")]
    pub drop_behind: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReadBlock {
    #[prost(message, required, tag = "1")]
    pub header: ClientOperationHeader,
    #[prost(uint64, required, tag = "2")]
    pub offset: u64,
    #[prost(uint64, required, tag = "3")]
    pub length: u64,
    #[prost(bool, optional, tag = "4")]
    pub send_checksums: Option<bool>,
    #[prost(message, optional, tag = "5")]
    pub caching_strategy: Option<CachingStrategy>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BlockChecksumOptions {
    #[prost(int32, optional, tag = "1")]
    pub checksum_type: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BlockChecksum {
    #[prost(message, required, tag = "1")]
    pub header: BaseHeader,
    #[prost(message, optional, tag = "2")]
    pub options: Option<BlockChecksumOptions>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DatanodeInfos {
    #[prost(message, repeated, tag = "1")]
    pub datanodes: Vec<DatanodeInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BlockGroupChecksum {
    #[prost(message, required, tag = "1")]
    pub header: BaseHeader,
    #[prost(message, required, tag = "2")]
    pub datanodes: DatanodeInfos,
    #[prost(message, repeated, tag = "3")]
    pub tokens: Vec<Token>,
    #[prost(message, required, tag = "4")]
    pub policy: ErasureCodingPolicy,
    #[prost(uint32, repeated, packed = "false", tag = "5")]
    pub unit_indices: Vec<u32>,
    #[prost(uint64, required, tag = "6")]
    pub length: u64,
    #[prost(message, optional, tag = "7")]
    pub options: Option<BlockChecksumOptions>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PacketHeader {
    #[prost(sfixed64, required, tag = "1")]
    pub offset_in_block: i64,
    #[prost(sfixed64, required, tag = "2")]
    pub sequence: i64,
    #[prost(bool, required, tag = "3")]
    pub last: bool,
    #[prost(sfixed32, required, tag = "4")]
    pub data_length: i32,
    /// Bytes are to be on the disk before the packet is acknowledged.
    #[prost(bool, optional, tag = "5")]
    pub sync: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Checksum {
    #[prost(int32, required, tag = "1")]
    pub checksum_type: i32,
    #[prost(uint32, required, tag = "2")]
    pub bytes_per_checksum: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReadChecksumInfo {
    #[prost(message, required, tag = "1")]
    pub checksum: Checksum,
    #[prost(uint64, required, tag = "2")]
    pub chunk_offset: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BlockChecksumResponse {
    #[prost(uint32, required, tag = "1")]
    pub bytes_per_checksum: u32,
    #[prost(uint64, required, tag = "2")]
    pub checksums_per_block: u64,
    #[prost(bytes = "bytes", required, tag = "3")]
    pub checksum: Bytes,
    #[prost(int32, optional, tag = "4")]
    pub checksum_type: Option<i32>,
    #[prost(message, optional, tag = "5")]
    pub options: Option<BlockChecksumOptions>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BlockOperationResponse {
    #[prost(int32, required, tag = "1")]
    pub status: i32,
    /// Of a pipeline that cannot be set up: the DataNode behind which it broke.
    #[prost(string, optional, tag = "2")]
    pub first_bad_link: Option<String>,
    #[prost(message, optional, tag = "3")]
    pub checksum: Option<BlockChecksumResponse>,
    #[prost(message, optional, tag = "4")]
    pub read_checksum_info: Option<ReadChecksumInfo>,
    #[prost(string, optional, tag = "5")]
    pub message: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ClientReadStatus {
    #[prost(int32, required, tag = "1")]
    pub status: i32,
}

/// `OpWriteBlockProto.BlockConstructionStage.PIPELINE_SETUP_CREATE`.
pub(crate) const STAGE_SETUP_CREATE: i32 = 6;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct WriteBlock {
    #[prost(message, required, tag = "1")]
    pub header: ClientOperationHeader,
    /// Whom the first DataNode hands the bytes on to.
    #[prost(message, repeated, tag = "2")]
    pub targets: Vec<PipelineNode>,
    #[prost(int32, required, tag = "4")]
    pub stage: i32,
    #[prost(uint32, required, tag = "5")]
    pub pipeline_size: u32,
    #[prost(uint64, required, tag = "6")]
    pub bytes_received_min: u64,
    #[prost(uint64, required, tag = "7")]
    pub bytes_received_max: u64,
    #[prost(uint64, required, tag = "8")]
    pub latest_generation_stamp: u64,
    #[prost(message, required, tag = "9")]
    pub checksum: Checksum,
    #[prost(message, optional, tag = "10")]
    pub caching_strategy: Option<CachingStrategy>,
    #[prost(int32, optional, tag = "11")]
    pub storage_type: Option<i32>,
    #[prost(int32, repeated, packed = "false", tag = "12")]
    pub target_storage_types: Vec<i32>,
    #[prost(string, optional, tag = "16")]
    pub storage_id: Option<String>,
    #[prost(string, repeated, tag = "17")]
    pub target_storage_ids: Vec<String>,
}

/// What became of one packet on each DataNode of a pipeline.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PipelineAck {
    #[prost(sint64, required, tag = "1")]
    pub sequence: i64,
    #[prost(int32, repeated, packed = "false", tag = "2")]
    pub replies: Vec<i32>,
}
