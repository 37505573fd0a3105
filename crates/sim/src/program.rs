//! What the source does: random operations over few names, so that they collide.

use fastrand::Rng;
use whimbrel_core::path::RelPath;

use crate::options::Options;
use crate::world::source::{Content, Source};
use crate::world::target::{Carried, Object, Target, Writer};

/// Contents from here on were never the source's.
const FOREIGN: Content = 1 << 30;

/// One random operation; some do nothing because the tree does not allow them.
pub fn operate(source: &mut Source, options: &Options, rng: &mut Rng) {
    let path = any_path(options, rng);
    if rng.u8(..100) < options.job_percent {
        return match rng.u8(..3) {
            0 => commit_to_table(source, &path, rng),
            _ => run_job(source, &path, rng),
        };
    }
    match rng.u8(..24) {
        0..=4 => {
            make_parents(source, &path);
            if source.create(&path) && rng.u8(..5) != 0 {
                source.close(&path, rng.u64(..60));
            }
        }
        5 => {
            make_parents(source, &path);
            source.make_directory(&path);
        }
        6 | 7 => {
            source.delete(&path);
        }
        8..=11 => {
            let to = any_path(options, rng);
            source.rename(&path, &to, rng.bool());
        }
        12 => swap(source, &path, &any_path(options, rng)),
        13 | 14 => {
            let open = any_open(source, rng);
            source.close(&open.unwrap_or(path), rng.u64(..60));
        }
        15 => {
            source.append(&any_file(source, rng).unwrap_or(path));
        }
        16 => {
            source.truncate(&any_file(source, rng).unwrap_or(path));
        }
        17 | 18 => {
            source.rewrite_same_size(&any_file(source, rng).unwrap_or(path));
        }
        19 | 20 => {
            let mode = 0o600 + rng.u32(..0o100);
            let file = any_file(source, rng).unwrap_or(path);
            let directory =
                file.parent().filter(|parent| !parent.is_root() && mode.is_multiple_of(3));
            source.change_mode(&directory.unwrap_or(file), mode);
        }
        _ => replace_tree(source, &path, rng),
    }
}

/// What stands on the target before the run: equal, different, or without a file of the source.
pub fn furnish(source: &Source, options: &Options, rng: &mut Rng) -> Target {
    let mut target = Target::default();
    for _ in 0..options.found {
        let file = any_file(source, rng).filter(|_| rng.bool());
        let path = file.unwrap_or_else(|| any_path(options, rng));
        let equal = source.files().get(&path).copied().flatten().filter(|_| rng.bool());
        let (content, length, mode) = equal.unwrap_or((FOREIGN + rng.u64(..100), 7, 0o644));
        let writer = if rng.bool() { Writer::Foreign } else { Writer::OtherMigration };
        target.put(path, Object { content, length, writer, carried: Carried::mode(mode) });
    }
    target
}

/// Somebody else writes over a key of the source, makes one, or removes one.
pub fn intrude(source: &Source, target: &mut Target, options: &Options, rng: &mut Rng) {
    if rng.u8(..3) == 0 {
        let ours = |path: &&RelPath| !path.is_marker();
        let standing: Vec<RelPath> = target.objects.keys().filter(ours).cloned().collect();
        if let Some(path) = rng.choice(standing) {
            target.take_away(&path);
        }
        return;
    }
    let file = any_file(source, rng).filter(|_| rng.u8(..4) > 0);
    let path = file.unwrap_or_else(|| any_path(options, rng));
    let content = FOREIGN + rng.u64(100..1_000);
    if rng.u8(..3) > 0 {
        target.intrude(path, content);
        return;
    }
    let standing: Vec<RelPath> = target.objects.keys().cloned().collect();
    let like = rng.choice(standing).filter(|_| rng.bool()).unwrap_or_else(|| path.clone());
    target.imitate(path, &like, content);
}

/// Closes what is still open, so that everything can be compared.
pub fn settle(source: &mut Source) {
    let open: Vec<RelPath> = source
        .files()
        .into_iter()
        .filter(|(_, file)| file.is_none())
        .map(|(path, _)| path)
        .collect();
    for path in open {
        source.close(&path, 1);
    }
}

fn any_path(options: &Options, rng: &mut Rng) -> RelPath {
    let mut path = RelPath::root();
    for _ in 0..rng.usize(1..=options.depth) {
        let name = [b'a' + u8::try_from(rng.usize(..options.names)).unwrap_or_default()];
        path = path.join(&name);
    }
    path
}

fn any_file(source: &Source, rng: &mut Rng) -> Option<RelPath> {
    let files: Vec<RelPath> = source.files().into_keys().collect();
    rng.choice(files)
}

fn any_open(source: &Source, rng: &mut Rng) -> Option<RelPath> {
    let open: Vec<RelPath> = source
        .files()
        .into_iter()
        .filter(|(_, file)| file.is_none())
        .map(|(path, _)| path)
        .collect();
    rng.choice(open)
}

fn make_parents(source: &mut Source, path: &RelPath) {
    let mut ancestors: Vec<RelPath> = path.ancestors().collect();
    ancestors.reverse();
    for ancestor in ancestors {
        source.make_directory(&ancestor);
    }
}

fn swap(source: &mut Source, one: &RelPath, other: &RelPath) {
    let aside = RelPath::from("aside");
    if source.rename(one, &aside, false) {
        source.rename(other, one, false);
        source.rename(&aside, other, false);
    }
}

/// A job writes its files, then says that it succeeded; a second run removes that word first.
fn run_job(source: &mut Source, directory: &RelPath, rng: &mut Rng) {
    let success = directory.join(b"_SUCCESS");
    make_parents(source, &success);
    source.delete(&success);
    for name in [b"a", b"b"] {
        let file = directory.join(name);
        if source.create(&file) {
            source.close(&file, rng.u64(1..60));
        }
    }
    if source.create(&success) {
        source.close(&success, 1);
    }
}

/// The next version of a table: a data file, then the log that speaks for it. Now and then the table
/// is dropped and made anew.
fn commit_to_table(source: &mut Source, table: &RelPath, rng: &mut Rng) {
    if rng.u8(..4) == 0 {
        source.delete(table);
    }
    let log = table.join(b"_delta_log");
    let version = source.files().keys().filter(|path| path.parent().as_ref() == Some(&log)).count();
    let data = table.join([&b"a"[..], b"b"][version % 2]);
    let commit = log.join(format!("{version}.json").as_bytes());
    make_parents(source, &commit);
    for (path, length) in [(data, rng.u64(1..60)), (commit, 1)] {
        if source.create(&path) {
            source.close(&path, length);
        }
    }
}

fn replace_tree(source: &mut Source, path: &RelPath, rng: &mut Rng) {
    if source.delete(path) && rng.bool() {
        let child = path.join(b"a");
        make_parents(source, &child);
        if source.create(&child) {
            source.close(&child, rng.u64(..60));
        }
    }
}
