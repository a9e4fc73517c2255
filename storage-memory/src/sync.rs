//! Every lock, atomic and thread of this crate, by name.
//!
//! No other file names where they come from, so that the crate can be built again with others in the place of this one
//! file: `storage-schedules` does that, to choose which thread runs next.

pub(crate) use std::thread;

pub(crate) use parking_lot::{MappedRwLockReadGuard, Mutex, MutexGuard, RwLock, RwLockReadGuard};

pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
}
