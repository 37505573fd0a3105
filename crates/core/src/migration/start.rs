//! Beginning a run: the root is pinned, the position is taken before the scan, and what an earlier
//! run left is gone on with (rules 1.1, 1.5).

use super::claim::Asked;
use super::{Migration, Phase};
use crate::effect::{Effect, Finish, Report, ReportKind};
use crate::entry::Node;
use crate::failure::{Failure, FailureKind, Side};
use crate::input::Examined;
use crate::number::{Time, TxId};
use crate::path::{Namespace, RelPath};
use crate::record::{Attempt, Change, Lane, Parked, Reach};

/// Without a stream: how long a root that is gone is waited for.
const ROOT_PATIENCE_MILLIS: u64 = 10_000;

impl Migration {
    /// Attempts of a process that is gone may still take effect (rule 4.1).
    pub(super) fn inherit(&mut self, attempts: Vec<Attempt>) {
        for attempt in attempts {
            let until = match attempt.doubtful_until {
                Some(until) => until,
                None => self.end_of_doubt(&attempt),
            };
            let number = attempt.number;
            self.outbox.change(Change::AttemptDoubtful { number, until });
            self.doubts.insert((until, number, attempt.path));
        }
        self.outbox.change(Change::Release(Parked::Failed));
        self.outbox.change(Change::Release(Parked::Foreign));
    }

    /// Looks whether the root is the one that was pinned.
    pub(super) fn look_at_root(&mut self) {
        if self.config.namespace == Namespace::Flat {
            self.root_seen();
            return;
        }
        if self.root_asked {
            return;
        }
        self.root_asked = true;
        let ticket = self.ask(Asked::Root);
        let path = RelPath::root();
        self.outbox.send_after(Effect::Examine { ticket, path, by_file_key: false });
    }

    pub(super) fn root_examined(&mut self, outcome: Examined) {
        self.root_asked = false;
        match outcome {
            Examined::Failed(failure) => {
                self.side_failed(&failure);
                self.root_retry_at = Some(self.now.plus_millis(1_000));
            }
            Examined::Present(Node::Directory(node)) => {
                self.answered_by(Side::Source);
                if self.root_is_pinned(Some(node.file_key)) {
                    self.root_seen();
                } else {
                    self.root_retry_at = Some(self.now.plus_millis(1_000));
                }
            }
            Examined::Present(Node::File(_) | Node::Special(_)) | Examined::Absent { .. } => {
                self.root_is_pinned(None);
                self.root_retry_at = Some(self.now.plus_millis(1_000));
            }
        }
    }

    /// True if the root is the pinned one; pins it if none is. Else removals wait: every path
    /// would seem absent (rule 1.5).
    pub(super) fn root_is_pinned(&mut self, key: Option<u64>) -> bool {
        if self.config.namespace == Namespace::Flat {
            return true;
        }
        if let (Some(key), None) = (key, self.root_key) {
            self.root_key = Some(key);
            self.outbox.change(Change::RootPinned(key));
        }
        if key.is_some() && key == self.root_key {
            self.root_lost = None;
            return true;
        }
        self.root_retry_at.get_or_insert(self.now.plus_millis(1_000));
        let failure = root_failure(key);
        if self.root_lost.is_none() {
            self.root_lost = Some(self.now);
            self.outbox.send(Effect::Report(Report {
                path: None,
                kind: ReportKind::RootChanged,
                failure: failure.clone(),
            }));
        }
        let patience = self.config.give_up_after_millis.min(ROOT_PATIENCE_MILLIS);
        let over = self.root_lost.is_some_and(|since| self.now.millis_since(since) >= patience);
        if self.phase == Phase::Rooting || (!self.config.live && over) {
            self.finish(Finish::GaveUp(failure));
        }
        false
    }

    fn root_seen(&mut self) {
        self.root_retry_at = None;
        if self.phase != Phase::Rooting {
            return;
        }
        self.phase = Phase::Joining;
        match (self.config.live, self.stream.applied) {
            (true, None) => self.ask_start_position(),
            (true, Some(_)) => self.resume_live(),
            (false, _) => self.begin_scan_as_listed(),
        }
    }

    pub(super) fn ask_start_position(&mut self) {
        let ticket = self.ask(Asked::Position);
        self.outbox.send_after(Effect::Position { ticket });
    }

    /// The position is durable before the first listing (rule 1.1).
    pub(super) fn start_positioned(&mut self, outcome: Result<TxId, Failure>) {
        match outcome {
            Ok(position) => {
                self.answered_by(Side::Source);
                self.stream.applied = Some(position);
                self.outbox.change(Change::Position { txid: position, digest: 0 });
                self.stream.unsaved.push_back((self.outbox.gathering(), position));
                self.begin_scan(position);
            }
            Err(failure) => {
                self.side_failed(&failure);
                self.position_retry_at = Some(self.now.plus_millis(1_000));
            }
        }
    }

    fn resume_live(&mut self) {
        if self.scan_begun {
            self.file_keys_matter = true;
            self.run();
        } else {
            self.begin_scan(self.applied());
        }
    }

    /// Without a stream a finished scan says nothing about now; an unfinished one is gone on with.
    fn begin_scan_as_listed(&mut self) {
        let goes_on = self.scan_begun && !self.scanned && self.stream.applied.is_none();
        self.stream.applied = None;
        self.stream.saved = None;
        if goes_on {
            self.file_keys_matter = true;
            self.run();
        } else {
            self.begin_scan(TxId(0));
        }
    }

    fn begin_scan(&mut self, position: TxId) {
        let before = self.scan_begun;
        self.scan_begun = true;
        self.scanned = false;
        self.outbox.change(Change::ScanBegun);
        if before {
            self.mark_everything(TxId(0), position);
        } else {
            let root = RelPath::root();
            self.mark(&root, Reach::Subtree, Lane::Backlog, TxId(0), position);
        }
        self.run();
    }

    fn run(&mut self) {
        self.phase = Phase::Running;
        self.stream.last_change = self.now;
    }

    /// Asks again what could not be told, and tells of a side that stays silent.
    pub(super) fn retry_start(&mut self) {
        self.notice_silence();
        if due(self.root_retry_at, self.now) {
            self.root_retry_at = None;
            self.look_at_root();
        }
        if due(self.position_retry_at, self.now) {
            self.position_retry_at = None;
            self.ask_start_position();
        }
    }
}

fn due(at: Option<Time>, now: Time) -> bool {
    at.is_some_and(|at| at <= now)
}

fn root_failure(key: Option<u64>) -> Failure {
    let message = match key {
        Some(_) => "the root of the source is another directory than the one that was migrated",
        None => "the root of the source is gone",
    };
    Failure {
        side: Side::Source,
        kind: FailureKind::Missing,
        message: message.to_owned(),
        remedy: "put it back (renamed? unmounted?); nothing was removed from the target. For \
                 another source use another --name"
            .to_owned(),
    }
}
