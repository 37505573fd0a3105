//! How both sides stand to what the migration left there.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use whimbrel_core::entry::{DirectoryNode, FileNode, Node, Page};
use whimbrel_core::failback::Since;
use whimbrel_core::failure::Side;
use whimbrel_core::identity::{Identity, Sameness};
use whimbrel_core::metadata::{Metadata, MetadataLevel};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::Row;
use whimbrel_store::error::StoreError;
use whimbrel_store::source::ByteStream;
use whimbrel_store::stamp;
use whimbrel_store::target::{Object, ObjectPage};

use super::{Sides, of_side};
use crate::error::EngineError;

/// How long a side may be busy or away before all of it ends, and the waits between the questions.
const PATIENCE: Duration = Duration::from_secs(60);
const WAIT_FIRST: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Asks again as long as the side is busy or does not answer. Of what is read alone: a write that
/// ended so may have taken effect.
pub(super) async fn patiently<T, Asking>(ask: impl Fn() -> Asking) -> Result<T, StoreError>
where
    Asking: Future<Output = Result<T, StoreError>>,
{
    let (begun, mut wait) = (Instant::now(), WAIT_FIRST);
    loop {
        match ask().await {
            Err(StoreError::Unavailable { .. } | StoreError::Throttled { .. })
                if begun.elapsed() + wait < PATIENCE =>
            {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(WAIT_MAX);
            }
            answer => return answer,
        }
    }
}

/// What became of a directory that nothing of the migration's is in any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cleaned {
    Removed,
    /// The source has none there.
    Absent,
    /// The source has something of its own in it.
    Holds,
    /// It is empty, and cannot be removed.
    Kept,
}

impl Sides {
    pub(super) async fn stat(&self, path: &RelPath) -> Result<Option<Node>, StoreError> {
        patiently(|| async {
            self.limits.source_calls.take(1).await;
            self.source.stat(path).await
        })
        .await
    }

    pub(super) async fn inspect(&self, path: &RelPath) -> Result<Option<Object>, StoreError> {
        let key = self.keys.key(path)?;
        patiently(|| async {
            self.limits.target_requests.take(1).await;
            self.target.inspect(&key).await
        })
        .await
    }

    pub(super) async fn list(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
    ) -> Result<ObjectPage, EngineError> {
        let page = patiently(|| async {
            self.limits.target_requests.take(1).await;
            self.target.list(prefix, after).await
        });
        page.await.map_err(|error| of_side(error, Side::Target))
    }

    /// Anything stands at the target below a directory, or marks it.
    pub(super) async fn target_has_below(&self, directory: &RelPath) -> Result<bool, EngineError> {
        // A directory that is mapped as a whole has no name of its own at the target.
        let Ok(prefix) = self.keys.key(&directory.marker()) else { return Ok(true) };
        Ok(!self.list(&prefix, None).await?.objects.is_empty())
    }

    /// A page of a directory of the source.
    pub(super) async fn list_source(
        &self,
        directory: &RelPath,
        after: Option<&[u8]>,
    ) -> Result<Option<Page>, EngineError> {
        let page = patiently(|| async {
            self.limits.source_calls.take(1).await;
            self.source.list(directory, after).await
        });
        page.await.map_err(|error| of_side(error, Side::Source))
    }

    /// The directory that the source has at a path.
    pub(super) async fn source_directory(
        &self,
        path: &RelPath,
    ) -> Result<Option<DirectoryNode>, EngineError> {
        let node = self.stat(path).await.map_err(|error| of_side(error, Side::Source))?;
        Ok(match node {
            Some(Node::Directory(directory)) => Some(directory),
            Some(Node::File(_) | Node::Special(_)) | None => None,
        })
    }

    /// Removes a directory of the source in which nothing is left; a dry run foresees it.
    pub(super) async fn clean(&self, path: &RelPath) -> Result<Cleaned, EngineError> {
        let Some(directory) = self.source_directory(path).await? else {
            return Ok(Cleaned::Absent);
        };
        if self.dry_run {
            return Ok(match self.would_lose_all(path).await? {
                _ if self.would_be_cleaned.contains(path) => Cleaned::Absent,
                true => Cleaned::Removed,
                false => Cleaned::Holds,
            });
        }
        if directory.empty == Some(false) {
            return Ok(Cleaned::Holds);
        }
        self.limits.source_calls.take(self.writer.calls_per_change()).await;
        let removed = self.writer.remove_directory(path).await;
        if removed.map_err(|error| of_side(error, Side::Source))? {
            return Ok(Cleaned::Removed);
        }
        let left = self.source_directory(path).await?;
        let empty = left.is_some_and(|left| left.empty == Some(true));
        Ok(if empty { Cleaned::Kept } else { Cleaned::Holds })
    }

    pub(super) fn target_since(&self, row: Option<&Row>, object: Option<&Object>) -> Since {
        match (row, object) {
            (_, None) => Since::Absent,
            (Some(row), Some(object)) if is_left(row, object) => Since::AsLeft,
            (Some(_) | None, Some(_)) => Since::Other,
        }
    }

    /// The source's file, its rights too: who changed these changed it.
    pub(super) async fn source_since(
        &self,
        row: Option<&Row>,
        node: Option<&Node>,
    ) -> Result<Since, StoreError> {
        let (row, file) = match (row, node) {
            (_, None) => return Ok(Since::Absent),
            (Some(row), Some(Node::File(file))) if !file.open => (row, file),
            (Some(_) | None, Some(_)) => return Ok(Since::Other),
        };
        if !self.is_metadata_left(&row.metadata, &file.metadata) {
            return Ok(Since::Other);
        }
        let believed = row.epoch == self.epoch;
        Ok(match row.identity.compare(&file.identity) {
            Sameness::Same | Sameness::SameBytes if believed => Since::AsLeft,
            Sameness::Same | Sameness::SameBytes | Sameness::Unproven => {
                let proven = self.is_proven(row, file).await?;
                if proven { Since::AsLeft } else { Since::Other }
            }
            Sameness::Different => Since::Other,
        })
    }

    async fn is_proven(&self, row: &Row, file: &FileNode) -> Result<bool, StoreError> {
        let Some(crc32c) = row.crc32c.filter(|_| row.length == file.identity.length()) else {
            return Ok(false);
        };
        Ok(self.source_checksum(&row.path, file).await? == Some(crc32c))
    }

    fn is_metadata_left(&self, left: &Metadata, now: &Metadata) -> bool {
        match self.metadata {
            MetadataLevel::None => true,
            MetadataLevel::Basic | MetadataLevel::Full if *left == Metadata::unknown() => true,
            MetadataLevel::Full => left == now,
            MetadataLevel::Basic => {
                *left == Metadata { xattrs: left.xattrs.clone(), ..now.clone() }
            }
        }
    }

    /// CRC32C of a file at the source, kept there or read; `None` if it moved meanwhile.
    pub(super) async fn source_checksum(
        &self,
        path: &RelPath,
        file: &FileNode,
    ) -> Result<Option<u32>, StoreError> {
        let length = file.identity.length();
        let kept = self.source.stored_checksum(path, file, length).await?;
        if kept.is_some() || length == 0 {
            return Ok(kept.or(Some(0)));
        }
        let bytes = self.paced(self.source.read(path, file, 0..length));
        match read(bytes).await {
            Ok((received, crc32c)) => Ok(Some(crc32c).filter(|_| received == length)),
            Err(StoreError::Moved { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// CRC32C of an object, kept there or read; `None` if it was changed meanwhile.
    pub(super) async fn object_checksum(
        &self,
        path: &RelPath,
        object: &Object,
    ) -> Result<Option<u32>, StoreError> {
        if object.crc32c.is_some() {
            return Ok(object.crc32c);
        }
        let (received, crc32c) =
            patiently(|| async { read(self.read_object(path)?).await }).await?;
        Ok(Some(crc32c).filter(|_| received == object.length))
    }

    /// The bytes of an object, at most as fast as is allowed.
    pub(super) fn read_object(&self, path: &RelPath) -> Result<ByteStream, StoreError> {
        Ok(self.paced(self.target.read(&self.keys.key(path)?)))
    }

    /// The same of an object that is the same once they were read: where the target keeps no
    /// checksum, nothing else tells.
    pub(super) fn read_unchanged(
        &self,
        path: &RelPath,
        object: &Object,
    ) -> Result<ByteStream, StoreError> {
        let bytes = self.read_object(path)?;
        if object.crc32c.is_some() {
            return Ok(bytes);
        }
        let (target, key) = (self.target.clone(), self.keys.key(path)?);
        let (etag, message) = (object.etag.clone(), format!("{path} is changed at the target"));
        let look = stream::once(async move {
            match target.inspect(&key).await {
                Ok(Some(now)) if now.etag == etag => None,
                Ok(_) => Some(Err(StoreError::Moved { message })),
                Err(error) => Some(Err(error)),
            }
        });
        Ok(Box::pin(bytes.chain(look.filter_map(std::future::ready))))
    }

    /// Nothing stands at the target in place of a directory above a path that hides what lies
    /// there, as a symbolic link does: then it is not known whether it is gone.
    pub(super) async fn is_seen(&self, path: &RelPath) -> Result<(), StoreError> {
        if self.target.abilities().markers {
            return Ok(());
        }
        for above in path.ancestors().filter(|above| !above.is_root()) {
            // A file that took its place can be read.
            if self.inspect(&above).await?.is_some() {
                self.read_object(&above)?.next().await.transpose()?;
            }
        }
        Ok(())
    }

    fn paced(&self, pieces: ByteStream) -> ByteStream {
        let limits = self.limits.clone();
        Box::pin(pieces.then(move |piece| {
            let limits = limits.clone();
            async move {
                if let Ok(bytes) = &piece {
                    limits.bandwidth_bytes.take(bytes.len() as u64).await;
                }
                piece
            }
        }))
    }

    /// The row of what stands on both sides now.
    pub(super) fn row(
        &self,
        path: &RelPath,
        object: &Object,
        identity: Identity,
        metadata: &Metadata,
        crc32c: Option<u32>,
    ) -> Row {
        // Where the object does not carry what the source has, the next run writes it there.
        let carried =
            self.metadata == MetadataLevel::None || stamp::agrees(&object.user_metadata, metadata);
        Row {
            path: path.clone(),
            identity,
            length: object.length,
            crc32c,
            etag: object.etag.clone(),
            version: object.version.clone(),
            attempt: None,
            as_of: self.as_of,
            epoch: self.epoch,
            metadata: if carried { metadata.clone() } else { Metadata::unknown() },
            ledger_only: false,
        }
    }
}

fn is_left(row: &Row, object: &Object) -> bool {
    let same_tag = match (&row.etag, &object.etag) {
        (Some(left), Some(now)) => left == now,
        (None, _) | (_, None) => row.crc32c.is_some() && row.crc32c == object.crc32c,
    };
    same_tag && (row.length == object.length || row.path.is_marker())
}

async fn read(mut bytes: ByteStream) -> Result<(u64, u32), StoreError> {
    let (mut received, mut crc32c) = (0, 0);
    while let Some(piece) = bytes.next().await {
        let piece = piece?;
        received += piece.len() as u64;
        crc32c = crc32c::crc32c_append(crc32c, &piece);
    }
    Ok((received, crc32c))
}
