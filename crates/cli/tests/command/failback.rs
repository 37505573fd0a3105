//! The way back: local trees, and a real S3 server to HDFS.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use whimbrel_testbed::{Checker, Fault, FaultProxy, Hadoop, S3Server};

use crate::call::{Ended, Place};
use crate::hdfs::World;

const BACK: [&str; 3] = ["failback", "m", "--json"];

/// Paths and what was done there, but for the order.
fn changes(ended: &Ended) -> BTreeSet<(String, String)> {
    let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    let lines = ended.lines().into_iter().filter(|line| line["type"] == "change");
    lines.map(|line| (text(&line, "change"), text(&line, "path"))).collect()
}

fn problems(ended: &Ended) -> BTreeSet<(String, String)> {
    let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    let problems = ended.problems();
    problems.iter().map(|line| (text(line, "kind"), text(line, "path"))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    expected.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
}

fn text(place: &Place, name: &str) -> String {
    String::from_utf8(place.read(name).unwrap_or_default()).unwrap()
}

fn migrated() -> Place {
    let place = Place::new();
    for name in ["a", "both", "here", "same", "d/b", "d/gone", "e/deep/c", "stays"] {
        place.write(&format!("source/{name}"), format!("first {name}"));
    }
    place.run(&["migrate", "source", "target", "--name", "m"]).expect(0);
    place
}

#[test]
fn what_changed_at_the_target_goes_back() {
    let place = migrated();
    place.write("target/a", "second a");
    place.write("target/new/x", "a new one");
    std::fs::set_permissions(place.path("target/new/x"), PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::remove_file(place.path("target/d/gone")).unwrap();
    std::fs::remove_dir_all(place.path("target/e")).unwrap();
    std::fs::create_dir_all(place.path("target/empty")).unwrap();
    place.write("source/here", "second here");
    for side in ["source", "target"] {
        place.write(&format!("{side}/both"), format!("second {side}"));
        place.write(&format!("{side}/same"), "second on both");
        place.write(&format!("{side}/met"), format!("new at {side}"));
    }
    let expected = [
        ("carried", "a"),
        ("carried", "new/x"),
        ("removed", "d/gone"),
        ("removed", "e/deep/c"),
        ("directory_made", "empty"),
        ("directory_removed", "e/deep"),
        ("directory_removed", "e"),
    ];
    let conflicts = pairs(&[("conflict", "both"), ("conflict", "met")]);
    let before = place.tree("source");
    let would = place.run(&["failback", "m", "--dry-run", "--json"]).expect(5);
    assert_eq!((changes(&would), problems(&would)), (pairs(&expected), conflicts.clone()));
    assert_eq!(place.tree("source"), before, "a dry run writes nothing");

    let back = place.run(&BACK).expect(5);
    assert_eq!((changes(&back), problems(&back)), (pairs(&expected), conflicts.clone()));
    let result = back.result();
    assert_eq!((&result["outcome"], &result["files_equal"]), (&json!("incomplete"), &json!(1)));
    assert_eq!(text(&place, "source/a"), "second a");
    assert_eq!(text(&place, "source/new/x"), "a new one");
    let mode = std::fs::metadata(place.path("source/new/x")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(place.path("source/empty").is_dir() && !place.path("source/e").exists());
    assert!(!place.path("source/d/gone").exists());
    assert_eq!(text(&place, "source/both"), "second source");
    assert_eq!(text(&place, "target/both"), "second target");
    assert_eq!(text(&place, "source/here"), "second here", "the next run carries it");

    let again = place.run(&BACK).expect(5);
    assert_eq!((changes(&again), problems(&again)), (pairs(&[]), conflicts.clone()));
    // Forward, what the source alone changed is all there is to do; conflicts stay.
    let forward = place.run(&["migrate", "source", "target", "--name", "m", "--json"]);
    let forward = forward.expect(6).result();
    assert_eq!(forward["run_files_copied"], 1, "{forward}");
    assert_eq!(text(&place, "target/here"), "second here");
    assert_eq!(text(&place, "target/both"), "second target");

    // What that run noted of them is told as it was.
    let still = place.run(&BACK).expect(5);
    assert_eq!((changes(&still), problems(&still)), (pairs(&[]), conflicts));
    let replaced = place.run(&["failback", "m", "--conflicts", "replace", "--json"]).expect(0);
    assert_eq!(changes(&replaced), pairs(&[("carried", "both"), ("carried", "met")]));
    assert_eq!(text(&place, "source/both"), "second target");
    let forward = place.run(&["migrate", "source", "target", "--name", "m", "--json"]).expect(0);
    assert_eq!(forward.result()["run_files_copied"], 0, "{}", forward.stdout);
    place.run(&["verify", "m"]).expect(0);
    assert_eq!(place.tree("source"), place.tree("target"));
}

/// Removed there and changed here, changed there and removed here, and the other way round.
#[test]
fn a_removal_against_a_change_is_a_conflict() {
    let place = migrated();
    std::fs::remove_file(place.path("target/a")).unwrap();
    place.write("source/a", "second a");
    std::fs::remove_file(place.path("source/both")).unwrap();
    place.write("target/both", "second both");
    // Removed on both sides: nothing is left to be done.
    for side in ["source", "target"] {
        std::fs::remove_file(place.path(&format!("{side}/same"))).unwrap();
    }
    let back = place.run(&BACK).expect(5);
    let conflicts = pairs(&[("conflict", "a"), ("conflict", "both")]);
    assert_eq!((changes(&back), problems(&back)), (pairs(&[]), conflicts));
    assert_eq!(text(&place, "source/a"), "second a");
    assert!(!place.path("source/both").exists());
    let replaced = place.run(&["failback", "m", "--conflicts", "replace", "--json"]).expect(0);
    assert_eq!(changes(&replaced), pairs(&[("removed", "a"), ("carried", "both")]));
    assert!(!place.path("source/a").exists());
    assert_eq!(text(&place, "source/both"), "second both");
}

/// A file became a directory at the target, and a directory a file.
#[test]
fn kinds_change_places() {
    let place = migrated();
    std::fs::remove_file(place.path("target/a")).unwrap();
    place.write("target/a/x", "in a");
    std::fs::remove_dir_all(place.path("target/e")).unwrap();
    place.write("target/e", "a file");
    place.run(&BACK).expect(0);
    assert_eq!(place.tree("source"), place.tree("target"));
    // What the target does not have keeps its directory.
    std::fs::remove_dir_all(place.path("target/d")).unwrap();
    place.write("target/d", "a file");
    place.write("source/d/late", "of the source");
    let back = place.run(&BACK).expect(5);
    assert_eq!(problems(&back), pairs(&[("conflict", "d")]));
    assert_eq!(text(&place, "source/d/late"), "of the source");
}

#[test]
fn very_many_removals_wait_for_a_person() {
    let place = migrated();
    let call = ["failback", "m", "--json", "--removals-max", "2", "--removals-share-max", "10%"];
    for name in ["a", "d/b", "stays"] {
        std::fs::remove_file(place.path(&format!("target/{name}"))).unwrap();
    }
    place.write("target/new", "carried all the same");
    let before = place.tree("source").len();
    let result = place.run(&call).expect(6).result();
    assert_eq!((&result["guarded"], &result["files_carried"]), (&json!(3), &json!(1)));
    assert_eq!(place.tree("source").len(), before + 1);
    let confirmed = [&call[..], &["--confirm-removals"]].concat();
    assert_eq!(place.run(&confirmed).expect(0).result()["files_removed"], 3);
    // Nothing at all is left: whatever the bounds say, somebody looks first.
    std::fs::remove_dir_all(place.path("target/e")).unwrap();
    for name in place.tree("target").keys() {
        std::fs::remove_file(place.path("target").join(name)).unwrap();
    }
    let before = place.tree("source");
    place.run(&BACK).expect(6);
    assert_eq!(place.tree("source"), before);
}

#[test]
fn a_target_that_is_gone_removes_nothing() {
    let place = migrated();
    let before = place.tree("source");
    std::fs::rename(place.path("target"), place.path("elsewhere")).unwrap();
    place.run(&BACK).expect(4);
    std::fs::create_dir(place.path("target")).unwrap();
    place.run(&BACK).expect(4);
    assert_eq!(place.tree("source"), before);
}

/// What lies behind a symbolic link is not known: it was taken for gone, and went at the source.
#[test]
fn what_a_link_hides_at_the_target_is_not_gone() {
    let place = Place::new();
    place.write("source/big/one", "one");
    place.write("source/other", "other");
    place.run(&["migrate", "source", "target", "--name", "m"]).expect(0);
    let before = place.tree("source");
    std::fs::rename(place.path("target/big"), place.path("moved")).unwrap();
    std::os::unix::fs::symlink(place.path("moved"), place.path("target/big")).unwrap();
    let told = place.run(&BACK).expect(5);
    assert_eq!(changes(&told), pairs(&[]));
    assert_eq!(place.tree("source"), before);
}

/// Another place with something of others in it is no less empty than an empty one.
#[test]
fn a_target_with_foreign_files_alone_is_asked_about() {
    let place = migrated();
    let before = place.tree("source");
    for entry in std::fs::read_dir(place.path("target")).unwrap() {
        let path = entry.unwrap().path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'.');
        match path.is_dir() {
            true if !hidden => std::fs::remove_dir_all(path).unwrap(),
            false => std::fs::remove_file(path).unwrap(),
            true => {}
        }
    }
    place.write("target/of/others", "foreign");
    let told = place.run(&BACK).expect(6);
    assert_eq!(changes(&told), pairs(&[("carried", "of/others")]));
    let mut after = place.tree("source");
    after.retain(|path, _| !path.ends_with("of/others"));
    assert_eq!(after, before);
}

/// A file system in memory; it goes with the test.
struct Mounted(PathBuf);

impl Mounted {
    /// `None` where this user may not mount: said aloud, since nothing is tried then.
    fn at(path: PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&path).unwrap();
        let options = ["-t", "tmpfs", "-o", "size=4m", "tmpfs"];
        let done = Command::new("mount").args(options).arg(&path).output().unwrap();
        if !done.status.success() {
            eprintln!("SKIPPED: needs the right to mount: {done:?}");
            return None;
        }
        Some(Self(path))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// It ended the call before the removals that make room; and what fits goes back in any case.
#[test]
fn what_does_not_fit_goes_back_after_the_removals() {
    let place = Place::new();
    let Some(_small) = Mounted::at(place.path("source")) else { return };
    place.write("source/old", vec![1; 2 << 20]);
    place.write("source/stays", "stays");
    place.run(&["migrate", "source", "target", "--name", "m"]).expect(0);
    std::fs::remove_file(place.path("target/old")).unwrap();
    place.write("target/a", vec![2; 3 << 20]);
    let back = place.run(&BACK).expect(0);
    assert_eq!(changes(&back), pairs(&[("carried", "a"), ("removed", "old")]));
    assert_eq!(place.tree("source"), place.tree("target"));

    place.write("target/b", vec![3; 5 << 20]);
    place.write("target/c", "fits");
    let back = place.run(&BACK).expect(5);
    assert_eq!(changes(&back), pairs(&[("carried", "c")]));
    assert_eq!(problems(&back), pairs(&[("full", "b")]));
    assert!(!place.path("source/b").exists());
}

#[test]
fn a_dry_run_tells_what_cannot_be_written() {
    let place = Place::new();
    let Some(mounted) = Mounted::at(place.path("source/fixed")) else { return };
    place.write("source/fixed/x", "first");
    place.write("source/fixed/gone", "first");
    place.write("source/fixed/late", "first");
    place.write("source/stays", "stays");
    place.run(&["migrate", "source", "target", "--name", "m"]).expect(0);
    place.write("target/fixed/x", "second");
    place.write("target/fixed/new/y", "new");
    std::fs::remove_file(place.path("target/fixed/gone")).unwrap();
    // Files are made in the root's file system, and none is renamed into another one.
    let unsupported = ["fixed/new/y", "fixed/x"].map(|path| ("unsupported", path));
    for call in [&["failback", "m", "--dry-run", "--json"][..], &BACK] {
        let told = place.run(call).expect(5);
        assert_eq!(changes(&told), pairs(&[("removed", "fixed/gone")]), "{call:?}");
        assert_eq!(problems(&told), pairs(&unsupported), "{call:?}");
    }
    std::fs::remove_file(place.path("target/fixed/late")).unwrap();
    let read_only = ["-o", "remount,ro"];
    assert!(Command::new("mount").args(read_only).arg(&mounted.0).status().unwrap().success());
    let expected = [&unsupported[..], &[("denied", "fixed/late")]].concat();
    for call in [&["failback", "m", "--dry-run", "--json"][..], &BACK] {
        let told = place.run(call).expect(5);
        assert_eq!((changes(&told), problems(&told)), (pairs(&[]), pairs(&expected)), "{call:?}");
    }
}

/// It ended every call; nobody but who mounted it can have it go.
#[test]
fn a_mount_point_stays_when_its_last_file_goes() {
    let place = Place::new();
    let Some(_mounted) = Mounted::at(place.path("source/m")) else { return };
    place.write("source/m/x", "first");
    place.write("source/stays", "stays");
    place.run(&["migrate", "source", "target", "--name", "m"]).expect(0);
    std::fs::remove_dir_all(place.path("target/m")).unwrap();
    place.write("target/zz", "goes on");
    let back = place.run(&BACK).expect(5);
    assert_eq!(changes(&back), pairs(&[("removed", "m/x"), ("carried", "zz")]));
    assert_eq!(problems(&back), pairs(&[("kept", "m")]));
    assert!(place.path("source/m").is_dir());
    assert_eq!(changes(&place.run(&BACK).expect(0)), pairs(&[]));
}

/// A dry run named files alone.
#[test]
fn a_dry_run_names_directories_that_go() {
    let place = Place::new();
    for directory in ["source/empty", "source/d/e/empty", "source/kept/foreign"] {
        std::fs::create_dir_all(place.path(directory)).unwrap();
    }
    for file in ["source/d/a", "source/d/e/b", "source/kept/a", "source/stays"] {
        place.write(file, "first");
    }
    place.run(&["migrate", "source", "target", "--name", "m"]).expect(0);
    for gone in ["target/empty", "target/d", "target/kept"] {
        std::fs::remove_dir_all(place.path(gone)).unwrap();
    }
    place.write("source/kept/foreign/new", "of the source alone");
    let dry = place.run(&["failback", "m", "--dry-run", "--json"]).expect(0);
    let run = place.run(&BACK).expect(0);
    assert_eq!(changes(&dry), changes(&run));
    let directories = ["empty", "d/e/empty", "d/e", "d"].map(|path| ("directory_removed", path));
    for directory in pairs(&directories) {
        assert!(changes(&run).contains(&directory), "{directory:?}");
    }
    assert_eq!(dry.result()["directories_removed"], run.result()["directories_removed"]);
    assert_eq!(text(&place, "source/kept/foreign/new"), "of the source alone");
}

fn remove_all(place: &Place, names: &[&str]) {
    for name in names {
        std::fs::remove_dir_all(place.path(name)).unwrap();
    }
}

/// Its files had gone before the conflict was known, and the dry run told of none.
#[test]
fn a_directory_that_cannot_make_room_loses_nothing() {
    let place = Place::new();
    let files = ["x/f", "y/f", "y/in/g", "z/changed", "z/f", "goes/f", "goes/in/g", "stays"];
    for file in files {
        place.write(&format!("source/{file}"), "first");
    }
    std::fs::create_dir(place.path("source/goes/empty")).unwrap();
    place.run(&["migrate", "source", "target", "--name", "m"]).expect(0);
    for directory in ["source/x/e", "source/own"] {
        std::fs::create_dir(place.path(directory)).unwrap();
    }
    place.write("source/y/in/new", "of the source alone");
    place.write("source/z/changed", "second");
    remove_all(&place, &["target/x", "target/y", "target/z", "target/goes"]);
    for file in ["goes", "own", "x", "y", "z"] {
        place.write(&format!("target/{file}"), "a file");
    }
    let conflicts = ["own", "x", "y", "z"].map(|path| ("conflict", path));
    let gone = [
        ("removed", "goes/f"),
        ("removed", "goes/in/g"),
        ("directory_removed", "goes/empty"),
        ("directory_removed", "goes/in"),
        ("directory_removed", "goes"),
        ("carried", "goes"),
    ];
    let dry_run = ["failback", "m", "--dry-run", "--json"];
    for (call, expected) in [(&dry_run[..], &gone[..]), (&BACK, &gone), (&BACK, &[])] {
        let told = place.run(call).expect(5);
        assert_eq!((changes(&told), problems(&told)), (pairs(expected), pairs(&conflicts)));
        let named = |path: &str| {
            let lines = told.problems();
            let line = lines.iter().find(|line| line["path"] == path).unwrap();
            line["message"].as_str().unwrap().to_owned()
        };
        assert!(named("x").contains("x/e") && named("y").contains("y/in/new"));
    }
    for file in ["x/f", "y/f", "y/in/g", "z/f"] {
        assert_eq!(text(&place, &format!("source/{file}")), "first", "{file}");
    }
    std::fs::remove_dir(place.path("source/x/e")).unwrap();
    std::fs::remove_file(place.path("source/y/in/new")).unwrap();
    std::fs::remove_dir(place.path("source/own")).unwrap();
    place.run(&["failback", "m", "--conflicts", "replace"]).expect(0);
    assert_eq!(place.tree("source"), place.tree("target"));
}

/// As above: nobody but who mounted it can have it go.
#[test]
fn a_directory_with_a_mount_point_loses_nothing_to_a_file() {
    let place = Place::new();
    let Some(_mounted) = Mounted::at(place.path("source/d/m")) else { return };
    for file in ["d/f", "d/m/g", "stays"] {
        place.write(&format!("source/{file}"), "first");
    }
    place.run(&["migrate", "source", "target", "--name", "m"]).expect(0);
    remove_all(&place, &["target/d"]);
    place.write("target/d", "a file");
    for call in [&["failback", "m", "--dry-run", "--json"], &BACK[..]] {
        let told = place.run(call).expect(5);
        assert_eq!((changes(&told), problems(&told)), (pairs(&[]), pairs(&[("conflict", "d")])));
    }
    assert_eq!(text(&place, "source/d/f"), "first");
}

/// The first call said that all is back, and the second one told a conflict for good.
#[test]
fn what_the_source_alone_has_keeps_its_directory_in_every_call() {
    let place = Place::new();
    for file in ["e/a", "e/deep/b", "f/a", "f/z", "x/a", "stays"] {
        place.write(&format!("source/{file}"), "first");
    }
    std::fs::create_dir_all(place.path("source/was/empty")).unwrap();
    let migrate = ["migrate", "source", "target", "--name", "m", "--exclude", "**/*.log", "--json"];
    place.run(&migrate).expect(0);
    for file in ["e/deep/new", "was/empty/new", "x/excluded.log"] {
        place.write(&format!("source/{file}"), "of the source alone");
    }
    std::fs::remove_file(place.path("source/f/z")).unwrap();
    std::fs::create_dir(place.path("source/f/z")).unwrap();
    remove_all(&place, &["target/e", "target/f", "target/x", "target/was"]);
    let gone = ["e/a", "e/deep/b", "f/a", "x/a"].map(|path| ("removed", path));
    let dry_run = ["failback", "m", "--dry-run", "--json"];
    for (call, expected) in [(&dry_run[..], &gone[..]), (&BACK, &gone), (&BACK, &[])] {
        let told = place.run(call).expect(0);
        assert_eq!(changes(&told), pairs(expected), "{call:?}");
    }
    // No row that is left behind has a later call ask.
    let asks = [&BACK[..], &["--removals-max", "0", "--removals-share-max", "0%"]].concat();
    place.run(&asks).expect(0);
    let forward = place.run(&migrate).expect(0).result();
    assert_eq!(forward["run_files_copied"], 2, "{forward}");
    place.run(&["verify", "m"]).expect(0);
    assert!(place.path("target/f/z").is_dir() && place.path("target/x").is_dir());
}

/// They were counted as removed.
#[test]
fn directories_that_the_source_does_not_have_are_not_told_as_removed() {
    let place = Place::new();
    for file in ["a/f", "a/x/g", "b/f", "b/x/g", "stays"] {
        place.write(&format!("source/{file}"), "first");
    }
    place.run(&["migrate", "source", "target", "--name", "m"]).expect(0);
    remove_all(&place, &["source/a", "source/b/x", "target/a/x", "target/b"]);
    let dry = place.run(&["failback", "m", "--dry-run", "--json"]).expect(0);
    let run = place.run(&BACK).expect(0);
    for told in [&dry, &run] {
        assert_eq!(changes(told), pairs(&[("removed", "b/f"), ("directory_removed", "b")]));
        assert_eq!(told.result()["directories_removed"], 1);
    }
}

/// The first one ended every call, and a dry run took it for a file.
#[test]
fn what_is_no_file_at_a_local_target_holds_nothing_up() {
    let place = Place::new();
    place.write("source/changed", "first");
    place.write("source/gone", "first");
    place.run(&["migrate", "source", "target", "--name", "m"]).expect(0);
    let (fifo, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o644));
    rustix::fs::mknodat(rustix::fs::CWD, place.path("target/a"), fifo, mode, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place.path("target/b")).unwrap();
    std::os::unix::fs::symlink("changed", place.path("target/c")).unwrap();
    place.write("target/changed", "second");
    std::fs::remove_file(place.path("target/gone")).unwrap();
    let others = pairs(&[("conflict", "a"), ("conflict", "b"), ("conflict", "c")]);
    let expected = pairs(&[("carried", "changed"), ("removed", "gone")]);
    for call in [&["failback", "m", "--dry-run", "--json"], &BACK[..]] {
        let told = place.run(call).expect(5);
        assert_eq!((changes(&told), problems(&told)), (expected.clone(), others.clone()));
    }
    assert_eq!(text(&place, "source/changed"), "second");
}

/// A file that was changed in place lost those of the source, and what users had set.
#[test]
fn extended_attributes_of_a_local_target_go_back() {
    let place = Place::new();
    let set = |path: &str, name: &str, value: &str| {
        let path = place.path(path);
        rustix::fs::setxattr(path, name, value.as_bytes(), rustix::fs::XattrFlags::empty())
    };
    place.write("source/a", "first");
    place.write("source/b", "first");
    if set("source/a", "user.mine", "mine").and(set("source/b", "user.mine", "mine")).is_err() {
        eprintln!("SKIPPED: needs a file system with extended attributes");
        return;
    }
    let call = ["migrate", "source", "target", "--name", "m", "--metadata", "full"];
    place.run(&call).expect(0);
    place.write("target/a", "second");
    place.write("target/b", "second");
    set("target/b", "user.mine", "another").unwrap();
    assert_eq!(changes(&place.run(&BACK).expect(0)), pairs(&[("carried", "a"), ("carried", "b")]));
    let names = |path: &str| {
        let mut names = [0; 4096];
        let length = rustix::fs::listxattr(place.path(path), &mut names[..]).unwrap();
        String::from_utf8(names[..length].to_vec()).unwrap()
    };
    let value = |path: &str| {
        let mut value = [0; 64];
        let length = rustix::fs::getxattr(place.path(path), "user.mine", &mut value[..]).unwrap();
        String::from_utf8(value[..length].to_vec()).unwrap()
    };
    assert_eq!((value("source/a"), value("source/b")), ("mine".into(), "another".into()));
    place.run(&call).expect(0);
    assert_eq!((value("target/a"), value("target/b")), ("mine".into(), "another".into()));
    for path in ["source/a", "source/b"] {
        assert!(names(path).contains("user.mine\0"), "{}", names(path));
    }
}

/// Nobody sees what the migration wrote under it: all of it was removed at the source.
#[test]
fn what_lies_under_a_mount_at_the_target_is_not_gone() {
    let place = Place::new();
    place.write("source/m/x", "first");
    place.write("source/stays", "stays");
    place.run(&["migrate", "source", "target", "--name", "m"]).expect(0);
    let Some(mounted) = Mounted::at(place.path("target/m")) else { return };
    for call in [&BACK[..], &["failback", "m", "--dry-run", "--json"]] {
        let told = place.run(call).expect(4);
        assert_eq!(changes(&told), pairs(&[]), "{call:?}");
    }
    assert_eq!(text(&place, "source/m/x"), "first");
    drop(mounted);
    assert_eq!(changes(&place.run(&BACK).expect(0)), pairs(&[]));
}

/// Whoever could write to the target had his bytes run as root.
#[test]
fn other_bytes_do_not_run_as_their_owner() {
    let place = Place::new();
    let may_run_as = |name: &str| {
        let rights = std::fs::Permissions::from_mode(0o7755);
        std::fs::set_permissions(place.path(name), rights).unwrap();
    };
    for name in ["source/run", "source/stays"] {
        place.write(name, "first");
        may_run_as(name);
    }
    place.run(&["migrate", "source", "target", "--name", "m"]).expect(0);
    std::fs::remove_file(place.path("target/run")).unwrap();
    place.write("target/run", "somebody else's");
    may_run_as("target/run");
    place.run(&BACK).expect(0);
    let mode = |name| std::fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(text(&place, "source/run"), "somebody else's");
    assert_eq!((mode("source/run"), mode("source/stays")), (0o755, 0o7755));
    assert_eq!(changes(&place.run(&BACK).expect(0)), pairs(&[]));
}

/// They had the mode that the process makes directories with.
#[test]
fn new_directories_can_be_read_as_others() {
    let place = migrated();
    place.write("target/new/deep/x", "new");
    let whimbrel = env!("CARGO_BIN_EXE_whimbrel");
    let call = ["-c", "umask 077; exec \"$0\" failback m", whimbrel];
    Ended::of(place.program("sh", &call).output().unwrap()).expect(0);
    for path in ["source/new", "source/new/deep"] {
        let mode = std::fs::metadata(place.path(path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755, "{path}");
    }
}

#[test]
fn it_keeps_away_from_what_runs() {
    let place = migrated();
    let live = place.spawn(&["migrate", "source", "target", "--live", "--name", "m"]);
    crate::call::until("a migration that runs", || {
        place.run(&["status", "m", "--json"]).result()["running"] == true
    });
    let refused = place.run(&BACK).expect(7).result();
    assert!(refused["message"].as_str().unwrap().contains("use"), "{refused}");
    place.run(&["stop", "m"]).expect(0);
    live.ended_within(Duration::from_secs(60)).expect(143);
    place.run(&BACK).expect(0);
    place.run(&["failback", "nothing-of-that-name", "--json"]).expect(2);
}

/// One cluster for all of it: starting one takes longer than the rest.
#[test]
fn to_hdfs() {
    let world = World::start();
    let checker = Checker::new().unwrap().with_hadoop(&world.hadoop);
    let checker = checker.with_s3(world.server.endpoint());
    with_what_belongs_to_it(&world, &checker);
    names_that_cannot_stand_there(&world, &checker);
    what_the_name_node_refuses(&world, &checker);
    killed_again_and_again(&world, &checker);
    behind_a_fence(&world, &checker);
    over_bad_lines(&world, &checker);
}

fn migrate(world: &World, name: &str) -> (Place, String, String) {
    let place = world.place(world.hadoop.superuser());
    let source = format!("{}/{name}", world.hadoop.url());
    let target = format!("s3://bucket/{name}");
    let call = ["migrate", &source, &target, "--name", "m", "--metadata", "full"];
    place.run(&call).expect(0);
    (place, source, target)
}

fn status(hadoop: &Hadoop, path: &str) -> Value {
    hadoop.command(&json!({"command": "status", "path": path})).unwrap()
}

/// An operation of the cluster.
fn set(operation: &str, path: &str, more: Value) -> Value {
    let mut request = json!({"operation": operation, "path": path});
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

/// A tree with owners, lists and times, migrated; then users work on both sides.
fn worked_on_both_sides(world: &World, checker: &Checker) -> (Place, String, String) {
    let hadoop = &world.hadoop;
    for name in ["kept", "moved", "changed", "gone/x", "sub/gone", "sub/stays", "both", "old/f"] {
        hadoop.write(&format!("/back/{name}"), &format!("first {name}")).unwrap();
    }
    hadoop
        .operations(&[
            set("mkdirs", "/back/hollow", json!({})),
            set("set_owner", "/back/moved", json!({"owner": "alice", "group": "analysts"})),
            set(
                "set_acl",
                "/back/moved",
                json!({"acl": "user::rwx,user:bob:rw-,group::r--,mask::rw-,other::---"}),
            ),
            set("set_xattr", "/back/moved", json!({"name": "user.note", "text": "kept"})),
            set("set_times", "/back/moved", json!({"mtime_milliseconds": 1_234_567_890_123_u64})),
            set("set_owner", "/back/changed", json!({"owner": "bob", "group": "guests"})),
            set("set_permission", "/back/changed", json!({"mode": "640"})),
            set("set_replication", "/back/changed", json!({"replication": 2})),
        ])
        .unwrap();
    let (place, source, target) = migrate(world, "back");
    let long = "z".repeat(3 << 20);
    checker
        .s3_operations(
            &target,
            &[
                // As a rename does it that takes the metadata along.
                json!({"operation": "copy", "path": "moved", "to": "elsewhere/moved"}),
                json!({"operation": "remove", "path": "moved"}),
                json!({"operation": "put", "path": "changed", "text": "second changed"}),
                json!({"operation": "put", "path": "made/by/others", "text": long}),
                json!({"operation": "put", "path": "made/hollow/", "text": ""}),
                json!({"operation": "remove", "path": "gone/x"}),
                json!({"operation": "remove", "path": "sub/gone"}),
                json!({"operation": "remove", "path": "hollow/"}),
                json!({"operation": "put", "path": "both", "text": "second at the target"}),
            ],
        )
        .unwrap();
    hadoop.write("/back/both", "second at the source").unwrap();
    hadoop.operations(&[set("rename", "/back/old", json!({"to": "/back/new"}))]).unwrap();

    (place, source, target)
}

fn as_it_belongs(hadoop: &Hadoop) {
    let moved = status(hadoop, "/back/elsewhere/moved");
    let fields = ["owner", "group", "mode", "mtime_milliseconds", "has_acl"];
    let told: Vec<&Value> = fields.iter().map(|name| &moved[*name]).collect();
    assert_eq!(json!(told), json!(["alice", "analysts", "0760", 1_234_567_890_123_u64, true]));
    let changed = status(hadoop, "/back/changed");
    let told: Vec<&Value> = ["owner", "group", "mode"].iter().map(|name| &changed[*name]).collect();
    assert_eq!(json!(told), json!(["bob", "guests", "0640"]), "as what it replaced");
    let others = status(hadoop, "/back/made/by/others");
    assert_eq!((&others["bytes"], &others["mode"]), (&json!(3 << 20), &json!("0644")));
    assert_eq!(others["owner"], status(hadoop, "/back")["owner"]);
}

fn with_what_belongs_to_it(world: &World, checker: &Checker) {
    let hadoop = &world.hadoop;
    let (place, source, target) = worked_on_both_sides(world, checker);
    let back = place.run(&BACK).expect(5);
    let expected = pairs(&[
        ("carried", "elsewhere/moved"),
        ("removed", "moved"),
        ("carried", "changed"),
        ("carried", "made/by/others"),
        ("directory_made", "made/hollow"),
        ("removed", "gone/x"),
        ("directory_removed", "gone"),
        ("removed", "sub/gone"),
        ("directory_removed", "hollow"),
    ]);
    assert_eq!((changes(&back), problems(&back)), (expected, pairs(&[("conflict", "both")])));
    as_it_belongs(hadoop);

    let again = place.run(&BACK).expect(5);
    assert_eq!((changes(&again), problems(&again)), (pairs(&[]), pairs(&[("conflict", "both")])));
    place.run(&["failback", "m", "--conflicts", "replace"]).expect(0);
    // Forward, the rename at the source is all that is left.
    let call = ["migrate", &source, &target, "--name", "m", "--metadata", "full", "--json"];
    let forward = place.run(&call).expect(0).result();
    assert_eq!(forward["run_files_copied"], 0, "{forward}");
    assert_eq!(forward["run_files_relocated"], 1, "{forward}");
    let compared = checker.compare(&source, &target, &[]).unwrap();
    assert!(compared.equal, "{:?}", compared.findings);
    let forward = place.run(&call).expect(0).result();
    assert_eq!(
        (&forward["run_files_copied"], &forward["run_files_removed"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(changes(&place.run(&BACK).expect(0)), pairs(&[]));
}

fn names_that_cannot_stand_there(world: &World, checker: &Checker) {
    world.hadoop.write("/odd/a", "one").unwrap();
    world.hadoop.write("/odd/x/f", "one").unwrap();
    let (place, source, target) = migrate(world, "odd");
    let put = |path: &str| json!({"operation": "put", "path": path, "text": "other"});
    let removed = json!({"operation": "remove", "path": "x/f"});
    let operations = [put("c:d"), put("e"), put("long/x"), put("own"), removed, put("x")];
    checker.s3_operations(&target, &operations).unwrap();
    world.hadoop.write("/odd/e/below", "a directory here").unwrap();
    let empty = ["/odd/own", "/odd/x/e"].map(|path| set("mkdirs", path, json!({})));
    world.hadoop.operations(&empty).unwrap();
    let conflicts = ["e", "own", "x"].map(|path| ("conflict", path));
    let expected = pairs(&[&[("refused", "c:d")][..], &conflicts].concat());
    for call in [&["failback", "m", "--dry-run", "--json"][..], &BACK] {
        let told = place.run(call).expect(5);
        assert_eq!(problems(&told), expected, "{call:?}");
        assert_eq!(changes(&told), pairs(&[("carried", "long/x")]), "{call:?}");
    }
    assert_eq!(status(&world.hadoop, "/odd/x/f")["exists"], true);
    let listed = checker.compare(&source, &target, &[]).unwrap();
    assert!(!listed.equal, "nothing is told equal that is not");
}

/// Every call ended there, and what lies behind it never went back.
fn what_the_name_node_refuses(world: &World, checker: &Checker) {
    let hadoop = &world.hadoop;
    for name in ["d/only", "stays"] {
        hadoop.write(&format!("/refuses/{name}"), "first").unwrap();
    }
    hadoop
        .operations(&[
            set("allow_snapshot", "/refuses/d", json!({})),
            set("create_snapshot", "/refuses/d", json!({"name": "s"})),
        ])
        .unwrap();
    let (place, _, target) = migrate(world, "refuses");
    // A file of HDFS has 32 of them at most.
    let mut many = json!({"whimbrel-mode": "0644"});
    for number in 1..=33 {
        many[format!("whimbrel-xattr-{number}")] = json!(format!("user.{number}=AA=="));
    }
    checker
        .s3_operations(
            &target,
            &[
                json!({"operation": "put", "path": "b", "text": "much"}),
                json!({"operation": "set_metadata", "path": "b", "metadata": many}),
                json!({"operation": "remove", "path": "d/only"}),
                json!({"operation": "put", "path": "z", "text": "goes on"}),
            ],
        )
        .unwrap();
    let back = place.run(&BACK).expect(5);
    assert_eq!(changes(&back), pairs(&[("removed", "d/only"), ("carried", "z")]));
    assert_eq!(problems(&back), pairs(&[("refused", "b"), ("kept", "d")]));
    let again = place.run(&BACK).expect(5);
    assert_eq!((changes(&again), problems(&again)), (pairs(&[]), pairs(&[("refused", "b")])));
}

/// Killed at any time it goes on, and leaves nothing behind.
fn killed_again_and_again(world: &World, checker: &Checker) {
    world.hadoop.write("/killed/first", "one").unwrap();
    for number in 0..30 {
        world.hadoop.write(&format!("/killed/old/{number}"), "to be removed").unwrap();
    }
    let (place, source, target) = migrate(world, "killed");
    let put = |number: u64| {
        let text = format!("{number} ").repeat(200_000);
        json!({"operation": "put", "path": format!("new/{}/{number}", number % 5), "text": text})
    };
    let mut operations: Vec<Value> = (0..60).map(put).collect();
    let gone = |number| json!({"operation": "remove", "path": format!("old/{number}")});
    operations.extend((0..30).map(gone));
    checker.s3_operations(&target, &operations).unwrap();
    let call = ["failback", "m", "--transfers", "4", "--bandwidth", "20MB/s", "--json"];
    let mut killed = 0;
    let mut after = Duration::from_millis(150);
    let last = loop {
        let mut child = place.command(&call).spawn().unwrap();
        let started = Instant::now();
        while started.elapsed() < after && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        if child.try_wait().unwrap().is_some() {
            break Ended::of(child.wait_with_output().unwrap());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        killed += 1;
        after += Duration::from_millis(70);
    };
    last.expect(0);
    assert!(killed > 5, "killed {killed} times");
    assert_eq!(changes(&place.run(&BACK).expect(0)), pairs(&[]));
    let compared = checker.compare(&source, &target, &["--no-default-excludes"]).unwrap();
    let ignored = |finding: &&Value| finding["kind"] != "metadata";
    let others: Vec<&Value> = compared.findings.iter().filter(ignored).collect();
    assert!(others.is_empty(), "{others:?}");
    let call = ["migrate", &source, &target, "--name", "m", "--metadata", "full", "--json"];
    assert_eq!(place.run(&call).expect(0).result()["run_files_copied"], 0);
    let compared = checker.compare(&source, &target, &["--no-default-excludes"]).unwrap();
    assert!(compared.equal, "{:?}", compared.findings);
}

fn behind_a_fence(world: &World, checker: &Checker) {
    world.hadoop.write("/fenced/a", "one").unwrap();
    world.hadoop.write("/fenced/stays", "as it is").unwrap();
    let place = world.place(world.hadoop.superuser());
    let source = format!("{}/fenced", world.hadoop.url());
    let call = ["migrate", &source, "s3://bucket/fenced", "--live", "--name", "m"];
    let live = place.spawn(&call);
    crate::call::until("a migration that has caught up", || {
        place.run(&["cutover", "m", "--dry-run", "--json"]).code == 0
    });
    let cut = ["cutover", "m", "--fence", "permissions", "--quiet", "1s"];
    place.run(&cut).expect(0);
    live.ended_within(Duration::from_secs(60)).expect(143);
    let refused = place.run(&BACK).expect(2).result();
    assert!(refused["remedy"].as_str().unwrap().contains("--undo-fence"), "{refused}");
    place.run(&["cutover", "m", "--undo-fence"]).expect(0);
    let target = "s3://bucket/fenced";
    let operations = [
        json!({"operation": "put", "path": "new/x", "text": "of those who switched"}),
        json!({"operation": "copy", "path": "a", "to": "b"}),
        json!({"operation": "remove", "path": "a"}),
    ];
    checker.s3_operations(target, &operations).unwrap();
    // Whoever may not write there hears so, and nothing of it stays.
    let mut nobody = place.command(&BACK);
    let nobody = Ended::of(nobody.env("HADOOP_USER_NAME", "carol").output().unwrap()).expect(3);
    assert!(nobody.stderr.contains("superuser"), "{}", nobody.stderr);
    assert_eq!(status(&world.hadoop, "/fenced/new")["exists"], false);
    let expected = pairs(&[("carried", "new/x"), ("carried", "b"), ("removed", "a")]);
    assert_eq!(changes(&place.run(&BACK).expect(0)), expected);
    // What the stream tells of it to those who follow on is known already.
    let follow = [&call[..], &["--until-quiet", "2s", "--json"]].concat();
    let followed = place.run(&follow).expect(0).result();
    for count in ["run_files_copied", "run_files_removed", "run_files_relocated"] {
        assert_eq!(followed[count], 0, "{count}: {followed}");
    }
    assert!(followed["run_changes_seen"].as_u64() > Some(0), "{followed}");
    let compared = checker.compare(&source, target, &["--no-default-excludes"]).unwrap();
    assert!(compared.equal, "{:?}", compared.findings);
}

/// The S3 server is busy and loses answers, the NameNode's answers get lost: it goes on, or ends and
/// is said again, and what stands in the end is what was written.
fn over_bad_lines(world: &World, checker: &Checker) {
    world.hadoop.write("/lines/stays", "as it is").unwrap();
    for number in 0..20 {
        world.hadoop.write(&format!("/lines/old/{number}"), "to be removed").unwrap();
    }
    let source = format!("{}/lines", world.hadoop.url());
    let target = "s3://bucket/lines".to_owned();
    let s3 = FaultProxy::start(world.server.endpoint().address).unwrap();
    let namenode = world.hadoop.name_nodes()[0].parse().unwrap();
    let namenode = FaultProxy::start(namenode).unwrap();
    let place = world.place(world.hadoop.superuser()).with(vec![
        ("AWS_ENDPOINT_URL", format!("http://{}", s3.address())),
        ("AWS_ENDPOINT_URL_S3", format!("http://{}", s3.address())),
        ("HADOOP_CONF_DIR", String::new()),
    ]);
    let through = format!("hdfs://{}/lines", namenode.address());
    place.run(&["migrate", &through, &target, "--name", "m"]).expect(0);
    let put = |number: u64| {
        let text = format!("{number} ").repeat(100_000);
        json!({"operation": "put", "path": format!("new/{number}"), "text": text})
    };
    let gone = |number| json!({"operation": "remove", "path": format!("old/{number}")});
    let operations: Vec<Value> = (0..40).map(put).chain((0..20).map(gone)).collect();
    checker.s3_operations(&target, &operations).unwrap();
    let mut calls = 0;
    loop {
        calls += 1;
        let call = ["failback", "m", "--bandwidth", "4MB/s", "--json"];
        let back = place.spawn(&call);
        for fault in [Fault::Unavailable, Fault::CutAnswers, Fault::LoseAnswers, Fault::FlipAnswers]
        {
            std::thread::sleep(Duration::from_millis(300));
            s3.set(fault);
            std::thread::sleep(Duration::from_millis(150));
            s3.set(Fault::None);
            std::thread::sleep(Duration::from_millis(200));
            namenode.set(Fault::LoseAnswers);
            std::thread::sleep(Duration::from_millis(150));
            namenode.set(Fault::None);
        }
        let ended = back.ended_within(Duration::from_secs(120));
        if ended.code == 0 {
            break;
        }
        assert!([3, 4, 5].contains(&ended.code) && calls < 8, "{}", ended.stdout);
    }
    // A tag of which a bit was turned on the line is not known again: its file goes once more.
    place.run(&BACK).expect(0);
    assert_eq!(changes(&place.run(&BACK).expect(0)), pairs(&[]));
    let arguments = ["--no-default-excludes", "--ignore-metadata"];
    let compared = checker.compare(&source, &target, &arguments).unwrap();
    assert!(compared.equal, "{:?}", compared.findings);
}
