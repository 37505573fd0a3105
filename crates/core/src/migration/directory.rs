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

#[cfg(test)]
mod tests {
    use super::super::tests::{changed, claim, migration_of};
    use super::*;
    use crate::config::Config;
    use crate::metadata::Metadata;

    fn config(metadata: MetadataLevel, namespace: Namespace) -> Config {
        Config { metadata, namespace, ..Config::default() }
    }

    fn node() -> DirectoryNode {
        DirectoryNode { file_key: 7, empty: None, metadata: Metadata::default() }
    }

    fn record() -> DirectoryRecord {
        let DirectoryNode { file_key, metadata, .. } = node();
        DirectoryRecord { path: RelPath::from("d"), file_key, metadata }
    }

    #[test]
    fn rule_11_2_directories_are_kept_where_they_carry_something() {
        let kept = |metadata: MetadataLevel, namespace: Namespace| {
            let mut migration = migration_of(config(metadata, namespace));
            migration.keep_directory(&RelPath::from("d"), &node(), None);
            let kept = changed(&mut migration) == [Change::PutDirectory(record())];
            migration.distrust_directory(&RelPath::from("d"), false);
            (kept, changed(&mut migration).len())
        };
        assert_eq!(kept(MetadataLevel::Basic, Namespace::Tree), (true, 1));
        assert_eq!(kept(MetadataLevel::None, Namespace::Tree), (false, 0));
        assert_eq!(kept(MetadataLevel::Basic, Namespace::Flat), (false, 0), "there are none");
    }

    #[test]
    fn rule_11_2_a_record_that_holds_is_not_written_anew() {
        let written = |known: DirectoryRecord| {
            let mut migration = migration_of(Config::default());
            migration.keep_directory(&RelPath::from("d"), &node(), Some(&known));
            !changed(&mut migration).is_empty()
        };
        assert!(!written(record()));
        assert!(written(DirectoryRecord { file_key: 8, ..record() }), "another directory");
        let metadata = Metadata { mode: 0o700, ..Metadata::default() };
        assert!(written(DirectoryRecord { metadata, ..record() }));
        let looked_at = |dirty: bool| {
            let mut migration = migration_of(Config::default());
            let claim = Claim { dirty, ..claim("d") };
            migration.keep_looked_at(&RelPath::from("d"), &claim, &node());
            changed(&mut migration).len()
        };
        assert_eq!((looked_at(false), looked_at(true)), (1, 0), "it moved meanwhile");
    }

    /// Whatever level of metadata this run carries: an earlier one may have kept more.
    #[test]
    fn rule_11_2_what_is_no_directory_any_more_is_forgotten() {
        for metadata in [MetadataLevel::None, MetadataLevel::Basic] {
            let mut migration = migration_of(config(metadata, Namespace::Tree));
            let path = RelPath::from("d");
            migration.forget_directories(&path);
            assert_eq!(changed(&mut migration), [Change::DropDirectory { path, below: true }]);
        }
        let mut flat = migration_of(config(MetadataLevel::Basic, Namespace::Flat));
        flat.forget_directories(&RelPath::from("d"));
        assert_eq!(changed(&mut flat), []);
    }
}
