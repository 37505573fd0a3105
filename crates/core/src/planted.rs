//! Bugs that the simulator plants, to prove that it would see them: each breaks one rule of the
//! reconciliation. They exist with the feature `planted` alone, which nothing but the simulator
//! asks for; without it [`planted`] is constantly false, and an optimised product holds none of
//! them.

/// Declares the bugs; what is said of each is kept for people as well.
macro_rules! bugs {
    ($($rule:literal $name:ident: $what:literal,)*) => {
        /// What is broken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Planted {
            $(#[doc = concat!("Rule ", $rule, ": ", $what, ".")] $name,)*
        }

        #[cfg(feature = "planted")]
        impl Planted {
            /// All of them, in the order of their rules.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name by which it is asked for.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The rule that it breaks.
            pub fn rule(self) -> &'static str {
                match self { $(Self::$name => $rule,)* }
            }

            /// What is done in place of what the rule asks for.
            pub fn what(self) -> &'static str {
                match self { $(Self::$name => $what,)* }
            }
        }
    };
}

bugs! {
    "1.1" StreamAfterScan: "what happens while the scan lasts is not followed",
    "1.1" PositionAhead: "the durable position is how far the source is, followed or not",
    "1.1" CursorBeforeWork: "the scan's cursor passes a page whose files are still on their way",
    "1.2" EventTakenForCovered: "a file made beyond a listing's cursor is left to that listing",
    "1.2" ListingOlderThanEvent: "a page is believed about what changed since it was asked for",
    "1.3" LedgerNotJoined: "a pass does not look at what only the ledger knows",
    "1.5" RootMoveIgnored: "a root that was moved and put back is taken for untouched",
    "1.6" SettledWithoutMark: "an entry is settled although it was made pending again",
    "1.6" ParkedOverNewerMark: "an entry is set aside although it was made pending again",
    "1.6" ReachForgotten: "what is left of a settled entry is its path, however far it reached",
    "1.7" OlderHistoryClaimed: "transactions of another history are claimed",
    "1.7" OlderIdentityBelieved: "identities of another history are believed",
    "2.1" SameByTimes: "files of equal length and time are the same",
    "2.1" SameUnproven: "files whose bytes may be the same are not compared by checksum",
    "2.3" WhoseAttemptNotAsked: "what stands is what the row says, whoever wrote it",
    "3.2" CopyNotConfirmed: "the stream is not followed beyond the last read of a copy",
    "3.3" TwoWriters: "work on a path begins although the path is claimed",
    "3.5" OpenFileCopied: "an open file does not wait for its close",
    "4.1" LateWriteForgotten: "writes of a dead process are not waited for",
    "4.1" UnknownTakenForFailed: "a write of which nothing was heard did not take effect",
    "4.1" LateRemovalForgotten: "a removal of which nothing was heard did not take effect",
    "4.1" IntentNotDurable: "the intent of a copy is durable only once its end is unknown",
    "4.2" DoubtEndsEarly: "a write is over after a tenth of its lifetime",
    "4.3" UploadNotFenced: "an upload that is given up is not aborted",
    "4.4" ForeignWrittenOver: "writes and removals expect nothing",
    "4.4" ImitationBelieved: "what carries our user metadata is ours",
    "4.5" RowNotWritten: "an entry is settled without the row of what was copied",
    "5.1" OldEvidence: "removals go by the look that had them judged",
    "5.2" ListingRemoves: "what a page does not list is removed",
    "5.2" EventBelieved: "an event that says removed is carried out",
    "5.3" ForeignRemoved: "foreign objects are removed although extras are kept",
    "5.4" LastChildNotNoticed: "a directory is not looked at when a child goes",
    "5.5" LeftBelowFile: "objects below a path stay when a file takes it",
    "5.5" FileLeftAtDirectory: "an object stays when a directory takes its path",
    "5.6" GuardAsleep: "no removal is too much",
    "5.7" DelayBegunAnew: "what is gone is kept from the last look at it on",
    "5.7" DelayCutShort: "what is kept for a time goes when it is looked at again",
    "6.1" RenameShallow: "of a renamed directory the new path alone is looked at",
    "6.1" RenamedBytesBelieved: "a renamed file is copied within the target although it changed",
    "6.3" CopyNamesNothing: "a copy within the target does not say what it copies",
    "7.1" MarkerNotLast: "a commit marker does not wait for its group",
    "7.1" LateMarkerForgotten: "files change while an unheard write may make their commit marker visible",
    "7.1" LogOutOfOrder: "versions of a log do not wait for each other",
    "7.1" MarkerBeforeLateRemoval: "a commit marker does not wait for late removals in its group",
    "8.1" GapForgotten: "after a gap the stream goes on and nothing is listed",
    "8.1" PassGoesOn: "a pass goes on where it was although its directory was marked since",
    "8.2" SettledSinceForgotten: "what was settled since a base is not looked at again",
    "8.2" WorkedOnForgotten: "where work was settled since a base is forgotten with the process",
    "8.2" DifferenceShallow: "of what a difference names the path alone is looked at",
    "9.1" CoarsenedTooFlat: "entries of a subtree are coarsened into one of its top directory",
    "9.2" CopiesUnbounded: "copies are begun without a bound",
    "9.2" BusyNotHeeded: "a side that asks for less is asked as before",
    "9.2" PaceStaysLow: "what was slowed down once stays slow",
    "9.2" LimitNotHeeded: "what a person allows on the way changes nothing",
    "9.2" TimetableStandsStill: "what a timetable allows at first it allows for ever",
    "10.1" PendingClaimed: "transactions are claimed although something of them is pending",
    "10.1" ClaimedBeforeDurable: "transactions are claimed whose marks are not durable",
    "10.1" WaitingRemovalsHidden: "transactions are claimed although their removals are judged",
    "10.1" FailureDropped: "a path that failed is settled",
    "10.1" GivenUp: "a path that failed four times in a row is settled",
    "10.3" AttemptsNotAwaited: "a run ends although a write may still take effect",
    "11.1" MetadataNotWritten: "changed metadata is written to the ledger alone",
    "11.2" DirectoryRecordStays: "the ledger keeps what a directory carried that is gone",
}

/// Marks what a listing did not name, where that is to be removed unread.
pub const UNLISTED_TRIES: u32 = 1_000;

/// True if the bug is planted in this process.
#[cfg(not(feature = "planted"))]
#[inline]
pub const fn planted(_bug: Planted) -> bool {
    false
}

#[cfg(feature = "planted")]
pub use switch::{plant, planted};

#[cfg(feature = "planted")]
mod switch {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::Planted;

    /// One more than the number of the bug; 0: none.
    static ACTIVE: AtomicUsize = AtomicUsize::new(0);

    /// True if the bug is planted in this process.
    #[inline]
    pub fn planted(bug: Planted) -> bool {
        ACTIVE.load(Ordering::Relaxed) == bug as usize + 1
    }

    /// Plants a bug for all histories of this process from now on.
    pub fn plant(bug: Planted) {
        ACTIVE.store(bug as usize + 1, Ordering::Relaxed);
    }
}
