//! Uploads in parts.

use bytes::Bytes;
use tokio::join;
use whimbrel_core::failure::FailureKind;
use whimbrel_s3::{Condition, Crc32c, Error, PART_BYTES_MIN, Part, Stored, Whole};

use super::copying::RANGES;
use super::{CONTENT, Probe, Problem, finding, is_silence, problem, stamp};
use crate::error::StoreError;
use crate::s3::failure::{Effect, told};
use crate::s3::target::Facts;
use crate::target::{Finding, Object};

/// What uploads in parts showed.
pub(super) struct Uploads {
    pub findings: Vec<Finding>,
    /// See `Facts`.
    pub takes_whole_length: bool,
    pub keeps_whole_checksum: bool,
    /// What is wrong with conditions on their completion.
    pub conditions: Option<Problem>,
    /// What is wrong with copies of ranges; `None` where there is nothing to copy.
    pub ranges: Option<Option<Problem>>,
}

/// An upload with its only part.
pub(super) struct Begun {
    pub upload: String,
    pub part: Part,
    pub crc: Crc32c,
}

/// An upload of two parts that was completed, and how.
struct Completed {
    etag: Option<String>,
    with_checksum: bool,
    with_length: bool,
}

impl Probe<'_> {
    /// Everything about uploads, step by step side by side.
    pub(super) async fn uploads(&self) -> Result<Uploads, StoreError> {
        let key = self.key("multipart");
        let content = large_content();
        let (whole, ready, ranges) =
            join!(self.upload(&key, &content), self.begin_conditional(), self.open(RANGES),);
        let failed = |error: &Error| told(&key, Effect::Reads, error);
        let with_checksum = whole.as_ref().map_or(true, |whole| whole.with_checksum);
        let conditions = self.complete_conditional(ready, with_checksum);
        let whole = match whole {
            Ok(whole) => whole,
            Err(error) => {
                let conditions = conditions.await;
                self.give_up(ranges).await;
                if is_silence(&error) {
                    return Err(failed(&error));
                }
                return Ok(Uploads::none(&error, conditions?));
            }
        };
        let Completed { etag, with_checksum, with_length } = whole;
        let source = Object { key: key.clone().into_bytes(), etag, ..Object::default() };
        let ranges = Box::pin(self.part_copies(ranges, &source, with_length));
        let (found, conditions, ranges) =
            join!(self.target.look(key.as_bytes()), conditions, ranges);
        let crc = Crc32c::of(&content);
        let kept = found?.and_then(|object| object.crc32c);
        let is_kept = kept == Some(crc.0);
        let checksum = (!is_kept).then(|| {
            let text = kept.map_or("none".to_owned(), |kept| format!("{kept:08x}"));
            let kind = FailureKind::Unsupported;
            let message = format!("the CRC32C of the whole is {text} instead of {crc}");
            let remedy = "Verification has to read large objects on this server.";
            (kind, message, remedy.to_owned())
        });
        let ranges = ranges?;
        Ok(Uploads {
            findings: vec![
                finding("uploads in parts", None),
                finding("checksum of the whole after an upload in parts", checksum),
            ],
            takes_whole_length: with_length,
            keeps_whole_checksum: with_checksum,
            conditions: conditions?,
            ranges: is_kept.then_some(ranges),
        })
    }

    /// Opens an upload for a key of this name.
    async fn open(&self, name: &str) -> Result<String, Error> {
        let key = self.key(name);
        let options = self.target.options(key.as_bytes(), &stamp(1));
        self.target.client.create_multipart(key.as_bytes(), &options).await
    }

    async fn give_up(&self, ranges: Result<String, Error>) {
        if let Ok(upload) = ranges {
            self.abort(&self.key(RANGES), &upload).await;
        }
    }

    /// Uploads two parts and makes an object of them.
    async fn upload(&self, key: &str, content: &Bytes) -> Result<Completed, Error> {
        let key_bytes = key.as_bytes();
        let client = &self.target.client;
        let options = self.target.options(key_bytes, &stamp(1));
        let upload = client.create_multipart(key_bytes, &options).await?;
        let cut = usize::try_from(PART_BYTES_MIN).unwrap_or(usize::MAX).min(content.len());
        let send = |number, piece: Bytes| {
            let crc = Crc32c::of(&piece);
            client.upload_part(key_bytes, &upload, number, piece.into(), crc)
        };
        let (first, second) = join!(send(1, content.slice(..cut)), send(2, content.slice(cut..)));
        match first.and_then(|first| Ok([first, second?])) {
            Ok(parts) => self.complete(key, &upload, &parts, content).await,
            Err(error) => {
                self.abort(key, &upload).await;
                Err(error)
            }
        }
    }

    /// First with everything that S3 knows, then without what this server may not.
    async fn complete(
        &self,
        key: &str,
        upload: &str,
        parts: &[Part],
        content: &Bytes,
    ) -> Result<Completed, Error> {
        let client = &self.target.client;
        let (crc, length) = (Crc32c::of(content), content.len() as u64);
        let mut less = [(true, false), (false, false)].into_iter();
        let (mut with_checksum, mut with_length) = (true, true);
        loop {
            let crc32c = with_checksum.then_some(crc);
            let whole = Whole { crc32c, bytes: with_length.then_some(length) };
            let always = &Condition::Always;
            match client.complete_multipart(key.as_bytes(), upload, parts, &whole, always).await {
                Ok(Stored { etag, version, .. }) => {
                    self.remember(key, version);
                    return Ok(Completed { etag, with_checksum, with_length });
                }
                Err(error) => match less.next() {
                    Some(next) => (with_checksum, with_length) = next,
                    None => {
                        self.remember(key, None);
                        self.abort(key, upload).await;
                        return Err(error);
                    }
                },
            }
        }
    }

    pub(super) async fn abort(&self, key: &str, upload: &str) {
        // What is left then is an upload without an object; lifecycle rules sweep those.
        let _ = self.target.client.abort_multipart(key.as_bytes(), upload).await;
    }

    /// An upload with one small part.
    pub(super) async fn begin(&self, key: &str) -> Result<Begun, Error> {
        let client = &self.target.client;
        let options = self.target.options(key.as_bytes(), &stamp(1));
        let upload = client.create_multipart(key.as_bytes(), &options).await?;
        let piece = Bytes::from(CONTENT);
        let crc = Crc32c::of(&piece);
        match client.upload_part(key.as_bytes(), &upload, 1, piece.into(), crc).await {
            Ok(part) => Ok(Begun { upload, part, crc }),
            Err(error) => {
                self.abort(key, &upload).await;
                Err(error)
            }
        }
    }

    /// Makes an object of parts, or gives the upload up.
    pub(super) async fn put_together(
        &self,
        key: &str,
        upload: &str,
        parts: &[Part],
        whole: &Whole,
        condition: &Condition,
    ) -> Result<Stored, Error> {
        let client = &self.target.client;
        let done = client.complete_multipart(key.as_bytes(), upload, parts, whole, condition).await;
        self.remember(key, done.as_ref().ok().and_then(|stored| stored.version.clone()));
        if done.is_err() {
            self.abort(key, upload).await;
        }
        done
    }

    /// A problem if a whole is taken whose checksum is not the one that was told.
    pub(super) async fn wrong_whole_checksum(&self) -> Result<Option<Problem>, StoreError> {
        let key = self.key("wrong-whole");
        let tried = async {
            let Begun { upload, part, crc } = self.begin(&key).await?;
            let whole = Whole { crc32c: Some(Crc32c(!crc.0)), bytes: None };
            let always = &Condition::Always;
            self.put_together(&key, &upload, &[part], &whole, always).await.map(drop)
        };
        self.refusal(tried.await, "a wrong CRC32C of a whole upload")
    }
}

impl Uploads {
    /// Of a server that has none.
    fn none(error: &Error, conditions: Option<Problem>) -> Self {
        let remedy = "Objects above 16 MiB cannot be written to this server.";
        let found = problem(FailureKind::Unsupported, error.to_string(), remedy);
        let usual = Facts::default();
        Self {
            findings: vec![finding("uploads in parts", found)],
            takes_whole_length: usual.takes_whole_length,
            keeps_whole_checksum: usual.keeps_whole_checksum,
            conditions,
            ranges: None,
        }
    }
}

/// Two parts' worth of bytes that do not repeat with any length that a server may cut at.
pub(super) fn large_content() -> Bytes {
    let length = PART_BYTES_MIN as usize + 1024;
    (0..length as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}
