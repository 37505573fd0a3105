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
