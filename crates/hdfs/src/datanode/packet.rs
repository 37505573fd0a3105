//! Packets: the pieces in which a DataNode sends a block, each with the checksums of its chunks.

use bytes::Bytes;
use prost::Message;

use crate::checksum::CrcKind;
use crate::proto::datanode as proto;
use crate::proto::datanode::checksum_type;

/// Lengths before the header: of checksums and data (with itself), and of the header.
pub(crate) const PREFIX_BYTES: usize = 6;
const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;
const HEADER_BYTES_MAX: usize = 1024;
const CHECKSUM_BYTES: usize = 4;
const CHUNK_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// How a block's chunks are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunks {
    /// `None`: the block was written without checksums.
    pub(crate) kind: Option<CrcKind>,
    pub(crate) bytes: usize,
}

/// Where a packet's parts lie, from its first six bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) header_bytes: usize,
    pub(crate) payload_bytes: usize,
}

/// A packet whose lengths agree; its checksums are still to be compared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Packet {
    pub(crate) header: proto::PacketHeader,
    checksums: Bytes,
    pub(crate) data: Bytes,
}

impl Chunks {
    pub(crate) fn from_proto(checksum: &proto::Checksum) -> Result<Self, String> {
        let kind = match checksum.checksum_type {
            checksum_type::NULL => None,
            checksum_type::CRC32 => Some(CrcKind::Crc32),
            checksum_type::CRC32C => Some(CrcKind::Crc32c),
            other => return Err(format!("checksum type {other}")),
        };
        let bytes = checksum.bytes_per_checksum;
        if bytes == 0 || bytes > CHUNK_BYTES_MAX {
            return Err(format!("chunks of {bytes} bytes"));
        }
        Ok(Self { kind, bytes: bytes as usize })
    }
}

impl Frame {
    /// Reads the two lengths; `prefix` holds at least [`PREFIX_BYTES`].
    pub(crate) fn parse(prefix: &[u8]) -> Result<Self, String> {
        let Some(&[a, b, c, d, e, f]) = prefix.first_chunk::<PREFIX_BYTES>() else {
            return Err("a packet without its lengths".to_owned());
        };
        let payload = u32::from_be_bytes([a, b, c, d]) as usize;
        let header_bytes = usize::from(u16::from_be_bytes([e, f]));
        // The payload's length counts its own four bytes.
        let payload_bytes = payload.checked_sub(4).filter(|bytes| *bytes <= PAYLOAD_BYTES_MAX);
        match payload_bytes {
            Some(payload_bytes) if header_bytes <= HEADER_BYTES_MAX => {
                Ok(Self { header_bytes, payload_bytes })
            }
            _ => Err(format!("a packet of {payload} bytes with a header of {header_bytes}")),
        }
    }

    /// Length of the whole packet.
    pub(crate) fn bytes(&self) -> usize {
        PREFIX_BYTES + self.header_bytes + self.payload_bytes
    }
}

impl Packet {
    /// Splits a whole packet, prefix included, without copying.
    pub(crate) fn parse(frame: Frame, mut packet: Bytes, chunks: Chunks) -> Result<Self, String> {
        if packet.len() != frame.bytes() {
            return Err("a packet of another length than it says".to_owned());
        }
        let header = packet.slice(PREFIX_BYTES..PREFIX_BYTES + frame.header_bytes);
        let header = proto::PacketHeader::decode(header).map_err(|error| error.to_string())?;
        let told = || format!("{} bytes of data in {}", header.data_length, frame.payload_bytes);
        let data_bytes = usize::try_from(header.data_length).map_err(|_| told())?;
        let checksum_bytes = match chunks.kind {
            Some(_) => data_bytes.div_ceil(chunks.bytes) * CHECKSUM_BYTES,
            None => 0,
        };
        if checksum_bytes + data_bytes != frame.payload_bytes {
            return Err(told());
        }
        let mut payload = packet.split_off(PREFIX_BYTES + frame.header_bytes);
        let data = payload.split_off(checksum_bytes);
        Ok(Self { header, checksums: payload, data })
    }

    /// Compares every chunk with its checksum; the position in the packet of the first that
    /// differs.
    pub(crate) fn verify(&self, chunks: Chunks) -> Result<(), usize> {
        let Some(kind) = chunks.kind else { return Ok(()) };
        let stored = self.checksums.chunks_exact(CHECKSUM_BYTES);
        for (index, (chunk, stored)) in self.data.chunks(chunks.bytes).zip(stored).enumerate() {
            if kind.of(chunk).to_be_bytes() != stored {
                return Err(index * chunks.bytes);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
