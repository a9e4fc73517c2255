//! The names that a driver's `sync.rs` has, over shuttle.
//!
//! Shuttle lets another task go first before whatever tasks can see of each other: a lock, an atomic, a notification. The
//! types that stay tokio's are correct by themselves and hold nothing across such a moment, so that each call is one step;
//! [`turn`] puts the moment before it.

use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::time::Duration;

use shuttle::rand::Rng;
use shuttle::sync as std_like;

pub(crate) use shuttle::thread;
pub(crate) use shuttle_parking_lot::{MappedRwLockReadGuard, RwLock, RwLockReadGuard};

pub(crate) mod atomic {
    pub(crate) use shuttle::sync::atomic::{AtomicU8, AtomicU64, Ordering};
}

/// One in so many waits that end after some time does so at once; the others last until somebody notifies.
const TIMED_OUT_ONE_IN: u32 = 2;

/// Lets the scheduler choose who goes on.
fn turn() {
    // Reading an atomic is what asks it; giving way would tell it not to choose this task again.
    let asked = std_like::atomic::AtomicBool::new(false);
    let _ = asked.load(atomic::Ordering::SeqCst);
}

/// A lock that whoever comes first gets: parking_lot's, which others may overtake.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std_like::Mutex<T>);

/// The lock, until it is dropped.
#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    /// `None` while a [`Condvar`] has it.
    held: Option<std_like::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(std_like::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard {
            mutex: self,
            held: Some(self.take()),
        }
    }

    fn take(&self) -> std_like::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const HELD: &str = "a guard that can be reached holds its lock";

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.as_deref().expect(HELD)
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_deref_mut().expect(HELD)
    }
}

/// Where threads wait for a change under a lock.
#[derive(Debug, Default)]
pub(crate) struct Condvar(std_like::Condvar);

/// Whether a wait ended because its time was over.
#[derive(Debug)]
pub(crate) struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    pub(crate) fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.held.take().expect(HELD);
        let held = self.0.wait(held);
        guard.held = Some(held.unwrap_or_else(PoisonError::into_inner));
    }

    /// No time passes here: whether it does is a throw of the schedule's dice.
    pub(crate) fn wait_for<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        _time: Duration,
    ) -> WaitTimeoutResult {
        let is_over = shuttle::rand::thread_rng().gen_ratio(1, TIMED_OUT_ONE_IN);
        if is_over {
            guard.held = None;
            guard.held = Some(guard.mutex.take());
        } else {
            self.wait(guard);
        }
        WaitTimeoutResult(is_over)
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// A cell that is set once.
#[derive(Debug)]
pub(crate) struct OnceLock<T>(std::sync::OnceLock<T>);

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        Self(std::sync::OnceLock::new())
    }

    pub(crate) fn get(&self) -> Option<&T> {
        turn();
        self.0.get()
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        turn();
        self.0.set(value)
    }
}

/// What tasks wait for, and threads do not.
pub(crate) mod awaited {
    use std::sync::Arc;

    pub(crate) use tokio::sync::{OwnedMutexGuard, RwLockReadGuard, RwLockWriteGuard, watch};

    use super::turn;

    #[derive(Debug)]
    pub(crate) struct Mutex<T>(Arc<tokio::sync::Mutex<T>>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(Arc::new(tokio::sync::Mutex::new(value)))
        }

        pub(crate) async fn lock_owned(self: Arc<Self>) -> OwnedMutexGuard<T> {
            turn();
            Arc::clone(&self.0).lock_owned().await
        }

        pub(crate) fn try_lock_owned(
            self: Arc<Self>,
        ) -> Result<OwnedMutexGuard<T>, tokio::sync::TryLockError> {
            turn();
            Arc::clone(&self.0).try_lock_owned()
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct RwLock<T>(tokio::sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub(crate) async fn read(&self) -> RwLockReadGuard<'_, T> {
            turn();
            self.0.read().await
        }

        pub(crate) async fn write(&self) -> RwLockWriteGuard<'_, T> {
            turn();
            self.0.write().await
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct Notify(tokio::sync::Notify);

    impl Notify {
        pub(crate) fn notified(&self) -> tokio::sync::futures::Notified<'_> {
            turn();
            self.0.notified()
        }

        pub(crate) fn notify_waiters(&self) {
            turn();
            self.0.notify_waiters();
        }
    }

    pub(crate) mod oneshot {
        pub(crate) use tokio::sync::oneshot::Receiver;

        #[derive(Debug)]
        pub(crate) struct Sender<T>(tokio::sync::oneshot::Sender<T>);

        impl<T> Sender<T> {
            pub(crate) fn send(self, value: T) -> Result<(), T> {
                super::turn();
                self.0.send(value)
            }
        }

        pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            (Sender(sender), receiver)
        }
    }
}
