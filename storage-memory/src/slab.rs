//! Numbered places that are used again, in pages that are given back.

use crate::footprint::vec_bytes;

/// Places of a page.
const PAGE_PLACES: usize = 256;

/// Values by number: a number is free again once its value is removed, and a page of numbers goes with its last value.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    pages: Vec<Option<Page<T>>>,
    /// Pages with a free place, the one that is used next at the end. May name pages that have gone.
    open: Vec<u32>,
    places: usize,
}

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
            places: 0,
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a place of a page is below 256, and there are fewer than 2^24 pages"
)]
impl<T> Slab<T> {
    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        let page = self.pages.get(number as usize / PAGE_PLACES)?.as_ref()?;
        page.values.get(number as usize % PAGE_PLACES)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let page = self
            .pages
            .get_mut(number as usize / PAGE_PLACES)?
            .as_mut()?;
        page.values.get_mut(number as usize % PAGE_PLACES)?.as_mut()
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        let index = self.open_page();
        let page = self.pages[index].as_mut().expect("an open page is there");
        let place = match page.free.pop() {
            Some(place) => {
                page.values[usize::from(place)] = Some(value);
                usize::from(place)
            }
            None => {
                let capacity = page.values.capacity();
                page.values.push(Some(value));
                self.places += page.values.capacity() - capacity;
                page.values.len() - 1
            }
        };
        if page.is_full() {
            page.is_open = false;
            self.open.pop();
        }
        (index * PAGE_PLACES + place) as u32
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let index = number as usize / PAGE_PLACES;
        let page = self.pages.get_mut(index)?.as_mut()?;
        let place = number as usize % PAGE_PLACES;
        let removed = page.values.get_mut(place)?.take()?;
        page.free.push(place as u8);
        if page.free.len() == page.values.len() && (self.open.len() > 1 || !page.is_open) {
            // Another page has room: this one is not needed. The list forgets it when it comes to it.
            self.places -= page.values.capacity();
            self.pages[index] = None;
        } else if !page.is_open {
            page.is_open = true;
            self.open.push(index as u32);
        }
        Some(removed)
    }

    /// The bytes of pages; the free places of a page are counted as if each had been used.
    pub(crate) fn bytes(&self) -> u64 {
        vec_bytes::<Option<T>>(self.places)
            + vec_bytes::<u8>(self.places)
            + vec_bytes::<Option<Page<T>>>(self.pages.capacity())
            + vec_bytes::<u32>(self.open.capacity())
    }

    /// Gives back everything if nothing is there.
    pub(crate) fn trim(&mut self) {
        let is_empty = |page: &Page<T>| page.free.len() == page.values.len();
        if self.pages.iter().flatten().all(is_empty) {
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

    #[test]
    fn a_number_is_used_again_only_after_its_value_has_gone() {
        let mut slab = Slab::default();
        let numbers: Vec<u32> = (0..1000).map(|value| slab.insert(value)).collect();
        for number in &numbers[100..900] {
            slab.remove(*number).unwrap();
        }

        let again: Vec<u32> = (0..800).map(|value| slab.insert(value)).collect();

        for (value, number) in (0..100).zip(&numbers) {
            assert_eq!(slab.get(*number), Some(&value));
        }
        for (value, number) in (0..800).zip(&again) {
            assert_eq!(slab.get(*number), Some(&value));
        }
        assert_eq!(slab.get_mut(u32::MAX), None);
    }

    #[test]
    fn memory_goes_with_the_values_whatever_the_order() {
        let mut slab = Slab::default();
        for round in 0..3 {
            let numbers: Vec<u32> = (0..10_000).map(|value| slab.insert(value)).collect();
            let full = slab.bytes();
            for number in numbers.iter().filter(|number| *number % 2 == round % 2) {
                slab.remove(*number).unwrap();
            }
            for number in numbers.iter().filter(|number| *number % 2 != round % 2) {
                slab.remove(*number).unwrap();
            }
            assert!(slab.bytes() < full / 10, "{} of {full}", slab.bytes());
        }
        slab.trim();
        assert_eq!(slab.bytes(), 0);
    }
}
