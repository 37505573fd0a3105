//! Paths relative to the source root, byte for byte as the source names them.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A path relative to the source root: components joined by `/`, no leading slash; empty for the
/// root itself. Bytes, not text: local names need not be UTF-8. A trailing `/` names the marker
/// object of a directory. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct RelPath(Bytes);

/// How the names of a source relate to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Namespace {
    /// Directories hold names; `/` separates them (HDFS, local file systems).
    Tree,
    /// Keys are opaque (`a`, `a/` and `a/b` may all exist); everything is a child of the root (S3).
    Flat,
}

impl RelPath {
    /// The source root itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// Takes the bytes as they are.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The bytes of the path.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text of the path, where it is UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// True for the source root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The path of the child `name`.
    pub fn join(&self, name: &[u8]) -> Self {
        if self.is_root() {
            return Self(Bytes::copy_from_slice(name));
        }
        let mut joined = Vec::with_capacity(self.0.len() + 1 + name.len());
        joined.extend_from_slice(&self.0);
        joined.push(b'/');
        joined.extend_from_slice(name);
        Self(joined.into())
    }

    /// The directory that holds this path; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        Some(self.split().0)
    }

    /// The last component; empty for the root and for a marker.
    pub fn name(&self) -> &[u8] {
        &self.0[self.name_start()..]
    }

    /// The directory and the last component; joined they give the path again. Foreign keys may have
    /// empty components: their slashes belong to the name that follows, so that `a//b` is `/b` in
    /// `a`, and `/a` is that in the root.
    pub fn split(&self) -> (Self, Bytes) {
        let start = self.name_start();
        (Self(self.0.slice(..start.saturating_sub(1))), self.0.slice(start..))
    }

    /// The path of this directory's marker object.
    pub fn marker(&self) -> Self {
        self.join(b"")
    }

    /// True for the path of a directory marker.
    pub fn is_marker(&self) -> bool {
        !self.is_root() && self.name().is_empty()
    }

    /// True for what no directory can hold: a foreign key with empty components.
    pub fn has_empty_component(&self) -> bool {
        self.0.first() == Some(&b'/') || self.0.windows(2).any(|pair| pair == b"//")
    }

    /// True if `other` is this path or lies under it.
    pub fn contains(&self, other: &Self) -> bool {
        self.is_root()
            || other.0.starts_with(&self.0)
                && (other.0.len() == self.0.len() || other.0[self.0.len()] == b'/')
    }

    /// `other` moved from under `self` to under `to`; `None` if it does not lie under `self`.
    pub fn rebase(&self, other: &Self, to: &Self) -> Option<Self> {
        if !self.contains(other) {
            return None;
        }
        if other == self {
            return Some(to.clone());
        }
        let rest = if self.is_root() { &other.0[..] } else { &other.0[self.0.len() + 1..] };
        Some(to.join(rest))
    }

    fn name_start(&self) -> usize {
        let Some(slash) = self.0.iter().rposition(|byte| *byte == b'/') else { return 0 };
        // The first slash of a run parts directory and name.
        let above = self.0[..slash].iter().rposition(|byte| *byte != b'/');
        above.map_or(0, |above| above + 2)
    }

    /// Every proper ancestor, nearest first, the root last.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> + use<> {
        std::iter::successors(self.parent(), Self::parent)
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

impl From<&str> for RelPath {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containment_stops_at_component_borders() {
        let directory = RelPath::from("a/b");
        for (other, expected) in
            [("a/b", true), ("a/b/c", true), ("a/b/", true), ("a/bc", false), ("a", false)]
        {
            assert_eq!(directory.contains(&other.into()), expected, "{other}");
        }
        assert!(RelPath::root().contains(&"x".into()));
    }

    #[test]
    fn rebase_moves_what_lies_under() {
        let from = RelPath::from("a");
        let to = RelPath::from("x/y");
        assert_eq!(from.rebase(&"a/b/c".into(), &to), Some("x/y/b/c".into()));
        assert_eq!(from.rebase(&"a".into(), &to), Some("x/y".into()));
        assert_eq!(from.rebase(&"ab".into(), &to), None);
        assert_eq!(from.rebase(&"a/b".into(), &RelPath::root()), Some("b".into()));
    }

    #[test]
    fn marker_belongs_to_its_directory() {
        let marker = RelPath::from("a/b").marker();
        assert_eq!(marker, "a/b/".into());
        assert!(marker.is_marker());
        assert_eq!(marker.parent(), Some("a/b".into()));
        assert_eq!(marker.name(), b"");
    }

    #[test]
    fn empty_components_belong_to_the_name_that_follows() {
        for (path, directory, name) in [
            ("lead", "", "lead"),
            ("/lead", "", "/lead"),
            ("/", "", "/"),
            ("//x", "", "//x"),
            ("//", "", "//"),
            ("/lead/deep", "/lead", "deep"),
            ("a//b", "a", "/b"),
            ("a//b///c", "a//b", "//c"),
            ("a//", "a", "/"),
            ("a/", "a", ""),
            ("a/b", "a", "b"),
        ] {
            let path = RelPath::from(path);
            assert_eq!(path.is_marker(), name.is_empty(), "{path}");
            assert_eq!(
                path.has_empty_component(),
                name.contains('/') || directory.contains("//") || directory.starts_with('/')
            );
            let (above, last) = path.split();
            assert_eq!((above.clone(), &last[..]), (directory.into(), name.as_bytes()), "{path}");
            assert_eq!((above.join(&last), path.name()), (path.clone(), name.as_bytes()));
        }
    }

    #[test]
    fn ancestors_end_at_the_root() {
        let found: Vec<RelPath> = RelPath::from("a/b/c").ancestors().collect();
        assert_eq!(found, vec!["a/b".into(), "a".into(), RelPath::root()]);
    }

    #[test]
    fn paths_are_text_where_they_can_be() {
        let (text, bytes) = (RelPath::from("a/\u{e9}"), RelPath::new(&b"a/\xff"[..]));
        assert_eq!((text.as_text(), bytes.as_text()), (Some("a/\u{e9}"), None));
        assert_eq!(format!("{text} {text:?}"), "a/\u{e9} \"a/\u{e9}\"");
    }
}
