//! SQLite's seam for file access, over the disks of this crate.
//!
//! It does what SQLite's own VFS for Unix does with a disk: no byte beside those that are written
//! changes, and the folder is synced with the first sync of a journal or log that was opened to be
//! created. It has no shared memory: the ledger uses its database alone. A write-ahead log goes to
//! the database after [`LOG_PAGES`] pages, so that it does so often.

#![allow(unsafe_code, reason = "SQLite calls C functions with raw pointers; nothing else is here")]

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::size_of;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use rusqlite::ffi;

use crate::disk::{Disk, Failure};

/// The name to open a database with.
pub const NAME: &str = "crash";
/// See above; as many digits as the ledger asks for.
pub const LOG_PAGES: &CStr = c"0064";

const C_NAME: &CStr = c"crash";
const PATH_BYTES_MAX: c_int = 1024;
const SECTOR_BYTES: c_int = 4096;

static DISKS: Mutex<BTreeMap<PathBuf, Arc<Disk>>> = Mutex::new(BTreeMap::new());

/// A disk in the place of a folder, until this is dropped.
#[derive(Debug)]
pub struct Mount(PathBuf);

impl Mount {
    /// Databases that are opened by [`NAME`] in the folder lie on the disk.
    pub fn new(folder: &Path, disk: Arc<Disk>) -> Self {
        static REGISTERED: Once = Once::new();
        REGISTERED.call_once(register);
        disks().insert(folder.to_owned(), disk);
        Self(folder.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        disks().remove(&self.0);
    }
}

fn disks() -> MutexGuard<'static, BTreeMap<PathBuf, Arc<Disk>>> {
    DISKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What SQLite holds of an open file; it allocates the room, and begins with its own part.
#[repr(C)]
struct Open {
    base: ffi::sqlite3_file,
    handle: *mut Handle,
}

struct Handle {
    disk: Arc<Disk>,
    file: usize,
    /// The folder is synced with the file.
    with_folder: bool,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(lock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

fn register() {
    let vfs = Box::leak(Box::new(ffi::sqlite3_vfs {
        iVersion: 1,
        szOsFile: c_int::try_from(size_of::<Open>()).unwrap_or(c_int::MAX),
        mxPathname: PATH_BYTES_MAX,
        pNext: ptr::null_mut(),
        zName: C_NAME.as_ptr(),
        pAppData: ptr::null_mut(),
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_pathname),
        xDlOpen: None,
        xDlError: None,
        xDlSym: None,
        xDlClose: None,
        xRandomness: Some(randomness),
        xSleep: Some(sleep),
        xCurrentTime: Some(current_time),
        xGetLastError: None,
        xCurrentTimeInt64: None,
        xSetSystemCall: None,
        xGetSystemCall: None,
        xNextSystemCall: None,
    }));
    // SAFETY: the structure lives for ever.
    unsafe { ffi::sqlite3_vfs_register(vfs, 0) };
}

/// The disk of a path, and the name there.
///
/// # Safety
/// `path` is null or a C string.
unsafe fn place(path: *const c_char) -> Option<(Arc<Disk>, String)> {
    if path.is_null() {
        return None;
    }
    // SAFETY: as promised above.
    let path = Path::new(unsafe { CStr::from_ptr(path) }.to_str().ok()?);
    let disk = disks().get(path.parent()?).cloned()?;
    Some((disk, path.file_name()?.to_str()?.to_owned()))
}

/// # Safety
/// `file` was opened by [`open`] and not closed since.
unsafe fn handle<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Handle {
    // SAFETY: SQLite uses a file from one thread at a time, and hands out what `open` wrote.
    unsafe { &mut *(*file.cast::<Open>()).handle }
}

fn at(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn code(done: Result<(), Failure>, broken: c_int) -> c_int {
    match done {
        Ok(()) => ffi::SQLITE_OK,
        Err(Failure::Full) => ffi::SQLITE_FULL,
        Err(Failure::Broken) => broken,
    }
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    const LOGS: c_int =
        ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL | ffi::SQLITE_OPEN_WAL;
    // SAFETY: SQLite gives room for an `Open`, a C string or null, and maybe room for flags.
    unsafe {
        (*file).pMethods = ptr::null();
        let Some((disk, name)) = place(path) else { return ffi::SQLITE_CANTOPEN };
        let create = flags & ffi::SQLITE_OPEN_CREATE != 0;
        let Ok(Some(number)) = disk.open(&name, create) else { return ffi::SQLITE_CANTOPEN };
        let with_folder = create && flags & LOGS != 0;
        let handle = Box::into_raw(Box::new(Handle { disk, file: number, with_folder }));
        let base = ffi::sqlite3_file { pMethods: &raw const METHODS };
        file.cast::<Open>().write(Open { base, handle });
        if !out_flags.is_null() {
            *out_flags = flags;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: the handle was made by `open`; SQLite closes a file once.
    unsafe {
        drop(Box::from_raw((*file.cast::<Open>()).handle));
        (*file).pMethods = ptr::null();
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    into: *mut c_void,
    length: c_int,
    offset: i64,
) -> c_int {
    // SAFETY: SQLite gives `length` bytes of room.
    unsafe {
        let into = std::slice::from_raw_parts_mut(into.cast::<u8>(), at(length.into()));
        let handle = handle(file);
        let found = handle.disk.read(handle.file, at(offset), into);
        if found == into.len() {
            return ffi::SQLITE_OK;
        }
        into[found..].fill(0);
    }
    ffi::SQLITE_IOERR_SHORT_READ
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    length: c_int,
    offset: i64,
) -> c_int {
    // SAFETY: SQLite gives `length` bytes.
    unsafe {
        let from = std::slice::from_raw_parts(from.cast::<u8>(), at(length.into()));
        let handle = handle(file);
        code(handle.disk.write(handle.file, at(offset), from), ffi::SQLITE_IOERR_WRITE)
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: i64) -> c_int {
    // SAFETY: SQLite gives an open file.
    let handle = unsafe { handle(file) };
    code(handle.disk.truncate(handle.file, at(length)), ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: SQLite gives an open file.
    let handle = unsafe { handle(file) };
    let done = handle.disk.sync(handle.file, handle.with_folder);
    handle.with_folder &= done.is_err();
    code(done, ffi::SQLITE_IOERR_FSYNC)
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut i64) -> c_int {
    // SAFETY: SQLite gives an open file and room for the size.
    unsafe {
        let handle = handle(file);
        *size = i64::try_from(handle.disk.length(handle.file)).unwrap_or(i64::MAX);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn lock(_: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(_: *mut ffi::sqlite3_file, held: *mut c_int) -> c_int {
    // SAFETY: SQLite gives room for the answer.
    unsafe { *held = 0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(
    _: *mut ffi::sqlite3_file,
    what: c_int,
    argument: *mut c_void,
) -> c_int {
    if what == ffi::SQLITE_FCNTL_PRAGMA {
        // SAFETY: SQLite gives an array whose second string names the pragma; the third is its
        // value in a buffer of SQLite's own, or null. Its length stays.
        unsafe {
            let texts = argument.cast::<*mut c_char>();
            let (name, value) = (*texts.add(1), *texts.add(2));
            if CStr::from_ptr(name) == c"wal_autocheckpoint"
                && !value.is_null()
                && CStr::from_ptr(value).count_bytes() == LOG_PAGES.count_bytes()
            {
                ptr::copy(LOG_PAGES.as_ptr(), value, LOG_PAGES.count_bytes());
            }
        }
    }
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_: *mut ffi::sqlite3_file) -> c_int {
    SECTOR_BYTES
}

unsafe extern "C" fn device_characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE | ffi::SQLITE_IOCAP_SUBPAGE_READ
}

unsafe extern "C" fn delete(
    _: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    sync_folder: c_int,
) -> c_int {
    // SAFETY: SQLite gives a C string.
    let Some((disk, name)) = (unsafe { place(path) }) else { return ffi::SQLITE_IOERR_DELETE };
    match disk.remove(&name, sync_folder != 0) {
        Ok(true) => ffi::SQLITE_OK,
        Ok(false) => ffi::SQLITE_IOERR_DELETE_NOENT,
        Err(_) => ffi::SQLITE_IOERR_DELETE,
    }
}

unsafe extern "C" fn access(
    _: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    _: c_int,
    answer: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives a C string and room for the answer.
    unsafe {
        let found = place(path).is_some_and(|(disk, name)| disk.exists(&name));
        *answer = c_int::from(found);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    length: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite gives a C string and `length` bytes of room.
    unsafe {
        let bytes = CStr::from_ptr(path).count_bytes() + 1;
        if bytes > at(length.into()) {
            return ffi::SQLITE_CANTOPEN;
        }
        ptr::copy(path, out, bytes);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn randomness(
    _: *mut ffi::sqlite3_vfs,
    length: c_int,
    into: *mut c_char,
) -> c_int {
    // SAFETY: SQLite gives `length` bytes of room.
    unsafe { ptr::write_bytes(into, 0, at(length.into())) };
    length
}

unsafe extern "C" fn sleep(_: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    microseconds
}

unsafe extern "C" fn current_time(_: *mut ffi::sqlite3_vfs, days: *mut f64) -> c_int {
    // SAFETY: SQLite gives room for the answer.
    unsafe { *days = 0.0 };
    ffi::SQLITE_OK
}
