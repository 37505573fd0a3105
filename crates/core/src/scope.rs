//! Which paths a migration covers: globs over relative paths, byte for byte.
//!
//! - `*` and `?` stop at `/`, `**` does not; `**/` and `/**/` also stand for no directory at all.
//! - `[abc]`, `[a-z]`, `[!a-z]` stand for one character; never for `/`.
//! - `{a,b}` stands for either; it may be nested. `\` takes the next character as it is.
//! - A glob whose last component has no wildcard names a file or a directory with everything below
//!   it; one that ends in `/` or `/**` names everything below a directory, and the directory.
//! - A name that is not UTF-8 is matched byte by byte where it is not.
//!
//! Exclusion wins over inclusion. Without any inclusion everything is included.

mod glob;

use glob::Glob;
use serde::{Deserialize, Serialize};

use crate::path::RelPath;

/// The ready-made exclusions: each a pattern for one path component, at any depth.
pub const DEFAULT_EXCLUSIONS: [&str; 5] =
    [".Trash", ".snapshot", "_temporary", ".hive-staging*", "*._COPYING_"];

/// What a scope is made of, as a person gave it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeRules {
    /// A file is covered if one of these matches; empty: all are.
    pub includes: Vec<String>,
    /// What one of these matches is not covered.
    pub excludes: Vec<String>,
    /// Patterns for one path component at any depth; usually [`DEFAULT_EXCLUSIONS`].
    pub component_excludes: Vec<String>,
    /// Only this path is covered (a source that is a single file); its parent is the root.
    pub single_file: Option<RelPath>,
}

/// Decides whether a path belongs to the migration. Same rules, same answers.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    includes: Vec<Glob>,
    excludes: Vec<Glob>,
    component_excludes: Vec<Glob>,
    rules: ScopeRules,
}

/// A glob that says nothing certain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the glob {glob:?} {reason}")]
pub struct GlobError {
    /// As it was given.
    pub glob: String,
    /// What is wrong with it and what to write instead.
    pub reason: String,
}

impl Scope {
    /// Everything, without exclusions.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Reads the rules.
    ///
    /// # Errors
    /// The first glob that cannot be read.
    pub fn new(rules: &ScopeRules) -> Result<Self, GlobError> {
        let mut component_excludes = Vec::new();
        for text in &rules.component_excludes {
            if text.contains('/') {
                return Err(GlobError {
                    glob: text.clone(),
                    reason: "is a pattern for one component and holds a /".to_owned(),
                });
            }
            component_excludes.extend(Glob::parse(text)?);
        }
        Ok(Self {
            includes: parse_all(&rules.includes)?,
            excludes: parse_all(&rules.excludes)?,
            component_excludes,
            rules: rules.clone(),
        })
    }

    /// What it was made of.
    pub fn rules(&self) -> &ScopeRules {
        &self.rules
    }

    /// True if a file (or an object) at this path belongs to the migration.
    pub fn covers_file(&self, path: &RelPath) -> bool {
        if self.rules.single_file.as_ref().is_some_and(|single| single != path) {
            return false;
        }
        let units = glob::units(path.as_bytes());
        !self.excludes(path, &units, false)
            && (self.includes.is_empty() || self.includes.iter().any(|glob| glob.covers(&units)))
    }

    /// True if the directory itself belongs to the migration, so that it gets a marker when it is
    /// empty. The root does, unless the source is a single file.
    pub fn covers_directory(&self, path: &RelPath) -> bool {
        if self.rules.single_file.is_some() {
            return false;
        }
        if path.is_root() {
            return true;
        }
        let units = glob::units(path.as_bytes());
        let included = |glob: &Glob| glob.covers(&units) || glob.covers_all_below(&units);
        !self.excludes(path, &units, true)
            && (self.includes.is_empty() || self.includes.iter().any(included))
    }

    /// True if something below the directory could be covered: it has to be listed.
    pub fn enters(&self, directory: &RelPath) -> bool {
        if let Some(single) = &self.rules.single_file {
            return directory.contains(single) && directory != single;
        }
        if directory.is_root() {
            return true;
        }
        let units = glob::units(directory.as_bytes());
        !self.excludes(directory, &units, true)
            && (self.includes.is_empty()
                || self.includes.iter().any(|glob| glob.could_cover_below(&units)))
    }

    fn excludes(&self, path: &RelPath, units: &[glob::Unit], directory: bool) -> bool {
        let by_path = |glob: &Glob| {
            glob.covers(units) && (!directory || glob.names_subtrees())
                || directory && glob.covers_all_below(units)
        };
        self.excludes.iter().any(by_path)
            || path.as_bytes().split(|byte| *byte == b'/').any(|component| {
                let units = glob::units(component);
                self.component_excludes.iter().any(|glob| glob.covers(&units))
            })
    }
}

fn parse_all(texts: &[String]) -> Result<Vec<Glob>, GlobError> {
    let mut globs = Vec::new();
    for text in texts {
        globs.extend(Glob::parse(text)?);
    }
    Ok(globs)
}

#[cfg(test)]
mod tests;
