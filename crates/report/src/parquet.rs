//! Records as Parquet: gathered column by column, written a group of rows at a time.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::Value;

use crate::schema::{Cell, Column, Kind};
use crate::table::TableError;

/// Rows and bytes of text that are gathered at most.
const ROWS_MAX: usize = 65_536;
const TEXT_BYTES_MAX: usize = 32 * 1024 * 1024;

pub(crate) struct RowGroups<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<(Column, Gathered)>,
    rows: usize,
    text_bytes: usize,
}

/// What was gathered of one column.
struct Gathered {
    /// For each row 1 where it has something, else 0.
    levels: Vec<i16>,
    values: Values,
}

enum Values {
    Text(Vec<ByteArray>),
    Number(Vec<i64>),
    Flag(Vec<bool>),
}

impl<W: Write + Send> RowGroups<W> {
    pub fn begin(output: W, columns: &[Column]) -> Result<Self, TableError> {
        let schema = parse_message_type(&message_type(columns))?;
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let writer = SerializedFileWriter::new(output, Arc::new(schema), Arc::new(properties))?;
        let columns = columns.iter().map(|column| (*column, Gathered::of(column.kind))).collect();
        Ok(Self { writer, columns, rows: 0, text_bytes: 0 })
    }

    pub fn add(&mut self, record: &Value) -> Result<(), TableError> {
        for (column, gathered) in &mut self.columns {
            let cell = column.cell(record)?;
            if let Some(Cell::Text(text)) = &cell {
                self.text_bytes += text.len();
            }
            gathered.add(cell);
        }
        self.rows += 1;
        if self.rows >= ROWS_MAX || self.text_bytes >= TEXT_BYTES_MAX {
            self.write_group()?;
        }
        Ok(())
    }

    pub fn finish(mut self) -> Result<W, TableError> {
        self.write_group()?;
        Ok(self.writer.into_inner()?)
    }

    fn write_group(&mut self) -> Result<(), TableError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for (_, gathered) in &mut self.columns {
            let Some(mut column) = group.next_column()? else { break };
            let levels = Some(gathered.levels.as_slice());
            match &mut gathered.values {
                Values::Text(values) => {
                    column.typed::<ByteArrayType>().write_batch(values, levels, None)?;
                    values.clear();
                }
                Values::Number(values) => {
                    column.typed::<Int64Type>().write_batch(values, levels, None)?;
                    values.clear();
                }
                Values::Flag(values) => {
                    column.typed::<BoolType>().write_batch(values, levels, None)?;
                    values.clear();
                }
            }
            gathered.levels.clear();
            column.close()?;
        }
        group.close()?;
        (self.rows, self.text_bytes) = (0, 0);
        Ok(())
    }
}

impl Gathered {
    fn of(kind: Kind) -> Self {
        let values = match kind {
            Kind::Text | Kind::Word | Kind::Fields => Values::Text(Vec::new()),
            Kind::Number | Kind::Signed => Values::Number(Vec::new()),
            Kind::Flag => Values::Flag(Vec::new()),
        };
        Self { levels: Vec::new(), values }
    }

    fn add(&mut self, cell: Option<Cell<'_>>) {
        self.levels.push(i16::from(cell.is_some()));
        match (&mut self.values, cell) {
            (Values::Text(values), Some(Cell::Text(text))) => {
                values.push(ByteArray::from(text.into_owned().into_bytes()));
            }
            // Parquet keeps unsigned numbers in the bits of signed ones.
            (Values::Number(values), Some(Cell::Number(number))) => {
                values.push(number.cast_signed());
            }
            (Values::Number(values), Some(Cell::Signed(number))) => values.push(number),
            (Values::Flag(values), Some(Cell::Flag(flag))) => values.push(flag),
            // A column's kind decides both.
            (_, _) => {}
        }
    }
}

fn message_type(columns: &[Column]) -> String {
    let mut text = "message record {".to_owned();
    for column in columns {
        let (kind, name, meaning) = match column.kind {
            Kind::Text | Kind::Word | Kind::Fields => ("binary", column.name, " (STRING)"),
            Kind::Number => ("int64", column.name, " (INTEGER(64,false))"),
            Kind::Signed => ("int64", column.name, " (INTEGER(64,true))"),
            Kind::Flag => ("boolean", column.name, ""),
        };
        // A text takes everything.
        let _ = write!(text, " optional {kind} {name}{meaning};");
    }
    text.push_str(" }");
    text
}

impl From<ParquetError> for TableError {
    fn from(error: ParquetError) -> Self {
        let ParquetError::External(inner) = error else { return Self::Parquet(error.to_string()) };
        match inner.downcast::<io::Error>() {
            Ok(error) => Self::Write(*error),
            Err(other) => Self::Parquet(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
