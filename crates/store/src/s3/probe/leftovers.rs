//! What earlier probes left behind whose process was killed.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use tokio::join;
use whimbrel_s3::{Error, ListRequest};

use crate::error::StoreError;
use crate::s3::failure::{Effect, told};
use crate::s3::names::Shape;
use crate::s3::target::{S3Target, name};

/// A probe that wrote nothing for so long is dead.
const SILENCE_MAX: Duration = Duration::from_secs(600);
const UUID_BYTES: usize = 36;

type InFolder = (String, bool, (Vec<u8>, String));

/// What one probe wrote.
#[derive(Default)]
struct Left {
    keys: Vec<Vec<u8>>,
    /// Keys and ids of what was begun and neither completed nor aborted.
    uploads: Vec<(Vec<u8>, String)>,
    /// Some have names that the server cannot list.
    altered: bool,
    alive: bool,
}

/// Removes what stands under `own`, as one migration probes once at a time, and what the dead
/// probes under `all` left. The rest may be another's that is under way, or nobody's probe; `now`
/// is the folder of the one that asks. What cannot be removed stays: it hurts nobody.
pub(super) async fn sweep(
    target: &S3Target,
    all: &[u8],
    own: Option<&[u8]>,
    now: &str,
) -> Result<(), StoreError> {
    // Not every server lists uploads, nor lets everybody.
    let (folders, begun) = join!(folders(target, all), uploads(target, all));
    let mut folders = folders?;
    for (folder, alive, upload) in begun.unwrap_or_default() {
        let left = folders.entry(folder).or_default();
        left.alive |= alive;
        left.uploads.push(upload);
    }
    folders.remove(now);
    let (mut keys, mut uploads) = (Vec::new(), Vec::new());
    for (folder, left) in folders {
        let is_own = own.is_some_and(|own| folder.as_bytes().starts_with(own));
        if is_own || !left.alive && is_of_a_probe(&folder) {
            keys.extend(left.keys);
            uploads.extend(left.uploads);
            if left.altered {
                let examples = Shape::ALL.iter().filter_map(|shape| shape.examples(&folder));
                keys.extend(examples.flatten().map(String::into_bytes));
            }
        }
    }
    // Names that cannot be held cannot be removed either.
    let _ = target.remove_all(&keys).await;
    for (key, upload) in uploads {
        let _ = target.client.abort_multipart(&key, &upload).await;
    }
    Ok(())
}

async fn folders(target: &S3Target, all: &[u8]) -> Result<BTreeMap<String, Left>, StoreError> {
    let mut request = ListRequest { prefix: all.to_vec(), ..ListRequest::default() };
    let mut folders: BTreeMap<String, Left> = BTreeMap::new();
    loop {
        let page = target.client.list_objects(&request).await;
        let page = page.map_err(|error| told(&name(all), Effect::Reads, &error))?;
        let now = server_time(target);
        for object in page.objects {
            let Some(folder) = folder(&object.key.bytes, all.len()) else { continue };
            let left = folders.entry(folder).or_default();
            left.alive |= !is_old(object.last_modified, now);
            left.altered |= object.key.altered;
            if !object.key.altered {
                left.keys.push(object.key.bytes);
            }
        }
        match page.continuation {
            Some(next) => request.continuation = Some(next),
            None => return Ok(folders),
        }
    }
}

/// An upload is seen in no listing of objects, and may be all that a probe left: its folder,
/// whether it is young, its key and id.
async fn uploads(target: &S3Target, all: &[u8]) -> Result<Vec<InFolder>, Error> {
    let mut begun = Vec::new();
    let mut after = None;
    loop {
        let page = target.client.list_multipart_uploads(all, after.as_ref()).await?;
        let now = server_time(target);
        for upload in page.uploads {
            // A server may heed no prefix.
            let is_below = !upload.key.altered && upload.key.bytes.starts_with(all);
            let folder = folder(&upload.key.bytes, all.len()).filter(|_| is_below);
            let Some(folder) = folder else { continue };
            let alive = !is_old(upload.initiated, now);
            begun.push((folder, alive, (upload.key.bytes, upload.id)));
        }
        if page.continuation.is_none() || page.continuation == after {
            return Ok(begun);
        }
        after = page.continuation;
    }
}

/// The first folder in a key that ends behind `from`.
fn folder(key: &[u8], from: usize) -> Option<String> {
    let length = from + key.get(from..)?.iter().position(|byte| *byte == b'/')?;
    String::from_utf8(key.get(..length)?.to_vec()).ok()
}

/// Every probe's folder ends so; another's name does not.
fn is_of_a_probe(folder: &str) -> bool {
    let at = folder.len().saturating_sub(UUID_BYTES);
    folder.get(at..).is_some_and(|end| uuid::Uuid::try_parse(end).is_ok())
}

fn is_old(since: Option<SystemTime>, now: SystemTime) -> bool {
    let age = since.and_then(|at| now.duration_since(at).ok());
    age.is_some_and(|age| age > SILENCE_MAX)
}

/// Now, by the clock that dates the objects.
fn server_time(target: &S3Target) -> SystemTime {
    let ahead = target.client.clock_ahead_seconds().unwrap_or_default();
    let by = Duration::from_secs(ahead.unsigned_abs());
    let now = SystemTime::now();
    if ahead < 0 { now - by } else { now + by }
}
