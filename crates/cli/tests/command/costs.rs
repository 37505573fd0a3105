//! What a small file and a start cost where noise does not reach: requests, answers that are waited
//! for, and calls to the system. Whoever spends more has to say so here; whoever spends less writes
//! it down, so that it stays.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use whimbrel_testbed::{DelayProxy, LongLine, NullSink, S3Endpoint, S3Server, install_strace};

use crate::call::{Ended, Place};

/// Calls to the local file system for each file that is copied, and those by which threads wake each
/// other: these depend on the moment, and the bound leaves room for it. Those of the ledger, which
/// writes for many files at once, are left out.
const CALLS_MAX: [(&str, f64); 7] = [
    ("openat", 3.2),
    ("openat2", 1.1),
    ("statx", 6.2),
    ("close", 4.2),
    ("pread64", 1.2),
    ("lgetxattr", 2.1),
    ("futex", 10.0),
];
/// Answers of the target that a migration of one file waits for, one after the other, connections
/// included.
const ANSWERS_MAX: u32 = 25;
const ROUND_TRIP: Duration = Duration::from_millis(200);
const FEW: u32 = 100;
const MANY: u32 = 500;

type Counts = BTreeMap<String, f64>;

#[test]
fn a_file_costs_what_is_written_here() {
    install_strace().unwrap();
    let (few_calls, few_requests) = counted(FEW);
    let (calls, requests) = counted(MANY);
    let a_file = |many: &Counts, few: &Counts, name: &str| {
        let of = |counts: &Counts| counts.get(name).copied().unwrap_or_default();
        (of(many) - of(few)) / f64::from(MANY - FEW)
    };
    let of_all = |counts: &Counts| Counts::from([("all".to_owned(), counts.values().sum())]);

    assert_eq!(a_file(&requests, &few_requests, "PutObject"), 1.0);
    let all = a_file(&of_all(&requests), &of_all(&few_requests), "all");
    assert!(all <= 1.01, "{all} requests a file: {requests:?}");
    for (name, most) in CALLS_MAX {
        let spent = a_file(&calls, &few_calls, name);
        assert!(spent <= most, "{name}: {spent} a file in place of {most}: {calls:?}");
    }
}

/// What a target can do was found out by one request after the other: 88.
#[test]
fn a_start_waits_for_few_answers() {
    let sink = NullSink::start().unwrap();
    sink.create_bucket("bucket").unwrap();
    let line = LongLine { round_trip: ROUND_TRIP, bytes_per_second: 1 << 30 };
    let proxy = DelayProxy::start(sink.endpoint().address, line).unwrap();
    let url = format!("http://{}", proxy.address());
    let far = S3Endpoint { url, ..sink.endpoint().clone() };
    let place = Place::new().with(far.environment());
    place.write("source/file", "content");
    let begun = Instant::now();
    place.run(&["migrate", "source", "s3://bucket/p"]).expect(0);
    let answers = begun.elapsed().as_secs_f64() / ROUND_TRIP.as_secs_f64();
    assert!(answers <= f64::from(ANSWERS_MAX), "{answers} answers are waited for");
}

/// Calls to the system and requests of a migration of so many files, by name.
fn counted(files: u32) -> (Counts, Counts) {
    let sink = NullSink::start().unwrap();
    sink.create_bucket("bucket").unwrap();
    let place = Place::new().with(sink.endpoint().environment());
    for number in 0..files {
        place.write(&format!("source/d{:02}/f{number}", number % 10), vec![7; 1_000]);
    }
    let whimbrel = env!("CARGO_BIN_EXE_whimbrel");
    let traced = ["-f", "-c", "-o", "calls", whimbrel, "migrate", "source", "s3://bucket/p"];
    Ended::of(place.program("strace", &traced).output().unwrap()).expect(0);
    assert_eq!(sink.sunk("bucket").len(), files as usize);

    let table = String::from_utf8(place.read("calls").unwrap()).unwrap();
    // Share, seconds, microseconds a call, calls, perhaps errors, name.
    let calls = table.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some((words.last()?.to_string(), words.get(3)?.parse().ok()?))
    });
    let requests = sink.requests();
    let requests = requests.into_iter().map(|(name, count)| (name.to_owned(), count as f64));
    (calls.collect(), requests.collect())
}
