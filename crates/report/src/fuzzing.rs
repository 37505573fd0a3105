//! What holds for any bytes in a report's files and in names, for the fuzz targets: each function
//! panics where it does not. Not part of what this crate offers.

use crate::check::listed;
use crate::csv::quote;
use crate::key::PublicKey;

/// A list of sums, a key, or a name: what is read is written as it was.
pub fn report_files(bytes: &[u8]) {
    if let Some(listed) = listed(bytes) {
        let lines: String = listed.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect();
        assert_eq!(lines.as_bytes(), bytes);
    }
    if let Some(key) = PublicKey::of_pem(bytes) {
        assert_eq!(key.pem().as_bytes(), bytes);
    }
    let name = String::from_utf8_lossy(bytes);
    let mut cell = String::new();
    quote(&name, &mut cell);
    assert!(!cell.chars().any(char::is_control), "one record is one line");
    let inside = &cell[1..cell.len() - 1];
    assert!(!inside.trim_start_matches(' ').starts_with(['=', '+', '-', '@']), "no formula");
    let text = format!("\"{}\"", inside.replace("\"\"", "\\\""));
    assert_eq!(serde_json::from_str::<String>(&text).ok().as_deref(), Some(name.as_ref()));
}
