use proptest::prelude::*;

use super::*;

fn scope(includes: &[&str], excludes: &[&str]) -> Scope {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let rules = ScopeRules {
        includes: owned(includes),
        excludes: owned(excludes),
        ..ScopeRules::default()
    };
    Scope::new(&rules).unwrap()
}

#[test]
fn globs() {
    for (glob, path, expected) in [
        ("*.txt", "a.txt", true),
        ("*.txt", "d/a.txt", false),
        ("**.txt", "d/e/a.txt", true),
        ("**/*.txt", "a.txt", true),
        ("**/*.txt", "d/e/a.txt", true),
        ("d/**", "d/e/a", true),
        ("d/**", "de/a", false),
        ("d/**/x*", "d/x1", true),
        ("d/**/x*", "d/e/f/x1", true),
        ("d/**/x*", "d/ex1", false),
        ("a?c", "abc", true),
        ("a?c", "a/c", false),
        ("a?c", "aéc", true),
        ("a[b-d]e", "ace", true),
        ("a[!b-d]e", "ace", false),
        ("a[!b-d]e", "a/e", false),
        ("a[^b]e", "axe", true),
        ("a[]]e", "a]e", true),
        ("a[b-]e", "a-e", true),
        ("{a,b}/x", "b/x", true),
        ("{a,b{1,2}}x", "b2x", true),
        ("{a,b{1,2}}x", "bx", false),
        ("a[{]b", "a{b", true),
        ("a\\*", "a*", true),
        ("a\\*", "ab", false),
        ("a/*", "a/b", true),
        ("a/*", "a/b/c", false),
        ("a", "a/b/c", true),
        ("a", "ab", false),
        ("a/", "a/b", true),
        ("year=*/tmp", "year=1/tmp/x/y", true),
        ("*", "a/b", false),
        ("**", "a/b", true),
        ("***", "a/b", true),
        ("a//b", "a//b", true),
        ("caf\u{e9}", "cafe\u{301}", false),
    ] {
        assert_eq!(scope(&[glob], &[]).covers_file(&path.into()), expected, "{glob} on {path}");
    }
}

#[test]
fn names_that_are_not_utf8() {
    for (glob, path, expected) in [
        ("a?b", &b"a\xffb"[..], true),
        ("a*b", b"a\xff\xfeb", true),
        ("a??b", b"a\xff\xfeb", true),
        ("a[!x]b", b"a\xffb", true),
        ("a\u{ff}b", b"a\xffb", false),
    ] {
        let covered = scope(&[glob], &[]).covers_file(&RelPath::new(path.to_vec()));
        assert_eq!(covered, expected, "{glob} on {path:?}");
    }
}

#[test]
fn exclusion_wins() {
    let scope = scope(&["data/**", "top"], &["data/tmp", "**/*.bak", "data/old/*"]);
    for (path, expected) in [
        ("data/x", true),
        ("data/tmp/x", false),
        ("data/tmpx", true),
        ("data/x.bak", false),
        ("data/old/x", false),
        ("data/old/deep/x", true),
        ("top", true),
        ("other", false),
    ] {
        assert_eq!(scope.covers_file(&path.into()), expected, "{path}");
    }
}

/// As `help migrate` has it.
#[test]
fn a_wildcard_in_the_last_name_means_files_unless_a_slash_ends_it() {
    for (glob, left_out, kept) in [
        ("tmp", &["tmp", "tmp/a", "tmp/d/a"][..], &["tmp1", "d/tmp"][..]),
        ("tmp*", &["tmp", "tmp1"], &["tmp1/a", "tmp1/d/a", "d/tmp1"]),
        ("tmp*/", &["tmp1/a", "tmp1/d/a", "tmp2/a"], &["d/tmp1/a"]),
        ("tmp/*", &["tmp/a"], &["tmp/d/a"]),
        ("tmp/**", &["tmp/a", "tmp/d/a"], &["tmp1/a"]),
    ] {
        let scope = scope(&[], &[glob]);
        for (paths, covered) in [(left_out, false), (kept, true)] {
            for path in paths {
                assert_eq!(scope.covers_file(&RelPath::from(*path)), covered, "{glob} on {path}");
            }
        }
    }
    assert!(!scope(&[], &["tmp*/"]).enters(&"tmp1".into()), "it is not even listed");
}

#[test]
fn directories_to_enter() {
    for (includes, excludes, directory, enters, covers) in [
        (&[][..], &[][..], "a", true, true),
        (&["a/b/*.txt"][..], &[], "a", true, false),
        (&["a/b/*.txt"], &[], "a/b", true, false),
        (&["a/b/*.txt"], &[], "a/c", false, false),
        (&["a/b/*.txt"], &[], "a/b/c", false, false),
        (&["**/x"], &[], "a/b", true, false),
        (&["a/**"], &[], "a", true, true),
        (&["a"], &[], "a/b", true, true),
        (&[], &["a"], "a", false, false),
        (&[], &["a"], "a/b", false, false),
        (&[], &["a/**"], "a", false, false),
        (&[], &["a/*"], "a", true, true),
        (&[], &["a/*"], "a/b", true, true),
        (&[], &["**/*.bak"], "x.bak", true, true),
    ] {
        let scope = scope(includes, excludes);
        let path = directory.into();
        assert_eq!(scope.enters(&path), enters, "{includes:?} {excludes:?} enters {directory}");
        assert_eq!(
            scope.covers_directory(&path),
            covers,
            "{includes:?} {excludes:?} covers {directory}"
        );
    }
}

#[test]
fn ready_made_exclusions_hit_one_component_at_any_depth() {
    let rules = ScopeRules {
        component_excludes: DEFAULT_EXCLUSIONS.map(str::to_owned).to_vec(),
        ..ScopeRules::default()
    };
    let scope = Scope::new(&rules).unwrap();
    for (path, expected) in [
        ("user/me/.Trash/Current/x", false),
        (".Trash", false),
        (".Trashes/x", true),
        ("d/.snapshot/s1/x", false),
        ("d/_temporary/0/x", false),
        ("d/_temporary2", true),
        ("d/.hive-staging_hive_2026/x", false),
        ("d/x._COPYING_", false),
        ("d/x._COPYING_/y", false),
        ("d/x._COPYING_y", true),
    ] {
        assert_eq!(scope.covers_file(&path.into()), expected, "{path}");
    }
    assert!(!scope.enters(&"d/_temporary".into()));
}

#[test]
fn a_single_file_is_all_there_is() {
    let rules = ScopeRules { single_file: Some("d/x".into()), ..ScopeRules::default() };
    let scope = Scope::new(&rules).unwrap();
    assert!(scope.covers_file(&"d/x".into()));
    assert!(!scope.covers_file(&"d/y".into()));
    assert!(scope.enters(&RelPath::root()) && scope.enters(&"d".into()));
    assert!(!scope.enters(&"d/x".into()) && !scope.enters(&"e".into()));
}

#[test]
fn what_is_refused() {
    for glob in ["", "/a", "a[b", "a[", "{a", "a\\", "[z-a]", "{,}", "{a,}"] {
        let rules = ScopeRules { includes: vec![glob.to_owned()], ..ScopeRules::default() };
        assert!(Scope::new(&rules).is_err(), "{glob:?}");
    }
    let many = "{a,b}".repeat(11);
    assert!(Glob::parse(&many).is_err());
    let component =
        ScopeRules { component_excludes: vec!["a/b".to_owned()], ..ScopeRules::default() };
    assert!(Scope::new(&component).is_err());
}

/// One of 4,096 bytes took 130 MB, and a look at each token of them for every path.
#[test]
fn globs_whose_braces_multiply_are_bounded() {
    let long = format!("{}{}", "{a,b}".repeat(10), "x".repeat(4000));
    let error = Glob::parse(&long).unwrap_err();
    assert!(error.reason.contains("65,536 bytes"), "{error}");
    let names = (0..300).map(|number| format!("name-{number:04}")).collect::<Vec<_>>().join(",");
    assert_eq!(Glob::parse(&format!("warehouse/{{{names}}}/**")).unwrap().len(), 300);
}

/// Such an alternative was taken and never met: what was to be left out was copied.
#[test]
fn no_alternative_begins_with_a_slash() {
    for glob in ["{/a,b}", "{a,{/b,c}}/d", "{,a}/b"] {
        let rules = ScopeRules { excludes: vec![glob.to_owned()], ..ScopeRules::default() };
        let error = Scope::new(&rules).unwrap_err();
        assert!(error.reason.contains("begins with /"), "{glob}: {error}");
    }
}

/// Tried glob by glob on every split: the plain meaning, exponential and short.
fn plain_match(glob: &[u8], path: &[u8]) -> bool {
    match glob.first() {
        None => path.is_empty(),
        Some(b'*') if glob.get(1) == Some(&b'*') => {
            (0..=path.len()).any(|taken| plain_match(&glob[2..], &path[taken..]))
        }
        Some(b'*') => (0..=path.len())
            .take_while(|taken| !path[..*taken].contains(&b'/'))
            .any(|taken| plain_match(&glob[1..], &path[taken..])),
        Some(b'?') => {
            path.first().is_some_and(|byte| *byte != b'/') && plain_match(&glob[1..], &path[1..])
        }
        Some(byte) => path.first() == Some(byte) && plain_match(&glob[1..], &path[1..]),
    }
}

proptest! {
    #[test]
    fn agrees_with_the_plain_meaning(
        glob in "[ab*?]{1,6}(/[ab?]{1,3}[*])?x?[*]",
        path in "[abx/]{0,9}",
    ) {
        prop_assume!(!glob.contains("***") && !glob.starts_with("**/") && !glob.contains("/**/"));
        let scope = scope(&[&glob], &[]);
        let expected = plain_match(glob.as_bytes(), path.as_bytes());
        prop_assert_eq!(scope.covers_file(&RelPath::from(path.as_str())), expected);
    }

    #[test]
    fn never_panics_and_covers_only_what_it_enters(
        glob in ".{0,12}",
        path in proptest::collection::vec(any::<u8>(), 0..16),
    ) {
        let rules = ScopeRules { includes: vec![glob], ..ScopeRules::default() };
        if let Ok(scope) = Scope::new(&rules) {
            let path = RelPath::new(path);
            if scope.covers_file(&path) {
                for ancestor in path.ancestors() {
                    prop_assert!(scope.enters(&ancestor), "{:?}", ancestor);
                }
            }
        }
    }
}
