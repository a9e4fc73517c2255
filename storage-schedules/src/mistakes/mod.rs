//! Mistakes in the drivers' locking, each off until a test makes it.

use std::cell::Cell;

mod list;

pub use list::{Edit, LIST, Mistake};

thread_local! {
    /// All tasks of a schedule run in the thread of its test, so that tests beside it make mistakes of their own.
    static MADE: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Runs with a mistake made, in this thread.
pub fn making<T>(mistake: &'static Mistake, run: impl FnOnce() -> T) -> T {
    MADE.set(Some(mistake.name));
    let answer = run();
    MADE.set(None);
    answer
}

pub(crate) fn is_made(name: &str) -> bool {
    MADE.get() == Some(name)
}
