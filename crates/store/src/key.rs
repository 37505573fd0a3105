//! Where a path of the source stands on the target: prefix, `--map`, and the way back.
//!
//! Everything is byte for byte: nothing is escaped, decoded or normalised.

use whimbrel_core::path::RelPath;

use crate::error::StoreError;

/// Bytes of the longest key of an object store.
pub const OBJECT_KEY_BYTES_MAX: usize = 1024;

/// Maps paths relative to the source root to keys of the target, and back. No two paths ever get
/// the same key: a path that would come to stand in a subtree to which another one is mapped is
/// refused by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyMap {
    prefix: Vec<u8>,
    moves: Vec<Move>,
}

/// A subtree that stands elsewhere under the target (`--map FROM=TO`).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Move {
    from: RelPath,
    to: RelPath,
}

impl KeyMap {
    /// Keys under `prefix` (a slash at its end means nothing; empty: none). `moves` are pairs FROM,
    /// TO of paths relative to source and target root; of those that cover a path the longest FROM
    /// counts. Refused where two moves share their FROM or their TO.
    pub fn new(prefix: &[u8], moves: &[(RelPath, RelPath)]) -> Result<Self, StoreError> {
        let moves: Vec<Move> = moves
            .iter()
            .map(|(from, to)| Move { from: without_slash(from), to: without_slash(to) })
            .collect();
        for (number, each) in moves.iter().enumerate() {
            let earlier = &moves[..number];
            if earlier.iter().any(|other| other.from == each.from) {
                return Err(refused(format!("{:?} is mapped twice", each.from)));
            }
            if earlier.iter().any(|other| other.to == each.to) {
                return Err(refused(format!("two subtrees are mapped to {:?}", each.to)));
            }
        }
        Ok(Self { prefix: prefix.strip_suffix(b"/").unwrap_or(prefix).to_vec(), moves })
    }

    /// The prefix of every key, without a slash at its end.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// What every key under the target begins with: keys that begin with the prefix and go on
    /// without a slash are others'.
    pub fn listing_prefix(&self) -> Vec<u8> {
        let mut prefix = self.prefix.clone();
        if !prefix.is_empty() {
            prefix.push(b'/');
        }
        prefix
    }

    /// The key of a path; a marker's path (it ends in `/`) gives a key that ends in `/`.
    pub fn key(&self, path: &RelPath) -> Result<Vec<u8>, StoreError> {
        let used =
            self.moves.iter().filter(|each| each.from.contains(path)).max_by_key(length_from);
        let place = match used {
            Some(each) => each.from.rebase(path, &each.to).unwrap_or_else(|| path.clone()),
            None => path.clone(),
        };
        let owner = self.owner(&place);
        if owner != used {
            let other = owner.map_or_else(RelPath::root, |each| each.from.clone());
            return Err(refused(format!("{path:?} would stand where {other:?} is mapped to")));
        }
        if place.is_root() && (self.prefix.is_empty() || path.is_marker()) {
            return Err(refused(format!("{path:?} would have an empty name on the target")));
        }
        let mut key = self.prefix.clone();
        if !key.is_empty() && !place.is_root() {
            key.push(b'/');
        }
        key.extend_from_slice(place.as_bytes());
        Ok(key)
    }

    /// The path whose key this is; `None` if no path has this key.
    pub fn path(&self, key: &[u8]) -> Option<RelPath> {
        let below = match key.strip_prefix(self.prefix.as_slice())? {
            rest if self.prefix.is_empty() || rest.is_empty() => rest,
            rest => rest.strip_prefix(b"/").filter(|rest| !rest.is_empty())?,
        };
        let place = RelPath::new(below.to_vec());
        let path = match self.owner(&place) {
            Some(each) => each.to.rebase(&place, &each.from)?,
            None => place,
        };
        (self.key(&path).ok()? == key).then_some(path)
    }

    /// Subtrees that are each mapped as a whole: within one, keys stand in the order of their
    /// paths. The source root first.
    pub fn roots(&self) -> Vec<RelPath> {
        let below = self.moves.iter().map(|each| each.from.clone()).filter(|from| !from.is_root());
        std::iter::once(RelPath::root()).chain(below).collect()
    }

    /// Which of `roots` a path belongs to.
    pub fn root_of(&self, path: &RelPath) -> RelPath {
        let covering = self.moves.iter().filter(|each| each.from.contains(path));
        covering.max_by_key(length_from).map(|each| each.from.clone()).unwrap_or_default()
    }

    /// What every key begins with that stands for one of `roots` or for what lies below it.
    pub fn prefix_of_root(&self, root: &RelPath) -> Vec<u8> {
        match self.moves.iter().find(|each| each.from == *root) {
            Some(each) if each.to.is_root() => self.listing_prefix(),
            Some(each) => [&self.listing_prefix(), each.to.as_bytes()].concat(),
            None => self.listing_prefix(),
        }
    }

    /// A key that begins with the prefix of a root, as bytes of a path in the order of paths.
    pub fn place_in_root(&self, root: &RelPath, key: &[u8]) -> Vec<u8> {
        let below = key.strip_prefix(self.prefix_of_root(root).as_slice()).unwrap_or_default();
        let moved_to_top =
            self.moves.iter().find(|each| each.from == *root).is_none_or(|each| each.to.is_root());
        match (root.is_root(), moved_to_top) {
            (true, true) => below.to_vec(),
            (true, false) => below.strip_prefix(b"/").unwrap_or_default().to_vec(),
            (false, true) => [root.as_bytes(), b"/", below].concat(),
            (false, false) => [root.as_bytes(), below].concat(),
        }
    }

    /// The move to whose TO a place belongs: the longest.
    fn owner(&self, place: &RelPath) -> Option<&Move> {
        self.moves.iter().filter(|each| each.to.contains(place)).max_by_key(length_to)
    }
}

/// Says by name why an object store can never hold a key.
pub fn check_object_key(key: &[u8]) -> Result<(), StoreError> {
    let shown = String::from_utf8_lossy(key);
    if key.is_empty() {
        return Err(refused("an empty key".to_owned()));
    }
    if key.len() > OBJECT_KEY_BYTES_MAX {
        let bytes = key.len();
        return Err(refused(format!(
            "the key {shown:?} has {bytes} bytes; object stores hold {OBJECT_KEY_BYTES_MAX}"
        )));
    }
    if std::str::from_utf8(key).is_err() {
        return Err(refused(format!("the key {shown:?} is not UTF-8")));
    }
    Ok(())
}

fn length_from(each: &&Move) -> usize {
    each.from.as_bytes().len()
}

fn length_to(each: &&Move) -> usize {
    each.to.as_bytes().len()
}

fn without_slash(path: &RelPath) -> RelPath {
    let bytes = path.as_bytes();
    RelPath::new(bytes.strip_suffix(b"/").unwrap_or(bytes).to_vec())
}

fn refused(message: String) -> StoreError {
    let remedy = "rename it at the source, map it elsewhere (--map) or leave it out (--exclude)";
    StoreError::Refused { message, remedy: remedy.to_owned() }
}

#[cfg(test)]
mod tests;
