//! What each action does to both sides, and how their answers are compared.

use storage_api::{
    CommitOutcome, CommitRequest, Count, Cursor, Direction, Floors, Holder, ItemEntry, ItemId,
    ItemIds, ItemState, KeyRange, LeaseId, LeaseRequest, ListRequest, Listing, Position,
    ProduceOutcome, Produced, Receipt, Receipts, Refusal, RestoreBatch, Retries, Retry, RetryTo,
    ScanRequest, States, UpdateOutcome, Version,
};

use super::action::{
    Action, CheckPick, Expected, Item, Order, PositionPick, RangePick, Restored, RestoredState,
    RetryPick, StartPick, StepPick, To, WritePick,
};
use super::numbers::{Mismatch, ranked};
use super::world::{World, key, key_of, namespace, note, same, value};
use crate::env::at;

/// Numbers up to 2^62 can be restored; far below it everything has room.
const CEILING_MAX: u64 = 1 << 61;

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
            } => {
                let (id, batch) = (self.id(*partition), self.sealed(items, *now));
                let driver = self.driver.produce(&id, batch.clone()).await;
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
            } => {
                let id = self.id(*partition);
                let mut request = LeaseRequest::new(at(*now), at(*deadline), count(*max));
                request.bytes_max = *bytes_max;
                request.holder = Holder::new(*holder).ok();
                let driver = self.driver.lease(&id, request).await;
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
            } => {
                let id = self.id(*partition);
                let (driver, model) = self.bounded_receipts(*partition, receipts);
                let driver = self.driver.complete(&id, driver).await;
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
                self.model.reopen();
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
    fn give_version(&mut self, driver: Version, model: Version) -> Result<(), Mismatch> {
        self.see(driver.get());
        if driver.get() <= self.version_floor {
            let floor = self.version_floor;
            return Err(format!(
                "version {driver} is not above the floor of {floor}"
            ));
        }
        self.versions.give(driver, model)
    }

    fn same_produced(
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

    fn bounded_receipts(
        &self,
        partition: u8,
        picks: &[super::action::ReceiptPick],
    ) -> (Receipts, Receipts) {
        let (driver, model) = self.receipts(partition, picks);
        (bounded(driver), bounded(model))
    }

    fn bounded_ids(&self, partition: u8, picks: &[super::action::IdPick]) -> (ItemIds, ItemIds) {
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

    async fn restore(
        &mut self,
        partition: u8,
        items: &[Restored],
        floors: [Option<u8>; 4],
    ) -> Result<(), Mismatch> {
        let id = self.id(partition);
        // New positions must be above those that the driver gave and nobody has looked at yet.
        for listing in [Listing::Ready, Listing::Leased] {
            if let Ok(page) = self.driver.list_items(&id, ListRequest::new(listing)).await {
                for entry in &page.items {
                    self.see(entry.state.position().map_or(0, Position::get));
                }
            }
        }
        self.raise_ceiling_above_the_model();
        if self.ceiling > CEILING_MAX {
            return Ok(());
        }
        let (mut driver, mut model) = (Vec::new(), Vec::new());
        for item in items {
            let (one, other) = self.restored(partition, item).await;
            driver.push(one);
            model.push(other);
        }
        let base = self.ceiling;
        let above = |distance: u8| base + u64::from(distance);
        let floors = floors_of(floors.map(|floor| floor.map(above)))
            .map_err(|error| format!("floors far below the limit are refused: {error}"))?;
        self.ceiling += u64::from(u8::MAX);

        let batches = [driver.clone(), model.clone()].map(|entries| {
            RestoreBatch::new(entries)
                .expect("few small items with small numbers are within the limits")
        });
        let [driver_batch, model_batch] = batches;
        let answer = self.driver.restore(&id, driver_batch, floors).await;
        let model_answer = self.model.restore(&id, model_batch, floors);
        if self.both(answer, model_answer)?.is_some() {
            for (driver, model) in driver.iter().zip(&model) {
                let home = self.home_mut(partition);
                if !home.ids.is_known(driver.id, model.id) {
                    home.ids.give(driver.id, model.id)?;
                    home.id_last = home.id_last.max(driver.id.get());
                }
                if driver.state.position() == model.state.position() {
                    home.positions.extend(driver.state.position());
                }
                if let (Some(one), Some(other)) = (driver.receipt(), model.receipt()) {
                    self.lease_floor = self.lease_floor.max(one.lease.get());
                    if !self.leases.is_known(one.lease, other.lease) {
                        self.leases.give(one.lease, other.lease)?;
                    }
                    self.home_mut(partition).receipts.push((one, other));
                }
            }
            let floor = |number: Option<u64>| number.unwrap_or(0);
            let home = self.home_mut(partition);
            home.id_last = home.id_last.max(floor(floors.id().map(ItemId::get)));
            let lease = floor(floors.lease().map(LeaseId::get));
            self.lease_floor = self.lease_floor.max(lease);
            let version = floor(floors.version().map(Version::get));
            self.version_floor = self.version_floor.max(version);
        }
        Ok(())
    }

    /// An entry to restore, with the driver's numbers and with the model's.
    async fn restored(&mut self, partition: u8, restored: &Restored) -> (ItemEntry, ItemEntry) {
        let given = restored
            .id
            .and_then(|rank| self.home(partition).ids.ranked(rank));
        let (driver_id, model_id) = given.unwrap_or_else(|| {
            let fresh = item_id(self.fresh());
            (fresh, fresh)
        });
        let mut item = restored.item.clone();
        let (driver_position, model_position) = match restored.position {
            PositionPick::New => None,
            PositionPick::Restored(rank) => {
                ranked(&self.home(partition).positions, rank).map(|position| (*position, *position))
            }
            PositionPick::Taken(rank) => self.taken_position(partition, rank, &mut item).await,
        }
        .unwrap_or_else(|| {
            let fresh = position(self.fresh());
            (fresh, fresh)
        });
        let record = self.record(&item, at(restored.created_at));
        let (driver_state, model_state) = match restored.state {
            RestoredState::Ready => (
                ItemState::Ready {
                    position: driver_position,
                },
                ItemState::Ready {
                    position: model_position,
                },
            ),
            RestoredState::Scheduled { at: micros } => {
                let scheduled = ItemState::Scheduled {
                    enqueue_at: at(micros),
                };
                (scheduled, scheduled)
            }
            RestoredState::Leased {
                deadline,
                holder,
                is_old_lease,
            } => {
                let old = self
                    .home(partition)
                    .receipts
                    .iter()
                    .rev()
                    .find(|(one, other)| {
                        is_old_lease && one.item == driver_id && other.item == model_id
                    });
                let old = old.map(|(one, other)| (one.lease, other.lease));
                let (driver_lease, model_lease) = old.unwrap_or_else(|| {
                    let fresh = lease_id(self.fresh());
                    (fresh, fresh)
                });
                let leased = |position, lease| ItemState::Leased {
                    position,
                    lease,
                    deadline: at(deadline),
                    holder: Holder::new(holder).ok(),
                };
                (
                    leased(driver_position, driver_lease),
                    leased(model_position, model_lease),
                )
            }
            RestoredState::Dead { reason, died_at } => {
                let dead = ItemState::Dead {
                    reason,
                    died_at: at(died_at),
                };
                (dead, dead)
            }
        };
        let entry = |id, state| {
            let mut entry = ItemEntry::new(id, record.clone(), state);
            entry.attempts = restored.attempts;
            entry.note = restored.note.map(note);
            entry.is_revived = restored.is_revived;
            entry
        };
        (entry(driver_id, driver_state), entry(model_id, model_state))
    }

    /// The position of an item that has one now, as the driver and as the model call it. It is taken in the item's priority only.
    async fn taken_position(
        &self,
        partition: u8,
        rank: u8,
        item: &mut Item,
    ) -> Option<(Position, Position)> {
        let home = self.home(partition);
        let model = self.model.contents().partitions.iter();
        let model = model.into_iter().find(|one| one.info.id == home.id)?;
        let placed: Vec<_> = model
            .items
            .iter()
            .filter(|entry| entry.state.position().is_some())
            .collect();
        let entry = *ranked(&placed, rank)?;
        let driver_id = home.ids.driver_of(entry.id)?;
        let ids = ItemIds::one(driver_id);
        let found = self.driver.get_items(&home.id, ids, false).await.ok()?;
        let found = found.into_iter().next()??;
        item.priority = entry.record.view().priority();
        Some((found.state.position()?, entry.state.position()?))
    }

    async fn commit(
        &mut self,
        now: i64,
        checks: &[CheckPick],
        writes: &[WritePick],
        steps: &[StepPick],
    ) -> Result<(), Mismatch> {
        let mut driver = CommitRequest::new(at(now));
        let mut model = CommitRequest::new(at(now));
        for check in checks {
            self.add_check(now, *check, &mut driver, &mut model);
        }
        for write in writes {
            for request in [&mut driver, &mut model] {
                // A second write to a key is refused on both sides alike (clause META-7).
                let _ = match write {
                    WritePick::Put {
                        key,
                        bytes,
                        expires_at,
                    } => {
                        let (namespace, key) = key_of(*key);
                        request.put(&namespace, &key, value(*bytes), expires_at.map(at))
                    }
                    WritePick::Delete(key) => {
                        let (namespace, key) = key_of(*key);
                        request.delete(&namespace, &key)
                    }
                };
            }
        }
        let mut produced_into = Vec::new();
        for step in steps {
            let added = match step {
                StepPick::Produce(partition, items) => {
                    produced_into.push(*partition);
                    let id = self.id(*partition);
                    let [one, other] = self.two_batches(items);
                    driver
                        .produce(&id, one)
                        .and_then(|()| model.produce(&id, other))
                }
                StepPick::Complete(partition, picks) => {
                    let id = self.id(*partition);
                    let (one, other) = self.bounded_receipts(*partition, picks);
                    driver
                        .complete(&id, one)
                        .and_then(|()| model.complete(&id, other))
                }
                StepPick::Delete(partition, picks) => {
                    let id = self.id(*partition);
                    let (one, other) = self.bounded_ids(*partition, picks);
                    driver
                        .delete_items(&id, one)
                        .and_then(|()| model.delete_items(&id, other))
                }
            };
            added.map_err(|error| format!("a small commit is refused: {error}"))?;
        }

        let written: Vec<_> = driver
            .writes()
            .iter()
            .map(|write| (write.target().0.clone(), write.target().1.clone()))
            .collect();
        let driver = self.driver.commit(driver).await;
        let model = self.model.commit(model);
        let Some((driver, model)) = self.both(driver, model)? else {
            return Ok(());
        };
        let told = |why: Mismatch| format!("{why}\n  driver: {driver:?}\n  model:  {model:?}");
        match (&driver, &model) {
            (CommitOutcome::Committed(one), CommitOutcome::Committed(other)) => {
                match (one.version, other.version) {
                    (Some(one), Some(other)) => {
                        self.give_version(one, other).map_err(told)?;
                        for target in written {
                            let before = self.key_versions.insert(target, one);
                            if before.is_some_and(|before| before >= one) {
                                let why = format!("version {one} is not above {before:?}");
                                return Err(told(why));
                            }
                        }
                    }
                    (one, other) => same("version", &one, &other).map_err(told)?,
                }
                same(
                    "number of produced batches",
                    &one.produced.len(),
                    &other.produced.len(),
                )
                .map_err(told)?;
                let produced = one.produced.iter().zip(&other.produced);
                for (partition, (one, other)) in produced_into.into_iter().zip(produced) {
                    self.same_produced(partition, one, other)?;
                }
                Ok(())
            }
            (
                CommitOutcome::Refused(Refusal::Check { index, key, found }),
                CommitOutcome::Refused(Refusal::Check {
                    index: model_index,
                    key: model_key,
                    found: model_found,
                }),
            ) => {
                same("check", &(index, key), &(model_index, model_key)).map_err(told)?;
                self.versions.meet_some(*found, *model_found).map_err(told)
            }
            (driver, model) => same("outcome", driver, model),
        }
    }

    fn add_check(
        &self,
        now: i64,
        check: CheckPick,
        driver: &mut CommitRequest,
        model: &mut CommitRequest,
    ) {
        let added = match check {
            CheckPick::Absent(pick) => {
                let (namespace, key) = key_of(pick);
                driver
                    .check_absent(&namespace, &key)
                    .and_then(|()| model.check_absent(&namespace, &key))
            }
            CheckPick::Current(pick) | CheckPick::Known(pick, _) => {
                let (namespace, key) = key_of(pick);
                let pair = if let CheckPick::Known(_, rank) = check {
                    self.versions.ranked(rank)
                } else {
                    let found = self.model.get(at(now), &namespace, &key).ok().flatten();
                    let version = found.map(|entry| entry.version);
                    version.and_then(|one| Some((self.versions.driver_of(one)?, one)))
                };
                match pair {
                    Some((one, other)) => driver
                        .check_version(&namespace, &key, one)
                        .and_then(|()| model.check_version(&namespace, &key, other)),
                    None => driver
                        .check_absent(&namespace, &key)
                        .and_then(|()| model.check_absent(&namespace, &key)),
                }
            }
            CheckPick::Range(pick, without) => {
                let (namespace, range) = (namespace(pick.namespace), key_range(pick));
                let request = ScanRequest::new(namespace.clone(), range.clone());
                let found = self.model.scan(at(now), request);
                let mut found = found.map_or_else(|_| Vec::new(), |page| page.items);
                if let Some(index) =
                    without.and_then(|rank| usize::from(rank).checked_rem(found.len()))
                {
                    found.remove(index);
                }
                let seen = found.iter().filter_map(|entry| {
                    let version = self.versions.driver_of(entry.version)?;
                    Some((
                        (entry.key.clone(), version),
                        (entry.key.clone(), entry.version),
                    ))
                });
                let (one, other): (Vec<_>, Vec<_>) = seen.unzip();
                driver
                    .check_range(&namespace, range.clone(), one)
                    .and_then(|()| model.check_range(&namespace, range, other))
            }
        };
        added.expect("few checks on keys within their range are within the limits");
    }
}

fn count(max: u16) -> Count {
    Count::clamped(usize::from(max))
}

fn bounded<T>(list: Vec<T>) -> storage_api::Bounded<T> {
    storage_api::Bounded::new(list).expect("few entries are within the limit")
}

fn key_range(pick: RangePick) -> KeyRange {
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

fn floors_of(floors: [Option<u64>; 4]) -> storage_api::Result<Floors> {
    let mut all = Floors::none();
    if let Some(floor) = floors[0] {
        all = all.with_id(ItemId::new(floor)?)?;
    }
    if let Some(floor) = floors[1] {
        all = all.with_position(Position::new(floor)?)?;
    }
    if let Some(floor) = floors[2] {
        all = all.with_lease(LeaseId::new(floor)?)?;
    }
    if let Some(floor) = floors[3] {
        all = all.with_version(Version::new(floor)?)?;
    }
    Ok(all)
}

const IN_RANGE: &str = "a number below the ceiling is within its limits";

fn item_id(number: u64) -> ItemId {
    ItemId::new(number).expect(IN_RANGE)
}

fn position(number: u64) -> Position {
    Position::new(number).expect(IN_RANGE)
}

fn lease_id(number: u64) -> LeaseId {
    LeaseId::new(number).expect(IN_RANGE)
}
