//! How often memory is asked for, for each small file that is copied: a number that noise does not
//! reach. Whoever spends more has to say so here; whoever spends less writes it down, so that it
//! stays. This program calls itself as the command, with an allocator that counts.

#![allow(unsafe_code, reason = "an allocator is unsafe by its trait; this one only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};

use whimbrel_testbed::{NullSink, S3Server};

/// For each file: calls for memory, and bytes beyond those of the file.
const CALLS_MAX: f64 = 165.0;
const BYTES_MAX: f64 = 50_000.0;
const FEW: u32 = 200;
const MANY: u32 = 1_200;
const FILE_BYTES: usize = 1_000;
/// Where the command that is called leaves its counts.
const COUNTS: &str = "WHIMBREL_TEST_COUNTS";

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static CALLS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

fn count(bytes: usize) {
    CALLS.fetch_add(1, Ordering::Relaxed);
    BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
}

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.saturating_sub(layout.size()));
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    if let Some(counts) = std::env::var_os(COUNTS) {
        let code = whimbrel_cli::main();
        let (calls, bytes) = (CALLS.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed));
        fs::write(counts, format!("{calls} {bytes}"))?;
        return Ok(code);
    }
    let (few_calls, few_bytes) = counted(FEW)?;
    let (calls, bytes) = counted(MANY)?;
    let a_file = |many: f64, few: f64| (many - few) / f64::from(MANY - FEW);
    let mut code = ExitCode::SUCCESS;
    let beyond = a_file(bytes, few_bytes) - FILE_BYTES as f64;
    for (what, spent, most) in
        [("calls", a_file(calls, few_calls), CALLS_MAX), ("bytes", beyond, BYTES_MAX)]
    {
        println!("{what} of memory for each file: {spent:.1}, at most {most}");
        if spent > most {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// What a migration of so many files asks for.
fn counted(files: u32) -> Result<(f64, f64), Box<dyn Error>> {
    let sink = NullSink::start()?;
    sink.create_bucket("bucket")?;
    let folder = tempfile::tempdir()?;
    for number in 0..files {
        let directory = folder.path().join(format!("source/d{:02}", number % 10));
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(format!("f{number}")), vec![7; FILE_BYTES])?;
    }
    let counts = folder.path().join("counts");
    let mut command = Command::new(std::env::current_exe()?);
    command
        .env_clear()
        .envs(sink.endpoint().environment())
        .env("HOME", folder.path())
        .env("XDG_STATE_HOME", folder.path().join("state"))
        .env(COUNTS, &counts)
        .current_dir(folder.path())
        .args(["migrate", "source", "s3://bucket/p", "--json"]);
    let ended = command.output()?;
    if !ended.status.success() || sink.sunk("bucket").len() != files as usize {
        return Err(format!("it did not copy: {ended:?}").into());
    }
    read(&counts).ok_or_else(|| "it left no counts".into())
}

fn read(counts: &Path) -> Option<(f64, f64)> {
    let text = fs::read_to_string(counts).ok()?;
    let (calls, bytes) = text.split_once(' ')?;
    Some((calls.parse().ok()?, bytes.parse().ok()?))
}
