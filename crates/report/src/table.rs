//! Records written one after the other, in one of three forms and with the same columns.

use std::io::{self, Write};

use serde_json::Value;

use crate::csv;
use crate::parquet::RowGroups;
use crate::schema::{Column, all_known};

/// The form of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line.
    JsonLines,
    /// Comma-separated values, with a line of names first.
    Csv,
    /// Apache Parquet.
    Parquet,
}

/// Why a table was not written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// What takes it does not.
    #[error("{0}")]
    Write(#[from] io::Error),
    /// A record is of another form.
    #[error("a record has in {field} what is not known here")]
    Form {
        /// The field.
        field: String,
    },
    /// The rows could not be put together.
    #[error("{0}")]
    Parquet(String),
}

/// A table that is being written. Memory does not grow with its length.
pub struct Table<W: Write + Send> {
    columns: &'static [Column],
    shape: Shape<W>,
}

enum Shape<W: Write + Send> {
    JsonLines(W),
    Csv(W),
    Parquet(Box<RowGroups<W>>),
}

impl<W: Write + Send> Table<W> {
    /// Begins a table.
    ///
    /// # Errors
    /// The output takes nothing.
    pub fn begin(
        mut output: W,
        format: Format,
        columns: &'static [Column],
    ) -> Result<Self, TableError> {
        let shape = match format {
            Format::JsonLines => Shape::JsonLines(output),
            Format::Csv => {
                csv::head(columns, &mut output)?;
                Shape::Csv(output)
            }
            Format::Parquet => Shape::Parquet(Box::new(RowGroups::begin(output, columns)?)),
        };
        Ok(Self { columns, shape })
    }

    /// Adds a record.
    ///
    /// # Errors
    /// The output takes no more, or the record is of another form.
    pub fn add(&mut self, record: &Value) -> Result<(), TableError> {
        all_known(self.columns, record)?;
        match &mut self.shape {
            Shape::JsonLines(output) => Ok(writeln!(output, "{record}")?),
            Shape::Csv(output) => csv::line(self.columns, record, output),
            Shape::Parquet(groups) => groups.add(record),
        }
    }

    /// Ends the table and gives its output back, flushed.
    ///
    /// # Errors
    /// The output takes no more.
    pub fn finish(self) -> Result<W, TableError> {
        let mut output = match self.shape {
            Shape::JsonLines(output) | Shape::Csv(output) => output,
            Shape::Parquet(groups) => groups.finish()?,
        };
        output.flush()?;
        Ok(output)
    }
}
