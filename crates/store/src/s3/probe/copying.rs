//! Copies within the target.

use whimbrel_core::failure::FailureKind;
use whimbrel_s3::{Condition, CopyMetadata, CopyRequest, Crc32c, Error, PART_BYTES_MIN, Whole};

use super::upload::large_content;
use super::{Probe, Problem, is_silence, problem, stamp};
use crate::error::StoreError;
use crate::s3::failure::{Effect, told};
use crate::target::Object;

impl Probe<'_> {
    async fn copy(
        &mut self,
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

    /// A problem if a copy did not arrive with the same bytes and the new metadata.
    async fn copied(
        &mut self,
        from: &Object,
        key: &str,
        attempt: u64,
    ) -> Result<Option<Problem>, StoreError> {
        let remedy = "Renamed and changed files are read from the source again.";
        if let Err(error) = self.copy(from, key, from.etag.clone(), attempt).await {
            if is_silence(&error) {
                return Err(told(key, Effect::Reads, &error));
            }
            return Ok(problem(FailureKind::Unsupported, error.to_string(), remedy));
        }
        let found = self.target.look(key.as_bytes()).await?.unwrap_or_default();
        let whole = found.length == from.length && found.crc32c == from.crc32c;
        if whole && found.attempt == Some(attempt) && found.metadata == stamp(attempt).metadata {
            return Ok(None);
        }
        let what = if whole { "without the new metadata" } else { "with another checksum" };
        let message = format!("copies arrive {what}");
        Ok(problem(FailureKind::Unsupported, message, remedy))
    }

    pub(super) async fn copies(&mut self, plain: &Object) -> Result<(), StoreError> {
        let key = self.key("copied");
        let whole = self.copied(plain, &key, 2).await?;
        let mut works = whole.is_none();
        self.note("copies within the target", whole);
        let other = Some("\"00000000000000000000000000000000\"".to_owned());
        let minded = match self.copy(plain, &self.key("other"), other, 2).await {
            Ok(()) => problem(
                FailureKind::Unsupported,
                "a copy takes whatever stands at the key, though it names another object",
                "Renamed files are read from the source again.",
            ),
            Err(_) => None,
        };
        works &= minded.is_none();
        self.note("copies of one certain object", minded);
        self.facts.copies = works;
        let onto_itself = match self.target.look(key.as_bytes()).await? {
            Some(copy) if works => self.copied(&copy, &key, 3).await?,
            Some(_) | None => problem(
                FailureKind::Unsupported,
                "copies do not work",
                "Objects whose metadata changed are written anew.",
            ),
        };
        self.facts.self_copies = onto_itself.is_none();
        self.note("new metadata by a copy", onto_itself);
        Ok(())
    }

    pub(super) async fn part_copies(&mut self, large: &Object) -> Result<(), StoreError> {
        let key = self.key("ranges");
        let outcome = self.copy_ranges(large, &key).await;
        let remedy = "Renamed files above 5 GiB are read from the source again.";
        let found = match outcome {
            Ok(None) => None,
            Ok(Some(message)) => problem(FailureKind::Unsupported, message, remedy),
            Err(error) if is_silence(&error) => return Err(told(&key, Effect::Reads, &error)),
            Err(error) => problem(FailureKind::Unsupported, error.to_string(), remedy),
        };
        self.facts.part_copies = self.facts.copies && found.is_none();
        self.note("copies of ranges", found);
        Ok(())
    }

    async fn copy_ranges(&mut self, large: &Object, key: &str) -> Result<Option<String>, Error> {
        let client = &self.target.client;
        let options = self.target.options(key.as_bytes(), &stamp(1));
        let upload = client.create_multipart(key.as_bytes(), &options).await?;
        let source = CopyRequest {
            source_bucket: None,
            source_key: large.key.clone(),
            source_version: None,
            source_if_match: large.etag.clone(),
        };
        let content = large_content();
        let cut = usize::try_from(PART_BYTES_MIN).unwrap_or(usize::MAX).min(content.len());
        let mut parts = Vec::new();
        for (number, range) in [(1, 0..cut), (2, cut..content.len())] {
            let bytes = Some(range.start as u64..range.end as u64);
            let part =
                client.upload_part_copy(key.as_bytes(), &upload, number, &source, bytes).await;
            let expected = Crc32c::of(&content[range]);
            match part {
                Ok(part) if part.crc32c == Some(expected) => parts.push(part),
                Ok(part) => {
                    self.abort(key, &upload).await;
                    let found = part.crc32c.map_or("none".to_owned(), |crc| crc.to_string());
                    return Ok(Some(format!(
                        "a range has the CRC32C {found} instead of {expected}"
                    )));
                }
                Err(error) => {
                    self.abort(key, &upload).await;
                    return Err(error);
                }
            }
        }
        let crc = Crc32c::of(&content);
        let bytes = self.facts.takes_whole_length.then_some(content.len() as u64);
        let whole = Whole { crc32c: Some(crc), bytes };
        let always = &Condition::Always;
        let done = client.complete_multipart(key.as_bytes(), &upload, &parts, &whole, always).await;
        self.remember(key, done.as_ref().ok().and_then(|stored| stored.version.clone()));
        if let Err(error) = done {
            self.abort(key, &upload).await;
            return Err(error);
        }
        let found = client.head_object(key.as_bytes(), None).await?;
        let right = found.checksums.full_crc32c() == Some(crc);
        Ok((!right).then(|| "the whole has another checksum".to_owned()))
    }
}
