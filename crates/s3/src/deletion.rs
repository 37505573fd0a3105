//! Removing many objects with one request.

use std::collections::{HashMap, HashSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method};
use md5::{Digest, Md5};

use crate::client::{Call, Client, Effect};
use crate::error::{Error, Kind, Result, kind_of};
use crate::listing::text;
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
    let asked: HashSet<_> = deletions.iter().map(place).collect();
    let (mut answers, mut unasked) = (HashMap::new(), HashMap::new());
    for element in &reply.children {
        let Some(answer) = answer(element) else { continue };
        let Some(key) = element.text_of("Key").map(str::as_bytes) else { continue };
        let version = element.text_of("VersionId").filter(|version| !version.is_empty());
        let is_asked = version.is_none() || asked.contains(&(key, version));
        let (place, answers) = match is_asked {
            true => ((key, version), &mut answers),
            false => ((key, None), &mut unasked),
        };
        // What was refused once stays, whatever else is said of it.
        let held = answers.entry(place).or_insert_with(|| answer.clone());
        *held = held.clone().and(answer);
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
            let any = || match deletion.version {
                // An error need not repeat the version, nor do some servers.
                Some(_) => answers.get(&(&deletion.key[..], None)),
                // Garage names the version that was the latest.
                None => unasked.get(&place(deletion)),
            };
            let answer = answers.get(&place(deletion)).or_else(any);
            answer.cloned().unwrap_or_else(|| Err(unanswered.clone()))
        })
        .collect()
}

fn place(deletion: &Deletion) -> (&[u8], Option<&str>) {
    (&deletion.key, deletion.version.as_deref())
}

/// What an element says of its key. Some servers call it an error that nothing stood there.
fn answer(element: &Element) -> Option<std::result::Result<(), DeletionFailure>> {
    match element.name.as_str() {
        "Deleted" => Some(Ok(())),
        "Error" => {
            let failure = failure(element);
            Some(if failure.kind == Kind::NotFound { Ok(()) } else { Err(failure) })
        }
        _ => None,
    }
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

    fn said(deletions: &[Deletion], reply: &str) -> Vec<Option<Kind>> {
        let reply = Element::parse(format!("<DeleteResult>{reply}</DeleteResult>").as_bytes());
        let results = results(deletions, &reply.unwrap());
        results.into_iter().map(|result| result.err().map(|failure| failure.kind)).collect()
    }

    #[test]
    fn a_version_that_nobody_asked_for_is_the_latest() {
        // As Garage 2.5.0 answers.
        let reply = "<Deleted><Key>a</Key><VersionId>5b2f</VersionId><DeleteMarkerVersionId>c94e\
            </DeleteMarkerVersionId></Deleted><Deleted><Key>never was</Key></Deleted>";
        assert_eq!(said(&["a", "never was"].map(deletion), reply), [None, None]);

        let old = Deletion { version: Some("1".to_owned()), ..deletion("a") };
        let other = Deletion { version: Some("2".to_owned()), ..deletion("a") };
        let both = [deletion("a"), old.clone()];
        let unknown = Some(Kind::Unknown);
        let of_old = "<Deleted><Key>a</Key><VersionId>1</VersionId></Deleted>";
        assert_eq!(said(&both, of_old), [unknown, None], "it says nothing of the latest");
        assert_eq!(said(&[old, other], of_old), [None, unknown]);
        let of_latest = "<Deleted><Key>a</Key><VersionId>3</VersionId></Deleted>";
        assert_eq!(said(&both, of_latest), [None, unknown], "it says nothing of the old one");
    }

    #[test]
    fn a_refusal_outweighs_a_removal_of_the_same_key() {
        let removed = "<Deleted><Key>a</Key><VersionId>1</VersionId></Deleted>";
        let refused = "<Error><Key>a</Key><VersionId>2</VersionId><Code>SlowDown</Code></Error>";
        for reply in [[removed, refused].concat(), [refused, removed].concat()] {
            assert_eq!(said(&[deletion("a")], &reply), [Some(Kind::Throttled)]);
        }
    }

    #[test]
    fn what_is_not_there_is_removed() {
        let reply = "<Error><Key>a</Key><Code>NoSuchKey</Code></Error>";
        assert_eq!(said(&["a", "b"].map(deletion), reply), [None, Some(Kind::Unknown)]);
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
