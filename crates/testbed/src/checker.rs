//! The independent checker: Hadoop's Java client and AWS's Java SDK, no code of Whimbrel's.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::{Hadoop, HadoopInstallation, S3Endpoint, TestbedError, install_hadoop};

/// Compares trees on HDFS, S3 and the local file system.
#[derive(Debug, Clone)]
pub struct Checker {
    installation: HadoopInstallation,
    environment: Vec<(&'static str, String)>,
}

/// What the checker found.
#[derive(Debug, Clone)]
pub struct CheckReport {
    /// Nothing is wrong.
    pub equal: bool,
    /// What is: objects with `path`, `kind` and `detail`, or `marker`, `file` and `found`.
    pub findings: Vec<Value>,
    /// Counts.
    pub summary: Value,
}

/// A poll for commits that come too early; it goes on until [`CommitPoll::finish`].
#[derive(Debug)]
pub struct CommitPoll {
    child: Child,
}

impl Checker {
    /// Installs what it needs.
    ///
    /// # Errors
    /// [`TestbedError::Install`].
    pub fn new() -> Result<Self, TestbedError> {
        Ok(Self { installation: install_hadoop()?, environment: Vec::new() })
    }

    /// `hdfs:` means that cluster from now on.
    #[must_use]
    pub fn with_hadoop(self, hadoop: &Hadoop) -> Self {
        self.with_configuration(hadoop.configuration_directory(), hadoop.superuser())
    }

    /// `hdfs:` means what that Hadoop configuration says, as that user.
    #[must_use]
    pub fn with_configuration(mut self, directory: PathBuf, user: &str) -> Self {
        self.environment.push(("HADOOP_CONF_DIR", directory.display().to_string()));
        self.environment.push(("HADOOP_USER_NAME", user.to_owned()));
        self
    }

    /// `s3:` means that server from now on.
    #[must_use]
    pub fn with_s3(mut self, endpoint: &S3Endpoint) -> Self {
        self.environment.extend(endpoint.environment());
        self
    }

    /// Compares every path, length, byte and metadata of two trees (`hdfs://`, `s3://` or local),
    /// under the default exclusions. `arguments` may hold `--ignore-extras`, `--ignore-metadata`,
    /// `--ignore-directory-times`, `--no-default-excludes`, `--exclude GLOB`.
    ///
    /// # Errors
    /// [`TestbedError::Command`] when a side cannot be listed.
    pub fn compare(
        &self,
        source: &str,
        target: &str,
        arguments: &[&str],
    ) -> Result<CheckReport, TestbedError> {
        let mut command = self.java();
        command.args(["compare", source, target]).args(arguments).stdin(Stdio::null());
        report("compare", spawn(&mut command)?)
    }

    /// Compares paths, kinds and lengths of a tree with what Hadoop's own S3A client lists of a
    /// target (`s3://`), directory by directory and all files at once, under the default
    /// exclusions.
    ///
    /// # Errors
    /// [`TestbedError::Command`] when a side cannot be listed.
    pub fn read_back(&self, source: &str, target: &str) -> Result<CheckReport, TestbedError> {
        let mut command = self.java();
        command.args(["read-back", source, target]).stdin(Stdio::null());
        report("read back", spawn(&mut command)?)
    }

    /// Watches a target of a churn for a `_SUCCESS` that stands before its files.
    ///
    /// # Errors
    /// [`TestbedError::Start`].
    pub fn poll_commits(&self, target: &str) -> Result<CommitPoll, TestbedError> {
        let mut command = self.java();
        command.args(["poll-commits", target]).stdin(Stdio::piped());
        Ok(CommitPoll { child: spawn(&mut command)? })
    }

    /// Does to the objects of a target what others may do, by the SDK of AWS, in order; each is an
    /// object with `operation` and `path` (`testbed/README.md`).
    ///
    /// # Errors
    /// [`TestbedError::Command`] when the server refuses one; those before it are done.
    pub fn s3_operations(&self, target: &str, operations: &[Value]) -> Result<(), TestbedError> {
        let failed = |error| TestbedError::command("S3 operations", error);
        let mut command = self.java();
        let mut child = spawn(command.args(["s3-operations", target]).stdin(Stdio::piped()))?;
        if let Some(mut requests) = child.stdin.take() {
            let lines: String = operations.iter().map(|line| format!("{line}\n")).collect();
            requests.write_all(lines.as_bytes()).map_err(failed)?;
        }
        report("S3 operations", child).map(drop)
    }

    /// Makes a bucket on the server, signed.
    ///
    /// # Errors
    /// [`TestbedError::Command`] when the server refuses.
    pub fn create_bucket(&self, name: &str) -> Result<(), TestbedError> {
        let status = self.java().args(["create-bucket", name]).stdin(Stdio::null()).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(TestbedError::command("create bucket", status)),
            Err(error) => Err(TestbedError::command("create bucket", error)),
        }
    }

    fn java(&self) -> Command {
        let mut command = Command::new("java");
        command
            .args(["-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xlog:disable"])
            .arg(format!("-XX:SharedArchiveFile={}", self.installation.class_archive.display()))
            // One kept connection per thread that compares.
            .args(["-Dhttp.maxConnections=16", "-Dwhimbrel.log.level=ERROR"])
            .args(["-Dwhimbrel.log.file=/dev/stderr", "-cp", &self.installation.class_path])
            .arg("whimbrel.checker.CheckMain")
            .env("LC_ALL", "C.UTF-8")
            .envs(self.environment.iter().cloned());
        command
    }
}

impl CommitPoll {
    /// Ends the poll; `findings` holds the commits that came too early, `summary` the number of
    /// `markers` seen and how late the latest of them was, `latest_seconds`.
    ///
    /// # Errors
    /// [`TestbedError::Command`] when the target could not be polled.
    pub fn finish(mut self) -> Result<CheckReport, TestbedError> {
        drop(self.child.stdin.take());
        report("poll commits", self.child)
    }
}

fn spawn(command: &mut Command) -> Result<Child, TestbedError> {
    command.stdout(Stdio::piped()).spawn().map_err(|error| TestbedError::start("java", error))
}

fn report(what: &str, mut child: Child) -> Result<CheckReport, TestbedError> {
    let mut findings = Vec::new();
    let mut summary = None;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.map_err(|error| TestbedError::command(what, error))?;
            let value: Value =
                serde_json::from_str(&line).map_err(|error| TestbedError::command(what, error))?;
            if value["type"] == json!("summary") {
                summary = Some(value);
            } else {
                findings.push(value);
            }
        }
    }
    let status = child.wait().map_err(|error| TestbedError::command(what, error))?;
    match summary {
        Some(summary) => {
            Ok(CheckReport { equal: summary["equal"] == json!(true), findings, summary })
        }
        None => Err(TestbedError::command(what, format!("{status}, without a summary"))),
    }
}
