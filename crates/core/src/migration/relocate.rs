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

#[cfg(test)]
mod tests {
    use super::super::tests::{attempt, changed, claim, failure, migration_of, node, row, sent};
    use super::super::tests::{standing, step};
    use super::*;
    use crate::config::Config;
    use crate::failure::Side;

    fn from(at: &str) -> Row {
        Row { path: RelPath::from(at), ..row() }
    }

    fn renamed(row: Option<Row>) -> Claim {
        let renamed = Some(from("b"));
        Claim { row, renamed, node: Some(node(5)), ..claim("a") }
    }

    #[test]
    fn rule_6_3_a_copy_names_what_it_copies_and_what_it_writes_over() {
        let asked = |begin: &dyn Fn(&mut Migration, Claim), claim: Claim| {
            let mut migration = migration_of(Config::default());
            begin(&mut migration, claim);
            sent(&mut migration).into_iter().find_map(|effect| {
                if let Effect::Relocate { from, expected, .. } = effect {
                    Some((from.path, from.etag, expected))
                } else {
                    None
                }
            })
        };
        let relocate = |it: &mut Migration, claim| it.relocate(RelPath::from("a"), claim);
        let restamp = |it: &mut Migration, claim| it.restamp(RelPath::from("a"), claim);
        let (old, tag) = (RelPath::from("b"), Some("old".to_owned()));
        let known = Some(Row { etag: Some("mine".to_owned()), ..row() });
        let of = |tag: &str| Expected::Object(tag.to_owned());
        assert_eq!(
            asked(&relocate, renamed(known.clone())),
            Some((old.clone(), tag.clone(), of("mine")))
        );
        assert_eq!(asked(&relocate, renamed(None)), Some((old, tag, Expected::Nothing)));
        // Onto itself: what it copies is what it writes over.
        let itself = Some((RelPath::from("a"), Some("mine".to_owned()), Expected::Anything));
        assert_eq!(asked(&restamp, renamed(known)), itself);
    }

    /// Nobody may change the old key while it is copied from.
    #[test]
    fn rule_6_3_the_old_key_is_lent_until_the_copy_ends() {
        let mut migration = migration_of(Config::default());
        migration.relocate(RelPath::from("a"), renamed(None));
        assert!(migration.claims.is_busy(&RelPath::from("b")));
        migration.relocate(RelPath::from("c"), renamed(None));
        assert!(step(&migration, "c").is_none(), "it waits");
        let Some(Step::Relocating { attempt, from }) =
            migration.claims.take(&RelPath::from("a")).map(|claim| claim.step)
        else {
            panic!("a copy under way")
        };
        let done = Written::Done(standing());
        migration.relocated(RelPath::from("a"), renamed(None), attempt, from, done);
        assert!(!migration.claims.is_busy(&RelPath::from("b")));
    }

    /// What is done after a copy of `b`, or of `a` onto itself, failed. What stands there is known
    /// as before.
    fn after(kind: FailureKind, of: &str) -> &'static str {
        let mut migration = migration_of(Config::default());
        let failed = Written::Failed(failure(Side::Target, kind));
        let (path, attempt) = (RelPath::from("a"), attempt(4, "a", 5));
        migration.relocated(path, renamed(None), attempt, from(of), failed);
        let distrust = |change: &Change| matches!(change, Change::Distrust(_));
        assert!(!changed(&mut migration).iter().any(distrust));
        match step(&migration, "a") {
            Some(Step::Queued) => "read",
            Some(_) => "something else",
            None => "tried again",
        }
    }

    #[test]
    fn rule_6_4_what_cannot_be_copied_there_is_read() {
        for kind in [
            FailureKind::Unsupported,
            FailureKind::Conflict,
            FailureKind::Missing,
            FailureKind::Moved,
            FailureKind::Corrupt,
        ] {
            assert_eq!((after(kind, "b"), after(kind, "a")), ("read", "read"), "{kind:?}");
        }
        for kind in [
            FailureKind::Unavailable,
            FailureKind::Throttled,
            FailureKind::Denied,
            FailureKind::Forbidden,
            FailureKind::Refused,
            FailureKind::Full,
            FailureKind::Defect,
        ] {
            assert_eq!(after(kind, "a"), "tried again", "{kind:?}");
        }
    }

    #[test]
    fn rule_6_3_what_was_copied_is_known_by_what_the_server_says_or_else_by_its_origin() {
        let done = |of: &str, standing: Standing, dirty: bool| {
            let mut migration = migration_of(Config::default());
            let claim = Claim { dirty, ..renamed(None) };
            let (path, attempt) = (RelPath::from("a"), attempt(4, "a", 5));
            migration.copy_within_done(path, claim, &attempt, from(of), standing);
            let (mut row, mut counted) = (None, Counters::default());
            for change in changed(&mut migration) {
                if let Change::PutRow(put) = change {
                    row = Some(put);
                } else if let Change::Count(more) = change {
                    counted.add(&more);
                }
            }
            let row = row.expect("a row");
            let known = row.identity != Identity::Unknown;
            (row.crc32c, row.length, known, counted.files_relocated, counted.metadata_updated)
        };
        let untold = || Standing { crc32c: None, length: 0, ..standing() };
        assert_eq!(done("b", untold(), false), (Some(7), 5, true, 1, 0));
        assert_eq!(done("a", untold(), false), (Some(7), 5, true, 0, 1));
        let told = Standing { crc32c: Some(8), ..untold() };
        assert_eq!(done("b", told, false), (Some(8), 5, true, 1, 0));
        assert_eq!(done("b", untold(), true), (Some(7), 5, false, 1, 0), "the source moved");
    }
}
