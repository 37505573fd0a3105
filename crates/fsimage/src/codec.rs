//! How sections are compressed. Each is a stream by itself, or several in a row where the NameNode
//! saved it in parts.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};

use flate2::bufread::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::error::Error;

/// Hadoop's compressor asks for 2 MiB at its default level, and for this at level 19. A window is
/// taken before its bytes come, so more is refused.
const ZSTANDARD_WINDOW_BYTES_MAX: u64 = 8 << 20;
/// Neither LZ4 nor Snappy makes more of a byte.
const BLOCK_EXPANSION_MAX: usize = 256;

/// A way to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    None,
    Zlib,
    Gzip,
    Lz4,
    Snappy,
    Zstandard,
}

impl Codec {
    /// By the Java class that an image names.
    pub(crate) fn of_class(class: &str) -> Result<Self, Error> {
        match class.strip_prefix("org.apache.hadoop.io.compress.") {
            Some("DefaultCodec" | "DeflateCodec") => Ok(Self::Zlib),
            Some("GzipCodec") => Ok(Self::Gzip),
            Some("Lz4Codec") => Ok(Self::Lz4),
            Some("SnappyCodec") => Ok(Self::Snappy),
            Some("ZStandardCodec") => Ok(Self::Zstandard),
            _ => Err(Error::Codec(class.to_owned())),
        }
    }

    /// What the bytes of a section say.
    pub(crate) fn decode<'a>(self, input: impl BufRead + 'a) -> Box<dyn BufRead + 'a> {
        match self {
            Self::None => Box::new(input),
            Self::Zlib => Box::new(BufReader::new(Zlib::new(input))),
            Self::Gzip => Box::new(BufReader::new(MultiGzDecoder::new(input))),
            Self::Lz4 => Box::new(BufReader::new(Blocks::new(input, lz4))),
            Self::Snappy => Box::new(BufReader::new(Blocks::new(input, snappy))),
            Self::Zstandard => Box::new(BufReader::new(Zstandard::new(input))),
        }
    }
}

fn invalid(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// Streams of zlib in a row. An end within one is told, which flate2's own reader does not.
struct Zlib<B> {
    input: B,
    inflater: Decompress,
    between: bool,
}

impl<B: BufRead> Zlib<B> {
    fn new(input: B) -> Self {
        Self { input, inflater: Decompress::new(true), between: true }
    }
}

impl<B: BufRead> Read for Zlib<B> {
    fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        if output.is_empty() {
            return Ok(0);
        }
        loop {
            let input = self.input.fill_buf()?;
            let is_end = input.is_empty();
            if self.between {
                if is_end {
                    return Ok(0);
                }
                self.inflater.reset(true);
                self.between = false;
            }
            let before = (self.inflater.total_in(), self.inflater.total_out());
            let status = self.inflater.decompress(input, output, FlushDecompress::None)?;
            let consumed = (self.inflater.total_in() - before.0) as usize;
            let produced = (self.inflater.total_out() - before.1) as usize;
            self.input.consume(consumed);
            self.between = status == Status::StreamEnd;
            if produced > 0 {
                return Ok(produced);
            }
            if consumed == 0 && !self.between {
                let stands = || invalid("a zlib stream that goes nowhere");
                return Err(if is_end { ErrorKind::UnexpectedEof.into() } else { stands() });
            }
        }
    }
}

/// Frames in a row.
struct Zstandard<B> {
    input: B,
    decoder: FrameDecoder,
    between: bool,
}

impl<B: BufRead> Zstandard<B> {
    fn new(input: B) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(ZSTANDARD_WINDOW_BYTES_MAX);
        Self { input, decoder, between: true }
    }
}

impl<B: BufRead> Read for Zstandard<B> {
    fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        if output.is_empty() {
            return Ok(0);
        }
        loop {
            if self.between {
                if self.input.fill_buf()?.is_empty() {
                    return Ok(0);
                }
                self.decoder.reset(&mut self.input).map_err(io::Error::other)?;
                self.between = false;
            }
            if self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.input, one).map_err(io::Error::other)?;
            }
            let read = self.decoder.read(output)?;
            if read > 0 {
                return Ok(read);
            }
            self.between = self.decoder.is_finished();
        }
    }
}

/// Takes a chunk apart into a buffer of at most so many bytes.
type Unpack = fn(&[u8], usize, &mut Vec<u8>) -> io::Result<()>;

/// Hadoop's own framing: the length of a block as it was, then chunks, each with its length, until
/// the block is complete.
struct Blocks<B> {
    input: B,
    unpack: Unpack,
    /// Of the block, bytes that are not unpacked yet.
    missing: usize,
    chunk: Vec<u8>,
    unpacked: Vec<u8>,
    at: usize,
}

impl<B: BufRead> Blocks<B> {
    fn new(input: B, unpack: Unpack) -> Self {
        Self { input, unpack, missing: 0, chunk: Vec::new(), unpacked: Vec::new(), at: 0 }
    }

    fn length(&mut self) -> io::Result<usize> {
        let mut length = [0; 4];
        self.input.read_exact(&mut length)?;
        Ok(u32::from_be_bytes(length) as usize)
    }

    /// Unpacks the next chunk; `false` at the end of the section.
    fn next_chunk(&mut self) -> io::Result<bool> {
        while self.missing == 0 {
            if self.input.fill_buf()?.is_empty() {
                return Ok(false);
            }
            self.missing = self.length()?;
        }
        let length = self.length()?;
        self.chunk.clear();
        // It grows as bytes come.
        let read = (&mut self.input).take(length as u64).read_to_end(&mut self.chunk)?;
        if read < length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let bytes_max = self.missing.min(length.saturating_mul(BLOCK_EXPANSION_MAX));
        self.unpacked.clear();
        (self.unpack)(&self.chunk, bytes_max, &mut self.unpacked)?;
        self.missing = self
            .missing
            .checked_sub(self.unpacked.len())
            .ok_or_else(|| invalid("a block longer than it says"))?;
        self.at = 0;
        Ok(true)
    }
}

impl<B: BufRead> Read for Blocks<B> {
    fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        while self.at == self.unpacked.len() {
            if !self.next_chunk()? {
                return Ok(0);
            }
        }
        let rest = &self.unpacked[self.at..];
        let length = rest.len().min(output.len());
        output[..length].copy_from_slice(&rest[..length]);
        self.at += length;
        Ok(length)
    }
}

fn lz4(chunk: &[u8], bytes_max: usize, unpacked: &mut Vec<u8>) -> io::Result<()> {
    unpacked.resize(bytes_max, 0);
    let length = lz4_flex::block::decompress_into(chunk, unpacked).map_err(invalid)?;
    unpacked.truncate(length);
    Ok(())
}

fn snappy(chunk: &[u8], bytes_max: usize, unpacked: &mut Vec<u8>) -> io::Result<()> {
    let length = snap::raw::decompress_len(chunk).map_err(invalid)?;
    if length > bytes_max {
        return Err(invalid("a chunk longer than its block"));
    }
    unpacked.resize(length, 0);
    snap::raw::Decoder::new().decompress(chunk, unpacked).map_err(invalid)?;
    Ok(())
}
