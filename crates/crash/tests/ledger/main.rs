//! The ledger on a disk that loses power, has no room left, fails, or turns bits.
//!
//! `WHIMBREL_CRASH_SEEDS=FIRST-LAST` tells these seeds, with a crash after every call; without it
//! a part of one seed is told.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../../ledger/tests/support/mod.rs"]
mod support;

mod bits;
mod power;
mod room;
mod upgrade;
mod workload;

use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use whimbrel_core::failure::FailureKind;
use whimbrel_crash::{Disk, Image, vfs};
use whimbrel_ledger::{Ledger, LedgerError};
use workload::{Known, open, open_files};

/// The seeds to tell, if a person asks for some.
fn seeds_asked() -> Option<RangeInclusive<u64>> {
    let seeds = std::env::var("WHIMBREL_CRASH_SEEDS").ok()?;
    let (first, last) = seeds.split_once('-').unwrap_or((&seeds, &seeds));
    Some(first.parse().unwrap()..=last.parse().unwrap())
}

fn seeds() -> RangeInclusive<u64> {
    seeds_asked().unwrap_or(1..=1)
}

/// A ledger that was opened on what a crash left.
struct Found {
    ledger: Ledger,
    disk: Arc<Disk>,
    _mount: vfs::Mount,
    /// Which of what was allowed it knows.
    which: usize,
}

/// Why there is none.
enum Trouble {
    /// It says by name that what stands there is not what was written.
    Damaged(String),
    /// It says something else.
    Refused(String),
    /// It knows what it should not, or not what it should.
    Wrong(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Damaged(what) | Self::Refused(what) | Self::Wrong(what)) = self;
        formatter.write_str(what)
    }
}

impl From<LedgerError> for Trouble {
    fn from(error: LedgerError) -> Self {
        match error.failure().kind == FailureKind::Corrupt {
            true => Self::Damaged(error.to_string()),
            false => Self::Refused(error.to_string()),
        }
    }
}

/// Opens the ledger on an image: it has to know one of these.
fn find(image: &Image, allowed: &[&Known], folder: &Path) -> Result<Found, Trouble> {
    let disk = Arc::new(Disk::new(image));
    let mount = vfs::Mount::new(folder, disk.clone());
    let ledger = open(folder)?;
    let which = known_by(&ledger, allowed)?;
    Ok(Found { ledger, disk, _mount: mount, which })
}

/// The same on the system's files.
fn find_on_files(image: &Image, allowed: &[&Known]) -> Result<(), Trouble> {
    let folder = tempfile::tempdir().unwrap();
    known_by(&open_files(image, folder.path())?, allowed).map(drop)
}

/// Which of these a ledger knows that was just opened.
fn known_by(ledger: &Ledger, allowed: &[&Known]) -> Result<usize, Trouble> {
    let mut differences = Vec::new();
    for (which, known) in allowed.iter().enumerate() {
        match known.after(&workload::Act::Open).difference(ledger)? {
            None => return Ok(which),
            Some(difference) => differences.push(difference),
        }
    }
    Err(Trouble::Wrong(differences.join("\n  or ")))
}
