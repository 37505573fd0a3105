//! The cluster does what its commands say.

use std::time::{Duration, Instant};

use serde_json::json;
use whimbrel_testbed::{ChurnOptions, CreateFiles, FileSizes, Hadoop, HadoopOptions};

#[test]
fn a_cluster_takes_files_and_counts_who_reads_them() {
    let hadoop = Hadoop::start(&HadoopOptions::default()).unwrap();
    assert!(hadoop.url().starts_with("hdfs://127.0.0.1:"));
    assert!(hadoop.configuration_directory().join("core-site.xml").exists());
    assert_eq!(hadoop.data_nodes().len(), 3);

    let files = CreateFiles {
        directory: "/data".to_owned(),
        count: 20,
        directories: 4,
        sizes: FileSizes::Fixed(1000),
        seed: 7,
    };
    assert_eq!(hadoop.create_files(&files).unwrap(), 20_000);
    let stats = hadoop.stats().unwrap();
    assert_eq!(stats.bytes_read, 0);
    assert_eq!(stats.calls("create"), 20);

    let read = json!({"operation": "read", "path": "/data/d00000/f0000000"});
    assert_eq!(hadoop.operations(&[read]).unwrap()[0]["bytes"], 1000);
    // A DataNode counts what it sent once the reader has it.
    let waited = Instant::now();
    while hadoop.stats().unwrap().bytes_read < 1000 {
        assert!(waited.elapsed() < Duration::from_secs(30), "it counts what was read");
        std::thread::sleep(Duration::from_millis(50));
    }
    let events = hadoop.events_after(0).unwrap();
    assert_eq!(events[0]["events"][0]["type"], "CREATE");
}

#[test]
fn purged_edits_are_gone_and_a_restart_keeps_the_address() {
    let hadoop = Hadoop::start(&HadoopOptions::default()).unwrap();
    hadoop.write("/a/b", "text").unwrap();
    assert!(hadoop.purge_edits().unwrap() > 1);
    hadoop.restart_name_node(0).unwrap();
    let status = hadoop.command(&json!({"command": "status", "path": "/a/b"})).unwrap();
    assert_eq!(status["bytes"], 4);
    hadoop.set_safe_mode(true).unwrap();
    assert!(hadoop.write("/a/c", "text").is_err());
    hadoop.set_safe_mode(false).unwrap();
    hadoop.stop_data_node(1).unwrap();
    hadoop.restart_data_node(1).unwrap();
}

#[test]
fn a_pair_fails_over_back_and_forth() {
    let hadoop = Hadoop::start(&HadoopOptions::default().highly_available()).unwrap();
    hadoop.write("/a", "one").unwrap();
    hadoop.fail_over().unwrap();
    hadoop.write("/b", "two").unwrap();
    assert!(hadoop.purge_edits().unwrap() > 1);
    hadoop.kill_name_node().unwrap();
    hadoop.fail_over().unwrap();
    hadoop.write("/c", "three").unwrap();
    hadoop.restart_name_node(1).unwrap();
    hadoop.fail_over().unwrap();
    let status = hadoop.command(&json!({"command": "status", "path": "/c"})).unwrap();
    assert_eq!(status["bytes"], 5);
}

#[test]
fn a_churn_changes_everything_and_leaves_nothing_open() {
    let hadoop = Hadoop::start(&HadoopOptions::default()).unwrap();
    let files = CreateFiles {
        directory: "/data".to_owned(),
        count: 300,
        directories: 30,
        sizes: FileSizes::YARDSTICK,
        seed: 7,
    };
    hadoop.create_files(&files).unwrap();
    let options = ChurnOptions { seconds: 10, ..ChurnOptions::new("/data", 3) };
    hadoop.start_churn(&options).unwrap();
    assert!(hadoop.churn_is_running().unwrap());
    let report = hadoop.wait_for_churn().unwrap();
    assert_eq!(report.failed, 0, "{}", report.all);
    assert!(report.operations > 100, "{}", report.all);
    let open = json!({"operation": "list_open", "path": "/"});
    assert_eq!(hadoop.operations(&[open]).unwrap()[0]["paths"], json!([]));
}
