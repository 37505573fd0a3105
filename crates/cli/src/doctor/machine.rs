//! What this machine has to offer: a place for the state, disk, watches.

use std::path::{Path, PathBuf};

use whimbrel_core::failure::Side;

use super::Check;
use crate::location::Location;
use crate::output::result::{bytes, grouped};

const FREE_BYTES_MIN: u64 = 100 << 20;
const FREE_BYTES_GOOD: u64 = 5 << 30;
const WATCHES_GOOD: u64 = 500_000;
const OPEN_FILES_GOOD: u64 = 4096;
const WATCHES: &str = "/proc/sys/fs/inotify/max_user_watches";

/// Looks at the state folder and at what the kernel allows.
pub fn checks(folder: &Path, source: &Location, live: bool) -> Vec<Check> {
    let mut checks = vec![writable(folder), disk(folder), open_files()];
    if live && matches!(source, Location::Local { .. }) {
        checks.push(watches());
    }
    checks
}

/// The folder itself, or what will hold it.
fn existing_part(folder: &Path) -> PathBuf {
    let mut ancestors = folder.ancestors();
    ancestors.find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned()
}

fn writable(folder: &Path) -> Check {
    let name = "state folder";
    let place = existing_part(folder);
    let remedy = "make it writable for this user, or say --state DIR";
    if !place.is_dir() {
        let told = format!("{} is no directory", place.display());
        return Check::problem(Side::Local, name, told, remedy);
    }
    let probe = place.join(format!(".whimbrel-probe-{}", std::process::id()));
    let tried = std::fs::write(&probe, b"probe").and_then(|()| std::fs::remove_file(&probe));
    match tried {
        Ok(()) => Check::fine(Side::Local, name, folder.display().to_string()),
        Err(error) => {
            let told = format!("{} cannot be written: {error}", place.display());
            Check::problem(Side::Local, name, told, remedy)
        }
    }
}

fn disk(folder: &Path) -> Check {
    let name = "disk of the state folder";
    let place = existing_part(folder);
    let free = match rustix::fs::statvfs(&place) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => {
            let told = format!("{} cannot be asked: {error}", place.display());
            return Check::warning(Side::Local, name, told, "look with df how full it is");
        }
    };
    let told = format!("{} are free", bytes(free));
    let remedy = "make room, or put the state elsewhere with --state DIR; a million files take \
                  about 500 MB";
    match free {
        ..FREE_BYTES_MIN => Check::problem(Side::Local, name, told, remedy),
        FREE_BYTES_MIN..FREE_BYTES_GOOD => Check::warning(Side::Local, name, told, remedy),
        FREE_BYTES_GOOD.. => Check::fine(Side::Local, name, told),
    }
}

fn open_files() -> Check {
    let name = "open files";
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    match limit.current {
        Some(allowed @ ..OPEN_FILES_GOOD) => Check::warning(
            Side::Local,
            name,
            format!("this user may have {allowed} files open at the same time"),
            format!("ulimit -n {OPEN_FILES_GOOD}, or fewer --transfers"),
        ),
        Some(allowed) => Check::fine(Side::Local, name, format!("{allowed} are allowed")),
        None => Check::fine(Side::Local, name, "no limit"),
    }
}

/// A live migration of a local tree watches every directory.
fn watches() -> Check {
    let name = "inotify watches";
    let read = std::fs::read_to_string(WATCHES).ok();
    let allowed = read.and_then(|text| text.trim().parse::<u64>().ok());
    let remedy = "sysctl fs.inotify.max_user_watches=1048576; each directory takes one";
    match allowed {
        None => Check::warning(Side::Local, name, format!("{WATCHES} cannot be read"), remedy),
        Some(allowed @ ..WATCHES_GOOD) => {
            let told = format!("this user may watch {} directories", grouped(allowed));
            Check::warning(Side::Local, name, told, remedy)
        }
        Some(allowed) => {
            let told = format!("this user may watch {} directories", grouped(allowed));
            Check::fine(Side::Local, name, told)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Finding;

    #[test]
    fn a_file_in_the_way_of_the_state_folder_is_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        let fine = writable(&folder.path().join("a/b"));
        assert!(matches!(fine.finding, Finding::Fine(_)), "{fine:?}");
        std::fs::write(folder.path().join("a"), b"").unwrap();
        let problem = writable(&folder.path().join("a/b"));
        assert!(matches!(problem.finding, Finding::Problem { .. }), "{problem:?}");
    }
}
