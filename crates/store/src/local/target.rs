//! A tree of a local or mounted file system as a target.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FileType, FlockOperation, OFlags, Statx, flock, fsync, unlinkat};
use rustix::io::Errno;
use whimbrel_core::config::RequestLifetime;
use whimbrel_core::effect::Expected;
use whimbrel_core::input::Standing;
use whimbrel_core::number::AttemptNumber;
use whimbrel_core::record::Part;

use super::account::Accounts;
use super::failure::{failure, failure_below, io_failure, is_absent, shown};
use super::listing::Listings;
use super::place::Place;
use super::reading::{Pieces, hand_out, stream};
use super::root::{Root, open_quietly};
use super::seal::Owned;
use super::stage::{Draft, Stage};
use super::wanted::Wanted;
use super::{
    blocking, copying, known_root, nesting, node, order, place, probe, seal, sparse, upload,
};
use crate::content::Content;
use crate::error::StoreError;
use crate::source::{Answer, ByteStream};
use crate::target::{Abilities, Conditions, CopySource, Object, ObjectPage, Stamp, Target};

mod belonging;

/// With parts of 16 MiB: 16 TiB, the largest file of ext4.
const PARTS_MAX: u32 = 1 << 20;

/// Who looks writes nothing, and needs no name of a migration.
const LOOKING: &str = "looking";

/// A directory in which keys are paths. A key that ends in `/` is a directory.
///
/// A file is made in a folder of its own, synced, and renamed over what stands under its name, so
/// a reader sees the old or the new one whole. Owner (where the process is root and knows the
/// name), mode, time, ACL and attributes are set; what cannot be set is kept in an attribute of
/// the file (`user.whimbrel.*`), with migration, attempt and CRC32C. Where the file system keeps
/// no attributes, these are unknown afterwards.
///
/// If an answer is not waited for any more, its write takes no effect from then on.
#[derive(Clone, Debug)]
pub struct LocalTarget {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: Root,
    /// Device and inode of the root: a mount that went must not be written below. `None` while
    /// nothing stands there, which only a look finds.
    root_key: Option<u64>,
    stage: Stage,
    listings: Listings,
    accounts: Accounts,
    owners_not_set: AtomicU64,
    /// The file system keeps attributes, so that files say who wrote them.
    attributes: bool,
    /// The source has keys: an empty directory may be one of them.
    of_keys: bool,
    /// A source that gets files back.
    of_a_source: bool,
}

/// A tree that this process has to itself.
#[derive(Debug)]
pub struct Taken {
    _handle: OwnedFd,
}

impl LocalTarget {
    /// Opens the tree at `path`, making the directory if need be. What a dead process of the same
    /// `migration` left unfinished is removed, except for the uploads in `keep`. Refused are file
    /// systems on which two names of different bytes are one.
    pub fn open(path: &Path, migration: &str, keep: &[String]) -> Result<Self, StoreError> {
        Self::open_as(path, migration, keep, None)
    }

    /// The same of the directory that called itself `known` (`root_name`), where that is given:
    /// into the place of what is not mounted any more, nothing is written.
    ///
    /// # Errors
    /// `Missing` if that is so.
    pub fn open_as(
        path: &Path,
        migration: &str,
        keep: &[String],
        known: Option<&str>,
    ) -> Result<Self, StoreError> {
        let whole = Root::new(path).shown(b"");
        if let Some(known) = known {
            // Of one that is gone, the device on which it would be made tells.
            let stands = path
                .ancestors()
                .map(Self::pinned)
                .find(|outcome| !matches!(outcome, Err(StoreError::Missing { .. })));
            let found = stands.transpose()?.map(|(_, look)| known_root::name(&look));
            known_root::check(known, found.as_deref(), &whole)?;
        }
        std::fs::create_dir_all(path).map_err(|error| io_failure("make", &whole, &error))?;
        let (root, look) = Self::pinned(path)?;
        if let Some(known) = known {
            known_root::check(known, Some(&known_root::name(&look)), &whole)?;
        }
        let root_key = node::file_key(&look);
        let stage = Stage::new(root.clone(), migration);
        stage.sweep(keep).map_err(|errno| failure("open", &whole, errno))?;
        probe::check_names(&stage, &whole)?;
        let attributes = probe::keeps_attributes(&stage, &whole)?;
        Ok(Self::rooted(root, Some(root_key), stage, attributes))
    }

    /// The same tree, for what comes from an object store. There a file and an empty directory of
    /// one name can stand side by side; here neither takes the place of the other.
    #[must_use]
    pub fn of_keys(mut self) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.of_keys = true;
        }
        self
    }

    /// Opens the tree at `path`, which must stand there, to look at it: nothing is made, removed or
    /// tried out, and no rights to write are needed.
    pub fn look_at(path: &Path) -> Result<Self, StoreError> {
        let (root, look) = Self::pinned(path)?;
        Ok(Self::looking(root, Some(node::file_key(&look))))
    }

    /// The same where `open` may still have to make the directory: until then it looks empty.
    /// `Denied` if it could not be made.
    pub fn look_ahead(path: &Path) -> Result<Self, StoreError> {
        match Self::look_at(path) {
            Err(StoreError::Missing { .. }) => {
                let root = Root::new(path);
                root.may_be_made().map_err(|errno| failure("make", &root.shown(b""), errno))?;
                Ok(Self::looking(root, None))
            }
            outcome => outcome,
        }
    }

    /// The root and what stands there.
    fn pinned(path: &Path) -> Result<(Root, Statx), StoreError> {
        let root = Root::new(path);
        let failed = |errno| failure("open", &root.shown(b""), errno);
        let handle = root.directory(b"").map_err(failed)?;
        let look = node::look(&handle, b"").map_err(failed)?;
        Ok((root, look))
    }

    /// What the directory is known by when it is mounted again, or after the next start of the
    /// machine.
    ///
    /// # Errors
    /// It is gone.
    pub fn root_name(&self) -> Result<String, StoreError> {
        self.inner.check_root()?;
        let (_, look) = Self::pinned(self.inner.root.path())?;
        Ok(known_root::name(&look))
    }

    /// Keeps other processes from taking the tree until the answer is dropped; `None` if one has
    /// taken it. Where the file system knows no locks, everybody is let in.
    ///
    /// # Errors
    /// It is gone.
    pub fn take(&self) -> Result<Option<Taken>, StoreError> {
        let failed = |errno| failure("open", &self.inner.root.shown(b""), errno);
        let handle = self.inner.root.directory(b"").map_err(failed)?;
        let handle = open_quietly(handle, b"", OFlags::DIRECTORY).map_err(failed)?;
        match flock(&handle, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Ok(None),
            Ok(()) | Err(_) => Ok(Some(Taken { _handle: handle })),
        }
    }

    /// How often a file or directory that was written could not be given its owner or group.
    pub fn owners_not_set(&self) -> u64 {
        self.inner.owners_not_set.load(Ordering::Relaxed)
    }

    fn looking(root: Root, root_key: Option<u64>) -> Self {
        let stage = Stage::new(root.clone(), LOOKING);
        Self::rooted(root, root_key, stage, false)
    }

    fn rooted(root: Root, root_key: Option<u64>, stage: Stage, attributes: bool) -> Self {
        let (listings, accounts) = (Listings::new(true), Accounts::default());
        let owners_not_set = AtomicU64::new(0);
        let (of_keys, of_a_source) = (false, false);
        let inner = Inner {
            root,
            root_key,
            stage,
            listings,
            accounts,
            owners_not_set,
            attributes,
            of_keys,
            of_a_source,
        };
        Self { inner: Arc::new(inner) }
    }

    fn work<'a, T, F>(&self, work: F) -> Answer<'a, T>
    where
        T: Send + 'static,
        F: FnOnce(&Inner, &Wanted) -> Result<T, StoreError> + Send + 'static,
    {
        let inner = self.inner.clone();
        Box::pin(async move {
            let (wanted, asking) = Wanted::new();
            let outcome = blocking(move || {
                inner.check_root()?;
                work(&inner, &wanted)
            })
            .await;
            drop(asking);
            outcome
        })
    }
}

impl Target for LocalTarget {
    fn describe(&self) -> String {
        format!("file://{}", self.inner.root.path().display())
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            put_bytes_max: upload::PART_BYTES,
            part_bytes_min: upload::PART_BYTES,
            part_bytes_max: upload::PART_BYTES,
            parts_max: PARTS_MAX,
            copy_bytes_max: u64::MAX,
            checksums_kept: false,
            conditions: Conditions::all(self.inner.attributes),
            metadata_by_copy: true,
            markers: false,
            request_lifetime: RequestLifetime::default(),
        }
    }

    fn admit(&self, key: &[u8]) -> Result<(), StoreError> {
        place::check(key)
    }

    fn put<'a>(
        &'a self,
        key: &'a [u8],
        content: Content,
        stamp: &'a Stamp,
        expected: &'a Expected,
    ) -> Answer<'a, Standing> {
        let (key, stamp, expected) = (key.to_vec(), stamp.clone(), expected.clone());
        self.work(move |inner, wanted| {
            let place = Place { key: &key, expected: &expected, wanted };
            inner.put(&place, &content, &stamp)
        })
    }

    fn open_upload<'a>(&'a self, key: &'a [u8], stamp: &'a Stamp) -> Answer<'a, String> {
        let (key, stamp) = (key.to_vec(), stamp.clone());
        self.work(move |inner, _| {
            place::check(&key)?;
            upload::open(&inner.stage, &key, &stamp)
        })
    }

    fn put_part<'a>(
        &'a self,
        key: &'a [u8],
        upload: &'a str,
        number: u32,
        content: Content,
    ) -> Answer<'a, Part> {
        let (key, upload) = (key.to_vec(), upload.to_owned());
        self.work(move |inner, _| upload::put_part(&inner.stage, &key, &upload, number, &content))
    }

    fn complete_upload<'a>(
        &'a self,
        key: &'a [u8],
        upload: &'a str,
        parts: &'a [Part],
        crc32c: u32,
        expected: &'a Expected,
    ) -> Answer<'a, Standing> {
        let (key, upload, parts) = (key.to_vec(), upload.to_owned(), parts.to_vec());
        let expected = expected.clone();
        self.work(move |inner, wanted| {
            let place = Place { key: &key, expected: &expected, wanted };
            inner.complete(&place, &upload, &parts, crc32c)
        })
    }

    fn abort_upload<'a>(&'a self, key: &'a [u8], upload: &'a str) -> Answer<'a, ()> {
        let (key, upload) = (key.to_vec(), upload.to_owned());
        self.work(move |inner, _| upload::abort(&inner.stage, &key, &upload))
    }

    fn copy<'a>(
        &'a self,
        from: &'a CopySource,
        key: &'a [u8],
        stamp: &'a Stamp,
        expected: &'a Expected,
    ) -> Answer<'a, Standing> {
        let (from, key, stamp) = (from.clone(), key.to_vec(), stamp.clone());
        let expected = expected.clone();
        self.work(move |inner, wanted| {
            let place = Place { key: &key, expected: &expected, wanted };
            inner.copy(&from, &place, &stamp)
        })
    }

    fn remove<'a>(
        &'a self,
        items: &'a [(Vec<u8>, Expected)],
    ) -> Answer<'a, Vec<Result<(), StoreError>>> {
        let items = items.to_vec();
        self.work(move |inner, wanted| Ok(inner.remove(&items, wanted)))
    }

    fn inspect<'a>(&'a self, key: &'a [u8]) -> Answer<'a, Option<Object>> {
        let key = key.to_vec();
        self.work(move |inner, _| inner.inspect(&key))
    }

    fn attributes<'a>(&'a self, key: &'a [u8]) -> Answer<'a, Option<BTreeMap<String, Vec<u8>>>> {
        let key = key.to_vec();
        self.work(move |inner, _| {
            let parent = inner.root.parent(&key);
            let found = parent.and_then(|(parent, name)| node::attributes(&parent, name));
            let found = found.map_err(|errno| inner.failed("read the attributes of", &key, errno));
            found.map(Some)
        })
    }

    fn is_file<'a>(&'a self, key: &'a [u8]) -> Answer<'a, bool> {
        let key = key.to_vec();
        self.work(move |inner, _| {
            let parent = inner.root.parent(&key);
            match parent.and_then(|(parent, name)| node::look(&parent, name)) {
                Ok(look) => Ok(node::file_type(&look) == FileType::RegularFile),
                Err(errno) if is_absent(errno) => Ok(true),
                Err(errno) => Err(inner.failed_below("look at", &key, errno)),
            }
        })
    }

    fn list<'a>(&'a self, prefix: &'a [u8], after: Option<&'a [u8]>) -> Answer<'a, ObjectPage> {
        let (prefix, after) = (prefix.to_vec(), after.map(<[u8]>::to_vec));
        self.work(move |inner, _| match inner.root_key {
            Some(_) => order::page(&inner.root, &inner.listings, &prefix, after.as_deref()),
            None => Ok(ObjectPage::default()),
        })
    }

    fn read(&self, key: &[u8]) -> ByteStream {
        let (inner, key) = (self.inner.clone(), key.to_vec());
        stream(u64::MAX, move |pieces| inner.read(&key, pieces))
    }

    fn mounted_below(&self) -> Result<Option<String>, StoreError> {
        let place = nesting::mounted_below(self.inner.root.path())?;
        Ok(place.map(|place| place.display().to_string()))
    }
}

impl Inner {
    fn failed(&self, what: &str, key: &[u8], errno: Errno) -> StoreError {
        failure(what, &self.root.shown(key), errno)
    }

    fn count(&self, owned: Owned) {
        self.owners_not_set.fetch_add(u64::from(owned == Owned::Otherwise), Ordering::Relaxed);
    }

    /// What is done to a path itself, and not beside it in a folder of ours.
    fn failed_below(&self, what: &str, key: &[u8], errno: Errno) -> StoreError {
        failure_below(what, &self.root, key, errno)
    }

    /// Rule 1.5 for the target: an unmounted tree must not be written into the mount point.
    fn check_root(&self) -> Result<(), StoreError> {
        let now = self.root.directory(b"").and_then(|root| node::look(root, b""));
        let as_it_was = match now {
            Ok(look) => self.root_key == Some(node::file_key(&look)),
            Err(errno) => self.root_key.is_none() && errno == Errno::NOENT,
        };
        if as_it_was {
            return Ok(());
        }
        let whole = shown(&self.root.shown(b""));
        let (message, remedy) = match now {
            Ok(_) => (
                format!("another directory stands at {whole} than before"),
                "mount it again, or put it back. If what stands there now is meant to be written \
                 to, stop, and start the same call again with --adopt",
            ),
            Err(errno) => (
                format!("{whole} is not there any more: {errno}"),
                "mount it again, or put it back",
            ),
        };
        Err(StoreError::Unavailable { message, remedy: remedy.to_owned() })
    }

    fn put(
        &self,
        place: &Place<'_>,
        content: &Content,
        stamp: &Stamp,
    ) -> Result<Standing, StoreError> {
        let key = place.key;
        place::check(key)?;
        if let Some(path) = key.strip_suffix(b"/") {
            if content.length() > 0 {
                return Err(StoreError::Refused {
                    message: format!("{} is a directory here and holds no bytes", shown(key)),
                    remedy: "map it elsewhere or leave it out".to_owned(),
                });
            }
            return self.make_directory(path, stamp, place.wanted);
        }
        let opened = self.stage.open().map_err(|errno| self.failed("write", key, errno))?;
        let draft =
            opened.draft(stamp.attempt).map_err(|errno| self.failed("write", key, errno))?;
        let pieces = content.pieces().iter().map(|piece| &piece[..]);
        sparse::write(&draft.file, pieces, 0, content.length())
            .map_err(|error| io_failure("write", &self.root.shown(key), &error))?;
        self.finish(place, draft, opened.folder(), stamp, content.crc32c())
    }

    /// Stamps a file whose bytes are there, makes it durable and puts it under its name.
    fn finish(
        &self,
        place: &Place<'_>,
        draft: Draft<'_>,
        folder: &OwnedFd,
        stamp: &Stamp,
        crc32c: u32,
    ) -> Result<Standing, StoreError> {
        let key = place.key;
        let stamp = &self.belonging(key, stamp)?;
        let owned = seal::seal(&draft.file, stamp, crc32c, None, &self.accounts)
            .and_then(|owned| fsync(&draft.file).map(|()| owned))
            .map_err(|errno| self.failed("write", key, errno))?;
        self.keep_security(key, &draft.file)?;
        let (directory, name) = place.install(&self.root, folder, &draft.name, self.of_keys)?;
        draft.keep();
        self.count(owned);
        self.standing(&directory, &name, key, stamp, crc32c)
    }

    fn standing(
        &self,
        directory: &OwnedFd,
        name: &[u8],
        key: &[u8],
        stamp: &Stamp,
        crc32c: u32,
    ) -> Result<Standing, StoreError> {
        let look = node::look(directory, name).map_err(|errno| StoreError::Unknown {
            message: format!("{} cannot be looked at after the write: {errno}", shown(key)),
        })?;
        Ok(Standing {
            length: look.stx_size,
            etag: Some(seal::etag(&look)),
            version: None,
            crc32c: Some(crc32c),
            attempt: Some(AttemptNumber(stamp.attempt)),
            migration: Some(stamp.migration.clone()),
            metadata: None,
        })
    }

    fn make_directory(
        &self,
        path: &[u8],
        stamp: &Stamp,
        wanted: &Wanted,
    ) -> Result<Standing, StoreError> {
        let _leave = wanted.leave(path)?;
        let directory = self.directory(path)?;
        let owned = seal::seal_directory(&directory, stamp, &self.accounts)
            .and_then(|owned| fsync(&directory).map(|()| owned))
            .map_err(|errno| self.failed_below("make", path, errno))?;
        self.count(owned);
        Ok(Standing {
            attempt: Some(AttemptNumber(stamp.attempt)),
            migration: Some(stamp.migration.clone()),
            ..Standing::default()
        })
    }

    fn complete(
        &self,
        place: &Place<'_>,
        upload: &str,
        parts: &[Part],
        crc32c: u32,
    ) -> Result<Standing, StoreError> {
        let key = place.key;
        let length = upload::check_parts(key, parts, crc32c)?;
        let Some(stamp) = upload::stamp(&self.stage, key, upload)? else {
            return self.completed_before(key, upload, crc32c);
        };
        let opened = self.stage.open().map_err(|errno| self.failed("complete", key, errno))?;
        let file = match opened.reopen(upload) {
            Ok(file) => file,
            Err(Errno::NOENT) => return self.completed_before(key, upload, crc32c),
            Err(errno) => return Err(self.failed("complete", key, errno)),
        };
        let look = node::look(&file, b"").map_err(|errno| self.failed("complete", key, errno))?;
        if look.stx_size != length {
            let bytes = look.stx_size;
            return Err(StoreError::Corrupt {
                message: format!("the upload of {} has {bytes} bytes, not {length}", shown(key)),
                remedy: "it is uploaded again".to_owned(),
            });
        }
        let stamp = self.belonging(key, &stamp)?;
        let owned = seal::seal(&file, &stamp, crc32c, Some(upload), &self.accounts)
            .and_then(|owned| fsync(&file).map(|()| owned))
            .map_err(|errno| self.failed("complete", key, errno))?;
        self.keep_security(key, &file)?;
        let (directory, name) = place.install(&self.root, opened.folder(), upload, self.of_keys)?;
        self.count(owned);
        // The bytes stand; what was written down beside them is of no use any more.
        let _ = upload::abort(&self.stage, key, upload);
        self.standing(&directory, &name, key, &stamp, crc32c)
    }

    /// A completion that is asked for again after its success succeeds again.
    fn completed_before(
        &self,
        key: &[u8],
        upload: &str,
        crc32c: u32,
    ) -> Result<Standing, StoreError> {
        let found = self.root.parent(key).and_then(|(parent, name)| {
            let look = node::look(&parent, name)?;
            Ok(seal::checksum(&parent, name, &look))
        });
        let ours = matches!(&found, Ok(Some(checksum))
            if checksum.upload.as_deref() == Some(upload) && checksum.crc32c == crc32c);
        match self.inspect(key)? {
            Some(object) if ours => Ok(object.into()),
            Some(_) | None => Err(upload::gone_or(key, Errno::NOENT)),
        }
    }

    fn copy(
        &self,
        from: &CopySource,
        place: &Place<'_>,
        stamp: &Stamp,
    ) -> Result<Standing, StoreError> {
        let key = place.key;
        place::check(key)?;
        if let Some(path) = key.strip_suffix(b"/") {
            return self.make_directory(path, stamp, place.wanted);
        }
        let source = copying::open(&self.root, from)?;
        if from.key == key {
            let crc32c = source.crc32c(from)?;
            let _leave = place.wanted.leave(key)?;
            let owned = seal::unlock(&source.file)
                .and_then(|()| seal::seal(&source.file, stamp, crc32c, None, &self.accounts))
                .and_then(|owned| fsync(&source.file).map(|()| owned))
                .map_err(|errno| self.failed_below("change", key, errno))?;
            self.count(owned);
            let (parent, name) =
                self.root.parent(key).map_err(|errno| self.failed_below("look at", key, errno))?;
            return self.standing(&parent, name, key, stamp, crc32c);
        }
        let opened = self.stage.open().map_err(|errno| self.failed("copy to", key, errno))?;
        let draft =
            opened.draft(stamp.attempt).map_err(|errno| self.failed("copy to", key, errno))?;
        source.copy_into(&draft.file, key)?;
        let crc32c = source.crc32c(from)?;
        source.check(from)?;
        self.finish(place, draft, opened.folder(), stamp, crc32c)
    }

    fn remove(
        &self,
        items: &[(Vec<u8>, Expected)],
        wanted: &Wanted,
    ) -> Vec<Result<(), StoreError>> {
        let mut touched = std::collections::BTreeSet::new();
        let mut outcomes: Vec<Result<(), StoreError>> = Vec::with_capacity(items.len());
        for (key, expected) in items {
            let outcome = self.remove_one(&Place { key, expected, wanted });
            if matches!(outcome, Ok(true)) {
                let path = key.strip_suffix(b"/").unwrap_or(key);
                let above = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                touched.insert(path[..above].to_vec());
            }
            outcomes.push(outcome.map(|_| ()));
        }
        for directory in touched {
            let synced = self
                .root
                .directory(&directory)
                .and_then(|handle| open_quietly(handle, b"", OFlags::DIRECTORY))
                .and_then(fsync);
            match synced {
                Ok(()) => {}
                // It went too, with a later key or by another hand.
                Err(errno) if is_absent(errno) => {}
                Err(errno) => {
                    let message = format!("removals are not known to be durable: {errno}");
                    outcomes.fill(Err(StoreError::Unknown { message }));
                }
            }
        }
        outcomes
    }

    /// True if something was removed.
    fn remove_one(&self, place: &Place<'_>) -> Result<bool, StoreError> {
        let key = place.key;
        place::check(key)?;
        let (path, flags) = match key.strip_suffix(b"/") {
            Some(path) => (path, AtFlags::REMOVEDIR),
            None => (key, AtFlags::empty()),
        };
        let _leave = place.wanted.leave(key)?;
        let parent = self.root.parent(path);
        if let Ok((parent, name)) = &parent
            && flags.is_empty()
            && place::stands(parent, name)
        {
            place.check(parent, name)?;
        }
        let removed = parent.and_then(|(parent, name)| unlinkat(parent, name, flags));
        match removed {
            Ok(()) => Ok(true),
            Err(errno) if is_absent(errno) => Ok(false),
            // A directory that holds something is no marker; a directory is no file.
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::ISDIR) => Ok(false),
            Err(errno) => Err(self.failed_below("remove", key, errno)),
        }
    }

    fn inspect(&self, key: &[u8]) -> Result<Option<Object>, StoreError> {
        place::check(key)?;
        let path = key.strip_suffix(b"/").unwrap_or(key);
        let described = self.root.parent(path).and_then(|(parent, name)| {
            let look = node::look(&parent, name)?;
            let directory = node::file_type(&look) == FileType::Directory;
            if directory != key.ends_with(b"/") {
                return Err(Errno::NOENT);
            }
            seal::described(&parent, name, key, &self.accounts)
        });
        match described {
            Ok(object) => Ok(Some(object)),
            Err(errno) if is_absent(errno) => Ok(None),
            Err(errno) => Err(self.failed_below("look at", key, errno)),
        }
    }

    fn read(&self, key: &[u8], pieces: &mut Pieces<'_>) -> Result<(), StoreError> {
        self.check_root()?;
        place::check(key)?;
        if key.ends_with(b"/") {
            return Ok(());
        }
        let failed = |errno| self.failed_below("read", key, errno);
        let (parent, name) = self.root.parent(key).map_err(failed)?;
        let file = open_quietly(parent, name, OFlags::empty()).map_err(failed)?;
        let look = node::look(&file, b"").map_err(failed)?;
        if node::file_type(&look) != FileType::RegularFile {
            return Err(failed(Errno::NOENT));
        }
        hand_out(&file, key, 0..look.stx_size, pieces, || Ok(()))
    }
}

#[cfg(test)]
mod tests;
