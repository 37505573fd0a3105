//! Servers that stop, start again, and refuse for a while.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use whimbrel_hdfs::{Client, Configuration, Error, ErrorKind, Settings};
use whimbrel_testbed::{Fault, FaultProxy};

use crate::reading::{pinned, read};
use crate::{client, cluster, configuration, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_data_node_is_left_in_mid_read() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    let expected = text(7_000_000, 3);
    hadoop.write("/outage/large", &expected).unwrap();
    let file = pinned(&client, "/outage/large").await;
    for index in 0..hadoop.data_nodes().len() {
        let mut reader = client.read(&file, 0..u64::MAX).unwrap();
        let mut bytes = reader.next().await.unwrap().unwrap().to_vec();
        hadoop.stop_data_node(index).unwrap();
        while let Some(piece) = reader.next().await.unwrap() {
            bytes.extend_from_slice(&piece);
        }
        assert_eq!(bytes, expected.as_bytes(), "without DataNode {index}");
        let crc = client.composite_crc(&file).await.unwrap();
        assert_eq!(crc.value, whimbrel_hdfs::CrcKind::Crc32c.of(&bytes));
        hadoop.restart_data_node(index).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_namenode_is_found_again_in_a_new_epoch() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    hadoop.write("/outage/restart", "bytes").unwrap();
    let before = client.current_transaction_id().await.unwrap();
    let epoch = client.epoch();
    let restarted = Arc::new(AtomicBool::new(false));
    let asking = {
        let (client, restarted) = (client.clone(), Arc::clone(&restarted));
        tokio::spawn(async move {
            while !restarted.load(Ordering::Relaxed) {
                assert!(client.file_status(b"/outage/restart").await.unwrap().is_some());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    };
    tokio::task::block_in_place(|| hadoop.restart_name_node(0)).unwrap();
    restarted.store(true, Ordering::Relaxed);
    asking.await.unwrap();
    let quick = client.with_patience(Duration::from_secs(20));
    assert!(quick.file_status(b"/outage/restart").await.unwrap().is_some());
    assert!(client.epoch() > epoch);
    let edits = client.edits_from(before).await.unwrap();
    assert!(!edits.has_gap() && !edits.is_beyond_end());
}

#[tokio::test(flavor = "multi_thread")]
async fn safe_mode_does_not_stop_reads() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    hadoop.write("/outage/safe", "bytes").unwrap();
    hadoop.set_safe_mode(true).unwrap();
    let file = pinned(&client, "/outage/safe").await;
    assert_eq!(read(&client, &file, 0, 9).await.unwrap(), b"bytes");
    let current = client.current_transaction_id().await.unwrap();
    assert!(!client.edits_from(current).await.unwrap().has_gap());
    hadoop.set_safe_mode(false).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_edits_are_a_gap() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    hadoop.write("/outage/gap", "bytes").unwrap();
    let first = hadoop.purge_edits().unwrap();
    assert!(first > 1);
    let edits = client.edits_from(1).await.unwrap();
    assert!(edits.has_gap());
    assert_eq!(edits.first_txid, Some(first));
    assert!(!client.edits_from(first).await.unwrap().has_gap());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_said_within_the_callers_time() {
    let hadoop = cluster().await;
    let mut settings = Settings::new("nobody");
    settings.patience = Duration::from_secs(2);
    // A port that refuses, an address that swallows, a server that speaks another protocol.
    let web = hadoop.http_addresses().remove(0);
    for authority in ["127.0.0.1:1", "192.0.2.1:8020", web.as_str(), "no-such-host.invalid:8020"] {
        let started = Instant::now();
        let refused = Client::connect(&Configuration::new(), authority, settings.clone()).await;
        let error = refused.unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(4), "{authority}: {error}");
        let expected = [ErrorKind::Retry, ErrorKind::InvalidReply];
        assert!(expected.contains(&error.kind()), "{authority}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_wants_kerberos_is_refused_unasked() {
    let hadoop = cluster().await;
    let mut configuration = configuration(&hadoop);
    configuration.set("hadoop.security.authentication", "kerberos");
    let refused = Client::connect(&configuration, "", Settings::new("x")).await.unwrap_err();
    assert!(matches!(refused, Error::Kerberos { .. }), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_breaks_in_any_way_is_said_in_time_and_mends_itself() {
    let hadoop = cluster().await;
    hadoop.write("/outage/line", "bytes").unwrap();
    let namenode: SocketAddr = hadoop.name_nodes()[0].parse().unwrap();
    let line = tokio::task::block_in_place(|| FaultProxy::start(namenode)).unwrap();
    let settings = Settings::new(hadoop.superuser());
    let address = line.address().to_string();
    let client = Client::connect(&Configuration::new(), &address, settings).await.unwrap();
    let hasty = client.with_patience(Duration::from_secs(1));
    let patient = client.with_patience(Duration::from_secs(30));
    let faults = [
        Fault::Refuse,
        Fault::Reset,
        Fault::Stall,
        Fault::ResetAfter { bytes: 10 },
        Fault::LoseAnswers,
        Fault::HoldAnswers,
    ];
    for fault in faults {
        line.set(fault);
        let started = Instant::now();
        let error = hasty.file_status(b"/outage/line").await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{fault:?}: {error}");
        assert!(started.elapsed() < Duration::from_secs(3), "{fault:?}");
        let waiting = tokio::spawn({
            let patient = patient.clone();
            async move { patient.file_status(b"/outage/line").await }
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        line.set(Fault::None);
        let epoch = client.epoch();
        let status = patient.file_status(b"/outage/line").await.unwrap();
        assert_eq!(status.unwrap().length, 5, "{fault:?}");
        // What was asked while the line was broken is answered too, if only at its own pace.
        if fault != Fault::HoldAnswers {
            assert_eq!(waiting.await.unwrap().unwrap().unwrap().length, 5, "{fault:?}");
            assert!(client.epoch() >= epoch);
        }
    }
    tokio::task::block_in_place(|| drop(line));
}

/// A NameNode answers a write as it did before if client and number of the call are those of one
/// that it knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_over_a_new_connection_is_no_repetition_of_another_one() {
    let hadoop = cluster().await;
    let paths: Vec<String> = (0..5).map(|number| format!("/outage/write{number}")).collect();
    for path in &paths {
        hadoop.write(path, "bytes").unwrap();
    }
    let namenode: SocketAddr = hadoop.name_nodes()[0].parse().unwrap();
    let line = tokio::task::block_in_place(|| FaultProxy::start(namenode)).unwrap();
    let settings = Settings::new(hadoop.superuser());
    let address = line.address().to_string();
    let client = Client::connect(&Configuration::new(), &address, settings).await.unwrap();
    let client = client.with_patience(Duration::from_secs(30));
    let (last, others) = paths.split_last().unwrap();
    for path in others {
        assert!(client.remove(path.as_bytes()).await.unwrap(), "{path}");
        assert_eq!(client.file_status(path.as_bytes()).await.unwrap(), None);
        line.set(Fault::Refuse);
        line.set(Fault::None);
    }
    line.set(Fault::LoseAnswers);
    let removing = tokio::spawn({
        let (client, path) = (client.clone(), last.clone());
        async move { client.remove(path.as_bytes()).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    line.set(Fault::None);
    assert!(removing.await.unwrap().unwrap(), "sent once more it is the same call");
    assert_eq!(client.file_status(last.as_bytes()).await.unwrap(), None);
    tokio::task::block_in_place(|| drop(line));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_share_a_connection() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    hadoop.write("/outage/many", "bytes").unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let client = client.clone();
        calls.spawn(async move { client.file_status(b"/outage/many").await.unwrap().unwrap() });
    }
    while let Some(status) = calls.join_next().await {
        assert_eq!(status.unwrap().length, 5);
    }
    let stats = hadoop.command(&json!({"command": "stats"})).unwrap();
    assert!(stats["ok"].as_bool().unwrap_or_default());
}
