//! Failures of the HDFS client in the words of the store.

use whimbrel_hdfs::Error;

use crate::error::StoreError;

const SUPERUSER: &str = "Following changes needs an HDFS superuser: run as the user that started \
    the NameNode (HADOOP_USER_NAME), or as a member of the group that \
    dfs.permissions.superusergroup names.";
const RIGHTS: &str = "Grant the user of this migration (HADOOP_USER_NAME) the right to read this \
    path and to list its ancestors, or run as an HDFS superuser.";
const OWNER: &str = "Snapshots are made by the owner of the directory or an HDFS superuser: run as \
    one of them (HADOOP_USER_NAME).";
const CLOSING: &str = "A fence is set by an HDFS superuser: run as one (HADOOP_USER_NAME), or set \
    the source read-only yourself and leave --fence out.";
const WRITING: &str = "Files go back with their owners: run as an HDFS superuser \
    (HADOOP_USER_NAME).";
const REACH: &str = "Check that the NameNodes and DataNodes run and can be reached from this \
    machine at the addresses in HADOOP_CONF_DIR.";

/// What was asked for: it decides the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Paths and bytes.
    Files,
    /// The edit stream.
    Edits,
    /// Snapshots of the root.
    Snapshots,
    /// That nobody changes it.
    Fence,
    /// What goes back to it.
    Writing,
}

/// `what` says what was tried, for people.
pub(crate) fn told(what: &str, asked: Asked, error: Error) -> StoreError {
    let message = format!("{what}: {error}");
    match error {
        Error::Unreachable { last, .. } if is_final(&last) => told(what, asked, *last),
        Error::Unreachable { .. }
        | Error::Connection { .. }
        | Error::Standby { .. }
        | Error::Datanode { .. } => StoreError::Unavailable { message, remedy: REACH.to_owned() },
        Error::Busy { .. } => StoreError::Unavailable { message, remedy: String::new() },
        Error::Denied { .. } => {
            let remedy = match asked {
                Asked::Files => RIGHTS,
                Asked::Edits => SUPERUSER,
                Asked::Snapshots => OWNER,
                Asked::Fence => CLOSING,
                Asked::Writing => WRITING,
            };
            StoreError::Denied { message, remedy: remedy.to_owned() }
        }
        Error::NotFound { .. } | Error::SourceMoved { .. } => StoreError::Moved { message },
        Error::Configuration { .. } => StoreError::Refused {
            message,
            remedy: "Point HADOOP_CONF_DIR (or --hadoop-conf) at the folder with the cluster's \
                core-site.xml and hdfs-site.xml, or name the NameNode as hdfs://HOST:PORT/path."
                .to_owned(),
        },
        Error::Kerberos { .. } => StoreError::Unsupported {
            message,
            remedy: "Secured clusters cannot be read yet.".to_owned(),
        },
        Error::Unsupported { .. } => StoreError::Unsupported { message, remedy: String::new() },
        Error::InvalidPath { .. } => StoreError::Refused {
            message,
            remedy: "Give an absolute path without '.' and '..'.".to_owned(),
        },
        Error::Corrupt { .. } | Error::NoReplica { .. } => StoreError::Corrupt {
            message,
            remedy: "Look at the file with `hdfs fsck PATH -files -blocks -locations` and bring \
                the DataNodes that hold its blocks back, or remove the file."
                .to_owned(),
        },
        // The enum may grow: what is not known yet is tried again like a remote failure.
        Error::InvalidReply { .. } | Error::Remote { .. } | _ => StoreError::Unavailable {
            message,
            remedy: "See the NameNode's log; if it does not explain this, report it.".to_owned(),
        },
    }
}

/// A failure that no waiting mends.
fn is_final(error: &Error) -> bool {
    matches!(error, Error::Kerberos { .. } | Error::Denied { .. } | Error::Configuration { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_depends_on_what_was_asked() {
        let denied = || Error::Denied { method: "m", message: "no".to_owned() };
        let stream = told("s", Asked::Edits, denied());
        assert!(
            matches!(&stream, StoreError::Denied { remedy, .. } if remedy.contains("superuser"))
        );
        let file = told("f", Asked::Files, denied());
        assert!(matches!(&file, StoreError::Denied { remedy, .. } if remedy.contains("read this")));
        assert_eq!(file.to_string(), "f: m: permission denied: no");
    }

    #[test]
    fn a_refusal_behind_a_time_out_counts_as_one() {
        let last = Error::Kerberos { server: "nn".to_owned(), methods: "KERBEROS".to_owned() };
        let error = Error::Unreachable {
            cluster: "c".to_owned(),
            waited: std::time::Duration::from_secs(1),
            last: Box::new(last),
        };
        assert!(matches!(told("f", Asked::Files, error), StoreError::Unsupported { .. }));
    }
}
