use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use futures_util::stream;
use rustix::fs::{XattrFlags, setxattr};
use tempfile::TempDir;

use super::*;
use crate::local::account::Accounts;
use crate::local::{DEFAULT_ACL_ATTRIBUTE, LocalSource, acl};

const NOBODY: u32 = 65_534;

fn opened() -> (TempDir, Arc<LocalSource>, OverTarget) {
    let folder = tempfile::tempdir().expect("a folder");
    let source = Arc::new(LocalSource::open(folder.path()).expect("opens"));
    let target = LocalTarget::open(folder.path(), "m", &[]).expect("opens");
    let over = OverTarget::new(source.clone(), target, "m");
    (folder, source, over)
}

async fn put(
    over: &OverTarget,
    path: &str,
    bytes: &Bytes,
    expected: Option<&FileNode>,
) -> Result<Put, StoreError> {
    let metadata = expected.map(|file| file.metadata.clone()).unwrap_or_default();
    let metadata = Metadata { modified_ns: 5_000_000_007, ..metadata };
    let length = bytes.len() as u64;
    let path = RelPath::from(path);
    let file = Carried { path: &path, length, crc32c: None, metadata, expected };
    let pour = || -> ByteStream { Box::pin(stream::iter([Ok(bytes.clone())])) };
    over.put(&file, &pour).await
}

async fn file(source: &LocalSource, path: &str) -> FileNode {
    match source.stat(&path.into()).await.expect("an answer") {
        Some(Node::File(file)) => file,
        other => panic!("{other:?}"),
    }
}

fn attribute(path: &Path, name: &str, value: &[u8]) -> bool {
    setxattr(path, name, value, XattrFlags::empty()).is_ok()
}

/// They got the owner and group of the process.
#[tokio::test]
async fn what_is_new_belongs_to_its_directory() {
    let (folder, source, over) = opened();
    let at = |path: &str| folder.path().join(path);
    fs::create_dir(at("d")).expect("made");
    if chown(at("d"), Some(NOBODY), Some(NOBODY)).is_err() {
        println!("SKIPPED: needs the right to give files away");
        return;
    }
    let large = Bytes::from(vec![7; 17 << 20]);
    for (path, bytes) in [("d/new/f", Bytes::from_static(b"short")), ("d/large", large)] {
        put(&over, path, &bytes, None).await.expect("written");
        assert_eq!(fs::read(at(path)).expect("stands"), bytes);
    }
    over.make_directory(&"d/hollow/deep".into(), None).await.expect("made");
    for (path, mode) in [
        ("d/new", 0o755),
        ("d/new/f", 0o644),
        ("d/large", 0o644),
        ("d/hollow", 0o755),
        ("d/hollow/deep", 0o755),
    ] {
        let stands = fs::metadata(at(path)).expect("stands");
        let told = (stands.uid(), stands.gid(), stands.mode() & 0o7777);
        assert_eq!(told, (NOBODY, NOBODY, mode), "{path}");
    }
    let metadata = file(&source, "d/new/f").await.metadata;
    assert_eq!((metadata.modified_ns, metadata.acl), (5_000_000_007, None));
    assert_eq!(metadata.xattrs, BTreeMap::new());
}

#[tokio::test]
async fn what_is_new_gets_what_its_directory_hands_on() {
    let (folder, source, over) = opened();
    let list = "user::rwx,user:root:rwx,group::r-x,mask::rwx,other::---";
    let value = acl::attribute(list, 0o770, &Accounts::default()).expect("all are known");
    let handing = folder.path().join("s");
    fs::create_dir(&handing).expect("made");
    if !attribute(&handing, DEFAULT_ACL_ATTRIBUTE, &value) {
        println!("SKIPPED: the file system keeps no lists");
        return;
    }
    put(&over, "s/d/f", &Bytes::from_static(b"short"), None).await.expect("written");
    let metadata = file(&source, "s/d/f").await.metadata;
    let handed_on = "user::rw-,user:root:rwx,group::r-x,mask::rw-,other::---";
    assert_eq!((metadata.mode, metadata.acl.as_deref()), (0o660, Some(handed_on)));
    let Some(Node::Directory(node)) = source.stat(&"s/d".into()).await.expect("an answer") else {
        panic!("a directory")
    };
    assert_eq!((node.metadata.mode, node.metadata.acl.as_deref()), (0o770, Some(list)));
}

/// They were lost with the file that was replaced, and nobody was told.
#[tokio::test]
async fn what_security_modules_keep_of_a_file_stays() {
    let (folder, source, over) = opened();
    let at = |path: &str| folder.path().join(path);
    for path in ["labelled", "signed"] {
        fs::write(at(path), "first").expect("written");
    }
    let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    if !attribute(&at("labelled"), "security.note", b"label")
        || !attribute(&at("labelled"), "security.capability", capability)
        || !attribute(&at("signed"), "security.ima", b"\x01sum")
    {
        println!("SKIPPED: needs the right to set such attributes");
        return;
    }
    let second = Bytes::from_static(b"second");
    let before = file(&source, "labelled").await;
    put(&over, "labelled", &second, Some(&before)).await.expect("written");
    assert_eq!(fs::read(at("labelled")).expect("stands"), second);
    let kept = source.xattrs(&"labelled".into()).await.expect("an answer");
    assert_eq!(kept.get("security.note").map(Vec::as_slice), Some(&b"label"[..]));
    assert_eq!(kept.get("security.capability"), None, "other bytes do not run with more rights");

    let before = file(&source, "signed").await;
    let refused = put(&over, "signed", &second, Some(&before)).await;
    let Err(StoreError::Unsupported { message, .. }) = refused else { panic!("{refused:?}") };
    assert!(message.contains("security.ima"), "{message}");
    assert_eq!(fs::read(at("signed")).expect("stands"), b"first");
}

/// It ended the call, and every one after it.
#[tokio::test]
async fn a_mount_point_is_kept() {
    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
    let (folder, _, over) = opened();
    let point = folder.path().join("m");
    fs::create_dir(&point).expect("made");
    if mount("tmpfs", &point, "tmpfs", MountFlags::empty(), None).is_err() {
        println!("SKIPPED: needs the right to mount");
        return;
    }
    let removed = over.remove_directory(&"m".into()).await;
    unmount(&point, UnmountFlags::DETACH).expect("unmounted");
    assert!(!removed.expect("an answer"));
    assert!(over.remove_directory(&"m".into()).await.expect("an answer"));
}
