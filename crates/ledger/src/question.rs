//! Questions about what is pending: groups of commit markers (rule 7.1), renamed destinations
//! (rule 6.2), and where most of it lies (rule 9.1).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use rusqlite::Connection;
use whimbrel_core::commit_marker;
use whimbrel_core::identity::Sameness;
use whimbrel_core::input::{Group, Removals};
use whimbrel_core::number::{Time, TxId};
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_core::planted::{Planted, planted};
use whimbrel_core::record::{AttemptKind, Hint, Lane, Parked, Pending, Reach, Row};

use crate::error::Result;
use crate::found;
use crate::pending::{Entry, NameRange};
use crate::state::State;

/// Entries of a group that are named at a time: a group may be most of the scan, and live changes
/// are not to wait for that.
const HASTENED_MAX: usize = 16;
/// Entries of a group that are looked at for these: it is asked for four times a second.
const VISITED_MAX: usize = 4_096;
/// Pending commit markers of a directory among which one is looked for that has to come earlier.
/// Their order is that of their names: the next to come is the first.
const EARLIER_MAX: usize = 64;
/// Foreign objects read at a time while they are counted.
const COUNTED_PAGE_OBJECTS: usize = 2_000;

impl State {
    /// True if an entry that `counts` is at a path, below it, or above it and reaches it.
    fn any_reaching(
        &self,
        sql: &Connection,
        path: &RelPath,
        counts: &dyn Fn(&Entry) -> bool,
    ) -> Result<bool> {
        if self.pending.get(sql, &self.names.key(path))?.is_some_and(|entry| counts(&entry)) {
            return Ok(true);
        }
        if self.above(sql, path, counts)?.is_some() {
            return Ok(true);
        }
        let none = self.pending.visit_below(sql, path, &mut |_, entry| Ok(!counts(entry)))?;
        Ok(!none)
    }

    /// The nearest entry above a path that reaches it and counts.
    pub(crate) fn above(
        &self,
        sql: &Connection,
        path: &RelPath,
        counts: &dyn Fn(&Entry) -> bool,
    ) -> Result<Option<Entry>> {
        for (distance, ancestor) in self.names.ancestors(path).into_iter().enumerate() {
            let Some(entry) = self.pending.get(sql, &self.names.key(&ancestor))? else {
                continue;
            };
            let reaches = match entry.pending.reach {
                Reach::Path => false,
                Reach::Directory => distance == 0,
                Reach::Subtree => true,
            };
            if reaches && counts(&entry) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// The nearest entry above a path that reaches it and is not set aside, or else the nearest.
    pub(crate) fn reaching_from_above(
        &self,
        sql: &Connection,
        path: &RelPath,
    ) -> Result<Option<Pending>> {
        let active = |entry: &Entry| entry.pending.parked.is_none_or(Parked::in_a_moment);
        let entry = match self.above(sql, path, &active)? {
            Some(active) => Some(active),
            None => self.above(sql, path, &|_| true)?,
        };
        Ok(entry.map(|entry| entry.pending))
    }

    /// The newest transaction that made a path pending, by itself or as a part of something above:
    /// what was looked at may be as new, although the work was handed out before.
    fn newest_reaching(&self, sql: &Connection, path: &RelPath) -> Result<TxId> {
        let own = self.pending.get(sql, &self.names.key(path))?;
        let newest = Cell::new(own.map_or(TxId(0), |entry| entry.pending.last_txid));
        self.above(sql, path, &|entry| {
            newest.set(newest.get().max(entry.pending.last_txid));
            false
        })?;
        Ok(newest.get())
    }

    /// A write whose end is not known may still remove, or replace by other bytes, what stands in
    /// a commit marker's group (rule 4.1).
    fn may_lose_from(&self, sql: &Connection, marker: &RelPath, group: &RelPath) -> Result<bool> {
        let doubtful = self.attempts.all().filter(|attempt| {
            attempt.doubtful_until.is_some()
                && group.contains(&attempt.path)
                && attempt.path != *marker
                && !attempt.path.is_marker()
                && !commit_marker::is_commit_marker(&attempt.path)
        });
        for attempt in doubtful {
            let Some(row) = self.objects.get(sql, &attempt.path)? else { continue };
            let harmless = attempt.kind != AttemptKind::Remove
                && attempt.identity.compare(&row.identity) == Sameness::Same;
            if !harmless {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Rule 7.1: something of the group was first pending at or before the transaction.
    pub(crate) fn group(
        &self,
        sql: &Connection,
        marker: &RelPath,
        group: &RelPath,
        up_to: TxId,
    ) -> Result<Group> {
        let up_to = up_to.max(self.newest_reaching(sql, marker)?);
        if self.may_lose_from(sql, marker, group)? && !planted(Planted::MarkerBeforeLateRemoval) {
            return Ok(Group::Incomplete { backlog: Vec::new() });
        }
        match self.earlier_version(sql, marker)? {
            Some((path, Some(reason))) => return Ok(Group::SetAside { reason, path }),
            Some((_, None)) => return Ok(Group::Incomplete { backlog: Vec::new() }),
            None => {}
        }
        let counts = |entry: &Entry| {
            let pending = &entry.pending;
            pending.first_txid <= up_to
                && pending.parked != Some(Parked::Open)
                && !pending.is_gone_for_a_time()
                && pending.path != *marker
                && !commit_marker::is_commit_marker(&pending.path)
        };
        let one = |fits: &dyn Fn(Option<Parked>) -> bool| {
            let found = RefCell::new(None);
            let any = self.any_of_group(sql, group, &|entry| {
                let is_one = counts(entry) && fits(entry.pending.parked);
                if is_one {
                    found.replace(Some(entry.pending.path.clone()));
                }
                is_one
            })?;
            Result::Ok(found.into_inner().filter(|_| any))
        };
        let Some(any) = one(&|_| true)? else { return Ok(Group::Complete) };
        if one(&|parked| parked.is_none_or(Parked::in_a_moment))?.is_some() {
            return Ok(Group::Incomplete { backlog: self.backlog_of_group(sql, group, &counts)? });
        }
        for reason in [Parked::Guard, Parked::Foreign] {
            if let Some(path) = one(&|parked| parked == Some(reason))? {
                return Ok(Group::SetAside { reason, path });
            }
        }
        Ok(Group::SetAside { reason: Parked::Failed, path: any })
    }

    /// A commit marker that has to come before another one and is not settled yet, and why it is
    /// set aside, if it is.
    fn earlier_version(
        &self,
        sql: &Connection,
        marker: &RelPath,
    ) -> Result<Option<(RelPath, Option<Parked>)>> {
        let ordered = commit_marker::is_of_table(marker) && !planted(Planted::LogOutOfOrder);
        if self.names.0 == Namespace::Flat || !ordered {
            return Ok(None);
        }
        let directory = marker.split().0;
        for other in self.pending.commit_markers(sql, &directory, Some(EARLIER_MAX))? {
            let entry = self.pending.get(sql, &self.names.key(&other))?;
            let Some(Entry { pending, .. }) = entry else { continue };
            let stays = pending.lane == Lane::Metadata && self.objects.has(sql, &other)?;
            let counts = !stays && pending.parked != Some(Parked::Open);
            if counts && commit_marker::comes_after(marker, &other) {
                return Ok(Some((other, pending.parked)));
            }
        }
        Ok(None)
    }

    /// The first entries of a group that wait for their turn among the backlog.
    fn backlog_of_group(
        &self,
        sql: &Connection,
        group: &RelPath,
        counts: &dyn Fn(&Entry) -> bool,
    ) -> Result<Vec<RelPath>> {
        let backlog = RefCell::new(Vec::new());
        let visited = Cell::new(0_usize);
        self.any_of_group(sql, group, &|entry| {
            let pending = &entry.pending;
            let mut found = backlog.borrow_mut();
            if counts(entry) && pending.lane == Lane::Backlog && pending.parked.is_none() {
                found.push(pending.path.clone());
            }
            visited.set(visited.get() + 1);
            found.len() >= HASTENED_MAX || visited.get() >= VISITED_MAX
        })?;
        Ok(backlog.into_inner())
    }

    fn any_of_group(
        &self,
        sql: &Connection,
        group: &RelPath,
        counts: &dyn Fn(&Entry) -> bool,
    ) -> Result<bool> {
        if self.any_reaching(sql, group, counts)? {
            return Ok(true);
        }
        if self.names.0 == Namespace::Tree || group.is_root() {
            return Ok(false);
        }
        // Opaque keys: the group is the keys that begin with it and a slash.
        let mut last = group.as_bytes().to_vec();
        last.push(b'/' + 1);
        let range = NameRange { after: Some(group.as_bytes()), last: Some(&last) };
        for path in self.pending.children(sql, &RelPath::root(), &range)? {
            let entry = self.pending.get(sql, &self.names.key(&path))?;
            if group.contains(&path) && entry.is_some_and(|entry| counts(&entry)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Rule 6.2: a removal has to wait for a renamed destination.
    pub(crate) fn hints_wait(&self, sql: &Connection, path: &RelPath) -> Result<bool> {
        for (to, txid) in self.hints.touching(path) {
            if !self.pending.active_since(sql, txid, path)? {
                continue;
            }
            let counts = |entry: &Entry| {
                let pending = &entry.pending;
                // A commit marker may wait for this very removal, and costs little to read.
                pending.first_txid <= txid
                    && pending.parked.is_none()
                    && !pending.waiting
                    && pending.path != *path
                    && !commit_marker::is_commit_marker(&pending.path)
            };
            if to.is_root() || self.any_reaching(sql, to, &counts)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Hints under whose old path nothing of ours stands any more, or to whose new path nothing
    /// is pending any more since before the rename.
    pub(crate) fn idle_hints(&self, sql: &Connection) -> Result<Vec<Hint>> {
        let mut idle = Vec::new();
        for hint in self.hints.all() {
            let counts = |entry: &Entry| {
                entry.pending.first_txid <= hint.txid
                    && entry.pending.parked != Some(Parked::Delayed)
            };
            if !self.objects.any_at_or_below(sql, &hint.from)?
                || !self.any_reaching(sql, &hint.to, &counts)?
            {
                idle.push(hint);
            }
        }
        Ok(idle)
    }

    /// Rule 5.6: what would go with the entries parked as `Removal`, what goes with those that the
    /// guard let go, and what went. What is below another of them is counted with that.
    pub(crate) fn removals(
        &self,
        sql: &Connection,
        now: Time,
        counts: &dyn Fn(&Row) -> bool,
        counts_found: &dyn Fn(&RelPath) -> bool,
    ) -> Result<Removals> {
        let went = self.kept.meta.losses.within_the_hour(now);
        let mut sum = Removals { went, ..Removals::default() };
        self.pending.visit_leaving(sql, &mut |entry| {
            let path = &entry.pending.path;
            if self.is_below_another(sql, path, &Entry::leaves)? {
                return Ok(());
            }
            let one = self.objects.standing(sql, path, counts)?;
            let extras = self.found_standing(sql, path, counts_found)?;
            if entry.pending.parked.is_some() {
                sum.objects += one.objects + extras;
                sum.lost += one.lost + extras;
            } else {
                sum.leaving += one.objects + extras;
                sum.went += one.lost + extras;
            }
            Ok(())
        })?;
        Ok(sum)
    }

    /// Foreign objects at a path and below it that count.
    fn found_standing(
        &self,
        sql: &Connection,
        path: &RelPath,
        counts: &dyn Fn(&RelPath) -> bool,
    ) -> Result<u64> {
        if self.kept.counts.found == 0 {
            return Ok(0);
        }
        let own = found::get(sql, self.names, path)?.filter(|found| counts(&found.path));
        let mut sum = u64::from(own.is_some());
        let mut after: Option<RelPath> = None;
        loop {
            let page = found::below(sql, self.names, path, after.as_ref(), COUNTED_PAGE_OBJECTS)?;
            let Some(last) = page.last() else { return Ok(sum) };
            after = Some(last.path.clone());
            sum += page.iter().filter(|found| counts(&found.path)).count() as u64;
        }
    }

    fn is_below_another(
        &self,
        sql: &Connection,
        path: &RelPath,
        counts: &dyn Fn(&Entry) -> bool,
    ) -> Result<bool> {
        for ancestor in self.names.ancestors(path) {
            let entry = self.pending.get(sql, &self.names.key(&ancestor))?;
            if entry.is_some_and(|entry| counts(&entry)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Rule 9.1: directories with the most free entries, until `excess` of them would be gone;
    /// subtrees if that is not enough.
    pub(crate) fn densest(&self, sql: &Connection, excess: u64) -> Result<Vec<(RelPath, bool)>> {
        let mut direct: BTreeMap<RelPath, u64> = BTreeMap::new();
        let mut all: BTreeMap<RelPath, u64> = BTreeMap::new();
        self.pending.visit_below(sql, &RelPath::root(), &mut |key, entry| {
            if self.coarsens(entry) && !self.pending.is_claimed(key) {
                *all.entry(key.directory.clone()).or_default() += 1;
                if entry.pending.reach == Reach::Path {
                    *direct.entry(key.directory.clone()).or_default() += 1;
                }
            }
            Ok(true)
        })?;
        let mut chosen = Vec::new();
        let mut left = excess;
        let mut dense: Vec<(RelPath, u64)> = direct.into_iter().collect();
        dense.sort_by(|(path, count), (other, count_other)| {
            count_other.cmp(count).then_with(|| path.cmp(other))
        });
        for (path, count) in dense {
            if left == 0 || count < 2 {
                break;
            }
            if let Some(added) = self.coarsening_adds(sql, &path)? {
                left = left.saturating_sub(count - added);
                if let Some(all) = all.get_mut(&path) {
                    *all = *all - count + added;
                }
                chosen.push((path, false));
            }
        }
        self.dense_subtrees(sql, all, left, &mut chosen)?;
        Ok(chosen)
    }

    /// Adds the deepest subtrees that are enough.
    fn dense_subtrees(
        &self,
        sql: &Connection,
        mut counts: BTreeMap<RelPath, u64>,
        mut left: u64,
        chosen: &mut Vec<(RelPath, bool)>,
    ) -> Result<()> {
        let depth = |path: &RelPath| self.names.ancestors(path).len();
        let mut level = counts.keys().map(depth).max().unwrap_or(0) + 1;
        while left > 0 && level > 0 {
            level -= 1;
            let mut lifted: BTreeMap<RelPath, u64> = BTreeMap::new();
            for (path, count) in &counts {
                let mut place = path.clone();
                while depth(&place) > level
                    && let Some(parent) = place.parent()
                {
                    place = parent;
                }
                *lifted.entry(place).or_default() += count;
            }
            let mut dense: Vec<(RelPath, u64)> =
                lifted.iter().map(|(path, count)| (path.clone(), *count)).collect();
            dense.retain(|(path, count)| *count > 1 && depth(path) == level);
            dense.sort_by(|(path, count), (other, count_other)| {
                count_other.cmp(count).then_with(|| path.cmp(other))
            });
            for (path, count) in dense {
                if left == 0 {
                    break;
                }
                if let Some(added) = self.coarsening_adds(sql, &path)? {
                    left = left.saturating_sub(count - 1);
                    lifted.insert(path.clone(), added);
                    chosen.push((path, true));
                }
            }
            counts = lifted;
        }
        Ok(())
    }

    /// How many entries coarsening a directory adds: one unless it has its own already; `None` if
    /// that one is claimed or parked, so that nothing can join it.
    fn coarsening_adds(&self, sql: &Connection, path: &RelPath) -> Result<Option<u64>> {
        let key = self.names.key(path);
        if self.pending.is_claimed(&key) {
            return Ok(None);
        }
        Ok(match self.pending.get(sql, &key)? {
            None => Some(1),
            Some(own) if own.pending.parked.is_none() => Some(0),
            Some(_) => None,
        })
    }
}
