use proptest::prelude::*;

use super::*;
use crate::proto::namenode::PathRequest;
use crate::proto::rpc::RPC_STATUS_SUCCESS;

const CALLER_ID: &[u8; 16] = b"0123456789abcdef";

fn caller() -> Caller {
    let client_id = Bytes::from_static(CALLER_ID);
    Caller::new(client_id, Some("c".to_owned()), "root".to_owned())
}

#[test]
fn a_call_is_header_then_method_then_request() {
    let request = PathRequest { path: Bytes::from_static(b"/a\n") };
    let id = CallId { number: 7, retries: 2 };
    let mut frame = Call::new(CLIENT_PROTOCOL, "getFileInfo", &request).frame(&caller(), id);
    assert_eq!(frame.split_to(4), (frame.len() as u32).to_be_bytes().as_slice());
    let header: RpcRequestHeader = take_delimited(&mut frame, "").unwrap();
    assert_eq!((header.call_id, header.rpc_kind, header.rpc_op), (7, Some(2), Some(0)));
    assert_eq!((header.client_id.as_ref(), header.retry_count), (CALLER_ID.as_slice(), Some(2)));
    assert_eq!(header.caller_context.unwrap().context, "c");
    let method: RequestHeader = take_delimited(&mut frame, "").unwrap();
    assert_eq!(method.method_name, "getFileInfo");
    assert_eq!(take_delimited::<PathRequest>(&mut frame, "").unwrap(), request);
    assert!(frame.is_empty());
}

#[test]
fn no_call_id_is_used_twice_and_none_is_negative() {
    let caller = caller();
    let (first, second) = (caller.call_id(), caller.clone().call_id());
    assert_eq!((first.number, second.number), (0, 1), "of one client, whoever asks");
    assert_eq!(second.again(), CallId { number: 1, retries: 1 });
    caller.calls.store(i32::MAX as u32, Ordering::Relaxed);
    assert_eq!((caller.call_id().number, caller.call_id().number), (i32::MAX, 0));
}

#[test]
fn negative_call_ids_are_zigzag_on_the_way_out() {
    // Field 3, zigzag of -33 is 65; field 5, zigzag of -1 is 1.
    let frame = sasl(&RpcRequestHeader::default());
    assert!(frame.windows(2).any(|pair| pair == [0x18, 65]), "{frame:?}");
    let frame = connection_context(&caller());
    assert!(frame.windows(2).any(|pair| pair == [0x18, 5]), "{frame:?}");
    assert!(frame.windows(4).any(|name| name == b"root"));
}

#[tokio::test]
async fn frames_are_bounded_and_whole() {
    let mut input: &[u8] = &[0, 0, 0, 2, b'a', b'b', 0, 0, 0, 0];
    assert_eq!(read(&mut input, "x").await.unwrap().unwrap(), "ab");
    assert_eq!(read(&mut input, "x").await.unwrap().unwrap(), "");
    assert_eq!(read(&mut input, "x").await.unwrap(), None);
    let mut long: &[u8] = &[0xff, 0xff, 0xff, 0xff, 1];
    assert!(matches!(read(&mut long, "x").await, Err(Error::InvalidReply { .. })));
    let mut cut: &[u8] = &[0, 0, 0, 9, 1];
    assert!(matches!(read(&mut cut, "x").await, Err(Error::Connection { .. })));
}

#[test]
fn a_response_splits_at_its_header() {
    let mut frame = BytesMut::new();
    let header = RpcResponseHeader {
        call_id: u32::MAX,
        status: RPC_STATUS_SUCCESS,
        exception_class: None,
        message: None,
    };
    put_delimited(&mut frame, &header);
    frame.extend_from_slice(b"rest");
    let response = response(frame.freeze(), "x").unwrap();
    assert_eq!(response.header, header);
    assert_eq!(response.body, "rest");
    let mut too_short = Bytes::from_static(&[9, 1]);
    assert!(take_delimited::<PathRequest>(&mut too_short, "x").is_err());
}

proptest! {
    #[test]
    fn random_frames_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let bytes = Bytes::from(bytes);
        if let Ok(mut split) = response(bytes.clone(), "x") {
            let _ = take_delimited::<crate::proto::namenode::ListingResponse>(&mut split.body, "x");
        }
        let _ = take_delimited::<crate::proto::namenode::EditsResponse>(&mut bytes.clone(), "x");
    }
}
