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
    /// The region that the request was signed for.
    pub region: &'a str,
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
        let region = header("x-amz-bucket-region").map_or_else(|| text("Region"), shortened);
        let unexplained = self.status.as_u16() == 400 && code.is_empty();
        let misplaced =
            self.status.is_redirection() || unexplained || code.starts_with("Authorization");
        if misplaced && !region.is_empty() && region != self.region {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error_of(status: u16, body: &[u8]) -> Error {
        Refusal {
            operation: "PutObject",
            status: StatusCode::from_u16(status).unwrap(),
            headers: &HeaderMap::new(),
            body,
            region: "us-east-1",
            clock_ahead_seconds: None,
            clock_was_corrected: false,
        }
        .into_error()
    }

    #[test]
    fn what_echoes_the_request_is_left_out() {
        let body = b"<Error><Code>SignatureDoesNotMatch</Code><Message>no\nmatch</Message>\
            <CanonicalRequest>TOKEN-CANARY</CanonicalRequest></Error>";
        let error = error_of(403, body);
        assert_eq!(error.to_string(), "PutObject: 403 SignatureDoesNotMatch: no match");
        assert!(!format!("{error:?}").contains("CANARY"));
    }

    #[test]
    fn a_refusal_without_words_shows_its_status() {
        for (status, said) in [(501, "501: Not Implemented"), (599, "599: refused")] {
            assert_eq!(error_of(status, b"").to_string(), format!("PutObject: {said}"));
        }
    }

    proptest! {
        #[test]
        fn any_explanation_gives_one_short_line(
            status in 300_u16..600,
            code in "\\PC{0,400}",
            text in ".{0,400}",
            raw in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let body = format!("<Error><Code>{code}</Code><Message>{text}</Message></Error>");
            for body in [body.as_bytes(), &raw] {
                let error = error_of(status, body);
                prop_assert!(!error.to_string().contains('\n'));
                prop_assert!(error.to_string().chars().count() < 800);
            }
        }
    }
}
