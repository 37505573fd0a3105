//! Uploads in parts on both servers.

use bytes::Bytes;
use whimbrel_s3::{
    Client, Condition, CopyRequest, Crc32c, Kind, ObjectOptions, PART_BYTES_MIN, Part, Whole,
};

use crate::objects::{content, put};
use crate::servers::{on_gateway, on_mock};

const PART: usize = PART_BYTES_MIN as usize;

fn data() -> Vec<Bytes> {
    let fill = |seed: u32, length: usize| -> Bytes {
        let mut state = seed;
        let step = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..length).map(step).collect()
    };
    vec![fill(1, PART), fill(2, PART + 777), fill(3, 1000)]
}

fn whole_of(parts: &[Bytes]) -> Whole {
    let bytes = parts.concat();
    Whole { crc32c: Some(Crc32c::of(&bytes)), bytes: Some(bytes.len() as u64) }
}

async fn upload(client: &Client, key: &[u8], data: &[Bytes]) -> (String, Vec<Part>) {
    let options = ObjectOptions {
        metadata: [("attempt".to_owned(), "7".to_owned())].into(),
        ..ObjectOptions::default()
    };
    let id = client.create_multipart(key, &options).await.unwrap();
    let mut parts = Vec::new();
    for (number, bytes) in (1..).zip(data) {
        let crc = Crc32c::of(bytes);
        let part = client.upload_part(key, &id, number, bytes.clone().into(), crc).await.unwrap();
        parts.push(part);
    }
    (id, parts)
}

async fn complete(client: &Client, says_type: bool) {
    let data = data();
    let whole = whole_of(&data);
    let (id, parts) = upload(client, b"large", &data).await;

    let page = client.list_parts(b"large", &id, None).await.unwrap();
    let listed: Vec<_> = page.parts.iter().map(|part| (part.number, part.bytes)).collect();
    let expected: Vec<_> = parts.iter().map(|part| (part.number, part.bytes)).collect();
    assert_eq!(listed, expected);
    let behind = client.list_parts(b"large", &id, Some(2)).await.unwrap();
    assert_eq!(behind.parts.iter().map(|part| part.number).collect::<Vec<_>>(), [3]);

    let uploads = client.list_multipart_uploads(b"lar", None).await.unwrap();
    assert_eq!(uploads.uploads.len(), 1);
    assert_eq!((&uploads.uploads[0].key.bytes[..], &uploads.uploads[0].id), (&b"large"[..], &id));
    assert!(client.list_multipart_uploads(b"other", None).await.unwrap().uploads.is_empty());

    let always = Condition::Always;
    let wrong = Whole { crc32c: Some(Crc32c(1)), ..whole };
    let error = client.complete_multipart(b"large", &id, &parts, &wrong, &always).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), Kind::ChecksumMismatch, "{error}");
    let done = client.complete_multipart(b"large", &id, &parts, &whole, &always).await.unwrap();
    assert_eq!(done.checksums.full_crc32c(), whole.crc32c);

    let head = client.head_object(b"large", None).await.unwrap();
    assert_eq!(Some(head.content_bytes), whole.bytes);
    assert_eq!(head.checksums.full_crc32c(), whole.crc32c);
    assert_eq!(head.checksums.kind.is_some(), says_type);
    assert_eq!(head.metadata["attempt"], "7");
    assert_eq!(content(client, b"large").await, data.concat());
}

#[tokio::test]
async fn parts_become_an_object_with_its_full_checksum_on_versitygw() {
    complete(&on_gateway("parts").await, true).await;
}

#[tokio::test]
async fn parts_become_an_object_with_its_full_checksum_on_s3mock() {
    complete(&on_mock("parts").await, false).await;
}

#[tokio::test]
async fn a_wrong_length_is_refused_by_versitygw() {
    let client = on_gateway("wrong-length").await;
    let data = data();
    let (id, parts) = upload(&client, b"k", &data).await;
    let wrong = Whole { bytes: Some(1), ..whole_of(&data) };
    let error = client.complete_multipart(b"k", &id, &parts, &wrong, &Condition::Always).await;
    assert_eq!(error.unwrap_err().kind(), Kind::Invalid);
    assert_eq!(client.head_object(b"k", None).await.unwrap_err().kind(), Kind::NotFound);
}

async fn abort(client: &Client) {
    let data = data();
    let (id, parts) = upload(client, b"k", &data).await;
    let crc = Crc32c(1);
    let wrong = client.upload_part(b"k", &id, 4, "x".into(), crc).await.unwrap_err();
    assert_eq!(wrong.kind(), Kind::ChecksumMismatch, "{wrong}");
    client.abort_multipart(b"k", &id).await.unwrap();
    let whole = whole_of(&data);
    let late = client.complete_multipart(b"k", &id, &parts, &whole, &Condition::Always).await;
    assert_eq!(late.unwrap_err().kind(), Kind::NotFound);
    let part = client.upload_part(b"k", &id, 1, "x".into(), Crc32c::of(b"x")).await;
    assert_eq!(part.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(client.head_object(b"k", None).await.unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test]
async fn an_aborted_upload_cannot_be_completed() {
    abort(&on_gateway("abort").await).await;
    abort(&on_mock("abort").await).await;
}

#[tokio::test]
async fn completion_under_a_condition() {
    for client in [on_gateway("complete-if").await, on_mock("complete-if").await] {
        put(&client, b"k", "there").await;
        let data = data();
        let whole = whole_of(&data);
        let (id, parts) = upload(&client, b"k", &data).await;
        let error = client.complete_multipart(b"k", &id, &parts, &whole, &Condition::Absent).await;
        assert_eq!(error.unwrap_err().kind(), Kind::Conflict);
        assert_eq!(content(&client, b"k").await, b"there");
    }
}

#[tokio::test]
async fn parts_are_copied_by_range_on_s3mock() {
    let client = on_mock("part-copy").await;
    let data = data();
    put(&client, b"source", data.concat()).await;
    let id = client.create_multipart(b"copy", &ObjectOptions::default()).await.unwrap();
    let source = CopyRequest { source_key: b"source".to_vec(), ..CopyRequest::default() };
    let total = data.concat().len() as u64;
    let mut parts = Vec::new();
    for (number, range) in [(1, 0..PART_BYTES_MIN), (2, PART_BYTES_MIN..total)] {
        let part = client.upload_part_copy(b"copy", &id, number, &source, Some(range.clone()));
        // It tells no checksum of the part, but keeps one for the whole.
        parts.push(part.await.unwrap());
    }
    let whole = whole_of(&data);
    client.complete_multipart(b"copy", &id, &parts, &whole, &Condition::Always).await.unwrap();
    assert_eq!(content(&client, b"copy").await, data.concat());
}

#[tokio::test]
async fn versitygw_tells_a_wrong_checksum_for_a_copied_part() {
    let client = on_gateway("part-copy").await;
    let data = data();
    put(&client, b"source", data.concat()).await;
    let id = client.create_multipart(b"copy", &ObjectOptions::default()).await.unwrap();
    let source = CopyRequest { source_key: b"source".to_vec(), ..CopyRequest::default() };
    let part = client.upload_part_copy(b"copy", &id, 1, &source, Some(0..PART_BYTES_MIN)).await;
    let part = part.unwrap();
    assert_eq!(part.crc32c, whole_of(&data).crc32c, "it is right now: callers may rely on it");
    let missing = CopyRequest { source_key: b"none".to_vec(), ..CopyRequest::default() };
    let error = client.upload_part_copy(b"copy", &id, 2, &missing, None).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}
