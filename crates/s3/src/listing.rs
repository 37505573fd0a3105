//! Listing a bucket.
//!
//! Keys are asked for in URL encoding, because XML cannot carry every character. Some servers
//! ignore the wish (versitygw 1.7): their keys come as text, and where a character was replaced on
//! the way (U+FFFD) the key is reported as altered instead of standing for another object.

use std::time::SystemTime;

use http::Method;

use crate::checksum::ChecksumType;
use crate::client::{Call, Client, Effect};
use crate::encoding::decode_listed;
use crate::error::{Error, Result};
use crate::object::checksum_type;
use crate::xml::Element;

/// Which keys to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListRequest {
    /// Only keys that begin so.
    pub prefix: Vec<u8>,
    /// Keys that have this behind the prefix are folded into one prefix each.
    pub delimiter: Option<String>,
    /// Only keys behind this one, in the order of their bytes.
    pub start_after: Option<Vec<u8>>,
    /// Where the page before ended; wins over `start_after`.
    pub continuation: Option<String>,
    /// At most so many keys and prefixes; servers give at most 1,000, which is the default.
    pub keys_max: Option<u32>,
}

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    /// In the server's order: by bytes on most, by UTF-16 on some.
    pub objects: Vec<ListedObject>,
    /// What was folded at the delimiter.
    pub prefixes: Vec<ListedKey>,
    /// For the next page; `None` on the last one.
    pub continuation: Option<String>,
}

/// A key as it was listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedKey {
    /// The key's bytes.
    pub bytes: Vec<u8>,
    /// The server could not write the key down exactly: these bytes are not its name.
    pub altered: bool,
}

/// An object as it was listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedObject {
    /// Its key.
    pub key: ListedKey,
    /// Its length.
    pub bytes: u64,
    /// As the server writes it, with its quotes.
    pub etag: Option<String>,
    /// When it was stored, by the server's clock.
    pub last_modified: Option<SystemTime>,
    /// `STANDARD` or another.
    pub storage_class: Option<String>,
    /// What its checksums cover, where the server says it.
    pub checksum_type: Option<ChecksumType>,
}

impl Client {
    /// Lists one page of keys (`ListObjectsV2`).
    ///
    /// # Errors
    /// [`crate::Kind::NoBucket`]; [`crate::Kind::Unknown`] for a page that makes no sense, such as
    /// one that says that there is more and does not say where.
    pub async fn list_objects(&self, request: &ListRequest) -> Result<ListPage> {
        let prefix = text(&request.prefix, "the prefix")?;
        let start_after = request.start_after.as_deref();
        let start_after =
            start_after.map(|key| text(key, "the start of the listing")).transpose()?;
        let keys_max = request.keys_max.map(|keys| keys.to_string());
        let mut call = Call::new("ListObjectsV2", Method::GET, None, Effect::Reads);
        let operation = call.operation;
        call.query.extend([("list-type", "2"), ("encoding-type", "url"), ("prefix", prefix)]);
        call.query.extend(request.delimiter.as_deref().map(|delimiter| ("delimiter", delimiter)));
        match &request.continuation {
            Some(token) => call.query.push(("continuation-token", token)),
            None => call.query.extend(start_after.map(|key| ("start-after", key))),
        }
        call.query.extend(keys_max.as_deref().map(|keys| ("max-keys", keys)));
        let (_, document) = self.send_for_xml(call).await?;
        page(&document).map_err(|reason| Error::Reply { operation, reason })
    }
}

/// A key as a server wrote it into a document.
pub(crate) fn listed_key(text: &str, url_encoded: bool) -> std::result::Result<ListedKey, String> {
    if !url_encoded {
        let altered = text.contains(char::REPLACEMENT_CHARACTER);
        return Ok(ListedKey { bytes: text.as_bytes().to_vec(), altered });
    }
    let bytes = decode_listed(text.as_bytes()).ok_or("a key is not encoded as announced")?;
    Ok(ListedKey { bytes, altered: false })
}

pub(crate) fn is_url_encoded(document: &Element) -> bool {
    document.text_of("EncodingType") == Some("url")
}

/// Keys are UTF-8 on every server; what is not cannot be asked for in a query.
pub(crate) fn text<'a>(key: &'a [u8], what: &str) -> Result<&'a str> {
    std::str::from_utf8(key)
        .map_err(|_| Error::Invalid { what: what.to_owned(), reason: "it is not UTF-8".to_owned() })
}

pub(crate) fn page(document: &Element) -> std::result::Result<ListPage, String> {
    if document.name != "ListBucketResult" {
        return Err(format!("its element is {:?}", document.name));
    }
    let encoded = is_url_encoded(document);
    let objects = document.all("Contents").map(|element| object(element, encoded));
    let prefixes = document.all("CommonPrefixes").map(|element| {
        listed_key(element.text_of("Prefix").ok_or("a prefix has no name")?, encoded)
    });
    let continuation = match document.text_of("IsTruncated") {
        Some("true") => {
            let token = document.text_of("NextContinuationToken").filter(|t| !t.is_empty());
            Some(token.ok_or("it does not say where the next page begins")?.to_owned())
        }
        Some("false") | None => None,
        Some(other) => return Err(format!("it is truncated: {other:?}")),
    };
    Ok(ListPage {
        objects: objects.collect::<std::result::Result<_, _>>()?,
        prefixes: prefixes.collect::<std::result::Result<_, _>>()?,
        continuation,
    })
}

fn object(element: &Element, encoded: bool) -> std::result::Result<ListedObject, String> {
    let key = listed_key(element.text_of("Key").ok_or("an object has no key")?, encoded)?;
    let bytes = element.text_of("Size").and_then(|size| size.parse().ok());
    let modified = element.text_of("LastModified").and_then(|date| date.parse().ok());
    Ok(ListedObject {
        key,
        bytes: bytes.ok_or("an object has no length")?,
        etag: element.text_of("ETag").map(str::to_owned),
        last_modified: modified.map(|at: jiff::Timestamp| at.into()),
        storage_class: element.text_of("StorageClass").map(str::to_owned),
        checksum_type: element.text_of("ChecksumType").and_then(checksum_type),
    })
}

#[cfg(test)]
mod tests;
