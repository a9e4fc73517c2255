//! Who has leased what, and until when.

use std::collections::{BTreeMap, BTreeSet};

use storage_api::{Holder, ItemId, LeaseId, Timestamp};

use crate::footprint::{map_bytes, vec_bytes};
use crate::number_set::NumberSet;
use crate::slab::Slab;

/// Items that were leased by one call: deadline and holder stand here once for all of them.
///
/// One timer serves a grant, and goes with its last item: a lease that was completed costs nothing later.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) deadline: Timestamp,
    pub(crate) holder: Option<Holder>,
    items: Numbers,
    leases: Numbers,
    /// How many of its items are still leased by it.
    live: u16,
}

impl Grant {
    /// The lease of the item at an index of it.
    pub(crate) fn lease(&self, index: u16) -> LeaseId {
        LeaseId::new(self.leases.get(index)).expect("leases are given out within their limit")
    }

    /// Every item it ever had, with its index. Those that have left say so in their slots.
    pub(crate) fn items(&self) -> impl Iterator<Item = (u64, u16)> + '_ {
        (0..self.items.len()).map(|index| (self.items.get(index), index))
    }
}

/// Numbers that are mostly consecutive.
#[derive(Debug)]
enum Numbers {
    Run { first: u64, len: u16 },
    List(Box<[u64]>),
}

impl Numbers {
    /// At most 10 000 numbers.
    fn new(numbers: &[u64]) -> Self {
        let is_run = numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        match (numbers.first(), u16::try_from(numbers.len())) {
            (Some(&first), Ok(len)) if is_run => Self::Run { first, len },
            _ => Self::List(numbers.into()),
        }
    }

    fn get(&self, index: u16) -> u64 {
        match self {
            Self::Run { first, .. } => first + u64::from(index),
            Self::List(numbers) => numbers[usize::from(index)],
        }
    }

    fn len(&self) -> u16 {
        match self {
            Self::Run { len, .. } => *len,
            Self::List(numbers) => {
                u16::try_from(numbers.len()).expect("a grant has at most 10 000 items")
            }
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Run { .. } => 0,
            Self::List(numbers) => vec_bytes::<u64>(numbers.len()),
        }
    }
}

/// The grants of a partition.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    grants: Slab<Grant>,
    timers: BTreeSet<(Timestamp, u32)>,
    /// The items of each holder, by id.
    holders: BTreeMap<Holder, NumberSet>,
    /// Bytes of the lists of numbers.
    list_bytes: u64,
    /// Bytes of the sets of the holders.
    holder_bytes: u64,
}

impl Leases {
    /// Leases items, which have `leases` in their order; at least one and at most 10 000.
    pub(crate) fn grant(
        &mut self,
        deadline: Timestamp,
        holder: Option<Holder>,
        items: &[u64],
        leases: &[u64],
    ) -> u32 {
        self.hold(holder, items);
        self.grant_numbers(deadline, holder, Numbers::new(items), Numbers::new(leases))
    }

    /// Leases items under consecutive leases from `first` on.
    pub(crate) fn grant_from(
        &mut self,
        deadline: Timestamp,
        holder: Option<Holder>,
        items: &[u64],
        first: u64,
    ) -> u32 {
        self.hold(holder, items);
        let items = Numbers::new(items);
        let len = items.len();
        self.grant_numbers(deadline, holder, items, Numbers::Run { first, len })
    }

    fn hold(&mut self, holder: Option<Holder>, items: &[u64]) {
        let Some(holder) = holder else { return };
        let held = self.holders.entry(holder).or_default();
        let before = held.bytes();
        items.iter().for_each(|item| held.insert(*item));
        self.holder_bytes += held.bytes() - before;
    }

    fn grant_numbers(
        &mut self,
        deadline: Timestamp,
        holder: Option<Holder>,
        items: Numbers,
        leases: Numbers,
    ) -> u32 {
        self.list_bytes += items.bytes() + leases.bytes();
        let grant = self.grants.insert(Grant {
            deadline,
            holder,
            live: items.len(),
            items,
            leases,
        });
        self.timers.insert((deadline, grant));
        grant
    }

    pub(crate) fn get(&self, grant: u32) -> &Grant {
        let grant = self.grants.get(grant);
        grant.expect("a leased item keeps its grant")
    }

    /// An item is no longer leased by a grant; answers the deadline that it had.
    pub(crate) fn leave(&mut self, number: u32, item: u64) -> Timestamp {
        let grant = self.grants.get_mut(number);
        let grant = grant.expect("a leased item keeps its grant");
        grant.live -= 1;
        let deadline = grant.deadline;
        if let Some(holder) = grant.holder
            && let Some(held) = self.holders.get_mut(&holder)
        {
            let before = held.bytes();
            held.remove(item);
            self.holder_bytes -= before - held.bytes();
            if held.is_empty() {
                self.holders.remove(&holder);
            }
        }
        if grant.live == 0 {
            self.timers.remove(&(grant.deadline, number));
            self.list_bytes -= grant.items.bytes() + grant.leases.bytes();
            self.grants.remove(number);
        }
        deadline
    }

    /// Moves the deadline of a grant that has one item left.
    pub(crate) fn extend_last(&mut self, number: u32, deadline: Timestamp) -> bool {
        let Some(grant) = self.grants.get_mut(number).filter(|grant| grant.live == 1) else {
            return false;
        };
        self.timers.remove(&(grant.deadline, number));
        grant.deadline = deadline;
        self.timers.insert((deadline, number));
        true
    }

    /// The earliest deadline.
    pub(crate) fn first_due(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// The first item that a holder has leased.
    pub(crate) fn first_of_holder(&self, holder: Holder) -> Option<ItemId> {
        let first = self.holders.get(&holder)?.first_from(0)?;
        ItemId::new(first).ok()
    }

    /// Every grant.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Grant)> {
        let numbers = self.timers.iter().map(|(_, number)| *number);
        numbers.map(|number| (number, self.get(number)))
    }

    /// Deadlines and ids in that order, from a deadline on. `is_leased` tells whether an item is still leased as the one at
    /// an index of a grant.
    pub(crate) fn due<'a>(
        &'a self,
        from: Timestamp,
        is_leased: impl Fn(u64, u32, u16) -> bool + 'a,
    ) -> impl Iterator<Item = (Timestamp, ItemId)> + 'a {
        let mut timers = self.timers.range((from, 0)..).peekable();
        let mut current = Vec::new().into_iter();
        let mut at = from;
        std::iter::from_fn(move || {
            loop {
                if let Some(id) = current.next() {
                    let id = ItemId::new(id).expect("ids are given out within their limit");
                    return Some((at, id));
                }
                // Grants of one deadline are taken together, as their items are due in order of their ids.
                at = timers.peek()?.0;
                let mut ids = Vec::new();
                while let Some((_, number)) = timers.next_if(|(other, _)| *other == at) {
                    let items = self.get(*number).items();
                    let leased = items.filter(|(id, index)| is_leased(*id, *number, *index));
                    ids.extend(leased.map(|(id, _)| id));
                }
                ids.sort_unstable();
                current = ids.into_iter();
            }
        })
    }

    /// The bytes that everything here takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.grants.bytes()
            + map_bytes::<(Timestamp, u32), ()>(self.timers.len())
            + self.list_bytes
            + self.holder_bytes
            + map_bytes::<Holder, NumberSet>(self.holders.len())
    }

    /// Gives back what is spare.
    pub(crate) fn trim(&mut self) {
        self.grants.trim();
    }
}

#[cfg(test)]
impl Leases {
    /// Fails unless exactly those items are leased: id, grant, index.
    pub(crate) fn assert_is_of(&self, leased: &[(u64, u32, u16)]) {
        let mut live = BTreeMap::<u32, u16>::new();
        let mut holders = BTreeMap::<Holder, NumberSet>::new();
        for (id, number, index) in leased {
            let grant = self.get(*number);
            assert_eq!(grant.items.get(*index), *id, "item of grant {number}");
            *live.entry(*number).or_default() += 1;
            if let Some(holder) = grant.holder {
                holders.entry(holder).or_default().insert(*id);
            }
        }
        let found: BTreeMap<u32, u16> = self
            .iter()
            .map(|(number, grant)| (number, grant.live))
            .collect();
        assert_eq!(found, live, "items of the grants");
        assert_eq!(self.holders, holders, "items of the holders");
        let held: u64 = holders.values().map(NumberSet::bytes).sum();
        assert_eq!(self.holder_bytes, held, "bytes of the holders");
        let lists = self
            .iter()
            .map(|(_, grant)| grant.items.bytes() + grant.leases.bytes());
        assert_eq!(self.list_bytes, lists.sum::<u64>(), "bytes of lists");
    }
}
