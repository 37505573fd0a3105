//! A thin S3 client: requests of our own over `hyper`'s HTTP/1.1, few CPU microseconds each.
//!
//! [`Client`] speaks to one bucket. Bodies are sent with their CRC32C in a signed header and are
//! never hashed otherwise (`UNSIGNED-PAYLOAD`, over plain HTTP too), connections are used again,
//! and the signing key is kept for its day. Multipart uploads get the CRC32C of the whole object
//! (`FULL_OBJECT`), so that every object can be compared later without reading it.
//!
//! ```no_run
//! # async fn example() -> whimbrel_s3::Result<()> {
//! use whimbrel_s3::{Client, Condition, Crc32c, ObjectOptions, Settings};
//!
//! let client = Client::new("bucket", &Settings::default()).await?;
//! let checksum = Some(Crc32c::of(b"hello"));
//! let options = ObjectOptions::default();
//! client.put_object(b"key", "hello".into(), checksum, &options, &Condition::Always).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # How long a write can take effect
//!
//! A write whose outcome is not known ([`Kind::Unknown`]) may still be on its way. When it can no
//! longer take effect is enforced here, not guessed. [`Client::request_lifetime`] counts from the
//! end of the call, or from the death of its process: from then on we send nothing more of it, and
//! only what others hold of it can matter.
//!
//! 1. **A call comes to its end.** Credentials, the server's clock and a connection have four times
//!    `connect`, 20 s; what takes longer is not sent. The exchange has ([`Limits`]) `reply` plus its
//!    body's length at `body_bytes_per_second_min`; `long_reply` instead of `reply` for copies and
//!    completions, whose work the server does before it answers. None of this is part of the
//!    lifetime: it is over when the lifetime begins.
//! 2. **With the call its connection ends**, by a reset that discards what the kernel still holds,
//!    and it is never used again. The kernel does the same for a process that is killed; after a
//!    loss of power nothing is sent either. A server that has not got the whole body stores nothing.
//! 3. **The signature expires.** Mutating requests are signed in the query string with
//!    `X-Amz-Expires` ([`MutationSigning::Expiring`], 60 s by default) and dated by the server's
//!    clock, which the first write asks for. The server judges it when the request's head arrives;
//!    a request that some network holds back for longer is refused. Ten seconds are added for what
//!    the two clocks differ. Every header (checksum, metadata, conditions) is signed with it. AWS
//!    and versitygw check it (the tests deliver late on purpose); S3Mock checks no signature.
//! 4. **Work on a request that was accepted in time** is bounded by no protocol: `server_grace`
//!    (30 s) is our allowance for it, and for the bytes of the object that it writes, copies or puts
//!    together (or that a proxy holds whole and passes on) the time that they take at
//!    `work_bytes_per_second_min` (4 MiB/s), at most `long_reply` (300 s).
//!
//! The lifetime is 3 plus 4: 100 s for removals and small objects by default, 104 s for 16 MiB,
//! 400 s for whatever is copied or completed from 1.2 GiB on. With [`MutationSigning::Header`], for
//! stores that forbid query authentication, 3 is 15 minutes. A proxy that sent on the head alone and
//! the body after our connection is closed would break the bound; proxies close both sides together.
//!
//! # What is tried again
//!
//! A request that provably never left is handed to another connection. A read is repeated when an
//! idle connection turns out to be closed. Nothing else: whether to repeat a write is the caller's
//! to decide, by [`Error::kind`].
//!
//! # What is left out on purpose
//!
//! - Checksums in trailers (`aws-chunked`): versitygw and SeaweedFS store `aws-chunked` as the
//!   object's encoding, LocalStack and buckets with object lock refuse them, and they cannot be
//!   signed with an expiry. A body whose checksum is not known before it is sent goes in parts.
//! - Redirects: a bucket in another region is an error that names the region.
//! - Payload signatures, HTTP/2, S3 Express, access points and the accelerated endpoint.

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
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
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
mod socket;
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
    FixedCredentials, HEADER_SIGNATURE_LIFETIME, Limits, MutationSigning, RequestLifetime, Settings,
};
pub use write_options::{Condition, ObjectOptions, WriteOptions};
