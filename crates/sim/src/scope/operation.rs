//! What the source can do in a small scope: two directories, two names in each, and whatever can
//! be done at these paths.

use std::fmt;
use std::str::FromStr;

use whimbrel_core::path::RelPath;

use crate::world::source::Source;

/// The directories of the scope.
const DIRECTORIES: [&str; 2] = ["d", "e"];
/// The names in each.
const FILES: [&str; 4] = ["d/a", "d/b", "e/a", "e/b"];

/// Which operations there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Files are written, removed and renamed among the places of files, directories are made,
    /// removed and renamed among those of directories.
    Plain,
    /// Everything at every path: files stay open, grow, change their mode, and take the places of
    /// directories.
    Wide,
}

/// One operation at the source; some cannot be done where they are tried.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// A file is made, anew if there is one, written and closed.
    Write(RelPath),
    /// The same, and it stays open.
    Open(RelPath),
    /// An open file is written and closed.
    Close(RelPath),
    /// A closed file is opened, written at its end and closed.
    Append(RelPath),
    /// A file, or a directory with all below it, is removed.
    Remove(RelPath),
    /// A directory is made.
    MakeDirectory(RelPath),
    /// A file or a directory is renamed, over a file or an empty directory.
    Rename(RelPath, RelPath),
    /// The permission bits are changed.
    ChangeMode(RelPath),
}

impl Operation {
    /// All of them that belong to a reach.
    pub fn all(reach: Reach) -> Vec<Self> {
        let (files, directories) = (|| paths(&FILES), || paths(&DIRECTORIES));
        let all = every_path;
        match reach {
            Reach::Plain => {
                let mut plain: Vec<Self> = files().map(Self::Write).collect();
                plain.extend(all().map(Self::Remove));
                plain.extend(directories().map(Self::MakeDirectory));
                plain.extend(renames(files));
                plain.extend(renames(directories));
                plain
            }
            Reach::Wide => {
                let of_one = [
                    Self::Write,
                    Self::Open,
                    Self::Close,
                    Self::Append,
                    Self::Remove,
                    Self::MakeDirectory,
                    Self::ChangeMode,
                ];
                let wide = of_one.into_iter().flat_map(|make| all().map(make));
                wide.chain(renames(all)).collect()
            }
        }
    }

    /// Does it. False: the tree does not allow it, and nothing was done.
    pub fn carry_out(&self, source: &mut Source) -> bool {
        match self {
            Self::Write(path) => source.create(path) && source.close(path, length(path)),
            Self::Open(path) => source.create(path),
            Self::Close(path) => source.close(path, length(path)),
            Self::Append(path) => source.append(path) && source.close(path, 1),
            Self::Remove(path) => source.delete(path),
            Self::MakeDirectory(path) => source.make_directory(path),
            Self::Rename(from, to) => source.rename(from, to, true),
            Self::ChangeMode(path) => source.change_mode(path, 0o600),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Write(_) => "write",
            Self::Open(_) => "open",
            Self::Close(_) => "close",
            Self::Append(_) => "append",
            Self::Remove(_) => "remove",
            Self::MakeDirectory(_) => "mkdir",
            Self::Rename(..) => "rename",
            Self::ChangeMode(_) => "chmod",
        }
    }
}

/// Every path of the scope.
pub(crate) fn every_path() -> impl Iterator<Item = RelPath> {
    paths(&DIRECTORIES).chain(paths(&FILES))
}

fn paths(texts: &[&'static str]) -> impl Iterator<Item = RelPath> + use<> {
    texts.iter().copied().map(RelPath::from).collect::<Vec<_>>().into_iter()
}

fn renames<I: Iterator<Item = RelPath>>(places: impl Fn() -> I) -> Vec<Operation> {
    let to = |from: RelPath| places().map(move |to| Operation::Rename(from.clone(), to));
    places().flat_map(to).collect()
}

/// Files of one name are small, those of the other are uploaded in parts.
fn length(path: &RelPath) -> u64 {
    if path.name() == b"b" { 9 } else { 5 }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rename(from, to) => write!(f, "{}:{from}:{to}", self.name()),
            Self::Write(path)
            | Self::Open(path)
            | Self::Close(path)
            | Self::Append(path)
            | Self::Remove(path)
            | Self::MakeDirectory(path)
            | Self::ChangeMode(path) => write!(f, "{}:{path}", self.name()),
        }
    }
}

impl FromStr for Operation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known =
            Self::all(Reach::Wide).into_iter().find(|operation| operation.to_string() == text);
        known.ok_or_else(|| format!("{text} is no operation"))
    }
}
