//! Copies within a target: shared blocks where the file system can, else copied by the kernel.

use std::fs::File;

use rustix::fs::{FileType, OFlags, SeekFrom, Statx, copy_file_range, ioctl_ficlone, seek};
use rustix::io::Errno;

use super::failure::{failure, failure_below, io_failure, is_absent, shown};
use super::root::{Root, open_quietly};
use super::{node, seal, sparse};
use crate::error::StoreError;
use crate::target::CopySource;

const PIECE_BYTES: usize = 1024 * 1024;
const RANGE_BYTES: usize = 256 * 1024 * 1024;

/// The file that is copied, open.
pub(super) struct Source {
    pub(super) file: File,
    look: Statx,
    shown: Vec<u8>,
}

/// Opens the very file that `from` names.
pub(super) fn open(root: &Root, from: &CopySource) -> Result<Source, StoreError> {
    let opened = root
        .parent(&from.key)
        .and_then(|(parent, name)| open_quietly(parent, name, OFlags::empty()))
        .and_then(|file| node::look(&file, b"").map(|look| (file, look)));
    let shown = root.shown(&from.key);
    let (file, look) = match opened {
        Ok(opened) => opened,
        Err(errno) if is_absent(errno) => return Err(other(from)),
        Err(errno) => return Err(failure_below("copy", root, &from.key, errno)),
    };
    let source = Source { file: file.into(), look, shown };
    source.check(from)?;
    Ok(source)
}

impl Source {
    /// `Conflict` unless the file still is what `from` names.
    pub(super) fn check(&self, from: &CopySource) -> Result<(), StoreError> {
        let now = node::look(&self.file, b"").map_err(|errno| self.failed(errno))?;
        let regular = node::file_type(&now) == FileType::RegularFile;
        let named = from.etag.as_ref().is_none_or(|etag| *etag == seal::etag(&now));
        if regular && named && now.stx_size == from.length { Ok(()) } else { Err(other(from)) }
    }

    /// CRC32C of the file: as it was kept when it was written, else by reading. `Conflict` if it is
    /// not the one that `from` names.
    pub(super) fn crc32c(&self, from: &CopySource) -> Result<u32, StoreError> {
        let found = match seal::checksum(&self.file, b"", &self.look) {
            Some(checksum) => checksum.crc32c,
            None => self.computed()?,
        };
        match from.crc32c {
            Some(named) if named != found => Err(other(from)),
            Some(_) | None => Ok(found),
        }
    }

    /// Copies all bytes into an empty file; its holes stay holes.
    pub(super) fn copy_into(&self, copy: &File, key: &[u8]) -> Result<(), StoreError> {
        if ioctl_ficlone(copy, &self.file).is_ok() {
            return Ok(());
        }
        let length = self.look.stx_size;
        copy.set_len(length).map_err(|error| io_failure("copy to", key, &error))?;
        let mut read = 0;
        while let Some((from, to)) = self.data(read) {
            read = from;
            while read < to {
                let left = usize::try_from(to - read).unwrap_or(RANGE_BYTES).min(RANGE_BYTES);
                let mut written = read;
                match copy_file_range(&self.file, Some(&mut read), copy, Some(&mut written), left) {
                    Ok(0) => return Err(self.failed(Errno::IO)),
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {
                        return self.copy_by_hand(copy, read, key);
                    }
                    Err(errno) => return Err(failure("copy to", key, errno)),
                }
            }
        }
        Ok(())
    }

    /// The next range that is no hole. All that is left, where the file system does not tell.
    fn data(&self, after: u64) -> Option<(u64, u64)> {
        let length = self.look.stx_size;
        let from = match seek(&self.file, SeekFrom::Data(after)) {
            Ok(from) => from,
            Err(Errno::NXIO) => return None,
            Err(_) => after,
        };
        let to = seek(&self.file, SeekFrom::Hole(from)).unwrap_or(length).min(length);
        (from < to).then_some((from, to))
    }

    fn copy_by_hand(&self, copy: &File, start: u64, key: &[u8]) -> Result<(), StoreError> {
        let length = self.look.stx_size;
        self.pieces(start, |piece, position| {
            sparse::write(copy, std::iter::once(piece), position, length)
                .map_err(|error| io_failure("copy to", key, &error))
        })
    }

    fn computed(&self) -> Result<u32, StoreError> {
        let mut crc32c = 0;
        self.pieces(0, |piece, _| {
            crc32c = crc32c::crc32c_append(crc32c, piece);
            Ok(())
        })?;
        Ok(crc32c)
    }

    fn pieces(
        &self,
        start: u64,
        mut take: impl FnMut(&[u8], u64) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut buffer = vec![0; PIECE_BYTES];
        let mut position = start;
        while position < self.look.stx_size {
            let read = rustix::io::retry_on_intr(|| {
                rustix::io::pread(&self.file, buffer.as_mut_slice(), position)
            })
            .map_err(|errno| self.failed(errno))?;
            if read == 0 {
                return Err(self.failed(Errno::IO));
            }
            take(&buffer[..read], position)?;
            position += read as u64;
        }
        Ok(())
    }

    fn failed(&self, errno: Errno) -> StoreError {
        failure("copy", &self.shown, errno)
    }
}

fn other(from: &CopySource) -> StoreError {
    StoreError::Conflict {
        message: format!("{} is not the file that was to be copied any more", shown(&from.key)),
        remedy: "it is read from the source again".to_owned(),
    }
}
