//! The checker finds every planted difference, and nothing where nothing is.

#![allow(clippy::unwrap_used, reason = "outside of the test functions too a failure ends the test")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;
use whimbrel_testbed::{CheckReport, Checker, Hadoop, HadoopOptions, S3Endpoint, S3Mock, S3Server};

#[test]
fn local_trees_are_compared_byte_for_byte() {
    let here = tempfile::tempdir().unwrap();
    let there = tempfile::tempdir().unwrap();
    for root in [here.path(), there.path()] {
        fs::create_dir_all(root.join("a/empty")).unwrap();
        fs::create_dir_all(root.join("_temporary")).unwrap();
        fs::write(root.join("a/file"), "text").unwrap();
    }
    fs::write(here.path().join("_temporary/part"), "excluded").unwrap();
    let checker = Checker::new().unwrap();
    let compare = |arguments: &[&str]| {
        let (source, target) = (here.path().to_str().unwrap(), there.path().to_str().unwrap());
        checker.compare(source, target, arguments).unwrap()
    };
    let report = compare(&["--ignore-metadata"]);
    assert!(report.equal, "{report:?}");
    assert_eq!(report.summary["files"], 1);

    fs::write(there.path().join("a/file"), "tixt").unwrap();
    fs::write(there.path().join("more"), "").unwrap();
    fs::write(here.path().join("less"), "").unwrap();
    let report = compare(&["--ignore-metadata"]);
    assert!(!report.equal);
    assert_eq!(kinds(&report), [("a/file", "content"), ("less", "missing"), ("more", "extra")]);
    assert!(kinds(&compare(&[])).contains(&("a/file", "metadata")));
}

#[test]
fn hdfs_is_compared_with_objects_and_their_metadata() {
    let hadoop = Hadoop::start(&HadoopOptions::default()).unwrap();
    let acl = "user::rw-,user:alice:rw-,group::r--,mask::rw-,other::r--";
    hadoop
        .operations(&[
            json!({"operation": "create", "path": "/data/a b%+", "text": "text"}),
            json!({"operation": "create", "path": "/data/dir/x", "text": "0123456789"}),
            json!({"operation": "mkdirs", "path": "/data/empty"}),
            json!({"operation": "set_owner", "path": "/data/a b%+", "owner": "Zoë", "group": "g"}),
            json!({"operation": "set_acl", "path": "/data/dir/x", "acl": acl}),
            json!({"operation": "set_times", "path": "/data/a b%+",
                "mtime_milliseconds": 1_700_000_000_120_i64}),
            json!({"operation": "set_times", "path": "/data/dir/x",
                "mtime_milliseconds": 1_700_000_001_000_i64}),
            json!({"operation": "set_times", "path": "/data/empty",
                "mtime_milliseconds": 1_700_000_002_000_i64}),
        ])
        .unwrap();
    let server = S3Mock::start().unwrap();
    server.create_bucket("bucket").unwrap();
    let endpoint = server.endpoint();
    let owned = "x-amz-meta-whimbrel-owner: Zo%C3%AB\r\nx-amz-meta-whimbrel-group: g\r\n\
        x-amz-meta-whimbrel-mode: 0644\r\nx-amz-meta-mtime: 1700000000.12\r\n";
    put(endpoint, "/bucket/p/a%20b%25%2B", owned, "text");
    let plain = "x-amz-meta-whimbrel-owner: hdfs\r\nx-amz-meta-whimbrel-group: supergroup\r\n";
    let file = format!(
        "{plain}x-amz-meta-whimbrel-mode: 0664\r\nx-amz-meta-mtime: 1700000001\r\n\
        x-amz-meta-whimbrel-acl: {acl}\r\n"
    );
    put(endpoint, "/bucket/p/dir/x", &file, "0123456789");
    let marker =
        format!("{plain}x-amz-meta-whimbrel-mode: 0755\r\nx-amz-meta-mtime: 1700000002\r\n");
    put(endpoint, "/bucket/p/empty/", &marker, "");
    let checker = Checker::new().unwrap().with_hadoop(&hadoop).with_s3(endpoint);
    let source = format!("{}/data", hadoop.url());
    let report = checker.compare(&source, "s3://bucket/p", &[]).unwrap();
    assert!(report.equal, "{report:?}");

    put(endpoint, "/bucket/p/dir/x", plain, "0123456780");
    put(endpoint, "/bucket/p/dir", plain, "an object where a directory is");
    put(endpoint, "/bucket/p/empty/", plain, "");
    let report = checker.compare(&source, "s3://bucket/p", &[]).unwrap();
    assert_eq!(
        kinds(&report),
        [("dir", "extra"), ("dir/x", "content"), ("dir/x", "metadata"), ("empty", "metadata")]
    );
}

#[test]
fn what_s3a_lists_is_compared() {
    let here = tempfile::tempdir().unwrap();
    let server = S3Mock::start().unwrap();
    server.create_bucket("bucket").unwrap();
    let endpoint = server.endpoint();
    let names = [
        ("a b%2B+", "a%20b%252B%2B"),
        ("Zo\u{eb}/x #1", "Zo%C3%AB/x%20%231"),
        ("Zo\u{eb}/deep/y", "Zo%C3%AB/deep/y"),
    ];
    fs::create_dir_all(here.path().join("Zo\u{eb}/deep")).unwrap();
    fs::create_dir_all(here.path().join("empty #1")).unwrap();
    fs::create_dir_all(here.path().join("hollow/_temporary")).unwrap();
    for (name, key) in names {
        fs::write(here.path().join(name), "text").unwrap();
        put(endpoint, &format!("/bucket/p/{key}"), "", "text");
    }
    put(endpoint, "/bucket/p/empty%20%231/", "", "");
    let checker = Checker::new().unwrap().with_s3(endpoint);
    let source = here.path().to_str().unwrap();
    let report = checker.read_back(source, "s3://bucket/p").unwrap();
    assert!(report.equal, "{report:?}");
    assert_eq!((&report.summary["files"], &report.summary["directories"]), (&json!(3), &json!(4)));

    fs::write(here.path().join("a b%2B+"), "longer").unwrap();
    fs::write(here.path().join("less"), "").unwrap();
    fs::create_dir(here.path().join("bare")).unwrap();
    put(endpoint, "/bucket/p/more/x", "", "");
    let report = checker.read_back(source, "s3://bucket/p").unwrap();
    assert!(!report.equal);
    // A file is missed, or too many, in both ways of listing.
    assert_eq!(
        kinds(&report),
        [
            ("a b%2B+", "length"),
            ("a b%2B+", "length"),
            ("bare", "missing_directory"),
            ("less", "missing"),
            ("less", "missing"),
            ("more", "extra"),
            ("more/x", "extra"),
            ("more/x", "extra"),
        ]
    );
}

#[test]
fn a_commit_before_its_files_is_found() {
    let server = S3Mock::start().unwrap();
    server.create_bucket("bucket").unwrap();
    let endpoint = server.endpoint();
    let marker = json!({"job": "1", "files": [{"name": "part-0", "bytes": 4}]}).to_string();
    let checker = Checker::new().unwrap().with_s3(endpoint);
    put(endpoint, "/bucket/good/jobs-0/job-1/part-0", "", "text");
    put(endpoint, "/bucket/good/jobs-0/job-1/_SUCCESS", "", &marker);
    let poll = checker.poll_commits("s3://bucket/good").unwrap();
    std::thread::sleep(std::time::Duration::from_secs(5));
    let report = poll.finish().unwrap();
    assert!(report.equal, "{report:?}");
    assert_eq!(report.summary["markers"], 1);

    put(endpoint, "/bucket/bad/jobs-0/job-1/_SUCCESS", "", &marker);
    let poll = checker.poll_commits("s3://bucket/bad").unwrap();
    std::thread::sleep(std::time::Duration::from_secs(5));
    let report = poll.finish().unwrap();
    assert_eq!(report.findings[0]["file"], "bad/jobs-0/job-1/part-0");
}

#[test]
fn a_commit_long_after_its_files_is_measured() {
    let server = S3Mock::start().unwrap();
    server.create_bucket("bucket").unwrap();
    let endpoint = server.endpoint();
    let marker = json!({"files": [{"name": "part-0", "bytes": 4}], "committed_milliseconds": 1});
    let poll = Checker::new().unwrap().with_s3(endpoint).poll_commits("s3://bucket/late").unwrap();
    // A machine that is busy with other things takes so long to start the reader.
    std::thread::sleep(std::time::Duration::from_secs(15));
    put(endpoint, "/bucket/late/jobs-0/job-1/part-0", "", "text");
    std::thread::sleep(std::time::Duration::from_secs(4));
    put(endpoint, "/bucket/late/jobs-0/job-1/_SUCCESS", "", &marker.to_string());
    std::thread::sleep(std::time::Duration::from_secs(3));
    let summary = poll.finish().unwrap().summary;
    let after_files = summary["latest_after_files_seconds"].as_f64().unwrap();
    assert!((3.0..12.0).contains(&after_files), "{summary}");
    // The marker says that it was committed long ago.
    assert!(summary["latest_seconds"].as_f64().unwrap() > 1e9, "{summary}");
}

/// Path and kind of each finding, sorted.
fn kinds(report: &CheckReport) -> Vec<(&str, &str)> {
    let mut kinds: Vec<(&str, &str)> = report
        .findings
        .iter()
        .map(|finding| (finding["path"].as_str().unwrap(), finding["kind"].as_str().unwrap()))
        .collect();
    kinds.sort_unstable();
    kinds
}

fn put(endpoint: &S3Endpoint, path: &str, headers: &str, body: &str) {
    let mut stream = TcpStream::connect(endpoint.address).unwrap();
    write!(
        stream,
        "PUT {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\
        Content-Length: {}\r\n\r\n{body}",
        endpoint.address,
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
