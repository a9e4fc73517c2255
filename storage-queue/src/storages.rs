//! The storages that queues live in: one for the definitions, one or more for the partitions.

use storage_api::{Error, Result, Storage};

/// The longest name of a partition storage, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// A storage that partitions of queues are placed in.
///
/// ```
/// use storage_api::Storage;
/// use storage_memory::MemoryBackend;
/// use storage_queue::PartitionStorage;
///
/// let memory = PartitionStorage::new("memory-01", Storage::new(MemoryBackend::new()), 3)?;
/// assert_eq!(memory.affinity(), 3);
/// # Ok::<(), storage_api::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct PartitionStorage {
    name: String,
    storage: Storage,
    affinity: u32,
}

impl PartitionStorage {
    /// A storage under a name of 1 to 256 bytes.
    ///
    /// The name stands in the definitions of the queues that have partitions here, so it must stay. `affinity` is its share
    /// of the partitions of new queues; one of 0 takes none, and serves those that it has.
    pub fn new(name: impl Into<String>, storage: Storage, affinity: u32) -> Result<Self> {
        let name = name.into();
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) {
            return Err(Error::limit(
                "partition storage name",
                1,
                NAME_BYTES_MAX as u64,
                name.len() as u64,
                "bytes",
            ));
        }
        Ok(Self {
            name,
            storage,
            affinity,
        })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The storage.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The share of the partitions of new queues.
    pub fn affinity(&self) -> u32 {
        self.affinity
    }
}

/// Everything that queues need: a storage for their definitions, and storages for their partitions. Cheap to clone.
///
/// The clock of the queues is that of the metadata storage.
///
/// ```
/// use storage_api::Storage;
/// use storage_memory::MemoryBackend;
/// use storage_queue::{PartitionStorage, Storages};
///
/// let storage = Storage::new(MemoryBackend::new());
/// let partitions = vec![
///     PartitionStorage::new("large", storage.clone(), 3)?,
///     PartitionStorage::new("small", Storage::new(MemoryBackend::new()), 1)?,
/// ];
/// let storages = Storages::new(storage, partitions)?;
/// assert_eq!(storages.partitions().len(), 2);
/// # Ok::<(), storage_api::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Storages {
    metadata: Storage,
    partitions: std::sync::Arc<[PartitionStorage]>,
}

impl Storages {
    /// Definitions in `metadata`, partitions in `partitions`.
    ///
    /// No partition storage, two of one name, or affinities that are all 0 are `InvalidArgument`.
    pub fn new(metadata: Storage, partitions: Vec<PartitionStorage>) -> Result<Self> {
        if partitions.is_empty() {
            return Err(Error::invalid(
                "partition storages",
                "there is none; name at least one",
            ));
        }
        if partitions.iter().all(|storage| storage.affinity == 0) {
            return Err(Error::invalid(
                "partition storages",
                "every affinity is 0, so no partition could be placed; give one at least 1",
            ));
        }
        let mut names: Vec<&str> = partitions.iter().map(PartitionStorage::name).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let name = pair[0].escape_debug();
            return Err(Error::invalid(
                "partition storages",
                format!("two have the name {name}; give each a name of its own"),
            ));
        }
        Ok(Self {
            metadata,
            partitions: partitions.into(),
        })
    }

    /// Definitions and partitions in one storage, so that every transaction can span them. The storage's name is `main`.
    ///
    /// ```
    /// use storage_api::Storage;
    /// use storage_memory::MemoryBackend;
    ///
    /// let storages = storage_queue::Storages::single(Storage::new(MemoryBackend::new()));
    /// assert_eq!(storages.partitions()[0].name(), "main");
    /// ```
    pub fn single(storage: Storage) -> Self {
        let partition = PartitionStorage {
            name: "main".to_owned(),
            storage: storage.clone(),
            affinity: 1,
        };
        Self {
            metadata: storage,
            partitions: [partition].into(),
        }
    }

    /// Where the definitions are, and what queues tell the time by.
    pub fn metadata(&self) -> &Storage {
        &self.metadata
    }

    /// Where partitions are placed, in the order given.
    pub fn partitions(&self) -> &[PartitionStorage] {
        &self.partitions
    }

    /// The partition storage of that name.
    pub fn partition(&self, name: &str) -> Option<&PartitionStorage> {
        self.partitions.iter().find(|storage| storage.name == name)
    }

    /// Closes every storage, each once; the first error is the answer, after all were tried.
    pub async fn close(&self) -> Result<()> {
        let mut outcome = self.metadata.close().await;
        for partition in &*self.partitions {
            let closed = partition.storage.close().await;
            outcome = outcome.and(closed);
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use storage_memory::MemoryBackend;

    use super::*;

    fn storage() -> Storage {
        Storage::new(MemoryBackend::new())
    }

    fn named(name: &str, affinity: u32) -> PartitionStorage {
        PartitionStorage::new(name, storage(), affinity).unwrap()
    }

    #[test]
    fn storages_that_could_place_nothing_are_refused() {
        let refusal = |partitions| {
            Storages::new(storage(), partitions)
                .unwrap_err()
                .to_string()
        };

        assert!(refusal(vec![]).contains("there is none"));
        assert!(refusal(vec![named("a", 0), named("b", 0)]).contains("every affinity is 0"));
        assert!(refusal(vec![named("a", 1), named("b", 1), named("a", 2)]).contains("name a;"));
        assert!(Storages::new(storage(), vec![named("a", 0), named("b", 1)]).is_ok());
    }

    #[test]
    fn names_hold_at_their_limits() {
        for (len, fits) in [(0, false), (1, true), (256, true), (257, false)] {
            let named = PartitionStorage::new("n".repeat(len), storage(), 1);
            assert_eq!(named.is_ok(), fits, "{len}");
        }
    }
}
