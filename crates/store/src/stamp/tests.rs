use proptest::prelude::*;

use super::*;

fn sample() -> Metadata {
    Metadata {
        owner: "etl".to_owned(),
        group: "Größe 100%".to_owned(),
        mode: 0o1777,
        modified_ns: 1_700_000_000_123_000_000,
        acl: Some("user:alice:rw-,group::r--,default:user::rwx".to_owned()),
        xattrs: [("user.a=b".to_owned(), vec![0, 255])].into(),
    }
}

fn stamp(metadata: Option<Metadata>) -> Stamp {
    Stamp { migration: "m-1".to_owned(), attempt: 42, metadata }
}

#[test]
fn the_form_is_the_documented_one() {
    let fields = encode(&stamp(Some(sample())));
    let expected = [
        ("mtime", "1700000000.123"),
        ("whimbrel-acl", "user:alice:rw-,group::r--,default:user::rwx"),
        ("whimbrel-attempt", "42"),
        ("whimbrel-group", "Gr%C3%B6%C3%9Fe%20100%25"),
        ("whimbrel-migration", "m-1"),
        ("whimbrel-mode", "1777"),
        ("whimbrel-owner", "etl"),
        ("whimbrel-xattr-1", "user.a%3Db=AP8="),
    ];
    let expected: Vec<(String, String)> =
        expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    assert_eq!(fields.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn times_are_written_as_rclone_writes_them() {
    for (nanoseconds, text) in [
        (0, "0"),
        (1_700_000_000_000_000_000, "1700000000"),
        (1_700_000_000_100_000_000, "1700000000.1"),
        (1, "0.000000001"),
        (-500_000_000, "-0.5"),
        (i64::MIN, "-9223372036.854775808"),
    ] {
        assert_eq!(seconds(nanoseconds), text);
        assert_eq!(super::nanoseconds(text), Some(nanoseconds), "{text}");
    }
    for wrong in ["", ".", "1e9", "+1", "99999999999999", "1.x", "--1"] {
        assert_eq!(super::nanoseconds(wrong), None, "{wrong}");
    }
}

#[test]
fn strangers_metadata_is_no_metadata() {
    let fields = [("colour".to_owned(), "red".to_owned())].into();
    assert_eq!(decode(&fields), Stamped::default());
    let broken = [
        (OWNER.to_owned(), "%F".to_owned()),
        (GROUP.to_owned(), "%FF".to_owned()),
        (MODE.to_owned(), "9".to_owned()),
        (ATTEMPT.to_owned(), "-1".to_owned()),
    ];
    assert_eq!(decode(&broken.into()), Stamped::default());
}

/// An empty ACL stood for one that differs from none.
#[test]
fn an_empty_value_is_none() {
    let fields = [(OWNER, "etl"), (ACL, ""), (GROUP, ""), (MIGRATION, "")];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let read = decode(&fields);
    let expected = Metadata { owner: "etl".to_owned(), ..Metadata::default() };
    assert_eq!((read.migration, read.metadata), (None, Some(expected)));
}

#[test]
fn rule_11_2_too_long_metadata_becomes_digests() {
    let mut metadata = sample();
    metadata.xattrs = (0..9).map(|n| (format!("user.{n}"), vec![n; 200])).collect();
    let fields = encode(&stamp(Some(metadata.clone())));
    assert!(fields.contains_key("whimbrel-xattr-digest"));
    assert!(fields.contains_key("whimbrel-acl"), "the ACL still fits");
    assert!(bytes(&fields) <= USER_METADATA_BYTES_MAX);
    assert!(agrees(&fields, &metadata));
    let mut other = metadata.clone();
    other.xattrs.insert("user.0".to_owned(), vec![1]);
    assert!(!agrees(&fields, &other), "the digest tells other values");

    metadata.acl = Some("user:someone-with-a-name:rwx,".repeat(80));
    let fields = encode(&stamp(Some(metadata)));
    assert_eq!(fields.get("whimbrel-acl-digest").map(String::len), Some(64));
    assert!(!fields.contains_key("whimbrel-acl"));
    assert_eq!(fields.get(OWNER).map(String::as_str), Some("etl"));
}

/// `verify` took any digest for right.
#[test]
fn a_digest_is_that_of_what_it_stands_for() {
    let mut metadata = sample();
    metadata.xattrs = (0..9).map(|n| (format!("user.{n}"), vec![n; 200])).collect();
    metadata.acl = Some("user:someone-with-a-name:rwx,".repeat(80));
    let fields = encode(&stamp(Some(metadata.clone())));
    let said = |metadata: &Metadata| {
        ["owner", "group", "acl", "xattr"].map(|name| digest_agrees(&fields, name, metadata))
    };
    assert_eq!(said(&metadata), [None, None, Some(true), Some(true)]);
    let mut other = metadata.clone();
    other.xattrs.insert("user.0".to_owned(), vec![1]);
    assert_eq!(said(&other), [None, None, Some(true), Some(false)]);
    other.acl = None;
    assert_eq!(said(&other), [None, None, Some(false), Some(false)], "a digest of nothing");
}

#[test]
fn agreement_minds_content_and_not_who_wrote() {
    let fields = encode(&stamp(Some(sample())));
    assert!(agrees(&fields, &sample()));
    for change in [
        |m: &mut Metadata| m.mode = 0o600,
        |m: &mut Metadata| m.acl = None,
        |m: &mut Metadata| m.modified_ns += 1_000_000,
        |m: &mut Metadata| m.group.clear(),
    ] {
        let mut other = sample();
        change(&mut other);
        assert!(!agrees(&fields, &other), "{other:?}");
    }
    let mut foreign = fields.clone();
    foreign.insert("colour".to_owned(), "red".to_owned());
    assert!(agrees(&foreign, &sample()));
}

fn any_metadata() -> impl Strategy<Value = Metadata> {
    let name = "\\PC{0,40}";
    (
        name,
        name,
        0_u32..=0o7777,
        any::<i64>(),
        proptest::option::of("\\PC{1,200}"),
        proptest::collection::btree_map(
            "\\PC{1,30}",
            proptest::collection::vec(any::<u8>(), 0..60),
            0..4,
        ),
    )
        .prop_map(|(owner, group, mode, modified_ns, acl, xattrs)| Metadata {
            owner,
            group,
            mode,
            modified_ns,
            acl,
            xattrs,
        })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(metadata in any_metadata(), migration in "[!-~]{1,36}", attempt: u64) {
        let stamp = Stamp { migration: migration.clone(), attempt, metadata: Some(metadata.clone()) };
        let fields = encode(&stamp);
        prop_assert!(bytes(&fields) <= USER_METADATA_BYTES_MAX);
        for (name, value) in &fields {
            prop_assert!(value.bytes().all(|byte| byte.is_ascii_graphic()), "{name}: {value}");
        }
        prop_assert!(agrees(&fields, &metadata));
        let back = decode(&fields);
        prop_assert_eq!(back.migration, Some(migration));
        prop_assert_eq!(back.attempt, Some(attempt));
        let mut expected = metadata;
        if fields.keys().any(|key| key == "whimbrel-xattr-digest") {
            expected.xattrs.clear();
        }
        if fields.keys().any(|key| key == "whimbrel-acl-digest") {
            expected.acl = None;
        }
        prop_assert_eq!(back.metadata, Some(expected));
    }
}
