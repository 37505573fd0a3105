//! A comparison that ends before its end, and the same call again.

use std::time::Duration;

use serde_json::{Value, json};

use crate::call::{Ended, Place, Running, until};

const FILES: usize = 20_000;
const NOTES: &str = "state/whimbrel/m/verify.json";
const VERIFY: [&str; 3] = ["verify", "m", "--json"];
const SOON: Duration = Duration::from_secs(120);

/// Many equal files, in directories whose names begin with each other, and a few that differ.
fn migrated() -> Place {
    let place = Place::new();
    place.write("source/a", "one");
    place.run(&["migrate", "source", "target", "--name", "m", "--metadata", "none"]).expect(0);
    for number in 0..FILES {
        let name = format!("d{}/{number}", "x".repeat(number % 40));
        for side in ["source", "target"] {
            place.write(&format!("{side}/{name}"), &name);
        }
    }
    place.write("target/d/0", "d/!");
    place.write("target/dxx/extra", "more");
    place
}

fn noted(place: &Place) -> Option<Value> {
    serde_json::from_slice(&place.read(NOTES)?).ok()
}

/// A call that has noted something, and has not ended.
fn begun(place: &Place, more: &[&str]) -> Running {
    let before = noted(place);
    let running = place.spawn(&[&VERIFY[..], more].concat());
    until("a note", || noted(place).is_some_and(|note| Some(note) != before));
    running
}

fn signal(running: &Running, name: &str) {
    let sent = std::process::Command::new("kill").args([name, &running.id()]).status().unwrap();
    assert!(sent.success());
}

fn killed(running: Running, name: &str) -> Ended {
    signal(&running, name);
    running.ended_within(SOON)
}

fn compared(result: &Value, name: &str) -> u64 {
    result[name].as_u64().unwrap()
}

#[test]
fn the_same_call_goes_on_where_it_was() {
    let place = migrated();
    killed(begun(&place, &[]), "-KILL");
    let kept = noted(&place).unwrap();
    killed(begun(&place, &[]), "-TERM").expect(143);
    let ended = place.run(&VERIFY).expect(5);
    let (result, files) = (ended.result(), FILES as u64 + 1);
    assert_eq!((&result["resumed"], &result["files_compared"]), (&json!(true), &json!(files)));
    assert_eq!(result["since"], kept["parts"][0]["started"]);
    let differs = (&result["different"], &result["extra"], &result["missing"]);
    assert_eq!(differs, (&json!(1), &json!(1), &json!(0)));
    assert_eq!(result["verified_by_reading"], json!(files - 1), "each once: {result}");
    let parts = result["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 3, "{result}");
    let of_parts = parts.iter().map(|part| compared(part, "files_compared"));
    assert_eq!(of_parts.sum::<u64>(), files);
    let left = files - compared(&kept["sums"], "files_compared");
    assert!(compared(&result, "run_files_compared") < left, "{result}");
    let mut told: Vec<_> = ended.lines();
    told.retain(|line| line["type"] == "difference");
    let mut told: Vec<_> = told.iter().map(|line| line["path"].as_str().unwrap()).collect();
    told.sort_unstable();
    assert_eq!(told, ["d/0", "dxx/extra"], "what an earlier process found is told too");
    assert!(noted(&place).is_none(), "what came to its end is not gone on with");
}

#[test]
fn notes_that_do_not_fit_are_told_and_not_believed() {
    let place = migrated();
    killed(begun(&place, &[]), "-KILL");
    let kept = place.read(NOTES).unwrap();
    let mut damaged = kept.clone();
    let at = damaged.len() / 2;
    damaged[at] ^= 1;
    let begins = |text: &[u8], more: &[&str]| {
        place.write(NOTES, text);
        let first = killed(begun(&place, more), "-KILL").lines().swap_remove(0);
        assert_eq!(first["type"], "started");
        (first["resumed"] == true, first["begun_anew_because"].as_str().map(str::to_owned))
    };
    assert_eq!(begins(&kept, &[]), (true, None));
    for (text, more, because) in [
        (&damaged[..], &[][..], "checksum"),
        (b"", &[], "checksum"),
        (&kept, &["--resume-within", "0s"], "s old"),
        (&kept, &["--exclude", "dx/**"], "another scope"),
        (&kept, &["--read"], "another scope"),
    ] {
        let (resumed, told) = begins(text, more);
        assert!(!resumed && told.unwrap().contains(because), "{more:?}: {because}");
    }
    assert_eq!(begins(&kept, &["--restart"]), (false, None));
    place.write(NOTES, &kept);
    let told = place.run(&["verify", "m"]).expect(5);
    assert!(told.stderr.contains("goes on behind ") && told.stdout.contains("in 2 parts"));
}

/// Without a migration there is no state folder to keep notes in: they lie beside where it would be.
/// Nothing is written into what is compared.
#[test]
fn two_locations_without_a_migration() {
    let place = migrated();
    let call = ["verify", "source", "target", "--metadata", "none", "--json"];
    let first = place.spawn(&call);
    let notes = || -> Vec<String> {
        let entries = std::fs::read_dir(place.path("state/whimbrel")).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(".verify-") && name.ends_with(".json")).collect()
    };
    until("a note", || !notes().is_empty());
    // It holds its notes, and comes to no end.
    signal(&first, "-STOP");
    let beside = place.run(&call).expect(5).result();
    let told = beside["begun_anew_because"].as_str().unwrap();
    assert!(told.contains("under way"), "{told}");
    killed(first, "-KILL");
    let result = place.run(&call).expect(5).result();
    assert_eq!((&result["resumed"], &result["files_compared"]), (&json!(true), &json!(FILES + 1)));
    assert_eq!(notes(), Vec::<String>::new());
    let place = place.with(vec![("XDG_STATE_HOME", "/proc/self/none".to_owned())]);
    let result = place.run(&call).expect(5).result();
    assert!(result["begun_anew_because"].as_str().unwrap().contains("no notes are kept"));
}
