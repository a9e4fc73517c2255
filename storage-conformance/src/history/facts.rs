//! What a history says as a whole, whatever the order: numbers, and what they must be in every order.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::hash::Hash;

use storage_api::{ItemEntry, ItemId, LeaseId, PartitionId, Value, Version, Write};

use super::call::Call;
use super::request::{Answer, Request};

/// Numbers that answers give and show. Records and values are told apart by what is in them: see [`marker`].
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Those that some answer says were given; one shown beside them was given by a call without an answer.
    leases: HashSet<LeaseId>,
    versions: HashSet<Version>,
    ids_by_marker: HashMap<(PartitionId, String), ItemId>,
    versions_by_value: HashMap<Value, Version>,
}

/// What tells an item from every other of the history.
pub(crate) fn marker(entry: &ItemEntry) -> &str {
    entry.record.view().attributes().reference
}

impl Facts {
    /// Gathers them; `Err` where they cannot be right in any order.
    pub(super) fn of(calls: &[Call]) -> Result<Self, String> {
        let mut facts = Self::default();
        let mut ids = HashSet::new();
        for call in calls {
            if let Some(Answer::Leased(items)) = call.answer() {
                for lease in items.iter().filter_map(ItemEntry::receipt) {
                    add("lease", &mut facts.leases, lease.lease)?;
                }
            }
            for (partition, produced) in call.produced() {
                for id in produced.ids() {
                    add("id", &mut ids, (partition.clone(), id))?;
                }
            }
            if let Some(version) = call.version_given() {
                add("version", &mut facts.versions, version)?;
            }
            facts.note_what_is_shown(call);
        }
        ids_grow_with_time(calls)?;
        Ok(facts)
    }

    fn note_what_is_shown(&mut self, call: &Call) {
        if let Some(partition) = partition_of(&call.request) {
            for entry in call.shown() {
                let marker = (partition.clone(), marker(entry).to_owned());
                self.ids_by_marker.insert(marker, entry.id);
            }
        }
        let entries = match call.answer() {
            Some(Answer::Entry(entry)) => entry.as_slice(),
            Some(Answer::Entries(page)) => &page.items,
            _ => &[],
        };
        for entry in entries {
            self.versions_by_value
                .insert(entry.value.clone(), entry.version);
        }
    }

    /// Whether some answer says that the lease was given.
    pub(super) fn is_given_lease(&self, lease: LeaseId) -> bool {
        self.leases.contains(&lease)
    }

    /// Whether some answer says that the version was given.
    pub(super) fn is_given_version(&self, version: Version) -> bool {
        self.versions.contains(&version)
    }

    /// The id under which an item was shown, if it ever was.
    pub(super) fn id_of(&self, partition: &PartitionId, entry: &ItemEntry) -> Option<ItemId> {
        let key = (partition.clone(), marker(entry).to_owned());
        self.ids_by_marker.get(&key).copied()
    }

    /// The version under which any of those writes was shown, if one ever was.
    pub(super) fn version_of(&self, writes: &[Write]) -> Option<Version> {
        writes.iter().find_map(|write| match write {
            Write::Put { value, .. } => self.versions_by_value.get(value).copied(),
            Write::Delete { .. } => None,
        })
    }
}

fn add<N: Debug + Eq + Hash>(what: &str, given: &mut HashSet<N>, number: N) -> Result<(), String> {
    let text = format!("{what} {number:?} is given twice");
    if given.insert(number) {
        Ok(())
    } else {
        Err(text)
    }
}

fn partition_of(request: &Request) -> Option<&PartitionId> {
    match request {
        Request::Lease(id, _) | Request::GetItems(id, ..) | Request::ListItems(id, _) => Some(id),
        _ => None,
    }
}

/// ITEM-2: of two productions that do not overlap the later one has the larger ids, whatever the driver claims.
fn ids_grow_with_time(calls: &[Call]) -> Result<(), String> {
    for later in calls {
        for (partition, produced) in later.produced() {
            let Some(first) = produced.ids().next() else {
                continue;
            };
            for earlier in calls {
                if earlier.over().is_none_or(|over| over > later.called) {
                    continue;
                }
                let earlier = earlier.produced().into_iter();
                let before = earlier.filter(|(other, _)| *other == partition);
                let last = before.flat_map(|(_, produced)| produced.ids()).max();
                if let Some(last) = last.filter(|last| *last > first) {
                    return Err(format!(
                        "id {first} of partition {partition} is given by a call that began after id {last} was given"
                    ));
                }
            }
        }
    }
    Ok(())
}
