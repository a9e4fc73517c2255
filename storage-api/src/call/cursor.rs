//! Cursors: where a listing goes on. One format for every driver (clause LIST-3).
//!
//! ```text
//! offset  bytes  field
//!      0      1  format, 1
//!      1      4  CRC-32C of what follows, little-endian
//!      5      2  length of the scope, little-endian
//!      7         the scope: what is listed, in which order, of which partition
//!                the point: behind what the next page starts
//! ```

use bytes::Bytes;

use super::listing::Listing;
use super::metadata::{Direction, KeyRange};
use crate::error::{Error, Result};
use crate::names::{Key, Namespace, PartitionId};
use crate::numbers::{ItemId, Position, Version};
use crate::time::Timestamp;

const FORMAT: u8 = 1;
const HEAD_BYTES: usize = 7;

/// Where a listing goes on. Opaque; bound to its listing, checksummed, and good after a reopening.
///
/// Used for another listing, order or partition, for a later partition of the same name, or damaged, it is
/// `InvalidArgument`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor(Bytes);

/// Behind what a page of items starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ItemPoint {
    /// Behind that id.
    Id(ItemId),
    /// Behind that place in lease order.
    Ready(u8, Position),
    /// Behind that due time and id.
    Due(Timestamp, ItemId),
}

impl Cursor {
    /// The cursor of those bytes; whether they are whole is looked at when it is used.
    ///
    /// ```
    /// # use storage_api::*;
    /// let cursor = Cursor::from_bytes(vec![1, 2, 3]);
    /// assert!(cursor.namespace_point().is_err()); // damaged
    /// ```
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, to be kept or sent.
    ///
    /// ```
    /// # use storage_api::*;
    /// let cursor = Cursor::after_namespace(&Namespace::new("users")?);
    /// assert_eq!(Cursor::from_bytes(cursor.as_bytes().to_vec()), cursor);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A cursor for items of the partition whose creation had the version `created`.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let partition = PartitionId::new("emails", 0)?;
    /// # let point = ItemPoint::Id(ItemId::MIN);
    /// # let listing = Listing::ById(States::ALL);
    /// let cursor = Cursor::after_item(&partition, Version::MIN, listing, point);
    /// assert_eq!(cursor.item_point(&partition, Version::MIN, listing)?, point);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn after_item(
        partition: &PartitionId,
        created: Version,
        listing: Listing,
        point: ItemPoint,
    ) -> Self {
        let mut bytes = Vec::with_capacity(17);
        match point {
            ItemPoint::Id(id) => bytes.extend_from_slice(&id.get().to_le_bytes()),
            ItemPoint::Ready(priority, position) => {
                bytes.push(priority);
                bytes.extend_from_slice(&position.get().to_le_bytes());
            }
            ItemPoint::Due(at, id) => {
                bytes.extend_from_slice(&at.as_micros().to_le_bytes());
                bytes.extend_from_slice(&id.get().to_le_bytes());
            }
        }
        Self::new(&item_scope(partition, created, listing), &bytes)
    }

    /// The point of a cursor made by [`after_item`](Self::after_item) with the same arguments; else `InvalidArgument`.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let partition = PartitionId::new("emails", 0)?;
    /// # let point = ItemPoint::Id(ItemId::MIN);
    /// # let listing = Listing::ById(States::ALL);
    /// let cursor = Cursor::after_item(&partition, Version::MIN, listing, point);
    /// let later_partition = Version::new(2)?;
    /// assert!(cursor.item_point(&partition, later_partition, listing).is_err());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn item_point(
        &self,
        partition: &PartitionId,
        created: Version,
        listing: Listing,
    ) -> Result<ItemPoint> {
        let mut point = Reader(self.point(&item_scope(partition, created, listing))?);
        let read = match listing {
            Listing::ById(_) => point.id().map(ItemPoint::Id),
            Listing::Ready => point
                .byte()
                .zip(point.position())
                .map(|(priority, position)| ItemPoint::Ready(priority, position)),
            Listing::Scheduled | Listing::Leased => point
                .timestamp()
                .zip(point.id())
                .map(|(at, id)| ItemPoint::Due(at, id)),
        };
        read.filter(|_| point.0.is_empty()).ok_or_else(damaged)
    }

    /// A cursor for `list_partitions`.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let partition = PartitionId::new("emails", 0)?;
    /// assert_eq!(Cursor::after_partition(&partition).partition_point()?, partition);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn after_partition(id: &PartitionId) -> Self {
        let point = [
            id.number().to_le_bytes().as_slice(),
            id.queue().as_str().as_bytes(),
        ]
        .concat();
        Self::new(b"P", &point)
    }

    /// The point of a cursor made by [`after_partition`](Self::after_partition); else `InvalidArgument`.
    ///
    /// ```
    /// # use storage_api::*;
    /// let other = Cursor::after_namespace(&Namespace::new("users")?);
    /// assert!(other.partition_point().is_err());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn partition_point(&self) -> Result<PartitionId> {
        let (number, queue) = self.point(b"P")?.split_first_chunk().ok_or_else(damaged)?;
        let queue = std::str::from_utf8(queue).map_err(|_| damaged())?;
        PartitionId::new(queue, u32::from_le_bytes(*number))
    }

    /// A cursor for `namespaces`.
    ///
    /// ```
    /// # use storage_api::*;
    /// let users = Namespace::new("users")?;
    /// assert_eq!(Cursor::after_namespace(&users).namespace_point()?, users);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn after_namespace(namespace: &Namespace) -> Self {
        Self::new(b"N", namespace.as_str().as_bytes())
    }

    /// The point of a cursor made by [`after_namespace`](Self::after_namespace); else `InvalidArgument`.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let partition = PartitionId::new("emails", 0)?;
    /// assert!(Cursor::after_partition(&partition).namespace_point().is_err());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn namespace_point(&self) -> Result<Namespace> {
        Namespace::new(std::str::from_utf8(self.point(b"N")?).map_err(|_| damaged())?)
    }

    /// A cursor for `scan`.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let (namespace, key) = (Namespace::new("users")?, Key::try_from("ann")?);
    /// # let mut request = CommitRequest::new(Timestamp::EPOCH);
    /// let all = KeyRange::all();
    /// let cursor = Cursor::after_key(&namespace, &all, Direction::Forward, &key);
    /// assert_eq!(cursor.key_point(&namespace, &all, Direction::Forward)?, key);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn after_key(
        namespace: &Namespace,
        range: &KeyRange,
        direction: Direction,
        key: &Key,
    ) -> Self {
        Self::new(&key_scope(namespace, range, direction), key.as_bytes())
    }

    /// The point of a cursor made by [`after_key`](Self::after_key) with the same arguments; else `InvalidArgument`.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let (namespace, key) = (Namespace::new("users")?, Key::try_from("ann")?);
    /// # let mut request = CommitRequest::new(Timestamp::EPOCH);
    /// let all = KeyRange::all();
    /// let cursor = Cursor::after_key(&namespace, &all, Direction::Forward, &key);
    /// assert!(cursor.key_point(&namespace, &all, Direction::Backward).is_err());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn key_point(
        &self,
        namespace: &Namespace,
        range: &KeyRange,
        direction: Direction,
    ) -> Result<Key> {
        Key::try_from(self.point(&key_scope(namespace, range, direction))?)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a scope is a name and few numbers"
    )]
    fn new(scope: &[u8], point: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + scope.len() + point.len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&(scope.len() as u16).to_le_bytes());
        bytes.extend_from_slice(scope);
        bytes.extend_from_slice(point);
        let crc = crc32c::crc32c(&bytes[5..]);
        bytes[1..5].copy_from_slice(&crc.to_le_bytes());
        Self(bytes.into())
    }

    /// The point, if the cursor is whole and of that scope.
    fn point(&self, scope: &[u8]) -> Result<&[u8]> {
        let bytes = &*self.0;
        if bytes.len() < HEAD_BYTES || bytes[0] != FORMAT {
            return Err(damaged());
        }
        let mut crc = Reader(&bytes[1..]);
        if crc.u32() != Some(crc32c::crc32c(&bytes[5..])) {
            return Err(damaged());
        }
        let scope_len = usize::from(u16::from_le_bytes([bytes[5], bytes[6]]));
        let (own_scope, point) = bytes[HEAD_BYTES..]
            .split_at_checked(scope_len)
            .ok_or_else(damaged)?;
        if own_scope != scope {
            return Err(Error::invalid(
                "cursor",
                "it belongs to another listing, order or partition; start that listing anew",
            ));
        }
        Ok(point)
    }
}

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cursor({} bytes)", self.0.len())
    }
}

fn item_scope(partition: &PartitionId, created: Version, listing: Listing) -> Vec<u8> {
    let (order, states) = match listing {
        Listing::ById(states) => (b'i', states.bits()),
        Listing::Ready => (b'r', 0),
        Listing::Scheduled => (b's', 0),
        Listing::Leased => (b'l', 0),
    };
    let mut scope = vec![b'I', order, states];
    scope.extend_from_slice(&created.get().to_le_bytes());
    scope.extend_from_slice(&partition.number().to_le_bytes());
    scope.extend_from_slice(partition.queue().as_str().as_bytes());
    scope
}

fn key_scope(namespace: &Namespace, range: &KeyRange, direction: Direction) -> Vec<u8> {
    let mut scope = vec![b'K', direction as u8];
    for bound in [range.from(), range.to()] {
        // A bound is up to 1 KiB; its checksum and length tell two ranges apart well enough to catch a mistake.
        let bytes = bound.map_or(&[][..], Key::as_bytes);
        scope.extend_from_slice(&crc32c::crc32c(bytes).to_le_bytes());
        scope.extend_from_slice(&bytes.len().to_le_bytes());
    }
    scope.extend_from_slice(namespace.as_str().as_bytes());
    scope
}

fn damaged() -> Error {
    Error::invalid("cursor", "it is damaged; start the listing anew")
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*chunk)
    }

    fn byte(&mut self) -> Option<u8> {
        self.chunk().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_le_bytes)
    }

    fn timestamp(&mut self) -> Option<Timestamp> {
        self.chunk()
            .map(i64::from_le_bytes)
            .map(Timestamp::from_micros)
    }

    fn id(&mut self) -> Option<ItemId> {
        ItemId::new(self.chunk().map(u64::from_le_bytes)?).ok()
    }

    fn position(&mut self) -> Option<Position> {
        Position::new(self.chunk().map(u64::from_le_bytes)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::{State, States};

    fn partition(queue: &str, number: u32) -> PartitionId {
        PartitionId::new(queue, number).unwrap()
    }

    #[test]
    fn a_point_comes_back_in_its_own_scope_only() {
        let (home, created) = (partition("q", 1), Version::MIN);
        let listing = Listing::ById(States::ALL);
        let point = ItemPoint::Id(ItemId::new(7).unwrap());
        let cursor = Cursor::after_item(&home, created, listing, point);

        assert_eq!(cursor.item_point(&home, created, listing).unwrap(), point);
        let later = created.next().unwrap();
        assert!(cursor.item_point(&home, later, listing).is_err());
        assert!(
            cursor
                .item_point(&partition("q", 2), created, listing)
                .is_err()
        );
        assert!(
            cursor
                .item_point(&partition("r", 1), created, listing)
                .is_err()
        );
        let dead = Listing::ById(State::Dead.into());
        assert!(cursor.item_point(&home, created, dead).is_err());
        assert!(cursor.item_point(&home, created, Listing::Ready).is_err());
        assert!(cursor.partition_point().is_err());
    }

    #[test]
    fn every_kind_of_point_comes_back() {
        let (home, created) = (partition("q", 1), Version::MIN);
        let id = ItemId::new(1 << 40).unwrap();
        let position = Position::new(9).unwrap();
        for (listing, point) in [
            (Listing::Ready, ItemPoint::Ready(255, position)),
            (Listing::Scheduled, ItemPoint::Due(Timestamp::MIN, id)),
            (Listing::Leased, ItemPoint::Due(Timestamp::MAX, id)),
        ] {
            let cursor = Cursor::after_item(&home, created, listing, point);
            let cursor = Cursor::from_bytes(cursor.as_bytes().to_vec());
            assert_eq!(cursor.item_point(&home, created, listing).unwrap(), point);
        }
        let far = partition("a/b\0", u32::MAX);
        assert_eq!(
            Cursor::after_partition(&far).partition_point().unwrap(),
            far
        );
        let namespace = Namespace::new("n").unwrap();
        let cursor = Cursor::after_namespace(&namespace);
        assert_eq!(cursor.namespace_point().unwrap(), namespace);
    }

    #[test]
    fn each_flipped_bit_and_each_cut_is_refused() {
        let home = partition("q", 1);
        let point = ItemPoint::Ready(100, Position::MIN);
        let cursor = Cursor::after_item(&home, Version::MIN, Listing::Ready, point);
        let bytes = cursor.as_bytes();
        let is_refused = |bytes: Vec<u8>| {
            Cursor::from_bytes(bytes)
                .item_point(&home, Version::MIN, Listing::Ready)
                .is_err()
        };

        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(is_refused(damaged), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(is_refused(bytes[..len].to_vec()), "cut to {len}");
        }
    }
}
