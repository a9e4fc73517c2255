//! The builder that the stories are told with: one partition, times in seconds.

use std::time::Duration;

use storage_api::{
    CompleteOutcome, Count, ItemBatch, ItemEntry, ItemId, ItemIds, LeaseRequest, LeasedBatch,
    ListRequest, Maintained, NewItem, PartitionConfig, PartitionId, ProduceOutcome, Receipt,
    Receipts, Result, Retries, Retry, RetryOutcome, RetryTo, SealedBatch, State, States, Timestamp,
};
use storage_model::Model;

pub(crate) struct Story {
    pub(crate) model: Model,
    pub(crate) home: PartitionId,
}

pub(crate) fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) fn id(number: u64) -> ItemId {
    ItemId::new(number).unwrap()
}

pub(crate) fn ids(numbers: &[u64]) -> ItemIds {
    ItemIds::new(numbers.iter().map(|number| id(*number)).collect()).unwrap()
}

pub(crate) fn count(count: usize) -> Count {
    Count::new(count).unwrap()
}

pub(crate) fn sealed<'a>(now: i64, items: impl IntoIterator<Item = NewItem<'a>>) -> SealedBatch {
    let mut batch = ItemBatch::new();
    for item in items {
        batch.push(item).unwrap();
    }
    batch.seal(at(now))
}

impl Story {
    pub(crate) fn new(config: PartitionConfig) -> Self {
        let home = PartitionId::new("home", 0).unwrap();
        let mut model = Model::new();
        model.create_partition(&home, config).unwrap();
        Self { model, home }
    }

    pub(crate) fn plain() -> Self {
        Self::new(PartitionConfig::default())
    }

    pub(crate) fn configure(&mut self, config: PartitionConfig) {
        self.model
            .update_partition(&self.home, None, config)
            .unwrap();
    }

    pub(crate) fn try_produce<'a>(
        &mut self,
        now: i64,
        items: impl IntoIterator<Item = NewItem<'a>>,
    ) -> Result<Vec<ProduceOutcome>> {
        let produced = self.model.produce(&self.home, sealed(now, items))?;
        Ok(produced.outcomes().collect())
    }

    pub(crate) fn produce<'a>(
        &mut self,
        now: i64,
        items: impl IntoIterator<Item = NewItem<'a>>,
    ) -> Vec<ProduceOutcome> {
        self.try_produce(now, items).unwrap()
    }

    pub(crate) fn lease_with(&mut self, request: LeaseRequest) -> LeasedBatch {
        self.model.lease(&self.home, request).unwrap()
    }

    /// Leases up to `items` until `deadline`; ids in lease order with the receipts.
    pub(crate) fn lease(&mut self, now: i64, deadline: i64, items: usize) -> Vec<Receipt> {
        let request = LeaseRequest::new(at(now), at(deadline), count(items));
        self.lease_with(request).receipts().into_vec()
    }

    pub(crate) fn complete(&mut self, receipt: Receipt) -> CompleteOutcome {
        let receipts = Receipts::one(receipt);
        self.model.complete(&self.home, receipts).unwrap()[0]
    }

    pub(crate) fn retry(&mut self, now: i64, receipt: Receipt, to: RetryTo) -> RetryOutcome {
        self.retry_with(now, Retry::new(receipt, to))
    }

    pub(crate) fn retry_with(&mut self, now: i64, retry: Retry) -> RetryOutcome {
        let retries = Retries::one(retry);
        self.model.retry(&self.home, at(now), retries).unwrap()[0]
    }

    pub(crate) fn maintain(&mut self, now: i64) -> Maintained {
        self.model
            .maintain(&self.home, at(now), Count::MAX)
            .unwrap()
    }

    pub(crate) fn item(&self, number: u64) -> Option<ItemEntry> {
        let found = self.model.get_items(&self.home, ids(&[number]), true);
        found.unwrap().remove(0)
    }

    pub(crate) fn state(&self, number: u64) -> Option<State> {
        self.item(number).map(|item| item.state())
    }

    /// Ids in lease order.
    pub(crate) fn ready(&self) -> Vec<u64> {
        self.listed(ListRequest::ready())
    }

    pub(crate) fn all(&self) -> Vec<u64> {
        self.listed(ListRequest::by_id(States::ALL))
    }

    pub(crate) fn listed(&self, request: ListRequest) -> Vec<u64> {
        let page = self.model.list_items(&self.home, request).unwrap();
        page.items.iter().map(|item| item.id.get()).collect()
    }
}
