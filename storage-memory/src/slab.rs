//! Numbered places that are used again, in pages that are given back.

use std::collections::VecDeque;
use std::ops::Bound;

use crate::footprint::vec_bytes;
use crate::sorted::Sorted;

/// Places of a page.
const PAGE_PLACES: usize = 256;
/// By how many places a page grows.
const PAGE_STEP: usize = 16;
/// A page with so few values takes more than they would in the side table.
const SPARSE_VALUES: usize = 16;
/// How many sparse pages may wait for their last values to go, or for others to come.
const SPARSE_PAGES_MAX: usize = 4;

/// Values by number: a number is free again once its value is removed, and a page of numbers goes with its last value. The
/// last few values of a page are moved to a side table, so that they do not keep it.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    pages: Vec<Option<Page<T>>>,
    /// Pages with a free place, the one that is used next at the end. May name pages that have gone.
    open: Vec<u32>,
    /// Pages that became sparse, oldest first. They may have gone, or have been filled again.
    sparse: VecDeque<u32>,
    /// The values of folded pages.
    folded: Sorted<u32, T>,
    places: usize,
}

/// A page without values is folded.
#[derive(Debug)]
struct Page<T> {
    values: Vec<Option<T>>,
    free: Vec<u8>,
    is_open: bool,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            pages: Vec::new(),
            open: Vec::new(),
            sparse: VecDeque::new(),
            folded: Sorted::default(),
            places: 0,
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a place of a page is below 256, and there are fewer than 2^24 pages"
)]
impl<T> Slab<T> {
    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        let page = self.pages.get(number as usize / PAGE_PLACES)?.as_ref()?;
        match page.values.get(number as usize % PAGE_PLACES) {
            Some(value) => value.as_ref(),
            None => self.get_folded(number),
        }
    }

    // Out of line, as almost no value is folded: the search of a tree would keep the callers from being inlined.
    #[cold]
    fn get_folded(&self, number: u32) -> Option<&T> {
        self.folded.get(&number)
    }

    #[cold]
    fn get_folded_mut(&mut self, number: u32) -> Option<&mut T> {
        self.folded.get_mut(&number)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let (index, place) = (number as usize / PAGE_PLACES, number as usize % PAGE_PLACES);
        let len = self.pages.get(index)?.as_ref()?.values.len();
        if place >= len {
            return self.get_folded_mut(number);
        }
        self.pages[index].as_mut()?.values[place].as_mut()
    }

    /// Puts a value at a free number, which it may want to know.
    pub(crate) fn insert(&mut self, value: impl FnOnce(u32) -> T) -> u32 {
        let index = self.open_page();
        let page = self.pages[index].as_mut().expect("an open page is there");
        let numbered = |place| (index * PAGE_PLACES + place) as u32;
        let number = match page.free.pop() {
            Some(place) => {
                let number = numbered(usize::from(place));
                page.values[usize::from(place)] = Some(value(number));
                number
            }
            None => {
                let number = numbered(page.values.len());
                let capacity = page.values.capacity();
                if page.values.len() == capacity {
                    page.values.reserve_exact(PAGE_STEP);
                }
                page.values.push(Some(value(number)));
                self.places += page.values.capacity() - capacity;
                number
            }
        };
        if page.is_full() {
            page.is_open = false;
            self.open.pop();
        }
        number
    }

    /// Drops a value where it is, after a last look at it.
    pub(crate) fn remove<R>(&mut self, number: u32, look: impl FnOnce(&T) -> R) -> Option<R> {
        let index = number as usize / PAGE_PLACES;
        let page = self.pages.get_mut(index)?.as_mut()?;
        let place = number as usize % PAGE_PLACES;
        let Some(value) = page.values.get_mut(place) else {
            return self.remove_folded(number).map(|removed| look(&removed));
        };
        let answer = look(value.as_ref()?);
        *value = None;
        page.free.push(place as u8);
        let is_sparse =
            page.values.len() == PAGE_PLACES && page.free.len() + SPARSE_VALUES == PAGE_PLACES;
        if page.free.len() == page.values.len() && (self.open.len() > 1 || !page.is_open) {
            // Another page has room: this one is not needed. The list forgets it when it comes to it.
            self.places -= page.values.capacity();
            self.pages[index] = None;
        } else if !page.is_open {
            page.is_open = true;
            self.open.push(index as u32);
        }
        if is_sparse {
            self.sparse.push_back(index as u32);
            self.fold_sparse(SPARSE_PAGES_MAX);
        }
        Some(answer)
    }

    #[cold]
    fn remove_folded(&mut self, number: u32) -> Option<T> {
        let (_, removed) = self.folded.remove(&number)?;
        let index = number as usize / PAGE_PLACES;
        let first = (index * PAGE_PLACES) as u32;
        let from = Bound::Included(first);
        let mut rest = self.folded.range(from, Bound::Unbounded);
        let next = rest.next().map(|(next, _)| *next as usize / PAGE_PLACES);
        if next != Some(index) {
            self.pages[index] = None;
        }
        Some(removed)
    }

    /// Moves the values of the oldest sparse pages to the side table, until that many are left.
    fn fold_sparse(&mut self, left: usize) {
        while self.sparse.len() > left {
            let Some(index) = self.sparse.pop_front() else {
                return;
            };
            let Some(page) = self.pages[index as usize].as_mut() else {
                continue;
            };
            if page.values.len() <= page.free.len() || page.free.len() + SPARSE_VALUES < PAGE_PLACES
            {
                continue;
            }
            self.places -= page.values.capacity();
            page.is_open = false;
            page.free = Vec::new();
            let numbers = index * PAGE_PLACES as u32..;
            for (number, value) in numbers.zip(std::mem::take(&mut page.values)) {
                if let Some(value) = value {
                    self.folded.insert(number, value);
                }
            }
        }
    }

    /// The bytes of pages; the free places of a page are counted as if each had been used.
    pub(crate) fn bytes(&self) -> u64 {
        vec_bytes::<Option<T>>(self.places)
            + vec_bytes::<u8>(self.places)
            + vec_bytes::<Option<Page<T>>>(self.pages.capacity())
            + vec_bytes::<u32>(self.open.capacity() + self.sparse.capacity())
            + self.folded.bytes()
    }

    /// Folds every sparse page, and gives back everything if nothing is there.
    pub(crate) fn trim(&mut self) {
        self.fold_sparse(0);
        self.open.shrink_to_fit();
        self.sparse.shrink_to_fit();
        let is_empty = |page: &Page<T>| page.free.len() == page.values.len();
        if self.folded.is_empty() && self.pages.iter().flatten().all(is_empty) {
            *self = Self::default();
        }
    }

    /// The index of a page with a free place, which is the last of `open`.
    fn open_page(&mut self) -> usize {
        while let Some(&index) = self.open.last() {
            let page = self.pages[index as usize].as_ref();
            if page.is_some_and(|page| page.is_open && !page.is_full()) {
                return index as usize;
            }
            self.open.pop();
        }
        let page = Page {
            values: Vec::new(),
            free: Vec::new(),
            is_open: true,
        };
        let vacant = self.vacant_page();
        self.pages[vacant] = Some(page);
        self.open.push(vacant as u32);
        vacant
    }

    fn vacant_page(&mut self) -> usize {
        if let Some(Some(_)) | None = self.pages.last() {
            // Pages in the middle are reused only where the list of pages would grow.
            if self.pages.len() == self.pages.capacity()
                && let Some(vacant) = self.pages.iter().position(Option::is_none)
            {
                return vacant;
            }
            self.pages.push(None);
        }
        self.pages.len() - 1
    }
}

impl<T> Page<T> {
    fn is_full(&self) -> bool {
        self.free.is_empty() && self.values.len() == PAGE_PLACES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remove(slab: &mut Slab<u32>, number: u32) -> Option<u32> {
        slab.remove(number, |value| *value)
    }

    #[test]
    fn a_number_is_used_again_only_after_its_value_has_gone() {
        let mut slab = Slab::default();
        let numbers: Vec<u32> = (0..1000).map(|value| slab.insert(|_| value)).collect();
        for number in &numbers[100..900] {
            remove(&mut slab, *number).unwrap();
        }

        let again: Vec<u32> = (0..800).map(|value| slab.insert(|_| value)).collect();

        for (value, number) in (0..100).zip(&numbers) {
            assert_eq!(slab.get(*number), Some(&value));
        }
        for (value, number) in (0..800).zip(&again) {
            assert_eq!(slab.get(*number), Some(&value));
        }
        assert_eq!(slab.get_mut(u32::MAX), None);
    }

    #[test]
    fn a_value_of_each_hundred_does_not_keep_its_page() {
        let mut slab = Slab::default();
        let numbers: Vec<u32> = (0..100_000).map(|value| slab.insert(|_| value)).collect();
        let full = slab.bytes();

        for number in numbers.iter().filter(|number| *number % 100 != 0) {
            remove(&mut slab, *number).unwrap();
        }
        slab.trim();

        assert!(slab.bytes() < full / 10, "{} of {full}", slab.bytes());
        let again: Vec<u32> = (0..5000).map(|value| slab.insert(|_| value)).collect();
        for number in numbers.iter().step_by(100) {
            assert_eq!(slab.get(*number).copied(), Some(*number));
            *slab.get_mut(*number).unwrap() += 1;
            assert_eq!(remove(&mut slab, *number), Some(*number + 1));
            assert_eq!(remove(&mut slab, *number), None);
        }
        for (value, number) in (0..5000).zip(again) {
            assert_eq!(remove(&mut slab, number), Some(value));
        }
        slab.trim();
        assert_eq!(slab.bytes(), 0);
    }

    #[test]
    fn memory_goes_with_the_values_whatever_the_order() {
        let mut slab = Slab::default();
        for round in 0..3 {
            let numbers: Vec<u32> = (0..10_000).map(|value| slab.insert(|_| value)).collect();
            let full = slab.bytes();
            for number in numbers.iter().filter(|number| *number % 2 == round % 2) {
                remove(&mut slab, *number).unwrap();
            }
            for number in numbers.iter().filter(|number| *number % 2 != round % 2) {
                remove(&mut slab, *number).unwrap();
            }
            assert!(slab.bytes() < full / 10, "{} of {full}", slab.bytes());
        }
        slab.trim();
        assert_eq!(slab.bytes(), 0);
    }
}
