//! Builds, tests, demonstrates.
fn main() {}
