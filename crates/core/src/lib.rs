//! Decides: the migration as a state machine without I/O.
