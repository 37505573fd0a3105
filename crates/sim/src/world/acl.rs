//! Access control lists as HDFS keeps them: rights of the owner and of others stand in the mode, and
//! so does the mask, where the mode of a file without a list has the rights of its group.

/// What a list has besides the mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    /// Rights of users and groups by name.
    named: Vec<String>,
    /// Rights of the owning group.
    group: u32,
}

impl Acl {
    /// A whole list, as `user::rw-,user:alice:r-x,group::r--,other::---`, and the permission bits
    /// that go with it. Without a mask it masks nothing.
    pub fn read(text: &str) -> (u32, Self) {
        let mut acl = Self { named: Vec::new(), group: 0 };
        let (mut owner, mut other, mut all, mut mask) = (0, 0, 0, None);
        for entry in text.split(',') {
            let (whose, rights) = entry.rsplit_once(':').unwrap_or((entry, ""));
            let rights = bits(rights);
            match whose {
                "user:" => owner = rights,
                "other:" => other = rights,
                "mask:" => mask = Some(rights),
                "group:" => acl.group = rights,
                _ => {
                    acl.named.push(entry.to_owned());
                    all |= rights;
                }
            }
        }
        ((owner << 6) | (mask.unwrap_or(all | acl.group) << 3) | other, acl)
    }

    /// The whole list of what has that mode.
    pub fn text(&self, mode: u32) -> String {
        let (owner, mask, other) = (rwx(mode >> 6), rwx(mode >> 3), rwx(mode));
        let (named, group) = (self.named.join(","), rwx(self.group));
        format!("user::{owner},{named},group::{group},mask::{mask},other::{other}")
    }
}

/// As `r-x`.
pub fn rwx(bits: u32) -> String {
    [(4, 'r'), (2, 'w'), (1, 'x')]
        .map(|(bit, letter)| if bits & bit != 0 { letter } else { '-' })
        .iter()
        .collect()
}

fn bits(rights: &str) -> u32 {
    let has = |letter, bit| if rights.contains(letter) { bit } else { 0 };
    has('r', 4) | has('w', 2) | has('x', 1)
}
