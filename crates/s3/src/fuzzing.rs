//! What holds for any bytes that a server or a person sends, for the fuzz targets: each function
//! panics where it does not. Not part of what this crate offers.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::checksum::Crc32c;
use crate::clock::parse_date;
use crate::deletion::{Deletion, results};
use crate::encoding::{append_value, decode_listed};
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::listing::{self, is_url_encoded, listed_key};
use crate::multipart::{part_page, upload_page};
use crate::object;
use crate::profile;
use crate::proxy::Proxy;
use crate::refusal::Refusal;
use crate::xml::{Element, append_escaped};

/// Any document: its depth is bounded, and written down it is read as the same.
pub fn xml(bytes: &[u8]) {
    let Ok(element) = Element::parse(bytes) else { return };
    assert!(depth(&element) <= 16);
    let mut written = String::new();
    if write(&element, &mut written) {
        assert_eq!(Element::parse(written.as_bytes()).as_ref(), Ok(&element), "{written}");
    }
    if let Some(decoded) = decode_listed(bytes) {
        assert!(decoded.len() <= bytes.len());
    }
    let mut encoded = String::new();
    append_value(&mut encoded, bytes);
    assert_eq!(decode_listed(encoded.as_bytes()).as_deref(), Some(bytes));
}

fn depth(element: &Element) -> usize {
    1 + element.children.iter().map(depth).max().unwrap_or(0)
}

/// False where XML cannot carry it: a name that is none, NUL.
fn write(element: &Element, into: &mut String) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric();
    if element.name.is_empty() || !element.name.chars().all(plain) || element.text.contains('\0') {
        return false;
    }
    into.push_str(&format!("<{}>", element.name));
    append_escaped(into, &element.text);
    let fits = element.children.iter().all(|child| write(child, into));
    into.push_str(&format!("</{}>", element.name));
    fits
}

/// A server's replies: pages, the results of a batch of removals, refusals.
pub fn replies(bytes: &[u8]) {
    refusal(bytes);
    let Ok(document) = Element::parse(bytes) else { return };
    page(&document);
    let truncated = document.text_of("IsTruncated") == Some("true");
    if let Ok(page) = part_page(&document) {
        assert_eq!(page.parts.len(), document.all("Part").count());
        assert_eq!(page.continuation.is_some(), truncated);
    }
    if let Ok(page) = upload_page(&document) {
        assert_eq!(page.uploads.len(), document.all("Upload").count());
        assert_eq!(page.continuation.is_some(), truncated);
    }
    removals(&document);
}

fn page(document: &Element) {
    let Ok(page) = listing::page(document) else { return };
    assert_eq!(page.objects.len(), document.all("Contents").count());
    assert_eq!(page.prefixes.len(), document.all("CommonPrefixes").count());
    let truncated = document.text_of("IsTruncated") == Some("true");
    assert_eq!(page.continuation.is_some(), truncated, "a page is never taken for the last one");
    let encoded = is_url_encoded(document);
    for object in &page.objects {
        if encoded {
            let mut again = String::new();
            append_value(&mut again, &object.key.bytes);
            let again = listed_key(&again, true).map(|key| key.bytes);
            assert_eq!(again.as_ref(), Ok(&object.key.bytes));
        }
        let replaced = String::from_utf8_lossy(&object.key.bytes).contains('\u{fffd}');
        assert!(encoded || object.key.altered == replaced);
    }
}

/// Nothing is taken for removed unless the reply says so of this very key.
fn removals(document: &Element) {
    let named = |element: &Element| element.text_of("Key").map(|key| key.as_bytes().to_vec());
    let mut keys: Vec<Vec<u8>> = document.children.iter().filter_map(named).collect();
    keys.push(b"somebody else's".to_vec());
    let deletions: Vec<Deletion> = keys
        .into_iter()
        .flat_map(|key| {
            let version = Some("v".to_owned());
            [Deletion { key: key.clone(), version }, Deletion { key, version: None }]
        })
        .collect();
    for (deletion, result) in deletions.iter().zip(results(&deletions, document)) {
        let says = |element: &Element| {
            let version = element.text_of("VersionId").filter(|version| !version.is_empty());
            let missing = matches!(
                element.text_of("Code"),
                Some("NoSuchKey" | "NoSuchVersion" | "NoSuchUpload")
            );
            (element.name == "Deleted" || element.name == "Error" && missing)
                && element.text_of("Key").map(str::as_bytes) == Some(&deletion.key[..])
                && match &deletion.version {
                    Some(asked) => version.is_none_or(|version| version == asked),
                    None => version != Some("v"),
                }
        };
        assert!(result.is_err() || document.children.iter().any(says), "{deletion:?}");
    }
}

/// One short line of printable characters, whatever the server writes.
fn refusal(bytes: &[u8]) {
    let status = 300 + u16::from(bytes.first().copied().unwrap_or(0));
    let Ok(status) = StatusCode::from_u16(status) else { return };
    let error = Refusal {
        operation: "PutObject",
        status,
        headers: &HeaderMap::new(),
        body: bytes,
        region: "us-east-1",
        clock_ahead_seconds: None,
        clock_was_corrected: false,
    }
    .into_error()
    .to_string();
    assert!(error.chars().count() < 1000 && !error.chars().any(char::is_control), "{error:?}");
}

/// What people and their environment say: endpoints, proxies, profiles; and a server's date.
pub fn settings(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _moment = parse_date(text);
    if let Ok(endpoint) = Endpoint::parse(text, "fuzz") {
        let scheme = if endpoint.tls { "https" } else { "http" };
        let url = format!("{scheme}://{}{}", endpoint.authority(), endpoint.base_path);
        assert_eq!(Endpoint::parse(&url, "fuzz").ok().as_ref(), Some(&endpoint), "{url}");
        let host = HeaderValue::from_str(&endpoint.authority());
        assert!(host.is_ok(), "an endpoint fits into a header: {url:?}");
    }
    match Proxy::parse(text, "https_proxy") {
        Ok(proxy) => {
            assert!(!format!("{proxy:?}").contains("Basic"));
            let host = HeaderValue::from_str(&proxy.endpoint.host_and_port());
            assert!(host.is_ok(), "a proxy fits into a header: {text:?}");
        }
        Err(error) => secret_stays_secret(text, &error),
    }
    if let Ok(read) = profile::parsed(text) {
        assert!(read.iter().count() <= text.len() + 1, "a section comes from somewhere");
    }
}

/// No message repeats what stands before the `@`.
fn secret_stays_secret(text: &str, error: &Error) {
    let Some((secret, _)) = text.rsplit_once('@') else { return };
    let password = secret.rsplit_once(':').map_or(secret, |(_, password)| password);
    assert!(password.len() < 8 || !error.to_string().contains(password));
}

/// The headers of an object: lines `name: value`.
pub fn heads(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let Ok(head) = object::head("HeadObject", &headers) else { return };
    let told = headers.get("content-length").and_then(|value| value.to_str().ok());
    assert_eq!(told.and_then(|told| told.parse().ok()), Some(head.content_bytes));
    let ours = |name: &&HeaderName| name.as_str().starts_with("x-amz-meta-");
    let names = headers.keys().filter(ours).count();
    let known = head.metadata.len() + head.metadata_unreadable.len();
    assert!(known >= names, "no metadata is left out without a word");
    let checksum = head.checksums.crc32c.as_deref();
    if let Some((text, sum)) = checksum.and_then(|text| Some((text, Crc32c::from_base64(text)?))) {
        assert_eq!(sum.to_base64(), text);
    }
}
