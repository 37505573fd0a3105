//! Access control lists: between the form of the kernel's attribute and text.
//!
//! Form: `struct posix_acl_xattr_header` and `posix_acl_xattr_entry` of Linux, little endian.

use super::account::Accounts;

const VERSION: u32 = 2;
const HEADER_BYTES: usize = 4;
const ENTRY_BYTES: usize = 8;
const USER_OWNER: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OWNER: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
const NOBODY: u32 = u32::MAX;

/// The entries in text (`user::rw-,user:alice:r--,...`); `None` if the attribute is not one that
/// this knows.
pub(super) fn text(attribute: &[u8], accounts: &Accounts) -> Option<String> {
    let (header, entries) = attribute.split_at_checked(HEADER_BYTES)?;
    if u32::from_le_bytes(header.try_into().ok()?) != VERSION || entries.len() % ENTRY_BYTES != 0 {
        return None;
    }
    let texts: Option<Vec<String>> =
        entries.chunks_exact(ENTRY_BYTES).map(|entry| entry_text(entry, accounts)).collect();
    Some(texts?.join(","))
}

/// What the entries of an attribute leave of the mode that a file is made with.
pub(super) fn mode(attribute: &[u8], made_with: u32) -> Option<u32> {
    let entries = attribute.get(HEADER_BYTES..)?.chunks_exact(ENTRY_BYTES);
    let (mut mode, mut masked) = (0, false);
    for entry in entries {
        let tag = u16::from_le_bytes(entry.get(0..2)?.try_into().ok()?);
        let permissions = u32::from(u16::from_le_bytes(entry.get(2..4)?.try_into().ok()?)) & 7;
        match tag {
            USER_OWNER => mode |= permissions << 6,
            // The mask stands for the group, where there is one.
            MASK => (mode, masked) = (mode & !0o070 | permissions << 3, true),
            GROUP_OWNER if !masked => mode |= permissions << 3,
            OTHER => mode |= permissions,
            _ => {}
        }
    }
    Some(mode & made_with)
}

/// The attribute for entries in text, the base entries that it lacks taken from `mode`; default
/// entries (of directories) are left out. `None` if an entry is not understood, stands there twice,
/// or names somebody whom this machine does not know.
pub(super) fn attribute(text: &str, mode: u32, accounts: &Accounts) -> Option<Vec<u8>> {
    let mut entries = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty() && !part.starts_with("default:")) {
        entries.push(parsed(part, accounts)?);
    }
    let permissions = |shift: u32| u16::try_from(mode >> shift & 7).unwrap_or(0);
    for (tag, shift) in [(USER_OWNER, 6), (GROUP_OWNER, 3), (OTHER, 0)] {
        if !entries.iter().any(|entry: &(u16, u32, u16)| entry.0 == tag) {
            entries.push((tag, NOBODY, permissions(shift)));
        }
    }
    let extended = entries.iter().any(|entry| entry.0 == USER || entry.0 == GROUP);
    if extended && !entries.iter().any(|entry| entry.0 == MASK) {
        entries.push((MASK, NOBODY, permissions(3)));
    }
    entries.sort_unstable();
    if entries.windows(2).any(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1)) {
        return None;
    }
    let mut bytes = VERSION.to_le_bytes().to_vec();
    for (tag, number, permissions) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&permissions.to_le_bytes());
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    Some(bytes)
}

fn entry_text(entry: &[u8], accounts: &Accounts) -> Option<String> {
    let tag = u16::from_le_bytes(entry.get(0..2)?.try_into().ok()?);
    let permissions = u16::from_le_bytes(entry.get(2..4)?.try_into().ok()?);
    let number = u32::from_le_bytes(entry.get(4..8)?.try_into().ok()?);
    let who = match tag {
        USER_OWNER => "user:".to_owned(),
        USER => format!("user:{}", accounts.user(number)),
        GROUP_OWNER => "group:".to_owned(),
        GROUP => format!("group:{}", accounts.group(number)),
        MASK => "mask:".to_owned(),
        OTHER => "other:".to_owned(),
        _ => return None,
    };
    let letter = |bit: u16, letter: char| if permissions & bit != 0 { letter } else { '-' };
    Some(format!("{who}:{}{}{}", letter(4, 'r'), letter(2, 'w'), letter(1, 'x')))
}

fn parsed(text: &str, accounts: &Accounts) -> Option<(u16, u32, u16)> {
    let (kind, rest) = text.split_once(':')?;
    let (who, letters) = rest.rsplit_once(':')?;
    let (tag, number) = match (kind, who) {
        ("user", "") => (USER_OWNER, NOBODY),
        ("user", name) => (USER, accounts.user_number(name)?),
        ("group", "") => (GROUP_OWNER, NOBODY),
        ("group", name) => (GROUP, accounts.group_number(name)?),
        ("mask", "") => (MASK, NOBODY),
        ("other", "") => (OTHER, NOBODY),
        _ => return None,
    };
    let mut permissions = 0;
    for letter in letters.chars() {
        permissions |= match letter {
            'r' => 4,
            'w' => 2,
            'x' => 1,
            '-' => 0,
            _ => return None,
        };
    }
    Some((tag, number, permissions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_attribute_agree() {
        let accounts = Accounts::default();
        let list = "user::rw-,user:root:r-x,group::r--,group:4242:-w-,mask::rwx,other::---";
        let bytes = attribute(list, 0o640, &accounts).expect("all are known");
        assert_eq!(text(&bytes, &accounts).as_deref(), Some(list));
    }

    #[test]
    fn a_list_leaves_of_the_mode_what_it_allows() {
        let accounts = Accounts::default();
        for (list, expected) in [
            ("user::rwx,group::r-x,other::r--", 0o644),
            ("user::rwx,user:root:rwx,group::r-x,mask::rwx,other::---", 0o660),
            ("user::r--,user:root:rwx,group::rwx,mask::r--,other::---", 0o440),
        ] {
            let bytes = attribute(list, 0o640, &accounts).expect("all are known");
            assert_eq!(mode(&bytes, 0o666), Some(expected), "{list}");
        }
    }

    #[test]
    fn missing_base_entries_come_from_the_mode() {
        let accounts = Accounts::default();
        let bytes = attribute("user:root:r--,group::r-x", 0o754, &accounts).expect("known");
        assert_eq!(
            text(&bytes, &accounts).as_deref(),
            Some("user::rwx,user:root:r--,group::r-x,mask::r-x,other::r--")
        );
    }

    /// The kernel refuses such a list, and with it the file's other metadata was not written.
    #[test]
    fn no_entry_stands_twice() {
        let accounts = Accounts::default();
        for list in ["user::rw-,user::r--", "mask::r--,mask::r--", "user:root:r--,user:0:rw-"] {
            assert_eq!(attribute(list, 0o640, &accounts), None, "{list}");
        }
    }

    #[test]
    fn garbage_is_no_list() {
        let accounts = Accounts::default();
        assert_eq!(text(b"\x01\0\0\0", &accounts), None);
        assert_eq!(text(b"\x02\0\0\0\x01", &accounts), None);
        assert_eq!(attribute("user:no such user:rwx", 0, &accounts), None);
        assert_eq!(attribute("user", 0, &accounts), None);
    }
}
