//! Copies within the target: a renamed file's object moves without its bytes being read again
//! (rules 6.1, 6.3, 6.4), and changed metadata is written anew (rule 11.1).

use super::Migration;
use super::claim::{Asked, Claim, Step};
use crate::effect::{Effect, Expected};
use crate::failure::{Failure, FailureKind};
use crate::identity::Identity;
use crate::input::{Standing, Written};
use crate::number::TxId;
use crate::path::RelPath;
use crate::planted::{Planted, planted};
use crate::record::{Attempt, AttemptKind, Change, Counters, Row};

impl Migration {
    /// Copies the object of the row with the same file key to this path. The old key goes later,
    /// when its own entry is worked on.
    pub(super) fn relocate(&mut self, path: RelPath, claim: Claim) {
        let Some(from) = claim.renamed.clone() else {
            self.queue_copy(path, claim);
            return;
        };
        if self.claims.is_busy(&from.path) {
            self.again(path, claim, 50, false);
            return;
        }
        self.claims.lent.insert(from.path.clone());
        self.copy_within(path, claim, from);
    }

    /// Writes the metadata of an object anew by copying it onto itself.
    pub(super) fn restamp(&mut self, path: RelPath, claim: Claim) {
        match claim.row.clone() {
            Some(row) => self.copy_within(path, claim, row),
            None => self.queue_copy(path, claim),
        }
    }

    fn copy_within(&mut self, path: RelPath, mut claim: Claim, from: Row) {
        let Some(node) = &claim.node else {
            self.end_loan(&from.path);
            self.again(path, claim, 100, false);
            return;
        };
        let metadata = node.metadata.clone();
        // A copy of an object onto itself names what stands there as what it copies.
        let expected = if from.path == path { Expected::Anything } else { self.expected(&claim) };
        let identity = node.identity.clone();
        let etag = from.etag.clone().filter(|_| !planted(Planted::CopyNamesNothing));
        let attempt = self.open_attempt(&path, AttemptKind::Relocate, identity);
        let ticket = self.ask(Asked::Claim(path.clone()));
        self.outbox.send_after(Effect::Relocate {
            ticket,
            attempt: attempt.number,
            from: Row { etag, ..from.clone() },
            path: path.clone(),
            metadata,
            expected,
        });
        self.note_arriving(&path);
        claim.step = Step::Relocating { attempt, from };
        self.hold(path, claim);
    }

    pub(super) fn relocated(
        &mut self,
        path: RelPath,
        mut claim: Claim,
        attempt: Attempt,
        from: Row,
        outcome: Written,
    ) {
        self.end_loan(&from.path);
        match outcome {
            Written::Done(standing) => self.copy_within_done(path, claim, &attempt, from, standing),
            Written::Unexpected(failure) => {
                self.meet_unexpected(path, claim, &attempt, &failure);
            }
            Written::Unknown(failure) => {
                self.doubt(&attempt);
                self.fail(path, claim, failure);
            }
            Written::Failed(failure) if reads_instead(&failure) => {
                self.close_attempt(attempt.number);
                claim.renamed = None;
                self.queue_copy(path, claim);
            }
            Written::Failed(failure) => {
                self.close_attempt(attempt.number);
                self.fail(path, claim, failure);
            }
            Written::Staged { .. } | Written::SourceMoved => {
                self.close_attempt(attempt.number);
                self.again(path, claim, 100, false);
            }
        }
    }

    fn copy_within_done(
        &mut self,
        path: RelPath,
        claim: Claim,
        attempt: &Attempt,
        from: Row,
        standing: Standing,
    ) {
        let moved = from.path != path;
        let crc32c = standing.crc32c.or(from.crc32c);
        let standing = Standing { crc32c, length: from.length, ..standing };
        let row = self.row_of(&path, &claim, attempt, standing, TxId(0));
        let row = if claim.dirty { Row { identity: Identity::Unknown, ..row } } else { row };
        self.outbox.change(Change::PutRow(row));
        self.close_attempt(attempt.number);
        self.outbox.change(Change::Count(Counters {
            files_relocated: u64::from(moved),
            metadata_updated: u64::from(!moved),
            ..Counters::default()
        }));
        if claim.dirty {
            self.look_again(path, claim, attempt.started);
        } else {
            self.settle(path, claim, TxId(0));
        }
    }

    fn end_loan(&mut self, path: &RelPath) {
        if self.claims.lent.remove(path) {
            self.freed(path);
        }
    }
}

/// The copy cannot be made within the target: what was to be copied is not there any more, or the
/// target does not copy such objects.
fn reads_instead(failure: &Failure) -> bool {
    match failure.kind {
        FailureKind::Unsupported
        | FailureKind::Conflict
        | FailureKind::Missing
        | FailureKind::Moved
        | FailureKind::Corrupt => true,
        FailureKind::Unavailable
        | FailureKind::Throttled
        | FailureKind::Denied
        | FailureKind::Forbidden
        | FailureKind::Refused
        | FailureKind::Full
        | FailureKind::Defect => false,
    }
}
