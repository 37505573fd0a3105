//! Numbers that must not be mixed up.

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name(pub u64);

        impl $name {
            /// The number after this one.
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "{}", self.0)
            }
        }
    };
}

number!(
    /// A transaction id of the source's stream of changes; 0 where there is no stream.
    TxId
);
number!(
    /// The order in which paths were made pending. Every mark takes the next number, for ever
    /// rising over the life of a migration: rule 1.6 settles an entry only up to a number.
    Mark
);
number!(
    /// One write request to the target (rules 2.3 and 4.1).
    AttemptNumber
);
number!(
    /// One history of the source, as served by one cluster (rule 1.7).
    Epoch
);

/// Milliseconds since the Unix epoch; the caller of the core makes sure that it never falls.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Time(pub u64);

impl Time {
    /// This time plus so many milliseconds.
    pub fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this time; 0 if `earlier` is later.
    pub fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
