//! The time that core sees: wall-clock milliseconds that never fall.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::time::Instant as Deadline;
use whimbrel_core::number::Time;

/// The wall clock as it stood at the start, going on with the monotonic clock: a clock that is set
/// back by an hour in mid-run neither stops deadlines nor makes doubtful requests expire early
/// (rule 4.2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    started_millis: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { started: Instant::now(), started_millis: millis(since_epoch) }
    }

    pub(crate) fn now(&self) -> Time {
        Time(self.started_millis.saturating_add(millis(self.started.elapsed())))
    }

    /// Since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// When `time` comes, for the timer. Never earlier than a millisecond from now, so that a
    /// deadline that is due over and over cannot starve everything else.
    pub(crate) fn deadline(&self, time: Time) -> Deadline {
        let wait = time.millis_since(self.now()).max(1);
        Deadline::now() + Duration::from_millis(wait)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_at_the_wall_clock_and_rises() {
        let clock = Clock::start();
        let first = clock.now();
        assert!(first.0 > 1_700_000_000_000, "{first:?} is no time of our days");
        std::thread::sleep(Duration::from_millis(5));
        assert!(clock.now() > first);
        assert!(clock.deadline(Time(0)) > Deadline::now() - Duration::from_millis(1));
    }
}
