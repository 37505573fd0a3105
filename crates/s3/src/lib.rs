//! A thin S3 client.

mod body;
mod bucket;
mod checksum;
mod client;
mod clock;
mod connection;
pub mod credentials;
mod deletion;
mod encoding;
mod endpoint;
mod environment;
mod error;
mod listing;
mod multipart;
mod object;
mod pool;
mod profile;
mod proxy;
mod refusal;
mod role;
mod settings;
mod signature;
mod trust;
mod write_options;
mod xml;

pub use body::Body;
pub use bucket::{BucketHead, Versioning};
pub use checksum::{ChecksumType, Checksums, Crc32c};
pub use client::Client;
pub use deletion::{DELETE_KEYS_MAX, Deletion, DeletionFailure, fits_xml};
pub use endpoint::Addressing;
pub use environment::Environment;
pub use error::{Error, Kind, Result};
pub use listing::{ListPage, ListRequest, ListedKey, ListedObject};
pub use multipart::{
    PART_BYTES_MAX, PART_BYTES_MIN, PARTS_MAX, Part, PartPage, Upload, UploadPage, Whole,
};
pub use object::{
    CopyMetadata, CopyRequest, GetRequest, KEY_BYTES_MAX, ObjectHead, ObjectReader, Stored,
};
pub use pool::ConnectionCounts;
pub use settings::{
    FixedCredentials, HEADER_SIGNATURE_LIFETIME, Limits, MutationSigning, Settings,
};
pub use write_options::{Condition, ObjectOptions, WriteOptions};
