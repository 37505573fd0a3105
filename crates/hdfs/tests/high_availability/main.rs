//! Two NameNodes: only the active one is believed, and a fail-over loses nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard, OnceCell};
use whimbrel_hdfs::{Client, Configuration, ErrorKind, Event, HaState, Settings};
use whimbrel_testbed::{Hadoop, HadoopOptions};

static CLUSTER: OnceCell<Mutex<Hadoop>> = OnceCell::const_new();

async fn cluster() -> MutexGuard<'static, Hadoop> {
    // With delegation tokens on, the servers offer a choice of authentication, SIMPLE among them.
    let options = HadoopOptions { data_nodes: 2, ..HadoopOptions::default() }
        .with("dfs.namenode.delegation.token.always-use", "true");
    let start = async || Mutex::new(Hadoop::start(&options.highly_available()).unwrap());
    CLUSTER.get_or_init(start).await.lock().await
}

async fn client(hadoop: &Hadoop) -> Client {
    let configuration = Configuration::read(&hadoop.configuration_directory()).unwrap();
    let settings = Settings::new(hadoop.superuser());
    Client::connect(&configuration, "", settings).await.unwrap()
}

/// A client that knows of one NameNode of the pair only.
fn client_of_one(hadoop: &Hadoop, index: usize, patience: Duration) -> Client {
    let settings = Settings { patience, ..Settings::new(hadoop.superuser()) };
    let address = hadoop.name_nodes().remove(index);
    Client::new(&Configuration::new(), &address, settings).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fail_over_is_a_new_epoch_of_the_same_history() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    assert_eq!(client.cluster().namenodes.len(), 2);
    let begin = client.current_transaction_id().await.unwrap();
    let mut paths = Vec::new();
    for round in 0..4 {
        let path = format!("/rounds/{round}");
        hadoop.write(&path, "text").unwrap();
        assert!(client.file_status(path.as_bytes()).await.unwrap().is_some());
        assert_eq!(client.ha_state().await.unwrap(), HaState::Active);
        let (epoch, index) = client.position();
        paths.push(path);
        tokio::task::block_in_place(|| hadoop.fail_over()).unwrap();
        let page = client.list(b"/rounds", b"", true).await.unwrap().unwrap();
        assert_eq!(page.entries.len(), round + 1);
        assert!(page.epoch > epoch, "{} after {epoch}", page.epoch);
        assert_eq!(client.position().1, 1 - index);
    }
    let closed = closed_paths(&client, begin).await;
    assert_eq!(closed, paths);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_on_while_the_active_one_dies() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    hadoop.write("/dies/a", "text").unwrap();
    let started = Instant::now();
    let reading = {
        let client = client.clone();
        tokio::spawn(async move {
            let mut answers = 0;
            while started.elapsed() < Duration::from_secs(10) {
                let status = client.file_status(b"/dies/a").await.unwrap();
                assert!(status.is_some(), "a standby was believed");
                answers += 1;
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            answers
        })
    };
    let dead = client.position().1;
    tokio::task::block_in_place(|| {
        hadoop.kill_name_node().unwrap();
        hadoop.fail_over().unwrap();
        hadoop.write("/dies/b", "text").unwrap();
        hadoop.restart_name_node(dead).unwrap();
    });
    assert!(reading.await.unwrap() > 100);
    assert!(client.file_status(b"/dies/b").await.unwrap().is_some());
    assert_eq!(client.position().1, 1 - dead);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_never_read() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    hadoop.write("/standby/a", "text").unwrap();
    assert!(client.file_status(b"/standby/a").await.unwrap().is_some());
    let standby = 1 - client.position().1;
    let alone = client_of_one(&hadoop, standby, Duration::from_secs(1));
    let refused = alone.file_status(b"/standby/a").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Retry);
    assert!(refused.to_string().contains("not the active NameNode"), "{refused}");
    assert!(alone.edits_from(1).await.is_err());
    assert!(alone.current_transaction_id().await.is_err());
    assert!(alone.list(b"/", b"", true).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_term_of_the_other_namenode_that_was_purged_is_a_gap() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    let fail_over = || tokio::task::block_in_place(|| hadoop.fail_over()).unwrap();
    // A term of the one, a term of the other that is purged, and the first one again: it still has
    // its own first term on its disk.
    hadoop.write("/hole/first", "text").unwrap();
    let position = client.current_transaction_id().await.unwrap() - 2;
    fail_over();
    hadoop.write("/hole/purged", "text").unwrap();
    tokio::task::block_in_place(|| hadoop.purge_edits()).unwrap();
    fail_over();
    hadoop.write("/hole/last", "text").unwrap();

    let resumed = self::client(&hadoop).await;
    let mut next = position;
    let edits = loop {
        let edits = resumed.edits_from(next).await.unwrap();
        if edits.has_gap() {
            break edits;
        }
        let paths = format!("{edits:?}");
        assert!(!paths.contains("/hole/last"), "the hole was skipped: {paths}");
        next = edits.last_txid.unwrap() + 1;
    };
    assert!(edits.first_txid > Some(next), "{edits:?}");
}

/// Paths under `/rounds` that were closed after a transaction, followed to the present end.
async fn closed_paths(client: &Client, after: u64) -> Vec<String> {
    let end = client.current_transaction_id().await.unwrap();
    let mut next = after + 1;
    let mut closed = Vec::new();
    while next <= end {
        let edits = client.edits_from(next).await.unwrap();
        assert!(!edits.has_gap() && !edits.is_beyond_end(), "{edits:?}");
        for event in edits.batches.iter().flat_map(|batch| &batch.events) {
            if let Event::Close { path, .. } = event {
                closed.push(String::from_utf8(path.to_vec()).unwrap());
            }
        }
        next = edits.last_txid.map_or(next, |last| last + 1);
    }
    closed.retain(|path| path.starts_with("/rounds/"));
    closed
}
