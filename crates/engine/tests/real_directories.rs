//! Targets on which directories are real: one goes only when nothing stands in it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "outside of the test functions too a failure ends the test"
)]

#[allow(dead_code, reason = "the races on HDFS need more of them")]
#[path = "races/gates.rs"]
mod gates;
mod ground;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use gates::{GatedSource, Gates, Moment};
use ground::{Ground, finished};
use whimbrel_core::config::Config;
use whimbrel_engine::{Control, Outcome, run};

/// A directory that held a file which was being copied while all of it was moved away stayed: it was
/// left for the file's sake, and nobody came back to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_kept_for_a_file_at_work_goes_after_it() {
    let ground = Ground::new();
    for path in ["d/e/f", "d/g"] {
        ground.write(path, path.as_bytes());
    }
    let live = Config { live: true, until_quiet_millis: Some(1_500), ..Config::default() };
    let mut setup = ground.setup(live);
    let gates = Arc::new(Gates::default());
    setup.source = Arc::new(GatedSource { inner: setup.source, gates: gates.clone() });
    let (control, orders) = Control::channel();
    let running = tokio::spawn(run(setup, orders));
    while control.progress().run.files_copied < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let reading = gates.close(Moment::Reading, "d/e/f");
    ground.write("d/e/f", b"changed");
    reading.reached().await;
    fs::rename(ground.source().join("d"), ground.root.path().join("away")).unwrap();
    while ground.target().join("d/g").exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // What else goes with it has gone by then.
    tokio::time::sleep(Duration::from_millis(300)).await;
    reading.open();
    let result = finished(async { running.await.unwrap() }).await;
    assert_eq!(result.outcome(), Outcome::Equal, "{result:?}");
    ground.assert_equal();
}
