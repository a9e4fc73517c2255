//! Numbers that the backend gives: leases and versions, the numbers of partitions, and the floor where new ones start.
//!
//! A number is given only if a ceiling above it is on stable storage, whatever the backend's durability: after a crash
//! numbers go on behind the ceiling, so that none is ever given twice, not even one of an operation that was lost.

use storage_api::limits::NUMBER_MAX;

use crate::catalog::{BackendRow, NumberRow};
use crate::counters::BLOCK;
use crate::engine::{KvResult, OrderedKv};
use crate::keys;
use crate::keyspace::Keyspace;
use crate::store::{Rows, Store};
use crate::sync::{Mutex, MutexGuard};
use crate::work::Stop;

/// What the backend counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    Lease,
    Version,
}

/// What every lease and version given later must exceed (clause MOVE-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct NumberFloors {
    pub(crate) lease: u64,
    pub(crate) version: u64,
}

/// The backend's numbers.
#[derive(Debug)]
pub(crate) struct Numbers {
    state: Mutex<State>,
}

/// The row as it is in memory, while nobody else changes it.
pub(crate) type Locked<'a> = MutexGuard<'a, State>;

#[derive(Debug)]
pub(crate) struct State {
    row: BackendRow,
    /// What the engine has of `row`, as far as ceilings go: the largest numbers that may be given.
    leases_durable: u64,
    versions_durable: u64,
    /// The batch that wrote the ceilings of `row`.
    batch: u64,
}

impl Numbers {
    /// The numbers of a row that is on stable storage.
    pub(crate) fn new(row: BackendRow) -> Self {
        Self {
            state: Mutex::new(State {
                row,
                leases_durable: row.leases.ceiling,
                versions_durable: row.versions.ceiling,
                batch: 0,
            }),
        }
    }

    /// The first of `count` numbers that nobody was given, or will be.
    ///
    /// If no durable ceiling is above them, a higher one is written, and the caller is asked to come back once that is
    /// synced.
    pub(crate) fn take<E: OrderedKv>(
        &self,
        store: &Store<E>,
        number: Number,
        count: u64,
    ) -> Result<u64, Stop> {
        let mut state = self.state.lock();
        state.promote(store);
        let last = state.number(number).last;
        let Some(end) = last.checked_add(count).filter(|end| *end <= NUMBER_MAX) else {
            return Err(Stop::UsedUp);
        };
        let durable = state.durable(number);
        let is_low = durable.saturating_sub(end) < BLOCK / 2;
        if is_low && state.number(number).ceiling == durable && durable < NUMBER_MAX {
            // Before there are none left, so that next time nobody has to wait.
            state.number(number).ceiling = (end + BLOCK).min(NUMBER_MAX);
            state.write(store, Rows::default())?;
            if durable >= end {
                store.want_sync();
            }
        }
        if state.durable(number) < end {
            return Err(Stop::Unsynced(state.batch));
        }
        state.number(number).last = end;
        Ok(last + 1)
    }

    /// Makes sure that a ceiling above these numbers is on stable storage, so that none of them is given again.
    pub(crate) fn cover<E: OrderedKv>(
        &self,
        store: &Store<E>,
        floors: NumberFloors,
    ) -> Result<(), Stop> {
        let mut state = self.state.lock();
        state.promote(store);
        let NumberFloors { lease, version } = floors;
        if lease <= state.leases_durable && version <= state.versions_durable {
            return Ok(());
        }
        let row = &mut state.row;
        if lease > row.leases.ceiling || version > row.versions.ceiling {
            for (number, floor) in [(&mut row.leases, lease), (&mut row.versions, version)] {
                number.ceiling = number.ceiling.max((floor + BLOCK).min(NUMBER_MAX));
            }
            state.write(store, Rows::default())?;
        }
        Err(Stop::Unsynced(state.batch))
    }

    /// Everything given from here on is larger than these, which are [covered](Self::cover).
    pub(crate) fn raise(&self, floors: NumberFloors) {
        if floors == NumberFloors::default() {
            return;
        }
        let row = &mut self.state.lock().row;
        row.leases.last = row.leases.last.max(floors.lease);
        row.versions.last = row.versions.last.max(floors.version);
    }

    /// The row, to be changed and then written with [`State::write`].
    pub(crate) fn lock(&self) -> Locked<'_> {
        self.state.lock()
    }
}

impl State {
    #[cfg(test)]
    pub(crate) fn row(&self) -> &BackendRow {
        &self.row
    }

    pub(crate) fn row_mut(&mut self) -> &mut BackendRow {
        &mut self.row
    }

    /// Writes the row together with others.
    pub(crate) fn write<E: OrderedKv>(
        &mut self,
        store: &Store<E>,
        mut rows: Rows,
    ) -> KvResult<u64> {
        rows.put_row(Keyspace::Catalog, &keys::backend(), &self.row.encode());
        self.batch = store.write(rows)?;
        Ok(self.batch)
    }

    fn promote<E: OrderedKv>(&mut self, store: &Store<E>) {
        if store.is_synced(self.batch) {
            self.leases_durable = self.row.leases.ceiling;
            self.versions_durable = self.row.versions.ceiling;
        }
    }

    fn durable(&self, number: Number) -> u64 {
        match number {
            Number::Lease => self.leases_durable,
            Number::Version => self.versions_durable,
        }
    }

    fn number(&mut self, number: Number) -> &mut NumberRow {
        match number {
            Number::Lease => &mut self.row.leases,
            Number::Version => &mut self.row.versions,
        }
    }
}
