//! Tries out what a server can do, with objects of its own under the target prefix.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use whimbrel_core::failure::FailureKind;
use whimbrel_core::metadata::Metadata;
use whimbrel_s3::{
    Body, Condition, CopyMetadata, CopyRequest, Crc32c, Deletion, Error, Kind, ListRequest,
    PART_BYTES_MIN, Part, Stored, Versioning, Whole, fits_xml,
};

use super::failure::{Effect, told};
use super::names::Shape;
use super::target::{Facts, S3Target, name};
use crate::error::StoreError;
use crate::target::{Finding, Object, Stamp, Target};

/// The object that the others are compared with.
const CONTENT: &str = "Written by whimbrel to try out this bucket; it can be removed.";
const SKEW_SECONDS_MAX: i64 = 60;
const KEY_LENGTHS: [usize; 4] = [1024, 768, 512, 400];
const SEGMENT_BYTES: usize = 200;

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

/// Everything, in the order in which one thing rests on another.
pub(super) async fn run(target: &S3Target) -> Result<(Facts, Vec<Finding>), StoreError> {
    let place =
        if target.prefix.is_empty() { String::new() } else { format!("{}/", target.prefix) };
    let all = format!("{place}.whimbrel-probe-");
    sweep(target, all.as_bytes()).await?;
    let folder = format!("{all}{}", uuid::Uuid::new_v4());
    let mut probe =
        Probe { target, folder, made: Vec::new(), facts: Facts::default(), findings: Vec::new() };
    let tried = probe.all().await;
    let cleaned = probe.clean().await;
    tried?;
    cleaned?;
    Ok((probe.facts, probe.findings))
}

/// Removes what a probe left behind whose process was killed: it would stand there as an extra.
async fn sweep(target: &S3Target, prefix: &[u8]) -> Result<(), StoreError> {
    loop {
        let page = target.list(prefix, None).await?;
        let keys: Vec<Vec<u8>> = page.objects.into_iter().map(|object| object.key).collect();
        if keys.is_empty() {
            return Ok(());
        }
        for removed in target.remove(&keys).await? {
            removed?;
        }
        if !page.more {
            return Ok(());
        }
    }
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
        if let Some(large) = large {
            self.part_copies(&large).await?;
        }
        self.names().await?;
        self.lengths().await?;
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

    async fn conditions(&mut self) -> Result<(), StoreError> {
        let key = self.key("plain");
        let crc = Crc32c::of(CONTENT.as_bytes());
        let again = self.put(&key, Bytes::from(CONTENT), crc, &Condition::Absent).await;
        let found = match again {
            Ok(_) => problem(
                FailureKind::Unsupported,
                "If-None-Match is ignored",
                "Nobody else may write under the target during the migration: it would not be \
                 noticed at once.",
            ),
            Err(error) if is_silence(&error) => {
                return Err(told(&self.folder, Effect::Reads, &error));
            }
            Err(_) => None,
        };
        self.note("conditional writes", found);
        Ok(())
    }

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

    async fn copies(&mut self, plain: &Object) -> Result<(), StoreError> {
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

    /// Uploads two parts and returns the object.
    async fn multipart(&mut self) -> Result<Option<Object>, StoreError> {
        let key = self.key("multipart");
        let content = large_content();
        let crc = Crc32c::of(&content);
        let uploaded = self.upload(&key, &content, crc).await;
        let failed = |error: &Error| told(&key, Effect::Reads, error);
        let found = match uploaded {
            Ok(()) => self.target.look(key.as_bytes()).await?,
            Err(error) if is_silence(&error) => return Err(failed(&error)),
            Err(error) => {
                let remedy = "Objects above 64 MiB cannot be written to this server.";
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

    async fn abort(&self, key: &str, upload: &str) {
        // What is left then is an upload without an object; lifecycle rules sweep those.
        let _ = self.target.client.abort_multipart(key.as_bytes(), upload).await;
    }

    async fn wrong_whole_checksum(&mut self) -> Result<(), StoreError> {
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

    async fn part_copies(&mut self, large: &Object) -> Result<(), StoreError> {
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

    /// Writes every kind of name and looks whether it stands there under that very name.
    async fn names(&mut self) -> Result<(), StoreError> {
        let mut tried = Vec::new();
        for shape in Shape::ALL {
            let Some(examples) = shape.examples(&self.folder) else { continue };
            let mut refused = None;
            for key in &examples {
                let content =
                    if key.ends_with('/') { Bytes::new() } else { Bytes::from(key.clone()) };
                let crc = Crc32c::of(&content);
                match self.put(key, content, crc, &Condition::Always).await {
                    Ok(_) => {}
                    Err(error) if is_silence(&error) => {
                        return Err(told(key, Effect::Reads, &error));
                    }
                    Err(error) => refused = Some(format!("it is refused: {error}")),
                }
            }
            tried.push((shape, examples, refused));
        }
        let listed = self.listed().await?;
        for (shape, examples, refused) in tried {
            let missing = examples.iter().find(|key| !listed.contains(key.as_bytes()));
            let elsewhere = missing.map(|_| "it is stored or listed under another name".to_owned());
            let reason = refused.or(elsewhere);
            let remedy = "Files with such names are reported by name and not copied.";
            let found = reason.and_then(|reason| problem(FailureKind::Refused, reason, remedy));
            if found.is_some() {
                self.facts.names.refused.push(shape);
            }
            self.note(format!("keys with {}", shape.name()), found);
        }
        Ok(())
    }

    /// Every key that this probe's folder holds, with those that begin with a slash.
    async fn listed(&self) -> Result<BTreeSet<Vec<u8>>, StoreError> {
        let mut keys = BTreeSet::new();
        for prefix in [format!("{}/", self.folder), format!("/{}/", self.folder)] {
            let mut request = ListRequest { prefix: prefix.into(), ..ListRequest::default() };
            loop {
                let page = self.target.client.list_objects(&request).await;
                let page = page.map_err(|error| told(&self.folder, Effect::Reads, &error))?;
                let exact = page.objects.into_iter().filter(|object| !object.key.altered);
                keys.extend(exact.map(|object| object.key.bytes));
                match page.continuation {
                    Some(next) => request.continuation = Some(next),
                    None => break,
                }
            }
        }
        Ok(keys)
    }

    async fn lengths(&mut self) -> Result<(), StoreError> {
        let mut longest = 0;
        for length in KEY_LENGTHS {
            let Some(key) = key_of(&self.folder, length) else { continue };
            let crc = Crc32c::of(b"");
            match self.put(&key, Bytes::new(), crc, &Condition::Always).await {
                Ok(_) => {
                    longest = length;
                    break;
                }
                Err(error) if is_silence(&error) => {
                    return Err(told(&key, Effect::Reads, &error));
                }
                Err(_) => {}
            }
        }
        let longest = if longest == 0 { self.folder.len() } else { longest };
        let found = (longest < KEY_LENGTHS[0]).then(|| {
            let remedy = "Files with longer keys are reported by name and not copied.".to_owned();
            (FailureKind::Refused, format!("keys end at about {longest} bytes"), remedy)
        });
        self.facts.names.key_bytes_max = longest;
        self.note("keys of 1,024 bytes", found);
        Ok(())
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
        removed.map_err(|error| told(&self.folder, Effect::Reads, &error))?;
        let left: Vec<Vec<u8>> = self.listed().await?.into_iter().collect();
        if !left.is_empty() {
            self.target.remove_all(&left).await.into_iter().collect::<Result<Vec<()>, _>>()?;
        }
        Ok(())
    }
}

/// Two parts' worth of bytes that do not repeat with any length that a server may cut at.
fn large_content() -> Bytes {
    let length = PART_BYTES_MIN as usize + 1024;
    (0..length as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// A key of exactly `length` bytes, in short components.
fn key_of(folder: &str, length: usize) -> Option<String> {
    let mut key = format!("{folder}/long");
    while key.len() < length {
        let more = (length - key.len()).min(SEGMENT_BYTES);
        if more == 1 {
            key.push('k');
        } else {
            key.push('/');
            key.push_str(&"k".repeat(more - 1));
        }
    }
    (key.len() == length).then_some(key)
}
