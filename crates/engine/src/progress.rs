//! Where a run stands, claiming no more than is durable (section 10 of the rules).

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use whimbrel_core::budget::{Budget, Paced};
use whimbrel_core::migration::{Migration, Phase, Progress as Seen};
use whimbrel_core::number::Time;
use whimbrel_core::record::{Counters, PendingSummary};
use whimbrel_store::target::Target;

use crate::control::Allowed;
use crate::counts::Counts;
use crate::ledger_thread::{SharedSums, Sums};

/// Rates are means over this time.
const WINDOW: Duration = Duration::from_secs(10);

/// A moment's view of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Progress {
    /// `inventory`, `rooting`, `joining`, `running`, `finished`; and `awaiting_root` while another
    /// directory stands at the source's root, `awaiting_outcomes` while nothing is left to do but
    /// to wait for writes of unknown outcome.
    pub phase: &'static str,
    /// Sums over the whole migration, durable.
    pub counters: Counters,
    /// The same over this run.
    pub run: Counters,
    /// Pending entries that went from memory to the disk since the migration began: more was
    /// pending than memory holds.
    pub spilled: u64,
    /// Bytes on their way per second: read from the source to be copied, or sent to the target,
    /// whichever is more; mean of the last ten seconds.
    pub bytes_per_second: u64,
    /// Paths done per second, mean of the last ten seconds.
    pub paths_per_second: f64,
    /// Every change up to here is on the target, parked paths aside; `None` without a stream.
    pub as_of_txid: Option<u64>,
    /// Everything up to here is durably pending or done; `None` without a stream.
    pub applied_txid: Option<u64>,
    /// What happened at the source before this moment, in milliseconds since the Unix epoch, is
    /// pending or done; `None` without a stream, and until it is followed to its end.
    pub followed_ms: Option<u64>,
    /// Changes in scope that this run saw by then, whether counted durably yet or not.
    pub changes_followed: u64,
    /// Transactions at the source that are not on the target; `None` without a stream.
    pub lag_transactions: Option<u64>,
    /// Since how long something at the source is not on the target; 0 if nothing is missing.
    pub lag_seconds: f64,
    /// Seconds of edit history that the source keeps beyond what is applied, where it can tell.
    pub history_seconds: Option<u64>,
    /// Time left until nothing is pending, at the pace of the last ten seconds; `None` while the
    /// scan still finds more, or nothing moves.
    pub eta_seconds: Option<u64>,
    /// Entries that wait for a free hand: live changes, backlog, metadata.
    pub pending_live: u64,
    /// See above.
    pub pending_backlog: u64,
    /// See above.
    pub pending_metadata: u64,
    /// Files open at the source.
    pub files_open: u64,
    /// Paths that failed.
    pub failures: u64,
    /// Removals that a guard holds.
    pub guarded: u64,
    /// Paths gone at the source that stay on the target until their time is over: neither pending
    /// nor behind.
    pub removals_delayed: u64,
    /// When the time of the first of them is over, in milliseconds since the Unix epoch; `None` if
    /// there are none.
    pub removals_delayed_next_ms: Option<u64>,
    /// How long what is gone stays.
    pub removals_after_seconds: f64,
    /// The guard's bounds: removals wait for a person once more than so many objects, and more than
    /// the share below, went within an hour; `None`: never.
    pub removals_max: Option<u64>,
    /// Percent of all objects.
    pub removals_share_max_percent: Option<u64>,
    /// Writes whose end is not known: under way, or of unknown outcome.
    pub attempts: u64,
    /// Writes that ended without an answer, or with their process: a run does not end before each
    /// can take effect no longer and was looked at.
    pub unknown_outcomes: u64,
    /// How long the last of them may still take effect; `None` if there are none.
    pub unknown_outcomes_seconds_max: Option<f64>,
    /// Objects under the target that the source does not have.
    pub extras: u64,
    /// Objects that this migration wrote or adopted.
    pub objects: u64,
    /// Those of them that the scope does not cover any more: they stay as they are.
    pub out_of_scope: u64,
    /// Objects that carry older metadata than their files have; the ledger has the newer.
    pub metadata_ledger_only: u64,
    /// Copies, directory passes and paths being worked on.
    pub copies: usize,
    /// See above.
    pub passes: usize,
    /// See above.
    pub claims: usize,
    /// The first scan came to its end.
    pub scanned: bool,
    /// Paused by a person.
    pub paused: bool,
    /// Seconds since the source was lost; `None` while it answers.
    pub source_lost_seconds: Option<f64>,
    /// Seconds since another directory than the migrated one, or none, stands at the source's root;
    /// `None` while it is the right one.
    pub source_root_lost_seconds: Option<f64>,
    /// Seconds since the target was lost; `None` while it answers.
    pub target_lost_seconds: Option<f64>,
    /// It answers, and has no room.
    pub target_full: bool,
    /// Calls to the source's metadata service in this run.
    pub source_calls: u64,
    /// Those of them that listed a directory, or a page of one.
    pub source_listings: u64,
    /// Pages of directories that an image gave in place of a listing in this run.
    pub image_listings: u64,
    /// Pages of directories that another migration to another target listed in this run.
    pub shared_listings: u64,
    /// Bytes read from the source in this run.
    pub source_bytes: u64,
    /// Requests to the target in this run.
    pub target_requests: u64,
    /// Bytes sent to the target in this run.
    pub target_bytes: u64,
    /// The limits in force, per second; 0: none. Bytes, source calls, target requests.
    pub bandwidth_bytes: u64,
    /// What a timetable allows next, and when, since the Unix epoch; `None`: it stays as it is.
    pub bandwidth_next_bytes: Option<u64>,
    /// See above.
    pub bandwidth_next_ms: Option<u64>,
    /// See above.
    pub source_calls_max: u64,
    /// See above.
    pub target_requests_max: u64,
    /// What goes slower than that, for a side asked for less: so much per second.
    pub slowed: SlowedDown,
    /// Since the run began.
    pub elapsed_seconds: f64,
}

/// How fast a side is asked that asked for less (rule 9.2), per second; `None`: it did not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowedDown {
    /// Calls to the source's metadata service.
    pub source_calls: Option<u64>,
    /// Requests to the target.
    pub target_requests: Option<u64>,
    /// Those that concern keys of a prefix, the first component below the target's root; at most 64.
    pub prefixes: BTreeMap<String, u64>,
}

impl SlowedDown {
    fn of(budget: &Budget) -> Self {
        let mut all = Self::default();
        for (what, per_second) in budget.slowed() {
            match what {
                // Nobody asks for less of it.
                Paced::Bandwidth => {}
                Paced::SourceCalls => all.source_calls = Some(per_second),
                Paced::TargetRequests => all.target_requests = Some(per_second),
                Paced::Prefix(prefix) => {
                    let prefix = String::from_utf8_lossy(prefix).into_owned();
                    all.prefixes.insert(prefix, per_second);
                }
            }
        }
        all
    }
}

impl Progress {
    /// What people ordered holds from now on.
    pub(crate) fn obeys(&mut self, core: &Migration, allowed: Allowed) {
        let (seen, Allowed { now, next }) = (core.progress(), allowed);
        self.phase = phase_name(&seen);
        self.paused = seen.paused;
        self.bandwidth_bytes = now.bandwidth_bytes.unwrap_or_default();
        self.bandwidth_next_bytes = next.map(|turn| turn.bytes_per_second.unwrap_or_default());
        self.bandwidth_next_ms = next.map(|turn| turn.at.0);
        self.source_calls_max = now.source_calls.unwrap_or_default();
        self.target_requests_max = now.target_requests.unwrap_or_default();
    }
}

/// Reads what progress is made of.
pub(crate) struct Meter {
    sums: SharedSums,
    before: Counters,
    counts: Arc<Counts>,
    target: Arc<dyn Target>,
    /// What its server was tried out with.
    sent_before: u64,
    /// Seconds of history left plus one; 0: not known.
    pub(crate) history: Arc<AtomicU64>,
    /// Objects that the scope does not cover any more.
    pub(crate) out_of_scope: Arc<AtomicU64>,
    samples: VecDeque<Sample>,
}

#[derive(Clone, Copy)]
struct Sample {
    at: Duration,
    bytes_read: u64,
    bytes_sent: u64,
    paths: u64,
    source_calls: u64,
    target_requests: u64,
}

impl Meter {
    /// Counts from where `sums` stand now.
    pub(crate) fn new(sums: SharedSums, counts: Arc<Counts>, target: Arc<dyn Target>) -> Self {
        let before = sums.lock().unwrap_or_else(PoisonError::into_inner).counters;
        let (history, out_of_scope) = <(Arc<AtomicU64>, Arc<AtomicU64>)>::default();
        let samples = VecDeque::new();
        let sent_before = target.bytes_sent().unwrap_or_default();
        Self { sums, before, counts, target, sent_before, history, out_of_scope, samples }
    }

    pub(crate) fn read(
        &mut self,
        core: &Migration,
        now: Time,
        elapsed: Duration,
        allowed: Allowed,
    ) -> Progress {
        let Sums { counters, spilled } = *self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = core.progress();
        let since = |time: Time| now.millis_since(time) as f64 / 1000.0;
        let (bytes_per_second, paths_per_second) = self.rates(elapsed, &counters);
        let transactions = |txid: Option<whimbrel_core::number::TxId>| txid.map(|txid| txid.0);
        let as_of_txid = transactions(seen.as_of);
        let behind = |as_of: u64| seen.synced.0.saturating_sub(as_of);
        let mut progress = Progress {
            counters,
            run: difference(&counters, &self.before),
            spilled,
            bytes_per_second,
            paths_per_second,
            as_of_txid,
            applied_txid: transactions(seen.applied),
            followed_ms: seen.followed.map(|time| time.0),
            changes_followed: seen.changes_seen,
            lag_transactions: as_of_txid.or(transactions(seen.applied)).map(behind),
            lag_seconds: seen.behind_since.map_or(0.0, since),
            history_seconds: self.history.load(Ordering::Relaxed).checked_sub(1),
            eta_seconds: eta(seen.scanned, &seen.pending, paths_per_second),
            pending_live: seen.pending.lanes[0],
            pending_backlog: seen.pending.lanes[1],
            pending_metadata: seen.pending.lanes[2],
            files_open: seen.pending.open,
            failures: seen.pending.failed,
            guarded: seen.pending.guarded + seen.pending.foreign,
            removals_delayed: seen.pending.delayed,
            removals_delayed_next_ms: seen.pending.delayed_next.map(|time| time.0),
            removals_after_seconds: seen.removals_after_millis as f64 / 1000.0,
            removals_max: seen.removal_guard.count_max,
            removals_share_max_percent: seen.removal_guard.share_max_percent,
            attempts: seen.pending.attempts,
            unknown_outcomes: seen.doubts as u64,
            unknown_outcomes_seconds_max: seen
                .doubts_end
                .map(|end| end.millis_since(now) as f64 / 1000.0),
            extras: seen.pending.found,
            objects: seen.pending.rows,
            out_of_scope: self.out_of_scope.load(Ordering::Relaxed),
            metadata_ledger_only: seen.pending.ledger_only,
            copies: seen.copies,
            passes: seen.passes,
            claims: seen.claims,
            scanned: seen.scanned,
            source_lost_seconds: seen.source_lost.map(since),
            source_root_lost_seconds: seen.root_lost.map(since),
            target_lost_seconds: seen.target_lost.map(since),
            source_calls: self.counts.source_calls.get(),
            source_listings: self.counts.source_listings.get(),
            image_listings: self.counts.image_listings.get(),
            shared_listings: self.counts.shared_listings.get(),
            source_bytes: self.counts.source_bytes.get(),
            target_requests: self.counts.target_requests.get(),
            target_bytes: self.bytes_sent(),
            target_full: seen.target_full,
            slowed: SlowedDown::of(core.budget()),
            elapsed_seconds: elapsed.as_secs_f64(),
            ..Progress::default()
        };
        progress.obeys(core, allowed);
        progress
    }

    fn bytes_sent(&self) -> u64 {
        match self.target.bytes_sent() {
            Some(sent) => sent - self.sent_before,
            None => self.counts.target_bytes.get(),
        }
    }

    /// How much is asked of both sides: where they say that it is too much, they begin from there.
    fn measure_use(&self, now: &Sample) {
        let Some(last) = self.samples.back() else { return };
        let seconds = now.at.saturating_sub(last.at).as_secs_f64();
        if seconds == 0.0 {
            return;
        }
        let per_second = |sum: u64| (sum as f64 / seconds).ceil() as u64;
        self.counts.source_calls.measured(per_second(now.source_calls - last.source_calls));
        let requests = now.target_requests - last.target_requests;
        self.counts.target_requests.measured(per_second(requests));
    }

    fn rates(&mut self, at: Duration, counters: &Counters) -> (u64, f64) {
        let now = Sample {
            at,
            bytes_read: self.counts.copied_bytes.get(),
            bytes_sent: self.bytes_sent(),
            paths: done(counters),
            source_calls: self.counts.source_calls.get(),
            target_requests: self.counts.target_requests.get(),
        };
        self.measure_use(&now);
        self.samples.push_back(now);
        while self.samples.front().is_some_and(|first| at.saturating_sub(first.at) > WINDOW) {
            self.samples.pop_front();
        }
        let Some(first) = self.samples.front() else { return (0, 0.0) };
        let seconds = at.saturating_sub(first.at).as_secs_f64();
        if seconds == 0.0 {
            return (0, 0.0);
        }
        let per_second = |sum: u64| sum as f64 / seconds;
        let read = now.bytes_read - first.bytes_read;
        let sent = now.bytes_sent - first.bytes_sent;
        let bytes = per_second(read.max(sent)).round() as u64;
        (bytes, per_second(now.paths - first.paths))
    }
}

fn done(counters: &Counters) -> u64 {
    counters.files_copied
        + counters.files_relocated
        + counters.files_removed
        + counters.files_skipped
        + counters.metadata_updated
        + counters.markers_written
}

fn eta(scanned: bool, pending: &PendingSummary, paths_per_second: f64) -> Option<u64> {
    let left: u64 = pending.lanes.iter().sum();
    if left == 0 {
        return scanned.then_some(0);
    }
    (scanned && paths_per_second > 0.0).then(|| (left as f64 / paths_per_second).ceil() as u64)
}

fn phase_name(seen: &Seen) -> &'static str {
    let idle = seen.pending.lanes == [0; 3] && seen.claims == 0 && seen.passes == 0;
    match seen.phase {
        Phase::Inventory => "inventory",
        Phase::Rooting => "rooting",
        Phase::Joining => "joining",
        Phase::Running if seen.root_lost.is_some() => "awaiting_root",
        Phase::Running if idle && seen.doubts > 0 => "awaiting_outcomes",
        Phase::Running => "running",
        Phase::Finished => "finished",
    }
}

fn difference(now: &Counters, before: &Counters) -> Counters {
    Counters {
        files_scanned: now.files_scanned - before.files_scanned,
        files_copied: now.files_copied - before.files_copied,
        bytes_copied: now.bytes_copied - before.bytes_copied,
        files_replaced: now.files_replaced - before.files_replaced,
        files_relocated: now.files_relocated - before.files_relocated,
        files_removed: now.files_removed - before.files_removed,
        files_skipped: now.files_skipped - before.files_skipped,
        unverified: now.unverified - before.unverified,
        metadata_updated: now.metadata_updated - before.metadata_updated,
        markers_written: now.markers_written - before.markers_written,
        changes_seen: now.changes_seen - before.changes_seen,
        coarsened: now.coarsened - before.coarsened,
        gaps: now.gaps - before.gaps,
    }
}
