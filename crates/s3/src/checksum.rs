//! The CRC32C that S3 keeps for an object, and the other checksums that a server may report.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A CRC32C (Castagnoli polynomial, as in iSCSI) of some bytes.
///
/// In S3's headers it stands as the Base64 text of its four bytes, the highest first. HDFS's
/// composite CRC32C of a file is the same number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Crc32c(pub u32);

impl Crc32c {
    /// The checksum of `bytes`; of no bytes it is zero.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(crc32c::crc32c(bytes))
    }

    /// The checksum of `self`'s bytes followed by `bytes`.
    #[must_use]
    pub fn extended_by(self, bytes: &[u8]) -> Self {
        Self(crc32c::crc32c_append(self.0, bytes))
    }

    /// The checksum of `self`'s bytes followed by `tail_bytes` bytes whose checksum is `tail`.
    #[must_use]
    pub fn followed_by(self, tail: Self, tail_bytes: usize) -> Self {
        Self(crc32c::crc32c_combine(self.0, tail.0, tail_bytes))
    }

    /// As S3 writes it: eight characters of Base64, `AAAAAA==` for no bytes.
    #[must_use]
    pub fn to_base64(self) -> String {
        STANDARD.encode(self.0.to_be_bytes())
    }

    /// Reads what [`Crc32c::to_base64`] writes. `None` for anything else, so also for the checksum
    /// of checksums (`...==-4`) that a server keeps for a multipart upload of type `COMPOSITE`.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        let bytes: [u8; 4] = STANDARD.decode(text).ok()?.try_into().ok()?;
        Some(Self(u32::from_be_bytes(bytes)))
    }
}

impl fmt::Display for Crc32c {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:08x}", self.0)
    }
}

/// What a stored checksum covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumType {
    /// The bytes of the whole object.
    FullObject,
    /// The checksums of its parts.
    Composite,
}

/// The checksums that a server reports for an object, each as it stands in the reply (Base64).
///
/// Some servers leave the type out: then a `-` in the value tells a composite one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checksums {
    /// `x-amz-checksum-crc32c`.
    pub crc32c: Option<String>,
    /// `x-amz-checksum-crc32`.
    pub crc32: Option<String>,
    /// `x-amz-checksum-crc64nvme`; always covers the whole object.
    pub crc64nvme: Option<String>,
    /// `x-amz-checksum-type`, where the server says it.
    pub kind: Option<ChecksumType>,
}

impl Checksums {
    /// The CRC32C of the whole object, if this is what the server keeps.
    #[must_use]
    pub fn full_crc32c(&self) -> Option<Crc32c> {
        if self.kind == Some(ChecksumType::Composite) {
            return None;
        }
        Crc32c::from_base64(self.crc32c.as_deref()?)
    }

    /// The CRC-32 (polynomial of gzip) of the whole object, if this is what the server keeps.
    #[must_use]
    pub fn full_crc32(&self) -> Option<u32> {
        if self.kind == Some(ChecksumType::Composite) {
            return None;
        }
        Crc32c::from_base64(self.crc32.as_deref()?).map(|crc| crc.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(Crc32c::of(b"123456789"), Crc32c(0xe306_9283));
        assert_eq!(Crc32c::of(b"123456789").to_base64(), "4waSgw==");
        assert_eq!(Crc32c::of(b""), Crc32c(0));
        assert_eq!(Crc32c(0).to_base64(), "AAAAAA==");
        assert_eq!(Crc32c::from_base64("4waSgw=="), Some(Crc32c(0xe306_9283)));
        assert_eq!(Crc32c::from_base64("4waSgw==-2"), None);
        assert_eq!(Crc32c::from_base64(""), None);
    }

    #[test]
    fn parts_combine_to_the_whole() {
        let bytes: Vec<u8> = (0..5000_u32).map(|i| (i * 31 / 8) as u8).collect();
        for cut in [0, 1, 8, 255, 4999, 5000] {
            let (head, tail) = bytes.split_at(cut);
            let whole = Crc32c::of(head).followed_by(Crc32c::of(tail), tail.len());
            assert_eq!(whole, Crc32c::of(&bytes), "cut at {cut}");
            assert_eq!(Crc32c::of(head).extended_by(tail), whole, "cut at {cut}");
        }
    }
}
