//! What DataNodes are asked for: blocks and their checksums; and what they are given: new blocks.

pub(crate) mod block_checksum;
pub(crate) mod block_reader;
pub(crate) mod block_writer;
pub(crate) mod group_reader;
pub(crate) mod packet;
pub(crate) mod peer;
pub(crate) mod peers;
