//! Which keys the server holds.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::join;
use whimbrel_core::failure::FailureKind;
use whimbrel_s3::{Condition, Crc32c, Error, ListRequest};

use super::{Probe, finding, is_silence, problem};
use crate::error::StoreError;
use crate::key::OBJECT_KEY_BYTES_MAX;
use crate::s3::failure::{Effect, told};
use crate::s3::names::{Names, Shape};
use crate::target::Finding;

/// How often a server has to say that it is busy with a long key, and take a short one.
const LONG_KEY_TRIES: u32 = 5;
const SEGMENT_BYTES: usize = 200;

impl Probe<'_> {
    /// What the server holds: how long keys may be, and of which kinds of names each stands there
    /// under that very name.
    pub(super) async fn names(&self) -> Result<(Names, Vec<Finding>), StoreError> {
        let key_bytes_max = self.longest().await?;
        let too_long = (key_bytes_max < OBJECT_KEY_BYTES_MAX).then(|| {
            let remedy = "Files with longer keys are reported by name and not copied.".to_owned();
            (FailureKind::Refused, format!("keys end at {key_bytes_max} bytes"), remedy)
        });
        let mut findings = vec![finding("keys of 1,024 bytes", too_long)];
        let shapes: Vec<(Shape, Vec<String>)> = Shape::ALL
            .iter()
            .filter_map(|shape| Some((*shape, shape.examples(&self.folder)?)))
            .collect();
        let mut tried = Vec::new();
        for (_, examples) in &shapes {
            tried.extend(examples.iter().map(|key| self.refused(key, key_bytes_max)));
        }
        let tried: Vec<Result<Option<String>, StoreError>> =
            stream::iter(tried).buffered(self.at_once).collect().await;
        let mut refusals = tried.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter();
        let listed = self.listed().await?;
        let mut refused = Vec::new();
        for (shape, examples) in shapes {
            let reasons = refusals.by_ref().take(examples.len()).flatten();
            // All of them are taken out, so that the next shape finds its own.
            let reason = reasons.collect::<Vec<_>>().pop();
            let missing = examples.iter().find(|key| !listed.contains(key.as_bytes()));
            let elsewhere = missing.map(|_| "it is stored or listed under another name".to_owned());
            let remedy = "Files with such names are reported by name and not copied.";
            let reason = reason.or(elsewhere);
            let found = reason.and_then(|reason| problem(FailureKind::Refused, reason, remedy));
            if found.is_some() {
                refused.push(shape);
            }
            findings.push(finding(format!("keys with {}", shape.name()), found));
        }
        Ok((Names { refused, key_bytes_max }, findings))
    }

    /// Why a key is not held.
    async fn refused(&self, key: &str, bytes_max: usize) -> Result<Option<String>, StoreError> {
        if key.len() > bytes_max {
            return Ok(Some("the key is too long".to_owned()));
        }
        let content = if key.ends_with('/') { Bytes::new() } else { Bytes::from(key.to_owned()) };
        let crc = Crc32c::of(&content);
        match self.put(key, content, crc, &Condition::Always).await {
            Ok(_) => Ok(None),
            Err(error) if is_silence(&error) => Err(told(key, Effect::Reads, &error)),
            Err(error) => Ok(Some(format!("it is refused: {error}"))),
        }
    }

    /// Every key that this probe's folder holds, with those that begin with a slash.
    pub(super) async fn listed(&self) -> Result<BTreeSet<Vec<u8>>, StoreError> {
        let (keys, with_slash) = join!(
            self.listed_below(format!("{}/", self.folder)),
            self.listed_below(format!("/{}/", self.folder)),
        );
        let mut keys = keys?;
        keys.extend(with_slash?);
        Ok(keys)
    }

    async fn listed_below(&self, prefix: String) -> Result<BTreeSet<Vec<u8>>, StoreError> {
        let mut keys = BTreeSet::new();
        let mut request = ListRequest { prefix: prefix.into(), ..ListRequest::default() };
        loop {
            let page = self.target.client.list_objects(&request).await;
            let page = page.map_err(|error| told(&self.folder, Effect::Reads, &error))?;
            let exact = page.objects.into_iter().filter(|object| !object.key.altered);
            keys.extend(exact.map(|object| object.key.bytes));
            match page.continuation {
                Some(next) => request.continuation = Some(next),
                None => return Ok(keys),
            }
        }
    }

    async fn longest(&self) -> Result<usize, StoreError> {
        if self.holds_key_of(OBJECT_KEY_BYTES_MAX).await? {
            return Ok(OBJECT_KEY_BYTES_MAX);
        }
        // What the probe wrote before was held.
        let (mut held, mut refused) = (self.key("plain").len(), OBJECT_KEY_BYTES_MAX);
        while refused - held > 1 {
            let middle = held.midpoint(refused);
            if self.holds_key_of(middle).await? {
                held = middle;
            } else {
                refused = middle;
            }
        }
        Ok(held)
    }

    /// Whether a key of so many bytes can be written and removed again. Garage with LMDB says that
    /// it is busy where its engine cannot hold a key: a server that takes a short one each time is
    /// not busy.
    async fn holds_key_of(&self, length: usize) -> Result<bool, StoreError> {
        let Some(key) = key_of(&self.folder, length) else { return Ok(false) };
        for _ in 0..LONG_KEY_TRIES {
            match self.write_and_remove(&key).await {
                Ok(()) => return Ok(true),
                Err(error) if is_silence(&error) => {
                    let short = self.key("short");
                    let written = self.write_and_remove(&short).await;
                    written.map_err(|error| told(&short, Effect::Reads, &error))?;
                }
                Err(_) => return Ok(false),
            }
        }
        Ok(false)
    }

    async fn write_and_remove(&self, key: &str) -> Result<(), Error> {
        let crc = Crc32c::of(b"");
        let stored = self.put(key, Bytes::new(), crc, &Condition::Always).await?;
        let version = stored.version.as_deref();
        self.target.client.delete_object(key.as_bytes(), version, &Condition::Always).await
    }
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
