//! An asynchronous client of Hadoop's distributed file system, for programs that follow it.
//!
//! It offers what a migration, a backup or an index needs and a plain file client lacks: the
//! stream of edits as typed events, listings with file ids and block locations, reads of pinned
//! block lists, and checksums of whole files from the checksums that DataNodes already keep.
//! It only reads, but for what it is told to write: files, directories, what belongs to them,
//! snapshots, safe mode. Start with
//! [`Configuration`] and [`Client`].
//!
//! ```no_run
//! use whimbrel_hdfs::{Client, Configuration, Error, Settings};
//!
//! # async fn example() -> Result<(), Error> {
//! let configuration = Configuration::read("/etc/hadoop/conf".as_ref())?;
//! let client = Client::connect(&configuration, "", Settings::new("hdfs")).await?;
//! let begin = client.current_transaction_id().await?;
//! if let Some(status) = client.located_status(b"/data/events.log").await? {
//!     if let Some(file) = &status.pinned {
//!         let mut reader = client.read(file, 0..file.length)?;
//!         while let Some(bytes) = reader.next().await? {
//!             println!("{} bytes", bytes.len());
//!         }
//!         println!("{:?}", client.composite_crc(file).await?);
//!     }
//! }
//! for batch in client.edits_from(begin + 1).await?.batches {
//!     println!("{}: {:?}", batch.txid, batch.events);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Modules, from the wire up: `proto` holds the messages, `rpc` frames, connections, authentication
//! and fail-over, `datanode` blocks and checksums; `client`, `edits`, `namespace`, `snapshot`, `fence`,
//! `change`, `read` and `write` are the calls.

mod acl;
mod change;
mod checksum;
mod client;
mod configuration;
mod datanode;
mod edits;
mod error;
mod event;
mod fence;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod namespace;
mod pinned;
mod proto;
mod read;
mod rpc;
mod server_configuration;
mod snapshot;
mod socket;
mod status;
mod write;

pub use acl::{AclEntry, AclStatus, AclSubject, XAttr, XAttrNamespace};
pub use change::name_refusal;
pub use checksum::{CompositeCrc, CrcKind};
pub use client::{Client, Settings};
pub use configuration::{Cluster, Configuration, NamenodeAddress};
pub use error::{Error, ErrorKind};
pub use event::{CreateEvent, EditsBatch, Event, EventBatch, MetadataChange};
pub use namespace::{EncryptionZone, FileSystemStats, HaState, NamespaceIdentity, ServerDefaults};
pub use pinned::{Block, Datanode, ErasureCoding, PinnedFile};
pub use read::FileReader;
pub use rpc::namenodes::Epoch;
pub use snapshot::{SnapshotDifferenceCursor, SnapshotDifferenceEntry, SnapshotDifferencePage};
pub use status::{ContentSummary, FileKind, FileStatus, Page};
pub use write::{Excluded, FileWriter, NewFile};
