//! The body of a request: bytes in memory, or a stream of known length.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Frame, SizeHint};

type Pieces = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// The body of a request. Its length is known before the first byte leaves.
pub struct Body {
    bytes_left: u64,
    source: Source,
    /// Told of every piece that leaves: the sum over all bodies, and that of this one.
    told: Vec<Arc<AtomicU64>>,
}

enum Source {
    Memory(VecDeque<Bytes>),
    Stream(Pieces),
}

/// Larger pieces leave one part after the other, so that it shows how far they are.
const FRAME_BYTES_MAX: usize = 128 * 1024;

impl Body {
    /// A body without bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self { bytes_left: 0, source: Source::Memory(VecDeque::new()), told: Vec::new() }
    }

    /// A body that `pieces` yields. It must yield exactly `bytes`: with fewer, more or an error the
    /// connection is closed, nothing takes effect and the call ends in [`crate::Error::Body`].
    pub fn stream(
        bytes: u64,
        pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Self {
        Self { bytes_left: bytes, source: Source::Stream(Box::pin(pieces)), told: Vec::new() }
    }

    /// The same, and every sum grows by what leaves.
    pub(crate) fn counted_in(mut self, sums: [Arc<AtomicU64>; 2]) -> Self {
        self.told = sums.into();
        self
    }

    /// Whether its caller may leave it waiting for more.
    pub(crate) fn waits_for_caller(&self) -> bool {
        match self.source {
            Source::Memory(_) => false,
            Source::Stream(_) => true,
        }
    }

    /// Bytes that are still to be sent.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.bytes_left
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes_left == 0
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::from(vec![bytes])
    }
}

impl From<Vec<Bytes>> for Body {
    /// The pieces one after the other; they are not copied together.
    fn from(pieces: Vec<Bytes>) -> Self {
        let bytes_left = pieces.iter().map(|piece| piece.len() as u64).sum();
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        Self { bytes_left, source: Source::Memory(pieces), told: Vec::new() }
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::from(Bytes::from_static(text.as_bytes()))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Body").field("bytes_left", &self.bytes_left).finish()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = match &mut self.source {
            Source::Memory(pieces) => next_frame(pieces).map(Ok),
            Source::Stream(pieces) => match pieces.as_mut().poll_next(context) {
                Poll::Ready(piece) => piece,
                Poll::Pending => return Poll::Pending,
            },
        };
        let piece = match piece {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None if self.bytes_left == 0 => return Poll::Ready(None),
            None => {
                let reason = format!("it ended {} bytes too early", self.bytes_left);
                return Poll::Ready(Some(Err(io::Error::other(reason))));
            }
        };
        match self.bytes_left.checked_sub(piece.len() as u64) {
            Some(left) => {
                self.bytes_left = left;
                for sum in &self.told {
                    sum.fetch_add(piece.len() as u64, Ordering::Relaxed);
                }
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            None => {
                Poll::Ready(Some(Err(io::Error::other("it is longer than announced".to_owned()))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.bytes_left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes_left)
    }
}

fn next_frame(pieces: &mut VecDeque<Bytes>) -> Option<Bytes> {
    let first = pieces.front_mut()?;
    if first.len() > FRAME_BYTES_MAX {
        return Some(first.split_to(FRAME_BYTES_MAX));
    }
    pieces.pop_front()
}
