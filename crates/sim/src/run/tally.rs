//! What took effect at the target, whatever anybody was told: the counters are held against it
//! (O8), and removals against what the source has (O5).

use std::collections::{BTreeMap, VecDeque};

use whimbrel_core::commit_marker;
use whimbrel_core::effect::Effect;
use whimbrel_core::number::{AttemptNumber, Time, TxId};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::Counters;

use crate::world::source::Source;
use crate::world::target::{Object, Target, Write, Writer};

/// A removal goes by a look that is younger, however late it takes effect.
const LOOK_MILLIS_MAX: u64 = 60_000;
/// Nothing is behind for longer that is not set aside, while nothing but requests fails; and what it
/// takes to look at everything, one after the other, since all of it may have to be looked at.
const STALE_MILLIS_MAX: u64 = 60_000;
/// So many answers are waited for at most for each thing that stands there: a slow ledger is asked
/// for the groups of commit markers again and again meanwhile, half of the hands may be
/// held by commit markers, and what changes meanwhile is looked at again.
const LOOKS: u64 = 10;
/// How far the source was is known for so long: few worlds are that large and slow.
const HEADS_MILLIS_MAX: u64 = 600_000;

/// What a write is sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Copy,
    Relocation,
    Metadata,
    Marker,
}

/// All of it, over all runs of a history.
#[derive(Debug, Default)]
pub(super) struct Tally {
    sent: BTreeMap<AttemptNumber, Purpose>,
    /// What took effect, with its bytes.
    landed: BTreeMap<AttemptNumber, (Purpose, u64)>,
    removals: u64,
    /// How far the source was, and when, for as long as anything may be behind.
    heads: VecDeque<(Time, TxId)>,
    /// Since when the process lives, the root stands, and nobody interferes.
    healthy_since: Option<Time>,
    past: u64,
}

impl Tally {
    /// An effect leaves.
    pub(super) fn sent(&mut self, effect: &Effect) {
        let (attempt, purpose) = match effect {
            Effect::Copy(job) => (job.attempt, Purpose::Copy),
            Effect::Relocate { attempt, from, path, .. } if from.path == *path => {
                (*attempt, Purpose::Metadata)
            }
            Effect::Relocate { attempt, .. } => (*attempt, Purpose::Relocation),
            Effect::PutMarker { attempt, .. } => (*attempt, Purpose::Marker),
            Effect::Persist { .. }
            | Effect::Take { .. }
            | Effect::Rows { .. }
            | Effect::Group { .. }
            | Effect::CheckHints { .. }
            | Effect::CountRemovals { .. }
            | Effect::Densest { .. }
            | Effect::List { .. }
            | Effect::Examine { .. }
            | Effect::Checksum { .. }
            | Effect::Poll { .. }
            | Effect::Position { .. }
            | Effect::Complete { .. }
            | Effect::Abort { .. }
            | Effect::Remove { .. }
            | Effect::Inspect { .. }
            | Effect::Inventory { .. }
            | Effect::Pace(_)
            | Effect::Report(_)
            | Effect::Finish(_) => return,
        };
        self.sent.insert(attempt, purpose);
    }

    /// A write took effect.
    pub(super) fn landed(&mut self, write: &Write) {
        let object = match write {
            Write::Put(_, object, _) | Write::Complete(_, _, object, _) => object,
            Write::Remove(..) => {
                self.removals += 1;
                return;
            }
        };
        if let Writer::Ours(attempt) = object.writer
            && let Some(purpose) = self.sent.get(&attempt)
        {
            self.landed.insert(attempt, (*purpose, object.length));
        }
    }

    /// Time passes.
    pub(super) fn at(&mut self, now: Time, source: &Source) {
        let head = source.txid;
        if self.past != source.past {
            // What was restored may have come back a moment ago, with an old number.
            self.past = source.past;
            self.heads.clear();
        }
        if self.heads.back().is_none_or(|(_, last)| *last != head) {
            self.heads.push_back((now, head));
        }
        // The last one of those that are old is how far it was then.
        while self.heads.get(1).is_some_and(|(at, _)| now.millis_since(*at) >= HEADS_MILLIS_MAX) {
            self.heads.pop_front();
        }
        self.healthy_since.get_or_insert(now);
    }

    /// Whatever is behind has reason to be, for a while.
    pub(super) fn interfered(&mut self) {
        self.healthy_since = None;
    }

    /// How far the source was so long ago.
    fn head_before(&self, now: Time, millis: u64) -> Option<TxId> {
        let old = self.heads.iter().rev().find(|(at, _)| now.millis_since(*at) >= millis);
        old.map(|(_, head)| *head)
    }

    /// O3: a file that the source has had for long stands on the target, unless people were told
    /// why it does not. A commit marker waits for its group (rule 7.1), however long that changes.
    pub(super) fn stale(
        &self,
        source: &Source,
        target: &Target,
        aside: impl Fn(&RelPath) -> bool,
        (now, answer_millis): (Time, u64),
    ) -> Option<String> {
        let stale_millis = STALE_MILLIS_MAX + source.nodes() * answer_millis * LOOKS;
        let healthy = self
            .healthy_since
            .is_some_and(|since| now.millis_since(since) >= stale_millis && !source.root_away);
        let head = self.head_before(now, stale_millis).filter(|_| healthy)?;
        source.files().into_iter().find_map(|(path, file)| {
            let (content, ..) = file?;
            let stands = target.objects.get(&path).is_some_and(|it| it.content == content);
            let waits = commit_marker::is_commit_marker(&path);
            let excused = waits || target.disturbed.contains(&path) || aside(&path);
            let stale = !stands && !excused && source.last_touch(&path) <= head;
            stale.then(|| format!("{path} has been behind for {stale_millis} ms"))
        })
    }

    /// O5: an object goes although the source has had it, unchanged, for longer than any look may
    /// be old. A commit marker goes while it is stale.
    pub(super) fn unfounded(
        &self,
        source: &Source,
        path: &RelPath,
        object: &Object,
        now: Time,
    ) -> Option<String> {
        let ours = matches!(object.writer, Writer::Ours(_));
        if !ours || path.is_marker() || commit_marker::is_commit_marker(path) || source.root_away {
            return None;
        }
        let head = self.head_before(now, LOOK_MILLIS_MAX)?;
        let files = source.files();
        let stands =
            matches!(files.get(path), Some(Some((content, ..))) if *content == object.content);
        let long = source.last_touch(path) <= head;
        (stands && long).then(|| format!("{path} goes, which the source has had for a minute"))
    }

    /// O8: what is counted took effect; each copy that stands at the end was counted. What
    /// `intruders` take away may count as removed, when it was to go.
    pub(super) fn miscounted(
        &self,
        target: &Target,
        counted: &Counters,
        intruders: bool,
    ) -> Option<String> {
        let of = |purpose| {
            let these = self.landed.values().filter(move |(it, _)| *it == purpose);
            these.fold((0, 0), |(count, bytes), (_, length)| (count + 1, bytes + length))
        };
        let (copies, bytes) = of(Purpose::Copy);
        let most = [
            ("files copied", counted.files_copied, copies),
            // What imitates a write of which nothing was heard is taken for it, with its length.
            ("bytes copied", counted.bytes_copied, if intruders { u64::MAX } else { bytes }),
            ("files relocated", counted.files_relocated, of(Purpose::Relocation).0),
            ("metadata updated", counted.metadata_updated, of(Purpose::Metadata).0),
            ("markers written", counted.markers_written, of(Purpose::Marker).0),
            (
                "files removed",
                counted.files_removed,
                if intruders { u64::MAX } else { self.removals },
            ),
        ];
        let more = most.into_iter().find(|(_, counted, landed)| counted > landed);
        if let Some((what, counted, landed)) = more {
            return Some(format!("{counted} {what} are counted, {landed} took effect"));
        }
        let stands = target.objects.values().filter(|object| match object.writer {
            Writer::Ours(attempt) => self.sent.get(&attempt) == Some(&Purpose::Copy),
            Writer::OtherMigration | Writer::Foreign | Writer::Imitation(_) => false,
        });
        let stand = stands.count() as u64;
        (counted.files_copied < stand)
            .then(|| format!("{} files copied are counted, {stand} stand", counted.files_copied))
    }
}
