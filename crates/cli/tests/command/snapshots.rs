//! A snapshot of HDFS as SOURCE.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use whimbrel_testbed::{Hadoop, HadoopOptions};

use crate::call::Place;

/// A cluster where `/data` has changed since its snapshot `s1` was made.
struct World {
    hadoop: Hadoop,
    /// What stands in the snapshot.
    snapshot: BTreeMap<PathBuf, Vec<u8>>,
}

const BLOCKS_BYTES: u64 = 1_500_000;

fn on(path: &str, mut request: Value) -> Value {
    request["path"] = format!("/data{path}").into();
    request
}

impl World {
    fn start() -> Self {
        let hadoop = Hadoop::start(&HadoopOptions::default()).unwrap();
        let mut snapshot = BTreeMap::new();
        for (name, text) in [
            ("same", "the same"),
            ("changed", "as it was"),
            ("gone", "only in the snapshot"),
            ("grown", "a beginning"),
            ("cut", "longer than it is now"),
            ("moved/f", "in a directory that moved"),
            ("removed/f", "in a directory that went"),
        ] {
            hadoop.write(&format!("/data/{name}"), text).unwrap();
            snapshot.insert(PathBuf::from(name), text.as_bytes().to_vec());
        }
        let blocks = json!({"operation": "create", "bytes": BLOCKS_BYTES, "seed": 7});
        hadoop.operations(&[on("/blocks", blocks)]).unwrap();
        let world = Self { hadoop, snapshot };
        world.act(&[("", json!({"operation": "allow_snapshot"}))]);
        world.act(&[("", json!({"operation": "create_snapshot", "name": "s1"}))]);
        world.act(&[
            ("/changed", json!({"operation": "create", "text": "as it is now, longer"})),
            ("/gone", json!({"operation": "delete", "recursive": false})),
            ("/grown", json!({"operation": "append", "text": " and an end"})),
            ("/blocks", json!({"operation": "append", "text": "more behind the second block"})),
            ("/cut", json!({"operation": "truncate", "length": 3})),
            ("/moved", json!({"operation": "rename", "to": "/data/elsewhere"})),
            ("/removed", json!({"operation": "delete", "recursive": true})),
            ("/new", json!({"operation": "create", "text": "made after the snapshot"})),
        ]);
        world
    }

    fn act(&self, operations: &[(&str, Value)]) {
        let requests = operations.iter().map(|(path, request)| on(path, request.clone()));
        self.hadoop.operations(&requests.collect::<Vec<_>>()).unwrap();
    }

    fn place(&self) -> Place {
        let configuration = self.hadoop.configuration_directory();
        Place::new().with(vec![
            ("HADOOP_USER_NAME", self.hadoop.superuser().to_owned()),
            ("HADOOP_CONF_DIR", configuration.to_str().unwrap().to_owned()),
        ])
    }

    fn url(&self, path: &str) -> String {
        format!("{}/data{path}", self.hadoop.url().trim_end_matches('/'))
    }
}

/// One cluster for all of it: starting one takes longer than the rest.
#[test]
fn a_snapshot_as_source_was_the_live_tree() {
    let world = World::start();
    the_snapshot_is_copied(&world);
    what_only_the_snapshot_has_is_copied(&world);
    what_is_no_snapshot_is_refused(&world);
    nothing_follows_a_snapshot(&world);
    doctor_looks_at_the_snapshot(&world);
    a_snapshot_that_is_gone_is_not_equal(&world);
}

/// The live tree was copied, and every comparison agreed.
fn the_snapshot_is_copied(world: &World) {
    let place = world.place();
    let source = world.url("/.snapshot/s1");
    let result = place.run(&["migrate", &source, "out", "--name", "s", "--json"]).expect(0);
    assert_eq!(result.result()["outcome"], "equal");
    let mut copied = place.tree("out");
    let blocks = copied.remove(&PathBuf::from("blocks")).unwrap();
    assert_eq!(blocks.len() as u64, BLOCKS_BYTES);
    assert_eq!(copied, world.snapshot);
    for call in [&["verify", &source, "out"][..], &["verify", "s", "--read"], &["verify", "s"]] {
        place.run(&[call, &["--json"]].concat()).expect(0);
    }
    let again = place.run(&["migrate", &source, "out", "--name", "s", "--json"]).expect(0);
    assert_eq!(again.result()["run_files_copied"], 0, "{}", again.stdout);
    // And the live tree is another one.
    place.run(&["verify", &world.url(""), "out"]).expect(5);
}

/// It was taken for nothing: 0 files, equal.
fn what_only_the_snapshot_has_is_copied(world: &World) {
    let place = world.place();
    for (source, copy) in [
        ("gone", "one/gone"),
        ("moved/f", "two/f"),
        ("removed", "three/f"),
        ("blocks", "four/blocks"),
    ] {
        let (target, _) = copy.split_once('/').unwrap();
        let source_url = world.url(&format!("/.snapshot/s1/{source}"));
        place.run(&["migrate", &source_url, target]).expect(0);
        place.run(&["verify", &source_url, target, "--read"]).expect(0);
        let held = ["", "/f"].map(|more| PathBuf::from(format!("{source}{more}")));
        let expected = held.iter().find_map(|path| world.snapshot.get(path));
        let copied = place.read(copy);
        match expected {
            Some(expected) => assert_eq!(copied.as_ref(), Some(expected), "{source}"),
            None => assert_eq!(copied.map(|it| it.len() as u64), Some(BLOCKS_BYTES), "{source}"),
        }
    }
}

/// The list of all snapshots hung the run, and was equal to anything empty.
fn what_is_no_snapshot_is_refused(world: &World) {
    let place = world.place();
    place.write("empty/.keep", "");
    let list = world.url("/.snapshot");
    for command in ["migrate", "verify", "doctor"] {
        let ended = place.run(&[command, &list, "empty", "--json"]).expect(3);
        assert!(ended.stdout.contains("list of all snapshots"), "{}", ended.stdout);
        for missing in ["/.snapshot/s1/no-such-path", "/.snapshot/s2", "/.snapshot/s1/new"] {
            let ended = place.run(&[command, &world.url(missing), "empty", "--json"]).expect(3);
            assert!(ended.stdout.contains("there is nothing"), "{}", ended.stdout);
        }
    }
}

/// What was new in the live tree came to the target.
fn nothing_follows_a_snapshot(world: &World) {
    let place = world.place();
    let source = world.url("/.snapshot/s1");
    for more in [&["--live"][..], &["--live", "--source-snapshots", "only"]] {
        let call = ["migrate", &source, "live", "--json"];
        let ended = place.run(&[&call, more].concat()).expect(2);
        let message = ended.result()["message"].to_string();
        assert!(message.contains("a snapshot, which does not change"), "{message}");
        assert_eq!(place.tree("live"), BTreeMap::new());
    }
}

fn doctor_looks_at_the_snapshot(world: &World) {
    let place = world.place();
    let call = ["doctor", &world.url("/.snapshot/s1"), "out", "--json"];
    place.run(&call).expect(0);
    let ended = place.run(&[&call[..], &["--source-snapshots", "only"]].concat()).expect(3);
    assert!(ended.stdout.contains("this source has none"), "{}", ended.stdout);
}

fn a_snapshot_that_is_gone_is_not_equal(world: &World) {
    let place = world.place();
    let source = world.url("/.snapshot/s1");
    place.write("empty/.keep", "");
    world.act(&[("", json!({"operation": "delete_snapshot", "name": "s1"}))]);
    place.run(&["verify", &source, "empty", "--ignore-extras", "--json"]).expect(3);
    place.run(&["migrate", &source, "empty", "--json"]).expect(3);
}
