//! An engine that fails when it is told to: for tests of adapters whose files cannot be made to.

use std::sync::Arc;

use crate::engine::{KvError, KvErrorKind, KvResult};
use crate::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Has an adapter refuse its next writes, and counts its syncs. Clones are one.
///
/// An adapter asks before it hands anything to its engine: so what is simulated is a disk that takes nothing of a write or a
/// sync, not one that takes half.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    wanted: Arc<AtomicU8>,
    syncs: Arc<AtomicU64>,
}

const NONE: u8 = 0;
const NEXT: u8 = 1;
const ALL: u8 = 2;

impl Faults {
    /// The next write or sync fails.
    pub fn fail_next_write(&self) {
        self.wanted.store(NEXT, Ordering::Release);
    }

    /// Every write and sync fails as on a full disk, until [`heal`](Self::heal).
    pub fn fill_disk(&self) {
        self.wanted.store(ALL, Ordering::Release);
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
            NONE => Ok(()),
            wanted => {
                if wanted == NEXT {
                    self.heal();
                }
                let reason = "the disk is full, as a test has asked for";
                Err(KvError::new(KvErrorKind::Unavailable, reason))
            }
        }
    }

    /// Before a sync: whether the disk takes it.
    pub fn check_sync(&self) -> KvResult<()> {
        self.check_write()?;
        self.syncs.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }
}
