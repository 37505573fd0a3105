//! HDFS to a real S3 server.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use whimbrel_testbed::{Fault, FaultProxy, Hadoop, HadoopOptions, S3Server, VersityGateway};

use crate::call::{Place, until};

/// A cluster, and a server with a bucket.
pub struct World {
    pub hadoop: Hadoop,
    pub server: VersityGateway,
}

impl World {
    pub fn start() -> Self {
        let world = Self {
            hadoop: Hadoop::start(&HadoopOptions::default()).unwrap(),
            server: VersityGateway::start().unwrap(),
        };
        world.server.create_bucket("bucket").unwrap();
        world.hadoop.write("/data/a", "one").unwrap();
        world.hadoop.write("/data/d/b.txt", "two").unwrap();
        world.hadoop.write("/data/d/.Trash/x", "not to be moved").unwrap();
        world
    }

    pub fn place(&self, user: &str) -> Place {
        let configuration = self.hadoop.configuration_directory();
        Place::new().with(self.server.endpoint().environment()).with(vec![
            ("HADOOP_USER_NAME", user.to_owned()),
            ("HADOOP_CONF_DIR", configuration.to_str().unwrap().to_owned()),
        ])
    }

    pub fn source(&self) -> String {
        format!("{}/data", self.hadoop.url().trim_end_matches('/'))
    }
}

/// One cluster for all of it: starting one takes longer than the rest.
#[test]
fn from_hdfs() {
    let world = World::start();
    once_and_verify(&world);
    a_single_file(&world);
    what_is_refused(&world);
    live_until_quiet(&world);
    live_until_stopped(&world);
    verify_under_churn_names_no_difference(&world);
    a_lost_namenode_is_told_soon(&world);
    doctor(&world);
}

fn once_and_verify(world: &World) {
    let place = world.place(world.hadoop.superuser());
    let source = world.source();
    let call = ["migrate", &source, "s3://bucket/once", "--json"];
    let result = place.run(&call).expect(0).result();
    assert_eq!((&result["outcome"], &result["files_copied"]), (&json!("equal"), &json!(2)));
    let verified = place.run(&["verify", &source, "s3://bucket/once", "--json"]).expect(0);
    let result = verified.result();
    assert_eq!(result["verified_by_checksum"], 2, "{}", verified.stdout);
    let read = (&result["bytes_read_source"], &result["bytes_read_target"]);
    assert_eq!(read, (&json!(0), &json!(0)));
}

fn a_single_file(world: &World) {
    let place = world.place(world.hadoop.superuser());
    let source = format!("{}/d/b.txt", world.source());
    place.run(&["migrate", &source, "s3://bucket/single"]).expect(0);
    place.run(&["migrate", "s3://bucket/single", "back"]).expect(0);
    assert_eq!(place.read("back/b.txt").as_deref(), Some(&b"two"[..]));
}

fn what_is_refused(world: &World) {
    let place = world.place("nobody");
    let source = world.source();
    let missing = format!("{source}/no-such-path");
    place.run(&["migrate", &missing, "s3://bucket/none", "--json"]).expect(3).result();
    let closed = json!({"operation": "set_permission", "path": "/closed", "mode": "700"});
    world.hadoop.write("/closed/x", "not for everyone").unwrap();
    world.hadoop.operations(&[closed]).unwrap();
    let source_closed = source.replace("/data", "/closed");
    place.run(&["migrate", &source_closed, "s3://bucket/none", "--json"]).expect(3).result();
    let live = ["migrate", &source, "s3://bucket/none", "--live", "--json"];
    let refused = place.run(&live).expect(3).result();
    assert!(refused["message"].to_string().to_lowercase().contains("superuser"), "{refused}");
}

fn live_until_quiet(world: &World) {
    let place = world.place(world.hadoop.superuser());
    let source = world.source();
    let call = ["migrate", &source, "s3://bucket/quiet", "--live", "--until-quiet", "3s", "--json"];
    let result = place.run(&call).expect(0).result();
    assert_eq!(result["outcome"], "equal");
    assert!(result["as_of_txid"].is_u64(), "{result}");
}

fn live_until_stopped(world: &World) {
    let place = world.place(world.hadoop.superuser());
    let source = world.source();
    let call = ["migrate", &source, "s3://bucket/live", "--live", "--name", "live", "--json"];
    let child = place.spawn(&call);
    let copied = |number: u64| {
        let status = place.run(&["status", "live", "--json"]);
        status.code == 0 && status.result()["files_copied"].as_u64() >= Some(number)
    };
    until("the scan", || copied(2));
    world.hadoop.write("/data/new", "three").unwrap();
    until("the change", || copied(3));
    place.run(&["stop", "live"]).expect(0);
    let ended = child.ended().expect(143);
    assert_eq!(ended.result()["outcome"], "stopped");
    let verified = place.run(&["verify", "live", "--json"]).expect(0).result();
    assert_eq!(verified["verified_by_checksum"], 3, "{verified}");
}

/// What a running migration was only behind with was told as missing, extra or different.
fn verify_under_churn_names_no_difference(world: &World) {
    let place = world.place(world.hadoop.superuser());
    let source = world.source();
    let call = ["migrate", &source, "s3://bucket/churn", "--live", "--name", "churn", "--json"];
    let child = place.spawn(&call);
    until("the scan", || {
        let ended = place.run(&["status", "churn", "--json"]);
        ended.code == 0 && ended.result()["scanned"] == true
    });
    let over = AtomicBool::new(false);
    let results = std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let path = format!("/data/churn/{}/{}", number % 7, number % 50);
                world.hadoop.write(&path, &format!("the text of {number}")).unwrap();
                let gone = format!("/data/churn/{}", (number + 3) % 7);
                if number % 40 == 39 {
                    let delete = json!({"operation": "delete", "path": gone, "recursive": true});
                    world.hadoop.operations(&[delete]).unwrap();
                }
            }
        });
        let verify = || place.run(&["verify", "churn", "--json"]).result();
        let results = [verify(), verify(), verify()];
        over.store(true, Ordering::Relaxed);
        results
    });
    place.run(&["stop", "churn"]).expect(0);
    let ended = child.ended().expect(143);
    for result in &results {
        assert_eq!(result["migration_running"], true, "{result}");
        for kind in ["missing", "extra", "different", "metadata_different"] {
            assert_eq!(result[kind], 0, "{kind}: {result}");
        }
    }
    let changes = ended.result()["changes_seen"].as_u64();
    assert!(changes > Some(20), "{changes:?} changes are no churn");
}

/// A NameNode that went away was told of after up to 37 s, `status` did not say so, and the lag
/// stayed 0.
fn a_lost_namenode_is_told_soon(world: &World) {
    let place = world.place(world.hadoop.superuser());
    let namenode = world.hadoop.name_nodes()[0].parse().unwrap();
    let line = FaultProxy::start(namenode).unwrap();
    let source = format!("hdfs://{}/data", line.address());
    for (name, fault) in [("refused", Fault::Refuse), ("stalled", Fault::Stall)] {
        let target = format!("s3://bucket/{name}");
        let call = ["migrate", &source, &target, "--live", "--name", name, "--json"];
        let child = place.spawn(&call);
        let status = || place.run(&["status", name, "--json"]).expect(0).result();
        until("a caught-up stream", || {
            let ended = place.run(&["status", name, "--json"]);
            let status = ended.result();
            let caught_up = status["scanned"] == true && status["lag_seconds"] == 0.0;
            ended.code == 0 && status["running"] == true && caught_up
        });
        line.set(fault);
        let lost = jiff::Timestamp::now();
        until("the loss", || status()["source_lost_seconds"].is_number());
        until("a lag", || status()["lag_seconds"].as_f64() > Some(10.0));
        let text = place.run(&["status", name]).expect(0).stdout;
        assert!(text.contains("the source has not answered for"), "{text}");
        line.set(Fault::None);
        until("its return", || status()["source_lost_seconds"].is_null());
        until("no lag", || status()["lag_seconds"] == 0.0);
        place.run(&["stop", name]).expect(0);
        let ended = child.ended().expect(143);
        let told = |kind: &str| {
            let line = ended.lines().into_iter().find(|line| line["kind"] == kind);
            let line = line.unwrap_or_else(|| panic!("{kind} is missing: {}", ended.stdout));
            line["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap()
        };
        let after = told("source_lost").duration_since(lost).as_secs_f64();
        assert!(after < 12.0, "{name}: told after {after} s");
        assert!(told("source_back") > told("source_lost"));
    }
}

fn doctor(world: &World) {
    let place = world.place(world.hadoop.superuser());
    let call = ["doctor", &world.source(), "s3://bucket/doctor", "--json"];
    let ended = place.run(&call).expect(0);
    assert_eq!(ended.result()["outcome"], "ready", "{}", ended.stdout);
    let text = &ended.stdout;
    for check in ["stream of changes", "edit history", "encryption zones", "access times"] {
        assert!(text.contains(check), "{check} is missing in {text}");
    }

    let authority = world.hadoop.url().trim_start_matches("hdfs://").to_owned();
    let folder = place.path("informed");
    fs::create_dir(&folder).unwrap();
    let web = &world.hadoop.http_addresses()[0];
    let property = format!(
        "<configuration><property><name>dfs.namenode.http-address.{authority}</name>\
         <value>{web}</value></property></configuration>"
    );
    fs::write(folder.join("hdfs-site.xml"), property).unwrap();
    let folder = folder.to_str().unwrap();
    let call = ["doctor", &world.source(), "s3://bucket/doctor", "--json", "--hadoop-conf", folder];
    let text = place.run(&call).expect(0).stdout;
    for told in ["1000 at most, and the log grows by", "are kept to 3600000 ms", "h at the present"]
    {
        assert!(text.contains(told), "{told} is missing in {text}");
    }
}
