//! The wrong drivers about what ends a lease.

use std::sync::atomic::{AtomicU64, Ordering};

use storage_api::*;
use storage_model::Contents;

use crate::meeting::Patience;
use crate::mutant::wrong;

/// Changes every leased item.
pub(super) fn leased(contents: &mut Contents, change: impl Fn(&mut ItemEntry)) {
    let items = contents
        .partitions
        .iter_mut()
        .flat_map(|one| &mut one.items);
    items
        .filter(|item| item.state() == State::Leased)
        .for_each(change);
}

/// The lease under which an item is at this moment.
pub(super) fn current(
    contents: &Contents,
    partition: &PartitionId,
    item: ItemId,
) -> Option<Receipt> {
    let mut partitions = contents.partitions.iter();
    let partition = partitions.find(|one| one.info.id == *partition)?;
    partition.items.iter().find(|one| one.id == item)?.receipt()
}

wrong! { CompletesByItem ItemStore [complete] {
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        let contents = self.inner.contents();
        let by_item = receipts.into_iter().map(|receipt| {
            let found = current(&contents, partition, receipt.item).unwrap_or(receipt);
            self.at.fired.fire_if(found != receipt);
            found
        });
        let by_item = Receipts::collect(by_item)?;
        self.inner.complete(partition, by_item).await
    }
}}

wrong! { CompletesWithoutLease ItemStore [complete] {
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        let contents = self.inner.contents();
        let mut outcomes = self.inner.complete(partition, receipts.clone()).await?;
        for (receipt, outcome) in receipts.iter().zip(&mut outcomes) {
            let is_held = current(&contents, partition, receipt.item).is_some();
            if *outcome == CompleteOutcome::LeaseLost && !is_held {
                self.at.fire();
                self.inner.delete_items(partition, receipt.item.into()).await?;
                *outcome = CompleteOutcome::Done;
            }
        }
        Ok(outcomes)
    }
}}

wrong! { StopsAtUnknown ItemStore [complete] {
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        let mut outcomes = Vec::new();
        let mut has_stopped = false;
        for receipt in receipts {
            if has_stopped {
                self.at.fire();
                outcomes.push(CompleteOutcome::NotFound);
                continue;
            }
            outcomes.extend(self.inner.complete(partition, receipt.into()).await?);
            has_stopped = outcomes.last() != Some(&CompleteOutcome::Done);
        }
        Ok(outcomes)
    }
}}

wrong! { SaysDone ItemStore [complete] {
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        let mut outcomes = self.inner.complete(partition, receipts).await?;
        for outcome in &mut outcomes {
            self.at.fired.fire_if(*outcome != CompleteOutcome::Done);
            *outcome = CompleteOutcome::Done;
        }
        Ok(outcomes)
    }
}}

wrong! { LostIsNotFound ItemStore [complete, retry, extend, release] {
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        let (lost, told) = (CompleteOutcome::LeaseLost, CompleteOutcome::NotFound);
        Ok(self.at.told(self.inner.complete(partition, receipts).await?, lost, told))
    }
    async fn retry(&self, partition: &PartitionId, now: Timestamp, retries: Retries) -> Result<Vec<RetryOutcome>> {
        let (lost, told) = (RetryOutcome::LeaseLost, RetryOutcome::NotFound);
        Ok(self.at.told(self.inner.retry(partition, now, retries).await?, lost, told))
    }
    async fn extend(&self, partition: &PartitionId, receipts: Receipts, deadline: Timestamp) -> Result<Vec<ExtendOutcome>> {
        let (lost, told) = (ExtendOutcome::LeaseLost, ExtendOutcome::NotFound);
        Ok(self.at.told(self.inner.extend(partition, receipts, deadline).await?, lost, told))
    }
    async fn release(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<ReleaseOutcome>> {
        let (lost, told) = (ReleaseOutcome::LeaseLost, ReleaseOutcome::NotFound);
        Ok(self.at.told(self.inner.release(partition, receipts).await?, lost, told))
    }
}}

wrong! { NotFoundIsLost ItemStore [complete, retry, extend, release] {
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        let (gone, told) = (CompleteOutcome::NotFound, CompleteOutcome::LeaseLost);
        Ok(self.at.told(self.inner.complete(partition, receipts).await?, gone, told))
    }
    async fn retry(&self, partition: &PartitionId, now: Timestamp, retries: Retries) -> Result<Vec<RetryOutcome>> {
        let (gone, told) = (RetryOutcome::NotFound, RetryOutcome::LeaseLost);
        Ok(self.at.told(self.inner.retry(partition, now, retries).await?, gone, told))
    }
    async fn extend(&self, partition: &PartitionId, receipts: Receipts, deadline: Timestamp) -> Result<Vec<ExtendOutcome>> {
        let (gone, told) = (ExtendOutcome::NotFound, ExtendOutcome::LeaseLost);
        Ok(self.at.told(self.inner.extend(partition, receipts, deadline).await?, gone, told))
    }
    async fn release(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<ReleaseOutcome>> {
        let (gone, told) = (ReleaseOutcome::NotFound, ReleaseOutcome::LeaseLost);
        Ok(self.at.told(self.inner.release(partition, receipts).await?, gone, told))
    }
}}

wrong! { OneByOne { looks: AtomicU64, patience: Patience }
PartitionStore [stats] {
    async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
        let stats = self.inner.stats(id).await;
        self.looks.fetch_add(1, Ordering::AcqRel);
        stats
    }
}
ItemStore [extend] {
    async fn extend(&self, partition: &PartitionId, receipts: Receipts, deadline: Timestamp) -> Result<Vec<ExtendOutcome>> {
        if !self.at.fired.fire_if(receipts.len() > 1) {
            return self.inner.extend(partition, receipts, deadline).await;
        }
        let mut outcomes = Vec::with_capacity(receipts.len());
        let half = receipts.len() / 2;
        for (index, receipt) in receipts.into_iter().enumerate() {
            if index == half {
                // A journey to the disk: others come to their turn. The first may have looked before.
                let looks = self.looks.load(Ordering::Acquire);
                self.patience.until(|| self.looks.load(Ordering::Acquire) - looks >= 2).await;
            }
            outcomes.extend(self.inner.extend(partition, receipt.into(), deadline).await?);
        }
        Ok(outcomes)
    }
}}

wrong! { Backwards ItemStore [complete, retry, revive, delete_items] {
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        let outcomes = self.inner.complete(partition, self.at.reversed(receipts)).await?;
        Ok(outcomes.into_iter().rev().collect())
    }
    async fn retry(&self, partition: &PartitionId, now: Timestamp, retries: Retries) -> Result<Vec<RetryOutcome>> {
        let outcomes = self.inner.retry(partition, now, self.at.reversed(retries)).await?;
        Ok(outcomes.into_iter().rev().collect())
    }
    async fn revive(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<ReviveOutcome>> {
        let outcomes = self.inner.revive(partition, self.at.reversed(ids)).await?;
        Ok(outcomes.into_iter().rev().collect())
    }
    async fn delete_items(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<DeleteOutcome>> {
        let outcomes = self.inner.delete_items(partition, self.at.reversed(ids)).await?;
        Ok(outcomes.into_iter().rev().collect())
    }
}}

wrong! { CutToThousand ItemStore [complete] {
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        let all = receipts.len();
        self.at.fired.fire_if(all > 1000);
        let receipts = Receipts::collect(receipts.into_iter().take(1000))?;
        let mut outcomes = self.inner.complete(partition, receipts).await?;
        outcomes.resize(all, CompleteOutcome::Done);
        Ok(outcomes)
    }
}}

wrong! { EmptyIsEasy ItemStore [produce, complete, retry, extend, release, revive, delete_items, get_items, restore] {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        match self.at.fired.fire_if(batch.is_empty()) {
            true => Ok(Produced::default()),
            false => self.inner.produce(partition, batch).await,
        }
    }
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        match self.at.fired.fire_if(receipts.is_empty()) {
            true => Ok(Vec::new()),
            false => self.inner.complete(partition, receipts).await,
        }
    }
    async fn retry(&self, partition: &PartitionId, now: Timestamp, retries: Retries) -> Result<Vec<RetryOutcome>> {
        match self.at.fired.fire_if(retries.is_empty()) {
            true => Ok(Vec::new()),
            false => self.inner.retry(partition, now, retries).await,
        }
    }
    async fn extend(&self, partition: &PartitionId, receipts: Receipts, deadline: Timestamp) -> Result<Vec<ExtendOutcome>> {
        match self.at.fired.fire_if(receipts.is_empty()) {
            true => Ok(Vec::new()),
            false => self.inner.extend(partition, receipts, deadline).await,
        }
    }
    async fn release(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<ReleaseOutcome>> {
        match self.at.fired.fire_if(receipts.is_empty()) {
            true => Ok(Vec::new()),
            false => self.inner.release(partition, receipts).await,
        }
    }
    async fn revive(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<ReviveOutcome>> {
        match self.at.fired.fire_if(ids.is_empty()) {
            true => Ok(Vec::new()),
            false => self.inner.revive(partition, ids).await,
        }
    }
    async fn delete_items(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<DeleteOutcome>> {
        match self.at.fired.fire_if(ids.is_empty()) {
            true => Ok(Vec::new()),
            false => self.inner.delete_items(partition, ids).await,
        }
    }
    async fn get_items(&self, partition: &PartitionId, ids: ItemIds, payloads: bool) -> Result<Vec<Option<ItemEntry>>> {
        match self.at.fired.fire_if(ids.is_empty()) {
            true => Ok(Vec::new()),
            false => self.inner.get_items(partition, ids, payloads).await,
        }
    }
    async fn restore(&self, partition: &PartitionId, items: RestoreBatch, floors: Floors) -> Result<()> {
        match self.at.fired.fire_if(items.is_empty()) {
            true => Ok(()),
            false => self.inner.restore(partition, items, floors).await,
        }
    }
}}

wrong! { EmptyIsInvalid ItemStore [produce, complete] {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        match self.at.fired.fire_if(batch.is_empty()) {
            true => Err(Error::invalid("batch", "it is empty")),
            false => self.inner.produce(partition, batch).await,
        }
    }
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        match self.at.fired.fire_if(receipts.is_empty()) {
            true => Err(Error::invalid("receipts", "there are none")),
            false => self.inner.complete(partition, receipts).await,
        }
    }
}}

wrong! { AlwaysScheduled ItemStore [retry] {
    async fn retry(&self, partition: &PartitionId, now: Timestamp, retries: Retries) -> Result<Vec<RetryOutcome>> {
        let outcomes = self.inner.retry(partition, now, retries.clone()).await?;
        for (retry, outcome) in retries.iter().zip(&outcomes) {
            if let (RetryTo::At(enqueue_at), RetryOutcome::Ready) = (retry.to, outcome) {
                self.at.edit(|contents| {
                    let items = contents.partitions.iter_mut().filter(|one| one.info.id == *partition);
                    let mut items = items.flat_map(|one| &mut one.items);
                    if let Some(item) = items.find(|item| item.id == retry.receipt.item) {
                        item.state = ItemState::Scheduled { enqueue_at };
                    }
                });
            }
        }
        Ok(outcomes)
    }
}}

wrong! { NotesAnyway ItemStore [retry] {
    async fn retry(&self, partition: &PartitionId, now: Timestamp, retries: Retries) -> Result<Vec<RetryOutcome>> {
        for retry in &retries {
            let Some(note) = &retry.note else { continue };
            let contents = self.inner.contents();
            if current(&contents, partition, retry.receipt.item) == Some(retry.receipt) {
                continue;
            }
            self.at.edit(|contents| {
                let items = contents.partitions.iter_mut().filter(|one| one.info.id == *partition);
                let mut items = items.flat_map(|one| &mut one.items);
                if let Some(item) = items.find(|item| item.id == retry.receipt.item) {
                    item.note = Some(note.clone());
                }
            });
        }
        self.inner.retry(partition, now, retries).await
    }
}}

wrong! { RetriesByItem ItemStore [retry] {
    async fn retry(&self, partition: &PartitionId, now: Timestamp, retries: Retries) -> Result<Vec<RetryOutcome>> {
        let contents = self.inner.contents();
        let by_item = retries.into_iter().map(|mut retry| {
            let found = current(&contents, partition, retry.receipt.item);
            if let Some(found) = found.filter(|found| *found != retry.receipt) {
                self.at.fire();
                retry.receipt = found;
            }
            retry
        });
        let by_item = Retries::collect(by_item)?;
        self.inner.retry(partition, now, by_item).await
    }
}}

wrong! { RetriesDead ItemStore [retry] {
    async fn retry(&self, partition: &PartitionId, now: Timestamp, retries: Retries) -> Result<Vec<RetryOutcome>> {
        let alive = retries.into_iter().map(|mut retry| {
            if self.at.fired.fire_if(retry.to == RetryTo::Dead) {
                retry.to = RetryTo::Now;
            }
            retry
        });
        let alive = Retries::collect(alive)?;
        self.inner.retry(partition, now, alive).await
    }
}}

wrong! { ReleasesTwice ItemStore [release] {
    async fn release(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<ReleaseOutcome>> {
        let outcomes = self.inner.release(partition, receipts.clone()).await?;
        for (receipt, outcome) in receipts.iter().zip(&outcomes) {
            if *outcome != ReleaseOutcome::LeaseLost {
                continue;
            }
            self.at.edit(|contents| {
                let items = contents.partitions.iter_mut().filter(|one| one.info.id == *partition);
                let mut items = items.flat_map(|one| &mut one.items);
                if let Some(item) = items.find(|item| item.id == receipt.item) {
                    item.attempts = item.attempts.saturating_sub(1);
                }
            });
        }
        Ok(outcomes)
    }
}}

wrong! { SaysRevived ItemStore [revive] {
    async fn revive(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<ReviveOutcome>> {
        let (alive, told) = (ReviveOutcome::NotDead, ReviveOutcome::Revived);
        Ok(self.at.told(self.inner.revive(partition, ids).await?, alive, told))
    }
}}

wrong! { SaysNotDead ItemStore [revive] {
    async fn revive(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<ReviveOutcome>> {
        let (gone, told) = (ReviveOutcome::NotFound, ReviveOutcome::NotDead);
        Ok(self.at.told(self.inner.revive(partition, ids).await?, gone, told))
    }
}}
