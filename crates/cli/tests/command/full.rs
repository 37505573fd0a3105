//! A target that has no room, or is away for a while.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::call::{Place, Running, until};

/// A small file system in memory; it goes with the test.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    /// `None` where this user may not mount: said aloud, since nothing is tried then.
    fn mount(folder: &'a Path, bytes: &str) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let options = format!("size={bytes}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(folder)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder)),
            refused => {
                eprintln!("SKIPPED: a full target needs the right to mount: {refused:?}");
                None
            }
        }
    }

    fn resize(&self, bytes: &str) {
        let options = format!("remount,size={bytes}");
        let done = Command::new("mount").args(["-o", &options]).arg(self.0).status();
        assert!(done.unwrap().success());
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        // Lazily: a run that did not end yet may still hold it.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

/// A call whose lines can be read while it runs.
fn told_to(place: &Place, file: &str, call: &[&str]) -> Running {
    let output = std::fs::File::create(place.path(file)).unwrap();
    Running::of(place.command(call).stdout(output).spawn().unwrap())
}

fn problems(place: &Place, file: &str, kind: &str) -> Vec<Value> {
    let text = String::from_utf8(place.read(file).unwrap()).unwrap();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["type"] == "problem" && line["kind"] == kind).collect()
}

/// A full target was waited for as for one that is lost, and nobody was told.
#[test]
fn a_full_target_is_told_at_once_and_gone_on_with_when_there_is_room() {
    let place = Place::new();
    let target = place.path("target");
    let Some(small) = Small::mount(&target, "2m") else { return };
    for number in 0..4 {
        place.write(&format!("source/{number}"), vec![b'x'; 1_500_000]);
    }
    place.write("source/large", vec![b'y'; 20 << 20]);
    let started = Instant::now();
    let call = ["migrate", "source", "target", "--name", "full", "--json"];
    let running = told_to(&place, "lines", &call);
    until("the problem", || !problems(&place, "lines", "full").is_empty());
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let problem = problems(&place, "lines", "full").remove(0);
    for (field, word) in [("message", "No space left"), ("remedy", "free space")] {
        assert!(problem[field].as_str().unwrap().contains(word), "{problem}");
    }
    let status = || place.run(&["status", "full"]).expect(0).stdout;
    until("the cause", || status().contains("the target has been full for"));
    small.resize("64m");
    running.ended_within(Duration::from_secs(60)).expect(0);
    assert_eq!(place.tree("target"), place.tree("source"));
    assert_eq!(problems(&place, "lines", "full").len(), 1);
    assert_eq!(problems(&place, "lines", "target_back").len(), 1);
}

/// The same without anybody who makes room.
#[test]
fn a_target_that_stays_full_ends_the_run_and_a_later_one_goes_on() {
    let place = Place::new();
    let target = place.path("target");
    let Some(small) = Small::mount(&target, "2m") else { return };
    for number in 0..3 {
        place.write(&format!("source/{number}"), vec![b'x'; 1_500_000]);
    }
    let call = ["migrate", "source", "target", "--give-up-after", "2s", "--json"];
    let ended = place.spawn(&call).ended_within(Duration::from_secs(30)).expect(4);
    let result = ended.result();
    assert_eq!(result["outcome"], "failed");
    assert!(result["remedy"].as_str().unwrap().contains("free space"), "{result}");
    assert!(ended.lines().iter().any(|line| line["kind"] == "full"), "{}", ended.stdout);
    small.resize("64m");
    let result = place.run(&call).expect(0).result();
    assert_eq!((&result["outcome"], &result["files_copied"]), (&"equal".into(), &3.into()));
    assert_eq!(place.tree("target"), place.tree("source"));
}

/// Work that fails as soon as it is begun never made a lost side known.
#[test]
fn a_target_that_is_gone_at_once_is_told_of() {
    let place = Place::new();
    place.write("source/a", "one");
    let call = ["migrate", "source", "target", "--live", "--name", "gone", "--json"];
    let running = told_to(&place, "lines", &call);
    until("the first copy", || place.path("target/a").exists());
    std::fs::rename(place.path("target"), place.path("away")).unwrap();
    place.write("source/b", "two");
    until("the problem", || !problems(&place, "lines", "target_lost").is_empty());
    assert!(!place.path("target").exists());
    std::fs::rename(place.path("away"), place.path("target")).unwrap();
    until("the second copy", || place.path("target/b").exists());
    until("the good news", || !problems(&place, "lines", "target_back").is_empty());
    place.run(&["stop", "gone"]).expect(0);
    running.ended_within(Duration::from_secs(30)).expect(143);
    assert_eq!(place.tree("target"), place.tree("source"));
}

/// The state's disk is full while files are being written: what they left goes with the next run.
#[test]
fn a_state_without_room_ends_the_run_and_a_later_one_goes_on() {
    let place = Place::new();
    let state = place.path("state");
    let Some(small) = Small::mount(&state, "3m") else { return };
    for number in 0..4_000 {
        place.write(&format!("source/{}/{number:0>200}", number % 9), number.to_string());
    }
    let call = ["migrate", "source", "target", "--name", "room", "--state", "state", "--json"];
    let result = place.run(&call).expect(7).result();
    let field = |name: &str| result[name].as_str().unwrap().to_owned();
    assert!(field("message").contains("no space is left for the state"), "{result}");
    assert!(field("remedy").contains("goes on"), "{result}");
    assert!(!place.tree("target").is_empty(), "it was under way");
    small.resize("256m");
    assert_eq!(place.run(&call).expect(0).result()["outcome"], "equal");
    assert_eq!(place.tree("target"), place.tree("source"));
    let staged = std::fs::read_dir(place.path("target")).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with(".whimbrel-tmp-")
    });
    assert_eq!(staged.count(), 0);
}
