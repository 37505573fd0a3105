//! Removing from the target, on positive evidence alone (section 5): keys are claimed, then the
//! source is read, then the objects go; commit markers first (rule 7.1).

use std::ops::RangeInclusive;

use super::Migration;
use super::claim::{AfterRemoval, Asked, Claim, Copied, Origin, Step};
use crate::config::Extras;
use crate::effect::{Effect, Expected, Removable, Removal};
use crate::entry::Node;
use crate::failure::{Failure, Side};
use crate::identity::Identity;
use crate::input::{Examined, Going, Written};
use crate::number::{Mark, TxId};
use crate::path::{Namespace, RelPath};
use crate::planted::{Planted, planted};
use crate::record::{AttemptKind, Change, Lane, LetGo, Reach};

/// Removing everything of ours below a path, batch by batch.
#[derive(Debug)]
pub(super) struct Purge {
    pub(super) then: AfterRemoval,
    which: Removable,
    /// A commit marker came to stand below: rows asked for before may lack it.
    pub(super) arrived: bool,
    /// Something below is worked on and was left to that work: the directory that holds it may
    /// have been kept for it.
    left: bool,
    after: Option<RelPath>,
    batch: Vec<Removal>,
    claimed: Vec<(RelPath, Expected)>,
}

/// Pause of a removal that waits for a renamed destination; a quarter of what it waited already.
const PAUSE_MILLIS: RangeInclusive<u64> = 200..=1_000;
/// Objects of one batch.
const BATCH_OBJECTS: usize = 500;

impl Migration {
    /// Removing it waited for a renamed destination when it was last looked at.
    pub(super) fn waits_for_hints(&self, path: &RelPath, claim: &Claim) -> bool {
        let stands = claim.row.is_some() || claim.marker.is_some() || claim.rows_below;
        stands && !self.is_commit_marker(path)
    }

    /// Asks whether the objects may still be of use to a renamed destination (rule 6.2): before
    /// the source is looked at again, which is then for nothing, or after it.
    pub(super) fn check_hints(&mut self, path: RelPath, mut claim: Claim, absent: bool) {
        claim.step = Step::CheckingHints { absent };
        let ticket = self.ask(Asked::Claim(path.clone()));
        self.outbox.send_after(Effect::CheckHints { ticket, path: path.clone() });
        self.hold(path, claim);
    }

    pub(super) fn hints_checked(&mut self, path: RelPath, mut claim: Claim, wait: bool) {
        let absent = matches!(claim.step, Step::CheckingHints { absent: true });
        claim.step = Step::Begun;
        if wait {
            let waited_millis = self.now.millis_since(claim.seen);
            let (least, most) = (*PAUSE_MILLIS.start(), *PAUSE_MILLIS.end());
            self.again(path, claim, (waited_millis / 4).clamp(least, most), true);
        } else if !absent {
            self.examine(path, claim);
        } else if claim.let_go.is_none() {
            self.nominate(path, claim);
        } else if self.removes_below(&claim) {
            self.begin_purge(path, claim, AfterRemoval::Settle);
        } else {
            self.remove_own(path, claim, AfterRemoval::Settle);
        }
    }

    /// Removes everything below the path, then the path's own objects.
    pub(super) fn begin_purge(&mut self, path: RelPath, mut claim: Claim, then: AfterRemoval) {
        claim.step = Step::Purging(Purge {
            then,
            which: Removable::CommitMarkers,
            arrived: false,
            left: false,
            after: None,
            batch: Vec::new(),
            claimed: Vec::new(),
        });
        self.ask_batch(path, claim);
    }

    fn ask_batch(&mut self, path: RelPath, claim: Claim) {
        if let Step::Purging(purge) = &claim.step {
            let (which, after) = (purge.which, purge.after.clone());
            let ticket = self.ask(Asked::Claim(path.clone()));
            self.outbox.send_after(Effect::Rows {
                ticket,
                under: path.clone(),
                after,
                which,
                strictly_below: true,
                limit: BATCH_OBJECTS,
            });
        }
        self.hold(path, claim);
    }

    /// Claims the batch, then asks for the evidence (rule 5.1).
    pub(super) fn purge_objects(&mut self, path: RelPath, mut claim: Claim, objects: Vec<Going>) {
        let Step::Purging(mut purge) = std::mem::replace(&mut claim.step, Step::Begun) else {
            self.again(path, claim, 100, false);
            return;
        };
        if objects.is_empty() {
            self.purge_next(path, claim, purge);
            return;
        }
        let early = match purge.which {
            Removable::CommitMarkers => {
                objects.iter().any(|below| self.claims.is_busy(&below.path))
            }
            Removable::Others | Removable::Found => {
                purge.arrived || self.commit_marker_arrives_below(&path)
            }
        };
        if early {
            // A commit marker stands, or may come to stand, for what would go (rule 7.1).
            self.again(path, claim, 50, false);
            return;
        }
        purge.after = objects.last().map(|last| last.path.clone());
        for Going { path: below, etag } in objects {
            let worked_on_as_directory =
                below.is_marker() && self.is_busy(&self.pending_path(&below));
            if self.is_busy(&below) || worked_on_as_directory {
                let (first, last) = (claim.first, claim.last);
                self.mark(&below, Reach::Path, Lane::Live, first, last);
                purge.left = true;
                continue;
            }
            let expected = self.expected_of(Some(&etag));
            purge.claimed.push((below.clone(), expected));
            self.hold(below, Claim::below(&claim));
        }
        claim.dirty = false;
        if planted(Planted::OldEvidence) {
            let root_key = self.root.key;
            self.purge_evidence(path, claim, purge, Examined::Absent { root_key });
            return;
        }
        claim.step = Step::Purging(purge);
        let ticket = self.ask(Asked::Claim(path.clone()));
        self.outbox.send(Effect::Examine { ticket, path: path.clone(), by_file_key: false });
        self.hold(path, claim);
    }

    /// Goes on with what goes after the commit markers, after other rows, and at last with the
    /// path's own objects.
    fn purge_next(&mut self, path: RelPath, mut claim: Claim, mut purge: Purge) {
        let found = claim.found_below || self.summary.found > 0;
        let extras_go = self.config.extras == Extras::Remove && found;
        purge.which = match purge.which {
            Removable::CommitMarkers => Removable::Others,
            Removable::Others if extras_go => Removable::Found,
            Removable::Others | Removable::Found if purge.left => {
                self.again(path, claim, 50, false);
                return;
            }
            Removable::Others | Removable::Found => {
                claim.rows_below = false;
                claim.found_below = false;
                self.remove_own(path, claim, purge.then);
                return;
            }
        };
        purge.after = None;
        claim.step = Step::Purging(purge);
        self.ask_batch(path, claim);
    }

    /// The evidence of a batch: the top is absent, or no directory, or the batch is dropped.
    pub(super) fn purge_evidence(
        &mut self,
        path: RelPath,
        mut claim: Claim,
        mut purge: Purge,
        outcome: Examined,
    ) {
        let gone = match &outcome {
            Examined::Absent { root_key } => self.root_is_pinned(*root_key),
            Examined::Present(Node::File(_) | Node::Special(_)) => !path.is_root(),
            Examined::Present(Node::Directory(_)) | Examined::Failed(_) => false,
        };
        if !gone {
            for (below, _) in std::mem::take(&mut purge.claimed) {
                self.drop_purge_claim(&below);
            }
            match outcome {
                Examined::Failed(failure) => self.fail(path, claim, failure),
                Examined::Present(_) | Examined::Absent { .. } => {
                    self.again(path, claim, 100, false);
                }
            }
            return;
        }
        for (below, expected) in &purge.claimed {
            let removal = self.open_removal(below, expected.clone());
            purge.batch.push(removal);
        }
        let ticket = self.ask(Asked::Claim(path.clone()));
        let items = purge.batch.clone();
        self.outbox.send_after(Effect::Remove { ticket, items });
        claim.step = Step::Purging(purge);
        self.hold(path, claim);
    }

    /// Removes the objects at the path itself and at its marker.
    pub(super) fn remove_own(&mut self, path: RelPath, mut claim: Claim, then: AfterRemoval) {
        let mut targets: Vec<(RelPath, Expected)> = Vec::new();
        let gone = matches!(then, AfterRemoval::Settle);
        let doubtful = |at: &RelPath| claim.attempts.iter().any(|attempt| attempt.path == *at);
        let left_alone = self.config.conditions && claim.found.is_some();
        let of_an_attempt = gone && doubtful(&path) && !left_alone;
        let own = claim.row.is_some() || of_an_attempt || self.removes_extra(&claim);
        if own && !matches!(then, AfterRemoval::AgainWithFile) {
            targets.push((path.clone(), self.expected(&claim)));
        }
        let marker = path.marker();
        if claim.marker.is_some() || (gone && doubtful(&marker)) {
            let expected = self.expected_of(claim.marker.as_ref().map(|row| &row.etag));
            targets.push((marker, expected));
        }
        if targets.is_empty() {
            self.after_removal(path, claim, then);
            return;
        }
        let mut keys = Vec::new();
        for (target, expected) in targets {
            keys.push(self.open_removal(&target, expected));
        }
        let ticket = self.ask(Asked::Claim(path.clone()));
        self.outbox.send_after(Effect::Remove { ticket, items: keys.clone() });
        claim.step = Step::Removing { then, keys };
        self.hold(path, claim);
    }

    fn open_removal(&mut self, path: &RelPath, expected: Expected) -> Removal {
        let attempt = self.open_attempt(path, AttemptKind::Remove, Identity::Unknown);
        Removal { attempt: attempt.number, path: path.clone(), expected }
    }

    pub(super) fn removed(&mut self, path: RelPath, mut claim: Claim, outcomes: Vec<Written>) {
        match std::mem::replace(&mut claim.step, Step::Begun) {
            Step::Removing { then, keys } => {
                // A commit marker that goes first was judged alone.
                let alone = claim.let_go.is_none() && matches!(then, AfterRemoval::Settle);
                match self.note_removals(&claim, alone, keys, outcomes) {
                    Some(failure) => self.fail(path, claim, failure),
                    None => self.after_removal(path, claim, then),
                }
            }
            Step::Purging(mut purge) => {
                let batch = std::mem::take(&mut purge.batch);
                // It stands yet, otherwise than it was known: what it speaks for stays (rule 7.1).
                let marker_stands = purge.which == Removable::CommitMarkers
                    && outcomes.iter().any(|it| matches!(it, Written::Unexpected(_)));
                let failure = self.note_removals(&claim, false, batch, outcomes);
                for (below, _) in std::mem::take(&mut purge.claimed) {
                    self.drop_purge_claim(&below);
                }
                claim.step = Step::Purging(purge);
                match failure {
                    Some(failure) => self.fail(path, claim, failure),
                    None if marker_stands => self.again(path, claim, 50, false),
                    None => self.ask_batch(path, claim),
                }
            }
            Step::Begun
            | Step::Inspecting { .. }
            | Step::Examining
            | Step::LookingAtMarker { .. }
            | Step::CheckingHints { .. }
            | Step::Grouping { .. }
            | Step::AwaitingGroup { .. }
            | Step::LookingOnceMore { .. }
            | Step::Checksumming(_)
            | Step::Queued
            | Step::Copying { .. }
            | Step::Confirming { written: Copied::Object(_) | Copied::Staged { .. }, .. }
            | Step::Growing(_)
            | Step::Completing { .. }
            | Step::Relocating { .. }
            | Step::WritingMarker { .. } => self.again(path, claim, 100, false),
        }
    }

    /// Makes the outcomes durable; the first failure, if any.
    fn note_removals(
        &mut self,
        claim: &Claim,
        alone: bool,
        items: Vec<Removal>,
        outcomes: Vec<Written>,
    ) -> Option<Failure> {
        let mut first_failure = None;
        let (loss, at) = (alone || claim.let_go == Some(LetGo::Guard), self.now);
        for (item, outcome) in items.into_iter().zip(outcomes) {
            let (number, path) = (item.attempt, item.path);
            match outcome {
                Written::Done(_) | Written::Staged { .. } | Written::SourceMoved => {
                    self.answered_by(Side::Target);
                    self.outbox.change(Change::Removed { path: path.clone(), loss, at });
                    self.close_attempt(number);
                }
                Written::Unexpected(_) => {
                    self.look_at_once(number, &path);
                    self.mark(&path, Reach::Path, Lane::Live, claim.first, claim.last);
                }
                Written::Unknown(failure) if planted(Planted::LateRemovalForgotten) => {
                    self.close_attempt(number);
                    self.mark(&path, Reach::Path, Lane::Live, claim.first, claim.last);
                    first_failure.get_or_insert(failure);
                }
                Written::Unknown(failure) => {
                    self.doubt_removal(number, &path);
                    self.outbox.change(Change::Distrust(path.clone()));
                    self.mark(&path, Reach::Path, Lane::Live, claim.first, claim.last);
                    first_failure.get_or_insert(failure);
                }
                Written::Failed(failure) => {
                    self.close_attempt(number);
                    self.mark(&path, Reach::Path, Lane::Live, claim.first, claim.last);
                    first_failure.get_or_insert(failure);
                }
            }
        }
        first_failure
    }

    fn after_removal(&mut self, path: RelPath, mut claim: Claim, then: AfterRemoval) {
        match then {
            AfterRemoval::Settle => {
                if !claim.dirty {
                    self.forget_directories(&path);
                }
                if self.config.namespace == Namespace::Flat {
                    // Where directories are real, what lies below it could not be written until now.
                    let (below, up_to) = (path.clone(), Mark(u64::MAX));
                    self.outbox.change(Change::Reconsider { below, up_to });
                    // Nor what it lies below.
                    for above in path.ancestors() {
                        if self.hindered.remove(&above) {
                            self.mark(&above, Reach::Path, claim.lane, claim.first, claim.last);
                        }
                    }
                }
                self.settle(path, claim, TxId(0));
            }
            AfterRemoval::Again | AfterRemoval::AgainWithFile => self.again(path, claim, 0, false),
            AfterRemoval::Park(failure) => {
                claim.row = None;
                self.fail(path, claim, failure);
            }
        }
    }

    fn drop_purge_claim(&mut self, below: &RelPath) {
        if let Some(claim) = self.claims.held.remove(below) {
            self.settle(below.clone(), claim, TxId(0));
        }
    }

    /// A foreign object that the source does not have goes where that was asked for.
    pub(super) fn removes_extra(&self, claim: &Claim) -> bool {
        let asked_for = self.config.extras == Extras::Remove || planted(Planted::ForeignRemoved);
        claim.found.is_some() && asked_for
    }

    /// What stands below is to go if no directory stands at the path.
    pub(super) fn removes_below(&self, claim: &Claim) -> bool {
        claim.rows_below || self.removes_extras_below(claim)
    }

    pub(super) fn removes_extras_below(&self, claim: &Claim) -> bool {
        claim.found_below && self.config.extras == Extras::Remove
    }
}

impl Claim {
    /// A claim on something to be removed below another claim's path.
    fn below(top: &Self) -> Self {
        Self {
            origin: Origin::Purge,
            reach: Reach::Path,
            lane: top.lane,
            first: top.first,
            last: top.last,
            seen: top.seen,
            up_to: Mark(0),
            tries: 0,
            let_go: top.let_go,
            epoch: top.epoch,
            dirty: false,
            row: None,
            marker: None,
            rows_below: false,
            file_above: None,
            found: None,
            found_seen: false,
            found_below: false,
            attempts: Vec::new(),
            commit_markers: Vec::new(),
            node: None,
            renamed: None,
            step: Step::Begun,
        }
    }
}
