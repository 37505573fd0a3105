//! The server's clock against ours.
//!
//! A signature that holds for a minute must be dated by the clock of the server that judges it. Up
//! to a quarter of an hour, which is what S3 forgives, the difference is taken into account;
//! beyond that this machine's clock is wrong and the server's refusal says so.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use http::HeaderMap;
use jiff::fmt::rfc2822::DateTimeParser;

use crate::signature::Moment;

/// By how much the server's clock is ahead.
pub(crate) struct Clock {
    ahead_seconds: AtomicI64,
    /// When it was last compared, in seconds since 1970.
    compared: AtomicI64,
    /// Whether the server was asked, also if it did not tell.
    asked: AtomicBool,
}

/// The `Date` header counts in seconds and is as old as the reply's way.
const NOISE_SECONDS: i64 = 5;
/// What S3 forgives.
const CORRECTION_SECONDS_MAX: i64 = 15 * 60;
const UNKNOWN: i64 = i64::MIN;

impl Clock {
    pub fn new() -> Self {
        Self {
            ahead_seconds: AtomicI64::new(UNKNOWN),
            compared: AtomicI64::new(0),
            asked: AtomicBool::new(false),
        }
    }

    pub fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed) || self.ahead_seconds().is_some()
    }

    pub fn mark_asked(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// The time to sign with.
    pub fn moment(&self) -> Moment {
        Moment::now(self.correction())
    }

    /// What is added to our clock when signing.
    pub fn correction(&self) -> i64 {
        match self.ahead_seconds() {
            Some(ahead) if (NOISE_SECONDS..=CORRECTION_SECONDS_MAX).contains(&ahead.abs()) => ahead,
            Some(_) | None => 0,
        }
    }

    pub fn ahead_seconds(&self) -> Option<i64> {
        Some(self.ahead_seconds.load(Ordering::Relaxed)).filter(|ahead| *ahead != UNKNOWN)
    }

    /// Compares the clocks, at most once a second; `now` compares in any case. Only an S3 server's
    /// own reply counts: a proxy's error page has the proxy's time.
    pub fn compare(&self, headers: &HeaderMap, now: bool) {
        let ours = Moment::now(0).0;
        if !now && self.compared.swap(ours, Ordering::Relaxed) == ours {
            return;
        }
        if !headers.contains_key("x-amz-request-id") && !headers.contains_key("x-amz-id-2") {
            return;
        }
        let date = headers.get(http::header::DATE).and_then(|date| date.to_str().ok());
        let Some(theirs) = date.and_then(parse_date) else { return };
        self.ahead_seconds.store(theirs.saturating_sub(ours), Ordering::Relaxed);
    }
}

/// Seconds since 1970 of a date as HTTP writes it.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    const PARSER: DateTimeParser = DateTimeParser::new();
    PARSER.parse_timestamp(text).ok().map(jiff::Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(seconds_ahead: i64) -> HeaderMap {
        let date = jiff::Timestamp::from_second(Moment::now(seconds_ahead).0).unwrap();
        let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let mut headers = HeaderMap::new();
        headers.insert("date", date.parse().unwrap());
        headers
    }

    #[test]
    fn a_clock_that_is_a_little_off_is_corrected_and_a_wrong_one_is_not() {
        for (ahead, correction) in [(0, 0), (3, 0), (120, 120), (-600, -600), (3600, 0)] {
            let clock = Clock::new();
            let mut headers = reply(ahead);
            clock.compare(&headers, true);
            assert_eq!(clock.ahead_seconds(), None, "not an S3 server's reply");
            headers.insert("x-amz-request-id", "1".parse().unwrap());
            clock.compare(&headers, true);
            assert!((clock.ahead_seconds().unwrap() - ahead).abs() <= 1);
            assert!((clock.correction() - correction).abs() <= 1, "{ahead}");
        }
    }
}
