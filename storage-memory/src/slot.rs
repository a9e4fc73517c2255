//! What is kept of an item beside its record, in 36 bytes.

use storage_api::limits::PRIORITY_DEFAULT;
use storage_api::{DeadReason, Position, RecordView, State, Timestamp};

/// Where a record stands: the number of its segment and the offset within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    /// Below 2^20.
    pub(crate) offset: u32,
    /// See [`Slot::created`].
    pub(crate) created: u32,
}

impl Place {
    /// The place behind a record of that length, whose item was created at the same time.
    #[expect(clippy::cast_possible_truncation, reason = "a record is below 4 GiB")]
    pub(crate) fn behind(self, len: usize) -> Self {
        Self {
            offset: self.offset + len as u32,
            ..self
        }
    }
}

/// The `created` of a slot whose record must be asked.
pub(crate) const CREATED_IN_RECORD: u32 = u32::MAX;

const OFFSET_BITS: u32 = 20;
const OFFSET_MASK: u32 = (1 << OFFSET_BITS) - 1;
const PRIORITY_SHIFT: u32 = OFFSET_BITS;
const STATE_SHIFT: u32 = 28;
const STATE_MASK: u32 = 3 << STATE_SHIFT;
const REVIVED: u32 = 1 << 30;
const NOTED: u32 = 1 << 31;

const HEAD_MASK: u16 = (1 << 12) - 1;
const EXPIRES: u16 = 1 << 12;
const KEYED: u16 = 1 << 13;
const LIMITED: u16 = 1 << 14;

/// State and place of one item. What belongs to few items (notes, holders) is in side tables, what a lease consists of in
/// its grant, and what never changes in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Slot {
    segment: u32,
    /// Offset (20 bits), priority (8), state (2), whether it was revived, whether it has a note.
    packed: u32,
    /// The length of the record; 0 in a vacant slot.
    len: u32,
    /// What of the record is not payload (12 bits, the largest is below 3 KiB), and what its fields hold.
    head: u16,
    /// The place of a leased item in its grant.
    index: u16,
    attempts: u32,
    /// Microseconds from the creation of the segment's first record to that of this one.
    created: u32,
    /// The grant of a leased item; the reason of a dead one.
    aside: u32,
    /// The position of a ready or leased item, the time of a scheduled or dead one. In halves, so that a slot needs no
    /// padding.
    word: [u32; 2],
}

impl Slot {
    /// The slot of a record at a place; its state is still to be set.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a record is below 4 GiB, and what is not payload of it below 4 KiB"
    )]
    pub(crate) fn new(view: RecordView<'_>, place: Place) -> Self {
        let len = view.as_bytes().len();
        let mut head = (len - view.payload_len()) as u16;
        if view.expire_at().is_some() {
            head |= EXPIRES;
        }
        if view.dedup_key().is_some() {
            head |= KEYED;
        }
        if view.attempts_max() != 0 {
            head |= LIMITED;
        }
        let mut slot = Self {
            len: len as u32,
            head,
            packed: u32::from(view.priority()) << PRIORITY_SHIFT,
            ..Self::default()
        };
        slot.set_place(place);
        slot
    }

    /// The slot of a [plain](RecordView::is_plain) record of an item that is ready.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a record is below 4 GiB, and what is not payload of it below 4 KiB"
    )]
    pub(crate) fn plain(view: RecordView<'_>, place: Place, position: u64) -> Self {
        debug_assert!(view.is_plain());
        let len = view.as_bytes().len();
        let mut slot = Self {
            len: len as u32,
            head: (len - view.payload_len()) as u16,
            packed: u32::from(PRIORITY_DEFAULT) << PRIORITY_SHIFT,
            ..Self::default()
        };
        slot.set_place(place);
        slot.set_ready(position);
        slot
    }

    pub(crate) fn is_vacant(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn place(&self) -> Place {
        Place {
            segment: self.segment,
            offset: self.packed & OFFSET_MASK,
            created: self.created,
        }
    }

    pub(crate) fn set_place(&mut self, place: Place) {
        debug_assert!(place.offset <= OFFSET_MASK, "a segment is at most 1 MiB");
        self.segment = place.segment;
        self.packed = self.packed & !OFFSET_MASK | place.offset;
        self.created = place.created;
    }

    /// The length of the record.
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    pub(crate) fn payload_len(&self) -> usize {
        self.len() - usize::from(self.head & HEAD_MASK)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the 8 bits of the priority"
    )]
    pub(crate) fn priority(&self) -> u8 {
        (self.packed >> PRIORITY_SHIFT) as u8
    }

    pub(crate) fn state(&self) -> State {
        // In the order of the numbers, so that nothing is looked up.
        match (self.packed & STATE_MASK) >> STATE_SHIFT {
            0 => State::Ready,
            1 => State::Scheduled,
            2 => State::Leased,
            _ => State::Dead,
        }
    }

    /// Whether the record has an `expire_at` that still holds.
    pub(crate) fn expires(&self) -> bool {
        self.head & EXPIRES != 0 && !self.is_revived()
    }

    /// Whether the record has a dedup key.
    pub(crate) fn is_keyed(&self) -> bool {
        self.head & KEYED != 0
    }

    /// Whether the record has a limit of attempts of its own.
    pub(crate) fn is_limited(&self) -> bool {
        self.head & LIMITED != 0
    }

    pub(crate) fn is_revived(&self) -> bool {
        self.packed & REVIVED != 0
    }

    pub(crate) fn set_revived(&mut self) {
        self.packed |= REVIVED;
    }

    pub(crate) fn is_noted(&self) -> bool {
        self.packed & NOTED != 0
    }

    pub(crate) fn set_noted(&mut self, is_noted: bool) {
        self.packed = self.packed & !NOTED | u32::from(is_noted) << NOTED.trailing_zeros();
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(crate) fn set_attempts(&mut self, attempts: u32) {
        self.attempts = attempts;
    }

    pub(crate) fn set_ready(&mut self, position: u64) {
        self.set_state(State::Ready);
        self.set_word(position);
    }

    /// The item is leased as the one at `index` of a grant; it keeps its position.
    pub(crate) fn set_leased(&mut self, grant: u32, index: u16) {
        self.set_state(State::Leased);
        self.aside = grant;
        self.index = index;
    }

    pub(crate) fn set_scheduled(&mut self, enqueue_at: Timestamp) {
        self.set_state(State::Scheduled);
        self.set_word(enqueue_at.as_micros().cast_unsigned());
    }

    pub(crate) fn set_dead(&mut self, reason: DeadReason, died_at: Timestamp) {
        self.set_state(State::Dead);
        self.aside = reason as u32;
        self.set_word(died_at.as_micros().cast_unsigned());
    }

    /// The position, which only ready and leased items have.
    pub(crate) fn position(&self) -> u64 {
        debug_assert!(matches!(self.state(), State::Ready | State::Leased));
        self.word()
    }

    pub(crate) fn typed_position(&self) -> Position {
        Position::new(self.position()).expect("positions are given out within their limit")
    }

    pub(crate) fn is_ready_at(&self, position: u64) -> bool {
        self.state() == State::Ready && self.word() == position
    }

    /// The grant of a leased item, and its place in it.
    pub(crate) fn grant(&self) -> (u32, u16) {
        (self.aside, self.index)
    }

    pub(crate) fn is_leased_as(&self, grant: u32, index: u16) -> bool {
        self.state() == State::Leased && self.grant() == (grant, index)
    }

    /// The `enqueue_at` of a scheduled item, the `died_at` of a dead one.
    pub(crate) fn time(&self) -> Timestamp {
        Timestamp::from_micros(self.word().cast_signed())
    }

    pub(crate) fn dead_reason(&self) -> DeadReason {
        DeadReason::ALL[self.aside as usize]
    }

    fn set_state(&mut self, state: State) {
        self.packed = self.packed & !STATE_MASK | (state as u32) << STATE_SHIFT;
    }

    fn word(&self) -> u64 {
        u64::from(self.word[1]) << 32 | u64::from(self.word[0])
    }

    #[expect(clippy::cast_possible_truncation, reason = "the halves of a number")]
    fn set_word(&mut self, word: u64) {
        self.word = [word as u32, (word >> 32) as u32];
    }
}

#[cfg(test)]
mod tests {
    use storage_api::{ItemBatch, NewItem};

    use super::*;

    #[test]
    fn a_slot_takes_36_bytes_and_its_fields_do_not_touch() {
        let (note, key, reference) = ("k".repeat(256), [7; 256], "r".repeat(2048));
        let mut batch = ItemBatch::new();
        batch
            .push(
                NewItem::new(&[1; 500])
                    .kind(&note)
                    .encoding(&note)
                    .reference(&reference)
                    .dedup_key(&key)
                    .priority(255)
                    .enqueue_at(Timestamp::MIN)
                    .expire_at(Timestamp::MAX)
                    .attempts_max(u32::MAX),
            )
            .unwrap();
        let sealed = batch.seal(Timestamp::EPOCH);
        let place = Place {
            segment: u32::MAX,
            offset: OFFSET_MASK,
            created: 77,
        };

        let mut slot = Slot::new(sealed.record(0), place);
        slot.set_attempts(u32::MAX);
        slot.set_ready((1 << 63) - 1);
        slot.set_leased(u32::MAX - 1, 9_999);
        slot.set_noted(true);

        assert_eq!(size_of::<Slot>(), 36);
        assert_eq!(slot.place(), place);
        assert_eq!((slot.payload_len(), slot.priority()), (500, 255));
        assert_eq!(slot.position(), (1 << 63) - 1);
        assert_eq!(slot.grant(), (u32::MAX - 1, 9_999));
        assert!(slot.expires() && slot.is_keyed() && slot.is_limited() && slot.is_noted());
        assert!(!slot.is_revived() && slot.attempts() == u32::MAX);
        slot.set_revived();
        slot.set_dead(DeadReason::Expired, Timestamp::MIN);
        assert_eq!(slot.dead_reason(), DeadReason::Expired);
        assert_eq!((slot.time(), slot.state()), (Timestamp::MIN, State::Dead));
        assert!(!slot.expires() && slot.priority() == 255 && slot.place() == place);
    }
}
