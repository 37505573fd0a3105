//! Images made to measure.

use std::io::Write;

/// A message in the making.
#[derive(Clone, Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    pub fn number(mut self, field: u64, value: u64) -> Self {
        self.put(field << 3);
        self.put(value);
        self
    }

    pub fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.put(field << 3 | 2);
        self.put(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    pub fn message(self, field: u64, value: &Message) -> Self {
        self.bytes(field, &value.0)
    }

    pub fn fixed32(mut self, field: u64, value: u32) -> Self {
        self.put(field << 3 | 5);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn fixed64(mut self, field: u64, value: u64) -> Self {
        self.put(field << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn put(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// Appends a message after its length.
    pub fn delimited(&mut self, message: &Message) {
        self.put(message.0.len() as u64);
        self.0.extend_from_slice(&message.0);
    }
}

/// How the generator compresses.
#[derive(Clone, Copy, Debug)]
pub enum Codec {
    None,
    Class(&'static str, fn(&[u8]) -> Vec<u8>),
}

/// An image in the making; inodes belong to user 1 and group 2.
#[derive(Clone)]
pub struct Builder {
    pub inodes: Message,
    pub count: u64,
    pub directories: Message,
    pub references: Message,
    pub snapshots: Message,
    pub strings: Vec<(u32, &'static str)>,
    pub mask_bits: u64,
    pub layout: i32,
    pub codec: Codec,
}

pub const ROOT: u64 = 16_385;
pub const MODIFIED: u64 = 1_700_000_000_000;

/// Owner 1, group 2, mode 0644.
pub fn permission() -> u64 {
    1 << 40 | 2 << 16 | 0o644
}

pub fn block(id: u64, stamp: u64, length: u64) -> Message {
    Message::default().number(1, id).number(2, stamp).number(3, length)
}

pub fn file_body(blocks: &[Message]) -> Message {
    let body = Message::default().number(1, 3).number(2, MODIFIED).fixed64(5, permission());
    blocks.iter().fold(body, |body, block| body.message(6, block))
}

pub fn directory_body() -> Message {
    Message::default().number(1, MODIFIED).fixed64(4, permission())
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            inodes: Message::default(),
            count: 0,
            directories: Message::default(),
            references: Message::default(),
            snapshots: Message::default(),
            strings: vec![(1, "alice"), (2, "analysts"), (3, "hdfs.crypto.encryption.zone")],
            mask_bits: 0,
            layout: -67,
            codec: Codec::None,
        }
    }
}

impl Builder {
    /// One with the root of the file system.
    pub fn new() -> Self {
        let mut builder = Self::default();
        builder.directory(ROOT, b"");
        builder
    }

    pub fn inode(&mut self, kind: u64, id: u64, name: &[u8], body: &Message) -> &mut Self {
        let message = Message::default().number(1, kind).number(2, id).bytes(3, name);
        self.inodes.delimited(&message.message(3 + kind, body));
        self.count += 1;
        self
    }

    pub fn directory(&mut self, id: u64, name: &[u8]) -> &mut Self {
        self.inode(2, id, name, &directory_body())
    }

    /// A file of one block, whose numbers come of its id.
    pub fn file(&mut self, id: u64, name: &[u8]) -> &mut Self {
        self.inode(1, id, name, &file_body(&[block(id << 8, 1000 + id, 7 * id)]))
    }

    pub fn children(&mut self, parent: u64, children: &[u64]) -> &mut Self {
        self.children_and_references(parent, children, &[])
    }

    pub fn children_and_references(
        &mut self,
        parent: u64,
        children: &[u64],
        references: &[u64],
    ) -> &mut Self {
        let packed = |numbers: &[u64]| {
            let mut message = Message::default();
            numbers.iter().for_each(|number| message.put(*number));
            message
        };
        let message = Message::default().number(1, parent).message(2, &packed(children));
        self.directories.delimited(&message.message(3, &packed(references)));
        self
    }

    pub fn reference(&mut self, id: u64) -> &mut Self {
        self.references.delimited(&Message::default().number(1, id).number(3, 1));
        self
    }

    /// One of the file system's root.
    pub fn snapshot(&mut self) -> &mut Self {
        self.snapshots.delimited(&Message::default().number(1, 1).number(2, ROOT).number(3, 1));
        let root = Message::default().number(1, 2).number(2, ROOT).bytes(3, b"s");
        self.snapshots.delimited(&Message::default().number(1, 1).message(2, &root));
        self
    }

    pub fn build(&self) -> Vec<u8> {
        let mut info = Message::default();
        info.delimited(&Message::default().number(1, 4711).number(6, 12_345));
        let mut strings = Message::default();
        let count = self.strings.len() as u64;
        strings.delimited(&Message::default().number(1, count).number(2, self.mask_bits));
        for (number, name) in &self.strings {
            let number = u64::from(*number);
            strings.delimited(&Message::default().number(1, number).bytes(2, name.as_bytes()));
        }
        let mut inodes = Message::default();
        inodes.delimited(&Message::default().number(1, 99_999).number(2, self.count));
        inodes.0.extend_from_slice(&self.inodes.0);
        let sections = [
            ("NS_INFO", &info),
            ("STRING_TABLE", &strings),
            ("INODE", &inodes),
            ("INODE_REFERENCE", &self.references),
            ("SNAPSHOT", &self.snapshots),
            ("INODE_DIR", &self.directories),
        ];
        let mut image = b"HDFSIMG1".to_vec();
        let mut summary = Message::default().number(1, 1).number(2, u64::from(self.layout as u32));
        if let Codec::Class(class, _) = self.codec {
            summary = summary.bytes(3, class.as_bytes());
        }
        for (name, section) in sections {
            let bytes = match self.codec {
                Codec::None => section.0.clone(),
                Codec::Class(_, compress) => compress(&section.0),
            };
            let place = Message::default()
                .bytes(1, name.as_bytes())
                .number(2, bytes.len() as u64)
                .number(3, image.len() as u64);
            summary = summary.message(4, &place);
            image.write_all(&bytes).unwrap();
        }
        let mut index = Message::default();
        index.delimited(&summary);
        image.extend_from_slice(&index.0);
        image.extend_from_slice(&(index.0.len() as u32).to_be_bytes());
        image
    }
}

/// Numbers by chance, the same for the same seed.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
