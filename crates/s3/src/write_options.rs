//! What goes with every object that is written.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::encoding::append_value;
use crate::error::{Error, Result};

/// Options of the store that go on every new object: PUT, multipart upload and copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// `x-amz-server-side-encryption`: `AES256`, `aws:kms`, `aws:kms:dsse`.
    pub encryption: Option<String>,
    /// Id or ARN of the KMS key.
    pub kms_key_id: Option<String>,
    /// Whether to use an S3 bucket key for KMS.
    pub bucket_key: Option<bool>,
    /// `STANDARD_IA`, `GLACIER_IR` and so on.
    pub storage_class: Option<String>,
    /// Tags by key; at most 10 on AWS.
    pub tags: BTreeMap<String, String>,
    /// A canned ACL: `private`, `bucket-owner-full-control`.
    pub acl: Option<String>,
}

/// What a new object is told about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectOptions {
    /// The store's options.
    pub write: WriteOptions,
    /// User metadata by name without `x-amz-meta-`; names are lower case, values printable ASCII
    /// without spaces at the ends. S3 allows 2 KiB of names and values together.
    pub metadata: BTreeMap<String, String>,
    /// `Content-Type`; without it the server has its own default.
    pub content_type: Option<String>,
}

/// Under which condition a write takes effect. Not every server honours it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    #[default]
    Always,
    /// Only if the key holds nothing (`If-None-Match: *`).
    Absent,
    /// Only if the object has this ETag, as the server gave it (`If-Match`).
    Matches(String),
}

impl ObjectOptions {
    pub(crate) fn write_to(&self, headers: &mut HeaderMap) -> Result<()> {
        self.write.write_to(headers)?;
        if let Some(content_type) = &self.content_type {
            insert(headers, "content-type", content_type)?;
        }
        for (name, value) in &self.metadata {
            insert(headers, &["x-amz-meta-", name].concat(), value)?;
        }
        Ok(())
    }
}

impl WriteOptions {
    pub(crate) fn write_to(&self, headers: &mut HeaderMap) -> Result<()> {
        let bucket_key = self.bucket_key.map(|used| if used { "true" } else { "false" });
        let tags = self.tags();
        for (name, value) in [
            ("x-amz-server-side-encryption", self.encryption.as_deref()),
            ("x-amz-server-side-encryption-aws-kms-key-id", self.kms_key_id.as_deref()),
            ("x-amz-server-side-encryption-bucket-key-enabled", bucket_key),
            ("x-amz-storage-class", self.storage_class.as_deref()),
            ("x-amz-acl", self.acl.as_deref()),
            ("x-amz-tagging", tags.as_deref()),
        ] {
            if let Some(value) = value {
                insert(headers, name, value)?;
            }
        }
        Ok(())
    }

    /// As a query string, which is the form that the header has.
    fn tags(&self) -> Option<String> {
        let mut text = String::new();
        for (key, value) in &self.tags {
            if !text.is_empty() {
                text.push('&');
            }
            append_value(&mut text, key.as_bytes());
            text.push('=');
            append_value(&mut text, value.as_bytes());
        }
        (!text.is_empty()).then_some(text)
    }
}

impl Condition {
    pub(crate) fn write_to(&self, headers: &mut HeaderMap) -> Result<()> {
        match self {
            Self::Always => Ok(()),
            Self::Absent => insert(headers, "if-none-match", "*"),
            Self::Matches(etag) => insert(headers, "if-match", etag),
        }
    }
}

/// Adds a header, or says which one cannot be sent. Bytes beyond ASCII are refused: servers
/// disagree about them, and the signature would too.
pub(crate) fn insert(headers: &mut HeaderMap, name: &str, value: &str) -> Result<()> {
    let invalid = |reason: &str| Error::Invalid {
        what: format!("{:?}", name.chars().take(100).collect::<String>()),
        reason: reason.to_owned(),
    };
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid("its name is odd"))?;
    if !value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err(invalid("its value is not printable ASCII"));
    }
    if value.trim_matches(' ') != value {
        return Err(invalid("its value begins or ends with a space, which HTTP takes away"));
    }
    let value = HeaderValue::from_str(value).map_err(|_| invalid("its value is odd"))?;
    if headers.insert(name, value).is_some() {
        return Err(invalid("it is there twice"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_headers() {
        let options = ObjectOptions {
            write: WriteOptions {
                encryption: Some("aws:kms".to_owned()),
                bucket_key: Some(true),
                tags: [("team a", "x&y"), ("b", "")]
                    .map(|(k, v)| (k.to_owned(), v.to_owned()))
                    .into(),
                ..WriteOptions::default()
            },
            metadata: [("owner".to_owned(), "hdfs".to_owned())].into(),
            content_type: None,
        };
        let mut headers = HeaderMap::new();
        options.write_to(&mut headers).unwrap();
        assert_eq!(headers["x-amz-tagging"], "b=&team%20a=x%26y");
        assert_eq!(headers["x-amz-server-side-encryption-bucket-key-enabled"], "true");
        assert_eq!(headers["x-amz-meta-owner"], "hdfs");
        assert_eq!(headers.len(), 4);
    }

    #[test]
    fn what_would_not_arrive_is_refused_by_name() {
        for value in ["é", "a\nb", " a", "a "] {
            let metadata = [("owner".to_owned(), value.to_owned())].into();
            let options = ObjectOptions { metadata, ..ObjectOptions::default() };
            let error = options.write_to(&mut HeaderMap::new()).unwrap_err();
            assert!(error.to_string().contains("x-amz-meta-owner"), "{error}");
        }
    }
}
