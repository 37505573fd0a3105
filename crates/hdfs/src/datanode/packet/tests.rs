use proptest::prelude::*;

use super::*;

const CHUNKS: Chunks = Chunks { kind: Some(CrcKind::Crc32c), bytes: 4 };

fn packet(data: &[u8], checksums: &[u8], data_length: i32) -> Vec<u8> {
    let header =
        proto::PacketHeader { data_length, ..proto::PacketHeader::default() }.encode_to_vec();
    let payload = (4 + checksums.len() + data.len()) as u32;
    let mut bytes = payload.to_be_bytes().to_vec();
    bytes.extend_from_slice(&(header.len() as u16).to_be_bytes());
    for part in [&header[..], checksums, data] {
        bytes.extend_from_slice(part);
    }
    bytes
}

fn checksums(data: &[u8]) -> Vec<u8> {
    data.chunks(4).flat_map(|chunk| CrcKind::Crc32c.of(chunk).to_be_bytes()).collect()
}

fn parse(bytes: Vec<u8>) -> Result<Packet, String> {
    let frame = Frame::parse(&bytes)?;
    Packet::parse(frame, Bytes::from(bytes), CHUNKS)
}

#[test]
fn sound_packets_verify_and_damage_is_located() {
    let data = b"0123456789";
    let whole = parse(packet(data, &checksums(data), 10)).unwrap();
    assert_eq!(whole.data, data.as_slice());
    assert_eq!(whole.verify(CHUNKS), Ok(()));
    for position in 0..data.len() {
        let mut damaged = *data;
        damaged[position] ^= 1;
        let packet = parse(packet(&damaged, &checksums(data), 10)).unwrap();
        assert_eq!(packet.verify(CHUNKS), Err(position / 4 * 4));
    }
    let empty = parse(packet(b"", b"", 0)).unwrap();
    assert_eq!((empty.data.len(), empty.verify(CHUNKS)), (0, Ok(())));
    let bare = Chunks { kind: None, bytes: 4 };
    let bytes = packet(data, b"", 10);
    let frame = Frame::parse(&bytes).unwrap();
    assert_eq!(Packet::parse(frame, Bytes::from(bytes), bare).unwrap().verify(bare), Ok(()));
}

#[test]
fn lengths_that_disagree_are_refused() {
    let data = b"0123456789";
    let sums = checksums(data);
    for length in [-1, 0, 9, 11, i32::MAX, i32::MIN] {
        assert!(parse(packet(data, &sums, length)).is_err(), "{length}");
    }
    assert!(parse(packet(data, &sums[1..], 10)).is_err());
    assert!(Frame::parse(&[0, 0, 0, 3, 0, 0]).is_err());
    assert!(Frame::parse(&[0xff; 6]).is_err());
    assert!(Frame::parse(&[0, 0, 0, 9]).is_err());
    let mut longer = packet(data, &sums, 10);
    longer.push(0);
    assert!(parse(longer).is_err());
}

#[test]
fn chunk_sizes_are_bounded() {
    let checksum = |checksum_type, bytes_per_checksum| {
        Chunks::from_proto(&proto::Checksum { checksum_type, bytes_per_checksum })
    };
    assert_eq!(checksum(2, 512), Ok(Chunks { kind: Some(CrcKind::Crc32c), bytes: 512 }));
    assert_eq!(checksum(1, 512).unwrap().kind, Some(CrcKind::Crc32));
    assert_eq!(checksum(0, 512).unwrap().kind, None);
    assert!(checksum(2, 0).is_err());
    assert!(checksum(2, u32::MAX).is_err());
    assert!(checksum(9, 512).is_err());
}

proptest! {
    #[test]
    fn random_packets_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(packet) = parse(bytes) {
            let _ = packet.verify(CHUNKS);
        }
    }

    #[test]
    fn damaged_packets_never_panic(position in 0..40_usize, value in any::<u8>()) {
        let mut bytes = packet(b"0123456789", &checksums(b"0123456789"), 10);
        if let Some(byte) = bytes.get_mut(position) {
            *byte = value;
        }
        if let Ok(packet) = parse(bytes) {
            let _ = packet.verify(CHUNKS);
        }
    }
}
