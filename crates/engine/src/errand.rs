//! Which piece of the outside carries out which effect.

use std::sync::Arc;

use whimbrel_core::effect::Effect;
use whimbrel_core::failure::Side;
use whimbrel_core::input::{Input, Streamed, Written};

use crate::followed::Followed;
use crate::imaged;
use crate::unknown_outcome::Writes;
use crate::world::{World, no_stream};

impl World {
    /// Carries out an effect that concerns the source or the target, and answers it.
    pub(crate) async fn carry_out(self: Arc<Self>, effect: Effect) {
        match effect {
            Effect::List { ticket, directory, after, by_file_key } => {
                self.list(ticket, directory, after, by_file_key).await;
            }
            Effect::Examine { ticket, path, by_file_key } => {
                self.examine(ticket, path, by_file_key).await;
            }
            Effect::Checksum { ticket, path, node, length } => {
                self.checksum(ticket, path, node, length).await;
            }
            Effect::Inspect { ticket, path } => self.inspect(ticket, path).await,
            Effect::Inventory { ticket, after, again: false } => {
                self.inventory(ticket, after).await;
            }
            Effect::Inventory { ticket, after, again: true } => self.recount(ticket, after).await,
            Effect::Poll { ticket, after, quiet_since } => {
                let outcome = match &self.stream {
                    Some(stream) => stream.poll(after, quiet_since, &self.scope).await,
                    None => Streamed::Failed(no_stream()),
                };
                if let (Streamed::OtherHistory { .. }, Some(bases)) = (&outcome, &self.bases) {
                    bases.forget().await;
                }
                self.give_image_up();
                self.tell(Input::Streamed { ticket, outcome });
            }
            Effect::Position { ticket, since } => {
                let outcome = match &self.stream {
                    Some(stream) => {
                        let position = stream.position().await;
                        position.map_err(|error| error.into_failure(Side::Source))
                    }
                    None => Err(no_stream()),
                };
                // In this order: the difference has to go further than the position.
                let difference = match (&self.bases, since) {
                    (Some(bases), Some(since)) if outcome.is_ok() => {
                        bases.difference(&self, since).await
                    }
                    (Some(_) | None, Some(_) | None) => None,
                };
                self.tell(Input::Position { ticket, outcome, difference });
            }
            Effect::Copy(_)
            | Effect::Complete { .. }
            | Effect::Abort { .. }
            | Effect::Relocate { .. }
            | Effect::PutMarker { .. }
            | Effect::Remove { .. } => self.write(effect).await,
            Effect::Persist { .. }
            | Effect::Take { .. }
            | Effect::Rows { .. }
            | Effect::Group { .. }
            | Effect::CheckHints { .. }
            | Effect::CountRemovals { .. }
            | Effect::Densest { .. }
            | Effect::Pace(_)
            | Effect::Report(_)
            | Effect::Finish(_) => {}
        }
    }

    /// Nothing of an image that the source contradicts is believed. The core hears of it before
    /// anybody acts on what the source shows in its place.
    fn give_image_up(&self) {
        let Some(image) = self.stream.as_ref().and_then(Followed::image) else { return };
        if let Some(path) = image.contradicted() {
            self.tell(Input::ListAgain(imaged::contradicted(path)));
            image.forget();
        }
    }

    async fn write(&self, effect: Effect) {
        let writes = Writes::of(&effect);
        let tell_of_unknown = |outcomes: &[Written]| {
            if let Some(writes) = &writes {
                writes.tell_of_unknown(outcomes);
            }
        };
        let (ticket, outcome) = match effect {
            Effect::Copy(job) => {
                let _lane = self.lanes.transfers.acquire().await;
                (job.ticket, self.carrier.copy(&job, &self.inputs).await)
            }
            Effect::Complete { ticket, attempt: _, path, upload, crc32c, expected } => {
                let _lane = self.lanes.target_calls.acquire().await;
                (ticket, self.carrier.complete(&path, &upload, crc32c, &expected).await)
            }
            Effect::Relocate { ticket, attempt, from, path, metadata, expected } => {
                let _lane = self.lanes.target_calls.acquire().await;
                let copied = self.carrier.relocate(attempt, &from, &path, metadata, &expected);
                (ticket, copied.await)
            }
            Effect::PutMarker { ticket, attempt, path, metadata, expected } => {
                let _lane = self.lanes.target_calls.acquire().await;
                let _alone = match &self.directories {
                    Some(directories) => Some(directories.alone.lock().await),
                    None => None,
                };
                (ticket, self.carrier.put_marker(attempt, &path, metadata, &expected).await)
            }
            Effect::Remove { ticket, items } => {
                let _lane = self.lanes.target_calls.acquire().await;
                let outcomes: Vec<Written> = self.carrier.remove(&items).await;
                if let Some(directories) = &self.directories {
                    directories.removed(&items);
                }
                tell_of_unknown(&outcomes);
                return self.tell(Input::Removed { ticket, outcomes });
            }
            Effect::Abort { path, upload_id } => {
                let _lane = self.lanes.target_calls.acquire().await;
                if let Err(error) = self.carrier.abort(&path, &upload_id).await {
                    // Its parts stay until the bucket's own rule for unfinished uploads.
                    tracing::warn!(%path, upload_id, %error, "an upload was not aborted");
                }
                return;
            }
            Effect::Persist { .. }
            | Effect::Take { .. }
            | Effect::List { .. }
            | Effect::Examine { .. }
            | Effect::Checksum { .. }
            | Effect::Rows { .. }
            | Effect::Group { .. }
            | Effect::CheckHints { .. }
            | Effect::Inspect { .. }
            | Effect::Inventory { .. }
            | Effect::Poll { .. }
            | Effect::Position { .. }
            | Effect::Pace(_)
            | Effect::Report(_)
            | Effect::CountRemovals { .. }
            | Effect::Densest { .. }
            | Effect::Finish(_) => return,
        };
        tell_of_unknown(std::slice::from_ref(&outcome));
        self.tell(Input::Written { ticket, outcome });
    }
}
