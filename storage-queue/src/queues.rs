//! Making, opening, changing and deleting queues.

use storage_api::{
    Error, ErrorKind, Operation, Partition, PartitionConfig, QueueName, Result, Storage,
};

use crate::config::QueueConfig;
use crate::definition::{Definition, Definitions};
use crate::placement::place;
use crate::queue::Queue;
use crate::storages::{PartitionStorage, Storages};

/// What is known of a queue without opening it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct QueueInfo {
    /// The name.
    pub name: QueueName,
    /// The settings.
    pub config: QueueConfig,
    /// The name of the partition storage of each partition, by number.
    pub placement: Vec<String>,
}

/// The queues of some storages. Cheap to clone.
///
/// A queue is a definition in the metadata and its partitions. The definition is written first and removed last, so that
/// what a crash leaves half done is finished by whoever opens, makes or deletes the queue next.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
/// use storage_api::Storage;
/// use storage_memory::MemoryBackend;
/// use storage_queue::{QueueConfig, Queues, Storages};
///
/// let queues = Queues::new(Storages::single(Storage::new(MemoryBackend::new())));
/// let emails = queues.create("emails", QueueConfig::default().with_partitions(4)?).await?;
/// assert_eq!(emails.partitions().len(), 4);
/// assert_eq!(queues.list().await?[0].name.as_str(), "emails");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Queues {
    storages: Storages,
    definitions: Definitions,
}

impl Queues {
    /// The queues of those storages.
    pub fn new(storages: Storages) -> Self {
        let definitions = Definitions::of(storages.metadata());
        Self {
            storages,
            definitions,
        }
    }

    /// The storages.
    pub fn storages(&self) -> &Storages {
        &self.storages
    }

    /// Makes a queue and places its partitions by affinity.
    ///
    /// Where there is one of that name with the same settings this opens it, so that a call can be repeated whose answer was
    /// lost; with other settings it is `AlreadyExists`, and stays as it is.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// use storage_api::ErrorKind;
    ///
    /// queues.create("emails", QueueConfig::default()).await?;
    /// queues.create("emails", QueueConfig::default()).await?;
    /// let other = queues.create("emails", QueueConfig::default().with_partitions(2)?).await;
    /// assert_eq!(other.unwrap_err().kind(), ErrorKind::AlreadyExists);
    /// # Ok(()) }
    /// ```
    pub async fn create<N>(&self, name: N, config: QueueConfig) -> Result<Queue>
    where
        N: TryInto<QueueName>,
        Error: From<N::Error>,
    {
        self.create_named(&name.try_into()?, &config).await
    }

    async fn create_named(&self, name: &QueueName, config: &QueueConfig) -> Result<Queue> {
        loop {
            let new = self.placed(Definition::new(config.clone(), Vec::new()));
            if !self.definitions.create(name, &new).await? {
                match self.definitions.get(name).await? {
                    Some((found, _)) if !found.is_deleting && found.config != *config => {
                        return Err(Error::new(
                            ErrorKind::AlreadyExists,
                            Operation::CreatePartition,
                            name,
                            "there is one with other settings; open or update it, or choose another name",
                        ));
                    }
                    Some((found, version)) if found.is_deleting => {
                        self.finish_deletion(name, &found, version).await?;
                        continue;
                    }
                    Some(_) => {}
                    None => continue,
                }
            }
            return self.open_named(name).await;
        }
    }

    /// Opens a queue; `NotFound` where there is none.
    ///
    /// Finishes what an interrupted creation, change or deletion has left.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// assert!(queues.open("emails").await.is_err());
    /// queues.create("emails", QueueConfig::default()).await?;
    /// assert!(queues.open("emails").await.is_ok());
    /// # Ok(()) }
    /// ```
    pub async fn open<N>(&self, name: N) -> Result<Queue>
    where
        N: TryInto<QueueName>,
        Error: From<N::Error>,
    {
        self.open_named(&name.try_into()?).await
    }

    async fn open_named(&self, name: &QueueName) -> Result<Queue> {
        loop {
            let (definition, version) = self.find(name, Operation::Open).await?;
            let mut partitions = Vec::with_capacity(definition.placement.len());
            for (partition, storage) in self
                .partitions(name, &definition)?
                .into_iter()
                .zip(&definition.placement)
            {
                finish_partition(&partition, definition.config.partition()).await?;
                partitions.push((partition, storage.clone()));
            }
            // The partitions fit the definition only if that is still the one.
            let now = self.definitions.get(name).await?;
            if now.is_some_and(|(_, now)| now == version) {
                let metadata = self.storages.metadata().clone();
                return Ok(Queue::new(
                    name.clone(),
                    definition.config,
                    metadata,
                    partitions,
                ));
            }
        }
    }

    /// Opens a queue whatever its settings, or makes it with those given.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// queues.create("emails", QueueConfig::default().with_partitions(2)?).await?;
    /// let emails = queues.open_or_create("emails", QueueConfig::default()).await?;
    /// assert_eq!(emails.partitions().len(), 2);
    /// # Ok(()) }
    /// ```
    pub async fn open_or_create<N>(&self, name: N, config: QueueConfig) -> Result<Queue>
    where
        N: TryInto<QueueName>,
        Error: From<N::Error>,
    {
        self.open_or_create_named(&name.try_into()?, &config).await
    }

    async fn open_or_create_named(&self, name: &QueueName, config: &QueueConfig) -> Result<Queue> {
        loop {
            match self.open_named(name).await {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                opened => return opened,
            }
            match self.create_named(name, config).await {
                // Somebody else was faster.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                created => return created,
            }
        }
    }

    /// Replaces the settings of a queue and gives the queue as it then is.
    ///
    /// Partitions can be added, and are placed as those of a new queue; fewer are `InvalidArgument`, since their items would be
    /// lost. Handles opened before know neither the new partitions nor the new backoff. Keys given to
    /// [`Queue::produce_by_key`] may belong to a new partition from then on.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// queues.create("emails", QueueConfig::default()).await?;
    /// let emails = queues.update("emails", QueueConfig::default().with_partitions(2)?).await?;
    /// assert_eq!(emails.partitions().len(), 2);
    /// assert!(queues.update("emails", QueueConfig::default()).await.is_err());
    /// # Ok(()) }
    /// ```
    pub async fn update<N>(&self, name: N, config: QueueConfig) -> Result<Queue>
    where
        N: TryInto<QueueName>,
        Error: From<N::Error>,
    {
        self.update_named(&name.try_into()?, &config).await
    }

    async fn update_named(&self, name: &QueueName, config: &QueueConfig) -> Result<Queue> {
        loop {
            let (mut definition, version) = self.find(name, Operation::UpdatePartition).await?;
            let has = definition.config.partitions();
            if config.partitions() < has {
                return Err(Error::new(
                    ErrorKind::InvalidArgument,
                    Operation::UpdatePartition,
                    name,
                    format!(
                        "it has {has} partitions and would have {}, and the items of the others would be lost; \
                         make another queue",
                        config.partitions()
                    ),
                ));
            }
            definition.config = config.clone();
            let definition = self.placed(definition);
            let replaced = self.definitions.replace(name, &definition, version);
            if replaced.await?.is_some() {
                return self.open_named(name).await;
            }
        }
    }

    /// Every queue, by name in byte order.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// assert!(queues.list().await?.is_empty());
    /// # Ok(()) }
    /// ```
    pub async fn list(&self) -> Result<Vec<QueueInfo>> {
        let definitions = self.definitions.list().await?;
        let alive = definitions
            .into_iter()
            .filter(|(_, definition)| !definition.is_deleting);
        let infos = alive.map(|(name, definition)| QueueInfo {
            name,
            config: definition.config,
            placement: definition.placement,
        });
        Ok(infos.collect())
    }

    /// Deletes a queue with all its items; `NotFound` where there is none.
    ///
    /// From the moment it begins the queue cannot be opened; a deletion that was interrupted is finished by the next call for
    /// that name.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// queues.create("emails", QueueConfig::default()).await?;
    /// queues.delete("emails").await?;
    /// assert!(queues.list().await?.is_empty());
    /// # Ok(()) }
    /// ```
    pub async fn delete<N>(&self, name: N) -> Result<()>
    where
        N: TryInto<QueueName>,
        Error: From<N::Error>,
    {
        self.delete_named(&name.try_into()?).await
    }

    async fn delete_named(&self, name: &QueueName) -> Result<()> {
        loop {
            let (mut definition, version) = self.find(name, Operation::DeletePartition).await?;
            // What could not be deleted to its end is not begun.
            self.partitions(name, &definition)?;
            definition.is_deleting = true;
            let replaced = self.definitions.replace(name, &definition, version).await?;
            if let Some(version) = replaced {
                return self.finish_deletion(name, &definition, version).await;
            }
        }
    }

    /// The definition of a queue; `NotFound` where there is none, or where its deletion has begun, which is finished first.
    async fn find(
        &self,
        name: &QueueName,
        operation: Operation,
    ) -> Result<(Definition, storage_api::Version)> {
        match self.definitions.get(name).await? {
            Some((definition, version)) if !definition.is_deleting => {
                return Ok((definition, version));
            }
            Some((definition, version)) => {
                self.finish_deletion(name, &definition, version).await?;
            }
            None => {}
        }
        Err(Error::new(
            ErrorKind::NotFound,
            operation,
            name,
            "there is no such queue; create it first",
        ))
    }

    async fn finish_deletion(
        &self,
        name: &QueueName,
        definition: &Definition,
        version: storage_api::Version,
    ) -> Result<()> {
        for partition in self.partitions(name, definition)? {
            match partition.storage().delete_partition(partition.id()).await {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                deleted => deleted?,
            }
        }
        self.definitions.remove(name, version).await
    }

    /// The definition with a place for every partition that has none.
    fn placed(&self, mut definition: Definition) -> Definition {
        let storages = self.storages.partitions();
        let affinities: Vec<u32> = storages.iter().map(PartitionStorage::affinity).collect();
        let counts: Vec<u32> = storages
            .iter()
            .map(|storage| {
                let here = definition
                    .placement
                    .iter()
                    .filter(|name| *name == storage.name());
                u32::try_from(here.count()).expect("a queue has few partitions")
            })
            .collect();
        let missing = definition.config.partitions() as usize - definition.placement.len();
        let elsewhere = definition.placement.len() - counts.iter().sum::<u32>() as usize;
        let total = definition.config.partitions() - u32::try_from(elsewhere).unwrap_or(0);
        let new = place(&affinities, &counts, total);
        let names = new
            .into_iter()
            .map(|storage| storages[storage].name().to_owned());
        definition.placement.extend(names.take(missing));
        definition
    }

    /// A handle of each partition, by number, by the clock of the metadata storage.
    fn partitions(&self, name: &QueueName, definition: &Definition) -> Result<Vec<Partition>> {
        (0..)
            .zip(&definition.placement)
            .map(|(number, placed_in)| {
                let Some(place) = self.storages.partition(placed_in) else {
                    return Err(self.missing_storage(name, placed_in));
                };
                let clock = self.storages.metadata().clock().clone();
                let storage = Storage::from_backend(place.storage().backend().clone())
                    .with_shared_clock(clock);
                storage.partition((name.clone(), number))
            })
            .collect()
    }

    fn missing_storage(&self, name: &QueueName, missing: &str) -> Error {
        let known: Vec<String> = self
            .storages
            .partitions()
            .iter()
            .map(|storage| storage.name().escape_debug().to_string())
            .collect();
        Error::new(
            ErrorKind::InvalidArgument,
            Operation::Open,
            name,
            format!(
                "it has partitions in the partition storage {}, which is not among {}; add it again under that name",
                missing.escape_debug(),
                known.join(", "),
            ),
        )
    }
}

/// Makes a partition that is missing, and gives one that is there the settings of the queue. Its mode stays.
async fn finish_partition(partition: &Partition, config: PartitionConfig) -> Result<()> {
    loop {
        match partition.info().await {
            Ok(info) if info.config == config.clone().with_mode(info.config.mode()) => {
                return Ok(());
            }
            Ok(_) => {
                let settings = |found: PartitionConfig| config.clone().with_mode(found.mode());
                partition.update(settings).await?;
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let storage = partition.storage();
        match storage
            .create_partition(partition.id(), config.clone())
            .await
        {
            // Somebody else was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            created => return created.map(drop),
        }
    }
}
