//! Runs that were stopped in the middle of their scan, and runs that go over more than the last.

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

use gates::{GatedSource, Gates, Moment};
use ground::{Ground, finished};
use whimbrel_core::config::Config;
use whimbrel_core::scope::{Scope, ScopeRules};
use whimbrel_engine::{Control, Ending, Outcome, Setup, run};

/// Stops a run while it reads `last`, when everything else was copied.
async fn stopped_at(ground: &Ground, last: &str, others: u64, scope: Scope) {
    let mut setup = Setup { scope, ..ground.setup(Config::default()) };
    let gates = Arc::new(Gates::default());
    setup.source = Arc::new(GatedSource { inner: setup.source, gates: gates.clone() });
    let reading = gates.close(Moment::Reading, last);
    let (control, orders) = Control::channel();
    let running = tokio::spawn(run(setup, orders));
    reading.reached().await;
    while control.progress().run.files_copied < others {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    control.stop();
    reading.open();
    let result = finished(async { running.await.unwrap() }).await;
    assert_eq!(result.ending, Ending::Stopped, "{result:?}");
}

/// What an interrupted run had listed was not listed again: files that changed, came or were moved
/// there since were missing on the target, and the outcome was `equal`.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_after_an_interrupted_one_lists_everything_again() {
    let ground = Ground::new();
    for path in ["a/one", "a/two", "z/big", "z/precious"] {
        ground.write(path, path.as_bytes());
    }
    stopped_at(&ground, "z/big", 3, Scope::everything()).await;
    ground.write("a/one", b"changed");
    fs::remove_file(ground.source().join("a/two")).unwrap();
    fs::rename(ground.source().join("z/precious"), ground.source().join("a/precious")).unwrap();
    ground.write("a/new", b"new");
    let result = ground.migrate(Config::default()).await;
    assert_eq!(result.outcome(), Outcome::Equal, "{result:?}");
    ground.assert_equal();
}

/// What the scope of an interrupted run had left out was missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_wider_scope_after_an_interrupted_run_is_scanned() {
    let ground = Ground::new();
    for path in ["a/one", "z/big", "z/small"] {
        ground.write(path, path.as_bytes());
    }
    let rules = ScopeRules { includes: vec!["z".into()], ..ScopeRules::default() };
    stopped_at(&ground, "z/big", 1, Scope::new(&rules).unwrap()).await;
    let result = ground.migrate(Config::default()).await;
    assert_eq!(result.outcome(), Outcome::Equal, "{result:?}");
    ground.assert_equal();
}
