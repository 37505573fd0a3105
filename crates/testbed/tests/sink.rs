//! The null sink, spoken to as a client speaks.

#![allow(clippy::unwrap_used, reason = "outside of the test functions too a failure ends the test")]

use std::io::{Read, Write};
use std::net::TcpStream;

use whimbrel_testbed::{NullSink, S3Server, Sunk};

fn ask(sink: &NullSink, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(sink.endpoint().address).unwrap();
    let length = body.len();
    write!(stream, "{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n").unwrap();
    stream.write_all(body).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn what_is_put_is_known_by_length_and_checksum_alone() {
    let sink = NullSink::start().unwrap();
    sink.create_bucket("bucket").unwrap();
    let sunk = Sunk { bytes: 7, crc32c: crc32c::crc32c(b"content") };

    let put = ask(&sink, "PUT /bucket/a%20b HTTP/1.1\r\nx-amz-meta-own: yes", b"content");
    assert!(put.starts_with("HTTP/1.1 200 OK\r\n"), "{put}");
    let head = ask(&sink, "HEAD /bucket/a%20b HTTP/1.1", b"");
    assert!(
        head.contains("Content-Length: 7\r\n") && head.contains("x-amz-meta-own: yes"),
        "{head}"
    );
    let list = ask(&sink, "GET /bucket?list-type=2&encoding-type=url HTTP/1.1", b"");
    assert!(list.contains("<Key>a%20b</Key>") && list.contains("<Size>7</Size>"), "{list}");
    assert_eq!(sink.sunk("bucket").get("a b"), Some(&sunk));
    assert_eq!(sink.requests()["PutObject"], 1);

    let delete = b"<Delete><Object><Key>a b</Key></Object></Delete>";
    ask(&sink, "POST /bucket?delete HTTP/1.1", delete);
    assert!(sink.sunk("bucket").is_empty());
}

#[test]
fn wrong_bytes_and_unmet_conditions_are_refused() {
    let sink = NullSink::start().unwrap();
    let wrong = "PUT /bucket/key HTTP/1.1\r\nx-amz-checksum-crc32c: AAAAAA==";
    assert!(ask(&sink, wrong, b"content").contains("<Code>BadDigest</Code>"));
    let first = "PUT /bucket/key HTTP/1.1\r\nIf-None-Match: *";
    assert!(ask(&sink, first, b"content").starts_with("HTTP/1.1 200"));
    assert!(ask(&sink, first, b"content").starts_with("HTTP/1.1 412"));
}

/// As the SDKs send what they sign by pieces: no frame is part of the object.
#[test]
fn frames_are_taken_off() {
    let sink = NullSink::start().unwrap();
    let head =
        "PUT /bucket/key HTTP/1.1\r\nx-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER";
    let body =
        b"4;chunk-signature=0\r\nconc\r\n3\r\nent\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
    assert!(ask(&sink, head, body).starts_with("HTTP/1.1 200"));
    assert_eq!(sink.sunk("bucket")["key"].bytes, 7);
}
