use whimbrel_core::entry::{DirectoryNode, Entry, Node};
use whimbrel_core::event::EventBatch;
use whimbrel_core::metadata::Metadata;
use whimbrel_core::number::Epoch;

use super::*;

const OF: TxId = TxId(100);

fn page(directory: &str, names: &[&str], more: bool) -> Page {
    let directory = RelPath::from(directory);
    let entry = |name: &&str| {
        let metadata = Metadata::default();
        let node = Node::Directory(DirectoryNode { file_key: 1, empty: None, metadata });
        Entry { path: directory.join(name.as_bytes()), node }
    };
    Page { entries: names.iter().map(entry).collect(), more }
}

/// The root holds `a` and `b`, `a` holds `x`, and that `deep`; `b` has three pages.
fn image() -> Image {
    let mut writer = ImageWriter::new(tempfile::tempfile().unwrap());
    for (directory, names, more) in [
        ("", &["a", "b"][..], false),
        ("a", &["x"], false),
        ("a/x", &["deep"], false),
        ("a/x/deep", &[], false),
        ("b", &["1", "2"], true),
        ("b", &["3", "4"], true),
        ("b", &["5"], false),
    ] {
        writer.add(&directory.into(), &page(directory, names, more)).unwrap();
    }
    writer.finish(OF).unwrap()
}

fn reply(txid: u64, events: Vec<Event>) -> StreamReply {
    StreamReply {
        epoch: Epoch(0),
        applied: TxId(txid),
        synced: TxId(txid),
        written: TxId(txid),
        batches: vec![EventBatch { txid: TxId(txid), events }],
        digest: 0,
        newest: None,
    }
}

fn told(image: &Image) -> Vec<&'static str> {
    let all = ["", "a", "a/x", "a/x/deep", "b"];
    all.into_iter().filter(|path| image.page(&(*path).into(), None).is_some()).collect()
}

#[test]
fn pages_go_on_after_any_name() {
    let image = image();
    let names = |after: Option<&str>| {
        let page = image.page(&"b".into(), after.map(str::as_bytes)).unwrap();
        let names = page.entries.iter().map(|entry| entry.path.to_string());
        (names.collect::<Vec<_>>(), page.more)
    };
    assert_eq!(names(None), (vec!["b/1".into(), "b/2".into()], true));
    assert_eq!(names(Some("1")), (vec!["b/2".into()], true));
    assert_eq!(names(Some("2")), (vec!["b/3".into(), "b/4".into()], true));
    assert_eq!(names(Some("35")), (vec!["b/4".into()], true));
    assert_eq!(names(Some("4")), (vec!["b/5".into()], false));
    assert_eq!(names(Some("9")), (vec![], false));
    assert_eq!(image.page(&"a/x/deep".into(), None).unwrap().entries, []);
    assert!(image.page(&"c".into(), None).is_none(), "it was made later");
}

/// A directory in which, to which or above which something happened is listed.
#[test]
fn rule_8_1_an_image_tells_of_no_directory_that_changed_since() {
    let path = || RelPath::from("a/x");
    let renamed = |from: Option<&str>, to: Option<&str>| Event::Renamed {
        from: from.map(RelPath::from),
        to: to.map(RelPath::from),
    };
    let in_x = || RelPath::from("a/x/file");
    for (event, left) in [
        (Event::Created(in_x()), vec!["", "a", "a/x/deep", "b"]),
        (Event::Closed(in_x()), vec!["", "a", "a/x/deep", "b"]),
        (Event::Reopened(in_x()), vec!["", "a", "a/x/deep", "b"]),
        (Event::Truncated(in_x()), vec!["", "a", "a/x/deep", "b"]),
        (Event::MetadataChanged(in_x()), vec!["", "a", "a/x/deep", "b"]),
        (Event::Removed(in_x()), vec!["", "a", "a/x/deep", "b"]),
        (Event::MetadataChanged(path()), vec!["", "a/x", "a/x/deep", "b"]),
        (Event::MetadataChanged(RelPath::root()), vec!["", "a", "a/x", "a/x/deep", "b"]),
        (Event::MetadataChanged("a".into()), vec!["a", "a/x", "a/x/deep", "b"]),
        (Event::DirectoryMade(path()), vec!["", "b"]),
        (Event::Removed(path()), vec!["", "b"]),
        (renamed(Some("a/x"), None), vec!["", "b"]),
        (renamed(None, Some("a/x")), vec!["", "b"]),
        (renamed(Some("a/x"), Some("b/x")), vec![""]),
        (renamed(Some("a"), Some("c")), vec!["b"]),
        (Event::RootTouched, vec![]),
    ] {
        let image = image();
        image.note(OF, &reply(90, vec![Event::Removed("a".into())]));
        assert_eq!(told(&image).len(), 5, "that was before it");
        image.note(OF, &reply(101, vec![event.clone()]));
        assert_eq!(told(&image), left, "{event:?}");
        assert_eq!(image.followed(), TxId(101));
    }
}

#[test]
fn rule_8_1_an_image_that_missed_something_tells_of_nothing() {
    let image = image();
    image.note(TxId(105), &reply(110, Vec::new()));
    assert!(told(&image).is_empty());
}

#[test]
fn a_turned_bit_is_no_page() {
    let image = image();
    let at = image.state().places.iter().find(|place| place.length > 20).unwrap().at;
    let mut bytes = [0; 12];
    image.file.read_exact_at(&mut bytes, at).unwrap();
    bytes[11] ^= 1;
    image.file.write_all_at(&bytes, at).unwrap();
    let before = image.state().places.len();
    assert!(told(&image).len() < 5);
    assert!(image.state().places.len() < before, "and nothing else is believed");
}

fn directory(file_key: u64) -> Node {
    Node::Directory(DirectoryNode { file_key, empty: None, metadata: Metadata::default() })
}

/// Three ends of the stream, the last of which may tell something.
fn followed(image: &Image, event: Option<Event>) {
    image.note(OF, &reply(101, Vec::new()));
    image.note(TxId(101), &reply(102, Vec::new()));
    image.note(TxId(102), &reply(103, event.into_iter().collect()));
}

/// What nothing explains contradicts it, once the stream was followed beyond the look.
#[test]
fn rule_8_1_an_image_is_contradicted_by_what_no_event_explains() {
    for (path, shown, contradicts) in [
        ("a/x", Some(directory(1)), false),
        ("a/none", None, false),
        ("a/x", None, true),
        ("a/x", Some(directory(2)), true),
        ("a/x", Some(Node::Special("a link".into())), true),
        ("a/none", Some(directory(1)), true),
        ("b/3", None, true),
        ("a/x/deep", None, false),
    ] {
        let image = image();
        for told in ["", "a", "b"] {
            image.page(&told.into(), None).unwrap();
        }
        assert_eq!(image.doubts(&path.into(), shown.as_ref()), contradicts, "{path} {shown:?}");
        image.note(OF, &reply(101, Vec::new()));
        image.note(TxId(101), &reply(102, Vec::new()));
        assert_eq!(image.contradicted(), None, "its reason may be on its way");
        let behind = StreamReply { synced: TxId(104), ..reply(103, Vec::new()) };
        image.note(TxId(102), &behind);
        assert_eq!(image.contradicted(), None, "that was not the end");
        image.note(TxId(103), &reply(104, Vec::new()));
        assert_eq!(image.contradicted(), contradicts.then(|| path.into()), "{shown:?}");
        assert!(image.mark().is_some());
        image.forget();
        assert_eq!((image.contradicted(), image.mark()), (None, None));
        assert!(!image.doubts(&path.into(), shown.as_ref()), "nothing is told any more");
    }
}

/// Whatever happened to the path or above it since explains it, before the look and after it.
#[test]
fn rule_8_1_an_event_explains_what_the_source_shows() {
    let path = || RelPath::from("a/x");
    for (event, explains) in [
        (Event::Removed(path()), true),
        (Event::Removed("a".into()), true),
        (Event::Renamed { from: Some("a".into()), to: None }, true),
        (Event::Renamed { from: None, to: Some(path()) }, true),
        (Event::Created(path()), true),
        (Event::Removed("a/y".into()), false),
        (Event::Closed("a/x/deep".into()), false),
        (Event::MetadataChanged("a".into()), false),
    ] {
        let before = image();
        before.page(&"a".into(), None).unwrap();
        before.note(OF, &reply(101, vec![event.clone()]));
        assert_eq!(before.doubts(&path(), None), !explains, "{event:?}");
        let after = image();
        after.page(&"a".into(), None).unwrap();
        assert!(after.doubts(&path(), None));
        followed(&after, Some(event.clone()));
        assert_eq!(after.contradicted().is_none(), explains, "{event:?}");
    }
}
