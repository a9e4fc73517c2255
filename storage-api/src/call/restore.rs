//! Restoring whole items (clauses MOVE-1 and MOVE-2).

use std::ops::Deref;

use crate::error::{Error, Result};
use crate::item::{ItemEntry, ItemState};
use crate::limits::{BATCH_BYTES_MAX, BATCH_ITEMS_MAX, RESTORED_NUMBER_MAX};
use crate::names::check_len;
use crate::numbers::{ItemId, LeaseId, Position, Version};

/// Numbers that everything given out later must exceed. Each is at most 2^62, so that as many are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Floors {
    id: Option<ItemId>,
    position: Option<Position>,
    lease: Option<LeaseId>,
    version: Option<Version>,
}

impl Floors {
    /// No floors.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(Floors::none().id(), None);
    /// ```
    pub fn none() -> Self {
        Self::default()
    }

    /// Later ids of the partition are larger than that; above 2^62 it is `InvalidArgument`.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(Floors::none().with_id(ItemId::new(1 << 62)?).is_ok());
    /// assert!(Floors::none().with_id(ItemId::new((1 << 62) + 1)?).is_err());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn with_id(mut self, id: ItemId) -> Result<Self> {
        check_restored("floor of ids", id.get())?;
        self.id = Some(id);
        Ok(self)
    }

    /// Later positions of the partition are larger than that; above 2^62 it is `InvalidArgument`.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(Floors::none().with_position(Position::MIN).is_ok());
    /// ```
    pub fn with_position(mut self, position: Position) -> Result<Self> {
        check_restored("floor of positions", position.get())?;
        self.position = Some(position);
        Ok(self)
    }

    /// Later leases of the backend are larger than that; above 2^62 it is `InvalidArgument`.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(Floors::none().with_lease(LeaseId::MIN).is_ok());
    /// ```
    pub fn with_lease(mut self, lease: LeaseId) -> Result<Self> {
        check_restored("floor of leases", lease.get())?;
        self.lease = Some(lease);
        Ok(self)
    }

    /// Later versions of the backend are larger than that; above 2^62 it is `InvalidArgument`.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(Floors::none().with_version(Version::MIN).is_ok());
    /// ```
    pub fn with_version(mut self, version: Version) -> Result<Self> {
        check_restored("floor of versions", version.get())?;
        self.version = Some(version);
        Ok(self)
    }

    /// The floor of ids.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(Floors::none().with_id(ItemId::MIN)?.id(), Some(ItemId::MIN));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn id(&self) -> Option<ItemId> {
        self.id
    }

    /// The floor of positions.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(Floors::none().with_position(Position::MIN)?.position(), Some(Position::MIN));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// The floor of leases.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(Floors::none().with_lease(LeaseId::MIN)?.lease(), Some(LeaseId::MIN));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn lease(&self) -> Option<LeaseId> {
        self.lease
    }

    /// The floor of versions.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(Floors::none().with_version(Version::MIN)?.version(), Some(Version::MIN));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn version(&self) -> Option<Version> {
        self.version
    }
}

/// Whole items to restore: at most 10 000 and 32 MiB of payloads, every one with its payload and with numbers up to 2^62.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RestoreBatch(Vec<ItemEntry>);

impl RestoreBatch {
    /// The items, if they are within the limits; otherwise `InvalidArgument`.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.shared_record(0);
    /// # let state = ItemState::Ready { position: Position::MIN };
    /// let entry = ItemEntry::new(ItemId::MIN, record.clone(), state);
    /// assert!(RestoreBatch::new(vec![entry]).is_ok());
    /// let bare = ItemEntry::new(ItemId::MIN, record.without_payload(), state);
    /// assert!(RestoreBatch::new(vec![bare]).is_err());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn new(entries: Vec<ItemEntry>) -> Result<Self> {
        let max = BATCH_ITEMS_MAX as u64;
        if entries.len() > BATCH_ITEMS_MAX {
            let len = entries.len() as u64;
            return Err(Error::limit("restored batch", 0, max, len, "items"));
        }
        let mut payload_bytes = 0;
        for entry in &entries {
            let view = entry.record.view();
            if view.payload().is_none() {
                return Err(Error::invalid(
                    "restored item",
                    format!("item {} has no payload; list with payloads", entry.id),
                ));
            }
            payload_bytes += view.payload_len();
            check_restored("restored id", entry.id.get())?;
            if let Some(position) = entry.state.position() {
                check_restored("restored position", position.get())?;
            }
            if let ItemState::Leased { lease, .. } = entry.state {
                check_restored("restored lease", lease.get())?;
            }
        }
        check_len("restored batch", 0, BATCH_BYTES_MAX, payload_bytes)?;
        Ok(Self(entries))
    }

    /// The items.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(RestoreBatch::new(Vec::new())?.into_vec().is_empty());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn into_vec(self) -> Vec<ItemEntry> {
        self.0
    }
}

impl Deref for RestoreBatch {
    type Target = [ItemEntry];

    fn deref(&self) -> &[ItemEntry] {
        &self.0
    }
}

fn check_restored(field: &'static str, number: u64) -> Result<()> {
    if number <= RESTORED_NUMBER_MAX {
        return Ok(());
    }
    Err(Error::limit(field, 1, RESTORED_NUMBER_MAX, number, ""))
}
