//! A range of one block group: an erasure coded stretch of a file, spread cell by cell over
//! DataNodes.
//!
//! Cells are read from the data units alone. A unit that nobody serves is not computed from the
//! others: the read fails until HDFS itself has made the unit anew and a listing names its place.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::block_reader::BlockReader;
use super::peers::Peers;
use crate::error::Error;
use crate::pinned::{Block, ErasureCoding, PinnedFile};

/// How the bytes of a group lie in its units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    data_units: u64,
    cell_bytes: u64,
}

/// Reads a range of a group in the file's order.
#[derive(Debug)]
pub(crate) struct GroupReader {
    peers: Arc<Peers>,
    client_name: String,
    file: PinnedFile,
    layout: Layout,
    /// What is still to be handed out, as positions in the group.
    range: Range<u64>,
    units: Vec<Unit>,
}

/// One data unit: a block of its own on one DataNode (rarely on several).
#[derive(Debug)]
struct Unit {
    block: Block,
    /// What is still to be received, as positions in the unit's block.
    range: Range<u64>,
    /// Positions of DataNodes that are still to be asked.
    replicas: Vec<usize>,
    reader: Option<BlockReader>,
    /// Received and not yet handed out.
    rest: Bytes,
    last_error: Option<Error>,
}

impl Layout {
    /// # Errors
    /// [`Error::Unsupported`] for a policy whose layout is not known.
    pub(crate) fn of(coding: &ErasureCoding) -> Result<Self, Error> {
        if coding.data_units == 0 || coding.cell_bytes == 0 {
            let what = format!("erasure coding policy {} {}", coding.policy_id, coding.policy);
            return Err(Error::Unsupported { what });
        }
        let data_units = u64::from(coding.data_units);
        Ok(Self { data_units, cell_bytes: u64::from(coding.cell_bytes) })
    }

    /// How many of the group's first `length` bytes lie in a unit.
    fn bytes_in_unit(&self, length: u64, unit: u64) -> u64 {
        let stripe_bytes = self.data_units * self.cell_bytes;
        let in_last = (length % stripe_bytes).saturating_sub(unit * self.cell_bytes);
        length / stripe_bytes * self.cell_bytes + in_last.min(self.cell_bytes)
    }

    /// The unit of a position, and how many bytes of the same cell begin there.
    fn cell_at(&self, position: u64) -> (usize, u64) {
        let unit = position / self.cell_bytes % self.data_units;
        (unit as usize, self.cell_bytes - position % self.cell_bytes)
    }
}

impl GroupReader {
    /// Prepares to read `range` (positions in the group); DataNodes are asked as cells are needed.
    pub(crate) fn new(
        peers: &Arc<Peers>,
        client_name: &str,
        file: &PinnedFile,
        group: &Block,
        layout: Layout,
        range: Range<u64>,
    ) -> Self {
        let units =
            (0..layout.data_units).map(|unit| Unit::new(group, unit, layout, &range)).collect();
        let file = file.within(&(0..0));
        let client_name = client_name.to_owned();
        Self { peers: Arc::clone(peers), client_name, file, layout, range, units }
    }

    /// The next bytes of the range, never empty; `None` when all were handed out.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if self.range.start >= self.range.end {
            return Ok(None);
        }
        let (index, cell_rest) = self.layout.cell_at(self.range.start);
        let wanted = cell_rest.min(self.range.end - self.range.start);
        let unit = self
            .units
            .get_mut(index)
            .ok_or_else(|| Error::Unsupported { what: format!("unit {index} of a group") })?;
        if unit.rest.is_empty() {
            unit.rest = unit.receive(&self.peers, &self.client_name, &self.file).await?;
        }
        let length = wanted.min(unit.rest.len() as u64);
        self.range.start += length;
        Ok(Some(unit.rest.split_to(length as usize)))
    }

    /// Gives the connections back.
    pub(crate) async fn finish(self) {
        for reader in self.units.into_iter().filter_map(|unit| unit.reader) {
            // All bytes are here; a connection that cannot be used again is no failure.
            drop(reader.finish().await);
        }
    }
}

impl Unit {
    fn new(group: &Block, unit: u64, layout: Layout, range: &Range<u64>) -> Self {
        let holders = group.unit_indices.iter().enumerate();
        let holders = holders.filter(|(_, held)| u64::from(**held) == unit);
        Self {
            block: Block {
                // A group's id leaves room for those of its units.
                id: group.id.wrapping_add(unit),
                offset: 0,
                length: layout.bytes_in_unit(group.length, unit),
                unit_indices: Vec::new(),
                ..group.clone()
            },
            range: layout.bytes_in_unit(range.start, unit)..layout.bytes_in_unit(range.end, unit),
            replicas: holders.map(|(position, _)| position).rev().collect(),
            reader: None,
            rest: Bytes::new(),
            last_error: None,
        }
    }

    async fn receive(
        &mut self,
        peers: &Arc<Peers>,
        client_name: &str,
        file: &PinnedFile,
    ) -> Result<Bytes, Error> {
        loop {
            let mut reader = match self.reader.take() {
                Some(reader) => reader,
                None => self.open(peers, client_name, file).await?,
            };
            match reader.next().await {
                Ok(Some(bytes)) => {
                    self.range.start += bytes.len() as u64;
                    self.reader = Some(reader);
                    return Ok(bytes);
                }
                Ok(None) => return Err(self.lost()),
                Err(error) => self.last_error = Some(error),
            }
        }
    }

    async fn open(
        &mut self,
        peers: &Arc<Peers>,
        client_name: &str,
        file: &PinnedFile,
    ) -> Result<BlockReader, Error> {
        while let Some(replica) = self.replicas.pop() {
            let Some(datanode) = self.block.datanodes.get(replica) else { continue };
            let range = self.range.clone();
            match BlockReader::open(peers, client_name, file, &self.block, datanode, range).await {
                Ok(reader) => return Ok(reader),
                Err(error) => self.last_error = Some(error),
            }
        }
        Err(self.lost())
    }

    fn lost(&mut self) -> Error {
        let error = self.last_error.take();
        error.unwrap_or_else(|| Error::NoReplica { block: self.block.name() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_lies_in_one_unit() {
        for (data_units, cell_bytes) in [(1, 1), (2, 3), (3, 4), (6, 5)] {
            let layout = Layout { data_units, cell_bytes };
            let mut counts = vec![0; data_units as usize];
            for position in 0..100 {
                for (unit, count) in counts.iter().enumerate() {
                    assert_eq!(layout.bytes_in_unit(position, unit as u64), *count);
                }
                let (unit, rest) = layout.cell_at(position);
                assert!(rest >= 1 && rest <= cell_bytes);
                counts[unit] += 1;
            }
        }
    }

    #[test]
    fn a_policy_without_layout_is_refused() {
        let coding = ErasureCoding {
            policy_id: 70,
            policy: "own".to_owned(),
            codec: "rs".to_owned(),
            data_units: 0,
            parity_units: 0,
            cell_bytes: 0,
        };
        assert!(matches!(Layout::of(&coding), Err(Error::Unsupported { .. })));
    }
}
