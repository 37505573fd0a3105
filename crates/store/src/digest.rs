//! Digests that stay the same over versions and machines.

use ring::digest::{SHA256, digest};

/// The first eight bytes of SHA-256, highest first.
pub(crate) fn stable_u64(bytes: &[u8]) -> u64 {
    let whole = digest(&SHA256, bytes);
    let head = whole.as_ref().iter().take(8);
    head.fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// SHA-256 in lower-case hexadecimal digits, as `sha256sum` writes it.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    let whole = digest(&SHA256, bytes);
    whole.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // `printf abc | sha256sum`
        assert_eq!(stable_u64(b"abc"), 0xba78_16bf_8f01_cfea);
        assert!(sha256_hex(b"abc").starts_with("ba7816bf8f01cfea414140de5dae2223"));
    }
}
