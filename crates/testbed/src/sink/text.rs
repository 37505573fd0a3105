//! Encodings: of names in requests and listings, and of dates.

use std::time::SystemTime;

use jiff::Timestamp;

/// Undoes percent-encoding, if it is UTF-8 then. A `+` stays what it is.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let high = char::from(bytes.next()?).to_digit(16)?;
        let low = char::from(bytes.next()?).to_digit(16)?;
        decoded.push(u8::try_from(high << 4 | low).ok()?);
    }
    String::from_utf8(decoded).ok()
}

/// A name as a listing has it that says `encoding-type=url`.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-_./~".contains(&byte);
        if plain {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// As XML takes it.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Back from XML; what is no reference stays as it is.
pub(super) fn unescape(text: &str) -> String {
    let mut pieces = text.split('&');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once(';').unwrap_or((piece, ""));
        match character(name) {
            Some(character) => {
                plain.push(character);
                plain.push_str(rest);
            }
            None => {
                plain.push('&');
                plain.push_str(piece);
            }
        }
    }
    plain
}

fn character(name: &str) -> Option<char> {
    let number = |text: &str, radix| char::from_u32(u32::from_str_radix(text, radix).ok()?);
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => match name.strip_prefix('#')? {
            name if name.starts_with('x') => number(&name[1..], 16),
            name => number(name, 10),
        },
    }
}

/// What stands in each element of that name. Elements of one name do not stand in each other.
pub(super) fn elements<'a>(document: &'a str, name: &str) -> Vec<&'a str> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    let pieces = document.split(begin.as_str()).skip(1);
    pieces.filter_map(|piece| piece.split_once(end.as_str()).map(|(text, _)| text)).collect()
}

/// As a header has it.
pub(super) fn http_date(at: SystemTime) -> String {
    written(at, "%a, %d %b %Y %H:%M:%S GMT")
}

/// As a listing has it.
pub(super) fn listed_date(at: SystemTime) -> String {
    written(at, "%Y-%m-%dT%H:%M:%S.000Z")
}

fn written(at: SystemTime, form: &str) -> String {
    let at = Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime(form).to_string()
}

#[cfg(test)]
mod tests {
    use super::{decode, elements, encode, escape, unescape};

    #[test]
    fn names_survive_both_encodings() {
        let name = "a b/ä+%&<>\"c";
        assert_eq!(decode(&encode(name)).as_deref(), Some(name));
        assert_eq!(unescape(&escape(name)), name);
        assert_eq!(decode("%zz"), None);
        assert_eq!(unescape("a&#13;&#xA;b&c;d&"), "a\r\nb&c;d&");
    }

    #[test]
    fn elements_are_found_in_order() {
        let document = "<A><Key>one</Key></A><A><Key>two</Key></A>";
        assert_eq!(elements(document, "Key"), ["one", "two"]);
    }
}
