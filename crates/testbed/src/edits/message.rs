//! Hadoop's messages by the numbers of their fields: few are looked into here, and none is kept.

const VARINT: u64 = 0;
const BYTES: u64 = 2;
/// The first bytes of a connection: magic, version 9, service class 0, no negotiation.
pub(super) const CONNECTION_HEADER: [u8; 7] = [b'h', b'r', b'p', b'c', 9, 0, 0];

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message in order; it ends at the first that is not understood.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = take_varint(&mut self.0)?;
        let value = match key & 7 {
            VARINT => Value::Number(take_varint(&mut self.0)?),
            BYTES => Value::Bytes(take_delimited(&mut self.0)?),
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

/// The first field of that number that holds a number.
pub(super) fn number(message: &[u8], field: u64) -> Option<u64> {
    Fields(message).find_map(|(at, value)| match value {
        Value::Number(number) if at == field => Some(number),
        Value::Number(_) | Value::Bytes(_) => None,
    })
}

/// The first field of that number that holds bytes.
pub(super) fn bytes(message: &[u8], field: u64) -> Option<&[u8]> {
    Fields(message).find_map(|(at, value)| match value {
        Value::Bytes(bytes) if at == field => Some(bytes),
        Value::Number(_) | Value::Bytes(_) => None,
    })
}

pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Takes a length and so many bytes off the front.
pub(super) fn take_delimited<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_varint(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn put_number(out: &mut Vec<u8>, field: u64, value: u64) {
    put_varint(out, field << 3 | VARINT);
    put_varint(out, value);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    put_varint(out, field << 3 | BYTES);
    put_delimited(out, value);
}

pub(super) fn put_delimited(out: &mut Vec<u8>, message: &[u8]) {
    put_varint(out, message.len() as u64);
    out.extend_from_slice(message);
}

/// How many bytes a number takes.
pub(super) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Signed numbers of the kind that stay short near zero.
pub(super) fn zigzag(value: i32) -> u64 {
    u64::from(((value << 1) ^ (value >> 31)).cast_unsigned())
}

/// A frame of these messages, each after its own length.
pub(super) fn frame(messages: &[&[u8]]) -> Vec<u8> {
    let mut frame = vec![0; 4];
    for message in messages {
        put_delimited(&mut frame, message);
    }
    let length = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value), "{value}");
            assert_eq!(take_varint(&mut &out[..]), Some(value));
        }
        let mut out = Vec::new();
        put_number(&mut out, 3, zigzag(-3));
        put_bytes(&mut out, 5, b"abc");
        assert_eq!((number(&out, 3), bytes(&out, 5)), (Some(5), Some(&b"abc"[..])));
        assert_eq!((number(&out, 5), bytes(&out, 3)), (None, None));
        assert_eq!(take_delimited(&mut &[3, 1][..]), None, "cut off");
    }
}
