//! The HDFS source and its stream against a real cluster.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test says what it found by failing"
)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use serde_json::{Value, json};
use whimbrel_core::entry::{Entry, FileNode, Node};
use whimbrel_core::event::Event;
use whimbrel_core::failure::{FailureKind, Side};
use whimbrel_core::identity::Identity;
use whimbrel_core::number::TxId;
use whimbrel_core::path::RelPath;
use whimbrel_store::error::StoreError;
use whimbrel_store::failback::{Carried, Put};
use whimbrel_store::hdfs::{HdfsSettings, HdfsSource, ImageFrom, RootKind};
use whimbrel_store::source::{ByteStream, ChangeStream, Poll, Source};
use whimbrel_testbed::{Hadoop, HadoopOptions};

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(future)
}

fn settings(hadoop: &Hadoop, path: &str) -> HdfsSettings {
    HdfsSettings {
        url: format!("{}{path}", hadoop.url()),
        configuration: Some(hadoop.configuration_directory()),
        user: hadoop.superuser().to_owned(),
        caller_context: "whimbrel_test".to_owned(),
        acl: true,
        patience: Duration::from_secs(20),
    }
}

fn run(hadoop: &Hadoop, operations: &[(&str, &str, Value)]) {
    let requests: Vec<Value> = operations
        .iter()
        .map(|(operation, path, more)| {
            let mut request = json!({"operation": operation, "path": path});
            for (key, value) in more.as_object().into_iter().flatten() {
                request[key] = value.clone();
            }
            request
        })
        .collect();
    hadoop.operations(&requests).unwrap();
}

async fn file(source: &HdfsSource, path: &str) -> FileNode {
    match source.stat(&path.into()).await.unwrap() {
        Some(Node::File(file)) => file,
        other => panic!("{path}: {other:?}"),
    }
}

async fn content(source: &HdfsSource, path: &str, file: &FileNode) -> Result<Vec<u8>, StoreError> {
    let length = file.identity.length();
    let pieces: Vec<Bytes> = source.read(&path.into(), file, 0..length).try_collect().await?;
    Ok(pieces.concat())
}

async fn listed(source: &HdfsSource, directory: &str) -> Vec<Entry> {
    let directory = RelPath::from(directory);
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let after = entries.last().map(|entry| entry.path.name().to_vec());
        let page = source.list(&directory, after.as_deref()).await.unwrap().unwrap();
        entries.extend(page.entries);
        if !page.more {
            return entries;
        }
    }
}

/// Everything after a position, followed to its end.
async fn events(stream: &Arc<dyn ChangeStream>, after: &mut TxId) -> Vec<Event> {
    let newest = stream.position().await.unwrap();
    let mut events = Vec::new();
    while *after < newest {
        match stream.poll(*after).await.unwrap() {
            Poll::Reply(reply) => {
                assert!(reply.batches.is_sorted_by(|one, next| one.txid < next.txid));
                assert!(reply.applied <= reply.synced);
                events.extend(reply.batches.into_iter().flat_map(|batch| batch.events));
                *after = reply.applied;
            }
            other => panic!("{other:?}"),
        }
    }
    events
}

#[test]
fn a_tree_is_read() {
    let options = HadoopOptions::default().with("dfs.ls.limit", 10);
    let hadoop = Hadoop::start(&options).unwrap();
    run(
        &hadoop,
        &[
            ("create", "/data/a", json!({"text": "hello"})),
            ("create", "/data/big", json!({"bytes": 3_000_000, "seed": 7})),
            ("create", "/data/empty", json!({})),
            ("mkdirs", "/data/none", json!({})),
            ("create", "/data/sub/x", json!({"text": "x"})),
            ("set_owner", "/data/a", json!({"owner": "etl", "group": "staff"})),
            (
                "set_acl",
                "/data/a",
                json!({"acl": "user::rw-,user:alice:rw-,group::r--,other::---"}),
            ),
            ("set_times", "/data/a", json!({"mtime_milliseconds": 1_700_000_000_123_u64})),
            ("set_xattr", "/data/a", json!({"name": "user.k", "base64": "AP8="})),
            ("open", "/data/writing", json!({"handle": "w"})),
            ("write", "/", json!({"handle": "w", "text": "half"})),
            ("hflush", "/", json!({"handle": "w"})),
        ],
    );
    block_on(async {
        let source = HdfsSource::open(&settings(&hadoop, "/data")).await.unwrap();
        assert_eq!(source.root_kind(), &RootKind::Directory);
        let entries = listed(&source, "").await;
        let names: Vec<_> = entries.iter().map(|entry| entry.path.to_string()).collect();
        assert_eq!(names, ["a", "big", "empty", "none", "sub", "writing"]);
        for entry in &entries {
            let node = source.stat(&entry.path).await.unwrap();
            assert_eq!(node.as_ref(), Some(&entry.node), "a look says the same as the listing");
        }
        what_travels(&source).await;
        let big = file(&source, "big").await;
        let bytes = content(&source, "big", &big).await.unwrap();
        assert_eq!(bytes.len(), 3_000_000);
        let middle = source.read(&"big".into(), &big, 1_048_000..1_049_000);
        let middle: Vec<Bytes> = middle.try_collect().await.unwrap();
        assert_eq!(middle.concat(), bytes[1_048_000..1_049_000]);
        for path in ["a", "big", "empty"] {
            let node = file(&source, path).await;
            let bytes = content(&source, path, &node).await.unwrap();
            for length in beginnings(bytes.len()) {
                let crc = crc32c::crc32c(&bytes[..length]);
                let stored = source.stored_checksum(&path.into(), &node, length as u64).await;
                assert_eq!(stored.unwrap(), Some(crc), "the first {length} bytes of {path}");
            }
        }
        assert!(file(&source, "writing").await.open);
        for (path, empty) in [("", false), ("none", true), ("sub", false)] {
            let node = source.stat(&path.into()).await.unwrap();
            let Some(Node::Directory(node)) = node else { panic!("{node:?}") };
            assert_eq!(node.empty, Some(empty), "{path:?}");
        }
        assert_eq!(source.list(&"a".into(), None).await.unwrap(), None);
        assert_eq!(source.list(&"nothing".into(), None).await.unwrap(), None);
        assert_eq!(source.stat(&"nothing/x".into()).await.unwrap(), None);
        assert_eq!(source.stat(&"a/x".into()).await.unwrap(), None);
        let single = HdfsSource::open(&settings(&hadoop, "/data/sub/x")).await.unwrap();
        assert_eq!(single.root_kind(), &RootKind::File("x".into()));
        assert_eq!(content(&single, "x", &file(&single, "x").await).await.unwrap(), b"x");
        let none = HdfsSource::open(&settings(&hadoop, "/nothing")).await.err();
        assert!(matches!(none, Some(StoreError::Missing { .. })), "{none:?}");
    });
}

/// Ends of chunks of 512 bytes, of blocks of a mebibyte, and in between.
fn beginnings(length: usize) -> impl Iterator<Item = usize> {
    let cuts = [0, 1, 511, 512, 513, 1_048_575, 1_048_576, 1_048_577, 2_500_000, length];
    cuts.into_iter().filter(move |cut| *cut <= length)
}

async fn what_travels(source: &HdfsSource) {
    let a = file(source, "a").await;
    let metadata = &a.metadata;
    assert_eq!((metadata.owner.as_str(), metadata.group.as_str()), ("etl", "staff"));
    assert_eq!(metadata.modified_ns, 1_700_000_000_123_000_000);
    let acl = metadata.acl.as_deref();
    assert_eq!(acl, Some("user::rw-,user:alice:rw-,group::r--,mask::rw-,other::---"));
    assert_eq!(metadata.mode, 0o660, "the group's bits are the mask");
    let xattrs = source.xattrs(&"a".into()).await.unwrap();
    assert_eq!(xattrs.get("user.k").map(Vec::as_slice), Some(&[0, 255][..]));
}

#[test]
fn listings_are_in_byte_order_over_pages() {
    let hadoop = Hadoop::start(&HadoopOptions::default().with("dfs.ls.limit", 7)).unwrap();
    let mut names: Vec<String> = (0..40).map(|n| format!("part-{n:05}")).collect();
    names.extend((0..20).map(|n| format!("part-é{n}")));
    names.extend(
        ["é", "éa", "~", "語", "\u{1f426}", "part-", "part-~", "a b", "%41"].map(str::to_owned),
    );
    let files: Vec<_> = names.iter().map(|name| format!("/d/{name}")).collect();
    let creates: Vec<_> = files.iter().map(|path| ("create", path.as_str(), json!({}))).collect();
    run(&hadoop, &creates);
    names.sort();
    block_on(async {
        let source = HdfsSource::open(&settings(&hadoop, "/d")).await.unwrap();
        let walked = listed(&source, "").await;
        let walked: Vec<_> = walked.iter().map(|entry| entry.path.to_string()).collect();
        assert_eq!(walked, names);
        // Another process goes on anywhere.
        for (index, name) in names.iter().enumerate() {
            let fresh = HdfsSource::open(&settings(&hadoop, "/d")).await.unwrap();
            let after = Some(name.as_bytes());
            let page = fresh.list(&RelPath::root(), after).await.unwrap().unwrap();
            let next = page.entries.first().map(|entry| entry.path.to_string());
            assert_eq!(next.as_ref(), names.get(index + 1), "after {name}");
        }
    });
}

#[test]
fn what_changes_is_told_apart_and_pinned() {
    let hadoop = Hadoop::start(&HadoopOptions::default()).unwrap();
    let text = |text: &str| json!({"text": text});
    run(&hadoop, &[("create", "/d/f", text("one")), ("create", "/d/g", text("two"))]);
    block_on(async {
        let source = HdfsSource::open(&settings(&hadoop, "/d")).await.unwrap();
        let before = file(&source, "f").await;
        run(&hadoop, &[("set_permission", "/d/f", json!({"mode": "600"}))]);
        assert_eq!(file(&source, "f").await.identity, before.identity);
        run(&hadoop, &[("rename", "/d/f", json!({"to": "/d/h"}))]);
        let renamed = file(&source, "h").await;
        assert_eq!(renamed.identity, before.identity, "a rename changes no identity");
        assert_eq!(content(&source, "f", &before).await.unwrap(), b"one", "read as pinned");
        run(&hadoop, &[("rewrite_same", "/d/g", json!({"seed": 9}))]);
        let rewritten = file(&source, "g").await;
        assert_eq!(rewritten.identity.length(), 3);
        run(&hadoop, &[("delete", "/d/h", json!({}))]);
        let mut gone = Ok(Vec::new());
        for _ in 0..100 {
            gone = content(&source, "h", &renamed).await;
            if gone.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert!(matches!(gone, Err(StoreError::Moved { .. })), "{gone:?}");
        let crc = source.stored_checksum(&"h".into(), &renamed, renamed.identity.length()).await;
        assert!(matches!(crc, Err(StoreError::Moved { .. })), "{crc:?}");
        let Identity::Hdfs { modified_ms, .. } = rewritten.identity else { panic!() };
        run(
            &hadoop,
            &[
                ("truncate", "/d/g", json!({"length": 2})),
                ("sleep", "/", json!({"milliseconds": 1500})),
                ("append", "/d/g", text("z")),
                ("set_times", "/d/g", json!({"mtime_milliseconds": modified_ms})),
            ],
        );
        let patched = file(&source, "g").await.identity;
        assert_eq!(patched.length(), rewritten.identity.length());
        assert_ne!(patched, rewritten.identity, "truncated, appended, time set back");
    });
}

/// Part 1 of x, swap x and y, part 2, swap back: the look afterwards finds x as it was, so every
/// part has to be of x.
#[test]
fn rule_3_1_swapped_between_two_ranges() {
    let hadoop = Hadoop::start(&HadoopOptions::default()).unwrap();
    let bytes = |seed: u64| json!({"bytes": 2_000_000, "seed": seed});
    run(&hadoop, &[("create", "/d/x", bytes(1)), ("create", "/d/y", bytes(2))]);
    let rename = |to: &str| json!({"to": to});
    let swap = || {
        let aside = ("rename", "/d/x", rename("/d/aside"));
        let there = ("rename", "/d/y", rename("/d/x"));
        run(&hadoop, &[aside, there, ("rename", "/d/aside", rename("/d/y"))]);
    };
    block_on(async {
        let source = HdfsSource::open(&settings(&hadoop, "/d")).await.unwrap();
        let x = file(&source, "x").await;
        let whole = content(&source, "x", &x).await.unwrap();
        let part = async |range| {
            let pieces: Vec<Bytes> =
                source.read(&"x".into(), &x, range).try_collect().await.unwrap();
            pieces.concat()
        };
        let first = part(0..1_000_000).await;
        swap();
        let second = part(1_000_000..2_000_000).await;
        let crc = source.stored_checksum(&"x".into(), &x, 2_000_000).await.unwrap();
        swap();
        assert_eq!(file(&source, "x").await.identity, x.identity, "the trap is set");
        assert!([first, second].concat() == whole, "a part of y was read");
        assert_eq!(crc, Some(crc32c::crc32c(&whole)));
    });
}

#[test]
fn changes_are_followed() {
    let hadoop = Hadoop::start(&HadoopOptions::default()).unwrap();
    run(&hadoop, &[("mkdirs", "/a/base", json!({})), ("mkdirs", "/b", json!({}))]);
    block_on(async {
        let source = HdfsSource::open(&settings(&hadoop, "/a/base")).await.unwrap();
        let stream = source.stream().await.unwrap();
        assert!(stream.history().await.unwrap().contains("/BP-"));
        let mut at = stream.position().await.unwrap();
        assert_eq!(events(&stream, &mut at).await, []);
        every_kind_of_event(&hadoop, &stream, &mut at).await;
        position_and_digest(&hadoop, &stream, &mut at).await;
        let nobody = HdfsSettings { user: "nobody".to_owned(), ..settings(&hadoop, "/a/base") };
        let nobody = HdfsSource::open(&nobody).await.unwrap();
        let denied = nobody.stream().await.err();
        assert!(
            matches!(&denied, Some(StoreError::Denied { remedy, .. })
            if remedy.contains("superuser")),
            "{denied:?}"
        );
        let first = TxId(2);
        hadoop.purge_edits().unwrap();
        assert_eq!(stream.poll(first).await.unwrap(), Poll::Gap);
        assert_eq!(stream.digest(first).await.unwrap(), None);
    });
}

async fn every_kind_of_event(hadoop: &Hadoop, stream: &Arc<dyn ChangeStream>, at: &mut TxId) {
    let path = |text: &str| RelPath::from(text);
    run(
        hadoop,
        &[
            ("create", "/b/outside", json!({"text": "o"})),
            ("create", "/a/basey", json!({"text": "o"})),
            ("create", "/a/base/f", json!({"text": "one"})),
            ("append", "/a/base/f", json!({"text": "two"})),
            ("truncate", "/a/base/f", json!({"length": 0})),
            ("mkdirs", "/a/base/d", json!({})),
            ("set_permission", "/a/base/f", json!({"mode": "600"})),
            ("set_times", "/a/base/f", json!({"mtime_milliseconds": 5})),
            ("set_times", "/a/base/f", json!({"atime_milliseconds": 5})),
            ("set_replication", "/a/base/f", json!({"replication": 1})),
            ("set_xattr", "/a/base/f", json!({"name": "user.k", "text": "v"})),
            ("rename", "/a/base/f", json!({"to": "/a/base/d/g"})),
            ("rename", "/a/base/d", json!({"to": "/b/d"})),
            ("rename", "/b/d", json!({"to": "/a/base/e"})),
            ("delete", "/a/base/e", json!({})),
        ],
    );
    let moved = |from: Option<&str>, to: Option<&str>| Event::Renamed {
        from: from.map(path),
        to: to.map(path),
    };
    assert_eq!(
        events(stream, at).await,
        [
            Event::Created(path("f")),
            Event::Closed(path("f")),
            Event::Reopened(path("f")),
            Event::Closed(path("f")),
            Event::Truncated(path("f")),
            Event::DirectoryMade(path("d")),
            Event::MetadataChanged(path("f")),
            Event::MetadataChanged(path("f")),
            Event::MetadataChanged(path("f")),
            moved(Some("f"), Some("d/g")),
            moved(Some("d"), None),
            moved(None, Some("e")),
            Event::Removed(path("e")),
        ]
    );
    run(hadoop, &[("rename", "/a", json!({"to": "/c"})), ("rename", "/c", json!({"to": "/a"}))]);
    assert_eq!(events(stream, at).await, [Event::RootTouched, Event::RootTouched]);
}

async fn position_and_digest(hadoop: &Hadoop, stream: &Arc<dyn ChangeStream>, at: &mut TxId) {
    hadoop.write("/b/other", "outside of the root").unwrap();
    let begin = *at;
    let (txid, digest) = loop {
        let Poll::Reply(reply) = stream.poll(*at).await.unwrap() else { panic!() };
        assert_eq!(reply.batches, []);
        *at = reply.applied;
        if reply.applied == reply.synced {
            break (reply.applied, reply.digest);
        }
    };
    assert!(txid > begin);
    assert_eq!(stream.digest(txid).await.unwrap(), Some(digest));
    assert_eq!(stream.digest(TxId(txid.0 + 1)).await.unwrap(), None, "not written yet");
    let Poll::Reply(same) = stream.poll(txid).await.unwrap() else { panic!() };
    assert_eq!((same.applied, same.digest), (txid, digest), "nothing new, the digest stays");
    assert_eq!(stream.poll(TxId(txid.0 + 1000)).await.unwrap(), Poll::Beyond);
}

/// The cluster keeps a million transactions, and next to none are made.
async fn retention(stream: &Arc<dyn ChangeStream>, at: TxId) {
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(matches!(stream.poll(at).await, Ok(Poll::Reply(_))));
    let seconds = stream.history_seconds(at).await.unwrap();
    assert!(seconds.is_some_and(|seconds| seconds > 1000), "{seconds:?}");
}

#[test]
fn a_fail_over_goes_by() {
    let options = HadoopOptions::default().with("dfs.namenode.num.extra.edits.retained", 1_000_000);
    let hadoop = Hadoop::start(&options.highly_available()).unwrap();
    run(&hadoop, &[("create", "/d/one", json!({"text": "1"}))]);
    block_on(async {
        let source = HdfsSource::open(&settings(&hadoop, "/d")).await.unwrap();
        let stream = source.stream().await.unwrap();
        let mut at = TxId(stream.position().await.unwrap().0);
        hadoop.fail_over().unwrap();
        run(&hadoop, &[("create", "/d/two", json!({"text": "2"}))]);
        let told = events(&stream, &mut at).await;
        assert_eq!(told, [Event::Created("two".into()), Event::Closed("two".into())]);
        assert_eq!(listed(&source, "").await.len(), 2);
        retention(&stream, at).await;
    });
}

/// It has the same inode numbers: what was read would have been of two moments.
#[test]
fn a_snapshot_made_anew_is_not_taken_for_the_one_that_was_opened() {
    let hadoop = Hadoop::start(&HadoopOptions::default()).unwrap();
    let snapshot = |operation: &'static str| (operation, "/data", json!({"name": "s"}));
    run(
        &hadoop,
        &[
            ("create", "/data/d/f", json!({"text": "older"})),
            ("allow_snapshot", "/data", json!({})),
            snapshot("create_snapshot"),
            ("create", "/data/d/f", json!({"text": "newer"})),
        ],
    );
    block_on(async {
        let opened = HdfsSource::open(&settings(&hadoop, "/data/.snapshot/s/d")).await.unwrap();
        assert!(opened.snapshots().is_none() && opened.fences().is_empty());
        let root = RelPath::root();
        let key = |node| match node {
            Some(Node::Directory(directory)) => Some(directory.file_key),
            None => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(key(opened.stat(&root).await.unwrap()), opened.root_key());
        let older = file(&opened, "f").await;
        assert_eq!(content(&opened, "f", &older).await.unwrap(), b"older");
        run(&hadoop, &[snapshot("delete_snapshot"), snapshot("create_snapshot")]);
        assert_eq!(key(opened.stat(&root).await.unwrap()), None);
        assert_eq!(opened.list(&root, None).await.unwrap(), None);
        let anew = HdfsSource::open(&settings(&hadoop, "/data/.snapshot/s/d")).await.unwrap();
        assert_eq!(anew.root_key(), opened.root_key());
        let newer = file(&anew, "f").await;
        assert_eq!(content(&anew, "f", &newer).await.unwrap(), b"newer");
    });
}

/// Rows that were made by a listing have to be found unchanged by an image, and the other way round.
#[test]
fn an_image_says_what_listings_say() {
    let hadoop = Hadoop::start(&HadoopOptions::default()).unwrap();
    let created = json!({"bytes": 3_500_000, "seed": 1});
    let names = ["plain", "d/deep/x", "d/\u{e9}", "d/z", "owned", "listed", "named"];
    for name in names {
        run(&hadoop, &[("create", &format!("/top/{name}"), created.clone())]);
    }
    run(
        &hadoop,
        &[
            ("create", "/top/empty", json!({"bytes": 0, "seed": 1})),
            ("append", "/top/plain", json!({"bytes": 10, "seed": 2})),
            ("mkdirs", "/top/hollow", json!({})),
            ("set_owner", "/top/owned", json!({"owner": "zoe", "group": "g"})),
            ("set_permission", "/top/d", json!({"mode": "1751"})),
            ("modify_acl", "/top/listed", json!({"acl": "user:alice:rwx,group:staff:-wx"})),
            ("modify_acl", "/top/d", json!({"acl": "default:user:bob:rwx"})),
            ("set_xattr", "/top/named", json!({"name": "user.k", "text": "v"})),
            ("set_xattr", "/top/named", json!({"name": "trusted.t", "text": "w"})),
        ],
    );
    hadoop.purge_edits().unwrap();
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let source = HdfsSource::open(&settings(&hadoop, "/top")).await.unwrap();
        let from = || ImageFrom::NameNode(hadoop.http_addresses()[0].clone());
        let image = source.image(from(), folder.path(), false).await.unwrap();
        let full = source.image(from(), folder.path(), true).await.unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing stays");
        assert!(image.txid() > TxId(0));
        let mut seen = 0;
        for directory in ["", "d", "d/deep", "hollow"] {
            let mut entries = listed(&source, directory).await;
            for entry in &mut entries {
                match &mut entry.node {
                    Node::File(file) => file.pin = Bytes::new(),
                    Node::Directory(child) => child.empty = None,
                    Node::Special(what) => panic!("{what}"),
                }
            }
            let page = image.page(&directory.into(), None).unwrap();
            assert_eq!((&page.entries, page.more), (&entries, false), "{directory}");
            seen += entries.len();
            for entry in full.page(&directory.into(), None).unwrap().entries {
                let asked = source.xattrs(&entry.path).await.unwrap();
                if let Node::File(file) = entry.node {
                    assert_eq!(file.metadata.xattrs, asked, "{}", entry.path);
                }
            }
        }
        assert_eq!(seen, names.len() + 4);
        let nobody = ImageFrom::NameNode("127.0.0.1:1".into());
        let failure = source.image(nobody, folder.path(), false).await.err().unwrap();
        assert_eq!((failure.side, failure.kind), (Side::Source, FailureKind::Unavailable));
        let other = HdfsSource::open(&settings(&hadoop, "/top/plain")).await.unwrap();
        let failure = other.image(from(), folder.path(), false).await.err().unwrap();
        assert_eq!(failure.kind, FailureKind::Refused);
        run(&hadoop, &[("mkdirs", "/made/later", json!({}))]);
        let later = HdfsSource::open(&settings(&hadoop, "/made/later")).await.unwrap();
        let failure = later.image(from(), folder.path(), false).await.err().unwrap();
        assert_eq!(failure.kind, FailureKind::Refused, "{failure:?}");
    });
}

/// They were undone, and nobody was told.
#[test]
fn rights_that_change_while_a_file_goes_back_stay() {
    let hadoop = Hadoop::start(&HadoopOptions::default()).unwrap();
    let changes = [
        ("owner", "set_owner", json!({"owner": "bob"})),
        ("group", "set_owner", json!({"group": "guests"})),
        ("mode", "set_permission", json!({"mode": "600"})),
        ("list", "set_acl", json!({"acl": "user::rwx,user:bob:rw-,group::r--,other::---"})),
        ("attribute", "set_xattr", json!({"name": "user.note", "text": "new"})),
        ("none", "mkdirs", json!({})),
    ];
    let given = json!({"name": "user.note", "text": "old"});
    for (name, _, _) in &changes {
        let path = format!("/data/{name}");
        let first = ("create", path.as_str(), json!({"text": "first"}));
        run(&hadoop, &[first, ("set_xattr", path.as_str(), given.clone())]);
    }
    block_on(async {
        let source = Arc::new(HdfsSource::open(&settings(&hadoop, "/data")).await.unwrap());
        let back = source.failback("m").await.unwrap().unwrap();
        for (name, operation, more) in changes {
            let mut before = file(&source, name).await;
            let path = RelPath::from(name);
            before.metadata.xattrs = source.xattrs(&path).await.unwrap();
            let changed =
                if name == "none" { "/other".to_owned() } else { format!("/data/{name}") };
            let pour = || -> ByteStream {
                run(&hadoop, &[(operation, &changed, more.clone())]);
                Box::pin(stream::iter([Ok(Bytes::from_static(b"second"))]))
            };
            let metadata = before.metadata.clone();
            let expected = Some(&before);
            let carried = Carried { path: &path, length: 6, crc32c: None, metadata, expected };
            let put = back.put(&carried, &pour).await;
            let stands = content(&source, name, &file(&source, name).await).await.unwrap();
            if name == "none" {
                assert!(matches!(put, Ok(Put::Done { .. })), "{put:?}");
                assert_eq!(stands, b"second");
                assert_eq!(source.xattrs(&path).await.unwrap(), before.metadata.xattrs);
            } else {
                assert!(matches!(put, Err(StoreError::Unexpected { .. })), "{name}: {put:?}");
                assert_eq!(stands, b"first", "{name}");
            }
        }
    });
}
