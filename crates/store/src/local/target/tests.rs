use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use bytes::Bytes;
use proptest::prelude::*;
use whimbrel_core::metadata::Metadata;

use super::super::{ACL_ATTRIBUTE, Nesting, nested};
use super::*;

fn opened() -> (tempfile::TempDir, LocalTarget) {
    let folder = tempfile::tempdir().expect("a folder");
    let target = LocalTarget::open(&folder.path().join("root"), "m", &[]).expect("opens");
    (folder, target)
}

fn stamp(attempt: u64) -> Stamp {
    Stamp { migration: "m".to_owned(), attempt, metadata: None }
}

async fn put(target: &LocalTarget, key: &str, body: &'static str) -> Result<Standing, StoreError> {
    target
        .put(
            key.as_bytes(),
            Content::from(Bytes::from_static(body.as_bytes())),
            &stamp(1),
            &Expected::Anything,
        )
        .await
}

#[tokio::test]
async fn owner_mode_and_time_are_set() {
    let (folder, target) = opened();
    let metadata = Metadata {
        owner: "4242".to_owned(),
        group: "4343".to_owned(),
        mode: 0o4750,
        modified_ns: -1_500_000_000,
        ..Metadata::default()
    };
    let stamp = Stamp { metadata: Some(metadata.clone()), ..stamp(3) };
    target
        .put(b"d/f", Bytes::from_static(b"x").into(), &stamp, &Expected::Anything)
        .await
        .expect("written");
    let data = fs::metadata(folder.path().join("root/d/f")).expect("stands");
    assert_eq!((data.mtime(), data.mtime_nsec()), (-2, 500_000_000));
    if rustix::process::geteuid().is_root() {
        assert_eq!((data.uid(), data.gid(), data.mode() & 0o7777), (4242, 4343, 0o4750));
    } else {
        assert_eq!(data.mode() & 0o7777, 0o750, "set-id bits would speak of another owner");
    }
    let object = target.inspect(b"d/f").await.expect("an answer").expect("stands");
    let found = object.metadata.expect("some");
    assert_eq!((found.owner, found.group), (metadata.owner, metadata.group));
}

/// Set-id bits of an owner whom this machine does not know would give the rights of another.
#[tokio::test]
async fn set_id_bits_of_strangers_are_dropped() {
    let (folder, target) = opened();
    let metadata = Metadata {
        owner: "no such user here".to_owned(),
        group: "root".to_owned(),
        mode: 0o6755,
        ..Metadata::default()
    };
    let stamp = Stamp { metadata: Some(metadata), ..stamp(3) };
    target.put(b"f", Content::default(), &stamp, &Expected::Anything).await.expect("written");
    let data = fs::metadata(folder.path().join("root/f")).expect("stands");
    assert_eq!(data.mode() & 0o7777, 0o755);
}

/// A foreign writer changed the bytes in place: nothing of what we knew is believed.
/// Where the file system keeps lists (the working directory of a test is on a disk).
#[tokio::test]
async fn rights_that_were_taken_away_do_not_stay() {
    let (folder, target) = opened();
    let with_list = |attempt: u64, list: Option<&str>| {
        let mut stamp = stamp(attempt);
        let metadata = Metadata { owner: "root".to_owned(), mode: 0o640, ..Metadata::default() };
        stamp.metadata = Some(Metadata { acl: list.map(str::to_owned), ..metadata });
        stamp
    };
    let list = "user::rw-,user:root:rw-,group::r--,mask::rw-,other::---";
    let given = with_list(1, Some(list));
    for key in ["file", "directory/"] {
        target
            .put(key.as_bytes(), Content::default(), &given, &Expected::Anything)
            .await
            .expect("put");
    }
    let attribute = |name: &str| {
        let directory = fs::File::open(folder.path().join("root")).expect("opens");
        node::attribute(&directory, name.as_bytes(), ACL_ATTRIBUTE).expect("an answer")
    };
    if attribute("file").is_none() {
        eprintln!("no access control lists in {}: not tried", folder.path().display());
        return;
    }
    let unknown = "user::rw-,user:nobody knows:rw-,group::r--,mask::rw-,other::---";
    for (attempt, taken) in [(2, None), (3, Some(unknown))] {
        for (key, name) in [("file", "file"), ("directory/", "directory")] {
            let (key, gone) = (key.as_bytes(), with_list(attempt, taken));
            target.put(key, Content::default(), &given, &Expected::Anything).await.expect("given");
            assert!(attribute(name).is_some(), "{name}");
            let standing = target.inspect(key).await.expect("an answer").expect("it stands");
            let from = CopySource {
                key: key.to_vec(),
                version: None,
                etag: standing.etag,
                length: standing.length,
                crc32c: standing.crc32c,
            };
            let copied = target.copy(&from, key, &gone, &Expected::Anything).await;
            copied.expect("stamped anew");
            assert_eq!(attribute(name), None, "{name} {taken:?}");
            let found = target.inspect(key).await.expect("an answer").expect("it stands");
            let acl = found.metadata.and_then(|metadata| metadata.acl);
            assert_eq!(acl.as_deref(), taken, "{name}");
        }
    }
}

#[tokio::test]
async fn what_was_changed_in_place_is_not_ours_any_more() {
    let (folder, target) = opened();
    put(&target, "f", "bytes").await.expect("written");
    let object = target.inspect(b"f").await.expect("an answer").expect("stands");
    assert_eq!((object.attempt, object.crc32c), (Some(1), Some(crc32c::crc32c(b"bytes"))));
    fs::write(folder.path().join("root/f"), "other").expect("written");
    let object = target.inspect(b"f").await.expect("an answer").expect("stands");
    assert_eq!((object.attempt, object.migration, object.crc32c), (None, None, None));
}

#[tokio::test]
async fn nothing_leads_out_of_the_root() {
    let (folder, target) = opened();
    fs::create_dir(folder.path().join("outside")).expect("made");
    fs::write(folder.path().join("outside/f"), "mine").expect("written");
    symlink(folder.path().join("outside"), folder.path().join("root/link")).expect("linked");
    symlink(folder.path().join("outside/f"), folder.path().join("root/file")).expect("linked");
    let outcome = put(&target, "link/f", "bad").await;
    assert!(matches!(outcome, Err(StoreError::Conflict { .. })), "{outcome:?}");
    put(&target, "file", "good").await.expect("the link itself is replaced");
    assert_eq!(target.inspect(b"link/f").await.expect("an answer"), None);
    target.remove(&[(b"link/f".to_vec(), Expected::Anything)]).await.expect("an answer");
    for key in ["../outside/f", "a/../../outside/f", "/f", "a\0b", ".whimbrel-tmp-m/f"] {
        let outcome = put(&target, key, "bad").await;
        assert!(matches!(outcome, Err(StoreError::Refused { .. })), "{key}: {outcome:?}");
    }
    let outside = fs::read_to_string(folder.path().join("outside/f")).expect("reads");
    assert_eq!(outside, "mine");
    assert_eq!(fs::read_to_string(folder.path().join("root/file")).expect("reads"), "good");
}

/// A file takes the place of a tree that was emptied, never of one that holds something.
#[tokio::test]
async fn a_file_where_a_directory_stood() {
    let (folder, target) = opened();
    put(&target, "a/b/c", "x").await.expect("written");
    let outcome = put(&target, "a", "y").await;
    assert!(matches!(outcome, Err(StoreError::Conflict { .. })), "{outcome:?}");
    target.remove(&[(b"a/b/c".to_vec(), Expected::Anything)]).await.expect("an answer")[0]
        .as_ref()
        .expect("removed");
    put(&target, "a", "y").await.expect("written");
    assert_eq!(fs::read_to_string(folder.path().join("root/a")).expect("reads"), "y");
}

#[tokio::test]
async fn uploads_outlive_the_process_and_other_leftovers_do_not() {
    let (folder, target) = opened();
    let root = folder.path().join("root");
    let part =
        Content::from(Bytes::from(vec![b'p'; usize::try_from(upload::PART_BYTES).expect("fits")]));
    let kept = target.open_upload(b"big", &stamp(5)).await.expect("begun");
    let first = target.put_part(b"big", &kept, 1, part).await.expect("sent");
    let left = target.open_upload(b"other", &stamp(6)).await.expect("begun");
    let folder_of_m = root.join(".whimbrel-tmp-m");
    fs::write(folder_of_m.join("7-123-0"), "unfinished").expect("written");
    fs::create_dir(root.join(".whimbrel-tmp-another")).expect("made");
    fs::write(root.join(".whimbrel-tmp-another/1-1-1"), "theirs").expect("written");
    drop(target);

    let target = LocalTarget::open(&root, "m", std::slice::from_ref(&kept)).expect("opens");
    let names: Vec<String> = fs::read_dir(&folder_of_m)
        .expect("lists")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert!(names.iter().all(|name| name.starts_with(&kept)), "{names:?}");
    let late = target.put_part(b"other", &left, 1, Content::default()).await;
    assert!(matches!(late, Err(StoreError::Conflict { .. })), "{late:?}");
    let tail = Content::from(Bytes::from_static(b"tail"));
    let second = target.put_part(b"big", &kept, 2, tail).await.expect("sent");
    let crc32c = crc32c::crc32c_combine(first.crc32c, second.crc32c, 4);
    let parts = [first, second];
    let standing = target
        .complete_upload(b"big", &kept, &parts, crc32c, &Expected::Anything)
        .await
        .expect("complete");
    assert_eq!(standing.attempt, Some(AttemptNumber(5)));
    assert!(!folder_of_m.exists());
    assert!(root.join(".whimbrel-tmp-another/1-1-1").exists());
    assert!(target.list(b"", None).await.expect("a page").objects.len() == 1);
}

/// Whoever gave up waiting finds the key as it was, then and later.
#[tokio::test]
async fn rule_4_2_dropped_question_has_no_late_effect() {
    let (folder, target) = opened();
    let root = folder.path().join("root");
    for number in 0..50 {
        let key = format!("f{number}");
        let body = Content::from(Bytes::from(vec![b'x'; 100_000]));
        let stamp = stamp(1);
        let asked = target.put(key.as_bytes(), body, &stamp, &Expected::Anything);
        let waited = std::time::Duration::from_micros(number * 40);
        if tokio::time::timeout(waited, asked).await.is_err() {
            let at_once = root.join(&key).exists();
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            assert_eq!(root.join(&key).exists(), at_once, "{key}");
        }
    }
}

#[tokio::test]
async fn looking_changes_nothing() {
    let (folder, target) = opened();
    put(&target, "d/f", "x").await.expect("written");
    let root = folder.path().join("root");
    let before = fs::metadata(&root).expect("stands").ctime_nsec();
    let looking = LocalTarget::look_at(&root).expect("opens");
    assert!(looking.inspect(b"d/f").await.expect("an answer").is_some());
    assert_eq!(looking.list(b"", None).await.expect("a page").objects.len(), 1);
    assert_eq!(fs::metadata(&root).expect("stands").ctime_nsec(), before);
    let missing = LocalTarget::look_at(&folder.path().join("none"));
    assert!(matches!(missing, Err(StoreError::Missing { .. })), "{missing:?}");
    assert!(!folder.path().join("none").exists());
}

/// A dry run failed where the real one makes the directory.
#[tokio::test]
async fn looking_ahead_takes_what_does_not_stand_for_empty() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("not/yet");
    let looking = LocalTarget::look_ahead(&root).expect("opens");
    assert!(looking.list(b"", None).await.expect("a page").objects.is_empty());
    assert_eq!(looking.inspect(b"f").await.expect("an answer"), None);
    let written = put(&looking, "f", "x").await;
    assert!(written.is_err(), "{written:?}");
    assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), 0);

    fs::create_dir_all(&root).expect("made");
    let appeared = looking.list(b"", None).await;
    assert!(matches!(appeared, Err(StoreError::Unavailable { .. })), "{appeared:?}");
    fs::write(folder.path().join("file"), "").expect("written");
    let in_the_way = LocalTarget::look_ahead(&folder.path().join("file/below"));
    assert!(matches!(in_the_way, Err(StoreError::Conflict { .. })), "{in_the_way:?}");
}

/// The mount went: nothing is written into the mount point.
#[tokio::test]
async fn another_root_in_its_place_is_not_written() {
    let (folder, target) = opened();
    fs::rename(folder.path().join("root"), folder.path().join("away")).expect("renamed");
    let gone = put(&target, "f", "x").await;
    assert!(matches!(gone, Err(StoreError::Unavailable { .. })), "{gone:?}");
    fs::create_dir(folder.path().join("root")).expect("made");
    let other = put(&target, "f", "x").await;
    let Err(StoreError::Unavailable { message, remedy }) = other else { panic!("{other:?}") };
    assert!(message.contains("another directory stands at"), "{message}");
    assert!(remedy.contains("--adopt"), "{remedy}");
    assert_eq!(fs::read_dir(folder.path().join("root")).expect("lists").count(), 0);
}

#[tokio::test]
async fn a_full_disk_is_said_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = c"size=1m";
    let mounted = rustix::mount::mount(
        "tmpfs",
        folder.path(),
        "tmpfs",
        rustix::mount::MountFlags::empty(),
        options,
    );
    if mounted.is_err() {
        println!("not allowed to mount: not tried");
        return;
    }
    let target = LocalTarget::open(folder.path(), "m", &[]).expect("opens");
    let body = Content::from(Bytes::from(vec![7; 2 * 1024 * 1024]));
    let outcome = target.put(b"f", body, &stamp(1), &Expected::Anything).await;
    let left = fs::read_dir(folder.path()).expect("lists").count();
    let small = put(&target, "f", "fits").await;
    drop(target);
    rustix::mount::unmount(folder.path(), rustix::mount::UnmountFlags::empty()).expect("unmounted");
    assert!(matches!(outcome, Err(StoreError::Full { .. })), "{outcome:?}");
    assert_eq!(left, 0);
    small.expect("written");
}

#[test]
fn roots_in_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |path: &str| folder.path().join(path);
    fs::create_dir_all(at("a/b")).expect("made");
    fs::create_dir_all(at("c")).expect("made");
    symlink(at("a/b"), at("c/link")).expect("linked");
    for (source, target, expected) in [
        ("a", "c", None),
        ("a", "ab", None),
        ("a", "a", Some(Nesting::Same)),
        ("a", "a/b", Some(Nesting::TargetInSource)),
        ("a", "a/new/deep", Some(Nesting::TargetInSource)),
        ("a", "c/link/new", Some(Nesting::TargetInSource)),
        ("a/b", "a", Some(Nesting::SourceInTarget)),
        ("c/link", "a", Some(Nesting::SourceInTarget)),
        ("a/b", "a/new", None),
    ] {
        let found = nested(&at(source), &at(target)).expect("an answer");
        assert_eq!(found, expected, "{source} {target}");
    }
}

/// A directory of the source, mounted elsewhere: its ways up do not meet.
#[test]
fn roots_in_each_other_by_a_mount() {
    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
    let folder = tempfile::tempdir().expect("a folder");
    let at = |path: &str| folder.path().join(path);
    fs::create_dir_all(at("a/b")).expect("made");
    fs::create_dir_all(at("c d")).expect("made");
    if mount(at("a/b"), at("c d"), "", MountFlags::BIND, None).is_err() {
        println!("not allowed to mount: not tried");
        return;
    }
    let found = [("a", "c d"), ("a", "c d/new"), ("c d", "a"), ("a/b", "c d"), ("a/new", "c d")]
        .map(|(source, target)| {
            fs::create_dir_all(at(source)).expect("made");
            nested(&at(source), &at(target))
        });
    unmount(at("c d"), UnmountFlags::empty()).expect("unmounted");
    let expected = [
        Some(Nesting::TargetInSource),
        Some(Nesting::TargetInSource),
        Some(Nesting::SourceInTarget),
        Some(Nesting::Same),
        None,
    ];
    assert_eq!(found.map(|found| found.expect("an answer")), expected);
}

fn keys() -> impl Strategy<Value = Vec<String>> {
    let name = prop::sample::select(vec!["a", "a.", "a-b", "a0", "b", "c!"]);
    let key = prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
    prop::collection::vec(key, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any prefix and any place to go on from give what sorting whole keys gives.
    #[test]
    fn listed_as_sorted(
        written in keys(),
        prefix in prop::sample::select(vec!["", "a", "a/", "a-", "b/a", "c"]),
        after in prop::option::of(prop::sample::select(vec!["a", "a/", "a.", "a/a-b/", "b/b"])),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runs");
        let (_folder, target) = opened();
        let mut standing = BTreeMap::new();
        runtime.block_on(async {
            for key in &written {
                if put(&target, key, "x").await.is_ok() {
                    standing.insert(key.clone().into_bytes(), ());
                }
            }
            let page = target.list(prefix.as_bytes(), after.map(str::as_bytes)).await;
            let found: Vec<Vec<u8>> =
                page.expect("a page").objects.into_iter().map(|object| object.key).collect();
            let expected: Vec<Vec<u8>> = standing
                .into_keys()
                .filter(|key| key.starts_with(prefix.as_bytes()))
                .filter(|key| after.is_none_or(|after| key.as_slice() > after.as_bytes()))
                .collect();
            prop_assert_eq!(found, expected);
            Ok(())
        })?;
    }
}

/// What stands under the name is compared right before the rename and the removal (rule 4.4).
#[tokio::test]
async fn rule_4_4_another_file_stays_where_it_stands() {
    let (folder, target) = opened();
    assert!(target.abilities().conditions.writes, "this file system keeps attributes");
    let body = || Content::from(Bytes::from_static(b"x"));
    let unexpected =
        |outcome: Result<_, StoreError>| matches!(outcome, Err(StoreError::Unexpected { .. }));
    let first = target.put(b"f", body(), &stamp(1), &Expected::Nothing).await.expect("new");
    let ours = Expected::Object(first.etag.expect("a tag"));
    assert!(unexpected(target.put(b"f", body(), &stamp(2), &Expected::Nothing).await));
    fs::write(folder.path().join("root/f"), "somebody else's").expect("written");
    assert!(unexpected(target.put(b"f", body(), &stamp(3), &ours).await));
    let object = target.inspect(b"f").await.expect("an answer").expect("it stands");
    assert_eq!((object.migration, object.attempt), (None, None), "it is not ours any more");
    let outcomes = target.remove(&[(b"f".to_vec(), ours.clone())]).await.expect("an answer");
    assert!(matches!(outcomes[..], [Err(StoreError::Unexpected { .. })]), "{outcomes:?}");
    fs::remove_file(folder.path().join("root/f")).expect("removed");
    assert!(unexpected(target.put(b"f", body(), &stamp(4), &ours).await));
    let outcomes = target.remove(&[(b"f".to_vec(), ours)]).await.expect("an answer");
    assert!(matches!(outcomes[..], [Ok(())]), "what is gone is removed already");
    target.put(b"f", body(), &stamp(5), &Expected::Nothing).await.expect("free again");
}
