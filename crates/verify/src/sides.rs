//! What stands at one path on both sides, told apart from all that stood there before.

use whimbrel_core::entry::Node;
use whimbrel_core::identity::Identity;
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_store::target::Object;

use crate::{Verification, attempt};

/// Two of them are equal only if nothing was made, removed or rewritten in between that a worker
/// has to do something about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sides {
    source: There<AtSource>,
    target: There<Object>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum There<T> {
    Something(T),
    Nothing,
    /// The side could not be asked.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum AtSource {
    File(Identity),
    /// Its time changes with every child that comes or goes: its marker depends on these.
    Directory {
        file_key: u64,
        modified_ns: i64,
    },
    Special,
}

impl Sides {
    /// What stands there now.
    pub async fn of(verification: &Verification, path: &RelPath) -> Self {
        let source = &verification.source;
        let of_directory = path.is_marker() && source.namespace() == Namespace::Tree;
        let place = path.parent().filter(|_| of_directory).unwrap_or_else(|| path.clone());
        let found = attempt::ask(|| source.stat(&place)).await;
        let source = There::from(found.map(|node| node.map(AtSource::from)));
        let target = match verification.keys.key(path) {
            Ok(key) => There::from(attempt::ask(|| verification.target.inspect(&key)).await),
            Err(_) => There::Nothing,
        };
        Self { source, target }
    }
}

impl<T, E> From<Result<Option<T>, E>> for There<T> {
    fn from(found: Result<Option<T>, E>) -> Self {
        match found {
            Ok(Some(thing)) => Self::Something(thing),
            Ok(None) => Self::Nothing,
            Err(_) => Self::Unknown,
        }
    }
}

impl From<Node> for AtSource {
    fn from(node: Node) -> Self {
        match node {
            Node::File(file) => Self::File(file.identity),
            Node::Directory(directory) => Self::Directory {
                file_key: directory.file_key,
                modified_ns: directory.metadata.modified_ns,
            },
            Node::Special(_) => Self::Special,
        }
    }
}
