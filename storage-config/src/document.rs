//! What stands in a configuration file.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, Unexpected, Visitor};
use storage_api::{DeadPolicy, QueueName, Requeue};
use storage_queue::{Backoff, ByteSize, PARTITIONS_MAX, TimeSpan};

/// The whole file.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Document {
    pub(crate) queue_storage: QueueStorage,
    pub(crate) partition_storage: Vec<PartitionEntry>,
    #[serde(default)]
    pub(crate) queues: Vec<QueueEntry>,
    #[serde(default)]
    pub(crate) allow_mixed_durability: bool,
}

/// Where metadata lives.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct QueueStorage {
    pub(crate) driver: String,
    /// Read by the driver, from the tree.
    #[serde(default, rename = "config")]
    _config: IgnoredAny,
}

/// One place where items live.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct PartitionEntry {
    pub(crate) name: String,
    pub(crate) driver: String,
    pub(crate) affinity: Option<Whole<{ u32::MAX }>>,
    /// Read by the driver, from the tree.
    #[serde(default, rename = "config")]
    _config: IgnoredAny,
}

/// One declared queue.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct QueueEntry {
    pub(crate) name: QueueName,
    pub(crate) partitions: Option<Whole<PARTITIONS_MAX>>,
    pub(crate) attempts_max: Option<u32>,
    pub(crate) dead: Option<DeadPolicy>,
    pub(crate) requeue: Option<Requeue>,
    pub(crate) dedup_for: Option<TimeSpan>,
    pub(crate) items_max: Option<u64>,
    pub(crate) bytes_max: Option<ByteSize>,
    pub(crate) backoff: Option<Backoff>,
}

/// A whole number from 1 to a limit: zero would mean nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whole<const MAX: u32>(u32);

impl<const MAX: u32> Whole<MAX> {
    pub(crate) fn get(self) -> u32 {
        self.0
    }
}

impl<'de, const MAX: u32> Deserialize<'de> for Whole<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u32(WholeVisitor)
    }
}

struct WholeVisitor<const MAX: u32>;

impl<const MAX: u32> Visitor<'_> for WholeVisitor<MAX> {
    type Value = Whole<MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 1 to {MAX}")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Whole<MAX>, E> {
        match u32::try_from(number) {
            Ok(fits) if (1..=MAX).contains(&fits) => Ok(Whole(fits)),
            _ => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Whole<MAX>, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
        }
    }
}
