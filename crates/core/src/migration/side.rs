//! What happens when something fails: lost sides are waited for, paths are tried again or set
//! aside, and nothing is dropped.

use super::Migration;
use super::claim::Claim;
use crate::effect::{Effect, Report, ReportKind};
use crate::failure::{Failure, FailureKind, Side};
use crate::number::{Time, TxId};
use crate::path::{Namespace, RelPath};
use crate::planted::{Planted, planted};
use crate::record::Parked;

/// How one side does.
#[derive(Debug, Default)]
pub(super) struct SideState {
    /// Since when it does not answer, and how it said so last.
    pub(super) lost: Option<(Time, Failure)>,
    /// When it answered last, in this run.
    heard: Option<Time>,
    /// Told to people.
    reported: bool,
    failures: u32,
    retry_at: Time,
    /// One piece of work finds out whether it is back.
    probing: bool,
    /// When people were last told that it is full.
    full_told: Option<Time>,
}

/// Tries of one path before it is set aside.
const TRIES_MAX: u32 = 4;
/// Keys that are remembered as hindered; of those beyond, the next run finds what became of them.
const HINDERED_MAX: usize = 10_000;
/// Without `live`: how long a side may stay full. It answers, so nobody need wait for it as for one
/// that is lost; somebody may be making room.
const FULL_PATIENCE_MILLIS: u64 = 60_000;
/// A side that is lost for so long is told of, if only one piece of work could find it out.
const LOST_TOLD_MILLIS: u64 = 3_000;
/// A path is tried again so long after the target asked for less.
const BUSY_MILLIS: u64 = 1_000;
/// The stream is looked at every few hundred milliseconds, and an answer takes seconds at most: one
/// that does not come for so long may never come.
const POLL_SILENCE_MILLIS: u64 = 8_000;
/// Small files may still fit where large ones do not: full is not told again for so long.
const FULL_TOLD_EVERY_MILLIS: u64 = 60_000;

impl SideState {
    fn is_full(&self) -> bool {
        self.lost.as_ref().is_some_and(|(_, failure)| failure.kind == FailureKind::Full)
    }

    /// When a run that does not wait for ever gives it up.
    fn given_up_at(&self, give_up_after_millis: u64) -> Option<Time> {
        let (since, _) = self.lost.as_ref()?;
        let millis = match self.is_full() {
            true => give_up_after_millis.min(FULL_PATIENCE_MILLIS),
            false => give_up_after_millis,
        };
        Some(since.plus_millis(millis))
    }

    /// Whether people are to be told now. What fails once may be an accident; full is full.
    fn is_worth_telling(&self, now: Time) -> bool {
        let told_long_ago = |at: Time| now.millis_since(at) >= FULL_TOLD_EVERY_MILLIS;
        match self.is_full() {
            true => self.full_told.is_none_or(told_long_ago),
            false => self.failures > 1 || self.told_by().is_some_and(|by| by <= now),
        }
    }

    /// When people are told of it at the latest, if it is lost and they were not told yet.
    fn told_by(&self) -> Option<Time> {
        let (since, _) = self.lost.as_ref().filter(|_| !self.reported && !self.is_full())?;
        Some(since.plus_millis(LOST_TOLD_MILLIS))
    }
}

impl Migration {
    /// Work on a path failed.
    pub(super) fn fail(&mut self, path: RelPath, mut claim: Claim, failure: Failure) {
        let given_up = planted(Planted::GivenUp) && claim.tries + 1 >= TRIES_MAX;
        if given_up || planted(Planted::FailureDropped) {
            self.settle(path, claim, TxId(0));
            return;
        }
        if failure.kind == FailureKind::Throttled && failure.side == Side::Target {
            // Its prefix is asked less by then (rule 9.2), and the others go on.
            self.again(path, claim, BUSY_MILLIS, false);
            return;
        }
        if concerns_side(&failure) {
            self.side_failed(&failure);
            claim.tries += u32::from(planted(Planted::GivenUp));
            let millis = self.side(failure.side).retry_at.millis_since(self.now).max(100);
            self.again(path, claim, millis, false);
            return;
        }
        match failure.kind {
            FailureKind::Moved => self.look_again(path, claim, self.now),
            FailureKind::Refused | FailureKind::Unsupported => self.set_aside(path, claim, failure),
            FailureKind::Denied
            | FailureKind::Forbidden
            | FailureKind::Missing
            | FailureKind::Conflict
            | FailureKind::Corrupt
            | FailureKind::Defect
            | FailureKind::Unavailable
            | FailureKind::Throttled
            | FailureKind::Full => {
                claim.tries += 1;
                if claim.tries >= TRIES_MAX {
                    self.set_aside(path, claim, failure);
                } else {
                    let millis = 250 << claim.tries;
                    self.again(path, claim, millis, false);
                }
            }
        }
    }

    /// Reports the failure and sets the path aside; a live run tries it again.
    pub(super) fn set_aside(&mut self, path: RelPath, claim: Claim, failure: Failure) {
        self.outbox.send(Effect::Report(Report {
            path: Some(path.clone()),
            kind: ReportKind::Failed,
            failure: failure.clone(),
        }));
        let opaque = self.config.namespace == Namespace::Flat;
        if opaque && failure.kind == FailureKind::Conflict && self.hindered.len() < HINDERED_MAX {
            self.hindered.insert(path.clone());
        }
        let permanent = matches!(failure.kind, FailureKind::Refused | FailureKind::Unsupported);
        let retry_at = (self.config.live && !permanent).then(|| self.now.plus_millis(60_000));
        let message = match failure.remedy.is_empty() {
            true => failure.message,
            false => format!("{}; {}", failure.message, failure.remedy),
        };
        self.park(path, claim, Parked::Failed, retry_at, message);
    }

    fn side(&mut self, side: Side) -> &mut SideState {
        match side {
            Side::Source => &mut self.source_side,
            Side::Target | Side::Local => &mut self.target_side,
        }
    }

    /// A side does not answer: nothing more is asked of it for a while.
    pub(super) fn side_failed(&mut self, failure: &Failure) {
        let now = self.now;
        let throttled = failure.kind == FailureKind::Throttled;
        let state = self.side(failure.side);
        if now >= state.retry_at || state.probing {
            state.probing = false;
            state.failures += 1;
            let millis = (100_u64 << state.failures.min(6)).min(5_000);
            state.retry_at = now.plus_millis(millis);
        }
        if throttled {
            return;
        }
        state.lost.get_or_insert_with(|| (now, failure.clone())).1 = failure.clone();
        self.tell_if_lost(failure.side);
    }

    fn tell_if_lost(&mut self, side: Side) {
        let now = self.now;
        let state = self.side(side);
        let Some((_, failure)) = state.lost.clone() else { return };
        if state.reported || !state.is_worth_telling(now) {
            return;
        }
        state.reported = true;
        state.full_told = state.is_full().then_some(now).or(state.full_told);
        let (path, kind) = (None, ReportKind::SideLost);
        self.outbox.send(Effect::Report(Report { path, kind, failure }));
    }

    /// Tells of sides that did not come back soon, and of a source that leaves a look at its stream
    /// without any answer: one that refuses is found out sooner.
    pub(super) fn notice_silence(&mut self) {
        let missed = |since: &Time| self.now.millis_since(*since) >= POLL_SILENCE_MILLIS;
        if let Some(since) = self.poll_unanswered_since().filter(missed)
            && self.source_side.lost.is_none()
        {
            let failure = Failure {
                side: Side::Source,
                kind: FailureKind::Unavailable,
                message: format!(
                    "the source has not answered for {} s",
                    POLL_SILENCE_MILLIS / 1000
                ),
                remedy: "look whether it runs and can be reached; nothing is lost as long as it \
                         keeps its history"
                    .to_owned(),
            };
            self.source_side.lost = Some((since, failure));
        }
        for side in [Side::Source, Side::Target] {
            self.tell_if_lost(side);
        }
    }

    /// Since when nothing was heard of the source, if a look at its stream is under way.
    fn poll_unanswered_since(&self) -> Option<Time> {
        let asked = self.stream.polling?;
        Some(self.source_side.heard.map_or(asked, |heard| heard.max(asked)))
    }

    /// A side answered. One that is full answers all the time: only a write shows that it has room.
    pub(super) fn answered_by(&mut self, side: Side) {
        self.side(side).heard = Some(self.now);
        if !self.side(side).is_full() {
            self.is_back(side);
        }
    }

    /// A side does again what it failed to do.
    pub(super) fn is_back(&mut self, side: Side) {
        let state = self.side(side);
        if state.lost.is_none() && state.failures == 0 {
            return;
        }
        let told = state.reported;
        let what = if state.is_full() { "has room again" } else { "answers again" };
        let lost = state.lost.take();
        let (heard, full_told) = (state.heard, state.full_told);
        *state = SideState { heard, full_told, ..SideState::default() };
        if let (true, Some((_, failure))) = (told, lost) {
            self.outbox.send(Effect::Report(Report {
                path: None,
                kind: ReportKind::SideBack,
                failure: Failure {
                    message: format!("{what} after: {}", failure.message),
                    remedy: String::new(),
                    ..failure
                },
            }));
        }
    }

    /// Nothing is to be asked of the side now.
    pub(super) fn is_held_back(&self, side: Side) -> bool {
        let state = match side {
            Side::Source => &self.source_side,
            Side::Target | Side::Local => &self.target_side,
        };
        self.now < state.retry_at
    }

    /// No path is to be asked for at the source now.
    pub(super) fn waits_for_source(&self) -> bool {
        self.root.lost.is_some() || self.is_held_back(Side::Source)
    }

    /// While a side is lost, one piece of work at a time finds out whether it is back.
    pub(super) fn probe_if_lost(&mut self) {
        let now = self.now;
        for state in [&mut self.source_side, &mut self.target_side] {
            if state.failures > 0 {
                let millis = (100_u64 << state.failures.min(6)).min(5_000);
                state.retry_at = now.plus_millis(millis);
                state.probing = true;
            }
        }
    }

    /// The side that stayed lost for longer than this run waits.
    pub(super) fn given_up(&self) -> Option<Failure> {
        if self.config.live {
            return None;
        }
        [&self.source_side, &self.target_side].into_iter().find_map(|state| {
            let at = state.given_up_at(self.config.give_up_after_millis)?;
            let (_, failure) = state.lost.as_ref()?;
            (self.now >= at).then(|| failure.clone())
        })
    }

    /// When a side is tried again, told of, or given up.
    pub(super) fn side_deadline(&self) -> Option<Time> {
        let sides = [&self.source_side, &self.target_side].into_iter();
        let tried = sides.clone().filter(|state| state.failures > 0).map(|state| {
            match state.given_up_at(self.config.give_up_after_millis) {
                Some(at) if self.now >= state.retry_at => at,
                Some(_) | None => state.retry_at,
            }
        });
        let told = sides.filter_map(SideState::told_by);
        let unanswered = self.poll_unanswered_since().filter(|_| self.source_side.lost.is_none());
        let missed = unanswered.map(|since| since.plus_millis(POLL_SILENCE_MILLIS));
        tried.chain(told).chain(missed).filter(|deadline| *deadline > self.now).min()
    }
}

/// The failure says something about the whole side, not about one path.
fn concerns_side(failure: &Failure) -> bool {
    match failure.kind {
        FailureKind::Unavailable | FailureKind::Throttled | FailureKind::Full => true,
        FailureKind::Denied | FailureKind::Missing => failure.side == Side::Target,
        FailureKind::Forbidden
        | FailureKind::Refused
        | FailureKind::Conflict
        | FailureKind::Corrupt
        | FailureKind::Moved
        | FailureKind::Unsupported
        | FailureKind::Defect => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{changed, claim, failure, migration_of, sent};
    use super::*;
    use crate::config::Config;
    use crate::record::Change;

    fn lost(side: Side) -> Failure {
        failure(side, FailureKind::Unavailable)
    }

    fn at(migration: &mut Migration, now: u64) -> &mut Migration {
        migration.now = Time(now);
        migration
    }

    fn told(migration: &mut Migration) -> Vec<ReportKind> {
        let kinds = sent(migration).into_iter().filter_map(|effect| {
            if let Effect::Report(report) = effect { Some(report.kind) } else { None }
        });
        kinds.collect()
    }

    /// Milliseconds until it is tried again, and whether it is set aside; after so many tries.
    fn failed(config: Config, how: Failure, tries: u32) -> (Option<u64>, bool) {
        let mut migration = migration_of(config);
        migration.fail(RelPath::from("a"), Claim { tries, ..claim("a") }, how);
        let (mut again, mut aside) = (None, false);
        for change in changed(&mut migration) {
            if let Change::Defer { not_before, .. } = change {
                again = Some(not_before.0 - 1_000);
            } else if let Change::Park { retry_at, .. } = change {
                (again, aside) = (retry_at.map(|at| at.0 - 1_000), true);
            }
        }
        (again, aside)
    }

    #[test]
    fn a_path_is_tried_again_ever_later_and_then_set_aside() {
        let corrupt = || failure(Side::Source, FailureKind::Corrupt);
        let config = Config::default;
        for (tries, millis) in [(0, 500), (1, 1_000), (2, 2_000)] {
            assert_eq!(failed(config(), corrupt(), tries), (Some(millis), false));
        }
        assert_eq!(failed(config(), corrupt(), 3), (None, true), "at the next start");
        let live = || Config { live: true, ..config() };
        assert_eq!(failed(live(), corrupt(), 3), (Some(60_000), true));
        for kind in [FailureKind::Refused, FailureKind::Unsupported] {
            assert_eq!(failed(live(), failure(Side::Target, kind), 0), (None, true), "{kind:?}");
        }
        let refusal = failure(Side::Target, FailureKind::Throttled);
        assert_eq!(failed(config(), refusal, 9), (Some(1_000), false), "its prefix is slower");
        assert_eq!(failed(config(), lost(Side::Target), 9), (Some(200), false), "no try of it");
        let denied = |side| failed(config(), failure(side, FailureKind::Denied), 0);
        assert_eq!(denied(Side::Target), (Some(200), false), "of all of it");
        assert_eq!(denied(Side::Source), (Some(500), false), "of this path");
    }

    /// What nothing may lie below can be held once that is gone.
    #[test]
    fn keys_that_something_stands_in_the_way_of_are_remembered() {
        let hindered = |namespace: Namespace, kind: FailureKind| {
            let mut migration = migration_of(Config { namespace, ..Config::default() });
            migration.set_aside(RelPath::from("a"), claim("a"), failure(Side::Target, kind));
            migration.hindered.len()
        };
        assert_eq!(hindered(Namespace::Flat, FailureKind::Conflict), 1);
        assert_eq!(hindered(Namespace::Flat, FailureKind::Corrupt), 0);
        assert_eq!(hindered(Namespace::Tree, FailureKind::Conflict), 0);
        let mut many = migration_of(Config { namespace: Namespace::Flat, ..Config::default() });
        many.works = 2 * HINDERED_MAX;
        for number in 0..HINDERED_MAX + 1 {
            let path = RelPath::from(format!("{number}").as_str());
            many.set_aside(path, claim("a"), failure(Side::Target, FailureKind::Conflict));
        }
        assert_eq!(many.hindered.len(), HINDERED_MAX);
    }

    #[test]
    fn a_lost_side_is_left_alone_ever_longer() {
        let mut migration = migration_of(Config::default());
        let mut now = 1_000;
        for pause in [200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            at(&mut migration, now).side_failed(&lost(Side::Source));
            at(&mut migration, now + 1).side_failed(&lost(Side::Source));
            assert!(at(&mut migration, now + pause - 1).is_held_back(Side::Source), "{pause}");
            assert!(!at(&mut migration, now + pause).is_held_back(Side::Source), "{pause}");
            assert!(!migration.is_held_back(Side::Target));
            now += pause;
        }
        migration.probe_if_lost();
        assert!(migration.is_held_back(Side::Source), "one finds out whether it is back");
        assert!(!migration.is_held_back(Side::Target), "nothing is wrong with that one");
        at(&mut migration, now + 10).side_failed(&lost(Side::Source));
        assert_eq!(migration.source_side.retry_at, Time(now + 5_010), "it is not");
        migration.answered_by(Side::Source);
        assert!(!migration.is_held_back(Side::Source));
        at(&mut migration, now + 20).side_failed(&lost(Side::Source));
        assert_eq!(migration.source_side.retry_at, Time(now + 220), "it begins anew");
    }

    #[test]
    fn people_are_told_of_a_side_that_stays_lost() {
        let none: [ReportKind; 0] = [];
        let mut migration = migration_of(Config::default());
        migration.side_failed(&lost(Side::Target));
        assert_eq!(told(&mut migration), none, "it may be an accident");
        at(&mut migration, 3_999).notice_silence();
        assert_eq!(told(&mut migration), none);
        at(&mut migration, 4_000).notice_silence();
        assert_eq!(told(&mut migration), [ReportKind::SideLost], "after three seconds");
        migration.notice_silence();
        assert_eq!(told(&mut migration), none, "once");
        migration.answered_by(Side::Target);
        assert_eq!(told(&mut migration), [ReportKind::SideBack]);
        migration.side_failed(&lost(Side::Target));
        at(&mut migration, 4_200).side_failed(&lost(Side::Target));
        assert_eq!(told(&mut migration), [ReportKind::SideLost], "it failed twice");
        migration.is_back(Side::Target);
        told(&mut migration);
        at(&mut migration, 4_300).side_failed(&lost(Side::Target));
        migration.is_back(Side::Target);
        assert_eq!(told(&mut migration), none, "nobody heard that it was lost");
        let busy = failure(Side::Target, FailureKind::Throttled);
        for now in [5_000, 6_000, 7_000] {
            at(&mut migration, now).side_failed(&busy);
        }
        assert_eq!((told(&mut migration), migration.target_side.lost.is_none()), (vec![], true));
    }

    #[test]
    fn a_full_side_is_told_of_at_once_and_not_each_time() {
        let full = failure(Side::Target, FailureKind::Full);
        let mut migration = migration_of(Config::default());
        let mut fills = |now: u64| {
            at(&mut migration, now).side_failed(&full);
            let lost = told(&mut migration);
            migration.answered_by(Side::Target);
            let answered = told(&mut migration);
            migration.is_back(Side::Target);
            (lost.len(), answered.len(), told(&mut migration).len())
        };
        assert_eq!(fills(1_000), (1, 0, 1), "a full one answers, and a write has room");
        assert_eq!(fills(60_999), (0, 0, 0));
        assert_eq!(fills(61_000), (1, 0, 1));
    }

    #[test]
    fn a_source_that_leaves_a_look_without_an_answer_is_lost() {
        let mut migration = migration_of(Config { live: true, ..Config::default() });
        at(&mut migration, 20_000).notice_silence();
        assert!(migration.source_side.lost.is_none(), "nothing was asked");
        migration.stream.polling = Some(Time(20_000));
        assert_eq!(migration.side_deadline(), Some(Time(28_000)));
        at(&mut migration, 27_999).notice_silence();
        assert!(migration.source_side.lost.is_none());
        migration.answered_by(Side::Source);
        at(&mut migration, 35_998).notice_silence();
        assert!(migration.source_side.lost.is_none(), "it answered something else");
        at(&mut migration, 35_999).notice_silence();
        let since = migration.source_side.lost.as_ref().map(|(since, _)| *since);
        assert_eq!(since, Some(Time(27_999)));
        assert_eq!(told(&mut migration), [ReportKind::SideLost]);
        at(&mut migration, 50_000).notice_silence();
        let since = migration.source_side.lost.as_ref().map(|(since, _)| *since);
        assert_eq!(since, Some(Time(27_999)), "since then");
    }

    /// When a run that does not wait for ever gives a side up that was lost at 1 s.
    #[test]
    fn a_run_without_a_stream_gives_a_lost_side_up() {
        let given_up = |live: bool, give_up_after_millis: u64, how: &Failure, now: u64| {
            let config = Config { live, give_up_after_millis, ..Config::default() };
            let mut migration = migration_of(config);
            migration.side_failed(how);
            at(&mut migration, now).given_up() == Some(how.clone())
        };
        let (gone, full) = (lost(Side::Source), failure(Side::Target, FailureKind::Full));
        assert!(!given_up(false, 90_000, &gone, 90_999) && given_up(false, 90_000, &gone, 91_000));
        assert!(!given_up(false, 90_000, &full, 60_999) && given_up(false, 90_000, &full, 61_000));
        assert!(given_up(false, 10_000, &full, 11_000), "no longer than the other");
        assert!(!given_up(true, 10_000, &gone, 99_000), "a live one waits");
        let deadline = |now: u64| {
            let config = Config { give_up_after_millis: 90_000, ..Config::default() };
            let mut migration = migration_of(config);
            migration.side_failed(&gone);
            at(&mut migration, now).side_deadline().map(|at| at.0)
        };
        assert_eq!(deadline(1_000), Some(1_200), "it is tried again");
        assert_eq!(deadline(1_200), Some(4_000), "it is told of");
        assert_eq!(deadline(4_000), Some(91_000), "it is given up");
        let mut quiet = migration_of(Config::default());
        assert_eq!(at(&mut quiet, 5_000).side_deadline(), None);
    }

    #[test]
    fn paths_wait_for_a_source_that_is_lost_or_another() {
        let waits = |hinder: &dyn Fn(&mut Migration)| {
            let mut migration = migration_of(Config::default());
            hinder(&mut migration);
            migration.waits_for_source()
        };
        assert!(!waits(&|_| {}) && !waits(&|it| it.side_failed(&lost(Side::Target))));
        assert!(waits(&|it| it.side_failed(&lost(Side::Source))));
        assert!(waits(&|it| it.root.lost = Some(Time(0))));
    }

    #[test]
    fn a_side_that_asked_for_less_is_asked_again_once_it_answers() {
        let mut migration = migration_of(Config::default());
        migration.side_failed(&failure(Side::Target, FailureKind::Throttled));
        assert!(migration.is_held_back(Side::Target));
        migration.answered_by(Side::Target);
        assert!(!migration.is_held_back(Side::Target));
    }

    /// What a path failed by itself is not forgotten because its side is lost.
    #[test]
    fn tries_of_a_path_are_kept_while_its_side_is_lost() {
        let mut migration = migration_of(Config::default());
        migration.fail(RelPath::from("a"), Claim { tries: 3, ..claim("a") }, lost(Side::Source));
        let tries = changed(&mut migration).into_iter().find_map(|change| {
            if let Change::Defer { tries, .. } = change { Some(tries) } else { None }
        });
        assert_eq!(tries, Some(3));
    }

    #[test]
    fn a_side_that_is_back_was_heard_of_and_says_what_it_comes_after() {
        let mut migration = migration_of(Config { live: true, ..Config::default() });
        let how = Failure {
            message: "no route".to_owned(),
            remedy: "look at the network".to_owned(),
            ..lost(Side::Source)
        };
        migration.side_failed(&how);
        at(&mut migration, 2_000).side_failed(&how);
        sent(&mut migration);
        at(&mut migration, 10_000).answered_by(Side::Source);
        let back = sent(&mut migration).into_iter().find_map(|effect| {
            if let Effect::Report(report) = effect { Some(report.failure) } else { None }
        });
        let back = back.expect("it is told");
        assert_eq!(back.message, "answers again after: no route");
        assert_eq!(back.remedy, "", "nothing is to be done");
        migration.stream.polling = Some(Time(3_000));
        at(&mut migration, 17_999).notice_silence();
        assert!(migration.source_side.lost.is_none(), "it answered since it was asked");
    }

    #[test]
    fn a_lost_side_is_told_of_once_and_tried_as_often_as_it_failed() {
        let config = Config { give_up_after_millis: 90_000, ..Config::default() };
        let mut migration = migration_of(config);
        migration.side_failed(&lost(Side::Source));
        at(&mut migration, 1_200).side_failed(&lost(Side::Source));
        assert_eq!(told(&mut migration), [ReportKind::SideLost]);
        at(&mut migration, 1_600);
        assert_eq!(migration.side_deadline(), Some(Time(91_000)), "it was told already");
        migration.probe_if_lost();
        assert_eq!(migration.source_side.retry_at, Time(2_000), "400 ms, after two failures");
        let mut full = migration_of(Config { give_up_after_millis: 90_000, ..Config::default() });
        full.side_failed(&failure(Side::Target, FailureKind::Full));
        at(&mut full, 1_200);
        assert_eq!(full.side_deadline(), Some(Time(61_000)), "a full one is told of at once");
    }
}
