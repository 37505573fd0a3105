//! What must be true, whatever happened on the way.

use std::collections::BTreeMap;

use whimbrel_core::commit_marker;
use whimbrel_core::config::Extras;
use whimbrel_core::entry::Node;
use whimbrel_core::identity::Identity;
use whimbrel_core::migration::Progress;
use whimbrel_core::number::Time;
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Attempt, Change, DirectoryRecord, Parked, Part, Upload};
use whimbrel_ledger::Ledger;

use crate::coverage::Coverage;
use crate::options::Options;
use crate::world::source::{Content, Source};
use crate::world::target::{Object, Target, Writer};

/// How a history ended.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The seed.
    pub seed: u64,
    /// What is wrong; `None`: nothing.
    pub problem: Option<String>,
    /// Digest over everything that happened: the same seed gives the same.
    pub trace: u64,
    /// Happenings.
    pub steps: u64,
    /// How often it had what end in which way.
    pub coverage: Coverage,
}

impl Verdict {
    /// A history that went wrong.
    pub fn failed(seed: u64, problem: String, trace: u64) -> Self {
        Self { seed, problem: Some(problem), trace, steps: 0, coverage: Coverage::default() }
    }
}

/// What may go beyond the guard's bounds between its count and its word.
const UNGUARDED_OBJECTS: u64 = 2;
const UNGUARDED_PERCENT: u64 = 20;
/// Happenings between two looks at everything.
pub const PERIOD_STEPS: u64 = 97;

/// O1: when the source is quiet, the target equals it, metadata included. Foreign objects that the
/// source does not have may stand if they are `kept`.
pub fn differences(source: &Source, target: &Target, kept: bool) -> Option<String> {
    for (path, file) in source.files() {
        let Some((content, length, mode)) = file else { continue };
        if target.disturbed.contains(&path) {
            continue;
        }
        match target.objects.get(&path) {
            None => return Some(format!("{path} is missing")),
            Some(object) if object.content != content || object.length != length => {
                return Some(format!(
                    "{path} is {} where the source has {content}",
                    object.content
                ));
            }
            Some(object) if object.carried.mode != mode => {
                return Some(format!("{path} has mode {:o}, not {mode:o}", object.carried.mode));
            }
            Some(object) if object.carried.acl != source.carried(&path).acl => {
                return Some(format!("{path} has the ACL {:?}", object.carried.acl));
            }
            Some(_) => {}
        }
    }
    for directory in source.empty_directories() {
        if !target.objects.contains_key(&directory.marker()) {
            return Some(format!("the marker of {directory} is missing"));
        }
    }
    let files = source.files();
    target
        .objects
        .iter()
        .filter(|(_, object)| !kept || matches!(object.writer, Writer::Ours(_)))
        .filter(|(path, _)| !target.disturbed.contains(*path))
        .find_map(|(path, object)| extra(source, &files, path, object.content))
}

/// O1 for what directories carry themselves: the ledger has it of each of the source's, and of
/// nothing else (rule 11.2).
pub fn directory_differences(source: &Source, ledger: &Ledger) -> Option<String> {
    let mut kept: BTreeMap<RelPath, DirectoryRecord> = ledger
        .directories_after(None, 10_000)
        .ok()?
        .into_iter()
        .map(|record| (record.path.clone(), record))
        .collect();
    let mut directories = source.paths();
    directories.push(RelPath::root());
    for path in directories {
        let Some(Node::Directory(stands)) = source.stat(&path) else { continue };
        match kept.remove(&path) {
            Some(record) if record.metadata == stands.metadata => {}
            Some(record) => return Some(format!("the ledger has {record:?} of directory {path}")),
            None => return Some(format!("the ledger has nothing of directory {path}")),
        }
    }
    kept.into_keys().next().map(|path| format!("the ledger keeps a directory {path}"))
}

/// O2: a row whose identity is known and whose path is neither pending nor doubtful stands on the
/// target, with bytes that the source had there.
pub fn untrue_row(
    source: &Source,
    target: &Target,
    ledger: &Ledger,
    path: &RelPath,
) -> Option<String> {
    let row = ledger.row(path).ok().flatten()?;
    // A row of an older history is believed by nobody (rule 1.7).
    let believed = ledger.meta().is_ok_and(|meta| meta.epoch == row.epoch);
    let known = believed && !matches!(row.identity, Identity::Unknown | Identity::Marker);
    let disturbed = target.disturbed.contains(path);
    if !known || disturbed || row.path.is_marker() || is_moving(ledger, path) {
        return None;
    }
    match target.objects.get(path) {
        None => Some(format!("the row of {path} speaks of an object that does not stand there")),
        Some(object) if !source.ever_had(path, object.content) => {
            Some(format!("{path} holds {}, which the source never had there", object.content))
        }
        Some(_) => None,
    }
}

/// O2 for every row.
pub fn untrue_rows(source: &Source, target: &Target, ledger: &Ledger) -> Option<String> {
    let rows = ledger.rows_after(None, 10_000).ok()?;
    rows.iter().find_map(|row| untrue_row(source, target, ledger, &row.path))
}

/// What is claimed of a transaction is true of every path that did not move since (rule 10.2).
pub fn false_claim(
    source: &Source,
    target: &Target,
    ledger: &Ledger,
    progress: &Progress,
) -> Option<String> {
    let as_of = progress.as_of?;
    let parked = ledger.parked(None, 10_000).ok()?;
    let aside = |path: &RelPath| {
        parked.iter().any(|(entry, _)| entry.path.contains(path))
            || is_moving(ledger, path)
            || target.disturbed.contains(path)
            || source.last_touch(path) > as_of
    };
    let files = source.files();
    let missing = files.iter().find_map(|(path, file)| {
        let (content, _, _) = (*file)?;
        let equal = target.objects.get(path).is_some_and(|object| object.content == content);
        (!equal && !aside(path)).then(|| format!("{as_of:?} is claimed, {path} is not there"))
    });
    missing.or_else(|| {
        let ours = target
            .objects
            .iter()
            .filter(|(path, object)| matches!(object.writer, Writer::Ours(_)) && !path.is_marker());
        ours.map(|(path, _)| path)
            .find(|path| !files.contains_key(*path) && !aside(path))
            .map(|path| format!("{as_of:?} is claimed, {path} is still there"))
    })
}

/// Nothing is claimed of a transaction that was not followed, or that the source does not have: the
/// numbers of a history that was given up are those of others, or of none (rules 1.7 and 10.1).
pub fn claim_of_nothing(source: &Source, progress: &Progress) -> Option<String> {
    let as_of = progress.as_of?;
    let followed = progress.applied.is_some_and(|applied| as_of <= applied);
    let there = as_of <= source.txid;
    let known = if followed { source.txid } else { progress.applied.unwrap_or_default() };
    (!followed || !there).then(|| format!("{as_of:?} is claimed, and {known:?} is the newest"))
}

/// Rule 10.1: nothing is claimed that is pending, or that waits for its judgement. To be asked while
/// the core and the ledger owe each other nothing.
pub fn claim_of_pending(ledger: &Ledger, progress: &Progress) -> Option<String> {
    let as_of = progress.as_of?;
    let pending = ledger.summary().ok()?.first_txid;
    let parked = ledger.parked(None, 10_000).ok()?;
    let judged = parked.into_iter().filter(|(entry, _)| entry.parked == Some(Parked::Removal));
    let first = judged.map(|(entry, _)| entry.first_txid).chain(pending).min()?;
    (first <= as_of).then(|| format!("{as_of:?} is claimed, something of {first:?} is pending"))
}

/// Rule 7.1: a commit marker that becomes visible speaks for files that are there, and the versions
/// of a log before it are there too, as far as the source did not touch them since. One that was on
/// its way when another history was told of was looked at in the older one: what was read for it
/// may have stood in the newer one, under the same numbers.
pub fn early_commit_marker(
    source: &Source,
    target: &Target,
    ledger: &Ledger,
    marker: &RelPath,
    history_told_at: Time,
) -> Option<String> {
    let group = commit_marker::group(marker)?;
    let object = target.objects.get(marker)?;
    let older =
        |it: &Attempt| Writer::Ours(it.number) == object.writer && it.started <= history_told_at;
    if ledger.attempts().ok()?.iter().any(older) {
        return None;
    }
    let counts = |path: &RelPath| {
        let file = path.parent().as_ref() == Some(&group) && !commit_marker::is_commit_marker(path);
        file || commit_marker::comes_after(marker, path)
    };
    let content = object.content;
    let alone = source.spoken_for(marker, content)?.iter().find(|path| {
        let moving = doubtful(ledger, path) || target.disturbed.contains(path);
        !moving && !target.objects.contains_key(path)
    });
    if let Some(path) = alone {
        return Some(format!("{marker} is visible without {path}, which it spoke for"));
    }
    let closed = source.closed_at(content)?;
    let late = source.files().into_iter().find(|(path, file)| {
        let Some((content, _, _)) = file else { return false };
        path != marker
            && counts(path)
            && source.last_touch(path) <= closed
            && !doubtful(ledger, path)
            && !target.disturbed.contains(path)
            && target.objects.get(path).is_none_or(|object| object.content != *content)
    });
    late.map(|(path, _)| format!("{marker} is visible before {path}"))
}

/// Rule 7.1: a commit marker goes before the files that it spoke for until it went at the source.
pub fn late_commit_marker(source: &Source, target: &Target, gone: &RelPath) -> Option<String> {
    let mut standing = target.objects.iter().filter(|(path, object)| {
        let ours = matches!(object.writer, Writer::Ours(_)) && !target.disturbed.contains(*path);
        ours && path.parent() == gone.parent()
    });
    let spoken_for = |path: &RelPath, object: &Object| {
        source.spoken_for(path, object.content).is_some_and(|files| files.contains(gone))
    };
    let marker = standing.find(|(path, object)| spoken_for(path, object));
    marker.map(|(marker, _)| format!("{marker} stands when {gone} goes, which it speaks for"))
}

/// Rule 5.6: what the guard lets go is no more than its bounds allow. It was counted a moment
/// before, so that a little more or less may stand there now.
pub fn unguarded(
    ledger: &Ledger,
    changes: &[Change],
    options: &Options,
    now: Time,
) -> Option<String> {
    if !changes.contains(&Change::Release(Parked::Removal)) {
        return None;
    }
    let extras_go = options.extras == Extras::Remove;
    let removals = ledger.removals(now, &|_| true, &|_| extras_go).ok()?;
    let summary = ledger.summary().ok()?;
    let stands = summary.rows + if extras_go { summary.found } else { 0 };
    let lost = removals.went + removals.lost;
    let stood = stands.saturating_sub(removals.objects + removals.leaving) + lost;
    let bounds = options.removal_guard;
    let beyond_count = lost > bounds.count_max? + UNGUARDED_OBJECTS;
    let beyond_share = lost * 100 > stood * (bounds.share_max_percent? + UNGUARDED_PERCENT);
    let beyond = removals.lost > 0 && beyond_count && beyond_share;
    beyond.then(|| format!("{lost} of {stood} objects go although that is more than {bounds:?}"))
}

/// Pending itself, or as a part of something above, or a write to it may still take effect.
fn is_moving(ledger: &Ledger, path: &RelPath) -> bool {
    let pending = |path: &RelPath| matches!(ledger.pending_entry(path), Ok(Some(_)) | Err(_));
    pending(path) || path.ancestors().any(|above| pending(&above)) || doubtful(ledger, path)
}

fn doubtful(ledger: &Ledger, path: &RelPath) -> bool {
    ledger.attempts().is_ok_and(|attempts| attempts.iter().any(|attempt| attempt.path == *path))
}

fn extra(
    source: &Source,
    files: &BTreeMap<RelPath, Option<(Content, u64, u32)>>,
    path: &RelPath,
    content: Content,
) -> Option<String> {
    if path.is_marker() {
        let directory = path.parent().unwrap_or_default();
        let there = source.paths().contains(&directory);
        return (!there).then(|| format!("the marker of {directory} stands without it"));
    }
    match files.get(path) {
        None => Some(format!("{path} stands on the target alone")),
        // A foreign object stays as it is while the source's file is open.
        Some(None) => None,
        Some(_) if !source.ever_had(path, content) => {
            Some(format!("{path} holds bytes that the source never had there"))
        }
        Some(_) => None,
    }
}

/// The one part that carries a simulated upload's bytes: its tag says what they are.
pub(crate) fn part(content: Content, length: u64) -> Part {
    let crc32c = crate::run::checksum(content);
    Part { number: 1, length, crc32c, etag: content.to_string() }
}

/// What an upload's parts hold: content and length.
pub(crate) fn parts_of(upload: &Upload) -> Option<(Content, u64)> {
    let part = upload.parts.first()?;
    Some((part.etag.parse().ok()?, part.length))
}
