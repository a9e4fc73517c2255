//! A batch of writes: one buffer, many offsets.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::keyspace::Keyspace;

/// Puts and removals that apply together.
///
/// Ranges are removed first; then the puts and removals of single keys apply, of which the last for a key counts.
/// [`rows`](Self::rows) gives them ordered by key, each key once.
///
/// ```
/// use storage_kv::{Keyspace, WriteBatch};
///
/// let mut batch = WriteBatch::new();
/// batch.put(Keyspace::Ready, b"b", b"2");
/// batch.put(Keyspace::Ready, b"a", b"1");
/// batch.delete(Keyspace::Ready, b"b");
/// let rows: Vec<_> = batch.rows(Keyspace::Ready).collect();
/// assert_eq!(rows, [(b"a".as_slice(), Some(b"1".as_slice())), (b"b".as_slice(), None)]);
/// ```
#[derive(Clone)]
pub struct WriteBatch {
    bytes: Buffer,
    spaces: [Rows; Keyspace::COUNT],
    ranges: Vec<RangeDelete>,
}

/// Keys and values, one behind the other.
#[derive(Clone)]
enum Buffer {
    /// Being filled.
    Own(Vec<u8>),
    /// Filled, and seen by others as well.
    Shared(Arc<Vec<u8>>),
}

impl Buffer {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }

    /// To be written to; copied first if others see it.
    fn to_mut(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => Arc::make_mut(bytes),
        }
    }
}

/// A range of keys that a batch removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeDelete {
    /// Where.
    pub space: Keyspace,
    /// The first key.
    pub from: Vec<u8>,
    /// The first key behind the range.
    pub to: Vec<u8>,
}

#[derive(Clone, Default)]
struct Rows {
    rows: Vec<Row>,
    is_unordered: bool,
}

/// A key at `start` of a buffer, and the value behind it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    start: usize,
    key_len: u32,
    value_len: u32,
}

/// Rows that are put begin at multiples of so many bytes: a checksum takes eight aligned bytes in the time of one other.
const ROW_ALIGNMENT: usize = 8;

/// The value length of a removal; no value is that long.
const REMOVED: u32 = u32::MAX;

impl Row {
    pub(crate) fn key(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start..self.start + self.key_len as usize]
    }

    /// `None`: it is removed.
    pub(crate) fn value(self, bytes: &[u8]) -> Option<&[u8]> {
        if self.value_len == REMOVED {
            return None;
        }
        let start = self.start + self.key_len as usize;
        Some(&bytes[start..start + self.value_len as usize])
    }

    /// Where it lies in its buffer: of two rows in one buffer, that which was written later lies behind.
    pub(crate) fn start(self) -> usize {
        self.start
    }

    /// The same row in a buffer in which that many bytes were put before its own.
    pub(crate) fn shifted(self, bytes: usize) -> Self {
        let start = self.start + bytes;
        Self { start, ..self }
    }
}

impl WriteBatch {
    /// A batch that changes nothing.
    pub fn new() -> Self {
        Self {
            bytes: Buffer::Own(Vec::new()),
            spaces: Default::default(),
            ranges: Vec::new(),
        }
    }

    /// A batch of rows that lie in a buffer, ordered by key and each key once.
    pub(crate) fn of_ordered(
        bytes: Arc<Vec<u8>>,
        rows: [Vec<Row>; Keyspace::COUNT],
        ranges: Vec<RangeDelete>,
    ) -> Self {
        let spaces = rows.map(|rows| Rows {
            rows,
            is_unordered: false,
        });
        Self {
            bytes: Buffer::Shared(bytes),
            spaces,
            ranges,
        }
    }

    /// Makes room for so many rows more in a keyspace.
    pub(crate) fn reserve_rows(&mut self, space: Keyspace, rows: usize) {
        self.spaces[space.index()].rows.reserve(rows);
    }

    /// Makes room for so many bytes of keys and values.
    pub fn reserve(&mut self, bytes: usize) {
        self.bytes.to_mut().reserve(bytes);
    }

    /// Sets the value of a key.
    pub fn put(&mut self, space: Keyspace, key: &[u8], value: &[u8]) {
        self.put_parts(space, key, &[value]);
    }

    /// Sets the value of a key to the parts, one behind the other.
    pub fn put_parts(&mut self, space: Keyspace, key: &[u8], parts: &[&[u8]]) {
        self.put_sealed(space, key, parts, |_| []);
    }

    /// As [`put_parts`](Self::put_parts), with what `seal` makes of key and value behind the value.
    pub(crate) fn put_sealed<const N: usize>(
        &mut self,
        space: Keyspace,
        key: &[u8],
        parts: &[&[u8]],
        seal: impl FnOnce(&[u8]) -> [u8; N],
    ) {
        let bytes = self.bytes.to_mut();
        let start = bytes.len().next_multiple_of(ROW_ALIGNMENT);
        bytes.resize(start, 0);
        bytes.extend_from_slice(key);
        for part in parts {
            bytes.extend_from_slice(part);
        }
        let seal = seal(&bytes[start..]);
        bytes.extend_from_slice(&seal);
        let value_len = bytes.len() - start - key.len();
        self.push(space, start, key.len(), narrow(value_len));
    }

    /// Removes a key; legal where there is none.
    pub fn delete(&mut self, space: Keyspace, key: &[u8]) {
        let bytes = self.bytes.to_mut();
        let start = bytes.len();
        bytes.extend_from_slice(key);
        self.push(space, start, key.len(), REMOVED);
    }

    /// Removes the keys from one up to but without another.
    pub fn delete_range(&mut self, space: Keyspace, from: &[u8], to: &[u8]) {
        if from < to {
            self.ranges.push(RangeDelete {
                space,
                from: from.to_vec(),
                to: to.to_vec(),
            });
        }
    }

    /// Takes what another batch of other keys does.
    pub fn append(&mut self, other: &Self) {
        let shift = self.bytes.as_slice().len();
        self.bytes.to_mut().extend_from_slice(other.buffer());
        for (space, rows) in Keyspace::ALL.into_iter().zip(&other.spaces) {
            for row in &rows.rows {
                self.push(
                    space,
                    row.start + shift,
                    row.key_len as usize,
                    row.value_len,
                );
            }
        }
        self.ranges.extend_from_slice(&other.ranges);
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.spaces.iter().all(|space| space.rows.is_empty())
    }

    /// How many puts and removals of single keys there are.
    pub fn len(&self) -> usize {
        self.spaces.iter().map(|space| space.rows.len()).sum()
    }

    /// The bytes of all keys and values, and of what lies between them.
    pub fn bytes(&self) -> usize {
        self.buffer().len()
    }

    /// The ranges that it removes.
    pub fn ranges(&self) -> &[RangeDelete] {
        &self.ranges
    }

    /// Orders the rows of every keyspace and drops those that a later one replaces. The core hands over ordered batches.
    pub fn order(&mut self) {
        for space in &mut self.spaces {
            if space.is_unordered {
                order(self.bytes.as_slice(), &mut space.rows);
                space.is_unordered = false;
            }
        }
    }

    /// What it puts (`Some`) and removes (`None`) in a keyspace, ordered by key, each key once.
    pub fn rows(&self, space: Keyspace) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let bytes = self.buffer();
        let rows = self.ordered(space);
        (0..rows.len()).map(move |at| (rows[at].key(bytes), rows[at].value(bytes)))
    }

    /// The buffer that holds every key and value.
    pub(crate) fn buffer(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// That buffer, to be kept without a copy of it.
    pub(crate) fn share_buffer(&mut self) -> Arc<Vec<u8>> {
        let shared = match &mut self.bytes {
            Buffer::Own(bytes) => Arc::new(std::mem::take(bytes)),
            Buffer::Shared(bytes) => Arc::clone(bytes),
        };
        self.bytes = Buffer::Shared(Arc::clone(&shared));
        shared
    }

    /// The rows of a keyspace as they lie in [`buffer`](Self::buffer), ordered by key, each key once.
    pub(crate) fn ordered(&self, space: Keyspace) -> Cow<'_, [Row]> {
        let space = &self.spaces[space.index()];
        if !space.is_unordered {
            return Cow::Borrowed(&space.rows);
        }
        let mut rows = space.rows.clone();
        order(self.buffer(), &mut rows);
        Cow::Owned(rows)
    }

    fn push(&mut self, space: Keyspace, start: usize, key_len: usize, value_len: u32) {
        let bytes = self.bytes.as_slice();
        let rows = &mut self.spaces[space.index()];
        let row = Row {
            start,
            key_len: narrow(key_len),
            value_len,
        };
        if let Some(last) = rows.rows.last()
            && last.key(bytes) >= row.key(bytes)
        {
            rows.is_unordered = true;
        }
        rows.rows.push(row);
    }
}

/// Orders rows by key; of one key the last stays.
fn order(bytes: &[u8], rows: &mut Vec<Row>) {
    // The order is stable, so that reversed the row that counts is the first of its key, which deduplication keeps.
    rows.sort_by(|a, b| a.key(bytes).cmp(b.key(bytes)));
    rows.reverse();
    rows.dedup_by(|a, b| a.key(bytes) == b.key(bytes));
    rows.reverse();
}

fn narrow(len: usize) -> u32 {
    u32::try_from(len).expect("keys and values are far below 4 GiB")
}

impl Default for WriteBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WriteBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for range in &self.ranges {
            let span = crate::engine::Span::new(&range.from, &range.to);
            map.entry(&format_args!("{} {span:?}", range.space), &"removed");
        }
        for space in Keyspace::ALL {
            for (key, value) in self.rows(space) {
                let key = format!("{space} {}", key.escape_ascii());
                map.entry(&key, &value.map(|value| value.escape_ascii().to_string()));
            }
        }
        map.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_one_key_the_last_write_counts() {
        let mut batch = WriteBatch::new();
        for (key, value) in [("b", "1"), ("a", "2"), ("b", "3"), ("c", "4"), ("a", "5")] {
            batch.put(Keyspace::Due, key.as_bytes(), value.as_bytes());
        }
        batch.delete(Keyspace::Due, b"c");

        batch.order();

        let rows: Vec<_> = batch.rows(Keyspace::Due).collect();
        let expected: [(&[u8], Option<&[u8]>); 3] =
            [(b"a", Some(b"5")), (b"b", Some(b"3")), (b"c", None)];
        assert_eq!(rows, expected);
    }

    #[test]
    fn appending_keeps_the_rows_of_both() {
        let mut batch = WriteBatch::new();
        batch.put(Keyspace::Ready, b"b", b"1");
        batch.delete_range(Keyspace::Dead, b"a", b"b");
        let mut other = WriteBatch::new();
        other.put(Keyspace::Ready, b"a", b"22");
        other.delete(Keyspace::Due, b"x");

        batch.append(&other);

        assert_eq!(batch.len(), 3);
        let ready: Vec<_> = batch.rows(Keyspace::Ready).collect();
        let expected: [(&[u8], Option<&[u8]>); 2] = [(b"a", Some(b"22")), (b"b", Some(b"1"))];
        assert_eq!(ready, expected);
        assert_eq!(batch.ranges().len(), 1);
    }

    #[test]
    fn an_empty_range_removes_nothing() {
        let mut batch = WriteBatch::new();
        batch.delete_range(Keyspace::Dead, b"b", b"b");
        batch.delete_range(Keyspace::Dead, b"c", b"b");

        assert!(batch.is_empty());
    }
}
