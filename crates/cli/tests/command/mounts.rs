//! File systems that are mounted below a local source, or hold a local target.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use whimbrel_testbed::MemoryMount;

use crate::call::{Ended, Place, until};

/// `None` where this user may not mount: said aloud, since nothing is tried then.
fn mounted_at(path: PathBuf) -> Option<MemoryMount> {
    let mounted = MemoryMount::at(path);
    mounted.inspect_err(|error| eprintln!("SKIPPED: needs the right to mount: {error}")).ok()
}

const CALL: [&str; 6] = ["migrate", "source", "target", "--name", "m", "--json"];

fn migrated(place: &Place) -> Option<MemoryMount> {
    place.write("source/a", "a");
    place.write("source/d/beside", "beside");
    let mounted = mounted_at(place.path("source/d/m"))?;
    place.write("source/d/m/x", "x");
    place.write("source/d/m/y/z", "z");
    place.run(&CALL).expect(0);
    assert_eq!(place.tree("target"), place.tree("source"));
    Some(mounted)
}

/// The paths of the problems that are told, each of which names the file system that is gone and
/// says what to do.
fn told(ended: &Ended) -> Vec<Value> {
    let lines = ended.lines();
    let problems = lines.iter().filter(|line| line["type"] == "problem");
    let path = |problem: &Value| {
        assert_eq!(problem["kind"], "conflict", "{problem}");
        assert!(problem["message"].as_str().unwrap().contains("source/d/m"), "{problem}");
        assert!(problem["remedy"].as_str().unwrap().contains("--forget-mount 'd/m'"), "{problem}");
        problem["path"].clone()
    };
    problems.map(path).collect()
}

fn stands(place: &Place) -> bool {
    place.read("target/d/m/x").is_some() && place.read("target/d/m/y/z").is_some()
}

#[test]
fn rule_5_2_a_file_system_that_is_gone_is_not_taken_for_removed() {
    let place = Place::new();
    let Some(mounted) = migrated(&place) else { return };
    drop(mounted);
    std::fs::remove_file(place.path("source/d/beside")).unwrap();
    place.write("source/d/new", "new");
    let ended = place.run(&CALL).expect(5);
    assert_eq!((told(&ended), stands(&place)), (vec!["d/m".into()], true), "{}", ended.stdout);
    let read = |name: &str| place.read(name);
    assert_eq!((read("target/d/beside"), read("target/d/new")), (None, Some(b"new".to_vec())));

    std::fs::remove_dir(place.path("source/d/m")).unwrap();
    assert_eq!(told(&place.run(&CALL).expect(5)), ["d/m"]);
    std::fs::remove_dir_all(place.path("source/d")).unwrap();
    assert!(told(&place.run(&CALL).expect(5)).contains(&"d".into()));
    assert!(stands(&place));

    let Some(mounted) = mounted_at(place.path("source/d/m")) else { return };
    place.write("source/d/m/x", "x");
    place.run(&CALL).expect(0);
    assert_eq!(place.tree("target"), place.tree("source"));
    drop(mounted);
    place.run(&[&CALL[..], &["--forget-mount", "d/m/"]].concat()).expect(0);
    assert_eq!(place.tree("target"), place.tree("source"));
    place.run(&CALL).expect(0);
}

#[test]
fn rule_5_2_a_file_system_that_goes_while_it_is_followed_is_not_taken_for_removed() {
    let place = Place::new();
    let Some(mounted) = migrated(&place) else { return };
    let live = place.spawn(&[&CALL[..], &["--live"]].concat());
    place.write("source/d/m/x", "x again");
    until("it follows", || place.read("target/d/m/x").unwrap() == b"x again");
    drop(mounted);
    std::fs::remove_file(place.path("source/a")).unwrap();
    until("others go on", || place.read("target/a").is_none());
    std::thread::sleep(Duration::from_secs(3));
    assert!(stands(&place));
    place.run(&["stop", "m"]).expect(0);
    let ended = live.ended_within(Duration::from_secs(30)).expect(143);
    assert!(stands(&place), "{}", ended.stdout);
}

#[test]
fn the_place_of_a_target_that_is_not_mounted_is_not_written() {
    for below in ["", "/below"] {
        let place = Place::new();
        place.write("source/a", "a");
        let target = format!("disk{below}");
        let call = ["migrate", "source", &target, "--name", "m", "--json"];
        let Some(mounted) = mounted_at(place.path("disk")) else { return };
        place.run(&call).expect(0);
        place.run(&call).expect(0);
        drop(mounted);
        for empty in [true, false] {
            let refused = place.run(&call).expect(4).result();
            assert!(refused["remedy"].as_str().unwrap().contains("--adopt"), "{refused}");
            assert!(place.read(&format!("{target}/a")).is_none());
            assert!(empty || !place.path("disk").exists(), "nothing is made");
            if empty {
                assert_eq!(std::fs::read_dir(place.path("disk")).unwrap().count(), 0);
                std::fs::remove_dir(place.path("disk")).unwrap();
            }
        }
        place.run(&[&call[..], &["--adopt"]].concat()).expect(0);
        assert_eq!(place.read(&format!("{target}/a")).unwrap(), b"a");
        place.run(&call).expect(0);
    }
}
