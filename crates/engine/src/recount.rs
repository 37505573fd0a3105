//! What stands under the target when a run begins anew, compared with the ledger: one request for
//! each page of the listing, and one for each directory marker that nobody knows.

use bytes::Bytes;
use whimbrel_core::effect::Ticket;
use whimbrel_core::failure::Side;
use whimbrel_core::input::{Input, Inventoried};
use whimbrel_core::path::RelPath;
use whimbrel_ledger::{Differs, KeyRange, LedgerError, Seen};
use whimbrel_store::error::StoreError;
use whimbrel_store::target::Object;

use crate::removable::covers_object;
use crate::world::World;

/// Paths that one answer holds at most of those of which no object was listed.
const MISSING_MAX: usize = 1_000;

/// Where the comparison goes on: in which of the subtrees that are mapped as a whole, after which
/// key.
#[derive(Debug, Default)]
struct Cursor {
    root: usize,
    after: Option<Vec<u8>>,
}

impl Cursor {
    fn read(bytes: Option<&Bytes>) -> Self {
        let Some((number, after)) = bytes.and_then(|bytes| bytes.split_first_chunk()) else {
            return Self::default();
        };
        let root = usize::try_from(u32::from_be_bytes(*number)).unwrap_or(usize::MAX);
        Self { root, after: Some(after.to_vec()).filter(|after| !after.is_empty()) }
    }

    fn written(&self) -> Bytes {
        let number = u32::try_from(self.root).unwrap_or(u32::MAX);
        let after = self.after.as_deref().unwrap_or_default();
        [number.to_be_bytes().as_slice(), after].concat().into()
    }
}

impl World {
    /// `Effect::Inventory` of a later run.
    pub(crate) async fn recount(&self, ticket: Ticket, after: Option<Bytes>) {
        let outcome = match self.recounted(Cursor::read(after.as_ref())).await {
            Ok(Some(page)) => Ok(page),
            // The ledger has ended, and the run with it.
            Ok(None) => return,
            Err(error) => Err(error.into_failure(Side::Target)),
        };
        self.tell(Input::Inventoried { ticket, outcome });
    }

    async fn recounted(&self, cursor: Cursor) -> Result<Option<Inventoried>, StoreError> {
        let roots = self.keys.roots();
        let Some(root) = roots.get(cursor.root) else {
            return Ok(Some(Inventoried { done: true, ..Inventoried::default() }));
        };
        let prefix = self.keys.prefix_of_root(root);
        let page = self.target.list(&prefix, cursor.after.as_deref()).await?;
        let last = page.objects.last().filter(|_| page.more).map(|last| last.key.clone());
        let differs = self.differs(root, &cursor, &page.objects, last.as_deref()).await;
        let differs = match differs {
            None => return Ok(None),
            Some(Ok(differs)) => differs,
            Some(Err(error)) => {
                return Err(StoreError::Unavailable {
                    message: format!("what stands cannot be compared with the state: {error}"),
                    remedy: "see what the state folder's disk says".to_owned(),
                });
            }
        };
        let mut found = Vec::new();
        for path in &differs.unknown_markers {
            let object = Object { key: self.keys.key(path)?, ..Object::default() };
            found.extend(self.found(object).await?);
        }
        let next = match (differs.more, last) {
            (true, _) => cursor,
            (false, Some(last)) => Cursor { root: cursor.root, after: Some(last) },
            (false, None) => Cursor { root: cursor.root + 1, after: None },
        };
        let done = next.root >= roots.len();
        let (doubtful, cursor) = (differs.doubtful, Some(next.written()));
        Ok(Some(Inventoried { found, doubtful, cursor, done }))
    }

    /// `None` if the ledger does not answer any more.
    async fn differs(
        &self,
        root: &RelPath,
        cursor: &Cursor,
        objects: &[Object],
        last: Option<&[u8]>,
    ) -> Option<Result<Differs, LedgerError>> {
        let seen = objects.iter().filter_map(|object| {
            let path = self.keys.path(&object.key)?;
            Some(Seen { path, length: object.length, etag: object.etag.clone() })
        });
        let mut seen: Vec<Seen> = seen.filter(|it| self.keys.root_of(&it.path) == *root).collect();
        seen.sort_by(|one, other| one.path.cmp(&other.path));
        let place = |key: &[u8]| self.keys.place_in_root(root, key);
        let (after, last) = (cursor.after.as_deref().map(place), last.map(place));
        let markers = self.target.abilities().markers;
        let (keys, scope, root) = (self.keys.clone(), self.scope.clone(), root.clone());
        let asked = move |ledger: &mut whimbrel_ledger::Ledger| -> Result<Differs, LedgerError> {
            let belongs =
                |path: &RelPath| keys.root_of(path) == root && covers_object(&scope, path);
            let range =
                KeyRange { after: after.as_deref(), last: last.as_deref(), ..KeyRange::default() };
            ledger.recount(&seen, &range, markers, MISSING_MAX, &belongs)
        };
        self.desk.query(asked).await
    }
}
