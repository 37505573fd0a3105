//! Listings: the same fields as Hadoop's own client sees, every name byte for byte, no edit.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use whimbrel_hdfs::{ErrorKind, FileKind, FileStatus, PinnedFile};

use crate::{client, client_of, cluster, configuration, create};

#[tokio::test(flavor = "multi_thread")]
async fn every_field_equals_that_of_the_java_client() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    let operations = [
        json!({"operation": "mkdirs", "path": "/fields/directory"}),
        create("/fields/empty", 0, 1),
        create("/fields/small", 1000, 2),
        create("/fields/blocks", 3_500_000, 3),
        json!({"operation": "append", "path": "/fields/small", "bytes": 10, "seed": 4}),
        json!({"operation": "set_permission", "path": "/fields/directory", "mode": "1751"}),
        json!({"operation": "set_owner", "path": "/fields/small", "owner": "a", "group": "b"}),
        json!({"operation": "modify_acl", "path": "/fields/blocks", "acl": "user:alice:rw-"}),
        json!({"operation": "set_times", "path": "/fields/empty", "mtime_milliseconds": 1234}),
    ];
    hadoop.operations(&operations).unwrap();
    let before = client.current_transaction_id().await.unwrap();
    let page = client.list(b"/fields", b"", true).await.unwrap().unwrap();
    assert_eq!((page.remaining, page.entries.len()), (0, 4));
    for entry in &page.entries {
        let path = format!("/fields/{}", String::from_utf8(entry.name.to_vec()).unwrap());
        let java = hadoop.command(&json!({"command": "status", "path": path})).unwrap();
        assert_eq!(render(entry), expected(java), "{path}");

        let alone = client.located_status(path.as_bytes()).await.unwrap().unwrap();
        assert_eq!(alone.pinned.as_ref().map(blocks), entry.pinned.as_ref().map(blocks));
        let by_id = format!("/.reserved/.inodes/{}", entry.file_id);
        let by_id = client.located_status(by_id.as_bytes()).await.unwrap().unwrap();
        assert_eq!((by_id.file_id, by_id.length), (entry.file_id, entry.length));
        let status = client.file_status(path.as_bytes()).await.unwrap().unwrap();
        assert_eq!(status.pinned, None);
        assert_eq!(render(&FileStatus { pinned: alone.pinned, ..status }), render(entry));
    }
    assert_eq!(client.current_transaction_id().await.unwrap(), before, "reading wrote an edit");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_arrive_byte_for_byte() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    let names = [
        "line\nbreak",
        "\r",
        "\u{1}",
        "\u{7f}",
        "back\\slash",
        "e\u{301}",
        "\u{e9}",
        " ",
        "😀",
        "...",
        "x.",
        ".reserved",
        "a#1",
        "%41",
        "+",
        "*?[",
        "\"'",
        "\u{feff}",
        "日本",
    ];
    let files: Vec<_> = names.iter().map(|name| create(&format!("/names/{name}"), 3, 1)).collect();
    hadoop.operations(&files).unwrap();
    let page = client.list(b"/names", b"", false).await.unwrap().unwrap();
    let listed: BTreeSet<&[u8]> = page.entries.iter().map(|entry| &entry.name[..]).collect();
    assert_eq!(listed, names.iter().map(|name| name.as_bytes()).collect());
    for name in names {
        let path = format!("/names/{name}");
        let status = client.located_status(path.as_bytes()).await.unwrap().unwrap();
        assert_eq!(status.length, 3, "{name:?}");
    }
    let refused = client.file_status(b"/names/\xff").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_join_without_holes_and_what_is_missing_is_none() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    let files: Vec<_> = (0..2500).map(|i| create(&format!("/pages/f{i:05}"), 0, 1)).collect();
    hadoop.operations(&files).unwrap();
    let mut names: Vec<Vec<u8>> = Vec::new();
    loop {
        let after = names.last().cloned().unwrap_or_default();
        let page = client.list(b"/pages", &after, true).await.unwrap().unwrap();
        names.extend(page.entries.iter().map(|entry| entry.name.to_vec()));
        if page.remaining == 0 {
            break;
        }
    }
    let expected: Vec<_> = (0..2500).map(|i| format!("f{i:05}").into_bytes()).collect();
    assert_eq!(names, expected);

    assert_eq!(client.file_status(b"/pages/none").await.unwrap(), None);
    assert_eq!(client.file_status(b"/pages/f00000/below").await.unwrap(), None);
    assert_eq!(client.list(b"/pages/none", b"", true).await.unwrap(), None);
    assert_eq!(client.located_status(b"/none/none").await.unwrap(), None);
    let missing = client.content_summary(b"/pages/none").await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn open_files_show_what_was_flushed_and_pin_what_is_complete() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    let open = [
        json!({"operation": "open", "path": "/open/file", "handle": "o"}),
        json!({"operation": "write", "handle": "o", "bytes": 1_500_000, "seed": 7}),
        json!({"operation": "hflush", "handle": "o"}),
    ];
    hadoop.operations(&open).unwrap();
    let status = client.located_status(b"/open/file").await.unwrap().unwrap();
    let pinned = status.pinned.unwrap();
    assert!(pinned.is_under_construction);
    assert_eq!((status.length, pinned.length, pinned.blocks.len()), (1_500_000, 1_048_576, 1));
    assert!(!client.is_file_closed(b"/open/file").await.unwrap());
    hadoop.operations(&[json!({"operation": "close", "handle": "o"})]).unwrap();
    assert!(client.is_file_closed(b"/open/file").await.unwrap());
    let pinned = client.located_status(b"/open/file").await.unwrap().unwrap().pinned.unwrap();
    assert_eq!((pinned.is_under_construction, pinned.length), (false, 1_500_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn summaries_attributes_rights_and_the_cluster_itself() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    let operations = [
        create("/summary/a", 100, 1),
        create("/summary/b/c", 23, 1),
        json!({"operation": "set_acl", "path": "/summary/b",
               "acl": "user::rwx,group::r-x,group:analysts:r--,other::---"}),
        json!({"operation": "set_xattr", "path": "/summary/a", "name": "user.k", "text": "v\n"}),
        json!({"operation": "set_permission", "path": "/summary/b", "mode": "0700"}),
    ];
    hadoop.operations(&operations).unwrap();
    let summary = client.content_summary(b"/summary").await.unwrap();
    assert_eq!((summary.files, summary.directories, summary.length_bytes), (2, 2, 123));
    let acl = client.acl_status(b"/summary/b").await.unwrap();
    assert_eq!((&acl.owner[..], acl.entries.len()), (hadoop.superuser().as_bytes(), 2));
    let xattrs = client.xattrs(b"/summary/a").await.unwrap();
    assert_eq!((&xattrs[0].name[..], &xattrs[0].value[..]), (&b"k"[..], &b"v\n"[..]));
    assert_eq!(client.encryption_zone(b"/summary/a").await.unwrap(), None);

    let alice = client_of(&hadoop, "alice").await;
    let denied = alice.file_status(b"/summary/b/c").await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Denied);

    let defaults = client.server_defaults().await.unwrap();
    assert!(defaults.writes_crc32c && !defaults.encrypts_data_transfer);
    assert!(client.file_system_stats().await.unwrap().capacity_bytes > 0);
    let identity = client.namespace_identity().await.unwrap();
    let file = client.located_status(b"/summary/a").await.unwrap().unwrap().pinned.unwrap();
    assert_eq!(identity.block_pool, &*file.block_pool);
    assert_eq!(alice.namespace_identity().await.unwrap(), identity);
    assert_eq!(hadoop.stats().unwrap().calls("getBlockLocations"), 0);

    let mut configuration = configuration(&hadoop);
    let authority = hadoop.url().trim_start_matches("hdfs://").to_owned();
    let property = format!("dfs.namenode.http-address.{authority}");
    configuration.set(&property, &hadoop.http_addresses()[0]);
    let settings = whimbrel_hdfs::Settings::new("alice");
    let informed = whimbrel_hdfs::Client::connect(&configuration, "", settings).await.unwrap();
    let server = informed.server_configuration().await.unwrap();
    assert_eq!(server.get("dfs.namenode.num.extra.edits.retained").as_deref(), Some("0"));
    assert_eq!(server.get("dfs.namenode.accesstime.precision").as_deref(), Some("3600000"));
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_differ_by_what_changed_between_them() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    let operations = [
        create("/snap/stays", 5, 1),
        create("/snap/goes", 5, 1),
        create("/snap/moves", 5, 1),
        create("/snap/grows", 5, 1),
        json!({"operation": "allow_snapshot", "path": "/snap"}),
        json!({"operation": "create_snapshot", "path": "/snap", "name": "s1"}),
        json!({"operation": "delete", "path": "/snap/goes"}),
        json!({"operation": "rename", "path": "/snap/moves", "to": "/snap/moved"}),
        json!({"operation": "append", "path": "/snap/grows", "bytes": 1, "seed": 1}),
        create("/snap/comes", 5, 1),
        json!({"operation": "create_snapshot", "path": "/snap", "name": "s2"}),
    ];
    hadoop.operations(&operations).unwrap();
    let moved = client.file_status(b"/snap/moved").await.unwrap().unwrap().file_id;
    let mut cursor = None;
    let (mut modified, mut created, mut deleted) = (vec![], vec![], vec![]);
    loop {
        let page = client.snapshot_difference(b"/snap", "s1", "s2", cursor.as_ref()).await.unwrap();
        modified.extend(page.modified.into_iter().map(|entry| entry.path));
        created.extend(page.created.into_iter().map(|entry| (entry.path, entry.file_id)));
        deleted.extend(page.deleted.into_iter().map(|entry| (entry.path, entry.file_id)));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    modified.sort();
    assert_eq!(modified, [&b""[..], b"grows"]);
    let paths = |list: &[(bytes::Bytes, Option<u64>)]| -> BTreeSet<String> {
        list.iter().map(|(path, _)| String::from_utf8(path.to_vec()).unwrap()).collect()
    };
    assert_eq!(paths(&created), BTreeSet::from(["comes".to_owned(), "moved".to_owned()]));
    assert_eq!(paths(&deleted), BTreeSet::from(["goes".to_owned(), "moves".to_owned()]));
    assert!(created.contains(&(bytes::Bytes::from_static(b"moved"), Some(moved))));
    assert!(deleted.contains(&(bytes::Bytes::from_static(b"moves"), Some(moved))));
}

fn on(operation: &str, path: &str, mut more: Value) -> Value {
    more["operation"] = operation.into();
    more["path"] = format!("/named/{path}").into();
    more
}

fn what_is_named() -> [Value; 9] {
    [
        on("set_owner", "owner", json!({"owner": "alice"})),
        on("set_permission", "mode", json!({"mode": "0600"})),
        on("modify_acl", "acl", json!({"acl": "user:alice:rw-"})),
        on("set_xattr", "xattr", json!({"name": "user.a", "text": "v"})),
        on("append", "directory/grows", json!({"text": "more"})),
        on("truncate", "cut", json!({"length": 0})),
        on("rename", "back", json!({"to": "/named/away"})),
        on("rename", "away", json!({"to": "/named/back"})),
        on("rename", "directory", json!({"to": "/named/renamed"})),
    ]
}

fn what_is_not_named() -> [Value; 9] {
    [
        on("set_times", "mtime", json!({"mtime_milliseconds": 1234})),
        on("truncate", "same_length", json!({"length": 0})),
        on("append", "same_length", json!({"bytes": 1 << 20, "seed": 2})),
        on("set_permission", "mode_back", json!({"mode": "0600"})),
        on("set_permission", "mode_back", json!({"mode": "0644"})),
        on("create", "brief", json!({"text": "brief"})),
        on("delete", "brief", json!({})),
        json!({"operation": "write", "handle": "named", "text": " and more"}),
        json!({"operation": "close", "handle": "named"}),
    ]
}

/// What a repair by a difference has to know: what is named, and what is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_difference_names_what_is_otherwise_and_not_everything() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    for name in [
        "owner",
        "mode",
        "acl",
        "xattr",
        "directory/grows",
        "cut",
        "back",
        "mtime",
        "same_length",
        "mode_back",
    ] {
        hadoop.operations(&[create(&format!("/named/{name}"), 1 << 20, 1)]).unwrap();
    }
    let opened = [
        on("open", "open", json!({"handle": "named"})),
        json!({"operation": "write", "handle": "named", "text": "half"}),
        json!({"operation": "hflush", "handle": "named"}),
        on("allow_snapshot", "", json!({})),
    ];
    hadoop.operations(&opened).unwrap();
    // The root is asked for by its number.
    let root = client.file_status(b"/named").await.unwrap().unwrap();
    assert!(root.is_snapshottable);
    let root = format!("/.reserved/.inodes/{}", root.file_id).into_bytes();
    client.create_snapshot(&root, "s1").await.unwrap();
    assert_eq!(client.open_files(b"/named").await.unwrap(), ["/named/open"]);
    hadoop.operations(&what_is_named()).unwrap();
    hadoop.operations(&what_is_not_named()).unwrap();
    assert_eq!(client.open_files(b"/named").await.unwrap(), [""; 0]);
    let others = client_of(&hadoop, "alice").await.open_files(b"/named").await.unwrap_err();
    assert_eq!(others.kind(), ErrorKind::Denied);
    client.create_snapshot(&root, "s2").await.unwrap();
    let page = client.snapshot_difference(&root, "s1", "s2", None).await.unwrap();
    assert_eq!(page.next, None);
    let all = page.modified.iter().chain(&page.created).chain(&page.deleted);
    let paths: BTreeSet<&str> =
        all.map(|entry| std::str::from_utf8(&entry.path).unwrap()).collect();
    let expected = [
        "",
        "acl",
        "back",
        "cut",
        "directory",
        "directory/grows",
        "mode",
        "owner",
        "renamed",
        "xattr",
    ];
    assert_eq!(paths, BTreeSet::from(expected));
    for snapshot in ["s1", "s2"] {
        client.delete_snapshot(&root, snapshot).await.unwrap();
    }
    let gone = client.delete_snapshot(&root, "s1").await.unwrap_err();
    assert!(gone.to_string().contains("SnapshotException"), "{gone}");
}

fn blocks(file: &PinnedFile) -> Vec<(u64, u64, u64)> {
    let identity = |block: &whimbrel_hdfs::Block| (block.id, block.generation_stamp, block.length);
    file.blocks.iter().map(identity).collect()
}

fn render(status: &FileStatus) -> Value {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let pinned = status.pinned.as_ref().map(blocks).unwrap_or_default();
    let blocks: Vec<_> = pinned
        .iter()
        .map(|(id, stamp, length)| json!({"id": id, "generation_stamp": stamp, "bytes": length}))
        .collect();
    json!({
        "exists": true,
        "file_id": status.file_id,
        "bytes": status.length,
        "directory": status.kind == FileKind::Directory,
        "mtime_milliseconds": status.modified_millis,
        "atime_milliseconds": status.accessed_millis,
        "owner": text(&status.owner),
        "group": text(&status.group),
        "mode": format!("{:04o}", status.permission),
        "has_acl": status.has_acl,
        "blocks": blocks,
    })
}

/// What Java answered, without the envelope.
fn expected(mut java: Value) -> Value {
    if let Some(fields) = java.as_object_mut() {
        fields.remove("ok");
    }
    java
}
