//! One folder in memory, and what was asked of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The files of a folder.
pub type Image = BTreeMap<String, Vec<u8>>;

/// A call that changes what is on the disk, or makes it last. Files are numbered: those of the
/// image that the disk began with in the order of their names, then as they were created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// The next file came, with a name.
    Create(String),
    /// A name went.
    Remove(String),
    /// Bytes were written.
    Write {
        /// To which file.
        file: usize,
        /// Where.
        offset: usize,
        /// What.
        bytes: Box<[u8]>,
    },
    /// A file was cut to a length.
    Truncate {
        /// Which file.
        file: usize,
        /// Its length from now on.
        length: usize,
    },
    /// All that was written to a file lasts.
    Sync {
        /// Which file.
        file: usize,
    },
    /// The same failed: what was written may be dropped without another word, and still be read.
    SyncFailed {
        /// Which file.
        file: usize,
    },
    /// All names that came and went last.
    SyncFolder,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No space is left; half of the bytes still had room.
    Full,
    /// The device does not answer.
    Broken,
}

/// Some calls that fail.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// So many calls that could fail go well before.
    pub after: usize,
    /// So many fail.
    pub calls: usize,
    /// How.
    pub failure: Failure,
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<String, usize>,
    files: Vec<Vec<u8>>,
    log: Vec<Call>,
    fault: Option<Fault>,
    struck: usize,
}

/// A folder on a disk.
#[derive(Debug, Default)]
pub struct Disk(Mutex<State>);

impl Disk {
    /// All of the image is on the disk for good.
    pub fn new(image: &Image) -> Self {
        let names = image.keys().cloned().zip(0..).collect();
        let files = image.values().cloned().collect();
        Self(Mutex::new(State { names, files, ..State::default() }))
    }

    /// What a process reads there now.
    pub fn image(&self) -> Image {
        let state = self.state();
        let files = state.names.iter();
        files.map(|(name, file)| (name.clone(), state.files[*file].clone())).collect()
    }

    /// What was asked of it so far.
    pub fn log(&self) -> Vec<Call> {
        self.state().log.clone()
    }

    /// How many calls that are.
    pub fn calls(&self) -> usize {
        self.state().log.len()
    }

    /// Has calls fail from now on; `None` ends that.
    pub fn fail(&self, fault: Option<Fault>) {
        let mut state = self.state();
        state.fault = fault;
        state.struck = 0;
    }

    /// How many calls failed since.
    pub fn struck(&self) -> usize {
        self.state().struck
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.state().names.contains_key(name)
    }

    pub(crate) fn open(&self, name: &str, create: bool) -> Result<Option<usize>, Failure> {
        let mut state = self.state();
        if let Some(file) = state.names.get(name) {
            return Ok(Some(*file));
        }
        if !create {
            return Ok(None);
        }
        state.strike(true)?;
        let file = state.files.len();
        state.files.push(Vec::new());
        state.names.insert(name.to_owned(), file);
        state.log.push(Call::Create(name.to_owned()));
        Ok(Some(file))
    }

    /// False: there was none.
    pub(crate) fn remove(&self, name: &str, sync_folder: bool) -> Result<bool, Failure> {
        let mut state = self.state();
        state.strike(false)?;
        if state.names.remove(name).is_none() {
            return Ok(false);
        }
        state.log.push(Call::Remove(name.to_owned()));
        if sync_folder {
            state.log.push(Call::SyncFolder);
        }
        Ok(true)
    }

    /// How many bytes there were.
    pub(crate) fn read(&self, file: usize, offset: usize, into: &mut [u8]) -> usize {
        let state = self.state();
        let from = state.files[file].get(offset..).unwrap_or_default();
        let length = from.len().min(into.len());
        into[..length].copy_from_slice(&from[..length]);
        length
    }

    pub(crate) fn write(&self, file: usize, offset: usize, bytes: &[u8]) -> Result<(), Failure> {
        let mut state = self.state();
        let failed = state.strike(true).err();
        let bytes = match failed {
            None => bytes,
            Some(Failure::Full) => &bytes[..bytes.len() / 2],
            Some(Failure::Broken) => return Err(Failure::Broken),
        };
        put(&mut state.files[file], offset, bytes);
        state.log.push(Call::Write { file, offset, bytes: bytes.into() });
        failed.map_or(Ok(()), Err)
    }

    pub(crate) fn truncate(&self, file: usize, length: usize) -> Result<(), Failure> {
        let mut state = self.state();
        state.strike(false)?;
        state.files[file].resize(length, 0);
        state.log.push(Call::Truncate { file, length });
        Ok(())
    }

    pub(crate) fn sync(&self, file: usize, folder: bool) -> Result<(), Failure> {
        let mut state = self.state();
        if let Err(failure) = state.strike(false) {
            state.log.push(Call::SyncFailed { file });
            return Err(failure);
        }
        state.log.push(Call::Sync { file });
        if folder {
            state.log.push(Call::SyncFolder);
        }
        Ok(())
    }

    pub(crate) fn length(&self, file: usize) -> usize {
        self.state().files[file].len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn strike(&mut self, takes_space: bool) -> Result<(), Failure> {
        let Some(fault) = &mut self.fault else { return Ok(()) };
        if fault.failure == Failure::Full && !takes_space {
            return Ok(());
        }
        if fault.after > 0 {
            fault.after -= 1;
            return Ok(());
        }
        if fault.calls == 0 {
            return Ok(());
        }
        fault.calls -= 1;
        self.struck += 1;
        Err(fault.failure)
    }
}

/// Writes bytes; what lies between the end and them is zero.
pub(crate) fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}
