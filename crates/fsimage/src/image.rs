//! The file: its index at the end, and the sections that this names.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use crate::codec::Codec;
use crate::entry::Entry;
use crate::error::{Error, Malformed};
use crate::md5::Md5;
use crate::strings::Strings;
use crate::wire::Fields;

const MAGIC: &[u8; 8] = b"HDFSIMG1";
const SUMMARY: &str = "FileSummary";
const SUMMARY_BYTES_MAX: u64 = 16 << 20;
/// The first layout whose inodes look like this (Hadoop 2.4), and that of Hadoop 3.5.
const LAYOUT_OLDEST: i32 = -56;
const LAYOUT_NEWEST: i32 = -67;
/// Of a policy that Hadoop brings along the image has the number alone.
const SYSTEM_POLICIES: [(u32, &str); 5] = [
    (1, "RS-6-3-1024k"),
    (2, "RS-3-2-1024k"),
    (3, "RS-LEGACY-6-3-1024k"),
    (4, "XOR-2-1-1024k"),
    (5, "RS-10-4-1024k"),
];
/// A directory of the most children that a NameNode can be told to allow has 64 MB; a file of the
/// most blocks 30 MB.
const MESSAGE_BYTES_MAX: u64 = 128 << 20;
const BUFFER_BYTES: usize = 256 << 10;

pub(crate) const STRING_TABLE: &str = "STRING_TABLE";
pub(crate) const INODE: &str = "INODE";
pub(crate) const INODE_DIR: &str = "INODE_DIR";
const NS_INFO: &str = "NS_INFO";
const INODE_REFERENCE: &str = "INODE_REFERENCE";
const SNAPSHOT: &str = "SNAPSHOT";
const FILES_UNDERCONSTRUCTION: &str = "FILES_UNDERCONSTRUCTION";
const ERASURE_CODING: &str = "ERASURE_CODING";

/// An image of a namespace at one transaction.
#[derive(Debug)]
pub struct Image<R> {
    pub(crate) input: R,
    pub(crate) summary: Summary,
    pub(crate) strings: Strings,
    header: Header,
}

/// What an image says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The layout; smaller is newer.
    pub layout_version: i32,
    /// The namespace's number: another one is another file system. The block pool, which file
    /// identities name too, stands in no image; ask the NameNode for both.
    pub namespace_id: u32,
    /// The last transaction that the image holds: what comes after it is told by the edits.
    pub transaction_id: u64,
    /// The Java class that its sections are compressed by.
    pub codec: Option<String>,
}

/// A snapshot that the NameNode keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its number.
    pub id: u32,
    /// The directory that it is of.
    pub directory_id: u64,
    /// Its name.
    pub name: Vec<u8>,
}

/// All snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshots {
    /// Directories that snapshots may be made of.
    pub snapshottable_directories: Vec<u64>,
    /// What was made.
    pub snapshots: Vec<Snapshot>,
}

/// An erasure coding policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasureCodingPolicy {
    /// Its number, by which files name it.
    pub id: u32,
    /// Its name.
    pub name: Vec<u8>,
}

/// Where the sections are, and how they are compressed.
#[derive(Debug)]
pub(crate) struct Summary {
    layout_version: i32,
    codec_class: Option<String>,
    codec: Codec,
    /// Name, offset, length in bytes.
    sections: Vec<(Vec<u8>, u64, u64)>,
}

impl Image<File> {
    /// Opens a file. With `md5`, what its sidecar said, all of it is read once and compared.
    ///
    /// # Errors
    /// [`Error::Md5`] if it is damaged, else as [`Image::new`].
    pub fn open(path: &Path, md5: Option<&Md5>) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::Read)?;
        if let Some(expected) = md5 {
            expected.check(&Md5::of(&file).map_err(Error::Read)?)?;
        }
        Self::new(file)
    }
}

impl<R: Read + Seek> Image<R> {
    /// Reads the index, the header and the string table.
    ///
    /// # Errors
    /// [`Error::NotAnImage`], [`Error::Layout`], [`Error::Codec`], or what is damaged.
    pub fn new(mut input: R) -> Result<Self, Error> {
        let summary = Summary::read(&mut input)?;
        let codec = summary.codec_class.clone();
        let mut header = Header {
            layout_version: summary.layout_version,
            namespace_id: 0,
            transaction_id: 0,
            codec,
        };
        let mut messages = section(&mut input, &summary, NS_INFO)?;
        let Some(message) = messages.next()? else {
            return Err(Error::damaged(NS_INFO, "it is missing"));
        };
        header.read(message).map_err(|error| error.within(NS_INFO))?;
        drop(messages);
        let strings = Strings::read(&mut section(&mut input, &summary, STRING_TABLE)?)?;
        Ok(Self { input, summary, strings, header })
    }

    /// What the image says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Every inode, in no order of use, those that only snapshots still hold among them.
    ///
    /// # Errors
    /// As reading fails.
    pub fn inodes(&mut self) -> Result<Inodes<'_>, Error> {
        let Self { input, summary, strings, .. } = self;
        Ok(Inodes { messages: InodeMessages::open(input, summary)?, strings })
    }

    /// The ids of files that are leased to writers.
    ///
    /// # Errors
    /// As reading fails.
    pub fn open_files(&mut self) -> Result<Vec<u64>, Error> {
        self.collect(FILES_UNDERCONSTRUCTION, |message| number_of(message, 1))
    }

    /// The erasure coding policies that the NameNode knows.
    ///
    /// # Errors
    /// As reading fails.
    pub fn erasure_coding_policies(&mut self) -> Result<Vec<ErasureCodingPolicy>, Error> {
        let sections = self.collect(ERASURE_CODING, policies)?;
        Ok(sections.into_iter().flatten().collect())
    }

    /// The snapshots.
    ///
    /// # Errors
    /// As reading fails.
    pub fn snapshots(&mut self) -> Result<Snapshots, Error> {
        let mut all = Snapshots::default();
        let mut messages = section(&mut self.input, &self.summary, SNAPSHOT)?;
        let Some(header) = messages.next()? else { return Ok(all) };
        all.snapshottable_directories =
            snapshottable(header).map_err(|error| error.within(SNAPSHOT))?;
        while let Some(message) = messages.next()? {
            all.snapshots.push(snapshot(message).map_err(|error| error.within(SNAPSHOT))?);
        }
        Ok(all)
    }

    /// The inodes that references stand for, by the references' numbers. There is one for each
    /// thing that was renamed after a snapshot was made of it.
    pub(crate) fn references(&mut self) -> Result<Vec<u64>, Error> {
        self.collect(INODE_REFERENCE, |message| number_of(message, 1))
    }

    fn collect<T>(
        &mut self,
        name: &'static str,
        one: impl Fn(&[u8]) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        let mut messages = section(&mut self.input, &self.summary, name)?;
        while let Some(message) = messages.next()? {
            all.push(one(message).map_err(|error| error.within(name))?);
        }
        Ok(all)
    }
}

/// The inodes of an image, one after the other.
#[derive(Debug)]
pub struct Inodes<'a> {
    messages: InodeMessages<'a>,
    strings: &'a Strings,
}

impl Inodes<'_> {
    /// The next one.
    ///
    /// # Errors
    /// As reading fails, or the section ends early.
    #[allow(clippy::should_implement_trait, reason = "it fails")]
    pub fn next(&mut self) -> Result<Option<Entry>, Error> {
        let Some(message) = self.messages.next()? else { return Ok(None) };
        Entry::decode(message, self.strings).map(Some).map_err(|error| error.within(INODE))
    }
}

/// The messages of the section of inodes, counted.
#[derive(Debug)]
pub(crate) struct InodeMessages<'a> {
    messages: Messages<'a>,
    missing: u64,
}

impl<'a> InodeMessages<'a> {
    pub(crate) fn open<R: Read + Seek>(input: &'a mut R, summary: &Summary) -> Result<Self, Error> {
        let mut messages = section(input, summary, INODE)?;
        let missing = match messages.next()? {
            Some(header) => number_of(header, 2).map_err(|error| error.within(INODE))?,
            None => return Err(Error::damaged(INODE, "it is missing")),
        };
        Ok(Self { messages, missing })
    }

    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, Error> {
        let Some(message) = self.messages.next()? else {
            return match self.missing {
                0 => Ok(None),
                missing => Err(Error::damaged(INODE, format!("{missing} inodes are missing"))),
            };
        };
        let missing = self.missing.checked_sub(1);
        self.missing = missing.ok_or_else(|| Error::damaged(INODE, "more inodes than it says"))?;
        Ok(Some(message))
    }
}

/// Messages one after the other, each after its length.
pub(crate) struct Messages<'a> {
    input: Box<dyn BufRead + 'a>,
    name: &'static str,
    message: Vec<u8>,
}

impl<'a> Messages<'a> {
    pub(crate) fn new(input: Box<dyn BufRead + 'a>, name: &'static str) -> Self {
        Self { input, name, message: Vec::new() }
    }

    /// The next one; `None` at the end of the section, which is where one would begin.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, Error> {
        let Some(mut missing) = self.length()? else { return Ok(None) };
        self.message.clear();
        while missing > 0 {
            let ready = self.input.fill_buf().map_err(|e| Error::reading(self.name, e))?;
            if ready.is_empty() {
                return Err(Error::damaged(self.name, "it ends within a message"));
            }
            // It grows as bytes come, whatever length was said.
            let length = usize::try_from(missing).map_or(ready.len(), |all| all.min(ready.len()));
            self.message.extend_from_slice(&ready[..length]);
            self.input.consume(length);
            missing -= length as u64;
        }
        Ok(Some(&self.message))
    }

    fn length(&mut self) -> Result<Option<u64>, Error> {
        let mut length = 0_u64;
        for shift in (0..35).step_by(7) {
            let ready = self.input.fill_buf().map_err(|e| Error::reading(self.name, e))?;
            let Some(byte) = ready.first().copied() else {
                return match shift {
                    0 => Ok(None),
                    _ => Err(Error::damaged(self.name, "it ends within a length")),
                };
            };
            self.input.consume(1);
            length |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                if length > MESSAGE_BYTES_MAX {
                    break;
                }
                return Ok(Some(length));
            }
        }
        Err(Error::damaged(self.name, "a message longer than any"))
    }
}

impl std::fmt::Debug for Messages<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Messages").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A section's messages; none for one that the image does not have.
pub(crate) fn section<'a, R: Read + Seek>(
    input: &'a mut R,
    summary: &Summary,
    name: &'static str,
) -> Result<Messages<'a>, Error> {
    let found = summary.sections.iter().find(|section| section.0 == name.as_bytes());
    let Some((_, offset, length)) = found else {
        return Ok(Messages::new(Box::new(std::io::empty()), name));
    };
    input.seek(SeekFrom::Start(*offset)).map_err(Error::Read)?;
    let bytes = BufReader::with_capacity(BUFFER_BYTES, input.take(*length));
    Ok(Messages::new(summary.codec.decode(bytes), name))
}

impl Header {
    fn read(&mut self, message: &[u8]) -> Result<(), Malformed> {
        let mut fields = Fields::new(message);
        while let Some((field, value)) = fields.next()? {
            match field {
                1 => self.namespace_id = value.number_u32()?,
                6 => self.transaction_id = value.number()?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl Summary {
    /// The last four bytes say how long the index before them is.
    fn read<R: Read + Seek>(input: &mut R) -> Result<Self, Error> {
        let total = input.seek(SeekFrom::End(0)).map_err(Error::Read)?;
        let Some(index_end) = total.checked_sub(4).filter(|end| *end >= MAGIC.len() as u64) else {
            return Err(Error::NotAnImage("it is too short"));
        };
        if read_at::<8, R>(input, 0)? != *MAGIC {
            return Err(Error::NotAnImage("it does not begin as one"));
        }
        let length = u64::from(u32::from_be_bytes(read_at::<4, R>(input, index_end)?));
        let begin = index_end.checked_sub(length).filter(|begin| *begin >= MAGIC.len() as u64);
        let Some(begin) = begin.filter(|_| length <= SUMMARY_BYTES_MAX) else {
            return Err(Error::NotAnImage("its index is missing"));
        };
        input.seek(SeekFrom::Start(begin)).map_err(Error::Read)?;
        let bytes = BufReader::new(input.take(length));
        let mut messages = Messages::new(Box::new(bytes), SUMMARY);
        let Some(message) = messages.next()? else {
            return Err(Error::NotAnImage("its index is empty"));
        };
        let summary = Self::decode(message)?;
        if messages.next()?.is_some() {
            return Err(Error::NotAnImage("something follows its index"));
        }
        let within = |offset: u64, length: u64| {
            offset.checked_add(length).is_some_and(|end| end <= begin && offset >= 8)
        };
        if summary.sections.iter().all(|(_, offset, length)| within(*offset, *length)) {
            return Ok(summary);
        }
        Err(Error::damaged(SUMMARY, "a section lies outside of the file"))
    }

    fn decode(message: &[u8]) -> Result<Self, Error> {
        let (mut version, mut layout, mut class, mut sections) = (0, 0, None, Vec::new());
        let mut read = || {
            let mut fields = Fields::new(message);
            while let Some((field, value)) = fields.next()? {
                match field {
                    1 => version = value.number()?,
                    // A negative number, written as an unsigned one of 32 bits.
                    2 => layout = value.number()? as u32 as i32,
                    3 => class = Some(String::from_utf8_lossy(value.bytes()?).into_owned()),
                    4 => sections.push(place(value.bytes()?)?),
                    _ => {}
                }
            }
            Ok(())
        };
        read().map_err(|error: Malformed| error.within(SUMMARY))?;
        if version != 1 {
            return Err(Error::NotAnImage("its index has another version"));
        }
        if !(LAYOUT_NEWEST..=LAYOUT_OLDEST).contains(&layout) {
            let (oldest, newest) = (LAYOUT_OLDEST, LAYOUT_NEWEST);
            return Err(Error::Layout { version: layout, oldest, newest });
        }
        let codec = class.as_deref().map_or(Ok(Codec::None), Codec::of_class)?;
        Ok(Self { layout_version: layout, codec_class: class, codec, sections })
    }
}

fn place(message: &[u8]) -> Result<(Vec<u8>, u64, u64), Malformed> {
    let (mut name, mut offset, mut length) = (Vec::new(), 0, 0);
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => name = value.bytes()?.to_vec(),
            2 => length = value.number()?,
            3 => offset = value.number()?,
            _ => {}
        }
    }
    Ok((name, offset, length))
}

fn read_at<const LENGTH: usize, R: Read + Seek>(
    input: &mut R,
    offset: u64,
) -> Result<[u8; LENGTH], Error> {
    let mut bytes = [0; LENGTH];
    input.seek(SeekFrom::Start(offset)).map_err(Error::Read)?;
    input.read_exact(&mut bytes).map_err(Error::Read)?;
    Ok(bytes)
}

/// One number of a message; 0 where it is not said.
fn number_of(message: &[u8], wanted: u64) -> Result<u64, Malformed> {
    let mut number = 0;
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        if field == wanted {
            number = value.number()?;
        }
    }
    Ok(number)
}

fn snapshottable(message: &[u8]) -> Result<Vec<u64>, Malformed> {
    let mut directories = Vec::new();
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        if field == 2 {
            value.each_number(|id| {
                directories.push(id);
                Ok(())
            })?;
        }
    }
    Ok(directories)
}

/// A snapshot's root is a copy of the directory's inode under the snapshot's name.
fn snapshot(message: &[u8]) -> Result<Snapshot, Malformed> {
    let mut snapshot = Snapshot { id: 0, directory_id: 0, name: Vec::new() };
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => snapshot.id = value.number_u32()?,
            2 => {
                let root = value.bytes()?;
                snapshot.directory_id = number_of(root, 2)?;
                let mut inner = Fields::new(root);
                while let Some((field, value)) = inner.next()? {
                    if field == 3 {
                        snapshot.name = value.bytes()?.to_vec();
                    }
                }
            }
            _ => {}
        }
    }
    Ok(snapshot)
}

fn policies(message: &[u8]) -> Result<Vec<ErasureCodingPolicy>, Malformed> {
    let mut policies = Vec::new();
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        if field != 1 {
            continue;
        }
        let mut policy = ErasureCodingPolicy { id: 0, name: Vec::new() };
        let mut inner = Fields::new(value.bytes()?);
        while let Some((field, value)) = inner.next()? {
            match field {
                1 => policy.name = value.bytes()?.to_vec(),
                4 => policy.id = value.number_u32()?,
                _ => {}
            }
        }
        let system = SYSTEM_POLICIES.iter().find(|system| system.0 == policy.id);
        if let Some((_, name)) = system.filter(|_| policy.name.is_empty()) {
            policy.name = name.as_bytes().to_vec();
        }
        policies.push(policy);
    }
    Ok(policies)
}
