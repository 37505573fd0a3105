//! What stands below a root, directory by directory, in the order of a listing.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Seek};
use std::path::PathBuf;

use crate::entry::{Entry, Head, Kind, Node};
use crate::error::{Error, Malformed};
use crate::image::{INODE, INODE_DIR, Image, InodeMessages, section};
use crate::join;
use crate::sorter::{Sorted, Sorter};
use crate::strings::Strings;
use crate::tree::{self, Tree};

/// A page ends early where its files have this many blocks for each entry that it may hold.
const BLOCKS_PER_ENTRY: usize = 64;

/// The directory that an inventory is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// By its absolute path.
    Path(Vec<u8>),
    /// By its inode number: it is found wherever it was moved.
    FileId(u64),
}

/// What an inventory may take.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Memory for joining and sorting, besides what the directories take (see the crate's page).
    /// With 64 bytes or more for each inode of the image nothing but the sort uses the disk.
    pub memory_bytes: usize,
    /// Where temporary files go. They have no names, so none is left behind.
    pub temporary_directory: PathBuf,
    /// Entries in a page, at least one.
    pub page_entries_max: usize,
}

/// Some children of one directory, ascending by the bytes of their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The directory's path below the root; empty for the root.
    pub path: Vec<u8>,
    /// The directory's inode number.
    pub file_id: u64,
    /// It is an encryption zone, or lies in one.
    pub is_in_encryption_zone: bool,
    /// The children. A directory without any has one page without entries.
    pub entries: Vec<Entry>,
    /// More follow after the last entry: the next page is of the same directory.
    pub more: bool,
}

/// An inventory that is ready to be read. It does not need the image any more.
pub struct Inventory {
    tree: Tree,
    strings: Strings,
    root: Entry,
    sorted: Sorted,
    page_entries_max: usize,
    /// The directory of the next page.
    rank: u32,
    record: Vec<u8>,
    ahead: Option<(u32, Entry)>,
    last_name: Vec<u8>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            memory_bytes: 256 << 20,
            temporary_directory: std::env::temp_dir(),
            page_entries_max: 1000,
        }
    }
}

impl fmt::Display for Root {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(formatter, "{}", String::from_utf8_lossy(path)),
            Self::FileId(id) => write!(formatter, "of inode {id}"),
        }
    }
}

impl<R: Read + Seek> Image<R> {
    /// Reads the image twice and sorts what stands below a root.
    ///
    /// # Errors
    /// [`Error::NoRoot`]; as reading fails; [`Error::Spill`] when the disk does.
    pub fn inventory(&mut self, root: &Root, settings: &Settings) -> Result<Inventory, Error> {
        let references = self.references()?;
        let mut balance = Balance::default();
        let mut tree = self.directories(&mut balance)?;
        let mut children = 0_u64;
        self.each_directory(|message| {
            let parent = tree.place(tree::parent_of(message)?)?;
            tree::each_child(message, &references, |child| {
                children += 1;
                balance.child(child);
                tree.set_parent(child, parent)
            })
        })?;
        tree.lay_walk(root)?;
        let mut sorter = Sorter::new(&settings.temporary_directory, settings.memory_bytes / 2);
        let placed = join::place_all(self, &tree, &references, children, settings, &mut sorter)?;
        let Some(root) = placed else {
            return Err(Error::damaged(INODE, "the root was there before"));
        };
        // What only snapshots hold is the child of no directory any more.
        if self.snapshots()?.snapshots.is_empty() {
            balance.check()?;
            tree.check_whole()?;
        }
        tree.forget_ids();
        Ok(Inventory {
            root: Entry::decode(&root, &self.strings).map_err(|error| error.within(INODE))?,
            strings: self.strings.clone(),
            tree,
            sorted: sorter.finish()?,
            page_entries_max: settings.page_entries_max.max(1),
            rank: 0,
            record: Vec::new(),
            ahead: None,
            last_name: Vec::new(),
        })
    }

    fn directories(&mut self, balance: &mut Balance) -> Result<Tree, Error> {
        let mut tree = Tree::default();
        let mut messages = InodeMessages::open(&mut self.input, &self.summary)?;
        while let Some(message) = messages.next()? {
            let mut add = || {
                let head = Head::decode(message)?;
                balance.inode(head.file_id);
                if head.kind != Kind::Directory {
                    return Ok(());
                }
                let is_zone = head.is_zone(message, &self.strings)?;
                tree.add(head.file_id, message.get(head.name).unwrap_or_default(), is_zone)
            };
            add().map_err(|error: Malformed| error.within(INODE))?;
        }
        Ok(tree)
    }

    /// Hands out what the image says of the children of each directory.
    pub(crate) fn each_directory(
        &mut self,
        mut take: impl FnMut(&[u8]) -> Result<(), Malformed>,
    ) -> Result<(), Error> {
        let mut messages = section(&mut self.input, &self.summary, INODE_DIR)?;
        while let Some(message) = messages.next()? {
            take(message).map_err(tree::damaged)?;
        }
        Ok(())
    }
}

/// Whether every inode but the root is the child of exactly one directory, without holding them:
/// sums over hashes that nobody can choose ids for.
#[derive(Default)]
struct Balance {
    hash: RandomState,
    inodes: u64,
    children: u64,
}

impl Balance {
    fn inode(&mut self, id: u64) {
        if id != tree::ROOT_ID {
            self.inodes = self.inodes.wrapping_add(self.hash.hash_one(id));
        }
    }

    fn child(&mut self, id: u64) {
        self.children = self.children.wrapping_add(self.hash.hash_one(id));
    }

    fn check(&self) -> Result<(), Error> {
        if self.inodes == self.children {
            return Ok(());
        }
        Err(Error::damaged(INODE_DIR, "not every inode is the child of exactly one directory"))
    }
}

impl Inventory {
    /// The root itself, which is in no page.
    #[must_use]
    pub fn root(&self) -> &Entry {
        &self.root
    }

    /// Directories below the root, itself included.
    #[must_use]
    pub fn directories(&self) -> usize {
        self.tree.walk_length()
    }

    /// The next page: directories before those in them, siblings by the bytes of their names.
    ///
    /// # Errors
    /// [`Error::Spill`], or what is damaged.
    pub fn next_page(&mut self) -> Result<Option<Page>, Error> {
        if self.rank as usize == self.tree.walk_length() {
            return Ok(None);
        }
        let (mut entries, mut blocks) = (Vec::new(), 0);
        let more = loop {
            let Some(entry) = self.next_of_directory()? else { break false };
            let is_full = entries.len() == self.page_entries_max
                || blocks > BLOCKS_PER_ENTRY * self.page_entries_max;
            if is_full {
                self.ahead = Some((self.rank, entry));
                break true;
            }
            self.check_name(&entry.name)?;
            if let Node::File(file) = &entry.node {
                blocks += file.blocks.len();
            }
            entries.push(entry);
        };
        let page = Page {
            path: self.tree.path(self.rank),
            file_id: self.tree.id(self.rank),
            is_in_encryption_zone: self.tree.is_in_zone(self.rank),
            entries,
            more,
        };
        if !more {
            self.last_name.clear();
            self.rank += 1;
        }
        Ok(Some(page))
    }

    fn next_of_directory(&mut self) -> Result<Option<Entry>, Error> {
        if self.ahead.is_none() {
            let Some((rank, message)) = self.sorted.next(&mut self.record)? else {
                return Ok(None);
            };
            let entry = Entry::decode(message, &self.strings).map_err(|e| e.within(INODE))?;
            self.ahead = Some((rank, entry));
        }
        let rank = self.rank;
        Ok(self.ahead.take_if(|ahead| ahead.0 == rank).map(|(_, entry)| entry))
    }

    /// Names lead to paths, and one to one inode.
    fn check_name(&mut self, name: &[u8]) -> Result<(), Error> {
        let refuse = |what: &str| {
            let told = format!("{what} {:?}", String::from_utf8_lossy(name));
            Err(Error::damaged(INODE, told))
        };
        // Names come from strings of Java.
        let is_text = std::str::from_utf8(name).is_ok();
        if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') || !is_text {
            return refuse("a name that is none:");
        }
        if self.last_name.as_slice() >= name {
            return refuse("two children of one name:");
        }
        name.clone_into(&mut self.last_name);
        Ok(())
    }
}

impl fmt::Debug for Inventory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = formatter.debug_struct("Inventory");
        text.field("root", &self.root).field("directories", &self.directories());
        text.finish_non_exhaustive()
    }
}
