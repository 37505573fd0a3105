//! The NameNode's own settings, from its web server: what it keeps and what it rounds.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::Client;
use crate::configuration::Configuration;
use crate::error::Error;

const WEB_PORT: u16 = 9870;
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

impl Client {
    /// The settings that the active NameNode runs with, for example
    /// `dfs.namenode.accesstime.precision` and `dfs.namenode.num.extra.edits.retained`.
    ///
    /// They come from `/conf` of its web server (`dfs.namenode.http-address`, else port 9870 of
    /// the same host), unencrypted: a cluster may keep it closed, so take a failure for "unknown".
    ///
    /// # Errors
    /// [`Error::Connection`], [`Error::Denied`], [`Error::Unsupported`], [`Error::InvalidReply`].
    pub async fn server_configuration(&self) -> Result<Configuration, Error> {
        let address = self.web_address();
        let answer = timeout(PATIENCE, get(&address, "/conf?format=xml")).await;
        let answer = answer
            .map_err(|_| Error::connection(&address, format!("no answer within {PATIENCE:?}")))??;
        let body = body(&answer, &address)?;
        let mut configuration = Configuration::new();
        let read = configuration.add_xml(body);
        read.map_err(|message| Error::invalid_reply(&address, message))?;
        Ok(configuration)
    }

    fn web_address(&self) -> String {
        let (_, index) = self.position();
        let Some(node) = self.cluster().namenodes.get(index) else { return String::new() };
        match &node.http_address {
            // A server that listens everywhere says so instead of its name.
            Some(address) => match address.strip_prefix("0.0.0.0:") {
                Some(port) => format!("{}:{port}", node.host),
                None => address.clone(),
            },
            None => format!("{}:{WEB_PORT}", node.host),
        }
    }
}

async fn get(address: &str, path: &str) -> Result<Vec<u8>, Error> {
    let told = |error: std::io::Error| Error::connection(address, error);
    let mut stream = TcpStream::connect(address).await.map_err(told)?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(told)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await.map_err(told)?;
    Ok(answer)
}

pub(crate) fn body<'a>(answer: &'a [u8], address: &str) -> Result<&'a str, Error> {
    let text = std::str::from_utf8(answer)
        .map_err(|_| Error::invalid_reply(address, "an answer that is not UTF-8"))?;
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or_else(|| Error::invalid_reply(address, "no HTTP answer"))?;
    match head.split_whitespace().nth(1) {
        Some("200") => Ok(body),
        Some(status @ ("401" | "403")) => {
            Err(Error::Denied { method: "/conf", message: format!("{address}: {status}") })
        }
        status => {
            let status = status.unwrap_or("nothing");
            Err(Error::Unsupported { what: format!("/conf of {address}: it answers {status}") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn answers_by_their_status() {
        let cases: [(&[u8], Result<&str, ErrorKind>); 6] = [
            (b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n<x/>", Ok("<x/>")),
            (b"HTTP/1.1 401 No\r\n\r\n", Err(ErrorKind::Denied)),
            (b"HTTP/1.1 404 No\r\n\r\n", Err(ErrorKind::Unsupported)),
            (b"\r\n\r\n", Err(ErrorKind::Unsupported)),
            (b"", Err(ErrorKind::InvalidReply)),
            (b"HTTP/1.1 200 OK\r\n\r\n\xff", Err(ErrorKind::InvalidReply)),
        ];
        for (answer, expected) in cases {
            assert_eq!(body(answer, "nn").map_err(|error| error.kind()), expected);
        }
    }
}
