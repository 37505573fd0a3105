//! A source that is written to again: users worked on the target, and what they changed goes back.
//! This writes to the source, so it is asked for apart from everything else, as fences are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::StreamExt;
use whimbrel_core::effect::Expected;
use whimbrel_core::entry::{FileNode, Node};
use whimbrel_core::metadata::Metadata;
use whimbrel_core::path::RelPath;
use whimbrel_core::record::Part;

use crate::error::StoreError;
use crate::source::{Answer, ByteStream, Source};
use crate::target::{Stamp, Target};

/// A file that goes back.
#[derive(Clone, Debug)]
pub struct Carried<'a> {
    /// Where to.
    pub path: &'a RelPath,
    /// Bytes that the target announces.
    pub length: u64,
    /// Their CRC32C, as the target keeps it.
    pub crc32c: Option<u32>,
    /// What belongs to it; without rights it gets those that new files get there, and owner and
    /// group of its directory.
    pub metadata: Metadata,
    /// What stands there until then.
    pub expected: Option<&'a FileNode>,
}

/// What became of a file that was to be written.
#[derive(Clone, Debug)]
pub enum Put {
    /// It stands there whole, and its bytes have this CRC32C.
    Done {
        /// Of all bytes.
        crc32c: u32,
    },
    /// The bytes were not those that were announced: the object was changed meanwhile.
    Changed,
    /// The bytes could not be read.
    Unread(StoreError),
}

/// Gives the bytes of a file, from the beginning at each call.
pub type Pour<'a> = &'a (dyn Fn() -> ByteStream + Send + Sync);

/// Writes to the source. Each write may be done again; what stands otherwise than expected right
/// before it takes effect ends it with `StoreError::Unexpected`.
pub trait Failback: Send + Sync {
    /// Says by name why a path can never be held here.
    fn admit(&self, path: &RelPath) -> Result<(), StoreError>;

    /// So many calls of the source's metadata service a change is taken for.
    fn calls_per_change(&self) -> u64;

    /// Removes what a killed process left of files that it was writing at these paths.
    fn sweep<'a>(&'a self, paths: &'a [RelPath]) -> Answer<'a, ()>;

    /// Writes a file whole under a name of its own, compares it with what was announced, and has it
    /// take its place in one step. Directories are made as needed.
    fn put<'a>(&'a self, file: &'a Carried<'a>, pour: Pour<'a>) -> Answer<'a, Put>;

    /// Makes a directory, with those above it.
    fn make_directory<'a>(
        &'a self,
        path: &'a RelPath,
        metadata: Option<&'a Metadata>,
    ) -> Answer<'a, ()>;

    /// Removes a file.
    fn remove<'a>(&'a self, path: &'a RelPath, expected: &'a FileNode) -> Answer<'a, ()>;

    /// Removes a directory that is empty; `false`: it is not. Fine if it is gone.
    fn remove_directory<'a>(&'a self, path: &'a RelPath) -> Answer<'a, bool>;
}

/// True if what stands is what was expected.
pub(crate) fn is_expected(expected: Option<&FileNode>, standing: Option<&Node>) -> bool {
    match (expected, standing) {
        (None, None) => true,
        (Some(expected), Some(Node::File(file))) => {
            !file.open && file.identity == expected.identity
        }
        (None | Some(_), _) => false,
    }
}

pub(crate) fn unexpected(path: &RelPath) -> StoreError {
    StoreError::Unexpected { message: format!("{path}: it was changed at the source meanwhile") }
}

/// A source that can be opened as a target too: a tree of this machine.
pub struct OverTarget {
    source: Arc<dyn Source>,
    target: Arc<dyn Target>,
    migration: String,
    attempt_next: AtomicU64,
}

impl OverTarget {
    /// The same root, opened twice.
    pub fn new(source: Arc<dyn Source>, target: Arc<dyn Target>, migration: &str) -> Self {
        // As the attempts of a run do, these begin with their time.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = u64::try_from(since.as_micros()).unwrap_or_default();
        let attempt_next = AtomicU64::new(micros);
        Self { source, target, migration: migration.to_owned(), attempt_next }
    }

    fn stamp(&self, metadata: Option<&Metadata>) -> Stamp {
        Stamp {
            migration: self.migration.clone(),
            attempt: self.attempt_next.fetch_add(1, Ordering::Relaxed),
            metadata: metadata.filter(|metadata| metadata.has_rights()).cloned(),
        }
    }

    /// The tag of what stands there, if it is the expected one: looked at before the source is
    /// asked, so that whatever comes later has another tag.
    async fn standing(
        &self,
        path: &RelPath,
        expected: Option<&FileNode>,
    ) -> Result<Expected, StoreError> {
        let object = match expected {
            Some(_) => self.target.inspect(path.as_bytes()).await?,
            None => None,
        };
        let standing = self.source.stat(path).await?;
        if !is_expected(expected, standing.as_ref()) {
            return Err(unexpected(path));
        }
        if !self.target.abilities().conditions.writes {
            return Ok(Expected::Anything);
        }
        Ok(match object.and_then(|object| object.etag) {
            Some(etag) => Expected::Object(etag),
            None if expected.is_none() => Expected::Nothing,
            None => Expected::Anything,
        })
    }

    async fn whole(&self, file: &Carried<'_>, pour: Pour<'_>) -> Result<Put, StoreError> {
        let mut reader = Reader::new(pour());
        let piece = match reader.piece(file.length).await {
            Ok(piece) => piece,
            Err(error) => return Ok(Put::Unread(error)),
        };
        if !reader.ended().await || !reader.is(file) {
            return Ok(Put::Changed);
        }
        let expected = self.standing(file.path, file.expected).await?;
        let stamp = self.stamp(Some(&file.metadata));
        self.target.put(file.path.as_bytes(), piece, &stamp, &expected).await?;
        Ok(Put::Done { crc32c: reader.crc32c })
    }

    async fn in_parts(&self, file: &Carried<'_>, pour: Pour<'_>) -> Result<Put, StoreError> {
        let key = file.path.as_bytes();
        let upload = self.target.open_upload(key, &self.stamp(Some(&file.metadata))).await?;
        let outcome = self.parts(file, pour, &upload).await;
        if !matches!(outcome, Ok(Put::Done { .. })) {
            // What is left of it goes when the tree is opened the next time.
            let _ = self.target.abort_upload(key, &upload).await;
        }
        outcome
    }

    async fn parts(
        &self,
        file: &Carried<'_>,
        pour: Pour<'_>,
        upload: &str,
    ) -> Result<Put, StoreError> {
        let key = file.path.as_bytes();
        let part_bytes = self.target.abilities().part_bytes_max;
        let mut reader = Reader::new(pour());
        let mut parts: Vec<Part> = Vec::new();
        while reader.received < file.length {
            let length = part_bytes.min(file.length - reader.received);
            let piece = match reader.piece(length).await {
                Ok(piece) if piece.is_empty() => break,
                Ok(piece) => piece,
                Err(error) => return Ok(Put::Unread(error)),
            };
            let number = u32::try_from(parts.len() + 1).unwrap_or(u32::MAX);
            parts.push(self.target.put_part(key, upload, number, piece).await?);
        }
        if !reader.ended().await || !reader.is(file) {
            return Ok(Put::Changed);
        }
        let expected = self.standing(file.path, file.expected).await?;
        let crc32c = reader.crc32c;
        self.target.complete_upload(key, upload, &parts, crc32c, &expected).await?;
        Ok(Put::Done { crc32c })
    }

    async fn removed(&self, key: Vec<u8>, expected: Expected) -> Result<(), StoreError> {
        let outcomes = self.target.remove(&[(key, expected)]).await?;
        outcomes.into_iter().collect()
    }
}

impl Failback for OverTarget {
    fn admit(&self, path: &RelPath) -> Result<(), StoreError> {
        self.target.admit(path.as_bytes())
    }

    fn calls_per_change(&self) -> u64 {
        1
    }

    fn sweep<'a>(&'a self, _paths: &'a [RelPath]) -> Answer<'a, ()> {
        // Opening the tree as a target did it.
        Box::pin(async { Ok(()) })
    }

    fn put<'a>(&'a self, file: &'a Carried<'a>, pour: Pour<'a>) -> Answer<'a, Put> {
        Box::pin(async move {
            if file.length <= self.target.abilities().put_bytes_max {
                self.whole(file, pour).await
            } else {
                self.in_parts(file, pour).await
            }
        })
    }

    fn make_directory<'a>(
        &'a self,
        path: &'a RelPath,
        metadata: Option<&'a Metadata>,
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            let (marker, stamp) = (path.marker(), self.stamp(metadata));
            let made = self.target.put(marker.as_bytes(), Vec::new(), &stamp, &Expected::Anything);
            made.await.map(drop)
        })
    }

    fn remove<'a>(&'a self, path: &'a RelPath, expected: &'a FileNode) -> Answer<'a, ()> {
        Box::pin(async move {
            let expected = self.standing(path, Some(expected)).await?;
            self.removed(path.as_bytes().to_vec(), expected).await
        })
    }

    fn remove_directory<'a>(&'a self, path: &'a RelPath) -> Answer<'a, bool> {
        Box::pin(async move {
            let marker = path.marker().as_bytes().to_vec();
            match self.removed(marker, Expected::Anything).await {
                Ok(()) => {}
                Err(StoreError::Conflict { .. } | StoreError::Unexpected { .. }) => {}
                Err(error) => return Err(error),
            }
            Ok(!matches!(self.source.stat(path).await?, Some(Node::Directory(_))))
        })
    }
}

/// Takes a stream in pieces of asked lengths, with the checksum of all.
struct Reader {
    stream: ByteStream,
    /// Of the last piece of the stream, what was not asked for yet.
    rest: Bytes,
    received: u64,
    crc32c: u32,
    /// More came than was asked for.
    longer: bool,
}

impl Reader {
    fn new(stream: ByteStream) -> Self {
        Self { stream, rest: Bytes::new(), received: 0, crc32c: 0, longer: false }
    }

    /// The next so many bytes, or fewer where the stream ends.
    async fn piece(&mut self, length: u64) -> Result<Vec<Bytes>, StoreError> {
        let mut pieces = Vec::new();
        let mut left = usize::try_from(length).unwrap_or(usize::MAX);
        while left > 0 {
            if self.rest.is_empty() {
                match self.stream.next().await {
                    Some(piece) => self.rest = piece?,
                    None => break,
                }
            }
            let piece = self.rest.split_to(left.min(self.rest.len()));
            left -= piece.len();
            self.received += piece.len() as u64;
            self.crc32c = crc32c::crc32c_append(self.crc32c, &piece);
            pieces.push(piece);
        }
        Ok(pieces)
    }

    /// True if nothing more comes. A failure after the last byte is of no interest.
    async fn ended(&mut self) -> bool {
        self.longer |= !self.rest.is_empty();
        while let Some(Ok(piece)) = self.stream.next().await {
            self.longer |= !piece.is_empty();
            if self.longer {
                break;
            }
        }
        !self.longer
    }

    fn is(&self, file: &Carried<'_>) -> bool {
        self.received == file.length && file.crc32c.is_none_or(|crc32c| crc32c == self.crc32c)
    }
}
