//! Copies within the server.

use whimbrel_s3::{Client, Condition, CopyMetadata, CopyRequest, Crc32c, Kind, ObjectOptions};

use crate::objects::content;
use crate::servers::{on_gateway, on_mock};

fn options(owner: &str) -> ObjectOptions {
    let metadata = [("owner".to_owned(), owner.to_owned())].into();
    ObjectOptions { metadata, ..ObjectOptions::default() }
}

async fn copies(client: &Client) {
    let crc = Crc32c::of(b"content");
    let key = "from/a +%\u{e9}#1".as_bytes();
    let always = Condition::Always;
    let old = options("old");
    let put = client.put_object(key, "content".into(), Some(crc), &old, &always).await.unwrap();
    let etag = put.etag;
    let source = CopyRequest {
        source_key: key.to_vec(),
        source_if_match: etag.clone(),
        ..CopyRequest::default()
    };
    let kept = client.copy_object(b"kept", &source, CopyMetadata::Keep, &options("ignored")).await;
    assert_eq!(kept.unwrap().etag, etag);
    let head = client.head_object(b"kept", None).await.unwrap();
    assert_eq!(head.metadata["owner"], "old");
    assert_eq!(head.checksums.full_crc32c(), Some(crc));

    let new = client.copy_object(b"new", &source, CopyMetadata::Replace, &options("new")).await;
    new.unwrap();
    let head = client.head_object(b"new", None).await.unwrap();
    assert_eq!(head.metadata["owner"], "new");
    assert_eq!(head.checksums.full_crc32c(), Some(crc));
    assert_eq!(content(client, b"new").await, b"content");

    let itself = CopyRequest { source_key: b"new".to_vec(), ..CopyRequest::default() };
    let newer = options("newer");
    client.copy_object(b"new", &itself, CopyMetadata::Replace, &newer).await.unwrap();
    assert_eq!(client.head_object(b"new", None).await.unwrap().metadata["owner"], "newer");

    let stale = CopyRequest { source_if_match: Some("\"0\"".to_owned()), ..source };
    let copy = client.copy_object(b"stale", &stale, CopyMetadata::Keep, &options("x")).await;
    assert_eq!(copy.unwrap_err().kind(), Kind::Conflict);
    let missing = CopyRequest { source_key: b"missing".to_vec(), ..CopyRequest::default() };
    let copy = client.copy_object(b"none", &missing, CopyMetadata::Keep, &options("x")).await;
    assert_eq!(copy.unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test]
async fn copies_keep_or_replace_metadata_on_versitygw() {
    copies(&on_gateway("copies").await).await;
}

#[tokio::test]
async fn copies_keep_or_replace_metadata_on_s3mock() {
    copies(&on_mock("copies").await).await;
}

#[tokio::test]
async fn an_old_version_is_copied_from_another_bucket() {
    let from = on_gateway("copy-from").await;
    from.enable_versioning().await.unwrap();
    let always = Condition::Always;
    let put = from.put_object(b"k", "one".into(), None, &options("1"), &always).await.unwrap();
    from.put_object(b"k", "two".into(), None, &options("2"), &always).await.unwrap();
    let to = on_gateway("copy-to").await;
    let source = CopyRequest {
        source_bucket: Some("copy-from".to_owned()),
        source_key: b"k".to_vec(),
        source_version: put.version,
        source_if_match: None,
    };
    to.copy_object(b"k", &source, CopyMetadata::Keep, &ObjectOptions::default()).await.unwrap();
    assert_eq!(content(&to, b"k").await, b"one");
}
