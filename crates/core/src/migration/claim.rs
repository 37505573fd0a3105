//! Claims: one writer per target key (rule 3.3). A claim begins when work on a path begins and
//! ends when its pending entry is settled, set aside or given back.

use std::collections::{BTreeMap, BTreeSet};

use super::Migration;
use super::hot::Prefix;
use super::removal::Purge;
use crate::effect::{Removal, Ticket};
use crate::entry::FileNode;
use crate::failure::Failure;
use crate::input::{Examined, Standing, Work};
use crate::number::{AttemptNumber, Epoch, Mark, Time, TxId};
use crate::path::RelPath;
use crate::planted::{Planted, planted};
use crate::record::{Attempt, Change, Found, Lane, LetGo, Parked, Reach, Row, Upload};

/// Work on one path.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) origin: Origin,
    pub(super) reach: Reach,
    pub(super) lane: Lane,
    pub(super) first: TxId,
    pub(super) last: TxId,
    pub(super) seen: Time,
    /// Marks up to this one are covered by what is read from now on (rule 1.6).
    pub(super) up_to: Mark,
    pub(super) tries: u32,
    /// Who let its removal go (rule 5.6).
    pub(super) let_go: Option<LetGo>,
    /// Nothing was found at the source since then (rule 5.7).
    pub(super) gone_since: Option<Time>,
    /// The history in which the source is read for it (rule 1.7).
    pub(super) epoch: Epoch,
    /// The source changed here since the claim began.
    pub(super) dirty: bool,
    pub(super) row: Option<Row>,
    pub(super) marker: Option<Row>,
    pub(super) rows_below: bool,
    /// A file of ours stands at this ancestor.
    pub(super) file_above: Option<RelPath>,
    pub(super) found: Option<Found>,
    /// It was looked at since the claim began (rule 4.4).
    pub(super) found_seen: bool,
    /// Foreign objects stand below, and the entry reaches them.
    pub(super) found_below: bool,
    pub(super) attempts: Vec<Attempt>,
    /// Commit markers that speak for the path, to be looked at before it changes.
    pub(super) commit_markers: Vec<Row>,
    pub(super) node: Option<FileNode>,
    pub(super) renamed: Option<Row>,
    pub(super) step: Step,
}

/// Who asked for the work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A pending entry of the path.
    Work,
    /// A file met on a page of a directory's listing.
    Page { directory: RelPath, page: u64 },
    /// One of many to be removed below a path.
    Purge,
}

/// How far the work is.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing is asked yet.
    Begun,
    /// What stands on the target after doubtful attempts (rule 4.1). The look is not older than
    /// `asked`: what could take effect then may have come after it.
    Inspecting { path: RelPath, asked: Time },
    /// What stands at the source.
    Examining,
    /// What stands at a commit marker that speaks for the path, of which this was seen.
    LookingAtMarker { seen: Examined, marker: Row },
    /// Whether a removal has to wait for a renamed destination (rule 6.2); `absent` if the source
    /// was looked at already.
    CheckingHints { absent: bool },
    /// Everything below is being removed.
    Purging(Purge),
    /// The path's own objects are being removed.
    Removing { then: AfterRemoval, keys: Vec<Removal> },
    /// Whether a commit marker's group is complete (rule 7.1).
    Grouping { asks: u32 },
    /// It was not, so many times; it is asked again in a moment.
    AwaitingGroup { asks: u32 },
    /// It is; whether the commit marker stands at the source as it was looked at before.
    LookingOnceMore { asks: u32 },
    /// The source's checksum is on its way.
    Checksumming(Proof),
    /// Waits for a free hand.
    Queued,
    /// Bytes are on their way.
    Copying { attempt: Attempt },
    /// Written; whether the source stood still meanwhile is to be told (rule 3.2).
    Confirming { attempt: Attempt, written: Copied },
    /// Staged, and the source moved: whether a hot file only grew is to be told (rule 3.4).
    Growing(Prefix),
    /// A staged upload is being completed.
    Completing { attempt: Attempt, as_of: TxId, crc32c: u32 },
    /// A copy within the target.
    Relocating { attempt: Attempt, from: Row },
    /// A directory marker is being written.
    WritingMarker { attempt: Attempt },
}

/// What a checksum is to prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The row's bytes are the source's.
    Renew,
    /// A foreign object's bytes are the source's.
    Adopt,
    /// A row elsewhere is of this file.
    Relocate,
}

/// What follows a removal.
#[derive(Debug)]
pub(super) enum AfterRemoval {
    /// Nothing: the path is gone.
    Settle,
    /// The path is looked at again at once.
    Again,
    /// The same, and the path's own file stays: what is in its way stands below.
    AgainWithFile,
    /// The path cannot be held.
    Park(Failure),
}

/// What a copy made.
#[derive(Debug)]
pub(super) enum Copied {
    /// An object, visible already.
    Object(Standing),
    /// An upload with all its parts, not visible.
    Staged { upload: Upload, crc32c: u32 },
}

/// Who waits for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Claim(RelPath),
    Pass(RelPath),
    /// A commit marker that speaks for a directory being gone through.
    PassMarker(RelPath),
    Root,
    Position,
    Barrier,
    GapPosition,
    Poll,
    Inventory,
    Densest,
    Removals,
}

/// An entry as it was handed out.
#[derive(Clone, Copy, Debug)]
struct HandedOut {
    up_to: Mark,
    tries: u32,
    waiting: bool,
}

/// Everything that is claimed, and what waits for it.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Apart from the tree's nodes: they are large, and come and go often.
    pub(super) held: BTreeMap<RelPath, Box<Claim>>,
    /// Old keys that a copy within the target reads from: nobody may change them meanwhile.
    pub(super) lent: BTreeSet<RelPath>,
    /// Commit markers that are being copied, or are about to be: they may become visible at any
    /// moment.
    pub(super) arriving_markers: BTreeSet<RelPath>,
    /// Commit markers whose writes were not heard of, and that nobody looked at since.
    pub(super) doubtful_markers: BTreeMap<AttemptNumber, RelPath>,
    /// Claimed commit markers that waited for their group before.
    pub(super) waiting_markers: BTreeSet<RelPath>,
    /// Commit markers for which others wait: stale ones go although the guard holds removals.
    pub(super) hastened_markers: BTreeSet<RelPath>,
    /// Entries handed out while their path was claimed: what is known of each.
    waiting: BTreeMap<RelPath, HandedOut>,
    /// Paths whose claim ended while entries were being handed out: what was handed out of them
    /// was joined with older rows.
    pub(super) ended_while_taking: BTreeSet<RelPath>,
    /// Commit markers that came to stand while entries were being handed out: what was handed out
    /// was joined without them.
    pub(super) arrived_while_taking: BTreeSet<RelPath>,
}

impl Claims {
    /// Takes a claim out, to go on with it.
    pub(super) fn take(&mut self, path: &RelPath) -> Option<Claim> {
        self.held.remove(path).map(|claim| *claim)
    }

    /// Somebody works on the path, or reads its object.
    pub(super) fn is_busy(&self, path: &RelPath) -> bool {
        self.held.contains_key(path) || self.lent.contains(path)
    }

    /// The claims at and under a path.
    pub(super) fn under<'a>(
        &'a self,
        path: &'a RelPath,
    ) -> impl Iterator<Item = (&'a RelPath, &'a Claim)> {
        let prefix = path.as_bytes();
        self.held
            .range(path.clone()..)
            .take_while(move |(held, _)| held.as_bytes().starts_with(prefix))
            .filter(move |(held, _)| path.contains(held))
            .map(|(held, claim)| (held, &**claim))
    }

    /// The same, to be changed.
    pub(super) fn under_mut<'a>(
        &'a mut self,
        path: &'a RelPath,
    ) -> impl Iterator<Item = (&'a RelPath, &'a mut Claim)> {
        let prefix = path.as_bytes();
        self.held
            .range_mut(path.clone()..)
            .take_while(move |(held, _)| held.as_bytes().starts_with(prefix))
            .filter(move |(held, _)| path.contains(held))
            .map(|(held, claim)| (held, &mut **claim))
    }
}

impl Claim {
    pub(super) fn of_work(work: &Work, up_to: Mark, epoch: Epoch) -> Self {
        let pending = &work.pending;
        Self {
            origin: Origin::Work,
            reach: pending.reach,
            lane: pending.lane,
            first: pending.first_txid,
            last: pending.last_txid,
            seen: pending.first_seen,
            up_to,
            tries: pending.tries,
            let_go: pending.let_go,
            gone_since: pending.gone_since,
            epoch,
            dirty: false,
            row: work.row.clone(),
            marker: work.marker.clone(),
            rows_below: work.rows_below,
            file_above: work.file_above.clone(),
            found: work.found.clone(),
            found_seen: false,
            found_below: work.found_below,
            attempts: work.attempts.clone(),
            commit_markers: work.commit_markers.clone(),
            node: None,
            renamed: None,
            step: Step::Begun,
        }
    }
}

impl Migration {
    /// Ties a question to who waits for its answer.
    pub(super) fn ask(&mut self, asked: Asked) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.tickets.insert(ticket, asked);
        ticket
    }

    /// The claim that waits for this answer, taken out of the table; put it back or end it.
    pub(super) fn answered(&mut self, ticket: Ticket) -> Option<(RelPath, Claim)> {
        match self.tickets.remove(&ticket) {
            Some(Asked::Claim(path)) => {
                let claim = self.claims.take(&path)?;
                Some((path, claim))
            }
            Some(other) => {
                self.tickets.insert(ticket, other);
                None
            }
            None => None,
        }
    }

    /// Somebody works on the path, reads its object, or goes through it: where no directory stands,
    /// that becomes work on the path.
    pub(super) fn is_busy(&self, path: &RelPath) -> bool {
        self.claims.is_busy(path) || self.passes.contains_key(path)
    }

    /// Keeps working on the path.
    pub(super) fn hold(&mut self, path: RelPath, claim: Claim) {
        self.claims.held.insert(path, Box::new(claim));
    }

    /// An entry was handed out while its path was busy: it is given back when the claim ends.
    pub(super) fn wait_for_claim(&mut self, work: &Work) {
        let pending = &work.pending;
        let (tries, waiting) = (pending.tries, pending.waiting);
        let handed_out = HandedOut { up_to: self.taken_up_to, tries, waiting };
        self.claims.waiting.insert(pending.path.clone(), handed_out);
    }

    /// The target equals the source here as of a transaction.
    pub(super) fn settle(&mut self, path: RelPath, claim: Claim, as_of: TxId) {
        if claim.dirty && !planted(Planted::SettledWithoutMark) {
            // What happened above may have been looked at before this path's row was there.
            self.again(path, claim, 0, false);
            return;
        }
        self.hot.remove(&path);
        self.unexpected.remove(&path);
        self.set_aside_markers.settled(&path);
        self.followed_markers.remove(&path);
        self.abandon_uploads(&claim);
        match &claim.origin {
            Origin::Work => {
                let up_to = claim.up_to;
                self.outbox.change(Change::Settle { path: path.clone(), up_to, as_of });
            }
            Origin::Page { .. } | Origin::Purge => {}
        }
        self.end_claim(path, claim);
    }

    /// The path stays pending and is looked at again after a while.
    pub(super) fn again(&mut self, path: RelPath, claim: Claim, millis: u64, waiting: bool) {
        let not_before = self.now.plus_millis(millis);
        match &claim.origin {
            Origin::Work => {
                self.outbox.change(Change::Defer {
                    path: path.clone(),
                    up_to: claim.up_to,
                    not_before,
                    tries: claim.tries,
                    waiting,
                });
            }
            Origin::Page { .. } | Origin::Purge => {
                let mark = self.mark(&path, Reach::Path, Lane::Live, claim.first, claim.last);
                if millis > 0 {
                    self.outbox.change(Change::Defer {
                        path: self.pending_path(&path),
                        up_to: mark,
                        not_before,
                        tries: claim.tries,
                        waiting,
                    });
                }
            }
        }
        self.end_claim(path, claim);
    }

    /// The path is set aside.
    pub(super) fn park(
        &mut self,
        path: RelPath,
        claim: Claim,
        reason: Parked,
        retry_at: Option<Time>,
        message: String,
    ) {
        self.hot.remove(&path);
        self.unexpected.remove(&path);
        if reason == Parked::Failed {
            // Nobody could look at it, and will not for a while: nothing waits for that.
            self.claims.doubtful_markers.retain(|_, marker| *marker != path);
        }
        self.abandon_uploads(&claim);
        let up_to = match &claim.origin {
            Origin::Work => claim.up_to,
            Origin::Page { .. } | Origin::Purge => {
                self.mark(&path, Reach::Path, Lane::Live, claim.first, claim.last)
            }
        };
        let pending = self.pending_path(&path);
        if let (Parked::Delayed, Some(since)) = (reason, claim.gone_since) {
            // Were the path made again, nobody else would look at what stood below it.
            let (path, below) = (pending.clone(), self.removes_below(&claim));
            self.outbox.change(Change::Gone { path, since, below });
        }
        self.outbox.change(Change::Park { path: pending, up_to, reason, retry_at, message });
        self.end_claim(path, claim);
    }

    fn end_claim(&mut self, path: RelPath, claim: Claim) {
        if self.taking() {
            self.claims.ended_while_taking.insert(path.clone());
        }
        if self.claims.arriving_markers.remove(&path) {
            self.note_arrived(&path);
        }
        self.claims.hastened_markers.remove(&path);
        self.claims.waiting_markers.remove(&path);
        self.freed(&path);
        self.note_row_changed(&path);
        match claim.origin {
            Origin::Work => self.works -= 1,
            Origin::Purge => {}
            Origin::Page { directory, page } => self.page_job_done(&directory, page),
        }
    }

    /// Gives back what waited for the path.
    pub(super) fn freed(&mut self, path: &RelPath) {
        if let Some(handed_out) = self.claims.waiting.remove(path) {
            let HandedOut { up_to, tries, waiting } = handed_out;
            let (path, not_before) = (path.clone(), self.now);
            self.outbox.change(Change::Defer { path, up_to, not_before, tries, waiting });
        }
    }

    /// Something happened at a path of the source: work that read it before has to look again.
    pub(super) fn touch(&mut self, path: &RelPath, subtree: bool) {
        if let Some(claim) = self.claims.held.get_mut(path) {
            claim.dirty = true;
        }
        if subtree {
            for (_, claim) in self.claims.under_mut(path) {
                claim.dirty = true;
            }
            self.followed_markers.remove_under(path);
        }
        self.touch_passes(path, subtree);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{changed, claim, migration_of};
    use super::*;
    use crate::config::Config;

    /// One that waits would have to be joined by what comes later.
    #[test]
    fn rule_1_6_what_a_page_met_is_only_marked_unless_it_has_to_wait() {
        let deferred = |origin: Origin, millis: u64| {
            let mut migration = migration_of(Config::default());
            let claim = Claim { origin, ..claim("d/a") };
            migration.again(RelPath::from("d/a"), claim, millis, false);
            let changes = changed(&mut migration);
            let count =
                |of: fn(&Change) -> bool| changes.iter().filter(|change| of(change)).count();
            let marks = count(|change| matches!(change, Change::Mark { .. }));
            (marks, count(|change| matches!(change, Change::Defer { .. })))
        };
        let page = || Origin::Page { directory: RelPath::from("d"), page: 0 };
        assert_eq!(deferred(page(), 0), (1, 0));
        assert_eq!(deferred(page(), 1), (1, 1));
        assert_eq!(deferred(Origin::Work, 0), (0, 1), "it is pending");
    }

    /// Nobody can say whether it landed: what it speaks for would wait without an end.
    #[test]
    fn rule_7_1_nothing_waits_for_a_marker_that_nobody_could_look_at() {
        let left = |reason: Parked| {
            let mut migration = migration_of(Config::default());
            for (number, marker) in [(1, "d/_SUCCESS"), (2, "e/_SUCCESS")] {
                let doubtful = RelPath::from(marker);
                migration.claims.doubtful_markers.insert(AttemptNumber(number), doubtful);
            }
            let at = "d/_SUCCESS";
            migration.park(RelPath::from(at), claim(at), reason, None, String::new());
            migration.claims.doubtful_markers.into_keys().map(|it| it.0).collect::<Vec<_>>()
        };
        assert_eq!(left(Parked::Failed), [2]);
        assert_eq!(left(Parked::Open), [1, 2]);
    }
}
