//! User metadata of an object: how owner, group, mode, times, ACL, extended attributes and the
//! writing attempt stand there, and how they are read back (rules 2.3, 11.1 and 11.2).
//!
//! The form is for people too; `docs/metadata.md` describes it.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use whimbrel_core::metadata::Metadata;

use crate::digest;
use crate::target::Stamp;

/// Bytes that all names and values of an object's user metadata may take together. The prefix
/// `x-amz-meta-` counts here, though AWS leaves it out: some servers do not.
pub const USER_METADATA_BYTES_MAX: usize = 2048;

const PREFIX_BYTES: usize = "x-amz-meta-".len();
const MTIME: &str = "mtime";
const OWNER: &str = "whimbrel-owner";
const GROUP: &str = "whimbrel-group";
const MODE: &str = "whimbrel-mode";
const ACL: &str = "whimbrel-acl";
const XATTR: &str = "whimbrel-xattr";
const MIGRATION: &str = "whimbrel-migration";
const ATTEMPT: &str = "whimbrel-attempt";
const DIGEST: &str = "-digest";
const NANOS: u64 = 1_000_000_000;

/// What the user metadata of an object says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamped {
    /// The migration that wrote it.
    pub migration: Option<String>,
    /// The attempt that wrote it.
    pub attempt: Option<u64>,
    /// What travels with it; `None` if nothing of it is there. What stands as a digest only is
    /// missing here.
    pub metadata: Option<Metadata>,
}

/// The user metadata that carries a stamp, names in lower case without `x-amz-meta-`. Never longer
/// than [`USER_METADATA_BYTES_MAX`]: what is too long is replaced by a digest of it, extended
/// attributes first, then the ACL, then group and owner.
pub fn encode(stamp: &Stamp) -> BTreeMap<String, String> {
    let mut fields = stamp.metadata.as_ref().map(whole).unwrap_or_default();
    if !stamp.migration.is_empty() {
        fields.insert(MIGRATION.to_owned(), escaped(&stamp.migration, b""));
        fields.insert(ATTEMPT.to_owned(), stamp.attempt.to_string());
    }
    for name in [XATTR, ACL, GROUP, OWNER] {
        if bytes(&fields) <= USER_METADATA_BYTES_MAX {
            break;
        }
        replace_by_digest(&mut fields, name);
    }
    fields
}

/// What travels, however long it is.
fn whole(metadata: &Metadata) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    fields.insert(MTIME.to_owned(), seconds(metadata.modified_ns));
    if metadata.has_rights() {
        fields.insert(MODE.to_owned(), format!("{:04o}", metadata.mode));
    }
    let acl = metadata.acl.as_deref().unwrap_or_default();
    for (name, text) in [(OWNER, metadata.owner.as_str()), (GROUP, &metadata.group), (ACL, acl)] {
        if !text.is_empty() {
            fields.insert(name.to_owned(), escaped(text, b""));
        }
    }
    for (number, (name, value)) in metadata.xattrs.iter().enumerate() {
        let text = format!("{}={}", escaped(name, b"="), STANDARD.encode(value));
        fields.insert(format!("{XATTR}-{}", number + 1), text);
    }
    fields
}

/// Reads what [`encode`] wrote, and what rclone writes (`mtime`). Values that nobody can have
/// written so are taken for missing: user metadata is anybody's.
pub fn decode(fields: &BTreeMap<String, String>) -> Stamped {
    // Empty is what is never written.
    let text = |name: &str| {
        fields.get(name).and_then(|value| unescaped(value)).filter(|text| !text.is_empty())
    };
    let mode = fields.get(MODE).and_then(|value| u32::from_str_radix(value, 8).ok());
    let modified_ns = modified_ns(fields);
    let (owner, group, acl) = (text(OWNER), text(GROUP), text(ACL));
    let xattrs = xattrs(fields);
    let found = mode.is_some()
        || modified_ns.is_some()
        || owner.is_some()
        || group.is_some()
        || acl.is_some()
        || !xattrs.is_empty();
    let metadata = found.then(|| Metadata {
        owner: owner.unwrap_or_default(),
        group: group.unwrap_or_default(),
        mode: mode.unwrap_or_default() & 0o7777,
        modified_ns: modified_ns.unwrap_or_default(),
        acl,
        xattrs,
    });
    Stamped {
        migration: text(MIGRATION),
        attempt: fields.get(ATTEMPT).and_then(|value| value.parse().ok()),
        metadata,
    }
}

/// The modification time, if one stands there that files can have.
pub fn modified_ns(fields: &BTreeMap<String, String>) -> Option<i64> {
    fields.get(MTIME).and_then(|value| nanoseconds(value))
}

/// True if an object's user metadata carries `metadata` as a write would have put it there; where a
/// digest stands, digests are compared.
pub fn agrees(fields: &BTreeMap<String, String>, metadata: &Metadata) -> bool {
    let migration = fields.get(MIGRATION).and_then(|value| unescaped(value)).unwrap_or_default();
    let attempt = fields.get(ATTEMPT).and_then(|value| value.parse().ok()).unwrap_or_default();
    let expected = encode(&Stamp { migration, attempt, metadata: Some(metadata.clone()) });
    let ours = |name: &str| {
        name == MTIME || name.starts_with("whimbrel-") && name != MIGRATION && name != ATTEMPT
    };
    let of = |fields: &BTreeMap<String, String>| -> BTreeMap<String, String> {
        let picked = fields.iter().filter(|(name, _)| ours(name));
        picked.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    of(fields) == of(&expected)
}

/// True if the digest that stands in place of `owner`, `group`, `acl` or `xattr` is that of what
/// `metadata` has; `None` if there is none.
pub fn digest_agrees(
    fields: &BTreeMap<String, String>,
    name: &str,
    metadata: &Metadata,
) -> Option<bool> {
    let name = format!("whimbrel-{name}");
    let digest = format!("{name}{DIGEST}");
    let standing = fields.get(&digest)?;
    let mut expected = whole(metadata);
    replace_by_digest(&mut expected, &name);
    Some(expected.get(&digest) == Some(standing))
}

fn bytes(fields: &BTreeMap<String, String>) -> usize {
    fields.iter().map(|(name, value)| PREFIX_BYTES + name.len() + value.len()).sum()
}

/// The digest is that of the values as they would have stood, one per line.
fn replace_by_digest(fields: &mut BTreeMap<String, String>, name: &str) {
    let numbered = format!("{name}-");
    let belongs = |key: &str| key == name || key.starts_with(&numbered);
    let names: Vec<String> = fields.keys().filter(|key| belongs(key)).cloned().collect();
    if names.is_empty() {
        return;
    }
    let values: Vec<String> = names.iter().filter_map(|key| fields.remove(key)).collect();
    let mut lines = values;
    lines.sort();
    fields.insert(format!("{name}{DIGEST}"), digest::sha256_hex(lines.join("\n").as_bytes()));
}

fn xattrs(fields: &BTreeMap<String, String>) -> BTreeMap<String, Vec<u8>> {
    let numbered = format!("{XATTR}-");
    let ours = fields.iter().filter_map(|(key, value)| {
        key.strip_prefix(&numbered)?.parse::<u32>().ok()?;
        let (name, value) = value.split_once('=')?;
        Some((unescaped(name)?, STANDARD.decode(value).ok()?))
    });
    ours.collect()
}

/// Seconds since the Unix epoch as rclone writes them: a fraction only where there is one, without
/// trailing zeros.
fn seconds(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let whole = nanoseconds.unsigned_abs();
    let text = format!("{sign}{}.{:09}", whole / NANOS, whole % NANOS);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The reverse; digits beyond nanoseconds are cut.
fn nanoseconds(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) {
        return None;
    }
    let fraction = fraction.get(..9).unwrap_or(fraction);
    let value = format!("{whole}{fraction:0<9}").parse::<i128>().ok()?;
    i64::try_from(if negative { -value } else { value }).ok()
}

/// Percent-encodes everything but visible ASCII, `%` itself and the bytes of `also`. A space too:
/// a header's value loses spaces at its ends.
fn escaped(text: &str, also: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' && !also.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn unescaped(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let (pair, after) = tail.split_at_checked(2)?;
        out.push(u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests;
