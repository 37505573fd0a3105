//! The directories of an image, and the order in which an inventory goes through those below its
//! root: the one thing that is held in memory whole.

use std::collections::HashMap;

use crate::error::{Error, Malformed};
use crate::image::INODE_DIR;
use crate::inventory::Root;
use crate::wire::Fields;

/// The root of the file system.
pub(crate) const ROOT_ID: u64 = 16_385;
/// No directory, or none of the subtree.
const NONE: u32 = u32::MAX;

/// All directories, each known by its place in these lists.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    ids: Vec<u64>,
    names: Vec<u8>,
    name_ends: Vec<usize>,
    parents: Vec<u32>,
    zones: Vec<bool>,
    by_id: HashMap<u64, u32>,
    /// Where in the walk each one comes.
    ranks: Vec<u32>,
    /// The subtree, parents first, siblings by name.
    walk: Vec<u32>,
}

impl Tree {
    pub(crate) fn add(&mut self, id: u64, name: &[u8], is_zone: bool) -> Result<(), Malformed> {
        let place = u32::try_from(self.ids.len()).ok().filter(|place| *place != NONE);
        let place = place.ok_or(Malformed("more directories than can be numbered"))?;
        if self.by_id.insert(id, place).is_some() {
            return Err(Malformed("two inodes of one id"));
        }
        self.ids.push(id);
        self.names.extend_from_slice(name);
        self.name_ends.push(self.names.len());
        self.zones.push(is_zone);
        self.parents.push(NONE);
        Ok(())
    }

    /// Notes a child; those that are no directories are not of interest here.
    pub(crate) fn set_parent(&mut self, child: u64, parent: u32) -> Result<(), Malformed> {
        let Some(child) = self.by_id.get(&child) else { return Ok(()) };
        match self.parents.get_mut(*child as usize) {
            Some(known) if *known == NONE => *known = parent,
            Some(_) | None => return Err(Malformed("a directory in two directories")),
        }
        Ok(())
    }

    pub(crate) fn place(&self, id: u64) -> Result<u32, Malformed> {
        self.by_id.get(&id).copied().ok_or(Malformed("children of no directory"))
    }

    /// Where the walk comes to a directory, unless it lies outside of the subtree.
    pub(crate) fn rank(&self, place: u32) -> Option<u32> {
        self.ranks.get(place as usize).copied().filter(|rank| *rank != NONE)
    }

    /// Lays the walk through everything below a root.
    pub(crate) fn lay_walk(&mut self, root: &Root) -> Result<(), Error> {
        let mut by_parent: Vec<u32> = (0..self.ids.len() as u32).collect();
        by_parent.retain(|place| self.parent(*place) != NONE);
        by_parent.sort_unstable_by_key(|place| (self.parent(*place), self.name(*place)));
        let Some(top) = self.find(root, &by_parent) else {
            return Err(Error::NoRoot(root.to_string()));
        };
        self.ranks = vec![NONE; self.ids.len()];
        let mut ahead = vec![top];
        while let Some(place) = ahead.pop() {
            if let Some(rank) = self.ranks.get_mut(place as usize) {
                *rank = self.walk.len() as u32;
            }
            self.walk.push(place);
            let inherits = self.zones.get(place as usize).copied().unwrap_or(false);
            let children = self.children(place, &by_parent);
            for child in children {
                if let Some(zone) = self.zones.get_mut(*child as usize) {
                    *zone |= inherits;
                }
            }
            // In a circle the top would come again.
            ahead.extend(children.iter().rev().filter(|child| **child != top));
        }
        Ok(())
    }

    /// Every directory stands below the root of the file system.
    pub(crate) fn check_whole(&self) -> Result<(), Error> {
        let whole = || {
            let mut below = vec![false; self.ids.len()];
            *below.get_mut(*self.by_id.get(&ROOT_ID)? as usize)? = true;
            let mut climbed = Vec::new();
            for mut place in 0..self.ids.len() as u32 {
                while !*below.get(place as usize)? {
                    climbed.push(place);
                    place = self.parent(place);
                    if climbed.len() > self.ids.len() {
                        return None;
                    }
                }
                for place in climbed.drain(..) {
                    *below.get_mut(place as usize)? = true;
                }
            }
            Some(())
        };
        whole().ok_or_else(|| damaged(Malformed("a directory below no other")))
    }

    /// What is only needed to find places by ids.
    pub(crate) fn forget_ids(&mut self) {
        self.by_id = HashMap::new();
        self.ranks = Vec::new();
    }

    /// Directories in the walk.
    pub(crate) fn walk_length(&self) -> usize {
        self.walk.len()
    }

    /// The id of a directory in the walk.
    pub(crate) fn id(&self, rank: u32) -> u64 {
        self.walk_place(rank).and_then(|place| self.ids.get(place)).copied().unwrap_or(0)
    }

    /// It is an encryption zone, or lies in one.
    pub(crate) fn is_in_zone(&self, rank: u32) -> bool {
        self.walk_place(rank).and_then(|place| self.zones.get(place)).copied().unwrap_or(false)
    }

    /// The path from the root to a directory in the walk, without a slash at either end.
    pub(crate) fn path(&self, rank: u32) -> Vec<u8> {
        let (mut names, mut bytes) = (Vec::new(), 0);
        let top = self.walk.first().copied().unwrap_or(NONE);
        let mut place = self.walk.get(rank as usize).copied().unwrap_or(top);
        while place != top {
            let name = self.name(place);
            bytes += name.len() + 1;
            names.push(name);
            place = self.parent(place);
        }
        let mut path = Vec::with_capacity(bytes);
        for name in names.iter().rev() {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
        }
        path
    }

    fn walk_place(&self, rank: u32) -> Option<usize> {
        self.walk.get(rank as usize).map(|place| *place as usize)
    }

    fn parent(&self, place: u32) -> u32 {
        self.parents.get(place as usize).copied().unwrap_or(NONE)
    }

    fn name(&self, place: u32) -> &[u8] {
        let place = place as usize;
        let begin = place.checked_sub(1).and_then(|before| self.name_ends.get(before));
        let end = self.name_ends.get(place).copied().unwrap_or(0);
        self.names.get(begin.copied().unwrap_or(0)..end).unwrap_or_default()
    }

    fn children<'a>(&self, place: u32, by_parent: &'a [u32]) -> &'a [u32] {
        let begin = by_parent.partition_point(|one| self.parent(*one) < place);
        let rest = by_parent.get(begin..).unwrap_or_default();
        rest.get(..rest.partition_point(|one| self.parent(*one) == place)).unwrap_or_default()
    }

    /// The root's place, and whether a zone lies above it. A directory that only snapshots hold
    /// stands nowhere.
    fn find(&mut self, root: &Root, by_parent: &[u32]) -> Option<u32> {
        let file_system = *self.by_id.get(&ROOT_ID)?;
        let found = match root {
            Root::FileId(id) => *self.by_id.get(id)?,
            Root::Path(path) => {
                let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
                let mut place = file_system;
                for name in names {
                    let children = self.children(place, by_parent);
                    let at = children.binary_search_by_key(&name, |child| self.name(*child));
                    place = *children.get(at.ok()?)?;
                }
                place
            }
        };
        let (mut above, mut steps, mut in_zone) = (found, 0, false);
        while above != file_system {
            in_zone |= self.zones.get(above as usize).copied().unwrap_or(false);
            above = self.parent(above);
            steps += 1;
            if above == NONE || steps > self.ids.len() {
                return None;
            }
        }
        in_zone |= self.zones.get(above as usize).copied().unwrap_or(false);
        if let Some(zone) = self.zones.get_mut(found as usize) {
            *zone |= in_zone;
        }
        Some(found)
    }
}

/// The directory that an entry of the section is about.
pub(crate) fn parent_of(message: &[u8]) -> Result<u64, Malformed> {
    let mut parent = 0;
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        if field == 1 {
            parent = value.number()?;
        }
    }
    Ok(parent)
}

/// Its children, by themselves or through references.
pub(crate) fn each_child(
    message: &[u8],
    references: &[u64],
    mut take: impl FnMut(u64) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        match field {
            2 => value.each_number(&mut take)?,
            3 => value.each_number(|number| {
                let child = usize::try_from(number).ok().and_then(|at| references.get(at));
                take(*child.ok_or(Malformed("a reference that is not there"))?)
            })?,
            _ => {}
        }
    }
    Ok(())
}

/// Errors of this module are about one section.
pub(crate) fn damaged(error: Malformed) -> Error {
    error.within(INODE_DIR)
}
