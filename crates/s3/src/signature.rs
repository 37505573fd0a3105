//! AWS Signature Version 4 for S3, in a header or in the query string.
//!
//! Payloads are never hashed (`UNSIGNED-PAYLOAD`): a SHA-256 of every byte costs more than all the
//! rest of a transfer, and the CRC32C in a signed header protects the body against accidents.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, header};
use ring::{digest, hmac};
use secrecy::{ExposeSecret, SecretString};

use crate::encoding::{append_hex, encoded_value};
use crate::error::{Error, Result};

/// Who signs. The key derived from the secret is kept for the day that it holds.
#[derive(Debug)]
pub(crate) struct Identity {
    access_key_id: String,
    secret_access_key: SecretString,
    session_token: Option<SecretString>,
    /// The key of one day and region.
    key: Mutex<Option<(i64, String, hmac::Key)>>,
}

impl Identity {
    pub fn new(id: String, secret: SecretString, token: Option<SecretString>) -> Self {
        let key = Mutex::new(None);
        Self { access_key_id: id, secret_access_key: secret, session_token: token, key }
    }

    /// Whether it has a session token, and so an end.
    pub fn is_temporary(&self) -> bool {
        self.session_token.is_some()
    }

    fn key(&self, scope: &Scope<'_>) -> hmac::Key {
        let day = scope.moment.day();
        let mut cached = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((held_day, region, key)) = cached.as_ref()
            && *held_day == day
            && region == scope.region
        {
            return key.clone();
        }
        let secret = format!("AWS4{}", self.secret_access_key.expose_secret());
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        for step in [scope.moment.date().as_str(), scope.region, "s3", "aws4_request"] {
            let tag = hmac::sign(&key, step.as_bytes());
            key = hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref());
        }
        *cached = Some((day, scope.region.to_owned(), key.clone()));
        key
    }
}

/// A time in whole seconds since 1970, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(pub i64);

impl Moment {
    /// Now, by this machine's clock and `ahead_seconds` later.
    pub fn now(ahead_seconds: i64) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_secs()).unwrap_or(i64::MAX).saturating_add(ahead_seconds))
    }

    fn day(self) -> i64 {
        self.0.div_euclid(86_400)
    }

    /// `YYYYMMDD`.
    fn date(self) -> String {
        let (year, month, day) = civil(self.day());
        let mut text = String::with_capacity("YYYYMMDDTHHMMSSZ".len());
        // Writing to a string cannot fail.
        let _ = write!(text, "{year:04}{month:02}{day:02}");
        text
    }

    /// `YYYYMMDDTHHMMSSZ`.
    fn date_time(self) -> String {
        let second = self.0.rem_euclid(86_400);
        let mut text = self.date();
        // Writing to a string cannot fail.
        let _ = write!(text, "T{:02}{:02}{:02}Z", second / 3600, second / 60 % 60, second % 60);
        text
    }
}

/// When and where a signature holds.
pub(crate) struct Scope<'a> {
    pub moment: Moment,
    pub region: &'a str,
}

impl Scope<'_> {
    fn text(&self) -> String {
        [self.moment.date().as_str(), self.region, "s3/aws4_request"].join("/")
    }
}

/// A request before it is signed. Every header in it will be signed.
pub(crate) struct Unsigned<'a> {
    pub method: &'a http::Method,
    /// Percent-encoded once, as it goes on the wire.
    pub path: &'a str,
    /// Names and values, not yet encoded.
    pub query: Vec<(&'a str, &'a str)>,
    /// Among them `host`.
    pub headers: &'a mut HeaderMap,
}

/// Signs in the query string: the server refuses the request once `lifetime` has passed. Returns
/// the whole query string.
pub(crate) fn sign_query(
    request: Unsigned<'_>,
    identity: &Identity,
    scope: &Scope<'_>,
    lifetime: Duration,
) -> String {
    let (signed, canonical) = canonical_headers(request.headers);
    let credential = [identity.access_key_id.as_str(), &scope.text()].join("/");
    let date = scope.moment.date_time();
    let lifetime = lifetime.as_secs().clamp(1, 604_800).to_string();
    let mut query = request.query;
    query.extend([
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
        ("X-Amz-Credential", credential.as_str()),
        ("X-Amz-Date", date.as_str()),
        ("X-Amz-Expires", lifetime.as_str()),
        ("X-Amz-SignedHeaders", signed.as_str()),
    ]);
    if let Some(token) = &identity.session_token {
        query.push(("X-Amz-Security-Token", token.expose_secret()));
    }
    let mut query = query_string(query);
    let text =
        canonical_request(request.method, request.path, &query, &canonical, &signed, UNSIGNED);
    query.push_str("&X-Amz-Signature=");
    append_hex(&mut query, &signature(&text, identity, scope));
    query
}

/// Signs in the `Authorization` header, for as long as the server allows. Returns the query string.
pub(crate) fn sign_header(
    request: Unsigned<'_>,
    identity: &Identity,
    scope: &Scope<'_>,
) -> Result<String> {
    let headers = request.headers;
    headers.insert("x-amz-date", value(&scope.moment.date_time())?);
    headers.entry("x-amz-content-sha256").or_insert(HeaderValue::from_static(UNSIGNED));
    if let Some(token) = &identity.session_token {
        let mut token = value(token.expose_secret())?;
        token.set_sensitive(true);
        headers.insert("x-amz-security-token", token);
    }
    let payload = headers.get("x-amz-content-sha256").and_then(|value| value.to_str().ok());
    let payload = payload.unwrap_or(UNSIGNED).to_owned();
    let (signed, canonical) = canonical_headers(headers);
    let query = query_string(request.query);
    let text =
        canonical_request(request.method, request.path, &query, &canonical, &signed, &payload);
    let mut authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{},SignedHeaders={signed},Signature=",
        identity.access_key_id,
        scope.text()
    );
    append_hex(&mut authorization, &signature(&text, identity, scope));
    let mut authorization = value(&authorization)?;
    authorization.set_sensitive(true);
    headers.insert(header::AUTHORIZATION, authorization);
    Ok(query)
}

/// Encodes and sorts, as the canonical request wants it; the wire gets the same text.
pub(crate) fn query_string(query: Vec<(&str, &str)>) -> String {
    let encode = |(name, value)| (encoded_value(name), encoded_value(value));
    let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = query.into_iter().map(encode).collect();
    pairs.sort_unstable();
    let bytes: usize = pairs.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let mut text = String::with_capacity(bytes + SIGNATURE_BYTES);
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(&name);
        text.push('=');
        text.push_str(&value);
    }
    text
}

/// `&X-Amz-Signature=` and 64 digits.
const SIGNATURE_BYTES: usize = 81;
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// The names joined by `;`, and the block of `name:value` lines.
fn canonical_headers(headers: &HeaderMap) -> (String, String) {
    let mut sorted: Vec<(&str, &HeaderValue)> =
        headers.iter().map(|(name, value)| (name.as_str(), value)).collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    let bytes = |(name, value): &(&str, &HeaderValue)| name.len() + value.len() + 2;
    let mut lines = String::with_capacity(sorted.iter().map(bytes).sum());
    let mut names = String::with_capacity(lines.capacity());
    for (name, value) in sorted {
        if !names.is_empty() {
            names.push(';');
        }
        names.push_str(name);
        lines.push_str(name);
        lines.push(':');
        let value = value.to_str().unwrap_or_default();
        for (index, word) in value.split(' ').filter(|word| !word.is_empty()).enumerate() {
            if index > 0 {
                lines.push(' ');
            }
            lines.push_str(word);
        }
        lines.push('\n');
    }
    (names, lines)
}

fn canonical_request(
    method: &http::Method,
    path: &str,
    query: &str,
    headers: &str,
    signed: &str,
    payload: &str,
) -> String {
    [method.as_str(), path, query, headers, signed, payload].join("\n")
}

fn signature(canonical: &str, identity: &Identity, scope: &Scope<'_>) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, canonical.as_bytes());
    let mut digits = String::with_capacity(64);
    append_hex(&mut digits, hash.as_ref());
    let text = ["AWS4-HMAC-SHA256", &scope.moment.date_time(), &scope.text(), &digits].join("\n");
    let tag = hmac::sign(&identity.key(scope), text.as_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(tag.as_ref());
    bytes
}

fn value(text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(|_| Error::Credentials {
        reason: "the access key or session token has characters that a header cannot carry"
            .to_owned(),
        expired: false,
    })
}

/// Year, month and day of a day counted from 1970-01-01 (proleptic Gregorian calendar). Eras of
/// 400 years that begin on 1 March make leap days fall at the end of a year.
fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests;
