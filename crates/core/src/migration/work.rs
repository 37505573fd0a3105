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
use crate::record::{AttemptKind, Lane, Parked, Reach, Row};

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
        if matches!(outcome, Examined::Present(_)) {
            let was_gone = claim.gone_since.take().is_some();
            self.note_presence(&path, was_gone, claim.dirty);
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
        // A removal without an answer yet leaves nothing behind.
        let may_land = claim.attempts.iter().any(|attempt| attempt.kind != AttemptKind::Remove);
        let nothing_of_ours = claim.row.is_none()
            && claim.marker.is_none()
            && !self.removes_below(&claim)
            && !may_land
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
        if self.stays_for_a_time(&claim) {
            self.keep_for_a_time(path, claim);
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

#[cfg(test)]
mod tests {
    use super::super::tests::{attempt, changed, claim, failure, marked, migration_of, node, row};
    use super::super::tests::{sent, step, work};
    use super::*;
    use crate::config::{Config, Extras};
    use crate::metadata::Metadata;
    use crate::number::Time;
    use crate::record::{Change, Found, LetGo, Pending};

    fn path(text: &str) -> RelPath {
        RelPath::from(text)
    }

    fn found(at: &str) -> Option<Found> {
        Some(Found {
            path: path(at),
            length: 5,
            etag: Some("theirs".to_owned()),
            version: None,
            crc32c: None,
            metadata: None,
            migration: None,
            late: false,
        })
    }

    fn row_at(at: &str) -> Option<Row> {
        Some(Row { path: path(at), ..row() })
    }

    /// How far the work on a path is.
    fn next(migration: &Migration, at: &str) -> &'static str {
        match step(migration, at) {
            _ if migration.passes.contains_key(&path(at)) => "gone through",
            Some(Step::Examining) => "looked at",
            Some(Step::Inspecting { .. }) => "looked at on the target",
            Some(Step::CheckingHints { .. }) => "asked of hints",
            Some(Step::LookingAtMarker { .. }) => "asked of its marker",
            Some(Step::Removing { .. }) => "removed",
            Some(Step::Purging(_)) => "purged",
            Some(Step::Queued) => "copied",
            Some(Step::WritingMarker { .. }) => "marked",
            Some(Step::Grouping { .. }) => "asked of its group",
            Some(_) => "something else",
            None => "given back",
        }
    }

    fn pending(at: &str, reach: Reach, waiting: bool) -> Work {
        let pending = Pending { reach, waiting, ..work(at).pending };
        Work { pending, ..work(at) }
    }

    #[test]
    fn rule_3_3_work_begins_if_nobody_else_works_there() {
        let begun = |before: &dyn Fn(&mut Migration), work: Work| {
            let mut migration = migration_of(Config::default());
            before(&mut migration);
            let (at, works) = (work.pending.path.to_string(), migration.works);
            migration.begin_work(work);
            (next(&migration, &at), migration.works - works)
        };
        let free = |_: &mut Migration| {};
        let shallow = || pending("a", Reach::Path, false);
        assert_eq!(begun(&free, shallow()), ("looked at", 1));
        assert_eq!(begun(&free, pending("a", Reach::Directory, false)), ("gone through", 1));
        let file = Work { row: row_at("a"), ..pending("a", Reach::Directory, false) };
        assert_eq!(begun(&free, file), ("looked at", 1), "what was there was a file");
        let busy = |it: &mut Migration| it.hold(path("a"), claim("a"));
        assert_eq!(begun(&busy, shallow()), ("something else", 0));
        let lent = |it: &mut Migration| assert!(it.claims.lent.insert(path("a")));
        assert_eq!(begun(&lent, shallow()), ("given back", 0));
        let passing = |it: &mut Migration| it.begin_pass(&pending("a", Reach::Directory, false));
        assert_eq!(begun(&passing, shallow()), ("gone through", 0), "as it was");
        let old = |it: &mut Migration| assert!(it.claims.ended_while_taking.insert(path("a")));
        assert_eq!(begun(&old, shallow()), ("given back", 0), "its row is another by now");
    }

    #[test]
    fn rule_7_1_files_wait_for_their_stale_marker_and_a_marker_does_not() {
        let begun = |at: &str, stale: &[&str]| {
            let mut migration = migration_of(Config::default());
            let stale_commit_markers = stale.iter().map(|it| path(it)).collect();
            migration.begin_work(Work { stale_commit_markers, ..work(at) });
            (next(&migration, at), migration.claims.hastened_markers.len())
        };
        assert_eq!(begun("d/a", &[]), ("looked at", 0));
        assert_eq!(begun("d/a", &["d/_SUCCESS"]), ("given back", 1));
        assert_eq!(begun("d/_SUCCESS", &["d/_SUCCESS"]), ("looked at", 0));
        let hastened = |before: &dyn Fn(&mut Migration)| {
            let mut migration = migration_of(Config::default());
            before(&mut migration);
            migration.hasten(&path("d/_SUCCESS"), &claim("d/a"));
            marked(&changed(&mut migration)).len()
        };
        assert_eq!(hastened(&|_| {}), 1);
        assert_eq!(hastened(&|it| it.hold(path("d/_SUCCESS"), claim("d/_SUCCESS"))), 0);
        let ended = |it: &mut Migration| {
            assert!(it.claims.ended_while_taking.insert(path("d/_SUCCESS")));
        };
        assert_eq!(hastened(&ended), 0, "what is known of it is old");
    }

    #[test]
    fn rule_3_5_a_file_that_is_open_is_told_of_and_set_aside() {
        let met = |open: bool| {
            let mut migration = migration_of(Config::default());
            let file = FileNode { open, ..node(5) };
            migration.meet_closed_file(path("a"), claim("a"), file);
            let effects = sent(&mut migration);
            let told = effects.iter().any(|effect| {
                matches!(effect, Effect::Report(report) if report.kind == ReportKind::Open
                    && report.path == Some(path("a")))
            });
            (told, step(&migration, "a").is_some())
        };
        assert_eq!((met(true), met(false)), ((true, false), (false, true)));
    }

    #[test]
    fn rule_6_2_what_waited_for_a_destination_is_asked_of_that_first() {
        let begun = |waiting: bool, row: Option<Row>| {
            let mut migration = migration_of(Config::default());
            migration.begin_work(Work { row, ..pending("a", Reach::Path, waiting) });
            next(&migration, "a")
        };
        assert_eq!(begun(true, row_at("a")), "asked of hints");
        assert_eq!((begun(false, row_at("a")), begun(true, None)), ("looked at", "looked at"));
    }

    #[test]
    fn rule_4_1_what_may_stand_unheard_is_looked_at_on_the_target_first() {
        let begun = |attempts, reach| {
            let mut migration = migration_of(Config::default());
            migration.begin_work(Work { attempts, ..pending("a", reach, false) });
            next(&migration, "a")
        };
        let doubtful =
            crate::record::Attempt { doubtful_until: Some(Time(9_000)), ..attempt(4, "a", 5) };
        assert_eq!(begun(vec![attempt(4, "a", 5)], Reach::Subtree), "looked at on the target");
        assert_eq!(begun(vec![doubtful.clone()], Reach::Path), "looked at on the target");
        assert_eq!(begun(vec![doubtful], Reach::Subtree), "gone through");
    }

    #[test]
    fn an_answer_of_the_source_shows_that_it_is_back() {
        let is_back = |outcome: Examined| {
            let mut migration = migration_of(Config::default());
            migration.side_failed(&failure(Side::Source, FailureKind::Unavailable));
            migration.examined(path("a"), claim("a"), outcome, None);
            !migration.is_held_back(Side::Source)
        };
        assert!(is_back(Examined::Absent { root_key: Some(7) }));
        let lost = failure(Side::Source, FailureKind::Unavailable);
        assert!(!is_back(Examined::Failed(lost)));
    }

    fn looked_at(config: Config, at: &str, claim: Claim, seen: Examined) -> Migration {
        let mut migration = migration_of(config);
        migration.root.key = Some(7);
        migration.look_at(path(at), claim, seen);
        migration
    }

    fn file(length: u64) -> Examined {
        Examined::Present(Node::File(node(length)))
    }

    #[test]
    fn rule_7_1_what_changes_the_target_asks_of_the_marker_above_first() {
        let asked = |known: Option<Row>, markers: Vec<Row>| {
            let claim = Claim { row: known, commit_markers: markers, ..claim("a") };
            next(&looked_at(Config::default(), "a", claim, file(5)), "a")
        };
        let marker = || row_at("_SUCCESS").into_iter().collect::<Vec<_>>();
        assert_eq!(asked(None, marker()), "asked of its marker");
        assert_eq!(asked(None, Vec::new()), "copied");
        assert_eq!(asked(row_at("a"), marker()), "given back", "nothing changes");
    }

    #[test]
    fn what_cannot_be_migrated_takes_away_what_stood_there() {
        let met = |claim: Claim| {
            let seen = Examined::Present(Node::Special("a socket".to_owned()));
            next(&looked_at(Config::default(), "a", claim, seen), "a")
        };
        assert_eq!(met(claim("a")), "given back");
        assert_eq!(met(Claim { row: row_at("a"), ..claim("a") }), "removed");
        let let_go = Some(LetGo::Guard);
        assert_eq!(met(Claim { rows_below: true, let_go, ..claim("a") }), "purged");
    }

    #[test]
    fn rule_3_5_an_open_file_is_left_as_it_was_and_an_open_marker_goes() {
        let met = |at: &str, claim: Claim, open: bool| {
            let seen = Examined::Present(Node::File(FileNode { open, ..node(6) }));
            let mut migration = looked_at(Config::default(), at, claim, seen);
            let parked = changed(&mut migration).into_iter().find_map(|change| {
                if let Change::Park { reason, .. } = change { Some(reason) } else { None }
            });
            (next(&migration, at), parked)
        };
        let aside = ("given back", Some(Parked::Open));
        assert_eq!(met("a", claim("a"), true), aside);
        assert_eq!(met("a", Claim { row: row_at("a"), ..claim("a") }, true), aside);
        assert_eq!(met("a", claim("a"), false), ("copied", None));
        let marker = || Claim { row: row_at("_SUCCESS"), ..claim("_SUCCESS") };
        assert_eq!(met("_SUCCESS", marker(), true), ("removed", None));
        assert_eq!(met("_SUCCESS", claim("_SUCCESS"), true), aside, "none stands");
        assert_eq!(met("_SUCCESS", claim("_SUCCESS"), false), ("asked of its group", None));
    }

    /// What is a file now was no directory since; what was known of one does not hold.
    #[test]
    fn rule_11_2_a_file_in_the_place_of_a_directory_forgets_that() {
        let forgets = |reach: Reach, row: Option<Row>, dirty: bool| {
            let claim = Claim { reach, row, dirty, ..claim("a") };
            let mut migration = looked_at(Config::default(), "a", claim, file(6));
            let changes = changed(&mut migration);
            changes.iter().any(|change| matches!(change, Change::DropDirectory { .. }))
        };
        assert!(forgets(Reach::Path, None, false) && forgets(Reach::Subtree, row_at("a"), false));
        assert!(!forgets(Reach::Path, row_at("a"), false), "it was one before");
        assert!(!forgets(Reach::Path, None, true), "a directory may stand there by now");
    }

    #[test]
    fn rule_5_5_what_lies_below_a_file_goes_first() {
        let met = |claim: Claim| next(&looked_at(Config::default(), "a", claim, file(6)), "a");
        let let_go = Some(LetGo::Guard);
        assert_eq!(met(Claim { rows_below: true, let_go, ..claim("a") }), "purged");
        assert_eq!(met(Claim { marker: row_at("a/"), ..claim("a") }), "removed");
        assert_eq!(met(Claim { rows_below: true, ..claim("a") }), "given back", "it is judged");
        assert_eq!(met(Claim { file_above: Some(path("")), ..claim("a") }), "given back");
    }

    #[test]
    fn rule_5_5_what_waits_for_a_file_above_comes_back_the_later_the_longer_it_waited() {
        let comes_back = |waited_millis: u64| {
            let mut migration = migration_of(Config::default());
            migration.now = Time(100_000);
            let seen = Time(100_000 - waited_millis);
            let waits = Claim { seen, ..claim("d/a") };
            migration.wait_for_ancestor(path("d/a"), waits, &path("d"));
            let changes = changed(&mut migration);
            assert_eq!(marked(&changes), [(path("d"), Reach::Path)]);
            let not_before = changes.into_iter().find_map(|change| {
                if let Change::Defer { not_before, .. } = change {
                    Some(not_before.0 - 100_000)
                } else {
                    None
                }
            });
            not_before.expect("it is given back")
        };
        assert_eq!((comes_back(0), comes_back(2_000), comes_back(90_000)), (100, 500, 10_000));
    }

    fn directory(empty: Option<bool>) -> Examined {
        let (file_key, metadata) = (7, Metadata::default());
        Examined::Present(Node::Directory(DirectoryNode { file_key, empty, metadata }))
    }

    #[test]
    fn rule_5_5_what_stands_in_the_place_of_a_directory_goes() {
        let met = |extras: Extras, claim: Claim| {
            let config = Config { extras, ..Config::default() };
            next(&looked_at(config, "d", claim, directory(Some(true))), "d")
        };
        let (own, extra) = (
            || Claim { row: row_at("d"), ..claim("d") },
            || Claim { found: found("d"), ..claim("d") },
        );
        assert_eq!(met(Extras::Keep, claim("d")), "marked");
        assert_eq!(met(Extras::Keep, own()), "removed");
        assert_eq!(
            (met(Extras::Remove, extra()), met(Extras::Keep, extra())),
            ("removed", "marked")
        );
        assert_eq!(
            met(Extras::Keep, Claim { file_above: Some(path("")), ..claim("d") }),
            "given back"
        );
    }

    /// Whether a directory that was looked at is gone through, and with which work.
    #[test]
    fn rule_1_2_a_directory_of_which_nothing_is_known_is_gone_through() {
        let lane = |change: &dyn Fn(&mut Migration), claim: Claim, empty: Option<bool>| {
            let mut migration = migration_of(Config::default());
            migration.root.key = Some(7);
            change(&mut migration);
            migration.look_at(path("d"), claim, directory(empty));
            changed(&mut migration).into_iter().find_map(|change| {
                if let Change::Mark { reach: Reach::Subtree, lane, .. } = change {
                    Some(lane)
                } else {
                    None
                }
            })
        };
        let none = |_: &mut Migration| {};
        let scanned = |it: &mut Migration| it.scanned = true;
        let below = || Claim { rows_below: true, ..claim("d") };
        let full = Some(false);
        assert_eq!(lane(&none, claim("d"), full), Some(Lane::Backlog), "it comes with the scan");
        assert_eq!(lane(&scanned, claim("d"), full), Some(Lane::Live));
        assert_eq!(lane(&scanned, below(), full), None, "it was gone through");
        assert_eq!(lane(&scanned, claim("d"), Some(true)), None, "there is nothing in it");
        let deep = Claim { reach: Reach::Subtree, ..below() };
        assert_eq!(lane(&none, deep, full), Some(Lane::Live), "its pass met something else");
        let gone_through = |it: &mut Migration| {
            it.scanned = true;
            it.gone_through.insert(path("d"), true);
        };
        assert_eq!(lane(&gone_through, claim("d"), full), None, "a moment ago");
    }

    /// What stands in a directory at the source may be out of scope.
    #[test]
    fn a_directory_in_which_nothing_was_met_has_a_marker() {
        let marked = |met: bool| {
            let mut migration = migration_of(Config::default());
            migration.root.key = Some(7);
            migration.gone_through.insert(path("d"), met);
            migration.look_at(path("d"), claim("d"), directory(Some(false)));
            next(&migration, "d")
        };
        assert_eq!((marked(false), marked(true)), ("marked", "given back"));
        let empty = looked_at(Config::default(), "d", claim("d"), directory(Some(true)));
        assert_eq!(next(&empty, "d"), "marked");
    }

    #[test]
    fn rule_5_2_what_is_absent_goes_if_something_of_ours_may_stand_there() {
        let met = |extras: Extras, at: &str, claim: Claim, root_key: u64| {
            let config = Config { extras, ..Config::default() };
            let seen = Examined::Absent { root_key: Some(root_key) };
            let mut migration = looked_at(config, at, claim, seen);
            let settled = changed(&mut migration);
            let settled = settled.iter().any(|change| matches!(change, Change::Settle { .. }));
            if settled { "settled" } else { next(&migration, at) }
        };
        let keep = |claim: Claim| met(Extras::Keep, "a", claim, 7);
        assert_eq!(keep(claim("a")), "settled");
        assert_eq!(met(Extras::Keep, "a", claim("a"), 8), "given back", "of another root");
        assert_eq!(keep(Claim { row: row_at("a"), ..claim("a") }), "asked of hints");
        assert_eq!(keep(Claim { marker: row_at("a/"), ..claim("a") }), "asked of hints");
        assert_eq!(keep(Claim { rows_below: true, ..claim("a") }), "asked of hints");
        let doubtful = Claim { attempts: vec![attempt(4, "a", 5)], ..claim("a") };
        assert_eq!(keep(doubtful), "asked of hints");
        let extra = || Claim { found: found("a"), ..claim("a") };
        assert_eq!(
            (keep(extra()), met(Extras::Remove, "a", extra(), 7)),
            ("settled", "asked of hints")
        );
        let marker = |rows_below: bool, let_go: Option<LetGo>| {
            let claim = Claim { row: row_at("_SUCCESS"), rows_below, let_go, ..claim("_SUCCESS") };
            met(Extras::Keep, "_SUCCESS", claim, 7)
        };
        assert_eq!(marker(false, None), "removed", "its files wait for it");
        assert_eq!(marker(false, Some(LetGo::Guard)), "removed");
        assert_eq!(marker(true, None), "asked of hints", "it is a directory as well");
        let dirty = |dirty: bool| {
            let seen = Examined::Absent { root_key: Some(7) };
            let claim = Claim { dirty, ..claim("a") };
            let mut migration = looked_at(Config::default(), "a", claim, seen);
            let changes = changed(&mut migration);
            changes.iter().any(|change| matches!(change, Change::DropDirectory { .. }))
        };
        assert!(dirty(false) && !dirty(true), "a directory may stand there by now");
    }

    /// The guard holds removals, but a stale marker goes that others wait for.
    #[test]
    fn rule_7_1_a_hastened_marker_goes_although_the_guard_holds() {
        let goes = |hastened: bool| {
            let mut migration = migration_of(Config::default());
            migration.root.key = Some(7);
            migration.summary.guarded = 1;
            migration.guard_persisted(0);
            if hastened {
                migration.claims.hastened_markers.insert(path("_SUCCESS"));
            }
            let claim = Claim { row: row_at("_SUCCESS"), ..claim("_SUCCESS") };
            let seen = Examined::Absent { root_key: Some(7) };
            migration.look_at(path("_SUCCESS"), claim, seen);
            next(&migration, "_SUCCESS")
        };
        assert_eq!((goes(true), goes(false)), ("removed", "given back"));
    }

    #[test]
    fn what_is_a_key_has_no_directories_and_is_no_sign() {
        let of = |namespace: Namespace| migration_of(Config { namespace, ..Config::default() });
        let (tree, flat) = (of(Namespace::Tree), of(Namespace::Flat));
        assert!(tree.is_commit_marker(&path("d/_SUCCESS")));
        assert!(!flat.is_commit_marker(&path("d/_SUCCESS")) && !tree.is_commit_marker(&path("a")));
        assert_eq!(tree.parent_of(&path("d/e/a")), Some(path("d/e")));
        assert_eq!(flat.parent_of(&path("d/e/a")), Some(RelPath::root()));
        assert_eq!((tree.parent_of(&path("")), flat.parent_of(&path(""))), (None, None));
    }
}
