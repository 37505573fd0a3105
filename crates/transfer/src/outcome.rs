//! From what the stores say to what the core understands.

use whimbrel_core::failure::{Failure, FailureKind, Side};
use whimbrel_core::input::{Standing, Written};
use whimbrel_store::error::StoreError;

/// Why a piece of work ended early.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ended {
    /// The source changed under the reading, or is gone.
    Moved,
    /// Nothing took effect, and nothing will.
    Failed(Failure),
    /// Nothing took effect, for something else stands there than was expected (rule 4.4).
    Unexpected(Failure),
    /// A request may have taken effect, or may yet (rule 4.1).
    Unknown(Failure),
}

impl Ended {
    /// A reading that failed: nothing was written.
    pub(crate) fn reading(error: StoreError) -> Self {
        match error {
            StoreError::Moved { .. } | StoreError::Missing { .. } => Self::Moved,
            StoreError::Unavailable { .. }
            | StoreError::Throttled { .. }
            | StoreError::Denied { .. }
            | StoreError::Forbidden { .. }
            | StoreError::Refused { .. }
            | StoreError::Conflict { .. }
            | StoreError::Unexpected { .. }
            | StoreError::Full { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Unsupported { .. }
            | StoreError::Unknown { .. } => Self::Failed(error.into_failure(Side::Source)),
        }
    }

    /// A write that makes an object visible failed.
    pub(crate) fn writing(error: StoreError) -> Self {
        if error.outcome_unknown() {
            Self::Unknown(error.into_failure(Side::Target))
        } else if matches!(error, StoreError::Unexpected { .. }) {
            Self::Unexpected(error.into_failure(Side::Target))
        } else {
            Self::Failed(error.into_failure(Side::Target))
        }
    }

    /// A request failed that can make nothing visible, whatever became of it.
    pub(crate) fn preparing(error: StoreError) -> Self {
        Self::Failed(error.into_failure(Side::Target))
    }
}

impl From<Ended> for Written {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Moved => Self::SourceMoved,
            Ended::Failed(failure) => Self::Failed(failure),
            Ended::Unexpected(failure) => Self::Unexpected(failure),
            Ended::Unknown(failure) => Self::Unknown(failure),
        }
    }
}

/// Compares what the target says of the new object with what was sent, and fills in the checksum
/// that was computed on the way. A target that answers with something else holds something else:
/// what stands there is looked at again.
pub(crate) fn verified(
    mut standing: Standing,
    length: u64,
    crc32c: Option<u32>,
) -> Result<Standing, Ended> {
    if standing.length != length {
        return Err(mismatch(format!(
            "the target answers with {} bytes for an object of {length} bytes",
            standing.length
        )));
    }
    match (standing.crc32c, crc32c) {
        (Some(stored), Some(computed)) if stored != computed => Err(mismatch(format!(
            "the target answers with CRC32C {stored:08x} for bytes of CRC32C {computed:08x}"
        ))),
        (stored, computed) => {
            standing.crc32c = stored.or(computed);
            Ok(standing)
        }
    }
}

fn mismatch(message: String) -> Ended {
    Ended::Unknown(Failure {
        side: Side::Target,
        kind: FailureKind::Corrupt,
        message,
        remedy: "it is written again; if it comes back, check the target's disks and proxies"
            .to_owned(),
    })
}
