use std::fs::File;

use super::*;

fn filled(count: usize) -> (tempfile::TempDir, Vec<Vec<u8>>) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut names = Vec::new();
    for number in 0..count {
        let name = format!("{:07}-{}", (number * 7919) % 1_000_003, "n".repeat(number % 90));
        File::create(folder.path().join(&name)).expect("made");
        names.push(name.into_bytes());
    }
    names.sort();
    (folder, names)
}

fn read(folder: &tempfile::TempDir, run_bytes_max: usize) -> SortedNames {
    let directory = File::open(folder.path()).expect("opens");
    SortedNames::read(&directory, false, run_bytes_max).expect("reads")
}

fn paged(names: &SortedNames, count: usize) -> Vec<Vec<u8>> {
    let mut whole: Vec<Vec<u8>> = Vec::new();
    loop {
        let from = whole.last().map(|name| [name.as_slice(), b"\0"].concat()).unwrap_or_default();
        let page = names.page(&from, count).expect("a page");
        whole.extend(page.names);
        if !page.more {
            return whole;
        }
    }
}

#[test]
fn sorted_in_memory_and_on_disk_are_the_same() {
    let (folder, expected) = filled(5000);
    let in_memory = read(&folder, RUN_BYTES_MAX);
    assert_eq!(in_memory.count(), Some(5000));
    assert_eq!(paged(&in_memory, 999), expected);
    let on_disk = read(&folder, 10_000);
    assert_eq!(on_disk.count(), None, "it did not spill");
    for count in [1000, 999, 5000, 5001] {
        assert_eq!(paged(&on_disk, count), expected);
    }
    for name in [&expected[0], &expected[1024], &expected[4999]] {
        assert_eq!(on_disk.page(name, 1).expect("a page").names, vec![name.clone()]);
    }
    assert!(on_disk.page(b"z", 10).expect("a page").names.is_empty());
}

#[test]
fn directories_sort_with_their_slash() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["a.b", "a-b", "a0"] {
        File::create(folder.path().join(name)).expect("made");
    }
    std::fs::create_dir(folder.path().join("a")).expect("made");
    let directory = File::open(folder.path()).expect("opens");
    let names = SortedNames::read(&directory, true, RUN_BYTES_MAX).expect("reads");
    let expected: Vec<&[u8]> = vec![b"a-b", b"a.b", b"a/", b"a0"];
    assert_eq!(names.page(b"", 10).expect("a page").names, expected);
}
