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
