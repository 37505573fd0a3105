//! One source and one target, and the single pieces of work between them.

use std::fmt::Display;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc::UnboundedSender;
use whimbrel_core::effect::{CopyJob, Expected, Removal};
use whimbrel_core::failure::{Failure, Side};
use whimbrel_core::input::{Input, Standing, Written};
use whimbrel_core::metadata::{Metadata, MetadataLevel};
use whimbrel_core::number::AttemptNumber;
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Row, Upload};
use whimbrel_store::content::Content;
use whimbrel_store::error::StoreError;
use whimbrel_store::key::KeyMap;
use whimbrel_store::source::Source;
use whimbrel_store::target::{CopySource, Object, Stamp, Target};

use crate::memory::Memory;
use crate::outcome::{Ended, verified};

/// Keys of one batch of removals that are looked at at the same time.
const LOOKS_IN_FLIGHT: usize = 16;

/// A key with what is expected to stand there.
type KeyToRemove = (Vec<u8>, Expected);

/// What holds for every piece of work of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The migration's id, written into every object (rule 2.3).
    pub migration: String,
    /// How much metadata travels.
    pub metadata: MetadataLevel,
    /// Files up to this many bytes go in one request; parts of larger ones have at least so many.
    pub part_bytes: u64,
    /// Bytes that all transfers together hold in memory at most.
    pub memory_bytes: u64,
    /// Parts of one upload that are under way at the same time; at least 1.
    pub parts_in_flight: usize,
}

impl Options {
    /// The usual sizes: parts of 16 MiB, 8 at a time, 512 MiB in memory.
    pub fn new(migration: String) -> Self {
        Self {
            migration,
            metadata: MetadataLevel::Basic,
            part_bytes: 16 * 1024 * 1024,
            memory_bytes: 512 * 1024 * 1024,
            parts_in_flight: 8,
        }
    }
}

/// Carries files from one source to one target.
pub struct Carrier {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) target: Arc<dyn Target>,
    pub(crate) keys: KeyMap,
    pub(crate) options: Options,
    pub(crate) memory: Memory,
}

impl Carrier {
    /// Between these two, with keys as `keys` maps them.
    pub fn new(
        source: Arc<dyn Source>,
        target: Arc<dyn Target>,
        keys: KeyMap,
        options: Options,
    ) -> Self {
        let memory = Memory::new(options.memory_bytes);
        Self { source, target, keys, options, memory }
    }

    /// Copies the pinned file. Small ones end `Done`; larger ones become an upload, reported on
    /// the way by `Input::UploadOpened` and `Input::PartDone`, and end `Staged`.
    pub async fn copy(&self, job: &CopyJob, events: &UnboundedSender<Input>) -> Written {
        self.copied(job, events).await.unwrap_or_else(Written::from)
    }

    /// Makes an object of a staged upload.
    pub async fn complete(
        &self,
        path: &RelPath,
        upload: &Upload,
        crc32c: u32,
        expected: &Expected,
    ) -> Written {
        self.completed(path, upload, crc32c, expected).await.unwrap_or_else(Written::from)
    }

    async fn completed(
        &self,
        path: &RelPath,
        upload: &Upload,
        crc32c: u32,
        expected: &Expected,
    ) -> Result<Written, Ended> {
        let key = self.key(path)?;
        let length = upload.parts.iter().map(|part| part.length).sum();
        let minded = self.target.abilities().conditions.uploads;
        let expected = &self.look_first(&key, expected, minded).await?;
        let (id, parts) = (&upload.id, &upload.parts);
        let answer = self.target.complete_upload(&key, id, parts, crc32c, expected).await;
        Ok(Written::Done(verified(answer.map_err(Ended::writing)?, length, Some(crc32c))?))
    }

    /// Gives an upload up, so that it can never take effect any more (rule 4.3).
    pub async fn abort(&self, path: &RelPath, upload_id: &str) -> Result<(), StoreError> {
        self.target.abort_upload(&self.keys.key(path)?, upload_id).await
    }

    /// Copies within the target the object that `from` names (rule 6.3).
    pub async fn relocate(
        &self,
        attempt: AttemptNumber,
        from: &Row,
        path: &RelPath,
        metadata: Metadata,
        expected: &Expected,
    ) -> Written {
        self.relocated(attempt, from, path, metadata, expected).await.unwrap_or_else(Written::from)
    }

    async fn relocated(
        &self,
        attempt: AttemptNumber,
        from: &Row,
        path: &RelPath,
        metadata: Metadata,
        expected: &Expected,
    ) -> Result<Written, Ended> {
        let key = self.key(path)?;
        let source = CopySource {
            key: self.key(&from.path)?,
            version: from.version.clone(),
            etag: from.etag.clone(),
            length: from.length,
            crc32c: from.crc32c,
        };
        let stamp = self.stamp(attempt, path, metadata).await?;
        let minded = self.target.abilities().conditions.copies;
        let expected = &self.look_first(&key, expected, minded).await?;
        let copied = self.target.copy(&source, &key, &stamp, expected).await;
        let standing = copied.map_err(Ended::writing)?;
        Ok(Written::Done(verified(standing, from.length, from.crc32c)?))
    }

    /// Writes a directory's marker, whose path ends in `/`.
    pub async fn put_marker(
        &self,
        attempt: AttemptNumber,
        path: &RelPath,
        metadata: Metadata,
        expected: &Expected,
    ) -> Written {
        self.marked(attempt, path, metadata, expected).await.unwrap_or_else(Written::from)
    }

    async fn marked(
        &self,
        attempt: AttemptNumber,
        path: &RelPath,
        metadata: Metadata,
        expected: &Expected,
    ) -> Result<Written, Ended> {
        let key = self.key(path)?;
        let directory = path.parent().unwrap_or_default();
        let stamp = self.stamp(attempt, &directory, metadata).await?;
        let put = self.target.put(&key, Content::default(), &stamp, expected).await;
        let standing = put.map_err(Ended::writing)?;
        Ok(Written::Done(verified(standing, 0, None)?))
    }

    /// Removes objects in order; one outcome each.
    pub async fn remove(&self, items: &[Removal]) -> Vec<Written> {
        let looks: Vec<_> = items.iter().map(|item| self.removable(item)).collect();
        let looks: Vec<Result<Option<KeyToRemove>, Ended>> =
            stream::iter(looks).buffered(LOOKS_IN_FLIGHT).collect().await;
        let asked: Vec<KeyToRemove> =
            looks.iter().filter_map(|look| look.as_ref().ok()?.clone()).collect();
        let answers = match self.target.remove(&asked).await {
            _ if asked.is_empty() => Vec::new(),
            Ok(answers) => answers,
            Err(error) => vec![Err(error); asked.len()],
        };
        let missing = || StoreError::Unknown {
            message: format!("{} did not say what became of a removal", self.target.describe()),
        };
        let mut answers = answers.into_iter();
        let answer = |look| match look {
            Ok(Some(_)) => answers.next().unwrap_or_else(|| Err(missing())).map_err(Ended::writing),
            Ok(None) => Ok(()),
            Err(ended) => Err(ended),
        };
        let done = |()| Written::Done(Standing::default());
        looks.into_iter().map(answer).map(|it| it.map_or_else(Written::from, done)).collect()
    }

    /// What is to be asked of the target, if something may stand there. A path without a key was
    /// never written: nothing of it can.
    async fn removable(&self, item: &Removal) -> Result<Option<KeyToRemove>, Ended> {
        let Ok(key) = self.keys.key(&item.path) else { return Ok(None) };
        if item.expected == Expected::Anything || self.target.abilities().conditions.removals {
            return Ok(Some((key, item.expected.clone())));
        }
        let found = self.target.inspect(&key).await.map_err(Ended::preparing)?;
        match found {
            None => Ok(None),
            Some(object) => {
                let expected = compared(&item.path, &item.expected, Some(&object))?;
                Ok(Some((key, expected)))
            }
        }
    }

    /// Where the target does not mind what is expected, the key is looked at right before: what
    /// comes between the look and the write is not noticed.
    async fn look_first(
        &self,
        key: &[u8],
        expected: &Expected,
        minded: bool,
    ) -> Result<Expected, Ended> {
        if minded || *expected == Expected::Anything {
            return Ok(expected.clone());
        }
        let found = self.target.inspect(key).await.map_err(Ended::preparing)?;
        compared(&String::from_utf8_lossy(key), expected, found.as_ref())
    }

    /// What stands on the target at a path.
    pub async fn inspect(&self, path: &RelPath) -> Result<Option<Standing>, Failure> {
        let Ok(key) = self.keys.key(path) else { return Ok(None) };
        match self.target.inspect(&key).await {
            Ok(object) => Ok(object.map(Standing::from)),
            Err(error) => Err(error.into_failure(Side::Target)),
        }
    }

    /// The key of a path that the target can hold; no request is sent.
    pub(crate) fn key(&self, path: &RelPath) -> Result<Vec<u8>, Ended> {
        let key = self.keys.key(path).map_err(Ended::preparing)?;
        self.target.admit(&key).map_err(Ended::preparing)?;
        Ok(key)
    }

    /// What an object written for `path` carries.
    pub(crate) async fn stamp(
        &self,
        attempt: AttemptNumber,
        path: &RelPath,
        mut metadata: Metadata,
    ) -> Result<Stamp, Ended> {
        if self.options.metadata != MetadataLevel::None && !metadata.has_exact_time() {
            return Err(Ended::reading(StoreError::Refused {
                message: format!(
                    "{path}: its modification time is before 1677 or after 2262, which no object \
                     carries"
                ),
                remedy: "set another time at the source (touch), leave it out with --exclude, or \
                         migrate with --metadata none"
                    .to_owned(),
            }));
        }
        let metadata = match self.options.metadata {
            MetadataLevel::None => None,
            MetadataLevel::Basic => Some(metadata),
            MetadataLevel::Full => {
                metadata.xattrs = self.source.xattrs(path).await.map_err(Ended::reading)?;
                Some(metadata)
            }
        };
        Ok(Stamp { migration: self.options.migration.clone(), attempt: attempt.0, metadata })
    }
}

/// What is left to expect once the key was looked at.
fn compared(
    what: &impl Display,
    expected: &Expected,
    found: Option<&Object>,
) -> Result<Expected, Ended> {
    let as_expected = match (expected, found) {
        (Expected::Anything, _) | (Expected::Nothing, None) => true,
        (Expected::Object(etag), Some(object)) => object.etag.as_ref() == Some(etag),
        (Expected::Nothing, Some(_)) | (Expected::Object(_), None) => false,
    };
    if as_expected {
        return Ok(Expected::Anything);
    }
    let message = format!("{what}: what stands there is not what was expected");
    Err(Ended::writing(StoreError::Unexpected { message }))
}

#[cfg(test)]
mod tests;
