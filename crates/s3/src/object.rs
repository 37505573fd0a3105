//! One object: put, head, get, copy, delete.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::body::Body;
use crate::checksum::{ChecksumType, Checksums, Crc32c};
use crate::client::{Call, Client, Effect, Inner};
use crate::clock::parse_date;
use crate::encoding::append_value;
use crate::error::{Error, Result};
use crate::pool::Reply;
use crate::write_options::{Condition, ObjectOptions, insert};
use crate::xml::Element;

/// S3 has no longer keys, in bytes.
pub const KEY_BYTES_MAX: usize = 1024;

/// What a server says of an object that it has stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// As the server writes it, with its quotes.
    pub etag: Option<String>,
    /// The new version, in a bucket with versions.
    pub version: Option<String>,
    /// The checksums that the server keeps; not every server repeats them in its reply.
    pub checksums: Checksums,
}

/// What HEAD and GET tell of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectHead {
    /// Length of the body of this reply: of the whole object, or of the range asked for.
    pub content_bytes: u64,
    /// As the server writes it, with its quotes.
    pub etag: Option<String>,
    /// The version, in a bucket with versions.
    pub version: Option<String>,
    /// The checksums that the server keeps.
    pub checksums: Checksums,
    /// User metadata by lower-case name without `x-amz-meta-`. Values that are not ASCII are in
    /// [`ObjectHead::metadata_unreadable`].
    pub metadata: BTreeMap<String, String>,
    /// Names of user metadata whose values are not ASCII, or that the server says it left out.
    pub metadata_unreadable: Vec<String>,
    /// `None` for the standard class.
    pub storage_class: Option<String>,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `x-amz-server-side-encryption`.
    pub encryption: Option<String>,
    /// When the object was stored, by the server's clock, in whole seconds.
    pub last_modified: Option<SystemTime>,
}

/// Which part of which version to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetRequest {
    /// Offsets of the first byte and behind the last one; not empty. `None` reads everything.
    pub range: Option<Range<u64>>,
    /// Only if the object has this ETag; otherwise the call ends in [`crate::Kind::Conflict`].
    pub if_match: Option<String>,
    /// Which version; `None` for the latest.
    pub version: Option<String>,
}

/// A copy within the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyRequest {
    /// The bucket to copy from; `None` for this client's own.
    pub source_bucket: Option<String>,
    /// Key of the source.
    pub source_key: Vec<u8>,
    /// Version of the source; `None` for the latest.
    pub source_version: Option<String>,
    /// Only if the source has this ETag; otherwise the call ends in [`crate::Kind::Conflict`].
    pub source_if_match: Option<String>,
}

/// Whose metadata a copy has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyMetadata {
    /// The source's.
    Keep,
    /// Those in the options; the source's are dropped.
    Replace,
}

/// A download under way. Dropping it before its end closes the connection.
pub struct ObjectReader {
    head: ObjectHead,
    reply: Option<Box<Reply>>,
    bytes_left: u64,
    client: Arc<Inner>,
}

impl Client {
    /// Stores an object in one request. At return it is durable, as far as the server goes.
    ///
    /// With `checksum` the server compares the body and refuses a wrong byte with
    /// [`crate::Kind::ChecksumMismatch`]; the value is kept as the object's full CRC32C.
    ///
    /// # Errors
    /// See [`crate::Kind`]. After [`crate::Kind::Unknown`] the object may be stored until
    /// [`Client::request_lifetime`] has passed.
    pub async fn put_object(
        &self,
        key: &[u8],
        body: Body,
        checksum: Option<Crc32c>,
        options: &ObjectOptions,
        condition: &Condition,
    ) -> Result<Stored> {
        let mut call = Call::new("PutObject", Method::PUT, Some(checked(key)?), Effect::Writes);
        options.write_to(&mut call.headers)?;
        condition.write_to(&mut call.headers)?;
        if let Some(checksum) = checksum {
            insert(&mut call.headers, "x-amz-checksum-crc32c", &checksum.to_base64())?;
        }
        call.body = body;
        Ok(stored(&self.send_for_headers(call).await?))
    }

    /// Looks at an object without reading it.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] also where the bucket does not exist: the reply cannot tell.
    pub async fn head_object(&self, key: &[u8], version: Option<&str>) -> Result<ObjectHead> {
        let mut call = Call::new("HeadObject", Method::HEAD, Some(checked(key)?), Effect::Reads);
        call.query.extend(version.map(|version| ("versionId", version)));
        insert(&mut call.headers, "x-amz-checksum-mode", "ENABLED")?;
        head(call.operation, &self.send_for_headers(call).await?)
    }

    /// Begins to read an object. What arrives is not verified against any checksum.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] when the range lies beyond the object's end.
    pub async fn get_object(&self, key: &[u8], request: &GetRequest) -> Result<ObjectReader> {
        let mut call = Call::new("GetObject", Method::GET, Some(checked(key)?), Effect::Reads);
        let operation = call.operation;
        call.query.extend(request.version.as_deref().map(|version| ("versionId", version)));
        insert(&mut call.headers, "x-amz-checksum-mode", "ENABLED")?;
        if let Some(range) = &request.range {
            insert(&mut call.headers, "range", &bytes_of(range)?)?;
        }
        if let Some(etag) = &request.if_match {
            insert(&mut call.headers, "if-match", etag)?;
        }
        let reply = self.send(call).await?;
        let head = head(operation, &reply.headers)?;
        check_range(operation, request, &reply, &head)?;
        let bytes_left = head.content_bytes;
        Ok(ObjectReader { head, reply: Some(reply), bytes_left, client: self.inner.clone() })
    }

    /// Copies within the server, up to 5 GiB. `options.write` is sent always; `metadata` and
    /// `content_type` only with [`CopyMetadata::Replace`].
    ///
    /// # Errors
    /// Also those that a server reports inside of a successful reply.
    pub async fn copy_object(
        &self,
        key: &[u8],
        source: &CopyRequest,
        metadata: CopyMetadata,
        options: &ObjectOptions,
    ) -> Result<Stored> {
        let mut call = Call::new("CopyObject", Method::PUT, Some(checked(key)?), Effect::Writes);
        let operation = call.operation;
        call.long = true;
        self.write_source(source, &mut call.headers)?;
        match metadata {
            CopyMetadata::Keep => {
                options.write.write_to(&mut call.headers)?;
                insert(&mut call.headers, "x-amz-metadata-directive", "COPY")?;
            }
            CopyMetadata::Replace => {
                options.write_to(&mut call.headers)?;
                insert(&mut call.headers, "x-amz-metadata-directive", "REPLACE")?;
            }
        }
        if !options.write.tags.is_empty() {
            insert(&mut call.headers, "x-amz-tagging-directive", "REPLACE")?;
        }
        let (headers, result) = self.send_for_xml(call).await?;
        if result.name != "CopyObjectResult" {
            let reason = format!("its element is {:?}", result.name);
            return Err(Error::Reply { operation, reason });
        }
        Ok(stored_in(&headers, &result))
    }

    /// Removes an object; one that does not exist is removed already. In a bucket with versions a
    /// delete marker is put over it, unless `version` names the one to remove.
    ///
    /// # Errors
    /// See [`crate::Kind`]. `condition` is honoured by few servers.
    pub async fn delete_object(
        &self,
        key: &[u8],
        version: Option<&str>,
        condition: &Condition,
    ) -> Result<()> {
        let key = Some(checked(key)?);
        let mut call = Call::new("DeleteObject", Method::DELETE, key, Effect::Writes);
        call.query.extend(version.map(|version| ("versionId", version)));
        condition.write_to(&mut call.headers)?;
        self.send_for_headers(call).await.map(drop)
    }

    pub(crate) fn write_source(&self, source: &CopyRequest, to: &mut HeaderMap) -> Result<()> {
        let bucket = source.source_bucket.as_deref().unwrap_or_else(|| self.bucket());
        let mut text = String::new();
        append_value(&mut text, bucket.as_bytes());
        text.push('/');
        crate::encoding::append_key(&mut text, checked(&source.source_key)?);
        if let Some(version) = &source.source_version {
            text.push_str("?versionId=");
            append_value(&mut text, version.as_bytes());
        }
        insert(to, "x-amz-copy-source", &text)?;
        if let Some(etag) = &source.source_if_match {
            insert(to, "x-amz-copy-source-if-match", etag)?;
        }
        Ok(())
    }
}

impl ObjectReader {
    /// What the reply's head tells.
    #[must_use]
    pub fn head(&self) -> &ObjectHead {
        &self.head
    }

    /// The next bytes; `None` after the last ones.
    ///
    /// # Errors
    /// [`crate::Kind::Unknown`] when the connection is lost, the server pauses for too long, or the
    /// body has another length than announced.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        const OPERATION: &str = "GetObject";
        let Some(reply) = &mut self.reply else { return Ok(None) };
        let piece = reply.piece(OPERATION, self.client.limits.read_pause).await;
        let reason = match piece {
            Ok(Some(bytes)) => match self.bytes_left.checked_sub(bytes.len() as u64) {
                Some(left) => {
                    self.bytes_left = left;
                    return Ok(Some(bytes));
                }
                None => "the body is longer than announced".to_owned(),
            },
            Ok(None) if self.bytes_left == 0 => {
                if let Some(reply) = self.reply.take() {
                    reply.finish(&self.client.pool);
                }
                return Ok(None);
            }
            Ok(None) => format!("the body ended {} bytes too early", self.bytes_left),
            Err(error) => {
                self.reply = None;
                return Err(error);
            }
        };
        self.reply = None;
        Err(Error::Interrupted { operation: OPERATION, reason })
    }
}

impl std::fmt::Debug for ObjectReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ObjectReader")
            .field("head", &self.head)
            .field("bytes_left", &self.bytes_left)
            .finish_non_exhaustive()
    }
}

/// Refuses what S3 cannot name. Servers differ: some store a longer key, and some read all that is
/// not UTF-8 as the same character, so that two keys become one.
pub(crate) fn checked(key: &[u8]) -> Result<&[u8]> {
    if !(1..=KEY_BYTES_MAX).contains(&key.len()) {
        return Err(Error::Invalid {
            what: format!("a key of {} bytes", key.len()),
            reason: format!("S3 has names of 1 to {KEY_BYTES_MAX} bytes"),
        });
    }
    if std::str::from_utf8(key).is_err() {
        return Err(Error::Invalid {
            what: format!("the key {:?}", String::from_utf8_lossy(key)),
            reason: "it is not UTF-8".to_owned(),
        });
    }
    Ok(key)
}

pub(crate) fn bytes_of(range: &Range<u64>) -> Result<String> {
    match range.end.checked_sub(1) {
        Some(last) if last >= range.start => Ok(format!("bytes={}-{last}", range.start)),
        Some(_) | None => Err(Error::Invalid {
            what: format!("the range {range:?}"),
            reason: "it is empty".to_owned(),
        }),
    }
}

/// What the headers of a reply to a write say.
pub(crate) fn stored(headers: &HeaderMap) -> Stored {
    Stored {
        etag: text(headers, "etag"),
        version: text(headers, "x-amz-version-id"),
        checksums: checksums(headers),
    }
}

/// The same where ETag and checksums stand in the reply's document.
pub(crate) fn stored_in(headers: &HeaderMap, document: &Element) -> Stored {
    let text = |name: &str| document.text_of(name).map(str::to_owned);
    let mut stored = stored(headers);
    stored.etag = text("ETag").or(stored.etag);
    let known = &mut stored.checksums;
    known.crc32c = text("ChecksumCRC32C").or_else(|| known.crc32c.take());
    known.crc32 = text("ChecksumCRC32").or_else(|| known.crc32.take());
    known.crc64nvme = text("ChecksumCRC64NVME").or_else(|| known.crc64nvme.take());
    known.kind = document.text_of("ChecksumType").and_then(checksum_type).or(known.kind);
    stored
}

pub(crate) fn checksum_type(text: &str) -> Option<ChecksumType> {
    match text {
        "FULL_OBJECT" => Some(ChecksumType::FullObject),
        "COMPOSITE" => Some(ChecksumType::Composite),
        _ => None,
    }
}

fn checksums(headers: &HeaderMap) -> Checksums {
    Checksums {
        crc32c: text(headers, "x-amz-checksum-crc32c"),
        crc32: text(headers, "x-amz-checksum-crc32"),
        crc64nvme: text(headers, "x-amz-checksum-crc64nvme"),
        kind: text(headers, "x-amz-checksum-type").as_deref().and_then(checksum_type),
    }
}

pub(crate) fn head(operation: &'static str, headers: &HeaderMap) -> Result<ObjectHead> {
    let length = text(headers, "content-length").and_then(|length| length.parse().ok());
    let content_bytes = length.ok_or_else(|| Error::Reply {
        operation,
        reason: "it does not say the object's length".to_owned(),
    })?;
    let mut metadata = BTreeMap::new();
    let mut unreadable = Vec::new();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix("x-amz-meta-") else { continue };
        match value.to_str() {
            Ok(value) => {
                metadata.insert(name.to_owned(), value.to_owned());
            }
            Err(_) => unreadable.push(name.to_owned()),
        }
    }
    if let Some(count) = text(headers, "x-amz-missing-meta") {
        unreadable.push(format!("{count} left out by the server"));
    }
    let modified = text(headers, "last-modified").and_then(|date| parse_date(&date));
    let modified = modified.and_then(|seconds| u64::try_from(seconds).ok());
    Ok(ObjectHead {
        content_bytes,
        etag: text(headers, "etag"),
        version: text(headers, "x-amz-version-id"),
        checksums: checksums(headers),
        metadata,
        metadata_unreadable: unreadable,
        storage_class: text(headers, "x-amz-storage-class"),
        content_type: text(headers, "content-type"),
        encryption: text(headers, "x-amz-server-side-encryption"),
        last_modified: modified.map(|s| SystemTime::UNIX_EPOCH + Duration::from_secs(s)),
    })
}

/// A server that ignores the range would hand over the wrong bytes.
fn check_range(
    operation: &'static str,
    request: &GetRequest,
    reply: &Reply,
    head: &ObjectHead,
) -> Result<()> {
    let Some(range) = &request.range else { return Ok(()) };
    let start = reply
        .header("content-range")
        .and_then(|text| text.strip_prefix("bytes "))
        .and_then(|text| text.split('-').next())
        .and_then(|text| text.parse::<u64>().ok());
    let fits = start == Some(range.start) && head.content_bytes <= range.end - range.start;
    if reply.status == http::StatusCode::PARTIAL_CONTENT && fits {
        return Ok(());
    }
    let reason = "it is not for the range that was asked for".to_owned();
    Err(Error::Reply { operation, reason })
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
