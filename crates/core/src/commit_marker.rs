//! Commit markers: files whose presence tells readers that a group of others is complete
//! (rule 7.1).

use crate::path::RelPath;

/// The directory whose files a commit marker speaks for; `None` if the path is no commit marker.
///
/// `_SUCCESS` (Hadoop's FileOutputCommitter) speaks for its directory; `_delta_log/*.json` (Delta
/// Lake's transaction log), `metadata/*.metadata.json` and `metadata/version-hint.text` (Iceberg's
/// table metadata) speak for the table's root, their directory's parent.
pub fn group(path: &RelPath) -> Option<RelPath> {
    let (directory, name) = path.split();
    if name.as_ref() == b"_SUCCESS" {
        return Some(directory);
    }
    let in_table = match directory.name() {
        b"_delta_log" => name.ends_with(b".json"),
        b"metadata" => name.ends_with(b".metadata.json") || name.as_ref() == b"version-hint.text",
        _ => false,
    };
    if in_table { directory.parent() } else { None }
}

/// True if readers take the path as a sign that others are complete.
pub fn is_commit_marker(path: &RelPath) -> bool {
    group(path).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups() {
        for (path, expected) in [
            ("a/b/_SUCCESS", Some("a/b")),
            ("_SUCCESS", Some("")),
            ("t/_delta_log/00000000000000000001.json", Some("t")),
            ("t/_delta_log/00000000000000000010.checkpoint.parquet", None),
            ("t/metadata/v3.metadata.json", Some("t")),
            ("t/metadata/version-hint.text", Some("t")),
            ("t/metadata/snap-1.avro", None),
            ("a/_SUCCESS/x", None),
            ("x_SUCCESS", None),
        ] {
            assert_eq!(group(&path.into()), expected.map(RelPath::from), "{path}");
        }
    }
}
