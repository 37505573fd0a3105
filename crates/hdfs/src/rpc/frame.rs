//! Frames: a big-endian length, then messages that each carry their own length.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::error::Error;
use crate::proto::rpc::{
    CallerContext, IpcConnectionContext, RPC_KIND_PROTOCOL_BUFFER, RequestHeader, RpcRequestHeader,
    RpcResponseHeader, UserInformation,
};

/// The longest frame that is accepted: Hadoop's own `ipc.maximum.response.length`.
pub(crate) const FRAME_BYTES_MAX: u32 = 128 * 1024 * 1024;
/// The protocol that most calls belong to.
pub(crate) const CLIENT_PROTOCOL: &str = "org.apache.hadoop.hdfs.protocol.ClientProtocol";

const CONNECTION_CONTEXT_CALL_ID: i32 = -3;
/// The call id of every frame of the SASL negotiation.
pub(crate) const SASL_CALL_ID: i32 = -33;
const RPC_FINAL_PACKET: i32 = 0;

/// The first seven bytes of a connection: magic, version 9, service class 0, SASL.
pub(crate) const CONNECTION_HEADER: [u8; 7] = [b'h', b'r', b'p', b'c', 9, 0, 0xdf];

/// What every request of one client has in common.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) client_id: Bytes,
    pub(crate) context: Option<String>,
    pub(crate) user: String,
    /// Calls under this id so far, over all connections.
    pub(crate) calls: Arc<AtomicU32>,
}

/// Which call of its client it is, and how often it was sent before. A NameNode takes a write under
/// an id that it knows for the same call and answers what it answered then (`RetryCache`), so a
/// call keeps its id over lost connections, and no other call ever has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallId {
    pub(crate) number: i32,
    pub(crate) retries: i32,
}

/// One call, encoded but for its id: it is sent again as it stands on every retry.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) protocol: &'static str,
    pub(crate) method: &'static str,
    pub(crate) request: Bytes,
}

/// A response, split at its header; `body` is decoded by whoever waits for it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Response {
    pub(crate) header: RpcResponseHeader,
    pub(crate) body: Bytes,
}

impl Caller {
    pub(crate) fn new(client_id: Bytes, context: Option<String>, user: String) -> Self {
        Self { client_id, context, user, calls: Arc::default() }
    }

    /// The id of a call that was not sent yet. Negative ids are Hadoop's own.
    pub(crate) fn call_id(&self) -> CallId {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) & i32::MAX.cast_unsigned();
        CallId { number: number.cast_signed(), retries: 0 }
    }
}

impl CallId {
    /// The same call, sent once more.
    pub(crate) fn again(self) -> Self {
        Self { retries: self.retries.saturating_add(1), ..self }
    }
}

impl Call {
    pub(crate) fn new(
        protocol: &'static str,
        method: &'static str,
        request: &impl Message,
    ) -> Self {
        Self { protocol, method, request: Bytes::from(request.encode_to_vec()) }
    }

    /// The frame that carries this call under an id.
    pub(crate) fn frame(&self, caller: &Caller, id: CallId) -> Bytes {
        let mut header = request_header(id.number, caller.client_id.clone());
        header.retry_count = Some(id.retries);
        header.caller_context =
            caller.context.as_ref().map(|context| CallerContext { context: context.clone() });
        let request_header = RequestHeader {
            method_name: self.method.to_owned(),
            protocol_name: self.protocol.to_owned(),
            protocol_version: 1,
        };
        let mut frame = BytesMut::with_capacity(256 + self.request.len());
        frame.put_u32(0);
        put_delimited(&mut frame, &header);
        put_delimited(&mut frame, &request_header);
        put_varint(&mut frame, self.request.len() as u64);
        frame.extend_from_slice(&self.request);
        finish(frame)
    }
}

/// The frame that says who calls; it follows the authentication.
pub(crate) fn connection_context(caller: &Caller) -> Bytes {
    let context = IpcConnectionContext {
        user: Some(UserInformation { effective_user: Some(caller.user.clone()) }),
        protocol: Some(CLIENT_PROTOCOL.to_owned()),
    };
    let header = request_header(CONNECTION_CONTEXT_CALL_ID, caller.client_id.clone());
    two_messages(&header, &context)
}

/// A frame of the SASL negotiation; the client has no id yet.
pub(crate) fn sasl(message: &impl Message) -> Bytes {
    two_messages(&request_header(SASL_CALL_ID, Bytes::new()), message)
}

/// Reads one frame without its length; `None` at an orderly end between frames.
pub(crate) async fn read(
    input: &mut (impl AsyncRead + Unpin),
    address: &str,
) -> Result<Option<Bytes>, Error> {
    let length = match input.read_u32().await {
        Ok(length) => length,
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(Error::connection(address, error)),
    };
    if length > FRAME_BYTES_MAX {
        return Err(Error::invalid_reply(address, format!("a frame of {length} bytes")));
    }
    // The length is not believed before bytes arrive: memory grows with what was received.
    let length = length as usize;
    let mut frame = BytesMut::with_capacity(length.min(1024 * 1024));
    let mut limited = input.take(length as u64);
    while frame.len() < length {
        let read = limited.read_buf(&mut frame).await;
        if read.map_err(|error| Error::connection(address, error))? == 0 {
            return Err(Error::connection(address, "closed within a frame"));
        }
    }
    Ok(Some(frame.freeze()))
}

/// Splits a frame into its header and the bytes of the answer.
pub(crate) fn response(mut frame: Bytes, address: &str) -> Result<Response, Error> {
    let header: RpcResponseHeader = take_delimited(&mut frame, address)?;
    Ok(Response { header, body: frame })
}

/// Takes one length-delimited message off the front.
pub(crate) fn take_delimited<M: Message + Default>(
    bytes: &mut Bytes,
    address: &str,
) -> Result<M, Error> {
    let told = |error: prost::DecodeError| Error::invalid_reply(address, error.to_string());
    let length = prost::decode_length_delimiter(&mut *bytes).map_err(told)?;
    if length > bytes.remaining() {
        return Err(Error::invalid_reply(address, "a message longer than its frame"));
    }
    M::decode(bytes.split_to(length)).map_err(told)
}

/// Appends one length-delimited message.
pub(crate) fn put_delimited(buffer: &mut BytesMut, message: &impl Message) {
    put_varint(buffer, message.encoded_len() as u64);
    buffer.extend_from_slice(&message.encode_to_vec());
}

fn put_varint(buffer: &mut BytesMut, value: u64) {
    prost::encoding::encode_varint(value, buffer);
}

fn two_messages(header: &RpcRequestHeader, message: &impl Message) -> Bytes {
    let mut frame = BytesMut::with_capacity(128);
    frame.put_u32(0);
    put_delimited(&mut frame, header);
    put_delimited(&mut frame, message);
    finish(frame)
}

fn finish(mut frame: BytesMut) -> Bytes {
    let length = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame.freeze()
}

fn request_header(call_id: i32, client_id: Bytes) -> RpcRequestHeader {
    RpcRequestHeader {
        rpc_kind: Some(RPC_KIND_PROTOCOL_BUFFER),
        rpc_op: Some(RPC_FINAL_PACKET),
        call_id,
        client_id,
        retry_count: Some(-1),
        caller_context: None,
    }
}

#[cfg(test)]
mod tests;
