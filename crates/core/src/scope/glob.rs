//! One glob, compiled into tokens and run as a set of states: its time is bounded by the length
//! of the glob times that of the path, whatever stands in them.

use super::GlobError;

/// One character of a path, or one byte of it that is no part of UTF-8 (those lie above all
/// characters).
pub(super) type Unit = u32;

const SLASH: Unit = b'/' as Unit;
const RAW_BYTES_FROM: Unit = 0x11_0000;
const ALTERNATIVES_MAX: usize = 1024;
const BYTES_MAX: usize = 4096;
/// Of all alternatives together: memory, and time for every path, are in proportion.
const WRITTEN_BYTES_MAX: usize = 64 * 1024;

/// One glob without braces.
#[derive(Clone, Debug)]
pub(super) struct Glob {
    tokens: Vec<Token>,
    /// A match covers everything below it too.
    subtree: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// Exactly this.
    One(Unit),
    /// Any character but `/`.
    Any,
    /// One of these ranges (or none of them), never `/`.
    Class { ranges: Vec<(Unit, Unit)>, negated: bool },
    /// Any number of characters but `/`.
    Star,
    /// Any number of characters.
    DoubleStar,
    /// Any number of whole directories, each with its `/`.
    Directories,
}

/// Splits a path into units.
pub(super) fn units(path: &[u8]) -> Vec<Unit> {
    let mut units = Vec::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        units.extend(chunk.valid().chars().map(Unit::from));
        units.extend(chunk.invalid().iter().map(|byte| RAW_BYTES_FROM + Unit::from(*byte)));
    }
    units
}

impl Glob {
    /// Reads a glob; braces make several of it.
    pub fn parse(text: &str) -> Result<Vec<Self>, GlobError> {
        let wrong = |reason: &str| GlobError { glob: text.to_owned(), reason: reason.to_owned() };
        if text.is_empty() {
            return Err(wrong("is empty; write ** for everything"));
        }
        if text.len() > BYTES_MAX {
            return Err(wrong("is longer than 4,096 bytes"));
        }
        if text.starts_with('/') {
            return Err(wrong(
                "begins with /; globs match paths relative to the source root, so leave it out",
            ));
        }
        let alternatives = expand(text).map_err(|reason| wrong(&reason))?;
        alternatives.iter().map(|one| Self::compile(one).map_err(|reason| wrong(&reason))).collect()
    }

    /// True if the glob matches the path, or covers a directory above it.
    pub fn covers(&self, path: &[Unit]) -> bool {
        if self.begins_otherwise(path) || self.ends_otherwise(path) {
            return false;
        }
        let run = self.run(path);
        run.covered || run.accepted()
    }

    /// True if the glob matches everything below this directory.
    pub fn covers_all_below(&self, directory: &[Unit]) -> bool {
        let run = self.run(directory);
        let ends_in_everything = matches!(self.tokens.last(), Some(Token::DoubleStar));
        run.covered
            || self.subtree && run.accepted()
            || ends_in_everything && self.stepped(&run, SLASH)[self.tokens.len() - 1]
    }

    /// True if the glob can match something below this directory.
    pub fn could_cover_below(&self, directory: &[Unit]) -> bool {
        let run = self.run(directory);
        run.covered
            || self.subtree && run.accepted()
            || self.stepped(&run, SLASH).iter().any(|active| *active)
    }

    /// True if a directory that it matches is meant with everything below it.
    pub fn names_subtrees(&self) -> bool {
        self.subtree || matches!(self.tokens.last(), Some(Token::DoubleStar))
    }

    /// True if the first character alone tells that it matches neither the path nor anything above
    /// it, which is so of nearly every path.
    fn begins_otherwise(&self, path: &[Unit]) -> bool {
        match (self.tokens.first(), path.first()) {
            (Some(Token::One(wanted)), Some(first)) => wanted != first,
            (_, _) => false,
        }
    }

    /// The same of the last character, where the glob means nothing below what it matches.
    fn ends_otherwise(&self, path: &[Unit]) -> bool {
        match (self.tokens.last(), path.last()) {
            (Some(Token::One(wanted)), Some(last)) => !self.subtree && wanted != last,
            (_, _) => false,
        }
    }

    fn compile(text: &str) -> Result<Self, String> {
        let (text, directory) = match text.strip_suffix('/') {
            Some(stripped) if !text.ends_with("\\/") => (stripped, true),
            Some(_) | None => (text, false),
        };
        let mut tokens = Vec::new();
        let mut characters = text.chars().peekable();
        let mut wildcard_in_component = false;
        let mut component_start = true;
        while let Some(character) = characters.next() {
            let token = match character {
                '\\' => match characters.next() {
                    Some(escaped) => Token::One(Unit::from(escaped)),
                    None => return Err("ends in a lone \\; write \\\\ for a backslash".to_owned()),
                },
                '?' => Token::Any,
                '[' => class(&mut characters)?,
                '*' if characters.next_if_eq(&'*').is_some() => {
                    while characters.next_if_eq(&'*').is_some() {}
                    if component_start && characters.next_if_eq(&'/').is_some() {
                        tokens.push(Token::Directories);
                        continue;
                    }
                    Token::DoubleStar
                }
                '*' => Token::Star,
                other => Token::One(Unit::from(other)),
            };
            component_start = token == Token::One(SLASH);
            wildcard_in_component =
                !component_start && (wildcard_in_component || !matches!(token, Token::One(_)));
            tokens.push(token);
        }
        Ok(Self { tokens, subtree: directory || !wildcard_in_component })
    }

    fn run(&self, path: &[Unit]) -> Run {
        let mut active = vec![false; self.tokens.len() + 1];
        active[0] = true;
        self.close(&mut active, true);
        let mut run = Run { active, covered: false };
        let mut next = vec![false; run.active.len()];
        for unit in path {
            if *unit == SLASH && self.subtree && run.accepted() {
                run.covered = true;
                return run;
            }
            self.step(&run.active, *unit, &mut next);
            std::mem::swap(&mut run.active, &mut next);
            // From no state none is reached.
            if !run.active.contains(&true) {
                return run;
            }
        }
        run
    }

    /// The states after one more unit.
    fn stepped(&self, run: &Run, unit: Unit) -> Vec<bool> {
        let mut next = vec![false; run.active.len()];
        self.step(&run.active, unit, &mut next);
        next
    }

    fn step(&self, active: &[bool], unit: Unit, next: &mut [bool]) {
        next.fill(false);
        for (index, token) in self.tokens.iter().enumerate() {
            if !active[index] {
                continue;
            }
            match token {
                Token::One(wanted) => next[index + 1] |= *wanted == unit,
                Token::Any => next[index + 1] |= unit != SLASH,
                Token::Class { ranges, negated } => {
                    let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&unit));
                    next[index + 1] |= unit != SLASH && inside != *negated;
                }
                Token::Star => next[index] |= unit != SLASH,
                Token::DoubleStar | Token::Directories => next[index] = true,
            }
        }
        self.close(next, unit == SLASH);
    }

    /// Adds the states that are reached without a unit; directories are left at their `/` only.
    fn close(&self, active: &mut [bool], at_component_start: bool) {
        for (index, token) in self.tokens.iter().enumerate() {
            let passes = match token {
                Token::Star | Token::DoubleStar => true,
                Token::Directories => at_component_start,
                Token::One(_) | Token::Any | Token::Class { .. } => false,
            };
            if active[index] && passes {
                active[index + 1] = true;
            }
        }
    }
}

/// How far a run over a path came.
struct Run {
    active: Vec<bool>,
    /// A directory above the path was matched, and the glob means all below.
    covered: bool,
}

impl Run {
    fn accepted(&self) -> bool {
        self.active.last().copied().unwrap_or(false)
    }
}

fn class(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Token, String> {
    let unclosed = || "has a [ without its ]; write \\[ for a bracket".to_owned();
    let negated = characters.next_if(|c| matches!(c, '!' | '^')).is_some();
    let mut ranges = Vec::new();
    loop {
        let low = match characters.next().ok_or_else(unclosed)? {
            ']' if !ranges.is_empty() => return Ok(Token::Class { ranges, negated }),
            '\\' => characters.next().ok_or_else(unclosed)?,
            other => other,
        };
        let mut ahead = characters.clone();
        if ahead.next() != Some('-') || matches!(ahead.next(), Some(']') | None) {
            ranges.push((Unit::from(low), Unit::from(low)));
            continue;
        }
        characters.next();
        let high = match characters.next().ok_or_else(unclosed)? {
            '\\' => characters.next().ok_or_else(unclosed)?,
            other => other,
        };
        if high < low {
            return Err(format!("has the range {low}-{high}, which is empty"));
        }
        ranges.push((Unit::from(low), Unit::from(high)));
    }
}

/// Writes braces out.
fn expand(text: &str) -> Result<Vec<String>, String> {
    let mut open = vec![text.to_owned()];
    let mut done = Vec::new();
    while let Some(text) = open.pop() {
        let Some((start, end, commas)) = first_brace(&text)? else {
            done.push(text);
            continue;
        };
        let mut from = start + 1;
        for to in commas.into_iter().chain([end]) {
            open.push(format!("{}{}{}", &text[..start], &text[from..to], &text[end + 1..]));
            from = to + 1;
        }
        if open.len() + done.len() > ALTERNATIVES_MAX {
            return Err("has more than 1,024 alternatives in its braces".to_owned());
        }
        if open.iter().chain(&done).map(String::len).sum::<usize>() > WRITTEN_BYTES_MAX {
            return Err("is longer than 65,536 bytes once its braces are written out".to_owned());
        }
    }
    if done.iter().any(String::is_empty) {
        return Err("has an empty alternative; write ** for everything".to_owned());
    }
    if done.iter().any(|one| one.starts_with('/')) {
        return Err("has an alternative that begins with /, and no path does; leave the / \
                    out, or give two globs"
            .to_owned());
    }
    done.sort();
    done.dedup();
    Ok(done)
}

/// Where the first outermost brace opens and closes, and its own commas.
#[allow(clippy::type_complexity, reason = "taken apart at its one call")]
fn first_brace(text: &str) -> Result<Option<(usize, usize, Vec<usize>)>, String> {
    let (mut depth, mut start, mut commas) = (0_usize, 0, Vec::new());
    let mut in_class = false;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => {
                characters.next();
            }
            '[' if !in_class => {
                in_class = true;
                let mut ahead = characters.clone();
                let first = ahead.next().map(|(_, c)| c);
                if matches!(first, Some(']')) {
                    characters.next();
                } else if matches!(first, Some('!' | '^')) {
                    characters.next();
                    if ahead.next().is_some_and(|(_, c)| c == ']') {
                        characters.next();
                    }
                }
            }
            ']' => in_class = false,
            '{' if !in_class => {
                if depth == 0 {
                    start = at;
                }
                depth += 1;
            }
            ',' if depth == 1 && !in_class => commas.push(at),
            '}' if depth > 0 && !in_class => {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some((start, at, commas)));
                }
            }
            _ => {}
        }
    }
    if depth > 0 {
        return Err("has a { without its }; write \\{ for a brace".to_owned());
    }
    Ok(None)
}
