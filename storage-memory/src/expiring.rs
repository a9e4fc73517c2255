//! Ready items that expire.

use storage_api::{ItemId, Timestamp};

use crate::partition::DueOrder;
use crate::slot::Slot;

/// Ready items that expire, the next first, and what they come to: what a policy has to drop that drops nothing else.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(PartialEq))]
pub(crate) struct Expiring {
    order: DueOrder,
    items: u64,
    payload_bytes: u64,
}

impl Expiring {
    pub(crate) fn insert(&mut self, expire_at: Timestamp, id: ItemId, slot: &Slot) {
        if self.order.insert((expire_at, id), ()).is_none() {
            self.items += 1;
            self.payload_bytes += slot.payload_len() as u64;
        }
    }

    pub(crate) fn remove(&mut self, expire_at: Timestamp, id: ItemId, slot: &Slot) {
        if self.order.remove(&(expire_at, id)).is_some() {
            self.items -= 1;
            self.payload_bytes -= slot.payload_len() as u64;
        }
    }

    pub(crate) fn first(&self) -> Option<(Timestamp, ItemId)> {
        self.keys().next()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = (Timestamp, ItemId)> {
        self.order.keys().copied()
    }

    pub(crate) fn items(&self) -> u64 {
        self.items
    }

    pub(crate) fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// The bytes that the order takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.order.bytes()
    }

    /// How many bytes more that many items can take at most.
    pub(crate) fn growth_max(&self, items: u64) -> u64 {
        self.order.growth_max(items)
    }
}
