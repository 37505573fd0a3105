//! One path on both sides: present, length, bytes, and what travels with them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use whimbrel_core::entry::{FileNode, Node};
use whimbrel_core::failure::Side;
use whimbrel_core::metadata::{Metadata, MetadataLevel};
use whimbrel_core::path::{Namespace, RelPath};
use whimbrel_store::error::StoreError;
use whimbrel_store::source::ByteStream;
use whimbrel_store::stamp;
use whimbrel_store::target::Object;

use crate::attempt;
use crate::{
    Content, Difference, DifferenceKind, Equal, Meter, Method, Remains, Verification, add,
};

/// Looks at a path whose source does not stand still.
const ROUNDS_MAX: u32 = 4;
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const READS_MAX: u32 = 3;
const NANOS_PER_MILLI: i64 = 1_000_000;

/// Compares single paths.
pub(crate) struct Comparison {
    pub verification: Verification,
    meter: Arc<Meter>,
    equals: Option<mpsc::Sender<Equal>>,
}

/// What one look at both sides says.
enum Verdict {
    /// Whether a side was read; `None`: neither bytes nor checksums were compared.
    Equal {
        read: Option<bool>,
        object: Box<Object>,
    },
    Unequal(DifferenceKind, String),
    /// The source changed under the look.
    Moved,
}

impl Comparison {
    pub fn new(
        verification: Verification,
        meter: Arc<Meter>,
        equals: Option<mpsc::Sender<Equal>>,
    ) -> Self {
        Self { verification, meter, equals }
    }

    /// Tells that a path is equal, where somebody asks for it.
    async fn prove(
        &self,
        path: RelPath,
        file: Option<FileNode>,
        object: Box<Object>,
        method: Method,
    ) {
        if let Some(equals) = &self.equals {
            let length = file.as_ref().map_or(0, |file| file.identity.length());
            let file = file.map(Box::new);
            // Nobody listens any more: the sums still tell.
            let _ = equals.send(Equal { path, length, method, file, object }).await;
        }
    }

    /// What the source lists at a path that is no directory.
    pub async fn node(&self, path: RelPath, node: Node) -> Option<Difference> {
        match node {
            Node::File(file) => {
                add(&self.meter.files_compared, 1);
                let length = file.identity.length();
                let difference = self.file(path, file).await;
                self.looked_at(length);
                difference
            }
            Node::Special(what) => {
                add(&self.meter.files_compared, 1);
                Some(special(path, &what))
            }
            Node::Directory(_) => None,
        }
    }

    /// A file that was listed with this length and whose turn came later.
    pub async fn drawn(&self, path: RelPath, length: u64) -> Option<Difference> {
        add(&self.meter.files_compared, 1);
        let difference = self.again(&path).await;
        self.looked_at(length);
        difference
    }

    fn looked_at(&self, length: u64) {
        add(&self.meter.files_looked_at, 1);
        add(&self.meter.bytes_looked_at, length);
    }

    /// A directory that has to have a marker.
    pub async fn directory(&self, marker: RelPath, key: Vec<u8>) -> Option<Difference> {
        let target = &self.verification.target;
        let directory = marker.parent()?;
        let found = attempt::ask(|| target.inspect(&key)).await;
        let message = match found {
            Ok(Some(object)) => {
                self.prove(marker, None, Box::new(object), Method::Presence).await;
                return None;
            }
            Ok(None) => "the directory has no marker on the target".to_owned(),
            Err(error) => return Some(unverifiable(marker, Side::Target, &error)),
        };
        let source = &self.verification.source;
        match attempt::ask(|| source.stat(&directory)).await {
            Ok(Some(Node::Directory(_))) => {}
            Ok(Some(Node::File(_) | Node::Special(_)) | None) => return None,
            Err(error) => return Some(unverifiable(marker, Side::Source, &error)),
        }
        if self.verification.options.directory_markers
            == whimbrel_core::config::DirectoryMarkers::Empty
        {
            match attempt::ask(|| source.list(&directory, None)).await {
                Ok(Some(page)) if page.entries.is_empty() => {}
                Ok(_) => return None,
                Err(error) => return Some(unverifiable(marker, Side::Source, &error)),
            }
        }
        Some(Difference { path: marker, kind: DifferenceKind::Missing, length: 0, message })
    }

    /// A key that no listing of the source had.
    pub async fn extra(&self, path: RelPath, key: Vec<u8>) -> Option<Difference> {
        let (source, target) = (&self.verification.source, &self.verification.target);
        let directory_marker = path.is_marker() && source.namespace() == Namespace::Tree;
        let place = if directory_marker { path.parent()? } else { path.clone() };
        let object = match attempt::ask(|| target.inspect(&key)).await {
            Ok(Some(object)) => object,
            Ok(None) => return None,
            Err(error) => return Some(unverifiable(path, Side::Target, &error)),
        };
        match attempt::ask(|| source.stat(&place)).await {
            Ok(Some(Node::Directory(_))) if directory_marker => None,
            Ok(Some(Node::File(node))) if !directory_marker => {
                add(&self.meter.files_compared, 1);
                Box::pin(self.file(path, node)).await
            }
            Ok(Some(Node::Directory(_) | Node::File(_) | Node::Special(_)) | None) => {
                Some(self.only_on_target(path, &object, "the source does not have it").await)
            }
            Err(error) => Some(unverifiable(path, Side::Source, &error)),
        }
    }

    /// What stands at a path now.
    pub async fn again(&self, path: &RelPath) -> Option<Difference> {
        let key = self.verification.keys.key(path).ok()?;
        let (path, source) = (path.clone(), &self.verification.source);
        if path.is_marker() && source.namespace() == Namespace::Tree {
            return match self.directory(path.clone(), key.clone()).await {
                Some(missing) => Some(missing),
                None => self.extra(path, key).await,
            };
        }
        match attempt::ask(|| source.stat(&path)).await {
            Ok(Some(Node::File(node))) => self.file(path, node).await,
            Ok(Some(Node::Special(what))) => Some(special(path, &what)),
            Ok(Some(Node::Directory(_)) | None) => self.extra(path, key).await,
            Err(error) => Some(unverifiable(path, Side::Source, &error)),
        }
    }

    /// What stands now at a path that was not equal.
    pub async fn noted(&self, path: RelPath) -> Option<Difference> {
        let source = &self.verification.source;
        let of_directory = path.is_marker() && source.namespace() == Namespace::Tree;
        let Err(refused) = self.verification.keys.key(&path) else {
            let difference = self.again(&path).await;
            if difference.is_some() || of_directory {
                return difference;
            }
            return self.became_a_directory(path).await;
        };
        let place = path.parent().filter(|_| of_directory).unwrap_or_else(|| path.clone());
        match attempt::ask(|| source.stat(&place)).await {
            Ok(None) => None,
            Ok(Some(_)) => {
                let (kind, message) = (DifferenceKind::Missing, refused.to_string());
                Some(Difference { path, kind, length: 0, message })
            }
            Err(error) => Some(unverifiable(path, Side::Source, &error)),
        }
    }

    /// Something else was listed in its place when all else there was gone through: a link, or a
    /// directory that nothing was mounted on.
    async fn became_a_directory(&self, path: RelPath) -> Option<Difference> {
        let source = &self.verification.source;
        match attempt::ask(|| source.stat(&path)).await {
            Ok(Some(Node::Directory(_))) => {
                let message = "it is a directory now, and was none when it was compared: nothing \
                     is known of what lies below it; compare again with --restart";
                let (kind, message) = (DifferenceKind::Unverifiable, message.to_owned());
                Some(Difference { path, kind, length: 0, message })
            }
            Ok(Some(Node::File(_) | Node::Special(_)) | None) => None,
            Err(error) => Some(unverifiable(path, Side::Source, &error)),
        }
    }

    /// Looks until both sides are equal, or the source stood still around a difference.
    async fn file(&self, path: RelPath, mut node: FileNode) -> Option<Difference> {
        let mut pause = PAUSE_FIRST;
        for _ in 0..ROUNDS_MAX {
            let verdict = match self.look(&path, &node).await {
                Ok(verdict) => verdict,
                Err((side, error)) => return Some(unverifiable(path, side, &error)),
            };
            let unequal = match verdict {
                Verdict::Equal { read, object } => {
                    let method = match read {
                        Some(true) => {
                            add(&self.meter.verified_by_reading, 1);
                            Method::Reading
                        }
                        Some(false) => {
                            add(&self.meter.verified_by_checksum, 1);
                            Method::Checksum
                        }
                        None => Method::Length,
                    };
                    self.prove(path, Some(node), object, method).await;
                    return None;
                }
                Verdict::Unequal(kind, message) => Some((kind, message)),
                Verdict::Moved => None,
            };
            let source = &self.verification.source;
            match (attempt::ask(|| source.stat(&path)).await, unequal) {
                (Err(error), _) => return Some(unverifiable(path, Side::Source, &error)),
                (Ok(None), _) => return self.gone(path).await,
                (Ok(Some(Node::Directory(_) | Node::Special(_))), _) => break,
                (Ok(Some(Node::File(now))), Some((kind, message))) if still(&node, &now, kind) => {
                    let length = now.identity.length();
                    return Some(Difference { path, kind, length, message });
                }
                (Ok(Some(Node::File(now))), _) => node = now,
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        let message = "the source changes faster than it can be compared".to_owned();
        Some(Difference { path, kind: DifferenceKind::Unverifiable, length: 0, message })
    }

    /// The source lost the file since it was listed: nothing may stand at its key.
    async fn gone(&self, path: RelPath) -> Option<Difference> {
        let key = self.verification.keys.key(&path).ok()?;
        let target = &self.verification.target;
        match attempt::ask(|| target.inspect(&key)).await {
            Ok(None) => None,
            Ok(Some(object)) => {
                Some(self.only_on_target(path, &object, "the source has removed it").await)
            }
            Err(error) => Some(unverifiable(path, Side::Target, &error)),
        }
    }

    /// What only the target has, on purpose or not.
    async fn only_on_target(&self, path: RelPath, object: &Object, message: &str) -> Difference {
        let remains = match &self.verification.keeper {
            Some(keeper) => keeper.remains(&path, object).await,
            None => Remains::Extra,
        };
        let kind = match remains {
            Remains::Delayed => DifferenceKind::Delayed,
            Remains::DelayedIfWhole => match self.target_checksum(&object.key, object).await {
                Ok((found, _)) if object.crc32c == Some(found) => DifferenceKind::Delayed,
                Ok(_) => DifferenceKind::Extra,
                Err(error) => return unverifiable(path, Side::Target, &error),
            },
            Remains::Moving => DifferenceKind::Moving,
            Remains::Extra => DifferenceKind::Extra,
            Remains::Unknown => {
                let message = format!("{message}, and the migration does not say whether it stays");
                let kind = DifferenceKind::Unverifiable;
                return Difference { path, kind, length: 0, message };
            }
        };
        Difference { path, kind, length: 0, message: message.to_owned() }
    }

    async fn look(&self, path: &RelPath, node: &FileNode) -> Result<Verdict, (Side, StoreError)> {
        let unequal = |kind, message: String| Ok(Verdict::Unequal(kind, message));
        if node.open {
            let message = "the file is being written at the source".to_owned();
            return unequal(DifferenceKind::Unverifiable, message);
        }
        let target = &self.verification.target;
        let key = match self.verification.keys.key(path) {
            Ok(key) => key,
            Err(error) => return unequal(DifferenceKind::Missing, error.to_string()),
        };
        if let Err(error) = target.admit(&key) {
            return unequal(DifferenceKind::Missing, error.to_string());
        }
        let found = attempt::ask(|| target.inspect(&key)).await;
        let Some(object) = found.map_err(|error| (Side::Target, error))? else {
            return unequal(DifferenceKind::Missing, "the target does not have it".to_owned());
        };
        let length = node.identity.length();
        if object.length != length {
            let message = format!("{length} bytes at the source, {} on the target", object.length);
            return unequal(DifferenceKind::Different, message);
        }
        if self.verification.options.content == Content::Length {
            return Ok(Verdict::Equal { read: None, object: Box::new(object) });
        }
        let Some((expected, read_source)) = self.source_checksum(path, node).await? else {
            return Ok(Verdict::Moved);
        };
        let (standing, read_target) = match self.target_checksum(&key, &object).await {
            Ok(standing) => standing,
            Err(StoreError::Moved { .. }) => return Ok(Verdict::Moved),
            Err(error) => return Err((Side::Target, error)),
        };
        if expected != standing {
            let message =
                format!("CRC32C {expected:08x} at the source, {standing:08x} on the target");
            return unequal(DifferenceKind::Different, message);
        }
        let flat = self.verification.source.namespace() == Namespace::Flat;
        if let Some(message) = self.metadata_difference(&node.metadata, &object, flat) {
            return unequal(DifferenceKind::MetadataDifferent, message);
        }
        let read = Some(read_source || read_target);
        Ok(Verdict::Equal { read, object: Box::new(object) })
    }

    /// The checksum of the pinned file and whether it took reading; `None` if the file moved.
    async fn source_checksum(
        &self,
        path: &RelPath,
        node: &FileNode,
    ) -> Result<Option<(u32, bool)>, (Side, StoreError)> {
        let length = node.identity.length();
        if length == 0 {
            return Ok(Some((0, false)));
        }
        let source = &self.verification.source;
        let asked = match self.verification.options.content {
            Content::Read => Ok(None),
            Content::Length | Content::Checksum => {
                attempt::ask(|| source.stored_checksum(path, node, node.identity.length())).await
            }
        };
        let counter = &self.meter.bytes_read_source;
        let checksum = match asked {
            Ok(Some(stored)) => return Ok(Some((stored, false))),
            Ok(None) => read(|| source.read(path, node, 0..length), length, counter).await,
            Err(error) => Err(error),
        };
        match checksum {
            Ok(checksum) => Ok(Some((checksum, true))),
            Err(StoreError::Moved { .. }) => Ok(None),
            Err(error) => Err((Side::Source, error)),
        }
    }

    async fn target_checksum(
        &self,
        key: &[u8],
        object: &Object,
    ) -> Result<(u32, bool), StoreError> {
        let target = &self.verification.target;
        let believed =
            self.verification.options.content != Content::Read && target.abilities().checksums_kept;
        match object.crc32c {
            _ if object.length == 0 => Ok((0, false)),
            Some(stored) if believed => Ok((stored, false)),
            Some(_) | None => {
                let counter = &self.meter.bytes_read_target;
                Ok((read(|| target.read(key), object.length, counter).await?, true))
            }
        }
    }

    fn metadata_difference(
        &self,
        source: &Metadata,
        object: &Object,
        flat: bool,
    ) -> Option<String> {
        let level = self.verification.options.metadata;
        if level == MetadataLevel::None {
            return None;
        }
        let Some(target) = &object.metadata else {
            return Some("the object carries no metadata of its file".to_owned());
        };
        if !source.has_exact_time() {
            return Some("mtime before 1677 or after 2262 at the source".to_owned());
        }
        let milliseconds = |metadata: &Metadata| metadata.modified_ns.div_euclid(NANOS_PER_MILLI);
        // What is made in a directory moves its time.
        let is_directory =
            object.key.ends_with(b"/") && !self.verification.target.abilities().markers;
        if milliseconds(source) != milliseconds(target) && !is_directory {
            return Some(format!(
                "mtime {} ms at the source, {} ms on the target",
                milliseconds(source),
                milliseconds(target)
            ));
        }
        if flat {
            return None;
        }
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        for (name, here, there) in [
            ("owner", source.owner.clone(), target.owner.clone()),
            ("group", source.group.clone(), target.group.clone()),
            ("mode", format!("{:04o}", source.mode), format!("{:04o}", target.mode)),
            ("acl", text(&source.acl), text(&target.acl)),
        ] {
            match stamp::digest_agrees(&object.user_metadata, name, source) {
                None if here == there => {}
                Some(true) if there.is_empty() || here == there => {}
                Some(false) if there.is_empty() => {
                    return Some(format!(
                        "{name} {here:?} at the source, not what the digest says"
                    ));
                }
                None | Some(_) => {
                    return Some(format!("{name} {here:?} at the source, {there:?} on the target"));
                }
            }
        }
        if level != MetadataLevel::Full {
            return None;
        }
        let alike = stamp::digest_agrees(&object.user_metadata, "xattr", source)
            .unwrap_or(source.xattrs == target.xattrs);
        (!alike).then(|| "extended attributes differ".to_owned())
    }
}

/// True if the file is the one that was compared. A listing may know less metadata than a question
/// for the one path.
fn still(compared: &FileNode, now: &FileNode, kind: DifferenceKind) -> bool {
    compared.identity == now.identity
        && compared.open == now.open
        && (kind != DifferenceKind::MetadataDifferent || compared.metadata == now.metadata)
}

/// CRC32C by reading, begun anew a few times where the way breaks.
async fn read(
    open: impl Fn() -> ByteStream,
    length: u64,
    counter: &std::sync::atomic::AtomicU64,
) -> Result<u32, StoreError> {
    let mut tries = 1;
    loop {
        match read_once(open(), length, counter).await {
            Err(error) if attempt::passing(&error) && tries < READS_MAX => {
                tokio::time::sleep(PAUSE_FIRST * tries).await;
                tries += 1;
            }
            other => return other,
        }
    }
}

async fn read_once(
    mut stream: ByteStream,
    length: u64,
    counter: &std::sync::atomic::AtomicU64,
) -> Result<u32, StoreError> {
    let (mut checksum, mut received) = (0, 0);
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        checksum = crc32c::crc32c_append(checksum, &piece);
        received += piece.len() as u64;
        add(counter, piece.len() as u64);
    }
    if received != length {
        return Err(StoreError::Moved {
            message: format!("{received} bytes came where {length} were expected"),
        });
    }
    Ok(checksum)
}

fn special(path: RelPath, what: &str) -> Difference {
    let message = format!("{what}: not followed, so it is not on the target");
    Difference { path, kind: DifferenceKind::Unverifiable, length: 0, message }
}

fn unverifiable(path: RelPath, side: Side, error: &StoreError) -> Difference {
    let side = match side {
        Side::Source => "source",
        Side::Target => "target",
        Side::Local => "this machine",
    };
    let message = format!("{side}: {error}");
    Difference { path, kind: DifferenceKind::Unverifiable, length: 0, message }
}
