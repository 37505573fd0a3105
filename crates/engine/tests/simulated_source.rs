//! The simulator's source held against a real NameNode: the same random programs are refused alike,
//! leave the same tree, and give the same events in the same transactions.
//!
//! `WHIMBREL_PROGRAM=N` plays one program alone, aloud.

#![allow(clippy::unwrap_used, reason = "outside of the test functions too a failure ends the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};
use whimbrel_core::entry::Node;
use whimbrel_core::event::EventBatch;
use whimbrel_core::identity::Identity;
use whimbrel_core::metadata::Metadata;
use whimbrel_core::number::TxId;
use whimbrel_core::path::RelPath;
use whimbrel_sim::options::Options;
use whimbrel_sim::program;
use whimbrel_sim::world::acl::rwx;
use whimbrel_sim::world::file::BLOCK_BYTES;
use whimbrel_sim::world::source::Source as World;
use whimbrel_sim::world::step::Step;
use whimbrel_store::hdfs::{HdfsSettings, HdfsSource};
use whimbrel_store::source::{ChangeStream, Poll, Source};
use whimbrel_testbed::{Hadoop, HadoopOptions};

const PROGRAMS: u64 = 300;
/// The trees are compared after each of so many parts of a program.
const PARTS: usize = 5;
/// Random operations of a part; each takes some steps.
const OPERATIONS: usize = 6;
/// Every program has it for itself.
const ROOT: &str = "/world";

#[tokio::test(flavor = "multi_thread")]
async fn the_simulated_source_does_what_a_name_node_does() {
    let one: Option<u64> = std::env::var("WHIMBREL_PROGRAM").ok().map(|n| n.parse().unwrap());
    let options = HadoopOptions { data_nodes: 1, ..HadoopOptions::default() }
        .with("dfs.namenode.fs-limits.min-block-size", BLOCK_BYTES)
        .with("dfs.bytes-per-checksum", BLOCK_BYTES);
    let hadoop = Hadoop::start(&options).unwrap();
    let reality = Reality::open(hadoop).await;
    let mut failed = Vec::new();
    for seed in one.map_or(1..=PROGRAMS, |seed| seed..=seed) {
        if let Err(difference) = reality.play(seed, one.is_some()).await {
            println!("program {seed}: {difference}");
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "WHIMBREL_PROGRAM=N plays one of these again: {failed:?}");
}

/// A NameNode and what Whimbrel reads of it.
struct Reality {
    hadoop: Hadoop,
    source: HdfsSource,
    stream: Arc<dyn ChangeStream>,
}

/// One program in the simulated world, and what is known of its counterpart.
struct Program {
    world: World,
    /// The newest transaction when it began: there, and in the world.
    begun: (TxId, TxId),
    /// Files that were opened and not closed, whether they are still there or not.
    handles: BTreeSet<String>,
    /// Numbers of files and directories, there and in the world.
    numbers: Twins<u64>,
    /// Blocks of closed files.
    blocks: Twins<(u64, u64)>,
    aloud: bool,
}

/// What names the same on both sides, one to one.
struct Twins<N>(BTreeMap<N, N>, BTreeMap<N, N>);

impl<N: Copy + Ord> Twins<N> {
    fn new() -> Self {
        Self(BTreeMap::new(), BTreeMap::new())
    }

    fn fit(&mut self, one: N, other: N) -> bool {
        *self.0.entry(one).or_insert(other) == other && *self.1.entry(other).or_insert(one) == one
    }
}

impl Reality {
    async fn open(hadoop: Hadoop) -> Self {
        hadoop.operations(&[json!({"operation": "mkdirs", "path": ROOT})]).unwrap();
        let settings = HdfsSettings {
            url: format!("{}{ROOT}", hadoop.url()),
            configuration: Some(hadoop.configuration_directory()),
            user: hadoop.superuser().to_owned(),
            caller_context: "whimbrel_test".to_owned(),
            acl: true,
            patience: Duration::from_secs(20),
        };
        let source = HdfsSource::open(&settings).await.unwrap();
        let stream = source.stream().await.unwrap();
        Self { hadoop, source, stream }
    }

    async fn play(&self, seed: u64, aloud: bool) -> Result<(), String> {
        let world = World::new();
        let mut program = Program {
            begun: (self.stream.position().await.unwrap(), world.txid),
            world,
            handles: BTreeSet::new(),
            numbers: Twins::new(),
            blocks: Twins::new(),
            aloud,
        };
        let outcome = self.compare(&mut program, seed).await;
        self.clear(&program).await;
        outcome
    }

    async fn compare(&self, program: &mut Program, seed: u64) -> Result<(), String> {
        let mut rng = Rng::with_seed(seed);
        let options = Options::draw(&mut rng);
        for part in 0..=PARTS {
            let mut drawn = program.world.clone();
            let mut steps = set_acl(&mut drawn, seed * 16 + part as u64);
            if part < PARTS {
                for _ in 0..OPERATIONS {
                    steps.extend(program::operate(&mut drawn, &options, &mut rng));
                }
            } else {
                steps.extend(program::settle(&mut drawn));
            }
            self.take(program, steps)?;
            self.compare_trees(program).await?;
        }
        self.compare_events(program).await
    }

    /// Takes the same steps on both sides.
    fn take(&self, program: &mut Program, steps: Vec<Step>) -> Result<(), String> {
        let mut before = program.world.txid.0 - program.begun.1.0;
        let mut requests = Vec::new();
        let mut taken = Vec::new();
        for step in steps {
            let (done, mut of_step) = program.take(&step);
            of_step.push(json!({"operation": "transaction", "path": "/"}));
            taken.push((step, done, program.world.txid.0 - program.begun.1.0, of_step.len()));
            requests.append(&mut of_step);
        }
        let results = self.hadoop.operations(&requests).unwrap();
        let mut results = results.as_slice();
        for (step, done, transaction, count) in taken {
            let (of_step, rest) = results.split_at(count);
            results = rest;
            let there = of_step[count - 1]["txid"].as_u64().unwrap() - program.begun.0.0;
            let error = of_step.iter().find_map(|result| result["error"].as_str());
            let error = error.and_then(|trace| trace.lines().next());
            let refused = error.is_some() || of_step.iter().any(|it| it["done"] == json!(false));
            if program.aloud {
                println!("{step:?}: {done}, +{transaction}; there +{there} {error:?}");
            }
            let effect = !refused && there > before;
            if (done, transaction) != (effect, there) {
                return Err(format!(
                    "{step:?}: {done}, +{transaction}; there {effect}, +{there} {error:?}"
                ));
            }
            before = there;
        }
        Ok(())
    }

    async fn compare_trees(&self, program: &mut Program) -> Result<(), String> {
        let there = self.tree().await;
        let paths: BTreeSet<RelPath> = there.keys().cloned().chain(program.world.paths()).collect();
        for path in paths {
            let (one, other) = (program.world.stat(&path), there.get(&path).cloned());
            let (shape, shape_there) = (one.as_ref().map(shape), other.as_ref().map(shape));
            if shape != shape_there {
                return Err(format!("{path}: {shape:?}; there {shape_there:?}"));
            }
            let (Some(one), Some(other)) = (one, other) else { continue };
            if !program.numbers.fit(number(&one), number(&other)) {
                return Err(format!("{path}: another file; {one:?}; there {other:?}"));
            }
            if let (Some(blocks), Some(blocks_there)) = (blocks(&one), blocks(&other))
                && !program.blocks.fit(blocks, blocks_there)
            {
                return Err(format!("{path}: other blocks; {one:?}; there {other:?}"));
            }
        }
        Ok(())
    }

    async fn tree(&self) -> BTreeMap<RelPath, Node> {
        let mut found = BTreeMap::new();
        let mut directories = vec![RelPath::root()];
        while let Some(directory) = directories.pop() {
            let mut after: Option<Vec<u8>> = None;
            loop {
                let page = self.source.list(&directory, after.as_deref()).await.unwrap().unwrap();
                after = page.entries.last().map(|entry| entry.path.name().to_vec());
                for entry in page.entries {
                    if matches!(entry.node, Node::Directory(_)) {
                        directories.push(entry.path.clone());
                    }
                    found.insert(entry.path, entry.node);
                }
                if !page.more {
                    break;
                }
            }
        }
        found
    }

    async fn compare_events(&self, program: &Program) -> Result<(), String> {
        let (begun_there, begun) = program.begun;
        let world = program.world.events_after(begun, usize::MAX).unwrap().batches;
        let world: Vec<EventBatch> = world.into_iter().map(|it| since(it, begun)).collect();
        let (newest, mut applied) = (self.stream.position().await.unwrap(), begun_there);
        let mut there = Vec::new();
        while applied < newest {
            let Poll::Reply(reply) = self.stream.poll(applied).await.unwrap() else {
                return Err("a gap in the stream".to_owned());
            };
            there.extend(reply.batches.into_iter().map(|it| since(it, begun_there)));
            applied = reply.applied;
        }
        match world.iter().zip(&there).find(|(one, other)| one != other) {
            Some((one, other)) => Err(format!("{one:?}; there {other:?}")),
            None if world.len() != there.len() => {
                Err(format!("{} transactions with events; there {}", world.len(), there.len()))
            }
            None => Ok(()),
        }
    }

    /// Leaves an empty root to the next program.
    async fn clear(&self, program: &Program) {
        let close = |handle| json!({"operation": "close", "handle": handle, "may_fail": true});
        let mut requests: Vec<Value> = program.handles.iter().map(close).collect();
        let tree = self.tree().await;
        for path in tree.keys().filter(|path| path.parent() == Some(RelPath::root())) {
            requests.push(json!({"operation": "delete", "path": format!("{ROOT}/{path}")}));
        }
        self.hadoop.operations(&requests).unwrap();
    }
}

impl Program {
    /// Takes a step in the world; returns whether it was done, and what asks HDFS for the same.
    /// Nothing does where HDFS has no such question, as to close a file that nobody opened.
    fn take(&mut self, step: &Step) -> (bool, Vec<Value>) {
        let at = |world: &World, path: &RelPath| world.stat(path).as_ref().map(number);
        let handle = |number: Option<u64>| number.unwrap_or_default().to_string();
        let (before, world) = (self.world.clone(), &mut self.world);
        let done = step.carry_out(world);
        let request = |name: &str, path: &RelPath, more: Value| {
            let path = format!("{ROOT}/{path}");
            let mut request = json!({"operation": name, "path": path, "may_fail": true});
            for (key, value) in more.as_object().unwrap() {
                request[key] = value.clone();
            }
            request
        };
        let file = json!({"parents": false, "block_bytes": BLOCK_BYTES, "replication": 1});
        let requests = match step {
            Step::MakeDirectory(path) => vec![request("mkdirs", path, json!({"parents": false}))],
            Step::Create(path) | Step::Append(path) => {
                let handle = handle(at(world, path).filter(|_| done));
                let mut open = request("open", path, file);
                open["append"] = json!(matches!(step, Step::Append(_)));
                open["handle"] = json!(handle);
                self.handles.insert(handle);
                vec![open]
            }
            Step::Close(path, bytes) if done => {
                let handle = handle(at(&before, path));
                self.handles.remove(&handle);
                let more = json!({"handle": handle, "bytes": bytes});
                vec![request("write", path, more.clone()), request("close", path, more)]
            }
            Step::Rewrite(path) if done => vec![request("rewrite_same", path, file)],
            Step::Close(..) | Step::Rewrite(_) => Vec::new(),
            Step::Truncate(path) => {
                let length = world.stat(path).filter(|_| done).map_or(0, |node| length(&node));
                vec![request("truncate", path, json!({"length": length}))]
            }
            Step::ChangeMode(path, mode) => {
                vec![request("set_permission", path, json!({"mode": format!("{mode:o}")}))]
            }
            Step::SetAcl(path, acl) => vec![request("set_acl", path, json!({"acl": acl}))],
            Step::Delete(path) => vec![request("delete", path, json!({}))],
            Step::Rename { from, to, overwrite } => {
                let name = if *overwrite { "rename_overwrite" } else { "rename_new" };
                vec![request(name, from, json!({"to": format!("{ROOT}/{to}")}))]
            }
        };
        (done, requests)
    }
}

/// What the simulator's programs lack: every other part begins with it.
fn set_acl(world: &mut World, seed: u64) -> Vec<Step> {
    let mut rng = Rng::with_seed(!seed);
    let Some(path) = rng.choice(world.paths()).filter(|_| rng.bool()) else { return Vec::new() };
    let [owner, alice, group, other] = [0; 4].map(|_| rwx(rng.u32(..8)));
    let acl = format!("user::{owner},user:alice:{alice},group::{group},other::{other}");
    let step = Step::SetAcl(path, acl);
    step.carry_out(world);
    vec![step]
}

fn since(batch: EventBatch, begun: TxId) -> EventBatch {
    EventBatch { txid: TxId(batch.txid.0 - begun.0), ..batch }
}

/// What is told of a path besides numbers and times.
fn shape(node: &Node) -> String {
    match node {
        Node::File(file) => {
            let Metadata { mode, acl, .. } = &file.metadata;
            // Nobody reads the length of an open file.
            let length = (!file.open).then(|| length(node));
            format!("a file of {length:?} bytes, mode {mode:o}, ACL {acl:?}")
        }
        Node::Directory(directory) => {
            let Metadata { mode, acl, .. } = &directory.metadata;
            format!("a directory, mode {mode:o}, ACL {acl:?}, empty {:?}", directory.empty)
        }
        Node::Special(kind) => kind.clone(),
    }
}

fn length(node: &Node) -> u64 {
    match node {
        Node::File(file) => file.identity.length(),
        Node::Directory(_) | Node::Special(_) => 0,
    }
}

fn number(node: &Node) -> u64 {
    match node {
        Node::File(file) => file.identity.file_key().unwrap_or_default(),
        Node::Directory(directory) => directory.file_key,
        Node::Special(_) => 0,
    }
}

/// Of a closed file: its number and the digest of its blocks.
fn blocks(node: &Node) -> Option<(u64, u64)> {
    match node {
        Node::File(file) if !file.open => match &file.identity {
            Identity::Hdfs { file_id, blocks, .. } => Some((*file_id, *blocks)),
            Identity::Local { .. }
            | Identity::Object { .. }
            | Identity::Marker
            | Identity::Unknown => None,
        },
        Node::File(_) | Node::Directory(_) | Node::Special(_) => None,
    }
}
