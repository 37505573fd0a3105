//! How a file is cut into requests.

use std::ops::Range;

use whimbrel_core::record::Upload;
use whimbrel_store::target::Abilities;

/// Part sizes are whole multiples of this, so that parts begin at block and page borders.
const PART_STEP_BYTES: u64 = 1024 * 1024;

/// One request for the whole, or parts of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// One object written from memory.
    Whole,
    /// Parts of so many bytes, the last one of the rest.
    Parts {
        /// Bytes of every part but the last.
        part_bytes: u64,
    },
}

impl Plan {
    /// Cuts a file of `length` bytes, with parts of at least `part_bytes`, as the target allows.
    /// An upload to be resumed keeps its own part size.
    pub fn new(
        length: u64,
        part_bytes: u64,
        abilities: &Abilities,
        resume: Option<&Upload>,
    ) -> Self {
        if let Some(upload) = resume.filter(|upload| upload.part_bytes > 0) {
            return Self::Parts { part_bytes: upload.part_bytes };
        }
        let least = part_bytes.max(abilities.part_bytes_min).max(PART_STEP_BYTES);
        if abilities.parts_max == 0 || length <= least.min(abilities.put_bytes_max) {
            return Self::Whole;
        }
        let spread = length.div_ceil(u64::from(abilities.parts_max));
        let rounded = least.max(spread).next_multiple_of(PART_STEP_BYTES);
        Self::Parts { part_bytes: rounded.min(abilities.part_bytes_max) }
    }
}

/// Number and bytes of every part, ascending; numbers begin at 1.
pub(crate) fn parts(
    length: u64,
    part_bytes: u64,
) -> impl Iterator<Item = (u32, Range<u64>)> + use<> {
    let starts = (0..length).step_by(usize::try_from(part_bytes).unwrap_or(usize::MAX));
    (1..)
        .zip(starts)
        .map(move |(number, start)| (number, start..start.saturating_add(part_bytes).min(length)))
}

#[cfg(test)]
mod tests {
    use whimbrel_core::config::RequestLifetime;
    use whimbrel_store::target::Conditions;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn abilities() -> Abilities {
        Abilities {
            put_bytes_max: 5 << 30,
            part_bytes_min: 5 * MIB,
            part_bytes_max: 5 << 30,
            parts_max: 10_000,
            copy_bytes_max: 5 << 30,
            checksums_kept: true,
            conditions: Conditions::all(true),
            metadata_by_copy: true,
            markers: true,
            request_lifetime: RequestLifetime::fixed(60_000),
        }
    }

    #[test]
    fn sizes_of_parts() {
        for (length, expected) in [
            (0, Plan::Whole),
            (16 * MIB, Plan::Whole),
            (16 * MIB + 1, Plan::Parts { part_bytes: 16 * MIB }),
            (10_000 * 16 * MIB, Plan::Parts { part_bytes: 16 * MIB }),
            (10_000 * 16 * MIB + 1, Plan::Parts { part_bytes: 17 * MIB }),
            (48 << 40, Plan::Parts { part_bytes: 5034 * MIB }),
        ] {
            let plan = Plan::new(length, 16 * MIB, &abilities(), None);
            assert_eq!(plan, expected, "{length}");
            if let Plan::Parts { part_bytes } = plan {
                assert!(length.div_ceil(part_bytes) <= 10_000);
            }
        }
    }

    #[test]
    fn resumed_upload_keeps_its_part_size() {
        let upload = Upload { id: "u".into(), part_bytes: 7 * MIB, parts: Vec::new() };
        let plan = Plan::new(20 * MIB, 16 * MIB, &abilities(), Some(&upload));
        assert_eq!(plan, Plan::Parts { part_bytes: 7 * MIB });
    }

    #[test]
    fn parts_cover_every_byte_once() {
        let found: Vec<_> = parts(25, 10).collect();
        assert_eq!(found, vec![(1, 0..10), (2, 10..20), (3, 20..25)]);
        assert_eq!(parts(20, 10).count(), 2);
        assert_eq!(parts(0, 10).count(), 0);
    }
}
