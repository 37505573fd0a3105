//! Where a record stands: its directory and its name, as the source's namespace sees them.

use bytes::Bytes;
use whimbrel_core::path::{Namespace, RelPath};

/// A directory and a name in it. Ordered by the bytes of the directory, then of the name. The root
/// has the key of two empty parts, which its own marker shares.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub directory: RelPath,
    pub name: Bytes,
}

/// Paths from `from` up to, but not including, `until`; without end if that is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub from: Vec<u8>,
    pub until: Option<Vec<u8>>,
}

impl Span {
    /// `path` alone.
    pub(crate) fn of(path: &RelPath) -> Self {
        let from = path.as_bytes().to_vec();
        let mut until = from.clone();
        until.push(0);
        Self { from, until: Some(until) }
    }
}

/// How paths of one migration relate to each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names(pub Namespace);

impl Names {
    /// The key of a path.
    pub(crate) fn key(self, path: &RelPath) -> Key {
        match self.0 {
            Namespace::Tree => {
                let (directory, name) = path.split();
                Key { directory, name }
            }
            Namespace::Flat => {
                Key { directory: RelPath::root(), name: Bytes::copy_from_slice(path.as_bytes()) }
            }
        }
    }

    /// The path of a directory's child.
    pub(crate) fn child(self, directory: &RelPath, name: &[u8]) -> RelPath {
        if directory.is_root() { RelPath::new(name.to_vec()) } else { directory.join(name) }
    }

    /// Every proper ancestor, nearest first, the root last.
    pub(crate) fn ancestors(self, path: &RelPath) -> Vec<RelPath> {
        match self.0 {
            Namespace::Tree => path.ancestors().collect(),
            Namespace::Flat if path.is_root() => Vec::new(),
            Namespace::Flat => vec![RelPath::root()],
        }
    }

    /// The path of a directory's marker object. An opaque key and the root have none.
    pub(crate) fn marker(self, path: &RelPath) -> Option<RelPath> {
        match self.0 {
            Namespace::Tree if path.is_root() || path.is_marker() => None,
            Namespace::Tree => Some(path.marker()),
            Namespace::Flat => None,
        }
    }

    /// A path and what lies under it.
    pub(crate) fn at_or_below(self, path: &RelPath) -> Vec<Span> {
        match self.0 {
            Namespace::Flat if !path.is_root() => vec![Span::of(path)],
            Namespace::Flat | Namespace::Tree => self.below(path),
        }
    }

    /// The directories that hold what lies strictly below a path; among the root's is the root's
    /// own key.
    pub(crate) fn below(self, path: &RelPath) -> Vec<Span> {
        if path.is_root() {
            return vec![Span { from: Vec::new(), until: None }];
        }
        match self.0 {
            Namespace::Flat => Vec::new(),
            Namespace::Tree => {
                let with = |byte: u8| {
                    let mut bytes = path.as_bytes().to_vec();
                    bytes.push(byte);
                    bytes
                };
                vec![Span::of(path), Span { from: with(b'/'), until: Some(with(b'/' + 1)) }]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_lies_below_the_root_alone() {
        let (tree, flat) = (Names(Namespace::Tree), Names(Namespace::Flat));
        let path = |text: &str| RelPath::from(text);
        let within = |names: Names, path: &RelPath, other: &RelPath| {
            let other = other.as_bytes();
            names.at_or_below(path).iter().any(|span| {
                &span.from[..] <= other && span.until.as_deref().is_none_or(|until| other < until)
            })
        };
        for (above, other) in [("d", "d"), ("d", "d/a"), ("", "a"), ("", "")] {
            assert!(within(tree, &path(above), &path(other)), "{above} {other}");
            let flat = within(flat, &path(above), &path(other));
            assert_eq!(flat, above.is_empty() || above == other, "{above} {other}");
        }
        assert!(!within(tree, &path("d"), &path("d-")) && !within(tree, &path("d"), &path("da")));
        assert_eq!(tree.ancestors(&path("d/e/a")), [path("d/e"), path("d"), path("")]);
        assert_eq!(flat.ancestors(&path("d/e/a")), [path("")]);
        assert_eq!(flat.ancestors(&path("")), [], "nothing is above it");
    }
}
