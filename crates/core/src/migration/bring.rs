//! Bringing a closed file to the target by the cheapest way that is certain: nothing, a renewed
//! row, an adopted object, a copy within the target, a copy from the source (rules 2.1, 6.1).

use super::Migration;
use super::claim::{Asked, Claim, Proof, Step};
use crate::adoption::Adoption;
use crate::effect::{Effect, Report, ReportKind};
use crate::entry::FileNode;
use crate::failure::{Failure, FailureKind, Side};
use crate::identity::Sameness;
use crate::metadata::MetadataLevel;
use crate::number::TxId;
use crate::path::RelPath;
use crate::planted::{Planted, planted};
use crate::record::{Change, Counters, Lane, Reach, Row};

impl Migration {
    /// Decides how a closed file gets to the target.
    pub(super) fn bring(&mut self, path: RelPath, mut claim: Claim) {
        if self.is_to_be_looked_at_again(&claim) {
            claim.found_seen = true;
            let at = path.clone();
            self.inspect(path, claim, at);
            return;
        }
        let Some(file) = &claim.node else {
            self.again(path, claim, 100, false);
            return;
        };
        if let Some(row) = &claim.row {
            match self.sameness(row, file) {
                Sameness::Same | Sameness::SameBytes => self.renew(path, claim),
                Sameness::Unproven if planted(Planted::SameUnproven) => self.renew(path, claim),
                Sameness::Unproven if row.crc32c.is_some() && !self.copies_beginning(&path) => {
                    self.prove(path, claim, Proof::Renew);
                }
                Sameness::Unproven | Sameness::Different => self.bring_anew(path, claim),
            }
            return;
        }
        if let Some(found) = &claim.found {
            match self.config.adoption(found, file.identity.length()) {
                Adoption::Ask => self.prove(path, claim, Proof::Adopt),
                Adoption::Take => self.adopt(path, claim, false),
                Adoption::Replace => self.bring_anew(path, claim),
                Adoption::Hold => self.hold_foreign(path, claim),
            }
            return;
        }
        self.bring_anew(path, claim);
    }

    /// By a copy within the target if the file's object stands elsewhere, else from the source.
    fn bring_anew(&mut self, path: RelPath, claim: Claim) {
        let relocation = match (&claim.renamed, &claim.node) {
            (Some(row), Some(file)) if self.can_relocate(&path, row, file) => {
                Some(self.sameness(row, file))
            }
            (_, _) => None,
        };
        match relocation {
            Some(Sameness::Same | Sameness::SameBytes) => self.relocate(path, claim),
            Some(_) if planted(Planted::RenamedBytesBelieved) => self.relocate(path, claim),
            Some(Sameness::Unproven) => self.prove(path, claim, Proof::Relocate),
            Some(Sameness::Different) | None => self.queue_copy(path, claim),
        }
    }

    fn can_relocate(&self, path: &RelPath, row: &Row, file: &FileNode) -> bool {
        row.path != *path
            && row.length <= self.config.copy_bytes_max
            && (row.length == file.identity.length() || planted(Planted::RenamedBytesBelieved))
            && row.etag.is_some()
            && (row.crc32c.is_some() || row.length == 0)
    }

    /// How a remembered state compares with a fresh one; an older history is not believed
    /// (rule 1.7).
    pub(super) fn sameness(&self, row: &Row, file: &FileNode) -> Sameness {
        let believed = row.epoch == self.epoch || planted(Planted::OlderIdentityBelieved);
        row.sameness(&file.identity, believed)
    }

    /// Bytes, identity and metadata of the row are the source's.
    pub(super) fn is_unchanged(&self, row: &Row, file: &FileNode) -> bool {
        self.sameness(row, file) == Sameness::Same && self.metadata_equal(row, file)
    }

    fn metadata_equal(&self, row: &Row, file: &FileNode) -> bool {
        match self.config.metadata {
            MetadataLevel::None => true,
            MetadataLevel::Basic | MetadataLevel::Full => row.metadata == file.metadata,
        }
    }

    /// Only the metadata differs: it waits for its own lane (rule 11.1).
    pub(super) fn waits_as_metadata(&self, row: &Option<Row>, file: &FileNode) -> bool {
        row.as_ref().is_some_and(|row| {
            matches!(self.sameness(row, file), Sameness::Same | Sameness::SameBytes)
                && !self.metadata_equal(row, file)
        })
    }

    /// Asks for the source's checksum.
    fn prove(&mut self, path: RelPath, mut claim: Claim, proof: Proof) {
        let Some(node) = claim.node.clone() else {
            self.again(path, claim, 100, false);
            return;
        };
        claim.step = Step::Checksumming(proof);
        let ticket = self.ask(Asked::Claim(path.clone()));
        let length = node.identity.length();
        self.outbox.send(Effect::Checksum { ticket, path: path.clone(), node, length });
        self.hold(path, claim);
    }

    /// The source's checksum is here.
    pub(super) fn checksummed(
        &mut self,
        path: RelPath,
        mut claim: Claim,
        outcome: Result<u32, Failure>,
    ) {
        let proof = match std::mem::replace(&mut claim.step, Step::Begun) {
            Step::Checksumming(proof) => proof,
            Step::Growing(prefix) => {
                self.growth_checksummed(path, claim, prefix, &outcome);
                return;
            }
            Step::Begun
            | Step::Inspecting { .. }
            | Step::Examining
            | Step::LookingAtMarker { .. }
            | Step::CheckingHints { .. }
            | Step::Purging(_)
            | Step::Removing { .. }
            | Step::Grouping { .. }
            | Step::AwaitingGroup { .. }
            | Step::LookingOnceMore { .. }
            | Step::Queued
            | Step::Copying { .. }
            | Step::Confirming { .. }
            | Step::Completing { .. }
            | Step::Relocating { .. }
            | Step::WritingMarker { .. } => {
                self.again(path, claim, 100, false);
                return;
            }
        };
        let checksum = match outcome {
            Ok(checksum) => checksum,
            Err(failure) => {
                self.fail(path, claim, failure);
                return;
            }
        };
        if claim.dirty {
            self.again(path, claim, 0, false);
            return;
        }
        match proof {
            Proof::Renew if claim.row.as_ref().and_then(|row| row.crc32c) == Some(checksum) => {
                self.renew(path, claim);
            }
            Proof::Adopt if claim.found.as_ref().and_then(|it| it.crc32c) == Some(checksum) => {
                self.adopt(path, claim, true);
            }
            Proof::Relocate
                if claim.renamed.as_ref().and_then(|row| row.crc32c) == Some(checksum) =>
            {
                self.relocate(path, claim);
            }
            Proof::Adopt if claim.found.as_ref().is_some_and(|found| found.late) => {
                self.hold_foreign(path, claim);
            }
            Proof::Renew | Proof::Adopt => self.bring_anew(path, claim),
            Proof::Relocate => self.queue_copy(path, claim),
        }
    }

    /// The bytes are there: the row takes the source's identity, and metadata that differs is
    /// written anew.
    fn renew(&mut self, path: RelPath, claim: Claim) {
        let (Some(row), Some(file)) = (&claim.row, &claim.node) else {
            self.again(path, claim, 100, false);
            return;
        };
        if !self.metadata_equal(row, file) && !planted(Planted::MetadataNotWritten) {
            if !self.config.metadata_by_copy {
                self.queue_copy(path, claim);
                return;
            }
            if row.length <= self.config.copy_bytes_max {
                self.restamp(path, claim);
                return;
            }
        }
        let (Some(row), Some(file)) = (&claim.row, &claim.node) else { return };
        let unchanged = self.is_unchanged(row, file);
        if !unchanged {
            let told = row.ledger_only;
            let ledger_only = told || !self.metadata_equal(row, file);
            let metadata = match self.config.metadata {
                // The object keeps what it has.
                MetadataLevel::None => row.metadata.clone(),
                MetadataLevel::Basic | MetadataLevel::Full => file.metadata.clone(),
            };
            let renewed = Row {
                identity: file.identity.clone(),
                metadata,
                epoch: claim.epoch,
                ledger_only,
                ..row.clone()
            };
            self.outbox.change(Change::PutRow(renewed));
            if ledger_only && !told {
                self.report_ledger_only(&path);
            }
        }
        self.settle(path, claim, TxId(0));
    }

    /// Nothing is silent about an object that keeps older metadata than its file has (rule 11.1).
    pub(super) fn report_ledger_only(&mut self, path: &RelPath) {
        self.outbox.send(Effect::Report(Report {
            path: Some(path.clone()),
            kind: ReportKind::LedgerOnly,
            failure: Failure {
                side: Side::Target,
                kind: FailureKind::Unsupported,
                message: format!(
                    "{path} has other owner, group, mode, time or ACL now than its object may \
                     carry, which is too large to be copied onto itself; the ledger has them"
                ),
                remedy: "nothing is wrong with its bytes; whimbrel path shows the metadata, and \
                         the object carries it once the file is copied anew"
                    .to_owned(),
            },
        }));
    }

    /// Takes a foreign object for the file's copy; its metadata is written later.
    fn adopt(&mut self, path: RelPath, claim: Claim, proven: bool) {
        let (Some(found), Some(file)) = (&claim.found, &claim.node) else {
            self.again(path, claim, 100, false);
            return;
        };
        let metadata = found.metadata.clone().unwrap_or_default();
        let differs = self.config.metadata != MetadataLevel::None && metadata != file.metadata;
        let row = Row {
            path: path.clone(),
            identity: file.identity.clone(),
            length: found.length,
            crc32c: found.crc32c,
            etag: found.etag.clone(),
            version: found.version.clone(),
            attempt: None,
            as_of: TxId(0),
            epoch: claim.epoch,
            metadata,
            ledger_only: false,
        };
        let counted =
            Counters { files_skipped: 1, unverified: u64::from(!proven), ..Counters::default() };
        let (first, last) = (claim.first, claim.last);
        self.outbox.change(Change::PutRow(row));
        self.outbox.change(Change::Count(counted));
        self.settle(path.clone(), claim, TxId(0));
        if differs {
            self.mark(&path, Reach::Path, Lane::Metadata, first, last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{changed, claim, migration_of, node, row, sent, step};
    use super::*;
    use crate::config::Config;
    use crate::config::Existing;
    use crate::identity::Identity;
    use crate::metadata::Metadata;
    use crate::number::{Epoch, Time};
    use crate::record::Found;

    /// As long as the file, five bytes.
    fn found() -> Found {
        Found {
            path: RelPath::from("a"),
            length: 5,
            etag: None,
            version: None,
            crc32c: Some(7),
            metadata: None,
            migration: None,
            late: false,
        }
    }

    #[test]
    fn what_stood_there_before_is_taken_only_as_far_as_it_may_be() {
        let adoption = |existing: Existing, found: Found| {
            let migration = migration_of(Config { existing, ..Config::default() });
            migration.config.adoption(&found, 5)
        };
        let (longer, unproven) =
            (Found { length: 6, ..found() }, Found { crc32c: None, ..found() });
        let late = |found: Found| Found { late: true, ..found };
        assert_eq!(adoption(Existing::Check, found()), Adoption::Ask);
        assert_eq!(adoption(Existing::Check, longer.clone()), Adoption::Replace);
        assert_eq!(adoption(Existing::Check, unproven.clone()), Adoption::Replace);
        assert_eq!(adoption(Existing::Check, late(longer.clone())), Adoption::Hold);
        assert_eq!(adoption(Existing::Check, late(unproven.clone())), Adoption::Hold);
        assert_eq!(adoption(Existing::Trust, unproven), Adoption::Take);
        assert_eq!(adoption(Existing::Trust, longer.clone()), Adoption::Replace);
        assert_eq!(adoption(Existing::Trust, late(longer.clone())), Adoption::Hold);
        assert_eq!(adoption(Existing::Replace, late(longer.clone())), Adoption::Replace);
        assert_eq!(adoption(Existing::Refuse, longer), Adoption::Hold);
        let theirs = Found { migration: Some("theirs".to_owned()), ..found() };
        assert_eq!(adoption(Existing::Check, theirs), Adoption::Hold);
    }

    /// What is done next for `a`.
    fn next(migration: &Migration) -> &'static str {
        match step(migration, "a") {
            Some(Step::Queued) => "copied",
            Some(Step::Checksumming(_)) => "proven",
            Some(Step::Relocating { .. }) => "relocated",
            Some(Step::Inspecting { .. }) => "looked at",
            Some(_) => "something else",
            None => "done",
        }
    }

    fn changed_since(row: Row) -> Row {
        let (block_pool, file_id, modified_ms, blocks) = (1, 2, 3, 5);
        let identity =
            Identity::Hdfs { block_pool, file_id, length: row.length, modified_ms, blocks };
        Row { identity, ..row }
    }

    #[test]
    fn rule_2_1_what_a_checksum_may_tell_is_asked_for() {
        let brought = |config: Config, row: Row, overtaken: u32| {
            let mut migration = migration_of(config);
            for _ in 0..overtaken {
                migration.look_again(RelPath::from("a"), claim("a"), Time(0));
            }
            let claim = Claim { row: Some(row), node: Some(node(5)), ..claim("a") };
            migration.bring(RelPath::from("a"), claim);
            next(&migration)
        };
        let config = Config::default;
        assert_eq!(brought(config(), row(), 0), "done");
        assert_eq!(brought(config(), Row { epoch: Epoch(1), ..row() }, 0), "proven");
        assert_eq!(brought(config(), changed_since(row()), 0), "proven");
        let unknown = Row { crc32c: None, ..changed_since(row()) };
        assert_eq!(brought(config(), unknown, 0), "copied", "nothing to compare it with");
        assert_eq!(brought(config(), changed_since(row()), 3), "copied", "it does not stand still");
        let live = Config { live: true, ..config() };
        assert_eq!(brought(live, changed_since(row()), 3), "proven");
    }

    #[test]
    fn rule_6_1_only_what_is_known_to_be_the_file_is_relocated() {
        let relocated = |renamed: Row| {
            let mut migration = migration_of(Config { copy_bytes_max: 5, ..Config::default() });
            let (renamed, node) = (Some(renamed), Some(node(5)));
            migration.bring(RelPath::from("a"), Claim { renamed, node, ..claim("a") });
            next(&migration)
        };
        let elsewhere = || Row { path: RelPath::from("b"), ..row() };
        assert_eq!(relocated(elsewhere()), "relocated");
        assert_eq!(relocated(changed_since(elsewhere())), "proven");
        assert_eq!(relocated(Row { path: RelPath::from("a"), ..elsewhere() }), "copied");
        assert_eq!(relocated(Row { length: 4, ..elsewhere() }), "copied");
        assert_eq!(relocated(Row { etag: None, ..elsewhere() }), "copied");
        assert_eq!(relocated(Row { crc32c: None, ..elsewhere() }), "copied");
        let migration = migration_of(Config { copy_bytes_max: 5, ..Config::default() });
        let may = |length, crc32c| {
            let renamed = Row { length, crc32c, ..elsewhere() };
            migration.can_relocate(&RelPath::from("a"), &renamed, &node(length))
        };
        assert!(may(5, Some(7)) && !may(6, Some(7)), "larger ones are not copied there");
        assert!(may(0, None) && !may(1, None), "without bytes there is nothing to be proven");
    }

    /// The checksum decides, and only of what it was asked for.
    #[test]
    fn rule_6_1_a_row_elsewhere_is_relocated_once_its_checksum_is_the_files() {
        let proven = |proof: Proof, checksum: u32, given: Claim| {
            let mut migration = migration_of(Config::default());
            let (node, step) = (Some(node(5)), Step::Checksumming(proof));
            migration.checksummed(RelPath::from("a"), Claim { node, step, ..given }, Ok(checksum));
            next(&migration)
        };
        let renamed = || {
            let renamed = Some(Row { path: RelPath::from("b"), ..changed_since(row()) });
            Claim { renamed, ..claim("a") }
        };
        assert_eq!(proven(Proof::Relocate, 7, renamed()), "relocated");
        assert_eq!(proven(Proof::Relocate, 8, renamed()), "copied");
        let known = || Claim { row: Some(changed_since(row())), ..claim("a") };
        assert_eq!(proven(Proof::Renew, 7, known()), "done");
        assert_eq!(proven(Proof::Renew, 8, known()), "copied");
        let stood = |late| {
            let found = Some(Found { late, ..found() });
            Claim { found, found_seen: true, ..claim("a") }
        };
        assert_eq!(proven(Proof::Adopt, 7, stood(false)), "done");
        assert_eq!(proven(Proof::Adopt, 8, stood(false)), "copied");
        assert_eq!(proven(Proof::Adopt, 8, stood(true)), "done", "a person decides");
        let moved = Claim { dirty: true, ..known() };
        assert_eq!(proven(Proof::Renew, 7, moved), "done", "it is looked at again");
    }

    /// What a proof or a look makes of the row.
    #[test]
    fn rule_1_7_a_renewed_row_is_of_the_history_in_which_its_file_was_read() {
        let renewed = |config: Config, known: Row| {
            let mut migration = migration_of(config);
            let (row, node) = (Some(known), Some(node(5)));
            migration.renew(RelPath::from("a"), Claim { row, node, epoch: Epoch(4), ..claim("a") });
            let effects = sent(&mut migration);
            let told = effects.iter().any(|effect| matches!(effect, Effect::Report(_)));
            let row = effects.into_iter().find_map(|effect| {
                let Effect::Persist { changes, .. } = effect else { return None };
                changes.into_iter().find_map(|change| {
                    if let Change::PutRow(row) = change { Some(row) } else { None }
                })
            });
            (row, told)
        };
        let config = || Config { copy_bytes_max: 4, ..Config::default() };
        assert_eq!(renewed(config(), row()), (None, false), "nothing is new");
        let fresh = Row { epoch: Epoch(4), ..row() };
        assert_eq!(renewed(config(), changed_since(row())), (Some(fresh.clone()), false));
        // Too large to be copied onto itself: the object keeps what it has.
        let older = || Row { metadata: Metadata { mode: 0o600, ..row().metadata }, ..row() };
        let ledger_only = Row { ledger_only: true, ..fresh.clone() };
        assert_eq!(renewed(config(), older()), (Some(ledger_only.clone()), true));
        let told_before = Row { ledger_only: true, ..older() };
        assert_eq!(renewed(config(), told_before), (Some(ledger_only), false), "once");
        let none = Config { metadata: MetadataLevel::None, ..config() };
        let kept = Row { metadata: older().metadata, ..fresh };
        assert_eq!(renewed(none, changed_since(older())), (Some(kept), false));
    }

    #[test]
    fn what_is_adopted_has_its_metadata_written_later_if_it_is_other() {
        let metadata_is_written = |config: Config, of_the_object: Metadata| {
            let mut migration = migration_of(config);
            let (found, node) = (Found { metadata: Some(of_the_object), ..found() }, Some(node(5)));
            let claim = Claim { found: Some(found), node, ..claim("a") };
            migration.adopt(RelPath::from("a"), claim, true);
            let lanes = changed(&mut migration).into_iter().filter_map(|change| {
                if let Change::Mark { lane, .. } = change { Some(lane) } else { None }
            });
            lanes.collect::<Vec<_>>() == [Lane::Metadata]
        };
        let other = || Metadata { mode: 0o600, ..Metadata::default() };
        assert!(metadata_is_written(Config::default(), other()));
        assert!(!metadata_is_written(Config::default(), Metadata::default()));
        let none = Config { metadata: MetadataLevel::None, ..Config::default() };
        assert!(!metadata_is_written(none, other()));
    }
}
