//! Local trees of millions of files, made and removed by several threads.

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::room;

/// Files of most directories.
pub const FILES_PER_DIRECTORY: u64 = 1_000;
/// One file in so many is not empty: each takes a block of the disk.
const FILES_PER_CONTENT: u64 = 100;
/// What a file takes at most on the disk, its name and its share of contents, and its row in the
/// state.
const BYTES_PER_FILE: u64 = 800;

/// A folder with a tree in it, which goes when this is dropped.
#[derive(Debug)]
pub struct Forest {
    root: PathBuf,
}

impl Forest {
    /// Makes the tree: `large` files in one directory, the others in directories of a thousand.
    /// Fails before it begins if the disk has no room.
    pub fn make(root: PathBuf, files: u64, large: u64) -> Result<Self, Box<dyn Error>> {
        fs::create_dir_all(&root)?;
        let spread = files.saturating_sub(large);
        let directories = spread.div_ceil(FILES_PER_DIRECTORY);
        room::require(&root, files * BYTES_PER_FILE, files + directories)?;
        let forest = Self { root };
        for number in 0..directories {
            fs::create_dir(forest.directory(number))?;
        }
        let large_directory = forest.root.join("large");
        if large > 0 {
            fs::create_dir(&large_directory)?;
        }
        in_parallel(spread, |number| {
            write(&forest.directory(number / FILES_PER_DIRECTORY), number)
        })?;
        in_parallel(large, |number| write(&large_directory, spread + number))?;
        Ok(forest)
    }

    /// Its root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn directory(&self, number: u64) -> PathBuf {
        self.root.join(format!("d{number:06}"))
    }
}

impl Drop for Forest {
    fn drop(&mut self) {
        eprintln!("removing the tree");
        let entries = fs::read_dir(&self.root).into_iter().flatten();
        let folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        // What stays is removed with the folder above.
        let _ = in_parallel(folders.len() as u64, |number| match folders.get(number as usize) {
            Some(folder) => fs::remove_dir_all(folder),
            None => Ok(()),
        });
    }
}

fn write(directory: &Path, number: u64) -> std::io::Result<()> {
    let mut file = File::create(directory.join(format!("part-{number:08}")))?;
    if number.is_multiple_of(FILES_PER_CONTENT) {
        writeln!(file, "{number}")?;
    }
    Ok(())
}

/// Each thread has numbers that follow each other, and with them directories of its own.
fn in_parallel(
    count: u64,
    work: impl Fn(u64) -> std::io::Result<()> + Sync,
) -> Result<(), Box<dyn Error>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let work = &work;
    std::thread::scope(|scope| {
        let threads = (0..threads).map(|thread| {
            let range = count * thread / threads..count * (thread + 1) / threads;
            scope.spawn(move || range.into_iter().try_for_each(work))
        });
        let threads: Vec<_> = threads.collect();
        for thread in threads {
            thread.join().map_err(|_| "a thread has died")??;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Forest;

    #[test]
    fn it_holds_what_was_asked_for_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let forest = Forest::make(folder.path().join("tree"), 2_150, 100).unwrap();
        let count = |name: &str| fs::read_dir(forest.root().join(name)).unwrap().count();
        let counts = ["d000000", "d000001", "d000002", "large"].map(count);
        assert_eq!(counts, [1_000, 1_000, 50, 100]);
        let root = forest.root().to_owned();
        drop(forest);
        assert_eq!(fs::read_dir(root).unwrap().count(), 0);
    }

    #[test]
    fn it_is_refused_where_there_is_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let refused = Forest::make(folder.path().join("tree"), 1 << 50, 0).unwrap_err();
        assert!(refused.to_string().contains("are needed"), "{refused}");
    }
}
