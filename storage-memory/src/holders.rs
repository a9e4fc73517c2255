//! Which items each holder has leased.

use std::ops::Bound;

use storage_api::Holder;

use crate::sorted::Sorted;

/// The items of each holder, in order of their ids: 64 neighbours share one word, so that a run of ids costs a few bits
/// each.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(PartialEq))]
pub(crate) struct Holders {
    /// Bit `id % 64` of word `id / 64` of a holder; no word is zero.
    words: Sorted<(Holder, u64), u64>,
}

impl Holders {
    pub(crate) fn insert(&mut self, holder: Holder, id: u64) {
        let (key, bit) = ((holder, id / 64), 1 << (id % 64));
        match self.words.get_mut(&key) {
            Some(word) => *word |= bit,
            None => {
                self.words.insert(key, bit);
            }
        }
    }

    pub(crate) fn remove(&mut self, holder: Holder, id: u64) {
        let key = (holder, id / 64);
        if let Some(word) = self.words.get_mut(&key) {
            *word &= !(1 << (id % 64));
            if *word == 0 {
                self.words.remove(&key);
            }
        }
    }

    /// The first item of a holder.
    pub(crate) fn first_of(&self, holder: Holder) -> Option<u64> {
        let from = Bound::Included((holder, 0));
        let mut words = self.words.range(from, Bound::Unbounded);
        let ((found, index), word) = words.next()?;
        (*found == holder).then(|| index * 64 + u64::from(word.trailing_zeros()))
    }

    /// The bytes that it takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.words.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_items_of_a_holder_come_in_order_across_words_and_are_nobody_elses() {
        let mut holders = Holders::default();
        let [one, two, three] = [1, 2, 3].map(|number| Holder::new(number).unwrap());
        let ids = [128, 1, 63, 64, 1 << 40, 65, (1 << 63) - 1];
        for id in ids {
            holders.insert(two, id);
        }
        holders.insert(one, 5);
        holders.insert(three, 6);

        let mut found = Vec::new();
        while let Some(id) = holders.first_of(two) {
            holders.remove(two, id);
            found.push(id);
        }

        assert_eq!(found, [1, 63, 64, 65, 128, 1 << 40, (1 << 63) - 1]);
        assert_eq!(
            (holders.first_of(one), holders.first_of(three)),
            (Some(5), Some(6))
        );
        holders.remove(one, 5);
        holders.remove(three, 6);
        holders.remove(three, 7);
        assert_eq!(holders.bytes(), 0);
    }
}
