//! Metadata: versioned entries beside the items (clauses META-2 to META-7).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use storage_api::limits::BATCH_BYTES_MAX;
use storage_api::{
    Check, Count, Cursor, Direction, Key, KeyRange, MetadataEntry, Namespace, Operation, Page,
    Purged, Result, ScanRequest, Timestamp, Value, Version, Write,
};

/// The entries of one namespace in byte order of their keys.
type Entries = BTreeMap<Key, Stored>;

/// Every entry of a backend.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    /// No namespace is empty.
    namespaces: BTreeMap<Namespace, Entries>,
    /// The entries that expire, in the order in which `purge` reclaims them.
    expiries: BTreeSet<(Timestamp, Namespace, Key)>,
    entries: u64,
    /// Bytes of keys and values.
    bytes: u64,
    /// What the budget was told that the metadata takes.
    pub(crate) charged: u64,
}

/// What a metadata entry costs beyond its key and value: its place in the order of keys, and in that of expiries.
const ENTRY_BYTES: u64 = 256;

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
        self.bytes + ENTRY_BYTES * self.entries
    }

    /// The most bytes by which a write makes it grow.
    pub(crate) fn growth(write: &Write) -> u64 {
        match write {
            Write::Put { key, value, .. } => ENTRY_BYTES + (key.len() + value.len()) as u64,
            Write::Delete { .. } => 0,
        }
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
        after: Option<Namespace>,
        namespaces_max: Count,
    ) -> Page<Namespace> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut names = self
            .namespaces
            .range((from, Bound::Unbounded))
            .map(|(name, _)| name);
        let items: Vec<Namespace> = names.by_ref().take(namespaces_max.get()).cloned().collect();
        let next = match (names.next(), items.last()) {
            (Some(_), Some(last)) => Some(Cursor::after_namespace(last)),
            _ => None,
        };
        Page { items, next }
    }

    pub(crate) fn purge(&mut self, now: Timestamp, entries_max: Count) -> Purged {
        let is_due = |expiry: &&(Timestamp, Namespace, Key)| expiry.0 <= now;
        let mut removed = 0;
        while removed < entries_max.get() {
            let Some((_, namespace, key)) = self.expiries.first().filter(is_due).cloned() else {
                break;
            };
            self.remove(&namespace, &key);
            removed += 1;
        }
        Purged {
            removed,
            more: self.expiries.first().filter(is_due).is_some(),
        }
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
        let stored = Stored {
            value: value.clone(),
            version,
            expires_at: *expires_at,
        };
        self.entries += 1;
        self.bytes += stored.bytes(key) as u64;
        if let Some(at) = expires_at {
            self.expiries.insert((*at, namespace.clone(), key.clone()));
        }
        let entries = self.namespaces.entry(namespace.clone()).or_default();
        entries.insert(key.clone(), stored);
    }

    fn remove(&mut self, namespace: &Namespace, key: &Key) {
        let Some(entries) = self.namespaces.get_mut(namespace) else {
            return;
        };
        let Some(stored) = entries.remove(key) else {
            return;
        };
        if entries.is_empty() {
            self.namespaces.remove(namespace);
        }
        self.entries -= 1;
        self.bytes -= stored.bytes(key) as u64;
        if let Some(at) = stored.expires_at {
            self.expiries.remove(&(at, namespace.clone(), key.clone()));
        }
    }

    /// How many entries there are, expired ones included, and the bytes of their keys and values.
    #[cfg(test)]
    pub(crate) fn usage(&self) -> (u64, u64) {
        (self.entries, self.bytes)
    }

    fn live(&self, now: Timestamp, namespace: &Namespace, key: &Key) -> Option<&Stored> {
        let stored = self.namespaces.get(namespace)?.get(key)?;
        stored.is_live(now).then_some(stored)
    }

    /// The entries between two bounds that have not expired, forwards.
    fn between<'a>(
        &'a self,
        now: Timestamp,
        namespace: &Namespace,
        (from, to): Bounds<'_>,
    ) -> impl DoubleEndedIterator<Item = (&'a Key, &'a Stored)> {
        // A tree panics at bounds that are upside down; nothing lies between them (clause META-3).
        let is_empty = match (from, to) {
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
            (
                Bound::Included(from) | Bound::Excluded(from),
                Bound::Included(to) | Bound::Excluded(to),
            ) => from >= to,
        };
        let entries = self.namespaces.get(namespace).filter(|_| !is_empty);
        entries
            .map(|entries| entries.range::<Key, _>((from, to)))
            .into_iter()
            .flatten()
            .filter(move |(_, stored)| stored.is_live(now))
    }
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
