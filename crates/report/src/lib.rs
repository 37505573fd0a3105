//! What is handed to others: the ledger's records as tables in three forms, and reports that are
//! signed, so that what was proven can be shown later and elsewhere.
//!
//! A crate of its own because Parquet is heavy: only the command is linked with it.

mod check;
mod csv;
mod draft;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod key;
mod page;
mod parquet;
mod schema;
mod table;

pub use check::{Checked, Finding, check};
pub use draft::{Draft, Facts, Way, is_free};
pub use error::ReportError;
pub use key::{PublicKey, SigningKey};
pub use schema::{COMPARISON, Column, EXCEPTION, RECORD};
pub use table::{Format, Table, TableError};
