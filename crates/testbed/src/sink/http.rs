//! Requests as they come over a connection.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;

use super::text::decode;

/// A head is not longer.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// The head of a request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    /// Decoded, without the slash before it.
    pub(super) bucket: String,
    /// Decoded; empty for the bucket itself.
    pub(super) key: String,
    query: Vec<(String, String)>,
    /// Names in small letters.
    headers: Vec<(String, String)>,
}

/// What came in a body.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) bytes: u64,
    pub(super) crc32c: u32,
    /// The bytes themselves, where they were wanted.
    pub(super) kept: Vec<u8>,
}

impl Request {
    /// The next one; none once the client has gone.
    pub(super) fn read(reader: &mut impl BufRead) -> Result<Option<Self>> {
        let mut first = Vec::new();
        if !line(reader, &mut first)? {
            return Ok(None);
        }
        let first = String::from_utf8(first).map_err(|_| nonsense("a request line"))?;
        let mut words = first.split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().ok_or_else(|| nonsense("a request line"))?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = path.strip_prefix('/').unwrap_or(path);
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let bucket = decode(bucket).ok_or_else(|| nonsense("a bucket"))?;
        let key = decode(key).ok_or_else(|| nonsense("a key"))?;
        let mut pairs = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value).ok_or_else(|| nonsense("a query"))?;
            pairs.push((name.to_owned(), value));
        }
        let headers = read_headers(reader)?;
        Ok(Some(Self { method, bucket, key, query: pairs, headers }))
    }

    /// A header's value.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// What the client attached to the object, as headers that end their lines: one text, since
    /// there may be millions of them.
    pub(super) fn metadata(&self) -> Box<str> {
        let own = self.headers.iter().filter(|(name, _)| name.starts_with("x-amz-meta-"));
        own.map(|(name, value)| format!("{name}: {value}\r\n")).collect::<String>().into()
    }

    /// A value of the query; empty where only the name stands.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Reads the body to its end; keeps its bytes only where they are `kept`.
    pub(super) fn read_body(
        &self,
        reader: &mut BufReader<&TcpStream>,
        mut stream: &TcpStream,
        kept: bool,
    ) -> Result<Content> {
        if self.header("expect").is_some_and(|what| what.eq_ignore_ascii_case("100-continue")) {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut content = Content::default();
        let length = self.header("content-length").map_or(Ok(0), str::parse);
        let length: u64 = length.map_err(|_| nonsense("a length"))?;
        let hash = self.header("x-amz-content-sha256").unwrap_or_default();
        if self.header("transfer-encoding").is_some() {
            // Nothing more can be read of a connection whose bodies are not understood.
            return Err(nonsense("a transfer encoding"));
        }
        if hash.starts_with("STREAMING-") {
            let mut body = reader.take(length);
            content.read_frames(&mut body, kept)?;
            let rest = body.limit();
            content_end(&mut body, rest)?;
        } else {
            content.read(reader, length, kept)?;
        }
        Ok(content)
    }
}

impl Content {
    fn read(&mut self, reader: &mut impl BufRead, mut left: u64, kept: bool) -> Result<()> {
        while left > 0 {
            let bytes = reader.fill_buf()?;
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.crc32c = crc32c::crc32c_append(self.crc32c, &bytes[..count]);
            if kept {
                self.kept.extend_from_slice(&bytes[..count]);
            }
            reader.consume(count);
            left -= count as u64;
            self.bytes += count as u64;
        }
        Ok(())
    }

    /// The frames of `aws-chunked`: each begins with its length, and a signature at times.
    fn read_frames(&mut self, reader: &mut impl BufRead, kept: bool) -> Result<()> {
        loop {
            let mut head = Vec::new();
            line(reader, &mut head)?;
            let head = String::from_utf8_lossy(&head);
            let length = head.split(';').next().unwrap_or_default();
            let length = u64::from_str_radix(length, 16).map_err(|_| nonsense("a frame"))?;
            if length == 0 {
                return Ok(());
            }
            self.read(reader, length, kept)?;
            line(reader, &mut Vec::new())?;
        }
    }
}

/// Trailers, which are not looked at.
fn content_end(reader: &mut impl BufRead, mut left: u64) -> Result<()> {
    while left > 0 {
        let count = reader.fill_buf()?.len();
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        reader.consume(count);
        left -= count as u64;
    }
    Ok(())
}

fn read_headers(reader: &mut impl BufRead) -> Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let mut text = Vec::new();
        if !line(reader, &mut text)? || headers.len() > 200 {
            return Err(nonsense("a head"));
        }
        if text.is_empty() {
            return Ok(headers);
        }
        let text = String::from_utf8(text).map_err(|_| nonsense("a header"))?;
        let (name, value) = text.split_once(':').ok_or_else(|| nonsense("a header"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// Reads up to the end of the line, which is left out; false at the end of everything.
fn line(reader: &mut impl BufRead, into: &mut Vec<u8>) -> Result<bool> {
    let count = reader.take(HEAD_BYTES_MAX as u64).read_until(b'\n', into)?;
    if count > 0 && into.pop() != Some(b'\n') {
        return Err(nonsense("a line"));
    }
    if into.last() == Some(&b'\r') {
        into.pop();
    }
    Ok(count > 0)
}

fn nonsense(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("{what} is not understood"))
}
