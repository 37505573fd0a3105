//! What is left of a world when the process dies, as one number. Two worlds of the same number go
//! on in the same way: everything that the next run can come to know of is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher};

use whimbrel_core::number::{AttemptNumber, Mark, Time};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Counters, Meta};
use whimbrel_ledger::{Ledger, LedgerError};

use super::{Happening, Run};
use crate::scope::operation::every_path;

/// How times are told.
const TIME: &str = "Time(";
/// Numbers that are compared with each other alone: of them, only their order counts.
const ORDERED: [&str; 2] = ["Mark(", "AttemptNumber("];

impl Run {
    /// The ledger, both sides and the writes still on their way, with whatever else `also` counts;
    /// `None`: the ledger cannot be read.
    pub(super) fn remains(&self, also: &str) -> Option<u64> {
        let mut text = told(self.ledger.as_ref()?).ok()?;
        // Text takes everything.
        let _ = write!(text, "{also} {:?} {:?}", self.source, self.target);
        for ((at, _), happening) in &self.happenings {
            if matches!(happening, Happening::Land(_)) {
                let _ = write!(text, " {at:?} {happening:?}");
            }
        }
        let mut hasher = DefaultHasher::new();
        hasher.write(in_their_order(&since(&text, self.now)).as_bytes());
        Some(hasher.finish())
    }
}

/// All that the ledger holds of a small scope. Counts are told to people, and nothing rests on
/// them; the next mark and the next attempt are above all others.
fn told(ledger: &Ledger) -> Result<String, LedgerError> {
    let meta = Meta {
        counters: Counters::default(),
        next_mark: Mark(0),
        next_attempt: AttemptNumber(0),
        ..ledger.meta()?
    };
    let mut text = format!("{meta:?} {:?} {:?}", ledger.hints()?, ledger.attempts()?);
    for path in [RelPath::root()].into_iter().chain(every_path()) {
        let _ = write!(text, " {:?}", ledger.story(&path)?);
    }
    Ok(text)
}

/// The same text with every time as the time since `now`: nothing is compared with anything else,
/// but the minutes of losses, of which these histories see one. The first of all times means none.
fn since(text: &str, now: Time) -> String {
    let mut pieces = text.split(TIME);
    let mut since = pieces.next().unwrap_or_default().to_owned();
    for (at, rest) in pieces.filter_map(number) {
        let _ = match at {
            0 => write!(since, "{TIME}none{rest}"),
            _ => write!(since, "{TIME}{}{rest}", i128::from(at) - i128::from(now.0)),
        };
    }
    since
}

/// The same text with every such number replaced by its place among those that occur.
fn in_their_order(text: &str) -> String {
    ORDERED.iter().fold(text.to_owned(), |text, name| {
        let mut pieces = text.split(name);
        let first = pieces.next().unwrap_or_default();
        let numbered: Vec<(u64, &str)> = pieces.filter_map(number).collect();
        let numbers: BTreeSet<u64> = numbered.iter().map(|(number, _)| *number).collect();
        let places: BTreeMap<u64, usize> =
            numbers.into_iter().enumerate().map(|(place, number)| (number, place)).collect();
        let mut ordered = first.to_owned();
        for (number, rest) in numbered {
            let _ = write!(ordered, "{name}{}{rest}", places[&number]);
        }
        ordered
    })
}

/// A number and the rest of its text.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(')')?;
    Some((text[..end].parse().ok()?, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_order_of_numbers_counts() {
        let one = in_their_order("a Mark(7) Mark(9) AttemptNumber(9) Mark(7) z");
        assert_eq!(one, "a Mark(0) Mark(1) AttemptNumber(0) Mark(0) z");
        assert_eq!(one, in_their_order("a Mark(1) Mark(200) AttemptNumber(3) Mark(1) z"));
        assert_ne!(one, in_their_order("a Mark(9) Mark(7) AttemptNumber(9) Mark(9) z"));
    }

    #[test]
    fn only_the_distance_of_times_counts() {
        let one = since("Time(5) Time(0) Time(12)", Time(10));
        assert_eq!(one, since("Time(105) Time(0) Time(112)", Time(110)));
        assert_ne!(one, since("Time(5) Time(0) Time(12)", Time(11)));
    }
}
