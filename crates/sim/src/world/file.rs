//! The bytes of a file: which state of them stands there, and in which blocks.

/// Names one state of a file's bytes; 0 is the empty file.
pub type Content = u64;

/// Bytes of a full block.
pub const BLOCK_BYTES: u64 = 25;

/// Transactions that begin a block: its number, its generation stamp, its place in the file.
const TRANSACTIONS_OF_A_NEW_BLOCK: u64 = 3;
/// Transactions before a block that is not full grows: another generation stamp, the block with it.
const TRANSACTIONS_OF_A_GROWN_BLOCK: u64 = 2;

/// A file's bytes.
#[derive(Clone, Debug)]
pub struct File {
    /// Being written.
    pub open: bool,
    state: State,
    /// Shorter states that the file went through, as long as it begins with them: appending keeps
    /// them, cutting does not.
    earlier: Vec<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    length: u64,
    content: Content,
    blocks: u64,
}

impl File {
    /// An empty file that is being written.
    pub fn begun() -> Self {
        Self { open: true, state: State::default(), earlier: Vec::new() }
    }

    /// What the bytes are now.
    pub fn content(&self) -> Content {
        self.state.content
    }

    /// Bytes.
    pub fn length(&self) -> u64 {
        self.state.length
    }

    /// Digest of blocks and generation stamps: every change of bytes changes it.
    pub fn blocks(&self) -> u64 {
        self.state.blocks
    }

    /// The length once the last block is cut off.
    pub fn cut_length(&self) -> u64 {
        self.state.length.saturating_sub(1) / BLOCK_BYTES * BLOCK_BYTES
    }

    /// Writes so many bytes more; returns the transactions that this takes. Whoever opened a file
    /// whose last block is not full renews that block, even if nothing is written.
    pub fn grow(&mut self, bytes: u64, content: Content, blocks: u64) -> u64 {
        let then = self.state;
        let length = then.length + bytes;
        let renewed = !then.length.is_multiple_of(BLOCK_BYTES);
        let begun = length.div_ceil(BLOCK_BYTES) - then.length.div_ceil(BLOCK_BYTES);
        if bytes > 0 {
            self.earlier.push(then);
            self.state = State { length, content, blocks };
        } else if renewed {
            self.state.blocks = blocks;
        }
        let of_renewed = if renewed { TRANSACTIONS_OF_A_GROWN_BLOCK } else { 0 };
        of_renewed + begun * TRANSACTIONS_OF_A_NEW_BLOCK
    }

    /// Cuts the last block off. What is left may be what the file was before.
    pub fn cut(&mut self, content: Content, blocks: u64) {
        let length = self.cut_length();
        let before = self.earlier.iter().find(|state| state.length == length).copied();
        self.state = before.unwrap_or(State { length, content, blocks });
        self.earlier.retain(|state| state.length < length);
    }

    /// What the first `length` bytes are, if they were the whole at some time.
    pub fn beginning(&self, length: u64) -> Option<Content> {
        let mut known = self.earlier.iter().chain([&self.state]);
        known.find(|state| state.length == length).map(|state| state.content)
    }
}
