//! A line that breaks on command.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::{CHUNK_BYTES, listen, runtime};
use crate::TestbedError;

/// How long a client may go on sending after its request was answered with 503.
const DISCARD_LIMIT: Duration = Duration::from_secs(2);

const UNAVAILABLE_BODY: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error>\
    <Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";

/// What a line does to its connections, old and new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: bytes pass.
    None,
    /// Nobody listens; old connections are reset.
    Refuse,
    /// Connections are accepted and reset.
    Reset,
    /// Connections stay, nothing passes; all goes on once the fault is gone.
    Stall,
    /// Each connection is reset once this many bytes have gone from the client to the server
    /// since it began.
    ResetAfter {
        /// Bytes that still pass.
        bytes: u64,
    },
    /// Requests reach the server; the connection is reset when the answer comes.
    LoseAnswers,
    /// Requests reach the server; their answers never come.
    HoldAnswers,
    /// Each request is answered with 503 `SlowDown` and does not reach the server.
    Unavailable,
    /// Each chunk of up to 64 KiB is held back for so long, in both directions.
    Delay(Duration),
}

/// Forwards TCP connections to one address, as well as its [`Fault`] lets it.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    faults: watch::Sender<Fault>,
    connections: Arc<AtomicU64>,
    /// Ends every task when it is dropped.
    runtime: Option<Runtime>,
}

impl FaultProxy {
    /// Listens on a free port and forwards to the target.
    ///
    /// # Errors
    /// [`TestbedError::Start`].
    pub fn start(target: SocketAddr) -> Result<Self, TestbedError> {
        let runtime = runtime()?;
        let (listener, address) = listen(&runtime)?;
        let (faults, watched) = watch::channel(Fault::None);
        let connections = Arc::new(AtomicU64::new(0));
        let line = Line { address, target, faults: watched, connections: connections.clone() };
        runtime.spawn(line.serve(listener));
        Ok(Self { address, faults, connections, runtime: Some(runtime) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what happens from now on, to open connections as well.
    pub fn set(&self, fault: Fault) {
        self.faults.send_replace(fault);
    }

    /// Connections that it has accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        // A plain drop would block, which is forbidden where the test is asynchronous.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[derive(Clone)]
struct Line {
    address: SocketAddr,
    target: SocketAddr,
    faults: watch::Receiver<Fault>,
    connections: Arc<AtomicU64>,
}

/// Why bytes stopped.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    Closed,
    Reset,
    Unavailable,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

impl Line {
    async fn serve(mut self, listener: TcpListener) {
        let mut listener = Some(listener);
        loop {
            if *self.faults.borrow_and_update() == Fault::Refuse {
                listener = None;
                if self.faults.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let Some(open) = &listener else {
                // The port stays ours: nothing else on the machine asks for it by number.
                listener = TcpListener::bind(self.address).await.ok();
                continue;
            };
            tokio::select! {
                accepted = open.accept() => if let Ok((client, _)) = accepted {
                    self.connections.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(self.clone().carry(client));
                },
                changed = self.faults.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    async fn carry(self, mut client: TcpStream) {
        let Ok(mut server) = TcpStream::connect(self.target).await else {
            let _ = client.set_zero_linger();
            return;
        };
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let ending = {
            let (from_client, to_client) = client.split();
            let (from_server, to_server) = server.split();
            let up = pump(from_client, to_server, Direction::ToServer, self.faults.clone());
            let down = pump(from_server, to_client, Direction::ToClient, self.faults.clone());
            tokio::pin!(up, down);
            // One side may close its half and still wait for what the other has to say.
            tokio::select! {
                ending = &mut up => if ending == Ending::Closed { down.await } else { ending },
                ending = &mut down => if ending == Ending::Closed { up.await } else { ending },
            }
        };
        match ending {
            Ending::Closed => {}
            Ending::Reset => {
                let _ = client.set_zero_linger();
                let _ = server.set_zero_linger();
            }
            Ending::Unavailable => answer_unavailable(&mut client).await,
        }
    }
}

async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    direction: Direction,
    mut faults: watch::Receiver<Fault>,
) -> Ending {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut passed = 0;
    loop {
        let fault = *faults.borrow_and_update();
        if matches!(fault, Fault::Reset | Fault::Refuse) {
            return Ending::Reset;
        }
        let count = tokio::select! {
            count = from.read(&mut buffer) => count,
            changed = faults.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return Ending::Closed,
            },
        };
        let count = match count {
            Ok(0) => {
                let _ = to.shutdown().await;
                return Ending::Closed;
            }
            Ok(count) => count,
            Err(_) => return Ending::Reset,
        };
        match admit(count, passed, direction, &mut faults).await {
            Ok(admitted) => {
                if to.write_all(&buffer[..admitted]).await.is_err() {
                    return Ending::Reset;
                }
                passed += admitted as u64;
                if admitted < count {
                    return Ending::Reset;
                }
            }
            Err(ending) => return ending,
        }
    }
}

/// How many of the bytes that have come may go on, once they may.
async fn admit(
    count: usize,
    passed: u64,
    direction: Direction,
    faults: &mut watch::Receiver<Fault>,
) -> Result<usize, Ending> {
    loop {
        let fault = *faults.borrow_and_update();
        match (fault, direction) {
            (Fault::Refuse | Fault::Reset, _) | (Fault::LoseAnswers, Direction::ToClient) => {
                return Err(Ending::Reset);
            }
            (Fault::Unavailable, Direction::ToServer) => return Err(Ending::Unavailable),
            (Fault::ResetAfter { bytes }, Direction::ToServer) => {
                let left = bytes.saturating_sub(passed);
                return Ok(usize::try_from(left).unwrap_or(usize::MAX).min(count));
            }
            (Fault::Delay(delay), _) => {
                tokio::time::sleep(delay).await;
                return Ok(count);
            }
            (Fault::Stall, _) | (Fault::HoldAnswers, Direction::ToClient) => {
                if faults.changed().await.is_err() {
                    return Err(Ending::Closed);
                }
            }
            (Fault::None, _)
            | (Fault::Unavailable | Fault::ResetAfter { .. }, Direction::ToClient)
            | (Fault::LoseAnswers | Fault::HoldAnswers, Direction::ToServer) => return Ok(count),
        }
    }
}

/// Answers, then reads on for a while: closing with bytes unread would reset the connection, and
/// the client might never see the answer.
async fn answer_unavailable(client: &mut TcpStream) {
    let answer = format!(
        "HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\
        Connection: close\r\n\r\n{UNAVAILABLE_BODY}",
        UNAVAILABLE_BODY.len()
    );
    if client.write_all(answer.as_bytes()).await.is_err() || client.shutdown().await.is_err() {
        return;
    }
    let mut buffer = vec![0; CHUNK_BYTES];
    let discard = async { while client.read(&mut buffer).await.is_ok_and(|count| count > 0) {} };
    let _ = tokio::time::timeout(DISCARD_LIMIT, discard).await;
}
