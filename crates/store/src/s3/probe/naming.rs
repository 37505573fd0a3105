//! Which keys the server holds.

use std::collections::BTreeSet;

use bytes::Bytes;
use whimbrel_core::failure::FailureKind;
use whimbrel_s3::{Condition, Crc32c, Error, ListRequest};

use super::{Probe, is_silence, problem};
use crate::error::StoreError;
use crate::key::OBJECT_KEY_BYTES_MAX;
use crate::s3::failure::{Effect, told};
use crate::s3::names::Shape;

/// How often a server has to say that it is busy with a long key, and take a short one.
const LONG_KEY_TRIES: u32 = 5;
const SEGMENT_BYTES: usize = 200;

impl Probe<'_> {
    /// Writes every kind of name and looks whether it stands there under that very name.
    pub(super) async fn names(&mut self) -> Result<(), StoreError> {
        let mut tried = Vec::new();
        for shape in Shape::ALL {
            let Some(examples) = shape.examples(&self.folder) else { continue };
            let mut refused = None;
            for key in &examples {
                if key.len() > self.facts.names.key_bytes_max {
                    refused = Some("the key is too long".to_owned());
                    continue;
                }
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
    pub(super) async fn listed(&self) -> Result<BTreeSet<Vec<u8>>, StoreError> {
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

    pub(super) async fn lengths(&mut self) -> Result<(), StoreError> {
        let longest = self.longest().await?;
        let found = (longest < OBJECT_KEY_BYTES_MAX).then(|| {
            let remedy = "Files with longer keys are reported by name and not copied.".to_owned();
            (FailureKind::Refused, format!("keys end at {longest} bytes"), remedy)
        });
        self.facts.names.key_bytes_max = longest;
        self.note("keys of 1,024 bytes", found);
        Ok(())
    }

    async fn longest(&mut self) -> Result<usize, StoreError> {
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
    async fn holds_key_of(&mut self, length: usize) -> Result<bool, StoreError> {
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

    async fn write_and_remove(&mut self, key: &str) -> Result<(), Error> {
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
