//! Touches the outside: sources, change streams and targets.
