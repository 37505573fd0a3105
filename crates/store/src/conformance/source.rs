//! The contract of a source.

use std::collections::BTreeMap;
use std::ops::Range;

use whimbrel_core::entry::{FileNode, Node};
use whimbrel_core::path::{Namespace, RelPath};

use super::{Outcome, Row, Verdict, drained, ensure, good, hostile_names, row, shown};
use crate::error::StoreError;
use crate::source::Source;

/// What the suite asks to be written to the source's system by other means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceWrite<'a> {
    /// A file with these bytes, directories above it made, over what is there.
    File(&'a [u8], &'a [u8]),
    /// An empty directory.
    Directory(&'a [u8]),
    /// Removes a file.
    Remove(&'a [u8]),
    /// A file of so many zero bytes (sparse where possible) and then these.
    Sparse(&'a [u8], u64, &'a [u8]),
}

/// Runs every check over an empty source. `write` carries a write out and says whether the source's
/// system can hold such a name at all; it is asked by others than the source under test.
pub async fn check_source<W>(source: &dyn Source, mut write: W) -> Vec<Row>
where
    W: FnMut(SourceWrite<'_>) -> Result<bool, String>,
{
    let mut rows = Vec::new();
    let mut held = BTreeMap::new();
    for name in hostile_names() {
        let path = [b"names/", name.as_slice()].concat();
        let body = [b"body of ", name.as_slice()].concat();
        match write(SourceWrite::File(&path, &body)) {
            Ok(true) => {
                held.insert(path, body);
            }
            Ok(false) => {
                let why = "its system holds no such name".to_owned();
                rows.push(row(format!("the name {}", shown(&name)), Ok(Verdict::Refused(why))));
            }
            Err(problem) => rows.push(row(format!("the name {}", shown(&name)), Err(problem))),
        }
    }
    for (path, body) in &held {
        let outcome = reads(source, path, body).await;
        rows.push(row(format!("the name {}", shown(path)), outcome.map(|_| Verdict::Kept)));
    }
    rows.push(row("a walk over all these names", walks(source, &held).await));
    rows.push(row("an empty file", empty(source, &mut write).await));
    rows.push(row("what is not there", absent(source).await));
    rows.push(row("more than 1,000 names", many(source, &mut write).await));
    rows.push(row("a range of a file", ranges(source, &mut write).await));
    rows.push(row("a file that was written anew", pinned(source, &mut write).await));
    rows.push(row("a file that is gone", gone(source, &mut write).await));
    rows.push(row("a large sparse file", sparse(source, &mut write).await));
    if source.namespace() == Namespace::Tree {
        rows.push(row("an empty directory", empty_directory(source, &mut write).await));
    }
    rows
}

async fn file(source: &dyn Source, path: &[u8]) -> Result<FileNode, String> {
    match good("stat", source.stat(&RelPath::new(path.to_vec())).await)? {
        Some(Node::File(node)) => Ok(node),
        other => Err(format!("stat of {} answers {other:?}", shown(path))),
    }
}

async fn bytes(
    source: &dyn Source,
    path: &[u8],
    node: &FileNode,
    range: Range<u64>,
) -> Result<Vec<u8>, StoreError> {
    drained(source.read(&RelPath::new(path.to_vec()), node, range)).await
}

async fn reads(source: &dyn Source, path: &[u8], body: &[u8]) -> Result<FileNode, String> {
    let node = file(source, path).await?;
    let length = node.identity.length();
    ensure(length == body.len() as u64, || format!("stat answers {length} bytes"))?;
    let found = good("read", bytes(source, path, &node, 0..length).await)?;
    ensure(found == body, || format!("other bytes are read from {}", shown(path)))?;
    let stored =
        source.stored_checksum(&RelPath::new(path.to_vec()), &node, node.identity.length()).await;
    let stored = good("stored checksum", stored)?;
    ensure(stored.is_none_or(|crc32c| crc32c == crc32c::crc32c(body)), || {
        "the stored CRC32C is another".to_owned()
    })?;
    Ok(node)
}

/// Every file below a directory, by listing alone.
async fn files(source: &dyn Source, top: &RelPath) -> Result<BTreeMap<Vec<u8>, FileNode>, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![top.clone()];
    while let Some(directory) = open.pop() {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let listed = good("list", source.list(&directory, after.as_deref()).await)?;
            let page = listed.ok_or_else(|| format!("no directory stands at {directory:?}"))?;
            for entry in page.entries {
                let name = match source.namespace() {
                    Namespace::Tree => entry.path.name().to_vec(),
                    Namespace::Flat => entry.path.as_bytes().to_vec(),
                };
                let ascends = after.as_ref().is_none_or(|after| *after < name);
                ensure(ascends, || format!("{} does not ascend", shown(&name)))?;
                after = Some(name);
                match entry.node {
                    Node::File(node) => {
                        found.insert(entry.path.as_bytes().to_vec(), node);
                    }
                    Node::Directory(_) => open.push(entry.path),
                    Node::Special(what) => return Err(format!("{:?} is a {what}", entry.path)),
                }
            }
            if !page.more {
                break;
            }
        }
    }
    Ok(found)
}

/// Where a walk over the names under `below` begins.
fn top(source: &dyn Source, below: &str) -> RelPath {
    match source.namespace() {
        Namespace::Tree => below.into(),
        Namespace::Flat => RelPath::root(),
    }
}

async fn walks(source: &dyn Source, held: &BTreeMap<Vec<u8>, Vec<u8>>) -> Outcome {
    let found = files(source, &top(source, "names")).await?;
    for path in held.keys() {
        let listed = found.get(path).ok_or_else(|| format!("{} is not listed", shown(path)))?;
        let looked = file(source, path).await?;
        ensure(listed.identity == looked.identity, || {
            format!("{}: listing and stat differ in identity", shown(path))
        })?;
    }
    let under = found.keys().filter(|path| path.starts_with(b"names/"));
    for path in under {
        ensure(held.contains_key(path), || format!("{} was never written", shown(path)))?;
    }
    Ok(Verdict::Kept)
}

type Write<'a> = &'a mut dyn FnMut(SourceWrite<'_>) -> Result<bool, String>;

async fn empty(source: &dyn Source, write: Write<'_>) -> Outcome {
    write(SourceWrite::File(b"empty", b""))?;
    reads(source, b"empty", b"").await?;
    Ok(Verdict::Kept)
}

async fn absent(source: &dyn Source) -> Outcome {
    let nowhere = ["absent", "absent/below", "names/plain/below"];
    // Of keys some servers make names of a file system, too.
    let tree = source.namespace() == Namespace::Tree;
    let in_no_tree = ["names//plain", "/names/plain"].into_iter().filter(|_| tree);
    for path in nowhere.into_iter().chain(in_no_tree) {
        let found = good("stat", source.stat(&path.into()).await)?;
        ensure(found.is_none(), || format!("something stands at {path}"))?;
    }
    if tree {
        for path in ["absent", "names/plain"] {
            let page = good("list", source.list(&path.into(), None).await)?;
            ensure(page.is_none(), || format!("{path} is listed"))?;
        }
    }
    Ok(Verdict::Kept)
}

async fn many(source: &dyn Source, write: Write<'_>) -> Outcome {
    let mut expected = Vec::new();
    for number in 0..2345 {
        let path = format!("many/{:05}", (number * 7919) % 100_000).into_bytes();
        write(SourceWrite::File(&path, b"x"))?;
        expected.push(path);
    }
    expected.sort();
    let found = files(source, &top(source, "many")).await?;
    let found: Vec<Vec<u8>> = found.into_keys().filter(|path| path.starts_with(b"many/")).collect();
    ensure(found == expected, || format!("{} names are listed", found.len()))?;
    Ok(Verdict::Kept)
}

async fn ranges(source: &dyn Source, write: Write<'_>) -> Outcome {
    let body: Vec<u8> = (0..3_000_000_u32).map(|place| (place % 251) as u8).collect();
    write(SourceWrite::File(b"ranges", &body))?;
    let node = reads(source, b"ranges", &body).await?;
    for range in [0..1, 0..1_048_576, 1_048_575..1_048_577, 2_999_999..3_000_000, 5..5] {
        let expected = &body[range.start as usize..range.end as usize];
        let found = good("read", bytes(source, b"ranges", &node, range.clone()).await)?;
        ensure(found == expected, || format!("{range:?} differs"))?;
    }
    Ok(Verdict::Kept)
}

/// Rule 3.1: the old bytes, or none.
async fn pinned(source: &dyn Source, write: Write<'_>) -> Outcome {
    write(SourceWrite::File(b"pinned", b"the old bytes"))?;
    let old = file(source, b"pinned").await?;
    write(SourceWrite::File(b"pinned", b"the new bytes"))?;
    let new = file(source, b"pinned").await?;
    ensure(old.identity != new.identity, || "both have one identity".to_owned())?;
    match bytes(source, b"pinned", &old, 0..13).await {
        Ok(found) => ensure(found == b"the old bytes", || "new bytes are read".to_owned())?,
        Err(StoreError::Moved { .. }) => {}
        Err(other) => return Err(format!("read: {other}")),
    }
    reads(source, b"pinned", b"the new bytes").await?;
    Ok(Verdict::Kept)
}

async fn gone(source: &dyn Source, write: Write<'_>) -> Outcome {
    write(SourceWrite::File(b"gone", b"bytes"))?;
    let node = file(source, b"gone").await?;
    write(SourceWrite::Remove(b"gone"))?;
    let found = good("stat", source.stat(&"gone".into()).await)?;
    ensure(found.is_none(), || "it still stands".to_owned())?;
    match bytes(source, b"gone", &node, 0..5).await {
        Ok(found) => ensure(found == b"bytes", || "other bytes are read".to_owned())?,
        Err(StoreError::Moved { .. }) => {}
        Err(other) => return Err(format!("read: {other}")),
    }
    Ok(Verdict::Kept)
}

async fn sparse(source: &dyn Source, write: Write<'_>) -> Outcome {
    const ZEROS: u64 = 40 * 1024 * 1024;
    if !write(SourceWrite::Sparse(b"sparse", ZEROS, b"end"))? {
        return Ok(Verdict::Refused("its system makes none".to_owned()));
    }
    let node = file(source, b"sparse").await?;
    let length = node.identity.length();
    ensure(length == ZEROS + 3, || format!("stat answers {length} bytes"))?;
    let tail = good("read", bytes(source, b"sparse", &node, ZEROS - 2..length).await)?;
    ensure(tail == b"\0\0end", || format!("its end reads {tail:?}"))?;
    let whole = good("read", bytes(source, b"sparse", &node, 0..length).await)?;
    let zeros = whole.iter().take_while(|byte| **byte == 0).count() as u64;
    ensure(whole.len() as u64 == length && zeros == ZEROS, || "other bytes".to_owned())?;
    Ok(Verdict::Kept)
}

async fn empty_directory(source: &dyn Source, write: Write<'_>) -> Outcome {
    write(SourceWrite::Directory(b"empty-directory"))?;
    let path = RelPath::from("empty-directory");
    match good("stat", source.stat(&path).await)? {
        Some(Node::Directory(node)) => {
            ensure(node.empty != Some(false), || "it is said to hold something".to_owned())?;
        }
        other => return Err(format!("stat answers {other:?}")),
    }
    let page = good("list", source.list(&path, None).await)?;
    let page = page.ok_or_else(|| "it is not listed".to_owned())?;
    ensure(page.entries.is_empty() && !page.more, || format!("{:?}", page.entries))?;
    write(SourceWrite::File(b"empty-directory/child", b"x"))?;
    match good("stat", source.stat(&path).await)? {
        Some(Node::Directory(node)) => {
            ensure(node.empty != Some(true), || "it is said to be empty".to_owned())?;
        }
        other => return Err(format!("stat answers {other:?}")),
    }
    Ok(Verdict::Kept)
}
