//! The systems: a NameNode with its recorded stream before it, and a target that takes everything.

use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use whimbrel_testbed::{
    EditsReader, EditsServer, Hadoop, HadoopOptions, NullSink, Recording, S3Server,
};

use super::program;
use crate::bench::rounded;
use crate::process::target;
use crate::whimbrel::{Migration, Whimbrel};

const BUCKET: &str = "events";
const NAME: &str = "events";
const HEAP_MEGABYTES: usize = 2048;
/// Enough for the directories of the load.
const OPERATIONS_FEW: usize = 200;
/// Decides what is done to the NameNode.
const SEED: u64 = 6;
/// How long the scan may take.
const SCAN_LIMIT: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Systems that run, and what was recorded of them.
#[derive(Debug)]
pub struct Ground {
    whimbrel: Whimbrel,
    /// The cluster.
    pub hadoop: Hadoop,
    sink: NullSink,
    recording: Recording,
    /// What the recording is like.
    pub recorded: Value,
}

/// A `whimbrel migrate --live` that has nothing left to do.
#[derive(Debug)]
pub struct Follower {
    whimbrel: Whimbrel,
    /// The command.
    pub migration: Migration,
    folder: TempDir,
}

impl Ground {
    /// Starts them, changes the source, and keeps what the NameNode told of it in a file.
    pub fn start(whimbrel: Whimbrel, operations: usize) -> Result<Self, Box<dyn Error>> {
        Self::recorded(Hadoop::start(&options())?, whimbrel, operations)
    }

    /// The same with a NameNode that tells so many events in one answer.
    pub fn with_answers_of(&self, events: usize) -> Result<Self, Box<dyn Error>> {
        let options = options().with("dfs.namenode.inotify.max.events.per.rpc", events);
        Self::recorded(Hadoop::start(&options)?, self.whimbrel.clone(), OPERATIONS_FEW)
    }

    fn recorded(
        hadoop: Hadoop,
        whimbrel: Whimbrel,
        operations: usize,
    ) -> Result<Self, Box<dyn Error>> {
        let mut reader = reader(&hadoop)?;
        let first = reader.newest_txid()? + 1;
        let begin = Instant::now();
        program::run(&hadoop, operations, SEED)?;
        let seconds = begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        let recording = Recording::of(&mut reader, first)?;
        let read_seconds = begin.elapsed().as_secs_f64();
        let folder = target().join("events");
        std::fs::create_dir_all(&folder)?;
        recording.write(&folder.join("edits"))?;
        let sink = NullSink::start()?;
        let whimbrel = whimbrel
            .with(sink.endpoint().environment())
            .with([("HADOOP_USER_NAME", hadoop.superuser().to_owned())]);
        let mut ground = Self { whimbrel, hadoop, sink, recording, recorded: Value::Null };
        let (events, transactions) = ground.server()?.round();
        let bytes: usize = ground.recording.replies.iter().map(|(_, reply)| reply.len()).sum();
        ground.recorded = json!({
            "operations": operations, "operation_seconds": rounded(seconds), "events": events,
            "transactions": transactions, "replies": ground.recording.replies.len(),
            "bytes": bytes, "read_seconds": rounded(read_seconds),
        });
        Ok(ground)
    }

    /// The recorded stream before the NameNode, silent as yet.
    pub fn server(&self) -> Result<EditsServer, Box<dyn Error>> {
        Ok(EditsServer::start(self.namenode()?, self.newest_txid()?, &self.recording)?)
    }

    /// The NameNode's newest transaction.
    pub fn newest_txid(&self) -> Result<u64, Box<dyn Error>> {
        Ok(reader(&self.hadoop)?.newest_txid()?)
    }

    /// Where the NameNode listens.
    pub fn namenode(&self) -> Result<SocketAddr, Box<dyn Error>> {
        Ok(self.hadoop.name_nodes().first().ok_or("no NameNode")?.parse()?)
    }

    /// Starts the command on a new state and waits until everything is there.
    pub fn follow(
        &self,
        namenode: SocketAddr,
        root: &str,
        more: &[&str],
    ) -> Result<Follower, Box<dyn Error>> {
        self.sink.remove_bucket(BUCKET);
        self.sink.create_bucket(BUCKET)?;
        // Not where memory passes for a disk.
        let folder =
            tempfile::Builder::new().prefix("state-").tempdir_in(target().join("events"))?;
        let state = folder.path().display().to_string();
        let (source, to) = (format!("hdfs://{namenode}{root}"), format!("s3://{BUCKET}/data"));
        let mut arguments = vec![source, to];
        arguments.extend(["--live", "--name", NAME, "--state", &state].map(str::to_owned));
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        let mut migration = self.whimbrel.migrate(&arguments)?;
        migration
            .wait_for("its scan", SCAN_LIMIT, |seen| seen.progress["scanned"] == json!(true))?;
        let follower = Follower { whimbrel: self.whimbrel.clone(), migration, folder };
        let begin = Instant::now();
        while begin.elapsed() < SCAN_LIMIT {
            let status = follower.status()?;
            let idle = ["pending_live", "pending_backlog", "pending_metadata", "claims", "copies"];
            if idle.iter().all(|name| status[name] == json!(0)) {
                return Ok(follower);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Err("its scan left something pending".into())
    }
}

impl Follower {
    /// What its `status` says.
    pub fn status(&self) -> Result<Value, Box<dyn Error>> {
        self.whimbrel.status(NAME, &self.folder.path().display().to_string())
    }
}

fn options() -> HadoopOptions {
    let options = HadoopOptions {
        data_nodes: 1,
        heap_megabytes: HEAP_MEGABYTES,
        long_running: true,
        ..HadoopOptions::default()
    };
    options.with("dfs.replication", 1)
}

/// Reads the edits of the cluster's NameNode.
fn reader(hadoop: &Hadoop) -> Result<EditsReader, Box<dyn Error>> {
    let addresses = hadoop.name_nodes();
    let address = addresses.first().ok_or("no NameNode")?;
    Ok(EditsReader::open(address, hadoop.superuser())?)
}
