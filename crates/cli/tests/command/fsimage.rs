//! Migrations that begin with an image of a real NameNode.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use whimbrel_testbed::{Checker, CreateFiles, FileSizes, Hadoop, HadoopOptions, S3Server};

use crate::call::{Ended, Place, until};
use crate::hdfs::World;

const DIRECTORIES: u64 = 60;
const FILES: u64 = 1_500;

/// One cluster for all of it: starting one takes longer than the rest.
#[test]
fn from_an_image() {
    let world = World::start();
    let place = world.place(world.hadoop.superuser());
    let tree = CreateFiles {
        directory: "/data/tree".into(),
        count: FILES,
        directories: DIRECTORIES,
        sizes: FileSizes::Fixed(100),
        seed: 1,
    };
    world.hadoop.create_files(&tree).unwrap();
    world.hadoop.operations(&before()).unwrap();
    nothing_is_listed(&world, &place);
    what_happens_after_it(&world, &place);
    one_that_is_damaged(&world, &place);
    a_run_that_died_goes_on_with_it(&world, &place);
    one_that_is_too_old(&world, &place);
    what_is_refused(&world, &place);
}

/// Has the NameNode save its namespace, and fetches that.
fn fetched(hadoop: &Hadoop, place: &Place, name: &str) -> PathBuf {
    hadoop.purge_edits().unwrap();
    let path = place.path(name);
    let timeout = Duration::from_secs(30);
    whimbrel_fsimage::download(&hadoop.http_addresses()[0], &path, u64::MAX, timeout).unwrap();
    path
}

fn migrate(world: &World, place: &Place, name: &str, more: &[&str]) -> Ended {
    let (source, target) = (world.source(), format!("s3://bucket/{name}"));
    let mut call = vec!["migrate", &source, &target, "--live", "--until-quiet", "2s", "--json"];
    call.extend(["--name", name]);
    call.extend(more);
    place.run(&call)
}

/// By a checker that has nothing to do with Whimbrel.
fn assert_equal(world: &World, name: &str) {
    let checker = Checker::new().unwrap();
    let checker = checker.with_hadoop(&world.hadoop).with_s3(world.server.endpoint());
    let target = format!("s3://bucket/{name}");
    let report = checker.compare(&world.source(), &target, &["--ignore-directory-times"]).unwrap();
    assert!(report.equal, "{name}: {:?}", report.findings);
}

fn listings(world: &World) -> u64 {
    world.hadoop.stats().unwrap().calls("getListing")
}

fn create(path: &str, bytes: u64) -> Value {
    json!({"operation": "create", "path": path, "bytes": bytes, "seed": path.len()})
}

fn before() -> Vec<Value> {
    let mut all: Vec<Value> = ["plain", "grows", "gone", "moves", "over", "under", "mode", "owner"]
        .into_iter()
        .chain(["times", "acl", "attribute", "again", "single/child", "names/\u{e9}", "names/z"])
        .map(|name| create(&format!("/data/own/{name}"), 10))
        .collect();
    all.extend([
        create("/data/own/empty", 0),
        create("/data/own/blocks", 3_500_000),
        create("/data/own/cut", 2_500_000),
        create("/data/own/joined", 1_048_576),
        create("/data/own/part", 1_048_576),
        json!({"operation": "mkdirs", "path": "/data/own/hollow"}),
        json!({"operation": "mkdirs", "path": "/data/own/stays/hollow"}),
        create("/data/away/deep/file", 10),
        create("/data/goes/x/y", 10),
        create("/data/turn", 10),
        create("/data/round/z", 10),
        json!({"operation": "set_xattr", "path": "/data/own/plain", "name": "user.k", "text": "v"}),
        json!({"operation": "modify_acl", "path": "/data/own/plain", "acl": "user:alice:rwx"}),
        json!({"operation": "open", "path": "/data/own/open", "handle": "open"}),
        json!({"operation": "write", "handle": "open", "bytes": 100, "seed": 7}),
        json!({"operation": "hflush", "handle": "open"}),
    ]);
    all
}

/// Changes of every kind.
fn after() -> Vec<Value> {
    let own = |operation: &str, name: &str, more: Value| {
        let mut one = json!({"operation": operation, "path": format!("/data/own/{name}")});
        one.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        one
    };
    vec![
        own("append", "grows", json!({"bytes": 7, "seed": 5})),
        own("truncate", "cut", json!({"length": 2_097_152})),
        own("delete", "gone", json!({})),
        json!({"operation": "mkdirs", "path": "/data/elsewhere"}),
        own("rename", "moves", json!({"to": "/data/elsewhere/moved"})),
        own("rename_overwrite", "over", json!({"to": "/data/own/under"})),
        own("set_permission", "mode", json!({"mode": "600"})),
        own("set_owner", "owner", json!({"owner": "zoe", "group": "g"})),
        own("set_times", "times", json!({"mtime_milliseconds": 1234})),
        own("modify_acl", "acl", json!({"acl": "user:bob:r--"})),
        own("set_xattr", "attribute", json!({"name": "user.k", "text": "new"})),
        own("delete", "again", json!({})),
        own("create", "again", json!({"bytes": 10, "seed": 99})),
        own("concat", "joined", json!({"sources": ["/data/own/part"]})),
        own("create", "hollow/child", json!({"bytes": 3, "seed": 1})),
        own("delete", "single/child", json!({})),
        json!({"operation": "rename", "path": "/data/away", "to": "/data/own/away"}),
        json!({"operation": "delete", "path": "/data/goes", "recursive": true}),
        json!({"operation": "delete", "path": "/data/turn"}),
        create("/data/turn/inner", 10),
        json!({"operation": "delete", "path": "/data/round", "recursive": true}),
        create("/data/round", 10),
        json!({"operation": "mkdirs", "path": "/data/new/empty"}),
        json!({"operation": "rename", "path": "/data/tree/d00001", "to": "/data/new/tree"}),
        json!({"operation": "delete", "path": "/data/tree/d00002", "recursive": true}),
        json!({"operation": "set_permission", "path": "/data/tree/d00003", "mode": "750"}),
        json!({"operation": "write", "handle": "open", "bytes": 100, "seed": 8}),
        json!({"operation": "close", "handle": "open"}),
    ]
}

fn nothing_is_listed(world: &World, place: &Place) {
    world.hadoop.purge_edits().unwrap();
    let address = format!("http://{}", world.hadoop.http_addresses()[0]);
    let listed = listings(world);
    // One file is open.
    let ended = migrate(world, place, "still", &["--fsimage", &address]).expect(5);
    let listed = listings(world) - listed;
    let result = ended.result();
    assert_eq!(result["outcome"], "incomplete", "{result}");
    let counts = (&result["files_open"], &result["failures"], &result["gaps"]);
    assert_eq!(counts, (&json!(1), &json!(0), &json!(0)), "{result}");
    assert!(result["files_copied"].as_u64() > Some(FILES), "{result}");
    assert_eq!(result["run_source_listings"], 0, "{result}");
    assert!(result["run_image_listings"].as_u64() > Some(DIRECTORIES), "{result}");
    // The one with which a source is opened: whoever may not list the root is told at once.
    assert_eq!(listed, 1, "{result}");
    assert!(!place.path("state/whimbrel/still/fsimage.fetched").exists());
}

fn what_happens_after_it(world: &World, place: &Place) {
    let image = fetched(&world.hadoop, place, "image");
    world.hadoop.operations(&after()).unwrap();
    let more = ["--metadata", "full", "--fsimage", image.to_str().unwrap()];
    let result = migrate(world, place, "after", &more).expect(0).result();
    assert_eq!((&result["outcome"], &result["gaps"]), (&json!("equal"), &json!(0)), "{result}");
    // Those in which much happens are met more than once; the others are not listed.
    let listed = result["run_source_listings"].as_u64().unwrap();
    assert!((5..45).contains(&listed), "{result}");
    assert!(result["run_image_listings"].as_u64() > Some(DIRECTORIES - 10), "{result}");
    assert_equal(world, "after");
    let verified = place.run(&["verify", "after", "--json"]).expect(0).result();
    assert_eq!(verified["outcome"], "equal", "{verified}");
    // The scan is done: another run needs no image.
    let gone = ["--metadata", "full", "--fsimage", "no-such-image"];
    let again = migrate(world, place, "after", &gone).expect(0).result();
    assert_eq!(again["run_source_listings"], 0, "{again}");
}

/// Of what a damaged one says nothing comes to the target, and nothing that it hides is missing.
fn one_that_is_damaged(world: &World, place: &Place) {
    let whole = std::fs::read(fetched(&world.hadoop, place, "whole")).unwrap();
    let named = |name: &[u8]| {
        let at = whole.windows(name.len()).rposition(|window| window == name).unwrap();
        (at + name.len() - 1, 6)
    };
    // Names of a directory, an empty one, an empty file and a file; then an owner.
    let told: [&[u8]; 4] = [b"d00030", b"hollow", b"empty", b"grows"];
    let own: [&[u8]; 1] = [b"zoe"];
    let spread = (1..16).map(|part| (whole.len() / 16 * part, part % 8));
    let mut accepted = 0;
    for (number, (at, bit)) in told.into_iter().chain(own).map(named).chain(spread).enumerate() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << bit;
        place.write("damaged", &damaged);
        let name = format!("damaged-{number}");
        let ended = migrate(world, place, &name, &["--fsimage", "damaged"]);
        if number >= told.len() && ended.code == 2 {
            continue;
        }
        accepted += 1;
        let ended = ended.expect(0);
        let result = ended.result();
        assert_eq!((&result["outcome"], &result["gaps"]), (&json!("equal"), &json!(0)), "{result}");
        assert_equal(world, &name);
        let problems = ended.lines().into_iter().filter(|line| line["kind"] == "fsimage").count();
        assert!(number >= told.len() || problems == 1, "{at}: {}", ended.stdout);
    }
    assert!(accepted < 16, "{accepted} are refused by nobody");
}

/// What happened between the image and the death is found out anew.
fn a_run_that_died_goes_on_with_it(world: &World, place: &Place) {
    let image = fetched(&world.hadoop, place, "second");
    let image = image.to_str().unwrap();
    world.hadoop.operations(&[create("/data/tree/d00010/early", 10)]).unwrap();
    let source = world.source();
    let mut call = vec!["migrate", &source, "died", "--live", "--name", "died", "--json"];
    call.extend(["--metadata", "none", "--fsimage", image]);
    let slow = [&call[..], &["--namenode-calls", "40/s"]].concat();
    let child = place.spawn(&slow);
    let copied = || place.run(&["status", "died", "--json"]).result()["files_copied"].as_u64();
    until("some copies", || copied() > Some(100));
    let moved = json!({"operation": "rename", "path": "/data/tree/d00020", "to": "/data/later"});
    let gone = json!({"operation": "delete", "path": "/data/tree/d00030", "recursive": true});
    world.hadoop.operations(&[create("/data/tree/d00040/late", 10), moved, gone]).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    // Dropped, it is killed.
    drop(child);
    let last = [create("/data/tree/d00050/last", 10)];
    world.hadoop.operations(&last).unwrap();
    call.extend(["--until-quiet", "2s"]);
    let result = place.run(&call).expect(0).result();
    assert_eq!((&result["outcome"], &result["gaps"]), (&json!("equal"), &json!(0)), "{result}");
    assert!(result["run_files_copied"].as_u64() > Some(100), "it was not done before: {result}");
    assert!(result["run_image_listings"].as_u64() > Some(10), "{result}");
    assert!(result["run_source_listings"].as_u64() < Some(20), "{result}");
    place.run(&["verify", "died", "--json"]).expect(0);
}

fn one_that_is_too_old(world: &World, place: &Place) {
    world.hadoop.operations(&[create("/data/tree/d00011/since", 10)]).unwrap();
    world.hadoop.purge_edits().unwrap();
    let image = place.path("second");
    let ended = migrate(world, place, "old", &["--fsimage", image.to_str().unwrap()]).expect(0);
    let told = ended.lines().into_iter().filter(|line| line["kind"] == "fsimage").count();
    assert_eq!(told, 1, "{}", ended.stdout);
    let result = ended.result();
    assert_eq!((&result["outcome"], &result["gaps"]), (&json!("equal"), &json!(0)), "{result}");
    assert_eq!(result["run_image_listings"], 0, "{result}");
    assert!(result["run_source_listings"].as_u64() > Some(DIRECTORIES - 10), "{result}");
    assert_equal(world, "old");
}

fn what_is_refused(world: &World, place: &Place) {
    let one = HadoopOptions { data_nodes: 1, ..HadoopOptions::default() };
    let other = Hadoop::start(&one.with("dfs.replication", 1)).unwrap();
    let other = fetched(&other, place, "other");
    let whole = place.read("second").unwrap();
    place.write("half", &whole[..whole.len() / 2]);
    place.write("garbage", "no image at all, but some text of sixty bytes and some more");
    place.write("turned.md5", "d41d8cd98f00b204e9800998ecf8427e *turned");
    place.write("turned", &whole);
    for (given, told) in [
        (other.to_str().unwrap(), "another file system"),
        ("half", "not an fsimage"),
        ("garbage", "not an fsimage"),
        ("turned", "MD5"),
        ("no-such-file", "No such file"),
        ("https://localhost:1", "http:// alone"),
        ("http://localhost:1/jmx", "http://HOST:PORT"),
        ("http://localhost", "http://HOST:PORT"),
        ("/dev/null", "no regular file"),
    ] {
        let result = migrate(world, place, "refused", &["--fsimage", given]).expect(2).result();
        let message = result["message"].as_str().unwrap();
        assert!(message.contains(told) && message.starts_with("--fsimage"), "{result}");
        assert!(!place.path("state/whimbrel/refused").exists(), "{given}");
    }
    let nobody = ["--fsimage", "http://127.0.0.1:1"];
    migrate(world, place, "refused", &nobody).expect(3).result();
    let (source, image) = (world.source(), "second");
    let one = format!("{source}/own/plain");
    let call = ["migrate", &one, "s3://bucket/one", "--live", "--fsimage", image, "--json"];
    let result = place.run(&call).expect(2).result();
    assert!(result["message"].as_str().unwrap().contains("SOURCE is no directory"), "{result}");
    place.run(&["migrate", &source, "s3://bucket/refused", "--fsimage", image]).expect(2);
    place.write("local/x", "x");
    place.run(&["migrate", "local", "to", "--live", "--fsimage", image]).expect(2);
}
