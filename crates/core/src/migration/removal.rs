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
                    self.mark_left(&path, claim);
                }
                Written::Unknown(failure) if planted(Planted::LateRemovalForgotten) => {
                    self.close_attempt(number);
                    self.mark_left(&path, claim);
                    first_failure.get_or_insert(failure);
                }
                Written::Unknown(failure) => {
                    self.doubt_removal(number, &path);
                    self.outbox.change(Change::Distrust(path.clone()));
                    self.mark_left(&path, claim);
                    first_failure.get_or_insert(failure);
                }
                Written::Failed(failure) => {
                    self.close_attempt(number);
                    self.mark_left(&path, claim);
                    first_failure.get_or_insert(failure);
                }
            }
        }
        first_failure
    }

    /// Something may stand there yet. It is gone at the source for as long as what it was to go with
    /// (rule 5.7).
    fn mark_left(&mut self, path: &RelPath, claim: &Claim) {
        self.mark(path, Reach::Path, Lane::Live, claim.first, claim.last);
        if let Some(since) = claim.gone_since {
            let (path, below) = (self.pending_path(path), false);
            self.outbox.change(Change::Gone { path, since, below });
        }
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
        if let Some(claim) = self.claims.take(below) {
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
            gone_since: None,
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

#[cfg(test)]
mod tests {
    use super::super::tests::{attempt, changed, claim, failure, marked, migration_of, node};
    use super::super::tests::{row, sent, standing, step};
    use super::*;
    use crate::config::Config;
    use crate::entry::DirectoryNode;
    use crate::failure::FailureKind;
    use crate::metadata::Metadata;
    use crate::number::Time;
    use crate::record::{Found, Row};

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

    fn marker() -> Option<Row> {
        Some(Row { path: path("d/"), ..row() })
    }

    /// The keys that are to be removed.
    fn removed(migration: &mut Migration) -> Vec<(String, Expected)> {
        let items = sent(migration).into_iter().find_map(|effect| {
            if let Effect::Remove { items, .. } = effect { Some(items) } else { None }
        });
        let keys = items.unwrap_or_default().into_iter();
        keys.map(|item| (item.path.to_string(), item.expected)).collect()
    }

    fn object(tag: &str) -> Expected {
        Expected::Object(tag.to_owned())
    }

    #[test]
    fn rule_6_2_removals_wait_for_renamed_destinations_and_markers_do_not() {
        let waits = |at: &str, claim: Claim| {
            migration_of(Config::default()).waits_for_hints(&path(at), &claim)
        };
        assert!(waits("d", Claim { row: Some(row()), ..claim("d") }));
        assert!(waits("d", Claim { marker: marker(), ..claim("d") }));
        assert!(waits("d", Claim { rows_below: true, ..claim("d") }));
        assert!(!waits("d", claim("d")), "nothing stands");
        assert!(!waits("_SUCCESS", Claim { row: Some(row()), ..claim("_SUCCESS") }));
    }

    #[test]
    fn rule_6_2_what_waits_for_a_destination_comes_back_the_later_the_longer_it_waited() {
        let comes_back = |waited_millis: u64| {
            let mut migration = migration_of(Config::default());
            migration.now = Time(100_000);
            let seen = Time(100_000 - waited_millis);
            migration.hints_checked(path("d"), Claim { seen, ..claim("d") }, true);
            let not_before = changed(&mut migration).into_iter().find_map(|change| {
                if let Change::Defer { not_before, waiting: true, .. } = change {
                    Some(not_before.0 - 100_000)
                } else {
                    None
                }
            });
            not_before.expect("it is given back")
        };
        assert_eq!((comes_back(0), comes_back(2_000), comes_back(9_000)), (200, 500, 1_000));
    }

    /// What follows once no destination is waited for.
    #[test]
    fn rule_5_2_what_is_gone_is_judged_and_then_removed() {
        let next = |absent: bool, claim: Claim| {
            let mut migration = migration_of(Config::default());
            let step_now = Step::CheckingHints { absent };
            migration.hints_checked(path("d"), Claim { step: step_now, ..claim }, false);
            match step(&migration, "d") {
                Some(Step::Examining) => "looked at",
                Some(Step::Purging(_)) => "purged",
                Some(Step::Removing { .. }) => "removed",
                Some(_) => "something else",
                None => "judged",
            }
        };
        let own = || Claim { row: Some(row()), ..claim("d") };
        let below = || Claim { rows_below: true, ..own() };
        let let_go = Some(LetGo::Guard);
        assert_eq!(next(false, own()), "looked at");
        assert_eq!((next(true, own()), next(true, below())), ("judged", "judged"));
        assert_eq!(next(true, Claim { let_go, ..own() }), "removed");
        assert_eq!(next(true, Claim { let_go, ..below() }), "purged");
    }

    /// The keys that go with the path itself.
    #[test]
    fn rule_5_3_what_goes_with_a_path_is_ours_or_was_asked_for() {
        let keys = |config: Config, claim: Claim, then: AfterRemoval| {
            let mut migration = migration_of(config);
            migration.remove_own(path("d"), claim, then);
            removed(&mut migration)
        };
        let config = || Config { extras: Extras::Keep, ..Config::default() };
        let remove = || Config { extras: Extras::Remove, ..Config::default() };
        let of = |at: &str, expected| (at.to_owned(), expected);
        let own = || Claim { row: Some(row()), marker: marker(), ..claim("d") };
        let both = [of("d", object("old")), of("d/", object("old"))];
        assert_eq!(keys(config(), own(), AfterRemoval::Settle), both);
        assert_eq!(keys(config(), own(), AfterRemoval::Again), both);
        let stays = [of("d/", object("old"))];
        assert_eq!(keys(config(), own(), AfterRemoval::AgainWithFile), stays);
        assert_eq!(keys(config(), claim("d"), AfterRemoval::Settle), [], "nothing stands");
        let extra = || Claim { found: found("d"), ..claim("d") };
        assert_eq!(keys(config(), extra(), AfterRemoval::Settle), []);
        let theirs = [of("d", object("theirs"))];
        assert_eq!(keys(remove(), extra(), AfterRemoval::Settle), theirs);
        // A write that was not heard of may have brought what nobody knows of.
        let doubtful = |at: &str| Claim { attempts: vec![attempt(4, at, 5)], ..claim("d") };
        let nothing = Expected::Nothing;
        let unheard = [of("d", nothing.clone())];
        assert_eq!(keys(config(), doubtful("d"), AfterRemoval::Settle), unheard);
        assert_eq!(keys(config(), doubtful("d"), AfterRemoval::Again), [], "it is looked at");
        let unheard = [of("d/", nothing)];
        assert_eq!(keys(config(), doubtful("d/"), AfterRemoval::Settle), unheard);
        assert_eq!(keys(config(), doubtful("d/"), AfterRemoval::Again), []);
        let foreign = || Claim { found: found("d"), ..doubtful("d") };
        assert_eq!(keys(config(), foreign(), AfterRemoval::Settle), [], "what stands is theirs");
        let none = Config { conditions: false, ..config() };
        let blind = [of("d", Expected::Anything)];
        assert_eq!(keys(none, foreign(), AfterRemoval::Settle), blind, "nobody can tell");
    }

    fn attempts_of(migration: &Migration) -> Vec<(u64, u64)> {
        migration.doubts.iter().map(|(until, number, _)| (until.0, number.0)).collect()
    }

    #[test]
    fn rule_5_6_what_the_guard_let_go_and_what_goes_alone_is_lost() {
        let lost = |let_go: Option<LetGo>, alone: bool| {
            let mut migration = migration_of(Config::default());
            let claim = Claim { let_go, ..claim("a") };
            let (attempt, expected) = (crate::number::AttemptNumber(4), Expected::Nothing);
            let item = Removal { attempt, path: path("a"), expected };
            let outcome = Written::Done(standing());
            let failed = migration.note_removals(&claim, alone, vec![item], vec![outcome]);
            assert_eq!(failed, None);
            let loss = changed(&mut migration).into_iter().find_map(|change| {
                if let Change::Removed { loss, .. } = change { Some(loss) } else { None }
            });
            loss.expect("it went")
        };
        assert!(lost(Some(LetGo::Guard), false) && lost(None, true));
        assert!(!lost(Some(LetGo::Person), false), "that was meant");
        assert!(!lost(None, false), "something else takes its place");
    }

    /// A removal that was not heard of may have been carried out, or may be yet.
    #[test]
    fn rule_4_1_what_a_removal_without_an_end_leaves() {
        let noted = |outcome: Written| {
            let mut migration = migration_of(Config::default());
            let (attempt, expected) = (crate::number::AttemptNumber(4), Expected::Nothing);
            let item = Removal { attempt, path: path("a"), expected };
            let failed = migration.note_removals(&claim("a"), true, vec![item], vec![outcome]);
            let changes = changed(&mut migration);
            let distrusted = changes.contains(&Change::Distrust(path("a")));
            let closed = changes.contains(&Change::AttemptClosed(attempt));
            let doubts = attempts_of(&migration);
            (failed.is_some(), distrusted, closed, marked(&changes).len(), doubts)
        };
        let lost = || failure(Side::Target, FailureKind::Unavailable);
        assert_eq!(noted(Written::Unknown(lost())), (true, true, false, 1, vec![(61_000, 4)]));
        assert_eq!(noted(Written::Failed(lost())), (true, false, true, 1, vec![]));
        let met = failure(Side::Target, FailureKind::Conflict);
        assert_eq!(noted(Written::Unexpected(met)), (false, false, false, 1, vec![(1_000, 4)]));
    }

    /// A removal of all that stands below `d`, in the middle of that.
    fn purging(migration: &mut Migration, which: Removable, claim: Claim) -> Claim {
        migration.begin_purge(path("d"), claim, AfterRemoval::Settle);
        let mut claim = migration.claims.take(&path("d")).expect("a claim");
        if let Step::Purging(purge) = &mut claim.step {
            purge.which = which;
        }
        claim
    }

    fn asked_for(migration: &mut Migration) -> Option<Removable> {
        sent(migration).into_iter().find_map(|effect| {
            if let Effect::Rows { which, .. } = effect { Some(which) } else { None }
        })
    }

    #[test]
    fn rule_7_1_markers_go_before_their_files_and_extras_at_last() {
        let next = |which: Removable, extras: Extras, below: bool, known: u64, left: bool| {
            let mut migration = migration_of(Config { extras, ..Config::default() });
            migration.summary.found = known;
            let given = Claim { rows_below: true, found_below: below, ..claim("d") };
            let mut given = purging(&mut migration, which, given);
            if let Step::Purging(purge) = &mut given.step {
                purge.left = left;
            }
            sent(&mut migration);
            migration.purge_objects(path("d"), given, Vec::new());
            let ended = step(&migration, "d").is_none();
            (asked_for(&mut migration), ended)
        };
        use Extras::{Keep, Remove};
        use Removable::{CommitMarkers, Found, Others};
        assert_eq!(next(CommitMarkers, Keep, false, 0, false), (Some(Others), false));
        assert_eq!(next(Others, Keep, true, 1, false), (None, true));
        assert_eq!(next(Others, Remove, false, 0, false), (None, true), "there are none");
        assert_eq!(next(Others, Remove, true, 0, false), (Some(Found), false));
        assert_eq!(next(Others, Remove, false, 1, false), (Some(Found), false));
        assert_eq!(next(Found, Remove, true, 1, false), (None, true));
        let settles = |left: bool| {
            let mut migration = migration_of(Config::default());
            let given = Claim { rows_below: true, ..claim("d") };
            let mut given = purging(&mut migration, Others, given);
            if let Step::Purging(purge) = &mut given.step {
                purge.left = left;
            }
            migration.purge_objects(path("d"), given, Vec::new());
            let changes = changed(&mut migration);
            changes.iter().any(|change| matches!(change, Change::Settle { .. }))
        };
        assert!(settles(false) && !settles(true), "work was left that may bring it back");
    }

    /// What of these is claimed for removal, if something is worked on.
    #[test]
    fn rule_5_1_a_batch_leaves_to_others_what_they_work_on() {
        let claimed = |which: Removable, busy: &str, arrived: bool, below: &[&str]| {
            let mut migration = migration_of(Config::default());
            let mut given =
                purging(&mut migration, which, Claim { rows_below: true, ..claim("d") });
            if let Step::Purging(purge) = &mut given.step {
                purge.arrived = arrived;
            }
            migration.hold(path(busy), claim(busy));
            let etag = Some("old".to_owned());
            let going = below.iter().map(|at| Going { path: path(at), etag: etag.clone() });
            migration.purge_objects(path("d"), given, going.collect());
            if let Some(Step::Purging(purge)) = step(&migration, "d") {
                Some((purge.claimed.len(), purge.left))
            } else {
                None
            }
        };
        use Removable::{CommitMarkers, Others};
        assert_eq!(claimed(Others, "e", false, &["d/a", "d/b"]), Some((2, false)));
        assert_eq!(claimed(Others, "d/a", false, &["d/a", "d/b"]), Some((1, true)));
        assert_eq!(claimed(Others, "d/c", false, &["d/c/", "d/b"]), Some((1, true)));
        assert_eq!(claimed(Others, "d/c", false, &["d/b"]), Some((1, false)));
        assert_eq!(claimed(Others, "e", true, &["d/a"]), None, "a marker came: it goes first");
        assert_eq!(claimed(CommitMarkers, "e", true, &["d/_SUCCESS"]), Some((1, false)));
        assert_eq!(claimed(CommitMarkers, "d/_SUCCESS", false, &["d/_SUCCESS"]), None);
    }

    #[test]
    fn rule_5_2_a_batch_goes_on_a_fresh_look_alone() {
        let goes = |at: &str, seen: Examined| {
            let mut migration = migration_of(Config::default());
            migration.root.key = Some(7);
            migration.begin_purge(path(at), claim(at), AfterRemoval::Settle);
            let mut given = migration.claims.take(&path(at)).expect("a claim");
            sent(&mut migration);
            let going = Going { path: path("d/a"), etag: None };
            migration.purge_objects(path(at), given, vec![going]);
            given = migration.claims.take(&path(at)).expect("a claim");
            let Step::Purging(purge) = std::mem::replace(&mut given.step, Step::Begun) else {
                panic!("a batch")
            };
            migration.purge_evidence(path(at), given, purge, seen);
            !removed(&mut migration).is_empty()
        };
        let (file_key, empty, metadata) = (7, None, Metadata::default());
        let directory = DirectoryNode { file_key, empty, metadata };
        assert!(goes("d", Examined::Absent { root_key: Some(7) }));
        assert!(!goes("d", Examined::Absent { root_key: Some(8) }), "under another root");
        assert!(!goes("d", Examined::Absent { root_key: None }));
        assert!(goes("d", Examined::Present(Node::File(node(5)))));
        assert!(!goes("", Examined::Present(Node::File(node(5)))), "the root is a directory");
        assert!(!goes("d", Examined::Present(Node::Directory(directory))));
        let lost = failure(Side::Source, FailureKind::Unavailable);
        assert!(!goes("d", Examined::Failed(lost)));
    }

    /// A marker that stands yet, otherwise than it was known, speaks for what would go next.
    #[test]
    fn rule_7_1_a_marker_that_could_not_go_keeps_its_files() {
        let goes_on = |which: Removable, outcome: Written| {
            let mut migration = migration_of(Config::default());
            let given = Claim { rows_below: true, ..claim("d") };
            let mut given = purging(&mut migration, which, given);
            sent(&mut migration);
            let (attempt, expected) = (crate::number::AttemptNumber(4), Expected::Nothing);
            let item = Removal { attempt, path: path("d/_SUCCESS"), expected };
            if let Step::Purging(purge) = &mut given.step {
                purge.batch.push(item);
            }
            migration.removed(path("d"), given, vec![outcome]);
            step(&migration, "d").is_some()
        };
        let met = || Written::Unexpected(failure(Side::Target, FailureKind::Conflict));
        assert!(goes_on(Removable::CommitMarkers, Written::Done(standing())));
        assert!(!goes_on(Removable::CommitMarkers, met()));
        assert!(goes_on(Removable::Others, met()), "that one is looked at by itself");
    }

    /// Where directories are real, what lies below a key could not be written before.
    #[test]
    fn what_a_removed_key_hindered_is_tried_again() {
        let tried = |namespace: Namespace| {
            let mut migration = migration_of(Config { namespace, ..Config::default() });
            migration.hindered.insert(path("d"));
            migration.hindered.insert(path("e"));
            migration.after_removal(path("d/a"), claim("d/a"), AfterRemoval::Settle);
            let changes = changed(&mut migration);
            let below = changes.iter().any(|it| matches!(it, Change::Reconsider { .. }));
            (below, marked(&changes))
        };
        assert_eq!(tried(Namespace::Flat), (true, vec![(path("d"), Reach::Path)]));
        assert_eq!(tried(Namespace::Tree), (false, vec![]));
        let forgets = |dirty: bool| {
            let mut migration = migration_of(Config::default());
            let claim = Claim { dirty, ..claim("d") };
            migration.after_removal(path("d"), claim, AfterRemoval::Settle);
            let changes = changed(&mut migration);
            changes.iter().any(|it| matches!(it, Change::DropDirectory { .. }))
        };
        assert!(forgets(false) && !forgets(true), "another may stand there by now");
    }

    #[test]
    fn rule_5_3_extras_go_where_that_was_asked_for() {
        let goes = |extras: Extras, found: Option<Found>, found_below: bool, rows_below: bool| {
            let migration = migration_of(Config { extras, ..Config::default() });
            let claim = Claim { found, found_below, rows_below, ..claim("d") };
            let (own, below) = (migration.removes_extra(&claim), migration.removes_below(&claim));
            (own, below, migration.removes_extras_below(&claim))
        };
        use Extras::{Keep, Remove};
        assert_eq!(goes(Remove, found("d"), true, false), (true, true, true));
        assert_eq!(goes(Keep, found("d"), true, false), (false, false, false));
        assert_eq!(goes(Remove, None, false, true), (false, true, false));
        assert_eq!(goes(Keep, None, false, true), (false, true, false));
    }
}
