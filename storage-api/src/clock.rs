//! Clocks: where the caller's time comes from. Drivers never see one.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::time::Timestamp;

/// A source of time for the handles.
#[async_trait]
pub trait Clock: Debug + Send + Sync + 'static {
    /// The time now.
    ///
    /// ```
    /// use storage_api::{Clock, SystemClock, Timestamp};
    ///
    /// assert!(SystemClock.now() > Timestamp::EPOCH);
    /// ```
    fn now(&self) -> Timestamp;

    /// Returns when [`now`](Self::now) is at least `deadline`. Dropping the future has no effect.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use storage_api::{Clock, ManualClock, Timestamp};
    ///
    /// let clock = ManualClock::new(Timestamp::from_secs(5));
    /// clock.sleep_until(Timestamp::from_secs(5)).await; // has come already
    /// # }
    /// ```
    async fn sleep_until(&self, deadline: Timestamp);
}

/// The clock of the operating system. It follows the system when its time is set.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    // The one place where the project reads the clock of the system.
    #[expect(clippy::disallowed_methods)]
    fn now(&self) -> Timestamp {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => Timestamp::EPOCH.saturating_add(after),
            Err(before) => Timestamp::EPOCH.saturating_sub(before.duration()),
        }
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        // In slices, so that a system clock that is set forward is noticed.
        const SLICE_MAX: Duration = Duration::from_secs(10);
        loop {
            let left = deadline.saturating_since(self.now());
            if left.is_zero() {
                return;
            }
            // Timers tick in milliseconds; waiting less than one would spin.
            tokio::time::sleep(left.clamp(Duration::from_millis(1), SLICE_MAX)).await;
        }
    }
}

/// A clock that stands still until it is set: time as a number, for tests.
///
/// Clones share the time.
///
/// ```
/// use std::time::Duration;
/// use storage_api::{Clock, ManualClock, Timestamp};
///
/// let clock = ManualClock::new(Timestamp::EPOCH);
/// clock.advance(Duration::from_secs(30));
/// assert_eq!(clock.now(), Timestamp::from_secs(30));
/// clock.set(Timestamp::EPOCH); // backwards is legal (clause TIME-3)
/// assert_eq!(clock.now(), Timestamp::EPOCH);
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock {
    now: Arc<watch::Sender<Timestamp>>,
}

impl ManualClock {
    /// A clock that shows `now`.
    ///
    /// ```
    /// # use storage_api::*;
    /// let clock = ManualClock::new(Timestamp::EPOCH);
    /// assert_eq!(clock.now(), Timestamp::EPOCH);
    /// ```
    pub fn new(now: Timestamp) -> Self {
        Self {
            now: Arc::new(watch::Sender::new(now)),
        }
    }

    /// Shows `now` from here on, later or earlier, and wakes who waits for it.
    ///
    /// ```
    /// # use storage_api::*;
    /// let clock = ManualClock::new(Timestamp::EPOCH);
    /// clock.clone().set(Timestamp::MAX);
    /// assert_eq!(clock.now(), Timestamp::MAX);
    /// ```
    pub fn set(&self, now: Timestamp) {
        self.now.send_replace(now);
    }

    /// Moves the time later, saturating, and wakes who waits for it.
    ///
    /// ```
    /// # use storage_api::*;
    /// let clock = ManualClock::new(Timestamp::EPOCH);
    /// clock.advance(std::time::Duration::from_secs(30));
    /// assert_eq!(clock.now(), Timestamp::from_secs(30));
    /// ```
    pub fn advance(&self, duration: Duration) {
        self.now
            .send_modify(|now| *now = now.saturating_add(duration));
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        let mut now = self.now.subscribe();
        // The sender lives in self, so the wait cannot fail while this future is polled.
        let _ = now.wait_for(|now| *now >= deadline).await;
    }
}
