//! Metadata: entries, ranges and scans.

use crate::error::Result;
use crate::limits::KEY_BYTES_MAX;
use crate::names::{Key, Namespace, Value};
use crate::numbers::{Count, Version};
use crate::time::Timestamp;

use super::cursor::Cursor;

/// One entry of the metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataEntry {
    /// The key within its namespace.
    pub key: Key,
    /// The value.
    pub value: Value,
    /// The version of the commit that wrote it.
    pub version: Version,
    /// From when on it is absent (clause META-4).
    pub expires_at: Option<Timestamp>,
}

/// The keys from `from` up to but without `to`, in byte order (clause META-3).
///
/// ```
/// use storage_api::{Key, KeyRange};
///
/// let users = KeyRange::prefix("user/")?;
/// assert!(users.contains(&Key::try_from("user/7")?));
/// assert!(!users.contains(&Key::try_from("users")?));
/// # Ok::<(), storage_api::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct KeyRange {
    from: Option<Key>,
    to: Option<Key>,
}

impl KeyRange {
    /// Every key.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(KeyRange::all().contains(&Key::try_from("anything")?));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn all() -> Self {
        Self::default()
    }

    /// From a key (`None`: the first) up to but without another (`None`: to the end). Empty where `from >= to`.
    ///
    /// ```
    /// # use storage_api::*;
    /// let range = KeyRange::new(Some(Key::try_from("b")?), Some(Key::try_from("d")?));
    /// assert!(range.contains(&Key::try_from("c")?));
    /// assert!(!range.contains(&Key::try_from("d")?));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn new(from: Option<Key>, to: Option<Key>) -> Self {
        Self { from, to }
    }

    /// The keys that start with those bytes, 0 to 1024 of them.
    ///
    /// ```
    /// # use storage_api::*;
    /// let range = KeyRange::prefix("user/")?;
    /// assert_eq!(range.to(), Some(&Key::try_from("user0")?)); // the byte behind the slash
    /// # Ok::<(), Error>(())
    /// ```
    pub fn prefix(prefix: impl AsRef<[u8]>) -> Result<Self> {
        let prefix = prefix.as_ref();
        crate::names::check_len("key prefix", 0, KEY_BYTES_MAX, prefix.len())?;
        if prefix.is_empty() {
            return Ok(Self::all());
        }
        // The first key behind the prefix: its last byte that can grow, grown. None can: the range has no end.
        let end = prefix.iter().rposition(|byte| *byte < u8::MAX).map(|last| {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            end
        });
        Ok(Self {
            from: Some(Key::try_from(prefix)?),
            to: end.map(Key::new).transpose()?,
        })
    }

    /// The first key of the range, if it has a beginning.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(KeyRange::prefix("a")?.from(), Some(&Key::try_from("a")?));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn from(&self) -> Option<&Key> {
        self.from.as_ref()
    }

    /// The first key behind the range, if it has an end.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(KeyRange::prefix([0xff])?.to(), None);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn to(&self) -> Option<&Key> {
        self.to.as_ref()
    }

    /// Whether no key can lie within.
    ///
    /// ```
    /// # use storage_api::*;
    /// let key = Key::try_from("a")?;
    /// assert!(KeyRange::new(Some(key.clone()), Some(key)).is_empty());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        matches!((&self.from, &self.to), (Some(from), Some(to)) if from >= to)
    }

    /// Whether a key lies within.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(KeyRange::prefix("a")?.contains(&Key::try_from("ann")?));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn contains(&self, key: &Key) -> bool {
        self.from.as_ref().is_none_or(|from| from <= key)
            && self.to.as_ref().is_none_or(|to| key < to)
    }
}

/// The direction of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// From the smallest key to the largest.
    #[default]
    Forward,
    /// From the largest key to the smallest.
    Backward,
}

/// What `scan` is asked for (clause META-3).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScanRequest {
    /// The namespace.
    pub namespace: Namespace,
    /// The keys.
    pub range: KeyRange,
    /// The direction.
    pub direction: Direction,
    /// Where the page before ended.
    pub after: Option<Cursor>,
    /// The largest page; a page also ends before its keys and values exceed 32 MiB.
    pub entries_max: Count,
}

impl ScanRequest {
    /// That range of that namespace, forward, in the largest pages.
    ///
    /// ```
    /// # use storage_api::*;
    /// let request = ScanRequest::new(Namespace::new("users")?, KeyRange::all());
    /// assert_eq!(request.entries_max, Count::MAX);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn new(namespace: Namespace, range: KeyRange) -> Self {
        Self {
            namespace,
            range,
            direction: Direction::Forward,
            after: None,
            entries_max: Count::MAX,
        }
    }

    /// In that direction.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let request = ScanRequest::new(Namespace::new("users")?, KeyRange::all());
    /// assert_eq!(request.direction(Direction::Backward).direction, Direction::Backward);
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn direction(mut self, direction: Direction) -> Self {
        self.direction = direction;
        self
    }

    /// The page behind the one that gave this cursor.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let request = ScanRequest::new(Namespace::new("users")?, KeyRange::all());
    /// let (namespace, range) = (&request.namespace, &request.range);
    /// let cursor = Cursor::after_key(namespace, range, Direction::Forward, &Key::try_from("ann")?);
    /// assert!(request.after(cursor).after.is_some());
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn after(mut self, cursor: Cursor) -> Self {
        self.after = Some(cursor);
        self
    }

    /// At most that many entries a page.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let request = ScanRequest::new(Namespace::new("users")?, KeyRange::all());
    /// assert_eq!(request.entries_max(Count::ONE).entries_max, Count::ONE);
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn entries_max(mut self, entries_max: Count) -> Self {
        self.entries_max = entries_max;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_its_last_byte_that_can_grow_has_grown() {
        let end = |prefix: &[u8]| {
            let range = KeyRange::prefix(prefix).unwrap();
            range.to().map(|key| key.as_bytes().to_vec())
        };

        assert_eq!(end(b"a"), Some(b"b".to_vec()));
        assert_eq!(end(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(end(b"\xff\xff"), None);
        assert_eq!(end(b""), None);
    }
}
