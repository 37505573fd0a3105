//! The sum of what a run would do, and how it is told.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::json;
use whimbrel_core::adoption::written_by_another_migration;
use whimbrel_core::commit_marker::is_commit_marker;
use whimbrel_core::config::Extras;
use whimbrel_core::input::Removals;
use whimbrel_core::path::RelPath;
use whimbrel_verify::Sums;

use super::commit_markers::{Aside, Groups};
use super::directories::{Becomes, Directories, directories_above};
use super::judge::{Judge, Judged, Left, Met, Removal, Verdict};
use crate::exit::{self, CommandError, Condition};
use crate::output;
use crate::output::result::{MigrationResult, Outcome, bytes, count, grouped};

/// What names, lengths and the state do not tell.
const NOT_LOOKED_AT: [&str; 3] = ["contents", "directory_metadata", "rights"];

/// What is known so far.
#[derive(Default)]
pub struct Plan {
    copies: u64,
    copy_bytes: u64,
    replacements: u64,
    compares: u64,
    restamps: u64,
    markers: u64,
    failures: u64,
    open: u64,
    held: u64,
    extras: u64,
    /// Objects that the migration has not yet, and knows once this is done.
    arrivals: u64,
    /// Of these, files that are copied: they make good what went within the hour.
    copied_anew: u64,
    /// Objects of others that it does not know yet; less those that it takes over.
    strangers: i64,
    /// Removed unjudged.
    files: u64,
    directories: u64,
    judged_files: u64,
    judged_directories: u64,
    /// Of these, what others wrote.
    judged_extras: u64,
    /// Entries with which the guard judges them.
    judged: BTreeSet<RelPath>,
    /// Files of the source for which some of that makes room, with their bytes.
    makes_room: BTreeMap<RelPath, u64>,
    /// Entries that wait for their time.
    waiting: BTreeSet<RelPath>,
    refused: Option<RelPath>,
    /// Files of the source that others' objects keep from their places, with their bytes.
    blocked_files: BTreeMap<RelPath, u64>,
    /// Directories that fail for that.
    blocked_directories: BTreeSet<RelPath>,
    above: Directories,
    groups: Groups,
    /// Commit markers, which come once it is known what becomes of what they speak for.
    commit_markers: BTreeMap<RelPath, Judged>,
    copied_keys: HashSet<u64>,
    removed_keys: Vec<u64>,
}

/// What is told at the end.
pub struct Foreseen {
    plan: Plan,
    /// Paths that are held: objects of others, and removals.
    guarded: u64,
    error: Option<CommandError>,
}

impl Plan {
    /// Adds what would become of these.
    ///
    /// # Errors
    /// A side, or the state, cannot be asked.
    pub async fn take(&mut self, judge: &Judge, page: Vec<Met>) -> Result<(), CommandError> {
        let judged = judge.judge(page).await?;
        for becomes in self.above.of(judge, &judged).await? {
            match becomes {
                Becomes::Comes => self.arrivals += 1,
                Becomes::Goes(entry) => {
                    self.judged.insert(entry);
                    self.judged_directories += 1;
                }
                Becomes::Waits(entry) => {
                    self.waiting.insert(entry);
                }
            }
        }
        for judged in judged {
            match waits_for_its_group(&judged) {
                true => {
                    self.commit_markers.insert(judged.path.clone(), judged);
                }
                false => self.add(judged),
            }
        }
        Ok(())
    }

    fn add(&mut self, judged: Judged) {
        self.note_what_stands(&judged);
        let path = judged.path;
        match judged.verdict {
            Verdict::Nothing => {}
            Verdict::Copy(copy) => {
                self.copies += 1;
                self.copy_bytes += copy.bytes;
                self.replacements += u64::from(copy.replaces);
                self.copied_anew += u64::from(!judged.is_ours);
                self.copied_keys.extend(copy.file_key);
            }
            Verdict::Compare => self.compares += 1,
            Verdict::Metadata => self.restamps += 1,
            Verdict::MakeDirectory => self.markers += 1,
            Verdict::Fails => self.fail(&path),
            Verdict::FailsBelow(top) => {
                self.blocked_directories.extend(directories_above(&path, &top));
                match path.is_marker() {
                    true => self.blocked_directories.extend(path.parent()),
                    false => self.fail(&path),
                }
            }
            Verdict::Displaces => {
                self.fail(&path);
                self.files += 1;
            }
            Verdict::Open => self.open += 1,
            Verdict::Held => self.hold(&path),
            Verdict::Refuses(path) => self.refused = self.refused.take().or(Some(path)),
            Verdict::Leaves(left) => self.leave(left),
            Verdict::Removes(removal) => self.remove(removal),
            Verdict::Waits(entry, theirs) => {
                self.waiting.insert(entry);
                self.extras += u64::from(theirs);
            }
        }
    }

    /// What the guard's share is a share of.
    fn note_what_stands(&mut self, judged: &Judged) {
        match &judged.verdict {
            Verdict::Nothing
            | Verdict::Copy(_)
            | Verdict::Compare
            | Verdict::Metadata
            | Verdict::MakeDirectory => {
                self.arrivals += u64::from(!judged.is_ours);
                self.strangers -= i64::from(judged.is_found);
            }
            Verdict::Held
            | Verdict::Leaves(_)
            | Verdict::Removes(Removal { theirs: true, .. })
            | Verdict::Waits(_, true) => self.strangers += i64::from(!judged.is_found),
            Verdict::Fails
            | Verdict::FailsBelow(_)
            | Verdict::Displaces
            | Verdict::Open
            | Verdict::Refuses(_)
            | Verdict::Removes(_)
            | Verdict::Waits(..) => {}
        }
    }

    fn fail(&mut self, path: &RelPath) {
        self.failures += 1;
        self.groups.set_aside(path, Aside::Failed);
    }

    fn hold(&mut self, path: &RelPath) {
        self.held += 1;
        self.groups.set_aside(path, Aside::Held);
    }

    fn leave(&mut self, left: Left) {
        self.extras += 1;
        match left {
            Left::Aside | Left::GoneWith(_) => {}
            Left::BlocksDirectory(place) => {
                self.blocked_directories.insert(place);
            }
            Left::BlocksFile(place, length) => {
                self.blocked_files.insert(place, length);
            }
        }
    }

    fn remove(&mut self, removal: Removal) {
        let Removal { directory, judged_with, theirs, makes_room, file_key } = removal;
        let (files, directories) = match judged_with {
            None => (&mut self.files, &mut self.directories),
            Some(entry) => {
                if let Some(length) = makes_room {
                    self.makes_room.insert(entry.clone(), length);
                }
                self.judged.insert(entry);
                self.removed_keys.extend(file_key);
                self.judged_extras += u64::from(theirs);
                (&mut self.judged_files, &mut self.judged_directories)
            }
        };
        *if directory { directories } else { files } += 1;
    }

    /// What the guard says, and what comes of others' objects that are in the way.
    pub fn foreseen(mut self, judge: &Judge) -> Foreseen {
        self.add_blocked();
        let guards = self.is_too_much(judge);
        if guards {
            self.extras += self.judged_extras;
            for entry in std::mem::take(&mut self.judged) {
                self.hold(&entry);
            }
            if judge.has_real_directories() {
                for (place, length) in std::mem::take(&mut self.makes_room) {
                    self.does_not_come(&place, length);
                }
            }
        } else {
            self.files += self.judged_files;
            self.directories += self.judged_directories;
        }
        self.add_commit_markers();
        let guarded = self.held;
        let error = self.refused.as_ref().map(|path| {
            let error = CommandError::from(written_by_another_migration(path));
            CommandError { condition: Condition::Guard, ..error }
        });
        Foreseen { plan: self, guarded, error }
    }

    fn add_blocked(&mut self) {
        for place in std::mem::take(&mut self.blocked_directories) {
            self.fail(&place);
        }
        for (place, length) in std::mem::take(&mut self.blocked_files) {
            self.fail(&place);
            self.does_not_come(&place, length);
        }
    }

    /// A file of which it was told that it is copied is not, for what stands in its place stays.
    fn does_not_come(&mut self, place: &RelPath, length: u64) {
        if self.commit_markers.remove(place).is_none() {
            self.copies = self.copies.saturating_sub(1);
            self.copy_bytes = self.copy_bytes.saturating_sub(length);
            self.arrivals = self.arrivals.saturating_sub(1);
            self.copied_anew = self.copied_anew.saturating_sub(1);
        }
    }

    fn add_commit_markers(&mut self) {
        let mut markers = std::mem::take(&mut self.commit_markers);
        let settled = self.groups.settle(markers.keys().cloned().collect());
        for (path, aside) in settled {
            let Some(judged) = markers.remove(&path) else { continue };
            // The one that stands is stale: it goes before anything that it speaks for changes.
            self.files += u64::from(judged.is_ours);
            match aside {
                None => self.add(judged),
                Some(aside) => {
                    // One of others is not taken over.
                    let stands = !matches!(judged.verdict, Verdict::Copy(copy) if !copy.replaces);
                    self.extras += u64::from(stands && !judged.is_ours);
                    match aside {
                        Aside::Failed => self.failures += 1,
                        Aside::Held => self.held += 1,
                    }
                }
            }
        }
    }

    /// The guard would hold all that it judges (rule 5.6).
    fn is_too_much(&self, judge: &Judge) -> bool {
        let (bounds, stand) = (judge.config.removal_guard, judge.memory.stand);
        if stand.guarded > 0 && !bounds.never_asks() {
            return true;
        }
        let objects = self.judged_files + self.judged_directories;
        let markers = self.markers_that_come_before();
        let (coming, awaited) = (markers.len() as u64, self.files_that_await(judge));
        let of_markers: HashSet<u64> = markers.into_iter().filter_map(copied_key).collect();
        let stands = |key: &&u64| self.copied_keys.contains(key) || of_markers.contains(key);
        let elsewhere = self.removed_keys.iter().filter(stands);
        let lost = objects.saturating_sub(elsewhere.count() as u64);
        let extras = match judge.config.extras {
            Extras::Keep => 0,
            Extras::Remove => stand.found.saturating_add_signed(self.strangers),
        };
        let went = stand.went.saturating_sub((self.copied_anew + coming).saturating_sub(awaited));
        let removals = Removals { objects, lost, leaving: 0, went };
        let standing = stand.rows + extras + (self.arrivals + coming).saturating_sub(awaited);
        let (lost, stood) = removals.lost_of(standing);
        objects > 0 && bounds.holds(lost, stood)
    }

    /// New commit markers that wait for nothing that the guard judges.
    fn markers_that_come_before(&self) -> Vec<&Judged> {
        let mut groups = self.groups.clone();
        for entry in &self.judged {
            groups.set_aside(entry, Aside::Held);
        }
        let new = self.commit_markers.values().filter(|judged| !judged.is_ours);
        let settled = groups.settle(new.map(|judged| judged.path.clone()).collect());
        let come = settled.into_iter().filter(|(_, aside)| aside.is_none());
        come.filter_map(|(path, _)| self.commit_markers.get(&path)).collect()
    }

    /// New files in whose places something stands that the guard judges.
    fn files_that_await(&self, judge: &Judge) -> u64 {
        let no_markers = self.makes_room.keys().filter(|it| !self.commit_markers.contains_key(*it));
        if judge.has_real_directories() { no_markers.count() as u64 } else { 0 }
    }
}

fn copied_key(judged: &Judged) -> Option<u64> {
    if let Verdict::Copy(copy) = &judged.verdict { copy.file_key } else { None }
}

/// A commit marker that stands as it is comes no more.
fn waits_for_its_group(judged: &Judged) -> bool {
    let comes = match judged.verdict {
        Verdict::Copy(_) | Verdict::Compare => true,
        Verdict::Metadata | Verdict::Nothing => !judged.is_ours,
        Verdict::MakeDirectory
        | Verdict::Fails
        | Verdict::FailsBelow(_)
        | Verdict::Displaces
        | Verdict::Open
        | Verdict::Held
        | Verdict::Refuses(_)
        | Verdict::Leaves(_)
        | Verdict::Removes(_)
        | Verdict::Waits(..) => false,
    };
    comes && is_commit_marker(&judged.path)
}

impl Foreseen {
    /// Tells it, and answers the exit code.
    pub fn tell(&self, sums: &Sums, json: bool) -> u8 {
        let result = self.result(sums);
        if json {
            let plan = &self.plan;
            let mut fields = result.fields();
            fields.insert("dry_run".into(), json!(true));
            for (name, number) in [
                ("would_copy_files", plan.copies),
                ("would_copy_bytes", plan.copy_bytes),
                ("would_replace_files", plan.replacements),
                ("would_compare_files", plan.compares),
                ("would_renew_metadata_files", plan.restamps),
                ("would_make_directories", plan.markers),
                ("would_remove_files", plan.files),
                ("would_remove_directories", plan.directories),
            ] {
                fields.insert(name.into(), json!(number));
            }
            fields.insert("not_looked_at".into(), json!(NOT_LOOKED_AT));
            output::json_line("result", &fields);
        } else {
            if let Some(error) = &self.error {
                output::error(error);
            }
            output::standard_output(&self.text(sums));
        }
        result.exit_code
    }

    fn result(&self, sums: &Sums) -> MigrationResult {
        let plan = &self.plan;
        let work = plan.copies
            + plan.compares
            + plan.restamps
            + plan.markers
            + plan.files
            + plan.directories;
        let aside = plan.failures + plan.open + self.guarded;
        let mut conditions = BTreeSet::new();
        if self.guarded > 0 || self.error.is_some() {
            conditions.insert(Condition::Guard);
        }
        if work + aside > 0 {
            conditions.insert(Condition::Incomplete);
        }
        let equal = conditions.is_empty();
        let mut result = MigrationResult {
            outcome: if equal { Outcome::Equal } else { Outcome::Incomplete },
            exit_code: exit::code(&conditions),
            failures: plan.failures,
            files_open: plan.open,
            guarded: self.guarded,
            removals_delayed: plan.waiting.len() as u64,
            extras: plan.extras,
            error: self.error.clone(),
            ..MigrationResult::default()
        };
        result.run.files_scanned = sums.files_compared;
        result.total.files_scanned = sums.files_compared;
        result
    }

    fn text(&self, sums: &Sums) -> String {
        let plan = &self.plan;
        let files = |number| count(number, "file", "files");
        let copied = format!(
            "{}, {}, {} of them over others of another length",
            files(plan.copies),
            bytes(plan.copy_bytes),
            grouped(plan.replacements)
        );
        let mut removed = files(plan.files);
        if plan.directories > 0 {
            let directories = count(plan.directories, "directory", "directories");
            removed = format!("{removed} and {directories}");
        }
        let waiting = plan.waiting.len() as u64;
        let rows = [
            ("scanned", 1, files(sums.files_compared)),
            ("would copy", 1, copied),
            (
                "would compare",
                plan.compares,
                format!("{} of equal length, whose bytes may differ", files(plan.compares)),
            ),
            ("would renew", plan.restamps, format!("the metadata of {}", files(plan.restamps))),
            (
                "would make",
                plan.markers,
                count(plan.markers, "empty directory", "empty directories"),
            ),
            ("would remove", 1, format!("{removed} that the source does not have")),
            (
                "would hold",
                self.guarded,
                format!("{} until a person decides", count(self.guarded, "path", "paths")),
            ),
            (
                "would keep",
                waiting,
                format!(
                    "{} gone at the source until their time is over",
                    count(waiting, "path", "paths")
                ),
            ),
            ("would fail", plan.failures, count(plan.failures, "path", "paths")),
            ("open", plan.open, format!("{} being written at the source", files(plan.open))),
            ("extras", 1, format!("{} that others wrote", count(plan.extras, "object", "objects"))),
        ];
        let mut lines = vec!["Dry run: nothing was written.".to_owned()];
        let told = rows.into_iter().filter(|(_, number, _)| *number > 0);
        lines.extend(told.map(|(name, _, text)| format!("  {name:<18}{text}")));
        lines.push(
            "Not looked at: the bytes of files, the metadata of directories, rights to \
             write."
                .to_owned(),
        );
        lines.join("\n")
    }
}
