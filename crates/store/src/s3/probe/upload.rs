//! Uploads in parts.

use bytes::Bytes;
use whimbrel_core::failure::FailureKind;
use whimbrel_s3::{Condition, Crc32c, Error, PART_BYTES_MIN, Part, Whole};

use super::{CONTENT, Probe, is_silence, problem, stamp};
use crate::error::StoreError;
use crate::s3::failure::{Effect, told};
use crate::target::Object;

impl Probe<'_> {
    /// Uploads two parts and returns the object.
    pub(super) async fn multipart(&mut self) -> Result<Option<Object>, StoreError> {
        let key = self.key("multipart");
        let content = large_content();
        let crc = Crc32c::of(&content);
        let uploaded = self.upload(&key, &content, crc).await;
        let failed = |error: &Error| told(&key, Effect::Reads, error);
        let found = match uploaded {
            Ok(()) => self.target.look(key.as_bytes()).await?,
            Err(error) if is_silence(&error) => return Err(failed(&error)),
            Err(error) => {
                let remedy = "Objects above 16 MiB cannot be written to this server.";
                let message = error.to_string();
                self.note("uploads in parts", problem(FailureKind::Unsupported, message, remedy));
                return Ok(None);
            }
        };
        self.note("uploads in parts", None);
        let kept = found.as_ref().and_then(|object| object.crc32c);
        let checksum = (kept != Some(crc.0)).then(|| {
            let text = kept.map_or("none".to_owned(), |kept| format!("{kept:08x}"));
            let kind = FailureKind::Unsupported;
            let message = format!("the CRC32C of the whole is {text} instead of {crc}");
            let remedy = "Verification has to read large objects on this server.";
            (kind, message, remedy.to_owned())
        });
        self.note("checksum of the whole after an upload in parts", checksum);
        Ok(found.filter(|object| object.crc32c == Some(crc.0)))
    }

    async fn upload(&mut self, key: &str, content: &Bytes, crc: Crc32c) -> Result<(), Error> {
        let key_bytes = key.as_bytes();
        let client = &self.target.client;
        let options = self.target.options(key_bytes, &stamp(1));
        let upload = client.create_multipart(key_bytes, &options).await?;
        let cut = usize::try_from(PART_BYTES_MIN).unwrap_or(usize::MAX).min(content.len());
        let mut parts = Vec::new();
        for (number, piece) in [(1, content.slice(..cut)), (2, content.slice(cut..))] {
            if piece.is_empty() {
                continue;
            }
            let crc = Crc32c::of(&piece);
            let part = client.upload_part(key_bytes, &upload, number, piece.into(), crc).await;
            match part {
                Ok(part) => parts.push(part),
                Err(error) => {
                    self.abort(key, &upload).await;
                    return Err(error);
                }
            }
        }
        self.complete(key, &upload, &parts, crc, content.len() as u64).await
    }

    /// First with everything that S3 knows, then without what this server may not.
    async fn complete(
        &mut self,
        key: &str,
        upload: &str,
        parts: &[Part],
        crc: Crc32c,
        length: u64,
    ) -> Result<(), Error> {
        let client = &self.target.client;
        let mut last = None;
        for (checksum, bytes) in [(true, true), (true, false), (false, false)] {
            let whole = Whole { crc32c: checksum.then_some(crc), bytes: bytes.then_some(length) };
            let always = &Condition::Always;
            match client.complete_multipart(key.as_bytes(), upload, parts, &whole, always).await {
                Ok(stored) => {
                    self.facts.keeps_whole_checksum = checksum;
                    self.facts.takes_whole_length = bytes;
                    self.remember(key, stored.version);
                    return Ok(());
                }
                Err(error) => last = Some(error),
            }
        }
        self.remember(key, None);
        self.abort(key, upload).await;
        last.map_or(Ok(()), Err)
    }

    pub(super) async fn abort(&self, key: &str, upload: &str) {
        // What is left then is an upload without an object; lifecycle rules sweep those.
        let _ = self.target.client.abort_multipart(key.as_bytes(), upload).await;
    }

    pub(super) async fn wrong_whole_checksum(&mut self) -> Result<(), StoreError> {
        let key = self.key("wrong-whole");
        let tried = self.complete_wrongly(&key).await;
        let found = self.refusal(tried, "a wrong CRC32C of a whole upload")?;
        self.note("wrong parts are refused", found);
        Ok(())
    }

    async fn complete_wrongly(&mut self, key: &str) -> Result<(), Error> {
        let client = &self.target.client;
        let options = self.target.options(key.as_bytes(), &stamp(1));
        let upload = client.create_multipart(key.as_bytes(), &options).await?;
        let piece = Bytes::from(CONTENT);
        let crc = Crc32c::of(&piece);
        let part = client.upload_part(key.as_bytes(), &upload, 1, piece.into(), crc).await?;
        let whole = Whole { crc32c: Some(Crc32c(!crc.0)), bytes: None };
        let always = &Condition::Always;
        let done =
            client.complete_multipart(key.as_bytes(), &upload, &[part], &whole, always).await;
        self.remember(key, done.as_ref().ok().and_then(|stored| stored.version.clone()));
        if done.is_err() {
            self.abort(key, &upload).await;
        }
        done.map(drop)
    }
}

/// Two parts' worth of bytes that do not repeat with any length that a server may cut at.
pub(super) fn large_content() -> Bytes {
    let length = PART_BYTES_MIN as usize + 1024;
    (0..length as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}
