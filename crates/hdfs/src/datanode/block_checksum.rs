//! The checksum of one block, composed by a DataNode from those that it keeps of its chunks.

use super::peer::{Operation, Peer, base_header};
use super::peers::Peers;
use crate::checksum::{CompositeCrc, CrcKind};
use crate::error::Error;
use crate::pinned::{Block, Datanode, PinnedFile};
use crate::proto::datanode as proto;
use crate::proto::datanode::{BLOCK_CHECKSUM_COMPOSITE_CRC, checksum_type};
use crate::proto::status::Token;

/// Asks one DataNode for the CRC of a block (or of a block group).
pub(crate) async fn ask(
    peers: &Peers,
    file: &PinnedFile,
    block: &Block,
    datanode: &Datanode,
) -> Result<CompositeCrc, Error> {
    let options =
        Some(proto::BlockChecksumOptions { checksum_type: Some(BLOCK_CHECKSUM_COMPOSITE_CRC) });
    let header = base_header(file, block);
    // DataNodes close the connection after a checksum.
    let mut peer = peers.peer(datanode, true).await?;
    let reply = match &file.erasure_coding {
        None => {
            let request = proto::BlockChecksum { header, options };
            peer.ask(Operation::BlockChecksum, &request, block).await?
        }
        Some(erasure_coding) => {
            let datanodes = block.datanodes.iter().map(|datanode| datanode.to_proto()).collect();
            let request = proto::BlockGroupChecksum {
                header,
                datanodes: proto::DatanodeInfos { datanodes },
                tokens: vec![Token::default(); block.datanodes.len()],
                policy: erasure_coding.to_proto(),
                unit_indices: block.unit_indices.iter().map(|&index| u32::from(index)).collect(),
                length: block.length,
                options,
            };
            peer.ask(Operation::BlockGroupChecksum, &request, block).await?
        }
    };
    composite(reply, &peer)
}

fn composite(reply: proto::BlockOperationResponse, peer: &Peer) -> Result<CompositeCrc, Error> {
    let reply = reply
        .checksum
        .ok_or_else(|| Error::invalid_reply(&peer.address, "no checksum in the reply"))?;
    let is_composite = reply.options.and_then(|options| options.checksum_type)
        == Some(BLOCK_CHECKSUM_COMPOSITE_CRC);
    let value = <[u8; 4]>::try_from(reply.checksum.as_ref()).ok().filter(|_| is_composite);
    let Some(value) = value else {
        let what = format!("composite checksums, by DataNode {}", peer.address);
        return Err(Error::Unsupported { what });
    };
    let kind = match reply.checksum_type {
        Some(checksum_type::CRC32) => CrcKind::Crc32,
        Some(checksum_type::CRC32C) => CrcKind::Crc32c,
        other => {
            let what = format!("checksum type {other:?} of DataNode {}", peer.address);
            return Err(Error::Unsupported { what });
        }
    };
    Ok(CompositeCrc { kind, value: u32::from_be_bytes(value) })
}
