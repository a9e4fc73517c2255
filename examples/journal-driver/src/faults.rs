//! Failures on demand, for those who test what follows from them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Makes the disk of a backend fail; shared by its clones. See [`JournalBackend::open_with`](crate::JournalBackend::open_with).
///
/// What happens to a driver when a write fails is part of the contract (clauses ATOM-1 and LIMIT-2), and no disk fails
/// when a test needs it to. The cost without a fault is two loads a write and a sync.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Switches>);

#[derive(Debug, Default)]
struct Switches {
    fails_next: AtomicBool,
    fails_sync: AtomicBool,
    is_full: AtomicBool,
}

impl Faults {
    /// The next write to the disk fails.
    pub fn fail_next_write(&self) {
        self.0.fails_next.store(true, Ordering::SeqCst);
    }

    /// The next sync of the disk fails; what is written before it is taken.
    pub fn fail_next_sync(&self) {
        self.0.fails_sync.store(true, Ordering::SeqCst);
    }

    /// The volume has no free byte: every write fails, until [`heal`](Self::heal).
    pub fn fill_disk(&self) {
        self.0.is_full.store(true, Ordering::SeqCst);
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        self.0.fails_next.store(false, Ordering::SeqCst);
        self.0.fails_sync.store(false, Ordering::SeqCst);
        self.0.is_full.store(false, Ordering::SeqCst);
    }

    /// Comes before every write.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.is_full() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.0.fails_next.swap(false, Ordering::SeqCst) {
            return Err(io::Error::other("a failure that was asked for"));
        }
        Ok(())
    }

    /// Comes before every sync.
    pub(crate) fn check_sync(&self) -> io::Result<()> {
        self.check()?;
        if self.0.fails_sync.swap(false, Ordering::SeqCst) {
            return Err(io::Error::other("a failed sync that was asked for"));
        }
        Ok(())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.is_full.load(Ordering::SeqCst)
    }
}
