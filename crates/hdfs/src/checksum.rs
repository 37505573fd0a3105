//! Checksums that do not depend on how a file is cut into blocks.

/// The two polynomials that HDFS keeps checksums of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CrcKind {
    /// CRC-32 as in gzip: older files.
    Crc32,
    /// CRC-32C (Castagnoli): Hadoop's default.
    Crc32c,
}

/// The CRC of a whole file's bytes, composed from the checksums that DataNodes keep.
///
/// It equals the CRC that is computed over the plain bytes. For an encrypted file it is that of the
/// ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CompositeCrc {
    /// The polynomial.
    pub kind: CrcKind,
    /// The value; 0 for an empty file.
    pub value: u32,
}

impl CrcKind {
    /// The CRC of some bytes.
    #[must_use]
    pub fn of(self, bytes: &[u8]) -> u32 {
        match self {
            Self::Crc32 => crc32fast::hash(bytes),
            Self::Crc32c => crc32c::crc32c(bytes),
        }
    }

    /// The CRC of two pieces in a row, of which the second is `second_bytes` long.
    #[must_use]
    pub fn combine(self, first: u32, second: u32, second_bytes: u64) -> u32 {
        match self {
            Self::Crc32 => {
                let mut joined = crc32fast::Hasher::new_with_initial(first);
                joined.combine(&crc32fast::Hasher::new_with_initial_len(second, second_bytes));
                joined.finalize()
            }
            Self::Crc32c => {
                // Lengths beyond the address space do not occur where this crate runs (64 bits).
                let length = usize::try_from(second_bytes).unwrap_or(usize::MAX);
                crc32c::crc32c_combine(first, second, length)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_combine_to_the_whole() {
        let bytes: Vec<u8> = (0..5000_u32).map(|i| ((i * 7919) >> 3) as u8).collect();
        for kind in [CrcKind::Crc32, CrcKind::Crc32c] {
            for cut in [0, 1, 511, 512, 4999, 5000] {
                let (first, second) = bytes.split_at(cut);
                let second_bytes = second.len() as u64;
                let joined = kind.combine(kind.of(first), kind.of(second), second_bytes);
                assert_eq!(joined, kind.of(&bytes), "{kind:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn known_values() {
        assert_eq!(CrcKind::Crc32c.of(b"123456789"), 0xe306_9283);
        assert_eq!(CrcKind::Crc32.of(b"123456789"), 0xcbf4_3926);
    }
}
