//! An ordered map that knows how much memory it takes.

use std::borrow::Borrow;
use std::collections::{BTreeMap, VecDeque};
use std::mem::needs_drop;
use std::ops::Bound;

use crate::footprint::{tree_bytes, vec_bytes};

/// The most entries of a block; few in tests, so that random calls split and join many.
const BLOCK_ENTRIES: usize = if cfg!(test) { 8 } else { 64 };
/// By how many entries a block grows.
const BLOCK_STEP: usize = if cfg!(test) { 2 } else { 8 };

/// The capacity of the upper half of a block that was split.
const SPLIT_ENTRIES: usize = BLOCK_ENTRIES / 2 + BLOCK_STEP;

/// An ordered map: blocks of entries under a small tree.
///
/// What a tree of the standard library takes depends on the order in which it was filled and emptied, by a third and more.
/// Here only the tree above the blocks is one, a fiftieth of the whole, and the capacity of every block is counted.
#[derive(Debug)]
pub(crate) struct Sorted<K, V> {
    /// By a key that is not above any in the block, nor below any in the block before. No block is empty.
    blocks: BTreeMap<K, VecDeque<(K, V)>>,
    len: usize,
    /// The capacity of every block, in entries.
    capacity: usize,
}

impl<K, V> Default for Sorted<K, V> {
    fn default() -> Self {
        Self {
            blocks: BTreeMap::new(),
            len: 0,
            capacity: 0,
        }
    }
}

impl<K: Ord + Clone, V> Sorted<K, V> {
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (_, block) = self.blocks.range::<Q, _>(up_to(key)).next_back()?;
        let index = search(block, key).ok()?;
        Some(&block[index].1)
    }

    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (_, block) = self.blocks.range_mut::<Q, _>(up_to(key)).next_back()?;
        let index = search(block, key).ok()?;
        Some(&mut block[index].1)
    }

    /// Puts an entry in place of the one that is there, which is the answer.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let Some(block) = self.block_for(&key) else {
            self.insert_block(key, value);
            return None;
        };
        let index = match search(block, &key) {
            Ok(index) => return Some(std::mem::replace(&mut block[index].1, value)),
            Err(index) => index,
        };
        if block.len() < BLOCK_ENTRIES {
            let capacity = block.capacity();
            if block.len() == capacity {
                block.reserve_exact(BLOCK_STEP.min(BLOCK_ENTRIES - capacity));
            }
            block.insert(index, (key, value));
            let grown = block.capacity() - capacity;
            self.capacity += grown;
            self.len += 1;
            return None;
        }
        // What comes in order leaves full blocks behind, anything else two halves.
        if index == BLOCK_ENTRIES {
            self.insert_block(key, value);
            return None;
        }
        let mut upper = VecDeque::with_capacity(SPLIT_ENTRIES);
        upper.extend(block.drain(BLOCK_ENTRIES / 2..));
        self.capacity += upper.capacity();
        if let Some((first, _)) = upper.front() {
            self.blocks.insert(first.clone(), upper);
        }
        self.insert(key, value)
    }

    /// An entry begins a block.
    fn insert_block(&mut self, key: K, value: V) {
        let mut block = VecDeque::with_capacity(BLOCK_STEP);
        self.capacity += block.capacity();
        self.len += 1;
        block.push_back((key.clone(), value));
        self.blocks.insert(key, block);
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<(K, V)>
    where
        K: Borrow<Q>,
    {
        let (_, block) = self.blocks.range_mut::<Q, _>(up_to(key)).next_back()?;
        let index = search(block, key).ok()?;
        let before = block.capacity();
        let removed = block.remove(index)?;
        if block.capacity() > BLOCK_STEP && block.len() * 4 <= block.capacity() {
            block.shrink_to(block.len() * 2);
        }
        let (len, after) = (block.len(), block.capacity());
        let next = block.front().map(|(first, _)| first.clone());
        self.len -= 1;
        self.capacity = self.capacity - before + after;
        match next {
            None => {
                self.remove_block(&removed.0);
            }
            Some(next) => {
                // A bound that owns memory goes with its entry, so that it does not keep it.
                if index == 0
                    && needs_drop::<K>()
                    && let Some(block) = self.remove_block(&removed.0)
                {
                    self.capacity += block.capacity();
                    self.blocks.insert(next.clone(), block);
                }
                if len * 4 <= BLOCK_ENTRIES {
                    self.join_next(&next);
                }
            }
        }
        Some(removed)
    }

    /// The first entry.
    pub(crate) fn first(&self) -> Option<(&K, &V)> {
        let (_, block) = self.blocks.first_key_value()?;
        block.front().map(|(key, value)| (key, value))
    }

    /// The last entry.
    pub(crate) fn last(&self) -> Option<(&K, &V)> {
        let (_, block) = self.blocks.last_key_value()?;
        block.back().map(|(key, value)| (key, value))
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        let entries = self.blocks.values().flatten();
        entries.map(|(key, value)| (key, value))
    }

    pub(crate) fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// The entries between two bounds, which are not upside down.
    pub(crate) fn range(
        &self,
        from: Bound<K>,
        to: Bound<K>,
    ) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        // The block in which the range begins has a key at or before it.
        let first = match &from {
            Bound::Unbounded => None,
            Bound::Included(from) | Bound::Excluded(from) => {
                let before = self.blocks.range(..=from).next_back();
                before.map(|(key, _)| key)
            }
        };
        let first = first.map_or(Bound::Unbounded, Bound::Included);
        let blocks = self.blocks.range((first, to.as_ref()));
        blocks.flat_map(move |(_, block)| {
            let start = block.partition_point(|(key, _)| match &from {
                Bound::Unbounded => false,
                Bound::Included(from) => key < from,
                Bound::Excluded(from) => key <= from,
            });
            let end = block.partition_point(|(key, _)| match &to {
                Bound::Unbounded => true,
                Bound::Included(to) => key <= to,
                Bound::Excluded(to) => key < to,
            });
            let entries = block.range(start..end.max(start));
            entries.map(|(key, value)| (key, value))
        })
    }

    /// The bytes that it takes, without what its keys and values own.
    pub(crate) fn bytes(&self) -> u64 {
        vec_bytes::<(K, V)>(self.capacity) + tree_bytes::<K, VecDeque<(K, V)>>(self.blocks.len())
    }

    /// The most bytes by which so many new entries make it grow.
    pub(crate) fn growth_max(&self, entries: u64) -> u64 {
        if entries == 0 {
            return 0;
        }
        // Each full block may be split at once, a block that was split after half a block more.
        let blocks = self.blocks.len() as u64;
        let split = entries.min(blocks) + entries / (BLOCK_ENTRIES / 2) as u64;
        let stepped = entries.min(blocks + 1) * BLOCK_STEP as u64;
        let capacity = split * SPLIT_ENTRIES as u64 + stepped + entries;
        capacity * vec_bytes::<(K, V)>(1) + self.index_growth(split + 1)
    }

    /// The most bytes by which an entry of that key makes it grow.
    pub(crate) fn growth_of(&self, key: &K) -> u64 {
        let before = self.blocks.range(..=key).next_back();
        let block = before.or_else(|| self.blocks.first_key_value());
        let (capacity, blocks) = match block {
            Some((_, block)) if block.len() < block.capacity() => (0, 0),
            Some((_, block)) if block.len() < BLOCK_ENTRIES => (BLOCK_STEP, 0),
            Some(_) => (SPLIT_ENTRIES, 1),
            None => (BLOCK_STEP, 1),
        };
        vec_bytes::<(K, V)>(capacity) + self.index_growth(blocks)
    }

    fn index_growth(&self, blocks: u64) -> u64 {
        let now = self.blocks.len();
        let then = now.saturating_add(usize::try_from(blocks).unwrap_or(usize::MAX / 1024));
        tree_bytes::<K, VecDeque<(K, V)>>(then) - tree_bytes::<K, VecDeque<(K, V)>>(now)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The block to which a key belongs, once its bound is not above it.
    fn block_for(&mut self, key: &K) -> Option<&mut VecDeque<(K, V)>> {
        let is_below_all = self
            .blocks
            .first_key_value()
            .is_some_and(|(first, _)| key < first);
        if is_below_all && let Some((_, block)) = self.blocks.pop_first() {
            self.blocks.insert(key.clone(), block);
        }
        let (_, block) = self.blocks.range_mut(..=key).next_back()?;
        Some(block)
    }

    /// Takes the block out to which a key belongs.
    fn remove_block(&mut self, key: &K) -> Option<VecDeque<(K, V)>> {
        let (bound, _) = self.blocks.range(..=key).next_back()?;
        let bound = bound.clone();
        let block = self.blocks.remove(&bound)?;
        self.capacity -= block.capacity();
        Some(block)
    }

    /// Joins the block of a key and the one behind it, where both are small.
    fn join_next(&mut self, key: &K) {
        let Some((own, block)) = self.blocks.range(..=key).next_back() else {
            return;
        };
        let behind = (Bound::Excluded(own), Bound::Unbounded);
        let Some((next, other)) = self.blocks.range::<K, _>(behind).next() else {
            return;
        };
        if block.len() + other.len() > BLOCK_ENTRIES / 2 {
            return;
        }
        let (own, next) = (own.clone(), next.clone());
        if let Some(mut other) = self.remove_block(&next)
            && let Some(block) = self.blocks.get_mut(&own)
        {
            let before = block.capacity();
            block.reserve_exact(other.len());
            block.append(&mut other);
            self.capacity = self.capacity - before + block.capacity();
        }
    }
}

#[cfg(test)]
impl<K: Ord + Clone, V: PartialEq> PartialEq for Sorted<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

#[cfg(test)]
impl<K: Ord + Clone, V> FromIterator<(K, V)> for Sorted<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut sorted = Self::default();
        for (key, value) in entries {
            sorted.insert(key, value);
        }
        sorted
    }
}

/// Everything up to a key.
fn up_to<Q: ?Sized>(key: &Q) -> (Bound<&Q>, Bound<&Q>) {
    (Bound::Unbounded, Bound::Included(key))
}

fn search<K: Borrow<Q>, Q: Ord + ?Sized, V>(
    block: &VecDeque<(K, V)>,
    key: &Q,
) -> Result<usize, usize> {
    block.binary_search_by(|(other, _)| other.borrow().cmp(key))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn assert_sound<V>(sorted: &Sorted<u32, V>) {
        let capacity: usize = sorted.blocks.values().map(VecDeque::capacity).sum();
        assert_eq!(sorted.capacity, capacity);
        let len: usize = sorted.blocks.values().map(VecDeque::len).sum();
        assert_eq!(sorted.len(), len);
        assert!(sorted.keys().is_sorted());
        for (bound, block) in &sorted.blocks {
            assert!(!block.is_empty() && block.len() <= BLOCK_ENTRIES);
            assert!(block.front().is_some_and(|(first, _)| bound <= first));
        }
    }

    #[test]
    fn it_answers_as_a_tree_does_whatever_comes_and_goes() {
        let (mut sorted, mut tree) = (Sorted::default(), BTreeMap::new());
        let mut number = 7_u32;
        for step in 0..20_000_u32 {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = number >> 24;
            let growth = sorted.growth_of(&key);
            assert!(growth <= sorted.growth_max(1));
            let blocks =
                |more: usize| tree_bytes::<u32, VecDeque<(u32, u32)>>(sorted.blocks.len() + more);
            let split = vec_bytes::<(u32, u32)>(SPLIT_ENTRIES) + blocks(1) - blocks(0);
            assert!(growth <= split, "it said more than a split takes");
            let before = sorted.bytes();
            // It fills, is emptied, and fills again.
            if (number >> 8) % 4 < 1 + (step / 5000) % 3 {
                assert_eq!(sorted.remove(&key), tree.remove_entry(&key), "{key}");
            } else {
                assert_eq!(sorted.insert(key, step), tree.insert(key, step), "{key}");
                assert!(
                    sorted.bytes() <= before + growth,
                    "it grew by more than it said"
                );
            }
            assert_sound(&sorted);
            assert_eq!(sorted.get(&key), tree.get(&key));
            assert_eq!(sorted.first(), tree.first_key_value());
            assert_eq!(sorted.last(), tree.last_key_value());
            let (from, to) = (key.saturating_sub(20), key + 20);
            for bounds in [
                (Bound::Included(from), Bound::Excluded(to)),
                (Bound::Excluded(from), Bound::Included(to)),
                (Bound::Unbounded, Bound::Excluded(to)),
                (Bound::Included(from), Bound::Unbounded),
            ] {
                let found = sorted.range(bounds.0, bounds.1);
                assert!(found.eq(tree.range(bounds)), "{bounds:?}");
                let backwards = sorted.range(bounds.0, bounds.1).rev();
                assert!(backwards.eq(tree.range(bounds).rev()));
            }
        }
    }

    #[test]
    fn what_comes_in_order_fills_its_blocks() {
        let mut sorted = Sorted::default();
        for key in 0..10_000_u32 {
            sorted.insert(key, ());
        }

        assert!(sorted.capacity <= 10_000 + 2 * BLOCK_ENTRIES);
        for key in 0..10_000 {
            assert!(sorted.remove(&key).is_some());
        }
        assert_eq!(sorted.bytes(), 0);
    }

    #[test]
    fn what_is_thinned_out_stands_in_few_blocks() {
        let mut sorted = Sorted::default();
        for key in 0..10_000_u32 {
            sorted.insert(key, ());
        }

        for key in (0..10_000).rev().filter(|key| key % 50 != 0) {
            sorted.remove(&key);
        }

        assert_sound(&sorted);
        assert_eq!(sorted.len(), 200);
        assert!(sorted.blocks.len() <= 150, "{} blocks", sorted.blocks.len());
    }

    #[test]
    fn a_key_that_has_gone_is_not_kept_by_the_index() {
        let mut sorted = Sorted::default();
        let keys: Vec<Arc<str>> = (0..1000).map(|key| format!("{key:04}").into()).collect();
        for key in keys.iter().rev() {
            sorted.insert(Arc::clone(key), ());
        }

        for key in keys.iter().step_by(2) {
            sorted.remove::<str>(key);
        }

        for key in keys.iter().step_by(2) {
            assert_eq!(Arc::strong_count(key), 1, "{key}");
        }
    }
}
