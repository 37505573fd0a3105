//! Commit markers come last and go first (rule 7.1).

use std::collections::{BTreeMap, BTreeSet};

use super::Migration;
use super::claim::{AfterRemoval, Asked, Claim, Step};
use super::stale::stands_as;
use crate::commit_marker;
use crate::effect::Effect;
use crate::entry::FileNode;
use crate::failure::{Failure, FailureKind, Side};
use crate::identity::{Identity, Sameness};
use crate::input::{Examined, Group, Work};
use crate::number::{Time, TxId};
use crate::path::RelPath;
use crate::planted::{Planted, planted};
use crate::record::{Change, Lane, Parked, Reach};

/// Commit markers that were set aside with something of their group.
#[derive(Debug, Default)]
pub(super) struct SetAside {
    by_group: BTreeMap<RelPath, BTreeSet<RelPath>>,
    /// Groups of which something was settled since: it may be what their markers wait for.
    settled: BTreeSet<RelPath>,
    /// Not before this time.
    not_before: Time,
}

/// Looks at commit markers up to which the stream was followed: what belongs to them is pending.
/// The same look again, of a marker that waits for its group, waits for no stream. A marker that was
/// renamed with its files is newer than the event it was pending for, and so are they: what is
/// pending up to the transaction may belong to it.
#[derive(Debug, Default)]
pub(super) struct Followed(BTreeMap<RelPath, (Identity, TxId)>);

/// So many are remembered; forgetting them costs waits only.
const FOLLOWED_MAX: usize = 4_096;

impl Followed {
    fn insert(&mut self, marker: &RelPath, file: &FileNode, up_to: TxId) {
        if self.0.len() >= FOLLOWED_MAX {
            self.0.clear();
        }
        self.0.insert(marker.clone(), (file.identity.clone(), up_to));
    }

    fn up_to(&self, marker: &RelPath, file: &FileNode) -> Option<TxId> {
        let (known, up_to) = self.0.get(marker)?;
        (known.compare(&file.identity) == Sameness::Same).then_some(*up_to)
    }

    pub(super) fn remove(&mut self, marker: &RelPath) {
        self.0.remove(marker);
    }

    /// Another history, or a part of this one that was not followed.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Pause before an incomplete group is asked for again.
const ASK_AGAIN_MILLIS: u64 = 250;
/// So often before the commit marker is given back.
const ASKS_MAX: u32 = 8;
/// Pause between two rounds, so that a group that comes file by file is asked for seldom.
const PAUSE_MILLIS: u64 = 1_000;

impl SetAside {
    fn insert(&mut self, marker: RelPath) {
        if let Some(group) = commit_marker::group(&marker) {
            self.by_group.entry(group).or_default().insert(marker);
        }
    }

    /// Something was settled at a path.
    pub(super) fn settled(&mut self, path: &RelPath) {
        if self.by_group.is_empty() {
            return;
        }
        let groups = path.ancestors().filter(|group| self.by_group.contains_key(group));
        self.settled.extend(groups);
    }
}

impl Migration {
    /// Looks again at commit markers that were set aside and may have their group by now; true if
    /// there are some.
    pub(super) fn reconsider_markers(&mut self) -> bool {
        let groups = std::mem::take(&mut self.set_aside_markers.settled);
        self.set_aside_markers.not_before = self.now.plus_millis(PAUSE_MILLIS);
        let applied = self.applied();
        for group in &groups {
            for marker in self.set_aside_markers.by_group.remove(group).unwrap_or_default() {
                self.mark(&marker, Reach::Path, Lane::Live, applied, applied);
            }
        }
        !groups.is_empty()
    }

    /// The same now and then while the run goes on.
    pub(super) fn reconsider_markers_in_time(&mut self) {
        if !self.set_aside_markers.settled.is_empty()
            && self.now >= self.set_aside_markers.not_before
        {
            self.reconsider_markers();
        }
    }

    /// A commit marker goes when it is stale and comes when its group is complete (rule 7.1).
    pub(super) fn consider_commit_marker(&mut self, path: RelPath, mut claim: Claim) {
        let stands = match (&claim.row, &claim.node) {
            // With other rights or times it is the same sign: it does not go for that.
            (Some(row), Some(file)) => {
                self.is_unchanged(row, file) || self.waits_as_metadata(&claim.row, file)
            }
            (_, _) => false,
        };
        if stands {
            self.bring(path, claim);
            return;
        }
        if claim.row.is_some() {
            self.clear_way(path, claim, AfterRemoval::Again);
            return;
        }
        if planted(Planted::MarkerNotLast) {
            self.bring(path, claim);
            return;
        }
        claim.step = Step::Grouping { asks: 0 };
        if self.config.live && self.followed_to(&path, &claim).is_none() {
            // The look may show a later state than the stream was followed to, and what belongs to
            // that state is not pending yet.
            self.wait_for_barrier(path.clone());
            self.hold(path, claim);
            return;
        }
        self.ask_group(path, claim);
    }

    /// The stream was followed up to the look at a commit marker.
    pub(super) fn commit_marker_followed(&mut self, path: RelPath, claim: Claim, to: TxId) {
        if let Some(file) = &claim.node
            && !claim.dirty
        {
            self.followed_markers.insert(&path, file, to);
        }
        self.ask_group(path, claim);
    }

    fn followed_to(&self, path: &RelPath, claim: &Claim) -> Option<TxId> {
        claim.node.as_ref().and_then(|file| self.followed_markers.up_to(path, file))
    }

    /// Asks whether something of the commit marker's group is left.
    pub(super) fn ask_group(&mut self, path: RelPath, claim: Claim) {
        if claim.dirty {
            self.again(path, claim, 0, false);
            return;
        }
        let Some(group) = commit_marker::group(&path) else {
            self.bring(path, claim);
            return;
        };
        let ticket = self.ask(Asked::Claim(path.clone()));
        // What a repair found may belong to the marker although it is pending since a later time.
        let followed_to = self.followed_to(&path, &claim).unwrap_or_default();
        let up_to = claim.last.max(self.repaired_to).max(followed_to);
        self.outbox.send_after(Effect::Group { ticket, path: path.clone(), group, up_to });
        self.hold(path, claim);
    }

    /// The answer about a commit marker's group.
    pub(super) fn grouped(&mut self, path: RelPath, claim: Claim, group: Group) {
        let asks = if let Step::Grouping { asks } = claim.step { asks + 1 } else { ASKS_MAX };
        match group {
            Group::SetAside { reason, path: other } if !claim.dirty => {
                self.set_aside_with_group(path, claim, reason, &other);
            }
            Group::Incomplete { backlog } => {
                for waiting in backlog {
                    self.outbox.change(Change::Hasten(waiting));
                }
                self.await_group(path, claim, asks);
            }
            Group::SetAside { .. } => self.await_group(path, claim, asks),
            Group::Complete if claim.dirty => self.again(path, claim, 100, false),
            Group::Complete if self.is_written_over(&path) => self.await_group(path, claim, asks),
            Group::Complete => self.look_at_commit_marker_again(path, claim, asks),
        }
    }

    /// Files of the group may have been looked at later than the marker: removed together with it,
    /// they were not there to be copied, and no event told yet. A marker that still stands after
    /// that speaks for what was found.
    fn look_at_commit_marker_again(&mut self, path: RelPath, mut claim: Claim, asks: u32) {
        claim.step = Step::LookingOnceMore { asks };
        let ticket = self.ask(Asked::Claim(path.clone()));
        self.ask_marker(ticket, &path);
        self.hold(path, claim);
    }

    pub(super) fn commit_marker_examined(
        &mut self,
        path: RelPath,
        claim: Claim,
        asks: u32,
        outcome: &Examined,
    ) {
        let looked_at = claim.node.as_ref().map(|file| &file.identity);
        if let Examined::Failed(failure) = outcome {
            self.fail(path, claim, failure.clone());
        } else if claim.dirty || !looked_at.is_some_and(|identity| stands_as(identity, outcome)) {
            self.again(path, claim, 100, false);
        } else if self.is_written_over(&path) {
            self.await_group(path, claim, asks);
        } else {
            self.bring(path, claim);
        }
    }

    /// A file that the marker speaks for, and that stands, is worked on. A listing may have shown it
    /// as a later job wrote it, though the stream did not tell yet that the marker is gone; and what
    /// that work was joined with lacks the marker. So does the work on an earlier version of a log,
    /// which may be about to go and to come again.
    fn is_written_over(&self, marker: &RelPath) -> bool {
        let Some(group) = commit_marker::group(marker) else { return false };
        self.claims.under(&group).any(|(path, claim)| {
            let comes_first =
                !self.is_commit_marker(path) || commit_marker::comes_after(marker, path);
            claim.row.is_some() && comes_first
        })
    }

    /// A commit marker is about to be written.
    pub(super) fn note_arriving(&mut self, path: &RelPath) {
        if self.is_commit_marker(path) {
            self.claims.arriving_markers.insert(path.clone());
        }
    }

    /// A commit marker was written, or may have been: what was joined before knows nothing of it.
    pub(super) fn note_arrived(&mut self, marker: &RelPath) {
        if self.taking() {
            self.claims.arrived_while_taking.insert(marker.clone());
        }
        self.taint_passes_of(marker);
        self.ask_next_version(marker);
        for above in marker.ancestors() {
            if let Some(claim) = self.claims.held.get_mut(&above)
                && let Step::Purging(purge) = &mut claim.step
            {
                purge.arrived = true;
            }
        }
    }

    /// The next version of a log waits for this one alone.
    fn ask_next_version(&mut self, marker: &RelPath) {
        let waiting = self.incomplete_groups.iter().map(|(_, path)| path);
        let next = waiting.filter(|path| commit_marker::comes_after(path, marker)).min().cloned();
        if let Some(next) = next {
            self.incomplete_groups.retain(|(_, path)| *path != next);
            self.incomplete_groups.insert((self.now, next));
        }
    }

    /// A commit marker that speaks for the path is about to become visible, though it may be stale
    /// by then: what it speaks for stays as it is until that is known. Or it became visible after
    /// the path's work was joined with what stands.
    pub(super) fn commit_marker_arrives_for(&self, path: &RelPath) -> bool {
        let arriving = self.claims.arriving_markers.iter();
        let mut arriving = arriving.chain(&self.claims.arrived_while_taking);
        arriving.any(|marker| speaks_for(marker, path))
            || self.commit_marker_may_have_landed_for(path)
    }

    /// A write of such a commit marker was not heard of. Markers do not wait for those that are in
    /// doubt: two would wait for each other.
    pub(super) fn commit_marker_may_have_landed_for(&self, path: &RelPath) -> bool {
        let mut doubtful = self.doubtful_markers();
        !self.is_commit_marker(path) && doubtful.any(|marker| speaks_for(marker, path))
    }

    /// The same for all that stands below a path.
    pub(super) fn commit_marker_arrives_below(&self, path: &RelPath) -> bool {
        let arriving = self.claims.arriving_markers.iter();
        arriving.chain(self.doubtful_markers()).any(|marker| path.contains(marker))
    }

    fn doubtful_markers(&self) -> impl Iterator<Item = &RelPath> {
        let doubtful = self.claims.doubtful_markers.values();
        doubtful.filter(|(_, until)| *until > self.now).map(|(marker, _)| marker)
    }

    /// What was looked at stays true while nothing happens to it, so the group alone is asked for
    /// again. Not for long: a removal of the group may wait for renamed destinations, and is not to
    /// wait for this one too.
    fn await_group(&mut self, path: RelPath, mut claim: Claim, asks: u32) {
        if claim.dirty || self.gap_open || asks >= ASKS_MAX {
            self.again(path, claim, 100, true);
            return;
        }
        claim.step = Step::AwaitingGroup { asks };
        self.incomplete_groups.insert((self.now.plus_millis(ASK_AGAIN_MILLIS), path.clone()));
        self.hold(path, claim);
    }

    /// A commit marker that waited before leaves half of the room to what it waits for: they come
    /// first again and again, and others, marked later, would never be handed out.
    pub(super) fn gives_way(&mut self, work: &Work) -> bool {
        let path = &work.pending.path;
        let waited_for = self.claims.hastened_markers.contains(path);
        if !work.pending.waiting || waited_for || !self.is_commit_marker(path) {
            return false;
        }
        let gives_way = self.claims.waiting_markers.len() >= self.config.claims_max / 2;
        if !gives_way {
            self.claims.waiting_markers.insert(path.clone());
        }
        gives_way
    }

    /// For so long; the longer, the more of them there may be.
    pub(super) fn give_way(&mut self, path: RelPath, claim: Claim) {
        let quarter_millis = self.now.millis_since(claim.seen) / 4;
        self.again(path, claim, quarter_millis.clamp(PAUSE_MILLIS, 10 * PAUSE_MILLIS), true);
    }

    /// Asks again for groups that were incomplete a moment ago.
    pub(super) fn ask_groups_again(&mut self) {
        while let Some((at, path)) = self.incomplete_groups.first().cloned()
            && at <= self.now
        {
            self.incomplete_groups.pop_first();
            let Some(mut claim) = self.claims.held.remove(&path) else { continue };
            let Step::AwaitingGroup { asks } = claim.step else {
                self.hold(path, claim);
                continue;
            };
            if self.gap_open {
                self.again(path, claim, 100, true);
                continue;
            }
            claim.step = Step::Grouping { asks };
            self.ask_group(path, claim);
        }
    }

    /// What it speaks for does not arrive before somebody mends or confirms something: a run that
    /// waited for that would never end.
    fn set_aside_with_group(
        &mut self,
        path: RelPath,
        claim: Claim,
        reason: Parked,
        other: &RelPath,
    ) {
        let failure = Failure {
            side: Side::Source,
            kind: FailureKind::Conflict,
            message: format!(
                "{path} waits for paths that it speaks for and that are set aside: {other}, and \
                 maybe others"
            ),
            remedy: "mend or exclude the other paths that are named; it follows them".to_owned(),
        };
        self.set_aside_markers.insert(path.clone());
        match reason {
            Parked::Guard | Parked::Foreign => {
                self.park(path, claim, reason, None, failure.message);
            }
            Parked::Failed | Parked::Open | Parked::Removal => self.set_aside(path, claim, failure),
        }
    }
}

/// A commit marker is a sign for the path, or for the whole directory that stands there.
pub(super) fn speaks_for(marker: &RelPath, path: &RelPath) -> bool {
    marker != path && commit_marker::group(marker).is_some_and(|group| group.contains(path))
}
