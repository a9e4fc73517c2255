//! Metadata: versioned entries beside the items (clauses META-2 to META-7).

use std::ops::Bound;

use bytes::Bytes;
use storage_api::limits::{BATCH_BYTES_MAX, KEY_BYTES_MAX};
use storage_api::{
    Check, Count, Cursor, Direction, Key, KeyRange, MetadataEntry, Namespace, Operation, Page,
    Purged, Result, ScanRequest, Timestamp, Value, Version, Write,
};

use crate::footprint::shared_bytes;
use crate::sorted::Sorted;

/// Where an entry stands: by namespace, then key, in byte order.
type Place = (Namespace, Key);

/// Every entry of a backend.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    entries: Sorted<Place, Stored>,
    /// The entries that expire, in the order in which `purge` reclaims them.
    expiries: Sorted<(Timestamp, Namespace, Key), ()>,
    /// Bytes of keys and values.
    bytes: u64,
    /// Bytes of the names of namespaces, each of which is there once.
    name_bytes: u64,
    /// What the budget was told that the metadata takes.
    pub(crate) charged: u64,
}

/// What is counted beside the bytes of a key or value: a count of its readers, and where it is.
const SHARED_COUNT_BYTES: u64 = 24;

/// What a key or value takes.
fn owned_bytes(len: usize) -> u64 {
    match len {
        0 => 0,
        len => len as u64 + SHARED_COUNT_BYTES,
    }
}

/// The same bytes in memory of their own, so that they keep nothing else alive, and may be shared with readers.
fn owned(bytes: &[u8]) -> Bytes {
    let owned = Bytes::copy_from_slice(bytes);
    // The count of its readers is made with the first of them.
    drop(owned.clone());
    owned
}

#[derive(Debug)]
struct Stored {
    value: Value,
    version: Version,
    expires_at: Option<Timestamp>,
}

impl Stored {
    fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }

    fn bytes(&self, key: &Key) -> usize {
        key.len() + self.value.len()
    }

    fn owned_bytes(&self, key: &Key) -> u64 {
        owned_bytes(key.len()) + owned_bytes(self.value.len())
    }

    fn to_entry(&self, key: &Key) -> MetadataEntry {
        MetadataEntry {
            key: key.clone(),
            value: self.value.clone(),
            version: self.version,
            expires_at: self.expires_at,
        }
    }
}

impl Metadata {
    /// The bytes that everything here takes.
    pub(crate) fn charge(&self) -> u64 {
        self.entries.bytes() + self.expiries.bytes() + self.bytes + self.name_bytes
    }

    /// The most bytes by which writes make it grow.
    pub(crate) fn growth_max(&self, writes: &[Write]) -> u64 {
        let (mut entries, mut expiries, mut bytes) = (0, 0, 0);
        let mut places = 0;
        for write in writes {
            if let Write::Put {
                namespace,
                key,
                value,
                expires_at,
            } = write
            {
                entries += 1;
                expiries += u64::from(expires_at.is_some());
                places = self.entries.growth_of(&(namespace.clone(), key.clone()));
                bytes += owned_bytes(key.len()) + owned_bytes(value.len());
                bytes += shared_bytes(namespace.as_str().len());
            }
        }
        // Of one it can be said exactly.
        if entries > 1 {
            places = self.entries.growth_max(entries);
        }
        places + self.expiries.growth_max(expiries) + bytes
    }

    pub(crate) fn get(
        &self,
        now: Timestamp,
        namespace: &Namespace,
        key: &Key,
    ) -> Option<MetadataEntry> {
        self.live(now, namespace, key)
            .map(|stored| stored.to_entry(key))
    }

    pub(crate) fn scan(
        &self,
        now: Timestamp,
        request: &ScanRequest,
    ) -> Result<Page<MetadataEntry>> {
        let (namespace, range, direction) = (&request.namespace, &request.range, request.direction);
        let after = match &request.after {
            Some(cursor) => Some(
                cursor
                    .key_point(namespace, range, direction)
                    .map_err(|error| error.during(Operation::Scan, namespace))?,
            ),
            None => None,
        };
        let bounds = bounds_behind(range, direction, after.as_ref());
        let live = self.between(now, namespace, bounds);
        let mut ordered: Box<dyn Iterator<Item = _>> = match direction {
            Direction::Forward => Box::new(live),
            Direction::Backward => Box::new(live.rev()),
        };

        let mut items: Vec<MetadataEntry> = Vec::new();
        let mut bytes = 0;
        for (key, stored) in &mut ordered {
            bytes += stored.bytes(key);
            let is_full = items.len() == request.entries_max.get() || bytes > BATCH_BYTES_MAX;
            if let Some(last) = items.last().filter(|_| is_full) {
                let next = Cursor::after_key(namespace, range, direction, &last.key);
                return Ok(Page {
                    items,
                    next: Some(next),
                });
            }
            items.push(stored.to_entry(key));
        }
        Ok(Page::last(items))
    }

    pub(crate) fn namespaces(
        &self,
        after: Option<&Namespace>,
        namespaces_max: Count,
    ) -> Page<Namespace> {
        let mut names = Vec::new();
        let mut next = self.namespace_behind(after);
        while let Some(name) = next.filter(|_| names.len() < namespaces_max.get()) {
            names.push(name.clone());
            next = self.namespace_behind(Some(name));
        }
        let next = match (next, names.last()) {
            (Some(_), Some(last)) => Some(Cursor::after_namespace(last)),
            _ => None,
        };
        Page { items: names, next }
    }

    /// The first namespace that holds an entry, behind one or of all.
    fn namespace_behind(&self, after: Option<&Namespace>) -> Option<&Namespace> {
        let from = after.map_or(Bound::Unbounded, |after| {
            Bound::Excluded((after.clone(), largest_key()))
        });
        let (place, _) = self.entries.range(from, Bound::Unbounded).next()?;
        Some(&place.0)
    }

    /// The name of a namespace that holds an entry, as it is kept.
    fn kept_name(&self, namespace: &Namespace) -> Option<&Namespace> {
        let from = Bound::Included((namespace.clone(), smallest_key()));
        let (place, _) = self.entries.range(from, Bound::Unbounded).next()?;
        (place.0 == *namespace).then_some(&place.0)
    }

    pub(crate) fn purge(&mut self, now: Timestamp, entries_max: Count) -> Purged {
        let mut removed = 0;
        let mut next = self.first_expired(now);
        while let Some((_, namespace, key)) = next.take_if(|_| removed < entries_max.get()) {
            self.remove(&namespace, &key);
            removed += 1;
            next = self.first_expired(now);
        }
        Purged {
            removed,
            more: next.is_some(),
        }
    }

    fn first_expired(&self, now: Timestamp) -> Option<(Timestamp, Namespace, Key)> {
        let (expiry, ()) = self.expiries.first()?;
        (expiry.0 <= now).then(|| expiry.clone())
    }

    /// Whether a check holds; else the first key that is not as expected, and the version found (clause META-5).
    pub(crate) fn check(
        &self,
        now: Timestamp,
        check: &Check,
    ) -> Result<(), (Key, Option<Version>)> {
        let version = |namespace: &Namespace, key: &Key| {
            self.live(now, namespace, key).map(|stored| stored.version)
        };
        let (key, found, expected) = match check {
            Check::Absent { namespace, key } => (key, version(namespace, key), None),
            Check::Version {
                namespace,
                key,
                version: expected,
            } => (key, version(namespace, key), Some(*expected)),
            Check::Range {
                namespace,
                range,
                seen,
            } => return self.check_range(now, namespace, range, seen),
        };
        if found == expected {
            Ok(())
        } else {
            Err((key.clone(), found))
        }
    }

    /// Walks what is there and what was seen side by side, both in byte order, to the first difference.
    fn check_range(
        &self,
        now: Timestamp,
        namespace: &Namespace,
        range: &KeyRange,
        seen: &[(Key, Version)],
    ) -> Result<(), (Key, Option<Version>)> {
        let mut seen = seen.iter().peekable();
        for (key, stored) in self.between(now, namespace, bounds_of(range)) {
            match seen.peek() {
                Some((expected, _)) if expected < key => return Err((expected.clone(), None)),
                Some((expected, version)) if expected == key && *version == stored.version => {
                    seen.next();
                }
                _ => return Err((key.clone(), Some(stored.version))),
            }
        }
        match seen.next() {
            Some((missing, _)) => Err((missing.clone(), None)),
            None => Ok(()),
        }
    }

    /// Applies a write of the commit that has this version.
    pub(crate) fn write(&mut self, write: &Write, version: Version) {
        let (namespace, key) = write.target();
        self.remove(namespace, key);
        let Write::Put {
            value, expires_at, ..
        } = write
        else {
            return;
        };
        // A key or value that was checked before is one again.
        let value = Value::new(owned(value.as_bytes())).expect("it was a value before");
        let key = Key::new(owned(key.as_bytes())).expect("it was a key before");
        let namespace = match self.kept_name(namespace) {
            Some(kept) => kept.clone(),
            None => {
                self.name_bytes += shared_bytes(namespace.as_str().len());
                Namespace::new(namespace.as_str()).expect("it was a namespace before")
            }
        };
        let stored = Stored {
            value,
            version,
            expires_at: *expires_at,
        };
        self.bytes += stored.owned_bytes(&key);
        if let Some(at) = expires_at {
            let expiry = (*at, namespace.clone(), key.clone());
            self.expiries.insert(expiry, ());
        }
        self.entries.insert((namespace, key), stored);
    }

    fn remove(&mut self, namespace: &Namespace, key: &Key) {
        let place = (namespace.clone(), key.clone());
        let Some((_, stored)) = self.entries.remove(&place) else {
            return;
        };
        if self.kept_name(namespace).is_none() {
            self.name_bytes -= shared_bytes(namespace.as_str().len());
        }
        self.bytes -= stored.owned_bytes(key);
        if let Some(at) = stored.expires_at {
            self.expiries.remove(&(at, place.0, place.1));
        }
    }

    /// How many entries there are, expired ones included, and the bytes of their keys and values.
    #[cfg(test)]
    pub(crate) fn usage(&self) -> (u64, u64) {
        let bytes = self
            .entries
            .iter()
            .map(|((_, key), stored)| stored.bytes(key));
        (self.entries.len() as u64, bytes.sum::<usize>() as u64)
    }

    fn live(&self, now: Timestamp, namespace: &Namespace, key: &Key) -> Option<&Stored> {
        let place = (namespace.clone(), key.clone());
        self.entries
            .get(&place)
            .filter(|stored| stored.is_live(now))
    }

    /// The entries between two bounds that have not expired, forwards.
    fn between<'a>(
        &'a self,
        now: Timestamp,
        namespace: &Namespace,
        (from, to): Bounds<'_>,
    ) -> impl DoubleEndedIterator<Item = (&'a Key, &'a Stored)> + use<'a> {
        let place = |key: &Key| (namespace.clone(), key.clone());
        let from = match from {
            Bound::Unbounded => Bound::Included((namespace.clone(), smallest_key())),
            from => from.map(place),
        };
        let to = match to {
            Bound::Unbounded => Bound::Included((namespace.clone(), largest_key())),
            to => to.map(place),
        };
        // Bounds that are upside down have nothing between them (clause META-3).
        let is_empty = match (&from, &to) {
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
            (Bound::Included(from), Bound::Included(to)) => from > to,
            (
                Bound::Included(from) | Bound::Excluded(from),
                Bound::Included(to) | Bound::Excluded(to),
            ) => from >= to,
        };
        let entries = (!is_empty).then(|| self.entries.range(from, to));
        entries
            .into_iter()
            .flatten()
            .filter(move |(_, stored)| stored.is_live(now))
            .map(|((_, key), stored)| (key, stored))
    }
}

/// No key is before this one.
fn smallest_key() -> Key {
    Key::new(Bytes::from_static(&[0])).expect("a key has at least one byte")
}

/// No key is behind this one.
fn largest_key() -> Key {
    Key::new(Bytes::from_static(&[0xff; KEY_BYTES_MAX])).expect("a key has at most so many bytes")
}

/// Where keys begin and end; the end is never included.
type Bounds<'a> = (Bound<&'a Key>, Bound<&'a Key>);

fn bounds_of(range: &KeyRange) -> Bounds<'_> {
    (
        range.from().map_or(Bound::Unbounded, Bound::Included),
        range.to().map_or(Bound::Unbounded, Bound::Excluded),
    )
}

/// What is left of a range behind a key, in the direction of the scan.
fn bounds_behind<'a>(
    range: &'a KeyRange,
    direction: Direction,
    after: Option<&'a Key>,
) -> Bounds<'a> {
    let (from, to) = bounds_of(range);
    match (after, direction) {
        (None, _) => (from, to),
        (Some(after), Direction::Forward) => (Bound::Excluded(after), to),
        (Some(after), Direction::Backward) => (from, Bound::Excluded(after)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::EPOCH;

    fn namespace(name: &str) -> Namespace {
        Namespace::new(name).unwrap()
    }

    fn key(name: impl AsRef<[u8]>) -> Key {
        Key::try_from(name.as_ref()).unwrap()
    }

    fn put(metadata: &mut Metadata, name: &Key, expires_at: Option<Timestamp>) {
        let write = Write::Put {
            namespace: namespace("n"),
            key: name.clone(),
            value: Value::try_from("value").unwrap(),
            expires_at,
        };
        metadata.write(&write, Version::MIN);
    }

    fn pages(metadata: &Metadata, request: &ScanRequest) -> Vec<Key> {
        let mut request = request.clone();
        let mut keys = Vec::new();
        loop {
            let page = metadata.scan(NOW, &request).unwrap();
            keys.extend(page.items.into_iter().map(|entry| entry.key));
            match page.next {
                Some(next) => request = request.after(next),
                None => return keys,
            }
        }
    }

    #[test]
    fn backward_pages_are_forward_pages_reversed_up_to_the_largest_key() {
        let mut metadata = Metadata::default();
        let mut names: Vec<Key> = (0..50u8).map(|byte| key([byte, 0])).collect();
        names.push(key([0xff; 1024]));
        for name in &names {
            put(&mut metadata, name, None);
        }

        let forward =
            ScanRequest::new(namespace("n"), KeyRange::all()).entries_max(Count::new(7).unwrap());
        let backward = forward.clone().direction(Direction::Backward);

        assert_eq!(pages(&metadata, &forward), names);
        names.reverse();
        assert_eq!(pages(&metadata, &backward), names);
    }

    #[test]
    fn writes_of_one_commit_take_no_more_together_than_was_said() {
        let mut metadata = Metadata::default();
        let writes: Vec<Write> = (0..100_u8)
            .map(|byte| Write::Put {
                namespace: namespace("n"),
                key: key([byte.wrapping_mul(77); 40]),
                value: Value::try_from("value").unwrap(),
                expires_at: Some(NOW),
            })
            .collect();
        let before = metadata.charge();
        let growth = metadata.growth_max(&writes);

        for write in &writes {
            metadata.write(write, Version::MIN);
        }

        let grown = metadata.charge() - before;
        assert!(grown <= growth, "{growth} were said, {grown} taken");
    }

    #[test]
    fn a_range_that_is_upside_down_is_empty() {
        let mut metadata = Metadata::default();
        put(&mut metadata, &key("b"), None);

        for (from, to) in [("c", "a"), ("b", "b")] {
            let range = KeyRange::new(Some(key(from)), Some(key(to)));
            let request = ScanRequest::new(namespace("n"), range);
            assert_eq!(pages(&metadata, &request), []);
        }
    }

    #[test]
    fn a_range_check_names_the_first_key_that_differs() {
        let mut metadata = Metadata::default();
        for name in ["b", "d"] {
            put(&mut metadata, &key(name), None);
        }
        put(&mut metadata, &key("c"), Some(NOW));
        let found = Some(Version::MIN);
        let later = Version::MIN.next().unwrap();
        let cases = [
            (vec![("b", Version::MIN), ("d", Version::MIN)], Ok(())),
            (vec![("d", Version::MIN)], Err((key("b"), found))),
            (vec![("b", Version::MIN)], Err((key("d"), found))),
            (vec![("b", later), ("d", later)], Err((key("b"), found))),
            (vec![("a", later), ("b", later)], Err((key("a"), None))),
            (
                vec![("b", Version::MIN), ("c", later), ("d", Version::MIN)],
                Err((key("c"), None)),
            ),
            (
                vec![("b", Version::MIN), ("d", Version::MIN), ("e", later)],
                Err((key("e"), None)),
            ),
        ];

        for (seen, expected) in cases {
            let check = Check::Range {
                namespace: namespace("n"),
                range: KeyRange::all(),
                seen: seen
                    .iter()
                    .map(|(name, version)| (key(name), *version))
                    .collect(),
            };
            assert_eq!(metadata.check(NOW, &check), expected, "{seen:?}");
        }
    }

    #[test]
    fn an_entry_replaced_or_deleted_leaves_no_expiry_behind() {
        let mut metadata = Metadata::default();
        put(&mut metadata, &key("a"), Some(Timestamp::MIN));
        put(&mut metadata, &key("a"), None);
        put(&mut metadata, &key("b"), Some(Timestamp::MIN));
        let delete = Write::Delete {
            namespace: namespace("n"),
            key: key("b"),
        };
        metadata.write(&delete, Version::MIN);

        let purged = metadata.purge(Timestamp::MAX, Count::MAX);

        assert_eq!(purged, Purged::default());
        assert_eq!(metadata.usage(), (1, 6));
        assert!(metadata.get(NOW, &namespace("n"), &key("a")).is_some());
    }

    #[test]
    fn purging_goes_by_expiry_and_ends_namespaces() {
        let mut metadata = Metadata::default();
        for (name, at) in [("a", 3), ("b", 1), ("c", 2)] {
            put(&mut metadata, &key(name), Some(Timestamp::from_micros(at)));
        }

        let first = metadata.purge(Timestamp::from_micros(3), Count::new(2).unwrap());
        assert_eq!((first.removed, first.more), (2, true));
        assert!(metadata.get(NOW, &namespace("n"), &key("a")).is_some());

        let second = metadata.purge(Timestamp::from_micros(3), Count::new(2).unwrap());
        assert_eq!((second.removed, second.more), (1, false));
        assert_eq!(metadata.namespaces(None, Count::MAX).items, []);
        assert_eq!(metadata.usage(), (0, 0));
    }
}
