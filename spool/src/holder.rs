//! Who holds the leases of a run, remembered so that the next run gives a killed one's leases back at once.

use std::hash::{BuildHasher, RandomState};

use storage_api::{Capability, Holder, Key, Partition, QueueName, Result, Storage};

use crate::bookmark::{NAMESPACE, digest};

/// The holder of this run of a queue, written down in the metadata until the run ends.
#[derive(Debug)]
pub struct Signature {
    /// Who holds the leases.
    pub holder: Holder,
    metadata: Storage,
    key: Key,
}

impl Signature {
    /// Gives the leases of a run that did not end well back, then signs as a new holder.
    ///
    /// Also returns how many leases came back. Where others have the storage open too, a holder that is written down may
    /// live: then nothing is given back before its deadline.
    pub async fn sign(
        queue: &QueueName,
        metadata: &Storage,
        partitions: &[Partition],
    ) -> Result<(Self, u64)> {
        let key = Key::try_from(format!("holder/{:032x}", digest(queue.as_str().as_bytes())))?;
        let entries = metadata.metadata(NAMESPACE)?;
        let mut released = 0;
        if let Some(dead) = entries
            .get(&key)
            .await?
            .and_then(|entry| parse(entry.value.as_bytes()))
        {
            for partition in partitions {
                let descriptor = partition.storage().descriptor();
                if !descriptor.capabilities.has(Capability::Shared) {
                    released += partition.release_holder(dead).await?;
                }
            }
        }
        let holder = new_holder();
        entries.put(&key, holder.to_string()).await?;
        let metadata = metadata.clone();
        let signature = Self {
            holder,
            metadata,
            key,
        };
        Ok((signature, released))
    }

    /// Takes the signature away: nothing is held any more.
    pub async fn remove(self) -> Result<()> {
        self.metadata.metadata(NAMESPACE)?.delete(&self.key).await
    }
}

fn parse(value: &[u8]) -> Option<Holder> {
    let number = std::str::from_utf8(value).ok()?.parse().ok()?;
    Holder::new(number).ok()
}

/// A number that no other start has: the keys of the standard hasher come from the system's randomness.
fn new_holder() -> Holder {
    let number = RandomState::new().hash_one(std::process::id());
    Holder::new(number.max(1)).expect("it is not zero")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_start_is_another_holder() {
        assert_ne!(new_holder(), new_holder());
    }

    #[test]
    fn what_is_no_holder_is_nobody() {
        assert_eq!(parse(b"42"), Holder::new(42).ok());
        for wrong in [&b""[..], b"0", b"-1", b"\xff"] {
            assert_eq!(parse(wrong), None);
        }
    }
}
