//! Work on one pending path: look at what stands there now, then do what makes the target equal.
//! Events and listings only say where to look.

use std::ops::RangeInclusive;

use super::Migration;
use super::claim::{AfterRemoval, Asked, Claim, Step};
use crate::commit_marker;
use crate::effect::{Effect, Report, ReportKind};
use crate::entry::{DirectoryNode, FileNode, Node};
use crate::failure::{Failure, FailureKind, Side};
use crate::input::{Examined, Work};
use crate::number::{Mark, TxId};
use crate::path::{Namespace, RelPath};
use crate::planted::{Planted, UNLISTED_TRIES, planted};
use crate::record::{Lane, Parked, Reach, Row};

/// Pause of what waits for a stale commit marker to go.
pub(super) const MARKER_PAUSE_MILLIS: RangeInclusive<u64> = 50..=1_000;
/// Pause of what waits until somebody looked whether a commit marker landed.
const LOOK_PAUSE_MILLIS: RangeInclusive<u64> = 50..=10_000;
/// Pause of what waits for a file to go where the source has a directory.
const ANCESTOR_PAUSE_MILLIS: RangeInclusive<u64> = 100..=10_000;

impl Migration {
    /// Begins the work that an entry asks for.
    pub(super) fn begin_work(&mut self, work: Work) {
        let path = work.pending.path.clone();
        let stale_join = self.claims.ended_while_taking.contains(&path);
        let busy = self.claims.is_busy(&path) && !planted(Planted::TwoWriters);
        if busy || self.passes.contains_key(&path) {
            self.wait_for_claim(&work);
            return;
        }
        let claim = Claim::of_work(&work, self.handed_out_up_to(&work), self.epoch);
        self.works += 1;
        if let Some(millis) = self.hot_pause(&path) {
            self.again(path, claim, millis, false);
            return;
        }
        if stale_join {
            self.again(path, claim, 0, work.pending.waiting);
            return;
        }
        if self.gives_way(&work) {
            self.give_way(path, claim);
            return;
        }
        if !work.stale_commit_markers.is_empty() && !self.is_commit_marker(&path) {
            for marker in &work.stale_commit_markers {
                self.hasten(marker, &claim);
            }
            self.wait_for_marked(path, claim, MARKER_PAUSE_MILLIS);
            return;
        }
        if self.commit_marker_may_have_landed_for(&path) {
            self.wait_for_marked(path, claim, LOOK_PAUSE_MILLIS);
            return;
        }
        if self.commit_marker_arrives_for(&path) {
            self.again(path, claim, 50, false);
            return;
        }
        if let Some(attempt) = self.expired_attempt(&claim) {
            self.inspect(path, claim, attempt);
            return;
        }
        if work.pending.waiting && self.waits_for_hints(&path, &claim) {
            self.check_hints(path, claim, false);
            return;
        }
        let in_the_way = work.row.is_some() || self.removes_extra(&claim);
        let by_event = planted(Planted::EventBelieved) && work.pending.reach == Reach::Subtree;
        let by_old_look = planted(Planted::OldEvidence) && claim.let_go.is_some();
        let by_listing = planted(Planted::ListingRemoves) && claim.tries >= UNLISTED_TRIES;
        if (by_event && in_the_way) || by_old_look || by_listing {
            let root_key = self.root.key;
            self.meet_absence(path, claim, root_key);
            return;
        }
        if work.pending.reach == Reach::Path || in_the_way {
            if self.may_stand_unheard(&path, claim.row.as_ref(), &claim.attempts) {
                let at = path.clone();
                self.inspect(path, claim, at);
            } else {
                self.examine(path, claim);
            }
        } else {
            self.begin_pass(&work);
        }
    }

    /// Marks up to this one are in what was handed out: those before it was asked for, and the
    /// entry's own, of which one may have come on the way. A directory left with that would be gone
    /// through twice.
    pub(super) fn handed_out_up_to(&self, work: &Work) -> Mark {
        self.taken_up_to.max(work.pending.mark)
    }

    /// Makes a commit marker pending at once, for what waits for it. Not while it is worked on:
    /// work that is marked again before it ends never ends.
    pub(super) fn hasten(&mut self, marker: &RelPath, waiting: &Claim) {
        if !self.claims.is_busy(marker) && !self.claims.ended_while_taking.contains(marker) {
            self.claims.hastened_markers.insert(marker.clone());
            self.mark(marker, Reach::Path, Lane::Live, waiting.first, waiting.last);
        }
    }

    /// Asks what stands at the path now.
    pub(super) fn examine(&mut self, path: RelPath, mut claim: Claim) {
        claim.step = Step::Examining;
        claim.dirty = false;
        claim.epoch = self.epoch;
        let ticket = self.ask(Asked::Claim(path.clone()));
        let by_file_key = self.file_keys_matter;
        self.outbox.send_after(Effect::Examine { ticket, path: path.clone(), by_file_key });
        self.hold(path, claim);
    }

    /// What the source says stands at a path.
    pub(super) fn examined(
        &mut self,
        path: RelPath,
        mut claim: Claim,
        outcome: Examined,
        renamed: Option<Row>,
    ) {
        if !matches!(outcome, Examined::Failed(_)) {
            self.answered_by(Side::Source);
        }
        match std::mem::replace(&mut claim.step, Step::Begun) {
            Step::Confirming { attempt, written } => {
                self.confirm_by_look(path, claim, attempt, written, outcome);
            }
            Step::Purging(purge) => self.purge_evidence(path, claim, purge, outcome),
            Step::Growing(prefix) => self.growth_examined(path, claim, prefix, outcome),
            Step::LookingAtMarker { seen, marker } => {
                self.marker_examined(path, claim, seen, &marker, &outcome);
            }
            Step::LookingOnceMore { asks } => {
                self.commit_marker_examined(path, claim, asks, &outcome);
            }
            Step::Begun
            | Step::Inspecting { .. }
            | Step::Examining
            | Step::CheckingHints { .. }
            | Step::Removing { .. }
            | Step::Grouping { .. }
            | Step::AwaitingGroup { .. }
            | Step::Checksumming(_)
            | Step::Queued
            | Step::Copying { .. }
            | Step::Completing { .. }
            | Step::Relocating { .. }
            | Step::WritingMarker { .. } => {
                claim.renamed = renamed;
                self.look_at(path, claim, outcome);
            }
        }
    }

    /// Does what a look at the source asks for.
    pub(super) fn look_at(&mut self, path: RelPath, mut claim: Claim, outcome: Examined) {
        if self.is_another_root(&path, &outcome) {
            self.again(path, claim, 1_000, false);
            return;
        }
        if self.changes_something(&path, &claim, &outcome)
            && let Some(marker) = claim.commit_markers.pop()
        {
            self.look_at_marker(path, claim, outcome, marker);
            return;
        }
        match outcome {
            Examined::Failed(failure) => self.fail(path, claim, failure),
            Examined::Absent { root_key } => self.meet_absence(path, claim, root_key),
            Examined::Present(Node::File(file)) => self.meet_closed_file(path, claim, file),
            Examined::Present(Node::Directory(node)) => self.look_at_directory(path, claim, node),
            Examined::Present(Node::Special(what)) => {
                let failure = Failure {
                    side: Side::Source,
                    kind: FailureKind::Refused,
                    message: format!("{path}: {what} cannot be migrated"),
                    remedy:
                        "exclude it, or rename it or replace it by a regular file at the source"
                            .to_owned(),
                };
                if claim.row.is_some() || self.removes_below(&claim) {
                    self.clear_way(path, claim, AfterRemoval::Park(failure));
                } else {
                    self.fail(path, claim, failure);
                }
            }
        }
    }

    fn meet_closed_file(&mut self, path: RelPath, mut claim: Claim, file: FileNode) {
        if file.open && claim.row.is_some() && self.is_commit_marker(&path) {
            self.clear_way(path, claim, AfterRemoval::Again);
            return;
        }
        if self.removes_extras_below(&claim) {
            // Open or not: no close has them looked at again.
            self.clear_way(path, claim, AfterRemoval::AgainWithFile);
            return;
        }
        if file.open && !planted(Planted::OpenFileCopied) {
            self.report_open(&path);
            let message = "open at the source; the target keeps what was last closed".to_owned();
            self.park(path, claim, Parked::Open, None, message);
            return;
        }
        if let Some(above) = claim.file_above.take() {
            self.wait_for_ancestor(path, claim, &above);
            return;
        }
        self.reconsider_below(&path, claim.reach, claim.up_to);
        let new = claim.row.is_none() && !claim.dirty;
        if claim.reach != Reach::Path || new {
            self.forget_directories(&path);
        }
        let below = claim.rows_below || claim.marker.is_some();
        if below && !planted(Planted::LeftBelowFile) {
            self.clear_way(path, claim, AfterRemoval::AgainWithFile);
            return;
        }
        claim.node = Some(file);
        if self.is_commit_marker(&path) {
            self.consider_commit_marker(path, claim);
            return;
        }
        self.bring(path, claim);
    }

    /// A file of ours stands where the source has a directory now: it goes first (rule 5.5).
    fn wait_for_ancestor(&mut self, path: RelPath, claim: Claim, above: &RelPath) {
        self.mark(above, Reach::Path, Lane::Live, claim.first, claim.last);
        self.wait_for_marked(path, claim, ANCESTOR_PAUSE_MILLIS);
    }

    /// Waits for what was marked just now, which comes later in the order of marks: a quarter of
    /// what it waited already, since very many that were always due would leave that no turn.
    pub(super) fn wait_for_marked(
        &mut self,
        path: RelPath,
        claim: Claim,
        pause: RangeInclusive<u64>,
    ) {
        let millis = self.now.millis_since(claim.seen) / 4;
        self.again(path, claim, millis.clamp(*pause.start(), *pause.end()), false);
    }

    fn look_at_directory(&mut self, path: RelPath, mut claim: Claim, node: DirectoryNode) {
        if let Some(above) = claim.file_above.take() {
            self.wait_for_ancestor(path, claim, &above);
            return;
        }
        let in_the_way = claim.row.is_some() || self.removes_extra(&claim);
        if in_the_way && !planted(Planted::FileLeftAtDirectory) {
            self.remove_own(path, claim, AfterRemoval::Again);
            return;
        }
        self.keep_looked_at(&path, &claim, &node);
        let gone_through = self.gone_through.remove(&path);
        let unknown = node.empty == Some(false) && !claim.rows_below && gone_through.is_none();
        let unknown = unknown && !planted(Planted::RenameShallow);
        if claim.reach != Reach::Path || unknown {
            let (first, last) = (claim.first, claim.last);
            let from_pass = claim.reach != Reach::Path;
            self.settle(path.clone(), claim, TxId(0));
            // What the scan did not come to yet comes with the scan.
            let lane = if from_pass || self.scanned { Lane::Live } else { Lane::Backlog };
            self.mark(&path, Reach::Subtree, lane, first, last);
            return;
        }
        let empty = if gone_through == Some(false) { Some(true) } else { node.empty };
        self.consider_marker(path, claim, DirectoryNode { empty, ..node });
    }

    /// Removes what of ours is in the way of what the source has at the path now (rule 5.5).
    pub(super) fn clear_way(&mut self, path: RelPath, claim: Claim, then: AfterRemoval) {
        if !self.removes_below(&claim) {
            self.remove_own(path, claim, then);
        } else if claim.let_go.is_some() {
            self.begin_purge(path, claim, then);
        } else {
            self.nominate(path, claim);
        }
    }

    fn meet_absence(&mut self, path: RelPath, claim: Claim, root_key: Option<u64>) {
        if !self.root_is_pinned(root_key) {
            self.again(path, claim, 1_000, false);
            return;
        }
        self.reconsider_below(&path, claim.reach, claim.up_to);
        let nothing_of_ours = claim.row.is_none()
            && claim.marker.is_none()
            && !self.removes_below(&claim)
            && claim.attempts.is_empty()
            && !self.removes_extra(&claim);
        if nothing_of_ours {
            if !claim.dirty {
                self.forget_directories(&path);
            }
            self.settle(path, claim, TxId(0));
            return;
        }
        if self.is_commit_marker(&path) && !self.removes_below(&claim) {
            // Its siblings wait until it is gone, and renamed destinations may be among them.
            let hastened = self.claims.hastened_markers.contains(&path);
            if claim.let_go.is_some() || hastened || self.lets_go_at_once() {
                self.remove_own(path, claim, AfterRemoval::Settle);
            } else {
                self.nominate(path, claim);
            }
            return;
        }
        self.check_hints(path, claim, true);
    }

    /// What a path of a `Flat` namespace looks like is not to be taken for a sign.
    pub(super) fn is_commit_marker(&self, path: &RelPath) -> bool {
        self.config.namespace == Namespace::Tree && commit_marker::is_commit_marker(path)
    }

    pub(super) fn parent_of(&self, path: &RelPath) -> Option<RelPath> {
        match self.config.namespace {
            Namespace::Tree => path.parent(),
            Namespace::Flat => (!path.is_root()).then(RelPath::root),
        }
    }

    fn report_open(&mut self, path: &RelPath) {
        self.outbox.send(Effect::Report(Report {
            path: Some(path.clone()),
            kind: ReportKind::Open,
            failure: Failure {
                side: Side::Source,
                kind: FailureKind::Conflict,
                message: format!("{path} is open for writing at the source"),
                remedy: "it is copied when it is closed; an abandoned one is closed by lease \
                         recovery"
                    .to_owned(),
            },
        }));
    }
}
