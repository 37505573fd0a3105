//! Whether a report still is what was signed: each file that is not is told by name.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ring::digest::{Context, SHA256};
use rustix::fs::OFlags;

use crate::draft::{PUBLIC_KEY, SIGNATURE, SUMMED, SUMS};
use crate::error::ReportError;
use crate::key::{PublicKey, SIGNATURE_BYTES, hex};

/// Much longer than what is read whole: sums, signature, key.
const SHORT_BYTES_MAX: u64 = 64 * 1024;
const BUFFER_BYTES: usize = 256 * 1024;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What is not as it was signed; none: all is.
    pub findings: Vec<Finding>,
    /// The fingerprint of the key that signed it, if the signature holds.
    pub signed_by: Option<String>,
}

/// One file that is not as it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its name.
    pub file: String,
    /// What is wrong with it.
    pub message: String,
}

/// Checks a report against a key, or against the one that lies beside it, which proves only that
/// all of it is of one hand.
///
/// # Errors
/// There is no such folder, or a file cannot be read.
pub fn check(folder: &Path, given: Option<&PublicKey>) -> Result<Checked, ReportError> {
    let mut findings = Vec::new();
    let present = names(folder)?;
    let sums = short(folder, SUMS, &mut findings)?;
    let listed = sums.as_deref().and_then(listed);
    if let (Some(_), None) = (&sums, &listed) {
        tell(&mut findings, SUMS, "is not of the form that a report's has");
    }
    for (name, sum) in listed.iter().flatten() {
        match sum_of(&folder.join(name))? {
            None => tell(&mut findings, name, "is missing, or no file"),
            Some(found) if found != *sum => {
                tell(&mut findings, name, &format!("was altered: {SUMS} has another sum of it"));
            }
            Some(_) => {}
        }
    }
    for name in present {
        if ![SUMS, SIGNATURE].contains(&name.as_str()) && !SUMMED.contains(&name.as_str()) {
            tell(&mut findings, &name, "does not belong to the report: it is not signed");
        }
    }
    let signature = short(folder, SIGNATURE, &mut findings)?;
    let signed_by = match (&sums, &signature) {
        (Some(sums), Some(signature)) => signer(folder, given, sums, signature, &mut findings)?,
        (_, _) => None,
    };
    Ok(Checked { findings, signed_by })
}

/// The fingerprint of the key that the signature is of; else what was probably altered is told.
fn signer(
    folder: &Path,
    given: Option<&PublicKey>,
    sums: &[u8],
    signature: &[u8],
    findings: &mut Vec<Finding>,
) -> Result<Option<String>, ReportError> {
    let mut unread = Vec::new();
    let pem = short(folder, PUBLIC_KEY, &mut unread)?;
    let beside = pem.as_deref().and_then(PublicKey::of_pem);
    let holds =
        |key: &&PublicKey| signature.len() == SIGNATURE_BYTES && key.signed(sums, signature);
    if let Some(key) = given.or(beside.as_ref()).filter(holds) {
        return Ok(Some(key.fingerprint()));
    }
    let other = beside.as_ref().filter(holds).filter(|_| given.is_some());
    if let Some(other) = other {
        let of = other.fingerprint();
        tell(findings, SIGNATURE, &format!("was made with another key than the given one: {of}"));
    } else if given.is_none() && findings.iter().any(|found| found.file == PUBLIC_KEY) {
        let message = format!("cannot be checked by {SIGNATURE}: give the key with --key");
        tell(findings, SUMS, &message);
    } else if findings.is_empty() {
        tell(findings, SIGNATURE, &format!("was altered: it is not that of {SUMS}"));
    } else {
        tell(findings, SUMS, &format!("was altered: {SIGNATURE} is not its signature"));
    }
    Ok(None)
}

/// The sums by name; `None` if it is written in any other way than a report's.
pub(crate) fn listed(sums: &[u8]) -> Option<BTreeMap<String, String>> {
    let text = std::str::from_utf8(sums).ok()?;
    let lines = text.lines().map(|line| {
        let (sum, name) = line.split_once("  ")?;
        Some((name.to_owned(), sum.to_owned()))
    });
    let listed: BTreeMap<String, String> = lines.collect::<Option<_>>()?;
    let again: String = listed.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect();
    (again == text && listed.keys().eq(SUMMED)).then_some(listed)
}

fn names(folder: &Path) -> Result<Vec<String>, ReportError> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(ReportError::NoFolder(folder.to_owned()));
        }
        other => other.map_err(ReportError::file(folder))?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> =
        names.collect::<io::Result<_>>().map_err(ReportError::file(folder))?;
    names.sort();
    Ok(names)
}

/// A file that is read whole; where it is missing or too long, that is told.
fn short(
    folder: &Path,
    name: &str,
    findings: &mut Vec<Finding>,
) -> Result<Option<Vec<u8>>, ReportError> {
    let path = folder.join(name);
    let Some(file) = regular(&path)? else {
        tell(findings, name, "is missing, or no file");
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.take(SHORT_BYTES_MAX).read_to_end(&mut bytes).map_err(ReportError::file(&path))?;
    Ok(Some(bytes))
}

/// The sum of a file's bytes.
fn sum_of(path: &Path) -> Result<Option<String>, ReportError> {
    let Some(mut file) = regular(path)? else { return Ok(None) };
    let (mut sum, mut buffer) = (Context::new(&SHA256), vec![0; BUFFER_BYTES]);
    loop {
        match file.read(&mut buffer).map_err(ReportError::file(path))? {
            0 => return Ok(Some(hex(sum.finish().as_ref()))),
            read => sum.update(&buffer[..read]),
        }
    }
}

/// An open file; nothing that is waited for, such as a pipe.
fn regular(path: &Path) -> Result<Option<File>, ReportError> {
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(nonblocking).open(path);
    let file = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(ReportError::file(path))?,
    };
    let is_file = file.metadata().map_err(ReportError::file(path))?.is_file();
    Ok(is_file.then_some(file))
}

fn tell(findings: &mut Vec<Finding>, file: &str, message: &str) {
    findings.push(Finding { file: file.to_owned(), message: message.to_owned() });
}

#[cfg(test)]
mod tests;
