//! Bringing a closed file to the target by the cheapest way that is certain: nothing, a renewed
//! row, an adopted object, a copy within the target, a copy from the source (rules 2.1, 6.1).

use super::Migration;
use super::claim::{Asked, Claim, Proof, Step};
use crate::config::Existing;
use crate::effect::{Effect, Report, ReportKind};
use crate::entry::FileNode;
use crate::failure::{Failure, FailureKind, Side};
use crate::identity::Sameness;
use crate::metadata::MetadataLevel;
use crate::number::TxId;
use crate::path::RelPath;
use crate::planted::{Planted, planted};
use crate::record::{Change, Counters, Found, Lane, Reach, Row};

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
            match self.adoption(found, file) {
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
        if row.length != file.identity.length() {
            return Sameness::Different;
        }
        let sameness = row.identity.compare(&file.identity);
        let believed = row.epoch == self.epoch || planted(Planted::OlderIdentityBelieved);
        match sameness {
            Sameness::Same | Sameness::SameBytes if !believed => Sameness::Unproven,
            Sameness::Same | Sameness::SameBytes | Sameness::Unproven | Sameness::Different => {
                sameness
            }
        }
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

    fn adoption(&self, found: &Found, file: &FileNode) -> Adoption {
        let equal_length = found.length == file.identity.length();
        let of_another = self.is_of_another_migration(found.migration.as_deref());
        match self.config.existing {
            Existing::Replace => Adoption::Replace,
            Existing::Refuse => Adoption::Hold,
            Existing::Trust | Existing::Check if of_another => Adoption::Hold,
            Existing::Trust if equal_length => Adoption::Take,
            Existing::Check if equal_length && found.crc32c.is_some() => Adoption::Ask,
            Existing::Trust | Existing::Check if found.late => Adoption::Hold,
            Existing::Trust | Existing::Check => Adoption::Replace,
        }
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

/// What happens to a foreign object at a key of the source.
#[derive(Debug, PartialEq, Eq)]
enum Adoption {
    /// The checksum decides.
    Ask,
    /// Taken unproven.
    Take,
    /// Written over.
    Replace,
    /// A person decides.
    Hold,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::identity::Identity;
    use crate::metadata::Metadata;
    use crate::number::Time;
    use crate::record::Meta;

    fn file(length: u64) -> FileNode {
        let (block_pool, file_id, modified_ms, blocks) = (1, 2, 3, 4);
        let identity = Identity::Hdfs { block_pool, file_id, length, modified_ms, blocks };
        let (metadata, pin) = (Metadata::default(), bytes::Bytes::new());
        FileNode { identity, open: false, metadata, pin }
    }

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
            let config = Config { existing, ..Config::default() };
            let migration = Migration::new(config, &Meta::default(), Vec::new(), Time(0));
            migration.adoption(&found, &file(5))
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
}
