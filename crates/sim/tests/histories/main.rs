//! The histories of the reconciliation rules, written down: each breaks a design that lacks its
//! rule. The number in a test's name is the rule's.

mod copying;
mod joining;
mod marking;
mod removing;
mod renaming;
mod stage;
mod telling;
