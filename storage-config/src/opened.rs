//! What a configuration file becomes.

use storage_api::{QueueName, Result};
use storage_queue::{QueueConfig, Storages};

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

    /// Closes every storage.
    pub async fn close(&self) -> Result<()> {
        self.storages.close().await
    }
}
