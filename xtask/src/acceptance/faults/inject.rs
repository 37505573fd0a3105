//! Does it: through the target's interface by the SDK of AWS, at the source by Hadoop's client, and
//! below both to the files that servers keep their bytes in.

use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::plan::{Fault, Kind};
use crate::acceptance::ground::{FOLDER, Ground};

/// Where objects are kept that are put back as an older version: in the bucket, beside the target.
const KEPT: &str = "/kept";

/// Keeps the objects that will come back as an older version, and has their files change.
pub fn keep_older(ground: &Ground, faults: &[Fault]) -> Result<(), Box<dyn Error>> {
    let older = || faults.iter().filter(|fault| fault.kind == Kind::Older);
    let copies = older().flat_map(|fault| {
        let copy =
            |path| json!({"operation": "copy", "path": path, "to": format!("{KEPT}/{path}")});
        fault.paths.iter().map(copy)
    });
    ground.checker()?.s3_operations(ground.target(), &copies.collect::<Vec<_>>())?;
    rewrite(ground, older())
}

/// Makes all of them.
pub fn inject(ground: &Ground, faults: &[Fault]) -> Result<(), Box<dyn Error>> {
    let mut operations = Vec::new();
    for fault in faults {
        operations.extend(operation(ground, fault)?);
    }
    ground.checker()?.s3_operations(ground.target(), &operations)?;
    rewrite(ground, faults.iter().filter(|fault| fault.kind == Kind::Rewritten))?;
    for fault in faults.iter().filter(|fault| fault.kind == Kind::FlippedOnTarget) {
        flip_on_target(ground, fault)?;
    }
    flip_at_source(ground, faults)
}

/// What a person does about what a migration alone does not make good: bits turn back at the source,
/// and of the target go the objects whose bytes or metadata alone are wrong.
pub fn clear_hidden(ground: &Ground, faults: &[Fault]) -> Result<(), Box<dyn Error>> {
    flip_at_source(ground, faults)?;
    let hidden = |fault: &&Fault| matches!(fault.kind, Kind::FlippedOnTarget | Kind::Metadata);
    let removed = faults.iter().filter(hidden).flat_map(|fault| &fault.paths);
    let removed = removed.map(|path| json!({"operation": "remove", "path": path}));
    Ok(ground.checker()?.s3_operations(ground.target(), &removed.collect::<Vec<_>>())?)
}

/// What is asked of the S3 server; nothing for faults that are made elsewhere.
fn operation(ground: &Ground, fault: &Fault) -> Result<Option<Value>, Box<dyn Error>> {
    let [path, others @ ..] = fault.paths.as_slice() else { return Ok(None) };
    Ok(Some(match fault.kind {
        Kind::Overwritten => {
            json!({"operation": "flip", "path": path, "position": within(ground, fault)?})
        }
        Kind::Removed => json!({"operation": "remove", "path": path}),
        Kind::Added => {
            let text = if path.ends_with('/') { "" } else { "added" };
            json!({"operation": "put", "path": path, "text": text})
        }
        Kind::Truncated => {
            json!({"operation": "truncate", "path": path, "length": within(ground, fault)?})
        }
        Kind::Swapped => json!({"operation": "swap", "path": path, "with": others.first()}),
        Kind::Older => json!({"operation": "copy", "path": format!("{KEPT}/{path}"), "to": path}),
        Kind::Metadata => {
            json!({"operation": "set_metadata", "path": path, "metadata": metadata(fault.draw)})
        }
        Kind::Rewritten | Kind::FlippedOnTarget | Kind::FlippedAtSource => return Ok(None),
    }))
}

/// One field that is another, one that came, a digest of something else, or nothing left.
fn metadata(draw: u64) -> Value {
    let acl = "user::rw-,user:mallory:rw-,group::r--,mask::rw-,other::r--";
    match draw % 7 {
        0 => json!({"whimbrel-owner": "mallory"}),
        1 => json!({"whimbrel-group": "strangers"}),
        2 => json!({"whimbrel-mode": "0777"}),
        3 => json!({"mtime": "1700000000.001"}),
        4 => json!({"whimbrel-acl": acl}),
        5 => json!({"whimbrel-owner": null, "whimbrel-owner-digest": "0".repeat(64)}),
        _ => json!({
            "mtime": null, "whimbrel-owner": null, "whimbrel-group": null, "whimbrel-mode": null,
        }),
    }
}

/// New bytes of the same length, with the old times put back.
fn rewrite<'a>(
    ground: &Ground,
    faults: impl Iterator<Item = &'a Fault>,
) -> Result<(), Box<dyn Error>> {
    let rewritten = faults.flat_map(|fault| {
        // The seed is a signed number there.
        let seed = fault.draw >> 1;
        let of = move |path| {
            json!({"operation": "rewrite_same", "path": format!("{FOLDER}/{path}"), "seed": seed})
        };
        fault.paths.iter().map(of)
    });
    ground.hadoop()?.operations(&rewritten.collect::<Vec<_>>())?;
    Ok(())
}

fn flip_at_source(ground: &Ground, faults: &[Fault]) -> Result<(), Box<dyn Error>> {
    for fault in faults.iter().filter(|fault| fault.kind == Kind::FlippedAtSource) {
        let position = within(ground, fault)?;
        for path in &fault.paths {
            ground.hadoop()?.flip_bit(&format!("{FOLDER}/{path}"), position)?;
        }
    }
    Ok(())
}

/// As a disk does it: the time of the server's file stays.
fn flip_on_target(ground: &Ground, fault: &Fault) -> Result<(), Box<dyn Error>> {
    let position = within(ground, fault)?;
    let file = File::options().read(true).write(true).open(file(ground, fault)?)?;
    let modified = file.metadata()?.modified()?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, position)?;
    file.write_all_at(&[byte[0] ^ 1], position)?;
    Ok(file.set_modified(modified)?)
}

/// A place in the file that the fault drew.
fn within(ground: &Ground, fault: &Fault) -> Result<u64, Box<dyn Error>> {
    let length = file(ground, fault)?.metadata()?.len();
    fault.draw.checked_rem(length).ok_or_else(|| format!("{:?} is empty", fault.paths).into())
}

/// Where the S3 server keeps the bytes; they are as long as the source's.
fn file(ground: &Ground, fault: &Fault) -> Result<PathBuf, Box<dyn Error>> {
    let path = fault.paths.first().ok_or("a fault without a path")?;
    Ok(ground.target_files().join(path))
}
