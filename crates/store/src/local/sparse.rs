//! Writes bytes so that long runs of zeros take no room on the disk.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::{FallocateFlags, fallocate};

/// Whole blocks of so many zero bytes become holes: shorter ones would only scatter a file.
const BLOCK_BYTES: usize = 64 * 1024;
static ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

/// Writes pieces one after the other, beginning at `start`. Whatever stood in this range before,
/// the pieces stand there afterwards. `end` is where the last of them ends: a block that reaches so
/// far is written even if it is zeros, because a hole would not make the file that long.
pub(super) fn write<'a>(
    file: &File,
    pieces: impl Iterator<Item = &'a [u8]>,
    start: u64,
    end: u64,
) -> std::io::Result<()> {
    let mut position = start;
    for piece in pieces {
        let mut written = 0;
        let mut at = 0;
        while at < piece.len() {
            let block = piece.get(at..at + BLOCK_BYTES);
            let block_end = position + (at + BLOCK_BYTES) as u64;
            let hole = block.is_some_and(|block| *block == ZEROS) && block_end < end;
            if !hole {
                at = piece.len().min(at + BLOCK_BYTES);
                continue;
            }
            file.write_all_at(&piece[written..at], position + written as u64)?;
            clear(file, position + at as u64)?;
            at += BLOCK_BYTES;
            written = at;
        }
        file.write_all_at(&piece[written..], position + written as u64)?;
        position += piece.len() as u64;
    }
    Ok(())
}

/// Makes a block zeros.
fn clear(file: &File, position: u64) -> std::io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match fallocate(file, flags, position, BLOCK_BYTES as u64) {
        Ok(()) => Ok(()),
        // Not every file system has holes.
        Err(_) => file.write_all_at(&ZEROS, position),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn written(file: &File, bytes: &[u8], piece_bytes: usize, start: u64) {
        let end = start + bytes.len() as u64;
        write(file, bytes.chunks(piece_bytes), start, end).expect("written");
    }

    #[test]
    fn holes_are_where_zeros_are_and_nowhere_else() {
        let file = tempfile::tempfile().expect("a file");
        let mut bytes = vec![0; 3 << 20];
        for place in [0, 65_536, 700_001, 2_000_000] {
            bytes[place] = 7;
        }
        for piece_bytes in [1 << 20, 100_000, 65_536, 4 << 20] {
            file.set_len(0).expect("emptied");
            written(&file, &bytes, piece_bytes, 0);
            let mut read = vec![1; bytes.len()];
            file.read_exact_at(&mut read, 0).expect("read");
            assert!(read == bytes, "pieces of {piece_bytes}");
            assert_eq!(file.metadata().expect("stands").len(), bytes.len() as u64);
        }
        let allocated = file.metadata().expect("stands").blocks() * 512;
        if fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, 1).is_err() {
            eprintln!("SKIPPED: the file system of the temporary folder has no holes");
            return;
        }
        assert!(allocated < 1 << 20, "{allocated} bytes for four bytes in four blocks");
    }

    /// A part that is written again over what an earlier try left.
    #[test]
    fn what_stood_there_before_is_gone() {
        let file = tempfile::tempfile().expect("a file");
        file.write_all_at(&vec![9; 1 << 20], 0).expect("written");
        written(&file, &vec![0; 300_000], 300_000, 100_000);
        let mut read = vec![1; 1 << 20];
        file.read_exact_at(&mut read, 0).expect("read");
        assert!(read[..100_000].iter().all(|byte| *byte == 9));
        assert!(read[100_000..400_000].iter().all(|byte| *byte == 0));
        assert!(read[400_000..].iter().all(|byte| *byte == 9));
    }
}
