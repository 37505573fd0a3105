//! The names of users, groups and extended attributes, which inodes give by number.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, Malformed};
use crate::image::{Messages, STRING_TABLE};
use crate::wire::Fields;

/// Which names a number is about. They share one table, unless the NameNode keeps one for each
/// (`dfs.image.string-tables.expanded`): then the table's place stands in the highest bits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Table {
    User = 1,
    Group = 2,
    XAttr = 3,
}

/// The string table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Strings {
    by_number: HashMap<u32, Arc<[u8]>>,
    mask_bits: u32,
}

impl Strings {
    pub(crate) fn read(messages: &mut Messages<'_>) -> Result<Self, Error> {
        let mut strings = Self::default();
        let Some(header) = messages.next()? else { return Ok(strings) };
        let (count, mask_bits) = header_of(header).map_err(|e| e.within(STRING_TABLE))?;
        strings.mask_bits = mask_bits;
        let mut read = 0_u32;
        while let Some(message) = messages.next()? {
            let (number, name) = entry_of(message).map_err(|e| e.within(STRING_TABLE))?;
            strings.by_number.insert(number, name.into());
            read = read.saturating_add(1);
        }
        if read == count {
            return Ok(strings);
        }
        Err(Error::damaged(STRING_TABLE, format!("{read} names where {count} were said")))
    }

    /// The name of a number. A NameNode writes 0 for none and has no such name; `hdfs oiv -p
    /// ReverseXML` counts from 0, and Hadoop reads what it writes.
    pub(crate) fn get(&self, table: Table, number: u32) -> Option<&Arc<[u8]>> {
        let mask = match self.mask_bits {
            0 => 0,
            bits => (table as u32) << (u32::BITS - bits),
        };
        self.by_number.get(&(number | mask))
    }
}

fn header_of(message: &[u8]) -> Result<(u32, u32), Malformed> {
    let (mut count, mut mask_bits) = (0, 0);
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => count = value.number_u32()?,
            2 => mask_bits = value.number_u32()?,
            _ => {}
        }
    }
    match mask_bits {
        0 | 3 => Ok((count, mask_bits)),
        _ => Err(Malformed("a division of the string table that is not known")),
    }
}

fn entry_of(message: &[u8]) -> Result<(u32, &[u8]), Malformed> {
    let (mut number, mut name) = (0, &[][..]);
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => number = value.number_u32()?,
            2 => name = value.bytes()?,
            _ => {}
        }
    }
    Ok((number, name))
}
