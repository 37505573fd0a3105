//! New files, and what changes the namespace, as Hadoop's own client sees them.

use bytes::Bytes;
use serde_json::{Value, json};
use whimbrel_hdfs::{
    AclEntry, AclSubject, Client, CrcKind, Error, ErrorKind, Excluded, NewFile, XAttr,
};
use whimbrel_testbed::Hadoop;

use crate::{client, client_of, cluster, text};

const BLOCK_BYTES: u64 = 1 << 20;

async fn defaults(client: &Client) -> NewFile {
    NewFile::of_defaults(&client.server_defaults().await.unwrap(), 0o640)
}

/// Writes a file, from as many pieces as `piece_bytes` makes of it.
async fn write(client: &Client, path: &str, content: &[u8], piece_bytes: usize) {
    let file = NewFile { block_size_bytes: BLOCK_BYTES, ..defaults(client).await };
    let mut writer = client.create(path.as_bytes(), file, Excluded::default()).await.unwrap();
    for piece in content.chunks(piece_bytes) {
        let written = writer.write(piece).await;
        written.unwrap_or_else(|error| panic!("{error} {:?}", writer.excluded()));
    }
    writer.close().await.unwrap();
}

fn status(hadoop: &Hadoop, path: &str) -> Value {
    hadoop.command(&json!({"command": "status", "path": path})).unwrap()
}

fn checksum(hadoop: &Hadoop, path: &str) -> Value {
    let answer = hadoop.command(&json!({"command": "checksums", "path": path})).unwrap();
    answer["files"][path].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_any_length_are_read_by_the_java_client() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    client.make_directory(b"/written", 0o755).await.unwrap();
    client.make_directory(b"/written", 0o755).await.unwrap();
    let block = BLOCK_BYTES as usize;
    for (length, piece) in [
        (0, 1),
        (1, 1),
        (511, 100),
        (512, 512),
        (513, 1000),
        (65_536, 65_536),
        (65_537, 70_000),
        (block - 1, 300_000),
        (block, block),
        (block + 1, 4096),
        (3 * block + 12_345, 1 << 22),
    ] {
        let path = format!("/written/f{length}");
        let content = text(length, length as u64);
        write(&client, &path, content.as_bytes(), piece).await;
        let read = json!({"operation": "read", "path": path});
        let read = hadoop.operations(&[read]).unwrap();
        assert_eq!(read[0]["bytes"], length, "{path}");
        let file = checksum(&hadoop, &path);
        let expected = CrcKind::Crc32c.of(content.as_bytes());
        // Of an empty file it is of no kind.
        if length > 0 {
            assert_eq!(file["checksum"], format!("{expected:08x}"), "{path}: {file}");
        }
        assert!(client.is_file_closed(path.as_bytes()).await.unwrap());
        let pinned = client.located_status(path.as_bytes()).await.unwrap().unwrap();
        let blocks = &pinned.pinned.unwrap().blocks;
        assert_eq!(blocks.len(), length.div_ceil(block));
        assert!(blocks.iter().all(|block| block.datanodes.len() == 3), "{blocks:?}");
    }
}

/// Nothing is lost with a DataNode that is gone before a block, and what is lost with one that goes
/// within is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_goes_round_a_lost_datanode() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    client.make_directory(b"/round", 0o755).await.unwrap();
    let content = text(3 * BLOCK_BYTES as usize, 7);
    hadoop.stop_data_node(0).unwrap();
    write(&client, "/round/before", content.as_bytes(), 1 << 18).await;
    hadoop.restart_data_node(0).unwrap();
    let file = NewFile { block_size_bytes: 4 * BLOCK_BYTES, ..defaults(&client).await };
    let mut excluded = Excluded::default();
    let mut stopped = false;
    'tries: loop {
        client.remove(b"/round/within").await.unwrap();
        let created = client.create(b"/round/within", file.clone(), excluded.clone()).await;
        let mut writer = created.unwrap();
        for piece in content.as_bytes().chunks(1 << 18) {
            if let Err(error) = writer.write(piece).await {
                assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
                excluded = writer.excluded();
                continue 'tries;
            }
            if !stopped {
                stopped = true;
                hadoop.stop_data_node(1).unwrap();
            }
        }
        match writer.close().await {
            Ok(()) => break,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Retry, "{error}"),
        }
        excluded = writer.excluded();
    }
    hadoop.restart_data_node(1).unwrap();
    let expected = format!("{:08x}", CrcKind::Crc32c.of(content.as_bytes()));
    for path in ["/round/before", "/round/within"] {
        assert_eq!(checksum(&hadoop, path)["checksum"], expected, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_a_file_is_set() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    client.make_directory(b"/belongs", 0o750).await.unwrap();
    write(&client, "/belongs/a", b"one", 10).await;
    let entry = |subject, name: Option<&str>, permission| AclEntry {
        is_default: false,
        subject,
        name: name.map(|name| Bytes::copy_from_slice(name.as_bytes())),
        permission,
    };
    let acl = [
        entry(AclSubject::User, None, 7),
        entry(AclSubject::User, Some("bob"), 6),
        entry(AclSubject::Group, None, 4),
        entry(AclSubject::Mask, None, 6),
        entry(AclSubject::Other, None, 0),
    ];
    client.set_owner(b"/belongs/a", Some("alice"), Some("analysts")).await.unwrap();
    client.set_acl(b"/belongs/a", &acl).await.unwrap();
    client.set_modified(b"/belongs/a", 1_234_567_890_123).await.unwrap();
    let xattr = XAttr::named("user.note", b"\0\xff").unwrap();
    client.set_xattr(b"/belongs/a", &xattr).await.unwrap();
    let told = status(&hadoop, "/belongs/a").to_string();
    for part in ["alice", "analysts", "1234567890123", "\"mode\":\"0760\"", "\"has_acl\":true"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let kept = client.acl_status(b"/belongs/a").await.unwrap().entries;
    assert_eq!(kept, [acl[1].clone(), acl[2].clone()], "the others stand in the mode");
    assert_eq!(client.xattrs(b"/belongs/a").await.unwrap(), [xattr]);
    let before = client.file_status(b"/belongs/a").await.unwrap().unwrap();
    assert!(before.has_acl);
    // A rename takes all of it along, over another file.
    write(&client, "/belongs/b", b"two", 10).await;
    let stands = client.rename(b"/belongs/a", b"/belongs/b", false).await.unwrap_err();
    assert_eq!(stands.remote_class(), Some("FileAlreadyExistsException"), "{stands}");
    client.rename(b"/belongs/a", b"/belongs/b", true).await.unwrap();
    let after = client.file_status(b"/belongs/b").await.unwrap().unwrap();
    assert_eq!((after.file_id, after.modified_millis), (before.file_id, 1_234_567_890_123));
    client.remove_acl(b"/belongs/b").await.unwrap();
    assert!(!client.file_status(b"/belongs/b").await.unwrap().unwrap().has_acl);
    let gone = client.rename(b"/belongs/a", b"/belongs/b", true).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound, "{gone}");
    client.rename(b"/belongs/b", b"/belongs/a", false).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_is_told_by_its_reason() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    client.make_directory(b"/refused", 0o700).await.unwrap();
    write(&client, "/refused/a", b"one", 10).await;
    let file = defaults(&client).await;
    let create = async |client: &Client, path: &str| {
        let made = client.create(path.as_bytes(), file.clone(), Excluded::default()).await;
        made.map(drop).unwrap_err()
    };
    let stands = create(&client, "/refused/a").await;
    assert_eq!(stands.remote_class(), Some("FileAlreadyExistsException"), "{stands}");
    let missing = create(&client, "/refused/none/a").await;
    assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
    let below = create(&client, "/refused/a/b").await;
    assert_eq!(below.kind(), ErrorKind::NotFound, "{below}");
    let long = create(&client, &format!("/refused/{}", "l".repeat(256))).await;
    assert_eq!(long.remote_class(), Some("PathComponentTooLongException"), "{long}");
    for name in ["a:b", "./x", "../x", "c//d", ".snapshot"] {
        let error = create(&client, &format!("/refused/{name}")).await;
        assert_ne!(error.kind(), ErrorKind::Denied, "{name}: {error}");
    }
    let nobody = client_of(&hadoop, "carol").await;
    let denied = create(&nobody, "/refused/b").await;
    assert!(matches!(denied, Error::Denied { .. }), "{denied}");
    let full = client.remove(b"/refused").await.unwrap_err();
    assert_eq!(full.remote_class(), Some("PathIsNotEmptyDirectoryException"), "{full}");
    assert!(client.remove(b"/refused/a").await.unwrap());
    assert!(!client.remove(b"/refused/a").await.unwrap());
    // An unfinished file goes without its lease.
    let mut begun = client.create(b"/refused/c", file.clone(), Excluded::default()).await.unwrap();
    begun.write(b"one").await.unwrap();
    assert!(nobody.remove(b"/refused/c").await.is_err());
    assert!(client_of(&hadoop, hadoop.superuser()).await.remove(b"/refused/c").await.unwrap());
    assert!(begun.close().await.is_err());
    assert!(client.remove(b"/refused").await.unwrap());
}
