//! Ordered sets of numbers that are mostly close together.

use std::collections::BTreeMap;

use crate::footprint::map_bytes;

/// An ordered set of numbers: 64 neighbours share one word, so that a run of ids costs a few bits each.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct NumberSet {
    /// Bit `n % 64` of word `n / 64`; no word is zero.
    words: BTreeMap<u64, u64>,
}

impl NumberSet {
    pub(crate) fn insert(&mut self, number: u64) {
        *self.words.entry(number / 64).or_default() |= 1 << (number % 64);
    }

    pub(crate) fn remove(&mut self, number: u64) {
        if let Some(word) = self.words.get_mut(&(number / 64)) {
            *word &= !(1 << (number % 64));
            if *word == 0 {
                self.words.remove(&(number / 64));
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The bytes that it takes.
    pub(crate) fn bytes(&self) -> u64 {
        map_bytes::<u64, u64>(self.words.len())
    }

    /// The smallest number that is at least `from`.
    pub(crate) fn first_from(&self, from: u64) -> Option<u64> {
        let mut words = self.words.range(from / 64..);
        let (&index, &word) = words.next()?;
        if index > from / 64 {
            return Some(index * 64 + u64::from(word.trailing_zeros()));
        }
        let rest = word & (u64::MAX << (from % 64));
        if rest != 0 {
            return Some(index * 64 + u64::from(rest.trailing_zeros()));
        }
        let (&index, &word) = words.next()?;
        Some(index * 64 + u64::from(word.trailing_zeros()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_start(set: &NumberSet) -> Vec<u64> {
        std::iter::successors(set.first_from(0), |number| set.first_from(number + 1)).collect()
    }

    #[test]
    fn numbers_come_in_order_across_words() {
        let mut set = NumberSet::default();
        for number in [128, 0, 63, 64, 1 << 40, 65, (1 << 63) - 1] {
            set.insert(number);
        }

        set.remove(64);

        assert_eq!(
            from_start(&set),
            [0, 63, 65, 128, 1 << 40, (1 << 63) - 1],
            "each number once, in order"
        );
    }

    #[test]
    fn a_start_within_a_word_skips_what_is_below() {
        let mut set = NumberSet::default();
        set.insert(3);
        set.insert(70);

        assert_eq!(set.first_from(3), Some(3));
        assert_eq!(set.first_from(4), Some(70));
        assert_eq!(set.first_from(71), None);
    }

    #[test]
    fn an_emptied_set_keeps_nothing() {
        let mut set = NumberSet::default();
        for number in 0..1000 {
            set.insert(number);
        }
        for number in 0..1000 {
            set.remove(number);
        }
        set.remove(5);

        assert!(set.is_empty());
        assert_eq!(set, NumberSet::default());
    }
}
