//! HTTP/1.1 connections that are used again, and one exchange on one of them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;

use crate::body::Body;
use crate::connection::{Connected, Connector};
use crate::error::{Error, Result};
use crate::socket::PeerGone;

/// How often connections were made and used since the client began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionCounts {
    /// Connections that were opened.
    pub opened: u64,
    /// Requests that were written to one of them.
    pub requests: u64,
    /// Bytes of bodies that left, those of failed requests too.
    pub body_bytes: u64,
}

/// The connections to one endpoint.
pub(crate) struct Pool {
    pub connector: Connector,
    idle: Mutex<VecDeque<(Instant, Link)>>,
    idle_limit: Duration,
    idle_max: usize,
    opened: AtomicU64,
    requests: AtomicU64,
    body_bytes: Arc<AtomicU64>,
}

/// A connection whose reply was read is ready as soon as its task has run.
const READY_LIMIT: Duration = Duration::from_millis(100);

/// How often a request that is under way is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One connection. Dropping it closes it at once.
pub(crate) struct Link {
    sender: http1::SendRequest<Body>,
    task: AbortHandle,
    peer_gone: PeerGone,
    used: bool,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What became of a request that was handed to a connection.
pub(crate) enum Sent {
    /// The head of a reply.
    Reply(Box<Reply>),
    /// The connection was gone before anything was written; here is the body back.
    Unsent(Body),
    /// It was written, at least in part.
    Failed(Error),
}

/// The head of a reply and what is needed to read the rest.
pub(crate) struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    link: Link,
    /// When the whole exchange must be over, and how long that was.
    deadline: tokio::time::Instant,
    limit: Duration,
}

impl Pool {
    pub fn new(connector: Connector, idle_limit: Duration, idle_max: usize) -> Self {
        Self {
            connector,
            idle: Mutex::new(VecDeque::new()),
            idle_limit,
            idle_max,
            opened: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            body_bytes: Arc::default(),
        }
    }

    pub fn counts(&self) -> ConnectionCounts {
        ConnectionCounts {
            opened: self.opened.load(Ordering::Relaxed),
            requests: self.requests.load(Ordering::Relaxed),
            body_bytes: self.body_bytes.load(Ordering::Relaxed),
        }
    }

    /// A connection that is ready: the one used last, or a new one.
    pub async fn link(&self) -> Result<Link> {
        while let Some(mut link) = self.last_idle() {
            // One that was refused in the middle of a body may never get ready.
            let ready = tokio::time::timeout(READY_LIMIT, link.sender.ready()).await;
            if matches!(ready, Ok(Ok(()))) {
                return Ok(link);
            }
        }
        let connected = self.connector.connect().await?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        handshake(connected).await.map_err(|error| self.connector.unreachable(error.to_string()))
    }

    /// Sends a request and waits for the head of the reply. At the time limit, or when nothing
    /// happens for `silence`, the connection is closed.
    pub async fn send(
        &self,
        operation: &'static str,
        mut link: Link,
        request: Request<Body>,
        limit: Duration,
        silence: Duration,
    ) -> Sent {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let begun = tokio::time::Instant::now();
        let deadline = begun + limit;
        // A caller who pauses says nothing about the server.
        let silence = if request.body().waits_for_caller() { limit } else { silence };
        let left = Arc::<AtomicU64>::default();
        let request = request.map(|body| body.counted_in([self.body_bytes.clone(), left.clone()]));
        let answer = link.sender.try_send_request(request);
        let outcome = tokio::select! {
            outcome = answer => outcome,
            () = stalled(&left, deadline, silence) => {
                drop(link);
                let after = if begun.elapsed() < limit { silence } else { limit };
                return Sent::Failed(Error::TimedOut { operation, after });
            }
        };
        match outcome {
            Ok(response) => {
                link.used = true;
                let (head, body) = response.into_parts();
                Sent::Reply(Box::new(Reply {
                    status: head.status,
                    headers: head.headers,
                    body,
                    link,
                    deadline,
                    limit,
                }))
            }
            Err(mut error) => match error.take_message() {
                Some(request) => Sent::Unsent(request.into_body()),
                None => Sent::Failed(failure(operation, &error.into_error())),
            },
        }
    }

    /// Takes a connection back whose reply was read to its end.
    fn put_back(&self, link: Link) {
        if link.sender.is_closed() || link.peer_gone.get() {
            return;
        }
        let now = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push_back((now, link));
        while idle.len() > self.idle_max
            || idle.front().is_some_and(|(since, _)| now - *since > self.idle_limit)
        {
            idle.pop_front();
        }
    }

    fn last_idle(&self) -> Option<Link> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, link) = idle.pop_back()?;
        if since.elapsed() <= self.idle_limit {
            return Some(link);
        }
        idle.clear();
        None
    }
}

impl Link {
    /// Whether an exchange was completed on it before.
    pub fn was_used(&self) -> bool {
        self.used
    }
}

impl Reply {
    /// A header's text; `None` when it is absent or not ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The next piece of the body, within `pause`.
    pub async fn piece(
        &mut self,
        operation: &'static str,
        pause: Duration,
    ) -> Result<Option<Bytes>> {
        loop {
            let frame = tokio::time::timeout(pause, next_frame(&mut self.body)).await;
            let frame = frame.map_err(|_| Error::TimedOut { operation, after: pause })?;
            match frame {
                None => return Ok(None),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => return Ok(Some(bytes)),
                    Err(_trailers) => {}
                },
                Some(Err(error)) => return Err(failure(operation, &error)),
            }
        }
    }

    /// The whole body, if it has at most `bytes_max`, within the time limit of the exchange; the
    /// connection goes back to `pool`.
    pub async fn into_bytes(
        mut self,
        operation: &'static str,
        pool: &Pool,
        bytes_max: usize,
    ) -> Result<(HeaderMap, Vec<u8>)> {
        let (deadline, limit) = (self.deadline, self.limit);
        let mut whole = Vec::new();
        let read = async {
            while let Some(piece) = self.piece(operation, limit).await? {
                if whole.len() + piece.len() > bytes_max {
                    let reason = format!("it has more than {bytes_max} bytes");
                    return Err(Error::Reply { operation, reason });
                }
                whole.extend_from_slice(&piece);
            }
            Ok(())
        };
        let outcome = tokio::time::timeout_at(deadline, read).await;
        outcome.map_err(|_| Error::TimedOut { operation, after: limit })??;
        pool.put_back(self.link);
        Ok((self.headers, whole))
    }

    /// Gives the connection back once [`Reply::piece`] has returned `None`.
    pub fn finish(self, pool: &Pool) {
        pool.put_back(self.link);
    }
}

/// Until the deadline, or until the sum has not grown for `silence`.
async fn stalled(left: &AtomicU64, deadline: tokio::time::Instant, silence: Duration) {
    let mut seen = 0;
    let mut since = tokio::time::Instant::now();
    loop {
        let now = tokio::time::Instant::now();
        let sum = left.load(Ordering::Relaxed);
        if sum > seen {
            (seen, since) = (sum, now);
        }
        let until = since.checked_add(silence).map_or(deadline, |until| until.min(deadline));
        if until <= now {
            return;
        }
        tokio::time::sleep_until(until.min(now + LOOK_EVERY)).await;
    }
}

/// HTTP/1.1 over a fresh connection.
async fn handshake(connected: Connected) -> hyper::Result<Link> {
    let (sender, connection) = http1::handshake(TokioIo::new(connected.io)).await?;
    // Its error also reaches whoever waits for a reply.
    let task = tokio::spawn(async move { drop(connection.await) }).abort_handle();
    Ok(Link { sender, task, peer_gone: connected.peer_gone, used: false })
}

async fn next_frame(body: &mut Incoming) -> Option<hyper::Result<http_body::Frame<Bytes>>> {
    use http_body::Body as _;
    std::future::poll_fn(|context| std::pin::Pin::new(&mut *body).poll_frame(context)).await
}

/// Sorts an error of an exchange that had begun.
fn failure(operation: &'static str, error: &hyper::Error) -> Error {
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        reason = format!("{reason}: {inner}");
        source = inner.source();
    }
    if error.is_user() {
        return Error::Body { operation, reason };
    }
    Error::Interrupted { operation, reason }
}
