//! Passes: going through a directory, page by page, joined with what the ledger knows of the same
//! range (rules 1.3, 5.5, 8.1). A scan is nothing but a pass over the root that reaches everything
//! below; a repair is the same again.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use super::Migration;
use super::claim::{Asked, Claim, Origin};
use super::group::speaks_for;
use super::page::PageContext;
use crate::commit_marker;
use crate::config::DirectoryMarkers;
use crate::effect::Effect;
use crate::entry::{Node, Page};
use crate::identity::Sameness;
use crate::input::{Examined, Listed, PageJoin, Work};
use crate::number::{Mark, TxId};
use crate::path::{Namespace, RelPath};
use crate::planted::{Planted, planted};
use crate::record::{Change, Counters, Lane, Reach, Row};

/// A directory being gone through.
#[derive(Debug)]
pub(super) struct Pass {
    /// The entry's claim; it turns into a look at the path if no directory stands there.
    claim: Claim,
    /// Marks up to this one are covered.
    begun: Mark,
    /// The next page begins after this name.
    after: Option<Bytes>,
    listing: bool,
    more: bool,
    /// Pages whose work is not done yet, oldest first.
    pages: VecDeque<PageWork>,
    met_anything: bool,
    /// Nothing is known of the directory itself.
    unknown: bool,
    /// Direct children that changed, or whose work ended, since the listing was asked for: the
    /// page's word on them is old.
    touched: BTreeSet<RelPath>,
    /// Something happened to the whole directory since the listing was asked for.
    tainted: bool,
    /// A lost source, or a lost root, is waited for.
    hold: bool,
    /// A page that waits for the look at commit markers that speak for the directory.
    waits: Option<Box<WaitingPage>>,
}

#[derive(Debug)]
struct WaitingPage {
    page: Page,
    join: PageJoin,
    marker: Row,
}

#[derive(Debug)]
struct PageWork {
    number: u64,
    last: Option<Bytes>,
    jobs: usize,
    counted: Counters,
}

impl Pass {
    /// Of the scan or of a repair.
    pub(super) fn is_backlog(&self) -> bool {
        self.claim.lane == Lane::Backlog
    }
}

/// Jobs of one pass that may be open before the next page is asked for.
const JOBS_AHEAD: usize = 512;

impl Migration {
    /// Begins to go through a directory, or goes on where a pass was interrupted.
    pub(super) fn begin_pass(&mut self, work: &Work) {
        let pending = &work.pending;
        let up_to = self.handed_out_up_to(work);
        let resumed = pending.begun.filter(|begun| pending.mark <= *begun);
        let (begun, after) = match resumed {
            None if planted(Planted::PassGoesOn) => (up_to, pending.cursor.clone()),
            Some(begun) => (begun, pending.cursor.clone()),
            None => (up_to, None),
        };
        if resumed.is_none() {
            self.reconsider_below(&pending.path, pending.reach, up_to);
            self.outbox.change(Change::Advance { path: pending.path.clone(), begun, cursor: None });
        }
        let pass = Pass {
            claim: Claim::of_work(work, up_to, self.epoch),
            begun,
            met_anything: after.is_some(),
            unknown: false,
            after,
            listing: false,
            more: true,
            pages: VecDeque::new(),
            touched: BTreeSet::new(),
            tainted: false,
            hold: false,
            waits: None,
        };
        self.passes.insert(pending.path.clone(), pass);
        self.list_next(&pending.path);
    }

    /// What was open or failed below may be gone, and no listing need name where it was.
    pub(super) fn reconsider_below(&mut self, path: &RelPath, reach: Reach, up_to: Mark) {
        if reach != Reach::Path {
            self.outbox.change(Change::Reconsider { below: path.clone(), up_to });
        }
    }

    /// Asks for the next page if there is room.
    fn list_next(&mut self, directory: &RelPath) {
        let source_held = self.waits_for_source();
        let by_file_key = self.file_keys_matter;
        let Some(pass) = self.passes.get_mut(directory) else { return };
        let jobs: usize = pass.pages.iter().map(|page| page.jobs).sum();
        if pass.listing || !pass.more || jobs >= JOBS_AHEAD || self.stopping {
            return;
        }
        pass.hold = source_held;
        if source_held {
            return;
        }
        pass.listing = true;
        pass.tainted = false;
        pass.touched.clear();
        let after = pass.after.clone();
        let ticket = self.ask(Asked::Pass(directory.clone()));
        let directory = directory.clone();
        self.outbox.send_after(Effect::List { ticket, directory, after, by_file_key });
    }

    /// Goes on with passes that wait for a lost source.
    pub(super) fn list_held(&mut self) {
        let held: Vec<RelPath> = self
            .passes
            .iter()
            .filter(|(_, pass)| pass.hold)
            .map(|(directory, _)| directory.clone())
            .collect();
        for directory in held {
            self.list_next(&directory);
        }
    }

    pub(super) fn listed(&mut self, directory: RelPath, outcome: Listed) {
        let Some(pass) = self.passes.get_mut(&directory) else { return };
        pass.listing = false;
        match outcome {
            Listed::Page { page, join } => {
                let (was_gone, old) = (pass.claim.gone_since.take().is_some(), pass.tainted);
                self.note_presence(&directory, was_gone, old);
                self.answered_by(crate::failure::Side::Source);
                self.take_page(directory, page, *join);
            }
            Listed::NoDirectory => {
                if let Some(pass) = self.passes.remove(&directory) {
                    self.examine(directory, pass.claim);
                }
            }
            Listed::Failed(failure) => {
                if let Some(pass) = self.passes.remove(&directory) {
                    self.fail(directory, pass.claim, failure);
                }
            }
        }
    }

    fn take_page(&mut self, directory: RelPath, page: Page, join: PageJoin) {
        let Some(pass) = self.passes.get_mut(&directory) else { return };
        if pass.tainted {
            self.list_next(&directory);
            return;
        }
        if let Some(above) = join.file_above {
            self.give_pass_up(directory, &above);
            return;
        }
        if let Some(stale) = self.stale_commit_marker(&page, &join) {
            self.hold_pass_back(directory, &[stale]);
            return;
        }
        let early = self.commit_marker_arrives_for(&directory);
        if early || !join.stale_commit_markers.is_empty() {
            self.hold_pass_back(directory, &join.stale_commit_markers);
            return;
        }
        self.look_at_markers_of_page(directory, page, join);
    }

    /// Looks at the commit markers that speak for the directory, one after the other, if the page
    /// changes anything; then does its work.
    fn look_at_markers_of_page(&mut self, directory: RelPath, page: Page, mut join: PageJoin) {
        if self.page_changes_something(&page, &join)
            && let Some(marker) = join.commit_markers.pop()
        {
            let ticket = self.ask(Asked::PassMarker(directory.clone()));
            self.ask_marker(ticket, &marker.path);
            if let Some(pass) = self.passes.get_mut(&directory) {
                // What happens meanwhile makes the page old.
                pass.listing = true;
                pass.waits = Some(Box::new(WaitingPage { page, join, marker }));
            }
            return;
        }
        self.begin_page(directory, page, join);
    }

    fn page_changes_something(&self, page: &Page, join: &PageJoin) -> bool {
        let rows: std::collections::BTreeMap<&RelPath, &Row> =
            join.rows.iter().map(|row| (&row.path, row)).collect();
        page.entries.iter().any(|entry| match &entry.node {
            Node::File(file) => {
                !rows.get(&entry.path).is_some_and(|row| self.is_unchanged(row, file))
            }
            Node::Directory(_) | Node::Special(_) => false,
        })
    }

    pub(super) fn pass_marker_examined(&mut self, directory: RelPath, outcome: Examined) {
        let Some(pass) = self.passes.get_mut(&directory) else { return };
        let Some(waiting) = pass.waits.take() else { return };
        pass.listing = false;
        let tainted = pass.tainted;
        let WaitingPage { page, join, marker } = *waiting;
        match outcome {
            Examined::Failed(failure) => {
                if let Some(pass) = self.passes.remove(&directory) {
                    self.fail(directory, pass.claim, failure);
                }
            }
            outcome if !self.stands_at_source(&marker, &outcome) => {
                self.hold_pass_back(directory, &[marker.path]);
            }
            Examined::Present(_) | Examined::Absent { .. } if tainted => {
                self.list_next(&directory);
            }
            Examined::Present(_) | Examined::Absent { .. } => {
                self.look_at_markers_of_page(directory, page, join);
            }
        }
    }

    fn begin_page(&mut self, directory: RelPath, page: Page, join: PageJoin) {
        let Some(pass) = self.passes.get_mut(&directory) else { return };
        self.pages_begun += 1;
        let number = self.pages_begun;
        pass.met_anything |= !page.entries.is_empty();
        pass.unknown |= !join.own_record;
        pass.more = page.more;
        let last = page.entries.last().map(|entry| entry.path.split().1);
        if self.config.namespace == Namespace::Flat {
            pass.after = page.entries.last().map(|e| Bytes::copy_from_slice(e.path.as_bytes()));
        } else {
            pass.after = last;
        }
        let last = pass.after.clone();
        pass.pages.push_back(PageWork { number, last, jobs: 1, counted: Counters::default() });
        let touched = std::mem::take(&mut pass.touched);
        let context = PageContext::of(&pass.claim);
        let origin = Origin::Page { directory: directory.clone(), page: number };
        self.join_page(&directory, &context, (page, join), &touched, origin);
        self.page_job_done(&directory, number);
    }

    /// Looks at `first` before going through the directory (rule 5.5).
    fn give_pass_up(&mut self, directory: RelPath, first: &RelPath) {
        let Some(pass) = self.passes.remove(&directory) else { return };
        if *first == directory {
            self.again(directory, pass.claim, 0, false);
            return;
        }
        let (from, to) = (pass.claim.first, pass.claim.last);
        self.mark(first, Reach::Path, Lane::Live, from, to);
        self.again(directory, pass.claim, 100, false);
    }

    /// Commit markers that may be stale since the pass began go first (rule 7.1).
    fn hold_pass_back(&mut self, directory: RelPath, markers: &[RelPath]) {
        let Some(pass) = self.passes.remove(&directory) else { return };
        for marker in markers {
            self.hasten(marker, &pass.claim);
        }
        self.again(directory, pass.claim, 50, false);
    }

    /// A commit marker of ours that the source has no more, or has anew: it goes before its
    /// siblings change (rule 7.1).
    fn stale_commit_marker(&self, page: &Page, join: &PageJoin) -> Option<RelPath> {
        if self.config.namespace == Namespace::Flat {
            return None;
        }
        let stale = join.rows.iter().find(|row| {
            commit_marker::is_commit_marker(&row.path)
                && !page.entries.iter().any(|entry| {
                    entry.path == row.path
                        && matches!(&entry.node, Node::File(file)
                            if self.sameness(row, file) == Sameness::Same)
                })
        });
        stale.map(|row| row.path.clone())
    }

    pub(super) fn count_on_page(
        &mut self,
        directory: &RelPath,
        number: u64,
        add: impl Fn(&mut Counters),
    ) {
        let pass = self.passes.get_mut(directory);
        let page = pass.and_then(|pass| pass.pages.iter_mut().find(|page| page.number == number));
        if let Some(page) = page {
            add(&mut page.counted);
        }
    }

    pub(super) fn page_job_begun(&mut self, directory: &RelPath, number: u64) {
        let pass = self.passes.get_mut(directory);
        let page = pass.and_then(|pass| pass.pages.iter_mut().find(|page| page.number == number));
        if let Some(page) = page {
            page.jobs += 1;
        }
    }

    /// One job of a page ended; the cursor passes every page at the front that is done.
    pub(super) fn page_job_done(&mut self, directory: &RelPath, number: u64) {
        let Some(pass) = self.passes.get_mut(directory) else { return };
        if let Some(page) = pass.pages.iter_mut().find(|page| page.number == number) {
            page.jobs -= 1;
        }
        let begun = pass.begun;
        let is_done = |page: &PageWork| page.jobs == 0 || planted(Planted::CursorBeforeWork);
        while pass.pages.front().is_some_and(is_done) {
            let Some(page) = pass.pages.pop_front() else { break };
            self.outbox.change(Change::Count(page.counted));
            if pass.more || !pass.pages.is_empty() {
                let (path, cursor) = (directory.clone(), page.last);
                self.outbox.change(Change::Advance { path, begun, cursor });
            }
        }
        let finished = pass.pages.is_empty() && !pass.more && !pass.listing;
        if finished {
            self.finish_pass(directory);
        } else {
            self.list_next(directory);
        }
    }

    /// The whole directory is done. An empty one is looked at again on its own, for its
    /// marker or what travels with it, and so is one of which nothing is known itself.
    fn finish_pass(&mut self, directory: &RelPath) {
        let Some(pass) = self.passes.remove(directory) else { return };
        self.works -= 1;
        self.abandon_uploads(&pass.claim);
        let all = self.config.directory_markers == DirectoryMarkers::All;
        self.outbox.change(Change::Settle {
            path: directory.clone(),
            up_to: pass.begun,
            as_of: TxId(0),
        });
        let marked = !directory.is_root() && (all || !pass.met_anything);
        let unknown = pass.unknown && self.keeps_directories();
        if self.config.namespace == Namespace::Tree && (marked || unknown) {
            // Without a marker nothing of it is on the target: what is claimed of the target does
            // not wait for it.
            let beyond = self.applied().next();
            let (first, last) =
                if marked { (pass.claim.first, pass.claim.last) } else { (beyond, beyond) };
            self.gone_through.insert(directory.clone(), pass.met_anything);
            self.mark(directory, Reach::Path, Lane::Live, first, last);
        }
        self.freed(directory);
    }

    /// Tells passes that wait for a listing what it may be too old for.
    pub(super) fn touch_passes(&mut self, path: &RelPath, subtree: bool) {
        if subtree {
            for (directory, pass) in &mut self.passes {
                pass.tainted |= path.contains(directory);
            }
        }
        // Every event comes here: one directory is asked for, and not all.
        let pass = path.parent().and_then(|directory| self.passes.get_mut(&directory));
        if let Some(pass) = pass.filter(|pass| pass.listing)
            && !planted(Planted::ListingOlderThanEvent)
        {
            pass.touched.insert(path.clone());
        }
    }

    /// The directory is there, or something is below it (rule 5.7).
    pub(super) fn forget_gone_pass(&mut self, directory: &RelPath) {
        if let Some(pass) = self.passes.get_mut(directory) {
            pass.claim.gone_since = None;
        }
    }

    /// A pass goes through the path's directory and did not come to it yet.
    pub(super) fn is_beyond_cursor(&self, path: &RelPath) -> bool {
        let pass = path.parent().and_then(|directory| self.passes.get(&directory));
        pass.is_some_and(|pass| pass.after.as_ref().is_none_or(|after| path.name() > after))
    }

    /// A commit marker came to stand: pages asked for before may be joined without it (rule 7.1).
    pub(super) fn taint_passes_of(&mut self, marker: &RelPath) {
        for (directory, pass) in &mut self.passes {
            pass.tainted |= pass.listing && speaks_for(marker, directory);
        }
    }

    /// Work on a path ended: a page asked for before may be joined with its older row.
    pub(super) fn note_row_changed(&mut self, path: &RelPath) {
        let Some(directory) = self.parent_of(path) else { return };
        if let Some(pass) = self.passes.get_mut(&directory)
            && pass.listing
            && !planted(Planted::ListingOlderThanEvent)
        {
            pass.touched.insert(path.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::claim::Step;
    use super::super::tests::{
        attempt, changed, failure, marked, migration_of, node, row, sent, step, work,
    };
    use super::*;
    use crate::config::{Config, Extras};
    use crate::entry::{DirectoryNode, Entry, FileNode};
    use crate::failure::{FailureKind, Side};
    use crate::metadata::{Metadata, MetadataLevel};
    use crate::number::Time;
    use crate::record::{DirectoryRecord, Found, Pending};

    fn path(text: &str) -> RelPath {
        RelPath::from(text)
    }

    /// A pass over `d` whose first page is asked for.
    fn passing(config: Config, reach: Reach, lane: Lane) -> Migration {
        let mut migration = migration_of(config);
        let pending = Pending { reach, lane, ..work("d").pending };
        migration.begin_pass(&Work { pending, ..work("d") });
        sent(&mut migration);
        migration
    }

    fn live() -> Migration {
        passing(Config { live: true, ..Config::default() }, Reach::Directory, Lane::Live)
    }

    fn entry(at: &str, node: Node) -> Entry {
        Entry { path: path(at), node }
    }

    fn file(at: &str, length: u64) -> Entry {
        entry(at, Node::File(node(length)))
    }

    fn directory_node() -> DirectoryNode {
        DirectoryNode { file_key: 7, empty: None, metadata: Metadata::default() }
    }

    fn directory(at: &str) -> Entry {
        entry(at, Node::Directory(directory_node()))
    }

    fn row_at(at: &str) -> Row {
        Row { path: path(at), ..row() }
    }

    fn record(at: &str) -> DirectoryRecord {
        let DirectoryNode { file_key, metadata, .. } = directory_node();
        DirectoryRecord { path: path(at), file_key, metadata }
    }

    fn found(at: &str) -> Found {
        Found {
            path: path(at),
            length: 5,
            etag: None,
            version: None,
            crc32c: None,
            metadata: None,
            migration: None,
            late: false,
        }
    }

    fn known() -> PageJoin {
        PageJoin { own_record: true, ..PageJoin::default() }
    }

    fn list(migration: &mut Migration, entries: Vec<Entry>, more: bool, join: PageJoin) {
        let (page, join) = (Page { entries, more }, Box::new(join));
        migration.listed(path("d"), Listed::Page { page, join });
    }

    fn lists(migration: &mut Migration) -> bool {
        sent(migration).iter().any(|effect| matches!(effect, Effect::List { .. }))
    }

    /// What a page makes pending, if it is met so.
    fn marks(
        mut migration: Migration,
        entries: Vec<Entry>,
        join: PageJoin,
    ) -> Vec<(String, Reach)> {
        list(&mut migration, entries, true, join);
        let marked = marked(&changed(&mut migration)).into_iter();
        marked.map(|(path, reach)| (path.to_string(), reach)).collect()
    }

    fn of(at: &str, reach: Reach) -> (String, Reach) {
        (at.to_owned(), reach)
    }

    #[test]
    fn a_page_is_asked_for_while_there_is_room_for_its_work() {
        let asks = |change: &dyn Fn(&mut Migration)| {
            let mut migration = live();
            let pass = migration.passes.get_mut(&path("d")).expect("a pass");
            pass.listing = false;
            change(&mut migration);
            migration.list_next(&path("d"));
            lists(&mut migration)
        };
        let jobs = |jobs: usize| {
            move |migration: &mut Migration| {
                let pass = migration.passes.get_mut(&path("d")).expect("a pass");
                let (number, last, counted) = (0, None, Counters::default());
                pass.pages.push_back(PageWork { number, last, jobs, counted });
            }
        };
        assert!(asks(&|_| {}) && asks(&jobs(JOBS_AHEAD - 1)));
        assert!(!asks(&jobs(JOBS_AHEAD)) && !asks(&|it| it.stopping = true));
        let lost = failure(Side::Source, FailureKind::Unavailable);
        let mut held = live();
        held.passes.get_mut(&path("d")).expect("a pass").listing = false;
        held.side_failed(&lost);
        held.list_next(&path("d"));
        assert!(!lists(&mut held));
        held.now = Time(9_000);
        held.list_held();
        assert!(lists(&mut held), "once the source answers");
    }

    /// It is known to be gone, and looked at when its time is over; unless it is back.
    #[test]
    fn rule_5_7_a_page_nominates_nothing_that_is_kept_for_a_time() {
        let join = |delayed: &[&str]| PageJoin {
            rows: vec![row_at("d/a")],
            directories: vec![Bytes::from_static(b"e")],
            directory_records: vec![record("d/g")],
            pending: ["d/a", "d/e", "d/g"].map(path).to_vec(),
            delayed: delayed.iter().map(|at| path(at)).collect(),
            ..known()
        };
        let absent = |delayed: &[&str]| {
            let mut marked = marks(live(), Vec::new(), join(delayed));
            marked.sort();
            marked.dedup();
            marked
        };
        let all = absent(&[]);
        assert!(all.contains(&of("d/a", Reach::Path)) && all.contains(&of("d/e", Reach::Subtree)));
        assert_eq!(absent(&["d/a", "d/e", "d/g"]), []);
        let back = marks(live(), vec![file("d/a", 5), directory("d/e")], join(&["d/a", "d/e"]));
        assert!(back.contains(&of("d/a", Reach::Path)) && back.contains(&of("d/e", Reach::Path)));
    }

    /// What is there was never gone, whatever the pass over it finds.
    #[test]
    fn rule_5_7_a_pass_over_a_directory_that_is_back_forgets_when_it_went() {
        let gone_since = |migration: &Migration| migration.passes[&path("d")].claim.gone_since;
        let mut migration = live();
        migration.passes.get_mut(&path("d")).expect("a pass").claim.gone_since = Some(Time(5));
        migration.forget_gone_pass(&path("e"));
        assert_eq!(gone_since(&migration), Some(Time(5)));
        migration.forget_gone_pass(&path("d"));
        assert_eq!(gone_since(&migration), None);
    }

    #[test]
    fn a_directory_that_was_gone_through_is_looked_at_for_its_marker() {
        let looked_at = |namespace: Namespace, markers: DirectoryMarkers, met_anything: bool| {
            let (directory_markers, metadata) = (markers, MetadataLevel::None);
            let config = Config { namespace, directory_markers, metadata, ..Config::default() };
            let mut migration = passing(config, Reach::Directory, Lane::Live);
            migration.passes.get_mut(&path("d")).expect("a pass").met_anything = met_anything;
            migration.finish_pass(&path("d"));
            !marked(&changed(&mut migration)).is_empty()
        };
        let (empty, all) = (DirectoryMarkers::Empty, DirectoryMarkers::All);
        assert!(
            looked_at(Namespace::Tree, empty, false) && !looked_at(Namespace::Tree, empty, true)
        );
        assert!(looked_at(Namespace::Tree, all, true));
        assert!(!looked_at(Namespace::Flat, empty, false), "a marker there is a key like others");
    }

    #[test]
    fn passes_of_the_scan_are_the_backlogs() {
        let is_backlog = |lane: Lane| {
            let migration = passing(Config::default(), Reach::Subtree, lane);
            migration.passes[&path("d")].is_backlog()
        };
        assert!(is_backlog(Lane::Backlog) && !is_backlog(Lane::Live));
    }

    /// What becomes of the first page of `d`.
    fn page_is(mut migration: Migration, entries: Vec<Entry>, join: PageJoin) -> &'static str {
        list(&mut migration, entries, true, join);
        let hastened = !migration.claims.hastened_markers.is_empty();
        match migration.passes.get(&path("d")) {
            None if hastened => "held back for a marker",
            None => "given up",
            Some(pass) if pass.waits.is_some() => "looked at the marker first",
            Some(pass) if pass.met_anything => "gone through",
            Some(_) => "listed again",
        }
    }

    #[test]
    fn rule_7_1_a_page_waits_for_the_markers_that_speak_for_it() {
        let marker = || row_at("d/_SUCCESS");
        let stale = || PageJoin { stale_commit_markers: vec![path("_SUCCESS")], ..known() };
        let changed = || vec![file("d/a", 5)];
        assert_eq!(page_is(live(), changed(), known()), "gone through");
        assert_eq!(page_is(live(), changed(), stale()), "held back for a marker");
        let mut early = live();
        early.claims.arriving_markers.insert(path("_SUCCESS"));
        assert_eq!(page_is(early, changed(), known()), "given up");
        let gone = || PageJoin { rows: vec![marker()], ..known() };
        assert_eq!(page_is(live(), changed(), gone()), "held back for a marker");
        let stands = |length| vec![file("d/_SUCCESS", length), file("d/a", 5)];
        assert_eq!(page_is(live(), stands(5), gone()), "gone through");
        assert_eq!(page_is(live(), stands(6), gone()), "held back for a marker");
        let special = vec![entry("d/_SUCCESS", Node::Special("a socket".to_owned()))];
        assert_eq!(page_is(live(), special, gone()), "held back for a marker");
        let namespace = Namespace::Flat;
        let flat = passing(Config { namespace, ..Config::default() }, Reach::Subtree, Lane::Live);
        assert_eq!(page_is(flat, changed(), gone()), "gone through", "a key like others");
        let above = || PageJoin { commit_markers: vec![row_at("_SUCCESS")], ..known() };
        let first = "looked at the marker first";
        assert_eq!(page_is(live(), changed(), above()), first);
        let same = || PageJoin { rows: vec![row_at("d/a")], ..above() };
        assert_eq!(page_is(live(), changed(), same()), "gone through", "nothing changes");
        assert_eq!(page_is(live(), vec![file("d/a", 6)], same()), first);
        assert_eq!(page_is(live(), vec![directory("d/e")], above()), "gone through");
    }

    #[test]
    fn rule_7_1_a_page_is_gone_through_if_its_marker_stands_and_it_is_not_old() {
        let examined = |seen: Examined, tainted: bool| {
            let mut migration = live();
            let join = PageJoin { commit_markers: vec![row_at("_SUCCESS")], ..known() };
            list(&mut migration, vec![file("d/a", 5)], true, join);
            let pass = migration.passes.get_mut(&path("d")).expect("a pass");
            assert!(pass.listing, "what happens meanwhile is noted");
            pass.tainted = tainted;
            sent(&mut migration);
            migration.pass_marker_examined(path("d"), seen);
            let worked = step(&migration, "d/a").is_some();
            (migration.passes.contains_key(&path("d")), worked)
        };
        let stands = |length| Examined::Present(Node::File(node(length)));
        assert_eq!(examined(stands(5), false), (true, true));
        assert_eq!(examined(stands(5), true), (true, false), "it is listed again");
        assert_eq!(examined(stands(6), false), (false, false), "the marker goes first");
        assert_eq!(examined(Examined::Absent { root_key: None }, false), (false, false));
        let lost = failure(Side::Source, FailureKind::Unavailable);
        assert_eq!(examined(Examined::Failed(lost), false), (false, false));
    }

    #[test]
    fn rule_5_5_a_file_above_goes_before_its_directory_is_gone_through() {
        let given_up = |above: &str| {
            let join = PageJoin { file_above: Some(path(above)), ..known() };
            marks(live(), vec![file("d/a", 5)], join)
        };
        assert_eq!(given_up("d"), [], "its own entry is looked at");
        assert_eq!(given_up(""), [of("", Reach::Path)]);
    }

    /// Each page ends by itself, and the cursor follows in their order.
    #[test]
    fn rule_1_1_a_pass_remembers_the_pages_that_are_done() {
        let mut migration = live();
        list(&mut migration, vec![file("d/a", 5)], true, known());
        list(&mut migration, vec![file("d/b", 5)], true, known());
        list(&mut migration, vec![file("d/c", 5)], false, known());
        let cursors = |migration: &mut Migration, ended: &str| {
            let claim = migration.claims.take(&path(ended)).expect("a claim");
            migration.settle(path(ended), claim, TxId(0));
            let cursors = changed(migration).into_iter().filter_map(|change| {
                if let Change::Advance { cursor, .. } = change { cursor } else { None }
            });
            cursors.collect::<Vec<_>>()
        };
        changed(&mut migration);
        assert!(cursors(&mut migration, "d/b").is_empty(), "the first is not done");
        assert_eq!(cursors(&mut migration, "d/a"), ["a", "b"]);
        assert!(cursors(&mut migration, "d/c").is_empty(), "the whole directory is done");
        assert!(migration.passes.is_empty());
    }

    #[test]
    fn rule_5_5_what_is_in_the_way_of_a_directory_is_looked_at() {
        let met = |extras: Extras, reach: Reach, child: DirectoryNode, join: PageJoin| {
            let migration = passing(Config { extras, ..Config::default() }, reach, Lane::Live);
            marks(migration, vec![entry("d/e", Node::Directory(child))], join)
        };
        let (at, below) = (of("d/e", Reach::Path), of("d/e", Reach::Subtree));
        let known_below = || PageJoin {
            directories: vec![Bytes::from("e")],
            directory_records: vec![record("d/e")],
            ..known()
        };
        let full = || DirectoryNode { empty: Some(false), ..directory_node() };
        let shallow = Reach::Directory;
        assert_eq!(met(Extras::Keep, shallow, full(), known_below()), [], "nothing changed in it");
        assert_eq!(met(Extras::Keep, Reach::Subtree, full(), known_below()), vec![below.clone()]);
        assert_eq!(met(Extras::Keep, shallow, full(), known()), vec![below.clone()], "it is new");
        for empty in [None, Some(true)] {
            let child = DirectoryNode { empty, ..directory_node() };
            assert_eq!(met(Extras::Keep, shallow, child, known_below()), vec![at.clone()]);
        }
        let own = PageJoin { rows: vec![row_at("d/e")], ..known_below() };
        assert_eq!(met(Extras::Keep, shallow, full(), own), vec![at.clone()]);
        let extra = || PageJoin { found: vec![found("d/e")], ..known_below() };
        assert_eq!(met(Extras::Remove, shallow, full(), extra()), [at]);
        assert_eq!(met(Extras::Keep, shallow, full(), extra()), [], "it stays");
    }

    /// What was known of a directory that the page does not show.
    #[test]
    fn rule_11_2_directories_that_are_gone_are_looked_at_once() {
        let below = |at: &str| of(at, Reach::Subtree);
        let records = || vec![record("d/e")];
        let alone = PageJoin { directory_records: records(), ..known() };
        assert_eq!(marks(live(), vec![file("d/a", 5)], alone), [below("d/e")]);
        let (e, directory_records) = (vec![Bytes::from("e")], records());
        let ours = PageJoin { directories: e.clone(), directory_records, ..known() };
        assert_eq!(marks(live(), Vec::new(), ours), [below("d/e")], "once");
        let directory_records = records();
        let deeper = PageJoin { record_directories: e, directory_records, ..known() };
        assert_eq!(marks(live(), Vec::new(), deeper), [below("d/e")], "once");
        let directory_records = records();
        let directories = vec![Bytes::from("e")];
        let shown = PageJoin { directories, directory_records, ..known() };
        let full = DirectoryNode { empty: Some(false), ..directory_node() };
        assert_eq!(marks(live(), vec![entry("d/e", Node::Directory(full))], shown), []);
    }

    /// A page that may be older than what is known of a directory, or newer.
    #[test]
    fn rule_11_2_a_directory_that_changed_while_it_was_listed_is_looked_at() {
        let looked_at = |metadata: crate::metadata::MetadataLevel, join: PageJoin| {
            let config = Config { metadata, live: true, ..Config::default() };
            let mut migration = passing(config, Reach::Directory, Lane::Live);
            migration.touch(&path("d/e"), false);
            let full = DirectoryNode { empty: Some(false), ..directory_node() };
            let entries = vec![entry("d/e", Node::Directory(full))];
            let marks = marks(migration, entries, join);
            marks.contains(&of("d/e", Reach::Path))
        };
        use crate::metadata::MetadataLevel::{Basic, None};
        let directories = || vec![Bytes::from("e")];
        let unknown = || PageJoin { directories: directories(), ..known() };
        let same = || PageJoin { directory_records: vec![record("d/e")], ..unknown() };
        let other = DirectoryRecord { file_key: 8, ..record("d/e") };
        let other = PageJoin { directory_records: vec![other], ..unknown() };
        assert!(looked_at(Basic, unknown()) && looked_at(Basic, other));
        assert!(!looked_at(Basic, same()) && !looked_at(None, unknown()));
    }

    /// What is done about a file that a page shows; whether it is worked on at once.
    #[test]
    fn rule_1_3_files_of_a_page_are_worked_on_unless_somebody_else_does() {
        let met = |change: &dyn Fn(&mut Migration), shown: FileNode, join: PageJoin| {
            let mut migration = live();
            change(&mut migration);
            list(&mut migration, vec![entry("d/a", Node::File(shown))], true, join);
            let changes = changed(&mut migration);
            let lanes = changes.iter().filter_map(|change| {
                if let Change::Mark { lane, .. } = change { Some(*lane) } else { None }
            });
            (lanes.collect::<Vec<_>>(), matches!(step(&migration, "d/a"), Some(Step::Queued)))
        };
        let none = |_: &mut Migration| {};
        let rows = || vec![row_at("d/a")];
        let ours = || PageJoin { rows: rows(), ..known() };
        let worked_on = (vec![], true);
        let left = |lane: Lane| (vec![lane], false);
        assert_eq!(met(&none, node(5), known()), worked_on);
        assert_eq!(met(&none, node(6), ours()), worked_on);
        assert_eq!(met(&none, node(5), ours()), (vec![], false), "it is the same");
        let over = PageJoin { attempts: vec![attempt(4, "d/a", 5)], ..ours() };
        assert_eq!(met(&none, node(5), over), left(Lane::Live), "if no write of it took effect");
        let open = FileNode { open: true, ..node(6) };
        assert_eq!(met(&none, open.clone(), ours()), left(Lane::Live), "it waits for its close");
        let touched = |it: &mut Migration| it.touch(&path("d/a"), false);
        assert_eq!(met(&touched, node(6), ours()), left(Lane::Live), "the page is old");
        let pending = || PageJoin { pending: vec![path("d/a")], ..ours() };
        assert_eq!(met(&none, node(6), pending()), left(Lane::Live), "it may be set aside");
        assert_eq!(met(&none, open, pending()), (vec![], false), "as it may have to be");
        assert_eq!(met(&touched, node(6), pending()), left(Lane::Live), "of another history");
        let lent = |it: &mut Migration| assert!(it.claims.lent.insert(path("d/a")));
        assert_eq!(met(&lent, node(6), ours()), left(Lane::Live), "somebody reads it");
        let metadata = Metadata { mode: 0o600, ..Metadata::default() };
        let other = FileNode { metadata, ..node(5) };
        assert_eq!(met(&none, other, ours()), left(Lane::Metadata));
    }

    #[test]
    fn rule_1_6_a_pass_goes_on_where_it_was_interrupted_unless_it_was_marked_since() {
        let after = |mark: u64, begun: Option<u64>| {
            let mut migration = live();
            let (reach, cursor) = (Reach::Directory, Some(Bytes::from_static(b"c")));
            let (mark, begun) = (Mark(mark), begun.map(Mark));
            let pending = Pending { reach, mark, begun, cursor, ..work("e").pending };
            migration.begin_pass(&Work { pending, ..work("e") });
            migration.passes[&path("e")].after.clone()
        };
        assert_eq!(after(3, Some(3)), Some(Bytes::from_static(b"c")));
        assert_eq!((after(4, Some(3)), after(3, None)), (None, None));
    }

    #[test]
    fn files_that_did_not_change_are_counted_when_their_page_is_done() {
        let mut migration = live();
        let rows = vec![row_at("d/a"), row_at("d/b"), row_at("d/c")];
        let entries = vec![file("d/a", 5), file("d/b", 5), file("d/c", 5)];
        list(&mut migration, entries, true, PageJoin { rows, ..known() });
        let counted = Counters { files_scanned: 3, files_skipped: 3, ..Counters::default() };
        assert!(changed(&mut migration).contains(&Change::Count(counted)));
    }

    #[test]
    fn rule_1_6_what_happens_while_a_page_is_asked_for_makes_it_old() {
        let old = |change: &dyn Fn(&mut Migration)| {
            let mut migration = live();
            change(&mut migration);
            let pass = &migration.passes[&path("d")];
            (pass.tainted, pass.touched.contains(&path("d/a")))
        };
        assert_eq!(old(&|it| it.touch_passes(&path("d/a"), false)), (false, true));
        assert_eq!(old(&|it| it.touch_passes(&path("d/a"), true)), (false, true));
        assert_eq!(old(&|it| it.touch_passes(&path("d"), true)), (true, false));
        assert_eq!(old(&|it| it.touch_passes(&path(""), true)), (true, false));
        assert_eq!(old(&|it| it.touch_passes(&path("d"), false)), (false, false));
        assert_eq!(old(&|it| it.touch_passes(&path("e/a"), true)), (false, false));
        assert_eq!(old(&|it| it.note_row_changed(&path("d/a"))), (false, true));
        assert_eq!(old(&|it| it.taint_passes_of(&path("d/_SUCCESS"))), (true, false));
        assert_eq!(old(&|it| it.taint_passes_of(&path("e/_SUCCESS"))), (false, false));
        let answered = |it: &mut Migration| {
            it.passes.get_mut(&path("d")).expect("a pass").listing = false;
        };
        let later = |change: &dyn Fn(&mut Migration)| {
            old(&|it| {
                answered(it);
                change(it);
            })
        };
        assert_eq!(later(&|it| it.touch_passes(&path("d/a"), false)), (false, false));
        assert_eq!(later(&|it| it.note_row_changed(&path("d/a"))), (false, false));
        assert_eq!(later(&|it| it.taint_passes_of(&path("d/_SUCCESS"))), (false, false));
        let tainted = |it: &mut Migration| {
            it.touch_passes(&path("d"), true);
            it.taint_passes_of(&path("e/_SUCCESS"));
        };
        assert_eq!(old(&tainted), (true, false), "it stays so");
    }
}
