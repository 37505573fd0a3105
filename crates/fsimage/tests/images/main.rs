//! Images that are made here: their order, their codecs, their ways to be wrong, their rate.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod codecs;
mod generator;
mod hostile;
mod listing;
mod rate;

use std::io::Cursor;

use whimbrel_fsimage::{Error, Image, Inventory, Page, Root, Settings};

fn image(bytes: &[u8]) -> Result<Image<Cursor<&[u8]>>, Error> {
    Image::new(Cursor::new(bytes))
}

fn root(path: &str) -> Root {
    Root::Path(path.as_bytes().to_vec())
}

fn pages(inventory: &mut Inventory) -> Result<Vec<Page>, Error> {
    let mut pages = Vec::new();
    while let Some(page) = inventory.next_page()? {
        pages.push(page);
    }
    Ok(pages)
}

fn listed(bytes: &[u8], root: &Root, settings: &Settings) -> Result<Vec<Page>, Error> {
    pages(&mut image(bytes)?.inventory(root, settings)?)
}

/// `DIRECTORY: NAME NAME`, a line for each page, `+` where more follow.
fn told(pages: &[Page]) -> Vec<String> {
    let line = |page: &Page| {
        let names = page.entries.iter().map(|entry| String::from_utf8_lossy(&entry.name));
        let more = if page.more { " +" } else { "" };
        let path = String::from_utf8_lossy(&page.path);
        format!("{path}: {}{more}", names.collect::<Vec<_>>().join(" "))
    };
    pages.iter().map(line).collect()
}
