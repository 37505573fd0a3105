//! Snapshots of the source root in HDFS (rule 8.2).

use std::collections::BTreeMap;

use bytes::Bytes;
use whimbrel_core::path::RelPath;
use whimbrel_core::record::Reach;
use whimbrel_hdfs::{Client, Error, SnapshotDifferencePage};

use super::failure::{Asked, told};
use super::scope::Root;
use crate::error::StoreError;
use crate::snapshots::Snapshots;
use crate::source::Answer;

/// What the NameNode throws where snapshots are not allowed, and where there is none of a name.
const SNAPSHOT_EXCEPTION: &str = "SnapshotException";

/// Of one root, by its number: another directory in its place is never touched.
pub(crate) struct HdfsSnapshots {
    pub client: Client,
    /// By its number, as it is asked for.
    pub reached: Vec<u8>,
    /// By its path: so open files are told.
    pub root: Root,
    /// The same for people.
    pub shown: String,
}

impl HdfsSnapshots {
    fn failed(&self, error: Error) -> StoreError {
        let refused = is_of_snapshots(&error);
        let message = format!("{}: {error}", self.shown);
        if refused {
            let remedy = format!(
                "let an HDFS superuser allow snapshots of it: hdfs dfsadmin -allowSnapshot {}",
                self.shown
            );
            return StoreError::Refused { message, remedy };
        }
        told(&self.shown, Asked::Snapshots, error)
    }
}

fn is_of_snapshots(error: &Error) -> bool {
    matches!(error, Error::Remote { class, .. } if class.ends_with(SNAPSHOT_EXCEPTION))
}

impl Snapshots for HdfsSnapshots {
    fn root(&self) -> String {
        self.shown.clone()
    }

    fn make<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let made = self.client.create_snapshot(&self.reached, name).await;
            made.map_err(|error| self.failed(error))
        })
    }

    fn remove<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            match self.client.delete_snapshot(&self.reached, name).await {
                Ok(()) => Ok(()),
                // There is none of that name, or there are none at all any more.
                Err(error) if is_of_snapshots(&error) => Ok(()),
                Err(Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(self.failed(error)),
            }
        })
    }

    fn difference<'a>(
        &'a self,
        earlier: &'a str,
        later: &'a str,
        paths_max: usize,
    ) -> Answer<'a, Option<Vec<(RelPath, Reach)>>> {
        Box::pin(async move {
            let mut stale = BTreeMap::new();
            let mut cursor = None;
            loop {
                let from = cursor.as_ref();
                let page = self.client.snapshot_difference(&self.reached, earlier, later, from);
                let page = page.await.map_err(|error| self.failed(error))?;
                cursor = page.next.clone();
                add(&mut stale, page);
                if stale.len() > paths_max {
                    return Ok(None);
                }
                if cursor.is_none() {
                    return Ok(Some(stale.into_iter().collect()));
                }
            }
        })
    }

    fn open_files(&self) -> Answer<'_, Vec<RelPath>> {
        Box::pin(async move {
            let open = self.client.open_files(self.root.as_bytes()).await;
            let open = open.map_err(|error| self.failed(error))?;
            Ok(open.iter().filter_map(|path| self.root.inside(path)).collect())
        })
    }
}

/// What lies in a renamed directory is named as it was called before, and is met below the place
/// where that directory is now. Of what was made or removed it is not said whether it is a
/// directory.
fn add(stale: &mut BTreeMap<RelPath, Reach>, page: SnapshotDifferencePage) {
    let mut mark = |path: &Bytes, reach: Reach| {
        // A slice would keep the whole reply of the NameNode.
        let path = RelPath::new(Bytes::copy_from_slice(path));
        let known = stale.entry(path).or_insert(reach);
        *known = (*known).max(reach);
    };
    for entry in &page.modified {
        mark(&entry.path, Reach::Path);
    }
    for entry in page.created.iter().chain(&page.deleted) {
        mark(&entry.path, Reach::Subtree);
        if let Some(target) = &entry.target_path {
            mark(target, Reach::Subtree);
        }
    }
}
