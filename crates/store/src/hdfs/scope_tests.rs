use super::*;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn close(path: &str) -> hdfs::Event {
    hdfs::Event::Close { path: bytes(path), length: Some(1), modified_millis: 7 }
}

fn unlink(path: &str) -> hdfs::Event {
    hdfs::Event::Unlink { path: bytes(path), time_millis: 7 }
}

fn rename(source: &str, destination: &str) -> hdfs::Event {
    let (source, destination) = (bytes(source), bytes(destination));
    hdfs::Event::Rename { source, destination, time_millis: 7 }
}

fn metadata(path: &str, change: MetadataChange) -> hdfs::Event {
    hdfs::Event::Metadata { path: bytes(path), change }
}

/// The quick look and the cut must never differ in what they let through.
fn cut(root: &str, event: &hdfs::Event) -> Option<Event> {
    let root = Root::new(root.as_bytes());
    let cut = root.cut(event);
    assert!(cut.is_none() || root.concerns(event), "{event:?}");
    cut
}

#[test]
fn rule_1_8_paths_are_cut_at_component_borders() {
    for (root, path, expected) in [
        ("/data/x", "/data/x/a/b", Some("a/b")),
        ("/data/x/", "/data/x/a", Some("a")),
        ("/data/x", "/data/x", Some("")),
        ("/data/x", "/data/xy/a", None),
        ("/data/x", "/data", None),
        ("/", "/a/b", Some("a/b")),
        ("/", "/", Some("")),
    ] {
        let expected = expected.map(|path| Event::Closed(path.into()));
        assert_eq!(cut(root, &close(path)), expected, "{root} {path}");
    }
}

#[test]
fn rule_1_5_both_ends_of_a_rename_pass() {
    let renamed = |from: Option<&str>, to: Option<&str>| {
        Some(Event::Renamed { from: from.map(RelPath::from), to: to.map(RelPath::from) })
    };
    for (source, destination, expected) in [
        ("/r/a", "/r/b", renamed(Some("a"), Some("b"))),
        ("/r/a", "/trash/a", renamed(Some("a"), None)),
        ("/other", "/r/a", renamed(None, Some("a"))),
        ("/other", "/another", None),
        ("/r", "/old", Some(Event::RootTouched)),
        ("/new", "/r", Some(Event::RootTouched)),
        ("/rr", "/ra", None),
    ] {
        assert_eq!(cut("/r", &rename(source, destination)), expected, "{source} {destination}");
    }
    assert_eq!(cut("/a/b/c", &rename("/a", "/z")), Some(Event::RootTouched));
    assert_eq!(cut("/a/b/c", &rename("/z", "/a/b")), Some(Event::RootTouched));
    assert_eq!(cut("/", &rename("/a", "/b")), renamed(Some("a"), Some("b")));
}

#[test]
fn rule_1_5_removal_of_an_ancestor_touches_the_root() {
    assert_eq!(cut("/a/b", &unlink("/a/b")), Some(Event::RootTouched));
    assert_eq!(cut("/a/b", &unlink("/a")), Some(Event::RootTouched));
    assert_eq!(cut("/a/b", &unlink("/a/b/c")), Some(Event::Removed("c".into())));
    assert_eq!(cut("/a/b", &unlink("/a/bc")), None);
}

#[test]
fn rule_1_8_only_what_travels_passes() {
    let times = |modified_millis, accessed_millis| MetadataChange::Times {
        modified_millis,
        accessed_millis,
    };
    let changed = Some(Event::MetadataChanged("f".into()));
    for (change, expected) in [
        (times(Some(5), None), changed.clone()),
        (times(Some(5), Some(5)), changed.clone()),
        (times(None, Some(5)), None),
        (MetadataChange::Replication(2), None),
        (MetadataChange::Permission(0o600), changed.clone()),
        (MetadataChange::Owner { owner: None, group: Some(bytes("g")) }, changed.clone()),
        (MetadataChange::Acl(Vec::new()), changed.clone()),
        (MetadataChange::XAttrs { xattrs: Vec::new(), removed: true }, changed),
    ] {
        assert_eq!(cut("/r", &metadata("/r/f", change.clone())), expected, "{change:?}");
        assert_eq!(cut("/r", &metadata("/s/f", change)), None);
    }
}

#[test]
fn paths_of_the_source_are_found_again() {
    let root = Root::new(b"/data");
    assert_eq!(root.absolute(&RelPath::root()), b"/data");
    assert_eq!(root.absolute(&"a/b".into()), b"/data/a/b");
    let top = Root::new(b"/");
    assert_eq!(top.absolute(&RelPath::root()), b"/");
    assert_eq!(top.absolute(&"a".into()), b"/a");
}
