use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use whimbrel_core::identity::Sameness;

use super::*;

fn opened() -> (tempfile::TempDir, LocalSource) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("root")).expect("made");
    fs::write(folder.path().join("secret"), "outside").expect("written");
    let source = LocalSource::open(&folder.path().join("root")).expect("opens");
    (folder, source)
}

async fn stat(source: &LocalSource, path: &str) -> Option<Node> {
    source.stat(&path.into()).await.expect("an answer")
}

async fn file(source: &LocalSource, path: &str) -> FileNode {
    match stat(source, path).await {
        Some(Node::File(node)) => node,
        other => panic!("{other:?}"),
    }
}

async fn read(source: &LocalSource, path: &str, node: &FileNode) -> Result<Vec<u8>, StoreError> {
    let mut stream = source.read(&path.into(), node, 0..node.identity.length());
    let mut whole = Vec::new();
    while let Some(piece) = stream.next().await {
        whole.extend_from_slice(&piece?);
    }
    Ok(whole)
}

/// A directory that was removed while it was looked at was told as a root that is gone.
#[test]
fn a_directory_that_is_removed_under_the_look_holds_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("d");
    fs::create_dir(&path).expect("made");
    let opened = || OwnedFd::from(File::open(&path).expect("opened"));
    assert_eq!(is_empty(&opened()), Ok(true));
    fs::write(path.join("f"), "").expect("written");
    assert_eq!(is_empty(&opened()), Ok(false));
    let handle = opened();
    fs::remove_dir_all(&path).expect("removed");
    assert_eq!(is_empty(&handle), Ok(true));
}

#[tokio::test]
async fn what_is_no_file_is_named_and_not_followed() {
    let (folder, source) = opened();
    let root = folder.path().join("root");
    symlink("../secret", root.join("link")).expect("linked");
    symlink("..", root.join("up")).expect("linked");
    symlink("nowhere", root.join("broken")).expect("linked");
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).expect("bound");
    let mode = rustix::fs::Mode::RWXU;
    rustix::fs::mknodat(rustix::fs::CWD, root.join("pipe"), FileType::Fifo, mode, 0).expect("made");
    let page = source.list(&RelPath::root(), None).await.expect("an answer").expect("a page");
    let found: Vec<(String, Node)> =
        page.entries.into_iter().map(|entry| (entry.path.to_string(), entry.node)).collect();
    let special = |what: &str| Node::Special(what.to_owned());
    let expected = [
        ("broken", "symbolic link"),
        ("link", "symbolic link"),
        ("pipe", "named pipe"),
        ("socket", "socket"),
        ("up", "symbolic link"),
    ];
    let expected = expected.map(|(name, what)| (name.to_owned(), special(what)));
    assert_eq!(found, expected);
    assert_eq!(stat(&source, "up/secret").await, None);
    let above = source.stat(&"../secret".into()).await;
    assert!(matches!(above, Err(StoreError::Refused { .. })), "{above:?}");
    assert_eq!(source.list(&"up".into(), None).await.expect("an answer"), None);
}

/// A link that is swapped in after the look leads nowhere.
#[tokio::test]
async fn a_link_swapped_in_is_not_followed() {
    let (folder, source) = opened();
    let root = folder.path().join("root");
    fs::create_dir(root.join("d")).expect("made");
    fs::write(root.join("d/secret"), "inside!").expect("written");
    let node = file(&source, "d/secret").await;
    fs::rename(root.join("d"), root.join("e")).expect("renamed");
    symlink(folder.path(), root.join("d")).expect("linked");
    let outcome = read(&source, "d/secret", &node).await;
    assert!(matches!(outcome, Err(StoreError::Moved { .. })), "{outcome:?}");
    fs::remove_file(root.join("e/secret")).expect("removed");
    symlink("../../secret", root.join("e/secret")).expect("linked");
    let outcome = read(&source, "e/secret", &node).await;
    assert!(outcome.is_err(), "{outcome:?}");
}

/// Length and modification time are as before; the bytes are not.
/// The kernel walks to a deep path at once, within the root: it is told to follow no link either.
#[tokio::test]
async fn a_link_on_the_way_to_a_deep_path_is_not_followed() {
    let (folder, source) = opened();
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("a/b/c")).expect("made");
    fs::write(root.join("a/b/c/f"), "content").expect("written");
    symlink("a", root.join("l")).expect("linked");
    symlink("b", root.join("a/l")).expect("linked");
    symlink("f", root.join("a/b/c/l")).expect("linked");
    let node = file(&source, "a/b/c/f").await;
    assert_eq!(read(&source, "a/b/c/f", &node).await.expect("read"), b"content");
    for linked in ["l/b/c/f", "a/l/c/f"] {
        assert_eq!(stat(&source, linked).await, None, "{linked}");
        assert_eq!(source.list(&linked[..5].into(), None).await.expect("an answer"), None);
    }
    for linked in ["l/b/c/f", "a/l/c/f", "a/b/c/l"] {
        let outcome = read(&source, linked, &node).await;
        assert!(matches!(outcome, Err(StoreError::Moved { .. })), "{linked}: {outcome:?}");
    }
}

#[tokio::test]
async fn rule_2_2_rewrite_with_its_time_set_back_is_another_file() {
    let (folder, source) = opened();
    let path = folder.path().join("root/f");
    fs::write(&path, "old bytes").expect("written");
    let node = file(&source, "f").await;
    let modified = fs::metadata(&path).and_then(|data| data.modified()).expect("a time");
    let written = File::options().write(true).open(&path).expect("opens");
    written.write_all_at(b"new", 0).expect("written");
    written.set_times(FileTimes::new().set_modified(modified)).expect("set");
    let now = file(&source, "f").await;
    assert_eq!(now.metadata.modified_ns, node.metadata.modified_ns);
    assert_ne!(now.identity, node.identity);
    let outcome = read(&source, "f", &node).await;
    assert!(matches!(outcome, Err(StoreError::Moved { .. })), "{outcome:?}");
    assert_eq!(read(&source, "f", &now).await.expect("reads"), b"new bytes");
}

/// A name that is used again, and often its inode with it: same length, same time.
#[tokio::test]
async fn rule_2_2_file_made_again_is_another_file() {
    let (folder, source) = opened();
    let path = folder.path().join("root/f");
    fs::write(&path, "old bytes").expect("written");
    let node = file(&source, "f").await;
    let modified = fs::metadata(&path).and_then(|data| data.modified()).expect("a time");
    for _ in 0..20 {
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "new bytes").expect("written");
        let times = FileTimes::new().set_modified(modified);
        File::options().write(true).open(&path).and_then(|f| f.set_times(times)).expect("set");
        let now = file(&source, "f").await;
        assert_eq!(now.metadata.modified_ns, node.metadata.modified_ns);
        assert_ne!(now.identity.compare(&node.identity), Sameness::Same, "{now:?}");
        let outcome = read(&source, "f", &node).await;
        assert!(matches!(outcome, Err(StoreError::Moved { .. })), "{outcome:?}");
    }
}

/// Part 1 of x, swap x and y, part 2, swap back: never bytes of y.
#[tokio::test]
async fn rule_3_1_swapped_between_two_ranges() {
    let (folder, source) = opened();
    let root = folder.path().join("root");
    fs::write(root.join("x"), "xxxxxxxx").expect("written");
    fs::write(root.join("y"), "yyyyyyyy").expect("written");
    let swap = || {
        for (from, to) in [("x", "aside"), ("y", "x"), ("aside", "y")] {
            fs::rename(root.join(from), root.join(to)).expect("renamed");
        }
    };
    let node = file(&source, "x").await;
    let range = async |range| {
        let pieces: Vec<Bytes> = source.read(&"x".into(), &node, range).try_collect().await?;
        Ok::<Vec<u8>, StoreError>(pieces.concat())
    };
    assert_eq!(range(0..4).await.expect("reads"), b"xxxx");
    swap();
    let second = range(4..8).await;
    assert!(matches!(second, Err(StoreError::Moved { .. })), "{second:?}");
    swap();
    let again = range(4..8).await;
    assert!(!matches!(&again, Ok(bytes) if bytes != b"xxxx"), "{again:?}");
}

/// A file that grew still has what it began with; one that was cut, or another one, does not.
#[tokio::test]
async fn rule_3_4_what_a_grown_file_begins_with() {
    let (folder, source) = opened();
    let path = folder.path().join("root/f");
    fs::write(&path, "beginning").expect("written");
    let node = file(&source, "f").await;
    let beginning = async || {
        let range = 0..node.identity.length();
        let pieces: Vec<Bytes> =
            source.read_beginning(&"f".into(), &node, range).try_collect().await?;
        Ok::<Vec<u8>, StoreError>(pieces.concat())
    };
    fs::write(&path, "beginning and more").expect("written");
    assert_eq!(beginning().await.expect("reads"), b"beginning");
    let strictly = read(&source, "f", &node).await;
    assert!(matches!(strictly, Err(StoreError::Moved { .. })), "{strictly:?}");
    fs::write(&path, "begin").expect("written");
    let cut = beginning().await;
    assert!(matches!(cut, Err(StoreError::Moved { .. })), "{cut:?}");
    fs::write(folder.path().join("root/g"), "beginning and more").expect("written");
    fs::rename(folder.path().join("root/g"), &path).expect("renamed");
    let another = beginning().await;
    assert!(matches!(another, Err(StoreError::Moved { .. })), "{another:?}");
}

/// The last piece is not given out before the file is known to have stood still.
#[tokio::test]
async fn a_change_under_the_reading_is_noticed() {
    let (folder, source) = opened();
    let path = folder.path().join("root/f");
    fs::write(&path, vec![b'a'; 8 * 1024 * 1024]).expect("written");
    let node = file(&source, "f").await;
    let mut stream = source.read(&"f".into(), &node, 0..node.identity.length());
    let first = stream.next().await.expect("a piece").expect("good");
    File::options().write(true).open(&path).and_then(|f| f.write_all_at(b"b", 0)).expect("written");
    let mut bytes = first.len();
    let last = loop {
        match stream.next().await.expect("an end by an error") {
            Ok(piece) => bytes += piece.len(),
            Err(error) => break error,
        }
    };
    assert!(matches!(last, StoreError::Moved { .. }), "{last}");
    assert!(bytes < 8 * 1024 * 1024);
}

#[tokio::test]
async fn access_times_stay() {
    let (folder, source) = opened();
    let path = folder.path().join("root/f");
    fs::write(&path, "bytes").expect("written");
    let old = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    let times = FileTimes::new().set_accessed(old);
    File::options().write(true).open(&path).and_then(|f| f.set_times(times)).expect("set");
    let node = file(&source, "f").await;
    assert_eq!(read(&source, "f", &node).await.expect("reads"), b"bytes");
    assert_eq!(fs::metadata(&path).expect("stands").atime(), 1_000_000);
}

#[tokio::test]
async fn a_single_file_is_a_source() {
    let (folder, _) = opened();
    let source = LocalSource::open(&folder.path().join("secret")).expect("opens");
    let node = file(&source, "").await;
    assert_eq!(read(&source, "", &node).await.expect("reads"), b"outside");
    assert_eq!(source.list(&RelPath::root(), None).await.expect("an answer"), None);
    assert!(matches!(source.stream().await.err(), Some(StoreError::Unsupported { .. })));
}

#[tokio::test]
async fn metadata_and_attributes() {
    let (folder, source) = opened();
    let path = folder.path().join("root/f");
    fs::write(&path, "x").expect("written");
    let handle = File::open(&path).expect("opens");
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::fsetxattr(&handle, "user.colour", b"\x00\xff", flags).expect("kept");
    let list = "user::rw-,user:4242:r-x,group::r--,mask::r-x,other::---";
    let attribute = super::super::acl::attribute(list, 0o650, &Accounts::default());
    let attribute = attribute.expect("understood");
    rustix::fs::fsetxattr(&handle, super::super::ACL_ATTRIBUTE, &attribute, flags).expect("kept");
    let node = file(&source, "f").await;
    assert_eq!(node.metadata.acl.as_deref(), Some(list));
    assert_eq!(node.metadata.mode, 0o650);
    let data = fs::metadata(&path).expect("stands");
    assert_eq!(node.metadata.modified_ns, data.mtime() * 1_000_000_000 + data.mtime_nsec());
    let xattrs = source.xattrs(&"f".into()).await.expect("an answer");
    assert_eq!(xattrs, BTreeMap::from([("user.colour".to_owned(), b"\x00\xff".to_vec())]));
}

/// A root that went is absent, and another one in its place has another key.
#[tokio::test]
async fn rule_1_5_root_is_known_again() {
    let (folder, source) = opened();
    let key = |node: Option<Node>| match node {
        Some(Node::Directory(directory)) => Some(directory.file_key),
        _ => None,
    };
    let pinned = key(stat(&source, "").await).expect("a directory");
    fs::rename(folder.path().join("root"), folder.path().join("away")).expect("renamed");
    assert_eq!(stat(&source, "").await, None);
    fs::create_dir(folder.path().join("root")).expect("made");
    assert_ne!(key(stat(&source, "").await), Some(pinned));
}

/// Of another root nothing is told, and what the pinned one would say is not known: "absent" would
/// be believed once that one is back.
#[tokio::test]
async fn rule_1_5_nothing_is_told_of_another_root() {
    let (folder, source) = opened();
    let (root, away) = (folder.path().join("root"), folder.path().join("away"));
    fs::write(root.join("kept"), "kept").expect("written");
    let kept = file(&source, "kept").await;
    fs::rename(&root, &away).expect("renamed");
    for other in [false, true] {
        if other {
            fs::create_dir(&root).expect("made");
            fs::write(root.join("kept"), "kept").expect("written");
        }
        for path in ["kept", "absent"] {
            let answer = source.stat(&path.into()).await;
            assert!(matches!(answer, Err(StoreError::Missing { .. })), "{path}: {answer:?}");
        }
        let listed = source.list(&RelPath::root(), None).await;
        assert!(matches!(listed, Ok(None)), "{listed:?}");
        let bytes = read(&source, "kept", &kept).await;
        assert!(matches!(bytes, Err(StoreError::Moved { .. })), "{bytes:?}");
    }
    fs::remove_dir_all(&root).expect("removed");
    fs::rename(&away, &root).expect("renamed");
    assert_eq!(file(&source, "kept").await, kept);
    assert_eq!(stat(&source, "absent").await, None);
}

#[tokio::test]
async fn a_missing_root_is_said() {
    let error = LocalSource::open(Path::new("/no/such/folder")).expect_err("nothing is there");
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
}
