//! One cluster and one S3 server for all races, with a directory, a key prefix and a state folder
//! for each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::TryStreamExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use whimbrel_core::config::Config;
use whimbrel_core::entry::Node;
use whimbrel_core::metadata::Metadata;
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::scope::{DEFAULT_EXCLUSIONS, Scope, ScopeRules};
use whimbrel_engine::{
    BaseSnapshots, Control, Ending, Outcome, Progress, Repair, RunResult, Setup, State, run,
};
use whimbrel_store::hdfs::{HdfsSettings, HdfsSource};
use whimbrel_store::key::KeyMap;
use whimbrel_store::s3::{FixedCredentials, S3Settings, S3Target};
use whimbrel_store::source::Source;
use whimbrel_store::target::Target;
use whimbrel_testbed::{Hadoop, HadoopOptions, S3Server, VersityGateway};

use crate::gates::{Gate, GatedSource, GatedTarget, Gates, Moment};

const BUCKET: &str = "bucket";
/// Names in one page of a listing.
pub const PAGE: usize = 4;
/// Events in one answer of the NameNode.
pub const EVENTS_MAX: usize = 20;
/// Long enough for a test that saw the run at rest to do the next thing.
const QUIET_MILLIS: u64 = 3_000;

static PLAIN: OnceLock<Hadoop> = OnceLock::new();
static AVAILABLE: OnceLock<Hadoop> = OnceLock::new();
static GATEWAY: OnceLock<VersityGateway> = OnceLock::new();
/// Held for writing by the races that disturb the whole cluster.
static ORDER: RwLock<()> = RwLock::const_new(());

/// What keeps others from disturbing.
enum Place {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

/// One race's ground.
pub struct Stage {
    pub hadoop: &'static Hadoop,
    pub gates: Arc<Gates>,
    pub config: Config,
    /// Paths that are worked on at a time, where that matters.
    pub claims_max: Option<usize>,
    /// What snapshots of the source are used for.
    pub repair: Option<Repair>,
    name: &'static str,
    state: TempDir,
    _place: Place,
}

/// A migration that goes on.
pub struct Run {
    pub control: Control,
    task: JoinHandle<RunResult>,
}

fn options() -> HadoopOptions {
    let options = HadoopOptions { data_nodes: 1, heap_megabytes: 512, ..HadoopOptions::default() };
    options
        .with("dfs.replication", 1)
        .with("dfs.ls.limit", PAGE)
        .with("dfs.namenode.inotify.max.events.per.rpc", EVENTS_MAX)
}

fn plain() -> &'static Hadoop {
    PLAIN.get_or_init(|| Hadoop::start(&options()).unwrap())
}

fn available() -> &'static Hadoop {
    AVAILABLE.get_or_init(|| Hadoop::start(&options().highly_available()).unwrap())
}

fn gateway() -> &'static VersityGateway {
    GATEWAY.get_or_init(|| {
        let gateway = VersityGateway::start().unwrap();
        gateway.create_bucket(BUCKET).unwrap();
        gateway
    })
}

impl Stage {
    /// Beside other races.
    pub async fn shared(name: &'static str) -> Self {
        let place = Place::Shared { _guard: ORDER.read().await };
        Self::new(name, plain(), place)
    }

    /// While no other race goes on.
    pub async fn alone(name: &'static str) -> Self {
        let place = Place::Alone { _guard: ORDER.write().await };
        Self::new(name, plain(), place)
    }

    /// Alone with two NameNodes.
    pub async fn available(name: &'static str) -> Self {
        let place = Place::Alone { _guard: ORDER.write().await };
        Self::new(name, available(), place)
    }

    fn new(name: &'static str, hadoop: &'static Hadoop, place: Place) -> Self {
        gateway();
        let config =
            Config { live: true, until_quiet_millis: Some(QUIET_MILLIS), ..Config::default() };
        let gates = Arc::default();
        let state = TempDir::new().unwrap();
        let claims_max = None;
        let repair = None;
        let stage = Self { hadoop, gates, config, claims_max, repair, name, state, _place: place };
        stage.act([mkdirs("")]);
        stage
    }

    /// Does things at the NameNode, one after the other; paths without a leading slash are
    /// relative to the race's own directory.
    pub fn act<const N: usize>(&self, operations: [Value; N]) -> Vec<Value> {
        let operations = operations.map(|mut operation| {
            for field in ["path", "to"] {
                if let Some(path) = operation[field].as_str().map(|path| self.absolute(path)) {
                    operation[field] = path.into();
                }
            }
            if let Some(sources) = operation.get_mut("sources").and_then(Value::as_array_mut) {
                for source in sources {
                    *source = self.absolute(source.as_str().unwrap()).into();
                }
            }
            operation
        });
        self.hadoop.operations(&operations).unwrap()
    }

    /// A path as the NameNode knows it.
    pub fn absolute(&self, path: &str) -> String {
        match path {
            "" => format!("/{}", self.name),
            absolute if absolute.starts_with('/') => absolute.to_owned(),
            relative => format!("/{}/{relative}", self.name),
        }
    }

    /// A directory of the cluster that no migration covers.
    pub fn outside(&self, path: &str) -> String {
        self.act([mkdirs(&format!("/outside/{}", self.name))]);
        format!("/outside/{}/{path}", self.name)
    }

    pub fn gate(&self, moment: Moment, subject: &str) -> Gate {
        self.gates.close(moment, subject)
    }

    /// The stream is held, so that what happens now is heard of together and later.
    pub async fn hold_stream(&self) -> Gate {
        let gate = self.gate(Moment::Polling, "");
        gate.reached().await;
        gate
    }

    async fn source(&self) -> HdfsSource {
        let settings = HdfsSettings {
            url: format!("{}/{}", self.hadoop.url(), self.name),
            configuration: Some(self.hadoop.configuration_directory()),
            user: self.hadoop.superuser().to_owned(),
            caller_context: "whimbrel".to_owned(),
            acl: true,
            patience: Duration::from_secs(10),
        };
        HdfsSource::open(&settings).await.unwrap()
    }

    async fn target(&self) -> S3Target {
        let endpoint = gateway().endpoint();
        let settings = S3Settings {
            url: format!("s3://{BUCKET}/{}", self.name),
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

    /// The state may still be held for a moment by a run that was ended by force.
    async fn state(&self) -> State {
        for _ in 0..100 {
            if let Ok(state) = State::open(self.state.path(), Namespace::Tree, Vec::new()) {
                return state;
            }
            sleep(Duration::from_millis(50)).await;
        }
        State::open(self.state.path(), Namespace::Tree, Vec::new()).unwrap()
    }

    /// Starts the migration of the race's directory, or goes on with it.
    pub async fn start(&self) -> Run {
        let gates = &self.gates;
        let source = self.source().await;
        let snapshots = source.snapshots().unwrap();
        let base_snapshots = Some(BaseSnapshots::new(snapshots, self.name, self.repair));
        let source = GatedSource { inner: Arc::new(source), gates: gates.clone() };
        let prefix = format!("{}/", self.name);
        let target = self.target().await;
        target.probe().await.unwrap();
        let target = GatedTarget { inner: Arc::new(target), gates: gates.clone(), prefix };
        let rules = ScopeRules {
            component_excludes: DEFAULT_EXCLUSIONS.map(str::to_owned).to_vec(),
            ..ScopeRules::default()
        };
        let setup = Setup {
            config: self.config.clone(),
            claims_max: self.claims_max,
            base_snapshots,
            keys: KeyMap::new(self.name.as_bytes(), &[]).unwrap(),
            scope: Scope::new(&rules).unwrap(),
            ..Setup::new(self.state().await, Arc::new(source), Arc::new(target))
        };
        let (control, orders) = Control::channel();
        let task = tokio::spawn(async move { run(setup, orders).await.unwrap() });
        Run { control, task }
    }

    /// Starts it and returns when everything that is there is across.
    pub async fn migrated(&self) -> Run {
        let mut run = self.start().await;
        run.at_rest().await;
        run
    }

    /// Waits for the run's end and compares both sides.
    pub async fn equal(&self, run: Run) -> RunResult {
        let result = run.end().await;
        assert_eq!(result.ending, Ending::Done, "{result:#?}");
        assert_eq!(result.outcome(), Outcome::Equal, "{result:#?}");
        self.compare(&result).await;
        result
    }

    /// For a run that does not end by itself: nothing happens any more, so it is stopped when it
    /// is at rest, and both sides are compared.
    pub async fn equal_at_rest(&self, mut run: Run) {
        run.at_rest().await;
        run.control.stop();
        let result = run.end().await;
        assert_eq!(result.ending, Ending::Stopped, "{result:#?}");
        self.compare(&result).await;
    }

    /// Every path of one side stands on the other, with the same bytes and metadata.
    pub async fn compare(&self, result: &RunResult) {
        let (source, target) = (self.source_tree().await, self.target_tree().await);
        assert_eq!(target, source, "target and source after {:#?}", result.progress);
    }

    /// Files as Hadoop's own client sees them, and directories that need a marker.
    async fn source_tree(&self) -> BTreeMap<String, Standing> {
        let request = json!({"command": "checksums", "path": self.absolute("")});
        let answer = self.hadoop.command(&request).unwrap();
        let root = format!("{}/", self.absolute(""));
        let mut tree = BTreeMap::new();
        for (path, file) in answer["files"].as_object().unwrap() {
            let path = path.strip_prefix(&root).unwrap().to_owned();
            if covered(&path) {
                let length = file["bytes"].as_u64().unwrap();
                let checksum = file["checksum"].as_str().unwrap();
                let crc32c = match length {
                    0 => 0,
                    _ => u32::from_str_radix(checksum, 16).unwrap(),
                };
                tree.insert(path, Standing { length, crc32c, metadata: None });
            }
        }
        let mut listed = BTreeMap::new();
        let mut filled = BTreeSet::new();
        self.walk(RelPath::root(), &mut listed, &mut filled).await;
        for (path, metadata) in listed {
            match (tree.get_mut(&path), metadata) {
                (Some(file), metadata) => file.metadata = metadata,
                (None, Some(_)) => panic!("{path} is listed and Hadoop's client does not see it"),
                (None, None) if filled.contains(&path) => {}
                (None, None) => drop(tree.insert(path, Standing::default())),
            }
        }
        tree
    }

    /// Paths with the metadata of files; directories end with a slash.
    async fn walk(
        &self,
        root: RelPath,
        listed: &mut BTreeMap<String, Option<Metadata>>,
        filled: &mut BTreeSet<String>,
    ) {
        let source = self.source().await;
        let mut directories = vec![root];
        while let Some(directory) = directories.pop() {
            let name = marker(&directory);
            listed.insert(name.clone(), None);
            let mut after: Option<Vec<u8>> = None;
            loop {
                let page = source.list(&directory, after.as_deref()).await.unwrap().unwrap();
                for entry in page.entries {
                    after = Some(entry.path.name().to_vec());
                    if !covered(&entry.path.to_string()) {
                        continue;
                    }
                    filled.insert(name.clone());
                    match entry.node {
                        Node::File(file) => {
                            listed.insert(entry.path.to_string(), Some(file.metadata));
                        }
                        Node::Directory(_) => directories.push(entry.path),
                        Node::Special(what) => panic!("{} is {what}", entry.path),
                    }
                }
                if !page.more {
                    break;
                }
            }
        }
    }

    /// Objects with the bytes that they are made of; markers of directories that hold something
    /// are left out.
    pub async fn target_tree(&self) -> BTreeMap<String, Standing> {
        let target = self.target().await;
        let prefix = format!("{}/", self.name);
        let mut tree = BTreeMap::new();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = target.list(prefix.as_bytes(), after.as_deref()).await.unwrap();
            for object in page.objects {
                after = Some(object.key.clone());
                let path = String::from_utf8(object.key[prefix.len()..].to_vec()).unwrap();
                let content: Vec<bytes::Bytes> =
                    target.read(&object.key).try_collect().await.unwrap();
                let content = content.concat();
                let crc32c = crc32c::crc32c(&content);
                let inspected = target.inspect(&object.key).await.unwrap().unwrap();
                let is_marker = path.is_empty() || path.ends_with('/');
                if !is_marker {
                    assert_eq!(inspected.crc32c, Some(crc32c), "{path}");
                }
                let metadata = inspected.metadata.filter(|_| !is_marker);
                let length = content.len() as u64;
                tree.insert(path, Standing { length, crc32c, metadata });
            }
            if !page.more {
                break;
            }
        }
        let keys: Vec<String> = tree.keys().cloned().collect();
        tree.retain(|path, _| {
            let marker = path.is_empty() || path.ends_with('/');
            !marker || !keys.iter().any(|key| key != path && key.starts_with(path.as_str()))
        });
        tree
    }

    /// The race's name, which handles of open files may have.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Names of the snapshots of the race's directory.
    pub async fn snapshots(&self) -> Vec<String> {
        let page = self.source().await.list(&RelPath::from(".snapshot"), None).await.unwrap();
        let entries = page.unwrap().entries.into_iter();
        entries.map(|entry| String::from_utf8(entry.path.name().to_vec()).unwrap()).collect()
    }

    /// The object's bytes; `None` if none stands there.
    pub async fn object(&self, path: &str) -> Option<Vec<u8>> {
        let key = format!("{}/{path}", self.name).into_bytes();
        let target = self.target().await;
        target.inspect(&key).await.unwrap()?;
        let content: Vec<bytes::Bytes> = target.read(&key).try_collect().await.unwrap();
        Some(content.concat())
    }

    /// Returns when an object stands at a path.
    pub async fn stands(&self, path: &str) {
        for _ in 0..600 {
            if self.object(path).await.is_some() {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("{path} never came to the target");
    }
}

/// What stands at one path of one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub length: u64,
    pub crc32c: u32,
    pub metadata: Option<Metadata>,
}

fn covered(path: &str) -> bool {
    !path.split('/').any(|name| DEFAULT_EXCLUSIONS.contains(&name))
}

fn marker(directory: &RelPath) -> String {
    if directory.is_root() { String::new() } else { format!("{directory}/") }
}

impl Run {
    /// Returns when the run told of itself what is asked for.
    pub async fn until(&mut self, fits: impl Fn(&Progress) -> bool) {
        let waited = timeout(Duration::from_secs(60), async {
            while !fits(&self.control.progress()) {
                assert!(self.control.changed().await, "ended: {:#?}", self.control.progress());
            }
        });
        if waited.await.is_err() {
            panic!("it does not come to it: {:#?}", self.control.progress());
        }
    }

    /// Returns when the scan is over and nothing is pending or being worked on.
    pub async fn at_rest(&mut self) {
        self.until(|now| {
            let pending = now.pending_live + now.pending_backlog + now.pending_metadata;
            now.scanned && pending == 0 && now.claims == 0 && now.attempts == 0
        })
        .await;
    }

    pub async fn end(self) -> RunResult {
        timeout(Duration::from_secs(90), self.task).await.expect("it hangs").unwrap()
    }

    /// Ends it as a crash would: nothing more is done, nothing is put away.
    pub async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

pub fn mkdirs(path: &str) -> Value {
    json!({"operation": "mkdirs", "path": path})
}

pub fn create(path: &str, text: &str) -> Value {
    json!({"operation": "create", "path": path, "text": text})
}

/// `bytes` many bytes that `seed` decides.
pub fn create_large(path: &str, bytes: u64, seed: u64) -> Value {
    json!({"operation": "create", "path": path, "bytes": bytes, "seed": seed})
}

pub fn append(path: &str, text: &str) -> Value {
    json!({"operation": "append", "path": path, "text": text})
}

pub fn rename(from: &str, to: &str) -> Value {
    json!({"operation": "rename", "path": from, "to": to})
}

pub fn rename_over(from: &str, to: &str) -> Value {
    json!({"operation": "rename_overwrite", "path": from, "to": to})
}

pub fn delete(path: &str) -> Value {
    json!({"operation": "delete", "path": path, "recursive": true})
}

pub fn truncate(path: &str, length: u64) -> Value {
    json!({"operation": "truncate", "path": path, "length": length})
}

/// An old file that is open again; `handle` closes it.
pub fn append_open(path: &str, handle: &str) -> Value {
    json!({"operation": "open", "path": path, "handle": handle, "append": true})
}

/// A file that stays open, with text that readers can see; `handle` closes it.
pub fn open(path: &str, handle: &str, text: &str) -> [Value; 3] {
    [
        json!({"operation": "open", "path": path, "handle": handle}),
        json!({"operation": "write", "handle": handle, "text": text}),
        json!({"operation": "hflush", "handle": handle}),
    ]
}

pub fn write(handle: &str, text: &str) -> [Value; 2] {
    [
        json!({"operation": "write", "handle": handle, "text": text}),
        json!({"operation": "hflush", "handle": handle}),
    ]
}

pub fn close(handle: &str) -> Value {
    json!({"operation": "close", "handle": handle})
}
