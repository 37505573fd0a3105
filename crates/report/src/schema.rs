//! The columns of every table, the same in all forms. In JSON lines a column is the field at its
//! pointer: fields of fields are joined by an underscore.

use std::borrow::Cow;

use serde_json::Value;

use crate::table::TableError;

/// One column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name in CSV and Parquet.
    pub name: &'static str,
    pub(crate) pointer: &'static str,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// Text; nothing where JSON has an object there, whose fields are columns of their own.
    Word,
    /// An object with names of its own, as the text of its JSON.
    Fields,
    /// Not negative.
    Number,
    Signed,
    Flag,
}

/// What a record has in a column.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    Signed(i64),
    Flag(bool),
}

/// Every record of a ledger: directories, files and markers.
pub const RECORD: &[Column] = &[
    column("path", "/path", Kind::Text),
    column("path_base64", "/path_base64", Kind::Text),
    column("kind", "/kind", Kind::Text),
    column("length", "/length", Kind::Number),
    column("crc32c", "/crc32c", Kind::Text),
    column("etag", "/etag", Kind::Text),
    column("version", "/version", Kind::Text),
    column("attempt", "/attempt", Kind::Number),
    column("as_of_txid", "/as_of_txid", Kind::Number),
    column("verified", "/verified", Kind::Flag),
    column("source", "/source", Kind::Word),
    column("source_file_key", "/source/file_key", Kind::Number),
    column("source_file_id", "/source/file_id", Kind::Number),
    column("source_device", "/source/device", Kind::Number),
    column("source_inode", "/source/inode", Kind::Number),
    column("source_version", "/source/version", Kind::Text),
    column("source_etag", "/source/etag", Kind::Text),
    column("source_crc32c", "/source/crc32c", Kind::Text),
    column("source_length", "/source/length", Kind::Number),
    column("source_modified_ms", "/source/modified_ms", Kind::Signed),
    column("source_modified_ns", "/source/modified_ns", Kind::Signed),
    column("metadata_owner", "/metadata/owner", Kind::Text),
    column("metadata_group", "/metadata/group", Kind::Text),
    column("metadata_mode", "/metadata/mode", Kind::Text),
    column("metadata_modified_ns", "/metadata/modified_ns", Kind::Signed),
    column("metadata_acl", "/metadata/acl", Kind::Text),
    column("metadata_xattrs", "/metadata/xattrs", Kind::Fields),
    column("metadata_ledger_only", "/metadata_ledger_only", Kind::Flag),
];

/// Every path that was compared.
pub const COMPARISON: &[Column] = &[
    column("path", "/path", Kind::Text),
    column("path_base64", "/path_base64", Kind::Text),
    column("kind", "/kind", Kind::Text),
    column("length", "/length", Kind::Number),
    column("result", "/result", Kind::Text),
    column("method", "/method", Kind::Text),
    column("message", "/message", Kind::Text),
];

/// What is not as it should be.
pub const EXCEPTION: &[Column] = &[
    column("path", "/path", Kind::Text),
    column("path_base64", "/path_base64", Kind::Text),
    column("kind", "/kind", Kind::Text),
    column("message", "/message", Kind::Text),
];

const fn column(name: &'static str, pointer: &'static str, kind: Kind) -> Column {
    Column { name, pointer, kind }
}

impl Column {
    /// What a record has here.
    ///
    /// # Errors
    /// Something else than belongs here: it may come from another version.
    pub(crate) fn cell<'a>(&self, record: &'a Value) -> Result<Option<Cell<'a>>, TableError> {
        let value = match record.pointer(self.pointer) {
            None | Some(Value::Null) => return Ok(None),
            Some(value) => value,
        };
        let cell = match (self.kind, value) {
            (Kind::Word, Value::Object(_)) => return Ok(None),
            (Kind::Text | Kind::Word, Value::String(text)) => {
                Some(Cell::Text(Cow::Borrowed(text.as_str())))
            }
            (Kind::Fields, Value::Object(_)) => Some(Cell::Text(Cow::Owned(value.to_string()))),
            (Kind::Number, Value::Number(number)) => number.as_u64().map(Cell::Number),
            (Kind::Signed, Value::Number(number)) => number.as_i64().map(Cell::Signed),
            (Kind::Flag, Value::Bool(flag)) => Some(Cell::Flag(*flag)),
            (_, _) => None,
        };
        cell.map(Some).ok_or_else(|| TableError::Form { field: self.name.to_owned() })
    }

    fn is_at(&self, name: &str, inner: Option<&str>) -> bool {
        let mut parts = self.pointer.split('/').skip(1);
        parts.next() == Some(name) && parts.next() == inner
    }
}

/// Nothing that a record has is left out in silence.
///
/// # Errors
/// A field without a column: it may come from another version.
pub(crate) fn all_known(columns: &[Column], record: &Value) -> Result<(), TableError> {
    let lacks =
        |name: &str, inner: Option<&str>| !columns.iter().any(|column| column.is_at(name, inner));
    let whole = |name: &str| {
        columns.iter().any(|column| column.kind == Kind::Fields && column.is_at(name, None))
    };
    let unknown = |field: &str| Err(TableError::Form { field: field.to_owned() });
    let Some(fields) = record.as_object() else { return unknown("itself") };
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        match value.as_object().filter(|_| !whole(name)) {
            Some(object) => {
                let mut named = object.iter().filter(|(_, value)| !value.is_null());
                if let Some((inner, _)) = named.find(|(inner, _)| lacks(name, Some(inner))) {
                    return unknown(&format!("{name}.{inner}"));
                }
            }
            None if lacks(name, None) => return unknown(name),
            None => {}
        }
    }
    Ok(())
}
