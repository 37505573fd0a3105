//! What is written: objects by key, with user metadata and checksums.

use std::collections::BTreeMap;

use whimbrel_core::config::RequestLifetime;
use whimbrel_core::effect::Expected;
use whimbrel_core::failure::FailureKind;
use whimbrel_core::input::Standing;
use whimbrel_core::metadata::Metadata;
use whimbrel_core::record::Part;

use crate::content::Content;
use crate::error::StoreError;
use crate::source::{Answer, ByteStream};

/// Where the objects go. Keys are the target's own: prefix and mapping are applied by the caller.
/// Nothing is tried twice in here: a write whose outcome is not known ends with
/// `StoreError::Unknown`, and the caller decides (rule 4.1). What makes something visible, or
/// removes it, names what is expected to stand at its key; where something else stands it takes no
/// effect and ends with `StoreError::Unexpected` (rule 4.4). Directories are not compared.
pub trait Target: Send + Sync {
    /// For people: the URL that it was opened for, without secrets.
    fn describe(&self) -> String;

    /// What it can do, as known or probed at opening.
    fn abilities(&self) -> Abilities;

    /// Says by name why a key can never be held here; `Ok` otherwise. No request is sent.
    fn admit(&self, key: &[u8]) -> Result<(), StoreError>;

    /// Writes one object from memory, and says that it has the checksum of `content`. At return it
    /// is durable as the target understands it, and its CRC32C was checked by the target where it
    /// can.
    fn put<'a>(
        &'a self,
        key: &'a [u8],
        content: Content,
        stamp: &'a Stamp,
        expected: &'a Expected,
    ) -> Answer<'a, Standing>;

    /// Begins a multipart upload; the answer names it.
    fn open_upload<'a>(&'a self, key: &'a [u8], stamp: &'a Stamp) -> Answer<'a, String>;

    /// Sends one part; parts may be sent in parallel and again.
    fn put_part<'a>(
        &'a self,
        key: &'a [u8],
        upload: &'a str,
        number: u32,
        content: Content,
    ) -> Answer<'a, Part>;

    /// Makes an object of the parts, ascending, with the CRC32C of the whole.
    fn complete_upload<'a>(
        &'a self,
        key: &'a [u8],
        upload: &'a str,
        parts: &'a [Part],
        crc32c: u32,
        expected: &'a Expected,
    ) -> Answer<'a, Standing>;

    /// Gives an upload up: no late completion can take effect (rule 4.3). Fine if it is gone.
    fn abort_upload<'a>(&'a self, key: &'a [u8], upload: &'a str) -> Answer<'a, ()>;

    /// Copies within the target the object that `from` names (version or ETag, rule 6.3), with the
    /// metadata, class, encryption and tags of a new write. `Conflict` if it is not that object
    /// any more; `Unsupported` where the target cannot copy (the caller reads again).
    fn copy<'a>(
        &'a self,
        from: &'a CopySource,
        key: &'a [u8],
        stamp: &'a Stamp,
        expected: &'a Expected,
    ) -> Answer<'a, Standing>;

    /// Removes objects in order; fine if nothing stands there. One outcome per key.
    fn remove<'a>(
        &'a self,
        items: &'a [(Vec<u8>, Expected)],
    ) -> Answer<'a, Vec<Result<(), StoreError>>>;

    /// What stands at a key, with stored checksum and user metadata; `None` if nothing.
    fn inspect<'a>(&'a self, key: &'a [u8]) -> Answer<'a, Option<Object>>;

    /// Keys under a prefix in ascending byte order after `after`.
    fn list<'a>(&'a self, prefix: &'a [u8], after: Option<&'a [u8]>) -> Answer<'a, ObjectPage>;

    /// Bytes of an object, for verification by reading.
    fn read(&self, key: &[u8]) -> ByteStream;

    /// Bytes of bodies that have left for the target so far, those of failed requests too; `None`
    /// where they do not travel: there a write is counted as a whole.
    fn bytes_sent(&self) -> Option<u64> {
        None
    }

    /// The extended attributes that stand at an object now, where the target keeps such as a file
    /// system does; `None` where they are a part of the user metadata alone.
    fn attributes<'a>(&'a self, _key: &'a [u8]) -> Answer<'a, Option<BTreeMap<String, Vec<u8>>>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Whether what stands at a key has bytes to read: not so a link, a FIFO, a device or a socket
    /// of a file system. Where nothing stands it is not known to be anything else.
    fn is_file<'a>(&'a self, _key: &'a [u8]) -> Answer<'a, bool> {
        Box::pin(std::future::ready(Ok(true)))
    }

    /// Where another file system is mounted below the root, in words: what stands on the target
    /// there cannot be seen. `None` where nothing is, and where nothing can be mounted.
    ///
    /// # Errors
    /// The root cannot be found, or what is mounted cannot be read.
    fn mounted_below(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }
}

/// What a target can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Objects of at most so many bytes can be written by `put`.
    pub put_bytes_max: u64,
    /// Bytes of a part, all but the last: at least.
    pub part_bytes_min: u64,
    /// Bytes of a part: at most.
    pub part_bytes_max: u64,
    /// Parts of an upload: at most.
    pub parts_max: u32,
    /// `copy` works up to so many bytes; 0: never.
    pub copy_bytes_max: u64,
    /// `Object::crc32c` was checked by the store and cannot stay behind when the bytes change.
    /// False where it is a note beside the bytes: good enough to find what to copy, no proof.
    pub checksums_kept: bool,
    /// Where it minds what is expected to stand at a key (rule 4.4).
    pub conditions: Conditions,
    /// Objects carry user metadata and can be given new metadata by `copy` onto themselves.
    pub metadata_by_copy: bool,
    /// Directory markers are objects (object stores); else directories are made.
    pub markers: bool,
    /// How long a write may still take effect after its call ended without an answer, or after its
    /// process died (rule 4.2); zero where none outlives its process.
    pub request_lifetime: RequestLifetime,
}

/// Which writes mind what is expected to stand at their key. Others are not to be given anything
/// else than `Expected::Anything`: their caller may look at the key before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// `put`; and `inspect` says who wrote an object. Without it none of the others counts.
    pub writes: bool,
    /// `complete_upload`.
    pub uploads: bool,
    /// `copy` to another key. Onto its own, a copy names what stands there.
    pub copies: bool,
    /// `remove`.
    pub removals: bool,
}

impl Conditions {
    /// All of them, or none.
    pub fn all(minded: bool) -> Self {
        Self { writes: minded, uploads: minded, copies: minded, removals: minded }
    }
}

/// What every write carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// This migration's id (rule 2.3).
    pub migration: String,
    /// The attempt's number (rule 2.3).
    pub attempt: u64,
    /// What travels with the file; `None` with `--metadata none`.
    pub metadata: Option<Metadata>,
}

/// Names one object and its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopySource {
    /// Its key.
    pub key: Vec<u8>,
    /// Its version, where the target keeps versions.
    pub version: Option<String>,
    /// Its entity tag.
    pub etag: Option<String>,
    /// Bytes.
    pub length: u64,
    /// Its CRC32C: the copy's is compared with it.
    pub crc32c: Option<u32>,
}

/// An object as the target describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: Vec<u8>,
    /// Bytes.
    pub length: u64,
    /// Entity tag.
    pub etag: Option<String>,
    /// Version id.
    pub version: Option<String>,
    /// Stored full-object CRC32C (`inspect` only).
    pub crc32c: Option<u32>,
    /// The attempt that wrote it (`inspect` only).
    pub attempt: Option<u64>,
    /// The migration that wrote it (`inspect` only).
    pub migration: Option<String>,
    /// What travels with it, read back from the user metadata (`inspect` only).
    pub metadata: Option<Metadata>,
    /// User metadata as it stands (`inspect` only).
    pub user_metadata: BTreeMap<String, String>,
    /// The target cannot name its key: it stands under another one than `key`.
    pub altered: bool,
}

/// A page of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectPage {
    /// Ascending by key, behind those whose key is not known. One with a known key comes last on
    /// every page that more follow.
    pub objects: Vec<Object>,
    /// More follow after the last.
    pub more: bool,
}

/// One thing that a probe of the target found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was tried.
    pub check: String,
    /// `None`: it works.
    pub problem: Option<(FailureKind, String, String)>,
}

impl From<Object> for Standing {
    fn from(object: Object) -> Self {
        Self {
            length: object.length,
            etag: object.etag,
            version: object.version,
            crc32c: object.crc32c,
            attempt: object.attempt.map(whimbrel_core::number::AttemptNumber),
            migration: object.migration,
            metadata: object.metadata,
        }
    }
}

impl StoreError {
    /// True if a write that ended so may have taken effect, or may yet.
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }
}
