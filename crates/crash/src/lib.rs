//! Takes the power away from a SQLite database, at every moment and in every way.
//!
//! A [`Disk`] is a folder in memory that SQLite reaches through a VFS ([`vfs`]), and it logs every
//! call that changes something. [`Remains`] tells from a part of that log what a machine that
//! loses power there may find afterwards: all that was synced, and of the rest any part, in pieces
//! of a sector, in any order, with garbage where a sector was being written. Bytes beside those
//! that were written never change: SQLite is told so by the system's VFS, too.
//!
//! For tests alone.

mod disk;
mod draw;
mod remains;
pub mod vfs;

pub use disk::{Call, Disk, Failure, Fault, Image};
pub use draw::Draw;
pub use remains::{Fate, Remains};
