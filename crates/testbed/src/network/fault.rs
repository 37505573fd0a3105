//! A line that breaks on command.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::bodies::Bodies;
use super::{CHUNK_BYTES, bind, runtime};
use crate::TestbedError;

/// How long a client may go on sending after its request was answered with 503.
const DISCARD_LIMIT: Duration = Duration::from_secs(2);

/// Of an answer, pieces below this are the frames of a protocol, which carries no checksum of them.
const FLIPPED_BYTES_MIN: usize = 512;

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
    /// Each request for a longer path is answered with 503 `SlowDown` and does not reach the
    /// server.
    LongPathsUnavailable {
        /// The longest path that reaches it, as it stands in the request, without a query.
        bytes_max: usize,
    },
    /// Each chunk of up to 64 KiB is held back for so long, in both directions.
    Delay(Duration),
    /// The connection is closed in the middle of each answer.
    CutAnswers,
    /// A bit in the body of each HTTP request is another one.
    FlipRequests,
    /// A bit of each larger piece of an answer is another one.
    FlipAnswers,
}

impl Fault {
    /// What it is called where faults are counted.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Refuse => "refuse",
            Self::Reset => "reset",
            Self::Stall => "stall",
            Self::ResetAfter { .. } => "reset_after",
            Self::LoseAnswers => "lose_answers",
            Self::HoldAnswers => "hold_answers",
            Self::Unavailable => "unavailable",
            Self::LongPathsUnavailable { .. } => "long_paths_unavailable",
            Self::Delay(_) => "delay",
            Self::CutAnswers => "cut_answers",
            Self::FlipRequests => "flip_requests",
            Self::FlipAnswers => "flip_answers",
        }
    }

    /// What it is for the HTTP request that begins with these bytes.
    fn of_request(self, bytes: &[u8]) -> Self {
        if let Self::LongPathsUnavailable { bytes_max } = self
            && path_bytes(bytes) > bytes_max
        {
            return Self::Unavailable;
        }
        self
    }
}

/// How often which fault took effect.
type Struck = Arc<Mutex<BTreeMap<&'static str, u64>>>;

/// Forwards TCP connections to one address, as well as its [`Fault`] lets it.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    faults: watch::Sender<Fault>,
    connections: Arc<AtomicU64>,
    struck: Struck,
    /// Ends every task when it is dropped.
    runtime: Option<Runtime>,
}

impl FaultProxy {
    /// Listens on a free port and forwards to the target.
    ///
    /// # Errors
    /// [`TestbedError::Start`].
    pub fn start(target: SocketAddr) -> Result<Self, TestbedError> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), target)
    }

    /// Listens there and forwards to the target.
    ///
    /// # Errors
    /// [`TestbedError::Start`].
    pub fn start_at(address: SocketAddr, target: SocketAddr) -> Result<Self, TestbedError> {
        let runtime = runtime()?;
        let (listener, address) = bind(&runtime, address)?;
        let (faults, watched) = watch::channel(Fault::None);
        let connections = Arc::new(AtomicU64::new(0));
        let struck = Struck::default();
        let line = Line {
            address,
            target,
            faults: watched,
            connections: connections.clone(),
            struck: struck.clone(),
        };
        runtime.spawn(line.serve(listener));
        Ok(Self { address, faults, connections, struck, runtime: Some(runtime) })
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

    /// How often each fault took effect, by its name in small letters: connections that were
    /// reset, pieces that were held up, answers that were given, lost or cut, bits that were
    /// turned.
    #[must_use]
    pub fn struck(&self) -> BTreeMap<&'static str, u64> {
        self.struck.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
    struck: Struck,
}

/// Why bytes stopped.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    Closed,
    Cut,
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
            let up = self.way(Direction::ToServer).pump(from_client, to_server);
            let down = self.way(Direction::ToClient).pump(from_server, to_client);
            tokio::pin!(up, down);
            // One side may close its half and still wait for what the other has to say.
            tokio::select! {
                ending = &mut up => if ending == Ending::Closed { down.await } else { ending },
                ending = &mut down => if ending == Ending::Closed { up.await } else { ending },
            }
        };
        match ending {
            Ending::Closed | Ending::Cut => {}
            Ending::Reset => {
                let _ = client.set_zero_linger();
                let _ = server.set_zero_linger();
            }
            Ending::Unavailable => answer_unavailable(&mut client).await,
        }
    }

    fn way(&self, direction: Direction) -> Way {
        Way {
            direction,
            faults: self.faults.clone(),
            struck: self.struck.clone(),
            bodies: Bodies::default(),
            passed: 0,
        }
    }
}

/// One direction of a connection.
struct Way {
    direction: Direction,
    faults: watch::Receiver<Fault>,
    struck: Struck,
    bodies: Bodies,
    passed: u64,
}

impl Way {
    async fn pump(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> Ending {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let fault = *self.faults.borrow_and_update();
            if matches!(fault, Fault::Reset | Fault::Refuse) {
                self.strike(fault);
                return Ending::Reset;
            }
            let count = tokio::select! {
                count = from.read(&mut buffer) => count,
                changed = self.faults.changed() => match changed {
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
            let (admitted, ending) = self.admit(&mut buffer[..count]).await;
            if to.write_all(&buffer[..admitted]).await.is_err() {
                return Ending::Reset;
            }
            self.passed += admitted as u64;
            if let Some(ending) = ending {
                return ending;
            }
        }
    }

    /// How many of the bytes that have come may go on, once they may, and whether that is the end.
    async fn admit(&mut self, bytes: &mut [u8]) -> (usize, Option<Ending>) {
        let body = match self.direction {
            Direction::ToServer => self.bodies.follow(bytes),
            Direction::ToClient => None,
        };
        let count = bytes.len();
        let mut held = None;
        loop {
            let fault = self.faults.borrow_and_update().of_request(bytes);
            match (fault, self.direction) {
                (Fault::Refuse | Fault::Reset, _) | (Fault::LoseAnswers, Direction::ToClient) => {
                    self.strike(fault);
                    return (0, Some(Ending::Reset));
                }
                (Fault::Unavailable, Direction::ToServer) => {
                    self.strike(fault);
                    return (0, Some(Ending::Unavailable));
                }
                (Fault::ResetAfter { bytes: limit }, Direction::ToServer) => {
                    let left = usize::try_from(limit.saturating_sub(self.passed));
                    let admitted = left.unwrap_or(usize::MAX).min(count);
                    if admitted < count {
                        self.strike(fault);
                        return (admitted, Some(Ending::Reset));
                    }
                }
                (Fault::CutAnswers, Direction::ToClient) => {
                    self.strike(fault);
                    return (count / 2, Some(Ending::Cut));
                }
                (Fault::Delay(delay), _) => {
                    self.strike(fault);
                    tokio::time::sleep(delay).await;
                }
                (Fault::Stall, _) | (Fault::HoldAnswers, Direction::ToClient) => {
                    if held.replace(fault) != Some(fault) {
                        self.strike(fault);
                    }
                    if self.faults.changed().await.is_err() {
                        return (0, Some(Ending::Closed));
                    }
                    continue;
                }
                (Fault::FlipRequests, Direction::ToServer) => self.flip(fault, bytes, body),
                (Fault::FlipAnswers, Direction::ToClient) => {
                    let middle = (count >= FLIPPED_BYTES_MIN).then_some(count / 2);
                    self.flip(fault, bytes, middle);
                }
                (
                    Fault::Unavailable | Fault::ResetAfter { .. } | Fault::FlipRequests,
                    Direction::ToClient,
                )
                | (
                    Fault::LoseAnswers
                    | Fault::HoldAnswers
                    | Fault::CutAnswers
                    | Fault::FlipAnswers,
                    Direction::ToServer,
                )
                | (Fault::None | Fault::LongPathsUnavailable { .. }, _) => {}
            }
            return (count, None);
        }
    }

    fn flip(&self, fault: Fault, bytes: &mut [u8], position: Option<usize>) {
        if let Some(byte) = position.and_then(|position| bytes.get_mut(position)) {
            *byte ^= 1;
            self.strike(fault);
        }
    }

    fn strike(&self, fault: Fault) {
        let mut struck = self.struck.lock().unwrap_or_else(PoisonError::into_inner);
        *struck.entry(fault.name()).or_default() += 1;
    }
}

/// The length of the path of the HTTP request that begins here, if one does.
fn path_bytes(bytes: &[u8]) -> usize {
    let mut words = bytes.split(|byte| *byte == b' ');
    let is_method = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_uppercase);
    let path = words.next().filter(|word| is_method(word)).and_then(|_| words.next());
    let path = path.filter(|path| path.starts_with(b"/")).unwrap_or_default();
    path.iter().take_while(|byte| **byte != b'?').count()
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
