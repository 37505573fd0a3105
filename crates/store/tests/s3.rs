//! The S3 target and source against real servers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test says what it found by failing"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::TryStreamExt;
use whimbrel_core::effect::Expected;
use whimbrel_core::entry::{FileNode, Node};
use whimbrel_core::failure::FailureKind;
use whimbrel_core::metadata::Metadata;
use whimbrel_core::path::RelPath;
use whimbrel_store::content::Content;
use whimbrel_store::error::StoreError;
use whimbrel_store::s3::{Environment, S3Settings, S3Source, S3Target};
use whimbrel_store::source::Source;
use whimbrel_store::target::{CopySource, Finding, Stamp, Target};
use whimbrel_testbed::{Fault, FaultProxy, S3Endpoint, S3Mock, S3Server, VersityGateway};

const MIB: usize = 1024 * 1024;

fn settings(endpoint: &S3Endpoint, url: &str) -> S3Settings {
    let variables = endpoint.environment().into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    S3Settings {
        url: url.to_owned(),
        environment: Some(Environment { variables, home: None }),
        ..S3Settings::default()
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(future)
}

fn stamp(attempt: u64) -> Stamp {
    let metadata = Metadata {
        owner: "etl".to_owned(),
        group: "Größe".to_owned(),
        mode: 0o1750,
        modified_ns: 1_700_000_000_123_000_000,
        acl: Some("user::rwx,group::r-x,other::---".to_owned()),
        xattrs: BTreeMap::new(),
    };
    Stamp { migration: "m".to_owned(), attempt, metadata: Some(metadata) }
}

async fn content(target: &S3Target, key: &[u8]) -> Vec<u8> {
    let pieces: Vec<Bytes> = target.read(key).try_collect().await.unwrap();
    pieces.concat()
}

fn problems(findings: &[Finding]) -> Vec<(&str, FailureKind)> {
    let with = findings.iter().filter_map(|finding| {
        finding.problem.as_ref().map(|(kind, _, _)| (finding.check.as_str(), *kind))
    });
    with.collect()
}

/// What the bucket holds, probes too: below another prefix they are objects like others.
async fn everything(server: &impl S3Server) -> Vec<String> {
    let settings = settings(server.endpoint(), "s3://bucket/none");
    keys(&S3Target::open(&settings).await.unwrap(), b"").await
}

async fn keys(target: &S3Target, prefix: &[u8]) -> Vec<String> {
    let mut keys = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = target.list(prefix, after.as_deref()).await.unwrap();
        after = page.objects.last().map(|object| object.key.clone());
        keys.extend(page.objects.into_iter().map(|o| String::from_utf8(o.key).unwrap()));
        if !page.more {
            return keys;
        }
    }
}

/// What every server must do alike.
async fn whole_life_of_objects(target: &S3Target) {
    let small = target
        .put(b"p/a", ["he", "llo"].into_iter().collect(), &stamp(1), &Expected::Anything)
        .await;
    let small = small.unwrap();
    assert_eq!(small.crc32c, Some(0x9a71_bb4c));
    let found = target.inspect(b"p/a").await.unwrap().unwrap();
    assert_eq!((found.length, found.crc32c), (5, Some(0x9a71_bb4c)));
    assert_eq!((found.attempt, found.migration.as_deref()), (Some(1), Some("m")));
    assert_eq!(found.metadata, stamp(1).metadata);
    assert_eq!(found.etag, small.etag);
    assert_eq!(content(target, b"p/a").await, b"hello");

    let upload = target.open_upload(b"p/large", &stamp(2)).await.unwrap();
    let pieces = [Bytes::from(vec![7; 5 * MIB]), Bytes::from(vec![9; 1000])];
    let mut parts = Vec::new();
    for (number, piece) in [(2, &pieces[1]), (1, &pieces[0])] {
        let body = Content::from(piece.clone());
        parts.insert(0, target.put_part(b"p/large", &upload, number, body).await.unwrap());
    }
    let crc = crc32c::crc32c(&pieces.concat());
    let large = target
        .complete_upload(b"p/large", &upload, &parts, crc, &Expected::Anything)
        .await
        .unwrap();
    let found = target.inspect(b"p/large").await.unwrap().unwrap();
    assert_eq!((found.length, found.crc32c), (5 * MIB as u64 + 1000, Some(crc)));
    assert_eq!((found.attempt, found.etag), (Some(2), large.etag));

    let dropped = target.open_upload(b"p/dropped", &stamp(3)).await.unwrap();
    target.abort_upload(b"p/dropped", &dropped).await.unwrap();
    target.abort_upload(b"p/dropped", &dropped).await.unwrap();
    let late = target.put_part(b"p/dropped", &dropped, 1, Content::from(Bytes::from("x"))).await;
    assert!(matches!(late, Err(StoreError::Conflict { .. })), "{late:?}");

    copies(target, small.etag).await;

    target.put(b"p/d/", Content::default(), &stamp(6), &Expected::Anything).await.unwrap();
    assert_eq!(keys(target, b"p/").await, ["p/a", "p/b", "p/d/", "p/large"]);
    assert_eq!(target.inspect(b"p/d/").await.unwrap().unwrap().length, 0);
    let all = ["p/a", "p/b", "p/d/", "p/large", "p/none"]
        .map(|key| (key.as_bytes().to_vec(), Expected::Anything));
    let outcomes = target.remove(&all).await.unwrap();
    assert!(outcomes.len() == 5 && outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(keys(target, b"p/").await, Vec::<String>::new());
    assert_eq!(target.inspect(b"p/a").await.unwrap(), None);
}

async fn copies(target: &S3Target, etag: Option<String>) {
    let from = CopySource {
        key: b"p/a".to_vec(),
        version: None,
        etag,
        length: 5,
        crc32c: Some(0x9a71_bb4c),
    };
    let copy = target.copy(&from, b"p/b", &stamp(4), &Expected::Anything).await.unwrap();
    assert_eq!(copy.crc32c, Some(0x9a71_bb4c));
    let found = target.inspect(b"p/b").await.unwrap().unwrap();
    assert_eq!((found.attempt, found.crc32c), (Some(4), Some(0x9a71_bb4c)));
    let other = CopySource { etag: Some("\"0123\"".to_owned()), ..from.clone() };
    let refused = target.copy(&other, b"p/c", &stamp(5), &Expected::Anything).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    let gone = CopySource { key: b"p/none".to_vec(), ..from };
    let refused = target.copy(&gone, b"p/c", &stamp(5), &Expected::Anything).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
}

/// Writes that find something else than they expect take no effect (rule 4.4).
async fn conditions(target: &S3Target) {
    let minded = target.abilities().conditions;
    assert!(minded.writes, "{minded:?}");
    let body = |text: &'static str| Content::from(Bytes::from(text));
    let unexpected =
        |outcome: &Result<_, StoreError>| matches!(outcome, Err(StoreError::Unexpected { .. }));
    let key = b"p/minded";
    let first = target.put(key, body("1"), &stamp(1), &Expected::Nothing).await.unwrap();
    let again = target.put(key, body("2"), &stamp(2), &Expected::Nothing).await;
    assert!(unexpected(&again), "{again:?}");
    let ours = Expected::Object(first.etag.unwrap());
    let second = target.put(key, body("3"), &stamp(3), &ours).await.unwrap();
    let late = target.put(key, body("4"), &stamp(4), &ours).await;
    assert!(unexpected(&late), "{late:?}");
    let gone = target.put(b"p/gone", body("5"), &stamp(5), &ours).await;
    assert!(unexpected(&gone), "{gone:?}");
    if minded.uploads {
        let upload = target.open_upload(key, &stamp(6)).await.unwrap();
        let part = target.put_part(key, &upload, 1, body("6")).await.unwrap();
        let crc = crc32c::crc32c(b"6");
        let done = target.complete_upload(key, &upload, &[part], crc, &ours).await;
        assert!(unexpected(&done), "{done:?}");
        target.abort_upload(key, &upload).await.unwrap();
    }
    assert_eq!(target.inspect(key).await.unwrap().unwrap().etag, second.etag);
    assert_eq!(content(target, key).await, b"3");
    target.remove(&[(key.to_vec(), Expected::Anything)]).await.unwrap();
}

#[test]
fn versitygw_as_a_target() {
    let server = VersityGateway::start().unwrap();
    server.create_bucket("bucket").unwrap();
    block_on(async {
        let target = S3Target::open(&settings(server.endpoint(), "s3://bucket/p")).await.unwrap();
        let findings = target.probe().await.unwrap();
        for finding in &findings {
            println!("{finding:?}");
        }
        assert_eq!(everything(&server).await, Vec::<String>::new(), "the probe cleans up");
        let refused: Vec<_> = problems(&findings);
        for check in ["'.'", "'..'", "'//'", "more than 255 bytes", "a control character"] {
            let found = refused
                .iter()
                .any(|(name, kind)| name.contains(check) && *kind == FailureKind::Refused);
            assert!(found, "{check}: {refused:?}");
        }
        for key in ["p/a/../b", "p/./b", "p/a//b", "p/\u{1}"] {
            let refused = target.admit(key.as_bytes());
            assert!(matches!(refused, Err(StoreError::Refused { .. })), "{key}");
        }
        for key in ["p/%41 +é語\u{1f426}", "p/d/", "p/&<>"] {
            target.admit(key.as_bytes()).unwrap();
        }
        assert!(target.abilities().metadata_by_copy);
        assert_eq!(target.abilities().copy_bytes_max, 5 << 30, "its ranges' checksums are wrong");
        whole_life_of_objects(&target).await;
        conditions(&target).await;
        target.put(b"p/x", Content::default(), &stamp(1), &Expected::Anything).await.unwrap();
        let below = target.put(b"p/x/y", Content::default(), &stamp(1), &Expected::Anything).await;
        assert!(matches!(below, Err(StoreError::Conflict { .. })), "{below:?}");
    });
}

/// Garage with LMDB says that it is busy, for ever, where it cannot hold a key: a migration did not
/// begin. One that is busy with everything has not said what it holds.
#[test]
fn keys_that_keep_a_server_busy_are_too_long() {
    let server = VersityGateway::start().unwrap();
    server.create_bucket("bucket").unwrap();
    let proxy = FaultProxy::start(server.endpoint().address).unwrap();
    let url = format!("http://{}", proxy.address());
    let endpoint = S3Endpoint { url, ..server.endpoint().clone() };
    block_on(async {
        let target = S3Target::open(&settings(&endpoint, "s3://bucket/p")).await.unwrap();
        proxy.set(Fault::LongPathsUnavailable { bytes_max: "/bucket/".len() + 471 });
        let findings = target.probe().await.unwrap();
        let too_long = |message: &str| {
            findings.iter().filter_map(|it| it.problem.as_ref()).any(|it| it.1 == message)
        };
        assert!(too_long("keys end at 471 bytes"), "{findings:?}");
        let key_of =
            |length: usize| format!("p/{0}/{0}/{1}", "k".repeat(200), "k".repeat(length - 404));
        let (held, refused) = (key_of(471), key_of(472));
        target.admit(held.as_bytes()).unwrap();
        target
            .put(held.as_bytes(), Content::default(), &stamp(1), &Expected::Anything)
            .await
            .unwrap();
        let outcome = target.admit(refused.as_bytes());
        assert!(matches!(outcome, Err(StoreError::Refused { .. })), "{outcome:?}");
        assert_eq!(everything(&server).await, [held], "the probe cleans up");
        proxy.set(Fault::Unavailable);
        let outcome = target.probe().await;
        assert!(matches!(outcome, Err(StoreError::Throttled { .. })), "{outcome:?}");
    });
}

/// A probe whose process is killed leaves its objects: the next one of its migration takes them
/// along, and after ten minutes every other. Another's that is younger may be under way.
#[test]
fn leftovers_of_a_killed_probe_are_swept() {
    let server = VersityGateway::start().unwrap();
    server.create_bucket("bucket").unwrap();
    block_on(async {
        let target = S3Target::open(&settings(server.endpoint(), "s3://bucket/p")).await.unwrap();
        let probe = |name: &str, uuid: u32, key: &str| {
            format!("p/.whimbrel-probe-{name}{uuid:08x}-9ebf-4a85-a5bd-3f4e1b6c2d7a/{key}")
        };
        let (own, own_odd) = (probe("m1.", 1, "plain"), probe("m1.", 1, "one\u{1}"));
        let (old, young) = (probe("m2.", 1, "x"), probe("m2.", 2, "x"));
        let old_odd = probe("m2.", 1, "thirty-one\u{1f}x");
        let [nobodys, other] = ["p/.whimbrel-probe-kept/x", "p/.whimbrel-probed"].map(String::from);
        for key in [&own, &own_odd, &old, &old_odd, &young, &nobodys, &other] {
            target
                .put(key.as_bytes(), Content::default(), &stamp(1), &Expected::Anything)
                .await
                .unwrap();
        }
        for key in [&old, &old_odd, &nobodys] {
            let file = File::open(server.data_directory().join("bucket").join(key)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(700)).unwrap();
        }
        let target = target.of_migration("m1");
        assert_eq!(keys(&target, b"").await, [other.as_str()], "probes are nobody's objects");
        let refused = target.admit(nobodys.as_bytes());
        assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
        let message = refused.unwrap_err().to_string();
        assert!(
            message.contains(".whimbrel-probe-kept/x") && !message.contains("p/."),
            "{message}"
        );
        target.probe().await.unwrap();
        assert_eq!(everything(&server).await, [nobodys, young, other]);
    });
}

/// Uploads are in no listing of objects: those of killed probes stayed for ever.
#[test]
fn uploads_of_a_killed_probe_are_swept() {
    let server = VersityGateway::start().unwrap();
    server.create_bucket("bucket").unwrap();
    let begun = server.data_directory().join("bucket/.sgwtmp/multipart");
    // Of each upload its folder, below one for its key.
    let folders = || -> BTreeSet<PathBuf> {
        let keys = std::fs::read_dir(&begun).unwrap().map(|key| key.unwrap().path());
        let ids = keys.flat_map(|key| std::fs::read_dir(key).unwrap());
        ids.map(|id| id.unwrap().path()).filter(|path| path.is_dir()).collect()
    };
    block_on(async {
        let target = S3Target::open(&settings(server.endpoint(), "s3://bucket/p")).await.unwrap();
        let probe = |name: &str| format!("p/.whimbrel-probe-{name}-9ebf-4a85-a5bd-3f4e1b6c2d7a/x");
        let mut kept = BTreeSet::new();
        for (key, is_old, stays) in [
            (probe("m1.00000001"), false, false),
            (probe("00000001"), true, false),
            (probe("m2.00000001"), true, false),
            (probe("m2.00000002"), false, true),
            ("p/.whimbrel-probe-kept/x".to_owned(), true, true),
            ("p/.whimbrel-probed".to_owned(), true, true),
            ("p/file".to_owned(), true, true),
            ("another/.whimbrel-probe-1/x".to_owned(), true, true),
        ] {
            let upload = target.open_upload(key.as_bytes(), &stamp(1)).await.unwrap();
            let found = folders();
            let folder = found.iter().find(|path| path.ends_with(&upload)).unwrap();
            if is_old {
                let time = SystemTime::now() - Duration::from_secs(700);
                File::open(folder).unwrap().set_modified(time).unwrap();
            }
            kept.extend(stays.then(|| folder.clone()));
        }
        target.of_migration("m1").probe().await.unwrap();
        assert_eq!(folders(), kept);
    });
}

/// Pages go on from keys that are known: what the server alters stands elsewhere in the order.
#[test]
fn altered_keys_hide_no_others() {
    let server = VersityGateway::start().unwrap();
    server.create_bucket("bucket").unwrap();
    block_on(async {
        let settings = |url| settings(server.endpoint(), url);
        let target = S3Target::open(&settings("s3://bucket/p")).await.unwrap();
        let numbers = 0..905;
        let mut names: Vec<String> = numbers.map(|number| format!("a\u{1}{number}")).collect();
        names.extend((0..1_500).map(|number| format!("ab{number:04}")));
        // The last ones of the second page, and of all.
        names.extend(["ab1093\u{1}", "last\u{1}"].map(str::to_owned));
        let folder = server.data_directory().join("bucket/p");
        std::fs::create_dir_all(&folder).unwrap();
        for name in &names {
            std::fs::write(folder.join(name), name).unwrap();
        }
        let source = S3Source::open(&settings("s3://bucket/p")).await.unwrap();
        let (mut exact, mut altered, mut after) = (0, 0, None::<Vec<u8>>);
        loop {
            let page = source.list(&RelPath::root(), after.as_deref()).await.unwrap().unwrap();
            for entry in &page.entries {
                match entry.node {
                    Node::Special(_) => altered += 1,
                    Node::File(_) | Node::Directory(_) => exact += 1,
                }
            }
            after = page.entries.last().map(|entry| entry.path.as_bytes().to_vec());
            if !page.more {
                break;
            }
        }
        assert_eq!((exact, altered), (1_500, 907));
        let odd = RelPath::from("last\u{fffd}");
        let stands = source.stat(&odd).await.unwrap();
        assert!(matches!(stands, Some(Node::Special(_))), "{stands:?}");
        assert_eq!(source.stat(&"ab\u{fffd}".into()).await.unwrap(), None);
        let first = target.list(b"p/", None).await.unwrap();
        assert_eq!(first.objects.iter().filter(|object| object.altered).count(), 905);
        let found = target.inspect("p/last\u{fffd}".as_bytes()).await.unwrap().unwrap();
        assert!(found.altered && found.length == 5, "{found:?}");
        let removed = target.remove(&[(found.key, Expected::Anything)]).await.unwrap();
        assert!(matches!(removed[..], [Err(StoreError::Refused { .. })]), "{removed:?}");
        for number in 905..1_005 {
            std::fs::write(folder.join(format!("a\u{1}{number}")), "").unwrap();
        }
        let blind = source.list(&RelPath::root(), None).await;
        assert!(matches!(blind, Err(StoreError::Unsupported { .. })), "{blind:?}");
    });
}

#[test]
fn s3mock_as_a_target() {
    let server = S3Mock::start().unwrap();
    server.create_bucket("bucket").unwrap();
    block_on(async {
        let target = S3Target::open(&settings(server.endpoint(), "s3://bucket")).await.unwrap();
        let findings = target.probe().await.unwrap();
        for finding in &findings {
            println!("{finding:?}");
        }
        assert_eq!(everything(&server).await, Vec::<String>::new(), "the probe cleans up");
        target.admit(b"a//b").unwrap();
        assert_eq!(target.abilities().copy_bytes_max, 5 << 30, "it tells no range's checksum");
        whole_life_of_objects(&target).await;
    });
}

#[test]
fn credentials_and_buckets_that_are_wrong() {
    let server = VersityGateway::start().unwrap();
    server.create_bucket("bucket").unwrap();
    block_on(async {
        let endpoint = server.endpoint();
        let missing = S3Target::open(&settings(endpoint, "s3://nothing/p")).await.err();
        assert!(matches!(missing, Some(StoreError::Missing { .. })), "{missing:?}");
        for change in [
            |endpoint: &mut S3Endpoint| endpoint.secret_key = "wrong".to_owned(),
            |endpoint: &mut S3Endpoint| endpoint.access_key = "NOBODY".to_owned(),
        ] {
            let mut wrong = endpoint.clone();
            change(&mut wrong);
            let denied = S3Target::open(&settings(&wrong, "s3://bucket")).await.err();
            assert!(matches!(denied, Some(StoreError::Denied { .. })), "{denied:?}");
        }
        let mut away = endpoint.clone();
        away.url = "http://127.0.0.1:1".to_owned();
        let away = S3Target::open(&settings(&away, "s3://bucket")).await.err();
        assert!(matches!(away, Some(StoreError::Unavailable { .. })), "{away:?}");
    });
}

#[test]
fn keys_as_a_source() {
    let server = VersityGateway::start().unwrap();
    server.create_bucket("bucket").unwrap();
    block_on(async {
        let settings = |url| settings(server.endpoint(), url);
        let target = S3Target::open(&settings("s3://bucket/in")).await.unwrap();
        for key in ["in/b/c", "in/a", "in/é"] {
            target
                .put(key.as_bytes(), Bytes::from(key).into(), &stamp(1), &Expected::Anything)
                .await
                .unwrap();
        }
        target.put(b"in2", Bytes::from("2").into(), &stamp(1), &Expected::Anything).await.unwrap();
        let source = S3Source::open(&settings("s3a://bucket/in/")).await.unwrap();
        let page = source.list(&RelPath::root(), None).await.unwrap().unwrap();
        let names: Vec<_> = page.entries.iter().map(|entry| entry.path.to_string()).collect();
        assert_eq!(names, ["a", "b/c", "é"]);
        let after = source.list(&RelPath::root(), Some(b"a")).await.unwrap().unwrap();
        assert_eq!(after.entries, page.entries[1..]);
        assert_eq!(source.list(&"b".into(), None).await.unwrap(), None);
        let path = RelPath::from("b/c");
        let node = source.stat(&path).await.unwrap().unwrap();
        assert_eq!(node, page.entries[1].node, "a look says the same as the listing");
        let Node::File(file) = node else { panic!("{node:?}") };
        read_and_change(&source, &target, &path, &file).await;
        assert_eq!(source.stat(&"none".into()).await.unwrap(), None);
        assert!(source.stream().await.is_err());
        let single = S3Source::open(&settings("s3://bucket/in/b/c")).await.unwrap();
        assert_eq!(single.single(), Some(&RelPath::from("c")));
        assert!(single.stat(&"c".into()).await.unwrap().is_some());
        let none = S3Source::open(&settings("s3://bucket/none")).await.err();
        assert!(matches!(none, Some(StoreError::Missing { .. })), "{none:?}");
    });
}

async fn read_and_change(source: &S3Source, target: &S3Target, path: &RelPath, file: &FileNode) {
    let read = |range| source.read(path, file, range).try_collect::<Vec<Bytes>>();
    assert_eq!(read(0..6).await.unwrap().concat(), b"in/b/c");
    assert_eq!(read(3..4).await.unwrap().concat(), b"b");
    assert_eq!(read(6..6).await.unwrap().concat(), b"");
    let crc = source.stored_checksum(path, file, file.identity.length()).await.unwrap();
    assert_eq!(crc, Some(crc32c::crc32c(b"in/b/c")));
    target
        .put(b"in/b/c", Bytes::from("other").into(), &stamp(2), &Expected::Anything)
        .await
        .unwrap();
    let moved = read(0..6).await;
    assert!(matches!(moved, Err(StoreError::Moved { .. })), "{moved:?}");
    let moved = source.stored_checksum(path, file, file.identity.length()).await;
    assert!(matches!(moved, Err(StoreError::Moved { .. })), "{moved:?}");
}
