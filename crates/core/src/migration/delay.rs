//! What is gone at the source may stay on the target for a time (rule 5.7), so that it can still be
//! had. The time counts from the look that first found nothing there, and is kept with the entry:
//! whatever marks that again, and however often this process dies, it stays the same. Once it is
//! over the path is looked at again, and goes as anything else that is gone.

use super::Migration;
use super::claim::Claim;
use crate::number::Time;
use crate::path::RelPath;
use crate::planted::{Planted, planted};
use crate::record::{Change, Parked};

/// What is known of those whose time is over.
#[derive(Debug, Default)]
pub(super) struct Delays {
    /// They are free with this batch: before that they would be freed again.
    ending: Option<u64>,
}

impl Delays {
    pub(super) fn persisted(&mut self, batch: u64) {
        self.ending = self.ending.filter(|by| *by > batch);
    }
}

impl Migration {
    /// Times that an earlier run gave are those of this run's delay.
    pub(super) fn delay_as_asked(&mut self) {
        let after_millis = self.config.removals_after_millis;
        self.outbox.change(Change::DelayRemovals { after_millis });
    }

    /// Something is gone, and not for long enough.
    pub(super) fn stays_for_a_time(&self, claim: &Claim) -> bool {
        let cut_short = planted(Planted::DelayCutShort) && claim.gone_since.is_some();
        self.due(self.gone_since(claim)) > self.now && !cut_short
    }

    /// Sets aside what is gone until its time is over.
    pub(super) fn keep_for_a_time(&mut self, path: RelPath, mut claim: Claim) {
        let since = self.gone_since(&claim);
        claim.gone_since = Some(since);
        let message = "gone at the source; it is removed once its time is over".to_owned();
        self.park(path, claim, Parked::Delayed, Some(self.due(since)), message);
    }

    /// The source has something at the path: if that goes, its time begins anew.
    pub(super) fn note_presence(&mut self, path: &RelPath, claim: &mut Claim) {
        if claim.gone_since.take().is_some() {
            let path = self.pending_path(path);
            self.outbox.change(Change::Gone { path, since: None });
        }
    }

    /// A person has all of it go now.
    pub(super) fn confirm_delayed(&mut self) {
        self.free_delayed(None);
    }

    /// Has what is due looked at again. It was kept on purpose, so it is pending from now on: what
    /// was claimed of the target before stays true.
    pub(super) fn end_delays(&mut self) {
        if self.delays_go_on().is_some_and(|next| next <= self.now) {
            self.free_delayed(Some(self.now));
            self.delays.ending = Some(self.outbox.gathering());
        }
    }

    pub(super) fn delay_deadline(&self) -> Option<Time> {
        self.delays_go_on()
    }

    /// When the next one is due, while such may be looked at.
    fn delays_go_on(&self) -> Option<Time> {
        let waits = self.stopping || self.paused || self.root.lost.is_some();
        self.summary.delayed_next.filter(|_| !waits && self.delays.ending.is_none())
    }

    fn free_delayed(&mut self, due_by: Option<Time>) {
        let (first_txid, seen) = (self.applied().next(), self.now);
        self.outbox.change(Change::EndDelays { due_by, first_txid, seen });
    }

    fn gone_since(&self, claim: &Claim) -> Time {
        let known = claim.gone_since.filter(|_| !planted(Planted::DelayBegunAnew));
        known.unwrap_or(self.now)
    }

    fn due(&self, since: Time) -> Time {
        since.plus_millis(self.config.removals_after_millis)
    }
}
