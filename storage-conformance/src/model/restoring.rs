//! Restoring: whole items of the same meaning for both sides, each with its own numbers.

use storage_api::{
    Floors, Holder, ItemEntry, ItemId, ItemIds, ItemState, LeaseId, ListRequest, Listing, Position,
    RestoreBatch, Version,
};

use super::action::{Item, PositionPick, Restored, RestoredState};
use super::numbers::{Mismatch, ranked};
use super::world::{World, note};
use crate::env::at;

/// Numbers up to 2^62 can be restored; far below it everything has room.
const CEILING_MAX: u64 = 1 << 61;

impl World {
    pub(super) async fn restore(
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
