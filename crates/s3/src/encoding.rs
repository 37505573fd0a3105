//! Percent-encoding exactly as Signature Version 4 wants it, and back.
//!
//! A key is bytes. Every byte outside of `A-Z a-z 0-9 - _ . ~` is written as `%XX` with upper-case
//! digits; `/` stays as it is within a key. Nothing is normalised: `.`, `..` and empty segments
//! reach the server as they are, because for S3 they are ordinary characters of a name.

use std::borrow::Cow;

/// Appends `key` as it stands in the path of a URI: `/` is kept.
pub(crate) fn append_key(target: &mut String, key: &[u8]) {
    append(target, key, true);
}

/// Appends `value` as it stands in a query string or a copy source: `/` is encoded too.
pub(crate) fn append_value(target: &mut String, value: &[u8]) {
    append(target, value, false);
}

/// `value` as it stands in a query string.
pub(crate) fn encoded_value(value: &str) -> Cow<'_, str> {
    if value.bytes().all(is_plain) {
        return Cow::Borrowed(value);
    }
    // Every byte takes three characters at most.
    let mut encoded = String::with_capacity(3 * value.len());
    append_value(&mut encoded, value.as_bytes());
    Cow::Owned(encoded)
}

/// Decodes what a server wrote for `encoding-type=url`: `+` is a space.
///
/// `None` when the text is not such an encoding (a `%` without two hexadecimal digits behind it).
pub(crate) fn decode_listed(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match byte {
            b'+' => {
                decoded.push(b' ');
                tail
            }
            b'%' => {
                let (&high, tail) = tail.split_first()?;
                let (&low, tail) = tail.split_first()?;
                decoded.push(digit(high)? << 4 | digit(low)?);
                tail
            }
            _ => {
                decoded.push(byte);
                tail
            }
        };
    }
    Some(decoded)
}

/// Appends `bytes` in lower-case hexadecimal digits.
pub(crate) fn append_hex(target: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for &byte in bytes {
        target.push(char::from(DIGITS[usize::from(byte >> 4)]));
        target.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

fn append(target: &mut String, bytes: &[u8], keep_slash: bool) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    target.reserve(bytes.len());
    for &byte in bytes {
        match byte {
            _ if is_plain(byte) => target.push(char::from(byte)),
            b'/' if keep_slash => target.push('/'),
            _ => {
                target.push('%');
                target.push(char::from(DIGITS[usize::from(byte >> 4)]));
                target.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        }
    }
}

/// Stands for itself everywhere.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_encoded_byte_for_byte() {
        let mut text = String::new();
        append_key(&mut text, "a//b/./../+ %\n~é'(*)".as_bytes());
        assert_eq!(text, "a//b/./../%2B%20%25%0A~%C3%A9%27%28%2A%29");
        text.clear();
        append_value(&mut text, b"a/b\x01");
        assert_eq!(text, "a%2Fb%01");
    }

    #[test]
    fn every_byte_survives_a_round_trip() {
        let all: Vec<u8> = (0..=255).collect();
        let mut text = String::new();
        append_value(&mut text, &all);
        assert_eq!(decode_listed(text.as_bytes()), Some(all));
    }

    #[test]
    fn half_an_escape_is_refused() {
        assert_eq!(decode_listed(b"a%2"), None);
        assert_eq!(decode_listed(b"a%zz"), None);
        assert_eq!(decode_listed(b"a+b%2B"), Some(b"a b+".to_vec()));
    }
}
