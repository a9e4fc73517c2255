//! The settings of a queue, as they stand in a configuration file and in its definition.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use storage_api::{DeadPolicy, Error, PartitionConfig, Requeue, Result};

use crate::backoff::Backoff;

/// The most partitions of one queue: a consumer looks at each of them when all are empty.
pub const PARTITIONS_MAX: u32 = 1024;

/// The settings of a queue. Everything has a default.
///
/// In a file the names are written with hyphens, durations as `30s`, bytes as numbers or as `512MiB`:
///
/// ```
/// use storage_queue::QueueConfig;
///
/// let config: QueueConfig = serde_json::from_str(
///     r#"{
///         "partitions": 4,
///         "partition": { "attempts-max": 5, "dedup-for": "1h", "bytes-max": "512MiB" },
///         "backoff": { "initial": "500ms", "max": "5m" }
///     }"#,
/// ).unwrap();
/// assert_eq!(config.partitions(), 4);
/// assert_eq!(config.partition().bytes_max(), 512 << 20);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct QueueConfig {
    #[serde(deserialize_with = "partitions")]
    partitions: u32,
    partition: PartitionSettings,
    backoff: Backoff,
}

/// What a file says of each partition. The mode is no setting of a queue: it is what an operator does to a partition.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct PartitionSettings {
    attempts_max: u32,
    requeue: Requeue,
    dead: DeadPolicy,
    #[serde(with = "crate::units::duration")]
    dedup_for: Duration,
    items_max: u64,
    #[serde(deserialize_with = "crate::units::bytes")]
    bytes_max: u64,
}

impl QueueConfig {
    /// That many partitions, 1 to 1024; anything else is `InvalidArgument`.
    ///
    /// ```
    /// use storage_queue::QueueConfig;
    ///
    /// let config = QueueConfig::default().with_partitions(8)?;
    /// assert!(QueueConfig::default().with_partitions(0).is_err());
    /// # Ok::<(), storage_api::Error>(())
    /// ```
    pub fn with_partitions(mut self, partitions: u32) -> Result<Self> {
        if !(1..=PARTITIONS_MAX).contains(&partitions) {
            let max = u64::from(PARTITIONS_MAX);
            return Err(Error::limit("partitions", 1, max, partitions.into(), ""));
        }
        self.partitions = partitions;
        Ok(self)
    }

    /// The settings of each partition. Its mode is not taken over.
    ///
    /// ```
    /// use storage_api::PartitionConfig;
    /// use storage_queue::QueueConfig;
    ///
    /// let partition = PartitionConfig::default().with_attempts_max(5);
    /// assert_eq!(QueueConfig::default().with_partition(&partition).partition(), partition);
    /// ```
    #[must_use]
    pub fn with_partition(mut self, partition: &PartitionConfig) -> Self {
        self.partition = PartitionSettings {
            attempts_max: partition.attempts_max(),
            requeue: partition.requeue(),
            dead: partition.dead(),
            dedup_for: partition.dedup_for(),
            items_max: partition.items_max(),
            bytes_max: partition.bytes_max(),
        };
        self
    }

    /// How long a worker lets a failed item rest.
    ///
    /// ```
    /// use std::time::Duration;
    /// use storage_queue::{Backoff, QueueConfig};
    ///
    /// let config = QueueConfig::default().with_backoff(Backoff::constant(Duration::from_secs(5)));
    /// ```
    #[must_use]
    pub fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// How many partitions, 1 where nothing is said.
    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// The configuration of each partition; limits are for each, not for all together.
    pub fn partition(&self) -> PartitionConfig {
        let settings = &self.partition;
        PartitionConfig::default()
            .with_attempts_max(settings.attempts_max)
            .with_requeue(settings.requeue)
            .with_dead(settings.dead)
            .with_dedup_for(settings.dedup_for)
            .with_items_max(settings.items_max)
            .with_bytes_max(settings.bytes_max)
    }

    /// How long a worker lets a failed item rest.
    pub fn backoff(&self) -> &Backoff {
        &self.backoff
    }
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            partitions: 1,
            partition: PartitionSettings::default(),
            backoff: Backoff::default(),
        }
    }
}

fn partitions<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let partitions = u32::deserialize(deserializer)?;
    let checked = QueueConfig::default().with_partitions(partitions);
    checked.map_err(serde::de::Error::custom)?;
    Ok(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<QueueConfig, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_said_is_the_default() {
        assert_eq!(parse("{}").unwrap(), QueueConfig::default());
        assert_eq!(QueueConfig::default().partitions(), 1);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let partition = PartitionConfig::default()
            .with_attempts_max(3)
            .with_requeue(Requeue::Original)
            .with_dead(DeadPolicy::Drop)
            .with_dedup_for(Duration::from_micros(1_500_001))
            .with_items_max(7)
            .with_bytes_max(8);
        let config = QueueConfig::default()
            .with_partitions(PARTITIONS_MAX)
            .unwrap()
            .with_partition(&partition)
            .with_backoff(Backoff::constant(Duration::from_millis(20)));

        let json = serde_json::to_string(&config).unwrap();

        assert_eq!(parse(&json).unwrap(), config);
        assert_eq!(config.partition(), partition);
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for (json, words) in [
            (r#"{"partitions": 0}"#, "1 to 1024"),
            (r#"{"partitions": 1025}"#, "1 to 1024"),
            (r#"{"partition": {"attempts_max": 1}}"#, "attempts-max"),
            (r#"{"partition": {"mode": "frozen"}}"#, "unknown field"),
            (r#"{"partition": {"dedup-for": "soon"}}"#, "30s"),
            (r#"{"partition": {"bytes-max": "9 horses"}}"#, "512MiB"),
            (r#"{"backoff": {"factor": 0.5}}"#, "factor"),
        ] {
            let error = parse(json).unwrap_err();
            assert!(error.contains(words), "{json}: {error}");
        }
    }
}
