//! An object store: writes take effect at once, late, or not at all, whatever their sender was
//! told.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use whimbrel_core::metadata::Metadata;
use whimbrel_core::number::AttemptNumber;
use whimbrel_core::path::RelPath;

use super::source::Content;

/// What stands at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its bytes.
    pub content: Content,
    /// Bytes.
    pub length: u64,
    /// Who wrote it, as its metadata says.
    pub writer: Writer,
    /// What travels with it.
    pub carried: Carried,
}

impl Object {
    /// As a store gives it to a small object: it names the bytes, not the write.
    pub fn etag(&self) -> String {
        format!("{}-{}", self.content, self.length)
    }
}

/// What an object's user metadata holds of its file's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Permission bits.
    pub mode: u32,
    /// The ACL, or the digest of one that does not fit.
    pub acl: Option<String>,
}

/// Bytes of user metadata that an object holds.
const CARRIED_BYTES_MAX: usize = 2_048;

impl Carried {
    /// A mode and no ACL.
    pub fn mode(mode: u32) -> Self {
        Self { mode, acl: None }
    }

    /// As much as an object holds.
    pub fn of(metadata: &Metadata) -> Self {
        let acl = metadata.acl.as_ref().map(|acl| {
            if acl.len() <= CARRIED_BYTES_MAX {
                return acl.clone();
            }
            let mut digest = DefaultHasher::new();
            acl.hash(&mut digest);
            format!("digest {:x}", digest.finish())
        });
        Self { mode: metadata.mode, acl }
    }
}

/// Who wrote an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// An attempt of this migration.
    Ours(AttemptNumber),
    /// Another migration.
    OtherMigration,
    /// Somebody else.
    Foreign,
}

/// A write.
#[derive(Clone, Debug)]
pub enum Write {
    /// An object.
    Put(RelPath, Object),
    /// A removal.
    Remove(RelPath),
    /// An upload is completed; nothing happens if it was given up. Its object carries what it was
    /// opened with.
    Complete(String, RelPath, Object),
}

/// The store.
#[derive(Debug, Default)]
pub struct Target {
    /// By key.
    pub objects: BTreeMap<RelPath, Object>,
    /// Uploads that can be completed, with what their objects will carry.
    pub uploads: BTreeMap<String, Carried>,
}

impl Target {
    /// Lets a write take effect. False: an upload that is not there.
    pub fn apply(&mut self, write: Write) -> bool {
        match write {
            Write::Put(path, object) => {
                self.put(path, object);
                true
            }
            Write::Remove(path) => {
                self.objects.remove(&path);
                true
            }
            Write::Complete(upload, path, object) => {
                let Some(carried) = self.uploads.remove(&upload) else { return false };
                self.put(path, Object { carried, ..object });
                true
            }
        }
    }

    /// Puts an object that stands there before the run.
    pub fn put(&mut self, path: RelPath, object: Object) {
        self.objects.insert(path, object);
    }
}
