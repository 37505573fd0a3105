//! A TCP socket that still delivers the reply when the peer stopped reading.
//!
//! A server that refuses early (503, 403, 507) answers, closes, and resets the connection under a
//! body that is still being sent. The reply waits in the kernel, but an HTTP client that stops at
//! the failed write never reads it, and a plain "slow down" would become an unknown outcome.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// After the peer has closed its side, what is written goes nowhere and reading goes on: it brings
/// the reply, or the end that makes the outcome unknown.
pub(crate) struct Socket {
    stream: TcpStream,
    peer_gone: PeerGone,
}

/// Whether writes go nowhere. Such a connection is never used again.
#[derive(Clone, Default)]
pub(crate) struct PeerGone(Arc<AtomicBool>);

impl PeerGone {
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Socket {
    pub fn new(stream: TcpStream, peer_gone: PeerGone) -> Self {
        Self { stream, peer_gone }
    }

    /// Turns the error of a write to a peer that is gone into a write of everything.
    fn forgive<T>(&self, outcome: io::Result<T>, everything: T) -> io::Result<T> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        match outcome {
            Err(error)
                if matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset) =>
            {
                self.peer_gone.set();
                Ok(everything)
            }
            other => other,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.peer_gone.get() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let outcome = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        Poll::Ready(self.forgive(outcome, bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let everything = slices.iter().map(|slice| slice.len()).sum();
        if self.peer_gone.get() {
            return Poll::Ready(Ok(everything));
        }
        let outcome = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices));
        Poll::Ready(self.forgive(outcome, everything))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = ready!(Pin::new(&mut self.stream).poll_flush(context));
        Poll::Ready(self.forgive(outcome, ()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
