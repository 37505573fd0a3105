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
    let known = inodes_end_well.then_some(&known);
    pages(&mut inventory, known);
}

/// Pages up to the end or the first failure: each directory's together and ascending, each path
/// told by an entry before it, each entry an inode's.
fn pages(inventory: &mut Inventory, known: Option<&HashSet<u64>>) {
    let mut before: Option<Page> = None;
    let mut ids = HashSet::new();
    let mut directories = HashSet::from([Vec::new()]);
    while let Ok(next) = inventory.next_page() {
        let Some(page) = next else {
            assert!(directories.is_empty(), "a directory without a page");
            return;
        };
        let half = before.take().filter(|last| last.more);
        match &half {
            Some(last) => assert_eq!(last.path, page.path, "a directory in two stretches"),
            None => assert!(directories.remove(&page.path), "no entry told of {:?}", page.path),
        }
        let last = half.iter().flat_map(|page| &page.entries).last();
        let names: Vec<_> = last.into_iter().chain(&page.entries).map(|one| &one.name).collect();
        assert!(names.is_sorted_by(|one, next| one < next), "names ascend");
        for entry in &page.entries {
            assert!(ids.insert(entry.file_id), "an inode in two places");
            assert!(known.is_none_or(|known| known.contains(&entry.file_id)), "no inode");
            if entry.node == Node::Directory {
                let parts = [page.path.as_slice(), &entry.name];
                let is_top = page.path.is_empty();
                directories.insert(if is_top { entry.name.clone() } else { parts.join(&b'/') });
            }
        }
        before = Some(page);
    }
}
