//! What a directory carries itself: the ledger keeps it, whether the directory has a marker on the
//! target or not (rule 11.2).
//!
//! A listing of its parent brings it, and so does a look. An event about the directory itself takes
//! away what is known of it, so that a pass over a directory finds out whether it has to be looked
//! at itself: a scan comes from the listing of the parent, and costs no look for each directory.

use super::Migration;
use super::claim::{Claim, Step};
use crate::entry::DirectoryNode;
use crate::metadata::MetadataLevel;
use crate::path::{Namespace, RelPath};
use crate::planted::{Planted, planted};
use crate::record::{Change, DirectoryRecord};

impl Migration {
    pub(super) fn keeps_directories(&self) -> bool {
        self.config.metadata != MetadataLevel::None && self.config.namespace == Namespace::Tree
    }

    /// A look saw the directory.
    pub(super) fn keep_looked_at(&mut self, path: &RelPath, claim: &Claim, node: &DirectoryNode) {
        if !claim.dirty {
            self.keep_directory(path, node, None);
        }
    }

    /// The directory stands there so, and the ledger has `known` of it.
    pub(super) fn keep_directory(
        &mut self,
        path: &RelPath,
        node: &DirectoryNode,
        known: Option<&DirectoryRecord>,
    ) {
        if !self.keeps_directories() {
            return;
        }
        if known.is_some_and(|known| is_of(known, node)) {
            return;
        }
        self.outbox.change(Change::PutDirectory(DirectoryRecord {
            path: path.clone(),
            file_key: node.file_key,
            metadata: node.metadata.clone(),
        }));
    }

    /// Something happened to the directory itself, if it is one: answers that are under way may be
    /// older.
    pub(super) fn distrust_directory(&mut self, path: &RelPath, below: bool) {
        if !self.keeps_directories() {
            return;
        }
        self.touch_passes(path, false);
        if let Some(claim) = self.claims.held.get_mut(path)
            && matches!(claim.step, Step::Examining)
        {
            claim.dirty = true;
        }
        self.outbox.change(Change::DropDirectory { path: path.clone(), below });
    }

    /// No directory stands at the path any more.
    pub(super) fn forget_directories(&mut self, path: &RelPath) {
        let stays = planted(Planted::DirectoryRecordStays);
        if self.config.namespace == Namespace::Tree && !stays {
            self.outbox.change(Change::DropDirectory { path: path.clone(), below: true });
        }
    }
}

/// The record says what stands there.
pub(super) fn is_of(record: &DirectoryRecord, node: &DirectoryNode) -> bool {
    record.file_key == node.file_key && record.metadata == node.metadata
}
