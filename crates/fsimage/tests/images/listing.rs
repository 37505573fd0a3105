//! What an inventory tells, and in which order.

use std::collections::BTreeMap;

use whimbrel_fsimage::{
    AclSubject, Block, Error, Node, Page, Root, Settings, XAttrNamespace, blocks_digest,
};

use crate::generator::{
    Builder, Chance, MODIFIED, Message, ROOT, block, directory_body, file_body, permission,
};
use crate::{image, listed, root, told};

/// `/a/{x, sub/{y}}`, `/b` without children, `/z` a file; ids in no order.
fn small() -> Builder {
    let mut builder = Builder::new();
    builder.file(30, b"z").directory(20, b"sub").directory(40, b"a").file(50, b"x");
    builder.directory(10, b"b").file(60, b"y");
    builder.children(20, &[60]).children(40, &[50, 20]).children(ROOT, &[40, 10, 30]);
    builder
}

#[test]
fn directories_come_before_their_children_and_empty_ones_have_a_page() {
    let pages = listed(&small().build(), &root("/"), &Settings::default()).unwrap();
    assert_eq!(told(&pages), [": a b z", "a: sub x", "a/sub: y", "b: "]);
    assert_eq!(pages.iter().map(|page| page.file_id).collect::<Vec<_>>(), [ROOT, 40, 20, 10]);
}

#[test]
fn a_subtree_is_found_by_its_path_and_by_its_id() {
    let bytes = small().build();
    for root in [root("/a"), root("//a/"), Root::FileId(40)] {
        let mut image = image(&bytes).unwrap();
        let mut inventory = image.inventory(&root, &Settings::default()).unwrap();
        assert_eq!(inventory.root().name, b"a");
        assert_eq!(inventory.directories(), 2);
        assert_eq!(told(&crate::pages(&mut inventory).unwrap()), [": sub x", "sub: y"]);
    }
    for absent in [root("/a/x"), root("/q"), Root::FileId(50), Root::FileId(1)] {
        let error = listed(&bytes, &absent, &Settings::default()).unwrap_err();
        assert!(matches!(error, Error::NoRoot(_)), "{error}");
    }
}

/// What only a snapshot holds has inodes, and stands in no directory.
#[test]
fn what_only_snapshots_hold_stands_nowhere() {
    let mut builder = small();
    builder.directory(70, b"deleted").file(80, b"inside").file(90, b"alone").children(70, &[80]);
    builder.snapshot();
    let bytes = builder.build();
    let pages = listed(&bytes, &root("/"), &Settings::default()).unwrap();
    assert_eq!(told(&pages), [": a b z", "a: sub x", "a/sub: y", "b: "]);
    assert!(matches!(
        listed(&bytes, &Root::FileId(70), &Settings::default()),
        Err(Error::NoRoot(_))
    ));
    let mut image = image(&bytes).unwrap();
    let mut inodes = image.inodes().unwrap();
    let mut count = 0;
    while inodes.next().unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 10);
}

#[test]
fn what_was_moved_below_a_snapshot_is_found_through_its_reference() {
    let mut builder = small();
    builder.file(70, b"moved").directory(80, b"n").file(90, b"in").children(80, &[90]);
    builder.reference(50).reference(70).reference(80);
    builder.children_and_references(10, &[], &[1, 2]);
    let pages = listed(&builder.build(), &root("/"), &Settings::default()).unwrap();
    assert_eq!(told(&pages), [": a b z", "a: sub x", "a/sub: y", "b: moved n", "b/n: in"]);
}

/// Hadoop orders names by signed bytes; a table of ours by unsigned ones.
#[test]
fn names_ascend_by_unsigned_bytes() {
    let mut builder = Builder::new();
    builder
        .file(1, "\u{ffff}".as_bytes())
        .file(2, b"A")
        .file(3, &[0xc3, 0xa4])
        .file(4, b"longer-than-eight-b");
    builder.file(5, b"longer-than-eight-a").directory(6, &[0xc3, 0x80]).directory(7, b"B");
    builder.children(ROOT, &[3, 6, 1, 2, 7, 5, 4]);
    let pages = listed(&builder.build(), &root("/"), &Settings::default()).unwrap();
    let ids: Vec<u64> = pages[0].entries.iter().map(|entry| entry.file_id).collect();
    assert_eq!(ids, [2, 7, 5, 4, 6, 3, 1]);
    assert_eq!(pages[1..].iter().map(|page| page.file_id).collect::<Vec<_>>(), [7, 6]);
}

#[test]
fn pages_are_of_one_directory_and_say_whether_more_follow() {
    let settings = Settings { page_entries_max: 2, ..Settings::default() };
    let pages = listed(&small().build(), &root("/"), &settings).unwrap();
    assert_eq!(told(&pages), [": a b +", ": z", "a: sub x", "a/sub: y", "b: "]);
}

/// The value is `printf` of the same bytes through `sha256sum`; listings make it in
/// `crates/store/src/hdfs/node.rs`.
#[test]
fn the_digest_of_blocks_is_that_of_listings() {
    let blocks = [
        Block { id: 1_073_741_825, generation_stamp: 1001, length: 134_217_728 },
        Block { id: 1_073_741_826, generation_stamp: 1002, length: 5 },
    ];
    assert_eq!(blocks_digest(&blocks), 0xfa84_54c4_94dd_4bb0);
    assert_eq!(blocks_digest(&[]), 0xe3b0_c442_98fc_1c14);
}

#[test]
fn everything_that_travels_with_a_file_is_told() {
    let zone = Message::default().fixed32(1, 3 << 6 | 1 << 5).bytes(2, b"key");
    let plain = Message::default().fixed32(1, 4 << 6).bytes(2, b"value");
    // user:alice:rw-, group::r--, default:other::r-x
    let entries = [1 << 6 | 6, 1 << 3 | 4, 1 << 5 | 3 << 3 | 5_u32];
    let packed: Vec<u8> = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    let acl = Message::default().bytes(2, &packed);
    let body = file_body(&[block(5, 6, 7), block(8, 9, 10)])
        .message(8, &acl)
        .message(9, &Message::default().message(1, &plain))
        .number(12, 1);
    let mut builder = Builder::new();
    builder.strings.push((4, "color"));
    let in_zone = directory_body().message(6, &Message::default().message(1, &zone));
    builder.inode(2, 2, b"secret", &in_zone).inode(1, 3, b"file", &body).directory(4, b"below");
    let open = file_body(&[block(1, 2, 3), block(4, 5, 6)]).message(7, &Message::default());
    builder.inode(1, 5, b"open", &open);
    let link = Message::default().fixed64(1, permission()).bytes(2, b"/x").number(3, 9);
    builder.inode(3, 6, b"link", &link);
    builder.children(ROOT, &[3, 6, 5, 2]).children(2, &[4]);
    let pages = listed(&builder.build(), &root("/"), &Settings::default()).unwrap();
    let zones: Vec<bool> = pages.iter().map(|page| page.is_in_encryption_zone).collect();
    assert_eq!(zones, [false, true, true]);
    let [file, link, open, secret] = &pages[0].entries[..] else { panic!("{pages:?}") };
    assert_eq!((&*file.owner, &*file.group), (&b"alice"[..], &b"analysts"[..]));
    assert_eq!((file.mode, file.modified_millis), (0o644, MODIFIED));
    let acl: Vec<_> = file.acl.iter().map(|e| (e.is_default, e.subject, e.permission)).collect();
    assert_eq!(
        acl,
        [(false, AclSubject::User, 6), (false, AclSubject::Group, 4), (true, AclSubject::Other, 5)]
    );
    assert_eq!(file.acl[0].name.as_deref(), Some(&b"alice"[..]));
    assert_eq!(file.acl[1].name, None);
    let xattr = &file.xattrs[0];
    assert_eq!((xattr.namespace, &*xattr.name), (XAttrNamespace::User, &b"color"[..]));
    assert_eq!(xattr.value, b"value");
    let Node::File(bytes) = &file.node else { panic!("{file:?}") };
    assert_eq!((bytes.length, bytes.is_open, bytes.erasure_coding), (17, false, Some(1)));
    assert_eq!(link.node, Node::Symlink);
    // What is being written is left out.
    let Node::File(bytes) = &open.node else { panic!("{open:?}") };
    let first = Block { id: 1, generation_stamp: 2, length: 3 };
    assert_eq!((bytes.length, bytes.is_open, &bytes.blocks[..]), (3, true, &[first][..]));
    assert!(secret.is_encryption_zone() && !file.is_encryption_zone());
}

/// With a table for each kind of name the same number is three names.
#[test]
fn string_tables_may_be_one_for_each_kind() {
    let mut builder = Builder::new();
    builder.mask_bits = 3;
    builder.strings = vec![(1 << 29 | 1, "user"), (2 << 29 | 2, "group"), (2 << 29 | 1, "wrong")];
    builder.file(1, b"f").children(ROOT, &[1]);
    let pages = listed(&builder.build(), &root("/"), &Settings::default()).unwrap();
    let entry = &pages[0].entries[0];
    assert_eq!((&*entry.owner, &*entry.group), (&b"user"[..], &b"group"[..]));
}

/// A NameNode begins with 1, and `hdfs oiv -p ReverseXML` with 0.
#[test]
fn names_may_be_counted_from_zero() {
    let body = Message::default().number(1, 3).number(2, MODIFIED).fixed64(5, 1 << 16 | 0o644);
    let mut builder = Builder::new();
    builder.strings = vec![(0, "alice"), (1, "analysts"), (2, "staff")];
    builder.inode(1, 3, b"file", &body).children(ROOT, &[3]);
    let pages = listed(&builder.build(), &root("/"), &Settings::default()).unwrap();
    let entry = &pages[0].entries[0];
    assert_eq!((&*entry.owner, &*entry.group), (&b"alice"[..], &b"analysts"[..]));
}

#[test]
fn the_header_tells_the_transaction_and_the_namespace() {
    let bytes = small().build();
    let image = image(&bytes).unwrap();
    let header = image.header();
    assert_eq!((header.transaction_id, header.namespace_id), (12_345, 4711));
    assert_eq!((header.layout_version, header.codec.as_deref()), (-67, None));
}

/// A tree by chance, and what a plain map makes of it.
fn random(seed: u64, nodes: u64) -> (Builder, BTreeMap<Vec<u8>, Vec<u64>>) {
    let mut chance = Chance(seed * 2 + 1);
    let mut builder = Builder::new();
    let mut directories: Vec<(u64, Vec<u8>)> = vec![(ROOT, Vec::new())];
    let mut children: BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, u64>> = BTreeMap::new();
    children.insert(Vec::new(), BTreeMap::new());
    for number in 0..nodes {
        let id = 20_000 + (number * 7919) % (nodes * 8);
        let (_, parent) = directories[chance.below(directories.len() as u64) as usize].clone();
        let name = format!("{}-{number}", chance.below(40)).into_bytes();
        let siblings = children.get_mut(&parent).unwrap();
        siblings.insert(name.clone(), id);
        if chance.below(4) == 0 {
            let path = [&parent[..], b"/", &name].concat();
            builder.directory(id, &name);
            children.insert(path.clone(), BTreeMap::new());
            directories.push((id, path));
        } else {
            builder.file(id, &name);
        }
    }
    for (id, path) in &directories {
        let mut ids: Vec<u64> = children[path].values().copied().collect();
        ids.reverse();
        builder.children(*id, &ids);
    }
    let ids = |(path, children): (Vec<u8>, BTreeMap<Vec<u8>, u64>)| {
        (path, children.into_values().collect())
    };
    (builder, children.into_iter().map(ids).collect())
}

fn by_path(pages: &[Page]) -> BTreeMap<Vec<u8>, Vec<u64>> {
    let mut all: BTreeMap<Vec<u8>, Vec<u64>> = BTreeMap::new();
    for page in pages {
        let path = match page.path.is_empty() {
            true => Vec::new(),
            false => [b"/", &page.path[..]].concat(),
        };
        all.entry(path).or_default().extend(page.entries.iter().map(|entry| entry.file_id));
    }
    all
}

/// 64 bytes of memory: as many parts as there may be, a run for each inode, runs merged into runs.
#[test]
fn an_inventory_is_the_same_whatever_memory_it_has() {
    for (seed, nodes) in [(1, 3), (2, 200), (3, 3000)] {
        let (builder, expected) = random(seed, nodes);
        let bytes = builder.build();
        let roomy = listed(&bytes, &root("/"), &Settings::default()).unwrap();
        assert_eq!(by_path(&roomy), expected, "seed {seed}");
        for memory_bytes in [64, 16 << 10, 100 << 10] {
            let settings = Settings { memory_bytes, ..Settings::default() };
            assert_eq!(listed(&bytes, &root("/"), &settings).unwrap(), roomy, "{memory_bytes}");
        }
    }
}
