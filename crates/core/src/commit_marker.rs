//! Commit markers: files whose presence tells readers that a group of others is complete
//! (rule 7.1).

use crate::path::RelPath;

/// Folders in a table's root in which its commit markers stand.
pub const TABLE_FOLDERS: [&[u8]; 2] = [b"_delta_log", b"metadata"];

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

/// True if the path is a commit marker of a table: it stands in a folder of the table's root.
pub fn is_of_table(path: &RelPath) -> bool {
    group(path).is_some_and(|group| path.parent() != Some(group))
}

/// True if a commit marker may not become visible before another one of the same directory: the
/// versions of a log ascend, and Iceberg's pointer comes after the metadata that it points to.
pub fn comes_after(marker: &RelPath, other: &RelPath) -> bool {
    let ((directory, name), (of, earlier)) = (marker.split(), other.split());
    let in_order = match directory.name() {
        b"_delta_log" => earlier < name,
        _ => name.as_ref() == b"version-hint.text",
    };
    in_order && directory == of && marker != other && is_of_table(marker) && is_of_table(other)
}

/// Commit markers in turns: what comes after another one of its directory stands in a later turn,
/// and no turn has two of one directory.
pub fn in_turns(mut markers: Vec<RelPath>) -> Vec<Vec<RelPath>> {
    markers.sort_by(|one, other| {
        let order = one.parent().cmp(&other.parent());
        let order = order.then(comes_after(one, other).cmp(&comes_after(other, one)));
        order.then_with(|| one.name().cmp(other.name()))
    });
    let mut turns: Vec<Vec<RelPath>> = Vec::new();
    let (mut directory, mut turn) = (None, 0);
    for marker in markers {
        let of = marker.parent();
        turn = if of == directory { turn + 1 } else { 0 };
        directory = of;
        match turns.get_mut(turn) {
            Some(same) => same.push(marker),
            None => turns.push(vec![marker]),
        }
    }
    turns
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

    #[test]
    fn turns() {
        let paths = |paths: &[&str]| paths.iter().map(|path| RelPath::from(*path)).collect();
        let markers: Vec<RelPath> = paths(&[
            "t/metadata/z.metadata.json",
            "t/metadata/version-hint.text",
            "s/_delta_log/2.json",
            "t/metadata/v1.metadata.json",
            "_SUCCESS",
            "s/_delta_log/1.json",
        ]);
        let expected: [Vec<RelPath>; 3] = [
            paths(&["_SUCCESS", "s/_delta_log/1.json", "t/metadata/v1.metadata.json"]),
            paths(&["s/_delta_log/2.json", "t/metadata/z.metadata.json"]),
            paths(&["t/metadata/version-hint.text"]),
        ];
        assert_eq!(in_turns(markers), expected);
    }

    #[test]
    fn orders() {
        for (marker, other, expected) in [
            ("t/_delta_log/2.json", "t/_delta_log/1.json", true),
            ("t/_delta_log/1.json", "t/_delta_log/2.json", false),
            ("t/_delta_log/2.json", "s/_delta_log/1.json", false),
            ("t/_delta_log/2.json", "t/_delta_log/1.checkpoint.parquet", false),
            ("t/metadata/version-hint.text", "t/metadata/v3.metadata.json", true),
            ("t/metadata/v3.metadata.json", "t/metadata/version-hint.text", false),
            ("t/metadata/v3.metadata.json", "t/metadata/v2.metadata.json", false),
            ("t/_SUCCESS", "t/_SUCCESS", false),
        ] {
            assert_eq!(comes_after(&marker.into(), &other.into()), expected, "{marker} {other}");
        }
    }
}
