//! What holds for any bytes that are said to be an image, for the fuzz targets: it panics where it
//! does not. Not part of what this crate offers.

use std::collections::HashSet;
use std::io::Cursor;

use crate::inventory::{Page, Root, Settings};
use crate::{Image, Inventory, Md5, Node};

/// An image, whole or in its small things.
pub fn image(bytes: &[u8]) {
    let _sidecar = Md5::parse(&String::from_utf8_lossy(bytes));
    let Ok(mut image) = Image::new(Cursor::new(bytes)) else { return };
    let _open = image.open_files();
    let _snapshots = image.snapshots();
    let _policies = image.erasure_coding_policies();
    let mut known = HashSet::new();
    let mut inodes_end_well = false;
    if let Ok(mut inodes) = image.inodes() {
        while let Ok(next) = inodes.next() {
            let Some(entry) = next else {
                inodes_end_well = true;
                break;
            };
            known.insert(entry.file_id);
        }
    }
    let settings = Settings { memory_bytes: 1 << 20, page_entries_max: 2, ..Settings::default() };
    let Ok(mut inventory) = image.inventory(&Root::Path(b"/".to_vec()), &settings) else { return };
    let pages = pages(&mut inventory);
    if !inodes_end_well {
        return;
    }
    for entry in pages.iter().flat_map(|page| &page.entries) {
        assert!(known.contains(&entry.file_id), "nothing is told that is no inode");
    }
}

/// Pages up to the end or the first failure: each directory's together and ascending, each path
/// told by an entry before it.
fn pages(inventory: &mut Inventory) -> Vec<Page> {
    let mut pages: Vec<Page> = Vec::new();
    let mut ids = HashSet::new();
    let mut directories = HashSet::from([Vec::new()]);
    let mut whole = false;
    while let Ok(next) = inventory.next_page() {
        let Some(page) = next else {
            whole = true;
            break;
        };
        let before = pages.last().filter(|last| last.more);
        assert!(before.is_none_or(|last| last.path == page.path), "a directory in two stretches");
        if before.is_none() {
            assert!(directories.remove(&page.path), "no entry told of {:?}", page.path);
        }
        let last = before.and_then(|last| last.entries.last()).map(|entry| &entry.name);
        let names: Vec<_> = last.into_iter().chain(page.entries.iter().map(|e| &e.name)).collect();
        assert!(names.is_sorted_by(|one, next| one < next), "names ascend");
        for entry in &page.entries {
            assert!(ids.insert(entry.file_id), "an inode in two places");
            if entry.node == Node::Directory {
                let parts = [page.path.as_slice(), &entry.name];
                let path =
                    if page.path.is_empty() { entry.name.clone() } else { parts.join(&b'/') };
                directories.insert(path);
            }
        }
        pages.push(page);
    }
    assert!(!whole || directories.is_empty(), "a directory without a page");
    pages
}
