//! A scripted server for what a sound NameNode cannot be made to do.

use bytes::BytesMut;
use tokio::net::TcpListener;

use super::*;
use crate::error::ErrorKind;
use crate::proto::namenode::EmptyRequest;
use crate::proto::rpc::{RPC_STATUS_SUCCESS, RpcRequestHeader, RpcSasl, sasl_state};

struct Server {
    stream: TcpStream,
}

fn caller() -> Caller {
    let client_id = Bytes::from_static(b"0123456789abcdef");
    Caller::new(client_id, None, "root".to_owned())
}

fn call() -> Call {
    Call::new(frame::CLIENT_PROTOCOL, "getFsStats", &EmptyRequest {})
}

fn header(call_id: i32, status: i32) -> RpcResponseHeader {
    RpcResponseHeader { call_id: call_id as u32, status, ..RpcResponseHeader::default() }
}

impl Server {
    async fn start() -> (Connection, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let accepting = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut server = Self { stream };
            let mut magic = [0; 7];
            tokio::io::AsyncReadExt::read_exact(&mut server.stream, &mut magic).await.unwrap();
            assert_eq!(magic, frame::CONNECTION_HEADER);
            server.next_call().await;
            let success = RpcSasl { state: sasl_state::SUCCESS, ..RpcSasl::default() };
            let mut body = BytesMut::new();
            frame::put_delimited(&mut body, &success);
            server.answer(header(frame::SASL_CALL_ID, RPC_STATUS_SUCCESS), &body).await;
            assert_eq!(server.next_call().await, -3, "the connection's context");
            server
        };
        let caller = caller();
        let opening = Connection::open(&address, &caller, Duration::from_secs(5));
        let (connection, server) = tokio::join!(opening, accepting);
        (connection.unwrap(), server)
    }

    async fn next_call(&mut self) -> i32 {
        let mut request = frame::read(&mut self.stream, "client").await.unwrap().unwrap();
        let header: RpcRequestHeader = frame::take_delimited(&mut request, "client").unwrap();
        header.call_id
    }

    async fn answer(&mut self, header: RpcResponseHeader, body: &[u8]) {
        let mut bytes = BytesMut::new();
        frame::put_delimited(&mut bytes, &header);
        bytes.extend_from_slice(body);
        self.stream.write_u32(bytes.len() as u32).await.unwrap();
        self.stream.write_all(&bytes).await.unwrap();
    }
}

#[tokio::test]
async fn answers_find_their_callers_in_any_order() {
    let (connection, mut server) = Server::start().await;
    let (caller, call) = (caller(), call());
    let ask = || connection.call(&call, caller.call_id(), &caller, Duration::from_secs(5));
    let serving = async {
        let ids = [server.next_call().await, server.next_call().await, server.next_call().await];
        for id in ids.into_iter().rev() {
            server.answer(header(77, RPC_STATUS_SUCCESS), b"nobody's").await;
            server.answer(header(id, RPC_STATUS_SUCCESS), &[id as u8]).await;
        }
    };
    let (a, b, c, ()) = tokio::join!(ask(), ask(), ask(), serving);
    for (index, answer) in [a, b, c].into_iter().enumerate() {
        let answer = answer.unwrap();
        assert_eq!(answer.header.call_id, u32::from(answer.body[0]));
        assert_eq!(answer.header.call_id as usize, index);
    }
    assert!(connection.shared.state().waiting.is_empty());
}

#[tokio::test]
async fn a_refused_user_is_denied_and_a_broken_server_is_not() {
    let cases = [
        ("org.apache.hadoop.security.authorize.AuthorizationException", ErrorKind::Denied),
        ("org.apache.hadoop.security.AccessControlException", ErrorKind::Denied),
        ("org.apache.hadoop.ipc.RpcServerException", ErrorKind::Retry),
    ];
    for (class, kind) in cases {
        let (connection, mut server) = Server::start().await;
        let (caller, call) = (caller(), call());
        let serving = async {
            server.next_call().await;
            let mut fatal = header(-1, RPC_STATUS_FATAL);
            fatal.exception_class = Some(class.to_owned());
            fatal.message = Some("no".to_owned());
            server.answer(fatal, b"").await;
        };
        let asking = connection.call(&call, caller.call_id(), &caller, Duration::from_secs(5));
        let (answer, ()) = tokio::join!(asking, serving);
        assert_eq!(answer.unwrap_err().kind(), kind, "{class}");
        assert!(!connection.is_open());
        let again = connection.call(&call, caller.call_id(), &caller, Duration::from_secs(5)).await;
        assert_eq!(again.unwrap_err().kind(), kind, "{class}");
    }
}

#[tokio::test]
async fn nonsense_and_silence_close_the_connection() {
    for nonsense in [&[0xff_u8; 64][..], &[0, 0, 0, 3, 0xff, 0xff, 0xff], &[0, 0, 1, 0, 8]] {
        let (connection, mut server) = Server::start().await;
        let (caller, call) = (caller(), call());
        let serving = async {
            server.next_call().await;
            server.stream.write_all(nonsense).await.unwrap();
            server.stream.shutdown().await.unwrap();
        };
        let asking = connection.call(&call, caller.call_id(), &caller, Duration::from_secs(5));
        let (answer, ()) = tokio::join!(asking, serving);
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Retry);
        assert!(!connection.is_open());
    }
    let (connection, _server) = Server::start().await;
    let limit = Duration::from_millis(50);
    let answer = connection.call(&call(), caller().call_id(), &caller(), limit).await;
    assert!(answer.unwrap_err().to_string().contains("no answer to getFsStats"));
    assert!(!connection.is_open(), "a silent server is taken for gone");
}

#[tokio::test]
async fn a_slow_call_does_not_end_a_connection_that_answers_others() {
    let (connection, mut server) = Server::start().await;
    let (caller, call) = (caller(), call());
    let slow = connection.call(&call, caller.call_id(), &caller, Duration::from_millis(300));
    let quick = connection.call(&call, caller.call_id(), &caller, Duration::from_secs(5));
    let serving = async {
        let _slow = server.next_call().await;
        let id = server.next_call().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        server.answer(header(id, RPC_STATUS_SUCCESS), b"").await;
    };
    let (slow, quick, ()) = tokio::join!(slow, quick, serving);
    assert!(slow.is_err());
    assert!(quick.is_ok());
    assert!(connection.is_open());
    assert!(connection.shared.state().waiting.is_empty());
}
