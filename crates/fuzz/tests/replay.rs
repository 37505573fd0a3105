//! Every committed corpus once more, and a short run of mutations of it: the same ones each time,
//! so that a change fails for what it did.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use whimbrel_fuzz::mutation::Mutation;
use whimbrel_fuzz::{TARGETS, Target, target};

/// Mutations of one target: as many as this, or what this time holds.
const MUTATIONS_MAX: u64 = 20_000;
const TIME_MAX: Duration = Duration::from_millis(2_500);

fn corpus(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{folder:?}: {e}"));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(&path).unwrap())).collect()
}

/// Says which input it was where one fails.
fn run(target: &Target, bytes: &[u8], from: &str) {
    let tried = std::panic::catch_unwind(|| target.run(bytes));
    if let Err(panic) = tried {
        eprintln!("{}: {from}: \"{}\"", target.name, bytes.escape_ascii());
        std::panic::resume_unwind(panic);
    }
}

fn replay(name: &str) {
    let target = target(name).unwrap();
    let corpus = corpus(target);
    assert!(!corpus.is_empty(), "{name} has no corpus");
    for (path, bytes) in &corpus {
        run(target, bytes, &path.display().to_string());
    }
    let inputs: Vec<Vec<u8>> = corpus.into_iter().map(|(_, bytes)| bytes).collect();
    let mut mutation = Mutation::new(1);
    let begun = Instant::now();
    for number in 0..MUTATIONS_MAX {
        if begun.elapsed() > TIME_MAX {
            break;
        }
        run(target, &mutation.of(&inputs, target.bytes_max), &format!("mutation {number}"));
    }
}

macro_rules! replayed {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_target_is_replayed() {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

replayed! {
    cli_arguments
    cli_configuration
    control_request
    fsimage
    globs
    hdfs_configuration
    hdfs_edits
    hdfs_frames
    hdfs_packets
    hdfs_replies
    key_map
    local_acl
    report_files
    s3_heads
    s3_replies
    s3_settings
    s3_xml
    stamps
    state_call
    state_cutover
    state_notes
    state_record
    state_result
}
