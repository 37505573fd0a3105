//! Whether the write-ahead log was damaged after it was synced.
//!
//! SQLite takes the log up to the first frame whose checksum does not hold, whatever follows:
//! after a crash that is the transaction that was being written. One begins only when the one
//! before it is synced. So two that were ended, and lie behind such a frame, tell of a turned bit:
//! the state would be older than what was said to be durable. Of the last transaction alone nobody
//! can tell, nor of the log's header.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::error::{LedgerError, Result};

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// Summed up words are big endian if the last bit is set.
const MAGIC: u32 = 0x377f_0682;
const PAGE_BYTES: std::ops::RangeInclusive<u32> = 512..=65_536;

/// A log whose end was damaged is `Damaged`; one that is missing, empty or not begun is none.
pub(crate) fn look(database: &Path) -> Result<()> {
    let mut path = database.as_os_str().to_owned();
    path.push("-wal");
    let path = Path::new(&path);
    let lost = match File::open(path) {
        Ok(file) => lost(BufReader::with_capacity(1 << 16, file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
    };
    match lost.map_err(|error| LedgerError::file(path, error))? {
        0 | 1 => Ok(()),
        lost => Err(LedgerError::damaged(format!(
            "{lost} transactions in {} lie behind a damaged one",
            path.display()
        ))),
    }
}

/// How many transactions were ended behind the first frame that does not hold.
pub(crate) fn lost(mut log: impl Read) -> io::Result<u64> {
    let mut header = [0; HEADER_BYTES];
    if !fill(&mut log, &mut header)? {
        return Ok(0);
    }
    let magic = word(&header, 0);
    let big_endian = magic & 1 == 1;
    let mut sums = summed([0; 2], &header[..24], big_endian);
    let begun = magic & !1 == MAGIC && sums == [word(&header, 24), word(&header, 28)];
    if !begun || !PAGE_BYTES.contains(&word(&header, 8)) {
        return Ok(0);
    }
    let mut frame = vec![0; FRAME_HEADER_BYTES + word(&header, 8) as usize];
    let (mut holds, mut lost) = (true, 0);
    while fill(&mut log, &mut frame)? {
        let of_this_log = frame[8..16] == header[16..24];
        sums = summed(sums, &frame[..8], big_endian);
        sums = summed(sums, &frame[FRAME_HEADER_BYTES..], big_endian);
        holds &= of_this_log && sums == [word(&frame, 16), word(&frame, 20)];
        let ends = word(&frame, 4) != 0;
        lost += u64::from(!holds && of_this_log && ends);
    }
    Ok(lost)
}

/// False at the end.
fn fill(log: &mut impl Read, into: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(into) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn word(bytes: &[u8], place: usize) -> u32 {
    bytes[place..].first_chunk().map_or(0, |word| u32::from_be_bytes(*word))
}

/// SQLite's sums over pairs of words.
fn summed([mut one, mut two]: [u32; 2], bytes: &[u8], big_endian: bool) -> [u32; 2] {
    let word = |word: &[u8; 4]| match big_endian {
        true => u32::from_be_bytes(*word),
        false => u32::from_le_bytes(*word),
    };
    for pair in bytes.as_chunks::<4>().0.chunks_exact(2) {
        one = one.wrapping_add(word(&pair[0])).wrapping_add(two);
        two = two.wrapping_add(word(&pair[1])).wrapping_add(one);
    }
    [one, two]
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A log that begins as one does, and goes on with anything.
    fn begun(page_bytes: u32, salts: [u8; 8], rest: &[u8]) -> Vec<u8> {
        let mut log = Vec::new();
        for word in [MAGIC, 3_007_000, page_bytes, 0] {
            log.extend(word.to_be_bytes());
        }
        log.extend(salts);
        for sum in summed([0; 2], &log, false) {
            log.extend(sum.to_be_bytes());
        }
        [&log, rest].concat()
    }

    proptest! {
        #[test]
        fn any_log_is_read_without_panic(
            page_bytes in 0..2_000_u32, salts: [u8; 8], bytes in vec(any::<u8>(), 0..5_000),
        ) {
            let _ = lost(&bytes[..]).unwrap();
            prop_assert_eq!(lost(&begun(page_bytes, salts, &[])[..]).unwrap(), 0);
            let frames = (bytes.len() / (512 + FRAME_HEADER_BYTES)) as u64;
            prop_assert!(lost(&begun(page_bytes, salts, &bytes)[..]).unwrap() <= frames);
        }
    }

    #[test]
    fn ends_of_transactions_behind_a_damaged_frame_are_counted() {
        let salts = [7; 8];
        let frame = |ends: u8, salts: [u8; 8]| {
            let numbers = [0, 0, 0, 1, 0, 0, 0, ends];
            [&numbers[..], &salts, &[0; 8], &[5; 512]].concat()
        };
        let frames = [frame(0, salts), frame(9, salts), frame(9, [8; 8]), frame(9, salts)];
        assert_eq!(lost(&begun(512, salts, &frames.concat())[..]).unwrap(), 2);
    }

    /// Two transactions that were ended, behind a frame that does not hold.
    fn damaged(salts: [u8; 8]) -> Vec<u8> {
        let frame = [&[0, 0, 0, 1, 0, 0, 0, 9][..], &salts, &[0; 8], &[5; 512]].concat();
        frame.repeat(2)
    }

    #[test]
    fn a_log_whose_header_does_not_hold_was_not_begun() {
        let salts = [7; 8];
        let log = begun(512, salts, &damaged(salts));
        assert_eq!(lost(&log[..]).unwrap(), 2);
        let turned = |place: usize| {
            let mut log = log.clone();
            log[place] ^= 1;
            lost(&log[..]).unwrap()
        };
        assert_eq!((turned(0), turned(24), turned(31)), (0, 0, 0));
        for page_bytes in [256, 131_072] {
            let log = begun(page_bytes, salts, &damaged(salts).repeat(500));
            assert_eq!(lost(&log[..]).unwrap(), 0, "no page is of {page_bytes} bytes");
        }
    }

    /// As machines write it whose words begin with the most significant byte.
    #[test]
    fn a_log_summed_the_other_way_round_is_read_too() {
        let salts = [7; 8];
        let mut log = Vec::new();
        for word in [MAGIC | 1, 3_007_000, 512, 0] {
            log.extend(word.to_be_bytes());
        }
        log.extend(salts);
        let sums = summed([0; 2], &log, true);
        for sum in sums {
            log.extend(sum.to_be_bytes());
        }
        log.extend(damaged(salts));
        assert_eq!(lost(&log[..]).unwrap(), 2);
        let frame = [0, 0, 0, 1, 0, 0, 0, 9];
        let sums = summed(summed(sums, &frame, true), &[5; 512], true);
        log.truncate(HEADER_BYTES);
        log.extend(frame);
        log.extend(salts);
        for sum in sums {
            log.extend(sum.to_be_bytes());
        }
        log.extend([5; 512]);
        assert_eq!(lost(&log[..]).unwrap(), 0, "it holds");
    }

    #[test]
    fn a_log_that_cannot_be_read_is_not_taken_for_one_that_ends() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("an I/O error"))
            }
        }
        assert!(lost(Broken).is_err());
        assert_eq!(lost(io::empty()).unwrap(), 0);
    }
}
