//! The clock on the wall, by which a timetable goes (rule 9.2): the time zone of this machine with
//! its shifts, and how far [`Clock`](crate::clock::Clock) is behind, which does not follow when the
//! clock is set or the machine slept.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use whimbrel_core::number::Time;
use whimbrel_core::timetable::LocalTime;

use crate::error::EngineError;

/// Shifts of a zone that the core is told ahead: some years of them. It is told again before long.
const SHIFTS: usize = 16;
/// Clocks are set by little all the time; so much counts.
const SET_MILLIS: u64 = 1_000;

/// What the core was told of it.
pub(crate) struct LocalClock {
    behind_millis: i64,
    told: LocalTime,
}

impl LocalClock {
    pub(crate) fn start(now: Time) -> Self {
        let mut clock = Self { behind_millis: behind_millis(now), told: LocalTime::default() };
        clock.look(now);
        clock
    }

    /// As the core has it.
    pub(crate) fn told(&self) -> &LocalTime {
        &self.told
    }

    /// True if it is another one by now.
    pub(crate) fn look(&mut self, now: Time) -> bool {
        let behind_millis = behind_millis(now);
        if behind_millis.abs_diff(self.behind_millis) >= SET_MILLIS {
            self.behind_millis = behind_millis;
        }
        // A zone that cannot be read any more is what it was.
        let Ok(zone) = zone() else { return false };
        let local = local_time(&zone, self.behind_millis, now);
        let changed = local != self.told;
        self.told = local;
        changed
    }

    /// A time of the core as the clock shows it, since the Unix epoch.
    pub(crate) fn wall(&self, at: Time) -> Time {
        Time(at.0.saturating_add_signed(self.behind_millis))
    }
}

/// The time zone of this machine; UTC where nothing is said.
///
/// # Errors
/// `TZ` or `/etc/localtime` says something that is not known here.
pub(crate) fn zone() -> Result<TimeZone, EngineError> {
    let named = std::env::var("TZ").ok();
    match TimeZone::try_system() {
        Ok(zone) => Ok(zone),
        Err(_) if named.is_none() && !Path::new("/etc/localtime").exists() => Ok(TimeZone::UTC),
        Err(error) => Err(EngineError::WrongUse {
            message: format!("a timetable goes by local time, and that is not known: {error}"),
            remedy: "correct TZ, or install the time zones of this machine (tzdata)".to_owned(),
        }),
    }
}

fn behind_millis(now: Time) -> i64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let signed = |millis: u128| i64::try_from(millis).unwrap_or(i64::MAX);
    signed(wall).saturating_sub(signed(now.0.into()))
}

fn local_time(zone: &TimeZone, behind_millis: i64, now: Time) -> LocalTime {
    let wall = i64::try_from(now.0).unwrap_or(i64::MAX).saturating_add(behind_millis);
    let wall = Timestamp::from_millisecond(wall).unwrap_or(Timestamp::MAX);
    let ahead = |offset: Offset| i64::from(offset.seconds()) * 1_000 + behind_millis;
    let shifts = zone.following(wall).take(SHIFTS).map(|shift| {
        let at = shift.timestamp().as_millisecond().saturating_sub(behind_millis);
        (Time(u64::try_from(at).unwrap_or_default()), ahead(shift.offset()))
    });
    LocalTime::new(ahead(zone.to_offset(wall)), shifts.collect())
}

#[cfg(test)]
mod tests {
    use whimbrel_core::timetable::{Period, Timetable, Turn};

    use super::*;

    /// 03:00 to 04:00 on Sundays, in the night in which clocks go from 02:00 to 03:00.
    #[test]
    fn rule_9_2_shifts_of_the_zone_and_of_the_clock_are_known() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let from_minute = (6 * 24 + 3) * 60;
        let hour = Period { from_minute, to_minute: from_minute + 60, bytes_per_second: Some(9) };
        let timetable = Timetable::new(vec![hour], None).unwrap();
        let spring = "2026-03-29T01:00:00Z".parse::<Timestamp>().unwrap();
        for behind_millis in [0, 3_600_000, -90_061_001] {
            let spring = spring.as_millisecond() - behind_millis;
            let spring = Time(u64::try_from(spring).unwrap());
            let before = Time(spring.0 - 86_400_000);
            let local = local_time(&zone, behind_millis, before);
            let turn = timetable.next_turn(&local, before);
            assert_eq!(turn, Some(Turn { at: spring, bytes_per_second: Some(9) }));
            let after = timetable.next_turn(&local, spring).unwrap();
            assert_eq!(after.at, spring.plus_millis(3_600_000));
        }
    }

    #[test]
    fn a_clock_that_is_set_is_noticed() {
        let now = Time(1_800_000_000_000);
        let mut clock = LocalClock::start(now);
        let wall = clock.wall(now);
        assert!(!clock.look(now), "nothing happened");
        let slept = Time(now.0 - 7_200_000);
        assert!(clock.look(slept), "the machine slept for two hours");
        assert!(clock.wall(slept).0.abs_diff(wall.0) < 1_000);
    }
}
