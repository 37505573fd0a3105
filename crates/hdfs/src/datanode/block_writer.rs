//! One new block, sent to the first DataNode of its pipeline, which hands it on.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

use super::peer::{Operation, Peer};
use super::peers::Peers;
use crate::checksum::CrcKind;
use crate::error::Error;
use crate::pinned::Datanode;
use crate::proto::datanode as proto;
use crate::proto::datanode::{STAGE_SETUP_CREATE, checksum_type, status};
use crate::proto::namenode::NewBlock;
use crate::proto::status::PipelineNode;

/// Bytes of a packet, a multiple of every size of chunks that is used.
pub(crate) const PACKET_BYTES: usize = 64 * 1024;
/// Packets on their way that are not acknowledged: more are not sent.
const IN_FLIGHT_MAX: i64 = 64;
/// The sequence number of packets that only keep a pipeline alive.
const HEARTBEAT: i64 = -1;

/// Writes a block, packet by packet. What is dropped before `finish` leaves a block that nobody
/// will read.
#[derive(Debug)]
pub(crate) struct BlockWriter {
    peer: Peer,
    datanodes: Vec<PipelineNode>,
    chunk_bytes: usize,
    /// Bytes sent.
    offset: u64,
    sequence_next: i64,
    acknowledged_next: i64,
}

/// Why a block could not be written, and which DataNode is to blame, as far as that is known.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) error: Error,
    pub(crate) blamed: Option<PipelineNode>,
}

impl BlockWriter {
    /// Sets the pipeline of a new block up.
    pub(crate) async fn open(
        peers: &Peers,
        client_name: &str,
        new: &NewBlock,
        chunk_bytes: usize,
    ) -> Result<Self, Broken> {
        let Some(first) = new.datanodes.first() else {
            let block = format!("blk_{}", new.block.block_id);
            return Err(Broken { error: Error::NoReplica { block }, blamed: None });
        };
        let blame = |error| Broken { error, blamed: Some(first.clone()) };
        let datanode = Datanode::from_proto(&first.id).map_err(blame)?;
        // What is left over from an operation before would be taken for an acknowledgement.
        let mut peer = peers.peer(&datanode, true).await.map_err(blame)?;
        let request = request(client_name, new, chunk_bytes);
        let reply = peer.ask_plainly(Operation::WriteBlock, &request).await.map_err(blame)?;
        let bad = reply.first_bad_link.unwrap_or_default();
        if reply.status != status::SUCCESS || !bad.is_empty() {
            let message = reply.message.unwrap_or_else(|| format!("status {}", reply.status));
            let blamed = new.datanodes.iter().find(|node| is_named(node, &bad)).unwrap_or(first);
            let error = if reply.status == status::ERROR_ACCESS_TOKEN {
                Error::Unsupported { what: format!("block access tokens, wanted by {datanode:?}") }
            } else {
                Error::Datanode {
                    address: peer.address.clone(),
                    message: format!("{bad} {message}"),
                }
            };
            return Err(Broken { error, blamed: Some(blamed.clone()) });
        }
        let datanodes = new.datanodes.clone();
        Ok(Self { peer, datanodes, chunk_bytes, offset: 0, sequence_next: 0, acknowledged_next: 0 })
    }

    /// Sends at most [`PACKET_BYTES`]. Only the last piece of a block may end within a chunk.
    pub(crate) async fn send(&mut self, data: &[u8]) -> Result<(), Broken> {
        let header = proto::PacketHeader { sequence: self.sequence_next, ..self.header(data) };
        self.packet(&header, data).await?;
        self.sequence_next += 1;
        self.offset += data.len() as u64;
        while self.sequence_next - self.acknowledged_next >= IN_FLIGHT_MAX {
            self.acknowledgement().await?;
        }
        Ok(())
    }

    /// Keeps DataNodes from giving up while there is nothing to send.
    pub(crate) async fn keep_alive(&mut self) -> Result<(), Broken> {
        let header =
            proto::PacketHeader { sequence: HEARTBEAT, offset_in_block: 0, ..self.header(b"") };
        self.packet(&header, b"").await
    }

    /// Ends the block: at return every DataNode of the pipeline has its bytes on the disk.
    pub(crate) async fn finish(mut self) -> Result<(), Broken> {
        let header = proto::PacketHeader {
            sequence: self.sequence_next,
            last: true,
            sync: Some(true),
            ..self.header(b"")
        };
        self.packet(&header, b"").await?;
        self.sequence_next += 1;
        while self.acknowledged_next < self.sequence_next {
            self.acknowledgement().await?;
        }
        Ok(())
    }

    fn header(&self, data: &[u8]) -> proto::PacketHeader {
        proto::PacketHeader {
            offset_in_block: i64::try_from(self.offset).unwrap_or(i64::MAX),
            data_length: i32::try_from(data.len()).unwrap_or(i32::MAX),
            // Written where it is not asked for too: a header's length must not depend on it.
            sync: Some(false),
            ..proto::PacketHeader::default()
        }
    }

    async fn packet(&mut self, header: &proto::PacketHeader, data: &[u8]) -> Result<(), Broken> {
        let message = packet(header, data, self.chunk_bytes);
        let sent = self.peer.send(&message).await;
        sent.map_err(|error| Broken { error, blamed: self.datanodes.first().cloned() })
    }

    /// Waits for the next acknowledgement of a packet with bytes.
    async fn acknowledgement(&mut self) -> Result<(), Broken> {
        loop {
            let first = self.datanodes.first().cloned();
            let ack: proto::PipelineAck = match self.peer.receive_message().await {
                Ok(ack) => ack,
                Err(error) => return Err(Broken { error, blamed: first }),
            };
            let failed = ack.replies.iter().position(|reply| *reply != status::SUCCESS);
            if let Some(index) = failed {
                let message = format!("status {:?} in the pipeline", ack.replies.get(index));
                let error = Error::Datanode { address: self.peer.address.clone(), message };
                return Err(Broken { error, blamed: self.datanodes.get(index).cloned().or(first) });
            }
            if ack.sequence == HEARTBEAT {
                continue;
            }
            if ack.sequence != self.acknowledged_next {
                let told = format!("packet {} not {}", ack.sequence, self.acknowledged_next);
                let error = Error::invalid_reply(&self.peer.address, told);
                return Err(Broken { error, blamed: first });
            }
            self.acknowledged_next += 1;
            return Ok(());
        }
    }
}

fn request(client_name: &str, new: &NewBlock, chunk_bytes: usize) -> proto::WriteBlock {
    let behind = |types: &[i32]| types.iter().skip(1).copied().collect();
    proto::WriteBlock {
        header: proto::ClientOperationHeader {
            base: proto::BaseHeader {
                block: new.block.clone(),
                token: Some(new.token.clone().unwrap_or_default()),
            },
            client_name: client_name.to_owned(),
        },
        targets: new.datanodes.iter().skip(1).cloned().collect(),
        stage: STAGE_SETUP_CREATE,
        pipeline_size: u32::try_from(new.datanodes.len()).unwrap_or(u32::MAX),
        bytes_received_min: 0,
        bytes_received_max: 0,
        latest_generation_stamp: 0,
        checksum: proto::Checksum {
            checksum_type: checksum_type::CRC32C,
            bytes_per_checksum: u32::try_from(chunk_bytes).unwrap_or(u32::MAX),
        },
        caching_strategy: Some(proto::CachingStrategy { drop_behind: Some(true) }),
        storage_type: new.storage_types.first().copied(),
        target_storage_types: behind(&new.storage_types),
        storage_id: new.storage_ids.first().cloned(),
        target_storage_ids: new.storage_ids.iter().skip(1).cloned().collect(),
    }
}

fn packet(header: &proto::PacketHeader, data: &[u8], chunk_bytes: usize) -> Bytes {
    let chunks = data.len().div_ceil(chunk_bytes.max(1));
    let header = header.encode_to_vec();
    let payload = 4 + 4 * chunks + data.len();
    let mut message = BytesMut::with_capacity(2 + header.len() + 4 + payload);
    // Packets are small: both lengths fit.
    message.put_u32(payload as u32);
    message.put_u16(header.len() as u16);
    message.extend_from_slice(&header);
    for chunk in data.chunks(chunk_bytes.max(1)) {
        message.put_u32(CrcKind::Crc32c.of(chunk));
    }
    message.extend_from_slice(data);
    message.freeze()
}

/// A DataNode as `firstBadLink` names it: IP address and port.
fn is_named(node: &PipelineNode, name: &str) -> bool {
    let ip = String::from_utf8_lossy(&node.id.ip);
    !name.is_empty() && name.trim_start_matches('/') == format!("{ip}:{}", node.id.transfer_port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datanode::packet::{Chunks, Frame, Packet};

    /// What is sent is what the other side of the same protocol reads.
    #[test]
    fn packets_are_read_as_they_were_written() {
        let chunks = Chunks { kind: Some(CrcKind::Crc32c), bytes: 512 };
        for length in [0, 1, 511, 512, 513, 4096] {
            let data: Vec<u8> = (0..length).map(|number| number as u8).collect();
            let header = proto::PacketHeader {
                offset_in_block: 512,
                sequence: 7,
                data_length: length,
                ..proto::PacketHeader::default()
            };
            let bytes = packet(&header, &data, 512);
            let frame = Frame::parse(&bytes).unwrap();
            let read = Packet::parse(frame, bytes, chunks).unwrap();
            assert_eq!((&read.header, &read.data[..]), (&header, &data[..]));
            assert_eq!(read.verify(chunks), Ok(()));
        }
    }
}
