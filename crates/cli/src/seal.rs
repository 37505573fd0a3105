//! A checksum over JSON that is kept in a file: damage is never taken for what was written. It
//! stands in the last field, so that the text stays JSON to everybody else.

const BEFORE: &str = "\n  \"crc32c\": \"";
const AFTER: &str = "\"\n}\n";
const DIGITS: usize = 8;

/// The field's name.
pub const FIELD: &str = "crc32c";

/// What a text says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// It is as it was written.
    Holds,
    /// It is not.
    Broken,
    /// It carries none.
    Missing,
}

/// The text of a JSON object with its checksum.
pub fn sealed(object: &str) -> String {
    let object = object.trim_end();
    let mut text = object.strip_suffix('}').unwrap_or(object).trim_end().to_owned();
    if !text.ends_with('{') {
        text.push(',');
    }
    let sum = digits(text.as_bytes());
    text + BEFORE + &sum + AFTER
}

/// Looks at the checksum of a text.
pub fn seal_of(text: &[u8]) -> Seal {
    let found = text.strip_suffix(AFTER.as_bytes()).and_then(|rest| {
        let (rest, sum) = rest.split_at_checked(rest.len().checked_sub(DIGITS)?)?;
        Some((rest.strip_suffix(BEFORE.as_bytes())?, sum))
    });
    match found {
        Some((covered, sum)) if digits(covered).as_bytes() == sum => Seal::Holds,
        Some(_) => Seal::Broken,
        None => Seal::Missing,
    }
}

fn digits(covered: &[u8]) -> String {
    format!("{:08x}", crc32c::crc32c(covered))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_is_json_and_every_turned_bit_is_found() {
        for object in ["{\"a\": [1, 2]}", "{}", "{\n  \"a\": 1\n}\n"] {
            let text = sealed(object);
            let read: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(read["a"], serde_json::from_str::<serde_json::Value>(object).unwrap()["a"]);
            assert_eq!(seal_of(text.as_bytes()), Seal::Holds);
            for bit in 0..text.len() * 8 {
                let mut damaged = text.clone().into_bytes();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_ne!(seal_of(&damaged), Seal::Holds, "bit {bit} of {text}");
            }
        }
        assert_eq!(seal_of(b"{}"), Seal::Missing);
        assert_eq!(seal_of(b""), Seal::Missing);
    }
}
