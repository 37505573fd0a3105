//! Everything that parses bytes from outside, held to properties under mutated bytes.
//!
//! A target is a function that takes bytes and panics where a property does not hold. The
//! properties stand beside what they are about (`fuzzing.rs` of the parsing crates) or, where its
//! public face is enough, here. The same targets run in two ways: `tests/replay.rs` replays the
//! committed corpora with a few mutations at every `cargo xtask test`; `cargo xtask fuzz` runs them
//! under libFuzzer, guided by coverage, for as long as one likes.

mod control;
mod globs;
mod keys;
mod memory;
pub mod mutation;
mod stamps;

/// The variable that names the engine's target.
pub const VARIABLE: &str = "WHIMBREL_FUZZ_TARGET";
/// What every target may take, whatever is sent: some parsers begin with tables of their own.
const MEMORY_BYTES: usize = 4 * 1024 * 1024;
/// What it may take for every byte that is sent.
const MEMORY_PER_BYTE: usize = 256;

/// Something that parses.
#[derive(Debug)]
pub struct Target {
    /// Its name; its corpus stands in `corpus/NAME`.
    pub name: &'static str,
    /// Longer inputs are not tried.
    pub bytes_max: usize,
    memory_bytes: usize,
    parse: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 23] = [
    Target::new("cli_arguments", 256, whimbrel_cli::fuzzing::arguments),
    Target::new("cli_configuration", 1024, whimbrel_cli::fuzzing::configuration),
    Target::new("control_request", 512, control::request),
    // Compressed sections say more than they have bytes.
    Target {
        memory_bytes: 32 * MEMORY_BYTES,
        ..Target::new("fsimage", 4096, whimbrel_fsimage::fuzzing::image)
    },
    // Braces multiply, up to a bound of their own.
    Target { memory_bytes: 4 * MEMORY_BYTES, ..Target::new("globs", 256, globs::globs) },
    Target::new("hdfs_configuration", 4096, whimbrel_hdfs::fuzzing::configuration),
    Target::new("hdfs_edits", 4096, whimbrel_hdfs::fuzzing::edits),
    Target::new("hdfs_frames", 4096, whimbrel_hdfs::fuzzing::frames),
    Target::new("hdfs_packets", 4096, whimbrel_hdfs::fuzzing::packets),
    Target::new("hdfs_replies", 4096, whimbrel_hdfs::fuzzing::replies),
    Target::new("key_map", 256, keys::key_map),
    Target::new("local_acl", 256, whimbrel_store::local::fuzzing::acl),
    Target::new("report_files", 1024, whimbrel_report::fuzzing::report_files),
    Target::new("s3_heads", 1024, whimbrel_s3::fuzzing::heads),
    Target::new("s3_replies", 4096, whimbrel_s3::fuzzing::replies),
    Target::new("s3_settings", 1024, whimbrel_s3::fuzzing::settings),
    Target::new("s3_xml", 4096, whimbrel_s3::fuzzing::xml),
    Target::new("stamps", 1024, stamps::stamps),
    Target::new("state_call", 1024, whimbrel_cli::fuzzing::call),
    Target::new("state_cutover", 1024, whimbrel_cli::fuzzing::cutover),
    Target::new("state_notes", 1024, whimbrel_cli::fuzzing::notes),
    Target::new("state_record", 1024, whimbrel_ledger::fuzzing::record),
    Target::new("state_result", 1024, whimbrel_cli::fuzzing::result),
];

/// The target of a name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

impl Target {
    const fn new(name: &'static str, bytes_max: usize, parse: fn(&[u8])) -> Self {
        Self { name, bytes_max, memory_bytes: MEMORY_BYTES, parse }
    }

    /// Gives it bytes.
    ///
    /// # Panics
    /// A property does not hold; or more memory was taken than such an input is worth. A length
    /// that somebody says is not believed before its bytes are there.
    pub fn run(&self, bytes: &[u8]) {
        let taken = memory::peak_of(|| (self.parse)(bytes));
        let allowed = self.memory_bytes + bytes.len() * MEMORY_PER_BYTE;
        assert!(taken <= allowed, "{taken} bytes of memory for {} bytes", bytes.len());
    }
}
