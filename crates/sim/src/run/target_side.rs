//! The target's side: what the core has it do, and what it is told of that.

use bytes::Bytes;
use whimbrel_core::effect::{CopyJob, Effect, Expected, Removal, Ticket};
use whimbrel_core::failure::{Failure, FailureKind, Side};
use whimbrel_core::input::{Input, Inventoried, Standing, Written};
use whimbrel_core::number::AttemptNumber;
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Found, Row, Upload};
use whimbrel_ledger::{KeyRange, Seen};

use super::{Happening, LATE_MILLIS_MAX, Run, checksum, unavailable};
use crate::coverage::Fault;
use crate::oracle;
use crate::world::source::Content;
use crate::world::target::{Applied, Carried, Object, Write, Writer};

/// Doubtful paths of one page of the comparison.
const DOUBTFUL_MAX: usize = 3;

/// How a request to the target ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// Nothing happened, and the sender knows it.
    Fails,
    /// The store does not do such things.
    Refuses,
    /// There are no rights at this place.
    Forbids,
    /// It took effect, and the sender knows it.
    Heard,
    /// The sender does not know; it takes effect after so many milliseconds.
    Unheard(u64),
}

impl Run {
    pub(super) fn carry_target(&mut self, effect: Effect) {
        if self.target_is_busy(&effect) {
            return;
        }
        match effect {
            Effect::Copy(job) => self.carry_copy(job),
            Effect::Complete { ticket, attempt, path, upload, crc32c, expected } => {
                let Some((content, length)) = oracle::parts_of(&upload) else { return };
                debug_assert_eq!(crc32c, checksum(content));
                let (writer, carried) = (Writer::Ours(attempt), Carried::mode(0));
                let object = Object { content, length, writer, carried };
                let write = Write::Complete(upload.id, path, object.clone(), expected);
                self.write(ticket, write, object);
            }
            Effect::Abort { upload_id, .. } => {
                self.target.uploads.remove(&upload_id);
            }
            Effect::Relocate { ticket, attempt, from, path, metadata, expected } => {
                let carried = Carried::of(&metadata);
                // What a copy onto itself copies is looked at when it takes effect.
                let named = from.etag.clone().filter(|_| from.path == path);
                let expected = named.map_or(expected, Expected::Object);
                self.carry_relocate(ticket, attempt, from, (path, carried), expected);
            }
            Effect::PutMarker { ticket, attempt, path, metadata, expected } => {
                let (writer, carried) = (Writer::Ours(attempt), Carried::of(&metadata));
                let object = Object { content: 0, length: 0, writer, carried };
                self.write(ticket, Write::Put(path, object.clone(), expected), object);
            }
            Effect::Remove { ticket, items } => self.carry_remove(ticket, items),
            Effect::Inspect { ticket, path } => {
                let standing = self.target.objects.get(&path).map(standing);
                self.soon(Happening::Tell(Input::Inspected { ticket, outcome: Ok(standing) }));
            }
            Effect::Inventory { ticket, after, again: false } => {
                let outcome = Ok(self.inventory(after.as_deref()));
                self.soon(Happening::Tell(Input::Inventoried { ticket, outcome }));
            }
            Effect::Inventory { ticket, after, again: true } => {
                let outcome = Ok(self.recount(after));
                self.soon(Happening::Tell(Input::Inventoried { ticket, outcome }));
            }
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
            | Effect::Pace(_)
            | Effect::Report(_)
            | Effect::Finish(_) => {}
        }
    }

    /// Two objects a page, in the order of their keys.
    fn inventory(&self, after: Option<&[u8]>) -> Inventoried {
        let (page, full) = self.target_page(after);
        let found: Vec<Found> =
            page.into_iter().map(|(path, object)| found(path, object)).collect();
        let cursor = found.last().map(|last| Bytes::copy_from_slice(last.path.as_bytes()));
        Inventoried { found, cursor, done: !full, ..Inventoried::default() }
    }

    fn target_page(&self, after: Option<&[u8]>) -> (Vec<(&RelPath, &Object)>, bool) {
        let later = self
            .target
            .objects
            .iter()
            .filter(|(path, _)| after.is_none_or(|after| path.as_bytes() > after));
        let page: Vec<(&RelPath, &Object)> = later.take(2).collect();
        let full = page.len() == 2;
        (page, full)
    }

    /// The same, compared with the ledger.
    fn recount(&mut self, after: Option<Bytes>) -> Inventoried {
        let (page, full) = self.target_page(after.as_deref());
        let last = page.last().filter(|_| full);
        let high = last.map(|(path, _)| Bytes::copy_from_slice(path.as_bytes()));
        let seen: Vec<Seen> = page
            .into_iter()
            .map(|(path, object)| Seen {
                path: path.clone(),
                length: object.length,
                etag: Some(object.etag()),
            })
            .collect();
        let Some(ledger) = &self.ledger else { return Inventoried::default() };
        let range =
            KeyRange { after: after.as_deref(), last: high.as_deref(), ..KeyRange::default() };
        let differs = match ledger.recount(&seen, &range, true, DOUBTFUL_MAX, &|_| true) {
            Ok(differs) => differs,
            Err(error) => {
                self.problem = Some(format!("recount: {error}"));
                return Inventoried::default();
            }
        };
        let looked = |path: &RelPath| Some(found(path, self.target.objects.get(path)?));
        let found = differs.unknown_markers.iter().filter_map(looked).collect();
        let (cursor, done) = match differs.more {
            true => (after, false),
            false => (high, !full),
        };
        Inventoried { found, doubtful: differs.doubtful, cursor, done }
    }

    fn carry_copy(&mut self, job: CopyJob) {
        let Some(node) = self.pinned(&job.path, &job.node) else {
            let (ticket, outcome) = (job.ticket, Written::SourceMoved);
            self.soon(Happening::Tell(Input::Written { ticket, outcome }));
            return;
        };
        let job = CopyJob { node, ..job };
        let content = self.source.read(&job.path, &job.node);
        let length = job.node.identity.length();
        let carried = Carried::of(&job.node.metadata);
        let staged = job.beginning && length > 0;
        if length < self.options.multipart_bytes && !staged {
            let object = Object { content, length, writer: Writer::Ours(job.attempt), carried };
            let write = Write::Put(job.path, object.clone(), job.expected);
            self.write(job.ticket, write, object);
            return;
        }
        let id = match &job.resume {
            Some(upload) if self.target.uploads.contains_key(&upload.id) => upload.id.clone(),
            Some(_) => {
                self.coverage.ends(Fault::Unexpected);
                let outcome = Written::Failed(Failure {
                    kind: FailureKind::Missing,
                    side: Side::Source,
                    ..unavailable(Side::Target)
                });
                self.soon(Happening::Tell(Input::Written { ticket: job.ticket, outcome }));
                return;
            }
            None => {
                let id = format!("upload-{}", job.attempt);
                self.target.uploads.insert(id.clone(), carried);
                id
            }
        };
        let upload = Upload { id, part_bytes: length.max(1), parts: Vec::new() };
        let attempt = job.attempt;
        self.at(0, Happening::Tell(Input::UploadOpened { attempt, upload: upload.clone() }));
        let part = oracle::part(content, length);
        self.at(1, Happening::Tell(Input::PartDone { attempt, part }));
        let fails = self.rng.u8(..100) < self.options.fail_percent;
        let millis = 2 + self.rng.u64(..self.options.latency_max * 2);
        let millis = self.forced.delay.take().unwrap_or(millis);
        if fails {
            self.coverage.ends(Fault::Failed);
            let outcome = Written::Failed(unavailable(Side::Target));
            self.at(millis, Happening::Tell(Input::Written { ticket: job.ticket, outcome }));
        } else {
            self.at(millis, Happening::ReadRest { job, upload, first: content });
        }
    }

    /// The last part is read and sent: some time after the first one.
    pub(super) fn read_rest(&mut self, job: CopyJob, upload: Upload, first: Content) {
        let content = self.source.read_rest(&job.path, &job.node, first);
        let part = oracle::part(content, job.node.identity.length());
        let upload = Upload { parts: vec![part], ..upload };
        let outcome = Written::Staged { upload, crc32c: checksum(content) };
        let input = Input::Written { ticket: job.ticket, outcome };
        self.coverage.heard(&input);
        self.core.handle(self.now, input);
    }

    fn carry_relocate(
        &mut self,
        ticket: Ticket,
        attempt: AttemptNumber,
        from: Row,
        (path, carried): (RelPath, Carried),
        expected: Expected,
    ) {
        let there = self.target.objects.get(&from.path);
        let named = there.filter(|object| is_named(object, &from)).cloned();
        match named {
            Some(object) => {
                let object = Object { writer: Writer::Ours(attempt), carried, ..object };
                self.write(ticket, Write::Put(path, object.clone(), expected), object);
            }
            None => {
                self.coverage.ends(Fault::Unexpected);
                let outcome = Written::Failed(conflict());
                self.soon(Happening::Tell(Input::Written { ticket, outcome }));
            }
        }
    }

    fn carry_remove(&mut self, ticket: Ticket, items: Vec<Removal>) {
        let outcomes = items
            .into_iter()
            .map(|item| match self.fate() {
                Fate::Fails => Written::Failed(unavailable(Side::Target)),
                Fate::Refuses => Written::Failed(refused()),
                Fate::Forbids => Written::Failed(forbidden()),
                Fate::Heard => match self.apply_now(Write::Remove(item.path, item.expected)) {
                    Applied::Unexpected => Written::Unexpected(conflict()),
                    Applied::Done | Applied::NoUpload => Written::Done(Standing::default()),
                },
                Fate::Unheard(late) => {
                    self.land(Write::Remove(item.path, item.expected), late);
                    Written::Unknown(unavailable(Side::Target))
                }
            })
            .collect();
        self.soon(Happening::Tell(Input::Removed { ticket, outcomes }));
    }

    fn fate(&mut self) -> Fate {
        let fate = self.draw_fate();
        self.coverage.ends(match fate {
            Fate::Fails | Fate::Refuses | Fate::Forbids => Fault::Failed,
            Fate::Heard => Fault::Done,
            Fate::Unheard(0) => Fault::Unheard,
            Fate::Unheard(_) => Fault::Late,
        });
        fate
    }

    fn draw_fate(&mut self) -> Fate {
        if let Some(fate) = self.forced.fate.take() {
            return fate;
        }
        let roll = self.rng.u8(..100);
        if roll < self.options.fail_percent {
            Fate::Fails
        } else if roll < self.options.fail_percent + self.options.lost_reply_percent {
            let late = self.rng.u8(..100) < self.options.late_percent;
            Fate::Unheard(if late { self.rng.u64(..LATE_MILLIS_MAX) } else { 0 })
        } else {
            Fate::Heard
        }
    }

    fn write(&mut self, ticket: Ticket, write: Write, object: Object) {
        let outcome = match self.fate() {
            Fate::Fails => Written::Failed(unavailable(Side::Target)),
            Fate::Refuses => Written::Failed(refused()),
            Fate::Forbids => Written::Failed(forbidden()),
            Fate::Heard => {
                let path = match &write {
                    Write::Put(path, ..)
                    | Write::Complete(_, path, ..)
                    | Write::Remove(path, _) => path.clone(),
                };
                match self.apply_now(write) {
                    Applied::Done => {
                        let there = self.target.objects.get(&path).map(standing);
                        Written::Done(there.unwrap_or_else(|| standing(&object)))
                    }
                    Applied::NoUpload => Written::Failed(conflict()),
                    Applied::Unexpected => Written::Unexpected(conflict()),
                }
            }
            Fate::Unheard(late) => {
                self.land(write, late);
                Written::Unknown(unavailable(Side::Target))
            }
        };
        self.soon(Happening::Tell(Input::Written { ticket, outcome }));
    }

    fn apply_now(&mut self, write: Write) -> Applied {
        let applied = self.apply(write);
        if applied != Applied::Done {
            self.coverage.ends(Fault::Unexpected);
        }
        applied
    }

    fn land(&mut self, write: Write, late: u64) {
        if late == 0 {
            self.apply(write);
        } else {
            self.note_leaving(&write);
            self.at(late, Happening::Land(write));
        }
    }
}

/// A copy that names no object copies whatever stands there.
fn is_named(object: &Object, from: &Row) -> bool {
    from.etag.as_ref().is_none_or(|etag| object.etag() == *etag)
}

fn conflict() -> Failure {
    Failure { kind: FailureKind::Conflict, ..unavailable(Side::Target) }
}

fn refused() -> Failure {
    Failure { kind: FailureKind::Unsupported, ..unavailable(Side::Target) }
}

fn forbidden() -> Failure {
    Failure { kind: FailureKind::Forbidden, ..unavailable(Side::Target) }
}

fn standing(object: &Object) -> Standing {
    Standing {
        length: object.length,
        etag: Some(object.etag()),
        version: None,
        crc32c: Some(checksum(object.content)),
        attempt: match object.writer {
            Writer::Ours(attempt) | Writer::Imitation(attempt) => Some(attempt),
            Writer::OtherMigration | Writer::Foreign => None,
        },
        migration: migration_of(object),
        metadata: Some(object.carried.metadata()),
    }
}

fn found(path: &RelPath, object: &Object) -> Found {
    Found {
        path: path.clone(),
        length: object.length,
        etag: Some(object.etag()),
        version: None,
        crc32c: Some(checksum(object.content)),
        metadata: None,
        migration: migration_of(object),
        late: false,
    }
}

fn migration_of(object: &Object) -> Option<String> {
    match object.writer {
        Writer::Ours(_) | Writer::Imitation(_) => Some("simulated".to_owned()),
        Writer::OtherMigration => Some("another".to_owned()),
        Writer::Foreign => None,
    }
}
