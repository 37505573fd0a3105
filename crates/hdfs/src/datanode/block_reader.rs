//! A range of one block from one DataNode.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::packet::{Chunks, Frame, PREFIX_BYTES, Packet};
use super::peer::{Operation, Peer, base_header};
use super::peers::{Peers, Stream};
use crate::error::Error;
use crate::pinned::{Block, Datanode, PinnedFile};
use crate::proto::datanode as proto;

const RECEIVE_BYTES_MAX: usize = 512 * 1024;
/// What a packet adds to a small range: chunk alignment, checksums, headers.
const OVERHEAD_BYTES: usize = 8 * 1024;

/// Reads a range of a block; every byte that it hands out was compared with its checksum.
#[derive(Debug)]
pub(crate) struct BlockReader {
    peers: Arc<Peers>,
    peer: Peer,
    _stream: Stream,
    block: String,
    chunks: Chunks,
    /// Where the next packet begins in the block.
    offset: u64,
    /// What is still to be handed out, as positions in the block.
    range: Range<u64>,
    receive_bytes: usize,
}

impl BlockReader {
    /// Asks for `range` (positions in the block, not empty).
    pub(crate) async fn open(
        peers: &Arc<Peers>,
        client_name: &str,
        file: &PinnedFile,
        block: &Block,
        datanode: &Datanode,
        range: Range<u64>,
    ) -> Result<Self, Error> {
        let request = proto::ReadBlock {
            header: proto::ClientOperationHeader {
                base: base_header(file, block),
                client_name: client_name.to_owned(),
            },
            offset: range.start,
            length: range.end - range.start,
            send_checksums: Some(true),
            // Whole trees are read once: they must not push the cluster's own data out of memory.
            caching_strategy: Some(proto::CachingStrategy { drop_behind: Some(true) }),
        };
        let mut peer = peers.peer(datanode, false).await?;
        let asked = peer.ask(Operation::ReadBlock, &request, block).await;
        let reply = match asked {
            Err(Error::Connection { .. }) if peer.is_reused => {
                peer = peers.peer(datanode, true).await?;
                peer.ask(Operation::ReadBlock, &request, block).await?
            }
            asked => asked?,
        };
        let told = |message: String| Error::invalid_reply(&peer.address, message);
        let info = reply.read_checksum_info.unwrap_or_default();
        let chunks = Chunks::from_proto(&info.checksum).map_err(told)?;
        let lead = range.start.checked_sub(info.chunk_offset);
        if lead.is_none_or(|lead| lead >= chunks.bytes as u64) {
            return Err(told(format!("begins at {} not {}", info.chunk_offset, range.start)));
        }
        let length = usize::try_from(range.end - range.start).unwrap_or(RECEIVE_BYTES_MAX);
        Ok(Self {
            peers: Arc::clone(peers),
            _stream: peers.stream(datanode),
            peer,
            block: block.name(),
            chunks,
            offset: info.chunk_offset,
            range,
            receive_bytes: (length + length / 64 + OVERHEAD_BYTES).min(RECEIVE_BYTES_MAX),
        })
    }

    /// The next bytes of the range, never empty; `None` when all were handed out.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while self.range.start < self.range.end {
            let packet = self.packet().await?;
            if packet.header.last || packet.data.is_empty() {
                return Err(self.invalid("the block ends early"));
            }
            let begin = self.offset;
            self.offset += packet.data.len() as u64;
            // The DataNode sends whole chunks: some bytes lie outside of what was asked for.
            let from = self.range.start.clamp(begin, self.offset);
            let to = self.range.end.clamp(begin, self.offset);
            if from < to {
                self.range.start = to;
                return Ok(Some(packet.data.slice((from - begin) as usize..(to - begin) as usize)));
            }
        }
        Ok(None)
    }

    /// Reads the closing packet and gives the connection back; without it the connection ends.
    pub(crate) async fn finish(mut self) -> Result<(), Error> {
        let packet = self.packet().await?;
        if packet.header.last && packet.data.is_empty() {
            self.peer.send_read_status().await?;
            self.peers.put_back(self.peer);
        }
        Ok(())
    }

    async fn packet(&mut self) -> Result<Packet, Error> {
        self.peer.fill(PREFIX_BYTES, self.receive_bytes).await?;
        let frame = Frame::parse(self.peer.received()).map_err(|told| self.invalid(told))?;
        self.peer.fill(frame.bytes(), self.receive_bytes).await?;
        let packet = self.peer.take(frame.bytes());
        let packet = Packet::parse(frame, packet, self.chunks).map_err(|t| self.invalid(t))?;
        if packet.header.offset_in_block != self.offset as i64 {
            let at = packet.header.offset_in_block;
            return Err(self.invalid(format!("a packet at {at} not {}", self.offset)));
        }
        packet.verify(self.chunks).map_err(|position| Error::Corrupt {
            block: self.block.clone(),
            address: self.peer.address.clone(),
            message: format!("chunk at {} of the block", self.offset + position as u64),
        })?;
        Ok(packet)
    }

    fn invalid(&self, message: impl Into<String>) -> Error {
        Error::invalid_reply(&self.peer.address, message)
    }
}
