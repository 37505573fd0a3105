//! The sum that stands beside an image.

use std::fmt;
use std::io::{self, Read};

use md5::{Digest as _, Md5 as Hasher};

use crate::error::Error;

const BUFFER_BYTES: usize = 1 << 16;

/// An MD5 sum: tells damage, not malice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Md5([u8; 16]);

impl Md5 {
    /// The sum of everything that a reader gives.
    ///
    /// # Errors
    /// As reading fails.
    pub fn of(mut input: impl Read) -> io::Result<Self> {
        let mut summing = Summing::default();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match input.read(&mut buffer) {
                Ok(0) => return Ok(summing.sum()),
                Ok(length) => summing.take(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// What a sidecar (`fsimage_N.md5`) or a header says: 32 digits, then perhaps the name.
    ///
    /// # Errors
    /// [`Error::Sidecar`] if it begins with something else.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = || Error::Sidecar(text.chars().take(80).collect());
        let digits = text.split_ascii_whitespace().next().ok_or_else(refuse)?;
        if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refuse());
        }
        let number = u128::from_str_radix(digits, 16).map_err(|_| refuse())?;
        Ok(Self(number.to_be_bytes()))
    }

    pub(crate) fn check(&self, found: &Self) -> Result<(), Error> {
        if self == found {
            return Ok(());
        }
        Err(Error::Md5 { expected: self.to_string(), found: found.to_string() })
    }
}

impl fmt::Display for Md5 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Md5 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Md5({self})")
    }
}

/// A sum in the making.
#[derive(Default)]
pub(crate) struct Summing(Hasher);

impl Summing {
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn sum(self) -> Md5 {
        Md5(self.0.finalize().into())
    }
}
