//! Rule 10.2: what a verification says of a tree that moves under it.
#![allow(clippy::expect_used, reason = "a test ends where it fails")]

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use whimbrel_core::config::DirectoryMarkers;
use whimbrel_core::entry::{FileNode, Node, Page};
use whimbrel_core::failure::{Failure, FailureKind, Side};
use whimbrel_core::metadata::MetadataLevel;
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::scope::Scope;
use whimbrel_store::key::KeyMap;
use whimbrel_store::local::{LocalSource, LocalTarget};
use whimbrel_store::source::{Answer, ByteStream, ChangeStream, Source};
use whimbrel_verify::{
    Content, Difference, DifferenceKind, Meter, Options, Stand, Sums, Verification, Worker,
};

type Change = Box<dyn FnOnce() + Send>;

/// A real tree in which something happens after a file was compared, before it is looked at again.
struct MovingSource {
    inner: LocalSource,
    change: Mutex<Option<Change>>,
}

impl Source for MovingSource {
    fn namespace(&self) -> Namespace {
        self.inner.namespace()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn root_key(&self) -> Option<u64> {
        self.inner.root_key()
    }

    fn list<'a>(
        &'a self,
        directory: &'a RelPath,
        after: Option<&'a [u8]>,
    ) -> Answer<'a, Option<Page>> {
        self.inner.list(directory, after)
    }

    fn stat<'a>(&'a self, path: &'a RelPath) -> Answer<'a, Option<Node>> {
        if *path == RelPath::from("f") {
            let change = self.change.lock().unwrap_or_else(PoisonError::into_inner).take();
            change.into_iter().for_each(|change| change());
        }
        self.inner.stat(path)
    }

    fn read(&self, path: &RelPath, node: &FileNode, range: Range<u64>) -> ByteStream {
        self.inner.read(path, node, range)
    }

    fn stored_checksum<'a>(
        &'a self,
        path: &'a RelPath,
        node: &'a FileNode,
        length: u64,
    ) -> Answer<'a, Option<u32>> {
        self.inner.stored_checksum(path, node, length)
    }

    fn xattrs<'a>(&'a self, path: &'a RelPath) -> Answer<'a, BTreeMap<String, Vec<u8>>> {
        self.inner.xattrs(path)
    }

    fn stream(&self) -> Answer<'_, Arc<dyn ChangeStream>> {
        self.inner.stream()
    }
}

/// Compares the trees `source` and `target` of a folder.
async fn verified(folder: &Path, change: Option<Change>) -> (Sums, Vec<Difference>) {
    verified_with(folder, change, None).await
}

async fn verified_with(
    folder: &Path,
    change: Option<Change>,
    worker: Option<Arc<dyn Worker>>,
) -> (Sums, Vec<Difference>) {
    tried(folder, change, worker).await.expect("compared")
}

async fn tried(
    folder: &Path,
    change: Option<Change>,
    worker: Option<Arc<dyn Worker>>,
) -> Result<(Sums, Vec<Difference>), Failure> {
    let inner = LocalSource::open(&folder.join("source")).expect("opens");
    let target = LocalTarget::look_at(&folder.join("target")).expect("opens");
    let verification = Verification {
        source: Arc::new(MovingSource { inner, change: Mutex::new(change) }),
        target: Arc::new(target),
        keys: KeyMap::default(),
        mapped: Vec::new(),
        scope: Scope::everything(),
        options: Options {
            content: Content::Checksum,
            ignore_extras: false,
            metadata: MetadataLevel::None,
            directory_markers: DirectoryMarkers::Empty,
            parallel: 2,
            patience: Duration::from_secs(2),
            sample: None,
        },
        worker,
        keeper: None,
    };
    let (sender, mut receiver) = mpsc::channel(16);
    let run =
        tokio::spawn(async move { verification.run(&Arc::new(Meter::default()), &sender).await });
    let mut differences = Vec::new();
    while let Some(difference) = receiver.recv().await {
        differences.push(difference);
    }
    run.await.expect("ends").map(|sums| (sums, differences))
}

/// Both trees hold one file of the same length with other bytes.
fn unequal() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    for (side, bytes) in [("source", "older"), ("target", "newer")] {
        fs::create_dir(folder.path().join(side)).expect("made");
        fs::write(folder.path().join(side).join("f"), bytes).expect("written");
    }
    let path = folder.path().join("source/f");
    (folder, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_10_2_difference_of_a_file_that_moved_is_looked_at_again() {
    let (folder, path) = unequal();
    let change = Box::new(move || fs::write(path, "newer").expect("written"));
    let (sums, differences) = verified(folder.path(), Some(change)).await;
    assert_eq!(differences, Vec::new());
    assert_eq!((sums.files_compared, sums.verified_by_reading), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_10_2_difference_of_a_file_that_went_is_none() {
    let (folder, path) = unequal();
    let copy = folder.path().join("target/f");
    let change = Box::new(move || {
        fs::remove_file(path).expect("removed");
        fs::remove_file(copy).expect("removed");
    });
    let (_, differences) = verified(folder.path(), Some(change)).await;
    assert_eq!(differences, Vec::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_10_2_difference_of_a_file_that_stood_still_counts() {
    let (folder, _) = unequal();
    let (sums, differences) = verified(folder.path(), None).await;
    let kinds: Vec<DifferenceKind> = differences.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [DifferenceKind::Different]);
    assert_eq!((sums.different, sums.unverifiable), (1, 0));
}

/// It answers as if it were empty, and was equal to an empty target.
#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_gone_is_not_equal() {
    for anew in [false, true] {
        let (folder, path) = unequal();
        let copy = folder.path().join("target/f");
        let change = Box::new(move || {
            let root = path.parent().expect("a root");
            fs::rename(root, root.with_extension("moved")).expect("moved");
            if anew {
                fs::create_dir(root).expect("made");
            }
            fs::remove_file(copy).expect("removed");
        });
        let failure = tried(folder.path(), Some(change), None).await.expect_err("nothing is there");
        assert_eq!((failure.side, failure.kind), (Side::Source, FailureKind::Missing), "{anew}");
    }
}

/// Says what it is told to, the last for ever, and mends the copy before the last.
struct ScriptedWorker {
    stands: Mutex<Vec<Stand>>,
    mends: Mutex<Option<PathBuf>>,
}

impl Worker for ScriptedWorker {
    fn stand<'a>(&'a self, _: &'a RelPath) -> Pin<Box<dyn Future<Output = Stand> + Send + 'a>> {
        let mut stands = self.stands.lock().unwrap_or_else(PoisonError::into_inner);
        let stand = if stands.len() > 1 { stands.remove(0) } else { stands[0] };
        if stands.len() == 1 {
            let copy = self.mends.lock().unwrap_or_else(PoisonError::into_inner).take();
            copy.into_iter().for_each(|copy| fs::write(copy, "older").expect("written"));
        }
        Box::pin(std::future::ready(stand))
    }
}

async fn with_worker(stands: &[Stand], mends: bool) -> (Sums, Vec<Difference>) {
    let (folder, _) = unequal();
    let copy = folder.path().join("target/f");
    let worker = ScriptedWorker {
        stands: Mutex::new(stands.to_vec()),
        mends: Mutex::new(mends.then_some(copy)),
    };
    verified_with(folder.path(), None, Some(Arc::new(worker))).await
}

/// What a running migration was only behind with was told as different.
#[tokio::test(flavor = "multi_thread")]
async fn rule_10_2_what_is_pending_is_no_difference() {
    let later = Stand::Done(SystemTime::now() + Duration::from_secs(3600));
    let (sums, differences) = with_worker(&[Stand::Moving, later], true).await;
    assert_eq!(differences, Vec::new());
    assert!(sums.equal(false), "{sums:?}");
    let (sums, differences) = with_worker(&[Stand::Moving], false).await;
    let kinds: Vec<DifferenceKind> = differences.iter().map(|it| it.kind).collect();
    assert_eq!((kinds, sums.moving), (vec![DifferenceKind::Moving], 1));
    assert!(!sums.equal(false), "what moves is not equal");
}

/// The stream may not have told the migration yet what the comparison saw.
#[tokio::test(flavor = "multi_thread")]
async fn rule_10_2_difference_counts_once_the_stream_was_followed_beyond_it() {
    let before = Stand::Done(SystemTime::UNIX_EPOCH);
    let (sums, _) = with_worker(&[before], false).await;
    assert_eq!((sums.moving, sums.different), (1, 0));
    let later = Stand::Done(SystemTime::now() + Duration::from_secs(3600));
    for last in [later, Stand::Ended] {
        let (sums, differences) = with_worker(&[before, last], false).await;
        assert_eq!((differences.len(), sums.moving, sums.different), (1, 0, 1));
    }
}

/// Says that it is done, each time after something happened.
struct Happening(Mutex<Vec<Change>>);

impl Worker for Happening {
    fn stand<'a>(&'a self, _: &'a RelPath) -> Pin<Box<dyn Future<Output = Stand> + Send + 'a>> {
        let mut changes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !changes.is_empty() {
            changes.remove(0)();
        }
        let later = SystemTime::now() + Duration::from_secs(3600);
        Box::pin(std::future::ready(Stand::Done(later)))
    }
}

/// What the worker was done with came anew and went anew before the second look, which found the
/// same difference for another reason: it was told.
#[tokio::test(flavor = "multi_thread")]
async fn rule_10_2_same_difference_of_a_newer_change_is_looked_at_again() {
    let folder = tempfile::tempdir().expect("a folder");
    for side in ["source", "target"] {
        fs::create_dir(folder.path().join(side)).expect("made");
    }
    let copy = folder.path().join("target/gone");
    fs::write(&copy, "bytes").expect("written");
    let (anew, again) = (copy.with_file_name("anew"), copy.clone());
    let changes: Vec<Change> = vec![
        Box::new(move || {
            fs::write(&anew, "bytes").expect("written");
            fs::rename(&anew, &copy).expect("renamed");
        }),
        Box::new(move || fs::remove_file(again).expect("removed")),
    ];
    let worker: Arc<dyn Worker> = Arc::new(Happening(Mutex::new(changes)));
    let (sums, differences) = verified_with(folder.path(), None, Some(worker)).await;
    assert_eq!(differences, Vec::new());
    assert!(sums.equal(false), "{sums:?}");
}

/// A directory was emptied anew, and its marker is to come anew.
#[tokio::test(flavor = "multi_thread")]
async fn rule_10_2_same_lack_of_a_marker_is_looked_at_again() {
    let folder = tempfile::tempdir().expect("a folder");
    for side in ["source/d", "target"] {
        fs::create_dir_all(folder.path().join(side)).expect("made");
    }
    let (child, copy) = (folder.path().join("source/d/x"), folder.path().join("target/d"));
    let changes: Vec<Change> = vec![
        Box::new(move || {
            fs::write(&child, "bytes").expect("written");
            fs::remove_file(&child).expect("removed");
        }),
        Box::new(move || fs::create_dir(copy).expect("made")),
    ];
    let worker: Arc<dyn Worker> = Arc::new(Happening(Mutex::new(changes)));
    let (sums, differences) = verified_with(folder.path(), None, Some(worker)).await;
    assert_eq!(differences, Vec::new());
    assert!(sums.equal(false), "{sums:?}");
}

/// What was more than is kept to be looked at again was told unsettled.
#[tokio::test(flavor = "multi_thread")]
async fn rule_10_2_none_of_very_many_differences_is_told_while_it_moves() {
    const MANY: u64 = 10_100;
    let folder = tempfile::tempdir().expect("a folder");
    for side in ["source", "target"] {
        fs::create_dir(folder.path().join(side)).expect("made");
    }
    for number in 0..MANY {
        fs::write(folder.path().join(format!("target/{number}")), "").expect("written");
    }
    let worker =
        ScriptedWorker { stands: Mutex::new(vec![Stand::Moving]), mends: Mutex::new(None) };
    let worker: Arc<dyn Worker> = Arc::new(worker);
    let (sums, _) = verified_with(folder.path(), None, Some(worker)).await;
    assert_eq!((sums.moving, sums.extra), (MANY, 0));
}
