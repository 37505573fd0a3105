//! What the guard against mass deletion remembers (rule 5.6).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::number::Time;

const MINUTE_MILLIS: u64 = 60_000;

/// What was lost on the target, by the minute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    minutes: VecDeque<(u64, u64)>,
}

impl Losses {
    /// One object went.
    pub fn add(&mut self, at: Time) {
        let minute = at.0 / MINUTE_MILLIS;
        match self.minutes.back_mut() {
            // Clocks that went back since make no new minute.
            Some((last, sum)) if *last >= minute => *sum += 1,
            Some(_) | None => self.minutes.push_back((minute, 1)),
        }
        while self.minutes.front().is_some_and(|(first, _)| first + 60 < minute) {
            self.minutes.pop_front();
        }
    }

    /// One object came.
    pub fn make_good(&mut self) {
        if let Some((_, sum)) = self.minutes.back_mut() {
            *sum -= 1;
            if *sum == 0 {
                self.minutes.pop_back();
            }
        }
    }

    /// Those within the hour before a moment.
    pub fn within_the_hour(&self, now: Time) -> u64 {
        let minute = now.0 / MINUTE_MILLIS;
        self.minutes.iter().filter(|(at, _)| at + 60 >= minute).map(|(_, sum)| sum).sum()
    }

    /// Those within the hour before the last.
    pub fn last(&self) -> u64 {
        let last = self.minutes.back().map_or(0, |(minute, _)| *minute);
        self.within_the_hour(Time(last * MINUTE_MILLIS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_remembered_and_what_came_makes_it_good() {
        let minute = |number: u64| Time(number * MINUTE_MILLIS);
        let mut losses = Losses::default();
        losses.make_good();
        for at in [5, 5, 5, 30, 65] {
            losses.add(minute(at));
        }
        assert_eq!((losses.last(), losses.within_the_hour(minute(66))), (5, 2));
        // A clock that went back forgets nothing.
        losses.add(minute(1));
        assert_eq!(losses.last(), 6);
        losses.add(minute(66));
        assert_eq!(losses.last(), 4);
        for left in [3, 2, 1, 0, 0] {
            losses.make_good();
            assert_eq!(losses.last(), left);
        }
    }
}
