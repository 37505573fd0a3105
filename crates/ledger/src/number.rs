//! Unsigned numbers in SQLite's signed columns.

/// The column's value of a number; numbers above its range all become its largest.
pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
