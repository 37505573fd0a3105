//! The process environment that settings and credentials are taken from, as a value.

use std::collections::HashMap;
use std::path::PathBuf;

/// Environment variables and the home folder.
///
/// Reading them once, at the edge, keeps two clients with different settings apart.
#[derive(Clone, Default)]
pub struct Environment {
    /// Variables by name; those that are not UTF-8 are left out.
    pub variables: HashMap<String, String>,
    /// Where `~/.aws` is looked for.
    pub home: Option<PathBuf>,
}

impl Environment {
    /// The environment of this process, as of now.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            variables: std::env::vars_os().filter_map(text).collect(),
            home: std::env::home_dir(),
        }
    }

    /// A variable that is set and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// Names only: values can be secrets.
impl std::fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Environment").field("home", &self.home).finish_non_exhaustive()
    }
}
