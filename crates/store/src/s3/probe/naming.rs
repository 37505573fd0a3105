//! Which keys the server holds.

use std::collections::BTreeSet;

use bytes::Bytes;
use whimbrel_core::failure::FailureKind;
use whimbrel_s3::{Condition, Crc32c, ListRequest};

use super::{Probe, is_silence, problem};
use crate::error::StoreError;
use crate::s3::failure::{Effect, told};
use crate::s3::names::Shape;

const KEY_LENGTHS: [usize; 4] = [1024, 768, 512, 400];
const SEGMENT_BYTES: usize = 200;

impl Probe<'_> {
    /// Writes every kind of name and looks whether it stands there under that very name.
    pub(super) async fn names(&mut self) -> Result<(), StoreError> {
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
