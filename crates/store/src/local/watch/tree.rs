//! Which watch stands for which directory. What it says may lag behind the file system; it is
//! corrected as the kernel's events are read.

use std::collections::{BTreeMap, HashMap};

use whimbrel_core::path::RelPath;

/// The parent of what hangs nowhere.
const NOWHERE: i32 = -1;

/// Watched directories by the number of their watch.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: HashMap<i32, Node>,
    root: Option<i32>,
}

#[derive(Debug)]
struct Node {
    parent: i32,
    name: Vec<u8>,
    children: BTreeMap<Vec<u8>, i32>,
}

impl Tree {
    pub(super) fn set_root(&mut self, watch: i32) {
        self.cut(watch);
        self.root = Some(watch);
    }

    pub(super) fn is_root(&self, watch: i32) -> bool {
        self.root == Some(watch)
    }

    pub(super) fn watches(&self) -> Vec<i32> {
        self.nodes.keys().copied().collect()
    }

    pub(super) fn contains(&self, watch: i32) -> bool {
        self.nodes.contains_key(&watch)
    }

    /// Where a watched directory stands; `None` if it hangs nowhere.
    pub(super) fn path(&self, watch: i32) -> Option<RelPath> {
        let mut names: Vec<&[u8]> = Vec::new();
        let mut at = watch;
        while Some(at) != self.root {
            let node = self.nodes.get(&at)?;
            names.push(&node.name);
            at = node.parent;
        }
        names.reverse();
        Some(RelPath::new(names.join(&b'/')))
    }

    /// The watch of the directory at a path.
    pub(super) fn find(&self, path: &RelPath) -> Option<i32> {
        let mut at = self.root?;
        for name in path.as_bytes().split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            at = *self.nodes.get(&at)?.children.get(name)?;
        }
        Some(at)
    }

    /// The directory `watch` stands under `parent` now. Returns what stood there before.
    pub(super) fn put(&mut self, parent: i32, name: &[u8], watch: i32) -> Option<i32> {
        let before = self.nodes.get(&parent).and_then(|node| node.children.get(name).copied());
        if before == Some(watch) || !self.nodes.contains_key(&parent) || self.is_root(watch) {
            return None;
        }
        if let Some(before) = before {
            self.cut(before);
        }
        self.cut_between(watch, parent);
        self.cut(watch);
        if watch == parent {
            return before;
        }
        if let Some(node) = self.nodes.get_mut(&parent) {
            node.children.insert(name.to_vec(), watch);
        }
        if let Some(node) = self.nodes.get_mut(&watch) {
            node.parent = parent;
            node.name = name.to_vec();
        }
        before
    }

    /// Whatever stands there hangs nowhere from now on.
    pub(super) fn detach(&mut self, parent: i32, name: &[u8]) -> Option<i32> {
        let watch = self.nodes.get(&parent)?.children.get(name).copied()?;
        self.cut(watch);
        Some(watch)
    }

    /// True if it hangs nowhere by itself (not by an ancestor).
    pub(super) fn is_detached(&self, watch: i32) -> bool {
        self.root != Some(watch)
            && self.nodes.get(&watch).is_some_and(|node| node.parent == NOWHERE)
    }

    /// Forgets a directory and all below it; returns their watches.
    pub(super) fn remove(&mut self, watch: i32) -> Vec<i32> {
        self.cut(watch);
        let mut removed = Vec::new();
        let mut open = vec![watch];
        while let Some(watch) = open.pop() {
            if let Some(node) = self.nodes.remove(&watch) {
                open.extend(node.children.into_values());
                removed.push(watch);
            }
        }
        removed
    }

    /// Takes a node out from under its parent; makes it if there is none.
    fn cut(&mut self, watch: i32) {
        let node = self.nodes.entry(watch).or_insert_with(|| Node {
            parent: NOWHERE,
            name: Vec::new(),
            children: BTreeMap::new(),
        });
        let parent = std::mem::replace(&mut node.parent, NOWHERE);
        let name = std::mem::take(&mut node.name);
        if let Some(parent) = self.nodes.get_mut(&parent) {
            parent.children.remove(&name);
        }
    }

    /// Two moves that were not both seen yet can make a directory seem to lie below itself: then
    /// the link between is cut.
    fn cut_between(&mut self, upper: i32, lower: i32) {
        let mut at = lower;
        while let Some(node) = self.nodes.get(&at) {
            if node.parent == upper {
                self.cut(at);
                return;
            }
            at = node.parent;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.set_root(1);
        tree.put(1, b"a", 2);
        tree.put(2, b"b", 3);
        tree.put(3, b"c", 4);
        tree
    }

    #[test]
    fn paths_follow_moves() {
        let mut tree = tree();
        assert_eq!(tree.path(1), Some(RelPath::root()));
        assert_eq!(tree.path(4), Some("a/b/c".into()));
        assert_eq!(tree.put(1, b"z", 3), None);
        assert_eq!(tree.path(4), Some("z/c".into()));
        assert_eq!(tree.detach(1, b"z"), Some(3));
        assert_eq!(tree.path(4), None);
        assert!(tree.is_detached(3) && !tree.is_detached(4));
        let mut removed = tree.remove(3);
        removed.sort_unstable();
        assert_eq!(removed, vec![3, 4]);
    }

    #[test]
    fn what_stood_there_is_handed_back() {
        let mut tree = tree();
        tree.put(1, b"x", 9);
        assert_eq!(tree.put(1, b"x", 3), Some(9));
        assert!(tree.is_detached(9));
        assert_eq!(tree.path(4), Some("x/c".into()));
    }

    #[test]
    fn nothing_comes_to_lie_below_itself() {
        let mut tree = tree();
        tree.put(4, b"d", 2);
        assert_eq!(tree.path(2), None, "cut off until its events are read");
        tree.put(1, b"a", 2);
        assert_eq!(tree.path(2), Some("a".into()));
        tree.put(2, b"a", 2);
        assert_eq!(tree.path(2), None);
    }
}
