//! Live migrations from a real NameNode to a real S3 server, compared by Hadoop's own client and
//! AWS's own SDK.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "outside of the test functions too a failure ends the test"
)]

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use whimbrel_core::config::Config;
use whimbrel_core::metadata::MetadataLevel;
use whimbrel_core::path::Namespace;
use whimbrel_core::scope::{DEFAULT_EXCLUSIONS, Scope, ScopeRules};
use whimbrel_engine::{Control, Ending, Outcome, RunResult, Setup, State, run};
use whimbrel_store::hdfs::{HdfsSettings, HdfsSource};
use whimbrel_store::key::KeyMap;
use whimbrel_store::s3::{FixedCredentials, S3Settings, S3Target};
use whimbrel_testbed::{
    Checker, CreateFiles, FileSizes, Hadoop, HadoopOptions, S3Server, VersityGateway,
};

const BUCKET: &str = "bucket";

/// A cluster, a server and a state folder.
struct Ground {
    hadoop: Hadoop,
    gateway: VersityGateway,
    state: TempDir,
}

impl Ground {
    fn start() -> Self {
        let hadoop = Hadoop::start(&HadoopOptions::default()).unwrap();
        let gateway = VersityGateway::start().unwrap();
        gateway.create_bucket(BUCKET).unwrap();
        Self { hadoop, gateway, state: TempDir::new().unwrap() }
    }

    async fn setup(&self, config: Config) -> Setup {
        let state = State::open(self.state.path(), Namespace::Tree, Vec::new()).unwrap();
        let source = HdfsSource::open(&HdfsSettings {
            url: format!("{}/data", self.hadoop.url()),
            configuration: Some(self.hadoop.configuration_directory()),
            user: self.hadoop.superuser().to_owned(),
            caller_context: "whimbrel".to_owned(),
            acl: true,
            patience: Duration::from_secs(10),
        })
        .await
        .unwrap();
        let endpoint = self.gateway.endpoint();
        let settings = S3Settings {
            url: format!("s3://{BUCKET}/p"),
            endpoint: Some(endpoint.url.clone()),
            region: Some(endpoint.region.clone()),
            credentials: Some(FixedCredentials {
                access_key_id: endpoint.access_key.clone(),
                secret_access_key: endpoint.secret_key.clone().into(),
                session_token: None,
            }),
            ..S3Settings::default()
        };
        let target = S3Target::open(&settings).await.unwrap();
        target.probe().await.unwrap();
        let rules = ScopeRules {
            component_excludes: DEFAULT_EXCLUSIONS.map(str::to_owned).to_vec(),
            ..ScopeRules::default()
        };
        Setup {
            config,
            keys: KeyMap::new(b"p", &[]).unwrap(),
            scope: Scope::new(&rules).unwrap(),
            ..Setup::new(state, Arc::new(source), Arc::new(target))
        }
    }

    async fn assert_equal(&self, result: &RunResult) {
        let checker =
            Checker::new().unwrap().with_hadoop(&self.hadoop).with_s3(self.gateway.endpoint());
        let source = format!("{}/data", self.hadoop.url());
        let compared = tokio::task::spawn_blocking(move || {
            checker.compare(&source, &format!("s3://{BUCKET}/p"), &[]).unwrap()
        });
        let report = compared.await.unwrap();
        assert!(report.equal, "{report:#?} after {result:#?}");
    }
}

fn quiet_after(millis: u64) -> Config {
    Config { live: true, until_quiet_millis: Some(millis), ..Config::default() }
}

async fn finished(task: tokio::task::JoinHandle<RunResult>) -> RunResult {
    tokio::time::timeout(Duration::from_secs(180), task).await.expect("it hangs").unwrap()
}

/// A change of extended attributes shows in nothing else that the NameNode says of a file: told by
/// the stream, and found by a run that has none.
#[tokio::test(flavor = "multi_thread")]
async fn changed_attributes_are_carried() {
    let ground = Ground::start();
    for name in ["a", "b", "c"] {
        ground.hadoop.write(&format!("/data/{name}"), name).unwrap();
    }
    let set = |path: &str, text: &str| json!({"operation": "set_xattr", "path": path, "name": "user.n", "text": text});
    ground.hadoop.operations(&[set("/data/a", "1")]).unwrap();
    for (live, updated) in [(true, 0), (true, 2), (false, 2)] {
        let quiet = quiet_after(2_000);
        let until_quiet_millis = quiet.until_quiet_millis.filter(|_| live);
        let metadata = MetadataLevel::Full;
        let config = Config { live, metadata, until_quiet_millis, ..quiet };
        let setup = ground.setup(config).await;
        let target = setup.target.clone();
        let (_control, orders) = Control::channel();
        let result = finished(tokio::spawn(async { run(setup, orders).await.unwrap() })).await;
        assert_eq!(result.outcome(), Outcome::Equal, "{result:?}");
        assert_eq!(result.progress.run.metadata_updated, updated, "{live} {result:?}");
        let copied = if updated == 0 { 3 } else { 0 };
        assert_eq!(result.progress.run.files_copied, copied, "{live} {result:?}");
        let source = ground.setup(Config::default()).await.source;
        for name in ["a", "b", "c"] {
            let expected = source.xattrs(&name.into()).await.unwrap();
            let object = target.inspect(format!("p/{name}").as_bytes()).await.unwrap().unwrap();
            assert_eq!(object.metadata.unwrap().xattrs, expected, "{name} {updated}");
        }
        let text = format!("after {live} {updated}");
        ground.hadoop.operations(&[set("/data/a", &text), set("/data/b", &text)]).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hundred_files_and_what_happens_to_them_meanwhile() {
    let ground = Ground::start();
    let sizes = FileSizes::YARDSTICK;
    let files =
        CreateFiles { directory: "/data".into(), count: 100, directories: 10, sizes, seed: 1 };
    ground.hadoop.create_files(&files).unwrap();
    let setup = ground.setup(quiet_after(3_000)).await;
    let (mut control, orders) = Control::channel();
    let task = tokio::spawn(async move { run(setup, orders).await.unwrap() });
    while !control.progress().scanned {
        assert!(control.changed().await, "it ended: {:?}", control.progress());
    }
    ground
        .hadoop
        .operations(&[
            json!({"operation": "create", "path": "/data/new/a", "text": "a"}),
            json!({"operation": "create", "path": "/data/new/_temporary/b", "text": "b"}),
            json!({"operation": "rename", "path": "/data/new/_temporary/b", "to": "/data/new/b"}),
            json!({"operation": "mkdirs", "path": "/data/hollow"}),
            json!({"operation": "rename", "path": "/data/d00001", "to": "/data/moved"}),
            json!({"operation": "delete", "path": "/data/d00002", "recursive": true}),
            json!({"operation": "set_owner", "path": "/data/new/a", "owner": "zoe", "group": "g"}),
        ])
        .unwrap();
    let result = finished(task).await;
    assert_eq!(result.ending, Ending::Done);
    assert_eq!(result.outcome(), Outcome::Equal, "{:?}", result.parked);
    assert!(result.progress.run.changes_seen >= 7, "{:?}", result.progress);
    assert!(result.progress.run.files_relocated >= 5, "{:?}", result.progress);
    ground.assert_equal(&result).await;

    let before = ground.hadoop.stats().unwrap().bytes_read;
    ground
        .hadoop
        .operations(&[
            json!({"operation": "create", "path": "/data/later", "text": "later"}),
            json!({"operation": "set_owner", "path": "/data/new/b", "owner": "ann", "group": "g"}),
        ])
        .unwrap();
    let setup = ground.setup(quiet_after(2_000)).await;
    let (_control, orders) = Control::channel();
    let again = finished(tokio::spawn(async move { run(setup, orders).await.unwrap() })).await;
    assert_eq!(again.outcome(), Outcome::Equal, "{again:?}");
    assert_eq!(again.progress.run.files_copied, 1, "only what happened since");
    assert_eq!(again.progress.run.metadata_updated, 1, "{again:?}");
    ground.assert_equal(&again).await;
    let read = ground.hadoop.stats().unwrap().bytes_read - before;
    assert!(read < 1_000_000, "{read} bytes were read for five and an owner");
}

/// What an earlier scope had left out was never listed by a run that followed the stream on, and no
/// event named it.
#[tokio::test(flavor = "multi_thread")]
async fn a_wider_scope_is_scanned_though_the_stream_was_followed() {
    let ground = Ground::start();
    for name in ["a/one", "x/two"] {
        ground.hadoop.write(&format!("/data/{name}"), name).unwrap();
    }
    let rules = ScopeRules { excludes: vec!["x".into()], ..ScopeRules::default() };
    for scope in [Scope::new(&rules).unwrap(), Scope::everything()] {
        let setup = Setup { scope, ..ground.setup(quiet_after(1_000)).await };
        let (_control, orders) = Control::channel();
        let result = finished(tokio::spawn(async { run(setup, orders).await.unwrap() })).await;
        assert_eq!(result.outcome(), Outcome::Equal, "{result:?}");
        assert_eq!(result.progress.run.gaps, 0, "{result:?}");
        if result.progress.counters.files_copied == 2 {
            ground.assert_equal(&result).await;
            return;
        }
    }
    panic!("the excluded file was never copied");
}
