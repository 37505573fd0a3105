//! Names of users and groups. A lookup may ask a directory service, so answers are kept.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// What was asked so far.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    users: Mutex<HashMap<u32, String>>,
    groups: Mutex<HashMap<u32, String>>,
    user_numbers: Mutex<HashMap<String, Option<u32>>>,
    group_numbers: Mutex<HashMap<String, Option<u32>>>,
}

impl Accounts {
    /// A user's name; the number as text where there is none.
    pub(super) fn user(&self, number: u32) -> String {
        kept(&self.users, number, |number| {
            named(uzers::get_user_by_uid(*number).map(|user| user.name().to_owned()), *number)
        })
    }

    /// A group's name; the number as text where there is none.
    pub(super) fn group(&self, number: u32) -> String {
        kept(&self.groups, number, |number| {
            named(uzers::get_group_by_gid(*number).map(|group| group.name().to_owned()), *number)
        })
    }

    /// The number of a user on this machine; a name of digits alone is one.
    pub(super) fn user_number(&self, name: &str) -> Option<u32> {
        kept(&self.user_numbers, name.to_owned(), |name| {
            uzers::get_user_by_name(name).map(|user| user.uid()).or_else(|| name.parse().ok())
        })
    }

    /// The number of a group on this machine; a name of digits alone is one.
    pub(super) fn group_number(&self, name: &str) -> Option<u32> {
        kept(&self.group_numbers, name.to_owned(), |name| {
            uzers::get_group_by_name(name).map(|group| group.gid()).or_else(|| name.parse().ok())
        })
    }
}

fn named(found: Option<std::ffi::OsString>, number: u32) -> String {
    match found.and_then(|name| name.into_string().ok()) {
        Some(name) => name,
        None => number.to_string(),
    }
}

fn kept<K, V>(cache: &Mutex<HashMap<K, V>>, key: K, look: impl Fn(&K) -> V) -> V
where
    K: std::hash::Hash + Eq,
    V: Clone,
{
    let known = cache.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
    if let Some(known) = known {
        return known;
    }
    let found = look(&key);
    cache.lock().unwrap_or_else(PoisonError::into_inner).insert(key, found.clone());
    found
}
