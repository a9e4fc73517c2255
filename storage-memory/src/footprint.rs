//! How many bytes a collection takes from the allocator.

/// The bytes of a buffer with room for that many elements.
pub(crate) const fn vec_bytes<T>(capacity: usize) -> u64 {
    (capacity * size_of::<T>()) as u64
}

/// The bytes of a tree with that many entries.
///
/// A node has room for 11 entries and is kept at least half full, after insertions in order it is 6/11 full, after those
/// at random two thirds; with its head, the edges of inner nodes and that slack, an entry takes 1.75 times its size and 4
/// bytes.
pub(crate) const fn map_bytes<K, V>(entries: usize) -> u64 {
    let entry = size_of::<(K, V)>();
    (entries * (entry * 7 / 4 + 4)) as u64
}
