//! What the source's stream tells of the time between the parts of a comparison, so that all of it
//! holds as of one transaction (rule 10.2).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use whimbrel_core::number::TxId;
use whimbrel_store::error::StoreError;
use whimbrel_store::source::ChangeStream;
use whimbrel_verify::{Since, moved_between};

use crate::open::OpenSource;

/// Where a source stood when a part began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// Nothing of the part was looked at before this transaction was there.
    pub txid: u64,
    /// Of which history it is.
    history: String,
    /// Of the whole transaction, where it could be read then (rule 1.7).
    digest: Option<u64>,
}

/// A stream that can be followed, and where it stands now.
pub struct Follower {
    stream: Arc<dyn ChangeStream>,
    /// Before anything is compared.
    pub now: Followed,
}

impl Follower {
    /// `None` where nobody remembers what happens while nobody follows (local trees, object stores),
    /// where nothing does (snapshots), or where this user may not know.
    pub async fn of(source: &OpenSource) -> Option<Self> {
        source.hdfs.as_ref()?;
        let stream = source.source.stream().await.ok()?;
        let now = stand(stream.as_ref()).await.ok()?;
        Some(Self { stream, now })
    }

    /// What happened since a part began.
    ///
    /// # Errors
    /// A source that does not tell.
    pub async fn since(&self, before: &Followed) -> Result<Since, StoreError> {
        let other = Since::Anything("the source has another history since");
        if before.history != self.now.history || before.txid > self.now.txid {
            return Ok(other);
        }
        let digest = self.stream.digest(TxId(before.txid)).await?;
        if before.digest.zip(digest).is_some_and(|(then, now)| then != now) {
            return Ok(other);
        }
        moved_between(self.stream.as_ref(), TxId(before.txid), TxId(self.now.txid)).await
    }
}

async fn stand(stream: &dyn ChangeStream) -> Result<Followed, StoreError> {
    let txid = stream.position().await?;
    let (history, digest) = (stream.history().await?, stream.digest(txid).await?);
    Ok(Followed { txid: txid.0, history, digest })
}
