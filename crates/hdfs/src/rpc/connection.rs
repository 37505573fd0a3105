//! One connection to one NameNode: many calls at a time, answers in any order.
//!
//! A writer task owns the sending half, so that a caller who gives up cannot leave half a frame
//! behind; a reader task owns the receiving half and hands each answer to whoever waits for it,
//! undecoded, so that decoding uses the callers' threads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::frame::{self, Call, CallId, Caller, Response};
use super::sasl;
use crate::error::{Error, seconds};
use crate::proto::rpc::{RPC_STATUS_FATAL, RpcResponseHeader};
use crate::socket;

const QUEUE_FRAMES_MAX: usize = 1024;
const READ_BUFFER_BYTES: usize = 128 * 1024;
const BATCH_FRAMES_MAX: usize = 64;

/// An open, authenticated connection.
#[derive(Debug)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
    frames: mpsc::Sender<Bytes>,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Debug)]
struct Shared {
    address: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    waiting: HashMap<i32, oneshot::Sender<Response>>,
    received: Instant,
    closed: Option<Closure>,
}

/// Why a connection carries no more calls.
#[derive(Clone, Debug)]
struct Closure {
    reason: String,
    /// The server refused the user, so that connecting again is of no use.
    is_refusal: bool,
}

/// Takes its call out of the table when the caller stops waiting, for whatever reason.
struct Registration<'a> {
    shared: &'a Shared,
    call_id: i32,
}

impl Connection {
    /// Connects, authenticates and names the user.
    pub(crate) async fn open(
        address: &str,
        caller: &Caller,
        connect_timeout: Duration,
    ) -> Result<Self, Error> {
        let opening = async {
            let mut stream = TcpStream::connect(address)
                .await
                .map_err(|error| Error::connection(address, error))?;
            socket::prepare(&stream).map_err(|error| Error::connection(address, error))?;
            handshake(&mut stream, address, caller).await?;
            Ok(stream)
        };
        let stream = timeout(connect_timeout, opening).await.map_err(|_| {
            Error::connection(address, format!("not open within {}", seconds(connect_timeout)))
        })??;
        Ok(Self::spawn(stream, address))
    }

    fn spawn(stream: TcpStream, address: &str) -> Self {
        let state = State { waiting: HashMap::new(), received: Instant::now(), closed: None };
        let shared = Arc::new(Shared { address: address.to_owned(), state: Mutex::new(state) });
        let (input, output) = stream.into_split();
        let (frames, queue) = mpsc::channel(QUEUE_FRAMES_MAX);
        let reader = tokio::spawn(read_all(input, Arc::clone(&shared)));
        let writer = tokio::spawn(write_all(output, queue, Arc::clone(&shared)));
        Self { shared, frames, tasks: [reader, writer] }
    }

    /// Whether it can still carry a call.
    pub(crate) fn is_open(&self) -> bool {
        self.shared.state().closed.is_none()
    }

    /// Sends a call and waits for its answer.
    pub(crate) async fn call(
        &self,
        call: &Call,
        id: CallId,
        caller: &Caller,
        call_timeout: Duration,
    ) -> Result<Response, Error> {
        let started = Instant::now();
        let answer = self.shared.register(id.number)?;
        let _registration = Registration { shared: &self.shared, call_id: id.number };
        let exchange = async {
            let sent = self.frames.send(call.frame(caller, id)).await;
            sent.map_err(|_| self.shared.closed_error())?;
            answer.await.map_err(|_| self.shared.closed_error())
        };
        match timeout(call_timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => {
                self.shared.close_if_silent_since(started);
                Err(Error::connection(
                    &self.shared.address,
                    format!("no answer to {} within {}", call.method, seconds(call_timeout)),
                ))
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.shared.state().waiting.remove(&self.call_id);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // The table is consistent between any two statements that change it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self, call_id: i32) -> Result<oneshot::Receiver<Response>, Error> {
        let mut state = self.state();
        if let Some(closure) = &state.closed {
            return Err(closure.error(&self.address));
        }
        let (sender, receiver) = oneshot::channel();
        state.waiting.insert(call_id, sender);
        Ok(receiver)
    }

    fn deliver(&self, response: Response) {
        let waiter = {
            let mut state = self.state();
            state.received = Instant::now();
            state.waiting.remove(&(response.header.call_id as i32))
        };
        if let Some(waiter) = waiter {
            // Whoever asked may have stopped waiting; then nobody wants the answer.
            let _unwanted = waiter.send(response);
        }
    }

    fn close(&self, reason: String) {
        self.close_as(Closure { reason, is_refusal: false });
    }

    fn close_as(&self, closure: Closure) {
        let mut state = self.state();
        if state.closed.is_none() {
            state.closed = Some(closure);
        }
        state.waiting.clear();
    }

    /// A server that answers others is slow; one that answers nobody is taken for gone.
    fn close_if_silent_since(&self, since: Instant) {
        if self.state().received < since {
            self.close("the server fell silent".to_owned());
        }
    }

    fn closed_error(&self) -> Error {
        match &self.state().closed {
            Some(closure) => closure.error(&self.address),
            None => Error::connection(&self.address, "closed"),
        }
    }
}

impl Closure {
    /// From an answer after which the server hangs up.
    fn fatal(header: &RpcResponseHeader) -> Self {
        let class = header.exception_class.as_deref().unwrap_or_default();
        Self {
            reason: header.message.clone().unwrap_or_default(),
            is_refusal: class.ends_with("AuthorizationException")
                || class.ends_with("AccessControlException"),
        }
    }

    fn error(&self, address: &str) -> Error {
        if self.is_refusal {
            return Error::Denied { method: "connection", message: self.reason.clone() };
        }
        Error::connection(address, &self.reason)
    }
}

async fn handshake(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    address: &str,
    caller: &Caller,
) -> Result<(), Error> {
    let told = |error: std::io::Error| Error::connection(address, error);
    stream.write_all(&frame::CONNECTION_HEADER).await.map_err(told)?;
    sasl::negotiate(stream, address).await?;
    stream.write_all(&frame::connection_context(caller)).await.map_err(told)
}

async fn read_all(input: impl AsyncRead + Unpin, shared: Arc<Shared>) {
    let mut input = BufReader::with_capacity(READ_BUFFER_BYTES, input);
    let reason = loop {
        let answer = match frame::read(&mut input, &shared.address).await {
            Ok(Some(frame)) => frame::response(frame, &shared.address),
            Ok(None) => break "closed by the server".to_owned(),
            Err(error) => break error.to_string(),
        };
        match answer {
            Ok(response) if response.header.status == RPC_STATUS_FATAL => {
                shared.close_as(Closure::fatal(&response.header));
                return;
            }
            Ok(response) => shared.deliver(response),
            Err(error) => break error.to_string(),
        }
    };
    shared.close(reason);
}

async fn write_all(
    mut output: impl AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<Bytes>,
    shared: Arc<Shared>,
) {
    let mut frames = Vec::with_capacity(BATCH_FRAMES_MAX);
    let mut joined = Vec::new();
    while queue.recv_many(&mut frames, BATCH_FRAMES_MAX).await > 0 {
        joined.clear();
        for frame in frames.drain(..) {
            joined.extend_from_slice(&frame);
        }
        if let Err(error) = output.write_all(&joined).await {
            shared.close(error.to_string());
            return;
        }
    }
}

#[cfg(test)]
mod tests;
