//! What a dry run of a migration says beside what the run then does.

use std::os::unix::ffi::OsStrExt;

use serde_json::Value;
use whimbrel_testbed::{S3Server, VersityGateway};

use crate::call::Place;

const CALL: [&str; 6] = ["migrate", "source", "target", "--name", "m", "--json"];

/// These files stand on the target.
fn migrated(files: &[(&str, &str)]) -> Place {
    let place = Place::new();
    for (name, content) in files {
        place.write(&format!("source/{name}"), content);
    }
    place.run(&CALL).expect(0);
    place
}

/// What a dry run and the run say of the same call, with the codes that they end with.
fn both(place: &Place, more: &[&str]) -> (Value, Value) {
    let call = [&CALL[..], more].concat();
    let before = place.tree("target");
    let rehearsed = place.run(&[&call[..], &["--dry-run"]].concat()).result();
    assert_eq!(place.tree("target"), before, "a dry run writes nothing");
    (rehearsed, place.run(&call).result())
}

fn numbers<const N: usize>(told: &Value, names: [&str; N]) -> [u64; N] {
    names.map(|name| told[name].as_u64().unwrap_or_else(|| panic!("{name}: {told}")))
}

/// It would copy one and remove one, said the dry run, and the run refused to.
#[test]
fn another_directory_in_the_roots_place_is_told_as_the_run_tells_it() {
    for content in ["new", "1"] {
        let place = migrated(&[("f", "1")]);
        std::fs::rename(place.path("source"), place.path("old")).unwrap();
        // The same bytes make no other root the one that was migrated.
        place.write("source/f", content);
        let (would, did) = both(&place, &[]);
        for told in ["message", "remedy", "exit_code", "outcome"] {
            assert_eq!(would[told], did[told], "{would} {did}");
        }
        assert_eq!(would["exit_code"], 3, "{would}");
        let doctor = ["doctor", "source", "target", "--name", "m", "--json"];
        let ended = place.run(&doctor).expect(3);
        let told = ended.lines().into_iter().find(|it| it["check"] == "root of the migration");
        assert_eq!(told.unwrap()["message"], did["message"]);
        std::fs::remove_dir_all(place.path("source")).unwrap();
        std::fs::rename(place.path("old"), place.path("source")).unwrap();
        place.run(&doctor).expect(0);
        assert_eq!(both(&place, &[]).0["exit_code"], 0);
    }
}

/// It would be kept, said the dry run, and the run removed it at once: a file in whose place the
/// source has a directory, or the other way round.
#[test]
fn what_is_in_the_way_is_told_as_removed() {
    let names = ["would_remove_files", "removals_delayed", "would_copy_files"];
    for (old, new) in [("p", "p/in"), ("d/p", "d")] {
        let place = migrated(&[(old, "precious"), ("k", "2")]);
        std::fs::remove_file(place.path(&format!("source/{old}"))).unwrap();
        let _ = std::fs::remove_dir(place.path("source/d"));
        place.write(&format!("source/{new}"), "22");
        let (would, did) = both(&place, &["--removals-after", "1h"]);
        assert_eq!(numbers(&would, names), [1, 0, 1], "{old}: {would}");
        let did_names = ["run_files_removed", "removals_delayed", "run_files_copied"];
        assert_eq!(numbers(&did, did_names), [1, 0, 1], "{old}: {did}");
    }
    let place = migrated(&[("p", "precious"), ("k", "2")]);
    std::fs::remove_file(place.path("source/p")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", place.path("source/p")).unwrap();
    let (would, did) = both(&place, &["--removals-after", "1h"]);
    assert_eq!(numbers(&would, ["would_remove_files", "failures"]), [1, 1], "{would}");
    assert_eq!(numbers(&did, ["run_files_removed", "failures"]), [1, 1], "{did}");
}

/// It was equal, said the dry run.
#[test]
fn a_file_of_equal_length_that_the_state_knows_otherwise_is_told() {
    let place = migrated(&[("x", "aaaa"), ("y", "aaaa")]);
    place.write("source/x", "bbbb");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(place.path("source/y"), mode).unwrap();
    let (would, did) = both(&place, &[]);
    assert_eq!((&would["outcome"], &would["exit_code"]), (&"incomplete".into(), &5.into()));
    assert_eq!(numbers(&would, ["would_copy_files", "would_compare_files"]), [1, 1], "{would}");
    assert_eq!(numbers(&did, ["run_files_copied", "run_metadata_updated"]), [1, 1], "{did}");
    let (would, _) = both(&place, &[]);
    assert_eq!((&would["outcome"], &would["exit_code"]), (&"equal".into(), &0.into()), "{would}");
    assert!(would["not_looked_at"].as_array().unwrap().contains(&"contents".into()), "{would}");

    let place = Place::new();
    place.write("source/x", "aaaa");
    place.write("target/x", "bbbb");
    let (would, did) = both(&place, &[]);
    assert_eq!(numbers(&would, ["would_compare_files", "exit_code"]), [1, 5], "{would}");
    assert_eq!(did["run_files_copied"], 1);
}

#[test]
fn what_cannot_be_migrated_is_told_as_failed() {
    let place = migrated(&[("a", "1")]);
    std::os::unix::fs::symlink("/etc/passwd", place.path("source/l")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(place.path("source/s")).unwrap();
    let (would, did) = both(&place, &[]);
    for told in [&would, &did] {
        assert_eq!(numbers(told, ["failures", "exit_code"]), [2, 5], "{told}");
    }
    drop(socket);
}

#[test]
fn a_name_that_the_target_cannot_hold_is_told_as_failed() {
    let server = VersityGateway::start().unwrap();
    server.create_bucket("bucket").unwrap();
    let place = Place::new().with(server.endpoint().environment());
    place.write("source/a", "1");
    std::fs::write(place.path("source").join(std::ffi::OsStr::from_bytes(b"\xff")), "2").unwrap();
    let call = ["migrate", "source", "s3://bucket/p", "--name", "m", "--json"];
    let rehearse = || place.run(&[&call[..], &["--dry-run"]].concat()).expect(5).result();
    let names = ["would_copy_files", "failures"];
    let would = rehearse();
    assert_eq!(numbers(&would, names), [1, 1], "{would}");
    let did = place.run(&call).expect(5).result();
    assert_eq!(numbers(&did, ["run_files_copied", "failures"]), [1, 1], "{did}");
    let would = rehearse();
    assert_eq!(numbers(&would, names), [0, 1], "{would}");
    // Objects that somebody else wrote over, and another migration's.
    place.write("other/a", "somebody");
    let other = ["migrate", "other", "s3://bucket/p", "--name", "o", "--json"];
    let would = place.run(&[&other[..], &["--dry-run"]].concat()).expect(6).result();
    assert!(would["message"].as_str().unwrap().contains("another migration"), "{would}");
    place.run(&other).expect(6);
    place.run(&[&other[..], &["--adopt"]].concat()).expect(0);
    place.write("source/a", "22");
    let would = place.run(&[&call[..], &["--dry-run"]].concat()).expect(6).result();
    assert_eq!(numbers(&would, ["would_copy_files", "guarded"]), [0, 1], "{would}");
    let did = place.run(&call).expect(6).result();
    assert_eq!(numbers(&did, ["run_files_copied", "guarded"]), [0, 1], "{did}");
}

#[test]
fn what_stands_is_refused_as_the_run_refuses_it() {
    let place = Place::new();
    place.write("source/a", "a");
    place.write("target/a", "b");
    let (would, did) = both(&place, &["--existing", "refuse"]);
    for told in [&would, &did] {
        assert_eq!(numbers(told, ["guarded", "exit_code"]), [1, 6], "{told}");
    }
}

#[test]
fn another_migrations_objects_are_refused_as_the_run_refuses_them() {
    let place = migrated(&[("a", "a")]);
    let other = ["migrate", "source", "target", "--name", "other", "--json"];
    let would = place.run(&[&other[..], &["--dry-run"]].concat()).expect(6).result();
    let did = place.run(&other).expect(6).result();
    assert_eq!((&would["message"], &would["remedy"]), (&did["message"], &did["remedy"]));
    let adopts = ["--adopt", "--dry-run"];
    let would = place.run(&[&other[..], &adopts].concat()).expect(5).result();
    assert_eq!(would["would_compare_files"], 1, "{would}");
}

#[test]
fn a_new_empty_directory_is_told() {
    let place = migrated(&[("a", "a")]);
    std::fs::create_dir(place.path("source/e")).unwrap();
    let (would, did) = both(&place, &[]);
    assert_eq!(numbers(&would, ["would_make_directories", "exit_code"]), [1, 5], "{would}");
    assert_eq!(did["run_markers_written"], 1);
}

#[test]
fn what_somebody_else_wrote_over_is_told_as_held() {
    let place = migrated(&[("a", "1"), ("b", "1")]);
    place.write("target/a", "somebody");
    place.write("source/a", "22");
    place.write("source/b", "22");
    let (would, did) = both(&place, &[]);
    let names = ["guarded", "exit_code"];
    assert_eq!(numbers(&would, names), [1, 6], "{would}");
    assert_eq!(numbers(&did, names), [1, 6], "{did}");
    assert_eq!((&would["would_copy_files"], &did["run_files_copied"]), (&1.into(), &1.into()));
}

#[test]
fn what_the_guard_holds_is_told_as_held() {
    let names: Vec<String> = (0..20).map(|number| format!("{number:02}")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let place = migrated(&files);
    for name in names.iter().take(13) {
        std::fs::remove_file(place.path(&format!("source/{name}"))).unwrap();
    }
    let (would, did) = both(&place, &["--removals-max", "3"]);
    for told in [&would, &did] {
        assert_eq!(numbers(told, ["guarded", "exit_code"]), [13, 6], "{told}");
    }
    assert_eq!((&would["would_remove_files"], &did["run_files_removed"]), (&0.into(), &0.into()));
    // What was renamed is not lost.
    let place = migrated(&files);
    std::fs::create_dir(place.path("source/d")).unwrap();
    for name in names.iter().take(13) {
        let (from, to) = (format!("source/{name}"), format!("source/d/{name}"));
        std::fs::rename(place.path(&from), place.path(&to)).unwrap();
    }
    let (would, did) = both(&place, &["--removals-max", "3"]);
    assert_eq!(numbers(&would, ["guarded", "would_remove_files"]), [0, 13], "{would}");
    assert_eq!(numbers(&did, ["guarded", "run_files_removed"]), [0, 13], "{did}");
}

#[test]
fn what_others_left_in_the_way_is_told_as_failed() {
    for (theirs, ours) in [("d", "d/x"), ("d/x", "d")] {
        let place = Place::new();
        place.write(&format!("source/{ours}"), "1");
        place.write(&format!("target/{theirs}"), "file");
        let (would, did) = both(&place, &[]);
        assert_eq!(would["would_copy_files"], 0, "{would}");
        assert_eq!(would["failures"], did["failures"], "{theirs}: {would} {did}");
        assert_eq!(would["exit_code"], 5, "{would}");
    }
}

/// The dry run said for ever that it would be removed.
#[test]
fn a_commit_marker_of_a_directory_that_is_gone_waits_with_it() {
    let place = migrated(&[("d/f", "1"), ("d/_SUCCESS", ""), ("k", "2")]);
    std::fs::remove_dir_all(place.path("source/d")).unwrap();
    let names = ["removals_delayed", "exit_code"];
    let (would, did) = both(&place, &["--removals-after", "1h"]);
    assert_eq!(numbers(&would, names), [1, 0], "{would}");
    assert_eq!(numbers(&did, names), [1, 0], "{did}");
    let (would, _) = both(&place, &["--removals-after", "1h"]);
    assert_eq!(numbers(&would, names), [1, 0], "{would}");

    let place = migrated(&[("d/f", "1"), ("d/_SUCCESS", "")]);
    std::fs::remove_file(place.path("source/d/_SUCCESS")).unwrap();
    let (would, did) = both(&place, &["--removals-after", "1h"]);
    assert_eq!((&would["would_remove_files"], &did["run_files_removed"]), (&1.into(), &1.into()));
}

#[test]
fn extras_that_wait_are_counted_as_the_run_counts_them() {
    let place = migrated(&[("k", "2")]);
    place.write("target/x", "theirs");
    std::fs::create_dir(place.path("target/e")).unwrap();
    let (would, did) = both(&place, &["--extras", "remove", "--removals-after", "1h"]);
    let names = ["extras", "removals_delayed"];
    assert_eq!(numbers(&would, names), numbers(&did, names), "{would} {did}");
    assert_eq!(would["would_remove_directories"], 1, "{would}");
    assert!(!place.path("target/e").exists() && place.path("target/x").exists());
}

/// The dry run counted the file alone, and the run asked a person.
#[test]
fn directories_of_a_local_target_are_objects_that_the_guard_counts() {
    let bounds = ["--removals-max", "1", "--removals-share-max", "0%"];
    let place = migrated(&[("a/f", "1"), ("b/f", "2"), ("c/f", "3")]);
    std::fs::remove_dir_all(place.path("source/a")).unwrap();
    let (would, did) = both(&place, &bounds);
    for told in [&would, &did] {
        assert_eq!(numbers(told, ["guarded", "exit_code"]), [1, 6], "{told}");
    }
    // New directories are a part of what stands.
    let share = ["--removals-max", "1", "--removals-share-max", "33%"];
    place.write("source/d/e/f", "1");
    assert_eq!(both(&place, &share).0["guarded"], 1, "what an earlier run holds is held");
    let place = migrated(&[("a/f", "1"), ("b/f", "2")]);
    std::fs::remove_dir_all(place.path("source/a")).unwrap();
    place.write("source/d/e/f", "1");
    let (would, did) = both(&place, &["--removals-max", "1", "--removals-share-max", "29%"]);
    let names = ["would_remove_files", "would_remove_directories", "guarded"];
    assert_eq!(numbers(&would, names), [1, 1, 0], "2 of 7: {would}");
    assert_eq!(numbers(&did, ["run_files_removed", "guarded"]), [1, 0], "{did}");
}

/// It would copy the marker, said the dry run, and the run held it back.
#[test]
fn a_commit_marker_waits_with_what_it_speaks_for() {
    let failed = [1, 2, 5];
    let place = Place::new();
    for name in ["tab/f", "tab/_SUCCESS", "other/_SUCCESS"] {
        place.write(&format!("source/{name}"), "");
    }
    std::os::unix::fs::symlink("/etc/passwd", place.path("source/tab/link")).unwrap();
    place.write("source/other/f", "1");
    let (would, did) = both(&place, &["--exclude", "other/"]);
    let names = ["would_copy_files", "failures", "exit_code"];
    assert_eq!(numbers(&would, names), failed, "{would}");
    let names = ["run_files_copied", "failures", "exit_code"];
    assert_eq!(numbers(&did, names), failed, "{did}");
    let (would, did) = both(&place, &[]);
    assert_eq!(numbers(&would, ["would_copy_files", "failures"]), [2, 2], "{would}");
    assert_eq!(numbers(&did, ["run_files_copied", "failures"]), [2, 2], "{did}");
    // One of others is not taken over, and stays an extra.
    let theirs = Place::new();
    theirs.write("source/_SUCCESS", "1");
    theirs.write("target/_SUCCESS", "1");
    std::os::unix::fs::symlink("/etc/passwd", theirs.path("source/link")).unwrap();
    let (would, did) = both(&theirs, &[]);
    for told in [&would, &did] {
        assert_eq!(numbers(told, ["extras", "failures"]), [1, 2], "{told}");
    }
    // The one that stands is stale, and goes.
    let place = migrated(&[("tab/f", "1"), ("tab/_SUCCESS", "1")]);
    place.write("source/tab/_SUCCESS", "333");
    let (would, did) = both(&place, &[]);
    assert_eq!(numbers(&would, ["would_remove_files", "would_copy_files"]), [1, 1], "{would}");
    assert_eq!(numbers(&did, ["run_files_removed", "run_files_copied"]), [1, 1], "{did}");
    place.write("source/tab/_SUCCESS", "22");
    std::os::unix::fs::symlink("/etc/passwd", place.path("source/tab/link")).unwrap();
    let (would, did) = both(&place, &[]);
    assert_eq!(numbers(&would, ["would_remove_files", "failures"]), [1, 2], "{would}");
    assert_eq!(numbers(&did, ["run_files_removed", "failures"]), [1, 2], "{did}");
}

#[test]
fn a_commit_marker_is_held_with_what_the_guard_holds() {
    let place = migrated(&[("tab/f", "1"), ("tab/g", "1"), ("k", "1")]);
    std::fs::remove_file(place.path("source/tab/f")).unwrap();
    std::fs::remove_file(place.path("source/tab/g")).unwrap();
    place.write("source/tab/_SUCCESS", "");
    let (would, did) = both(&place, &["--removals-max", "1", "--removals-share-max", "0%"]);
    assert_eq!(numbers(&would, ["would_copy_files", "guarded"]), [0, 3], "{would}");
    assert_eq!(numbers(&did, ["run_files_copied", "guarded"]), [0, 3], "{did}");
}

/// The directories themselves were not counted.
#[test]
fn directories_that_others_files_keep_from_their_places_are_told_as_failed() {
    let place = Place::new();
    for name in ["d/e/f", "d/_SUCCESS", "x"] {
        place.write(&format!("source/{name}"), "1");
    }
    std::fs::create_dir(place.path("source/d/e/g")).unwrap();
    place.write("target/d", "theirs");
    // Nor was an empty file, which would be copied.
    std::fs::write(place.path("source/y"), "").unwrap();
    place.write("target/y/z", "theirs");
    let (would, did) = both(&place, &[]);
    assert_eq!(numbers(&would, ["would_copy_files", "failures", "extras"]), [1, 6, 2], "{would}");
    assert_eq!(numbers(&did, ["run_files_copied", "failures", "extras"]), [1, 6, 2], "{did}");
}

/// The file would be copied, said the dry run.
#[test]
fn a_file_in_whose_place_the_guard_holds_others_objects_is_not_copied() {
    let place = Place::new();
    for name in ["x", "y"] {
        place.write(&format!("source/{name}"), "1");
        place.write(&format!("target/{name}/theirs"), "1");
    }
    place.write("source/z", "1");
    let bounds = ["--removals-max", "1", "--removals-share-max", "0%", "--extras", "remove"];
    let (would, did) = both(&place, &bounds);
    let names = ["guarded", "extras", "exit_code", "would_copy_files"];
    assert_eq!(numbers(&would, names), [2, 2, 6, 1], "{would}");
    let names = ["guarded", "extras", "exit_code", "run_files_copied"];
    assert_eq!(numbers(&did, names), [2, 2, 6, 1], "{did}");
}

/// `verify` and the dry run said `equal`.
#[test]
fn a_file_that_is_mapped_by_itself_is_told_as_removed() {
    let place = Place::new();
    place.write("source/a", "1");
    place.write("source/k", "1");
    let mapped = ["--map", "a=zz"];
    place.run(&[&CALL[..], &mapped].concat()).expect(0);
    std::fs::remove_file(place.path("source/a")).unwrap();
    let verified = place.run(&["verify", "m", "--json"]).expect(5).result();
    assert_eq!(verified["extra"], 1, "{verified}");
    let (would, did) = both(&place, &mapped);
    assert_eq!(numbers(&would, ["would_remove_files", "exit_code"]), [1, 5], "{would}");
    assert_eq!(numbers(&did, ["run_files_removed", "exit_code"]), [1, 0], "{did}");
}
