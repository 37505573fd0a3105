//! The ledger on a thread of its own: every question in the order in which it was asked, with
//! batches that wait behind each other made durable in one transaction.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use whimbrel_core::effect::{Removable, Ticket};
use whimbrel_core::entry::{Node, Page};
use whimbrel_core::input::{Examined, Input, Listed, PageJoin, Work};
use whimbrel_core::number::{Time, TxId};
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Change, Counters, Lane, PendingSummary};
use whimbrel_core::scope::Scope;
use whimbrel_ledger::{Ledger, LedgerError};

use crate::covered::covers_any;
use crate::error::EngineError;
use crate::removable::{any_found, covers_object, covers_path, covers_row, removable};

/// How long a batch waits for others to become durable with.
const COMMIT_WAIT: Duration = Duration::from_millis(2);
/// How often it is looked for others meanwhile: to be woken for each would cost more than they do.
const LOOK_EVERY: Duration = Duration::from_micros(500);
/// Changes that are not kept waiting any longer.
const COMMIT_CHANGES_MAX: usize = 2_000;
/// How often hints that serve nobody any more are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(5);

/// A question to the ledger.
pub(crate) enum Question {
    Persist {
        batch: u64,
        changes: Vec<Change>,
    },
    Take {
        lane: Lane,
        limit: usize,
        now: Time,
    },
    Join {
        ticket: Ticket,
        directory: RelPath,
        after: Option<Bytes>,
        page: Page,
        by_file_key: bool,
    },
    Examined {
        ticket: Ticket,
        path: RelPath,
        node: Node,
    },
    Rows(RowsQuestion),
    Group {
        ticket: Ticket,
        path: RelPath,
        group: RelPath,
        up_to: TxId,
    },
    CheckHints {
        ticket: Ticket,
        path: RelPath,
    },
    CountRemovals {
        ticket: Ticket,
        now: Time,
    },
    Densest {
        ticket: Ticket,
        excess: u64,
    },
    /// Anything else, answered by the closure itself.
    Ask(Box<dyn FnOnce(&mut Ledger) + Send>),
    /// Nothing is answered any more.
    End,
}

/// What `Effect::Rows` asks for.
pub(crate) struct RowsQuestion {
    pub(crate) ticket: Ticket,
    pub(crate) under: RelPath,
    pub(crate) after: Option<RelPath>,
    pub(crate) which: Removable,
    pub(crate) strictly_below: bool,
    pub(crate) limit: usize,
}

/// Asks the ledger. Cheap to clone; the thread ends when the last one is dropped.
#[derive(Clone)]
pub(crate) struct LedgerDesk {
    questions: Sender<Question>,
}

impl LedgerDesk {
    /// Puts a question behind those that were asked before. After the thread ended nothing is
    /// answered any more; the run ends then.
    pub(crate) fn ask(&self, question: Question) {
        let _ = self.questions.send(question);
    }

    /// Asks and waits for the answer; `None` if the thread has ended.
    pub(crate) async fn query<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Ledger) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        self.ask(Question::Ask(Box::new(move |ledger| {
            let _ = sender.send(question(ledger));
        })));
        receiver.await.ok()
    }
}

/// The ledger at work.
pub(crate) struct LedgerThread {
    pub(crate) desk: LedgerDesk,
    thread: JoinHandle<Option<Ledger>>,
}

/// Sums over the whole migration as they are durable.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) counters: Counters,
    /// Pending entries that went from memory to the disk's table.
    pub(crate) spilled: u64,
}

/// The same for whoever shows them.
pub(crate) type SharedSums = Arc<Mutex<Sums>>;

impl LedgerThread {
    /// Gives the ledger a thread. `sums` follow what is durable. The first failure ends it and goes
    /// to `failed`.
    pub(crate) fn start(
        ledger: Ledger,
        view: View,
        sums: SharedSums,
        inputs: UnboundedSender<Input>,
        failed: UnboundedSender<EngineError>,
    ) -> std::io::Result<Self> {
        let (questions, asked) = channel();
        let pruned = Instant::now();
        let clerk = Clerk { ledger, view, sums, inputs, waiting: Vec::new(), pruned };
        let work = move || clerk.work(&asked, &failed);
        let thread = std::thread::Builder::new().name("ledger".to_owned()).spawn(work)?;
        Ok(Self { desk: LedgerDesk { questions }, thread })
    }

    /// Waits until everything asked for is durable, and gives the ledger back; `None` if it
    /// failed.
    pub(crate) async fn end(self) -> Option<Ledger> {
        self.desk.ask(Question::End);
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        joined.ok()?.ok()?
    }
}

/// How the run looks at the ledger: rows and entries outside of the scope are kept, and not shown.
pub(crate) struct View {
    /// What belongs to the migration.
    pub(crate) scope: Scope,
    /// Directories are real: they are removed after what they hold.
    pub(crate) children_first: bool,
    /// Foreign objects that the source does not have are removed.
    pub(crate) extras_go: bool,
}

struct Clerk {
    ledger: Ledger,
    view: View,
    sums: SharedSums,
    inputs: UnboundedSender<Input>,
    waiting: Vec<(u64, Vec<Change>)>,
    pruned: Instant,
}

impl Clerk {
    fn work(
        mut self,
        asked: &Receiver<Question>,
        failed: &UnboundedSender<EngineError>,
    ) -> Option<Ledger> {
        // A ledger that broke off in mid-work is not used again, whatever state it is in.
        let error = match catch_unwind(AssertUnwindSafe(|| self.serve(asked))) {
            Ok(Ok(())) => return Some(self.ledger),
            Ok(Err(error)) => error.into(),
            Err(_) => EngineError::defect("the ledger broke"),
        };
        let _ = failed.send(error);
        None
    }

    fn serve(&mut self, asked: &Receiver<Question>) -> Result<(), LedgerError> {
        while let Ok(question) = asked.recv() {
            let Question::Persist { batch, changes } = question else {
                if !self.answer(question)? {
                    return Ok(());
                }
                continue;
            };
            self.waiting.push((batch, changes));
            let behind = self.collect(asked);
            self.commit()?;
            if let Some(question) = behind
                && !self.answer(question)?
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Gathers the batches that come within a moment; a question for anything else ends it and is
    /// answered after them.
    fn collect(&mut self, asked: &Receiver<Question>) -> Option<Question> {
        let until = Instant::now() + COMMIT_WAIT;
        let mut gathered: usize = self.waiting.iter().map(|(_, changes)| changes.len()).sum();
        while gathered < COMMIT_CHANGES_MAX {
            match asked.try_recv() {
                Ok(Question::Persist { batch, changes }) => {
                    gathered += changes.len();
                    self.waiting.push((batch, changes));
                }
                Ok(other) => return Some(other),
                Err(TryRecvError::Empty) if Instant::now() < until => {
                    std::thread::sleep(LOOK_EVERY);
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return None,
            }
        }
        None
    }

    fn commit(&mut self) -> Result<(), LedgerError> {
        let batches: Vec<&[Change]> =
            self.waiting.iter().map(|(_, changes)| changes.as_slice()).collect();
        let mut summary = self.ledger.apply(&batches)?;
        self.count()?;
        if self.pruned.elapsed() >= PRUNE_EVERY {
            self.ledger.prune_hints()?;
            self.pruned = Instant::now();
            summary = self.ledger.summary()?;
        }
        for (batch, _) in std::mem::take(&mut self.waiting) {
            self.tell(Input::Persisted { batch, summary });
        }
        Ok(())
    }

    fn count(&self) -> Result<(), LedgerError> {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.spilled = self.ledger.spilled()?;
        sums.counters = self.ledger.meta()?.counters;
        Ok(())
    }

    /// The core is gone only when the run ends, and then nobody waits for the answer.
    fn tell(&self, input: Input) {
        let _ = self.inputs.send(input);
    }

    /// False if it was the last question.
    fn answer(&mut self, question: Question) -> Result<bool, LedgerError> {
        let ledger = &mut self.ledger;
        let input = match question {
            Question::End => return Ok(false),
            Question::Ask(question) => {
                question(ledger);
                return Ok(true);
            }
            Question::Persist { batch, changes } => {
                self.waiting.push((batch, changes));
                self.commit()?;
                return Ok(true);
            }
            Question::Take { lane, limit, now } => {
                let (work, summary) = self.take(lane, limit, now)?;
                Input::Taken { work, summary }
            }
            Question::Join { ticket, directory, after, page, by_file_key } => {
                let mut join =
                    ledger.join_page(&directory, after.as_deref(), &page, by_file_key)?;
                cut_join(&self.view.scope, &directory, &mut join);
                let outcome = Listed::Page { page, join: Box::new(join) };
                Input::Listed { ticket, outcome }
            }
            Question::Examined { ticket, path, node } => {
                let file_key = match &node {
                    Node::File(file) => file.identity.file_key(),
                    Node::Directory(_) | Node::Special(_) => None,
                };
                let renamed = match file_key {
                    Some(file_key) => ledger.row_of_file_key(file_key, &path)?,
                    None => None,
                };
                Input::Examined { ticket, outcome: Examined::Present(node), renamed }
            }
            Question::Rows(asked) => {
                let View { scope, children_first, .. } = &self.view;
                let objects = removable(ledger, scope, *children_first, &asked)?;
                Input::Rows { ticket: asked.ticket, objects }
            }
            Question::Group { ticket, path, group, up_to } => {
                Input::Group { ticket, group: ledger.group(&path, &group, up_to)? }
            }
            Question::CheckHints { ticket, path } => {
                Input::HintsChecked { ticket, wait: ledger.hints_wait(&path)? }
            }
            Question::CountRemovals { ticket, now } => {
                let View { scope, extras_go, .. } = &self.view;
                let goes = |path: &RelPath| *extras_go && covers_object(scope, path);
                let removals = ledger.removals(now, &|row| covers_row(scope, row), &goes)?;
                Input::RemovalsCounted { ticket, removals }
            }
            Question::Densest { ticket, excess } => {
                Input::Dense { ticket, directories: ledger.densest(excess)? }
            }
        };
        self.tell(input);
        Ok(true)
    }

    /// Entries of the scope. Others are left from before the scope was narrowed: nothing is to be
    /// done about them, and what stands on the target stays there.
    fn take(
        &mut self,
        lane: Lane,
        limit: usize,
        now: Time,
    ) -> Result<(Vec<Work>, PendingSummary), LedgerError> {
        loop {
            let (work, summary) = self.ledger.take(lane, limit, now)?;
            let scope = &self.view.scope;
            let (work, left): (Vec<Work>, Vec<Work>) =
                work.into_iter().partition(|work| covers_path(scope, &work.pending.path));
            let mut work: Vec<Work> = work.into_iter().map(|work| cut_work(scope, work)).collect();
            for work in work.iter_mut().filter(|work| work.found_below) {
                work.found_below =
                    self.view.extras_go && any_found(&self.ledger, scope, &work.pending.path)?;
            }
            if left.is_empty() {
                return Ok((work, summary));
            }
            let settled: Vec<Change> = left.into_iter().map(settled).collect();
            let summary = self.ledger.apply(&[&settled])?;
            if !work.is_empty() {
                return Ok((work, summary));
            }
        }
    }
}

fn settled(work: Work) -> Change {
    Change::Settle { path: work.pending.path, up_to: work.pending.mark, as_of: TxId(0) }
}

/// Leaves out of work what the scope does not cover: it would be removed with the path.
fn cut_work(scope: &Scope, mut work: Work) -> Work {
    work.row = work.row.filter(|row| covers_row(scope, row));
    work.marker = work.marker.filter(|row| covers_row(scope, row));
    work.found = work.found.filter(|found| covers_object(scope, &found.path));
    work.file_above = work.file_above.filter(|above| scope.covers_file(above));
    work.stale_commit_markers.retain(|marker| scope.covers_file(marker));
    work.commit_markers.retain(|row| covers_row(scope, row));
    work
}

/// Leaves out of a join what the scope does not cover: it would seem removed at the source.
fn cut_join(scope: &Scope, directory: &RelPath, join: &mut PageJoin) {
    join.rows.retain(|row| covers_row(scope, row));
    join.directories.retain(|name| covers_any(scope, &directory.join(name)));
    join.directory_records.retain(|record| covers_any(scope, &record.path));
    join.pending.retain(|path| covers_path(scope, path));
    join.attempts.retain(|attempt| covers_path(scope, &attempt.path));
    join.found.retain(|found| covers_object(scope, &found.path));
    join.found_directories.retain(|name| covers_any(scope, &directory.join(name)));
    join.file_above = join.file_above.take().filter(|above| scope.covers_file(above));
    join.stale_commit_markers.retain(|marker| scope.covers_file(marker));
    join.commit_markers.retain(|row| covers_row(scope, row));
}
