//! Where the slot of an id is, and which ids there are.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use storage_api::{State, States};

use crate::footprint::{tree_bytes, vec_bytes};
use crate::slot::Slot;
use crate::sorted::Sorted;

/// Slots of a chunk; few in tests, so that random calls reach every chunk's end.
pub(crate) const CHUNK_SLOTS: u64 = if cfg!(test) { 8 } else { 1024 };
/// A chunk with so few items takes more than they would in the side table.
const SPARSE_SLOTS: u16 = if cfg!(test) { 1 } else { 64 };
/// How many sparse chunks may wait for their last items to go, as they do in a queue that is worked off in order.
const SPARSE_CHUNKS_MAX: usize = 4;
/// The window of chunks is stretched over gaps up to this many chunks (8 bytes each).
const GAP_CHUNKS_MAX: u64 = 4096;

/// The slots of a partition, found from the id by subtraction.
///
/// ```text
/// id / 1024 - first ──► window: [chunk][chunk][   ][chunk][tail]     the recent ids
///                       far:    ids that lie far off (restored ones)
///                       stragglers: single slots of chunks that are all but empty
/// ```
///
/// A slot is in exactly one of the three, and a straggler's chunk is not there. No chunk is without items but the last of
/// the window, which is being filled.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    window: VecDeque<Option<Box<Chunk>>>,
    /// The number of the first chunk of the window.
    first: u64,
    far: BTreeMap<u64, Box<Chunk>>,
    stragglers: Sorted<u64, Slot>,
    /// Chunks that became sparse, oldest first. They may be gone or filled again.
    sparse: VecDeque<u64>,
    /// Capacity of all chunks, in slots.
    chunk_slots: usize,
    chunks: usize,
}

/// 1024 neighbours. Slots are appended as ids are given out, so that a small partition has a small chunk.
#[derive(Debug, Default)]
struct Chunk {
    slots: Vec<Slot>,
    by_state: [u16; 4],
    live: u16,
    is_sparse: bool,
}

impl Chunk {
    fn has_any(&self, states: States) -> bool {
        states.iter().any(|state| self.by_state[state as usize] > 0)
    }

    fn get(&self, id: u64) -> Option<&Slot> {
        let slot = self.slots.get(index_of(id))?;
        (!slot.is_vacant()).then_some(slot)
    }

    fn get_mut(&mut self, id: u64) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(index_of(id))?;
        (!slot.is_vacant()).then_some(slot)
    }

    /// Makes room for that many slots: doubled, but never above a whole chunk.
    fn grow_to(&mut self, slots: usize) {
        let capacity = self.slots.capacity();
        if slots > capacity {
            let wanted = (2 * capacity).max(slots).max(4);
            let wanted = wanted.min(index_of(CHUNK_SLOTS - 1) + 1);
            self.slots.reserve_exact(wanted - self.slots.len());
        }
    }

    /// The first item at or behind an id, of those states.
    fn first_from(&self, number: u64, from: u64, states: States) -> Option<u64> {
        if !self.has_any(states) {
            return None;
        }
        let start = if from / CHUNK_SLOTS == number {
            index_of(from)
        } else {
            0
        };
        let rest = self.slots.get(start..)?;
        let found = rest
            .iter()
            .position(|slot| !slot.is_vacant() && states.contains(slot.state()))?;
        Some(number * CHUNK_SLOTS + (start + found) as u64)
    }

    /// The last item up to an id, of those states.
    fn last_to(&self, number: u64, to: u64, states: States) -> Option<u64> {
        if !self.has_any(states) {
            return None;
        }
        let end = if to / CHUNK_SLOTS == number {
            self.slots.len().min(index_of(to) + 1)
        } else {
            self.slots.len()
        };
        let found = self.slots[..end]
            .iter()
            .rposition(|slot| !slot.is_vacant() && states.contains(slot.state()))?;
        Some(number * CHUNK_SLOTS + found as u64)
    }
}

fn index_of(id: u64) -> usize {
    usize::try_from(id % CHUNK_SLOTS).expect("below 1024")
}

impl Slots {
    #[inline]
    pub(crate) fn get(&self, id: u64) -> Option<&Slot> {
        let found = self.chunk(id / CHUNK_SLOTS).and_then(|chunk| chunk.get(id));
        if found.is_none() && !self.stragglers.is_empty() {
            return self.straggler(id);
        }
        found
    }

    // Out of line, as few ids are looked for there: the search of a tree would keep the callers from being inlined.
    #[cold]
    fn straggler(&self, id: u64) -> Option<&Slot> {
        self.stragglers.get(&id)
    }

    #[cold]
    fn far_chunk(&self, number: u64) -> Option<&Chunk> {
        self.far.get(&number).map(Box::as_ref)
    }

    #[cold]
    fn far_chunk_mut(&mut self, number: u64) -> Option<&mut Chunk> {
        self.far.get_mut(&number).map(Box::as_mut)
    }

    /// Changes a slot and answers what the change answers; `None` where there is none.
    pub(crate) fn update<T>(&mut self, id: u64, change: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        if let Some(chunk) = self.chunk_mut(id / CHUNK_SLOTS)
            && let Some(slot) = chunk.get_mut(id)
        {
            let before = slot.state() as usize;
            let answer = change(slot);
            let after = slot.state() as usize;
            chunk.by_state[before] -= 1;
            chunk.by_state[after] += 1;
            return Some(answer);
        }
        self.stragglers.get_mut(&id).map(change)
    }

    /// The slots from an id on that stand side by side, at most so many; none where the id is a straggler.
    pub(crate) fn neighbours(&self, id: u64, most: usize) -> &[Slot] {
        let chunk = self.chunk(id / CHUNK_SLOTS);
        let slots = chunk.and_then(|chunk| chunk.slots.get(index_of(id)..));
        slots.map_or(&[], |slots| &slots[..slots.len().min(most)])
    }

    /// Changes neighbours that are all in one state and go to another; answers how many stand side by side.
    pub(crate) fn move_neighbours(
        &mut self,
        id: u64,
        most: usize,
        [from, to]: [State; 2],
        mut change: impl FnMut(usize, &mut Slot),
    ) -> usize {
        let Some(chunk) = self.chunk_mut(id / CHUNK_SLOTS) else {
            return 0;
        };
        let slots = chunk.slots.get_mut(index_of(id)..).unwrap_or_default();
        let count = slots.len().min(most);
        for (index, slot) in slots[..count].iter_mut().enumerate() {
            debug_assert!(slot.state() == from && !slot.is_vacant());
            change(index, slot);
            debug_assert_eq!(slot.state(), to);
        }
        let moved = u16::try_from(count).expect("a chunk has 1024 slots");
        chunk.by_state[from as usize] -= moved;
        chunk.by_state[to as usize] += moved;
        count
    }

    /// Appends slots of ready items behind the last id, until there are no more or the chunk is full; answers how many.
    pub(crate) fn append_ready(
        &mut self,
        id: u64,
        mut next: impl FnMut() -> Option<Slot>,
    ) -> usize {
        let chunk = self.chunk_for(id / CHUNK_SLOTS);
        let capacity = chunk.slots.capacity();
        let first = index_of(id);
        if chunk.slots.len() < first {
            chunk.grow_to(first);
            chunk.slots.resize(first, Slot::default());
        }
        debug_assert_eq!(chunk.slots.len(), first, "the ids behind are free");
        while chunk.slots.len() <= index_of(CHUNK_SLOTS - 1)
            && let Some(slot) = next()
        {
            chunk.grow_to(chunk.slots.len() + 1);
            chunk.slots.push(slot);
        }
        let count = chunk.slots.len() - first;
        let appended = u16::try_from(count).expect("a chunk has 1024 slots");
        chunk.by_state[State::Ready as usize] += appended;
        chunk.live += appended;
        let grown = chunk.slots.capacity() - capacity;
        self.chunk_slots += grown;
        count
    }

    /// Puts a slot at an id that has none.
    pub(crate) fn insert(&mut self, id: u64, slot: Slot) {
        let chunk = self.chunk_for(id / CHUNK_SLOTS);
        let capacity = chunk.slots.capacity();
        let index = index_of(id);
        if index < chunk.slots.len() {
            chunk.slots[index] = slot;
        } else {
            chunk.grow_to(index + 1);
            chunk.slots.resize(index, Slot::default());
            chunk.slots.push(slot);
        }
        chunk.by_state[slot.state() as usize] += 1;
        chunk.live += 1;
        let grown = chunk.slots.capacity() - capacity;
        self.chunk_slots += grown;
    }

    /// Takes a slot out.
    pub(crate) fn remove(&mut self, id: u64) -> Option<Slot> {
        self.remove_if(id, (), |_| Ok(())).ok()
    }

    /// Takes a slot out if nothing speaks against it; `absent` where there is none.
    #[inline]
    pub(crate) fn remove_if<E>(
        &mut self,
        id: u64,
        absent: E,
        check: impl FnOnce(&Slot) -> Result<(), E>,
    ) -> Result<Slot, E> {
        let number = id / CHUNK_SLOTS;
        let end = self.first + self.window.len() as u64;
        let Some(chunk) = self.chunk_mut(number) else {
            return self.remove_straggler(id, absent, check);
        };
        let Some(slot) = chunk.get_mut(id) else {
            return self.remove_straggler(id, absent, check);
        };
        check(slot)?;
        let removed = std::mem::take(slot);
        chunk.by_state[removed.state() as usize] -= 1;
        chunk.live -= 1;
        let live = chunk.live;
        if live > SPARSE_SLOTS {
            return Ok(removed);
        }
        let is_filling = number + 1 == end && (chunk.slots.len() as u64) < CHUNK_SLOTS;
        if !is_filling {
            if live == 0 {
                self.remove_chunk(number);
            } else if live == SPARSE_SLOTS && !chunk.is_sparse {
                chunk.is_sparse = true;
                self.note_sparse(number);
            }
        }
        Ok(removed)
    }

    #[cold]
    fn note_sparse(&mut self, number: u64) {
        self.sparse.push_back(number);
        self.fold_sparse(SPARSE_CHUNKS_MAX);
    }

    #[cold]
    fn remove_straggler<E>(
        &mut self,
        id: u64,
        absent: E,
        check: impl FnOnce(&Slot) -> Result<(), E>,
    ) -> Result<Slot, E> {
        if let Some(slot) = self.stragglers.get(&id) {
            check(slot)?;
        }
        let removed = self.stragglers.remove(&id);
        removed.map(|(_, slot)| slot).ok_or(absent)
    }

    /// The first id from `from` on whose item is in one of those states.
    pub(crate) fn first_id(&self, states: States, from: u64) -> Option<u64> {
        let number = from / CHUNK_SLOTS;
        let skipped = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let skipped = skipped.min(self.window.len());
        let in_window = self
            .window
            .range(skipped..)
            .zip(self.first + skipped as u64..)
            .find_map(|(chunk, number)| chunk.as_ref()?.first_from(number, from, states));
        let in_far = self
            .far
            .range(number..)
            .find_map(|(number, chunk)| chunk.first_from(*number, from, states));
        let straggler = self
            .stragglers
            .range(Bound::Included(from), Bound::Unbounded)
            .find(|(_, slot)| states.contains(slot.state()))
            .map(|(id, _)| *id);
        [in_window, in_far, straggler].into_iter().flatten().min()
    }

    /// The last id up to `to` whose item is in one of those states.
    pub(crate) fn last_id(&self, states: States, to: u64) -> Option<u64> {
        let number = to / CHUNK_SLOTS;
        let reached = (number + 1).saturating_sub(self.first);
        let reached = usize::try_from(reached).unwrap_or(usize::MAX);
        let reached = reached.min(self.window.len());
        let in_window = (0..reached).rev().find_map(|index| {
            let chunk = self.window[index].as_ref()?;
            chunk.last_to(self.first + index as u64, to, states)
        });
        let in_far = self
            .far
            .range(..=number)
            .rev()
            .find_map(|(number, chunk)| chunk.last_to(*number, to, states));
        let straggler = self
            .stragglers
            .range(Bound::Unbounded, Bound::Included(to))
            .rfind(|(_, slot)| states.contains(slot.state()))
            .map(|(id, _)| *id);
        [in_window, in_far, straggler].into_iter().flatten().max()
    }

    /// The bytes that everything here takes.
    pub(crate) fn bytes(&self) -> u64 {
        vec_bytes::<Slot>(self.chunk_slots)
            + vec_bytes::<Chunk>(self.chunks)
            + vec_bytes::<Option<Box<Chunk>>>(self.window.capacity())
            + vec_bytes::<u64>(self.sparse.capacity())
            + self.stragglers.bytes()
            + tree_bytes::<u64, Box<Chunk>>(self.far.len())
    }

    /// How many bytes more that many new items can take at most whose ids begin with `next`.
    pub(crate) fn growth_max(&self, next: u64, items: u64) -> u64 {
        let end = self.first + self.window.len() as u64;
        let tail = self.window.back().and_then(Option::as_deref);
        let tail = tail.filter(|_| end == next / CHUNK_SLOTS + 1);
        let capacity = tail.map_or(0, |tail| tail.slots.capacity() as u64);
        let wanted = next % CHUNK_SLOTS + items;
        if wanted <= capacity {
            return 0;
        }
        let slot = vec_bytes::<Slot>(1);
        let whole = slot * CHUNK_SLOTS + vec_bytes::<Chunk>(1);
        let chunks = wanted.div_ceil(CHUNK_SLOTS);
        // The tail doubles, as the first chunk of a partition does; any other is made whole.
        let first = match tail.is_some() || self.chunks == 0 {
            true => {
                let doubled = (2 * wanted).clamp(4, CHUNK_SLOTS);
                slot * doubled.saturating_sub(capacity) + vec_bytes::<Chunk>(1)
            }
            false => whole,
        };
        first + (chunks - 1) * whole + self.window_growth_max(chunks)
    }

    /// How many bytes more items can take at most that are restored into so many chunks.
    pub(crate) fn growth_of_chunks_max(&self, chunks: u64) -> u64 {
        let whole = vec_bytes::<Slot>(1) * CHUNK_SLOTS + vec_bytes::<Chunk>(1);
        let far = tree_bytes::<u64, Box<Chunk>>(1);
        chunks * (whole + far) + self.window_growth_max(chunks * (GAP_CHUNKS_MAX + 1))
    }

    /// The window doubles when it is full, and may be stretched over a gap before.
    fn window_growth_max(&self, chunks: u64) -> u64 {
        let (len, capacity) = (self.window.len() as u64, self.window.capacity() as u64);
        match len + chunks > capacity {
            true => (capacity + 2 * chunks + 4) * vec_bytes::<Option<Box<Chunk>>>(1),
            false => 0,
        }
    }

    /// Folds every sparse chunk and gives back what is spare.
    pub(crate) fn trim(&mut self) {
        self.fold_sparse(0);
        if self.window.len() == 1
            && let Some(Some(chunk)) = self.window.front()
            && chunk.live == 0
        {
            self.remove_chunk(self.first);
        }
        self.window.shrink_to_fit();
        self.sparse.shrink_to_fit();
    }

    #[inline]
    fn chunk(&self, number: u64) -> Option<&Chunk> {
        let index = usize::try_from(number.wrapping_sub(self.first)).ok()?;
        match self.window.get(index) {
            Some(chunk) => chunk.as_deref(),
            None => self.far_chunk(number),
        }
    }

    #[inline]
    fn chunk_mut(&mut self, number: u64) -> Option<&mut Chunk> {
        let index = usize::try_from(number.wrapping_sub(self.first)).ok()?;
        if index >= self.window.len() {
            return self.far_chunk_mut(number);
        }
        self.window[index].as_deref_mut()
    }

    /// The chunk of a number, made if there is none.
    #[inline]
    fn chunk_for(&mut self, number: u64) -> &mut Chunk {
        if self.chunk(number).is_none() {
            self.make_chunk(number);
        }
        self.chunk_mut(number).expect("the chunk is there or made")
    }

    #[cold]
    fn make_chunk(&mut self, number: u64) {
        let end = self.first + self.window.len() as u64;
        if !(self.first..end).contains(&number) {
            self.stretch_to(number, end);
        }
        let mut chunk = Box::<Chunk>::default();
        // The first chunk of a partition grows with it; where there is one already, another is going to be filled.
        if self.chunks > 0 {
            chunk.slots.reserve_exact(index_of(CHUNK_SLOTS - 1) + 1);
            self.chunk_slots += chunk.slots.capacity();
        }
        self.chunks += 1;
        let index = usize::try_from(number.wrapping_sub(self.first)).unwrap_or(usize::MAX);
        match self.window.get_mut(index) {
            Some(place) => *place = Some(chunk),
            None => {
                self.far.insert(number, chunk);
            }
        }
        // A chunk that is there has every item of its ids: stragglers return to it.
        if !self.stragglers.is_empty() {
            let from = Bound::Included(number * CHUNK_SLOTS);
            let to = Bound::Excluded((number + 1) * CHUNK_SLOTS);
            let returning: Vec<_> = self.stragglers.range(from, to).map(|(id, _)| *id).collect();
            for id in returning {
                if let Some((_, slot)) = self.stragglers.remove(&id) {
                    self.insert(id, slot);
                }
            }
        }
    }

    /// Makes the window reach a chunk, unless that lies far behind it; what lies far before gives way.
    fn stretch_to(&mut self, number: u64, end: u64) {
        // The last chunk may stay without items only while it is the last.
        if number >= end
            && let Some(Some(chunk)) = self.window.back()
            && chunk.live == 0
        {
            self.remove_chunk(end - 1);
        }
        if self.window.is_empty() {
            self.first = number;
            self.window.push_back(None);
        } else if number >= end {
            if number - end > GAP_CHUNKS_MAX {
                let chunks = self.window.drain(..).zip(self.first..);
                let chunks = chunks.filter_map(|(chunk, number)| Some((number, chunk?)));
                self.far.extend(chunks);
                self.first = number;
            }
            let end = self.first + self.window.len() as u64;
            for _ in end..=number {
                self.window.push_back(None);
            }
        } else if self.first - number <= GAP_CHUNKS_MAX {
            for _ in number..self.first {
                self.window.push_front(None);
            }
            self.first = number;
        }
        // What was far may be covered by the window now.
        let end = self.first + self.window.len() as u64;
        while let Some((&covered, _)) = self.far.range(self.first..end).next() {
            let chunk = self.far.remove(&covered);
            let index = usize::try_from(covered - self.first).expect("it is within the window");
            self.window[index] = chunk;
        }
    }

    #[cold]
    fn remove_chunk(&mut self, number: u64) {
        let index = usize::try_from(number.wrapping_sub(self.first)).unwrap_or(usize::MAX);
        let removed = match self.window.get_mut(index) {
            Some(place) => place.take(),
            None => self.far.remove(&number),
        };
        if let Some(chunk) = removed {
            self.chunks -= 1;
            self.chunk_slots -= chunk.slots.capacity();
        }
        while let Some(None) = self.window.front() {
            self.window.pop_front();
            self.first += 1;
        }
        // A window that was long gives its memory back; a short one is reused.
        if self.window.is_empty() && self.window.capacity() > 64 {
            self.window.shrink_to(8);
        }
    }

    /// Moves the items of the oldest sparse chunks to the side table, until that many are left.
    fn fold_sparse(&mut self, left: usize) {
        while self.sparse.len() > left {
            let Some(number) = self.sparse.pop_front() else {
                return;
            };
            let Some(chunk) = self.chunk_mut(number) else {
                continue;
            };
            chunk.is_sparse = false;
            if chunk.live > SPARSE_SLOTS {
                continue;
            }
            let slots = std::mem::take(&mut chunk.slots);
            self.chunk_slots -= slots.capacity();
            self.remove_chunk(number);
            let stragglers = slots.into_iter().zip(number * CHUNK_SLOTS..);
            for (slot, id) in stragglers.filter(|(slot, _)| !slot.is_vacant()) {
                self.stragglers.insert(id, slot);
            }
        }
    }
}

#[cfg(test)]
impl Slots {
    /// Every id with its slot, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Slot)> {
        let window = self.window.iter().zip(self.first..);
        let window = window.filter_map(|(chunk, number)| Some((number, chunk.as_ref()?)));
        let far = self.far.iter().map(|(number, chunk)| (*number, chunk));
        let chunks = window.chain(far).flat_map(|(number, chunk)| {
            let slots = chunk.slots.iter().zip(number * CHUNK_SLOTS..);
            slots.map(|(slot, id)| (id, slot))
        });
        let stragglers = self.stragglers.iter().map(|(id, slot)| (*id, slot));
        chunks
            .filter(|(_, slot)| !slot.is_vacant())
            .chain(stragglers)
    }

    /// Fails unless counts are those of the slots, and no chunk is kept for nothing.
    pub(crate) fn assert_sound(&self) {
        let window = self.window.iter().zip(self.first..);
        let chunks = window
            .filter_map(|(chunk, number)| Some((number, chunk.as_ref()?)))
            .chain(self.far.iter().map(|(number, chunk)| (*number, chunk)));
        let (mut count, mut capacity) = (0, 0);
        for (number, chunk) in chunks {
            let mut by_state = [0; 4];
            for slot in chunk.slots.iter().filter(|slot| !slot.is_vacant()) {
                by_state[slot.state() as usize] += 1;
            }
            assert_eq!(chunk.by_state, by_state, "states of chunk {number}");
            assert_eq!(chunk.live, by_state.iter().sum(), "items of chunk {number}");
            let is_last = number + 1 == self.first + self.window.len() as u64;
            assert!(chunk.live > 0 || is_last, "chunk {number} is empty");
            count += 1;
            capacity += chunk.slots.capacity();
        }
        assert_eq!(
            (self.chunks, self.chunk_slots),
            (count, capacity),
            "sizes of chunks"
        );
        let own_chunk = |id: &u64| self.chunk(id / CHUNK_SLOTS).is_some();
        assert!(
            !self.stragglers.keys().any(own_chunk),
            "a straggler's chunk"
        );
        for state in State::ALL {
            let mut ids: Vec<u64> = self
                .iter()
                .filter(|(_, slot)| slot.state() == state)
                .map(|(id, _)| id)
                .collect();
            ids.sort_unstable();
            let walked: Vec<u64> = std::iter::successors(self.first_id(state.into(), 0), |id| {
                self.first_id(state.into(), id + 1)
            })
            .collect();
            assert_eq!(walked, ids, "ids in state {state}");
            let mut walked: Vec<u64> =
                std::iter::successors(self.last_id(state.into(), u64::MAX), |id| {
                    self.last_id(state.into(), id.checked_sub(1)?)
                })
                .collect();
            walked.reverse();
            assert_eq!(walked, ids, "ids in state {state}, from the last");
        }
    }
}

#[cfg(test)]
mod tests {
    use storage_api::{ItemBatch, NewItem, Timestamp};

    use super::*;
    use crate::slot::Place;

    fn slot(position: u64) -> Slot {
        let mut batch = ItemBatch::new();
        batch.push(NewItem::new("payload")).unwrap();
        let sealed = batch.seal(Timestamp::EPOCH);
        let place = Place {
            segment: 0,
            offset: 0,
            created: 0,
        };
        let mut slot = Slot::new(sealed.record(0), place);
        slot.set_ready(position);
        slot
    }

    fn filled(ids: impl IntoIterator<Item = u64>) -> Slots {
        let mut slots = Slots::default();
        for id in ids {
            slots.insert(id, slot(id));
        }
        slots
    }

    #[test]
    fn a_straggler_of_each_thousand_does_not_keep_its_chunk() {
        let mut slots = filled(1..=100_000);
        let full = slots.bytes();

        for id in (1..=100_000).filter(|id| id % 1000 != 0) {
            slots.remove(id).unwrap();
        }
        slots.trim();

        slots.assert_sound();
        assert!(slots.bytes() < full / 50, "{} of {full}", slots.bytes());
        for id in (1..=100_000).filter(|id| id % 1000 == 0) {
            assert_eq!(slots.get(id).unwrap().position(), id);
            slots.remove(id).unwrap();
        }
        slots.trim();
        assert_eq!(slots.bytes(), 0);
    }

    #[test]
    fn a_window_that_was_long_is_given_back_with_its_last_item() {
        // The last chunk is full, so that it goes with its items.
        let last = 1250 * CHUNK_SLOTS - 1;
        let mut slots = filled(1..=last);

        for id in 1..=last {
            slots.remove(id).unwrap();
        }

        assert!(slots.bytes() < 1000, "{}", slots.bytes());
    }

    #[test]
    fn ids_that_lie_worlds_apart_are_found_and_listed_in_order() {
        let ids = [1, 2, 1 << 20, (1 << 62) - 1, 1 << 62, (1 << 62) + 5000, 3];
        let mut slots = filled(ids);

        slots.assert_sound();
        assert_eq!(slots.first_id(States::ALL, 4), Some(1 << 20));
        assert_eq!(
            slots.first_id(States::ALL, (1 << 62) + 1),
            Some((1 << 62) + 5000)
        );
        for id in ids {
            assert_eq!(slots.remove(id).map(|slot| slot.position()), Some(id));
            assert_eq!(slots.remove(id), None);
            slots.assert_sound();
        }
    }

    #[test]
    fn a_queue_worked_off_in_order_folds_nothing() {
        let mut slots = filled(1..=50_000);

        for id in 1..=50_000 {
            slots.insert(50_000 + id, slot(id));
            slots.remove(id).unwrap();
            assert!(slots.stragglers.is_empty());
        }

        slots.assert_sound();
    }

    /// Appends that many ready items from an id on; answers by how many bytes the slots have grown.
    fn append(slots: &mut Slots, from: u64, items: u64) -> u64 {
        let before = slots.bytes();
        let ready = slot(1);
        let mut ids = (from..from + items).peekable();
        while let Some(&id) = ids.peek() {
            slots.append_ready(id, || ids.next().map(|_| ready));
        }
        slots.bytes() - before
    }

    #[test]
    fn items_take_no_more_than_was_said_and_whole_chunks_exactly_that() {
        for there in 0..=6 * CHUNK_SLOTS {
            for gone in [0, there / 2, there] {
                for items in 1..=12 * CHUNK_SLOTS {
                    let mut slots = Slots::default();
                    append(&mut slots, 1, there);
                    for id in 1..=gone {
                        slots.remove(id).unwrap();
                    }
                    let case = format!("{items} behind {there}, of which {gone} have gone");
                    let next = there + 1;
                    let room = slots.window.capacity() - slots.window.len();

                    let said = slots.growth_max(next, items);
                    let grown = append(&mut slots, next, items);

                    assert!(grown <= said, "{case}: {said} were said, {grown} taken");
                    let chunks = items.div_ceil(CHUNK_SLOTS);
                    if next % CHUNK_SLOTS == 0 && gone < there && chunks <= room as u64 {
                        assert_eq!(grown, said, "{case}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_chunk_that_lies_far_before_takes_exactly_what_was_said() {
        let number = |index| (1_000_000 + index * GAP_CHUNKS_MAX) * CHUNK_SLOTS;
        // So long a window has room for what a gap would add to it.
        let mut slots = filled([number(0), number(1), number(2)]);
        let before = slots.bytes();

        let said = slots.growth_of_chunks_max(1);
        slots.insert(1, slot(1));

        assert_eq!(slots.far.len(), 1);
        assert_eq!(slots.bytes() - before, said);
    }
}
