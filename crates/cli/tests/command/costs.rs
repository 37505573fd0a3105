//! What a small file costs where noise does not reach: requests, and calls to the system. Whoever
//! spends more has to say so here; whoever spends less writes it down, so that it stays.

use std::collections::BTreeMap;

use whimbrel_testbed::{NullSink, S3Server, install_strace};

use crate::call::{Ended, Place};

/// Calls to the local file system for each file that is copied. Those by which threads wait for each
/// other, and those of the ledger, which writes for many files at once, depend on the moment.
const CALLS_MAX: [(&str, f64); 5] =
    [("openat", 5.2), ("statx", 6.2), ("close", 5.2), ("pread64", 1.2), ("lgetxattr", 2.1)];
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
