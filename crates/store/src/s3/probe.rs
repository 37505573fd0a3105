//! Tries out what a server can do, with objects of its own under the target prefix.

mod conditions;
mod copying;
mod leftovers;
mod naming;
mod upload;

use std::collections::BTreeMap;

use bytes::Bytes;
use whimbrel_core::failure::FailureKind;
use whimbrel_core::metadata::Metadata;
use whimbrel_s3::{Body, Condition, Crc32c, Deletion, Error, Kind, Stored, Versioning, fits_xml};

use super::failure::{Effect, told};
use super::target::{Facts, S3Target, name};
use crate::error::StoreError;
use crate::target::{Finding, Object, Stamp};

/// The object that the others are compared with.
const CONTENT: &str = "Written by whimbrel to try out this bucket; it can be removed.";
const SKEW_SECONDS_MAX: i64 = 60;

/// A probe under way.
struct Probe<'a> {
    target: &'a S3Target,
    /// Without a slash at its end.
    folder: String,
    made: Vec<Deletion>,
    facts: Facts,
    findings: Vec<Finding>,
}

type Problem = (FailureKind, String, String);

/// What the names of all probes under a prefix begin with.
pub(super) fn place(prefix: &str) -> String {
    let slash = if prefix.is_empty() { "" } else { "/" };
    format!("{prefix}{slash}.whimbrel-probe-")
}

/// Everything, in the order in which one thing rests on another.
pub(super) async fn run(target: &S3Target) -> Result<(Facts, Vec<Finding>), StoreError> {
    let all = place(&target.prefix);
    let own = target.migration.as_ref().map(|migration| format!("{all}{migration}."));
    leftovers::sweep(target, all.as_bytes(), own.as_deref().map(str::as_bytes)).await?;
    let folder = format!("{}{}", own.as_deref().unwrap_or(&all), uuid::Uuid::new_v4());
    let mut probe =
        Probe { target, folder, made: Vec::new(), facts: Facts::default(), findings: Vec::new() };
    let tried = probe.all().await;
    let cleaned = probe.clean().await;
    tried?;
    cleaned?;
    Ok((probe.facts, probe.findings))
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

impl Probe<'_> {
    async fn all(&mut self) -> Result<(), StoreError> {
        let plain = self.plain().await?;
        self.wrong_checksum().await?;
        self.conditions().await?;
        self.copies(&plain).await?;
        let large = self.multipart().await?;
        self.wrong_whole_checksum().await?;
        self.conditional_uploads().await?;
        if let Some(large) = large {
            self.part_copies(&large).await?;
        }
        self.lengths().await?;
        self.names().await?;
        self.removal(&plain).await?;
        self.versions().await;
        self.clock();
        Ok(())
    }

    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    fn note(&mut self, check: impl Into<String>, problem: Option<Problem>) {
        self.findings.push(Finding { check: check.into(), problem });
    }

    async fn put(
        &mut self,
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

    fn remember(&mut self, key: &str, version: Option<String>) {
        self.made.push(Deletion { key: key.as_bytes().to_vec(), version });
    }

    async fn plain(&mut self) -> Result<Object, StoreError> {
        let key = self.key("plain");
        let crc = Crc32c::of(CONTENT.as_bytes());
        let stored = self.put(&key, Bytes::from(CONTENT), crc, &Condition::Always).await;
        stored.map_err(|error| told(&name(key.as_bytes()), Effect::Reads, &error))?;
        self.note("writing with the options of this run", None);
        let found = self.target.look(key.as_bytes()).await?.unwrap_or_default();
        let metadata = if found.attempt == Some(1) && found.metadata == stamp(1).metadata {
            None
        } else {
            problem(
                FailureKind::Unsupported,
                format!("user metadata came back as {:?}", found.user_metadata),
                "Use a server that keeps user metadata: without it objects are not known again.",
            )
        };
        self.note("user metadata", metadata);
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
        self.note("stored checksum", checksum);
        Ok(found)
    }

    async fn wrong_checksum(&mut self) -> Result<(), StoreError> {
        let key = self.key("wrong");
        let put = self.put(&key, Bytes::from("right"), Crc32c(1), &Condition::Always).await;
        let found = self.refusal(put.map(drop), "a wrong CRC32C")?;
        self.note("wrong bytes are refused", found);
        Ok(())
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

    async fn removal(&mut self, plain: &Object) -> Result<(), StoreError> {
        let keys = [plain.key.clone(), self.key("never").into_bytes()];
        let outcomes = self.target.remove_all(&keys).await;
        let failure = outcomes.into_iter().find_map(Result::err);
        let left = self.target.look(&plain.key).await?.is_some();
        let found = match failure {
            Some(error) => Some((error.kind(), error.to_string(), error.remedy().to_owned())),
            None if left => problem(
                FailureKind::Unsupported,
                "a removed object is still there",
                "Use a server that is consistent.",
            ),
            None => None,
        };
        self.note("removal", found);
        Ok(())
    }

    async fn versions(&mut self) {
        let check = match self.target.client.bucket_versioning().await {
            Ok(Versioning::Enabled) => "the bucket keeps versions: replaced objects cost on",
            Ok(Versioning::Suspended) => "the bucket kept versions; they are suspended",
            Ok(Versioning::Off) | Err(_) => "the bucket keeps no versions",
        };
        self.note(check, None);
    }

    fn clock(&mut self) {
        let ahead = self.target.client.clock_ahead_seconds().unwrap_or_default();
        let found = (ahead.abs() > SKEW_SECONDS_MAX).then(|| {
            let remedy = "Set this machine's clock by the network (NTP).".to_owned();
            let way = if ahead > 0 { "behind" } else { "ahead of" };
            let message = format!("this clock is {} s {way} the server's", ahead.abs());
            (FailureKind::Denied, message, remedy)
        });
        self.note("clock", found);
    }

    /// Removes what was written, and what a server may have made of it.
    async fn clean(&mut self) -> Result<(), StoreError> {
        let client = &self.target.client;
        let (batch, single): (Vec<Deletion>, Vec<Deletion>) = std::mem::take(&mut self.made)
            .into_iter()
            .partition(|made| std::str::from_utf8(&made.key).is_ok_and(fits_xml));
        let removed = client.delete_objects(&batch).await;
        for each in single {
            let version = each.version.as_deref();
            // A name that cannot be held cannot be removed either.
            let _ = client.delete_object(&each.key, version, &Condition::Always).await;
        }
        // Whatever became of that: what can be removed is.
        let left: Vec<Vec<u8>> = self.listed().await?.into_iter().collect();
        if !left.is_empty() {
            self.target.remove_all(&left).await.into_iter().collect::<Result<Vec<()>, _>>()?;
        }
        removed.map(drop).map_err(|error| told(&self.folder, Effect::Reads, &error))
    }
}
