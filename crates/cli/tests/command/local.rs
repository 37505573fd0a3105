//! Local to local: the whole way without a server.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::call::{Ended, Place, until};

const SOON: Duration = Duration::from_secs(60);

fn small_tree(place: &Place) {
    place.write("source/a", "one");
    place.write("source/d/b.txt", "two");
    place.write("source/d/e/c", vec![7; 300_000]);
    place.write("source/_temporary/0/x", "not to be moved");
    std::fs::create_dir_all(place.path("source/empty")).unwrap();
}

#[test]
fn migrate_again_and_verify() {
    let place = Place::new();
    small_tree(&place);
    let first = place.run(&["migrate", "source", "target", "--json"]).expect(0);
    let lines = first.lines();
    assert_eq!(lines[0]["type"], "started");
    let result = first.result();
    assert_eq!(result["outcome"], "equal");
    assert_eq!(result["files_scanned"], 3);
    assert_eq!(result["files_copied"], 3);
    assert_eq!(result["bytes_copied"], 300_006);
    assert_eq!(result["failures"], 0);
    let mut expected = place.tree("source");
    expected.retain(|path, _| !path.starts_with("_temporary"));
    assert_eq!(place.tree("target"), expected);
    assert!(place.path("target/empty").is_dir());

    let again = place.run(&["migrate", "source", "target", "--json"]).expect(0).result();
    assert_eq!(again["run_files_copied"], 0, "{again}");
    assert_eq!(again["files_copied"], 3, "{again}");

    let verified = place.run(&["verify", "source", "target", "--json"]).expect(0).result();
    assert_eq!(verified["outcome"], "equal");
    assert_eq!(verified["files_compared"], 3);
    let name = lines[0]["name"].as_str().unwrap();
    place.run(&["verify", name]).expect(0);
    let status = place.run(&["status", name, "--json"]).expect(0).result();
    assert_eq!((&status["running"], &status["outcome"]), (&false.into(), &"equal".into()));
    let story = place.run(&["path", name, "d/b.txt", "--json"]).expect(0).result();
    assert_eq!((&story["path"], &story["object"]["length"]), (&"d/b.txt".into(), &3.into()));
}

/// Extended attributes travel, and so do their changes, without the bytes.
#[test]
fn attributes_travel_when_they_change() {
    let place = Place::new();
    small_tree(&place);
    let set = |value: &[u8]| {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(place.path("source/a"), "user.note", value, flags)
    };
    if set(b"1").is_err() {
        eprintln!("SKIPPED: the file system keeps no attributes");
        return;
    }
    let found = || {
        let mut value = [0; 16];
        let length = rustix::fs::getxattr(place.path("target/a"), "user.note", &mut value[..]);
        length.ok().map(|length| value[..length].to_vec())
    };
    let call = ["migrate", "source", "target", "--name", "m", "--metadata", "full", "--json"];
    let verify = ["verify", "m", "--json"];
    place.run(&call).expect(0);
    assert_eq!(found().as_deref(), Some(&b"1"[..]));
    place.run(&verify).expect(0);

    set(b"2").unwrap();
    assert_eq!(place.run(&verify).expect(5).result()["metadata_different"], 1);
    assert_eq!(place.run(&call).expect(0).result()["run_bytes_copied"], 0);
    assert_eq!(found().as_deref(), Some(&b"2"[..]));
    place.run(&verify).expect(0);

    rustix::fs::removexattr(place.path("source/a"), "user.note").unwrap();
    place.run(&call).expect(0);
    assert_eq!(found(), None);
    place.run(&verify).expect(0);
}

/// What is too long to travel stands as a digest, and any digest counted as equal.
#[test]
fn what_stands_as_a_digest_is_compared() {
    let place = Place::new();
    small_tree(&place);
    let set = |value: u8| {
        let value = vec![value; 2_000];
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(place.path("source/a"), "user.note", &value, flags)
    };
    if set(1).is_err() {
        eprintln!("SKIPPED: the file system keeps no attributes of this length");
        return;
    }
    place.run(&["migrate", "source", "target", "--name", "m", "--metadata", "full"]).expect(0);
    place.run(&["verify", "m"]).expect(0);
    set(2).unwrap();
    assert_eq!(place.run(&["verify", "m", "--json"]).expect(5).result()["metadata_different"], 1);
}

/// The copy from before stays; the time is never altered in silence.
#[test]
fn a_time_beyond_what_travels_is_told() {
    let place = Place::new();
    small_tree(&place);
    place.run(&["migrate", "source", "target", "--name", "m"]).expect(0);
    let set = |time: SystemTime| {
        let file = std::fs::File::options().write(true).open(place.path("source/a")).unwrap();
        file.set_modified(time).unwrap();
        file.metadata().unwrap().modified().unwrap() == time
    };
    if !set(SystemTime::UNIX_EPOCH + Duration::from_secs(10_413_792_000)) {
        eprintln!("SKIPPED: the file system keeps no time of the year 2300");
        return;
    }
    let call = ["migrate", "source", "target", "--name", "m", "--json"];
    let ended = place.run(&call).expect(5);
    assert_eq!(ended.result()["failures"], 1, "{}", ended.stdout);
    let problem = ended.lines().into_iter().find(|line| line["type"] == "problem").unwrap();
    assert_eq!((&problem["path"], &problem["kind"]), (&"a".into(), &"refused".into()));
    assert_eq!(place.read("target/a").as_deref(), Some(&b"one"[..]));
    let verified = place.run(&["verify", "source", "target", "--json"]).expect(5).result();
    assert_eq!(verified["metadata_different"], 1, "{verified}");
    assert!(set(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)));
    place.run(&call).expect(0);
    place.run(&["verify", "source", "target"]).expect(0);
}

/// Started again, a migration looks at the target, whatever its state says.
#[test]
fn a_later_run_sees_what_became_of_the_target() {
    for live in [&[][..], &["--live", "--until-quiet", "1s"]] {
        let place = Place::new();
        small_tree(&place);
        let call = [&["migrate", "source", "target", "--name", "m", "--json"], live].concat();
        place.run(&call).expect(0);
        let whole = place.tree("target");

        std::fs::remove_dir_all(place.path("target")).unwrap();
        let again = place.run(&call).expect(0).result();
        assert_eq!((&again["outcome"], &again["run_files_copied"]), (&"equal".into(), &3.into()));
        assert_eq!(place.tree("target"), whole);

        std::fs::remove_file(place.path("target/d/b.txt")).unwrap();
        std::fs::remove_dir(place.path("target/empty")).unwrap();
        let again = place.run(&call).expect(0).result();
        assert_eq!(again["run_files_copied"], 1, "{again}");
        assert_eq!(place.tree("target"), whole);
        assert!(place.path("target/empty").is_dir());

        std::fs::remove_file(place.path("target/a")).unwrap();
        place.write("target/a", "somebody else's");
        let held = place.run(&call).expect(6);
        assert!(held.lines().iter().any(|line| line["kind"] == "foreign"), "{}", held.stdout);
        assert_eq!(place.read("target/a").as_deref(), Some(&b"somebody else's"[..]));
        place.run(&[&call[..], &["--existing", "replace"]].concat()).expect(0);
        assert_eq!(place.tree("target"), whole);
    }
}

#[test]
fn every_difference_is_told() {
    let place = Place::new();
    small_tree(&place);
    place.write("source/same-length", "aaaa");
    place.run(&["migrate", "source", "target"]).expect(0);
    std::fs::remove_file(place.path("target/a")).unwrap();
    place.write("target/same-length", "bbbb");
    place.write("target/d/b.txt", "longer");
    place.write("target/new", "extra");
    std::fs::remove_dir(place.path("target/empty")).unwrap();
    let ended = place.run(&["verify", "source", "target", "--json"]).expect(5);
    let result = ended.result();
    assert_eq!(result["outcome"], "different");
    let mut told: Vec<(String, String)> = ended
        .lines()
        .iter()
        .filter(|line| line["type"] == "difference")
        .map(|line| (line["path"].to_string(), line["kind"].to_string()))
        .collect();
    told.sort();
    let expected = [
        ("a", "missing"),
        ("d/b.txt", "different"),
        ("empty/", "missing"),
        ("new", "extra"),
        ("same-length", "different"),
    ];
    let expected: Vec<(String, String)> =
        expected.iter().map(|(path, kind)| (format!("{path:?}"), format!("{kind:?}"))).collect();
    assert_eq!(told, expected);
    for (count, number) in [("missing", 2), ("different", 2), ("extra", 1)] {
        assert_eq!(result[count], number, "{count}");
    }
    assert_eq!(result["verified_by_checksum"].as_u64(), Some(0), "local sources keep none");
    assert_eq!(result["verified_by_reading"], 1);
    // And a run mends it, extras aside.
    let mend = ["migrate", "source", "target", "--extras", "remove", "--state", "other", "--adopt"];
    place.run(&mend).expect(0);
    place.run(&["verify", "source", "target"]).expect(0);
    assert!(!place.path("target/new").exists());
}

/// A sample without a difference is not called equal, and says what it may have missed.
#[test]
fn a_sample_never_says_equal_for_what_it_left_out() {
    let place = Place::new();
    for index in 0..40 {
        place.write(&format!("source/d/{index}"), "bytes");
    }
    place.run(&["migrate", "source", "target", "--name", "m"]).expect(0);
    let verify = ["verify", "m", "--sample", "25%", "--sample-seed", "s", "--json"];
    let ended = place.run(&verify).expect(0);
    assert_eq!(ended.lines()[0]["sample"]["seed"], "s");
    let result = ended.result();
    assert_eq!(result["outcome"], "no_difference_found");
    let sample = &result["sample"];
    let looked_at = sample["files_looked_at"].as_u64().unwrap();
    assert!((1..40).contains(&looked_at) && sample["files_listed"] == 40, "{result}");
    assert_eq!(result["files_compared"], looked_at);
    assert_eq!(sample["bytes_listed"], 200);
    assert_eq!(result["bytes_read_source"], sample["bytes_looked_at"]);
    let miss = sample["missed"][0]["miss_probability"].as_f64().unwrap();
    let left_out = (40 - looked_at) as f64 / 40.0;
    assert!((miss - left_out).abs() < 1e-9, "{result}");
    assert!(sample["missed_files_max"].as_u64().unwrap() > 0, "{result}");
    assert_eq!(place.run(&verify).expect(0).result()["sample"], *sample, "the same seed");

    let told = place.run(&["verify", "m", "--sample", "25%"]).expect(0);
    assert!(told.stdout.starts_with("No difference found in "), "{}", told.stdout);
    let flags = told.stderr.lines().find_map(|line| line.strip_prefix("sample: "));
    let again: Vec<&str> = ["verify", "m"].into_iter().chain(flags.unwrap().split(' ')).collect();
    assert_eq!(place.run(&again).expect(0).stdout.lines().next(), told.stdout.lines().next());

    for all in [["--sample", "100%"], ["--sample-for", "10m"]] {
        let call = [&["verify", "m", "--json"], &all[..]].concat();
        let result = place.run(&call).expect(0).result();
        assert_eq!(result["outcome"], "equal", "{result}");
        assert_eq!(result["sample"]["files_looked_at"], 40, "{result}");
    }
    let none = place.run(&["verify", "m", "--sample", "0.0001%", "--json"]).expect(0).result();
    assert_eq!(none["outcome"], "no_difference_found");
    assert_eq!(none["sample"]["missed"][0]["miss_probability"], 1.0, "{none}");

    std::fs::remove_file(place.path("target/d/7")).unwrap();
    let call = [&verify[..], &["--report", "proof"]].concat();
    let result = place.run(&call).expect(5).result();
    assert_eq!((&result["outcome"], &result["missing"]), (&"different".into(), &1.into()));
    assert!(result["sample"]["missed_files_max"].is_null(), "{result}");
    place.run(&["report", "check", "proof"]).expect(0);
    let report = place.read("proof/report.json").unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["sample"], result["sample"]);
    let page = String::from_utf8(place.read("proof/report.html").unwrap()).unwrap();
    assert!(page.contains("--sample 25% --sample-seed s"), "{page}");
    assert!(page.contains("Only a sample was looked at."), "{page}");
}

#[test]
fn scope_and_mapping() {
    let place = Place::new();
    small_tree(&place);
    let scope = ["--exclude", "d/e", "--map", "d=moved/here", "--no-default-exclude", "_temporary"];
    let call = [&["migrate", "source", "target"], &scope[..]].concat();
    place.run(&call).expect(0);
    assert_eq!(place.read("target/moved/here/b.txt").as_deref(), Some(&b"two"[..]));
    assert!(place.path("target/_temporary/0/x").exists() && !place.path("target/d").exists());
    let call = [&["verify", "source", "target"], &scope[..]].concat();
    place.run(&call).expect(0);
    place.run(&["verify", "source", "target"]).expect(5);
}

#[test]
fn another_mapping_is_refused_in_the_same_state() {
    let place = Place::new();
    small_tree(&place);
    let call = ["migrate", "source", "target", "--name", "mapped", "--map", "d=moved"];
    place.run(&call).expect(0);
    place.run(&call).expect(0);
    let refused = place.run(&["migrate", "source", "target", "--name", "mapped"]).expect(2);
    assert!(refused.stderr.contains("mapping"), "{}", refused.stderr);
    assert!(place.path("target/moved/b.txt").exists() && !place.path("target/d").exists());
}

#[test]
fn a_single_file() {
    let place = Place::new();
    small_tree(&place);
    place.run(&["migrate", "source/d/b.txt", "target"]).expect(0);
    let files: Vec<_> = place.tree("target").into_keys().collect();
    assert_eq!(files, [std::path::PathBuf::from("b.txt")]);
    place.run(&["verify", "source/d/b.txt", "target"]).expect(0);
}

#[test]
fn a_single_file_followed_live() {
    let place = Place::new();
    place.write("source/file", "one");
    place.write("source/other", "not asked for");
    place.write("source/file.d/file", "nor this");
    let child = place.spawn(&["migrate", "source/file", "target", "--live", "--name", "live"]);
    let holds = |bytes: &'static [u8]| place.read("target/file").as_deref() == Some(bytes);
    until("the first copy", || holds(b"one"));
    place.write("source/file", "two");
    place.write("source/other", "still not");
    until("the change", || holds(b"two"));
    place.write("source/.file.new", "three");
    std::fs::rename(place.path("source/.file.new"), place.path("source/file")).unwrap();
    until("the file in its place", || holds(b"three"));
    std::fs::remove_file(place.path("source/file")).unwrap();
    until("the removal", || !place.path("target/file").exists());
    place.write("source/file", "four");
    until("the file made anew", || holds(b"four"));
    place.run(&["stop", "live"]).expect(0);
    child.ended_within(SOON).expect(143);
    let files: Vec<_> = place.tree("target").into_keys().collect();
    assert_eq!(files, [std::path::PathBuf::from("file")]);
}

/// What a program that goes on had stored through a mapping by then was missing, and the outcome
/// was `equal`.
#[test]
fn a_store_through_a_mapping_is_followed() {
    // A file system in memory moves no times for it.
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let (source, file) = (folder.path().to_str().unwrap(), folder.path().join("mapped"));
    std::fs::write(&file, "old").unwrap();
    std::fs::write(folder.path().join("other"), "stays").unwrap();
    let mut writer = whimbrel_testbed::Mapped::open(&file).unwrap();
    let place = Place::new();
    let call = ["migrate", source, "target", "--live", "--until-quiet", "3s", "--json"];
    let child = place.spawn(&call);
    until("the first copy", || place.read("target/other").is_some());
    let copied = || place.read("target/mapped").as_deref() == Some(b"old");
    until("the first copy", copied);
    writer.store("new").unwrap();
    let result = child.ended_within(SOON).expect(0).result();
    assert_eq!(result["outcome"], "equal", "{result}");
    assert_eq!(place.read("target/mapped").as_deref(), Some(&b"new"[..]));
    assert_eq!(result["run_files_copied"], 3, "nothing else was copied again: {result}");
    drop(writer);
}

#[test]
fn a_dry_run_writes_nothing() {
    let place = Place::new();
    small_tree(&place);
    std::fs::create_dir(place.path("target")).unwrap();
    let result = place.run(&["migrate", "source", "target", "--dry-run", "--json"]).expect(5);
    let result = result.result();
    assert_eq!(
        (&result["would_copy_files"], &result["would_copy_bytes"]),
        (&3.into(), &300_006.into())
    );
    assert!(place.tree("target").is_empty() && !place.path("state").exists());
}

/// A dry run said `incomplete` and ended with 0.
#[test]
fn outcome_and_exit_code_of_a_dry_run_agree() {
    let place = Place::new();
    small_tree(&place);
    let call = ["migrate", "source", "target", "--dry-run", "--json"];
    let result = place.run(&call).expect(5).result();
    assert_eq!((&result["outcome"], &result["exit_code"]), (&"incomplete".into(), &5.into()));
    place.run(&["migrate", "source", "target"]).expect(0);
    let result = place.run(&call).expect(0).result();
    assert_eq!((&result["outcome"], &result["exit_code"]), (&"equal".into(), &0.into()));
}

/// A dry run to a local target that a run would make failed to open it.
#[test]
fn a_dry_run_to_a_target_that_does_not_exist_creates_nothing() {
    let place = Place::new();
    small_tree(&place);
    for target in ["target", "not/yet/there"] {
        let call = ["migrate", "source", target, "--dry-run", "--json"];
        let result = place.run(&call).expect(5).result();
        assert_eq!(
            (&result["files_scanned"], &result["would_copy_files"]),
            (&3.into(), &3.into()),
            "{result}"
        );
    }
    for name in ["target", "not", "state"] {
        assert!(!place.path(name).exists(), "{name}");
    }
    place.write("file", "");
    place.run(&["migrate", "source", "file/below", "--dry-run"]).expect(4);
    place.run(&["verify", "source", "target"]).expect(4);
}

/// What a run removes was told as extras, and the outcome was `equal`.
#[test]
fn a_dry_run_tells_what_would_be_removed() {
    let place = Place::new();
    for name in ["f1", "f2", "f3", "d/g1", "d/g2", "d/g3"] {
        place.write(&format!("source/{name}"), name);
    }
    std::fs::create_dir(place.path("source/empty")).unwrap();
    let call = ["migrate", "source", "target", "--name", "m", "--json"];
    let rehearse = |more: &[&str]| place.run(&[&call[..], &["--dry-run"], more].concat());
    place.run(&call).expect(0);
    let none = rehearse(&[]).expect(0).result();
    assert_eq!((&none["would_remove_files"], &none["extras"]), (&0.into(), &0.into()), "{none}");

    std::fs::remove_file(place.path("source/f1")).unwrap();
    std::fs::remove_dir_all(place.path("source/d")).unwrap();
    std::fs::remove_dir(place.path("source/empty")).unwrap();
    place.write("target/foreign", "");
    let standing = place.tree("target");
    let counts = |told: &Value| {
        let names =
            ["would_remove_files", "would_remove_directories", "removals_delayed", "extras"];
        names.map(|name| told[name].as_u64().unwrap())
    };
    let told = rehearse(&[]).expect(5).result();
    assert_eq!((&told["outcome"], counts(&told)), (&"incomplete".into(), [4, 2, 0, 1]), "{told}");
    let delayed = rehearse(&["--removals-after", "7d"]).expect(0).result();
    assert_eq!(counts(&delayed), [0, 0, 3, 1], "entries, as the run counts them: {delayed}");
    let all = rehearse(&["--extras", "remove"]).expect(5).result();
    assert_eq!(counts(&all), [5, 2, 0, 0], "{all}");
    // Another state knows nothing of what this one wrote.
    let another = ["migrate", "source", "target", "--name", "o", "--dry-run", "--json"];
    let another = place.run(&another).expect(6).result();
    assert!(another["message"].as_str().unwrap().contains("another migration"), "{another}");
    place.run(&["migrate", "source", "elsewhere", "--name", "m", "--dry-run"]).expect(2);
    assert_eq!(place.tree("target"), standing);
    let text = place.run(&["migrate", "source", "target", "--name", "m", "--dry-run"]).expect(5);
    assert!(text.stdout.contains("4 files and 2 directories that the source"), "{}", text.stdout);

    let real = place.run(&call).expect(0).result();
    assert_eq!((&real["run_files_removed"], &real["extras"]), (&4.into(), &1.into()), "{real}");
    assert!(!place.path("target/empty").exists());
}

/// The migration that runs tells what it wrote.
#[test]
fn a_dry_run_beside_a_live_migration_asks_it() {
    let place = Place::new();
    small_tree(&place);
    let call = ["migrate", "source", "target", "--name", "m", "--removals-after", "7d", "--json"];
    let child = place.spawn(&[&call[..], &["--live"]].concat());
    until("the first copy", || place.run(&["cutover", "m", "--dry-run"]).code == 0);
    std::fs::remove_file(place.path("source/a")).unwrap();
    place.write("target/foreign", "");
    let told = place.run(&[&call[..], &["--dry-run"]].concat()).expect(0).result();
    assert_eq!((&told["removals_delayed"], &told["extras"]), (&1.into(), &1.into()), "{told}");
    let now = ["migrate", "source", "target", "--name", "m", "--dry-run", "--json"];
    let told = place.run(&now).expect(5).result();
    assert_eq!((&told["would_remove_files"], &told["extras"]), (&1.into(), &1.into()), "{told}");
    place.run(&["stop", "m"]).expect(0);
    child.ended_within(SOON).expect(143);
}

#[test]
fn doctor_leaves_nothing_behind() {
    let place = Place::new();
    small_tree(&place);
    let ended = place.run(&["doctor", "source", "target", "--live", "--json"]).expect(0);
    let result = ended.result();
    assert_eq!((&result["outcome"], &result["problems"]), (&"ready".into(), &0.into()));
    assert!(!place.path("target").exists() && !place.path("state").exists());
    let missing = place.run(&["doctor", "missing", "target", "--json"]).expect(3);
    assert_eq!(missing.result()["outcome"], "not_ready");
    place.write("in-the-way", "");
    place.run(&["doctor", "source", "in-the-way/target", "--json"]).expect(4);
    place.run(&["doctor", "source", "target", "--state", "in-the-way/state", "--json"]).expect(7);
}

#[test]
fn another_migration_is_refused_in_the_same_state() {
    let place = Place::new();
    small_tree(&place);
    place.run(&["migrate", "source", "target", "--state", "s"]).expect(0);
    place.run(&["migrate", "source", "elsewhere", "--state", "s"]).expect(2);
}

/// Every line of an export, by kind and path.
fn exported(place: &Place, name: &str) -> std::collections::BTreeMap<(String, String), Value> {
    let told = place.run(&["export", name]).expect(0).stdout;
    let records = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let key = |record: &Value| {
        let text = |field: &str| record[field].as_str().unwrap().to_owned();
        (text("kind"), text("path"))
    };
    records.map(|record| (key(&record), record)).collect()
}

#[test]
fn export_tells_files_and_directories() {
    let place = Place::new();
    small_tree(&place);
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(place.path("source/d/e"), mode(0o1750)).unwrap();
    let child = place.spawn(&["migrate", "source", "target", "--live", "--name", "live"]);
    let kept = |path: &str, field: &str| {
        let records = exported(&place, "live");
        let (kind, path) = path.split_once(' ').unwrap();
        let record = records.get(&(kind.to_owned(), path.to_owned()));
        record.map_or(Value::Null, |record| record["metadata"][field].clone())
    };
    until("the first copy", || place.path("target/d/e/c").exists());
    until("its record", || kept("file d/e/c", "mode") != Value::Null);
    assert_eq!(kept("directory d/e", "mode"), "1750");
    std::fs::set_permissions(place.path("source/d"), mode(0o700)).unwrap();
    until("the change", || kept("directory d", "mode") == "0700");
    let story = place.run(&["path", "live", "d", "--json"]).expect(0).result();
    assert_eq!(story["directory"]["metadata"]["mode"], "0700", "{story}");
    place.run(&["stop", "live"]).expect(0);
    child.ended_within(SOON).expect(143);

    let records = exported(&place, "live");
    let of_kind = |kind: &str| -> Vec<&str> {
        let of_kind = records.keys().filter(|(each, _)| each == kind);
        of_kind.map(|(_, path)| path.as_str()).collect()
    };
    assert_eq!(of_kind("directory"), ["", "d", "d/e", "empty"]);
    assert_eq!(of_kind("file"), ["a", "d/b.txt", "d/e/c"]);
    let file = &records[&("file".to_owned(), "a".to_owned())];
    let crc32c = format!("{:08x}", crc32c::crc32c(b"one"));
    assert_eq!((&file["length"], &file["crc32c"]), (&3.into(), &crc32c.into()), "{file}");
    assert_eq!((&file["verified"], &file["metadata_ledger_only"]), (&true.into(), &false.into()));
    let told = place.run(&["export", "live", "--json"]).expect(0);
    assert_eq!(told.result()["records"], records.len(), "a result follows");
    assert_eq!(told.lines()[0]["type"], "record");
}

#[test]
fn live_with_orders_and_a_signal() {
    let place = Place::new();
    small_tree(&place);
    let call = ["migrate", "source", "target", "--live", "--name", "live", "--json"];
    let child = place.spawn(&call);
    until("the first copy", || place.path("target/d/e/c").exists());
    place.write("source/later", "changed under way");
    until("the change", || place.path("target/later").exists());
    std::fs::remove_file(place.path("source/a")).unwrap();
    until("the removal", || !place.path("target/a").exists());
    let status = place.run(&["status", "live", "--json"]).expect(0).result();
    assert_eq!(status["running"], true, "{status}");
    // Whoever sets something and looks finds it.
    for (call, field, told) in [
        (&["limit", "live", "--bandwidth", "1MB/s"][..], "bandwidth_bytes", json!(1_000_000)),
        (&["pause", "live"], "paused", json!(true)),
        (&["resume", "live"], "paused", json!(false)),
    ] {
        place.run(call).expect(0);
        let status = place.run(&["status", "live", "--json"]).expect(0).result();
        assert_eq!(status[field], told, "{call:?}: {status}");
    }
    place.run(&["migrate", "source", "target", "--name", "live"]).expect(7);
    let killed = Command::new("kill").args(["-TERM", &child.id()]).status().unwrap();
    assert!(killed.success());
    let ended = child.ended().expect(143);
    assert_eq!(ended.result()["outcome"], "stopped");
    place.run(&["stop", "live"]).expect(2);
}

/// What a timetable allows now and next is told in local time, and can be changed under way.
#[test]
fn a_timetable_holds_and_is_told() {
    const HALF_DAY_MILLIS: u64 = 12 * 3_600_000;
    // Five and a half hours ahead of Greenwich.
    let place = Place::new().with(vec![("TZ", "IST-5:30".to_owned())]);
    small_tree(&place);
    let mornings = "mon-sun 00:00-12:00 1MB/s; otherwise 2MB/s";
    let call = ["migrate", "source", "target", "--live", "--name", "live", "--json"];
    let child = place.spawn(&[&call[..], &["--bandwidth", mornings]].concat());
    until("the first copy", || place.path("target/d/e/c").exists());
    let told = |place: &Place| {
        let status = place.run(&["status", "live", "--json"]).expect(0).result();
        ["bandwidth_bytes", "bandwidth_next_bytes", "bandwidth_next_ms"]
            .map(|name| status[name].as_u64())
    };
    let [now, next, at] = told(&place);
    let at = at.unwrap();
    let local = at + 19_800_000;
    assert_eq!(local % HALF_DAY_MILLIS, 0, "{at} is noon or midnight");
    let seconds = i64::try_from(at / 1_000).unwrap() - jiff::Timestamp::now().as_second();
    assert!((-60..=43_200).contains(&seconds), "in {seconds} s");
    let expected = match local / HALF_DAY_MILLIS % 2 {
        0 => (2_000_000, 1_000_000),
        _ => (1_000_000, 2_000_000),
    };
    assert_eq!((now, next), (Some(expected.0), Some(expected.1)));
    let text = place.run(&["status", "live"]).expect(0).stdout;
    assert!(text.contains("bandwidth: at most") && text.contains(" IST, then at most"), "{text}");

    let always = "00:00-12:00 3MB/s 12:00-24:00 3MB/s";
    let limited = place.run(&["limit", "live", "--bandwidth", always]).expect(0).stdout;
    assert!(limited.contains("live has new limits; bandwidth: at most 2.9 MiB/s."), "{limited}");
    assert_eq!(told(&place), [Some(3_000_000), None, None]);
    let again = place.run(&["limit", "live", "--bandwidth", mornings, "--json"]).expect(0).result();
    assert_eq!(again["bandwidth_bytes"], expected.0, "{again}");
    assert_eq!(again["bandwidth_next_ms"], at, "{again}");
    place.run(&["limit", "live", "--target-requests", "500/s"]).expect(0);
    until("the timetable stays", || told(&place) == [now, next, Some(at)]);
    place.run(&["limit", "live", "--bandwidth", "unlimited"]).expect(0);
    assert_eq!(told(&place), [Some(0), None, None]);
    place.run(&["stop", "live"]).expect(0);
    child.ended_within(SOON).expect(143);
}

/// A terminal that is closed ends a run as a polite kill does, unless the caller ignores that.
#[test]
fn a_hang_up_ends_in_good_order() {
    let place = Place::new();
    small_tree(&place);
    let call = ["migrate", "source", "target", "--live", "--name", "live", "--json"];
    let child = place.spawn(&call);
    until("the first copy", || place.path("target/d/e/c").exists());
    assert!(Command::new("kill").args(["-HUP", &child.id()]).status().unwrap().success());
    if ignores_hang_ups() {
        assert!(Command::new("kill").args(["-TERM", &child.id()]).status().unwrap().success());
    }
    let ended = child.ended().expect(143);
    assert_eq!(ended.result()["outcome"], "stopped");
}

/// Whoever runs the tests under `nohup` has its programs ignore that too.
fn ignores_hang_ups() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(ignored.trim(), 16).unwrap() & 1 == 1
}

#[test]
fn a_killed_run_resumes() {
    let place = Place::new();
    for number in 0..300 {
        place.write(&format!("source/{}/{number}", number % 7), vec![b'x'; 20_000]);
    }
    let call =
        ["migrate", "source", "target", "--name", "killed", "--bandwidth", "2MB/s", "--json"];
    let child = place.spawn(&call);
    until("some copies", || place.path("target").is_dir() && place.tree("target").len() > 20);
    drop(child);
    let before = place.tree("target").len();
    assert!(before < 300, "it was over before it was killed");
    let result = place.run(&["migrate", "source", "target", "--name", "killed", "--json"]);
    let result = result.expect(0).result();
    assert_eq!(place.tree("target"), place.tree("source"));
    assert_eq!(result["run_files_scanned"], 300, "{result}");
    let copied = result["run_files_copied"].as_u64().unwrap();
    assert!(copied <= 300 - 20 + 32, "{copied} were copied again");
}

#[test]
fn the_log_tells_and_keeps_secrets() {
    let place = Place::new().with(vec![("AWS_SECRET_ACCESS_KEY", "a-secret-word".to_owned())]);
    small_tree(&place);
    let log = ["--log", "run.log", "--log-format", "json", "--log-level", "trace"];
    place.run(&[&["migrate", "source", "target"], &log[..]].concat()).expect(0);
    let log = String::from_utf8(place.read("run.log").unwrap()).unwrap();
    assert!(log.lines().count() > 0 && !log.contains("a-secret-word"));
    for line in log.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
}

#[test]
fn names_that_are_hard_to_hold() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    std::fs::create_dir_all(place.path("source")).unwrap();
    let names: [&[u8]; 12] = [
        b"a",
        b"a-b",
        b"a.txt",
        b"not-utf8\xff\xfe",
        b"line\nbreak",
        b"space ",
        b"%41",
        b"a+b",
        b"x#1",
        "e\u{301}".as_bytes(),
        "\u{e9}".as_bytes(),
        b"\x01control",
    ];
    for name in names {
        std::fs::write(place.path("source").join(OsStr::from_bytes(name)), name).unwrap();
        let directory = [b"d-", name].concat();
        let directory = place.path("source").join(OsStr::from_bytes(&directory));
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join(OsStr::from_bytes(name)), name).unwrap();
    }
    std::os::unix::fs::symlink("a", place.path("source/link")).unwrap();
    let ended = place.run(&["migrate", "source", "target", "--json"]).expect(5);
    let problems: Vec<_> =
        ended.lines().into_iter().filter(|line| line["type"] == "problem").collect();
    assert_eq!(problems.len(), 1, "{}", ended.stdout);
    assert_eq!(problems[0]["path"], "link");
    let result = ended.result();
    assert_eq!((&result["outcome"], &result["failures"]), (&"incomplete".into(), &1.into()));
    std::fs::remove_file(place.path("source/link")).unwrap();
    assert_eq!(place.tree("target"), place.tree("source"));
    let verified = place.run(&["verify", "source", "target", "--json"]).expect(0).result();
    assert_eq!(verified["verified_by_reading"], 24);
    std::fs::remove_file(place.path("target").join(OsStr::from_bytes(names[3]))).unwrap();
    let ended = place.run(&["verify", "source", "target", "--json"]).expect(5);
    let told = ended.lines().into_iter().find(|line| line["type"] == "difference").unwrap();
    assert_eq!(
        (&told["kind"], &told["path_base64"]),
        (&"missing".into(), &"bm90LXV0Zjj//g==".into())
    );
}

#[test]
fn a_signal_ends_what_keeps_nothing() {
    let place = Place::new();
    small_tree(&place);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("hdfs://{}/data", silent.local_addr().unwrap());
    for call in [["verify", &target, "target", "--json"], ["migrate", &target, "target", "--json"]]
    {
        let child = place.spawn(&call);
        let _connection = silent.accept().unwrap();
        let killed = Command::new("kill").args(["-INT", &child.id()]).status().unwrap();
        assert!(killed.success());
        assert_eq!(child.ended().expect(130).result()["outcome"], "stopped");
    }
}

/// A directory whose children are all excluded was gone through again and again.
#[test]
fn a_directory_of_which_nothing_is_in_scope_does_not_keep_the_run_from_its_end() {
    let place = Place::new();
    place.write("source/x/_temporary/0/file", "not to be moved");
    place.write("source/y/file.bak", "not to be moved");
    let call = ["migrate", "source", "target", "--exclude", "**/*.bak", "--json"];
    let result = place.spawn(&call).ended_within(SOON).expect(0).result();
    assert_eq!(result["outcome"], "equal", "{result}");
    assert!(place.path("target/x").is_dir() && place.path("target/y").is_dir());
    place.run(&["verify", "source", "target", "--exclude", "**/*.bak"]).expect(0);
    let all = ["migrate", "source", "other", "--directory-markers", "all", "--json"];
    place.spawn(&all).ended_within(SOON).expect(0);
}

/// A commit marker waited for ever for a sibling that cannot be migrated.
#[test]
fn a_commit_marker_beside_a_failed_path_does_not_keep_the_run_from_its_end() {
    let place = Place::new();
    place.write("source/_SUCCESS", "");
    place.write("source/part-0", "data");
    std::os::unix::fs::symlink("part-0", place.path("source/link")).unwrap();
    let ended =
        place.spawn(&["migrate", "source", "target", "--json"]).ended_within(SOON).expect(5);
    let result = ended.result();
    assert_eq!((&result["outcome"], &result["failures"]), (&"incomplete".into(), &2.into()));
    let told = ended.lines().into_iter().filter(|line| line["type"] == "problem");
    let told: Vec<_> = told.map(|line| line["path"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, ["link", "_SUCCESS"]);
    assert_eq!(place.read("target/part-0").as_deref(), Some(&b"data"[..]));
    assert_eq!(place.read("target/_SUCCESS"), None);

    std::fs::remove_file(place.path("source/link")).unwrap();
    place.spawn(&["migrate", "source", "target"]).ended_within(SOON).expect(0);
    assert_eq!(place.read("target/_SUCCESS").as_deref(), Some(&b""[..]));
}

/// The checksum noted beside the bytes of a local file was taken for the checksum of its bytes.
#[test]
fn a_byte_that_changed_under_the_same_length_and_time_is_found_by_verify() {
    let place = Place::new();
    place.write("source/file", vec![7; 5_000]);
    place.run(&["migrate", "source", "target"]).expect(0);
    let path = place.path("target/file");
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(modified).unwrap();
    let result = place.run(&["verify", "source", "target", "--json"]).expect(5).result();
    assert_eq!((&result["outcome"], &result["different"]), (&"different".into(), &1.into()));
    assert_eq!(result["bytes_read_target"], 5_000, "{result}");
}

/// `status --state` without a name showed all migrations but the one in that folder.
#[test]
fn status_of_a_state_folder_without_a_name() {
    let place = Place::new();
    small_tree(&place);
    place.run(&["migrate", "source", "target", "--name", "one", "--state", "elsewhere"]).expect(0);
    let result = place.run(&["status", "--state", "elsewhere", "--json"]).expect(0).result();
    assert_eq!((&result["outcome"], &result["running"]), (&"equal".into(), &false.into()));
    place.write("damaged/state.db", "no database");
    place.run(&["status", "--state", "damaged", "--json"]).expect(7);
    place.run(&["status", "--state", "nowhere", "--json"]).expect(2);
}

/// The answer was lost on a full disk, and the exit code was 0.
#[test]
fn an_answer_that_cannot_be_written_is_no_success() {
    let place = Place::new();
    small_tree(&place);
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    for call in [
        &["migrate", "source", "target", "--name", "one"][..],
        &["migrate", "source", "target", "--name", "one", "--json"],
        &["verify", "source", "target"],
        &["status", "one", "--json"],
        &["path", "one", "a"],
        &["doctor", "source", "target"],
        &["help"],
        &["version"],
    ] {
        let output = place.command(call).stdout(full()).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(7), "{call:?}: {told}");
        assert_eq!(
            told.matches("standard output cannot be written").count(),
            1,
            "{call:?}: {told}"
        );
        assert!(told.contains("what to do:") && !told.contains("panic"), "{call:?}: {told}");
    }
    // The work was done, and is known.
    assert_eq!(place.read("target/a").as_deref(), Some(&b"one"[..]));
    let result = place.run(&["status", "one", "--json"]).expect(0).result();
    assert_eq!(result["outcome"], "equal", "{result}");
    // What comes first in the order of exit codes stays.
    let output = place.command(&["migrate", "source", "--json"]).stdout(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

/// A reader that goes away after the first lines is no failure of the migration.
#[test]
fn a_reader_that_goes_away_changes_nothing() {
    let place = Place::new();
    small_tree(&place);
    for call in [&["migrate", "source", "target", "--json"][..], &["verify", "source", "target"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = place.command(call).stdout(writer).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{call:?}: {told}");
        assert!(!told.contains("panic") && !told.contains("standard output"), "{told}");
    }
}

/// A state whose database was removed or emptied was begun anew, and took its own objects for
/// another migration's.
#[test]
fn a_state_folder_that_lost_its_database_is_damaged() {
    let place = Place::new();
    small_tree(&place);
    let call = ["migrate", "source", "target", "--state", "s", "--json"];
    place.run(&call).expect(0);
    let kept = place.read("s/state.db").unwrap();
    for damage in ["emptied", "removed"] {
        match damage {
            "emptied" => std::fs::write(place.path("s/state.db"), "").unwrap(),
            _ => std::fs::remove_file(place.path("s/state.db")).unwrap(),
        }
        let before = place.tree("s");
        for _ in 0..2 {
            let result = place.run(&call).expect(7).result();
            let told = format!("{} {}", result["message"], result["remedy"]);
            assert!(told.contains("state.db") && told.contains("--adopt"), "{damage}: {told}");
            for name in ["path s a", "export s", "confirm s", "status s"] {
                let call: Vec<&str> = name.split(' ').chain(["--state", "s"]).collect();
                let told = place.run(&call).expect(7).stderr;
                assert!(told.contains("state.db") && told.contains("--adopt"), "{name}: {told}");
            }
        }
        assert_eq!(place.tree("s"), before, "{damage}: the folder stays as it was");
    }
    // The version stands in bytes 60 to 63.
    let newer = [&kept[..60], &99_u32.to_be_bytes(), &kept[64..]].concat();
    for unknown in [vec![b'x'; kept.len()], newer] {
        place.write("s/state.db", &unknown);
        place.run(&call).expect(7);
        place.run(&["status", "s", "--state", "s"]).expect(7);
    }
    // As the remedies say.
    place.write("s/state.db", &kept);
    place.run(&call).expect(0);
    std::fs::rename(place.path("s"), place.path("away")).unwrap();
    let adopted = place.run(&[&call[..], &["--adopt"]].concat()).expect(0).result();
    assert_eq!((&adopted["outcome"], &adopted["run_files_copied"]), (&"equal".into(), &0.into()));
}

/// It crawled, or blamed the state's rights or the source.
#[test]
fn too_few_open_files_are_told_before_anything_begins() {
    let place = Place::new();
    small_tree(&place);
    let limited = |limit: &str, call: &str| {
        let mut shell = Command::new("sh");
        let whole = format!("ulimit {limit} && exec \"$0\" {call}");
        shell.args(["-c", &whole, env!("CARGO_BIN_EXE_whimbrel")]);
        shell.current_dir(place.path("")).env("XDG_STATE_HOME", place.path("state"));
        Ended::of(shell.output().unwrap())
    };
    let refused = limited("-n 26", "migrate source target --json").expect(7).result();
    assert!(refused["remedy"].as_str().unwrap().contains("ulimit -n"), "{refused}");
    // A person's limit may be raised by whatever runs.
    limited("-S -n 26", "migrate source target").expect(0);
    assert_eq!(place.read("target/a").as_deref(), Some(&b"one"[..]));
}

/// It was told twice, with two remedies.
#[test]
fn what_somebody_else_wrote_is_told_once() {
    let place = Place::new();
    place.write("source/a", "one");
    let call = ["migrate", "source", "target", "--name", "foreign", "--json"];
    place.run(&call).expect(0);
    place.write("source/a", "another");
    place.write("target/a", "of somebody else");
    let ended = place.run(&call).expect(6);
    let told = ended.lines().into_iter().filter(|line| line["kind"] == "foreign");
    assert_eq!(told.filter(|line| line["path"] == "a").count(), 1, "{}", ended.stdout);
}

/// A narrower scope kept what it no longer covers, and said nothing of it.
#[test]
fn what_a_narrower_scope_leaves_on_the_target_is_told() {
    let place = Place::new();
    small_tree(&place);
    let call = ["migrate", "source", "target", "--name", "scope", "--json"];
    let narrow = [&call[..], &["--exclude", "d/e"]].concat();
    let told = |ended: &crate::call::Ended| {
        let lines = ended.lines().into_iter();
        let mut lines = lines.filter(|line| line["kind"] == "out_of_scope");
        let told = lines.next();
        assert!(lines.next().is_none(), "{}", ended.stdout);
        told
    };
    let first = place.run(&call).expect(0);
    assert_eq!((told(&first), &first.result()["out_of_scope"]), (None, &0.into()));
    // The second such run counts nothing anew.
    for _ in 0..2 {
        let ended = place.run(&narrow).expect(0);
        let line = told(&ended).expect(&ended.stdout);
        assert_eq!((&line["path"], &line["count"]), (&"d/e/c".into(), &2.into()), "{line}");
        assert!(line["remedy"].as_str().is_some_and(|text| !text.is_empty()), "{line}");
        let result = ended.result();
        assert_eq!((&result["outcome"], &result["out_of_scope"]), (&"equal".into(), &2.into()));
        assert!(place.path("target/d/e/c").exists());
    }
    let status = place.run(&["status", "scope"]).expect(0).stdout;
    assert!(status.contains("out of scope"), "{status}");
    let wide = place.run(&call).expect(0);
    assert_eq!((told(&wide), &wide.result()["out_of_scope"]), (None, &0.into()));
}

/// A source that is a device was told of as a root that is gone.
#[test]
fn a_device_is_no_source() {
    let place = Place::new();
    let ended = place.run(&["migrate", "/dev/null", "target", "--json"]).expect(3);
    let result = ended.result();
    let message = result["message"].as_str().unwrap();
    assert!(message.contains("/dev/null is neither a directory nor a file"), "{message}");
    assert!(!place.path("target").exists(), "the target was touched");
}

/// `path` ended with 0, whatever was asked.
#[test]
fn a_path_of_which_nothing_is_known_is_told_apart() {
    let place = Place::new();
    small_tree(&place);
    let call = ["migrate", "source", "target", "--name", "paths"];
    place.run(&call).expect(0);
    std::fs::remove_file(place.path("source/a")).unwrap();
    place.run(&call).expect(0);
    for path in ["a", "never/seen"] {
        let ended = place.run(&["path", "paths", path]).expect(5);
        assert!(ended.stdout.contains("unknown: never seen, or removed"), "{}", ended.stdout);
        let result = place.run(&["path", "paths", path, "--json"]).expect(5).result();
        assert_eq!(result["known"], false, "{result}");
    }
    for path in ["d/b.txt", "empty", ""] {
        let result = place.run(&["path", "paths", path, "--json"]).expect(0).result();
        assert_eq!(result["known"], true, "{result}");
    }
}

/// What somebody wrote over `result.json` was blamed on the rights of the state folder.
#[test]
fn status_after_garbage_in_the_result_goes_by_the_ledger() {
    let place = Place::new();
    small_tree(&place);
    let call = ["migrate", "source", "target", "--name", "garbled", "--json"];
    place.run(&call).expect(0);
    for garbage in [&b"\xff\xfe\x00"[..], b"{", b""] {
        place.write("state/whimbrel/garbled/result.json", garbage);
        let result = place.run(&["status", "garbled", "--json"]).expect(0).result();
        assert_eq!(result["files_copied"], 3, "{result}");
        let message = result["message"].as_str().unwrap();
        assert!(message.contains("result.json") && message.contains("next run"), "{message}");
    }
    place.run(&call).expect(0);
    let result = place.run(&["status", "garbled", "--json"]).expect(0).result();
    assert_eq!(result["outcome"], "equal", "{result}");
}

/// What a running migration was only behind with was told as different.
#[test]
fn verify_of_a_running_migration_tells_apart_what_is_pending() {
    let place = Place::new();
    small_tree(&place);
    let child = place.spawn(&["migrate", "source", "target", "--live", "--name", "moving"]);
    until("the first copies", || place.path("target/d/e/c").exists());
    let verify = ["verify", "moving", "--json"];
    let equal = place.run(&verify).expect(0).result();
    assert_eq!((&equal["migration_running"], &equal["moving"]), (&true.into(), &0.into()));
    place.run(&["pause", "moving"]).expect(0);
    place.write("source/new", "not there yet");
    std::fs::remove_file(place.path("source/a")).unwrap();
    let ended = place.run(&verify).expect(5);
    let result = ended.result();
    let told = (&result["outcome"], &result["moving"]);
    assert_eq!(told, (&"different".into(), &2.into()), "{}", ended.stdout);
    assert_eq!((&result["missing"], &result["extra"]), (&0.into(), &0.into()), "{result}");
    let text = place.run(&["verify", "moving"]).expect(5).stdout;
    assert!(text.contains("Moving: ") && text.contains("moving runs, "), "{text}");
    // Somebody else's hand is none of it: this differs, and nothing is pending.
    let (copy, kept) = (place.path("target/d/b.txt"), place.path("kept"));
    std::fs::rename(&copy, &kept).unwrap();
    place.write("target/d/b.txt", "other bytes");
    let result = place.run(&verify).expect(5).result();
    assert_eq!((&result["different"], &result["moving"]), (&1.into(), &2.into()), "{result}");
    std::fs::rename(&kept, &copy).unwrap();
    place.run(&["resume", "moving"]).expect(0);
    let result = place.run(&["verify", "source", "target", "--state", "state/whimbrel/moving"]);
    assert_eq!(result.code, 0, "{}", result.stdout);
    place.run(&["stop", "moving"]).expect(0);
    child.ended_within(SOON).expect(143);
}

/// What is gone at the source is set aside for a moment, until the guard has judged it: all that
/// was told as extra.
#[test]
fn verify_while_removals_are_judged_names_no_difference() {
    let place = Place::new();
    for number in 0..200 {
        let folder = ["once", "slowly", "kept"][(number / 30).min(2)];
        place.write(&format!("source/{folder}/{number}"), "a few bytes");
    }
    // More than a quarter of the bounds goes, and more follows: the guard looks on for long.
    let bounds = ["--removals-max", "100", "--removals-share-max", "50%"];
    let live = ["migrate", "source", "target", "--live", "--name", "judged"];
    let child = place.spawn(&[&live[..], &bounds[..]].concat());
    until("the copies", || place.tree("target").len() == 200);
    let verify = ["verify", "judged", "--json"];
    place.run(&verify).expect(0);
    let over = AtomicBool::new(false);
    let result = std::thread::scope(|scope| {
        std::fs::remove_dir_all(place.path("source/once")).unwrap();
        scope.spawn(|| {
            for number in (30..60).take_while(|_| !over.load(Ordering::Relaxed)) {
                std::fs::remove_file(place.path(&format!("source/slowly/{number}"))).unwrap();
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let result = place.run(&verify).result();
        over.store(true, Ordering::Relaxed);
        result
    });
    assert_eq!(result["migration_running"], true, "{result}");
    for kind in ["missing", "extra", "different", "metadata_different"] {
        assert_eq!(result[kind], 0, "{kind}: {result}");
    }
    until("the removals", || !place.path("target/once").exists());
    place.run(&["stop", "judged"]).expect(0);
    child.ended_within(SOON).expect(143);
}

/// Its state knew what the files carry, and took what stood for complete.
#[test]
fn metadata_that_was_left_out_comes_later() {
    let place = Place::new();
    small_tree(&place);
    let call = |level: &'static str| {
        place.run(&["migrate", "source", "target", "--name", "m", "--json", "--metadata", level])
    };
    let old = std::fs::FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
    let file = std::fs::File::options().write(true).open(place.path("source/a")).unwrap();
    file.set_times(old).unwrap();
    let rights = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(place.path("source/a"), rights).unwrap();
    let rights = std::fs::Permissions::from_mode(0o710);
    std::fs::set_permissions(place.path("source/empty"), rights).unwrap();
    call("none").expect(0);
    let stands = |name: &str| {
        let found = std::fs::metadata(place.path(&format!("target/{name}"))).unwrap();
        (found.modified().unwrap() == SystemTime::UNIX_EPOCH, found.permissions().mode() & 0o7777)
    };
    assert_ne!(stands("a"), (true, 0o640));

    let later = call("basic").expect(0).result();
    assert_eq!((&later["run_files_copied"], &later["outcome"]), (&0.into(), &"equal".into()));
    assert_eq!(later["run_metadata_updated"], 3, "{later}");
    assert_eq!((stands("a"), stands("empty").1), ((true, 0o640), 0o710));
    place.run(&["verify", "m"]).expect(0);
    assert_eq!(call("none").expect(0).result()["run_metadata_updated"], 0);
    assert_eq!(call("basic").expect(0).result()["run_metadata_updated"], 0);
}

/// Neither finds an object of the other's, since nothing stands yet.
#[test]
fn two_migrations_to_one_empty_target_notice_each_other() {
    let place = Place::new();
    std::fs::create_dir(place.path("source")).unwrap();
    place.write("other/b", "of the second");
    let first = place.spawn(&["migrate", "source", "target", "--name", "one", "--live"]);
    let status = || place.run(&["status", "one", "--json"]);
    until("it runs", || status().code == 0 && status().result()["running"] == true);
    let call = ["migrate", "other", "target", "--name", "two", "--json"];
    let refused = place.run(&call).expect(6).result();
    assert!(refused["remedy"].as_str().unwrap().contains("--adopt"), "{refused}");
    assert_eq!(place.tree("target").len(), 0);
    place.run(&[&call[..], &["--adopt"]].concat()).expect(0);
    assert_eq!(place.read("target/b").unwrap(), b"of the second");
    drop(first);
    place.run(&call).expect(0);
}

/// Beyond `ulimit -f` the kernel sends a signal, and the run ended without a word.
#[test]
fn a_limit_of_file_sizes_is_told() {
    let place = Place::new();
    place.write("source/large", vec![1; 8 << 20]);
    place.write("source/small", "x");
    let call = place.command(&["migrate", "source", "target", "--name", "m", "--json"]);
    let environment = call.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let output = Command::new("bash")
        .args(["-c", "ulimit -f 4000; exec \"$0\" \"$@\""])
        .arg(call.get_program())
        .args(call.get_args())
        .env_clear()
        .envs(environment)
        .current_dir(call.get_current_dir().unwrap())
        .output()
        .unwrap();
    let ended = Ended::of(output).expect(5);
    let told = ended.problems();
    assert_eq!(told.len(), 1, "{}", ended.stdout);
    assert!(told[0]["remedy"].as_str().unwrap().contains("ulimit -f"), "{}", told[0]);
    assert_eq!(place.read("target/small").unwrap(), b"x");
    place.run(&["migrate", "source", "target", "--name", "m"]).expect(0);
    assert_eq!(place.tree("target"), place.tree("source"));
}

/// Other bytes of the same length under the same time: every later run said `equal`.
#[test]
fn a_target_file_altered_in_silence_is_told() {
    let place = Place::new();
    small_tree(&place);
    let call = ["migrate", "source", "target", "--name", "m", "--json"];
    place.run(&call).expect(0);
    let altered = place.path("target/a");
    let times = std::fs::metadata(&altered).unwrap().modified().unwrap();
    std::fs::write(&altered, "ONE").unwrap();
    std::fs::File::options().write(true).open(&altered).unwrap().set_modified(times).unwrap();
    let told = place.run(&call).expect(6);
    assert_eq!(told.problems()[0]["path"], "a", "{}", told.stdout);
    assert_eq!(place.read("target/a").unwrap(), b"ONE", "it is for a person to say");
    place.run(&[&call[..], &["--existing", "replace"]].concat()).expect(0);
    assert_eq!(place.read("target/a").unwrap(), b"one");

    std::fs::set_permissions(&altered, PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(place.run(&call).expect(0).result()["run_files_copied"], 0, "the bytes are ours");
}

/// A glob of files covers no file of its name, and the directories that may bear it: an object is
/// a file.
#[test]
fn what_is_out_of_scope_is_no_extra_and_does_not_go_back() {
    let place = Place::new();
    place.write("source/a", "a");
    place.write("source/own.bak", "of the source alone");
    place.write("target/theirs.bak", "of the target alone");
    let call = ["migrate", "source", "target", "--name", "m", "--exclude", "**/*.bak", "--json"];
    let result = place.run(&call).expect(0).result();
    assert_eq!(result["extras"], 0, "{result}");
    place.run(&[&call[..], &["--extras", "remove"]].concat()).expect(0);
    assert_eq!(place.read("target/theirs.bak").unwrap(), b"of the target alone");
    for name in ["target/own.bak", "target/new.bak", "target/d/new.bak"] {
        place.write(name, "by users");
    }
    place.run(&["failback", "m", "--conflicts", "replace"]).expect(0);
    assert_eq!(place.read("source/own.bak").unwrap(), b"of the source alone");
    assert_eq!(place.tree("source").len(), 2, "nothing came");
}
