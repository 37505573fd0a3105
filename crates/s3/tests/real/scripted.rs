//! Replies that no server here gives, word for word as AWS documents them, and plain garbage.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use whimbrel_s3::{
    Client, Condition, CopyMetadata, CopyRequest, Environment, Error, FixedCredentials, GetRequest,
    Kind, ListRequest, MutationSigning, ObjectOptions, Settings, Whole,
};

/// A server that gives prepared replies, one for each request, and then closes its connections.
pub struct Scripted {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    pub fn start(replies: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = heads.clone();
        std::thread::spawn(move || {
            let mut replies = replies.into_iter();
            while let Ok((socket, _)) = listener.accept() {
                let mut reader = BufReader::new(socket);
                while let Some(head) = read_request(&mut reader) {
                    seen.lock().unwrap().push(head);
                    let Some(reply) = replies.next() else { return };
                    if reader.get_mut().write_all(reply.as_bytes()).is_err() {
                        break;
                    }
                    if reply.contains("connection: close") {
                        break;
                    }
                }
            }
        });
        Self { address, heads }
    }

    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    pub fn settings(&self) -> Settings {
        Settings {
            endpoint: Some(format!("http://{}", self.address)),
            credentials: Some(FixedCredentials {
                access_key_id: "ID".to_owned(),
                secret_access_key: "SECRET-CANARY".into(),
                session_token: Some("TOKEN-CANARY".into()),
            }),
            environment: Environment::default(),
            ..Settings::default()
        }
    }

    async fn client(&self) -> Client {
        Client::new("bucket", &self.settings()).await.unwrap()
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    let mut bytes = 0;
    loop {
        let start = head.len();
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
        let line = &head[start..];
        if let Some(length) = line.strip_prefix("content-length: ") {
            bytes = length.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    std::io::copy(&mut reader.take(bytes), &mut std::io::sink()).ok()?;
    Some(head)
}

pub fn reply(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nx-amz-request-id: R1\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

fn error_reply(status: &str, code: &str) -> String {
    reply(status, "", &format!("<Error><Code>{code}</Code><Message>so it is</Message></Error>"))
}

pub fn ok() -> String {
    reply("200 OK", "", "")
}

fn dated(seconds_ahead: i64) -> String {
    let now = jiff::Timestamp::now().as_second() + seconds_ahead;
    let date = jiff::Timestamp::from_second(now).unwrap();
    format!("date: {}\r\n", date.strftime("%a, %d %b %Y %H:%M:%S GMT"))
}

async fn put(client: &Client) -> Result<whimbrel_s3::Stored, Error> {
    let options = ObjectOptions::default();
    client.put_object(b"k", "body".into(), None, &options, &Condition::Always).await
}

async fn refusal_of_put(reply: String) -> Error {
    let server = Scripted::start(vec![ok(), reply]);
    put(&server.client().await).await.unwrap_err()
}

#[tokio::test]
async fn refusals_are_sorted_by_what_to_do() {
    for (status, code, kind) in [
        ("503 Slow Down", "SlowDown", Kind::Throttled),
        ("503 Service Unavailable", "ServiceUnavailable", Kind::Throttled),
        ("429 Too Many Requests", "", Kind::Throttled),
        ("500 Internal Server Error", "InternalError", Kind::Unknown),
        ("502 Bad Gateway", "", Kind::Unknown),
        ("504 Gateway Timeout", "", Kind::Unknown),
        ("403 Forbidden", "AccessDenied", Kind::Denied),
        ("403 Forbidden", "InvalidAccessKeyId", Kind::Denied),
        ("400 Bad Request", "ExpiredToken", Kind::Expired),
        ("404 Not Found", "NoSuchBucket", Kind::NoBucket),
        ("409 Conflict", "OperationAborted", Kind::Conflict),
        ("412 Precondition Failed", "PreconditionFailed", Kind::Conflict),
        ("400 Bad Request", "KeyTooLongError", Kind::Invalid),
        ("400 Bad Request", "EntityTooLarge", Kind::Invalid),
        ("400 Bad Request", "BadDigest", Kind::ChecksumMismatch),
        ("507 Insufficient Storage", "", Kind::Full),
        ("403 Forbidden", "QuotaExceeded", Kind::Full),
        ("501 Not Implemented", "NotImplemented", Kind::Unsupported),
    ] {
        let error = refusal_of_put(error_reply(status, code)).await;
        assert_eq!(error.kind(), kind, "{status} {code}: {error}");
        assert!(error.to_string().contains("so it is"), "{error}");
    }
}

#[tokio::test]
async fn a_bucket_elsewhere_is_told_with_its_region() {
    let headers = "x-amz-bucket-region: eu-west-1\r\n";
    let error = refusal_of_put(reply("301 Moved Permanently", headers, "")).await;
    assert_eq!(error.kind(), Kind::Configuration);
    assert!(error.to_string().contains("region eu-west-1"), "{error}");
    let server = Scripted::start(vec![reply("400 Bad Request", headers, "")]);
    let error = server.client().await.head_bucket().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Configuration, "{error}");
    let server = Scripted::start(vec![reply("400 Bad Request", "", "")]);
    let error = server.client().await.head_bucket().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Expired, "a session token is there: {error}");
    let body = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-2</Region></Error>";
    let error = refusal_of_put(reply("400 Bad Request", "", body)).await;
    assert_eq!(error.kind(), Kind::Configuration);
    assert!(error.to_string().contains("region eu-west-2"), "{error}");
}

#[tokio::test]
async fn a_wrong_clock_is_told_with_the_difference() {
    let body = "<Error><Code>RequestTimeTooSkewed</Code><Message>too far</Message></Error>";
    let answer = reply("403 Forbidden", &dated(3600), body);
    let server = Scripted::start(vec![answer.clone(), answer.clone(), answer]);
    let client = server.client().await;
    let error = put(&client).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.to_string().contains("this machine's clock is 3"), "{error}");
    assert!(error.to_string().contains("s behind the server's"), "{error}");
    assert!((client.clock_ahead_seconds().unwrap() - 3600).abs() < 3);
}

#[tokio::test]
async fn writes_are_dated_by_the_clock_that_judges_them() {
    let server = Scripted::start(vec![reply("200 OK", &dated(300), ""), ok()]);
    put(&server.client().await).await.unwrap();
    let head = server.heads()[1].clone();
    let date = head.split("X-Amz-Date=").nth(1).unwrap().split('&').next().unwrap();
    let date = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date).unwrap();
    let date = date.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
    let ahead = date.as_second() - jiff::Timestamp::now().as_second();
    assert!((290..=302).contains(&ahead), "{ahead}");
    assert!(head.contains("X-Amz-Expires=60&"), "{head}");
}

#[tokio::test]
async fn a_clock_that_jumped_is_followed_on_the_next_try() {
    let body = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
    let late = reply("403 Forbidden", &dated(200), body);
    let server = Scripted::start(vec![reply("200 OK", &dated(0), ""), late, ok()]);
    let client = server.client().await;
    assert_eq!(put(&client).await.unwrap_err().kind(), Kind::Throttled);
    put(&client).await.unwrap();
}

#[tokio::test]
async fn mutations_expire_and_reads_are_signed_in_a_header() {
    let server = Scripted::start(vec![ok(); 5]);
    let client = server.client().await;
    put(&client).await.unwrap();
    client.head_bucket().await.unwrap();
    let by_header = Settings { mutation_signing: MutationSigning::Header, ..server.settings() };
    drop(client);
    let client = Client::new("bucket", &by_header).await.unwrap();
    put(&client).await.unwrap();
    let heads = server.heads();
    assert!(heads[0].starts_with("HEAD /bucket HTTP/1.1") && heads[0].contains("authorization: "));
    assert!(heads[1].starts_with("PUT /bucket/k?X-Amz-Algorithm=") && heads[1].contains("Expires"));
    assert!(heads[1].contains("X-Amz-Security-Token=TOKEN-CANARY"));
    assert!(!heads[1].contains("authorization: "));
    let last = heads.last().unwrap();
    assert!(last.starts_with("PUT /bucket/k HTTP/1.1") && last.contains("authorization: "));
    assert!(last.contains("x-amz-content-sha256: UNSIGNED-PAYLOAD"));
}

#[tokio::test]
async fn an_error_inside_of_a_success_is_an_error() {
    let source = CopyRequest { source_key: b"s".to_vec(), ..CopyRequest::default() };
    for (code, kind) in [("InternalError", Kind::Unknown), ("SlowDown", Kind::Throttled)] {
        let body = format!(
            "  \n<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\n<Error><Code>{code}</Code></Error>"
        );
        let inside = reply("200 OK", "", &body);
        let server = Scripted::start(vec![ok(), inside.clone(), inside]);
        let client = server.client().await;
        let options = ObjectOptions::default();
        let copy = client.copy_object(b"k", &source, CopyMetadata::Keep, &options).await;
        assert_eq!(copy.unwrap_err().kind(), kind);
        let whole = Whole::default();
        let done = client.complete_multipart(b"k", "id", &[], &whole, &Condition::Always).await;
        assert_eq!(done.unwrap_err().kind(), kind);
    }
}

#[tokio::test]
async fn garbage_never_passes_for_a_listing() {
    let big = format!("<ListBucketResult>{}</ListBucketResult>", "x".repeat(17 * 1024 * 1024));
    for body in ["", "not xml", "<html>hello</html>", "<ListBucketResult>", "\u{0}", &big] {
        let server = Scripted::start(vec![reply("200 OK", "", body)]);
        let list = server.client().await.list_objects(&ListRequest::default()).await;
        let error = list.unwrap_err();
        assert_eq!(error.kind(), Kind::Unknown, "{error}");
        assert!(error.to_string().len() < 300, "{}", error.to_string().len());
    }
    let torn =
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 100\r\n\r\n<List".to_owned();
    let server = Scripted::start(vec![torn]);
    let list = server.client().await.list_objects(&ListRequest::default()).await;
    assert!(matches!(list.unwrap_err(), Error::Interrupted { .. }));
    let server = Scripted::start(vec!["SSH-2.0-OpenSSH_9.2\r\n".to_owned()]);
    assert_eq!(server.client().await.head_bucket().await.unwrap_err().kind(), Kind::Unknown);
    let server = Scripted::start(vec!["SSH-2.0-OpenSSH_9.2\r\n".to_owned()]);
    let write = put(&server.client().await).await;
    assert_eq!(write.unwrap_err().kind(), Kind::Unreachable, "no write was sent");
}

#[tokio::test]
async fn a_download_that_ends_early_or_at_the_wrong_place_is_an_error() {
    let torn = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 100\r\n\r\nhalf".to_owned();
    let server = Scripted::start(vec![torn]);
    let client = server.client().await;
    let mut reader = client.get_object(b"k", &GetRequest::default()).await.unwrap();
    assert_eq!(reader.next().await.unwrap().unwrap(), "half");
    assert_eq!(reader.next().await.unwrap_err().kind(), Kind::Unknown);
    assert!(reader.next().await.unwrap().is_none());

    let range = GetRequest { range: Some(10..14), ..GetRequest::default() };
    for answer in [
        reply("200 OK", "", "0123456789abcd"),
        reply("206 Partial Content", "content-range: bytes 0-3/14\r\n", "0123"),
        reply("206 Partial Content", "content-range: bytes 10-15/16\r\n", "abcdef"),
    ] {
        let server = Scripted::start(vec![answer]);
        let error = server.client().await.get_object(b"k", &range).await.unwrap_err();
        assert!(matches!(error, Error::Reply { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_lost_connection_leaves_a_write_unknown_and_a_read_is_repeated() {
    let server = Scripted::start(vec![ok()]);
    let error = put(&server.client().await).await.unwrap_err();
    assert!(matches!(error, Error::Interrupted { operation: "PutObject", .. }), "{error:?}");
    assert_eq!(error.kind(), Kind::Unknown);
    assert!(!format!("{error} {error:?}").contains("CANARY"));

    let cut = "HTTP/1.1 100 Continue\r\nconnection: close\r\n\r\n".to_owned();
    let server = Scripted::start(vec![ok(), cut, ok()]);
    let client = server.client().await;
    client.head_bucket().await.unwrap();
    client.head_bucket().await.unwrap();
    assert_eq!((server.heads().len(), client.connection_counts().opened), (3, 2));
}

#[tokio::test]
async fn a_closed_idle_connection_costs_nothing() {
    let closing = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned();
    let server = Scripted::start(vec![ok(), closing.clone(), closing, ok()]);
    let client = server.client().await;
    for _ in 0..3 {
        put(&client).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(client.connection_counts().opened, 3);
}

#[tokio::test]
async fn expired_credentials_are_looked_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("credentials");
    let write = |id: &str| {
        let text = format!("[default]\naws_access_key_id={id}\naws_secret_access_key=s\n");
        std::fs::write(&keys, text).unwrap();
    };
    write("FIRST");
    let expired = error_reply("400 Bad Request", "ExpiredToken");
    let server = Scripted::start(vec![ok(), expired, ok()]);
    let file = ("AWS_SHARED_CREDENTIALS_FILE".to_owned(), keys.display().to_string());
    let environment = Environment { variables: [file].into(), home: None };
    let settings = Settings { credentials: None, environment, ..server.settings() };
    let client = Client::new("bucket", &settings).await.unwrap();
    assert_eq!(put(&client).await.unwrap_err().kind(), Kind::Expired);
    write("SECOND");
    put(&client).await.unwrap();
    let heads = server.heads();
    assert!(heads[1].contains("X-Amz-Credential=FIRST%2F"), "{}", heads[1]);
    assert!(heads[2].contains("X-Amz-Credential=SECOND%2F"), "{}", heads[2]);
}
