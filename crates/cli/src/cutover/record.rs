//! How far a cut-over came, kept beside the state so that a killed one is taken again, and its
//! fence undone. Written before each step that changes something outside.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::stand::millis;
use crate::arguments::FenceArgument;
use crate::exit::CommandError;
use crate::record;
use crate::seal::{Seal, seal_of, sealed};

const FILE: &str = "cutover.json";
const LOCK: &str = "cutover.lock";
const VERSION: u32 = 1;

/// What was done last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Nothing yet.
    Begun,
    /// A fence is about to be set: it may stand.
    Fencing,
    /// The source is fenced, by whomever.
    Fenced,
    /// All of it is on the target, and it was quiet for as long as was asked for.
    Drained,
    /// Everything was compared, and nothing changed meanwhile.
    Verified,
    /// The report is written and signed.
    Reported,
    /// The answer was yes.
    Equal,
    /// The answer was no.
    NotEqual,
}

impl Step {
    /// As it stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Fencing => "fencing",
            Self::Fenced => "fenced",
            Self::Drained => "drained",
            Self::Verified => "verified",
            Self::Reported => "reported",
            Self::Equal => "equal",
            Self::NotEqual => "not_equal",
        }
    }
}

/// A fence that this migration set, or was about to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Which one.
    pub kind: FenceArgument,
    /// How the source was before.
    pub before: String,
    /// The number of the directory that it is around; none of a fence around no single one, and
    /// in what older versions wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<u64>,
}

/// As it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    version: u32,
    step: Step,
    fence: Option<Standing>,
    report_base64: Option<String>,
    as_of_txid: Option<u64>,
    comparison_ms: Option<u64>,
}

/// The record of one migration's cut-over. Every change is durable at return.
#[derive(Debug)]
pub struct Record {
    folder: PathBuf,
    text: Text,
}

impl Record {
    /// What stands in the state folder, or a new one.
    ///
    /// # Errors
    /// It cannot be read, is damaged or of a newer version.
    pub fn read(folder: &Path) -> Result<Self, CommandError> {
        let text = match record::read(folder, FILE)? {
            None => Text {
                version: VERSION,
                step: Step::Begun,
                fence: None,
                report_base64: None,
                as_of_txid: None,
                comparison_ms: None,
            },
            Some(text) => decode(&text).map_err(|reason| {
                let path = folder.join(FILE);
                CommandError::local(
                    format!("{} cannot be understood: {reason}", path.display()),
                    "it says how the source was before a fence: read it, have the source again as \
                     it was, and remove it; or use the version of Whimbrel that wrote it",
                )
            })?,
        };
        Ok(Self { folder: folder.to_owned(), text })
    }

    /// Where it is kept.
    pub fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// The fence that stands, or may stand.
    pub fn fence(&self) -> Option<&Standing> {
        self.text.fence.as_ref()
    }

    /// How long the last comparison of everything took.
    pub fn comparison(&self) -> Option<Duration> {
        self.text.comparison_ms.map(Duration::from_millis)
    }

    /// The folder that the last report was written to.
    pub fn report(&self) -> Option<PathBuf> {
        let bytes = STANDARD.decode(self.text.report_base64.as_ref()?).ok()?;
        Some(OsString::from_vec(bytes).into())
    }

    /// A fence is about to be set.
    ///
    /// # Errors
    /// The folder cannot be written; here and below.
    pub fn fencing(&mut self, standing: Standing) -> Result<(), CommandError> {
        self.text.fence = Some(standing);
        self.step(Step::Fencing)
    }

    /// The fence is undone.
    ///
    /// # Errors
    /// As of `fencing`.
    pub fn undone(&mut self) -> Result<(), CommandError> {
        self.text.fence = None;
        self.save()
    }

    /// A report is about to be written.
    ///
    /// # Errors
    /// As of `fencing`.
    pub fn reporting(&mut self, folder: &Path) -> Result<(), CommandError> {
        self.text.report_base64 = Some(STANDARD.encode(folder.as_os_str().as_bytes()));
        self.save()
    }

    /// Everything was compared, and nothing changed up to a transaction.
    ///
    /// # Errors
    /// As of `fencing`.
    pub fn verified(&mut self, as_of_txid: u64, took: Duration) -> Result<(), CommandError> {
        self.text.as_of_txid = Some(as_of_txid);
        self.text.comparison_ms = Some(millis(took));
        self.step(Step::Verified)
    }

    /// A step was done.
    ///
    /// # Errors
    /// As of `fencing`.
    pub fn step(&mut self, step: Step) -> Result<(), CommandError> {
        self.text.step = step;
        self.save()
    }

    fn save(&self) -> Result<(), CommandError> {
        record::write(&self.folder, FILE, &encode(&self.text))
    }
}

/// Writes it.
pub fn encode(text: &Text) -> String {
    sealed(&serde_json::to_string_pretty(text).unwrap_or_default())
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// What is wrong with it.
pub fn decode(text: &[u8]) -> Result<Text, String> {
    if seal_of(text) != Seal::Holds {
        return Err("its checksum does not hold".to_owned());
    }
    let read: Text = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    match read.version {
        VERSION => Ok(read),
        other => Err(format!("it is of version {other}")),
    }
}

/// Keeps other cut-overs and fail-backs of a migration out as long as the answer lives.
///
/// # Errors
/// Another one is under way.
pub fn take(folder: &Path) -> Result<File, CommandError> {
    let path = folder.join(LOCK);
    let failed = |what: String, remedy: &str| CommandError::local(what, remedy);
    let file = File::create(&path).map_err(|error| {
        let told = format!("{} cannot be written: {error}", path.display());
        failed(told, "make the state folder writable for this user")
    })?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(failed(
            "another cut-over or fail-back of this migration is under way".to_owned(),
            "wait until it has ended, or stop it",
        )),
        Err(error) => Err(failed(
            format!("{} cannot be locked: {error}", path.display()),
            "put the state on a file system with locks",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was_and_every_turned_bit_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record::read(folder.path()).unwrap();
        assert_eq!((record.fence(), record.report()), (None, None));
        let standing = Standing {
            kind: FenceArgument::Permissions,
            before: "0755".to_owned(),
            directory: Some(16_386),
        };
        record.fencing(standing).unwrap();
        record.reporting(Path::new("/a/proof")).unwrap();
        record.verified(17, Duration::from_millis(250)).unwrap();
        let read = Record::read(folder.path()).unwrap();
        assert_eq!(read.text, record.text);
        assert_eq!(read.report().as_deref(), Some(Path::new("/a/proof")));
        let text = encode(&read.text);
        for bit in 0..text.len() * 8 {
            let mut damaged = text.clone().into_bytes();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged).is_err(), "bit {bit}");
        }
        // As of the versions that did not note which directory it is.
        let old = r#"{"kind": "permissions", "before": "0755"}"#;
        assert_eq!(serde_json::from_str::<Standing>(old).unwrap().directory, None);
        record.undone().unwrap();
        assert_eq!(Record::read(folder.path()).unwrap().fence(), None);
    }

    #[test]
    fn one_cut_over_or_fail_back_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let taken = take(folder.path()).unwrap();
        let refused = take(folder.path()).unwrap_err().message;
        assert_eq!(refused, "another cut-over or fail-back of this migration is under way");
        drop(taken);
        assert!(take(folder.path()).is_ok());
    }
}
