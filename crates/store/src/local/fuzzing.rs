//! What holds for any access control list, for the fuzz targets: each function panics where it does
//! not. Not part of what this crate offers.

use super::account::Accounts;
use super::acl;

/// The kernel's attribute, and a text that stood in somebody's user metadata.
pub fn acl(bytes: &[u8]) {
    let accounts = Accounts::default();
    if let Some(text) = acl::text(bytes, &accounts) {
        for entry in text.split(',').filter(|entry| !entry.is_empty()) {
            let alone = acl::attribute(entry, 0, &accounts);
            let alone = alone.and_then(|attribute| acl::text(&attribute, &accounts));
            assert!(alone.is_some_and(|alone| alone.split(',').any(|one| one == entry)), "{entry}");
        }
        valid(&text, &accounts);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        valid(text, &accounts);
    }
}

/// What is made of a text is a list that the kernel takes, and stays the same.
fn valid(text: &str, accounts: &Accounts) {
    let Some(attribute) = acl::attribute(text, 0o640, accounts) else { return };
    let Some(again) = acl::text(&attribute, accounts) else { unreachable!("we wrote it") };
    assert_eq!(acl::attribute(&again, 0, accounts), Some(attribute), "{again}");
    let count = |begin: &str| again.split(',').filter(|entry| entry.starts_with(begin)).count();
    for begin in ["user::", "group::", "other::"] {
        assert_eq!(count(begin), 1, "{again}");
    }
    let named = count("user:") + count("group:") > 2;
    assert!(count("mask::") <= 1 && (!named || count("mask::") == 1), "{again}");
}
