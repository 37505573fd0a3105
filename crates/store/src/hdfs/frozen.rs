//! A snapshot as what is read.

use whimbrel_hdfs::{Client, Error};

use crate::error::StoreError;

/// The name below which HDFS keeps the snapshots of a directory; nothing else can have it.
const SNAPSHOTS: &str = ".snapshot";

/// The snapshot that the root is or lies in. What stands in it has the inode numbers of the live
/// tree: asked for by number, the NameNode answers of that one. So it is asked for by path.
pub(crate) struct Frozen {
    path: String,
    /// When it was made: another of the same name has another time.
    made_millis: u64,
}

impl Frozen {
    /// `None` where the path lies in none, or nothing is there.
    pub async fn learn(client: &Client, path: &str) -> Result<Option<Self>, Error> {
        let Some(path) = snapshot_of(path) else { return Ok(None) };
        let status = client.file_status(path.as_bytes()).await?;
        Ok(status.map(|status| Self { path, made_millis: status.modified_millis }))
    }

    /// Whether it is still there, and no other in its place.
    pub async fn stands(&self, client: &Client) -> Result<bool, Error> {
        let status = client.file_status(self.path.as_bytes()).await?;
        Ok(status.is_some_and(|status| status.modified_millis == self.made_millis))
    }
}

/// The path of the snapshot that a path lies in.
fn snapshot_of(path: &str) -> Option<String> {
    let names: Vec<&str> = path.split('/').collect();
    let at = names.iter().position(|name| *name == SNAPSHOTS)?;
    names.get(..at + 2).map(|names| names.join("/"))
}

/// Refuses the list of all snapshots: it is no directory, and asked for one it tells nothing.
pub(crate) fn refuse_list_of_snapshots(url: &str, path: &str) -> Result<(), StoreError> {
    let Some(of) = path.strip_suffix(SNAPSHOTS).filter(|of| of.ends_with('/')) else {
        return Ok(());
    };
    Err(StoreError::Refused {
        message: format!("{url} is the list of all snapshots, not a tree of files"),
        remedy: format!(
            "Name one of them, as {url}/NAME (hdfs dfs -ls {path} lists them), or {of} itself."
        ),
    })
}

/// What does not change has no stream.
pub(crate) fn nothing_to_follow(described: &str) -> StoreError {
    StoreError::Unsupported {
        message: format!("{described} lies in a snapshot, which does not change"),
        remedy: "Leave --live out, or migrate the directory that the snapshot was made of."
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_known_by_their_path() {
        for (path, expected) in [
            ("/a/.snapshot/s1", Some("/a/.snapshot/s1")),
            ("/a/.snapshot/s1/d/f", Some("/a/.snapshot/s1")),
            ("/.snapshot/s1", Some("/.snapshot/s1")),
            ("/a/.snapshots/s1", None),
            ("/a/x.snapshot/s1", None),
            ("/", None),
        ] {
            assert_eq!(snapshot_of(path).as_deref(), expected, "{path}");
            assert!(refuse_list_of_snapshots("url", path).is_ok(), "{path}");
        }
        for path in ["/a/.snapshot", "/.snapshot"] {
            let refused = refuse_list_of_snapshots("url", path);
            assert!(matches!(refused, Err(StoreError::Refused { .. })), "{path}");
        }
        assert!(refuse_list_of_snapshots("url", "/a/x.snapshot").is_ok());
    }
}
