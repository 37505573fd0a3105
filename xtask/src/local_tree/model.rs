//! What the changes know of the tree, so that each of them finds something to change.

use std::fs::{self, File, FileTimes};
use std::io::{Result, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use whimbrel_testbed::FileSizes;

use super::draw_bytes;

/// Deepest directory below the root.
const DEPTH_MAX: usize = 5;

/// Each kind of change, as it is counted, with how often it is drawn.
const CHANGES: [(Change, u32); 14] = [
    (Change::Create, 24),
    (Change::Append, 12),
    (Change::Overwrite, 10),
    (Change::RewriteSame, 4),
    (Change::Truncate, 4),
    (Change::RenameFile, 10),
    (Change::RenameOver, 4),
    (Change::RenameDirectory, 4),
    (Change::SwapDirectories, 1),
    (Change::DeleteFile, 12),
    (Change::DeleteTree, 1),
    (Change::MakeDirectory, 4),
    (Change::Mode, 5),
    (Change::Times, 5),
];

#[derive(Clone, Copy, Debug)]
enum Change {
    Create,
    Append,
    Overwrite,
    /// Other bytes of the same length, under the old modification time.
    RewriteSame,
    Truncate,
    RenameFile,
    RenameOver,
    RenameDirectory,
    SwapDirectories,
    DeleteFile,
    DeleteTree,
    MakeDirectory,
    Mode,
    Times,
}

/// Directories with the names of their files.
#[derive(Debug)]
pub struct Model {
    root: PathBuf,
    rng: Rng,
    directories: Vec<Directory>,
    /// Names are never used twice, unless by a rename over a file.
    names: u64,
}

#[derive(Debug)]
struct Directory {
    /// Relative to the root.
    path: PathBuf,
    files: Vec<String>,
}

impl Model {
    /// An empty tree.
    pub fn new(root: PathBuf, rng: Rng) -> Self {
        Self { root, rng, directories: Vec::new(), names: 0 }
    }

    /// Writes the first files; gives their length in bytes.
    pub fn fill(&mut self, files: u64, directories: u64) -> Result<u64> {
        for number in 0..directories.max(1) {
            let path = PathBuf::from(format!("d{number:05}"));
            fs::create_dir_all(self.root.join(&path))?;
            self.directories.push(Directory { path, files: Vec::new() });
        }
        let mut bytes = 0;
        for number in 0..files as usize {
            bytes += self.create(number % self.directories.len())?;
        }
        Ok(bytes)
    }

    /// Makes one change; gives its name. One that finds nothing to change creates a file.
    pub fn change(&mut self) -> Result<&'static str> {
        let sum: u32 = CHANGES.iter().map(|(_, weight)| weight).sum();
        let mut drawn = self.rng.u32(..sum);
        for (change, weight) in CHANGES {
            if drawn < weight {
                return match self.apply(change)? {
                    Some(()) => Ok(name(change)),
                    None => {
                        self.apply(Change::Create)?;
                        Ok(name(Change::Create))
                    }
                };
            }
            drawn -= weight;
        }
        Ok(name(Change::Create))
    }

    /// `None` if there is nothing that could be changed so.
    fn apply(&mut self, change: Change) -> Result<Option<()>> {
        match change {
            Change::Create => {
                let directory = self.rng.usize(..self.directories.len());
                self.create(directory).map(|_| Some(()))
            }
            Change::MakeDirectory => self.make_directory(),
            Change::RenameDirectory => self.rename_directory(),
            Change::SwapDirectories => self.swap_directories(),
            Change::DeleteTree => self.delete_tree(),
            Change::RenameFile | Change::RenameOver => {
                self.rename_file(matches!(change, Change::RenameOver))
            }
            Change::DeleteFile => {
                let Some((directory, file)) = self.pick() else { return Ok(None) };
                let path = self.path(directory, file);
                self.directories[directory].files.swap_remove(file);
                fs::remove_file(path).map(Some)
            }
            Change::Append
            | Change::Overwrite
            | Change::RewriteSame
            | Change::Truncate
            | Change::Mode
            | Change::Times => {
                let Some((directory, file)) = self.pick() else { return Ok(None) };
                let path = self.path(directory, file);
                self.touch(change, &path).map(Some)
            }
        }
    }

    /// Changes that leave every name where it is.
    fn touch(&mut self, change: Change, path: &Path) -> Result<()> {
        let content = self.content();
        match change {
            Change::Append => File::options().append(true).open(path)?.write_all(&content),
            Change::Overwrite => fs::write(path, content),
            Change::RewriteSame => {
                let mut file = File::options().write(true).open(path)?;
                let before = file.metadata()?;
                let length = usize::try_from(before.len()).unwrap_or(usize::MAX);
                file.seek(SeekFrom::Start(0))?;
                file.write_all(&content[..length.min(content.len())])?;
                file.set_modified(before.modified()?)
            }
            Change::Truncate => {
                let file = File::options().write(true).open(path)?;
                file.set_len(file.metadata()?.len() / 2)
            }
            Change::Mode => {
                let mode = [0o600, 0o640, 0o644, 0o664, 0o700][self.rng.usize(..5)];
                fs::set_permissions(path, fs::Permissions::from_mode(mode))
            }
            Change::Times => {
                let ago = Duration::from_secs(self.rng.u64(..100_000_000));
                let times = FileTimes::new().set_modified(SystemTime::now() - ago);
                File::options().write(true).open(path)?.set_times(times)
            }
            Change::Create
            | Change::RenameFile
            | Change::RenameOver
            | Change::RenameDirectory
            | Change::SwapDirectories
            | Change::DeleteFile
            | Change::DeleteTree
            | Change::MakeDirectory => Ok(()),
        }
    }

    fn create(&mut self, directory: usize) -> Result<u64> {
        let name = format!("f{:06}", self.next_name());
        let content = self.content();
        fs::write(self.root.join(&self.directories[directory].path).join(&name), &content)?;
        self.directories[directory].files.push(name);
        Ok(content.len() as u64)
    }

    fn make_directory(&mut self) -> Result<Option<()>> {
        let parent = self.rng.usize(..self.directories.len());
        let parent = &self.directories[parent].path;
        if parent.components().count() >= DEPTH_MAX {
            return Ok(None);
        }
        let path = parent.join(format!("n{:06}", self.names));
        self.next_name();
        fs::create_dir(self.root.join(&path))?;
        self.directories.push(Directory { path, files: Vec::new() });
        Ok(Some(()))
    }

    fn rename_file(&mut self, over: bool) -> Result<Option<()>> {
        let Some((directory, file)) = self.pick() else { return Ok(None) };
        let from = self.path(directory, file);
        if over {
            let Some((other, victim)) = self.pick() else { return Ok(None) };
            if (other, victim) == (directory, file) {
                return Ok(None);
            }
            fs::rename(from, self.path(other, victim))?;
            self.directories[directory].files.swap_remove(file);
            return Ok(Some(()));
        }
        let name = format!("r{:06}", self.next_name());
        let other = self.rng.usize(..self.directories.len());
        fs::rename(from, self.root.join(&self.directories[other].path).join(&name))?;
        self.directories[directory].files.swap_remove(file);
        self.directories[other].files.push(name);
        Ok(Some(()))
    }

    fn rename_directory(&mut self) -> Result<Option<()>> {
        let moved = self.rng.usize(..self.directories.len());
        let parent = self.rng.usize(..self.directories.len());
        let from = self.directories[moved].path.clone();
        let parent = self.directories[parent].path.clone();
        let deep = self.depth_below(&from) + parent.components().count() >= DEPTH_MAX;
        let parent = if deep || parent.starts_with(&from) { PathBuf::new() } else { parent };
        let to = parent.join(format!("m{:06}", self.next_name()));
        fs::rename(self.root.join(&from), self.root.join(&to))?;
        self.moved(&from, &to);
        Ok(Some(()))
    }

    fn swap_directories(&mut self) -> Result<Option<()>> {
        let one = self.rng.usize(..self.directories.len());
        let two = self.rng.usize(..self.directories.len());
        let (one, two) = (self.directories[one].path.clone(), self.directories[two].path.clone());
        if one.starts_with(&two) || two.starts_with(&one) {
            return Ok(None);
        }
        let aside = PathBuf::from(format!("s{:06}", self.next_name()));
        for (from, to) in [(&one, &aside), (&two, &one), (&aside, &two)] {
            fs::rename(self.root.join(from), self.root.join(to))?;
            self.moved(from, to);
        }
        Ok(Some(()))
    }

    fn delete_tree(&mut self) -> Result<Option<()>> {
        let gone = self.rng.usize(..self.directories.len());
        let gone = self.directories[gone].path.clone();
        let below = self.directories.iter().filter(|other| other.path.starts_with(&gone)).count();
        if self.directories.len() < below + 4 {
            return Ok(None);
        }
        self.directories.retain(|other| !other.path.starts_with(&gone));
        fs::remove_dir_all(self.root.join(gone)).map(Some)
    }

    fn moved(&mut self, from: &Path, to: &Path) {
        for directory in &mut self.directories {
            if let Ok(rest) = directory.path.strip_prefix(from) {
                let path = if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) };
                directory.path = path;
            }
        }
    }

    fn depth_below(&self, path: &Path) -> usize {
        let below = self.directories.iter().filter(|other| other.path.starts_with(path));
        let deepest = below.map(|other| other.path.components().count()).max().unwrap_or(0);
        deepest - path.components().count().min(deepest) + 1
    }

    /// A file: its directory's place and its own place in there.
    fn pick(&mut self) -> Option<(usize, usize)> {
        let first = self.rng.usize(..self.directories.len());
        let count = self.directories.len();
        let mut places = (0..count).map(|step| (first + step) % count);
        let directory = places.find(|place| !self.directories[*place].files.is_empty())?;
        Some((directory, self.rng.usize(..self.directories[directory].files.len())))
    }

    fn path(&self, directory: usize, file: usize) -> PathBuf {
        let directory = &self.directories[directory];
        self.root.join(&directory.path).join(&directory.files[file])
    }

    fn content(&mut self) -> Vec<u8> {
        let length = draw_bytes(FileSizes::YARDSTICK, &mut self.rng);
        let mut content = vec![0; usize::try_from(length).unwrap_or(0)];
        self.rng.fill(&mut content);
        content
    }

    fn next_name(&mut self) -> u64 {
        self.names += 1;
        self.names
    }
}

fn name(change: Change) -> &'static str {
    match change {
        Change::Create => "create",
        Change::Append => "append",
        Change::Overwrite => "overwrite",
        Change::RewriteSame => "rewrite_same",
        Change::Truncate => "truncate",
        Change::RenameFile => "rename_file",
        Change::RenameOver => "rename_over",
        Change::RenameDirectory => "rename_directory",
        Change::SwapDirectories => "swap_directories",
        Change::DeleteFile => "delete_file",
        Change::DeleteTree => "delete_tree",
        Change::MakeDirectory => "make_directory",
        Change::Mode => "set_permission",
        Change::Times => "set_times",
    }
}
