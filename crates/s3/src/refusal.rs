//! What a server says when it refuses, made into an [`Error`].

use http::{HeaderMap, StatusCode};

use crate::error::{Error, Kind, kind_of};
use crate::xml::Element;

/// A reply that is not a success.
pub(crate) struct Refusal<'a> {
    pub operation: &'static str,
    pub status: StatusCode,
    pub headers: &'a HeaderMap,
    /// Empty for HEAD.
    pub body: &'a [u8],
    pub clock_ahead_seconds: Option<i64>,
    /// The refused request was dated by a clock that has turned out to be off since then.
    pub clock_was_corrected: bool,
}

impl Refusal<'_> {
    pub fn into_error(self) -> Error {
        let parsed = Element::parse(self.body).unwrap_or_default();
        let parsed = if parsed.name == "Error" { parsed } else { Element::default() };
        self.with_element(&parsed)
    }

    /// The same for an error that stands inside of a successful reply.
    pub fn with_element(self, element: &Element) -> Error {
        let text = |name: &str| element.text_of(name).map(shortened).unwrap_or_default();
        let code = text("Code");
        let mut message = text("Message");
        if message.is_empty() {
            message = self.status.canonical_reason().unwrap_or("refused").to_owned();
        }
        let mut kind = kind_of(self.status.as_u16(), &code);
        let header = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        let region = header("x-amz-bucket-region").map(shortened).or(Some(text("Region")));
        let misplaced = self.status.is_redirection() || code.starts_with("Authorization");
        if let Some(region) = region.filter(|region| misplaced && !region.is_empty()) {
            message = format!("{message} (the bucket is in region {region})");
            kind = Kind::Configuration;
        }
        // The values that we send are well-formed, so that one that does not fit is meant. S3Mock
        // has no code for it.
        if kind == Kind::Invalid && message.contains("x-amz-checksum-") {
            kind = Kind::ChecksumMismatch;
        }
        if header("x-amz-delete-marker") == Some("true") {
            kind = Kind::NotFound;
        }
        if kind == Kind::Denied && self.clock_was_corrected {
            kind = Kind::Throttled;
        }
        Error::Refused {
            operation: self.operation,
            status: self.status.as_u16(),
            code,
            message,
            request_id: header("x-amz-request-id").map(shortened),
            clock_ahead_seconds: self.clock_ahead_seconds,
            kind,
        }
    }
}

/// One line of printable characters: it ends up in logs and terminals.
fn shortened(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}
