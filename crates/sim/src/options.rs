//! What one seed draws: sizes of the world, rates of its faults (swarm: each seed has its own
//! weather). Printed beside every failing seed.

use fastrand::Rng;
use whimbrel_core::budget::Ceilings;
use whimbrel_core::config::{Existing, Extras, RemovalGuard, RequestLifetime};
use whimbrel_core::number::Time;
use whimbrel_core::timetable::{LocalTime, Period, Timetable};

/// Whatever is late in the weather is over by then.
const LIFETIME_MILLIS: u64 = 5_001;
/// How long the source has to be quiet.
const QUIET_MILLIS: u64 = 1_000;
/// After how long a look at the stream is answered that has nothing to tell.
const POLL_MILLIS: u64 = 50;
/// Transactions that one look at the stream tells of, at most.
const POLL_BATCHES_MAX: usize = 19;
/// When every history begins.
pub const BEGIN: Time = Time(1_000_000);
/// More than any file of the program has.
const COPY_BYTES_MAX: u64 = 1 << 20;

/// The weather of one history.
#[derive(Clone, Debug)]
pub struct Options {
    /// Operations at the source.
    pub operations: u64,
    /// Names at each level; fewer make more collisions.
    pub names: usize,
    /// Depth of directories.
    pub depth: usize,
    /// Operations before the migration begins.
    pub head_start: u64,
    /// Percent of target requests that fail without effect.
    pub fail_percent: u8,
    /// Percent of target writes that take effect although their sender hears nothing.
    pub lost_reply_percent: u8,
    /// Percent of those whose effect comes late.
    pub late_percent: u8,
    /// Percent of source requests that fail.
    pub source_fail_percent: u8,
    /// Crashes.
    pub crashes: u32,
    /// Purges of the edit log.
    pub purges: u32,
    /// Entries of a listing's page.
    pub page_entries: usize,
    /// Pending entries before they are coarsened.
    pub pending_max: u64,
    /// Files from so many bytes on are uploaded in parts.
    pub multipart_bytes: u64,
    /// Milliseconds that an effect takes at most.
    pub latency_max: u64,
    /// Milliseconds that the ledger takes at most, to act and to answer.
    pub ledger_latency_max: u64,
    /// How long the source has to be quiet.
    pub quiet_millis: u64,
    /// After how long a look at the stream is answered that has nothing to tell.
    pub poll_millis: u64,
    /// Transactions that one look at the stream tells of, at most.
    pub poll_batches_max: usize,
    /// How long a request may take effect that was not answered.
    pub request_lifetime: RequestLifetime,
    /// Larger objects are not copied within the target.
    pub copy_bytes_max: u64,
    /// Follow the stream.
    pub live: bool,
    /// Percent of operations that are a whole job: files, then `_SUCCESS`.
    pub job_percent: u8,
    /// Objects that stand on the target before the run.
    pub found: u32,
    /// What is done with those at keys of the source.
    pub existing: Existing,
    /// What is done with the others.
    pub extras: Extras,
    /// Objects of another migration are taken over.
    pub adopt: bool,
    /// Times that the root is renamed away and back.
    pub root_moves: u32,
    /// Times that an older state of the source is restored.
    pub restores: u32,
    /// Times that the run is stopped in order and begun again.
    pub stops: u32,
    /// When removals wait for a person.
    pub removal_guard: RemovalGuard,
    /// How long what is gone at the source stays on the target.
    pub removals_after_millis: u64,
    /// A history is not over before all of that is removed.
    pub outlasts_delays: bool,
    /// A person confirms when a run ended for it.
    pub asks_a_person: bool,
    /// Times that a person confirms whatever is held besides.
    pub confirmations: u32,
    /// The target minds what is expected to stand at a key.
    pub conditions: bool,
    /// Times that somebody else writes to the target, or removes something there.
    pub intrusions: u32,
    /// What a person allows from the start of each run.
    pub ceilings: Ceilings,
    /// What else a person allows on the way.
    pub limits: Vec<Ceilings>,
    /// How many bytes a person allows when, from the start of each run.
    pub timetable: Option<Timetable>,
    /// The clock by which that goes.
    pub local_time: LocalTime,
    /// Requests per second that a prefix of the target can take; `None`: any number.
    pub target_capacity: Option<u64>,
    /// Calls per second that the source can take.
    pub source_capacity: Option<u64>,
    /// The source tells after a gap what changed since a snapshot of it.
    pub snapshots: Snapshots,
    /// The migration begins with an image of the source, of half of the head start; not drawn.
    pub images: bool,
    /// Every fourth page of a listing takes so many times as long as another answer.
    pub slow_pages: u64,
    /// Transactions after which the snapshot is renewed that such a difference begins with.
    pub base_transactions: u64,
    /// Purges besides, that do not come at the begin.
    pub late_purges: u32,
    /// Operations that happen at once before each purge: nobody tells of them.
    pub unheard: u64,
    /// Milliseconds at most after which an older state is restored.
    pub restored_after_max: u64,
    /// What was done since a state that is restored is done once more, or a part of it.
    pub does_again: bool,
}

/// How snapshots of the source are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshots {
    /// Not at all.
    None,
    /// What they tell is listed first, then everything.
    First,
    /// Nothing else is listed.
    Only,
}

impl Options {
    /// Draws the weather.
    pub fn draw(rng: &mut Rng) -> Self {
        let calm = rng.u8(..4) == 0;
        let pending_max = if rng.u8(..4) == 0 { rng.u64(2..12) } else { 1_000 };
        let percent = |rng: &mut Rng, max: u8| if calm { 0 } else { rng.u8(..=max) };
        let (removal_guard, confirmations) = Self::draw_guard(rng);
        let (conditions, intrusions) = Self::draw_foreign_writer(rng);
        let (ceilings, limits) = Self::draw_limits(rng);
        let (timetable, local_time) = Self::draw_timetable(rng);
        let (target_capacity, source_capacity) = Self::draw_capacities(rng);
        let (snapshots, base_transactions, late_purges) = Self::draw_snapshots(rng);
        let unheard = Self::draw_unheard(rng);
        let (restored_after_max, does_again) = Self::draw_restores(rng);
        Self {
            operations: rng.u64(4..120),
            names: rng.usize(2..5),
            depth: rng.usize(1..4),
            head_start: rng.u64(..60),
            fail_percent: percent(rng, 30),
            lost_reply_percent: percent(rng, 20),
            late_percent: rng.u8(..=100),
            source_fail_percent: percent(rng, 15),
            crashes: if calm { 0 } else { rng.u32(..4) },
            purges: if rng.u8(..4) == 0 { rng.u32(1..3) } else { 0 },
            page_entries: rng.usize(1..4),
            pending_max,
            multipart_bytes: rng.u64(1..40),
            latency_max: rng.u64(2..200),
            ledger_latency_max: if rng.u8(..4) == 0 { rng.u64(4..80) } else { rng.u64(1..4) },
            quiet_millis: QUIET_MILLIS,
            poll_millis: POLL_MILLIS,
            poll_batches_max: POLL_BATCHES_MAX,
            request_lifetime: RequestLifetime::fixed(LIFETIME_MILLIS),
            copy_bytes_max: COPY_BYTES_MAX,
            live: rng.u8(..8) != 0,
            job_percent: if rng.bool() { rng.u8(..30) } else { 0 },
            found: if rng.u8(..3) == 0 { rng.u32(1..12) } else { 0 },
            existing: if rng.bool() { Existing::Check } else { Existing::Replace },
            extras: if rng.bool() { Extras::Keep } else { Extras::Remove },
            adopt: true,
            root_moves: if rng.u8(..5) == 0 { rng.u32(1..3) } else { 0 },
            restores: if rng.u8(..5) == 0 { 1 } else { 0 },
            stops: if rng.u8(..3) == 0 { rng.u32(1..3) } else { 0 },
            removal_guard,
            removals_after_millis: Self::draw_delay(rng),
            outlasts_delays: true,
            asks_a_person: removal_guard != RemovalGuard::default() || intrusions > 0,
            confirmations,
            conditions,
            intrusions,
            ceilings,
            limits,
            timetable,
            local_time,
            target_capacity,
            source_capacity,
            snapshots,
            images: false,
            slow_pages: Self::draw_slow_pages(rng),
            base_transactions,
            late_purges,
            unheard,
            restored_after_max,
            does_again,
        }
    }

    /// By numbers of its own, so that older seeds still name their histories.
    fn draw_guard(rng: &Rng) -> (RemovalGuard, u32) {
        let mut rng = Rng::with_seed(!rng.get_seed());
        if rng.u8(..4) > 0 {
            return (RemovalGuard::default(), 0);
        }
        let (count_max, share_max_percent) = (Some(rng.u64(..4)), Some(rng.u64(10..70)));
        let guard = RemovalGuard { count_max, share_max_percent };
        (guard, rng.u32(..3))
    }

    /// The same. Some of it is over while the history lasts, and some long after it.
    fn draw_delay(rng: &Rng) -> u64 {
        let mut rng = Rng::with_seed(rng.get_seed().rotate_left(59));
        if rng.u8(..8) > 0 {
            return 0;
        }
        let longest = [1_000, 20_000, 600_000][rng.usize(..3)];
        rng.u64(1..longest)
    }

    /// The same.
    fn draw_foreign_writer(rng: &Rng) -> (bool, u32) {
        let mut rng = Rng::with_seed(rng.get_seed().rotate_left(17));
        let intrusions = if rng.u8(..3) == 0 { rng.u32(1..8) } else { 0 };
        (rng.u8(..4) > 0, intrusions)
    }

    /// The same.
    fn draw_limits(rng: &Rng) -> (Ceilings, Vec<Ceilings>) {
        let mut rng = Rng::with_seed(rng.get_seed().rotate_left(37));
        if rng.u8(..5) > 0 {
            return <(Ceilings, Vec<Ceilings>)>::default();
        }
        let mut draw = || {
            let mut below = |max: u64| rng.bool().then(|| rng.u64(max / 10..max));
            Ceilings {
                bandwidth_bytes: below(2_000),
                source_calls: below(400),
                target_requests: below(200),
            }
        };
        (draw(), vec![draw(), draw()])
    }

    /// The same. A history is over within minutes: the clock is set often, and far.
    fn draw_timetable(rng: &Rng) -> (Option<Timetable>, LocalTime) {
        let mut rng = Rng::with_seed(rng.get_seed().rotate_left(53));
        if rng.u8(..6) > 0 {
            return (None, LocalTime::default());
        }
        let mut rate = || rng.bool().then(|| rng.u64(200..2_000));
        let half_day = |number: u16| (number * 720, number * 720 + 720);
        let periods = (0..14).map(half_day).map(|(from_minute, to_minute)| Period {
            from_minute,
            to_minute,
            bytes_per_second: rate(),
        });
        let timetable = Timetable::new(periods.collect(), None).ok();
        let mut ahead = || rng.i64(-84..84) * 7_200_000;
        let first = ahead();
        let shifts: Vec<i64> = (0..8).map(|_| ahead()).collect();
        let mut at = BEGIN;
        let shifts = shifts.into_iter().map(|ahead| {
            at = at.plus_millis(rng.u64(50..2_000));
            (at, ahead)
        });
        (timetable, LocalTime::new(first, shifts.collect()))
    }

    /// The same.
    fn draw_capacities(rng: &Rng) -> (Option<u64>, Option<u64>) {
        let mut rng = Rng::with_seed(rng.get_seed().rotate_left(47));
        if rng.u8(..5) > 0 {
            return (None, None);
        }
        (Some(rng.u64(2..30)), rng.bool().then(|| rng.u64(10..80)))
    }

    /// The same.
    fn draw_snapshots(rng: &Rng) -> (Snapshots, u64, u32) {
        let mut rng = Rng::with_seed(rng.get_seed().rotate_left(31));
        match rng.u8(..4) {
            0 => (Snapshots::First, 12, 0),
            // They are of use after a gap alone, and it costs little then.
            1 | 2 => (Snapshots::Only, rng.u64(12..60), rng.u32(1..4)),
            _ => (Snapshots::None, 12, 0),
        }
    }

    /// The same. The page of a large directory takes long, and more happens meanwhile.
    fn draw_slow_pages(rng: &Rng) -> u64 {
        let mut rng = Rng::with_seed(rng.get_seed().rotate_left(19));
        if rng.bool() { 16 } else { 1 }
    }

    /// The same. What goes unheard is mostly more than one thing.
    fn draw_unheard(rng: &Rng) -> u64 {
        let mut rng = Rng::with_seed(rng.get_seed().rotate_left(11));
        if rng.bool() { rng.u64(1..12) } else { 0 }
    }

    /// The same. A job whose source was set back is begun again, and takes the same steps.
    fn draw_restores(rng: &Rng) -> (u64, bool) {
        let mut rng = Rng::with_seed(rng.get_seed().rotate_left(43));
        (if rng.bool() { 20_000 } else { 2_000 }, rng.bool())
    }

    /// No history is calm that is to die around an effect that ends in a certain way.
    pub fn rougher(self) -> Self {
        Self {
            fail_percent: self.fail_percent.max(8),
            lost_reply_percent: self.lost_reply_percent.max(12),
            late_percent: self.late_percent.clamp(25, 75),
            source_fail_percent: self.source_fail_percent.max(5),
            ..self
        }
    }

    /// No weather at all: for histories that are written down.
    pub fn still() -> Self {
        Self {
            operations: 0,
            names: 2,
            depth: 1,
            head_start: 0,
            fail_percent: 0,
            lost_reply_percent: 0,
            late_percent: 0,
            source_fail_percent: 0,
            crashes: 0,
            purges: 0,
            page_entries: 2,
            pending_max: 1_000,
            multipart_bytes: 1_000_000,
            latency_max: 2,
            ledger_latency_max: 4,
            quiet_millis: QUIET_MILLIS,
            poll_millis: POLL_MILLIS,
            poll_batches_max: POLL_BATCHES_MAX,
            request_lifetime: RequestLifetime::fixed(LIFETIME_MILLIS),
            copy_bytes_max: COPY_BYTES_MAX,
            live: true,
            job_percent: 0,
            found: 0,
            existing: Existing::Check,
            extras: Extras::Keep,
            adopt: false,
            root_moves: 0,
            restores: 0,
            stops: 0,
            removal_guard: RemovalGuard::default(),
            removals_after_millis: 0,
            outlasts_delays: false,
            asks_a_person: false,
            confirmations: 0,
            snapshots: Snapshots::None,
            images: false,
            slow_pages: 1,
            base_transactions: 12,
            late_purges: 0,
            unheard: 0,
            restored_after_max: 2_000,
            does_again: false,
            // Conditions would spare most histories what they are told for.
            conditions: false,
            intrusions: 0,
            ceilings: Ceilings::default(),
            limits: Vec::new(),
            timetable: None,
            local_time: LocalTime::default(),
            target_capacity: None,
            source_capacity: None,
        }
    }
}
