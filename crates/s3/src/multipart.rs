//! Uploads in parts.
//!
//! Every part carries its CRC32C in a header, the completion lists them again (servers of the MinIO
//! family combine what is listed), and says the CRC32C and the length of the whole, so that a server
//! refuses to put together anything else.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::SystemTime;

use bytes::Bytes;
use http::Method;

use crate::body::Body;
use crate::checksum::Crc32c;
use crate::client::{Call, Client, Effect};
use crate::error::{Error, Result};
use crate::listing::{ListedKey, is_url_encoded, listed_key, text};
use crate::object::{CopyRequest, Stored, bytes_of, checked, stored, stored_in};
use crate::write_options::{Condition, ObjectOptions, insert};
use crate::xml::{Element, append_escaped};

/// Parts are numbered from 1 to this.
pub const PARTS_MAX: u32 = 10_000;
/// No part but the last may be smaller, in bytes.
pub const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
/// No part and no single PUT or copy may be larger, in bytes.
pub const PART_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;

/// A part that the server has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// From 1 to [`PARTS_MAX`].
    pub number: u32,
    /// As the server gave it.
    pub etag: String,
    /// Its checksum, if it was uploaded with one.
    pub crc32c: Option<Crc32c>,
    /// Its length, where known.
    pub bytes: Option<u64>,
}

/// What a completion says about the whole object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whole {
    /// Its CRC32C: the server compares and keeps it.
    pub crc32c: Option<Crc32c>,
    /// Its length. Leave it out for servers that do not implement the header (s3proxy).
    pub bytes: Option<u64>,
}

/// A page of an upload's parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartPage {
    /// In ascending order of their numbers.
    pub parts: Vec<Part>,
    /// The number after which the next page begins.
    pub continuation: Option<u32>,
}

/// An upload that was begun and neither completed nor aborted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upload {
    /// The key that it is for.
    pub key: ListedKey,
    /// Its id.
    pub id: String,
    /// When it was begun, by the server's clock.
    pub initiated: Option<SystemTime>,
}

/// A page of uploads under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UploadPage {
    /// Ordered by key.
    pub uploads: Vec<Upload>,
    /// Key and id after which the next page begins.
    pub continuation: Option<(ListedKey, String)>,
}

impl Client {
    /// Begins an upload whose checksum will be the CRC32C of the whole object. Returns its id.
    ///
    /// # Errors
    /// See [`crate::Kind`]. After [`crate::Kind::Unknown`] an upload without parts may be left.
    pub async fn create_multipart(&self, key: &[u8], options: &ObjectOptions) -> Result<String> {
        let key = Some(checked(key)?);
        let mut call = Call::new("CreateMultipartUpload", Method::POST, key, Effect::Writes);
        let operation = call.operation;
        call.query.push(("uploads", ""));
        options.write_to(&mut call.headers)?;
        insert(&mut call.headers, "x-amz-checksum-algorithm", "CRC32C")?;
        insert(&mut call.headers, "x-amz-checksum-type", "FULL_OBJECT")?;
        let (_, document) = self.send_for_xml(call).await?;
        let id = document.text_of("UploadId").filter(|id| !id.is_empty());
        id.map(str::to_owned)
            .ok_or_else(|| Error::Reply { operation, reason: "it has no upload id".to_owned() })
    }

    /// Uploads one part; a part of the same number is replaced.
    ///
    /// # Errors
    /// [`crate::Kind::ChecksumMismatch`] when the bytes that arrived have another checksum.
    pub async fn upload_part(
        &self,
        key: &[u8],
        upload_id: &str,
        number: u32,
        body: Body,
        checksum: Crc32c,
    ) -> Result<Part> {
        let key = Some(checked(key)?);
        let number_text = numbered(number)?;
        let mut call = Call::new("UploadPart", Method::PUT, key, Effect::Writes);
        let operation = call.operation;
        call.query.extend([("partNumber", number_text.as_str()), ("uploadId", upload_id)]);
        insert(&mut call.headers, "x-amz-checksum-crc32c", &checksum.to_base64())?;
        let bytes = body.len();
        call.body = body;
        let stored = stored(&self.send_for_headers(call).await?);
        part(operation, number, &stored, Some(checksum), Some(bytes))
    }

    /// Makes a part from a range of an object on the server; without a range from the whole of it.
    ///
    /// The part's checksum is what the server says; some say it wrongly (versitygw 1.7 gives the
    /// whole source's), which the completion then refuses.
    ///
    /// # Errors
    /// Also those that a server reports inside of a successful reply.
    pub async fn upload_part_copy(
        &self,
        key: &[u8],
        upload_id: &str,
        number: u32,
        source: &CopyRequest,
        range: Option<Range<u64>>,
    ) -> Result<Part> {
        let key = Some(checked(key)?);
        let number_text = numbered(number)?;
        let mut call = Call::new("UploadPartCopy", Method::PUT, key, Effect::Writes);
        let operation = call.operation;
        call.long = true;
        call.query.extend([("partNumber", number_text.as_str()), ("uploadId", upload_id)]);
        self.write_source(source, &mut call.headers)?;
        if let Some(range) = &range {
            insert(&mut call.headers, "x-amz-copy-source-range", &bytes_of(range)?)?;
        }
        let (headers, document) = self.send_for_xml(call).await?;
        let stored = stored_in(&headers, &document);
        let checksum = stored.checksums.crc32c.as_deref().and_then(Crc32c::from_base64);
        let bytes = range.map(|range| range.end - range.start);
        part(operation, number, &stored, checksum, bytes)
    }

    /// Puts the parts together. At return the object stands, with the checksum that was given.
    ///
    /// # Errors
    /// Also those that a server reports inside of a successful reply.
    /// [`crate::Kind::ChecksumMismatch`] when the whole has another checksum,
    /// [`crate::Kind::NotFound`] when the upload is not known (aborted, or completed before).
    pub async fn complete_multipart(
        &self,
        key: &[u8],
        upload_id: &str,
        parts: &[Part],
        whole: &Whole,
        condition: &Condition,
    ) -> Result<Stored> {
        let key = Some(checked(key)?);
        let mut call = Call::new("CompleteMultipartUpload", Method::POST, key, Effect::Writes);
        let operation = call.operation;
        call.long = true;
        call.query.push(("uploadId", upload_id));
        condition.write_to(&mut call.headers)?;
        insert(&mut call.headers, "content-type", "application/xml")?;
        if let Some(crc32c) = whole.crc32c {
            insert(&mut call.headers, "x-amz-checksum-crc32c", &crc32c.to_base64())?;
            insert(&mut call.headers, "x-amz-checksum-type", "FULL_OBJECT")?;
        }
        if let Some(bytes) = whole.bytes {
            insert(&mut call.headers, "x-amz-mp-object-size", &bytes.to_string())?;
        }
        call.body = completion(parts).into();
        let (headers, document) = self.send_for_xml(call).await?;
        if document.name != "CompleteMultipartUploadResult" {
            let reason = format!("its element is {:?}", document.name);
            return Err(Error::Reply { operation, reason });
        }
        Ok(stored_in(&headers, &document))
    }

    /// Drops an upload and its parts. After return a completion that is still under way somewhere
    /// finds nothing.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] when the upload is not known.
    pub async fn abort_multipart(&self, key: &[u8], upload_id: &str) -> Result<()> {
        let key = Some(checked(key)?);
        let mut call = Call::new("AbortMultipartUpload", Method::DELETE, key, Effect::Writes);
        call.query.push(("uploadId", upload_id));
        self.send_for_headers(call).await.map(drop)
    }

    /// Lists an upload's parts behind number `after`.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] when the upload is not known.
    pub async fn list_parts(
        &self,
        key: &[u8],
        upload_id: &str,
        after: Option<u32>,
    ) -> Result<PartPage> {
        let key = Some(checked(key)?);
        let mut call = Call::new("ListParts", Method::GET, key, Effect::Reads);
        let operation = call.operation;
        let after = after.map(|number| number.to_string());
        call.query.push(("uploadId", upload_id));
        call.query.extend(after.as_deref().map(|number| ("part-number-marker", number)));
        let (_, document) = self.send_for_xml(call).await?;
        part_page(&document).map_err(|reason| Error::Reply { operation, reason })
    }

    /// Lists uploads under way whose keys begin with `prefix`, behind `after`.
    ///
    /// # Errors
    /// [`crate::Kind::Unsupported`] from servers without it.
    pub async fn list_multipart_uploads(
        &self,
        prefix: &[u8],
        after: Option<&(ListedKey, String)>,
    ) -> Result<UploadPage> {
        let mut call = Call::new("ListMultipartUploads", Method::GET, None, Effect::Reads);
        let operation = call.operation;
        let prefix = text(prefix, "the prefix")?;
        call.query.extend([("uploads", ""), ("encoding-type", "url"), ("prefix", prefix)]);
        if let Some((key, id)) = after {
            let key = text(&key.bytes, "the start of the listing")?;
            call.query.extend([("key-marker", key), ("upload-id-marker", id)]);
        }
        let (_, document) = self.send_for_xml(call).await?;
        upload_page(&document).map_err(|reason| Error::Reply { operation, reason })
    }
}

fn numbered(number: u32) -> Result<String> {
    if (1..=PARTS_MAX).contains(&number) {
        return Ok(number.to_string());
    }
    Err(Error::Invalid {
        what: format!("part {number}"),
        reason: format!("parts are numbered from 1 to {PARTS_MAX}"),
    })
}

fn part(
    operation: &'static str,
    number: u32,
    stored: &Stored,
    crc32c: Option<Crc32c>,
    bytes: Option<u64>,
) -> Result<Part> {
    let etag = stored
        .etag
        .clone()
        .ok_or_else(|| Error::Reply { operation, reason: "it has no ETag".to_owned() })?;
    Ok(Part { number, etag, crc32c, bytes })
}

fn completion(parts: &[Part]) -> Bytes {
    let mut document = String::with_capacity(128 + parts.len() * 160);
    document
        .push_str("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for part in parts {
        // Writing to a string cannot fail.
        let _ = write!(document, "<Part><PartNumber>{}</PartNumber><ETag>", part.number);
        append_escaped(&mut document, &part.etag);
        document.push_str("</ETag>");
        if let Some(crc32c) = part.crc32c {
            document.push_str("<ChecksumCRC32C>");
            document.push_str(&crc32c.to_base64());
            document.push_str("</ChecksumCRC32C>");
        }
        document.push_str("</Part>");
    }
    document.push_str("</CompleteMultipartUpload>");
    Bytes::from(document)
}

fn is_truncated(document: &Element) -> bool {
    document.text_of("IsTruncated") == Some("true")
}

pub(crate) fn part_page(document: &Element) -> std::result::Result<PartPage, String> {
    if document.name != "ListPartsResult" {
        return Err(format!("its element is {:?}", document.name));
    }
    let number = |element: &Element, name: &str| {
        element.text_of(name).and_then(|number| number.parse::<u32>().ok())
    };
    let part = |element: &Element| {
        Ok(Part {
            number: number(element, "PartNumber").ok_or("a part has no number")?,
            etag: element.text_of("ETag").ok_or("a part has no ETag")?.to_owned(),
            crc32c: element.text_of("ChecksumCRC32C").and_then(Crc32c::from_base64),
            bytes: element.text_of("Size").and_then(|size| size.parse().ok()),
        })
    };
    let parts: std::result::Result<Vec<Part>, String> = document.all("Part").map(part).collect();
    let continuation = match is_truncated(document) {
        true => Some(number(document, "NextPartNumberMarker").ok_or("no next page is named")?),
        false => None,
    };
    Ok(PartPage { parts: parts?, continuation })
}

pub(crate) fn upload_page(document: &Element) -> std::result::Result<UploadPage, String> {
    if document.name != "ListMultipartUploadsResult" {
        return Err(format!("its element is {:?}", document.name));
    }
    let encoded = is_url_encoded(document);
    let upload = |element: &Element| {
        let initiated = element.text_of("Initiated").and_then(|date| date.parse().ok());
        Ok(Upload {
            key: listed_key(element.text_of("Key").ok_or("an upload has no key")?, encoded)?,
            id: element.text_of("UploadId").ok_or("an upload has no id")?.to_owned(),
            initiated: initiated.map(|at: jiff::Timestamp| at.into()),
        })
    };
    let uploads: std::result::Result<Vec<Upload>, String> =
        document.all("Upload").map(upload).collect();
    let continuation = if is_truncated(document) {
        let key = document.text_of("NextKeyMarker").ok_or("no next page is named")?;
        let id = document.text_of("NextUploadIdMarker").ok_or("no next page is named")?;
        Some((listed_key(key, encoded)?, id.to_owned()))
    } else {
        None
    };
    Ok(UploadPage { uploads: uploads?, continuation })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_lists_checksums() {
        let part =
            Part { number: 1, etag: "\"e\"".to_owned(), crc32c: Some(Crc32c(0)), bytes: None };
        let document = completion(&[part]);
        let element = Element::parse(&document).unwrap();
        let part = element.child("Part").unwrap();
        assert_eq!(part.text_of("ETag"), Some("\"e\""));
        assert_eq!(part.text_of("ChecksumCRC32C"), Some("AAAAAA=="));
    }

    #[test]
    fn pages_that_make_no_sense_are_refused() {
        for inner in ["<IsTruncated>true</IsTruncated>", "<Part><ETag>e</ETag></Part>", "<Part/>"] {
            let document = format!("<ListPartsResult>{inner}</ListPartsResult>");
            assert!(part_page(&Element::parse(document.as_bytes()).unwrap()).is_err(), "{inner}");
        }
        for inner in ["<IsTruncated>true</IsTruncated>", "<Upload><Key>k</Key></Upload>"] {
            let document =
                format!("<ListMultipartUploadsResult>{inner}</ListMultipartUploadsResult>");
            assert!(upload_page(&Element::parse(document.as_bytes()).unwrap()).is_err(), "{inner}");
        }
    }
}
