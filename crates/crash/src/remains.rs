//! What is found after a crash.

use std::collections::BTreeMap;

use crate::disk::{Call, Image, put};
use crate::draw::Draw;

/// What a disk writes at once or not at all.
const SECTOR_BYTES: usize = 512;

/// What becomes of something that was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is there.
    Kept,
    /// As if it had never been asked for.
    Lost,
    /// The sector was being written, or only its place was: zeros, or whatever this seed gives.
    Garbled(Option<u64>),
}

#[derive(Clone, Debug)]
enum Piece {
    Bytes(usize, Box<[u8]>),
    Length(usize),
}

#[derive(Clone, Debug, Default)]
struct File {
    synced: Vec<u8>,
    unsynced: Vec<Piece>,
}

/// What lasts after a part of a log, and what nobody can know of.
#[derive(Clone, Debug, Default)]
pub struct Remains {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    /// Names that came and went since the folder was synced.
    renamed: Vec<(String, Option<usize>)>,
}

impl Remains {
    /// Of a disk that began with an image.
    pub fn new(image: &Image) -> Self {
        let names = image.keys().cloned().zip(0..).collect();
        let file = |bytes: &Vec<u8>| File { synced: bytes.clone(), unsynced: Vec::new() };
        Self { files: image.values().map(file).collect(), names, renamed: Vec::new() }
    }

    /// One call more. `draw` says what a sync that failed has dropped.
    pub fn add(&mut self, call: &Call, draw: &mut Draw) {
        match call {
            Call::Create(name) => {
                self.renamed.push((name.clone(), Some(self.files.len())));
                self.files.push(File::default());
            }
            Call::Remove(name) => self.renamed.push((name.clone(), None)),
            Call::Write { file, offset, bytes } => self.files[*file].write(*offset, bytes),
            Call::Truncate { file, length } => {
                self.files[*file].unsynced.push(Piece::Length(*length));
            }
            Call::Sync { file } => {
                let file = &mut self.files[*file];
                for piece in std::mem::take(&mut file.unsynced) {
                    piece.apply(&mut file.synced, Fate::Kept);
                }
            }
            Call::SyncFailed { file } => {
                self.files[*file].unsynced.retain(|_| draw.once_in(2));
            }
            Call::SyncFolder => {
                for (name, file) in self.renamed.drain(..) {
                    rename(&mut self.names, name, file);
                }
            }
        }
    }

    /// Of how many things nobody knows whether they are on the disk.
    pub fn doubts(&self) -> usize {
        self.renamed.len() + self.files.iter().map(|file| file.unsynced.len()).sum::<usize>()
    }

    /// What is found if each of these has a fate. One after the other they are asked for.
    pub fn image(&self, mut fate: impl FnMut() -> Fate) -> Image {
        let mut names = self.names.clone();
        let mut lost: Vec<&str> = Vec::new();
        for (name, file) in &self.renamed {
            // What happens to one name happens in order.
            if fate() == Fate::Lost || lost.contains(&name.as_str()) {
                lost.push(name);
            } else {
                rename(&mut names, name.clone(), *file);
            }
        }
        let found = self.files.iter().map(|file| {
            let mut bytes = file.synced.clone();
            for piece in &file.unsynced {
                piece.apply(&mut bytes, fate());
            }
            bytes
        });
        let files: Vec<Vec<u8>> = found.collect();
        names.into_iter().map(|(name, file)| (name, files[file].clone())).collect()
    }

    /// All that a process that is killed leaves.
    pub fn whole(&self) -> Image {
        self.image(|| Fate::Kept)
    }

    /// What may be found: everything that can be, if that is at most `count`; else so many by
    /// chance.
    pub fn images(&self, count: usize, draw: &mut Draw) -> Vec<Image> {
        let doubts = self.doubts();
        let all = u32::try_from(doubts).ok().and_then(|doubts| 1_usize.checked_shl(doubts));
        match all.filter(|all| *all <= count) {
            Some(all) => (0..all)
                .map(|mut bits| {
                    self.image(|| {
                        let kept = bits & 1 == 1;
                        bits >>= 1;
                        if kept { Fate::Kept } else { Fate::Lost }
                    })
                })
                .collect(),
            None => (0..count).map(|_| self.by_chance(draw)).collect(),
        }
    }

    /// One of the ways in which disks lose things.
    pub fn by_chance(&self, draw: &mut Draw) -> Image {
        let (way, place) = (draw.below(8), draw.below(self.doubts()));
        let mut number = 0;
        self.image(|| {
            let here = number.cmp(&place);
            number += 1;
            match way {
                0 => Fate::Lost,
                1 => Fate::Kept,
                // In order up to a place, which was being written.
                2 if here.is_lt() => Fate::Kept,
                2 if here.is_eq() => garbled(draw),
                2 => Fate::Lost,
                // All but one; one alone.
                3 if here.is_eq() => Fate::Lost,
                3 => Fate::Kept,
                4 if here.is_eq() => Fate::Kept,
                4 => Fate::Lost,
                // The last ones first.
                5 if here.is_lt() => Fate::Lost,
                5 => Fate::Kept,
                6 if draw.once_in(2) => Fate::Kept,
                _ if draw.once_in(8) => garbled(draw),
                _ if draw.once_in(2) => Fate::Kept,
                _ => Fate::Lost,
            }
        })
    }
}

fn garbled(draw: &mut Draw) -> Fate {
    let seed = draw.number();
    Fate::Garbled(draw.once_in(2).then_some(seed))
}

fn rename(names: &mut BTreeMap<String, usize>, name: String, file: Option<usize>) {
    match file {
        Some(file) => drop(names.insert(name, file)),
        None => drop(names.remove(&name)),
    }
}

impl File {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let (mut offset, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(rest.len().min(SECTOR_BYTES - offset % SECTOR_BYTES));
            self.unsynced.push(Piece::Bytes(offset, piece.into()));
            offset += piece.len();
            rest = more;
        }
    }
}

impl Piece {
    fn apply(&self, file: &mut Vec<u8>, fate: Fate) {
        match (self, fate) {
            (_, Fate::Lost) => {}
            (Self::Length(length), Fate::Kept | Fate::Garbled(_)) => file.resize(*length, 0),
            (Self::Bytes(offset, bytes), Fate::Kept) => put(file, *offset, bytes),
            (Self::Bytes(offset, bytes), Fate::Garbled(seed)) => {
                let mut draw = seed.map(Draw::new);
                let mut byte = || draw.as_mut().map_or(0, |draw| draw.number().to_le_bytes()[0]);
                let garbage: Vec<u8> = bytes.iter().map(|_| byte()).collect();
                put(file, *offset, &garbage);
            }
        }
    }
}
