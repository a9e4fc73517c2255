//! Queues that a file declares.

use std::collections::HashMap;
use std::time::Duration;

use storage_api::{PartitionConfig, QueueName};
use storage_queue::{ByteSize, QueueConfig, TimeSpan};

use crate::document::QueueEntry;
use crate::error::{ConfigError, Position};
use crate::node::Node;

/// A queue that a file declares, and where.
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    pub(crate) name: QueueName,
    pub(crate) config: QueueConfig,
    pub(crate) at: Position,
    /// Where the number of partitions is said, if it is.
    pub(crate) partitions_at: Option<Position>,
}

pub(crate) fn declared(
    entries: &[QueueEntry],
    nodes: &[Node],
    file: &str,
) -> Result<Vec<Declared>, ConfigError> {
    let mut lines: HashMap<&QueueName, u64> = HashMap::new();
    let mut queues = Vec::with_capacity(entries.len());
    for (entry, node) in entries.iter().zip(nodes) {
        let at = node.get("name").unwrap_or(node).at;
        if let Some(first) = lines.insert(&entry.name, at.line) {
            let message = format!(
                "the queue «{}» is declared in line {first} already; remove one",
                entry.name
            );
            return Err(ConfigError::new(file, Some(at), message));
        }
        let config = config_of(entry)
            .map_err(|error| ConfigError::new(file, Some(at), error.reason().to_owned()))?;
        queues.push(Declared {
            name: entry.name.clone(),
            config,
            at,
            partitions_at: node.get("partitions").map(|node| node.at),
        });
    }
    Ok(queues)
}

fn config_of(entry: &QueueEntry) -> storage_api::Result<QueueConfig> {
    let partition = PartitionConfig::default()
        .with_attempts_max(entry.attempts_max.unwrap_or_default())
        .with_dead(entry.dead.unwrap_or_default())
        .with_requeue(entry.requeue.unwrap_or_default())
        .with_dedup_for(entry.dedup_for.map_or(Duration::ZERO, TimeSpan::duration))
        .with_items_max(entry.items_max.unwrap_or_default())
        .with_bytes_max(entry.bytes_max.map_or(0, ByteSize::bytes));
    let mut config = QueueConfig::default().with_partition(&partition);
    if let Some(partitions) = entry.partitions {
        config = config.with_partitions(partitions.get())?;
    }
    if let Some(backoff) = &entry.backoff {
        config = config.with_backoff(backoff.clone());
    }
    Ok(config)
}
