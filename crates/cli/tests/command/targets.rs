//! One source to several targets: one scan, and each goes its own way.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use whimbrel_testbed::{
    ChurnOptions, CreateFiles, FileSizes, Hadoop, HadoopOptions, S3Server, VersityGateway,
};

use crate::call::{Ended, Place, Running, until};

const DIRECTORIES: u64 = 150;
const FILES: u64 = 1_500;

struct World {
    hadoop: Hadoop,
    server: VersityGateway,
    place: Place,
}

impl World {
    fn start() -> Self {
        let hadoop = Hadoop::start(&HadoopOptions::default()).unwrap();
        let server = VersityGateway::start().unwrap();
        server.create_bucket("bucket").unwrap();
        let tree = CreateFiles {
            directory: "/data".into(),
            count: FILES,
            directories: DIRECTORIES,
            sizes: FileSizes::Fixed(100),
            seed: 1,
        };
        hadoop.create_files(&tree).unwrap();
        let configuration = hadoop.configuration_directory();
        let place = Place::new().with(server.endpoint().environment()).with(vec![
            ("HADOOP_USER_NAME", hadoop.superuser().to_owned()),
            ("HADOOP_CONF_DIR", configuration.to_str().unwrap().to_owned()),
        ]);
        Self { hadoop, server, place }
    }

    fn source(&self) -> String {
        format!("{}/data", self.hadoop.url().trim_end_matches('/'))
    }

    fn listings(&self) -> u64 {
        self.hadoop.stats().unwrap().calls("getListing")
    }

    /// To a bucket and to a directory of this machine, both called `name`.
    fn call(&self, name: &str, more: &[&str]) -> Vec<String> {
        let target = format!("s3://bucket/{name}");
        let source = self.source();
        let call = ["migrate", &source, &target, name, "--name", name, "--json"];
        call.iter().chain(more).map(|word| (*word).to_owned()).collect()
    }

    fn write(&self, path: &str, text: &str) {
        self.hadoop.write(&format!("/data/{path}"), text).unwrap();
    }

    fn assert_equal(&self, name: &str) {
        assert_verified(&self.place, name);
    }
}

/// What stands at both targets is what the source has, as a comparison sees it.
fn assert_verified(place: &Place, name: &str) {
    for number in [1, 2] {
        let verified = place.run(&["verify", &format!("{name}-{number}"), "--json"]).expect(0);
        assert_eq!(verified.result()["outcome"], "equal", "{}", verified.stdout);
    }
}

/// How each ended, by name.
fn ends(ended: &Ended) -> Vec<Value> {
    let mut ends: Vec<Value> =
        ended.lines().into_iter().filter(|line| line["type"] == "ended").collect();
    ends.sort_by_key(|end| end["migration"].to_string());
    ends
}

fn status(place: &Place, name: &str) -> Value {
    let ended = place.run(&["status", name, "--json"]);
    if ended.code == 0 { ended.result() } else { Value::Null }
}

fn is_running(status: &Value) -> bool {
    status["running"] == true && status["scanned"] == true
}

#[test]
fn from_hdfs() {
    let mut world = World::start();
    the_source_is_listed_once(&world);
    the_stream_is_joined_once_listed(&world);
    one_that_cannot_begin_holds_back_no_other(&mut world);
    one_that_is_held_holds_back_no_other(&mut world);
}

#[test]
fn from_hdfs_under_churn() {
    killed_runs_go_on(&World::start());
}

fn the_source_is_listed_once(world: &World) {
    let before = world.listings();
    let single = ["migrate", &world.source(), "alone", "--json"];
    world.place.run(&single).expect(0);
    let of_one = world.listings() - before;
    assert!(of_one > DIRECTORIES, "{of_one} listings");

    let before = world.listings();
    let ended = world.place.run(&world.call("once", &[])).expect(0);
    let of_two = world.listings() - before;
    assert!(of_two <= of_one + of_one / 10, "{of_two} listings in place of {of_one}");
    let (ends, result) = (ends(&ended), ended.result());
    let names: Vec<&Value> = ends.iter().map(|end| &end["migration"]).collect();
    assert_eq!(names, ["once-1", "once-2"]);
    for end in &ends {
        let said = (&end["outcome"], &end["files_copied"], &end["exit_code"]);
        assert_eq!(said, (&json!("equal"), &json!(FILES), &json!(0)), "{end}");
    }
    let sum = |name: &str| ends.iter().filter_map(|end| end[name].as_u64()).sum::<u64>();
    assert_eq!(sum("run_source_listings") + sum("run_shared_listings"), 2 * (of_one - 1));
    assert_eq!(result["files_copied"], 2 * FILES, "{result}");
    assert_eq!(result["migrations"], json!(["once-1", "once-2"]));
    assert_eq!((&result["outcome"], &result["migration"]), (&json!("equal"), &Value::Null));
    for line in ended.lines().iter().filter(|line| line["type"] != "result") {
        assert!(line["migration"].is_string(), "{line}");
    }
    world.assert_equal("once");
}

fn the_stream_is_joined_once_listed(world: &World) {
    let before = world.listings();
    let call = world.call("quiet", &["--live", "--until-quiet", "2s"]);
    let ended = world.place.run(&call).expect(0);
    let listed = world.listings() - before;
    // Until each has its position the other's listings say nothing to it.
    assert!(listed < DIRECTORIES + DIRECTORIES / 2, "{listed} listings: {}", ended.stdout);
    assert!(ended.result()["as_of_txid"].is_u64(), "{}", ended.stdout);
    world.assert_equal("quiet");
    // The same call with one target less goes on with its state.
    let alone = ["migrate", &world.source(), "quiet", "--name", "quiet-2", "--json"];
    let result = world.place.run(&alone).expect(0).result();
    assert_eq!(result["run_files_copied"], 0, "{result}");
}

fn one_that_cannot_begin_holds_back_no_other(world: &mut World) {
    world.server.stop();
    let started = Instant::now();
    let ended = world.place.run(&world.call("half", &[])).expect(4);
    assert!(started.elapsed() < Duration::from_secs(45), "{:?}", started.elapsed());
    let ends = ends(&ended);
    assert_eq!((&ends[0]["outcome"], &ends[0]["exit_code"]), (&json!("failed"), &json!(4)));
    assert_eq!((&ends[1]["outcome"], &ends[1]["files_copied"]), (&json!("equal"), &json!(FILES)));
    let result = ended.result();
    assert_eq!((&result["outcome"], &result["exit_code"]), (&json!("failed"), &json!(4)));
    world.server.start_again().unwrap();
    world.place.run(&world.call("half", &[])).expect(0);
    world.assert_equal("half");
}

fn one_that_is_held_holds_back_no_other(world: &mut World) {
    let running = world.place.spawn(&world.call("live", &["--live"]));
    let both = |world: &World, holds: &dyn Fn(&Value) -> bool| {
        ["live-1", "live-2"].iter().all(|name| holds(&status(&world.place, name)))
    };
    until("the scan", || both(world, &is_running));
    let copied = |world: &World, name: &str| {
        status(&world.place, name)["files_copied"].as_u64().unwrap_or_default()
    };

    world.place.run(&["pause", "live-1"]).expect(0);
    world.write("while-paused", "one");
    until("the other's copy", || copied(world, "live-2") == FILES + 1);
    assert_eq!(copied(world, "live-1"), FILES);
    world.place.run(&["resume", "live-1"]).expect(0);
    until("its copy", || copied(world, "live-1") == FILES + 1);

    world.server.stop();
    world.write("while-lost", "two");
    until("the other's copy", || copied(world, "live-2") == FILES + 2);
    until("the loss", || status(&world.place, "live-1")["target_lost_seconds"].is_number());
    assert!(status(&world.place, "live-2")["target_lost_seconds"].is_null());
    world.server.start_again().unwrap();
    until("its copy", || copied(world, "live-1") == FILES + 2);

    // One is told of the source what holds for both.
    world.place.run(&["limit", "live-1", "--bandwidth", "8MB/s"]).expect(0);
    until("a limit", || both(world, &|status| status["bandwidth_bytes"] == 8_000_000));
    world.place.run(&["limit", "live-2", "--bandwidth", "unlimited"]).expect(0);
    until("no limit", || both(world, &|status| status["bandwidth_bytes"] == 0));

    world.place.run(&["stop", "live-1"]).expect(0);
    until("its end", || status(&world.place, "live-1")["running"] == false);
    world.write("while-stopped", "three");
    until("the other's copy", || copied(world, "live-2") == FILES + 3);
    interrupt(&world.place, &running);
    let ended = running.ended_within(Duration::from_secs(20)).expect(130);
    let codes: Vec<Value> = ends(&ended).iter().map(|end| end["exit_code"].clone()).collect();
    assert_eq!(codes, [143, 130]);
    let again = world.place.run(&world.call("live", &["--live", "--until-quiet", "2s"])).expect(0);
    assert_eq!(again.result()["run_files_copied"], 1, "{}", again.stdout);
    world.assert_equal("live");
}

fn interrupt(place: &Place, running: &Running) {
    let sent = place.program("kill", &["-INT", &running.id()]).status().unwrap();
    assert!(sent.success());
}

/// To two directories: on an object store the last run would wait for what the killed ones left.
fn killed_runs_go_on(world: &World) {
    let churn = ChurnOptions { seconds: 20, ..ChurnOptions::new("/data", 7) };
    world.hadoop.start_churn(&churn).unwrap();
    let source = world.source();
    let call = ["migrate", &source, "killed", "other", "--name", "killed", "--json", "--live"];
    for quarter in 1..=3 {
        let running = world.place.spawn(&call);
        // A look at a state that nobody uses would keep a run from beginning.
        let some = quarter * FILES as usize / 4;
        until("some copies", || world.place.tree("other").len() >= some);
        drop(running);
    }
    let ended = world.place.run(&[&call[..], &["--until-quiet", "3s"]].concat()).expect(0);
    let changes = ended.result()["changes_seen"].as_u64();
    assert!(changes > Some(1_000), "{changes:?} changes are no churn");
    assert_verified(&world.place, "killed");
    assert_eq!(world.place.tree("killed"), world.place.tree("other"));
}

#[test]
fn from_a_local_tree() {
    let place = Place::new();
    for number in 0..400 {
        place.write(&format!("source/d{}/f{number}", number % 20), format!("text {number}"));
    }
    let call = ["migrate", "source", "one", "two", "--name", "n", "--json"];
    let live = [&call[..], &["--live"]].concat();
    let quiet = [&live[..], &["--until-quiet", "1s"]].concat();
    let running = place.spawn(&live);
    until("the scan", || ["n-1", "n-2"].iter().all(|name| is_running(&status(&place, name))));
    place.run(&["pause", "n-2"]).expect(0);
    place.write("source/new", "new");
    until("a copy", || place.read("one/new").is_some());
    assert!(place.read("two/new").is_none());
    drop(running);
    place.run(&quiet).expect(0);
    assert_eq!(place.tree("one"), place.tree("source"));
    assert_eq!(place.tree("two"), place.tree("source"));

    let result = place.run(&call).expect(0).result();
    assert_eq!((&result["outcome"], &result["run_files_copied"]), (&json!("equal"), &json!(0)));
    let text = place.run(&["migrate", "source", "one", "two", "--name", "n"]).expect(0).stdout;
    assert!(text.contains("n-1: Equal") && text.contains("n-2: Equal"), "{text}");
    let other_way = place.run(&["migrate", "source", "two", "one", "--name", "n", "--json"]);
    let ends = ends(&other_way.expect(2));
    assert!(ends.iter().all(|end| end["exit_code"] == 2), "{ends:?}");
}

/// Together they take no more than one is allowed.
#[test]
fn a_bandwidth_holds_over_all() {
    let place = Place::new();
    place.write("source/large", vec![7; 6_000_000]);
    let started = Instant::now();
    let call = ["migrate", "source", "one", "two", "--bandwidth", "4MB/s", "--state", "states"];
    place.run(&call).expect(0);
    assert!(started.elapsed() > Duration::from_millis(2_700), "{:?}", started.elapsed());
    assert_eq!(place.tree("two"), place.tree("source"));
    let states = std::fs::read_dir(place.path("states")).unwrap().count();
    assert_eq!(states, 2);
}

#[test]
fn from_a_bucket() {
    let server = VersityGateway::start().unwrap();
    server.create_bucket("bucket").unwrap();
    let place = Place::new().with(server.endpoint().environment());
    for number in 0..2_500 {
        place.write(&format!("source/d{}/f{number:05}", number % 10), "x");
    }
    place.run(&["migrate", "source", "s3://bucket/p"]).expect(0);
    let call = ["migrate", "s3://bucket/p", "one", "two", "--name", "n", "--json"];
    let ended = place.run(&call).expect(0);
    let result = ended.result();
    assert_eq!(result["files_copied"], 5_000, "{result}");
    assert!(result["run_shared_listings"].as_u64() >= Some(1), "{result}");
    assert_eq!(place.tree("one"), place.tree("source"));
    assert_eq!(place.tree("two"), place.tree("source"));
}
