//! Who has leased what, and until when.

use storage_api::{Holder, ItemId, LeaseId, Timestamp};

use crate::footprint::vec_bytes;
use crate::holders::Holders;
use crate::partition::typed;
use crate::slab::Slab;
use crate::timers::{Timer, Timers};

/// Items that were leased by one call: deadline and holder stand here once for all of them.
///
/// One timer serves a grant, and goes with its last item: a lease that was completed costs nothing later.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) deadline: Timestamp,
    pub(crate) holder: Option<Holder>,
    members: Members,
    /// How many of its items are still leased by it.
    live: u16,
    timer: Timer,
}

impl Grant {
    /// The lease of the item at an index of it.
    pub(crate) fn lease(&self, index: u16) -> LeaseId {
        let (_, lease) = self.members.get(index);
        LeaseId::new(lease).expect("leases are given out within their limit")
    }

    /// Every item it ever had, with its index. Those that have left say so in their slots.
    pub(crate) fn items(&self) -> impl Iterator<Item = (u64, u16)> + '_ {
        self.items_behind(0)
    }

    /// The items behind some at its front.
    fn items_behind(&self, skipped: u16) -> impl Iterator<Item = (u64, u16)> + '_ {
        (skipped..self.members.len()).map(|index| (self.members.get(index).0, index))
    }
}

/// The items of a grant and their leases, at least one and at most 10 000.
#[derive(Debug)]
pub(crate) enum Members {
    /// Consecutive items under consecutive leases, as they mostly are.
    Run {
        item: u64,
        lease: u64,
        len: u16,
    },
    List(Box<[(u64, u64)]>),
}

impl Members {
    pub(crate) fn new(members: &[(u64, u64)]) -> Self {
        let is_run = members
            .windows(2)
            .all(|pair| (pair[0].0 + 1, pair[0].1 + 1) == pair[1]);
        match (members.first(), u16::try_from(members.len())) {
            (Some(&(item, lease)), Ok(len)) if is_run => Self::Run { item, lease, len },
            _ => Self::List(members.into()),
        }
    }

    pub(crate) fn len(&self) -> u16 {
        match self {
            Self::Run { len, .. } => *len,
            Self::List(members) => {
                u16::try_from(members.len()).expect("a grant has at most 10 000 items")
            }
        }
    }

    fn get(&self, index: u16) -> (u64, u64) {
        match self {
            Self::Run { item, lease, .. } => (item + u64::from(index), lease + u64::from(index)),
            Self::List(members) => members[usize::from(index)],
        }
    }

    /// The first and the last id, where the items are in order of their ids.
    fn id_range(&self) -> Option<(u64, u64)> {
        let is_ordered = match self {
            Self::Run { .. } => true,
            Self::List(members) => members.is_sorted_by_key(|(item, _)| *item),
        };
        is_ordered.then(|| (self.get(0).0, self.get(self.len() - 1).0))
    }

    /// How many of items in order of their ids are before one.
    fn count_before(&self, id: u64) -> u16 {
        let before = match self {
            Self::Run { item, .. } => id.saturating_sub(*item),
            Self::List(members) => members.partition_point(|(item, _)| *item < id) as u64,
        };
        u16::try_from(before).map_or(self.len(), |before| before.min(self.len()))
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Run { .. } => 0,
            Self::List(members) => vec_bytes::<(u64, u64)>(members.len()),
        }
    }
}

/// The grants of a partition.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    grants: Slab<Grant>,
    timers: Timers,
    holders: Holders,
    /// Bytes of the lists of members.
    list_bytes: u64,
}

impl Leases {
    /// Leases items; answers the number of their grant, in which each has the index of its place.
    pub(crate) fn grant(
        &mut self,
        deadline: Timestamp,
        holder: Option<Holder>,
        members: Members,
    ) -> u32 {
        self.list_bytes += members.bytes();
        let ids = members.id_range();
        let timers = &mut self.timers;
        let number = self.grants.insert(|number| Grant {
            deadline,
            holder,
            live: members.len(),
            members,
            timer: timers.insert(deadline, ids, number),
        });
        if let Some(holder) = holder {
            let grant = self.grants.get(number);
            let items = grant.into_iter().flat_map(Grant::items);
            items.for_each(|(item, _)| self.holders.insert(holder, item));
        }
        number
    }

    #[inline]
    pub(crate) fn get(&self, grant: u32) -> &Grant {
        let grant = self.grants.get(grant);
        grant.expect("a leased item keeps its grant")
    }

    /// An item is no longer leased by a grant; answers the deadline that it had.
    pub(crate) fn leave(&mut self, number: u32, item: u64) -> Timestamp {
        let grant = self.grants.get_mut(number);
        let grant = grant.expect("a leased item keeps its grant");
        let deadline = grant.deadline;
        if let Some(holder) = grant.holder {
            self.holders.remove(holder, item);
        }
        grant.live -= 1;
        if grant.live == 0 {
            self.end(number);
        }
        deadline
    }

    /// So many items are no longer leased by a grant, which has no holder.
    pub(crate) fn leave_many(&mut self, number: u32, items: u16) {
        let grant = self.grants.get_mut(number);
        let grant = grant.expect("a leased item keeps its grant");
        grant.live -= items;
        if grant.live == 0 {
            self.end(number);
        }
    }

    /// A grant goes, with its timer.
    fn end(&mut self, number: u32) {
        let (timers, list_bytes) = (&mut self.timers, &mut self.list_bytes);
        self.grants.remove(number, |grant| {
            let (first, _) = grant.members.get(0);
            timers.remove(grant.timer, grant.deadline, first, number);
            *list_bytes -= grant.members.bytes();
        });
    }

    /// Moves the deadline of a grant that has one item left.
    pub(crate) fn extend_last(&mut self, number: u32, deadline: Timestamp) -> bool {
        let Some(grant) = self.grants.get_mut(number).filter(|grant| grant.live == 1) else {
            return false;
        };
        let (first, _) = grant.members.get(0);
        self.timers
            .remove(grant.timer, grant.deadline, first, number);
        grant.deadline = deadline;
        let ids = grant.members.id_range();
        grant.timer = self.timers.insert(deadline, ids, number);
        true
    }

    /// The earliest deadline.
    pub(crate) fn first_due(&self) -> Option<Timestamp> {
        self.timers.first_due()
    }

    /// The first item that a holder has leased.
    pub(crate) fn first_of_holder(&self, holder: Holder) -> Option<ItemId> {
        ItemId::new(self.holders.first_of(holder)?).ok()
    }

    /// Every grant.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Grant)> {
        let numbers = self.timers.grants();
        numbers.map(|number| (number, self.get(number)))
    }

    /// Deadlines and ids in that order, behind a point. `is_leased` tells whether an item is still leased as the one at an
    /// index of a grant.
    ///
    /// Grants in order of deadline and id, as they mostly are, are read where they are needed. Of the others those of one
    /// deadline are looked at together.
    pub(crate) fn due<'a>(
        &'a self,
        behind: Option<(Timestamp, ItemId)>,
        is_leased: impl Fn(u64, u32, u16) -> bool + Copy + 'a,
    ) -> impl Iterator<Item = (Timestamp, ItemId)> + 'a {
        let from = behind.map_or((Timestamp::MIN, 0), |(at, id)| (at, id.get()));
        let leased = move |(at, number): (Timestamp, u32), skipped| {
            let items = self.get(number).items_behind(skipped);
            let leased = items.filter(move |(id, index)| is_leased(*id, number, *index));
            leased.map(move |(id, _)| (at, typed(id)))
        };
        let runs = self.timers.runs_from(from).map(|run| {
            let leased = run.flat_map(move |(at, number)| {
                let skipped = match at == from.0 {
                    true => self.get(number).members.count_before(from.1),
                    false => 0,
                };
                leased((at, number), skipped)
            });
            Box::new(leased) as Box<dyn Iterator<Item = (Timestamp, ItemId)> + 'a>
        });
        let mut others = self.timers.others_from(from.0).peekable();
        let others = std::iter::from_fn(move || {
            let (at, number) = others.next()?;
            let mut items: Vec<_> = leased((at, number), 0).collect();
            while let Some(grant) = others.next_if(|(other, _)| *other == at) {
                items.extend(leased(grant, 0));
            }
            items.sort_unstable();
            Some(items)
        });
        let mut sources: Vec<_> = runs
            .chain([Box::new(others.flatten()) as Box<dyn Iterator<Item = _> + 'a>])
            .map(|source| {
                source
                    .skip_while(move |point| behind.is_some_and(|behind| *point <= behind))
                    .peekable()
            })
            .collect();
        std::iter::from_fn(move || {
            let heads = sources.iter_mut().enumerate();
            let heads = heads.filter_map(|(index, source)| Some((*source.peek()?, index)));
            let (_, first) = heads.min()?;
            sources[first].next()
        })
    }

    /// The bytes that everything here takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.grants.bytes() + self.timers.bytes() + self.list_bytes + self.holders.bytes()
    }

    /// Gives back what is spare.
    pub(crate) fn trim(&mut self) {
        self.grants.trim();
        self.timers.trim();
    }
}

#[cfg(test)]
impl Leases {
    /// Fails unless exactly those items are leased: id, grant, index.
    pub(crate) fn assert_is_of(&self, leased: &[(u64, u32, u16)]) {
        let mut live = std::collections::BTreeMap::<u32, u16>::new();
        let mut holders = Holders::default();
        for (id, number, index) in leased {
            let grant = self.get(*number);
            assert_eq!(grant.members.get(*index).0, *id, "item of grant {number}");
            *live.entry(*number).or_default() += 1;
            if let Some(holder) = grant.holder {
                holders.insert(holder, *id);
            }
        }
        let found: std::collections::BTreeMap<u32, u16> = self
            .iter()
            .map(|(number, grant)| (number, grant.live))
            .collect();
        assert_eq!(found, live, "items of the grants");
        assert_eq!(self.holders, holders, "items of the holders");
        let lists = self.iter().map(|(_, grant)| grant.members.bytes());
        assert_eq!(self.list_bytes, lists.sum::<u64>(), "bytes of lists");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_page_of_many_leases_of_one_deadline_looks_at_little_more_than_itself() {
        let mut leases = Leases::default();
        let at = Timestamp::from_secs(1);
        for grant in 0..10_000 {
            let (item, len) = (1 + grant * 10, 10);
            let lease = item;
            leases.grant(at, None, Members::Run { item, lease, len });
        }
        let looked_at = Cell::new(0);
        let is_leased = |_, _, _| {
            looked_at.set(looked_at.get() + 1);
            true
        };

        let behind = Some((at, typed(70_005)));
        let page: Vec<u64> = leases
            .due(behind, is_leased)
            .take(100)
            .map(|(_, id)| id.get())
            .collect();

        assert_eq!(page, (70_006..70_106).collect::<Vec<_>>());
        assert!(looked_at.get() <= 110, "{} looked at", looked_at.get());
    }

    #[test]
    fn grants_in_no_order_are_due_in_the_order_of_their_items() {
        let mut leases = Leases::default();
        let at = Timestamp::from_secs;
        let mut expected = Vec::new();
        for step in 0..200_u64 {
            let item = 1 + step * 7919 % 1000 * 2;
            let deadline = at(i64::try_from(step * 31 % 5).unwrap());
            let members = [(item + 1, 2 * step), (item, 2 * step + 1)];
            leases.grant(
                deadline,
                None,
                Members::new(&members[..if step % 2 == 1 { 2 } else { 1 }]),
            );
            expected.push((deadline, typed(item + 1)));
            if step % 2 == 1 {
                expected.push((deadline, typed(item)));
            }
        }
        expected.sort_unstable();

        for behind in [None, Some(expected[77]), Some(expected[200])] {
            let left = expected.iter().filter(|point| Some(**point) > behind);
            let due = leases.due(behind, |_, _, _| true);
            assert!(due.eq(left.copied()), "behind {behind:?}");
        }
    }
}
