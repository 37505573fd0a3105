use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Mutex;

use futures_util::StreamExt;
use tempfile::TempDir;
use whimbrel_core::config::Config;
use whimbrel_core::entry::FileNode;
use whimbrel_core::metadata::Metadata;
use whimbrel_core::path::Namespace;
use whimbrel_store::failback::{Carried, Pour, Put};
use whimbrel_store::local::{LocalSource, LocalTarget, OverTarget};
use whimbrel_store::source::{Answer, ByteStream};

use super::*;
use crate::{Control, Ending, Setup, run};

const NO_GUARD: RemovalGuard = RemovalGuard { count_max: None, share_max_percent: None };

/// Two real trees, of which one was migrated to the other.
struct Trees(TempDir);

impl Trees {
    async fn migrated(paths: &[&str]) -> Self {
        let trees = Self(TempDir::new().expect("a folder"));
        for path in paths {
            trees.write("source", path, &format!("first {path}"));
        }
        let source = Arc::new(LocalSource::open(&trees.at("source", "")).expect("opens"));
        let target = LocalTarget::open(&trees.at("target", ""), "m", &[]).expect("opens");
        let setup = Setup {
            config: Config::default(),
            ..Setup::new(trees.state(), source, Arc::new(target))
        };
        let (_control, orders) = Control::channel();
        let result = run(setup, orders).await.expect("it runs");
        assert_eq!(result.ending, Ending::Done);
        trees
    }

    fn at(&self, side: &str, path: &str) -> PathBuf {
        self.0.path().join(side).join(path)
    }

    fn write(&self, side: &str, path: &str, text: &str) {
        let path = self.at(side, path);
        fs::create_dir_all(path.parent().expect("below")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn text(&self, side: &str, path: &str) -> Option<String> {
        fs::read_to_string(self.at(side, path)).ok()
    }

    fn remove(&self, side: &str, path: &str) {
        fs::remove_file(self.at(side, path)).expect("removed");
    }

    fn state(&self) -> State {
        State::open(&self.0.path().join("state"), Namespace::Tree, Vec::new()).expect("opens")
    }

    fn setup(&self) -> FailbackSetup {
        let source: Arc<dyn Source> =
            Arc::new(LocalSource::open(&self.at("source", "")).expect("opens"));
        let over = LocalTarget::open(&self.at("source", ""), "m._COPYING_", &[]).expect("opens");
        FailbackSetup {
            state: self.state(),
            source: source.clone(),
            writer: Arc::new(OverTarget::new(source, over, "m")),
            target: Arc::new(LocalTarget::look_at(&self.at("target", "")).expect("opens")),
            keys: KeyMap::default(),
            scope: Scope::everything(),
            metadata: MetadataLevel::Basic,
            conflicts: Conflicts::Keep,
            guard: NO_GUARD,
            removals_confirmed: false,
            dry_run: false,
            limits: Arc::default(),
            transfers: 4,
        }
    }

    /// What is told, in its order: `removed a`, `conflict b`.
    async fn told(&self, setup: FailbackSetup) -> (FailbackSums, Vec<String>) {
        let mut told = Vec::new();
        let sums = failback(setup, &mut |line| told.push(words(&line))).await.expect("it ends");
        (sums, told)
    }

    /// The same of a dry run, which writes nothing.
    async fn would(&self) -> Vec<String> {
        let (_, would) = self.told(FailbackSetup { dry_run: true, ..self.setup() }).await;
        would
    }
}

fn words(told: &Told) -> String {
    match told {
        Told::Done { path, deed: Deed::Carried } => format!("carried {path}"),
        Told::Done { path, deed: Deed::Removed } => format!("removed {path}"),
        Told::Done { path, deed: Deed::DirectoryMade } => format!("made {path}"),
        Told::Done { path, deed: Deed::DirectoryRemoved } => format!("cleaned {path}"),
        Told::Problem { path, kind, .. } => format!("{kind} {path}"),
    }
}

/// It was told as `moved`, to be said again when nobody writes there, for ever.
#[tokio::test]
async fn bytes_without_their_checksum_are_told_as_such_until_they_are_touched() {
    let trees = Trees::migrated(&["a", "b"]).await;
    let at = trees.at("target", "a");
    let time = fs::metadata(&at).and_then(|file| file.modified()).expect("a time");
    let mut file = fs::OpenOptions::new().write(true).open(&at).expect("opens");
    file.write_all(b"FIRST").expect("written");
    file.set_modified(time).expect("set");
    for _ in 0..2 {
        let (sums, told) = trees.told(trees.setup()).await;
        assert_eq!((sums.failures, told), (1, vec!["corrupt a".to_owned()]));
    }
    assert_eq!(trees.text("source", "a").as_deref(), Some("first a"));
    file.set_modified(time + std::time::Duration::from_secs(1)).expect("touched");
    let (_, told) = trees.told(trees.setup()).await;
    assert_eq!(told, ["carried a"]);
    assert_eq!(trees.text("source", "a").as_deref(), Some("FIRST a"));
}

fn place(told: &[String], line: &str) -> usize {
    let found = told.iter().position(|told| told == line);
    found.unwrap_or_else(|| panic!("{line} in {told:?}"))
}

async fn few_at_once(setup: FailbackSetup) -> (FailbackSums, Vec<String>) {
    let mut told = Vec::new();
    let mut job = Job::open(setup).await.expect("it opens");
    job.missing_max = 3;
    let sums = job.run(&mut |line| told.push(words(&line))).await.expect("it ends");
    (sums, told)
}

/// Conflicts keep their rows, and were told again in place of what comes behind them.
#[tokio::test]
async fn many_removals_in_conflict_hide_none_behind_them() {
    let conflicts: Vec<String> =
        (0..10).map(|number| format!("d{}/{number}", number % 2)).collect();
    let mut paths: Vec<&str> = conflicts.iter().map(String::as_str).collect();
    paths.extend(["stays", "z/gone"]);
    let trees = Trees::migrated(&paths).await;
    for path in &conflicts {
        trees.remove("target", path);
        trees.write("source", path, "second");
    }
    trees.remove("target", "z/gone");
    let (sums, mut told) = few_at_once(trees.setup()).await;
    let mut expected: Vec<String> =
        conflicts.iter().map(|path| format!("conflict {path}")).collect();
    expected.push("removed z/gone".to_owned());
    expected.sort();
    told.sort();
    assert_eq!(told, expected);
    assert_eq!((sums.conflicts, sums.files_removed), (10, 1));
}

#[tokio::test]
async fn the_guard_counts_all_that_is_gone() {
    let paths: Vec<String> = (0..10).map(|number| format!("d/{number}")).collect();
    let mut all: Vec<&str> = paths.iter().map(String::as_str).collect();
    all.push("stays");
    let trees = Trees::migrated(&all).await;
    for path in &paths {
        trees.remove("target", path);
    }
    let guard = |count| RemovalGuard { count_max: Some(count), share_max_percent: Some(10) };
    let (sums, told) = few_at_once(FailbackSetup { guard: guard(9), ..trees.setup() }).await;
    assert_eq!((sums.guarded, told), (10, Vec::new()));
    assert!(trees.at("source", "d/0").exists());
    let (sums, _) = few_at_once(FailbackSetup { guard: guard(10), ..trees.setup() }).await;
    assert_eq!((sums.guarded, sums.files_removed), (0, 10));
}

/// The first call brought a file back, so that the target had one that is known: the same call,
/// said again, removed everything else.
#[tokio::test]
async fn what_is_held_stays_held_when_the_call_is_said_again() {
    let trees = Trees::migrated(&["a", "b", "c"]).await;
    ["a", "b", "c"].iter().for_each(|path| trees.remove("target", path));
    trees.write("target", "new", "new");
    let guard = RemovalGuard { count_max: Some(1_000), share_max_percent: Some(50) };
    let setup = || FailbackSetup { guard, ..trees.setup() };
    for call in 0..3 {
        let (sums, _) = few_at_once(setup()).await;
        assert_eq!((sums.guarded, sums.files_removed), (3, 0), "call {call}");
    }
    let confirmed = FailbackSetup { removals_confirmed: true, ..setup() };
    let (sums, _) = few_at_once(confirmed).await;
    assert_eq!((sums.guarded, sums.files_removed), (0, 3));
    trees.remove("target", "new");
    trees.write("target", "other", "other");
    let (sums, _) = few_at_once(setup()).await;
    assert_eq!(sums.guarded, 1, "nothing that is known is left");
}

/// A person was not asked about what goes after the first look at the target.
#[tokio::test]
async fn what_goes_while_it_runs_waits_for_a_person() {
    let trees = Trees::migrated(&["a", "gone", "late/0", "late/1", "late/2", "stays"]).await;
    trees.write("target", "a", "second a");
    trees.remove("target", "gone");
    let guard = RemovalGuard { count_max: Some(1), share_max_percent: Some(10) };
    let setup = FailbackSetup { guard, ..trees.setup() };
    let mut told = Vec::new();
    let mut tell = |line: Told| {
        if words(&line) == "carried a" {
            (0..3).for_each(|number| trees.remove("target", &format!("late/{number}")));
        }
        told.push(words(&line));
    };
    let sums = failback(setup, &mut tell).await.expect("it ends");
    assert_eq!((sums.guarded, told), (4, vec!["carried a".to_owned()]));
    assert!(trees.at("source", "gone").exists() && trees.at("source", "late/2").exists());
}

/// Has a file of the target written anew, in place, while its bytes are taken the first time.
struct Meddling {
    inner: Arc<dyn Failback>,
    file: Mutex<Option<PathBuf>>,
    at_source: PathBuf,
    /// What stood at the source after that.
    after: Mutex<Option<String>>,
}

impl Failback for Meddling {
    fn admit(&self, path: &RelPath) -> Result<(), StoreError> {
        self.inner.admit(path)
    }

    fn may_write<'a>(&'a self, directory: &'a RelPath, file: bool) -> Answer<'a, ()> {
        self.inner.may_write(directory, file)
    }

    fn calls_per_change(&self) -> u64 {
        self.inner.calls_per_change()
    }

    fn sweep<'a>(&'a self, paths: &'a [RelPath]) -> Answer<'a, ()> {
        self.inner.sweep(paths)
    }

    fn put<'a>(&'a self, file: &'a Carried<'a>, pour: Pour<'a>) -> Answer<'a, Put> {
        Box::pin(async move {
            let meddled = || -> ByteStream {
                let meddle = self.file.lock().expect("free").take();
                let Some(path) = meddle else { return pour() };
                Box::pin(pour().enumerate().map(move |(number, piece)| {
                    if number == 0 {
                        // As databases do it: neither shorter meanwhile nor under another name.
                        let file = fs::OpenOptions::new().write(true).open(&path);
                        let text = "third".repeat(1 << 20);
                        file.expect("stands").write_all(text.as_bytes()).expect("written");
                    }
                    piece
                }))
            };
            let put = self.inner.put(file, &meddled).await;
            let stands = fs::read_to_string(&self.at_source).expect("stands");
            self.after.lock().expect("free").get_or_insert(stands);
            put
        })
    }

    fn make_directory<'a>(
        &'a self,
        path: &'a RelPath,
        metadata: Option<&'a Metadata>,
    ) -> Answer<'a, ()> {
        self.inner.make_directory(path, metadata)
    }

    fn remove<'a>(&'a self, path: &'a RelPath, expected: &'a FileNode) -> Answer<'a, ()> {
        self.inner.remove(path, expected)
    }

    fn remove_directory<'a>(&'a self, path: &'a RelPath) -> Answer<'a, bool> {
        self.inner.remove_directory(path)
    }
}

/// No checksum of the target's tells: the bytes that were taken never stood together.
#[tokio::test]
async fn bytes_that_never_stood_together_do_not_go_back() {
    let trees = Trees::migrated(&["a", "stays"]).await;
    trees.write("target", "a", &"after".repeat(1 << 20));
    let setup = trees.setup();
    let writer = Arc::new(Meddling {
        inner: setup.writer.clone(),
        file: Mutex::new(Some(trees.at("target", "a"))),
        at_source: trees.at("source", "a"),
        after: Mutex::default(),
    });
    let (_, told) = trees.told(FailbackSetup { writer: writer.clone(), ..setup }).await;
    assert!(writer.file.lock().expect("free").is_none(), "it was written meanwhile");
    assert_eq!(writer.after.lock().expect("free").as_deref(), Some("first a"));
    // The next try carries what stands then.
    assert_eq!(told, ["carried a"]);
    assert_eq!(trees.text("source", "a"), Some("third".repeat(1 << 20)));
}

/// Rule 7.1 on the way back: what says that others are complete comes after them.
#[tokio::test]
async fn commit_markers_go_back_last() {
    let trees = Trees::migrated(&["stays"]).await;
    let later = ["t/metadata/v9.metadata.json", "t/metadata/version-hint.text"];
    let paths = ["d/_SUCCESS", "d/part", "t/data", "t/metadata/snap.avro", later[1], later[0]];
    for path in paths {
        trees.write("target", path, path);
    }
    let (_, told) = trees.told(trees.setup()).await;
    let at = |path: &str| place(&told, &format!("carried {path}"));
    assert!(at("d/part") < at("d/_SUCCESS"), "{told:?}");
    let (data, list) = (at("t/data"), at("t/metadata/snap.avro"));
    assert!(data.max(list) < at(later[0]) && at(later[0]) < at(later[1]), "{told:?}");
}

#[tokio::test]
async fn a_commit_marker_waits_for_what_it_speaks_for() {
    let trees = Trees::migrated(&["d/in/part", "d/_SUCCESS", "e/_SUCCESS", "e/part"]).await;
    for path in ["d/in/part", "d/_SUCCESS", "e/_SUCCESS", "e/part"] {
        trees.write("target", path, "second");
    }
    trees.write("source", "d/in/part", "second at the source");
    let (_, mut told) = trees.told(trees.setup()).await;
    let would = trees.would().await;
    told.sort();
    let expected =
        ["carried e/_SUCCESS", "carried e/part", "conflict d/in/part", "waits d/_SUCCESS"];
    assert_eq!(told, expected);
    assert_eq!(would, ["conflict d/in/part", "waits d/_SUCCESS"]);
    assert_eq!(trees.text("source", "d/_SUCCESS").as_deref(), Some("first d/_SUCCESS"));
    let replace = FailbackSetup { conflicts: Conflicts::Replace, ..trees.setup() };
    let (_, told) = trees.told(replace).await;
    assert_eq!(told, ["carried d/in/part", "carried d/_SUCCESS"]);
}

/// What a person has to look at first may be what a marker speaks for.
#[tokio::test]
async fn commit_markers_wait_for_removals_that_wait() {
    let trees = Trees::migrated(&["d/old", "stays"]).await;
    trees.remove("target", "d/old");
    trees.write("target", "d/new", "new");
    trees.write("target", "d/_SUCCESS", "");
    let guard = RemovalGuard { count_max: Some(0), share_max_percent: Some(0) };
    let (sums, told) = trees.told(FailbackSetup { guard, ..trees.setup() }).await;
    assert_eq!(sums.guarded, 1);
    assert_eq!(told, ["carried d/new", "waits d/_SUCCESS"]);
    let setup = FailbackSetup { guard, removals_confirmed: true, ..trees.setup() };
    let (_, told) = trees.told(setup).await;
    assert_eq!(told, ["removed d/old", "carried d/_SUCCESS"]);
}

#[tokio::test]
async fn commit_markers_go_before_what_they_speak_for() {
    let logs = ["t/_delta_log/1.json", "t/_delta_log/2.json"];
    let paths = ["d/A", "d/_SUCCESS", "d/z", "kept/_SUCCESS", "kept/part", "stays", "t/a"];
    let trees = Trees::migrated(&[&paths[..], &logs].concat()).await;
    for path in ["d", "kept", "t"] {
        fs::remove_dir_all(trees.at("target", path)).expect("removed");
    }
    trees.write("source", "kept/_SUCCESS", "of a later job");
    let (_, told) = trees.told(trees.setup()).await;
    let at = |path: &str| place(&told, &format!("removed {path}"));
    assert!(at("d/_SUCCESS") < at("d/A").min(at("d/z")), "{told:?}");
    assert!(at(logs[1]) < at(logs[0]) && at(logs[0]) < at("t/a"), "{told:?}");
    // One that stays keeps what it speaks for.
    let kept = (place(&told, "conflict kept/_SUCCESS"), place(&told, "waits kept/part"));
    assert!(kept.0 < kept.1, "{told:?}");
    assert!(trees.at("source", "kept/part").exists());
}

/// Whatever is in the way there: a dry run tells what the run tells.
#[tokio::test]
async fn a_dry_run_tells_what_the_run_does() {
    let paths = ["a", "dir/one", "dir/two", "full/one", "gone/x", "stays"];
    let trees = Trees::migrated(&paths).await;
    // A file became a directory, and a directory a file; of one the source has more.
    trees.remove("target", "a");
    trees.write("target", "a/b", "in a");
    trees.write("source", "full/more", "of the source");
    for directory in ["dir", "full", "gone"] {
        fs::remove_dir_all(trees.at("target", directory)).expect("removed");
        trees.write("target", directory, "a file");
    }
    // Links of the source are not followed.
    fs::create_dir(trees.at("source", "elsewhere")).expect("made");
    for link in ["link", "deep"] {
        symlink(trees.at("source", "elsewhere"), trees.at("source", link)).expect("linked");
    }
    trees.write("target", "link/new", "behind a link");
    fs::create_dir_all(trees.at("target", "deep/empty/one")).expect("made");
    let mut would = trees.would().await;
    let (_, mut told) = trees.told(trees.setup()).await;
    would.sort();
    told.sort();
    assert_eq!(would, told);
    let expected = [
        "carried a/b",
        "carried dir",
        "carried gone",
        "cleaned dir",
        "cleaned gone",
        "conflict deep/empty/one",
        "conflict full",
        "conflict link/new",
        "removed a",
        "removed dir/one",
        "removed dir/two",
        "removed gone/x",
    ];
    assert_eq!(told, expected);
}
