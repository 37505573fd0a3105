//! Protocol buffers, field by field, without copies: an image is millions of small messages.

use std::ops::Range;

use crate::error::Malformed;

const CUT: Malformed = Malformed("a message ends within a field");

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Number(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// The fields of one message, in their order.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { message, at: 0 }
    }

    /// The next field: its number and value.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, Malformed> {
        if self.at == self.message.len() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(usize::try_from(length).map_err(|_| CUT)?)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(Malformed("a field of no known type")),
        };
        Ok(Some((tag >> 3, value)))
    }

    /// Where the value of the field that came last stands, if it is bytes.
    pub(crate) fn range(&self, bytes: &[u8]) -> Range<usize> {
        self.at - bytes.len()..self.at
    }

    /// A number without a tag, as packed fields have them.
    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.message.get(self.at).ok_or(CUT)?;
            self.at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed("a number of more than ten bytes"))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let bytes = self.message.get(self.at..).and_then(|rest| rest.get(..length)).ok_or(CUT)?;
        self.at += length;
        Ok(bytes)
    }

    fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], Malformed> {
        self.take(LENGTH)?.try_into().map_err(|_| CUT)
    }
}

impl<'a> Value<'a> {
    pub(crate) fn number(self) -> Result<u64, Malformed> {
        match self {
            Self::Number(number) | Self::Fixed64(number) => Ok(number),
            Self::Fixed32(number) => Ok(u64::from(number)),
            Self::Bytes(_) => Err(Malformed("bytes where a number belongs")),
        }
    }

    pub(crate) fn number_u32(self) -> Result<u32, Malformed> {
        u32::try_from(self.number()?).map_err(|_| Malformed("a number beyond 32 bits"))
    }

    pub(crate) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) | Self::Fixed64(_) | Self::Fixed32(_) => {
                Err(Malformed("a number where bytes belong"))
            }
        }
    }

    /// The numbers of a repeated field, packed or one by one.
    pub(crate) fn each_number(
        self,
        mut take: impl FnMut(u64) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let Self::Bytes(packed) = self else { return take(self.number()?) };
        let mut numbers = Fields::new(packed);
        while numbers.at < packed.len() {
            take(numbers.varint()?)?;
        }
        Ok(())
    }

    /// The same for numbers of four bytes.
    pub(crate) fn each_fixed32(
        self,
        mut take: impl FnMut(u32) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let Self::Bytes(packed) = self else { return take(self.number_u32()?) };
        let mut numbers = Fields::new(packed);
        while numbers.at < packed.len() {
            take(u32::from_le_bytes(numbers.array()?))?;
        }
        Ok(())
    }
}

/// Appends a number as a varint.
pub(crate) fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}
