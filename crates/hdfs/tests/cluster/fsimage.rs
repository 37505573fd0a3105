//! Images that the NameNode saves and sends, against its own listings.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::time::Duration;

use serde_json::json;
use whimbrel_fsimage::{
    Block, Entry, Image, Node, Root, Settings, XAttrNamespace, blocks_digest, download,
};
use whimbrel_hdfs::{Client, FileKind, FileStatus};
use whimbrel_testbed::{Hadoop, HadoopOptions};

use crate::reading::set_erasure_coding;
use crate::{client, cluster, create};

/// Children by the path of their directory, each as text.
type Tree = BTreeMap<Vec<u8>, Vec<String>>;

/// Has the NameNode save its namespace, and fetches that.
fn saved(hadoop: &Hadoop) -> Image<File> {
    hadoop.purge_edits().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    let timeout = Duration::from_secs(30);
    let fetched = download(&hadoop.http_addresses()[0], &path, u64::MAX, timeout).unwrap();
    let image = Image::open(&path, Some(&fetched.md5)).unwrap();
    assert!(fetched.name.ends_with(&image.header().transaction_id.to_string()), "{fetched:?}");
    image
}

/// What both sides say of a file or directory. Of one that is open only that it is: which blocks
/// are there changes while one asks.
fn row(
    name: &[u8],
    id: u64,
    rights: (u16, &[u8], &[u8]),
    modified: u64,
    file: Option<(u64, u64, bool, Option<u32>)>,
) -> String {
    let (mode, owner, group) = rights;
    let rights = format!("{mode:o} {} {}", owner.escape_ascii(), group.escape_ascii());
    match file {
        None => format!("{} {id} {modified} {rights}", name.escape_ascii()),
        Some((_, _, true, policy)) => {
            format!("{} {id} {rights} open {policy:?}", name.escape_ascii())
        }
        Some((length, blocks, false, policy)) => {
            format!(
                "{} {id} {modified} {rights} {length} {blocks:x} {policy:?}",
                name.escape_ascii()
            )
        }
    }
}

fn row_of_entry(entry: &Entry) -> String {
    let file = match &entry.node {
        Node::File(file) => {
            Some((file.length, file.blocks_digest(), file.is_open, file.erasure_coding))
        }
        Node::Directory | Node::Symlink => None,
    };
    let rights = (entry.mode, &*entry.owner, &*entry.group);
    row(&entry.name, entry.file_id, rights, entry.modified_millis, file)
}

fn row_of_status(status: &FileStatus) -> String {
    let file = status.pinned.as_ref().map(|pinned| {
        let block = |block: &whimbrel_hdfs::Block| Block {
            id: block.id,
            generation_stamp: block.generation_stamp,
            length: block.length,
        };
        let blocks: Vec<Block> = pinned.blocks.iter().map(block).collect();
        let policy = pinned.erasure_coding.as_ref().map(|coding| coding.policy_id);
        (pinned.length, blocks_digest(&blocks), pinned.is_under_construction, policy)
    });
    let rights = (status.permission, &status.owner[..], &status.group[..]);
    row(&status.name, status.file_id, rights, status.modified_millis, file)
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory {
        b"/" => [b"/", name].concat(),
        directory => [directory, b"/", name].concat(),
    }
}

/// Everything below a directory, as the NameNode lists it.
async fn listed(client: &Client, top: &[u8]) -> Tree {
    let (mut tree, mut ahead) = (Tree::new(), vec![top.to_vec()]);
    while let Some(directory) = ahead.pop() {
        let mut all: Vec<FileStatus> = Vec::new();
        loop {
            let after = all.last().map(|last| last.name.clone()).unwrap_or_default();
            let page = client.list(&directory, &after, true).await.unwrap().unwrap();
            all.extend(page.entries);
            if page.remaining == 0 {
                break;
            }
        }
        let directories = all.iter().filter(|status| status.kind == FileKind::Directory);
        ahead.extend(directories.map(|status| join(&directory, &status.name)));
        all.sort_by(|one, other| one.name.cmp(&other.name));
        tree.insert(directory, all.iter().map(row_of_status).collect());
    }
    tree
}

/// The same, of an image, and the entries by their paths.
fn imaged(
    image: &mut Image<File>,
    top: &str,
    settings: &Settings,
) -> (Tree, BTreeMap<Vec<u8>, Entry>) {
    let root = Root::Path(top.as_bytes().to_vec());
    let mut inventory = image.inventory(&root, settings).unwrap();
    let (mut tree, mut entries) = (Tree::new(), BTreeMap::new());
    while let Some(page) = inventory.next_page().unwrap() {
        let directory = match page.path.is_empty() {
            true => top.as_bytes().to_vec(),
            false => join(top.as_bytes(), &page.path),
        };
        let rows = tree.entry(directory.clone()).or_default();
        rows.extend(page.entries.iter().map(row_of_entry));
        entries.extend(page.entries.into_iter().map(|e| (join(&directory, &e.name), e)));
    }
    (tree, entries)
}

/// Rights and attributes that take a call for each path.
async fn compare_rights(client: &Client, entries: &BTreeMap<Vec<u8>, Entry>) {
    for (path, entry) in entries.iter().filter(|(path, _)| path.starts_with(b"/image")) {
        let told = |is_default, subject: String, name: Option<&[u8]>, bits| {
            format!("{is_default} {subject} {:?} {bits}", name.map(<[u8]>::escape_ascii))
        };
        let acl = client.acl_status(path).await.unwrap().entries;
        let one = acl.iter().map(|e| {
            told(e.is_default, format!("{:?}", e.subject), e.name.as_deref(), e.permission)
        });
        let other = entry.acl.iter().map(|e| {
            told(e.is_default, format!("{:?}", e.subject), e.name.as_deref(), e.permission)
        });
        assert_eq!(one.collect::<Vec<_>>(), other.collect::<Vec<_>>(), "{}", path.escape_ascii());
        let asked = client.xattrs(path).await.unwrap();
        let asked = asked.iter().map(|x| (x.name.to_vec(), x.value.to_vec()));
        let ours = [XAttrNamespace::User, XAttrNamespace::Trusted];
        let told = entry.xattrs.iter().filter(|xattr| ours.contains(&xattr.namespace));
        let told = told.map(|x| (x.name.to_vec(), x.value.clone()));
        assert_eq!(asked.collect::<BTreeSet<_>>(), told.collect(), "{}", path.escape_ascii());
    }
}

fn changes() -> Vec<serde_json::Value> {
    vec![
        create("/image/plain", 1000, 1),
        create("/image/empty", 0, 2),
        create("/image/blocks", 3_500_000, 3),
        create("/image/appended", 1_048_576, 4),
        json!({"operation": "append", "path": "/image/appended", "bytes": 10, "seed": 5}),
        create("/image/truncated", 2_500_000, 6),
        json!({"operation": "truncate", "path": "/image/truncated", "length": 2_097_152}),
        create("/image/part", 1_048_576, 7),
        create("/image/joined", 1_048_576, 8),
        json!({"operation": "concat", "path": "/image/joined", "sources": ["/image/part"]}),
        json!({"operation": "mkdirs", "path": "/image/nothing/in/it"}),
        create("/image/names/line\nbreak", 1, 9),
        create("/image/names/\u{e9}", 1, 9),
        create("/image/names/e\u{301}", 1, 9),
        create("/image/names/😀", 1, 9),
        create("/image/names/Z", 1, 9),
        json!({"operation": "set_permission", "path": "/image/names", "mode": "1751"}),
        json!({"operation": "set_owner", "path": "/image/plain", "owner": "a", "group": "b"}),
        json!({"operation": "set_acl", "path": "/image/blocks",
               "acl": "user::rw-,user:alice:rwx,group::r--,group:analysts:-wx,other::--x"}),
        json!({"operation": "modify_acl", "path": "/image/names",
               "acl": "default:user:bob:rwx,default:group::r-x"}),
        json!({"operation": "set_xattr", "path": "/image/plain", "name": "user.k", "text": "v"}),
        json!({"operation": "set_xattr", "path": "/image/plain", "name": "trusted.t",
               "base64": "AP8="}),
        json!({"operation": "set_times", "path": "/image/empty", "mtime_milliseconds": 1234}),
        create("/image/snap/stays", 5, 1),
        create("/image/snap/goes/with", 5, 1),
        create("/image/snap/moves", 5, 1),
        create("/image/snap/tree/below/file", 5, 1),
        create("/image/snap/grows", 5, 1),
        json!({"operation": "allow_snapshot", "path": "/image/snap"}),
        json!({"operation": "create_snapshot", "path": "/image/snap", "name": "one"}),
        json!({"operation": "delete", "path": "/image/snap/goes"}),
        json!({"operation": "rename", "path": "/image/snap/moves", "to": "/image/moved"}),
        json!({"operation": "rename", "path": "/image/snap/tree", "to": "/image/nothing/tree"}),
        json!({"operation": "append", "path": "/image/snap/grows", "bytes": 3, "seed": 1}),
        create("/image/snap/comes", 5, 1),
        json!({"operation": "open", "path": "/image/open", "handle": "image"}),
        json!({"operation": "write", "handle": "image", "bytes": 1_500_000, "seed": 7}),
        json!({"operation": "hflush", "handle": "image"}),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_says_what_listings_say() {
    let hadoop = cluster().await;
    let client = client(&hadoop).await;
    set_erasure_coding(&hadoop, "/image/coded", "XOR-2-1-1024k");
    hadoop.operations(&[create("/image/coded/f", 3_000_000, 1)]).unwrap();
    hadoop.operations(&changes()).unwrap();
    let mut image = tokio::task::block_in_place(|| saved(&hadoop));
    let header = image.header().clone();
    assert_eq!(header.namespace_id, client.namespace_identity().await.unwrap().namespace_id);
    let next = header.transaction_id + 1;
    assert!(client.current_transaction_id().await.unwrap() >= header.transaction_id);
    assert_eq!(client.edits_from(next).await.unwrap().first_txid, Some(next));

    let (tree, entries) = imaged(&mut image, "/", &Settings::default());
    assert_eq!(tree, listed(&client, b"/").await);
    assert!(tree.len() >= 10, "{tree:?}");
    compare_rights(&client, &entries).await;
    let little = Settings { memory_bytes: 1024, page_entries_max: 3, ..Settings::default() };
    assert_eq!(imaged(&mut image, "/", &little).0, tree);
    assert_eq!(
        imaged(&mut image, "/image", &Settings::default()).0,
        listed(&client, b"/image").await
    );

    let is_open = |entry: &&Entry| matches!(&entry.node, Node::File(file) if file.is_open);
    let open: BTreeSet<u64> = entries.values().filter(is_open).map(|entry| entry.file_id).collect();
    assert!(open.contains(&entries[&b"/image/open"[..]].file_id));
    assert_eq!(image.open_files().unwrap().into_iter().collect::<BTreeSet<_>>(), open);
    let snapshots = image.snapshots().unwrap();
    let snap = entries[&b"/image/snap"[..]].file_id;
    assert!(snapshots.snapshottable_directories.contains(&snap));
    let ours = snapshots.snapshots.iter().find(|snapshot| snapshot.directory_id == snap);
    assert_eq!(ours.map(|snapshot| &snapshot.name[..]), Some(&b"one"[..]));
    let policies = image.erasure_coding_policies().unwrap();
    assert!(policies.iter().any(|policy| policy.name == b"XOR-2-1-1024k"), "{policies:?}");
    hadoop.operations(&[json!({"operation": "close", "handle": "image"})]).unwrap();
}

/// The ways in which a NameNode can be told to save: compressed, in parts, with a string table for
/// each kind of name. LZ4 and Zstandard need libraries that Hadoop does not bring along.
#[tokio::test(flavor = "multi_thread")]
async fn images_are_read_however_they_are_saved() {
    for codec in [None, Some("Default"), Some("Gzip"), Some("Snappy")] {
        let mut options = HadoopOptions { data_nodes: 1, ..HadoopOptions::default() }
            .with("dfs.replication", 1)
            .with("dfs.image.parallel.load", true)
            .with("dfs.image.parallel.inode.threshold", 1)
            .with("dfs.image.parallel.target.sections", 4)
            .with("dfs.image.string-tables.expanded", codec.is_none());
        if let Some(codec) = codec {
            let class = format!("org.apache.hadoop.io.compress.{codec}Codec");
            let compress = options.with("dfs.image.compress", true);
            options = compress.with("dfs.image.compression.codec", class);
        }
        let hadoop = Hadoop::start(&options).unwrap();
        let mut files: Vec<_> =
            (0..40).map(|n| create(&format!("/d{}/f{n}", n % 7), n, n)).collect();
        files.push(json!({"operation": "set_owner", "path": "/d1", "owner": "a", "group": "b"}));
        files.push(json!({"operation": "modify_acl", "path": "/d2", "acl": "group:analysts:rwx"}));
        files.push(json!({"operation": "set_xattr", "path": "/d3", "name": "user.k", "text": "v"}));
        hadoop.operations(&files).unwrap();
        let mut image = tokio::task::block_in_place(|| saved(&hadoop));
        let class = image.header().codec.clone().unwrap_or_default();
        assert!(class.contains(codec.unwrap_or_default()), "{class}");
        let (tree, entries) = imaged(&mut image, "/", &Settings::default());
        let client = client(&hadoop).await;
        assert_eq!(tree, listed(&client, b"/").await, "{codec:?}");
        let acl = &entries[&b"/d2"[..]].acl;
        assert!(acl.iter().any(|entry| entry.name.as_deref() == Some(b"analysts")), "{acl:?}");
        assert_eq!(&*entries[&b"/d3"[..]].xattrs[0].name, b"k");
    }
}
