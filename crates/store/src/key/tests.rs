use proptest::prelude::*;

use super::*;

fn map(prefix: &str, moves: &[(&str, &str)]) -> KeyMap {
    let moves: Vec<(RelPath, RelPath)> =
        moves.iter().map(|(from, to)| ((*from).into(), (*to).into())).collect();
    KeyMap::new(prefix.as_bytes(), &moves).expect("fit moves")
}

#[test]
fn keys_of_paths() {
    for (prefix, moves, path, expected) in [
        ("", &[][..], "a/b", Some("a/b")),
        ("p", &[], "a/b", Some("p/a/b")),
        ("p/q/", &[], "a/b/", Some("p/q/a/b/")),
        ("p", &[], "", Some("p")),
        ("", &[], "", None),
        ("p", &[], "/a", Some("p//a")),
        ("p", &[], "a//b", Some("p/a//b")),
        ("p", &[("a", "x/y")], "a/b", Some("p/x/y/b")),
        ("p", &[("a", "x/y")], "ab", Some("p/ab")),
        ("p", &[("a", "x"), ("a/b", "y")], "a/b/c", Some("p/y/c")),
        ("p", &[("a", "x"), ("a/b", "y")], "a/c", Some("p/x/c")),
        ("p", &[("a", "")], "a/b", Some("p/b")),
        ("p", &[("a", "")], "a", Some("p")),
        ("p", &[("a", "")], "a/", None),
        ("p", &[("a", "")], "b", None),
        ("p", &[("", "x")], "b", Some("p/x/b")),
        ("p", &[("a", "b")], "b/c", None),
        ("p", &[("a", "b"), ("b", "a")], "b/c", Some("p/a/c")),
        ("p", &[("a", "x"), ("b", "x/y")], "a/y/z", None),
    ] {
        let map = map(prefix, moves);
        let key = map.key(&path.into()).ok();
        assert_eq!(key.as_deref(), expected.map(str::as_bytes), "{prefix} {moves:?} {path}");
        if let Some(key) = key {
            assert_eq!(map.path(&key), Some(path.into()), "{prefix} {moves:?} {path}");
        }
    }
}

#[test]
fn keys_of_nobody() {
    let map = map("p", &[("a", "x")]);
    for key in ["q/a", "p/", "pa", "p/a/b", ""] {
        assert_eq!(map.path(key.as_bytes()), None, "{key}");
    }
}

#[test]
fn moves_must_differ() {
    let pair = |from: &str, to: &str| (RelPath::from(from), RelPath::from(to));
    assert!(KeyMap::new(b"", &[pair("a", "x"), pair("a/", "y")]).is_err());
    assert!(KeyMap::new(b"", &[pair("a", "x"), pair("b", "x/")]).is_err());
}

#[test]
fn object_keys() {
    assert!(check_object_key("é".repeat(512).as_bytes()).is_ok());
    for key in [&b""[..], &[b'a'; 1025], b"a\xff"] {
        let error = check_object_key(key).expect_err("no object store holds it");
        assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    }
}

fn path() -> impl Strategy<Value = RelPath> {
    let component = prop::sample::select(vec!["a", "b", "c", "", "a b", "\u{1}", "ab"]);
    prop::collection::vec(component, 1..5).prop_map(|parts| parts.join("/").as_str().into())
}

proptest! {
    #[test]
    fn the_way_back_leads_home(
        prefix in prop::sample::select(vec!["", "p", "a", "a/b"]),
        moves in prop::collection::vec((path(), path()), 0..4),
        path in path(),
        other in path(),
    ) {
        if let Ok(map) = KeyMap::new(prefix.as_bytes(), &moves) {
            let key = map.key(&path).ok();
            if let Some(key) = &key {
                prop_assert_eq!(map.path(key), Some(path.clone()));
            }
            if key.is_some() && path != other {
                prop_assert_ne!(key, map.key(&other).ok());
            }
        }
    }
}

#[test]
fn keys_of_one_root_stand_in_the_order_of_its_paths() {
    let map = map("p", &[("d", "moved/here"), ("e", ""), ("", "top")]);
    assert_eq!(map.roots(), ["", "d", "e"].map(RelPath::from));
    for (root, path) in [("", "x"), ("", "x/y"), ("d", "d/x"), ("d", "d"), ("e", "e/x/y")] {
        assert_eq!(map.root_of(&path.into()), root.into(), "{path}");
        let key = map.key(&path.into()).expect("a key");
        assert!(key.starts_with(&map.prefix_of_root(&root.into())), "{path}");
        assert_eq!(map.place_in_root(&root.into(), &key), path.as_bytes(), "{path}");
    }
    let plain = map_of_nothing();
    assert_eq!(plain.place_in_root(&RelPath::root(), b"a/b"), b"a/b");
}

fn map_of_nothing() -> KeyMap {
    map("", &[])
}
