//! A migration's name, and the folder that its durable state lives in.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::exit::CommandError;
use crate::location::Location;

const NAME_BYTES_MAX: usize = 100;
const SLUG_BYTES_MAX: usize = 32;

/// Where one migration's state is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatePlace {
    /// The migration's name.
    pub name: String,
    /// Its state folder; need not exist yet.
    pub folder: PathBuf,
}

/// The place of a migration between two locations, as far as name and folder are not given.
///
/// # Errors
/// A name that cannot be a folder's, or no home folder to put the default into.
pub fn place(
    source: &Location,
    target: &Location,
    name: Option<&str>,
    folder: Option<&Path>,
) -> Result<StatePlace, CommandError> {
    let name = name.map_or_else(|| derived_name(source, target), str::to_owned);
    named(&name, folder)
}

/// The place of the migration called `name`.
///
/// # Errors
/// A name that cannot be a folder's, or no home folder to put the default into.
pub fn named(name: &str, folder: Option<&Path>) -> Result<StatePlace, CommandError> {
    check(name)?;
    let folder = match folder {
        Some(given) => absolute(given),
        None => absolute(&root()?.join(name)),
    };
    Ok(StatePlace { name: name.to_owned(), folder })
}

/// The place of a migration that has a state.
///
/// # Errors
/// There is none of that name.
pub fn existing(name: &str, folder: Option<&Path>) -> Result<StatePlace, CommandError> {
    standing(named(name, folder)?)
}

/// The place of the migration whose state folder is given, by the folder's name.
///
/// # Errors
/// No such folder.
pub fn existing_folder(folder: &Path) -> Result<StatePlace, CommandError> {
    let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
    standing(StatePlace { folder: folder.to_owned(), name })
}

fn standing(place: StatePlace) -> Result<StatePlace, CommandError> {
    if place.folder.is_dir() {
        return Ok(place);
    }
    let (name, folder) = (&place.name, place.folder.display());
    Err(CommandError::usage(
        format!("there is no migration {name}: {folder} does not exist"),
        "whimbrel status shows the names; say --state DIR where the state lies elsewhere",
    ))
}

/// The places of all migrations that this user has, by name.
///
/// # Errors
/// No home folder, or a folder that cannot be read.
pub fn all() -> Result<Vec<StatePlace>, CommandError> {
    let root = root()?;
    let entries = match std::fs::read_dir(&root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            let told = format!("the state folder {} cannot be read: {error}", root.display());
            return Err(CommandError::local(told, "give this user the right to read it"));
        }
    };
    let mut places: Vec<StatePlace> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .map(|name| StatePlace { folder: root.join(&name), name })
        .collect();
    places.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(places)
}

/// Makes a state folder that lies elsewhere findable by the migration's name. Only a convenience:
/// what fails here is not worth ending a migration for.
pub fn register(place: &StatePlace) {
    let Ok(root) = root() else { return };
    let link = root.join(&place.name);
    if link == place.folder {
        return;
    }
    match std::fs::symlink_metadata(&link) {
        Ok(metadata) if !metadata.is_symlink() => return,
        Ok(_) => {
            if std::fs::remove_file(&link).is_err() {
                return;
            }
        }
        Err(_) => {}
    }
    let made = std::fs::create_dir_all(&root)
        .and_then(|()| std::os::unix::fs::symlink(&place.folder, &link));
    if let Err(error) = made {
        tracing::warn!(%error, link = %link.display(), "the state folder was not linked");
    }
}

/// Readable, the same for the same two locations, different for others.
pub(crate) fn derived_name(source: &Location, target: &Location) -> String {
    let (source, target) = (source.url(), target.url());
    let mut both = source.as_bytes().to_vec();
    both.push(0);
    both.extend_from_slice(target.as_bytes());
    // Two checksums of the same bytes in different order: 64 bits tell any two of one user apart.
    let first = crc32c::crc32c(&both);
    both.reverse();
    let second = crc32c::crc32c(&both);
    format!(
        "{}-to-{}-{first:08x}{second:08x}",
        slug(&source.to_string_lossy()),
        slug(&target.to_string_lossy())
    )
}

/// Letters and digits of a URL, the rest folded into single hyphens; the end where it is too long.
fn slug(url: &str) -> String {
    let mut slug = String::new();
    for character in url.chars() {
        if character.is_ascii_alphanumeric() {
            slug.push(character.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let from = slug.len().saturating_sub(SLUG_BYTES_MAX);
    slug[from..].trim_matches('-').to_owned()
}

pub(crate) fn check(name: &str) -> Result<(), CommandError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.starts_with(['.', '-'])
        && name.bytes().all(plain)
    {
        return Ok(());
    }
    Err(CommandError::usage(
        format!("{name:?} is no name for a migration"),
        "use at most 100 letters, digits, '-', '_' and '.', beginning with a letter or digit",
    ))
}

/// Where the key lies that signs this user's reports. No migration can have that name.
///
/// # Errors
/// No home folder.
pub fn report_key() -> Result<PathBuf, CommandError> {
    Ok(root()?.join(".report-key.pk8"))
}

/// The folder and the name of the file that tells how far a comparison of these two locations is:
/// with the state of their migration, or where it would be. No migration can have that name.
///
/// # Errors
/// No home folder.
pub fn notes(place: &StatePlace) -> Result<(PathBuf, String), CommandError> {
    if place.folder.is_dir() {
        return Ok((place.folder.clone(), "verify.json".to_owned()));
    }
    Ok((root()?, format!(".verify-{}.json", place.name)))
}

fn root() -> Result<PathBuf, CommandError> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let given = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).and_then(absolute);
    let home = || std::env::home_dir().map(|home| home.join(".local/state"));
    let base = given.or_else(home).ok_or_else(|| {
        CommandError::local(
            "there is no home folder to keep the state in",
            "set XDG_STATE_HOME or HOME, or say --state DIR",
        )
    })?;
    Ok(base.join("whimbrel"))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn name(source: &str, target: &str) -> String {
        let read = |text: &str| Location::parse(OsStr::new(text)).unwrap();
        derived_name(&read(source), &read(target))
    }

    #[test]
    fn names_are_readable_stable_and_distinct() {
        let given = name("hdfs://nn:8020/data", "s3://bucket/p");
        assert!(given.starts_with("hdfs-nn-8020-data-to-s3-bucket-p-"), "{given}");
        assert_eq!(given, name("hdfs://nn:8020/data/", "s3a://bucket/p/"));
        assert_ne!(given, name("hdfs://nn:8020/data", "s3://bucket/q"));
        assert_ne!(name("/a-b", "/c"), name("/a_b", "/c"));
        let long = name(&format!("/{}", "x".repeat(300)), "s3://b/\u{e9}");
        assert!(check(&long).is_ok(), "{long}");
        assert!(check(&name("/", "/\u{e9}")).is_ok());
    }

    #[test]
    fn names_that_are_refused() {
        for name in ["", ".", "..", "a/b", "-a", "a b", "\u{e9}", &"x".repeat(101)] {
            assert!(check(name).is_err(), "{name}");
        }
    }
}
