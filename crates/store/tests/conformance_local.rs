//! The conformance suite over the local stores.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use whimbrel_store::conformance::{
    Row, SourceWrite, TargetFacts, broken, check_source, check_target,
};
use whimbrel_store::local::{LocalSource, LocalTarget};

/// Names that the file system itself cannot hold, or that mean another file to it.
fn holds(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').all(|name| {
        !name.is_empty() && name != b"." && name != b".." && name.len() <= 255 && !name.contains(&0)
    })
}

/// Works along directories, since the kernel takes no path above 4,096 bytes.
fn write(root: &Path, order: SourceWrite<'_>) -> Result<bool, String> {
    let (SourceWrite::File(path, _)
    | SourceWrite::Directory(path)
    | SourceWrite::Remove(path)
    | SourceWrite::Sparse(path, ..)) = order;
    if !holds(path) || path.len() > 4000 {
        return Ok(false);
    }
    let whole: PathBuf = root.join(OsStr::from_bytes(path));
    let done = || -> std::io::Result<()> {
        if let Some(parent) = whole.parent() {
            fs::create_dir_all(parent)?;
        }
        match order {
            SourceWrite::File(_, body) => fs::write(&whole, body),
            SourceWrite::Directory(_) => fs::create_dir(&whole),
            SourceWrite::Remove(_) => fs::remove_file(&whole),
            SourceWrite::Sparse(_, zeros, end) => File::create(&whole)?.write_all_at(end, zeros),
        }
    };
    match done() {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::InvalidFilename => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

fn assert_kept(rows: &[Row]) {
    for row in rows {
        println!("{}: {:?}", row.check, row.verdict);
    }
    assert!(rows.len() > 50);
    assert!(broken(rows).is_empty(), "{:#?}", broken(rows));
}

#[tokio::test]
async fn local_source() {
    let root = tempfile::tempdir().expect("a folder");
    let source = LocalSource::open(root.path()).expect("opens");
    assert_kept(&check_source(&source, |order| write(root.path(), order)).await);
}

#[tokio::test]
async fn local_target() {
    let root = tempfile::tempdir().expect("a folder");
    let target = LocalTarget::open(&root.path().join("made"), "conformance", &[]).expect("opens");
    let facts = TargetFacts { copy_names_content: true, ..TargetFacts::default() };
    assert_kept(&check_target(&target, &facts).await);
    let left = fs::read_dir(root.path().join("made")).expect("lists");
    let names: Vec<_> = left.map(|entry| entry.expect("an entry").file_name()).collect();
    assert!(!names.iter().any(|name| name.as_bytes().starts_with(b".whimbrel")), "{names:?}");
}
