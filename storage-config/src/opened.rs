//! What a configuration file becomes.

use storage_api::{QueueName, Result};
use storage_queue::{QueueConfig, QueueInfo, Queues, Storages};

use crate::error::ConfigError;
use crate::queues::Declared;

/// Opened storages, and the queues that the file declares.
#[derive(Debug)]
pub struct Opened {
    file: String,
    storages: Storages,
    declared: Vec<Declared>,
}

impl Opened {
    pub(crate) fn new(file: &str, storages: Storages, declared: Vec<Declared>) -> Self {
        Self {
            file: file.to_owned(),
            storages,
            declared,
        }
    }

    /// The storages, ready for queues.
    pub fn storages(&self) -> Storages {
        self.storages.clone()
    }

    /// The queues that the file declares, in its order.
    pub fn declared_queues(&self) -> impl Iterator<Item = (&QueueName, &QueueConfig)> {
        self.declared
            .iter()
            .map(|declared| (&declared.name, &declared.config))
    }

    /// The queues in the storages, once those that the file declares are there as it says.
    ///
    /// A declared queue that is missing is made. One that is there with other settings gets those of the file; but another
    /// number of partitions is refused, since items would be lost, or keys would belong elsewhere, by a slip in a file. Queues
    /// that the file does not declare stay as they are.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let text = "
    /// queue-storage: { driver: memory }
    /// partition-storage: [{ name: memory-01, driver: memory }]
    /// queues: [{ name: emails, partitions: 4 }]
    /// ";
    /// let opened = storage_config::Registry::builtin().open_str(text, ".", "queue.yaml").await?;
    /// let emails = opened.queues().await?.open("emails").await?;
    /// assert_eq!(emails.partitions().len(), 4);
    /// # Ok(()) }
    /// ```
    pub async fn queues(&self) -> Result<Queues, ConfigError> {
        let queues = Queues::new(self.storages());
        let found = queues.list().await.map_err(|error| {
            ConfigError::new(&*self.file, None, error.to_string()).with_storage(error)
        })?;
        for declared in &self.declared {
            let found = found.iter().find(|info| info.name == declared.name);
            self.settle(&queues, declared, found).await?;
        }
        Ok(queues)
    }

    async fn settle(
        &self,
        queues: &Queues,
        declared: &Declared,
        found: Option<&QueueInfo>,
    ) -> Result<(), ConfigError> {
        let refused = |error: storage_api::Error| {
            ConfigError::new(&*self.file, Some(declared.at), error.to_string()).with_storage(error)
        };
        let Some(found) = found else {
            let made = queues.create(&declared.name, declared.config.clone()).await;
            return made.map(drop).map_err(refused);
        };
        let has = found.config.partitions();
        let config = match declared.partitions_at {
            Some(at) if declared.config.partitions() != has => {
                let message = format!(
                    "the queue «{}» has {has} partitions; write that number, or give another queue another name",
                    declared.name
                );
                return Err(ConfigError::new(&*self.file, Some(at), message));
            }
            Some(_) => declared.config.clone(),
            // Where the file says nothing the number stays.
            None => {
                let config = declared.config.clone().with_partitions(has);
                config.map_err(refused)?
            }
        };
        if config != found.config {
            queues
                .update(&declared.name, config)
                .await
                .map_err(refused)?;
        }
        Ok(())
    }

    /// Closes every storage.
    pub async fn close(&self) -> Result<()> {
        self.storages.close().await
    }
}
