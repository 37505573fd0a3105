//! Fetching the newest image from a NameNode, as a standby does.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use crate::error::Error;
use crate::md5::{Md5, Summing};

const HEAD_BYTES_MAX: u64 = 64 << 10;
const BUFFER_BYTES: usize = 256 << 10;

/// An image that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// Its name at the NameNode: `fsimage_` and the transaction.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its sum; the NameNode's own, if it told one, was found to be the same.
    pub md5: Md5,
}

/// Writes the newest image that the NameNode has saved to a file. `address` is `HOST:PORT` of its
/// web interface (`dfs.namenode.http-address`); a standby has it too, and less to do. The NameNode
/// reads its disk for it and holds no lock; `dfs.image.transfer.bandwidthPerSec` bounds it.
///
/// Plain HTTP without authentication alone. Where Kerberos or TLS guards the interface, the file is
/// to be had by `hdfs dfsadmin -fetchImage`.
///
/// One of more than `bytes_max` bytes is refused before the first of them.
///
/// # Errors
/// [`Error::Transfer`], [`Error::NoRoom`], [`Error::Md5`], or [`Error::Spill`] when the file cannot be written. What
/// was written of it then stays.
pub fn download(
    address: &str,
    into: &Path,
    bytes_max: u64,
    timeout: Duration,
) -> Result<Download, Error> {
    let failed = |what: String| Error::Transfer { address: address.to_owned(), what };
    let lost = |error: io::Error| failed(error.to_string());
    let mut stream = connect(address, timeout).map_err(lost)?;
    let request = format!(
        "GET /imagetransfer?getimage=1&txid=latest HTTP/1.1\r\nHost: {address}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).map_err(lost)?;
    let mut input = BufReader::with_capacity(BUFFER_BYTES, stream);
    let head = Head::read(&mut input).map_err(lost)?;
    if head.status != 200 {
        return Err(failed(head.refusal()));
    }
    let Some(length) = head.length else {
        return Err(failed("it does not say how long its image is".to_owned()));
    };
    if length > bytes_max {
        return Err(Error::NoRoom { bytes: length, bytes_max });
    }
    let spill = |source| Error::Spill { directory: into.to_owned(), source };
    let mut file = File::create(into).map_err(spill)?;
    let (mut missing, mut summing) = (length, Summing::default());
    while missing > 0 {
        let ready = input.fill_buf().map_err(lost)?;
        if ready.is_empty() {
            return Err(failed(format!("it ended {missing} bytes early")));
        }
        let some = usize::try_from(missing).map_or(ready.len(), |all| all.min(ready.len()));
        summing.take(&ready[..some]);
        file.write_all(&ready[..some]).map_err(spill)?;
        input.consume(some);
        missing -= some as u64;
    }
    file.sync_all().map_err(spill)?;
    let md5 = summing.sum();
    if let Some(expected) = head.md5 {
        Md5::parse(&expected)?.check(&md5)?;
    }
    Ok(Download { name: head.name, bytes: length, md5 })
}

fn connect(address: &str, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for one in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&one, timeout) {
            Ok(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// What stands before the image.
#[derive(Debug, Default)]
struct Head {
    status: u16,
    status_line: String,
    length: Option<u64>,
    md5: Option<String>,
    name: String,
}

impl Head {
    fn read(input: &mut impl BufRead) -> io::Result<Self> {
        let mut lines = input.take(HEAD_BYTES_MAX);
        let mut head = Self { status_line: line(&mut lines)?, ..Self::default() };
        let status = head.status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        head.status = status.unwrap_or(0);
        loop {
            let line = line(&mut lines)?;
            if line.is_empty() {
                return Ok(head);
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => head.length = value.parse().ok(),
                "x-md5-digest" => head.md5 = Some(value.to_owned()),
                "x-image-edits-name" => value.clone_into(&mut head.name),
                _ => {}
            }
        }
    }

    fn refusal(&self) -> String {
        match self.status {
            401 | 403 => format!(
                "{} (it wants to know who asks: fetch the image by hdfs dfsadmin -fetchImage)",
                self.status_line
            ),
            _ => self.status_line.clone(),
        }
    }
}

fn line(input: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    input.read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "no whole answer came"));
    }
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}
