//! Attempts: every write is known before it leaves, and one whose end is unknown is looked at
//! again when it cannot take effect any more (section 4).

use super::Migration;
use super::claim::{Asked, Claim, Step};
use crate::effect::Effect;
use crate::failure::{Failure, FailureKind};
use crate::identity::{Identity, Sameness};
use crate::input::Standing;
use crate::metadata::Metadata;
use crate::number::{AttemptNumber, Time, TxId};
use crate::path::RelPath;
use crate::planted::{Planted, planted};
use crate::record::{Attempt, AttemptKind, Change, Counters, Lane, Meta, Reach, Row, Upload};

/// Pause between two looks at what a doubtful attempt left, for each attempt that is in doubt.
const DOUBT_PAUSE_MILLIS: u64 = 5_000;
/// So many attempts lengthen it.
const SHARES_MAX: u64 = 12;

/// The numbers of attempts. Those of a run begin at its time in microseconds: so they are not those
/// of a run that the state forgot, because an older one was restored.
#[derive(Debug)]
pub(super) struct Numbers {
    /// The first one that the state did not know when the run began.
    unknown: AttemptNumber,
    first: AttemptNumber,
    next: AttemptNumber,
}

impl Numbers {
    pub(super) fn of(meta: &Meta, now: Time) -> Self {
        let unknown = meta.next_attempt.max(AttemptNumber(1));
        let first = unknown.max(AttemptNumber(now.0.saturating_mul(1_000)));
        Self { unknown, first, next: first }
    }

    fn take(&mut self) -> AttemptNumber {
        let number = self.next;
        self.next = number.next();
        number
    }

    /// Neither this run gave the number, nor one that the state knows.
    pub(super) fn is_unknown(&self, number: AttemptNumber) -> bool {
        number >= self.unknown && !(self.first..self.next).contains(&number)
    }
}

impl Migration {
    /// Numbers a write and makes its intent durable before whatever is sent after it (rule 4.1).
    pub(super) fn open_attempt(
        &mut self,
        path: &RelPath,
        kind: AttemptKind,
        identity: Identity,
    ) -> Attempt {
        let number = self.attempt_numbers.take();
        let attempt = Attempt {
            number,
            path: path.clone(),
            kind,
            started: self.now,
            doubtful_until: None,
            identity,
            upload: None,
        };
        let copies = kind == AttemptKind::Copy && attempt.identity != Identity::Unknown;
        if !copies || !planted(Planted::IntentNotDurable) {
            self.outbox.change(Change::AttemptOpened(attempt.clone()));
        }
        attempt
    }

    /// The end of a write is not known: it keeps its intent until it cannot take effect any more.
    pub(super) fn doubt(&mut self, attempt: &Attempt) {
        let until = self.end_of_doubt(attempt);
        if planted(Planted::IntentNotDurable) {
            self.outbox.change(Change::AttemptOpened(attempt.clone()));
        }
        self.doubt_until(until, attempt.number, &attempt.path);
        self.note_doubtful(attempt);
    }

    /// A commit marker that a write may make visible until then, or has: what it speaks for stays as
    /// it is until somebody looked what came of it.
    pub(super) fn note_doubtful(&mut self, attempt: &Attempt) {
        let writes = attempt.kind != AttemptKind::Remove;
        if writes && self.is_commit_marker(&attempt.path) && !planted(Planted::LateMarkerForgotten)
        {
            self.claims.doubtful_markers.insert(attempt.number, attempt.path.clone());
        }
    }

    /// The same for a removal.
    pub(super) fn doubt_removal(&mut self, number: AttemptNumber, path: &RelPath) {
        let until = self.now.plus_millis(self.lifetime_millis(0));
        self.doubt_until(until, number, path);
    }

    /// From when on a write whose call is over by now, or whose process is gone, cannot take
    /// effect any more (rule 4.2).
    pub(super) fn end_of_doubt(&self, attempt: &Attempt) -> Time {
        let bytes = match (attempt.kind, &attempt.identity) {
            (AttemptKind::Marker | AttemptKind::Remove, _) => 0,
            (AttemptKind::Copy | AttemptKind::Relocate, Identity::Unknown) => u64::MAX,
            (AttemptKind::Copy | AttemptKind::Relocate, identity) => identity.length(),
        };
        self.now.plus_millis(self.lifetime_millis(bytes))
    }

    fn lifetime_millis(&self, bytes: u64) -> u64 {
        let millis = self.config.request_lifetime.of(bytes);
        if planted(Planted::DoubtEndsEarly) { millis / 10 } else { millis }
    }

    pub(super) fn doubt_until(&mut self, until: Time, number: AttemptNumber, path: &RelPath) {
        self.outbox.change(Change::AttemptDoubtful { number, until });
        self.doubts.insert((until, number, path.clone()));
    }

    /// The end of a write is known, or cannot matter any more.
    pub(super) fn close_attempt(&mut self, number: AttemptNumber) {
        self.outbox.change(Change::AttemptClosed(number));
        self.recount.settled(number);
        self.doubts.retain(|(_, doubtful, _)| *doubtful != number);
        self.claims.doubtful_markers.remove(&number);
    }

    /// A write did not take effect and will not. Uploads that another try can go on with are kept;
    /// those taken over from a dead process stay doubtful: it may have completed them.
    pub(super) fn give_attempt_up(&mut self, attempt: &Attempt, failure: Option<&Failure>) {
        let Some(upload) = &attempt.upload else {
            self.close_attempt(attempt.number);
            return;
        };
        let goes_on = failure.is_some_and(|failure| match failure.kind {
            FailureKind::Unavailable | FailureKind::Throttled | FailureKind::Full => true,
            FailureKind::Denied
            | FailureKind::Forbidden
            | FailureKind::Missing
            | FailureKind::Refused
            | FailureKind::Conflict
            | FailureKind::Corrupt
            | FailureKind::Moved
            | FailureKind::Unsupported
            | FailureKind::Defect => false,
        });
        if goes_on {
            self.spent_uploads.remove(&attempt.number);
            // It is not completed until somebody goes on with it.
            self.doubt_until(self.end_of_doubt(attempt), attempt.number, &attempt.path);
            return;
        }
        let upload_id = upload.id.clone();
        self.outbox.send(Effect::Abort { path: attempt.path.clone(), upload_id });
        if attempt.doubtful_until.is_some() {
            self.doubt(attempt);
        } else {
            self.close_attempt(attempt.number);
        }
    }

    /// The path is done without its uploads: they go.
    pub(super) fn abandon_uploads(&mut self, claim: &Claim) {
        for attempt in &claim.attempts {
            let Some(upload) = &attempt.upload else { continue };
            if self.spent_uploads.insert(attempt.number) {
                self.abandon(attempt, upload);
            }
        }
    }

    /// Gives up an upload that nobody goes on with.
    pub(super) fn abandon(&mut self, attempt: &Attempt, upload: &Upload) {
        if planted(Planted::UploadNotFenced) {
            self.close_attempt(attempt.number);
            return;
        }
        let upload_id = upload.id.clone();
        self.outbox.send(Effect::Abort { path: attempt.path.clone(), upload_id });
        match attempt.doubtful_until {
            None => self.close_attempt(attempt.number),
            Some(until) => {
                self.doubts.insert((until, attempt.number, attempt.path.clone()));
            }
        }
    }

    /// Makes the paths of attempts pending whose time is over, and again after a while if something
    /// else took their entries along.
    pub(super) fn end_doubts(&mut self) {
        while let Some((until, number, path)) = self.doubts.first().cloned() {
            if until > self.now {
                return;
            }
            // Removals wait for a moment without such work: the more there are, the rarer each.
            let shares = self.doubts.len() as u64;
            self.doubts.remove(&(until, number, path.clone()));
            let again = self.now.plus_millis(DOUBT_PAUSE_MILLIS * shares.clamp(1, SHARES_MAX));
            self.doubts.insert((again, number, path.clone()));
            let at = self.applied();
            self.mark(&path, Reach::Path, Lane::Live, at, at);
        }
    }

    /// The path of an attempt that cannot take effect any more, so that what stands there is final.
    /// An upload that may still be gone on with is not over, but for that of a commit marker: what
    /// it speaks for waits for the look.
    pub(super) fn expired_attempt(&self, claim: &Claim) -> Option<RelPath> {
        claim.attempts.iter().find(|it| self.is_over(it)).map(|attempt| attempt.path.clone())
    }

    pub(super) fn is_over(&self, attempt: &Attempt) -> bool {
        self.was_over(attempt, self.now)
    }

    /// The same at an earlier time.
    pub(super) fn was_over(&self, attempt: &Attempt, at: Time) -> bool {
        attempt.doubtful_until.is_some_and(|until| until <= at)
            && (attempt.upload.is_none()
                || self.spent_uploads.contains(&attempt.number)
                || self.is_commit_marker(&attempt.path))
    }

    /// Whether a copy of which nothing was heard may have brought the path's object, newer than its
    /// row: a look tells, before the bytes are read once more. Not while a removal is in doubt as
    /// well: what is missing then is told at its end. Nor for a commit marker: what a look alone
    /// tells of it is not enough for others to go by (rule 7.1), so that it would have to go first.
    pub(super) fn may_stand_unheard(
        &self,
        path: &RelPath,
        row: Option<&Row>,
        attempts: &[Attempt],
    ) -> bool {
        let mut doubtful =
            attempts.iter().filter(|it| it.path == *path && it.doubtful_until.is_some());
        let known = row.and_then(|row| row.attempt);
        let removes = |it: &Attempt| it.kind == AttemptKind::Remove;
        let newer = |it: &Attempt| it.kind == AttemptKind::Copy && known < Some(it.number);
        !self.is_commit_marker(path) && doubtful.clone().any(newer) && !doubtful.any(removes)
    }

    /// Asks whose attempt stands.
    pub(super) fn inspect(&mut self, path: RelPath, mut claim: Claim, at: RelPath) {
        claim.step = Step::Inspecting { path: at.clone(), asked: self.now };
        let ticket = self.ask(Asked::Claim(path.clone()));
        self.outbox.send_after(Effect::Inspect { ticket, path: at });
        self.hold(path, claim);
    }

    /// What stands decides what the row says; then the doubtful attempts are closed.
    pub(super) fn inspected(
        &mut self,
        path: RelPath,
        mut claim: Claim,
        outcome: Result<Option<Standing>, Failure>,
    ) {
        let step = std::mem::replace(&mut claim.step, Step::Begun);
        let Step::Inspecting { path: at, asked } = step else {
            self.again(path, claim, 100, false);
            return;
        };
        let standing = match outcome {
            Ok(standing) => standing,
            Err(failure) => {
                self.fail(path, claim, failure);
                return;
            }
        };
        self.answered_by(crate::failure::Side::Target);
        let row = if at == path { &claim.row } else { &claim.marker };
        let before = row.clone();
        let over = claim.attempts.iter().any(|it| it.path == at && self.was_over(it, asked));
        let ours = standing
            .as_ref()
            .filter(|standing| !self.is_foreign(&claim, &at, before.as_ref(), standing));
        let landed = ours.and_then(|standing| self.landed(standing));
        self.count_landed(&claim, landed, standing.as_ref());
        let held = self.holds_marker(&claim, &at, standing.as_ref());
        let row = self.settle_doubt(&mut claim, (&at, asked), before.clone(), standing);
        if before.is_some() && row != before {
            // What was claimed of it holds no more, however long ago it changed at the source.
            self.mark(&path, Reach::Path, Lane::Live, TxId(0), claim.last);
        }
        if at == path {
            claim.row = row;
        } else {
            claim.marker = row;
        }
        self.close_known(&mut claim, (&at, asked), landed);
        if held {
            self.hold_foreign(path, claim);
        } else if over {
            self.again(path, claim, 0, false);
        } else {
            self.examine(path, claim);
        }
    }

    fn settle_doubt(
        &mut self,
        claim: &mut Claim,
        (at, asked): (&RelPath, Time),
        row: Option<Row>,
        standing: Option<Standing>,
    ) -> Option<Row> {
        let Some(standing) = standing else {
            self.note_nothing_stands(claim, (at, asked), row.is_some());
            return None;
        };
        if self.is_foreign(claim, at, row.as_ref(), &standing) {
            let foreign = self.note_foreign(claim, at, row.is_some(), standing);
            return if self.config.conditions { foreign } else { row };
        }
        let standing_row = match row {
            Some(row) if stands_as_written(&row, &standing) => return Some(row),
            Some(row) if planted(Planted::WhoseAttemptNotAsked) => return Some(row),
            // Somebody gave our bytes another class or encryption.
            Some(row) if is_the_same_write(&row, &standing) => {
                Row { etag: standing.etag, version: standing.version, ..row }
            }
            // Another write of ours that was not heard of: the same file, with other metadata.
            Some(row) if is_of_the_same_file(claim, &row, &standing) => Row {
                etag: standing.etag,
                version: standing.version,
                attempt: standing.attempt,
                metadata: standing.metadata.unwrap_or_else(Metadata::unknown),
                ledger_only: false,
                ..row
            },
            Some(_) | None => Row {
                path: at.clone(),
                identity: Identity::Unknown,
                length: standing.length,
                crc32c: standing.crc32c,
                etag: standing.etag,
                version: standing.version,
                attempt: standing.attempt,
                as_of: TxId(0),
                epoch: self.epoch,
                metadata: standing.metadata.unwrap_or_else(Metadata::unknown),
                ledger_only: false,
            },
        };
        self.outbox.change(Change::PutRow(standing_row.clone()));
        if self.is_commit_marker(at) {
            self.note_arrived(at);
        }
        Some(standing_row)
    }

    /// A copy whose end was not heard of turned out to stand: it counts now.
    fn count_landed(
        &mut self,
        claim: &Claim,
        landed: Option<AttemptNumber>,
        standing: Option<&Standing>,
    ) {
        let copy = |it: &Attempt| Some(it.number) == landed && it.kind == AttemptKind::Copy;
        if let Some(standing) = standing.filter(|_| claim.attempts.iter().any(copy)) {
            self.count_copy(standing.length);
        }
    }

    /// A copy counts once, when it is known to stand, whether it is good or not: if its file moved
    /// meanwhile, it is another copy that takes its place.
    pub(super) fn count_copy(&mut self, bytes_copied: u64) {
        let counted = Counters { files_copied: 1, bytes_copied, ..Counters::default() };
        self.outbox.change(Change::Count(counted));
    }

    /// The attempt of ours that made the object.
    fn landed(&self, standing: &Standing) -> Option<AttemptNumber> {
        let ours = standing.migration.as_deref() == Some(self.config.migration.as_str());
        standing.attempt.filter(|_| ours)
    }

    /// Closes what could not take effect any more when the look was asked for: attempts whose time
    /// was over, and the one that did.
    fn close_known(
        &mut self,
        claim: &mut Claim,
        (at, asked): (&RelPath, Time),
        landed: Option<AttemptNumber>,
    ) {
        let known = |it: &Attempt| self.was_over(it, asked) || landed == Some(it.number);
        let (closed, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut claim.attempts)
            .into_iter()
            .partition(|attempt| attempt.path == *at && known(attempt));
        for attempt in closed {
            let lasts = landed != Some(attempt.number);
            if let Some(upload) = attempt.upload.filter(|_| lasts)
                && self.spent_uploads.insert(attempt.number)
            {
                let (path, upload_id) = (attempt.path, upload.id);
                self.outbox.send(Effect::Abort { path, upload_id });
            }
            self.close_attempt(attempt.number);
        }
        claim.attempts = rest;
    }
}

/// The object is the one that the row speaks of.
fn stands_as_written(row: &Row, standing: &Standing) -> bool {
    let same_tag = row.etag == standing.etag;
    match (row.attempt, standing.attempt) {
        (Some(ours), Some(theirs)) => ours == theirs && same_tag,
        (_, _) => row.etag.is_some() && same_tag,
    }
}

fn is_the_same_write(row: &Row, standing: &Standing) -> bool {
    row.attempt.is_some()
        && row.attempt == standing.attempt
        && row.length == standing.length
        && row.crc32c.is_some()
        && row.crc32c == standing.crc32c
}

/// The attempt that made the object wrote the file that the row speaks of, and the bytes are those.
fn is_of_the_same_file(claim: &Claim, row: &Row, standing: &Standing) -> bool {
    let wrote = |it: &Attempt| {
        it.path == row.path
            && Some(it.number) == standing.attempt
            && it.identity.compare(&row.identity) == Sameness::Same
    };
    claim.attempts.iter().any(wrote)
        && row.length == standing.length
        && row.crc32c.is_some()
        && row.crc32c == standing.crc32c
}

#[cfg(test)]
mod tests {
    use super::super::tests::{
        attempt, changed, marked, migration_of, sent, standing, step, upload,
    };
    use super::*;
    use crate::config::Config;

    fn row() -> Row {
        Row { ledger_only: true, ..super::super::tests::row() }
    }

    /// Of the path `a`, on which there are these attempts.
    fn claim(attempts: Vec<Attempt>) -> Claim {
        Claim { attempts, ..super::super::tests::claim("a") }
    }

    fn ours() -> Config {
        Config { migration: "ours".to_owned(), ..Config::default() }
    }

    #[test]
    fn an_object_is_the_one_of_its_row_by_its_write_and_its_tag() {
        let (row, adopted) = (row(), Row { attempt: None, ..row() });
        let tagged = |tag: Option<&str>| Standing { etag: tag.map(str::to_owned), ..standing() };
        let other = Standing { attempt: Some(AttemptNumber(4)), ..standing() };
        assert!(stands_as_written(&row, &standing()));
        assert!(!stands_as_written(&row, &other) && !stands_as_written(&row, &tagged(Some("new"))));
        assert!(stands_as_written(&adopted, &standing()));
        assert!(!stands_as_written(&adopted, &tagged(Some("new"))));
        let untold = Row { etag: None, ..adopted };
        assert!(!stands_as_written(&untold, &tagged(None)), "no tag proves nothing");
    }

    #[test]
    fn a_write_is_the_same_by_its_number_length_and_checksum() {
        let same = |row: Row, standing: Standing| {
            let by_number = is_the_same_write(&row, &standing);
            let of_the_file = Standing { attempt: Some(AttemptNumber(4)), ..standing };
            let claim = claim(vec![attempt(4, "a", 5)]);
            (by_number, is_of_the_same_file(&claim, &row, &of_the_file))
        };
        assert_eq!(same(row(), standing()), (true, true));
        assert_eq!(same(row(), Standing { length: 6, ..standing() }), (false, false));
        assert_eq!(same(row(), Standing { crc32c: Some(8), ..standing() }), (false, false));
        let unproven = Row { crc32c: None, ..row() };
        assert_eq!(same(unproven, Standing { crc32c: None, ..standing() }), (false, false));
        let other = Standing { attempt: Some(AttemptNumber(2)), ..standing() };
        assert!(!is_the_same_write(&row(), &other));
        let nobody = Standing { attempt: None, ..standing() };
        assert!(!is_the_same_write(&Row { attempt: None, ..row() }, &nobody));
    }

    #[test]
    fn a_file_is_the_same_by_an_attempt_that_was_to_write_it() {
        let of = |attempt: Attempt| {
            let standing = Standing { attempt: Some(AttemptNumber(4)), ..standing() };
            is_of_the_same_file(&claim(vec![attempt]), &row(), &standing)
        };
        assert!(of(attempt(4, "a", 5)));
        assert!(!of(attempt(5, "a", 5)) && !of(attempt(4, "b", 5)) && !of(attempt(4, "a", 6)));
    }

    #[test]
    fn rule_4_1_what_stands_decides_what_the_row_says() {
        let mut migration = migration_of(ours());
        let mut settled = |attempts: Vec<Attempt>, standing: Standing| {
            let (mut claim, at) = (claim(attempts), RelPath::from("a"));
            let looked = (&at, Time(1_000));
            let row = migration.settle_doubt(&mut claim, looked, Some(row()), Some(standing));
            (row.expect("a row"), changed(&mut migration))
        };
        assert_eq!(settled(Vec::new(), standing()), (row(), Vec::new()), "nothing is new");
        let moved =
            Standing { etag: Some("new".to_owned()), version: Some("2".to_owned()), ..standing() };
        let (etag, version) = (moved.etag.clone(), moved.version.clone());
        let stands = Row { etag: etag.clone(), version: version.clone(), ..row() };
        let expected = (stands.clone(), vec![Change::PutRow(stands)]);
        assert_eq!(settled(Vec::new(), moved.clone()), expected, "our bytes in another class");
        let unheard = Standing { attempt: Some(AttemptNumber(4)), ..moved };
        let metadata = Metadata::unknown();
        let attempt_number = unheard.attempt;
        let ledger_only = false;
        let stands = Row { etag, version, metadata, attempt: attempt_number, ledger_only, ..row() };
        let expected = (stands.clone(), vec![Change::PutRow(stands)]);
        assert_eq!(settled(vec![attempt(4, "a", 5)], unheard), expected, "another write of ours");
    }

    /// It may become visible and speak for files that changed since.
    #[test]
    fn rule_7_1_files_wait_for_a_commit_marker_that_may_land() {
        let keeps = |kind: AttemptKind, at: &str| {
            let mut migration = migration_of(Config::default());
            migration.note_doubtful(&Attempt { kind, ..attempt(4, at, 5) });
            migration.commit_marker_arrives_below(&RelPath::from("d"))
        };
        assert!(keeps(AttemptKind::Copy, "d/_SUCCESS"));
        assert!(keeps(AttemptKind::Relocate, "d/_SUCCESS"));
        assert!(!keeps(AttemptKind::Remove, "d/_SUCCESS"), "it does not come by that");
        assert!(!keeps(AttemptKind::Copy, "d/a"), "nobody takes it for a sign");
    }

    #[test]
    fn rule_4_1_what_cannot_take_effect_any_more_is_looked_at_at_once() {
        let mut migration = migration_of(Config::default());
        let (over, open) = (Time(1_000), Time(1_001));
        migration.doubts.insert((over, AttemptNumber(4), RelPath::from("a")));
        migration.doubts.insert((open, AttemptNumber(5), RelPath::from("b")));
        migration.end_doubts();
        assert_eq!(marked(&changed(&mut migration)), [(RelPath::from("a"), Reach::Path)]);
        let later = Time(1_000 + 2 * DOUBT_PAUSE_MILLIS);
        let doubts: Vec<(Time, u64)> =
            migration.doubts.iter().map(|(until, number, _)| (*until, number.0)).collect();
        assert_eq!(doubts, [(open, 5), (later, 4)], "the more there are, the rarer each");
        migration.end_doubts();
        assert_eq!(changed(&mut migration), [], "once, until it had time to be looked at");
    }

    /// That of a commit marker is over by its time alone, and what it left has to go.
    #[test]
    fn rule_4_1_an_upload_that_did_not_land_is_given_up() {
        let mut migration = migration_of(Config::default());
        let of = |number: u64, id: &str| {
            let upload = Some(Upload { id: id.to_owned(), ..upload() });
            Attempt { upload, ..attempt(number, "_SUCCESS", 5) }
        };
        migration.spent_uploads.insert(AttemptNumber(6));
        let mut claim = claim(vec![of(4, "landed"), of(5, "over"), of(6, "given up before")]);
        let at = RelPath::from("_SUCCESS");
        migration.close_known(&mut claim, (&at, Time(1_000)), Some(AttemptNumber(4)));
        let aborted = sent(&mut migration).into_iter().filter_map(|effect| {
            if let Effect::Abort { upload_id, .. } = effect { Some(upload_id) } else { None }
        });
        assert_eq!(aborted.collect::<Vec<_>>(), ["over"]);
        assert_eq!(claim.attempts, []);
    }

    #[test]
    fn a_copy_that_was_not_heard_of_is_looked_for_before_it_is_made_again() {
        let migration = migration_of(Config::default());
        let stands = |path: &str, row: Option<&Row>, attempts: &[Attempt]| {
            migration.may_stand_unheard(&RelPath::from(path), row, attempts)
        };
        let (row, newer) = (row(), attempt(4, "a", 5));
        assert!(stands("a", Some(&row), std::slice::from_ref(&newer)));
        assert!(stands("a", None, &[attempt(1, "a", 5)]));
        assert!(!stands("a", Some(&row), &[attempt(3, "a", 5)]), "the row is of that one");
        assert!(!stands("a", Some(&row), &[attempt(2, "a", 5)]), "the row is newer");
        assert!(!stands("a", Some(&row), &[attempt(4, "b", 5)]));
        let under_way = Attempt { doubtful_until: None, ..newer.clone() };
        assert!(!stands("a", Some(&row), &[under_way]), "it will be heard of");
        let within = Attempt { kind: AttemptKind::Relocate, ..newer.clone() };
        assert!(!stands("a", Some(&row), &[within]), "it read nothing of the source");
        let removal = Attempt { kind: AttemptKind::Remove, ..attempt(5, "a", 5) };
        assert!(!stands("a", Some(&row), &[newer, removal]), "that may have taken it along");
        assert!(!stands("_SUCCESS", None, &[attempt(4, "_SUCCESS", 5)]));
    }

    /// What a look at `a` leads to: what is asked next, whether the path is marked anew, and which
    /// attempts are closed.
    fn looked_at(
        row: Option<Row>,
        attempts: Vec<Attempt>,
        standing: Option<Standing>,
    ) -> (&'static str, bool, Vec<u64>) {
        let mut migration = migration_of(ours());
        let inspecting = Step::Inspecting { path: RelPath::from("a"), asked: Time(1_000) };
        let claim = Claim { row, step: inspecting, ..claim(attempts) };
        migration.now = Time(1_100);
        migration.inspected(RelPath::from("a"), claim, Ok(standing));
        let changes: Vec<Change> = changed(&mut migration);
        let closed = changes.iter().filter_map(|change| {
            if let Change::AttemptClosed(number) = change { Some(number.0) } else { None }
        });
        let next = match step(&migration, "a") {
            Some(Step::Examining) => "the source",
            None => "begun anew",
            Some(_) => "something else",
        };
        (next, !marked(&changes).is_empty(), closed.collect())
    }

    #[test]
    fn rule_4_1_a_look_closes_what_it_shows_the_end_of() {
        let over = attempt(4, "a", 5);
        let doubtful = Attempt { doubtful_until: Some(Time(2_000)), ..over.clone() };
        let landed = |number| Some(Standing { attempt: Some(AttemptNumber(number)), ..standing() });
        let same = Some(standing());
        let known = || Some(row());
        assert_eq!(
            looked_at(known(), vec![over.clone()], same.clone()),
            ("begun anew", false, vec![4]),
            "it never took effect"
        );
        let marker = Attempt { path: RelPath::from("a/"), ..over.clone() };
        assert_eq!(
            looked_at(known(), vec![marker], same.clone()),
            ("the source", false, vec![]),
            "another key tells nothing of it"
        );
        assert_eq!(
            looked_at(known(), vec![doubtful.clone()], same),
            ("the source", false, vec![]),
            "it may take effect yet"
        );
        assert_eq!(
            looked_at(known(), vec![doubtful.clone()], landed(4)),
            ("the source", true, vec![4]),
            "it did: what was claimed of the row holds no more"
        );
        assert_eq!(
            looked_at(None, vec![doubtful], landed(4)),
            ("the source", false, vec![4]),
            "nothing was claimed"
        );
        assert_eq!(
            looked_at(known(), vec![over.clone()], None),
            ("begun anew", true, vec![4]),
            "gone"
        );
        let since_then = Attempt { doubtful_until: Some(Time(1_001)), ..over };
        assert_eq!(
            looked_at(known(), vec![since_then], None),
            ("the source", true, vec![]),
            "it was not over when the look was asked for: it may have come after that"
        );
    }

    #[test]
    fn copies_are_counted_with_their_bytes() {
        let mut migration = migration_of(Config::default());
        migration.count_copy(5);
        let counted = Counters { files_copied: 1, bytes_copied: 5, ..Counters::default() };
        assert_eq!(changed(&mut migration), [Change::Count(counted)]);
    }
}
