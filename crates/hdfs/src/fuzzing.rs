//! What holds for any bytes that a server sends, for the fuzz targets: each function panics where
//! it does not. Not part of what this crate offers.

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use prost::Message;

use crate::acl::{AclStatus, XAttr};
use crate::configuration::{Configuration, host_and_port};
use crate::datanode::packet::{Chunks, Frame, Packet};
use crate::datanode::peer::varint;
use crate::event::EditsBatch;
use crate::pinned::{DatanodeTable, PinnedFile};
use crate::proto::datanode as datanode_proto;
use crate::proto::namenode as namenode_proto;
use crate::proto::rpc::{RPC_STATUS_SUCCESS, RequestHeader, RpcRequestHeader, RpcSasl, sasl_state};
use crate::rpc::frame::{self, CLIENT_PROTOCOL, Call, CallId, Caller, FRAME_BYTES_MAX};
use crate::rpc::sasl::{self, Step};
use crate::server_configuration;
use crate::snapshot::SnapshotDifferencePage;
use crate::status::{FileKind, FileStatus};

/// What a server sends over one connection: frames.
pub fn frames(bytes: &[u8]) {
    let mut rest = bytes;
    loop {
        let before = rest;
        let read = frame::read(&mut rest, "fuzz").now_or_never();
        let Some(read) = read else { unreachable!("bytes at hand are never waited for") };
        match read {
            Ok(Some(frame)) => {
                let (length, body) = before.split_at(4);
                assert_eq!(length, (frame.len() as u32).to_be_bytes(), "the length that is said");
                assert_eq!(body.strip_prefix(&frame[..]), Some(rest), "every byte is given once");
                response(frame);
            }
            Ok(None) => {
                assert!(before.len() < 4, "an end within a frame is none between frames");
                break;
            }
            Err(_) => {
                let length = before.first_chunk::<4>().map(|length| u32::from_be_bytes(*length));
                let too_short = |length: u32| before.len() - 4 < length as usize;
                assert!(length.is_some_and(|length| length > FRAME_BYTES_MAX || too_short(length)));
                break;
            }
        }
    }
    own_frames(bytes);
}

/// An answer, to a call and to the authentication.
fn response(frame: Bytes) {
    if let Ok(response) = frame::response(frame.clone(), "fuzz") {
        let mut again = BytesMut::new();
        frame::put_delimited(&mut again, &response.header);
        again.extend_from_slice(&response.body);
        let again = frame::response(again.freeze(), "fuzz");
        assert_eq!(again.ok().as_ref(), Some(&response), "what is understood comes back");
    }
    // Nobody is let in but by an answer that says so.
    let Ok(step) = sasl::step(frame.clone(), "fuzz") else { return };
    let said = frame::response(frame, "fuzz").ok().and_then(|mut said| {
        let success = said.header.status == RPC_STATUS_SUCCESS;
        let message = frame::take_delimited::<RpcSasl>(&mut said.body, "fuzz").ok();
        message.filter(|_| success)
    });
    match step {
        Step::Done => assert!(said.is_some_and(|said| said.state == sasl_state::SUCCESS)),
        Step::Choose(auth) => {
            assert_eq!(auth.method, "SIMPLE");
            assert!(said.is_some_and(|said| said.auths.contains(&auth)));
        }
        Step::Refuse(_) => {}
    }
}

/// The frame of a call is read back as it was meant.
fn own_frames(bytes: &[u8]) {
    let (request, text) = bytes.split_at(bytes.len() / 2);
    let client_id = Bytes::copy_from_slice(text.get(..16).unwrap_or_default());
    let context = Some(String::from_utf8_lossy(text).into_owned());
    let caller = Caller::new(client_id, context, String::new());
    let request = Bytes::copy_from_slice(request);
    let call = Call { protocol: CLIENT_PROTOCOL, method: "m", request: request.clone() };
    let sent = call.frame(&caller, CallId { number: bytes.len() as i32, retries: 0 });
    let mut input = &sent[..];
    let read = frame::read(&mut input, "fuzz").now_or_never();
    let Some(Ok(Some(mut body))) = read else { unreachable!("our own frame is whole") };
    let header = frame::take_delimited::<RpcRequestHeader>(&mut body, "fuzz");
    assert!(header.is_ok_and(|header| header.call_id == bytes.len() as i32));
    assert!(frame::take_delimited::<RequestHeader>(&mut body, "fuzz").is_ok());
    let length = prost::decode_length_delimiter(&mut body);
    assert_eq!((length.ok(), body), (Some(request.len()), request));
}

/// A reply with edits: no event that is understood is dropped, and what is probed lies in it.
pub fn edits(bytes: &[u8]) {
    let mut body = Bytes::copy_from_slice(bytes);
    let reply = frame::take_delimited::<namenode_proto::EditsResponse>(&mut body, "fuzz");
    let Ok(reply) = reply else { return };
    let list = comes_back(reply).events;
    let asked = u64::try_from(list.first_txid).unwrap_or(1);
    let Ok(mut batch) = EditsBatch::from_proto(asked, list.clone(), 1) else { return };
    assert_eq!(batch.batches.len(), list.batches.len());
    for (told, sent) in batch.batches.iter().zip(&list.batches) {
        assert_eq!(u64::try_from(sent.txid), Ok(told.txid));
        assert_eq!(told.events.len(), sent.events.len());
        assert!(sent.events.iter().all(|event| (0..=6).contains(&event.event_type)));
    }
    assert!(list.events_without_batch.is_empty());
    assert!(!batch.has_gap(), "it begins where it was asked to");
    let Some(middle) = batch.widest_silence() else { return };
    let ascending = batch.batches.is_sorted_by(|one, other| one.txid < other.txid);
    let inside = |txid: u64| txid >= asked && batch.last_txid.is_some_and(|last| txid <= last);
    if ascending && batch.batches.iter().all(|each| inside(each.txid)) {
        assert!(inside(middle), "{middle} is not in the reply");
        assert!(batch.batches.iter().all(|each| each.txid != middle));
    }
    batch.end_before(middle);
    assert!(batch.last_txid.is_none_or(|last| last < middle && last >= asked));
    assert!(batch.batches.iter().all(|each| each.txid < middle));
}

/// The other replies of a NameNode; the first byte says which.
pub fn replies(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let mut body = Bytes::copy_from_slice(bytes);
    match which % 5 {
        0 => {
            let reply = taken::<namenode_proto::ListingResponse>(&mut body);
            let listing = reply.and_then(|reply| reply.listing);
            let table = DatanodeTable::default();
            for entry in listing.into_iter().flat_map(|listing| listing.entries) {
                status(entry, &table);
            }
        }
        1 => {
            let reply = taken::<namenode_proto::FileInfoResponse>(&mut body);
            if let Some(sent) = reply.and_then(|reply| reply.status) {
                status(sent, &DatanodeTable::default());
            }
        }
        2 => {
            if let Some(reply) = taken::<namenode_proto::AclStatusResponse>(&mut body) {
                let sent = reply.acl.entries.len();
                let read = AclStatus::from_proto(reply.acl);
                assert!(read.is_err() || read.is_ok_and(|read| read.entries.len() == sent));
            }
        }
        3 => {
            let reply = taken::<namenode_proto::XAttrsResponse>(&mut body);
            for sent in reply.into_iter().flat_map(|reply| reply.xattrs) {
                let (name, value) = (sent.name.clone(), sent.value.clone().unwrap_or_default());
                let read = XAttr::from_proto(sent);
                assert!(read.is_err() || read.is_ok_and(|x| (x.name, x.value) == (name, value)));
            }
        }
        _ => {
            if let Some(reply) = taken::<namenode_proto::SnapshotDifferenceResponse>(&mut body) {
                let sent = reply.listing.deleted.len();
                let page = SnapshotDifferencePage::from_proto(reply.listing);
                assert_eq!(page.deleted.len(), sent);
            }
        }
    }
}

fn status(sent: crate::proto::status::FileStatus, table: &DatanodeTable) {
    let (length, name) = (sent.length, sent.name.clone());
    let Ok(read) = FileStatus::from_proto(sent, table) else { return };
    assert_eq!((read.length, &read.name), (length, &name));
    assert!(read.permission <= 0o7777);
    let Some(file) = read.pinned else { return };
    assert_eq!(read.kind, FileKind::File);
    pinned(&file);
}

/// Blocks follow each other and add up, and are kept and read back as they are.
fn pinned(file: &PinnedFile) {
    let mut end = 0;
    for block in &file.blocks {
        assert_eq!(block.offset, end);
        end += block.length;
    }
    assert_eq!(end, file.length);
    assert_eq!(PinnedFile::from_bytes(&file.to_bytes()).ok().as_ref(), Some(file));
    for length in [0, 1, file.length / 2, file.length.saturating_sub(1)] {
        if let Some(beginning) = file.beginning(length) {
            let sum: u64 = beginning.blocks.iter().map(|block| block.length).sum();
            assert_eq!(sum, length);
        }
    }
}

/// What a DataNode sends: packets of a block, and answers to operations.
pub fn packets(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let checksum = datanode_proto::Checksum {
        checksum_type: i32::from(choice % 4),
        bytes_per_checksum: 1 << (choice / 4 % 12),
    };
    answer(bytes);
    let Ok(chunks) = Chunks::from_proto(&checksum) else { return };
    let Ok(said) = Frame::parse(bytes) else { return };
    let Some(whole) = bytes.get(..said.bytes()) else { return };
    let Ok(packet) = Packet::parse(said, Bytes::copy_from_slice(whole), chunks) else { return };
    assert!(whole.ends_with(&packet.data));
    assert_eq!(i32::try_from(packet.data.len()), Ok(packet.header.data_length));
    let Some(kind) = chunks.kind else { return };
    let sums: Vec<u8> =
        packet.data.chunks(chunks.bytes).flat_map(|chunk| kind.of(chunk).to_be_bytes()).collect();
    let data_at = whole.len() - packet.data.len();
    let stored = &whole[data_at - sums.len()..data_at];
    assert_eq!(packet.verify(chunks).is_ok(), stored == sums, "checksums as they are computed");
    // A sound packet with one bit turned is found out, in the right chunk.
    let mut sound = whole.to_vec();
    sound[data_at - sums.len()..data_at].copy_from_slice(&sums);
    let place = usize::from(*choice) * packet.data.len() / 256;
    let Some(byte) = sound.get_mut(data_at + place) else { return };
    *byte ^= 1 << (choice % 8);
    let damaged = Packet::parse(said, Bytes::from(sound), chunks);
    let found = damaged.map(|damaged| damaged.verify(chunks));
    assert_eq!(found, Ok(Err(place / chunks.bytes * chunks.bytes)));
}

fn answer(bytes: &[u8]) {
    let length = varint(bytes);
    let mut rest = bytes;
    let expected = prost::encoding::decode_varint(&mut rest).ok();
    match length {
        Some((value, used)) => {
            assert_eq!((expected, bytes.len() - rest.len()), (Some(value), used));
            let end = usize::try_from(value).ok().and_then(|value| used.checked_add(value));
            let Some(message) = end.and_then(|end| bytes.get(used..end)) else { return };
            let message = Bytes::copy_from_slice(message);
            if let Ok(reply) = datanode_proto::BlockOperationResponse::decode(message) {
                comes_back(reply);
            }
        }
        None => assert!(bytes.len() < 5 || bytes.iter().take(5).all(|byte| byte & 0x80 != 0)),
    }
}

/// Hadoop's configuration, from files and from a NameNode's web server.
pub fn configuration(bytes: &[u8]) {
    if let Ok(body) = server_configuration::body(bytes, "fuzz") {
        assert!(bytes.ends_with(body.as_bytes()));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut read = Configuration::new();
    if read.add_xml(text).is_err() {
        return;
    }
    let _switch = read.uses_datanode_hostname();
    for authority in ["", "ns", "nn:8020", text.get(..20).unwrap_or(text)] {
        let Ok(cluster) = read.cluster(authority) else { continue };
        assert!(!cluster.namenodes.is_empty());
        for node in &cluster.namenodes {
            let again = host_and_port(&node.authority());
            assert_eq!(again.ok(), Some((node.host.clone(), node.port)));
        }
    }
    // Added once more it changes nothing.
    let mut twice = read.clone();
    assert!(twice.add_xml(text).is_ok());
    assert_eq!(twice, read);
}

fn taken<M: Message + Default + PartialEq>(body: &mut Bytes) -> Option<M> {
    frame::take_delimited::<M>(body, "fuzz").ok().map(comes_back)
}

/// A message that was understood is encoded to bytes that mean the same.
fn comes_back<M: Message + Default + PartialEq>(message: M) -> M {
    let again = M::decode(message.encode_to_vec().as_slice());
    assert!(again.is_ok_and(|again| again == message));
    message
}
