//! Whole migrations between two real directories through core, ledger and stores.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "outside of the test functions too a failure ends the test"
)]

mod ground;

use std::fs;
use std::time::{Duration, Instant};

use ground::{Ground, content, finished, tree};
use whimbrel_core::config::Config;
use whimbrel_core::path::Namespace;
use whimbrel_core::scope::{DEFAULT_EXCLUSIONS, Scope, ScopeRules};
use whimbrel_engine::{Control, Ending, ErrorKind, Outcome, Problems, Progress, Setup, State, run};

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
    fs::remove_dir_all(ground.source().join("d4")).unwrap();
    fs::rename(ground.source().join("d0"), ground.source().join("hollow/d9")).unwrap();
    let second = ground.migrate(Config::default()).await;
    assert_eq!(second.outcome(), Outcome::Equal, "{second:?}");
    ground.assert_equal();
    let moved = second.progress.run.files_relocated;
    assert_eq!((second.progress.run.files_copied, moved), (2, 6), "{second:?}");
    assert_eq!(second.progress.counters.files_copied, 34);

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
async fn what_others_copied_is_adopted_if_reading_proves_it_equal() {
    let ground = Ground::new();
    for name in ["d/equal", "d/other"] {
        ground.write(name, &content(1, 1000));
        fs::create_dir_all(ground.target().join("d")).unwrap();
        fs::copy(ground.source().join(name), ground.target().join(name)).unwrap();
    }
    fs::write(ground.target().join("d/other"), content(2, 1000)).unwrap();
    let result = ground.migrate(Config::default()).await;
    assert_eq!(result.outcome(), Outcome::Equal, "{result:?}");
    let counters = result.progress.counters;
    assert_eq!((counters.files_copied, counters.files_replaced), (1, 1), "{result:?}");
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
async fn what_a_narrower_scope_leaves_out_stays_on_the_target() {
    let ground = Ground::new();
    for path in ["a/1", "b/2", "b/c/3"] {
        ground.write(path, path.as_bytes());
    }
    ground.migrate(Config::default()).await;
    let before = tree(&ground.target());
    fs::remove_file(ground.source().join("a/1")).unwrap();
    fs::remove_file(ground.source().join("b/2")).unwrap();
    let rules = ScopeRules { excludes: vec!["b".into()], ..ScopeRules::default() };
    let setup = Setup { scope: Scope::new(&rules).unwrap(), ..ground.setup(Config::default()) };
    let (_control, orders) = Control::channel();
    let result = finished(run(setup, orders)).await;
    assert_eq!(result.outcome(), Outcome::Equal, "{result:?}");
    let mut after = before.clone();
    after.remove("a/1");
    assert_eq!(tree(&ground.target()), after);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_a_narrower_scope_leaves_out_stay_on_the_target() {
    let ground = Ground::new();
    for path in ["f1", "f2", "d/f10", "d/f2"] {
        ground.write(path, path.as_bytes());
    }
    ground.migrate(Config::default()).await;
    let before = tree(&ground.target());
    fs::remove_file(ground.source().join("d/f10")).unwrap();
    fs::remove_file(ground.source().join("d/f2")).unwrap();
    let rules = ScopeRules { excludes: vec!["**/f1*".into()], ..ScopeRules::default() };
    let setup = Setup { scope: Scope::new(&rules).unwrap(), ..ground.setup(Config::default()) };
    let (_control, orders) = Control::channel();
    let result = finished(run(setup, orders)).await;
    assert_eq!(result.outcome(), Outcome::Equal, "{result:?}");
    let mut after = before.clone();
    after.remove("d/f2");
    assert_eq!(tree(&ground.target()), after);
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

#[tokio::test(flavor = "multi_thread")]
async fn directories_that_a_killed_run_left_empty_go() {
    let ground = Ground::new();
    ground.write("d/e/f", b"content");
    fs::create_dir_all(ground.source().join("hollow")).unwrap();
    ground.migrate(Config::default()).await;
    fs::create_dir_all(ground.target().join("left/behind")).unwrap();
    fs::create_dir_all(ground.target().join("d/e/left")).unwrap();
    let again = ground.migrate(Config::default()).await;
    assert_eq!(again.outcome(), Outcome::Equal, "{again:?}");
    ground.assert_equal();
}

/// Every start of a live run over a local tree was reported as another history, with a remedy for
/// HDFS, and read every file again.
#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_local_live_run_is_no_problem_and_reads_only_what_changed() {
    let ground = Ground::new();
    for number in 0..20 {
        ground.write(&format!("d{}/f{number}", number % 3), &content(number, 10_000));
    }
    let live = Config { live: true, until_quiet_millis: Some(500), ..Config::default() };
    let first = ground.migrate(live.clone()).await;
    assert_eq!(first.outcome(), Outcome::Equal, "{first:?}");

    ground.write("d0/f0", b"changed");
    ground.write("new", b"new");
    fs::remove_file(ground.source().join("d1/f1")).unwrap();
    for _ in 0..2 {
        let (problems, mut reports) = Problems::channel();
        let setup = Setup { problems, ..ground.setup(live.clone()) };
        let (_control, orders) = Control::channel();
        let again = finished(run(setup, orders)).await;
        assert_eq!(again.outcome(), Outcome::Equal, "{again:?}");
        ground.assert_equal();
        let told = reports.try_recv();
        assert!(told.is_err(), "{told:?}");
        assert!(again.progress.source_bytes <= 10, "{} bytes", again.progress.source_bytes);
        assert_eq!(again.progress.run.gaps, 1, "what happened meanwhile is found by listing");
    }
}

/// A live run that ended before it took a position left the name of its history, and the next one
/// said that the source has another.
#[tokio::test(flavor = "multi_thread")]
async fn rule_1_7_a_local_run_that_followed_nothing_leaves_no_history() {
    let ground = Ground::new();
    ground.write("a", b"1");
    ground.migrate(Config::default()).await;
    fs::remove_dir_all(ground.root.path().join("state")).unwrap();
    let live = Config { live: true, until_quiet_millis: Some(500), ..Config::default() };
    let refused = ground.migrate(live.clone()).await;
    let Ending::Failed(error) = &refused.ending else { panic!("{refused:?}") };
    assert_eq!(error.kind(), ErrorKind::Guard, "objects of another migration: {error}");
    let (problems, mut reports) = Problems::channel();
    let setup = Setup { problems, ..ground.setup(Config { adopt: true, ..live }) };
    let (_control, orders) = Control::channel();
    let adopted = finished(run(setup, orders)).await;
    assert_eq!(adopted.outcome(), Outcome::Equal, "{adopted:?}");
    let told = reports.try_recv();
    assert!(told.is_err(), "{told:?}");
    assert_eq!(adopted.progress.run.gaps, 0, "{adopted:?}");
}

/// The checksum noted beside a local target's bytes was taken for theirs by `--existing check`.
#[tokio::test(flavor = "multi_thread")]
async fn a_byte_that_changed_under_the_same_length_and_time_is_not_adopted() {
    let ground = Ground::new();
    for name in ["same", "changed"] {
        ground.write(name, &content(1, 5_000));
    }
    ground.migrate(Config::default()).await;
    let path = ground.target().join("changed");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();

    fs::remove_dir_all(ground.root.path().join("state")).unwrap();
    let again = ground.migrate(Config { adopt: true, ..Config::default() }).await;
    assert_eq!(again.outcome(), Outcome::Equal, "{again:?}");
    assert_eq!(again.progress.run.files_copied, 1, "{again:?}");
    ground.assert_equal();
}

/// The holes of a sparse file arrived as zeros that take room.
#[tokio::test(flavor = "multi_thread")]
async fn sparse_files_stay_sparse() {
    use std::os::unix::fs::{FileExt, MetadataExt};
    let ground = Ground::new();
    ground.write("small", b"");
    ground.write("large", b"");
    for (name, length) in [("small", 4_u64 << 20), ("large", 70 << 20)] {
        let file = fs::File::options().write(true).open(ground.source().join(name)).unwrap();
        file.set_len(length).unwrap();
        file.write_all_at(b"something", length / 2).unwrap();
    }
    let allocated = |path: std::path::PathBuf| fs::metadata(path).unwrap().blocks() * 512;
    if allocated(ground.source().join("large")) > 10 << 20 {
        eprintln!("SKIPPED: the file system of the temporary folder has no holes");
        return;
    }
    let result = ground.migrate(Config::default()).await;
    assert_eq!(result.outcome(), Outcome::Equal, "{result:?}");
    ground.assert_equal();
    fs::rename(ground.source().join("large"), ground.source().join("renamed")).unwrap();
    let again = ground.migrate(Config::default()).await;
    assert_eq!(again.progress.run.files_relocated, 1, "{again:?}");
    ground.assert_equal();
    for name in ["small", "renamed"] {
        let taken = allocated(ground.target().join(name));
        assert!(taken < 2 << 20, "{name} takes {taken} bytes");
    }
}

/// What a program stored through a mapping without pause was missing: it was taken for quiet
/// between two walks.
#[tokio::test(flavor = "multi_thread")]
async fn rule_10_3_stores_without_pause_are_not_quiet() {
    // A file system in memory moves no times for it.
    let ground = Ground { root: tempfile::tempdir_in("/var/tmp").unwrap() };
    fs::create_dir(ground.source()).unwrap();
    ground.write("mapped", &content(1, 100_000));
    let file = ground.source().join("mapped");
    let mut writer = whimbrel_testbed::Mapped::open(&file).unwrap();
    let storing = std::thread::spawn(move || {
        let began = Instant::now();
        for number in 0.. {
            writer.store(&format!("{number:08}")).unwrap();
            fs::File::open(&file).and_then(|file| file.sync_all()).unwrap();
            if began.elapsed() > Duration::from_secs(7) {
                break;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        writer
    });
    let live = Config { live: true, until_quiet_millis: Some(3_000), ..Config::default() };
    let result = ground.migrate(live).await;
    assert!(storing.is_finished(), "{result:?}");
    assert_eq!(result.outcome(), Outcome::Equal, "{result:?}");
    ground.assert_equal();
    drop(storing.join().unwrap());
}

async fn until(control: &mut Control, fits: impl Fn(&Progress) -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !fits(&control.progress()) {
            assert!(control.changed().await, "it ended: {:?}", control.progress());
        }
    });
    assert!(waited.await.is_ok(), "it does not come to it: {:?}", control.progress());
}

/// Another directory in the root's place was taken for the root, but for its removals.
#[tokio::test(flavor = "multi_thread")]
async fn rule_1_5_another_local_root_is_not_copied_and_the_old_one_goes_on() {
    let ground = Ground::new();
    for path in ["d/a", "d/b"] {
        ground.write(path, path.as_bytes());
    }
    let live = Config { live: true, until_quiet_millis: Some(1_000), ..Config::default() };
    let (mut control, orders) = Control::channel();
    let running = tokio::spawn(run(ground.setup(live), orders));
    until(&mut control, |now| now.scanned && now.objects == 3).await;
    let stood = tree(&ground.target());
    let away = ground.root.path().join("away");
    fs::rename(ground.source(), &away).unwrap();
    ground.write("d/a", b"another root's");
    ground.write("e/new", b"new");
    until(&mut control, |now| now.source_root_lost_seconds.is_some()).await;
    fs::write(away.join("d/c"), b"written meanwhile").unwrap();
    fs::remove_file(away.join("d/b")).unwrap();
    ground.write("d/late", b"late");
    until(&mut control, |now| now.lag_seconds > 2.0 && now.source_root_lost_seconds > Some(3.0))
        .await;
    assert_eq!(tree(&ground.target()), stood);
    fs::remove_dir_all(ground.source()).unwrap();
    fs::rename(&away, ground.source()).unwrap();
    let result = finished(async { running.await.unwrap() }).await;
    assert_eq!(result.outcome(), Outcome::Equal, "{result:?}");
    ground.assert_equal();
    assert_eq!(result.progress.run.files_copied, 3, "{result:?}");
}

/// File systems give a number that became free again at once.
#[tokio::test(flavor = "multi_thread")]
async fn rule_1_5_local_root_removed_and_made_anew() {
    let ground = Ground::new();
    ground.write("d/a", b"a");
    let live = Config { live: true, until_quiet_millis: Some(1_000), ..Config::default() };
    let (mut control, orders) = Control::channel();
    let running = tokio::spawn(run(ground.setup(live.clone()), orders));
    until(&mut control, |now| now.scanned && now.objects == 2).await;
    let stood = tree(&ground.target());
    fs::remove_dir_all(ground.source()).unwrap();
    ground.write("d/a", b"anew");
    ground.write("new", b"new");
    until(&mut control, |now| now.source_root_lost_seconds.is_some()).await;
    until(&mut control, |now| now.source_root_lost_seconds > Some(2.0)).await;
    assert_eq!(tree(&ground.target()), stood);
    control.stop();
    let result = finished(async { running.await.unwrap() }).await;
    assert_eq!(result.ending, Ending::Stopped, "{result:?}");
    for config in [live, Config::default()] {
        let refused = ground.migrate(config).await;
        let Ending::Failed(error) = &refused.ending else { panic!("{refused:?}") };
        assert_eq!(error.kind(), ErrorKind::Source, "{error}");
        assert_eq!(tree(&ground.target()), stood);
    }
}
