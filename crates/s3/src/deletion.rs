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
    /// # Errors
    /// [`Kind::Invalid`] for too many keys, and for one that XML cannot carry to the server. A key
    /// that the reply does not mention has the result [`Kind::Unknown`].
    pub async fn delete_objects(
        &self,
        deletions: &[Deletion],
    ) -> Result<Vec<std::result::Result<(), DeletionFailure>>> {
        if deletions.is_empty() {
            return Ok(Vec::new());
        }
        let document = document(deletions)?;
        let mut call = Call::new("DeleteObjects", Method::POST, None, Effect::Writes);
        call.query.push(("delete", ""));
        insert_digest(&mut call.headers, document.as_bytes())?;
        insert(&mut call.headers, "content-type", "application/xml")?;
        call.body = Bytes::from(document).into();
        let operation = call.operation;
        let (_, reply) = self.send_for_xml(call).await?;
        if reply.name != "DeleteResult" {
            let reason = format!("its element is {:?}", reply.name);
            return Err(Error::Reply { operation, reason });
        }
        Ok(results(deletions, &reply))
    }
}

fn document(deletions: &[Deletion]) -> Result<String> {
    if deletions.len() > DELETE_KEYS_MAX {
        return Err(Error::Invalid {
            what: format!("a batch of {} keys", deletions.len()),
            reason: format!("S3 takes {DELETE_KEYS_MAX}"),
        });
    }
    let mut document = String::with_capacity(100 + deletions.len() * 64);
    document.push_str("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for deletion in deletions {
        let key = text(checked(&deletion.key)?, "a key")?;
        if !fits_xml(key) {
            return Err(Error::Invalid {
                what: format!("the key {key:?} in a batch"),
                reason: "XML cannot carry it; remove it by itself".to_owned(),
            });
        }
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
    document.push_str("</Delete>");
    Ok(document)
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
fn results(
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
    fn keys_that_xml_cannot_carry_are_refused_by_name() {
        assert!(document(&[deletion("a\nb<&>\"'")]).unwrap().contains("a&#10;b&lt;&amp;"));
        let error = document(&[deletion("a\u{1}")]).unwrap_err();
        assert!(error.to_string().contains("\\u{1}"), "{error}");
        assert!(document(&vec![deletion("a"); DELETE_KEYS_MAX + 1]).is_err());
    }
}
