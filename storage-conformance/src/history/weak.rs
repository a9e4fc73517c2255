//! What a driver without `StrictOrder` may do: pass over items that an overlapping call holds (clause CONC-2).

use std::collections::BTreeSet;

use storage_api::{ItemId, PartitionId, Receipt, Step};

use super::call::Call;
use super::request::Request;
use super::state::State;

/// At most so many held items are told apart; which of more are passed over is not searched.
const HELD_MAX: usize = 6;

/// The items that calls hold that are under way together with one that walks over items.
#[derive(Debug, Default)]
pub(super) struct Held {
    items: BTreeSet<(PartitionId, ItemId)>,
    /// Calls that name no items may hold any of these partitions.
    any_of: Vec<PartitionId>,
}

impl Held {
    /// What those others hold while the call is under way; nothing where the call walks over no items.
    pub(super) fn of<'a>(call: &Call, others: impl Iterator<Item = &'a Call>) -> Self {
        let mut held = Self::default();
        let (Request::Lease(partition, _)
        | Request::Maintain(partition, ..)
        | Request::ReleaseHolder(partition, ..)
        | Request::Clear(partition, ..)) = &call.request
        else {
            return held;
        };
        for other in others {
            held.add(partition, other);
        }
        held
    }

    fn add(&mut self, partition: &PartitionId, other: &Call) {
        let mut add = |ids: &mut dyn Iterator<Item = ItemId>| {
            self.items.extend(ids.map(|id| (partition.clone(), id)));
        };
        let of = |receipt: &Receipt| receipt.item;
        match &other.request {
            Request::Extend(id, receipts, _)
            | Request::Release(id, receipts)
            | Request::Complete(id, receipts)
                if id == partition =>
            {
                add(&mut receipts.iter().map(of));
            }
            Request::Retry(id, _, retries) if id == partition => {
                add(&mut retries.iter().map(|retry| retry.receipt.item));
            }
            Request::Revive(id, ids) | Request::DeleteItems(id, ids) if id == partition => {
                add(&mut ids.iter().copied());
            }
            Request::Lease(id, _) if id == partition && other.is_answered() => {
                add(&mut other.shown().into_iter().map(|entry| entry.id));
            }
            Request::Lease(id, _)
            | Request::Maintain(id, ..)
            | Request::ReleaseHolder(id, ..)
            | Request::Clear(id, ..)
                if id == partition =>
            {
                self.any_of.push(partition.clone());
            }
            Request::Commit(request) => {
                for step in request
                    .steps()
                    .iter()
                    .filter(|step| step.partition() == partition)
                {
                    match step {
                        Step::Produce { .. } => {}
                        Step::Complete { receipts, .. } => add(&mut receipts.iter().map(of)),
                        Step::Delete { ids, .. } => add(&mut ids.iter().copied()),
                    }
                }
            }
            _ => {}
        }
        for (id, produced) in other.produced() {
            if id == partition {
                self.items
                    .extend(produced.ids().map(|id| (partition.clone(), id)));
            }
        }
    }

    /// Which of those that are there may be passed over: each choice, nothing first.
    pub(super) fn passed_over_in(&self, state: &State) -> Vec<Vec<(PartitionId, ItemId)>> {
        let mut choices = vec![Vec::new()];
        if self.items.is_empty() && self.any_of.is_empty() {
            return choices;
        }
        let there = state.contents.partitions.iter().flat_map(|partition| {
            let id = &partition.info.id;
            partition
                .items
                .iter()
                .map(move |item| (id.clone(), item.id))
        });
        let held = there.filter(|item| self.any_of.contains(&item.0) || self.items.contains(item));
        for item in held.take(HELD_MAX) {
            let with: Vec<_> = choices
                .iter()
                .map(|choice| [choice.as_slice(), std::slice::from_ref(&item)].concat())
                .collect();
            choices.extend(with);
        }
        choices.sort_by_key(Vec::len);
        choices
    }
}
