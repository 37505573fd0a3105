//! Hot files: what changes faster than it can be copied is tried less often, and of one that only
//! grows the part that was copied is good as it stands (rule 3.4).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::Migration;
use super::claim::{Asked, Claim, Step};
use crate::effect::{Effect, Report, ReportKind};
use crate::entry::Node;
use crate::failure::{Failure, FailureKind, Side};
use crate::input::Examined;
use crate::number::{Time, TxId};
use crate::path::RelPath;
use crate::record::{Attempt, Upload};

/// Paths whose last copies were overtaken by the source.
pub(super) type HotPaths = BTreeMap<RelPath, Hot>;

/// How often in a row, and until when the path is left alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hot {
    failures: u32,
    since: Time,
    not_before: Time,
}

/// A copy with all its parts on the target, not visible, under which the source moved.
#[derive(Debug)]
pub(super) struct Prefix {
    pub(super) attempt: Attempt,
    pub(super) upload: Upload,
    pub(super) crc32c: u32,
}

/// From so many failed checks in a row on a file is hot.
const FAILURES_HOT: u32 = 3;
/// The shortest and the longest pause before a path is copied again.
const PAUSE_MILLIS: RangeInclusive<u64> = 20..=5_000;
/// So many times as long as the copy took is the pause after it: what is cheap is tried often, for
/// a commit marker may wait for it.
const PAUSE_PER_COPY: u64 = 2;
/// Without `live`: so long a path may be hot. Whoever writes it may be done in a moment.
const HOT_PATIENCE_MILLIS: u64 = 10_000;

impl Migration {
    /// The source moved under a copy that was begun at `started`. A run that is to end does not try
    /// for ever.
    pub(super) fn look_again(&mut self, path: RelPath, claim: Claim, started: Time) {
        let over = self.copies_beginning(&path) && self.is_hot_for_long(&path);
        let millis = self.note_overtaken(&path, started);
        if over {
            let failure = changes_too_fast(&path);
            self.set_aside(path, claim, failure);
        } else {
            self.again(path, claim, millis, false);
        }
    }

    fn is_hot_for_long(&self, path: &RelPath) -> bool {
        let is_long = |hot: &Hot| self.now.millis_since(hot.since) >= HOT_PATIENCE_MILLIS;
        self.hot.get(path).is_some_and(is_long)
    }

    /// Without a stream nobody waits until a hot path stands still: what it begins with is enough.
    pub(super) fn copies_beginning(&self, path: &RelPath) -> bool {
        let failures = self.hot.get(path).map_or(0, |hot| hot.failures);
        !self.config.live && failures >= FAILURES_HOT
    }

    /// Milliseconds until a hot path may be copied again; marks do not make it sooner.
    pub(super) fn hot_pause(&self, path: &RelPath) -> Option<u64> {
        let hot = self.hot.get(path)?;
        (hot.not_before > self.now).then(|| hot.not_before.millis_since(self.now))
    }

    fn report_hot(&mut self, path: &RelPath) {
        let remedy = match self.config.live {
            true => "it is tried again at most every 5 s until it stands still",
            false => "if it only grows, what it begins with is copied; else it is tried for 10 s",
        };
        self.outbox.send(Effect::Report(Report {
            path: Some(path.clone()),
            kind: ReportKind::Hot,
            failure: Failure { remedy: remedy.to_owned(), ..changes_too_fast(path) },
        }));
    }

    fn note_overtaken(&mut self, path: &RelPath, started: Time) -> u64 {
        let before = self.hot.get(path);
        let failures = before.map_or(0, |hot| hot.failures) + 1;
        let since = before.map_or(self.now, |hot| hot.since);
        if failures == FAILURES_HOT {
            self.report_hot(path);
        }
        let millis = self.now.millis_since(started).saturating_mul(PAUSE_PER_COPY);
        let millis = millis.clamp(*PAUSE_MILLIS.start(), *PAUSE_MILLIS.end());
        let not_before = self.now.plus_millis(millis);
        self.hot.insert(path.clone(), Hot { failures, since, not_before });
        millis
    }

    /// The parts of a hot file are on the target and the source moved under them again. Where the
    /// file only grew, they are what it begins with.
    pub(super) fn staged_and_overtaken(&mut self, path: RelPath, mut claim: Claim, prefix: Prefix) {
        let failures = self.hot.get(&path).map_or(0, |hot| hot.failures) + 1;
        if failures < FAILURES_HOT {
            self.give_prefix_up(path, claim, prefix);
            return;
        }
        claim.step = Step::Growing(prefix);
        let ticket = self.ask(Asked::Claim(path.clone()));
        let effect = Effect::Examine { ticket, path: path.clone(), by_file_key: false };
        self.outbox.send(effect);
        self.hold(path, claim);
    }

    /// What stands there now: a closed file that only grew can prove its beginning.
    pub(super) fn growth_examined(
        &mut self,
        path: RelPath,
        mut claim: Claim,
        prefix: Prefix,
        outcome: Examined,
    ) {
        let length = prefix.attempt.identity.length();
        let file_key = prefix.attempt.identity.file_key();
        match outcome {
            Examined::Present(Node::File(now))
                if !now.open
                    && file_key.is_some()
                    && now.identity.file_key() == file_key
                    && now.identity.length() >= length =>
            {
                claim.step = Step::Growing(prefix);
                let ticket = self.ask(Asked::Claim(path.clone()));
                let checksum = Effect::Checksum { ticket, path: path.clone(), node: now, length };
                self.outbox.send(checksum);
                self.hold(path, claim);
            }
            Examined::Present(_) | Examined::Absent { .. } | Examined::Failed(_) => {
                self.give_prefix_up(path, claim, prefix);
            }
        }
    }

    /// The source's checksum of as many bytes as were copied.
    pub(super) fn growth_checksummed(
        &mut self,
        path: RelPath,
        claim: Claim,
        prefix: Prefix,
        outcome: &Result<u32, Failure>,
    ) {
        if *outcome != Ok(prefix.crc32c) {
            self.give_prefix_up(path, claim, prefix);
            return;
        }
        self.note_overtaken(&path, prefix.attempt.started);
        let Prefix { attempt, upload, crc32c } = prefix;
        // Nothing is claimed of a transaction: more of the file is pending.
        self.complete(path, claim, attempt, upload, TxId(0), crc32c);
    }

    fn give_prefix_up(&mut self, path: RelPath, claim: Claim, prefix: Prefix) {
        let attempt = Attempt { upload: Some(prefix.upload), ..prefix.attempt };
        self.give_attempt_up(&attempt, None);
        self.look_again(path, claim, attempt.started);
    }
}

fn changes_too_fast(path: &RelPath) -> Failure {
    Failure {
        side: Side::Source,
        kind: FailureKind::Moved,
        message: format!("{path} changes faster than it can be copied"),
        remedy: "run again when it is quiet, or with --live".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{attempt, changed, claim, migration_of, node, sent, step, upload};
    use super::*;
    use crate::config::Config;
    use crate::entry::FileNode;
    use crate::identity::Identity;
    use crate::record::{Change, Parked};

    /// One that was overtaken so often, at these times.
    fn overtaken(config: Config, at: &[u64]) -> Migration {
        let mut migration = migration_of(config);
        for now in at {
            migration.now = Time(*now);
            migration.look_again(RelPath::from("a"), claim("a"), Time(*now));
        }
        sent(&mut migration);
        migration
    }

    /// Whether the next failed check at that time sets the path aside.
    fn is_set_aside(mut migration: Migration, now: u64) -> bool {
        migration.now = Time(now);
        migration.look_again(RelPath::from("a"), claim("a"), Time(now));
        let parked = |change: &Change| matches!(change, Change::Park { reason, .. } if *reason == Parked::Failed);
        changed(&mut migration).iter().any(parked)
    }

    #[test]
    fn rule_3_4_a_run_that_is_to_end_leaves_what_is_hot_for_long() {
        let config = Config::default;
        let three = [1_000, 2_000, 3_000];
        assert!(!is_set_aside(overtaken(config(), &three), 10_999));
        assert!(is_set_aside(overtaken(config(), &three), 11_000), "ten seconds since the first");
        assert!(!is_set_aside(overtaken(config(), &three[1..]), 20_000), "what began is not tried");
        let live = Config { live: true, ..config() };
        assert!(!is_set_aside(overtaken(live, &three), 20_000), "a live run tries for ever");
    }

    #[test]
    fn rule_3_4_the_pause_is_twice_as_long_as_the_copy_took() {
        let pause = |started: u64| {
            let mut migration = migration_of(Config::default());
            migration.now = Time(10_000);
            migration.look_again(RelPath::from("a"), claim("a"), Time(started));
            migration.hot_pause(&RelPath::from("a"))
        };
        assert_eq!(pause(9_999), Some(20), "a little at least");
        assert_eq!(pause(9_900), Some(200));
        assert_eq!(pause(5_000), Some(5_000), "no longer than that");
        let mut migration = overtaken(Config::default(), &[10_000]);
        migration.now = Time(10_019);
        assert_eq!(migration.hot_pause(&RelPath::from("a")), Some(1));
        migration.now = Time(10_020);
        assert_eq!(migration.hot_pause(&RelPath::from("a")), None, "it is over");
    }

    #[test]
    fn rule_3_4_only_what_may_begin_with_the_copy_is_asked_to_prove_it() {
        let proves = |now: FileNode, copied: Identity| {
            let mut migration = migration_of(Config::default());
            let attempt = Attempt { identity: copied, ..attempt(4, "a", 5) };
            let prefix = Prefix { attempt, upload: upload(), crc32c: 7 };
            let seen = Examined::Present(Node::File(now));
            migration.growth_examined(RelPath::from("a"), claim("a"), prefix, seen);
            matches!(step(&migration, "a"), Some(Step::Growing(_)))
        };
        let copied = || attempt(4, "a", 5).identity;
        assert!(proves(node(6), copied()), "it grew");
        assert!(proves(node(5), copied()), "something else of it changed");
        assert!(!proves(node(4), copied()), "it was cut");
        assert!(!proves(FileNode { open: true, ..node(6) }, copied()), "it is written to");
        let object = |etag: &str| Identity::Object {
            version: None,
            etag: etag.to_owned(),
            length: 5,
            crc32c: None,
        };
        let anew = FileNode { identity: object("new"), ..node(5) };
        assert!(!proves(anew, object("old")), "an object does not grow");
        let (block_pool, file_id, length, modified_ms, blocks) = (1, 9, 6, 3, 4);
        let another = Identity::Hdfs { block_pool, file_id, length, modified_ms, blocks };
        assert!(!proves(FileNode { identity: another, ..node(6) }, copied()), "another file");
    }

    #[test]
    fn rule_4_3_parts_that_nobody_completes_go() {
        let mut migration = migration_of(Config::default());
        let attempt = Attempt { doubtful_until: None, ..attempt(4, "a", 5) };
        let prefix = Prefix { attempt, upload: upload(), crc32c: 7 };
        migration.give_prefix_up(RelPath::from("a"), claim("a"), prefix);
        let aborted = |effect: &Effect| matches!(effect, Effect::Abort { upload_id, .. } if *upload_id == upload().id);
        assert!(sent(&mut migration).iter().any(aborted));
    }

    /// A live run says when it tries again, another one when it gives up.
    #[test]
    fn people_are_told_what_becomes_of_a_hot_file() {
        let told = |live: bool| {
            let mut migration = migration_of(Config { live, ..Config::default() });
            for _ in 0..3 {
                migration.look_again(RelPath::from("a"), claim("a"), Time(0));
            }
            let remedies = sent(&mut migration).into_iter().filter_map(|effect| {
                if let Effect::Report(report) = effect { Some(report.failure.remedy) } else { None }
            });
            remedies.collect::<Vec<_>>()
        };
        let (live, ending) = (told(true), told(false));
        assert_eq!((live.len(), ending.len()), (1, 1));
        assert!(live[0].contains("until it stands still"), "{live:?}");
        assert!(ending[0].contains("what it begins with is copied"), "{ending:?}");
    }
}
