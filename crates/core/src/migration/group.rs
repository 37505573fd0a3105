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

    /// Something happened to a whole tree. A marker that went with it and came back is the same
    /// file, and a look at that is newer than what was followed.
    pub(super) fn remove_under(&mut self, tree: &RelPath) {
        let from_tree = self.0.range(tree.clone()..).map(|(marker, _)| marker);
        let near = from_tree.take_while(|at| at.as_bytes().starts_with(tree.as_bytes()));
        let under: Vec<RelPath> = near.filter(|at| tree.contains(at)).cloned().collect();
        for marker in under {
            self.0.remove(&marker);
        }
    }

    /// Another history, or a part of this one that was not followed.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Pause before an incomplete group is asked for again; it doubles each time, because markers that
/// wait for each other all ask, and a slow state would do nothing else.
const ASK_AGAIN_MILLIS: u64 = 250;
/// So often before the commit marker is given back.
const ASKS_MAX: u32 = 4;
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
        let mut doubtful = self.claims.doubtful_markers.values();
        !self.is_commit_marker(path) && doubtful.any(|marker| speaks_for(marker, path))
    }

    /// The same for all that stands below a path.
    pub(super) fn commit_marker_arrives_below(&self, path: &RelPath) -> bool {
        let arriving = self.claims.arriving_markers.iter();
        arriving.chain(self.claims.doubtful_markers.values()).any(|marker| path.contains(marker))
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
        let pause_millis = ASK_AGAIN_MILLIS << asks.saturating_sub(1);
        self.incomplete_groups.insert((self.now.plus_millis(pause_millis), path.clone()));
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
            let Some(mut claim) = self.claims.take(&path) else { continue };
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
            Parked::Failed | Parked::Open | Parked::Removal | Parked::Delayed => {
                self.set_aside(path, claim, failure);
            }
        }
    }
}

/// A commit marker is a sign for the path, or for the whole directory that stands there.
pub(super) fn speaks_for(marker: &RelPath, path: &RelPath) -> bool {
    marker != path && commit_marker::group(marker).is_some_and(|group| group.contains(path))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{changed, claim, marked, migration_of, node, row, sent, step, work};
    use super::*;
    use crate::config::Config;
    use crate::entry::Node;
    use crate::number::AttemptNumber;
    use crate::record::{Pending, Row};

    const MARKER: &str = "d/_SUCCESS";

    fn path(text: &str) -> RelPath {
        RelPath::from(text)
    }

    /// A file that is worked on, in place of one that stands.
    fn works_on(migration: &mut Migration, at: &str) {
        let row = Some(Row { path: path(at), ..row() });
        migration.hold(path(at), Claim { row, ..claim(at) });
    }

    #[test]
    fn rule_7_1_a_look_is_known_as_followed_until_the_marker_changes() {
        let (marker, file) = (path(MARKER), node(5));
        let mut followed = Followed::default();
        followed.insert(&marker, &file, TxId(7));
        followed.insert(&path("e/_SUCCESS"), &file, TxId(8));
        assert_eq!(followed.up_to(&marker, &file), Some(TxId(7)));
        assert_eq!(followed.up_to(&marker, &node(6)), None, "it was written anew");
        followed.remove(&marker);
        assert_eq!(followed.up_to(&marker, &file), None);
        assert_eq!(followed.up_to(&path("e/_SUCCESS"), &file), Some(TxId(8)));
        followed.clear();
        assert_eq!(followed.up_to(&path("e/_SUCCESS"), &file), None);
        for number in 0..FOLLOWED_MAX + 1 {
            followed.insert(&path(&format!("{number}/_SUCCESS")), &file, TxId(9));
        }
        assert_eq!(followed.0.len(), 1, "what is remembered is bounded");
    }

    #[test]
    fn rule_7_1_a_marker_that_was_set_aside_is_looked_at_when_something_of_its_group_arrives() {
        let mut migration = migration_of(Config::default());
        migration.set_aside_markers.settled(&path("d/b"));
        migration.set_aside_markers.insert(path(MARKER));
        migration.reconsider_markers_in_time();
        assert_eq!(changed(&mut migration), [], "nothing of it arrived");
        migration.set_aside_markers.settled(&path("e/b"));
        migration.reconsider_markers_in_time();
        assert_eq!(changed(&mut migration), [], "that is another group's");
        migration.set_aside_markers.settled(&path("d/c/b"));
        migration.set_aside_markers.not_before = Time(1_001);
        migration.reconsider_markers_in_time();
        assert_eq!(changed(&mut migration), [], "not too often");
        migration.now = Time(1_001);
        migration.reconsider_markers_in_time();
        let looks = [(path(MARKER), Reach::Path)];
        assert_eq!(marked(&changed(&mut migration)), looks);
        assert_eq!(migration.set_aside_markers.not_before, Time(2_001));
        assert!(!migration.reconsider_markers(), "nothing more");
        migration.set_aside_markers.insert(path(MARKER));
        migration.set_aside_markers.settled(&path("d/c"));
        assert!(migration.reconsider_markers(), "a run does not end before that");
    }

    #[test]
    fn rule_7_1_a_marker_that_moved_while_it_was_followed_is_looked_at_anew() {
        let followed = |dirty: bool| {
            let mut migration = migration_of(Config::default());
            let claim = Claim { dirty, node: Some(node(5)), ..claim(MARKER) };
            migration.commit_marker_followed(path(MARKER), claim, TxId(7));
            migration.followed_markers.up_to(&path(MARKER), &node(5))
        };
        assert_eq!((followed(false), followed(true)), (Some(TxId(7)), None));
    }

    /// It came without its files, which were looked at while they were away (seed 379297).
    #[test]
    fn rule_7_1_a_marker_that_went_away_and_came_back_is_followed_anew() {
        let followed = |touched: &str, subtree: bool| {
            let mut migration = migration_of(Config::default());
            let claim = Claim { node: Some(node(5)), ..claim(MARKER) };
            migration.commit_marker_followed(path(MARKER), claim, TxId(7));
            migration.touch(&path(touched), subtree);
            migration.followed_markers.up_to(&path(MARKER), &node(5))
        };
        assert_eq!((followed("d", true), followed(MARKER, true)), (None, None));
        assert_eq!((followed("", true), followed("d/a", true)), (None, Some(TxId(7))));
        assert_eq!((followed("d", false), followed("c", true)), (Some(TxId(7)), Some(TxId(7))));
    }

    #[test]
    fn rule_7_1_what_its_group_says_decides_about_a_marker() {
        let answered = |group: Group, dirty: bool, asks: u32, beside: &[&str]| {
            let mut migration = migration_of(Config::default());
            beside.iter().for_each(|at| works_on(&mut migration, at));
            let step_now = Step::Grouping { asks };
            let claim = Claim { dirty, node: Some(node(5)), step: step_now, ..claim(MARKER) };
            migration.grouped(path(MARKER), claim, group);
            match step(&migration, MARKER) {
                Some(Step::LookingOnceMore { .. }) => "looked at",
                Some(Step::AwaitingGroup { .. }) => "asked again",
                Some(_) => "something else",
                None => "given back",
            }
        };
        let incomplete = || Group::Incomplete { backlog: Vec::new() };
        assert_eq!(answered(Group::Complete, false, 0, &[]), "looked at");
        assert_eq!(answered(Group::Complete, true, 0, &[]), "given back");
        assert_eq!(answered(Group::Complete, false, 0, &["d/a"]), "asked again");
        assert_eq!(answered(Group::Complete, false, 0, &["e/a"]), "looked at");
        assert_eq!(answered(incomplete(), false, 0, &[]), "asked again");
        assert_eq!(answered(incomplete(), true, 0, &[]), "given back");
        assert_eq!(answered(incomplete(), false, ASKS_MAX - 2, &[]), "asked again");
        assert_eq!(answered(incomplete(), false, ASKS_MAX - 1, &[]), "given back");
        let mut patient = migration_of(Config::default());
        for asks in 1..ASKS_MAX {
            patient.await_group(path(&format!("{asks}/_SUCCESS")), claim(MARKER), asks);
        }
        let pauses: Vec<u64> =
            patient.incomplete_groups.iter().map(|(at, _)| at.0 - patient.now.0).collect();
        assert_eq!(pauses, [250, 500, 1_000], "each time the pause is doubled");
        let mut migration = migration_of(Config::default());
        migration.gap_open = true;
        migration.await_group(path(MARKER), claim(MARKER), 0);
        assert!(step(&migration, MARKER).is_none(), "what is pending is not known");
    }

    /// By itself: what it waits for may be its own.
    #[test]
    fn rule_7_1_a_marker_that_moved_is_not_set_aside_with_its_group() {
        let parked = |dirty: bool| {
            let mut migration = migration_of(Config::default());
            let claim = Claim { dirty, step: Step::Grouping { asks: 0 }, ..claim(MARKER) };
            let group = Group::SetAside { reason: Parked::Guard, path: path("d/a") };
            migration.grouped(path(MARKER), claim, group);
            let changes = changed(&mut migration);
            changes.iter().any(|change| matches!(change, Change::Park { .. }))
        };
        assert_eq!((parked(false), parked(true)), (true, false));
    }

    /// What its look showed may be later than all that it was pending for.
    #[test]
    fn rule_7_1_a_group_is_asked_for_up_to_what_was_followed() {
        let asked = |followed: Option<u64>| {
            let mut migration = migration_of(Config::default());
            if let Some(txid) = followed {
                migration.followed_markers.insert(&path(MARKER), &node(5), TxId(txid));
            }
            let claim = Claim { node: Some(node(5)), ..claim(MARKER) };
            migration.ask_group(path(MARKER), claim);
            sent(&mut migration).into_iter().find_map(|effect| {
                if let Effect::Group { up_to, .. } = effect { Some(up_to) } else { None }
            })
        };
        assert_eq!((asked(None), asked(Some(9))), (Some(TxId(2)), Some(TxId(9))));
    }

    /// What it speaks for is written over, or what comes before it in its log.
    #[test]
    fn rule_7_1_a_marker_waits_for_what_it_speaks_for_and_stands() {
        let over = |marker: &str, at: &str, stands: bool| {
            let mut migration = migration_of(Config::default());
            works_on(&mut migration, at);
            if !stands {
                migration.hold(path(at), claim(at));
            }
            migration.is_written_over(&path(marker))
        };
        assert!(over(MARKER, "d/a", true) && over(MARKER, "d/e/a", true));
        assert!(!over(MARKER, "d/a", false), "nothing is written over");
        assert!(!over(MARKER, "e/a", true) && !over("d/a", "d/b", true));
        let (first, second) = ("t/_delta_log/1.json", "t/_delta_log/2.json");
        assert!(over(second, first, true) && !over(first, second, true));
    }

    #[test]
    fn rule_7_1_what_was_joined_before_a_marker_came_is_joined_anew() {
        let mut migration = migration_of(Config::default());
        for at in ["d", "e"] {
            migration.begin_purge(path(at), claim(at), AfterRemoval::Settle);
        }
        migration.taking.insert(Lane::Live);
        let (next, later) = (path("d/_delta_log/2.json"), path("d/_delta_log/3.json"));
        migration.incomplete_groups.insert((Time(9_000), later.clone()));
        migration.incomplete_groups.insert((Time(9_001), next.clone()));
        migration.note_arrived(&path("d/_delta_log/1.json"));
        let arrived = |at: &str| {
            if let Some(Step::Purging(purge)) = step(&migration, at) {
                purge.arrived
            } else {
                panic!("{at} is removed")
            }
        };
        assert!(arrived("d") && !arrived("e"));
        assert!(migration.commit_marker_arrives_for(&path("d/a")), "handed out before");
        let expected = [(Time(1_000), next), (Time(9_000), later)];
        assert!(migration.incomplete_groups.iter().cloned().eq(expected), "the next comes now");
    }

    #[test]
    fn rule_7_1_files_wait_for_a_marker_that_is_about_to_come() {
        let mut migration = migration_of(Config::default());
        let marker = path(MARKER);
        let waits = |migration: &Migration, at: &str| {
            let (at, below) = (path(at), path(at));
            (
                migration.commit_marker_arrives_for(&at),
                migration.commit_marker_arrives_below(&below),
            )
        };
        assert_eq!(waits(&migration, "d"), (false, false));
        migration.claims.arriving_markers.insert(marker.clone());
        assert_eq!(waits(&migration, "d"), (true, true));
        assert_eq!(waits(&migration, "d/a"), (true, false));
        assert_eq!(waits(&migration, "e"), (false, false));
        assert_eq!(waits(&migration, MARKER), (false, true), "not for itself");
        migration.claims.arriving_markers.clear();
        migration.claims.doubtful_markers.insert(AttemptNumber(4), marker);
        assert_eq!(waits(&migration, "d"), (true, true));
        assert_eq!(waits(&migration, "d/_delta_log/1.json"), (false, false), "two would wait");
        migration.now = Time(9_001);
        assert_eq!(waits(&migration, "d"), (true, true), "nobody looked");
    }

    #[test]
    fn rule_7_1_markers_that_wait_leave_room_for_what_they_wait_for() {
        let gives_way = |waiting: bool, at: &str, others: usize| {
            let mut migration = migration_of(Config { claims_max: 4, ..Config::default() });
            for number in 0..others {
                migration.claims.waiting_markers.insert(path(&format!("{number}")));
            }
            let pending = Pending { waiting, ..work(at).pending };
            let gives_way = migration.gives_way(&Work { pending, ..work(at) });
            (gives_way, migration.claims.waiting_markers.len() - others)
        };
        assert_eq!(gives_way(true, MARKER, 2), (true, 0));
        assert_eq!(gives_way(true, MARKER, 1), (false, 1), "it is one of them now");
        assert_eq!(gives_way(false, MARKER, 2), (false, 0));
        assert_eq!(gives_way(true, "d/a", 2), (false, 0));
        let mut hastened = migration_of(Config { claims_max: 0, ..Config::default() });
        hastened.claims.hastened_markers.insert(path(MARKER));
        let pending = Pending { waiting: true, ..work(MARKER).pending };
        assert!(!hastened.gives_way(&Work { pending, ..work(MARKER) }), "others wait for it");
        let comes_back = |waited_millis: u64| {
            let mut migration = migration_of(Config::default());
            migration.now = Time(100_000);
            let seen = Time(100_000 - waited_millis);
            migration.give_way(path(MARKER), Claim { seen, ..claim(MARKER) });
            let not_before = changed(&mut migration).into_iter().find_map(|change| {
                if let Change::Defer { not_before, .. } = change {
                    Some(not_before.0 - 100_000)
                } else {
                    None
                }
            });
            not_before.expect("it is given back")
        };
        assert_eq!(comes_back(0), 1_000);
        assert_eq!(comes_back(8_000), 2_000, "a quarter of what it waited");
        assert_eq!(comes_back(90_000), 10_000);
    }

    #[test]
    fn rule_7_1_a_group_is_asked_for_again_in_its_time() {
        let mut migration = migration_of(Config::default());
        let waits = |asks| Claim { step: Step::AwaitingGroup { asks }, ..claim(MARKER) };
        migration.hold(path(MARKER), waits(1));
        migration.incomplete_groups.insert((Time(1_001), path(MARKER)));
        let mut asked = |now: u64| {
            migration.now = Time(now);
            migration.ask_groups_again();
            let effects = sent(&mut migration);
            effects.iter().filter(|effect| matches!(effect, Effect::Group { .. })).count()
        };
        assert_eq!((asked(1_000), asked(1_001), asked(9_000)), (0, 1, 0));
    }

    #[test]
    fn rule_7_1_a_marker_comes_if_it_still_stands_as_it_was_looked_at() {
        let examined = |seen: Examined, dirty: bool, beside: &[&str]| {
            let mut migration = migration_of(Config::default());
            beside.iter().for_each(|at| works_on(&mut migration, at));
            let claim = Claim { dirty, node: Some(node(5)), ..claim(MARKER) };
            migration.commit_marker_examined(path(MARKER), claim, 0, &seen);
            match step(&migration, MARKER) {
                Some(Step::Queued) => "copied",
                Some(Step::AwaitingGroup { .. }) => "asked again",
                Some(_) => "something else",
                None => "given back",
            }
        };
        let stands = |length| Examined::Present(Node::File(node(length)));
        assert_eq!(examined(stands(5), false, &[]), "copied");
        assert_eq!(examined(stands(5), true, &[]), "given back");
        assert_eq!(examined(stands(6), false, &[]), "given back");
        assert_eq!(examined(Examined::Absent { root_key: None }, false, &[]), "given back");
        assert_eq!(examined(stands(5), false, &["d/a"]), "asked again");
    }
}
