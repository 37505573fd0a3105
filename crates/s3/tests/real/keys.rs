//! Hostile keys: each comes back byte for byte, or is refused, or the listing says that it was
//! altered. Which of the three is the server's doing and is written down here.

use whimbrel_s3::{Client, Condition, Crc32c, ListRequest, ObjectOptions};

use crate::objects::{content, put};
use crate::servers::{on_gateway, on_mock};

/// Keys that every server here holds.
const ORDINARY: &[&str] = &[
    "space in name",
    "plus+plus",
    "percent%41%",
    "new\nline",
    "quote\"'`",
    "<xml>&amp;",
    "nfc-\u{e9}",
    "nfd-e\u{301}",
    "emoji-\u{1f426}",
    "x#1",
    "question?mark=1&b",
    "tilde~_-.!*()",
    "semi;colon:comma,@$",
    "dir/name ending in dot.",
    "a=b",
];

/// Keys that a file system cannot hold.
const UNLIKE_FILES: &[&str] =
    &["a//b", "///", "/leading", "dot/./dot", "dot/../dot", "..", ".", "f", "f/", "f/below"];

async fn round_trip(client: &Client, key: &str) {
    put(client, key.as_bytes(), key.to_owned()).await;
    let head = client.head_object(key.as_bytes(), None).await.unwrap();
    assert_eq!(head.checksums.full_crc32c(), Some(Crc32c::of(key.as_bytes())), "{key:?}");
    assert_eq!(content(client, key.as_bytes()).await, key.as_bytes(), "{key:?}");
}

async fn listed(client: &Client) -> Vec<(Vec<u8>, bool)> {
    let page = client.list_objects(&ListRequest::default()).await.unwrap();
    assert_eq!(page.continuation, None);
    page.objects.into_iter().map(|object| (object.key.bytes, object.key.altered)).collect()
}

async fn all_round_trip(client: &Client, keys: &[&str]) {
    for key in keys {
        round_trip(client, key).await;
    }
    let mut expected: Vec<(Vec<u8>, bool)> =
        keys.iter().map(|key| (key.as_bytes().to_vec(), false)).collect();
    let mut listed = listed(client).await;
    expected.sort();
    listed.sort();
    assert_eq!(listed, expected);
    for key in keys {
        client.delete_object(key.as_bytes(), None, &Condition::Always).await.unwrap();
    }
    let page = client.list_objects(&ListRequest::default()).await.unwrap();
    assert!(page.objects.is_empty(), "{:?}", page.objects);
}

#[tokio::test]
async fn odd_keys_come_back_from_versitygw() {
    all_round_trip(&on_gateway("keys").await, ORDINARY).await;
}

#[tokio::test]
async fn odd_keys_come_back_from_s3mock() {
    all_round_trip(&on_mock("keys").await, ORDINARY).await;
}

#[tokio::test]
async fn keys_unlike_files_come_back_from_s3mock() {
    all_round_trip(&on_mock("unlike-files").await, UNLIKE_FILES).await;
}

#[tokio::test]
async fn control_characters_come_back_or_are_told() {
    let mock = on_mock("control").await;
    all_round_trip(&mock, &["a\u{1}b", "tab\there", "del\u{7f}", "cr\rlf\r\n"]).await;

    let gateway = on_gateway("control").await;
    round_trip(&gateway, "a\u{1}b").await;
    assert_eq!(listed(&gateway).await, [("a\u{fffd}b".as_bytes().to_vec(), true)]);
}

#[tokio::test]
async fn the_longest_keys() {
    let mock = on_mock("longest").await;
    let key = "k".repeat(1024);
    all_round_trip(&mock, &[&key]).await;
    let gateway = on_gateway("longest").await;
    let key = ["0123456789".repeat(20).as_str(); 5].join("/") + &"x".repeat(20);
    assert_eq!(key.len(), 1024);
    all_round_trip(&gateway, &[&key]).await;
}

#[tokio::test]
async fn a_file_in_the_way_of_a_folder_is_refused_by_versitygw() {
    let client = on_gateway("in-the-way").await;
    put(&client, b"a", "x").await;
    let options = ObjectOptions::default();
    let put = client.put_object(b"a/b", "x".into(), None, &options, &Condition::Always).await;
    assert_eq!(put.unwrap_err().kind(), whimbrel_s3::Kind::Conflict);
}
