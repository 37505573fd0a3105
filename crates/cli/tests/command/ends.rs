//! A run without `--live` ends, whatever stands in its way.

use std::fs::{OpenOptions, Permissions, set_permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::call::{Ended, Place, Running};

const SOON: Duration = Duration::from_secs(60);
/// A user who owns nothing.
const STRANGER: u32 = 65_533;

/// A log that somebody writes to all the time kept the run from its end, and nothing of it came.
#[test]
fn a_growing_file_arrives_as_far_as_it_was_copied() {
    let place = Place::new();
    let log: Vec<u8> = (0..5_000_000_u32).map(|number| (number % 251) as u8).collect();
    place.write("source/log", &log);
    place.write("source/other", "one");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = OpenOptions::new().append(true).open(place.path("source/log")).unwrap();
            while !over.load(Ordering::Relaxed) {
                file.write_all(b"a line of the log\n").unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let ended = std::panic::catch_unwind(|| {
            place.spawn(&["migrate", "source", "target", "--json"]).ended_within(SOON)
        });
        over.store(true, Ordering::Relaxed);
        assert_eq!(ended.unwrap().expect(0).result()["outcome"], "equal");
    });
    let arrived = place.read("target/log").unwrap();
    assert!(arrived.len() >= log.len(), "{} bytes", arrived.len());
    assert!(place.read("source/log").unwrap().starts_with(&arrived));
    assert_eq!(place.tree("target").len(), 2);
}

/// A place that belongs to a user who owns nothing else. `None` where this user may not give away:
/// said aloud, since nothing is tried then.
fn strangers(place: &Place, folders: &[&str]) -> Option<()> {
    for folder in folders {
        std::fs::create_dir_all(place.path(folder)).unwrap();
        set_permissions(place.path(folder), Permissions::from_mode(0o755)).unwrap();
        if let Err(error) = chown(place.path(folder), Some(STRANGER), Some(STRANGER)) {
            eprintln!("SKIPPED: another user's directory needs the right to make one: {error}");
            return None;
        }
    }
    Some(())
}

fn run_as_stranger(place: &Place) -> Ended {
    let mut call = place.command(&["migrate", "source", "target", "--json"]);
    Running::of(call.uid(STRANGER).gid(STRANGER).spawn().unwrap()).ended_within(SOON)
}

/// One directory of somebody else's was waited for as for a target that does not answer.
#[test]
fn a_directory_of_the_target_without_rights_fails_alone() {
    let place = Place::new();
    place.write("source/theirs/a", "one");
    place.write("source/theirs/new/b", "two");
    place.write("source/ours/c", "three");
    std::fs::create_dir_all(place.path("target/theirs")).unwrap();
    let Some(()) = strangers(&place, &["", "source", "target"]) else { return };
    let ended = run_as_stranger(&place).expect(5);
    let lines = ended.lines();
    let problems = || lines.iter().filter(|line| line["type"] == "problem");
    let owner: Vec<_> = problems().filter(|line| line["path"].is_null()).collect();
    assert!(matches!(owner[..], [line] if line["kind"] == "owner"), "{}", ended.stdout);
    let told = problems().filter(|line| !line["path"].is_null());
    let mut told: Vec<_> =
        told.map(|line| (line["kind"].as_str(), line["path"].as_str())).collect();
    told.sort();
    let denied = ["theirs", "theirs/a", "theirs/new", "theirs/new/b"];
    assert_eq!(told, denied.map(|path| (Some("denied"), Some(path))), "{}", ended.stdout);
    assert_eq!(ended.result()["outcome"], "incomplete");
    assert_eq!(ended.result()["run_owners_not_set"], 2, "ours, and ours/c");
    assert_eq!(place.read("target/ours/c").unwrap(), b"three");
}

/// Where nothing can be written it is the target that fails.
#[test]
fn a_target_without_rights_fails_as_a_whole() {
    let place = Place::new();
    place.write("source/a", "one");
    std::fs::create_dir_all(place.path("target")).unwrap();
    let Some(()) = strangers(&place, &["", "source"]) else { return };
    let ended = run_as_stranger(&place).expect(4);
    assert_eq!(ended.result()["outcome"], "failed");
}
