//! The pinned root (rule 1.5). While another directory stands in its place, or none, the run waits:
//! nothing is looked at, copied, relocated or removed, and the stream is followed all the same, so
//! that no history is lost.

use super::claim::Asked;
use super::{Migration, Phase};
use crate::effect::{Effect, Finish, Report, ReportKind};
use crate::entry::Node;
use crate::failure::{Failure, FailureKind, Side};
use crate::input::Examined;
use crate::number::{Time, TxId};
use crate::path::{Namespace, RelPath};
use crate::planted::{Planted, planted};
use crate::record::Change;

/// Without a stream: how long a root that is gone is waited for.
const PATIENCE_MILLIS: u64 = 10_000;
/// Pause between two looks at a root that is not the pinned one.
const PAUSE_MILLIS: u64 = 1_000;
/// A live run waits for ever, and says so again after this time.
const TOLD_EVERY_MILLIS: u64 = 300_000;

/// The root, and whether it is there.
#[derive(Debug, Default)]
pub(super) struct Root {
    /// The pinned one.
    pub(super) key: Option<u64>,
    /// A look at it is under way.
    asked: bool,
    /// Since when it is not the pinned one.
    pub(super) lost: Option<Time>,
    /// When that was told last.
    told: Option<Time>,
    /// When it is looked at again.
    pub(super) retry_at: Option<Time>,
}

impl Root {
    /// The one that earlier runs pinned, if any.
    pub(super) fn pinned(key: Option<u64>) -> Self {
        Self { key, ..Self::default() }
    }

    /// No look at it is due or under way, and none said that it is lost.
    pub(super) fn is_settled(&self) -> bool {
        !self.asked && self.lost.is_none() && self.retry_at.is_none()
    }
}

impl Migration {
    /// Looks whether the root is the one that was pinned.
    pub(super) fn look_at_root(&mut self) {
        if self.config.namespace == Namespace::Flat {
            self.root_seen();
            return;
        }
        if self.root.asked {
            return;
        }
        self.root.asked = true;
        let ticket = self.ask(Asked::Root);
        let path = RelPath::root();
        self.outbox.send_after(Effect::Examine { ticket, path, by_file_key: false });
    }

    pub(super) fn root_examined(&mut self, outcome: Examined) {
        self.root.asked = false;
        let key = match outcome {
            Examined::Failed(failure) => {
                self.side_failed(&failure);
                self.root.retry_at = Some(self.now.plus_millis(PAUSE_MILLIS));
                return;
            }
            Examined::Present(Node::Directory(node)) => {
                self.answered_by(Side::Source);
                Some(node.file_key)
            }
            Examined::Present(Node::File(_) | Node::Special(_)) | Examined::Absent { .. } => None,
        };
        if self.root_is_pinned(key) {
            self.root_seen();
        }
    }

    /// True if the root is the pinned one; pins it if none is. Else everything waits: every path
    /// would seem absent, or be another's.
    pub(super) fn root_is_pinned(&mut self, key: Option<u64>) -> bool {
        if self.config.namespace == Namespace::Flat {
            return true;
        }
        if let (Some(key), None) = (self.config.root_key.or(key), self.root.key) {
            self.root.key = Some(key);
            self.outbox.change(Change::RootPinned(key));
        }
        // Opened in another one, the source answers nothing of the pinned one, back or not.
        let opened = self.config.root_key.is_none_or(|opened| Some(opened) == self.root.key);
        if key.is_some() && key == self.root.key && opened {
            self.root_is_back();
            return true;
        }
        self.root_is_lost(key);
        false
    }

    /// What was seen at the root's own path is another than the pinned one.
    pub(super) fn is_another_root(&mut self, path: &RelPath, seen: &Examined) -> bool {
        if !path.is_root() {
            return false;
        }
        match seen {
            Examined::Present(Node::Directory(node)) => !self.root_is_pinned(Some(node.file_key)),
            Examined::Present(Node::File(_) | Node::Special(_)) => !self.root_is_pinned(None),
            Examined::Absent { .. } | Examined::Failed(_) => false,
        }
    }

    fn root_is_lost(&mut self, key: Option<u64>) {
        self.root.retry_at.get_or_insert(self.now.plus_millis(PAUSE_MILLIS));
        let goes_on = self.config.live && self.phase != Phase::Rooting;
        let failure = lost_root(key, goes_on);
        let since = match self.root.lost {
            Some(since) => since,
            None => {
                self.root.lost = Some(self.now);
                self.doubt_everything();
                self.now
            }
        };
        let told_long_ago = |at: Time| self.now.millis_since(at) >= TOLD_EVERY_MILLIS;
        if self.root.told.is_none_or(told_long_ago) {
            self.root.told = Some(self.now);
            self.report_root(ReportKind::RootChanged, failure.clone());
        }
        let patience = self.config.give_up_after_millis.min(PATIENCE_MILLIS);
        let over = !self.config.live && self.now.millis_since(since) >= patience;
        if self.phase == Phase::Rooting || over {
            self.finish(Finish::GaveUp(failure));
        }
    }

    /// What is under way was asked of a root that may have been another already, and what happens
    /// below the pinned one from now on may give no event in scope.
    fn doubt_everything(&mut self) {
        if self.phase != Phase::Running || planted(Planted::RootMoveIgnored) {
            return;
        }
        let next = self.stream.applied.map_or(TxId(0), TxId::next);
        self.touch(&RelPath::root(), true);
        self.mark_everything(next, next);
    }

    fn root_is_back(&mut self) {
        if self.root.lost.take().is_none() {
            return;
        }
        self.root.told = None;
        let message = "the root of the source is the one that was migrated again";
        let remedy = "nothing: everything is listed and compared again";
        let (message, remedy) = (message.to_owned(), remedy.to_owned());
        let (side, kind) = (Side::Source, FailureKind::Missing);
        self.report_root(ReportKind::RootBack, Failure { side, kind, message, remedy });
    }

    fn report_root(&mut self, kind: ReportKind, failure: Failure) {
        self.outbox.send(Effect::Report(Report { path: None, kind, failure }));
    }
}

/// What people are told where a directory of this number, or none, stands at the pinned root's place.
/// A run that does not go on is started again.
pub fn lost_root(key: Option<u64>, goes_on: bool) -> Failure {
    let message = match key {
        Some(_) => {
            "the root of the source is another directory than the one that was migrated: removed \
             and made anew, or something else was renamed or mounted there"
        }
        None => "the root of the source is gone",
    };
    let back = match goes_on {
        true => "put the old one back (renamed? unmounted?), and all goes on by itself",
        false => "put the old one back (renamed? unmounted?) and start again",
    };
    Failure {
        side: Side::Source,
        kind: FailureKind::Missing,
        message: message.to_owned(),
        remedy: format!(
            "{back}; until then nothing is copied or removed. To migrate the new one to the same \
             target, stop and begin a new migration: --name NEW --adopt"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{changed, marked, migration_of, sent};
    use super::*;
    use crate::config::Config;
    use crate::entry::DirectoryNode;
    use crate::metadata::Metadata;

    /// A run whose root is number 7.
    fn pinned(config: Config) -> Migration {
        let mut migration = migration_of(config);
        migration.phase = Phase::Running;
        migration.root = Root::pinned(Some(7));
        migration
    }

    fn live() -> Config {
        Config { live: true, ..Config::default() }
    }

    fn told(effects: &[Effect], kind: ReportKind) -> usize {
        let is = |it: &&Effect| matches!(it, Effect::Report(report) if report.kind == kind);
        effects.iter().filter(is).count()
    }

    fn given_up(effects: &[Effect]) -> bool {
        effects.iter().any(|it| matches!(it, Effect::Finish(Finish::GaveUp(_))))
    }

    #[test]
    fn rule_1_5_only_the_pinned_root_is_believed() {
        let is_pinned = |opened: Option<u64>, seen: Option<u64>| {
            pinned(Config { root_key: opened, ..live() }).root_is_pinned(seen)
        };
        assert!(is_pinned(None, Some(7)) && is_pinned(Some(7), Some(7)));
        assert!(!is_pinned(None, Some(8)) && !is_pinned(None, None));
        assert!(!is_pinned(Some(8), Some(7)), "opened in another one, it answers of that");
        let mut first = migration_of(live());
        assert!(first.root_is_pinned(Some(9)), "it is pinned by that");
        assert_eq!(changed(&mut first), [Change::RootPinned(9)]);
        assert!(!first.root_is_pinned(Some(7)) && first.root_is_pinned(Some(9)));
        let mut flat = pinned(Config { namespace: Namespace::Flat, ..live() });
        assert!(flat.root_is_pinned(None), "keys have no root");
    }

    #[test]
    fn rule_1_5_what_is_seen_at_the_roots_own_path_tells() {
        let another =
            |at: &str, seen: Examined| pinned(live()).is_another_root(&RelPath::from(at), &seen);
        let directory = |file_key: u64| {
            let (empty, metadata) = (None, Metadata::default());
            Examined::Present(Node::Directory(DirectoryNode { file_key, empty, metadata }))
        };
        assert!(another("", directory(8)) && !another("", directory(7)));
        assert!(!another("d", directory(8)), "that is no root");
        assert!(another("", Examined::Present(Node::Special("a socket".to_owned()))));
        assert!(!another("", Examined::Absent { root_key: Some(7) }));
    }

    /// What is told at these times of a root that stays lost, and whether the run ends.
    fn lost_at(config: Config, times: &[u64]) -> Vec<(usize, bool)> {
        let mut migration = pinned(config);
        let seen = times.iter().map(|now| {
            migration.now = Time(*now);
            migration.root_is_pinned(None);
            let effects = sent(&mut migration);
            (told(&effects, ReportKind::RootChanged), given_up(&effects))
        });
        seen.collect()
    }

    #[test]
    fn rule_1_5_a_live_run_waits_for_its_root_and_says_so_now_and_then() {
        let expected = [(1, false), (0, false), (1, false), (0, false)];
        assert_eq!(lost_at(live(), &[1_000, 300_999, 301_000, 302_000]), expected);
        let mut migration = pinned(live());
        migration.root_is_pinned(None);
        assert!(!migration.root.is_settled());
        migration.root.retry_at = None;
        assert!(!migration.root.is_settled(), "it is lost");
        sent(&mut migration);
        migration.root_is_pinned(Some(7));
        assert_eq!(told(&sent(&mut migration), ReportKind::RootBack), 1);
        assert!(migration.root.is_settled());
        migration.root_is_pinned(Some(7));
        assert_eq!(told(&sent(&mut migration), ReportKind::RootBack), 0, "once");
        migration.root_is_pinned(None);
        assert_eq!(told(&sent(&mut migration), ReportKind::RootChanged), 1, "told again at once");
        let mut looking = pinned(live());
        looking.look_at_root();
        assert!(!looking.root.is_settled(), "a look is under way");
    }

    #[test]
    fn rule_1_5_a_run_that_is_to_end_gives_a_lost_root_up() {
        let ended = [(1, false), (0, false), (0, true)];
        assert_eq!(lost_at(Config::default(), &[1_000, 10_999, 11_000]), ended, "ten seconds");
        let hasty = Config { give_up_after_millis: 500, ..Config::default() };
        assert_eq!(lost_at(hasty, &[1_000, 1_499, 1_500]), ended);
        let mut beginning = pinned(live());
        beginning.phase = Phase::Rooting;
        beginning.root_is_pinned(None);
        assert!(given_up(&sent(&mut beginning)), "nothing began yet");
    }

    /// What people are told to do depends on whether it goes on by itself.
    #[test]
    fn a_lost_root_is_told_of_with_what_to_do() {
        let remedy = |config: Config, phase: Phase| {
            let mut migration = pinned(config);
            migration.phase = phase;
            migration.root_is_pinned(None);
            let remedy = sent(&mut migration).into_iter().find_map(|effect| {
                if let Effect::Report(report) = effect { Some(report.failure.remedy) } else { None }
            });
            remedy.expect("it is told").contains("goes on by itself")
        };
        assert!(remedy(live(), Phase::Running));
        assert!(!remedy(live(), Phase::Rooting), "it ends");
        assert!(!remedy(Config::default(), Phase::Running));
    }

    /// Whatever happened below it while it stood elsewhere was out of scope.
    #[test]
    fn rule_1_5_all_is_looked_at_again_once_the_root_was_another() {
        let marks = |phase: Phase| {
            let mut migration = pinned(live());
            migration.phase = phase;
            migration.root_is_pinned(Some(8));
            migration.root_is_pinned(Some(8));
            marked(&changed(&mut migration)).len()
        };
        assert_eq!(marks(Phase::Running), 1, "once");
        assert_eq!(marks(Phase::Joining), 0, "nothing was looked at yet");
    }
}
