//! Numbers with units, read strictly: a number that does not say what it counts is refused.

use std::time::Duration;

/// Bytes per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRate {
    /// At least 1.
    pub bytes_per_second: u64,
}

/// Calls or requests per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallRate {
    /// At least 1.
    pub calls_per_second: u64,
}

/// A limit that can be lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit<T> {
    /// No limit.
    Unlimited,
    /// At most this.
    AtMost(T),
}

const PREFIXES: [(&str, f64); 9] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("", 1.0),
];

/// Reads `200Mbit/s`, `25MB/s`, `10MiB/s`.
pub fn byte_rate(text: &str) -> Result<ByteRate, String> {
    let wrong = || {
        format!(
            "{text:?} is no rate; write bits or bytes per second with their unit, \
             like 200Mbit/s, 25MB/s or 10MiB/s"
        )
    };
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let (prefix, bits) = match (unit.strip_suffix("bit/s"), unit.strip_suffix("B/s")) {
        (Some(prefix), _) => (prefix, 8.0),
        (None, Some(prefix)) => (prefix, 1.0),
        (None, None) => return Err(wrong()),
    };
    let scale = PREFIXES.iter().find(|(name, _)| *name == prefix).ok_or_else(wrong)?.1;
    let bytes = number * scale / bits;
    if !(1.0..1e18).contains(&bytes) {
        return Err(format!("{text:?} is out of range; a rate is at least 1 byte per second"));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
    Ok(ByteRate { bytes_per_second: bytes as u64 })
}

/// Reads `300/s`.
pub fn call_rate(text: &str) -> Result<CallRate, String> {
    let number = text.strip_suffix("/s").unwrap_or_default();
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    match number.parse() {
        Ok(calls_per_second @ 1..=1_000_000_000) if digits => Ok(CallRate { calls_per_second }),
        Ok(0) if digits => Err(format!("{text:?} allows nothing; use pause to stand still")),
        Ok(_) | Err(_) => {
            Err(format!("{text:?} is no rate; write whole calls per second, like 300/s"))
        }
    }
}

/// A rate of bytes, or `unlimited`.
pub fn byte_limit(text: &str) -> Result<Limit<ByteRate>, String> {
    if text == "unlimited" { Ok(Limit::Unlimited) } else { byte_rate(text).map(Limit::AtMost) }
}

/// A rate of calls, or `unlimited`.
pub fn call_limit(text: &str) -> Result<Limit<CallRate>, String> {
    if text == "unlimited" { Ok(Limit::Unlimited) } else { call_rate(text).map(Limit::AtMost) }
}

/// A whole number of objects, or `none`.
pub fn count_limit(text: &str) -> Result<Limit<u64>, String> {
    match (text, whole(text)) {
        ("none", _) => Ok(Limit::Unlimited),
        (_, Some(number)) => Ok(Limit::AtMost(number)),
        (_, None) => Err(format!("{text:?} is no whole number; write one, like 1000, or none")),
    }
}

/// Whole percents like `50%`, or `none`.
pub fn share_limit(text: &str) -> Result<Limit<u64>, String> {
    match (text, text.strip_suffix('%').and_then(whole)) {
        ("none", _) => Ok(Limit::Unlimited),
        (_, Some(percent @ 0..=100)) => Ok(Limit::AtMost(percent)),
        (_, Some(_) | None) => {
            Err(format!("{text:?} is no share; write whole percents from 0% to 100%, or none"))
        }
    }
}

/// Parts in a million, from `0.0001%` to `100%`.
pub fn sample_share(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('%').and_then(number_and_unit);
    let parts = match number {
        Some((percent, "")) => (percent * 10_000.0).round(),
        Some(_) | None => 0.0,
    };
    if !(1.0..=1e6).contains(&parts) {
        return Err(format!(
            "{text:?} is no share to look at; write percents from 0.0001% to 100%, like 1%"
        ));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
    Ok(parts as u32)
}

/// A number of digits alone.
fn whole(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Reads `500ms`, `30s`, `5m`, `1h`, `2d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("{text:?} is no duration; write it with its unit, like 30s, 5m, 1h or 2d");
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(wrong()),
    };
    let whole = number * seconds;
    if whole > 3650.0 * 86_400.0 {
        return Err(format!("{text:?} is longer than ten years"));
    }
    Ok(Duration::from_secs_f64(whole))
}

/// The same, and longer than nothing.
///
/// # Errors
/// As [`duration`]; none at all.
pub fn some_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err(format!("{text:?} is no time at all")),
        some => Ok(some),
    }
}

/// Splits a plain decimal number from what follows it: no sign, no exponent, no space.
fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if !number.starts_with(|c: char| c.is_ascii_digit())
        || !number.ends_with(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_shares() {
        for (text, parts) in [("1%", 10_000), ("0.05%", 500), ("100%", 1_000_000), ("0.0001%", 1)] {
            assert_eq!(sample_share(text), Ok(parts), "{text}");
        }
        for text in ["", "%", "1", "0%", "0.00001%", "101%", "100.1%", "-1%", "1 %", "1%%", "1e1%"]
        {
            assert!(sample_share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn byte_rates() {
        for (text, expected) in [
            ("200Mbit/s", Some(25_000_000)),
            ("25MB/s", Some(25_000_000)),
            ("10MiB/s", Some(10_485_760)),
            ("1.5Gbit/s", Some(187_500_000)),
            ("8bit/s", Some(1)),
            ("1Kibit/s", Some(128)),
            ("100B/s", Some(100)),
            ("500kB/s", Some(500_000)),
            ("200", None),
            ("200M", None),
            ("200Mbit", None),
            ("200 Mbit/s", None),
            ("200mbit/s", None),
            ("200MBit/s", None),
            ("200KB/s", None),
            ("25mb/s", None),
            ("-1MB/s", None),
            ("1e3MB/s", None),
            (".5MB/s", None),
            ("1.MB/s", None),
            ("1.2.3MB/s", None),
            ("0MB/s", None),
            ("7bit/s", None),
            ("99999999999TB/s", None),
            ("MB/s", None),
            ("", None),
        ] {
            let read = byte_rate(text).ok().map(|rate| rate.bytes_per_second);
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn call_rates() {
        for (text, expected) in [
            ("300/s", Some(300)),
            ("0.5/s", None),
            ("+5/s", None),
            ("300", None),
            ("300/m", None),
            ("0/s", None),
            ("/s", None),
        ] {
            let read = call_rate(text).ok().map(|rate| rate.calls_per_second);
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn limits() {
        assert_eq!(byte_limit("unlimited"), Ok(Limit::Unlimited));
        assert_eq!(
            byte_limit("1MB/s"),
            Ok(Limit::AtMost(ByteRate { bytes_per_second: 1_000_000 }))
        );
        assert!(call_limit("Unlimited").is_err());
    }

    #[test]
    fn bounds_of_the_guard() {
        let at_most = |number| Some(Limit::AtMost(number));
        for (text, count, share) in [
            ("none", Some(Limit::Unlimited), Some(Limit::Unlimited)),
            ("1000", at_most(1000), None),
            ("0", at_most(0), None),
            ("50%", None, at_most(50)),
            ("0%", None, at_most(0)),
            ("100%", None, at_most(100)),
            ("101%", None, None),
            ("1,000", None, None),
            ("+5", None, None),
            ("0.5", None, None),
            ("0.5%", None, None),
            ("%", None, None),
            ("", None, None),
            ("None", None, None),
        ] {
            assert_eq!(count_limit(text).ok(), count, "{text}");
            assert_eq!(share_limit(text).ok(), share, "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("5m", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("2d", Some(172_800_000)),
            ("0s", Some(0)),
            ("1.5h", Some(5_400_000)),
            ("30", None),
            ("30sec", None),
            ("1h30m", None),
            ("-1s", None),
            ("99999d", None),
            ("s", None),
        ] {
            let read = duration(text).ok().map(|duration| duration.as_millis());
            assert_eq!(read, milliseconds, "{text}");
        }
    }
}
