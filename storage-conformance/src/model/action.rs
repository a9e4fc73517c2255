//! The actions of a model run. They name items, receipts, versions and cursors by rank, not by number, so that any part of a
//! sequence still makes sense, on any driver.

use serde::{Deserialize, Serialize};
use storage_api::{DeadPolicy, DeadReason, Mode, PartitionConfig, Requeue, State};

/// How far back in what was given out: 0 is the latest. Taken modulo what there is.
pub(crate) type Rank = u8;

/// One action, for one call on the driver and on the model (a few make more).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Action {
    Create {
        partition: u8,
        config: Config,
    },
    Update {
        partition: u8,
        expected: Expected,
        config: Config,
    },
    DeletePartition {
        partition: u8,
    },
    ListPartitions {
        after: Option<Rank>,
        max: u16,
    },
    Produce {
        partition: u8,
        now: i64,
        items: Vec<Item>,
        #[serde(default, skip_serializing_if = "Way::is_long")]
        way: Way,
    },
    Lease {
        partition: u8,
        now: i64,
        deadline: i64,
        max: u16,
        bytes_max: Option<u64>,
        holder: u64,
        #[serde(default, skip_serializing_if = "Way::is_long")]
        way: Way,
    },
    Extend {
        partition: u8,
        receipts: Vec<ReceiptPick>,
        deadline: i64,
    },
    Release {
        partition: u8,
        receipts: Vec<ReceiptPick>,
    },
    ReleaseHolder {
        partition: u8,
        holder: u64,
        max: u16,
    },
    Complete {
        partition: u8,
        receipts: Vec<ReceiptPick>,
        #[serde(default, skip_serializing_if = "Way::is_long")]
        way: Way,
    },
    Retry {
        partition: u8,
        now: i64,
        retries: Vec<RetryPick>,
    },
    Revive {
        partition: u8,
        ids: Vec<IdPick>,
    },
    DeleteItems {
        partition: u8,
        ids: Vec<IdPick>,
    },
    GetItems {
        partition: u8,
        ids: Vec<IdPick>,
        payloads: bool,
    },
    List {
        partition: u8,
        order: Order,
        start: StartPick,
        max: u16,
        payloads: bool,
    },
    Clear {
        partition: u8,
        states: Vec<State>,
        max: u16,
    },
    Maintain {
        partition: u8,
        now: i64,
        max: u16,
    },
    Restore {
        partition: u8,
        items: Vec<Restored>,
        /// How far above everything known the floors are: of ids, positions, leases, versions.
        floors: [Option<u8>; 4],
    },
    Commit {
        now: i64,
        checks: Vec<CheckPick>,
        writes: Vec<WritePick>,
        steps: Vec<StepPick>,
    },
    Get {
        now: i64,
        key: KeyPick,
    },
    Scan {
        now: i64,
        range: RangePick,
        is_backward: bool,
        after: Option<Rank>,
        max: u16,
    },
    Namespaces {
        after: Option<Rank>,
        max: u16,
    },
    Purge {
        now: i64,
        max: u16,
    },
    /// Closes and opens again, where the driver claims that it can.
    Reopen,
    /// Compares everything that can be seen.
    Compare,
}

/// How a call goes to the driver. One without shortcuts is always called the long way, and so is one whose shortcut has no
/// answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) enum Way {
    /// By the operation itself.
    #[default]
    Long,
    /// By a shortcut that is asked for now, and kept.
    Asked,
    /// By one that was kept for a partition of that name, whatever has become of it since; asked for where none is kept.
    Kept(Rank),
}

impl Way {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes the field by reference"
    )]
    fn is_long(&self) -> bool {
        *self == Self::Long
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Config {
    pub(crate) attempts_max: u32,
    pub(crate) is_original: bool,
    pub(crate) is_drop: bool,
    pub(crate) dedup_for: u64,
    pub(crate) items_max: u64,
    pub(crate) bytes_max: u64,
    pub(crate) mode: Mode,
}

impl Config {
    pub(crate) fn to_config(self) -> PartitionConfig {
        PartitionConfig::default()
            .with_attempts_max(self.attempts_max)
            .with_requeue(if self.is_original {
                Requeue::Original
            } else {
                Requeue::Tail
            })
            .with_dead(if self.is_drop {
                DeadPolicy::Drop
            } else {
                DeadPolicy::Keep
            })
            .with_dedup_for(std::time::Duration::from_micros(self.dedup_for))
            .with_items_max(self.items_max)
            .with_bytes_max(self.bytes_max)
            .with_mode(self.mode)
    }
}

/// Which revision an update expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Expected {
    Any,
    Current,
    Known(Rank),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) bytes: u32,
    pub(crate) priority: u8,
    pub(crate) dedup_key: Option<u8>,
    pub(crate) enqueue_at: Option<i64>,
    pub(crate) expire_at: Option<i64>,
    pub(crate) attempts_max: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ReceiptPick {
    /// One that is valid now; else as `Given`.
    Valid(Rank),
    /// One that was given out in this partition.
    Given(Rank),
    /// The item of one and the lease of another.
    Crossed(Rank, Rank),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RetryPick {
    pub(crate) receipt: ReceiptPick,
    pub(crate) to: To,
    pub(crate) note: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum To {
    Now,
    At(i64),
    Dead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum IdPick {
    /// That of an item in that state now; else as `Given`.
    In(State, Rank),
    /// One that was given out in this partition.
    Given(Rank),
    /// The largest there is, which nobody was given.
    Never,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Order {
    ById(Vec<State>),
    Ready,
    Scheduled,
    Leased,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StartPick {
    First,
    FromId(IdPick),
    /// A cursor that was given out, by any listing of any partition.
    After(Rank),
    /// One of them with a bit flipped.
    Damaged(Rank, u16),
}

/// An item to restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Restored {
    pub(crate) item: Item,
    pub(crate) created_at: i64,
    /// One that was given out in this partition; `None`: a new one above all.
    pub(crate) id: Option<Rank>,
    pub(crate) position: PositionPick,
    pub(crate) state: RestoredState,
    pub(crate) attempts: u32,
    pub(crate) note: Option<u8>,
    pub(crate) is_revived: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PositionPick {
    /// Above all.
    New,
    /// One that was restored before: it may be free again.
    Restored(Rank),
    /// That of an item that has one now.
    Taken(Rank),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RestoredState {
    Ready,
    Scheduled {
        at: i64,
    },
    Leased {
        deadline: i64,
        holder: u64,
        /// The lease of a receipt that was given out for this very item, if there is one; else a new one above all.
        is_old_lease: bool,
    },
    Dead {
        reason: DeadReason,
        died_at: i64,
    },
}

/// A namespace and a key, from few of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyPick {
    pub(crate) namespace: u8,
    pub(crate) key: u8,
}

/// A range of keys of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RangePick {
    pub(crate) namespace: u8,
    pub(crate) from: Option<u8>,
    pub(crate) to: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum CheckPick {
    Absent(KeyPick),
    /// The version that the key has, if it has one.
    Current(KeyPick),
    /// Some version that was given out.
    Known(KeyPick, Rank),
    /// What the range holds; with the entry of that rank left away.
    Range(RangePick, Option<Rank>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum WritePick {
    Put {
        key: KeyPick,
        bytes: u16,
        expires_at: Option<i64>,
    },
    Delete(KeyPick),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StepPick {
    Produce(u8, Vec<Item>),
    Complete(u8, Vec<ReceiptPick>),
    Delete(u8, Vec<IdPick>),
}

impl Action {
    /// The way of a call that may take one.
    pub(crate) fn way_mut(&mut self) -> Option<&mut Way> {
        match self {
            Self::Produce { way, .. } | Self::Lease { way, .. } | Self::Complete { way, .. } => {
                Some(way)
            }
            _ => None,
        }
    }

    /// The same action with one entry less in one of its lists, in every way there is, or without its shortcut: what shrinking
    /// tries.
    pub(crate) fn thinner(&self) -> Vec<Self> {
        let mut all = Vec::new();
        let mut plain = self.clone();
        let way = plain.way_mut().map(std::mem::take);
        if way.is_some_and(|way| !way.is_long()) {
            all.push(plain);
        }
        for which in 0.. {
            let mut index = 0;
            loop {
                let mut thinner = self.clone();
                match thinner.remove(which, index) {
                    Removed::Entry => all.push(thinner),
                    Removed::NoSuchEntry => break,
                    Removed::NoSuchList => return all,
                }
                index += 1;
            }
        }
        all
    }

    fn remove(&mut self, which: usize, index: usize) -> Removed {
        fn from<T>(list: &mut Vec<T>, index: usize) -> Removed {
            if index < list.len() {
                list.remove(index);
                Removed::Entry
            } else {
                Removed::NoSuchEntry
            }
        }
        match (self, which) {
            (Self::Produce { items, .. }, 0) => from(items, index),
            (
                Self::Extend { receipts, .. }
                | Self::Release { receipts, .. }
                | Self::Complete { receipts, .. },
                0,
            ) => from(receipts, index),
            (Self::Retry { retries, .. }, 0) => from(retries, index),
            (
                Self::Revive { ids, .. }
                | Self::DeleteItems { ids, .. }
                | Self::GetItems { ids, .. },
                0,
            ) => from(ids, index),
            (Self::Restore { items, .. }, 0) => from(items, index),
            (Self::Commit { checks, .. }, 0) => from(checks, index),
            (Self::Commit { writes, .. }, 1) => from(writes, index),
            (Self::Commit { steps, .. }, 2) => from(steps, index),
            (Self::Commit { steps, .. }, _) => match steps.get_mut(which - 3) {
                Some(StepPick::Produce(_, items)) => from(items, index),
                Some(StepPick::Complete(_, receipts)) => from(receipts, index),
                Some(StepPick::Delete(_, ids)) => from(ids, index),
                None => Removed::NoSuchList,
            },
            _ => Removed::NoSuchList,
        }
    }
}

enum Removed {
    Entry,
    NoSuchEntry,
    NoSuchList,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_thinned_in_each_of_its_lists() {
        let key = KeyPick {
            namespace: 0,
            key: 0,
        };
        let commit = Action::Commit {
            now: 0,
            checks: vec![CheckPick::Absent(key)],
            writes: vec![WritePick::Delete(key)],
            steps: vec![
                StepPick::Delete(0, vec![IdPick::Never, IdPick::Given(0)]),
                StepPick::Complete(0, vec![]),
            ],
        };

        // One check, one write, two steps, two ids.
        assert_eq!(commit.thinner().len(), 6);
        assert!(Action::Reopen.thinner().is_empty());
    }

    #[test]
    fn a_call_by_a_shortcut_is_thinned_to_the_long_way_once() {
        let by = |way| Action::Complete {
            partition: 0,
            receipts: Vec::new(),
            way,
        };

        assert_eq!(by(Way::Asked).thinner(), [by(Way::Long)]);
        assert_eq!(by(Way::Kept(3)).thinner(), [by(Way::Long)]);
        assert!(by(Way::Long).thinner().is_empty());
    }

    #[test]
    fn a_sequence_that_names_no_way_goes_the_long_one() {
        let text = r#"{"Complete":{"partition":0,"receipts":[]}}"#;
        let long: Action = serde_json::from_str(text).unwrap();

        let complete = Action::Complete {
            partition: 0,
            receipts: Vec::new(),
            way: Way::Long,
        };
        assert_eq!(long, complete);
        assert_eq!(serde_json::to_string(&complete).unwrap(), text);
    }
}
