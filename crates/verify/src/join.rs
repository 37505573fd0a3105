//! Both sides joined by key, subtree by subtree where some are mapped elsewhere.

mod again;

use std::cmp::Ordering;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use whimbrel_core::entry::Node;
use whimbrel_core::failure::{Failure, FailureKind, Side};
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_store::error::StoreError;
use whimbrel_store::target::Object;

use self::again::{Again, Part, Step};
use crate::compare::Comparison;
use crate::keys::Keys;
use crate::moved::Moved;
use crate::note::Notebook;
use crate::sample::{Choice, Sampler};
use crate::settle::{Seen, settled};
use crate::walk::{Item, Walk, What};
use crate::{
    Continuation, Difference, DifferenceKind, Equal, Meter, Note, Verification, add, attempt,
};

/// Differences that are kept to be looked at again together.
const OPEN_MAX: usize = 10_000;

/// Compares one subtree after the other: what is not mapped, then each mapped one. A sample that
/// goes by time follows.
pub(crate) async fn run(
    verification: &Verification,
    meter: &Arc<Meter>,
    differences: &mpsc::Sender<Difference>,
    equals: Option<mpsc::Sender<Equal>>,
    continuation: Continuation,
) -> Result<(), Failure> {
    let comparison = Comparison::new(verification.clone(), meter.clone(), equals);
    let sampler = verification.options.sample.as_ref().map(Sampler::new);
    // By time, everything is listed again and again.
    let by_time = sampler.as_ref().is_some_and(|sampler| sampler.time().is_some());
    let Continuation { from, moved, notes, every } = continuation;
    let mut join = Join {
        comparison: Arc::new(comparison),
        meter,
        differences,
        tasks: JoinSet::new(),
        open: Vec::new(),
        unreadable: None,
        root: RelPath::root(),
        again: None,
        sampler,
        notebook: Notebook::new(notes.filter(|_| !by_time), every),
    };
    join.run_all(from.filter(|_| !by_time).unwrap_or_default(), moved).await?;
    join.by_time().await
}

struct Join<'a> {
    comparison: Arc<Comparison>,
    meter: &'a Meter,
    differences: &'a mpsc::Sender<Difference>,
    tasks: JoinSet<Option<Seen>>,
    /// Differences that somebody may be about to mend.
    open: Vec<Seen>,
    /// A directory that could not be listed: nobody knows what is extra below it.
    unreadable: Option<RelPath>,
    root: RelPath,
    /// What is gone through was gone through before.
    again: Option<Again>,
    /// Says which files are looked at; `None`: all.
    sampler: Option<Sampler>,
    notebook: Notebook,
}

impl Join<'_> {
    async fn run_all(&mut self, from: Note, moved: Moved) -> Result<(), Failure> {
        let mapped = self.comparison.verification.mapped.iter().filter(|from| !from.is_root());
        let roots: Vec<RelPath> = [RelPath::root()].into_iter().chain(mapped.cloned()).collect();
        let Note { roots_done, mut behind, unequal, .. } = from;
        let part = Part { roots: &roots, roots_done, behind: behind.as_ref() };
        self.look_again(part, unequal, moved).await?;
        for (number, root) in roots.into_iter().enumerate().skip(roots_done) {
            (self.root, self.unreadable) = (root, None);
            self.notebook.begin(number);
            self.run(behind.take()).await?;
            self.settle().await;
        }
        Ok(())
    }

    /// Looks at files in the order of the sample until its time is over or none is left.
    async fn by_time(&mut self) -> Result<(), Failure> {
        let Some(time) = self.sampler.as_ref().and_then(Sampler::time) else { return Ok(()) };
        let begun = Instant::now();
        while let Some(sampler) = &mut self.sampler {
            let (drawn, more) = sampler.take();
            for (path, length) in drawn {
                self.make_room().await?;
                if begun.elapsed() >= time {
                    break;
                }
                let comparison = self.comparison.clone();
                self.spawn(async move { comparison.drawn(path, length).await });
            }
            self.finish_all().await?;
            self.settle().await;
            let left = time.saturating_sub(begun.elapsed());
            if !more || left.is_zero() {
                break;
            }
            // Nothing is begun meanwhile that could be cut off.
            match tokio::time::timeout(left, self.run_all(Note::default(), Moved::default())).await
            {
                Ok(listed) => listed?,
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// True if this listing only finds the next files of a sample: all else was told.
    fn told(&self) -> bool {
        self.sampler.as_ref().is_some_and(Sampler::listed)
    }

    /// What becomes of something listed, whose length the target lists as this.
    fn choose(&mut self, path: &RelPath, node: &Node, listed: Option<u64>) -> Choice {
        match (&mut self.sampler, node) {
            (None, _) => Choice::LookAt,
            (Some(sampler), Node::File(file)) => {
                let length = file.identity.length();
                sampler.choose(path, length, listed == Some(length), self.meter)
            }
            (Some(sampler), Node::Special(_) | Node::Directory(_)) => match sampler.listed() {
                true => Choice::Leave,
                false => Choice::LookAt,
            },
        }
    }

    async fn run(&mut self, behind: Option<RelPath>) -> Result<(), Failure> {
        let verification = self.comparison.verification.clone();
        let target_side = |error: StoreError| error.into_failure(Side::Target);
        let source_side = |error: StoreError| error.into_failure(Side::Source);
        let after = behind.as_ref().and_then(|path| verification.keys.key(path).ok());
        let walk = match self.again {
            Some(_) => self.begin_again().await?,
            None => match self.begin().await? {
                None => return self.finish_all().await,
                walk => walk,
            },
        };
        let mut walk = walk.map(|walk| walk.behind(behind));
        let mut keys = Keys::new(verification.target.clone(), self.prefix(), after);
        let flat = verification.source.namespace() == Namespace::Flat;
        let mut item = next(&mut walk).await.map_err(source_side)?;
        let mut object = keys.next().await.map_err(target_side)?;
        loop {
            let key = match &item {
                Some(item) => match verification.keys.key(&item.path) {
                    Ok(key) => Some(key),
                    Err(error) => Some(self.refused(&item.path, &error).await),
                },
                None => None,
            };
            let order = match (&key, &object) {
                (None, None) => break,
                (_, Some(object)) if object.altered => Ordering::Greater,
                (Some(_), _) if item.as_ref().is_some_and(|item| item.is_without_key(flat)) => {
                    Ordering::Less
                }
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(key), Some(object)) => key.as_slice().cmp(object.key.as_slice()),
            };
            let done = self.done(order, item.as_ref(), key.as_deref(), object.as_ref(), flat);
            let again = self.again.as_ref().zip(done.as_ref());
            let step = again.map_or(Step::Take, |(again, path)| again.step(path));
            if step == Step::End {
                break;
            }
            if order != Ordering::Greater {
                let here = object.as_ref().filter(|_| order == Ordering::Equal);
                let listed = here.map(|object| object.length);
                if let Some(item) = item.take().filter(|_| step == Step::Take) {
                    self.on_source(item, key.unwrap_or_default(), listed).await?;
                }
                item = next(&mut walk).await.map_err(source_side)?;
            } else if let Some(only) = object.take().filter(|_| step == Step::Take) {
                self.on_target_alone(only).await?;
            }
            if order != Ordering::Less {
                object = keys.next().await.map_err(target_side)?;
            }
            if let Some(done) = done.filter(|_| self.again.is_none() && self.notebook.is_due()) {
                self.note(&done).await?;
            }
        }
        self.finish_all().await
    }

    /// The path up to which all is done once this step is: of whatever of both sides comes first.
    fn done(
        &mut self,
        order: Ordering,
        item: Option<&Item>,
        key: Option<&[u8]>,
        object: Option<&Object>,
        flat: bool,
    ) -> Option<RelPath> {
        if order == Ordering::Greater {
            let object = object?;
            if object.altered {
                self.notebook.close();
            }
            let path = self.comparison.verification.keys.path(&object.key)?;
            return Some(path).filter(|path| self.belongs(path));
        }
        let item = item?;
        if item.is_without_key(flat) || matches!(item.what, What::Unreadable(_)) {
            self.notebook.close();
        }
        // Without a key it comes before its turn.
        key.filter(|key| !key.is_empty()).map(|_| item.path.clone())
    }

    async fn note(&mut self, behind: &RelPath) -> Result<(), Failure> {
        let begun = Instant::now();
        self.finish_all().await?;
        let open = self.open.iter().map(|seen| &seen.difference.path);
        self.notebook.note(behind, self.meter, open, begun).await;
        Ok(())
    }

    /// The walk over this subtree; `None` if nothing, or only a file, stands at its root.
    async fn begin(&mut self) -> Result<Option<Walk>, Failure> {
        let verification = self.comparison.verification.clone();
        let failed = |error: StoreError| error.into_failure(Side::Source);
        if !self.root.is_root() {
            let root = self.root.clone();
            match attempt::ask(|| verification.source.stat(&root)).await.map_err(failed)? {
                Some(node @ (Node::File(_) | Node::Special(_))) => {
                    let covered = verification.scope.covers_file(&root);
                    if covered && self.choose(&root, &node, None) == Choice::LookAt {
                        self.spawn_node(root, node);
                    }
                    return Ok(None);
                }
                Some(Node::Directory(_)) | None => self.extra_at_root(root).await?,
            }
        }
        Ok(Some(self.walk()))
    }

    /// What stands at the very key of a mapped subtree, where a file was: no listing of what is
    /// below it names that.
    async fn extra_at_root(&mut self, root: RelPath) -> Result<(), Failure> {
        let verification = &self.comparison.verification;
        let covered = verification.scope.covers_file(&root);
        let key = verification.keys.key(&root).ok().filter(|_| covered && !self.told());
        let Some(key) = key else { return Ok(()) };
        self.make_room().await?;
        let comparison = self.comparison.clone();
        self.spawn(async move { comparison.extra(root, key).await });
        Ok(())
    }

    fn walk(&self) -> Walk {
        let verification = &self.comparison.verification;
        let mapped = verification.mapped.iter();
        let deeper = mapped.filter(|from| self.root.contains(from) && **from != self.root);
        let cut = deeper.cloned().collect();
        let markers = verification.options.directory_markers;
        let (source, scope) = (verification.source.clone(), verification.scope.clone());
        Walk::new(source, scope, markers, self.root.clone(), cut)
    }

    /// What the keys of this subtree begin with.
    fn prefix(&self) -> Vec<u8> {
        let keys = &self.comparison.verification.keys;
        let mut prefix = keys.key(&self.root).unwrap_or_default();
        if self.root.is_root() {
            prefix = keys.prefix().to_vec();
        }
        if !prefix.is_empty() {
            prefix.push(b'/');
        }
        prefix
    }

    /// What the target has at this key is found out by asking for it: a listing does not name
    /// checksums, and may be older.
    async fn on_source(
        &mut self,
        item: Item,
        key: Vec<u8>,
        listed: Option<u64>,
    ) -> Result<(), Failure> {
        if key.is_empty() {
            return Ok(());
        }
        match item.what {
            What::Node(node) => {
                if self.choose(&item.path, &node, listed) == Choice::LookAt {
                    self.make_room().await?;
                    self.spawn_node(item.path, node);
                }
            }
            What::Directory { .. } | What::Unreadable(_) if self.told() => {}
            What::Directory { marker_expected } => {
                add(&self.meter.directories, u64::from(self.again.is_none()));
                if marker_expected {
                    self.make_room().await?;
                    let comparison = self.comparison.clone();
                    self.spawn(async move { comparison.directory(item.path, key).await });
                }
            }
            What::Unreadable(message) => {
                self.unreadable = item.path.parent();
                let kind = DifferenceKind::Unverifiable;
                self.tell(Difference { path: item.path, kind, length: 0, message }).await;
            }
        }
        Ok(())
    }

    async fn on_target_alone(&mut self, object: Object) -> Result<(), Failure> {
        if self.told() {
            return Ok(());
        }
        let verification = &self.comparison.verification;
        let Some(path) = verification.keys.path(&object.key) else { return Ok(()) };
        let place = if path.is_marker() { path.parent().unwrap_or_default() } else { path.clone() };
        let flat = verification.source.namespace() == Namespace::Flat;
        let covered = if path.is_marker() && !flat {
            verification.scope.covers_directory(&place) && !place.is_root()
        } else {
            verification.scope.covers_file(&path)
        };
        let unknown = self.unreadable.as_ref().is_some_and(|directory| directory.contains(&path));
        if !covered || unknown || !self.belongs(&path) {
            return Ok(());
        }
        self.make_room().await?;
        let comparison = self.comparison.clone();
        self.spawn(async move { comparison.extra(path, object.key).await });
        Ok(())
    }

    /// The subtree that a path is compared with.
    fn root_of(&self, path: &RelPath) -> RelPath {
        let mapped = self.comparison.verification.mapped.iter();
        let longest = mapped.filter(|from| from.contains(path));
        longest.max_by_key(|from| from.as_bytes().len()).cloned().unwrap_or_default()
    }

    /// It is of the subtree that is gone through.
    fn belongs(&self, path: &RelPath) -> bool {
        self.root.contains(path) && self.root_of(path) == self.root_of(&self.root)
    }

    fn spawn_node(&mut self, path: RelPath, node: Node) {
        let comparison = self.comparison.clone();
        self.spawn(async move { comparison.node(path, node).await });
    }

    fn spawn(&mut self, look: impl Future<Output = Option<Difference>> + Send + 'static) {
        let comparison = self.comparison.clone();
        self.tasks.spawn(async move { Some(Seen::of(&comparison, look.await?).await) });
    }

    async fn make_room(&mut self) -> Result<(), Failure> {
        while self.tasks.len() >= self.comparison.verification.options.parallel.max(1) {
            self.finish_one().await?;
        }
        Ok(())
    }

    async fn finish_all(&mut self) -> Result<(), Failure> {
        while !self.tasks.is_empty() {
            self.finish_one().await?;
        }
        Ok(())
    }

    async fn finish_one(&mut self) -> Result<(), Failure> {
        match self.tasks.join_next().await {
            None | Some(Ok(None)) => Ok(()),
            Some(Ok(Some(seen)))
                if seen.difference.kind == DifferenceKind::Delayed
                    || self.comparison.verification.worker.is_none() =>
            {
                self.tell(seen.difference).await;
                Ok(())
            }
            Some(Ok(Some(seen))) => {
                // None is told unsettled, however many there are.
                if self.open.len() >= OPEN_MAX {
                    self.settle().await;
                }
                self.open.push(seen);
                Ok(())
            }
            Some(Err(error)) => Err(Failure {
                side: Side::Local,
                kind: FailureKind::Defect,
                message: format!("a comparison broke: {error}"),
                remedy: "report it".to_owned(),
            }),
        }
    }

    /// Tells what is left of the differences that somebody may have mended meanwhile.
    async fn settle(&mut self) {
        let Some(worker) = self.comparison.verification.worker.clone() else { return };
        let open = std::mem::take(&mut self.open);
        for difference in settled(&self.comparison, worker.as_ref(), open).await {
            self.tell(difference).await;
        }
    }

    /// A path that no key can stand for.
    async fn refused(&mut self, path: &RelPath, error: &StoreError) -> Vec<u8> {
        let (kind, message) = (DifferenceKind::Missing, error.to_string());
        let due = self.again.as_ref().is_none_or(|again| again.step(path) == Step::Take);
        if due && !self.told() {
            self.tell(Difference { path: path.clone(), kind, length: 0, message }).await;
        }
        Vec::new()
    }

    async fn tell(&mut self, difference: Difference) {
        self.meter.count(difference.kind);
        if difference.kind == DifferenceKind::Delayed {
            return;
        }
        self.notebook.unequal(&difference.path);
        let ignored = self.comparison.verification.options.ignore_extras;
        if difference.kind == DifferenceKind::Extra && ignored {
            return;
        }
        // Nobody listens any more: the sums still tell.
        let _ = self.differences.send(difference).await;
    }
}

async fn next(walk: &mut Option<Walk>) -> Result<Option<Item>, StoreError> {
    match walk {
        Some(walk) => walk.next().await,
        None => Ok(None),
    }
}
