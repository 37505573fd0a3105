//! A gap in the stream: everything in scope may have changed, so all of it is listed again and
//! compared, and nothing of what is unchanged is read (section 8, rule 1.7). Where the source tells
//! what changed (rule 8.2), that is looked at first, or alone.

use super::Migration;
use super::claim::Asked;
use crate::effect::{Effect, Report, ReportKind, Ticket};
use crate::failure::{Failure, FailureKind, Side};
use crate::input::Difference;
use crate::number::TxId;
use crate::path::RelPath;
use crate::planted::{Planted, planted};
use crate::record::{Change, Counters, Hint, Lane, Parked, Reach};

/// What is done about it by itself.
const REPAIRED: &str = "nothing now: what may have changed is listed and compared again";

impl Migration {
    /// Transactions are lost; `remedy` as `Streamed::Gap` has it. The new position is taken first,
    /// then everything is made pending.
    pub(super) fn open_gap(&mut self, remedy: Option<String>) {
        if self.gap_open {
            return;
        }
        self.gap_open = true;
        self.gap_forgets = false;
        self.followed_markers.clear();
        self.stream.ends_ahead.clear();
        if let Some(remedy) = remedy {
            let message = "the source dropped part of its history before it was read";
            self.report_gap(ReportKind::Gap, message, &format!("{REPAIRED}; {remedy}"));
        }
        self.ask_gap_position();
    }

    /// The source has another history than the remembered one. The same is done, and nothing of
    /// what was followed is believed.
    pub(super) fn open_history(&mut self, name: Option<String>) {
        if self.gap_open {
            return;
        }
        self.gap_open = true;
        self.gap_forgets = true;
        self.epoch = self.epoch.next();
        if !planted(Planted::OlderHistoryClaimed) {
            // What was followed says nothing about this history: nothing is claimed of it.
            self.stream.saved = None;
            self.stream.unsaved.clear();
        }
        self.forget_positions();
        self.stream.ends_ahead.clear();
        self.touch(&RelPath::root(), true);
        self.outbox.change(Change::History { epoch: self.epoch, name });
        let message = "the source has another history than the one that was followed (restored, \
                       re-formatted or another cluster)";
        let remedy = format!("{REPAIRED}; if it is not the source that you meant, stop");
        self.report_gap(ReportKind::HistoryChanged, message, &remedy);
        self.ask_gap_position();
    }

    fn report_gap(&mut self, kind: ReportKind, message: &str, remedy: &str) {
        self.outbox.send(Effect::Report(Report {
            path: None,
            kind,
            failure: Failure {
                side: Side::Source,
                kind: FailureKind::Missing,
                message: message.to_owned(),
                remedy: remedy.to_owned(),
            },
        }));
    }

    fn ask_gap_position(&mut self) {
        let ticket = self.ask(Asked::GapPosition);
        // Of another history nothing is believed, its snapshots neither.
        let since = (!self.gap_forgets).then(|| self.applied());
        self.outbox.send(Effect::Position { ticket, since });
    }

    pub(super) fn gap_positioned(
        &mut self,
        outcome: Result<TxId, Failure>,
        difference: Option<Difference>,
    ) {
        match outcome {
            Ok(position) => self.repair_from(position, difference),
            Err(failure) => {
                self.side_failed(&failure);
                self.gap_waits = true;
            }
        }
    }

    /// Asks again after a lost source came back.
    pub(super) fn retry_gap(&mut self) {
        if self.gap_waits && !self.is_held_back(Side::Source) {
            self.gap_waits = false;
            self.ask_gap_position();
        }
    }

    fn repair_from(&mut self, position: TxId, difference: Option<Difference>) {
        self.gap_open = false;
        self.repaired_to = position;
        // Transactions of another history say nothing about this one.
        let first = if self.gap_forgets { TxId(0) } else { self.applied().next() };
        self.stream.applied = Some(position);
        self.stream.last_change = self.now;
        self.outbox.change(Change::Position { txid: position, digest: 0 });
        self.stream.unsaved.push_back((self.outbox.gathering(), position));
        self.outbox.change(Change::Count(Counters { gaps: 1, ..Counters::default() }));
        self.touch(&RelPath::root(), true);
        if !planted(Planted::GapForgotten) {
            self.mark_stale(first.min(position), position, difference);
        }
        self.look_at_root();
        self.pass_barriers();
    }

    /// What is known to have changed goes ahead as live changes do. Nobody tells of files that were
    /// open at the begin of a difference, so these are looked at again; so is whatever was settled
    /// since then, for it may have been changed back.
    fn mark_stale(&mut self, first: TxId, last: TxId, difference: Option<Difference>) {
        let complete = difference.as_ref().is_some_and(|difference| difference.complete);
        for (path, reach) in difference.map(|it| it.stale).unwrap_or_default() {
            self.distrust_directory(&path, reach == Reach::Subtree);
            let shallow = planted(Planted::DifferenceShallow);
            let reach = if shallow { Reach::Path } else { reach };
            self.mark(&path, reach, Lane::Live, first, last);
            self.mark_parent(&path, first, last);
        }
        if !complete {
            self.mark_everything(first, last);
            return;
        }
        let root = RelPath::root();
        self.distrust_directory(&root, false);
        self.mark(&root, Reach::Path, Lane::Metadata, first, last);
        let mark = self.next_mark();
        let (first_txid, last_txid, seen) = (first, last, self.now);
        if !planted(Planted::SettledSinceForgotten) {
            self.outbox.change(Change::Revisit { first_txid, last_txid, seen, mark });
        }
        self.outbox.change(Change::Release(Parked::Open));
        self.file_keys_matter = true;
        self.await_the_repair(last);
    }

    /// Makes the whole scope pending. Removals wait until everything was listed, since what seems
    /// gone may only have been renamed (rule 6.2, with a hint from the root to the root).
    pub(super) fn mark_everything(&mut self, first: TxId, last: TxId) {
        let root = RelPath::root();
        self.file_keys_matter = true;
        self.distrust_directory(&root, false);
        self.mark(&root, Reach::Subtree, Lane::Backlog, first, last);
        self.await_the_repair(last);
    }

    /// Removals wait for all that is pending.
    fn await_the_repair(&mut self, txid: TxId) {
        let (from, to) = (RelPath::root(), RelPath::root());
        self.outbox.change(Change::HintAdded(Hint { from, to, txid }));
    }

    /// Notes a lookup of the ticket's owner; used by answers that are not about a path.
    pub(super) fn asked_by(&mut self, ticket: Ticket) -> Option<Asked> {
        self.tickets.remove(&ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Phase;
    use super::super::tests::{changed, failure, migration_of, sent};
    use super::*;
    use crate::config::Config;
    use crate::failure::FailureKind;
    use crate::number::Time;

    fn live() -> Migration {
        let mut migration = migration_of(Config { live: true, ..Config::default() });
        migration.phase = Phase::Running;
        migration.stream.applied = Some(TxId(5));
        migration
    }

    fn positions(effects: &[Effect]) -> Vec<Option<TxId>> {
        let since = effects.iter().filter_map(|effect| {
            if let Effect::Position { since, .. } = effect { Some(*since) } else { None }
        });
        since.collect()
    }

    fn reports(effects: &[Effect]) -> Vec<ReportKind> {
        let kinds = effects.iter().filter_map(|effect| {
            if let Effect::Report(report) = effect { Some(report.kind) } else { None }
        });
        kinds.collect()
    }

    #[test]
    fn rule_8_1_people_are_told_of_a_gap_that_they_can_prevent() {
        let opened = |remedy: Option<&str>| {
            let mut migration = live();
            migration.open_gap(remedy.map(str::to_owned));
            migration.open_gap(remedy.map(str::to_owned));
            let effects = sent(&mut migration);
            (reports(&effects), positions(&effects))
        };
        assert_eq!(opened(Some("look")), (vec![ReportKind::Gap], vec![Some(TxId(5))]), "once");
        assert_eq!(opened(None), (vec![], vec![Some(TxId(5))]), "nothing is wrong");
        let mut migration = live();
        migration.open_history(None);
        let effects = sent(&mut migration);
        assert_eq!(reports(&effects), [ReportKind::HistoryChanged]);
        assert_eq!(positions(&effects), [None], "its snapshots are not believed");
    }

    #[test]
    fn rule_8_1_the_position_is_asked_for_again_once_the_source_answers() {
        let mut migration = live();
        let lost = failure(Side::Source, FailureKind::Unavailable);
        migration.open_gap(None);
        sent(&mut migration);
        let mut asked = |now: u64| {
            migration.now = Time(now);
            migration.retry_gap();
            let asked = positions(&sent(&mut migration)).len();
            if asked == 0 && now == 1_000 {
                migration.gap_positioned(Err(lost.clone()), None);
            }
            asked
        };
        assert_eq!(asked(1_000), 0, "the first question is under way");
        assert_eq!(asked(1_001), 0, "the source is left alone for a while");
        assert_eq!((asked(9_000), asked(9_001)), (1, 0), "once");
    }

    /// What was a directory may be another one now, and all below it.
    #[test]
    fn rule_8_2_directories_that_changed_are_not_believed() {
        let repaired = |reach: Reach| {
            let mut migration = live();
            let stale = vec![(RelPath::from("d"), reach)];
            let difference = Difference { stale, complete: true };
            migration.repair_from(TxId(9), Some(difference));
            changed(&mut migration)
        };
        let dropped = |changes: &[Change]| {
            let below = changes.iter().filter_map(|change| {
                let Change::DropDirectory { path, below } = change else { return None };
                (!path.is_root()).then_some(*below)
            });
            below.collect::<Vec<_>>()
        };
        assert_eq!(dropped(&repaired(Reach::Subtree)), [true]);
        assert_eq!(dropped(&repaired(Reach::Directory)), [false]);
        let (from, to, txid) = (RelPath::root(), RelPath::root(), TxId(9));
        let waits = Change::HintAdded(Hint { from, to, txid });
        assert!(repaired(Reach::Path).contains(&waits), "removals wait for all of it (rule 6.2)");
    }
}
