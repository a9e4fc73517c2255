//! Partitions: configuration and statistics.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::item::State;
use crate::names::PartitionId;
use crate::numbers::Version;
use crate::time::Timestamp;

/// Where an item goes that is retried now, or taken back (clause RETRY-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Requeue {
    /// Behind everything of its priority.
    #[default]
    Tail,
    /// Where it stood.
    Original,
}

/// What becomes of an item that dies (clause DEAD-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeadPolicy {
    /// It stays until it is deleted, cleared or revived.
    #[default]
    Keep,
    /// It is removed at once, and counted.
    Drop,
}

/// What a partition takes (clause PART-8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Everything.
    #[default]
    Open,
    /// Everything but produce.
    Draining,
    /// Everything but produce, lease and maintain.
    Frozen,
}

/// The configuration of a partition. A limit of 0 is no limit.
///
/// ```
/// use std::time::Duration;
/// use storage_api::{PartitionConfig, Requeue};
///
/// let config = PartitionConfig::default()
///     .with_attempts_max(3)
///     .with_requeue(Requeue::Original)
///     .with_dedup_for(Duration::from_secs(3600));
/// assert_eq!(config.attempts_max(), 3);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PartitionConfig {
    attempts_max: u32,
    requeue: Requeue,
    dead: DeadPolicy,
    dedup_for_micros: u64,
    items_max: u64,
    bytes_max: u64,
    mode: Mode,
}

impl PartitionConfig {
    /// How often an item may be leased before it is dead, where the item says nothing itself (clause RETRY-4).
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(PartitionConfig::default().with_attempts_max(5).attempts_max(), 5);
    /// ```
    #[must_use]
    pub fn with_attempts_max(mut self, attempts_max: u32) -> Self {
        self.attempts_max = attempts_max;
        self
    }

    /// Where retried items go.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(PartitionConfig::default().with_requeue(Requeue::Original).requeue(), Requeue::Original);
    /// ```
    #[must_use]
    pub fn with_requeue(mut self, requeue: Requeue) -> Self {
        self.requeue = requeue;
        self
    }

    /// What becomes of dead items.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(PartitionConfig::default().with_dead(DeadPolicy::Drop).dead(), DeadPolicy::Drop);
    /// ```
    #[must_use]
    pub fn with_dead(mut self, dead: DeadPolicy) -> Self {
        self.dead = dead;
        self
    }

    /// How long after `created_at` a dedup key is kept when its item has gone (clause ITEM-4).
    /// Fractions of a microsecond are cut; at most `u64::MAX` microseconds.
    ///
    /// ```
    /// # use storage_api::*;
    /// let hour = std::time::Duration::from_secs(3600);
    /// assert_eq!(PartitionConfig::default().with_dedup_for(hour).dedup_for(), hour);
    /// ```
    #[must_use]
    pub fn with_dedup_for(mut self, dedup_for: Duration) -> Self {
        self.dedup_for_micros = u64::try_from(dedup_for.as_micros()).unwrap_or(u64::MAX);
        self
    }

    /// How many items the partition holds at most, in any state (clause LIMIT-2).
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(PartitionConfig::default().with_items_max(1000).items_max(), 1000);
    /// ```
    #[must_use]
    pub fn with_items_max(mut self, items_max: u64) -> Self {
        self.items_max = items_max;
        self
    }

    /// How many payload bytes the partition holds at most, in any state (clause LIMIT-2).
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(PartitionConfig::default().with_bytes_max(1 << 30).bytes_max(), 1 << 30);
    /// ```
    #[must_use]
    pub fn with_bytes_max(mut self, bytes_max: u64) -> Self {
        self.bytes_max = bytes_max;
        self
    }

    /// What the partition takes.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(PartitionConfig::default().with_mode(Mode::Frozen).mode(), Mode::Frozen);
    /// ```
    #[must_use]
    pub fn with_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// The limit of attempts of items that name none; 0 is no limit.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(PartitionConfig::default().attempts_max(), 0);
    /// ```
    pub fn attempts_max(&self) -> u32 {
        self.attempts_max
    }

    /// Where retried items go.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(PartitionConfig::default().requeue(), Requeue::Tail);
    /// ```
    pub fn requeue(&self) -> Requeue {
        self.requeue
    }

    /// What becomes of dead items.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(PartitionConfig::default().dead(), DeadPolicy::Keep);
    /// ```
    pub fn dead(&self) -> DeadPolicy {
        self.dead
    }

    /// How long after `created_at` a dedup key is kept when its item has gone.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(PartitionConfig::default().dedup_for().is_zero());
    /// ```
    pub fn dedup_for(&self) -> Duration {
        Duration::from_micros(self.dedup_for_micros)
    }

    /// The most items; 0 is no limit.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(PartitionConfig::default().items_max(), 0);
    /// ```
    pub fn items_max(&self) -> u64 {
        self.items_max
    }

    /// The most payload bytes; 0 is no limit.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(PartitionConfig::default().bytes_max(), 0);
    /// ```
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// What the partition takes.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(PartitionConfig::default().mode(), Mode::Open);
    /// ```
    pub fn mode(&self) -> Mode {
        self.mode
    }
}

/// A partition as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Its name.
    pub id: PartitionId,
    /// The version given out at its creation: it tells a partition from an earlier one of the same name.
    pub created: Version,
    /// The version of its configuration.
    pub revision: Version,
    /// Its configuration.
    pub config: PartitionConfig,
}

/// Sums over the items of one state (clause PART-7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct StateStats {
    /// How many items.
    pub items: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// The sum of their `created_at`, in microseconds: with `items` and a `now` it gives the mean age.
    pub created_at_sum: i128,
    /// The sum of their due times, in microseconds, of those that have one.
    pub due_at_sum: i128,
}

/// The statistics of a partition, kept and not counted (clause PART-7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct PartitionStats {
    /// Ready items.
    pub ready: StateStats,
    /// Scheduled items.
    pub scheduled: StateStats,
    /// Leased items.
    pub leased: StateStats,
    /// Dead items.
    pub dead: StateStats,
    /// The `created_at` of the first item in lease order.
    pub first_ready_created_at: Option<Timestamp>,
    /// The earliest due time, of items and of dedup keys whose items have gone.
    pub next_due: Option<Timestamp>,
}

impl PartitionStats {
    /// The sums of one state.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(PartitionStats::default().state(State::Ready).items, 0);
    /// ```
    pub fn state(&self, state: State) -> &StateStats {
        match state {
            State::Ready => &self.ready,
            State::Scheduled => &self.scheduled,
            State::Leased => &self.leased,
            State::Dead => &self.dead,
        }
    }

    /// The sums of one state, to be changed.
    ///
    /// ```
    /// # use storage_api::*;
    /// let mut stats = PartitionStats::default();
    /// stats.state_mut(State::Ready).items = 2;
    /// assert_eq!(stats.ready.items, 2);
    /// ```
    pub fn state_mut(&mut self, state: State) -> &mut StateStats {
        match state {
            State::Ready => &mut self.ready,
            State::Scheduled => &mut self.scheduled,
            State::Leased => &mut self.leased,
            State::Dead => &mut self.dead,
        }
    }

    /// How many items there are, in any state.
    ///
    /// ```
    /// # use storage_api::*;
    /// let mut stats = PartitionStats::default();
    /// stats.ready.items = 2;
    /// stats.dead.items = 1;
    /// assert_eq!(stats.items(), 3);
    /// ```
    pub fn items(&self) -> u64 {
        State::ALL
            .iter()
            .map(|state| self.state(*state).items)
            .sum()
    }

    /// Their payload bytes.
    ///
    /// ```
    /// # use storage_api::*;
    /// let mut stats = PartitionStats::default();
    /// stats.leased.bytes = 100;
    /// assert_eq!(stats.bytes(), 100);
    /// ```
    pub fn bytes(&self) -> u64 {
        State::ALL
            .iter()
            .map(|state| self.state(*state).bytes)
            .sum()
    }
}
