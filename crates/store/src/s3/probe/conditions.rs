//! Whether writes under a condition mind it (rule 4.4).

use futures_util::future::join_all;
use tokio::join;
use whimbrel_core::failure::FailureKind;
use whimbrel_s3::{Condition, Error, Stored, Whole};

use super::upload::Begun;
use super::{Probe, Problem, is_silence, problem};
use crate::error::StoreError;
use crate::s3::failure::{Effect, told};

const REMEDY: &str = "Nobody else may write under the target during the migration: what comes at a \
                      key of the source is written over, or removed with its file, without notice.";

/// What is expected where something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Absent,
    Another,
    Own,
}

const KINDS: [Kind; 3] = [Kind::Absent, Kind::Another, Kind::Own];

/// The same as a condition, and what has to become of a write under it.
struct Case {
    what: &'static str,
    condition: Condition,
    taken: bool,
}

/// An upload that only has to be completed, at a key where something stands.
pub(super) struct Ready {
    key: String,
    case: Case,
    upload: Result<Begun, Error>,
}

impl Probe<'_> {
    /// A problem if writes do not mind conditions. Each is tried at a key of its own: writes to one
    /// key at the same time may be refused for that.
    pub(super) async fn conditions(&self) -> Result<Option<Problem>, StoreError> {
        let (new, cases) = join!(self.put_new(), join_all(KINDS.map(|kind| self.put_over(kind))));
        let mut found = self.minded(&new, true, "If-None-Match on a new key")?;
        for (case, tried) in cases {
            let minded = self.minded(&tried, case.taken, case.what)?;
            found = found.or(minded);
        }
        Ok(found)
    }

    async fn put_new(&self) -> Result<Stored, Error> {
        self.put_usual(&self.key("conditions"), &Condition::Absent).await
    }

    /// Writes over something that was written.
    async fn put_over(&self, kind: Kind) -> (Case, Result<Stored, Error>) {
        let key = self.key(&format!("conditions-{kind:?}"));
        let first = self.put_usual(&key, &Condition::Always).await;
        let case = kind.case(&first);
        let tried = match first {
            Ok(_) => self.put_usual(&key, &case.condition).await,
            Err(error) => Err(error),
        };
        (case, tried)
    }

    /// Uploads of one part, at keys where something stands, that only have to be completed.
    pub(super) async fn begin_conditional(&self) -> Vec<Ready> {
        join_all(KINDS.map(|kind| self.begin_over(kind))).await
    }

    async fn begin_over(&self, kind: Kind) -> Ready {
        let key = self.key(&format!("uploads-{kind:?}"));
        let (first, upload) = join!(self.put_usual(&key, &Condition::Always), self.begin(&key));
        let case = kind.case(&first);
        let upload = match (first, upload) {
            (Err(error), Ok(begun)) => {
                self.abort(&key, &begun.upload).await;
                Err(error)
            }
            (_, upload) => upload,
        };
        Ready { key, case, upload }
    }

    /// A problem if the completion of uploads minds no conditions. Where that is so, keys are
    /// looked at before.
    pub(super) async fn complete_conditional(
        &self,
        ready: Vec<Ready>,
        with_checksum: bool,
    ) -> Result<Option<Problem>, StoreError> {
        let complete = |ready| self.complete_under(ready, with_checksum);
        let mut found = None;
        for (case, tried) in join_all(ready.into_iter().map(complete)).await {
            let minded = self.minded(&tried, case.taken, case.what)?;
            found = found.or(minded);
        }
        Ok(found)
    }

    async fn complete_under(
        &self,
        ready: Ready,
        with_checksum: bool,
    ) -> (Case, Result<Stored, Error>) {
        let Ready { key, case, upload } = ready;
        let done = match upload {
            Ok(Begun { upload, part, crc }) => {
                let whole = Whole { crc32c: with_checksum.then_some(crc), bytes: None };
                self.put_together(&key, &upload, &[part], &whole, &case.condition).await
            }
            Err(error) => Err(error),
        };
        (case, done)
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

impl Kind {
    fn case(self, stands: &Result<Stored, Error>) -> Case {
        let etag = stands.as_ref().ok().and_then(|stored| stored.etag.clone());
        let (what, condition) = match self {
            Self::Absent => ("If-None-Match", Condition::Absent),
            Self::Another => {
                let other = "\"00000000000000000000000000000000\"".to_owned();
                ("If-Match", Condition::Matches(other))
            }
            Self::Own => {
                let own = etag.map_or(Condition::Absent, Condition::Matches);
                ("If-Match of what stands there", own)
            }
        };
        Case { what, condition, taken: self == Self::Own }
    }
}
