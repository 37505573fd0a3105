//! Hands out the bytes of an open file, read on a thread that may block.

use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures_util::TryStreamExt;
use rustix::buffer::spare_capacity;
use rustix::io::{pread, retry_on_intr};
use tokio::sync::mpsc;

use super::failure::{failure, shown};
use super::hands::lend;
use crate::error::StoreError;
use crate::source::ByteStream;

const PIECE_BYTES: usize = 1024 * 1024;
const PIECES_AHEAD: usize = 2;

/// Memory that is kept for the next pieces: that of a piece which comes from the system is cleared,
/// page by page, which costs as much as to read into it.
const FREE_PIECES_MAX: usize = 64;

static FREE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// Memory for a whole piece, of which the first `length` bytes were read.
struct Piece {
    memory: Vec<u8>,
    length: usize,
}

impl Piece {
    fn new() -> Self {
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self { memory: free.unwrap_or_else(|| vec![0; PIECE_BYTES]), length: 0 }
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.length]
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < FREE_PIECES_MAX {
            free.push(std::mem::take(&mut self.memory));
        }
    }
}

/// Where the bytes go; false once nobody wants more of them.
pub(super) type Pieces<'a> = dyn FnMut(Bytes) -> bool + 'a;

/// A stream of the `length` bytes that `work` hands out; its error ends the stream.
pub(super) fn stream<F>(length: u64, work: F) -> ByteStream
where
    F: FnOnce(&mut Pieces<'_>) -> Result<(), StoreError> + Send + 'static,
{
    if length > PIECE_BYTES as u64 { by_and_by(work) } else { at_once(work) }
}

/// One piece needs nobody who waits until it is taken.
fn at_once<F>(work: F) -> ByteStream
where
    F: FnOnce(&mut Pieces<'_>) -> Result<(), StoreError> + Send + 'static,
{
    let read = lend(move || {
        let mut pieces = Vec::new();
        work(&mut |piece| {
            pieces.push(Ok(piece));
            true
        })?;
        Ok(futures_util::stream::iter(pieces))
    });
    Box::pin(futures_util::stream::once(read).try_flatten())
}

fn by_and_by<F>(work: F) -> ByteStream
where
    F: FnOnce(&mut Pieces<'_>) -> Result<(), StoreError> + Send + 'static,
{
    let (sender, mut receiver) = mpsc::channel(PIECES_AHEAD);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = work(&mut |piece| sender.blocking_send(Ok(piece)).is_ok()) {
            // Where nobody listens any more, nobody misses it.
            let _ = sender.blocking_send(Err(error));
        }
    });
    Box::pin(futures_util::stream::poll_fn(move |context| receiver.poll_recv(context)))
}

/// Hands out a range of a file that must be there. The last piece is held back until `still` has
/// looked whether the file stood still.
pub(super) fn hand_out(
    file: &OwnedFd,
    path: &[u8],
    range: Range<u64>,
    pieces: &mut Pieces<'_>,
    still: impl Fn() -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut position = range.start;
    while position < range.end {
        let left = usize::try_from(range.end - position).unwrap_or(PIECE_BYTES);
        let failed = |errno| failure("read", path, errno);
        // Less than a whole piece would hold more memory than it has bytes.
        let (piece, read) = if left < PIECE_BYTES {
            let mut memory = Vec::with_capacity(left);
            let read = retry_on_intr(|| pread(file, spare_capacity(&mut memory), position));
            let read = read.map_err(failed)?;
            (Bytes::from(memory), read)
        } else {
            let mut piece = Piece::new();
            let read = retry_on_intr(|| pread(file, &mut piece.memory[..], position));
            piece.length = read.map_err(failed)?;
            let read = piece.length;
            (Bytes::from_owner(piece), read)
        };
        if read == 0 {
            let message = format!("{} is shorter than it was", shown(path));
            return Err(StoreError::Moved { message });
        }
        position += read as u64;
        if position == range.end {
            still()?;
        }
        if !pieces(piece) {
            return Ok(());
        }
    }
    if range.is_empty() { still() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    /// Memory is used again only once nobody holds the piece that was in it.
    #[tokio::test]
    async fn pieces_keep_their_bytes_while_others_are_read() {
        let mut content = Vec::new();
        for piece in 0..5 {
            content.extend(std::iter::repeat_n(piece, PIECE_BYTES));
        }
        content.extend([9; 100]);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), &content).unwrap();
        for _ in 0..3 {
            let file = OwnedFd::from(std::fs::File::open(folder.path().join("file")).unwrap());
            let range = 0..content.len() as u64;
            let length = range.end;
            let stream =
                stream(length, move |pieces| hand_out(&file, b"file", range, pieces, || Ok(())));
            let pieces: Vec<Bytes> = stream.map(Result::unwrap).collect().await;
            let sizes: Vec<usize> = pieces.iter().map(Bytes::len).collect();
            assert_eq!(sizes, [[PIECE_BYTES; 5].as_slice(), &[100]].concat());
            assert!(pieces.concat() == content);
        }
        assert!(!FREE.lock().unwrap().is_empty());
    }
}
