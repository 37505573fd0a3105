//! Bits that turn on the disk.

use whimbrel_crash::{Draw, Image};
use whimbrel_ledger::DATABASE;

use crate::workload::{Act, Known, Recording, open_files, record};
use crate::{Trouble, known_by, seeds};

const PAGE_BYTES: usize = 4096;
const LOG: &str = "state.db-wal";
const LOG_HEADER_BYTES: usize = 32;

/// What came of a turned bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Refused,
    /// The ledger knows what it did so many steps before.
    Back(usize),
}

/// What is known after a step, and before it: the newest first.
fn known_up_to(recording: &Recording, step: usize) -> Vec<&Known> {
    let steps = recording.steps[..=step].iter().rev();
    steps.map(|step| &step.known).chain([&recording.before]).collect()
}

/// Turns one bit of each page of a file, and says what came of it, where.
fn each_page(image: &Image, name: &str, known: &[&Known], seed: u64) -> Vec<(usize, Seen)> {
    let mut draw = Draw::new(seed);
    let mut seen = Vec::new();
    for page in 0..image[name].len().div_ceil(PAGE_BYTES) {
        let mut turned = image.clone();
        let bytes = turned.get_mut(name).unwrap();
        let place = (page * PAGE_BYTES + draw.below(PAGE_BYTES)).min(bytes.len() - 1);
        let bit = draw.below(8);
        bytes[place] ^= 1 << bit;
        let folder = tempfile::tempdir().unwrap();
        let found = open_files(&turned, folder.path()).map_err(Trouble::from);
        seen.push(match found.and_then(|ledger| known_by(&ledger, known)) {
            Ok(steps) => (place, Seen::Back(steps)),
            Err(Trouble::Damaged(_) | Trouble::Refused(_)) => (place, Seen::Refused),
            Err(Trouble::Wrong(what)) => {
                panic!("seed {seed}, bit {bit} of byte {place} of {name}: {what}")
            }
        });
    }
    seen
}

#[test]
fn a_turned_bit_of_the_database_is_never_believed() {
    for seed in seeds() {
        let recording = record(seed, 250);
        for clean in [true, false] {
            let closed = |act: &Act| matches!(act, Act::Close { .. });
            let step = recording.steps.iter().rposition(|step| closed(&step.act) == clean).unwrap();
            let known = &known_up_to(&recording, step)[..1];
            let seen = each_page(&recording.left(step), DATABASE, known, seed);
            let refused = seen.iter().filter(|(_, seen)| *seen == Seen::Refused).count();
            println!("seed {seed}, clean {clean}: {refused} of {} refused", seen.len());
            assert!(refused > 0, "seed {seed}");
        }
    }
}

/// SQLite takes the log up to what does not hold. Of its header, and of the last transaction in
/// it, nobody can tell that it was whole once.
#[test]
fn a_turned_bit_of_the_log_is_found_or_loses_the_last_transaction() {
    for seed in seeds() {
        let recording = record(seed, 120);
        let mut draw = Draw::new(seed);
        let (mut all, mut refused, mut back) = (0, 0, 0);
        for _ in 0..8 {
            let step = draw.below(recording.steps.len());
            let image = recording.left(step);
            if !image.contains_key(LOG) {
                continue;
            }
            let known = known_up_to(&recording, step);
            for (place, seen) in each_page(&image, LOG, &known, seed) {
                all += 1;
                let Seen::Back(steps) = seen else {
                    refused += 1;
                    continue;
                };
                back += usize::from(steps > 0);
                // Some acts write nothing.
                let mut ends: Vec<usize> =
                    recording.steps[step - steps..=step].iter().map(|step| step.end).collect();
                ends.dedup();
                assert!(
                    place < LOG_HEADER_BYTES || ends.len() <= 2,
                    "seed {seed}, byte {place}: {steps}"
                );
            }
        }
        println!("seed {seed}: {refused} refused, {back} back, of {all}");
        assert!(refused > 20, "{refused} of {all}");
    }
}
