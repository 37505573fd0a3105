//! Whole migrations between two real directories through core, ledger and stores.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use whimbrel_core::config::Config;
use whimbrel_core::path::Namespace;
use whimbrel_core::scope::{DEFAULT_EXCLUSIONS, Scope, ScopeRules};
use whimbrel_engine::{Control, Ending, ErrorKind, Outcome, RunResult, Setup, State, run};
use whimbrel_store::local::{LocalSource, LocalTarget};

/// A source, a target and a state folder.
struct Ground {
    root: TempDir,
}

impl Ground {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        fs::create_dir(root.path().join("source")).unwrap();
        Self { root }
    }

    fn source(&self) -> PathBuf {
        self.root.path().join("source")
    }

    fn target(&self) -> PathBuf {
        self.root.path().join("target")
    }

    fn write(&self, path: &str, content: &[u8]) {
        let path = self.source().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn state(&self) -> State {
        let fixed = vec![("source".to_owned(), self.source().display().to_string())];
        State::open(&self.root.path().join("state"), Namespace::Tree, fixed).unwrap()
    }

    fn setup(&self, config: Config) -> Setup {
        let state = self.state();
        let source = Arc::new(LocalSource::open(&self.source()).unwrap());
        let keep = state.uploads().unwrap();
        let target = LocalTarget::open(&self.target(), state.migration(), &keep).unwrap();
        Setup { config, ..Setup::new(state, source, Arc::new(target)) }
    }

    async fn migrate(&self, config: Config) -> RunResult {
        let (_control, orders) = Control::channel();
        finished(run(self.setup(config), orders)).await
    }

    fn assert_equal(&self) {
        assert_eq!(tree(&self.target()), tree(&self.source()));
    }
}

async fn finished(
    running: impl Future<Output = Result<RunResult, whimbrel_engine::EngineError>>,
) -> RunResult {
    tokio::time::timeout(Duration::from_secs(60), running).await.expect("it hangs").unwrap()
}

/// Every path below, directories with a slash at the end, with length and CRC32C of files.
fn tree(root: &Path) -> BTreeMap<String, (usize, u32)> {
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

fn content(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|index| u8::try_from((index * 7 + seed) % 251).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tree_arrives_and_a_second_run_copies_nothing() {
    let ground = Ground::new();
    for number in 0..30 {
        let path = format!("d{}/e{}/f{number}", number % 5, number % 3);
        ground.write(&path, &content(number, number * 997));
    }
    ground.write("large", &content(3, 40 << 20));
    ground.write("empty", b"");
    fs::create_dir_all(ground.source().join("hollow/inner")).unwrap();
    let first = ground.migrate(Config::default()).await;
    assert_eq!(first.ending, Ending::Done, "{:?}", first.parked);
    assert_eq!(first.outcome(), Outcome::Equal);
    assert_eq!(first.progress.run.files_copied, 32);
    ground.assert_equal();

    ground.write("d1/new", b"new");
    ground.write("d2/e2/f2", b"changed");
    fs::remove_file(ground.source().join("d3/e0/f3")).unwrap();
    let second = ground.migrate(Config::default()).await;
    assert_eq!(second.outcome(), Outcome::Equal, "{second:?}");
    assert_eq!(second.progress.run.files_copied, 2);
    assert_eq!(second.progress.counters.files_copied, 34);
    ground.assert_equal();

    let third = ground.migrate(Config::default()).await;
    assert_eq!(third.progress.run.files_copied, 0);
    assert_eq!(third.progress.source_bytes, 0, "nothing is read of what is unchanged");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_state_adopts_what_stands_there() {
    let ground = Ground::new();
    for number in 0..10 {
        ground.write(&format!("f{number}"), &content(number, 1000));
    }
    ground.migrate(Config::default()).await;
    fs::remove_dir_all(ground.root.path().join("state")).unwrap();
    let refused = ground.migrate(Config::default()).await;
    let Ending::Failed(error) = &refused.ending else { panic!("{refused:?}") };
    assert_eq!(error.kind(), ErrorKind::Guard, "objects of another migration: {error}");
    fs::remove_dir_all(ground.root.path().join("state")).unwrap();
    let adopted = ground.migrate(Config { adopt: true, ..Config::default() }).await;
    assert_eq!(adopted.outcome(), Outcome::Equal, "{adopted:?}");
    assert_eq!(adopted.progress.run.files_copied, 0);
    ground.assert_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_scope_leaves_out_does_not_arrive() {
    let ground = Ground::new();
    for path in ["keep/a", "keep/_temporary/0/b", ".Trash/c", "drop/d", "keep/e.tmp"] {
        ground.write(path, path.as_bytes());
    }
    let rules = ScopeRules {
        excludes: vec!["drop".into(), "**/*.tmp".into()],
        component_excludes: DEFAULT_EXCLUSIONS.map(str::to_owned).to_vec(),
        ..ScopeRules::default()
    };
    let setup = Setup { scope: Scope::new(&rules).unwrap(), ..ground.setup(Config::default()) };
    let (_control, orders) = Control::channel();
    let result = finished(run(setup, orders)).await;
    assert_eq!(result.outcome(), Outcome::Equal, "{result:?}");
    let names: Vec<String> = tree(&ground.target()).into_keys().collect();
    assert_eq!(names, vec!["keep/", "keep/a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn state_of_another_migration_is_refused() {
    let ground = Ground::new();
    ground.migrate(Config::default()).await;
    let folder = ground.root.path().join("state");
    let fixed = vec![("source".to_owned(), "file:///elsewhere".to_owned())];
    let refused = State::open(&folder, Namespace::Tree, fixed).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::WrongUse);
    fs::write(folder.join("state.db"), content(1, 50_000)).unwrap();
    let damaged = State::open(&folder, Namespace::Tree, Vec::new()).err().unwrap();
    assert_eq!(damaged.kind(), ErrorKind::Local, "{damaged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn second_process_on_the_same_state_is_refused() {
    let ground = Ground::new();
    let _held = ground.state();
    let refused = State::open(&ground.root.path().join("state"), Namespace::Tree, Vec::new());
    assert_eq!(refused.err().unwrap().kind(), ErrorKind::Local);
}

#[tokio::test(flavor = "multi_thread")]
async fn source_that_is_gone_is_an_error_of_the_source() {
    let ground = Ground::new();
    let setup = ground.setup(Config::default());
    fs::remove_dir_all(ground.source()).unwrap();
    let (_control, orders) = Control::channel();
    let error = run(setup, orders).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source, "{error}");
}
