//! A comparison that ends before its end, and the same call again.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use whimbrel_testbed::{CreateFiles, Fault, FaultProxy, FileSizes, S3Server};

use crate::call::{Ended, Place, Running, until};
use crate::hdfs::World;

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

/// A cluster with a tree that was migrated, and a line to the S3 server that can be slow.
struct Followed {
    world: World,
    line: FaultProxy,
    place: Place,
}

/// They come first, so they lie behind every note.
const FIRST: [&str; 7] =
    ["0-first/x", "0-first/y", "0-first/z", "1-dir/a", "1-dir/b", "1-dir/c/d", "2"];

impl Followed {
    fn start() -> Self {
        let world = World::start();
        for name in FIRST {
            world.hadoop.write(&format!("/data/{name}"), name).unwrap();
        }
        let many = CreateFiles {
            directory: "/data/many".to_owned(),
            count: 700,
            directories: 7,
            sizes: FileSizes::Fixed(100),
            seed: 1,
        };
        world.hadoop.create_files(&many).unwrap();
        let line = FaultProxy::start(world.server.endpoint().address).unwrap();
        let place = world.place(world.hadoop.superuser());
        let endpoint = format!("http://{}", line.address());
        let place = place.with(vec![("AWS_ENDPOINT_URL_S3", endpoint)]);
        let followed = Self { world, line, place };
        followed.migrated();
        followed
    }

    fn migrated(&self) {
        let source = self.world.source();
        self.place.run(&["migrate", &source, "s3://bucket/m", "--name", "m"]).expect(0);
    }

    /// A call that is killed once all of the first files lie behind its note.
    fn interrupted(&self) {
        let place = &self.place;
        self.line.set(Fault::Delay(Duration::from_millis(50)));
        killed(begun(place, &[]), "-KILL");
        self.line.set(Fault::None);
        let behind = noted(place).unwrap()["behind_base64"].as_str().map(|it| STANDARD.decode(it));
        assert!(behind.unwrap().unwrap() > b"2".to_vec());
    }

    fn operations(&self, operations: &[Value]) {
        self.world.hadoop.operations(operations).unwrap();
    }

    fn rename(&self, path: &str, to: &str) {
        let (path, to) = (format!("/data/{path}"), format!("/data/{to}"));
        self.operations(&[json!({"operation": "rename_new", "path": path, "to": to})]);
    }
}

/// Each path that is told, with what is wrong.
fn told(ended: &Ended) -> Vec<String> {
    let mut told: Vec<_> = ended.lines();
    told.retain(|line| line["type"] == "difference");
    let word = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    let mut told: Vec<_> =
        told.iter().map(|line| format!("{} {}", word(line, "kind"), word(line, "path"))).collect();
    told.sort_unstable();
    told
}

/// What changed behind the note stayed unseen, and each part held as of its own time. One cluster
/// for all of it: starting one takes longer than the rest.
#[test]
fn rule_10_2_all_parts_hold_as_of_one_transaction() {
    let followed = Followed::start();
    what_changed_meanwhile_is_found(&followed);
    what_was_carried_meanwhile_is_equal(&followed);
    what_moves_is_no_difference(&followed);
    a_gap_has_it_begin_anew(&followed);
    who_may_not_follow_is_told_of_parts(followed);
}

/// At the source, and on the target under a path that the stream names.
fn what_changed_meanwhile_is_found(followed: &Followed) {
    let (world, place) = (&followed.world, &followed.place);
    followed.interrupted();
    world.hadoop.write("/data/0-first/x", "other").unwrap();
    let set = json!({"operation": "set_permission", "path": "/data/0-first/y", "mode": "640"});
    followed.operations(&[set]);
    std::fs::remove_file(world.server.data_directory().join("bucket/m/0-first/y")).unwrap();
    followed.rename("1-dir", "0-moved");
    let ended = place.run(&VERIFY).expect(5);
    let result = ended.result();
    let expected = [
        "different 0-first/x",
        "extra 1-dir/a",
        "extra 1-dir/b",
        "extra 1-dir/c/d",
        "missing 0-first/y",
        "missing 0-moved/a",
        "missing 0-moved/b",
        "missing 0-moved/c/d",
    ];
    assert_eq!(told(&ended), expected, "{result}");
    assert_eq!((&result["resumed"], &result["files_compared"]), (&json!(true), &json!(709)));
    assert_eq!(result["parts"].as_array().map(Vec::len), Some(2));
    assert!(result["as_of_txid"].is_u64() && result["looked_again"].as_u64() > Some(0));
}

fn what_was_carried_meanwhile_is_equal(followed: &Followed) {
    let place = &followed.place;
    followed.migrated();
    followed.interrupted();
    let first = noted(place).unwrap()["followed"]["txid"].as_u64().unwrap();
    followed.rename("0-moved", "1-dir");
    followed.world.hadoop.write("/data/0-first/x", "and another").unwrap();
    followed.migrated();
    let text = place.run(&["verify", "m"]).expect(0).stdout;
    assert!(text.contains("in 2 parts; all of it holds as of transaction "), "{text}");
    let as_of = text.split("transaction ").nth(1).and_then(|rest| rest.split('.').next()).unwrap();
    assert!(as_of.parse::<u64>().unwrap() > first, "{text}");
}

fn what_moves_is_no_difference(followed: &Followed) {
    let (world, place) = (&followed.world, &followed.place);
    let source = world.source();
    let call = ["migrate", &source, "s3://bucket/m", "--name", "m", "--live", "--json"];
    let live = place.spawn(&call);
    let status = || place.run(&["status", "m", "--json"]).result();
    until("it follows", || status()["running"] == true && status()["scanned"] == true);
    followed.interrupted();
    let churn = |number: u64| {
        let name = FIRST[usize::try_from(number).unwrap() % FIRST.len()];
        world.hadoop.write(&format!("/data/{name}"), &format!("{name} {number}")).unwrap();
        if number % 10 == 9 {
            followed.rename("0-first", "0-second");
            followed.rename("0-second", "0-first");
            followed.operations(&[json!({"operation": "mkdirs", "path": "/data/0-away"})]);
            let delete = json!({"operation": "delete", "path": "/data/0-away", "recursive": true});
            followed.operations(&[delete]);
        }
    };
    (0..30).for_each(churn);
    let over = std::sync::atomic::AtomicBool::new(false);
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 30.. {
                if over.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                churn(number);
            }
        });
        let ended = place.run(&VERIFY);
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        ended
    });
    let result = ended.result();
    assert_eq!(result["resumed"], true, "{result}");
    assert!(result["as_of_txid"].is_u64() && result["looked_again"].as_u64() > Some(0));
    for kind in ["missing", "extra", "different", "metadata_different"] {
        assert_eq!(result[kind], 0, "{:?}: {result}", told(&ended));
    }
    place.run(&["stop", "m"]).expect(0);
    live.ended().expect(143);
    followed.migrated();
}

fn a_gap_has_it_begin_anew(followed: &Followed) {
    let (world, place) = (&followed.world, &followed.place);
    followed.interrupted();
    world.hadoop.write("/data/0-first/x", "unseen").unwrap();
    world.hadoop.roll_edits().unwrap();
    world.hadoop.purge_edits().unwrap();
    let ended = place.run(&VERIFY).expect(5);
    let result = ended.result();
    assert!(result["begun_anew_because"].as_str().unwrap().contains("dropped"), "{result}");
    assert_eq!((result["resumed"].as_bool(), told(&ended).len()), (Some(false), 1));
    assert!(result["as_of_txid"].is_u64(), "{result}");
}

fn who_may_not_follow_is_told_of_parts(followed: Followed) {
    followed.migrated();
    let user = ("HADOOP_USER_NAME", "stranger".to_owned());
    let stranger = Followed { place: followed.place.with(vec![user]), ..followed };
    let place = &stranger.place;
    stranger.interrupted();
    let result = place.run(&VERIFY).expect(0).result();
    assert_eq!((&result["resumed"], &result["as_of_txid"]), (&json!(true), &Value::Null));
    stranger.interrupted();
    let text = place.run(&["verify", "m"]).expect(0).stdout;
    assert!(text.contains("of each this holds as of its time"), "{text}");
}
