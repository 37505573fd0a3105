//! Inodes meet their directories. An inode does not say where it stands; a directory lists the ids
//! of its children. So both are joined by id: in memory where the ids fit, else in parts, each with
//! the ids that a hash gives it.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::entry::Head;
use crate::error::{Error, Malformed};
use crate::image::{INODE, Image, InodeMessages, Messages};
use crate::inventory::Settings;
use crate::sorter::{Sorter, spill_error};
use crate::tree::{self, Tree};
use crate::wire::put_varint;

/// A child's id and its directory's rank, in a list that may have grown to twice what it needs.
const EDGE_BYTES: u64 = 32;
const EDGE_DISK_BYTES: usize = 12;
/// Each part has two files with a buffer each.
const PARTS_MAX: u64 = 256;
const BUFFER_BYTES: usize = 64 << 10;
const TEMPORARY: &str = "INODE (temporary)";
/// The rank of a child that was met.
const MET: u32 = u32::MAX;

/// Hands every inode of the subtree to the sorter, with its directory's rank; the root's message.
pub(crate) fn place_all<R: Read + Seek>(
    image: &mut Image<R>,
    tree: &Tree,
    references: &[u64],
    children: u64,
    settings: &Settings,
    sorter: &mut Sorter,
) -> Result<Option<Vec<u8>>, Error> {
    let memory = (settings.memory_bytes as u64 / 2).max(EDGE_BYTES);
    let parts = children.saturating_mul(EDGE_BYTES).div_ceil(memory).clamp(1, PARTS_MAX);
    if parts > 1 {
        return place_in_parts(image, tree, references, parts as usize, settings, sorter);
    }
    let mut edges = Edges::default();
    each_edge(image, tree, references, |child, rank| {
        edges.by_id.push((child, rank));
        Ok(())
    })?;
    edges.seal().map_err(tree::damaged)?;
    let mut root = None;
    let mut messages = InodeMessages::open(&mut image.input, &image.summary)?;
    while let Some(message) = messages.next()? {
        let head = Head::decode(message).map_err(|error| error.within(INODE))?;
        note_root(tree, &head, message, &mut root);
        edges.place(head, message, sorter)?;
    }
    edges.finish()?;
    Ok(root)
}

fn place_in_parts<R: Read + Seek>(
    image: &mut Image<R>,
    tree: &Tree,
    references: &[u64],
    parts: usize,
    settings: &Settings,
    sorter: &mut Sorter,
) -> Result<Option<Vec<u8>>, Error> {
    let directory = settings.temporary_directory.as_path();
    let failed = |error| spill_error(directory, error);
    // Nobody can choose ids that all fall into one part.
    let hash = RandomState::new();
    let part = |id: u64| (hash.hash_one(id) % parts as u64) as usize;
    let (mut edge_files, mut inode_files) = (spools(parts, directory)?, spools(parts, directory)?);
    each_edge(image, tree, references, |child, rank| {
        let Some(file) = edge_files.get_mut(part(child)) else { return Ok(()) };
        let written = file.write_all(&child.to_le_bytes());
        written.and_then(|()| file.write_all(&rank.to_le_bytes())).map_err(failed)
    })?;
    let (mut root, mut length) = (None, Vec::new());
    let mut messages = InodeMessages::open(&mut image.input, &image.summary)?;
    while let Some(message) = messages.next()? {
        let head = Head::decode(message).map_err(|error| error.within(INODE))?;
        note_root(tree, &head, message, &mut root);
        let Some(file) = inode_files.get_mut(part(head.file_id)) else { continue };
        length.clear();
        put_varint(&mut length, message.len() as u64);
        let written = file.write_all(&length);
        written.and_then(|()| file.write_all(message)).map_err(failed)?;
    }
    for (edge_file, inode_file) in edge_files.into_iter().zip(inode_files) {
        let mut edges = Edges::read(edge_file).map_err(failed)?;
        edges.seal().map_err(tree::damaged)?;
        let input = Box::new(reread(inode_file).map_err(failed)?);
        let mut messages = Messages::new(input, TEMPORARY);
        while let Some(message) = messages.next()? {
            let head = Head::decode(message).map_err(|error| error.within(INODE))?;
            edges.place(head, message, sorter)?;
        }
        edges.finish()?;
    }
    Ok(root)
}

fn note_root(tree: &Tree, head: &Head, message: &[u8], root: &mut Option<Vec<u8>>) {
    if head.file_id == tree.id(0) {
        *root = Some(message.to_vec());
    }
}

/// Children of the subtree's directories.
fn each_edge<R: Read + Seek>(
    image: &mut Image<R>,
    tree: &Tree,
    references: &[u64],
    mut take: impl FnMut(u64, u32) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut failure = None;
    image.each_directory(|message| {
        let parent = tree.place(tree::parent_of(message)?)?;
        let Some(rank) = tree.rank(parent) else { return Ok(()) };
        tree::each_child(message, references, |child| {
            if failure.is_none() {
                failure = take(child, rank).err();
            }
            Ok(())
        })
    })?;
    failure.map_or(Ok(()), Err)
}

fn spools(count: usize, directory: &Path) -> Result<Vec<BufWriter<File>>, Error> {
    let one = |_| {
        let file = tempfile::tempfile_in(directory).map_err(|e| spill_error(directory, e))?;
        Ok(BufWriter::with_capacity(BUFFER_BYTES, file))
    };
    (0..count).map(one).collect()
}

fn reread(spool: BufWriter<File>) -> io::Result<BufReader<File>> {
    let mut file = spool.into_inner()?;
    file.seek(SeekFrom::Start(0))?;
    Ok(BufReader::with_capacity(BUFFER_BYTES, file))
}

/// Which directory each child stands in.
#[derive(Default)]
struct Edges {
    by_id: Vec<(u64, u32)>,
    /// The place after the one that was found last: inodes come nearly in the order of their ids.
    next: usize,
    met: usize,
}

impl Edges {
    fn read(spool: BufWriter<File>) -> io::Result<Self> {
        let mut input = reread(spool)?;
        let length = input.get_ref().metadata()?.len() as usize / EDGE_DISK_BYTES;
        let mut by_id = Vec::with_capacity(length);
        let (mut child, mut rank) = ([0; 8], [0; 4]);
        for _ in 0..length {
            input.read_exact(&mut child)?;
            input.read_exact(&mut rank)?;
            by_id.push((u64::from_le_bytes(child), u32::from_le_bytes(rank)));
        }
        Ok(Self { by_id, ..Self::default() })
    }

    fn seal(&mut self) -> Result<(), Malformed> {
        self.by_id.sort_unstable();
        if self.by_id.is_sorted_by(|one, next| one.0 < next.0) {
            return Ok(());
        }
        Err(Malformed("an inode in two places"))
    }

    /// Hands an inode on, if it stands in the subtree.
    fn place(&mut self, head: Head, message: &[u8], sorter: &mut Sorter) -> Result<(), Error> {
        let id = head.file_id;
        let is_next = self.by_id.get(self.next).is_some_and(|edge| edge.0 == id);
        let found = match is_next {
            true => Some(self.next),
            false => self.by_id.binary_search_by_key(&id, |edge| edge.0).ok(),
        };
        let Some(at) = found else { return Ok(()) };
        self.next = at + 1;
        let Some((_, rank)) = self.by_id.get_mut(at) else { return Ok(()) };
        let rank = std::mem::replace(rank, MET);
        if rank == MET {
            return Err(Error::damaged(INODE, format!("two inodes of the id {id}")));
        }
        self.met += 1;
        sorter.push(rank, head.name, message)
    }

    /// Everything that a directory lists is there.
    fn finish(self) -> Result<(), Error> {
        match self.by_id.len() - self.met {
            0 => Ok(()),
            lost => Err(Error::damaged(INODE, format!("{lost} children of directories are lost"))),
        }
    }
}
