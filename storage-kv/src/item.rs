//! An item as the core sees it, and its two rows.
//!
//! The body is written once: the position that the item was produced with, or 0 if it was produced for later, and its
//! record. A state row stands beside it as soon as anything has changed; it repeats the few fields of the record that
//! the operations need, so that a payload is read only to be shown.
//!
//! ```text
//! body            8 position, then the record
//!
//! state offset  bytes  field, little-endian
//!            0      1  format, 1
//!            1      1  state: 0 ready, 1 scheduled, 2 leased, 3 dead
//!            2      1  flags: 1 revived, 2 dedup key, 4 expire_at, 8 attempts_max, 16 holder, 32 note, 64 in a run of leases
//!            3      1  priority
//!            4      4  attempts
//!            8      4  length of the payload
//!           12      8  created_at
//!           20         ready: position (8); scheduled: enqueue_at (8); leased: position (8), lease (8), deadline (8);
//!                      dead: died_at (8), reason (1)
//!                      expire_at (8), attempts_max (4), holder (8), each where its flag is set; the note
//! ```

use storage_api::{
    DeadReason, Holder, ItemEntry, ItemId, ItemState, LeaseId, Note, Position, Record, RecordView,
    State, Timestamp,
};

use crate::codec::{Reader, Writer};
use crate::keys::DueKind;

const FORMAT: u8 = 1;

const IS_REVIVED: u8 = 1;
const HAS_DEDUP_KEY: u8 = 2;
const HAS_EXPIRE_AT: u8 = 4;
const HAS_ATTEMPTS_MAX: u8 = 8;
const HAS_HOLDER: u8 = 16;
const HAS_NOTE: u8 = 32;
const IS_IN_RUN: u8 = 64;
const FLAGS_KNOWN: u8 = 127;

/// The bytes of a body before its record.
pub(crate) const BODY_HEAD_BYTES: usize = 8;

/// What the operations need of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) priority: u8,
    pub(crate) payload_len: u32,
    pub(crate) created_at: Timestamp,
    pub(crate) expire_at: Option<Timestamp>,
    pub(crate) attempts_max: u32,
    pub(crate) has_dedup_key: bool,
}

impl Head {
    pub(crate) fn of(record: RecordView<'_>) -> Self {
        Self {
            priority: record.priority(),
            payload_len: u32::try_from(record.payload_len()).unwrap_or(u32::MAX),
            created_at: record.created_at(),
            expire_at: record.expire_at(),
            attempts_max: record.attempts_max(),
            has_dedup_key: record.dedup_key().is_some(),
        }
    }
}

/// Everything of an item but its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) head: Head,
    pub(crate) state: ItemState,
    pub(crate) attempts: u32,
    pub(crate) note: Option<Note>,
    pub(crate) is_revived: bool,
    /// Whether it is as it was produced, so that there is no state row.
    pub(crate) is_fresh: bool,
    /// Whether its due row stands for its neighbours as well, or did when it was written; of leased items.
    pub(crate) is_in_run: bool,
}

impl Item {
    /// An item as it is produced.
    pub(crate) fn fresh(head: Head, state: ItemState) -> Self {
        Self {
            head,
            state,
            attempts: 0,
            note: None,
            is_revived: false,
            is_fresh: true,
            is_in_run: false,
        }
    }

    /// A whole item that is put back.
    pub(crate) fn restored(entry: &ItemEntry) -> Self {
        let view = entry.record.view();
        let mut item = Self {
            head: Head::of(view),
            state: entry.state,
            attempts: entry.attempts,
            note: entry.note.clone(),
            is_revived: entry.is_revived,
            is_fresh: false,
            is_in_run: false,
        };
        let is_as_produced = match entry.state {
            ItemState::Ready { .. } => true,
            ItemState::Scheduled { enqueue_at } => view.enqueue_at() == Some(enqueue_at),
            ItemState::Leased { .. } | ItemState::Dead { .. } => false,
        };
        item.is_fresh =
            is_as_produced && item.attempts == 0 && item.note.is_none() && !item.is_revived;
        item
    }

    /// The item of a body beside which there is no state row; `None` where the body is none.
    pub(crate) fn of_body(body: &[u8]) -> Option<Self> {
        let (position, record) = split_body(body)?;
        let state = match position {
            0 => ItemState::Scheduled {
                enqueue_at: record.enqueue_at()?,
            },
            position => ItemState::Ready {
                position: Position::new(position).ok()?,
            },
        };
        Some(Self::fresh(Head::of(record), state))
    }

    /// The number at the front of the item's body.
    pub(crate) fn body_position(&self) -> u64 {
        self.state.position().map_or(0, Position::get)
    }

    pub(crate) fn state(&self) -> State {
        self.state.state()
    }

    /// When the item expires; a revived one does not (clause DEAD-2).
    pub(crate) fn expire_at(&self) -> Option<Timestamp> {
        self.head.expire_at.filter(|_| !self.is_revived)
    }

    /// When and as what maintain will handle it (clause TIME-1).
    pub(crate) fn due(&self) -> Option<(DueKind, Timestamp)> {
        match self.state {
            ItemState::Ready { .. } => self.expire_at().map(|at| (DueKind::Expiry, at)),
            ItemState::Scheduled { enqueue_at } => {
                let at = self.expire_at().map_or(enqueue_at, |at| at.min(enqueue_at));
                Some((DueKind::Scheduled, at))
            }
            ItemState::Leased { deadline, .. } => Some((DueKind::Leased, deadline)),
            ItemState::Dead { .. } => None,
        }
    }

    pub(crate) fn holder(&self) -> Option<Holder> {
        match self.state {
            ItemState::Leased { holder, .. } => holder,
            _ => None,
        }
    }

    /// The item as listing shows it.
    pub(crate) fn entry(&self, id: ItemId, record: Record) -> ItemEntry {
        let mut entry = ItemEntry::new(id, record, self.state);
        entry.attempts = self.attempts;
        entry.note.clone_from(&self.note);
        entry.is_revived = self.is_revived;
        entry
    }

    /// The state row.
    #[cfg(test)]
    fn encode(&self) -> Writer {
        let mut row = Writer::default();
        self.encode_into(&mut row);
        row
    }

    /// Appends the state row.
    pub(crate) fn encode_into(&self, row: &mut Writer) {
        let mut flags = 0;
        let mut set = |flag, is_set: bool| flags |= if is_set { flag } else { 0 };
        set(IS_REVIVED, self.is_revived);
        set(HAS_DEDUP_KEY, self.head.has_dedup_key);
        set(HAS_EXPIRE_AT, self.head.expire_at.is_some());
        set(HAS_ATTEMPTS_MAX, self.head.attempts_max != 0);
        set(HAS_HOLDER, self.holder().is_some());
        set(HAS_NOTE, self.note.is_some());
        set(IS_IN_RUN, self.is_in_run);

        row.u8(FORMAT)
            .u8(self.state() as u8)
            .u8(flags)
            .u8(self.head.priority)
            .u32(self.attempts)
            .u32(self.head.payload_len)
            .i64(self.head.created_at.as_micros());
        match self.state {
            ItemState::Ready { position } => row.u64(position.get()),
            ItemState::Scheduled { enqueue_at } => row.i64(enqueue_at.as_micros()),
            ItemState::Leased {
                position,
                lease,
                deadline,
                ..
            } => row
                .u64(position.get())
                .u64(lease.get())
                .i64(deadline.as_micros()),
            ItemState::Dead { reason, died_at } => row.i64(died_at.as_micros()).u8(reason as u8),
        };
        if let Some(at) = self.head.expire_at {
            row.i64(at.as_micros());
        }
        if self.head.attempts_max != 0 {
            row.u32(self.head.attempts_max);
        }
        if let Some(holder) = self.holder() {
            row.u64(holder.get());
        }
        if let Some(note) = &self.note {
            row.bytes(note.as_str().as_bytes());
        }
    }

    /// The item of a state row; `None` where the row is none.
    pub(crate) fn decode(row: &[u8]) -> Option<Self> {
        let mut row = Reader::new(row);
        if row.u8()? != FORMAT {
            return None;
        }
        let state = row.u8()?;
        let flags = row.u8()?;
        if flags & !FLAGS_KNOWN != 0 {
            return None;
        }
        let has = |flag| flags & flag != 0;
        let priority = row.u8()?;
        let attempts = row.u32()?;
        let payload_len = row.u32()?;
        let created_at = timestamp(&mut row)?;
        let mut state = match state {
            0 => ItemState::Ready {
                position: position(&mut row)?,
            },
            1 => ItemState::Scheduled {
                enqueue_at: timestamp(&mut row)?,
            },
            2 => ItemState::Leased {
                position: position(&mut row)?,
                lease: LeaseId::new(row.u64()?).ok()?,
                deadline: timestamp(&mut row)?,
                holder: None,
            },
            3 => ItemState::Dead {
                died_at: timestamp(&mut row)?,
                reason: *DeadReason::ALL.get(usize::from(row.u8()?))?,
            },
            _ => return None,
        };
        let expire_at = match has(HAS_EXPIRE_AT) {
            true => Some(timestamp(&mut row)?),
            false => None,
        };
        let attempts_max = match has(HAS_ATTEMPTS_MAX) {
            true => row.u32()?,
            false => 0,
        };
        if has(HAS_HOLDER) {
            let ItemState::Leased { holder, .. } = &mut state else {
                return None;
            };
            *holder = Some(Holder::new(row.u64()?).ok()?);
        }
        let is_in_run = has(IS_IN_RUN);
        if is_in_run && !matches!(state, ItemState::Leased { .. }) {
            return None;
        }
        let note = match has(HAS_NOTE) {
            true => Some(Note::new(std::str::from_utf8(row.rest()).ok()?).ok()?),
            false => {
                row.end()?;
                None
            }
        };
        Some(Self {
            head: Head {
                priority,
                payload_len,
                created_at,
                expire_at,
                attempts_max,
                has_dedup_key: has(HAS_DEDUP_KEY),
            },
            state,
            attempts,
            note,
            is_revived: has(IS_REVIVED),
            is_fresh: false,
            is_in_run,
        })
    }
}

/// The position and the record of a body.
///
/// The row's own checksum was compared before, so the record is what was encoded.
pub(crate) fn split_body(body: &[u8]) -> Option<(u64, RecordView<'_>)> {
    let (position, record) = body.split_first_chunk()?;
    if record.is_empty() {
        return None;
    }
    Some((u64::from_le_bytes(*position), RecordView::trusted(record)))
}

fn timestamp(row: &mut Reader<'_>) -> Option<Timestamp> {
    row.i64().map(Timestamp::from_micros)
}

fn position(row: &mut Reader<'_>) -> Option<Position> {
    Position::new(row.u64()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items() -> Vec<Item> {
        let position = Position::new(7).unwrap();
        let lease = LeaseId::new(1 << 40).unwrap();
        let states = [
            ItemState::Ready { position },
            ItemState::Scheduled {
                enqueue_at: Timestamp::MIN,
            },
            ItemState::Leased {
                position,
                lease,
                deadline: Timestamp::MAX,
                holder: None,
            },
            ItemState::Leased {
                position,
                lease,
                deadline: Timestamp::EPOCH,
                holder: Some(Holder::new(u64::MAX).unwrap()),
            },
            ItemState::Dead {
                reason: DeadReason::Expired,
                died_at: Timestamp::MAX,
            },
        ];
        let plain = Head {
            priority: 100,
            payload_len: 3,
            created_at: Timestamp::from_micros(-5),
            expire_at: None,
            attempts_max: 0,
            has_dedup_key: false,
        };
        let full = Head {
            priority: 0,
            payload_len: 8 << 20,
            created_at: Timestamp::MIN,
            expire_at: Some(Timestamp::MIN),
            attempts_max: u32::MAX,
            has_dedup_key: true,
        };
        let mut items = Vec::new();
        for state in states {
            for head in [plain, full] {
                for note in [None, Some(""), Some("timed out")] {
                    items.push(Item {
                        attempts: 9,
                        note: note.map(|note| Note::new(note).unwrap()),
                        is_revived: note.is_none(),
                        is_fresh: false,
                        is_in_run: note.is_some() && matches!(state, ItemState::Leased { .. }),
                        ..Item::fresh(head, state)
                    });
                }
            }
        }
        items
    }

    #[test]
    fn a_state_row_gives_back_what_went_into_it() {
        for item in items() {
            let row = item.encode();

            assert_eq!(Item::decode(row.as_slice()), Some(item));
        }
    }

    #[test]
    fn a_row_that_is_cut_or_of_another_format_is_told() {
        for item in items() {
            let row = item.encode();
            let whole = row.as_slice();
            let fields = whole.len() - item.note.as_ref().map_or(0, |note| note.as_str().len());
            for len in 0..fields {
                assert_eq!(Item::decode(&whole[..len]), None, "{item:?} cut to {len}");
            }
            let mut newer = whole.to_vec();
            newer[0] = FORMAT + 1;
            assert_eq!(Item::decode(&newer), None);
        }
    }

    #[test]
    fn state_rows_have_the_bytes_they_always_had() {
        let items = items();
        let leased = &items[18];
        let dead = &items[29];

        let hex = |item: &Item| -> String {
            let row = item.encode();
            row.as_slice()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect()
        };

        assert_eq!(
            hex(leased),
            "010211640900000003000000fbffffffffffffff0700000000000000000000000001000000000000\
             00000000ffffffffffffffff",
            "{leased:?}"
        );
        assert_eq!(
            hex(dead),
            "01032e0009000000000080000000000000000080ffffffffffffff7f020000000000000080ffffff\
             ff74696d6564206f7574",
            "{dead:?}"
        );
    }
}
