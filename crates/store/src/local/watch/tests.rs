use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};
use whimbrel_core::event::Event;
use whimbrel_core::path::RelPath;
use whimbrel_testbed::{Mapped, Mapper};

use super::*;

/// Programs that map files, started before anything is watched: one that is being started holds
/// open what others write, and the kernel tells of their close when it lets go.
static MAPPERS: LazyLock<Mutex<Vec<Mapper>>> = LazyLock::new(|| {
    let start = |_| Mapper::start().expect("starts");
    Mutex::new((0..2).map(start).collect())
});

fn map(path: &Path) -> Mapped {
    let mapper = MAPPERS.lock().unwrap_or_else(PoisonError::into_inner).pop();
    mapper.expect("as many as there are tests with one").map(path).expect("maps")
}

fn open(root: &Path) -> LocalWatch {
    LazyLock::force(&MAPPERS);
    // What stands there is older than this tick of the clock of file times.
    std::thread::sleep(Duration::from_millis(20));
    LocalWatch::open(Root::new(root), false, Arc::default()).expect("watches")
}

/// Everything after `after`, once all is told.
async fn events(watch: &LocalWatch, after: &mut TxId) -> Vec<Event> {
    let mut found = Vec::new();
    loop {
        match watch.poll(*after).await.expect("an answer") {
            Poll::Reply(reply) => {
                *after = reply.applied;
                found.extend(reply.batches.into_iter().flat_map(|batch| batch.events));
                if reply.applied == reply.synced {
                    return found;
                }
            }
            other @ (Poll::Gap | Poll::Beyond) => panic!("{other:?}"),
        }
    }
}

fn path(text: &str) -> RelPath {
    text.into()
}

/// Who follows one file watches one directory, however many lie below it.
#[tokio::test]
async fn a_shallow_watch_takes_no_directory_below() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("d/deep")).expect("made");
    let watch = LocalWatch::open(Root::new(&root), true, Arc::default()).expect("watches");
    let mut after = watch.position().await.expect("a position");
    fs::create_dir_all(root.join("new/deep")).expect("made");
    events(&watch, &mut after).await;
    for name in ["d/file", "d/deep/file", "new/file", "new/deep/file", "file"] {
        fs::write(root.join(name), "x").expect("written");
    }
    let told = events(&watch, &mut after).await;
    assert_eq!(told, vec![Event::Created(path("file")), Event::Closed(path("file"))]);
    assert_eq!(watch.shared.lock().follower.watches(), 1);
}

#[tokio::test]
async fn kinds_of_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("d/deep")).expect("made");
    fs::write(root.join("f"), "old").expect("written");
    let watch = open(&root);
    let mut after = watch.position().await.expect("a position");
    assert_eq!(events(&watch, &mut after).await, vec![]);

    fs::write(root.join("d/deep/new"), "x").expect("written");
    assert_eq!(
        events(&watch, &mut after).await,
        vec![Event::Created(path("d/deep/new")), Event::Closed(path("d/deep/new"))]
    );
    fs::rename(root.join("d"), root.join("e")).expect("renamed");
    fs::write(root.join("e/deep/new"), "y").expect("written");
    assert_eq!(
        events(&watch, &mut after).await,
        vec![
            Event::Renamed { from: Some(path("d")), to: Some(path("e")) },
            Event::Closed(path("e/deep/new"))
        ]
    );
    fs::set_permissions(root.join("f"), fs::Permissions::from_mode(0o600)).expect("changed");
    fs::rename(root.join("f"), folder.path().join("outside")).expect("renamed");
    fs::rename(folder.path().join("outside"), root.join("g")).expect("renamed");
    fs::remove_file(root.join("g")).expect("removed");
    assert_eq!(
        events(&watch, &mut after).await,
        vec![
            Event::MetadataChanged(path("f")),
            Event::Renamed { from: Some(path("f")), to: None },
            Event::Renamed { from: None, to: Some(path("g")) },
            Event::Removed(path("g"))
        ]
    );
    fs::create_dir(root.join("h")).expect("made");
    fs::remove_dir_all(root.join("e")).expect("removed");
    let found = events(&watch, &mut after).await;
    assert_eq!(found[0], Event::DirectoryMade(path("h")));
    assert_eq!(found.last(), Some(&Event::Removed(path("e"))));
    assert!(watch.digest(after).await.expect("an answer").is_some());
}

#[tokio::test]
async fn a_link_and_a_pipe_end_as_changes_without_a_close() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("a"), "x").expect("written");
    let watch = open(folder.path());
    let mut after = watch.position().await.expect("a position");
    fs::hard_link(folder.path().join("a"), folder.path().join("b")).expect("linked");
    let pipe = folder.path().join("pipe");
    let mode = rustix::fs::Mode::RWXU;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).expect("made");
    assert_eq!(
        events(&watch, &mut after).await,
        vec![
            Event::Created(path("b")),
            Event::Created(path("pipe")),
            Event::Closed(path("b")),
            Event::Closed(path("pipe"))
        ]
    );
}

#[tokio::test]
async fn a_file_that_stays_open_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut file = File::create(folder.path().join("log")).expect("made");
    let watch = open(folder.path());
    let mut after = watch.position().await.expect("a position");
    for _ in 0..100 {
        file.write_all(b"line\n").expect("written");
    }
    assert_eq!(events(&watch, &mut after).await, vec![Event::Truncated(path("log"))]);
    drop(file);
    assert_eq!(events(&watch, &mut after).await, vec![Event::Closed(path("log"))]);
}

/// A store through a memory mapping raises no event: whoever kept the mapping had its file stay
/// as it was.
#[tokio::test]
async fn a_store_through_a_mapping_is_told() {
    // A file system in memory moves no times for it.
    let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
    let mapped = folder.path().join("d/mapped");
    fs::create_dir(folder.path().join("d")).expect("made");
    fs::write(&mapped, "old").expect("written");
    for number in 0..100 {
        fs::write(folder.path().join(format!("d/before-{number}")), "x").expect("written");
    }
    std::os::unix::fs::symlink("mapped", folder.path().join("d/link")).expect("linked");
    let watch = open(folder.path());
    let mut after = watch.position().await.expect("a position");
    let mut writer = map(&mapped);
    for number in 0..100 {
        fs::write(folder.path().join(format!("d/after-{number}")), "x").expect("written");
    }
    events(&watch, &mut after).await;
    let wanted = Event::Truncated(path("d/mapped"));
    for text in ["new", "odd"] {
        writer.store(text).expect("stored");
        let (mut told, began) = (Vec::new(), Instant::now());
        while !told.contains(&wanted) {
            assert!(began.elapsed() < Duration::from_secs(60), "{text}: {told:?}");
            told.extend(events(&watch, &mut after).await);
        }
        // Two files may share the place where it is kept that they were told of.
        let again =
            |it: &Event| matches!(it, Event::Truncated(file) if file.name().starts_with(b"after-"));
        told.retain(|event| !again(event));
        assert_eq!(told, std::slice::from_ref(&wanted), "once, and nothing else");
        assert_eq!(fs::read(&mapped).expect("read"), text.as_bytes());
        File::open(&mapped).and_then(|file| file.sync_all()).expect("written back");
    }
    drop(writer);
    assert_eq!(events(&watch, &mut after).await, vec![Event::Closed(path("d/mapped"))]);
}

/// The end was reached between two walks, however many stores were told of by none yet.
#[tokio::test]
async fn rule_10_3_a_thorough_answer_knows_of_each_store() {
    // A file system in memory moves no times for it.
    let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
    let mapped = folder.path().join("mapped");
    fs::write(&mapped, "old").expect("written");
    let watch = open(folder.path());
    let mut after = watch.position().await.expect("a position");
    let mut writer = map(&mapped);
    events(&watch, &mut after).await;
    for (number, text) in [(1, "new"), (2, "odd"), (3, "end")] {
        writer.store(text).expect("stored");
        let mut told = Vec::new();
        loop {
            let poll = watch.poll_thoroughly(after, Time(number)).await.expect("an answer");
            let Poll::Reply(reply) = poll else { panic!("{poll:?}") };
            after = reply.applied;
            told.extend(reply.batches.into_iter().flat_map(|batch| batch.events));
            if reply.applied == reply.synced {
                break;
            }
        }
        assert_eq!(told, [Event::Truncated(path("mapped"))], "{text}");
        File::open(&mapped).and_then(|file| file.sync_all()).expect("written back");
        // Into the next tick of the clock of file times.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Nothing is told of a name outside, and no look had found that the file has one.
#[tokio::test]
async fn a_write_through_a_name_made_outside_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let (root, outside) = (folder.path().join("root"), folder.path().join("outside"));
    fs::create_dir(&root).expect("made");
    fs::write(root.join("f"), "old").expect("written");
    let watch = open(&root);
    let mut after = watch.position().await.expect("a position");
    fs::hard_link(root.join("f"), &outside).expect("linked");
    fs::write(&outside, "new").expect("written");
    let (mut told, began) = (Vec::new(), Instant::now());
    while told.is_empty() && began.elapsed() < Duration::from_secs(60) {
        told.extend(events(&watch, &mut after).await);
    }
    assert_eq!(told, [Event::Truncated(path("f"))]);
}

/// Rule 1.1: what happened before the position was asked for is told up to it.
#[tokio::test]
async fn a_position_covers_what_was_done_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let watch = open(folder.path());
    let mut after = watch.position().await.expect("a position");
    for number in 0..200 {
        let name = format!("file-{number}");
        fs::write(folder.path().join(&name), "x").expect("written");
        let position = watch.position().await.expect("a position");
        let mut found = Vec::new();
        while after < position {
            match watch.poll(after).await.expect("an answer") {
                Poll::Reply(reply) => {
                    after = reply.applied;
                    found.extend(reply.batches.into_iter().flat_map(|batch| batch.events));
                }
                other @ (Poll::Gap | Poll::Beyond) => panic!("{other:?}"),
            }
        }
        assert!(found.contains(&Event::Closed(name.as_str().into())), "{name}: {found:?}");
    }
}

/// Rule 1.5.
#[tokio::test]
async fn the_root_and_what_is_above_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("above/root");
    fs::create_dir_all(&root).expect("made");
    let watch = open(&root);
    let mut after = watch.position().await.expect("a position");
    fs::write(folder.path().join("above/beside"), "x").expect("written");
    assert_eq!(events(&watch, &mut after).await, vec![]);
    fs::rename(folder.path().join("above"), folder.path().join("moved")).expect("renamed");
    assert_eq!(events(&watch, &mut after).await, vec![Event::RootTouched]);
    fs::rename(folder.path().join("moved/root"), folder.path().join("moved/r")).expect("renamed");
    assert!(events(&watch, &mut after).await.contains(&Event::RootTouched));
    fs::remove_dir(folder.path().join("moved/r")).expect("removed");
    assert!(events(&watch, &mut after).await.contains(&Event::RootTouched));
}

/// Rule 8.1: too many changes at once are a gap, never silence; afterwards all is told again.
#[tokio::test]
async fn an_overflow_is_a_gap() {
    let folder = tempfile::tempdir().expect("a folder");
    let watch = open(folder.path());
    let before = watch.position().await.expect("a position");
    let queue = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("a number");
    let queue: usize = queue.trim().parse().expect("a number");
    {
        let _nobody_reads = watch.shared.lock();
        fs::create_dir(folder.path().join("unseen")).expect("made");
        for number in 0..=queue / 2 {
            let name = folder.path().join((number % 2).to_string());
            fs::write(&name, number.to_string()).expect("written");
        }
        fs::create_dir(folder.path().join("unseen too")).expect("made");
    }
    let mut after = watch.position().await.expect("a position");
    assert_eq!(watch.poll(before).await.expect("an answer"), Poll::Gap);
    fs::write(folder.path().join("unseen too/file"), "x").expect("written");
    assert_eq!(
        events(&watch, &mut after).await,
        vec![Event::Created(path("unseen too/file")), Event::Closed(path("unseen too/file"))]
    );
}

/// A root that was away for a while was told as a queue that is too short.
#[tokio::test]
async fn the_remedy_of_a_gap_fits_its_cause() {
    let folder = tempfile::tempdir().expect("a folder");
    let (root, away) = (folder.path().join("root"), folder.path().join("away"));
    fs::create_dir(&root).expect("made");
    let pinned = Root::pinned(&root).expect("stands");
    let watch = LocalWatch::open(pinned, false, Arc::default()).expect("watches");
    let before = watch.position().await.expect("a position");
    fs::rename(&root, &away).expect("renamed");
    let _ = watch.position().await;
    fs::rename(&away, &root).expect("renamed");
    let _ = watch.position().await;
    assert_eq!(watch.poll(before).await.expect("an answer"), Poll::Gap);
    let Memory::Follower { remedy } = watch.memory() else { panic!("a local tree") };
    assert!(remedy.contains("root") && !remedy.contains("inotify"), "{remedy}");
}

#[tokio::test]
async fn another_start_is_another_history_with_larger_numbers() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = open(folder.path());
    fs::write(folder.path().join("a"), "x").expect("written");
    let position = first.position().await.expect("a position");
    let second = open(folder.path());
    assert!(second.position().await.expect("a position") > position);
    assert_ne!(first.history().await.expect("a name"), second.history().await.expect("a name"));
    assert_eq!(second.poll(position).await.expect("an answer"), Poll::Gap);
}

/// What makes up the state of a path, as far as a copy of it could differ.
type Look = (char, u64, u64, i64, i64, u32);

fn looks(root: &Path, below: &RelPath, found: &mut BTreeMap<RelPath, Look>) {
    let whole = root.join(below.as_text().expect("text"));
    for entry in fs::read_dir(whole).expect("lists") {
        let entry = entry.expect("an entry");
        let child = below.join(entry.file_name().as_encoded_bytes());
        let data = entry.metadata().expect("stands");
        if data.is_dir() {
            found.insert(child.clone(), ('d', data.ino(), 0, 0, 0, data.mode()));
            looks(root, &child, found);
        } else {
            let modified = data.mtime() * 1_000_000_000 + data.mtime_nsec();
            let changed = data.ctime() * 1_000_000_000 + data.ctime_nsec();
            found.insert(child, ('f', data.ino(), data.len(), modified, changed, data.mode()));
        }
    }
}

fn covers(event: &Event, path: &RelPath) -> bool {
    match event {
        Event::Created(at)
        | Event::Reopened(at)
        | Event::Closed(at)
        | Event::Truncated(at)
        | Event::DirectoryMade(at)
        | Event::MetadataChanged(at) => at == path,
        Event::Renamed { from, to } => {
            [from, to].into_iter().flatten().any(|end| end.contains(path))
        }
        Event::Removed(at) => at.contains(path),
        Event::RootTouched => false,
    }
}

/// A few names at a few depths, so that operations meet.
fn some_path(random: &mut TestRng, depth_max: usize) -> PathBuf {
    let depth = random.random_range(1..=depth_max);
    (0..depth).map(|_| ["a", "b", "c"][random.random_range(0..3)]).collect()
}

/// One operation; many fail because something is or is not there, and that is fine.
fn operate(root: &Path, random: &mut TestRng) {
    let one = root.join(some_path(random, 4));
    let two = root.join(some_path(random, 4));
    let body = vec![b'x'; random.random_range(0..50)];
    let _ = match random.random_range(0..12) {
        0 | 1 => fs::create_dir_all(&one),
        2 | 3 => fs::write(&one, body),
        4 => File::options().append(true).open(&one).and_then(|mut file| file.write_all(&body)),
        5 | 6 => fs::rename(&one, &two),
        7 => {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            rustix::fs::renameat_with(rustix::fs::CWD, &one, rustix::fs::CWD, &two, flags)
                .map_err(Into::into)
        }
        8 => fs::remove_file(&one),
        9 if random.random_range(0..3) == 0 => fs::remove_dir_all(&one),
        9 => fs::remove_dir(&one),
        10 => {
            let outside = root.with_extension("outside");
            match random.random_range(0..2) {
                0 => fs::rename(&one, outside),
                _ => fs::rename(outside, &one),
            }
        }
        _ => {
            let mode = if one.is_dir() { 0o755 } else { 0o600 + random.random_range(0..64) };
            fs::set_permissions(&one, fs::Permissions::from_mode(mode))
        }
    };
}

/// What core rests on: between two looks at the tree every path that differs was named, whatever
/// was done meanwhile and by however many at once.
async fn all_differences_are_named(seed: u64, rounds: usize, operations: usize, hands: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root");
    fs::create_dir(&root).expect("made");
    let watch = open(&root);
    let mut after = watch.position().await.expect("a position");
    let mut before = BTreeMap::new();
    for round in 0..rounds {
        let churning: Vec<_> = (0..hands)
            .map(|hand| {
                let root = root.clone();
                let mut bytes = [0; 32];
                bytes[..8].copy_from_slice(&seed.to_le_bytes());
                bytes[8..16].copy_from_slice(&(round as u64).to_le_bytes());
                bytes[16..24].copy_from_slice(&hand.to_le_bytes());
                std::thread::spawn(move || {
                    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
                    for _ in 0..operations {
                        operate(&root, &mut random);
                    }
                })
            })
            .collect();
        for hand in churning {
            hand.join().expect("no panic");
        }
        let told = events(&watch, &mut after).await;
        let mut now = BTreeMap::new();
        looks(&root, &RelPath::root(), &mut now);
        let paths: BTreeSet<&RelPath> = before.keys().chain(now.keys()).collect();
        for path in paths.into_iter().filter(|path| before.get(*path) != now.get(*path)) {
            assert!(
                told.iter().any(|event| covers(event, path)),
                "seed {seed}, round {round}: {path:?} was {:?}, is {:?}, told: {told:#?}",
                before.get(path),
                now.get(path),
            );
        }
        before = now;
    }
}

#[tokio::test]
async fn churn_by_one_hand() {
    for seed in 0..20 {
        all_differences_are_named(seed, 5, 40, 1).await;
    }
}

#[tokio::test]
async fn churn_by_several_hands() {
    for seed in 100..115 {
        all_differences_are_named(seed, 6, 150, 3).await;
    }
}
