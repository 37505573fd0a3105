//! Compressed images.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use whimbrel_fsimage::{Error, Settings};

use crate::generator::{Builder, Codec, ROOT};
use crate::{image, listed, root};

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstandard(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

/// Hadoop's framing: blocks of several chunks.
fn framed(bytes: &[u8], chunk: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut framed = Vec::new();
    for block in bytes.chunks(100_000) {
        framed.extend_from_slice(&(block.len() as u32).to_be_bytes());
        for part in block.chunks(30_000) {
            let packed = chunk(part);
            framed.extend_from_slice(&(packed.len() as u32).to_be_bytes());
            framed.extend_from_slice(&packed);
        }
    }
    if bytes.is_empty() {
        framed.extend_from_slice(&[0; 4]);
    }
    framed
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    framed(bytes, lz4_flex::block::compress)
}

fn snappy(bytes: &[u8]) -> Vec<u8> {
    framed(bytes, |part| snap::raw::Encoder::new().compress_vec(part).unwrap())
}

/// As a NameNode saves sections in parts: one stream after the other.
fn in_two(bytes: &[u8], compress: fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let (one, other) = bytes.split_at(bytes.len() / 2);
    [compress(one), compress(other)].concat()
}

pub const CODECS: [Codec; 10] = [
    Codec::Class("org.apache.hadoop.io.compress.DefaultCodec", zlib),
    Codec::Class("org.apache.hadoop.io.compress.DeflateCodec", |b| in_two(b, zlib)),
    Codec::Class("org.apache.hadoop.io.compress.GzipCodec", gzip),
    Codec::Class("org.apache.hadoop.io.compress.GzipCodec", |b| in_two(b, gzip)),
    Codec::Class("org.apache.hadoop.io.compress.Lz4Codec", lz4),
    Codec::Class("org.apache.hadoop.io.compress.Lz4Codec", |b| in_two(b, lz4)),
    Codec::Class("org.apache.hadoop.io.compress.SnappyCodec", snappy),
    Codec::Class("org.apache.hadoop.io.compress.SnappyCodec", |b| in_two(b, snappy)),
    Codec::Class("org.apache.hadoop.io.compress.ZStandardCodec", zstandard),
    Codec::Class("org.apache.hadoop.io.compress.ZStandardCodec", |b| in_two(b, zstandard)),
];

#[test]
fn every_codec_says_the_same() {
    let mut builder = Builder::new();
    let ids: Vec<u64> = (20_000..25_000).collect();
    for id in &ids {
        builder.file(*id, format!("part-{id}").as_bytes());
    }
    builder.children(ROOT, &ids);
    let plain = listed(&builder.build(), &root("/"), &Settings::default()).unwrap();
    for codec in CODECS {
        builder.codec = codec;
        let bytes = builder.build();
        let pages = listed(&bytes, &root("/"), &Settings::default());
        assert_eq!(pages.unwrap(), plain, "{codec:?}");
    }
}

#[test]
fn a_codec_that_is_not_read_is_named() {
    let mut builder = Builder::new();
    builder.codec = Codec::Class("org.apache.hadoop.io.compress.BZip2Codec", |b| b.to_vec());
    let bytes = builder.build();
    let error = image(&bytes).unwrap_err();
    assert!(matches!(&error, Error::Codec(class) if class.ends_with("BZip2Codec")), "{error}");
}
