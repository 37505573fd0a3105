//! What the source does: random operations over few names, so that they collide.

use fastrand::Rng;
use whimbrel_core::path::RelPath;

use crate::options::Options;
use crate::world::source::{Content, Source};
use crate::world::step::Step;
use crate::world::target::{Carried, Object, Target, Writer};

/// Contents from here on were never the source's.
const FOREIGN: Content = 1 << 30;

/// One random operation, step by step; some steps do nothing because the tree does not allow them.
pub fn operate(source: &mut Source, options: &Options, rng: &mut Rng) -> Vec<Step> {
    let mut hand = Hand { source, steps: Vec::new() };
    hand.operate(options, rng);
    hand.steps
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

/// Undoes one of these steps, as far as the tree allows it by now.
pub fn take_back(source: &mut Source, steps: &[Step], rng: &mut Rng) -> Vec<Step> {
    let mut hand = Hand { source, steps: Vec::new() };
    match rng.choice(steps) {
        Some(Step::MakeDirectory(path) | Step::Create(path)) => {
            hand.act(Step::Delete(path.clone()));
        }
        Some(Step::Rename { from, to, .. }) => {
            hand.rename(to, from, false);
        }
        Some(Step::Append(path)) => {
            hand.act(Step::Close(path.clone(), 0));
        }
        Some(
            Step::Close(..)
            | Step::Truncate(_)
            | Step::Rewrite(_)
            | Step::ChangeMode(..)
            | Step::SetAcl(..)
            | Step::Delete(_),
        )
        | None => {}
    }
    hand.steps
}

/// Closes what is still open, so that everything can be compared.
pub fn settle(source: &mut Source) -> Vec<Step> {
    let open = open_files(source);
    let mut hand = Hand { source, steps: Vec::new() };
    for path in open {
        hand.act(Step::Close(path, 1));
    }
    hand.steps
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

fn open_files(source: &Source) -> Vec<RelPath> {
    let files = source.files().into_iter();
    files.filter(|(_, file)| file.is_none()).map(|(path, _)| path).collect()
}

/// Takes steps and notes them down.
struct Hand<'a> {
    source: &'a mut Source,
    steps: Vec<Step>,
}

impl Hand<'_> {
    fn act(&mut self, step: Step) -> bool {
        let done = step.carry_out(self.source);
        self.steps.push(step);
        done
    }

    fn operate(&mut self, options: &Options, rng: &mut Rng) {
        let path = any_path(options, rng);
        if rng.u8(..100) < options.job_percent {
            return match rng.u8(..3) {
                0 => self.commit_to_table(&path, rng),
                _ => self.run_job(&path, rng),
            };
        }
        match rng.u8(..24) {
            0..=4 => {
                self.make_parents(&path);
                if self.act(Step::Create(path.clone())) && rng.u8(..5) != 0 {
                    self.act(Step::Close(path, rng.u64(..60)));
                }
            }
            5 => {
                self.make_parents(&path);
                self.act(Step::MakeDirectory(path));
            }
            6 | 7 => {
                self.act(Step::Delete(path));
            }
            8..=11 => {
                let to = any_path(options, rng);
                self.rename(&path, &to, rng.bool());
            }
            12 => self.swap(&path, &any_path(options, rng)),
            13 | 14 => {
                let open = rng.choice(open_files(self.source));
                self.act(Step::Close(open.unwrap_or(path), rng.u64(..60)));
            }
            15 => {
                let file = any_file(self.source, rng).unwrap_or(path);
                self.act(Step::Append(file));
            }
            16 => {
                let file = any_file(self.source, rng).unwrap_or(path);
                self.act(Step::Truncate(file));
            }
            17 | 18 => {
                let file = any_file(self.source, rng).unwrap_or(path);
                self.act(Step::Rewrite(file));
            }
            19 | 20 => {
                let mode = 0o600 + rng.u32(..0o100);
                let file = any_file(self.source, rng).unwrap_or(path);
                let directory =
                    file.parent().filter(|parent| !parent.is_root() && mode.is_multiple_of(3));
                self.act(Step::ChangeMode(directory.unwrap_or(file), mode));
            }
            _ => self.replace_tree(&path, rng),
        }
    }

    fn rename(&mut self, from: &RelPath, to: &RelPath, overwrite: bool) -> bool {
        self.act(Step::Rename { from: from.clone(), to: to.clone(), overwrite })
    }

    /// A file, written and closed.
    fn write(&mut self, path: &RelPath, bytes: impl FnOnce() -> u64) {
        if self.act(Step::Create(path.clone())) {
            self.act(Step::Close(path.clone(), bytes()));
        }
    }

    fn make_parents(&mut self, path: &RelPath) {
        let mut ancestors: Vec<RelPath> = path.ancestors().collect();
        ancestors.reverse();
        for ancestor in ancestors {
            self.act(Step::MakeDirectory(ancestor));
        }
    }

    fn swap(&mut self, one: &RelPath, other: &RelPath) {
        let aside = RelPath::from("aside");
        if self.rename(one, &aside, false) {
            self.rename(other, one, false);
            self.rename(&aside, other, false);
        }
    }

    /// A job writes its files, then says that it succeeded; a second run removes that word first.
    fn run_job(&mut self, directory: &RelPath, rng: &mut Rng) {
        let success = directory.join(b"_SUCCESS");
        self.make_parents(&success);
        self.act(Step::Delete(success.clone()));
        for name in [b"a", b"b"] {
            self.write(&directory.join(name), || rng.u64(1..60));
        }
        self.write(&success, || 1);
    }

    /// The next version of a table: a data file, then the log that speaks for it. Now and then the
    /// table is dropped and made anew.
    fn commit_to_table(&mut self, table: &RelPath, rng: &mut Rng) {
        if rng.u8(..4) == 0 {
            self.act(Step::Delete(table.clone()));
        }
        let log = table.join(b"_delta_log");
        let files = self.source.files();
        let version = files.keys().filter(|path| path.parent().as_ref() == Some(&log)).count();
        let data = table.join([&b"a"[..], b"b"][version % 2]);
        let commit = log.join(format!("{version}.json").as_bytes());
        self.make_parents(&commit);
        let length = rng.u64(1..60);
        self.write(&data, || length);
        self.write(&commit, || 1);
    }

    fn replace_tree(&mut self, path: &RelPath, rng: &mut Rng) {
        if self.act(Step::Delete(path.clone())) && rng.bool() {
            let child = path.join(b"a");
            self.make_parents(&child);
            self.write(&child, || rng.u64(..60));
        }
    }
}
