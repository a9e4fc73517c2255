//! What a worker does with an item, and what becomes of the item then.

use std::fmt::Display;
use std::time::Duration;

use storage_api::Note;

use crate::queue::Delivery;

/// What becomes of an item that was handled.
///
/// A handler may give anything that becomes one: nothing, which completes, or a `Result`, whose error retries with the
/// error's text as the note.
///
/// ```
/// use storage_queue::Outcome;
///
/// assert_eq!(Outcome::from(()), Outcome::Complete);
/// assert_eq!(Outcome::from(Err::<(), _>("no route")), Outcome::retry("no route"));
/// assert_eq!(Outcome::from(Ok::<_, String>(Outcome::dead("nonsense"))), Outcome::dead("nonsense"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its work is done: it is removed.
    Complete,
    /// Its work failed: it is tried again, unless its attempts are used up.
    Retry {
        /// After that time; `None` leaves it to the backoff of the queue.
        after: Option<Duration>,
        /// What a person should know; `None` keeps the note of the time before.
        note: Option<Note>,
    },
    /// Its work can never be done: it is dead at once.
    Dead {
        /// What a person should know.
        note: Option<Note>,
    },
    /// The handler has ended the lease itself, such as in a transaction: the worker leaves the item alone.
    Settled,
}

impl Outcome {
    /// A retry after the backoff of the queue, with a note that is cut where it is too long.
    ///
    /// ```
    /// use storage_queue::Outcome;
    ///
    /// assert!(matches!(Outcome::retry("no route"), Outcome::Retry { after: None, .. }));
    /// ```
    pub fn retry(note: impl AsRef<str>) -> Self {
        Self::Retry {
            after: None,
            note: Some(Note::truncated(note.as_ref())),
        }
    }

    /// A retry after that time, with a note that is cut where it is too long.
    ///
    /// ```
    /// use std::time::Duration;
    /// use storage_queue::Outcome;
    ///
    /// let busy = Outcome::retry_after(Duration::from_secs(90), "asked to come back later");
    /// assert!(matches!(busy, Outcome::Retry { after: Some(_), .. }));
    /// ```
    pub fn retry_after(after: Duration, note: impl AsRef<str>) -> Self {
        Self::Retry {
            after: Some(after),
            note: Some(Note::truncated(note.as_ref())),
        }
    }

    /// Death, with a note that is cut where it is too long.
    ///
    /// ```
    /// use storage_queue::Outcome;
    ///
    /// assert!(matches!(Outcome::dead("no such customer"), Outcome::Dead { .. }));
    /// ```
    pub fn dead(note: impl AsRef<str>) -> Self {
        Self::Dead {
            note: Some(Note::truncated(note.as_ref())),
        }
    }
}

impl From<()> for Outcome {
    fn from((): ()) -> Self {
        Self::Complete
    }
}

impl<T: Into<Self>, E: Display> From<Result<T, E>> for Outcome {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(outcome) => outcome.into(),
            // The long form: errors that carry their causes print them, too.
            Err(error) => Self::retry(format!("{error:#}")),
        }
    }
}

/// The work of a worker: any async function of a [`Delivery`] that gives something that becomes an [`Outcome`].
///
/// An item comes at least once: it comes again where the process or the storage fails before the outcome is stored.
///
/// ```
/// use storage_queue::{Delivery, Handler, Outcome};
///
/// fn is_handler(_: impl Handler) {}
///
/// is_handler(async |delivery: Delivery| println!("{}", delivery.payload().len()));
/// is_handler(|delivery: Delivery| async move {
///     std::str::from_utf8(delivery.payload()).map(drop)
/// });
/// ```
pub trait Handler: Send + Sync + 'static {
    /// Handles one item. A panic counts as a retry.
    fn handle(&self, delivery: Delivery) -> impl Future<Output = Outcome> + Send;
}

impl<F, W> Handler for F
where
    F: Fn(Delivery) -> W + Send + Sync + 'static,
    W: Future + Send,
    W::Output: Into<Outcome>,
{
    async fn handle(&self, delivery: Delivery) -> Outcome {
        self(delivery).await.into()
    }
}
