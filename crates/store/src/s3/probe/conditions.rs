//! Whether writes under a condition mind it (rule 4.4).

use bytes::Bytes;
use whimbrel_core::failure::FailureKind;
use whimbrel_s3::{Condition, Crc32c, Error, Stored, Whole};

use super::{CONTENT, Probe, Problem, is_silence, problem, stamp};
use crate::error::StoreError;
use crate::s3::failure::{Effect, told};

const REMEDY: &str = "Nobody else may write under the target during the migration: what comes at a \
                      key of the source is written over, or removed with its file, without notice.";

/// What was found where something else was expected, and what has to become of it.
struct Case {
    what: &'static str,
    condition: Condition,
    taken: bool,
}

impl Probe<'_> {
    pub(super) async fn conditions(&mut self) -> Result<(), StoreError> {
        let key = self.key("conditions");
        let crc = Crc32c::of(CONTENT.as_bytes());
        let first = self.put(&key, Bytes::from(CONTENT), crc, &Condition::Absent).await;
        let mut found = self.minded(&first, true, "If-None-Match on a new key")?;
        let etag = first.ok().and_then(|stored| stored.etag);
        for case in cases(etag) {
            if found.is_none() {
                let tried = self.put(&key, Bytes::from(CONTENT), crc, &case.condition).await;
                found = self.minded(&tried, case.taken, case.what)?;
            }
        }
        self.facts.conditional_writes = found.is_none();
        self.note("conditional writes", found);
        Ok(())
    }

    /// The same for uploads in parts. Where they mind nothing, keys are looked at before.
    pub(super) async fn conditional_uploads(&mut self) -> Result<(), StoreError> {
        if !self.facts.conditional_writes {
            return Ok(());
        }
        let key = self.key("conditions");
        let etag = self.target.look(key.as_bytes()).await?.and_then(|object| object.etag);
        let mut found = None;
        for case in cases(etag) {
            if found.is_none() {
                let tried = self.complete_under(&key, &case.condition).await;
                found = self.minded(&tried, case.taken, case.what)?;
            }
        }
        self.facts.conditional_uploads = found.is_none();
        let check = match found {
            None => "conditional uploads in parts",
            Some(_) => "uploads in parts mind no conditions: their keys are looked at before",
        };
        self.note(check, None);
        Ok(())
    }

    async fn complete_under(&mut self, key: &str, condition: &Condition) -> Result<Stored, Error> {
        let client = &self.target.client;
        let options = self.target.options(key.as_bytes(), &stamp(1));
        let upload = client.create_multipart(key.as_bytes(), &options).await?;
        let piece = Bytes::from(CONTENT);
        let crc = Crc32c::of(&piece);
        let part = client.upload_part(key.as_bytes(), &upload, 1, piece.into(), crc).await?;
        let whole = Whole { crc32c: self.facts.keeps_whole_checksum.then_some(crc), bytes: None };
        let done =
            client.complete_multipart(key.as_bytes(), &upload, &[part], &whole, condition).await;
        self.remember(key, done.as_ref().ok().and_then(|stored| stored.version.clone()));
        if done.is_err() {
            self.abort(key, &upload).await;
        }
        done
    }

    /// A problem if a write was taken that should not have been, or the other way round.
    fn minded(
        &self,
        tried: &Result<Stored, Error>,
        taken: bool,
        what: &str,
    ) -> Result<Option<Problem>, StoreError> {
        match tried {
            Err(error) if is_silence(error) => Err(told(&self.folder, Effect::Reads, error)),
            Ok(_) if taken => Ok(None),
            Ok(_) => Ok(problem(FailureKind::Unsupported, format!("{what} is ignored"), REMEDY)),
            Err(Error::Refused { status: 412, .. }) if !taken => Ok(None),
            Err(error) => {
                let message = format!("{what}: {error}");
                Ok(problem(FailureKind::Unsupported, message, REMEDY))
            }
        }
    }
}

/// In order: the last one replaces what stands there.
fn cases(etag: Option<String>) -> [Case; 3] {
    let other = "\"00000000000000000000000000000000\"".to_owned();
    let own = etag.map_or(Condition::Absent, Condition::Matches);
    [
        Case { what: "If-None-Match", condition: Condition::Absent, taken: false },
        Case { what: "If-Match", condition: Condition::Matches(other), taken: false },
        Case { what: "If-Match of what stands there", condition: own, taken: true },
    ]
}
