//! Random actions, biased so that keys, receipts, times and names collide.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use storage_api::{DeadReason, Mode, State};

use super::action::{
    Action, CheckPick, Config, Expected, IdPick, Item, KeyPick, Order, PositionPick, RangePick,
    Rank, ReceiptPick, Restored, RestoredState, RetryPick, StartPick, StepPick, To, Way, WritePick,
};

/// How many partitions, namespaces and keys there are to choose from.
pub(super) const PARTITIONS: u8 = 4;
pub(super) const NAMESPACES: u8 = 3;
pub(super) const KEYS: u8 = 6;

/// That many actions. The same seed gives the same actions, in every version of the suite's dependencies.
pub(crate) fn actions(seed: u64, len: usize) -> Vec<Action> {
    let mut dice = Dice::new(seed, 0);
    let mut actions = Vec::with_capacity(len);
    // Most sequences begin with what the others need.
    for partition in 0..2 {
        if dice.one_in(10) {
            continue;
        }
        let config = if dice.one_in(2) {
            Config {
                mode: Mode::Open,
                ..dice.config()
            }
        } else {
            PLAIN
        };
        dice.is_made[usize::from(partition)] = true;
        actions.push(Action::Create { partition, config });
    }
    while actions.len() < len {
        actions.push(dice.action());
    }
    // From a stream of its own: beside their ways the actions of a seed are what they were when there was one way only.
    let mut ways = Dice::new(seed, 1);
    for way in actions.iter_mut().filter_map(Action::way_mut) {
        *way = ways.way();
    }
    actions
}

const PLAIN: Config = Config {
    attempts_max: 0,
    is_original: false,
    is_drop: false,
    dedup_for: 0,
    items_max: 0,
    bytes_max: 0,
    mode: Mode::Open,
};

struct Dice {
    random: ChaCha8Rng,
    clock: i64,
    /// Whether a partition was made, as far as can be said without doing the actions.
    is_made: [bool; PARTITIONS as usize],
}

impl Dice {
    fn new(seed: u64, stream: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(stream);
        Self {
            random,
            clock: 0,
            is_made: [false; PARTITIONS as usize],
        }
    }

    /// A number below `end`.
    fn below(&mut self, end: u32) -> u32 {
        // The bias of the remainder does not matter here.
        self.random.next_u32() % end
    }

    fn byte_below(&mut self, end: u8) -> u8 {
        u8::try_from(self.below(end.into())).expect("the remainder of a byte is a byte")
    }

    fn one_in(&mut self, chances: u32) -> bool {
        self.below(chances) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(u32::try_from(choices.len()).expect("few choices")) as usize]
    }

    fn list<T>(&mut self, max: u32, make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let len = if self.one_in(25) {
            0
        } else {
            1 + self.below(max)
        };
        self.times(len, make)
    }

    fn times<T>(&mut self, len: u32, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..len).map(|_| make(self)).collect()
    }

    fn maybe<T>(&mut self, chances: u32, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.one_in(chances).then(|| make(self))
    }

    /// Mostly the two that are there from the start.
    fn partition(&mut self) -> u8 {
        if self.one_in(12) {
            self.byte_below(PARTITIONS)
        } else {
            self.byte_below(2)
        }
    }

    /// Mostly a little later than before, sometimes earlier, seldom at the ends of time.
    fn now(&mut self) -> i64 {
        if self.one_in(60) {
            return self.of(&[i64::MIN, i64::MAX, i64::MAX - 1, -1, 0]);
        }
        if self.one_in(3) {
            self.clock += i64::from(self.below(4));
        }
        self.clock
            - if self.one_in(8) {
                i64::from(self.below(6))
            } else {
                0
            }
    }

    /// A time around now: the edges are where the mistakes are.
    fn near(&mut self, now: i64) -> i64 {
        match self.below(40) {
            0 => i64::MIN,
            1 => i64::MAX,
            _ => now.saturating_add(i64::from(self.below(9)) - 2),
        }
    }

    fn rank(&mut self) -> Rank {
        match self.below(4) {
            0 => 0,
            1 => self.byte_below(3),
            2 => self.byte_below(8),
            _ => self.byte_below(60),
        }
    }

    /// Half of the time a shortcut, mostly one that is kept: as a handle does, which asks once.
    fn way(&mut self) -> Way {
        match self.below(8) {
            0..=3 => Way::Long,
            4 => Way::Asked,
            _ => Way::Kept(self.byte_below(3)),
        }
    }

    fn max(&mut self) -> u16 {
        self.of(&[1, 1, 2, 3, 5, 100, 10_000])
    }

    fn config(&mut self) -> Config {
        Config {
            attempts_max: self.of(&[0, 0, 1, 2, 3]),
            is_original: self.one_in(2),
            is_drop: self.one_in(3),
            dedup_for: self.of(&[0, 0, 3, 10, 1000, u64::MAX]),
            items_max: self.of(&[0, 0, 0, 0, 5, 12]),
            bytes_max: self.of(&[0, 0, 0, 0, 60, 200]),
            mode: match self.below(12) {
                0 => Mode::Draining,
                1 => Mode::Frozen,
                _ => Mode::Open,
            },
        }
    }

    fn item(&mut self, now: i64) -> Item {
        Item {
            bytes: if self.one_in(200) {
                70_000
            } else {
                self.of(&[0, 1, 5, 12, 40])
            },
            priority: self.of(&[100, 100, 100, 1, 101, 0, 255]),
            dedup_key: self.maybe(3, |dice| dice.byte_below(4)),
            enqueue_at: self.maybe(4, |dice| dice.near(now)),
            expire_at: self.maybe(4, |dice| dice.near(now)),
            attempts_max: self.of(&[0, 0, 0, 0, 1, 2, u32::MAX]),
        }
    }

    fn items(&mut self, now: i64) -> Vec<Item> {
        self.list(5, |dice| dice.item(now))
    }

    fn receipt(&mut self) -> ReceiptPick {
        match self.below(20) {
            0 => ReceiptPick::Crossed(self.rank(), self.rank()),
            1..=7 => ReceiptPick::Given(self.rank()),
            _ => ReceiptPick::Valid(self.rank()),
        }
    }

    fn receipts(&mut self) -> Vec<ReceiptPick> {
        self.list(4, Self::receipt)
    }

    fn id(&mut self) -> IdPick {
        match self.below(25) {
            0 => IdPick::Never,
            1..=12 => IdPick::Given(self.rank()),
            _ => IdPick::In(self.of(&State::ALL), self.rank()),
        }
    }

    fn ids(&mut self) -> Vec<IdPick> {
        self.list(4, Self::id)
    }

    fn states(&mut self) -> Vec<State> {
        if self.one_in(3) {
            return State::ALL.to_vec();
        }
        State::ALL.into_iter().filter(|_| self.one_in(2)).collect()
    }

    fn holder(&mut self) -> u64 {
        self.of(&[0, 1, 1, 2, u64::MAX])
    }

    fn key(&mut self) -> KeyPick {
        KeyPick {
            namespace: self.byte_below(NAMESPACES),
            key: self.byte_below(KEYS),
        }
    }

    fn range(&mut self) -> RangePick {
        RangePick {
            namespace: self.byte_below(NAMESPACES),
            from: self.maybe(2, |dice| dice.byte_below(KEYS)),
            to: self.maybe(2, |dice| dice.byte_below(KEYS)),
        }
    }

    fn restored(&mut self, now: i64) -> Restored {
        Restored {
            item: self.item(now),
            created_at: self.near(now),
            id: self.maybe(3, Self::rank),
            position: match self.below(10) {
                0 => PositionPick::Taken(self.rank()),
                1..=3 => PositionPick::Restored(self.rank()),
                _ => PositionPick::New,
            },
            state: match self.below(5) {
                0 | 1 => RestoredState::Ready,
                2 => RestoredState::Scheduled { at: self.near(now) },
                3 => RestoredState::Leased {
                    deadline: self.near(now),
                    holder: self.holder(),
                    is_old_lease: self.one_in(2),
                },
                _ => RestoredState::Dead {
                    reason: self.of(&DeadReason::ALL),
                    died_at: self.near(now),
                },
            },
            attempts: self.of(&[0, 1, 2, 3, u32::MAX]),
            note: self.maybe(3, |dice| dice.byte_below(3)),
            is_revived: self.one_in(4),
        }
    }

    fn check(&mut self) -> CheckPick {
        match self.below(8) {
            0 | 1 => CheckPick::Absent(self.key()),
            2..=4 => CheckPick::Current(self.key()),
            5 => CheckPick::Known(self.key(), self.rank()),
            _ => CheckPick::Range(self.range(), self.maybe(5, Self::rank)),
        }
    }

    fn write(&mut self, now: i64) -> WritePick {
        if self.one_in(4) {
            WritePick::Delete(self.key())
        } else {
            WritePick::Put {
                key: self.key(),
                bytes: self.of(&[0, 3, 3, 100]),
                expires_at: self.maybe(2, |dice| dice.near(now)),
            }
        }
    }

    fn step(&mut self, now: i64) -> StepPick {
        match self.below(4) {
            0 | 1 => StepPick::Produce(self.partition(), self.items(now)),
            2 => StepPick::Complete(self.partition(), self.receipts()),
            _ => StepPick::Delete(self.partition(), self.ids()),
        }
    }

    fn action(&mut self) -> Action {
        let now = self.now();
        let partition = self.partition();
        let is_made = &mut self.is_made[usize::from(partition)];
        // What is not there answers alike to everything: a little of that is enough.
        if !*is_made {
            *is_made = true;
            if !self.one_in(5) {
                let config = self.config();
                return Action::Create { partition, config };
            }
        }
        match self.below(100) {
            0 => Action::Create {
                partition,
                config: self.config(),
            },
            1..=4 => Action::Update {
                partition,
                expected: match self.below(4) {
                    0 | 1 => Expected::Any,
                    2 => Expected::Current,
                    _ => Expected::Known(self.rank()),
                },
                config: if self.one_in(2) { PLAIN } else { self.config() },
            },
            5 if self.one_in(2) => {
                self.is_made[usize::from(partition)] = false;
                Action::DeletePartition { partition }
            }
            5 => Action::ListPartitions {
                after: self.maybe(2, Self::rank),
                max: self.max(),
            },
            6..=21 => Action::Produce {
                partition,
                now,
                items: self.items(now),
                way: Way::Long,
            },
            22..=37 => Action::Lease {
                partition,
                now,
                deadline: self.near(now),
                max: self.max(),
                bytes_max: self.maybe(4, |dice| dice.of(&[0, 1, 12, 13, 60, u64::MAX])),
                holder: self.holder(),
                way: Way::Long,
            },
            38..=40 => Action::Extend {
                partition,
                receipts: self.receipts(),
                deadline: self.near(now),
            },
            41..=43 => Action::Release {
                partition,
                receipts: self.receipts(),
            },
            44..=45 => Action::ReleaseHolder {
                partition,
                holder: self.of(&[1, 1, 1, 2, u64::MAX]),
                max: self.max(),
            },
            46..=51 => Action::Complete {
                partition,
                receipts: self.receipts(),
                way: Way::Long,
            },
            52..=59 => Action::Retry {
                partition,
                now,
                retries: self.list(4, |dice| RetryPick {
                    receipt: dice.receipt(),
                    to: match dice.below(4) {
                        0 | 1 => To::Now,
                        2 => To::At(dice.near(now)),
                        _ => To::Dead,
                    },
                    note: dice.maybe(3, |dice| dice.byte_below(3)),
                }),
            },
            60..=62 => Action::Revive {
                partition,
                ids: self.list(4, |dice| {
                    if dice.one_in(3) {
                        dice.id()
                    } else {
                        IdPick::In(State::Dead, dice.rank())
                    }
                }),
            },
            63..=64 => Action::DeleteItems {
                partition,
                ids: self.ids(),
            },
            65..=66 => Action::GetItems {
                partition,
                ids: self.ids(),
                payloads: self.one_in(2),
            },
            67..=70 => Action::List {
                partition,
                order: match self.below(5) {
                    0 | 1 => Order::ById(self.states()),
                    2 => Order::Ready,
                    3 => Order::Scheduled,
                    _ => Order::Leased,
                },
                start: match self.below(10) {
                    0..=3 => StartPick::First,
                    4 => StartPick::FromId(self.id()),
                    5 => StartPick::Damaged(self.rank(), self.byte_below(255).into()),
                    _ => StartPick::After(self.rank()),
                },
                max: self.max(),
                payloads: self.one_in(2),
            },
            71 => Action::Clear {
                partition,
                states: self.states(),
                max: self.max(),
            },
            72..=82 => Action::Maintain {
                partition,
                now,
                max: self.max(),
            },
            83..=84 => Action::Restore {
                partition,
                items: self.list(3, |dice| dice.restored(now)),
                floors: [(); 4].map(|()| self.maybe(8, |dice| dice.byte_below(5))),
            },
            85..=90 => Action::Commit {
                now,
                checks: {
                    let len = self.below(3);
                    self.times(len, Self::check)
                },
                writes: {
                    let len = self.below(4);
                    self.times(len, |dice| dice.write(now))
                },
                steps: {
                    let len = self.below(3);
                    self.times(len, |dice| dice.step(now))
                },
            },
            91 => Action::Get {
                now,
                key: self.key(),
            },
            92..=93 => Action::Scan {
                now,
                range: self.range(),
                is_backward: self.one_in(2),
                after: self.maybe(2, Self::rank),
                max: self.max(),
            },
            94 => Action::Namespaces {
                after: self.maybe(2, Self::rank),
                max: self.max(),
            },
            95 | 97 => Action::Purge {
                now,
                max: self.max(),
            },
            96 => Action::Reopen,
            _ => Action::Compare,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_actions_for_ever() {
        let mut actions = actions(1, 100);
        let sum = |actions: &[Action]| {
            let text = serde_json::to_string(actions).unwrap();
            crc32c::crc32c(text.as_bytes())
        };

        // If this changes, every seed that somebody noted means something else: raise the level of the suite.
        assert_eq!(sum(&actions), 2_043_099_191);
        // The same, as a driver without shortcuts is called.
        for way in actions.iter_mut().filter_map(Action::way_mut) {
            *way = Way::Long;
        }
        assert_eq!(sum(&actions), 3_209_995_065);
    }

    #[test]
    fn about_half_of_the_calls_that_can_go_by_a_shortcut_do() {
        let mut calls = (0..50).flat_map(|seed| actions(seed, 100));
        let ways: Vec<_> = calls
            .by_ref()
            .filter_map(|mut one| one.way_mut().copied())
            .collect();

        let times =
            |is: fn(&Way) -> bool| ways.iter().filter(|way| is(way)).count() * 8 / ways.len();
        assert!(
            (3..=4).contains(&times(|way| *way == Way::Long)),
            "{ways:?}"
        );
        assert!(times(|way| matches!(way, Way::Kept(_))) >= 2, "{ways:?}");
        assert!(ways.contains(&Way::Asked), "{ways:?}");
    }

    #[test]
    fn every_kind_of_action_comes_often() {
        let mut kinds = std::collections::BTreeMap::new();
        for seed in 0..50 {
            for action in actions(seed, 100) {
                let text = format!("{action:?}");
                let kind = text.split([' ', '{']).next().unwrap_or_default().to_owned();
                *kinds.entry(kind).or_insert(0) += 1;
            }
        }

        assert_eq!(kinds.len(), 25, "{kinds:?}");
        assert!(kinds.values().all(|times| *times >= 10), "{kinds:?}");
    }
}
