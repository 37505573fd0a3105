//! Foreign writers (rule 4.4): every write says what it expects to stand at its key. Where
//! something else stands, the key is looked at: what is ours is taken in, as after an unknown
//! outcome, and what is foreign is neither written over nor removed unless a person said so.

use super::Migration;
use super::claim::Claim;
use crate::config::{Existing, Extras};
use crate::effect::{Effect, Expected, Report, ReportKind};
use crate::failure::{Failure, FailureKind, Side};
use crate::identity::Identity;
use crate::input::Standing;
use crate::metadata::Metadata;
use crate::number::{AttemptNumber, TxId};
use crate::path::RelPath;
use crate::planted::{Planted, planted};
use crate::record::{Attempt, AttemptKind, Change, Found, LetGo, Parked, Row};

/// Paths of which it is remembered that people were told: an emptied target has as many as the
/// source has files.
const FOREIGN_TOLD_MAX: usize = 10_000;

impl Migration {
    /// What has to stand at the claim's path for it to be written or removed.
    pub(super) fn expected(&self, claim: &Claim) -> Expected {
        let of_row = claim.row.as_ref().map(|row| &row.etag);
        self.expected_of(of_row.or(claim.found.as_ref().map(|found| &found.etag)))
    }

    /// The same of what is known to stand there: its entity tag, if the ledger has that. Where it
    /// does not, nothing is expected, so that a look tells what stands. Targets that do not mind
    /// conditions are sent none.
    pub(super) fn expected_of(&self, known: Option<&Option<String>>) -> Expected {
        match known {
            _ if !self.config.conditions || planted(Planted::ForeignWrittenOver) => {
                Expected::Anything
            }
            Some(Some(etag)) => Expected::Object(etag.clone()),
            Some(None) | None => Expected::Nothing,
        }
    }

    /// A write did not take effect, for its condition did not hold: its key is looked at.
    pub(super) fn meet_unexpected(
        &mut self,
        path: RelPath,
        mut claim: Claim,
        attempt: &Attempt,
        failure: &Failure,
    ) {
        self.answered_by(failure.side);
        if planted(Planted::IntentNotDurable) {
            self.outbox.change(Change::AttemptOpened(attempt.clone()));
        }
        if let Some(upload) = &attempt.upload {
            let upload_id = upload.id.clone();
            self.outbox.send(Effect::Abort { path: attempt.path.clone(), upload_id });
            self.spent_uploads.insert(attempt.number);
        }
        let number = match attempt.doubtful_until.filter(|until| *until > self.now) {
            // An upload of a dead process keeps its doubt: it may have been completed by that.
            Some(until) => {
                self.doubts.insert((until, attempt.number, attempt.path.clone()));
                self.open_attempt(&attempt.path, attempt.kind, Identity::Unknown).number
            }
            None => attempt.number,
        };
        self.look_at_once(number, &attempt.path);
        claim.tries += 1;
        self.again(path, claim, 0, false);
    }

    /// Has a key looked at, as that of an attempt that cannot take effect any more.
    pub(super) fn look_at_once(&mut self, number: AttemptNumber, path: &RelPath) {
        self.doubt_until(self.now, number, path);
    }

    /// What stood there was foreign and came late: it may have changed, or be gone, since.
    pub(super) fn is_to_be_looked_at_again(&self, claim: &Claim) -> bool {
        !claim.found_seen && claim.found.as_ref().is_some_and(|found| found.late)
    }

    /// Neither this migration wrote the object, nor did it take it over as it is.
    pub(super) fn is_foreign(
        &self,
        claim: &Claim,
        at: &RelPath,
        row: Option<&Row>,
        standing: &Standing,
    ) -> bool {
        let known = row.is_some_and(|row| row.etag.is_some() && row.etag == standing.etag);
        let ours = !is_known_as_foreign(claim, at, standing)
            && self.is_a_write_of_ours(&claim.attempts, row, standing);
        !ours && !known && (row.is_none() || self.config.conditions)
    }

    /// The object says that this migration wrote it, and that may be: user metadata is copied
    /// easily, together with other bytes. What a closed attempt wrote is in the row, or is gone.
    fn is_a_write_of_ours(
        &self,
        attempts: &[Attempt],
        row: Option<&Row>,
        standing: &Standing,
    ) -> bool {
        if standing.migration.as_deref() != Some(self.config.migration.as_str()) {
            return false;
        }
        if planted(Planted::ImitationBelieved) {
            return true;
        }
        let Some(number) = standing.attempt else { return false };
        // What an attempt wrote, it wrote once.
        if let Some(row) = row.filter(|row| row.attempt == Some(number)) {
            return may_be_the_same_write(row, standing);
        }
        // The state may be an older one that was restored.
        self.attempt_numbers.is_unknown(number)
            || attempts.iter().any(|attempt| attempt.number == number && wrote(attempt, standing))
    }

    /// Nothing stands where something was expected. If no removal of ours did that, people are
    /// told.
    pub(super) fn note_nothing_stands(&mut self, claim: &mut Claim, at: &RelPath, ours: bool) {
        let found = claim.found.take_if(|found| found.path == *at);
        if !ours && found.is_none() {
            return;
        }
        let (path, loss) = (at.clone(), claim.let_go != Some(LetGo::Person));
        self.outbox.change(match ours && self.was_removed(claim, at) {
            true => Change::Removed { path, loss, at: self.now },
            false => Change::DropRow(path),
        });
        if ours && self.config.conditions && !was_to_be_removed(claim, at) {
            let message = format!("{at} was removed from the target by somebody else");
            let remedy = "it is written again as long as the source has it; if it goes again, find \
                          out who removes it";
            self.tell_foreign(at, conflict(message, remedy));
        }
    }

    /// A removal of ours cannot take effect any more: it did.
    fn was_removed(&self, claim: &Claim, at: &RelPath) -> bool {
        let removal = |it: &&Attempt| it.path == *at && it.kind == AttemptKind::Remove;
        claim.attempts.iter().filter(removal).any(|it| self.is_over(it))
    }

    /// Something foreign stands at a key: the ledger knows it as that from now on. The row, if it
    /// is one of ours all the same.
    pub(super) fn note_foreign(
        &mut self,
        claim: &mut Claim,
        at: &RelPath,
        ours: bool,
        standing: Standing,
    ) -> Option<Row> {
        if is_known_as_found(claim, at, &standing) {
            return None;
        }
        // Elsewhere it is held at its key, or kept.
        if self.config.extras == Extras::Remove
            && self.is_of_another_migration(standing.migration.as_deref())
        {
            self.refuse_another_migration(at);
            return None;
        }
        if !self.config.conditions {
            return None;
        }
        if at.is_marker() {
            return self.note_foreign_marker(at, ours, standing);
        }
        if ours {
            self.outbox.change(Change::DropRow(at.clone()));
        }
        let found = Found {
            path: at.clone(),
            length: standing.length,
            etag: standing.etag,
            version: standing.version,
            crc32c: standing.crc32c,
            metadata: None,
            migration: standing.migration,
            late: true,
        };
        self.outbox.change(Change::FoundAdded(found.clone()));
        claim.found = Some(found);
        if was_to_be_removed(claim, at) && !self.removes_extra(claim) {
            let message = format!(
                "{at} is gone at the source; what stands on the target was written by somebody \
                 else and stays"
            );
            self.tell_foreign(at, conflict(message, "remove it if nobody needs it"));
        }
        None
    }

    /// A foreign directory marker holds nothing that could be lost and is taken over; what holds
    /// bytes is no marker and stays.
    fn note_foreign_marker(&mut self, at: &RelPath, ours: bool, standing: Standing) -> Option<Row> {
        if self.is_no_marker(&standing) {
            if ours {
                self.outbox.change(Change::DropRow(at.clone()));
            }
            return None;
        }
        let row = Row {
            path: at.clone(),
            identity: Identity::Marker,
            length: standing.length,
            crc32c: standing.crc32c,
            etag: standing.etag,
            version: standing.version,
            attempt: None,
            as_of: TxId(0),
            epoch: self.epoch,
            metadata: Metadata::unknown(),
            ledger_only: false,
        };
        self.outbox.change(Change::PutRow(row.clone()));
        Some(row)
    }

    fn is_no_marker(&self, standing: &Standing) -> bool {
        standing.length > 0 && self.config.existing != Existing::Replace
    }

    /// A foreign object with bytes stands where the directory's marker is wanted.
    pub(super) fn holds_marker(
        &self,
        claim: &Claim,
        at: &RelPath,
        standing: Option<&Standing>,
    ) -> bool {
        at.is_marker()
            && self.config.conditions
            && !was_to_be_removed(claim, at)
            && standing.is_some_and(|standing| {
                self.is_foreign(claim, at, claim.marker.as_ref(), standing)
                    && self.is_no_marker(standing)
            })
    }

    /// A foreign object stands at a key of the source, and a person decides.
    pub(super) fn hold_foreign(&mut self, path: RelPath, claim: Claim) {
        let late = claim.found.as_ref().is_some_and(|found| found.late);
        let failure = if late {
            conflict(
                format!(
                    "{path} was written on the target by somebody else after Whimbrel had looked \
                     at it; it is left as it is"
                ),
                "move it away, or have it written over with --existing replace; then start again",
            )
        } else {
            conflict(
                format!("{path} stands on the target already and was not written by Whimbrel"),
                "choose --existing check, replace or trust, or another target",
            )
        };
        self.tell_foreign(&path, failure.clone());
        self.foreign.get_or_insert(failure.clone());
        self.park(path, claim, Parked::Foreign, None, failure.message);
    }

    /// Once for a path and run: what changes often is not told of each time.
    fn tell_foreign(&mut self, path: &RelPath, failure: Failure) {
        if self.foreign_told.len() >= FOREIGN_TOLD_MAX {
            self.foreign_told.clear();
        }
        if self.foreign_told.insert(path.clone()) {
            let (path, kind) = (Some(path.clone()), ReportKind::Foreign);
            self.outbox.send(Effect::Report(Report { path, kind, failure }));
        }
    }
}

/// It was looked at before, and is what it was.
fn is_known_as_found(claim: &Claim, at: &RelPath, standing: &Standing) -> bool {
    claim.found.as_ref().is_some_and(|found| {
        found.path == *at && found.etag.is_some() && found.etag == standing.etag
    })
}

/// The same where that look told it from what was ours.
fn is_known_as_foreign(claim: &Claim, at: &RelPath, standing: &Standing) -> bool {
    claim.found.as_ref().is_some_and(|found| found.late) && is_known_as_found(claim, at, standing)
}

/// Nothing speaks against the bytes of the row. Some servers name an object that was put together
/// from parts in more than one way.
fn may_be_the_same_write(row: &Row, standing: &Standing) -> bool {
    if row.length != standing.length {
        return false;
    }
    let of_parts = |etag: &Option<String>| etag.as_ref().is_none_or(|etag| etag.contains('-'));
    match (row.crc32c, standing.crc32c) {
        (Some(ours), Some(theirs)) => ours == theirs,
        (_, _) => of_parts(&row.etag) || of_parts(&standing.etag),
    }
}

/// An attempt whose end is not known may have written this: what it was to write is as long.
fn wrote(attempt: &Attempt, standing: &Standing) -> bool {
    match attempt.kind {
        AttemptKind::Remove => false,
        AttemptKind::Copy | AttemptKind::Relocate | AttemptKind::Marker => {
            attempt.identity.length() == standing.length
        }
    }
}

/// A removal of ours of this key is over or in doubt.
fn was_to_be_removed(claim: &Claim, at: &RelPath) -> bool {
    let removal = |attempt: &Attempt| matches!(attempt.kind, AttemptKind::Remove);
    claim.attempts.iter().any(|attempt| attempt.path == *at && removal(attempt))
}

fn conflict(message: String, remedy: &str) -> Failure {
    Failure { side: Side::Target, kind: FailureKind::Conflict, message, remedy: remedy.to_owned() }
}
