//! A real HDFS in one JVM, steered through lines of JSON on its standard input.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{folder, group_processor_seconds, tail};
use crate::{TestbedError, install_hadoop};

/// The OS user that the cluster believes to run as: the superuser of its file system.
const SUPERUSER: &str = "hdfs";

/// What to start.
#[derive(Debug, Clone)]
pub struct HadoopOptions {
    /// Two NameNodes with three journal nodes in place of one NameNode.
    pub high_availability: bool,
    /// DataNodes to start.
    pub data_nodes: usize,
    /// Any Hadoop settings, for the servers and for the client configuration both.
    pub settings: Vec<(String, String)>,
    /// Upper bound of the JVM's heap.
    pub heap_megabytes: usize,
    /// The JVM spends its time on better code: pays from a minute of work on.
    pub long_running: bool,
}

impl Default for HadoopOptions {
    fn default() -> Self {
        Self {
            high_availability: false,
            data_nodes: 3,
            settings: Vec::new(),
            heap_megabytes: 1024,
            long_running: false,
        }
    }
}

impl HadoopOptions {
    /// Adds one Hadoop setting, such as `dfs.namenode.accesstime.precision` = `0`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.settings.push((key.to_owned(), value.to_string()));
        self
    }

    /// Two NameNodes in place of one.
    #[must_use]
    pub fn highly_available(mut self) -> Self {
        self.high_availability = true;
        self
    }
}

/// Sizes of generated files.
#[derive(Debug, Clone, Copy)]
pub enum FileSizes {
    /// All of one length in bytes.
    Fixed(u64),
    /// Log-normal, cut at the maximum.
    LogNormal {
        /// Half of the files are smaller.
        median_bytes: u64,
        /// Standard deviation of the logarithm.
        sigma: f64,
        /// No file is larger.
        maximum_bytes: u64,
    },
}

impl FileSizes {
    /// The distribution of the yardstick, scaled down: mean about 46 kB, blocks of 1 MiB.
    pub const YARDSTICK: Self =
        Self::LogNormal { median_bytes: 20_000, sigma: 1.3, maximum_bytes: 8 << 20 };
}

/// Which files to generate.
#[derive(Debug, Clone)]
pub struct CreateFiles {
    /// Absolute path of the folder that they go under.
    pub directory: String,
    /// How many.
    pub count: u64,
    /// Folders `d00000`, `d00001`, … that they are spread over; 1 puts them in `directory` itself.
    pub directories: u64,
    /// Their sizes.
    pub sizes: FileSizes,
    /// Decides names, sizes and contents.
    pub seed: u64,
}

/// Counters of the servers, since each was last started.
#[derive(Debug, Clone)]
pub struct Stats {
    /// Bytes that clients have read from DataNodes.
    pub bytes_read: u64,
    /// Blocks that clients have opened on DataNodes.
    pub blocks_read: u64,
    /// Everything: calls by name per NameNode, counters per DataNode.
    pub all: Value,
}

impl Stats {
    /// How often the NameNodes were called under that name, such as `getListing`.
    #[must_use]
    pub fn calls(&self, name: &str) -> u64 {
        let servers = self.all["name_nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
        servers.iter().filter_map(|server| server["calls"][name].as_u64()).sum()
    }
}

/// A running cluster; it ends when this is dropped or its process dies.
#[derive(Debug)]
pub struct Hadoop {
    description: Value,
    pipes: Mutex<Pipes>,
    child: Mutex<Child>,
    directory: TempDir,
}

#[derive(Debug)]
struct Pipes {
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Hadoop {
    /// Installs Hadoop when needed and starts a cluster; returns when it takes writes.
    ///
    /// # Errors
    /// [`TestbedError::Install`], or [`TestbedError::Start`] with the end of the log.
    pub fn start(options: &HadoopOptions) -> Result<Self, TestbedError> {
        let installation = install_hadoop()?;
        let directory = folder("hadoop")?;
        let log = directory.path().join("hadoop.log");
        let errors = directory.path().join("stderr.log");
        let errors_file = File::create(&errors).map_err(TestbedError::file(&errors))?;
        let mut command = java(&installation.class_path, options.heap_megabytes, &log);
        command.arg(format!("-XX:SharedArchiveFile={}", installation.class_archive.display()));
        if !options.long_running {
            command.arg("-XX:TieredStopAtLevel=1");
        }
        command.arg("whimbrel.testbed.ControlMain").arg("--base-directory").arg(directory.path());
        if options.high_availability {
            command.arg("--high-availability");
        }
        command.args(["--data-nodes", &options.data_nodes.to_string()]);
        command.args(options.settings.iter().map(|(key, value)| format!("-D{key}={value}")));
        let mut child = command
            // Ctrl-C is for the program that was started by hand; the pipe tells the rest.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors_file)
            .spawn()
            .map_err(|error| TestbedError::start("java", error))?;
        let (Some(requests), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(TestbedError::start("java", "its pipes are missing"));
        };
        let mut pipes = Pipes { requests: Some(requests), answers: BufReader::new(answers) };
        let description = pipes.answer("start").map_err(|error| {
            let _ = child.kill();
            let _ = child.wait();
            TestbedError::start("Hadoop", format!("{error}\n{}{}", tail(&errors), tail(&log)))
        })?;
        Ok(Self { description, pipes: Mutex::new(pipes), child: Mutex::new(child), directory })
    }

    /// The URL of the root, without a trailing slash: `hdfs://HOST:PORT` or `hdfs://NAMESERVICE`.
    #[must_use]
    pub fn url(&self) -> &str {
        self.description["url"].as_str().unwrap_or_default()
    }

    /// A value for `HADOOP_CONF_DIR`.
    #[must_use]
    pub fn configuration_directory(&self) -> PathBuf {
        PathBuf::from(self.description["configuration_directory"].as_str().unwrap_or_default())
    }

    /// A value for `HADOOP_USER_NAME` that may do everything.
    #[must_use]
    pub fn superuser(&self) -> &str {
        self.description["superuser"].as_str().unwrap_or_default()
    }

    /// `HOST:PORT` of each NameNode's calls, as they were at the start.
    #[must_use]
    pub fn name_nodes(&self) -> Vec<String> {
        texts(&self.description["name_nodes"])
    }

    /// `HOST:PORT` of each NameNode's web interface.
    #[must_use]
    pub fn http_addresses(&self) -> Vec<String> {
        texts(&self.description["http_addresses"])
    }

    /// `HOST:PORT` of each DataNode's data transfer.
    #[must_use]
    pub fn data_nodes(&self) -> Vec<String> {
        texts(&self.description["data_nodes"])
    }

    /// What its servers have worked since they were started, in seconds of a processor.
    #[must_use]
    pub fn processor_seconds(&self) -> f64 {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        group_processor_seconds(child.id())
    }

    /// The servers' log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.directory.path().join("hadoop.log")
    }

    /// Sends one control command and waits for its end. Every command of `testbed/README.md` goes
    /// through here; the methods below are for the usual ones.
    ///
    /// # Errors
    /// [`TestbedError::Command`] with the exception that the cluster answered.
    pub fn command(&self, request: &Value) -> Result<Value, TestbedError> {
        let what = request["command"].as_str().unwrap_or("command").to_owned();
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        let line = format!("{request}\n");
        let written = match &mut pipes.requests {
            Some(requests) => requests.write_all(line.as_bytes()).and_then(|()| requests.flush()),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        };
        written.map_err(|error| TestbedError::command(&what, error))?;
        pipes.answer(&what)
    }

    /// Runs operations of the file system in order, each an object with `operation` and `path`;
    /// returns one result object for each.
    ///
    /// # Errors
    /// The first operation that fails, unless it says `"may_fail": true`.
    pub fn operations(&self, operations: &[Value]) -> Result<Vec<Value>, TestbedError> {
        let answer = self.command(&json!({"command": "operations", "operations": operations}))?;
        Ok(answer["results"].as_array().cloned().unwrap_or_default())
    }

    /// Writes files with eight threads; returns their total size in bytes.
    ///
    /// # Errors
    /// As [`Hadoop::command`].
    pub fn create_files(&self, files: &CreateFiles) -> Result<u64, TestbedError> {
        let mut request = json!({
            "command": "create_files",
            "directory": files.directory,
            "count": files.count,
            "directories": files.directories,
            "seed": files.seed,
        });
        match files.sizes {
            FileSizes::Fixed(bytes) => request["bytes"] = json!(bytes),
            FileSizes::LogNormal { median_bytes, sigma, maximum_bytes } => {
                request["median_bytes"] = json!(median_bytes);
                request["sigma"] = json!(sigma);
                request["maximum_bytes"] = json!(maximum_bytes);
            }
        }
        Ok(self.command(&request)?["bytes"].as_u64().unwrap_or_default())
    }

    /// Writes `text` into a new file, over an old one.
    ///
    /// # Errors
    /// As [`Hadoop::command`].
    pub fn write(&self, path: &str, text: &str) -> Result<(), TestbedError> {
        self.operations(&[json!({"operation": "create", "path": path, "text": text})]).map(drop)
    }

    /// Ends the running segment of the edit log.
    ///
    /// # Errors
    /// As [`Hadoop::command`].
    pub fn roll_edits(&self) -> Result<(), TestbedError> {
        self.plain("roll_edits")
    }

    /// Writes checkpoints and deletes the edits before them; returns the first transaction left.
    ///
    /// # Errors
    /// As [`Hadoop::command`].
    pub fn purge_edits(&self) -> Result<u64, TestbedError> {
        let answer = self.command(&json!({"command": "purge"}))?;
        Ok(answer["first_txid"].as_u64().unwrap_or_default())
    }

    /// Makes the other NameNode active.
    ///
    /// # Errors
    /// When there is no other one running.
    pub fn fail_over(&self) -> Result<(), TestbedError> {
        self.plain("failover")
    }

    /// Ends the active NameNode; nothing takes its place until [`Hadoop::fail_over`].
    ///
    /// # Errors
    /// As [`Hadoop::command`].
    pub fn kill_name_node(&self) -> Result<(), TestbedError> {
        self.plain("kill_name_node")
    }

    /// Starts a NameNode again on its old address and waits until it serves.
    ///
    /// # Errors
    /// As [`Hadoop::command`].
    pub fn restart_name_node(&self, index: usize) -> Result<(), TestbedError> {
        self.indexed("restart_name_node", index)
    }

    /// Stops a DataNode, known by its place in [`Hadoop::data_nodes`].
    ///
    /// # Errors
    /// When it is stopped already.
    pub fn stop_data_node(&self, index: usize) -> Result<(), TestbedError> {
        self.indexed("stop_data_node", index)
    }

    /// Starts it again on its old port.
    ///
    /// # Errors
    /// When it is running.
    pub fn restart_data_node(&self, index: usize) -> Result<(), TestbedError> {
        self.indexed("restart_data_node", index)
    }

    /// Enters or leaves safe mode, in which the NameNode refuses changes.
    ///
    /// # Errors
    /// As [`Hadoop::command`].
    pub fn set_safe_mode(&self, enter: bool) -> Result<(), TestbedError> {
        self.command(&json!({"command": "safe_mode", "enter": enter})).map(drop)
    }

    /// Flips bytes in all replicas of a file's first block.
    ///
    /// # Errors
    /// As [`Hadoop::command`].
    pub fn corrupt_block(&self, path: &str) -> Result<(), TestbedError> {
        self.command(&json!({"command": "corrupt_block", "path": path})).map(drop)
    }

    /// Turns one bit of a file in every replica below the `DataNodes`, whose checksums stay as they
    /// are; the same call again turns it back.
    ///
    /// # Errors
    /// As [`Hadoop::command`]; also when the file has no such byte.
    pub fn flip_bit(&self, path: &str, position: u64) -> Result<(), TestbedError> {
        self.command(&json!({"command": "flip_bit", "path": path, "position": position})).map(drop)
    }

    /// The servers' counters.
    ///
    /// # Errors
    /// As [`Hadoop::command`].
    pub fn stats(&self) -> Result<Stats, TestbedError> {
        let all = self.command(&json!({"command": "stats"}))?;
        let count = |name: &str| all[name].as_u64().unwrap_or_default();
        Ok(Stats { bytes_read: count("bytes_read"), blocks_read: count("blocks_read"), all })
    }

    /// What Hadoop's own client decodes of the event stream after a transaction: batches of
    /// `txid` and `events`.
    ///
    /// # Errors
    /// As [`Hadoop::command`].
    pub fn events_after(&self, txid: i64) -> Result<Vec<Value>, TestbedError> {
        let answer = self.command(&json!({"command": "events", "after_txid": txid}))?;
        Ok(answer["batches"].as_array().cloned().unwrap_or_default())
    }

    fn plain(&self, command: &str) -> Result<(), TestbedError> {
        self.command(&json!({"command": command})).map(drop)
    }

    fn indexed(&self, command: &str, index: usize) -> Result<(), TestbedError> {
        self.command(&json!({"command": command, "index": index})).map(drop)
    }
}

impl Drop for Hadoop {
    fn drop(&mut self) {
        // The JVM ends when its standard input does, and deletes its folder.
        self.pipes.lock().unwrap_or_else(PoisonError::into_inner).requests = None;
        let _ = self.child.lock().unwrap_or_else(PoisonError::into_inner).wait();
    }
}

impl Pipes {
    fn answer(&mut self, what: &str) -> Result<Value, TestbedError> {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        if !matches!(read, Ok(bytes) if bytes > 0) {
            return Err(TestbedError::command(what, "the cluster's process has ended"));
        }
        let answer: Value =
            serde_json::from_str(&line).map_err(|error| TestbedError::command(what, error))?;
        if answer["ok"] == json!(false) {
            let trace = answer["trace"].as_str().unwrap_or_default();
            return Err(TestbedError::command(what, trace));
        }
        Ok(answer)
    }
}

/// A JVM with the settings that a mini cluster needs.
pub(crate) fn java(class_path: &str, heap_megabytes: usize, log: &Path) -> Command {
    let mut command = Command::new("java");
    command
        .arg(format!("-Xmx{heap_megabytes}m"))
        .arg("-XX:+UseSerialGC")
        // Standard output belongs to the answers.
        .args(["-Xlog:disable", "-Xlog:all=error:stderr"])
        .arg("--add-opens=java.base/java.lang=ALL-UNNAMED")
        .arg("-Dwhimbrel.log.level=INFO")
        .arg(format!("-Dwhimbrel.log.file={}", log.display()))
        .args(["-cp", class_path])
        .env("HADOOP_USER_NAME", SUPERUSER)
        .env("LC_ALL", "C.UTF-8")
        .env_remove("HADOOP_CONF_DIR");
    command
}

fn texts(array: &Value) -> Vec<String> {
    let elements = array.as_array().map(Vec::as_slice).unwrap_or_default();
    elements.iter().filter_map(|element| element.as_str().map(str::to_owned)).collect()
}
