//! What the first bytes of a database tell: enough to refuse one without opening it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{LedgerError, Result};
use crate::folder::DATABASE;
use crate::schema;

/// <https://www.sqlite.org/fileformat2.html#the_database_header>
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const VERSION_AT: usize = 60;
const APPLICATION_AT: usize = 68;
const HEADER_BYTES: usize = 100;

/// Looks whether this program could go on with the state in a folder, as far as its first bytes
/// tell: who works with it is not asked, and nothing is written. A state that is young may be in
/// its log alone, of which nothing is said.
///
/// # Errors
/// `Newer`, `Foreign`, `Damaged`; `Io` and its like if it cannot be read.
pub fn look(folder: &Path) -> Result<()> {
    let path = folder.join(DATABASE);
    let mut header = Vec::new();
    let read = File::open(&path).and_then(|file| {
        let most = u64::try_from(HEADER_BYTES).unwrap_or(u64::MAX);
        file.take(most).read_to_end(&mut header)
    });
    read.map_err(|error| LedgerError::file(&path, error))?;
    refuse(&header, &path.display().to_string())
}

fn refuse(header: &[u8], what: &str) -> Result<()> {
    if header.is_empty() {
        return Ok(());
    }
    if header.len() < HEADER_BYTES || !header.starts_with(MAGIC) {
        return Err(LedgerError::damaged(format!("{what} is no database")));
    }
    let number = |at: usize| {
        let bytes = header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_be_bytes).map_or(0, i64::from)
    };
    let (found, application) = (number(VERSION_AT), number(APPLICATION_AT));
    // Both are written with the first tables.
    if (found, application) != (0, 0) && application != schema::APPLICATION {
        return Err(LedgerError::Foreign { what: what.to_owned() });
    }
    let known = schema::newest_version();
    if found > known {
        return Err(LedgerError::Newer { what: what.to_owned(), found, known });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of that version and application.
    fn header(version: u32, application: u32) -> Vec<u8> {
        let mut header = vec![0; HEADER_BYTES];
        header[..MAGIC.len()].copy_from_slice(MAGIC);
        header[VERSION_AT..VERSION_AT + 4].copy_from_slice(&version.to_be_bytes());
        header[APPLICATION_AT..APPLICATION_AT + 4].copy_from_slice(&application.to_be_bytes());
        header
    }

    #[test]
    fn a_state_is_refused_by_its_first_bytes() {
        let (ours, newest) = (0x5768_696d, u32::try_from(schema::STEPS.len()).unwrap());
        let refused = |header: &[u8]| refuse(header, "test").err();
        assert!(refused(&[]).is_none(), "it is not begun");
        assert!(refused(&header(0, 0)).is_none(), "its tables are in the log");
        assert!(refused(&header(1, ours)).is_none() && refused(&header(newest, ours)).is_none());
        let newer = refused(&header(newest + 1, ours));
        let of = i64::from(newest);
        assert!(
            matches!(newer, Some(LedgerError::Newer { found, known, .. })
                if found == of + 1 && known == of),
            "{newer:?}"
        );
        assert!(matches!(refused(&header(1, 7)), Some(LedgerError::Foreign { .. })));
        assert!(matches!(refused(&header(0, 7)), Some(LedgerError::Foreign { .. })));
        let cut = &header(newest, ours)[..HEADER_BYTES - 1];
        assert!(matches!(refused(cut), Some(LedgerError::Damaged { .. })));
        let mut other = header(newest, ours);
        other[0] = b'X';
        assert!(matches!(refused(&other), Some(LedgerError::Damaged { .. })));
    }
}
