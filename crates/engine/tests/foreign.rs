//! Somebody else writes to the target during a migration (rule 4.4).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "outside of the test functions too a failure ends the test"
)]

mod ground;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use ground::{Ground, finished};
use whimbrel_core::config::{Config, Existing};
use whimbrel_core::effect::Expected;
use whimbrel_core::path::RelPath;
use whimbrel_engine::{Control, Ending, EngineError, Outcome, RunResult, Setup, run};
use whimbrel_store::key::KeyMap;
use whimbrel_store::local::LocalSource;
use whimbrel_store::s3::{FixedCredentials, S3Settings, S3Target};
use whimbrel_store::target::{Stamp, Target};
use whimbrel_testbed::{S3Server, VersityGateway};

fn replacing() -> Config {
    Config { existing: Existing::Replace, ..Config::default() }
}

fn ends_for_a_word(result: &RunResult) {
    let guard = matches!(result.ending, Ending::Failed(EngineError::Guard { .. }));
    assert!(guard, "{result:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_4_4_foreign_file_of_a_local_target_stays() {
    let ground = Ground::new();
    for name in ["changed", "removed", "untouched"] {
        ground.write(name, b"first");
    }
    assert_eq!(ground.migrate(Config::default()).await.outcome(), Outcome::Equal);
    let read = |name: &str| fs::read(ground.target().join(name)).unwrap();
    for name in ["changed", "removed"] {
        fs::write(ground.target().join(name), b"somebody else's").unwrap();
    }
    ground.write("changed", b"second");
    ground.write("untouched", b"second");
    fs::remove_file(ground.source().join("removed")).unwrap();
    ends_for_a_word(&ground.migrate(Config::default()).await);
    assert_eq!(read("changed"), b"somebody else's");
    assert_eq!(read("removed"), b"somebody else's");
    assert_eq!(read("untouched"), b"second", "the rest goes on");
    ends_for_a_word(&ground.migrate(Config::default()).await);
    assert_eq!(ground.migrate(replacing()).await.outcome(), Outcome::Equal);
    assert_eq!(read("changed"), b"second");
    assert_eq!(read("removed"), b"somebody else's", "it is an extra now");
}

struct Bucket {
    ground: Ground,
    gateway: VersityGateway,
}

impl Bucket {
    async fn target(&self) -> S3Target {
        let endpoint = self.gateway.endpoint();
        let settings = S3Settings {
            url: "s3://bucket/p".to_owned(),
            endpoint: Some(endpoint.url.clone()),
            region: Some(endpoint.region.clone()),
            credentials: Some(FixedCredentials {
                access_key_id: endpoint.access_key.clone(),
                secret_access_key: endpoint.secret_key.clone().into(),
                session_token: None,
            }),
            ..S3Settings::default()
        };
        S3Target::open(&settings).await.unwrap()
    }

    async fn migrate(&self, config: Config) -> RunResult {
        let source = Arc::new(LocalSource::open(&self.ground.source()).unwrap());
        let target = self.target().await;
        target.probe().await.unwrap();
        let setup = Setup::new(self.ground.state(), source, Arc::new(target));
        let keys = KeyMap::new(b"p", &[]).unwrap();
        let (_control, orders) = Control::channel();
        finished(run(Setup { config, keys, ..setup }, orders)).await
    }

    async fn intrude(&self, name: &str) {
        let stamp = Stamp { migration: "somebody".to_owned(), attempt: 1, metadata: None };
        let body = vec![Bytes::from("somebody else's")];
        let key = format!("p/{name}");
        let target = self.target().await;
        target.put(key.as_bytes(), body.into(), &stamp, &Expected::Anything).await.unwrap();
    }

    async fn read(&self, name: &str) -> Vec<u8> {
        let target = self.target().await;
        let pieces = target.read(format!("p/{name}").as_bytes());
        pieces.try_collect::<Vec<Bytes>>().await.unwrap().concat()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_4_4_foreign_object_of_a_bucket_stays() {
    let gateway = VersityGateway::start().unwrap();
    gateway.create_bucket("bucket").unwrap();
    let bucket = Bucket { ground: Ground::new(), gateway };
    let large = ground::content(1, 17 << 20);
    for name in ["changed", "removed", "untouched"] {
        bucket.ground.write(name, b"first");
    }
    bucket.ground.write("large", b"small yet");
    assert_eq!(bucket.migrate(Config::default()).await.outcome(), Outcome::Equal);
    for name in ["changed", "removed", "large"] {
        bucket.intrude(name).await;
    }
    bucket.ground.write("changed", b"second");
    bucket.ground.write("untouched", b"second");
    bucket.ground.write("large", &large);
    fs::remove_file(bucket.ground.source().join("removed")).unwrap();
    ends_for_a_word(&bucket.migrate(Config::default()).await);
    for name in ["changed", "removed", "large"] {
        assert_eq!(bucket.read(name).await, b"somebody else's", "{name}");
    }
    assert_eq!(bucket.read("untouched").await, b"second", "the rest goes on");
    assert_eq!(bucket.migrate(replacing()).await.outcome(), Outcome::Equal);
    assert_eq!(bucket.read("changed").await, b"second");
    assert!(bucket.read("large").await == large);
    assert_eq!(bucket.read("removed").await, b"somebody else's", "it is an extra now");
}

/// It cannot be written there, and somebody else's object stays: people are told, and it ends.
#[tokio::test(flavor = "multi_thread")]
async fn rule_4_4_foreign_object_where_an_empty_directory_belongs_ends_the_run() {
    let gateway = VersityGateway::start().unwrap();
    gateway.create_bucket("bucket").unwrap();
    let bucket = Bucket { ground: Ground::new(), gateway };
    bucket.ground.write("f", b"first");
    bucket.ground.write("other", b"first");
    assert_eq!(bucket.migrate(Config::default()).await.outcome(), Outcome::Equal);
    bucket.intrude("f").await;
    fs::remove_file(bucket.ground.source().join("f")).unwrap();
    fs::create_dir(bucket.ground.source().join("f")).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(30), bucket.migrate(Config::default()));
    let ended = ended.await.expect("it ends");
    let parked: Vec<&RelPath> = ended.parked.iter().map(|parked| &parked.path).collect();
    assert_eq!((ended.progress.failures, parked), (1, vec![&"f".into()]), "it is told");
    assert_eq!(bucket.read("f").await, b"somebody else's");
}
