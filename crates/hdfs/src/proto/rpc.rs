//! `RpcHeader.proto`, `IpcConnectionContext.proto`, `ProtobufRpcEngine2.proto`.

use bytes::Bytes;
use prost::Message;

/// `RpcKindProto.RPC_PROTOCOL_BUFFER`.
pub(crate) const RPC_KIND_PROTOCOL_BUFFER: i32 = 2;
/// `RpcStatusProto.SUCCESS`.
pub(crate) const RPC_STATUS_SUCCESS: i32 = 0;
/// `RpcStatusProto.FATAL`: the server closes the connection after it.
pub(crate) const RPC_STATUS_FATAL: i32 = 2;

/// `RpcSaslProto.SaslState`.
pub(crate) mod sasl_state {
    pub(crate) const SUCCESS: i32 = 0;
    pub(crate) const NEGOTIATE: i32 = 1;
    pub(crate) const INITIATE: i32 = 2;
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CallerContext {
    #[prost(string, required, tag = "1")]
    pub context: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RpcRequestHeader {
    #[prost(int32, optional, tag = "1")]
    pub rpc_kind: Option<i32>,
    #[prost(int32, optional, tag = "2")]
    pub rpc_op: Option<i32>,
    #[prost(sint32, required, tag = "3")]
    pub call_id: i32,
    #[prost(bytes = "bytes", required, tag = "4")]
    pub client_id: Bytes,
    #[prost(sint32, optional, tag = "5")]
    pub retry_count: Option<i32>,
    #[prost(message, optional, tag = "7")]
    pub caller_context: Option<CallerContext>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RpcResponseHeader {
    /// A negative call id arrives as its two's complement.
    #[prost(uint32, required, tag = "1")]
    pub call_id: u32,
    #[prost(int32, required, tag = "2")]
    pub status: i32,
    #[prost(string, optional, tag = "4")]
    pub exception_class: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub message: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RequestHeader {
    #[prost(string, required, tag = "1")]
    pub method_name: String,
    #[prost(string, required, tag = "2")]
    pub protocol_name: String,
    #[prost(uint64, required, tag = "3")]
    pub protocol_version: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct UserInformation {
    #[prost(string, optional, tag = "1")]
    pub effective_user: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct IpcConnectionContext {
    #[prost(message, optional, tag = "2")]
    pub user: Option<UserInformation>,
    #[prost(string, optional, tag = "3")]
    pub protocol: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SaslAuth {
    #[prost(string, required, tag = "1")]
    pub method: String,
    #[prost(string, required, tag = "2")]
    pub mechanism: String,
    #[prost(string, optional, tag = "3")]
    pub protocol: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub server_id: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RpcSasl {
    #[prost(int32, required, tag = "2")]
    pub state: i32,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub token: Option<Bytes>,
    #[prost(message, repeated, tag = "4")]
    pub auths: Vec<SaslAuth>,
}
