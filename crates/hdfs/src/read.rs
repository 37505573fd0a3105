//! Reading pinned files: their bytes, and the checksum of their bytes.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};

use crate::checksum::{CompositeCrc, CrcKind};
use crate::client::{Client, Shared};
use crate::datanode::block_checksum;
use crate::datanode::block_reader::BlockReader;
use crate::datanode::group_reader::{GroupReader, Layout};
use crate::error::{Error, ErrorKind};
use crate::pinned::{Block, Datanode, PinnedFile};

const CHECKSUMS_AT_ONCE_MAX: usize = 4;

/// Reads a range of a pinned file. Every byte was compared with its stored checksum; a replica that
/// fails is left for the next one at the same position.
#[derive(Debug)]
pub struct FileReader {
    shared: Arc<Shared>,
    file: PinnedFile,
    range: Range<u64>,
    layout: Option<Layout>,
    block: Option<BlockSource>,
    attempt: Attempt,
}

/// What the block at the position is read with.
#[derive(Debug)]
enum BlockSource {
    Replica(BlockReader),
    Group(GroupReader),
}

/// The replicas of the block at the reader's position that are still to be asked.
#[derive(Debug, Default)]
struct Attempt {
    block_index: Option<usize>,
    replicas: Vec<usize>,
    worst: Option<Error>,
}

impl Client {
    /// Reads `range` of a file (clipped to its length), block by block, from the DataNodes that the
    /// pinned list names. The NameNode is not asked.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for files whose bytes cannot be had: in encryption zones, erasure
    /// coded in an unknown way, or on clusters that encrypt all transfers.
    pub fn read(&self, file: &PinnedFile, range: Range<u64>) -> Result<FileReader, Error> {
        let refused = |what: &str| {
            Err(Error::Unsupported { what: format!("{what} (file id {})", file.file_id) })
        };
        if file.is_encrypted {
            return refused("reading from an encryption zone");
        }
        if self.shared.encrypts_transfer() {
            return refused("reading where DataNodes encrypt all transfers");
        }
        let layout = file.erasure_coding.as_ref().map(Layout::of).transpose()?;
        let end = range.end.min(file.length);
        Ok(FileReader {
            shared: Arc::clone(&self.shared),
            file: file.within(&range),
            range: range.start.min(end)..end,
            layout,
            block: None,
            attempt: Attempt::default(),
        })
    }

    /// The CRC of a whole file from the checksums that its DataNodes keep. No data is read, the
    /// NameNode is not asked, and no access time changes. The CRC of an empty file is 0.
    ///
    /// # Errors
    /// [`Error::SourceMoved`] when a block is gone, [`Error::Unsupported`] for a file whose blocks
    /// have checksums of both kinds or whose DataNodes are too old, and those of the connections.
    pub async fn composite_crc(&self, file: &PinnedFile) -> Result<CompositeCrc, Error> {
        let blocks = file.blocks.iter().map(|block| async move {
            let crc = self.block_crc(file, block).await?;
            Ok::<_, Error>((crc, block.length))
        });
        // Collected, because a closure over borrowed blocks in the stream is not `Send` enough for
        // boxed futures.
        let blocks: Vec<_> = blocks.collect();
        let blocks = stream::iter(blocks).buffered(CHECKSUMS_AT_ONCE_MAX);
        let whole =
            blocks.try_fold(None, |whole: Option<CompositeCrc>, (crc, length)| async move {
                match whole {
                    None => Ok(Some(crc)),
                    Some(whole) if whole.kind == crc.kind => {
                        let value = whole.kind.combine(whole.value, crc.value, length);
                        Ok(Some(CompositeCrc { kind: whole.kind, value }))
                    }
                    Some(_) => Err(Error::Unsupported {
                        what: format!("checksums of both kinds in file id {}", file.file_id),
                    }),
                }
            });
        Ok(whole.await?.unwrap_or(CompositeCrc { kind: CrcKind::Crc32c, value: 0 }))
    }

    async fn block_crc(&self, file: &PinnedFile, block: &Block) -> Result<CompositeCrc, Error> {
        let mut worst = None;
        for index in self.shared.peers.order(&block.datanodes) {
            let Some(datanode) = block.datanodes.get(index) else { continue };
            let error = match block_checksum::ask(&self.shared.peers, file, block, datanode).await {
                Ok(crc) => return Ok(crc),
                Err(error) => error,
            };
            worst = Some(worse(worst, self.explained(error, file, block, datanode).await));
        }
        Err(worst.unwrap_or_else(|| Error::NoReplica { block: block.name() }))
    }

    /// A DataNode that cannot compose a checksum hangs up without a word; a read tells why.
    async fn explained(
        &self,
        error: Error,
        file: &PinnedFile,
        block: &Block,
        datanode: &Datanode,
    ) -> Error {
        let is_silent = matches!(error, Error::Connection { .. });
        if !is_silent || block.length == 0 || file.erasure_coding.is_some() {
            return error;
        }
        let Shared { peers, client_name, .. } = &*self.shared;
        match BlockReader::open(peers, client_name, file, block, datanode, 0..1).await {
            Err(reason @ Error::SourceMoved { .. }) => reason,
            Ok(_) | Err(_) => error,
        }
    }
}

impl FileReader {
    /// The next bytes, never empty; `None` at the end of the range.
    ///
    /// The pieces share the buffers that they were received in. After an error the reader is
    /// spent.
    ///
    /// # Errors
    /// [`Error::SourceMoved`] when a block is gone: the file changed, or its blocks moved to other
    /// DataNodes; list it again. [`Error::Corrupt`] when no replica matches its checksums;
    /// [`Error::NoReplica`]; those of the connections.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while self.range.start < self.range.end {
            let mut block = match self.block.take() {
                Some(block) => block,
                None => self.open().await?,
            };
            match block.next().await {
                Ok(Some(bytes)) => {
                    self.range.start += bytes.len() as u64;
                    self.block = Some(block);
                    return Ok(Some(bytes));
                }
                Ok(None) => block.finish().await,
                Err(error) => self.attempt.fail(error),
            }
        }
        if let Some(block) = self.block.take() {
            block.finish().await;
        }
        Ok(None)
    }

    /// The same as a stream; it ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send {
        stream::try_unfold(self, |mut reader| async move {
            Ok(reader.next().await?.map(|bytes| (bytes, reader)))
        })
    }

    /// Opens the block at the position on the first replica that answers.
    async fn open(&mut self) -> Result<BlockSource, Error> {
        let position = self.range.start;
        let index = self.file.blocks.partition_point(|b| b.offset + b.length <= position);
        let block = self.file.blocks.get(index).ok_or_else(|| {
            Error::invalid_reply("LocatedBlocks", format!("no block at {position}"))
        })?;
        let within =
            position - block.offset..self.range.end.min(block.offset + block.length) - block.offset;
        let Shared { peers, client_name, .. } = &*self.shared;
        if self.attempt.block_index != Some(index) {
            self.attempt = Attempt { block_index: Some(index), ..Attempt::default() };
            if let Some(layout) = self.layout {
                // A group asks for each of its units by itself, so it is tried once.
                let file = &self.file;
                let group = GroupReader::new(peers, client_name, file, block, layout, within);
                return Ok(BlockSource::Group(group));
            }
            if !block.is_corrupt {
                self.attempt.replicas = peers.order(&block.datanodes);
            }
        }
        while !self.attempt.replicas.is_empty() {
            let replica = self.attempt.replicas.remove(0);
            let Some(datanode) = block.datanodes.get(replica) else { continue };
            let range = within.clone();
            match BlockReader::open(peers, client_name, &self.file, block, datanode, range).await {
                Ok(reader) => return Ok(BlockSource::Replica(reader)),
                Err(error) => self.attempt.fail(error),
            }
        }
        let worst = self.attempt.worst.take();
        Err(worst.unwrap_or_else(|| Error::NoReplica { block: block.name() }))
    }
}

impl BlockSource {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        match self {
            Self::Replica(reader) => reader.next().await,
            Self::Group(reader) => reader.next().await,
        }
    }

    async fn finish(self) {
        match self {
            // All bytes are here; a connection that cannot be used again is no failure.
            Self::Replica(reader) => drop(reader.finish().await),
            Self::Group(reader) => reader.finish().await,
        }
    }
}

impl Attempt {
    fn fail(&mut self, error: Error) {
        self.worst = Some(worse(self.worst.take(), error));
    }
}

/// Of two replicas' failures the one that the caller learns more from: a block that is gone says
/// that the file moved on, damaged data outweighs a connection.
fn worse(first: Option<Error>, second: Error) -> Error {
    let weight = |error: &Error| match error.kind() {
        ErrorKind::SourceMoved => 3,
        ErrorKind::Corrupt => 2,
        ErrorKind::Unsupported => 1,
        ErrorKind::Retry
        | ErrorKind::Denied
        | ErrorKind::NotFound
        | ErrorKind::InvalidInput
        | ErrorKind::InvalidReply => 0,
    };
    match first {
        Some(first) if weight(&first) > weight(&second) => first,
        Some(_) | None => second,
    }
}
