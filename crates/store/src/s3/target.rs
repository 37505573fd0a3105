//! An S3 bucket as a target.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::stream;
use whimbrel_core::config::RequestLifetime;
use whimbrel_core::effect::Expected;
use whimbrel_core::input::Standing;
use whimbrel_core::number::AttemptNumber;
use whimbrel_core::record;
use whimbrel_s3::{
    Body, Client, Condition, Crc32c, DELETE_KEYS_MAX, Deletion, Error, GetRequest, Kind,
    ListedObject, ObjectHead, ObjectOptions, PART_BYTES_MAX, PART_BYTES_MIN, PARTS_MAX, Part,
    Stored, Whole, WriteOptions, fits_xml,
};

use super::S3Settings;
use super::failure::{Effect, not_removed, told};
use super::names::Names;
use super::{listing, probe};
use crate::content::Content;
use crate::error::StoreError;
use crate::source::{Answer, ByteStream};
use crate::stamp;
use crate::target::{
    Abilities, Conditions, CopySource, Finding, Object, ObjectPage, Stamp, Target,
};

/// Objects up to so many bytes are written by one request. Larger ones would make the time longer
/// for which a lost request can take effect, and a lost answer would cost more bytes.
const PUT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// S3A marks directories so.
const MARKER_TYPE: &str = "application/x-directory";

/// A bucket, or a prefix of it, as a target.
pub struct S3Target {
    pub(super) client: Client,
    pub(super) prefix: String,
    pub(super) write: WriteOptions,
    url: String,
    /// Whose probes these are.
    pub(super) migration: Option<String>,
    facts: RwLock<Arc<Facts>>,
}

/// What was found out about the server. Until it was probed nothing is relied on that a server may
/// lack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub names: Names,
    /// Copies arrive whole, with new metadata, and mind what they are to copy.
    pub copies: bool,
    /// An object can be copied onto itself with new metadata.
    pub self_copies: bool,
    /// Copies of ranges say the right checksum.
    pub part_copies: bool,
    /// The length of the whole is understood when an upload is completed.
    pub takes_whole_length: bool,
    /// A CRC32C given for the whole of an upload is compared and kept.
    pub keeps_whole_checksum: bool,
    /// Conditions on writes are minded.
    pub conditional_writes: bool,
    /// Conditions on the completion of uploads are minded.
    pub conditional_uploads: bool,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            names: Names::default(),
            copies: false,
            self_copies: false,
            part_copies: false,
            takes_whole_length: true,
            keeps_whole_checksum: true,
            conditional_writes: false,
            conditional_uploads: false,
        }
    }
}

impl S3Target {
    /// Opens the bucket. Nothing is written.
    ///
    /// # Errors
    /// `Missing` without the bucket, `Denied`, `Unavailable`, `Refused` for settings that cannot be
    /// used.
    pub async fn open(settings: &S3Settings) -> Result<Self, StoreError> {
        let (client, prefix) = settings.connect().await?;
        Ok(Self {
            client,
            prefix,
            write: settings.write.clone(),
            url: settings.url.clone(),
            migration: None,
            facts: RwLock::default(),
        })
    }

    /// The only one that writes for this migration from now on: what a probe of it left behind when
    /// it was killed is removed by the next.
    #[must_use]
    pub fn of_migration(mut self, migration: &str) -> Self {
        self.migration = Some(migration.to_owned());
        self
    }

    /// The prefix that the URL names, without a slash at its end.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Tries out under the prefix what this server and this user can do, with objects of its own
    /// that it removes again, and keeps the result for [`Target::abilities`] and
    /// [`Target::admit`]. To be called before a run that writes. The findings are for `doctor`.
    ///
    /// # Errors
    /// Only if the server cannot be asked at all; whatever it cannot do is a finding.
    pub async fn probe(&self) -> Result<Vec<Finding>, StoreError> {
        let found = match probe::run(self, probe::Haste::SideBySide).await {
            Err(StoreError::Throttled { .. }) => probe::run(self, probe::Haste::OneByOne).await,
            found => found,
        };
        let (facts, findings) = found?;
        *self.facts.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(facts);
        Ok(findings)
    }

    pub(super) fn facts(&self) -> Arc<Facts> {
        Arc::clone(&self.facts.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What goes with an object.
    pub(super) fn options(&self, key: &[u8], stamp: &Stamp) -> ObjectOptions {
        ObjectOptions {
            write: self.write.clone(),
            metadata: stamp::encode(stamp),
            content_type: key.ends_with(b"/").then(|| MARKER_TYPE.to_owned()),
        }
    }

    async fn write_whole(
        &self,
        key: &[u8],
        content: Content,
        stamp: &Stamp,
        expected: &Expected,
    ) -> Result<Standing, StoreError> {
        let (crc, length) = (Crc32c(content.crc32c()), content.length());
        let body = Body::from(content.into_pieces());
        let options = self.options(key, stamp);
        let client = &self.client;
        let condition = condition(expected);
        let stored = client.put_object(key, body, Some(crc), &options, &condition).await;
        let stored = stored.map_err(|error| not_written(key, expected, &error))?;
        Ok(standing(&stored, length, Some(crc.0), stamp))
    }

    async fn write_part(
        &self,
        key: &[u8],
        upload: &str,
        number: u32,
        content: Content,
    ) -> Result<record::Part, StoreError> {
        let (crc, length) = (Crc32c(content.crc32c()), content.length());
        let body = Body::from(content.into_pieces());
        let part = self.client.upload_part(key, upload, number, body, crc).await;
        let what = || format!("part {number} of {}", name(key));
        // A part by itself shows nowhere, so it is no write in the sense of rule 4.1.
        let part = part.map_err(|error| told(&what(), Effect::Reads, &error))?;
        Ok(record::Part { number, length, crc32c: crc.0, etag: part.etag })
    }

    async fn put_together(
        &self,
        key: &[u8],
        upload: &str,
        parts: &[record::Part],
        crc32c: u32,
        expected: &Expected,
    ) -> Result<Standing, StoreError> {
        let facts = self.facts();
        let length = parts.iter().map(|part| part.length).sum();
        let part = |part: &record::Part| Part {
            number: part.number,
            etag: part.etag.clone(),
            crc32c: Some(Crc32c(part.crc32c)),
            bytes: Some(part.length),
        };
        let parts: Vec<Part> = parts.iter().map(part).collect();
        let whole = Whole {
            crc32c: facts.keeps_whole_checksum.then_some(Crc32c(crc32c)),
            bytes: facts.takes_whole_length.then_some(length),
        };
        let condition = condition(expected);
        let stored = self.client.complete_multipart(key, upload, &parts, &whole, &condition).await;
        let stored = stored.map_err(|error| not_written(key, expected, &error))?;
        Ok(Standing {
            length,
            etag: stored.etag,
            version: stored.version,
            crc32c: Some(crc32c),
            // What the upload was opened with: only an `inspect` would tell.
            attempt: None,
            migration: None,
            metadata: None,
        })
    }

    async fn remove_batch(&self, keys: &[Vec<u8>]) -> Vec<Result<(), StoreError>> {
        let deletion = |key: &Vec<u8>| Deletion { key: key.clone(), version: None };
        let deletions: Vec<Deletion> = keys.iter().map(deletion).collect();
        match self.client.delete_objects(&deletions).await {
            Ok(answers) => keys
                .iter()
                .zip(answers)
                .map(|(key, answer)| answer.map_err(|failure| not_removed(key, &failure)))
                .collect(),
            Err(error) => {
                let what = format!("removing {} objects", keys.len());
                let error = told(&what, Effect::Writes, &error);
                keys.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }

    async fn remove_one(&self, key: &[u8]) -> Result<(), StoreError> {
        match self.client.delete_object(key, None, &Condition::Always).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            Err(error) => Err(told(&name(key), Effect::Writes, &error)),
        }
    }

    /// In order: batches of what a batch can carry, single requests for the rest.
    pub(super) async fn remove_all(&self, keys: &[Vec<u8>]) -> Vec<Result<(), StoreError>> {
        let in_batch = |key: &Vec<u8>| std::str::from_utf8(key).is_ok_and(fits_xml);
        let mut outcomes = Vec::with_capacity(keys.len());
        for run in keys.chunk_by(|one, next| in_batch(one) == in_batch(next)) {
            if run.first().is_some_and(in_batch) {
                for batch in run.chunks(DELETE_KEYS_MAX) {
                    outcomes.extend(self.remove_batch(batch).await);
                }
            } else {
                for key in run {
                    outcomes.push(self.remove_one(key).await);
                }
            }
        }
        outcomes
    }

    pub(super) async fn look(&self, key: &[u8]) -> Result<Option<Object>, StoreError> {
        match self.client.head_object(key, None).await {
            Ok(head) => Ok(Some(object(key, head))),
            Err(error) if error.kind() == Kind::NotFound => {
                let altered = listing::altered(&self.client, key).await?;
                Ok(altered.into_iter().next().map(without_key))
            }
            Err(error) => Err(told(&name(key), Effect::Reads, &error)),
        }
    }

    /// True of what probes write, this one's and others': it is nobody's object.
    pub(super) fn is_of_a_probe(&self, key: &[u8]) -> bool {
        let begin = probe::place(&self.prefix);
        // Under an empty prefix one of the names that are tried out begins with a slash.
        let key = if self.prefix.is_empty() { key.strip_prefix(b"/").unwrap_or(key) } else { key };
        key.strip_prefix(begin.as_bytes()).is_some_and(|rest| rest.contains(&b'/'))
    }

    /// What has no known key stands first: where it belongs in the order is not known either.
    async fn listed(&self, prefix: &[u8], after: Option<&[u8]>) -> Result<ObjectPage, StoreError> {
        let hidden = |key: &[u8]| self.is_of_a_probe(key);
        let page = listing::page(&self.client, prefix, after, hidden).await?;
        let exact = page.exact.into_iter().map(|listed| Object {
            key: listed.key.bytes,
            length: listed.bytes,
            etag: listed.etag,
            ..Object::default()
        });
        let objects = page.altered.into_iter().map(without_key).chain(exact).collect();
        Ok(ObjectPage { objects, more: page.more })
    }

    /// What is listed under a key that is not its own cannot be named in a request.
    async fn removed(&self, keys: &[Vec<u8>]) -> Vec<Result<(), StoreError>> {
        let mut outcomes = self.remove_all(keys).await;
        for (key, outcome) in keys.iter().zip(&mut outcomes) {
            let altered = listing::altered(&self.client, key).await;
            if outcome.is_ok() && altered.is_ok_and(|altered| !altered.is_empty()) {
                *outcome = Err(StoreError::Refused {
                    message: format!("{}: {} stays", name(key), listing::ALTERED),
                    remedy: "Remove it by its real key, which only its writer knows.".to_owned(),
                });
            }
        }
        outcomes
    }
}

/// What stands where a key is listed that is not its own.
fn without_key(listed: ListedObject) -> Object {
    Object {
        key: listed.key.bytes,
        length: listed.bytes,
        etag: listed.etag,
        altered: true,
        ..Object::default()
    }
}

/// The bytes of an object, or of what a request names of it.
pub(super) fn bytes(
    client: &Client,
    key: Vec<u8>,
    request: GetRequest,
    failed: fn(&[u8], whimbrel_s3::Error) -> StoreError,
) -> ByteStream {
    let client = client.clone();
    let opened = async move {
        let reader = client.get_object(&key, &request).await.map_err(|e| failed(&key, e))?;
        Ok::<_, StoreError>(stream::try_unfold(
            (reader, key),
            move |(mut reader, key)| async move {
                let piece = reader.next().await.map_err(|error| failed(&key, error))?;
                Ok(piece.map(|piece| (piece, (reader, key))))
            },
        ))
    };
    Box::pin(futures_util::TryStreamExt::try_flatten(stream::once(opened)))
}

fn object(key: &[u8], head: ObjectHead) -> Object {
    let stamped = stamp::decode(&head.metadata);
    Object {
        key: key.to_vec(),
        length: head.content_bytes,
        etag: head.etag,
        version: head.version,
        crc32c: head.checksums.full_crc32c().map(|crc| crc.0),
        attempt: stamped.attempt,
        migration: stamped.migration,
        metadata: stamped.metadata,
        user_metadata: head.metadata,
        altered: false,
    }
}

pub(super) fn standing(
    stored: &Stored,
    length: u64,
    crc32c: Option<u32>,
    stamp: &Stamp,
) -> Standing {
    Standing {
        length,
        etag: stored.etag.clone(),
        version: stored.version.clone(),
        crc32c,
        attempt: Some(AttemptNumber(stamp.attempt)),
        migration: Some(stamp.migration.clone()),
        metadata: None,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn condition(expected: &Expected) -> Condition {
    match expected {
        Expected::Anything => Condition::Always,
        Expected::Nothing => Condition::Absent,
        Expected::Object(etag) => Condition::Matches(etag.clone()),
    }
}

/// A refused condition is told from other conflicts; S3 says of an object that is gone that there
/// is no such key.
fn not_written(key: &[u8], expected: &Expected, error: &Error) -> StoreError {
    let refused = matches!(error, Error::Refused { status: 412, .. })
        || error.code() == Some("PreconditionFailed");
    let gone = matches!(expected, Expected::Object(_)) && error.code() == Some("NoSuchKey");
    if *expected != Expected::Anything && (refused || gone) {
        return StoreError::Unexpected { message: format!("{}: {error}", name(key)) };
    }
    told(&name(key), Effect::Writes, error)
}

/// A key in messages.
pub(super) fn name(key: &[u8]) -> String {
    String::from_utf8_lossy(key)
        .chars()
        .flat_map(|c| {
            let escaped = if c.is_control() { Some(c.escape_default()) } else { None };
            let plain = escaped.is_none().then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

impl Target for S3Target {
    fn describe(&self) -> String {
        format!("{} at {}", self.url, self.client.endpoint())
    }

    fn abilities(&self) -> Abilities {
        let facts = self.facts();
        let lifetime = self.client.request_lifetime();
        Abilities {
            put_bytes_max: PUT_BYTES_MAX,
            part_bytes_min: PART_BYTES_MIN,
            part_bytes_max: PART_BYTES_MAX,
            parts_max: PARTS_MAX,
            copy_bytes_max: match (facts.copies, facts.part_copies) {
                (false, _) => 0,
                (true, false) => PART_BYTES_MAX,
                (true, true) => PART_BYTES_MAX * u64::from(PARTS_MAX),
            },
            checksums_kept: true,
            conditions: Conditions {
                writes: facts.conditional_writes,
                uploads: facts.conditional_uploads,
                copies: false,
                removals: false,
            },
            metadata_by_copy: facts.self_copies,
            markers: true,
            request_lifetime: RequestLifetime {
                fixed_millis: millis(lifetime.fixed),
                bytes_per_second_min: lifetime.bytes_per_second_min,
                bytes_millis_max: millis(lifetime.bytes_max),
            },
        }
    }

    fn admit(&self, key: &[u8]) -> Result<(), StoreError> {
        if self.is_of_a_probe(key) {
            let below = key.strip_prefix(self.prefix.as_bytes()).unwrap_or(key);
            let below = below.strip_prefix(b"/").unwrap_or(below);
            return Err(StoreError::Refused {
                message: format!("{}: such names are those of probes", name(below)),
                remedy: "Rename it at the source, or map it elsewhere (--map).".to_owned(),
            });
        }
        self.facts().names.admit(key)
    }

    fn put<'a>(
        &'a self,
        key: &'a [u8],
        content: Content,
        stamp: &'a Stamp,
        expected: &'a Expected,
    ) -> Answer<'a, Standing> {
        Box::pin(self.write_whole(key, content, stamp, expected))
    }

    fn open_upload<'a>(&'a self, key: &'a [u8], stamp: &'a Stamp) -> Answer<'a, String> {
        Box::pin(async move {
            let upload = self.client.create_multipart(key, &self.options(key, stamp)).await;
            // An upload without a name changes nothing that anybody sees.
            upload.map_err(|error| told(&name(key), Effect::Reads, &error))
        })
    }

    fn put_part<'a>(
        &'a self,
        key: &'a [u8],
        upload: &'a str,
        number: u32,
        content: Content,
    ) -> Answer<'a, record::Part> {
        Box::pin(self.write_part(key, upload, number, content))
    }

    fn complete_upload<'a>(
        &'a self,
        key: &'a [u8],
        upload: &'a str,
        parts: &'a [record::Part],
        crc32c: u32,
        expected: &'a Expected,
    ) -> Answer<'a, Standing> {
        Box::pin(self.put_together(key, upload, parts, crc32c, expected))
    }

    fn abort_upload<'a>(&'a self, key: &'a [u8], upload: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            match self.client.abort_multipart(key, upload).await {
                Ok(()) => Ok(()),
                Err(error) if error.kind() == Kind::NotFound => Ok(()),
                Err(error) => Err(told(&name(key), Effect::Reads, &error)),
            }
        })
    }

    fn copy<'a>(
        &'a self,
        from: &'a CopySource,
        key: &'a [u8],
        stamp: &'a Stamp,
        _: &'a Expected,
    ) -> Answer<'a, Standing> {
        Box::pin(super::copy::run(self, from, key, stamp))
    }

    fn remove<'a>(
        &'a self,
        items: &'a [(Vec<u8>, Expected)],
    ) -> Answer<'a, Vec<Result<(), StoreError>>> {
        let keys: Vec<Vec<u8>> = items.iter().map(|(key, _)| key.clone()).collect();
        Box::pin(async move { Ok(self.removed(&keys).await) })
    }

    fn inspect<'a>(&'a self, key: &'a [u8]) -> Answer<'a, Option<Object>> {
        Box::pin(self.look(key))
    }

    fn list<'a>(&'a self, prefix: &'a [u8], after: Option<&'a [u8]>) -> Answer<'a, ObjectPage> {
        Box::pin(self.listed(prefix, after))
    }

    fn bytes_sent(&self) -> Option<u64> {
        Some(self.client.connection_counts().body_bytes)
    }

    fn read(&self, key: &[u8]) -> ByteStream {
        let failed = |key: &[u8], error| told(&name(key), Effect::Reads, &error);
        bytes(&self.client, key.to_vec(), GetRequest::default(), failed)
    }
}
