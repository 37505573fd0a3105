//! One connection to one DataNode: operations one after the other.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::{Error, seconds};
use crate::pinned::{Block, PinnedFile};
use crate::proto::datanode as proto;
use crate::proto::datanode::status;
use crate::proto::status::Token;
use crate::rpc::frame;
use crate::socket;

const TRANSFER_VERSION: u16 = 28;
const REPLY_BYTES_MAX: usize = 1024 * 1024;
const SPARE_BYTES_MIN: usize = 16 * 1024;

/// The operations that this crate asks for.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Operation {
    WriteBlock = 80,
    ReadBlock = 81,
    BlockChecksum = 85,
    BlockGroupChecksum = 90,
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) address: String,
    stream: TcpStream,
    buffer: BytesMut,
    silence_max: Duration,
    /// It has carried an operation before, so the DataNode may have closed it meanwhile.
    pub(crate) is_reused: bool,
}

impl Peer {
    pub(crate) async fn open(
        address: String,
        connect_timeout: Duration,
        silence_max: Duration,
    ) -> Result<Self, Error> {
        let stream = match timeout(connect_timeout, TcpStream::connect(&address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Error::connection(&address, error)),
            Err(_) => {
                let told = format!("not open within {}", seconds(connect_timeout));
                return Err(Error::connection(&address, told));
            }
        };
        socket::prepare(&stream).map_err(|error| Error::connection(&address, error))?;
        let buffer = BytesMut::new();
        Ok(Self { address, stream, buffer, silence_max, is_reused: false })
    }

    /// Sends an operation and reads the first answer to it.
    pub(crate) async fn ask(
        &mut self,
        operation: Operation,
        request: &impl Message,
        block: &Block,
    ) -> Result<proto::BlockOperationResponse, Error> {
        let reply = self.ask_plainly(operation, request).await?;
        if reply.status == status::SUCCESS {
            return Ok(reply);
        }
        Err(refusal(&self.address, block, &reply))
    }

    /// The same for whoever reads a refusal himself.
    pub(crate) async fn ask_plainly(
        &mut self,
        operation: Operation,
        request: &impl Message,
    ) -> Result<proto::BlockOperationResponse, Error> {
        let mut message = BytesMut::with_capacity(256);
        message.extend_from_slice(&TRANSFER_VERSION.to_be_bytes());
        message.extend_from_slice(&[operation as u8]);
        frame::put_delimited(&mut message, request);
        self.send(&message).await?;
        self.receive_message().await
    }

    /// Tells the DataNode that everything arrived, so that the connection may be used again.
    pub(crate) async fn send_read_status(&mut self) -> Result<(), Error> {
        let mut message = BytesMut::with_capacity(8);
        let status = proto::ClientReadStatus { status: status::CHECKSUM_OK };
        frame::put_delimited(&mut message, &status);
        self.send(&message).await
    }

    /// The bytes received and not yet taken, at least `length` of them.
    pub(crate) async fn fill(&mut self, length: usize, expected: usize) -> Result<(), Error> {
        while self.buffer.len() < length {
            let missing = length - self.buffer.len();
            let spare = self.buffer.capacity() - self.buffer.len();
            if spare < missing.min(SPARE_BYTES_MIN) {
                self.buffer.reserve(missing.max(expected));
            }
            let read = timeout(self.silence_max, self.stream.read_buf(&mut self.buffer)).await;
            let read = read.map_err(|_| {
                Error::connection(&self.address, format!("silent for {:?}", self.silence_max))
            })?;
            if read.map_err(|error| Error::connection(&self.address, error))? == 0 {
                return Err(Error::connection(&self.address, "closed by the DataNode"));
            }
        }
        Ok(())
    }

    /// Lets go of the receive buffer, which handed-out bytes may still share.
    pub(crate) fn release_buffer(&mut self) {
        self.buffer = BytesMut::new();
    }

    /// What was received and not yet taken.
    pub(crate) fn received(&self) -> &[u8] {
        &self.buffer
    }

    /// Takes received bytes off the front; they are shared, not copied.
    pub(crate) fn take(&mut self, length: usize) -> Bytes {
        self.buffer.split_to(length.min(self.buffer.len())).freeze()
    }

    pub(crate) async fn send(&mut self, message: &[u8]) -> Result<(), Error> {
        match timeout(self.silence_max, self.stream.write_all(message)).await {
            Ok(sent) => sent.map_err(|error| Error::connection(&self.address, error)),
            Err(_) => Err(Error::connection(&self.address, "takes no bytes")),
        }
    }

    pub(crate) async fn receive_message<M: Message + Default>(&mut self) -> Result<M, Error> {
        let mut prefix = 1;
        let length = loop {
            self.fill(prefix, SPARE_BYTES_MIN).await?;
            match varint(self.received()) {
                Some((length, used)) => {
                    self.take(used);
                    break length;
                }
                None if prefix < 5 => prefix += 1,
                None => return Err(Error::invalid_reply(&self.address, "a length of no end")),
            }
        };
        let length = usize::try_from(length).ok().filter(|length| *length <= REPLY_BYTES_MAX);
        let length = length
            .ok_or_else(|| Error::invalid_reply(&self.address, "a reply beyond all bounds"))?;
        self.fill(length, SPARE_BYTES_MIN).await?;
        let reply = self.take(length);
        M::decode(reply).map_err(|error| Error::invalid_reply(&self.address, error.to_string()))
    }
}

/// The header that all operations begin with. Without Kerberos the token is empty.
pub(crate) fn base_header(file: &PinnedFile, block: &Block) -> proto::BaseHeader {
    proto::BaseHeader { block: file.extended_block(block), token: Some(Token::default()) }
}

/// A complete varint of at most five bytes: its value and its length.
pub(crate) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

/// What a DataNode's refusal means. Its status says "error" for nearly everything; the exception
/// that it names makes the difference between a file that has moved on and a DataNode in trouble.
fn refusal(address: &str, block: &Block, reply: &proto::BlockOperationResponse) -> Error {
    const GONE: [&str; 5] = [
        "ReplicaNotFoundException",
        "FileNotFoundException",
        "is not valid",
        "Replica gen stamp < block genstamp",
        "don't match block",
    ];
    let message = reply.message.clone().unwrap_or_else(|| format!("status {}", reply.status));
    if reply.status == status::ERROR_ACCESS_TOKEN {
        return Error::Unsupported { what: format!("block access tokens, wanted by {address}") };
    }
    if GONE.iter().any(|sign| message.contains(sign)) {
        return Error::SourceMoved { block: block.name(), message };
    }
    Error::Datanode { address: address.to_owned(), message }
}

#[cfg(test)]
mod tests;
