use proptest::prelude::*;

use super::*;
use crate::budget::Budget;

const HOUR_MILLIS: u64 = 60 * MINUTE_MILLIS;
/// A Monday, 00:00 in Greenwich.
const MONDAY: u64 = 1_767_571_200_000;
/// Central Europe goes from one hour ahead to two, and back.
const SPRING: u64 = 1_774_746_000_000;
const AUTUMN: u64 = 1_792_890_000_000;

/// So many minutes into the week.
fn minute(day: u16, hour: u16, minute: u16) -> u16 {
    (day * 24 + hour) * 60 + minute
}

fn period(from_minute: u16, to_minute: u16, bytes_per_second: Option<u64>) -> Period {
    Period { from_minute, to_minute, bytes_per_second }
}

fn timetable(periods: &[Period], rest: Option<u64>) -> Timetable {
    Timetable::new(periods.to_vec(), rest).unwrap()
}

fn turn(at: u64, bytes_per_second: Option<u64>) -> Option<Turn> {
    Some(Turn { at: Time(at), bytes_per_second })
}

fn greenwich(day: u64, hour: u64, minute: u64) -> Time {
    Time(MONDAY + day * DAY_MILLIS + hour * HOUR_MILLIS + minute * MINUTE_MILLIS)
}

fn central_europe() -> LocalTime {
    let hour = HOUR_MILLIS as i64;
    LocalTime::new(hour, vec![(Time(SPRING), 2 * hour), (Time(AUTUMN), hour)])
}

#[test]
fn rule_9_2_the_limit_is_that_of_the_hour() {
    let office = period(minute(0, 8, 0), minute(0, 18, 0), Some(100));
    let night = period(minute(6, 22, 0), WEEK_MINUTES, Some(7));
    let early = period(0, minute(0, 6, 0), Some(7));
    let free = period(minute(5, 0, 0), minute(6, 0, 0), None);
    let table = timetable(&[free, night, office, early], Some(50));
    let local = LocalTime::default();
    for (day, hour, minute, holds, next) in [
        (0, 0, 0, Some(7), (0, 6, Some(50))),
        (0, 7, 59, Some(50), (0, 8, Some(100))),
        (0, 8, 0, Some(100), (0, 18, Some(50))),
        (0, 17, 59, Some(100), (0, 18, Some(50))),
        (0, 18, 0, Some(50), (5, 0, None)),
        (5, 12, 0, None, (6, 0, Some(50))),
        (6, 21, 0, Some(50), (6, 22, Some(7))),
        (6, 23, 0, Some(7), (7, 6, Some(50))),
    ] {
        let now = greenwich(day, hour, minute);
        assert_eq!(table.at(&local, now), holds, "{day} {hour}:{minute}");
        let (day, hour, bytes) = next;
        assert_eq!(table.next_turn(&local, now), turn(greenwich(day, hour, 0).0, bytes));
    }
}

#[test]
fn rule_9_2_what_never_changes_has_no_next_turn() {
    let local = central_europe();
    let same = [period(0, 60, Some(5)), period(600, 660, Some(5))];
    for table in [timetable(&[], None), timetable(&[], Some(5)), timetable(&same, Some(5))] {
        assert_eq!(table.next_turn(&local, Time(SPRING - 1)), None, "{table:?}");
    }
    let once = timetable(&[period(0, 60, Some(5))], None);
    assert!(once.next_turn(&local, Time(u64::MAX)).is_none_or(|turn| turn.at.0 == u64::MAX));
}

/// A clock that goes forward skips the hours between, one that goes back has them twice.
#[test]
fn rule_9_2_a_timetable_goes_by_the_clock_on_the_wall() {
    let local = central_europe();
    let night = timetable(&[period(minute(6, 2, 30), minute(6, 4, 0), Some(9))], None);
    let skipped = timetable(&[period(minute(6, 2, 15), minute(6, 2, 45), Some(9))], None);
    let half = HOUR_MILLIS / 2;
    let before = Time(SPRING - HOUR_MILLIS);
    assert_eq!(night.next_turn(&local, before), turn(SPRING, Some(9)), "03:00 comes after 02:00");
    assert_eq!(night.next_turn(&local, Time(SPRING)), turn(SPRING + HOUR_MILLIS, None));
    let week_after = SPRING + WEEK_MILLIS - HOUR_MILLIS + HOUR_MILLIS / 4;
    assert_eq!(skipped.next_turn(&local, before), turn(week_after, Some(9)), "not that night");

    let before = Time(AUTUMN - HOUR_MILLIS);
    assert_eq!(night.next_turn(&local, before), turn(AUTUMN - half, Some(9)));
    assert_eq!(night.next_turn(&local, Time(AUTUMN - half)), turn(AUTUMN, None), "02:00 again");
    assert_eq!(night.next_turn(&local, Time(AUTUMN)), turn(AUTUMN + half, Some(9)));
    let office = timetable(&[period(minute(0, 8, 0), minute(0, 18, 0), Some(9))], None);
    for (sunday, hours) in [(SPRING, 29), (AUTUMN, 30)] {
        let monday = sunday + hours * HOUR_MILLIS;
        assert_eq!(office.next_turn(&local, Time(sunday)), turn(monday, Some(9)));
        assert_eq!(office.next_turn(&local, Time(monday)), turn(monday + 10 * HOUR_MILLIS, None));
    }
}

#[test]
fn rule_9_2_what_is_no_timetable() {
    let overlap = |first, second, minute| TimetableError::Overlap { first, second, minute };
    for (periods, rest, expected) in [
        (vec![period(60, 60, None)], None, TimetableError::NoPeriod(0)),
        (vec![period(0, 5, None), period(70, 60, None)], None, TimetableError::NoPeriod(1)),
        (vec![period(0, WEEK_MINUTES + 1, None)], None, TimetableError::NoPeriod(0)),
        (vec![period(0, 5, Some(0))], None, TimetableError::Nothing),
        (vec![], Some(0), TimetableError::Nothing),
        (vec![period(50, 70, None), period(0, 51, None)], None, overlap(1, 0, 50)),
        (vec![period(7, 9, None), period(7, 9, None)], None, overlap(0, 1, 7)),
    ] {
        assert_eq!(Timetable::new(periods, rest), Err(expected));
    }
    assert!(Timetable::new(vec![period(50, 70, None), period(0, 50, None)], None).is_ok());
}

/// What was drawn for one history.
#[derive(Clone, Debug)]
struct Drawn {
    periods: Vec<Period>,
    rest: Option<u64>,
    ahead_millis: i64,
    shifts: Vec<(Time, i64)>,
    begin: u64,
}

impl Drawn {
    /// Said once more, minute by minute.
    fn allowed(&self, at: u64) -> Option<u64> {
        let mut ahead = self.ahead_millis;
        for (from, ahead_millis) in &self.shifts {
            if from.0 <= at {
                ahead = *ahead_millis;
            }
        }
        let minutes = (i128::from(at) + i128::from(ahead)).div_euclid(60_000);
        let minute = (minutes + 3 * 1_440).rem_euclid(10_080);
        let holds = |period: &&Period| {
            i128::from(period.from_minute) <= minute && minute < i128::from(period.to_minute)
        };
        self.periods.iter().find(holds).map_or(self.rest, |period| period.bytes_per_second)
    }

    fn budget(&self) -> Budget {
        let mut budget = Budget::default();
        let local = LocalTime::new(self.ahead_millis, self.shifts.clone());
        let timetable = timetable(&self.periods, self.rest);
        budget.by_local_time(Time(self.begin), local);
        budget.by_timetable(Time(self.begin), Some(timetable));
        budget
    }
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let rate = || proptest::option::weighted(0.8, 1..100_000_u64);
    let day = 24 * HOUR_MILLIS as i64;
    let edges = proptest::collection::btree_set(0..=WEEK_MINUTES, 2..12);
    let rates = proptest::collection::vec(rate(), 6);
    let shifts = proptest::collection::vec((0..2 * WEEK_MILLIS, -day..day), 0..4);
    let begin = MONDAY..MONDAY + 4 * WEEK_MILLIS;
    (edges, rates, rate(), -day..day, shifts, begin).prop_map(
        |(edges, rates, rest, ahead_millis, shifts, begin)| {
            let edges: Vec<u16> = edges.into_iter().collect();
            let pairs = edges.chunks_exact(2).zip(rates);
            let periods = pairs.map(|(pair, rate)| period(pair[0], pair[1], rate)).collect();
            let shift = |(after, ahead): (u64, i64)| (Time(begin + after), ahead);
            let mut shifts: Vec<_> = shifts.into_iter().map(shift).collect();
            shifts.sort();
            Drawn { periods, rest, ahead_millis, shifts, begin }
        },
    )
}

proptest! {
    /// Woken at its turns alone, the budget allows at every moment what the timetable says.
    #[test]
    fn rule_9_2_turns_miss_no_change(drawn in drawn()) {
        let mut budget = drawn.budget();
        let (mut now, end) = (drawn.begin, drawn.begin + 2 * WEEK_MILLIS);
        while now < end {
            let turn = budget.next_turn().map_or(end, |turn| turn.at.0);
            prop_assert!(turn > now);
            for at in (now..turn).step_by(7 * MINUTE_MILLIS as usize).chain([turn - 1]) {
                prop_assert_eq!(budget.turn(Time(at)), None);
                prop_assert_eq!(budget.ceilings().bandwidth_bytes, drawn.allowed(at), "{}", at);
            }
            now = turn;
            budget.turn(Time(now));
        }
    }

    /// Whoever takes as much as a bucket of a tenth of a second gives, gets over any time no more
    /// than the timetable's sum and one burst.
    #[test]
    fn rule_9_2_no_more_than_the_timetable_and_one_burst(
        drawn in drawn(),
        pauses in proptest::collection::vec(0..40_usize, 1..20),
    ) {
        const STEP_MILLIS: u64 = 10;
        let mut budget = drawn.budget();
        let Some(turn) = budget.next_turn() else { return Ok(()) };
        let begin = turn.at.0.saturating_sub(5_000).max(drawn.begin);
        let most = drawn.periods.iter().filter_map(|it| it.bytes_per_second).chain(drawn.rest);
        let burst = i128::from(most.max().unwrap_or_default()) * 100;
        // In thousandths of a byte. What is unlimited is in no sum.
        let (mut tokens, mut ahead, mut lowest) = (0, 0_i128, 0_i128);
        let mut idle = pauses.iter().cycle();
        for number in 0..1_000 {
            let at = begin + number * STEP_MILLIS;
            budget.turn(Time(at));
            let allowed: Option<u64> =
                (at..at + STEP_MILLIS).map(|at| drawn.allowed(at)).sum();
            let (Some(rate), Some(allowed)) = (budget.ceilings().bandwidth_bytes, allowed) else {
                (tokens, ahead, lowest) = (0, 0, 0);
                continue;
            };
            tokens = (tokens + rate * STEP_MILLIS).min(rate * 100);
            let takes = *idle.next().unwrap_or(&0) < 30;
            ahead += if takes { i128::from(std::mem::take(&mut tokens)) } else { 0 };
            ahead -= i128::from(allowed);
            lowest = lowest.min(ahead);
            // A step that straddles a turn is the bucket's, not the timetable's.
            let slack = burst / 10;
            prop_assert!(ahead - lowest <= burst + slack, "{} of {}", ahead - lowest, burst);
        }
    }
}
