//! Where a run stands in its input, kept in the metadata beside the items, so that a run that was killed goes on there.
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

    /// Whether there is a bookmark, but of the file as it was before it changed.
    pub fn is_of_changed_file(&self) -> bool {
        let mut entries = self.entries().peekable();
        entries.peek().is_some() && entries.all(|entry| !self.is_same_file(&entry))
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
        let moved = Value::new(serde_json::to_vec(&entry).expect("an entry is plain data"))?;
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

    /// Forgets it: the file is finished.
    pub async fn remove(self) -> Result<()> {
        for (storage, known) in &self.shelves {
            if known.is_some() {
                storage.metadata(NAMESPACE)?.delete(&self.key).await?;
            }
        }
        Ok(())
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        let values = self.shelves.iter().filter_map(|(_, value)| value.as_ref());
        // What does not parse is of a later format, whose file this run cannot know: it counts as another file.
        values.map(|value| {
            serde_json::from_slice(value.as_bytes()).unwrap_or(Entry {
                size: u64::MAX,
                ..self.at_start.clone()
            })
        })
    }

    fn is_same_file(&self, entry: &Entry) -> bool {
        let mark = self.at_start.mark;
        let at_start = Entry {
            mark,
            ..entry.clone()
        };
        at_start == self.at_start
    }
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
