//! A tree of this machine as the end of the way back: it is opened as a target too.

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

use super::LocalTarget;
use crate::content::Content;
use crate::error::StoreError;
use crate::failback::{Carried, Failback, Pour, Put, is_expected, unexpected};
use crate::source::{Answer, ByteStream, Source};
use crate::target::{Stamp, Target};

/// A source that can be opened as a target too: a tree of this machine.
pub struct OverTarget {
    source: Arc<dyn Source>,
    target: LocalTarget,
    migration: String,
    attempt_next: AtomicU64,
}

impl OverTarget {
    /// The same root, opened twice.
    pub fn new(source: Arc<dyn Source>, target: LocalTarget, migration: &str) -> Self {
        let target = target.of_a_source();
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
            metadata: metadata.cloned(),
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
        if let Some(put) = reader.unlike(file).await {
            return Ok(put);
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
                Ok(piece) if piece.length() == 0 => break,
                Ok(piece) => piece,
                Err(error) => return Ok(Put::Unread(error)),
            };
            let number = u32::try_from(parts.len() + 1).unwrap_or(u32::MAX);
            parts.push(self.target.put_part(key, upload, number, piece).await?);
        }
        if let Some(put) = reader.unlike(file).await {
            return Ok(put);
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

    fn may_write<'a>(&'a self, directory: &'a RelPath, file: bool) -> Answer<'a, ()> {
        self.target.may_write(directory.as_bytes(), file)
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
            let made =
                self.target.put(marker.as_bytes(), Content::default(), &stamp, &Expected::Anything);
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
    async fn piece(&mut self, length: u64) -> Result<Content, StoreError> {
        let mut content = Content::default();
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
            content.push(piece);
        }
        self.received += content.length();
        let length = usize::try_from(content.length()).unwrap_or(usize::MAX);
        self.crc32c = crc32c::crc32c_combine(self.crc32c, content.crc32c(), length);
        Ok(content)
    }

    /// Why what came is not what was announced. The end of the stream may tell that its bytes
    /// never stood together.
    async fn unlike(&mut self, file: &Carried<'_>) -> Option<Put> {
        self.longer |= !self.rest.is_empty();
        while !self.longer {
            match self.stream.next().await {
                Some(Ok(piece)) => self.longer = !piece.is_empty(),
                Some(Err(error)) => return Some(Put::Unread(error)),
                None => break,
            }
        }
        let whole = !self.longer && self.received == file.length;
        let same = whole && file.crc32c.is_none_or(|crc32c| crc32c == self.crc32c);
        if same { None } else { Some(Put::Changed) }
    }
}

#[cfg(test)]
mod tests;
