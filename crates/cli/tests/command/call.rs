//! Runs the real binary with an environment of its own.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A folder for one test: state, source, target.
pub struct Place {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

/// How a call ended.
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A call under way; it ends with its test.
pub struct Running(Option<Child>);

impl Running {
    pub fn of(child: Child) -> Self {
        Self(Some(child))
    }

    pub fn id(&self) -> String {
        self.0.as_ref().map(|child| child.id().to_string()).unwrap()
    }

    /// The same for a call that has to end soon: it is killed when it does not.
    pub fn ended_within(mut self, limit: Duration) -> Ended {
        let started = Instant::now();
        while self.0.as_mut().unwrap().try_wait().unwrap().is_none() {
            assert!(started.elapsed() < limit, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.ended()
    }

    pub fn ended(mut self) -> Ended {
        Ended::of(self.0.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            child.kill().and_then(|()| child.wait()).unwrap();
        }
    }
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    /// Further variables for every call.
    pub fn with(mut self, environment: Vec<(&str, String)>) -> Self {
        let owned = environment.into_iter().map(|(name, value)| (name.to_owned(), value));
        self.environment.extend(owned);
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and the folders above it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.path(name)).ok()
    }

    pub fn command<I: AsRef<OsStr>>(&self, arguments: &[I]) -> Command {
        self.program(env!("CARGO_BIN_EXE_whimbrel"), arguments)
    }

    /// Another program in the same environment.
    pub fn program<I: AsRef<OsStr>>(&self, program: &str, arguments: &[I]) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("XDG_STATE_HOME", self.path("state"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .args(arguments);
        command
    }

    pub fn run<I: AsRef<OsStr>>(&self, arguments: &[I]) -> Ended {
        Ended::of(self.command(arguments).output().unwrap())
    }

    pub fn spawn<I: AsRef<OsStr>>(&self, arguments: &[I]) -> Running {
        Running::of(self.command(arguments).spawn().unwrap())
    }

    /// Every file below a folder with its content, by relative path. What goes away while this
    /// reads is left out: a running migration removes what it probed with.
    pub fn tree(&self, name: &str) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
        let root = self.path(name);
        let mut open = vec![root.clone()];
        let mut files = std::collections::BTreeMap::new();
        while let Some(folder) = open.pop() {
            let Some(entries) = there(std::fs::read_dir(folder)) else { continue };
            for entry in entries {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else if let Some(content) = there(std::fs::read(&path)) {
                    files.insert(path.strip_prefix(&root).unwrap().to_owned(), content);
                }
            }
        }
        files
    }
}

impl Ended {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Every line of standard output; each has to be a JSON object with type and time.
    pub fn lines(&self) -> Vec<Value> {
        let lines: Vec<Value> = self
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect();
        for line in &lines {
            assert!(line["type"].is_string() && line["time"].is_string(), "{line}");
        }
        lines
    }

    /// What people are told of paths.
    pub fn problems(&self) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["type"] == "problem").collect()
    }

    /// The last line, which has to be the result, and the only one.
    pub fn result(&self) -> Value {
        let lines = self.lines();
        let results = lines.iter().filter(|line| line["type"] == "result").count();
        assert_eq!(results, 1, "{}\n{}", self.stdout, self.stderr);
        let last = lines.last().cloned().unwrap();
        assert_eq!(last["type"], "result", "{}", self.stdout);
        last
    }

    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.stdout, self.stderr);
        self
    }
}

/// What was read, or nothing where it was gone.
fn there<T>(read: std::io::Result<T>) -> Option<T> {
    match read {
        Ok(read) => Some(read),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("{error}"),
    }
}

/// Waits until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(60), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
