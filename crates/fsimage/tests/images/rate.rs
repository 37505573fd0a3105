//! How many inodes a second: `WHIMBREL_INODES=5000000 cargo test --release -p whimbrel-fsimage
//! --test images -- --ignored --nocapture rate`.

use std::time::Instant;

use whimbrel_fsimage::{Settings, blocks_digest};

use crate::generator::{Builder, ROOT};
use crate::{image, root};

const PER_DIRECTORY: u64 = 15;

/// Directories of fifteen files, a thousand directories in each of those above.
fn large(inodes: u64) -> Vec<u8> {
    let mut builder = Builder::new();
    let (mut id, mut tops) = (20_000, Vec::new());
    while builder.count < inodes {
        let top = id;
        let mut middle = Vec::new();
        id += 1;
        builder.directory(top, format!("day={}", tops.len()).as_bytes());
        while middle.len() < 1000 && builder.count < inodes {
            let directory = id;
            builder.directory(directory, format!("hour={}", middle.len()).as_bytes());
            let files: Vec<u64> = (id + 1..=id + PER_DIRECTORY).collect();
            for file in &files {
                builder
                    .file(*file, format!("part-{:05}-c000.snappy.parquet", file % 997).as_bytes());
            }
            builder.children(directory, &files);
            id += PER_DIRECTORY + 1;
            middle.push(directory);
        }
        builder.children(top, &middle);
        tops.push(top);
    }
    builder.children(ROOT, &tops);
    builder.build()
}

#[test]
#[ignore = "a measurement"]
fn rate() {
    let inodes = std::env::var("WHIMBREL_INODES").ok().and_then(|text| text.parse().ok());
    let bytes = large(inodes.unwrap_or(2_000_000));
    println!("{} bytes", bytes.len());
    let mut image = image(&bytes).unwrap();
    let begun = Instant::now();
    let (mut count, mut sum) = (0_u64, 0_u64);
    let mut all = image.inodes().unwrap();
    while let Some(entry) = all.next().unwrap() {
        count += 1;
        if let whimbrel_fsimage::Node::File(file) = &entry.node {
            sum ^= blocks_digest(&file.blocks);
        }
    }
    drop(all);
    tell("decoded, with digests", count, begun);
    for memory_bytes in [4 << 30, 256 << 20, 32 << 20] {
        let settings = Settings { memory_bytes, ..Settings::default() };
        let begun = Instant::now();
        let mut inventory = image.inventory(&root("/"), &settings).unwrap();
        println!("{memory_bytes} bytes of memory: sorted after {:?}", begun.elapsed());
        let (mut told, mut other) = (1, 0);
        while let Some(page) = inventory.next_page().unwrap() {
            told += page.entries.len() as u64;
            for entry in &page.entries {
                if let whimbrel_fsimage::Node::File(file) = &entry.node {
                    other ^= blocks_digest(&file.blocks);
                }
            }
        }
        assert_eq!((told, other), (count, sum));
        tell("inventory, with digests", told, begun);
    }
}

fn tell(what: &str, count: u64, begun: Instant) {
    let seconds = begun.elapsed().as_secs_f64();
    println!("{what}: {count} inodes in {seconds:.2} s, {:.0} a second", count as f64 / seconds);
}
