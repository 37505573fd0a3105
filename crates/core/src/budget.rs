//! How fast each side may be asked (rule 9.2): as fast as a person allows, and slower where a side
//! says that it is too much. What is decided here is a number per second; the engine's token
//! buckets hold the work to it.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::number::Time;
use crate::planted::{Planted, planted};
use crate::timetable::{LocalTime, Timetable, Turn};

/// Requests per second that S3 promises to writes on one prefix: nobody asks for less because of
/// more than that.
const PREFIX_REQUESTS_USUAL: u64 = 3_500;
/// Slow prefixes that are told apart. Where more of them ask for less, it is the whole target.
const PREFIXES_MAX: usize = 64;
/// How often a pace is halved at most, and what counts as quiet.
const PERIOD_MILLIS: u64 = 1_000;
/// A quiet second brings a pace nearer to its ceiling by one part of so many.
const RISES: u64 = 50;
/// A side is asked too much if it says so of one request in so many: a server that is merely
/// unwell refuses some at any rate.
const BUSY_SHARE: u64 = 10;

/// What is held to a pace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Paced {
    /// Bytes read from the source.
    Bandwidth,
    /// Calls to the source's metadata service.
    SourceCalls,
    /// Requests to the target.
    TargetRequests,
    /// Those of them whose keys have this first component below the target's root.
    Prefix(Bytes),
}

/// What a person allows per second; `None`: as much as can be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ceilings {
    /// Bytes read from the source; where there is a timetable, what it says now.
    pub bandwidth_bytes: Option<u64>,
    /// Calls to the source's metadata service.
    pub source_calls: Option<u64>,
    /// Requests to the target.
    pub target_requests: Option<u64>,
}

/// How fast something may go from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// What.
    pub what: Paced,
    /// `None`: as fast as it goes.
    pub per_second: Option<u64>,
}

/// Decides all paces of one run.
#[derive(Debug, Default)]
pub struct Budget {
    ceilings: Ceilings,
    timetable: Option<Timetable>,
    local_time: LocalTime,
    next_turn: Option<Turn>,
    slowed: BTreeMap<Paced, Slowed>,
    heard: BTreeMap<Paced, Heard>,
}

/// Answers of a side that is busy.
#[derive(Clone, Copy, Debug)]
struct Heard {
    since: Time,
    answers: u64,
}

/// Something that a side asked for less of.
#[derive(Clone, Copy, Debug)]
struct Slowed {
    per_second: u64,
    /// From here on nothing is known against it.
    top: u64,
    halved_at: Time,
    rises_at: Time,
}

/// The prefix of a key that stands so below the target's root: its first component. What stands
/// right in the root has one prefix together.
pub fn prefix_of(below: &[u8]) -> &[u8] {
    let end = below.iter().position(|byte| *byte == b'/').unwrap_or_default();
    below.split_at(end).0
}

impl Ceilings {
    /// Of one thing; a prefix may take all that the target may.
    pub fn of(&self, what: &Paced) -> Option<u64> {
        match what {
            Paced::Bandwidth => self.bandwidth_bytes,
            Paced::SourceCalls => self.source_calls,
            Paced::TargetRequests | Paced::Prefix(_) => self.target_requests,
        }
    }
}

impl Budget {
    /// What a person allows now.
    pub fn ceilings(&self) -> Ceilings {
        self.ceilings
    }

    /// When the timetable allows another number of bytes next; `None`: never, or there is none.
    pub fn next_turn(&self) -> Option<Turn> {
        self.next_turn.filter(|_| !planted(Planted::TimetableStandsStill))
    }

    /// What is slower than a person allows, and how fast it may go.
    pub fn slowed(&self) -> impl Iterator<Item = (&Paced, u64)> {
        self.slowed.iter().map(|(what, slowed)| (what, slowed.per_second))
    }

    /// A person allows this from now on; of bytes only where there is no timetable.
    pub(crate) fn limit(&mut self, ceilings: Ceilings) -> Vec<Pace> {
        let bandwidth_bytes = match self.timetable {
            Some(_) => self.ceilings.bandwidth_bytes,
            None => ceilings.bandwidth_bytes,
        };
        self.ceilings = Ceilings { bandwidth_bytes, ..ceilings };
        let whole = [Paced::Bandwidth, Paced::SourceCalls, Paced::TargetRequests];
        let prefixes = self.slowed.keys().filter(|what| matches!(what, Paced::Prefix(_)));
        let changed: Vec<Paced> = whole.into_iter().chain(prefixes.cloned()).collect();
        for (what, slowed) in &mut self.slowed {
            slowed.top = ceilings.of(what).unwrap_or(slowed.top);
        }
        self.forget_the_fast();
        changed.into_iter().map(|what| self.pace(what)).collect()
    }

    /// A person allows as many bytes as this timetable says; `None`: as [`Self::limit`] says again.
    pub(crate) fn by_timetable(&mut self, now: Time, timetable: Option<Timetable>) -> Pace {
        self.timetable = timetable;
        self.look_up(now)
    }

    /// The clock on the wall, by which the timetable goes.
    pub(crate) fn by_local_time(&mut self, now: Time, local_time: LocalTime) -> Pace {
        self.local_time = local_time;
        self.look_up(now)
    }

    /// What the timetable allows from now on, if that is something else.
    pub(crate) fn turn(&mut self, now: Time) -> Option<Pace> {
        self.next_turn().filter(|turn| turn.at <= now).map(|_| self.look_up(now))
    }

    fn look_up(&mut self, now: Time) -> Pace {
        self.next_turn = None;
        if let Some(timetable) = &self.timetable {
            self.ceilings.bandwidth_bytes = timetable.at(&self.local_time, now);
            self.next_turn = timetable.next_turn(&self.local_time, now);
        }
        self.pace(Paced::Bandwidth)
    }

    /// A side asked for less, while it was asked so much per second.
    pub(crate) fn busy(&mut self, now: Time, what: Paced, in_use: u64) -> Option<Pace> {
        if planted(Planted::BusyNotHeeded) {
            return None;
        }
        let what = if self.is_told_apart(&what) { what } else { Paced::TargetRequests };
        if !self.is_asked_too_much(now, &what, in_use) {
            return None;
        }
        let rises_at = now.plus_millis(PERIOD_MILLIS);
        if let Some(slowed) = self.slowed.get_mut(&what) {
            slowed.rises_at = rises_at;
            // Answers to what was sent before the last halving say nothing new.
            if now.millis_since(slowed.halved_at) < PERIOD_MILLIS {
                return None;
            }
            slowed.halved_at = now;
            slowed.per_second = (slowed.per_second / 2).max(1);
        } else {
            let in_use = match what {
                Paced::Prefix(_) => in_use.min(PREFIX_REQUESTS_USUAL),
                Paced::Bandwidth | Paced::SourceCalls | Paced::TargetRequests => in_use,
            };
            let top = self.ceilings.of(&what).unwrap_or(in_use).max(1);
            let per_second = (in_use.min(top) / 2).max(1);
            self.slowed.insert(what.clone(), Slowed { per_second, top, halved_at: now, rises_at });
        }
        Some(self.pace(what))
    }

    /// Enough of the answers of a second say so.
    fn is_asked_too_much(&mut self, now: Time, what: &Paced, in_use: u64) -> bool {
        if self.heard.len() > 2 * PREFIXES_MAX {
            self.heard.clear();
        }
        // A pace that was lowered in this second holds for what is asked from now on.
        let asked = self.pace(what.clone()).per_second.map_or(in_use, |pace| pace.min(in_use));
        let new = Heard { since: now, answers: 0 };
        let heard = self.heard.entry(what.clone()).or_insert(new);
        if now.millis_since(heard.since) >= PERIOD_MILLIS {
            *heard = new;
        }
        heard.answers += 1;
        heard.answers * BUSY_SHARE >= asked
    }

    /// What was quiet for a second may go faster.
    pub(crate) fn rise(&mut self, now: Time) -> Vec<Pace> {
        let mut risen = Vec::new();
        for (what, slowed) in &mut self.slowed {
            if now < slowed.rises_at || planted(Planted::PaceStaysLow) {
                continue;
            }
            let seconds = now.millis_since(slowed.rises_at) / PERIOD_MILLIS + 1;
            slowed.rises_at = slowed.rises_at.plus_millis(seconds * PERIOD_MILLIS);
            let step = (slowed.top / RISES).max(1);
            let raised = slowed.per_second.saturating_add(step.saturating_mul(seconds));
            slowed.per_second = raised.min(slowed.top);
            risen.push(what.clone());
        }
        if !risen.is_empty() {
            self.forget_the_fast();
        }
        risen.into_iter().map(|what| self.pace(what)).collect()
    }

    /// When something may go faster next, if nobody asks for less before.
    pub(crate) fn next_rise(&self) -> Option<Time> {
        let rises = self.slowed.values().map(|slowed| slowed.rises_at);
        rises.min().filter(|_| !planted(Planted::PaceStaysLow))
    }

    fn forget_the_fast(&mut self) {
        self.slowed.retain(|_, slowed| slowed.per_second < slowed.top);
    }

    fn is_told_apart(&self, what: &Paced) -> bool {
        let is_prefix = |what: &&Paced| matches!(what, Paced::Prefix(_));
        !is_prefix(&what)
            || self.slowed.contains_key(what)
            || self.slowed.keys().filter(is_prefix).count() < PREFIXES_MAX
    }

    /// A prefix that is not slow needs no pace of its own.
    fn pace(&self, what: Paced) -> Pace {
        let ceiling = match what {
            Paced::Prefix(_) => None,
            Paced::Bandwidth | Paced::SourceCalls | Paced::TargetRequests => {
                self.ceilings.of(&what)
            }
        };
        let slowed = self.slowed.get(&what).map(|slowed| slowed.per_second);
        Pace { what, per_second: slowed.or(ceiling) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(name: &'static str) -> Paced {
        Paced::Prefix(Bytes::from_static(name.as_bytes()))
    }

    fn requests(per_second: u64) -> Ceilings {
        Ceilings { target_requests: Some(per_second), ..Ceilings::default() }
    }

    fn rates(paces: Vec<Pace>) -> Vec<Option<u64>> {
        paces.into_iter().map(|pace| pace.per_second).collect()
    }

    /// A tenth of what is asked is refused.
    fn busy(budget: &mut Budget, millis: u64, what: &Paced, in_use: u64) -> Option<Option<u64>> {
        let answers = 0..in_use.div_ceil(BUSY_SHARE).max(1);
        let paces = answers.filter_map(|_| budget.busy(Time(millis), what.clone(), in_use));
        paces.last().map(|pace| pace.per_second)
    }

    #[test]
    fn rule_9_2_single_refusals_slow_nothing_down() {
        let (mut budget, hot) = (Budget::default(), prefix("hot"));
        for second in 0..60 {
            for _ in 0..9 {
                assert_eq!(budget.busy(Time(second * 1_000), hot.clone(), 100), None);
            }
        }
        assert_eq!(budget.slowed().count(), 0);
    }

    /// What was asked before it in the same second counted (seed 554856).
    #[test]
    fn rule_9_2_a_lower_limit_holds_for_what_is_too_much_at_once() {
        let heeded = |source_calls: Option<u64>| {
            let mut budget = Budget::default();
            budget.limit(Ceilings { source_calls, ..Ceilings::default() });
            let answers = 0..6;
            let paces = answers.filter_map(|_| budget.busy(Time(9), Paced::SourceCalls, 68));
            rates(paces.collect())
        };
        assert_eq!((heeded(None), heeded(Some(58))), (vec![], vec![Some(29)]));
    }

    #[test]
    fn rule_9_2_halved_once_a_second_and_no_further_than_to_one() {
        let (mut budget, hot) = (Budget::default(), prefix("hot"));
        assert_eq!(busy(&mut budget, 5_000, &hot, 100), Some(Some(50)));
        assert_eq!(busy(&mut budget, 5_999, &hot, 100), None, "the same second");
        assert_eq!(busy(&mut budget, 6_000, &hot, 100), Some(Some(25)));
        for second in 7..20 {
            busy(&mut budget, second * 1_000, &hot, 100);
        }
        assert_eq!(budget.slowed().collect::<Vec<_>>(), [(&hot, 1)]);
        let (mut budget, cold) = (Budget::default(), prefix("cold"));
        assert_eq!(busy(&mut budget, 0, &cold, 0), Some(Some(1)), "never nothing at all");
        assert_eq!(busy(&mut budget, 0, &hot, 1_000_000), Some(Some(1_750)), "what S3 promises");
    }

    #[test]
    fn rule_9_2_rises_by_a_fiftieth_for_each_quiet_second_up_to_the_ceiling() {
        let (mut budget, hot) = (Budget::default(), prefix("hot"));
        assert_eq!(rates(budget.limit(requests(1_000))), [None, None, Some(1_000)]);
        assert_eq!(busy(&mut budget, 0, &hot, 4_000), Some(Some(500)));
        assert_eq!(budget.next_rise(), Some(Time(1_000)));
        assert_eq!(rates(budget.rise(Time(999))), []);
        assert_eq!(rates(budget.rise(Time(1_000))), [Some(520)]);
        assert_eq!(busy(&mut budget, 1_500, &hot, 4_000), Some(Some(260)));
        assert_eq!(rates(budget.rise(Time(2_400))), [], "not quiet for a second");
        assert_eq!(rates(budget.rise(Time(4_700))), [Some(320)], "three seconds at once");
        assert_eq!(rates(budget.rise(Time(60_000))), [None], "it has no pace of its own any more");
        assert_eq!((budget.slowed().count(), budget.next_rise()), (0, None));
    }

    #[test]
    fn rule_9_2_no_pace_is_beyond_what_a_person_allows() {
        let (mut budget, hot) = (Budget::default(), prefix("hot"));
        busy(&mut budget, 0, &hot, 1_000);
        busy(&mut budget, 0, &Paced::SourceCalls, 90);
        let less = Ceilings { source_calls: Some(100), ..requests(600) };
        assert_eq!(rates(budget.limit(less)), [None, Some(45), Some(600), Some(500)]);
        assert_eq!(rates(budget.limit(requests(400))), [None, Some(45), Some(400), None]);
        assert_eq!(budget.ceilings(), requests(400));
        assert_eq!(busy(&mut budget, 9_000, &hot, 1_000), Some(Some(200)));
    }

    #[test]
    fn rule_9_2_of_very_many_slow_prefixes_it_is_the_target() {
        let mut budget = Budget::default();
        for number in 0..PREFIXES_MAX {
            let what = Paced::Prefix(Bytes::from(number.to_string()));
            assert_eq!(busy(&mut budget, 0, &what, 100), Some(Some(50)));
        }
        assert_eq!(busy(&mut budget, 0, &prefix("one more"), 6_400), Some(Some(3_200)));
        let target = budget.slowed().find(|(what, _)| **what == Paced::TargetRequests);
        assert_eq!(target, Some((&Paced::TargetRequests, 3_200)));
        assert_eq!(busy(&mut budget, 1_000, &prefix("0"), 100), Some(Some(25)), "a known one");
        assert_eq!(budget.slowed().count(), PREFIXES_MAX + 1);
    }

    #[test]
    fn rule_9_2_prefix_is_the_first_component() {
        for (below, expected) in [("a/b/c", "a"), ("a/", "a"), ("a", ""), ("", ""), ("/a", "")] {
            assert_eq!(prefix_of(below.as_bytes()), expected.as_bytes(), "{below}");
        }
    }

    #[test]
    fn rule_9_2_what_is_remembered_of_busy_sides_is_bounded() {
        let mut budget = Budget::default();
        let remembered = |budget: &mut Budget, number: usize| {
            let what = Paced::Prefix(Bytes::from(number.to_string()));
            budget.busy(Time(0), what, 1_000);
            budget.heard.len()
        };
        for number in 1..=2 * PREFIXES_MAX + 1 {
            assert_eq!(remembered(&mut budget, number), number);
        }
        assert_eq!(remembered(&mut budget, 0), 1);
    }

    #[test]
    fn rule_9_2_the_next_rise_is_a_second_after_the_last_that_was_due() {
        let (mut budget, hot) = (Budget::default(), prefix("hot"));
        busy(&mut budget, 0, &hot, 100);
        assert_eq!(budget.rise(Time(3_500)).len(), 1);
        assert_eq!(budget.next_rise(), Some(Time(4_000)));
    }
}
