//! One real NameNode, three DataNodes, and Hadoop's own client as the oracle.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod events;
mod fsimage;
mod listing;
mod outage;
mod reading;
mod writing;

use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, OnceCell};
use whimbrel_hdfs::{Client, Configuration, Settings};
use whimbrel_testbed::{Hadoop, HadoopOptions};

static CLUSTER: OnceCell<Mutex<Hadoop>> = OnceCell::const_new();

/// The cluster that all tests of this binary share, one test at a time: some of them stop servers.
async fn cluster() -> MutexGuard<'static, Hadoop> {
    let start = async || Mutex::new(Hadoop::start(&HadoopOptions::default()).unwrap());
    CLUSTER.get_or_init(start).await.lock().await
}

fn configuration(hadoop: &Hadoop) -> Configuration {
    Configuration::read(&hadoop.configuration_directory()).unwrap()
}

async fn client(hadoop: &Hadoop) -> Client {
    client_of(hadoop, hadoop.superuser()).await
}

async fn client_of(hadoop: &Hadoop, user: &str) -> Client {
    let mut settings = Settings::new(user);
    settings.caller_context = "hdfs-tests".to_owned();
    Client::connect(&configuration(hadoop), "", settings).await.unwrap()
}

fn create(path: &str, bytes: u64, seed: u64) -> Value {
    json!({"operation": "create", "path": path, "bytes": bytes, "seed": seed})
}

/// Text that is the same on both sides of the pipe, so that both know every byte.
fn text(length: usize, seed: u64) -> String {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040);
            char::from(b' ' + ((state >> 33) % 95) as u8)
        })
        .collect()
}
