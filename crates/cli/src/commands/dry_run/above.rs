//! What stands above a path on both sides, remembered for a while: paths come in their order, and
//! thousands have the same directories.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use whimbrel_core::entry::Node;
use whimbrel_core::failure::Side;
use whimbrel_core::path::RelPath;
use whimbrel_store::error::StoreError;
use whimbrel_store::key::KeyMap;
use whimbrel_store::source::Source;
use whimbrel_store::target::Target;
use whimbrel_verify::ask;

use crate::exit::CommandError;

/// Directories that are remembered at most.
const REMEMBERED_MAX: usize = 10_000;

/// Why the source has nothing at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absence {
    /// Its directory is there, and it is not; or this one above it is gone as a whole.
    Gone(RelPath),
    /// Something that is no directory stands there or above: a file of so many bytes, or what
    /// cannot be migrated.
    Displaced(RelPath, Option<u64>),
}

#[derive(Clone, Copy)]
enum Kind {
    Nothing,
    Directory,
    File(u64),
    Special,
}

/// Asks both sides for directories.
pub struct Above {
    source: Arc<dyn Source>,
    target: Arc<dyn Target>,
    keys: KeyMap,
    at_source: Mutex<HashMap<RelPath, Kind>>,
    at_target: Mutex<HashMap<RelPath, bool>>,
}

impl Above {
    pub fn new(source: Arc<dyn Source>, target: Arc<dyn Target>, keys: KeyMap) -> Self {
        let (at_source, at_target) = (Mutex::default(), Mutex::default());
        Self { source, target, keys, at_source, at_target }
    }

    /// Why nothing stands at a path of the source's tree.
    ///
    /// # Errors
    /// The source cannot be asked.
    pub async fn absence(&self, path: &RelPath) -> Result<Absence, CommandError> {
        let mut top = path.clone();
        for above in path.ancestors() {
            match self.kind(&above).await? {
                Kind::Nothing => top = above,
                Kind::Directory => break,
                Kind::File(length) => return Ok(Absence::Displaced(above, Some(length))),
                Kind::Special => return Ok(Absence::Displaced(above, None)),
            }
        }
        Ok(Absence::Gone(top))
    }

    async fn kind(&self, path: &RelPath) -> Result<Kind, CommandError> {
        if let Some(known) = known(&self.at_source, path) {
            return Ok(known);
        }
        let node = ask(|| self.source.stat(path)).await.map_err(|it| failed(it, Side::Source))?;
        let kind = match node {
            None => Kind::Nothing,
            Some(Node::Directory(_)) => Kind::Directory,
            Some(Node::File(file)) => Kind::File(file.identity.length()),
            Some(Node::Special(_)) => Kind::Special,
        };
        remember(&self.at_source, path, kind);
        Ok(kind)
    }

    /// The file that stands on the target where a path needs a directory, where directories are
    /// real.
    ///
    /// # Errors
    /// The target cannot be asked.
    pub async fn file_above(&self, path: &RelPath) -> Result<Option<RelPath>, CommandError> {
        if self.target.abilities().markers {
            return Ok(None);
        }
        for above in path.ancestors().filter(|above| !above.is_root()) {
            if self.is_file(&above).await? {
                return Ok(Some(above));
            }
        }
        Ok(None)
    }

    async fn is_file(&self, path: &RelPath) -> Result<bool, CommandError> {
        if let Some(known) = known(&self.at_target, path) {
            return Ok(known);
        }
        let Ok(key) = self.keys.key(path) else { return Ok(false) };
        let found = ask(|| self.target.inspect(&key)).await;
        let is_file = found.map_err(|error| failed(error, Side::Target))?.is_some();
        remember(&self.at_target, path, is_file);
        Ok(is_file)
    }
}

fn known<T: Copy>(all: &Mutex<HashMap<RelPath, T>>, path: &RelPath) -> Option<T> {
    all.lock().ok()?.get(path).copied()
}

fn remember<T>(all: &Mutex<HashMap<RelPath, T>>, path: &RelPath, value: T) {
    // What a broken look left half done is asked for again.
    let Ok(mut all) = all.lock() else { return };
    if all.len() >= REMEMBERED_MAX {
        all.clear();
    }
    all.insert(path.clone(), value);
}

/// As an error of this command.
pub fn failed(error: StoreError, side: Side) -> CommandError {
    error.into_failure(side).into()
}
