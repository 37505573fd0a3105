//! The edit stream: what we decode is what Hadoop's own client decodes.

use serde_json::{Value, json};
use whimbrel_hdfs::{
    AclEntry, AclSubject, Client, ErrorKind, Event, FileKind, MetadataChange, XAttr, XAttrNamespace,
};
use whimbrel_testbed::Hadoop;

use crate::{client, client_of, cluster, create};

#[tokio::test(flavor = "multi_thread")]
async fn decoded_events_equal_those_of_the_java_client() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    let begin = client.current_transaction_id().await.unwrap();
    hadoop.operations(&operations()).unwrap();
    while !client.is_file_closed(b"/events/cut").await.unwrap() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let end = client.current_transaction_id().await.unwrap();

    let ours = follow(&client, begin + 1, end).await;
    let java: Vec<_> = flat(&hadoop, begin);
    assert!(ours.len() > 45, "{} events", ours.len());
    for (ours, java) in ours.iter().zip(&java) {
        assert_eq!(ours, java);
    }
    assert_eq!(ours.len(), java.len());
    for kind in ["CREATE", "CLOSE", "APPEND", "RENAME", "METADATA", "UNLINK", "TRUNCATE"] {
        assert!(ours.iter().any(|(_, event)| event["type"] == kind), "no {kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_beyond_the_end_or_without_rights_says_so() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    let current = client.current_transaction_id().await.unwrap();
    let behind = client.edits_from(current + 1).await.unwrap();
    assert!(!behind.is_beyond_end() && !behind.has_gap());
    assert_eq!((behind.last_txid, behind.batches.len()), (None, 0));
    let beyond = client.edits_from(current + 1_000_000).await.unwrap();
    assert!(beyond.is_beyond_end() && !beyond.has_gap());

    let alice = client_of(&hadoop, "alice").await;
    assert_eq!(alice.current_transaction_id().await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(alice.edits_from(1).await.unwrap_err().kind(), ErrorKind::Denied);
}

/// Every kind of operation that leaves an event, and some that leave none.
fn operations() -> Vec<Value> {
    let mut list = vec![
        json!({"operation": "mkdirs", "path": "/events/a/b/c"}),
        json!({"operation": "mkdirs", "path": "/events/a/b/c"}),
        create("/events/empty", 0, 1),
        create("/events/file", 3_000_000, 2),
        create("/events/file", 100, 3),
        json!({"operation": "append", "path": "/events/file", "bytes": 77, "seed": 4}),
        json!({"operation": "append", "path": "/events/file", "bytes": 0, "seed": 4}),
        json!({"operation": "rename", "path": "/events/file", "to": "/events/a/renamed"}),
        json!({"operation": "rename", "path": "/events/a/renamed", "to": "/events/a/b"}),
        create("/events/over", 10, 5),
        json!({"operation": "rename_overwrite", "path": "/events/over", "to": "/events/empty"}),
        json!({"operation": "rename", "path": "/events/a", "to": "/events/z"}),
        json!({"operation": "set_times", "path": "/events/empty", "mtime_milliseconds": 5000}),
        json!({"operation": "set_times", "path": "/events/empty", "atime_milliseconds": 7000}),
        json!({"operation": "set_times", "path": "/events/empty",
               "mtime_milliseconds": 0, "atime_milliseconds": 0}),
        json!({"operation": "set_permission", "path": "/events/z", "mode": "1777"}),
        json!({"operation": "set_owner", "path": "/events/z", "owner": "alice"}),
        json!({"operation": "set_owner", "path": "/events/z", "group": "analysts"}),
        json!({"operation": "set_owner", "path": "/events/z", "owner": "bob", "group": "guests"}),
        json!({"operation": "set_replication", "path": "/events/empty", "replication": 2}),
        json!({"operation": "set_acl", "path": "/events/z",
               "acl": "user::rwx,user:alice:r-x,group::r--,other::---,default:group:guests:-wx"}),
        json!({"operation": "modify_acl", "path": "/events/empty", "acl": "group:analysts:rw-"}),
        json!({"operation": "remove_acl", "path": "/events/empty"}),
        json!({"operation": "set_xattr", "path": "/events/z", "name": "user.colour", "text": "é"}),
        json!({"operation": "set_xattr", "path": "/events/z", "name": "trusted.empty"}),
        json!({"operation": "remove_xattr", "path": "/events/z", "name": "user.colour"}),
        json!({"operation": "set_quota", "path": "/events/z"}),
        create("/events/cut", 2_100_000, 6),
        json!({"operation": "truncate", "path": "/events/cut", "length": 1_048_576}),
        json!({"operation": "rewrite_same", "path": "/events/empty", "seed": 9}),
        json!({"operation": "open", "path": "/events/open", "handle": "h"}),
        json!({"operation": "write", "handle": "h", "bytes": 1000, "seed": 7}),
        json!({"operation": "hflush", "handle": "h"}),
        json!({"operation": "rename", "path": "/events/open", "to": "/events/open2"}),
        json!({"operation": "close", "handle": "h"}),
        json!({"operation": "delete", "path": "/events/nothing"}),
    ];
    for name in ["line\nbreak", "\u{1}\u{7f}", "e\u{301}", "\u{e9}", "back\\slash", "😀", " sp "]
    {
        list.push(create(&format!("/events/names/{name}"), 5, 8));
    }
    for part in ["p0", "p1", "p2"] {
        list.push(create(&format!("/events/concat/{part}"), 1_048_576, 10));
    }
    let sources = ["/events/concat/p1", "/events/concat/p2"];
    list.push(json!({"operation": "concat", "path": "/events/concat/p0", "sources": sources}));
    list.push(json!({"operation": "delete", "path": "/events/z"}));
    list.push(json!({"operation": "truncate", "path": "/events/cut", "length": 1000}));
    list
}

/// All our events of some transactions, each with its transaction id.
async fn follow(client: &Client, first: u64, last: u64) -> Vec<(u64, Value)> {
    let mut events = Vec::new();
    let mut next = first;
    while next <= last {
        let edits = client.edits_from(next).await.unwrap();
        assert!(!edits.has_gap() && !edits.is_beyond_end());
        for batch in &edits.batches {
            assert!(batch.txid >= next);
            events.extend(batch.events.iter().map(|event| (batch.txid, render(event))));
        }
        next = edits.last_txid.map_or(next, |last| last + 1);
    }
    events
}

fn flat(hadoop: &Hadoop, after: u64) -> Vec<(u64, Value)> {
    let batches = hadoop.events_after(after as i64).unwrap();
    let events = batches.iter().flat_map(|batch| {
        let txid = batch["txid"].as_u64().unwrap();
        batch["events"].as_array().unwrap().iter().map(move |event| (txid, project(event)))
    });
    events.collect()
}

/// Of Java's metadata events only the fields that the type is about; Java fills the others too.
fn project(event: &Value) -> Value {
    let Some(kind) = event["metadata_type"].as_str() else { return event.clone() };
    let names: &[&str] = match kind {
        "TIMES" => &["mtime", "atime"],
        "REPLICATION" => &["replication"],
        "OWNER" => &["owner", "group"],
        "PERMS" => &["permission"],
        "ACLS" => &["acl"],
        "XATTRS" => &["xattrs", "xattrs_removed"],
        other => panic!("metadata type {other}"),
    };
    let mut projected =
        json!({"type": "METADATA", "path": event["path"], "metadata_type": event["metadata_type"]});
    for name in names {
        let value = event[*name].clone();
        projected[*name] = if value == json!("") { Value::Null } else { value };
    }
    projected
}

fn render(event: &Event) -> Value {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match event {
        Event::Create(create) => json!({
            "type": "CREATE",
            "path": text(&create.path),
            "inode_type": if create.kind == FileKind::File { "FILE" } else { "DIRECTORY" },
            "ctime": create.created_millis,
            "replication": create.replication,
            "owner": text(&create.owner),
            "group": text(&create.group),
            "permission": create.permission,
            "overwrite": create.overwrite,
            "block_bytes": create.block_size_bytes,
        }),
        Event::Close { path, length, modified_millis } => json!({
            "type": "CLOSE",
            "path": text(path),
            "bytes": length.map_or(-1, |length| length as i64),
            "timestamp": modified_millis,
        }),
        Event::Append { path, new_block } => {
            json!({"type": "APPEND", "path": text(path), "new_block": new_block})
        }
        Event::Rename { source, destination, time_millis } => json!({
            "type": "RENAME",
            "path": text(source),
            "to": text(destination),
            "timestamp": time_millis,
        }),
        Event::Unlink { path, time_millis } => {
            json!({"type": "UNLINK", "path": text(path), "timestamp": time_millis})
        }
        Event::Truncate { path, length, time_millis } => json!({
            "type": "TRUNCATE",
            "path": text(path),
            "bytes": length,
            "timestamp": time_millis,
        }),
        Event::Metadata { path, change } => {
            let mut value = render_change(change);
            value["type"] = json!("METADATA");
            value["path"] = json!(text(path));
            value
        }
    }
}

fn render_change(change: &MetadataChange) -> Value {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let name = |name: &Option<bytes::Bytes>| name.as_ref().map(|bytes| text(bytes));
    match change {
        MetadataChange::Times { modified_millis, accessed_millis } => json!({
            "metadata_type": "TIMES",
            "mtime": modified_millis.unwrap_or(-1),
            "atime": accessed_millis.unwrap_or(-1),
        }),
        MetadataChange::Replication(count) => {
            json!({"metadata_type": "REPLICATION", "replication": count})
        }
        MetadataChange::Owner { owner, group } => {
            json!({"metadata_type": "OWNER", "owner": name(owner), "group": name(group)})
        }
        MetadataChange::Permission(mode) => {
            json!({"metadata_type": "PERMS", "permission": mode})
        }
        MetadataChange::Acl(entries) => {
            let entries: Vec<_> = entries.iter().map(render_acl).collect();
            let acl = Some(entries.join(",")).filter(|acl| !acl.is_empty());
            json!({"metadata_type": "ACLS", "acl": acl})
        }
        MetadataChange::XAttrs { xattrs, removed } => {
            let names: Vec<_> = xattrs.iter().map(render_xattr).collect();
            json!({"metadata_type": "XATTRS", "xattrs": names, "xattrs_removed": removed})
        }
    }
}

fn render_acl(entry: &AclEntry) -> String {
    let scope = if entry.is_default { "default:" } else { "" };
    let subject = match entry.subject {
        AclSubject::User => "user",
        AclSubject::Group => "group",
        AclSubject::Mask => "mask",
        AclSubject::Other => "other",
    };
    let name = entry.name.as_ref().map(|name| String::from_utf8(name.to_vec()).unwrap());
    let bit = |bit: u8, letter: char| if entry.permission & bit == 0 { '-' } else { letter };
    let (read, write, execute) = (bit(4, 'r'), bit(2, 'w'), bit(1, 'x'));
    format!("{scope}{subject}:{}:{read}{write}{execute}", name.unwrap_or_default())
}

fn render_xattr(xattr: &XAttr) -> String {
    let namespace = match xattr.namespace {
        XAttrNamespace::User => "user",
        XAttrNamespace::Trusted => "trusted",
        XAttrNamespace::Security => "security",
        XAttrNamespace::System => "system",
        XAttrNamespace::Raw => "raw",
    };
    format!("{namespace}.{}", String::from_utf8(xattr.name.to_vec()).unwrap())
}
