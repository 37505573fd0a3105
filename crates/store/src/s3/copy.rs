//! Copies within the server (rules 6.3 and 6.4).

use whimbrel_core::input::Standing;
use whimbrel_s3::{
    Condition, CopyMetadata, CopyRequest, Crc32c, Kind, PART_BYTES_MAX, Part, Whole,
};

use super::failure::{Effect, told};
use super::target::{S3Target, name, standing};
use crate::error::StoreError;
use crate::target::{CopySource, Stamp};

/// Bytes of one range: a copy of so much ends well within a request's time.
const RANGE_BYTES: u64 = 1024 * 1024 * 1024;

/// Copies the object that `from` names, with the stamp's metadata.
pub(super) async fn run(
    target: &S3Target,
    from: &CopySource,
    key: &[u8],
    stamp: &Stamp,
) -> Result<Standing, StoreError> {
    let facts = target.facts();
    let large = from.length > PART_BYTES_MAX;
    // Some servers fail on copies of markers, and there is nothing in them to copy.
    if !facts.copies || large && !facts.part_copies || from.key.ends_with(b"/") {
        return Err(StoreError::Unsupported {
            message: format!("{}: the target cannot copy it", name(&from.key)),
            remedy: String::new(),
        });
    }
    let source = CopyRequest {
        source_bucket: None,
        source_key: from.key.clone(),
        source_version: from.version.clone(),
        source_if_match: from.etag.clone(),
    };
    if large {
        by_ranges(target, from, &source, key, stamp).await
    } else {
        whole(target, from, &source, key, stamp).await
    }
}

async fn whole(
    target: &S3Target,
    from: &CopySource,
    source: &CopyRequest,
    key: &[u8],
    stamp: &Stamp,
) -> Result<Standing, StoreError> {
    let options = target.options(key, stamp);
    let copied = target.client.copy_object(key, source, CopyMetadata::Replace, &options).await;
    let stored = copied.map_err(|error| failed(from, key, &error))?;
    let mut crc = stored.checksums.full_crc32c().map(|crc| crc.0);
    if crc.is_none() && from.crc32c.is_some() {
        crc = target.look(key).await?.and_then(|object| object.crc32c);
    }
    compare(from, key, crc)?;
    Ok(standing(&stored, from.length, from.crc32c.or(crc), stamp))
}

/// What stands there is not what was to be copied, so nothing is known of it but that: a look will
/// find the wrong checksum.
fn compare(from: &CopySource, key: &[u8], crc: Option<u32>) -> Result<(), StoreError> {
    match (from.crc32c, crc) {
        (Some(expected), Some(found)) if expected != found => Err(StoreError::Unknown {
            message: format!(
                "{}: the copy of {} has the checksum {found:08x} instead of {expected:08x}",
                name(key),
                name(&from.key)
            ),
        }),
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

async fn by_ranges(
    target: &S3Target,
    from: &CopySource,
    source: &CopyRequest,
    key: &[u8],
    stamp: &Stamp,
) -> Result<Standing, StoreError> {
    let client = &target.client;
    let upload = client.create_multipart(key, &target.options(key, stamp)).await;
    let upload = upload.map_err(|error| told(&name(key), Effect::Reads, &error))?;
    match ranges(target, from, source, key, &upload).await {
        Ok(parts) => {
            let bytes = target.facts().takes_whole_length.then_some(from.length);
            let whole = Whole { crc32c: from.crc32c.map(Crc32c), bytes };
            let always = &Condition::Always;
            let stored = client.complete_multipart(key, &upload, &parts, &whole, always).await;
            let stored = stored.map_err(|error| told(&name(key), Effect::Writes, &error))?;
            Ok(standing(&stored, from.length, from.crc32c, stamp))
        }
        Err(error) => {
            let aborted = client.abort_multipart(key, &upload).await;
            match aborted {
                Err(failure) if failure.kind() != Kind::NotFound => {
                    Err(told(&name(key), Effect::Writes, &failure))
                }
                Ok(()) | Err(_) => Err(error),
            }
        }
    }
}

async fn ranges(
    target: &S3Target,
    from: &CopySource,
    source: &CopyRequest,
    key: &[u8],
    upload: &str,
) -> Result<Vec<Part>, StoreError> {
    let mut parts = Vec::new();
    let mut begin = 0;
    let mut number = 0;
    while begin < from.length {
        number += 1;
        let end = from.length.min(begin + RANGE_BYTES);
        let range = Some(begin..end);
        let part = target.client.upload_part_copy(key, upload, number, source, range).await;
        parts.push(part.map_err(|error| failed(from, key, &error))?);
        begin = end;
    }
    Ok(parts)
}

fn failed(from: &CopySource, key: &[u8], error: &whimbrel_s3::Error) -> StoreError {
    let what = format!("copying {} to {}", name(&from.key), name(key));
    // That the source is gone or another object is a conflict too.
    told(&what, Effect::Writes, error)
}
