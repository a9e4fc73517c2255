//! The rows of the catalog: the backend, and its partitions.

use std::time::Duration;

use storage_api::{
    DeadPolicy, Mode, PartitionConfig, PartitionId, PartitionInfo, Requeue, Version,
};

use crate::codec::{Reader, Writer};

const FORMAT: u8 = 1;

/// What the backend as a whole remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct BackendRow {
    /// Whether it was closed properly: then numbers go on where they were, and not at their ceilings.
    pub(crate) is_clean: bool,
    /// The number of the next partition.
    pub(crate) next_partition: u32,
    /// The largest id or position that a deleted partition gave: where new partitions start.
    pub(crate) floor: u64,
    pub(crate) leases: NumberRow,
    pub(crate) versions: NumberRow,
}

/// The largest number given, and the largest that may be given before the row is written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct NumberRow {
    pub(crate) last: u64,
    pub(crate) ceiling: u64,
}

impl BackendRow {
    pub(crate) fn encode(&self) -> Writer {
        let mut row = Writer::with_capacity(64);
        row.u8(FORMAT)
            .u8(u8::from(self.is_clean))
            .u32(self.next_partition)
            .u64(self.floor);
        for number in [self.leases, self.versions] {
            row.u64(number.last).u64(number.ceiling);
        }
        row
    }

    pub(crate) fn decode(row: &[u8]) -> Option<Self> {
        let mut row = Reader::new(row);
        if row.u8()? != FORMAT {
            return None;
        }
        let mut backend = Self {
            is_clean: row.u8()? != 0,
            next_partition: row.u32()?,
            floor: row.u64()?,
            ..Self::default()
        };
        for number in [&mut backend.leases, &mut backend.versions] {
            number.last = row.u64()?;
            number.ceiling = row.u64()?;
        }
        row.end()?;
        Some(backend)
    }
}

pub(crate) fn encode_partition(info: &PartitionInfo) -> Writer {
    let config = &info.config;
    let mut row = Writer::with_capacity(128);
    row.u8(FORMAT)
        .u64(info.created.get())
        .u64(info.revision.get())
        .u32(config.attempts_max())
        .u8(match config.requeue() {
            Requeue::Tail => 0,
            Requeue::Original => 1,
        })
        .u8(match config.dead() {
            DeadPolicy::Keep => 0,
            DeadPolicy::Drop => 1,
        })
        .u8(match config.mode() {
            Mode::Open => 0,
            Mode::Draining => 1,
            Mode::Frozen => 2,
        })
        .u64(u64::try_from(config.dedup_for().as_micros()).unwrap_or(u64::MAX))
        .u64(config.items_max())
        .u64(config.bytes_max())
        .u32(info.id.number())
        .bytes(info.id.queue().as_str().as_bytes());
    row
}

pub(crate) fn decode_partition(row: &[u8]) -> Option<PartitionInfo> {
    let mut row = Reader::new(row);
    if row.u8()? != FORMAT {
        return None;
    }
    let created = Version::new(row.u64()?).ok()?;
    let revision = Version::new(row.u64()?).ok()?;
    let attempts_max = row.u32()?;
    let requeue = [Requeue::Tail, Requeue::Original];
    let requeue = *requeue.get(usize::from(row.u8()?))?;
    let dead = *[DeadPolicy::Keep, DeadPolicy::Drop].get(usize::from(row.u8()?))?;
    let mode = [Mode::Open, Mode::Draining, Mode::Frozen];
    let mode = *mode.get(usize::from(row.u8()?))?;
    let config = PartitionConfig::default()
        .with_attempts_max(attempts_max)
        .with_requeue(requeue)
        .with_dead(dead)
        .with_mode(mode)
        .with_dedup_for(Duration::from_micros(row.u64()?))
        .with_items_max(row.u64()?)
        .with_bytes_max(row.u64()?);
    let number = row.u32()?;
    let queue = std::str::from_utf8(row.rest()).ok()?;
    Some(PartitionInfo {
        id: PartitionId::new(queue, number).ok()?,
        created,
        revision,
        config,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backend_row_gives_back_what_went_into_it() {
        let row = BackendRow {
            is_clean: true,
            next_partition: 3,
            floor: 1 << 40,
            leases: NumberRow {
                last: 5,
                ceiling: 65_536,
            },
            versions: NumberRow {
                last: 6,
                ceiling: 7,
            },
        };

        let bytes = row.encode();

        assert_eq!(BackendRow::decode(bytes.as_slice()), Some(row));
        assert_eq!(BackendRow::decode(&bytes.as_slice()[1..]), None);
    }

    #[test]
    fn the_partition_row_gives_back_what_went_into_it() {
        let configs = [
            PartitionConfig::default(),
            PartitionConfig::default()
                .with_attempts_max(u32::MAX)
                .with_requeue(Requeue::Original)
                .with_dead(DeadPolicy::Drop)
                .with_mode(Mode::Frozen)
                .with_dedup_for(Duration::from_micros(u64::MAX))
                .with_items_max(1)
                .with_bytes_max(u64::MAX),
            PartitionConfig::default().with_mode(Mode::Draining),
        ];
        for config in configs {
            let info = PartitionInfo {
                id: PartitionId::new("a/b\0\u{1f980}", u32::MAX).unwrap(),
                created: Version::new(4).unwrap(),
                revision: Version::new(9).unwrap(),
                config,
            };

            let row = encode_partition(&info);

            assert_eq!(decode_partition(row.as_slice()), Some(info));
        }
    }
}
