//! What is gone at the source stays on the target for a time (rule 5.7), as an operator meets it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::call::{Ended, Place, Running, until};
use crate::hdfs::World;

const SOON: Duration = Duration::from_secs(120);

/// The files `a`, `d/b` and `d/c` stand on the target.
fn migrated(after: &str) -> Place {
    let place = Place::new();
    for name in ["a", "d/b", "d/c"] {
        place.write(&format!("source/{name}"), format!("first {name}"));
    }
    migrate(&place, after).expect(0);
    place
}

fn migrate(place: &Place, after: &str) -> Ended {
    let call = ["migrate", "source", "target", "--name", "m", "--json", "--removals-after"];
    place.run(&[&call[..], &[after]].concat())
}

fn live(place: &Place, after: &str) -> Running {
    let call = ["migrate", "source", "target", "--name", "m", "--live", "--removals-after", after];
    let child = place.spawn(&call);
    until("it runs", || status(place)["running"] == true);
    child
}

/// A state that a run has just taken, and that has no socket yet, says that it is in use.
fn status(place: &Place) -> Value {
    place.run(&["status", "m", "--json"]).result()
}

/// When the time of a path is over, as `path` tells it.
fn removed_after(place: &Place, path: &str) -> Option<u64> {
    let story = place.run(&["path", "m", path, "--json"]).result();
    story["pending"]["removed_after_ms"].as_u64()
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

fn remove(place: &Place, name: &str) {
    std::fs::remove_file(place.path(name)).unwrap();
}

#[test]
fn what_is_gone_stays_until_its_time_is_over_and_is_told() {
    let place = migrated("1h");
    std::fs::remove_dir_all(place.path("source/d")).unwrap();
    remove(&place, "source/a");
    for _ in 0..2 {
        let kept = migrate(&place, "1h").expect(0).result();
        let told = (&kept["outcome"], &kept["failures"], &kept["removals_delayed"]);
        assert_eq!(told, (&json!("equal"), &json!(0), &json!(2)), "{kept}");
        assert_eq!(kept["removals_after_seconds"], 3600.0);
        assert_eq!(place.tree("target").len(), 3);
    }
    let status = status(&place);
    let due = status["removals_delayed_next_ms"].as_u64().unwrap();
    assert!((now_ms() + 3_000_000..now_ms() + 3_600_000).contains(&due), "{due}");
    let text = place.run(&["status", "m"]).expect(0).stdout;
    assert!(text.contains("2 paths gone at the source, the first removed after"), "{text}");
    for path in ["a", "d", "d/b"] {
        let story = place.run(&["path", "m", path]).expect(0).stdout;
        assert!(story.contains("gone at the source; removed after "), "{path}: {story}");
    }
    let call = ["migrate", "source", "target", "--name", "m", "--removals-after", "1h"];
    let text = place.run(&call).expect(0).stdout;
    assert!(text.contains("what is gone at the source stays until its time is over."), "{text}");

    let verified = place.run(&["verify", "m", "--json"]).expect(0);
    let result = verified.result();
    assert_eq!((&result["outcome"], &result["extra"]), (&json!("equal"), &json!(0)), "{result}");
    assert!(result["delayed"].as_u64() >= Some(3), "{result}");
    assert!(verified.lines().iter().all(|line| line["type"] != "difference"));
    place.run(&["verify", "m", "--report", "proof"]).expect(0);
    let page = String::from_utf8(place.read("proof/report.html").unwrap()).unwrap();
    assert!(page.contains("on the target until their time is over"));
    assert_eq!(place.read("proof/exceptions.jsonl").unwrap(), b"");

    // What is back is copied; the rest goes once no time is asked for.
    place.write("source/d/b", "second b");
    let back = migrate(&place, "1h").expect(0).result();
    assert_eq!(back["run_files_copied"], 1, "{back}");
    assert_eq!(place.read("target/d/b").as_deref(), Some(&b"second b"[..]));
    assert!(place.read("target/d/c").is_some() && place.read("target/a").is_some());
    let gone = migrate(&place, "0s").expect(0).result();
    assert_eq!((&gone["removals_delayed"], &gone["outcome"]), (&json!(0), &json!("equal")));
    assert_eq!(place.tree("target"), place.tree("source"));
    place.run(&["verify", "m"]).expect(0);
}

/// It is killed and started again, and lists everything anew: the time stays what it was.
#[test]
fn the_time_counts_from_the_first_look_over_deaths_and_starts() {
    let place = migrated("8s");
    let child = live(&place, "8s");
    remove(&place, "source/d/b");
    until("it is found to be gone", || status(&place)["removals_delayed"] == 1);
    let due = removed_after(&place, "d/b").unwrap();
    assert!(due <= now_ms() + 8_000, "{due}");
    assert_eq!(status(&place)["lag_seconds"], 0.0, "nothing is behind");
    // It is killed.
    drop(child);
    migrate(&place, "8s").expect(0);
    assert_eq!(removed_after(&place, "d/b"), Some(due), "after a scan");
    let child = live(&place, "8s");
    until("it went", || {
        let stands = place.read("target/d/b").is_some();
        assert!(stands || now_ms() >= due, "before its time");
        !stands
    });
    assert!(place.read("target/d/c").is_some());
    place.run(&["stop", "m"]).expect(0);
    child.ended_within(SOON).expect(143);
}

#[test]
fn a_person_has_it_go_now() {
    let place = migrated("7d");
    remove(&place, "source/a");
    migrate(&place, "7d").expect(0);
    let word = place.run(&["confirm", "m", "--delayed", "--json"]).expect(0).result();
    assert_eq!(word["confirmed"], 1, "{word}");
    assert!(place.read("target/a").is_some(), "nothing runs");
    assert_eq!(migrate(&place, "7d").expect(0).result()["removals_delayed"], 0);
    assert!(place.read("target/a").is_none());

    let child = live(&place, "7d");
    remove(&place, "source/d/b");
    until("it waits", || status(&place)["removals_delayed"] == 1);
    let held = place.run(&["confirm", "m"]).expect(0).stdout;
    assert!(held.contains("holds nothing back"), "{held}");
    let verified = place.run(&["verify", "m", "--json"]).expect(0).result();
    assert_eq!((&verified["delayed"], &verified["migration_running"]), (&json!(1), &json!(true)));
    let word = place.run(&["confirm", "m", "--delayed"]).expect(0).stdout;
    assert!(word.contains("looks again at one path"), "{word}");
    until("it went", || place.read("target/d/b").is_none());
    place.run(&["stop", "m"]).expect(0);
    child.ended_within(SOON).expect(143);
}

/// The target takes over as the source is, not as it was.
#[test]
fn a_cut_over_has_it_go_while_it_drains() {
    let place = migrated("7d");
    let child = live(&place, "7d");
    remove(&place, "source/d/b");
    until("it waits", || status(&place)["removals_delayed"] == 1);
    let rehearsed = place.run(&["cutover", "m", "--dry-run", "--json"]).expect(0).result();
    assert_eq!(rehearsed["removals_delayed"], 1, "{rehearsed}");
    let text = place.run(&["cutover", "m", "--dry-run"]).expect(0).stdout;
    assert!(text.contains("1, which go while it is drained"), "{text}");
    assert!(place.read("target/d/b").is_some(), "it was tried alone");
    let cut = place.run(&["cutover", "m", "--quiet", "1s", "--json"]).expect(0).result();
    assert_eq!(
        (&cut["outcome"], &cut["extra"], &cut["delayed"]),
        (&json!("equal"), &json!(0), &json!(0))
    );
    assert_eq!(place.tree("target"), place.tree("source"));
    child.ended_within(SOON).expect(143);
}

/// What is kept was not made by users: it is not carried back, and waits on.
#[test]
fn a_way_back_leaves_what_is_kept_where_it_is() {
    let place = migrated("7d");
    std::fs::remove_dir_all(place.path("source/d")).unwrap();
    migrate(&place, "7d").expect(0);
    place.write("target/a", "second a");
    let back = place.run(&["failback", "m", "--json"]).expect(0);
    let carried: Vec<_> =
        back.lines().into_iter().filter(|line| line["type"] == "change").collect();
    assert_eq!(carried.len(), 1, "{carried:?}");
    assert_eq!((&carried[0]["change"], &carried[0]["path"]), (&json!("carried"), &json!("a")));
    assert!(!place.path("source/d").exists());
    let forward = migrate(&place, "7d").expect(0).result();
    assert_eq!((&forward["removals_delayed"], &forward["outcome"]), (&json!(1), &json!("equal")));
    assert!(place.read("target/d/b").is_some());
    migrate(&place, "0s").expect(0);
    assert_eq!(place.tree("target"), place.tree("source"));
}

#[test]
fn a_delay_without_a_unit_is_refused() {
    let refused = Place::new().run(&["migrate", "a", "b", "--removals-after", "7"]).expect(2);
    assert!(refused.stderr.contains("like 30s, 5m, 1h or 2d"), "{}", refused.stderr);
}

/// A tree that is removed, a rename, and a job done again, with a NameNode and an S3 server.
#[test]
fn from_hdfs_to_an_object_store() {
    let world = World::start();
    let place = world.place(world.hadoop.superuser());
    let source = world.source();
    let delete = |path: &str| json!({"operation": "delete", "path": path, "recursive": true});
    world.hadoop.write("/data/job/part-0", "of the first").unwrap();
    world.hadoop.write("/data/job/_SUCCESS", "").unwrap();
    world.hadoop.write("/data/old/x", "to be renamed").unwrap();
    let run = |after: &str| {
        let call = ["migrate", &source, "s3://bucket/kept", "--name", "m", "--live", "--json"];
        let more = ["--until-quiet", "3s", "--removals-after", after];
        place.run(&[&call[..], &more[..]].concat())
    };
    run("1h").expect(0);
    let rename = json!({"operation": "rename", "path": "/data/old", "to": "/data/new"});
    world.hadoop.operations(&[delete("/data/d"), delete("/data/job"), rename]).unwrap();
    world.hadoop.write("/data/job/part-1", "of the second").unwrap();
    world.hadoop.write("/data/job/_SUCCESS", "").unwrap();
    let kept = run("1h").expect(0).result();
    assert_eq!((&kept["outcome"], &kept["run_files_relocated"]), (&json!("equal"), &json!(1)));
    assert!(kept["removals_delayed"].as_u64() >= Some(3), "{kept}");
    assert!(kept["as_of_txid"].is_u64() && kept["lag_seconds"] == 0.0, "{kept}");
    let verified = place.run(&["verify", "m", "--json"]).expect(0).result();
    let counts = (&verified["files_compared"], &verified["extra"], &verified["delayed"]);
    // `d/b.txt`, `old/x` and `job/part-0`; `_SUCCESS` came last and anew.
    assert_eq!(counts, (&json!(4), &json!(0), &json!(3)), "{verified}");
    let gone = run("0s").expect(0).result();
    assert_eq!((&gone["removals_delayed"], &gone["run_files_removed"]), (&json!(0), &json!(3)));
    let verified = place.run(&["verify", "m", "--json"]).expect(0).result();
    assert_eq!(verified["delayed"], 0, "{verified}");
}

/// What is kept for a time was told as what only the target has, and an operator who believes that
/// removes it.
#[test]
fn verify_of_a_state_that_was_cut_short_calls_nothing_extra() {
    let place = migrated("7d");
    remove(&place, "source/a");
    migrate(&place, "7d").expect(0);
    let verify = || place.run(&["verify", "m", "--json"]);
    assert_eq!(verify().expect(0).result()["delayed"], 1);
    let database = place.path("state/whimbrel/m/state.db");
    let whole = std::fs::read(&database).unwrap();
    std::fs::write(&database, &whole[..whole.len() / 2]).unwrap();
    let told = verify().expect(7).result();
    assert!(told["message"].as_str().unwrap().contains("damaged"), "{told}");
    std::fs::write(&database, &whole).unwrap();
    assert_eq!(verify().expect(0).result()["delayed"], 1);
}

/// It was called delayed, and the two sides equal.
#[test]
fn what_others_put_below_a_directory_that_stays_is_extra() {
    let place = migrated("7d");
    std::fs::remove_dir_all(place.path("source/d")).unwrap();
    migrate(&place, "7d").expect(0);
    let verify = || place.run(&["verify", "m", "--json"]);
    let kept = verify().expect(0).result()["delayed"].as_u64().unwrap();
    assert!(kept >= 2, "{kept}");
    place.write("target/d/foreign", "of somebody else");
    let told = verify().expect(5);
    let result = told.result();
    assert_eq!((&result["extra"], &result["delayed"]), (&json!(1), &json!(kept)), "{result}");
    assert!(told.stdout.contains("d/foreign"), "{}", told.stdout);
    let running = live(&place, "7d");
    let result = verify().expect(5).result();
    assert_eq!((&result["extra"], &result["delayed"]), (&json!(1), &json!(kept)), "{result}");
    drop(running);
}

/// They were called delayed, and the two sides equal: what was kept is gone.
#[test]
fn what_others_put_in_the_place_of_what_stays_is_extra() {
    let place = migrated("7d");
    place.write("source/e/f", "of a directory that a file replaces");
    migrate(&place, "7d").expect(0);
    for gone in ["source/d", "source/e"] {
        std::fs::remove_dir_all(place.path(gone)).unwrap();
    }
    remove(&place, "source/a");
    migrate(&place, "7d").expect(0);
    let verify = |more: &[&str]| place.run(&[&["verify", "m", "--json"][..], more].concat());
    assert_eq!(verify(&[]).expect(0).result()["delayed"], 4, "a, d/b, d/c and e/f");
    // A backup by hard links changes the times of what stays, and no byte.
    std::fs::hard_link(place.path("target/d/c"), place.path("backup")).unwrap();
    assert_eq!(verify(&[]).expect(0).result()["delayed"], 4, "they are what they were");
    place.write("target/a", "of somebody else");
    let (stays, bytes) = (place.path("target/d/b"), "other d/b");
    assert_eq!(std::fs::read(&stays).unwrap().len(), bytes.len());
    let modified = std::fs::metadata(&stays).unwrap().modified().unwrap();
    std::fs::write(&stays, bytes).unwrap();
    std::fs::File::options().write(true).open(&stays).unwrap().set_modified(modified).unwrap();
    std::fs::remove_dir_all(place.path("target/e")).unwrap();
    place.write("target/e", "of somebody else");
    let told = |ended: Ended| {
        let result = ended.expect(5).result();
        (result["extra"].clone(), result["delayed"].clone())
    };
    for more in [&[][..], &["--read"]] {
        assert_eq!(told(verify(more)), (json!(3), json!(1)), "{more:?}: d/c is what it was");
    }
    let running = live(&place, "7d");
    // What the run has not come to yet is told as moving.
    until("the run is done", || told(verify(&[])) == (json!(3), json!(1)));
    drop(running);
}

/// It stays for ever then, and was called delayed.
#[test]
fn a_foreign_object_that_is_not_to_go_any_more_is_extra() {
    let place = migrated("7d");
    place.write("target/foreign/deep/file", "of somebody else");
    let run = |extras: &str| {
        let call = ["migrate", "source", "target", "--name", "m", "--removals-after", "7d"];
        place.run(&[&call[..], &["--extras", extras, "--json"]].concat()).expect(0);
    };
    run("remove");
    let verify = || place.run(&["verify", "m", "--json"]);
    assert_eq!(verify().expect(0).result()["delayed"], 1);
    run("keep");
    let told = verify().expect(5).result();
    assert_eq!((&told["extra"], &told["delayed"]), (&json!(1), &json!(0)), "{told}");
}

/// What the one that ran said was taken for what is kept of these two.
#[test]
fn verify_does_not_ask_the_run_of_another_migration() {
    let place = migrated("7d");
    remove(&place, "source/a");
    migrate(&place, "7d").expect(0);
    place.write("other/a", "first a");
    place.write("other_target/a", "first a");
    let running = live(&place, "7d");
    let state = place.path("state/whimbrel/m");
    let call = ["verify", "other", "other_target", "--json", "--state", state.to_str().unwrap()];
    let told = place.run(&call).expect(2).result();
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("is one with source"), "{message}");
    assert_eq!(place.run(&["verify", "m", "--json"]).expect(0).result()["delayed"], 1);
    drop(running);
}

/// What that one keeps was taken for what this one keeps.
#[test]
fn verify_does_not_believe_the_state_of_another_migration() {
    let place = migrated("7d");
    place.write("other/a", "other");
    let call = ["migrate", "other", "other_target", "--name", "other", "--removals-after", "7d"];
    place.run(&call).expect(0);
    let state = |name: &str| place.path(&format!("state/whimbrel/{name}/state.db"));
    std::fs::copy(state("other"), state("m")).unwrap();
    let told = place.run(&["verify", "m", "--json"]).expect(2).result();
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("is of a migration with source"), "{message}");
}
