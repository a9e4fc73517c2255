//! Waking those who wait for a partition (clause WAKE-1).

use tokio::sync::watch;

/// The firing side of [`Signal`]s: a driver keeps one for each partition.
///
/// Fire it while holding the lock under which the change was made: then a watcher either sees the change when it looks,
/// or is woken. Firing costs an atomic load while nobody watches. Dropping the hub wakes everybody.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let hub = storage_api::SignalHub::new();
/// let mut signal = hub.watch();
/// hub.fire();
/// signal.fired().await; // returns at once: a firing between a look and a wait is never lost
/// # }
/// ```
#[derive(Debug)]
pub struct SignalHub {
    sender: watch::Sender<()>,
}

impl SignalHub {
    /// A hub that nobody watches yet.
    ///
    /// ```
    /// # use storage_api::*;
    /// let hub = SignalHub::new();
    /// hub.fire(); // nobody watches: nothing happens
    /// ```
    pub fn new() -> Self {
        Self {
            sender: watch::Sender::new(()),
        }
    }

    /// A signal that sees every firing from here on.
    ///
    /// ```
    /// # use storage_api::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let hub = SignalHub::new();
    /// let mut signal = hub.watch();
    /// hub.fire();
    /// signal.fired().await;
    /// # }
    /// ```
    pub fn watch(&self) -> Signal {
        Signal {
            receiver: self.sender.subscribe(),
        }
    }

    /// Whether anybody would see a firing: where nobody watches, nobody needs to look what has changed.
    ///
    /// ```
    /// let hub = storage_api::SignalHub::new();
    /// assert!(!hub.is_watched());
    /// let signal = hub.watch();
    /// assert!(hub.is_watched());
    /// ```
    pub fn is_watched(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// Wakes every signal.
    ///
    /// ```
    /// # use storage_api::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let hub = SignalHub::new();
    /// let (mut one, mut other) = (hub.watch(), hub.watch());
    /// hub.fire();
    /// one.fired().await;
    /// other.fired().await;
    /// # }
    /// ```
    pub fn fire(&self) {
        if self.sender.receiver_count() > 0 {
            self.sender.send_replace(());
        }
    }
}

impl Default for SignalHub {
    fn default() -> Self {
        Self::new()
    }
}

/// Waits until something may have become ready or due earlier.
///
/// Take the signal first, then look, then wait: what happens after the look fires it. It may fire for nothing. When the
/// partition is deleted or the backend closed it fires at every wait; looking then tells.
#[derive(Debug, Clone)]
pub struct Signal {
    receiver: watch::Receiver<()>,
}

impl Signal {
    /// Returns when the hub has fired since the last return, or since the signal was taken.
    ///
    /// Dropping the future loses no firing.
    ///
    /// ```
    /// # use storage_api::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let hub = SignalHub::new();
    /// let mut signal = hub.watch();
    /// drop(hub); // deleted or closed: whoever waits must look
    /// signal.fired().await;
    /// # }
    /// ```
    pub async fn fired(&mut self) {
        // An error says that the hub is gone: whoever waits must look.
        let _ = self.receiver.changed().await;
    }
}
