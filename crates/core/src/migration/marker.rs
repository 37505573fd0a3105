//! Directory markers: zero-byte objects that stand for empty directories.

use super::Migration;
use super::claim::{Asked, Claim, Step};
use crate::config::DirectoryMarkers;
use crate::effect::Effect;
use crate::entry::DirectoryNode;
use crate::identity::Identity;
use crate::input::Written;
use crate::metadata::MetadataLevel;
use crate::number::TxId;
use crate::path::RelPath;
use crate::record::{Attempt, AttemptKind, Change, Counters, Row};

impl Migration {
    /// A directory stands at the path: does it need a marker?
    pub(super) fn consider_marker(&mut self, path: RelPath, claim: Claim, node: DirectoryNode) {
        let wanted =
            node.empty == Some(true) || self.config.directory_markers == DirectoryMarkers::All;
        let stands = claim.marker.as_ref().is_some_and(|row| {
            self.config.metadata == MetadataLevel::None || row.metadata == node.metadata
        });
        if !wanted || stands || path.is_root() {
            self.settle(path, claim, TxId(0));
            return;
        }
        let marker = path.marker();
        if self.claims.is_busy(&marker) {
            self.again(path, claim, 50, false);
            return;
        }
        self.write_marker(path, claim, node);
    }

    fn write_marker(&mut self, path: RelPath, mut claim: Claim, node: DirectoryNode) {
        let marker = path.marker();
        let attempt = self.open_attempt(&marker, AttemptKind::Marker, Identity::Marker);
        let ticket = self.ask(Asked::Claim(path.clone()));
        let metadata = node.metadata;
        let expected = self.expected_of(claim.marker.as_ref().map(|row| &row.etag));
        claim.marker = Some(Row {
            path: marker.clone(),
            identity: Identity::Marker,
            length: 0,
            crc32c: None,
            etag: None,
            version: None,
            attempt: Some(attempt.number),
            as_of: TxId(0),
            epoch: self.epoch,
            metadata: self.carried(Some(&metadata)),
            ledger_only: false,
        });
        self.outbox.send_after(Effect::PutMarker {
            ticket,
            attempt: attempt.number,
            path: marker,
            metadata,
            expected,
        });
        claim.step = Step::WritingMarker { attempt };
        self.hold(path, claim);
    }

    pub(super) fn marker_written(
        &mut self,
        path: RelPath,
        claim: Claim,
        attempt: Attempt,
        outcome: Written,
    ) {
        match (outcome, &claim.marker) {
            (Written::Done(standing), Some(marker)) => {
                let row = Row {
                    etag: standing.etag,
                    version: standing.version,
                    crc32c: standing.crc32c,
                    ..marker.clone()
                };
                self.outbox.change(Change::PutRow(row));
                self.close_attempt(attempt.number);
                let counted = Counters { markers_written: 1, ..Counters::default() };
                self.outbox.change(Change::Count(counted));
                if claim.dirty {
                    self.again(path, claim, 0, false);
                } else {
                    self.settle(path, claim, TxId(0));
                }
            }
            (Written::Unexpected(failure), _) => {
                self.meet_unexpected(path, claim, &attempt, &failure);
            }
            (Written::Unknown(failure), _) => {
                self.doubt(&attempt);
                self.keep_gone_through(&path);
                self.fail(path, claim, failure);
            }
            (Written::Failed(failure), _) => {
                self.close_attempt(attempt.number);
                self.keep_gone_through(&path);
                self.fail(path, claim, failure);
            }
            (Written::Done(_) | Written::Staged { .. } | Written::SourceMoved, _) => {
                self.close_attempt(attempt.number);
                self.again(path, claim, 100, false);
            }
        }
    }

    /// The marker fails, and what lies below may too: going through the directory once more for the
    /// next try would begin all tries below anew, for ever.
    fn keep_gone_through(&mut self, path: &RelPath) {
        if self.config.directory_markers == DirectoryMarkers::All {
            self.gone_through.insert(path.clone(), true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{changed, claim, migration_of, sent, standing, step};
    use super::*;
    use crate::config::Config;
    use crate::metadata::Metadata;

    fn node(empty: Option<bool>) -> DirectoryNode {
        DirectoryNode { file_key: 7, empty, metadata: Metadata::default() }
    }

    fn marker() -> Row {
        Row {
            path: RelPath::from("d/"),
            identity: Identity::Marker,
            length: 0,
            ..super::super::tests::row()
        }
    }

    #[test]
    fn a_directory_has_a_marker_if_it_needs_one_and_has_none_that_says_the_same() {
        let written = |config: Config, at: &str, marker: Option<Row>, empty: Option<bool>| {
            let mut migration = migration_of(config);
            let (path, claim) = (RelPath::from(at), Claim { marker, ..claim(at) });
            migration.consider_marker(path, claim, node(empty));
            matches!(step(&migration, at), Some(Step::WritingMarker { .. }))
        };
        let all = || Config { directory_markers: DirectoryMarkers::All, ..Config::default() };
        let config = Config::default;
        assert!(written(config(), "d", None, Some(true)));
        assert!(!written(config(), "d", None, Some(false)) && !written(config(), "d", None, None));
        assert!(written(all(), "d", None, Some(false)));
        assert!(!written(all(), "", None, Some(true)), "the root has none");
        assert!(!written(config(), "d", Some(marker()), Some(true)), "it stands");
        let metadata = Metadata { mode: 0o700, ..Metadata::default() };
        let older = || Some(Row { metadata: metadata.clone(), ..marker() });
        assert!(written(config(), "d", older(), Some(true)), "it says something else");
        let none = Config { metadata: MetadataLevel::None, ..config() };
        assert!(!written(none, "d", older(), Some(true)), "which nobody asked for");
    }

    #[test]
    fn rule_2_3_a_marker_is_known_by_what_the_target_says_of_it() {
        let mut migration = migration_of(Config::default());
        let (path, claim) = (RelPath::from("d"), Claim { marker: Some(marker()), ..claim("d") });
        let attempt =
            Attempt { kind: AttemptKind::Marker, ..super::super::tests::attempt(4, "d/", 0) };
        let outcome = Written::Done(crate::input::Standing {
            etag: Some("new".to_owned()),
            version: Some("2".to_owned()),
            crc32c: Some(0),
            ..standing()
        });
        migration.marker_written(path, claim, attempt, outcome);
        let (etag, version, crc32c) = (Some("new".to_owned()), Some("2".to_owned()), Some(0));
        let row = Row { etag, version, crc32c, ..marker() };
        let counted = Counters { markers_written: 1, ..Counters::default() };
        let changes = changed(&mut migration);
        assert!(changes.contains(&Change::PutRow(row)), "{changes:?}");
        assert!(changes.contains(&Change::Count(counted)), "{changes:?}");
    }

    #[test]
    fn a_marker_that_fails_is_tried_again_without_going_through_its_directory() {
        let kept = |directory_markers: DirectoryMarkers| {
            let mut migration = migration_of(Config { directory_markers, ..Config::default() });
            migration.keep_gone_through(&RelPath::from("d"));
            sent(&mut migration);
            migration.gone_through.get(&RelPath::from("d")).copied()
        };
        assert_eq!(kept(DirectoryMarkers::All), Some(true));
        assert_eq!(kept(DirectoryMarkers::Empty), None, "whether it is empty is to be seen");
    }
}
