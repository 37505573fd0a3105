//! A sample of the files: which ones, and what it leaves unknown.
//!
//! Which file is in it is decided by a keyed hash of its path alone. So the same seed gives the
//! same sample, a greater share contains each smaller one, and another seed gives another sample.
//! None has anything to do with what is wrong with a file.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ring::hmac::{HMAC_SHA256, Key, sign};
use serde::{Deserialize, Serialize};
use whimbrel_core::path::RelPath;

use crate::{Meter, add};

/// Parts that a share is counted in.
pub const SHARE_WHOLE: u32 = 1_000_000;

/// How sure a bound of [`SampleSums::missed_files_max`] is.
const DOUBT: f64 = 0.05;

/// Which files are looked at, where not all are. Names and lengths are compared of all: what the
/// target's listing lacks, or has with another length, is looked at besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Any text: the key of the hash.
    pub seed: String,
    /// How many.
    pub extent: Extent,
    /// Paths kept in memory while a sample goes by time; each so many take another listing.
    pub held_max: usize,
}

/// How far a sample goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// This many parts of [`SHARE_WHOLE`].
    Share(u32),
    /// In the order of the hash, this long after the tree was listed. What is under way then is
    /// ended.
    Time(Duration),
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleSums {
    /// Files that the source listed.
    pub files_listed: u64,
    /// Bytes of these.
    pub bytes_listed: u64,
    /// Files that the listings told apart: all of them are looked at.
    pub files_apart: u64,
    /// Files that were looked at, these among them.
    pub files_looked_at: u64,
    /// Bytes of these.
    pub bytes_looked_at: u64,
}

impl SampleSums {
    /// True if nothing was left out.
    pub fn whole(&self) -> bool {
        self.files_looked_at >= self.files_listed
    }

    /// The share that was drawn, of the files that the listings did not tell apart.
    fn drawn(&self) -> f64 {
        let all = self.files_listed.saturating_sub(self.files_apart);
        let drawn = self.files_looked_at.saturating_sub(self.files_apart);
        if all == 0 { 1.0 } else { (approximate(drawn) / approximate(all)).min(1.0) }
    }

    fn left_out(&self) -> u64 {
        self.files_listed.saturating_sub(self.files_looked_at)
    }

    /// At most how probable it is that none of `files` that differ, none of them told apart by the
    /// listings, was in the sample.
    pub fn miss_probability(&self, files: u64) -> f64 {
        if files > self.left_out() {
            return 0.0;
        }
        (1.0 - self.drawn()).powf(approximate(files))
    }

    /// How many more than this cannot differ, if the sample found none, without being wrong in one
    /// of twenty samples.
    pub fn missed_files_max(&self) -> u64 {
        let missed = DOUBT.ln() / (1.0 - self.drawn()).ln();
        // Nothing drawn: minus infinity, which says nothing.
        let bounded = missed.is_finite() && missed >= 0.0 && missed < approximate(u64::MAX);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
        let missed = if bounded { missed as u64 } else { u64::MAX };
        missed.min(self.left_out())
    }
}

#[allow(clippy::cast_precision_loss, reason = "a share needs no more")]
fn approximate(number: u64) -> f64 {
    number as f64
}

/// What becomes of a listed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    LookAt,
    /// It is not in the sample, or its turn comes later.
    Leave,
}

/// Draws a sample.
pub(crate) struct Sampler {
    key: Key,
    extent: Extent,
    held_max: usize,
    /// The lowest that come behind `after`, with their lengths.
    held: BTreeSet<(u64, RelPath, u64)>,
    /// There were more than could be held.
    more: bool,
    /// Everything up to it was looked at.
    after: Option<(u64, RelPath)>,
    /// The names were compared.
    listed: bool,
}

impl Sampler {
    pub fn new(sample: &Sample) -> Self {
        Self {
            key: Key::new(HMAC_SHA256, sample.seed.as_bytes()),
            extent: sample.extent,
            held_max: sample.held_max.max(1),
            held: BTreeSet::new(),
            more: false,
            after: None,
            listed: false,
        }
    }

    /// Where a path stands in the order of the sample.
    fn rank(&self, path: &RelPath) -> u64 {
        let tag = sign(&self.key, path.as_bytes());
        tag.as_ref().iter().take(8).fold(0, |rank, byte| rank << 8 | u64::from(*byte))
    }

    /// True once all names were compared: what the listings told apart is told.
    pub fn listed(&self) -> bool {
        self.listed
    }

    /// How long it goes on when the tree was listed.
    pub fn time(&self) -> Option<Duration> {
        match self.extent {
            Extent::Share(_) => None,
            Extent::Time(time) => Some(time),
        }
    }

    /// Says whether a file of the source is looked at; `agrees` if the target lists it alike.
    pub fn choose(&mut self, path: &RelPath, length: u64, agrees: bool, meter: &Meter) -> Choice {
        if !self.listed {
            add(&meter.files_listed, 1);
            add(&meter.bytes_listed, length);
        }
        match (agrees, self.listed) {
            (true, _) => self.draw(path, length),
            (false, true) => Choice::Leave,
            (false, false) => {
                add(&meter.files_apart, 1);
                Choice::LookAt
            }
        }
    }

    fn draw(&mut self, path: &RelPath, length: u64) -> Choice {
        let rank = self.rank(path);
        match self.extent {
            Extent::Share(parts) => {
                let part = (u128::from(rank) * u128::from(SHARE_WHOLE)) >> u64::BITS;
                if part < u128::from(parts) { Choice::LookAt } else { Choice::Leave }
            }
            Extent::Time(_) => {
                self.hold(rank, path, length);
                Choice::Leave
            }
        }
    }

    fn hold(&mut self, rank: u64, path: &RelPath, length: u64) {
        let behind = |(after, last): &(u64, RelPath)| (rank, path) > (*after, last);
        if !self.after.as_ref().is_none_or(behind) {
            return;
        }
        self.held.insert((rank, path.clone(), length));
        if self.held.len() > self.held_max {
            self.held.pop_last();
            self.more = true;
        }
    }

    /// The next ones in order, with their lengths, and whether a listing will find more.
    pub fn take(&mut self) -> (Vec<(RelPath, u64)>, bool) {
        self.listed = true;
        if let Some((rank, path, _)) = self.held.last() {
            self.after = Some((*rank, path.clone()));
        }
        let held = std::mem::take(&mut self.held).into_iter();
        let more = std::mem::take(&mut self.more);
        (held.map(|(_, path, length)| (path, length)).collect(), more)
    }
}

impl Meter {
    /// How much was looked at until now, where a sample is drawn.
    pub fn sample_sums(&self) -> SampleSums {
        let get = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        SampleSums {
            files_listed: get(&self.files_listed),
            bytes_listed: get(&self.bytes_listed),
            files_apart: get(&self.files_apart),
            files_looked_at: get(&self.files_looked_at),
            bytes_looked_at: get(&self.bytes_looked_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(seed: &str, extent: Extent, held_max: usize) -> Sampler {
        Sampler::new(&Sample { seed: seed.to_owned(), extent, held_max })
    }

    fn paths() -> Vec<RelPath> {
        (0..10_000).map(|index| RelPath::from(format!("d/{index}").as_str())).collect()
    }

    fn drawn(seed: &str, parts: u32) -> Vec<RelPath> {
        let (mut sampler, meter) = (sampler(seed, Extent::Share(parts), 1), Meter::default());
        let mut drawn = paths();
        drawn.retain(|path| sampler.choose(path, 1, true, &meter) == Choice::LookAt);
        assert_eq!(meter.sample_sums().files_listed, 10_000);
        drawn
    }

    #[test]
    fn a_seed_draws_its_share_again() {
        let first = drawn("a", 10_000);
        assert_eq!(first, drawn("a", 10_000));
        assert!((60..=140).contains(&first.len()), "{}", first.len());
        let more = drawn("a", 100_000);
        assert!(first.iter().all(|path| more.contains(path)), "a greater share has it all");
        let other = drawn("b", 100_000);
        let both = other.iter().filter(|path| more.contains(path)).count();
        assert!((60..=140).contains(&both), "{both}");
        assert_eq!(drawn("a", SHARE_WHOLE).len(), 10_000);
        assert_eq!(drawn("a", 0).len(), 0);
    }

    /// Scripts keep a seed over versions: `printf a/b | openssl dgst -sha256 -hmac seed`.
    #[test]
    fn the_order_of_a_seed_never_changes() {
        let rank = sampler("seed", Extent::Share(1), 1).rank(&RelPath::from("a/b"));
        assert_eq!(rank, 0xebd9_15b2_b8ec_1883);
    }

    /// Each listing gives the next ones: together the order that one with room for all would give.
    #[test]
    fn by_time_it_goes_in_the_order_of_the_hash() {
        let extent = Extent::Time(Duration::ZERO);
        let (mut all, mut some) = (sampler("a", extent, 20_000), sampler("a", extent, 3_000));
        let meter = Meter::default();
        let list = |sampler: &mut Sampler| {
            for path in paths() {
                assert_eq!(sampler.choose(&path, 2, true, &meter), Choice::Leave);
            }
            sampler.take()
        };
        let (expected, more) = list(&mut all);
        assert_eq!((expected.len(), more), (10_000, false));
        let mut found = Vec::new();
        for left in [true, true, true, false] {
            let (held, more) = list(&mut some);
            assert_eq!(more, left);
            found.extend(held);
        }
        assert_eq!(found, expected);
        assert_eq!(meter.sample_sums().files_listed, 20_000, "each listed once");
    }

    #[test]
    fn what_the_listings_tell_apart_is_looked_at_once() {
        let extent = Extent::Time(Duration::ZERO);
        let (mut sampler, meter) = (sampler("a", extent, 10), Meter::default());
        let path = RelPath::from("a");
        assert_eq!(sampler.choose(&path, 7, false, &meter), Choice::LookAt);
        assert_eq!(sampler.take(), (Vec::new(), false));
        assert_eq!(sampler.choose(&path, 7, false, &meter), Choice::Leave);
        let sums = meter.sample_sums();
        assert_eq!((sums.files_listed, sums.bytes_listed, sums.files_apart), (1, 7, 1));
    }

    fn sums(files_listed: u64, files_apart: u64, files_looked_at: u64) -> SampleSums {
        SampleSums { files_listed, files_apart, files_looked_at, ..SampleSums::default() }
    }

    #[test]
    fn what_a_sample_may_have_missed() {
        let one_in_a_hundred = sums(1_000_000, 0, 10_000);
        assert!((one_in_a_hundred.miss_probability(1) - 0.99).abs() < 1e-9);
        assert!((one_in_a_hundred.miss_probability(100) - 0.366).abs() < 1e-3);
        // Three divided by the share.
        assert_eq!(one_in_a_hundred.missed_files_max(), 298);
        assert!(!one_in_a_hundred.whole());

        let nothing = sums(1_000, 0, 0);
        assert_eq!((nothing.miss_probability(1_000), nothing.missed_files_max()), (1.0, 1_000));
        let apart_alone = sums(1_000, 10, 10);
        assert_eq!((apart_alone.miss_probability(990), apart_alone.missed_files_max()), (1.0, 990));
        for all in [sums(1_000, 0, 1_000), sums(0, 0, 0), sums(5, 5, 5)] {
            assert_eq!((all.miss_probability(1), all.missed_files_max()), (0.0, 0));
            assert!(all.whole());
        }
        let most = sums(10, 0, 9);
        assert_eq!((most.miss_probability(2), most.missed_files_max()), (0.0, 1));
    }

    /// Against all samples of a small tree: the bound is never below what is so.
    #[test]
    fn the_bound_holds_for_every_small_tree() {
        for all in 1..=12_u64 {
            for drawn in 0..=all {
                for differ in 1..=all {
                    let miss = |index: u64| {
                        let left = (all - index).saturating_sub(drawn);
                        approximate(left) / approximate(all - index)
                    };
                    let exact: f64 = (0..differ).map(miss).product();
                    let bound = sums(all, 0, drawn).miss_probability(differ);
                    assert!(bound >= exact - 1e-12, "{all} {drawn} {differ}: {bound} < {exact}");
                    if exact > DOUBT {
                        assert!(sums(all, 0, drawn).missed_files_max() >= differ);
                    }
                }
            }
        }
    }
}
