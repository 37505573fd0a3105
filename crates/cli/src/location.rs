//! Where a tree or a set of objects is. URLs are taken byte for byte: nothing is percent-decoded,
//! and a trailing `/` means nothing.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A source or a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A directory or file of a Hadoop file system.
    Hdfs {
        /// `HOST:PORT`, a nameservice, or empty for that of `fs.defaultFS`.
        authority: String,
        /// Begins with `/`, does not end with it unless it is the root.
        path: String,
    },
    /// A directory or file of this machine.
    Local {
        /// Absolute; as it was given, links not followed.
        path: PathBuf,
    },
    /// Objects of a bucket.
    Bucket {
        /// Its name.
        bucket: String,
        /// What all keys begin with, without the slash after it; empty for the whole bucket.
        prefix: String,
    },
}

const FORMS: &str = "write hdfs://HOST:PORT/path, hdfs://NAMESERVICE/path, hdfs:///path, \
                     s3://BUCKET/prefix, file:///path or a path";

/// No path begins with one of these and a colon unless a URL was meant, ours or another tool's.
const SCHEMES: [&str; 15] = [
    "file", "hdfs", "webhdfs", "swebhdfs", "viewfs", "s3", "s3a", "s3n", "gs", "abfs", "abfss",
    "wasb", "ftp", "http", "https",
];

impl Location {
    /// Reads a URL or a path.
    ///
    /// # Errors
    /// What is wrong with it and what to write instead.
    pub fn parse(text: &OsStr) -> Result<Self, String> {
        let bytes = text.as_bytes();
        if bytes.is_empty() {
            return Err(format!("an empty location; {FORMS}"));
        }
        if bytes.contains(&0) {
            return Err("a location cannot hold a zero byte".to_owned());
        }
        let Some((scheme, rest)) = split_scheme(bytes) else {
            return match lone_scheme(bytes) {
                Some(scheme) => Err(format!(
                    "{scheme}: lacks its //; {FORMS}; a local folder of that name is ./{scheme}:…"
                )),
                None => local(bytes),
            };
        };
        match scheme.as_str() {
            "file" => match rest {
                [b'/', ..] => local(rest),
                _ => match rest.strip_prefix(b"localhost/") {
                    Some(_) => local(&rest["localhost".len()..]),
                    None => Err("a file URL names no host: write file:///path".to_owned()),
                },
            },
            "hdfs" => hdfs(utf8(rest)?),
            "s3" | "s3a" => bucket(utf8(rest)?),
            other => Err(format!("{other}:// is not a scheme that Whimbrel speaks; {FORMS}")),
        }
    }

    /// The canonical URL, byte for byte.
    pub fn url(&self) -> OsString {
        match self {
            Self::Hdfs { authority, path } => format!("hdfs://{authority}{path}").into(),
            Self::Local { path } => {
                let mut url = OsString::from("file://");
                url.push(path);
                url
            }
            Self::Bucket { bucket, prefix } if prefix.is_empty() => format!("s3://{bucket}").into(),
            Self::Bucket { bucket, prefix } => format!("s3://{bucket}/{prefix}").into(),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.url().to_string_lossy())
    }
}

/// True if one of two local paths is the other or lies in it, links followed as far as they exist.
pub fn overlap(one: &Path, other: &Path) -> bool {
    let (one, other) = (resolved(one), resolved(other));
    one.starts_with(&other) || other.starts_with(&one)
}

/// The path with the links of its existing part followed, and `.` and `..` taken away.
pub fn resolved(path: &Path) -> PathBuf {
    let path = &std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for ancestor in path.ancestors() {
        if let Ok(real) = ancestor.canonicalize() {
            let rest = path.strip_prefix(ancestor).unwrap_or(Path::new(""));
            return rest.components().fold(real, |mut so_far, component| {
                match component {
                    std::path::Component::ParentDir => {
                        so_far.pop();
                    }
                    std::path::Component::Normal(name) => so_far.push(name),
                    std::path::Component::CurDir
                    | std::path::Component::RootDir
                    | std::path::Component::Prefix(_) => {}
                }
                so_far
            });
        }
    }
    path.to_owned()
}

/// `scheme://rest`, the scheme in lower case.
fn split_scheme(bytes: &[u8]) -> Option<(String, &[u8])> {
    let at = bytes.windows(3).position(|window| window == b"://")?;
    let scheme = std::str::from_utf8(&bytes[..at]).ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    if scheme.is_empty() || !scheme.chars().all(plain) {
        return None;
    }
    Some((scheme.to_ascii_lowercase(), &bytes[at + 3..]))
}

/// The scheme of what was meant to be a URL: as a path it would be a folder that nobody wants.
fn lone_scheme(bytes: &[u8]) -> Option<&'static str> {
    let at = bytes.iter().position(|byte| *byte == b':')?;
    SCHEMES.into_iter().find(|scheme| bytes[..at].eq_ignore_ascii_case(scheme.as_bytes()))
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "this URL is not UTF-8".to_owned())
}

fn local(bytes: &[u8]) -> Result<Location, String> {
    let given = PathBuf::from(OsString::from_vec(bytes.to_vec()));
    let absolute = std::path::absolute(&given).map_err(|error| {
        format!("the path {} cannot be made absolute: {error}", given.display())
    })?;
    // Collected anew: a trailing slash and single dots go, two dots and links stay.
    Ok(Location::Local { path: absolute.components().collect() })
}

fn hdfs(rest: &str) -> Result<Location, String> {
    if rest.is_empty() {
        return Err(format!("the URL names neither a cluster nor a path; {FORMS}"));
    }
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    check_authority(authority)?;
    let components: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    if let Some(dots) = components.iter().find(|name| matches!(**name, "." | "..")) {
        return Err(format!("HDFS has no {dots:?} in paths; write the path without it"));
    }
    Ok(Location::Hdfs {
        authority: authority.to_owned(),
        path: format!("/{}", components.join("/")),
    })
}

fn check_authority(authority: &str) -> Result<(), String> {
    if authority.contains('@') {
        return Err(
            "the URL names a user; set HADOOP_USER_NAME instead and leave user@ out".to_owned()
        );
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => {
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(format!("[{host}] is no IPv6 address"));
            }
            if !rest.is_empty() && !rest.starts_with(':') {
                return Err(format!("{authority:?} names no NameNode; {FORMS}"));
            }
            ("", rest.strip_prefix(':'))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if !host.chars().all(allowed) || authority.starts_with(':') {
        return Err(format!("{authority:?} names no NameNode; {FORMS}"));
    }
    match port.map(|port| (port, port.parse::<u16>())) {
        None => Ok(()),
        Some((digits, Ok(1..))) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
        Some((digits, _)) => Err(format!("{digits:?} is no port; a port is 1 to 65535")),
    }
}

fn bucket(rest: &str) -> Result<Location, String> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if bucket.is_empty() {
        return Err("the URL names no bucket; write s3://BUCKET/prefix".to_owned());
    }
    if bucket.contains(':') || bucket.contains('@') {
        // It may hold a secret: it is not repeated.
        return Err("a bucket's name has no ':' and no '@'; a server is named by \
             AWS_ENDPOINT_URL_S3 or --source-endpoint and --target-endpoint, credentials by the \
             AWS settings"
            .to_owned());
    }
    if !bucket.chars().all(allowed) || bucket.starts_with('.') {
        return Err(format!(
            "{bucket:?} is no bucket; its name has letters, digits, '-', '.' and '_'"
        ));
    }
    let prefix = prefix.trim_end_matches('/');
    if prefix.len() > 1023 {
        return Err("the prefix is longer than 1,023 bytes, so no key could follow".to_owned());
    }
    Ok(Location::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Option<String> {
        Location::parse(OsStr::new(text)).ok().map(|location| location.to_string())
    }

    #[test]
    fn urls() {
        for (text, expected) in [
            ("hdfs://nn:8020/data", "hdfs://nn:8020/data"),
            ("hdfs://nn:8020/data/", "hdfs://nn:8020/data"),
            ("hdfs://nn:8020", "hdfs://nn:8020/"),
            ("hdfs://nn:8020//a//b/", "hdfs://nn:8020/a/b"),
            ("hdfs:///a%20b", "hdfs:///a%20b"),
            ("hdfs://name_service-1/a", "hdfs://name_service-1/a"),
            ("hdfs://[::1]:8020/a", "hdfs://[::1]:8020/a"),
            ("HDFS://nn/a", "hdfs://nn/a"),
            ("s3://b", "s3://b"),
            ("s3://b/", "s3://b"),
            ("s3://b/p/q/", "s3://b/p/q"),
            ("s3://b//p", "s3://b//p"),
            ("s3://b/a b%2Fc?d#e", "s3://b/a b%2Fc?d#e"),
            ("s3a://b/p", "s3://b/p"),
            ("file:///a/b/", "file:///a/b"),
            ("file:///a/./b", "file:///a/b"),
            ("file://localhost/a", "file:///a"),
            ("/a//b/", "file:///a/b"),
            ("/a%20b", "file:///a%20b"),
            ("/", "file:///"),
            ("/a:b", "file:///a:b"),
            ("/s3:/b", "file:///s3:/b"),
        ] {
            assert_eq!(url(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "ftp://h/a",
            "s3n://b/p",
            "hdfs://",
            "hdfs://nn:port/a",
            "hdfs://nn:0/a",
            "hdfs://nn:70000/a",
            "hdfs://nn:/a",
            "hdfs://me@nn:8020/a",
            "hdfs://:8020/a",
            "hdfs://[::x]:8020/a",
            "hdfs://[::1]8020/a",
            "hdfs://nn/a/../b",
            "s3://",
            "s3:///p",
            "s3://key:secret@b/p",
            "s3://b:9000/p",
            "file://host/a",
            "file:/a",
            "s3:/b/p",
            "s3:b",
            "S3A:/b/p",
            "s3:/b/http://x",
            "hdfs:/a",
            "webhdfs:/a",
        ] {
            assert_eq!(url(text), None, "{text}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8() {
        let local = Location::parse(OsStr::from_bytes(b"/a\xff")).unwrap();
        assert_eq!(local.url().as_bytes(), b"file:///a\xff");
        assert!(Location::parse(OsStr::from_bytes(b"s3://b/\xff")).is_err());
    }

    #[test]
    fn a_relative_path_is_made_absolute() {
        let here = std::env::current_dir().unwrap();
        for (text, path) in [("a/b/", "a/b"), ("./s3:/b", "s3:/b"), ("day:1/a", "day:1/a")] {
            let expected = Location::Local { path: here.join(path) };
            assert_eq!(Location::parse(OsStr::new(text)), Ok(expected), "{text}");
        }
    }

    #[test]
    fn overlapping_paths() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("real/inside")).unwrap();
        std::os::unix::fs::symlink(at("real"), at("link")).unwrap();
        for (one, other, expected) in [
            ("real", "real", true),
            ("real", "real/new/deep", true),
            ("real/inside", "real", true),
            ("real", "really", false),
            ("real", "link/new", true),
            ("real/inside", "link/inside/../other", false),
            ("real/inside", "missing/../real/inside", true),
        ] {
            assert_eq!(overlap(&at(one), &at(other)), expected, "{one} {other}");
        }
    }
}
