//! An object store: writes take effect at once, late, or not at all, whatever their sender was
//! told.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use whimbrel_core::effect::Expected;
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
    /// When its file was modified.
    pub modified_ns: i64,
}

/// Bytes of user metadata that an object holds.
const CARRIED_BYTES_MAX: usize = 2_048;

impl Carried {
    /// A mode, and nothing else.
    pub fn mode(mode: u32) -> Self {
        Self { mode, acl: None, modified_ns: 0 }
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
        Self { mode: metadata.mode, acl, modified_ns: metadata.modified_ns }
    }

    /// What a look makes of it.
    pub fn metadata(&self) -> Metadata {
        Metadata {
            mode: self.mode,
            acl: self.acl.clone(),
            modified_ns: self.modified_ns,
            ..Metadata::default()
        }
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
    /// Somebody else, with the user metadata of what an attempt of this migration wrote.
    Imitation(AttemptNumber),
}

impl Writer {
    /// No migration wrote it, whatever it says.
    pub fn is_foreign(self) -> bool {
        match self {
            Self::Foreign | Self::Imitation(_) => true,
            Self::Ours(_) | Self::OtherMigration => false,
        }
    }
}

/// A write, with what has to stand at its key until then.
#[derive(Clone, Debug)]
pub enum Write {
    /// An object.
    Put(RelPath, Object, Expected),
    /// A removal.
    Remove(RelPath, Expected),
    /// An upload is completed; nothing happens if it was given up. Its object carries what it was
    /// opened with.
    Complete(String, RelPath, Object, Expected),
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It took effect.
    Done,
    /// The upload is not there.
    NoUpload,
    /// Something else stands there than was expected.
    Unexpected,
}

/// The store.
#[derive(Debug)]
pub struct Target {
    /// By key.
    pub objects: BTreeMap<RelPath, Object>,
    /// Uploads that can be completed, with what their objects will carry.
    pub uploads: BTreeMap<String, Carried>,
    /// It minds what is expected.
    pub conditions: bool,
    /// Where somebody else wrote or removed since our last write took effect.
    pub disturbed: BTreeSet<RelPath>,
    /// Writes and removals may take foreign objects along: somebody said so.
    pub told: (bool, bool),
    /// Of the disturbed, those from which something was taken before the last run began: that run
    /// has to find it out.
    pub owed: BTreeSet<RelPath>,
    /// A foreign object that was written over or removed although nobody said so (rule 4.4).
    pub trampled: Option<String>,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
            conditions: true,
            disturbed: BTreeSet::new(),
            owed: BTreeSet::new(),
            told: (false, false),
            trampled: None,
        }
    }
}

impl Target {
    /// Lets a write take effect.
    pub fn apply(&mut self, write: Write) -> Applied {
        let (path, expected, allowed) = match &write {
            Write::Put(path, _, expected) | Write::Complete(_, path, _, expected) => {
                (path.clone(), expected, self.told.0)
            }
            Write::Remove(path, expected) => (path.clone(), expected, self.told.1),
        };
        if let Write::Complete(upload, ..) = &write
            && !self.uploads.contains_key(upload)
        {
            return Applied::NoUpload;
        }
        if !self.is_as_expected(&write, &path, expected) {
            return Applied::Unexpected;
        }
        let foreign = self.disturbed.remove(&path)
            && self.objects.get(&path).is_some_and(|object| object.writer.is_foreign());
        if foreign && self.conditions && !allowed {
            let what = format!("{path} of a foreign writer goes by {write:?}");
            self.trampled.get_or_insert(what);
        }
        match write {
            Write::Put(path, object, _) => self.put(path, object),
            Write::Remove(path, _) => {
                self.objects.remove(&path);
            }
            Write::Complete(upload, path, object, _) => {
                let Some(carried) = self.uploads.remove(&upload) else { return Applied::NoUpload };
                self.put(path, Object { carried, ..object });
            }
        }
        Applied::Done
    }

    fn is_as_expected(&self, write: &Write, path: &RelPath, expected: &Expected) -> bool {
        let there = self.objects.get(path);
        match expected {
            _ if !self.conditions => true,
            Expected::Anything => true,
            Expected::Nothing => there.is_none(),
            // What is gone is removed already.
            Expected::Object(_) if there.is_none() => matches!(write, Write::Remove(..)),
            Expected::Object(etag) => there.is_some_and(|object| object.etag() == *etag),
        }
    }

    /// Puts an object that stands there before the run.
    pub fn put(&mut self, path: RelPath, object: Object) {
        self.objects.insert(path, object);
    }

    /// Somebody else writes there.
    pub fn intrude(&mut self, path: RelPath, content: Content) {
        self.disturbed.insert(path.clone());
        self.owed.remove(&path);
        let (writer, carried) = (Writer::Foreign, Carried::mode(0o644));
        self.put(path, Object { content, length: 7, writer, carried });
    }

    /// Somebody else writes there, with the user metadata of what stands at `like`.
    pub fn imitate(&mut self, path: RelPath, like: &RelPath, content: Content) {
        let of_ours = self.objects.get(like).and_then(|object| match object.writer {
            Writer::Ours(attempt) | Writer::Imitation(attempt) => Some((attempt, object)),
            Writer::OtherMigration | Writer::Foreign => None,
        });
        let Some((attempt, imitated)) = of_ours else {
            self.intrude(path, content);
            return;
        };
        let (writer, carried) = (Writer::Imitation(attempt), imitated.carried.clone());
        // As long as one whose removal has no known end, nobody can tell it from that. An imitation
        // is of another length than what it imitates already.
        let length = match (imitated.writer, imitated.length) {
            (Writer::Imitation(_), length) => length,
            (_, 7) => 8,
            (_, _) => 7,
        };
        self.disturbed.insert(path.clone());
        self.owed.remove(&path);
        self.put(path, Object { content, length, writer, carried });
    }

    /// Somebody else removes what stands there.
    pub fn take_away(&mut self, path: &RelPath) {
        if self.objects.remove(path).is_some() {
            self.disturbed.insert(path.clone());
            self.owed.remove(path);
        }
    }

    /// A run begins: what was taken away before is no excuse for it.
    pub fn begin_run(&mut self) {
        let gone = |path: &&RelPath| !self.objects.contains_key(*path);
        self.owed.extend(self.disturbed.iter().filter(gone).cloned());
    }

    /// The run says that it is done.
    pub fn end_run(&mut self) {
        for path in std::mem::take(&mut self.owed) {
            self.disturbed.remove(&path);
        }
    }
}
