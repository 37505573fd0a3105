//! Bytes that lie.

use whimbrel_fsimage::{Error, Image, Md5, Settings};

use crate::codecs::CODECS;
use crate::generator::{Builder, Chance, Codec, Message, ROOT, file_body};
use crate::{image, listed, root};

fn tree() -> Builder {
    let mut builder = Builder::new();
    builder.directory(20, b"a").file(30, b"f").file(40, b"g").reference(40);
    builder.children(ROOT, &[20]).children_and_references(20, &[30], &[0]);
    builder
}

/// The words of the failure that a builder's image ends with.
fn refused(builder: &Builder) -> String {
    match listed(&builder.build(), &root("/"), &Settings::default()) {
        Ok(pages) => panic!("{pages:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_image_that_contradicts_itself_is_refused() {
    type Spoil = fn(&mut Builder);
    let cases: [(Spoil, &str); 19] = [
        (|b| b.count += 1, "1 inodes are missing"),
        (|b| b.count -= 1, "more inodes than it says"),
        (|b| _ = b.children(20, &[77]), "1 children of directories are lost"),
        (|b| _ = b.children(20, &[30]), "an inode in two places"),
        (|b| _ = b.children(ROOT, &[20]), "a directory in two directories"),
        (|b| _ = b.children(99, &[1]), "children of no directory"),
        (|b| _ = b.children_and_references(ROOT, &[], &[9]), "a reference that is not there"),
        (|b| _ = b.file(30, b"again"), "two inodes of the id 30"),
        (|b| _ = b.directory(20, b"again"), "two inodes of one id"),
        (|b| _ = b.file(50, b"f").children(20, &[50]), "two children of one name"),
        (|b| _ = b.file(50, b"x/y").children(20, &[50]), "a name that is none"),
        (|b| _ = b.file(50, b"..").children(20, &[50]), "a name that is none"),
        (|b| _ = b.file(50, b"\xe6").children(20, &[50]), "a name that is none"),
        (|b| _ = b.strings.remove(0), "an owner or group without a name"),
        (|b| _ = b.file(50, b"lost"), "the child of exactly one directory"),
        (|b| _ = b.directory(50, b"lost"), "the child of exactly one directory"),
        (|b| _ = b.directory(50, b"self").children(50, &[50]), "a directory below no other"),
        (of_two_types, "an inode with the body of another type"),
        (|b| _ = b.inode(9, 50, b"x", &Message::default()), "an inode of no known type"),
    ];
    for (spoil, words) in cases {
        let mut builder = tree();
        spoil(&mut builder);
        let told = refused(&builder);
        assert!(told.contains(words), "{told:?} does not say {words:?}");
    }
}

/// One bit makes a link of a file.
fn of_two_types(builder: &mut Builder) {
    let link = Message::default().number(1, 3).number(2, 50).bytes(3, b"x");
    builder.inodes.delimited(&link.message(4, &file_body(&[])));
    builder.count += 1;
    builder.children(20, &[50]);
}

/// A directory that is its own ancestor stands nowhere; above the root it goes round for ever.
#[test]
fn directories_in_a_circle_end() {
    let mut builder = Builder::new();
    builder.directory(20, b"a").directory(30, b"b").children(20, &[30]).children(30, &[20]);
    let bytes = builder.build();
    assert!(refused(&builder).contains("a directory below no other"));
    let circle = listed(&bytes, &whimbrel_fsimage::Root::FileId(30), &Settings::default());
    assert!(matches!(circle, Err(Error::NoRoot(_))));
    let mut builder = tree();
    builder.children(20, &[ROOT]);
    assert!(refused(&builder).contains("the child of exactly one directory"));
}

#[test]
fn lengths_beyond_all_bounds_are_refused() {
    let huge = |length| Message::default().number(1, 1).number(2, 1).number(3, length);
    let mut builder = Builder::new();
    builder.inode(1, 20, b"f", &file_body(&[huge(u64::MAX), huge(1)])).children(ROOT, &[20]);
    assert!(refused(&builder).contains("a file longer than 64 bits say"));
}

#[test]
fn an_unknown_layout_is_refused() {
    for layout in [-55, -68, 0, 66] {
        let mut builder = tree();
        builder.layout = layout;
        let bytes = builder.build();
        assert!(matches!(image(&bytes), Err(Error::Layout { version, .. }) if version == layout));
    }
}

#[test]
fn a_truncated_image_is_none() {
    let bytes = tree().build();
    for length in 0..bytes.len() {
        assert!(image(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
    }
}

/// Whatever is changed: no panic, and no more is told than there are inodes.
#[test]
fn changed_bytes_do_no_harm() {
    let mut chance = Chance(5);
    for codec in [Codec::None].into_iter().chain(CODECS) {
        let mut builder = tree();
        builder.codec = codec;
        let original = builder.build();
        for _ in 0..3000 {
            let mut bytes = original.clone();
            for _ in 0..=chance.below(4) {
                let at = chance.below(bytes.len() as u64) as usize;
                match chance.below(4) {
                    0 => bytes[at] ^= 1 << chance.below(8),
                    1 => bytes[at] = chance.below(256) as u8,
                    2 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, [0, 0x7f, 0xff][chance.below(3) as usize]),
                }
            }
            let pages = listed(&bytes, &root("/"), &Settings::default());
            let told: usize = pages.iter().flatten().map(|page| page.entries.len()).sum();
            assert!(told <= 3, "{codec:?}");
        }
    }
}

#[test]
fn a_sidecar_is_checked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fsimage_1");
    std::fs::write(&path, tree().build()).unwrap();
    let right = Md5::of(&tree().build()[..]).unwrap();
    assert_eq!(Md5::parse(&format!("{right} *fsimage_1\n")).unwrap(), right);
    assert!(Image::open(&path, Some(&right)).is_ok());
    let wrong = Md5::parse("d41d8cd98f00b204e9800998ecf8427e *fsimage_1").unwrap();
    assert_eq!(wrong, Md5::of(std::io::empty()).unwrap());
    assert!(matches!(Image::open(&path, Some(&wrong)), Err(Error::Md5 { .. })));
    for text in ["", "d41d8cd98f00b204e9800998ecf8427", "+41d8cd98f00b204e9800998ecf8427e"] {
        assert!(matches!(Md5::parse(text), Err(Error::Sidecar(_))), "{text}");
    }
}
