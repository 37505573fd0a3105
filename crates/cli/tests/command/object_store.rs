//! Local to a real S3 server and back.

use std::io::{Read, Write};

use whimbrel_testbed::{Fault, FaultProxy, S3Mock, S3Server, VersityGateway};

use crate::call::{Place, until};

fn place(server: &VersityGateway) -> Place {
    let place = Place::new().with(server.endpoint().environment());
    place.write("source/a", "one");
    place.write("source/d/b.txt", "two");
    place.write("source/d/large", vec![3; 12 << 20]);
    std::fs::create_dir_all(place.path("source/empty")).unwrap();
    place
}

#[test]
fn there_and_back() {
    let server = VersityGateway::start().unwrap();
    server.create_bucket("bucket").unwrap();
    let place = place(&server);
    let result = place.run(&["migrate", "source", "s3://bucket/p", "--json"]).expect(0).result();
    assert_eq!((&result["outcome"], &result["files_copied"]), (&"equal".into(), &3.into()));
    let ended = place.run(&["verify", "source", "s3://bucket/p", "--json"]).expect(0);
    let verified = ended.result();
    assert_eq!(verified["outcome"], "equal", "{}", ended.stdout);
    assert_eq!(verified["bytes_read_target"], 0, "the server keeps checksums");
    let read = place.run(&["verify", "source", "s3://bucket/p", "--read", "--json"]).expect(0);
    assert_eq!(read.result()["bytes_read_target"], (12 << 20) + 6);

    let again = place.run(&["migrate", "source", "s3://bucket/p", "--state", "other", "--json"]);
    assert_eq!(again.code, 6, "another state of Whimbrel wrote it: {}", again.stdout);
    let adopted = ["migrate", "source", "s3://bucket/p", "--state", "other", "--adopt", "--json"];
    let adopted = place.run(&adopted).expect(0).result();
    assert_eq!(adopted["files_copied"], 0, "{adopted}");

    let back = place.run(&["migrate", "s3://bucket/p", "back", "--json"]).expect(0).result();
    assert_eq!(back["outcome"], "equal");
    assert_eq!(place.tree("back"), place.tree("source"));
    a_source_without_modes_does_not_take_the_right_to_read(&place);

    let extra = place.run(&["migrate", "source", "s3://bucket/p/deeper", "--json"]).expect(0);
    assert_eq!(extra.result()["files_copied"], 3);
    let ended = place.run(&["verify", "source", "s3://bucket/p", "--json"]).expect(5);
    assert_eq!(ended.result()["extra"].as_u64(), Some(4));
    place.run(&["verify", "source", "s3://bucket/p", "--ignore-extras"]).expect(0);
}

/// A disk below the store turned a bit: the kept checksum does not tell, reading does, and so does
/// a sample that the file is in.
#[test]
fn a_byte_that_a_disk_altered_is_found_by_reading_and_by_samples() {
    let server = VersityGateway::start().unwrap();
    server.create_bucket("bucket").unwrap();
    let place = Place::new().with(server.endpoint().environment());
    for index in 0..10 {
        place.write(&format!("source/{index}"), vec![index; 1_000]);
    }
    place.run(&["migrate", "source", "s3://bucket/p"]).expect(0);
    let damaged = server.data_directory().join("bucket/p/3");
    let mut content = std::fs::read(&damaged).unwrap();
    content[500] ^= 1;
    let mut file = std::fs::File::options().write(true).open(&damaged).unwrap();
    file.write_all(&content).unwrap();

    let verify = ["verify", "source", "s3://bucket/p", "--json"];
    place.run(&verify).expect(0);
    let read = place.run(&[&verify[..], &["--read"]].concat()).expect(5);
    let told = |ended: &crate::call::Ended| {
        let lines = ended.lines().into_iter().filter(|line| line["type"] == "difference");
        lines.map(|line| line["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(told(&read), ["3"]);
    let mut found = 0;
    for seed in 0..16 {
        let seed = seed.to_string();
        let sample = ["--read", "--sample", "50%", "--sample-seed", &seed];
        let ended = place.run(&[&verify[..], &sample].concat());
        let result = ended.result();
        let looked_at = &result["sample"]["bytes_looked_at"];
        assert_eq!(result["bytes_read_target"], *looked_at, "{result}");
        match ended.code {
            0 => assert_eq!(result["outcome"], "no_difference_found", "{result}"),
            code => assert_eq!((code, told(&ended)), (5, vec!["3".to_owned()])),
        }
        found += i32::from(ended.code == 5);
    }
    assert!((2..=14).contains(&found), "{found} of 16 samples of a half");
}

/// Started again, a migration looks at the bucket, whatever its state says.
#[test]
fn a_later_run_sees_what_became_of_the_bucket() {
    let server = VersityGateway::start().unwrap();
    server.create_bucket("bucket").unwrap();
    let place = place(&server);
    let state = ["--state", "kept", "--json"];
    let call = [&["migrate", "source", "s3://bucket/p"], &state[..]].concat();
    place.run(&call).expect(0);
    let unchanged = place.run(&call).expect(0).result();
    assert_eq!(unchanged["run_files_copied"], 0, "{unchanged}");

    // Another migration of nothing takes all away.
    std::fs::create_dir_all(place.path("nothing")).unwrap();
    let emptied = ["migrate", "nothing", "s3://bucket/p", "--extras", "remove", "--adopt"];
    place.run(&[&emptied[..], &["--state", "other", "--removals-max", "none"]].concat()).expect(0);
    let again = place.run(&call).expect(0).result();
    assert_eq!((&again["outcome"], &again["run_files_copied"]), (&"equal".into(), &3.into()));
    place.run(&["verify", "source", "s3://bucket/p"]).expect(0);
}

/// Keys of an object store have no mode: files from there had none at all, and only root could
/// read them.
fn a_source_without_modes_does_not_take_the_right_to_read(place: &Place) {
    use std::os::unix::fs::MetadataExt;
    for name in ["back/a", "back/d/large"] {
        let mode = std::fs::metadata(place.path(name)).unwrap().mode();
        assert_eq!(mode & 0o600, 0o600, "{name}: {mode:o}");
    }
}

#[test]
fn wrong_bucket_and_wrong_key() {
    let server = VersityGateway::start().unwrap();
    server.create_bucket("bucket").unwrap();
    let place = place(&server);
    let none = place.run(&["migrate", "source", "s3://no-such-bucket/p", "--json"]).expect(4);
    assert!(none.result()["message"].to_string().contains("no-such-bucket"), "{}", none.stdout);
    place.run(&["migrate", "s3://no-such-bucket/p", "back", "--json"]).expect(3);
    place.run(&["migrate", "s3://bucket/nothing-there", "back", "--json"]).expect(3);
    let wrong = vec![("AWS_SECRET_ACCESS_KEY", "not-the-secret".to_owned())];
    let place = place.with(wrong);
    let denied = place.run(&["migrate", "source", "s3://bucket/p", "--json"]).expect(4);
    assert!(!denied.stdout.contains("not-the-secret") && !denied.stderr.contains("not-the-secret"));
    assert!(!denied.result()["remedy"].as_str().unwrap_or_default().is_empty());
    let doctor = place.run(&["doctor", "source", "s3://bucket/p", "--json"]).expect(4);
    assert_eq!(doctor.result()["outcome"], "not_ready");
}

#[test]
fn doctor_finds_everything_in_place() {
    let server = VersityGateway::start().unwrap();
    server.create_bucket("bucket").unwrap();
    let place = place(&server);
    let ended = place.run(&["doctor", "source", "s3://bucket/p", "--live", "--json"]).expect(0);
    assert_eq!(ended.result()["outcome"], "ready");
    let checks = ended.lines().iter().filter(|line| line["type"] == "check").count();
    assert!(checks > 10, "{}", ended.stdout);
    let left = place.run(&["verify", "source", "s3://bucket/p", "--json"]).expect(5).result();
    assert_eq!(left["extra"], 0, "doctor left something behind");
}

/// A server that accepts and never answers was told of after minutes where parts of large files
/// were on their way.
#[test]
fn a_hung_object_store_is_told_within_half_a_minute() {
    let server = VersityGateway::start().unwrap();
    server.create_bucket("bucket").unwrap();
    let line = FaultProxy::start(server.endpoint().address).unwrap();
    let through = vec![("AWS_ENDPOINT_URL_S3", format!("http://{}", line.address()))];
    let place = place(&server).with(through);
    let call = ["migrate", "source", "s3://bucket/p", "--live", "--name", "hung", "--json"];
    let child = place.spawn(&call);
    let status = || {
        let ended = place.run(&["status", "hung", "--json"]);
        if ended.code == 0 { ended.result() } else { serde_json::Value::Null }
    };
    until("the scan", || status()["scanned"] == true && status()["lag_seconds"] == 0.0);
    line.set(Fault::Stall);
    let lost = jiff::Timestamp::now();
    place.write("source/larger", vec![5; 64 << 20]);
    until("the loss", || status()["target_lost_seconds"].as_f64() > Some(4.0));
    let text = place.run(&["status", "hung"]).expect(0).stdout;
    assert!(text.contains("the target has not answered for"), "{text}");
    until("a lag", || status()["lag_seconds"].as_f64() > Some(10.0));
    line.set(Fault::None);
    until("its return", || status()["target_lost_seconds"].is_null());
    until("the copy", || status()["files_copied"] == 4);
    place.run(&["stop", "hung"]).expect(0);
    let ended = child.ended().expect(143);
    let told = ended.lines().into_iter().find(|line| line["kind"] == "target_lost");
    let told = told.unwrap_or_else(|| panic!("{}", ended.stdout));
    let after = told["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let seconds = after.duration_since(lost).as_secs_f64();
    assert!(seconds < 40.0, "told after {seconds} s");
}

/// They were dropped without a word, and the run ended `equal`.
#[test]
fn what_a_source_lists_under_altered_keys_is_told() {
    let server = VersityGateway::start().unwrap();
    server.create_bucket("bucket").unwrap();
    let place = Place::new().with(server.endpoint().environment());
    let folder = server.data_directory().join("bucket/odd");
    std::fs::create_dir_all(folder.join("dir")).unwrap();
    for name in ["ok", "one\u{1}", "\u{2}y", "x\u{fffe}", "dir/\u{5}"] {
        std::fs::write(folder.join(name), name).unwrap();
    }
    let call = ["migrate", "s3://bucket/odd", "target", "--name", "odd", "--json"];
    for _ in 0..2 {
        let ended = place.run(&call).expect(5);
        let result = ended.result();
        let told = (&result["outcome"], &result["failures"]);
        assert_eq!(told, (&"incomplete".into(), &4.into()), "{}", ended.stdout);
        for path in ["one\u{fffd}", "\u{fffd}y", "x\u{fffd}", "dir/\u{fffd}"] {
            let lines = ended.lines();
            let problem = lines.iter().find(|line| line["path"] == path && line["kind"] != "");
            let problem = problem.unwrap_or_else(|| panic!("{path}: {}", ended.stdout));
            assert!(problem["message"].as_str().unwrap().contains("alters"), "{problem}");
            assert!(!problem["remedy"].as_str().unwrap().is_empty(), "{problem}");
        }
        assert_eq!(place.tree("target").len(), 1);
    }
    let ended = place.run(&["verify", "s3://bucket/odd", "target", "--json"]).expect(5);
    let result = ended.result();
    assert_eq!((&result["unverifiable"], &result["extra"]), (&4.into(), &0.into()));
    std::fs::remove_dir_all(folder.join("dir")).unwrap();
    for name in ["one\u{1}", "\u{2}y", "x\u{fffe}"] {
        std::fs::remove_file(folder.join(name)).unwrap();
    }
    assert_eq!(place.run(&call).expect(0).result()["failures"], 0);
}

/// The next run took what its own probe had left for another migration's, and what the server
/// lists under altered keys for the end of the world: it ended with 6 or 4 for ever.
#[test]
fn a_run_killed_while_it_probes_is_started_again() {
    let server = VersityGateway::start().unwrap();
    server.create_bucket("bucket").unwrap();
    let place = place(&server);
    let bucket = server.data_directory().join("bucket");
    let call = ["migrate", "source", "s3://bucket/pk", "--name", "pk", "--json"];
    let killed_often = || {
        for millis in [30, 60, 90, 130, 180, 250] {
            let running = place.spawn(&call);
            std::thread::sleep(std::time::Duration::from_millis(millis));
            drop(running);
        }
    };
    killed_often();
    for (name, content) in [("plain", "p"), ("one\u{1}", "o")] {
        let folder = bucket.join("pk/.whimbrel-probe-another.1");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), content).unwrap();
    }
    for _ in 0..2 {
        let ended = place.run(&call).expect(0);
        let result = ended.result();
        assert_eq!((&result["outcome"], &result["extras"]), (&"equal".into(), &0.into()));
        let left = std::fs::read_dir(bucket.join("pk")).unwrap().filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().starts_with(".whimbrel-probe-")
        });
        assert_eq!(left.count(), 1, "what is not its own is left alone");
        killed_often();
    }
    let verified = place.run(&["verify", "source", "s3://bucket/pk", "--json"]).expect(0).result();
    assert_eq!(verified["extra"], 0, "{verified}");
}

#[test]
fn what_a_target_lists_under_altered_keys_is_an_extra() {
    let server = VersityGateway::start().unwrap();
    server.create_bucket("bucket").unwrap();
    let place = place(&server);
    let folder = server.data_directory().join("bucket/p");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("foreign\u{1}"), "foreign").unwrap();
    let call = ["migrate", "source", "s3://bucket/p", "--name", "extra", "--json"];
    let result = place.run(&call).expect(0).result();
    assert_eq!((&result["outcome"], &result["extras"]), (&"equal".into(), &1.into()), "{result}");
    let verified = place.run(&["verify", "source", "s3://bucket/p", "--json"]).expect(5).result();
    assert_eq!((&verified["extra"], &verified["missing"]), (&1.into(), &0.into()), "{verified}");
}

/// Signatures are not looked at here.
fn ask(server: &S3Mock, method: &str, key: &str) {
    let mut stream = std::net::TcpStream::connect(server.endpoint().address).unwrap();
    let body = if method == "PUT" && !key.ends_with('/') { key } else { "" };
    let length = body.len();
    write!(
        stream,
        "{method} /bucket/{key} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
}

#[test]
fn keys_that_lie_in_each_other() {
    let server = S3Mock::start().unwrap();
    server.create_bucket("bucket").unwrap();
    let place = Place::new().with(server.endpoint().environment());
    a_key_that_becomes_a_prefix_too_stays(&server, &place);
    what_lies_below_a_key_that_goes_is_written_at_once(&server, &place);
    a_prefix_that_becomes_a_key_is_one_at_once(&server, &place);
    empty_directories_of_a_bucket_stay(&server, &place);
    an_object_and_a_marker_of_one_name_are_told(&server, &place);
    a_foreign_key_that_begins_with_a_slash_is_an_extra(&server);
    keys_with_empty_components_are_copied(&server, &place);
}

/// From one bucket to another each stays as it is; a directory tree can have none of them.
fn keys_with_empty_components_are_copied(server: &S3Mock, place: &Place) {
    server.create_bucket("other").unwrap();
    for key in ["k//a", "k//", "k/b//c", "k/b//", "k/b/", "k/b", "k///"] {
        ask(server, "PUT", key);
    }
    let call = ["migrate", "s3://bucket/k", "s3://other/k", "--name", "keys", "--json"];
    let result = place.run(&call).expect(0).result();
    assert_eq!((&result["outcome"], &result["extras"]), (&"equal".into(), &0.into()), "{result}");
    let verified = place.run(&["verify", "keys", "--json"]).expect(0).result();
    assert_eq!(verified["files_compared"], 7, "{verified}");
    let result = place.run(&call).expect(0).result();
    assert_eq!(result["run_files_copied"], 0, "{result}");
    let tree = place.run(&["migrate", "s3://bucket/k", "tree", "--name", "tree", "--json"]);
    let told = tree.expect(5).problems();
    for path in ["/a", "/", "b//c", "b//", "//"] {
        assert!(told.iter().any(|problem| problem["path"] == path), "{path} {told:?}");
    }
    assert!(place.path("tree/b").is_dir(), "of a marker and an object of one name one stands");
}

/// It once made each later run say that its state is damaged.
fn a_foreign_key_that_begins_with_a_slash_is_an_extra(server: &S3Mock) {
    let place = Place::new().with(server.endpoint().environment());
    for key in ["lead//x", "lead//x/deep", "lead//", "lead///"] {
        ask(server, "PUT", key);
    }
    let (call, kept) = (["migrate", "source", "s3://bucket/lead", "--name", "r", "--json"], 4);
    place.write("source/x", "of the source's own");
    for run in 1..4 {
        let result = place.run(&call).expect(0).result();
        assert_eq!(
            (&result["outcome"], &result["extras"]),
            (&"equal".into(), &kept.into()),
            "{run}"
        );
        place.write("source/x", format!("once more {run}"));
    }
    let removing = [&call[..], &["--extras", "remove"]].concat();
    let result = place.run(&removing).expect(0).result();
    assert_eq!((&result["outcome"], &result["extras"]), (&"equal".into(), &0.into()), "{result}");
    let verified = place.run(&["verify", "r", "--json"]).expect(0).result();
    assert_eq!((&verified["extra"], &verified["missing"]), (&0.into(), &0.into()), "{verified}");
}

fn a_key_that_becomes_a_prefix_too_stays(server: &S3Mock, place: &Place) {
    let call = ["migrate", "s3://bucket/z", "back", "--name", "back", "--json"];
    ask(server, "PUT", "z");
    place.run(&call).expect(0);
    ask(server, "PUT", "z/inner");
    let again = place.run(&call).expect(0);
    let left_out = |line: &serde_json::Value| line["kind"] == "left_out";
    assert!(again.lines().iter().any(left_out), "{}", again.stdout);
    assert_eq!(again.result()["run_files_removed"], 0);
    assert_eq!(place.tree("back").into_iter().collect::<Vec<_>>(), [("z".into(), b"z".to_vec())]);
    ask(server, "DELETE", "z");
    place.run(&call).expect(3);
    assert_eq!(place.read("back/z").unwrap(), b"z");

    let inner = ["migrate", "s3://bucket/z", "inner", "--name", "inner", "--json"];
    place.run(&inner).expect(0);
    ask(server, "PUT", "z");
    assert!(place.run(&inner).expect(0).lines().iter().any(left_out));
    ask(server, "DELETE", "z/inner");
    place.run(&inner).expect(3);
    assert_eq!(place.read("inner/inner").unwrap(), b"z/inner");
}

fn what_lies_below_a_key_that_goes_is_written_at_once(server: &S3Mock, place: &Place) {
    let call = ["migrate", "s3://bucket/p", "flat", "--name", "flat", "--json"];
    ask(server, "PUT", "p/a");
    place.run(&call).expect(0);
    ask(server, "PUT", "p/a/b");
    place.run(&call).expect(5);
    ask(server, "DELETE", "p/a");
    let result = place.run(&call).expect(0).result();
    assert_eq!((&result["outcome"], &result["failures"]), (&"equal".into(), &0.into()));
    assert_eq!(place.read("flat/a/b").unwrap(), b"p/a/b");
}

/// It was a conflict once, since the file was written before the directory in its place went.
fn a_prefix_that_becomes_a_key_is_one_at_once(server: &S3Mock, place: &Place) {
    let call = ["migrate", "s3://bucket/r", "key", "--name", "key", "--json"];
    for key in ["r/a/b", "r/a/c/d", "r/e/f", "r/e/g"] {
        ask(server, "PUT", key);
    }
    place.run(&call).expect(0);
    for key in ["r/a/b", "r/a/c/d", "r/e/f"] {
        ask(server, "DELETE", key);
    }
    ask(server, "PUT", "r/a");
    ask(server, "PUT", "r/e");
    let ended = place.run(&call).expect(5);
    assert_eq!(ended.result()["failures"], 1, "e/g stands still: {}", ended.stdout);
    assert_eq!(place.read("key/a").unwrap(), b"r/a");
    ask(server, "DELETE", "r/e/g");
    assert_eq!(place.run(&call).expect(0).result()["outcome"], "equal");
    assert_eq!(place.read("key/e").unwrap(), b"r/e");
}

/// Markers of empty directories have a slash at their end in the source, and are directories on a
/// local target: each later run removed them, and said `equal`. Where they hold something `verify`
/// saw another time, for ever.
fn empty_directories_of_a_bucket_stay(server: &S3Mock, place: &Place) {
    for key in ["m/only/", "m/only2/deep/", "m/d/", "m/d/f", "m/q"] {
        ask(server, "PUT", key);
    }
    for run in 1..4 {
        let ended = place.run(&["migrate", "s3://bucket/m", "m", "--name", "m", "--json"]);
        assert_eq!((ended.code, ended.problems().len()), (0, 0), "{run}: {}", ended.stdout);
        for directory in ["m/only", "m/only2/deep", "m/d"] {
            assert!(place.path(directory).is_dir(), "{run}: {directory}");
        }
        place.run(&["verify", "m"]).expect(0);
    }
}

/// One of them took the place of the other, which counted as copied.
fn an_object_and_a_marker_of_one_name_are_told(server: &S3Mock, place: &Place) {
    for key in ["n/x", "n/x/", "n/f", "n/f/sub/", "n/ok"] {
        ask(server, "PUT", key);
    }
    for run in 1..3 {
        let ended = place.run(&["migrate", "s3://bucket/n", "n", "--name", "n", "--json"]);
        let told = ended.problems();
        let kinds = told.iter().map(|line| line["kind"].as_str().unwrap().to_owned());
        assert_eq!((ended.code, kinds.collect::<Vec<_>>()), (5, vec!["conflict".to_owned(); 2]));
        assert_eq!(ended.result()["failures"], 2, "{run}: {}", ended.stdout);
        assert_eq!(place.read("n/ok").unwrap(), b"n/ok");
    }
}
