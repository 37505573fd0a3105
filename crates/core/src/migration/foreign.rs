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
use crate::number::{AttemptNumber, Time, TxId};
use crate::path::RelPath;
use crate::planted::{Planted, planted};
use crate::record::{Attempt, AttemptKind, Change, Found, LetGo, Parked, Row};

/// So often in a row something else stands than the look before has shown.
const UNEXPECTED_MAX: u32 = 8;
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
        claim.tries += 1;
        let times = self.unexpected.entry(path.clone()).or_default();
        *times += 1;
        if *times >= UNEXPECTED_MAX {
            // No look explains it: something else is in the way, as an object is of a directory
            // where the target is a file system.
            self.close_attempt(number);
            let remedy = "see what somebody else left at the target there, above or below it";
            self.set_aside(path, claim, Failure { remedy: remedy.to_owned(), ..failure.clone() });
            return;
        }
        self.look_at_once(number, &attempt.path);
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
            return row.may_be_the_same_write(standing);
        }
        // The state may be an older one that was restored.
        self.attempt_numbers.is_unknown(number)
            || attempts.iter().any(|attempt| attempt.number == number && wrote(attempt, standing))
    }

    /// Nothing stands where something was expected. If no removal of ours did that, people are
    /// told.
    pub(super) fn note_nothing_stands(
        &mut self,
        claim: &mut Claim,
        (at, asked): (&RelPath, Time),
        ours: bool,
    ) {
        let found = claim.found.take_if(|found| found.path == *at);
        if !ours && found.is_none() {
            return;
        }
        let (path, loss) = (at.clone(), claim.let_go != Some(LetGo::Person));
        self.outbox.change(match ours && self.was_removed(claim, at, asked) {
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

    /// A removal of ours could not take effect any more when the look was asked for: it did.
    fn was_removed(&self, claim: &Claim, at: &RelPath, asked: Time) -> bool {
        let removal = |it: &&Attempt| it.path == *at && it.kind == AttemptKind::Remove;
        claim.attempts.iter().filter(removal).any(|it| self.was_over(it, asked))
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
            && self.config.is_of_another_migration(standing.migration.as_deref())
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

#[cfg(test)]
mod tests {
    use super::super::tests::{
        attempt, changed, claim, failure, marked, migration_of, row, sent, standing, upload,
    };
    use super::*;
    use crate::config::Config;
    use crate::record::Reach;

    fn config() -> Config {
        Config { migration: "ours".to_owned(), ..Config::default() }
    }

    fn found() -> Found {
        Found {
            path: RelPath::from("a"),
            length: 5,
            etag: Some("theirs".to_owned()),
            version: None,
            crc32c: None,
            metadata: None,
            migration: None,
            late: true,
        }
    }

    fn theirs() -> Standing {
        let etag = Some("theirs".to_owned());
        Standing { etag, migration: None, attempt: None, ..standing() }
    }

    fn removal(at: &str, doubtful_until: u64) -> Attempt {
        let doubtful_until = Some(Time(doubtful_until));
        Attempt { kind: AttemptKind::Remove, doubtful_until, ..attempt(4, at, 0) }
    }

    /// How many people are told of.
    fn told(migration: &mut Migration) -> usize {
        let effects = sent(migration);
        effects.iter().filter(|effect| matches!(effect, Effect::Report(_))).count()
    }

    /// An upload of a dead process may have been completed by that: its doubt lasts as long as it
    /// would have, and it is another attempt whose key is looked at now.
    #[test]
    fn rule_4_1_an_upload_that_met_something_keeps_its_doubt() {
        let met = |until: Option<u64>| {
            let mut migration = migration_of(config());
            let doubtful_until = until.map(Time);
            let of_before =
                Attempt { upload: Some(upload()), doubtful_until, ..attempt(4, "a", 5) };
            let conflict = failure(Side::Target, FailureKind::Conflict);
            let (path, claim) = (RelPath::from("a"), claim("a"));
            migration.meet_unexpected(path, claim, &of_before, &conflict);
            let doubts: Vec<_> =
                migration.doubts.iter().map(|(until, number, _)| (until.0, number.0)).collect();
            let changes = changed(&mut migration);
            let opened = changes.iter().find_map(|change| {
                if let Change::AttemptOpened(attempt) = change {
                    Some(attempt.clone())
                } else {
                    None
                }
            });
            let tries = changes.iter().find_map(|change| {
                if let Change::Defer { tries, .. } = change { Some(*tries) } else { None }
            });
            assert_eq!(tries, Some(1), "it counts as one that failed");
            (doubts, opened)
        };
        assert_eq!(met(None), (vec![(1_000, 4)], None));
        assert_eq!(met(Some(999)), (vec![(1_000, 4)], None), "it is over");
        assert_eq!(met(Some(1_000)), (vec![(1_000, 4)], None), "it is over by now");
        let (doubts, opened) = met(Some(1_001));
        let opened = opened.expect("another attempt");
        assert_eq!(opened.identity, Identity::Unknown, "as long as may be");
        assert_eq!(doubts, [(1_000, opened.number.0), (1_001, 4)]);
    }

    #[test]
    fn rule_4_1_what_no_look_explains_is_set_aside_with_what_to_do() {
        let mut migration = migration_of(config());
        let conflict = failure(Side::Target, FailureKind::Conflict);
        for times in 1..=UNEXPECTED_MAX {
            let (path, claim) = (RelPath::from("a"), claim("a"));
            migration.meet_unexpected(path, claim, &attempt(4, "a", 5), &conflict);
            let effects = sent(&mut migration);
            let told = effects.iter().find_map(|effect| {
                if let Effect::Report(report) = effect {
                    Some(report.failure.remedy.clone())
                } else {
                    None
                }
            });
            assert_eq!(told.is_some(), times == UNEXPECTED_MAX, "{times}");
            assert!(told.is_none_or(|remedy| remedy.contains("somebody else")));
        }
    }

    #[test]
    fn rule_4_4_what_nobody_here_removed_was_removed_by_somebody_else() {
        let gone = |config: Config, attempts: Vec<Attempt>, let_go: Option<LetGo>| {
            let mut migration = migration_of(config);
            let mut claim = Claim { attempts, let_go, ..claim("a") };
            migration.note_nothing_stands(&mut claim, (&RelPath::from("a"), Time(1_000)), true);
            let changes = changed(&mut migration);
            let removed = changes.iter().find_map(|change| {
                if let Change::Removed { loss, .. } = change { Some(*loss) } else { None }
            });
            let told = !migration.foreign_told.is_empty();
            (removed, told)
        };
        let none = || Config { conditions: false, ..config() };
        assert_eq!(gone(config(), vec![], None), (None, true));
        assert_eq!(gone(none(), vec![], None), (None, false), "it may have been ours");
        let (over, doubtful) = (removal("a", 1), removal("a", 2_000));
        assert_eq!(gone(config(), vec![over.clone()], None), (Some(true), false), "it did");
        let meant = Some(LetGo::Person);
        assert_eq!(gone(config(), vec![over.clone()], meant), (Some(false), false), "no loss");
        assert_eq!(gone(config(), vec![doubtful], None), (None, false), "it may have");
        assert_eq!(gone(config(), vec![removal("a/", 1)], None), (None, true), "another key");
        let copy = Attempt { kind: AttemptKind::Copy, ..over };
        assert_eq!(gone(config(), vec![copy], None), (None, true));
        let mut migration = migration_of(config());
        let known = &mut Claim { found: Some(found()), ..claim("a") };
        migration.note_nothing_stands(known, (&RelPath::from("a"), Time(1_000)), false);
        assert_eq!(known.found, None);
        assert_eq!(changed(&mut migration), [Change::DropRow(RelPath::from("a"))]);
        migration.note_nothing_stands(&mut claim("a"), (&RelPath::from("a"), Time(1_000)), false);
        assert_eq!(changed(&mut migration), [], "nothing was known to stand");
    }

    #[test]
    fn rule_4_4_what_stays_though_its_file_is_gone_is_told_of() {
        let told_of = |extras: Extras, attempts: Vec<Attempt>| {
            let mut migration = migration_of(Config { extras, ..config() });
            let mut claim = Claim { attempts, ..claim("a") };
            let row = migration.note_foreign(&mut claim, &RelPath::from("a"), true, theirs());
            assert_eq!((row, claim.found.is_some()), (None, true));
            told(&mut migration)
        };
        assert_eq!(told_of(Extras::Keep, vec![removal("a", 1)]), 1);
        assert_eq!(told_of(Extras::Remove, vec![removal("a", 1)]), 0, "it goes");
        assert_eq!(told_of(Extras::Keep, vec![]), 0, "its file stands");
        assert_eq!(told_of(Extras::Remove, vec![]), 0);
    }

    #[test]
    fn rule_4_4_only_what_holds_bytes_is_kept_from_being_a_directory_marker() {
        let marker = RelPath::from("a/");
        let of = |length: u64| Standing { length, ..theirs() };
        for (existing, length, stays) in [
            (Existing::Check, 0, false),
            (Existing::Check, 1, true),
            (Existing::Check, 5, true),
            (Existing::Replace, 0, false),
            (Existing::Replace, 5, false),
        ] {
            let mut migration = migration_of(Config { existing, ..config() });
            let row = migration.note_foreign_marker(&marker, true, of(length));
            let taken = row.is_some();
            assert_eq!(taken, !stays, "{existing:?} {length}");
            let changes = changed(&mut migration);
            let dropped = changes == [Change::DropRow(marker.clone())];
            assert_eq!((dropped, changes.len()), (stays, 1), "{existing:?} {length}");
            let holds = migration.holds_marker(&claim("a"), &marker, Some(&of(length)));
            assert_eq!(holds, stays, "{existing:?} {length}");
        }
        let holds = |config: Config, at: &str, attempts: Vec<Attempt>, standing| {
            let claim = Claim { attempts, ..claim("a") };
            migration_of(config).holds_marker(&claim, &RelPath::from(at), standing)
        };
        let theirs = of(5);
        assert!(holds(config(), "a/", vec![], Some(&theirs)));
        assert!(!holds(config(), "a/", vec![], None), "nothing stands there");
        assert!(!holds(config(), "a", vec![], Some(&theirs)), "that is a file's");
        assert!(!holds(config(), "a/", vec![removal("a/", 1)], Some(&theirs)), "it is to go");
        assert!(holds(config(), "a/", vec![removal("a", 1)], Some(&theirs)));
        let none = Config { conditions: false, ..config() };
        assert!(!holds(none, "a/", vec![], Some(&theirs)), "nobody minds what stands");
        let ours = Attempt { kind: AttemptKind::Marker, ..attempt(3, "a/", 5) };
        assert!(!holds(config(), "a/", vec![ours], Some(&standing())), "we wrote it");
    }

    #[test]
    fn people_are_told_of_a_foreign_object_once() {
        let mut migration = migration_of(config());
        let mut tell = |at: &str| {
            migration.tell_foreign(&RelPath::from(at), conflict(String::new(), ""));
            (told(&mut migration), migration.foreign_told.len())
        };
        assert_eq!((tell("a"), tell("a"), tell("b")), ((1, 1), (0, 1), (1, 2)));
        for number in 2..FOREIGN_TOLD_MAX {
            tell(&format!("{number}"));
        }
        assert_eq!(tell("one more"), (1, 1), "what is remembered is bounded");
    }

    #[test]
    fn rule_4_4_what_an_imitation_of_our_metadata_is_told_by() {
        let same = |ours: (Option<u32>, &str), theirs: (Option<u32>, &str), length: u64| {
            let row = Row { crc32c: ours.0, etag: Some(ours.1.to_owned()), ..row() };
            let etag = Some(theirs.1.to_owned());
            row.may_be_the_same_write(&Standing { crc32c: theirs.0, etag, length, ..standing() })
        };
        assert!(same((Some(7), "x"), (Some(7), "y"), 5));
        assert!(!same((Some(7), "x"), (Some(8), "x"), 5));
        assert!(!same((Some(7), "x"), (Some(7), "x"), 6));
        assert!(!same((Some(7), "x"), (None, "y"), 5), "one part has one tag");
        assert!(same((Some(7), "x-2"), (None, "y"), 5));
        assert!(same((None, "x"), (Some(7), "y-2"), 5));
        let known = |found: Option<Found>, at: &str| {
            let claim = Claim { found, ..claim("a") };
            is_known_as_foreign(&claim, &RelPath::from(at), &theirs())
        };
        assert!(known(Some(found()), "a"));
        assert!(!known(Some(Found { late: false, ..found() }), "a"), "it may be ours by now");
        assert!(!known(Some(Found { etag: Some("older".to_owned()), ..found() }), "a"));
        assert!(!known(Some(found()), "b") && !known(None, "a"));
    }

    /// A removal that met something else: its key is looked at, and the path with it.
    #[test]
    fn rule_4_4_a_key_is_looked_at_once() {
        let mut migration = migration_of(config());
        migration.look_at_once(AttemptNumber(4), &RelPath::from("a"));
        migration.end_doubts();
        assert_eq!(marked(&changed(&mut migration)), [(RelPath::from("a"), Reach::Path)]);
    }
}
