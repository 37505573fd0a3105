//! Tries out what a server can do, with objects of its own under the target prefix.

mod conditions;
mod copying;
mod leftovers;
mod naming;
mod upload;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use tokio::join;
use tokio::sync::Semaphore;
use whimbrel_core::failure::FailureKind;
use whimbrel_core::metadata::Metadata;
use whimbrel_s3::{Body, Condition, Crc32c, Deletion, Error, Kind, Stored, Versioning, fits_xml};

use super::failure::{Effect, told};
use super::names::Names;
use super::target::{Facts, S3Target, name};
use crate::error::StoreError;
use crate::target::{Finding, Object, Stamp};

/// The object that the others are compared with.
const CONTENT: &str = "Written by whimbrel to try out this bucket; it can be removed.";
const SKEW_SECONDS_MAX: i64 = 60;

/// A probe under way. What does not rest on anything else is tried side by side: a server may be
/// far away.
struct Probe<'a> {
    target: &'a S3Target,
    /// Without a slash at its end.
    folder: String,
    made: Mutex<Vec<Deletion>>,
    /// Names that are tried at the same time.
    at_once: usize,
    /// So many trials go side by side.
    turns: Semaphore,
}

type Problem = (FailureKind, String, String);

/// How a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Haste {
    /// As many requests at a time as a run sends.
    SideBySide,
    /// For a server that asked for less.
    OneByOne,
}

const NAMES_AT_ONCE: usize = 16;

/// What the names of all probes under a prefix begin with.
pub(super) fn place(prefix: &str) -> String {
    let slash = if prefix.is_empty() { "" } else { "/" };
    format!("{prefix}{slash}.whimbrel-probe-")
}

/// Everything, and what it shows.
pub(super) async fn run(
    target: &S3Target,
    haste: Haste,
) -> Result<(Facts, Vec<Finding>), StoreError> {
    let all = place(&target.prefix);
    let own = target.migration.as_ref().map(|migration| format!("{all}{migration}."));
    let folder = format!("{}{}", own.as_deref().unwrap_or(&all), uuid::Uuid::new_v4());
    let (at_once, turns) = match haste {
        Haste::SideBySide => (NAMES_AT_ONCE, Semaphore::MAX_PERMITS),
        Haste::OneByOne => (1, 1),
    };
    let (made, turns) = (Mutex::default(), Semaphore::new(turns));
    let probe = Probe { target, folder, made, at_once, turns };
    let own = own.as_deref().map(str::as_bytes);
    let sweep = leftovers::sweep(target, all.as_bytes(), own, &probe.folder);
    let tried = probe.all(sweep).await;
    let is_exact = tried.as_ref().is_ok_and(|(facts, _)| facts.names == Names::default());
    let cleaned = probe.clean(is_exact).await;
    let found = tried?;
    cleaned?;
    Ok(found)
}

fn problem(kind: FailureKind, message: impl Into<String>, remedy: &str) -> Option<Problem> {
    Some((kind, message.into(), remedy.to_owned()))
}

fn stamp(attempt: u64) -> Stamp {
    let metadata = Metadata {
        owner: "näme".to_owned(),
        group: "group".to_owned(),
        mode: 0o640,
        modified_ns: 1_700_000_000_123_000_000,
        acl: None,
        xattrs: BTreeMap::new(),
    };
    Stamp { migration: "probe".to_owned(), attempt, metadata: Some(metadata) }
}

/// A server that does not answer says nothing about what it can do.
fn is_silence(error: &Error) -> bool {
    matches!(error.kind(), Kind::Unreachable | Kind::Throttled | Kind::Expired)
}

fn finding(check: impl Into<String>, problem: Option<Problem>) -> Finding {
    Finding { check: check.into(), problem }
}

impl Probe<'_> {
    async fn all(
        &self,
        sweep: impl Future<Output = Result<(), StoreError>> + Send,
    ) -> Result<(Facts, Vec<Finding>), StoreError> {
        // Where nothing can be written nothing else is tried.
        let (plain, swept, versions) =
            join!(self.in_turn(self.plain()), self.in_turn(sweep), self.in_turn(self.versions()));
        let plain = plain?;
        swept?;
        // The longest first: it gets the connections that are open.
        let (uploads, small, names, whole, conditions, bytes, removal) = join!(
            self.in_turn(self.uploads()),
            self.in_turn(self.copies(&plain)),
            self.in_turn(self.names()),
            self.in_turn(self.wrong_whole_checksum()),
            self.in_turn(self.conditions()),
            self.in_turn(self.wrong_checksum()),
            self.in_turn(self.removal()),
        );
        let (uploads, small, (names, of_names)) = (uploads?, small?, names?);
        let conditions = conditions?;
        let conditional_writes = conditions.is_none();
        let facts = Facts {
            names,
            copies: small.copies,
            self_copies: small.self_copies,
            part_copies: small.copies && uploads.ranges == Some(None),
            takes_whole_length: uploads.takes_whole_length,
            keeps_whole_checksum: uploads.keeps_whole_checksum,
            conditional_writes,
            conditional_uploads: conditional_writes && uploads.conditions.is_none(),
        };
        let mut findings = small.of_plain;
        findings.push(finding("wrong bytes are refused", bytes?));
        findings.push(finding("conditional writes", conditions));
        findings.extend(small.of_copies);
        findings.extend(uploads.findings);
        findings.push(finding("wrong parts are refused", whole?));
        if conditional_writes {
            let check = match facts.conditional_uploads {
                true => "conditional uploads in parts",
                false => "uploads in parts mind no conditions: their keys are looked at before",
            };
            findings.push(finding(check, None));
        }
        findings.extend(uploads.ranges.map(|ranges| finding("copies of ranges", ranges)));
        findings.extend(of_names);
        findings.push(finding("removal", removal?));
        findings.push(finding(versions, None));
        findings.push(self.clock());
        Ok((facts, findings))
    }

    /// On the heap: all of them together are more than a stack is for.
    fn in_turn<'f, T>(&'f self, trial: impl Future<Output = T> + Send + 'f) -> BoxFuture<'f, T> {
        Box::pin(async {
            // It is never closed.
            let _turn = self.turns.acquire().await;
            trial.await
        })
    }

    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    async fn put(
        &self,
        key: &str,
        content: Bytes,
        crc: Crc32c,
        condition: &Condition,
    ) -> Result<Stored, Error> {
        let options = self.target.options(key.as_bytes(), &stamp(1));
        let client = &self.target.client;
        let body = Body::from(content);
        let stored = client.put_object(key.as_bytes(), body, Some(crc), &options, condition).await;
        if stored.is_ok() || matches!(&stored, Err(error) if error.kind() == Kind::Unknown) {
            let version = stored.as_ref().ok().and_then(|stored| stored.version.clone());
            self.remember(key, version);
        }
        stored
    }

    /// The usual content under a condition.
    async fn put_usual(&self, key: &str, condition: &Condition) -> Result<Stored, Error> {
        let crc = Crc32c::of(CONTENT.as_bytes());
        self.put(key, Bytes::from(CONTENT), crc, condition).await
    }

    fn remember(&self, key: &str, version: Option<String>) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.push(Deletion { key: key.as_bytes().to_vec(), version });
    }

    /// The object that copies are made of, as it was written.
    async fn plain(&self) -> Result<Object, StoreError> {
        let key = self.key("plain");
        let stored = self.put_usual(&key, &Condition::Always).await;
        let stored = stored.map_err(|error| told(&name(key.as_bytes()), Effect::Reads, &error))?;
        Ok(Object { key: key.into_bytes(), etag: stored.etag, ..Object::default() })
    }

    async fn wrong_checksum(&self) -> Result<Option<Problem>, StoreError> {
        let key = self.key("wrong");
        let put = self.put(&key, Bytes::from("right"), Crc32c(1), &Condition::Always).await;
        self.refusal(put.map(drop), "a wrong CRC32C")
    }

    /// A problem if something that is wrong was taken.
    fn refusal(&self, tried: Result<(), Error>, what: &str) -> Result<Option<Problem>, StoreError> {
        match tried {
            Ok(()) => Ok(problem(
                FailureKind::Corrupt,
                format!("the server took {what}"),
                "Bytes that change on their way are not noticed by this server: let \
                 `whimbrel verify --read` look at the result.",
            )),
            Err(error) if is_silence(&error) => Err(told(&self.folder, Effect::Reads, &error)),
            Err(_) => Ok(None),
        }
    }

    async fn removal(&self) -> Result<Option<Problem>, StoreError> {
        let key = self.key("removed");
        let put = self.put_usual(&key, &Condition::Always).await;
        put.map_err(|error| told(&name(key.as_bytes()), Effect::Reads, &error))?;
        let key = key.into_bytes();
        let keys = [key.clone(), self.key("never").into_bytes()];
        let outcomes = self.target.remove_all(&keys).await;
        let failure = outcomes.into_iter().find_map(Result::err);
        let left = self.target.look(&key).await?.is_some();
        Ok(match failure {
            Some(error) => Some((error.kind(), error.to_string(), error.remedy().to_owned())),
            None if left => problem(
                FailureKind::Unsupported,
                "a removed object is still there",
                "Use a server that is consistent.",
            ),
            None => None,
        })
    }

    async fn versions(&self) -> &'static str {
        match self.target.client.bucket_versioning().await {
            Ok(Versioning::Enabled) => "the bucket keeps versions: replaced objects cost on",
            Ok(Versioning::Suspended) => "the bucket kept versions; they are suspended",
            Ok(Versioning::Off) | Err(_) => "the bucket keeps no versions",
        }
    }

    fn clock(&self) -> Finding {
        let ahead = self.target.client.clock_ahead_seconds().unwrap_or_default();
        let found = (ahead.abs() > SKEW_SECONDS_MAX).then(|| {
            let remedy = "Set this machine's clock by the network (NTP).".to_owned();
            let way = if ahead > 0 { "behind" } else { "ahead of" };
            let message = format!("this clock is {} s {way} the server's", ahead.abs());
            (FailureKind::Denied, message, remedy)
        });
        finding("clock", found)
    }

    /// Removes what was written, and what a server may have made of it: one that holds every name
    /// as it is, and has removed all of them, made nothing else.
    async fn clean(&self, is_exact: bool) -> Result<(), StoreError> {
        let client = &self.target.client;
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        let (batch, single): (Vec<Deletion>, Vec<Deletion>) =
            made.into_iter().partition(|made| std::str::from_utf8(&made.key).is_ok_and(fits_xml));
        let always = Condition::Always;
        // A name that cannot be held cannot be removed either.
        let one_by_one = single
            .iter()
            .map(|made| client.delete_object(&made.key, made.version.as_deref(), &always));
        let (removed, singly) = join!(client.delete_objects(&batch), join_all(one_by_one));
        let of_batch = removed.as_ref().is_ok_and(|answers| answers.iter().all(Result::is_ok));
        if is_exact && of_batch && singly.iter().all(Result::is_ok) {
            return Ok(());
        }
        // Whatever became of that: what can be removed is.
        let left: Vec<Vec<u8>> = self.listed().await?.into_iter().collect();
        if !left.is_empty() {
            self.target.remove_all(&left).await.into_iter().collect::<Result<Vec<()>, _>>()?;
        }
        removed.map(drop).map_err(|error| told(&self.folder, Effect::Reads, &error))
    }
}
