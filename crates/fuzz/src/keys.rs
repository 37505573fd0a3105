//! Paths to keys and back.

use whimbrel_core::path::RelPath;
use whimbrel_store::key::KeyMap;

/// Parts between zero bytes: the prefix, two paths, then pairs FROM, TO.
pub fn key_map(bytes: &[u8]) {
    let mut parts = bytes.split(|byte| *byte == 0);
    let mut next = || parts.next().map(|part| RelPath::new(part.to_vec()));
    let (Some(prefix), Some(one), Some(other)) = (next(), next(), next()) else { return };
    let moves = std::iter::from_fn(|| Some((next()?, next()?))).take(8);
    let moves: Vec<(RelPath, RelPath)> = moves.collect();
    let Ok(map) = KeyMap::new(prefix.as_bytes(), &moves) else { return };
    let keys = [&one, &other].map(|path| map.key(path).ok());
    for (path, key) in [&one, &other].into_iter().zip(&keys) {
        let Some(key) = key else { continue };
        assert_eq!(map.path(key).as_ref(), Some(path), "the way back");
        assert!(key.starts_with(map.prefix()) && !key.is_empty());
        place(&map, path, key);
    }
    if one != other {
        assert!(keys[0].is_none() || keys[0] != keys[1], "no two paths have one key");
    }
    // Any bytes as a key: it is nobody's, or that of the path that has it.
    for key in [one.as_bytes(), other.as_bytes()] {
        if let Some(path) = map.path(key) {
            assert_eq!(map.key(&path).ok().as_deref(), Some(key));
        }
    }
}

/// Within a root a key tells its path.
fn place(map: &KeyMap, path: &RelPath, key: &[u8]) {
    let root = map.root_of(path);
    assert!(map.roots().contains(&root) && root.contains(path));
    // What is mapped to the top of the target stands at the prefix itself, beside what lies below.
    if key == map.prefix() {
        return;
    }
    assert!(key.starts_with(&map.prefix_of_root(&root)), "{root:?} holds {path:?}");
    assert_eq!(map.place_in_root(&root, key), path.as_bytes(), "{root:?}");
}
