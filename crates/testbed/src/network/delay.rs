//! A long line: everything takes its time, and only so much goes through.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{accept, listen, runtime};
use crate::TestbedError;

/// What is sent at once: connections take turns after so many bytes.
const PIECE_BYTES: usize = 16 << 10;
/// Pieces of a connection that are on their way in one direction: a window of 1 MiB.
const PIECES_MAX: usize = 64;

/// What a line is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongLine {
    /// There and back.
    pub round_trip: Duration,
    /// In each direction, all connections together.
    pub bytes_per_second: u64,
}

/// Forwards TCP connections to one address over a [`LongLine`]. A connection is there after one
/// round trip. It ends TCP on both sides: no slow start and no loss.
#[derive(Debug)]
pub struct DelayProxy {
    address: SocketAddr,
    /// Ends every task when it is dropped.
    runtime: Option<Runtime>,
}

impl DelayProxy {
    /// Listens on a free port and forwards to the target.
    ///
    /// # Errors
    /// [`TestbedError::Start`].
    pub fn start(target: SocketAddr, line: LongLine) -> Result<Self, TestbedError> {
        let runtime = runtime()?;
        let (listener, address) = listen(&runtime)?;
        let (up, down) = (Arc::new(Wire::new(line)), Arc::new(Wire::new(line)));
        runtime
            .spawn(accept(listener, move |client| carry(client, target, up.clone(), down.clone())));
        Ok(Self { address, runtime: Some(runtime) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for DelayProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// One direction, which all connections share.
#[derive(Debug)]
struct Wire {
    one_way: Duration,
    bytes_per_second: u64,
    /// When what was sent last has left.
    free_at: Mutex<Instant>,
}

impl Wire {
    fn new(line: LongLine) -> Self {
        Self {
            one_way: line.round_trip / 2,
            bytes_per_second: line.bytes_per_second,
            free_at: Mutex::new(Instant::now()),
        }
    }

    /// When so many bytes that are sent now arrive.
    fn arrival(&self, bytes: usize) -> Instant {
        let seconds = bytes as f64 / self.bytes_per_second as f64;
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let left = (*free_at).max(Instant::now()) + Duration::from_secs_f64(seconds);
        *free_at = left;
        left + self.one_way
    }
}

async fn carry(client: TcpStream, target: SocketAddr, up: Arc<Wire>, down: Arc<Wire>) {
    tokio::time::sleep(up.one_way + down.one_way).await;
    let Ok(server) = TcpStream::connect(target).await else {
        let _ = client.set_zero_linger();
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::spawn(pass(from_client, to_server, up));
    pass(from_server, to_client, down).await;
}

/// One direction of one connection, to its end.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, wire: Arc<Wire>) {
    let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES_MAX);
    let arrive = async move {
        while let Some((at, piece)) = receiver.recv().await {
            tokio::time::sleep_until(at).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    let arriving = tokio::spawn(arrive);
    let mut buffer = vec![0; PIECE_BYTES];
    while let Ok(count) = from.read(&mut buffer).await {
        let piece = buffer[..count].to_vec();
        if count == 0 || sender.send((wire.arrival(count), piece)).await.is_err() {
            break;
        }
    }
    drop(sender);
    let _ = arriving.await;
}
