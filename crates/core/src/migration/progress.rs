//! Where a migration stands, claiming no more than is durable (section 10).

use super::{Migration, Phase};
use crate::config::RemovalGuard;
use crate::failure::FailureKind;
use crate::number::{Time, TxId};
use crate::planted::{Planted, planted};
use crate::record::{Lane, PendingSummary};

/// A moment's view of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// What the run is doing.
    pub phase: Phase,
    /// Every change up to here is on the target, parked paths aside (rule 10.1), and removals that
    /// were kept for a time until they are done (rule 5.7); `None` without a stream and before the
    /// scan's end.
    pub as_of: Option<TxId>,
    /// Everything up to here is marked.
    pub applied: Option<TxId>,
    /// What the source had written at the last look.
    pub synced: TxId,
    /// What happened at the source before this moment is pending or done; `None` without a stream
    /// and before it was followed to its end in this run.
    pub followed: Option<Time>,
    /// Since when something at the source is not on the target; `None`: nothing is known to be
    /// missing.
    pub behind_since: Option<Time>,
    /// What is pending.
    pub pending: PendingSummary,
    /// Copies in flight.
    pub copies: usize,
    /// Directories being gone through.
    pub passes: usize,
    /// Paths being worked on.
    pub claims: usize,
    /// Writes whose outcome is unknown.
    pub doubts: usize,
    /// When the last of them can take effect no longer.
    pub doubts_end: Option<Time>,
    /// The first scan came to its end.
    pub scanned: bool,
    /// Changes in scope seen in this run.
    pub changes_seen: u64,
    /// A side does not answer since then.
    pub source_lost: Option<Time>,
    /// The root of the source is not the pinned one since then (rule 1.5).
    pub root_lost: Option<Time>,
    /// A side does not answer since then.
    pub target_lost: Option<Time>,
    /// The target answers, and has no room.
    pub target_full: bool,
    /// Paused by a person.
    pub paused: bool,
    /// When removals wait for a person.
    pub removal_guard: RemovalGuard,
    /// How long what is gone at the source stays (rule 5.7).
    pub removals_after_millis: u64,
}

/// The stream is looked at every few hundred milliseconds. Not heard of for longer, what happens at
/// the source is not known, and the target may be behind.
const UNHEARD_MILLIS: u64 = 5_000;

impl Migration {
    /// Removals that wait for their judgement are pending like any live change.
    fn pending_with_removals(&self) -> PendingSummary {
        let mut pending = self.summary;
        pending.lanes[Lane::Live as usize] += pending.removals;
        if let Some(behind) = self.guard.behind()
            && !planted(Planted::WaitingRemovalsHidden)
        {
            let first = pending.first_txid.map_or(behind.first, |first| first.min(behind.first));
            let seen = pending.first_seen.map_or(behind.seen, |seen| seen.min(behind.seen));
            (pending.first_txid, pending.first_seen) = (Some(first), Some(seen));
        }
        pending
    }

    /// Where the run stands now.
    pub fn progress(&self) -> Progress {
        let pending = self.pending_with_removals();
        // Marks that are not durable are not counted as pending yet.
        let early = planted(Planted::ClaimedBeforeDurable);
        let saved = if early { self.stream.applied } else { self.stream.saved };
        let saved = saved.filter(|_| self.fresh_summary);
        let first_txid = pending.first_txid.filter(|_| !planted(Planted::PendingClaimed));
        let watermark = match (saved, first_txid) {
            (None, _) => None,
            (Some(applied), None) => Some(applied),
            (Some(_), Some(TxId(0))) => None,
            (Some(applied), Some(first)) => Some(applied.min(TxId(first.0 - 1))),
        };
        let scanning_done = self.scanned || pending.first_txid.is_none_or(|first| first.0 > 0);
        Progress {
            phase: self.phase,
            as_of: watermark.filter(|_| scanning_done && self.scan_begun && self.recount.is_done()),
            applied: self.stream.applied,
            synced: self.stream.synced,
            followed: self.stream.followed.filter(|_| !self.gap_open),
            behind_since: [
                pending.first_seen,
                self.stream_behind_since(),
                self.root.lost,
                self.recount.unknown_since(),
            ]
            .into_iter()
            .flatten()
            .min(),
            pending,
            copies: self.copies_in_flight,
            passes: self.passes.len(),
            claims: self.claims.held.len(),
            doubts: self.doubts.len(),
            doubts_end: self.doubts.last().map(|(until, _, _)| *until),
            scanned: self.scanned,
            changes_seen: self.changes_seen,
            source_lost: self.source_side.lost.as_ref().map(|(since, _)| *since),
            root_lost: self.root.lost,
            target_lost: self.target_side.lost.as_ref().map(|(since, _)| *since),
            target_full: self
                .target_side
                .lost
                .as_ref()
                .is_some_and(|(_, how)| how.kind == FailureKind::Full),
            paused: self.paused,
            removal_guard: self.config.removal_guard,
            removals_after_millis: self.config.removals_after_millis,
        }
    }

    /// Since when the stream is not known to be followed to its end.
    fn stream_behind_since(&self) -> Option<Time> {
        if !self.config.live {
            return None;
        }
        let heard = self.stream.caught_up.max(self.stream.heard_to);
        let heard = heard.unwrap_or(self.stream.last_change);
        let behind = self.stream.applied.is_some_and(|applied| applied < self.stream.synced);
        let unheard =
            self.phase == Phase::Running && self.now.millis_since(heard) >= UNHEARD_MILLIS;
        (behind || unheard).then_some(heard)
    }
}

#[cfg(test)]
mod tests {
    use super::super::claim::Claim;
    use super::super::inventory::Recount;
    use super::super::tests::{claim, failure, migration_of};
    use super::*;
    use crate::config::Config;
    use crate::failure::Side;
    use crate::path::RelPath;
    use crate::record::Meta;

    /// A live run that followed its stream to transaction 9 of 9, all of it durable.
    fn followed() -> Migration {
        let mut migration = migration_of(Config { live: true, ..Config::default() });
        (migration.scan_begun, migration.scanned, migration.fresh_summary) = (true, true, true);
        migration.stream.applied = Some(TxId(9));
        migration.stream.saved = Some(TxId(9));
        migration.stream.synced = TxId(9);
        migration.stream.caught_up = Some(Time(1_000));
        migration.phase = Phase::Running;
        migration
    }

    #[test]
    fn rule_10_1_what_is_claimed_ends_before_the_first_that_is_pending() {
        let as_of = |change: &dyn Fn(&mut Migration)| {
            let mut migration = followed();
            change(&mut migration);
            migration.progress().as_of.map(|txid| txid.0)
        };
        assert_eq!(as_of(&|_| {}), Some(9));
        assert_eq!(as_of(&|it| it.summary.first_txid = Some(TxId(7))), Some(6));
        assert_eq!(as_of(&|it| it.summary.first_txid = Some(TxId(12))), Some(9));
        assert_eq!(as_of(&|it| it.summary.first_txid = Some(TxId(0))), None);
        assert_eq!(as_of(&|it| it.stream.saved = None), None);
        assert_eq!(as_of(&|it| it.stream.saved = Some(TxId(8))), Some(8), "durable");
        assert_eq!(as_of(&|it| it.fresh_summary = false), None);
        assert_eq!(as_of(&|it| it.scan_begun = false), None);
        assert_eq!(as_of(&|it| it.scanned = false), Some(9), "nothing of the scan is pending");
        assert_eq!(
            as_of(&|it| {
                it.scanned = false;
                it.summary.first_txid = Some(TxId(1));
            }),
            Some(0)
        );
        let meta = Meta { inventory_done: true, ..Meta::default() };
        assert_eq!(as_of(&|it| it.recount = Recount::of(&meta, Time(0))), None);
    }

    #[test]
    fn rule_10_1_removals_that_wait_are_pending() {
        let with = |summary: PendingSummary, waits: bool| {
            let mut migration = followed();
            migration.summary = summary;
            if waits {
                let claim = Claim { first: TxId(4), seen: Time(400), ..claim("a") };
                migration.nominate(RelPath::from("a"), claim);
            }
            let Progress { pending, as_of, .. } = migration.progress();
            (pending.lanes[Lane::Live as usize], pending.first_seen, as_of.map(|txid| txid.0))
        };
        let none = PendingSummary::default;
        let removals = PendingSummary { removals: 3, lanes: [2, 0, 0], ..none() };
        assert_eq!(with(removals, true), (5, Some(Time(400)), Some(3)));
        let (first_txid, first_seen) = (Some(TxId(3)), Some(Time(300)));
        let older = PendingSummary { first_txid, first_seen, ..none() };
        assert_eq!(with(older, true), (0, Some(Time(300)), Some(2)));
        assert_eq!(with(none(), false), (0, None, Some(9)));
    }

    #[test]
    fn rule_10_1_a_target_is_behind_while_the_stream_is_not_heard_of() {
        let behind = |change: &dyn Fn(&mut Migration)| {
            let mut migration = followed();
            change(&mut migration);
            migration.progress().behind_since
        };
        assert_eq!(behind(&|_| {}), None);
        assert_eq!(behind(&|it| it.stream.synced = TxId(10)), Some(Time(1_000)));
        assert_eq!(behind(&|it| it.now = Time(5_999)), None);
        assert_eq!(behind(&|it| it.now = Time(6_000)), Some(Time(1_000)));
        let joining = |it: &mut Migration| {
            (it.now, it.phase) = (Time(6_000), Phase::Joining);
        };
        assert_eq!(behind(&joining), None, "nothing was to be followed yet");
        let without = |it: &mut Migration| {
            (it.now, it.config.live) = (Time(6_000), false);
        };
        assert_eq!(behind(&without), None, "there is no stream");
        assert_eq!(behind(&|it| it.root.lost = Some(Time(700))), Some(Time(700)));
    }

    #[test]
    fn a_target_without_room_is_told_from_one_that_is_lost() {
        let seen = |kind: FailureKind| {
            let mut migration = followed();
            migration.side_failed(&failure(Side::Target, kind));
            let Progress { target_lost, target_full, source_lost, .. } = migration.progress();
            (target_lost.is_some(), target_full, source_lost.is_some())
        };
        assert_eq!(seen(FailureKind::Full), (true, true, false));
        assert_eq!(seen(FailureKind::Unavailable), (true, false, false));
    }
}
