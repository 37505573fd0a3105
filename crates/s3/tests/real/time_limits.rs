//! Rule: a request's life is bounded. Servers that never answer, and networks that deliver late.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use whimbrel_s3::{
    Body, Client, Condition, Crc32c, Error, Kind, Limits, MutationSigning, ObjectOptions, Settings,
};
use whimbrel_testbed::S3Server;

use crate::objects::put;
use crate::servers::{gateway, on_gateway, settings};

fn impatient(reply: Duration) -> Limits {
    Limits { reply, connect: Duration::from_secs(1), ..Limits::default() }
}

#[tokio::test]
async fn a_server_that_never_answers_is_left_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (closed, when_closed) = oneshot::channel();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        let end = socket.read_to_end(&mut seen).await;
        closed.send((end.is_err(), seen)).unwrap();
    });
    let limits = impatient(Duration::from_millis(700));
    let settings = Settings {
        endpoint: Some(format!("http://{address}")),
        limits,
        ..settings(gateway().endpoint())
    };
    let client = Client::new("silent", &settings).await.unwrap();
    let begin = Instant::now();
    let error = client.head_bucket().await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { operation: "HeadBucket", .. }), "{error:?}");
    assert_eq!(error.kind(), Kind::Unknown);
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    let closed = tokio::time::timeout(Duration::from_secs(1), when_closed).await;
    let (reset, seen) = closed.expect("the connection is closed at once").unwrap();
    assert!(reset, "closed by a reset, so that nothing is delivered later");
    assert!(seen.starts_with(b"HEAD /silent"));
}

/// A part of 16 MiB on its way to a server that does not read was waited for as long as a slow line
/// may take for it.
#[tokio::test]
async fn a_server_that_stops_reading_is_left_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut sockets = Vec::new();
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let length = socket.read(&mut head).await.unwrap();
            if head[..length].starts_with(b"HEAD") {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                socket.write_all(answer).await.unwrap();
            }
            sockets.push(socket);
        }
    });
    let settings = Settings {
        endpoint: Some(format!("http://{address}")),
        limits: impatient(Duration::from_secs(1)),
        ..settings(gateway().endpoint())
    };
    let client = Client::new("stuck", &settings).await.unwrap();
    let begin = Instant::now();
    let bytes = bytes::Bytes::from(vec![7_u8; 64 << 20]);
    let crc = Crc32c(crc32c::crc32c(&bytes));
    let error = client.upload_part(b"k", "upload", 1, bytes.into(), crc).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    let sent = client.connection_counts().body_bytes;
    assert!((1..64 << 20).contains(&sent), "{sent} bytes left");
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for endpoint in [format!("http://{address}"), "http://no-such-host.invalid".to_owned()] {
        let settings = Settings { endpoint: Some(endpoint), ..settings(gateway().endpoint()) };
        let client = Client::new("bucket", &settings).await.unwrap();
        let options = ObjectOptions::default();
        let put = client.put_object(b"k", "x".into(), None, &options, &Condition::Always).await;
        assert_eq!(put.unwrap_err().kind(), Kind::Unreachable);
    }
}

#[tokio::test]
async fn what_cannot_be_sent_in_time_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits =
        Limits { connect: Duration::from_millis(200), reply: Duration::MAX, ..Limits::default() };
    let settings = Settings {
        endpoint: Some(format!("http://{address}")),
        limits,
        ..settings(gateway().endpoint())
    };
    let client = Client::new("silent", &settings).await.unwrap();
    let begin = Instant::now();
    let options = ObjectOptions::default();
    let put = client.put_object(b"k", "x".into(), None, &options, &Condition::Always).await;
    assert_eq!(put.unwrap_err().kind(), Kind::Unreachable, "the server's clock is not known");
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

/// Forwards to the gateway; a PUT is held back for `hold` and delivered then, whether its sender
/// still waits or not. `delivered` is told when the gateway has answered.
async fn late_network(hold: Duration, delivered: oneshot::Sender<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut delivered = Some(delivered);
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(gateway().endpoint().address).await.unwrap();
            loop {
                let mut request = vec![0; 65_536];
                let Ok(length @ 1..) = near.read(&mut request).await else { break };
                let is_put = request.starts_with(b"PUT");
                if is_put {
                    tokio::time::sleep(hold).await;
                }
                far.write_all(&request[..length]).await.unwrap();
                let mut reply = vec![0; 65_536];
                let length = far.read(&mut reply).await.unwrap();
                let _ = near.write_all(&reply[..length]).await;
                if let Some(delivered) = delivered.take_if(|_| is_put) {
                    let _ = delivered.send(String::from_utf8_lossy(&reply[..length]).into_owned());
                }
            }
        }
    });
    address
}

async fn through(address: SocketAddr, bucket: &str, limits: Limits) -> Client {
    let settings = Settings {
        endpoint: Some(format!("http://{address}")),
        mutation_signing: MutationSigning::Expiring(Duration::from_secs(1)),
        limits,
        ..settings(gateway().endpoint())
    };
    Client::new(bucket, &settings).await.unwrap()
}

#[tokio::test]
async fn a_request_that_arrives_after_its_time_is_refused() {
    let direct = on_gateway("late").await;
    let (delivered, when_delivered) = oneshot::channel();
    let address = late_network(Duration::from_secs(3), delivered).await;
    let client = through(address, "late", impatient(Duration::from_secs(10))).await;
    let options = ObjectOptions::default();
    let put = client.put_object(b"k", "late".into(), None, &options, &Condition::Always).await;
    let error = put.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    assert!(error.to_string().to_lowercase().contains("expired"), "{error}");
    assert!(when_delivered.await.unwrap().starts_with("HTTP/1.1 403"));
    assert_eq!(direct.head_object(b"k", None).await.unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test]
async fn an_unknown_write_that_is_delivered_late_takes_no_effect() {
    let direct = on_gateway("later").await;
    let (delivered, when_delivered) = oneshot::channel();
    let address = late_network(Duration::from_secs(4), delivered).await;
    let client = through(address, "later", impatient(Duration::from_millis(500))).await;
    let options = ObjectOptions::default();
    let write = client.put_object(b"k", "first".into(), None, &options, &Condition::Always).await;
    assert_eq!(write.unwrap_err().kind(), Kind::Unknown);
    put(&direct, b"k", "second").await;
    assert!(when_delivered.await.unwrap().starts_with("HTTP/1.1 403"));
    let head = direct.head_object(b"k", None).await.unwrap();
    assert_eq!(head.checksums.full_crc32c(), Some(Crc32c::of(b"second")));
}

#[tokio::test]
async fn a_body_that_stalls_ends_in_time() {
    struct Stalled;
    impl futures_core::Stream for Stalled {
        type Item = std::io::Result<bytes::Bytes>;
        fn poll_next(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Self::Item>> {
            std::task::Poll::Pending
        }
    }
    on_gateway("stalled").await;
    let mut limits = impatient(Duration::from_millis(300));
    limits.body_bytes_per_second_min = 1000;
    let settings = Settings { limits, ..settings(gateway().endpoint()) };
    let client = Client::new("stalled", &settings).await.unwrap();
    client.head_bucket().await.unwrap();
    let begin = Instant::now();
    let options = ObjectOptions::default();
    let body = Body::stream(1000, Stalled);
    let error = client.put_object(b"k", body, None, &options, &Condition::Always).await;
    assert_eq!(error.unwrap_err().kind(), Kind::Unknown);
    let elapsed = begin.elapsed();
    assert!(elapsed >= Duration::from_millis(1300) && elapsed < Duration::from_secs(3));
}

#[test]
fn the_lifetime_covers_signature_and_the_servers_work() {
    let limits = Limits::default();
    let expiring = MutationSigning::Expiring(Duration::from_secs(60));
    let lifetime = limits.request_lifetime(expiring);
    assert_eq!(lifetime.fixed, Duration::from_secs(60 + 10 + 30));
    assert_eq!(lifetime.bytes_per_second_min, 4 << 20);
    assert_eq!(lifetime.bytes_max, Duration::from_secs(300));
    let header = limits.request_lifetime(MutationSigning::Header);
    assert_eq!(header.fixed, Duration::from_secs(15 * 60 + 40));
}
