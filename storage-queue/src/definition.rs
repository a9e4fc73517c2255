//! Queue definitions: what is stored of a queue beside its partitions.

use serde::{Deserialize, Serialize};
use storage_api::{
    Error, ErrorKind, Key, Metadata, MetadataEntry, Object, Operation, QueueName, Result, Storage,
    Value, Version,
};

use crate::config::QueueConfig;

/// The namespace of the definitions; the key is the name of the queue.
const NAMESPACE: &str = "storage.queues";
/// The format that is written; older ones are read, newer ones refused.
const FORMAT: u64 = 1;

/// What is stored of a queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Definition {
    format: u64,
    /// Whether its deletion has begun: then it is no queue any more, and its partitions are on their way out.
    pub(crate) is_deleting: bool,
    pub(crate) config: QueueConfig,
    /// The name of the storage of each partition, by number.
    pub(crate) placement: Vec<String>,
}

impl Definition {
    pub(crate) fn new(config: QueueConfig, placement: Vec<String>) -> Self {
        Self {
            format: FORMAT,
            is_deleting: false,
            config,
            placement,
        }
    }
}

/// The definitions in the metadata of a storage.
#[derive(Debug, Clone)]
pub(crate) struct Definitions(Metadata);

impl Definitions {
    pub(crate) fn of(storage: &Storage) -> Self {
        let metadata = storage.metadata(NAMESPACE);
        Self(metadata.expect("the namespace is within its limits"))
    }

    pub(crate) async fn get(&self, name: &QueueName) -> Result<Option<(Definition, Version)>> {
        let entry = self.0.get(key(name)).await?;
        entry.map(|entry| decode(name, &entry)).transpose()
    }

    pub(crate) async fn list(&self) -> Result<Vec<(QueueName, Definition)>> {
        let entries = self.0.scan(storage_api::KeyRange::all()).await?;
        entries
            .iter()
            .map(|entry| {
                let name = std::str::from_utf8(entry.key.as_bytes()).ok();
                let name = name.and_then(|name| QueueName::new(name).ok());
                let name = name.ok_or_else(|| {
                    let object = Object::Key(self.0.namespace().clone(), entry.key.clone());
                    Error::new(
                        ErrorKind::Corrupted,
                        Operation::Scan,
                        object,
                        "it is no name of a queue; restore it from a copy",
                    )
                })?;
                let (definition, _) = decode(&name, entry)?;
                Ok((name, definition))
            })
            .collect()
    }

    /// Writes the definition of a queue that has none; `false` where there is one.
    pub(crate) async fn create(&self, name: &QueueName, definition: &Definition) -> Result<bool> {
        let written = self.0.put_if_absent(key(name), encode(definition)?).await?;
        Ok(matches!(written, storage_api::WriteOutcome::Written(_)))
    }

    /// Replaces the definition of that version; `None` where it has changed meanwhile.
    pub(crate) async fn replace(
        &self,
        name: &QueueName,
        definition: &Definition,
        version: Version,
    ) -> Result<Option<Version>> {
        let value = encode(definition)?;
        match self.0.put_if_version(key(name), value, version).await? {
            storage_api::WriteOutcome::Written(version) => Ok(Some(version)),
            storage_api::WriteOutcome::Conflict(_) => Ok(None),
        }
    }

    /// Removes the definition of that version, unless it has changed meanwhile.
    pub(crate) async fn remove(&self, name: &QueueName, version: Version) -> Result<()> {
        self.0.delete_if_version(key(name), version).await?;
        Ok(())
    }
}

fn key(name: &QueueName) -> Key {
    Key::try_from(name.as_str()).expect("a queue name is shorter than a key may be")
}

fn encode(definition: &Definition) -> Result<Value> {
    let json = serde_json::to_vec(definition).expect("a definition holds nothing that JSON cannot");
    Value::try_from(json)
}

fn decode(name: &QueueName, entry: &MetadataEntry) -> Result<(Definition, Version)> {
    #[derive(Deserialize)]
    struct Head {
        format: u64,
    }
    let refused = |kind, reason| Error::new(kind, Operation::Open, name, reason);
    let damaged = |source: serde_json::Error| {
        let reason = "its definition cannot be read; restore it from a copy";
        refused(ErrorKind::Corrupted, reason.to_owned()).with_source(source)
    };
    let bytes = entry.value.as_bytes();
    let Head { format } = serde_json::from_slice(bytes).map_err(damaged)?;
    if format > FORMAT {
        return Err(refused(
            ErrorKind::Unsupported,
            format!(
                "its definition has format {format}, the newest known here is {FORMAT}; use a newer version"
            ),
        ));
    }
    let definition = serde_json::from_slice(bytes).map_err(damaged)?;
    Ok((definition, entry.version))
}
