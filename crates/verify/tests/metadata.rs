//! What travels with equal bytes is compared too.
#![allow(clippy::expect_used, reason = "a test ends where it fails")]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use whimbrel_core::config::DirectoryMarkers;
use whimbrel_core::metadata::MetadataLevel;
use whimbrel_core::scope::Scope;
use whimbrel_store::key::KeyMap;
use whimbrel_store::local::{LocalSource, LocalTarget};
use whimbrel_verify::{Content, DifferenceKind, Meter, Options, Verification};

/// The names that differ, with how, between the trees `source` and `target` of a folder.
async fn compared(folder: &Path, metadata: MetadataLevel) -> Vec<(String, DifferenceKind)> {
    let source = LocalSource::open(&folder.join("source")).expect("opens");
    let target = LocalTarget::look_at(&folder.join("target")).expect("opens");
    let verification = Verification {
        source: Arc::new(source),
        target: Arc::new(target),
        keys: KeyMap::default(),
        mapped: Vec::new(),
        scope: Scope::everything(),
        options: Options {
            content: Content::Checksum,
            ignore_extras: false,
            metadata,
            directory_markers: DirectoryMarkers::Empty,
            parallel: 2,
            patience: Duration::from_secs(2),
            sample: None,
        },
        worker: None,
        keeper: None,
    };
    let (sender, mut receiver) = mpsc::channel(16);
    verification.run(&Arc::new(Meter::default()), &sender).await.expect("compared");
    drop(sender);
    let mut told = Vec::new();
    while let Some(difference) = receiver.recv().await {
        told.push((difference.path.to_string(), difference.kind));
    }
    told.sort();
    told
}

/// Other rights and another time are told; a time that differs by less than objects can carry is
/// none.
#[tokio::test]
async fn other_metadata_of_equal_bytes_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let put = |path: &str, mode: u32, micros: u64| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, "the same bytes").expect("written");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("set");
        let file = File::options().write(true).open(&path).expect("opens");
        file.set_modified(time + Duration::from_micros(micros)).expect("set");
    };
    for name in ["same", "rights", "time", "moment"] {
        put(&format!("source/{name}"), 0o640, 0);
    }
    put("target/same", 0o640, 0);
    put("target/rights", 0o600, 0);
    put("target/time", 0o640, 1_000);
    put("target/moment", 0o640, 999);
    let different = |name: &str| (name.to_owned(), DifferenceKind::MetadataDifferent);
    let told = compared(folder.path(), MetadataLevel::Basic).await;
    assert_eq!(told, [different("rights"), different("time")]);
    assert_eq!(compared(folder.path(), MetadataLevel::None).await, []);
}
