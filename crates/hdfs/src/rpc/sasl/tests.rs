use bytes::BytesMut;

use super::*;
use crate::proto::rpc::{RPC_STATUS_FATAL, RpcResponseHeader};

fn answer(status: i32, message: Option<&str>, sasl: Option<RpcSasl>) -> bytes::Bytes {
    let header = RpcResponseHeader {
        call_id: frame::SASL_CALL_ID as u32,
        status,
        exception_class: None,
        message: message.map(str::to_owned),
    };
    let mut bytes = BytesMut::new();
    frame::put_delimited(&mut bytes, &header);
    if let Some(sasl) = sasl {
        frame::put_delimited(&mut bytes, &sasl);
    }
    bytes.freeze()
}

fn offer(methods: &[&str]) -> RpcSasl {
    let auth = |method: &&str| SaslAuth { method: (*method).to_owned(), ..SaslAuth::default() };
    RpcSasl { state: sasl_state::NEGOTIATE, token: None, auths: methods.iter().map(auth).collect() }
}

#[test]
fn steps_by_what_the_server_offers() {
    let success = RpcSasl { state: sasl_state::SUCCESS, token: None, auths: vec![] };
    let simple = SaslAuth { method: "SIMPLE".to_owned(), ..SaslAuth::default() };
    let cases = [
        (Some(success), Step::Done),
        (Some(offer(&["TOKEN", "SIMPLE"])), Step::Choose(simple)),
        (Some(offer(&["TOKEN", "KERBEROS"])), Step::Refuse("TOKEN, KERBEROS".to_owned())),
        (Some(offer(&[])), Step::Refuse(String::new())),
    ];
    for (sasl, expected) in cases {
        assert_eq!(step(answer(RPC_STATUS_SUCCESS, None, sasl), "x").unwrap(), expected);
    }
}

#[test]
fn refusals_and_nonsense() {
    let told = "SIMPLE authentication is not enabled.  Available:[TOKEN, KERBEROS]";
    let refused = step(answer(RPC_STATUS_FATAL, Some(told), None), "x").unwrap();
    assert_eq!(refused, Step::Refuse(told.to_owned()));
    let broken = step(answer(RPC_STATUS_FATAL, Some("version"), None), "x").unwrap_err();
    assert!(matches!(broken, Error::Connection { .. }));
    let wrap = RpcSasl { state: 5, token: None, auths: vec![] };
    assert!(step(answer(RPC_STATUS_SUCCESS, None, Some(wrap)), "x").is_err());
    assert!(step(answer(RPC_STATUS_SUCCESS, None, None), "x").is_err());
    assert!(step(bytes::Bytes::from_static(b"HTTP/1.1 400"), "x").is_err());
}

#[tokio::test]
async fn a_secured_server_is_told_nothing_but_the_proposal() {
    let (mut client, mut server) = tokio::io::duplex(4096);
    let serving = async {
        let proposal = frame::read(&mut server, "client").await.unwrap().unwrap();
        assert!(!proposal.is_empty());
        let reply = answer(RPC_STATUS_SUCCESS, None, Some(offer(&["TOKEN", "KERBEROS"])));
        server.write_u32(reply.len() as u32).await.unwrap();
        server.write_all(&reply).await.unwrap();
    };
    let (refused, ()) = tokio::join!(negotiate(&mut client, "nn:8020"), serving);
    let error = refused.unwrap_err();
    assert!(error.to_string().contains("nn:8020 asks for TOKEN, KERBEROS"), "{error}");
    drop(client);
    assert_eq!(frame::read(&mut server, "client").await.unwrap(), None);
}
