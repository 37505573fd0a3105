//! Rule 10.2: what a verification says of a tree that moves under it.
#![allow(clippy::expect_used, reason = "a test ends where it fails")]

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use whimbrel_core::config::DirectoryMarkers;
use whimbrel_core::entry::{FileNode, Node, Page};
use whimbrel_core::metadata::MetadataLevel;
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::scope::Scope;
use whimbrel_store::key::KeyMap;
use whimbrel_store::local::{LocalSource, LocalTarget};
use whimbrel_store::source::{Answer, ByteStream, ChangeStream, Source};
use whimbrel_verify::{Content, Difference, DifferenceKind, Meter, Options, Sums, Verification};

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
        },
    };
    let (sender, mut receiver) = mpsc::channel(16);
    let sums = verification.run(&Arc::new(Meter::default()), &sender).await.expect("compared");
    drop(sender);
    let mut differences = Vec::new();
    while let Some(difference) = receiver.recv().await {
        differences.push(difference);
    }
    (sums, differences)
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
