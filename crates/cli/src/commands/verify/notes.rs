//! How far a comparison has come, kept durably: the same call goes on from there.
//!
//! What is damaged, too old, of another call or of another version of Whimbrel is told and never
//! believed. Notes that cannot be kept stop no comparison.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use whimbrel_core::path::RelPath;
use whimbrel_store::source::Source;
use whimbrel_verify::{Note, SampleSums, Sums};

use super::followed::Followed;
use crate::arguments::VerifyArguments;
use crate::output;
use crate::record;
use crate::request::Pair;
use crate::seal::{Seal, seal_of, sealed};
use crate::state::{self, StatePlace};

const VERSION: u32 = 1;
/// Parts that are told one by one; beyond them the latest are told together.
const PARTS_MAX: usize = 100;
/// What decides, beside the call, which systems are meant.
const ENVIRONMENT: [&str; 8] = [
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CONFIG_FILE",
    "HADOOP_CONF_DIR",
    "HADOOP_USER_NAME",
];

/// What one process compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// When it began: nothing of it was looked at earlier.
    pub started: String,
    /// When its last note was taken.
    pub ended: String,
    /// How many files.
    pub files_compared: u64,
    /// What had come to the target when it began, where a migration ran that follows a stream.
    pub as_of_txid: Option<u64>,
}

/// As it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    version: u32,
    whimbrel: String,
    /// What is compared, and how.
    call: Value,
    /// Of a sample.
    seed: Option<String>,
    noted_ms: u64,
    parts: Vec<Part>,
    /// What happened at the source since is in no part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    followed: Option<Followed>,
    roots_done: usize,
    behind_base64: Option<String>,
    sums: Sums,
    sample: SampleSums,
    unequal_base64: Vec<String>,
}

/// What an earlier call left.
#[derive(Debug, Default)]
pub struct Earlier {
    /// Where it was.
    pub note: Option<Note>,
    /// What it compared, in order.
    pub parts: Vec<Part>,
    /// Where the source stood when the first of them began, or up to where it was followed since.
    pub followed: Option<Followed>,
    /// The seed of its sample.
    pub seed: Option<String>,
    /// Why it is not gone on with, for people.
    pub refused: Option<String>,
}

/// Keeps how far this comparison is.
#[derive(Debug)]
pub struct Notes {
    folder: PathBuf,
    name: String,
    lock: File,
    call: Value,
    seed: Option<String>,
    earlier: Vec<Part>,
    followed: Option<Followed>,
    part: Part,
    lost: bool,
}

impl Notes {
    /// Looks what an earlier call left, and keeps others from it. `None` and a reason where no notes
    /// can be kept.
    pub fn open(
        arguments: &VerifyArguments,
        pair: &Pair,
        source: &dyn Source,
        place: Option<&StatePlace>,
    ) -> (Option<Self>, Earlier) {
        let without = |reason: String| {
            (
                None,
                Earlier {
                    refused: Some(format!("{reason}: no notes are kept")),
                    ..Earlier::default()
                },
            )
        };
        let Some(place) = place else { return (None, Earlier::default()) };
        let (folder, name) = match state::notes(place) {
            Ok(found) => found,
            Err(error) => return without(error.message),
        };
        if let Err(error) = pair.refuse_state_inside(&folder) {
            return without(error.message);
        }
        let lock = match take(&folder, &name) {
            Ok(lock) => lock,
            Err(reason) => return without(reason),
        };
        let call = call(arguments, pair, source);
        let mut earlier = match record::read(&folder, &name) {
            _ if arguments.restart => Earlier::default(),
            Ok(None) => Earlier::default(),
            Ok(Some(text)) => earlier(&text, &call, arguments.resume_within),
            Err(error) => Earlier { refused: Some(error.message), ..Earlier::default() },
        };
        while earlier.parts.len() >= PARTS_MAX {
            join_last(&mut earlier.parts);
        }
        let started = output::now();
        let part = Part { ended: started.clone(), started, files_compared: 0, as_of_txid: None };
        let (parts, seed) = (earlier.parts.clone(), earlier.seed.clone());
        let (followed, lost) = (None, false);
        let notes = Self { folder, name, lock, call, seed, earlier: parts, followed, part, lost };
        (Some(notes), earlier)
    }

    /// What this comparison is made with, behind what is believed of earlier ones.
    pub fn with(
        mut self,
        seed: Option<String>,
        as_of_txid: Option<u64>,
        earlier: &Earlier,
    ) -> Self {
        (self.seed, self.part.as_of_txid) = (seed, as_of_txid);
        (self.earlier, self.followed) = (earlier.parts.clone(), earlier.followed.clone());
        self
    }

    /// Keeps one, durably. The first that cannot be kept is told.
    pub fn keep(&mut self, note: &Note) {
        if self.lost {
            return;
        }
        let before: u64 = self.earlier.iter().map(|part| part.files_compared).sum();
        self.part.files_compared = note.sums.files_compared.saturating_sub(before);
        self.part.ended = output::now();
        let text = Text {
            version: VERSION,
            whimbrel: env!("CARGO_PKG_VERSION").to_owned(),
            call: self.call.clone(),
            seed: self.seed.clone(),
            noted_ms: now_ms(),
            parts: self.earlier.iter().chain([&self.part]).cloned().collect(),
            followed: self.followed.clone(),
            roots_done: note.roots_done,
            behind_base64: note.behind.as_ref().map(|path| STANDARD.encode(path.as_bytes())),
            sums: note.sums,
            sample: note.sample,
            unequal_base64: note.unequal.iter().map(|it| STANDARD.encode(it.as_bytes())).collect(),
        };
        if let Err(error) = record::write(&self.folder, &self.name, &encode(&text)) {
            self.lost = true;
            output::standard_error(&format!("no more notes are kept: {}", error.message));
        }
    }

    /// It came to its end: the next one begins anew.
    pub fn forget(self) {
        for name in [self.name.clone(), lock_name(&self.name)] {
            // What is left is of the same call, and true: it is gone on with.
            let _ = std::fs::remove_file(self.folder.join(name));
        }
        drop(self.lock);
    }
}

/// Another process that has it opened already goes on without harm: each note is whole and true.
fn take(folder: &Path, name: &str) -> Result<File, String> {
    let path = folder.join(lock_name(name));
    let opened = std::fs::create_dir_all(folder).and_then(|()| File::create(&path));
    let file = opened.map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| "another comparison of the same two is under way".to_owned())?;
    Ok(file)
}

fn lock_name(name: &str) -> String {
    format!("{name}.lock")
}

/// All that decides what is compared, and how.
fn call(arguments: &VerifyArguments, pair: &Pair, source: &dyn Source) -> Value {
    let bytes = |text: OsString| STANDARD.encode(text.as_bytes());
    let (scope, connection) = (&arguments.scope, &arguments.connection);
    let environment: Vec<_> = ENVIRONMENT.map(|name| std::env::var_os(name).map(bytes)).to_vec();
    json!({
        "source": bytes(pair.source.url()),
        "target": bytes(pair.target.url()),
        "source_root": source.root_key(),
        "read": arguments.read,
        "ignore_extras": arguments.ignore_extras,
        "metadata": arguments.metadata.unwrap_or_default(),
        "directory_markers": arguments.directory_markers.unwrap_or_default(),
        "sample": arguments.sample.sample,
        "sample_seed": arguments.sample.sample_seed,
        "include": scope.include,
        "exclude": scope.exclude,
        "map": scope.map,
        "no_default_excludes": scope.no_default_excludes,
        "no_default_exclude": scope.no_default_exclude,
        "hadoop_conf": connection.hadoop_conf.clone().map(|it| bytes(it.into_os_string())),
        "s3_addressing": connection.s3_addressing.map(|style| style.name()),
        "source_profile": connection.source_profile,
        "source_endpoint": connection.source_endpoint,
        "source_region": connection.source_region,
        "target_profile": connection.target_profile,
        "target_endpoint": connection.target_endpoint,
        "target_region": connection.target_region,
        "environment": environment,
    })
}

fn earlier(text: &[u8], call: &Value, within: Duration) -> Earlier {
    match believed(text, call, within) {
        Ok((text, note)) => {
            let (parts, followed, seed) = (text.parts, text.followed, text.seed);
            Earlier { note: Some(note), parts, followed, seed, refused: None }
        }
        Err(reason) => Earlier { refused: Some(reason), ..Earlier::default() },
    }
}

fn believed(text: &[u8], call: &Value, within: Duration) -> Result<(Text, Note), String> {
    let text = decode(text).map_err(|reason| format!("its notes are not believed: {reason}"))?;
    if text.whimbrel != env!("CARGO_PKG_VERSION") {
        return Err(format!("its notes are of version {} of Whimbrel", text.whimbrel));
    }
    if text.call != *call {
        return Err("its notes are of another scope, other options or other systems".to_owned());
    }
    let age = now_ms().checked_sub(text.noted_ms).map(Duration::from_millis);
    match age {
        None => return Err("its notes are of a time to come: the clock was set back".to_owned()),
        Some(age) if age > within => {
            let age = age.as_secs();
            return Err(format!("its notes are {age} s old (see --resume-within)"));
        }
        Some(_) => {}
    }
    let note = note_of(&text).ok_or("its notes name no paths")?;
    Ok((text, note))
}

fn note_of(text: &Text) -> Option<Note> {
    let path = |encoded: &String| Some(RelPath::new(STANDARD.decode(encoded).ok()?));
    Some(Note {
        roots_done: text.roots_done,
        behind: match &text.behind_base64 {
            Some(behind) => Some(path(behind)?),
            None => None,
        },
        sums: text.sums,
        sample: text.sample,
        unequal: text.unequal_base64.iter().map(path).collect::<Option<_>>()?,
    })
}

fn join_last(parts: &mut Vec<Part>) {
    let Some(last) = parts.pop() else { return };
    if let Some(before) = parts.last_mut() {
        before.files_compared += last.files_compared;
        before.ended = last.ended;
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
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
        return Err("their checksum does not hold".to_owned());
    }
    let read: Text = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    match read.version {
        VERSION => Ok(read),
        other => Err(format!("they are of version {other}")),
    }
}
