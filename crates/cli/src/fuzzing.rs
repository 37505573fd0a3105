//! What holds for any bytes that a person or a damaged disk gives, for the fuzz targets: each
//! function panics where it does not. Not part of what this crate offers.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use clap::Parser;
use whimbrel_core::number::Time;
use whimbrel_core::timetable::LocalTime;
use whimbrel_hdfs::Configuration;

use crate::arguments::Cli;
use crate::commands::verify::notes;
use crate::config;
use crate::cutover::record;
use crate::location::Location;
use crate::record::{Call, decode_result, encode_result};
use crate::state;
use crate::timetable::{self, Bandwidth};
use crate::unit::{self, Limit};

const MILLISECOND: Duration = Duration::from_micros(1_001);

/// A configuration file: every flag that it stands for carries the name of one of its entries.
pub fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for command in ["migrate", "verify", "doctor"] {
        let Ok(flags) = config::flags(text, command, |_| false) else { continue };
        let Ok(table) = text.parse::<toml::Table>() else { unreachable!("it was read before") };
        for flag in &flags {
            let flag = flag.as_bytes();
            let name = flag.split(|byte| *byte == b'=').next().unwrap_or_default();
            let name = std::str::from_utf8(name).ok().and_then(|name| name.strip_prefix("--"));
            assert!(name.is_some_and(|name| table.contains_key(name)), "{flag:?}");
        }
        let values = table.values().map(|value| value.as_array().map_or(1, Vec::len));
        assert!(flags.len() <= values.sum());
        let none = config::flags(text, command, |_| true);
        assert!(none.is_ok_and(|none| none.is_empty()), "the command line wins");
        let words = ["whimbrel", command, "/a", "/b"].map(OsString::from).into_iter();
        let _parsed = Cli::try_parse_from(words.chain(flags));
    }
}

/// The file of a migration's call: what is read is written as it was, and damage is found.
pub fn call(bytes: &[u8]) {
    let Ok(call) = Call::decode(bytes) else { return };
    let written = call.encode();
    assert_eq!(Call::decode(written.as_bytes()).as_ref(), Ok(&call));
    damaged(&written, |text| Call::decode(text).is_ok_and(|read| read != call));
    let _ = (call.source(), call.target(), call.scope());
}

/// The file of a cut-over: the same.
pub fn cutover(bytes: &[u8]) {
    let Ok(record) = record::decode(bytes) else { return };
    let written = record::encode(&record);
    assert_eq!(record::decode(written.as_bytes()).as_ref(), Ok(&record));
    damaged(&written, |text| record::decode(text).is_ok());
}

/// The notes of a comparison: the same.
pub fn notes(bytes: &[u8]) {
    let Ok(text) = notes::decode(bytes) else { return };
    let written = notes::encode(&text);
    assert_eq!(notes::decode(written.as_bytes()).as_ref(), Ok(&text));
    damaged(&written, |text| notes::decode(text).is_ok());
}

/// The file of the last run's result: the same.
pub fn result(bytes: &[u8]) {
    let Ok(fields) = decode_result(bytes) else { return };
    let written = encode_result(&fields);
    let Ok(again) = decode_result(written.as_bytes()) else {
        unreachable!("what was written is read")
    };
    // Numbers with a fraction may lose their last digit once, not twice.
    assert_eq!(again.len(), fields.len());
    let written = encode_result(&again);
    damaged(&written, |text| decode_result(text).is_ok_and(|read| read != again));
}

/// No turned bit makes another value of a text.
fn damaged(text: &str, is_taken_for_another: impl Fn(&[u8]) -> bool) {
    let mut damaged = text.as_bytes().to_vec();
    for bit in 0..damaged.len().min(1024) * 8 {
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(!is_taken_for_another(&damaged), "bit {bit} of {text}");
        damaged[bit / 8] ^= 1 << (bit % 8);
    }
}

/// Arguments: numbers with units, and locations.
pub fn arguments(bytes: &[u8]) {
    location(OsStr::from_bytes(bytes));
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(rate) = unit::byte_rate(text) {
        assert!(rate.bytes_per_second >= 1);
        // Digits that a float holds exactly.
        if rate.bytes_per_second < 1 << 53 {
            assert_eq!(unit::byte_rate(&format!("{}B/s", rate.bytes_per_second)), Ok(rate));
        }
    }
    if let Ok(Bandwidth::Weekly(timetable)) = timetable::bandwidth(text) {
        let turn = timetable.next_turn(&LocalTime::default(), Time(0));
        assert!(turn.is_none_or(|turn| turn.at > Time(0) && turn.bytes_per_second != Some(0)));
        assert_eq!(
            timetable::bandwidth(&format!("\n{text};")).ok(),
            Some(Bandwidth::Weekly(timetable))
        );
    }
    if let Ok(rate) = unit::call_rate(text) {
        assert_eq!(unit::call_rate(&format!("{}/s", rate.calls_per_second)), Ok(rate));
    }
    if let Ok(Limit::AtMost(count)) = unit::count_limit(text) {
        assert_eq!(unit::count_limit(&count.to_string()), Ok(Limit::AtMost(count)));
    }
    if let Ok(Limit::AtMost(percent)) = unit::share_limit(text) {
        assert!(percent <= 100 && text.ends_with('%'));
    }
    if let Ok(duration) = unit::duration(text) {
        assert!(duration.as_secs() <= 3650 * 86_400);
        // A float of ten years is exact to less than a microsecond.
        let again = unit::duration(&format!("{}ms", duration.as_millis()));
        assert!(again.is_ok_and(|again| again.abs_diff(duration) < MILLISECOND), "{text}");
    }
    let _name = state::check(text);
}

fn location(text: &OsStr) {
    let Ok(location) = Location::parse(text) else { return };
    assert_eq!(Location::parse(&location.url()).as_ref(), Ok(&location), "{text:?}");
    match &location {
        Location::Hdfs { authority, path } => {
            assert!(path.starts_with('/') && (path == "/" || !path.ends_with('/')));
            let cluster = Configuration::new().cluster(authority);
            assert!(authority.is_empty() || cluster.is_ok(), "{authority:?} is spoken to");
        }
        Location::Local { path } => assert!(path.is_absolute()),
        Location::Bucket { bucket, prefix } => {
            assert!(!bucket.is_empty() && !bucket.contains('/') && !prefix.ends_with('/'));
        }
    }
    let name = state::derived_name(&location, &location);
    assert!(state::check(&name).is_ok(), "{name:?}");
}
