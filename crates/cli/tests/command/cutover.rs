//! Cut-overs: local trees, and HDFS to a real S3 server behind each fence.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use whimbrel_hdfs::{Client, Configuration, Error, Settings};
use whimbrel_testbed::{Checker, S3Server};

use crate::call::{Ended, Place, Running, until};
use crate::hdfs::World;

const SOON: Duration = Duration::from_secs(120);

fn step(place: &Place) -> Option<String> {
    let text = place.read("state/whimbrel/m/cutover.json")?;
    let record: Value = serde_json::from_slice(&text).ok()?;
    record["step"].as_str().map(str::to_owned)
}

/// Waits for a step, or a later one: some are over in a moment.
fn until_step(place: &Place, wanted: &str) {
    let steps = ["fencing", "fenced", "drained", "verified", "reported", "equal"];
    let at = |step: &str| steps.iter().position(|it| *it == step);
    let started = std::time::Instant::now();
    while step(place).and_then(|step| at(&step)) < at(wanted) {
        assert!(started.elapsed() < SOON, "waited in vain: {wanted}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn kinds(ended: &Ended) -> Vec<String> {
    let lines = ended.lines();
    let problems = lines.iter().filter(|line| line["type"] == "problem");
    problems.map(|line| line["kind"].as_str().unwrap().to_owned()).collect()
}

fn signal(name: &str, process: &str) {
    let sent = std::process::Command::new("kill").args([name, process]).status().unwrap();
    assert!(sent.success());
}

fn runs(place: &Place) -> bool {
    place.run(&["status", "m", "--json"]).result()["running"] == true
}

fn until_caught_up(place: &Place) {
    until("a migration that has caught up", || {
        place.run(&["cutover", "m", "--dry-run", "--json"]).code == 0
    });
}

/// A migration that is stopped with its test, though a cut-over may have started it.
struct Stopped<'a>(&'a Place);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.run(&["stop", "m"]);
    }
}

fn live(place: &Place) -> Running {
    place.write("source/a", "one");
    place.write("source/d/b", "two");
    let child = place.spawn(&["migrate", "source", "target", "--live", "--name", "m"]);
    until_caught_up(place);
    child
}

const CUT: [&str; 7] = ["cutover", "m", "--quiet", "1s", "--report", "proof", "--json"];

#[test]
fn a_local_tree_is_cut_over() {
    let place = Place::new();
    let child = live(&place);
    let rehearsed = place.run(&["cutover", "m", "--dry-run", "--json"]).expect(0).result();
    assert!(rehearsed["estimated_seconds"].is_number(), "{rehearsed}");
    let cut = place.run(&CUT).expect(0);
    let result = cut.result();
    assert_eq!((&result["outcome"], &result["files_compared"]), (&json!("equal"), &json!(2)));
    assert!(result["as_of_txid"].is_u64() && result["fence_stands"] == false, "{result}");
    let steps = cut.lines();
    let steps: Vec<_> = steps.iter().filter_map(|line| line["step"].as_str()).collect();
    assert_eq!(steps, ["fenced", "drained", "verified", "reported"]);
    place.run(&["report", "check", "proof"]).expect(0);
    let told: Value = serde_json::from_slice(&place.read("proof/report.json").unwrap()).unwrap();
    assert_eq!(told["as_of_txid"], result["as_of_txid"]);
    assert_eq!(told["outcome"], "equal");
    // What happens at the source from now on is nobody's business.
    child.ended_within(SOON).expect(143);
    place.write("source/later", "no");
    assert!(!runs(&place) && place.read("target/later").is_none());
}

/// It drained, and had delayed removals go, before it failed for want of a target.
#[test]
fn a_target_that_cannot_be_compared_is_told_before_anything_is_begun() {
    let place = Place::new();
    let _stopped = Stopped(&place);
    let child = live(&place);
    place.run(&["stop", "m"]).expect(0);
    child.ended_within(SOON).expect(143);
    std::fs::rename(place.path("target"), place.path("aside")).unwrap();
    let cut = place.run(&CUT).expect(4);
    assert!(kinds(&cut).is_empty() && step(&place).is_none(), "{}", cut.stdout);
    let log = place.path("state/whimbrel/m/cutover-run.log");
    assert!(!log.exists() && !place.path("target").exists(), "nothing was started");
    std::fs::rename(place.path("aside"), place.path("target")).unwrap();
    place.run(&CUT).expect(0);
}

/// A dry run said that nothing was missing; without a report there was a step `reported`.
#[test]
fn what_only_the_target_has_is_a_reason_unless_it_is_no_difference() {
    let place = Place::new();
    place.write("source/a", "one");
    place.write("target/foreign", "two");
    let child = place.spawn(&["migrate", "source", "target", "--live", "--name", "m"]);
    let rehearse = ["cutover", "m", "--dry-run", "--json", "--ignore-extras"];
    until("a migration that has caught up", || place.run(&rehearse).code == 0);
    let rehearsed = place.run(&rehearse[..4]).expect(5);
    assert_eq!(
        (kinds(&rehearsed), &rehearsed.result()["extras"]),
        (vec!["different".into()], &json!(1))
    );
    let told = place.run(&["cutover", "m", "--dry-run"]).expect(5).stdout;
    assert!(told.contains("Not yet."), "{told}");
    let status = place.run(&["status", "m"]).expect(0).stdout;
    assert!(status.lines().any(|line| line.trim() == "extras            1"), "{status}");
    let cut = place.run(&["cutover", "m", "--quiet", "1s", "--json"]).expect(5);
    assert_eq!(kinds(&cut), ["different"]);
    let cut = ["cutover", "m", "--quiet", "1s", "--ignore-extras", "--json"];
    let cut = place.run(&cut).expect(0).lines();
    let steps: Vec<_> = cut.iter().filter_map(|line| line["step"].as_str()).collect();
    assert_eq!(steps, ["fenced", "drained", "verified"], "no report was asked for");
    child.ended_within(SOON).expect(143);
}

/// With the options that it had, but for those that end a run.
#[test]
fn a_migration_that_does_not_run_is_started_as_it_was() {
    let place = Place::new();
    let _stopped = Stopped(&place);
    place.write("source/a", "one");
    place.write("source/x", "not to be moved");
    let call = ["migrate", "source", "target", "--name", "m", "--exclude", "x"];
    place.run(&[&call[..], &["--live", "--until-quiet", "1s", "--report", "r"]].concat()).expect(0);
    place.write("source/b", "two");
    let rehearsed = place.run(&["cutover", "m", "--dry-run", "--json"]).expect(5);
    assert_eq!(kinds(&rehearsed), ["not_drained"]);
    assert!(!runs(&place), "a dry run changes nothing");
    assert_eq!(place.run(&CUT).expect(0).result()["files_compared"], 2);
    assert_eq!(place.read("target/b").as_deref(), Some(&b"two"[..]));
    assert!(place.read("target/x").is_none() && !runs(&place));
}

#[test]
fn a_migration_that_was_never_live_is_not_started() {
    let place = Place::new();
    place.write("source/a", "one");
    place.run(&["migrate", "source", "target", "--name", "m"]).expect(0);
    let refused = place.run(&CUT).expect(2);
    assert!(refused.result()["message"].as_str().unwrap().contains("without --live"));
    assert!(!runs(&place) && place.read("state/whimbrel/m/cutover.json").is_none());
}

#[test]
fn a_change_behind_the_fence_makes_it_say_no() {
    let place = Place::new();
    let child = live(&place);
    let call = ["cutover", "m", "--quiet", "8s", "--report", "proof", "--json"];
    let cut = place.spawn(&call);
    until_step(&place, "fenced");
    std::thread::sleep(Duration::from_secs(4));
    place.write("source/d/late", "too late");
    let ended = cut.ended_within(SOON).expect(5);
    assert_eq!(
        (kinds(&ended), &ended.result()["outcome"]),
        (vec!["changed".into()], &json!("incomplete"))
    );
    assert!(runs(&place), "the migration goes on");
    assert_eq!(step(&place).as_deref(), Some("not_equal"));
    // The same call again, once it is quiet.
    assert_eq!(place.run(&CUT).expect(0).result()["files_compared"], 3);
    child.ended_within(SOON).expect(143);
}

/// What happened between the comparison and the answer.
#[test]
fn a_change_while_all_is_compared_makes_it_say_no() {
    let place = Place::new();
    let _child = live(&place);
    let cut = place.spawn(&CUT);
    until_step(&place, "drained");
    place.write("source/d/late", "too late");
    let ended = cut.ended_within(SOON).expect(5);
    assert!(kinds(&ended).contains(&"changed".to_owned()), "{}", ended.stdout);
    place.run(&["report", "check", "proof"]).expect(0);
    let told: Value = serde_json::from_slice(&place.read("proof/report.json").unwrap()).unwrap();
    assert_eq!(told["outcome"], "incomplete");
}

#[test]
fn what_differs_makes_it_say_no() {
    let place = Place::new();
    let _child = live(&place);
    place.write("target/a", "eno");
    let ended = place.run(&CUT).expect(5);
    let difference = ended.lines().into_iter().find(|line| line["type"] == "difference").unwrap();
    assert_eq!((&difference["path"], &difference["kind"]), (&json!("a"), &json!("different")));
    assert_eq!(
        (kinds(&ended), &ended.result()["different"]),
        (vec!["different".into()], &json!(1))
    );
    place.run(&["report", "check", "proof"]).expect(0);
}

/// Nobody is fenced for an answer that is no already.
/// It was always said to have ended at once: what it wrote was read from where it had written to.
/// A state that is in use for a moment, as by one that is asked for its status, is waited for.
#[test]
fn why_it_cannot_be_started_is_told() {
    let place = Place::new();
    let _stopped = Stopped(&place);
    let child = live(&place);
    place.run(&["stop", "m"]).expect(0);
    child.ended_within(SOON);
    let lock = std::fs::File::open(place.path("state/whimbrel/m/lock")).unwrap();
    lock.lock().unwrap();
    let ended = place.run(&CUT).expect(7);
    let told = ended.result()["message"].as_str().unwrap_or_default().to_owned();
    assert!(told.contains("/state/whimbrel/m"), "{told}");
    let cut = place.spawn(&CUT);
    std::thread::sleep(Duration::from_secs(2));
    lock.unlock().unwrap();
    assert_eq!(cut.ended_within(SOON).code, 0);
}

#[test]
fn what_failed_is_told_before_the_fence() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("source")).unwrap();
    std::os::unix::fs::symlink("nowhere", place.path("source/link")).unwrap();
    let _child = place.spawn(&["migrate", "source", "target", "--live", "--name", "m"]);
    until("a failure", || {
        let ended = place.run(&["cutover", "m", "--dry-run", "--json"]);
        ended.code == 5 && kinds(&ended) == ["failed"]
    });
    let ended = place.run(&CUT).expect(5);
    assert_eq!(kinds(&ended), ["failed"]);
    assert_eq!(step(&place).as_deref(), Some("not_equal"));
    assert!(!place.path("proof").exists());
}

#[test]
fn stopped_by_a_signal_it_is_no_yes() {
    let place = Place::new();
    let _child = live(&place);
    let cut = place.spawn(&["cutover", "m", "--quiet", "1h", "--json"]);
    until_step(&place, "fenced");
    let again = place.run(&CUT).expect(7).result();
    assert!(again["message"].as_str().unwrap().contains("under way"), "{again}");
    signal("-INT", &cut.id());
    assert_eq!(cut.ended_within(SOON).expect(130).result()["outcome"], "stopped");
    assert!(runs(&place));
}

/// Control-C after the step `reported` was a no, beside a signed report that said yes and a
/// migration that had been stopped for good.
#[test]
fn a_signal_after_the_report_left_a_signed_yes_and_no_migration() {
    for (name, after, code) in
        [("-INT", "drained", 130), ("-INT", "reported", 0), ("-TERM", "reported", 0)]
    {
        let place = Place::new();
        let _stopped = Stopped(&place);
        let _child = live(&place);
        let cut = place.spawn(&CUT);
        until_step(&place, after);
        signal(name, &cut.id());
        let result = cut.ended_within(SOON).expect(code).result();
        let said_yes = code == 0;
        assert_eq!(result["outcome"] == "equal", said_yes, "{name} {after}: {result}");
        assert_eq!(runs(&place), !said_yes, "{name} {after}");
        // Evidence of a yes, or none at all.
        assert_eq!(place.path("proof/report.json").exists(), said_yes, "{name} {after}");
        if said_yes {
            place.run(&["report", "check", "proof"]).expect(0);
            assert_eq!(step(&place).as_deref(), Some("equal"));
        }
    }
}

#[test]
fn killed_after_any_step_it_is_taken_again() {
    for killed_after in ["begun", "fenced", "drained", "verified", "reported", "equal"] {
        let place = Place::new();
        let _stopped = Stopped(&place);
        let _child = live(&place);
        let cut = place.spawn(&CUT);
        match killed_after {
            "begun" => std::thread::sleep(Duration::from_millis(30)),
            step => until_step(&place, step),
        }
        signal("-KILL", &cut.id());
        cut.ended_within(SOON);
        let result = place.run(&CUT).expect(0).result();
        assert_eq!(result["outcome"], "equal", "{killed_after}: {result}");
        place.run(&["report", "check", "proof"]).expect(0);
        assert!(!runs(&place), "{killed_after}");
    }
}

/// One cluster for all of it.
#[test]
fn from_hdfs_behind_each_fence() {
    let world = World::start();
    behind_a_fence_of_the_operators(&world);
    behind_safe_mode(&world);
    behind_permissions(&world);
    killed_behind_its_fence(&world);
    a_fence_is_undone_after_a_run_without_live(&world);
    a_fence_is_not_undone_at_another_directory(&world);
}

fn migrated(world: &World, place: &Place, target: &str) -> Running {
    let target = format!("s3://bucket/{target}");
    let source = world.source();
    let child = place.spawn(&["migrate", &source, &target, "--live", "--name", "m"]);
    until_caught_up(place);
    child
}

/// Reads no data, is signed, and agrees with a checker that has nothing to do with Whimbrel.
fn is_confirmed(world: &World, place: &Place, target: &str, result: &Value) {
    assert_eq!(result["outcome"], "equal", "{result}");
    assert!(result["as_of_txid"].as_u64() > Some(0), "{result}");
    let read = (&result["bytes_read_source"], &result["bytes_read_target"]);
    assert_eq!(read, (&json!(0), &json!(0)));
    place.run(&["report", "check", "proof"]).expect(0);
    let told: Value = serde_json::from_slice(&place.read("proof/report.json").unwrap()).unwrap();
    assert_eq!((&told["outcome"], &told["as_of_txid"]), (&json!("equal"), &result["as_of_txid"]));
    let checker = Checker::new().unwrap();
    let checker = checker.with_hadoop(&world.hadoop).with_s3(world.server.endpoint());
    let (source, target) = (world.source(), format!("s3://bucket/{target}"));
    let report = checker.compare(&source, &target, &["--ignore-directory-times"]).unwrap();
    assert!(report.equal, "{:?}", report.findings);
}

/// Changes that are each one call to the NameNode: nothing stays open in the middle.
fn churn(world: &World, number: u64) -> bool {
    let name = |number: u64| format!("/data/churn/{}", number % 7);
    let (from, to) = (name(number), name(number + 3));
    let mode = if number.is_multiple_of(2) { "640" } else { "644" };
    let all = [
        json!({"operation": "mkdirs", "path": from}),
        json!({"operation": "rename", "path": from, "to": to, "may_fail": true}),
        json!({"operation": "set_permission", "path": "/data/a", "mode": mode}),
    ];
    world.hadoop.operations(&all).is_ok()
}

/// Changes the source until somebody says so or it is refused; answers how often it was changed.
fn churned<T>(world: &World, over: &AtomicBool, cut: impl FnOnce() -> T) -> (u64, T) {
    std::thread::scope(|scope| {
        let changes = scope.spawn(|| {
            let mut number = 0;
            while !over.load(Ordering::Relaxed) && churn(world, number) {
                number += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            number
        });
        std::thread::sleep(Duration::from_secs(1));
        let result = cut();
        over.store(true, Ordering::Relaxed);
        (changes.join().unwrap(), result)
    })
}

fn behind_a_fence_of_the_operators(world: &World) {
    let place = world.place(world.hadoop.superuser());
    let child = migrated(world, &place, "check");
    let over = AtomicBool::new(false);
    let (_, ended) = churned(world, &over, || place.run(&CUT).expect(5));
    assert_eq!(kinds(&ended), ["changed"], "{}", ended.stdout);
    assert!(!place.path("proof").exists(), "nothing was compared");
    let result = place.run(&CUT).expect(0).result();
    is_confirmed(world, &place, "check", &result);
    child.ended_within(SOON).expect(143);
}

const SAFE_MODE: [&str; 9] =
    ["cutover", "m", "--quiet", "1s", "--report", "proof", "--json", "--fence", "safe-mode"];

fn behind_safe_mode(world: &World) {
    let place = world.place(world.hadoop.superuser());
    let child = migrated(world, &place, "safe-mode");
    let over = AtomicBool::new(false);
    let (changes, ended) = churned(world, &over, || place.run(&SAFE_MODE).expect(0));
    assert!(changes > 3, "{changes} changes are no churn");
    let result = ended.result();
    assert_eq!(result["fence_stands"], true);
    is_confirmed(world, &place, "safe-mode", &result);
    child.ended_within(SOON).expect(143);
    assert!(world.hadoop.write("/data/later", "no").is_err(), "the fence stands after a yes");
    place.run(&["cutover", "m", "--undo-fence"]).expect(0);
    assert!(churn(world, 0), "the source can be changed again");
    let again = place.run(&["cutover", "m", "--undo-fence", "--json"]).expect(0).result();
    assert_eq!(again["undone"], false);
}

fn mode(world: &World) -> String {
    let status = world.hadoop.command(&json!({"command": "status", "path": "/data"})).unwrap();
    status.to_string()
}

/// Somebody who is no superuser changes the modes of files of their own until it is denied.
async fn alice_at_work(world: &World, over: &AtomicBool) -> (u64, Option<Error>) {
    let folder = world.hadoop.configuration_directory();
    let configuration = Configuration::read(&folder).unwrap();
    let client = Client::connect(&configuration, "", Settings::new("alice")).await.unwrap();
    let mut changes = 0;
    while !over.load(Ordering::Relaxed) {
        let mode = if u64::is_multiple_of(changes, 2) { 0o640 } else { 0o644 };
        if let Err(error) = client.set_permission(b"/data/alice/x", mode).await {
            return (changes, Some(error));
        }
        changes += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (changes, None)
}

fn behind_permissions(world: &World) {
    world.hadoop.write("/data/alice/x", "hers").unwrap();
    let own = json!({"operation": "set_owner", "path": "/data/alice/x", "owner": "alice"});
    let open = json!({"operation": "set_permission", "path": "/data", "mode": "1775"});
    world.hadoop.operations(&[own, open]).unwrap();
    let before = mode(world);
    let place = world.place(world.hadoop.superuser());
    let child = migrated(world, &place, "permissions");
    let over = AtomicBool::new(false);
    let call = [&SAFE_MODE[..8], &["permissions"]].concat();
    let (ended, (changes, refused)) = std::thread::scope(|scope| {
        let alice = scope.spawn(|| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(alice_at_work(world, &over))
        });
        std::thread::sleep(Duration::from_secs(1));
        let ended = place.run(&call);
        over.store(true, Ordering::Relaxed);
        (ended, alice.join().unwrap())
    });
    let ended = ended.expect(0);
    assert!(changes > 3, "{changes} changes are no churn");
    assert!(matches!(refused, Some(Error::Denied { .. })), "{refused:?}");
    is_confirmed(world, &place, "permissions", &ended.result());
    child.ended_within(SOON).expect(143);
    assert_ne!(mode(world), before);
    // What somebody sets between two cut-overs comes back; what is set behind the fence stays.
    let chmod = |mode: &str| {
        let set = json!({"operation": "set_permission", "path": "/data", "mode": mode});
        world.hadoop.operations(&[set]).unwrap();
    };
    chmod("711");
    let opened = mode(world);
    place.run(&call).expect(0);
    assert_ne!(mode(world), opened);
    let undone = place.run(&["cutover", "m", "--undo-fence", "--json"]).expect(0).result();
    assert_eq!((&undone["undone"], &undone["fence_left"]), (&json!(true), &Value::Null));
    assert_eq!(mode(world), opened);
    place.run(&call).expect(0);
    chmod("1775");
    let undone = place.run(&["cutover", "m", "--undo-fence", "--json"]).expect(0).result();
    assert_eq!(undone["fence_left"], "1775", "{undone}");
    assert_eq!(mode(world), before);
}

/// By a no, by a signal and by `kill -9`, each behind the fence.
fn killed_behind_its_fence(world: &World) {
    let before = mode(world);
    let place = world.place(world.hadoop.superuser());
    let child = migrated(world, &place, "killed");
    let call = ["cutover", "m", "--quiet", "1h", "--json", "--fence", "permissions"];
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let cut = place.spawn(&call);
        until_step(&place, "fenced");
        assert_ne!(mode(world), before);
        signal(name, &cut.id());
        let result = cut.ended_within(SOON).expect(code).result();
        assert_eq!(result["fence_stands"], false, "{result}");
        assert_eq!(mode(world), before);
    }
    let cut = place.spawn(&call);
    until_step(&place, "fencing");
    signal("-KILL", &cut.id());
    cut.ended_within(SOON);
    place.run(&["cutover", "m", "--fence", "safe-mode"]).expect(2);
    place.run(&CUT).expect(2);
    let cut = place.spawn(&call);
    until("the fence", || mode(world) != before);
    signal("-KILL", &cut.id());
    cut.ended_within(SOON);
    assert_ne!(mode(world), before);
    let undone = "the fence permissions stands: whimbrel cutover m --undo-fence takes it away";
    for told in [place.run(&["status", "m"]), place.run(&["cutover", "m", "--dry-run"])] {
        assert!(told.stdout.contains(undone), "{}", told.stdout);
    }
    let short = ["--quiet", "1s", "--ignore-extras", "--give-up-after", "1s"];
    let ended = place.run(&[&call[..2], &call[4..], &short].concat()).expect(5);
    assert_eq!(kinds(&ended), ["not_drained"]);
    assert_eq!(mode(world), before, "as it was before the first of them");
    place.run(&["stop", "m"]).expect(0);
    child.ended_within(SOON).expect(143);
}

/// It was refused for want of a stream, which nobody needs to undo a fence; `failback`, refused
/// behind the fence, named the very call that was refused.
fn a_fence_is_undone_after_a_run_without_live(world: &World) {
    let before = mode(world);
    let place = world.place(world.hadoop.superuser());
    let child = migrated(world, &place, "not-live");
    let call = [&CUT[..4], &["--fence", "permissions"]].concat();
    place.run(&call).expect(0);
    child.ended_within(SOON).expect(143);
    place.run(&["migrate", &world.source(), "s3://bucket/not-live", "--name", "m"]).expect(0);
    assert_ne!(mode(world), before);
    let back = place.run(&["failback", "m", "--dry-run", "--json"]).expect(2).result();
    assert!(back["remedy"].as_str().unwrap().contains("--undo-fence"), "{back}");
    let undone = place.run(&["cutover", "m", "--undo-fence", "--json"]).expect(0).result();
    assert_eq!(undone["undone"], true);
    assert_eq!(mode(world), before);
    // Nothing stands, and nothing is refused.
    let again = place.run(&["cutover", "m", "--undo-fence", "--json"]).expect(0).result();
    assert_eq!(again["undone"], false);
    // But for a cut-over itself, which needs the stream.
    place.run(&call).expect(2);
    place.run(&["failback", "m", "--dry-run"]).expect(0);
}

/// It went by path: a directory that was made in the place of the fenced one was given its mode,
/// and the fence around that one was forgotten.
fn a_fence_is_not_undone_at_another_directory(world: &World) {
    let before = mode(world);
    let place = world.place(world.hadoop.superuser());
    let child = migrated(world, &place, "renamed");
    let call = [&CUT[..4], &["--json", "--fence", "permissions"]].concat();
    place.run(&call).expect(0);
    child.ended_within(SOON).expect(143);
    let fenced = mode(world);
    let away = json!({"operation": "rename", "path": "/data", "to": "/away"});
    let another = json!({"operation": "mkdirs", "path": "/data"});
    let closed = json!({"operation": "set_permission", "path": "/data", "mode": "700"});
    world.hadoop.operations(&[away, another, closed]).unwrap();
    let (found, record) = (mode(world), place.read("state/whimbrel/m/cutover.json"));
    for refused in [&["cutover", "m", "--undo-fence", "--json"][..], &call] {
        let told = place.run(refused).expect(3).result();
        assert!(told["message"].as_str().unwrap().contains("another directory"), "{told}");
        assert!(told["remedy"].as_str().unwrap().contains("rename"), "{told}");
        assert_eq!(mode(world), found);
        assert_eq!(place.read("state/whimbrel/m/cutover.json"), record);
    }
    let gone = json!({"operation": "delete", "path": "/data", "recursive": true});
    let back = json!({"operation": "rename", "path": "/away", "to": "/data"});
    world.hadoop.operations(&[gone, back]).unwrap();
    assert_eq!(mode(world), fenced);
    place.run(&["cutover", "m", "--undo-fence"]).expect(0);
    assert_eq!(mode(world), before);
}

/// It said that nothing was missing, and the call itself ended with 2.
#[test]
fn a_dry_run_refuses_a_fence_that_the_source_has_not() {
    let place = Place::new();
    place.write("source/a", "one");
    place.run(&["migrate", "source", "target", "--name", "m"]).expect(0);
    for fence in ["permissions", "safe-mode"] {
        let told = place.run(&["cutover", "m", "--fence", fence, "--dry-run"]).expect(2).stderr;
        assert!(told.contains("this source has none"), "{told}");
    }
    assert_ne!(place.run(&["cutover", "m", "--dry-run"]).code, 2);
}
