//! Copies within the target.

use std::ops::Range;

use tokio::join;
use whimbrel_core::failure::FailureKind;
use whimbrel_s3::{Condition, CopyMetadata, CopyRequest, Crc32c, Error, PART_BYTES_MIN, Whole};

use super::upload::large_content;
use super::{CONTENT, Probe, Problem, finding, is_silence, problem, stamp};
use crate::error::StoreError;
use crate::s3::failure::{Effect, told};
use crate::target::{Finding, Object};

/// What a small object and its copies showed.
pub(super) struct Copies {
    pub of_plain: Vec<Finding>,
    pub of_copies: Vec<Finding>,
    /// See `Facts`.
    pub copies: bool,
    pub self_copies: bool,
}

/// The name of what is put together from ranges.
pub(super) const RANGES: &str = "ranges";
const REMEDY: &str = "Renamed and changed files are read from the source again.";

impl Probe<'_> {
    async fn copy(
        &self,
        from: &Object,
        key: &str,
        etag: Option<String>,
        attempt: u64,
    ) -> Result<(), Error> {
        let source = CopyRequest {
            source_bucket: None,
            source_key: from.key.clone(),
            source_version: None,
            source_if_match: etag,
        };
        let options = self.target.options(key.as_bytes(), &stamp(attempt));
        let client = &self.target.client;
        let copied =
            client.copy_object(key.as_bytes(), &source, CopyMetadata::Replace, &options).await;
        self.remember(key, copied.as_ref().ok().and_then(|stored| stored.version.clone()));
        copied.map(drop)
    }

    /// What a copy arrived as, or why it did not.
    async fn copied(
        &self,
        from: &Object,
        key: &str,
        attempt: u64,
    ) -> Result<Result<Object, Error>, StoreError> {
        match self.copy(from, key, from.etag.clone(), attempt).await {
            Ok(()) => Ok(Ok(self.target.look(key.as_bytes()).await?.unwrap_or_default())),
            Err(error) if is_silence(&error) => Err(told(key, Effect::Reads, &error)),
            Err(error) => Ok(Err(error)),
        }
    }

    /// The same of an object that is copied onto itself.
    async fn renewed(&self) -> Result<Result<Object, Error>, StoreError> {
        let key = self.key("self");
        let stored = self.put_usual(&key, &Condition::Always).await;
        let stored = stored.map_err(|error| told(&key, Effect::Reads, &error))?;
        let key_bytes = key.clone().into_bytes();
        let object = Object { key: key_bytes, etag: stored.etag, ..Object::default() };
        self.copied(&object, &key, 3).await
    }

    /// A problem if a copy does not mind what it is to copy.
    async fn copy_of_another(&self, plain: &Object) -> Result<Option<Problem>, StoreError> {
        let other = Some("\"00000000000000000000000000000000\"".to_owned());
        let key = self.key("other");
        match self.copy(plain, &key, other, 2).await {
            Ok(()) => Ok(problem(
                FailureKind::Unsupported,
                "a copy takes whatever stands at the key, though it names another object",
                "Renamed files are read from the source again.",
            )),
            Err(error) if is_silence(&error) => Err(told(&key, Effect::Reads, &error)),
            Err(_) => Ok(None),
        }
    }

    /// The plain object as the server describes it, and what copies of it arrive as.
    pub(super) async fn copies(&self, plain: &Object) -> Result<Copies, StoreError> {
        let key = self.key("copied");
        let (plain, copied, another, renewed) = join!(
            self.target.look(&plain.key),
            self.copied(plain, &key, 2),
            self.copy_of_another(plain),
            self.renewed(),
        );
        let plain = plain?.unwrap_or_default();
        let whole = is_changed(&copied?, &plain, 2);
        let another = another?;
        let copies = whole.is_none() && another.is_none();
        let onto_itself = match is_changed(&renewed?, &plain, 3) {
            _ if !copies => problem(
                FailureKind::Unsupported,
                "copies do not work",
                "Objects whose metadata changed are written anew.",
            ),
            found => found,
        };
        Ok(Copies {
            of_plain: described(&plain),
            copies,
            self_copies: onto_itself.is_none(),
            of_copies: vec![
                finding("copies within the target", whole),
                finding("copies of one certain object", another),
                finding("new metadata by a copy", onto_itself),
            ],
        })
    }

    /// A problem if ranges of a large object do not arrive as they should.
    pub(super) async fn part_copies(
        &self,
        upload: Result<String, Error>,
        large: &Object,
        with_length: bool,
    ) -> Result<Option<Problem>, StoreError> {
        let key = self.key(RANGES);
        let outcome = match upload {
            Ok(upload) => self.copy_ranges(large, &key, &upload, with_length).await,
            Err(error) => Err(error),
        };
        let remedy = "Renamed files above 5 GiB are read from the source again.";
        match outcome {
            Ok(None) => Ok(None),
            Ok(Some(message)) => Ok(problem(FailureKind::Unsupported, message, remedy)),
            Err(error) if is_silence(&error) => Err(told(&key, Effect::Reads, &error)),
            Err(error) => Ok(problem(FailureKind::Unsupported, error.to_string(), remedy)),
        }
    }

    async fn copy_ranges(
        &self,
        large: &Object,
        key: &str,
        upload: &str,
        with_length: bool,
    ) -> Result<Option<String>, Error> {
        let client = &self.target.client;
        let source = CopyRequest {
            source_bucket: None,
            source_key: large.key.clone(),
            source_version: None,
            source_if_match: large.etag.clone(),
        };
        let content = large_content();
        let cut = usize::try_from(PART_BYTES_MIN).unwrap_or(usize::MAX).min(content.len());
        let copy = |number, range: Range<usize>| {
            let bytes = Some(range.start as u64..range.end as u64);
            client.upload_part_copy(key.as_bytes(), upload, number, &source, bytes)
        };
        let (first, second) = join!(copy(1, 0..cut), copy(2, cut..content.len()));
        let parts = match first.and_then(|first| Ok([first, second?])) {
            Ok(parts) => parts,
            Err(error) => {
                self.abort(key, upload).await;
                return Err(error);
            }
        };
        for (part, range) in parts.iter().zip([0..cut, cut..content.len()]) {
            let expected = Crc32c::of(&content[range]);
            if part.crc32c != Some(expected) {
                self.abort(key, upload).await;
                let found = part.crc32c.map_or("none".to_owned(), |crc| crc.to_string());
                return Ok(Some(format!("a range has the CRC32C {found} instead of {expected}")));
            }
        }
        let crc = Crc32c::of(&content);
        let whole = Whole { crc32c: Some(crc), bytes: with_length.then_some(content.len() as u64) };
        self.put_together(key, upload, &parts, &whole, &Condition::Always).await?;
        let found = client.head_object(key.as_bytes(), None).await?;
        let right = found.checksums.full_crc32c() == Some(crc);
        Ok((!right).then(|| "the whole has another checksum".to_owned()))
    }
}

/// A problem if a copy did not arrive with the same bytes and the new metadata.
fn is_changed(copied: &Result<Object, Error>, from: &Object, attempt: u64) -> Option<Problem> {
    let found = match copied {
        Ok(found) => found,
        Err(error) => return problem(FailureKind::Unsupported, error.to_string(), REMEDY),
    };
    let whole = found.length == from.length && found.crc32c == from.crc32c;
    if whole && found.attempt == Some(attempt) && found.metadata == stamp(attempt).metadata {
        return None;
    }
    let what = if whole { "without the new metadata" } else { "with another checksum" };
    problem(FailureKind::Unsupported, format!("copies arrive {what}"), REMEDY)
}

/// What an object of the usual content is said to be.
fn described(found: &Object) -> Vec<Finding> {
    let metadata = if found.attempt == Some(1) && found.metadata == stamp(1).metadata {
        None
    } else {
        problem(
            FailureKind::Unsupported,
            format!("user metadata came back as {:?}", found.user_metadata),
            "Use a server that keeps user metadata: without it objects are not known again.",
        )
    };
    let crc = Crc32c::of(CONTENT.as_bytes());
    let checksum = match found.crc32c {
        Some(found) if found == crc.0 => None,
        Some(found) => problem(
            FailureKind::Corrupt,
            format!("CRC32C {found:08x} instead of {crc}"),
            "Do not use this server: what it says of its objects is wrong.",
        ),
        None => problem(
            FailureKind::Unsupported,
            "the server keeps no CRC32C of the whole object",
            "Verification has to read objects on this server (`whimbrel verify --read`).",
        ),
    };
    vec![
        finding("writing with the options of this run", None),
        finding("user metadata", metadata),
        finding("stored checksum", checksum),
    ]
}
