//! The histories of the reconciliation rules, written down: each breaks a design that lacks its
//! rule. The number in a test's name is the rule's.

#![allow(
    clippy::expect_used,
    clippy::wildcard_enum_match_arm,
    reason = "outside of the test functions too a failure ends the test"
)]

mod copying;
mod delaying;
mod foreign;
mod joining;
mod marking;
mod removing;
mod renaming;
mod snapshots;
mod stage;
mod telling;
