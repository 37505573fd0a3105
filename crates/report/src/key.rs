//! Keys of Ed25519: one signs the reports of this user, its public half checks them anywhere.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rustix::fs::OFlags;

use crate::error::ReportError;

/// Bytes of a public key, and of a signature.
const KEY_BYTES: usize = 32;
pub(crate) const SIGNATURE_BYTES: usize = 64;
/// What stands before a public key of Ed25519 in its ASN.1 (RFC 8410).
const ASN1_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0];
const PEM_HEAD: &str = "-----BEGIN PUBLIC KEY-----\n";
const PEM_FOOT: &str = "\n-----END PUBLIC KEY-----\n";
/// Longer than any key's file.
const FILE_BYTES_MAX: u64 = 4096;

/// Signs reports.
pub struct SigningKey(Ed25519KeyPair);

/// Checks what its other half signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; KEY_BYTES]);

impl SigningKey {
    /// The key at a path, which is made where nothing stands there.
    ///
    /// # Errors
    /// It cannot be read or made, is no key, or others may read it.
    pub fn at(path: &Path) -> Result<Self, ReportError> {
        let file = match open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make(path)?;
                open(path)
            }
            other => other,
        };
        Self::read(file.map_err(ReportError::file(path))?, path)
    }

    fn read(file: File, path: &Path) -> Result<Self, ReportError> {
        let metadata = file.metadata().map_err(ReportError::file(path))?;
        if !metadata.is_file() || metadata.mode() & 0o077 != 0 {
            return Err(ReportError::key(path, "others may read this key, or it is no file"));
        }
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(ReportError::file(path))?;
        let pair = Ed25519KeyPair::from_pkcs8(&bytes);
        let pair = pair.map_err(|error| ReportError::key(path, format!("no key: {error}")))?;
        Ok(Self(pair))
    }

    /// What others check with.
    pub fn public(&self) -> PublicKey {
        let mut key = [0; KEY_BYTES];
        // Both have as many bytes as the algorithm says.
        key.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(key)
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}

/// No link leads elsewhere, and nobody is waited for where a pipe stands in its place.
fn open(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Makes a key that is whole or not there; one that another process made meanwhile stays.
fn make(path: &Path) -> Result<(), ReportError> {
    let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
    let pair = pair.map_err(|_| ReportError::NoRandomness)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let told = || ReportError::file(path);
    fs::create_dir_all(folder).map_err(told())?;
    // Made with the mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(told())?;
    file.write_all(pair.as_ref()).map_err(told())?;
    file.as_file().sync_all().map_err(told())?;
    match file.persist_noclobber(path) {
        Ok(_) => {}
        Err(there) if there.error.kind() == ErrorKind::AlreadyExists => {}
        Err(failed) => return Err(told()(failed.error)),
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(told())
}

impl PublicKey {
    /// Reads a key in PEM, as it lies beside every report.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let file = File::open(path).map_err(ReportError::file(path))?;
        let mut text = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(ReportError::file(path))?;
        let none = || ReportError::key(path, "no public key of Ed25519 in PEM");
        Self::of_pem(&text).ok_or_else(none)
    }

    /// As `openssl` reads it too.
    pub fn pem(&self) -> String {
        format!("{PEM_HEAD}{}{PEM_FOOT}", STANDARD.encode(self.asn1()))
    }

    /// The SHA-256 of its ASN.1, for people who compare two keys.
    pub fn fingerprint(&self) -> String {
        hex(digest(&SHA256, &self.asn1()).as_ref())
    }

    /// Only the one way in which [`PublicKey::pem`] writes it.
    pub(crate) fn of_pem(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let inside = text.strip_prefix(PEM_HEAD)?.strip_suffix(PEM_FOOT)?;
        let bytes = STANDARD.decode(inside).ok()?;
        let key = Self(bytes.strip_prefix(&ASN1_HEAD)?.try_into().ok()?);
        (key.pem() == text).then_some(key)
    }

    pub(crate) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }

    fn asn1(&self) -> Vec<u8> {
        [&ASN1_HEAD[..], &self.0[..]].concat()
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/key");
        let public = SigningKey::at(&path).unwrap().public();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(SigningKey::at(&path).unwrap().public(), public);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(SigningKey::at(&path), Err(ReportError::Key { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "nothing").unwrap();
        assert!(matches!(SigningKey::at(&path), Err(ReportError::Key { .. })));
    }

    #[test]
    fn a_public_key_is_written_in_one_way_alone() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::at(&folder.path().join("key")).unwrap();
        let (public, signature) = (key.public(), key.sign(b"said"));
        assert_eq!(signature.len(), SIGNATURE_BYTES);
        let pem = public.pem();
        assert_eq!(PublicKey::of_pem(pem.as_bytes()), Some(public.clone()));
        assert!(public.signed(b"said", &signature) && !public.signed(b"told", &signature));
        for index in 0..pem.len() {
            let mut altered = pem.clone().into_bytes();
            altered[index] ^= 1;
            assert_ne!(PublicKey::of_pem(&altered), Some(public.clone()), "{index}");
        }
    }
}
