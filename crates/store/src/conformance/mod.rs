//! What every store must keep to, as code: whoever adds a store runs these functions over it.
//!
//! The law about names: each either arrives and reads back byte for byte under exactly that name,
//! or is refused by name. Never folded into another, never under another name, never skipped in
//! silence.

mod names;
mod source;
mod target;
mod upload;

use futures_util::StreamExt;

pub use names::hostile_names;
pub use source::{SourceWrite, check_source};
pub use target::{TargetFacts, check_target};

use crate::error::StoreError;
use crate::source::ByteStream;

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What was tried.
    pub check: String,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is kept as it should be.
    Kept,
    /// The store refuses it and says so; the reason.
    Refused(String),
    /// The store breaks the contract: how.
    Broken(String),
}

/// The rows that break the contract.
pub fn broken(rows: &[Row]) -> Vec<&Row> {
    rows.iter().filter(|row| matches!(row.verdict, Verdict::Broken(_))).collect()
}

/// What went wrong in a check; it becomes a row.
type Outcome = Result<Verdict, String>;

fn row(check: impl Into<String>, outcome: Outcome) -> Row {
    Row { check: check.into(), verdict: outcome.unwrap_or_else(Verdict::Broken) }
}

/// Turns an answer that should have been good into the reason why it is not.
fn good<T>(what: &str, answer: Result<T, StoreError>) -> Result<T, String> {
    answer.map_err(|error| format!("{what}: {error} ({:?})", error.kind()))
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn shown(name: &[u8]) -> String {
    let text = format!("{:?}", String::from_utf8_lossy(name));
    if text.chars().count() <= 60 {
        return text;
    }
    let head: String = text.chars().take(40).collect();
    format!("{head}... ({} bytes)", name.len())
}

async fn drained(mut stream: ByteStream) -> Result<Vec<u8>, StoreError> {
    let mut whole = Vec::new();
    while let Some(piece) = stream.next().await {
        whole.extend_from_slice(&piece?);
    }
    Ok(whole)
}
