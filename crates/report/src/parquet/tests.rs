//! Rows as a reader of Parquet has them.

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::json;

use super::*;
use crate::schema::RECORD;
use crate::table::{Format, Table};

/// The rows that a reader gets, of each column what is there.
fn read(bytes: Vec<u8>) -> Vec<Vec<(String, Field)>> {
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
    let rows = reader.get_row_iter(None).unwrap().map(|row| {
        let row = row.unwrap();
        let columns = row.get_column_iter().map(|(name, field)| (name.clone(), field.clone()));
        columns.filter(|(_, field)| *field != Field::Null).collect()
    });
    rows.collect()
}

#[test]
fn records_are_read_back() {
    let largest = json!({
        "path": "a\n<b>", "path_base64": "YQo=", "kind": "file", "length": u64::MAX,
        "attempt": 0, "verified": false, "metadata_ledger_only": true,
        "source": { "inode": u64::MAX, "modified_ns": i64::MIN },
        "metadata": { "mode": "0644", "xattrs": { "user.a": "MQ==" }, "modified_ns": -1 },
    });
    let marker = json!({ "path": "", "kind": "marker", "source": "directory", "metadata": null });
    let mut table = Table::begin(Vec::new(), Format::Parquet, RECORD).unwrap();
    table.add(&largest).unwrap();
    table.add(&marker).unwrap();
    let rows = read(table.finish().unwrap());
    let text = |name: &str, value: &str| (name.to_owned(), Field::Str(value.to_owned()));
    let expected = [
        text("path", "a\n<b>"),
        text("path_base64", "YQo="),
        text("kind", "file"),
        ("length".to_owned(), Field::ULong(u64::MAX)),
        ("attempt".to_owned(), Field::ULong(0)),
        ("verified".to_owned(), Field::Bool(false)),
        ("source_inode".to_owned(), Field::ULong(u64::MAX)),
        ("source_modified_ns".to_owned(), Field::Long(i64::MIN)),
        text("metadata_mode", "0644"),
        ("metadata_modified_ns".to_owned(), Field::Long(-1)),
        text("metadata_xattrs", "{\"user.a\":\"MQ==\"}"),
        ("metadata_ledger_only".to_owned(), Field::Bool(true)),
    ];
    assert_eq!(rows[0], expected);
    let expected = [text("path", ""), text("kind", "marker"), text("source", "directory")];
    assert_eq!(rows[1], expected);
    assert_eq!(rows.len(), 2);
}

/// What is gathered is written in between, and nothing is lost at the borders.
#[test]
fn many_rows_are_written_in_groups() {
    for count in [0, ROWS_MAX, 2 * ROWS_MAX + 1] {
        let mut table = RowGroups::begin(Vec::new(), RECORD).unwrap();
        for number in 0..count {
            table.add(&json!({ "path": "p", "kind": "file", "length": number })).unwrap();
            assert!(table.rows < ROWS_MAX);
        }
        let reader = SerializedFileReader::new(bytes::Bytes::from(table.finish().unwrap()));
        let metadata = reader.unwrap().metadata().clone();
        assert_eq!(metadata.num_row_groups(), count.div_ceil(ROWS_MAX));
        assert_eq!(metadata.file_metadata().num_rows(), i64::try_from(count).unwrap());
    }
    let mut table = RowGroups::begin(Vec::new(), RECORD).unwrap();
    let large = "x".repeat(TEXT_BYTES_MAX / 4);
    for _ in 0..9 {
        table.add(&json!({ "path": large })).unwrap();
        assert!(table.text_bytes < TEXT_BYTES_MAX);
    }
    assert_eq!(read(table.finish().unwrap()).len(), 9);
}

#[test]
fn what_does_not_belong_there_is_an_error() {
    for record in [
        json!({ "path": 1 }),
        json!({ "length": -1 }),
        json!({ "verified": "yes" }),
        json!({ "path": "a", "new": 1 }),
        json!({ "source": { "new": 1 } }),
        json!({ "metadata": "unknown" }),
        json!([]),
    ] {
        for format in [Format::Csv, Format::Parquet] {
            let mut table = Table::begin(Vec::new(), format, RECORD).unwrap();
            assert!(matches!(table.add(&record), Err(TableError::Form { .. })), "{record}");
        }
    }
}

/// A reader that goes away is told from all else.
#[test]
fn an_output_that_takes_no_more_is_told_as_such() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let begun = Table::begin(Closed, Format::Parquet, RECORD);
    let ended = begun.and_then(|mut table| {
        table.add(&json!({ "path": "a" }))?;
        table.finish()
    });
    match ended.map(drop) {
        Err(TableError::Write(error)) => assert_eq!(error.kind(), io::ErrorKind::BrokenPipe),
        other => panic!("{other:?}"),
    }
}

/// As `whimbrel-engine` tells them of each kind of source.
#[test]
fn records_of_every_source_are_known() {
    let metadata = json!({
        "owner": "ann", "group": "staff", "mode": "0640", "modified_ns": -1, "acl": "user::rw-",
        "xattrs": { "user.a": "MQ==", "b": "" },
    });
    for source in [
        json!({ "file_key": 7 }),
        json!({ "file_id": 16_388, "length": 3, "modified_ms": -1 }),
        json!({ "device": 1, "inode": 2, "length": 3, "modified_ns": 4 }),
        json!({ "version": null, "etag": "\"e\"", "length": 3, "crc32c": null }),
        json!({ "version": "v", "etag": "\"e\"", "length": 3, "crc32c": "00000000" }),
        json!("directory"),
        json!("unknown"),
    ] {
        let record = json!({
            "path": "a", "path_base64": "YQ==", "kind": "file", "source": source, "length": 3,
            "crc32c": "00000000", "etag": null, "version": "v", "attempt": 1, "as_of_txid": 2,
            "verified": true, "metadata_ledger_only": false, "metadata": metadata,
        });
        let cells = RECORD.iter().map(|column| column.cell(&record).unwrap());
        let has = |value: &Value| value.as_object().map_or(1, |fields| fields.len());
        let nothing = source.as_object().into_iter().flatten().filter(|(_, it)| it.is_null());
        let expected = 10 + 6 + has(&source) - nothing.count();
        assert_eq!(cells.flatten().count(), expected, "{record}");
        for format in [Format::Csv, Format::Parquet] {
            Table::begin(Vec::new(), format, RECORD).unwrap().add(&record).unwrap();
        }
    }
}
