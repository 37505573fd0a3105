//! Globs against their plain meaning, told once more in the simplest way: by trying everything.

use std::collections::HashMap;

use whimbrel_core::path::RelPath;
use whimbrel_core::scope::{Scope, ScopeRules};

/// A glob and a path, with a zero byte between them.
pub fn globs(bytes: &[u8]) {
    let Some(at) = bytes.iter().position(|byte| *byte == 0) else { return };
    let Ok(glob) = std::str::from_utf8(&bytes[..at]) else { return };
    let path = RelPath::new(bytes[at + 1..].to_vec());
    let one = vec![glob.to_owned()];
    let includes = ScopeRules { includes: one.clone(), ..ScopeRules::default() };
    let excludes = ScopeRules { excludes: one, ..ScopeRules::default() };
    let (Ok(included), Ok(excluded)) = (Scope::new(&includes), Scope::new(&excludes)) else {
        return;
    };
    let alternatives = written_out(glob);
    assert!(alternatives.iter().all(|one| !one.is_empty() && !one.starts_with('/')), "{glob:?}");
    let plain = alternatives.iter().any(|one| plainly_covers(one, path.as_bytes()));
    assert_eq!(included.covers_file(&path), plain, "{glob:?} includes {path:?}");
    assert_eq!(excluded.covers_file(&path), !plain, "{glob:?} excludes {path:?}");
    for directory in path.ancestors() {
        // What is not entered is not seen.
        assert!(!plain || included.enters(&directory), "{glob:?} enters {directory:?}");
        let seen = excluded.enters(&directory);
        assert!(plain || seen, "without {glob:?} {directory:?} is entered for {path:?}");
        assert!(seen || !excluded.covers_directory(&directory));
    }
}

/// The alternatives of the braces, by writing them out from the left.
fn written_out(glob: &str) -> Vec<String> {
    let characters: Vec<char> = glob.chars().collect();
    let Some((start, end, commas)) = outermost(&characters) else { return vec![glob.to_owned()] };
    let text = |range: &[char]| range.iter().collect::<String>();
    let mut alternatives = Vec::new();
    let mut from = start + 1;
    for to in commas.into_iter().chain([end]) {
        let one = [&characters[..start], &characters[from..to], &characters[end + 1..]].concat();
        alternatives.extend(written_out(&text(&one)));
        from = to + 1;
    }
    alternatives
}

/// Where the first brace opens and closes, and the commas between its alternatives.
fn outermost(characters: &[char]) -> Option<(usize, usize, Vec<usize>)> {
    let (mut at, mut depth, mut start, mut commas) = (0, 0, 0, Vec::new());
    while at < characters.len() {
        match characters[at] {
            '\\' => at += 1,
            '[' => at = class(characters, at).map_or(at, |(_, end)| end - 1),
            '{' => {
                if depth == 0 {
                    start = at;
                }
                depth += 1;
            }
            ',' if depth == 1 => commas.push(at),
            '}' if depth == 1 => return Some((start, at, commas)),
            '}' if depth > 1 => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

/// A class from its bracket on: whether a character fits, and where it ends.
#[allow(clippy::type_complexity, reason = "taken apart where it is called")]
fn class(glob: &[char], open: usize) -> Option<(Box<dyn Fn(Option<char>) -> bool>, usize)> {
    let negated = matches!(glob.get(open + 1), Some('!' | '^'));
    let mut at = open + 1 + usize::from(negated);
    let mut ranges: Vec<(char, char)> = Vec::new();
    let one = |at: &mut usize| {
        if glob.get(*at) == Some(&'\\') {
            *at += 1;
        }
        *at += 1;
        glob.get(*at - 1).copied()
    };
    while ranges.is_empty() || glob.get(at) != Some(&']') {
        let low = one(&mut at)?;
        let is_range = glob.get(at) == Some(&'-') && !matches!(glob.get(at + 1), Some(']') | None);
        let high = if is_range {
            at += 1;
            one(&mut at)?
        } else {
            low
        };
        ranges.push((low, high));
    }
    let fits = move |character: Option<char>| {
        let inside = character.is_some_and(|c| ranges.iter().any(|(l, h)| (*l..=*h).contains(&c)));
        character != Some('/') && inside != negated
    };
    Some((Box::new(fits), at + 1))
}

/// A path is meant by itself, or by a directory above it that is meant with all below.
fn plainly_covers(glob: &str, path: &[u8]) -> bool {
    let glob: Vec<char> = glob.chars().collect();
    let (glob, directory) = match glob.split_last() {
        Some(('/', rest)) if !ends_in_escape(rest) => (rest, true),
        Some(_) | None => (&glob[..], false),
    };
    let subtree = directory || !last_component_has_wildcard(glob);
    let characters = characters(path);
    let above = (0..characters.len()).filter(|at| characters[*at] == Some('/'));
    above.filter(|_| subtree).chain([characters.len()]).any(|end| {
        let mut known = HashMap::new();
        matches(glob, 0, &characters[..end], 0, &mut known)
    })
}

/// Whether the last character is a backslash that takes what follows.
fn ends_in_escape(glob: &[char]) -> bool {
    glob.iter().rev().take_while(|character| **character == '\\').count() % 2 == 1
}

fn last_component_has_wildcard(glob: &[char]) -> bool {
    let (mut at, mut found) = (0, false);
    while let Some(character) = glob.get(at) {
        match character {
            '\\' => {
                at += 1;
                found &= glob.get(at) != Some(&'/');
            }
            '/' => found = false,
            '*' | '?' => found = true,
            '[' => {
                found = true;
                at = class(glob, at).map_or(at, |(_, end)| end - 1);
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Characters, and `None` for each byte that is no part of one.
fn characters(path: &[u8]) -> Vec<Option<char>> {
    let chunks = path.utf8_chunks();
    let one = |chunk: std::str::Utf8Chunk<'_>| {
        let valid = chunk.valid().chars().map(Some);
        valid.chain(chunk.invalid().iter().map(|_| None)).collect::<Vec<_>>()
    };
    chunks.flat_map(one).collect()
}

type Known = HashMap<(usize, usize), bool>;

/// Whether `glob` from `at` on is all of `path` from `from` on.
fn matches(
    glob: &[char],
    at: usize,
    path: &[Option<char>],
    from: usize,
    known: &mut Known,
) -> bool {
    if let Some(known) = known.get(&(at, from)) {
        return *known;
    }
    let fits = tried(glob, at, path, from, known);
    known.insert((at, from), fits);
    fits
}

fn tried(glob: &[char], at: usize, path: &[Option<char>], from: usize, known: &mut Known) -> bool {
    let Some(character) = glob.get(at) else { return from == path.len() };
    let here = path.get(from).copied();
    let mut rest = |at: usize, from: usize| matches(glob, at, path, from, known);
    match character {
        '*' if glob.get(at + 1) == Some(&'*') => {
            let stars = glob[at..].iter().take_while(|character| **character == '*').count();
            let end = at + stars;
            let begins = at == 0 || glob[at - 1] == '/';
            if begins && glob.get(end) == Some(&'/') {
                // Whole directories, each with its slash, or none.
                let places = (from..path.len()).filter(|place| path[*place] == Some('/'));
                return [from].into_iter().chain(places.map(|p| p + 1)).any(|p| rest(end + 1, p));
            }
            (from..=path.len()).any(|place| rest(end, place))
        }
        '*' => (from..=path.len())
            .take_while(|place| *place == from || path[*place - 1] != Some('/'))
            .any(|place| rest(at + 1, place)),
        '?' => here.is_some_and(|c| c != Some('/')) && rest(at + 1, from + 1),
        '[' => match class(glob, at) {
            Some((fits, end)) => here.is_some_and(&fits) && rest(end, from + 1),
            None => false,
        },
        '\\' => here == Some(glob.get(at + 1).copied()) && rest(at + 2, from + 1),
        other => here == Some(Some(*other)) && rest(at + 1, from + 1),
    }
}
