//! What is copied, and what has to arrive.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{Result, Write};
use std::path::{Path, PathBuf};

use fastrand::Rng;
use serde_json::json;
use whimbrel_testbed::{FileSizes, Hadoop, Sunk};

use crate::local_tree::draw_bytes;

/// Files of a directory.
const FILES_PER_DIRECTORY: u64 = 50;
/// Written at once.
const PIECE_BYTES: u64 = 1 << 20;

/// Paths below the root with what stands there.
pub type Contents = BTreeMap<String, Sunk>;

/// What a tree is made of.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Files of the yardstick's distribution.
    pub small_files: u64,
    /// Files of one length.
    pub large_files: u64,
    /// That length.
    pub large_bytes: u64,
}

/// What stands in a tree, by path.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// Every file.
    pub contents: Contents,
}

impl Manifest {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.contents.values().map(|file| file.bytes).sum()
    }

    /// Adds what a loader of HDFS wrote.
    pub fn read(&mut self, file: &Path, below: &str) -> std::result::Result<(), Box<dyn Error>> {
        for line in fs::read_to_string(file)?.lines() {
            let mut words = line.splitn(3, ' ');
            let mut word = || words.next().ok_or("a line of the manifest is too short");
            let crc32c = u32::from_str_radix(word()?, 16)?;
            let sunk = Sunk { bytes: word()?.parse()?, crc32c };
            self.contents.insert(format!("{below}{}", word()?), sunk);
        }
        Ok(())
    }

    /// A line for each file, as the generator of load takes it: length and path.
    pub fn write_list(&self, to: &Path) -> Result<()> {
        let lines = self.contents.iter().map(|(path, file)| format!("{} {path}\n", file.bytes));
        fs::write(to, lines.collect::<String>())
    }
}

/// Writes the tree below a folder; bytes that do not compress, of a seed.
pub fn write_local(root: &Path, shape: Shape) -> Result<Manifest> {
    let mut manifest = Manifest::default();
    let mut rng = Rng::with_seed(7);
    for number in 0..shape.small_files {
        let directory = number % (shape.small_files / FILES_PER_DIRECTORY).max(1);
        let path = format!("d{directory:05}/f{number:07}");
        let bytes = draw_bytes(FileSizes::YARDSTICK, &mut rng);
        manifest.contents.insert(path.clone(), write_file(&root.join(path), bytes, &mut rng)?);
    }
    for number in 0..shape.large_files {
        let path = format!("large/f{number:07}");
        let file = write_file(&root.join(&path), shape.large_bytes, &mut rng)?;
        manifest.contents.insert(path, file);
    }
    Ok(manifest)
}

/// Writes one file, over what stands there.
pub fn write_file(path: &PathBuf, bytes: u64, rng: &mut Rng) -> Result<Sunk> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = File::create(path)?;
    let mut piece = vec![0; PIECE_BYTES.min(bytes) as usize];
    let (mut left, mut crc32c) = (bytes, 0);
    while left > 0 {
        let count = left.min(piece.len() as u64) as usize;
        rng.fill(&mut piece[..count]);
        crc32c = crc32c::crc32c_append(crc32c, &piece[..count]);
        file.write_all(&piece[..count])?;
        left -= count as u64;
    }
    Ok(Sunk { bytes, crc32c })
}

/// Writes the tree below a folder of HDFS, by Hadoop's own client.
pub fn write_hdfs(
    hadoop: &Hadoop,
    directory: &str,
    shape: Shape,
    scratch: &Path,
) -> std::result::Result<Manifest, Box<dyn Error>> {
    let mut manifest = Manifest::default();
    let list = scratch.join("manifest");
    if shape.small_files > 0 {
        hadoop.command(&json!({
            "command": "create_files", "directory": directory, "count": shape.small_files,
            "directories": (shape.small_files / FILES_PER_DIRECTORY).max(2), "seed": 7,
            "manifest": list,
        }))?;
        manifest.read(&list, "")?;
    }
    if shape.large_files > 0 {
        hadoop.command(&json!({
            "command": "create_files", "directory": format!("{directory}/large"),
            "count": shape.large_files, "bytes": shape.large_bytes, "seed": 8,
            // Each thread holds a whole file.
            "threads": 1, "manifest": list,
        }))?;
        manifest.read(&list, "large/")?;
    }
    Ok(manifest)
}
