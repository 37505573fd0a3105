//! The stream of changes, and the proof that it is still the same history (rule 1.7).

use std::sync::Arc;

use tokio::sync::Mutex;
use whimbrel_core::event::StreamReply;
use whimbrel_core::failure::Side;
use whimbrel_core::input::Streamed;
use whimbrel_core::number::{Time, TxId};
use whimbrel_core::scope::Scope;
use whimbrel_store::error::StoreError;
use whimbrel_store::image::Image;
use whimbrel_store::source::{ChangeStream, Memory, Poll};

use crate::covered::cut_batches;
use crate::shared_scan::Seat;

/// A stream of which one poll at a time is under way.
pub(crate) struct Followed {
    stream: Arc<dyn ChangeStream>,
    /// Told of everything before the core is.
    image: Option<Arc<Image>>,
    /// The same.
    seat: Option<Arc<Seat>>,
    proof: Mutex<Proof>,
}

/// What a later look at the log has to find again.
struct Proof {
    history: Option<String>,
    /// The last transaction that was followed, and its digest.
    last: Option<(TxId, u64)>,
    /// Looked at since the source was last lost.
    proven: bool,
}

impl Followed {
    /// Goes on in `history` after `last`, as an earlier run left them. A digest of 0 is none: the
    /// position was taken without looking at its transaction.
    pub(crate) fn new(
        stream: Arc<dyn ChangeStream>,
        (image, seat): (Option<Arc<Image>>, Option<Arc<Seat>>),
        history: Option<String>,
        last: Option<(TxId, u64)>,
    ) -> Self {
        let last = last.filter(|(_, digest)| *digest != 0);
        Self { stream, image, seat, proof: Mutex::new(Proof { history, last, proven: false }) }
    }

    /// The image that is told of it.
    pub(crate) fn image(&self) -> Option<&Image> {
        self.image.as_deref()
    }

    /// The newest transaction of the source.
    pub(crate) async fn position(&self) -> Result<TxId, StoreError> {
        let position = self.stream.position().await?;
        if let Some(seat) = &self.seat {
            seat.join();
        }
        Ok(position)
    }

    /// Seconds of edit history left after `position`.
    pub(crate) async fn history_seconds(&self, position: TxId) -> Option<u64> {
        self.stream.history_seconds(position).await.ok().flatten()
    }

    /// `Effect::Poll`: what happened after `after`, cut to the scope.
    pub(crate) async fn poll(
        &self,
        after: TxId,
        quiet_since: Option<Time>,
        scope: &Scope,
    ) -> Streamed {
        let mut proof = self.proof.lock().await;
        let answer = async {
            if let Some(other) = self.other_history(&mut proof, after).await? {
                return Ok(other);
            }
            let polled = match quiet_since {
                Some(since) => self.stream.poll_thoroughly(after, since).await?,
                None => self.stream.poll(after).await?,
            };
            Ok(match polled {
                Poll::Reply(reply) => {
                    if let Some(image) = &self.image {
                        image.note(after, &reply);
                    }
                    if let Some(seat) = &self.seat {
                        seat.note(&reply);
                    }
                    Streamed::Reply(proof.followed(reply, after, scope))
                }
                Poll::Gap => Streamed::Gap { remedy: Some(self.remedy().to_owned()) },
                Poll::Beyond => proof.lost(self.stream.history().await.ok()),
            })
        };
        let answer: Result<Streamed, StoreError> = answer.await;
        if let Ok(Streamed::Gap { .. } | Streamed::OtherHistory { .. }) = &answer {
            // Only a listing that begins after it counts (rule 8.1).
            self.image.iter().for_each(|image| image.forget());
            self.seat.iter().for_each(|seat| seat.leave());
        }
        answer.unwrap_or_else(|error| {
            proof.proven = false;
            Streamed::Failed(error.into_failure(Side::Source))
        })
    }

    fn remedy(&self) -> &'static str {
        match self.stream.memory() {
            Memory::Source { remedy } | Memory::Follower { remedy } => remedy,
        }
    }

    /// Asks once after each loss of the source: another name, or another digest of the last
    /// transaction, is another history. A transaction that is gone proves nothing; then the poll
    /// tells of a gap. So does another name where nobody remembers what is not followed.
    async fn other_history(
        &self,
        proof: &mut Proof,
        after: TxId,
    ) -> Result<Option<Streamed>, StoreError> {
        if proof.proven {
            return Ok(None);
        }
        let name = self.stream.history().await?;
        if proof.history.as_ref().is_some_and(|known| *known != name) {
            let begun_anew = match self.stream.memory() {
                Memory::Source { .. } => false,
                // A clock that was set back numbers what happens anew.
                Memory::Follower { .. } => self.stream.position().await? > after,
            };
            let other = proof.lost(Some(name));
            return Ok(Some(if begun_anew { Streamed::Gap { remedy: None } } else { other }));
        }
        if let Some((txid, digest)) = proof.last.filter(|(txid, _)| *txid == after) {
            let found = self.stream.digest(txid).await?;
            if found.is_some_and(|found| found != digest) {
                return Ok(Some(proof.lost(Some(name))));
            }
        }
        proof.history = Some(name);
        proof.proven = true;
        Ok(None)
    }
}

impl Proof {
    fn followed(&mut self, mut reply: StreamReply, after: TxId, scope: &Scope) -> StreamReply {
        if reply.applied > after {
            self.last = Some((reply.applied, reply.digest));
        }
        cut_batches(scope, &mut reply.batches);
        reply
    }

    /// The core begins anew in the history that is there now.
    fn lost(&mut self, name: Option<String>) -> Streamed {
        self.history.clone_from(&name);
        self.last = None;
        self.proven = false;
        Streamed::OtherHistory { name }
    }
}
