//! What stands around a migration between two real directories: names outside of the tree, other
//! file systems, and what somebody else left on the target.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "outside of the test functions too a failure ends the test"
)]

mod ground;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ground::{Ground, finished, tree};
use whimbrel_core::config::{Config, Extras};
use whimbrel_core::failure::FailureKind;
use whimbrel_engine::{Control, Ending, Outcome, Problems, Progress, RunResult, Setup, run};

fn live(quiet_millis: u64) -> Config {
    Config { live: true, until_quiet_millis: Some(quiet_millis), ..Config::default() }
}

async fn until(control: &mut Control, fits: impl Fn(&Progress) -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !fits(&control.progress()) {
            assert!(control.changed().await, "it ended: {:?}", control.progress());
        }
    });
    assert!(waited.await.is_ok(), "it does not come to it: {:?}", control.progress());
}

fn append(path: &Path, text: &str) {
    use std::io::Write;
    fs::File::options().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// Runs live, does something once everything stands, and expects both sides to be equal at the
/// quiet end.
async fn equal_after(ground: &Ground, config: Config, objects: u64, change: impl AsyncFnOnce()) {
    let (mut control, orders) = Control::channel();
    let running = tokio::spawn(run(ground.setup(config), orders));
    until(&mut control, |now| now.scanned && now.objects == objects).await;
    change().await;
    let result = finished(async { running.await.unwrap() }).await;
    assert_eq!(result.outcome(), Outcome::Equal, "{result:?}");
    ground.assert_equal();
}

/// The kernel tells of the name alone that a write went through.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_through_one_link_reaches_all_names() {
    let ground = Ground::new();
    let source = ground.source();
    ground.write("a", b"one\n");
    fs::create_dir(source.join("d")).unwrap();
    fs::hard_link(source.join("a"), source.join("d/b")).unwrap();
    equal_after(&ground, live(1_500), 3, async || append(&source.join("a"), "two\n")).await;
}

/// The other name was looked at when the file had no more than that one.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_made_later_is_known_as_one() {
    let ground = Ground::new();
    let source = ground.source();
    ground.write("a", b"one\n");
    fs::create_dir(source.join("d")).unwrap();
    equal_after(&ground, live(1_500), 2, async || {
        fs::hard_link(source.join("a"), source.join("d/b")).unwrap();
        append(&source.join("d/b"), "two\n");
        tokio::time::sleep(Duration::from_secs(1)).await;
        append(&source.join("d/b"), "three\n");
    })
    .await;
}

/// Nothing tells of a write through a name outside of the tree.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_through_a_link_outside_is_found() {
    let ground = Ground::new();
    let source = ground.source();
    let outside = ground.root.path().join("outside");
    fs::write(&outside, "one\n").unwrap();
    for name in ["a", "b"] {
        fs::hard_link(&outside, source.join(name)).unwrap();
    }
    equal_after(&ground, live(3_000), 2, async || append(&outside, "two\n")).await;
}

async fn reported(ground: &Ground, config: Config) -> (RunResult, Vec<(String, String)>) {
    let (problems, mut reports) = Problems::channel();
    let (_control, orders) = Control::channel();
    let result = finished(run(Setup { problems, ..ground.setup(config) }, orders)).await;
    let mut told = Vec::new();
    while let Ok(report) = reports.try_recv() {
        assert_eq!(report.failure.kind, FailureKind::Conflict, "{report:?}");
        assert!(report.failure.remedy.contains("--extras remove"), "{report:?}");
        let path = report.path.map(|path| path.to_string()).unwrap_or_default();
        told.push((path, report.failure.message));
    }
    told.sort();
    (result, told)
}

type Puts = fn(&Path);

/// Everything below went round and round: each try of the directory began the tries below anew.
#[tokio::test(flavor = "multi_thread")]
async fn what_stands_where_a_directory_belongs_is_told() {
    let a_file: Puts = |at| fs::write(at, "foreign").unwrap();
    let a_link: Puts = |at| symlink("../oo", at).unwrap();
    let a_pipe: Puts =
        |at| assert!(Command::new("mkfifo").arg(at).status().unwrap().success(), "made");
    for (puts, config) in [
        (a_file, Config::default()),
        (a_link, Config::default()),
        (a_pipe, Config::default()),
        (a_file, live(500)),
    ] {
        let ground = Ground::new();
        ground.write("a/deep/f", b"1");
        ground.write("b/f", b"2");
        fs::create_dir(ground.target()).unwrap();
        puts(&ground.target().join("a"));
        let stood = fs::symlink_metadata(ground.target().join("a")).unwrap();
        let (result, told) = reported(&ground, config).await;
        assert_eq!(result.ending, Ending::Done);
        assert_eq!(result.outcome(), Outcome::Incomplete, "{result:?}");
        let paths: Vec<&str> = told.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["a", "a/deep", "a/deep/f"]);
        let names_it = |(_, message): &(String, String)| message.contains("target/a\" stands");
        assert!(told.iter().all(names_it), "{told:?}");
        let stands = fs::symlink_metadata(ground.target().join("a")).unwrap();
        assert_eq!(stands.file_type(), stood.file_type(), "it stays");
        assert_eq!(fs::read(ground.target().join("b/f")).unwrap(), b"2", "the rest goes on");
        let removing = Config { extras: Extras::Remove, ..Config::default() };
        assert_eq!(ground.migrate(removing).await.outcome(), Outcome::Equal);
        ground.assert_equal();
    }
}

/// Unmounts at the end of a test, however it ends.
struct Mounted(PathBuf);

impl Mounted {
    fn over(path: &Path) -> Option<Self> {
        let done = Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(path).output().ok()?;
        done.status.success().then(|| Self(path.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        Command::new("umount").arg(&self.0).status().ok();
    }
}

/// The kernel tells nothing of a mount.
#[tokio::test(flavor = "multi_thread")]
async fn rule_1_5_what_is_mounted_over_a_local_root_is_noticed() {
    let ground = Ground::new();
    ground.write("d/a", b"a");
    let (mut control, orders) = Control::channel();
    let running = tokio::spawn(run(ground.setup(live(1_500)), orders));
    until(&mut control, |now| now.scanned && now.objects == 2).await;
    let stood = tree(&ground.target());
    let Some(mounted) = Mounted::over(&ground.source()) else {
        eprintln!("SKIPPED: nothing may be mounted here");
        control.stop();
        finished(async { running.await.unwrap() }).await;
        return;
    };
    ground.write("bad", b"of another file system");
    until(&mut control, |now| now.source_root_lost_seconds.is_some()).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(tree(&ground.target()), stood);
    drop(mounted);
    ground.write("e/new", b"below the old root again");
    let result = finished(async { running.await.unwrap() }).await;
    assert_eq!(result.outcome(), Outcome::Equal, "{result:?}");
    ground.assert_equal();
}
