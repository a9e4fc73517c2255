//! What many stories begin with: items that are at work or dead already.

use std::future::Future;
use std::panic::Location;

use storage_api::{ItemEntry, ItemId, NewItem, RetryTo, Timestamp};

use crate::env::at;
use crate::part::{Part, receipt};

/// One item of each state.
pub(super) struct EveryState {
    pub(super) ready: ItemId,
    pub(super) scheduled: ItemId,
    pub(super) leased: ItemEntry,
    pub(super) dead: ItemId,
}

impl Part {
    /// Produces an item and leases it, where no other is ready.
    #[track_caller]
    pub(super) fn produce_leased<'a>(
        &self,
        now: Timestamp,
        deadline: Timestamp,
        item: impl Into<NewItem<'a>>,
    ) -> impl Future<Output = ItemEntry> + Send {
        let at = Location::caller();
        let produced = self.produce_one(now, item.into());
        let leased = self.lease_one(now, deadline);
        async move {
            let (produced, leased) = (produced.await, leased.await);
            assert_eq!(leased.id, produced, "{at}: another item was ready");
            leased
        }
    }

    /// Produces an item and retries it as dead, where no other is ready.
    #[track_caller]
    pub(super) fn produce_dead<'a>(
        &self,
        now: Timestamp,
        item: impl Into<NewItem<'a>>,
    ) -> impl Future<Output = ItemId> + Send {
        let part = self.clone();
        let leased = self.produce_leased(now, Timestamp::MAX, item.into());
        async move {
            let leased = leased.await;
            part.retry(now, receipt(&leased), RetryTo::Dead).await;
            leased.id
        }
    }

    /// Produces one item of each state at 0, where there is none: the leased one until 100, the scheduled one for 1000.
    ///
    /// Payload and dedup key of each are the name of its state.
    pub(super) async fn produce_one_of_each_state(&self) -> EveryState {
        let new = |state| NewItem::new(state).dedup_key(state);
        let scheduled = new("scheduled").enqueue_at(at(1000));
        EveryState {
            dead: self.produce_dead(at(0), new("dead")).await,
            leased: self.produce_leased(at(0), at(100), new("leased")).await,
            scheduled: self.produce_one(at(0), scheduled).await,
            ready: self.produce_one(at(0), new("ready")).await,
        }
    }
}
