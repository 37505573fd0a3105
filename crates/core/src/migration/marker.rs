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
