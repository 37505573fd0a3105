//! Which keys a server can hold. S3 itself takes any UTF-8 of up to 1,024 bytes; other servers
//! refuse some, or store them under another name.

use crate::error::StoreError;
use crate::key::OBJECT_KEY_BYTES_MAX;

/// A kind of name that some servers cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shape {
    /// A segment `.`.
    Dot,
    /// A segment `..`.
    DotDot,
    /// Two slashes in a row.
    EmptySegment,
    /// A slash at the begin.
    LeadingSlash,
    /// A slash at the end: a directory marker.
    Marker,
    /// A segment of more than 255 bytes.
    LongSegment,
    /// Line feed or carriage return.
    LineBreak,
    /// NUL.
    Nul,
    /// Another control character of ASCII, but for those that XML can carry.
    Control,
    /// Tab or DEL.
    TabOrDelete,
    /// U+FFFD, which stands in listings for what XML cannot carry, and U+FFFE and U+FFFF, which it
    /// cannot.
    Replacement,
    /// A backslash.
    Backslash,
    /// What means something in a URL or in XML: `%`, `+`, `?`, `#`, `&`, `<`, `>`, quotes, `*`.
    Special,
    /// A space at the end of a segment.
    TrailingSpace,
    /// Letters beyond ASCII; composed and decomposed ones are different.
    Letters,
    /// Characters beyond 16 bits.
    Supplementary,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Self; 16] = [
        Self::Dot,
        Self::DotDot,
        Self::EmptySegment,
        Self::LeadingSlash,
        Self::Marker,
        Self::LongSegment,
        Self::LineBreak,
        Self::Nul,
        Self::Control,
        Self::TabOrDelete,
        Self::Replacement,
        Self::Backslash,
        Self::Special,
        Self::TrailingSpace,
        Self::Letters,
        Self::Supplementary,
    ];

    /// Whether a key is of this shape.
    pub fn fits(self, key: &[u8]) -> bool {
        let any_byte = |wanted: &[u8]| key.iter().any(|byte| wanted.contains(byte));
        let any_segment = |wanted: fn(&[u8]) -> bool| key.split(|byte| *byte == b'/').any(wanted);
        match self {
            Self::Dot => any_segment(|segment| segment == b"."),
            Self::DotDot => any_segment(|segment| segment == b".."),
            Self::EmptySegment => key.windows(2).any(|pair| pair == b"//"),
            Self::LeadingSlash => key.first() == Some(&b'/'),
            Self::Marker => key.last() == Some(&b'/'),
            Self::LongSegment => any_segment(|segment| segment.len() > 255),
            Self::LineBreak => any_byte(b"\n\r"),
            Self::Nul => any_byte(b"\0"),
            Self::Control => key
                .iter()
                .any(|byte| byte.is_ascii_control() && !matches!(byte, b'\n' | b'\r' | b'\0')),
            Self::TabOrDelete => any_byte(b"\t\x7f"),
            Self::Replacement => {
                key.windows(3).any(|bytes| matches!(bytes, [0xef, 0xbf, 0xbd..=0xbf]))
            }
            Self::Backslash => any_byte(b"\\"),
            Self::Special => any_byte(b"%+?#&<>\"'*"),
            Self::TrailingSpace => any_segment(|segment| segment.last() == Some(&b' ')),
            Self::Letters => !key.is_ascii(),
            Self::Supplementary => key.iter().any(|byte| *byte >= 0xf0),
        }
    }

    /// Keys of this shape below a folder, to try them out. `None` where the folder makes that
    /// impossible.
    pub fn examples(self, folder: &str) -> Option<Vec<String>> {
        let below = |names: &[&str]| Some(names.iter().map(|n| format!("{folder}/{n}")).collect());
        match self {
            Self::Dot => below(&["dot/a/./b"]),
            Self::DotDot => below(&["dots/a/../b"]),
            Self::EmptySegment => below(&["empty//b", "empty///c"]),
            Self::LeadingSlash if folder.contains('/') => None,
            Self::LeadingSlash => Some(vec![format!("/{folder}/lead")]),
            Self::Marker => below(&["marker/"]),
            Self::LongSegment => below(&[&"l".repeat(256)]),
            Self::LineBreak => below(&["line\nfeed", "carriage\rreturn"]),
            Self::Nul => below(&["n\0ul"]),
            Self::Control => below(&["one\u{1}", "thirty-one\u{1f}x"]),
            Self::TabOrDelete => below(&["tab\tx", "delete\u{7f}"]),
            Self::Replacement => below(&["\u{fffd}", "\u{fffe}", "\u{ffff}"]),
            Self::Backslash => below(&["back\\slash"]),
            Self::Special => below(&["100%", "%41", "a+b", "q?x#y", "&<>\"'*", "a b"]),
            Self::TrailingSpace => below(&["space ", " /x"]),
            Self::Letters => below(&["caf\u{e9}", "cafe\u{301}", "\u{8a9e}"]),
            Self::Supplementary => below(&["\u{1f426}"]),
        }
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dot => "a path component '.'",
            Self::DotDot => "a path component '..'",
            Self::EmptySegment => "an empty path component ('//')",
            Self::LeadingSlash => "a slash at the begin",
            Self::Marker => "a slash at the end (directory markers)",
            Self::LongSegment => "a path component of more than 255 bytes",
            Self::LineBreak => "a line break",
            Self::Nul => "a NUL character",
            Self::Control => "a control character",
            Self::TabOrDelete => "a tab or DEL",
            Self::Replacement => "one of the characters U+FFFD to U+FFFF",
            Self::Backslash => "a backslash",
            Self::Special => "a character that means something in URLs or XML",
            Self::TrailingSpace => "a space at the end of a path component",
            Self::Letters => "letters beyond ASCII",
            Self::Supplementary => "characters beyond 16 bits (emoji)",
        }
    }
}

/// What a server holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// Shapes that it does not hold.
    pub refused: Vec<Shape>,
    /// The longest key in bytes.
    pub key_bytes_max: usize,
}

impl Default for Names {
    fn default() -> Self {
        Self { refused: Vec::new(), key_bytes_max: OBJECT_KEY_BYTES_MAX }
    }
}

impl Names {
    /// Says by name why a key can never be held.
    pub fn admit(&self, key: &[u8]) -> Result<(), StoreError> {
        let refused = |reason: String, remedy: &str| {
            Err(StoreError::Refused {
                message: format!("{}: {reason}", key.escape_ascii()),
                remedy: remedy.to_owned(),
            })
        };
        let rename = "Rename it at the source, or move it to a target that takes such names.";
        if key.is_empty() {
            return refused("S3 has no empty key".to_owned(), "Choose a target prefix.");
        }
        if key.len() > self.key_bytes_max {
            let reason = format!(
                "the key has {} bytes, and the target takes {}",
                key.len(),
                self.key_bytes_max
            );
            return refused(reason, "Shorten the path, or choose a shorter target prefix.");
        }
        if std::str::from_utf8(key).is_err() {
            return refused("the name is not UTF-8, and keys of S3 are".to_owned(), rename);
        }
        match self.refused.iter().find(|shape| shape.fits(key)) {
            Some(shape) => {
                let reason = format!("this target cannot hold a key with {}", shape.name());
                refused(reason, rename)
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_of_its_shape() {
        for shape in Shape::ALL {
            let examples = shape.examples(".whimbrel-probe").unwrap();
            let found = examples.iter().any(|key| shape.fits(key.as_bytes()));
            assert!(found && !shape.fits(b"a.b/c..d/e-f_g"), "{shape:?}");
        }
        assert_eq!(Shape::LeadingSlash.examples("prefix/probe"), None);
    }

    #[test]
    fn keys_are_refused_by_name() {
        let names = Names { refused: vec![Shape::DotDot], key_bytes_max: 20 };
        names.admit("é/..x".as_bytes()).unwrap();
        for (key, part) in [
            (&b"a/../b"[..], "'..'"),
            (b"\xff", "UTF-8"),
            (b"", "empty"),
            (b"123456789012345678901", "21 bytes"),
        ] {
            let error = names.admit(key).unwrap_err();
            assert!(matches!(error, StoreError::Refused { .. }));
            assert!(error.to_string().contains(part), "{error}");
        }
        Names::default().admit(&[b'x'; 1024]).unwrap();
        Names::default().admit(&[b'x'; 1025]).unwrap_err();
    }
}
