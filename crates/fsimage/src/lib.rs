//! Reads the images that a NameNode saves of its namespace (`fsimage_N`), to learn what stands
//! below a directory without asking the NameNode for a single listing.
//!
//! ```no_run
//! use whimbrel_fsimage::{Error, Image, Root, Settings};
//!
//! # fn example() -> Result<(), Error> {
//! let mut image = Image::open("/data/fsimage_0000000000000012345".as_ref(), None)?;
//! println!("as of transaction {}", image.header().transaction_id);
//! let mut inventory = image.inventory(&Root::Path(b"/warehouse".to_vec()), &Settings::default())?;
//! while let Some(page) = inventory.next_page()? {
//!     println!("{}: {}", String::from_utf8_lossy(&page.path), page.entries.len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! It reads the protobuf layout (Hadoop 2.4 to 3.5), not compressed or by zlib, gzip, LZ4, Snappy
//! or Zstandard. Nothing that an image says is believed before its bytes are there, and what
//! contradicts itself is an error, not half an inventory: a child without an inode, an inode in two
//! places or (unless the NameNode keeps snapshots, which hold such) in none, a count that does not
//! fit, a body of another type, two children of one name.
//!
//! # The order of an inventory, and what it takes
//!
//! An inventory is for being joined with a table of the same files that is kept by directory and
//! name: page by page, with the rows of the same directory between the same names, so that neither
//! side is ever held whole. For that each directory's children must come together, ascending by
//! the bytes of their names, with word of whether more follow, and each directory must have a page
//! even if nothing stands in it, since rows may. Directories come before those in them and
//! siblings by name, so that a table which is sorted by path can be read along, whoever stops knows
//! by one path how far he came, and what is left out above is left out below.
//!
//! An image has none of that. Its inodes come in the order of a hash table, without their parents;
//! another section has the children's ids of each directory, in the same order, by names as signed
//! bytes; what was moved below a snapshot is named through a third. At 43 million files these are
//! 3 to 6 GB, so:
//!
//! 1. The section of inodes is read for directories alone: id, name, whether it is an encryption
//!    zone. These stay in memory, 60 bytes and the name for each: paths are made of them, and the
//!    order of the walk is found. (About 250 MB for 3 million directories. Files take none.)
//! 2. The section of children is read for the directories' parents, and the walk is laid.
//! 3. It is read once more: each child below the root gets the number that its directory has in the
//!    walk.
//! 4. The inodes are read once more and joined with that by id. Where the numbers fit into half of
//!    [`Settings::memory_bytes`] that is a sorted list in memory; else both are divided on disk by
//!    a hash of the id into as many parts as it takes, at most 256, and joined part by part.
//! 5. What stands below the root is sorted by directory and name in the other half: runs on disk
//!    that are merged as pages are asked for. A run holds inodes as the image had them, so there is
//!    no second format.
//!
//! So memory is `memory_bytes`, the directories, some buffers (8 MB; 32 MB with 256 parts), the
//! largest single message (a directory of a million children: 5 MB), eight bytes for everything
//! that was renamed after a snapshot, and one page. Disk is the size of the inodes, not compressed,
//! twice while they are divided, then once, read and written in long stretches. With
//! `memory_bytes` of 64 bytes and more for each inode nothing is divided.
//!
//! Two million inodes of 76 bytes, one core of a shared machine, digests included: 3.6 million a
//! second are decoded in the image's order; an inventory gives 1.6 million a second where all fits
//! into memory, 1.2 million with 256 MiB, 0.9 million with 32 MiB (`tests/images/rate.rs`).
//!
//! Not done: a sort of everything by id in place of the division (three sorts in place of one); a
//! table of all inodes in memory (some 10 GB); an order of directories that needs no names in
//! memory (no table that is sorted by path could be read along).

mod codec;
mod entry;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod image;
mod inventory;
mod join;
mod md5;
mod sorter;
mod strings;
mod transfer;
mod tree;
mod wire;

pub use entry::{
    AclEntry, AclSubject, Block, Entry, File, Node, XAttr, XAttrNamespace, blocks_digest,
};
pub use error::Error;
pub use image::{ErasureCodingPolicy, Header, Image, Inodes, Snapshot, Snapshots};
pub use inventory::{Inventory, Page, Root, Settings};
pub use md5::Md5;
pub use transfer::{Download, download};
