//! A file's blocks as they stood at one moment: its identity, and all that a reader needs.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use prost::Message;

use crate::error::Error;
use crate::proto::status as proto;

const VERSION: u32 = 1;
const SYSTEM_CELL_BYTES: u32 = 1024 * 1024;
/// Id, name, codec, data units and parity units of the policies that every server knows.
const SYSTEM_POLICIES: [(u32, &str, &str, u32, u32); 5] = [
    (1, "RS-6-3-1024k", "rs", 6, 3),
    (2, "RS-3-2-1024k", "rs", 3, 2),
    (3, "RS-LEGACY-6-3-1024k", "rs-legacy", 6, 3),
    (4, "XOR-2-1-1024k", "xor", 2, 1),
    (5, "RS-10-4-1024k", "rs", 10, 4),
];

/// A DataNode's address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Datanode {
    /// Its identity over restarts and moves.
    pub uuid: String,
    /// IP address.
    pub ip: String,
    /// Host name.
    pub host: String,
    /// Port of data transfer.
    pub transfer_port: u16,
}

/// One block of a file (for an erasure coded file: one block group).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Block id.
    pub id: u64,
    /// Rises with every append, truncation and recovery.
    pub generation_stamp: u64,
    /// Where it begins in the file, in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
    /// Every replica is known to be corrupt.
    pub is_corrupt: bool,
    /// Who holds it, in the NameNode's order; empty when it is missing.
    pub datanodes: Vec<Arc<Datanode>>,
    /// For a block group: which unit each DataNode holds, in the same order.
    pub unit_indices: Vec<u8>,
}

/// How an erasure coded file is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasureCoding {
    /// The policy's id on the server.
    pub policy_id: u32,
    /// The policy's name.
    pub policy: String,
    /// The code, for example `rs`.
    pub codec: String,
    /// Data units in a group.
    pub data_units: u32,
    /// Parity units in a group.
    pub parity_units: u32,
    /// Bytes of a cell.
    pub cell_bytes: u32,
}

/// A file's block list at one moment.
///
/// Reading it reads exactly these blocks, whatever happens to the path; when they are gone the read
/// says so. It does not protect against a truncation followed by an append in place: DataNodes
/// serve the new bytes under the old generation stamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedFile {
    /// Inode number.
    pub file_id: u64,
    /// Bytes in `blocks`: the file's length but for a last block that is being written.
    pub length: u64,
    /// The block pool; empty for a file without blocks.
    pub block_pool: Arc<str>,
    /// Blocks in the file's order.
    pub blocks: Vec<Block>,
    /// Somebody has it open for writing, or its last block is being recovered.
    pub is_under_construction: bool,
    /// DataNodes keep ciphertext of it.
    pub is_encrypted: bool,
    /// How it is laid out, if it is erasure coded.
    pub erasure_coding: Option<ErasureCoding>,
}

/// The DataNodes met so far, so that millions of blocks share a few hundred addresses.
#[derive(Debug, Default)]
pub(crate) struct DatanodeTable {
    by_uuid: Mutex<HashMap<Bytes, Arc<Datanode>>>,
}

#[derive(Clone, PartialEq, Message)]
struct PinnedFileProto {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(uint64, tag = "2")]
    file_id: u64,
    #[prost(uint64, tag = "3")]
    length: u64,
    #[prost(bool, tag = "4")]
    is_encrypted: bool,
    #[prost(message, required, tag = "5")]
    blocks: proto::LocatedBlocks,
}

impl PinnedFile {
    /// A form that can be stored and read back by [`PinnedFile::from_bytes`].
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let blocks = proto::LocatedBlocks {
            file_length: self.length,
            blocks: self.blocks.iter().map(|block| self.block_proto(block)).collect(),
            under_construction: self.is_under_construction,
            last_block: None,
            last_block_complete: !self.is_under_construction,
            encryption: None,
            erasure_coding: self.erasure_coding.as_ref().map(ErasureCoding::to_proto),
        };
        let message = PinnedFileProto {
            version: VERSION,
            file_id: self.file_id,
            length: self.length,
            is_encrypted: self.is_encrypted,
            blocks,
        };
        message.encode_to_vec()
    }

    /// Reads what [`PinnedFile::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Error::InvalidReply`] if it is something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let message = PinnedFileProto::decode(bytes)
            .map_err(|error| Error::invalid_reply("pinned file", error.to_string()))?;
        if message.version != VERSION {
            let told = format!("version {} where {VERSION} was expected", message.version);
            return Err(Error::invalid_reply("pinned file", told));
        }
        let table = DatanodeTable::default();
        let PinnedFileProto { file_id, length, is_encrypted, blocks, .. } = message;
        Self::from_proto(file_id, length, blocks, is_encrypted, &table)
    }

    pub(crate) fn from_proto(
        file_id: u64,
        status_length: u64,
        located: proto::LocatedBlocks,
        is_encrypted: bool,
        datanodes: &DatanodeTable,
    ) -> Result<Self, Error> {
        let is_under_construction = located.under_construction;
        let mut block_pool: Arc<str> = Arc::from("");
        let mut blocks = Vec::with_capacity(located.blocks.len());
        for block in located.blocks {
            if block_pool.is_empty() {
                block_pool = Arc::from(String::from_utf8_lossy(&block.block.pool));
            }
            blocks.push(Block::from_proto(block, datanodes)?);
        }
        let length = if is_under_construction {
            // What is being written is left out of the list's length, and so are its blocks.
            complete_prefix(&mut blocks, located.file_length)
        } else {
            if located.erasure_coding.is_none() {
                cut_last(&mut blocks, status_length);
            }
            status_length
        };
        if blocks.is_empty() {
            // That of a block which is being written, and is left out.
            block_pool = Arc::from("");
        }
        let file = Self {
            file_id,
            length,
            block_pool,
            blocks,
            is_under_construction,
            is_encrypted: is_encrypted || located.encryption.is_some(),
            erasure_coding: located.erasure_coding.map(ErasureCoding::from_proto),
        };
        file.check()?;
        Ok(file)
    }

    /// The same file with only the blocks that a range touches.
    pub(crate) fn within(&self, range: &Range<u64>) -> Self {
        let touches =
            |block: &&Block| block.offset < range.end && block.offset + block.length > range.start;
        Self {
            blocks: self.blocks.iter().filter(touches).cloned().collect(),
            block_pool: Arc::clone(&self.block_pool),
            erasure_coding: self.erasure_coding.clone(),
            ..*self
        }
    }

    /// The first `length` bytes as a file of their own; `None` for a part of an erasure coded file,
    /// whose DataNodes compose checksums of whole block groups only, and for what is longer.
    #[must_use]
    pub fn beginning(&self, length: u64) -> Option<Self> {
        if length == self.length {
            return Some(self.clone());
        }
        if length > self.length || self.erasure_coding.is_some() {
            return None;
        }
        let mut beginning = Self { length, ..self.within(&(0..length)) };
        if let Some(last) = beginning.blocks.last_mut() {
            last.length = length - last.offset;
        }
        Some(beginning)
    }

    /// Blocks follow each other without holes and end where the file ends.
    fn check(&self) -> Result<(), Error> {
        let mut end = 0_u64;
        for block in &self.blocks {
            if block.offset != end {
                let told = format!("block {} begins at {} not {end}", block.name(), block.offset);
                return Err(Error::invalid_reply("LocatedBlocks", told));
            }
            end = end
                .checked_add(block.length)
                .ok_or_else(|| Error::invalid_reply("LocatedBlocks", "lengths beyond 64 bits"))?;
        }
        if end == self.length {
            return Ok(());
        }
        let told = format!("blocks end at {end}, file {} at {}", self.file_id, self.length);
        Err(Error::invalid_reply("LocatedBlocks", told))
    }

    fn block_proto(&self, block: &Block) -> proto::LocatedBlock {
        proto::LocatedBlock {
            block: self.extended_block(block),
            offset: block.offset,
            datanodes: block.datanodes.iter().map(|datanode| datanode.to_proto()).collect(),
            corrupt: block.is_corrupt,
            unit_indices: Some(Bytes::copy_from_slice(&block.unit_indices))
                .filter(|indices| !indices.is_empty()),
        }
    }

    pub(crate) fn extended_block(&self, block: &Block) -> proto::ExtendedBlock {
        proto::ExtendedBlock {
            pool: Bytes::copy_from_slice(self.block_pool.as_bytes()),
            block_id: block.id,
            generation_stamp: block.generation_stamp,
            length: Some(block.length),
        }
    }
}

/// The last block of a file in a snapshot may have grown since, where the live file was appended to.
fn cut_last(blocks: &mut [Block], length: u64) {
    if let Some(last) = blocks.last_mut()
        && let Some(within) = length.checked_sub(last.offset).filter(|within| *within > 0)
    {
        last.length = last.length.min(within);
    }
}

/// Cuts a list at the first hole or at `length`, whichever comes first; the length that is left.
fn complete_prefix(blocks: &mut Vec<Block>, length: u64) -> u64 {
    let mut end = 0_u64;
    let mut count = 0;
    for (index, block) in blocks.iter().enumerate() {
        let next = block.offset.checked_add(block.length).filter(|next| *next <= length);
        let follows = block.offset == end && end < length;
        let Some(next) = next.filter(|_| follows) else { break };
        // One without bytes counts where others follow it.
        if next > end {
            (end, count) = (next, index + 1);
        }
    }
    blocks.truncate(count);
    end
}

impl Block {
    /// How Hadoop's logs name it.
    #[must_use]
    pub fn name(&self) -> String {
        // Block groups have negative ids.
        format!("blk_{}_{}", self.id as i64, self.generation_stamp)
    }

    fn from_proto(located: proto::LocatedBlock, table: &DatanodeTable) -> Result<Self, Error> {
        let datanodes = table.share(located.datanodes)?;
        Ok(Self {
            id: located.block.block_id,
            generation_stamp: located.block.generation_stamp,
            offset: located.offset,
            length: located.block.length.unwrap_or(0),
            is_corrupt: located.corrupt,
            datanodes,
            unit_indices: located.unit_indices.map(|bytes| bytes.to_vec()).unwrap_or_default(),
        })
    }
}

impl ErasureCoding {
    /// Of a policy that Hadoop brings along the server sends the id alone.
    fn from_proto(policy: proto::ErasureCodingPolicy) -> Self {
        let own =
            policy.schema.is_none().then(|| SYSTEM_POLICIES.iter().find(|p| p.0 == policy.id));
        if let Some(&(policy_id, name, codec, data_units, parity_units)) = own.flatten() {
            return Self {
                policy_id,
                policy: name.to_owned(),
                codec: codec.to_owned(),
                data_units,
                parity_units,
                cell_bytes: SYSTEM_CELL_BYTES,
            };
        }
        let schema = policy.schema.unwrap_or_default();
        Self {
            policy_id: policy.id,
            policy: policy.name.unwrap_or_default(),
            codec: schema.codec,
            data_units: schema.data_units,
            parity_units: schema.parity_units,
            cell_bytes: policy.cell_size.unwrap_or(0),
        }
    }

    pub(crate) fn to_proto(&self) -> proto::ErasureCodingPolicy {
        proto::ErasureCodingPolicy {
            name: Some(self.policy.clone()),
            schema: Some(proto::ErasureCodingSchema {
                codec: self.codec.clone(),
                data_units: self.data_units,
                parity_units: self.parity_units,
                options: Vec::new(),
            }),
            cell_size: Some(self.cell_bytes),
            id: self.policy_id,
        }
    }
}

impl Datanode {
    /// `host:port` to connect to.
    #[must_use]
    pub fn authority(&self, by_host_name: bool) -> String {
        let host = if by_host_name { &self.host } else { &self.ip };
        if host.contains(':') {
            format!("[{host}]:{}", self.transfer_port)
        } else {
            format!("{host}:{}", self.transfer_port)
        }
    }

    pub(crate) fn to_proto(&self) -> proto::DatanodeInfo {
        proto::DatanodeInfo {
            id: proto::DatanodeId {
                ip: Bytes::copy_from_slice(self.ip.as_bytes()),
                host: Bytes::copy_from_slice(self.host.as_bytes()),
                uuid: Bytes::copy_from_slice(self.uuid.as_bytes()),
                transfer_port: u32::from(self.transfer_port),
                info_port: 0,
                ipc_port: 0,
            },
        }
    }

    pub(crate) fn from_proto(id: &proto::DatanodeId) -> Result<Self, Error> {
        let port = u16::try_from(id.transfer_port).map_err(|_| {
            Error::invalid_reply("DatanodeID", format!("port {}", id.transfer_port))
        })?;
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        Ok(Self {
            uuid: text(&id.uuid),
            ip: text(&id.ip),
            host: text(&id.host),
            transfer_port: port,
        })
    }

    fn is_at(&self, id: &proto::DatanodeId) -> bool {
        self.ip.as_bytes() == id.ip
            && self.host.as_bytes() == id.host
            && u32::from(self.transfer_port) == id.transfer_port
    }
}

impl DatanodeTable {
    fn share(&self, infos: Vec<proto::DatanodeInfo>) -> Result<Vec<Arc<Datanode>>, Error> {
        let mut by_uuid = self.by_uuid.lock().unwrap_or_else(PoisonError::into_inner);
        let mut datanodes = Vec::with_capacity(infos.len());
        for info in infos {
            if let Some(known) = by_uuid.get(&info.id.uuid).filter(|known| known.is_at(&info.id)) {
                datanodes.push(Arc::clone(known));
                continue;
            }
            let datanode = Arc::new(Datanode::from_proto(&info.id)?);
            // A copy of the key: the slice would keep the whole reply in memory.
            let key = Bytes::copy_from_slice(&info.id.uuid);
            by_uuid.insert(key, Arc::clone(&datanode));
            datanodes.push(datanode);
        }
        Ok(datanodes)
    }
}

#[cfg(test)]
mod tests;
