//! A comparison that is gone on with says what one in one go says.
#![allow(clippy::expect_used, reason = "a test ends where it fails")]

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use whimbrel_core::config::DirectoryMarkers;
use whimbrel_core::entry::{FileNode, Node, Page};
use whimbrel_core::event::Event;
use whimbrel_core::metadata::MetadataLevel;
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::scope::Scope;
use whimbrel_store::error::StoreError;
use whimbrel_store::key::KeyMap;
use whimbrel_store::local::{LocalSource, LocalTarget};
use whimbrel_store::source::{Answer, ByteStream, ChangeStream, Source};
use whimbrel_verify::{
    Content, Continuation, DifferenceKind, Extent, Meter, Moved, Note, Options, SHARE_WHOLE,
    Sample, Sums, Verification,
};

/// What a comparison said.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    sums: Sums,
    told: Vec<(String, DifferenceKind)>,
}

fn verification(folder: &Path, sample: Option<Sample>) -> Verification {
    let moves = [(RelPath::from("m"), RelPath::from("a-moved")), ("z/m".into(), "b/moved".into())];
    Verification {
        source: Arc::new(LocalSource::open(&folder.join("source")).expect("opens")),
        target: Arc::new(LocalTarget::look_at(&folder.join("target")).expect("opens")),
        keys: KeyMap::new(b"", &moves).expect("mapped"),
        mapped: moves.iter().map(|(from, _)| from.clone()).collect(),
        scope: Scope::everything(),
        options: Options {
            content: Content::Checksum,
            ignore_extras: false,
            metadata: MetadataLevel::None,
            directory_markers: DirectoryMarkers::All,
            parallel: 3,
            patience: Duration::from_secs(2),
            sample,
        },
        worker: None,
        keeper: None,
    }
}

/// Compares from a note on; gives the notes taken, too.
async fn said(verification: &Verification, from: Option<Note>) -> (Said, Vec<Note>) {
    said_again(verification, from, &[]).await
}

/// The same after these events.
async fn said_again(
    verification: &Verification,
    from: Option<Note>,
    events: &[Event],
) -> (Said, Vec<Note>) {
    let mut moved = Moved::default();
    assert!(events.iter().all(|event| moved.add(event)));
    let meter = Arc::new(from.as_ref().map(Meter::of).unwrap_or_default());
    let (sender, mut receiver) = mpsc::channel(10_000);
    let (notes, mut noted) = mpsc::channel(10_000);
    let every = Duration::ZERO;
    let continuation = Continuation { from, moved, notes: Some(notes), every };
    let sums =
        verification.run_and_prove(&meter, &sender, None, continuation).await.expect("compared");
    drop(sender);
    let (mut told, mut taken) = (Vec::new(), Vec::new());
    while let Some(difference) = receiver.recv().await {
        told.push((difference.path.to_string(), difference.kind));
    }
    while let Some(note) = noted.recv().await {
        taken.push(note);
    }
    told.sort();
    // What differs is read once more.
    let sums = Sums { bytes_read_source: 0, bytes_read_target: 0, ..sums };
    (Said { sums, told }, taken)
}

fn put(folder: &Path, files: &[&str]) {
    for file in files {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, file).expect("written");
    }
}

/// Names of which one begins with the other, differences of every kind, subtrees that are mapped
/// elsewhere, and a link.
fn trees(folder: &Path) {
    let both =
        ["a", "a-b/x", "a.d/e/f", "a.d/e-f", "b/c/d", "b/c/e", "b/c-", "b/c/d2/x", "d!", "e"];
    let only_source = ["a.d/missing", "b/c/missing/x", "y/missing"];
    let only_target = ["a.d/extra", "b/c/d2/extra/x", "zz"];
    put(&folder.join("source"), &[&both[..], &only_source].concat());
    put(&folder.join("target"), &[&both[..], &only_target].concat());
    put(&folder.join("source"), &["m/1", "m/2/3", "m/4", "z/m/1", "z/m/2"]);
    put(&folder.join("target"), &["a-moved/1", "a-moved/2/3", "a-moved/5", "b/moved/1"]);
    for name in ["a-moved/1", "a-moved/2/3", "b/moved/1"] {
        let path = folder.join("target").join(name);
        fs::write(path, name.replace("a-moved", "m").replace("b/moved", "z/m")).expect("written");
    }
    for name in ["a-b/x", "b/c/e"] {
        let length = fs::read(folder.join("target").join(name)).expect("read").len();
        fs::write(folder.join("target").join(name), vec![b'!'; length]).expect("written");
    }
    symlink("a", folder.join("source/c-link")).expect("linked");
    fs::create_dir_all(folder.join("source/empty")).expect("made");
    fs::create_dir_all(folder.join("source/b/empty")).expect("made");
}

#[tokio::test]
async fn from_any_note_on_the_same_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    trees(folder.path());
    let half = Sample { seed: "s".to_owned(), extent: Extent::Share(SHARE_WHOLE / 2), held_max: 1 };
    for sample in [None, Some(half)] {
        let verification = verification(folder.path(), sample);
        let (whole, notes) = said(&verification, None).await;
        assert!(whole.sums.missing > 3 && whole.sums.extra > 2, "{whole:?}");
        assert!(notes.len() > 25, "{}", notes.len());
        assert!(notes.iter().any(|note| note.roots_done == 2));
        for note in notes {
            let (rest, _) = said(&verification, Some(note.clone())).await;
            assert_eq!(rest, whole, "from {note:?}");
        }
    }
}

/// However much the stream names, each thing is told and counted once.
#[tokio::test]
async fn rule_10_2_what_is_looked_at_again_is_told_once() {
    let folder = tempfile::tempdir().expect("a folder");
    trees(folder.path());
    let verification = verification(folder.path(), None);
    let (whole, notes) = said(&verification, None).await;
    let renamed = |from: &str, to: &str| Event::Renamed {
        from: Some(RelPath::from(from)),
        to: Some(RelPath::from(to)),
    };
    let removed = |path: &str| Event::Removed(path.into());
    let events = [
        renamed("a.d", "b"),
        removed("b/c"),
        removed("a"),
        removed("nothing"),
        removed("z"),
        removed("m/2"),
        Event::Closed("a-b/x".into()),
        Event::Closed("e".into()),
        Event::DirectoryMade("empty".into()),
        Event::Created("y/missing".into()),
    ];
    for note in notes {
        let (rest, _) = said_again(&verification, Some(note.clone()), &events).await;
        assert_eq!(rest, whole, "from {note:?}");
    }
}

/// What was equal before the note, and is not any more: found where the stream names it, or
/// something above it.
#[tokio::test]
async fn rule_10_2_what_moved_behind_a_note_is_looked_at_again() {
    let folder = tempfile::tempdir().expect("a folder");
    trees(folder.path());
    let verification = verification(folder.path(), None);
    let (whole, notes) = said(&verification, None).await;
    let last = notes.last().cloned().expect("noted");
    let target = folder.path().join("target");
    fs::write(target.join("a.d/e/f"), "other").expect("written");
    fs::remove_file(target.join("a-moved/2/3")).expect("removed");
    put(&folder.path().join("target"), &["b/c/d2/new"]);
    put(&folder.path().join("source"), &["a.d/e/new"]);
    let all = ["a.d/e/f", "a.d/e/new", "b/c/d2/new", "m/2/3"];
    for (events, found) in [
        (vec![], vec![]),
        (vec![Event::MetadataChanged("a.d/e/f".into())], vec!["a.d/e/f"]),
        (vec![Event::Removed("a.d/e".into())], vec!["a.d/e/f", "a.d/e/new"]),
        (vec![Event::Closed("m/2/3".into())], vec!["m/2/3"]),
        (vec![Event::Renamed { from: None, to: Some("m".into()) }], vec!["m/2/3"]),
        (["a.d", "b", "m"].map(|path| Event::Removed(path.into())).to_vec(), all.to_vec()),
    ] {
        let (rest, _) = said_again(&verification, Some(last.clone()), &events).await;
        let new = rest.told.iter().filter(|told| !whole.told.contains(told));
        let new: Vec<&str> = new.map(|(path, _)| path.as_str()).collect();
        assert_eq!(new, found, "{events:?}");
        assert_eq!(rest.told.len(), whole.told.len() + found.len(), "each once");
        assert_eq!(rest.sums.files_compared, whole.sums.files_compared);
    }
}

/// A note names what was not equal; it believes none of it.
#[tokio::test]
async fn what_was_mended_since_is_told_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    trees(folder.path());
    let verification = verification(folder.path(), None);
    let (whole, notes) = said(&verification, None).await;
    let last = notes.last().cloned().expect("noted");
    assert!(last.unequal.contains(&"a-b/x".into()));
    fs::copy(folder.path().join("source/a-b/x"), folder.path().join("target/a-b/x"))
        .expect("mended");
    let (mended, _) = said(&verification, Some(last)).await;
    assert_eq!(mended.sums.different + 1, whole.sums.different);
    assert_eq!(mended.sums.verified_by_reading, whole.sums.verified_by_reading + 1);
    assert!(!mended.told.contains(&("a-b/x".to_owned(), DifferenceKind::Different)));
}

/// A tree in which one directory cannot be listed.
struct Closed(LocalSource, RelPath);

impl Source for Closed {
    fn namespace(&self) -> Namespace {
        self.0.namespace()
    }

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn root_key(&self) -> Option<u64> {
        self.0.root_key()
    }

    fn list<'a>(
        &'a self,
        directory: &'a RelPath,
        after: Option<&'a [u8]>,
    ) -> Answer<'a, Option<Page>> {
        if *directory != self.1 {
            return self.0.list(directory, after);
        }
        let (message, remedy) = ("nobody may see it".to_owned(), String::new());
        Box::pin(async { Err(StoreError::Denied { message, remedy }) })
    }

    fn stat<'a>(&'a self, path: &'a RelPath) -> Answer<'a, Option<Node>> {
        self.0.stat(path)
    }

    fn read(&self, path: &RelPath, node: &FileNode, range: Range<u64>) -> ByteStream {
        self.0.read(path, node, range)
    }

    fn stored_checksum<'a>(
        &'a self,
        path: &'a RelPath,
        node: &'a FileNode,
        length: u64,
    ) -> Answer<'a, Option<u32>> {
        self.0.stored_checksum(path, node, length)
    }

    fn xattrs<'a>(&'a self, path: &'a RelPath) -> Answer<'a, BTreeMap<String, Vec<u8>>> {
        self.0.xattrs(path)
    }

    fn stream(&self) -> Answer<'_, Arc<dyn ChangeStream>> {
        self.0.stream()
    }
}

/// Nobody knows what is below it: whoever goes on comes to it again.
#[tokio::test]
async fn nothing_is_noted_behind_what_could_not_be_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    put(&folder.path().join("source"), &["a", "b/c", "d", "e"]);
    put(&folder.path().join("target"), &["a", "b/c", "d", "e"]);
    let whole = verification(folder.path(), None);
    let source = LocalSource::open(&folder.path().join("source")).expect("opens");
    let hindered = Verification { source: Arc::new(Closed(source, "b".into())), ..whole.clone() };
    let (of_a_part, notes) = said(&hindered, None).await;
    assert_eq!(of_a_part.sums.unverifiable, 1, "{of_a_part:?}");
    let behind: Vec<_> = notes.iter().map(|note| note.behind.clone()).collect();
    assert_eq!(behind, [Some("a".into())]);
    let (rest, _) = said(&whole, notes.last().cloned()).await;
    assert_eq!((rest.sums.files_compared, rest.told.len()), (4, 0), "{rest:?}");
}

/// A file system that was not mounted while its place was gone through is not taken for compared.
#[tokio::test]
async fn what_became_a_directory_since_is_not_called_equal() {
    let folder = tempfile::tempdir().expect("a folder");
    put(&folder.path().join("source"), &["a", "b/c", "d"]);
    put(&folder.path().join("target"), &["a", "b/c", "d"]);
    let whole = verification(folder.path(), None);
    let unmounted = LocalSource::open(&folder.path().join("source")).expect("opens");
    unmounted.keep_mounts(vec!["b".into()], Box::new(|_| Ok(true)));
    let hindered = Verification { source: Arc::new(unmounted), ..whole.clone() };
    let (_, notes) = said(&hindered, None).await;
    let last = notes.last().cloned().expect("noted");
    assert_eq!(last.behind, Some("d".into()));
    let (rest, _) = said(&whole, Some(last)).await;
    assert_eq!(rest.told, [("b".to_owned(), DifferenceKind::Unverifiable)]);
}
