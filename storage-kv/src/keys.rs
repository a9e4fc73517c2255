//! The keys of every row: big-endian and of fixed width, so that bytes order as numbers do.
//!
//! ```text
//! catalog   0 | 1 number | 2 number            the backend | a partition | its counters
//! bodies    partition id
//! states    partition id
//! ready     partition priority position
//! due       partition kind due id               of a run of leases the last id
//! dead      partition id
//! dedup     partition key
//! holders   partition holder id
//! entries   namespace key
//! expiry    expires_at namespace key
//! garbage   partition
//! ```
//!
//! `partition` is the four-byte number that a partition gets at its creation; names are values, never keys. Times have their
//! sign flipped. A namespace has its zeros escaped and ends with a mark that is smaller than what can follow an escape, so
//! that namespaces order as their bytes do and none is a prefix of another.

use storage_api::{Namespace, Timestamp};

const BACKEND: u8 = 0;
const PARTITION: u8 = 1;
const COUNTERS: u8 = 2;

/// A zero within a namespace is written as these two bytes.
const ZERO: [u8; 2] = [0, 0xff];
/// Where a namespace ends.
const END: [u8; 2] = [0, 1];
/// Behind every key of a namespace.
const BEHIND: [u8; 2] = [0, 2];

/// What is due. The order decides nothing: due rows are merged by time and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DueKind {
    /// A ready item expires.
    Expiry,
    /// A scheduled item becomes ready, or expires before.
    Scheduled,
    /// A leased item may be taken back.
    Leased,
    /// A dedup key whose item has gone becomes free.
    Key,
}

impl DueKind {
    pub(crate) const COUNT: usize = 4;
    pub(crate) const ALL: [Self; Self::COUNT] =
        [Self::Expiry, Self::Scheduled, Self::Leased, Self::Key];
}

pub(crate) const fn backend() -> [u8; 1] {
    [BACKEND]
}

pub(crate) fn partition(number: u32) -> [u8; 5] {
    join(&[&[PARTITION], &number.to_be_bytes()])
}

/// The first key of a partition record, and the first behind the last.
pub(crate) const fn partitions() -> ([u8; 1], [u8; 1]) {
    ([PARTITION], [PARTITION + 1])
}

pub(crate) fn counters(number: u32) -> [u8; 5] {
    join(&[&[COUNTERS], &number.to_be_bytes()])
}

/// The number in the key of a partition record.
pub(crate) fn partition_of(key: &[u8]) -> Option<u32> {
    let (_, number) = key.split_first()?;
    Some(u32::from_be_bytes(number.try_into().ok()?))
}

/// What the keys of a partition begin with.
pub(crate) const fn prefix(partition: u32) -> [u8; 4] {
    partition.to_be_bytes()
}

/// The first key behind those that begin so; `None`: there is none.
pub(crate) fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut behind = prefix[..=last].to_vec();
    behind[last] += 1;
    Some(behind)
}

/// Of `bodies`, `states` and `dead`.
pub(crate) fn item(partition: u32, id: u64) -> [u8; 12] {
    join(&[&partition.to_be_bytes(), &id.to_be_bytes()])
}

/// The id in a key that ends with one.
pub(crate) fn id_of(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*key.last_chunk()?))
}

pub(crate) fn ready(partition: u32, priority: u8, position: u64) -> [u8; 13] {
    join(&[
        &partition.to_be_bytes(),
        &[priority],
        &position.to_be_bytes(),
    ])
}

/// The priority and position in a key of `ready`.
pub(crate) fn place_of(key: &[u8]) -> Option<(u8, u64)> {
    let key: &[u8; 13] = key.try_into().ok()?;
    Some((key[4], u64::from_be_bytes(*key.last_chunk()?)))
}

pub(crate) fn due(partition: u32, kind: DueKind, at: Timestamp, id: u64) -> [u8; 21] {
    join(&[
        &partition.to_be_bytes(),
        &[kind as u8],
        &time(at),
        &id.to_be_bytes(),
    ])
}

/// The time and id in a key of `due`.
pub(crate) fn due_of(key: &[u8]) -> Option<(Timestamp, u64)> {
    let key: &[u8; 21] = key.try_into().ok()?;
    Some((time_of(key[5..13].try_into().ok()?), id_of(key)?))
}

pub(crate) fn dedup(partition: u32, key: &[u8]) -> Vec<u8> {
    [&partition.to_be_bytes(), key].concat()
}

pub(crate) fn holder(partition: u32, holder: u64, id: u64) -> [u8; 20] {
    join(&[
        &partition.to_be_bytes(),
        &holder.to_be_bytes(),
        &id.to_be_bytes(),
    ])
}

/// What the keys of a namespace in `entries` begin with.
pub(crate) fn namespace(namespace: &Namespace) -> Vec<u8> {
    ended(namespace, END)
}

/// The first key of `entries` behind a namespace.
pub(crate) fn behind_namespace(namespace: &Namespace) -> Vec<u8> {
    ended(namespace, BEHIND)
}

pub(crate) fn entry(namespace: &Namespace, key: &[u8]) -> Vec<u8> {
    let mut bytes = self::namespace(namespace);
    bytes.extend_from_slice(key);
    bytes
}

/// The namespace and the key in a key of `entries`.
pub(crate) fn entry_of(bytes: &[u8]) -> Option<(Namespace, &[u8])> {
    let mut name = Vec::new();
    let mut rest = bytes;
    loop {
        let zero = rest.iter().position(|byte| *byte == 0)?;
        let (before, from_zero) = rest.split_at(zero);
        let (mark, behind) = from_zero.split_at_checked(2)?;
        name.extend_from_slice(before);
        rest = behind;
        if mark == END {
            break;
        }
        if mark != ZERO {
            return None;
        }
        name.push(0);
    }
    let name = String::from_utf8(name).ok()?;
    Some((Namespace::new(name).ok()?, rest))
}

/// The key of `expiry` for a key of `entries`.
pub(crate) fn expiry(at: Timestamp, entry: &[u8]) -> Vec<u8> {
    [&time(at), entry].concat()
}

/// The time and the key of `entries` in a key of `expiry`.
pub(crate) fn expiry_of(key: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (at, entry) = key.split_first_chunk()?;
    Some((time_of(*at), entry))
}

/// A time as bytes that order as it does.
pub(crate) fn time(at: Timestamp) -> [u8; 8] {
    (at.as_micros() ^ i64::MIN).to_be_bytes()
}

fn time_of(bytes: [u8; 8]) -> Timestamp {
    Timestamp::from_micros(i64::from_be_bytes(bytes) ^ i64::MIN)
}

fn ended(namespace: &Namespace, mark: [u8; 2]) -> Vec<u8> {
    let name = namespace.as_str().as_bytes();
    let mut bytes = Vec::with_capacity(name.len() + 16);
    for byte in name {
        match byte {
            0 => bytes.extend_from_slice(&ZERO),
            byte => bytes.push(*byte),
        }
    }
    bytes.extend_from_slice(&mark);
    bytes
}

fn join<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut key = [0; N];
    let mut at = 0;
    for part in parts {
        key[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    debug_assert_eq!(at, N, "a key of fixed width is filled");
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    /// Numbers at which widths, signs and carries change.
    const NUMBERS: [u64; 9] = [1, 9, 10, 255, 256, 65_535, 65_536, 1 << 32, (1 << 63) - 1];
    const TIMES: [i64; 7] = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];

    #[test]
    fn numbers_and_times_order_as_bytes() {
        assert!(NUMBERS.map(|id| item(7, id)).is_sorted());
        assert!(NUMBERS.map(|position| ready(7, 3, position)).is_sorted());
        assert!(NUMBERS.map(|id| holder(7, 3, id)).is_sorted());
        assert!(TIMES.map(|micros| time(at(micros))).is_sorted());
        assert!(
            TIMES
                .map(|micros| due(7, DueKind::Leased, at(micros), 1))
                .is_sorted()
        );
        assert!(due(7, DueKind::Key, at(3), 9) < due(7, DueKind::Key, at(3), 10));
        assert!(ready(7, 1, u64::MAX) < ready(7, 2, 1));
        assert!(item(1, u64::MAX) < item(10, 0));
    }

    #[test]
    fn keys_that_end_with_a_number_are_of_the_length_that_is_told() {
        use crate::keyspace::Keyspace;
        let due = due(1, DueKind::Key, at(2), 3);
        for (space, len) in [
            (Keyspace::Bodies, item(1, 2).len()),
            (Keyspace::States, item(1, 2).len()),
            (Keyspace::Dead, item(1, 2).len()),
            (Keyspace::Ready, ready(1, 2, 3).len()),
            (Keyspace::Due, due.len()),
            (Keyspace::Holders, holder(1, 2, 3).len()),
        ] {
            assert_eq!(space.numbered_key_len(), Some(len), "{space}");
        }
    }

    #[test]
    fn what_goes_into_a_key_comes_out() {
        for number in NUMBERS {
            assert_eq!(id_of(&item(1, number)), Some(number));
            assert_eq!(id_of(&holder(1, 2, number)), Some(number));
            assert_eq!(place_of(&ready(1, 255, number)), Some((255, number)));
        }
        for micros in TIMES {
            let key = due(u32::MAX, DueKind::Key, at(micros), 5);
            assert_eq!(due_of(&key), Some((at(micros), 5)));
            let key = expiry(at(micros), b"entry");
            assert_eq!(expiry_of(&key), Some((at(micros), b"entry".as_slice())));
        }
        assert_eq!(partition_of(&partition(77)), Some(77));
    }

    #[test]
    fn namespaces_order_by_bytes_and_never_mix() {
        let mut names = [
            "\0",
            "\0\0",
            "\0\u{1}",
            "\0\u{7f}",
            "\0a",
            "\u{1}",
            "a",
            "a\0",
            "a\0b",
            "a\u{1}",
            "ab",
            "\u{10ffff}",
        ];
        names.sort_unstable();
        let keys: [&[u8]; 4] = [b"", b"\0", b"\xff", b"\xff\xff\xff"];
        let mut all = Vec::new();
        for name in names {
            let name = Namespace::new(name).unwrap();
            for key in keys {
                let row = entry(&name, key);
                assert_eq!(entry_of(&row), Some((name.clone(), key)));
                assert!(row < behind_namespace(&name) && namespace(&name) <= row);
                all.push(row);
            }
        }
        assert!(all.is_sorted(), "namespace by namespace, key by key");
    }

    #[test]
    fn keys_that_are_none_are_told() {
        assert_eq!(place_of(b"short"), None);
        assert_eq!(due_of(b""), None);
        assert_eq!(entry_of(b"no end"), None);
        assert_eq!(entry_of(b"a\0\x03"), None);
        assert_eq!(id_of(b"1234567"), None);
    }

    #[test]
    fn behind_a_prefix_is_the_next_that_does_not_begin_with_it() {
        assert_eq!(behind(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(behind(&[1, 0xff]), Some(vec![2]));
        assert_eq!(behind(&[0xff, 0xff]), None);
    }
}
