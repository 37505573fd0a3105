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
    /// Every change up to here is on the target, parked paths aside (rule 10.1); `None` without a
    /// stream and before the scan's end.
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
        }
    }

    /// Since when the stream is not known to be followed to its end.
    fn stream_behind_since(&self) -> Option<Time> {
        if !self.config.live {
            return None;
        }
        let heard = self.stream.caught_up.unwrap_or(self.stream.last_change);
        let behind = self.stream.applied.is_some_and(|applied| applied < self.stream.synced);
        let unheard =
            self.phase == Phase::Running && self.now.millis_since(heard) >= UNHEARD_MILLIS;
        (behind || unheard).then_some(heard)
    }
}
