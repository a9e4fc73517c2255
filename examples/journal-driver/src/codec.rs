//! Values as bytes, both directions side by side.
//!
//! Numbers are little-endian and of fixed width, lists and texts have their length (u32) in front, options and variants
//! one byte. Reading gives `None` where the bytes are not what writing gives; nothing read claims memory before it is there.

use std::time::Duration;

use bytes::Bytes;
use storage_api::{
    Bounded, CommitRequest, Count, DeadPolicy, DeadReason, Floors, Holder, ItemBatch, ItemEntry,
    ItemId, ItemState, Key, LeaseId, LeaseRequest, MetadataEntry, Mode, Namespace, NewItem, Note,
    PartitionConfig, PartitionId, PartitionInfo, Position, QueueName, Receipt, Record, RecordView,
    Requeue, RestoreBatch, Retry, RetryTo, SealedBatch, State, States, Step, Timestamp, Value,
    Version, Write,
};
use storage_model::{Contents, Entry, GoneKey, Partition};

/// A value that can be written and read again.
pub(crate) trait Field: Sized {
    /// Appends the value to `out`.
    fn write(&self, out: &mut Vec<u8>);

    /// Takes the value off the front of `input`; `None` where there is no such value.
    fn read(input: &mut Input<'_>) -> Option<Self>;
}

/// Bytes that are read from the front to the end.
#[derive(Debug)]
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next value; its type is what the caller needs.
    pub(crate) fn take<T: Field>(&mut self) -> Option<T> {
        T::read(self)
    }

    /// Whether everything is read.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn slice(&mut self, len: usize) -> Option<&'a [u8]> {
        let (slice, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(slice)
    }
}

macro_rules! number {
    ($($number:ty),*) => {$(
        impl Field for $number {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn read(input: &mut Input<'_>) -> Option<Self> {
                let (bytes, rest) = input.0.split_first_chunk()?;
                input.0 = rest;
                Some(Self::from_le_bytes(*bytes))
            }
        }
    )*};
}

number!(u8, u32, u64, i64);

/// A type that is written as another one, `new` being its only way in.
macro_rules! through {
    ($($name:ty: $raw:ty, $get:expr, $new:expr;)*) => {$(
        impl Field for $name {
            fn write(&self, out: &mut Vec<u8>) {
                let get: fn(&Self) -> $raw = $get;
                get(self).write(out);
            }

            fn read(input: &mut Input<'_>) -> Option<Self> {
                let new: fn($raw) -> Option<Self> = $new;
                new(input.take()?)
            }
        }
    )*};
}

through! {
    bool: u8, |is| u8::from(*is), |byte| (byte < 2).then_some(byte == 1);
    Timestamp: i64, |at| at.as_micros(), |micros| Some(Self::from_micros(micros));
    Duration: u64, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX), |micros| Some(Self::from_micros(micros));
    ItemId: u64, |number| number.get(), |number| Self::new(number).ok();
    LeaseId: u64, |number| number.get(), |number| Self::new(number).ok();
    Position: u64, |number| number.get(), |number| Self::new(number).ok();
    Version: u64, |number| number.get(), |number| Self::new(number).ok();
    Holder: u64, |number| number.get(), |number| Self::new(number).ok();
    Count: u32, |count| len_u32(count.get()), |count| Self::new(usize::try_from(count).ok()?).ok();
    Key: Bytes, Self::to_shared, |bytes| Self::new(bytes).ok();
    Value: Bytes, Self::to_shared, |bytes| Self::new(bytes).ok();
    Record: Bytes, Self::to_shared, |bytes| Self::parse(bytes).ok();
    RestoreBatch: Vec<ItemEntry>, |batch| batch.to_vec(), |items| Self::new(items).ok();
    States: Vec<State>, |states| states.iter().collect(), |states| Some(Self::of(states));
}

/// A type that is text with a limit.
macro_rules! text {
    ($($name:ty),*) => {$(
        impl Field for $name {
            fn write(&self, out: &mut Vec<u8>) {
                write_bytes(self.as_str().as_bytes(), out);
            }

            fn read(input: &mut Input<'_>) -> Option<Self> {
                let bytes = read_bytes(input)?;
                Self::new(std::str::from_utf8(bytes).ok()?).ok()
            }
        }
    )*};
}

text!(QueueName, Namespace, Note);

/// An enumeration without details: the byte is the place in the list, which only ever grows at its end.
macro_rules! variants {
    ($($name:ident: $($variant:ident),*;)*) => {$(
        impl Field for $name {
            fn write(&self, out: &mut Vec<u8>) {
                let all = [$(Self::$variant),*];
                let place = all.iter().position(|variant| variant == self);
                let place = place.and_then(|place| u8::try_from(place).ok());
                place.expect("every variant is listed").write(out);
            }

            fn read(input: &mut Input<'_>) -> Option<Self> {
                let all = [$(Self::$variant),*];
                all.get(usize::from(input.take::<u8>()?)).copied()
            }
        }
    )*};
}

variants! {
    State: Ready, Scheduled, Leased, Dead;
    DeadReason: Rejected, AttemptsExhausted, Expired;
    Requeue: Tail, Original;
    DeadPolicy: Keep, Drop;
    Mode: Open, Draining, Frozen;
}

/// A structure of public fields, written in this order.
macro_rules! fields {
    ($($name:ident: $($field:ident),*;)*) => {$(
        impl Field for $name {
            fn write(&self, out: &mut Vec<u8>) {
                $(self.$field.write(out);)*
            }

            fn read(input: &mut Input<'_>) -> Option<Self> {
                Some(Self { $($field: input.take()?),* })
            }
        }
    )*};
}

fields! {
    Receipt: item, lease;
    Retry: receipt, to, note;
    PartitionInfo: id, created, revision, config;
    MetadataEntry: key, value, version, expires_at;
    Entry: namespace, entry;
    GoneKey: key, of, due_at;
    Partition: info, items, gone_keys, last_id, last_position;
    Contents: partitions, metadata, last_lease, last_version, deleted_number;
}

impl Field for Bytes {
    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(self, out);
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        // Copied: one small value must not keep a whole entry alive.
        read_bytes(input).map(Self::copy_from_slice)
    }
}

impl<T: Field> Field for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.is_some().write(out);
        if let Some(value) = self {
            value.write(out);
        }
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        match input.take::<bool>()? {
            true => input.take().map(Some),
            false => Some(None),
        }
    }
}

impl<T: Field> Field for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        write_list(self, out);
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        let len: u32 = input.take()?;
        // Collected one by one: the length is only believed as far as there are bytes.
        (0..len).map(|_| input.take()).collect()
    }
}

impl<T: Field> Field for Bounded<T> {
    fn write(&self, out: &mut Vec<u8>) {
        write_list(self, out);
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        Self::new(input.take()?).ok()
    }
}

impl<A: Field, B: Field> Field for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        Some((input.take()?, input.take()?))
    }
}

impl Field for PartitionId {
    fn write(&self, out: &mut Vec<u8>) {
        self.queue().write(out);
        self.number().write(out);
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        let name: (QueueName, u32) = input.take()?;
        Some(name.into())
    }
}

impl Field for PartitionConfig {
    fn write(&self, out: &mut Vec<u8>) {
        self.attempts_max().write(out);
        self.requeue().write(out);
        self.dead().write(out);
        self.dedup_for().write(out);
        self.items_max().write(out);
        self.bytes_max().write(out);
        self.mode().write(out);
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        Some(
            Self::default()
                .with_attempts_max(input.take()?)
                .with_requeue(input.take()?)
                .with_dead(input.take()?)
                .with_dedup_for(input.take()?)
                .with_items_max(input.take()?)
                .with_bytes_max(input.take()?)
                .with_mode(input.take()?),
        )
    }
}

impl Field for LeaseRequest {
    fn write(&self, out: &mut Vec<u8>) {
        self.now.write(out);
        self.deadline.write(out);
        self.items_max.write(out);
        self.bytes_max.write(out);
        self.holder.write(out);
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        let mut request = Self::new(input.take()?, input.take()?, input.take()?);
        request.bytes_max = input.take()?;
        request.holder = input.take()?;
        Some(request)
    }
}

impl Field for RetryTo {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Now => 0_u8.write(out),
            Self::At(at) => {
                1_u8.write(out);
                at.write(out);
            }
            Self::Dead => 2_u8.write(out),
        }
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        match input.take::<u8>()? {
            0 => Some(Self::Now),
            1 => input.take().map(Self::At),
            2 => Some(Self::Dead),
            _ => None,
        }
    }
}

impl Field for ItemState {
    fn write(&self, out: &mut Vec<u8>) {
        self.state().write(out);
        match self {
            Self::Ready { position } => position.write(out),
            Self::Scheduled { enqueue_at } => enqueue_at.write(out),
            Self::Leased {
                position,
                lease,
                deadline,
                holder,
            } => {
                position.write(out);
                lease.write(out);
                deadline.write(out);
                holder.write(out);
            }
            Self::Dead { reason, died_at } => {
                reason.write(out);
                died_at.write(out);
            }
        }
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        Some(match input.take()? {
            State::Ready => Self::Ready {
                position: input.take()?,
            },
            State::Scheduled => Self::Scheduled {
                enqueue_at: input.take()?,
            },
            State::Leased => Self::Leased {
                position: input.take()?,
                lease: input.take()?,
                deadline: input.take()?,
                holder: input.take()?,
            },
            State::Dead => Self::Dead {
                reason: input.take()?,
                died_at: input.take()?,
            },
        })
    }
}

impl Field for ItemEntry {
    fn write(&self, out: &mut Vec<u8>) {
        self.id.write(out);
        self.record.write(out);
        self.state.write(out);
        self.attempts.write(out);
        self.note.write(out);
        self.is_revived.write(out);
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        let mut entry = Self::new(input.take()?, input.take()?, input.take()?);
        entry.attempts = input.take()?;
        entry.note = input.take()?;
        entry.is_revived = input.take()?;
        Some(entry)
    }
}

impl Field for Floors {
    fn write(&self, out: &mut Vec<u8>) {
        self.id().write(out);
        self.position().write(out);
        self.lease().write(out);
        self.version().write(out);
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        let mut floors = Self::none();
        if let Some(id) = input.take()? {
            floors = floors.with_id(id).ok()?;
        }
        if let Some(position) = input.take()? {
            floors = floors.with_position(position).ok()?;
        }
        if let Some(lease) = input.take()? {
            floors = floors.with_lease(lease).ok()?;
        }
        if let Some(version) = input.take()? {
            floors = floors.with_version(version).ok()?;
        }
        Some(floors)
    }
}

impl Field for SealedBatch {
    fn write(&self, out: &mut Vec<u8>) {
        self.now().write(out);
        len_u32(self.len()).write(out);
        for record in self.records() {
            write_bytes(record.as_bytes(), out);
        }
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        let now = input.take()?;
        Some(read_items(input)?.seal(now))
    }
}

/// The items of a batch, put together again through the only way in.
fn read_items(input: &mut Input<'_>) -> Option<ItemBatch> {
    let len: u32 = input.take()?;
    let mut batch = ItemBatch::new();
    for _ in 0..len {
        let record = RecordView::parse(read_bytes(input)?).ok()?;
        let attributes = record.attributes();
        let mut item = NewItem::new(record.payload()?)
            .kind(attributes.kind)
            .encoding(attributes.encoding)
            .reference(attributes.reference)
            .priority(record.priority())
            .attempts_max(record.attempts_max());
        if let Some(key) = attributes.dedup_key {
            item = item.dedup_key(key);
        }
        if let Some(enqueue_at) = record.enqueue_at() {
            item = item.enqueue_at(enqueue_at);
        }
        if let Some(expire_at) = record.expire_at() {
            item = item.expire_at(expire_at);
        }
        batch.push(item).ok()?;
    }
    Some(batch)
}

/// A commit that applied, without its checks: they held.
impl Field for CommitRequest {
    fn write(&self, out: &mut Vec<u8>) {
        self.now().write(out);
        write_list(self.writes(), out);
        len_u32(self.steps().len()).write(out);
        for step in self.steps() {
            match step {
                Step::Produce { partition, batch } => {
                    0_u8.write(out);
                    partition.write(out);
                    batch.write(out);
                }
                Step::Complete {
                    partition,
                    receipts,
                } => {
                    1_u8.write(out);
                    partition.write(out);
                    receipts.write(out);
                }
                Step::Delete { partition, ids } => {
                    2_u8.write(out);
                    partition.write(out);
                    ids.write(out);
                }
            }
        }
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        let mut request = Self::new(input.take()?);
        for write in input.take::<Vec<Write>>()? {
            match write {
                Write::Put {
                    namespace,
                    key,
                    value,
                    expires_at,
                } => request.put(&namespace, &key, value, expires_at).ok()?,
                Write::Delete { namespace, key } => request.delete(&namespace, &key).ok()?,
            }
        }
        for _ in 0..input.take::<u32>()? {
            let kind: u8 = input.take()?;
            let partition: PartitionId = input.take()?;
            match kind {
                0 => {
                    let _now: Timestamp = input.take()?;
                    request.produce(&partition, read_items(input)?).ok()?;
                }
                1 => request.complete(&partition, input.take()?).ok()?,
                2 => request.delete_items(&partition, input.take()?).ok()?,
                _ => return None,
            }
        }
        Some(request)
    }
}

impl Field for Write {
    fn write(&self, out: &mut Vec<u8>) {
        let (namespace, key) = self.target();
        namespace.write(out);
        key.write(out);
        match self {
            Self::Put {
                value, expires_at, ..
            } => {
                true.write(out);
                value.write(out);
                expires_at.write(out);
            }
            Self::Delete { .. } => false.write(out),
        }
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        let (namespace, key) = (input.take()?, input.take()?);
        Some(match input.take::<bool>()? {
            true => Self::Put {
                namespace,
                key,
                value: input.take()?,
                expires_at: input.take()?,
            },
            false => Self::Delete { namespace, key },
        })
    }
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    len_u32(bytes.len()).write(out);
    out.extend_from_slice(bytes);
}

fn read_bytes<'a>(input: &mut Input<'a>) -> Option<&'a [u8]> {
    let len: u32 = input.take()?;
    input.slice(usize::try_from(len).ok()?)
}

fn write_list<T: Field>(list: &[T], out: &mut Vec<u8>) {
    len_u32(list.len()).write(out);
    for value in list {
        value.write(out);
    }
}

fn len_u32(len: usize) -> u32 {
    u32::try_from(len)
        .expect("texts and batches have limits far below 4 Gi, and so have lists in memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comes_back<T: Field + PartialEq + std::fmt::Debug>(value: &T) {
        let mut bytes = Vec::new();
        value.write(&mut bytes);

        let mut input = Input::new(&bytes);
        assert_eq!(input.take::<T>().as_ref(), Some(value));
        assert!(input.is_empty(), "{value:?} was read to its end");
        for len in 0..bytes.len() {
            let cut = Input::new(&bytes[..len]).take::<T>();
            assert_ne!(cut.as_ref(), Some(value), "cut to {len} bytes");
        }
    }

    fn full_batch() -> SealedBatch {
        let mut batch = ItemBatch::new();
        let full = NewItem::new("payload")
            .kind("kind")
            .encoding("json")
            .reference("there")
            .dedup_key(b"\0key")
            .priority(1)
            .enqueue_at(Timestamp::MIN)
            .expire_at(Timestamp::MAX)
            .attempts_max(u32::MAX);
        batch.push(full).unwrap();
        batch.push(NewItem::new("")).unwrap();
        batch.seal(Timestamp::from_micros(-7))
    }

    fn receipt() -> Receipt {
        Receipt {
            item: ItemId::MIN,
            lease: LeaseId::new(1 << 40).unwrap(),
        }
    }

    #[test]
    fn arguments_come_back() {
        let id = PartitionId::new("a/b\0é", u32::MAX).unwrap();
        comes_back(&id);
        comes_back(
            &PartitionConfig::default()
                .with_attempts_max(1)
                .with_requeue(Requeue::Original)
                .with_dead(DeadPolicy::Drop)
                .with_dedup_for(Duration::MAX)
                .with_items_max(2)
                .with_bytes_max(3)
                .with_mode(Mode::Frozen),
        );
        comes_back(&full_batch());
        comes_back(&Bounded::one(receipt()));
        comes_back(&States::of([State::Dead, State::Ready]));
        let holder = Holder::new(u64::MAX).unwrap();
        let request = LeaseRequest::new(Timestamp::MIN, Timestamp::MAX, Count::MAX);
        comes_back(&request);
        comes_back(&request.bytes_max(0).holder(holder));
        for to in [RetryTo::Now, RetryTo::At(Timestamp::MAX), RetryTo::Dead] {
            comes_back(&Retry::new(receipt(), to).with_note("why").unwrap());
        }
        let floors = Floors::none().with_position(Position::MIN).unwrap();
        comes_back(&floors.with_version(Version::MIN).unwrap());
        comes_back(
            &floors
                .with_id(ItemId::MIN)
                .unwrap()
                .with_lease(LeaseId::MIN)
                .unwrap(),
        );
    }

    #[test]
    fn items_come_back_in_every_state() {
        let position = Position::new(9).unwrap();
        let states = [
            ItemState::Ready { position },
            ItemState::Scheduled {
                enqueue_at: Timestamp::MAX,
            },
            ItemState::Leased {
                position,
                lease: LeaseId::MIN,
                deadline: Timestamp::MIN,
                holder: Holder::new(7).ok(),
            },
            ItemState::Dead {
                reason: DeadReason::Expired,
                died_at: Timestamp::EPOCH,
            },
        ];
        for state in states {
            let mut entry = ItemEntry::new(ItemId::MIN, full_batch().shared_record(0), state);
            entry.attempts = 3;
            entry.note = Note::new("").ok();
            entry.is_revived = true;
            comes_back(&entry);
            comes_back(&RestoreBatch::new(vec![entry]).unwrap());
        }
    }

    #[test]
    fn a_commit_comes_back_without_its_checks() {
        let (namespace, key) = (Namespace::new("n").unwrap(), Key::try_from("k").unwrap());
        let id = PartitionId::new("q", 1).unwrap();
        let build = |is_checked: bool| {
            let mut request = CommitRequest::new(Timestamp::from_micros(-7));
            if is_checked {
                request.check_absent(&namespace, &key).unwrap();
            }
            let value = Value::try_from("v").unwrap();
            request
                .put(&namespace, &key, value, Some(Timestamp::MAX))
                .unwrap();
            let other = Key::try_from("other").unwrap();
            request.delete(&namespace, &other).unwrap();
            let mut batch = ItemBatch::new();
            batch.push(NewItem::new("x").dedup_key("k")).unwrap();
            request.produce(&id, batch).unwrap();
            request.complete(&id, Bounded::one(receipt())).unwrap();
            request
                .delete_items(&id, Bounded::one(ItemId::MIN))
                .unwrap();
            request
        };
        let mut bytes = Vec::new();
        build(true).write(&mut bytes);

        let read: CommitRequest = Input::new(&bytes).take().unwrap();

        assert_eq!(
            (read.writes(), read.steps()),
            (build(false).writes(), build(false).steps())
        );
        assert!(read.checks().is_empty());
        assert_eq!(read.now(), Timestamp::from_micros(-7));
    }
}
