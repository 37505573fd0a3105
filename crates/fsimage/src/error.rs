//! What can go wrong with an image.

use std::io;
use std::path::PathBuf;

/// Why an image was not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file, or the connection that it comes over, failed.
    #[error("the image cannot be read: {0}")]
    Read(#[source] io::Error),
    /// It is something else, or its end is missing.
    #[error("not an fsimage of Hadoop 2.4 or newer, or not all of it: {0}")]
    NotAnImage(&'static str),
    /// A layout that this reader does not know; what it means may have changed.
    #[error("the image has layout version {version}; {oldest} to {newest} are known")]
    Layout {
        /// What the image says.
        version: i32,
        /// The first that is read.
        oldest: i32,
        /// The last that is read.
        newest: i32,
    },
    /// The way its sections are compressed is not read.
    #[error(
        "the image is compressed with {0}, which is not read: have it saved without \
         (dfs.image.compress = false), or with DefaultCodec, GzipCodec, Lz4Codec, SnappyCodec or \
         ZStandardCodec"
    )]
    Codec(String),
    /// Its bytes are not what its sidecar says.
    #[error("the image has MD5 {found}, not {expected}: it is damaged, or the sum is another's")]
    Md5 {
        /// What was said.
        expected: String,
        /// What its bytes have.
        found: String,
    },
    /// A sidecar that holds no MD5.
    #[error("no MD5 stands in the image's sidecar: {0:?}")]
    Sidecar(String),
    /// It contradicts itself.
    #[error("section {section} of the image is damaged: {what}")]
    Damaged {
        /// The section's name.
        section: &'static str,
        /// What is wrong in it.
        what: String,
    },
    /// The root is no directory of the image: it was made later, moved, or never was.
    #[error("the image has no directory {0}")]
    NoRoot(String),
    /// The disk that larger inventories are sorted on failed.
    #[error("temporary files in {} fail: {source}", directory.display())]
    Spill {
        /// Where they lie.
        directory: PathBuf,
        /// How.
        source: io::Error,
    },
    /// There is no room for it.
    #[error("the image has {bytes} bytes, and there is room to work on {bytes_max}")]
    NoRoom {
        /// Its length.
        bytes: u64,
        /// What was allowed.
        bytes_max: u64,
    },
    /// The NameNode did not send its image.
    #[error("the NameNode at {address} sends no image: {what}")]
    Transfer {
        /// Which one.
        address: String,
        /// What it answered, or how the connection failed.
        what: String,
    },
}

/// Bytes that are not what they should be; the section is added where it is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

impl Malformed {
    pub(crate) fn within(self, section: &'static str) -> Error {
        Error::damaged(section, self.0)
    }
}

impl Error {
    pub(crate) fn damaged(section: &'static str, what: impl Into<String>) -> Self {
        Self::Damaged { section, what: what.into() }
    }

    /// A failure while a section was read: decoders tell of wrong bytes in the same way.
    pub(crate) fn reading(section: &'static str, error: io::Error) -> Self {
        use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
        if [InvalidData, InvalidInput, Other, UnexpectedEof].contains(&error.kind()) {
            Self::damaged(section, error.to_string())
        } else {
            Self::Read(error)
        }
    }
}
