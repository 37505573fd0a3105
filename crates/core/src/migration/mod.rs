//! The migration as a state machine.
//!
//! How to read it: events ([`stream`]) and listings ([`pass`]) make paths pending; pending entries
//! are handed out by the ledger and worked on ([`work`]): a fresh look at the source decides between
//! bringing a file ([`bring`], [`copy`], [`relocate`]), removing ([`removal`]) and marking a
//! directory ([`marker`]). A claim ([`claim`]) keeps every target key to one writer. What leaves
//! the core goes through the [`outbox`], where effects wait for the changes that they rest on.

mod attempt;
mod barrier;
mod bring;
mod claim;
mod copy;
mod delay;
mod directory;
mod finish;
mod foreign;
mod gap;
mod group;
mod guard;
mod hot;
mod inventory;
mod marker;
mod outbox;
mod overload;
mod pace;
mod page;
mod pass;
mod progress;
mod relocate;
mod removal;
mod root;
mod side;
mod stale;
mod start;
mod stream;
mod work;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::budget::Budget;
use crate::config::Config;
use crate::effect::{Effect, Ticket};
use crate::failure::Failure;
use crate::input::{Examined, Input, Work};
use crate::number::{AttemptNumber, Epoch, Mark, Time, TxId};
use crate::path::RelPath;
use crate::record::{Attempt, Change, Lane, Meta, PendingSummary, Row};

pub use progress::Progress;
pub use root::lost_root;

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Looking at what stands under the target.
    Inventory,
    /// Looking at the root of the source.
    Rooting,
    /// Taking the position before the scan.
    Joining,
    /// Working on what is pending.
    Running,
    /// Over.
    Finished,
}

/// One migration from one source to one target. Drive it: feed every answer to `handle`, carry out
/// what `poll` gives until it gives nothing, and send `Input::Tick` at `next_deadline`.
#[derive(Debug)]
pub struct Migration {
    config: Config,
    now: Time,
    phase: Phase,
    outbox: outbox::Outbox,
    tickets: BTreeMap<Ticket, claim::Asked>,
    next_ticket: u64,
    marks: Mark,
    attempt_numbers: attempt::Numbers,
    epoch: Epoch,
    stream_epoch: Epoch,
    root: root::Root,
    position_retry_at: Option<Time>,
    scan_begun: bool,
    scanned: bool,
    /// What the scan has to come to is pending from this batch on.
    scan_marked_by: u64,
    inventory_cursor: Option<Bytes>,
    inventory_asked: bool,
    recount: inventory::Recount,
    claims: claim::Claims,
    /// Entries handed out and neither settled, set aside nor given back.
    works: usize,
    passes: BTreeMap<RelPath, pass::Pass>,
    /// Directories whose pass ended and that are looked at themselves next, and whether anything
    /// was met in them. What stands in them at the source may be out of scope: they are not gone
    /// through again for it.
    gone_through: BTreeMap<RelPath, bool>,
    queue: copy::CopyQueue,
    copies_in_flight: usize,
    barriers: barrier::Barriers,
    stream: stream::Stream,
    gap_open: bool,
    /// What is pending since a repair or an earlier run began at or before this transaction.
    repaired_to: TxId,
    /// The gap is another history.
    gap_forgets: bool,
    gap_waits: bool,
    doubts: BTreeSet<(Time, AttemptNumber, RelPath)>,
    spent_uploads: BTreeSet<AttemptNumber>,
    /// How often in a row the condition of a path's write did not hold.
    unexpected: BTreeMap<RelPath, u32>,
    hot: hot::HotPaths,
    set_aside_markers: group::SetAside,
    followed_markers: group::Followed,
    /// Opaque keys that something stood in the way of, where the target's directories are real.
    hindered: BTreeSet<RelPath>,
    /// Commit markers whose group is asked for again, and when.
    incomplete_groups: BTreeSet<(Time, RelPath)>,
    guard: guard::Guard,
    delays: delay::Delays,
    /// Why objects that stood there before wait for a person.
    foreign: Option<Failure>,
    /// Paths where a foreign object was told of in this run.
    foreign_told: BTreeSet<RelPath>,
    budget: Budget,
    source_side: side::SideState,
    target_side: side::SideState,
    summary: PendingSummary,
    fresh_summary: bool,
    drained: [bool; 3],
    taking: BTreeSet<Lane>,
    asked_last: Option<Lane>,
    /// The newest mark when entries were last asked for: what was marked since may reach further
    /// than the answer says (rule 1.6).
    taken_up_to: Mark,
    file_keys_matter: bool,
    coarsening: overload::Coarsening,
    /// Pages of all passes, so that none has the number of another: what a pass that was given up
    /// had begun ends while a later one goes through the same directory.
    pages_begun: u64,
    changes_seen: u64,
    stopping: bool,
    paused: bool,
}

impl Migration {
    /// A run that begins at `now` with what the ledger remembers: `attempts` are all whose end is
    /// not known.
    pub fn new(config: Config, meta: &Meta, attempts: Vec<Attempt>, now: Time) -> Self {
        let phase = if meta.inventory_done { Phase::Rooting } else { Phase::Inventory };
        let mut migration = Self {
            now,
            phase,
            outbox: outbox::Outbox::default(),
            tickets: BTreeMap::new(),
            next_ticket: 0,
            marks: meta.next_mark,
            attempt_numbers: attempt::Numbers::of(meta, now),
            epoch: meta.epoch,
            stream_epoch: Epoch(0),
            root: root::Root::pinned(meta.root_key),
            position_retry_at: None,
            scan_begun: meta.scan_begun,
            scanned: meta.scanned,
            scan_marked_by: 0,
            inventory_cursor: meta.inventory_cursor.clone(),
            inventory_asked: false,
            recount: inventory::Recount::of(meta, now),
            claims: claim::Claims::default(),
            works: 0,
            passes: BTreeMap::new(),
            gone_through: BTreeMap::new(),
            queue: copy::CopyQueue::default(),
            copies_in_flight: 0,
            barriers: barrier::Barriers::default(),
            stream: stream::Stream::after(meta.position),
            gap_open: false,
            repaired_to: meta.position.unwrap_or_default(),
            gap_forgets: false,
            gap_waits: false,
            doubts: BTreeSet::new(),
            spent_uploads: BTreeSet::new(),
            unexpected: BTreeMap::new(),
            hot: hot::HotPaths::new(),
            set_aside_markers: group::SetAside::default(),
            hindered: BTreeSet::new(),
            followed_markers: group::Followed::default(),
            incomplete_groups: BTreeSet::new(),
            guard: guard::Guard::default(),
            delays: delay::Delays::default(),
            foreign: None,
            foreign_told: BTreeSet::new(),
            budget: Budget::default(),
            source_side: side::SideState::default(),
            target_side: side::SideState::default(),
            summary: PendingSummary::default(),
            fresh_summary: false,
            drained: [false; 3],
            taking: BTreeSet::new(),
            asked_last: None,
            taken_up_to: Mark(0),
            file_keys_matter: meta.scanned,
            coarsening: overload::Coarsening::default(),
            pages_begun: 0,
            changes_seen: 0,
            stopping: false,
            paused: false,
            config,
        };
        migration.inherit(attempts);
        migration.begin_at_pace();
        if phase == Phase::Rooting {
            migration.look_at_root();
        }
        migration.advance();
        migration
    }

    /// Takes in what happened outside.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::Persisted { batch, summary } => self.persisted(batch, summary),
            Input::Taken { work, summary } => self.taken(work, summary),
            Input::Tick => {}
            Input::Stop => self.stopping = true,
            Input::Pause(paused) => self.paused = paused,
            Input::Confirm => self.confirm_guard(),
            Input::ConfirmDelayed => self.confirm_delayed(),
            Input::ListAgain(report) => self.list_again(report),
            Input::Busy { what, in_use } => self.asked_for_less(what, in_use),
            Input::Limit(ceilings) => self.limited(ceilings),
            Input::Timetable(timetable) => self.limited_by_timetable(timetable),
            Input::LocalTime(local_time) => self.clock_was_set(local_time),
            Input::UploadOpened { attempt, upload } => self.upload_opened(attempt, upload),
            Input::PartDone { attempt, part } => {
                self.outbox.change(Change::PartDone { number: attempt, part });
            }
            Input::Streamed { ticket, outcome } => self.streamed(ticket, outcome),
            Input::Position { ticket, outcome, difference } => match self.asked_by(ticket) {
                Some(claim::Asked::Barrier) => self.barrier_positioned(outcome),
                Some(claim::Asked::GapPosition) => self.gap_positioned(outcome, difference),
                Some(claim::Asked::Position) => self.start_positioned(outcome),
                Some(
                    claim::Asked::Claim(_)
                    | claim::Asked::Pass(_)
                    | claim::Asked::PassMarker(_)
                    | claim::Asked::Root
                    | claim::Asked::Poll
                    | claim::Asked::Inventory
                    | claim::Asked::Densest
                    | claim::Asked::Removals,
                )
                | None => {}
            },
            Input::Inventoried { ticket, outcome } => {
                if self.asked_by(ticket).is_some() {
                    self.inventoried(outcome);
                }
            }
            Input::Dense { ticket, directories } => {
                if self.asked_by(ticket).is_some() {
                    self.coarsen(directories);
                }
            }
            Input::RemovalsCounted { ticket, removals } => {
                if self.asked_by(ticket).is_some() {
                    self.judge_removals(removals);
                }
            }
            answer @ (Input::Listed { .. }
            | Input::Examined { .. }
            | Input::Checksummed { .. }
            | Input::Rows { .. }
            | Input::Group { .. }
            | Input::HintsChecked { .. }
            | Input::Written { .. }
            | Input::Removed { .. }
            | Input::Inspected { .. }) => self.answer(answer),
        }
        self.advance();
    }

    /// The next thing to be done outside. What all inputs since the last call changed is one batch.
    pub fn poll(&mut self) -> Option<Effect> {
        self.outbox.next().or_else(|| {
            self.outbox.flush();
            self.outbox.next()
        })
    }

    /// When `Input::Tick` is due at the latest, if nothing else happens before.
    pub fn next_deadline(&self) -> Option<Time> {
        if self.phase == Phase::Finished {
            return None;
        }
        [
            self.doubts.first().map(|(until, _, _)| *until),
            self.side_deadline(),
            self.barrier_deadline(),
            self.quiet_deadline(),
            self.incomplete_groups.first().map(|(at, _)| *at),
            self.guard_deadline(),
            self.delay_deadline(),
            self.root.retry_at,
            self.position_retry_at,
            self.summary.next_due.filter(|_| self.root.lost.is_none()),
            self.budget.next_rise(),
            self.budget.next_turn().map(|turn| turn.at),
        ]
        .into_iter()
        .flatten()
        .map(|deadline| deadline.max(self.now.plus_millis(10)))
        .min()
    }

    /// Answers about one path or directory.
    fn answer(&mut self, input: Input) {
        match input {
            Input::Listed { ticket, outcome } => {
                if let Some(claim::Asked::Pass(directory)) = self.asked_by(ticket) {
                    self.listed(directory, outcome);
                }
            }
            Input::Examined { ticket, outcome, renamed } => {
                self.answer_look(ticket, outcome, renamed);
            }
            Input::Checksummed { ticket, outcome } => {
                if let Some((path, claim)) = self.answered(ticket) {
                    self.checksummed(path, claim, outcome);
                }
            }
            Input::Rows { ticket, objects } => {
                if let Some((path, claim)) = self.answered(ticket) {
                    self.purge_objects(path, claim, objects);
                }
            }
            Input::Group { ticket, group } => {
                if let Some((path, claim)) = self.answered(ticket) {
                    self.grouped(path, claim, group);
                }
            }
            Input::HintsChecked { ticket, wait } => {
                if let Some((path, claim)) = self.answered(ticket) {
                    self.hints_checked(path, claim, wait);
                }
            }
            Input::Written { ticket, outcome } => {
                if let Some((path, claim)) = self.answered(ticket) {
                    self.written(path, claim, outcome);
                }
            }
            Input::Removed { ticket, outcomes } => {
                if let Some((path, claim)) = self.answered(ticket) {
                    self.removed(path, claim, outcomes);
                }
            }
            Input::Inspected { ticket, outcome } => {
                if let Some((path, claim)) = self.answered(ticket) {
                    self.inspected(path, claim, outcome);
                }
            }
            Input::Persisted { .. }
            | Input::Taken { .. }
            | Input::UploadOpened { .. }
            | Input::PartDone { .. }
            | Input::Inventoried { .. }
            | Input::Streamed { .. }
            | Input::Position { .. }
            | Input::Dense { .. }
            | Input::RemovalsCounted { .. }
            | Input::Busy { .. }
            | Input::Limit(_)
            | Input::Timetable(_)
            | Input::LocalTime(_)
            | Input::Tick
            | Input::Stop
            | Input::Pause(_)
            | Input::Confirm
            | Input::ConfirmDelayed
            | Input::ListAgain(_) => {}
        }
    }

    fn answer_look(&mut self, ticket: Ticket, outcome: Examined, renamed: Option<Row>) {
        if self.tickets.get(&ticket) == Some(&claim::Asked::Root) {
            self.asked_by(ticket);
            self.root_examined(outcome);
        } else if let Some(directory) = self.pass_marker_asked(ticket) {
            self.pass_marker_examined(directory, outcome);
        } else if let Some((path, claim)) = self.answered(ticket) {
            self.examined(path, claim, outcome, renamed);
        }
    }

    /// The directory about whose marker a pass asked so.
    fn pass_marker_asked(&mut self, ticket: Ticket) -> Option<RelPath> {
        let Some(claim::Asked::PassMarker(directory)) = self.tickets.get(&ticket) else {
            return None;
        };
        let directory = directory.clone();
        self.asked_by(ticket);
        Some(directory)
    }

    fn persisted(&mut self, batch: u64, summary: PendingSummary) {
        self.outbox.persisted(batch);
        while let Some((_, txid)) = self.stream.unsaved.pop_front_if(|(by, _)| *by <= batch) {
            self.stream.saved = Some(txid);
        }
        self.summary = summary;
        self.drained = [false; 3];
        self.guard_persisted(batch);
        self.delays.persisted(batch);
        self.fresh_summary = true;
        self.consider_scanned(batch);
    }

    fn taken(&mut self, work: Vec<Work>, summary: PendingSummary) {
        self.summary = summary;
        let Some(lane) = self.taking.first().copied() else { return };
        self.taking.remove(&lane);
        self.drained[lane as usize] = work.is_empty();
        // What waits for a commit marker that is worked on does not mark it once more: three that
        // wait for each other would never end.
        let (markers, others): (Vec<_>, Vec<_>) =
            work.into_iter().partition(|item| self.is_commit_marker(&item.pending.path));
        for item in markers.into_iter().chain(others) {
            self.begin_work(item);
        }
        self.claims.ended_while_taking.clear();
        self.claims.arrived_while_taking.clear();
    }

    /// True while entries are being handed out.
    fn taking(&self) -> bool {
        !self.taking.is_empty()
    }

    /// Does everything that can be done now.
    fn advance(&mut self) {
        if self.phase == Phase::Finished {
            return;
        }
        self.end_doubts();
        self.renew_pace();
        self.retry_start();
        match self.phase {
            Phase::Inventory => self.ask_inventory(),
            Phase::Running => {
                self.retry_gap();
                self.list_held();
                self.start_copies();
                self.reconsider_markers_in_time();
                self.ask_groups_again();
                self.take_work();
                self.ask_recount();
                self.ask_barrier();
                if self.config.live {
                    self.poll_stream();
                }
                self.consider_overload();
                self.end_delays();
                self.consider_removals();
            }
            Phase::Rooting | Phase::Joining | Phase::Finished => {}
        }
        self.consider_finish();
    }

    /// Asks for entries of every lane that has some, while there is room. One question at a time:
    /// an answer belongs to the lane asked last.
    fn take_work(&mut self) {
        if self.stopping || self.paused || self.taking() || self.root.lost.is_some() {
            return;
        }
        let due = self.summary.next_due.is_some_and(|due| due <= self.now);
        if due {
            self.drained = [false; 3];
            self.summary.next_due = None;
        }
        // In turn: live changes that come due all the time would leave no question to the others.
        // What each may take is a matter of room.
        let lanes = [Lane::Live, Lane::Backlog, Lane::Metadata];
        let first = self.asked_last.map_or(0, |lane| lane as usize + 1);
        for lane in (0..lanes.len()).map(|turn| lanes[(first + turn) % lanes.len()]) {
            let limit = self.room(lane);
            if limit > 0 && !self.drained[lane as usize] {
                self.taking.insert(lane);
                self.asked_last = Some(lane);
                self.drained[lane as usize] = true;
                self.taken_up_to = self.last_mark();
                self.outbox.send_after(Effect::Take { lane, limit, now: self.now });
                return;
            }
        }
    }

    /// Live changes leave a fifth to the backlog (rule 3.4).
    fn room(&self, lane: Lane) -> usize {
        let paths = self.works.saturating_sub(self.passes.len());
        let free = self.config.claims_max.saturating_sub(paths);
        match lane {
            Lane::Live => free.saturating_sub(self.config.claims_max / 5),
            Lane::Backlog => {
                let passes = self.passes.values().filter(|pass| pass.is_backlog()).count();
                self.config.passes_max.saturating_sub(passes).min(free)
            }
            Lane::Metadata if free > self.config.claims_max / 2 => 32,
            // Removals may wait for it, and commit markers that hold the claims for these.
            Lane::Metadata => free.min(1),
        }
    }
}

#[cfg(test)]
mod tests;
