//! What a comparison says that looked at a sample: how much of how much, and what that leaves
//! unknown.

use std::hash::{BuildHasher, Hasher, RandomState};

use serde_json::{Map, Value, json};
use whimbrel_verify::{Extent, SHARE_WHOLE, Sample, SampleSums, Sums};

use crate::arguments::SampleArguments;
use crate::output::printable;
use crate::output::result::{bytes, grouped};

/// Paths in memory at a time, of a hundred bytes or two each.
const HELD_MAX: usize = 500_000;
/// Numbers of differing files for which it is told how probably a sample has none of them.
const MISSED: [u64; 4] = [1, 10, 100, 1_000];
const CONFIDENCE_PERCENT: u64 = 95;

/// The sample that is asked for; `None`: everything. A seed that is not given is drawn.
pub fn sample(arguments: &SampleArguments) -> Option<Sample> {
    let extent = match (arguments.sample, arguments.sample_for) {
        (Some(share), _) => Extent::Share(share),
        (None, Some(time)) => Extent::Time(time),
        (None, None) => return None,
    };
    let seed = arguments.sample_seed.clone().unwrap_or_else(|| {
        // Keyed anew by the system's random numbers in each process.
        let drawn = RandomState::new().build_hasher().finish();
        format!("{:08x}", drawn >> 32)
    });
    Some(Sample { seed, extent, held_max: HELD_MAX })
}

/// As it is asked for again.
pub fn flags(sample: &Sample) -> String {
    let extent = match sample.extent {
        Extent::Share(parts) => format!("--sample {}%", percent_of(parts)),
        Extent::Time(time) => format!("--sample-for {}s", time.as_secs_f64()),
    };
    format!("{extent} --sample-seed {}", printable(&sample.seed))
}

/// For programs: what was asked for.
pub fn asked(sample: &Sample) -> Map<String, Value> {
    let (share, seconds) = match sample.extent {
        Extent::Share(parts) => (json!(percent_of(parts)), Value::Null),
        Extent::Time(time) => (Value::Null, json!(time.as_secs_f64())),
    };
    [("seed", json!(sample.seed)), ("share_percent", share), ("seconds", seconds)]
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

fn percent_of(parts: u32) -> f64 {
    f64::from(parts) * 100.0 / f64::from(SHARE_WHOLE)
}

/// A sample that was looked at.
pub struct Sampled {
    pub sample: Sample,
    pub sums: SampleSums,
}

impl Sampled {
    /// The verdict where nothing that was looked at differs, and not all was.
    pub fn verdict(&self) -> String {
        format!(
            "No difference found in {} of {} files; the others were not looked at.",
            grouped(self.sums.files_looked_at),
            grouped(self.sums.files_listed)
        )
    }

    /// For programs.
    pub fn fields(&self, sums: &Sums) -> Value {
        let mut fields = asked(&self.sample);
        if let Ok(Value::Object(counts)) = serde_json::to_value(self.sums) {
            fields.extend(counts);
        }
        let missed = self
            .missed()
            .map(|(files, probability)| json!({ "files": files, "miss_probability": probability }));
        fields.insert("missed".into(), missed.collect());
        fields.insert("missed_files_max".into(), self.missed_files_max(sums).into());
        fields.insert("confidence_percent".into(), CONFIDENCE_PERCENT.into());
        fields.into()
    }

    /// For people.
    pub fn rows(&self, sums: &Sums) -> Vec<(String, String)> {
        let mut rows = vec![
            ("looked at", looked_at(&self.sums)),
            ("sample", flags(&self.sample)),
            ("told apart by names", grouped(self.sums.files_apart)),
        ];
        let missed: Vec<String> = self
            .missed()
            .map(|(files, probability)| format!("{} of {}", percent(probability), grouped(files)))
            .collect();
        if !missed.is_empty() {
            rows.push(("chance to miss all", missed.join(", ")));
        }
        if let Some(files) = self.missed_files_max(sums).filter(|_| !self.sums.whole()) {
            let text =
                format!("at most {} files, with {CONFIDENCE_PERCENT}% confidence", grouped(files));
            rows.push(("may still differ", text));
        }
        rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn missed(&self) -> impl Iterator<Item = (u64, f64)> {
        let left_out = self.sums.files_listed.saturating_sub(self.sums.files_looked_at);
        let told = MISSED.into_iter().filter(move |files| *files <= left_out);
        told.map(move |files| (files, self.sums.miss_probability(files)))
    }

    /// It holds for a sample that found nothing.
    fn missed_files_max(&self, sums: &Sums) -> Option<u64> {
        (sums.differences() + sums.moving == 0).then(|| self.sums.missed_files_max())
    }
}

/// How far it is.
pub fn looked_at(sums: &SampleSums) -> String {
    format!(
        "{} of {} files, {} of {}",
        grouped(sums.files_looked_at),
        grouped(sums.files_listed),
        bytes(sums.bytes_looked_at),
        bytes(sums.bytes_listed)
    )
}

/// What a sample says, in whole sentences.
pub fn limits() -> Vec<String> {
    let texts = [
        "Only a sample was looked at. Names and lengths were compared of all files, as both sides \
         list them, and what they tell apart was looked at; of the others those whose keyed hash \
         of path and seed comes first. Files that are not listed here were not looked at, and \
         nothing is said of their bytes.",
        "The chance to miss all of k differing files is at most (1 - share drawn) to the power of \
         k. It holds for a seed that was chosen without knowing which files differ, whatever made \
         them differ. With that confidence not more files than named differ unseen, if the sample \
         found none.",
    ];
    texts.into_iter().map(str::to_owned).collect()
}

/// Never rounded to what it is not.
fn percent(probability: f64) -> String {
    match probability {
        none if none <= 0.0 => "0%".to_owned(),
        all if all >= 1.0 => "100%".to_owned(),
        little if little < 0.001 => "below 0.1%".to_owned(),
        much if much > 0.999 => "above 99.9%".to_owned(),
        some => format!("{:.1}%", some * 100.0),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_sample_is_asked_for_again_as_it_was() {
        let asked = |sample, sample_for, seed: Option<&str>| {
            let sample_seed = seed.map(str::to_owned);
            super::sample(&SampleArguments { sample, sample_for, sample_seed })
        };
        assert_eq!(asked(None, None, None), None);
        let share = asked(Some(500), None, Some("s")).unwrap();
        assert_eq!(flags(&share), "--sample 0.05% --sample-seed s");
        let time = asked(None, Some(Duration::from_secs(600)), Some("s")).unwrap();
        assert_eq!(flags(&time), "--sample-for 600s --sample-seed s");
        let seeds = [0; 2].map(|_| asked(Some(500), None, None).unwrap().seed);
        assert!(seeds[0] != seeds[1] && seeds[0].len() == 8, "{seeds:?}");
    }

    #[test]
    fn percents_are_not_rounded_to_certainty() {
        for (probability, told) in [
            (0.0, "0%"),
            (0.000_01, "below 0.1%"),
            (0.366_03, "36.6%"),
            (0.999_99, "above 99.9%"),
            (1.0, "100%"),
        ] {
            assert_eq!(percent(probability), told);
        }
    }

    #[test]
    fn a_bound_is_told_of_a_sample_that_found_nothing() {
        let sums = SampleSums {
            files_listed: 1_000,
            files_looked_at: 100,
            bytes_listed: 1_000,
            bytes_looked_at: 100,
            files_apart: 0,
        };
        let sample = Sample { seed: "s".to_owned(), extent: Extent::Share(100_000), held_max: 1 };
        let sampled = Sampled { sample, sums };
        let fields = sampled.fields(&Sums::default());
        assert_eq!(
            (&fields["files_looked_at"], &fields["missed_files_max"]),
            (&100.into(), &28.into())
        );
        assert_eq!(fields["missed"].as_array().unwrap().len(), 3, "1,000 are not left: {fields}");
        let found = Sums { different: 1, ..Sums::default() };
        assert_eq!(sampled.fields(&found)["missed_files_max"], Value::Null);
        assert!(sampled.verdict().starts_with("No difference found in 100 of 1,000 files"));
    }
}
