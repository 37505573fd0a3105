//! How fast the simulated engine goes, what both sides can take, and what has to be true of the
//! paces that the core hands out (rule 9.2).

use std::collections::BTreeMap;

use bytes::Bytes;
use whimbrel_core::budget::{Ceilings, Pace, Paced, prefix_of};
use whimbrel_core::effect::Effect;
use whimbrel_core::failure::{Failure, FailureKind, Side};
use whimbrel_core::input::{Input, Written};
use whimbrel_core::number::Time;
use whimbrel_core::path::RelPath;
use whimbrel_core::timetable::{LocalTime, Timetable};

use super::{Happening, Run, unavailable};
use crate::coverage::Fault;
use crate::options::Options;

const SECOND_MILLIS: u64 = 1_000;
const SECOND_MICROS: u64 = 1_000_000;
/// A quiet second gives back one part of so many of what a person allows.
const RISES: u64 = 50;
/// A deadline is met so late.
const LATE_MILLIS: u64 = 10;

/// The paces of one run, and what was asked in it.
#[derive(Debug, Default)]
pub(super) struct Paces {
    /// What a person allows.
    allowed: Ceilings,
    /// The same of bytes, in place of what stands there.
    timetable: Option<Timetable>,
    local_time: LocalTime,
    held: BTreeMap<Paced, Held>,
    /// How much each was asked, in which second.
    asked: BTreeMap<Paced, Asked>,
    /// The side just asked for less of this: it may go so fast now.
    owed: Option<(Paced, u64)>,
    /// Answers that said so, of a second that began then.
    refused: BTreeMap<Paced, (Time, u64)>,
}

/// Something with a pace.
#[derive(Clone, Copy, Debug)]
struct Held {
    per_second: u64,
    /// The next may leave then, in microseconds.
    free_at: u64,
    /// When it was slowed down last, and how far.
    lowered: Option<(Time, u64)>,
    /// Nobody asked for less since.
    quiet_since: Time,
}

#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    second: u64,
    now: u64,
    before: u64,
}

impl Asked {
    /// Counts one more; answers how many there were in this second.
    fn add(&mut self, at: Time) -> u64 {
        let second = at.0 / SECOND_MILLIS;
        if second > self.second {
            self.before = if second == self.second + 1 { self.now } else { 0 };
            (self.second, self.now) = (second, 0);
        }
        self.now += 1;
        self.now
    }
}

impl Paces {
    pub(super) fn begin(options: &Options) -> Self {
        Self {
            allowed: options.ceilings,
            timetable: options.timetable.clone(),
            local_time: options.local_time.clone(),
            ..Self::default()
        }
    }

    pub(super) fn of(&self, what: &Paced) -> Option<u64> {
        self.held.get(what).map(|held| held.per_second)
    }

    /// A person allows another pace; what is quiet by now rises by other steps.
    fn allow(&mut self, allowed: Ceilings, now: Time) {
        self.allowed = allowed;
        for held in self.held.values_mut() {
            held.quiet_since = now;
            held.lowered = held.lowered.map(|(at, _)| (at, held.per_second));
        }
    }

    /// As the core has it from now on.
    fn set(&mut self, pace: Pace, now: Time) -> Option<String> {
        let Some(per_second) = pace.per_second else {
            self.held.remove(&pace.what);
            return None;
        };
        if per_second == 0 {
            return Some(format!("{:?} may not go at all", pace.what));
        }
        let new = Held { per_second, free_at: 0, lowered: None, quiet_since: now };
        let held = self.held.entry(pace.what).or_insert(new);
        held.per_second = per_second;
        None
    }

    /// A side asks for less of this, which `in_use` was asked in a second. One answer in ten of a
    /// second has to say so.
    fn lower(&mut self, what: &Paced, in_use: u64, now: Time) {
        let asked = self.of(what).map_or(in_use, |pace| pace.min(in_use));
        let (since, answers) = self.refused.entry(what.clone()).or_insert((now, 0));
        if now.millis_since(*since) >= SECOND_MILLIS {
            (*since, *answers) = (now, 0);
        }
        *answers += 1;
        if *answers * 10 < asked {
            return;
        }
        let most = match self.held.get(what) {
            Some(Held { per_second, lowered: Some((at, _)), .. })
                if now.millis_since(*at) < SECOND_MILLIS =>
            {
                *per_second
            }
            Some(Held { per_second, .. }) => per_second / 2,
            None => in_use / 2,
        };
        self.owed = Some((what.clone(), most.max(1)));
    }

    /// Whoever asked for less is heeded; otherwise, what is wrong.
    fn heeded(&mut self, now: Time) -> Option<String> {
        let (what, most) = self.owed.take()?;
        let Some(held) = self.held.get_mut(&what).filter(|held| held.per_second <= most) else {
            return Some(format!("{what:?} asks for less, and may go faster than {most}/s"));
        };
        let at = match held.lowered {
            Some((at, _)) if now.millis_since(at) < SECOND_MILLIS => at,
            Some(_) | None => now,
        };
        held.lowered = Some((at, held.per_second));
        held.quiet_since = now;
        None
    }

    /// Nothing goes faster than a person allows, and what is quiet rises.
    fn wrong(&self, now: Time, ended: bool) -> Option<String> {
        let whole = [Paced::Bandwidth, Paced::SourceCalls, Paced::TargetRequests];
        let bandwidth_bytes = match &self.timetable {
            None => self.allowed.bandwidth_bytes,
            Some(timetable) => {
                let has = self.of(&Paced::Bandwidth);
                let late = Time(now.0.saturating_sub(LATE_MILLIS));
                let says = [late, now].map(|at| timetable.at(&self.local_time, at));
                // A run that has ended waits for no turn.
                if !ended && !says.contains(&has) {
                    return Some(format!("{has:?} bytes/s, and the timetable says {says:?}"));
                }
                has
            }
        };
        let allowed = Ceilings { bandwidth_bytes, ..self.allowed };
        let free = |what: &&Paced| allowed.of(what).is_some() && self.of(what).is_none();
        if let Some(what) = whole.iter().find(free) {
            return Some(format!("{what:?} has no pace, and {allowed:?} is allowed"));
        }
        self.held.iter().find_map(|(what, held)| {
            let ceiling = allowed.of(what);
            let rate = held.per_second;
            if let Some(ceiling) = ceiling.filter(|ceiling| rate > *ceiling) {
                return Some(format!("{what:?} may go {rate}/s, and {ceiling}/s are allowed"));
            }
            let (_, low) = held.lowered?;
            let seconds = (now.millis_since(held.quiet_since) / SECOND_MILLIS).saturating_sub(1);
            let risen = low + seconds * ceiling.map_or(1, |ceiling| (ceiling / RISES).max(1));
            let risen = ceiling.map_or(risen, |ceiling| risen.min(ceiling));
            (rate < risen).then(|| format!("{what:?} goes {rate}/s after {seconds} quiet seconds"))
        })
    }

    /// When an effect leaves that would leave after so many milliseconds.
    fn delay(&mut self, now: Time, millis: u64, effect: &Effect) -> u64 {
        let wanted = (now.0 + millis) * 1_000;
        let mut at = wanted;
        for (what, amount) in spent(effect) {
            if let Some(held) = self.held.get_mut(&what) {
                at = at.max(held.free_at);
                held.free_at = at + amount * SECOND_MICROS / held.per_second;
            }
        }
        millis + (at - wanted).div_ceil(1_000)
    }
}

/// What an effect takes of which budget. The stream is never slowed down.
fn spent(effect: &Effect) -> Vec<(Paced, u64)> {
    match effect {
        Effect::List { .. } | Effect::Examine { .. } => vec![(Paced::SourceCalls, 1)],
        Effect::Copy(job) => {
            let mut spent = requests(&job.path);
            spent.push((Paced::Bandwidth, job.node.identity.length()));
            spent
        }
        Effect::Complete { path, .. }
        | Effect::Abort { path, .. }
        | Effect::Relocate { path, .. }
        | Effect::PutMarker { path, .. }
        | Effect::Inspect { path, .. } => requests(path),
        Effect::Remove { items, .. } => {
            items.first().map(|first| requests(&first.path)).unwrap_or_default()
        }
        Effect::Inventory { .. } => vec![(Paced::TargetRequests, 1)],
        Effect::Persist { .. }
        | Effect::Take { .. }
        | Effect::Rows { .. }
        | Effect::Group { .. }
        | Effect::CheckHints { .. }
        | Effect::CountRemovals { .. }
        | Effect::Densest { .. }
        | Effect::Checksum { .. }
        | Effect::Poll { .. }
        | Effect::Position { .. }
        | Effect::Pace(_)
        | Effect::Report(_)
        | Effect::Finish(_) => Vec::new(),
    }
}

fn requests(path: &RelPath) -> Vec<(Paced, u64)> {
    let prefix = Bytes::copy_from_slice(prefix_of(path.as_bytes()));
    vec![(Paced::Prefix(prefix), 1), (Paced::TargetRequests, 1)]
}

pub(super) fn throttled(side: Side) -> Failure {
    Failure { kind: FailureKind::Throttled, ..unavailable(side) }
}

impl Run {
    /// How fast something may go now; `None`: as fast as it goes.
    pub fn pace(&self, what: &Paced) -> Option<u64> {
        self.paces.of(what)
    }

    /// A person allows another pace.
    pub fn limit(&mut self, ceilings: Ceilings) {
        self.paces.allow(ceilings, self.now);
        self.core.handle(self.now, Input::Limit(ceilings));
    }

    /// A person allows as many bytes as a timetable says, or no more.
    pub fn limit_by(&mut self, timetable: Option<Timetable>) {
        self.paces.timetable = timetable.clone();
        self.paces.allowed.bandwidth_bytes = self.paces.of(&Paced::Bandwidth);
        self.core.handle(self.now, Input::Timetable(timetable));
    }

    /// The clock on the wall is set.
    pub fn set_clock(&mut self, local_time: LocalTime) {
        self.paces.local_time = local_time.clone();
        self.core.handle(self.now, Input::LocalTime(local_time));
    }

    pub(super) fn take_pace(&mut self, pace: Pace) {
        let wrong = self.paces.set(pace, self.now);
        self.problem = self.problem.take().or(wrong);
    }

    /// An effect is carried out when its turn comes.
    pub(super) fn leave(&mut self, effect: Effect) {
        let millis = self.latency();
        let millis = self.paces.delay(self.now, millis, &effect);
        self.at(millis, Happening::Carry(effect));
    }

    /// A side asks for less.
    pub(super) fn busy(&mut self, what: Paced, in_use: u64) {
        self.paces.lower(&what, in_use, self.now);
        self.core.handle(self.now, Input::Busy { what, in_use });
    }

    /// Looks at the paces once all effects are taken.
    pub(super) fn examine_pace(&mut self) {
        let ended = self.core.next_deadline().is_none();
        let wrong = self.paces.heeded(self.now);
        let wrong = wrong.or_else(|| self.paces.wrong(self.now, ended));
        self.problem = self.problem.take().or(wrong);
    }

    /// The source is asked more than it can take, and says so.
    pub(super) fn source_is_busy(&mut self) -> bool {
        let Some(capacity) = self.options.source_capacity else { return false };
        let asked = self.paces.asked.entry(Paced::SourceCalls).or_default();
        let count = asked.add(self.now);
        if count <= capacity {
            return false;
        }
        let in_use = asked.now.max(asked.before);
        self.coverage.ends(Fault::Failed);
        self.at(0, Happening::Busy(Paced::SourceCalls, in_use));
        true
    }

    /// A prefix of the target is asked more than it can take: the effect is answered with that.
    pub(super) fn target_is_busy(&mut self, effect: &Effect) -> bool {
        let Some(capacity) = self.options.target_capacity else { return false };
        let (answer, at) = match effect {
            Effect::Copy(job) => (written(job.ticket), &job.path),
            Effect::Complete { ticket, path, .. }
            | Effect::Relocate { ticket, path, .. }
            | Effect::PutMarker { ticket, path, .. } => (written(*ticket), path),
            Effect::Remove { ticket, items } => {
                let failed = || Written::Failed(throttled(Side::Target));
                let outcomes = items.iter().map(|_| failed()).collect();
                let Some(first) = items.first() else { return false };
                (Input::Removed { ticket: *ticket, outcomes }, &first.path)
            }
            Effect::Inspect { ticket, path } => {
                let outcome = Err(throttled(Side::Target));
                (Input::Inspected { ticket: *ticket, outcome }, path)
            }
            Effect::Persist { .. }
            | Effect::Take { .. }
            | Effect::Rows { .. }
            | Effect::Group { .. }
            | Effect::CheckHints { .. }
            | Effect::CountRemovals { .. }
            | Effect::Densest { .. }
            | Effect::List { .. }
            | Effect::Examine { .. }
            | Effect::Checksum { .. }
            | Effect::Abort { .. }
            | Effect::Inventory { .. }
            | Effect::Poll { .. }
            | Effect::Position { .. }
            | Effect::Pace(_)
            | Effect::Report(_)
            | Effect::Finish(_) => return false,
        };
        let all = self.paces.asked.entry(Paced::TargetRequests).or_default();
        all.add(self.now);
        let in_use = all.now.max(all.before);
        let prefix = Paced::Prefix(Bytes::copy_from_slice(prefix_of(at.as_bytes())));
        let count = self.paces.asked.entry(prefix.clone()).or_default().add(self.now);
        if count <= capacity {
            return false;
        }
        self.coverage.ends(Fault::Failed);
        let millis = self.latency();
        self.at(millis, Happening::Busy(prefix, in_use));
        self.at(millis, Happening::Tell(answer));
        true
    }
}

fn written(ticket: whimbrel_core::effect::Ticket) -> Input {
    Input::Written { ticket, outcome: Written::Failed(throttled(Side::Target)) }
}
