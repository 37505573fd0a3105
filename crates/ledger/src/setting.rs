//! Texts that are kept under a name.

use rusqlite::{Connection, OptionalExtension, params};

use crate::codec::{self, Kind};
use crate::error::{LedgerError, Result};

/// The text under a name.
pub(crate) fn get(sql: &Connection, key: &str) -> Result<Option<String>> {
    let record: Option<Vec<u8>> = sql
        .prepare_cached("SELECT record FROM setting WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?;
    let Some(record) = record else {
        return Ok(None);
    };
    let (stored, value): (String, String) = codec::decode(Kind::Setting, &record)?;
    if stored != key {
        return Err(LedgerError::damaged(format!("the setting {key}")));
    }
    Ok(Some(value))
}

/// Keeps a text under a name; true if there was none.
pub(crate) fn put(sql: &Connection, key: &str, value: &str) -> Result<bool> {
    let record = codec::encode(Kind::Setting, &(key, value))?;
    let replaced = sql
        .prepare_cached("UPDATE setting SET record = ?2 WHERE key = ?1")?
        .execute(params![key, record])?;
    if replaced == 0 {
        sql.prepare_cached("INSERT INTO setting (key, record) VALUES (?1, ?2)")?
            .execute(params![key, record])?;
    }
    Ok(replaced == 0)
}
