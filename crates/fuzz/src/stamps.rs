//! What the user metadata of objects says: it is anybody's.

use std::collections::BTreeMap;

use whimbrel_store::stamp::{USER_METADATA_BYTES_MAX, agrees, decode, encode};
use whimbrel_store::target::Stamp;

/// Lines `name=value`, as headers carry them.
pub fn stamps(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let fields: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let read = decode(&fields);
    let Some(metadata) = read.metadata else { return };
    assert!(metadata.mode <= 0o7777);
    // A migration's id is ours; its length is not anybody's.
    let migration = read.migration.filter(|id| id.len() <= 64).unwrap_or_default();
    let attempt = read.attempt.unwrap_or_default();
    let stamp = Stamp { migration: migration.clone(), attempt, metadata: Some(metadata.clone()) };
    let written = encode(&stamp);
    let length = |(name, value): (&String, &String)| "x-amz-meta-".len() + name.len() + value.len();
    assert!(written.iter().map(length).sum::<usize>() <= USER_METADATA_BYTES_MAX);
    assert!(written.values().all(|value| value.bytes().all(|byte| byte.is_ascii_graphic())));
    assert!(agrees(&written, &metadata), "what we write is ours");
    if written.keys().any(|name| name.ends_with("-digest")) {
        return;
    }
    let again = decode(&written);
    assert_eq!(again.metadata, Some(metadata));
    if !migration.is_empty() {
        assert_eq!((again.migration, again.attempt), (Some(migration), Some(attempt)));
    }
}
