//! Bare load: the same objects from memory, signed beforehand, over connections that are kept. What
//! it reaches is what the server can take.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use jiff::Timestamp;
use ring::{digest, hmac};

/// Objects above this go in parts of this length.
const PART_BYTES: u64 = 16 << 20;

/// Puts objects of given lengths; the bytes are not those of the files.
#[derive(Debug, Args)]
pub struct Generator {
    /// A line for each object: its length and its key below the prefix.
    #[arg(long)]
    list: PathBuf,
    /// HOST:PORT of the server; keys come from the environment, as AWS's tools take them.
    #[arg(long)]
    address: String,
    #[arg(long)]
    bucket: String,
    #[arg(long)]
    prefix: String,
    #[arg(long)]
    connections: usize,
}

/// One object.
struct Object {
    key: String,
    bytes: u64,
    /// The signed request of an object that goes at once.
    head: String,
}

/// Sends them all.
pub fn run(options: &Generator) -> Result<(), Box<dyn Error>> {
    let signer = Signer::new(options)?;
    let text = fs::read_to_string(&options.list)?;
    let longest = text.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).max();
    let longest = u64::min(longest.unwrap_or(0), PART_BYTES) as usize;
    let mut content = vec![0; longest];
    fastrand::Rng::with_seed(9).fill(&mut content);
    let mut objects = Vec::new();
    for line in text.lines() {
        let (bytes, path) = line.split_once(' ').ok_or("a line without a length")?;
        let (bytes, key) = (bytes.parse()?, format!("{}{path}", options.prefix));
        let head = match bytes <= PART_BYTES {
            true => signer.head("PUT", &key, "", &content[..bytes as usize]),
            false => String::new(),
        };
        objects.push(Object { key, bytes, head });
    }
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..options.connections {
            scope.spawn(|| {
                if let Err(error) = send(&signer, &objects, &next, &content)
                    && let Ok(mut failure) = failure.lock()
                {
                    *failure = Some(error.to_string());
                }
            });
        }
    });
    match failure.into_inner() {
        Ok(None) => Ok(()),
        Ok(Some(error)) => Err(error.into()),
        Err(_) => Err("a connection's thread has died".into()),
    }
}

/// One connection's share.
fn send(
    signer: &Signer,
    objects: &[Object],
    next: &AtomicUsize,
    content: &[u8],
) -> Result<(), Box<dyn Error>> {
    let mut line = Line::open(&signer.address)?;
    while let Some(object) = objects.get(next.fetch_add(1, Ordering::Relaxed)) {
        if object.bytes <= PART_BYTES {
            line.exchange(&object.head, &content[..object.bytes as usize])?;
        } else {
            send_in_parts(signer, &mut line, object, content)?;
        }
    }
    Ok(())
}

fn send_in_parts(
    signer: &Signer,
    line: &mut Line,
    object: &Object,
    content: &[u8],
) -> Result<(), Box<dyn Error>> {
    let key = object.key.as_str();
    let begun = line.exchange(&signer.head("POST", key, "uploads=", b""), b"")?;
    let id = between(&begun, "<UploadId>", "</UploadId>").ok_or("no upload id")?;
    let mut document = "<CompleteMultipartUpload>".to_owned();
    let (mut left, mut number) = (object.bytes, 0);
    while left > 0 {
        number += 1;
        let piece = &content[..left.min(PART_BYTES) as usize];
        let query = format!("partNumber={number}&uploadId={id}");
        let answer = line.exchange(&signer.head("PUT", key, &query, piece), piece)?;
        let etag = between(&answer, "etag: ", "\r\n").ok_or("a part without an ETag")?;
        let crc = STANDARD.encode(crc32c::crc32c(piece).to_be_bytes());
        document.push_str(&format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>\
            <ChecksumCRC32C>{crc}</ChecksumCRC32C></Part>"
        ));
        left -= piece.len() as u64;
    }
    document.push_str("</CompleteMultipartUpload>");
    let head = signer.head("POST", key, &format!("uploadId={id}"), document.as_bytes());
    line.exchange(&head, document.as_bytes())?;
    Ok(())
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(begin)?;
    rest.split_once(end).map(|(found, _)| found)
}

/// A connection.
struct Line {
    reader: BufReader<TcpStream>,
}

impl Line {
    fn open(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    /// Sends a request and gives the whole answer, with the names of headers in small letters.
    fn exchange(&mut self, head: &str, body: &[u8]) -> Result<String, Box<dyn Error>> {
        let stream = self.reader.get_mut();
        if body.len() < 64 << 10 {
            stream.write_all(&[head.as_bytes(), body].concat())?;
        } else {
            stream.write_all(head.as_bytes())?;
            stream.write_all(body)?;
        }
        let mut answer = String::new();
        let (mut length, mut line) = (0, String::new());
        loop {
            line.clear();
            if self.reader.read_line(&mut line)? == 0 {
                return Err("the server has closed the connection".into());
            }
            if line == "\r\n" {
                break;
            }
            let (name, value) = line.split_once(": ").unwrap_or((line.as_str(), ""));
            let name = name.to_ascii_lowercase();
            if name == "content-length" {
                length = value.trim().parse()?;
            }
            answer.push_str(&format!("{name}: {value}"));
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body)?;
        answer.push_str(&String::from_utf8_lossy(&body));
        if answer.starts_with("http/1.1 200") { Ok(answer) } else { Err(answer.into()) }
    }
}

/// Signature Version 4, without a hash of the body.
struct Signer {
    address: String,
    bucket: String,
    access_key: String,
    region: String,
    /// As the signature names it.
    date: String,
    key: hmac::Key,
}

impl Signer {
    fn new(options: &Generator) -> Result<Self, Box<dyn Error>> {
        let (access_key, secret) =
            (std::env::var("AWS_ACCESS_KEY_ID")?, std::env::var("AWS_SECRET_ACCESS_KEY")?);
        let region = std::env::var("AWS_REGION")?;
        let now = Timestamp::try_from(SystemTime::now())?;
        let date = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut key = format!("AWS4{secret}").into_bytes();
        for step in [&date[..8], region.as_str(), "s3", "aws4_request"] {
            let made = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), step.as_bytes());
            key = made.as_ref().to_vec();
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let (address, bucket) = (options.address.clone(), options.bucket.clone());
        Ok(Self { address, bucket, access_key, region, date, key })
    }

    /// The head of a request. Keys and queries hold nothing that had to be encoded.
    fn head(&self, method: &str, key: &str, query: &str, body: &[u8]) -> String {
        let crc = STANDARD.encode(crc32c::crc32c(body).to_be_bytes());
        let mut headers = vec![
            ("host", self.address.clone()),
            ("x-amz-content-sha256", "UNSIGNED-PAYLOAD".to_owned()),
            ("x-amz-date", self.date.clone()),
        ];
        if method == "PUT" {
            headers.insert(1, ("x-amz-checksum-crc32c", crc));
        }
        if query == "uploads=" {
            headers.insert(1, ("x-amz-checksum-algorithm", "CRC32C".to_owned()));
            headers.insert(2, ("x-amz-checksum-type", "FULL_OBJECT".to_owned()));
        }
        headers.sort_unstable();
        let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let path = format!("/{}/{key}", self.bucket);
        let mut canonical = format!("{method}\n{path}\n{query}\n");
        for (name, value) in &headers {
            canonical.push_str(&format!("{name}:{value}\n"));
        }
        canonical.push_str(&format!("\n{names}\nUNSIGNED-PAYLOAD"));
        let scope = format!("{}/{}/s3/aws4_request", &self.date[..8], self.region);
        let hash = hexadecimal(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{hash}", self.date);
        let signature = hexadecimal(hmac::sign(&self.key, text.as_bytes()).as_ref());
        let target = if query.is_empty() { path } else { format!("{path}?{query}") };
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        for (name, value) in &headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!(
            "content-length: {}\r\nauthorization: AWS4-HMAC-SHA256 Credential={}/{scope}, \
            SignedHeaders={names}, Signature={signature}\r\n\r\n",
            body.len(),
            self.access_key
        ));
        head
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
