//! Bytes changed by chance, the same for the same seed: the short run of every `cargo xtask test`.
//! It knows nothing of coverage; that is the engine's.

/// Values at which lengths and counts go wrong.
const EXTREMES: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    i64::MAX as u64,
    u64::MAX,
];
const CHANGES_MAX: u64 = 6;

/// Draws changes.
#[derive(Debug)]
pub struct Mutation {
    state: u64,
}

impl Mutation {
    /// The seed says everything.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed ^ 0x9e37_79b9_7f4a_7c15 }
    }

    /// One input of a corpus, changed in a few places.
    pub fn of(&mut self, corpus: &[Vec<u8>], bytes_max: usize) -> Vec<u8> {
        let mut bytes = corpus.get(self.below(corpus.len())).cloned().unwrap_or_default();
        for _ in 0..=self.next() % CHANGES_MAX {
            self.change(&mut bytes, corpus);
        }
        bytes.truncate(bytes_max);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let at = self.below(bytes.len() + 1);
        let length = self.below(bytes.len() - at + 1).min(32);
        match self.next() % 8 {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (self.next() % 8);
                }
            }
            1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = self.next() as u8;
                }
            }
            2 => bytes.insert(at, self.next() as u8),
            3 => drop(bytes.drain(at..at + length)),
            4 => {
                let copy = bytes[at..at + length].to_vec();
                let to = self.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            5 => self.extreme(bytes, at),
            6 => bytes.truncate(at),
            _ => {
                let other = corpus.get(self.below(corpus.len())).map_or(&[][..], Vec::as_slice);
                let from = self.below(other.len() + 1);
                let some = self.below(other.len() - from + 1).min(64);
                bytes.splice(at..at + length, other[from..from + some].iter().copied());
            }
        }
    }

    /// Writes a value over what stands there: little or big endian, or as a varint.
    fn extreme(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let mut value = EXTREMES[self.below(EXTREMES.len())];
        let mut written = Vec::new();
        match self.next() % 4 {
            0 => written.extend_from_slice(&value.to_be_bytes()[4..]),
            1 => written.extend_from_slice(&value.to_le_bytes()[..4]),
            2 => written.extend_from_slice(&value.to_be_bytes()),
            _ => {
                while value >= 0x80 {
                    written.push(value as u8 | 0x80);
                    value >>= 7;
                }
                written.push(value as u8);
            }
        }
        let end = (at + written.len()).min(bytes.len());
        bytes.splice(at..end, written);
    }

    fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.next() % bound as u64) as usize }
    }

    /// Xorshift: plenty for this.
    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}
