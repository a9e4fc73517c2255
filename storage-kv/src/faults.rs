//! An engine that fails when it is told to: for tests of adapters whose files cannot be made to.

use std::io;
use std::sync::Arc;

use crate::engine::{KvError, KvErrorKind, KvResult};
use crate::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex};

/// Has an adapter refuse its next writes or its next sync, holds up its syncs, and counts them. Clones are one.
///
/// An adapter asks before it hands anything to its engine: so what is simulated is a disk that takes nothing of a write or a
/// sync, not one that takes half.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    wanted: Arc<AtomicU8>,
    syncs: Arc<AtomicU64>,
    gate: Arc<Gate>,
}

/// Where syncs wait.
#[derive(Debug, Default)]
struct Gate {
    is_closed: Mutex<bool>,
    opened: Condvar,
}

/// Holds up every sync until it is dropped.
#[derive(Debug)]
#[must_use = "syncs go on when it is dropped"]
pub struct HeldSyncs(Arc<Gate>);

impl Drop for HeldSyncs {
    fn drop(&mut self) {
        *self.0.is_closed.lock() = false;
        self.0.opened.notify_all();
    }
}

const NONE: u8 = 0;
const NEXT: u8 = 1;
const ALL: u8 = 2;
const NEXT_SYNC: u8 = 3;

impl Faults {
    /// The next write or sync fails.
    pub fn fail_next_write(&self) {
        self.wanted.store(NEXT, Ordering::Release);
    }

    /// The next sync fails; writes before it are taken.
    pub fn fail_next_sync(&self) {
        self.wanted.store(NEXT_SYNC, Ordering::Release);
    }

    /// Every write and sync fails as on a full disk, until [`heal`](Self::heal).
    pub fn fill_disk(&self) {
        self.wanted.store(ALL, Ordering::Release);
    }

    /// Syncs that begin from now on wait until what is returned is dropped. One hold at a time.
    pub fn hold_syncs(&self) -> HeldSyncs {
        *self.gate.is_closed.lock() = true;
        HeldSyncs(Arc::clone(&self.gate))
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        self.wanted.store(NONE, Ordering::Release);
    }

    /// How often the engine was synced.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Acquire)
    }

    /// Before a write: whether the disk takes it.
    pub fn check_write(&self) -> KvResult<()> {
        match self.wanted.load(Ordering::Acquire) {
            NEXT_SYNC => Ok(()),
            wanted => self.check(wanted),
        }
    }

    /// Before a sync: whether the disk takes it. Waits while syncs are held up.
    pub fn check_sync(&self) -> KvResult<()> {
        let mut is_closed = self.gate.is_closed.lock();
        while *is_closed {
            self.gate.opened.wait(&mut is_closed);
        }
        drop(is_closed);
        self.check(self.wanted.load(Ordering::Acquire))?;
        self.syncs.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    fn check(&self, wanted: u8) -> KvResult<()> {
        let (reason, source) = match wanted {
            NONE => return Ok(()),
            NEXT_SYNC => (
                "the disk could not be synced, as a test has asked for",
                io::ErrorKind::Other,
            ),
            _ => (
                "the disk is full, as a test has asked for",
                io::ErrorKind::StorageFull,
            ),
        };
        if wanted != ALL {
            self.heal();
        }
        let error = KvError::new(KvErrorKind::Unavailable, reason);
        Err(error.with_source(io::Error::from(source)))
    }
}
