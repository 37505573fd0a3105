//! Removing many objects with one request.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method};
use md5::{Digest, Md5};

use crate::client::{Call, Client, Effect};
use crate::error::{Error, Kind, Result, kind_of};
use crate::listing::{listed_key, text};
use crate::object::checked;
use crate::write_options::insert;
use crate::xml::{Element, append_escaped};

/// More keys than this are not taken in one request.
pub const DELETE_KEYS_MAX: usize = 1000;

/// An object to remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deletion {
    /// Its key.
    pub key: Vec<u8>,
    /// Which version; `None` for the latest.
    pub version: Option<String>,
}

/// Why one object of a batch was not removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct DeletionFailure {
    /// S3's error code.
    pub code: String,
    /// The server's own words, shortened.
    pub message: String,
    /// What to do about it.
    pub kind: Kind,
}

impl Client {
    /// Removes up to [`DELETE_KEYS_MAX`] objects. The answer has one result for each, in the order
    /// that they were given; an object that does not exist is removed already.
    ///
    /// The request carries `Content-MD5`, which every server takes; newer checksums are refused by
    /// older ones.
    ///
    /// A key that XML cannot carry ([`fits_xml`]) has the result [`Kind::Invalid`] and is to be
    /// removed by itself; one that the reply does not mention has [`Kind::Unknown`].
    ///
    /// # Errors
    /// [`Kind::Invalid`] for too many keys.
    pub async fn delete_objects(
        &self,
        deletions: &[Deletion],
    ) -> Result<Vec<std::result::Result<(), DeletionFailure>>> {
        if deletions.len() > DELETE_KEYS_MAX {
            return Err(Error::Invalid {
                what: format!("a batch of {} keys", deletions.len()),
                reason: format!("S3 takes {DELETE_KEYS_MAX}"),
            });
        }
        let reply = match document(deletions) {
            Some(document) => self.send_deletions(document).await?,
            None => Element::default(),
        };
        Ok(results(deletions, &reply))
    }

    async fn send_deletions(&self, document: String) -> Result<Element> {
        let mut call = Call::new("DeleteObjects", Method::POST, None, Effect::Writes);
        let operation = call.operation;
        call.query.push(("delete", ""));
        insert_digest(&mut call.headers, document.as_bytes())?;
        insert(&mut call.headers, "content-type", "application/xml")?;
        call.body = Bytes::from(document).into();
        let (_, reply) = self.send_for_xml(call).await?;
        if reply.name == "DeleteResult" {
            return Ok(reply);
        }
        Err(Error::Reply { operation, reason: format!("its element is {:?}", reply.name) })
    }
}

/// The keys that fit; `None` when none does.
fn document(deletions: &[Deletion]) -> Option<String> {
    let mut document = String::with_capacity(100 + deletions.len() * 64);
    document.push_str("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    let empty = document.len();
    for deletion in deletions {
        let Ok(key) = fitting(deletion) else { continue };
        document.push_str("<Object><Key>");
        append_escaped(&mut document, key);
        document.push_str("</Key>");
        if let Some(version) = &deletion.version {
            document.push_str("<VersionId>");
            append_escaped(&mut document, version);
            document.push_str("</VersionId>");
        }
        document.push_str("</Object>");
    }
    if document.len() == empty {
        return None;
    }
    document.push_str("</Delete>");
    Some(document)
}

/// The key as it stands in the document, or why it cannot.
fn fitting(deletion: &Deletion) -> std::result::Result<&str, DeletionFailure> {
    let invalid =
        |message: String| DeletionFailure { code: String::new(), message, kind: Kind::Invalid };
    let key = checked(&deletion.key).and_then(|key| text(key, "the key"));
    let key = key.map_err(|error| invalid(error.to_string()))?;
    if fits_xml(key) {
        return Ok(key);
    }
    Err(invalid("XML cannot carry this key; remove it by itself".to_owned()))
}

/// Adds `Content-MD5`, without which servers refuse documents that change many things.
pub(crate) fn insert_digest(headers: &mut HeaderMap, document: &[u8]) -> Result<()> {
    insert(headers, "content-md5", &STANDARD.encode(Md5::digest(document)))
}

/// Whether a key may stand in a batch: XML 1.0 has no place for most control characters and for two
/// others, and a server may read them as something else.
#[must_use]
pub fn fits_xml(key: &str) -> bool {
    key.chars().all(|c| match c {
        '\t' | '\n' | '\r' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        c => c >= ' ',
    })
}

/// Results by position. A server may answer in any order, so they are found by key and version.
pub(crate) fn results(
    deletions: &[Deletion],
    reply: &Element,
) -> Vec<std::result::Result<(), DeletionFailure>> {
    let mut answers = std::collections::HashMap::new();
    for element in &reply.children {
        let key = element.text_of("Key").map(|key| listed_key(key, false));
        let Some(Ok(key)) = key else { continue };
        let version = element.text_of("VersionId").filter(|v| !v.is_empty()).map(str::to_owned);
        match element.name.as_str() {
            "Deleted" => answers.insert((key.bytes, version), Ok(())),
            "Error" => answers.insert((key.bytes, version), Err(failure(element))),
            _ => None,
        };
    }
    let unanswered = DeletionFailure {
        code: String::new(),
        message: "the reply does not mention this key".to_owned(),
        kind: Kind::Unknown,
    };
    deletions
        .iter()
        .map(|deletion| {
            fitting(deletion)?;
            let exact = answers.get(&(deletion.key.clone(), deletion.version.clone()));
            // An error need not repeat that no version was asked for, nor some servers the version.
            let any = || answers.get(&(deletion.key.clone(), None));
            exact.or_else(any).cloned().unwrap_or_else(|| Err(unanswered.clone()))
        })
        .collect()
}

fn failure(element: &Element) -> DeletionFailure {
    let text = |name: &str| {
        let text = element.text_of(name).unwrap_or_default();
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect::<String>()
    };
    let code = text("Code");
    let kind = match code.as_str() {
        "AccessDenied" => Kind::Denied,
        code => kind_of(0, code),
    };
    DeletionFailure { kind, code, message: text("Message") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deletion(key: &str) -> Deletion {
        Deletion { key: key.as_bytes().to_vec(), version: None }
    }

    #[test]
    fn results_are_found_by_key_whatever_their_order() {
        let reply = Element::parse(
            b"<DeleteResult><Error><Key>b</Key><Code>AccessDenied</Code><Message>no</Message>\
            </Error><Deleted><Key>a</Key></Deleted></DeleteResult>",
        );
        let keys = ["a", "b", "c"].map(deletion);
        let results = results(&keys, &reply.unwrap());
        assert_eq!(results[0], Ok(()));
        assert_eq!(results[1].as_ref().unwrap_err().kind, Kind::Denied);
        assert_eq!(results[2].as_ref().unwrap_err().kind, Kind::Unknown);
    }

    #[test]
    fn keys_that_xml_cannot_carry_are_refused_one_by_one() {
        assert!(document(&[deletion("a\nb<&>\"'")]).unwrap().contains("a&#10;b&lt;&amp;"));
        assert_eq!(document(&[deletion("a\u{1}"), deletion("")]), None);
        let keys = [deletion("a\u{1}"), deletion("b")];
        assert!(!document(&keys).unwrap().contains("&#1;"));
        let reply = Element::parse(b"<DeleteResult><Deleted><Key>b</Key></Deleted></DeleteResult>");
        let results = results(&keys, &reply.unwrap());
        assert_eq!(results[0].as_ref().unwrap_err().kind, Kind::Invalid);
        assert_eq!(results[1], Ok(()));
    }
}
