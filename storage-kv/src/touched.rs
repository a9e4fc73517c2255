//! The items that an operation looked at: as they were, and as they are now.

use std::cell::Cell;

use crate::item::{Head, Item};

/// Items by id, in a list: operations name them mostly in ascending order, and then the next is right behind the last.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// Ordered by id.
    items: Vec<One>,
    /// Where the next look begins.
    next: Cell<usize>,
}

/// An item that was looked at.
#[derive(Debug)]
pub(crate) struct One {
    id: u64,
    /// `None`: there is none, or it was taken out.
    now: Option<Item>,
    before: Before,
}

/// What an item was when it was read.
#[derive(Debug)]
enum Before {
    Unchanged,
    Changed(Item),
}

impl One {
    /// What was read of an id; `None`: there is no such item.
    pub(crate) fn read(id: u64, item: Option<Item>) -> Self {
        Self {
            id,
            now: item,
            before: Before::Unchanged,
        }
    }

    /// What was read of it, and of which id.
    pub(crate) fn as_read(&self) -> Option<(u64, &Item)> {
        Some((self.id, self.now.as_ref()?))
    }

    /// Notes what was read of it later.
    pub(crate) fn found(&mut self, item: Item) {
        self.now = Some(item);
    }
}

/// An item that has changed, as it was and as it is now.
#[derive(Debug)]
pub(crate) struct Changed<'a> {
    pub(crate) id: u64,
    pub(crate) old: &'a Item,
    /// `None`: it was taken out.
    pub(crate) new: Option<&'a mut Item>,
}

impl Touched {
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Takes in what was read. The ids ascend, and none of them is there yet.
    pub(crate) fn add(&mut self, read: Vec<One>) {
        let is_behind = match (self.items.last(), read.first()) {
            (Some(last), Some(first)) => last.id < first.id,
            _ => true,
        };
        match self.items.is_empty() {
            true => self.items = read,
            false => self.items.extend(read),
        }
        if !is_behind {
            self.items.sort_unstable_by_key(|one| one.id);
        }
        self.next.set(0);
    }

    /// Where the item of an id is, if it was looked at.
    pub(crate) fn find(&self, id: u64) -> Option<usize> {
        let next = self.next.get();
        let near = [next.checked_sub(1), Some(next)];
        let is_it = |at: &usize| self.items.get(*at).is_some_and(|one| one.id == id);
        let found = near.into_iter().flatten().find(is_it);
        let found = found.or_else(|| self.items.binary_search_by_key(&id, |one| one.id).ok())?;
        self.next.set(found + 1);
        Some(found)
    }

    /// An item as it is now.
    pub(crate) fn get(&self, id: u64) -> Option<&Item> {
        self.items[self.find(id)?].now.as_ref()
    }

    /// An item that is about to change.
    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut Item> {
        let at = self.find(id)?;
        let one = &mut self.items[at];
        let item = one.now.as_mut()?;
        if let Before::Unchanged = one.before {
            one.before = Before::Changed(item.clone());
        }
        Some(item)
    }

    /// Takes an item out, once it was shown; the answer is what stays to know of it.
    pub(crate) fn take(&mut self, id: u64, show: impl FnOnce(&Item)) -> Option<Head> {
        let at = self.find(id)?;
        let one = &mut self.items[at];
        let item = one.now.take()?;
        show(&item);
        let head = item.head;
        if let Before::Unchanged = one.before {
            one.before = Before::Changed(item);
        }
        Some(head)
    }

    /// What has changed, in order of id.
    pub(crate) fn changed(&mut self) -> impl Iterator<Item = Changed<'_>> {
        self.items.iter_mut().filter_map(|one| match &one.before {
            Before::Unchanged => None,
            Before::Changed(old) => Some(Changed {
                id: one.id,
                old,
                new: one.now.as_mut(),
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage_api::{ItemState, Position, Timestamp};

    fn item(position: u64) -> Item {
        let head = Head {
            priority: 0,
            payload_len: 1,
            created_at: Timestamp::EPOCH,
            expire_at: None,
            attempts_max: 0,
            has_dedup_key: false,
        };
        let position = Position::new(position).unwrap();
        Item::fresh(head, ItemState::Ready { position })
    }

    #[test]
    fn what_changed_is_told_as_it_was_first_and_is_last() {
        let mut touched = Touched::default();
        assert!(touched.is_empty());
        let read = |id| One::read(id, Some(item(id)));
        touched.add(vec![read(5), read(7), One::read(9, None)]);
        assert!(
            !touched.is_empty(),
            "items are looked for before they are read again"
        );
        touched.add(vec![read(2), read(6)]);

        touched.get_mut(7).unwrap().attempts = 1;
        touched.get_mut(7).unwrap().attempts = 2;
        assert_eq!(
            touched.take(2, |item| assert_eq!(item.attempts, 0)),
            Some(item(2).head)
        );
        assert_eq!(
            touched.take(7, |item| assert_eq!(item.attempts, 2)),
            Some(item(7).head)
        );
        assert_eq!(touched.take(7, |_| panic!("it has gone")), None);
        touched.get_mut(6).unwrap().attempts = 3;

        assert!(touched.get_mut(9).is_none() && touched.find(8).is_none());
        assert_eq!(touched.get(5), Some(&item(5)));
        let now = Item {
            attempts: 3,
            ..item(6)
        };
        let changed = touched.changed();
        let changed = changed.map(|one| (one.id, one.old.clone(), one.new.cloned()));
        let changed: Vec<_> = changed.collect();
        let expected = [
            (2, item(2), None),
            (6, item(6), Some(now)),
            (7, item(7), None),
        ];
        assert_eq!(changed, expected);
    }
}
