//! Replies about the edit stream, one after the other, in a file.

use std::fs;
use std::path::Path;

use super::message::{bytes, number};
use super::reader::EditsReader;
use crate::TestbedError;

/// What a NameNode answered, from the first transaction to the last of the time of recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// The transaction that each asked from, and `GetEditsFromTxidResponseProto`.
    pub replies: Vec<(u64, Vec<u8>)>,
}

impl Recording {
    /// Reads everything from a transaction on to the newest one.
    ///
    /// # Errors
    /// [`TestbedError::Command`].
    pub fn of(reader: &mut EditsReader, first: u64) -> Result<Self, TestbedError> {
        let last = reader.newest_txid()?;
        let mut replies = Vec::new();
        let mut next = first;
        while next <= last {
            let reply = reader.edits_from(next)?;
            let told = bytes(&reply, 1).and_then(|list| number(list, 3));
            let Some(told) = told.filter(|told| *told >= next && *told < 1 << 63) else { break };
            replies.push((next, reply));
            next = told + 1;
        }
        Ok(Self { replies })
    }

    /// Writes it: for each reply eight bytes of transaction, four of length, and the reply.
    ///
    /// # Errors
    /// [`TestbedError::File`].
    pub fn write(&self, path: &Path) -> Result<(), TestbedError> {
        let mut out = Vec::new();
        for (first, reply) in &self.replies {
            out.extend_from_slice(&first.to_be_bytes());
            out.extend_from_slice(&(reply.len() as u32).to_be_bytes());
            out.extend_from_slice(reply);
        }
        fs::write(path, out).map_err(TestbedError::file(path))
    }

    /// Reads what was written.
    ///
    /// # Errors
    /// [`TestbedError::File`], also of a file that was cut off.
    pub fn read(path: &Path) -> Result<Self, TestbedError> {
        let all = fs::read(path).map_err(TestbedError::file(path))?;
        let mut rest = &all[..];
        let mut replies = Vec::new();
        while !rest.is_empty() {
            let reply = take_reply(&mut rest);
            let cut = || TestbedError::file(path)(std::io::ErrorKind::UnexpectedEof.into());
            replies.push(reply.ok_or_else(cut)?);
        }
        Ok(Self { replies })
    }
}

fn take_reply(rest: &mut &[u8]) -> Option<(u64, Vec<u8>)> {
    let (first, after) = rest.split_first_chunk::<8>()?;
    let (length, after) = after.split_first_chunk::<4>()?;
    let (reply, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = after;
    Some((u64::from_be_bytes(*first), reply.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_outlives_its_process() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("edits");
        let recording = Recording { replies: vec![(7, b"abc".to_vec()), (9, Vec::new())] };
        recording.write(&file).unwrap();
        assert_eq!(Recording::read(&file).unwrap(), recording);
        let written = fs::read(&file).unwrap();
        fs::write(&file, &written[..written.len() - 1]).unwrap();
        assert!(Recording::read(&file).is_err());
    }
}
