use tokio::net::TcpListener;

use super::*;
use crate::error::ErrorKind;

fn block() -> Block {
    Block {
        id: 1_073_741_825,
        generation_stamp: 1001,
        offset: 0,
        length: 10,
        is_corrupt: false,
        datanodes: vec![],
        unit_indices: vec![],
    }
}

fn reply(status: i32, message: &str) -> proto::BlockOperationResponse {
    proto::BlockOperationResponse {
        status,
        message: Some(message.to_owned()),
        ..proto::BlockOperationResponse::default()
    }
}

#[test]
fn refusals_by_what_they_name() {
    let not_found = "opReadBlock BP-1:blk_1_1 received exception \
        org.apache.hadoop.hdfs.server.datanode.ReplicaNotFoundException: Replica not found";
    let cases = [
        (1, not_found, ErrorKind::SourceMoved),
        (1, "java.io.IOException: Offset 0 and length 9 don't match block", ErrorKind::SourceMoved),
        (1, "java.io.IOException: Replica gen stamp < block genstamp", ErrorKind::SourceMoved),
        (1, "java.io.IOException: disk on fire", ErrorKind::Retry),
        (5, "token", ErrorKind::Unsupported),
    ];
    for (status, message, kind) in cases {
        assert_eq!(refusal("dn", &block(), &reply(status, message)).kind(), kind, "{message}");
    }
    let named = refusal("dn", &block(), &reply(1, not_found)).to_string();
    assert!(named.contains("blk_1073741825_1001"), "{named}");
}

#[test]
fn varints_of_five_bytes_at_most() {
    assert_eq!(varint(&[5, 9]), Some((5, 1)));
    assert_eq!(varint(&[0xac, 0x02]), Some((300, 2)));
    assert_eq!(varint(&[0x80]), None);
    assert_eq!(varint(&[0xff; 9]), None);
    assert_eq!(varint(&[]), None);
}

#[tokio::test]
async fn a_server_that_talks_nonsense_or_nothing_is_an_error() {
    let endless = [0xff_u8; 16];
    let huge = [0xff, 0xff, 0xff, 0x7f];
    for bytes in [&b"HTTP/1.1 400 Bad Request"[..], &endless, &huge, &[], &[3, 1]] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 3];
            stream.read_exact(&mut request).await.unwrap();
            assert_eq!(request, [0, 28, 81]);
            stream.write_all(bytes).await.unwrap();
        };
        let asking = async {
            let limit = Duration::from_secs(1);
            let mut peer = Peer::open(address.clone(), limit, limit).await.unwrap();
            let request = proto::ReadBlock::default();
            peer.ask(Operation::ReadBlock, &request, &block()).await.unwrap_err()
        };
        let (error, ()) = tokio::join!(asking, serving);
        let expected = [ErrorKind::Retry, ErrorKind::InvalidReply];
        assert!(expected.contains(&error.kind()), "{bytes:?}: {error}");
    }
}
