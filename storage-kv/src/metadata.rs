//! Metadata: entries, and what is due of them (clauses META-3, META-4 and META-6).
//!
//! ```text
//! entry: 8 version, 1 flags (1 expires), 8 expires_at if it expires, the value
//! ```

use std::ops::ControlFlow;

use bytes::Bytes;
use storage_api::limits::BATCH_BYTES_MAX;
use storage_api::{
    Check, Count, Cursor, Direction, Key, KeyRange, MetadataEntry, Namespace, Page, Purged,
    ScanRequest, Timestamp, Value, Version, Write,
};

use crate::codec::{Reader, Writer};
use crate::engine::{KvResult, OrderedKv, Span};
use crate::keys;
use crate::keyspace::Keyspace;
use crate::store::{Rows, Store, damaged};

/// What the metadata remembers beside its rows, behind its lock.
#[derive(Debug)]
pub(crate) struct MetadataState {
    /// The batch that changed it last.
    pub(crate) batch: u64,
    /// Nothing expires before; a read starts here, behind the traces of what was purged.
    pub(crate) expiry_mark: Timestamp,
}

impl Default for MetadataState {
    fn default() -> Self {
        Self {
            batch: 0,
            expiry_mark: Timestamp::MIN,
        }
    }
}

/// An entry as it is stored.
struct EntryRow<'a> {
    version: Version,
    expires_at: Option<Timestamp>,
    value: &'a [u8],
}

impl<'a> EntryRow<'a> {
    fn decode(row: &'a [u8]) -> Option<Self> {
        let mut row = Reader::new(row);
        let version = Version::new(row.u64()?).ok()?;
        let expires_at = match row.u8()? {
            0 => None,
            1 => Some(Timestamp::from_micros(row.i64()?)),
            _ => return None,
        };
        Some(Self {
            version,
            expires_at,
            value: row.rest(),
        })
    }

    fn head(&self) -> Writer {
        let mut head = Writer::with_capacity(17);
        head.u64(self.version.get());
        match self.expires_at {
            None => head.u8(0),
            Some(at) => head.u8(1).i64(at.as_micros()),
        };
        head
    }

    /// Absent from `expires_at` on (clause META-4).
    fn is_seen(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }

    fn entry(&self, key: &[u8]) -> Option<MetadataEntry> {
        Some(MetadataEntry {
            key: Key::try_from(key).ok()?,
            value: Value::new(Bytes::copy_from_slice(self.value)).ok()?,
            version: self.version,
            expires_at: self.expires_at,
        })
    }
}

fn broken(key: &[u8]) -> crate::engine::KvError {
    damaged(Keyspace::Entries, key, "it does not decode")
}

pub(crate) fn get<E: OrderedKv>(
    store: &Store<E>,
    now: Timestamp,
    namespace: &Namespace,
    key: &Key,
) -> KvResult<Option<MetadataEntry>> {
    let row_key = keys::entry(namespace, key.as_bytes());
    let Some(row) = store.get(Keyspace::Entries, &row_key)? else {
        return Ok(None);
    };
    let row = EntryRow::decode(&row).ok_or_else(|| broken(&row_key))?;
    if !row.is_seen(now) {
        return Ok(None);
    }
    let entry = row.entry(key.as_bytes()).ok_or_else(|| broken(&row_key))?;
    Ok(Some(entry))
}

/// Shows the entries of a range that have not expired: the key, and the row.
fn scan_range<E: OrderedKv>(
    store: &Store<E>,
    now: Timestamp,
    namespace: &Namespace,
    (from, to): (&[u8], Option<&[u8]>),
    direction: Direction,
    mut show: impl FnMut(&[u8], EntryRow<'_>) -> Option<ControlFlow<()>>,
) -> KvResult<()> {
    let from = keys::entry(namespace, from);
    let to = match to {
        Some(to) => keys::entry(namespace, to),
        None => keys::behind_namespace(namespace),
    };
    let prefix = keys::namespace(namespace).len();
    let span = Span::new(&from, &to);
    store.scan(Keyspace::Entries, span, direction, |key, row| {
        let row = EntryRow::decode(row).ok_or_else(|| broken(key))?;
        if !row.is_seen(now) {
            return Ok(ControlFlow::Continue(()));
        }
        show(&key[prefix..], row).ok_or_else(|| broken(key))
    })
}

pub(crate) fn scan<E: OrderedKv>(
    store: &Store<E>,
    now: Timestamp,
    request: &ScanRequest,
    after: Option<&Key>,
) -> KvResult<Page<MetadataEntry>> {
    let ScanRequest {
        namespace,
        range,
        direction,
        entries_max,
        ..
    } = request;
    let mut items: Vec<MetadataEntry> = Vec::new();
    let mut next = None;
    if range.is_empty() {
        return Ok(Page::last(items));
    }
    let mut from = range.from().map_or(&[][..], Key::as_bytes).to_vec();
    let mut to = range.to().map(|key| key.as_bytes().to_vec());
    match (after, direction) {
        (None, _) => {}
        (Some(after), Direction::Forward) => {
            // The smallest key behind.
            from = [after.as_bytes(), &[0]].concat();
        }
        (Some(after), Direction::Backward) => to = Some(after.as_bytes().to_vec()),
    }
    let mut bytes = 0;
    let bounds = (from.as_slice(), to.as_deref());
    scan_range(store, now, namespace, bounds, *direction, |key, row| {
        bytes += key.len() + row.value.len();
        let is_full = items.len() == entries_max.get() || bytes > BATCH_BYTES_MAX;
        if is_full && let Some(last) = items.last() {
            next = Some(Cursor::after_key(namespace, range, *direction, &last.key));
            return Some(ControlFlow::Break(()));
        }
        items.push(row.entry(key)?);
        Some(ControlFlow::Continue(()))
    })?;
    Ok(Page { items, next })
}

pub(crate) fn namespaces<E: OrderedKv>(
    store: &Store<E>,
    after: Option<&Namespace>,
    namespaces_max: Count,
) -> KvResult<Page<Namespace>> {
    let mut items: Vec<Namespace> = Vec::new();
    let mut from = after.map(keys::behind_namespace).unwrap_or_default();
    loop {
        let mut found = None;
        let span = Span {
            from: &from,
            to: None,
        };
        store.scan(Keyspace::Entries, span, Direction::Forward, |key, _| {
            let (namespace, _) = keys::entry_of(key).ok_or_else(|| broken(key))?;
            found = Some(namespace);
            Ok(ControlFlow::Break(()))
        })?;
        let Some(namespace) = found else {
            return Ok(Page::last(items));
        };
        if items.len() == namespaces_max.get() {
            let next = items.last().map(Cursor::after_namespace);
            return Ok(Page { items, next });
        }
        // The entries of a namespace are passed over in one step.
        from = keys::behind_namespace(&namespace);
        items.push(namespace);
    }
}

/// The removal of up to `entries_max` entries that have expired.
pub(crate) fn purge<E: OrderedKv>(
    store: &Store<E>,
    state: &mut MetadataState,
    now: Timestamp,
    entries_max: Count,
    rows: &mut Rows,
) -> KvResult<Purged> {
    let mut purged = Purged::default();
    let mut mark = Timestamp::MAX;
    let from = keys::time(state.expiry_mark);
    let span = Span {
        from: &from,
        to: None,
    };
    store.scan(Keyspace::Expiry, span, Direction::Forward, |key, _| {
        let (at, entry) = keys::expiry_of(key)
            .ok_or_else(|| damaged(Keyspace::Expiry, key, "its key is too short"))?;
        if at > now {
            mark = at;
            return Ok(ControlFlow::Break(()));
        }
        if purged.removed == entries_max.get() {
            mark = at;
            purged.more = true;
            return Ok(ControlFlow::Break(()));
        }
        rows.delete(Keyspace::Expiry, key);
        rows.delete(Keyspace::Entries, entry);
        purged.removed += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    state.expiry_mark = mark;
    Ok(purged)
}

/// The rows of a write (clauses META-2 and META-7).
pub(crate) fn write<E: OrderedKv>(
    store: &Store<E>,
    state: &mut MetadataState,
    write: &Write,
    version: Version,
    rows: &mut Rows,
) -> KvResult<()> {
    let (namespace, key) = write.target();
    let row_key = keys::entry(namespace, key.as_bytes());
    let old = store.get(Keyspace::Entries, &row_key)?;
    let old = match &old {
        None => None,
        Some(row) => Some(EntryRow::decode(row).ok_or_else(|| broken(&row_key))?),
    };
    let old_expiry = old.as_ref().and_then(|old| old.expires_at);
    let new_expiry = match write {
        Write::Put { expires_at, .. } => *expires_at,
        Write::Delete { .. } => None,
    };
    if old_expiry != new_expiry {
        if let Some(at) = old_expiry {
            rows.delete(Keyspace::Expiry, &keys::expiry(at, &row_key));
        }
        if let Some(at) = new_expiry {
            state.expiry_mark = state.expiry_mark.min(at);
            rows.put(Keyspace::Expiry, &keys::expiry(at, &row_key), &[]);
        }
    }
    match write {
        Write::Put {
            value, expires_at, ..
        } => {
            let row = EntryRow {
                version,
                expires_at: *expires_at,
                value: value.as_bytes(),
            };
            let parts = [row.head().as_slice(), row.value].concat();
            rows.put(Keyspace::Entries, &row_key, &[&parts]);
        }
        Write::Delete { .. } if old.is_some() => rows.delete(Keyspace::Entries, &row_key),
        Write::Delete { .. } => {}
    }
    Ok(())
}

/// When the entry of a row expires.
pub(crate) fn expiry_of_row(key: &[u8], row: &[u8]) -> KvResult<Option<Timestamp>> {
    let row = EntryRow::decode(row).ok_or_else(|| broken(key))?;
    Ok(row.expires_at)
}

/// The key that is not as a check says, and the version found there (clause META-5).
pub(crate) fn mismatch<E: OrderedKv>(
    store: &Store<E>,
    now: Timestamp,
    check: &Check,
) -> KvResult<Option<(Key, Option<Version>)>> {
    Ok(match check {
        Check::Absent { namespace, key } => {
            get(store, now, namespace, key)?.map(|found| (key.clone(), Some(found.version)))
        }
        Check::Version {
            namespace,
            key,
            version,
        } => {
            let found = get(store, now, namespace, key)?.map(|entry| entry.version);
            (found != Some(*version)).then(|| (key.clone(), found))
        }
        Check::Range {
            namespace,
            range,
            seen,
        } => range_mismatch(store, now, namespace, range, seen)?,
    })
}

/// The first key in byte order that is there and was not seen, was seen and is not there, or has another version.
fn range_mismatch<E: OrderedKv>(
    store: &Store<E>,
    now: Timestamp,
    namespace: &Namespace,
    range: &KeyRange,
    seen: &[(Key, Version)],
) -> KvResult<Option<(Key, Option<Version>)>> {
    let mut mismatch = None;
    let mut expected = seen.iter().peekable();
    if !range.is_empty() {
        let from = range.from().map_or(&[][..], Key::as_bytes);
        let to = range.to().map(Key::as_bytes);
        let bounds = (from, to);
        scan_range(
            store,
            now,
            namespace,
            bounds,
            Direction::Forward,
            |key, row| {
                let next = expected.peek().map(|(next, _)| next.as_bytes());
                if let Some(next) = next
                    && next < key
                {
                    // Seen, and gone. Told below.
                    return Some(ControlFlow::Break(()));
                }
                if next == Some(key)
                    && let Some((_, version)) = expected.peek()
                    && *version == row.version
                {
                    expected.next();
                    return Some(ControlFlow::Continue(()));
                }
                mismatch = Some((Key::try_from(key).ok()?, Some(row.version)));
                Some(ControlFlow::Break(()))
            },
        )?;
    }
    Ok(mismatch.or_else(|| expected.next().map(|(key, _)| (key.clone(), None))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_row_gives_back_what_went_into_it() {
        for expires_at in [None, Some(Timestamp::MIN), Some(Timestamp::MAX)] {
            let row = EntryRow {
                version: Version::new(7).unwrap(),
                expires_at,
                value: b"value",
            };
            let bytes = [row.head().as_slice(), row.value].concat();

            let back = EntryRow::decode(&bytes).unwrap();

            assert_eq!(back.version, row.version);
            assert_eq!(back.expires_at, row.expires_at);
            assert_eq!(back.value, row.value);
        }
        assert!(EntryRow::decode(&[1, 0, 0, 0, 0, 0, 0, 0, 2]).is_none());
    }
}
