//! A proxy as a company's network has one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::{accept, listen, runtime};
use crate::TestbedError;

/// No request's head is longer.
const HEAD_BYTES: usize = 64 << 10;

/// Tunnels `CONNECT` and forwards requests with an absolute URL.
#[derive(Debug)]
pub struct HttpProxy {
    address: SocketAddr,
    requests: Requests,
    /// Ends every task when it is dropped.
    runtime: Option<Runtime>,
}

type Requests = Arc<Mutex<Vec<String>>>;

impl HttpProxy {
    /// Listens on a free port.
    ///
    /// # Errors
    /// [`TestbedError::Start`].
    pub fn start() -> Result<Self, TestbedError> {
        let runtime = runtime()?;
        let (listener, address) = listen(&runtime)?;
        let requests = Requests::default();
        let seen = requests.clone();
        runtime.spawn(accept(listener, move |stream| serve(stream, seen.clone())));
        Ok(Self { address, requests, runtime: Some(runtime) })
    }

    /// A value for `HTTP_PROXY` or `HTTPS_PROXY`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Method and target of each connection's request, such as `CONNECT localhost:443`.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for HttpProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(mut client: TcpStream, requests: Requests) {
    let Some(head) = read_head(&mut client).await else {
        return;
    };
    let Some((request, rest)) = head.split_once("\r\n") else {
        return;
    };
    let mut words = request.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return;
    };
    let seen = format!("{method} {target}");
    requests.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    let (authority, forwarded) = if method == "CONNECT" {
        (target.to_owned(), None)
    } else {
        let Some(place) = target.strip_prefix("http://") else {
            refuse(&mut client, "400 Bad Request").await;
            return;
        };
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        (authority.to_owned(), Some(origin_form(method, path, rest)))
    };
    let Ok(mut server) = TcpStream::connect(with_port(&authority)).await else {
        refuse(&mut client, "502 Bad Gateway").await;
        return;
    };
    let ready = match forwarded {
        Some(head) => server.write_all(head.as_bytes()).await,
        None => client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await,
    };
    if ready.is_ok() {
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}

/// Up to the empty line, and not a byte more: the rest belongs to the server.
async fn read_head(client: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_BYTES {
        head.push(client.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// The head for the server. A later request on this connection might be for another server, so
/// there is none.
fn origin_form(method: &str, path: &str, rest: &str) -> String {
    let mut head = format!("{method} /{path} HTTP/1.1\r\n");
    for line in rest.lines().filter(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if !matches!(name.as_str(), "connection" | "proxy-connection" | "proxy-authorization") {
            head.push_str(line);
            head.push_str("\r\n");
        }
    }
    head.push_str("Connection: close\r\n\r\n");
    head
}

fn with_port(authority: &str) -> String {
    if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") }
}

async fn refuse(client: &mut TcpStream, status: &str) {
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let _ = client.write_all(answer.as_bytes()).await;
}
