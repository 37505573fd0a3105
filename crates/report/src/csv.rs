//! Comma-separated values that nothing in a name can break: RFC 4180, every text in quotes.
//!
//! In a text, the backslash, control characters and line separators are escaped as in a JSON
//! string, so one record is one line and a terminal is not moved. So is a character that would
//! begin a formula where a spreadsheet begins a cell, also one that splits cells at semicolons.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde_json::Value;

use crate::schema::{Cell, Column};
use crate::table::TableError;

/// The names of the columns.
pub(crate) fn head(columns: &[Column], output: &mut impl Write) -> io::Result<()> {
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    writeln!(output, "{}", names.join(","))
}

/// One record. Nothing at all stands where it has nothing; an empty text is `""`.
pub(crate) fn line(
    columns: &[Column],
    record: &Value,
    output: &mut impl Write,
) -> Result<(), TableError> {
    let mut line = String::new();
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            line.push(',');
        }
        match column.cell(record)? {
            None => {}
            Some(Cell::Text(text)) => quote(&text, &mut line),
            Some(Cell::Number(number)) => line.push_str(&number.to_string()),
            Some(Cell::Signed(number)) => line.push_str(&number.to_string()),
            Some(Cell::Flag(flag)) => line.push_str(if flag { "true" } else { "false" }),
        }
    }
    line.push('\n');
    Ok(output.write_all(line.as_bytes())?)
}

/// A text as a cell.
pub(crate) fn quote(text: &str, line: &mut String) {
    line.push('"');
    let mut begins_cell = true;
    for letter in text.chars() {
        match letter {
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            '"' => line.push_str("\"\""),
            _ if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') => {
                escape(letter, line);
            }
            _ if begins_cell && begins_formula(letter) => escape(letter, line),
            _ => line.push(letter),
        }
        begins_cell = matches!(letter, ',' | ';' | '"') || (begins_cell && letter == ' ');
    }
    line.push('"');
}

/// All of these are of the basic plane: four digits are enough.
fn escape(letter: char, line: &mut String) {
    // A text takes everything.
    let _ = write!(line, "\\u{:04x}", u32::from(letter));
}

fn begins_formula(letter: char) -> bool {
    // The wide forms count where East Asian input methods are used.
    matches!(letter, '=' | '+' | '-' | '@' | '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(text: &str) -> String {
        let mut line = String::new();
        quote(text, &mut line);
        line
    }

    /// What a reader has who undoes the quotes, then reads the cell as the inside of a JSON string.
    fn read(cell: &str) -> String {
        let inside = cell.trim_matches('"').replace("\"\"", "\\\"");
        serde_json::from_str(&format!("\"{inside}\"")).unwrap()
    }

    #[test]
    fn plain_names_stand_as_they_are() {
        for name in ["", "year=2026/part-0.csv", "a - b", "é/日本", "a,b;c", "it's"] {
            assert_eq!(quoted(name), format!("\"{name}\""));
        }
    }

    #[test]
    fn hostile_names_are_escaped_and_read_back() {
        for (name, expected) in [
            ("=cmd|' /C calc'!A0", "\\u003dcmd|' /C calc'!A0"),
            ("+1", "\\u002b1"),
            ("-1", "\\u002d1"),
            ("@sum", "\\u0040sum"),
            (" =1", " \\u003d1"),
            ("a;=1", "a;\\u003d1"),
            ("a\",=1", "a\"\",\\u003d1"),
            ("\u{ff1d}1", "\\uff1d1"),
            ("\t=1", "\\t=1"),
            ("a\nb\r", "a\\nb\\r"),
            ("\u{1b}[2J\0\u{7f}\u{85}\u{2028}", "\\u001b[2J\\u0000\\u007f\\u0085\\u2028"),
            ("back\\slash\\u003d", "back\\\\slash\\\\u003d"),
        ] {
            let cell = quoted(name);
            assert_eq!(cell, format!("\"{expected}\""));
            assert_eq!(read(&format!("{}\"", &cell[..cell.len() - 1])), name);
        }
    }
}
