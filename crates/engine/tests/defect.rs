//! A defect of our own ends the run, is told as one, and loses nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "outside of the test functions too a failure ends the test"
)]

mod ground;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ground::{Ground, finished};
use whimbrel_core::config::Config;
use whimbrel_core::entry::{FileNode, Node, Page};
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_engine::{Control, Ending, ErrorKind, Outcome, run};
use whimbrel_store::source::{Answer, ByteStream, ChangeStream, Source};

/// A real source that breaks when a file is read.
struct Breaking {
    inner: Arc<dyn Source>,
    broken: Arc<AtomicBool>,
}

impl Source for Breaking {
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
        self.inner.stat(path)
    }

    fn read(&self, path: &RelPath, node: &FileNode, range: Range<u64>) -> ByteStream {
        assert!(!self.broken.load(Ordering::Relaxed), "broken on purpose");
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

#[tokio::test(flavor = "multi_thread")]
async fn breaking_task_ends_the_run_and_the_next_one_goes_on() {
    let ground = Ground::new();
    for number in 0..20 {
        ground.write(&format!("d/f{number}"), b"text");
    }
    let mut setup = ground.setup(Config::default());
    let broken = Arc::new(AtomicBool::new(true));
    setup.source = Arc::new(Breaking { inner: setup.source, broken: broken.clone() });
    let (_control, orders) = Control::channel();
    let result = finished(run(setup, orders)).await;
    let Ending::Failed(error) = &result.ending else { panic!("{result:?}") };
    assert_eq!((error.kind(), error.kind().exit_code()), (ErrorKind::Defect, 1), "{error}");
    assert_eq!(result.outcome(), Outcome::Failed);

    let result = ground.migrate(Config::default()).await;
    assert_eq!(result.outcome(), Outcome::Equal, "{result:?}");
    ground.assert_equal();
}
