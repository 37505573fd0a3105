//! An object store: writes take effect at once, late, or not at all, whatever their sender was
//! told.

use std::collections::BTreeMap;

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
    /// The mode in its metadata.
    pub mode: u32,
    /// Changes with every write.
    pub etag: u64,
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
    /// An upload is completed; nothing happens if it was given up.
    Complete(String, RelPath, Object),
}

/// The store.
#[derive(Debug, Default)]
pub struct Target {
    /// By key.
    pub objects: BTreeMap<RelPath, Object>,
    /// Uploads that can be completed.
    pub uploads: std::collections::BTreeSet<String>,
    next_etag: u64,
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
                let there = self.uploads.remove(&upload);
                if there {
                    self.put(path, object);
                }
                there
            }
        }
    }

    /// Puts an object that stands there before the run.
    pub fn put(&mut self, path: RelPath, object: Object) {
        self.next_etag += 1;
        self.objects.insert(path, Object { etag: self.next_etag, ..object });
    }
}
