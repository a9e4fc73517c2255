//! What each action does to both sides, and how their answers are compared.

use storage_api::{
    Count, Cursor, Direction, Holder, ItemEntry, ItemIds, KeyRange, LeaseRequest, ListRequest,
    Listing, ProduceOutcome, Produced, Receipt, Receipts, Retries, Retry, RetryTo, ScanRequest,
    States, UpdateOutcome, Version,
};

use super::action::{
    Action, Expected, IdPick, Order, RangePick, ReceiptPick, RetryPick, StartPick, To,
};
use super::numbers::Mismatch;
use super::world::{World, key, key_of, namespace, note, same};
use crate::env::at;

impl World {
    /// Does the action on both sides and compares the answers.
    pub(super) async fn apply(&mut self, action: &Action) -> Result<(), Mismatch> {
        match action {
            Action::Create { partition, config } => {
                let (id, config) = (self.id(*partition), config.to_config());
                let driver = self.driver.create_partition(&id, config.clone()).await;
                let model = self.model.create_partition(&id, config);
                if let Some((driver, model)) = self.both(driver, model)? {
                    self.give_version(driver.created, model.created)?;
                    self.same_info(&driver, &model)?;
                }
            }
            Action::Update {
                partition,
                expected,
                config,
            } => {
                let (id, config) = (self.id(*partition), config.to_config());
                let (expected, model_expected) = match expected {
                    Expected::Any => (None, None),
                    Expected::Current => {
                        let found = self.model.partition(&id).ok();
                        let revision = found.map(|info| info.revision);
                        let driver = revision.and_then(|one| self.versions.driver_of(one));
                        (driver, revision)
                    }
                    Expected::Known(rank) => self.versions.ranked(*rank).unzip(),
                };
                let driver = self
                    .driver
                    .update_partition(&id, expected, config.clone())
                    .await;
                let model = self.model.update_partition(&id, model_expected, config);
                match self.both(driver, model)? {
                    Some((UpdateOutcome::Updated(driver), UpdateOutcome::Updated(model))) => {
                        self.give_version(driver, model)?;
                    }
                    Some((UpdateOutcome::Conflict(driver), UpdateOutcome::Conflict(model))) => {
                        self.versions.meet(driver, model)?;
                    }
                    Some((driver, model)) => same("outcome", &driver, &model)?,
                    None => {}
                }
            }
            Action::DeletePartition { partition } => {
                let id = self.id(*partition);
                let driver = self.driver.delete_partition(&id).await;
                let model = self.model.delete_partition(&id);
                self.equal(driver, model)?;
            }
            Action::ListPartitions { after, max } => {
                let (after, model_after) = after.and_then(|rank| self.cursor(rank)).unzip();
                let max = count(*max);
                let driver = self.driver.list_partitions(after.as_ref(), max).await;
                let model = self.model.list_partitions(model_after.as_ref(), max);
                if let Some((driver, model)) = self.both(driver, model)? {
                    same("length", &driver.items.len(), &model.items.len())?;
                    for (driver, model) in driver.items.iter().zip(&model.items) {
                        self.same_info(driver, model)?;
                    }
                    self.keep_cursor(driver.next, model.next)?;
                }
            }
            Action::Produce {
                partition,
                now,
                items,
                way,
            } => {
                let (id, batch) = (self.id(*partition), self.sealed(items, *now));
                let driver = match self.shortly(*partition, *way, |it| it.produce(&batch))? {
                    Some(answer) => answer,
                    None => self.driver.produce(&id, batch.clone()).await,
                };
                let model = self.model.produce(&id, batch);
                if let Some((driver, model)) = self.both(driver, model)? {
                    self.same_produced(*partition, &driver, &model)?;
                }
            }
            Action::Lease {
                partition,
                now,
                deadline,
                max,
                bytes_max,
                holder,
                way,
            } => {
                let id = self.id(*partition);
                let mut request = LeaseRequest::new(at(*now), at(*deadline), count(*max));
                request.bytes_max = *bytes_max;
                request.holder = Holder::new(*holder).ok();
                let driver = match self.lease_shortly(*partition, *way, &request)? {
                    Some(answer) => answer,
                    None => self.driver.lease(&id, request).await,
                };
                let model = self.model.lease(&id, request);
                if let Some((driver, model)) = self.both(driver, model)? {
                    same("number of items", &driver.len(), &model.len())?;
                    for (driver, model) in driver.iter().zip(model.iter()) {
                        let (driver, model) = (driver.to_entry(), model.to_entry());
                        self.same_entry(*partition, &driver, &model, true)?;
                        self.keep_receipt(*partition, &driver, &model);
                    }
                }
            }
            Action::Extend {
                partition,
                receipts,
                deadline,
            } => {
                let (id, deadline) = (self.id(*partition), at(*deadline));
                let (driver, model) = self.bounded_receipts(*partition, receipts);
                let driver = self.driver.extend(&id, driver, deadline).await;
                let model = self.model.extend(&id, model, deadline);
                self.equal(driver, model)?;
            }
            Action::Release {
                partition,
                receipts,
            } => {
                let id = self.id(*partition);
                let (driver, model) = self.bounded_receipts(*partition, receipts);
                let driver = self.driver.release(&id, driver).await;
                let model = self.model.release(&id, model);
                self.equal(driver, model)?;
            }
            Action::ReleaseHolder {
                partition,
                holder,
                max,
            } => {
                let id = self.id(*partition);
                let Ok(holder) = Holder::new(*holder) else {
                    return Ok(());
                };
                let driver = self.driver.release_holder(&id, holder, count(*max)).await;
                let model = self.model.release_holder(&id, holder, count(*max));
                self.equal(driver, model)?;
            }
            Action::Complete {
                partition,
                receipts,
                way,
            } => {
                let id = self.id(*partition);
                let (driver, model) = self.bounded_receipts(*partition, receipts);
                let driver = match self.shortly(*partition, *way, |it| it.complete(&driver))? {
                    Some(answer) => answer,
                    None => self.driver.complete(&id, driver).await,
                };
                let model = self.model.complete(&id, model);
                self.equal(driver, model)?;
            }
            Action::Retry {
                partition,
                now,
                retries,
            } => {
                let id = self.id(*partition);
                let (driver, model) = self.retries(*partition, retries);
                let driver = self.driver.retry(&id, at(*now), driver).await;
                let model = self.model.retry(&id, at(*now), model);
                self.equal(driver, model)?;
            }
            Action::Revive { partition, ids } => {
                let id = self.id(*partition);
                let (driver, model) = self.bounded_ids(*partition, ids);
                let driver = self.driver.revive(&id, driver).await;
                let model = self.model.revive(&id, model);
                self.equal(driver, model)?;
            }
            Action::DeleteItems { partition, ids } => {
                let id = self.id(*partition);
                let (driver, model) = self.bounded_ids(*partition, ids);
                let driver = self.driver.delete_items(&id, driver).await;
                let model = self.model.delete_items(&id, model);
                self.equal(driver, model)?;
            }
            Action::GetItems {
                partition,
                ids,
                payloads,
            } => {
                let id = self.id(*partition);
                let (driver, model) = self.bounded_ids(*partition, ids);
                let driver = self.driver.get_items(&id, driver, *payloads).await;
                let model = self.model.get_items(&id, model, *payloads);
                if let Some((driver, model)) = self.both(driver, model)? {
                    same("length", &driver.len(), &model.len())?;
                    for (driver, model) in driver.iter().zip(&model) {
                        match (driver, model) {
                            (Some(driver), Some(model)) => {
                                self.same_entry(*partition, driver, model, false)?;
                            }
                            (driver, model) => same("entry", driver, model)?,
                        }
                    }
                }
            }
            Action::List {
                partition,
                order,
                start,
                max,
                payloads,
            } => {
                let id = self.id(*partition);
                let (mut driver, mut model) = self.list_requests(*partition, order, *start);
                for request in [&mut driver, &mut model] {
                    *request = request.clone().items_max(count(*max));
                    if !payloads {
                        *request = request.clone().without_payloads();
                    }
                }
                let driver = self.driver.list_items(&id, driver).await;
                let model = self.model.list_items(&id, model);
                if let Some((driver, model)) = self.both(driver, model)? {
                    self.same_items(*partition, &driver.items, &model.items)?;
                    self.keep_cursor(driver.next, model.next)?;
                }
            }
            Action::Clear {
                partition,
                states,
                max,
            } => {
                let (id, states) = (self.id(*partition), States::of(states.iter().copied()));
                let driver = self.driver.clear(&id, states, count(*max)).await;
                let model = self.model.clear(&id, states, count(*max));
                self.equal(driver, model)?;
            }
            Action::Maintain {
                partition,
                now,
                max,
            } => {
                let id = self.id(*partition);
                let driver = self.driver.maintain(&id, at(*now), count(*max)).await;
                let model = self.model.maintain(&id, at(*now), count(*max));
                self.equal(driver, model)?;
            }
            Action::Restore {
                partition,
                items,
                floors,
            } => self.restore(*partition, items, *floors).await?,
            Action::Commit {
                now,
                checks,
                writes,
                steps,
            } => self.commit(*now, checks, writes, steps).await?,
            Action::Get { now, key } => {
                let (namespace, key) = key_of(*key);
                let driver = self.driver.get(at(*now), &namespace, &key).await;
                let model = self.model.get(at(*now), &namespace, &key);
                if let Some((driver, model)) = self.both(driver, model)? {
                    let (driver, model): (Vec<_>, Vec<_>) =
                        (driver.into_iter().collect(), model.into_iter().collect());
                    self.same_metadata(&driver, &model)?;
                }
            }
            Action::Scan {
                now,
                range,
                is_backward,
                after,
                max,
            } => {
                let mut request = ScanRequest::new(namespace(range.namespace), key_range(*range))
                    .entries_max(count(*max));
                if *is_backward {
                    request = request.direction(Direction::Backward);
                }
                let (mut driver, mut model) = (request.clone(), request);
                (driver.after, model.after) = after.and_then(|rank| self.cursor(rank)).unzip();
                let driver = self.driver.scan(at(*now), driver).await;
                let model = self.model.scan(at(*now), model);
                if let Some((driver, model)) = self.both(driver, model)? {
                    self.same_metadata(&driver.items, &model.items)?;
                    self.keep_cursor(driver.next, model.next)?;
                }
            }
            Action::Namespaces { after, max } => {
                let (after, model_after) = after.and_then(|rank| self.cursor(rank)).unzip();
                let driver = self.driver.namespaces(after.as_ref(), count(*max)).await;
                let model = self.model.namespaces(model_after.as_ref(), count(*max));
                if let Some((driver, model)) = self.both(driver, model)? {
                    same("namespaces", &driver.items, &model.items)?;
                    self.keep_cursor(driver.next, model.next)?;
                }
            }
            Action::Purge { now, max } => {
                let driver = self.driver.purge(at(*now), count(*max)).await;
                let model = self.model.purge(at(*now), count(*max));
                self.equal(driver, model)?;
            }
            Action::Reopen if self.can_reopen => {
                let driver = self.driver.close().await;
                let model = self.model.close();
                self.equal(driver, model)?;
                self.shortcuts_have_ended()?;
                self.model.reopen();
                self.opening += 1;
                let opened = self.place.open().await;
                self.driver =
                    opened.map_err(|error| format!("the place does not open: {error}"))?;
            }
            Action::Reopen => {}
            Action::Compare => self.compare().await?,
        }
        Ok(())
    }

    /// Both gave a version that nobody was given before.
    pub(super) fn give_version(&mut self, driver: Version, model: Version) -> Result<(), Mismatch> {
        self.see(driver.get());
        if driver.get() <= self.version_floor {
            let floor = self.version_floor;
            return Err(format!(
                "version {driver} is not above the floor of {floor}"
            ));
        }
        self.versions.give(driver, model)
    }

    pub(super) fn same_produced(
        &mut self,
        partition: u8,
        driver: &Produced,
        model: &Produced,
    ) -> Result<(), Mismatch> {
        let told = |why: Mismatch| format!("{why}\n  driver: {driver:?}\n  model:  {model:?}");
        let outcomes: Vec<_> = driver.outcomes().collect();
        let model_outcomes: Vec<_> = model.outcomes().collect();
        same("number of outcomes", &outcomes.len(), &model_outcomes.len()).map_err(told)?;
        for pair in outcomes.into_iter().zip(model_outcomes) {
            match pair {
                (ProduceOutcome::Stored(driver), ProduceOutcome::Stored(model)) => {
                    self.see(driver.get());
                    let home = self.home_mut(partition);
                    if driver.get() <= home.id_last {
                        return Err(told(format!(
                            "id {driver} is not above {}, which was given before",
                            home.id_last
                        )));
                    }
                    home.id_last = driver.get();
                    home.ids.give(driver, model).map_err(told)?;
                }
                (
                    ProduceOutcome::Duplicate {
                        of: driver,
                        state: driver_state,
                    },
                    ProduceOutcome::Duplicate { of: model, state },
                ) => {
                    self.home(partition).ids.meet(driver, model).map_err(told)?;
                    same("state of the duplicate", &driver_state, &state).map_err(told)?;
                }
                (driver, model) => same("outcome", &driver, &model)?,
            }
        }
        Ok(())
    }

    fn keep_receipt(&mut self, partition: u8, driver: &ItemEntry, model: &ItemEntry) {
        if let (Some(driver), Some(model)) = (driver.receipt(), model.receipt()) {
            self.see(driver.lease.get());
            self.home_mut(partition).receipts.push((driver, model));
        }
    }

    pub(super) fn bounded_receipts(
        &self,
        partition: u8,
        picks: &[ReceiptPick],
    ) -> (Receipts, Receipts) {
        let (driver, model) = self.receipts(partition, picks);
        (bounded(driver), bounded(model))
    }

    pub(super) fn bounded_ids(&self, partition: u8, picks: &[IdPick]) -> (ItemIds, ItemIds) {
        let (driver, model) = self.item_ids(partition, picks);
        (bounded(driver), bounded(model))
    }

    fn retries(&self, partition: u8, picks: &[RetryPick]) -> (Retries, Retries) {
        let pairs = picks.iter().filter_map(|pick| {
            let (driver, model) = self.receipt(partition, pick.receipt)?;
            let retry = |receipt: Receipt| {
                let to = match pick.to {
                    To::Now => RetryTo::Now,
                    To::At(micros) => RetryTo::At(at(micros)),
                    To::Dead => RetryTo::Dead,
                };
                let mut retry = Retry::new(receipt, to);
                retry.note = pick.note.map(note);
                retry
            };
            Some((retry(driver), retry(model)))
        });
        let (driver, model): (Vec<_>, Vec<_>) = pairs.unzip();
        (bounded(driver), bounded(model))
    }

    fn list_requests(
        &self,
        partition: u8,
        order: &Order,
        start: StartPick,
    ) -> (ListRequest, ListRequest) {
        let listing = match order {
            Order::ById(states) => Listing::ById(States::of(states.iter().copied())),
            Order::Ready => Listing::Ready,
            Order::Scheduled => Listing::Scheduled,
            Order::Leased => Listing::Leased,
        };
        let first = ListRequest::new(listing);
        let from_first = || (first.clone(), first.clone());
        match start {
            StartPick::First => from_first(),
            StartPick::FromId(pick) => match (listing, self.item_id(partition, pick)) {
                (Listing::ById(states), Some((driver, model))) => (
                    ListRequest::from_id(states, driver),
                    ListRequest::from_id(states, model),
                ),
                _ => from_first(),
            },
            StartPick::After(rank) => match self.cursor(rank) {
                Some((driver, model)) => (first.clone().after(driver), first.clone().after(model)),
                None => from_first(),
            },
            StartPick::Damaged(rank, bit) => match self.cursor(rank) {
                Some((driver, model)) => (
                    first.clone().after(damaged(&driver, bit)),
                    first.clone().after(damaged(&model, bit)),
                ),
                None => from_first(),
            },
        }
    }
}

fn count(max: u16) -> Count {
    Count::clamped(usize::from(max))
}

fn bounded<T>(list: Vec<T>) -> storage_api::Bounded<T> {
    storage_api::Bounded::new(list).expect("few entries are within the limit")
}

pub(crate) fn key_range(pick: RangePick) -> KeyRange {
    KeyRange::new(pick.from.map(key), pick.to.map(key))
}

fn damaged(cursor: &Cursor, bit: u16) -> Cursor {
    let mut bytes = cursor.as_bytes().to_vec();
    let bit = usize::from(bit) % (bytes.len() * 8).max(1);
    if let Some(byte) = bytes.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
    Cursor::from_bytes(bytes)
}
