//! The `whimbrel` command, built and started as a user starts it.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::process::{cargo, run, target};

/// How often a wait looks whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Twice what a migration takes at most to stop.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// Which of the possible commands.
#[derive(Clone, Debug, Default, Args)]
pub struct Edition {
    /// Optimised, which takes longer to build.
    #[arg(long)]
    pub release: bool,
    /// This one, built elsewhere.
    #[arg(long, value_name = "FILE", conflicts_with = "release")]
    pub whimbrel: Option<PathBuf>,
}

/// The command with the environment that it is started in.
#[derive(Clone, Debug)]
pub struct Whimbrel {
    binary: PathBuf,
    environment: Vec<(String, String)>,
}

/// A `whimbrel migrate --json` that runs; killed when this is dropped.
#[derive(Debug)]
pub struct Migration {
    child: Child,
    seen: Arc<Mutex<Seen>>,
    reader: Option<JoinHandle<()>>,
}

/// What a migration has said on standard output.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Its latest `progress` line; null before the first.
    pub progress: Value,
    /// Its `result` line; null before the end.
    pub result: Value,
    /// Its `problem` lines.
    pub problems: Vec<Value>,
}

impl Whimbrel {
    /// Builds it, or takes the one that is named.
    pub fn get(edition: &Edition) -> Result<Self, Box<dyn Error>> {
        if let Some(binary) = &edition.whimbrel {
            return Ok(Self { binary: binary.canonicalize()?, environment: Vec::new() });
        }
        let mut build = cargo();
        build.args(["build", "--package", "whimbrel-cli", "--bin", "whimbrel"]);
        if edition.release {
            build.arg("--release");
        }
        run(&mut build)?;
        let profile = if edition.release { "release" } else { "debug" };
        let binary = std::path::absolute(target().join(profile).join("whimbrel"))?;
        Ok(Self { binary, environment: Vec::new() })
    }

    /// Where it lies.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Started with these variables from now on.
    #[must_use]
    pub fn with<Name: Into<String>>(
        mut self,
        environment: impl IntoIterator<Item = (Name, String)>,
    ) -> Self {
        let added = environment.into_iter().map(|(name, value)| (name.into(), value));
        self.environment.extend(added);
        self
    }

    /// A call that ends when this thread does, whatever ends it. The process is the command's own:
    /// `setpriv` replaces itself.
    pub fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM"]).arg(&self.binary);
        command.stdin(Stdio::null()).envs(self.environment.iter().cloned());
        command
    }

    /// Starts `migrate ARGUMENTS --json`.
    pub fn migrate(&self, arguments: &[String]) -> Result<Migration, Box<dyn Error>> {
        let mut command = self.command();
        command.arg("migrate").args(arguments).arg("--json").stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or("its standard output is missing")?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = seen.clone();
        let reader = Some(std::thread::spawn(move || read(output, &shared)));
        Ok(Migration { child, seen, reader })
    }

    /// Runs `COMMAND ARGUMENTS --json` to its end; gives the exit code and what it said.
    pub fn answer(
        &self,
        name: &str,
        arguments: &[String],
    ) -> Result<(i32, Vec<Value>), Box<dyn Error>> {
        let mut command = self.command();
        command.args(name.split(' ')).args(arguments).arg("--json").stderr(Stdio::inherit());
        let output = command.output()?;
        let code = output.status.code().ok_or("it was ended by a signal")?;
        let lines = std::str::from_utf8(&output.stdout)?.lines().map(serde_json::from_str);
        Ok((code, lines.collect::<Result<_, _>>()?))
    }

    /// Begins `COMMAND ARGUMENTS --json`, of which nobody hears what it says.
    pub fn begin(&self, name: &str, arguments: &[String]) -> Result<Child, Box<dyn Error>> {
        let mut command = self.command();
        command.arg(name).args(arguments).arg("--json").stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command.spawn()?)
    }

    /// What `status` says of a state folder.
    pub fn status(&self, name: &str, state: &str) -> Result<Value, Box<dyn Error>> {
        let mut command = self.command();
        command.args(["status", name, "--state", state, "--json"]);
        let text = crate::process::output(&mut command)?;
        Ok(serde_json::from_str(text.lines().last().unwrap_or_default())?)
    }
}

impl Migration {
    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said until now.
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> Result<bool, Box<dyn Error>> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits until its progress is as wanted; fails when it ends before, or takes too long.
    pub fn wait_for(
        &mut self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Seen) -> bool,
    ) -> Result<(), Box<dyn Error>> {
        let begin = Instant::now();
        loop {
            let seen = self.seen();
            if wanted(&seen) {
                return Ok(());
            }
            if !self.is_running()? {
                return Err(format!("it ended before {what}: {}", self.seen().result).into());
            }
            if begin.elapsed() > limit {
                return Err(format!("no {what} after {limit:?}: {}", seen.progress).into());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Ends it by SIGKILL.
    pub fn kill(mut self) -> Result<Seen, Box<dyn Error>> {
        self.child.kill()?;
        self.child.wait()?;
        self.read_to_end();
        Ok(self.seen())
    }

    /// Asks it to end in good order; it has ten seconds for what is in flight.
    pub fn stop(self) -> Result<(i32, Seen), Box<dyn Error>> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        self.finish(STOP_LIMIT)
    }

    /// Waits for its own end; gives the exit code and what it said.
    pub fn finish(mut self, limit: Duration) -> Result<(i32, Seen), Box<dyn Error>> {
        let begin = Instant::now();
        while self.is_running()? {
            if begin.elapsed() > limit {
                let progress = self.seen().progress;
                return Err(format!("it has not ended after {limit:?}: {progress}").into());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let code = self.child.wait()?.code().ok_or("it was ended by a signal")?;
        self.read_to_end();
        Ok((code, self.seen()))
    }

    fn read_to_end(&mut self) {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Migration {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(output: ChildStdout, seen: &Mutex<Seen>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let Ok(value) = serde_json::from_str::<Value>(&line) else {
            eprintln!("not JSON: {line}");
            continue;
        };
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        match value["type"].as_str() {
            Some("progress") => seen.progress = value,
            Some("problem") => seen.problems.push(value),
            Some("result") => seen.result = value,
            Some(_) | None => {}
        }
    }
}
