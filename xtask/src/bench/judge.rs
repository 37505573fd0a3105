//! Whether what arrived is what was to be copied. It looks behind the server's interface: at the
//! files that the gateway wrote, or at what the sink counted while it read.

use std::error::Error;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use whimbrel_testbed::Sunk;

use super::tree::Contents;

/// Differences that are named.
const NAMED_MAX: usize = 3;
/// What the gateway keeps for itself in a bucket.
const GATEWAY_FOLDER: &str = ".sgwtmp";

/// Fails with the first differences.
pub fn compare(expected: &Contents, found: &Contents) -> Result<(), String> {
    let mut wrong = Vec::new();
    for (path, file) in expected {
        match found.get(path) {
            Some(other) if other == file => {}
            Some(other) => wrong.push(format!("{path} is {other:?} in place of {file:?}")),
            None => wrong.push(format!("{path} is missing")),
        }
    }
    let extra = found.keys().filter(|path| !expected.contains_key(*path));
    wrong.extend(extra.map(|path| format!("{path} is too much")));
    if wrong.is_empty() {
        return Ok(());
    }
    let named = wrong.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join("; ");
    Err(format!("{} of {} files are not right: {named}", wrong.len(), expected.len()))
}

/// What stands in a sink's bucket below a prefix; markers of directories aside.
pub fn sunk(bucket: Contents, prefix: &str) -> Contents {
    let files = bucket.into_iter().filter(|(key, _)| !key.ends_with('/'));
    let below = |(key, sunk): (String, Sunk)| {
        let path = key.strip_prefix(prefix).map_or_else(|| format!("//{key}"), str::to_owned);
        (path, sunk)
    };
    files.map(below).collect()
}

/// What stands in a folder, read to the last byte.
pub fn read(root: &Path) -> Result<Contents, Box<dyn Error>> {
    let mut contents = Contents::new();
    let mut buffer = vec![0; 1 << 20];
    let mut pending = vec![root.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                if !path.ends_with(GATEWAY_FOLDER) {
                    pending.push(path);
                }
                continue;
            }
            let name = path.strip_prefix(root)?.to_str().ok_or("a name is not UTF-8")?.to_owned();
            contents.insert(name, read_file(&path, &mut buffer)?);
        }
    }
    Ok(contents)
}

fn read_file(path: &Path, buffer: &mut [u8]) -> std::io::Result<Sunk> {
    let mut file = File::open(path)?;
    let mut sunk = Sunk { bytes: 0, crc32c: 0 };
    loop {
        let count = file.read(buffer)?;
        if count == 0 {
            return Ok(sunk);
        }
        sunk.bytes += count as u64;
        sunk.crc32c = crc32c::crc32c_append(sunk.crc32c, &buffer[..count]);
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_testbed::Sunk;

    use super::{Contents, compare};

    #[test]
    fn anything_missing_other_or_too_much_is_told() {
        let one = |name: &str, crc32c| (name.to_owned(), Sunk { bytes: 1, crc32c });
        let expected = Contents::from([one("a", 1), one("b", 2)]);
        assert_eq!(compare(&expected, &expected), Ok(()));
        for wrong in [vec![one("a", 1)], vec![one("a", 1), one("b", 3)]] {
            assert!(compare(&expected, &wrong.into_iter().collect()).is_err());
        }
        let more = expected.clone().into_iter().chain([one("c", 3)]).collect();
        assert!(compare(&expected, &more).unwrap_err().contains("c is too much"));
    }
}
