//! What a migration does with an object that it did not write, at a key of the source.

use crate::config::{Config, Existing};
use crate::failure::{Failure, FailureKind, Side};
use crate::path::RelPath;
use crate::record::Found;

/// What happens to a foreign object at a key of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// The checksum decides.
    Ask,
    /// Taken unproven.
    Take,
    /// Written over.
    Replace,
    /// A person decides.
    Hold,
}

impl Config {
    /// Of an object in whose place the source has a file of this length.
    pub fn adoption(&self, found: &Found, length: u64) -> Adoption {
        let equal_length = found.length == length;
        let of_another = self.is_of_another_migration(found.migration.as_deref());
        match self.existing {
            Existing::Replace => Adoption::Replace,
            Existing::Refuse => Adoption::Hold,
            Existing::Trust | Existing::Check if of_another => Adoption::Hold,
            Existing::Trust if equal_length => Adoption::Take,
            Existing::Check if equal_length && found.crc32c.is_some() => Adoption::Ask,
            Existing::Trust | Existing::Check if found.late => Adoption::Hold,
            Existing::Trust | Existing::Check => Adoption::Replace,
        }
    }

    /// Another migration wrote the object, and nobody said that it is to be taken over.
    pub fn is_of_another_migration(&self, writer: Option<&str>) -> bool {
        writer.is_some_and(|writer| writer != self.migration) && !self.adopt
    }
}

/// Why a run ends that meets such an object.
pub fn written_by_another_migration(path: &RelPath) -> Failure {
    Failure {
        side: Side::Target,
        kind: FailureKind::Conflict,
        message: format!("{path} under the target was written by another migration"),
        remedy: "if that migration is over, take its objects over with --adopt; else choose \
                 another target"
            .to_owned(),
    }
}
