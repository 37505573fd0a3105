//! What a sample looks at, in real trees with one wrong byte.
#![allow(clippy::expect_used, reason = "a test ends where it fails")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use whimbrel_core::config::DirectoryMarkers;
use whimbrel_core::metadata::MetadataLevel;
use whimbrel_core::path::RelPath;
use whimbrel_core::scope::Scope;
use whimbrel_store::key::KeyMap;
use whimbrel_store::local::{LocalSource, LocalTarget};
use whimbrel_verify::{
    Content, Extent, Meter, Options, SHARE_WHOLE, Sample, SampleSums, Sums, Verification,
};

const FILES: u8 = 200;
const LENGTH: usize = 100;

/// Two equal trees of as many files, in a few directories.
fn two_trees() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for side in ["source", "target"] {
        for index in 0..FILES {
            let path = folder.path().join(format!("{side}/{}/{index}", index % 7));
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(&path, [index; LENGTH]).expect("written");
        }
    }
    folder
}

fn turn_a_bit(path: &Path) {
    let mut content = fs::read(path).expect("read");
    content[LENGTH / 2] ^= 1;
    fs::write(path, content).expect("written");
}

struct Seen {
    sums: Sums,
    sample: SampleSums,
    told: Vec<String>,
}

async fn seen(folder: &Path, sample: Sample, mapped: &[&str]) -> Seen {
    let source = LocalSource::open(&folder.join("source")).expect("opens");
    let target = LocalTarget::look_at(&folder.join("target")).expect("opens");
    let verification = Verification {
        source: Arc::new(source),
        target: Arc::new(target),
        keys: KeyMap::default(),
        mapped: mapped.iter().map(|from| RelPath::from(*from)).collect(),
        scope: Scope::everything(),
        options: Options {
            content: Content::Read,
            ignore_extras: false,
            metadata: MetadataLevel::None,
            directory_markers: DirectoryMarkers::Empty,
            parallel: 4,
            patience: Duration::from_secs(2),
            sample: Some(sample),
        },
        worker: None,
        keeper: None,
    };
    let (sender, mut receiver) = mpsc::channel(1_000);
    let meter = Arc::new(Meter::default());
    let sums = verification.run(&meter, &sender).await.expect("compared");
    drop(sender);
    let mut told = Vec::new();
    while let Some(difference) = receiver.recv().await {
        told.push(difference.path.to_string());
    }
    told.sort();
    Seen { sums, sample: meter.sample_sums(), told }
}

fn share(percent: u32, seed: &str) -> Sample {
    let extent = Extent::Share(SHARE_WHOLE / 100 * percent);
    Sample { seed: seed.to_owned(), extent, held_max: 1 }
}

fn time(time: Duration, held_max: usize) -> Sample {
    Sample { seed: "time".to_owned(), extent: Extent::Time(time), held_max }
}

/// One wrong byte in 200 files: a sample of a quarter finds it in a quarter of all seeds, and what
/// is said to be the chance of missing it is how often it is missed.
#[tokio::test]
async fn a_wrong_byte_is_found_by_the_share_of_seeds() {
    let folder = two_trees();
    turn_a_bit(&folder.path().join("target/3/3"));
    let (mut found, mut chances) = (0_u32, 0.0);
    for index in 0..100 {
        let seed = index.to_string();
        let first = seen(folder.path(), share(25, &seed), &[]).await;
        assert_eq!(first.sample.files_listed, u64::from(FILES));
        assert_eq!(first.sums.bytes_read_source, first.sample.bytes_looked_at);
        assert_eq!(first.sums.bytes_read_target, first.sample.files_looked_at * LENGTH as u64);
        assert!((25..=75).contains(&first.sample.files_looked_at), "{:?}", first.sample);
        assert!(!first.sample.whole() && first.sample.missed_files_max() >= 1);
        found += u32::from(!first.told.is_empty());
        chances += 1.0 - first.sample.miss_probability(1);
        if index % 10 == 0 {
            let again = seen(folder.path(), share(25, &seed), &[]).await;
            assert_eq!((&again.told, again.sample), (&first.told, first.sample));
        }
    }
    assert!((chances - 25.0).abs() < 1.5, "{chances}");
    // Four standard deviations.
    assert!((8..=42).contains(&found), "{found}");
    let all = seen(folder.path(), share(100, "any"), &[]).await;
    assert_eq!(all.told, ["3/3"]);
    assert!(all.sample.whole());
}

/// What the listings tell is found in every sample, however small, and told once.
#[tokio::test]
async fn names_and_lengths_are_compared_of_all() {
    let folder = two_trees();
    let target = folder.path().join("target");
    fs::remove_file(target.join("1/1")).expect("removed");
    fs::write(target.join("2/2"), "shorter").expect("written");
    fs::write(target.join("2/new"), "extra").expect("written");
    fs::create_dir(folder.path().join("source/empty")).expect("made");
    let expected = ["1/1", "2/2", "2/new", "empty/"];
    let nothing = Sample { extent: Extent::Share(0), ..share(1, "s") };
    // Each held path takes a listing of its own.
    let by_time = [Duration::ZERO, Duration::from_secs(600)].map(|it| time(it, 50));
    for sample in [nothing, share(50, "s")].into_iter().chain(by_time) {
        for mapped in [&[][..], &["2", "3/3"]] {
            let seen = seen(folder.path(), sample.clone(), mapped).await;
            assert_eq!(seen.told, expected, "{sample:?} {mapped:?}");
            let mapped_files = mapped.iter().filter(|path| path.contains('/')).count() as u64;
            assert_eq!(seen.sample.files_listed, u64::from(FILES));
            assert_eq!(seen.sample.files_apart, 2 + mapped_files, "{mapped:?}");
            assert!(seen.sample.files_looked_at >= seen.sample.files_apart);
        }
    }
}

/// Time enough looks at everything, and finds what no listing tells; none looks at nothing.
#[tokio::test]
async fn by_time_it_goes_on_until_nothing_is_left() {
    let folder = two_trees();
    turn_a_bit(&folder.path().join("target/3/3"));
    for held_max in [1_000, 200, 60] {
        let seen = seen(folder.path(), time(Duration::from_secs(600), held_max), &[]).await;
        assert_eq!(seen.told, ["3/3"], "{held_max}");
        assert!(seen.sample.whole() && seen.sample.missed_files_max() == 0);
        let looked_at = (seen.sample.files_looked_at, seen.sample.bytes_looked_at);
        assert_eq!(looked_at, (u64::from(FILES), u64::from(FILES) * LENGTH as u64));
    }
    let none = seen(folder.path(), time(Duration::ZERO, 60), &[]).await;
    assert_eq!((none.told.len(), none.sample.files_looked_at), (0, 0));
    assert!(
        none.sample.miss_probability(1) >= 1.0
            && none.sample.missed_files_max() == u64::from(FILES)
    );
}
