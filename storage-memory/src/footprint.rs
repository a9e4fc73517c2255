//! How many bytes a collection takes from the allocator.

/// The bytes of a buffer with room for that many elements.
pub(crate) const fn vec_bytes<T>(capacity: usize) -> u64 {
    (capacity * size_of::<T>()) as u64
}

/// The bytes of a tree with that many entries.
///
/// A node has room for 11 entries: up to so many there is one node. Of larger trees a node is kept at least half full,
/// after insertions in order it is 6/11 full, after those at random two thirds; with its head, the edges of inner nodes and
/// that slack, an entry takes 1.75 times its size and 4 bytes. What must be counted more exactly is [`Sorted`](crate::sorted::Sorted).
pub(crate) const fn tree_bytes<K, V>(entries: usize) -> u64 {
    let entry = size_of::<K>() + size_of::<V>();
    match entries {
        0 => 0,
        1..=11 => (11 * entry + 16) as u64,
        _ => (entries * (entry * 7 / 4 + 4)) as u64,
    }
}

/// The bytes of a shared slice or text of that length: two counts stand before it.
pub(crate) const fn shared_bytes(len: usize) -> u64 {
    (len + 2 * size_of::<usize>()).next_multiple_of(size_of::<usize>()) as u64
}
