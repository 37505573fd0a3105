//! How many bytes a person allows on which day and at which hour (rule 9.2): the week of the clock
//! on the wall, of which the core is told how far it is ahead.

use serde::{Deserialize, Serialize};

use crate::number::Time;

/// Minutes from Monday, 00:00, to the next one.
pub const WEEK_MINUTES: u16 = 7 * 24 * 60;
const MINUTE_MILLIS: u64 = 60_000;
const DAY_MILLIS: u64 = 24 * 60 * MINUTE_MILLIS;
const WEEK_MILLIS: u64 = 7 * DAY_MILLIS;
/// The first of January 1970 was a Thursday.
const EPOCH_MILLIS: u64 = 3 * DAY_MILLIS;
/// A timetable that has said nothing else for so long says nothing else ever: no clock is set
/// forward over the same hours in each of these weeks.
const LOOKED_AHEAD_MILLIS: u64 = 4 * WEEK_MILLIS;

/// Bytes per second through the week.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Plain", into = "Plain")]
pub struct Timetable {
    /// In the order of the week; they share no minute.
    periods: Vec<Period>,
    rest: Option<u64>,
}

/// A part of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// Minutes since Monday, 00:00.
    pub from_minute: u16,
    /// The same; not part of it any more.
    pub to_minute: u16,
    /// `None`: as many as can be had.
    pub bytes_per_second: Option<u64>,
}

/// Why there is no such timetable. Periods are told by their place in what was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimetableError {
    /// Two of them claim the same minute.
    #[error("periods {first} and {second} overlap at minute {minute} of the week")]
    Overlap {
        /// The earlier one in the week.
        first: usize,
        /// The other.
        second: usize,
        /// The first minute that both claim.
        minute: u16,
    },
    /// It has no minute, or goes beyond the week.
    #[error("period {0} is empty or no part of the week")]
    NoPeriod(usize),
    /// It allows not a single byte.
    #[error("no bytes per second are no limit: pause the migration")]
    Nothing,
}

/// The limit changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Then.
    pub at: Time,
    /// To so many bytes; `None`: as many as can be had.
    pub bytes_per_second: Option<u64>,
}

/// How far the clock on the wall is ahead of the core's time: the offset of its time zone, and what
/// else tells the two apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalTime {
    ahead_millis: i64,
    shifts: Vec<(Time, i64)>,
}

/// As it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    periods: Vec<Period>,
    rest_bytes_per_second: Option<u64>,
}

impl LocalTime {
    /// So far ahead now, and so far from each of these moments on.
    pub fn new(ahead_millis: i64, mut shifts: Vec<(Time, i64)>) -> Self {
        shifts.sort();
        Self { ahead_millis, shifts }
    }

    /// Milliseconds since Monday, 00:00.
    fn of_week(&self, at: Time) -> u64 {
        let passed = self.shifts.partition_point(|(from, _)| *from <= at);
        let last = passed.checked_sub(1).and_then(|last| self.shifts.get(last));
        let ahead_millis = last.map_or(self.ahead_millis, |(_, ahead_millis)| *ahead_millis);
        let ahead = ahead_millis.rem_euclid(WEEK_MILLIS as i64).unsigned_abs();
        (at.0 % WEEK_MILLIS + ahead + EPOCH_MILLIS) % WEEK_MILLIS
    }

    fn next_shift(&self, at: Time) -> Option<Time> {
        let passed = self.shifts.partition_point(|(from, _)| *from <= at);
        self.shifts.get(passed).map(|(from, _)| *from)
    }
}

impl Timetable {
    /// These periods, and `rest` outside of them.
    ///
    /// # Errors
    /// See [`TimetableError`].
    pub fn new(periods: Vec<Period>, rest: Option<u64>) -> Result<Self, TimetableError> {
        let rates = periods.iter().map(|period| period.bytes_per_second);
        if rates.chain([rest]).any(|rate| rate == Some(0)) {
            return Err(TimetableError::Nothing);
        }
        let mut placed: Vec<(Period, usize)> = periods.into_iter().zip(0..).collect();
        placed.sort_by_key(|(period, place)| (period.from_minute, *place));
        for (period, place) in &placed {
            if period.from_minute >= period.to_minute || period.to_minute > WEEK_MINUTES {
                return Err(TimetableError::NoPeriod(*place));
            }
        }
        for ((earlier, first), (later, second)) in placed.iter().zip(placed.iter().skip(1)) {
            if later.from_minute < earlier.to_minute {
                let (first, second, minute) = (*first, *second, later.from_minute);
                return Err(TimetableError::Overlap { first, second, minute });
            }
        }
        Ok(Self { periods: placed.into_iter().map(|(period, _)| period).collect(), rest })
    }

    /// Bytes per second at that time; `None`: as many as can be had.
    pub fn at(&self, local: &LocalTime, at: Time) -> Option<u64> {
        let minute = local.of_week(at) / MINUTE_MILLIS;
        let begun = self.periods.partition_point(|it| u64::from(it.from_minute) <= minute);
        let last = begun.checked_sub(1).and_then(|last| self.periods.get(last));
        match last.filter(|period| minute < u64::from(period.to_minute)) {
            Some(period) => period.bytes_per_second,
            None => self.rest,
        }
    }

    /// When there is another limit than at `now`; `None`: never.
    pub fn next_turn(&self, local: &LocalTime, now: Time) -> Option<Turn> {
        let holds = self.at(local, now);
        let until = now.plus_millis(LOOKED_AHEAD_MILLIS);
        let mut at = now;
        while at < until {
            at = self.next_edge(local, at)?;
            let bytes_per_second = self.at(local, at);
            if bytes_per_second != holds {
                return Some(Turn { at, bytes_per_second });
            }
        }
        None
    }

    /// The first moment after `at` when a period may begin or end.
    fn next_edge(&self, local: &LocalTime, at: Time) -> Option<Time> {
        let of_week = local.of_week(at);
        let wait = |minute: u16| match u64::from(minute) * MINUTE_MILLIS % WEEK_MILLIS {
            edge if edge > of_week => edge - of_week,
            edge => edge + WEEK_MILLIS - of_week,
        };
        let edges = self.periods.iter().flat_map(|it| [it.from_minute, it.to_minute]);
        let edge = at.plus_millis(edges.map(wait).min()?);
        Some(local.next_shift(at).map_or(edge, |shift| shift.min(edge)))
    }
}

impl TryFrom<Plain> for Timetable {
    type Error = TimetableError;

    fn try_from(plain: Plain) -> Result<Self, TimetableError> {
        Self::new(plain.periods, plain.rest_bytes_per_second)
    }
}

impl From<Timetable> for Plain {
    fn from(timetable: Timetable) -> Self {
        Self { periods: timetable.periods, rest_bytes_per_second: timetable.rest }
    }
}

#[cfg(test)]
mod tests;
