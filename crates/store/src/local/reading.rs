//! Sends the bytes of an open file, read on a thread that may block.

use std::ops::Range;
use std::os::fd::OwnedFd;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::failure::{failure, shown};
use crate::error::StoreError;
use crate::source::ByteStream;

const PIECE_BYTES: usize = 1024 * 1024;
const PIECES_AHEAD: usize = 2;

/// Where the bytes go.
pub(super) type Pieces = mpsc::Sender<Result<Bytes, StoreError>>;

/// A stream of what `work` sends; its error ends the stream.
pub(super) fn stream<F>(work: F) -> ByteStream
where
    F: FnOnce(&Pieces) -> Result<(), StoreError> + Send + 'static,
{
    let (sender, mut receiver) = mpsc::channel(PIECES_AHEAD);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = work(&sender) {
            // Where nobody listens any more, nobody misses it.
            let _ = sender.blocking_send(Err(error));
        }
    });
    Box::pin(futures_util::stream::poll_fn(move |context| receiver.poll_recv(context)))
}

/// Sends a range of a file that must be there. The last piece is held back until `still` has
/// looked whether the file stood still.
pub(super) fn send(
    file: &OwnedFd,
    path: &[u8],
    range: Range<u64>,
    sender: &Pieces,
    still: impl Fn() -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut position = range.start;
    while position < range.end {
        let left = usize::try_from(range.end - position).unwrap_or(PIECE_BYTES);
        let mut piece = vec![0; left.min(PIECE_BYTES)];
        let read =
            rustix::io::retry_on_intr(|| rustix::io::pread(file, piece.as_mut_slice(), position))
                .map_err(|errno| failure("read", path, errno))?;
        if read == 0 {
            let message = format!("{} is shorter than it was", shown(path));
            return Err(StoreError::Moved { message });
        }
        piece.truncate(read);
        position += read as u64;
        if position == range.end {
            still()?;
        }
        if sender.blocking_send(Ok(Bytes::from(piece))).is_err() {
            return Ok(());
        }
    }
    if range.is_empty() { still() } else { Ok(()) }
}
