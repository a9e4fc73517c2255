//! The way into the backend: open until it is closed, and closed for good once nobody is inside (clause CLOSE-1).

use storage_api::{Error, Operation, Result};

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::awaited::Notify;
use crate::sync::{Condvar, Mutex};

const CLOSED: u64 = 1;
const ONE: u64 = 2;

/// Counts who is inside.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// Twice the number of operations under way, and whether the gate is closed.
    state: AtomicU64,
    /// Both tell that the last operation has left a closed gate: one to tasks, one to threads.
    left: Notify,
    lock: Mutex<()>,
    emptied: Condvar,
}

/// An operation under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Pass<'a>(&'a Gate);

impl Gate {
    pub(crate) fn enter(&self, operation: Operation) -> Result<Pass<'_>> {
        let before = self.state.fetch_add(ONE, Ordering::AcqRel);
        let pass = Pass(self);
        if before & CLOSED != 0 {
            return Err(Error::closed(operation));
        }
        Ok(pass)
    }

    /// Nobody gets in from here on. `true` for whoever is the first to close it.
    pub(crate) fn close(&self) -> bool {
        self.state.fetch_or(CLOSED, Ordering::AcqRel) & CLOSED == 0
    }

    /// Returns when nobody is inside.
    pub(crate) async fn emptied(&self) {
        loop {
            // Taken before the look, so that what happens between look and wait is not missed.
            let left = self.left.notified();
            if self.is_empty() {
                return;
            }
            left.await;
        }
    }

    /// As [`emptied`](Self::emptied), for a thread.
    pub(crate) fn wait_emptied(&self) {
        let mut lock = self.lock.lock();
        while !self.is_empty() {
            self.emptied.wait(&mut lock);
        }
    }

    fn is_empty(&self) -> bool {
        self.state.load(Ordering::Acquire) < ONE
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let before = self.0.state.fetch_sub(ONE, Ordering::AcqRel);
        if before == ONE | CLOSED {
            self.0.left.notify_waiters();
            let _lock = self.0.lock.lock();
            self.0.emptied.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_gate_lets_nobody_in_and_empties_when_the_last_leaves() {
        let gate = Gate::default();
        let pass = gate.enter(Operation::Get).unwrap();

        assert!(gate.close());
        assert!(!gate.close(), "the second is not the first");
        assert!(gate.enter(Operation::Get).is_err());
        assert!(!gate.is_empty());
        drop(pass);

        gate.wait_emptied();
    }
}
