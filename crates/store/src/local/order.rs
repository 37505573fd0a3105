//! Lists a tree as keys in byte order. The order of whole keys is not the order of names in their
//! directories: `a.b` comes before `a/b`, so a directory's name sorts with its slash.

use std::collections::VecDeque;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::failure::{io_failure, is_absent};
use super::listing::Listings;
use super::root::{Root, just_after, open_quietly};
use super::stage::STAGE_PREFIX;
use super::{node, seal};
use crate::error::StoreError;
use crate::target::{Object, ObjectPage};

const PAGE_OBJECTS: usize = 1000;
const NAMES_AHEAD: usize = 1000;

/// A directory under way: its key (empty or ending in `/`), names to come, where to read on.
struct Frame {
    key: Vec<u8>,
    names: VecDeque<Vec<u8>>,
    /// `None`: the names are all there is.
    from: Option<Vec<u8>>,
    /// Nothing was ever found in it.
    empty: bool,
}

/// A page of the keys that begin with `prefix`, after `after`. A directory is a key only where it
/// is empty; then its key ends in `/`.
pub(super) fn page(
    root: &Root,
    listings: &Listings,
    prefix: &[u8],
    after: Option<&[u8]>,
) -> Result<ObjectPage, StoreError> {
    let first = after.map(just_after).unwrap_or_default().max(prefix.to_vec());
    let mut walk = Walk { root, listings, prefix, first, objects: Vec::new() };
    let mut frames = vec![walk.frame(Vec::new())];
    while let Some(frame) = frames.last_mut() {
        if walk.objects.len() > PAGE_OBJECTS {
            break;
        }
        match walk.next_name(frame)? {
            Some(name) => {
                let key = [frame.key.as_slice(), &name].concat();
                if key.ends_with(b"/") {
                    if walk.may_hold(&key) {
                        frames.push(walk.frame(key));
                    }
                } else if walk.wanted(&key) {
                    let object = walk.look(&key)?;
                    walk.objects.extend(object);
                }
            }
            None => {
                let key = std::mem::take(&mut frame.key);
                let marker = frame.empty && !key.is_empty() && walk.wanted(&key);
                frames.pop();
                if marker {
                    walk.objects.push(Object { key, ..Object::default() });
                }
            }
        }
    }
    let more = walk.objects.len() > PAGE_OBJECTS;
    walk.objects.truncate(PAGE_OBJECTS);
    Ok(ObjectPage { objects: walk.objects, more })
}

struct Walk<'a> {
    root: &'a Root,
    listings: &'a Listings,
    prefix: &'a [u8],
    /// The smallest key that is wanted.
    first: Vec<u8>,
    objects: Vec<Object>,
}

impl Walk<'_> {
    /// Begins a directory at the first name under which a wanted key can be.
    fn frame(&self, key: Vec<u8>) -> Frame {
        let from = match self.first.strip_prefix(key.as_slice()) {
            Some(rest) => match rest.iter().position(|byte| *byte == b'/') {
                Some(slash) => rest[..=slash].to_vec(),
                None => rest.to_vec(),
            },
            None => Vec::new(),
        };
        let empty = from.is_empty();
        Frame { key, names: VecDeque::new(), from: Some(from), empty }
    }

    fn next_name(&self, frame: &mut Frame) -> Result<Option<Vec<u8>>, StoreError> {
        loop {
            if let Some(name) = frame.names.pop_front() {
                frame.empty = false;
                let stage = frame.key.is_empty() && name.starts_with(STAGE_PREFIX.as_bytes());
                if stage {
                    continue;
                }
                return Ok(Some(name));
            }
            let Some(from) = frame.from.take() else { return Ok(None) };
            let path = frame.key.strip_suffix(b"/").unwrap_or(&frame.key);
            let opened = self
                .root
                .directory(path)
                .and_then(|handle| open_quietly(handle, b"", OFlags::DIRECTORY));
            let directory = match opened {
                Ok(directory) => directory,
                Err(errno) if is_absent(errno) && !path.is_empty() => {
                    frame.empty = false;
                    return Ok(None);
                }
                Err(errno) => return Err(self.failed(path, errno)),
            };
            let page = self
                .listings
                .page(directory, &from, NAMES_AHEAD)
                .map_err(|error| io_failure("list", &self.root.shown(path), &error))?;
            if page.more {
                frame.from = page.names.last().map(|name| just_after(name));
            }
            frame.names = page.names.into();
        }
    }

    fn wanted(&self, key: &[u8]) -> bool {
        key >= self.first.as_slice() && key.starts_with(self.prefix)
    }

    /// True if wanted keys can lie under a directory's key.
    fn may_hold(&self, key: &[u8]) -> bool {
        let in_prefix = key.starts_with(self.prefix) || self.prefix.starts_with(key);
        in_prefix && (key >= self.first.as_slice() || self.first.starts_with(key))
    }

    fn look(&self, key: &[u8]) -> Result<Option<Object>, StoreError> {
        let looked = self.root.parent(key).and_then(|(parent, name)| node::look(parent, name));
        match looked {
            Ok(look) => Ok(Some(Object {
                key: key.to_vec(),
                length: look.stx_size,
                etag: Some(seal::etag(&look)),
                ..Object::default()
            })),
            Err(errno) if is_absent(errno) => Ok(None),
            Err(errno) => Err(self.failed(key, errno)),
        }
    }

    fn failed(&self, path: &[u8], errno: Errno) -> StoreError {
        super::failure::failure("list", &self.root.shown(path), errno)
    }
}
