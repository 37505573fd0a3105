//! Writing new files, block by block.
//!
//! A pipeline that breaks is not mended: the block that was begun is given up where nothing was
//! sent yet, else the whole file is. So whoever writes makes a file under a name of his own, and
//! renames it once it is complete.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::client::{Client, checked};
use crate::datanode::block_writer::{BlockWriter, Broken, PACKET_BYTES};
use crate::error::Error;
use crate::namespace::ServerDefaults;
use crate::pinned::DatanodeTable;
use crate::proto::namenode as proto;
use crate::proto::namenode::create_flag;
use crate::proto::status::{ExtendedBlock, PipelineNode};
use crate::rpc::namenodes::Answer;
use crate::status::FileStatus;

/// Pipelines that are tried for one block.
const PIPELINES_MAX: u32 = 5;
/// A lease that is not renewed for a minute may be taken by others.
const RENEW_EVERY: Duration = Duration::from_secs(20);
/// How long the last block may take to stand on as many DataNodes as the NameNode asks for.
const COMPLETION_MAX: Duration = Duration::from_secs(60);
const COMPLETION_PAUSE: Duration = Duration::from_millis(100);

/// DataNodes that are not to be written to.
#[derive(Clone, Debug, Default)]
pub struct Excluded(Vec<PipelineNode>);

/// How a new file is kept.
#[derive(Clone, Debug)]
pub struct NewFile {
    /// The nine low bits of its mode; an ACL that its directory hands on counts too.
    pub permission: u16,
    /// Replicas.
    pub replication: u32,
    /// Bytes of a block, a multiple of `bytes_per_checksum`.
    pub block_size_bytes: u64,
    /// Bytes that share one stored checksum.
    pub bytes_per_checksum: u32,
    /// Written in replicas where its directory has files erasure coded.
    pub never_erasure_coded: bool,
}

/// A file that is being written. It has to be [closed](Self::close), or removed by its path; until
/// then this client has its lease.
#[derive(Debug)]
pub struct FileWriter {
    client: Client,
    path: Bytes,
    file_id: u64,
    file: NewFile,
    chunk_bytes: usize,
    excluded: Excluded,
    block: Option<OpenBlock>,
    previous: Option<ExtendedBlock>,
    /// Given and not sent yet: less than a packet.
    rest: BytesMut,
    renewed: Instant,
}

#[derive(Debug)]
struct OpenBlock {
    writer: BlockWriter,
    block: ExtendedBlock,
    length: u64,
}

impl NewFile {
    /// As the server makes files.
    #[must_use]
    pub fn of_defaults(defaults: &ServerDefaults, permission: u16) -> Self {
        Self {
            permission,
            replication: defaults.replication,
            block_size_bytes: defaults.block_size_bytes,
            bytes_per_checksum: defaults.bytes_per_checksum,
            never_erasure_coded: false,
        }
    }
}

impl Client {
    /// Makes a new file, in a directory that is there, and has its lease: this writes to the
    /// cluster. `excluded` is what [`FileWriter::excluded`] answered when an earlier try failed.
    ///
    /// # Errors
    /// Those of the connection; [`Error::Remote`] if something stands there, also of this same
    /// call, tried again over a lost connection; [`Error::NotFound`] without the directory;
    /// [`Error::Denied`]; [`Error::Unsupported`] in an encryption zone, and on clusters that
    /// encrypt all transfers.
    pub async fn create(
        &self,
        path: &[u8],
        file: NewFile,
        excluded: Excluded,
    ) -> Result<FileWriter, Error> {
        if self.shared.encrypts_transfer() {
            let what = "writing where DataNodes encrypt all transfers".to_owned();
            return Err(Error::Unsupported { what });
        }
        let path = checked(path)?;
        let replicate = if file.never_erasure_coded { create_flag::SHOULD_REPLICATE } else { 0 };
        let request = proto::CreateRequest {
            path: path.clone(),
            masked: proto::Permission { mode: u32::from(file.permission) },
            client_name: self.shared.client_name.clone(),
            flags: create_flag::CREATE | replicate,
            create_parent: false,
            replication: file.replication,
            block_size: file.block_size_bytes,
        };
        let answer: Answer<proto::FileInfoResponse> = self.call("create", &request).await?;
        let status = answer.value.status;
        let status = status.ok_or_else(|| Error::invalid_reply("create", "no file in it"))?;
        let status = FileStatus::from_proto(status, &DatanodeTable::default())?;
        if status.is_encrypted || status.is_erasure_coded {
            let what = "writing encrypted and erasure coded files".to_owned();
            return Err(Error::Unsupported { what });
        }
        Ok(FileWriter {
            client: self.clone(),
            path,
            file_id: status.file_id,
            chunk_bytes: chunk_bytes(file.bytes_per_checksum),
            file,
            excluded,
            block: None,
            previous: None,
            rest: BytesMut::new(),
            renewed: Instant::now(),
        })
    }
}

impl FileWriter {
    /// The inode's number: it stays when the file is renamed.
    #[must_use]
    pub fn file_id(&self) -> u64 {
        self.file_id
    }

    /// DataNodes that failed it: the next try does well without them.
    #[must_use]
    pub fn excluded(&self) -> Excluded {
        self.excluded.clone()
    }

    /// Appends bytes. After an error the file is to be removed.
    ///
    /// # Errors
    /// Those of the connections; [`Error::Remote`] where the NameNode has no place for a block.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let room = self.packet_bytes().await?;
            let taken = bytes.len().min(room.saturating_sub(self.rest.len()));
            let (now, later) = bytes.split_at(taken);
            self.rest.extend_from_slice(now);
            bytes = later;
            if self.rest.len() >= room {
                self.send().await?;
            }
        }
        self.renew().await
    }

    /// Has everybody wait for more; to be said every few seconds while nothing is written.
    ///
    /// # Errors
    /// As of `write`.
    pub async fn keep_alive(&mut self) -> Result<(), Error> {
        if let Some(open) = &mut self.block {
            let kept = open.writer.keep_alive().await;
            kept.map_err(|broken| self.blame(broken))?;
        }
        self.renew().await
    }

    /// Ends the file. At return every replica of its bytes is on a disk.
    ///
    /// # Errors
    /// As of `write`; [`Error::Busy`] if the last block does not come to stand in time.
    pub async fn close(&mut self) -> Result<(), Error> {
        if !self.rest.is_empty() {
            self.send().await?;
        }
        self.end_block().await?;
        let request = proto::CompleteRequest {
            path: self.path.clone(),
            client_name: self.client.shared.client_name.clone(),
            last: self.previous.clone(),
            file_id: Some(self.file_id),
        };
        let started = Instant::now();
        loop {
            let answer: Answer<proto::BoolResponse> =
                self.client.call("complete", &request).await?;
            if answer.value.result {
                return Ok(());
            }
            if started.elapsed() > COMPLETION_MAX {
                let address = self.client.cluster().name.clone();
                let message = "the last block has too few replicas".to_owned();
                return Err(Error::Busy { address, message });
            }
            tokio::time::sleep(COMPLETION_PAUSE).await;
        }
    }

    /// Bytes of the next packet: no more than are left of the block, which is opened if need be.
    async fn packet_bytes(&mut self) -> Result<usize, Error> {
        let open = match &self.block {
            Some(open) => open,
            None => {
                let open = self.open_block().await?;
                self.block.insert(open)
            }
        };
        let left = self.file.block_size_bytes.saturating_sub(open.length);
        Ok(usize::try_from(left).unwrap_or(PACKET_BYTES).clamp(1, PACKET_BYTES))
    }

    async fn send(&mut self) -> Result<(), Error> {
        let rest = self.rest.split();
        let Some(open) = &mut self.block else {
            return Err(Error::invalid_reply("FileWriter", "bytes without a block"));
        };
        let sent = open.writer.send(&rest).await;
        open.length += rest.len() as u64;
        let full = open.length >= self.file.block_size_bytes;
        sent.map_err(|broken| self.blame(broken))?;
        if full { self.end_block().await } else { Ok(()) }
    }

    /// Nothing was sent to a pipeline that cannot be set up: its block is given up for another.
    async fn open_block(&mut self) -> Result<OpenBlock, Error> {
        let client_name = self.client.shared.client_name.clone();
        let mut tries = 0;
        loop {
            tries += 1;
            let request = proto::AddBlockRequest {
                path: self.path.clone(),
                client_name: client_name.clone(),
                previous: self.previous.clone(),
                excluded: self.excluded.0.clone(),
                file_id: Some(self.file_id),
            };
            let answer: Answer<proto::AddBlockResponse> =
                self.client.call("addBlock", &request).await?;
            let mut new = answer.value.block;
            let block = new.block.clone();
            // The DataNode makes room for a whole block.
            new.block.length = Some(self.file.block_size_bytes);
            let peers = Arc::clone(&self.client.shared.peers);
            match BlockWriter::open(&peers, &client_name, &new, self.chunk_bytes).await {
                Ok(writer) => return Ok(OpenBlock { writer, block, length: 0 }),
                Err(broken) => {
                    let error = self.blame(broken);
                    if tries >= PIPELINES_MAX {
                        return Err(error);
                    }
                    self.abandon(block).await?;
                }
            }
        }
    }

    async fn abandon(&self, block: ExtendedBlock) -> Result<(), Error> {
        let request = proto::AbandonBlockRequest {
            block,
            path: self.path.clone(),
            client_name: self.client.shared.client_name.clone(),
            file_id: Some(self.file_id),
        };
        let _: Answer<proto::EmptyRequest> = self.client.call("abandonBlock", &request).await?;
        Ok(())
    }

    async fn end_block(&mut self) -> Result<(), Error> {
        let Some(open) = self.block.take() else { return Ok(()) };
        open.writer.finish().await.map_err(|broken| self.blame(broken))?;
        self.previous = Some(ExtendedBlock { length: Some(open.length), ..open.block });
        Ok(())
    }

    async fn renew(&mut self) -> Result<(), Error> {
        if self.renewed.elapsed() < RENEW_EVERY {
            return Ok(());
        }
        let client_name = self.client.shared.client_name.clone();
        let request = proto::RenewLeaseRequest { client_name };
        let _: Answer<proto::EmptyRequest> = self.client.call("renewLease", &request).await?;
        self.renewed = Instant::now();
        Ok(())
    }

    fn blame(&mut self, broken: Broken) -> Error {
        self.excluded.0.extend(broken.blamed);
        broken.error
    }
}

/// Packets hold whole chunks: what does not fit into them is not used.
fn chunk_bytes(asked: u32) -> usize {
    const USUAL: usize = 512;
    let asked = usize::try_from(asked).unwrap_or(USUAL);
    if asked > 0 && PACKET_BYTES.is_multiple_of(asked) { asked } else { USUAL }
}
