//! The generator of changes that runs inside the cluster's process.

use serde_json::{Value, json};

use crate::{Hadoop, TestbedError};

/// Which changes to make; the seed decides what each thread does, in which order.
#[derive(Debug, Clone)]
pub struct ChurnOptions {
    /// Absolute path of the folder to change; `/outside-NAME` beside it is used too.
    pub directory: String,
    /// Decides the program.
    pub seed: u64,
    /// Of all threads together; many operations are several calls.
    pub operations_per_second: f64,
    /// How long.
    pub seconds: u64,
    /// Threads, each with a part of the folder of its own.
    pub threads: u64,
    /// Replicas of the files that it makes.
    pub replication: u64,
}

impl ChurnOptions {
    /// 300 operations a second by 8 threads for a minute.
    #[must_use]
    pub fn new(directory: &str, seed: u64) -> Self {
        Self {
            directory: directory.to_owned(),
            seed,
            operations_per_second: 300.0,
            seconds: 60,
            threads: 8,
            replication: 1,
        }
    }
}

/// What was done.
#[derive(Debug, Clone)]
pub struct ChurnReport {
    /// Operations that went through.
    pub operations: u64,
    /// Operations that HDFS refused; 0 on an undisturbed cluster.
    pub failed: u64,
    /// From the start to the last operation's end.
    pub seconds: f64,
    /// Counts by name, and the first failures.
    pub all: Value,
}

impl Hadoop {
    /// Starts to change a folder in the background.
    ///
    /// # Errors
    /// As [`Hadoop::command`]; also when a churn is running.
    pub fn start_churn(&self, options: &ChurnOptions) -> Result<(), TestbedError> {
        let request = json!({
            "command": "churn_start",
            "directory": options.directory,
            "seed": options.seed,
            "operations_per_second": options.operations_per_second,
            "seconds": options.seconds,
            "threads": options.threads,
            "replication": options.replication,
        });
        self.command(&request).map(drop)
    }

    /// Ends the churn before its time.
    ///
    /// # Errors
    /// As [`Hadoop::command`].
    pub fn stop_churn(&self) -> Result<(), TestbedError> {
        self.command(&json!({"command": "churn_stop"})).map(drop)
    }

    /// Whether the churn goes on.
    ///
    /// # Errors
    /// As [`Hadoop::command`].
    pub fn churn_is_running(&self) -> Result<bool, TestbedError> {
        Ok(self.command(&json!({"command": "churn_running"}))?["running"] == json!(true))
    }

    /// Waits for the end of the churn and for every file to be closed. Other commands wait behind
    /// this one: where a test breaks something meanwhile, it polls [`Hadoop::churn_is_running`].
    ///
    /// # Errors
    /// As [`Hadoop::command`]; also when a file cannot be closed.
    pub fn wait_for_churn(&self) -> Result<ChurnReport, TestbedError> {
        let all = self.command(&json!({"command": "churn_wait"}))?;
        Ok(ChurnReport {
            operations: all["operations_total"].as_u64().unwrap_or_default(),
            failed: all["failed"].as_u64().unwrap_or_default(),
            seconds: all["seconds"].as_f64().unwrap_or_default(),
            all,
        })
    }
}
