//! What can go wrong outside, in the words of what is done next.

use serde::{Deserialize, Serialize};

/// Which side failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The source, or its stream.
    Source,
    /// The target.
    Target,
    /// This machine.
    Local,
}

/// What is done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The side does not answer now: wait and try again.
    Unavailable,
    /// The side asks for less: slow down, try again.
    Throttled,
    /// No rights for this; of a target: for none of it.
    Denied,
    /// No rights at this one place of the target; others can be written.
    Forbidden,
    /// Not there (a bucket, a source root).
    Missing,
    /// This name, size or kind cannot be held; asking again changes nothing.
    Refused,
    /// Something else stands in the way; tried again later.
    Conflict,
    /// No space.
    Full,
    /// The bytes do not match their checksum, or replicas are gone.
    Corrupt,
    /// The source changed under the reading; not an error of anyone's.
    Moved,
    /// A feature that the side lacks.
    Unsupported,
    /// A defect of our own.
    Defect,
}

/// One failure as it is reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which side.
    pub side: Side,
    /// What is done about it.
    pub kind: FailureKind,
    /// What happened, where.
    pub message: String,
    /// What the operator does next.
    pub remedy: String,
}
