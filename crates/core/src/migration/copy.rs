//! Copying a file's bytes, and telling whether the source stood still meanwhile (rules 3.1, 3.2,
//! 4.1, 4.5).

use std::collections::VecDeque;

use super::Migration;
use super::claim::{Asked, Claim, Copied, Step};
use super::hot::Prefix;
use crate::commit_marker;
use crate::effect::{CopyJob, Effect};
use crate::entry::{FileNode, Node};
use crate::failure::Side;
use crate::identity::{Identity, Sameness};
use crate::input::{Examined, Standing, Written};
use crate::metadata::{Metadata, MetadataLevel};
use crate::number::{AttemptNumber, TxId};
use crate::path::RelPath;
use crate::planted::{Planted, planted};
use crate::record::{Attempt, AttemptKind, Change, Counters, Lane, Reach, Row, Upload};

/// Copies that wait for a free hand.
#[derive(Debug, Default)]
pub(super) struct CopyQueue {
    /// Their files stand there already, and readers wait for them (rule 7.1).
    commit_markers: VecDeque<RelPath>,
    live: VecDeque<RelPath>,
    backlog: VecDeque<RelPath>,
    started: u64,
}

impl CopyQueue {
    fn push(&mut self, path: RelPath, live: bool) {
        let queue = match (commit_marker::is_commit_marker(&path), live) {
            (true, _) => &mut self.commit_markers,
            (false, true) => &mut self.live,
            (false, false) => &mut self.backlog,
        };
        queue.push_back(path);
    }

    /// Live changes go ahead; the backlog keeps a fifth of the work (rule 3.4).
    fn pop(&mut self) -> Option<(RelPath, bool)> {
        if let Some(path) = self.commit_markers.pop_front() {
            return Some((path, true));
        }
        self.started += 1;
        let backlog_first = self.started.is_multiple_of(5);
        let backlog = |queue: &mut Self| queue.backlog.pop_front().map(|path| (path, false));
        let live = |queue: &mut Self| queue.live.pop_front().map(|path| (path, true));
        if backlog_first {
            backlog(self).or_else(|| live(self))
        } else {
            live(self).or_else(|| backlog(self))
        }
    }
}

impl Migration {
    /// Has the file copied from the source when a hand is free.
    pub(super) fn queue_copy(&mut self, path: RelPath, mut claim: Claim) {
        claim.step = Step::Queued;
        self.note_arriving(&path);
        self.queue.push(path.clone(), claim.lane == Lane::Live);
        self.hold(path, claim);
    }

    /// Starts copies while hands are free.
    pub(super) fn start_copies(&mut self) {
        let copies_max = self.config.copies_max;
        let copies_max = if planted(Planted::CopiesUnbounded) { usize::MAX } else { copies_max };
        while self.copies_in_flight < copies_max && !self.stopping {
            let held = self.is_held_back(Side::Target) || self.waits_for_source();
            if held || self.paused {
                return;
            }
            let Some((path, live)) = self.queue.pop() else { return };
            if let Some(claim) = self.claims.take(&path) {
                self.start_copy(path, claim, live);
            }
        }
    }

    fn start_copy(&mut self, path: RelPath, mut claim: Claim, live: bool) {
        let Some(node) = claim.node.clone() else {
            self.again(path, claim, 100, false);
            return;
        };
        if claim.dirty {
            self.again(path, claim, 0, false);
            return;
        }
        let attempt = match self.resumable(&claim, &node) {
            Some(attempt) => attempt,
            None => self.open_attempt(&path, AttemptKind::Copy, node.identity.clone()),
        };
        let job = CopyJob {
            ticket: self.ask(Asked::Claim(path.clone())),
            attempt: attempt.number,
            path: path.clone(),
            node,
            expected: self.expected(&claim),
            resume: attempt.upload.clone(),
            live,
            beginning: self.copies_beginning(&path),
        };
        self.probe_if_lost();
        self.copies_in_flight += 1;
        claim.step = Step::Copying { attempt };
        self.outbox.send_after(Effect::Copy(job));
        self.hold(path, claim);
    }

    /// An earlier upload of exactly these bytes; others on the path are given up (rule 4.3).
    fn resumable(&mut self, claim: &Claim, node: &FileNode) -> Option<Attempt> {
        let mut resumed = None;
        for attempt in &claim.attempts {
            let Some(upload) = &attempt.upload else { continue };
            let same = attempt.identity.compare(&node.identity) == Sameness::Same;
            if !self.spent_uploads.insert(attempt.number) {
                continue;
            }
            if same && resumed.is_none() {
                resumed = Some(attempt.clone());
            } else {
                self.abandon(attempt, upload);
            }
        }
        resumed
    }

    /// The end of a copy's bytes, of a completion, of a copy within the target or of a marker.
    pub(super) fn written(&mut self, path: RelPath, mut claim: Claim, outcome: Written) {
        if matches!(outcome, Written::Done(_) | Written::Staged { .. }) {
            self.is_back(Side::Target);
        }
        match std::mem::replace(&mut claim.step, Step::Begun) {
            Step::Copying { attempt } => {
                self.copies_in_flight -= 1;
                self.copied(path, claim, attempt, outcome);
            }
            Step::Completing { attempt, as_of, crc32c } => {
                self.completed(path, claim, attempt, as_of, crc32c, outcome);
            }
            Step::Relocating { attempt, from } => {
                self.relocated(path, claim, attempt, from, outcome);
            }
            Step::WritingMarker { attempt } => self.marker_written(path, claim, attempt, outcome),
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
            | Step::Checksumming(_)
            | Step::Queued
            | Step::Growing(_)
            | Step::Confirming { .. } => self.again(path, claim, 100, false),
        }
    }

    fn copied(&mut self, path: RelPath, claim: Claim, attempt: Attempt, outcome: Written) {
        match outcome {
            Written::Done(standing) => {
                self.confirm(path, claim, attempt, Copied::Object(standing));
            }
            Written::Staged { upload, crc32c } => {
                self.confirm(path, claim, attempt, Copied::Staged { upload, crc32c });
            }
            Written::SourceMoved => {
                self.give_attempt_up(&attempt, None);
                self.look_again(path, claim, attempt.started);
            }
            Written::Unexpected(failure) => {
                self.meet_unexpected(path, claim, &attempt, &failure);
            }
            Written::Unknown(failure) if planted(Planted::UnknownTakenForFailed) => {
                self.close_attempt(attempt.number);
                self.fail(path, claim, failure);
            }
            Written::Unknown(failure) => {
                self.doubt(&attempt);
                self.fail(path, claim, failure);
            }
            Written::Failed(failure) => {
                self.give_attempt_up(&attempt, Some(&failure));
                self.fail(path, claim, failure);
            }
        }
    }

    /// The file stood still between its look and the last byte read? With a stream the stream
    /// says it, without one another look does (rule 3.2).
    fn confirm(&mut self, path: RelPath, mut claim: Claim, attempt: Attempt, written: Copied) {
        if planted(Planted::CopyNotConfirmed) {
            let stood_still = !claim.dirty;
            self.confirmed(path, claim, attempt, written, TxId(0), stood_still);
            return;
        }
        claim.step = Step::Confirming { attempt, written };
        if self.config.live {
            self.wait_for_barrier(path.clone());
        } else {
            let ticket = self.ask(Asked::Claim(path.clone()));
            let effect = Effect::Examine { ticket, path: path.clone(), by_file_key: false };
            self.outbox.send(effect);
        }
        self.hold(path, claim);
    }

    pub(super) fn confirm_by_look(
        &mut self,
        path: RelPath,
        claim: Claim,
        attempt: Attempt,
        written: Copied,
        outcome: Examined,
    ) {
        let stood_still = match (&outcome, &claim.node) {
            (Examined::Present(Node::File(now)), Some(then)) => {
                !now.open && then.identity.compare(&now.identity) == Sameness::Same
            }
            (_, _) => false,
        };
        self.confirmed(path, claim, attempt, written, TxId(0), stood_still);
    }

    /// The stream was followed up to `as_of`, which was fetched after the last read.
    pub(super) fn confirm_by_stream(&mut self, path: RelPath, as_of: TxId) {
        let Some(mut claim) = self.claims.take(&path) else { return };
        match std::mem::replace(&mut claim.step, Step::Begun) {
            Step::Confirming { attempt, written } => {
                let stood_still = !claim.dirty;
                self.confirmed(path, claim, attempt, written, as_of, stood_still);
            }
            Step::Grouping { asks } => {
                claim.step = Step::Grouping { asks };
                self.commit_marker_followed(path, claim, as_of);
            }
            other @ (Step::Begun
            | Step::AwaitingGroup { .. }
            | Step::LookingOnceMore { .. }
            | Step::Inspecting { .. }
            | Step::Examining
            | Step::LookingAtMarker { .. }
            | Step::CheckingHints { .. }
            | Step::Purging(_)
            | Step::Removing { .. }
            | Step::Checksumming(_)
            | Step::Queued
            | Step::Copying { .. }
            | Step::Growing(_)
            | Step::Completing { .. }
            | Step::Relocating { .. }
            | Step::WritingMarker { .. }) => {
                claim.step = other;
                self.hold(path, claim);
            }
        }
    }

    fn confirmed(
        &mut self,
        path: RelPath,
        claim: Claim,
        attempt: Attempt,
        written: Copied,
        as_of: TxId,
        stood_still: bool,
    ) {
        match written {
            Copied::Object(standing) if stood_still => {
                self.file_arrived(path, claim, &attempt, standing, as_of);
            }
            Copied::Object(standing) => {
                self.count_copy(standing.length);
                let row = self.row_of(&path, &claim, &attempt, standing, as_of);
                let row = Row { identity: Identity::Unknown, ..row };
                self.outbox.change(Change::PutRow(row));
                self.close_attempt(attempt.number);
                self.look_again(path, claim, attempt.started);
            }
            Copied::Staged { upload, crc32c } if stood_still => {
                self.complete(path, claim, attempt, upload, as_of, crc32c);
            }
            Copied::Staged { upload, crc32c } => {
                self.staged_and_overtaken(path, claim, Prefix { attempt, upload, crc32c });
            }
        }
    }

    /// Makes an upload visible.
    pub(super) fn complete(
        &mut self,
        path: RelPath,
        mut claim: Claim,
        attempt: Attempt,
        upload: Upload,
        as_of: TxId,
        crc32c: u32,
    ) {
        let ticket = self.ask(Asked::Claim(path.clone()));
        let number = attempt.number;
        let expected = self.expected(&claim);
        claim.step = Step::Completing { attempt, as_of, crc32c };
        self.outbox.send_after(Effect::Complete {
            ticket,
            attempt: number,
            path: path.clone(),
            upload,
            crc32c,
            expected,
        });
        self.hold(path, claim);
    }

    fn completed(
        &mut self,
        path: RelPath,
        claim: Claim,
        attempt: Attempt,
        as_of: TxId,
        crc32c: u32,
        outcome: Written,
    ) {
        match outcome {
            Written::Done(standing) => {
                let standing = Standing { crc32c: Some(crc32c), ..standing };
                self.file_arrived(path, claim, &attempt, standing, as_of);
            }
            Written::Unexpected(failure) => {
                self.meet_unexpected(path, claim, &attempt, &failure);
            }
            Written::Unknown(failure) => {
                self.doubt(&attempt);
                self.fail(path, claim, failure);
            }
            Written::Failed(failure) => {
                self.give_attempt_up(&attempt, Some(&failure));
                self.fail(path, claim, failure);
            }
            Written::Staged { .. } | Written::SourceMoved => {
                self.give_attempt_up(&attempt, None);
                self.again(path, claim, 100, false);
            }
        }
    }

    /// Row, closed attempt, count and settled entry in one transaction (rule 4.5).
    fn file_arrived(
        &mut self,
        path: RelPath,
        claim: Claim,
        attempt: &Attempt,
        standing: Standing,
        as_of: TxId,
    ) {
        if claim.row.is_none() {
            self.note_arrival();
        }
        let bytes = standing.length;
        let row = self.row_of(&path, &claim, attempt, standing, as_of);
        let older = self.carries_older_metadata(attempt);
        let stale = older && self.can_restamp(bytes);
        let ledger_only = older && !stale;
        let row = if stale { Row { metadata: Metadata::unknown(), ..row } } else { row };
        let row = Row { ledger_only, ..row };
        let replaced = claim.found.is_some() && claim.row.is_none();
        let (first, last) = (claim.first, claim.last);
        if !planted(Planted::RowNotWritten) {
            self.outbox.change(Change::PutRow(row));
        }
        self.close_attempt(attempt.number);
        self.count_copy(bytes);
        let files_replaced = u64::from(replaced);
        self.outbox.change(Change::Count(Counters { files_replaced, ..Counters::default() }));
        self.settle(path.clone(), claim, as_of);
        if stale {
            self.mark(&path, Reach::Path, Lane::Metadata, first, last);
        }
        if ledger_only {
            self.report_ledger_only(&path);
        }
    }

    /// An upload that was gone on with carries what its file had when it was opened, and nobody
    /// remembers that: it is written anew, where that costs no bytes of the source.
    fn carries_older_metadata(&self, attempt: &Attempt) -> bool {
        attempt.upload.is_some()
            && attempt.doubtful_until.is_some()
            && self.config.metadata != MetadataLevel::None
    }

    fn can_restamp(&self, bytes: u64) -> bool {
        self.config.metadata_by_copy && bytes <= self.config.copy_bytes_max
    }

    pub(super) fn row_of(
        &self,
        path: &RelPath,
        claim: &Claim,
        attempt: &Attempt,
        standing: Standing,
        as_of: TxId,
    ) -> Row {
        Row {
            path: path.clone(),
            identity: attempt.identity.clone(),
            length: standing.length,
            crc32c: standing.crc32c,
            etag: standing.etag,
            version: standing.version,
            attempt: Some(attempt.number),
            as_of,
            epoch: claim.epoch,
            metadata: self.carried(claim.node.as_ref().map(|node| &node.metadata)),
            ledger_only: false,
        }
    }

    /// What an object that is written now carries of its file. Nothing, with `--metadata none`: a
    /// later run that is to carry it finds the difference (rule 11.1).
    pub(super) fn carried(&self, metadata: Option<&Metadata>) -> Metadata {
        match (self.config.metadata, metadata) {
            (MetadataLevel::None, _) => Metadata::unknown(),
            (MetadataLevel::Basic | MetadataLevel::Full, Some(metadata)) => metadata.clone(),
            (MetadataLevel::Basic | MetadataLevel::Full, None) => Metadata::default(),
        }
    }

    /// The target named the upload of a copy: from now on it can be resumed.
    pub(super) fn upload_opened(&mut self, number: AttemptNumber, upload: Upload) {
        self.outbox.change(Change::UploadOpened { number, upload: upload.clone() });
        for claim in self.claims.held.values_mut() {
            if let Step::Copying { attempt } = &mut claim.step
                && attempt.number == number
            {
                attempt.upload = Some(upload);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{
        attempt, changed, claim, failure, identity, migration_of, node, row, sent, standing, step,
        upload,
    };
    use super::*;
    use crate::config::Config;
    use crate::failure::FailureKind;
    use crate::record::Found;

    #[test]
    fn rule_3_4_a_fifth_of_the_copies_is_the_backlogs() {
        let mut queue = CopyQueue::default();
        for number in 0..8 {
            queue.push(RelPath::from(format!("live {number}").as_str()), true);
        }
        for path in ["old 0", "old 1"] {
            queue.push(RelPath::from(path), false);
        }
        queue.push(RelPath::from("_SUCCESS"), false);
        let popped = std::iter::from_fn(|| queue.pop());
        let live: Vec<bool> = popped.map(|(_, live)| live).collect();
        let (marker, five) = ([true], [true, true, true, true, false]);
        assert_eq!(live, [&marker[..], &five, &five].concat(), "the marker first");
    }

    /// A file that is to be copied, as live work or of the backlog.
    fn wants_copy(migration: &mut Migration, at: &str, lane: Lane) {
        let claim = Claim { lane, node: Some(node(5)), ..claim(at) };
        migration.queue_copy(RelPath::from(at), claim);
    }

    /// The copies that are asked for: where, and whether they go ahead of the backlog.
    fn copies(migration: &mut Migration) -> Vec<(RelPath, bool)> {
        migration.start_copies();
        let copies = sent(migration).into_iter().filter_map(|effect| {
            if let Effect::Copy(job) = effect { Some((job.path, job.live)) } else { None }
        });
        copies.collect()
    }

    #[test]
    fn rule_3_4_live_changes_are_copied_first() {
        let mut migration = migration_of(Config::default());
        wants_copy(&mut migration, "old", Lane::Backlog);
        wants_copy(&mut migration, "new", Lane::Live);
        let expected = [(RelPath::from("new"), true), (RelPath::from("old"), false)];
        assert_eq!(copies(&mut migration), expected);
    }

    #[test]
    fn no_copy_begins_that_could_not_be_read_or_written() {
        let begun = |hinder: &dyn Fn(&mut Migration)| {
            let mut migration = migration_of(Config::default());
            wants_copy(&mut migration, "a", Lane::Live);
            hinder(&mut migration);
            copies(&mut migration).len()
        };
        assert_eq!(begun(&|_| {}), 1);
        assert_eq!(begun(&|migration| migration.paused = true), 0);
        assert_eq!(begun(&|migration| migration.stopping = true), 0);
        for side in [Side::Source, Side::Target] {
            let lost = failure(side, FailureKind::Unavailable);
            assert_eq!(begun(&|migration| migration.side_failed(&lost)), 0, "{side:?}");
        }
    }

    fn rows(migration: &mut Migration) -> Vec<Row> {
        let rows = changed(migration)
            .into_iter()
            .filter_map(|change| if let Change::PutRow(row) = change { Some(row) } else { None });
        rows.collect()
    }

    /// What stands then is known to stand, and equal to nothing.
    #[test]
    fn rule_3_2_a_copy_of_what_moved_is_a_copy_of_nothing_known() {
        let confirmed = |stood_still: bool| {
            let mut migration = migration_of(Config::default());
            let (path, attempt) = (RelPath::from("a"), attempt(4, "a", 5));
            let written = Copied::Object(standing());
            migration.confirmed(path, claim("a"), attempt, written, TxId(7), stood_still);
            rows(&mut migration).remove(0).identity
        };
        assert_eq!(confirmed(true), identity(5));
        assert_eq!(confirmed(false), Identity::Unknown);
    }

    /// The answer to a completion says nothing of the bytes; what was sent does.
    #[test]
    fn rule_2_1_a_completed_uploads_row_has_the_checksum_of_what_was_sent() {
        let mut migration = migration_of(Config::default());
        let (path, attempt) = (RelPath::from("a"), attempt(4, "a", 5));
        let outcome = Written::Done(Standing { crc32c: None, ..standing() });
        migration.completed(path, claim("a"), attempt, TxId(7), 8, outcome);
        assert_eq!(rows(&mut migration).remove(0).crc32c, Some(8));
    }

    /// An upload of an earlier run carries the metadata of then.
    #[test]
    fn rule_11_1_what_an_older_upload_carries_is_written_anew_or_told() {
        let arrived = |metadata_by_copy: bool, attempt: Attempt| {
            let mut migration = migration_of(Config { metadata_by_copy, ..Config::default() });
            let path = RelPath::from("a");
            migration.file_arrived(path, claim("a"), &attempt, standing(), TxId(7));
            let effects = sent(&mut migration);
            let told = effects.iter().any(|effect| matches!(effect, Effect::Report(_)));
            let changes = effects.into_iter().flat_map(|effect| {
                if let Effect::Persist { changes, .. } = effect { changes } else { Vec::new() }
            });
            let changes: Vec<Change> = changes.collect();
            let later = changes
                .iter()
                .any(|change| matches!(change, Change::Mark { lane: Lane::Metadata, .. }));
            let row = changes.iter().find_map(|change| {
                if let Change::PutRow(row) = change { Some(row.clone()) } else { None }
            });
            let row = row.expect("a row");
            (row.metadata == Metadata::unknown(), later, row.ledger_only, told)
        };
        let of_this_run = || Attempt { doubtful_until: None, ..attempt(4, "a", 5) };
        let whole = || attempt(4, "a", 5);
        let (plain, rewritten) = ((false, false, false, false), (true, true, false, false));
        let (resumed, in_parts) = (
            Attempt { upload: Some(upload()), ..whole() },
            Attempt { upload: Some(upload()), ..of_this_run() },
        );
        for metadata_by_copy in [true, false] {
            assert_eq!(arrived(metadata_by_copy, of_this_run()), plain);
            assert_eq!(arrived(metadata_by_copy, whole()), plain);
            assert_eq!(arrived(metadata_by_copy, in_parts.clone()), plain);
        }
        assert_eq!(arrived(true, resumed.clone()), rewritten);
        assert_eq!(arrived(false, resumed), (false, false, true, true));
    }

    #[test]
    fn rule_4_3_an_upload_is_that_of_its_own_copy() {
        let mut migration = migration_of(Config::default());
        wants_copy(&mut migration, "a", Lane::Live);
        wants_copy(&mut migration, "b", Lane::Live);
        migration.start_copies();
        let number = |migration: &Migration, at: &str| {
            if let Some(Step::Copying { attempt }) = step(migration, at) {
                (attempt.number, attempt.upload.clone())
            } else {
                panic!("{at} is copied")
            }
        };
        let (of_b, _) = number(&migration, "b");
        migration.upload_opened(of_b, upload());
        assert_eq!(number(&migration, "a").1, None);
        assert_eq!(number(&migration, "b").1, Some(upload()));
    }

    #[test]
    fn what_was_foreign_and_is_written_over_is_counted() {
        let replaced = |found: Option<Found>, known: Option<Row>| {
            let mut migration = migration_of(Config::default());
            let claim = Claim { found, row: known, ..claim("a") };
            let attempt = attempt(4, "a", 5);
            migration.file_arrived(RelPath::from("a"), claim, &attempt, standing(), TxId(7));
            let counted = changed(&mut migration).into_iter().map(|change| {
                if let Change::Count(counted) = change { counted.files_replaced } else { 0 }
            });
            counted.sum::<u64>()
        };
        let found = || Found {
            path: RelPath::from("a"),
            length: 5,
            etag: None,
            version: None,
            crc32c: None,
            metadata: None,
            migration: None,
            late: false,
        };
        assert_eq!(replaced(Some(found()), None), 1);
        assert_eq!(replaced(None, None), 0, "nothing stood there");
        assert_eq!(replaced(Some(found()), Some(row())), 0, "our own object stood there");
    }
}
