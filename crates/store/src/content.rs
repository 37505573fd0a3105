//! Bytes on their way to a target, with their checksum.

use bytes::Bytes;

/// What one request carries. The checksum is reckoned once, when the bytes come in, and goes with
/// them: a bit that turns on the way is found by whoever checks it.
#[derive(Clone, Debug, Default)]
pub struct Content {
    pieces: Vec<Bytes>,
    length: u64,
    crc32c: u32,
}

impl Content {
    /// Adds bytes behind those that are there.
    pub fn push(&mut self, piece: Bytes) {
        self.crc32c = crc32c::crc32c_append(self.crc32c, &piece);
        self.length += piece.len() as u64;
        self.pieces.push(piece);
    }

    /// Bytes, all together.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Of all bytes, as they were when they came in.
    #[must_use]
    pub fn crc32c(&self) -> u32 {
        self.crc32c
    }

    /// One after the other they are the whole.
    #[must_use]
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// The same, for whoever keeps them.
    #[must_use]
    pub fn into_pieces(self) -> Vec<Bytes> {
        self.pieces
    }
}

impl<P: Into<Bytes>> FromIterator<P> for Content {
    fn from_iter<I: IntoIterator<Item = P>>(pieces: I) -> Self {
        let mut content = Self::default();
        pieces.into_iter().for_each(|piece| content.push(piece.into()));
        content
    }
}

impl From<Vec<Bytes>> for Content {
    fn from(pieces: Vec<Bytes>) -> Self {
        pieces.into_iter().collect()
    }
}

impl From<Bytes> for Content {
    fn from(piece: Bytes) -> Self {
        Self::from(vec![piece])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_checksum_and_length_are_those_of_the_whole() {
        let content: Content = [&b"1234"[..], b"", b"56789"].into_iter().collect();
        assert_eq!((content.length(), content.crc32c()), (9, 0xe306_9283));
        assert_eq!(content.into_pieces().concat(), b"123456789");
        assert_eq!((Content::default().length(), Content::default().crc32c()), (0, 0));
    }
}
