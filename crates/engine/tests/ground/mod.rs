//! Two real directories and a state folder.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, reason = "shared by several tests")]

pub mod recording;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use whimbrel_core::config::Config;
use whimbrel_core::path::Namespace;
use whimbrel_engine::{Control, RunResult, Setup, State, run};
use whimbrel_store::local::{LocalSource, LocalTarget};

/// A source, a target and a state folder.
pub struct Ground {
    pub root: TempDir,
}

impl Ground {
    pub fn new() -> Self {
        let root = TempDir::new().unwrap();
        fs::create_dir(root.path().join("source")).unwrap();
        Self { root }
    }

    pub fn source(&self) -> PathBuf {
        self.root.path().join("source")
    }

    pub fn target(&self) -> PathBuf {
        self.root.path().join("target")
    }

    pub fn write(&self, path: &str, content: &[u8]) {
        let path = self.source().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn state(&self) -> State {
        let fixed = vec![("source".to_owned(), self.source().display().to_string())];
        State::open(&self.root.path().join("state"), Namespace::Tree, fixed).unwrap()
    }

    pub fn setup(&self, config: Config) -> Setup {
        let state = self.state();
        let source = Arc::new(LocalSource::open(&self.source()).unwrap());
        let keep = state.uploads().unwrap();
        let target = LocalTarget::open(&self.target(), state.migration(), &keep).unwrap();
        Setup { config, ..Setup::new(state, source, Arc::new(target)) }
    }

    pub async fn migrate(&self, config: Config) -> RunResult {
        let (_control, orders) = Control::channel();
        finished(run(self.setup(config), orders)).await
    }

    pub fn assert_equal(&self) {
        assert_eq!(tree(&self.target()), tree(&self.source()));
    }
}

pub async fn finished(
    running: impl Future<Output = Result<RunResult, whimbrel_engine::EngineError>>,
) -> RunResult {
    tokio::time::timeout(Duration::from_secs(60), running).await.expect("it hangs").unwrap()
}

/// Every path below, directories with a slash at the end, with length and CRC32C of files.
pub fn tree(root: &Path) -> BTreeMap<String, (usize, u32)> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if name.starts_with(".whimbrel") {
                continue;
            }
            if path.is_dir() {
                found.insert(format!("{name}/"), (0, 0));
                open.push(path);
            } else {
                let content = fs::read(&path).unwrap();
                found.insert(name, (content.len(), crc32c::crc32c(&content)));
            }
        }
    }
    found
}

pub fn content(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|index| u8::try_from((index * 7 + seed) % 251).unwrap()).collect()
}
