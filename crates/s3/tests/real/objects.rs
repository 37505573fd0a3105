//! Put, head, get, list, delete on both servers.

use bytes::Bytes;
use whimbrel_s3::{
    Body, Client, Condition, Crc32c, Deletion, GetRequest, Kind, ListRequest, ObjectOptions,
    ObjectReader, Settings, Versioning,
};
use whimbrel_testbed::{S3Server, VersityGateway, VersityOptions};

use crate::servers::{fresh, gateway, on_gateway, on_mock, settings};

pub async fn put(client: &Client, key: &[u8], bytes: impl Into<Bytes>) {
    let bytes = bytes.into();
    let crc = Crc32c::of(&bytes);
    let options = ObjectOptions::default();
    let put = client.put_object(key, bytes.into(), Some(crc), &options, &Condition::Always);
    put.await.unwrap_or_else(|error| panic!("{:?}: {error}", String::from_utf8_lossy(key)));
}

pub async fn read(mut reader: ObjectReader) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(piece) = reader.next().await.unwrap() {
        whole.extend_from_slice(&piece);
    }
    whole
}

pub async fn content(client: &Client, key: &[u8]) -> Vec<u8> {
    read(client.get_object(key, &GetRequest::default()).await.unwrap()).await
}

async fn whole_life(client: &Client) {
    let options = ObjectOptions {
        metadata: [("owner", "hdfs"), ("spaces", "a  b   c"), ("percent", "%C3%A9+/=")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        content_type: Some("text/x-test".to_owned()),
        ..ObjectOptions::default()
    };
    let crc = Crc32c::of(b"hello, world");
    let pieces = vec![Bytes::from_static(b"hello, "), Bytes::new(), Bytes::from_static(b"world")];
    let body = Body::from(pieces);
    let always = Condition::Always;
    let stored = client.put_object(b"dir/key", body, Some(crc), &options, &always).await.unwrap();
    assert!(stored.etag.is_some());
    let head = client.head_object(b"dir/key", None).await.unwrap();
    assert_eq!(head.content_bytes, 12);
    assert_eq!(head.checksums.full_crc32c(), Some(crc));
    assert_eq!(head.metadata, options.metadata);
    assert_eq!(head.content_type, options.content_type);
    assert_eq!(head.etag, stored.etag);
    assert!(head.last_modified.unwrap().elapsed().unwrap_or_default().as_secs() < 60);

    let range = GetRequest { range: Some(7..10), ..GetRequest::default() };
    let reader = client.get_object(b"dir/key", &range).await.unwrap();
    assert_eq!(reader.head().content_bytes, 3);
    assert_eq!(read(reader).await, b"wor");
    let beyond = GetRequest { range: Some(100..101), ..GetRequest::default() };
    assert_eq!(client.get_object(b"dir/key", &beyond).await.unwrap_err().kind(), Kind::Invalid);
    let matching = GetRequest { if_match: head.etag.clone(), ..GetRequest::default() };
    assert_eq!(
        read(client.get_object(b"dir/key", &matching).await.unwrap()).await,
        b"hello, world"
    );
    let other = GetRequest { if_match: Some("\"0\"".to_owned()), ..GetRequest::default() };
    assert_eq!(client.get_object(b"dir/key", &other).await.unwrap_err().kind(), Kind::Conflict);

    client.delete_object(b"dir/key", None, &Condition::Always).await.unwrap();
    client.delete_object(b"dir/key", None, &Condition::Always).await.unwrap();
    assert_eq!(client.head_object(b"dir/key", None).await.unwrap_err().kind(), Kind::NotFound);
    let gone = client.get_object(b"dir/key", &GetRequest::default()).await.unwrap_err();
    assert_eq!((gone.kind(), gone.code()), (Kind::NotFound, Some("NoSuchKey")));
}

#[tokio::test]
async fn an_object_lives_and_dies_on_versitygw() {
    whole_life(&on_gateway("life").await).await;
}

#[tokio::test]
async fn an_object_lives_and_dies_on_s3mock() {
    whole_life(&on_mock("life").await).await;
}

async fn empty_and_streamed(client: &Client) {
    put(client, b"empty", "").await;
    let head = client.head_object(b"empty", None).await.unwrap();
    assert_eq!((head.content_bytes, head.checksums.full_crc32c()), (0, Some(Crc32c(0))));
    assert_eq!(content(client, b"empty").await, b"");

    let piece = Bytes::from(vec![7_u8; 100_000]);
    let pieces: Vec<std::io::Result<Bytes>> = (0..30).map(|_| Ok(piece.clone())).collect();
    let crc = Crc32c::of(&vec![7; 3_000_000]);
    let body = Body::stream(3_000_000, Pieces(pieces.into_iter()));
    let options = ObjectOptions::default();
    let always = Condition::Always;
    client.put_object(b"streamed", body, Some(crc), &options, &always).await.unwrap();
    assert_eq!(content(client, b"streamed").await, vec![7; 3_000_000]);

    for (bytes, what) in [(5, "longer"), (100, "early")] {
        let pieces = vec![Ok(Bytes::from_static(b"0123456789"))];
        let body = Body::stream(bytes, Pieces(pieces.into_iter()));
        let error = client.put_object(b"wrong", body, None, &options, &always).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Body, "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
    let broken = vec![Ok(Bytes::from_static(b"01")), Err(std::io::Error::other("disk on fire"))];
    let body = Body::stream(10, Pieces(broken.into_iter()));
    let error = client.put_object(b"wrong", body, None, &options, &always).await.unwrap_err();
    assert!(error.to_string().contains("disk on fire"), "{error}");
    assert_eq!(client.head_object(b"wrong", None).await.unwrap_err().kind(), Kind::NotFound);
}

pub struct Pieces(pub std::vec::IntoIter<std::io::Result<Bytes>>);

impl futures_core::Stream for Pieces {
    type Item = std::io::Result<Bytes>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(self.0.next())
    }
}

#[tokio::test]
async fn bodies_that_are_empty_streamed_or_broken_on_versitygw() {
    empty_and_streamed(&on_gateway("bodies").await).await;
}

#[tokio::test]
async fn bodies_that_are_empty_streamed_or_broken_on_s3mock() {
    empty_and_streamed(&on_mock("bodies").await).await;
}

async fn wrong_checksum(client: &Client) {
    let options = ObjectOptions::default();
    let put =
        client.put_object(b"k", "right".into(), Some(Crc32c(7)), &options, &Condition::Always);
    let error = put.await.unwrap_err();
    assert_eq!(error.kind(), Kind::ChecksumMismatch, "{error}");
    assert_eq!(client.head_object(b"k", None).await.unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test]
async fn a_wrong_checksum_is_refused_and_nothing_is_stored() {
    wrong_checksum(&on_gateway("wrong-crc").await).await;
    wrong_checksum(&on_mock("wrong-crc").await).await;
}

async fn conditions(client: &Client) {
    let options = ObjectOptions::default();
    let crc = |text: &str| Some(Crc32c::of(text.as_bytes()));
    let first = client.put_object(b"k", "one".into(), crc("one"), &options, &Condition::Absent);
    let etag = first.await.unwrap().etag.unwrap();
    let again = client.put_object(b"k", "two".into(), crc("two"), &options, &Condition::Absent);
    assert_eq!(again.await.unwrap_err().kind(), Kind::Conflict);
    let matches = Condition::Matches(etag);
    client.put_object(b"k", "two".into(), crc("two"), &options, &matches).await.unwrap();
    let stale = client.put_object(b"k", "three".into(), crc("three"), &options, &matches).await;
    assert_eq!(stale.unwrap_err().kind(), Kind::Conflict);
    assert_eq!(content(client, b"k").await, b"two");
}

#[tokio::test]
async fn conditional_writes() {
    conditions(&on_gateway("conditions").await).await;
    conditions(&on_mock("conditions").await).await;
}

async fn paging(client: &Client) {
    let keys: Vec<String> = (0..25).map(|number| format!("p/{}/{number:02}", number % 5)).collect();
    for key in &keys {
        put(client, key.as_bytes(), "x").await;
    }
    put(client, b"q", "x").await;
    let mut request =
        ListRequest { prefix: b"p/".to_vec(), keys_max: Some(7), ..ListRequest::default() };
    let mut listed = Vec::new();
    loop {
        let page = client.list_objects(&request).await.unwrap();
        assert!(page.objects.len() <= 7);
        listed.extend(page.objects.into_iter().map(|object| object.key.bytes));
        request.continuation = page.continuation;
        if request.continuation.is_none() {
            break;
        }
    }
    let mut expected: Vec<Vec<u8>> = keys.iter().map(|key| key.as_bytes().to_vec()).collect();
    expected.sort();
    assert_eq!(listed, expected);

    let folded = ListRequest {
        prefix: b"p/".to_vec(),
        delimiter: Some("/".to_owned()),
        ..ListRequest::default()
    };
    let page = client.list_objects(&folded).await.unwrap();
    let prefixes: Vec<&[u8]> = page.prefixes.iter().map(|key| &key.bytes[..]).collect();
    assert_eq!(prefixes, [&b"p/0/"[..], b"p/1/", b"p/2/", b"p/3/", b"p/4/"]);
    assert!(page.objects.is_empty());

    let behind = ListRequest { start_after: Some(b"p/4/19".to_vec()), ..ListRequest::default() };
    let page = client.list_objects(&behind).await.unwrap();
    let names: Vec<&[u8]> = page.objects.iter().map(|object| &object.key.bytes[..]).collect();
    assert_eq!(names, [&b"p/4/24"[..], b"q"]);
}

#[tokio::test]
async fn listings_page_fold_and_start_anywhere() {
    paging(&on_gateway("paging").await).await;
    paging(&on_mock("paging").await).await;
}

async fn batch(client: &Client) {
    let deletions: Vec<Deletion> = (0..1000)
        .map(|number| Deletion { key: format!("b/{number} <&>é").into_bytes(), version: None })
        .collect();
    for deletion in deletions.iter().step_by(10) {
        put(client, &deletion.key, "x").await;
    }
    put(client, b"b", "stays").await;
    let results = client.delete_objects(&deletions).await.unwrap();
    assert_eq!(results.len(), 1000);
    assert!(results.iter().all(Result::is_ok), "{:?}", results.iter().find(|r| r.is_err()));
    let left = client.list_objects(&ListRequest::default()).await.unwrap().objects;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].key.bytes, b"b");
}

#[tokio::test]
async fn a_thousand_objects_are_removed_at_once_on_s3mock() {
    batch(&on_mock("batch").await).await;
}

#[tokio::test]
async fn a_thousand_objects_are_removed_at_once_on_versitygw() {
    let client = on_gateway("batch").await;
    let deletions: Vec<Deletion> = (0..1000)
        .map(|number| Deletion { key: format!("b/{number} <&>é").into_bytes(), version: None })
        .collect();
    for deletion in deletions.iter().step_by(10) {
        put(&client, &deletion.key, "x").await;
    }
    let results = client.delete_objects(&deletions).await.unwrap();
    assert!(results.iter().all(Result::is_ok), "{:?}", results.iter().find(|r| r.is_err()));
    assert!(client.list_objects(&ListRequest::default()).await.unwrap().objects.is_empty());
}

#[tokio::test]
async fn wrong_keys_and_missing_buckets_are_told_apart() {
    let right = settings(gateway().endpoint());
    let client = Client::new("nowhere", &right).await.unwrap();
    assert_eq!(client.head_bucket().await.unwrap_err().kind(), Kind::NoBucket);
    let list = client.list_objects(&ListRequest::default()).await;
    assert_eq!(list.unwrap_err().kind(), Kind::NoBucket);
    let options = ObjectOptions::default();
    let put = client.put_object(b"k", "x".into(), None, &options, &Condition::Always).await;
    assert_eq!(put.unwrap_err().kind(), Kind::NoBucket);

    fresh("secret", &right).await;
    let mut wrong = right.clone();
    let credentials = wrong.credentials.as_mut().unwrap();
    credentials.secret_access_key = "SECRET-CANARY".into();
    let client = Client::new("secret", &wrong).await.unwrap();
    assert_eq!(client.head_bucket().await.unwrap_err().kind(), Kind::Denied);
    let put = client.put_object(b"k", "x".into(), None, &options, &Condition::Always).await;
    let error = put.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Denied, Some("SignatureDoesNotMatch")));
    for text in [format!("{error} {error:?}"), format!("{client:?} {wrong:?}")] {
        assert!(!text.contains("CANARY") && !text.contains("X-Amz-Signature"), "{text}");
    }
}

#[tokio::test]
async fn names_that_s3_does_not_have_are_invalid() {
    let client = on_gateway("long-names").await;
    let options = ObjectOptions::default();
    for key in [vec![b'a'; 300], [&[b'b'; 200][..]; 8].join(&b'/')] {
        let put = client.put_object(&key, "x".into(), None, &options, &Condition::Always).await;
        assert_eq!(put.unwrap_err().kind(), Kind::Invalid, "{} bytes", key.len());
    }
    let raw = client.put_object(b"a\xff", "x".into(), None, &options, &Condition::Always).await;
    assert_eq!(raw.unwrap_err().kind(), Kind::Invalid);
    let empty = client.put_object(b"", "x".into(), None, &options, &Condition::Always).await;
    assert_eq!(empty.unwrap_err().kind(), Kind::Invalid);
}

#[tokio::test]
async fn versions_are_kept_and_read() {
    let client = on_gateway("versions").await;
    assert_eq!(client.bucket_versioning().await.unwrap(), Versioning::Off);
    client.enable_versioning().await.unwrap();
    assert_eq!(client.bucket_versioning().await.unwrap(), Versioning::Enabled);
    let options = ObjectOptions::default();
    let always = Condition::Always;
    let first = client.put_object(b"k", "one".into(), None, &options, &always).await.unwrap();
    client.put_object(b"k", "two".into(), None, &options, &always).await.unwrap();
    client.delete_object(b"k", None, &always).await.unwrap();
    let latest = client.get_object(b"k", &GetRequest::default()).await.unwrap_err();
    assert_eq!(latest.kind(), Kind::NotFound);
    let version = first.version.unwrap();
    let old = GetRequest { version: Some(version.clone()), ..GetRequest::default() };
    assert_eq!(read(client.get_object(b"k", &old).await.unwrap()).await, b"one");
    let head = client.head_object(b"k", Some(&version)).await.unwrap();
    assert_eq!(head.version, Some(version.clone()));
    client.delete_object(b"k", Some(&version), &always).await.unwrap();
    assert_eq!(client.get_object(b"k", &old).await.unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test]
async fn connections_are_used_again() {
    let client = on_gateway("reuse").await;
    for number in 0..50 {
        put(&client, format!("k{number}").as_bytes(), "x").await;
    }
    client.head_object(b"missing", None).await.unwrap_err();
    let _ = client.list_objects(&ListRequest::default()).await.unwrap();
    assert_eq!(content(&client, b"k1").await, b"x");
    let counts = client.connection_counts();
    assert_eq!(counts.opened, 1, "{counts:?}");
    assert!(counts.requests >= 54, "{counts:?}");

    let many: Vec<_> = (0..8)
        .map(|task| {
            let client = client.clone();
            tokio::spawn(async move {
                for number in 0..25 {
                    put(&client, format!("t{task}/{number}").as_bytes(), "x").await;
                }
            })
        })
        .collect();
    for task in many {
        task.await.unwrap();
    }
    let counts = client.connection_counts();
    assert!(counts.opened <= 8, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_asks_to_slow_down() {
    let options = VersityOptions { requests_maximum: Some(1), ..VersityOptions::default() };
    let busy = VersityGateway::start_with(options).unwrap();
    busy.create_bucket("busy").unwrap();
    let client = Client::new("busy", &settings(busy.endpoint())).await.unwrap();
    client.head_bucket().await.unwrap();
    let body = Bytes::from(vec![1; 4_000_000]);
    let writes: Vec<_> = (0..16)
        .map(|number| {
            let (client, body) = (client.clone(), body.clone());
            tokio::spawn(async move {
                let key = format!("k{number}");
                let options = ObjectOptions::default();
                let always = Condition::Always;
                client.put_object(key.as_bytes(), body.into(), None, &options, &always).await
            })
        })
        .collect();
    let mut slowed = 0;
    for write in writes {
        if let Err(error) = write.await.unwrap() {
            assert_eq!(
                (error.kind(), error.code()),
                (Kind::Throttled, Some("SlowDown")),
                "{error}"
            );
            slowed += 1;
        }
    }
    assert!(slowed > 0);
    put(&client, b"after", "x").await;
}

#[tokio::test]
async fn settings_come_from_environment_and_profile() {
    fresh("chain", &settings(gateway().endpoint())).await;
    let endpoint = gateway().endpoint();
    let folder = tempfile::tempdir().unwrap();
    let aws = folder.path().join(".aws");
    std::fs::create_dir(&aws).unwrap();
    let (id, secret) = (&endpoint.access_key, &endpoint.secret_key);
    let config = format!("[profile lab]\nendpoint_url = {}\nregion = us-east-1\n", endpoint.url);
    std::fs::write(aws.join("config"), config).unwrap();
    let keys = format!("[lab]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    std::fs::write(aws.join("credentials"), keys).unwrap();
    let plain =
        whimbrel_s3::Environment { home: Some(folder.path().to_owned()), ..Default::default() };
    let with = |variables: &[(&str, &str)]| {
        let mut environment = plain.clone();
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        environment.variables = variables.iter().map(own).collect();
        Settings { environment, ..Settings::default() }
    };

    let by_variable = with(&[("AWS_PROFILE", "lab")]);
    let client = Client::new("chain", &by_variable).await.unwrap();
    put(&client, b"from-profile", "x").await;

    let wrong_keys = [("AWS_ACCESS_KEY_ID", "no"), ("AWS_SECRET_ACCESS_KEY", "no")];
    let by_name = Settings { profile: Some("lab".to_owned()), ..with(&wrong_keys) };
    let client = Client::new("chain", &by_name).await.unwrap();
    put(&client, b"from-named-profile", "x").await;

    let mut variables = endpoint.environment();
    variables.push(("AWS_ENDPOINT_URL", "http://127.0.0.1:1".to_owned()));
    let variables: Vec<(&str, &str)> = variables.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let client = Client::new("chain", &with(&variables)).await.unwrap();
    put(&client, b"from-environment", "x").await;

    let mut nothing = with(&[("AWS_EC2_METADATA_DISABLED", "true")]);
    nothing.endpoint = Some(endpoint.url.clone());
    let client = Client::new("chain", &nothing).await.unwrap();
    let error = client.head_bucket().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(
        error.to_string().contains("none found in the environment, the profile's role"),
        "{error}"
    );
}

#[tokio::test]
async fn a_batch_with_an_unfit_key_removes_the_others() {
    let client = on_mock("unfit").await;
    for key in ["a\u{1}", "b"] {
        put(&client, key.as_bytes(), "x").await;
    }
    let batch = ["a\u{1}", "b"].map(|key| Deletion { key: key.into(), version: None });
    let results = client.delete_objects(&batch).await.unwrap();
    assert_eq!(results[0].as_ref().unwrap_err().kind, Kind::Invalid);
    assert_eq!(results[1], Ok(()));
    client.delete_object("a\u{1}".as_bytes(), None, &Condition::Always).await.unwrap();
    assert!(client.list_objects(&ListRequest::default()).await.unwrap().objects.is_empty());
}
