//! Large files: their parts are written into one file, each at its place, which gets its name when
//! all are there.

use std::os::unix::fs::FileExt;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use whimbrel_core::metadata::Metadata;
use whimbrel_core::record::Part;

use super::failure::{failure, io_failure, shown};
use super::sparse;
use super::stage::Stage;
use crate::content::Content;
use crate::error::StoreError;
use crate::target::Stamp;

/// Bytes of every part but the last. Fixed, so that a part's number says where it belongs.
pub(super) const PART_BYTES: u64 = 16 * 1024 * 1024;

/// What the upload was opened with; kept beside its bytes.
#[derive(Serialize, Deserialize)]
struct Opening {
    migration: String,
    attempt: u64,
    metadata: Option<Metadata>,
}

/// Begins an upload; returns its name.
pub(super) fn open(stage: &Stage, key: &[u8], stamp: &Stamp) -> Result<String, StoreError> {
    let failed = |errno| failure("begin the upload of", key, errno);
    let id = uuid::Uuid::new_v4().simple().to_string();
    let opened = stage.open().map_err(failed)?;
    let opening = Opening {
        migration: stamp.migration.clone(),
        attempt: stamp.attempt,
        metadata: stamp.metadata.clone(),
    };
    let bytes = serde_json::to_vec(&opening).map_err(|_| failed(Errno::INVAL))?;
    let file = opened.create(&stamp_name(&id)).map_err(failed)?;
    file.write_all_at(&bytes, 0).map_err(|error| io_failure("write", key, &error))?;
    file.sync_all().map_err(|error| io_failure("write", key, &error))?;
    opened.create(&id).map_err(failed)?;
    rustix::fs::fsync(opened.folder()).map_err(failed)?;
    Ok(id)
}

/// Writes one part at its place; durable at return.
pub(super) fn put_part(
    stage: &Stage,
    key: &[u8],
    upload: &str,
    number: u32,
    content: &Content,
) -> Result<Part, StoreError> {
    check_name(key, upload)?;
    let (length, crc32c) = (content.length(), content.crc32c());
    if length > PART_BYTES || number == 0 {
        return Err(refused(key, &format!("part {number} of {length} bytes has no place")));
    }
    let opened = stage.open().map_err(|errno| gone_or(key, errno))?;
    let file = opened.reopen(upload).map_err(|errno| gone_or(key, errno))?;
    let start = u64::from(number - 1) * PART_BYTES;
    let pieces = content.pieces().iter().map(|piece| &piece[..]);
    sparse::write(&file, pieces, start, start + length)
        .map_err(|error| io_failure("write", key, &error))?;
    file.sync_data().map_err(|error| io_failure("write", key, &error))?;
    Ok(Part { number, length, crc32c, etag: format!("{crc32c:08x}") })
}

/// Checks that the parts are a whole with this checksum.
pub(super) fn check_parts(key: &[u8], parts: &[Part], crc32c: u32) -> Result<u64, StoreError> {
    let mut whole = 0;
    let mut length = 0;
    for (place, part) in parts.iter().enumerate() {
        let last = place + 1 == parts.len();
        if part.number as usize != place + 1 || (!last && part.length != PART_BYTES) {
            return Err(refused(key, &format!("part {} does not follow", part.number)));
        }
        let bytes = usize::try_from(part.length).unwrap_or(usize::MAX);
        whole = crc32c::crc32c_combine(whole, part.crc32c, bytes);
        length += part.length;
    }
    if whole == crc32c {
        return Ok(length);
    }
    Err(StoreError::Corrupt {
        message: format!("the parts of {} have CRC32C {whole:08x}, not {crc32c:08x}", shown(key)),
        remedy: "it is copied again; if it comes again, look at this machine's memory".to_owned(),
    })
}

/// What the upload was opened with; `None` if it is gone.
pub(super) fn stamp(stage: &Stage, key: &[u8], upload: &str) -> Result<Option<Stamp>, StoreError> {
    check_name(key, upload)?;
    let opened = stage.open().map_err(|errno| gone_or(key, errno))?;
    let mut file = match opened.reopen(&stamp_name(upload)) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(gone_or(key, errno)),
    };
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut file, &mut bytes)
        .map_err(|error| io_failure("read", key, &error))?;
    let opening: Opening = serde_json::from_slice(&bytes).map_err(|error| StoreError::Corrupt {
        message: format!("the record of the upload of {}: {error}", shown(key)),
        remedy: "it is uploaded again".to_owned(),
    })?;
    Ok(Some(Stamp {
        migration: opening.migration,
        attempt: opening.attempt,
        metadata: opening.metadata,
    }))
}

/// Removes what belongs to an upload: afterwards no part and no completion finds it.
pub(super) fn abort(stage: &Stage, key: &[u8], upload: &str) -> Result<(), StoreError> {
    check_name(key, upload)?;
    let failed = |errno| failure("abort the upload of", key, errno);
    let opened = stage.open().map_err(failed)?;
    opened.remove(upload.as_bytes()).map_err(failed)?;
    opened.remove(stamp_name(upload).as_bytes()).map_err(failed)
}

fn stamp_name(upload: &str) -> String {
    format!("{upload}.stamp")
}

/// The name becomes a file's: nothing but what `open` gives is taken.
fn check_name(key: &[u8], upload: &str) -> Result<(), StoreError> {
    if upload.len() == 32 && upload.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(refused(key, &format!("{upload:?} names no upload")))
}

pub(super) fn gone_or(key: &[u8], errno: Errno) -> StoreError {
    if errno != Errno::NOENT {
        return failure("write the upload of", key, errno);
    }
    StoreError::Conflict {
        message: format!("the upload of {} is gone", shown(key)),
        remedy: "it is begun anew".to_owned(),
    }
}

fn refused(key: &[u8], why: &str) -> StoreError {
    StoreError::Refused {
        message: format!("the upload of {}: {why}", shown(key)),
        remedy: "report it: this is a defect".to_owned(),
    }
}
