//! Where a bucket is: endpoint, addressing, and the path of a key on the wire.

use crate::encoding::append_key;
use crate::error::{Error, Result};

/// Where the bucket's name stands in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// In the path: `https://host/bucket/key`.
    Path,
    /// In the host name: `https://bucket.host/key`.
    Virtual,
}

/// An HTTP server: scheme, host, port and a path in front of all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub tls: bool,
    /// Without brackets, also for IPv6.
    pub host: String,
    pub port: u16,
    /// Empty, or begins with `/` and does not end with it.
    pub base_path: String,
}

impl Endpoint {
    /// Reads `http://host[:port][/path]`. `setting` names the culprit in the error.
    pub fn parse(url: &str, setting: &str) -> Result<Self> {
        let wrong = |reason: &str| Error::Configuration {
            setting: setting.to_owned(),
            reason: format!("{reason}; an endpoint looks like https://host or http://host:9000"),
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("there is no scheme"))?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(wrong("the scheme is neither http nor https")),
        };
        if rest.contains(['?', '#', '@', ' ']) {
            return Err(wrong("only scheme, host, port and path are allowed"));
        }
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("it has characters that no URL has"));
        }
        let (authority, path) = rest.split_once('/').map_or((rest, ""), |(a, p)| (a, p));
        let (host, port) = split_authority(authority).ok_or_else(|| wrong("the port is wrong"))?;
        if host.is_empty() {
            return Err(wrong("there is no host"));
        }
        let path = path.trim_end_matches('/');
        let base_path = if path.is_empty() { String::new() } else { format!("/{path}") };
        let port = port.unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { tls, host: host.to_ascii_lowercase(), port, base_path })
    }

    /// The endpoint of AWS in `region`.
    pub fn of_aws(region: &str) -> Self {
        let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let host = format!("s3.{region}.{suffix}");
        Self { tls: true, host, port: 443, base_path: String::new() }
    }

    /// Whether this is AWS itself rather than a server that speaks like it.
    pub fn is_aws(&self) -> bool {
        self.host.ends_with(".amazonaws.com") || self.host.ends_with(".amazonaws.com.cn")
    }

    /// The value of the `Host` header: a default port is left out, as HTTP clients do.
    pub fn authority(&self) -> String {
        let host = bracketed(&self.host);
        let default = if self.tls { 443 } else { 80 };
        if self.port == default { host } else { format!("{host}:{}", self.port) }
    }

    /// `host:port` for a CONNECT and for messages.
    pub fn host_and_port(&self) -> String {
        format!("{}:{}", bracketed(&self.host), self.port)
    }
}

/// A bucket at an endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The server to connect to; with virtual addressing its host begins with the bucket.
    pub endpoint: Endpoint,
    /// What stands before every key's path, without a slash at its end.
    root: String,
    pub bucket: String,
}

impl Place {
    pub fn new(endpoint: Endpoint, addressing: Option<Addressing>, bucket: &str) -> Result<Self> {
        check_bucket(bucket)?;
        let addressing = addressing.unwrap_or_else(|| fitting(&endpoint, bucket));
        let mut endpoint = endpoint;
        let mut root = endpoint.base_path.clone();
        match addressing {
            Addressing::Path => {
                root.push('/');
                append_key(&mut root, bucket.as_bytes());
            }
            Addressing::Virtual => endpoint.host = format!("{bucket}.{}", endpoint.host),
        }
        Ok(Self { endpoint, root, bucket: bucket.to_owned() })
    }

    /// The path of a key, or of the bucket itself, percent-encoded once.
    pub fn path(&self, key: Option<&[u8]>) -> String {
        let mut path = String::with_capacity(self.root.len() + 1 + key.map_or(0, <[u8]>::len));
        path.push_str(&self.root);
        if let Some(key) = key {
            path.push('/');
            append_key(&mut path, key);
        }
        if path.is_empty() {
            path.push('/');
        }
        path
    }
}

/// AWS wants virtual addressing, but its certificate does not cover a bucket with dots.
fn fitting(endpoint: &Endpoint, bucket: &str) -> Addressing {
    let label = bucket.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if endpoint.is_aws() && label { Addressing::Virtual } else { Addressing::Path }
}

/// Names are for the server to judge; this only keeps out what would name something else.
fn check_bucket(bucket: &str) -> Result<()> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if bucket.is_empty() || bucket.starts_with('.') || !bucket.bytes().all(plain) {
        return Err(Error::Configuration {
            setting: format!("bucket {bucket:?}"),
            reason: "a bucket's name has letters, digits, '-', '.' and '_'".to_owned(),
        });
    }
    Ok(())
}

/// Splits `host`, `host:port`, `[v6]` and `[v6]:port`; `None` if the port is no number.
pub(crate) fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => Some((host, Some(port.parse().ok()?))),
        None => Some((authority, None)),
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Endpoint {
        Endpoint::parse(url, "endpoint").unwrap()
    }

    #[test]
    fn endpoints_as_people_write_them() {
        let plain = parse("http://127.0.0.1:9000/");
        assert_eq!(plain.authority(), "127.0.0.1:9000");
        assert_eq!(parse("https://S3.Example.org").authority(), "s3.example.org");
        assert_eq!(parse("https://h:443/a/b/").base_path, "/a/b");
        assert_eq!(parse("http://[::1]:80").authority(), "[::1]");
        assert_eq!(parse("http://[::1]").host_and_port(), "[::1]:80");
        for wrong in ["localhost:9000", "ftp://h", "http://", "http://h:x", "http://u:p@h", "h"] {
            assert!(Endpoint::parse(wrong, "endpoint").is_err(), "{wrong}");
        }
    }

    /// A line break in a proxy's host came to stand in the request for the tunnel.
    #[test]
    fn an_endpoint_has_nothing_that_a_header_cannot_carry() {
        for wrong in ["http://h\u{5}", "http://h\r\nX: y", "http://h/a\tb", "http://\u{e9}"] {
            assert!(Endpoint::parse(wrong, "endpoint").is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn keys_keep_their_dots_and_slashes() {
        let place = Place::new(parse("http://h:9000"), None, "bucket").unwrap();
        assert_eq!(place.path(Some(b"a//b/../c/./ d")), "/bucket/a//b/../c/./%20d");
        assert_eq!(place.path(Some(b"/lead")), "/bucket//lead");
        assert_eq!(place.path(None), "/bucket");
    }

    #[test]
    fn aws_is_addressed_by_host_name() {
        let place = Place::new(Endpoint::of_aws("eu-west-1"), None, "my-bucket").unwrap();
        assert_eq!(place.endpoint.authority(), "my-bucket.s3.eu-west-1.amazonaws.com");
        assert_eq!(place.path(None), "/");
        let dotted = Place::new(Endpoint::of_aws("cn-north-1"), None, "my.bucket").unwrap();
        assert_eq!(dotted.endpoint.authority(), "s3.cn-north-1.amazonaws.com.cn");
        assert_eq!(dotted.path(Some(b"k")), "/my.bucket/k");
        assert!(Place::new(Endpoint::of_aws("r"), None, "a/b").is_err());
    }
}
