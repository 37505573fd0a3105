//! The target's side: what the core has it do, and what it is told of that.

use bytes::Bytes;
use whimbrel_core::effect::{CopyJob, Effect, Ticket};
use whimbrel_core::failure::{Failure, FailureKind, Side};
use whimbrel_core::input::{Input, Standing, Written};
use whimbrel_core::number::AttemptNumber;
use whimbrel_core::path::RelPath;
use whimbrel_core::record::{Found, Row, Upload};

use super::{Happening, LIFETIME_MILLIS, Run, checksum, unavailable};
use crate::oracle;
use crate::world::target::{Object, Write, Writer};

/// How a request to the target ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// Nothing happened, and the sender knows it.
    Fails,
    /// It took effect, and the sender knows it.
    Heard,
    /// The sender does not know; it takes effect after so many milliseconds.
    Unheard(u64),
}

impl Run {
    pub(super) fn carry_target(&mut self, effect: Effect) {
        match effect {
            Effect::Copy(job) => self.carry_copy(job),
            Effect::Complete { ticket, attempt, path, upload, crc32c } => {
                let Some((content, length, mode)) = oracle::parts_of(&upload) else { return };
                debug_assert_eq!(crc32c, checksum(content));
                let object =
                    Object { content, length, writer: Writer::Ours(attempt), mode, etag: 0 };
                let write = Write::Complete(upload.id, path, object.clone());
                self.write(ticket, write, object);
            }
            Effect::Abort { upload_id, .. } => {
                self.target.uploads.remove(&upload_id);
            }
            Effect::Relocate { ticket, attempt, from, path, metadata } => {
                self.carry_relocate(ticket, attempt, from, path, metadata.mode);
            }
            Effect::PutMarker { ticket, attempt, path, metadata } => {
                let mode = metadata.mode;
                let writer = Writer::Ours(attempt);
                let object = Object { content: 0, length: 0, writer, mode, etag: 0 };
                self.write(ticket, Write::Put(path, object.clone()), object);
            }
            Effect::Remove { ticket, items } => self.carry_remove(ticket, items),
            Effect::Inspect { ticket, path } => {
                let standing = self.target.objects.get(&path).map(standing);
                self.soon(Happening::Tell(Input::Inspected { ticket, outcome: Ok(standing) }));
            }
            Effect::Inventory { ticket, after } => {
                let outcome = Ok(self.inventory(after.as_deref()));
                self.soon(Happening::Tell(Input::Inventoried { ticket, outcome }));
            }
            Effect::Persist { .. }
            | Effect::Take { .. }
            | Effect::Rows { .. }
            | Effect::Group { .. }
            | Effect::CheckHints { .. }
            | Effect::Densest { .. }
            | Effect::List { .. }
            | Effect::Examine { .. }
            | Effect::Checksum { .. }
            | Effect::Poll { .. }
            | Effect::Position { .. }
            | Effect::Report(_)
            | Effect::Finish(_) => {}
        }
    }

    /// Two objects a page, in the order of their keys.
    fn inventory(&self, after: Option<&[u8]>) -> (Vec<Found>, Option<Bytes>) {
        let later = self
            .target
            .objects
            .iter()
            .filter(|(path, _)| after.is_none_or(|after| path.as_bytes() > after));
        let page: Vec<Found> = later.take(2).map(|(path, object)| found(path, object)).collect();
        let full = page.len() == 2;
        let cursor = page.last().filter(|_| full);
        let cursor = cursor.map(|last| Bytes::copy_from_slice(last.path.as_bytes()));
        (page, cursor)
    }

    fn carry_copy(&mut self, job: CopyJob) {
        let content = self.source.read(&job.path, &job.node);
        let length = job.node.identity.length();
        let mode = job.node.metadata.mode;
        if length < self.options.multipart_bytes {
            let object =
                Object { content, length, writer: Writer::Ours(job.attempt), mode, etag: 0 };
            self.write(job.ticket, Write::Put(job.path, object.clone()), object);
            return;
        }
        let id = match &job.resume {
            Some(upload) if self.target.uploads.contains(&upload.id) => upload.id.clone(),
            Some(_) => {
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
                self.target.uploads.insert(id.clone());
                id
            }
        };
        let upload = Upload { id, part_bytes: length.max(1), parts: Vec::new() };
        let attempt = job.attempt;
        self.at(0, Happening::Tell(Input::UploadOpened { attempt, upload: upload.clone() }));
        let upload = oracle::with_part(upload, content, length, mode);
        if let Some(part) = upload.parts.first().cloned() {
            self.at(1, Happening::Tell(Input::PartDone { attempt, part }));
        }
        let outcome = if self.rng.u8(..100) < self.options.fail_percent {
            Written::Failed(unavailable(Side::Target))
        } else {
            Written::Staged { upload, crc32c: checksum(content) }
        };
        let millis = 2 + self.rng.u64(..self.options.latency_max * 2);
        self.at(millis, Happening::Tell(Input::Written { ticket: job.ticket, outcome }));
    }

    fn carry_relocate(
        &mut self,
        ticket: Ticket,
        attempt: AttemptNumber,
        from: Row,
        path: RelPath,
        mode: u32,
    ) {
        let there = self.target.objects.get(&from.path);
        let named = there.filter(|object| Some(object.etag.to_string()) == from.etag).cloned();
        match named {
            Some(object) => {
                let object = Object { writer: Writer::Ours(attempt), mode, ..object };
                self.write(ticket, Write::Put(path, object.clone()), object);
            }
            None => {
                let kind = FailureKind::Conflict;
                let outcome = Written::Failed(Failure { kind, ..unavailable(Side::Target) });
                self.soon(Happening::Tell(Input::Written { ticket, outcome }));
            }
        }
    }

    fn carry_remove(&mut self, ticket: Ticket, items: Vec<(AttemptNumber, RelPath)>) {
        let outcomes = items
            .into_iter()
            .map(|(_, path)| match self.fate() {
                Fate::Fails => Written::Failed(unavailable(Side::Target)),
                Fate::Heard => {
                    self.apply(Write::Remove(path));
                    Written::Done(Standing::default())
                }
                Fate::Unheard(late) => {
                    self.land(Write::Remove(path), late);
                    Written::Unknown(unavailable(Side::Target))
                }
            })
            .collect();
        self.soon(Happening::Tell(Input::Removed { ticket, outcomes }));
    }

    fn fate(&mut self) -> Fate {
        if let Some(fate) = self.forced.fate.take() {
            return fate;
        }
        let roll = self.rng.u8(..100);
        if roll < self.options.fail_percent {
            Fate::Fails
        } else if roll < self.options.fail_percent + self.options.lost_reply_percent {
            let late = self.rng.u8(..100) < self.options.late_percent;
            Fate::Unheard(if late { self.rng.u64(..LIFETIME_MILLIS) } else { 0 })
        } else {
            Fate::Heard
        }
    }

    fn write(&mut self, ticket: Ticket, write: Write, object: Object) {
        let outcome = match self.fate() {
            Fate::Fails => Written::Failed(unavailable(Side::Target)),
            Fate::Heard => {
                let path = match &write {
                    Write::Put(path, _) | Write::Complete(_, path, _) | Write::Remove(path) => {
                        path.clone()
                    }
                };
                if self.apply(write) {
                    let there = self.target.objects.get(&path).map(standing);
                    Written::Done(there.unwrap_or_else(|| standing(&object)))
                } else {
                    let kind = FailureKind::Conflict;
                    Written::Failed(Failure { kind, ..unavailable(Side::Target) })
                }
            }
            Fate::Unheard(late) => {
                self.land(write, late);
                Written::Unknown(unavailable(Side::Target))
            }
        };
        self.soon(Happening::Tell(Input::Written { ticket, outcome }));
    }

    fn land(&mut self, write: Write, late: u64) {
        if late == 0 {
            self.apply(write);
        } else {
            self.at(late, Happening::Land(write));
        }
    }
}

fn standing(object: &Object) -> Standing {
    Standing {
        length: object.length,
        etag: Some(object.etag.to_string()),
        version: None,
        crc32c: Some(checksum(object.content)),
        attempt: match object.writer {
            Writer::Ours(attempt) => Some(attempt),
            Writer::OtherMigration | Writer::Foreign => None,
        },
        migration: migration_of(object),
    }
}

fn found(path: &RelPath, object: &Object) -> Found {
    Found {
        path: path.clone(),
        length: object.length,
        etag: Some(object.etag.to_string()),
        version: None,
        crc32c: Some(checksum(object.content)),
        metadata: None,
        migration: migration_of(object),
    }
}

fn migration_of(object: &Object) -> Option<String> {
    match object.writer {
        Writer::Ours(_) => Some("simulated".to_owned()),
        Writer::OtherMigration => Some("another".to_owned()),
        Writer::Foreign => None,
    }
}
