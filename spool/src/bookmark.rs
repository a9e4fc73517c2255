//! Where a run stands in its input, kept in the metadata beside the items, so that a run that was killed goes on there.
//!
//! It stays when the run has finished, as nothing that is stored tells a run that ended from one that was killed while it
//! ended: a file that was finished is not read again unless somebody says so.
//!
//! A partition and its bookmark are in one backend: the transaction that produces lines moves the bookmark behind them.
//! Where the partitions of a queue are in several backends, each has a bookmark; batches are produced one after the other,
//! so that the one furthest ahead tells.

use std::os::unix::ffi::OsStrExt;

use serde::{Deserialize, Serialize};
use storage_api::{
    CommitOutcome, ItemBatch, Key, KeyRange, Partition, QueueName, Result, Storage, Value,
};

use crate::input::{InputFile, Mark};

/// The namespace of everything that spool keeps.
pub const NAMESPACE: &str = "spool";

/// What a bookmark says. A file of another size or time of modification is another file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    queue: QueueName,
    /// For people; characters that are not UTF-8 are replaced.
    input: String,
    size: u64,
    modified: i64,
    mark: Mark,
    /// Whether every line was read, and every item done.
    #[serde(default)]
    is_finished: bool,
}

/// The bookmark of one queue in one file.
#[derive(Debug)]
pub struct Bookmark {
    key: Key,
    at_start: Entry,
    /// One for each backend, with the value that stands there.
    shelves: Vec<(Storage, Option<Value>)>,
}

/// Why a bookmark cannot be moved.
#[derive(Debug)]
pub enum MoveError {
    /// Another run moved it.
    Taken,
    /// The storage refused.
    Storage(storage_api::Error),
}

impl From<storage_api::Error> for MoveError {
    fn from(error: storage_api::Error) -> Self {
        Self::Storage(error)
    }
}

impl Bookmark {
    /// Looks for the bookmark of a queue in a file, in every backend that the queue has partitions in.
    pub async fn find(
        queue: &QueueName,
        file: &InputFile,
        partitions: &[Partition],
    ) -> Result<Self> {
        let key = key_of(queue, file)?;
        let mut shelves: Vec<(Storage, Option<Value>)> = Vec::new();
        for storage in partitions.iter().map(Partition::storage) {
            if !shelves
                .iter()
                .any(|(known, _)| known.is_same_backend(storage))
            {
                let entry = storage.metadata(NAMESPACE)?.get(&key).await?;
                shelves.push((storage.clone(), entry.map(|entry| entry.value)));
            }
        }
        let at_start = Entry {
            queue: queue.clone(),
            input: file.path.display().to_string(),
            size: file.size,
            modified: file.modified,
            mark: Mark::default(),
            is_finished: false,
        };
        Ok(Self {
            key,
            at_start,
            shelves,
        })
    }

    /// Where the last run stood; the beginning where there was none, or the file has changed since.
    pub fn mark(&self) -> Mark {
        let entries = self.entries().filter(|entry| self.is_same_file(entry));
        let furthest = entries.max_by_key(|entry| entry.mark.offset);
        furthest.map_or(Mark::default(), |entry| entry.mark)
    }

    /// Whether a run has finished this very file.
    pub fn is_finished(&self) -> bool {
        self.entries()
            .any(|entry| entry.is_finished && self.is_same_file(&entry))
    }

    /// Whether a run stands in the file as it was before it changed.
    pub fn is_of_changed_file(&self) -> bool {
        let is_same_file = self.entries().any(|entry| self.is_same_file(&entry));
        !is_same_file && self.entries().any(|entry| !entry.is_finished)
    }

    /// Produces a batch and moves the bookmark behind it, at one instant.
    pub async fn produce(
        &mut self,
        partition: &Partition,
        batch: ItemBatch,
        mark: Mark,
    ) -> Result<(), MoveError> {
        let entry = Entry {
            mark,
            ..self.at_start.clone()
        };
        let moved = value_of(&entry)?;
        let shelf = self
            .shelves
            .iter_mut()
            .find(|(storage, _)| storage.is_same_backend(partition.storage()));
        let (storage, known) = shelf.expect("every partition of the queue was looked at");
        let mut txn = storage.begin();
        if txn.get(NAMESPACE, &self.key).await? != *known {
            return Err(MoveError::Taken);
        }
        txn.put(NAMESPACE, &self.key, &moved)?;
        txn.produce_batch(partition, batch)?;
        match txn.commit().await? {
            CommitOutcome::Committed(_) => {
                *known = Some(moved);
                Ok(())
            }
            CommitOutcome::Refused(_) => Err(MoveError::Taken),
        }
    }

    /// Says that the file is finished, in the one bookmark that tells where it stands.
    pub async fn finish(self) -> Result<()> {
        let entries = self.shelves.iter().filter_map(|(storage, value)| {
            let entry = self.parse(value.as_ref()?);
            self.is_same_file(&entry).then_some((storage, entry))
        });
        let furthest = entries.max_by_key(|(_, entry)| entry.mark.offset);
        // An empty file has none.
        if let Some((storage, entry)) = furthest.filter(|(_, entry)| !entry.is_finished) {
            let finished = value_of(&Entry {
                is_finished: true,
                ..entry
            })?;
            storage
                .metadata(NAMESPACE)?
                .put(&self.key, &finished)
                .await?;
        }
        Ok(())
    }

    /// Forgets it: the file is read from its beginning.
    pub async fn remove(&mut self) -> Result<()> {
        for (storage, known) in &mut self.shelves {
            if known.take().is_some() {
                storage.metadata(NAMESPACE)?.delete(&self.key).await?;
            }
        }
        Ok(())
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        let values = self.shelves.iter().filter_map(|(_, value)| value.as_ref());
        values.map(|value| self.parse(value))
    }

    /// What does not parse is of a later format, whose file this run cannot know: it counts as another file.
    fn parse(&self, value: &Value) -> Entry {
        serde_json::from_slice(value.as_bytes()).unwrap_or(Entry {
            size: u64::MAX,
            ..self.at_start.clone()
        })
    }

    fn is_same_file(&self, entry: &Entry) -> bool {
        let at_start = Entry {
            mark: self.at_start.mark,
            is_finished: self.at_start.is_finished,
            ..entry.clone()
        };
        at_start == self.at_start
    }
}

fn value_of(entry: &Entry) -> Result<Value> {
    Value::new(serde_json::to_vec(entry).expect("an entry is plain data"))
}

/// Forgets every bookmark of a queue.
pub async fn remove_all(queue: &QueueName, partitions: &[Partition]) -> Result<()> {
    let mut seen: Vec<&Storage> = Vec::new();
    for storage in partitions.iter().map(Partition::storage) {
        if seen.iter().any(|known| known.is_same_backend(storage)) {
            continue;
        }
        seen.push(storage);
        let metadata = storage.metadata(NAMESPACE)?;
        for entry in metadata.scan(KeyRange::prefix(prefix_of(queue))?).await? {
            metadata.delete(entry.key).await?;
        }
    }
    Ok(())
}

fn prefix_of(queue: &QueueName) -> String {
    format!("input/{:032x}/", digest(queue.as_str().as_bytes()))
}

/// Digests, since a path is longer than a key may be, and no character of either must end the other.
fn key_of(queue: &QueueName, file: &InputFile) -> Result<Key> {
    let path = digest(file.path.as_os_str().as_bytes());
    Key::try_from(format!("{}{path:032x}", prefix_of(queue)))
}

/// FNV-1a of 128 bits: short, the same on every machine and in every version.
pub fn digest(bytes: &[u8]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(BASIS, |digest, byte| {
        (digest ^ u128::from(*byte)).wrapping_mul(PRIME)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_the_published_one() {
        assert_eq!(digest(b""), 0x6c62272e07bb014262b821756295c58d);
        assert_eq!(digest(b"a"), 0xd228cb696f1a8caf78912b704e4a8964);
    }
}
